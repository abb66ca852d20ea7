"""Batch writes: executors stage files, the driver makes all of them visible in one commit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSourceArrowWriter, WriterCommitMessage

from spark_kusto.spark.options import SinkOptions
from spark_kusto.spark.shipping import shipped
from spark_kusto.spark.staging import Sealed, bare, open_staging, seal, secrets_of, with_secrets
from spark_kusto.spark.writing import begin, columns_of, stage, variants_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType

    from spark_kusto.client import IngestResult, StagedFiles

log = logging.getLogger("spark_kusto.spark")


@dataclass
class StagedMessage(WriterCommitMessage):
    """What a task staged."""

    staged: StagedFiles


class KustoWriter(DataSourceArrowWriter):
    """Appends to, or replaces in, a table.

    The ingestion begins when Spark asks for the writer, on the driver. Only files of tasks whose
    message reaches :meth:`commit` are ever visible, so a failed, retried or speculative task adds
    nothing of its own.
    """

    def __init__(self, options: SinkOptions, schema: StructType, overwrite: bool) -> None:
        super().__init__()
        self._options = options
        self._variants = variants_of(schema)
        columns = columns_of(schema)
        staging = open_staging(options.connection, options.staging, ingestion=True)
        with options.connection.open() as cluster:
            self._plan = begin(cluster, options, columns, overwrite, staging=staging)
        self._sealed: Sealed | None = None

    def __reduce__(self) -> Any:
        # One pickle serves the tasks and the commit, and only the commit may know secrets.
        if self._sealed is None:
            self._sealed = seal(secrets_of(self._options))
        return shipped(self, _options=bare(self._options))

    def _whole_options(self) -> SinkOptions:
        return self._options if self._sealed is None else with_secrets(self._options, self._sealed.open())

    def _forget(self) -> None:
        if self._sealed is not None:
            self._sealed.discard()

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WriterCommitMessage:
        """Stage one task's rows."""
        return StagedMessage(stage(self._plan, iterator, self._variants))

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """Make everything staged visible at once."""
        staged = [message.staged for message in messages if isinstance(message, StagedMessage)]
        options = self._whole_options()
        staging = open_staging(options.connection, options.staging, ingestion=True)
        with options.connection.open() as cluster:
            result = cluster.commit_ingest(
                self._plan,
                staged,
                writer_id=options.writer_id,
                batch_id=options.batch_id,
                staging=staging,
            )
        self._forget()
        _log_to_stderr()
        log_result(options, result)

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        """Drop what was staged; nothing of it was visible."""
        staged = [message.staged for message in messages if isinstance(message, StagedMessage)]
        options = self._whole_options()
        staging = open_staging(options.connection, options.staging, ingestion=True)
        with options.connection.open() as cluster:
            cluster.abort_ingest(self._plan, staged, staging=staging)
        self._forget()


def _log_to_stderr() -> None:
    """Have Spark's log show the figures: the commit has a process of its own, where nobody set up logging."""
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%y/%m/%d %H:%M:%S")
        )
        log.addHandler(handler)
        log.setLevel(logging.INFO)


def log_result(options: SinkOptions, result: IngestResult) -> None:
    """The figures of a write, to the log."""
    log.info(
        "write to %s.%s: %s, %d rows, %d bytes, %d extents, cursor %s, %.2f s",
        options.connection.database,
        options.table,
        result.status,
        result.rows,
        result.bytes,
        result.extents,
        result.cursor,
        result.duration.total_seconds(),
    )
