"""How far an experiment is: what is done, running, failed or waiting, and why each of the rest would run.

A method is taken out of it here, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import UserError, base_name, nearest
from benchmark.ledger import (
    Ledger,
    again,
    artifact_folder,
    existing_experiment,
    failed_runs,
    finished_runs,
    load_ledger,
    packed_runs,
    write_experiment,
    write_json,
)
from benchmark.ledger.claims import experiment_claim, held_runs, how_far
from benchmark.ledger.files import read_json

if TYPE_CHECKING:
    from benchmark.plan import Run

DONE, RUNNING, FAILED, WAITING = ("done", "running", "failed", "waiting")
PLAN = "plan.json"
PLANNED = {"run_id", "label", "method", "parents"}
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class RunState:
    """One run of the plan: its state, and why it is in it."""

    run_id: str
    label: str
    state: str
    why: str


def write_plan(experiment: Path, plan: Sequence[Run], dropped: Sequence[str] = ()) -> None:
    """Write what the overview needs of each run, so that it is read without planning anew.

    Runs that an earlier request asked for stay in it, unless their method was dropped or this plan has them anew.
    """
    experiment.mkdir(parents=True, exist_ok=True)
    runs = [{name: getattr(run, name) for name in ("run_id", "label", "method", "parents")} for run in plan]
    labels = {run.label for run in plan}
    earlier = _read_plan(experiment) if (experiment / PLAN).is_file() else []
    kept = [run for run in earlier if run["label"] not in labels and run.get("method") not in dropped]
    write_json(experiment / PLAN, {"runs": [*runs, *kept]})


def _drop_from_plan(experiment: Path, methods: Sequence[str]) -> None:
    """Take the runs of some methods out of the plan, where there is one: a published ledger has none."""
    if not (experiment / PLAN).is_file():
        return
    left = [run for run in _read_plan(experiment) if run.get("method") not in methods]
    write_json(experiment / PLAN, {"runs": left})


def run_states(experiment: Path) -> list[RunState]:
    """Return the state of every run of the plan.

    Raises:
        UserError: there is no such experiment, or no plan of it.
    """
    existing_experiment(experiment)
    if not (experiment / PLAN).is_file() and packed_runs(experiment):  # published: what is there was planned
        return [RunState(one.run_id, one.label, DONE, "") for one in load_ledger(experiment).records]
    failed, held, ledger = failed_runs(experiment), held_runs(experiment), _with_plugins(experiment)
    aside = {record.run_id for record in ledger.aside} if ledger else set()
    finished = set(finished_runs(experiment)) - aside
    plan = _read_plan(experiment)
    labels = {run["run_id"]: run["label"] for run in plan}
    states = []
    for run in plan:
        run_id = run["run_id"]
        if run_id in held:
            state, why = RUNNING, _process(held[run_id])
        elif run_id in finished:
            state, why = DONE, ""
        elif run_id in failed:
            state, why = FAILED, _reason(failed[run_id])
        elif run_id in aside:
            state, why = (
                WAITING,
                "done with an earlier version of a plug-in; the same command does it with the present one",
            )
        else:
            state, why = WAITING, _why_waiting(experiment, run, (labels, finished, set(failed)))
        states.append(RunState(run_id, run["label"], state, why))
    return states


def summary(experiment: Path) -> dict[str, Any]:
    """Return the numbers of runs by state, and every run that is not done with its reason."""
    description = existing_experiment(experiment)
    states = run_states(experiment)
    planned = {run.run_id for run in states}
    return {
        "experiment": description["experiment"],
        "planned": len(states),
        "finished": sum(run.state == DONE for run in states),
        **{state: sum(run.state == state for run in states) for state in (RUNNING, FAILED, WAITING)},
        "finished_beside_plan": len(set(finished_runs(experiment)).difference(planned)),
        "versions": _versions(experiment, description),
        "runs": [asdict(run) for run in states if run.state != DONE],
    }


def _versions(experiment: Path, description: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every plug-in's method of which other versions than the present one have finished runs."""
    ledger, plugins = _with_plugins(experiment), description.get("plugins", {})
    found = {name: ledger.earlier_versions(name) for name in plugins} if ledger else {}
    return [
        {"name": name, "present": plugins[name]["digest"], "earlier": sorted(runs), "runs": sum(runs.values())}
        for name, runs in found.items()
        if runs
    ]


