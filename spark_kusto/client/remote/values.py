"""Values of JSON answers in the form in which queries pass them on: storage forms, guids as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.engine.running import storage_text_schema
from spark_kusto.errors import TypeConversionError
from spark_kusto.types import Column, KustoType
from spark_kusto.types.json_text import dumps
from spark_kusto.types.results import storage_array
from spark_kusto.types.text import parse_timespan

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 16_384

# The same text as of `dumps`, without making an encoder for every value.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)

_NOT_NUMBERS = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "inf": float("inf"),
    "-infinity": float("-inf"),
    "-inf": float("-inf"),
}


def batches_of_rows(
    rows: Iterable[Sequence[Any]], columns: Sequence[Column], size: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Rows of an answer as record batches; none where there are no rows.

    Raises:
        TypeConversionError: a value is not one of its column's type.
    """
    pending: list[Sequence[Any]] = []
    for row in rows:
        pending.append(row)
        if len(pending) >= size:
            yield batch_of_rows(pending, columns)
            pending = []
    if pending:
        yield batch_of_rows(pending, columns)


def batch_of_rows(rows: Sequence[Sequence[Any]], columns: Sequence[Column]) -> pa.RecordBatch:
    """Rows of an answer as one record batch."""
    import pyarrow as pa

    schema = storage_text_schema(columns)
    if not columns:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * len(rows), pa.struct([])))
    try:
        values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
        if len(values) != len(columns):
            raise ValueError
    except ValueError:
        raise TypeConversionError(
            f"A row of the answer has another number of values than the {len(columns)} columns it has."
        ) from None
    arrays = [_array(list(part), column) for part, column in zip(values, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: list[Any], column: Column) -> pa.Array:
    import pyarrow as pa

    make = _MAKERS.get(column.type)
    try:
        if make is not None:
            return make(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError, OverflowError):
        # Value by value: slower, and an error that names the value.
        pass
    prepared = [_plain(value, column.type) for value in values]
    array = storage_array(prepared, column.type, name=column.name)
    return array if column.type is not KustoType.GUID else _guids(values)


def _plain(value: Any, type: KustoType) -> Any:
    if value is None or (value == "" and type is not KustoType.STRING):
        return None
    if type is KustoType.REAL and isinstance(value, str):
        return _NOT_NUMBERS.get(value.lower(), value)
    if type in (KustoType.INT, KustoType.LONG) and isinstance(value, str):
        return int(value)
    if type is KustoType.BOOL and isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), value)
    return value


def _bools(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    # Version 1 has them as 0 and 1.
    return pa.array(
        [None if v is None else bool(v) if v in (0, 1) else _refused(v) for v in values], pa.bool_()
    )


def _refused(value: Any) -> Any:
    raise ValueError(value)


def _integers(kind: str) -> Callable[[list[Any]], Any]:
    def make(values: list[Any]) -> pa.Array:
        import pyarrow as pa

        return pa.array(values, getattr(pa, kind)())

    return make


def _reals(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    if any(isinstance(value, str) for value in values):
        values = [
            _NOT_NUMBERS[v.lower()] if isinstance(v, str) and v.lower() in _NOT_NUMBERS else v for v in values
        ]
    return pa.array(values, pa.float64())


def _strings(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array(["" if value is None else value for value in values], pa.string())


def _datetimes(values: list[Any]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array(values, pa.string())
    # The seventh digit is dropped, as everywhere.
    plain = pc.replace_substring_regex(texts, pattern=r"^(.{19})(\.\d{1,6})?\d*Z?$", replacement=r"\1\2")
    return plain.cast(pa.timestamp("us"))


def _timespans(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    known: dict[str, int] = {}
    for value in set(values):
        if value is not None:
            ticks = parse_timespan(value)
            if ticks is None:
                raise ValueError(value)
            known[value] = ticks
    return pa.array([None if v is None else known[v] for v in values], pa.int64())


def _guids(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array([None if not v else str(v).lower() for v in values], pa.string())


def _dynamics(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array([_json_text(value) for value in values], pa.string())


def _json_text(value: Any) -> str | None:
    """JSON text of a dynamic value, which comes as JSON or (in version 1) as its text."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and value[0] in "{[":
        try:
            value = json.loads(value)
        except ValueError:
            pass
    try:
        return _ENCODER.encode(value)
    except ValueError:
        return dumps(value)


_MAKERS: dict[KustoType, Callable[[list[Any]], Any]] = {
    KustoType.BOOL: _bools,
    KustoType.INT: _integers("int32"),
    KustoType.LONG: _integers("int64"),
    KustoType.REAL: _reals,
    KustoType.STRING: _strings,
    KustoType.DATETIME: _datetimes,
    KustoType.TIMESPAN: _timespans,
    KustoType.GUID: _guids,
    KustoType.DYNAMIC: _dynamics,
}
