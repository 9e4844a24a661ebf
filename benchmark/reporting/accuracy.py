"""Tables 1 and 2: the accuracy of every backbone, and of every fusion method on every group of backbones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean

from benchmark.analysis.facts import (
    SELECTION,
    batch_dependent_methods,
    in_order,
    is_comparable,
    is_tuned,
    test_share,
)
from benchmark.analysis.missing import missing_runs
from benchmark.analysis.paper import read_paper
from benchmark.config import base_name
from benchmark.ledger import Ledger, Record
from benchmark.reporting.tables import (
    BATCH,
    OTHER_DATA,
    Cell,
    Column,
    Table,
    mean_and_sd,
    name_cell,
    number_cell,
    spread_cell,
)
from benchmark.reporting.wording import counted, missing_text
from benchmark.statistics.overlap import stretch

SPREAD_NOTE = "± is the sample standard deviation over n seeds (ddof = 1), not an interval."
INTERVAL_NOTE = "The 95 % interval is that of the mean over seeds, by Student's t, and about this test set alone."
CUT_NOTE = "The 95 % interval is cut at 0 and at 100, which no accuracy passes."
ALIKE_NOTE = "The 95 % interval is left out where all seeds have the same accuracy, which shows no spread."
PARTS_INTERVAL_NOTE = (
    "The 95 % interval is that of the mean over seeds, by Student's t, its error enlarged for the training images that "
    "the test parts' runs share (Nadeau and Bengio 2003)."
)
TIME_NOTE = (
    "Milliseconds per image: a test batch of the training size, networks included, timed at the end of a run on {}."
)
BATCH_NOTE = f"{BATCH} Each prediction depends on the other images of its batch; evaluated in file order."


COST = (
    Column("parameters", "Params (M)", gives_way=4),
    Column("macs", "MACs (M)", gives_way=5),
    Column("milliseconds", "ms/image", ("milliseconds", "milliseconds_sd"), gives_way=3),
)


@dataclass(frozen=True)
class Row:
    """One line: what was run, and what came out over seeds, in percent.

    Attributes:
        method: None in a table of backbones.
        backbones: names of the networks.
        group: title of the method, or None in a table of backbones.
        names: titles of the backbones.
        seeds: those that were run.
        accuracies: on test, in percent, of each seed.
        milliseconds: for one image, by seed, of the runs that were timed.
        parameters, macs: of the whole network, and multiply-adds for one image.
        printed: the paper's number as it prints it, None where it has none.
        batch_dependent: whether the method says, or the audit found, that predictions depend on the batch.
    """

    method: str | None
    backbones: tuple[str, ...]
    group: str | None
    names: tuple[str, ...]
    seeds: list[int]
    accuracies: list[float]
    milliseconds: list[float]
    parameters: int
    macs: int
    printed: str | None
    batch_dependent: bool = False

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.accuracies)


def backbone_table(ledger: Ledger) -> Table:
    """Return Table 1."""
    rows = backbone_rows(ledger)
    columns = [Column("backbone", "Model", ("backbone", "backbone_title"), kind="name"), *number_columns()]
    body = [[name_cell(row.names[0], row.backbones[0], row.names[0]), *_numbers(row, ledger)] for row in rows]
    return Table(1, title_line("Backbones alone", ledger, rows), columns, body, _notes(ledger, rows))


def fusion_table(ledger: Ledger) -> Table:
    """Return Table 2."""
    rows = fusion_rows(ledger)
    branches = max((len(row.names) for row in rows), default=2)
    columns = [
        Column("method", "Fusion method", ("method", "method_title"), kind="name"),
        *(
            Column(f"model_{i}", f"Model {i}", (f"model_{i}", f"model_{i}_title"), "name")
            for i in range(1, branches + 1)
        ),
        *number_columns(),
    ]
    body = [[*_names(row, branches), *_numbers(row, ledger)] for row in rows]
    notes = [*_notes(ledger, rows), *method_notes(ledger)]
    return Table(2, title_line("Fusion methods", ledger, rows), columns, body, notes, grouped=True)


def number_columns() -> list[Column]:
    """Return what Tables 1 and 2 say of every line."""
    return [
        Column("accuracy", "Accuracy (%)", ("accuracy", "accuracy_sd", "standing", "batch_dependent")),
        Column("interval", "95 % interval", ("interval_low", "interval_high"), gives_way=2),
        Column("n", "n"),
        Column("paper", "Paper (%)"),
        Column("verdict", "Verdict", kind="word", gives_way=1),
        *COST,
    ]


def backbone_rows(ledger: Ledger) -> list[Row]:
    """Return a row for every backbone of the main comparison, the paper's first."""
    paper = read_paper()
    listed = ledger.experiment["main"]["backbones"]
    found: dict[str, list[Record]] = {}
    for record in ledger.of_kind("backbone"):
        if record.backbones[0] in listed:
            found.setdefault(record.backbones[0], []).append(record)
    return [_row(found[name], paper.backbones.get(name)) for name in in_order(found, [*paper.backbones, *listed])]


