"""Reading a query, or a part of one, anywhere: what to run, over which files.

A :class:`ReadTask` pickles and needs no catalog: an executor that sees the cluster's directory under
the same path reads it with one DuckDB instance of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spark_kusto.engine.activity import Activity
from spark_kusto.engine.connections import EXECUTOR_MEMORY, Instance, Resources, missing_file, shared_instance
from spark_kusto.engine.external import load_external
from spark_kusto.engine.limits import RequestLimits
from spark_kusto.engine.running import Runner
from spark_kusto.engine.scans import ScanFile, relation
from spark_kusto.kql.compiled import CompiledQuery, Scan
from spark_kusto.types import Column

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ScanSource:
    """What one scan of a query reads.

    Attributes:
        files: files, or parts of them.
        ingestion_time: False where ingestion time is null.
        after: only rows committed after this sequence.
        table: a result in storage form that is read in place of files.
        total: extents that the table has, before pruning.
    """

    files: tuple[ScanFile, ...]
    ingestion_time: bool = True
    after: int | None = None
    until: int | None = None
    table: pa.Table | None = None
    total: int = 0

    def relation(self, scan: Scan) -> str | pa.Table:
        """SQL of the scan, or the table it reads."""
        if self.table is not None:
            return self.table
        return relation(
            scan.columns,
            self.files,
            ingestion_time=self.ingestion_time,
            after=self.after,
            until=self.until,
        )


@dataclass(frozen=True)
class ReadTask:
    """A query over fixed files.

    Attributes:
        query: what to run.
        sources: what each scan reads, by scan id.
        directories: what DuckDB may read.
        spill: where it may spill; None to fail rather than spill.
        threads: None for all cores.
        rows: of the files.
        bytes: of the files.
        seconds: time it may take; None for no limit.
    """

    query: CompiledQuery
    sources: Mapping[str, ScanSource]
    directories: tuple[str, ...]
    spill: str | None = None
    threads: int | None = None
    rows: int = 0
    bytes: int = 0
    seconds: float | None = None
    database: str = ""
    columns: tuple[Column, ...] = field(default=())

    def batches(self, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        """See :func:`read_task`; the columns are the query's own."""
        return read_task(self)

    def is_present(self) -> bool:
        """Whether its files can still be read."""
        return all(os.path.exists(file.path) for source in self.sources.values() for file in source.files)


def read_task(
    task: ReadTask, *, resources: Resources | None = None, activity: Activity | None = None
) -> Iterator[pa.RecordBatch]:
    """The batches of a task's (first) result, in storage form with guids as text.

    Args:
        task: what to read.
        resources: what it may use; an executor's by default.
        activity: what it is a part of; one of its own by default.

    Raises:
        SnapshotExpiredError: a file has been removed since the task was planned.
        StorageError: the cluster's directory is not visible here.
        CorruptExtentError: a file cannot be read.
    """
    for source in task.sources.values():
        for file in source.files:
            # Before DuckDB, whose message names neither the cause nor the remedy.
            if not os.path.exists(file.path):
                raise missing_file(file.path)
    owned = activity is None
    if activity is None:
        activity = Activity(client_id="scan", kind="scan", text="", database=task.database)
        activity.limit(task.seconds)
    spill = task.spill if task.spill is not None and _is_writable(task.spill) else None
    resources = resources or Resources(EXECUTOR_MEMORY, task.threads)
    instance = shared_instance(task.directories, spill, resources)
    limits = RequestLimits(None, None, None)
    runner = make_runner(instance, task.sources, activity, limits, owns_activity=owned)
    try:
        yield from runner.run(task.query, lazy=True)[0].batches()
    finally:
        runner.finish()


def make_runner(
    instance: Instance,
    sources: Mapping[str, ScanSource],
    activity: Activity,
    limits: RequestLimits,
    *,
    owns_activity: bool = True,
) -> Runner:
    """A runner whose scans read these sources."""
    extents = {file.path: file.extent_id for source in sources.values() for file in source.files}
    return Runner(
        instance,
        relation=lambda scan: sources[scan.id].relation(scan),
        external=load_external,
        activity=activity,
        extents=extents,
        limits=limits,
        owns_activity=owns_activity,
    )


def _is_writable(spill: str) -> bool:
    return os.access(spill if os.path.isdir(spill) else os.path.dirname(spill), os.W_OK)
