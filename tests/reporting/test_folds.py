"""Tables, figures and verdicts where every seed tests on another fold, computed again by pandas from the files."""

from __future__ import annotations

import json
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.analysis.report import Report
from benchmark.ledger import Ledger, load_ledger, read_experiment, write_experiment, write_json, write_run
from benchmark.reporting.figures.all_charts import all_charts
from benchmark.reporting.figures.forest import family_blocks, forest_chart
from benchmark.reporting.figures.overlap import overlaps
from benchmark.reporting.figures.recall import recalls
from benchmark.reporting.figures.selection import gains
from benchmark.reporting.figures.source import LackingError, Source
from benchmark.reporting.formats import render, to_markdown
from benchmark.reporting.page.write import write_page
from benchmark.reporting.report import available_tables, make_table, write_report
from benchmark.reporting.side_by_side import compare_ledgers
from benchmark.statistics.mcnemar import mcnemar_test
from benchmark.statistics.metrics import all_metrics
from tests.conftest import make_record, write_ledger

IMAGES, FOLDS, SEEDS, CLASSES = 230, 4, 6, 7
BACKBONES = ["resnet18", "resnet18#2", "vgg13"]
PAIRS = [["resnet18", "resnet18#2"], ["resnet18", "vgg13"]]
METHODS = ["late", "early", "attention-fusion", "early:features=cross-fitted"]
ARMS = ["attention-fusion:axis=batch", "early:partner=shuffled"]
SKILL = {"attention-fusion": 1.6, "early": 0.9, "late": 1.0, None: 0.5}
BATCH = 16
HISTORY = pd.DataFrame({"epoch": [1, 2], "train_accuracy": [0.3, 0.5], "validation_accuracy": [0.3, 0.4]})


def test_part(seed: int) -> np.ndarray:
    """The rows that a seed tests on: fold `seed` modulo 4 of a cut for every four seeds; fold 0 lacks class 6."""
    cut, fold = divmod(seed, FOLDS)
    order = np.random.default_rng(100 + cut).permutation(IMAGES)
    parts = np.arange(IMAGES) % FOLDS
    parts[(parts == 0) & (order % CLASSES == 6)] = 1
    return np.sort(order[parts == fold])


test_part.__test__ = False  # type: ignore[attr-defined]


def said(seed: int, method: str | None, networks: list[str]) -> pd.DataFrame:
    """What a run says of its validation and test images, in file order."""
    test = test_part(seed)
    validation = np.setdiff1d(np.arange(IMAGES), test)[::5]
    key = [seed, *(ord(c) for c in f"{method}{networks}")]
    rng = np.random.default_rng(key)
    rows = np.concatenate([validation, test])
    labels = rows % CLASSES
    logits = rng.normal(size=(len(rows), CLASSES)) + SKILL.get(method, 0.8) * np.eye(CLASSES)[labels]
    frame = pd.DataFrame({"image_id": [f"face_{(row * 37) % IMAGES:04d}.png" for row in rows]})
    frame["split"] = ["validation"] * len(validation) + ["test"] * len(test)
    frame["label"] = labels.astype(np.int16)
    for column in range(CLASSES):
        frame[f"logit_{column}"] = logits[:, column].astype(np.float32)
    return frame


