"""Processes that do their work in turns: each side of a comparison in its own, so that memory is its own too."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmark.bench.setup import Setup
from benchmark.engine.local import worker_devices
from benchmark.training.device import peak_memory, set_up_torch


@dataclass(frozen=True)
class Place:
    """Where a process works.

    Attributes:
        number: which of the team's `count` processes it is.
        turn: hands over the result of the last turn and returns when the next one begins.
    """

    number: int
    count: int
    device: str
    turn: Callable[[Any], None]


Work = Callable[[Place], None]  # calls `place.turn` before every turn, without end


class Team:
    """One process of `threads` threads for each device that is named."""

    def __init__(self, devices: Sequence[str], threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes, self.lines = [], []
        for number, device in enumerate(devices):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, (number, len(devices), device), threads))
            process.start()
            there.close()  # so that the line ends when the process does
            self.processes.append(process)
            self.lines.append(here)

    def prepare(self, work: Work) -> None:
        """Wait until every process is ready; the first one alone, so that the others find what it compiled."""
        for lines in (self.lines[:1], self.lines[1:]):
            for line in lines:
                line.send(work)
            for line in lines:
                _answer(line)

    def turn(self, count: int | None = None) -> list[Any]:
        """Let the first `count` processes, or all, work at the same time; returns their results."""
        lines = self.lines[:count]
        for line in lines:
            line.send("go")
        return [_answer(line) for line in lines]

    def end_work(self) -> None:
        """Let every process forget what it prepared."""
        for line in self.lines:
            line.send("end")

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


class _WorkEnds(BaseException):
    """The parent wants no further turn."""


def _answer(line: Connection) -> Any:
    try:
        return line.recv()
    except (EOFError, ConnectionResetError) as error:
        raise RuntimeError("a process of the bench ended before its work; its own message is above") from error


def _serve(line: Connection, place: tuple[int, int, str], threads: int) -> None:
    device = place[2]
    set_up_torch(device)
    torch.set_num_threads(threads)

    def turn(result: Any) -> None:
        line.send(result)
        while (order := line.recv()) == "memory":
            line.send(peak_memory(device))
        if order == "end":
            raise _WorkEnds

    try:
        while True:
            work: Work = line.recv()
            try:
                work(Place(*place, turn))
            except _WorkEnds:
                del work
    except EOFError:
        return  # the parent asks for nothing more


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


def compare(case: Case, setup: Setup, repeats: int) -> Figure:
    """Time both sides in turn, after one turn that is not counted."""
    fast, plain = (_started(side, setup) for side in (case.fast, case.plain))
    try:
        for team in (fast, plain):
            team.turn()
        rates = [(_rate(fast), _rate(plain)) for _ in range(repeats)]
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


def _started(side: Side, setup: Setup) -> Team:
    team = Team(worker_devices(setup.device, side.processes, 1), side.threads)
    team.prepare(partial(_repeat, side.prepare, setup))
    return team


def _repeat(prepare: Prepare, setup: Setup, place: Place) -> None:
    once = prepare(setup.on(place.device), place.number, place.count)
    done = None
    while True:
        place.turn(done)
        done = once()


def _rate(team: Team) -> float:
    """Return units a second of one turn."""
    started = time.perf_counter()
    done: list[Done] = team.turn()
    elapsed = time.perf_counter() - started
    return sum(d.units for d in done) / max((d.seconds for d in done if d.seconds is not None), default=elapsed)
