"""What people really have: each kind of input that was misread once, with siblings of its kind."""

from __future__ import annotations

import csv
import io
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.config import DataSettings, UserError
from benchmark.data import store
from benchmark.data.formats import read_dataset
from benchmark.data.gate import check_data
from benchmark.data.manifest import Manifest
from benchmark.data.scan import as_shown, decode
from benchmark.data.sources import find_dataset
from benchmark.data.store import image_facts, stored_images, stored_size
from tests.data.formats import layouts

CLASSES = ("anger", "happiness", "neutral")


def picture(path: Path, value: int = 0, size: int = 8, mode: str = "RGB", **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([zlib.crc32(path.name.encode()), value]).integers(0, 255, (size, size, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **how)
    return path


def class_folders(
    root: Path, parts: tuple[str, ...] = ("train", "test"), images: int = 3, suffix: str = ".png"
) -> Path:
    number = 0
    for part in parts:
        for name in CLASSES:
            for i in range(images):
                number += 1
                picture(root / part / name / f"{name}_{i}{suffix}", number)
    return root


def read(root: Path) -> Manifest:
    return read_dataset("auto", root, root.parent / "data")


def codes(manifest: Manifest, tmp_path: Path, split: str = "official") -> dict[str, str]:
    """The findings about a data set: severity by code."""
    report = check_data(manifest, DataSettings(split=split), tmp_path / "data")
    return {one.code: one.severity for one in report.findings}


# --- nothing labelled is ignored in silence


@pytest.mark.parametrize(
    "extra",
    [
        "train/fear.heic",
        "extra/anger/1.png",
        "test/loose.png",
        "old train/anger/1.jpg",
        "train/1.gif",
        "more/deep/er/2.webp",
    ],
)
def test_a_picture_that_is_not_used_is_an_error_that_names_it(tmp_path: Path, extra: str) -> None:
    root = class_folders(tmp_path / "set")
    assert "unused-images" not in codes(read(root), tmp_path)
    path = root / extra
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a picture, as its name says")
    manifest = read(root)
    assert manifest.origin.unused == (extra,)
    assert codes(manifest, tmp_path)["unused-images"] == "error"
    report = check_data(manifest, DataSettings(accept=["unused-images"]), tmp_path / "data")
    assert not report.stopping


@pytest.mark.parametrize("place", ["train/anger", "more", "test"])
def test_a_picture_without_a_suffix_is_not_passed_over(tmp_path: Path, place: str) -> None:
    root = class_folders(tmp_path / "set")
    (root / place).mkdir(exist_ok=True)
    (root / place / "README").write_text("no picture")
    picture(root / place / "1.png").rename(root / place / "0001")
    assert read(root).origin.unused == (f"{place}/0001",)


@pytest.mark.parametrize("beside", ["extra/anger/1.png", "1.jpg", "more/2.webp"])
def test_pictures_beside_a_wrapped_data_set_are_not_passed_over(tmp_path: Path, beside: str) -> None:
    class_folders(tmp_path / "set" / "archive")
    path = tmp_path / "set" / beside
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a picture, as its name says")
    assert read(tmp_path / "set").origin.unused == (beside,)


def test_a_class_in_folders_below_is_read(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set")
    for i in range(4):
        picture(root / "train" / "fear" / f"S{i}" / "a.png", i)
        picture(root / "test" / "fear" / "inner" / f"{i}.png", 9 + i)
    manifest = read(root)
    assert manifest.counts(~manifest.is_test)[manifest.classes.index("fear")] == 4
    assert "train/fear/S0/a.png" in manifest.image_ids


@pytest.mark.parametrize("suffix", [".gif", ".jfif", ".jpe", ".JPG", ".tiff", ".bmp"])
def test_every_suffix_that_can_be_read_is_read(tmp_path: Path, suffix: str) -> None:
    root = tmp_path / "set"
    class_folders(root)
    for part in ("train", "test"):
        for i in range(3):
            kind = {"jfif": "JPEG", "jpe": "JPEG", "jpg": "JPEG"}.get(suffix[1:].lower(), suffix[1:].upper())
            picture(root / part / "fear" / f"{i}{suffix}", i, format=kind)
    assert "fear" in read(root).classes


@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(["train", "test", "val", "odd", "images"]),
            st.sampled_from(["anger", "happiness", "sad", "inner/anger", "."]),
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from([".png", ".jpg", ".heic", ".txt"]),
        ),
        st.just(b"x"),
        max_size=25,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_found_is_used_or_named(tmp_path_factory: pytest.TempPathFactory, tree: dict[tuple[str, ...], bytes]) -> None:
    """Random trees: every picture is in the data set or among those that are named as not used."""
    root = tmp_path_factory.mktemp("tree") / "set"
    for part in ("train", "test"):
        for name in ("anger", "happiness"):
            picture(root / part / name / "first.png")
    for part, folder, name, suffix in tree:
        path = root / part / folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    pictures = {path for path in root.rglob("*") if path.suffix in (".png", ".jpg", ".heic")}
    try:
        manifest = read(root)
    except UserError:
        return
    unused = {root / name for name in manifest.origin.unused}
    assert set(manifest.files) | unused == pictures
    assert not set(manifest.files) & unused


# --- parts by all their names


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("Training", "PublicTest", "PrivateTest"), ("train", "validation", "test")),
        (("train", "dev", "eval"), ("train", "validation", "test")),
        (("train_set", "val_set"), ("train", "test")),
        (("Train", "Valid", "Testing"), ("train", "validation", "test")),
        (("training", "private_test"), ("train", "test")),
        (("trainset", "validation", "test-set"), ("train", "validation", "test")),
    ],
)
def test_parts_by_their_names(tmp_path: Path, folders: tuple[str, ...], parts: tuple[str, ...]) -> None:
    manifest = read(class_folders(tmp_path / "set", folders))
    assert tuple(manifest.parts) == parts
    assert all(rows.sum() == 9 for rows in manifest.parts.values())


