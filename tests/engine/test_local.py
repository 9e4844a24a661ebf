"""Worker processes: their devices, and what happens when the system kills one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmark.cores import usable_cores
from benchmark.engine import local
from benchmark.engine.experiment import run_experiment
from benchmark.engine.local import LocalProcesses, Setup, worker_devices
from benchmark.engine.outcomes import Request
from benchmark.ledger import load_ledger
from benchmark.plan import Run
from tests.engine.tiny import Collect, contents, tiny_request
from tests.training.random_outputs import place_of_random_outputs

PLUGIN = """
import os, signal
from pathlib import Path
from torch import nn
import torch
from fusion_methods import register_fusion

class Deadly(nn.Module):
    deaths = 0

    def __init__(self, feature_dims, num_classes):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(num_classes))

    def forward(self, branches):
        trace = Path(__file__).with_name(type(self).__name__)
        died = int(trace.read_text()) if trace.is_file() else 0
        if self.training and died < self.deaths:
            trace.write_text(str(died + 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return branches[0].logits + self.w

@register_fusion('planted-once', title='Planted: dies once', reference='none')
class Once(Deadly):
    deaths = 1

@register_fusion('planted-always', title='Planted: always dies', reference='none')
class Always(Deadly):
    deaths = 99
"""


def test_a_cpu_has_a_worker_for_each_core() -> None:
    assert worker_devices("cpu", 0, 1) == ["cpu"] * usable_cores()
    assert worker_devices("cpu", 3, 1) == ["cpu"] * 3


def test_every_gpu_has_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert worker_devices("cuda", 0, 1) == ["cuda:0", "cuda:1", "cuda:2"]
    assert worker_devices("cuda", 0, 2) == ["cuda:0", "cuda:1", "cuda:2"] * 2
    assert worker_devices("cuda", 4, 1) == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert worker_devices("cuda:1", 0, 2) == ["cuda:1", "cuda:1"]


def test_processes_give_the_same_and_a_killed_one_takes_one_run_with_it(undisturbed: Request, tmp_path: Path) -> None:
    """The tiny experiment by four workers, and two deadly runs: one of these is done at the second try, one fails."""
    plugin = tmp_path / "deadly.py"
    plugin.write_text(PLUGIN)
    settings = {"methods": ["late", "early", "joint", "planted-once", "planted-always"]}
    request = tiny_request(tmp_path, settings, workers=4, plugins=(plugin,), data_dir=undisturbed.data_dir)
    progress = Collect()
    summary = run_experiment(request, progress)
    assert [failure.run.method for failure in summary.failures] == ["planted-always"]
    assert "ended by signal 9, 2 times" in summary.failures[0].reason
    done = {record.method for record in load_ledger(request.folder).records}
    assert done == {None, "late", "early", "joint", "planted-once"}
    failed = summary.failures[0].run.run_id
    (request.folder / "runs" / failed / "failure.json").unlink()
    (request.folder / "runs" / failed).rmdir()
    expected, found = contents(undisturbed.folder), contents(request.folder)
    assert {run_id: found[run_id] for run_id in expected} == expected


def test_a_run_whose_worker_was_killed_is_tried_again_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What killed it may have been the runs that it took along."""
    begun = []

    class Dead:
        process = SimpleNamespace(is_alive=lambda: False)
        run = None

        def __init__(self, _: Setup) -> None:
            pass

        def begin(self, run: Run, *, alone: bool) -> None:
            begun.append((run, alone))

    plan, workspace = place_of_random_outputs(tmp_path, ["early"])
    monkeypatch.setattr(local, "_Worker", Dead)
    engine = LocalProcesses(Setup(workspace, to_do=tuple(plan)), ["cpu"])
    engine.submit(plan[-1])
    assert engine._after_death(plan[-1], -9) is None
    engine.submit(plan[-2])
    assert begun == [(plan[-1], False), (plan[-1], True), (plan[-2], False)]
