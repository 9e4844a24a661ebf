"""Table 7: what was trained on one data set, on the test faces of others."""

from __future__ import annotations

from benchmark.analysis.report import rounded
from benchmark.analysis.transfer import Abroad, abroad
from benchmark.ledger import Ledger
from benchmark.reporting.accuracy import SPREAD_NOTE, data_name, data_notes
from benchmark.reporting.tables import Cell, Column, Table, name_cell, number_cell, spread_cell, spread_column
from benchmark.reporting.wording import points, signed_interval


def transfer_table(ledger: Ledger) -> Table:
    """Return Table 7: every network and method at home and on each other data set that was asked about.

    Raises:
        UserError: none was.
    """
    lines = abroad(ledger)
    titles = {r.method: r.titles["method"] for r in ledger.of_kind("fusion")}
    titles |= {r.backbones[0]: r.titles["backbones"][0] for r in ledger.of_kind("backbone")}
    asked = titles.get(lines[0].asked, lines[0].asked)
    title = (
        f"Transfer: test accuracy (%) on other data sets of what was trained on {data_name(ledger)}, profile "
        f"{ledger.experiment['settings']['profile']}, mean over groups"
    )
    columns = [
        Column("tested_on", "Tested on", kind="name"),
        Column("method", "Method", ("method", "method_title"), kind="name"),
        spread_column("home", "At home"),
        spread_column("away", "There"),
        Column("ahead", f"{asked} minus it (points)", ("ahead", "ahead_low", "ahead_high")),
        Column("verdict", "Verdict", kind="word", gives_way=1),
        Column("n", "n", gives_way=2),
    ]
    body = [
        [
            name_cell(line.dataset, line.dataset),
            name_cell(titles[line.name], line.name, titles[line.name]),
            spread_cell(line.home),
            spread_cell(line.away),
            *_ahead(line),
            number_cell(len(line.away), "d"),
        ]
        for line in lines
    ]
    sets = dict.fromkeys((line.dataset, line.n_images, ", ".join(line.classes)) for line in lines)
    notes = [
        SPREAD_NOTE,
        "Nothing was trained or selected on the other data set. Networks alone come first.",
        *(
            f"{name}: its {images} test images of the classes that both have ({classes}); scores of other classes are "
            "left out. At home all classes count."
            for name, images, classes in sets
        ),
        "Intervals hold for the comparisons on one data set together.",
        *data_notes(ledger),
    ]
    return Table(7, title, columns, body, notes, grouped=True)


def _ahead(line: Abroad) -> tuple[Cell, Cell]:
    if line.ahead is None:
        return Cell("", (None, None, None)), Cell()
    mean, low, high = rounded([line.ahead.test.mean, *line.ahead.test.bounds])
    text = f"{points(mean)} {signed_interval((low, high))}".strip()
    return Cell(text, (mean, low, high)), name_cell(line.ahead.test.verdict)
