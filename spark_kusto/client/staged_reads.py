"""Results that are exported once and read in parts: through blobs, or in the embedded cluster's directory.

The driver runs the query while it plans and hands every executor one file to read. Blobs go up while they are
written, and come down while they are read; executors get the right to read one blob each, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from spark_kusto.client.copied_reads import ExtentCopy, copies, read_copy, upload_extents
from spark_kusto.engine.exporting import (
    COMPRESSIONS,
    DEFAULT_FILE_BYTES,
    ExportSettings,
    FileTask,
    Folder,
    Output,
    OutputFile,
    export,
    stream_parquet,
)
from spark_kusto.errors import OptionError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.engine.activity import Activity
    from spark_kusto.engine.engine import Engine
    from spark_kusto.engine.querying import Prepared
    from spark_kusto.staging import DownloadGrant, StagedBlob, StagingDirectory, TransientStorage
    from spark_kusto.staging.streams import BlobWriter
    from spark_kusto.storage import Database
    from spark_kusto.types import Column

AUTOMATIC_BYTES = 128 * 1024 * 1024
"""Stored bytes that a query reads from which on its result is exported without being asked for."""

DEFAULT_EXPIRY = timedelta(hours=4)
"""How long exported files stay where nothing else is said."""

_KNOWN = ("sizeLimit", "compressionType", "compressed")
_ELSEWHERE = ("namePrefix", "useNativeParquetWriter", "fileExtension", "distributed", "distribution")


def export_settings(options: Mapping[str, Any] | None) -> ExportSettings:
    """Settings from the properties of ``.export`` that Kusto documents.

    Args:
        options: ``sizeLimit`` (MB), ``compressionType``, and ``compressed`` (``none``); properties that
            mean nothing to an embedded cluster are passed over.

    Raises:
        OptionError: one cannot be read.
    """
    size, compression, asked = DEFAULT_FILE_BYTES, COMPRESSIONS[0], False
    for name, value in (options or {}).items():
        known = next((k for k in (*_KNOWN, *_ELSEWHERE) if k.lower() == name.lower()), None)
        asked |= known in _KNOWN
        if known == "sizeLimit":
            try:
                size = int(value) * 1024 * 1024
            except (TypeError, ValueError):
                size = 0
            if size <= 0:
                raise OptionError(
                    f"Export option 'sizeLimit' is '{value}'.", remedy="Give a whole number of MB."
                )
        elif known == "compressionType" or (known == "compressed" and str(value).lower() == "none"):
            compression = str(value).lower()
            if compression not in COMPRESSIONS:
                raise OptionError(
                    f"Export option '{known}' is '{value}'.",
                    remedy=f"It must be one of {', '.join(COMPRESSIONS)}.",
                )
        elif known is None:
            close = nearest(name, (*_KNOWN, *_ELSEWHERE))
            if close is not None:
                raise OptionError(f"There is no export option '{name}'.", remedy=f"Did you mean '{close}'?")
    return ExportSettings(size, compression, asked)


def wants_export(prepared: Prepared, mode: str, *, through_blobs: bool) -> bool:
    """Whether a query's result is exported while it is planned.

    Filters and projections over one table are read from the table itself, in parallel, unless executors are
    to read blobs. By itself that is done for queries that read much; what they give is not known before.
    """
    if mode == "single":
        return False
    split = prepared.query.row_wise and len(prepared.sources) == 1
    if split and not through_blobs:
        return False
    return mode == "distributed" or prepared.bytes >= AUTOMATIC_BYTES


@dataclass(frozen=True)
class BlobTask:
    """One staged blob of a result, and the right to read it; prints without secrets.

    Attributes:
        grant: the right.
        fields: field ids of the result's columns, where the blob is an extent.
    """

    grant: DownloadGrant
    fields: tuple[int, ...] | None = None

    def batches(self, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        """See :func:`read_blob_task`; the blob has the columns."""
        return read_blob_task(self)

    def is_present(self) -> bool:
        """Whether the blob can still be read.

        Raises:
            StagingError: the blob storage does not answer.
        """
        return self.grant.is_present()


@dataclass(frozen=True)
class StagedPart:
    """One file of an exported result: what reads it, and its size."""

    payload: BlobTask | FileTask
    rows: int
    bytes: int


@dataclass(frozen=True)
class StagedResult:
    """An exported result; from ``expires`` on its files may be gone, or the rights to read them."""

    parts: tuple[StagedPart, ...]
    expires: datetime

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


def export_result(
    engine: Engine,
    home: Database,
    prepared: Prepared,
    seconds: float | None,
    settings: ExportSettings,
    activity: Activity,
    *,
    expiry: timedelta,
    staging: TransientStorage | None = None,
    purpose: str = "read",
) -> StagedResult:
    """Run a query and leave its result in files, until their expiry.

    Args:
        engine: the cluster.
        home: the home database.
        prepared: the query, compiled.
        seconds: that it may take.
        settings: how files are written.
        activity: the query in the list of queries; stopping it stops the export.
        expiry: how long they stay in the cluster's directory; blobs stay as long as ``staging`` says.
        staging: where to stage blobs; None for the cluster's directory.
        purpose: part of the staging directory's name, and what the cluster's own files are released by.

    Raises:
        StagingError: a container cannot be written to; nothing is left in it then.
    """
    plan = engine.querying.plan(
        prepared,
        parallelism=engine.resources.thread_count,
        target_bytes=settings.file_bytes,
        seconds=seconds,
    )
    activity.limit(seconds)

    def run(output: Output) -> None:
        export(plan.tasks, plan.columns, output, settings, resources=engine.resources, activity=activity)

    if staging is None:
        made = _into_the_directory(home, purpose, expiry, run)
    else:
        extents = copies(prepared, settings, engine.resources.thread_count)
        made = _through_blobs(staging, home.name, purpose, extents, run, activity)
    activity.result = {"rows": made.rows, "bytes": made.bytes}
    return made


def _into_the_directory(
    home: Database, purpose: str, expiry: timedelta, run: Callable[[Output], None]
) -> StagedResult:
    begun = datetime.now(timezone.utc)
    operation = home.begin_export(expiry.total_seconds(), purpose)
    folder = Folder(operation.staging)
    keep = False
    try:
        run(folder)
        keep = bool(folder.files)
    finally:
        if not keep:
            home.abort_ingest(operation)
    parts = [StagedPart(FileTask(file.path), file.rows, file.bytes) for file in folder.files]
    return StagedResult(tuple(parts), begun + expiry)


def _through_blobs(
    staging: TransientStorage,
    database: str,
    purpose: str,
    extents: list[ExtentCopy] | None,
    run: Callable[[Output], None],
    activity: Activity,
) -> StagedResult:
    directory = staging.begin(database, purpose)
    made: list[tuple[StagedBlob, int, tuple[int, ...] | None]]
    try:
        if extents is None:
            blobs = _Blobs(directory)
            run(blobs)
            made = [(blob, rows, None) for blob, rows in blobs.made]
        else:
            uploaded = upload_extents(extents, directory, activity)
            made = [(blob, copy.file.rows, copy.fields) for blob, copy in uploaded]
        grants = [directory.download_grant(blob) for blob, _, _ in made]
    except BaseException:
        directory.delete()
        raise
    ends = [grant.expires for grant in grants if grant.expires is not None]
    parts = [
        StagedPart(BlobTask(grant, fields), rows, blob.length)
        for grant, (blob, rows, fields) in zip(grants, made, strict=True)
    ]
    return StagedResult(tuple(parts), min([directory.expires, *ends]))


class _Blobs:
    """A staging directory as the place of a result's files."""

    def __init__(self, directory: StagingDirectory) -> None:
        self._directory = directory
        self.made: list[tuple[StagedBlob, int]] = []

    def open(self) -> OutputFile:
        """A new blob."""
        return _BlobFile(self._directory.writer("result.parquet"), self.made)


class _BlobFile:
    def __init__(self, writer: BlobWriter, made: list[tuple[StagedBlob, int]]) -> None:
        import pyarrow as pa

        self.name = writer.name
        self.sink = pa.PythonFile(writer, mode="w")
        self._writer = writer
        self._made = made

    def finish(self, rows: int) -> None:
        self._made.append((self._writer.finish(), rows))

    def discard(self) -> None:
        self._writer.close()


# -- on executors ---------------------------------------------------------------------------------


def read_blob_task(task: BlobTask) -> Iterator[pa.RecordBatch]:
    """The batches of a staged blob, in the form in which the query gave them.

    What comes next is fetched while batches are used; every byte is checked before it is decoded.

    Raises:
        StagingError: it cannot be read, is gone, or is not what was staged.
    """
    with task.grant.stream() as stream:
        if task.fields is None:
            yield from stream_parquet(stream)
        else:
            yield from read_copy(stream, task.fields)
