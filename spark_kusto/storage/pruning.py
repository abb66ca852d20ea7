"""Leaving out extents that cannot hold a row asked for, by the catalog's statistics.

Kusto orders real values with NaN unequal to everything, and DuckDB puts NaN above all numbers; a
real column that may hold NaN is therefore never left out by an order comparison or by ``!=``.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from spark_kusto.storage.model import ColumnStatistics, Extent

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "isnull", "isnotnull", "startswith"]


@dataclass(frozen=True)
class Predicate:
    """One condition of a conjunction: ``column operator value``.

    Attributes:
        column_id: id of the column.
        operator: ``in`` takes a collection of values; ``isnull`` and ``isnotnull`` none.
        value: Python value of the column's type: aware or UTC datetimes; timespans as ticks.
    """

    column_id: int
    operator: Operator
    value: Any = None


def prune(
    extents: Iterable[Extent], predicates: Iterable[Predicate | tuple[int, Operator, Any]]
) -> tuple[Extent, ...]:
    """The extents that may hold a row for which all predicates are true.

    A predicate is true of no null except ``isnull``. Columns that an extent's file lacks are unknown
    here: their default may match.
    """
    conditions = [p if isinstance(p, Predicate) else Predicate(*p) for p in predicates]
    if not conditions:
        return tuple(extents)
    return tuple(extent for extent in extents if _may_match(extent, conditions))


def _may_match(extent: Extent, conditions: list[Predicate]) -> bool:
    for condition in conditions:
        known = extent.statistics.get(condition.column_id)
        if known is not None and not _possible(known, condition, extent.row_count):
            return False
    return True


def _possible(known: ColumnStatistics, condition: Predicate, row_count: int) -> bool:
    operator = condition.operator
    all_null = known.null_count == row_count
    if operator == "isnull":
        return known.null_count is None or known.null_count > 0
    if all_null:
        return False
    if operator == "isnotnull":
        return True
    if known.minimum is None and known.maximum is None:
        # Nothing is known, or all that is not null is NaN.
        return True
    if operator == "in":
        return any(
            _possible(known, Predicate(condition.column_id, "==", v), row_count) for v in condition.value
        )
    value = _comparable(condition.value)
    if value is None:
        return True
    try:
        return _within(known, operator, value)
    except TypeError:
        return True


def _comparable(value: Any) -> Any:
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return value.replace(tzinfo=dt.timezone.utc)
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _within(known: ColumnStatistics, operator: Operator, value: Any) -> bool:
    low, high = known.minimum, known.maximum
    if operator == "==":
        return (low is None or low <= value) and (high is None or value <= high)
    if operator == "!=":
        return known.has_nan or not (known.exact and low == high == value)
    if operator == "startswith":
        above = high is None or high >= value
        return above and (low is None or low[: len(value)] <= value)
    if known.has_nan:
        return True
    if operator == "<":
        return bool(low is None or low < value)
    if operator == "<=":
        return bool(low is None or low <= value)
    if operator == ">":
        return bool(high is None or high > value or (not known.exact and high == value))
    if operator == ">=":
        return bool(high is None or high >= value)
    return True
