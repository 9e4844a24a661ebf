"""Early fusion classifies the joined features by a perceptron."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion, resolve_fusion


@pytest.mark.parametrize("dims", [(24, 40), (24, 40, 16)])
def test_scores_are_a_perceptrons(dims: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = build_fusion("early:width=32", dims, 7).double().eval()
    features = [np.random.default_rng(i).random((5, dim)) for i, dim in enumerate(dims)]
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    joined = np.concatenate(features, axis=1)
    hidden = np.maximum(joined @ weights["classifier.0.weight"].T + weights["classifier.0.bias"], 0)
    expected = hidden @ weights["classifier.3.weight"].T + weights["classifier.3.bias"]
    logits = torch.zeros(5, 7, dtype=torch.float64)
    with torch.no_grad():
        scores = module([BranchOutput(torch.from_numpy(x), logits) for x in features])
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-12, atol=1e-14)


def test_backbones_stay_frozen() -> None:
    assert not resolve_fusion("early").end_to_end
