"""Graph operators and patterns."""

from __future__ import annotations

from dataclasses import dataclass

from spark_kusto.kql.syntax.base import Expression, Node, Operator
from spark_kusto.kql.syntax.expressions import Name, SubPipe


@dataclass(frozen=True, slots=True)
class GraphNodeTable(Node):
    """`table on id` after `make-graph ... with`."""

    table: Expression
    id: Expression


@dataclass(frozen=True, slots=True)
class MakeGraph(Operator):
    """`make-graph source --> target [with nodes on id, ...] [partitioned-by c (...)]`.

    `with_node_id=c` may stand in place of the node tables.
    `directed` is False for `--`.
    """

    source: Expression
    target: Expression
    nodes: tuple[GraphNodeTable, ...] = ()
    with_node_id: str | None = None
    directed: bool = True
    partitioned_by: Expression | None = None
    subquery: SubPipe | None = None


@dataclass(frozen=True, slots=True)
class GraphNodePattern(Node):
    """`(name)`; None for `()`."""

    name: str | None = None


@dataclass(frozen=True, slots=True)
class GraphEdgePattern(Node):
    """`-[name*1..5]->`. `direction` is forward (`-->`), backward (`<--`) or any (`--`).

    `min_hops` and `max_hops` are None where no range is written (exactly one hop).
    """

    direction: str
    name: str | None = None
    min_hops: Expression | None = None
    max_hops: Expression | None = None

    @property
    def is_variable(self) -> bool:
        return self.max_hops is not None or self.min_hops is not None


@dataclass(frozen=True, slots=True)
class GraphPathPattern(Node):
    """`(a)-[e]->(b)-->(c)`: nodes and edges in turn, a node first and last."""

    elements: tuple[GraphNodePattern | GraphEdgePattern, ...]


@dataclass(frozen=True, slots=True)
class GraphMatch(Operator):
    """`graph-match [cycles=...] patterns [where predicate] [project columns]`."""

    patterns: tuple[GraphPathPattern, ...]
    where: Expression | None = None
    project: tuple[Expression, ...] = ()
    cycles: str | None = None


@dataclass(frozen=True, slots=True)
class GraphShortestPaths(Operator):
    """`graph-shortest-paths [output=any|all] pattern [where predicate] [project columns]`."""

    patterns: tuple[GraphPathPattern, ...]
    where: Expression | None = None
    project: tuple[Expression, ...] = ()
    output: str | None = None


@dataclass(frozen=True, slots=True)
class GraphOutput(Node):
    """`nodes [as N] [with_node_id=c]` or `edges [as E] [with_source_id=c] [with_target_id=c]`."""

    kind: str
    name: Name | None = None
    with_node_id: str | None = None
    with_source_id: str | None = None
    with_target_id: str | None = None


@dataclass(frozen=True, slots=True)
class GraphToTable(Operator):
    """`graph-to-table nodes as N, edges as E`."""

    outputs: tuple[GraphOutput, ...]


@dataclass(frozen=True, slots=True)
class GraphMarkComponents(Operator):
    """`graph-mark-components [kind=weak|strong] [with_component_id=c]`."""

    kind: str | None = None
    with_component_id: str | None = None


@dataclass(frozen=True, slots=True)
class GraphWhereNodes(Operator):
    """`graph-where-nodes predicate`."""

    predicate: Expression


@dataclass(frozen=True, slots=True)
class GraphWhereEdges(Operator):
    """`graph-where-edges predicate`."""

    predicate: Expression
