"""What every syntax node has: a place in the text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Span(NamedTuple):
    """Half-open range of character offsets into the query's text."""

    start: int
    end: int


NO_SPAN = Span(0, 0)


@dataclass(frozen=True, slots=True)
class Node:
    """Any node of the syntax tree."""

    span: Span = field(default=NO_SPAN, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Expression(Node):
    """A scalar or tabular value."""


@dataclass(frozen=True, slots=True)
class Statement(Node):
    """One of the statements of a query, separated by semicolons."""


@dataclass(frozen=True, slots=True)
class Hint(Node):
    """`name=value` after an operator's keyword, such as `hint.strategy=shuffle`.

    `value` is a `Literal`, or a `Name` for a bare word.
    """

    name: str
    value: Expression

    @property
    def text(self) -> str:
        """The value as text: the bare word, or the literal's value as a string."""
        value = getattr(self.value, "name", None)
        if value is None:
            value = getattr(self.value, "value", "")
            if isinstance(value, bool):
                return "true" if value else "false"
        return str(value)


@dataclass(frozen=True, slots=True)
class Operator(Node):
    """One tabular operator.

    `hints` holds the `name=value` parameters that have no field of their own, as written.
    """

    hints: tuple[Hint, ...] = field(default=(), kw_only=True)

    def hint(self, name: str) -> str | None:
        """Text of the hint of that name (matched without regard to case), or None."""
        return find_hint(self.hints, name)


def find_hint(hints: Iterable[Hint], name: str) -> str | None:
    """Text of the first hint of that name, or None."""
    wanted = name.lower()
    for hint in hints:
        if hint.name.lower() == wanted:
            return hint.text
    return None
