"""What the engine executes: stages of SQL and of Python operators over Arrow tables.

Everything here is an immutable, picklable value. A stage's columns have SQL names (``c1``,
``c2`` ...) that are unique within the compiled query and never users' names; the results map
them to Kusto names and types. Values travel in storage form (see ``types.table``): datetime as
TIMESTAMP in microseconds UTC, timespan as BIGINT ticks, guid as UUID, dynamic as JSON text,
string never NULL, decimal as DECIMAL(38,18).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from spark_kusto.types import KustoType

INGESTION_TIME = "$ingestion_time"
"""Virtual column of a scan, datetime: when the row was ingested (NULL if the policy is off)."""
CURSOR = "$cursor"
"""Virtual column of a scan, long: the commit sequence that brought the row."""
EXTENT_ID = "$extent_id"
"""Virtual column of a scan, guid."""
INFER_SCHEMA = "$infer_schema"
"""Property of an external source whose schema is asked for, not its data: with the plugin's options."""
EXTENT_TAGS = "$extent_tags"
"""Virtual column of a scan, dynamic: the extent's tags, an array of strings."""


@dataclass(frozen=True)
class ScanColumn:
    """A column that a scan must provide.

    Attributes:
        name: the table's column, or one of the virtual columns above.
        sql_name: what the SQL calls it.
        type: its Kusto type.
    """

    name: str
    sql_name: str
    type: KustoType


@dataclass(frozen=True)
class ScanPredicate:
    """A conjunct that every row in the answer fulfils, fit for pruning by extent statistics.

    The SQL filters too: a predicate may be ignored, and never needs to be applied exactly.

    Attributes:
        column: the table's column, or a virtual column.
        operator: ``==``, ``<``, ``<=``, ``>``, ``>=``, ``in``, ``startswith`` (with regard to
            case), ``isnull``, ``isnotnull``, or ``has`` (the lower-case terms, all of
            which the value contains).
        value: in Python: bool, int, float, Decimal, str, naive UTC datetime, int ticks of a
            timespan, UUID; a tuple of these for ``in`` and ``has``; None for the null tests.
    """

    column: str
    operator: str
    value: Any = None


@dataclass(frozen=True)
class Scan:
    """One use of a table. SQL reads it as a relation named ``id`` with the columns' SQL names.

    Attributes:
        id: name of the relation, such as ``scan_0``.
        database: database of the table.
        table: name of the table.
        columns: what the SQL reads, and nothing else. May be empty: only rows are counted.
        predicates: conjuncts for pruning.
        kind: ``table``, ``materialized_view`` or ``external_table``.
    """

    id: str
    database: str
    table: str
    columns: tuple[ScanColumn, ...]
    predicates: tuple[ScanPredicate, ...] = ()
    kind: str = "table"


@dataclass(frozen=True)
class ExternalSource:
    """Data that ``externaldata`` reads; the engine loads it and names the relation ``id``.

    Attributes:
        uris: addresses, connection string suffixes included. Secrets: keep out of messages.
        format: data format in Kusto's spelling (``csv``, ``json``, ``multijson``, ``txt`` ...),
            or None to tell by the file's name.
        columns: the declared columns, in order; their ``name`` is the declared one.
        properties: the ``with`` properties, keys in lower case.
    """

    id: str
    uris: tuple[str, ...] = field(repr=False)
    format: str | None
    columns: tuple[ScanColumn, ...]
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StageColumn:
    """A column of a stage's result, and so a column of the Arrow table handed to the next.

    ``name`` is the Kusto name where the column has one, otherwise the SQL name.
    """

    name: str
    sql_name: str
    type: KustoType


@dataclass(frozen=True)
class PythonFunction:
    """A Python function that a stage's SQL calls, to be created on the connection.

    ``registry.udf(function)`` gives what ``duckdb``'s ``create_function`` needs.

    Attributes:
        sql_name: name in SQL.
        name: key of the registry's row.
        parameters: types of the arguments, one for each.
        returns: type of the result.
    """

    sql_name: str
    name: str
    parameters: tuple[KustoType, ...]
    returns: KustoType


