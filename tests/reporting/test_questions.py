"""What is asked of a ledger, and what the answer says about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.analysis.paper import read_paper
from benchmark.analysis.questions import exploratory, papers_family, questions_of
from benchmark.analysis.report import Report
from benchmark.config import Question
from benchmark.ledger import load_ledger
from benchmark.reporting.figures.forest import family_blocks
from benchmark.reporting.figures.source import Source
from benchmark.reporting.pages import significance_page, verdict_tables
from benchmark.reporting.significance import make_significance
from tests.reporting.drawn import FIVE, Rule, draw_runs, write_packed

SMALL = Rule(seeds=6, images=300, backbones=("resnet18", "vgg13", "resnet34"))
TWELVE = tuple(f"own{place}" for place in range(12))


def asked(methods: list[str], own: list[str], *questions: dict[str, Any]) -> list[tuple[str, list[str]]]:
    experiment = {
        "main": {"methods": methods},
        "settings": {"questions": list(questions)},
        "plugins": {name: {"file": None, "digest": "1"} for name in own},
    }
    return [(question.method, question.against) for question in questions_of(experiment)]


def found_of(folder: Path, rule: Rule, without: str = "") -> Report:
    runs = [run for run in draw_runs(rule) if run[0].run_id != without]
    return make_significance(load_ledger(write_packed(folder / "drawn", rule, runs)))


def test_without_plugins_and_questions_the_papers_is_asked() -> None:
    paper = read_paper().question
    assert asked(list(FIVE), []) == asked(["gated"], []) == [(paper.method, paper.against)]
    assert questions_of({"main": {"methods": list(FIVE)}, "settings": {}}) == [paper]


def test_a_plugin_is_asked_about_against_the_runs_built_in_methods() -> None:
    methods = ["late", "mine:width=8", "gated", "mine"]
    assert asked(methods, ["mine"]) == [("mine:width=8", ["late", "gated"]), ("mine", ["late", "gated"])]
    assert asked(["mine", "theirs"], ["mine", "theirs"]) == [("mine", []), ("theirs", [])]


def test_a_question_that_is_asked_comes_first() -> None:
    methods, question = ["late", "early", "joint", "mine"], {"method": "joint", "against": ["late", "early"]}
    assert asked(methods, ["mine"], question) == [("joint", ["late", "early"])]
    assert asked(methods, ["mine"], {"method": "joint", "against": []}) == [("joint", ["late", "early"])]


def test_methods_that_are_asked_about_are_set_against_each_other_apart() -> None:
    questions = [Question(method="a", against=["late", "b"]), Question(method="b"), Question(method="c")]
    assert [(one.method, one.against) for one in exploratory(questions)] == [("a", ["c"]), ("b", ["c"])]


def test_the_papers_question_keeps_its_claims_beside_another_one(tmp_path: Path) -> None:
    rule = replace(SMALL, methods=(*FIVE, "mine"), own=("mine",), gains={"attention-fusion": 3.0, "mine": 6.0})
    found = found_of(tmp_path, rule)
    families = {family: [r for r in found.comparisons if r.family == family] for family in ("primary", "paper")}
    assert {row.method for row in families["primary"]} == {"mine"}
    assert [row.baseline for row in families["primary"]] == list(FIVE)
    assert {row.family_size for row in families["primary"]} == {5}
    assert {row.family_size for row in families["paper"]} == {4}
    claim = next(row for row in found.claims if row.id == "four-points-above")
    assert (claim.verdict, claim.not_run) == ("possible", [])
    assert papers_family([read_paper().question]) == "primary"


def test_the_answer_is_about_the_plugin(tmp_path: Path) -> None:
    rule = replace(SMALL, methods=("late", "attention-fusion", "mine"), own=("mine",), gains={"mine": 8.0})
    found = found_of(tmp_path, rule)
    assert ": Mine is better than Late (+" in found.answer
    assert " and Attention-Fusion (+" in found.answer
    page = significance_page(found)
    assert "Mine against its baselines, mean over pairs" in page
    assert "Mine under other choices, in points" in page
    ledger = load_ledger(tmp_path / "drawn")
    assert [block.heading for block in family_blocks(Source(ledger, found))][:1] == ["Mine against its baselines"]
    assert {row.method for row in found.single_models} == {"mine"}


def test_two_plugins_share_one_error_rate_and_each_has_a_sentence(tmp_path: Path) -> None:
    rule = replace(SMALL, methods=("late", "early", "mine", "theirs"), own=("mine", "theirs"), gains={"theirs": -9.0})
    found = found_of(tmp_path, rule)
    first, second, *_ = found.answer.split(". ")
    assert ": Mine " in first
    assert second.startswith("Theirs is worse than Late (-")
    sizes = {row.family: row.family_size for row in found.comparisons}
    assert (sizes["primary"], sizes["among"]) == (4, 1)
    assert "exploratory" in verdict_tables(found)["among"].title
    assert all(row.advice is None for row in found.comparisons if row.family == "among")


def test_a_question_about_a_built_in_method(tmp_path: Path) -> None:
    rule = replace(SMALL, methods=("late", "early", "joint"), questions=(("joint", ("late", "early")),))
    found = found_of(tmp_path, replace(rule, gains={"joint": 7.0}))
    assert ": Joint is better than Late (+" in found.answer
    assert found.questions == [Question(method="joint", against=["late", "early"])]


def test_of_twelve_plugins_the_best_three_are_named(tmp_path: Path) -> None:
    rule = Rule(seeds=5, images=120, backbones=("resnet18", "vgg13"), methods=("late", "early", *TWELVE), own=TWELVE)
    found = found_of(tmp_path, replace(rule, gains={"own4": 9.0, "own7": 6.0, "own2": 12.0}))
    answer = found.answer
    assert "the 3 of 12 methods asked about that have the highest mean accuracy: Own2 is" in answer
    places = [answer.index(f"{name} ") for name in ("Own2", "Own4", "Own7")]
    assert places == sorted(places)
    assert "Table S1 has the other 9." in answer
    assert len(answer) < 900
    assert len(verdict_tables(found)["primary"].rows) == 24


def test_of_many_baselines_of_one_verdict_some_are_named(tmp_path: Path) -> None:
    others = tuple(f"other{place}" for place in range(7))
    found = found_of(tmp_path, replace(SMALL, methods=(*others, "mine"), own=("mine",), gains={"mine": 9.0}))
    assert "Other3 (+" in found.answer
    assert " and 3 others" in found.answer


@pytest.mark.parametrize("left_out", ["mine", "late"])
def test_a_method_that_lacks_a_run_is_left_out_and_named(left_out: str, tmp_path: Path) -> None:
    rule = replace(SMALL, methods=("late", "early", "mine"), own=("mine",))
    found = found_of(tmp_path, rule, without=f"{left_out}-resnet18-vgg13-0")
    assert found.missing == {left_out: (1, 18)}
    assert found.answer.endswith(f"Left out: {left_out.title()} (1 of its 18 runs is missing).")
    assert not [row for row in found.comparisons if left_out in (row.method, row.baseline)]
    opened = "Mine has no complete results, so the question is open" in found.answer
    assert opened == (left_out == "mine")


def test_plugins_alone_have_nothing_to_be_better_than(tmp_path: Path) -> None:
    found = found_of(tmp_path, replace(SMALL, methods=("mine", "theirs"), own=("mine", "theirs")))
    assert "no method was run that Mine is to be compared with, so the question is open" in found.answer
    assert [row.baseline for row in found.comparisons if row.family == "among"] == ["theirs"]
