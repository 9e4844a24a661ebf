"""A search: K studies of equal budget for each method or backbone, and the values that hold on every study's seed.

Studies run side by side in processes of one thread each; each goes through its own trials one after the other, so that
the number of workers changes nothing but the time.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from benchmark.config import UserError
from benchmark.ledger import write_json
from benchmark.plan import Run
from benchmark.plugins import load_plugins
from benchmark.training.device import set_up_torch
from benchmark.training.trial import training_part
from benchmark.training.workspace import Workspace
from benchmark.tuned import TUNED, TUNING, file_stem, write_tuned
from benchmark.tuning.space import SearchSpace, Values, as_tuned, space_of
from benchmark.tuning.study import Study, accuracy_of, count_ended, described, search

FORMAT = 1
SECONDS_APART = 10.0  # between two looks at how far the studies are
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Budget:
    """What every method and backbone gets.

    Attributes:
        trials: in each study, pruned ones among them.
        studies: repetitions with a seed of their own for the sampler; each looks at another seed of the experiment.
        pairs: of backbones that a trial of a method is run on; another study takes other pairs.
        pruning: whether a trial below the median of the earlier ones is stopped; that spares time, and it
            gives no method more trials.
        with_cost: whether few parameters are sought as well.
    """

    trials: int = 20
    studies: int = 2
    pairs: int = 1
    pruning: bool = True
    with_cost: bool = False


@dataclass(frozen=True)
class Target:
    """A method or backbone to be tuned: its spec, its search space, and its runs by seed."""

    name: str
    space: SearchSpace
    runs: dict[int, list[Run]]

    @property
    def seeds(self) -> list[int]:
        """The experiment's seeds, in order."""
        return sorted(self.runs)


def targets_of(runs: Sequence[Run], names: Sequence[str]) -> tuple[list[Target], list[str]]:
    """Return what can be tuned among the named methods and backbones, and the names of those that have nothing to tune.

    Raises:
        UserError: a name without a run.
    """
    found, without = [], []
    for name in names:
        own = [run for run in runs if name == (run.method or run.backbones[0]) and run.kind in ("backbone", "fusion")]
        if not own:
            raise UserError(f"{name} is not in the experiment's plan; give it by --method or --backbone")
        space = space_of(own[0])
        by_seed = {seed: [run for run in own if run.seed == seed] for seed in sorted({run.seed for run in own})}
        if space is None:
            without.append(name)
        else:
            found.append(Target(name, space, by_seed))
    return found, without


def studies_of(target: Target, budget: Budget, folder: Path) -> list[Study]:
    """Return a target's studies; each takes the next seed and the next pairs, beginning again after the last."""
    looked_at = [_runs_of_study(target, budget, k) for k in range(budget.studies)]
    return [
        Study(
            name=f"{target.name} · study {k + 1} · {_key(target, budget, runs)}",
            runs=runs,
            space=target.space,
            trials=budget.trials,
            pruning=budget.pruning,
            with_cost=budget.with_cost,
            folder=folder / TUNING,
        )
        for k, runs in enumerate(looked_at)
    ]


def _runs_of_study(target: Target, budget: Budget, k: int) -> list[Run]:
    runs = target.runs[target.seeds[k % len(target.seeds)]]
    count = min(budget.pairs, len(runs))
    return [runs[(k * count + place) % len(runs)] for place in range(count)]


