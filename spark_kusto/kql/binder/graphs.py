"""Graph operators, as joins and recursive queries.

Sources: Kusto documentation, "make-graph operator", "graph-match operator", "graph-shortest-paths
operator", "graph-to-table operator", "graph-mark-components operator". Nodes that only edges name
are there too, their properties null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import UnsupportedError
from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Environment, Relation, TableValue
from spark_kusto.kql.binder.conversion import apply, apply_row, convert
from spark_kusto.kql.binder.expressions import conjunction
from spark_kusto.kql.binder.joining import unique_names
from spark_kusto.kql.binder.naming import Names
from spark_kusto.kql.binder.nesting import same
from spark_kusto.kql.binder.operators import comparison
from spark_kusto.kql.binder.projection import bind_item
from spark_kusto.kql.binder.rows import keep
from spark_kusto.kql.binder.strings import negated
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.plan import (
    AggregateNode,
    Column,
    Expr,
    ExtendNode,
    FilterNode,
    JoinNode,
    Literal,
    Node,
    OrderKey,
    PythonNode,
    TemplateNode,
    UnionNode,
    Window,
)
from spark_kusto.kql.registry import ANY, BOOL, DYNAMIC, LONG, STRING, ScalarRow, overload

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_UNBOUNDED = 64
"""Most hops of a variable-length edge without an upper bound."""


@dataclass(frozen=True)
class Graph:
    """A graph: shared nodes with ``$id``, shared edges with ``$source``, ``$target``, ``$edge``."""

    nodes: TableValue
    edges: TableValue


def _graph_of(binder: Binder, relation: Relation, node: syntax.Node) -> Graph:
    if not isinstance(relation.graph, Graph):
        raise binder.error("A graph is expected here.", node, remedy="Use make-graph before.")
    return relation.graph


def _visible(relation: Relation) -> list[tuple[str, Column]]:
    return [(name, column) for name, column in relation.columns if not name.startswith("$")]


# --- making --------------------------------------------------------------------------------------


@operator(syntax.MakeGraph, "make-graph")
def _make_graph(
    binder: Binder, node: syntax.MakeGraph, relation: Relation, environment: Environment
) -> Relation:
    if node.partitioned_by is not None:
        raise UnsupportedError(
            "make-graph with partitioned-by is not supported.", feature="make-graph partitioned-by"
        )
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
        edges = _undirected(binder, edges)
    nodes = _nodes(binder, node, edges, environment)
    graph = Graph(binder.share(nodes, materialize=True), edges)
    return Relation(relation.node, (), graph=graph)


def _undirected(binder: Binder, edges: TableValue) -> TableValue:
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


def _nodes(binder: Binder, node: syntax.MakeGraph, edges: TableValue, environment: Environment) -> Relation:
    from spark_kusto.kql.binder.unions import union

    named, ends = _ends(binder, edges)
    if not node.nodes:
        columns = [("$id", ends)]
        if node.with_node_id is not None:
            columns.insert(0, (node.with_node_id, ends))
        return Relation(named, tuple(columns))
    parts: list[Relation] = []
    for table in node.nodes:
        rows = binder.relation(table.table, environment)
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


# --- matching ------------------------------------------------------------------------------------


class _Matcher:
    """Puts one pattern together: a chain of joins, with what its names stand for."""

    def __init__(self, binder: Binder, graph: Graph, environment: Environment, cycles: str) -> None:
        self.binder = binder
        self.graph = graph
        self.environment = environment
        self.cycles = cycles
        self.node: Node | None = None
        self.elements: dict[str, dict[str, Column]] = {}
        self.paths: dict[str, Any] = {}
        self.nodes: dict[str, Expr] = {}
        self.node_ids: list[Expr] = []
        self.edge_ids: list[Column] = []
        self.path_ids: list[Column] = []
        self.path_nodes: list[Column] = []
        self.hops: list[Column] = []
        self.single: dict[str, list[syntax.Expression]] = {}

    def join(self, node: Node, condition: Expr | None) -> None:
        """Join a further piece."""
        if self.node is None:
            assert condition is None
            self.node = node
        else:
            self.node = JoinNode("INNER", self.node, node, condition)

    def _node_rows(self, name: str | None) -> Relation:
        rows = _with_degrees(self.binder, self.graph)
        for condition in self.single.pop(name, []) if name is not None else []:
            context = Context(self.environment, {}, steps={name: dict(rows.columns)})  # type: ignore[dict-item]
            rows = keep(self.binder, rows, self.binder.predicate(condition, context))
        return rows

    def path(self, elements: Sequence[Any]) -> None:
        """One path: nodes and edges in turn."""
        current = self._first(elements[0])
        for place in range(1, len(elements), 2):
            edge, target = elements[place], elements[place + 1]
            current = self._step(current, edge, target)

    def _first(self, pattern: syntax.GraphNodePattern) -> Expr:
        if pattern.name is not None and pattern.name in self.nodes:
            return self.nodes[pattern.name]
        rows = self._node_rows(pattern.name)
        key = dict(rows.columns)["$id"]
        self.join(rows.node, None if self.node is None else _true())
        self._named(pattern.name, rows, key)
        return key

    def _named(self, name: str | None, rows: Relation, key: Expr) -> None:
        self.node_ids.append(key)
        if name is not None:
            self.nodes[name] = key
            self.elements[name] = dict(rows.columns)

    def _step(self, current: Expr, edge: syntax.GraphEdgePattern, target: Any) -> Expr:
        if edge.is_variable:
            return self._variable(current, edge, target)
        rows = self.binder.use(self.graph.edges)
        if edge.direction == "any":
            rows = self.binder.use(_undirected(self.binder, self.graph.edges))
        columns = dict(rows.columns)
        source, goal = columns["$source"], columns["$target"]
        if edge.direction == "backward":
            source, goal = goal, source
        self.join(rows.node, same_id(current, source))
        self.edge_ids.append(columns["$edge"])
        if edge.name is not None:
            self.elements[edge.name] = columns
        return self._arrive(goal, target)

    def _arrive(self, goal: Expr, target: syntax.GraphNodePattern) -> Expr:
        if target.name is not None and target.name in self.nodes:
            assert self.node is not None
            self.node = FilterNode(self.node, same_id(goal, self.nodes[target.name]))
            return self.nodes[target.name]
        if target.name is None:
            self.node_ids.append(goal)
            return goal
        rows = self._node_rows(target.name)
        key = dict(rows.columns)["$id"]
        self.join(rows.node, same_id(goal, key))
        self._named(target.name, rows, key)
        return key

    def _bound(self, node: syntax.Expression | None, default: int) -> int:
        if node is None:
            return default
        value = self.binder.constant(node, Context(self.environment, {}), "A number of hops")
        return int(value)

    def _variable(self, current: Expr, edge: syntax.GraphEdgePattern, target: Any) -> Expr:
        from spark_kusto.kql.functions.graphs import PathVariable

        binder = self.binder
        least = self._bound(edge.min_hops, 1)
        most = self._bound(edge.max_hops, _UNBOUNDED)
        edges = self.graph.edges
        if edge.direction == "any":
            edges = _undirected(binder, edges)
        rows = binder.use(edges)
        nodes = binder.use(self.graph.nodes)
        columns, node_columns = dict(rows.columns), dict(nodes.columns)
        source, goal = columns["$source"], columns["$target"]
        if edge.direction == "backward":
            source, goal = goal, source
        assert self.node is not None
        assert isinstance(current, Column)
        starts_of = binder.share(Relation(self.node, ((current.id, current),)), materialize=True)
        # The rows so far are needed twice: as starts, and to join the paths to.
        every = self._share_rows(starts_of)
        current = every[current.id]
        starts = binder.use(starts_of)
        start, stop, path, inner, ids, visited, hops = (
            binder.column_like(source),
            binder.column_like(goal),
            binder.column(DYNAMIC, nullable=False),
            binder.column(DYNAMIC, nullable=False),
            binder.column(DYNAMIC, nullable=False),
            binder.column(DYNAMIC, nullable=False),
            binder.column(LONG, nullable=False),
        )
        edge_fields = [(n, c) for n, c in rows.columns if not n.startswith("$")]
        node_fields = [(n, c) for n, c in nodes.columns if not n.startswith("$")]
        query = _paths(
            (rows.node, nodes.node, starts.node),
            edge=columns["$edge"].id,
            source=source.id,
            target=goal.id,
            edge_fields=[c.id for _, c in edge_fields],
            node_id=node_columns["$id"].id,
            node_fields=[c.id for _, c in node_fields],
            start_id=starts.columns[0][1].id,
            outputs=(start, stop, path, inner, ids, visited, hops),
            least=least,
            most=most,
            cycles=self.cycles,
        )
        self.join(query, same_id(current, start))
        self.path_ids.append(ids)
        self.path_nodes.append(visited)
        self.hops.append(hops)
        if edge.name is not None:
            self.paths[edge.name] = PathVariable(path, inner, dict(edge_fields), dict(node_fields))
        return self._arrive(stop, target)

    def _share_rows(self, value: TableValue) -> dict[str, Column]:
        """Read the rows so far through a shared query; columns by their former SQL name."""
        binder = self.binder
        every: dict[str, Column] = {}
        for columns in self.elements.values():
            every.update({column.id: column for column in columns.values()})
        for expression in (*self.node_ids, *self.nodes.values()):
            if isinstance(expression, Column):
                every[expression.id] = expression
        lists = (*self.edge_ids, *self.path_ids, *self.path_nodes, *self.hops)
        every.update({column.id: column for column in lists})
        for variable in self.paths.values():
            every[variable.edges.id] = variable.edges
            every[variable.inner.id] = variable.inner
        whole = TableValue(value.shared, Relation(value.relation.node, tuple(every.items())))
        used = binder.use(whole)
        now = dict(used.columns)

        def own(expression: Any) -> Any:
            return now[expression.id] if isinstance(expression, Column) else expression

        self.elements = {
            name: {label: now[column.id] for label, column in columns.items()}
            for name, columns in self.elements.items()
        }
        self.nodes = {name: own(expression) for name, expression in self.nodes.items()}
        self.node_ids = [own(expression) for expression in self.node_ids]
        self.edge_ids = [now[column.id] for column in self.edge_ids]
        self.path_ids = [now[column.id] for column in self.path_ids]
        self.path_nodes = [now[column.id] for column in self.path_nodes]
        self.hops = [now[column.id] for column in self.hops]
        self.paths = {
            name: replace(variable, edges=now[variable.edges.id], inner=now[variable.inner.id])
            for name, variable in self.paths.items()
        }
        self.node = used.node
        return now

    def uniqueness(self) -> list[Expr]:
        """Conditions that keep edges (or nodes) from being matched twice."""
        if self.cycles == "all":
            return []
        terms: list[Expr] = []
        if self.cycles == "none":
            terms.extend(_different(self.node_ids))
        for place, one in enumerate(self.edge_ids):
            terms.extend(_required(comparison("!=", one, o)) for o in self.edge_ids[place + 1 :])
        for path in self.path_ids:
            terms.extend(negated(_call(_CONTAINS, path, one)) for one in self.edge_ids)
        for place, path in enumerate(self.path_ids):
            terms.extend(negated(_call(_OVERLAP, path, o)) for o in self.path_ids[place + 1 :])
        return terms


def _different(ids: Sequence[Expr]) -> list[Expr]:
    terms: list[Expr] = []
    unique = list(dict.fromkeys(ids))
    for place, one in enumerate(unique):
        terms.extend(_required(comparison("!=", one, other)) for other in unique[place + 1 :])
    return terms


def _true() -> Expr:
    return Literal(BOOL, nullable=False, value=True)


def _required(expression: Expr | None) -> Expr:
    assert expression is not None
    return expression


_CONTAINS = ScalarRow("contains", (overload([ANY, ANY], BOOL, "list_contains({0}, {1})", "never"),))
_OVERLAP = ScalarRow("overlap", (overload([ANY, ANY], BOOL, "list_has_any({0}, {1})", "never"),))


def _call(row: ScalarRow, *arguments: Expr) -> Expr:
    return apply(row, row.overloads[0], arguments)


def same_id(left: Expr, right: Expr) -> Expr:
    """Two ids are equal."""
    return _required(comparison("==", left, right))


def _with_degrees(binder: Binder, graph: Graph) -> Relation:
    """Nodes, with the numbers of edges in and out (computed only where asked for)."""
    rows = binder.use(graph.nodes)
    key = dict(rows.columns)["$id"]
    node = rows.node
    columns = list(rows.columns)
    for name, end in (("$degree_in", "$target"), ("$degree_out", "$source")):
        edges = binder.use(graph.edges)
        own = binder.column(LONG, nullable=False)
        where = dict(edges.columns)[end]
        node = _Degree(node, edges.node, key.id, where.id, own).node
        columns.append((name, own))
    return replace(rows, node=node, columns=tuple(columns))


class _Degree:
    """A left join that counts, left out if the count is not needed."""

    def __init__(self, nodes: Node, edges: Node, key: str, end: str, own: Column) -> None:
        def write(inputs: Sequence[str], _: object, rest: Sequence[str]) -> str:
            others = [name for name in rest if name != key]
            listed = ", ".join(f"n.{name}" for name in (key, *others))
            return (
                f"SELECT {listed}, coalesce(d.degree, 0) AS {own.id} FROM {inputs[0]} AS n LEFT JOIN"
                f" (SELECT {end}, count(*) AS degree FROM {inputs[1]} GROUP BY {end}) AS d"
                f" ON d.{end} = n.{key}"
            )

        self.node = TemplateNode((nodes, edges), ((key,), (end,)), write, (own,), passes=True)


def _struct(prefix: str, fields: Sequence[str]) -> str:
    if not fields:
        return "{'nothing': 0}"
    return "{" + ", ".join(f"'{name}': {prefix}.{name}" for name in fields) + "}"


def _paths(
    inputs: tuple[Node, Node, Node],
    *,
    edge: str,
    source: str,
    target: str,
    edge_fields: Sequence[str],
    node_id: str,
    node_fields: Sequence[str],
    start_id: str,
    outputs: Sequence[Column],
    least: int,
    most: int,
    cycles: str,
) -> TemplateNode:
    """All paths from the starts, of so many hops."""
    start, stop, path, inner, ids, visited, hops = (column.id for column in outputs)
    if cycles == "none":
        fresh = "NOT list_contains(a.visited, b.t)"
    elif cycles == "all":
        fresh = "true"
    else:
        fresh = "NOT list_contains(a.ids, b.eid)"

    def write(texts: Sequence[str], _: object, __: Sequence[str]) -> str:
        step = (
            f"SELECT e.{edge} AS eid, e.{source} AS s, e.{target} AS t,"
            f" {_struct('e', edge_fields)} AS p, {_struct('n', node_fields)} AS q"
            f" FROM {texts[0]} AS e JOIN {texts[1]} AS n ON n.{node_id} = e.{target}"
        )
        seed = (
            "SELECT b.s AS start, b.t AS stop, [b.eid] AS ids, [b.p] AS path, [b.q] AS targets,"
            " [b.s, b.t] AS visited, 1 AS hops FROM step AS b"
            " JOIN starts ON starts.start = b.s"
        )
        more = (
            "SELECT a.start, b.t, list_append(a.ids, b.eid), list_append(a.path, b.p),"
            " list_append(a.targets, b.q), list_append(a.visited, b.t), a.hops + 1"
            f" FROM paths AS a JOIN step AS b ON a.stop = b.s WHERE a.hops < {most} AND {fresh}"
        )
        if cycles == "none":
            seed += " WHERE b.s <> b.t"
        rows = (
            f"SELECT start AS {start}, stop AS {stop}, path AS {path},"
            f" list_slice(targets, 1, hops - 1) AS {inner}, ids AS {ids}, visited AS {visited},"
            f" hops::BIGINT AS {hops} FROM paths WHERE hops >= {least} AND hops <= {most}"
        )
        if least == 0:
            rows += (
                " UNION ALL SELECT start, start, list_slice((SELECT any_value(path) FROM paths), 1, 0),"
                " list_slice((SELECT any_value(targets) FROM paths), 1, 0), []::BIGINT[],"
                " [start], 0::BIGINT FROM starts"
            )
        return (
            f"WITH RECURSIVE step AS MATERIALIZED ({step}),"
            f" starts AS MATERIALIZED (SELECT DISTINCT {start_id} AS start FROM {texts[2]}),"
            f" paths AS ({seed} UNION ALL {more}) {rows}"
        )

    needs = ((edge, source, target, *edge_fields), (node_id, *node_fields), (start_id,))
    return TemplateNode(inputs, needs, write, tuple(outputs))


def _conditions(node: syntax.Expression | None) -> list[syntax.Expression]:
    found: list[syntax.Expression] = []
    stack = [node] if node is not None else []
    while stack:
        current = stack.pop()
        if isinstance(current, syntax.Binary) and current.operator == "and":
            stack.extend((current.right, current.left))
        else:
            found.append(current)
    return found


def _variables(node: object, found: set[str]) -> bool:
    """Collect the pattern's names that an expression reads; False if it reads anything else."""
    if isinstance(node, syntax.Member) and isinstance(node.base, syntax.Name):
        found.add(node.base.name)
        return isinstance(node.member, syntax.Name)
    if isinstance(node, syntax.Name | syntax.Call):
        if isinstance(node, syntax.Call) and node.name not in ("all", "any", "map", "inner_nodes"):
            return all(_variables(argument, found) for argument in node.arguments)
        return False
    if isinstance(node, syntax.Literal | syntax.DynamicLiteral):
        return True
    if isinstance(node, syntax.Binary):
        return _variables(node.left, found) and _variables(node.right, found)
    if isinstance(node, syntax.Unary):
        return _variables(node.operand, found)
    if isinstance(node, syntax.Membership):
        return _variables(node.operand, found) and all(_variables(i, found) for i in node.items)
    return False


