"""Faults planted in a set of RAF-DB's layout, one of each kind that the gate looks for: what tests the gate itself."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from benchmark.data.formats.raf_db import IMAGE_FOLDER, LABEL_FILE


@dataclass(frozen=True, eq=False)
class Faces:
    """A set that is being spoilt: its folder, `lines` of (name, class id), and what draws which images are hit."""

    root: Path
    lines: list[list[str]]
    generator: np.random.Generator

    def draw(self, part: str, count: int) -> list[int]:
        """Draw different lines of a part."""
        rows = [row for row, (name, _) in enumerate(self.lines) if name.startswith(part)]
        return [int(row) for row in self.generator.choice(rows, count, replace=False)]

    def file(self, row: int) -> Path:
        """Return the image of a line."""
        return self.root / IMAGE_FOLDER / self.lines[row][0].replace(".jpg", "_aligned.jpg")


@dataclass(frozen=True)
class Fault:
    """A kind of fault: the finding it must lead to, and how it is made."""

    finding: str
    plant: Callable[[Faces, int], None]


def plant_faults(root: Path, counts: Mapping[str, int], seed: int) -> None:
    """Plant so many faults of each kind, the same for the same seed."""
    for name, count in counts.items():
        lines = [line.split() for line in (root / LABEL_FILE).read_text(encoding="utf-8").splitlines()]
        axes = [seed, list(FAULTS).index(name)]
        faces = Faces(root, lines, np.random.default_rng(axes))
        FAULTS[name].plant(faces, count)
        _write_lines(root, faces.lines)


def _write_lines(root: Path, lines: list[list[str]]) -> None:
    (root / LABEL_FILE).write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")


def _copies(source: str, target: str, same_class: bool = True) -> Callable[[Faces, int], None]:
    """Give images of `target` the bytes of images of `source`, with their label or with another one."""

    def plant(faces: Faces, count: int) -> None:
        drawn = faces.draw(source, 2 * count if source == target else count)
        sources = drawn[:count]
        targets = drawn[count:] if source == target else faces.draw(target, count)
        for first, second in zip(sources, targets, strict=True):
            faces.file(second).write_bytes(faces.file(first).read_bytes())
            label = int(faces.lines[first][1])
            faces.lines[second][1] = str(label if same_class else label % 7 + 1)

    return plant


def _alike(faces: Faces, count: int) -> None:
    """Give training images the look of test images: brighter, a little cut, compressed again; every second mirrored."""
    for number, (first, second) in enumerate(zip(faces.draw("test", count), faces.draw("train", count), strict=True)):
        with Image.open(faces.file(first)) as opened:
            image = ImageEnhance.Brightness(opened.convert("RGB")).enhance(1.15)
        width, height = image.size
        cut = image.crop((1, 1, width - 1, height - 1)).resize((width, height), Image.Resampling.BICUBIC)
        turned = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else cut
        turned.save(faces.file(second), quality=80)
        faces.lines[second][1] = faces.lines[first][1]


def _swap_classes(faces: Faces, count: int) -> None:
    """Exchange the ids of happiness and sadness, then of anger and neutral, in the test part."""
    for first, second in (("4", "5"), ("6", "7"))[:count]:
        other = {first: second, second: first}
        for line in faces.lines:
            if line[0].startswith("test"):
                line[1] = other.get(line[1], line[1])


def _changed(change: Callable[[Image.Image], Image.Image], part: str = "train") -> Callable[[Faces, int], None]:
    """Change the pixels of images."""

    def plant(faces: Faces, count: int) -> None:
        for row in faces.draw(part, count):
            with Image.open(faces.file(row)) as opened:
                changed = change(opened.convert("RGB"))
            changed.save(faces.file(row), format="JPEG", quality=92)

    return plant


def _cut_off(faces: Faces, count: int) -> None:
    for row in faces.draw("train", count):
        content = faces.file(row).read_bytes()
        faces.file(row).write_bytes(content[: len(content) * 2 // 3])


def _no_image(faces: Faces, count: int) -> None:
    for row in faces.draw("train", count):
        faces.file(row).write_bytes(b"this is no image")


def _oversized(faces: Faces, count: int) -> None:
    """Put in the header of a huge image: it need not be there to be refused."""
    content = io.BytesIO()
    Image.new("1", (10_100, 64)).save(content, format="PNG")
    for row in faces.draw("train", count):
        faces.file(row).write_bytes(content.getvalue())


def _block_order(faces: Faces, count: int) -> None:
    """Sort the test part by class."""
    faces.lines.sort(key=lambda line: (line[0].startswith("test"), line[1] if line[0].startswith("test") else ""))


def _missing_class(faces: Faces, count: int) -> None:
    """Take the images of the first classes out of the test part."""
    gone = {str(number) for number in range(1, count + 1)}
    faces.lines[:] = [line for line in faces.lines if not (line[0].startswith("test") and line[1] in gone)]


FAULTS = {
    "duplicates": Fault("identical-within", _copies("train", "train")),
    "leaks": Fault("identical-across", _copies("test", "train")),
    "near-leaks": Fault("near-across", _alike),
    "conflicts": Fault("conflicting-labels", _copies("train", "train", False)),
    "swapped-classes": Fault("swapped-classes", _swap_classes),
    "truncated": Fault("truncated", _cut_off),
    "unreadable": Fault("unreadable", _no_image),
    "oversized": Fault("oversized", _oversized),
    "tiny": Fault("tiny", _changed(lambda image: image.resize((12, 12)))),
    "constant": Fault("constant", _changed(lambda image: Image.new("RGB", image.size, (128, 120, 110)))),
    "not-square": Fault("not-square", _changed(lambda image: image.crop((0, 0, 100, 70)))),
    "cmyk": Fault("odd-mode", _changed(lambda image: image.convert("CMYK"))),
    "blue": Fault(
        "channel-order",
        _changed(lambda image: Image.merge("RGB", image.split()[::-1]), "test"),
    ),
    "grey": Fault("mixed-colour", _changed(lambda image: image.convert("L"))),
    "blocks": Fault("file-order", _block_order),
    "missing-classes": Fault("missing-class", _missing_class),
}
