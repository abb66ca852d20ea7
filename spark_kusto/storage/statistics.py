"""Statistics of an extent's columns: how they are computed, kept in the catalog, and bounded in size.

Kept as JSON: ``{column id: [type, minimum, maximum, null count, has NaN, exact, size]}``, datetimes as
microseconds since 1970 and decimals and guids as text, so that no value loses a digit.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spark_kusto.storage.model import ColumnStatistics, StoredColumn
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

LONGEST_TEXT = 64
"""Characters of a string bound that the catalog keeps."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_MICROSECOND = dt.timedelta(microseconds=1)

UNBOUNDED = frozenset({KustoType.REAL, KustoType.DYNAMIC})
"""Types without minimum and maximum in Parquet: pyarrow's of reals ignore NaN, and readers then lose
rows; those of JSON text mean nothing."""


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
                entry.size,
            ]
            for column, entry in statistics.items()
        },
        separators=(",", ":"),
    )


def decode_statistics(text: str) -> Mapping[int, ColumnStatistics]:
    """Statistics by column id from what the catalog keeps."""
    result: dict[int, ColumnStatistics] = {}
    for column, (name, minimum, maximum, *rest) in json.loads(text).items():
        kind = KustoType(name)
        result[int(column)] = ColumnStatistics(
            _decode_value(kind, minimum), _decode_value(kind, maximum), *rest
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


# -- from the Parquet footer ----------------------------------------------------------------------


def footer_statistics(
    metadata: pq.FileMetaData, columns: Mapping[int, StoredColumn], observed: Observed
) -> dict[int, ColumnStatistics]:
    """Statistics of an extent from its file's footer, and from a look at the values where it has none.

    Args:
        metadata: the file's footer.
        columns: by their position in the file.
        observed: what was seen of columns that the footer says nothing of.
    """
    result: dict[int, ColumnStatistics] = {}
    for position, column in columns.items():
        parts = [metadata.row_group(group).column(position) for group in range(metadata.num_row_groups)]
        chunks = [part.statistics for part in parts]
        if column.type is KustoType.REAL:
            found = observed.of(column)
        elif column.type is KustoType.DYNAMIC:
            found = ColumnStatistics(null_count=observed.of(column).null_count)
        else:
            minimum, maximum = _bounds(chunks, column.type)
            exact = True
            if column.type is KustoType.STRING:
                minimum, maximum, exact = text_bounds(minimum, maximum)
            found = ColumnStatistics(minimum, maximum, _null_count(chunks), False, exact)
        result[column.id] = replace(found, size=sum(part.total_compressed_size for part in parts))
    return result


def _null_count(chunks: Iterable[Any]) -> int | None:
    total = 0
    for chunk in chunks:
        if chunk is None or not chunk.has_null_count:
            return None
        total += chunk.null_count
    return total


def _bounds(chunks: Iterable[Any], type: KustoType) -> tuple[Any, Any]:
    """The least minimum and greatest maximum; None, None unless every row group with values has both."""
    minimum: Any = None
    maximum: Any = None
    for chunk in chunks:
        if chunk is None:
            return None, None
        if not chunk.has_min_max:
            if chunk.num_values:
                return None, None
            continue
        low, high = _footer_value(type, chunk.min), _footer_value(type, chunk.max)
        minimum = low if minimum is None or low < minimum else minimum
        maximum = high if maximum is None or high > maximum else maximum
    return minimum, maximum


def _footer_value(type: KustoType, value: Any) -> Any:
    if type is KustoType.DATETIME:
        if not isinstance(value, dt.datetime):  # a date, in files that others wrote
            value = dt.datetime(value.year, value.month, value.day)
        return value.replace(tzinfo=dt.timezone.utc)
    if type is KustoType.GUID and isinstance(value, bytes):
        return uuid.UUID(bytes=value)
    return value


class Observed:
    """Statistics of columns that Parquet keeps none of, from their values as they pass.

    Parquet's own bounds of reals would leave NaN out, and readers then lose rows that compare with it;
    bounds of JSON text mean nothing.
    """

    def __init__(self) -> None:
        self._seen: dict[int, ColumnStatistics] = {}

    def add(self, column: StoredColumn, array: pa.Array | pa.ChunkedArray) -> None:
        """Take in values of a real or dynamic column."""
        import pyarrow.compute as pc

        known = self._seen.get(column.id, ColumnStatistics(null_count=0))
        if column.type is KustoType.DYNAMIC:
            nulls = (known.null_count or 0) + array.null_count
            self._seen[column.id] = ColumnStatistics(null_count=nulls)
            return
        bounds = pc.min_max(array)  # skips NaN
        minimum, maximum = bounds["min"].as_py(), bounds["max"].as_py()
        has_nan = known.has_nan
        if not has_nan:
            # A sum shows whether there is NaN or an infinity, far cheaper than asking every value.
            total = pc.sum(array).as_py()
            suspicious = total is not None and not math.isfinite(total)
            has_nan = suspicious and bool(pc.any(pc.is_nan(array)).as_py())
        if minimum is None or math.isnan(minimum) or minimum > maximum:
            minimum = maximum = None
        self._seen[column.id] = ColumnStatistics(
            _least(known.minimum, minimum),
            _greatest(known.maximum, maximum),
            (known.null_count or 0) + array.null_count,
            has_nan,
        )

    def of(self, column: StoredColumn) -> ColumnStatistics:
        """What is known of a column; without values seen, only that it may hold anything."""
        return self._seen.get(column.id, ColumnStatistics(has_nan=True))


def _least(left: float | None, right: float | None) -> float | None:
    return right if left is None else left if right is None else min(left, right)


def _greatest(left: float | None, right: float | None) -> float | None:
    return right if left is None else left if right is None else max(left, right)
