"""How a run can end, and what an experiment was asked for and came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmark.config import Settings
from benchmark.ledger import Record, experiment_folder

if TYPE_CHECKING:
    from benchmark.plan import Run


@dataclass(frozen=True)
class Failure:
    """A run that did not finish, and why."""

    run: Run
    reason: str


@dataclass(frozen=True)
class Busy:
    """Another process is at this run."""


@dataclass(frozen=True)
class Lost:
    """What a finished run left is missing or damaged, so that run has to be done again before this one."""

    parent: str
    reason: str


@dataclass(frozen=True)
class Halt:
    """Something that no other run would get past either, such as a full disk."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """Why a run failed, as a worker says it."""

    reason: str


Outcome = Record | Failed | Busy | Lost | Halt


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        experiment: its name, the folder's name in `results_dir`.
        data_dir: where decoded images and synthetic faces are kept.
        device: "cpu", "cuda" or "auto".
        workers: processes that run side by side; 0 chooses.
        plugins: files that register fusion methods.
        engine: "local", "ray" or "slurm".
        workers_per_gpu: runs that share a GPU.
        retry_failed: do runs again that failed before.
        deterministic: have a GPU add in a fixed order, which costs time.
        compile: "on", "off", or "auto", which compiles steps on images where that is known to pay.
        checkpoint_seconds: training time between two checkpoints of a run, at least.
        source: the folder of an experiment whose finished runs are taken over where they are the same.
    """

    settings: Settings
    experiment: str
    results_dir: Path = Path("results")
    data_dir: Path = Path("data")
    device: str = "auto"
    workers: int = 0
    plugins: tuple[Path, ...] = ()
    command: str = ""
    engine: str = "local"
    workers_per_gpu: int = 1
    retry_failed: bool = False
    deterministic: bool = False
    compile: str = "auto"
    checkpoint_seconds: float = 20.0
    source: Path | None = None

    @property
    def folder(self) -> Path:
        """The experiment's folder."""
        return experiment_folder(self.results_dir, self.experiment)


class Progress(Protocol):
    """Who is told how an experiment goes on."""

    def planned(self, runs: Sequence[Run], to_do: Sequence[Run]) -> None:
        """All runs of the plan are known, and which of them are to be done."""

    def ended(self, run: Run, outcome: Record | Failure) -> None:
        """A run has finished or failed."""


@dataclass
class Summary:
    """How an experiment ended.

    Attributes:
        runs: how many the plan has.
        done: how many of them have ended well since this call began.
        failures: those that failed in this call, with their reasons.
        failed_before: how many failed in an earlier call and were left alone.
    """

    runs: int
    done: int = 0
    failures: list[Failure] = field(default_factory=list)
    failed_before: int = 0
