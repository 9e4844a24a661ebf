"""Verdicts on ledgers made by a known rule, and the files that carry them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmark import cli
from benchmark.analysis.report import PrintedNumber, Report
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.report import refresh_verdicts, write_report
from benchmark.reporting.significance import make_significance, write_significance
from benchmark.statistics.verdicts import VERDICTS
from tests.reporting.drawn import FIVE, Rule, draw_runs, write_files, write_packed

BASELINES = ["late", "early", "joint", "attention-fusion-without-local"]


def drawn(folder: Path, rule: Rule) -> Ledger:
    return load_ledger(write_packed(folder / "drawn", rule))


def verdicts(found: Report, family: str = "primary") -> dict[str, str]:
    return {row.baseline: row.verdict for row in found.comparisons if row.family == family}


@pytest.fixture(scope="module")
def no_effect(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_significance(drawn(tmp_path_factory.mktemp("none"), Rule()))


@pytest.fixture(scope="module")
def gain(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One point for attention fusion, six for a method that reads its batch; two readings, one of them that method."""
    leak = "attention-fusion:axis=batch"
    rule = Rule(gains={"attention-fusion": 1.0, leak: 6.0}, images=2000, leaks=(leak,), methods=(*FIVE, leak, "own"))
    return make_significance(drawn(tmp_path_factory.mktemp("gain"), rule))


def test_no_effect_is_open_and_a_gain_of_four_points_is_excluded(no_effect: Report) -> None:
    assert set(verdicts(no_effect)) == set(BASELINES)
    assert set(verdicts(no_effect).values()) == {"open"}
    rows = [row for row in no_effect.comparisons if row.family == "primary"]
    assert all(-2 < row.loss_excluded_below < 0 < row.gain_excluded_above < 2 for row in rows)
    assert (
        "claim that attention fusion is about 4 points above late, early and joint fusion is excluded"
        in no_effect.answer
    )
    assert set(no_effect.answer.split()) & {"better", "worse"} == set()
    assert all(row.verdict == "excluded" for row in no_effect.claims if row.id == "four-points-above")


def test_a_gain_of_a_point_is_better(gain: Report) -> None:
    assert set(verdicts(gain).values()) == {"better"}
    for row in (row for row in gain.comparisons if row.family == "primary"):
        assert 0 < row.images_interval[0] < 1 < row.images_interval[1]
    assert "attention-fusion" in gain.answer.lower()
    assert "is better than" in gain.answer


def test_a_gain_of_a_fifth_of_a_point_is_practically_equal(tmp_path: Path) -> None:
    found = make_significance(drawn(tmp_path, Rule(gains={"attention-fusion": 0.2}, images=3068)))
    assert set(verdicts(found).values()) == {"practically equal"}


def test_a_loss_is_worse(tmp_path: Path) -> None:
    found = make_significance(drawn(tmp_path, Rule(gains={"attention-fusion": -2.0})))
    assert set(verdicts(found).values()) == {"worse"}
    assert {row.verdict for row in found.claims if row.id == "four-points-above"} == {"excluded"}


def test_a_leak_is_compared_and_flagged_and_never_best(gain: Report) -> None:
    leak = "attention-fusion:axis=batch"
    row = next(row for row in gain.comparisons if row.family == "readings")
    assert (row.method, row.verdict, row.batch_dependent) == (
        leak,
        "better in this order of the test images",
        True,
    )
    assert row.difference > 3
    assert gain.best == "attention-fusion"
    assert gain.batch_dependent == [leak]


def test_a_leak_in_the_primary_method_is_said_in_the_answer(tmp_path: Path) -> None:
    rule = Rule(gains={"attention-fusion": 4.0}, leaks=("attention-fusion",), methods=("late", "attention-fusion"))
    found = make_significance(drawn(tmp_path, rule))
    assert verdicts(found) == {"late": "better in this order of the test images"}
    assert "but its predictions depend on the batch" in found.answer
    assert found.best == "late"


def test_fusion_is_compared_with_the_best_single_network(gain: Report) -> None:
    rows = {row.method: row for row in gain.comparisons if row.family == "best-single"}
    assert set(rows) == {*FIVE, "own"}
    assert all(row.verdict == "better" for row in rows.values())
    assert all(row.family_size == 6 for row in rows.values())
    claim = next(row for row in gain.claims if row.id == "fusion-beats-single-networks")
    assert claim.verdict == "shown"


