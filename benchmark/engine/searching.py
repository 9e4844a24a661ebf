"""What a search starts from: trained backbones, and the plan of the methods that are searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmark.config import Settings, UserError, restore_settings
from benchmark.engine.description import with_remembered_plugins
from benchmark.engine.experiment import Request, finished_runs, planned_runs, run_experiment
from benchmark.ledger import is_finished, read_experiment

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.engine.outcomes import Failure
    from benchmark.ledger import Record
    from benchmark.plan import Run
    from benchmark.training.workspace import Workspace


@dataclass(frozen=True)
class Prepared:
    """The methods that are searched, the plan that they are part of, and what their runs work with."""

    methods: list[str]
    runs: list[Run]
    workspace: Workspace
    plugins: tuple[Path, ...]


class _Quiet:
    def planned(self, runs: Sequence[Run], to_do: Sequence[Run]) -> None:
        pass

    def ended(self, run: Run, outcome: Record | Failure) -> None:
        pass


def prepare_search(request: Request, methods: Sequence[str], studies: int, *, every: bool) -> Prepared:
    """Train the backbones that the first seeds need and do not have, and plan the methods.

    An experiment of that name gives its own settings; the request's are for a new one.

    Args:
        studies: how many seeds are looked at, as far as the experiment has them.
        every: whether to add the experiment's frozen methods to the named ones.

    Raises:
        UserError: settings or data do not allow it, or a backbone failed.
    """
    earlier = read_experiment(request.folder)
    settings = restore_settings(earlier["settings"], request.folder) if earlier else request.settings
    settings = settings.model_copy(update={"seeds": min(studies, settings.seeds), "with_arms": []})
    chosen = list(dict.fromkeys([*methods, *(_frozen_methods(request, settings) if every else ())]))
    searched = with_remembered_plugins(
        replace(request, settings=settings.model_copy(update={"methods": chosen, "questions": []}))
    )
    runs = planned_runs(searched)
    if any(run.kind == "backbone" and not is_finished(request.folder, run.run_id) for run in runs):
        alone = replace(searched, settings=settings.model_copy(update={"methods": []}))
        failures = run_experiment(alone, _Quiet()).failures
        if failures:
            raise UserError(f"{failures[0].run.label} failed ({failures[0].reason}); its methods cannot be tuned")
    canonical = list(dict.fromkeys(run.method for run in runs if run.method))
    return Prepared(canonical, runs, finished_runs(searched)[1], searched.plugins)


def _frozen_methods(request: Request, settings: Settings) -> list[str]:
    """Return the experiment's methods on stored outputs; end-to-end ones are searched when they are named."""
    plan = planned_runs(with_remembered_plugins(replace(request, settings=settings)))
    return list(dict.fromkeys(str(run.method) for run in plan if run.stage == "stored"))