def _with_plugins(experiment: Path) -> Ledger | None:
    """Return the ledger of an experiment whose runs may be of several versions of a plug-in, None for any other."""
    has_plugins = existing_experiment(experiment).get("plugins")
    return load_ledger(experiment) if has_plugins and finished_runs(experiment) else None


def _why_waiting(experiment: Path, run: dict[str, Any], known: tuple[dict[str, str], set[str], set[str]]) -> str:
    labels, finished, failed = known
    if broken := [parent for parent in run["parents"] if parent in failed]:
        return f"starts from {labels.get(broken[0], broken[0])}, which failed"
    if open_parents := [parent for parent in run["parents"] if parent not in finished]:
        others = f" and {len(open_parents) - 1} more" if len(open_parents) > 1 else ""
        return f"starts from {labels.get(open_parents[0], open_parents[0])}{others}, not done yet"
    if (artifact_folder(experiment, run["run_id"]) / CHECKPOINT).is_file():
        return "was interrupted; goes on from its checkpoint"
    return "not begun, or interrupted before its first checkpoint"


def _process(process: dict[str, Any]) -> str:
    at = how_far(process)
    return f"{at + '; ' if at else ''}process {process['pid']} on {process['host']} since {process['since']}"


def _reason(failure: dict[str, Any]) -> str:
    tries = f", {failure['tries']} tries" if failure["tries"] > 1 else ""
    return f"{failure['reason']} ({failure['when']} on {failure['host']}{tries}); --retry-failed runs it again"


def _read_plan(experiment: Path) -> list[dict[str, Any]]:
    path = experiment / PLAN
    if not path.is_file():
        raise UserError(f"{experiment} holds no plan; `{again(existing_experiment(experiment))}` makes one")
    try:
        runs: list[dict[str, Any]] = read_json(path)["runs"]
        whole = all(row.keys() >= PLANNED for row in runs)
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise UserError(
            f"{path} is damaged (runs without label or parents); delete it, and "
            f"`{again(existing_experiment(experiment))}` makes it"
        )
    return runs


def drop_method(experiment: Path, name: str) -> list[str]:
    """Take a method out of an experiment, under every setting where the name has none; returns what was taken out.

    Its runs stay in the ledger: they were tested on these images, and asking for the method again finds them.

    Raises:
        UserError: the experiment does not compare such a method.
    """
    existing_experiment(experiment)
    with experiment_claim(experiment):
        description = existing_experiment(experiment)
        methods = description["main"]["methods"]
        dropped = [method for method in methods if name in (method, base_name(method))]
        if not dropped:
            raise UserError(f"experiment '{description['experiment']}' has no method {name}; {nearest(name, methods)}")
        _drop_from_plan(experiment, dropped)
        write_experiment(experiment, _without(description, dropped))
    return dropped


def _without(description: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    """Return what `experiment.json` says without some methods, and with no plan's key, so that a plan is made anew."""
    main, settings = description["main"], description["settings"]
    left = [method for method in main["methods"] if method not in dropped]
    questions = [
        {"method": one["method"], "against": [method for method in one["against"] if method not in dropped]}
        for one in settings.get("questions", [])
        if one["method"] not in dropped and (not one["against"] or set(one["against"]) - set(dropped))
    ]
    return {
        **description,
        "main": {**main, "methods": left},
        "settings": {**settings, "methods": left, "questions": questions},
        "dropped": [*description.get("dropped", []), *dropped],
        "plan": {**description["plan"], "key": ""},
    }
