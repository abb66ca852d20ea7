"""Operators that keep, drop, order and reshape rows: ``where``, ``project``, ``sort`` ..."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import translate
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.binder.conversion import convert
from spark_kusto.kql.binder.naming import Names
from spark_kusto.kql.binder.projection import Item, add_columns, bind_items
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.plan import (
    AggregateCall,
    AggregateNode,
    Column,
    Expr,
    FilterNode,
    LimitNode,
    Literal,
    OrderKey,
    SampleNode,
    ValuesNode,
    has_window,
)
from spark_kusto.kql.registry import INT, LONG, overload
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

COUNT = overload([], LONG, "count(*)", "never")
"""``count()``."""


@operator(syntax.Where, "where", "filter")
def _where(binder: Binder, node: syntax.Where, relation: Relation, environment: Environment) -> Relation:
    context = binder.row_context(relation, environment, windows=True, search=True)
    return keep(binder, relation, binder.predicate(node.predicate, context))


def keep(binder: Binder, relation: Relation, predicate: Expr) -> Relation:
    """Rows for which a bound predicate is true."""
    if isinstance(predicate, Literal) and predicate.value is True:
        return relation
    if has_window(predicate):
        relation, columns = add_columns(binder, relation, [predicate])
        predicate = columns[0]
    return replace(relation, node=FilterNode(relation.node, predicate))


@operator(syntax.Extend, "extend")
def _extend(binder: Binder, node: syntax.Extend, relation: Relation, environment: Environment) -> Relation:
    context = binder.row_context(relation, environment, windows=True)
    return extend(binder, relation, bind_items(binder, node.columns, context))


def extend(binder: Binder, relation: Relation, items: Sequence[Item]) -> Relation:
    """Columns added, or put in place of those of the same name."""
    visible = list(relation.columns)
    names = Names(hidden=(), taken=())
    relation, columns = add_columns(binder, relation, [item.expression for item in items])
    places = {name: place for place, (name, _) in enumerate(visible)}
    declared: set[str] = set()
    for item, column in zip(items, columns, strict=True):
        name = item.name
        if name is None:
            for known in places:
                names.add(known)
            name = names.default()
        elif item.further and name in places:
            for known in places:
                names.add(known)
            name = names.unique(name)
        if item.declared and not isinstance(item.node, syntax.Name):
            if name in declared:
                raise binder.error(f"A column named '{name}' is declared twice.", item.node, code="SEM0020")
            declared.add(name)
        if name in places:
            visible[places[name]] = (name, column)
        else:
            places[name] = len(visible)
            visible.append((name, column))
    return replace(relation, columns=tuple(visible))


def project(binder: Binder, relation: Relation, items: Sequence[Item]) -> Relation:
    """Only these columns."""
    # Columns that are named get their names first: made-up names must not collide with them.
    relation, columns = add_columns(binder, relation, [item.expression for item in items])
    names = Names()
    declared: set[str] = set()
    for item in items:
        if item.declared and item.name is not None:
            if item.name in declared:
                raise binder.error(
                    f"A column named '{item.name}' is declared twice.", item.node, code="SEM0020"
                )
            declared.add(item.name)
            names.add(item.name)
    visible: list[tuple[str, Column]] = []
    for item, column in zip(items, columns, strict=True):
        if item.declared and item.name is not None:
            visible.append((item.name, column))
        elif item.name is not None:
            visible.append((names.unique(item.name), column))
        else:
            visible.append((names.default(), column))
    return replace(relation, columns=tuple(visible))


@operator(syntax.Project, "project")
def _project(binder: Binder, node: syntax.Project, relation: Relation, environment: Environment) -> Relation:
    context = binder.row_context(relation, environment, windows=True)
    nodes: list[syntax.Expression] = []
    for column in node.columns:
        if isinstance(column, syntax.Star):
            nodes.extend(syntax.Name(name) for name in relation.names)
        else:
            nodes.append(column)
    return project(binder, relation, bind_items(binder, nodes, context))


def matching(
    binder: Binder,
    nodes: Sequence[syntax.Expression],
    relation: Relation,
    *,
    missing_is_error: bool = True,
) -> list[str]:
    """Names of columns that names and wildcards stand for, in the order written."""
    found: dict[str, None] = {}
    for node in nodes:
        if isinstance(node, syntax.Star):
            found.update(dict.fromkeys(relation.names))
        elif isinstance(node, syntax.WildcardName):
            pattern = re.compile(translate(node.pattern))
            found.update(dict.fromkeys(n for n in relation.names if pattern.match(n)))
        elif isinstance(node, syntax.Name):
            if relation.column(node.name) is None:
                if missing_is_error:
                    raise no_column(binder, node, node.name, relation)
                continue
            found[node.name] = None
        else:
            raise binder.error("The name of a column is expected here.", node)
    return list(found)


def no_column(binder: Binder, node: syntax.Node, name: str, relation: Relation) -> Exception:
    """The error for a column that is not there."""
    return binder.error(
        f"Failed to resolve column named '{name}'.",
        node,
        code="SEM0100",
        name=name,
        candidates=relation.names,
    )


@operator(syntax.ProjectAway, "project-away")
def _project_away(
    binder: Binder, node: syntax.ProjectAway, relation: Relation, environment: Environment
) -> Relation:
    away = set(matching(binder, node.columns, relation))
    return replace(relation, columns=tuple(c for c in relation.columns if c[0] not in away))


@operator(syntax.ProjectKeep, "project-keep")
def _project_keep(
    binder: Binder, node: syntax.ProjectKeep, relation: Relation, environment: Environment
) -> Relation:
    kept = set(matching(binder, node.columns, relation))
    return replace(relation, columns=tuple(c for c in relation.columns if c[0] in kept))


@operator(syntax.ProjectRename, "project-rename")
def _project_rename(
    binder: Binder, node: syntax.ProjectRename, relation: Relation, environment: Environment
) -> Relation:
    renamed: dict[str, str] = {}
    for item in node.columns:
        if not isinstance(item, syntax.NamedExpression) or not isinstance(item.value, syntax.Name):
            raise binder.error("project-rename takes NewName = OldName.", item)
        old = item.value.name
        if relation.column(old) is None:
            raise no_column(binder, item.value, old, relation)
        renamed[old] = item.name
    columns = [(renamed.get(name, name), column) for name, column in relation.columns]
    taken: set[str] = set()
    for name, _ in columns:
        if name in taken:
            raise binder.error(f"A column named '{name}' exists already.", node, code="SEM0020")
        taken.add(name)
    return replace(relation, columns=tuple(columns))


def _granny(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


@operator(syntax.ProjectReorder, "project-reorder")
def _project_reorder(
    binder: Binder, node: syntax.ProjectReorder, relation: Relation, environment: Environment
) -> Relation:
    first: dict[str, None] = {}
    explicit = {k.column.name for k in node.columns if isinstance(k.column, syntax.Name)}
    for key in node.columns:
        names = matching(binder, [key.column], relation, missing_is_error=True)
        if not isinstance(key.column, syntax.Name):
            names = [name for name in names if name not in explicit]
        order = key.order or ""
        if order:
            by = _granny if order.startswith("granny") else str.lower
            names.sort(key=by, reverse=order.endswith("desc"))
        first.update(dict.fromkeys(names))
    known = dict(relation.columns)
    rest = [name for name in relation.names if name not in first]
    return replace(relation, columns=tuple((name, known[name]) for name in [*first, *rest]))


@operator(syntax.ProjectByNames, "project-by-names")
def _project_by_names(
    binder: Binder, node: syntax.ProjectByNames, relation: Relation, environment: Environment
) -> Relation:
    context = Context(environment, {})
    found: dict[str, None] = {}
    for item in node.columns:
        if isinstance(item, syntax.Name | syntax.WildcardName | syntax.Star) and not (
            isinstance(item, syntax.Name) and environment.get(item.name) is not None
        ):
            found.update(dict.fromkeys(matching(binder, [item], relation, missing_is_error=False)))
            continue
        value = binder.constant(item, context, "A list of column names")
        names = value if isinstance(value, list) else [value]
        for name in names:
            wanted: syntax.Expression = (
                syntax.WildcardName(str(name)) if "*" in str(name) else syntax.Name(str(name))
            )
            found.update(dict.fromkeys(matching(binder, [wanted], relation, missing_is_error=False)))
    known = dict(relation.columns)
    return replace(relation, columns=tuple((name, known[name]) for name in found))


# --- order and number of rows -------------------------------------------------------------------


def order_keys(
    binder: Binder, keys: Sequence[syntax.SortKey], relation: Relation, environment: Environment
) -> tuple[Relation, tuple[OrderKey, ...]]:
    """Sort keys as columns of the relation's node. Nulls come first ascending, last descending,
    unless the query says otherwise."""
    context = binder.row_context(relation, environment, windows=True)
    expressions = []
    for key in keys:
        bound = binder.expression(key.expression, context)
        if bound.type is KustoType.DYNAMIC:
            bound = convert(bound, KustoType.STRING)
        expressions.append(bound)
    relation, columns = add_columns(binder, relation, expressions)
    order = []
    for key, column in zip(keys, columns, strict=True):
        ascending = bool(key.ascending)
        nulls_first = ascending if key.nulls_first is None else key.nulls_first
        order.append(OrderKey(column, not ascending, nulls_first))
    return relation, tuple(order)


@operator(syntax.Sort, "sort", "order")
def _sort(binder: Binder, node: syntax.Sort, relation: Relation, environment: Environment) -> Relation:
    relation, order = order_keys(binder, node.keys, relation, environment)
    return replace(relation, order=order, serialized=True)


def row_count(binder: Binder, node: syntax.Expression, environment: Environment, what: str) -> Expr:
    """A number of rows."""
    bound = binder.expression(node, Context(environment, {}))
    if isinstance(bound, Literal) and bound.type not in (INT, LONG):
        raise binder.error(
            f"{what} needs a whole number of rows, but this is of type {bound.type}.", node, code="SEM0040"
        )
    bound = convert(bound, LONG)
    if isinstance(bound, Literal) and (bound.value is None or bound.value < 0):
        raise binder.error(f"{what} needs a non-negative number of rows.", node, code="SEM0040")
    return bound


@operator(syntax.Top, "top")
def _top(binder: Binder, node: syntax.Top, relation: Relation, environment: Environment) -> Relation:
    count = row_count(binder, node.count, environment, "top")
    relation, order = order_keys(binder, node.keys, relation, environment)
    limited = LimitNode(relation.node, count, order)
    return replace(relation, node=limited, order=order, serialized=True)


@operator(syntax.Take, "take", "limit")
def _take(binder: Binder, node: syntax.Take, relation: Relation, environment: Environment) -> Relation:
    count = row_count(binder, node.count, environment, "take")
    return replace(relation, node=LimitNode(relation.node, count, relation.order))


@operator(syntax.Sample, "sample")
def _sample(binder: Binder, node: syntax.Sample, relation: Relation, environment: Environment) -> Relation:
    count = row_count(binder, node.count, environment, "sample")
    return replace(relation, node=SampleNode(relation.node, count), order=(), serialized=False)


@operator(syntax.SampleDistinct, "sample-distinct")
def _sample_distinct(
    binder: Binder, node: syntax.SampleDistinct, relation: Relation, environment: Environment
) -> Relation:
    count = row_count(binder, node.count, environment, "sample-distinct")
    items = bind_items(binder, (node.of,), binder.row_context(relation, environment))
    relation = distinct(binder, project(binder, relation, items))
    return replace(relation, node=LimitNode(relation.node, count))


@operator(syntax.Distinct, "distinct")
def _distinct(
    binder: Binder, node: syntax.Distinct, relation: Relation, environment: Environment
) -> Relation:
    nodes: list[syntax.Expression] = []
    for column in node.columns:
        if isinstance(column, syntax.Star):
            nodes.extend(syntax.Name(name) for name in relation.names)
        else:
            nodes.append(column)
    context = binder.row_context(relation, environment)
    return distinct(binder, project(binder, relation, bind_items(binder, nodes, context)))


def distinct(binder: Binder, relation: Relation) -> Relation:
    """Rows that differ in some column."""
    groups = tuple((binder.column_like(column), column) for _, column in relation.columns)
    columns = tuple((name, own) for (name, _), (own, _) in zip(relation.columns, groups, strict=True))
    return Relation(AggregateNode(relation.node, groups, ()), columns)


@operator(syntax.Count, "count")
def _count(binder: Binder, node: syntax.Count, relation: Relation, environment: Environment) -> Relation:
    return counted(binder, relation, "Count" if node.name is None else node.name.name)


def counted(binder: Binder, relation: Relation, name: str) -> Relation:
    """How many rows there are, in one of this name."""
    column = binder.column(LONG, nullable=False)
    call = AggregateCall("count", COUNT, (), LONG, False)
    return Relation(AggregateNode(relation.node, (), ((column, call),)), ((name, column),))


# --- other ---------------------------------------------------------------------------------------


@operator(syntax.Serialize, "serialize")
def _serialize(
    binder: Binder, node: syntax.Serialize, relation: Relation, environment: Environment
) -> Relation:
    relation = replace(relation, serialized=True)
    if not node.columns:
        return relation
    context = binder.row_context(relation, environment, windows=True)
    return extend(binder, relation, bind_items(binder, node.columns, context))


@operator(syntax.As, "as")
def _as(binder: Binder, node: syntax.As, relation: Relation, environment: Environment) -> Relation:
    value = binder.share(replace(relation, name=node.name.name))
    environment.set(node.name.name, value)
    return replace(binder.use(value), name=node.name.name)


@operator(syntax.GetSchema, "getschema")
def _getschema(
    binder: Binder, node: syntax.GetSchema, relation: Relation, environment: Environment
) -> Relation:
    if (node.kind or "").lower() == "csl":
        text = ", ".join(f"{name}:{column.type.value}" for name, column in relation.columns)
        return _texts(binder, ("CslSchema",), [(text,)])
    rows = [
        (name, place, column.type.clr, column.type.value)
        for place, (name, column) in enumerate(relation.columns)
    ]
    columns = (
        ("ColumnName", binder.column(KustoType.STRING)),
        ("ColumnOrdinal", binder.column(KustoType.INT, nullable=False)),
        ("DataType", binder.column(KustoType.STRING)),
        ("ColumnType", binder.column(KustoType.STRING)),
    )
    values = tuple(
        (
            Literal(KustoType.STRING, nullable=False, value=name),
            Literal(KustoType.INT, nullable=False, value=place),
            Literal(KustoType.STRING, nullable=False, value=clr),
            Literal(KustoType.STRING, nullable=False, value=kind),
        )
        for name, place, clr, kind in rows
    )
    return Relation(ValuesNode(tuple(column for _, column in columns), values), columns)


def _texts(binder: Binder, names: Sequence[str], rows: Sequence[Sequence[str]]) -> Relation:
    columns = tuple((name, binder.column(KustoType.STRING)) for name in names)
    values = tuple(
        tuple(Literal(KustoType.STRING, nullable=False, value=text) for text in row) for row in rows
    )
    return Relation(ValuesNode(tuple(column for _, column in columns), values), columns)


@operator(syntax.Consume, "consume")
def _consume(binder: Binder, node: syntax.Consume, relation: Relation, environment: Environment) -> Relation:
    nothing = Literal(KustoType.BOOL, nullable=False, value=False)
    return replace(relation, node=FilterNode(relation.node, nothing))


@operator(syntax.ExecuteAndCache, "execute-and-cache")
def _execute_and_cache(
    binder: Binder, node: syntax.ExecuteAndCache, relation: Relation, environment: Environment
) -> Relation:
    return relation


@operator(syntax.AssertSchema, "assert-schema")
def _assert_schema(
    binder: Binder, node: syntax.AssertSchema, relation: Relation, environment: Environment
) -> Relation:
    declared = node.type.columns or ()
    for wanted in declared:
        column = relation.column(wanted.name)
        if column is None:
            raise no_column(binder, node, wanted.name, relation)
        if wanted.type is not None and column.type is not KustoType.parse(wanted.type):
            raise binder.error(
                f"assert-schema: column '{wanted.name}' is of type {column.type}, not {wanted.type}.",
                node,
            )
    if not node.type.open and len(declared) != len(relation.columns):
        raise binder.error("assert-schema: the input has further columns.", node)
    return relation


@operator(syntax.Render, "render")
def _render(binder: Binder, node: syntax.Render, relation: Relation, environment: Environment) -> Relation:
    from spark_kusto.kql.binder.rendering import visualization_of

    return replace(relation, visualization=visualization_of(node))


@operator(syntax.Invoke, "invoke")
def _invoke(binder: Binder, node: syntax.Invoke, relation: Relation, environment: Environment) -> Relation:
    from spark_kusto.kql.binder.calls import stored_function, unknown_function
    from spark_kusto.kql.binder.context import FunctionValue
    from spark_kusto.kql.binder.sources import call_function, database_of

    call, database = node.call, binder.database
    if isinstance(call, syntax.Member):
        database = database_of(binder, call.base, environment)
        assert isinstance(call.member, syntax.Call)
        call = call.member
    value = environment.get(call.name)
    if not isinstance(value, FunctionValue):
        value = stored_function(binder, call.name, database)
    if value is None:
        raise unknown_function(binder, call, environment)
    return call_function(binder, value, call, environment, relation)