def fusion_rows(ledger: Ledger) -> list[Row]:
    """Return a row for every method and group of the main comparison, in the paper's order and then as asked for.

    Runs of arms, such as a shuffled partner, belong to the tables that are about them.
    """
    paper, main = read_paper(), ledger.experiment["main"]
    dependent = batch_dependent_methods(ledger)
    found: dict[tuple[str, tuple[str, ...]], list[Record]] = {}
    for record in ledger.of_kind("fusion"):
        if record.method in main["methods"] and record.backbones in main["groups"]:
            found.setdefault((str(record.method), tuple(record.backbones)), []).append(record)
    methods = in_order(dict.fromkeys(method for method, _ in found), [*paper.methods, *main["methods"]])
    groups = in_order(dict.fromkeys(group for _, group in found), paper.pairs, key=frozenset)
    return [
        _row(found[method, group], paper.fusion.get((method, frozenset(group))), method in dependent)
        for method in methods
        for group in groups
        if (method, group) in found
    ]


def title_line(what: str, ledger: Ledger, rows: Sequence[Row]) -> str:
    """Return the line that names content, data, profile, seeds and selection."""
    images = sum(ledger.experiment["dataset"]["images"]["test"])
    share = test_share(ledger)
    tested = (
        f"{images} images, each seed tests on one of {round(1 / share)} parts" if share else f"{images} test images"
    )
    return (
        f"{what}: test accuracy on {data_name(ledger)} ({tested}), profile "
        f"{ledger.experiment['settings']['profile']}, {seeds_text(rows)}, "
        f"epoch selected on validation{', as are the settings (tuned)' if is_tuned(ledger) else ''}"
    )


