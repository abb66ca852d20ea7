"""Ingestion of whole data sets in this process: Arrow, pandas, and files by path."""

from __future__ import annotations

import copy
import glob
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace as replaced
from typing import IO, TYPE_CHECKING, Any

from spark_kusto.engine import mappings
from spark_kusto.engine.converting import to_stored
from spark_kusto.engine.formats.names import Format, format_named, format_of_path, opened
from spark_kusto.engine.ingesting import IngestOutcome
from spark_kusto.engine.properties import IngestProperties, Replace
from spark_kusto.engine.records import Fields, Reading, read_tables, too_many_errors
from spark_kusto.errors import IngestError, OptionError, UnsupportedError, redact
from spark_kusto.types import Column, KustoType, columns_from_arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.engine.engine import Engine
    from spark_kusto.storage import ChangeContext, Database, TableSnapshot


def ingest_data(
    engine: Engine,
    database: Database,
    table: str,
    data: object,
    *,
    create: bool,
    replace: Replace | None,
    properties: IngestProperties,
    writer_id: str | None = None,
    batch_id: int | None = None,
) -> IngestOutcome:
    """Ingest an Arrow table, batches or reader, a pandas DataFrame, or a path or list of paths.

    Raises:
        OptionError: the data is of no such kind.
        IngestError: it cannot be read, or does not fit; nothing is stored then.
    """
    context = engine.context(f".ingest into table {table}")
    paths = given_paths(data)
    if paths is not None:
        return ingest_files(
            engine,
            database,
            table,
            paths,
            create=create,
            replace=replace,
            properties=properties,
            writer_id=writer_id,
            batch_id=batch_id,
            context=context,
        )
    columns, batches = arrow_data(data)
    return engine.ingesting.ingest_batches(
        database,
        table,
        columns,
        batches,
        create=create,
        replace=replace,
        properties=properties,
        writer_id=writer_id,
        batch_id=batch_id,
        context=context,
    )


def given_paths(data: object) -> list[str] | None:
    if isinstance(data, str | os.PathLike):
        return [os.fspath(data)]
    if isinstance(data, list | tuple) and data and all(isinstance(item, str | os.PathLike) for item in data):
        return [os.fspath(item) for item in data]
    return None


def arrow_data(data: object) -> tuple[tuple[Column, ...], Iterable[pa.RecordBatch]]:
    import pyarrow

    if isinstance(data, pyarrow.Table):
        return columns_from_arrow(data.schema), data.to_batches(max_chunksize=131_072)
    if isinstance(data, pyarrow.RecordBatchReader):
        return columns_from_arrow(data.schema), data
    if isinstance(data, pyarrow.RecordBatch):
        return columns_from_arrow(data.schema), [data]
    if type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "dtypes"):
        return _pandas(data)
    if hasattr(data, "__arrow_c_stream__"):
        reader = pyarrow.RecordBatchReader.from_stream(data)
        return columns_from_arrow(reader.schema), reader
    if isinstance(data, list | tuple) and data and all(isinstance(b, pyarrow.RecordBatch) for b in data):
        return columns_from_arrow(data[0].schema), data
    raise OptionError(
        f"Data of the type {type(data).__name__} cannot be ingested.",
        remedy="Give an Arrow table, reader or batches, a pandas DataFrame, or the paths of files.",
    )


def _pandas(data: Any) -> tuple[tuple[Column, ...], Iterable[pa.RecordBatch]]:
    import pyarrow

    names = [str(name) for name in data.columns]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise OptionError(f"The DataFrame has several columns '{twice}'.", remedy="Rename one of them.")
    try:
        table = pyarrow.Table.from_pandas(data, preserve_index=False)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError) as error:
        raise IngestError(
            f"The DataFrame cannot be converted to Arrow: {str(error).splitlines()[0]}",
            remedy="Give each column one type (astype), or convert mixed columns to str.",
        ) from error
    table = table.rename_columns(names).replace_schema_metadata(None)
    return columns_from_arrow(table.schema), table.to_batches(max_chunksize=131_072)


# -- files --------------------------------------------------------------------------------------------


