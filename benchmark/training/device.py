"""What a process does to a device: its threads, waiting for it, and how much memory it has taken."""

from __future__ import annotations

from pathlib import Path

import torch

CONTEXT = 2**30  # bytes that a process may hold of a GPU besides its tensors


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
