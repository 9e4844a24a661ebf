"""The numbers of every figure, computed again from the golden ledger's predictions and records by pandas and numpy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.ledger import Record
from benchmark.reporting.figures.calibration import ece_text, reliabilities
from benchmark.reporting.figures.confusion import matrices
from benchmark.reporting.figures.cost import COSTS, Model, front, models
from benchmark.reporting.figures.forest import family_blocks, pair_blocks
from benchmark.reporting.figures.orders import ordered
from benchmark.reporting.figures.overlap import overlaps
from benchmark.reporting.figures.paired import pairings
from benchmark.reporting.figures.recall import recalls
from benchmark.reporting.figures.selection import gains
from benchmark.reporting.figures.source import Source

LOGITS = [f"logit_{c}" for c in range(7)]


def test_frame(source: Source, record: Record) -> pd.DataFrame:
    """One run's test images: label, top class, its probability, whether it is right."""
    frame = source.ledger.predictions(record.run_id).query("split == 'test'").set_index("image_id").sort_index()
    powers = np.exp(frame[LOGITS].to_numpy(np.float64))
    top = frame[LOGITS].to_numpy().argmax(axis=1)
    confidence = powers.max(axis=1) / powers.sum(axis=1)
    return pd.DataFrame({"label": frame["label"], "top": top, "confidence": confidence, "right": top == frame["label"]})


test_frame.__test__ = False  # type: ignore[attr-defined]


def frames(source: Source, method: str | None) -> pd.DataFrame:
    """The test images of all runs of a method, or of all networks alone, with seed and networks."""
    found = [
        test_frame(source, record).assign(seed=record.seed, pair="+".join(record.backbones))
        for record in source.ledger.records
        if record.method == method
    ]
    return pd.concat(found)


def accuracy_by_seed(source: Source, method: str) -> np.ndarray:
    """(S,) accuracy in percent, mean over pairs of each pair's own accuracy."""
    by_pair = frames(source, method).groupby(["seed", "pair"])["right"].mean()
    return 100 * by_pair.groupby("seed").mean().to_numpy()


def test_forest_differences_and_intervals(source: Source) -> None:
    blocks = {block.heading: block.lines for block in family_blocks(source)}
    lines = blocks["Attention fusion against its baselines"]
    assert [line.label for line in lines] == ["Late fusion", "Early fusion"]
    for line, baseline in zip(lines, ("late", "early"), strict=True):
        d = accuracy_by_seed(source, "attention-fusion") - accuracy_by_seed(source, baseline)
        half = stats.t.ppf(1 - 0.04 / 2 / 2, 1) * d.std(ddof=1) / np.sqrt(2)
        assert line.difference == pytest.approx(d.mean(), abs=1e-4)
        assert line.over_seeds == pytest.approx((d.mean() - half, d.mean() + half), abs=1e-3)
        assert len(line.over_images) == 2
    assert [line.label for line in blocks["Further methods against simple fusion"]] == [
        "50%_a&b <i> – Late fusion",
        "50%_a&b <i> – Early fusion",
    ]


def test_forest_pair_by_pair(source: Source) -> None:
    block = pair_blocks(source)[1]
    assert block.heading == "Attention fusion against Early fusion"
    both = [
        100 * frames(source, method).query("pair == 'vgg13+resnet34'").groupby("seed")["right"].mean()
        for method in ("attention-fusion", "early")
    ]
    line = next(line for line in block.lines if line.label == "VGG13 + ResNet34")
    assert line.difference == pytest.approx((both[0] - both[1]).mean(), abs=1e-4)


def test_one_seed_has_no_interval(source: Source) -> None:
    none = {"seeds_interval": (None, None), "images_interval": (None, None)}
    rows = [row.model_copy(update=none) for row in source.found.comparisons]
    lines = family_blocks(Source(source.ledger, source.found.model_copy(update={"comparisons": rows})))[0].lines
    assert [(line.over_seeds, line.over_images) for line in lines] == [((), ()), ((), ())]


def test_seed_by_seed_holds_both_methods_of_each_comparison(source: Source) -> None:
    found = {(pairing.method, pairing.baseline): pairing for pairing in pairings(source)}
    assert len(found) == 5
    pairing = found["Attention fusion", "Early fusion"]
    assert pairing.seeds == [0, 1]
    np.testing.assert_allclose(pairing.first, accuracy_by_seed(source, "attention-fusion"))
    np.testing.assert_allclose(pairing.second, accuracy_by_seed(source, "early"))


def test_costs_and_accuracies_of_all_models(source: Source) -> None:
    found = models(source)
    assert len(found) == 5 + 5 * 4
    model = next(model for model in found if model.label == "Late fusion, VGG13 + ResNet34")
    expected = 100 * frames(source, "late").query("pair == 'vgg13+resnet34'")["right"].mean()
    assert model.accuracy == pytest.approx(expected)
    record = next(r for r in source.ledger.records if (r.method, r.backbones) == ("late", ["vgg13", "resnet34"]))
    assert (model.multiply_adds * 1e6, model.parameters * 1e6) == pytest.approx((record.macs, record.parameters))
    assert {model.sound for model in found if "axis=batch" in model.label} == {False}


