"""What a network takes while it learns, against counts by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import build_backbone
from benchmark.engine.costs import LEARNT, Footprint, footprint_of, measure, training_memory
from benchmark.training.backbone import branch_output, prepared
from tests.conftest import NARROW

SINGLE = 4  # bytes of a float32


@pytest.mark.parametrize("batch", [2, 5])
def test_counts_what_the_forward_pass_keeps_for_its_gradients(batch: int) -> None:
    network = nn.Sequential(nn.Linear(10, 30), nn.Sigmoid(), nn.Linear(30, 2))
    images = torch.ones(batch, 10)
    found = measure(network, lambda: network(images), batch)
    assert found.weights == LEARNT * SINGLE * (10 * 30 + 30 + 30 * 2 + 2)
    # The input of either layer; the sigmoid keeps its output, which is the second one's.
    assert found.kept == SINGLE * (10 + 30)
    assert found.largest == SINGLE * 30


def test_a_weight_with_as_many_rows_as_the_batch_has_images_is_no_image() -> None:
    network = nn.Linear(10, 4)
    images = torch.ones(4, 10)
    assert measure(network, lambda: network(images), 4).kept == SINGLE * 10


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_without_arithmetic_a_backbone_is_counted_as_with_it(precision: str) -> None:
    network = prepared(build_backbone(NARROW[0], 7), "cpu")
    found = footprint_of(network, 48, precision)
    images, labels = torch.rand(2, 3, 48, 48), torch.zeros(2, dtype=torch.long)
    assert found == measure(
        network, lambda: F.cross_entropy(branch_output(network, images, precision).logits, labels), 2
    )


def test_networks_that_learn_together_hold_what_both_keep() -> None:
    small, large = Footprint(100, 3.0, 1.0), Footprint(40, 5.0, 4.0)
    assert training_memory([small], 10, 1) == 100 + 10 * (3 + 2 * 1)
    assert training_memory([small, large], 10, 1) == 100 + 40 + 10 * (3 + 5 + 2 * 4)
    assert training_memory([large], 1, 1000) == 40 + 1000 * 2 * 4  # evaluation takes more


def test_what_is_kept_grows_with_the_batch_alone() -> None:
    """An image's share, measured with few images, gives what a larger batch holds."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 7)
    )
    few, many = torch.randn(2, 3, 8, 8), torch.randn(32, 3, 8, 8)
    share = measure(network, lambda: network(few), 2)
    held: list[Tensor] = []

    def record(tensor: Tensor) -> Tensor:
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        network(many)
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held}
    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    total = sum(size for place, size in storages.items() if place not in weights)
    assert total == pytest.approx(32 * share.kept, rel=0.01)  # batch normalisation's statistics are not an image's
