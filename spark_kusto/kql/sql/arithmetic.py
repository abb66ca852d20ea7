"""Arithmetic of longs, which wraps around in Kusto and is an error in DuckDB.

A tree of ``+ - *`` is written twice: as it is, tried first, and in 128 bits, brought back into
64 at the end. Where the operands' sizes show that nothing can overflow, only as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from spark_kusto.kql.plan import Apply, Expr, Literal, ScalarQuery, contains
from spark_kusto.types import KustoType

WRAPPING = frozenset({"+", "-", "*"})
"""Operators that wrap around."""

_MODULUS = 1 << 64
_HALF = 1 << 63
_LONGEST = 3000

_SMALL = {
    "strlen": 31,
    "string_size": 31,
    "array_length": 31,
    "indexof": 31,
    "countof": 31,
    "datetime_part": 31,
    "dayofmonth": 6,
    "dayofyear": 10,
    "hourofday": 6,
    "getmonth": 5,
    "getyear": 15,
    "monthofyear": 5,
    "week_of_year": 7,
    "cast": 32,
}


def wrapped(sql: str) -> str:
    """A HUGEINT expression brought into the range of long by wrapping around."""
    return f"((({sql}) % {_MODULUS} + {_MODULUS + _HALF}) % {_MODULUS} - {_HALF})::BIGINT"


def integer_arithmetic(root: Apply, write: Callable[[Expr], str]) -> str:
    """SQL of a tree of ``+ - *`` over longs."""
    fast, wide, bits = _tree(root, write)
    if bits <= 63:
        return fast
    # DuckDB's try() takes no subquery.
    if len(fast) > _LONGEST or contains(root, lambda part: isinstance(part, ScalarQuery)):
        return wrapped(wide)
    return f"coalesce(try({fast}), {wrapped(wide)})"


def _tree(root: Expr, write: Callable[[Expr], str]) -> tuple[str, str, int]:
    spine: list[Apply] = []
    node = root
    while isinstance(node, Apply) and node.name in WRAPPING and node.type is KustoType.LONG:
        if len(node.arguments) != 2:
            break
        spine.append(node)
        node = node.arguments[0]
    fast, wide, bits = _leaf(node, write)
    for call in reversed(spine):
        other_fast, other_wide, other_bits = _tree(call.arguments[1], write)
        if call.name == "*":
            if bits > 63:
                wide, bits = f"{wrapped(wide)}::HUGEINT", max(bits, 63)
            if other_bits > 63:
                other_wide = f"{wrapped(other_wide)}::HUGEINT"
            bits += other_bits
        else:
            bits = max(bits, other_bits) + 1
        fast = f"({fast} {call.name} {other_fast})"
        wide = f"({wide} {call.name} {other_wide})"
    return fast, wide, bits


def _leaf(node: Expr, write: Callable[[Expr], str]) -> tuple[str, str, int]:
    text = write(node)
    bits = 63
    if isinstance(node, Literal):
        bits = 1 if node.value is None else int(node.value).bit_length()
    elif isinstance(node, Apply):
        bits = _SMALL.get(node.name, 63)
        if node.name == "cast" and node.arguments[0].type is not KustoType.INT:
            bits = 63
    return text, f"{text}::HUGEINT", bits
