"""What the statistics rest on: the runs of a ledger, complete, of one kind of settings, each read and checked once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.facts import SELECTION, batch_dependent_methods, in_order, is_reading, test_share
from benchmark.analysis.missing import missing_runs
from benchmark.analysis.paper import read_paper
from benchmark.analysis.questions import questions_of
from benchmark.config import Question, UserError
from benchmark.ledger import Ledger, Record, again

if TYPE_CHECKING:
    import pyarrow as pa

Group = tuple[str, ...]
Cell = tuple[str | None, Group, int]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
SHARED = ("dataset_digest", "image_size", "validation_fraction", "augmentation", "split", "test_folds", "labels")
STAGE = ("epochs", "batch_size", "learning_rate", "weight_decay", "schedule", "warmup")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one run did: (N,) whether each of its test images is right, by their ids; accuracy on validation."""

    correct: Bools
    validation_accuracy: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """The runs of an experiment by what they compare: S seeds, P groups, N test images.

    Every method and reading has a run for every group and seed, and so has every network of a group.

    Attributes:
        questions: what is asked, the first of them in the answer's first sentence.
        methods: of the main comparison, the paper's first.
        groups: fused groups of the main comparison, in the paper's order.
        seeds: in ascending order.
        readings: methods of the attention family beside its default, of the main comparison or of an arm.
        missing: methods that are left out, since they lack so many runs of so many.
        batch_dependent: methods whose predictions depend on their batch: compared, and never called best.
        records, outcomes: by (method or None, backbones, seed).
        titles: of methods and of backbones.
        n_images: number of test images, of all seeds together where each tests on its own part.
        test_share: share of images in a seed's own test part, 0 where all seeds test on the same images.
    """

    ledger: Ledger
    questions: list[Question]
    methods: list[str]
    groups: list[Group]
    seeds: list[int]
    readings: list[str]
    missing: dict[str, tuple[int, int]]
    batch_dependent: set[str]
    records: dict[Cell, Record]
    outcomes: dict[Cell, Outcome]
    titles: dict[str, str]
    n_images: int
    test_share: float

    def correct(self, method: str, groups: Sequence[Group] | None = None) -> Bools | Floats:
        """Return which test images a method gets right, (S, P, N), or the share of each seed's own, (S, P, 1)."""
        chosen = self.groups if groups is None else groups
        return np.array([[self.compared(self.outcomes[method, g, s]) for g in chosen] for s in self.seeds])

    def compared(self, outcome: Outcome) -> Bools | Floats:
        """Return (N,) whether each test image is right, or its share (1,) where seeds test on parts of their own."""
        return outcome.correct.mean(keepdims=True) if self.test_share else outcome.correct

    def metric(self, method: str, rule: str = SELECTION, name: str = "accuracy") -> Floats:
        """Return a method's metric in percent under a selection rule, (P, S)."""
        records = [[self.records[method, group, seed] for seed in self.seeds] for group in self.groups]
        return np.array([[100 * record.metrics[rule][name] for record in row] for row in records])

    def best_single(self, groups: Sequence[Group] | None = None) -> Bools | Floats:
        """Return what the best network of each group alone gets right, best on validation; as `correct` does."""
        best = [self._best_branch(group) for group in (self.groups if groups is None else groups)]
        return np.array([[self.compared(self.outcomes[None, (name,), s]) for name in best] for s in self.seeds])

    def _best_branch(self, group: Group) -> str:
        """Return the network with the highest mean validation accuracy over seeds, the first of equals."""
        return max(group, key=lambda name: sum(self.outcomes[None, (name,), s].validation_accuracy for s in self.seeds))

    def group_title(self, group: Iterable[str]) -> str:
        """Return what tables call a group."""
        return " + ".join(self.titles[name] for name in group)


def read_evidence(ledger: Ledger) -> Evidence:
    """Read every run of a ledger and check that its runs can be compared; a method that lacks runs is left out.

    Raises:
        UserError: a network without a run, no method with all of its runs, or two runs of one cell; other data or
            settings; predictions that are damaged, incomplete, not finite, about other images or labels, or not those
            of the run's metrics.
    """
    main, records = ledger.experiment["main"], by_cell(ledger)
    groups = in_order([tuple(g) for g in main["groups"] if len(g) > 1], read_paper().pairs, key=frozenset)
    methods = in_order(main["methods"], read_paper().methods) if groups else []
    readings = list(
        dict.fromkeys(method for method, group, _ in records if method and is_reading(method) and group in groups)
    )
    missing = missing_runs(ledger, dict.fromkeys([*methods, *readings]))
    if any(method not in missing for method in methods):
        methods, readings = ([name for name in names if name not in missing] for names in (methods, readings))
    wanted = [(None, (name,)) for name in dict.fromkeys([*main["backbones"], *(n for g in groups for n in g)])]
    wanted += [(method, group) for method in dict.fromkeys([*methods, *readings]) for group in groups]
    found = {seed for method, group, seed in records if (method, group) in wanted}
    seeds = sorted({*range(ledger.experiment["settings"]["seeds"]), *found})
    refuse_missing_cells(records, wanted, seeds, again(ledger.experiment))
    refuse_mixed_settings(ledger)
    outcomes = read_outcomes(ledger)
    return Evidence(
        ledger=ledger,
        questions=questions_of(ledger.experiment),
        methods=methods,
        groups=groups,
        seeds=seeds,
        readings=readings,
        missing=missing,
        batch_dependent=batch_dependent_methods(ledger),
        records=records,
        outcomes={cell: outcomes[record.run_id] for cell, record in records.items()},
        titles=_titles(ledger),
        n_images=sum(ledger.experiment["dataset"]["images"]["test"]),
        test_share=test_share(ledger),
    )