def test_a_part_that_cannot_be_placed_stops(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set", ("train", "test", "fold3"))
    assert codes(read(root), tmp_path)["unused-images"] == "error"


# --- pictures as a viewer shows them


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_pictures_stand_upright(orientation: int, turned: int) -> None:
    pixels = np.zeros((6, 6, 3), np.uint8)
    pixels[:2] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    np.testing.assert_array_equal(decode(buffer.getvalue(), "x", 6), np.rot90(pixels, turned))


def test_sixteen_bits_keep_their_upper_eight() -> None:
    values = (np.arange(36, dtype=np.uint16) * 1700).reshape(6, 6)
    for mode in ("I;16", "I"):
        image = Image.fromarray(values if mode == "I;16" else values.astype(np.int32))
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(as_shown(image))[..., 0], values >> 8)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 4), 0.5, np.float32), "floating-point"),
        (np.full((4, 4), 1 << 20, np.int32), "more than 16 bits"),
        (np.full((4, 4), -1, np.int32), "more than 16 bits"),
        (np.arange(16, dtype=np.int32).reshape(4, 4) * 17, "nearly black"),
        (np.arange(16, dtype=np.uint16).reshape(4, 4) * 273, "nearly black"),
    ],
)
def test_pixels_that_have_no_one_look_are_refused(array: np.ndarray, words: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "TIFF")
    with pytest.raises(UserError, match=words):
        decode(buffer.getvalue(), "x", 4)


def test_transparent_pixels_are_white() -> None:
    shown = np.zeros((4, 4, 4), np.uint8)
    shown[:2, :, 3] = 255
    palette = Image.fromarray(shown[..., 0]).convert("P")
    palette.info["transparency"] = 0
    for image, white in ((Image.fromarray(shown), slice(2, 4)), (palette, slice(0, 4))):
        assert (np.asarray(as_shown(image))[white] == 255).all()
    assert (np.asarray(as_shown(Image.fromarray(shown)))[:2] == 0).all()


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "1", "LA", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = as_shown(Image.new(mode, (4, 4)))
    assert (image.mode, image.size) == ("RGB", (4, 4))


