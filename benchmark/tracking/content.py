"""What MLflow shows of a record: name, tags, parameters, metrics, data, and files. Pure functions of the ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from benchmark.ledger import Ledger, Record
from benchmark.statistics.means import means_by_seed
from benchmark.trained import is_main

PREFIX = "ferfuse"
RUN_ID, EXPERIMENT, KIND = f"{PREFIX}.run_id", f"{PREFIX}.experiment", f"{PREFIX}.kind"
PART = f"{PREFIX}.part"  # main, arm, or aside: of an earlier version of a plug-in, or of a dropped method
NOTE, PARENT, COLOUR = "mlflow.note.content", "mlflow.parentRunId", "mlflow.runColor"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#000000")  # Okabe and Ito
OTHER_COLOUR = "#999999"  # of an arm
DIGEST = 8  # characters of the data digest that MLflow shows beside the data
LONGEST_VALUE = 500  # characters that MLflow keeps of a parameter in every store
LONGEST_NOTE = 7900  # characters that it keeps of a tag
STAGES = ("backbone_stage", "fusion_stage", "joint_stage")


def run_name(record: Record) -> str:
    """Return the name of a record's run for people."""
    method = f"{record.method} · " if record.method else ""
    fold = f" · fold {record.hyperparameters['fold']}" if record.kind == "fold" else ""
    return f"{method}{'+'.join(record.backbones)} · seed {record.seed}{fold}"


def experiment_name(description: dict[str, Any]) -> str:
    """Return the name of the MLflow experiment: one for each profile and data set."""
    return f"{PREFIX} {description['settings']['profile']} {description['dataset']['name']}"


def shared_tags(description: dict[str, Any]) -> dict[str, str]:
    """Return the tags that an experiment's runs have in common."""
    data, commit = description["dataset"], description.get("commit")
    tags = {
        EXPERIMENT: description["experiment"],
        f"{PREFIX}.dataset": data["title"],
        f"{PREFIX}.synthetic": str(data["synthetic"]).lower(),
        f"{PREFIX}.dataset_digest": data["digest"],
        "mlflow.source.name": description["command"].split(" --")[0],
        "mlflow.source.type": "LOCAL",
    }
    if commit:
        tags |= {"mlflow.source.git.commit": commit["id"], f"{PREFIX}.modified": str(commit["modified"]).lower()}
    return tags


def parent_tags(description: dict[str, Any]) -> dict[str, str]:
    """Return the parent run's tags, among them what a later request may widen, since parameters never change."""
    settings, hardware = description["settings"], description.get("hardware", {})
    widened = {name: settings[name] for name in ("profile", "seeds", "backbones", "methods")}
    return {
        **shared_tags(description),
        KIND: "experiment",
        f"{PREFIX}.command": description["command"],
        **{f"{PREFIX}.{name}": _text(value) for name, value in widened.items()},
        **{f"hardware.{name}": str(value) for name, value in hardware.items()},
        **{f"version.{name}": value for name, value in description.get("versions", {}).items()},
    }


def parent_params(description: dict[str, Any]) -> list[Param]:
    """Return the settings that no later request can change."""
    settings = description["settings"]
    kept = {name: settings[name] for name in ("augmentation", *STAGES, "weights") if name in settings}
    return _params(_flat(kept))


def record_tags(ledger: Ledger, record: Record, parents: dict[str, str]) -> dict[str, str]:
    """Return a run's own tags.

    Args:
        parents: names of the runs that it starts from, and the address of each.
    """
    part = {} if record.kind == "fold" else {PART: part_of(ledger, record)}
    links = ", ".join(f"[{name}]({address})" for name, address in parents.items())
    return {
        RUN_ID: record.run_id,
        KIND: record.kind,
        COLOUR: _colour(ledger, record),
        "device": record.device,
        **part,
        **({f"{PREFIX}.parents": " ".join(record.parents)} if record.parents else {}),
        **({NOTE: f"Starts from {links}."} if links else {}),
    }


def part_of(ledger: Ledger, record: Record) -> str:
    """Return which part of an experiment a run belongs to; views of methods and backbones show the main one."""
    if record in ledger.aside:
        return "aside"
    return "main" if is_main(ledger, record) else "arm"


def record_params(record: Record) -> list[Param]:
    """Return a run's settings."""
    named = {
        "method": record.method or "none",
        "backbones": "+".join(record.backbones),
        "seed": record.seed,
        "selected_epoch": record.selected_epoch,
    }
    return _params([*_flat(record.hyperparameters), *named.items()])


