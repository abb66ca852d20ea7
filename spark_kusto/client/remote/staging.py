"""What executors do for a write to a remote cluster: rows become Parquet blobs, or CSV parts of a message.

Blobs are what the service ingests best. Parts of a message are for streaming ingestion, and for clusters that
lend no storage to a write that names none; they go through the driver, so a task may have only so many.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from spark_kusto.client.cluster import StagedFiles
from spark_kusto.client.staged_writes import scratch_folder
from spark_kusto.engine.converting import to_stored
from spark_kusto.engine.records import Reading
from spark_kusto.errors import IngestError
from spark_kusto.storage import files as fs
from spark_kusto.types import Column, KustoType
from spark_kusto.types.storing import BatchStorer
from spark_kusto.types.text import to_text

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.staging import StagedBlob, UploadGrant

__all__ = ["BlobPart", "Filling", "MessagePart", "RemoteIngest", "stage_remote"]

MESSAGE_BYTES = 64 * 1024 * 1024
"""Bytes, compressed, that one task may send through its message."""


@dataclass(frozen=True)
class Filling:
    """How one column of the table is filled: by a column of the data, or by a constant."""

    column: Column
    source: str | None
    constant: str | None = None


@dataclass(frozen=True)
class RemoteIngest:
    """A begun write to a remote cluster; pickles, and holds the right to upload and no more.

    Attributes:
        operation_id: of the write.
        table_columns: the table's, as they will be, in order.
        fillings: of the columns that the data fills, in the table's order.
        errors_allowed: values that may become null because they do not fit; 0 is strict.
        missing: the table is to be created.
        added: columns that the table is to get.
        directory: the staging directory's name; empty where rows travel in messages.
        grant: what executors upload with; None where rows travel in messages.
        is_lent: the containers are the service's.
        part_bytes: bytes of rows after which another blob or part begins.
        lifetime: how long what is made for the write stays if nobody ends it.
        started: when it was begun, in seconds since 1970.
    """

    operation_id: str
    table_columns: tuple[Column, ...]
    fillings: tuple[Filling, ...]
    errors_allowed: int
    missing: bool
    added: tuple[Column, ...]
    directory: str
    grant: UploadGrant | None
    is_lent: bool
    part_bytes: int
    lifetime: timedelta
    started: float

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that files hold."""
        return tuple(filling.column for filling in self.fillings)

    def stage(self, batches: Iterable[pa.RecordBatch]) -> StagedFiles:
        """See :func:`stage_remote`."""
        return stage_remote(self, batches)


@dataclass(frozen=True)
class BlobPart:
    """A Parquet file that was uploaded.

    Attributes:
        blob: where it is.
        rows: in it.
        raw: bytes of the rows before compression; the service plans its batches by it.
    """

    blob: StagedBlob
    rows: int
    raw: int


@dataclass(frozen=True)
class MessagePart:
    """Rows as gzipped CSV, of all the table's columns in order."""

    data: bytes = field(repr=False)
    rows: int
    raw: int


def stage_remote(ingest: RemoteIngest, batches: Iterable[pa.RecordBatch]) -> StagedFiles:
    """Write batches to where the plan says; the message for the driver.

    Raises:
        StagingError: a file cannot be uploaded; no part of it is visible then.
        TypeConversionError: a value does not fit its column.
        IngestError: rows for a message are too many.
    """
    reading = Reading()
    stored = _stored(ingest, batches, reading)
    parts: list[Any]
    if ingest.grant is not None:
        parts = list(_blobs(ingest, ingest.grant, stored))
    else:
        parts = list(_messages(ingest, stored))
    return StagedFiles(
        operation_id=ingest.operation_id,
        rows=sum(part.rows for part in parts),
        bytes=sum(part.blob.length if isinstance(part, BlobPart) else len(part.data) for part in parts),
        files=tuple(parts),
        errors=reading.errors,
    )


def _stored(
    ingest: RemoteIngest, batches: Iterable[pa.RecordBatch], reading: Reading
) -> Iterator[pa.RecordBatch]:
    """Batches in storage form, with the columns that the data fills."""
    import pyarrow as pa

    by_name = all(f.source == f.column.name and f.constant is None for f in ingest.fillings)
    if by_name and not ingest.errors_allowed:
        storer = BatchStorer(ingest.columns)
        for batch in batches:
            yield from storer.convert(batch)
        return
    for batch in batches:
        if not batch.num_rows:
            continue
        arrays, names = [], []
        for filling in ingest.fillings:
            names.append(filling.column.name)
            if filling.source is None:
                arrays.append(pa.array([filling.constant] * batch.num_rows, pa.string()))
            else:
                arrays.append(batch.column(batch.schema.get_field_index(filling.source)))
        fields = [
            pa.field(name, array.type, metadata=_metadata(batch, filling.source))
            for name, array, filling in zip(names, arrays, ingest.fillings, strict=True)
        ]
        table = pa.Table.from_batches([pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))])
        yield from to_stored(
            table, ingest.columns, reading, is_text=False, lenient=bool(ingest.errors_allowed)
        ).to_batches()


