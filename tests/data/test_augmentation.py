import numpy as np
import pytest
import torch
from torchvision.transforms import functional as reference

from benchmark.config import AugmentationSettings
from benchmark.data import augmentation as a


def photographs(batch: int = 4, size: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return (smooth * 255).to(torch.uint8).permute(0, 2, 3, 1)


def unnormalise(x: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (a.IMAGENET_MEAN, a.IMAGENET_STD))
    return x * std + mean


def test_evaluation_input_is_the_normalised_image() -> None:
    images = photographs()
    expected = images.permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(unnormalise(a.to_network_input(images, 24)), expected)


def test_without_any_change_augmentation_equals_evaluation() -> None:
    settings = AugmentationSettings(flip=0, rotate=0, remove_saturation=(0, 0))
    for size in (24, 40):
        got = a.augment(photographs(), size, settings, torch.Generator().manual_seed(0))
        torch.testing.assert_close(got, a.to_network_input(photographs(), size), atol=1e-5, rtol=0)


def test_flip_mirrors_left_and_right() -> None:
    settings = AugmentationSettings(flip=1, rotate=0, remove_saturation=(0, 0))
    got = a.augment(photographs(), 24, settings, torch.Generator().manual_seed(0))
    torch.testing.assert_close(got, a.to_network_input(photographs(), 24).flip(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("degrees", [-30.0, 12.5, 30.0])
@pytest.mark.parametrize("flip", [False, True])
def test_rotation_equals_torchvisions(degrees: float, flip: bool) -> None:
    images = photographs(1)
    x = images.permute(0, 3, 1, 2).float() / 255
    grid = torch.nn.functional.affine_grid(
        a.affine_maps(torch.tensor([flip]), torch.tensor([degrees])), [1, 3, 24, 24], align_corners=False
    )
    got = torch.nn.functional.grid_sample(x, grid, align_corners=False)
    source = x.flip(3) if flip else x
    expected = reference.rotate(source, degrees, reference.InterpolationMode.BILINEAR)
    inside = (slice(None), slice(None), slice(4, 20), slice(4, 20))  # the border is treated differently
    torch.testing.assert_close(got[inside], expected[inside], atol=1e-4, rtol=0)


def test_what_a_rotation_brings_in_is_black() -> None:
    settings = AugmentationSettings(flip=0, rotate=180, remove_saturation=(0, 0))
    white = torch.full((64, 20, 20, 3), 255, dtype=torch.uint8)
    corners = unnormalise(a.augment(white, 20, settings, torch.Generator().manual_seed(0)))[:, :, 0, 0]
    is_black, is_white = corners.abs() < 1e-5, (corners - 1).abs() < 1e-5
    assert bool((is_black | is_white).all())
    assert 32 < int(is_black.all(1).sum()) < 64


def test_complete_loss_of_saturation_is_torchvisions_grey() -> None:
    x = photographs().permute(0, 3, 1, 2).float() / 255
    grey = a.remove_saturation(x, torch.ones(4))
    torch.testing.assert_close(grey, reference.rgb_to_grayscale(x, 3), atol=2e-3, rtol=0)
    torch.testing.assert_close(a.remove_saturation(x, torch.zeros(4)), x)


def test_parameters_have_the_stated_distribution() -> None:
    settings = AugmentationSettings(flip=0.3, rotate=30, remove_saturation=(0.2, 0.6))
    flip, angle, removed = a.draw_parameters(20000, settings, torch.Generator().manual_seed(1))
    assert abs(flip.float().mean().item() - 0.3) < 0.015
    assert -30 <= angle.min() < -29.5 < 29.5 < angle.max() <= 30
    np.testing.assert_allclose(angle.std().item(), 60 / 12**0.5, rtol=0.02)
    assert removed.min() >= 0.2
    assert removed.max() <= 0.6
    np.testing.assert_allclose(removed.mean().item(), 0.4, atol=0.005)


def test_same_generator_same_images() -> None:
    settings = AugmentationSettings()
    first, again = (a.augment(photographs(), 32, settings, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
