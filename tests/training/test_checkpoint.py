"""Tensors on disk: what is cut off, changed, or no tensor file at all is told from what was written."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from benchmark.training import checkpoint
from benchmark.training.checkpoint import DamagedError, load_tensors, load_with_notes, save_tensors

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "steps": torch.tensor(7.0),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "empty": torch.zeros(0, 4),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "new" / "weights.safetensors"
    save_tensors(TENSORS, found, {"state": "{}"})
    return found


def test_gives_back_what_was_written(path: Path) -> None:
    tensors, notes = load_with_notes(path)
    assert notes == {"state": "{}"}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_layout_in_memory_does_not_matter(tmp_path: Path) -> None:
    image = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    save_tensors({"image": image}, tmp_path / "x.safetensors")
    assert torch.equal(load_tensors(tmp_path / "x.safetensors")["image"], image)


def test_every_changed_byte_is_found(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(DamagedError):
            load_tensors(path)
    path.write_bytes(whole)
    load_tensors(path)


def test_what_is_cut_off_missing_or_unsigned_is_not_read(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for length in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError, match=r"weights\.safetensors"):
            load_tensors(path)
    with pytest.raises(DamagedError):
        load_tensors(tmp_path / "none.safetensors")
    save_file({"a": TENSORS["a"]}, path)
    with pytest.raises(DamagedError, match="checksum"):
        load_tensors(path)


def test_nothing_in_a_file_is_executed(path: Path, tmp_path: Path) -> None:
    """A pickle that would write a file when loaded, under a weight file's name: it is refused, and no file appears."""
    trace = tmp_path / "trace"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return (Path.write_text, (trace, "was here"))  # type: ignore[return-value]

    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(DamagedError):
        load_tensors(path)
    torch.save({"a": Payload()}, path)
    with pytest.raises(DamagedError):
        load_tensors(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Payload()))
    assert trace.exists()


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = path.read_bytes()

    def full(tensors: object, partial: Path, metadata: object) -> None:
        partial.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_tensors(TENSORS, path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == whole
    assert [file.name for file in path.parent.iterdir()] == [path.name]
