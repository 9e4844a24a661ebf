"""What was trained on one data set, asked about the test faces of another: nothing is trained, selected or tuned there.

Both have to name some classes alike. Test images of the other classes are left out, and so are the scores for classes
that the other data set does not have: FERPlus's contempt is no answer about a face of RAF-DB.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from backbones import BranchOutput
from benchmark.audit.batch_dependence import named_methods
from benchmark.config import UserError
from benchmark.data.augmentation import to_network_input
from benchmark.data.manifest import Manifest
from benchmark.data.store import stored_images
from benchmark.ledger import Ledger, Record, add_findings, again
from benchmark.scratch import half_made_folder
from benchmark.trained import gather, is_model, keeps_weights
from benchmark.training.device import set_up_torch
from benchmark.training.inference import Predictor

logger = logging.getLogger(__name__)
AT_A_TIME = 256  # images: of methods whose predictions depend on their neighbours none is asked


@dataclass(frozen=True)
class Transferred:
    """How one run did on another data set.

    Attributes:
        method: None for a network alone.
        dataset, title, digest: of the other data set, what it is called and the digest of its content.
        classes: names that both have.
        n_images: test images of these classes.
        accuracy: fraction right of them.
        right: whether each of them is right, in the data set's order, as bits in hexadecimal digits.
    """

    run_id: str
    method: str | None
    backbones: list[str]
    seed: int
    dataset: str
    title: str
    digest: str
    classes: list[str]
    n_images: int
    accuracy: float
    right: str


@dataclass(frozen=True, eq=False)
class Faces:
    """The test images of another data set that are of a class which both have.

    Attributes:
        images: (N, S, S, 3) uint8.
        labels: (N,) index into `classes`.
        columns: of each class, the place of its score in what a model gives.
    """

    manifest: Manifest
    digest: str
    classes: list[str]
    images: np.ndarray
    labels: np.ndarray
    columns: list[int]


def open_faces(ledger: Ledger, manifest: Manifest, data_dir: Path) -> Faces:
    """Decode the test images of another data set, all images where it names none for the test.

    Raises:
        UserError: it is the experiment's own data set, or has fewer than two of its classes.
    """
    own = ledger.experiment["dataset"]
    digest = manifest.content_digest(data_dir / "store")
    same = not manifest.synthetic and (manifest.dataset, manifest.title) == (own["name"], own["title"])
    if same or digest == own["digest"]:
        raise UserError(
            f"'{ledger.name}' was trained on {manifest.title}; give another data set by --dataset and --data-root"
        )
    classes = [name for name in own["classes"] if name in manifest.classes]
    if len(classes) < 2:
        raise UserError(
            f"{own['title']} and {manifest.title} have {len(classes)} class names in common ({', '.join(classes)}); "
            "nothing can be compared"
        )
    common = {manifest.classes.index(name): place for place, name in enumerate(classes)}
    tested = manifest.is_test if manifest.is_test.any() else np.ones(len(manifest), bool)
    rows = np.flatnonzero(tested & np.isin(manifest.labels, list(common)))
    size = own.get("stored_size", ledger.experiment["settings"]["data"]["image_size"])
    images = np.load(stored_images(manifest, size, data_dir), mmap_mode="r")[rows]
    labels = np.array([common[label] for label in manifest.labels[rows].tolist()])
    columns = [own["classes"].index(name) for name in classes]
    return Faces(manifest, digest, classes, images, labels, columns)


def transfer_experiment(
    ledger: Ledger, methods: Sequence[str] | None, plugins: Sequence[Path], faces: Faces, device: str
) -> list[Transferred]:
    """Ask the runs of these methods, of all where none is named, and of the networks alone about other faces.

    Runs whose weights are not kept are left out, with a warning. Methods whose predictions depend on the batch, and
    shuffled partners, are not asked: their answer would be about the order of the images.

    Raises:
        UserError: a method has no finished run, or no run keeps its weights.
    """
    wanted = named_methods({str(record.method) for record in ledger.of_kind("fusion")}, methods)
    set_up_torch(device)
    asked = [record for record in ledger.records if is_model(record) and record.method in {None, *wanted}]
    kept = [record for record in asked if keeps_weights(ledger, record)]
    if not kept:
        raise UserError(f"'{ledger.name}' keeps no weights here; `{again(ledger.experiment)}` does its runs")
    if lost := len(asked) - len(kept):
        logger.warning("%d of %d runs are not asked, as their weights are not here", lost, len(asked))
    said = _Said(faces.images, device)
    found = []
    for record in track(sorted(kept, key=lambda r: r.seed), "Asking", console=Console(stderr=True)):
        with half_made_folder(ledger.root / "model") as folder:
            gather(ledger, record, plugins, folder)
            scores = said.probabilities(Predictor(folder), record)
        right = scores[:, faces.columns].argmax(axis=1) == faces.labels
        about = (faces.manifest.dataset, faces.manifest.title, faces.digest, faces.classes)
        bits = np.packbits(right).tobytes().hex()
        who = (record.run_id, record.method, record.backbones, record.seed)
        found.append(Transferred(*who, *about, len(right), float(right.mean()), bits))
    return found


class _Said:
    """What networks say of the images: kept for the seed in hand, without maps, since its methods share networks."""

    def __init__(self, images: np.ndarray, device: str) -> None:
        self.images, self.device = images, device
        self.outputs: dict[tuple[int, str], list[BranchOutput]] = {}

    @torch.inference_mode()
    def probabilities(self, predictor: Predictor, record: Record) -> np.ndarray:
        """Return (N, C) probabilities of a run's model."""
        model, size = predictor.model.to(self.device), predictor.description["image_size"]
        if predictor.description["end_to_end"] or any(getattr(head, "uses_maps", False) for head in model.heads):
            return torch.cat([model(batch) for batch in self._batches(size)]).cpu().numpy()
        self.outputs = {key: value for key, value in self.outputs.items() if key[0] == record.seed}
        parents = record.parents if record.method else [record.run_id]
        networks = [network for fold in model.branches for network in fold]
        for parent, network in zip(parents, networks, strict=True):
            if (record.seed, parent) not in self.outputs:
                said = [network(batch) for batch in self._batches(size)]
                self.outputs[record.seed, parent] = [one._replace(maps=None) for one in said]
        width = len(record.backbones)
        scores = [
            model.join([list(batch[start : start + width]) for start in range(0, len(batch), width)])
            for batch in zip(*(self.outputs[record.seed, parent] for parent in parents), strict=True)
        ]
        return torch.cat(scores).cpu().numpy()

    def _batches(self, size: int) -> Iterator[Tensor]:
        for start in range(0, len(self.images), AT_A_TIME):
            pixels = torch.from_numpy(self.images[start : start + AT_A_TIME]).to(self.device)
            yield to_network_input(pixels, size)


def write_transfers(experiment: Path, found: Sequence[Transferred]) -> Path:
    """Add to `transfer.json` of an experiment; a run asked again about the same data replaces what it said before."""
    return add_findings(experiment, "transfer", map(asdict, found), ("title", "run_id"))


def summarise_transfers(found: Sequence[Transferred]) -> list[dict[str, Any]]:
    """Return a row for every method and network alone: accuracy in percent, mean over pairs and seeds."""
    by_name: dict[str, list[float]] = {}
    for one in found:
        by_name.setdefault(one.method or f"{one.backbones[0]} alone", []).append(100 * one.accuracy)
    return [
        {"method": name, "runs": len(own), "images": found[0].n_images, "accuracy": float(np.mean(own))}
        for name, own in by_name.items()
    ]
