"""Streams into a table: each micro-batch is one commit, and a replayed one adds nothing.

The identity of a micro-batch is the streaming query's id, which its checkpoint keeps over restarts,
and the batch's number. The cluster remembers the last batch of each writer in the same commit that
makes its rows visible.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSourceStreamWriter, WriterCommitMessage

from spark_kusto.errors import IngestError, KustoError
from spark_kusto.spark.options import SinkOptions
from spark_kusto.spark.shipping import shipped
from spark_kusto.spark.staging import bare, open_staging
from spark_kusto.spark.writer import log_result
from spark_kusto.spark.writing import begin, columns_of, stage, variants_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import Row, StructType

    from spark_kusto.client import Cluster, IngestPlan, StagedFiles
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

_BATCHING_SECONDS = 300.0
"""Kusto's batching time where no policy says otherwise."""

_paces: dict[tuple[str, ...], float] = {}
"""When the last batch went to a table's queue, by this process; `_NOTICED` once the notice was given."""

_NOTICED = float("inf")

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
        context = TaskContext.get()
        query = None if context is None else context.getLocalProperty(QUERY_ID)
        writer = self._options.writer_id or query
        if writer is not None:
            from spark_kusto.client.tasks import announce_writer

            announce_writer(self._plan, writer)
        batches = _batches_of_rows(iterator, self._schema) if _ROWS else iterator
        return StreamMessage(stage(self._plan, batches, self._variants), self._plan, query)

    def commit(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:
        """Make the micro-batch visible, once."""
        given = [message for message in messages if isinstance(message, StreamMessage)]
        if not given:
            return
        plan = given[0].plan
        staged = [message.staged for message in given]
        staging = self._staging()
        with self._options.connection.open() as cluster:
            writer = self._options.writer_id or given[0].query_id
            if writer is None:
                raise IngestError(
                    "The streaming query's id did not reach the executors, so a replayed batch could not be"
                    " told from a new one.",
                    remedy="Give the writer an identity with the option writerId.",
                )
            result = cluster.commit_ingest(plan, staged, writer_id=writer, batch_id=batchId, staging=staging)
            if result.status == "queued":
                self._notice_pace(cluster)
        log_result(self._options, result)
        if result.status == "replayed" and self._options.writer_id is not None:
            log.warning(
                "Batch %d of writer '%s' is in table '%s' already, so its rows were left out. If the stream"
                " has started over with a new checkpoint, give it another writerId.",
                batchId,
                writer,
                self._options.table,
            )

    def abort(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:
        """Drop what was staged; nothing of it was visible."""
        given = [message for message in messages if isinstance(message, StreamMessage)]
        options = self._options
        with options.connection.open() as cluster:
            if given:
                staged = [message.staged for message in given]
                cluster.abort_ingest(given[0].plan, staged, staging=self._staging())
                return
            # No task has ended, so nothing says what was begun; but whose it was can be known.
            writer = options.writer_id or query_of(options.checkpoint)
            if writer is not None:
                cluster.end_attempts(options.connection.database, options.table, writer)

    def _notice_pace(self, cluster: Cluster) -> None:
        """Say once that batches come faster than the table shows them."""
        if self._options.ingestion.flushImmediately:
            return
        connection, table = self._options.connection, self._options.table
        key = (connection.cluster, connection.database, table)
        before, now = _paces.get(key), time.monotonic()
        if before == _NOTICED:
            return
        _paces[key] = now
        if before is None:
            return
        seconds = batching_seconds(cluster, connection.database, table)
        if now - before < seconds:
            _paces[key] = _NOTICED
            log.warning(
                "A batch for table '%s' came %.1f s after the last one, and its batching time is %g s: what"
                " is queued becomes visible that much later, several batches together. Set the trigger to the"
                " batching time, shorten the table's ingestionbatching policy, or use another writeMode.",
                table,
                now - before,
                seconds,
            )


def query_of(checkpoint: str | None) -> str | None:
    """The id of the query whose checkpoint this is; None where the option or a local file does not say."""
    if checkpoint is None:
        return None
    try:
        metadata = json.loads(Path(checkpoint.removeprefix("file:"), "metadata").read_text(encoding="utf-8"))
        return str(metadata["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def batching_seconds(cluster: Cluster, database: str, table: str) -> float:
    """How long a table's queued data may wait for company, by its policy or its database's."""
    from spark_kusto.spark.query_text import quoted_name
    from spark_kusto.types.text import parse_timespan

    for entity in (f"table {quoted_name(table)}", f"database {quoted_name(database)}"):
        try:
            rows = cluster.execute(database, f".show {entity} policy ingestionbatching | project Policy").rows
            policy = json.loads(str(rows[0][0])) if rows else None
        except (KustoError, ValueError):
            continue
        if isinstance(policy, dict) and policy.get("MaximumBatchingTimeSpan"):
            span = parse_timespan(str(policy["MaximumBatchingTimeSpan"]))
            if span is not None:
                return span / 10_000_000
    return _BATCHING_SECONDS


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
