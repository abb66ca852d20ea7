"""Batch reads: the driver plans tasks over one snapshot, executors stream record batches."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSourceReader, InputPartition

from spark_kusto.errors import KustoError, OptionError, StagingError, redact
from spark_kusto.spark.aggregates import Total
from spark_kusto.spark.export_cache import ExportCache, cache_key
from spark_kusto.spark.names import ReadMode
from spark_kusto.spark.options import SourceOptions
from spark_kusto.spark.pushdown import PushedQuery
from spark_kusto.spark.query_text import quoted_name
from spark_kusto.spark.reading import Field, Shaper, base_query, fields_of, natural, project
from spark_kusto.spark.shipping import shipped
from spark_kusto.spark.staging import open_staging
from spark_kusto.spark.task_reader import acknowledge_input, packed
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType

    from spark_kusto.client import Cluster, ScanPlan, ScanTask

log = logging.getLogger("spark_kusto.spark")

_OPTIMIZER_WORKER = "pyspark.sql.worker.data_source_pushdown_filters"
"""The worker in which Spark plans reads from its optimizer, where its own push-down of filters is enabled."""
_ATTEMPTS = 4
_SMALL_ROWS = 100_000
_BATCH_BYTES = 1 << 21
"""Of a batch for Spark, which goes through its columns row by row: they should fit the cache."""
_LEAST_ROWS = 8_192

_MODES: dict[ReadMode | None, Any] = {
    None: "auto",
    ReadMode.ForceSingleMode: "single",
    ReadMode.ForceDistributedMode: "distributed",
}


class ExportWanted(Exception):
    """A read that was to be planned without running anything would be exported."""


class KustoPartition(InputPartition):
    """One task of a read, with what makes its batches Spark's."""

    def __init__(self, task: ScanTask, fields: tuple[Field, ...], totals: dict[str, Total]) -> None:
        super().__init__(None)
        self.task = task
        self.fields = fields
        self.totals = totals


class UnplannedPartition(InputPartition):
    """In place of the tasks of a distributed read that Spark plans while it optimizes.

    ``explain()`` optimizes, too, and must not export anything. The optimizer rule plans such a read again.
    """

    def refused(self) -> KustoError:
        """The error of a read that was not planned again."""
        return OptionError(
            "Spark planned this distributed read while it optimized the query, when nothing may be exported,"
            " because spark.sql.python.filterPushdown.enabled is true.",
            remedy="Set it to false, call spark_kusto.register(spark) on a classic session, or use readMode"
            " ForceSingleMode.",
        )


class KustoReader(DataSourceReader):
    """Reads a query; ``pushFilters`` is Spark's own, because accepted filters leak between plans."""

    def __init__(self, options: SourceOptions, schema: StructType) -> None:
        self._options = options
        self._wanted = fields_of(schema)

    def __reduce__(self) -> Any:
        # Executors only read partitions: no options, and so no credentials, travel in the reader.
        bare = KustoReader.__new__(KustoReader)
        return shipped(bare)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        acknowledge_input()

    def pruneColumns(self, requiredSchema: StructType) -> StructType:
        """Column pruning as apache/spark PR 50472 proposes it, for engines that call it."""
        if len(requiredSchema.fields):
            self._wanted = fields_of(requiredSchema)
            return requiredSchema
        raise KustoError("At least one column must be read.")

    def partitions(self) -> Sequence[InputPartition]:
        """The tasks; runs no query where the cluster can plan without."""
        optimizing = _OPTIMIZER_WORKER in sys.modules
        if optimizing and self._options.read_mode is ReadMode.ForceDistributedMode:
            return [UnplannedPartition(None)]
        with self._options.connection.open(create=False) as cluster:
            return plan_partitions(cluster, self._options, self._wanted, export=not optimizing)

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """The batches of one task."""
        return read_partition(partition)


class PackedTask(InputPartition):
    """One task of a read, as a row."""

    def __init__(self, task: bytes) -> None:
        super().__init__(None)
        self.task = task


class TaskLister(DataSourceReader):
    """The tasks of a read as rows, for the map that reads them (``task_reader``).

    Args:
        wanted: the columns of the read, a Spark schema as JSON.
    """

    def __init__(self, options: SourceOptions, wanted: str) -> None:
        from pyspark.sql.types import StructType

        self._read = KustoReader(options, StructType.fromJson(json.loads(wanted)))

    def __reduce__(self) -> Any:
        # As with KustoReader: no options.
        return shipped(TaskLister.__new__(TaskLister))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        acknowledge_input()

    def partitions(self) -> Sequence[InputPartition]:
        """One for each task of the read, which is planned now."""
        return [PackedTask(task) for task in packed(self._read.partitions())]

    def read(self, partition: InputPartition) -> Iterator[tuple[bytes]]:
        """The one row of a partition."""
        if isinstance(partition, PackedTask):
            yield (partition.task,)


