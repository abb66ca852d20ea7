"""Writes through blobs: executors upload finished extents, the driver takes them in and commits them.

An executor writes its rows as extents into a folder of its own, uploads each file when it is finished, and
tells the driver where it is, with its length, hash and statistics. The commit fetches these blobs into the
operation's staging folder, checks them, and commits them like files that were written there. What other
attempts of a task have uploaded goes with the directory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_kusto.client.cluster import StagedFiles
from spark_kusto.engine.staging import EngineIngest
from spark_kusto.engine.staging import stage as stage_files
from spark_kusto.errors import StagingError
from spark_kusto.storage import IngestOperation, StagedFile
from spark_kusto.storage import files as fs
from spark_kusto.storage.ingestion import LEASE_FILE
from spark_kusto.storage.staging import renew_lease

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.staging import StagedBlob, StagingDirectory, TransientStorage, UploadGrant

_DOWNLOADS = 2
"""Blobs that a commit fetches at a time; each in parallel ranges."""


@dataclass(frozen=True)
class BlobIngest:
    """A begun ingestion whose executors upload; pickles, and holds the right to upload and no more.

    Attributes:
        begun: the engine's part.
        directory: the staging directory's name.
        grant: what executors upload with.
    """

    begun: EngineIngest
    directory: str
    grant: UploadGrant

    def stage(self, batches: Iterable[pa.RecordBatch]) -> StagedFiles:
        """See :func:`stage_to_blobs`."""
        return stage_to_blobs(self, batches)


@dataclass(frozen=True)
class BlobOperation:
    """What a message says of its ingestion: the engine's operation, and the staging directory's name."""

    operation: IngestOperation
    directory: str


@dataclass(frozen=True)
class StagedExtent:
    """An extent in a blob: what storage knows of the file, and where it is."""

    file: StagedFile
    blob: StagedBlob


def engine_ingest(payload: Any) -> EngineIngest:
    """The engine's part of a plan's payload."""
    begun: EngineIngest = payload.begun if isinstance(payload, BlobIngest) else payload
    return begun


def engine_operation(operation: Any) -> IngestOperation:
    """The engine's operation that a message names."""
    found: IngestOperation = operation.operation if isinstance(operation, BlobOperation) else operation
    return found


def staging_directories(payload: Any, messages: Iterable[StagedFiles]) -> frozenset[str]:
    """Names of the staging directories of a plan and of messages; none where no blobs are used."""
    names = {payload.directory} if isinstance(payload, BlobIngest) else set()
    names |= {m.operation.directory for m in messages if isinstance(m.operation, BlobOperation)}
    return frozenset(names)


class BlobIngests:
    """The driver's side: staging directories of ingestions, from their begin to their end."""

    def __init__(self) -> None:
        # Those that this process has begun; a commit in another process reopens them by name.
        self._open: dict[str, StagingDirectory] = {}

    def begin(
        self, begun: EngineIngest, staging: TransientStorage, database: str, *, renew: bool
    ) -> BlobIngest:
        """Open a staging directory for an ingestion.

        Raises:
            StagingError: a container cannot be written to.
        """
        directory = staging.begin(database, "write")
        if renew:
            directory.renew_grants()
            self._open[directory.name] = directory
        return BlobIngest(begun, directory.name, directory.upload_grant())

    def _directory(self, name: str, staging: TransientStorage | None) -> StagingDirectory:
        found = self._open.get(name)
        if found is not None:
            return found
        if staging is None:
            raise StagingError(
                f"Staging directory '{name}' cannot be opened: its storage is not known here.",
                remedy="Pass the storage of begin_ingest() to commit_ingest() and abort_ingest().",
                permanent=True,
            )
        return staging.directory(name)

    def fetch(
        self, operation: IngestOperation, messages: Sequence[StagedFiles], staging: TransientStorage | None
    ) -> list[StagedFiles]:
        """Bring the blobs of messages into the operation's staging folder; the messages with those files.

        Raises:
            StagingError: a blob is gone, or is not what was uploaded.
            IngestConflictError: the operation is over.
        """
        renew_lease(operation)

        def one(staged: StagedExtent, directory: StagingDirectory) -> StagedFile:
            path = os.path.join(operation.staging, f"{staged.file.extent_id}.parquet")
            if not os.path.exists(path):
                directory.download(staged.blob, path)
                fs.sync_file(path)
            return replace(staged.file, path=path)

        fetched: list[tuple[StagedFiles, list[Future[StagedFile]] | None]] = []
        with ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="staging") as pool:
            for message in messages:
                if not isinstance(message.operation, BlobOperation):
                    fetched.append((message, None))
                    continue
                directory = self._directory(message.operation.directory, staging)
                fetched.append((message, [pool.submit(one, file, directory) for file in message.files]))
            return [
                message
                if futures is None
                else replace(message, files=tuple(future.result() for future in futures))
                for message, futures in fetched
            ]

    def end(self, directories: Iterable[str], staging: TransientStorage | None) -> None:
        """Remove staging directories; never raises, what cannot be removed is in the log."""
        for name in directories:
            self._directory(name, staging).delete()
            self._open.pop(name, None)

    def close(self) -> None:
        """End the renewal of rights; blobs of ingestions that were not ended are left to their expiry."""
        for directory in self._open.values():
            directory.release()
        self._open.clear()


# -- on executors ---------------------------------------------------------------------------------


def scratch_folder() -> str | None:
    """Where an executor's files go: Spark's own local folder, which it removes even for killed workers."""
    folder = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
    return folder if folder and os.path.isdir(folder) and os.access(folder, os.W_OK) else None


def stage_to_blobs(ingest: BlobIngest, batches: Iterable[pa.RecordBatch]) -> StagedFiles:
    """Write batches as extents and upload them; the message for the driver.

    Raises:
        StagingError: a file cannot be uploaded; no part of it is visible then.
        TypeConversionError: a value does not fit its column.
    """
    begun = ingest.begun
    folder = tempfile.mkdtemp(prefix="spark-kusto-", dir=scratch_folder())
    uploaded: list[StagedExtent] = []

    def upload(file: StagedFile) -> None:
        # By name, so that nobody mistakes the executor's path for one of the driver's.
        name = Path(file.path).name
        blob = ingest.grant.upload_file(file.path, name)
        fs.remove_file(file.path)
        uploaded.append(StagedExtent(replace(file, path=name), blob))

    try:
        Path(folder, LEASE_FILE).touch()
        local = replace(begun, operation=replace(begun.operation, staging=folder))
        _, errors = stage_files(local, batches, finished=upload)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return StagedFiles(
        operation_id=begun.operation.id,
        rows=sum(staged.file.row_count for staged in uploaded),
        bytes=sum(staged.file.size for staged in uploaded),
        files=tuple(uploaded),
        errors=errors,
        operation=BlobOperation(begun.operation, ingest.directory),
    )
