"""From storage form to what users get: result Arrow, Python values, and Arrow as Spark wants it."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spark_kusto.types import text
from spark_kusto.types.table import Column, KustoType, result_schema

if TYPE_CHECKING:
    import pyarrow as pa


# -- arrays ---------------------------------------------------------------------------------------


def to_result(array: pa.Array, type: KustoType) -> pa.Array:
    """A storage-form array in result form (see :mod:`spark_kusto.types`).

    Takes also what DuckDB hands over for the same SQL types: guids as text, strings with nulls from a
    query's own expressions.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    target = type.arrow_result()
    if type is KustoType.DATETIME:
        return _as_timestamp(array).view(target)
    if type is KustoType.TIMESPAN:
        # Rounded down, like every other digit that is dropped.
        return _ticks_to_microseconds(array.cast(pa.int64())).view(target)
    if type is KustoType.GUID:
        return _guid_text(array)
    if array.type != target:
        array = array.cast(target)
    if type is KustoType.STRING and array.null_count:
        return pc.fill_null(array, "")
    return array


def to_spark(array: pa.Array, type: KustoType) -> pa.Array:
    """A storage-form array as Spark takes it for the type's ``spark`` form.

    Timespans and guids are text in the official mapping's forms; datetimes carry the zone UTC.
    """
    import pyarrow as pa

    if type is KustoType.TIMESPAN:
        return text.to_text(array.cast(pa.int64()), KustoType.TIMESPAN)
    return to_result(array, type)


def spark_schema_of(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema that :func:`to_spark` gives; exactly what Spark expects."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(c.name, pa.string() if c.type is KustoType.TIMESPAN else c.type.arrow_result())
            for c in columns
        ]
    )