def ingest_files(
    engine: Engine,
    database: Database,
    table: str,
    paths: Sequence[str],
    *,
    create: bool = False,
    replace: Replace | None = None,
    properties: IngestProperties,
    writer_id: str | None = None,
    batch_id: int | None = None,
    context: ChangeContext | None = None,
) -> IngestOutcome:
    """Ingest files in one commit."""
    local = [path for given in paths for path in local_paths(given)]
    kinds = [_format(path, properties) for path in local]
    known = database.snapshot().tables.get(table)
    columns: Sequence[Column]
    if known is not None and not properties.recreate_schema:
        columns = [column.column for column in known.columns]
    elif create or properties.recreate_schema:
        columns = _columns_of_file(local[0], kinds[0], properties)
    else:
        columns = [column.column for column in database.snapshot().table(table).columns]
    items = engine.ingesting.mapping(database, known, table, properties, kinds[0].mapping_kind)
    if items is not None and properties.extend_schema:
        columns = [*columns, *mappings.new_columns(items, columns)]
    reading = Reading()

    def batches() -> Iterator[pa.RecordBatch]:
        for path, kind in zip(local, kinds, strict=True):
            fields = _fields(items, columns, kind, known)
            with opened(path, zip_pattern=properties.zip_pattern, gz_as_is=properties.gz_as_is) as streams:
                for stream in streams:
                    yield from _batches(stream, kind, fields, path, properties, reading)

    plain = _without_mapping(properties)
    outcome = engine.ingesting.ingest_batches(
        database,
        table,
        _targets(items, columns),
        batches(),
        create=create,
        replace=replace,
        properties=plain,
        writer_id=writer_id,
        batch_id=batch_id,
        context=context,
    )
    return replaced(outcome, errors=reading.errors)


def ingest_text(
    engine: Engine,
    database: Database,
    table: TableSnapshot,
    text: str,
    properties: IngestProperties,
    context: ChangeContext | None = None,
) -> IngestOutcome:
    """Ingest the data of ``.ingest inline``."""
    return ingest_stream(
        engine,
        database,
        table,
        io.BytesIO(text.encode("utf-8")),
        format_named(properties.format or "csv"),
        properties,
        source="inline data",
        context=context,
    )


def ingest_stream(
    engine: Engine,
    database: Database,
    table: TableSnapshot,
    stream: IO[bytes],
    kind: Format,
    properties: IngestProperties,
    *,
    source: str,
    mode: str = "transactional",
    context: ChangeContext | None = None,
) -> IngestOutcome:
    """Ingest data of a format from an open stream."""
    columns: Sequence[Column] = [column.column for column in table.columns]
    items = engine.ingesting.mapping(database, table, table.name, properties, kind.mapping_kind)
    if items is not None and properties.extend_schema:
        columns = [*columns, *mappings.new_columns(items, columns)]
    fields = _fields(items, columns, kind, table)
    reading = Reading()
    outcome = engine.ingesting.ingest_batches(
        database,
        table.name,
        _targets(items, columns),
        _batches(stream, kind, fields, source, properties, reading),
        properties=_without_mapping(properties),
        mode=mode,
        context=context,
    )
    return replaced(outcome, errors=reading.errors)


def _targets(items: Sequence[mappings.MappingItem] | None, columns: Sequence[Column]) -> list[Column]:
    if items is None:
        return list(columns)
    return [column for column, _ in mappings.resolve(items, columns)]


def _fields(
    items: Sequence[mappings.MappingItem] | None,
    columns: Sequence[Column],
    kind: Format,
    table: TableSnapshot | None,
) -> Fields:
    chosen = items if items is not None else mappings.default_mapping(columns, kind.mapping_kind)
    fields = mappings.resolve(chosen, columns)
    if not fields:
        name = "" if table is None else f" of table '{table.name}'"
        raise OptionError(
            f"The mapping fills none of the columns{name}.",
            remedy=f"Columns are {', '.join(column.name for column in columns)}.",
        )
    return fields


def _batches(
    stream: IO[bytes],
    kind: Format,
    fields: Fields,
    source: str,
    properties: IngestProperties,
    reading: Reading,
) -> Iterator[pa.RecordBatch]:
    allowed = properties.maximum_errors_allowed
    columns = [column for column, _ in fields]
    shown = source if source == "inline data" else f"'{source}'"
    tables = read_tables(
        stream,
        kind,
        fields,
        source=source,
        skip_first=properties.ignore_first_record,
        reading=reading if allowed else None,
    )
    while True:
        # What the consumer of the batches raises is not this data's fault.
        try:
            table = next(tables, None)
            if table is not None:
                table = to_stored(
                    table, columns, reading, is_text=kind.is_text, lenient=kind.is_text or bool(allowed)
                )
        except IngestError as error:
            raise _naming(error, source, shown) from error
        if allowed is not None and reading.errors > allowed:
            raise too_many_errors(reading, allowed, shown)
        if table is None:
            return
        yield from table.to_batches()


