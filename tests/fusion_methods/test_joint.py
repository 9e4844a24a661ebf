"""Joint fusion is early fusion's perceptron, whose gradient reaches the features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion, resolve_fusion


@pytest.mark.parametrize("dims", [(24, 40), (24, 40, 16)])
def test_scores_are_a_perceptrons(dims: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = build_fusion("joint:width=32", dims, 7).double().eval()
    features = [np.random.default_rng(i).random((5, dim)) for i, dim in enumerate(dims)]
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    joined = np.concatenate(features, axis=1)
    hidden = np.maximum(joined @ weights["classifier.0.weight"].T + weights["classifier.0.bias"], 0)
    expected = hidden @ weights["classifier.3.weight"].T + weights["classifier.3.bias"]
    logits = torch.zeros(5, 7, dtype=torch.float64)
    with torch.no_grad():
        scores = module([BranchOutput(torch.from_numpy(x), logits) for x in features])
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-12, atol=1e-14)


def test_the_gradient_of_the_features_by_hand() -> None:
    """d scores_c / d f = W1ᵀ (1[h > 0] ⊗ W2_c), cut into the branches."""
    torch.manual_seed(0)
    module = build_fusion("joint:width=32", (3, 4), 7).double()
    features = [torch.rand(1, dim, dtype=torch.float64, requires_grad=True) for dim in (3, 4)]
    logits = torch.zeros(1, 7, dtype=torch.float64)
    module([BranchOutput(x, logits) for x in features])[0, 2].backward()
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    joined = np.concatenate([x.detach().numpy()[0] for x in features])
    active = weights["classifier.0.weight"] @ joined + weights["classifier.0.bias"] > 0
    expected = weights["classifier.0.weight"].T @ (active * weights["classifier.3.weight"][2])
    found = np.concatenate([x.grad.numpy()[0] for x in features if x.grad is not None])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_backbones_learn() -> None:
    assert resolve_fusion("joint").end_to_end