def test_further_methods_are_compared_with_the_simple_ones(gain: Report) -> None:
    assert list(verdicts(gain, "further")) == ["late", "early", "joint"]


def test_numbers_are_the_independent_ones(tmp_path: Path) -> None:
    rule = Rule(seeds=7, images=400, backbones=("resnet18", "vgg13", "resnet34"), gains={"attention-fusion": 0.8})
    ledger = drawn(tmp_path, rule)
    found = make_significance(ledger)
    accuracy = {
        (r.method, tuple(r.backbones), r.seed): 100 * r.metrics["validation_selected"]["accuracy"]
        for r in ledger.of_kind("fusion")
    }

    def difference(baseline: str, pairs: list[tuple[str, ...]]) -> np.ndarray:
        cells = [[accuracy["attention-fusion", g, s] - accuracy[baseline, g, s] for g in pairs] for s in range(7)]
        return np.mean(cells, axis=1)

    rows = {(r.baseline, r.pair and tuple(r.pair)): r for r in found.comparisons if r.method == FIVE[3]}
    p_values = []
    for name in BASELINES:
        values, row = difference(name, rule.pairs), rows[name, None]
        p_values.append(stats.ttest_1samp(values, 0).pvalue)
        assert row.difference == pytest.approx(values.mean(), rel=1e-5)
        assert row.sd == pytest.approx(values.std(ddof=1), rel=1e-5)
        assert row.p_adjusted == pytest.approx(min(1, 4 * p_values[-1]), rel=1e-4, abs=1e-9)
        interval = stats.ttest_1samp(values, 0).confidence_interval(1 - 0.04 / 4)
        assert row.seeds_interval == pytest.approx(interval, rel=1e-4)
        assert row.chance_above == pytest.approx(
            stats.t.cdf(values.mean() / values.std(ddof=1) / np.sqrt(8 / 7), 6), rel=1e-4
        )
    assert rows["joint", ("resnet18", "vgg13")].difference == pytest.approx(
        difference("joint", [("resnet18", "vgg13")]).mean(), rel=1e-5
    )
    assert sum(row.family == "per-pair" for row in found.comparisons) == 4 * 3


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    ledger = drawn(tmp_path, Rule(seeds=1, images=200))
    found = make_significance(ledger)
    assert {row.verdict for row in found.comparisons} == {"not yet"}
    assert {row.verdict for row in found.claims} == {"possible"}
    assert "one seed shows no spread" in found.answer
    assert all(row.sd is None and row.p_adjusted is None for row in found.comparisons)
    write_report(ledger, tmp_path)


def test_without_attention_fusion_the_answer_says_so(tmp_path: Path) -> None:
    found = make_significance(drawn(tmp_path, Rule(methods=("late", "own"), seeds=3, images=200)))
    assert "attention-fusion was not run, so the question is open" in found.answer
    assert "Own " in found.answer
    assert not verdicts(found)
    assert verdicts(found, "further").keys() == {"late"}


def test_one_network_alone_is_compared_with_nothing(tmp_path: Path) -> None:
    ledger = drawn(tmp_path, Rule(backbones=("resnet18",), seeds=2, images=100))
    found = make_significance(ledger)
    assert found.comparisons == []
    assert "attention-fusion was not run" in found.answer
    write_report(ledger, tmp_path)


def test_choices_that_change_the_verdict_are_named(tmp_path: Path) -> None:
    rule = Rule(gains={"attention-fusion": 1.5}, methods=("late", "attention-fusion"))
    runs = [
        (
            replace(record, metrics={**record.metrics, "best_test_epoch": {**record.metrics["best_test_epoch"],
            "accuracy": 0.8 + record.seed / 1000}}),
            table,
        )
        for record, table in draw_runs(rule)
    ]  # fmt: skip
    found = make_significance(load_ledger(write_packed(tmp_path / "drawn", rule, runs)))
    changed = {row.choice: row.changed for row in found.protocol_choices}
    assert changed.pop("best epoch on test") == ["late"]
    assert not any(changed.values())
    assert len([choice for choice in changed if choice.startswith("without")]) == 6
    assert {"last epoch", "balanced accuracy", "macro F1"} < set(changed)


