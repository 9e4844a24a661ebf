"""What a process does to a device: its threads, waiting for it, and how much memory it has taken."""

from __future__ import annotations

from pathlib import Path

import torch


def device_name(device: str) -> str:
    """Return what a record calls a device: a GPU by its model."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"


def full_float32() -> None:
    """Have convolutions of float32 computed in float32: cuDNN takes TF32, of 11 binary digits, where it may."""
    torch.backends.cudnn.allow_tf32 = False


def synchronise(device: str) -> None:
    """Wait until the device has done all that it was given, so that a clock can be read."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def peak_memory(device: str) -> int:
    """Return the most bytes that this process has held: of the device where that is a GPU, else of the machine."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