def finding(record: Any, accuracy: float) -> dict[str, Any]:
    depends = "axis=batch" in record.method
    orders = {"file_order": accuracy, "sorted_by_class": accuracy + 0.1 * depends, "shuffled": accuracy}
    return {
        "run_id": record.run_id, "method": record.method, "backbones": record.backbones, "titles": record.titles,
        "seed": record.seed, "batch_size": BATCH, "accuracy": {**orders, "one_by_one": accuracy},
        "batch_averaged_accuracy": accuracy, "changed": {"sorted_by_class": 0.2 * depends, "shuffled": 0.0},
        "largest_difference": float(depends), "declared": depends,
        "verdict": "depends on the batch" if depends else "independent of the batch",
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three networks, two pairs, six seeds on four folds: the files of a ledger, written by hand."""
    root = tmp_path_factory.mktemp("results") / "folds"
    cells = [(None, [name]) for name in BACKBONES]
    cells += [(method, pair) for method in [*METHODS, *ARMS] for pair in PAIRS]
    records = [
        make_record("fusion" if method else "backbone", method, networks, seed, 0)
        for method, networks in cells
        for seed in range(SEEDS)
    ]
    write_ledger(root, records, methods=METHODS)
    written = read_experiment(root)
    assert written is not None
    data = {**written["dataset"], "images": {"train": [33] * 6 + [32], "test": [33] * 6 + [32]}}
    drawn = {"split": "kfold", "test_folds": FOLDS}
    main = {"backbones": BACKBONES, "methods": METHODS, "groups": PAIRS}
    settings = {**written["settings"], "seeds": SEEDS, "data": drawn}
    gate = {"split": "kfold", "findings": []}
    write_experiment(root, {**written, "data": gate, "dataset": data, "main": main, "settings": settings})
    audit = []
    for record in records:
        frame = said(record.seed, record.method, record.backbones)
        test = frame[frame["split"] == "test"]
        metrics = all_metrics(test.filter(like="logit_").to_numpy(), test["label"].to_numpy())
        better = {**metrics, "accuracy": metrics["accuracy"] + (record.seed + 1) / 500}
        rules = {"validation_selected": metrics, "last_epoch": metrics, "best_test_epoch": better}
        parents = ["a-fold"] * 4 if "cross-fitted" in str(record.method) else []
        given = {"epochs": 3, "batch_size": BATCH, **drawn}
        found = replace(record, metrics=rules, parents=parents, hyperparameters=given)
        write_run(root, found, frame, HISTORY)
        if record.method:
            audit.append(finding(record, metrics["accuracy"]))
    write_json(root / "audit.json", {"findings": audit})
    return root


@pytest.fixture(scope="module")
def ledger(folder: Path) -> Ledger:
    return load_ledger(folder)


@pytest.fixture(scope="module")
def found(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What the report's `significance.json` holds."""
    reports = tmp_path_factory.mktemp("reports")
    write_report(ledger, reports)
    page, figures = write_page(ledger, reports)
    words = page.read_text()
    assert "its error enlarged for the training images that the seeds' runs share" in words.replace("&#39;", "'")
    assert "Seeds × images" not in words
    assert len(list(figures.glob("*.svg"))) >= 10
    return Report.model_validate_json((reports / "folds" / "significance.json").read_text())


@pytest.fixture(scope="module")
def files(folder: Path) -> pd.DataFrame:
    """Every row of every run's file of predictions, with whether it is right, in the order of the files."""
    frames = []
    for path in sorted(folder.glob("runs/*/record.json")):
        record = json.loads(path.read_text())
        frame = pd.read_parquet(path.with_name("predictions.parquet"))
        frame["top"] = frame.filter(like="logit_").to_numpy().argmax(axis=1)
        frame["right"] = frame["top"] == frame["label"]
        frames.append(
            frame.assign(method=record["method"] or "alone", pair="+".join(record["backbones"]), seed=record["seed"])
        )
    return pd.concat(frames)


def percent(files: pd.DataFrame, method: str, pair: list[str] | None = None, split: str = "test") -> pd.Series:
    """Accuracy in percent by seed, the mean over pairs where none is named."""
    rows = files[(files["method"] == method) & (files["split"] == split)]
    rows = rows if pair is None else rows[rows["pair"] == "+".join(pair)]
    return 100 * rows.groupby(["seed", "pair"])["right"].mean().groupby("seed").mean()


def rows_of(number: int | str, ledger: Ledger, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    table = make_table(int(number), ledger, values)
    rows: list[dict[str, Any]] = json.loads(render(table, "json"))["rows"]
    return rows


def error_factor() -> float:
    """Standard error of a mean over these seeds, in units of their standard deviation: √(1/6 + (1/4) / (3/4))."""
    return sqrt(1 / SEEDS + (1 / FOLDS) / (1 - 1 / FOLDS))


def test_folds_hold_every_image_once_and_one_lacks_a_class() -> None:
    for cut in (0, 1):
        tested = np.concatenate([test_part(FOLDS * cut + fold) for fold in range(FOLDS)])
        assert sorted(tested) == list(range(IMAGES))
    assert 6 not in test_part(0) % CLASSES


def test_tables_1_and_2_have_the_means_and_intervals_of_folds(ledger: Ledger, files: pd.DataFrame) -> None:
    reach = stats.t.ppf(0.975, SEEDS - 1) * error_factor()
    cells = [(row, percent(files, "alone", [row["backbone"]])) for row in rows_of(1, ledger)]
    cells += [(row, percent(files, row["method"], [row["model_1"], row["model_2"]])) for row in rows_of(2, ledger)]
    assert len(cells) == 3 + 4 * 2
    for row, values in cells:
        mean, sd = values.mean(), values.std()
        assert (row["accuracy"], row["accuracy_sd"]) == pytest.approx((mean, sd), abs=1e-6)
        ends = max(0, mean - reach * sd), min(100, mean + reach * sd)
        assert (row["interval_low"], row["interval_high"]) == pytest.approx(ends, abs=1e-6)
    text = to_markdown(make_table(2, ledger))
    assert "230 images, each seed tests on one of 4 parts" in text
    assert "about this test set alone" not in text


def test_table_3_has_each_seeds_own_images(ledger: Ledger, files: pd.DataFrame) -> None:
    rows = {row["method"]: row for row in rows_of(3, ledger)}
    assert set(rows) == {"attention-fusion", "attention-fusion:axis=batch"}
    for method, row in rows.items():
        values = percent(files, method)
        depends = method.endswith("batch")
        assert (row["file_order"], row["file_order_sd"]) == pytest.approx((values.mean(), values.std()), abs=1e-6)
        assert row["sorted_by_class"] == pytest.approx(values.mean() + 10 * depends, abs=1e-6)
        assert row["changed"] == pytest.approx(20 * depends)


def test_table_4_joins_networks_on_their_own_fold(ledger: Ledger, files: pd.DataFrame) -> None:
    rows = {row["backbones"]: row for row in rows_of(4, ledger)}
    for pair in PAIRS:
        row = rows[" + ".join(pair)]
        shares = []
        for seed in range(SEEDS):
            alone = files[(files["method"] == "alone") & (files["seed"] == seed)]
            by_network = [alone[alone["pair"] == name] for name in pair]
            validation = [frame.loc[frame["split"] == "validation", "right"].mean() for frame in by_network]
            first, second = (frame[frame["split"] == "test"].set_index("image_id") for frame in by_network)
            both = first.merge(second, on="image_id", suffixes=("_1", "_2"), validate="1:1")
            assert len(both) == len(first) == len(test_part(seed))
            wrong = ~both["right_1"].astype(bool), ~both["right_2"].astype(bool)
            shares.append(
                {
                    "best_single": (first, second)[int(np.argmax(validation))]["right"].mean(),
                    "oracle": (~(wrong[0] & wrong[1])).mean(),
                    "disagree": (both["top_1"] != both["top_2"]).mean(),
                    "overlap": (wrong[0] & wrong[1]).sum() / (wrong[0] | wrong[1]).sum(),
                }
            )
        expected = 100 * pd.DataFrame(shares)
        for name in ("best_single", "oracle"):
            assert (row[name], row[f"{name}_sd"]) == pytest.approx((expected[name].mean(), expected[name].std()))
        assert (row["disagree"], row["overlap"]) == pytest.approx(
            (expected["disagree"].mean(), expected["overlap"].mean())
        )
        for method in ("late", "early", "attention-fusion", "early:partner=shuffled"):
            assert row[method] == pytest.approx(percent(files, method, pair).mean(), abs=1e-6)
    assert 4 in available_tables(ledger)


def test_table_5_reads_every_run_on_its_own_fold(ledger: Ledger, files: pd.DataFrame) -> None:
    rows = {row["method"]: row for row in rows_of(5, ledger)}
    for method, row in rows.items():
        name = "alone" if method == "backbones" else method
        test = files[(files["method"] == name) & (files["split"] == "test")]
        values = percent(files, name)
        assert (row["validation_selected"], row["validation_selected_sd"]) == pytest.approx(
            (values.mean(), values.std())
        )
        assert row["optimism"] == pytest.approx(100 * np.mean([(seed + 1) / 500 for seed in range(SEEDS)]))
        batches = test.groupby(["seed", "pair"])["right"].apply(
            lambda right: right.groupby(np.arange(len(right)) // BATCH).mean().mean()
        )
        assert row["batch_averaged"] == pytest.approx(100 * batches.groupby("seed").mean().mean())
        assert row["n"] == SEEDS


def test_every_table_says_that_parts_were_drawn(ledger: Ledger) -> None:
    for number in range(1, 6):
        assert "every seed tests on another part of them" in to_markdown(make_table(number, ledger)), number


def corrected(differences: pd.Series, comparisons: int = 1, alpha: float = 0.04) -> tuple[float, tuple[float, float]]:
    """Nadeau and Bengio's p-value and interval."""
    error = differences.std() * error_factor()
    reach = stats.t.ppf(1 - alpha / comparisons / 2, SEEDS - 1) * error
    p = 2 * stats.t.sf(abs(differences.mean()) / error, SEEDS - 1)
    return float(p), (differences.mean() - reach, differences.mean() + reach)


def test_primary_comparisons_are_corrected(found: Report, files: pd.DataFrame) -> None:
    rows = [row for row in found.comparisons if row.family == "primary"]
    assert [row.baseline for row in rows] == ["late", "early"]
    differences = [percent(files, "attention-fusion") - percent(files, row.baseline) for row in rows]
    for row, one in zip(rows, differences, strict=True):
        p, interval = corrected(one, comparisons=2)
        assert (row.difference, row.sd) == pytest.approx((one.mean(), one.std()), rel=1e-4)
        assert row.seeds_interval == pytest.approx(interval, rel=1e-4)
        assert row.p_adjusted == pytest.approx(min(1, 2 * p), rel=1e-4)
        assert row.images_interval == row.seeds_interval


def test_best_single_is_chosen_by_mean_validation_accuracy(found: Report, files: pd.DataFrame) -> None:
    row = next(r for r in found.comparisons if (r.family, r.method) == ("best-single", "late"))
    singles = []
    for pair in PAIRS:
        validation, test = (
            pd.concat([percent(files, "alone", [name], split) for name in pair], axis=1).to_numpy()
            for split in ("validation", "test")
        )
        singles.append(test[:, validation.mean(axis=0).argmax()])
    assert row.difference == pytest.approx((percent(files, "late") - np.mean(singles, axis=0)).mean(), rel=1e-4)


def test_mcnemar_joins_two_models_on_the_same_fold(found: Report, files: pd.DataFrame) -> None:
    assert len(found.single_models) == 2 * len(PAIRS) * SEEDS
    for row in found.single_models:
        own = files[(files["pair"] == "+".join(row.pair)) & (files["seed"] == row.seed) & (files["split"] == "test")]
        first, second = (own[own["method"] == name].set_index("image_id") for name in (row.method, row.baseline))
        both = first.merge(second, on="image_id", suffixes=("_1", "_2"), validate="1:1")
        assert len(both) == len(test_part(row.seed))
        right, other = both["right_1"].astype(bool), both["right_2"].astype(bool)
        assert (row.only_method, row.only_baseline) == ((right & ~other).sum(), (~right & other).sum())
        assert row.p_value == pytest.approx(mcnemar_test(right, other).p_value, rel=1e-4)


def test_the_top_of_a_table_rests_on_corrected_tests(found: Report, files: pd.DataFrame) -> None:
    """All pairs of methods by the corrected test under Holm: who is told apart from the highest?"""
    methods = found.standings["methods"].compared
    values = {method: percent(files, method) for method in methods}
    pairs = [(a, b) for place, a in enumerate(methods) for b in methods[place + 1 :]]
    adjusted = multipletests([corrected(values[a] - values[b])[0] for a, b in pairs], method="holm")[1]
    plain = multipletests([stats.ttest_rel(values[a], values[b]).pvalue for a, b in pairs], method="holm")[1]
    assert ((adjusted <= 0.05) != (plain <= 0.05)).any(), "the correction has to matter here"
    highest = max(methods, key=lambda method: values[method].mean())
    apart = {
        ({*pair} - {highest}).pop() for pair, p in zip(pairs, adjusted, strict=True) if p <= 0.04 and highest in pair
    }
    (group,) = found.standings["methods"].groups
    assert set(group.top) == set(methods) - apart


def test_no_seeds_are_advised_where_they_would_test_on_the_same_images_again(found: Report) -> None:
    rows = [row for row in found.comparisons if row.verdict == "open"]
    assert rows
    assert all(row.advice is None for row in rows)


def test_figures_are_those_of_folds(ledger: Ledger, found: Report, files: pd.DataFrame) -> None:
    source = Source(ledger, found)
    left_out = {name: str(chart) for name, chart in all_charts(source).items() if isinstance(chart, LackingError)}
    assert not left_out
    for gain, method in zip(gains(source), METHODS, strict=False):
        stated = found.selection_optimism[method].sd
        assert gain.spreads["best_test_epoch"] == pytest.approx(stated, rel=1e-4), gain.title
    assert all(line.over_images == () for block in family_blocks(source) for line in block.lines)
    assert "Nadeau and Bengio" in forest_chart(source).caption
    overlap = overlaps(source)[0]
    assert 100 - overlap.shares[3] == pytest.approx(rows_of(4, ledger)[0]["oracle"])


def test_a_class_that_a_fold_lacks_counts_on_the_others(ledger: Ledger, found: Report, files: pd.DataFrame) -> None:
    late = next(recall for recall in recalls(Source(ledger, found)) if recall.title == "Late")
    test = files[(files["method"] == "late") & (files["split"] == "test")]
    by_run = test.groupby(["seed", "pair", "label"])["right"].mean().reset_index()
    by_seed = 100 * by_run.pivot_table(index="seed", columns="label", values="right", aggfunc="mean")
    assert by_seed[6].isna().sum() >= 1
    np.testing.assert_allclose(late.mean, by_seed.mean())
    np.testing.assert_allclose(late.spread, by_seed.std())


def test_ledgers_of_folds_are_compared_with_the_correction(ledger: Ledger, files: pd.DataFrame) -> None:
    lower = [
        replace(
            r, metrics={rule: {**m, "accuracy": m["accuracy"] - 0.01 * (r.seed % 3)} for rule, m in r.metrics.items()}
        )
        for r in ledger.records
    ]
    rows = json.loads(render(compare_ledgers(ledger, replace(ledger, records=lower)), "json"))["rows"]
    expected = pd.Series([float(seed % 3) for seed in range(SEEDS)])
    for row in rows:
        assert row["test"] == "paired"
        assert (row["interval_low"], row["interval_high"]) == pytest.approx(corrected(expected, alpha=0.05)[1])
    other = {**ledger.experiment["settings"], "data": {"split": "kfold", "test_folds": 5}}
    apart = replace(ledger, experiment={**ledger.experiment, "settings": other})
    rows = json.loads(render(compare_ledgers(ledger, apart), "json"))["rows"]
    assert {row["test"] for row in rows} == {"Welch"}, "seed s of 4 folds and of 5 tests on other images"
