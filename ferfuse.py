"""The public library: own methods and backbones, ledgers as frames, verdicts on results from anywhere.

    from ferfuse import register_fusion          # a fusion method of one's own, for `ferfuse reproduce --plugin FILE`
    from ferfuse import compare                  # arrays in, intervals and verdicts out
    from ferfuse import judge                    # a DataFrame of predictions or accuracies in, the verdict out
    from ferfuse import read_ledger              # a finished or published experiment

Nothing heavy is imported before it is used: `compare` and `read_ledger` need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backbones import register_backbone
    from benchmark.analysis.judging import judge
    from benchmark.ledger import load_ledger as read_ledger
    from benchmark.statistics.comparison import Comparison, Protocol, compare
    from fusion_methods import register_fusion

HOMES = {
    "register_fusion": ("fusion_methods", "register_fusion"),
    "register_backbone": ("backbones", "register_backbone"),
    "read_ledger": ("benchmark.ledger", "load_ledger"),
    "judge": ("benchmark.analysis.judging", "judge"),
    "compare": ("benchmark.statistics.comparison", "compare"),
    "Comparison": ("benchmark.statistics.comparison", "Comparison"),
    "Protocol": ("benchmark.statistics.comparison", "Protocol"),
}
__all__ = ["Comparison", "Protocol", "compare", "judge", "read_ledger", "register_backbone", "register_fusion"]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"ferfuse has no {name!r}; there are {', '.join(__all__)}")
    module, attribute = HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
