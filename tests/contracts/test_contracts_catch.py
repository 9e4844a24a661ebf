"""Every promise is worth what it catches: one planted fault each breaks that promise and no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from backbones import BranchOutput
from tests.contracts.fusion_contracts import (
    CONTRACTS,
    Candidate,
    build,
    builds_all_of_its_search_space,
    depends_on_the_batch_only_if_declared,
    every_parameter_learns,
    gives_one_finite_score_per_class,
    is_deterministic,
    leaves_its_inputs_alone,
    moves_to_another_precision,
    passes_gradients_to_every_branch,
    reacts_to_every_branch,
    reads_maps_only_if_declared,
    registers_every_parameter,
    restores_from_its_state,
    score,
    switches_between_training_and_evaluation,
)


class Sound(nn.Module):
    """One linear layer over all features: keeps every promise."""

    search_space: ClassVar[dict[str, list[object]]] = {"dropout": [0.0, 0.5]}

    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(sum(feature_dims), num_classes)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        scores: Tensor = self.classifier(self.drop(torch.cat([branch.features for branch in branches], dim=1)))
        return scores


class WrongShape(Sound):
    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        scores = super().forward(branches)
        return torch.cat([scores, scores[:, :1]], dim=1)


class DifferentEveryTime(Sound):
    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return super().forward(branches) * (1 + torch.rand(()))


class CancelledGradient(Sound):
    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__(feature_dims, num_classes, dropout=dropout)
        self.importance = nn.Parameter(torch.ones(num_classes))

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return super().forward(branches) + 0 * self.importance


class NormalisedAway(CancelledGradient):
    """A weight that the following softmax over its own axis does not notice: its gradient is rounding."""

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        scores = nn.Linear.forward(self.classifier, torch.cat([branch.features for branch in branches], dim=1))
        return (scores + self.importance.sum()).log_softmax(dim=1)


class ParameterInAList(Sound):
    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__(feature_dims, num_classes, dropout=dropout)
        self.factors = [nn.Parameter(torch.ones(num_classes))]

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return super().forward(branches) * self.factors[0]


class LayerInADictionary(Sound):
    """Never used in `forward`, so that only a walk through the object finds it."""

    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__(feature_dims, num_classes, dropout=dropout)
        self.experts = {"second": nn.Linear(2, 2)}


OUTSIDE = torch.ones((), requires_grad=True)


class ParameterOutside(Sound):
    """Held by the test's module and not by the object, so that only a walk through the graph finds it."""

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return super().forward(branches) * OUTSIDE


class DeadBranch(Sound):
    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        first, second, *others = branches
        return super().forward([first, second._replace(features=torch.ones_like(second.features)), *others])


class BatchMean(Sound):
    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        scores = super().forward(branches)
        return scores - 0.5 * scores.mean(dim=0)


class Neighbour(Sound):
    """Reads the class off the previous image of the batch: alone, that is the image itself."""

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        scores = super().forward(branches)
        return scores + 0.1 * scores.roll(1, dims=0)


class DeclaredForNothing(Sound):
    batch_dependent = True


class TensorLeftBehind(Sound):
    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__(feature_dims, num_classes, dropout=dropout)
        self.mixing = torch.eye(num_classes)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return super().forward(branches) @ self.mixing


class StateLeftBehind(Sound):
    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__(feature_dims, num_classes, dropout=dropout)
        self.register_buffer("directions", torch.randn(num_classes), persistent=False)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return super().forward(branches) * self.directions


class UnknownSetting(Sound):
    search_space: ClassVar[dict[str, list[object]]] = {"width": [256]}


class ImpossibleValue(Sound):
    search_space: ClassVar[dict[str, list[object]]] = {"dropout": [0.0, 5.0]}


class AlwaysTraining(Sound):
    def train(self, mode: bool = True) -> AlwaysTraining:
        return self


class Overwriting(Sound):
    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        branches[-1].logits.mul_(2)
        return super().forward(branches)


class UndeclaredMaps(Sound):
    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        peak = sum(branch.maps.amax(dim=(1, 2, 3)) for branch in branches if branch.maps is not None)
        return super().forward(branches) * (1 + torch.as_tensor(peak).reshape(-1, 1))


