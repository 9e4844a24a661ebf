"""Stage 1: one backbone with its own head, and its outputs for all images, kept for the fusion stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from backbones import BranchOutput, build_backbone, split_replicate
from backbones.shapes import build_with_weights
from backbones.weights import load_weights
from benchmark.ledger import artifact_folder
from benchmark.plan import Run, stream
from benchmark.trained import BACKBONE_WEIGHTS as WEIGHTS
from benchmark.training.checkpoint import DamagedError, load_tensors, save_tensors, stage_of
from benchmark.training.fit import Outcome, fit
from benchmark.training.images import evaluation_batch, image_task
from benchmark.training.resume import execution_of
from benchmark.training.small_maps import multiply_small_maps
from benchmark.training.workspace import Workspace, batches_of

OUTPUTS, MAPS = "outputs.safetensors", "maps.safetensors"


class LostWeightsError(RuntimeError):
    """The weights of a finished stage-1 run are missing or damaged: that run has to be done again first."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(reason)
        self.run_id = run_id


class Logits(nn.Module):
    """Let `fit` see only the logits of a backbone."""

    def __init__(self, backbone: nn.Module, precision: str) -> None:
        super().__init__()
        self.backbone, self.precision = backbone, precision

    def forward(self, images: Tensor) -> Tensor:
        return branch_output(self.backbone, images, self.precision).logits


def branch_output(backbone: nn.Module, images: Tensor, precision: str) -> BranchOutput:
    """Run a backbone in a run's precision; its outputs are float32, which is what everything after it works in."""
    features, logits, maps = _as_computed(backbone, images, precision)
    return BranchOutput(features.float(), logits.float(), None if maps is None else maps.float())


def _as_computed(backbone: nn.Module, images: Tensor, precision: str) -> BranchOutput:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        return BranchOutput(*backbone(images))


def train_backbone(run: Run, workspace: Workspace) -> Outcome:
    """Train a backbone; leave the selected epoch's weights and its outputs for all images as artifacts."""
    outcome = train_without_artifacts(run, workspace)
    weights = {name.removeprefix("backbone."): value for name, value in outcome.state.items()}
    network = _with_weights(run.backbones[0], weights, workspace)
    folder = artifact_folder(workspace.experiment, run.run_id)
    save_tensors(weights, folder / WEIGHTS)
    save_tensors(_outputs_of_all_images(network, workspace, ("features", "logits")), folder / OUTPUTS)
    return outcome


def train_without_artifacts(run: Run, workspace: Workspace) -> Outcome:
    """Train a backbone; returns what training leaves."""
    network = Logits(initial_backbone(run, workspace), workspace.settings.precision)
    return fit(network, image_task(run, workspace), stage_of(run), execution_of(run, workspace))


def initial_backbone(run: Run, workspace: Workspace) -> nn.Module:
    """Build a run's backbone as it starts: weights drawn from the seed, then those of a file where one is named."""
    spec, replicate = split_replicate(run.backbones[0])
    torch.manual_seed(stream(run.seed, "initial weights", spec, str(replicate)))
    network = build_backbone(spec, len(workspace.manifest.classes))
    if run.hyperparameters["weights"]:
        load_weights(network, Path(run.hyperparameters["weights"]))
    return prepared(network, workspace.device)


def trained_backbone(run_id: str, spec: str, workspace: Workspace) -> nn.Module:
    """Build a backbone with the weights that its stage-1 run left.

    Raises:
        LostWeightsError: they are missing or damaged; a damaged file is deleted.
    """
    return _with_weights(spec, _kept_weights(workspace.experiment, run_id), workspace)


def _with_weights(spec: str, weights: dict[str, Tensor], workspace: Workspace) -> nn.Module:
    return prepared(build_with_weights(spec, len(workspace.manifest.classes), weights), workspace.device)


def prepared(network: nn.Module, device: str) -> nn.Module:
    """Bring a backbone to a device, in the layout and with the convolutions that are fast there."""
    return multiply_small_maps(network.to(device).to(memory_format=torch.channels_last))


def verify_weights(experiment: Path, run_id: str) -> None:
    """Make sure that the weights of a stage-1 run are there and whole.

    Raises:
        LostWeightsError: they are not; a damaged file is deleted.
    """
    _kept_weights(experiment, run_id)


def _kept_weights(experiment: Path, run_id: str) -> dict[str, Tensor]:
    path = artifact_folder(experiment, run_id) / WEIGHTS
    try:
        return load_tensors(path)
    except DamagedError as error:
        path.unlink(missing_ok=True)
        raise LostWeightsError(run_id, str(error)) from error


def has_weights(experiment: Path, run_id: str) -> bool:
    """Tell whether the weights that a stage-1 run left are there."""
    return (artifact_folder(experiment, run_id) / WEIGHTS).is_file()


def stored_outputs(run_id: str, spec: str, workspace: Workspace, *, with_maps: bool) -> BranchOutput:
    """Read a stage-1 run's outputs for all N images; missing or damaged ones are computed from its weights.

    Feature maps are a hundred times as large as features, so they are computed from the weights when a method first
    asks for them, and kept as they are computed: in bfloat16, which is half the size, where the run is.
    """
    folder = artifact_folder(workspace.experiment, run_id)
    tensors = _stored(folder / OUTPUTS, ("features", "logits"), run_id, spec, workspace)
    maps = _stored(folder / MAPS, ("maps",), run_id, spec, workspace)["maps"] if with_maps else None
    return BranchOutput(tensors["features"], tensors["logits"], maps)


def _stored(path: Path, names: tuple[str, ...], run_id: str, spec: str, workspace: Workspace) -> dict[str, Tensor]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        try:
            return load_tensors(path, workspace.device)
        except DamagedError:
            network = trained_backbone(run_id, spec, workspace)
            save_tensors(_outputs_of_all_images(network, workspace, names), path)
    return load_tensors(path, workspace.device)


@torch.inference_mode()
def _outputs_of_all_images(network: nn.Module, workspace: Workspace, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the named fields of `BranchOutput` for all N images: features and logits in float32, maps as computed."""
    network.eval()
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for rows in batches_of(np.arange(len(workspace.manifest)), evaluation_batch(workspace)):
        output = _as_computed(network, workspace.network_input(rows), workspace.settings.precision)
        for name in names:
            value: Tensor = getattr(output, name)
            parts[name].append((value if name == "maps" else value.float()).cpu())
    return {name: torch.cat(tensors).contiguous() for name, tensors in parts.items()}