def _metadata(batch: pa.RecordBatch, source: str | None) -> Any:
    return None if source is None else batch.schema.field(source).metadata


# -- blobs ------------------------------------------------------------------------------------------


def _blobs(ingest: RemoteIngest, grant: UploadGrant, batches: Iterator[pa.RecordBatch]) -> Iterator[BlobPart]:
    import pyarrow.parquet as pq

    folder = tempfile.mkdtemp(prefix="spark-kusto-", dir=scratch_folder())
    path = os.path.join(folder, "part.parquet")
    writer: Any = None
    rows = raw = 0
    try:
        for batch in batches:
            if not batch.num_rows:
                continue
            ready = _for_parquet(batch, ingest.columns)
            try:
                if writer is None:
                    # What every release of the service reads.
                    writer = pq.ParquetWriter(path, ready.schema, compression="snappy")
                writer.write_batch(ready)
            except OSError as error:
                raise fs.translate(error, "write to", folder) from error
            rows, raw = rows + ready.num_rows, raw + ready.nbytes
            if raw >= ingest.part_bytes:
                writer.close()
                writer = None
                yield BlobPart(grant.upload_file(path), rows, raw)
                rows = raw = 0
        if writer is not None:
            writer.close()
            writer = None
            yield BlobPart(grant.upload_file(path), rows, raw)
    finally:
        if writer is not None:
            writer.close()
        shutil.rmtree(folder, ignore_errors=True)


def _for_parquet(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> pa.RecordBatch:
    """Storage form as the service reads it from Parquet: spans and guids as text, datetimes as instants."""
    import pyarrow as pa

    arrays = []
    for array, column in zip(batch.columns, columns, strict=True):
        if column.type in (KustoType.TIMESPAN, KustoType.GUID):
            arrays.append(to_text(array, column.type))
        elif column.type is KustoType.DATETIME:
            arrays.append(array.view(pa.timestamp("us", tz="UTC")))
        else:
            arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


# -- messages ---------------------------------------------------------------------------------------


def _messages(ingest: RemoteIngest, batches: Iterator[pa.RecordBatch]) -> Iterator[MessagePart]:
    total = 0
    for part in _csv_parts(ingest, batches):
        total += len(part.data)
        if total > MESSAGE_BYTES:
            raise IngestError(
                f"One task has more than {MESSAGE_BYTES >> 20} MB of rows, too much for the driver.",
                remedy="Use writeMode Transactional or Queued with kustoIngestionStorageContainer"
                " (docs/staging.md), or more partitions.",
            )
        yield part


def _csv_parts(ingest: RemoteIngest, batches: Iterator[pa.RecordBatch]) -> Iterator[MessagePart]:
    pending = io.BytesIO()
    rows = 0

    def part() -> MessagePart:
        text = pending.getvalue()
        return MessagePart(gzip.compress(text, 5, mtime=0), rows, len(text))

    for batch in batches:
        for text, count in _csv(batch, ingest):
            if rows and pending.tell() + len(text) > ingest.part_bytes:
                yield part()
                pending, rows = io.BytesIO(), 0
            pending.write(text)
            rows += count
    if rows:
        yield part()


def _csv(batch: pa.RecordBatch, ingest: RemoteIngest) -> Iterator[tuple[bytes, int]]:
    """CSV of a batch in pieces no larger than a part, but for single rows."""
    if not batch.num_rows:
        return
    text = csv_text(batch, ingest.columns, ingest.table_columns)
    if len(text) > ingest.part_bytes and batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _csv(batch.slice(0, half), ingest)
        yield from _csv(batch.slice(half), ingest)
    else:
        yield text, batch.num_rows


def csv_text(batch: pa.RecordBatch, columns: tuple[Column, ...], table: tuple[Column, ...]) -> bytes:
    """A batch in storage form as CSV with the table's columns in order; null is an empty field."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv

    places = {column.name: place for place, column in enumerate(columns)}
    arrays = []
    for column in table:
        place = places.get(column.name)
        if place is None:
            arrays.append(pa.array([""] * batch.num_rows, pa.string()))
            continue
        array = batch.column(place)
        if column.type not in (KustoType.STRING, KustoType.DYNAMIC):
            array = to_text(array, column.type)
        arrays.append(pc.fill_null(array.cast(pa.string()), ""))
    out = pa.BufferOutputStream()
    pyarrow.csv.write_csv(
        pa.Table.from_arrays(arrays, names=[f"c{place}" for place in range(len(arrays))]),
        out,
        # Every field in quotes: a row of one empty field is a row.
        pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid"),
    )
    text: bytes = out.getvalue().to_pybytes()
    return text
