"""Runs compiled queries on DuckDB, for tests of the language alone."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from spark_kusto import kql
from spark_kusto.engine.running import with_relations
from spark_kusto.kql import registry
from spark_kusto.kql.catalog import StaticCatalog, StoredFunction
from spark_kusto.kql.compiled import CompiledQuery, PythonStage, QueryResult, SqlStage, Stage
from spark_kusto.types import KustoType

NOW = dt.datetime(2024, 5, 6, 7, 8, 9, 123456)


class Database:
    """A database in memory: tables by name, columns and rows.

    Example:
        >>> Database({"T": ([("x", "long")], [(1,), (2,)])}).rows("T | count")
        [(2,)]
    """

    def __init__(
        self,
        tables: Mapping[str, tuple[Sequence[tuple[str, str]], Sequence[Sequence[Any]] | pa.Table]]
        | None = None,
        functions: Mapping[str, StoredFunction] | None = None,
    ) -> None:
        tables = tables or {}
        self.catalog = StaticCatalog(
            {"db": {name: columns for name, (columns, _) in tables.items()}},
            {"db": dict(functions or {})},
        )
        self.connection = duckdb.connect(config={"threads": "2"})
        self.created: set[str] = set()
        self.tables: dict[str, pa.Table] = {}
        for name, (columns, rows) in tables.items():
            if isinstance(rows, pa.Table):
                data = rows
            else:
                arrays = [
                    pa.array([storage(row[i], kind) for row in rows], arrow_type(kind))
                    for i, (_, kind) in enumerate(columns)
                ]
                data = pa.table(arrays, names=[f"f{i}" for i in range(len(columns))])
            self.tables[name] = data
            view = f"table_{name}".replace(" ", "_")
            self.connection.register(f"source_{view}", data)
            casts = [
                f"f{i}::UUID AS f{i}" if kind == "guid" else f"f{i}" for i, (_, kind) in enumerate(columns)
            ]
            self.connection.execute(
                f'CREATE TABLE "{view}" AS SELECT {", ".join(casts)} FROM "source_{view}"'
            )

    def compile(self, text: str, **options: Any) -> CompiledQuery:
        return kql.compile(text, self.catalog, database="db", now=NOW, probe=self.probe, **options)

    def probe(self, compiled: CompiledQuery) -> pa.Table:
        return self.execute(compiled)[0][1]

    def execute(self, compiled: CompiledQuery) -> list[tuple[QueryResult, pa.Table]]:
        made: dict[str, pa.Table] = {}
        for stage in compiled.stages:
            made[stage.id] = self.run_any(stage, made)
        return [(result, made[result.stage_id]) for result in compiled.results]

    def run_any(self, stage: Stage, made: dict[str, pa.Table]) -> pa.Table:
        if isinstance(stage, PythonStage):
            return registry.run_stage(stage, [made[i] for i in stage.inputs])
        if isinstance(stage, SqlStage):
            return self.run(stage, made)

        def run(rows: Mapping[str, pa.Table]) -> pa.Table:
            made.update(rows)
            for inner in stage.stages:
                made[inner.id] = self.run_any(inner, made)
            return made[stage.result]

        return registry.run_each(stage, made, run)

    def run(self, stage: SqlStage, made: Mapping[str, pa.Table]) -> pa.Table:
        for function in stage.python_functions:
            if function.sql_name not in self.created:
                self.created.add(function.sql_name)
                udf = registry.udf(function)
                self.connection.create_function(
                    udf.name,
                    udf.run,
                    udf.parameters,
                    udf.returns,
                    type="arrow",
                    null_handling="special",
                )
        relations = []
        declared = self.catalog.tables["db"]
        for scan in stage.scans:
            names = [name for name, _ in declared[scan.table]]
            chosen = []
            for column in scan.columns:
                if column.name.startswith("$"):
                    chosen.append(f"NULL::{column.type.duckdb} AS {column.sql_name}")
                else:
                    chosen.append(f"f{names.index(column.name)} AS {column.sql_name}")
            view = f"table_{scan.table}".replace(" ", "_")
            relations.append((scan.id, f'SELECT {", ".join(chosen) or "1 AS one"} FROM "{view}"'))
        for name in stage.inputs:
            self.connection.register(f"input_{name}", made[name])
            relations.append((name, f"SELECT * FROM input_{name}"))
        text = with_relations(stage.sql, relations)
        return self.connection.sql(text, params=dict(stage.parameters) or None).to_arrow_table()

    def query(self, text: str, **options: Any) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
        """Names, types and rows of the first result."""
        compiled = self.compile(text, **options)
        result, table = self.execute(compiled)[0]
        columns = [
            [value(v, column.type) for v in table.column(column.sql_name).to_pylist()]
            for column in result.columns
        ]
        rows = [tuple(row) for row in zip(*columns, strict=True)] if columns else []
        return [c.name for c in result.columns], [c.type.value for c in result.columns], rows

    def rows(self, text: str, **options: Any) -> list[tuple[Any, ...]]:
        return self.query(text, **options)[2]

    def value(self, text: str) -> Any:
        """The value of an expression."""
        return self.rows(f"print {text}")[0][0]


def arrow_type(kind: str) -> pa.DataType:
    return pa.string() if kind == "guid" else KustoType(kind).arrow_storage()


def storage(value: Any, kind: str) -> Any:
    if value is None:
        return "" if kind == "string" else None
    if kind == "dynamic":
        return json.dumps(value)
    if kind == "timespan" and isinstance(value, dt.timedelta):
        return (value.days * 86_400 + value.seconds) * 10_000_000 + value.microseconds * 10
    if kind == "guid":
        return str(value)
    if kind == "decimal":
        return Decimal(value)
    return value


def value(stored: Any, kind: KustoType) -> Any:
    """A stored value in Python: timespan as timedelta, dynamic parsed, datetime naive UTC."""
    if stored is None:
        return None
    if kind is KustoType.DYNAMIC:
        return json.loads(stored)
    if kind is KustoType.TIMESPAN:
        return dt.timedelta(microseconds=stored / 10)
    if kind is KustoType.GUID:
        return stored if isinstance(stored, uuid.UUID) else uuid.UUID(str(stored))
    return stored