def by_cell(ledger: Ledger) -> dict[Cell, Record]:
    """Return the records of backbones and fusion runs by method, backbones and seed.

    Raises:
        UserError: two runs of one cell.
    """
    found: dict[Cell, Record] = {}
    for record in [*ledger.of_kind("backbone"), *ledger.of_kind("fusion")]:
        cell = (record.method, tuple(record.backbones), record.seed)
        if cell in found:
            raise UserError(
                f"{_cell_name(record)} has two runs, {found[cell].run_id} and {record.run_id}; delete the folder of one"
            )
        found[cell] = record
    return found


def refuse_missing_cells(
    records: dict[Cell, Record], wanted: Sequence[tuple[str | None, Group]], seeds: Sequence[int], command: str
) -> None:
    """Raise `UserError` with the cells, (method, backbones) and seed, that have no run, and the command that does."""
    missing: dict[tuple[str | None, tuple[int, ...]], list[Group]] = {}
    for method, group in wanted:
        lacking = tuple(seed for seed in seeds if (method, group, seed) not in records)
        if lacking:
            missing.setdefault((method, lacking), []).append(group)
    if not missing:
        return
    total, sizes = len(wanted) * len(seeds), Counter(method for method, _ in wanted)
    count = sum(len(lacking) * len(found) for (_, lacking), found in missing.items())
    texts = [
        f"{method or 'backbone'} {_groups_text(found, sizes[method])} seed{'s' * (len(lacking) > 1)} "
        f"{'all' if len(lacking) == len(seeds) > 1 else ', '.join(map(str, lacking))}"
        for (method, lacking), found in missing.items()
    ]
    raise UserError(
        f"{count} of {total} runs {'is' if count == 1 else 'are'} missing and nothing is imputed; "
        f"`{command}` does them: {'; '.join(texts)}"
    )


def _groups_text(groups: Sequence[Group], of: int) -> str:
    return "everywhere," if len(groups) == of > 1 else " and ".join("+".join(group) for group in groups) + ","


def refuse_mixed_settings(ledger: Ledger) -> None:
    """Raise `UserError` that names two runs which differ in what compared runs must share.

    All runs share the data, their size, split and augmentation; all runs of one stage share its optimisation, except
    what tuning chose for a method or backbone; all runs of one method, and of one backbone, share every setting.
    """
    digest, tuned = ledger.experiment["dataset"]["digest"], ledger.experiment["settings"].get("tuned", {})
    first: dict[Any, Record] = {}
    for record in ledger.records:
        if record.dataset_digest != digest:
            raise UserError(
                f"run {record.run_id} is on other data (digest {record.dataset_digest}, the experiment's is {digest}); "
                "take it out of the ledger"
            )
        given = record.hyperparameters
        stage = (record.kind == "fusion", bool(given.get("end_to_end")))
        same = record.method or (record.kind, *record.backbones, given.get("fold"))
        chosen = tuned.get(record.method or record.backbones[0], {}).get("stage", {})
        by_stage = [((stage, name), (name,)) for name in STAGE if name not in chosen]
        for scope, names in ((None, SHARED), *by_stage, (same, tuple(given))):
            other = first.setdefault(scope, record)
            different = [name for name in names if given.get(name) != other.hyperparameters.get(name)]
            if different or (scope == same and given.keys() != other.hyperparameters.keys()):
                what = ", ".join(different) or "other names of settings"
                raise UserError(
                    f"runs {other.run_id} and {record.run_id} have different settings ({what}); compare them in two "
                    "experiments"
                )


def read_outcomes(ledger: Ledger) -> dict[str, Outcome]:
    """Read the predictions of all runs, each once, joined by image id.

    Raises:
        UserError: names the run whose predictions cannot be used.
    """
    n_test = sum(ledger.experiment["dataset"]["images"]["test"])
    images = Images(n_test, drawn=test_share(ledger) > 0)
    return {record.run_id: _read_outcome(ledger, record, images) for record in ledger.records}


