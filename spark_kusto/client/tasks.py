"""What executors do: read a scan's task, stage a partition's rows. No catalog is opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from spark_kusto.client.cluster import IngestPlan, ScanTask, StagedFiles
from spark_kusto.client.remote.reads import ExportTask, QueryTask
from spark_kusto.client.remote.staging import RemoteIngest, stage_remote
from spark_kusto.client.staged_reads import BlobTask, read_blob_task
from spark_kusto.client.staged_writes import BlobIngest, stage_to_blobs
from spark_kusto.engine.exporting import FileTask, read_file_task
from spark_kusto.engine.ingesting import EngineIngest
from spark_kusto.engine.ingesting import stage as stage_files
from spark_kusto.engine.tasks import ReadTask, read_task
from spark_kusto.storage.sweeping import name_writer
from spark_kusto.types.results import result_batch, spark_batch

if TYPE_CHECKING:
    import pyarrow as pa


def read_scan(task: ScanTask) -> Iterator[pa.RecordBatch]:
    """The record batches of a task, in the task's shape.

    Raises:
        SnapshotExpiredError: the data has been removed since the plan was made.
        StagingError: a staged blob cannot be read.
        AuthenticationError: the token with which a remote cluster is asked has ended.
        ServiceError: a remote cluster does not answer.
        StorageError: the embedded cluster's directory is not visible on this machine.
        CorruptExtentError: a file cannot be read.
    """
    shape = spark_batch if task.shape == "spark" else result_batch
    for batch in _stored(task):
        yield shape(batch, task.columns)


def _stored(task: ScanTask) -> Iterator[pa.RecordBatch]:
    payload: ReadTask | FileTask | BlobTask | QueryTask | ExportTask = task.payload
    if isinstance(payload, ReadTask):
        return read_task(payload)
    if isinstance(payload, QueryTask | ExportTask):
        return payload.batches(task.columns)
    return read_file_task(payload) if isinstance(payload, FileTask) else read_blob_task(payload)


def is_present(task: ScanTask) -> bool:
    """Whether what a task names can still be read: its extents, its exported file, its staged blob.

    Raises:
        StagingError: the blob storage does not answer.
    """
    payload = task.payload
    if isinstance(payload, BlobTask | ExportTask):
        return payload.grant.is_present()
    if isinstance(payload, FileTask):
        return os.path.exists(payload.path)
    if isinstance(payload, ReadTask):
        return all(os.path.exists(file.path) for source in payload.sources.values() for file in source.files)
    return True


def announce_writer(plan: IngestPlan, writer_id: str) -> None:
    """Say whose batch is being staged, so that the writer's next commit can end what this one may leave."""
    if isinstance(plan.payload, EngineIngest):
        name_writer(plan.payload.operation, writer_id)


def stage(plan: IngestPlan, batches: Iterable[pa.RecordBatch]) -> StagedFiles:
    """Write a partition's batches to staging; returns the message for the driver's commit.

    Raises:
        TypeConversionError: a value does not fit its column; row, column and value are named.
        SchemaMismatchError: the data has a column that the plan does not know.
        IngestConflictError: the ingestion is over.
        StorageFullError: no space is left.
        StagingError: a file cannot be uploaded.
    """
    if isinstance(plan.payload, BlobIngest):
        return stage_to_blobs(plan.payload, batches)
    if isinstance(plan.payload, RemoteIngest):
        return stage_remote(plan.payload, batches)
    begun: EngineIngest = plan.payload
    files, errors = stage_files(begun, batches)
    return StagedFiles(
        operation_id=begun.operation.id,
        rows=sum(file.row_count for file in files),
        bytes=sum(file.size for file in files),
        files=tuple(files),
        errors=errors,
        operation=begun.operation,
    )
