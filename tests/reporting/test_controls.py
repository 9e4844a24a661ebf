"""Table 4 of groups of three networks, from their predictions."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np

from benchmark.ledger import load_ledger
from benchmark.reporting.controls import control_table
from benchmark.reporting.formats import render
from benchmark.reporting.page.write import write_page
from benchmark.reporting.report import make_table, write_report
from tests.reporting.drawn import Rule, write_packed

NETWORKS = ("resnet18", "vgg11", "vgg13")


class Threes(Rule):
    """A ledger of groups of three networks."""

    @property
    def pairs(self) -> list[tuple[str, ...]]:
        return list(combinations(self.backbones, 3))


def test_of_three_networks_the_ceiling_is_where_any_is_right(tmp_path: Path) -> None:
    rule = Threes(methods=("late", "early", "early:partner=shuffled"), backbones=NETWORKS, seeds=2, images=200)
    ledger = load_ledger(write_packed(tmp_path / "results" / "threes", rule))
    table = control_table(ledger)
    columns = [column.key for column in table.columns]
    row = dict(zip(columns, table.rows[0], strict=True))
    oracle, differ, overlap = [], [], []
    for seed in range(2):
        records = [r for r in ledger.of_kind("backbone") if r.seed == seed]
        frames = [ledger.predictions(r.run_id).query("split == 'test'").sort_values("image_id") for r in records]
        said = np.array([frame.filter(like="logit_").to_numpy().argmax(1) for frame in frames])
        right = said == frames[0]["label"].to_numpy()
        oracle.append(100 * right.any(0).mean())
        differ.append(100 * np.mean([len(set(column)) > 1 for column in said.T]))
        overlap.append(100 * (~right).all(0).sum() / (~right).any(0).sum())
    assert row["oracle"].text.startswith(f"{np.mean(oracle):.2f} ±")
    assert row["disagree"].text == f"{np.mean(differ):.1f}"
    assert row["overlap"].text == f"{np.mean(overlap):.1f}"
    assert any("any branch" in note for note in table.notes)


def test_groups_of_three_go_all_the_way_to_the_page(tmp_path: Path) -> None:
    rule = Threes(
        methods=("late", "attention-fusion", "early:partner=shuffled"), backbones=NETWORKS, seeds=5, images=200
    )
    ledger = load_ledger(write_packed(tmp_path / "results" / "threes", rule))
    write_report(ledger, tmp_path / "reports")
    page, _ = write_page(ledger, tmp_path / "reports")
    group = "RESNET18 + VGG11 + VGG13"
    assert group in page.read_text()
    assert group in render(make_table(2, ledger, None, "pairs"), "markdown")
    assert group in (tmp_path / "reports" / "threes" / "table4.md").read_text()