@pytest.mark.parametrize("error", [RuntimeError("avif"), KeyError("x"), MemoryError(), ZeroDivisionError()])
def test_every_decoders_error_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    manifest = read(class_folders(tmp_path / "set"))
    broken = manifest.files[0].read_bytes()
    plain = Image.open

    def opened(content: io.BytesIO | Path) -> Image.Image:
        if isinstance(content, io.BytesIO) and content.getvalue() == broken:
            raise error
        return plain(content)

    monkeypatch.setattr(Image, "open", opened)
    assert (image_facts(manifest, 8, tmp_path / "data")["fault"] != "").sum() == 1


def test_pixels_of_another_way_of_decoding_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read(class_folders(tmp_path / "set"))
    monkeypatch.setattr(store, "DECODING", store.DECODING - 1)
    before = store.stored_images(manifest, 8, tmp_path / "data")
    np.save(before, np.zeros_like(np.load(before)))
    monkeypatch.undo()
    now = store.stored_images(manifest, 8, tmp_path / "data")
    assert now != before
    assert np.load(now).any()


def test_the_first_picture_does_not_set_the_size(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set", images=5)
    picture(root / "train" / "anger" / "anger_0.png", size=3)
    manifest = read(root)
    assert manifest.files[0].name == "anger_0.png"
    assert stored_size(manifest, 112) == 8
    assert stored_size(manifest, 6) == 6
    assert np.load(stored_images(manifest, 112, tmp_path / "data")).shape[1:] == (8, 8, 3)


# --- lists


def listed(
    root: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("image", "label", "split"), **how: str
) -> Path:
    """Write pictures and a list of them, `how` says: name, separator, encoding, tail."""
    for row in rows:
        picture(root / row[0])
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if how.get("quoted") else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=how.get("separator", ","), quoting=quoting, lineterminator="\r\n").writerows(
        [header, *rows]
    )
    content = text.getvalue() + how.get("tail", "")
    (root / how.get("name", "labels.csv")).write_bytes(content.encode(how.get("encoding", "utf-8")))
    return root


