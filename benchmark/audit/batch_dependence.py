"""Does a prediction change with its neighbours? Every trained method on the same test images in several orders.

RAF-DB's own file order puts whole classes side by side. A model that looks across its batch can read the class off the
neighbours there, and loses that as soon as the test set is shuffled or taken one image at a time.

Whether a prediction depends on its batch is a property of the function, not of how it is rounded. A GPU adds in
another order for another batch size, and a number of p binary digits then differs by some 2^-p of itself: 2^-24 in
float32, 2^-11 in TF32, 2^-8 in bfloat16. Over a network's layers bfloat16 makes some percent of the scores' spread of
that, which no tolerance tells from a weak dependence. So all networks are evaluated in float32, with the weights that
they were trained to in whatever precision, and without TF32.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmark.config import UserError, nearest
from benchmark.ledger import add_findings
from benchmark.plan import Run, stream
from benchmark.training.backbone import LostWeightsError
from benchmark.training.device import set_up_torch
from benchmark.training.fusion import Predict
from benchmark.training.predict import trained_predictor
from benchmark.training.workspace import Workspace
from fusion_methods import resolve_fusion

logger = logging.getLogger(__name__)
SHUFFLES = 5
TOLERANCE = 1e-3  # of the scores' own spread: 2^14 roundings of float32, whose effect stays under 1e-5
DEPENDS, INDEPENDENT = "depends on the batch", "independent of the batch"


@dataclass(frozen=True)
class Finding:
    """What the audit found of one run.

    Attributes:
        accuracy: fraction right by order: "file_order", "sorted_by_class", "shuffled" (mean over the shuffles),
            "one_by_one".
        batch_averaged_accuracy: mean over batches in file order of each batch's accuracy, as scripts often report it.
        changed: share of images whose predicted class is not that of file order; for "shuffled" in any of the shuffles.
        largest_difference: of a score between any two orders, divided by the scores' standard deviation.
        verdict: `DEPENDS` or `INDEPENDENT`.
        declared: whether the method says of itself that it depends on its batch.
    """

    run_id: str
    method: str
    backbones: list[str]
    titles: dict[str, Any]
    seed: int
    batch_size: int
    accuracy: dict[str, float]
    batch_averaged_accuracy: float
    changed: dict[str, float]
    largest_difference: float
    verdict: str
    declared: bool


def audit_run(run: Run, workspace: Workspace) -> Finding:
    """Evaluate one finished fusion run in every order, at its training batch size, in float32."""
    predict = trained_predictor(run, workspace)
    rows = workspace.split(run.seed).test
    labels = workspace.manifest.labels
    return _compare(run, predict, rows, labels)


def _compare(run: Run, predict: Predict, rows: np.ndarray, labels: np.ndarray) -> Finding:
    batch = int(run.hyperparameters["batch_size"])
    generator = np.random.default_rng(stream(run.seed, "audit orders"))
    reference = predict(rows, batch)
    right = reference.argmax(1) == labels[rows]
    accuracy = {"file_order": [right.mean()]}
    changed: dict[str, np.ndarray] = {}
    largest = 0.0
    for name, order, size in evaluation_orders(rows, labels, batch, generator):
        scores = _in_order_of(rows, order, predict(order, size))
        predicted = scores.argmax(1)
        accuracy.setdefault(name, []).append((predicted == labels[rows]).mean())
        changed[name] = changed.get(name, False) | (predicted != reference.argmax(1))
        largest = max(largest, float(np.abs(scores - reference).max()))
    spread = float(reference.std()) or 1.0
    starts = range(0, len(rows), batch)
    return Finding(
        run_id=run.run_id,
        method=str(run.method),
        backbones=list(run.backbones),
        titles=run.titles,
        seed=run.seed,
        batch_size=batch,
        accuracy={name: float(np.mean(values)) for name, values in accuracy.items()},
        batch_averaged_accuracy=float(np.mean([right[start : start + batch].mean() for start in starts])),
        changed={name: float(share.mean()) for name, share in changed.items()},
        largest_difference=largest / spread,
        verdict=DEPENDS if largest / spread > TOLERANCE else INDEPENDENT,
        declared=run.batch_dependent,
    )


def evaluation_orders(
    rows: np.ndarray, labels: np.ndarray, batch: int, generator: np.random.Generator
) -> Iterator[tuple[str, np.ndarray, int]]:
    """Yield the orders beside file order: (name, (N,) rows, batch size)."""
    yield "sorted_by_class", rows[np.argsort(labels[rows], kind="stable")], batch
    for _ in range(SHUFFLES):
        yield "shuffled", generator.permutation(rows), batch
    yield "one_by_one", rows, 1


def audit_experiment(runs: Sequence[Run], methods: Sequence[str] | None, workspace: Workspace) -> list[Finding]:
    """Audit the finished fusion runs of these methods, of all where none is named; those without weights are left out.

    A published ledger has no weights, so that an experiment which goes on from one has them of its later runs alone.

    Raises:
        UserError: a method has no finished run, or none has its weights here.
    """
    wanted = named_methods({str(run.method) for run in runs if run.kind == "fusion"}, methods)
    set_up_torch(workspace.device)  # as in training, so that a repeated run is the same run
    chosen = [run for run in runs if run.kind == "fusion" and run.method in wanted]
    findings, without = [], []
    for run in track(chosen, "Auditing", console=Console(stderr=True)):
        try:
            findings.append(audit_run(run, workspace))
        except LostWeightsError:
            without.append(run)
    if without and not findings:
        raise UserError(
            f"the weights of {without[0].label} are not here; audit where the runs were done, or do them here"
        )
    if without:
        what = f"{len(without)} of {len(chosen)} runs are not audited, as their weights are not here"
        logger.warning("%s, such as %s", what, without[0].label)
    return findings


def named_methods(fused: set[str], methods: Sequence[str] | None) -> set[str]:
    """Return those of the methods with finished runs that a user names, all of them where none is named.

    Raises:
        UserError: one that is named is none of them.
    """
    known = {resolve_fusion(method).text: method for method in fused}
    try:
        wanted = [resolve_fusion(method).text for method in methods or known]
    except ValueError as error:
        raise UserError(str(error)) from error
    if missing := [method for method in wanted if method not in known]:
        raise UserError(f"method {missing[0]} has no finished run here; {nearest(missing[0], sorted(fused))}")
    return {known[method] for method in wanted}


def write_findings(experiment: Path, findings: Sequence[Finding]) -> Path:
    """Add findings to `audit.json` of an experiment; a run audited again replaces what was found before."""
    return add_findings(experiment, "audit", map(asdict, findings), ("run_id",))


def _in_order_of(rows: np.ndarray, order: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Bring scores of images in `order` back to the order of `rows`."""
    position = {int(row): i for i, row in enumerate(order)}
    return scores[[position[int(row)] for row in rows]]
