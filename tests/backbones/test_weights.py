"""Where a backbone's weights come from, and what is refused."""

from __future__ import annotations

import math
import os
import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from backbones import build_backbone, find_backbone
from backbones.weights import InitialWeights, find_weights, load_weights

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def resnet() -> Tensors:
    """The parameters of torchvision's ResNet18 by their published names; not to be changed."""
    torch.manual_seed(0)
    return models.resnet18(weights=None).state_dict()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache of torch's, and no network behind it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("hub")
        patch.setattr(torch.hub, "get_dir", lambda: str(folder))
        patch.setattr(torch.hub, "download_url_to_file", no_network)
        yield folder


def no_network(*args: Any, **kwargs: Any) -> None:
    raise URLError("Temporary failure in name resolution")


def network(name: str = "resnet18") -> nn.Module:
    torch.manual_seed(1)
    return build_backbone(name, 7)


def constants(tensors: Tensors) -> Tensors:
    """Return one number per parameter in its shape, stored as one number: VGG's own file takes half a gigabyte."""
    return {name: torch.tensor(k * 1e-3).expand(x.shape) for k, (name, x) in enumerate(tensors.items(), start=1)}


def published(name: str) -> Tensors:
    with torch.device("meta"):
        shapes = models.get_model(name, weights=None).state_dict()
    return constants(shapes)


def saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def assert_equal(found: Tensors, expected: Tensors) -> None:
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_a_torchvision_file_fills_the_body_and_leaves_the_head(resnet: Tensors, tmp_path: Path) -> None:
    own = network()
    head = {name: tensor.clone() for name, tensor in own.head.state_dict().items()}
    load_weights(own, saved(resnet, tmp_path / "resnet18.pth"))
    assert_equal(own.body.state_dict(), {name: x for name, x in resnet.items() if not name.startswith("fc.")})
    assert_equal(own.head.state_dict(), head)


def in_a_checkpoint(tensors: Tensors) -> Any:
    return {"epoch": 3, "state_dict": tensors}


def from_data_parallel(tensors: Tensors) -> Tensors:
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("wrap", [in_a_checkpoint, from_data_parallel])
def test_training_scripts_habits_are_understood(resnet: Tensors, tmp_path: Path, wrap: Any) -> None:
    own = network()
    load_weights(own, saved(wrap(resnet), tmp_path / "resnet18.pth"))
    assert torch.equal(own.body.get_parameter("layer4.1.conv2.weight"), resnet["layer4.1.conv2.weight"])


def test_a_file_of_early_torch_has_no_batch_counters(resnet: Tensors, tmp_path: Path) -> None:
    own = network()
    early = {name: x for name, x in resnet.items() if not name.endswith("num_batches_tracked")}
    load_weights(own, saved(early, tmp_path / "resnet18.pth"))
    assert torch.equal(own.body.get_buffer("bn1.running_var"), resnet["bn1.running_var"])


def test_a_vgg_file_fills_the_convolutions(tmp_path: Path) -> None:
    theirs, own = published("vgg11"), network("vgg11")
    head = own.head.weight.clone()
    load_weights(own, saved(theirs, tmp_path / "vgg11.pth"))
    body = {name.removeprefix("features."): x for name, x in theirs.items() if name.startswith("features.")}
    assert_equal(own.body.state_dict(), body)
    assert torch.equal(own.head.weight, head)


def test_a_vgg_file_fills_both_wide_layers_of_its_classifier(tmp_path: Path) -> None:
    theirs, own = published("vgg11"), network("vgg11:head=classifier")
    head = own.head.weight.clone()
    load_weights(own, saved(theirs, tmp_path / "vgg11.pth"))
    for layer in ("0", "3"):
        for kind in ("weight", "bias"):
            name = f"{layer}.{kind}"
            assert torch.equal(own.classifier.get_parameter(name), theirs[f"classifier.{name}"]), name
    assert torch.equal(own.head.weight, head)


def test_any_torchvision_network_is_filled_but_for_its_last_layer(tmp_path: Path) -> None:
    theirs, own = published("mobilenet_v3_small"), network("mobilenet_v3_small")
    load_weights(own, saved(theirs, tmp_path / "mobilenet.pth"))
    body = {name: x.to(own.body.state_dict()[name].dtype) for name, x in theirs.items() if "classifier.3." not in name}
    assert_equal(own.body.state_dict(), body)


