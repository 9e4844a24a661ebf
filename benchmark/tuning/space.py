"""What a search may vary: settings that a method names in `search_space`, and how its stage is optimised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from benchmark.config import StageSettings, TunedValues
from benchmark.plan import Run
from benchmark.trained import module_settings
from fusion_methods import FUSION_METHODS

RATE_RANGE = 10.0  # the learning rate is searched from a tenth of the profile's to ten times it
WEIGHT_DECAYS = (0.0, 1e-4, 1e-3, 1e-2)
OPTIMISATION = tuple(StageSettings.model_fields)
Values = dict[str, Any]


@dataclass(frozen=True)
class SearchSpace:
    """Names and ranges, and the values that the profile has without tuning.

    Attributes:
        distributions: Optuna's, by the setting's name.
        default: a value for each of them.
    """

    distributions: dict[str, BaseDistribution]
    default: Values

    def described(self) -> dict[str, Any]:
        """Return the ranges for a file: a list of choices, or the ends of an interval."""
        return {
            name: list(d.choices) if isinstance(d, CategoricalDistribution) else {"low": d.low, "high": d.high}
            for name, d in self.distributions.items()
            if isinstance(d, CategoricalDistribution | FloatDistribution)
        }


def space_of(run: Run) -> SearchSpace | None:
    """Return the search space of a run's method or backbone, None for a method without parameters to learn.

    A backbone varies learning rate, weight decay and epochs. A method varies learning rate, weight decay and what its
    class names in `search_space`, where it may give choices for the optimisation too.
    """
    optimisation = {name: run.hyperparameters[name] for name in OPTIMISATION}
    if run.method is None:
        epochs = optimisation["epochs"]
        choices: Mapping[str, list[Any]] = {"epochs": sorted({max(1, epochs // 2), epochs, 2 * epochs})}
        default = optimisation
    else:
        method = FUSION_METHODS.find(run.hyperparameters["method"])
        assert method is not None
        choices, default = method.search_space, {**optimisation, **module_settings(run.hyperparameters)}
        if not choices:
            return None
    rate = optimisation["learning_rate"]
    distributions: dict[str, BaseDistribution] = {
        "learning_rate": FloatDistribution(rate / RATE_RANGE, rate * RATE_RANGE, log=True),
        "weight_decay": _choice(list(WEIGHT_DECAYS), default["weight_decay"]),
        **{name: _choice(list(values), default[name]) for name, values in choices.items()},
    }
    return SearchSpace(distributions, {name: default[name] for name in distributions})


def applied(run: Run, values: Values) -> dict[str, Any]:
    """Return a run's hyperparameters with these values in place of its own."""
    method = {f"method.{name}": value for name, value in values.items() if name not in OPTIMISATION}
    stage = {name: value for name, value in values.items() if name in OPTIMISATION}
    return {**run.hyperparameters, **method, **stage}


def as_tuned(values: Values) -> TunedValues:
    """Return chosen values as the settings of an experiment hold them."""
    stage = {name: value for name, value in values.items() if name in OPTIMISATION}
    return TunedValues(settings={k: v for k, v in values.items() if k not in OPTIMISATION}, stage=stage)


def _choice(choices: list[Any], default: Any) -> CategoricalDistribution:
    return CategoricalDistribution(choices if default in choices else [default, *choices])
