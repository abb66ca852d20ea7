"""Running a compiled query: its stages in order, the last one streamed.

Values are in storage form here (see ``types.table``), guids as text.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_kusto.engine.activity import Activity
from spark_kusto.engine.connections import Instance, Interrupted, stream, translate
from spark_kusto.engine.limits import RequestLimits, too_many_bytes, too_many_records
from spark_kusto.errors import KustoError
from spark_kusto.kql import registry
from spark_kusto.kql.compiled import (
    CompiledQuery,
    EachStage,
    ExternalSource,
    PythonStage,
    QueryResult,
    Scan,
    SqlStage,
    Stage,
    StageColumn,
)
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa

_TOKENS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+""")
"""Words of a statement, and its texts and quoted names each as a whole."""
_WITH = re.compile(r"^\s*WITH(\s+RECURSIVE)?\s", re.IGNORECASE)


@dataclass
class ResultTable:
    """One result of a query or command.

    Attributes:
        name: ``PrimaryResult``, or what ``fork`` or ``as`` named.
        columns: in order.
        visualization: of ``render``, or None.
    """

    name: str
    columns: tuple[Column, ...]
    visualization: Mapping[str, Any] | None
    _batches: Iterator[pa.RecordBatch]
    _table: pa.Table | None = None

    @staticmethod
    def of(
        name: str,
        columns: Sequence[Column],
        table: pa.Table,
        visualization: Mapping[str, Any] | None = None,
    ) -> ResultTable:
        """A result that is there already, in storage form."""
        return ResultTable(name, tuple(columns), visualization, iter(()), table)

    @property
    def is_stream(self) -> bool:
        """Whether it is still being computed."""
        return self._table is None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches in storage form, columns named as Kusto has them. Only once, unless
        :meth:`table` was called before."""
        if self._table is not None:
            return iter(self._table.to_batches())
        return self._batches

    def table(self) -> pa.Table:
        """The whole result in storage form."""
        if self._table is None:
            import pyarrow

            batches = list(self._batches)
            schema = batches[0].schema if batches else storage_text_schema(self.columns)
            self._table = pyarrow.Table.from_batches(batches, schema)
        return self._table


@dataclass
class QueryRun:
    """A started query: its results, to be read once, and what is known of it."""

    results: tuple[ResultTable, ...]
    activity: Activity
    _close: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def primary(self) -> ResultTable:
        """The first result."""
        return self.results[0]

    def close(self) -> None:
        """Stop it if it still runs and free what it holds."""
        self._close()


def storage_text_schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema in which stages pass values on: storage forms, guids as text."""
    import pyarrow

    return pyarrow.schema(
        [
            pyarrow.field(
                column.name,
                pyarrow.string() if column.type is KustoType.GUID else column.type.arrow_storage(),
                metadata={b"kusto.type": column.type.value.encode()},
            )
            for column in columns
        ]
    )


def with_relations(sql: str, relations: Sequence[tuple[str, str]]) -> str:
    """A statement that can name relations: as common table expressions before its own, or in place.

    DuckDB moves only the simplest filters into a scan through an expression, whatever it selects. A scan that
    stands in the statement itself evaluates any filter before it decodes the other columns.
    """
    named = []
    for name, text in relations:
        inlined = _inlined(sql, name, text)
        if inlined is None:
            named.append((name, text))
        else:
            sql = inlined
    relations = named
    if not relations:
        return sql
    ours = ", ".join(f"{name} AS NOT MATERIALIZED ({text})" for name, text in relations)
    match = _WITH.match(sql)
    if match is None:
        return f"WITH {ours} {sql}"
    return f"WITH{match.group(1) or ''} {ours}, {sql[match.end() :]}"


def _inlined(sql: str, name: str, text: str) -> str | None:
    """The statement with a plain scan in the one place that reads it; None if there is no such place."""
    if not text.startswith("FROM "):
        return None
    found = [match for match in _TOKENS.finditer(sql) if match.group() == name]
    if len(found) != 1:
        return None
    start, end = found[0].span()
    if not sql[:start].endswith("FROM ") or sql[end:].lstrip()[:3].upper() == "AS ":
        return None
    return f"{sql[:start]}{text.removeprefix('FROM ')} AS {name}{sql[end:]}"


