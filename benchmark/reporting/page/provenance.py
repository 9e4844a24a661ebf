"""How an experiment was run: what a reader needs in order to run it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmark.ledger import Ledger
from benchmark.reporting.accuracy import data_name
from benchmark.reporting.wording import counted

Line = tuple[str, str]


def provenance(ledger: Ledger) -> list[Line]:
    """Return terms and their values: data, runs, code, versions, hardware."""
    known, data = ledger.experiment, ledger.experiment["dataset"]
    commit = known.get("commit")
    lines = [
        ("Data", data_name(ledger)),
        ("Data digest", data["digest"]),
        ("Ledger digest", known.get("digest", "")),
        ("Images", ", ".join(f"{sum(counts)} {part}" for part, counts in data["images"].items())),
        ("Profile", known["settings"]["profile"]),
        ("Runs", _runs(ledger)),
        ("Begun", known.get("created", "")),
        ("Plug-ins", _listed({name: plugin["digest"] for name, plugin in known.get("plugins", {}).items()})),
        ("Versions", _listed(known.get("versions", {}))),
        (
            "Commit",
            f"{commit['id']}{', with files that differ from it' if commit['modified'] else ''}" if commit else "",
        ),
        ("Planned on", _listed(known.get("hardware", {}))),
        (
            "Trained on",
            "; ".join(dict.fromkeys(_device(record.device, record.environment) for record in ledger.records)),
        ),
    ]
    return [(term, value) for term, value in lines if value]


def flat_settings(settings: dict[str, Any], prefix: str = "") -> Iterator[Line]:
    """Yield every setting under its dotted name, as `--set` takes it."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flat_settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _written(value)


def class_counts(ledger: Ledger) -> list[tuple[str, list[int]]]:
    """Return each class with its images in every part of the data."""
    data = ledger.experiment["dataset"]
    return [(name, [counts[place] for counts in data["images"].values()]) for place, name in enumerate(data["classes"])]


def _runs(ledger: Ledger) -> str:
    alone, fused = (len(ledger.of_kind(kind)) for kind in ("backbone", "fusion"))
    hours = sum(record.seconds for record in ledger.records) / 3600
    return f"{counted(alone, 'network')} and {counted(fused, 'fusion run')}, {hours:.2f} hours of training in all"


def _device(device: str, environment: dict[str, Any]) -> str:
    return _listed({"device": device, **environment})


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_written(value)}" for name, value in values.items())


def _written(value: Any) -> str:
    if isinstance(value, dict) and value:
        return f"({_listed(value)})"
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return "none" if value is None or value == {} else str(value)