class Images:
    """The images that runs have in common: the test images of all, or of each seed where they are drawn, and the
    validation images of each seed.

    The first run that is read sets ids and labels; every further one is held against it.
    """

    def __init__(self, n_test: int, drawn: bool = False) -> None:
        self.n_test = n_test
        self.drawn = drawn
        self.ids: dict[Any, tuple[str, pa.Array]] = {}
        self.labels: dict[Any, NDArray[np.int64]] = {}
        self.label_of: dict[str, tuple[int, str]] = {}

    def order(self, record: Record, part: str, ids: pa.Array, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions that bring a run's rows of one part into the common order."""
        import pyarrow.compute as pc

        order = pc.sort_indices(ids).to_numpy()
        ids, labels = ids.take(order), labels[order]
        if part == "test" and not self.drawn and len(ids) != self.n_test:
            raise _unusable(record, f"it has {len(ids)} of {self.n_test} test images")
        key = (part, record.seed if part == "validation" or self.drawn else None)
        if key not in self.ids:
            self.ids[key], self.labels[key] = (record.run_id, ids), labels
            self._check_labels(record, ids.to_pylist(), labels)
        other, known = self.ids[key]
        if not ids.equals(known):
            odd = {*ids.to_pylist()} ^ {*known.to_pylist()}
            raise _unusable(record, f"its {part} images are not those of run {other}, such as {min(odd)}")
        if (labels != self.labels[key]).any():
            self._check_labels(record, ids.to_pylist(), labels)
        return np.asarray(order)

    def _check_labels(self, record: Record, ids: Sequence[str], labels: NDArray[np.int64]) -> None:
        for image, label in zip(ids, labels.tolist(), strict=True):
            known, other = self.label_of.setdefault(image, (label, record.run_id))
            if label != known:
                raise _unusable(record, f"it labels {image} {label}, run {other} labels it {known}")


def _read_outcome(ledger: Ledger, record: Record, images: Images) -> Outcome:
    import pyarrow as pa
    import pyarrow.compute as pc

    table = ledger.prediction_table(record.run_id)
    classes = len(ledger.experiment["dataset"]["classes"])
    wanted = ["image_id", "split", "label", *(f"logit_{column}" for column in range(classes))]
    if lacking := [name for name in wanted if name not in table.column_names]:
        raise _unusable(record, f"column {lacking[0]} is missing")
    if any(table.column(name).null_count for name in wanted):
        raise _unusable(record, "they have empty cells")
    ids = table.column("image_id").cast(pa.string()).combine_chunks()
    if (repeated := len(ids) - pc.count_distinct(ids).as_py()) > 0:
        raise _unusable(record, f"{repeated} image ids occur twice, such as {_first_repeated(ids)}")
    logits = np.column_stack([table.column(name).to_numpy() for name in wanted[3:]])
    if not np.isfinite(logits).all():
        raise _unusable(
            record, f"{int((~np.isfinite(logits)).any(axis=1).sum())} images have logits that are no number"
        )
    shown = ledger.classified(record.run_id)
    parts = {}
    for part, rows in (("validation", ~shown.is_test), ("test", shown.is_test)):
        if part == "validation" and not rows.any():  # they were not published
            parts[part] = shown.is_right[rows]
            continue
        order = images.order(record, part, shown.image_ids.filter(pa.array(rows)), shown.labels[rows])
        parts[part] = shown.is_right[rows][order]
    accuracy, stated = float(parts["test"].mean()), record.metrics[SELECTION]["accuracy"]
    if stated is None or abs(accuracy - stated) >= 0.5 / images.n_test:
        raise _unusable(record, f"their accuracy is {accuracy:.4f}, its record says {stated}")
    return Outcome(parts["test"], float(parts["validation"].mean()) if parts["validation"].size else 0.0)


def _unusable(record: Record, reason: str) -> UserError:
    return UserError(
        f"predictions of run {record.run_id} ({_cell_name(record)}) cannot be used: {reason}; run it again"
    )


def _cell_name(record: Record) -> str:
    return f"{record.method or record.kind} on {'+'.join(record.backbones)}, seed {record.seed}"


def _first_repeated(ids: pa.Array) -> str:
    counts = ids.value_counts()
    return str(next(pair["values"].as_py() for pair in counts if pair["counts"].as_py() > 1))


def _titles(ledger: Ledger) -> dict[str, str]:
    titles: dict[str, str] = {}
    for record in ledger.records:
        titles.update(zip(record.backbones, record.titles["backbones"], strict=True))
        if record.method:
            titles[record.method] = record.titles["method"]
    return titles
