"""Learning curves from histories that are written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.analysis.report import Report
from benchmark.ledger import load_ledger, run_folder
from benchmark.reporting.figures.learning import curves, learning_chart
from benchmark.reporting.figures.source import LackingError, Source
from tests.reporting.drawn import Rule, draw_runs, write_files

RULE = Rule(methods=("late", "early"), seeds=2, backbones=("resnet18", "vgg11", "vgg13"), images=40)
FOUND = Report.model_construct(
    methods=["late", "early"],
    pairs=[("resnet18", "vgg11"), ("resnet18", "vgg13"), ("vgg11", "vgg13")],
    titles={"early": "Early fusion"},
    batch_dependent=[],
    n_seeds=2,
    profile="demo",
)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Validation accuracy is epoch / 10 + seed / 10, training twice that; late fusion has one epoch, 0."""
    runs = list(draw_runs(RULE))
    folder = write_files(tmp_path / "taught", RULE, runs)
    for record, _ in runs:
        epochs = [0] if record.method == "late" else [1, 2, 3]
        lines = [f"{epoch},{(epoch + record.seed) / 5},{(epoch + record.seed) / 10},0" for epoch in epochs]
        text = "epoch,train_accuracy,validation_accuracy,test_accuracy\n" + "\n".join(lines) + "\n"
        (run_folder(folder, record.run_id) / "history.csv").write_text(text)
    return Source(load_ledger(folder), FOUND)


def test_curves_are_means_over_pairs_by_seed(source: Source) -> None:
    found = {curve.title: curve for curve in curves(source)}
    assert list(found) == ["ResNet18", "VGG11", "VGG13", "Early fusion"]
    curve = found["Early fusion"]
    np.testing.assert_allclose(curve.epochs, [1, 2, 3])
    np.testing.assert_allclose(curve.parts["validation_accuracy"], [[10, 20, 30], [20, 30, 40]])
    np.testing.assert_allclose(curve.parts["train_accuracy"], [[20, 40, 60], [40, 60, 80]])


def test_line_is_the_mean_and_band_the_spread_over_seeds(source: Source) -> None:
    axes = learning_chart(source).figure.axes[-1]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [15, 25, 35])
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert (low, high) == pytest.approx((15 - 50**0.5, 35 + 50**0.5))


def test_without_histories_it_says_so(source: Source) -> None:
    for path in source.ledger.root.glob("runs/*/history.csv"):
        path.unlink()
    with pytest.raises(LackingError, match="holds no histories"):
        curves(source)


def test_one_epoch_is_no_curve(source: Source) -> None:
    for path in source.ledger.root.glob("runs/*/history.csv"):
        path.write_text("epoch,train_accuracy,validation_accuracy\n1,0.5,0.5\n")
    with pytest.raises(LackingError, match="two epochs or more"):
        learning_chart(source)
