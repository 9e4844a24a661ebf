"""Pictures of a search: its history, what mattered, which values went together. Optuna draws them, by matplotlib."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import matplotlib
import optuna
from optuna.visualization.matplotlib import (
    plot_optimization_history,
    plot_parallel_coordinate,
    plot_param_importances,
    plot_pareto_front,
)

from benchmark.tuned import TUNING, file_stem
from benchmark.tuning.study import ACCURACY, ENDED, open_storage

IMPORTANCE_SEED = 0


def draw_search(found: dict[str, Any], experiment: Path, folder: Path) -> list[Path]:
    """Draw a search into `folder` and return the files.

    Args:
        found: what `tune` returned of one target.
    """
    matplotlib.use("agg")
    storage = open_storage(experiment / TUNING)
    studies = [optuna.load_study(study_name=study["name"], storage=storage) for study in found["studies"]]
    together = optuna.create_study(directions=studies[0].directions)
    together.add_trials([trial for study in studies for trial in study.get_trials(states=ENDED)])
    target = (lambda trial: trial.values[0]) if len(together.directions) > 1 else None
    named: dict[str, Any] = {"target": target, "target_name": ACCURACY}
    folder.mkdir(parents=True, exist_ok=True)
    # Optuna sets its own style for the whole process, and calls its pictures experimental.
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")
        axes = {
            "history": plot_optimization_history(studies, **named),
            "parallel": plot_parallel_coordinate(together, **named),
        }
        if _differ(together):
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=IMPORTANCE_SEED)
            axes["importances"] = plot_param_importances(together, evaluator=evaluator, **named)
        if target:
            axes["pareto"] = plot_pareto_front(together, target_names=[ACCURACY, "parameters"])
        return [_save(ax, folder / f"{file_stem(found['target'])}-{name}.png", found) for name, ax in axes.items()]


def _differ(study: optuna.Study) -> bool:
    """Tell whether trials differ in accuracy: where none does, no setting matters."""
    return len({trial.values[0] for trial in study.get_trials(deepcopy=False) if trial.values}) > 1


def _save(axes: Any, path: Path, found: dict[str, Any]) -> Path:
    figure = axes.figure
    axes.set_title(f"{found['target']}: {len(found['studies'])} studies of {found['budget']['trials']} trials")
    figure.savefig(path, dpi=100, bbox_inches="tight")
    matplotlib.pyplot.close(figure)
    return path