def plan_partitions(
    cluster: Cluster,
    options: SourceOptions,
    wanted: Sequence[tuple[str, str, bool]],
    *,
    after: str | None = None,
    snapshot: str | None = None,
    export: bool = True,
    announcements: list[Callable[[], None]] | None = None,
) -> list[InputPartition]:
    """The tasks of a read, or of a stream's micro-batch where ``after`` and ``snapshot`` bound it.

    export: False never runs anything.
    announcements: gets what is to be called when the tasks run, which lists the read in ``.show queries`` and
        logs it, where that may be never. Raises ExportWanted where a result would be exported.
    """
    database = options.connection.database
    query = base_query(options)
    pushed = PushedQuery() if options.pushed is None else PushedQuery.from_json(options.pushed)
    columns = cluster.schema(database, query, options.parameters)
    if pushed.results is None:
        projection = project(columns, wanted, projected=False)
        tail = (f"\n{pushed.kql}" if pushed.kql else "") + projection.kql
        fields = projection.fields
    else:
        tail = f"\n{pushed.kql}"
        made = {c.name: c.type for c in cluster.schema(database, query + tail, options.parameters)}
        fields = tuple(
            Field(name, spark, nullable, name, made.get(name, KustoType.LONG))
            for name, spark, nullable in wanted
        )
    # Nothing is gained by exporting an answer that is known to be small.
    small = pushed.results is not None or (pushed.limit is not None and pushed.limit <= _SMALL_ROWS)
    cache = key = None
    # A stream reads each of its batches once.
    keeps = options.transient_cache and export and after is None
    if keeps and not small and options.read_mode is not ReadMode.ForceSingleMode:
        cache, key = ExportCache.of_application(), cache_key(options, query, tail)
    plans = None if cache is None or key is None else cache.find(key)
    if plans is None:
        plans = _plans(
            cluster,
            options,
            query,
            tail,
            after=after,
            snapshot=snapshot or options.snapshot,
            is_small=small,
            is_whole=pushed.results is not None or pushed.limit is not None,
            export=export,
            listed=announcements is None,
        )
        if announcements is not None and any(plan.deferred for plan in plans):
            raise ExportWanted
        if cache is not None and key is not None:
            cache.keep(key, plans)
    if pushed.results is None:
        known = frozenset.intersection(*(plan.never_null for plan in plans))
        fields = tuple(
            replace(field, never_null=True)
            if field.source in known and field.spark == natural(field.kusto)
            else field
            for field in fields
        )
    totals = dict(pushed.totals)
    tasks: list[InputPartition] = [
        KustoPartition(task, fields, totals) for plan in plans for task in plan.tasks
    ]
    figures = (
        database,
        len(tasks),
        sum(plan.rows or 0 for plan in plans),
        sum(plan.bytes or 0 for plan in plans),
        plans[0].cursor,
        redact(" ".join((query + tail).split())),
    )

    def note() -> None:
        log.info("read of %s: %s tasks, about %s rows and %s bytes, cursor %s: %s", *figures)

    if announcements is None:
        note()
    else:
        announcements += [plan.announce for plan in plans if plan.announce is not None] + [note]
    return tasks


def _plans(
    cluster: Cluster,
    options: SourceOptions,
    query: str,
    tail: str,
    *,
    after: str | None,
    snapshot: str | None,
    is_small: bool,
    is_whole: bool,
    export: bool,
    listed: bool,
) -> list[ScanPlan]:
    """The plans of a query and what is appended to it; one, or one for each part by partitionColumn.

    is_whole: the appended operators (a limit, an aggregate) mean all rows, not those of a part.
    """
    parallelism = options.partitions or options.parallelism or os.cpu_count() or 1

    staging = open_staging(options.connection, options.staging)
    # What `.show queries` lists of this read begins with the option requestId.
    request = f"{options.request_id or 'spark-kusto'};read;{uuid.uuid4()}"
    properties = {**options.properties, "ClientRequestId": request}
    mode = _MODES[options.read_mode]
    if options.read_mode is None and is_small:
        mode = "single"

    def plan(text: str, at: str | None) -> ScanPlan:
        return cluster.plan_scan(
            options.connection.database,
            text,
            parallelism=parallelism,
            target_bytes=options.partition_bytes,
            snapshot=at,
            after=after,
            shape="spark",
            parameters=dict(options.parameters),
            properties=properties,
            mode=mode,
            export=export,
            expiry=options.expiry,
            export_options=options.export_options,
            staging=staging,
            purpose=options.application or "read",
            listed=listed,
        )

    if options.partition_column is None or options.partitions is None or is_whole:
        return [plan(query + tail, snapshot)]
    count = options.partitions
    # A null's hash may be null: the first part takes those.
    part = f"hash({quoted_name(options.partition_column)}, {count})"
    plans = [plan(f"{query}\n| where {part} == 0 or isnull({part}){tail}", snapshot)]
    at = snapshot or plans[0].cursor
    plans += [plan(f"{query}\n| where {part} == {i}{tail}", at) for i in range(1, count)]
    return plans


def read_partition(partition: InputPartition) -> Iterator[pa.RecordBatch]:
    """The batches of one task, in Spark's shape; tries again when a transient failure comes first."""
    if isinstance(partition, UnplannedPartition):
        raise partition.refused()
    if not isinstance(partition, KustoPartition):
        return
    from spark_kusto.client import read_scan

    shaper = Shaper(partition.fields, partition.totals)
    for attempt in range(_ATTEMPTS):
        started = False
        try:
            for batch in read_scan(partition.task):
                started = True
                if not batch.num_rows:
                    continue
                shaped = shaper.shape(batch)
                rows = max(_LEAST_ROWS, shaped.num_rows * _BATCH_BYTES // max(shaped.nbytes, 1))
                for start in range(0, shaped.num_rows, rows):
                    yield shaped.slice(start, rows)
            return
        except KustoError as error:
            # Staging has tried each of its requests again already.
            final = error.permanent or isinstance(error, StagingError)
            if started or final or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.2 * 4**attempt)


def columns_wanted(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """The columns of these names, in their order.

    Raises:
        EntityNotFoundError: a name is not among them; the nearest is offered.
    """
    found = project(columns, [(name, _any_type(columns, name), True) for name in names], projected=False)
    by_name = {column.name: column for column in columns}
    return [replace(by_name[field.source]) for field in found.fields]


def _any_type(columns: Sequence[Column], name: str) -> str:
    folded = name.lower()
    return next((c.type.spark for c in columns if c.name.lower() == folded), "string")