ROWS = [(f"img/{part}_{name}_{i}.png", name, part) for part in ("train", "test") for name in CLASSES for i in range(2)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("quoted", ["", "yes"])
def test_lists_as_programs_write_them(tmp_path: Path, separator: str, encoding: str, quoted: str) -> None:
    tail = f"\r\n{2 * separator}\r\n"
    manifest = read(listed(tmp_path / "set", ROWS, separator=separator, encoding=encoding, quoted=quoted, tail=tail))
    assert len(manifest) == 12
    assert manifest.is_test.sum() == 6


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        (
            [*ROWS, ("img/x.png", "anger", "")],
            ("image", "label", "split"),
            "line 14: the cell of column split is empty",
        ),
        ([*ROWS, ("img/x.png", "anger", "fold7")], ("image", "label", "split"), "line 14: split 'fold7' is unknown"),
        (ROWS, ("image", "label", "label"), "the column 'label' twice"),
        ([*ROWS, ("img/x.png", "anger", "train", "more")], ("image", "label", "split"), "line 14 has not 3 columns"),
        (
            [(f"anger/{i}.png", "happiness", "train") for i in range(3)],
            ("image", "label", "split"),
            "disagree about 3 of 3",
        ),
        ([*ROWS, ("img/x.png", "grumpy", "train")], ("image", "label", "split"), "'grumpy' is no known expression"),
    ],
)
def test_faults_of_lists_are_named(
    tmp_path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        read(listed(tmp_path / "set", rows, header))


def test_lists_of_ones_own_for_train_and_test(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for part in ("train", "test"):
        rows = [row[:2] for row in ROWS if row[2] == part]
        listed(root, rows, ("image", "label"), name=f"{part}.csv")
    manifest = read(root)
    assert (len(manifest), manifest.is_test.sum(), manifest.dataset) == (12, 6, "csv")


def test_a_list_beside_folders_has_to_agree_with_them(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set")
    names = [f"{name}/{name}_{i}.png" for name in CLASSES for i in range(3)]
    right = "".join(f"{i},{name},{name.partition('/')[0]}\n" for i, name in enumerate(names))
    (root / "labels.csv").write_text(f",pth,label\n{right}")
    assert len(read(root)) == 18
    (root / "labels.csv").write_text(f",pth,label\n{right.replace('anger_0.png,anger', 'anger_0.png,happy')}")
    with pytest.raises(UserError, match=r"labels\.csv and the folders disagree about 2 of 18 images"):
        read(root)


# --- RAF-DB in the spellings that circulate


def raf_db(root: Path, change: Callable[[str], str] = lambda name: name, **how: str) -> Path:
    names = [f"train_{i:05d}.jpg {1 + i % 7}" for i in range(21)] + [f"test_{i:04d}.jpg {1 + i % 7}" for i in range(21)]
    for line in names:
        stem = line.split(".")[0]
        picture(root / "Image" / "aligned" / change(f"{stem}_aligned.jpg"))
    file = root / "EmoLabel" / how.get("list", "list_patition_label.txt")
    file.parent.mkdir()
    file.write_bytes(
        how.get("ends", "\n")
        .join(how.get("line", "{}").format(line) for line in names)
        .encode(how.get("encoding", "utf-8"))
    )
    return root


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda name: name, {"encoding": "utf-8-sig"}),
        (lambda name: name, {"encoding": "utf-16"}),
        (lambda name: name, {"ends": "\r\n"}),
        (lambda name: name, {"list": "list_partition_label.txt"}),
        (lambda name: name.replace(".jpg", ".JPG"), {}),
        (lambda name: name.replace("_aligned", ""), {}),
        (lambda name: name.replace(".jpg", ".png"), {}),
        (lambda name: name.title().replace("_Aligned.Jpg", "_aligned.jpg"), {}),
    ],
)
def test_raf_db_is_the_same_in_every_spelling(
    tmp_path: Path, change: Callable[[str], str], how: dict[str, str]
) -> None:
    manifest = read(raf_db(tmp_path / "set", change, **how))
    assert manifest.image_ids[0] == "train_00000.jpg"
    assert (len(manifest), manifest.is_test.sum()) == (42, 21)
    assert manifest.labels.tolist() == [i % 7 for i in range(21)] * 2


