"""Names with settings: `vgg11:head=classifier`, `attention-fusion:axis=batch,gate=false`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import yaml

Entry = TypeVar("Entry")


class Source(NamedTuple):
    """A plug-in as it was loaded: the digest of its source, its file, and whether an installed package brought it."""

    digest: str
    file: Path
    installed: bool


class Registry(Generic[Entry]):
    """A set of named entries that refuses a duplicate and knows the nearest names of an unknown one.

    Attributes:
        sources: by name, where every entry comes from that is none of these packages' own.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.sources: dict[str, Source] = {}
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> None:
        """Keep `entry` under `name`.

        Raises:
            ValueError: the name is taken, or could not be told from a spec's settings.
        """
        if name in self._entries:
            raise ValueError(f"a {self.kind} named '{name}' is registered already; choose another name")
        if not name or set(name) & set(":,=#/ "):
            raise ValueError(f"'{name}' cannot name a {self.kind}: leave out ':', ',', '=', '#', '/' and blanks")
        self._entries[name] = entry

    def find(self, name: str) -> Entry | None:
        """Return the entry, or None."""
        return self._entries.get(name)

    def names(self) -> list[str]:
        """Return all names in order of registration."""
        return list(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def unknown(self, name: str) -> ValueError:
        """Return the error that names what may have been meant by `name`."""
        close = get_close_matches(name, self._entries, n=3, cutoff=0.4)
        hint = f"nearest: {', '.join(close)}" if close else f"known: {', '.join(self._entries)}"
        return ValueError(f"no {self.kind} named '{name}'; {hint}")


@dataclass(frozen=True)
class Spec:
    """A parsed spec: the registered name, all settings with defaults filled in, and its shortest text."""

    name: str
    settings: dict[str, Any]
    text: str


def split_spec(text: str) -> tuple[str, str]:
    """Split `name:settings` at the first colon."""
    name, _, settings = text.partition(":")
    return name, settings


def parse_spec(text: str, build: Callable[..., Any]) -> Spec:
    """Read `name:key=value,...` against the keyword-only parameters of `build`.

    The text of the result leaves out settings that equal their default and sorts the others, so that two ways
    of writing the same thing become one.

    Raises:
        ValueError: a setting that `build` does not have, or one not written as key=value.
    """
    name, given = split_spec(text)
    parameters = inspect.signature(build).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    settings = dict(defaults)
    for item in filter(None, given.split(",")):
        key, separator, value = item.partition("=")
        if not separator or key not in defaults:
            known = f"one of: {', '.join(defaults)}" if defaults else "nothing: it has no settings"
            raise ValueError(f"'{name}' has no setting '{item}'; write key=value with {known}")
        try:
            settings[key] = _like(defaults[key], value)
        except (ValueError, yaml.YAMLError) as error:
            expected = f"{key}={_text(defaults[key])}"
            raise ValueError(f"'{name}': {key}={value} must be like its default, {expected}") from error
    changed = [f"{key}={_text(settings[key])}" for key in sorted(defaults) if settings[key] != defaults[key]]
    return Spec(name, settings, name + (":" + ",".join(changed) if changed else ""))


def _like(default: Any, text: str) -> Any:
    """Read `text` as a value of its default's type; a default of None takes any."""
    if isinstance(default, float):
        return float(text)
    value = yaml.safe_load(text)
    if default is not None and type(value) is not type(default):
        raise ValueError(text)
    return value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
