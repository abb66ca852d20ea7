"""Taking in Parquet files that others wrote into an operation's staging folder, Spark above all.

A file that keeps the rules of extents (field ids, zone-less datetimes, no null strings, no bounds that
leave NaN out, types that DuckDB reads as ours without loss) becomes an extent as it is. Any other one
is written anew from its values, which checks each of them.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import IngestError, SchemaMismatchError
from spark_kusto.storage import files as fs
from spark_kusto.storage.model import IngestOperation, StagedFile, StoredColumn
from spark_kusto.storage.staging import renew_lease, stage_batches
from spark_kusto.storage.statistics import UNBOUNDED, Observed, encode_statistics, footer_statistics
from spark_kusto.types import KustoType
from spark_kusto.types.storing import GREATEST_DATETIME, LEAST_DATETIME, check_can_store, kusto_type_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FIELD_ID_KEY = b"PARQUET:field_id"
_ROWS_READ = 65_536


def adopt(operation: IngestOperation, path: str) -> list[StagedFile]:
    """Make a Parquet file in the staging folder one that a commit takes.

    Columns are found by field id, or by name in a file without ids. The file at ``path`` is gone
    afterwards: renamed, or replaced by the returned ones.

    Args:
        operation: from ``Database.begin_ingest``.
        path: a file in ``operation.staging``.

    Returns:
        What to commit; nothing for a file without rows.

    Raises:
        IngestError: the file cannot be read as Parquet.
        SchemaMismatchError: it has a column that the operation lacks.
        TypeConversionError: a column's type or a value does not fit.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if os.path.dirname(os.path.abspath(path)) != os.path.abspath(operation.staging):
        raise IngestError(
            f"'{path}' is not in the staging folder '{operation.staging}' of its operation.",
            remedy="Write the file there, then adopt it.",
        )
    renew_lease(operation)
    try:
        with pq.ParquetFile(path) as file:
            columns = _columns_of(operation, file.schema_arrow)
            if not file.metadata.num_rows:
                staged: list[StagedFile] = []
            elif _keeps_rules(file, columns):
                return [_take(operation, file, path, columns)]
            else:
                staged = stage_batches(operation, _batches(file, columns))
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise fs.translate(error, "read", path) from error
        raise IngestError(
            f"'{path}' cannot be read as Parquet: {str(error).splitlines()[0]}.",
            remedy="Stage the data again.",
        ) from error
    fs.remove_file(path)
    return staged


def _columns_of(operation: IngestOperation, schema: pa.Schema) -> dict[int, StoredColumn]:
    """The operation's column at every position of the file."""
    by_id = {column.id: column for column in operation.columns}
    by_name = {column.name: column for column in operation.columns}
    found: dict[int, StoredColumn] = {}
    for position, field in enumerate(schema):
        field_id = field_id_of(field)
        column = by_name.get(field.name) if field_id is None else by_id.get(field_id)
        if column is None or column in found.values():
            problem = "twice" if column is not None else "that the table lacks"
            raise SchemaMismatchError(
                f"The staged file has a column '{field.name}' {problem}.",
                columns=[field.name],
                remedy="Write exactly the operation's columns, each with its field id.",
            )
        check_can_store(column.name, _source_type(field, column), column.type)
        found[position] = column
    return found


def _source_type(field: pa.Field, column: StoredColumn) -> KustoType:
    import pyarrow.types as at

    if column.type is KustoType.TIMESPAN and at.is_int64(field.type):
        return KustoType.TIMESPAN
    return kusto_type_of(field)


def field_id_of(field: pa.Field) -> int | None:
    """The Parquet field id of a field that was read from a file; None if it has none."""
    text = (field.metadata or {}).get(FIELD_ID_KEY)
    return None if text is None else int(text)


def _keeps_rules(file: pq.ParquetFile, columns: Mapping[int, StoredColumn]) -> bool:
    schema = file.schema_arrow
    for position, column in columns.items():
        field = schema.field(position)
        if field_id_of(field) is None or not _reads_as(field.type, column.type):
            return False
        chunks = [
            file.metadata.row_group(group).column(position).statistics
            for group in range(file.metadata.num_row_groups)
        ]
        if column.type is KustoType.STRING and not all(
            chunk is not None and chunk.has_null_count and chunk.null_count == 0 for chunk in chunks
        ):
            return False
        if column.type is KustoType.REAL and _bounds_hide_nan(file, position, chunks):
            return False
        if column.type is KustoType.DATETIME and not _years_fit(chunks):
            return False
    return True


