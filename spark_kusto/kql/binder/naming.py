"""Names of columns that the query does not name.

The rules are those that Kusto's own language service applies (projection of unnamed
expressions): a column keeps its name, ``d.a.b`` becomes ``d_a_b``, a call gets what its function's
row says, all else is ``Column1``, ``Column2`` ...
"""

from __future__ import annotations

from collections.abc import Iterable

from spark_kusto.kql import registry
from spark_kusto.kql.registry import Row, ScalarRow, SpecialRow
from spark_kusto.kql.syntax import (
    Call,
    Expression,
    Index,
    Literal,
    Member,
    Name,
    NamedExpression,
)


def inferred_name(expression: Expression, default: str | None = None) -> str | None:
    """The name an unnamed expression gives its column, or ``default``."""
    match expression:
        case Name():
            return expression.name
        case NamedExpression():
            return expression.name
        case Member():
            right = inferred_name(expression.member, None)
            left = inferred_name(expression.base, None)
            if left in ("$left", "$right"):
                return right
            return f"{left}_{right}" if left else right
        case Index():
            left = inferred_name(expression.base, None)
            index = expression.index
            right = None
            if isinstance(index, Literal) and index.type in ("string", "long", "int"):
                right = str(index.value)
            elif isinstance(index, Name):
                right = index.name
            return f"{left}_{right or ''}" if left else right or default
        case Call():
            return _call_name(expression, default)
    return default


def row_of(name: str) -> Row | None:
    """The row of a function or aggregate of that name."""
    return registry.scalars().get(name) or registry.aggregates().get(name)


def _call_name(call: Call, default: str | None) -> str | None:
    row = row_of(call.name)
    if len(call.arguments) == 1:
        # ``hll_merge(a, b)`` is a function, ``hll_merge(a)`` an aggregate.
        row = registry.aggregates().get(call.name, row)
    if row is None or row.column is None:
        return default
    if isinstance(row, ScalarRow) and row.column_if_single and len(call.arguments) != 1:
        return default
    if "{0}" not in row.column:
        return row.column
    first = inferred_name(call.arguments[0], None) if call.arguments else None
    if "{1}" in row.column and len(call.arguments) > 1:
        second = inferred_name(call.arguments[1], None) or ""
        return row.column.replace("{0}", first or "").replace("{1}", second)
    if row.column == "{0}":
        return first or default
    if isinstance(row, SpecialRow) and row.kind == "function":
        return row.column.replace("{0}", first or "")
    return row.column.replace("{0}", first or "")


class Names:
    """Gives out names that are unique within one projection.

    Args:
        taken: names that exist already.
        hidden: names that ``Column1`` and the like must not be, though they may be reused.
    """

    def __init__(self, taken: Iterable[str] = (), hidden: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._hidden = set(hidden)
        self._number = 0

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def add(self, name: str) -> None:
        """Take a name."""
        self._taken.add(name)

    def unique(self, name: str) -> str:
        """The name, with a number after it if it is taken; taken from now on."""
        if name in self._taken:
            number = 1
            while f"{name}{number}" in self._taken:
                number += 1
            name = f"{name}{number}"
        self._taken.add(name)
        return name

    def default(self) -> str:
        """The next of ``Column1``, ``Column2`` ..."""
        while True:
            self._number += 1
            name = f"Column{self._number}"
            if name not in self._taken and name not in self._hidden:
                self._taken.add(name)
                return name
