"""Hold every file of a ledger against what its runs left: seals, digests, ids, metrics, labels."""

from __future__ import annotations

from pathlib import Path

from benchmark.config import UserError
from benchmark.ledger.format import Record
from benchmark.ledger.ids import NO_WEIGHTS, run_id_of
from benchmark.ledger.reading import Ledger, load_ledger
from benchmark.statistics.metrics import all_metrics

TOLERANCE = 1e-6


def verify_ledger(experiment: Path) -> tuple[int, list[str]]:
    """Return the number of runs, and what is wrong with them, a line each; nothing where the ledger is sound.

    Records, experiment and audit by their seals; predictions and histories by the digests in the records; ids by the
    settings that they are made from; the metrics of the validation-selected epoch by computing them again; labels of
    an image by comparing all runs.

    Raises:
        UserError: a file is damaged so that no run can be read.
    """
    ledger = load_ledger(experiment)
    _ = ledger.audit, ledger.transfers, ledger.repetitions  # their seals
    records = [*ledger.records, *ledger.aside]
    labels: dict[str, tuple[int, str]] = {}
    faults = [fault for record in records for fault in _faults(ledger, record, labels)]
    unsealed = [record.run_id for record in records if not record.digests]
    if unsealed:
        faults.append(
            f"{len(unsealed)} of {len(records)} runs have no seal (written by an earlier version, or it was taken "
            f"off), such as {unsealed[0]}: a line above names those whose numbers are not their predictions'; "
            f"`ferfuse export --experiment {ledger.name}` seals them"
        )
    return len(records), faults


def _faults(ledger: Ledger, record: Record, labels: dict[str, tuple[int, str]]) -> list[str]:
    import numpy as np

    where = f"run {record.run_id} ({record.method or record.kind} on {'+'.join(record.backbones)}, seed {record.seed})"
    try:
        ledger.history(record.run_id)
        table = ledger.prediction_table(record.run_id)
        shown = ledger.classified(record.run_id)
    except UserError as error:
        return [str(error)]
    faults = []
    for image, label in zip(shown.image_ids.to_pylist(), shown.labels.tolist(), strict=True):
        known, other = labels.setdefault(image, (label, record.run_id))
        if label != known:
            faults.append(f"{where} labels image {image} {label}, run {other} labels it {known}")
            break
    expected = _expected_id(record)
    if expected is not None and expected != record.run_id:
        faults.append(f"{where}: its settings, seed and parents give the id {expected}")
    columns = [name for name in table.column_names if name.startswith("logit_")]
    logits = np.column_stack([table.column(name).to_numpy() for name in columns])
    found = all_metrics(logits[shown.is_test], shown.labels[shown.is_test])
    for name, stated in record.metrics["validation_selected"].items():
        if name in found and not abs(found[name] - stated) <= TOLERANCE:
            faults.append(f"{where}: its record says {name} {stated:.6g}, its predictions give {found[name]:.6g}")
    return faults


def _expected_id(record: Record) -> str | None:
    """Return the id that a run's settings give; None where they do not tell (weights from a file, other tools)."""
    settings = dict(record.hyperparameters)
    if record.kind != "fusion":
        if settings.get("weights"):
            return None
        settings["weights"] = NO_WEIGHTS
    return run_id_of(record.kind, settings, record.seed, record.parents) if "dataset_digest" in settings else None
