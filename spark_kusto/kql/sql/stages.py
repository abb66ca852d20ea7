"""Cutting a bound query into stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spark_kusto.kql.compiled import (
    CompiledQuery,
    EachStage,
    GroupRows,
    PythonStage,
    QueryResult,
    ResultColumn,
    SqlStage,
    Stage,
    StageColumn,
)
from spark_kusto.kql.plan import Column, EachNode, GroupNode, Node, OrderKey, PythonNode
from spark_kusto.kql.sql.relations import Numbering, StageWriter
from spark_kusto.kql.sql.traversal import nodes_within


@dataclass(frozen=True)
class BoundResult:
    """One result of a bound query.

    Attributes:
        columns: Kusto name and column, in order.
    """

    name: str
    node: Node
    columns: tuple[tuple[str, Column], ...]
    order: tuple[OrderKey, ...] = ()
    visualization: Mapping[str, Any] | None = None


class PlanWriter:
    """Writes the stages of one query."""

    def __init__(self, optimize: bool = True) -> None:
        self._optimize = optimize
        self._numbering = Numbering()
        self._stages: list[Stage] = []
        self._made: dict[int, tuple[Node, str]] = {}
        self._groups: dict[int, str] = {}
        self._row_wise = True
        self._databases: dict[str, None] = {}

    def compile(self, results: Sequence[BoundResult], options: Mapping[str, Any]) -> CompiledQuery:
        """The compiled query."""
        written = []
        for result in results:
            stage = self._sql_stage(result.node, result.columns, result.order)
            columns = tuple(
                ResultColumn(name, column.type, sql.sql_name)
                for (name, column), sql in zip(result.columns, stage.columns, strict=True)
            )
            written.append(QueryResult(result.name, stage.id, columns, result.visualization))
        return CompiledQuery(
            tuple(self._stages),
            tuple(written),
            self._row_wise and len(self._stages) == 1,
            options,
            bool(results and results[0].order),
            tuple(self._databases),
        )

    def _sql_stage(
        self,
        node: Node,
        columns: Sequence[tuple[str, Column]],
        order: Sequence[OrderKey],
    ) -> SqlStage:
        writer = StageWriter(self._numbering, self._stage, self._optimize)
        unique = {column.id: column for _, column in columns}
        text = writer.statement(node, list(unique.values()), order)
        self._row_wise = self._row_wise and writer.row_wise and len(writer.scans) == 1
        for scan in writer.scans:
            self._databases.setdefault(scan.database)
        stage = SqlStage(
            self._numbering("stage"),
            text,
            tuple(writer.scans),
            tuple(writer.inputs),
            tuple(writer.externals),
            tuple(writer.expressions.functions.values()),
            {},
            tuple(StageColumn(name, column.id, column.type) for name, column in columns),
        )
        self._stages.append(stage)
        return stage

    def _stage(self, node: PythonNode | EachNode | GroupNode) -> str:
        if isinstance(node, GroupNode):
            return self._groups.get(id(node), "")
        known = self._made.get(id(node))
        if known is not None:
            return known[1]
        self._row_wise = False
        stage_id = self._python_stage(node) if isinstance(node, PythonNode) else self._each_stage(node)
        self._made[id(node)] = (node, stage_id)
        return stage_id

    def _each_stage(self, node: EachNode) -> str:
        keys, key = node.groups
        groups = self._sql_stage(keys, (("key", key),), ())
        rows = []
        for group, member in node.rows:
            given = [(column.id, column) for column in group.columns]
            stage = self._sql_stage(group.every, (("key", member), *given), ())
            relation = self._groups[id(group)] = self._numbering("group")
            rows.append(GroupRows(stage.id, member.id, relation, stage.columns[1:]))
        # What doesn't read the group runs once, before.
        for inner in nodes_within(node.query):
            if isinstance(inner, PythonNode | EachNode) and not any(
                isinstance(part, GroupNode) for part in nodes_within(inner)
            ):
                self._stage(inner)
        outside, made = self._stages, self._made
        self._stages, self._made = [], dict(made)
        result = self._sql_stage(node.query, [(column.id, column) for column in node.columns], ())
        inside = tuple(self._stages)
        self._stages, self._made = outside, made
        stage_id = self._numbering("stage")
        columns = (StageColumn("key", node.key.id, node.key.type), *result.columns)
        self._stages.append(EachStage(stage_id, groups.id, key.id, tuple(rows), inside, result.id, columns))
        return stage_id

    def _python_stage(self, node: PythonNode) -> str:
        inputs = []
        columns = []
        for query, handed, order in node.inputs:
            stage = self._sql_stage(query, handed, order)
            inputs.append(stage.id)
            columns.append(stage.columns)
        stage_id = self._numbering("stage")
        outputs = tuple(StageColumn(name, column.id, column.type) for name, column in node.columns)
        self._stages.append(
            PythonStage(stage_id, node.operator, tuple(inputs), tuple(columns), node.arguments, outputs)
        )
        return stage_id