def raf_db(folder: Path, rule: Rule) -> dict[tuple[Any, ...], PrintedNumber]:
    found = make_significance(drawn(folder, replace(rule, dataset="raf-db")))
    return {(row.method, *sorted(row.backbones or ())): row for row in found.printed}


def test_printed_numbers_on_the_papers_data(tmp_path: Path) -> None:
    rule = Rule(backbones=("resnet18", "resnet34"), methods=("late", "attention-fusion"), seeds=6, images=3068)
    printed = raf_db(tmp_path, replace(rule, accuracy=86.35, gains={"attention-fusion": 1.0}))
    assert len(printed) == 17
    late = printed["late", "resnet18", "resnet34"]
    assert late.verdict == "compatible"
    assert late.prediction_interval[1] - late.prediction_interval[0] > 4 * 0.5
    row = printed["attention-fusion", "resnet18", "resnet34"]
    assert row.verdict == "not compatible"
    assert row.attainable == "no"
    assert [other.selection for other in row.otherwise] == ["last_epoch", "best_test_epoch"]
    assert printed["joint", "resnet18", "resnet34"].verdict == "too few seeds"
    assert {row.printed for row in printed.values() if row.attainable == "no"} == {"86.35", "90.95", "90.92"}
    assert row.wilson == pytest.approx([89.88, 91.91], abs=0.01)


def test_a_reading_or_a_selection_rule_can_close_the_gap(tmp_path: Path) -> None:
    leak = "attention-fusion:axis=batch"
    rule = Rule(
        backbones=("resnet18", "resnet34"),
        methods=("late", "attention-fusion", leak),
        leaks=(leak,),
        gains={leak: 90.95 - 86.0},
        accuracy=86.0,
        seeds=6,
        images=3068,
    )
    row = raf_db(tmp_path, rule)["attention-fusion", "resnet18", "resnet34"]
    closing = {
        (other.method, other.selection) for other in row.otherwise if other.verdict in ("reproduced", "compatible")
    }
    assert row.verdict == "not compatible"
    assert (leak, "validation_selected") in closing
    assert not [method for method, _ in closing if method == "attention-fusion"]


def test_one_seed_and_other_data_reproduce_nothing(tmp_path: Path, no_effect: Report) -> None:
    rule = Rule(backbones=("resnet18", "resnet34"), methods=("late",), seeds=1, images=3068, accuracy=86.35)
    assert {row.verdict for row in raf_db(tmp_path, rule).values()} == {"too few seeds"}
    assert {row.verdict for row in no_effect.printed} == {"other data"}


def test_raf_db_with_other_test_images_is_other_data(tmp_path: Path) -> None:
    rule = Rule(backbones=("resnet18", "resnet34"), methods=("late",), seeds=5, images=500)
    assert {row.verdict for row in raf_db(tmp_path, rule).values()} == {"other data"}


KEYS = {
    None: {"experiment", "dataset", "n_images", "n_seeds", "selection", "comparisons", "printed", "selection_optimism"},
    "comparisons": {
        "family", "method", "baseline", "pair", "n_seeds", "difference", "sd", "seeds_interval",
        "images_interval", "noise", "p_adjusted", "gain_excluded_above", "advice", "chance_above", "verdict",
    },
    "printed": {
        "table", "method", "backbones", "printed", "wilson", "attainable", "ours", "prediction_interval", "verdict",
    },
}  # fmt: skip


def test_the_file_has_the_public_format(tmp_path: Path) -> None:
    rule = Rule(seeds=2, images=100, methods=FIVE, backbones=("resnet18", "vgg13", "resnet34"))
    _, path = write_significance(drawn(tmp_path, rule), tmp_path)
    found = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found.keys() >= KEYS[None]
    assert (found["experiment"], found["dataset"], found["n_images"], found["n_seeds"]) == (
        "drawn",
        "synthetic",
        100,
        2,
    )
    for name in ("comparisons", "printed"):
        assert all(row.keys() >= KEYS[name] for row in found[name])
    assert {row["verdict"] for row in found["comparisons"]} <= set(VERDICTS)
    assert {row["family"] for row in found["comparisons"]} == {"primary", "best-single", "per-pair", "best-pair"}
    assert all((row["pair"] is None) == (row["family"] in {"primary", "best-single"}) for row in found["comparisons"])
    assert all(len(row[name]) == 2 for row in found["comparisons"] for name in ("seeds_interval", "images_interval"))
    assert all(row["attainable"] in {"rounded", "cut off", "no"} for row in found["printed"])
    assert found["selection_optimism"]["late"]["difference"] == pytest.approx(0.4)


