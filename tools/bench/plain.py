"""The plain way: what a script does that nobody has made faster. Nothing but the bench uses it.

Images are opened with PIL and changed one by one in a DataLoader, each batch is brought to the device by `.to()`, the
loss is read back after every step, frozen backbones run again for every batch of every epoch, and one network is
trained at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from backbones import BranchOutput
from benchmark.config import StageSettings
from benchmark.data.augmentation import IMAGENET_MEAN, IMAGENET_STD
from benchmark.training.fit import rate_factor
from benchmark.training.workspace import Workspace

Scores = dict[str, np.ndarray]


class Images(Dataset[tuple[Tensor, int]]):
    """Open an image file, change it by torchvision's transforms, and return it with its label."""

    def __init__(self, workspace: Workspace, rows: np.ndarray, *changes: object) -> None:
        size = workspace.settings.data.image_size
        self.files = [workspace.manifest.files[row] for row in rows]
        self.labels = workspace.manifest.labels[rows]
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
                *changes,
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB")), int(self.labels[index])


def augmenting(workspace: Workspace) -> list[object]:
    """Return torchvision's transforms for the random changes of a training image."""
    settings = workspace.settings.augmentation
    low, high = settings.remove_saturation
    return [
        transforms.RandomHorizontalFlip(settings.flip),
        transforms.RandomRotation(settings.rotate, transforms.InterpolationMode.BILINEAR),
        transforms.ColorJitter(saturation=(1 - high, 1 - low)),
    ]


class PlainTraining:
    """Train a network on a seed's images, and look at validation and test after every epoch.

    `frozen` backbones run without gradients in front of the network, as they do where their outputs are not kept; their
    images are not changed at random. `processes` prepare the images of every split.
    """

    def __init__(
        self, workspace: Workspace, seed: int, stage: StageSettings, processes: int, frozen: Sequence[nn.Module] = ()
    ) -> None:
        split = workspace.split(seed)
        changes = [] if frozen else augmenting(workspace)

        def loader(rows: np.ndarray, *changes: object, shuffle: bool = False) -> DataLoader:
            images = Images(workspace, rows, *changes)
            if not processes:
                return DataLoader(images, stage.batch_size, shuffle)
            return DataLoader(
                images,
                stage.batch_size,
                shuffle,
                num_workers=processes,
                persistent_workers=True,
                multiprocessing_context="fork",  # what a script of its own gets; the bench's processes would spawn
            )

        self.device, self.stage, self.frozen = workspace.device, stage, frozen
        self.train = loader(split.train, *changes, shuffle=True)
        self.looks = {"validation": loader(split.validation), "test": loader(split.test)}

    def epochs(self, network: nn.Module, count: int) -> list[Scores]:
        """Train for some epochs at the stage's rates; returns the (N, C) scores of validation and test after each."""
        family = torch.optim.AdamW if self.stage.weight_decay else torch.optim.Adam
        optimizer = family(network.parameters(), lr=self.stage.learning_rate, weight_decay=self.stage.weight_decay)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(self.stage, len(self.train)))
        scores = []
        for _ in range(count):
            self._learn(network, optimizer, rates)
            scores.append(self.evaluate(network))
        return scores

    def _learn(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, rates: torch.optim.lr_scheduler.LRScheduler
    ) -> float:
        network.train()
        total = 0.0
        for images, labels in self.train:
            loss = F.cross_entropy(network(self._seen(images)), labels.to(self.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            total += loss.item()
        return total

    @torch.no_grad()
    def evaluate(self, network: nn.Module) -> Scores:
        """Return the (N, C) scores of validation and test."""
        network.eval()
        return {
            name: torch.cat([network(self._seen(images)).cpu() for images, _ in loader]).numpy()
            for name, loader in self.looks.items()
        }

    @torch.no_grad()
    def _seen(self, images: Tensor) -> Tensor | list[BranchOutput]:
        """Return what the network is given: images, or what the frozen backbones say of them."""
        images = images.to(self.device)
        return [backbone(images) for backbone in self.frozen] if self.frozen else images
