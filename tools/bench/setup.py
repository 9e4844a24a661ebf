"""What every case of the bench works on: a small experiment in a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from benchmark.config import Settings
from benchmark.cores import usable_cores
from benchmark.data.sources import open_dataset
from benchmark.plan import Run, make_plan
from benchmark.training.workspace import Workspace


@dataclass(frozen=True)
class Setup:
    """A small experiment to time.

    Attributes:
        settings: its settings; `backbones`, `methods` and `seeds` are the grid of the fusion stage.
        folder: where its weights, outputs and records go.
        data_dir: where decoded images are kept.
        device: "cpu", "cuda" for all GPUs in turn, or "cuda:1".
        workers: processes that the suite's way works in, side by side.
        cores: threads of what works alone, and processes that prepare its images.
    """

    settings: Settings
    folder: Path
    data_dir: Path
    device: str
    workers: int
    cores: int = field(default_factory=lambda: usable_cores())

    @cached_property
    def workspace(self) -> Workspace:
        """The experiment's images, split and folders."""
        data = open_dataset(self.settings.data, self.data_dir)
        return Workspace(
            settings=self.settings,
            manifest=data.manifest,
            dataset_digest=data.digest,
            images_file=data.images_file,
            experiment=self.folder,
            device=self.device,
        )

    @cached_property
    def plan(self) -> list[Run]:
        """Every run of the experiment."""
        manifest = self.workspace.manifest
        images = int((~manifest.is_test).sum())
        return make_plan(self.settings, self.workspace.dataset_digest, len(manifest.classes), images)

    def on(self, device: str) -> Setup:
        """Return the same place with its work on a device of its own."""
        return replace(self, device=device)

    def with_settings(self, **changes: object) -> Setup:
        """Return the same place with other settings, by their name."""
        return replace(self, settings=self.settings.model_copy(update=changes))
