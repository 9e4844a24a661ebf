import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.config import UserError
from benchmark.data.formats import read_dataset
from benchmark.data.formats.raf_db import IMAGE_FOLDER, LABEL_FILE, NOTE_FILE, read_raf_db
from benchmark.data.vocabulary import (
    OFFICIAL_COUNTS,
    OPEN_FACES_COUNTS,
    OPEN_FACES_TERMS,
    RAF_DB_CLASSES,
    SYNTHETIC_MARK,
)


@pytest.fixture
def copy(faces: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(faces, tmp_path / "basic"))


def test_reads_names_labels_and_split(faces: Path) -> None:
    manifest = read_raf_db(faces)
    lines = [line.split() for line in (faces / LABEL_FILE).read_text().splitlines()]
    expected = {name: int(label) - 1 for name, label in lines}
    assert dict(zip(manifest.image_ids, manifest.labels.tolist(), strict=True)) == expected
    assert manifest.is_test.sum() == 56
    assert manifest.files[0].name == manifest.image_ids[0].replace(".jpg", "_aligned.jpg")


def test_training_images_come_first_and_keep_file_order(copy: Path) -> None:
    label_file = copy / LABEL_FILE
    lines = label_file.read_text().splitlines()
    label_file.write_text("\n".join(lines[::-1]))
    manifest = read_raf_db(copy)
    train = [line.split()[0] for line in lines[::-1] if line.startswith("train")]
    test = [line.split()[0] for line in lines[::-1] if line.startswith("test")]
    assert list(manifest.image_ids) == train + test


def test_accepts_the_folder_above_basic(faces: Path) -> None:
    assert read_raf_db(faces.parent).image_ids == read_raf_db(faces).image_ids


def test_digest_follows_content_not_place(faces: Path, copy: Path, tmp_path: Path) -> None:
    here, there = read_raf_db(faces), read_raf_db(copy)
    assert here.content_digest(tmp_path / "a") == there.content_digest(tmp_path / "b")
    assert here.content_digest(tmp_path / "a") == here.content_digest(tmp_path / "a")
    image = copy / IMAGE_FOLDER / "train_00001_aligned.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    assert read_raf_db(copy).content_digest(tmp_path / "b") != here.content_digest(tmp_path / "a")


def test_digest_follows_labels(copy: Path, tmp_path: Path) -> None:
    before = read_raf_db(copy).content_digest(tmp_path)
    label_file = copy / LABEL_FILE
    text = label_file.read_text()
    first = text.splitlines()[0]
    other = first[:-1] + ("1" if first[-1] != "1" else "2")
    label_file.write_text(text.replace(first, other, 1))
    assert read_raf_db(copy).content_digest(tmp_path) != before


def laid_out(folder: Path, counts: dict[str, tuple[int, ...]]) -> list[str]:
    """Write empty files in RAF-DB's layout, so many of each class; returns the lines of the list."""
    (folder / IMAGE_FOLDER).mkdir(parents=True)
    (folder / LABEL_FILE).parent.mkdir()
    lines = [
        f"{part}_{number:05d}.jpg {label}"
        for part, row in counts.items()
        for number, label in enumerate(np.repeat(np.arange(1, 8), row))
    ]
    for line in lines:
        (folder / IMAGE_FOLDER / line.split()[0].replace(".jpg", "_aligned.jpg")).touch()
    (folder / LABEL_FILE).write_text("\n".join(lines))
    return lines


def test_only_the_official_counts_are_called_raf_db(tmp_path: Path) -> None:
    folder = tmp_path / "basic"
    lines = laid_out(folder, OFFICIAL_COUNTS)
    manifest = read_raf_db(folder)
    assert (manifest.dataset, manifest.title, len(manifest)) == ("raf-db", "RAF-DB", 12271 + 3068)
    (folder / LABEL_FILE).write_text("\n".join(lines[1:]))
    assert read_raf_db(folder).dataset == "raf-db-layout"


