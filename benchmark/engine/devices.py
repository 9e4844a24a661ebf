"""Which device runs do their work on, and what it is called."""

from __future__ import annotations

import os
import subprocess
import warnings
from pathlib import Path

from benchmark.config import UserError

NVIDIA = Path("/proc/driver/nvidia/version")  # is there where the kernel has NVIDIA's driver
COMPILED = frozenset({"cuda"})  # kinds of devices where compiling was measured to pay
COMPILED_STEPS = 2000  # of a run, from which "auto" compiles: a network takes 20 to 40 s, once for all its seeds
COMPILE = ("auto", "on", "off")


def choose_device(device: str) -> str:
    """Turn "auto" into what this machine has, and refuse what it has not."""
    import torch

    if device == "auto":
        return "cuda" if why_no_gpu() is None else "cpu"
    if device.startswith("cuda") and (reason := why_no_gpu()):
        raise UserError(f"--device {device}: {reason}; use --device cpu or auto")
    if ":" in device and int(device.partition(":")[2]) >= torch.cuda.device_count():
        raise UserError(f"--device {device}: this machine has {torch.cuda.device_count()} GPU(s), counted from cuda:0")
    return device


def why_no_gpu() -> str | None:
    """Say why torch can use no GPU here; None where it can."""
    import torch

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
    if not NVIDIA.exists():
        return "this machine has no usable GPU"
    if torch.version.cuda is None:
        return "this machine has an NVIDIA GPU, but torch was built without CUDA"
    first = str(told[0].message).split(". ")[0] if told else "torch does not say why"
    return f"this machine has an NVIDIA GPU that torch {torch.__version__} cannot use ({first})"


def is_compiled(choice: str, device: str, steps: int) -> bool:
    """Tell whether runs of so many steps are compiled on a device: as the user says, or where it is known to pay."""
    pays = device.partition(":")[0] in COMPILED and steps >= COMPILED_STEPS
    return choice == "on" or (choice == "auto" and pays)


def describe_device(device: str) -> dict[str, str]:
    """Return what a device is called and which driver runs it; on a CPU, why it is no GPU where one is there."""
    import torch

    if not device.startswith("cuda"):
        reason = why_no_gpu()
        note = {"note": reason} if reason and NVIDIA.exists() else {}
        return {"kind": "cpu", "name": f"CPU, {os.cpu_count()} cores", **note}
    if not torch.cuda.is_available():
        return {"kind": "cuda", "name": "GPUs of the cluster"}
    count = 1 if ":" in device else torch.cuda.device_count()
    name = torch.cuda.get_device_name(device)
    return {
        "kind": "cuda",
        "name": name if count == 1 else f"{count} x {name}",
        "driver": _driver(),
        "cuda": str(torch.version.cuda),
    }


def _driver() -> str:
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"