def _match(
    binder: Binder,
    node: syntax.GraphMatch | syntax.GraphShortestPaths,
    relation: Relation,
    environment: Environment,
    cycles: str,
) -> tuple[_Matcher, Context]:
    """Join the patterns and filter; what names stand for."""
    graph = _graph_of(binder, relation, node)
    matcher = _Matcher(binder, graph, environment, cycles)
    node_names = {
        element.name
        for pattern in node.patterns
        for element in pattern.elements
        if isinstance(element, syntax.GraphNodePattern) and element.name is not None
    }
    rest: list[syntax.Expression] = []
    for condition in _conditions(node.where):
        used: set[str] = set()
        if _variables(condition, used) and len(used) == 1 and used <= node_names:
            matcher.single.setdefault(used.pop(), []).append(condition)
        else:
            rest.append(condition)
    for pattern in node.patterns:
        matcher.path(pattern.elements)
    context = Context(environment, {}, steps=matcher.elements, paths=matcher.paths)
    terms = matcher.uniqueness()
    terms.extend(binder.predicate(condition, context) for condition in rest)
    assert matcher.node is not None
    if terms:
        matcher.node = FilterNode(matcher.node, conjunction(terms))
    return matcher, context


def _project(
    binder: Binder,
    columns: Sequence[syntax.Expression],
    matcher: _Matcher,
    context: Context,
) -> Relation:
    names = Names()
    visible: list[tuple[str, Column]] = []
    items: list[tuple[Column, Expr]] = []
    assert matcher.node is not None
    if not columns:
        for variable, fields in matcher.elements.items():
            visible.extend((f"{variable}_{n}", c) for n, c in fields.items() if not n.startswith("$"))
        return Relation(matcher.node, unique_names(visible))
    for expression in columns:
        for item in bind_item(binder, expression, context):
            column = binder.column_like(item.expression)
            items.append((column, item.expression))
            name = names.default() if item.name is None else names.unique(item.name)
            visible.append((name, column))
    return Relation(ExtendNode(matcher.node, tuple(items)), tuple(visible))


