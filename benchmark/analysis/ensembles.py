"""What the single networks of an experiment give together without training, and how trained fusion compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.analysis.comparisons import BEST_SINGLE, Contrast, Decision, decide, protocol_of
from benchmark.analysis.evidence import Bools, Evidence, Floats, Group, Outcome, read_evidence
from benchmark.config import UserError
from benchmark.ledger import Ledger, logits_of
from benchmark.statistics.crossed import correctness_difference
from benchmark.statistics.ensembles import Ensemble, average, greedy_selection, stacking, temperature_scaled

GREEDY = "greedy-selection"
ENSEMBLES: dict[str, Ensemble] = {
    "average": average,
    "temperature-scaled": temperature_scaled,
    GREEDY: greedy_selection,
    "stacking": stacking,
}
PAIRS, ALL = "groups", "all"


@dataclass(frozen=True, eq=False)
class Entry:
    """A method on one choice of networks.

    Attributes:
        networks: PAIRS, each fused group and their mean; or ALL networks of the experiment together.
        accuracies: on test by seed, in percent, mean over groups.
        against: decisions against BEST_SINGLE and GREEDY on the same networks; none against itself.
    """

    networks: str
    method: str
    accuracies: list[float]
    against: dict[str, Decision]


def ensembles(ledger: Ledger) -> list[Entry]:
    """Return the ensembles and, on the fused groups, every trained method; comparisons of one baseline share the level.

    Validation images alone decide how networks are joined; the best single network is the best on validation.

    Raises:
        UserError: the ledger cannot be analysed, or its runs have no validation images.
    """
    evidence = read_evidence(ledger)
    scores = _Scores(evidence)
    every = tuple(ledger.experiment["main"]["backbones"])
    chosen = {PAIRS: evidence.groups, ALL: [every] if len(every) > 1 and [every] != evidence.groups else []}
    entries: list[Entry] = []
    for networks, groups in ((name, groups) for name, groups in chosen.items() if groups):
        correct = {name: scores.correct(join, groups) for name, join in ENSEMBLES.items()}
        if networks == PAIRS:
            correct |= {name: evidence.correct(name) for name in evidence.methods}
        entries += _entries(evidence, networks, correct, evidence.best_single(groups))
    if not entries:
        raise UserError(f"experiment '{ledger.name}' has one network, and nothing to join it with")
    return entries


def _entries(
    evidence: Evidence, networks: str, correct: dict[str, Bools | Floats], best: Bools | Floats
) -> list[Entry]:
    protocol = protocol_of(evidence.ledger, evidence.test_share)
    baselines = {BEST_SINGLE: best, GREEDY: correct[GREEDY]}
    contrasts = [
        Contrast(
            f"{networks} {baseline}",
            method,
            baseline,
            100 * correctness_difference(right, reference),
            (float(right.mean()), float(reference.mean())),
        )
        for method, right in correct.items()
        for baseline, reference in baselines.items()
        if method != baseline
    ]
    decided = decide(contrasts, protocol, evidence.batch_dependent)
    return [
        Entry(
            networks,
            method,
            (100 * right.mean(axis=(1, 2))).tolist(),
            {one.contrast.baseline: one for one in decided if one.contrast.method == method},
        )
        for method, right in correct.items()
    ]


class _Scores:
    """The logits of every single network's run, read once: by network and seed, images in the order of their ids."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._read: dict[tuple[str, int], tuple[Floats, np.ndarray, Floats, np.ndarray]] = {}

    def correct(self, join: Ensemble, groups: Sequence[Group]) -> Bools | Floats:
        """Return which test images an ensemble gets right, (S, P, N), or its share of each seed's own, (S, P, 1)."""
        return np.array([[self._right(join, group, seed) for group in groups] for seed in self.evidence.seeds])

    def _right(self, join: Ensemble, group: Group, seed: int) -> Bools | Floats:
        validation, labels, test, truth = zip(*(self._of(name, seed) for name in group), strict=True)
        right = join(np.stack(validation), labels[0], np.stack(test)) == truth[0]
        return self.evidence.compared(Outcome(right, 0.0))

    def _of(self, name: str, seed: int) -> tuple[Floats, np.ndarray, Floats, np.ndarray]:
        import pyarrow.compute as pc

        if (name, seed) not in self._read:
            table = self.evidence.ledger.prediction_table(self.evidence.records[None, (name,), seed].run_id)
            table = table.take(pc.sort_indices(table.column("image_id").cast("string")))
            logits = logits_of(table).astype(np.float64)
            labels = table.column("label").to_numpy()
            is_test = pc.equal(table.column("split").cast("string"), "test").to_numpy()
            if is_test.all():
                raise UserError(
                    "the runs kept no predictions of validation images, without which nothing can be joined"
                )
            self._read[name, seed] = logits[~is_test], labels[~is_test], logits[is_test], labels[is_test]
        return self._read[name, seed]