def _naming(error: IngestError, source: str, shown: str) -> IngestError:
    """The error with the name of the file in it."""
    if source in error.message:
        return error
    named = copy.copy(error)
    named.message = redact(f"{shown}: {error.message}")
    return named


def _without_mapping(properties: IngestProperties) -> IngestProperties:
    """The properties once the mapping has been applied: rows come by name, values are converted."""
    return replaced(
        properties, mapping=None, mapping_name=None, mapping_kind=None, maximum_errors_allowed=None
    )


def _format(path: str, properties: IngestProperties) -> Format:
    return format_named(properties.format) if properties.format else format_of_path(path)


def local_paths(path: str) -> list[str]:
    """The files that a path, pattern or ``file:`` address names.

    Raises:
        IngestError: there are none.
        UnsupportedError: it is a remote address.
    """
    text = path.split(";", 1)[0] if "://" in path else path
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme == "file":
        from urllib.parse import unquote, urlsplit

        text = unquote(urlsplit(text).path)
    elif scheme:
        raise UnsupportedError(
            f"'{text.split('?', 1)[0]}' cannot be ingested from: an embedded cluster reads local files.",
            feature=f"ingestion from {scheme}",
            remedy="Download the data first and give its path.",
        )
    expanded = os.path.abspath(os.path.expanduser(text))
    if os.path.isdir(expanded):
        found = sorted(
            entry.path
            for entry in os.scandir(expanded)
            if entry.is_file() and not entry.name.startswith((".", "_"))
        )
    elif os.path.exists(expanded):
        return [expanded]
    else:
        found = sorted(glob.glob(expanded)) if any(mark in expanded for mark in "*?[") else []
    if not found:
        raise IngestError(
            f"There is no file '{expanded}'.", remedy="Check the path; it is read by this process."
        )
    return found


def _columns_of_file(path: str, kind: Format, properties: IngestProperties) -> list[Column]:
    """Columns for a table that is made from a file.

    Raises:
        UnsupportedError: the format tells no names.
    """
    with opened(path, zip_pattern=properties.zip_pattern, gz_as_is=properties.gz_as_is) as streams:
        if not streams:
            raise IngestError(f"'{path}' holds no file.", remedy="Check the archive and 'zipPattern'.")
        stream = streams[0]
        if kind.name in ("parquet", "orc"):
            from spark_kusto.engine.formats.columnar import columnar_schema

            return list(columns_from_arrow(columnar_schema(stream, kind)))
        if kind.delimiter is not None and properties.ignore_first_record:
            return _columns_of_header(stream, kind, path)
    raise UnsupportedError(
        f"A table cannot be made from '{path}': {kind.name} data names no columns.",
        feature="schema inference",
        remedy="Create the table first (.create table T (a:long, b:string)), or for a csv file with a "
        "header line set ignore_first_record=True.",
    )


def _columns_of_header(stream: IO[bytes], kind: Format, path: str) -> list[Column]:
    """Names from the header line, types from the first megabytes of values."""
    import pyarrow
    import pyarrow.csv

    left_out = 0

    def leave_out(_row: Any) -> str:
        # Records with fewer or more fields are read all the same, later.
        nonlocal left_out
        left_out += 1
        return "skip"

    remedy = f"Check that the file is {kind.name} in UTF-8 with a header line, or create the table first."
    try:
        schema = pyarrow.csv.open_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(block_size=8 << 20),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=kind.delimiter, newlines_in_values=True, invalid_row_handler=leave_out
            ),
        ).schema
        names = schema.names  # which are decoded only now
    except (pyarrow.ArrowInvalid, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise IngestError(f"The columns of '{path}' cannot be told: {reason}", remedy=remedy) from error
    if left_out and all(pyarrow.types.is_null(field.type) for field in schema):
        raise IngestError(
            f"The columns of '{path}' cannot be told: none of its records has as many fields as the header,"
            f" {len(schema)}.",
            remedy=remedy,
        )
    columns = []
    for name, field in zip(names, schema, strict=True):
        kind_of = pyarrow.string() if pyarrow.types.is_null(field.type) else field.type
        found = columns_from_arrow(pyarrow.schema([(name, kind_of)]))[0]
        # pyarrow reads 10:30:00 as a time; a csv column of whole numbers may grow past 32 bits.
        columns.append(found if found.type is not KustoType.INT else Column(found.name, KustoType.LONG))
    return columns
