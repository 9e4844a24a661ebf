"""A drawn ledger with all that figures are made of: graded logits, costs, histories, and an audit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmark.ledger import Record, run_folder, write_json
from benchmark.statistics.metrics import all_metrics
from tests.reporting.drawn import FIVE, VALIDATION, Rule, draw_runs, write_files

OWN = ("gated", "film", "bilinear", "tensor", "own")
TEN = Rule(
    methods=(*FIVE, *OWN),
    gains={"attention-fusion": 1.2, "joint": -1.5, "gated": 0.6, "film": -0.4, "own": 2.5},
    leaks=("own",),
    seeds=10,
    images=3068,
)
ODD_TITLE = "50%_a&b <b>$x$</script><script>alert(1)</script>"
TITLES = {
    "late": "Late fusion",
    "early": "Early fusion",
    "joint": "Joint fusion",
    "attention-fusion": "Attention fusion",
    "attention-fusion-without-local": "Attention fusion without local attention",
    "own": ODD_TITLE,
}
EPOCHS = 12


def write_crowded(folder: Path, rule: Rule = TEN) -> Path:
    """Write a folder of runs, with histories and an audit, and return it."""
    runs = list(_graded(rule))
    write_files(folder, rule, runs)
    rng = np.random.default_rng(4)
    for record, _ in runs:
        (run_folder(folder, record.run_id) / "history.csv").write_text(_history(record, rng))
    findings = [
        _finding(record, rng) for record, _ in runs if record.method in rule.methods and record.method != "late"
    ]
    write_json(folder / "audit.json", {"findings": findings})
    return folder


def _graded(rule: Rule) -> Iterator[tuple[Record, pa.Table]]:
    """Give each run logits of varying height, metrics of these, and costs; who is right stays as drawn."""
    rng = np.random.default_rng(3)
    for record, table in draw_runs(rule):
        logits = np.column_stack([table.column(f"logit_{c}").to_numpy() for c in range(7)])
        graded = np.float32(logits * rng.uniform(1.5, 6, (len(logits), 1)) + rng.uniform(0, 1.2, logits.shape))
        names = table.column_names[:3]
        columns = {**{n: table.column(n) for n in names}, **{f"logit_{c}": graded[:, c] for c in range(7)}}
        labels = table.column("label").to_numpy()[VALIDATION:]
        chosen = all_metrics(graded[VALIDATION:], labels)
        optimism = float(rng.uniform(0.001, 0.006))
        later = {"last_epoch": -optimism / 2, "best_test_epoch": optimism}
        metrics = {
            selection: {**chosen, "accuracy": chosen["accuracy"] + later.get(selection, 0)}
            for selection in record.metrics
        }
        yield replace(record, metrics=metrics, titles=_titles(record), **_cost(record, rule)), pa.table(columns)


def _titles(record: Record) -> dict[str, object]:
    method = record.method and TITLES.get(record.method, record.method.title())
    return {"method": method, "backbones": [name.replace("resnet", "ResNet") for name in record.backbones]}


def _cost(record: Record, rule: Rule) -> dict[str, int]:
    sizes = [1 + rule.backbones.index(name) for name in record.backbones]
    extra = 1.0 if record.method is None else 1.02 + 0.03 * rule.methods.index(record.method)
    return {"macs": int(sum(sizes) * 60e6 * extra), "parameters": int(sum(sizes) * 5e6 * extra**2)}


def _history(record: Record, rng: np.random.Generator) -> str:
    lines = [
        "epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy,test_loss,test_accuracy"
    ]
    reached = record.metrics["validation_selected"]["accuracy"]
    for epoch in range(1, EPOCHS + 1):
        train = 1 - 0.8 * np.exp(-0.35 * epoch) + rng.normal(scale=0.004)
        validation = reached * (1 - 0.7 * np.exp(-0.5 * epoch)) + rng.normal(scale=0.01)
        lines.append(
            f"{epoch},0.0003,{1 - train:.4f},{train:.4f},{1 - validation:.4f},{validation:.4f},0.5,{reached:.4f}"
        )
    return "\n".join(lines) + "\n"


def _finding(record: Record, rng: np.random.Generator) -> dict[str, object]:
    accuracy, gain = record.metrics["validation_selected"]["accuracy"], 0.0
    if record.batch_dependent:
        gain = 0.03 + 0.01 * rng.random()
    shown = ("run_id", "method", "backbones", "titles", "seed")
    orders = {"file_order": 0, "sorted_by_class": -1 / 3, "shuffled": -1, "one_by_one": -1.4}
    return {
        **{name: getattr(record, name) for name in shown},
        "batch_size": 48,
        "accuracy": {order: accuracy + gain * part for order, part in orders.items()},
        "batch_averaged_accuracy": accuracy,
        "changed": {"sorted_by_class": gain, "shuffled": 2 * gain, "one_by_one": 2 * gain},
        "largest_difference": gain,
        "verdict": "depends on the batch" if gain else "independent of the batch",
        "declared": record.batch_dependent,
    }
