"""The fusion attention network, every reading against the paper's formulas typed out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from backbones import BranchOutput
from fusion_methods import build_fusion

Array = NDArray[np.float64]
CLASSES, IMAGES = 7, 5


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Array = powers / powers.sum(axis=-1, keepdims=True)
    return result


def linear(x: Array, weights: dict[str, Array], name: str) -> Array:
    result: Array = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return result


def perceptron(x: Array, weights: dict[str, Array], name: str) -> Array:
    return linear(np.maximum(linear(x, weights, f"{name}.0"), 0), weights, f"{name}.3")


def convolve(x: Array, kernel: Array, bias: float) -> Array:
    """Slide an odd kernel over each row, zeros beyond its ends."""
    result = np.full_like(x, bias)
    reach = len(kernel) // 2
    for image in range(x.shape[0]):
        for place in range(x.shape[1]):
            for step in range(len(kernel)):
                if 0 <= place + step - reach < x.shape[1]:
                    result[image, place] += kernel[step] * x[image, place + step - reach]
    return result


def local_attention(x: Array, weights: dict[str, Array]) -> Array:
    h = linear(x, weights, "local.inner")
    h = h + np.maximum(convolve(h, weights["local.conv.weight"][0, 0], float(weights["local.conv.bias"][0])), 0)
    return x + linear(h, weights, "local.outer")


def attend(query: Array, key: Array, value: Array) -> Array:
    """softmax(Q Kᵀ / √d) V for matrices whose rows are the tokens, entry by entry."""
    result = np.zeros((len(query), value.shape[1]))
    for i in range(len(query)):
        scores = np.array([np.dot(query[i], key[j]) for j in range(len(key))]) / np.sqrt(query.shape[1])
        for j, weight in enumerate(softmax(scores)):
            result[i] += weight * value[j]
    return result


def attend_features(query: Array, key: Array, value: Array) -> Array:
    """Each vector is d tokens of width 1, with d itself under the root: a d×d matrix per image."""
    d = query.shape[1]
    return np.stack([softmax(np.outer(q, k) / np.sqrt(d)) @ v for q, k, v in zip(query, key, value, strict=True)])


def attend_tokens(query: Array, key: Array, value: Array, tokens: int) -> Array:
    triples = zip(query, key, value, strict=True)
    return np.stack([attend(*(x.reshape(tokens, -1) for x in triple)).reshape(-1) for triple in triples])


def projected(features: list[Array], weights: dict[str, Array]) -> list[Array]:
    named = [f"project.{i}" for i in range(len(features))]
    return [
        linear(x, weights, name) if f"{name}.weight" in weights else x for x, name in zip(features, named, strict=True)
    ]


def query_key_value(features: list[Array], weights: dict[str, Array]) -> tuple[Array, Array, Array]:
    merged = perceptron(np.concatenate(features, axis=-1), weights, "merge")
    return features[0], np.mean(features[1:], axis=0), np.mean([*features, merged], axis=0)


def build(spec: str, dims: tuple[int, ...], *, scale: float = 1.0) -> tuple[nn.Module, dict[str, Array]]:
    torch.manual_seed(3)
    module = build_fusion(spec, dims, CLASSES).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=scale / np.sqrt(parameter.shape[-1]))
    return module, {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def draw(dims: tuple[int, ...], *shape: int) -> list[Array]:
    return [np.maximum(np.random.default_rng(i).normal(size=(IMAGES, dim, *shape)), 0) for i, dim in enumerate(dims)]


def scores_of(module: nn.Module, features: list[Array], maps: list[Array] | None = None) -> Array:
    logits = torch.zeros(IMAGES, CLASSES, dtype=torch.float64)
    grids = [None] * len(features) if maps is None else [torch.from_numpy(x) for x in maps]
    branches = [BranchOutput(torch.from_numpy(x), logits, grid) for x, grid in zip(features, grids, strict=True)]
    with torch.no_grad():
        result: Array = module(branches).numpy()
    return result


@pytest.mark.parametrize("dims", [(24, 40), (32, 32), (24, 40, 32)])
@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize("axis", ["feature", "token", "batch"])
def test_readings_of_the_feature_vectors(axis: str, gate: bool, dims: tuple[int, ...]) -> None:
    spec = f"attention-fusion:axis={axis},gate={str(gate).lower()},tokens=4,width=32,kernel=5"
    module, weights = build(spec, dims)
    features = draw(dims)
    query, key, value = query_key_value(projected(features, weights), weights)
    if axis == "feature":
        attended = attend_features(query, key, value)
    elif axis == "token":
        attended = attend_tokens(query, key, value, 4)
    else:
        attended = attend(query, key, value)
    if gate:
        attended = attended * value
    expected = perceptron(local_attention(attended, weights), weights, "classifier")
    tolerance = 1e-7 if axis == "feature" else 1e-12  # the series of attend_scalars ends below 3e-8
    np.testing.assert_allclose(scores_of(module, features), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_feature_reading_from_flat_to_sharp_attention(scale: float) -> None:
    """Large weights leave the range of the series, so that all images, some and none go through it."""
    module, weights = build("attention-fusion:width=32", (24, 40), scale=scale)
    features = draw((24, 40))
    query, key, value = query_key_value(projected(features, weights), weights)
    expected = perceptron(local_attention(attend_features(query, key, value) * value, weights), weights, "classifier")
    found = scores_of(module, features)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7 * float(np.abs(expected).max()))


@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize("dims", [(24, 40), (24, 40, 32)])
def test_spatial_reading(dims: tuple[int, ...], gate: bool) -> None:
    """Positions are the tokens; ⊗ acts at every position, and the mean over positions comes last."""
    module, weights = build(f"attention-fusion:axis=spatial,width=32,gate={str(gate).lower()}", dims)
    maps = draw(dims, 2, 3)
    attended = np.zeros((IMAGES, 32))
    for image in range(IMAGES):
        positions = [np.array([x[image, :, r, c] for r in range(2) for c in range(3)]) for x in maps]
        query, key, value = query_key_value(projected(positions, weights), weights)
        rows = attend(query, key, value)
        attended[image] = (rows * value if gate else rows).mean(axis=0)
    expected = perceptron(local_attention(attended, weights), weights, "classifier")
    found = scores_of(module, [x.mean(axis=(2, 3)) for x in maps], maps)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_spatial_reading_averages_a_finer_grid() -> None:
    """A 4×4 map beside a 2×2 one is read in blocks of 2×2."""
    module, _ = build("attention-fusion:axis=spatial,width=32", (24, 24))
    fine, coarse = draw((24, 24), 4, 4)[0], draw((24, 24), 2, 2)[1]
    blocks = np.zeros((IMAGES, 24, 2, 2))
    for row in range(4):
        for column in range(4):
            blocks[:, :, row // 2, column // 2] += fine[:, :, row, column] / 4
    pooled = [x.mean(axis=(2, 3)) for x in (fine, coarse)]
    mixed, by_hand = scores_of(module, pooled, [fine, coarse]), scores_of(module, pooled, [blocks, coarse])
    np.testing.assert_allclose(mixed, by_hand, rtol=1e-12, atol=1e-13)


def test_without_local_attention_the_self_attention_is_classified() -> None:
    module, weights = build("attention-fusion-without-local:width=32,axis=batch", (24, 40))
    features = draw((24, 40))
    query, key, value = query_key_value(projected(features, weights), weights)
    expected = perceptron(attend(query, key, value) * value, weights, "classifier")
    np.testing.assert_allclose(scores_of(module, features), expected, rtol=1e-12, atol=1e-13)
    assert not [name for name in weights if name.startswith("local")]


def test_features_of_the_right_width_are_not_projected() -> None:
    _, weights = build("attention-fusion:width=32", (32, 40))
    assert "project.0.weight" not in weights
    assert weights["project.1.weight"].shape == (32, 40)


def test_alone_in_its_batch_the_batch_reading_attends_to_itself() -> None:
    module, weights = build("attention-fusion-without-local:axis=batch,gate=false,width=32", (24, 40))
    features = draw((24, 40))
    _, _, value = query_key_value(projected(features, weights), weights)
    branches = [BranchOutput(torch.from_numpy(x[:1]), torch.zeros(1, CLASSES)) for x in features]
    with torch.no_grad():
        alone = module(branches).numpy()
    np.testing.assert_allclose(alone, perceptron(value[:1], weights, "classifier"), rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_local_attention_starts_with_a_convolution_that_learns(seed: int) -> None:
    torch.manual_seed(seed)
    module = build_fusion("attention-fusion", (512, 512), CLASSES)
    logits = torch.zeros(IMAGES, CLASSES)
    module([BranchOutput(torch.rand(IMAGES, 512), logits) for _ in range(2)]).square().sum().backward()
    assert module.local.conv.weight.grad.abs().max() > 0
    assert module.local.conv.bias.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "attention-fusion:axis=time",
            "attention-fusion has no axis 'time'; use one of feature, token, spatial, batch",
        ),
        ("attention-fusion:axis=token,tokens=7", "7 tokens do not divide a width of 512"),
    ],
)
def test_a_reading_that_does_not_exist_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_fusion(spec, (24, 40), CLASSES)


def test_the_spatial_reading_needs_maps() -> None:
    module, _ = build("attention-fusion:axis=spatial,width=32", (24, 40))
    with pytest.raises(ValueError, match="axis=spatial reads feature maps; use backbones that have them"):
        scores_of(module, draw((24, 40)))
