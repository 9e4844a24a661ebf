"""A trained model as files: a description and the weights that its runs left. Torch is not needed to gather them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import UserError
from benchmark.ledger import Ledger, Record, again, artifact_folder, write_json
from benchmark.plugins import carried_files, source_digest

DESCRIPTION = "model.json"
BACKBONE_WEIGHTS, FUSION_WEIGHTS = "weights.safetensors", "fusion.safetensors"
END_TO_END_WEIGHTS = "end_to_end.safetensors"
FORMAT = 1


def find_run(ledger: Ledger, run_id: str | None) -> Record:
    """Return the run that a user names by the beginning of its id, or the best one on validation.

    Raises:
        UserError: no run or several begin so.
    """
    if run_id is None:
        return best_run(ledger)
    found = [record for record in ledger.records if record.run_id.startswith(run_id)]
    if len(found) != 1:
        problem = "no run" if not found else f"{len(found)} runs"
        raise UserError(
            f"{problem} of experiment '{ledger.name}' begin with {run_id}; give more of an id in {ledger.root}"
        )
    return found[0]


def best_run(ledger: Ledger) -> Record:
    """Return the run of the main comparison that is best on validation: accuracy, among equals the lower loss.

    Runs whose weights are not kept, methods whose predictions depend on their batch, and shuffled partners, which are
    a control, do not take part.

    Raises:
        UserError: no run keeps its weights, as in a published ledger.
    """
    candidates = [record for record in ledger.records if is_main(ledger, record)]
    kept = [record for record in candidates if is_model(record) and keeps_weights(ledger, record)]
    if not kept:
        raise UserError(f"experiment '{ledger.name}' keeps no weights; run it here first: `{again(ledger.experiment)}`")
    return max(kept, key=lambda record: _validation_rank(ledger, record))


def keeps_weights(ledger: Ledger, record: Record) -> bool:
    """Tell whether all weights of a run's model are there."""
    return _weights(ledger, record) is not None


def is_main(ledger: Ledger, record: Record) -> bool:
    """Tell whether a run belongs to the main comparison, and not to an arm alone."""
    main: dict[str, list[Any]] = ledger.experiment["main"]
    if record.method is None:
        return record.kind == "backbone" and record.backbones[0] in main["backbones"]
    return record.method in main["methods"] and record.backbones in main["groups"]


def gather(ledger: Ledger, record: Record, plugins: Sequence[Path], target: Path) -> None:
    """Write a model's folder: its description, its weights, and the files that register its method.

    Weights are linked where the file system can, and copied elsewhere.

    Raises:
        UserError: the weights are not kept, or predictions are not about one image alone.
    """
    if not is_model(record):
        raise UserError(
            f"the predictions of {record.method} are not about one image alone; choose another run by --run"
        )
    weights = _weights(ledger, record)
    if weights is None:
        raise UserError(f"the weights of run {record.run_id} are not kept; choose another run by --run")
    target.mkdir(parents=True, exist_ok=True)
    for name, path in weights.items():
        _link(path, target / name)
    carried = _copy_plugins(plugins, set(record.sources.values()), target)
    write_json(target / DESCRIPTION, {**describe_model(ledger, record), "plugins": carried})


def describe_model(ledger: Ledger, record: Record) -> dict[str, Any]:
    """Return what a model is built from, beside its weights."""
    data = ledger.experiment["dataset"]
    size = record.hyperparameters["image_size"]
    method = record.hyperparameters.get("method")
    return {
        "format": FORMAT,
        "run_id": record.run_id,
        "dataset": data["title"],
        "synthetic": data["synthetic"],
        "classes": data["classes"],
        "image_size": size,
        "stored_size": data.get("stored_size", size),
        "backbones": record.backbones,
        "method": method,
        "method_settings": module_settings(record.hyperparameters),
        "end_to_end": bool(record.hyperparameters.get("end_to_end")),
        "folds": max(1, len(record.parents) // len(record.backbones)),
        "sources": record.sources,
    }


def _copy_plugins(plugins: Sequence[Path], digests: set[str], target: Path) -> list[str]:
    """Copy the plug-ins of these versions with what they import, each into a folder; return their own files' names."""
    names = []
    for place, plugin in enumerate(plugin for plugin in plugins if source_digest(plugin) in digests):
        files = carried_files(plugin)
        for name, file in files.items():
            path = target / f"plugin{place}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, path)
        names.append(f"plugin{place}/{next(iter(files))}")
    return names


def module_settings(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a fusion run's module, from among its hyperparameters."""
    prefix = "method."
    return {name.removeprefix(prefix): v for name, v in hyperparameters.items() if name.startswith(prefix)}


def is_model(record: Record) -> bool:
    """Tell whether predictions are about one image alone, seen by every network."""
    return not record.batch_dependent and record.hyperparameters.get("partner") != "shuffled"


def _weights(ledger: Ledger, record: Record) -> dict[str, Path] | None:
    """Return the weights by the name that they have in a model's folder, None where some are not kept."""
    own = artifact_folder(ledger.root, record.run_id)
    if record.kind != "fusion":
        found = {_backbone_file(0): own / BACKBONE_WEIGHTS}
    elif record.hyperparameters.get("end_to_end"):
        found = {END_TO_END_WEIGHTS: own / END_TO_END_WEIGHTS}
    else:
        found = {
            _backbone_file(place): artifact_folder(ledger.root, parent) / BACKBONE_WEIGHTS
            for place, parent in enumerate(record.parents)
        }
        if record.selected_epoch > 0:
            found[FUSION_WEIGHTS] = own / FUSION_WEIGHTS
    return found if all(path.is_file() for path in found.values()) else None


def _backbone_file(place: int) -> str:
    return f"backbone{place}.safetensors"


def _validation_rank(ledger: Ledger, record: Record) -> tuple[float, float]:
    """Return accuracy and negative loss on the validation images, from the predictions that are kept."""
    from benchmark.statistics.metrics import all_metrics  # with scikit-learn, which `gather` does without

    frame = ledger.predictions(record.run_id)
    validation = frame[frame["split"] == "validation"]
    found = all_metrics(validation.filter(like="logit_").to_numpy(), validation["label"].to_numpy())
    return found["accuracy"], -found["nll"]


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
