"""One study: a method's trials one after the other, on one seed's training and validation images.

A trial's values depend on the study's name, the trial's number and the trials before it, and on nothing else: the
sampler is seeded anew for each trial, so that a study that was killed goes on as if it had not been, and studies give
the same trials whether they run side by side or not.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from filelock import FileLock
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from benchmark.config import UserError
from benchmark.plan import Run, stream
from benchmark.training.trial import parameters_of, validation_accuracy
from benchmark.training.workspace import Workspace
from benchmark.tuned import TUNING
from benchmark.tuning.space import SearchSpace, Values, applied

RANDOM_TRIALS = 6  # of each study, before the sampler models what it has seen; the first of them is the default
FREE_TRIALS = 5  # that the pruner lets run to their end
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
STORAGE = "studies.journal"
ACCURACY = "validation accuracy"


@dataclass(frozen=True)
class Study:
    """What one study searches.

    Attributes:
        name: of method or backbone, study and all that its trials depend on.
        runs: what a trial does, one run for each group of backbones; its value is their mean.
        trials: how many it has, those that were stopped early among them.
        pruning: whether a trial below the median of the earlier ones is stopped.
        with_cost: whether it also seeks few parameters; such a study stops no trial early.
        folder: where the storage is.
    """

    name: str
    runs: Sequence[Run]
    space: SearchSpace
    trials: int
    pruning: bool
    with_cost: bool
    folder: Path

    @property
    def steps(self) -> int:
        """Epochs of a trial that is not stopped."""
        return sum(int(run.hyperparameters["epochs"]) for run in self.runs)


def search(study: Study, workspace: Workspace, ended: Callable[[FrozenTrial], None]) -> list[FrozenTrial]:
    """Do the trials of a study that are not done, and return all of them in order.

    Args:
        workspace: that of `training_part`.
        ended: told each trial that was done now.
    """
    store = open_study(study)
    for trial in store.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        store.tell(trial.number, state=TrialState.FAIL)  # it was killed, and is done again
    while (done := len(store.get_trials(deepcopy=False, states=ENDED))) < study.trials:
        store.sampler = _sampler(study.name, done)
        if done == 0:
            store.enqueue_trial(study.space.default, skip_if_exists=True)
        ended(_do_trial(study, store, workspace))
    return store.get_trials(states=ENDED)


def open_study(study: Study) -> optuna.Study:
    """Open a study's record in the storage, or begin one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        opened = optuna.create_study(
            storage=open_storage(study.folder),
            study_name=study.name,
            directions=["maximize", "minimize"] if study.with_cost else ["maximize"],
            pruner=_pruner(study),
            load_if_exists=True,
        )
        if opened.metric_names is None:
            opened.set_metric_names([ACCURACY, "parameters"] if study.with_cost else [ACCURACY])
    for name, value in _about(study).items():
        if opened.user_attrs.get(name) != value:
            opened.set_user_attr(name, value)
    return opened


def _about(study: Study) -> dict[str, Any]:
    """Return what a page about a study has to say, so that it can be read without its name being known."""
    run = study.runs[0]
    return {
        "tuned": run.method or run.backbones[0],
        "pairs": " ".join("+".join(run.backbones) for run in study.runs),
        "seed": run.seed,
        "default": study.space.default,
        "epochs_per_trial": study.steps,
    }


def open_storage(folder: Path) -> JournalStorage:
    """Open the journal that all studies of an experiment share; optuna-dashboard reads it too."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(folder / STORAGE)))


@contextmanager
def alone(experiment: Path) -> Iterator[None]:
    """Let one search at a time into an experiment's storage: a second one waits, and finds the first one's trials.

    Raises:
        UserError: the storage is damaged.
    """
    folder = experiment / TUNING
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "tune.lock"):
        _mend(folder / STORAGE)
        yield


def _mend(journal: Path) -> None:
    """Cut off a last line that was never written to its end; whoever wrote it is gone."""
    if not journal.is_file():
        return
    data = journal.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            json.loads(line)
        except ValueError as error:
            raise UserError(f"{journal}, line {number}, is damaged; delete the file to search anew") from error
    if len(whole) < len(data):
        journal.write_bytes(whole)


def count_ended(studies: Sequence[Study]) -> int:
    """Return how many trials of these studies have ended, whoever did them."""
    storage = open_storage(studies[0].folder)
    begun = set(optuna.get_all_study_names(storage))
    opened = [optuna.load_study(study_name=study.name, storage=storage) for study in studies if study.name in begun]
    return sum(len(study.get_trials(deepcopy=False, states=ENDED)) for study in opened)


def accuracy_of(
    runs: Sequence[Run], values: Values, workspace: Workspace, report: Callable[[int, float], None]
) -> float:
    """Return the mean validation accuracy of runs with these values.

    Args:
        report: told after each epoch of the whole (from 1) the mean of the finished runs and of the best so far of the
            one that goes on; may raise to stop.
    """
    finished: list[float] = []
    seen: list[float] = []  # of the run that goes on
    steps = 0

    def after_epoch(_: int, accuracy: float) -> None:
        nonlocal steps
        steps += 1
        seen.append(accuracy)
        report(steps, fmean([*finished, max(seen)]))

    for run in runs:
        seen.clear()
        finished.append(validation_accuracy(replace(run, hyperparameters=applied(run, values)), workspace, after_epoch))
    return fmean(finished)


def _do_trial(study: Study, store: optuna.Study, workspace: Workspace) -> FrozenTrial:
    trial = store.ask(study.space.distributions)
    started = time.perf_counter()
    epochs = 0

    def report(step: int, accuracy: float) -> None:
        nonlocal epochs
        epochs = step
        if not study.with_cost:
            trial.report(accuracy, step)
            if trial.should_prune():
                raise optuna.TrialPruned

    try:
        accuracy = accuracy_of(study.runs, trial.params, workspace, report)
    except optuna.TrialPruned:
        _note(trial, epochs, started)
        return store.tell(trial, state=TrialState.PRUNED)
    _note(trial, epochs, started)
    return store.tell(trial, [accuracy, _cost(study, trial.params, workspace)] if study.with_cost else accuracy)


def _note(trial: Trial, epochs: int, started: float) -> None:
    trial.set_user_attr("epochs", epochs)
    trial.set_user_attr("seconds", round(time.perf_counter() - started, 3))


def _cost(study: Study, values: Values, workspace: Workspace) -> float:
    """Return how many parameters learn, mean over groups."""
    return fmean(parameters_of(replace(run, hyperparameters=applied(run, values)), workspace) for run in study.runs)


def _sampler(name: str, done: int) -> TPESampler:
    seed = stream(done, "tuning", name) % 2**32
    return TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed, constant_liar=False)


def _pruner(study: Study) -> BasePruner:
    if study.with_cost or not study.pruning:
        return NopPruner()
    return MedianPruner(n_startup_trials=FREE_TRIALS, n_warmup_steps=study.steps // 3)


def described(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial for a file."""
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "values": dict(trial.params),
        "validation_accuracy": trial.values[0] if trial.values else None,
        "cost": trial.values[1] if trial.values and len(trial.values) > 1 else None,
        "curve": {str(step): value for step, value in sorted(trial.intermediate_values.items())},
        **{name: trial.user_attrs[name] for name in ("epochs", "seconds")},
        "started": trial.datetime_start.timestamp() if trial.datetime_start else None,
    }
