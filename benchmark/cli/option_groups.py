"""Options that belong together are fields of a dataclass, which a command takes as one parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, get_type_hints


def spread_fields(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command every field of its parameters' dataclasses as an option of its own."""
    hints = get_type_hints(function, include_extras=True)
    options: list[Parameter] = []
    groups: dict[str, Any] = {name: one for name, one in hints.items() if is_dataclass(one)}
    for parameter in signature(function).parameters.values():
        if (group := groups.get(parameter.name)) is None:
            options.append(parameter.replace(annotation=hints[parameter.name], kind=Parameter.KEYWORD_ONLY))
            continue
        own = get_type_hints(group, include_extras=True)
        options += [
            Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=own[one.name])
            for one in fields(group)
        ]

    @wraps(function)
    def command(**given: Any) -> None:
        made = {
            name: group(**{one.name: given.pop(one.name) for one in fields(group)}) for name, group in groups.items()
        }
        function(**made, **given)

    command.__signature__ = signature(function).replace(parameters=options)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command