@operator(syntax.GraphMatch, "graph-match")
def _graph_match(
    binder: Binder, node: syntax.GraphMatch, relation: Relation, environment: Environment
) -> Relation:
    cycles = (node.cycles or "unique_edges").lower()
    if cycles not in ("all", "none", "unique_edges"):
        raise binder.error(f"graph-match: there is no cycles={node.cycles}.", node)
    matcher, context = _match(binder, node, relation, environment, cycles)
    return _project(binder, node.project, matcher, context)


@operator(syntax.GraphShortestPaths, "graph-shortest-paths")
def _graph_shortest_paths(
    binder: Binder, node: syntax.GraphShortestPaths, relation: Relation, environment: Environment
) -> Relation:
    matcher, context = _match(binder, node, relation, environment, "none")
    assert matcher.node is not None
    if matcher.hops:
        ends = tuple(matcher.node_ids[:1]) + tuple(matcher.node_ids[-1:])
        every = (node.output or "any").lower() == "all"
        rank = binder.column(LONG, nullable=False)
        window = Window(
            LONG,
            nullable=False,
            template=f"{'rank' if every else 'row_number'}() OVER ({{over}})",
            partition=ends,
            order=(OrderKey(matcher.hops[0], False, True),),
        )
        one = Literal(LONG, nullable=False, value=1)
        ranked = ExtendNode(matcher.node, ((rank, window),))
        matcher.node = FilterNode(ranked, _required(comparison("==", rank, one)))
    return _project(binder, node.project, matcher, context)


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
    graph = _graph_of(binder, relation, node)
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
        visible.extend(_visible(rows))
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
    graph = _graph_of(binder, relation, node)
    rows = binder.use(graph.nodes)
    context = Context(environment, dict(_visible(rows)))
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
    graph = _graph_of(binder, relation, node)
    rows = binder.use(graph.edges)
    context = Context(environment, dict(_visible(rows)))
    edges = keep(binder, rows, binder.predicate(node.predicate, context))
    return replace(relation, graph=Graph(graph.nodes, binder.share(edges, materialize=True)))


@operator(syntax.GraphMarkComponents, "graph-mark-components")
def _graph_mark_components(
    binder: Binder, node: syntax.GraphMarkComponents, relation: Relation, environment: Environment
) -> Relation:
    graph = _graph_of(binder, relation, node)
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