def test_a_file_in_our_own_naming(tmp_path: Path) -> None:
    first, second = network(), build_backbone("resnet18", 7)
    save_file(first.state_dict(), tmp_path / "ours.safetensors")
    assert not torch.equal(second.body.get_parameter("conv1.weight"), first.body.get_parameter("conv1.weight"))
    load_weights(second, tmp_path / "ours.safetensors")
    assert_equal(second.body.state_dict(), first.body.state_dict())


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ("resnet34", r"body\.layer1\.2\.conv1\.weight"),
        ("resnet50", r"body\.layer1\.0\.conv1\.weight"),
        ("vgg11", r"features\.0\.weight"),
    ],
)
def test_another_networks_file_is_refused_with_the_first_difference(
    other: str, difference: str, tmp_path: Path
) -> None:
    own = network()
    before = {name: x.clone() for name, x in own.state_dict().items()}
    message = rf"{other}\.pth does not hold this network's weights \(first difference: {difference}\)"
    with pytest.raises(ValueError, match=message):
        load_weights(own, saved(published(other), tmp_path / f"{other}.pth"))
    assert_equal(own.state_dict(), before)


def test_a_file_that_lacks_a_layer_is_refused(resnet: Tensors, tmp_path: Path) -> None:
    part = {name: x for name, x in resnet.items() if name != "layer2.0.conv1.weight"}
    with pytest.raises(ValueError, match=r"first difference: body\.layer2\.0\.conv1\.weight"):
        load_weights(network(), saved(part, tmp_path / "part.pth"))


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def as_a_plain_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


# torch warns of the pickle's protocol before it refuses the pickle
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("write", [torch.save, as_a_plain_pickle])
def test_code_in_a_file_does_not_run(write: Any, resnet: Tensors, tmp_path: Path) -> None:
    write({"conv1.weight": resnet["conv1.weight"], "extra": Payload(tmp_path / "owned")}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth cannot be read as weights \(UnpicklingError\); give another file"):
        load_weights(network(), tmp_path / "evil.pth")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_truncated_file_is_refused(suffix: str, resnet: Tensors, tmp_path: Path) -> None:
    path = tmp_path / f"cut.{suffix}"
    small = {"conv1.weight": resnet["conv1.weight"].clone()}
    torch.save(small, path) if suffix == "pth" else save_file(small, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=rf"cut\.{suffix} cannot be read as weights \(.*Error\); give another file"):
        load_weights(network(), path)


@pytest.mark.parametrize("content", [[torch.ones(2)], {"epoch": 3}, torch.ones(2)])
def test_a_file_without_a_table_of_tensors_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"other\.pth holds no table of tensors; save the network's state_dict\(\)"):
        load_weights(network(), saved(content, tmp_path / "other.pth"))


def test_none_is_a_random_start() -> None:
    assert find_weights("none", find_backbone("resnet18")) == InitialWeights(None, "none")


def test_a_path_may_hold_the_backbones_name_and_other_braces(tmp_path: Path) -> None:
    folder = tmp_path / "{faces}"
    folder.mkdir()
    (folder / "resnet18.pth").write_bytes(b"abc")
    found = find_weights(f"{folder}/{{backbone}}.pth", find_backbone("resnet18"))
    # The first sixteen digits of SHA-256 of "abc", as FIPS 180-4's example gives them.
    assert found == InitialWeights(folder / "resnet18.pth", "ba7816bf8f01cfea")


def test_a_missing_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no weights file .*vgg13\.pth for vgg13; give .* weights=none"):
        find_weights(str(tmp_path / "{backbone}.pth"), find_backbone("vgg13"))


def test_offline_imagenet_names_the_file_and_its_folder(hub: Path) -> None:
    expected = (
        "ImageNet weights of resnet18 cannot be downloaded here; "
        f"put resnet18-f37072fd.pth into {hub / 'checkpoints'}, or use weights=none"
    )
    with pytest.raises(ValueError, match="cannot be downloaded") as caught:
        find_weights("imagenet", find_backbone("resnet18"))
    assert str(caught.value) == expected


