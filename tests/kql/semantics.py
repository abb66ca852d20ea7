"""Judging tables of expressions with the values that they have in Kusto."""

from __future__ import annotations

import functools
import math
from decimal import Decimal
from typing import Any

from tests.kql.executor import Database


@functools.cache
def empty_database() -> Database:
    """A database without tables; its connection is shared by the tests of a process."""
    return Database()


def evaluated(expression: str) -> Any:
    """The value of a scalar expression."""
    return empty_database().value(expression)


def rows_of(query: str) -> list[tuple[Any, ...]]:
    """The rows of a query that needs no table."""
    return empty_database().rows(query)


def one_row(columns: str, values: str, expressions: str) -> tuple[Any, ...]:
    """Values of expressions over the columns of a table with one row."""
    (row,) = rows_of(f"datatable({columns})[{values}] | project {expressions}")
    return row


def schema_of(query: str) -> list[tuple[str, str]]:
    """Names and types of a query's columns."""
    names, types, _ = empty_database().query(query)
    return list(zip(names, types, strict=True))


def same(have: Any, want: Any) -> bool:
    """Equality by value and kind: True is not 1, NaN equals NaN, reals within 1e-12."""
    if isinstance(want, bool) or isinstance(have, bool):
        return have is want
    if isinstance(want, float):
        if not isinstance(have, float):
            return False
        if math.isnan(want) or math.isnan(have):
            return math.isnan(want) and math.isnan(have)
        return math.isclose(have, want, rel_tol=1e-12)
    if isinstance(want, Decimal):
        return isinstance(have, Decimal) and have == want
    if isinstance(want, list | tuple):
        return isinstance(have, list | tuple) and len(have) == len(want) and all(map(same, have, want))
    if isinstance(want, dict):
        if not isinstance(have, dict) or list(have) != list(want):
            return False
        return all(same(have[key], want[key]) for key in want)
    return type(have) is type(want) and bool(have == want)
