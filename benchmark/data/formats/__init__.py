"""The ways in which data sets lie on disk, one file each; one with `FORMAT` or `FORMATS` is found by being there."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path

from benchmark.config import UserError
from benchmark.data.listing import files_beside
from benchmark.data.manifest import Manifest

MOST_FOLDERS = 200  # looked into on each level when a format is searched for


@dataclass(frozen=True)
class Format:
    """One layout.

    Attributes:
        name: what `--dataset` calls it; two layouts of one data set share the name.
        layout: what it is recognised by, in a few words.
        terms: what the licence of such data asks, in a sentence.
        fits: whether a folder looks like it, by names alone.
        read: (folder that fits, data folder) -> manifest; what has to be converted is written into the data folder.
        aside: patterns of files in the release that hold no labelled pictures, or are read for their labels; every
            other picture has to be used.
        labels_stay: whether the terms forbid that labels are passed on.
        imports: whether other sets are passed on in this layout.
    """

    name: str
    layout: str
    terms: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, Path], Manifest]
    aside: tuple[str, ...] = ()
    labels_stay: bool = False
    imports: bool = False


@cache
def all_formats() -> tuple[Format, ...]:
    """Return every format, the specific before the general."""
    modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return tuple(one for module in modules for one in getattr(module, "FORMATS", None) or (module.FORMAT,))


def labels_stay(dataset: str) -> bool:
    """Tell whether the labels of a data set must not be passed on, by its name."""
    return any(one.name == dataset and one.labels_stay for one in all_formats())


def read_dataset(name: str, root: Path, data_dir: Path) -> Manifest:
    """Read a folder or a single file in the format of this name, or in the one that it fits where the name is "auto".

    A set that lies in another one's layout (what `ferfuse data import` wrote, open-faces) answers to its own name too.

    Raises:
        UserError: nothing there, nothing known there, or more than one thing known there.
    """
    if not root.exists():
        raise UserError(f"data folder {root} does not exist; give the folder or zip of the data by --data-root")
    formats = [one for one in all_formats() if name in ("auto", one.name)]
    for level in _levels(root):
        fitting = [(one, folder) for folder in level for one in formats if one.fits(folder)]
        if len(fitting) > 1:
            found = "; ".join(f"{one.name} in {folder} ({one.layout})" for one, folder in fitting)
            raise UserError(f"{root} can be read in more than one way, name one by --dataset and --data-root: {found}")
        if fitting:
            one, folder = fitting[0]
            return accounted(one.read(folder, data_dir), root, data_dir, one.aside)
    for one, folder in ((one, folder) for level in _levels(root) for folder in level for one in all_formats()):
        if one.imports and one.fits(folder) and (manifest := one.read(folder, data_dir)).dataset == name:
            return accounted(manifest, root, data_dir, one.aside)
    looked_for = "; ".join(f"{one.name}: {one.layout}" for one in formats)
    raise UserError(f"{root} holds no data set of a known form; looked for {looked_for}")


def accounted(manifest: Manifest, folder: Path, data_dir: Path, aside: tuple[str, ...]) -> Manifest:
    """Return a manifest that knows which files were found below its folder and are not used."""
    base = folder if folder.is_dir() else folder.parent
    unused, other = files_beside(manifest, base, data_dir, aside)
    return replace(manifest, origin=replace(manifest.origin, unused=unused, other=other))


def _levels(root: Path) -> Iterator[list[Path]]:
    """Yield the root, the folders in it, and the folders in those, since archives wrap what they hold."""
    level = [root]
    for _ in range(3):
        yield level
        inner = [path for outer in level if outer.is_dir() for path in sorted(outer.iterdir())]
        level = [path for path in inner if path.is_dir() and path.name != "__MACOSX"][:MOST_FOLDERS]