def test_numbers_that_may_be_another_sets_are_said_to_be_a_guess(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for part in ("train", "test"):
        for number in range(1, 8):
            for i in range(3):
                picture(root / part / str(number) / f"S{number}_{i}.png", 10 * number + i)
    assert codes(read(root), tmp_path)["class-codes"] == "warning"
    assert "class-codes" not in codes(read(raf_db(tmp_path / "official")), tmp_path)


# --- files and archives


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set")
    (root / "train" / "anger" / "link.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=r"link\.png is a link to a file that is not there"):
        check_data(read(root), DataSettings(), tmp_path / "data")


@pytest.mark.parametrize("name", [b"\xc1\xb3.png", b"a\nb.png", b"\xff.png"])
def test_a_name_that_is_no_text_is_named(tmp_path: Path, name: bytes) -> None:
    root = class_folders(tmp_path / "set")
    content = (root / "train" / "anger" / "anger_0.png").read_bytes()
    with open(os.path.join(os.fsencode(root / "train" / "anger"), name), "wb") as file:
        file.write(content)
    with pytest.raises(UserError, match="holds letters that are no text") as fault:
        read(root)
    assert str(fault.value).encode()


def test_an_archive_with_backslashes_is_unpacked_into_folders(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set")
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(root.rglob("*.png")):
            entry = zipfile.ZipInfo("x")
            entry.filename = str(path.relative_to(root)).replace("/", "\\")
            opened.writestr(entry, path.read_bytes())
    manifest = find_dataset(DataSettings(dataset="auto", root=archive), tmp_path / "data")
    assert len(manifest) == 18


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([3]), None), (np.array(3.0), None), (np.array([[3]]), None),
        (np.array([]), "holds no class number"), (np.eye(8)[3], "holds no class number"),
        (np.array(np.inf), "holds no class number"), (np.array("three"), "holds no class number"),
        (np.array(77), "class 77 is unknown"),
    ],
)  # fmt: skip
def test_affectnets_annotations(tmp_path: Path, array: np.ndarray, words: str | None) -> None:
    root = tmp_path / "set"
    for part in ("train_set", "val_set"):
        for i in range(4):
            picture(root / part / "images" / f"{i}.jpg", i)
            (root / part / "annotations").mkdir(exist_ok=True)
            np.save(root / part / "annotations" / f"{i}_exp.npy", array if i == 0 else np.array(i % 2))
    if words is None:
        assert read(root).classes[read(root).labels[0]] == "surprise"
        return
    with pytest.raises(UserError, match=words):
        read(root)


@pytest.mark.parametrize("content", ["emotion,pixels,Usage\n".encode("utf-16"), bytes(range(256))])
def test_a_file_of_fer2013s_name_that_is_not_the_published_one(tmp_path: Path, content: bytes) -> None:
    root = tmp_path / "set"
    root.mkdir()
    (root / "fer2013.csv").write_bytes(content)
    with pytest.raises(UserError, match="is not the published file"):
        read(root)


# --- FERPlus as it is published


def test_ferplus_as_folders(tmp_path: Path) -> None:
    root, number = tmp_path / "set", 0
    votes = {
        "4,0,0,1,3,2,0,0,0,0": None,
        "0,8,0,0,2,0,0,0,0,0": "happiness",
        "9,0,0,0,1,0,0,0,0,0": "neutral",
        "0,0,0,0,0,0,0,0,9,0": None,
    }
    for part in ("Train", "Valid", "Test"):
        folder = root / f"FER2013{part}"
        lines = []
        for row in votes:
            number += 1
            picture(folder / f"fer{number:07d}.png", number)
            lines.append(f'fer{number:07d}.png,"(0, 0, 48, 48)",{row}')
        (folder / "label.csv").write_text("\n".join(lines) + "\n")
    manifest = read(root)
    assert (manifest.dataset, manifest.classes) == ("ferplus", ("happiness", "neutral"))
    assert {name: int(rows.sum()) for name, rows in manifest.parts.items()} == {"train": 2, "validation": 2, "test": 2}
    assert manifest.votes is not None
    np.testing.assert_allclose(manifest.votes[0], [0.8, 0.0])
    assert manifest.origin.unused == ()
    assert "6 of 12 images without a majority" in manifest.origin.notes[0]
    (root / "FER2013Test" / "label.csv").write_text("fer0000001.png,x,1,2\n")
    with pytest.raises(UserError, match="line 1 has no number of votes"):
        read(root)


# --- sets whose names tell expression and person


