"""What every run works with: the images on the device, the split of its seed, and folders."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backbones import BranchOutput
from benchmark.config import Settings
from benchmark.data.augmentation import augment, draw_changes, to_network_input
from benchmark.data.manifest import Manifest
from benchmark.data.splits import Split, cut_folds, split_rows
from benchmark.plan import Run, stream


@dataclass(frozen=True, eq=False)
class Workspace:
    """Everything that runs of one experiment share.

    Attributes:
        settings: the experiment's settings.
        manifest: ids, labels and official split of the N images.
        dataset_digest: their content digest.
        images_file: the (N, S, S, 3) uint8 array on disk.
        experiment: the experiment's folder.
        device: where networks run.
        code: digest of the code, so that no run begun with one version is continued with another.
        checkpoint_seconds: training time between two checkpoints of a run, at least.
        micro_batches: images at a time, by run id, for runs whose batch the device's memory does not hold.
        compiled: whether steps on images are compiled by torch.
        alone: ids of runs that failed when they were trained as one with others.
        outputs: stored outputs that are held on the device, by run id and whether maps are among them.
        splits: the split of every seed that was queried.
    """

    settings: Settings
    manifest: Manifest
    dataset_digest: str
    images_file: Path
    experiment: Path
    device: str
    code: str = ""
    checkpoint_seconds: float = 20.0
    micro_batches: dict[str, int] = field(default_factory=dict)
    compiled: bool = False
    alone: set[str] = field(default_factory=set)
    outputs: OrderedDict[tuple[str, bool], BranchOutput] = field(init=False, default_factory=OrderedDict)
    splits: dict[int, Split] = field(init=False, default_factory=dict)

    @cached_property
    def images(self) -> Tensor:
        """All images, uint8, on the device (read-only memory of the file where that is the CPU)."""
        array = np.load(self.images_file, mmap_mode="c")
        return torch.from_numpy(array).to(self.device)

    @cached_property
    def labels(self) -> Tensor:
        """(N,) labels on the device."""
        return torch.from_numpy(self.manifest.labels).to(self.device)

    @cached_property
    def targets(self) -> Tensor:
        """What training learns, on the device: (N,) labels, or (N, C) distributions where the manifest has them."""
        distributions = self.manifest.targets
        return self.labels if distributions is None else torch.from_numpy(distributions).to(self.device)

    def split(self, seed: int) -> Split:
        """Return the rows that a seed learns from, selects by and reports."""
        if seed not in self.splits:
            self.splits[seed] = split_rows(self.manifest, self.settings.data, seed, stream(seed, "split"))
        return self.splits[seed]

    def folds(self, seed: int, count: int) -> list[np.ndarray]:
        """Return the training rows of a seed in `count` parts, stratified by class."""
        train = self.split(seed).train
        return cut_folds(train, self.manifest.labels[train], count, stream(seed, "folds"))

    def labels_of(self, split: Split) -> dict[str, np.ndarray]:
        """Return the labels of validation and test."""
        labels = self.manifest.labels
        return {"validation": labels[split.validation], "test": labels[split.test]}

    def on_device(self, rows: np.ndarray) -> Tensor:
        """Copy row numbers to the device, where they index images, labels and outputs without a wait."""
        return torch.from_numpy(rows).to(self.device)

    def on_device_in_parts(self, order: list[np.ndarray]) -> tuple[Tensor, ...]:
        """Copy the row numbers of an epoch's batches to the device at once, so that no step waits for a copy."""
        return self.on_device(np.concatenate(order)).split([len(rows) for rows in order])

    def network_input(self, rows: np.ndarray | Tensor) -> Tensor:
        """Return images as networks see them in evaluation, (B, 3, H, W)."""
        index = rows if isinstance(rows, Tensor) else self.on_device(rows)
        return to_network_input(self.images[index], self.settings.data.image_size)

    def image_batches(self, run: Run, rows: np.ndarray, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield an epoch's augmented images and targets in the order that all methods of a seed share.

        The order and all that augmentation draws go to the device once an epoch, so that no step waits for a copy.
        """
        order = epoch_order(run, rows, epoch)
        sizes = [len(batch) for batch in order]
        settings = self.settings.augmentation
        generator = torch.Generator().manual_seed(stream(run.seed, "augmentation", run.stage, str(epoch)))
        changes = draw_changes(sizes, settings, generator).to(self.device)
        size, rotated = self.settings.data.image_size, bool(settings.rotate)
        for index, own in zip(self.on_device_in_parts(order), changes.split(sizes), strict=True):
            yield augment(self.images[index], size, own, rotated=rotated), self.targets[index]


def epoch_order(run: Run, rows: np.ndarray, epoch: int) -> list[np.ndarray]:
    """Return the rows of an epoch's batches, shuffled by seed, stage and epoch alone.

    A single row left over joins the batch before it, since batch normalisation needs two.
    """
    order = np.random.default_rng(stream(run.seed, "order", run.stage, str(epoch))).permutation(rows)
    batches = batches_of(order, int(run.hyperparameters["batch_size"]))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def batches_of(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut rows into batches in their order; the last one may be smaller."""
    return np.split(rows, range(size, len(rows), size))
