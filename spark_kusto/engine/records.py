"""From files and inline text to tables of a target's columns, by format and mapping.

Text formats give text, which is converted as Kusto does it: what is not a value of the column's type
becomes null, and is counted. Columnar formats give Arrow columns, converted by ``types.storing``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from spark_kusto.engine.formats.names import Format
from spark_kusto.engine.mappings import MappingItem
from spark_kusto.errors import IngestError, UnsupportedError
from spark_kusto.kql.algorithms import jsonpath
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS = 50_000
"""JSON records turned into one table."""

SAMPLES = 5
"""Errors that are described."""

Fields = Sequence[tuple[Column, MappingItem]]

_UNIX_TICKS = {
    "DateTimeFromUnixSeconds": 1_000_000,
    "DateTimeFromUnixMilliseconds": 1_000,
    "DateTimeFromUnixMicroseconds": 1,
}


@dataclass
class Reading:
    """What a reading of data met.

    Attributes:
        rows: records read.
        errors: values that were not of their column's type, and became null; lines that were no records.
        samples: some of them: column, row (from 0), and the type of the value; or the line.
    """

    rows: int = 0
    errors: int = 0
    samples: list[str] = field(default_factory=list)

    def rejected(self, problem: str) -> None:
        """Count a record that was left out."""
        self.errors += 1
        if len(self.samples) < SAMPLES:
            self.samples.append(problem)


def read_tables(
    stream: IO[bytes],
    kind: Format,
    fields: Fields,
    *,
    source: str,
    skip_first: bool = False,
    reading: Reading | None = None,
) -> Iterator[pa.Table]:
    """Tables with one column for each field, of text for text formats, as the file has it otherwise.

    Args:
        stream: the data.
        kind: its format.
        fields: target columns with what fills them.
        source: the name that the transformation SourceLocation gives.
        skip_first: leave out the first record of csv-like data.
        reading: counts lines that are no JSON, which are left out then.

    Raises:
        IngestError: the data is not of that format.
    """
    if kind.mapping_kind == "csv":
        from spark_kusto.engine.formats.delimited import read_delimited

        line = 2 if skip_first else 1
        for table in read_delimited(stream, kind, skip_first=skip_first):
            yield _by_ordinal(table, fields, source, line)
            line += table.num_rows
    elif kind.name in ("json", "multijson"):
        from spark_kusto.engine.formats.json_records import read_json

        exact = any(column.type is KustoType.DECIMAL for column, _ in fields)
        records = read_json(
            stream,
            multi=kind.name == "multijson",
            exact=exact,
            rejected=None if reading is None else reading.rejected,
        )
        yield from _from_records(records, fields, source)
    elif kind.name == "w3clogfile":
        from spark_kusto.engine.formats.w3c import read_w3c

        yield from _from_records(read_w3c(stream), fields, source)
    elif kind.mapping_kind == "avro":
        from spark_kusto.engine.formats.avro import read_avro

        yield from _from_records(enumerate(read_avro(stream), 1), fields, source)
    else:
        from spark_kusto.engine.formats.columnar import read_columnar

        for table in read_columnar(stream, kind):
            yield _by_name(table, fields, source)


# -- csv --------------------------------------------------------------------------------------------


def _by_ordinal(table: pa.Table, fields: Fields, source: str, line: int) -> pa.Table:
    import pyarrow

    count = table.num_rows
    columns: dict[str, Any] = {}
    for column, item in fields:
        if item.constant is not None:
            values = pyarrow.repeat(pyarrow.scalar(item.constant), count)
        elif item.transform == "SourceLocation":
            values = pyarrow.repeat(pyarrow.scalar(source), count)
        elif item.transform == "SourceLineNumber":
            values = pyarrow.array([str(line + n) for n in range(count)], pyarrow.string())
        elif item.ordinal is not None and item.ordinal < table.num_columns:
            values = table.column(item.ordinal)
        else:
            values = pyarrow.nulls(count, pyarrow.string())
        columns[column.name] = transformed(values, item)
    return pyarrow.table(columns)


# -- JSON and other records ---------------------------------------------------------------------------


def _from_records(records: Iterable[tuple[int, Any]], fields: Fields, source: str) -> Iterator[pa.Table]:
    import pyarrow

    getters = [_getter(column, item, fields, source) for column, item in fields]
    iterator = iter(records)
    while True:
        chunk = list(itertools.islice(iterator, RECORDS))
        if not chunk:
            return
        columns = {}
        for (column, item), get in zip(fields, getters, strict=True):
            texts = pyarrow.array([get(line, record) for line, record in chunk], pyarrow.string())
            columns[column.name] = transformed(texts, item)
        yield pyarrow.table(columns)


def _getter(
    column: Column, item: MappingItem, fields: Fields, source: str
) -> Callable[[int, Any], str | None]:
    from spark_kusto.engine.formats.json_records import json_text, text_of

    write = json_text if column.type is KustoType.DYNAMIC else text_of
    constant = item.constant
    if constant is not None:
        return lambda _line, _record: constant
    if item.transform == "SourceLocation":
        return lambda _line, _record: source
    if item.transform == "SourceLineNumber":
        return lambda line, _record: str(line)
    steps = item.path if item.path is not None else (item.field or column.name,)
    if item.transform == "DropMappedFields":
        mapped = {
            other.path[len(steps)]
            for _, other in fields
            if other.path is not None and other.path[: len(steps)] == steps and len(other.path) > len(steps)
        }
        return lambda _line, record: write(_without(jsonpath.find(record, steps), mapped))
    if item.transform == "PropertyBagArrayToDictionary":
        return lambda _line, record: write(_dictionary(jsonpath.find(record, steps)))
    return lambda _line, record: write(jsonpath.find(record, steps))


def _without(value: Any, names: set[Any]) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key not in names}


def _dictionary(value: Any) -> Any:
    """``[{"n1": 1}, {"n2": 2}]`` as ``{"n1": 1, "n2": 2}``."""
    if not isinstance(value, list):
        return value
    merged: dict[str, Any] = {}
    for item in value:
        if isinstance(item, dict):
            names = {key.lower(): key for key in item}
            if {"key", "value"} <= set(names) and len(item) == 2:
                merged[str(item[names["key"]])] = item[names["value"]]
            else:
                merged.update(item)
    return merged


# -- columnar ---------------------------------------------------------------------------------------


def _by_name(table: pa.Table, fields: Fields, source: str) -> pa.Table:
    import pyarrow
    import pyarrow.compute as pc

    count = table.num_rows
    folded = {name.lower(): name for name in reversed(table.column_names)}
    columns: dict[str, Any] = {}
    for column, item in fields:
        if item.constant is not None:
            columns[column.name] = pyarrow.repeat(pyarrow.scalar(item.constant), count)
            continue
        if item.transform == "SourceLocation":
            columns[column.name] = pyarrow.repeat(pyarrow.scalar(source), count)
            continue
        if item.transform == "SourceLineNumber":
            columns[column.name] = pyarrow.array(range(1, count + 1), pyarrow.int64())
            continue
        if item.ordinal is not None and item.path is None and item.field is None:
            found = table.column(item.ordinal) if item.ordinal < table.num_columns else None
            columns[column.name] = pyarrow.nulls(count) if found is None else transformed(found, item)
            continue
        steps = item.path if item.path is not None else (item.field or column.name,)
        name = str(steps[0])
        name = name if name in table.column_names else folded.get(name.lower(), name)
        if name not in table.column_names:
            columns[column.name] = pyarrow.nulls(count)
            continue
        values = table.column(name)
        for step in steps[1:]:
            if isinstance(step, str) and pyarrow.types.is_struct(values.type):
                known = values.type.get_field_index(step)
                values = pc.struct_field(values, known) if known >= 0 else pyarrow.nulls(count)
            elif isinstance(step, int) and pyarrow.types.is_list(values.type):
                values = pc.list_element(values, step)
            else:
                values = pyarrow.nulls(count)
        columns[column.name] = transformed(values, item)
    return pyarrow.table(columns)


# -- transformations ----------------------------------------------------------------------------------


def transformed(values: Any, item: MappingItem) -> Any:
    """Values after the mapping's transformation, those aside that :func:`_getter` has done."""
    import pyarrow
    import pyarrow.compute as pc

    name = item.transform
    if name in _UNIX_TICKS or name == "DateTimeFromUnixNanoseconds":
        numbers = values
        if pyarrow.types.is_string(values.type) or pyarrow.types.is_large_string(values.type):
            texts = pc.utf8_trim_whitespace(values)
            valid = pc.match_substring_regex(texts, r"^-?\d+(\.\d+)?$")
            numbers = pc.if_else(valid, texts, pyarrow.scalar(None, texts.type)).cast(pyarrow.float64())
        if name == "DateTimeFromUnixNanoseconds":
            micros = pc.divide(numbers.cast(pyarrow.float64()), 1000.0)
        else:
            micros = pc.multiply(numbers.cast(pyarrow.float64()), float(_UNIX_TICKS[name]))
        return pc.round(micros).cast(pyarrow.int64()).cast(pyarrow.timestamp("us"))
    if name == "BytesAsBase64":
        if pyarrow.types.is_string(values.type):
            return values
        from spark_kusto.types.json_text import base64_texts

        chunks = [base64_texts(chunk) for chunk in getattr(values, "chunks", [values])]
        return pyarrow.chunked_array(chunks, pyarrow.string())
    return values


def infer_columns(table: pa.Table, kind: Format) -> tuple[Column, ...]:
    """Columns for a table that is made from a file: of columnar data its own, else text.

    Raises:
        UnsupportedError: the format tells no names.
    """
    from spark_kusto.types import columns_from_arrow

    if kind.is_text:
        raise UnsupportedError(
            f"A table cannot be made from {kind.name} data: it tells no columns.", feature="schema inference"
        )
    return columns_from_arrow(table.schema)


def too_many_errors(reading: Reading, allowed: int, source: str) -> IngestError:
    """The error for data of which more values than allowed are not of their column's type."""
    shown = "; ".join(reading.samples[:5])
    what = "values or lines" if any("is not JSON" in sample for sample in reading.samples) else "values"
    return IngestError(
        f"{reading.errors} {what} of {source} are not of their column's type, and at most {allowed} may be: "
        f"{shown}.",
        code="BadRequest_FormatNotSupported",
        remedy="Correct the data, give the columns other types, or allow more with 'maximumErrorsAllowed'.",
    )