@pytest.mark.parametrize(
    ("name", "dataset", "label", "person"),
    [
        ("KA.AN1.39.tiff", "jaffe", "anger", "KA"),
        ("YM.SU3.60.tiff", "jaffe", "surprise", "YM"),
        ("AF01ANS.JPG", "kdef", "anger", "F01"),
        ("BM35AFHL.JPG", "kdef", "fear", "M35"),
        ("AF01/AF01SUFR.JPG", "kdef", "surprise", "F01"),
    ],
)
def test_coded_names(tmp_path: Path, name: str, dataset: str, label: str, person: str) -> None:
    root = tmp_path / "set"
    usual = {"jaffe": "KL.{}{}.1{}.tiff", "kdef": "AM1{1}{0}S.JPG"}[dataset]
    for number, code in enumerate(["HA", "NE"] * 4):
        picture(root / usual.format(code, number, number), number)
    picture(root / name, 99)
    manifest = read(root)
    row = manifest.image_ids.index(name)
    assert (manifest.dataset, manifest.classes[manifest.labels[row]]) == (dataset, label)
    assert manifest.groups is not None
    assert manifest.groups[row] == person
    picture(root / "holiday.jpg", 100)
    with pytest.raises(UserError, match="is not named as"):
        read(root)


def grey(file: Path) -> np.ndarray:
    with Image.open(file) as opened:
        return np.asarray(opened.convert("L")).astype(int)


def test_the_height_of_a_sequence_of_ck_plus_is_used(tmp_path: Path) -> None:
    labels = {"S005/001": 3, "S005/002": 0, "S010/004": 7, "S011/001": 5}
    manifest = read(layouts.ck_plus(tmp_path / "set", labels))
    assert manifest.dataset == "ck+"
    found = dict(zip(manifest.image_ids, (manifest.classes[label] for label in manifest.labels), strict=True))
    assert found == {
        f"{sequence}_{frame:08d}.png": name
        for sequence, name in (("S005_001", "disgust"), ("S010_004", "surprise"), ("S011_001", "happiness"))
        for frame in (3, 4, 5)
    }
    assert manifest.groups is not None
    assert manifest.groups.tolist() == [name[:4] for name in manifest.image_ids]
    assert manifest.origin.notes == ("the last 3 pictures of 3 sequences with a class are used, 11 are not",)
    file = next((tmp_path / "set" / "Emotion").rglob("*.txt"))
    for content in ("0.0", "8", "nan", "", "three"):
        file.write_text(content)
        with pytest.raises(UserError, match="is no class of CK"):
            read(tmp_path / "set")


