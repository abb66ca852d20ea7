"""Which of a table's extents a scan has to read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from spark_kusto.kql.compiled import CURSOR, INGESTION_TIME, ScanPredicate
from spark_kusto.storage.model import Extent, TableSnapshot
from spark_kusto.storage.pruning import Predicate, prune
from spark_kusto.storage.sequence import moment_of

_STATISTICAL = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "isnull", "isnotnull", "startswith"})


def pruned(table: TableSnapshot, predicates: Iterable[ScanPredicate]) -> tuple[Extent, ...]:
    """The extents of a table that may hold a row for which all predicates are true."""
    ids = {column.name: column.id for column in table.columns}
    conditions: list[Predicate] = []
    moments: list[tuple[str, str, Any]] = []
    for predicate in predicates:
        if predicate.column in (CURSOR, INGESTION_TIME):
            moments.append((predicate.column, predicate.operator, predicate.value))
        elif predicate.column in ids and predicate.operator in _STATISTICAL:
            conditions.append(
                Predicate(ids[predicate.column], predicate.operator, predicate.value)  # type: ignore[arg-type]
            )
    extents: Iterable[Extent] = table.extents
    if moments:
        extents = [extent for extent in extents if all(_in_time(extent, *moment) for moment in moments)]
    return prune(extents, conditions)


def _in_time(extent: Extent, column: str, operator: str, value: Any) -> bool:
    low: Any = extent.min_sequence
    high: Any = extent.sequence
    if column == INGESTION_TIME:
        low, high = _naive(moment_of(low)), _naive(moment_of(high))
        value = _naive(value) if isinstance(value, dt.datetime) else value
    try:
        if operator == "in":
            return any(low <= item <= high for item in value)
        if operator == "==":
            return bool(low <= value <= high)
        if operator == "<":
            return bool(low < value)
        if operator == "<=":
            return bool(low <= value)
        if operator == ">":
            return bool(high > value)
        if operator == ">=":
            return bool(high >= value)
    except TypeError:
        return True
    return True


def _naive(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment
