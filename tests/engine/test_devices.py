"""Which device is chosen, what is said of it, and what torch is told."""

import types
import warnings
from pathlib import Path

import pytest
import torch

from benchmark.config import UserError
from benchmark.engine import devices


@pytest.fixture
def nvidia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with NVIDIA's driver whose GPU torch cannot use."""
    version = tmp_path / "version"
    version.write_text("NVRM version")
    monkeypatch.setattr(devices, "NVIDIA", version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_auto_on_a_machine_without_a_gpu_takes_the_cpu_and_has_nothing_to_explain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "NVIDIA", tmp_path / "none")
    assert devices.choose_device("auto") == "cpu"
    described = devices.describe_device("cpu")
    assert described["name"].startswith("CPU, ")
    assert "note" not in described


@pytest.mark.usefixtures("nvidia")
def test_auto_says_why_an_nvidia_gpu_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_old() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old (found version 12010). Please update", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", too_old)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert devices.choose_device("auto") == "cpu"
    assert "driver on your system is too old (found version 12010)" in devices.describe_device("cpu")["note"]
    with pytest.raises(UserError, match="too old"):
        devices.choose_device("cuda")


@pytest.mark.usefixtures("nvidia")
def test_a_torch_without_cuda_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert devices.describe_device("cpu")["note"].endswith("torch was built without CUDA")


def test_a_gpu_is_described_with_its_driver_and_one_that_is_not_there_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    said = types.SimpleNamespace(stdout="580.159.04\n580.159.04\n")
    monkeypatch.setattr(devices.subprocess, "run", lambda *_, **__: said)
    assert devices.choose_device("auto") == "cuda"
    assert devices.describe_device("cuda") == {
        "kind": "cuda",
        "name": "2 x NVIDIA H200",
        "driver": "580.159.04",
        "cuda": "13.0",
    }
    assert devices.describe_device("cuda:1")["name"] == "NVIDIA H200"
    with pytest.raises(UserError, match=r"cuda:2: this machine has 2 GPU"):
        devices.choose_device("cuda:2")


@pytest.mark.parametrize(
    ("choice", "device", "steps", "expected"),
    [
        ("on", "cpu", 1, True),
        ("off", "cuda:0", 9000, False),
        ("auto", "cpu", 9000, False),
        ("auto", "cuda:1", 9000, True),
        ("auto", "cuda:1", 100, False),
    ],
)
def test_auto_compiles_where_it_was_measured_to_pay(choice: str, device: str, steps: int, expected: bool) -> None:
    assert devices.is_compiled(choice, device, steps) is expected
