"""A method leaves an experiment: no table, verdict or plan knows it any more, and its finished runs are kept aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.config import UserError, base_name, nearest
from benchmark.engine.overview import drop_from_plan
from benchmark.ledger import existing_experiment, write_experiment
from benchmark.ledger.claims import experiment_claim


def drop_method(experiment: Path, name: str) -> list[str]:
    """Take a method out of an experiment, under every setting where the name has none; returns what was taken out.

    Its runs stay in the ledger: they were tested on these images, and asking for the method again finds them.

    Raises:
        UserError: the experiment does not compare such a method.
    """
    existing_experiment(experiment)
    with experiment_claim(experiment):
        description = existing_experiment(experiment)
        methods = description["main"]["methods"]
        dropped = [method for method in methods if name in (method, base_name(method))]
        if not dropped:
            raise UserError(f"experiment '{description['experiment']}' has no method {name}; {nearest(name, methods)}")
        drop_from_plan(experiment, dropped)
        write_experiment(experiment, _without(description, dropped))
    return dropped


def _without(description: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    """Return what `experiment.json` says without some methods, and with no plan's key, so that a plan is made anew."""
    main, settings = description["main"], description["settings"]
    left = [method for method in main["methods"] if method not in dropped]
    questions = [
        {"method": one["method"], "against": [method for method in one["against"] if method not in dropped]}
        for one in settings.get("questions", [])
        if one["method"] not in dropped and (not one["against"] or set(one["against"]) - set(dropped))
    ]
    return {
        **description,
        "main": {**main, "methods": left},
        "settings": {**settings, "methods": left, "questions": questions},
        "dropped": [*description.get("dropped", []), *dropped],
        "plan": {**description["plan"], "key": ""},
    }
