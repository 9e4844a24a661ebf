"""Views of an experiment's runs that MLflow's menu `Views` opens: columns, filter, order, groups and charts.

A server chooses no columns for the run table otherwise. MLflow (3.15 and later) reads a view from a tag of its
experiment: JSON of a name, a time, and the state of the run page, which is JSON itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from benchmark.tracking.content import EXPERIMENT, KIND, PART, PREFIX

VIEW_TAG = "mlflow.sharedViewState."
MOST_GROUPED = 100  # runs that the page loads at once; the mean of a group would leave out the others
CLOSED_SECTIONS = ("validation", "cost", "other_selection")  # of charts; they open on a click
NAME = "attributes.`Run Name`"
NAME_WIDTH, WIDTHS = 360, {"params": 150, "metrics": 190, "tags": 100}  # pixels
RIGHT, EARLY = "metrics.`test/accuracy`", "metrics.`validation/accuracy`"
COSTS = ("metrics.`cost/parameters`", "metrics.`cost/milliseconds_per_image`")


@dataclass(frozen=True)
class View:
    """A way to look at runs.

    Attributes:
        kind: of the runs that are listed.
        columns: of the table, from left to right.
        order: the column that it is sorted by, the highest first.
        groups: parameters by which runs are grouped; a row shows their mean.
        charts: cards that stand before those that MLflow makes by itself, which are one for each metric.
        opens_in_charts: whether charts are shown first, and not the table.
        main: whether runs of arms are left out, which are read by tables of their own.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    order: str = RIGHT
    groups: tuple[str, ...] = ()
    charts: tuple[dict[str, Any], ...] = ()
    opens_in_charts: bool = False
    main: bool = False


def _bars(title: str, metric: str) -> dict[str, Any]:
    return {"type": "BAR", "displayName": title, "metricKey": metric}


def _lines(title: str, metric: str) -> dict[str, Any]:
    return {"type": "LINE", "displayName": title, "metricKey": metric, "selectedMetricKeys": [metric]}