def result_batch(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    """A batch of storage-form columns, taken by position, in result form."""
    import pyarrow as pa

    arrays = [to_result(array, c.type) for array, c in zip(batch.columns, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=result_schema(columns))


def spark_batch(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    """A batch of storage-form columns, taken by position, as Spark takes it."""
    import pyarrow as pa

    arrays = [to_spark(array, c.type) for array, c in zip(batch.columns, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=spark_schema_of(columns))


def _as_timestamp(array: pa.Array) -> pa.Array:
    import pyarrow as pa

    stored = pa.timestamp("us")
    return array if array.type == stored else array.cast(pa.timestamp("us", tz=array.type.tz)).view(stored)


def _ticks_to_microseconds(ticks: pa.Array) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    values = np.floor_divide(np.asarray(pc.fill_null(ticks, 0)), 10)
    mask = np.asarray(pc.is_null(ticks)) if ticks.null_count else None
    return pa.array(values, pa.int64(), mask=mask)


def _guid_text(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as at

    if isinstance(array.type, pa.UuidType) or at.is_fixed_size_binary(array.type):
        return text.to_text(array, KustoType.GUID)
    return array.cast(pa.string())


# -- Python values --------------------------------------------------------------------------------


def python_column(array: pa.Array | pa.ChunkedArray, type: KustoType) -> list[Any]:
    """Python values of a result-form (or storage-form) array."""
    import pyarrow as pa
    import pyarrow.types as at

    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in python_column(chunk, type)]
    if type is KustoType.DATETIME:
        # Arrow's own conversion depends on a zone database, and is slower.
        epoch, delta = text.EPOCH, dt.timedelta
        stamps = _as_timestamp(array).view(pa.int64()).to_pylist()
        try:
            return [None if us is None else epoch + delta(microseconds=us) for us in stamps]
        except OverflowError:
            raise _outside_years(stamps) from None
    if type is KustoType.TIMESPAN:
        if at.is_integer(array.type):
            return [None if t is None else text.timedelta_of_ticks(t) for t in array.to_pylist()]
        return [
            None if us is None else dt.timedelta(microseconds=us)
            for us in array.cast(pa.duration("us")).view(pa.int64()).to_pylist()
        ]
    values: list[Any] = (array.storage if isinstance(array.type, pa.UuidType) else array).to_pylist()
    if type is KustoType.GUID:
        make = _guid_of
        return [None if value is None else make(value) for value in values]
    if type is KustoType.DYNAMIC:
        try:
            return [None if value is None else json.loads(value) for value in values]
        except RecursionError:
            raise _too_deep() from None
    if type is KustoType.STRING:
        return ["" if value is None else value for value in values]
    return values


def _outside_years(stamps: Sequence[int | None]) -> Exception:
    from spark_kusto.errors import TypeConversionError

    low, high = (
        (end.replace(tzinfo=text.UTC) - text.EPOCH) // text.MICROSECOND
        for end in (dt.datetime.min, dt.datetime.max)
    )
    row = next(row for row, us in enumerate(stamps) if us is not None and not low <= us <= high)
    return TypeConversionError(
        f"Row {row}: a datetime {stamps[row]} microseconds from 1970 is outside the years 1 to 9999.",
        row=row,
        remedy="Correct the value in the table or the query.",
    )


def _too_deep() -> Exception:
    from spark_kusto.errors import TypeConversionError

    return TypeConversionError(
        "A dynamic value is nested too deeply for Python's JSON reader.",
        remedy="Take its text, tostring(...), or a part of it.",
    )


def _guid_of(value: Any) -> uuid.UUID:
    return uuid.UUID(bytes=value) if isinstance(value, bytes) else uuid.UUID(value)


def python_rows(table: pa.Table | pa.RecordBatch, columns: Sequence[Column]) -> list[tuple[Any, ...]]:
    """Rows of Python values of a result-form table; its columns are taken by position."""
    if not columns:
        return [()] * table.num_rows
    lists = [python_column(table.column(i), c.type) for i, c in enumerate(columns)]
    return list(zip(*lists, strict=True))


# -- from Python values ---------------------------------------------------------------------------


def storage_array(values: Iterable[Any], type: KustoType, *, name: str = "") -> pa.Array:
    """A storage-form array of Python values.

    Takes the classes of ``types``' table and what converts without loss (a date for a datetime, an
    int for a real, text for a guid ...); ``None`` is null.

    Raises:
        TypeConversionError: a value does not fit; column and row are named.
    """
    import pyarrow as pa

    from spark_kusto.errors import TypeConversionError

    convert = _FROM_PYTHON[type]
    converted: list[Any] = []
    for row, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(value))
        except (ValueError, TypeError, OverflowError, ArithmeticError) as error:
            shown = repr(value)[:60]
            raise TypeConversionError(
                f"Column '{name}', row {row}: {shown} ({value.__class__.__name__}) cannot be stored as "
                f"{type.value}: {error}.",
                column=name,
                row=row,
                remedy="Correct or convert the value.",
            ) from error
    if type is KustoType.GUID:
        return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(converted, pa.binary(16)))
    if type is KustoType.STRING:
        converted = ["" if value is None else value for value in converted]
    return pa.array(converted, type.arrow_storage())


def _bool(value: Any) -> bool:
    if value in (0, 1):
        return bool(value)
    raise ValueError("it is no bool")


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        number = int(value)
        if number != value:
            raise ValueError("it is not a whole number")
        if not low <= number <= high:
            raise ValueError(f"it is not between {low} and {high}")
        return number

    return convert


def _decimal(value: Any) -> Decimal:
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if not number.is_finite():
        raise ValueError("it is not finite")
    fitted = number.quantize(Decimal(1).scaleb(-18), context=_WIDE) if number else Decimal(0)
    if fitted != number:
        raise ValueError("it has more than 18 digits after the point")
    if fitted.copy_abs() >= Decimal(10) ** 20:
        raise ValueError("it has more than 20 digits before the point")
    return fitted


def _wide_context() -> Any:
    import decimal

    return decimal.Context(prec=100)


_WIDE = _wide_context()


def _datetime(value: Any) -> int:
    """Microseconds since 1970: Arrow's own conversion of aware datetimes goes by way of zones."""
    if isinstance(value, str):
        parsed = text.parse_datetime(value)
        if parsed is None:
            raise ValueError("it is no datetime")
        value = parsed
    elif not isinstance(value, dt.datetime):
        if not isinstance(value, dt.date):
            raise TypeError("it is no datetime")
        value = dt.datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=text.UTC)
    return int((value - text.EPOCH) // text.MICROSECOND)


def _timespan(value: Any) -> int:
    if isinstance(value, dt.timedelta):
        ticks: int | None = text.ticks_of_timedelta(value)
    elif isinstance(value, str):
        ticks = text.parse_timespan(value)
    else:
        ticks = int(value)
    if ticks is None or not text.LEAST_TICKS <= ticks <= text.GREATEST_TICKS:
        raise ValueError("it is no timespan")
    return ticks


def _guid(value: Any) -> bytes:
    if isinstance(value, uuid.UUID):
        return value.bytes
    parsed = text.parse_guid(value) if isinstance(value, str) else None
    if parsed is None:
        raise ValueError("it is no guid")
    return parsed.bytes


def _json(value: Any) -> str:
    from spark_kusto.types.json_text import dumps

    return dumps(value)


_FROM_PYTHON: dict[KustoType, Callable[[Any], Any]] = {
    KustoType.BOOL: _bool,
    KustoType.INT: _integer(-(2**31), 2**31 - 1),
    KustoType.LONG: _integer(-(2**63), 2**63 - 1),
    KustoType.REAL: float,
    KustoType.DECIMAL: _decimal,
    KustoType.STRING: text.text_of,
    KustoType.DATETIME: _datetime,
    KustoType.TIMESPAN: _timespan,
    KustoType.GUID: _guid,
    KustoType.DYNAMIC: _json,
}
