import numpy as np
import pytest
import torch
from torchvision import transforms
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


def changed(images: torch.Tensor, size: int, settings: AugmentationSettings, seed: int = 0) -> torch.Tensor:
    changes = a.draw_changes([len(images)], settings, torch.Generator().manual_seed(seed))
    return a.augment(images, size, changes, rotated=bool(settings.rotate))


def coloured(images: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    return a.mix_colours(images, a.colour_matrices(removed))


def test_evaluation_input_is_the_normalised_image() -> None:
    images = photographs()
    expected = images.permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(unnormalise(a.to_network_input(images, 24)), expected)


def test_without_any_change_augmentation_equals_evaluation() -> None:
    settings = AugmentationSettings(flip=0, rotate=0, remove_saturation=(0, 0))
    for size in (24, 40):
        got = changed(photographs(), size, settings)
        torch.testing.assert_close(got, a.to_network_input(photographs(), size), atol=1e-5, rtol=0)


def test_flip_mirrors_left_and_right() -> None:
    settings = AugmentationSettings(flip=1, rotate=0, remove_saturation=(0, 0))
    got = changed(photographs(), 24, settings)
    torch.testing.assert_close(got, a.to_network_input(photographs(), 24).flip(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("degrees", [-30.0, 12.5, 30.0])
@pytest.mark.parametrize("flip", [False, True])
def test_rotation_equals_torchvisions(degrees: float, flip: bool) -> None:
    images = photographs(1)
    x = images.permute(0, 3, 1, 2).float() / 255
    grid = a.sampling_grid(a.affine_maps(torch.tensor([flip]), torch.tensor([degrees])), 24)
    got = torch.nn.functional.grid_sample(x, grid, align_corners=False)
    source = x.flip(3) if flip else x
    expected = reference.rotate(source, degrees, reference.InterpolationMode.BILINEAR)
    inside = (slice(None), slice(None), slice(4, 20), slice(4, 20))  # the border is treated differently
    torch.testing.assert_close(got[inside], expected[inside], atol=1e-4, rtol=0)


def test_what_a_rotation_brings_in_is_black() -> None:
    settings = AugmentationSettings(flip=0, rotate=180, remove_saturation=(0, 0))
    white = torch.full((64, 20, 20, 3), 255, dtype=torch.uint8)
    corners = unnormalise(changed(white, 20, settings))[:, :, 0, 0]
    is_black, is_white = corners.abs() < 1e-5, (corners - 1).abs() < 1e-5
    assert bool((is_black | is_white).all())
    assert 32 < int(is_black.all(1).sum()) < 64


@pytest.mark.parametrize("removed", [0.0, 0.35, 1.0])
def test_loss_of_saturation_is_torchvisions(removed: float) -> None:
    images = photographs()
    got = unnormalise(coloured(images, torch.full((4,), removed)))
    expected = reference.adjust_saturation(images.permute(0, 3, 1, 2).float() / 255, 1 - removed)
    torch.testing.assert_close(got, expected, atol=2e-3, rtol=0)  # torchvision rounds its luma weights


def test_every_image_loses_its_own_share_of_colour() -> None:
    images = photographs(1).expand(3, -1, -1, -1).contiguous()
    together = coloured(images, torch.tensor([0.0, 0.5, 1.0]))
    for row, removed in enumerate((0.0, 0.5, 1.0)):
        torch.testing.assert_close(together[row], coloured(images[:1], torch.tensor([removed]))[0])
    spread = unnormalise(together).amax(1) - unnormalise(together).amin(1)
    torch.testing.assert_close(spread[1], spread[0] / 2, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [24, 17, 40])
def test_grid_equals_torchs_affine_grid(size: int) -> None:
    maps = a.affine_maps(torch.tensor([True, False]), torch.tensor([20.0, -7.0]))
    expected = torch.nn.functional.affine_grid(maps, [2, 3, size, size], align_corners=False)
    torch.testing.assert_close(a.sampling_grid(maps, size), expected, atol=1e-6, rtol=0)


def test_parameters_have_the_stated_distribution() -> None:
    settings = AugmentationSettings(flip=0.3, rotate=30, remove_saturation=(0.2, 0.6))
    flip, angle, removed = a.draw_parameters(20000, settings, torch.Generator().manual_seed(1))
    assert abs(flip.float().mean().item() - 0.3) < 0.015
    assert -30 <= angle.min() < -29.5 < 29.5 < angle.max() <= 30
    np.testing.assert_allclose(angle.std().item(), 60 / 12**0.5, rtol=0.02)
    assert removed.min() >= 0.2
    assert removed.max() <= 0.6
    np.testing.assert_allclose(removed.mean().item(), 0.4, atol=0.005)


def test_an_epochs_changes_are_those_of_its_batches_to_the_bit() -> None:
    settings, sizes = AugmentationSettings(), [48, 48, 7]
    images = photographs(sum(sizes))
    epoch = a.draw_changes(sizes, settings, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    for batch, changes in zip(images.split(sizes), epoch.split(sizes), strict=True):
        flip, angle, removed = a.draw_parameters(len(batch), settings, generator)
        alone = a.Changes(a.affine_maps(flip, angle), a.colour_matrices(removed))
        assert torch.equal(a.augment(batch, 24, changes, rotated=True), a.augment(batch, 24, alone, rotated=True))


def test_same_generator_same_images() -> None:
    settings = AugmentationSettings()
    first, again = (changed(photographs(), 32, settings, 5) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(("size", "tolerance"), [(24, 1e-3), (36, 0.05)])
def test_the_whole_step_equals_torchvisions_chain_on_the_same_parameters(size: int, tolerance: float) -> None:
    """Enlarging apart, where the chain interpolates twice and this step once, the two agree to rounding."""
    settings, images = AugmentationSettings(), photographs(8)
    got = unnormalise(changed(images, size, settings, 2))
    flip, angle, removed = a.draw_parameters(8, settings, torch.Generator().manual_seed(2))
    for row in range(8):
        x = images[row].permute(2, 0, 1)[None].float() / 255
        x = reference.hflip(x) if flip[row] else x
        x = reference.resize(x, [size, size], reference.InterpolationMode.BILINEAR)
        x = reference.rotate(x, angle[row].item(), reference.InterpolationMode.BILINEAR)
        x = reference.adjust_saturation(x, 1 - removed[row].item())[0]
        inner = slice(size // 5, -(size // 5))
        torch.testing.assert_close(got[row][:, inner, inner], x[:, inner, inner], atol=tolerance, rtol=0)


def test_many_draws_have_the_distribution_of_torchvisions_transforms() -> None:
    torch.manual_seed(0)
    chain = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(0.5),
            transforms.RandomRotation(30, transforms.InterpolationMode.BILINEAR),
            transforms.ColorJitter(saturation=(0.0, 1.0)),
        ]
    )
    images = photographs(1).expand(600, -1, -1, -1).contiguous()
    x = images[0].permute(2, 0, 1).float() / 255
    expected = torch.stack([chain(x) for _ in range(600)])
    got = unnormalise(changed(images, 24, AugmentationSettings(), 4))
    inner = (..., slice(4, -4), slice(4, -4))  # near the edge black is mixed in differently
    for statistic in (torch.mean, torch.std):
        # Six standard errors of a pixel's mean over 600 draws, whose standard deviation is below 0.15 in there.
        torch.testing.assert_close(
            statistic(got, 0)[inner], statistic(expected, 0)[inner], atol=6 * 0.15 / 600**0.5, rtol=0
        )
