"""Table 6: what the single networks give together without any training, beside what trained fusion gives."""

from __future__ import annotations

from benchmark.analysis.comparisons import BEST_SINGLE, Decision
from benchmark.analysis.ensembles import ALL, GREEDY, PAIRS, Entry, ensembles
from benchmark.analysis.facts import batch_dependent_methods
from benchmark.analysis.report import rounded
from benchmark.ledger import Ledger
from benchmark.reporting.accuracy import BATCH_NOTE, SPREAD_NOTE, data_name, data_notes
from benchmark.reporting.tables import BATCH, Cell, Column, Table, name_cell, number_cell, spread_cell, spread_column
from benchmark.reporting.wording import points, signed_interval

TITLES = {
    "average": "Average of probabilities",
    "temperature-scaled": "Average, temperature-scaled",
    GREEDY: "Greedy selection",
    "stacking": "Logistic regression",
}
BASELINES = {BEST_SINGLE: "best single", GREEDY: "greedy selection"}


def ensemble_table(ledger: Ledger) -> Table:
    """Return Table 6: ensembles that need no training, and every trained method, against the same two baselines.

    Raises:
        UserError: the ledger cannot be analysed, or its runs kept no predictions of validation images.
    """
    entries = ensembles(ledger)
    titles = {r.method: r.titles["method"] for r in ledger.of_kind("fusion")} | TITLES
    dependent = batch_dependent_methods(ledger)
    several = max((len(record.backbones) for record in ledger.of_kind("fusion")), default=0)
    networks = {PAIRS: "Pairs" if several == 2 else "Groups", ALL: "All networks"}
    title = (
        f"Without training: test accuracy (%) of what single networks give together on {data_name(ledger)}, profile "
        f"{ledger.experiment['settings']['profile']}, mean over groups"
    )
    columns = [
        Column("networks", "Networks", kind="name"),
        Column("method", "Method", ("method", "method_title"), kind="name"),
        spread_column("accuracy", "Accuracy (%)"),
        *(column for key, words in BASELINES.items() for column in _columns(key, words)),
        Column("n", "n", gives_way=2),
    ]
    body = [
        [
            name_cell(networks[entry.networks], networks[entry.networks]),
            name_cell(
                titles[entry.method], entry.method, titles[entry.method], marks=[BATCH] * (entry.method in dependent)
            ),
            spread_cell(entry.accuracies),
            *(cell for key in BASELINES for cell in _cells(entry.against.get(key))),
            number_cell(len(entry.accuracies), "d"),
        ]
        for entry in entries
    ]
    notes = [
        SPREAD_NOTE,
        "Networks are joined by their predictions of validation images alone: temperatures (Guo et al. 2017), greedy "
        "selection with replacement (Caruana et al. 2004), a logistic regression on log probabilities, at "
        "scikit-learn's default strength (Wolpert 1992). "
        "Best single is the network with the highest mean validation accuracy, of the same networks.",
        f"Intervals hold for the comparisons with one baseline together ({_sizes(entries)}), not for both baselines.",
        *([BATCH_NOTE] if any(entry.method in dependent for entry in entries) else []),
        *data_notes(ledger),
    ]
    return Table(6, title, columns, body, notes, grouped=True)


def _columns(key: str, words: str) -> tuple[Column, Column]:
    name = key.replace("-", "_")
    fields = (f"minus_{name}", f"minus_{name}_low", f"minus_{name}_high")
    return Column(f"minus_{name}", f"Minus {words} (points)", fields), Column(
        f"verdict_{name}", "Verdict", kind="word", gives_way=1
    )


def _cells(decision: Decision | None) -> tuple[Cell, Cell]:
    if decision is None:
        return Cell("", (None, None, None)), Cell()
    mean, low, high = rounded([decision.test.mean, *decision.test.bounds])
    text = f"{points(mean)} {signed_interval((low, high))}".strip()
    return Cell(text, (mean, low, high)), name_cell(decision.test.verdict)


def _sizes(entries: list[Entry]) -> str:
    sizes = [one.family_size for entry in entries for one in entry.against.values()]
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low} to {high}"
