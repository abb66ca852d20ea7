"""What executors do: read a scan's task, stage a partition's rows. No catalog is opened.

Each kind of task says itself how it is read, so that none loads what others need: remote clusters, blobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from spark_kusto.client.cluster import IngestPlan, ScanTask, StagedFiles
from spark_kusto.engine.staging import EngineIngest
from spark_kusto.engine.staging import stage as stage_files
from spark_kusto.storage.sweeping import name_writer
from spark_kusto.types.results import result_batch, spark_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.types import Column


class Readable(Protocol):
    """A part of a scan: files of the cluster, an exported file or blob, or a query of a remote cluster."""

    def batches(self, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        """Its rows in storage form, with these columns."""

    def is_present(self) -> bool:
        """Whether it can still be read."""


class Uploading(Protocol):
    """A begun ingestion whose executors upload."""

    def stage(self, batches: Iterable[pa.RecordBatch]) -> StagedFiles:
        """Upload a partition's batches; the message for the driver."""


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
    part: Readable = task.payload
    for batch in part.batches(task.columns):
        yield shape(batch, task.columns)


def is_present(task: ScanTask) -> bool:
    """Whether what a task names can still be read: its extents, its exported file, its staged blob.

    Raises:
        StagingError: the blob storage does not answer.
    """
    part: Readable = task.payload
    return part.is_present()


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
    if not isinstance(plan.payload, EngineIngest):
        uploading: Uploading = plan.payload
        return uploading.stage(batches)
    begun = plan.payload
    files, errors = stage_files(begun, batches)
    return StagedFiles(
        operation_id=begun.operation.id,
        rows=sum(file.row_count for file in files),
        bytes=sum(file.size for file in files),
        files=tuple(files),
        errors=errors,
        operation=begun.operation,
    )