@dataclass(frozen=True)
class SqlStage:
    """One SQL statement.

    Attributes:
        id: such as ``stage_0``.
        sql: reads ``FROM scan_0`` (scans), ``FROM external_0`` and ``FROM stage_1`` (inputs).
        scans: tables it reads.
        inputs: ids of stages whose Arrow results it reads, as relations of that name with their
            columns' SQL names.
        externals: ``externaldata`` sources.
        python_functions: functions to create first.
        parameters: values for ``$name`` in the SQL.
        columns: of the result, in order.
    """

    id: str
    sql: str
    scans: tuple[Scan, ...] = ()
    inputs: tuple[str, ...] = ()
    externals: tuple[ExternalSource, ...] = ()
    python_functions: tuple[PythonFunction, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[StageColumn, ...] = ()


@dataclass(frozen=True)
class PythonStage:
    """One Python operator over Arrow tables: ``registry.run_stage(stage, tables)`` runs it.

    Attributes:
        id: such as ``stage_1``.
        operator: key in the registry of tabular Python operators.
        inputs: ids of the stages whose results it takes, in order.
        input_columns: for each input, its columns (Kusto name, SQL name, type).
        arguments: what the operator's binder prepared; picklable.
        columns: of the result, in order.
    """

    id: str
    operator: str
    inputs: tuple[str, ...]
    input_columns: tuple[tuple[StageColumn, ...], ...]
    arguments: Any
    columns: tuple[StageColumn, ...]


@dataclass(frozen=True)
class GroupRows:
    """Rows of which an ``EachStage`` hands its stages one group after another.

    Attributes:
        input: id of the stage that gives all of them.
        key: their column with the group's key.
        relation: name under which the stages read the group's rows, as an input.
        columns: what the relation has.
    """

    input: str
    key: str
    relation: str
    columns: tuple[StageColumn, ...]


@dataclass(frozen=True)
class EachStage:
    """Stages that run once for each group of rows, for subqueries that one SQL statement cannot run
    for each row apart: ``registry.run_each(stage, tables, run)`` goes over the groups.

    Attributes:
        id: such as ``stage_1``.
        groups: id of the stage that gives the keys, one row for each group.
        key: the keys' column there.
        rows: what the stages read, by group.
        stages: run in order for each group.
        result: id of the stage among them whose result counts.
        columns: of the result: the key, and those of the stages' result.
    """

    id: str
    groups: str
    key: str
    rows: tuple[GroupRows, ...]
    stages: tuple[Stage, ...]
    result: str
    columns: tuple[StageColumn, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Ids of all stages whose results are read: the keys first, then the rows, then others."""
        own = {stage.id for stage in self.stages} | {rows.relation for rows in self.rows}
        read = (name for stage in self.stages for name in stage.inputs if name not in own)
        return tuple(dict.fromkeys((self.groups, *(rows.input for rows in self.rows), *read)))


Stage = SqlStage | PythonStage | EachStage


def sql_stages(stages: Iterable[Stage]) -> Iterator[SqlStage]:
    """All SQL statements, those that run for each group included."""
    for stage in stages:
        if isinstance(stage, SqlStage):
            yield stage
        elif isinstance(stage, EachStage):
            yield from sql_stages(stage.stages)


@dataclass(frozen=True)
class ResultColumn:
    """A column of a result: its Kusto name, its type, and the stage's column that holds it."""

    name: str
    type: KustoType
    sql_name: str


@dataclass(frozen=True)
class QueryResult:
    """One result table.

    Attributes:
        name: ``PrimaryResult``, or the name that ``fork`` or ``as`` gave.
        stage_id: the stage that makes it.
        columns: in order. Names are unique, with regard to case.
        visualization: properties of ``render`` in the spelling of Kusto's annotations
            (``Visualization``, ``Title``, ``XColumn`` ...), or None.
    """

    name: str
    stage_id: str
    columns: tuple[ResultColumn, ...]
    visualization: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class CompiledQuery:
    """A query ready to run.

    Attributes:
        stages: in an order in which inputs come first.
        results: the result tables, in order.
        row_wise: one SQL stage over one scan that filters and computes row by row: it may be
            run over any split of the scan's rows, and the results put together.
        options: ``set`` statements, keys in lower case; bare options have the value True.
        is_ordered: whether the (first) result has a defined order of rows.
        databases: names of the databases that are read.
    """

    stages: tuple[Stage, ...]
    results: tuple[QueryResult, ...]
    row_wise: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    is_ordered: bool = False
    databases: tuple[str, ...] = ()

    def stage(self, stage_id: str) -> Stage:
        """The stage of that id."""
        return next(stage for stage in self.stages if stage.id == stage_id)


@dataclass(frozen=True)
class CompileOptions:
    """What the engine can tell the binder.

    Attributes:
        principal: fully qualified name for ``current_principal()``.
        cluster: address for ``current_cluster_endpoint()``.
        cursor: current database cursor, for ``cursor_current()`` and ``current_cursor()``.
        optimize: False writes every operator as its own subquery, for debugging.
    """

    principal: str = ""
    cluster: str = ""
    cursor: str = ""
    optimize: bool = True
