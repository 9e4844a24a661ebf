"""What a process does to a device: how torch is set up for it, waiting for it, and how much memory it has taken."""

from __future__ import annotations

import os
from pathlib import Path

import torch

CONTEXT = 2**30  # bytes that a process may hold of a GPU besides its tensors


def set_up_torch(device: str, *, deterministic: bool = False) -> None:
    """Make this process ready to compute on a device.

    One thread on a CPU makes a run's numbers independent of how many workers there are. float32 means float32: without
    the first switch a GPU's convolutions would round their inputs to TF32's 10 bits. The fastest kernel for each shape
    is looked for, unless the same bits are asked for every time.
    """
    torch.backends.cudnn.allow_tf32 = False
    if device == "cpu":
        torch.set_num_threads(1)
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()


def device_name(device: str) -> str:
    """Return what a record calls a device: a GPU by its model."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"


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


def is_shared(device: str) -> bool:
    """Tell whether other processes hold some of a GPU's memory, beyond what this one's own context may take."""
    if not device.startswith("cuda"):
        return False
    free, total = torch.cuda.mem_get_info(device)
    return total - free - torch.cuda.memory_reserved(device) > CONTEXT