def test_pictures_of_ck_plus_in_class_folders_tell_the_person(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for number, (name, person) in enumerate([("anger", 10), ("happy", 10), ("surprise", 22), ("contempt", 22)]):
        picture(root / name / f"S{person:03d}_004_00000017.png", number)
    manifest = read(root)
    assert manifest.groups is not None
    assert sorted(manifest.groups) == ["S010", "S010", "S022", "S022"]
    picture(root / "anger" / "holiday.png", 9)
    assert read(root).groups is None


def test_faces_of_expw_are_cut_out(tmp_path: Path) -> None:
    lines = ["a.jpg 0 4 2 20 30 9.5 0", "a.jpg 1 -3 30 60 48 1.5 3", "b.jpg 0 0 0 48 48 9 6"]
    root = layouts.expw(tmp_path / "set", lines)
    manifest = read(root)
    assert manifest.dataset == "expw"
    found = dict(zip(manifest.image_ids, (manifest.classes[label] for label in manifest.labels), strict=True))
    assert found == {"a_0.jpg": "anger", "a_1.jpg": "happiness", "b_0.jpg": "neutral"}
    faces = {name: grey(file) for name, file in zip(manifest.image_ids, manifest.files, strict=True)}
    assert {name: face.shape[::-1] for name, face in faces.items()} == {
        "a_0.jpg": (18, 26),
        "a_1.jpg": (18, 48),
        "b_0.jpg": (48, 48),
    }
    assert abs(faces["a_0.jpg"] - grey(root / "image" / "a.jpg")[4:30, 2:20]).mean() < 3
    assert manifest.groups is not None
    assert sorted(manifest.groups) == ["a.jpg", "a.jpg", "b.jpg"]
    for line, words in (
        ("a.jpg 0 4 2 20 30 9.5", "is not name, face"),
        ("a.jpg 0 4 2 20 30 9.5 7", "class of 0 to 6"),
        ("a.jpg 0 50 2 90 30 9.5 1", "lies outside"),
        ("c.jpg 0 4 2 20 30 9.5 1", "is missing"),
    ):
        (root / "label" / "label.lst").write_text("\n".join([*lines, line]))
        with pytest.raises(UserError, match=words):
            read(root)


@pytest.mark.parametrize("names", [("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")])
def test_caer_s_is_read_by_its_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = tmp_path / "CAER-S"
    for number, (part, name) in enumerate((part, name) for part in ("train", "test") for name in names):
        picture(root / part / name / "0001.png", number)
    manifest = read(root)
    assert set(manifest.classes) == {"anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"}
    assert manifest.is_test.sum() == 7


# --- a clean split by a setting


def test_training_images_that_equal_test_images_are_left_out(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set", images=4)
    for i in range(2):
        (root / "train" / "anger" / f"again_{i}.png").write_bytes(
            (root / "test" / "anger" / f"anger_{i}.png").read_bytes()
        )
    keep = DataSettings(dataset="folders", root=root, image_size=8)
    clean = keep.model_copy(update={"duplicates": "leave-out"})
    whole, smaller = (find_dataset(one, tmp_path / "data") for one in (keep, clean))
    assert (len(whole), len(smaller)) == (26, 24)
    assert codes(whole, tmp_path)["identical-across"] == "error"
    assert "identical-across" not in codes(smaller, tmp_path)
    assert smaller.is_test.sum() == whole.is_test.sum()
    assert smaller.origin.notes[-1].startswith(
        "2 training and validation images that equal a test image left out by data.duplicates"
    )
    assert whole.content_digest(tmp_path / "data") != smaller.content_digest(tmp_path / "data")
    with pytest.raises(UserError, match="names no test images"):
        find_dataset(clean.model_copy(update={"root": root / "train"}), tmp_path / "data")


@pytest.mark.parametrize(("parts", "words"), [(("train", "test"), "leave-out leaves out"), (("",), "take one of each")])
def test_the_remedy_of_a_leak_is_one_that_works(tmp_path: Path, parts: tuple[str, ...], words: str) -> None:
    root = class_folders(tmp_path / "set", parts, images=6)
    first = next((root / parts[-1] / "anger").iterdir())
    (root / parts[0] / "anger" / "again.png").write_bytes(first.read_bytes())
    manifest = read(root)
    split = "official" if manifest.is_test.any() else "kfold"
    found = check_data(manifest, DataSettings(split=split), tmp_path / "data").findings
    assert words in next(one.remedy for one in found if one.code == "identical-across")


def test_no_training_image_is_left_that_looks_like_a_test_image(tmp_path: Path) -> None:
    """Copies of a test image, and likenesses of it twice over, hide each other where one image stands for identical."""
    root = class_folders(tmp_path / "set", images=4)
    generator = np.random.default_rng(0)
    face = np.kron(generator.integers(40, 215, (8, 8, 3)), np.ones((8, 8, 1)))
    like = (face + generator.integers(-6, 7, face.shape)).astype(np.uint8)
    for place, pixels in (
        ("train/anger/a_copy", face.astype(np.uint8)),
        ("train/anger/like", like),
        ("train/neutral/like_again", like),
        ("test/anger/face", face.astype(np.uint8)),
    ):
        Image.fromarray(pixels).save(root / f"{place}.png")
    settings = DataSettings(dataset="folders", root=root, image_size=8)
    exact, near = (
        find_dataset(settings.model_copy(update={"duplicates": rule}), tmp_path / "data")
        for rule in ("leave-out", "leave-out-near")
    )
    added = {"train/anger/a_copy.png", "train/anger/like.png", "train/neutral/like_again.png"}
    assert added - set(exact.image_ids) == {"train/anger/a_copy.png"}
    assert added - set(near.image_ids) == added
    assert "near-across" in codes(exact, tmp_path)
    assert "near-across" not in codes(near, tmp_path)