def record_metrics(
    record: Record, history: list[dict[str, float]], description: dict[str, Any], end: int
) -> list[Metric]:
    """Return a run's metrics: `test/…` of the selected epoch, then costs, other selections, and `epoch/…` by epoch."""
    selected = next((row for row in history if row["epoch"] == record.selected_epoch), {})
    chosen = record.metrics["validation_selected"]
    final = {
        **{f"test/{name}": value for name, value in chosen.items()},
        **{
            f"validation/{n}": selected[f"validation_{n}"]
            for n in ("accuracy", "loss")
            if f"validation_{n}" in selected
        },
        "other_selection/test_accuracy_last_epoch": record.metrics["last_epoch"]["accuracy"],
        "other_selection/test_accuracy_best_test_epoch": record.metrics["best_test_epoch"]["accuracy"],
        "cost/seconds": record.seconds,
        "cost/parameters": record.parameters,
        "cost/macs": record.macs,
        "cost/milliseconds_per_image": record.milliseconds,
        "cost/images_per_second": _images_per_second(record, history, description),
    }
    curves = [
        Metric(f"epoch/{name}", value, end, int(row["epoch"]))
        for row in history
        for name, value in row.items()
        if name != "epoch"
    ]
    return [Metric(name, float(value), end, 0) for name, value in final.items() if value is not None] + curves


def summary_metrics(ledger: Ledger, comparisons: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the parent run's metrics: mean and deviation of each method, differences with their intervals.

    The mean over pairs is taken seed by seed, in percent, over the seeds that all pairs have; the deviation is that
    of the seeds. A method that lacks a pair has none. Differences, in points, are those of the first questions.

    Args:
        comparisons: those of `significance.json`.
    """
    main, found = ledger.experiment["main"], {}
    for method in main["methods"]:
        own = [record for record in ledger.of_kind("fusion") if record.method == method and is_main(ledger, record)]
        pairs: dict[tuple[str, ...], dict[int, float]] = {}
        for record in own:
            accuracy = 100 * record.metrics["validation_selected"]["accuracy"]
            pairs.setdefault(tuple(record.backbones), {})[record.seed] = accuracy
        if len(pairs) < sum(len(group) > 1 for group in main["groups"]):
            continue
        if means := means_by_seed(list(pairs.values())):
            found[f"accuracy_percent/{method}"] = fmean(means)
        if len(means) > 1:
            found[f"accuracy_percent_sd/{method}"] = stdev(means)
    for row in comparisons:
        if row["family"] == "primary":
            name = f"{row['method']} over {row['baseline']}"
            ends = {"low": row["loss_excluded_below"], "high": row["gain_excluded_above"]}
            values = {"difference_points": row["difference"], **{f"difference_points_{k}": v for k, v in ends.items()}}
            found.update({f"{key}/{name}": value for key, value in values.items() if value is not None})
    return {re.sub(r"[^\w. /-]", "-", name): float(value) for name, value in found.items()}


def read_history(ledger: Ledger, run_id: str) -> list[dict[str, float]]:
    """Read a run's epochs; nothing where the ledger keeps none."""
    return [{name: float(value) for name, value in row.items() if value} for row in ledger.history(run_id)]


def datasets(description: dict[str, Any]) -> list[DatasetInput]:
    """Return the two parts of the data set, with the number of images of every class."""
    data = description["dataset"]
    parts = []
    for part, context in (("train", "training"), ("test", "testing")):
        counts = data["images"][part]
        profile = {"images": sum(counts), "classes": dict(zip(data["classes"], counts, strict=True))}
        entity = Dataset(
            name=f"{data['title']}, {part}",
            digest=data["digest"][:DIGEST],
            source_type="local",
            source=json.dumps({"name": data["name"], "synthetic": data["synthetic"]}),
            profile=json.dumps(profile),
        )
        parts.append(DatasetInput(entity, [InputTag("mlflow.data.context", context)]))
    return parts


def record_json(record: Record) -> str:
    """Return the record as a file shows it."""
    return json.dumps(asdict(record), indent=1, sort_keys=True)


def as_tags(tags: dict[str, str]) -> list[RunTag]:
    """Return tags as MLflow takes them."""
    return [RunTag(name, value) for name, value in tags.items()]


def _colour(ledger: Ledger, record: Record) -> str:
    """Return the colour that charts draw a run in: one for each method, and for each backbone of Table 1."""
    main = ledger.experiment["main"]
    names = main["methods"] if record.method else main["backbones"]
    name = record.method or record.backbones[0]
    return COLOURS[names.index(name) % len(COLOURS)] if name in names else OTHER_COLOUR


def _images_per_second(record: Record, history: list[dict[str, float]], description: dict[str, Any]) -> float | None:
    """Return the training images that a run went through in a second of its whole time, evaluation included."""
    if record.selected_epoch == 0 or not record.seconds:
        return None
    images = sum(description["dataset"]["images"]["train"]) * (1 - record.hyperparameters.get("validation_fraction", 0))
    return float(images * record.hyperparameters["epochs"] / record.seconds) if history else None


def _params(settings: Iterable[tuple[str, Any]]) -> list[Param]:
    return [Param(name, _text(value)[:LONGEST_VALUE]) for name, value in dict(settings).items()]


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in settings.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return rows
