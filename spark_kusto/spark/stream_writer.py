"""Streams into a table: each micro-batch is one commit, and a replayed one adds nothing.

The identity of a micro-batch is the streaming query's id, which its checkpoint keeps over restarts,
and the batch's number. The cluster remembers the last batch of each writer in the same commit that
makes its rows visible.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSourceStreamWriter, WriterCommitMessage

from spark_kusto.errors import IngestError
from spark_kusto.spark.names import WriteMode
from spark_kusto.spark.options import SinkOptions
from spark_kusto.spark.shipping import shipped
from spark_kusto.spark.staging import bare, open_staging
from spark_kusto.spark.writer import log_result
from spark_kusto.spark.writing import begin, columns_of, stage, variants_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import Row, StructType

    from spark_kusto.client import IngestPlan, StagedFiles
    from spark_kusto.staging import TransientStorage

try:
    from pyspark.sql.datasource import DataSourceStreamArrowWriter as _Base

    _ROWS = False
except ImportError:
    # PySpark 4.0 hands rows to stream writers.
    _Base = DataSourceStreamWriter  # type: ignore[misc,assignment]
    _ROWS = True

log = logging.getLogger("spark_kusto.spark")

QUERY_ID = "sql.streaming.queryId"
BATCH_ID = "streaming.sql.batchId"

_QUEUED_PACE = 300.0
"""Seconds between batches below which queued mode is told to be slow, once."""
_paces: dict[tuple[str, str], float] = {}
_ROWS_AT_ONCE = 10_000


@dataclass
class StreamMessage(WriterCommitMessage):
    """What a task staged, under which plan, and whose batch it is."""

    staged: StagedFiles
    plan: IngestPlan
    query_id: str | None


class KustoStreamWriter(_Base):
    """Appends micro-batches to a table, or replaces it with each one (output mode complete).

    Spark builds this object anew wherever it needs one; only the one that goes to executors begins
    an ingestion, when it is pickled for them.
    """

    def __init__(self, options: SinkOptions, schema: StructType, overwrite: bool) -> None:
        super().__init__()
        self._options = options
        self._overwrite = overwrite
        self._schema = schema
        self._columns = columns_of(schema)
        self._variants = variants_of(schema)
        self._plan: IngestPlan | None = None

    def __reduce__(self) -> Any:
        if self._plan is None:
            with self._options.connection.open() as cluster:
                self._plan = begin(
                    cluster, self._options, self._columns, self._overwrite, staging=self._staging()
                )
        # The commit has a writer of its own; this one only goes to executors.
        return shipped(self, _options=bare(self._options))

    def _staging(self) -> TransientStorage | None:
        return open_staging(self._options.connection, self._options.staging, ingestion=True)

    def write(self, iterator: Iterator[Any]) -> WriterCommitMessage:
        """Stage one task's rows."""
        from pyspark import TaskContext

        if self._plan is None:
            raise IngestError("The stream's writer came to the executor without a plan.")
        batches = _batches_of_rows(iterator, self._schema) if _ROWS else iterator
        staged = stage(self._plan, batches, self._variants)
        context = TaskContext.get()
        query = None if context is None else context.getLocalProperty(QUERY_ID)
        return StreamMessage(staged, self._plan, query)

    def commit(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:
        """Make the micro-batch visible, once."""
        given = [message for message in messages if isinstance(message, StreamMessage)]
        if not given:
            return
        plan = given[0].plan
        staged = [message.staged for message in given]
        staging = self._staging()
        with self._options.connection.open() as cluster:
            if not self._overwrite and not sum(part.rows for part in staged):
                cluster.abort_ingest(plan, staged, staging=staging)
                return
            writer = self._options.writer_id or given[0].query_id
            if writer is None:
                raise IngestError(
                    "The streaming query's id did not reach the executors, so a replayed batch could not be"
                    " told from a new one.",
                    remedy="Give the writer an identity with the option writerId.",
                )
            result = cluster.commit_ingest(plan, staged, writer_id=writer, batch_id=batchId, staging=staging)
        log_result(self._options, result)
        self._notice_pace()

    def abort(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:
        """Drop what was staged; nothing of it was visible."""
        given = [message for message in messages if isinstance(message, StreamMessage)]
        if given:
            with self._options.connection.open() as cluster:
                staged = [message.staged for message in given]
                cluster.abort_ingest(given[0].plan, staged, staging=self._staging())

    def _notice_pace(self) -> None:
        if self._options.mode is not WriteMode.Queued or self._options.ingestion.flushImmediately:
            return
        key = (self._options.connection.database, self._options.table)
        before = _paces.get(key)
        now = time.monotonic()
        _paces[key] = now
        if before is not None and 0 <= now - before < _QUEUED_PACE:
            _paces[key] = float("inf")
            log.warning(
                "Queued mode: batches come faster than table '%s' makes queued data visible (its batching"
                " policy, 5 minutes by default).",
                self._options.table,
            )


def _batches_of_rows(rows: Iterator[Row], schema: StructType) -> Iterator[pa.RecordBatch]:
    from pyspark.sql.conversion import LocalDataToArrowConversion

    pending: list[Row] = []

    def flushed() -> Iterator[pa.RecordBatch]:
        table = LocalDataToArrowConversion.convert(pending, schema, False)
        yield from table.to_batches()
        pending.clear()

    for row in rows:
        pending.append(row)
        if len(pending) >= _ROWS_AT_ONCE:
            yield from flushed()
    if pending:
        yield from flushed()
