"""Streams from a table: offsets are database cursors, a micro-batch is the commits between two of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSourceStreamReader, InputPartition

from spark_kusto.errors import EntityNotFoundError, KustoError
from spark_kusto.spark.options import SourceOptions
from spark_kusto.spark.reader import plan_partitions, read_partition
from spark_kusto.spark.reading import base_query, fields_of
from spark_kusto.spark.shipping import shipped

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType

    from spark_kusto.client import Cluster
    from spark_kusto.client.cluster import StreamPosition

log = logging.getLogger("spark_kusto.spark")

Offset = dict[str, Any]

EARLIEST = "0"


class _Stream(DataSourceStreamReader):
    """What all versions of Spark share; an offset is a cursor with its commit's time and the table's id."""

    def __init__(self, options: SourceOptions, schema: StructType) -> None:
        self._options = options
        self._wanted = fields_of(schema)
        self._query = base_query(options)
        self._cluster: Cluster | None = None
        # The end of the last batch, for versions of Spark that do not tell it.
        self._position: Offset | None = None
        self._target: str | None = None

    def __reduce__(self) -> Any:
        # Executors only read partitions.
        return shipped(KustoStreamReader.__new__(KustoStreamReader))

    def _open(self) -> Cluster:
        if self._cluster is None:
            self._cluster = self._options.connection.open(create=False)
        return self._cluster

    def initialOffset(self) -> Offset:
        """Where a query without a checkpoint begins."""
        starting = self._options.starting_cursor
        cluster = self._open()
        if starting == "latest":
            starting = cluster.cursor(self._options.connection.database)
        elif starting == "earliest":
            starting = EARLIEST
        position = self._advance(starting)
        self._position = {"cursor": starting, "table": position.table_id, "committed": None}
        return self._position

    def _advance(
        self, after: str, max_rows: int | None = None, max_bytes: int | None = None
    ) -> StreamPosition:
        return self._open().advance(
            self._options.connection.database,
            self._query,
            after,
            max_rows=max_rows,
            max_bytes=max_bytes,
            parameters=dict(self._options.parameters),
        )

    def _next(self, start: Offset | None, max_rows: int | None, max_bytes: int | None) -> Offset:
        after = EARLIEST if start is None else str(start["cursor"])
        position = self._advance(after, max_rows, max_bytes)
        self._check_table(start, position.table_id)
        cursor = position.cursor
        if self._target is not None and int(cursor) > int(self._target):
            cursor = max(self._target, after, key=int)
        if start is not None and int(cursor) <= int(after):
            return start
        committed = None if position.committed_at is None else position.committed_at.isoformat()
        return {"cursor": cursor, "table": position.table_id, "committed": committed}

    def _check_table(self, start: Offset | None, table: str) -> None:
        known = None if start is None else start.get("table")
        if known is not None and known != table:
            raise KustoError(
                "The table of this stream was dropped and created again since its last batch, so the"
                " checkpoint's position means nothing in it.",
                remedy="Start the query with a new checkpoint (and startingCursor).",
            )

    def partitions(self, start: Offset, end: Offset) -> Sequence[InputPartition]:
        """The tasks of one micro-batch."""
        self._position = end
        self._check_table(start, end["table"])
        if int(end["cursor"]) <= int(start["cursor"]):
            # The newest rows are gone, so a Spark that didn't say where it stands got an earlier end.
            return []
        try:
            return plan_partitions(
                self._open(),
                self._options,
                self._wanted,
                after=str(start["cursor"]),
                snapshot=str(end["cursor"]),
            )
        except EntityNotFoundError as error:
            raise EntityNotFoundError(
                f"The stream reads something that is gone: {error.message}",
                kind=error.kind,
                name=error.name,
                remedy="Columns may be added while a stream runs, not removed or renamed: start the query"
                " again with the columns there are.",
            ) from None

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """The batches of one task."""
        return read_partition(partition)

    def commit(self, end: Offset) -> None:
        """Nothing is kept per batch."""
        log.debug("stream committed up to cursor %s", end["cursor"])

    def stop(self) -> None:
        """Close the cluster."""
        if getattr(self, "_cluster", None) is not None:
            self._open().close()
            self._cluster = None

    def _reported(self) -> Offset:
        """The table's newest commit: the end of a batch that takes in all there is."""
        after = EARLIEST if self._position is None else str(self._position["cursor"])
        newest = self._advance(after)
        if newest.committed_at is None and self._position is not None:
            return self._position
        committed = None if newest.committed_at is None else newest.committed_at.isoformat()
        return {"cursor": newest.cursor, "table": newest.table_id, "committed": committed}


try:
    from pyspark.sql.streaming.datasource import (
        ReadAllAvailable,
        ReadLimit,
        ReadMaxBytes,
        ReadMaxRows,
        SupportsTriggerAvailableNow,
    )

    class KustoStreamReader(_Stream, SupportsTriggerAvailableNow):
        """The reader of a stream, with Spark's own admission control (PySpark 4.2 and newer)."""

        def getDefaultReadLimit(self) -> ReadLimit:
            """The options maxRowsPerTrigger and maxBytesPerTrigger."""
            if self._options.max_rows is not None:
                return ReadMaxRows(self._options.max_rows)
            if self._options.max_bytes is not None:
                return ReadMaxBytes(self._options.max_bytes)
            return ReadAllAvailable()

        def latestOffset(self, start: Offset, limit: ReadLimit) -> Offset:
            """The end of the next batch: whole commits, at least one."""
            bounded = not isinstance(limit, ReadAllAvailable)
            rows = limit.max_rows if isinstance(limit, ReadMaxRows) else self._options.max_rows
            size = limit.max_bytes if isinstance(limit, ReadMaxBytes) else self._options.max_bytes
            return self._next(start, rows if bounded else None, size if bounded else None)

        def prepareForTriggerAvailableNow(self) -> None:
            """Read no further than what is there now."""
            self._target = self._open().cursor(self._options.connection.database)

        def reportLatestOffset(self) -> Offset | None:
            """The newest commit, so that progress shows how far behind the stream is."""
            return self._reported()

except ImportError:

    class KustoStreamReader(_Stream):  # type: ignore[no-redef]
        """The reader of a stream where Spark has no admission control: the source bounds batches by itself.

        All but the first of a run: the triggers Once and AvailableNow make that one batch only, and nothing
        tells them from others here, so it takes in what there is.
        """

        _is_first = True

        def latestOffset(self) -> Offset:  # type: ignore[override]
            """The end of the next batch: whole commits, at least one."""
            bounded = not self._is_first
            self._is_first = False
            offset = self._next(
                self._position,
                self._options.max_rows if bounded else None,
                self._options.max_bytes if bounded else None,
            )
            log.info("stream at cursor %s, newest %s", offset["cursor"], self._reported()["cursor"])
            return offset
