"""Write the golden ledger: made-up predictions of two seeds, a few networks, methods, arms and audit findings.

python -m tests.golden.make_ledger && ferfuse report --ledger tests/golden/ledger --reports-dir tests/golden
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.ledger import Record, load_ledger, write_json, write_run
from benchmark.ledger.packing import pack_ledger
from benchmark.statistics.metrics import all_metrics
from tests.conftest import make_record, write_ledger

TITLES = {
    "resnet18": "ResNet18",
    "resnet18#2": "ResNet18 (#2)",
    "resnet34": "ResNet34",
    "vgg13": "VGG13",
    "wide-resnet18": "Wide ResNet18",
}
METHODS = {
    "late": "Late fusion",
    "early": "Early fusion",
    "attention-fusion": "Attention fusion",
    "attention-fusion:axis=batch": "Attention fusion (axis=batch)",
    "early:partner=shuffled": "Early fusion (partner=shuffled)",
    "own": "50%_a&b <i>",
}
SIZES = {
    "resnet18": (11_180_103, 37_220_352),
    "resnet18#2": (11_180_103, 37_220_352),
    "resnet34": (21_288_263, 75_018_240),
    "vgg13": (9_444_679, 228_802_560),
    "wide-resnet18": (44_000_000, 148_000_000),
}
HEAD = (600_000, 1_200_000)
UNTIMED = "wide-resnet18"
PAIRS = [("vgg13", "resnet34"), ("resnet18", "resnet34"), ("resnet18", "vgg13"), ("resnet18", "resnet18#2")]
IMAGES = 90


def predictions(rng: np.random.Generator, skill: float) -> pd.DataFrame:
    """Random logits of 30 validation and 60 test images, the true class's raised by `skill`."""
    labels = np.random.default_rng(1).integers(0, 7, IMAGES)
    logits = rng.normal(size=(IMAGES, 7)) + skill * np.eye(7)[labels]
    split = ["validation"] * 30 + ["test"] * 60
    names = [f"{'train' if part == 'validation' else 'test'}_{i:04d}.jpg" for i, part in enumerate(split)]
    frame = pd.DataFrame({"image_id": names, "split": split, "label": labels.astype(np.int16)})
    return frame.assign(**{f"logit_{c}": logits[:, c].astype(np.float32) for c in range(7)})


def with_metrics(record: Record, frame: pd.DataFrame) -> Record:
    """Give a record the metrics of its predictions; the last epoch a little worse, the best on test better."""
    test = frame[frame["split"] == "test"]
    chosen = all_metrics(test.filter(like="logit_").to_numpy(), test["label"].to_numpy())
    metrics = {
        "validation_selected": chosen,
        "last_epoch": {**chosen, "accuracy": chosen["accuracy"] - 1 / 60},
        "best_test_epoch": {**chosen, "accuracy": chosen["accuracy"] + 2 / 60},
    }
    return dataclasses.replace(record, metrics=metrics, batch_dependent="axis=batch" in str(record.method))


def records() -> list[tuple[Record, pd.DataFrame]]:
    """All runs with their predictions."""
    rng = np.random.default_rng(5)
    made = []
    ids: dict[tuple[str, int], str] = {}
    for seed in range(2):
        for name, title in TITLES.items():
            record = make_record("backbone", None, [name], seed, 0, titles={"method": None, "backbones": [title]})
            ids[name, seed] = record.run_id
            made.append((record, predictions(rng, 1.5)))
        for method, title in METHODS.items():
            for pair in PAIRS:
                titles = {"method": title, "backbones": [TITLES[name] for name in pair]}
                record = make_record("fusion", method, list(pair), seed, 0, titles=titles)
                parents = [ids[name, seed] for name in pair]
                made.append((dataclasses.replace(record, parents=parents), predictions(rng, 2.0)))
    return [(with_cost(with_metrics(record, frame)), frame) for record, frame in made]


def with_cost(record: Record) -> Record:
    """Give a record the size of its networks and, but for one backbone, a time that differs by seed."""
    networks = [SIZES[name] for name in record.backbones]
    parameters, macs = (sum(sizes) for sizes in zip(*networks, *[HEAD] * (record.method is not None), strict=True))
    milliseconds = None if UNTIMED in record.backbones else macs / 2e8 * (1 + 0.1 * record.seed)
    return dataclasses.replace(record, parameters=parameters, macs=macs, milliseconds=milliseconds)


def finding(record: Record, rng: np.random.Generator) -> dict[str, object]:
    """An audit finding: the batch reading gains in file order, the others never change."""
    accuracy = record.metrics["validation_selected"]["accuracy"]
    gain = 0.03 + 0.01 * rng.random() if record.batch_dependent else 0.0
    shown = ("run_id", "method", "backbones", "titles", "seed")
    return {
        **{name: getattr(record, name) for name in shown},
        "batch_size": 2,
        "accuracy": {
            "file_order": accuracy,
            "sorted_by_class": accuracy + gain / 2,
            "shuffled": accuracy - gain,
            "one_by_one": accuracy - 2 * gain,
        },
        "batch_averaged_accuracy": accuracy + 0.001,
        "changed": {"sorted_by_class": gain, "shuffled": 2 * gain, "one_by_one": 3 * gain},
        "largest_difference": gain,
        "verdict": "depends on the batch" if record.batch_dependent else "independent of the batch",
        "declared": record.batch_dependent,
    }


def main() -> None:
    """Write `ledger` beside this file."""
    target = Path(__file__).parent / "ledger"
    runs = records()
    rng = np.random.default_rng(6)
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small"
        main = [method for method in METHODS if "partner" not in method]
        write_ledger(small, [record for record, _ in runs], methods=main, test_images=60)
        for record, frame in runs:
            write_run(small, record, frame, pd.DataFrame({"epoch": [1]}))
        findings = [finding(record, rng) for record, _ in runs if str(record.method).startswith("attention-fusion")]
        write_json(small / "audit.json", {"findings": findings})
        shutil.rmtree(target, ignore_errors=True)
        pack_ledger(load_ledger(small), target)


if __name__ == "__main__":
    main()
