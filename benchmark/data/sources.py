"""From settings to a manifest: find the data set on disk, or draw it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from filelock import FileLock

from benchmark.config import DataSettings, SyntheticSettings, UserError
from benchmark.data.manifest import Manifest
from benchmark.data.raf_db import read_raf_db
from benchmark.data.synthetic import write_synthetic_faces

GENERATOR_VERSION = 2  # raise when the same settings draw other faces


def open_dataset(data: DataSettings, data_dir: Path) -> Manifest:
    """Return the manifest of the data set that the settings name.

    Args:
        data_dir: where synthetic faces are written, once for each set of settings.

    Raises:
        UserError: the data are not where they should be, or not as they should be.
    """
    if data.dataset == "synthetic":
        return read_raf_db(data.root or _draw_once(data.synthetic, data_dir))
    if data.root is None:
        raise UserError(f"data set {data.dataset} needs its folder; give it by --data-root (make: DATA_ROOT=...)")
    return read_raf_db(data.root)


def _draw_once(settings: SyntheticSettings, data_dir: Path) -> Path:
    key = json.dumps({"version": GENERATOR_VERSION, **settings.model_dump()}, sort_keys=True)
    root = data_dir / "synthetic" / hashlib.sha256(key.encode()).hexdigest()[:12]
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{root}.lock"):
        if not root.is_dir():
            try:
                write_synthetic_faces(root, **settings.model_dump())
            except ValueError as error:
                raise UserError(str(error)) from error
    return root
