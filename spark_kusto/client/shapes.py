"""The engine's storage form in the shapes that callers want: results, Python values, Spark's columns."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.types import Column, KustoType, result_schema

if TYPE_CHECKING:
    import pyarrow as pa

_UTC = dt.timezone.utc


def to_result(batch: pa.RecordBatch, columns: Sequence[Column], schema: pa.Schema) -> pa.RecordBatch:
    """A batch in storage form (guids as text) with the Arrow types of results."""
    import pyarrow

    arrays = [_RESULT.get(column.type, _same)(batch.column(place)) for place, column in enumerate(columns)]
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


def to_spark(batch: pa.RecordBatch, columns: Sequence[Column], schema: pa.Schema) -> pa.RecordBatch:
    """A batch in storage form with exactly the Arrow types that Spark expects: timespans are text."""
    import pyarrow

    arrays = [_SPARK.get(column.type, _same)(batch.column(place)) for place, column in enumerate(columns)]
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


def spark_schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of :func:`to_spark`."""
    import pyarrow

    return pyarrow.schema(
        [
            pyarrow.field(
                column.name,
                pyarrow.string() if column.type is KustoType.TIMESPAN else column.type.arrow_result(),
            )
            for column in columns
        ]
    )


def kusto_schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of :func:`to_result`."""
    return result_schema(columns)


def _same(array: Any) -> Any:
    return array


def _zoned(array: Any) -> Any:
    import pyarrow

    return array.cast(pyarrow.timestamp("us", tz="UTC"))


def _duration(array: Any) -> Any:
    import pyarrow
    import pyarrow.compute as pc

    # Rounded down, as for datetimes: shift_right keeps the sign that divide would round towards zero.
    remainder = pc.subtract(array, pc.multiply(pc.divide(array, 10), 10))
    floored = pc.subtract(pc.divide(array, 10), pc.less(remainder, 0).cast(pyarrow.int64()))
    return floored.cast(pyarrow.duration("us"))


def _timespan_text(array: Any) -> Any:
    from spark_kusto.types.text import to_text

    return to_text(array, KustoType.TIMESPAN)


_RESULT: dict[KustoType, Callable[[Any], Any]] = {
    KustoType.DATETIME: _zoned,
    KustoType.TIMESPAN: _duration,
}
_SPARK: dict[KustoType, Callable[[Any], Any]] = {
    KustoType.DATETIME: _zoned,
    KustoType.TIMESPAN: _timespan_text,
}


def python_values(array: Any, kind: KustoType) -> list[Any]:
    """Python values of a column in the Arrow type of results."""
    if kind is KustoType.DATETIME:
        return _moments(array)
    values: list[Any] = array.to_pylist()
    if kind is KustoType.GUID:
        return [None if value is None else uuid.UUID(value) for value in values]
    if kind is KustoType.DYNAMIC:
        return [None if value is None else json.loads(value) for value in values]
    return values


def _moments(array: Any) -> list[Any]:
    import pyarrow

    # Arrow's own zone would be pytz's or zoneinfo's; results carry datetime.timezone.utc.
    naive = array.cast(pyarrow.timestamp("us"))
    return [None if value is None else value.replace(tzinfo=_UTC) for value in naive.to_pylist()]