def _key(target: Target, budget: Budget, runs: Sequence[Run]) -> str:
    """Hash what a study's trials depend on beside its name; the number of trials is not among it: more can follow."""
    looked_at = [[run.hyperparameters, run.parents, run.seed] for run in runs]
    asked = [target.space.described(), target.space.default, budget.pruning, budget.with_cost, looked_at]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Engine:
    """Who does the studies: so many processes, with these plug-ins loaded; one does them here."""

    workers: int
    plugins: tuple[Path, ...] = ()

    def run(self, studies: Sequence[Study], workspace: Workspace, progress: Progress) -> dict[str, list[FrozenTrial]]:
        """Return each study's trials by its name."""
        if self.workers > 1 and len(studies) > 1:
            return self._run_in_processes(studies, workspace, progress)
        _start_worker(workspace, self.plugins)
        return {study.name: search(study, workspace, lambda _: progress(count_ended(studies))) for study in studies}

    def _run_in_processes(
        self, studies: Sequence[Study], workspace: Workspace, progress: Progress
    ) -> dict[str, list[FrozenTrial]]:
        context = multiprocessing.get_context("spawn")
        setup = (workspace, self.plugins)
        with ProcessPoolExecutor(min(self.workers, len(studies)), context, _start_worker, setup) as pool:
            flying = {pool.submit(_search_here, study): study.name for study in studies}
            left = set(flying)
            try:
                while left:
                    _, left = wait(left, timeout=SECONDS_APART, return_when=FIRST_COMPLETED)
                    progress(count_ended(studies))
                return {name: future.result() for future, name in flying.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def tune(
    targets: Sequence[Target], budget: Budget, workspace: Workspace, engine: Engine, progress: Progress
) -> list[dict[str, Any]]:
    """Search every target and write what was chosen; returns what was written, a target each.

    Args:
        progress: told now and then how many trials have ended, of all studies together.
    """
    view = training_part(workspace)
    jobs = [studies_of(target, budget, workspace.experiment) for target in targets]
    trials = engine.run([study for studies in jobs for study in studies], view, progress)
    return [
        _conclude(target, [(study, trials[study.name]) for study in studies], budget, view)
        for target, studies in zip(targets, jobs, strict=True)
    ]


_workspace: Workspace | None = None


def _start_worker(workspace: Workspace, plugins: tuple[Path, ...]) -> None:
    global _workspace
    set_up_torch(workspace.device)
    load_plugins(plugins)
    _workspace = workspace


def _search_here(study: Study) -> list[FrozenTrial]:
    assert _workspace is not None
    return search(study, _workspace, lambda trial: None)


def _conclude(
    target: Target, searched: Sequence[tuple[Study, list[FrozenTrial]]], budget: Budget, workspace: Workspace
) -> dict[str, Any]:
    """Choose a target's values and write them, with the studies that they come from."""
    tried = _compare(target, searched, workspace)
    found = {
        "format": FORMAT,
        "target": target.name,
        "kind": searched[0][0].runs[0].kind,
        "space": target.space.described(),
        "default": tried[0],
        "chosen": max(tried, key=lambda row: row["validation_accuracy"]),  # the first of equals; it is the default
        "candidates": tried,
        "budget": {**asdict(budget), "epochs_per_trial": searched[0][0].steps},
        "epochs_spent": sum(trial.user_attrs["epochs"] for _, trials in searched for trial in trials),
        "studies": [
            {
                "name": study.name,
                "seed": study.runs[0].seed,
                "groups": ["+".join(run.backbones) for run in study.runs],
                "best": dict(_best(trials).params),
                "best_validation_accuracy": _best(trials).values[0],
                "trials": [described(trial) for trial in trials],
            }
            for study, trials in searched
        ],
    }
    write_json(workspace.experiment / TUNING / f"{file_stem(target.name)}.json", found)
    write_tuned(workspace.experiment / TUNED, target.name, as_tuned(found["chosen"]["values"]), found)
    return found


def _compare(
    target: Target, searched: Sequence[tuple[Study, list[FrozenTrial]]], workspace: Workspace
) -> list[dict[str, Any]]:
    """Return the default's and every study's best values with their accuracy on what each study looked at.

    Each study has its own validation images and networks, so that values which suited one by chance lose here.
    """
    candidates = [target.space.default, *(dict(_best(trials).params) for _, trials in searched)]
    tried = []
    for values in {_frozen(values): values for values in candidates}.values():
        by_study = [_known_accuracy(values, study, trials, workspace) for study, trials in searched]
        tried.append({"values": values, "by_study": by_study, "validation_accuracy": fmean(by_study)})
    return tried


def _known_accuracy(values: Values, study: Study, trials: Sequence[FrozenTrial], workspace: Workspace) -> float:
    """Return the accuracy of values on what a study looked at, from one of its trials where there is one."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    for trial in complete:
        if dict(trial.params) == values:
            return float(trial.values[0])
    return accuracy_of(study.runs, values, workspace, lambda *_: None)


def _best(trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """Return the trial of highest validation accuracy, among equals that of lower cost, then the earlier one."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return max(complete, key=lambda t: (t.values[0], *(-cost for cost in t.values[1:]), -t.number))


def _frozen(values: Values) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(values.items()))