def _reads_as(kind: Any, type: KustoType) -> bool:
    """Whether DuckDB, told to read a Parquet column as a type, gives each of its values as ours."""
    import pyarrow as pa
    import pyarrow.types as at

    small = at.is_int8(kind) or at.is_int16(kind) or at.is_int32(kind)
    if type is KustoType.BOOL:
        return bool(at.is_boolean(kind))
    if type is KustoType.INT:
        return bool(small)
    if type is KustoType.LONG:
        return bool(small or at.is_int64(kind))
    if type is KustoType.REAL:
        return bool(at.is_float32(kind) or at.is_float64(kind))
    if type is KustoType.DECIMAL:
        return bool(at.is_decimal(kind) and kind.scale <= 18 and kind.precision - kind.scale <= 20)
    if type is KustoType.DATETIME:
        return bool(at.is_date32(kind) or kind == pa.timestamp("us"))
    if type is KustoType.TIMESPAN:
        return bool(at.is_int64(kind))
    if type is KustoType.GUID:
        return isinstance(kind, pa.UuidType)
    return bool(at.is_string(kind))


def _years_fit(chunks: list[Any]) -> bool:
    for chunk in chunks:
        if chunk is None or not chunk.has_min_max:
            if chunk is not None and not chunk.num_values:
                continue
            return False
        try:
            raw = (chunk.min_raw, chunk.max_raw)
        except (ValueError, OverflowError):
            return False
        # Days or microseconds: what fits in days of year 9999 is a day.
        if chunk.physical_type == "INT32":
            raw = (raw[0] * 86_400_000_000, raw[1] * 86_400_000_000)
        if raw[0] < LEAST_DATETIME or raw[1] > GREATEST_DATETIME:
            return False
    return True


def _bounds_hide_nan(file: pq.ParquetFile, position: int, chunks: list[Any]) -> bool:
    """Whether readers would lose rows of NaN by the footer's bounds of a real column.

    The Java writer, and so Spark, puts NaN above all numbers, as readers compare; others leave it out.
    """
    import pyarrow.compute as pc

    if (file.metadata.created_by or "").startswith("parquet-mr"):
        return False
    for group, chunk in enumerate(chunks):
        if chunk is not None and chunk.has_min_max and chunk.max == chunk.max:
            values = file.read_row_group(group, columns=[file.schema_arrow.field(position).name]).column(0)
            if pc.any(pc.is_nan(values)).as_py():
                return True
    return False


def _take(
    operation: IngestOperation, file: pq.ParquetFile, path: str, columns: Mapping[int, StoredColumn]
) -> StagedFile:
    extent_id = str(uuid.uuid4())
    target = os.path.join(operation.staging, f"{extent_id}.parquet")
    observed = Observed()
    for position, column in columns.items():
        if column.type in UNBOUNDED:
            name = file.schema_arrow.field(position).name
            for batch in file.iter_batches(batch_size=_ROWS_READ, columns=[name]):
                observed.add(column, batch.column(0))
    statistics = footer_statistics(file.metadata, columns, observed)
    groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    with fs.storage_errors("take in", path):
        os.rename(path, target)
        fs.sync_file(target)
        size = os.stat(target).st_size
    fs.reached("adopt.renamed")
    return StagedFile(
        operation_id=operation.id,
        extent_id=extent_id,
        path=target,
        row_count=file.metadata.num_rows,
        size=size,
        original_size=sum(group.total_byte_size for group in groups),
        fields={
            column.id: field_id_of(file.schema_arrow.field(position)) or column.id
            for position, column in columns.items()
        },
        row_groups=tuple(group.num_rows for group in groups),
        encoded_statistics=encode_statistics({c.id: c.type for c in columns.values()}, statistics),
    )


def _batches(file: pq.ParquetFile, columns: Mapping[int, StoredColumn]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    from spark_kusto.types.table import KUSTO_TYPE_KEY

    fields = []
    for position, column in columns.items():
        kind = file.schema_arrow.field(position).type
        # Tells int64 ticks from numbers, and text that is JSON from text that is to become JSON.
        own = column.type in (KustoType.TIMESPAN, KustoType.DYNAMIC) and _reads_as(kind, column.type)
        metadata = {KUSTO_TYPE_KEY: column.type.value.encode()} if own else None
        fields.append(pa.field(column.name, kind, metadata=metadata))
    schema = pa.schema(fields)
    for batch in file.iter_batches(batch_size=_ROWS_READ):
        yield pa.RecordBatch.from_arrays([batch.column(position) for position in columns], schema=schema)
