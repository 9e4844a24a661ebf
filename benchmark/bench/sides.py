"""Two ways of doing the same work, timed in turn: every way in processes of its own, so that memory is its own too."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmark.bench.setup import Setup
from benchmark.training.device import peak_memory


@dataclass(frozen=True)
class Done:
    """Work that was done: how many units, and in how many seconds if that is not the time it took.

    A way that would take hours does a stated part of the work and says how long all of it would take.
    """

    units: float
    seconds: float | None = None


Once = Callable[[], Done]
Prepare = Callable[[Setup, int, int], Once]  # setup, number of this process, how many there are


@dataclass(frozen=True)
class Side:
    """One way of doing the work: a function of a module, in how many processes of how many threads."""

    prepare: Prepare
    processes: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Case:
    """Two ways of the same work, and what its units are."""

    name: str
    unit: str
    fast: Side
    plain: Side
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """How two ways compare.

    Attributes:
        ratio: median over the repeats of fast rate / plain rate; `ratios` are all of them.
        fast, plain: median units a second.
        fast_memory, plain_memory: peak bytes, added up over the way's processes; on a GPU the device's memory.
    """

    name: str
    unit: str
    ratio: float
    ratios: list[float]
    fast: float
    plain: float
    fast_memory: int
    plain_memory: int
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return asdict(self)


class _Team:
    """The processes of one side, which work when they are told to."""

    def __init__(self, side: Side, setup: Setup) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes, self.lines = [], []
        for number in range(side.processes):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, side, setup, number))
            process.start()
            there.close()  # so that the line ends when the process does
            self.processes.append(process)
            self.lines.append(here)

    def prepare(self) -> None:
        """Wait until every process is ready."""
        for line in self.lines:
            _answer(line)

    def once(self) -> float:
        """Let all processes do their work once, at the same time; returns units a second."""
        started = time.perf_counter()
        for line in self.lines:
            line.send("go")
        done: list[Done] = [_answer(line) for line in self.lines]
        elapsed = time.perf_counter() - started
        seconds = max((d.seconds for d in done if d.seconds is not None), default=elapsed)
        return sum(d.units for d in done) / seconds

    def peak_memory(self) -> int:
        """Return the processes' peak memory in bytes, added up."""
        for line in self.lines:
            line.send("memory")
        return sum(int(_answer(line)) for line in self.lines)

    def stop(self) -> None:
        """End the processes."""
        for line, process in zip(self.lines, self.processes, strict=True):
            line.close()
            process.join()


def compare(case: Case, setup: Setup, repeats: int) -> Figure:
    """Time both sides in turn, after one turn that is not counted."""
    fast, plain = _Team(case.fast, setup), _Team(case.plain, setup)
    try:
        for team in (fast, plain):
            team.prepare()
            team.once()
        rates = [(fast.once(), plain.once()) for _ in range(repeats)]
        fast_memory, plain_memory = fast.peak_memory(), plain.peak_memory()
    finally:
        fast.stop()
        plain.stop()
    ratios = [mine / other for mine, other in rates]
    return Figure(
        name=case.name,
        unit=case.unit,
        ratio=statistics.median(ratios),
        ratios=ratios,
        fast=statistics.median(mine for mine, _ in rates),
        plain=statistics.median(other for _, other in rates),
        fast_memory=fast_memory,
        plain_memory=plain_memory,
        note=case.note,
    )


def _answer(line: Connection) -> Any:
    try:
        return line.recv()
    except (EOFError, ConnectionResetError) as error:
        raise RuntimeError("a process of the bench ended before its work; its own message is above") from error


def _serve(line: Connection, side: Side, setup: Setup, number: int) -> None:
    torch.set_num_threads(side.threads)
    once = side.prepare(setup, number, side.processes)
    line.send("ready")
    while (asked := _asked(line)) is not None:
        line.send(once() if asked == "go" else peak_memory(setup.device))


def _asked(line: Connection) -> str | None:
    """Return what this process is to do next; None where nobody will ask any more."""
    try:
        asked: str = line.recv()
    except EOFError:
        return None
    return asked