def seeds_text(rows: Sequence[Row]) -> str:
    """Return how many seeds the lines have, such as "3 to 5 seeds"."""
    counts = sorted({row.n for row in rows}) or [0]
    return counted(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def data_name(ledger: Ledger) -> str:
    """Return the data set's title, with a warning where its images are drawn."""
    data = ledger.experiment["dataset"]
    return f"{data['title']} (SYNTHETIC, drawn images)" if data["synthetic"] else str(data["title"])


def _row(records: Sequence[Record], printed: str | None, batch_dependent: bool = False) -> Row:
    first = records[0]
    return Row(
        method=first.method,
        backbones=tuple(first.backbones),
        group=first.titles["method"],
        names=tuple(first.titles["backbones"]),
        seeds=[record.seed for record in records],
        accuracies=[100 * record.metrics[SELECTION]["accuracy"] for record in records],
        milliseconds=[r.milliseconds for r in records if r.milliseconds is not None],
        parameters=first.parameters,
        macs=first.macs,
        printed=printed,
        batch_dependent=batch_dependent,
    )


def _names(row: Row, branches: int) -> list[Cell]:
    blank = [Cell("", (None, None))] * (branches - len(row.names))
    models = [name_cell(title, name, title) for name, title in zip(row.backbones, row.names, strict=True)]
    return [name_cell(str(row.group), str(row.method), str(row.group)), *models, *blank]


def _numbers(row: Row, ledger: Ledger) -> list[Cell]:
    accuracy = spread_cell(row.accuracies, marks=[BATCH] * row.batch_dependent)
    return [
        replace(accuracy, values=(*accuracy.values, None, row.batch_dependent)),
        _interval_cell(row.accuracies, test_share(ledger)),
        number_cell(row.n, "d"),
        Cell(row.printed, (row.printed,), () if is_comparable(ledger) else (OTHER_DATA,)) if row.printed else Cell(),
        Cell(),
        Cell(f"{row.parameters / 1e6:.2f}", (row.parameters,)),
        Cell(f"{row.macs / 1e6:.1f}", (row.macs,)),
        spread_cell(row.milliseconds, form=".3f"),
    ]


def _interval_cell(percent: Sequence[float], test_share: float) -> Cell:
    """Return the part of the mean's 95 % t interval over seeds that accuracies can have, empty for seeds all alike."""
    from scipy.special import stdtrit

    mean, sd = mean_and_sd(percent)
    if not sd:
        return Cell("", (None, None))
    reach = float(stdtrit(len(percent) - 1, 0.975)) * sd / sqrt(len(percent)) * stretch(len(percent), test_share)
    low, high = round(max(0.0, mean - reach), 9), round(min(100.0, mean + reach), 9)  # beyond, processors differ
    return Cell(f"[{low:.2f}, {high:.2f}]", (low, high))


def _notes(ledger: Ledger, rows: Sequence[Row]) -> list[str]:
    notes = []
    if any(row.n > 1 for row in rows):
        notes += [SPREAD_NOTE, PARTS_INTERVAL_NOTE if test_share(ledger) else INTERVAL_NOTE]
        intervals = [_interval_cell(row.accuracies, test_share(ledger)).values for row in rows if row.n > 1]
        notes += [CUT_NOTE] * any({0.0, 100.0} & {*ends} for ends in intervals)
        notes += [ALIKE_NOTE] * ((None, None) in intervals)
    if any(row.milliseconds for row in rows):
        notes.append(TIME_NOTE.format(", ".join(sorted({record.device for record in ledger.records}))))
    if not is_comparable(ledger) and any(row.printed for row in rows):
        title = ledger.experiment["dataset"]["title"]
        notes.append(f"{OTHER_DATA} The paper's number is about RAF-DB; it cannot be compared with one on {title}.")
    if any(row.batch_dependent for row in rows):
        notes += [BATCH_NOTE, *_order_notes(ledger, [row for row in rows if row.batch_dependent])]
    return notes + data_notes(ledger)


def _order_notes(ledger: Ledger, rows: Sequence[Row]) -> list[str]:
    """Say what the file order of the test images gains for each audited method, over the runs that were audited."""
    notes = []
    for method, title in dict.fromkeys((row.method, row.group) for row in rows):
        groups = [list(row.backbones) for row in rows if row.method == method]
        found = [one["accuracy"] for one in ledger.audit if one["method"] == method and one["backbones"] in groups]
        if found:
            ordered, shuffled = (100 * fmean(one[name] for one in found) for name in ("file_order", "shuffled"))
            notes.append(
                f"{title}: {ordered:.2f} % with the test images in file order, {shuffled:.2f} % when the same trained "
                f"models see them shuffled: the order gains {ordered - shuffled:.2f} points."
            )
    return notes


def data_notes(ledger: Ledger) -> list[str]:
    """Say which errors in the data were accepted, that test parts were drawn, and that votes were learnt."""
    data = ledger.experiment.get("data", {})
    notes = [
        f"Accepted in the data ({one['code']}): {one['count']} {one['message']}."
        for one in data.get("findings", [])
        if one["accepted"]
    ]
    notes += [f"{note[0].upper()}{note[1:]}." for note in data.get("notes", []) if "left out by data." in note]
    if data.get("split", "official") != "official":
        notes.append("The data have no test set of their own: every seed tests on another part of them.")
    if ledger.experiment["settings"].get("data", {}).get("labels", "majority") == "votes":
        notes.append(
            "Learnt from the distribution of each image's votes (data.labels=votes); selected and tested by the "
            "majority's class."
        )
    return notes


def method_notes(ledger: Ledger) -> list[str]:
    """Say which methods lack runs, and which version of a plug-in is shown where there are others."""
    methods = ledger.experiment["main"]["methods"]
    missing = missing_runs(ledger, methods)
    why = f"'ferfuse status --experiment {ledger.name}' says why"
    notes = [f"Left out of every comparison: {missing_text(missing)}; {why}."] if missing else []
    plugins = ledger.experiment.get("plugins", {})
    for name in dict.fromkeys(map(base_name, methods)):
        if earlier := ledger.earlier_versions(name):
            notes.append(
                f"{name} is version {plugins[name]['digest']} of its plug-in; not shown, and tested on these images: "
                f"{', '.join(sorted(earlier))}."
            )
    return notes
