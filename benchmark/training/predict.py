"""A finished fusion run asked again: the network with the weights that it left, trained anew where they are gone."""

from __future__ import annotations

import logging

from torch import Tensor

from benchmark.ledger import artifact_folder, read_record
from benchmark.plan import Run
from benchmark.trained import END_TO_END_WEIGHTS, FUSION_WEIGHTS
from benchmark.training import execute
from benchmark.training.checkpoint import DamagedError, load_tensors
from benchmark.training.device import device_name
from benchmark.training.fusion import EndToEnd, Predict, initial_predictor
from benchmark.training.workspace import Workspace

logger = logging.getLogger(__name__)


def trained_predictor(run: Run, workspace: Workspace) -> Predict:
    """Return how a finished fusion run scores images: (rows, batch size) -> (N, C), in evaluation mode.

    Networks compute in float32 here, whatever precision they were trained in: the question is what function the
    weights are, and the rounding of bfloat16 would hide it.
    """
    network, predict = initial_predictor(run, workspace)
    if any(True for _ in network.parameters()):
        network.load_state_dict(kept_weights(run, workspace))
    if isinstance(network, EndToEnd):
        network.precision = "float32"
    return predict


def kept_weights(run: Run, workspace: Workspace) -> dict[str, Tensor]:
    """Read the weights that a finished run left; where they are missing or damaged, it is trained again, once."""
    name = END_TO_END_WEIGHTS if run.stage == "joint" else FUSION_WEIGHTS
    path = artifact_folder(workspace.experiment, run.run_id) / name
    try:
        return load_tensors(path)
    except DamagedError:
        then, now = read_record(workspace.experiment, run.run_id).device, device_name(workspace.device)
        where = "" if then == now else f" on {now}, not {then}, so that its predictions will differ"
        logger.warning("the weights of %s are missing or damaged: it is trained again%s", run.label, where)
    execute(run, workspace)
    return load_tensors(path)
