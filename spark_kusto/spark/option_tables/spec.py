"""What the option tables say of an option."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Scope = Literal["both", "source", "sink"]
Kind = Literal["text", "bool", "int", "json", "list", "enum"]


@dataclass(frozen=True)
class OptionSpec:
    """One option.

    Attributes:
        name: as documented; matched in any case.
        kind: how its text is read. ``list`` is comma-separated, or a JSON list.
        scope: whether sources, sinks or both know it.
        doc: what it does, one or two sentences.
        default: the text of its default, None where leaving it out has a meaning of its own.
        choices: the values of an ``enum``.
        aliases: older, misspelled and alternative names, accepted with a warning.
        value_aliases: older values of an ``enum``.
        minimum: least value of an ``int``.
        secret: never printed.
        notice: why the option changes nothing here; logged once when it is given.
        ours: not an option of the official connector.
    """

    name: str
    kind: Kind
    scope: Scope
    doc: str
    default: str | None = None
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    value_aliases: Mapping[str, str] | None = None
    minimum: int | None = None
    secret: bool = False
    notice: str | None = None
    ours: bool = False


def values(enumeration: Iterable[str]) -> tuple[str, ...]:
    """The texts an enumeration's members stand for."""
    return tuple(str(value) for value in enumeration)
