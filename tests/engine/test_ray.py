"""The Ray engine on this machine: the same ledger as the local engine's, with and without a disk that nodes share."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.engine.experiment import run_experiment
from benchmark.engine.outcomes import Request
from benchmark.ledger import load_ledger, run_folder
from tests.engine.tiny import Collect, contents, tiny_request

ray: Any = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ferfuse[ray]'")
pytestmark = [
    pytest.mark.slow,  # Ray alone takes ten seconds to start
    pytest.mark.filterwarnings("ignore"),  # its own, about processes and metrics
]


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """Ray on this machine, with one core."""
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=200_000_000)
    yield
    ray.shutdown()


def on_ray(folder: Path, undisturbed: Request, **changes: Any) -> Request:
    return tiny_request(folder, data_dir=undisturbed.data_dir, engine="ray", **changes)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no node see the experiment's folder."""
    monkeypatch.setattr("benchmark.engine.ray_cluster._is_shared", lambda _: False)


@pytest.mark.usefixtures("alone")
def test_the_same_ledger_on_a_shared_disk(undisturbed: Request, tmp_path: Path) -> None:
    request = on_ray(tmp_path, undisturbed)
    summary = run_experiment(request, Collect())
    assert (summary.done, summary.failures) == (5, [])
    assert contents(request.folder) == contents(undisturbed.folder)


@pytest.mark.usefixtures("alone", "apart")
def test_the_same_ledger_through_the_object_store(undisturbed: Request, tmp_path: Path) -> None:
    """Backbones travel to the runs that start from them, also those of an earlier call; damaged ones are made again."""
    request = on_ray(tmp_path, undisturbed)
    summary = run_experiment(request, Collect())
    assert (summary.done, summary.failures) == (5, [])
    assert contents(request.folder) == contents(undisturbed.folder)
    joint = next(record for record in load_ledger(request.folder).records if record.method == "joint")
    shutil.rmtree(run_folder(request.folder, joint.run_id))
    weights = request.folder / "artifacts" / joint.parents[0] / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    summary = run_experiment(request, Collect())
    assert (summary.done, summary.failures) == (2, [])
    assert contents(request.folder) == contents(undisturbed.folder)
    assert not list(request.folder.glob("locks/*-*"))


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("shared", [True, False])
def test_a_failure_on_a_node_ends_its_run_alone(
    shared: bool, undisturbed: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shared:
        monkeypatch.setattr("benchmark.engine.ray_cluster._is_shared", lambda _: False)
    plugin = tmp_path / f"nan_{shared}.py"
    plugin.write_text(
        "import torch\n"
        "from torch import nn\n"
        "from fusion_methods import register_fusion\n"
        f"@register_fusion('ray-nan-{shared}', title='Not a number', reference='none')\n"
        "class NotANumber(nn.Module):\n"
        "    def __init__(self, feature_dims, num_classes):\n"
        "        super().__init__()\n"
        "        self.w = nn.Parameter(torch.zeros(num_classes))\n"
        "    def forward(self, branches):\n"
        "        return branches[0].logits + self.w * float('nan')\n"
    )
    shutil.copytree(undisturbed.results_dir, tmp_path / "results")
    settings = {"methods": ["gated", f"ray-nan-{shared}"]}
    request = on_ray(tmp_path, undisturbed, settings=settings, plugins=(plugin,))
    summary = run_experiment(request, Collect())
    assert [failure.run.method for failure in summary.failures] == [f"ray-nan-{shared}"]
    assert "not a finite number" in summary.failures[0].reason
    assert summary.done == 1
    assert run_experiment(request, Collect()).failed_before == 1


@pytest.mark.parametrize("shared", [True, False])
def test_a_cluster_of_three_nodes_loses_one(
    shared: bool, undisturbed: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    ray.shutdown()
    settings = {"seeds": 3}
    local = tiny_request(tmp_path / "local", settings, data_dir=undisturbed.data_dir)
    run_experiment(local, Collect())
    nodes = {"num_cpus": 1, "object_store_memory": 150_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=nodes)
    others = [cluster.add_node(**nodes) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    monkeypatch.setattr("benchmark.engine.ray_cluster._is_shared", lambda _: shared)
    request = on_ray(tmp_path / "ray", undisturbed, settings=settings)

    class KillsANode(Collect):
        def ended(self, run: Any, outcome: Any) -> None:
            super().ended(run, outcome)
            if len(self.ends) == 2:
                threading.Thread(target=lambda: cluster.remove_node(others[0], allow_graceful=False)).start()

    try:
        summary = run_experiment(request, KillsANode())
        deadline = time.monotonic() + 30
        while len([node for node in ray.nodes() if node["Alive"]]) > 2 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert (summary.done, summary.failures) == (15, [])
    assert contents(request.folder) == contents(local.folder)
