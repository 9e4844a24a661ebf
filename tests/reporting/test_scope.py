"""The size of runs is read from the ledger, and on other data than the paper's nothing is said of its numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmark.ledger import Ledger
from benchmark.reporting.figures.source import LackingError, Source
from benchmark.reporting.page.write import page_text
from benchmark.reporting.scope import scope_sentences
from tests.golden.page_text import words_of

SETTINGS: dict[str, Any] = {
    "profile": "small",
    "seeds": 5,
    "weights": "none",
    "data": {"image_size": 32},
    "backbone_stage": {"epochs": 8},
    "fusion_stage": {"epochs": 12},
    "joint_stage": {"epochs": 1},
}


def sized(source: Source, dataset: str = "open-faces", device: str = "cpu", **settings: Any) -> Ledger:
    """The golden ledger as if it were of other data, another size, another device."""
    known = source.ledger.experiment
    data = {**known["dataset"], "name": dataset, "title": dataset}
    records = [dataclasses.replace(record, device=device) for record in source.ledger.records]
    experiment = {**known, "dataset": data, "settings": {**known["settings"], **SETTINGS, **settings}}
    return dataclasses.replace(source.ledger, experiment=experiment, records=records)


def test_small_runs_on_other_data_say_so(source: Source) -> None:
    assert scope_sentences(sized(source)) == [
        "CPU-sized runs: images of 32×32 pixels, networks trained from scratch, 8 epochs for a network, 12 epochs for "
        "a fusion method and 1 epoch for a pair end to end, 5 seeds.",
        "They are about open-faces, and no statement about the paper's own numbers on RAF-DB.",
    ]


def test_runs_on_the_papers_data_and_a_gpu_say_their_size_alone(source: Source) -> None:
    ledger = sized(source, "raf-db", "NVIDIA H100", weights="imagenet", data={"image_size": 224}, seeds=10)
    (sentence,) = scope_sentences(ledger)
    assert sentence.startswith("Size of the runs: images of 224×224 pixels, networks started from ImageNet weights, ")
    assert sentence.endswith(", 10 seeds.")


def test_networks_that_start_otherwise_than_the_rest_are_named(source: Source) -> None:
    weights = {"wide-resnet18": "none", "vgg11": "faces.pth", "default": "imagenet"}
    sentence = scope_sentences(sized(source, weights=weights))[0]
    assert (
        "pixels, networks started from ImageNet weights, wide-resnet18 trained from scratch, vgg11 started from "
        "faces.pth weights, 8 epochs"
    ) in sentence


def test_a_ledger_that_does_not_tell_its_size_is_not_guessed_at(source: Source) -> None:
    assert scope_sentences(source.ledger) == []


def test_the_page_says_it_before_any_number(source: Source) -> None:
    ledger = sized(source)
    words = words_of(page_text(ledger, source.found, {"forest": LackingError("nothing; `do this` brings it")}))
    assert words.index("CPU-sized runs") < words.index("no statement about the paper's own") < words.index("Table 1.")
