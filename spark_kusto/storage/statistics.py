"""Statistics of an extent's columns: how they are computed, kept in the catalog, and bounded in size.

Kept as JSON: ``{column id: [type, minimum, maximum, null count, has NaN, exact]}``, datetimes as
microseconds since 1970 and decimals and guids as text, so that no value loses a digit.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spark_kusto.storage.model import ColumnStatistics, StoredColumn
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_TEXT = 64
"""Characters of a string bound that the catalog keeps."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_MICROSECOND = dt.timedelta(microseconds=1)

BOUNDED = frozenset(KustoType) - {KustoType.DYNAMIC}
"""Types whose minimum and maximum mean something."""


def _encode_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, dt.datetime):
        return (value - _EPOCH) // _MICROSECOND
    return str(value)


def _decode_value(type: KustoType, value: Any) -> Any:
    if value is None:
        return None
    if type is KustoType.DATETIME:
        return _EPOCH + dt.timedelta(microseconds=value)
    if type is KustoType.DECIMAL:
        return Decimal(value)
    if type is KustoType.GUID:
        return uuid.UUID(value)
    if type is KustoType.REAL:
        return float(value)
    return value


def encode_statistics(types: Mapping[int, KustoType], statistics: Mapping[int, ColumnStatistics]) -> str:
    """Statistics by column id as the catalog keeps them."""
    return json.dumps(
        {
            str(column): [
                types[column].value,
                _encode_value(entry.minimum),
                _encode_value(entry.maximum),
                entry.null_count,
                entry.has_nan,
                entry.exact,
            ]
            for column, entry in statistics.items()
        },
        separators=(",", ":"),
    )


def decode_statistics(text: str) -> Mapping[int, ColumnStatistics]:
    """Statistics by column id from what the catalog keeps."""
    result: dict[int, ColumnStatistics] = {}
    for column, (name, minimum, maximum, null_count, has_nan, exact) in json.loads(text).items():
        kind = KustoType(name)
        result[int(column)] = ColumnStatistics(
            _decode_value(kind, minimum), _decode_value(kind, maximum), null_count, has_nan, exact
        )
    return result


def rename_statistics(text: str, ids: Mapping[int, int]) -> str:
    """The same statistics under other column ids; columns without a new id are left out."""
    entries = json.loads(text)
    kept = {str(new): entries[str(old)] for old, new in ids.items() if str(old) in entries}
    return json.dumps(kept, separators=(",", ":"))


def text_bounds(minimum: str | None, maximum: str | None) -> tuple[str | None, str | None, bool]:
    """Bounds of a string column, cut to :data:`LONGEST_TEXT`; the third says whether nothing was cut."""
    exact = True
    if minimum is not None and len(minimum) > LONGEST_TEXT:
        minimum, exact = minimum[:LONGEST_TEXT], False
    if maximum is not None and len(maximum) > LONGEST_TEXT:
        maximum, exact = _text_above(maximum[:LONGEST_TEXT]), False
    return minimum, maximum, exact


def _text_above(prefix: str) -> str | None:
    """The least text of that length that every text with the prefix stays below; None if there is none."""
    for length in range(len(prefix), 0, -1):
        code = ord(prefix[length - 1]) + 1
        if 0xD800 <= code <= 0xDFFF:
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[: length - 1] + chr(code)
    return None


@dataclass
class _Running:
    minimum: Any = None
    maximum: Any = None
    null_count: int = 0
    has_nan: bool = False


class StatisticsCollector:
    """Takes statistics of storage-form batches as they pass, in bounded memory.

    Args:
        columns: what to take statistics of; batches hold them in this order.
    """

    def __init__(self, columns: Iterable[StoredColumn]) -> None:
        self._columns = tuple(columns)
        self._running = {column.id: _Running() for column in self._columns}

    def add(self, arrays: Iterable[pa.Array]) -> None:
        """Take in one batch, one array for each column."""
        for column, array in zip(self._columns, arrays, strict=True):
            running = self._running[column.id]
            running.null_count += array.null_count
            if column.type in BOUNDED and array.null_count < len(array):
                self._widen(running, column.type, array)

    def _widen(self, running: _Running, type: KustoType, array: pa.Array) -> None:
        import pyarrow.compute as pc

        if type is KustoType.GUID:
            array = array.storage
        bounds = pc.min_max(array)
        minimum, maximum = bounds["min"], bounds["max"]
        if type is KustoType.REAL:
            # min_max skips NaN, and a sum does not: far cheaper than asking every value.
            total = pc.sum(array).as_py()
            if total is not None and not math.isfinite(total):
                running.has_nan = running.has_nan or bool(pc.any(pc.is_nan(array)).as_py())
        low, high = _python(type, minimum), _python(type, maximum)
        if low is None or (isinstance(low, float) and math.isnan(low)):
            return
        if running.minimum is None or low < running.minimum:
            running.minimum = low
        if running.maximum is None or high > running.maximum:
            running.maximum = high

    def result(self) -> dict[int, ColumnStatistics]:
        """Statistics of everything taken in, by column id."""
        found: dict[int, ColumnStatistics] = {}
        for column in self._columns:
            running = self._running[column.id]
            minimum, maximum, exact = running.minimum, running.maximum, True
            if column.type is KustoType.STRING:
                minimum, maximum, exact = text_bounds(minimum, maximum)
            found[column.id] = ColumnStatistics(minimum, maximum, running.null_count, running.has_nan, exact)
        return found

    def encoded(self) -> str:
        """:meth:`result` as the catalog keeps it."""
        return encode_statistics({c.id: c.type for c in self._columns}, self.result())


def _python(type: KustoType, scalar: Any) -> Any:
    if not scalar.is_valid:
        return None
    if type is KustoType.DATETIME:
        return _EPOCH + dt.timedelta(microseconds=scalar.value)
    if type is KustoType.GUID:
        return uuid.UUID(bytes=scalar.as_py())
    return scalar.as_py()