def test_imagenet_is_taken_from_the_cache(hub: Path) -> None:
    path = hub / "checkpoints" / "resnet34-b627a593.pth"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    found = find_weights("imagenet", find_backbone("resnet34"))
    assert found == InitialWeights(path, "ResNet34_Weights.IMAGENET1K_V1")


def test_imagenet_is_downloaded_once_with_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def download(url: str, destination: str, *, hash_prefix: str) -> None:
        calls.append((url, hash_prefix))
        Path(destination).touch()

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    first, second = (find_weights("imagenet", find_backbone("vgg11")) for _ in range(2))
    assert first == second
    assert calls == [("https://download.pytorch.org/models/vgg11-8a719046.pth", "8a719046")]


def test_a_network_without_imagenet_weights_says_so() -> None:
    unpublished = replace(find_backbone("resnet18"), name="ours", pretrained=None)
    with pytest.raises(ValueError, match="nobody publishes ImageNet weights of ours; use weights=none or a file"):
        find_weights("imagenet", unpublished)


@pytest.mark.parametrize("prefix", ["", "module.", "module.feature.", "encoder.backbone."])
@pytest.mark.parametrize("wrapper", [None, "model_state_dict", "net", "state_dict"])
def test_usual_wrappers_are_taken_off(resnet: Tensors, tmp_path: Path, prefix: str, wrapper: str | None) -> None:
    tensors = {f"{prefix}{name}": tensor for name, tensor in resnet.items()} | {"embed.weight": torch.zeros(3)}
    content: Any = tensors if wrapper is None else {wrapper: tensors, "epoch": 3, "best": np.float64(0.86)}
    own = network()
    load_weights(own, saved(content, tmp_path / "wrapped.pth"))
    assert_equal(own.body.state_dict(), {name: x for name, x in resnet.items() if not name.startswith("fc.")})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: (x * 10).to(torch.int8), "of type torch.int8, whose scale is not in the file"),
        (lambda x: x.to(torch.int64), "of type torch.int64"),
        (lambda x: x * math.nan, "holds numbers that are not finite"),
        (lambda x: x + math.inf, "holds numbers that are not finite"),
    ],
)
def test_tensors_that_are_no_weights_are_refused(
    resnet: Tensors, tmp_path: Path, change: Callable[[Tensor], Tensor], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        load_weights(network(), saved({**resnet, "conv1.weight": change(resnet["conv1.weight"])}, tmp_path / "x.pth"))
    own = network()
    halves = {name: x.half() if x.is_floating_point() else x for name, x in resnet.items()}
    load_weights(own, saved(halves, tmp_path / "h.pth"))
    assert torch.isfinite(own.body.conv1.weight).all()


@pytest.mark.parametrize("form", ["pth", "safetensors"])
@pytest.mark.parametrize("tries", [15, pytest.param(400, marks=pytest.mark.slow)])
def test_a_damaged_file_is_one_line_or_loads(tmp_path: Path, form: str, tries: int) -> None:
    tensors, path = published("mobilenet_v2"), tmp_path / f"mobilenet_v2.{form}"
    if form == "pth":
        torch.save(tensors, path)
    else:
        save_file({name: tensor.to(torch.float16).clone() for name, tensor in tensors.items()}, path)
    content = path.read_bytes()
    generator = random.Random(form)
    own, told = network("mobilenet_v2"), []
    for _ in range(tries):
        damaged = bytearray(content)
        kind = generator.choice(["flip", "header", "cut", "noise"])
        if kind == "cut":
            del damaged[generator.randrange(len(damaged)) :]
        elif kind == "noise":
            start = generator.randrange(len(damaged) - 64)
            damaged[start : start + 64] = generator.randbytes(64)
        else:
            end = len(damaged) if kind == "flip" else min(4000, len(damaged))
            damaged[generator.randrange(end)] ^= 1 << generator.randrange(8)
        path.write_bytes(bytes(damaged))
        try:
            load_weights(own, path)
        except ValueError as error:
            told.append(str(error))
    assert len(told) > tries / 4
    assert not [line for line in told if "\n" in line or str(path) not in line]