def _points(title: str, across: str, up: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": across, "type": "METRIC"}, "yaxis": {"key": up, "type": "METRIC"}}
    return {"type": "SCATTER", "displayName": title, **axes}


def _paths(title: str, params: list[str], metric: str) -> dict[str, Any]:
    chosen = {"selectedParams": params, "selectedMetrics": [metric], "showAllRuns": True}
    return {"type": "PARALLEL", "displayName": title, **chosen}


COMPARISON = (
    _bars("Test accuracy", "test/accuracy"),
    _lines("Validation accuracy by epoch", "epoch/validation_accuracy"),
    _lines("Training loss by epoch", "epoch/train_loss"),
    _points("Test accuracy by parameters", "cost/parameters", "test/accuracy"),
    _points("Test accuracy by ms/image", "cost/milliseconds_per_image", "test/accuracy"),
)
SEARCH = (
    _paths("Settings and validation accuracy", ["learning_rate", "weight_decay"], "validation/accuracy"),
    _lines("Validation accuracy by epoch", "epoch/validation_accuracy"),
)
OF_A_RUN = (  # its name tells method, backbones and seed
    RIGHT,
    "metrics.`test/macro_f1`",
    EARLY,
    "params.`selected_epoch`",
    "metrics.`cost/seconds`",
)
OF_A_TRIAL = ("params.`tuned`", EARLY, "params.`learning_rate`", "params.`weight_decay`", "tags.`state`")
MEANS = (RIGHT, "metrics.`test/macro_f1`", "metrics.`test/ece`", EARLY, *COSTS)
VIEWS = {
    "table-2": View("methods by pair", "fusion", MEANS, groups=("method", "backbones"), main=True),
    "table-1": View("backbones", "backbone", MEANS, groups=("backbones",), main=True),
    "charts": View(
        "methods in charts", "fusion", MEANS, groups=("method",), charts=COMPARISON, opens_in_charts=True, main=True
    ),
    "fusion": View("all fusion runs", "fusion", OF_A_RUN, charts=COMPARISON),
    "backbones": View("all backbone runs", "backbone", OF_A_RUN, charts=COMPARISON),
    "tuning": View("tuning trials", "trial", OF_A_TRIAL, order=EARLY, charts=SEARCH),
}


def view_tags(description: dict[str, Any], since: int, *, tuned: bool) -> dict[str, str]:
    """Return the tags of an MLflow experiment that hold a ledger's views.

    Args:
        description: what `experiment.json` says.
        since: when its parent run was begun, in milliseconds; a view's time has to be the same each time.
        tuned: whether there are trials to be looked at.
    """
    return {
        _tag(description["experiment"], key): json.dumps(
            {
                "name": f"{description['experiment']}: {view.name}",
                "createdAt": since + place,
                "state": json.dumps(_state(view, description)),
            }
        )
        for place, (key, view) in enumerate(VIEWS.items())
        if tuned or view.kind != "trial"
    }


def view_links(experiment_id: str, tags: Iterable[str], experiment: str) -> str:
    """Return links in Markdown to the views that an MLflow experiment holds of one of ours."""
    held = set(tags)
    links = [
        f"[{view.name}]({address_of(experiment_id, experiment, key)})"
        for key, view in VIEWS.items()
        if _tag(experiment, key) in held
    ]
    return " · ".join(links)


def _identity(experiment: str, key: str) -> str:
    return f"{PREFIX}-{experiment}-{key}"


def _tag(experiment: str, key: str) -> str:
    return f"{VIEW_TAG}{_identity(experiment, key)}"


def address_of(experiment_id: str, experiment: str, key: str) -> str:
    """Return a view's address: a filter or an order in it would keep MLflow from reading the view."""
    asked = {"viewStateShareKey": _identity(experiment, key), "workflowType": "machine_learning"}
    asked |= {"compareRunsMode": "CHART"} if VIEWS[key].opens_in_charts else {}
    return f"#/experiments/{experiment_id}/runs?{urlencode(asked)}"


def _state(view: View, description: dict[str, Any]) -> dict[str, Any]:
    """Return the run page's state, without what is as MLflow has it by itself."""
    groups = _groups(view, description["main"]) if _fits(view, description) else []
    sections = ["comparison", "test", "epoch", *CLOSED_SECTIONS]
    return {
        "searchFilter": _filter(view, description["experiment"]),
        "orderByKey": view.order,
        "orderByAsc": False,
        "selectedColumns": list(view.columns),
        "columnOrder": [NAME, *view.columns],
        "columnWidths": {NAME: NAME_WIDTH} | {column: WIDTHS[column.split(".")[0]] for column in view.columns},
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": _grouping(view) if groups else None,
        "groupsExpanded": dict.fromkeys(groups, False),
        "isAccordionReordered": True,
        "compareRunSections": [_section(name) for name in sections[not view.charts :]],
        "compareRunCharts": [
            {**chart, "uuid": f"chart-{place}", "metricSectionId": "comparison", "isGenerated": False, "deleted": False}
            for place, chart in enumerate(view.charts)
        ],
    }


def _fits(view: View, description: dict[str, Any]) -> bool:
    """Tell whether a view is grouped and its runs are few enough for the page to know all of them."""
    main, seeds = description["main"], description["settings"]["seeds"]
    runs = len(main["backbones"]) if view.kind == "backbone" else len(main["methods"]) * len(main["groups"])
    return bool(view.groups) and runs * seeds <= MOST_GROUPED


def _filter(view: View, experiment: str) -> str:
    asked = {EXPERIMENT: experiment, KIND: view.kind, **({PART: "main"} if view.main else {})}
    return " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in asked.items())


def _grouping(view: View) -> dict[str, Any]:
    keys = [{"mode": "param", "groupByData": name} for name in view.groups]
    return {"aggregateFunction": "average", "groupByKeys": keys}


def _groups(view: View, main: dict[str, Any]) -> list[str]:
    """Return what the page calls the groups of a view's runs."""
    if view.kind == "backbone":
        found = [{"backbones": name} for name in main["backbones"]]
    else:
        pairs = ["+".join(group) for group in main["groups"]]
        found = [{"method": method, "backbones": pair} for method in main["methods"] for pair in pairs]
    return list(dict.fromkeys(",".join(f"param.{name}.{row[name]}" for name in view.groups) for row in found))


def _section(name: str) -> dict[str, Any]:
    shown = name not in CLOSED_SECTIONS
    return {"uuid": name, "name": name, "display": shown, "isReordered": False, "deleted": False, "isGenerated": False}
