"""Matching patterns in graphs, as joins and recursive queries.

Sources: Kusto documentation, "make-graph operator", "graph-match operator", "graph-shortest-paths
operator", "graph-to-table operator", "graph-mark-components operator". Nodes that only edges name
are there too, their properties null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Environment, Relation, TableValue
from spark_kusto.kql.binder.conversion import apply
from spark_kusto.kql.binder.expressions import conjunction
from spark_kusto.kql.binder.graph_tables import Graph, graph_of, required, same_id, undirected
from spark_kusto.kql.binder.joining import unique_names
from spark_kusto.kql.binder.naming import Names
from spark_kusto.kql.binder.operators import comparison
from spark_kusto.kql.binder.projection import bind_item
from spark_kusto.kql.binder.rows import keep
from spark_kusto.kql.binder.strings import negated
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.plan import (
    Column,
    Expr,
    ExtendNode,
    FilterNode,
    JoinNode,
    Literal,
    Node,
    OrderKey,
    TemplateNode,
    Window,
)
from spark_kusto.kql.registry import ANY, BOOL, DYNAMIC, LONG, ScalarRow, overload

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_UNBOUNDED = 64
"""Most hops of a variable-length edge without an upper bound."""


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
            rows = self.binder.use(undirected(self.binder, self.graph.edges))
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
            edges = undirected(binder, edges)
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
            terms.extend(required(comparison("!=", one, o)) for o in self.edge_ids[place + 1 :])
        for path in self.path_ids:
            terms.extend(negated(_call(_CONTAINS, path, one)) for one in self.edge_ids)
        for place, path in enumerate(self.path_ids):
            terms.extend(negated(_call(_OVERLAP, path, o)) for o in self.path_ids[place + 1 :])
        return terms


def _different(ids: Sequence[Expr]) -> list[Expr]:
    terms: list[Expr] = []
    unique = list(dict.fromkeys(ids))
    for place, one in enumerate(unique):
        terms.extend(required(comparison("!=", one, other)) for other in unique[place + 1 :])
    return terms


def _true() -> Expr:
    return Literal(BOOL, nullable=False, value=True)


_CONTAINS = ScalarRow("contains", (overload([ANY, ANY], BOOL, "list_contains({0}, {1})", "never"),))
_OVERLAP = ScalarRow("overlap", (overload([ANY, ANY], BOOL, "list_has_any({0}, {1})", "never"),))


def _call(row: ScalarRow, *arguments: Expr) -> Expr:
    return apply(row, row.overloads[0], arguments)


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
    graph = graph_of(binder, relation, node)
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
        matcher.node = FilterNode(ranked, required(comparison("==", rank, one)))
    return _project(binder, node.project, matcher, context)
