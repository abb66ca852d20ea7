"""Running the registry's Python: functions over Arrow batches, operators over Arrow tables.

The engine calls this through ``registry.udf`` and ``registry.run_stage``. No connections here.
"""

from __future__ import annotations

import datetime as dt
import inspect
import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spark_kusto.kql import registry
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.kql.compiled import EachStage, PythonFunction, PythonStage

_EPOCH = dt.datetime(1970, 1, 1)


@dataclass(frozen=True)
class Udf:
    """Arguments of DuckDB's ``create_function``:
    ``connection.create_function(udf.name, udf.run, udf.parameters, udf.returns, type="arrow",
    null_handling="special", exception_handling="default")``.

    Attributes:
        parameters: DuckDB type names.
        returns: DuckDB type name.
        run: Arrow arrays in, one Arrow array out.
    """

    name: str
    parameters: list[str]
    returns: str
    run: Callable[..., Any] = field(compare=False)


def _duckdb_type(kind: KustoType) -> str:
    # Arrow UDFs exchange guids as text: their Arrow form differs between DuckDB's versions.
    return "VARCHAR" if kind is KustoType.GUID else kind.duckdb


def _from_json(text: str) -> Any:
    return json.loads(text)


_READERS: dict[KustoType, Callable[[Any], Any]] = {
    KustoType.DYNAMIC: _from_json,
    KustoType.GUID: uuid.UUID,
}


def timespan_text(ticks: int) -> str:
    """Kusto's text of a timespan: ``[-][d.]hh:mm:ss[.fffffff]``."""
    sign, ticks = ("-", -ticks) if ticks < 0 else ("", ticks)
    seconds, fraction = divmod(ticks, 10_000_000)
    days, seconds = divmod(seconds, 86_400)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if days:
        text = f"{days}.{text}"
    return f"{sign}{text}.{fraction:07}" if fraction else f"{sign}{text}"


def _plain(value: Any) -> Any:
    """A value that ``json`` cannot write, as Kusto's dynamic text has it."""
    if isinstance(value, dt.datetime):
        value = value.astimezone(dt.timezone.utc).replace(tzinfo=None) if value.tzinfo else value
        return f"{value.isoformat(timespec='microseconds')}0Z"
    if isinstance(value, dt.timedelta):
        return timespan_text(round(value / dt.timedelta(microseconds=1)) * 10)
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return list(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no dynamic form")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if value in (float("inf"), float("-inf")):
            return "Infinity" if value > 0 else "-Infinity"
        return value
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    return value


def to_json(value: Any) -> str | None:
    """JSON text of a dynamic value; None stays None (a null has no text).

    NaN and infinities, which JSON has not, become strings, as Kusto prints them.
    """
    if value is None:
        return None
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), default=_plain, ensure_ascii=False, separators=(",", ":"))


def _to_int(bits: int) -> Callable[[Any], Any]:
    half = 1 << (bits - 1)

    def convert(value: Any) -> Any:
        return None if value is None else (int(value) + half) % (half * 2) - half

    return convert


def _to_datetime(value: Any) -> Any:
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.timezone.utc).replace(tzinfo=None)
    return value


def _to_ticks(value: Any) -> Any:
    if isinstance(value, dt.timedelta):
        return (value.days * 86_400 + value.seconds) * 10_000_000 + value.microseconds * 10
    return value


_WRITERS: dict[KustoType, Callable[[Any], Any]] = {
    KustoType.DYNAMIC: to_json,
    KustoType.GUID: lambda value: None if value is None else str(value),
    KustoType.STRING: lambda value: "" if value is None else str(value),
    KustoType.INT: _to_int(32),
    KustoType.LONG: _to_int(64),
    KustoType.REAL: lambda value: None if value is None else float(value),
    KustoType.BOOL: lambda value: None if value is None else bool(value),
    KustoType.DATETIME: _to_datetime,
    KustoType.TIMESPAN: _to_ticks,
}


def _arrow_type(kind: KustoType) -> pa.DataType:
    import pyarrow

    return pyarrow.string() if kind is KustoType.GUID else kind.arrow_storage()


def python_values(array: Any, kind: KustoType, *, is_list: bool = False) -> list[Any]:
    """Python values of an Arrow array in storage form (timespans as int ticks)."""
    values: list[Any] = array.to_pylist()
    read = _READERS.get(kind)
    if read is None:
        return values
    if is_list:
        return [
            None if items is None else [None if item is None else read(item) for item in items]
            for items in values
        ]
    return [None if value is None else read(value) for value in values]


def arrow_values(values: list[Any], kind: KustoType) -> pa.Array:
    """An Arrow array in storage form (guid as text) from Python values."""
    import pyarrow

    write = _WRITERS.get(kind)
    if write is not None:
        values = [write(value) for value in values]
    return pyarrow.array(values, _arrow_type(kind))


