"""Reads of most of a table: its extents go into blobs as they are, instead of being read and written again.

An extent holds values in the form in which an export would write them, so a reader that picks columns by
field id gives the same batches. That spares the driver the most costly part of a large read. It is done
where the query only picks columns, they are most of the extents' bytes, and extents are about as large as
exported files would be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_kusto.engine.connections import missing_file
from spark_kusto.engine.exporting import ExportSettings, stream_parquet
from spark_kusto.engine.scans import ScanFile, is_virtual
from spark_kusto.kql.compiled import SqlStage

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.engine.activity import Activity
    from spark_kusto.engine.querying import ColumnsRead, Prepared
    from spark_kusto.staging import StagedBlob, StagingDirectory

_LEAST_SHARE = 0.8
"""Share of extents' bytes that the wanted columns have, at least."""

_SMALL_BYTES = 16 * 1024 * 1024
"""Extents that are smaller on average are gathered into exported files, if there are many."""

_COPIES = 2
"""Extents that are uploaded at a time; each in parallel blocks."""


@dataclass(frozen=True)
class ExtentCopy:
    """An extent to be read as it is, and the field ids of the result's columns, in order."""

    file: ScanFile
    fields: tuple[int, ...]


def copies(prepared: Prepared, settings: ExportSettings, least: int) -> list[ExtentCopy] | None:
    """The extents that hold a query's result; None where it has to be exported.

    Args:
        prepared: the query.
        settings: of the export; whoever asks for a size or compression of files gets files of that kind.
        least: files that a large result should have, so that it is read in parallel.
    """
    stage = prepared.query.stages[0]
    if settings.is_asked or not prepared.query.row_wise or len(prepared.query.stages) > 1:
        return None
    if not isinstance(stage, SqlStage) or len(stage.scans) != 1 or len(prepared.sources) != 1:
        return None
    scan = stage.scans[0]
    names = [column.sql_name for column in stage.columns]
    source, read = prepared.sources[scan.id], prepared.reads[scan.id]
    # Columns and nothing else: the statement then is this one, to the letter.
    if stage.sql != f"SELECT {', '.join(names)} FROM {scan.id}" or scan.kind != "table":
        return None
    if source.after is not None or source.until is not None or source.table is not None:
        return None
    if any(is_virtual(column.name) for column in scan.columns) or not source.files:
        return None
    present = {
        extent.id for extent in read.extents if all(column in extent.fields for column in read.columns)
    }
    sizes = [file.size for file in source.files]
    if any(file.extent_id not in present or file.end_row is not None for file in source.files):
        return None
    if max(sizes) > 2 * settings.file_bytes or _share(read) < _LEAST_SHARE:
        return None
    if len(sizes) > least and sum(sizes) < _SMALL_BYTES * len(sizes):
        return None
    if len(sizes) < least and sum(sizes) > 2 * _SMALL_BYTES:
        return None
    place = {column.sql_name: number for number, column in enumerate(scan.columns)}
    result = [column.sql_name for column in prepared.query.results[0].columns]
    return [ExtentCopy(file, tuple(file.fields[place[name]] for name in result)) for file in source.files]


def _share(read: ColumnsRead) -> float:
    """Bytes of the wanted columns in the bytes of all columns; footers, which small extents are full of, left
    out."""
    wanted = whole = 0
    for extent in read.extents:
        for column, known in extent.statistics.items():
            if known.size is None:
                return read.share()
            whole += known.size
            wanted += known.size if column in read.columns else 0
    return wanted / whole if whole else 1.0


def upload_extents(
    wanted: Sequence[ExtentCopy], directory: StagingDirectory, activity: Activity
) -> list[tuple[StagedBlob, ExtentCopy]]:
    """Put extents into a staging directory, each as one blob.

    Raises:
        StagingError: one could not be uploaded.
        SnapshotExpiredError: one has been removed since the query was planned.
    """

    def one(copy: ExtentCopy) -> StagedBlob:
        activity.check()
        try:
            return directory.upload_file(copy.file.path, "extent.parquet")
        except FileNotFoundError:
            raise missing_file(copy.file.path) from None

    with ThreadPoolExecutor(_COPIES, thread_name_prefix="staging") as pool:
        futures = [pool.submit(one, copy) for copy in wanted]
        try:
            return [(future.result(), copy) for future, copy in zip(futures, wanted, strict=True)]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


# -- on executors ---------------------------------------------------------------------------------


def read_copy(file: Any, fields: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """The batches of an extent's file: the columns of some field ids, in their order."""
    import pyarrow as pa

    for batch in stream_parquet(
        file, lambda schema: [_names(schema)[field] for field in dict.fromkeys(fields)]
    ):
        names = _names(batch.schema)
        arrays = [batch.column(batch.schema.names.index(names[field])) for field in fields]
        yield pa.RecordBatch.from_arrays(arrays, names=[str(number) for number in range(len(arrays))])


def _names(schema: pa.Schema) -> dict[int, str]:
    from spark_kusto.types.table import field_id_of

    return {found: field.name for field in schema if (found := field_id_of(field)) is not None}