def conform(batch: pa.RecordBatch, schema: pa.Schema, indices: Sequence[int]) -> pa.RecordBatch:
    """A batch with the wanted columns in order, cast where DuckDB chose a wider type."""
    import pyarrow

    arrays = []
    for index, wanted in zip(indices, schema, strict=True):
        array = batch.column(index)
        if array.type != wanted.type:
            if isinstance(array, pyarrow.ExtensionArray):
                array = _guid_text(array)
            array = array.cast(wanted.type)
        arrays.append(array)
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


def _guid_text(array: pa.ExtensionArray) -> pa.Array:
    import uuid

    import pyarrow

    return pyarrow.array(
        [None if value is None else str(uuid.UUID(bytes=value)) for value in array.storage.to_pylist()],
        pyarrow.string(),
    )


class Runner:
    """Runs the stages of one query on a cursor of its own.

    Args:
        instance: where to run.
        relation: SQL of a scan, or the table in storage form (under Kusto names) that it reads.
        external: the data of an ``externaldata`` source, in storage form under SQL names.
        extents: extent ids by path, to name the extent whose file is at fault.
        owns_activity: whether the activity ends with the query; not where it is part of a command.
    """

    def __init__(
        self,
        instance: Instance,
        relation: Callable[[Scan], str | pa.Table],
        external: Callable[[ExternalSource], pa.Table],
        activity: Activity,
        extents: Mapping[str, str],
        limits: RequestLimits,
        *,
        owns_activity: bool = True,
    ) -> None:
        self._owns_activity = owns_activity
        self._instance = instance
        self._relation = relation
        self._external = external
        self._activity = activity
        self._extents = extents
        self._limits = limits
        self._tables: dict[str, pa.Table] = {}
        self._columns: dict[str, tuple[StageColumn, ...]] = {}
        self._cursor = instance.cursor()
        self._closed = False
        self._guard = threading.Lock()
        self._bytes = 0
        activity.on_stop(self._interrupt)

    def _interrupt(self) -> None:
        with self._guard:
            if not self._closed:
                self._cursor.interrupt()

    def close(self) -> None:
        """Free the cursor."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
        self._cursor.close()
        self._tables.clear()

    # -- stages

    def run(self, query: CompiledQuery, *, lazy: bool) -> tuple[ResultTable, ...]:
        """Run all stages but the last, and give the results.

        lazy: the one result that no other stage reads may be computed while it is read; False
            computes it now.
        """
        results = []
        self._columns = {}
        self._declare(query.stages)
        streamed = query.results[0].stage_id if len(query.results) == 1 and lazy else None
        needed = {stage_input for stage in query.stages for stage_input in stage.inputs}
        for stage in query.stages:
            if stage.id == streamed and stage.id not in needed and isinstance(stage, SqlStage):
                continue
            self._activity.check()
            self._tables[stage.id] = self._run_stage(stage)
        for result in query.results:
            columns = tuple(Column(column.name, column.type) for column in result.columns)
            batches = self._result_batches(query, result, columns)
            table = ResultTable(result.name, columns, result.visualization, self._guarded(batches))
            results.append(table)
        if streamed is None or not lazy:
            for table in results:
                table.table()
            self.finish()
        else:
            results[0]._batches = self._finishing(results[0]._batches)
        return tuple(results)

    def _finishing(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches, and the end of the query with them."""
        failure: BaseException | None = None
        try:
            yield from batches
        except BaseException as error:
            failure = error
            raise
        finally:
            self.finish(None if isinstance(failure, GeneratorExit) else failure)

    def finish(self, error: BaseException | None = None) -> None:
        """Say that the query is over and free what it holds."""
        if self._owns_activity:
            self._activity.finish(error)
        self.close()

    def _declare(self, stages: Iterable[Stage]) -> None:
        for stage in stages:
            self._columns[stage.id] = stage.columns
            if isinstance(stage, EachStage):
                self._columns.update((rows.relation, rows.columns) for rows in stage.rows)
                self._declare(stage.stages)

    def _run_each(self, stage: EachStage) -> pa.Table:
        def run(rows: Mapping[str, pa.Table]) -> pa.Table:
            self._tables.update(rows)
            for inner in stage.stages:
                self._activity.check()
                self._tables[inner.id] = self._run_stage(inner)
            return self._tables[stage.result]

        return registry.run_each(stage, self._tables, run)

    def _run_stage(self, stage: Stage) -> pa.Table:
        import pyarrow

        if isinstance(stage, EachStage):
            return self._run_each(stage)
        if isinstance(stage, PythonStage):
            return registry.run_stage(stage, [self._tables[name] for name in stage.inputs])
        # A column that stands under two names is computed once.
        kinds = {column.sql_name: column.type for column in stage.columns}
        schema = storage_text_schema([Column(name, kind) for name, kind in kinds.items()])
        try:
            reader = self._open(stage)
            indices = [reader.schema.get_field_index(name) for name in schema.names]
            batches = [conform(batch, schema, indices) for batch in reader]
        except Exception as error:
            raise self._failure(error) from error
        return pyarrow.Table.from_batches(batches, schema)

    def _open(self, stage: SqlStage) -> pa.RecordBatchReader:
        self._instance.create_functions(stage.python_functions)
        relations = [(scan.id, self._scan(scan)) for scan in stage.scans]
        for source in stage.externals:
            table = self._external(source)
            columns = [StageColumn(c.name, c.sql_name, c.type) for c in source.columns]
            relations.append((source.id, self._register(source.id, table, columns)))
        relations += [
            (name, self._register(name, self._tables[name], self._columns[name])) for name in stage.inputs
        ]
        return stream(self._cursor, with_relations(stage.sql, relations), stage.parameters)

    def _scan(self, scan: Scan) -> str:
        found = self._relation(scan)
        if isinstance(found, str):
            return found
        table = found.select([column.name for column in scan.columns])
        table = table.rename_columns([column.sql_name for column in scan.columns])
        if not scan.columns:
            return f"SELECT 1 AS c0 FROM range({found.num_rows})"
        return self._register(scan.id, table, [StageColumn(c.name, c.sql_name, c.type) for c in scan.columns])

    def _register(self, name: str, table: pa.Table, columns: Sequence[StageColumn]) -> str:
        self._cursor.register(f"{name}_rows", table)
        items = [
            f"CAST({c.sql_name} AS UUID) AS {c.sql_name}" if c.type is KustoType.GUID else c.sql_name
            for c in {column.sql_name: column for column in columns}.values()
        ]
        return f"SELECT {', '.join(items) or '1 AS c0'} FROM {name}_rows"

    # -- results

    def _result_batches(
        self, query: CompiledQuery, result: QueryResult, columns: Sequence[Column]
    ) -> Iterator[pa.RecordBatch]:
        wanted = storage_text_schema(columns)
        names = [column.sql_name for column in result.columns]
        done = self._tables.get(result.stage_id)
        if done is not None:
            indices = [done.schema.get_field_index(name) for name in names]
            for batch in done.to_batches():
                yield conform(batch, wanted, indices)
            return
        stage = query.stage(result.stage_id)
        assert isinstance(stage, SqlStage)
        reader = self._open(stage)
        indices = [reader.schema.get_field_index(name) for name in names]
        for batch in reader:
            yield conform(batch, wanted, indices)

    def _guarded(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches within the limits, errors in our words, and everything freed at the end."""
        limits = self._limits
        rows = 0
        try:
            for batch in batches:
                self._activity.check()
                if limits.take is not None and rows + batch.num_rows > limits.take:
                    batch = batch.slice(0, limits.take - rows)
                rows += batch.num_rows
                self._bytes += batch.nbytes
                if limits.records is not None and rows > limits.records:
                    raise too_many_records(limits.records)
                if limits.bytes is not None and self._bytes > limits.bytes:
                    raise too_many_bytes(limits.bytes)
                if batch.num_rows:
                    yield batch
                if limits.take is not None and rows >= limits.take:
                    break
        except GeneratorExit:
            raise
        except BaseException as error:
            failure = self._failure(error)
            if failure is error:
                raise
            raise failure from error
        self._activity.result["rows"] = self._activity.result.get("rows", 0) + rows
        self._activity.result["bytes"] = self._bytes

    def _failure(self, error: BaseException) -> BaseException:
        if isinstance(error, KustoError) or not isinstance(error, Exception):
            return error
        failure = translate(error, self._extents)
        return self._activity.stopped() if isinstance(failure, Interrupted) else failure