def test_the_page_opens_with_the_answer_and_says_that_data_are_drawn(tmp_path: Path) -> None:
    rule = Rule(seeds=2, images=100, methods=("late", "attention-fusion"), backbones=("resnet18", "vgg13", "resnet34"))
    page, values = write_significance(drawn(tmp_path, rule), tmp_path)
    first, *rest = page.read_text().splitlines()
    assert first == json.loads(values.read_text())["answer"]
    assert first.startswith(
        "On synthetic faces (SYNTHETIC, drawn images) with 2 seeds: Attention-Fusion has no verdict yet "
    )
    assert first.endswith(".")
    assert any("These are other data than the paper's" in line for line in rest)


def test_same_ledger_same_bytes_in_both_forms(tmp_path: Path) -> None:
    rule = Rule(seeds=3, images=100, methods=("late", "attention-fusion"), backbones=("resnet18", "vgg13", "resnet34"))
    runs = list(draw_runs(rule))
    texts = []
    for form, write in (("a", write_packed), ("b", write_packed), ("c", write_files)):
        folder = write(tmp_path / form / "drawn", rule, runs[::-1] if form == "b" else runs)
        paths = write_significance(load_ledger(folder), tmp_path / f"{form}-reports")
        texts.append([path.read_bytes() for path in paths])
    assert texts[0] == texts[1] == texts[2]


def test_the_margin_is_planned(tmp_path: Path) -> None:
    rule = Rule(gains={"attention-fusion": 1.2}, methods=("late", "attention-fusion"), margin=3.0)
    wide = make_significance(drawn(tmp_path, rule))
    assert verdicts(wide) == {"late": "better, by less than the margin"}
    assert "is better than Late (+" in wide.answer
    assert "by less than 3 points" in wide.answer


def test_verdicts_are_made_once_for_a_ledger_and_removed_where_it_allows_none(tmp_path: Path) -> None:
    rule = Rule(seeds=2, images=100, methods=("late", "attention-fusion"), backbones=("resnet18", "vgg13"))
    runs = list(draw_runs(rule))
    ledger = load_ledger(write_files(tmp_path / "drawn", rule, runs))
    answer = refresh_verdicts(ledger, tmp_path / "reports")
    values = tmp_path / "reports" / "drawn" / "significance.json"
    written = values.stat().st_mtime_ns
    assert refresh_verdicts(ledger, tmp_path / "reports") == answer
    assert values.stat().st_mtime_ns == written
    more = replace(rule, seeds=3)
    write_files(tmp_path / "more" / "drawn", more, runs)
    note = refresh_verdicts(load_ledger(tmp_path / "more" / "drawn"), tmp_path / "reports")
    assert note.startswith("No verdicts: 4 of 12 runs are missing")
    assert not values.exists()


def test_power_tells_what_could_be_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = Rule(seeds=3, images=100, methods=("late", "early", "attention-fusion"), backbones=("resnet18", "vgg13"))
    write_files(tmp_path / "results" / "few", rule)
    words = ["ferfuse", "power", "--experiment", "few", "--results-dir", str(tmp_path / "results")]
    for extra in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", [*words, *extra])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert not stopped.value.code
        out = capsys.readouterr().out
    found = json.loads(out)
    rows = found["comparisons"]
    assert [row["seeds"] for row in found["looks"]][::2] == [3, 5, 10, 20]
    assert all(0 <= row["+0.5"] <= row["+1"] <= row["+2"] <= row["+4"] <= 1 for row in found["looks"])
    assert [row["baseline"] for row in rows if row["family"] == "primary"] == ["late", "early"]
    for row in rows:
        assert row["detectable_difference"] > 0
        assert not row["advice"] or row["verdict"] == "open"
