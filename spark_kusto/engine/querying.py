"""Queries: compiled against a pinned catalog, run over its snapshots, or cut into tasks."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_kusto import kql
from spark_kusto.engine.activity import Activity
from spark_kusto.engine.catalog import PinnedCatalog
from spark_kusto.engine.limits import RequestLimits, request_limits
from spark_kusto.engine.pruning import pruned
from spark_kusto.engine.running import QueryRun
from spark_kusto.engine.scans import ScanFile, between, is_virtual, scan_files
from spark_kusto.engine.tasks import ReadTask, ScanSource, make_runner
from spark_kusto.errors import UnsupportedError
from spark_kusto.kql.compiled import CompiledQuery, CompileOptions, Scan, SqlStage, sql_stages
from spark_kusto.types import Column

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.engine.engine import Engine
    from spark_kusto.storage.model import Extent

SPLIT_FROM = 1.5
"""A file is read in parts when it has more than this many times the bytes a task aims at."""


@dataclass(frozen=True)
class ColumnsRead:
    """The stored columns that a scan reads of its extents."""

    extents: tuple[Extent, ...]
    columns: tuple[int, ...]

    def share(self) -> float:
        """Bytes of these columns in the bytes of the files; 1 where the catalog does not know."""
        read = whole = 0
        for extent in self.extents:
            whole += extent.size
            for column in self.columns:
                # A column that an extent lacks is all default and read from nowhere.
                known = extent.statistics.get(column)
                if known is not None:
                    read += extent.size if known.size is None else known.size
        return min(read / whole, 1.0) if whole else 1.0


@dataclass(frozen=True)
class Prepared:
    """A compiled query with what its scans read."""

    query: CompiledQuery
    sources: Mapping[str, ScanSource]
    directories: tuple[str, ...]
    sequences: Mapping[str, int]
    cursor: str
    extents_total: int = 0
    reads: Mapping[str, ColumnsRead] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of all scans after pruning."""
        return sum(file.rows for source in self.sources.values() for file in source.files)

    @property
    def bytes(self) -> int:
        """Bytes of all scans after pruning."""
        return sum(file.size for source in self.sources.values() for file in source.files)

    @property
    def scanned(self) -> dict[str, int]:
        """Statistics of the scans, for the list of queries."""
        return {
            "extents_total": self.extents_total,
            "extents_scanned": sum(len(source.files) for source in self.sources.values()),
            "rows": self.rows,
            "bytes": self.bytes,
        }

    def is_present(self) -> bool:
        """Whether all files are still there, which those of an old snapshot may not be."""
        return all(os.path.exists(file.path) for source in self.sources.values() for file in source.files)

    @property
    def never_null(self) -> frozenset[str]:
        """Columns of the first result that are stored ones, without a null in any extent that is read."""
        stage = self.query.stages[0]
        if not self.query.row_wise or not isinstance(stage, SqlStage) or len(stage.scans) != 1:
            return frozenset()
        (scan,) = stage.scans
        source, read = self.sources[scan.id], self.reads[scan.id]
        # Stored columns under their own names, and at most a filter: nothing else is written like this.
        plain = f"SELECT {', '.join(column.sql_name for column in stage.columns)} FROM {scan.id}"
        if stage.sql != plain and not stage.sql.startswith((f"{plain} WHERE ", f"{plain}\nWHERE ")):
            return frozenset()
        if scan.kind != "table" or source.table is not None:
            return frozenset()
        stored = [column.sql_name for column in scan.columns if not is_virtual(column.name)]
        whole = {
            name
            for name, column in zip(stored, read.columns, strict=True)
            if all(_has_no_null(extent, column) for extent in read.extents)
        }
        return frozenset(c.name for c in self.query.results[0].columns if c.sql_name in whole)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of the first result."""
        return tuple(Column(column.name, column.type) for column in self.query.results[0].columns)


def _has_no_null(extent: Extent, column: int) -> bool:
    known = extent.statistics.get(column)
    return column in extent.fields and known is not None and known.null_count == 0


class Querying:
    """Compiles and runs queries for an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def catalog(self, sequences: Mapping[str, int] | None = None) -> PinnedCatalog:
        """A catalog as of now, or as of given commit sequences by database id."""
        engine = self._engine
        return PinnedCatalog(
            engine.database, engine.root.database_names, sequences, row_filter=engine.row_filter
        )

    def compile(
        self,
        database: str,
        text: str | kql.syntax.Query,
        *,
        parameters: Mapping[str, object] | None = None,
        now: dt.datetime | None = None,
        catalog: PinnedCatalog | None = None,
        activity: Activity | None = None,
        after: int | None = None,
        until: int | None = None,
    ) -> Prepared:
        """Text to stages, and the files that they read, as of one moment."""
        catalog = catalog or self.catalog()
        home, snapshot = catalog.pinned(database)

        def probe(compiled: CompiledQuery) -> pa.Table:
            prepared = self._prepare(compiled, catalog, home.name, (None, None))
            run = self._start(prepared, activity or self._quiet(home.name), RequestLimits(None, None, None))
            try:
                names = [column.sql_name for column in compiled.results[0].columns]
                return run.primary.table().rename_columns(names)
            finally:
                run.close()

        compiled = kql.compile(
            text,
            catalog,
            database=home.name,
            parameters=parameters,
            now=now or dt.datetime.now(dt.timezone.utc),
            probe=probe,
            options=CompileOptions(
                principal=self._engine.principal,
                cluster=self._engine.address,
                cursor=snapshot.cursor,
            ),
        )
        return self._prepare(compiled, catalog, home.name, (after, until))

    def _quiet(self, database: str) -> Activity:
        return Activity(client_id="probe", kind="probe", text="", database=database)

    def _prepare(
        self,
        compiled: CompiledQuery,
        catalog: PinnedCatalog,
        database: str,
        bounds: tuple[int | None, int | None],
    ) -> Prepared:
        sources: dict[str, ScanSource] = {}
        reads: dict[str, ColumnsRead] = {}
        total = 0
        directories = {str(self._engine.root.path)}
        for stage in sql_stages(compiled.stages):
            for scan in stage.scans:
                source, extents, directory, read = self._source(scan, catalog)
                reads[scan.id] = read
                if bounds != (None, None):
                    files = tuple(between(source.files, *bounds))
                    source = replace(source, files=files, after=bounds[0], until=bounds[1])
                sources[scan.id] = source
                total += extents
                directories.add(directory)
        root = str(self._engine.root.path)
        outside = {d for d in directories if d != root and not d.startswith(root + "/")}
        _home, snapshot = catalog.pinned(database)
        return Prepared(
            compiled,
            sources,
            (root, *sorted(outside)),
            catalog.sequences(),
            snapshot.cursor,
            total,
            reads,
        )

    def _source(self, scan: Scan, catalog: PinnedCatalog) -> tuple[ScanSource, int, str, ColumnsRead]:
        if scan.kind == "external_table":
            raise UnsupportedError(
                f"External table '{scan.table}' cannot be queried: external tables are not offered here.",
                feature="external tables",
            )
        database, snapshot = catalog.pinned(scan.database)
        defined = catalog.defined(scan.table)
        if defined is not None:
            return ScanSource((), table=defined), 0, str(database.path), ColumnsRead((), ())
        table = snapshot.table(scan.table)
        columns = [table.column(column.name) for column in scan.columns if not is_virtual(column.name)]
        extents = pruned(table, scan.predicates)
        files = scan_files(extents, columns)
        return (
            ScanSource(files, self._engine.keeps_ingestion_time(database, table), total=len(table.extents)),
            len(table.extents),
            str(database.path),
            ColumnsRead(extents, tuple(column.id for column in columns)),
        )

    # -- running

    def run(
        self,
        database: str,
        text: str | kql.syntax.Query,
        *,
        parameters: Mapping[str, object] | None,
        properties: Mapping[str, object] | None,
        activity: Activity,
        catalog: PinnedCatalog | None = None,
        limits: RequestLimits | None = None,
    ) -> QueryRun:
        """Compile and start a query; with limits on the result it is computed at once, else streamed."""
        first = limits or request_limits(properties)
        activity.limit(first.seconds)
        prepared = self.compile(
            database, text, parameters=parameters, now=first.now, catalog=catalog, activity=activity
        )
        if limits is None:
            limits = request_limits(properties, prepared.query.options)
            activity.limit(limits.seconds)
        return self._start(prepared, activity, limits)

    def _start(self, prepared: Prepared, activity: Activity, limits: RequestLimits) -> QueryRun:
        engine = self._engine
        activity.scanned = prepared.scanned
        instance = engine.instance(prepared.directories, limits.memory)
        runner = make_runner(
            instance, prepared.sources, activity, limits, owns_activity=activity.kind == "query"
        )
        try:
            results = runner.run(prepared.query, lazy=limits.records is None)
        except BaseException as error:
            runner.finish(error)
            raise
        return QueryRun(results, activity, runner.finish)

    # -- tasks

    def plan(
        self,
        prepared: Prepared,
        *,
        parallelism: int,
        target_bytes: int,
        seconds: float | None,
        split: bool = True,
    ) -> TaskPlan:
        """Cut a prepared query into tasks; one, unless it works row by row (and ``split``)."""
        base = ReadTask(
            query=prepared.query,
            sources=prepared.sources,
            directories=prepared.directories,
            spill=str(self._engine.spill),
            rows=prepared.rows,
            bytes=prepared.bytes,
            seconds=seconds,
        )
        tasks: tuple[ReadTask, ...] = (base,)
        if split and prepared.query.row_wise and len(prepared.sources) == 1 and prepared.rows:
            (scan_id, source) = next(iter(prepared.sources.items()))
            share = -(-prepared.bytes // max(parallelism, 1))
            # What a task reads is a few columns of its files, and many small tasks cost more than they read.
            read = max(prepared.reads[scan_id].share(), LEAST_SHARE)
            target = max(min(int(target_bytes / read), share), MIN_TASK_BYTES)
            tasks = tuple(
                replace(
                    base,
                    sources={scan_id: replace(source, files=files)},
                    threads=1,
                    rows=sum(file.rows for file in files),
                    bytes=sum(file.size for file in files),
                )
                for files in pack(source.files, target)
            )
        return TaskPlan(tasks, prepared.columns, prepared.cursor, prepared.rows, prepared.bytes)


@dataclass(frozen=True)
class TaskPlan:
    """A query cut into tasks; ``rows`` and ``bytes`` are what they read, an upper bound."""

    tasks: tuple[ReadTask, ...]
    columns: tuple[Column, ...]
    cursor: str
    rows: int
    bytes: int
    exact: bool = False


LEAST_SHARE = 1 / 16
"""A task's files have at most 1/this of the bytes it aims at, however few of them it reads."""

MIN_TASK_BYTES = 1 << 20
"""Below this, another task costs more than it saves."""


def pack(files: Sequence[ScanFile], target: int) -> list[tuple[ScanFile, ...]]:
    """Files, in order, in groups of about ``target`` bytes; large ones are cut between row groups."""
    packs: list[tuple[ScanFile, ...]] = []
    current: list[ScanFile] = []
    size = 0
    for file in files:
        for piece in _pieces(file, target):
            if current and size + piece.size > target * 1.2:
                packs.append(tuple(current))
                current, size = [], 0
            current.append(piece)
            size += piece.size
    if current:
        packs.append(tuple(current))
    return packs


def _pieces(file: ScanFile, target: int) -> list[ScanFile]:
    """The file, or its row groups in runs of about ``target`` bytes."""
    if file.size <= SPLIT_FROM * target or len(file.row_groups) < 2:
        return [file]
    wanted = max(file.rows * target / file.size, 1.0)
    pieces = []
    first = end = 0
    for rows in file.row_groups:
        if end > first and end - first + rows > wanted * 1.2:
            pieces.append(file.part(first, end))
            first = end
        end += rows
    pieces.append(file.part(first, end))
    return pieces
