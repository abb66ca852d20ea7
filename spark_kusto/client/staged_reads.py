"""Results that are exported once and read in parts: through blobs, or in the embedded cluster's directory.

The driver runs the query while it plans and hands every executor one file to read. Blobs are uploaded while
the next file is written; executors get the right to read one blob each, and nothing else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from spark_kusto.engine.exporting import (
    COMPRESSIONS,
    DEFAULT_FILE_BYTES,
    ExportedFile,
    ExportSettings,
    FileTask,
    export,
    read_parquet,
)
from spark_kusto.errors import OptionError, nearest
from spark_kusto.storage import files as fs

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.engine.engine import Engine
    from spark_kusto.engine.querying import Prepared
    from spark_kusto.staging import DownloadGrant, StagedBlob, TransientStorage

AUTOMATIC_BYTES = 128 * 1024 * 1024
"""Stored bytes that a query reads from which on its result is exported without being asked for."""

DEFAULT_EXPIRY = timedelta(hours=4)
"""How long exported files stay where nothing else is said."""

_UPLOADS = 2
"""Files that are uploaded at a time; a third one waits on the disk."""

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
    size, compression = DEFAULT_FILE_BYTES, COMPRESSIONS[0]
    for name, value in (options or {}).items():
        known = next((k for k in (*_KNOWN, *_ELSEWHERE) if k.lower() == name.lower()), None)
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
    return ExportSettings(size, compression)


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
    """One staged blob of a result, and the right to read it; prints without secrets."""

    grant: DownloadGrant


@dataclass(frozen=True)
class StagedPart:
    """One file of an exported result: what reads it, and its size."""

    payload: BlobTask | FileTask
    rows: int
    bytes: int


def export_result(
    engine: Engine,
    database: str,
    text: str,
    prepared: Prepared,
    seconds: float | None,
    settings: ExportSettings,
    *,
    expiry: timedelta,
    staging: TransientStorage | None = None,
    purpose: str = "read",
) -> list[StagedPart]:
    """Run a query and leave its result in files, until their expiry.

    Args:
        engine: the cluster.
        database: the home database.
        text: the query, for the list of queries.
        prepared: the query, compiled.
        seconds: that it may take.
        settings: how files are written.
        expiry: how long they stay in the cluster's directory; blobs stay as long as ``staging`` says.
        staging: where to stage blobs; None for the cluster's directory.
        purpose: part of the staging directory's name.

    Raises:
        StagingError: a container cannot be written to; nothing is left in it then.
    """
    home = engine.database(database)
    plan = engine.querying.plan(
        prepared,
        parallelism=engine.resources.thread_count,
        target_bytes=settings.file_bytes,
        seconds=seconds,
    )
    activity = engine.activities.begin(
        "query", text, home.name, principal=engine.principal, user=engine.principal, application="export"
    )
    activity.limit(seconds)
    operation = home.begin_export(expiry.total_seconds())
    keep = False

    def run(finished: Any) -> None:
        export(
            plan.tasks,
            plan.columns,
            operation.staging,
            settings,
            finished,
            resources=engine.resources,
            activity=activity,
        )

    try:
        if staging is None:
            files: list[ExportedFile] = []
            run(files.append)
            keep = bool(files)
            parts = [StagedPart(FileTask(file.path), file.rows, file.bytes) for file in files]
        else:
            parts = _through_blobs(staging, home.name, purpose, run)
    except BaseException as error:
        activity.finish(error)
        raise
    finally:
        if not keep:
            home.abort_ingest(operation)
    activity.result = {"rows": sum(part.rows for part in parts), "bytes": sum(part.bytes for part in parts)}
    activity.finish()
    return parts


def _through_blobs(staging: TransientStorage, database: str, purpose: str, run: Any) -> list[StagedPart]:
    directory = staging.begin(database, purpose)
    uploads: list[Future[tuple[StagedBlob, int]]] = []

    def upload(file: ExportedFile) -> tuple[StagedBlob, int]:
        blob = directory.upload_file(file.path, "result.parquet")
        fs.remove_file(file.path)
        return blob, file.rows

    try:
        with ThreadPoolExecutor(_UPLOADS, thread_name_prefix="staging") as pool:

            def finished(file: ExportedFile) -> None:
                uploads.append(pool.submit(upload, file))
                if len(uploads) > _UPLOADS:
                    uploads[-1 - _UPLOADS].result()

            run(finished)
            staged = [future.result() for future in uploads]
        return [
            StagedPart(BlobTask(directory.download_grant(blob)), rows, blob.length) for blob, rows in staged
        ]
    except BaseException:
        directory.delete()
        raise


# -- on executors ---------------------------------------------------------------------------------


def read_blob_task(task: BlobTask) -> Iterator[pa.RecordBatch]:
    """The batches of a staged blob, in the form in which the query gave them.

    The blob is fetched whole into a file without a name first: that checks its hash before a row is given
    out, keeps memory small, and leaves nothing behind however the task ends.

    Raises:
        StagingError: it cannot be read, is gone, or is not what was staged.
    """
    with tempfile.TemporaryFile(prefix="spark-kusto-") as file:
        try:
            for chunk in task.grant.chunks():
                file.write(chunk)
        except OSError as error:
            raise fs.translate(error, "write to", tempfile.gettempdir()) from error
        file.seek(0, os.SEEK_SET)
        yield from read_parquet(file)