def _per_value(row: registry.PythonRow, function: PythonFunction) -> Callable[..., Any]:
    call = row.function
    kinds = function.parameters
    readers = [_READERS.get(kind) for kind in kinds]
    empty = "" if function.returns is KustoType.STRING else None
    skips_null = not row.calls_on_null

    def of_lists(*arrays: Any) -> Any:
        columns = [
            python_values(array, kind, is_list=position < row.lists)
            for position, (array, kind) in enumerate(zip(arrays, kinds, strict=True))
        ]
        return arrow_values([call(*values) for values in zip(*columns, strict=True)], function.returns)

    def answer(values: list[Any]) -> Any:
        if skips_null and any(value is None for value in values):
            return empty
        return call(*values)

    def run(*arrays: Any) -> Any:
        """Calls the function once for each different row of arguments."""
        import pyarrow

        length = len(arrays[0])
        if not length:
            return arrow_values([], function.returns)
        values: list[Any] = [None] * len(arrays)
        varying: list[int] = []
        for place, array in enumerate(arrays):
            if _is_constant(array):
                values[place] = _read(array[0].as_py(), readers[place])
            else:
                varying.append(place)
        if not varying:
            return pyarrow.repeat(arrow_values([answer(values)], function.returns)[0], length)
        if len(varying) == 1:
            (place,) = varying
            encoded = _encoded(arrays[place])
            given = encoded.dictionary.to_pylist()
            indices = encoded.indices
        else:
            known: dict[tuple[Any, ...], int] = {}
            columns = [arrays[place].to_pylist() for place in varying]
            numbers = [known.setdefault(each, len(known)) for each in zip(*columns, strict=True)]
            given = list(known)
            indices = pyarrow.array(numbers, pyarrow.int32())
        answers = []
        for each in given:
            if len(varying) == 1:
                values[place] = _read(each, readers[place])
            else:
                for position, value in zip(varying, each, strict=True):
                    values[position] = _read(value, readers[position])
            answers.append(answer(values))
        found = arrow_values(answers, function.returns)
        return found if len(given) == length else found.take(indices)

    return of_lists if row.lists else run


def _read(value: Any, reader: Callable[[Any], Any] | None) -> Any:
    return value if reader is None or value is None else reader(value)


def _is_constant(array: Any) -> bool:
    """Whether an array holds one value throughout, as constant arguments do."""
    import pyarrow
    import pyarrow.compute as pc

    first, last = array[0].as_py(), array[len(array) - 1].as_py()
    if first is None or first != last:
        return first is None and array.null_count == len(array)
    if array.null_count:
        return False
    if len(array) < 3:
        return True
    return bool(pc.all(pc.equal(array, pyarrow.scalar(first, array.type))).as_py())


def _encoded(array: Any) -> Any:
    import pyarrow

    if isinstance(array, pyarrow.ChunkedArray):
        array = array.combine_chunks()
    return array.dictionary_encode("encode")


def udf(function: PythonFunction) -> Udf:
    """See ``registry.udf``."""
    import numpy

    row = registry.python_row(function.name)
    kinds = [_duckdb_type(kind) for kind in function.parameters]
    kinds = [f"{kind}[]" if place < row.lists else kind for place, kind in enumerate(kinds)]
    run = row.function if row.vectorised else _per_value(row, function)

    def call(*arrays: Any) -> Any:
        # Overflows and the like give infinities and NaN, as they do in Kusto, without warnings.
        with numpy.errstate(all="ignore"):
            return run(*arrays)

    # DuckDB counts parameters by the signature.
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(f"a{place}", inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for place in range(len(kinds))
        ]
    )
    return Udf(function.sql_name, kinds, _duckdb_type(function.returns), call)


def run_stage(stage: PythonStage, tables: Sequence[pa.Table]) -> pa.Table:
    """See ``registry.run_stage``."""
    import pyarrow

    row = registry.operator_row(stage.operator)
    named = [
        table.select([column.sql_name for column in columns]).rename_columns(
            [column.name for column in columns]
        )
        for table, columns in zip(tables, stage.input_columns, strict=True)
    ]
    answer = row.run(named, stage.arguments)
    arrays = [
        _in_storage_form(answer.column(position), column.type)
        for position, column in enumerate(stage.columns)
    ]
    return pyarrow.table(arrays, names=[column.sql_name for column in stage.columns])


def _in_storage_form(array: Any, kind: KustoType) -> Any:
    import pyarrow

    wanted = _arrow_type(kind)
    if array.type != wanted and not (kind is KustoType.GUID and array.type == pyarrow.uuid()):
        array = array.cast(wanted)
    if kind is KustoType.STRING and array.null_count:
        array = array.fill_null("")
    return array


def run_each(
    stage: EachStage, tables: Mapping[str, pa.Table], run: Callable[[Mapping[str, pa.Table]], pa.Table]
) -> pa.Table:
    """See ``registry.run_each``."""
    import pyarrow

    keys = tables[stage.groups].column(stage.key)
    members = []
    for rows in stage.rows:
        table = tables[rows.input]
        places: dict[str, list[int]] = {}
        for place, value in enumerate(table.column(rows.key).to_pylist()):
            # By their text, under which NaN is itself.
            places.setdefault(repr(value), []).append(place)
        given = table.select(list(dict.fromkeys(column.sql_name for column in rows.columns)))
        members.append((rows.relation, given, places))
    columns = list({column.sql_name: column for column in stage.columns[1:]}.values())
    parts: list[list[Any]] = [[] for _ in columns]
    of_key: list[int] = []
    for number, key in enumerate(keys.to_pylist()):
        found = {
            name: given.take(pyarrow.array(places.get(repr(key), []), pyarrow.int64()))
            for name, given, places in members
        }
        answer = run(found)
        of_key.extend([number] * answer.num_rows)
        for column, chunks in zip(columns, parts, strict=True):
            chunks.extend(_in_storage_form(answer.column(column.sql_name), column.type).chunks)
    arrays = [keys.take(pyarrow.array(of_key, pyarrow.int64()))]
    for column, chunks in zip(columns, parts, strict=True):
        kind = chunks[0].type if chunks else _arrow_type(column.type)
        arrays.append(pyarrow.chunked_array(chunks, kind))
    names = [stage.columns[0].sql_name, *(column.sql_name for column in columns)]
    return pyarrow.table(arrays, names=names)
