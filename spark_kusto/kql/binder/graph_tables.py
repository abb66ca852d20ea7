"""Graphs as two tables: making them, filtering them, and back to tables.

Sources: Kusto documentation, "make-graph operator", "graph-match operator", "graph-shortest-paths
operator", "graph-to-table operator", "graph-mark-components operator". Nodes that only edges name
are there too, their properties null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.apart import for_each, rows_of_group
from spark_kusto.kql.binder.context import Context, Environment, Relation, TableValue
from spark_kusto.kql.binder.conversion import apply_row, convert
from spark_kusto.kql.binder.joining import unique_names
from spark_kusto.kql.binder.nesting import same
from spark_kusto.kql.binder.operators import comparison
from spark_kusto.kql.binder.rows import keep
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.plan import (
    AggregateNode,
    Column,
    Expr,
    ExtendNode,
    GroupNode,
    JoinNode,
    Literal,
    Node,
    PythonNode,
    TemplateNode,
    UnionNode,
    Window,
)
from spark_kusto.kql.registry import LONG, STRING, ScalarRow

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


@dataclass(frozen=True)
class Graph:
    """A graph: shared nodes with ``$id``, shared edges with ``$source``, ``$target``, ``$edge``."""

    nodes: TableValue
    edges: TableValue


def graph_of(binder: Binder, relation: Relation, node: syntax.Node) -> Graph:
    if not isinstance(relation.graph, Graph):
        raise binder.error("A graph is expected here.", node, remedy="Use make-graph before.")
    return relation.graph


def visible_columns(relation: Relation) -> list[tuple[str, Column]]:
    return [(name, column) for name, column in relation.columns if not name.startswith("$")]


# --- making --------------------------------------------------------------------------------------


@operator(syntax.MakeGraph, "make-graph")
def _make_graph(
    binder: Binder, node: syntax.MakeGraph, relation: Relation, environment: Environment
) -> Relation:
    tables = [_NodeTable(binder.relation(table.table, environment), table.id) for table in node.nodes]
    if node.partitioned_by is not None and node.subquery is not None:
        return _partitioned(binder, node, relation, tables, environment)
    return _graph_from(binder, node, relation, tables, environment)


@dataclass(frozen=True)
class _NodeTable:
    """A table of nodes, and their id in it."""

    rows: Relation
    id: syntax.Expression


def _graph_from(
    binder: Binder,
    node: syntax.MakeGraph,
    relation: Relation,
    tables: Sequence[_NodeTable],
    environment: Environment,
) -> Relation:
    context = binder.row_context(relation, environment)
    ends = [binder.expression(end, context) for end in (node.source, node.target)]
    relation, made = binder.as_columns(relation, ends)
    number = binder.column(LONG, nullable=False)
    numbered = ExtendNode(
        relation.node,
        ((number, Window(LONG, nullable=False, template="row_number() OVER ({over})")),),
    )
    columns = (
        *relation.columns,
        ("$source", made[0]),
        ("$target", made[1]),
        ("$edge", number),
    )
    edges = binder.share(Relation(numbered, columns), materialize=True)
    if not node.directed:
        edges = undirected(binder, edges)
    nodes = _nodes(binder, node, tables, edges, environment)
    graph = Graph(binder.share(nodes, materialize=True), edges)
    return Relation(relation.node, (), graph=graph)


def _partitioned(
    binder: Binder,
    node: syntax.MakeGraph,
    relation: Relation,
    tables: Sequence[_NodeTable],
    environment: Environment,
) -> Relation:
    """The subquery over a graph for each value of a column that edges and nodes have."""
    partition, subquery = node.partitioned_by, node.subquery
    assert partition is not None
    assert subquery is not None
    keys: list[tuple[Node, Column]] = []
    parts: list[tuple[GroupNode, Column]] = []

    def part(rows: Relation) -> Relation:
        key = binder.expression(partition, binder.row_context(rows, environment))
        if keys and key.type is not keys[0][1].type:
            raise binder.error(
                f"make-graph: the column after partitioned-by is of type {keys[0][1].type} in the edges,"
                f" but {key.type} in the nodes.",
                partition,
            )
        rows, made = binder.as_columns(rows, [key])
        value = binder.share(replace(rows, columns=(*rows.columns, ("$key", made[0]))))
        one, every = binder.use(value), binder.use(value)
        keys.append((one.node, one.columns[-1][1]))
        group, own = rows_of_group(every)
        parts.append((group, every.columns[-1][1]))
        return replace(own, columns=own.columns[:-1])

    edges = part(relation)
    own_tables = [_NodeTable(part(table.rows), table.id) for table in tables]
    column, distinct = binder.column_like(keys[0][1]), binder.column_like(keys[0][1])
    every_key = UnionNode((column,), tuple((rows, (key,)) for rows, key in keys))
    groups: Node = AggregateNode(every_key, ((distinct, column),), ())
    graph = _graph_from(binder, node, edges, own_tables, environment)
    outcome = binder.pipe(graph, subquery.operators, Environment(environment))
    if outcome.graph is not None:
        raise binder.error(
            "make-graph: the subquery of partitioned-by must give a table.",
            subquery,
            remedy="End it with graph-match ... project, or graph-to-table.",
        )
    each, _ = for_each(binder, (groups, distinct), parts, outcome)
    return Relation(each, outcome.columns)


def undirected(binder: Binder, edges: TableValue) -> TableValue:
    one, other = binder.use(edges), binder.use(edges)
    columns = [(name, binder.column_like(column)) for name, column in one.columns]
    swapped = dict(other.columns)
    swapped["$source"], swapped["$target"] = swapped["$target"], swapped["$source"]
    node = UnionNode(
        tuple(column for _, column in columns),
        (
            (one.node, tuple(column for _, column in one.columns)),
            (other.node, tuple(swapped[name] for name, _ in other.columns)),
        ),
    )
    return binder.share(Relation(node, tuple(columns)), materialize=True)


def _ends(binder: Binder, edges: TableValue) -> tuple[Node, Column]:
    """All ids that edges name."""
    one, other = binder.use(edges), binder.use(edges)
    source, target = dict(one.columns)["$source"], dict(other.columns)["$target"]
    column = binder.column_like(source)
    union = UnionNode((column,), ((one.node, (source,)), (other.node, (convert(target, source.type),))))
    distinct = binder.column_like(column)
    return AggregateNode(union, ((distinct, column),), ()), distinct


def _nodes(
    binder: Binder,
    node: syntax.MakeGraph,
    tables: Sequence[_NodeTable],
    edges: TableValue,
    environment: Environment,
) -> Relation:
    from spark_kusto.kql.binder.unions import union

    named, ends = _ends(binder, edges)
    if not tables:
        columns = [("$id", ends)]
        if node.with_node_id is not None:
            columns.insert(0, (node.with_node_id, ends))
        return Relation(named, tuple(columns))
    parts: list[Relation] = []
    for table in tables:
        rows = table.rows
        key = binder.expression(table.id, binder.row_context(rows, environment))
        rows, made = binder.as_columns(rows, [convert(key, ends.type)])
        parts.append(replace(rows, columns=(*rows.columns, ("$id", made[0]))))
    declared = parts[0] if len(parts) == 1 else union(binder, parts)
    key_column = dict(declared.columns)["$id"]

    def once(inputs: Sequence[str], _: object, rest: Sequence[str]) -> str:
        listed = ", ".join(dict.fromkeys((key_column.id, *rest)))
        return f"SELECT DISTINCT ON ({key_column.id}) {listed} FROM {inputs[0]}"

    unique = TemplateNode((declared.node,), ((key_column.id,),), once, (), passes=True)
    value = binder.share(replace(declared, node=unique), materialize=True)
    known, again = binder.use(value), binder.use(value)
    missing = JoinNode("ANTI", named, again.node, same(ends, dict(again.columns)["$id"]))
    key_names = {table.id.name for table in node.nodes[:1] if isinstance(table.id, syntax.Name)} | {"$id"}
    columns = [(name, binder.column(column.type)) for name, column in known.columns]
    fillers: list[Expr] = []
    for name, column in columns:
        if name in key_names:
            fillers.append(convert(ends, column.type))
        else:
            value_of = "" if column.type is STRING else None
            fillers.append(Literal(column.type, nullable=value_of is None, value=value_of))
    node_of = UnionNode(
        tuple(column for _, column in columns),
        (
            (known.node, tuple(column for _, column in known.columns)),
            (missing, tuple(fillers)),
        ),
    )
    return Relation(node_of, tuple(columns))


def required(expression: Expr | None) -> Expr:
    assert expression is not None
    return expression


def same_id(left: Expr, right: Expr) -> Expr:
    """Two ids are equal."""
    return required(comparison("==", left, right))


# --- other ---------------------------------------------------------------------------------------


def _hashed(expression: Expr) -> Expr:
    from spark_kusto.kql import registry

    row = registry.scalars()["hash"]
    assert isinstance(row, ScalarRow)
    return apply_row(row, (expression,))


@operator(syntax.GraphToTable, "graph-to-table")
def _graph_to_table(
    binder: Binder, node: syntax.GraphToTable, relation: Relation, environment: Environment
) -> Relation:
    graph = graph_of(binder, relation, node)
    outputs: list[tuple[str, Relation]] = []
    for place, output in enumerate(node.outputs):
        ids: list[tuple[str | None, str]]
        if output.kind == "nodes":
            rows = binder.use(graph.nodes)
            ids = [(output.with_node_id, "$id")]
        else:
            rows = binder.use(graph.edges)
            ids = [(output.with_source_id, "$source"), (output.with_target_id, "$target")]
        columns = dict(rows.columns)
        wanted = [(name, _hashed(columns[end])) for name, end in ids if name is not None]
        rows, made = binder.as_columns(rows, [expression for _, expression in wanted])
        visible = [(str(name), c) for (name, _), c in zip(wanted, made, strict=True)]
        visible.extend(visible_columns(rows))
        rows = replace(rows, columns=unique_names(visible), name="")
        name = output.name.name if output.name is not None else f"Table_{place}"
        value = binder.share(rows)
        if output.name is not None:
            environment.set(name, value)
        outputs.append((name, binder.use(value)))
    first = outputs[0][1]
    return first if len(outputs) == 1 else replace(first, outputs=tuple(outputs))


@operator(syntax.GraphWhereNodes, "graph-where-nodes")
def _graph_where_nodes(
    binder: Binder, node: syntax.GraphWhereNodes, relation: Relation, environment: Environment
) -> Relation:
    graph = graph_of(binder, relation, node)
    rows = binder.use(graph.nodes)
    context = Context(environment, dict(visible_columns(rows)))
    nodes = binder.share(keep(binder, rows, binder.predicate(node.predicate, context)), materialize=True)
    edges = binder.use(graph.edges)
    for end in ("$source", "$target"):
        kept = binder.use(nodes)
        condition = same_id(dict(edges.columns)[end], dict(kept.columns)["$id"])
        edges = replace(edges, node=JoinNode("SEMI", edges.node, kept.node, condition))
    return replace(relation, graph=Graph(nodes, binder.share(edges, materialize=True)))


@operator(syntax.GraphWhereEdges, "graph-where-edges")
def _graph_where_edges(
    binder: Binder, node: syntax.GraphWhereEdges, relation: Relation, environment: Environment
) -> Relation:
    graph = graph_of(binder, relation, node)
    rows = binder.use(graph.edges)
    context = Context(environment, dict(visible_columns(rows)))
    edges = keep(binder, rows, binder.predicate(node.predicate, context))
    return replace(relation, graph=Graph(graph.nodes, binder.share(edges, materialize=True)))


@operator(syntax.GraphMarkComponents, "graph-mark-components")
def _graph_mark_components(
    binder: Binder, node: syntax.GraphMarkComponents, relation: Relation, environment: Environment
) -> Relation:
    graph = graph_of(binder, relation, node)
    kind = (node.kind or "weak").lower()
    if kind not in ("weak", "strong"):
        raise binder.error(f"graph-mark-components: there is no kind '{node.kind}'.", node)
    nodes, edges = binder.use(graph.nodes), binder.use(graph.edges)
    key = dict(nodes.columns)["$id"]
    ends = dict(edges.columns)
    own, component = binder.column_like(key), binder.column(LONG, nullable=False)
    marked = PythonNode(
        "graph-mark-components",
        (
            (nodes.node, (("id", key),), ()),
            (edges.node, (("source", ends["$source"]), ("target", ends["$target"])), ()),
        ),
        kind,
        (("id", own), ("component", component)),
    )
    rows = binder.use(graph.nodes)
    joined = JoinNode("INNER", rows.node, marked, same_id(dict(rows.columns)["$id"], own))
    name = node.with_component_id or "ComponentId"
    columns = unique_names([(name, component), *rows.columns])
    marked_nodes = binder.share(replace(rows, node=joined, columns=columns), materialize=True)
    return replace(relation, graph=Graph(marked_nodes, graph.edges))
