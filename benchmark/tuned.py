"""Values that tuning chose, as files: `<results>/<experiment>/tuned/<name>.yaml`. Reading them needs no optuna."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from benchmark.config import TunedValues, UserError
from benchmark.ledger import write_text

TUNED, TUNING = "tuned", "tuning"


def file_stem(name: str) -> str:
    """Return a method's or backbone's spec as the name of a file."""
    return name.replace(":", "--").replace(",", "-").replace("/", "_")


def write_tuned(folder: Path, name: str, values: TunedValues, found: dict[str, Any]) -> None:
    """Write what was chosen for a method or backbone, and what it rests on."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "name": name,
        **values.model_dump(),
        "validation_accuracy": round(found["chosen"]["validation_accuracy"], 6),
        "default_validation_accuracy": round(found["default"]["validation_accuracy"], 6),
        "budget": found["budget"],
    }
    write_text(folder / f"{file_stem(name)}.yaml", yaml.safe_dump(content, sort_keys=False))


def read_tuned(experiment: Path) -> dict[str, TunedValues]:
    """Return the chosen values by method or backbone.

    Raises:
        UserError: nothing was tuned, or a file is damaged.
    """
    found = {name: values for name, values, _ in _files(experiment)}
    if not found:
        raise UserError(f"{experiment} holds no tuned values; run `ferfuse tune --experiment {experiment.name}` first")
    return found


def select(tuned: dict[str, TunedValues], names: Iterable[str]) -> dict[str, TunedValues]:
    """Return the values of the named methods and backbones.

    Raises:
        UserError: none of them was tuned.
    """
    found = {name: tuned[name] for name in names if name in tuned}
    if not found:
        raise UserError(f"none of these methods and backbones was tuned, only {', '.join(tuned)}")
    return found


def read_searches(experiment: Path) -> dict[str, dict[str, Any]]:
    """Return what the files say beside the values: accuracy on validation, and the budget."""
    return {name: content for name, _, content in _files(experiment)}


def _files(experiment: Path) -> Iterator[tuple[str, TunedValues, dict[str, Any]]]:
    for path in sorted((experiment / TUNED).glob("*.yaml")):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            values = TunedValues(settings=content["settings"], stage=content["stage"])
            yield content["name"], values, content
        except (yaml.YAMLError, ValidationError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged; tune {path.stem} again") from error
