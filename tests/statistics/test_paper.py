"""The paper's printed numbers and claims as data."""

import tomllib
from pathlib import Path

import pytest

import benchmark
from benchmark.statistics.proportions import attainable_accuracy, printed_value

PAPER = tomllib.loads((Path(benchmark.__file__).parent / "paper.toml").read_text(encoding="utf-8"))
NETWORKS = {"resnet18", "resnet34", "vgg11", "vgg13"}


def test_every_printed_number_is_there_with_its_decimals() -> None:
    assert {row["backbone"]: row["printed"] for row in PAPER["table1"]} == {
        "resnet18": "85.3",
        "resnet34": "85.5",
        "vgg11": "85.23",
        "vgg13": "85.2",
    }
    printed = {(row["method"], *row["backbones"]): row["printed"] for row in PAPER["table2"]}
    assert len(printed) == len(PAPER["table2"]) == 12
    assert printed["late", "resnet18", "resnet34"] == "86.35"
    assert printed["joint", "vgg11", "resnet34"] == "86.4"
    assert printed["attention-fusion", "vgg13", "resnet34"] == "90.92"
    assert [row["printed"] for row in PAPER["text"]] == ["90.48"]
    assert (PAPER["dataset"], PAPER["n_test"]) == ("raf-db", 3068)


def test_printed_numbers_are_percentages_and_networks_are_known() -> None:
    rows = [*PAPER["table1"], *PAPER["table2"], *PAPER["text"]]
    assert all(80 < printed_value(row["printed"])[0] < 95 for row in rows)
    assert {name for row in PAPER["table2"] for name in row["backbones"]} == NETWORKS


def test_which_printed_numbers_are_no_share_of_the_test_images() -> None:
    rows = [*PAPER["table1"], *PAPER["table2"], *PAPER["text"]]
    impossible = {row["printed"] for row in rows if attainable_accuracy(row["printed"], PAPER["n_test"]) == "no"}
    assert impossible == {"86.35", "90.95", "90.92"}


@pytest.mark.parametrize("claim", PAPER["claim"], ids=lambda claim: claim["id"])
def test_each_claim_names_the_test_that_decides_it(claim: dict[str, object]) -> None:
    test = claim["test"]
    assert isinstance(test, dict)
    assert test["direction"] == "greater"
    if test["family"] == "best-pair":
        rows = [row for row in PAPER["table2"] if row["method"] == test["method"]]
        best = max(rows, key=lambda row: printed_value(row["printed"])[0])
        assert best["backbones"] == test["pair"]
        assert sorted(test["others"]) == sorted(row["backbones"] for row in rows if row is not best)
    else:
        assert test["family"] in {"paper", "best-single"}
        assert test["method"] == "attention-fusion"
        assert test["baselines"]
