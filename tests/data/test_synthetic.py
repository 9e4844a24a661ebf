"""The drawn faces: layout, class counts, file order, determinism, and expressions that are shapes."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmark.data.drawn_face import render_face
from benchmark.data.synthetic import class_counts, ordered_labels, write_synthetic_faces
from benchmark.data.vocabulary import OFFICIAL_COUNTS

LABEL_FILE = Path("EmoLabel") / "list_patition_label.txt"
TRAIN, TEST = 600, 400

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "basic"
    write_synthetic_faces(root, train=TRAIN, test=TEST, seed=0)
    return root


def read_labels(root: Path, split: str) -> dict[str, int]:
    rows = (line.split(" ") for line in (root / LABEL_FILE).read_text(encoding="utf-8").splitlines())
    return {name: int(label) for name, label in rows if name.startswith(split)}


def read_split(root: Path, split: str) -> tuple[Pixels, Labels]:
    """Images (N, 32, 32, 3) and labels (N,) from 0."""
    labels = read_labels(root, split)
    images = []
    for name in labels:
        path = root / "Image" / "aligned" / name.replace(".jpg", "_aligned.jpg")
        with Image.open(path) as image:
            images.append(np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)))
    return np.stack(images), np.array(list(labels.values())) - 1


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_folder_is_laid_out_as_raf_db(faces: Path) -> None:
    lines = (faces / LABEL_FILE).read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in lines] == [
        *(f"train_{number:05d}.jpg" for number in range(1, TRAIN + 1)),
        *(f"test_{number:04d}.jpg" for number in range(1, TEST + 1)),
    ]
    assert {line.split()[1] for line in lines} == set("1234567")
    images = {path.name for path in (faces / "Image" / "aligned").iterdir()}
    assert images == {line.split()[0].replace(".jpg", "_aligned.jpg") for line in lines}
    with Image.open(faces / "Image" / "aligned" / "test_0001_aligned.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (100, 100))
    assert [path.name for path in faces.parent.iterdir()] == ["basic"]


def test_counts_are_raf_dbs_at_its_own_size() -> None:
    assert class_counts("train", 12271).tolist() == [1290, 281, 717, 4772, 1982, 705, 2524]
    assert class_counts("test", 3068).tolist() == [329, 74, 160, 1185, 478, 162, 680]


def test_counts_keep_the_proportions_by_largest_remainder(faces: Path) -> None:
    # 600 / 12271 of the published counts: 63.08 13.74 35.06 233.33 96.91 34.47 123.41; three are left over.
    expected = [63, 14, 35, 233, 97, 35, 123]
    assert class_counts("train", 600).tolist() == expected
    labels = list(read_labels(faces, "train").values())
    assert np.bincount(labels, minlength=8)[1:].tolist() == expected


@pytest.mark.parametrize(("split", "images"), [("train", 14), ("test", 15), ("train", 40), ("test", 99)])
def test_small_splits_keep_two_images_of_each_class(split: str, images: int) -> None:
    counts = class_counts(split, images)
    assert counts.sum() == images
    assert counts.min() >= 2


@pytest.mark.parametrize(("train", "test"), [(13, 100), (100, 13), (0, 100)])
def test_too_small_a_split_is_refused_in_one_line(tmp_path: Path, train: int, test: int) -> None:
    with pytest.raises(ValueError, match="ask for 14 or more") as refusal:
        write_synthetic_faces(tmp_path / "basic", train=train, test=test, seed=0)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="already exists"):
        write_synthetic_faces(tmp_path, train=14, test=14, seed=0)


def test_label_noise_outside_its_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="label_noise"):
        write_synthetic_faces(tmp_path / "basic", train=14, test=14, seed=0, label_noise=1.0)


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 6"):
        render_face(7, np.random.default_rng(0))


def test_file_order_ends_in_blocks_as_raf_dbs_does() -> None:
    labels = ordered_labels(class_counts("test", 3068), np.random.default_rng(0))
    # 74 fear: 66 in the block; 160 disgust: 80; 680 neutral: all.
    assert labels[2388:].tolist() == [6] * 680
    assert labels[2308:2388].tolist() == [2] * 80
    assert labels[2242:2308].tolist() == [1] * 66
    mixed = labels[:2242]
    assert np.bincount(mixed, minlength=7).tolist() == [329, 8, 80, 1185, 478, 162, 0]
    assert np.count_nonzero(np.diff(mixed)) > 1000


@pytest.mark.parametrize("split", ["train", "test"])
def test_written_labels_follow_the_file_order(faces: Path, split: str) -> None:
    labels = np.array(list(read_labels(faces, split).values()))
    neutral = np.flatnonzero(labels == 7)
    assert neutral.tolist() == list(range(len(labels) - len(neutral), len(labels)))
    before = labels[: len(labels) - len(neutral)]
    disgust_block = np.count_nonzero(labels == 3) // 2
    fear_block = np.count_nonzero(labels == 2) * 9 // 10
    assert set(before[-disgust_block:]) == {3}
    assert set(before[-disgust_block - fear_block : -disgust_block]) == {2}


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        write_synthetic_faces(tmp_path / name, train=30, test=20, seed=seed)
    first, again, other = (contents(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again
    images = [name for name in first if name.endswith(".jpg")]
    assert len(images) == 50
    assert all(first[name] != other[name] for name in images)
    assert len({first[name] for name in images}) == 50


def test_label_noise_changes_that_share_of_the_faces_and_no_label(tmp_path: Path) -> None:
    write_synthetic_faces(tmp_path / "clean", train=60, test=20, seed=0, label_noise=0.0)
    write_synthetic_faces(tmp_path / "noisy", train=60, test=20, seed=0, label_noise=0.1)
    clean, noisy = contents(tmp_path / "clean"), contents(tmp_path / "noisy")
    assert clean[str(LABEL_FILE)] == noisy[str(LABEL_FILE)]
    changed = [Path(name).name for name in clean if clean[name] != noisy[name]]
    assert sum(name.startswith("train") for name in changed) == 6
    assert sum(name.startswith("test") for name in changed) == 2


@pytest.mark.parametrize("size", [32, 100])
def test_rendered_face_has_the_size_asked_for(size: int) -> None:
    face = render_face(3, np.random.default_rng(0), size)
    assert face.shape == (size, size, 3)
    assert face.dtype == np.uint8


def test_brightness_tells_no_more_than_the_majority_class(faces: Path) -> None:
    images, labels = read_split(faces, "train")
    brightness = images.mean(axis=(1, 2, 3))[:, None]
    accuracy = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), brightness, labels).mean()
    majority = np.bincount(labels).max() / len(labels)
    assert abs(accuracy - majority) < 0.02


def linear_model() -> GridSearchCV:
    """Multinomial logistic regression on standardised pixels, its penalty chosen by cross-validation.

    A full PCA only rotates the pixels, which leaves the penalised fit as it is and makes it several times faster.
    """
    steps = [("scale", StandardScaler()), ("rotate", PCA()), ("model", LogisticRegression(max_iter=1000))]
    return GridSearchCV(Pipeline(steps), {"model__C": [1e-4, 1e-3, 1e-2, 1e-1]}, cv=3)


def resnet18_accuracy(train: tuple[Pixels, Labels], test: tuple[Pixels, Labels]) -> float:
    """Test accuracy of torchvision's ResNet18 from scratch: six epochs, batches of 16, Adam, cosine decay."""
    import torch
    from torch.nn import functional
    from torchvision.models import resnet18

    def tensors(split: tuple[Pixels, Labels]) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.tensor(split[0]).permute(0, 3, 1, 2).float() / 255
        return (images - 0.45) / 0.225, torch.tensor(split[1])

    images, labels = tensors(train)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = resnet18(weights=None, num_classes=7)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        steps = 6 * (len(labels) // 16)
        for step in range(steps):
            if step % (steps // 6) == 0:
                order = torch.randperm(len(labels))
            optimizer.param_groups[0]["lr"] = 5e-4 * (1 + math.cos(math.pi * step / steps)) * min(1, (step + 1) / 10)
            batch = order[step % (steps // 6) * 16 :][:16]
            mirrored = torch.rand(16, 1, 1, 1) < 0.5
            loss = functional.cross_entropy(
                network(torch.where(mirrored, images[batch].flip(3), images[batch])), labels[batch]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()
    images, labels = tensors(test)
    with torch.no_grad():
        return float((network(images).argmax(1) == labels).float().mean())


@pytest.mark.slow
def test_a_linear_model_stays_ten_points_below_resnet18(faces: Path) -> None:
    train, test = read_split(faces, "train"), read_split(faces, "test")
    linear = linear_model().fit(train[0].reshape(len(train[0]), -1), train[1])
    linear_accuracy = linear.score(test[0].reshape(len(test[0]), -1), test[1])
    convolutional_accuracy = resnet18_accuracy(train, test)
    assert convolutional_accuracy >= linear_accuracy + 0.10
    assert convolutional_accuracy <= 0.97


def test_shares_replace_those_of_raf_db_and_the_rest_keep_their_proportions() -> None:
    counts = class_counts("train", 1000, {"fear": 0.3, "neutral": 0.2})
    assert (counts[1], counts[6], counts.sum()) == (300, 200, 1000)
    # What is left, 500, goes to 1290, 717, 4772, 1982 and 705 of 9466.
    assert counts[[0, 2, 3, 4, 5]].tolist() == [68, 38, 252, 105, 37]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"joy": 0.5}, "no such class"),
        ({"fear": 1.5}, "between 0 and 1"),
        ({"fear": 0.6, "anger": 0.5}, "add up to 1.1"),
    ],
)
def test_shares_that_make_no_whole_are_refused(shares: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_counts("train", 1000, shares)


def test_official_sizes_give_the_official_counts() -> None:
    for split, counts in OFFICIAL_COUNTS.items():
        assert tuple(class_counts(split, sum(counts))) == counts


def test_pose_is_only_how_the_head_is_turned_and_framed() -> None:
    def mean_of(faces: int, pose: float) -> NDArray[np.float64]:
        drawn = [render_face(6, np.random.default_rng(seed), 40, pose) for seed in range(faces)]
        return np.mean([face.astype(float).mean(axis=2) for face in drawn], axis=0)

    assert np.array_equal(render_face(3, np.random.default_rng(0)), render_face(3, np.random.default_rng(0), pose=1.0))
    # where heads are aligned their average still has eyes: dark on light, so it varies more along the line of the eyes
    eyes = slice(12, 18)
    assert mean_of(40, 0.0)[eyes].std() > 1.3 * mean_of(40, 1.0)[eyes].std()


def test_disturbance_is_only_how_the_picture_was_taken() -> None:
    def faces(disturbance: float) -> list[NDArray[np.float64]]:
        return [render_face(6, np.random.default_rng(seed), 40, 0.0, disturbance).astype(float) for seed in range(40)]

    def colours(face: NDArray[np.float64]) -> int:
        return len(np.unique(face.reshape(-1, 3), axis=0))  # grain makes every pixel another one

    usual = [render_face(3, np.random.default_rng(seed), 40) for seed in range(5)]
    given = [render_face(3, np.random.default_rng(seed), 40, disturbance=1.0) for seed in range(5)]
    assert np.array_equal(usual, given)
    clear, troubled = faces(0.0), faces(1.0)
    assert np.mean([face.mean() for face in clear]) == pytest.approx(
        np.mean([face.mean() for face in troubled]), rel=0.2
    )
    count = {share: np.median([colours(face) for face in faces(share)]) for share in (0.0, 0.5, 1.0)}
    assert count[0.0] < 0.8 * count[0.5]
    assert count[0.5] <= count[1.0]
    spread = {share: np.std([face.mean() for face in faces(share)]) for share in (0.0, 0.5, 1.0)}
    assert spread[0.0] < spread[0.5] < spread[1.0], "light and exposure differ less"


@pytest.mark.parametrize("name", ["pose", "disturbance"])
@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_shares_outside_their_range_are_refused(tmp_path: Path, name: str, share: float) -> None:
    with pytest.raises(ValueError, match=name):
        write_synthetic_faces(tmp_path / "basic", train=14, test=14, seed=0, **{name: share})  # type: ignore[arg-type]