def test_front_is_what_nothing_cheaper_reaches() -> None:
    drawn = [("a", 1, 80), ("b", 2, 79), ("c", 2, 85), ("d", 3, 85), ("e", 4, 90), ("f", 5, 89)]
    found = [Model("k", label, cost, 10 - cost, accuracy, label != "e") for label, cost, accuracy in drawn]
    assert [model.label for model in front(found, "multiply_adds")] == ["a", "c", "f"]
    assert [model.label for model in front(found, "parameters")] == ["f"]
    for cost in COSTS:
        chosen = front(found, cost)
        for model in found:
            beaten = any(getattr(c, cost) <= getattr(model, cost) and c.accuracy >= model.accuracy for c in chosen)
            assert beaten or not model.sound


def test_confusion_counts_every_run(source: Source) -> None:
    found = {matrix.title: matrix for matrix in matrices(source)}
    for title, method, runs in (("Early fusion", "early", 8), ("Networks alone", None, 10)):
        frame = frames(source, method)
        expected = pd.crosstab(frame["label"], frame["top"]).reindex(index=range(7), columns=range(7), fill_value=0)
        np.testing.assert_array_equal(found[title].counts, expected.to_numpy())
        assert found[title].runs == runs
        np.testing.assert_allclose(found[title].shares.sum(axis=1), 1)


def test_recall_by_class(source: Source) -> None:
    recall = next(recall for recall in recalls(source) if recall.title == "Attention fusion")
    by_run = frames(source, "attention-fusion").groupby(["seed", "pair", "label"])["right"].mean()
    expected = by_run.groupby(["seed", "label"]).mean().to_numpy().reshape(2, 7)
    np.testing.assert_allclose(recall.values, 100 * expected)


def test_overlap_of_a_pair(source: Source) -> None:
    overlap = next(overlap for overlap in overlaps(source) if overlap.label == "ResNet18 + VGG13")
    alone = frames(source, None).reset_index()
    shares = []
    for seed in (0, 1):
        both = alone[alone["seed"] == seed].pivot_table(index="image_id", columns="pair", values="right", aggfunc="sum")
        first, second = both["resnet18"].astype(bool), both["vgg13"].astype(bool)
        shares.append([100 * x.mean() for x in (first & second, first & ~second, second & ~first, ~(first | second))])
    np.testing.assert_allclose(overlap.shares, np.mean(shares, axis=0))
    late = frames(source, "late").query("pair == 'resnet18+vgg13'")["right"].mean()
    assert overlap.fused["late"] == pytest.approx(100 * late)


def test_selection_gains_agree_with_the_verdicts(source: Source) -> None:
    for gain, method in zip(gains(source), ("late", "early", "attention-fusion"), strict=False):
        stated = source.found.selection_optimism[method]
        assert gain.means["best_test_epoch"] == pytest.approx(stated.difference, abs=1e-5)
        assert gain.spreads["best_test_epoch"] == pytest.approx(stated.sd, abs=1e-5)
        assert gain.means["last_epoch"] == pytest.approx(-100 / 60)


def test_orders_are_the_audits(source: Source) -> None:
    found = {method.title: method for method in ordered(source)}
    assert list(found) == ["Attention fusion", "Attention fusion (axis=batch) †"]
    audit = pd.DataFrame(
        {**finding["accuracy"], "seed": finding["seed"]}
        for finding in source.ledger.audit
        if finding["method"] == "attention-fusion:axis=batch"
    )
    expected = 100 * audit.groupby("seed")[["file_order", "sorted_by_class", "shuffled", "one_by_one"]].mean()
    np.testing.assert_allclose(found["Attention fusion (axis=batch) †"].values, expected.to_numpy())


def test_reliability_bins_and_calibration_error(source: Source) -> None:
    found = next(found for found in reliabilities(source) if found.title == "Late fusion")
    frame = frames(source, "late")
    bins = pd.cut(frame["confidence"], np.linspace(0, 1, 16), right=False, labels=range(15))
    expected = frame.groupby(bins, observed=False).agg(
        n=("right", "size"), accuracy=("right", "mean"), confidence=("confidence", "mean")
    )
    np.testing.assert_array_equal(found.counts, expected["n"])
    np.testing.assert_allclose(found.accuracy, 100 * expected["accuracy"].astype(float))
    np.testing.assert_allclose(found.confidence, 100 * expected["confidence"].astype(float))
    errors = []
    for _, run in frame.assign(bin=bins).groupby(["seed", "pair"]):
        gaps = run.groupby("bin", observed=True).apply(lambda g: abs(g["right"].sum() - g["confidence"].sum()))
        errors.append(100 * gaps.sum() / len(run))
    by_seed = np.reshape(errors, (2, 4)).mean(axis=1)
    np.testing.assert_allclose(found.ece, by_seed)
    assert ece_text(found) == f"{by_seed.mean():.1f} ± {by_seed.std(ddof=1):.1f} %"