class DeclaredMaps(Sound):
    uses_maps = True


@pytest.mark.parametrize(
    ("method", "broken"),
    [
        (Sound, None),
        (WrongShape, gives_one_finite_score_per_class),
        (DifferentEveryTime, is_deterministic),
        (CancelledGradient, every_parameter_learns),
        (NormalisedAway, every_parameter_learns),
        (ParameterInAList, registers_every_parameter),
        (LayerInADictionary, registers_every_parameter),
        (ParameterOutside, registers_every_parameter),
        (DeadBranch, reacts_to_every_branch),
        (BatchMean, depends_on_the_batch_only_if_declared),
        (Neighbour, depends_on_the_batch_only_if_declared),
        (DeclaredForNothing, depends_on_the_batch_only_if_declared),
        (TensorLeftBehind, moves_to_another_precision),
        (StateLeftBehind, restores_from_its_state),
        (UnknownSetting, builds_all_of_its_search_space),
        (ImpossibleValue, builds_all_of_its_search_space),
        (AlwaysTraining, switches_between_training_and_evaluation),
        (Overwriting, leaves_its_inputs_alone),
        (UndeclaredMaps, reads_maps_only_if_declared),
        (DeclaredMaps, reads_maps_only_if_declared),
    ],
)
def test_a_fault_breaks_its_promise_and_no_other(method: Candidate, broken: object) -> None:
    failing = []
    for contract in CONTRACTS:
        try:
            contract(method)
        except AssertionError:
            failing.append(contract)
    assert failing == ([] if broken is None else [broken])


@pytest.mark.parametrize(
    ("method", "contract", "offender"),
    [
        (WrongShape, gives_one_finite_score_per_class, r"2 branches: scores \(6, 6\), not \(6, 5\)"),
        (CancelledGradient, every_parameter_learns, "no gradient for importance$"),
        (ParameterInAList, registers_every_parameter, r"not among parameters\(\): self.factors\[0\]$"),
        (LayerInADictionary, registers_every_parameter, r"self\.experts\['second'\]\._parameters\['weight'\]"),
        (ParameterOutside, registers_every_parameter, r"unregistered tensors of shapes \[\(\)\]"),
        (DeadBranch, reacts_to_every_branch, "do not react to branch 2$"),
        (BatchMean, depends_on_the_batch_only_if_declared, r"depend on its batch: alone \(.*between other images"),
        (ImpossibleValue, builds_all_of_its_search_space, "dropout=5.0 does not build"),
        (Overwriting, leaves_its_inputs_alone, "logits of branch 2 are overwritten"),
    ],
)
def test_the_message_names_the_offender(method: Candidate, contract: object, offender: str) -> None:
    assert callable(contract)
    with pytest.raises(AssertionError, match=offender):
        contract(method)


def test_a_branch_cut_off_from_its_backbone_is_found() -> None:
    class CutOff(Sound):
        def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
            first, *others = branches
            return super().forward([first, *(branch._replace(features=branch.features.detach()) for branch in others)])

    passes_gradients_to_every_branch(Sound)
    with pytest.raises(AssertionError, match="no gradient flows back into branch 2"):
        passes_gradients_to_every_branch(CutOff)


def test_a_declared_limit_is_tried_no_further() -> None:
    class Pair(Sound):
        max_branches = 2

        def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
            assert len(branches) == 2
            return super().forward(branches)

    for contract in CONTRACTS:
        contract(Pair)


def test_a_batch_dependence_may_be_declared() -> None:
    class Declared(BatchMean):
        batch_dependent = True

    for contract in CONTRACTS:
        contract(Declared)


def test_scores_are_drawn_from_a_fixed_seed() -> None:
    """Otherwise a random method would break every promise, and the report would not say which one matters."""
    module = build(DifferentEveryTime, (2, 3))
    branch = [BranchOutput(torch.ones(1, 2), torch.ones(1, 5)), BranchOutput(torch.ones(1, 3), torch.ones(1, 5))]
    assert torch.equal(score(module, branch), score(module, branch))
