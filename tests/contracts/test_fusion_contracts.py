"""Every registered fusion method, and every reading of the fusion network, keeps every promise."""

from __future__ import annotations

import pytest

from fusion_methods import FUSION_METHODS, resolve_fusion
from tests.contracts.fusion_contracts import CONTRACTS, Contract, passes_gradients_to_every_branch

READINGS = [
    *(f"attention-fusion:axis={axis}" for axis in ("token", "spatial", "batch")),
    *(f"attention-fusion:axis={axis},gate=false" for axis in ("feature", "batch")),
    "attention-fusion-without-local:axis=batch",
    "attention-fusion:kernel=5,width=24",
]
METHODS = [*FUSION_METHODS.names(), *READINGS]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
@pytest.mark.parametrize("method", METHODS)
def test_contract(method: str, contract: Contract) -> None:
    contract(method)


@pytest.mark.parametrize("method", [name for name in METHODS if resolve_fusion(name).end_to_end])
def test_end_to_end_methods_teach_every_backbone(method: str) -> None:
    passes_gradients_to_every_branch(method)


def test_only_the_batch_readings_declare_a_dependence() -> None:
    """A new method that declares one belongs in this list, and in the README's words on the audit."""
    declared = [
        name for name in FUSION_METHODS.names() if getattr(FUSION_METHODS.find(name).build, "batch_dependent", 0)
    ]
    assert declared == []