def test_open_faces_in_raf_dbs_layout_are_known_by_their_counts_and_answer_to_their_name(tmp_path: Path) -> None:
    folder = tmp_path / "basic"
    lines = laid_out(folder, OPEN_FACES_COUNTS)
    for name in ("open-faces", "raf-db", "auto"):
        manifest = read_dataset(name, folder, tmp_path / "data")
        assert (manifest.dataset, manifest.title) == ("open-faces", "open-faces")
        assert (manifest.origin.terms, manifest.origin.published) == (OPEN_FACES_TERMS, {})
    (folder / LABEL_FILE).write_text("\n".join(lines[1:]))
    with pytest.raises(UserError, match="holds no data set of a known form; looked for open-faces"):
        read_dataset("open-faces", folder, tmp_path / "data")


def test_an_imported_set_answers_to_its_own_name(tmp_path: Path) -> None:
    folder = tmp_path / "basic"
    laid_out(folder, {"train": (2,) * 7, "test": (1,) * 7})
    note = {"dataset": "jaffe", "title": "JAFFE", "classes": RAF_DB_CLASSES, "parts": "", "terms": "", "notes": []}
    (folder / NOTE_FILE).write_text(json.dumps({**note, "persons": None, "validation": []}))
    assert read_dataset("jaffe", folder, tmp_path / "data").title == "JAFFE"
    with pytest.raises(UserError, match="looked for kdef"):
        read_dataset("kdef", folder, tmp_path / "data")


def test_drawn_faces_are_known_by_their_mark_others_are_not_called_raf_db(copy: Path) -> None:
    drawn = read_raf_db(copy)
    assert (drawn.dataset, drawn.synthetic) == ("synthetic", True)
    (copy / SYNTHETIC_MARK).unlink()
    other = read_raf_db(copy)
    assert (other.title, other.synthetic) == ("faces in RAF-DB's layout, not RAF-DB itself", False)


def first_line(text: str, new: str) -> str:
    return "\n".join([new, *text.splitlines()[1:]])


FAULTS: list[tuple[str, Callable[[str], str], str]] = [
    ("unknown class", lambda text: first_line(text, "train_00001.jpg 8"), "line 1: class '8' of train_00001.jpg"),
    ("class zero", lambda text: first_line(text, "train_00001.jpg 0"), "class '0'"),
    ("class by name", lambda text: first_line(text, "train_00001.jpg happy"), "class 'happy'"),
    ("negative class", lambda text: first_line(text, "train_00001.jpg -1"), "class '-1'"),
    ("no class", lambda text: first_line(text, "train_00001.jpg"), "is not like 'train_00001.jpg 5'"),
    ("three words", lambda text: first_line(text, "train_00001.jpg 5 6"), "is not like"),
    ("other prefix", lambda text: first_line(text, "img_00001.jpg 5"), "is not like"),
    ("listed twice", lambda text: text + text.splitlines()[0], "listed twice"),
    ("missing image", lambda text: text + "test_9999.jpg 5", "first .*test_9999_aligned.jpg"),
    ("empty", lambda text: "\n", "is empty"),
    ("no test", lambda text: "\n".join(x for x in text.splitlines() if x.startswith("train")), "no test image"),
    ("no train", lambda text: "\n".join(x for x in text.splitlines() if x.startswith("test")), "no train image"),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_wrong_label_files_are_one_line(copy: Path, change: Callable[[str], str], message: str) -> None:
    label_file = copy / LABEL_FILE
    label_file.write_text(change(label_file.read_text()))
    with pytest.raises(UserError, match=message) as caught:
        read_raf_db(copy)
    assert "\n" not in str(caught.value)


def test_binary_label_file(copy: Path) -> None:
    (copy / LABEL_FILE).write_bytes(bytes(np.arange(256, dtype=np.uint8)))
    with pytest.raises(UserError, match="not a readable text file"):
        read_raf_db(copy)


def test_missing_folder_and_wrong_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_raf_db(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no"):
        read_raf_db(tmp_path)


def test_missing_image_folder(copy: Path) -> None:
    shutil.rmtree(copy / IMAGE_FOLDER)
    with pytest.raises(UserError, match="168 of 168 images"):
        read_raf_db(copy)
