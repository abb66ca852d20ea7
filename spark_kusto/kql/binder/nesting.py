"""``top-nested``, ``top-hitters`` and ``partition``.

Sources: Kusto documentation, "top-nested operator", "top-hitters operator", "partition operator".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.aggregation import finish, group
from spark_kusto.kql.binder.apart import correlated, for_each, rows_of_group
from spark_kusto.kql.binder.context import Context, Environment, Relation, ScalarValue
from spark_kusto.kql.binder.conversion import apply, convert
from spark_kusto.kql.binder.core import RowsNeededError
from spark_kusto.kql.binder.expressions import conjunction
from spark_kusto.kql.binder.naming import inferred_name
from spark_kusto.kql.binder.rows import keep, row_count
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.binder.unions import union
from spark_kusto.kql.plan import (
    AggregateNode,
    Column,
    Expr,
    ExtendNode,
    FilterNode,
    JoinNode,
    LimitNode,
    Literal,
    Node,
    OrderKey,
    ScalarQuery,
    Window,
)
from spark_kusto.kql.registry import ANY, BOOL, LONG, STRING, ScalarRow, overload
from spark_kusto.kql.sql.traversal import must_run_apart

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_SAME = ScalarRow(
    "is not distinct from",
    # Not IS NOT DISTINCT FROM: DuckDB 1.5 can't push that into a scan of Arrow and fails.
    (overload([ANY, ANY], BOOL, "coalesce({0} = {1}, {0} IS NULL AND {1} IS NULL)", "never"),),
)
_AT_MOST = ScalarRow("at most", (overload([LONG, LONG], BOOL, "({0} <= {1})"),))


def _call(row: ScalarRow, *arguments: Expr) -> Expr:
    return apply(row, row.overloads[0], arguments)


def same(left: Expr, right: Expr) -> Expr:
    """Equality under which null equals null."""
    return _call(_SAME, left, right)


# --- top-nested ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Level:
    """A level's kept values: the groups above, its own value and measure, as columns."""

    relation: Relation
    value: Column
    measure: Column


@operator(syntax.TopNested, "top-nested")
def _top_nested(
    binder: Binder, node: syntax.TopNested, relation: Relation, environment: Environment
) -> Relation:
    names: list[str] = []
    for level in node.levels:
        of = inferred_name(level.of) or f"Column{len(names) + 1}"
        measure = (
            level.by.name
            if isinstance(level.by, syntax.NamedExpression)
            else f"aggregated_{inferred_name(level.of) or ''}"
        )
        names.extend((of, measure))
    carried: tuple[tuple[str, Column], ...] = ()
    current = relation
    result = relation
    for place, level in enumerate(node.levels):
        last = place == len(node.levels) - 1
        grouping = level.of.value if isinstance(level.of, syntax.NamedExpression) else level.of
        context = Context(environment, dict(current.columns), relation=current)
        key = _key(binder, level, binder.expression(grouping, context), current, environment)
        current, made = binder.as_columns(current, [key])
        shared = binder.share(replace(current, columns=(*current.columns, *carried, ("$key", made[0]))))
        kept = _kept(binder, level, shared_use(binder, shared, carried), environment)
        pieces = [kept]
        if level.others is not None:
            pieces.append(_others(binder, level, shared_use(binder, shared, carried), kept, environment))
        if last:
            result = union(binder, [_labelled(piece) for piece in pieces])
            continue
        rows = []
        for piece, is_rest in zip(pieces, (False, True), strict=False):
            part = _rows(binder, shared_use(binder, shared, carried), piece, kept if is_rest else None)
            rows.append(_marked(binder, part) if is_rest else part)
        if len(rows) > 1 and rows[0].column(_REST) is None:
            rows[0] = _marked(binder, rows[0], False)
        current = rows[0] if len(rows) == 1 else union(binder, rows)
        hidden = {name for name in current.names if name.startswith("$level")}
        carried = tuple((n, c) for n, c in current.columns if n in hidden)
        own = tuple((n, c) for n, c in current.columns if n not in hidden and n != "$key")
        current = replace(current, columns=own)
    columns = [column for _, column in result.columns]
    if len(set(names)) < len(names):
        from spark_kusto.kql.binder.joining import unique_names

        return replace(result, columns=unique_names(list(zip(names, columns, strict=True))), order=())
    return replace(result, columns=tuple(zip(names, columns, strict=True)), order=())


_REST = "$rest"
"""Whether a row is of an "others" group: such a group is not divided at the levels below."""
_CHOICE = ScalarRow(
    "key", (overload([BOOL, ANY, ANY], STRING, "CASE WHEN {0} THEN {1} ELSE {2} END", "maybe"),)
)


def _key(
    binder: Binder, level: syntax.TopNestedLevel, key: Expr, relation: Relation, environment: Environment
) -> Expr:
    """A level's key: in groups of others, the level's own label for others, or null."""
    rest = relation.column(_REST)
    if rest is None:
        return key
    is_text = key.type is STRING
    label: Expr = Literal(key.type, nullable=not is_text, value="" if is_text else None)
    if level.others is not None:
        label = convert(binder.expression(level.others, Context(environment, {})), key.type)
    nullable = not is_text and (key.nullable or label.nullable)
    return replace(_call(_CHOICE, rest, label, key), type=key.type, nullable=nullable, element=key.element)


def _marked(binder: Binder, rows: Relation, is_rest: bool = True) -> Relation:
    """Rows with the mark of others' groups."""
    column = binder.column(BOOL, nullable=False)
    mark = Literal(BOOL, nullable=False, value=is_rest)
    others = tuple((name, known) for name, known in rows.columns if name != _REST)
    return Relation(ExtendNode(rows.node, ((column, mark),)), (*others, (_REST, column)))


@dataclass(frozen=True)
class _Use:
    """One use of the rows at a level: carried groups, the level's key."""

    relation: Relation
    carried: tuple[tuple[str, Column], ...]
    key: Column


def shared_use(binder: Binder, shared: object, carried: Sequence[tuple[str, Column]]) -> _Use:
    """One use of a level's rows."""
    from spark_kusto.kql.binder.context import TableValue

    assert isinstance(shared, TableValue)
    used = binder.use(shared)
    columns = dict(used.columns)
    names = [name for name, _ in carried]
    return _Use(used, tuple((name, columns[name]) for name in names), columns["$key"])


def _aggregate(
    binder: Binder,
    level: syntax.TopNestedLevel,
    use: _Use,
    keys: Sequence[tuple[str, Expr]],
    environment: Environment,
) -> tuple[Node, list[Column], Column]:
    """The level's measure by carried groups and keys."""
    by = level.by.value if isinstance(level.by, syntax.NamedExpression) else level.by
    visible = tuple((n, c) for n, c in use.relation.columns if not n.startswith("$"))
    grouped = group(binder, replace(use.relation, columns=visible), [by], (), environment)
    groups = [
        (binder.column_like(expression), expression)
        for expression in (*(c for _, c in use.carried), *(e for _, e in keys))
    ]
    node: Node = AggregateNode(use.relation.node, tuple(groups), tuple(grouped.collector.calls))
    expression = grouped.items[0].expression
    if isinstance(expression, Column):
        measure = expression
    else:
        measure = binder.column_like(expression)
        node = ExtendNode(node, ((measure, expression),))
    return node, [column for column, _ in groups], measure


def _kept(binder: Binder, level: syntax.TopNestedLevel, use: _Use, environment: Environment) -> Relation:
    node, columns, measure = _aggregate(binder, level, use, [("$key", use.key)], environment)
    count = len(use.carried)
    if level.count is not None:
        limit = row_count(binder, level.count, environment, "top-nested")
        ascending = bool(level.ascending)
        rank = binder.column(LONG, nullable=False)
        window = Window(
            LONG,
            nullable=False,
            template="row_number() OVER ({over})",
            partition=tuple(columns[:count]),
            order=(OrderKey(measure, not ascending, ascending),),
        )
        node = ExtendNode(node, ((rank, window),))
        node = FilterNode(node, _call(_AT_MOST, rank, limit))
    return _result(use, node, columns, measure)


def _result(use: _Use, node: Node, columns: Sequence[Column], measure: Column) -> Relation:
    count = len(use.carried)
    number = count // 2
    visible = [(name, column) for (name, _), column in zip(use.carried, columns, strict=False)]
    visible.append((f"$level{number}_key", columns[count]))
    visible.append((f"$level{number}_measure", measure))
    return Relation(node, tuple(visible))


def _on(use: _Use, kept: Relation, with_key: bool) -> Expr:
    columns = [column for _, column in kept.columns]
    terms = [same(mine, theirs) for (_, mine), theirs in zip(use.carried, columns, strict=False)]
    if with_key:
        terms.append(same(use.key, columns[len(use.carried)]))
    return conjunction(terms)


def _others(
    binder: Binder,
    level: syntax.TopNestedLevel,
    use: _Use,
    kept: Relation,
    environment: Environment,
) -> Relation:
    """One group of all that is not kept, labelled."""
    assert level.others is not None
    label = convert(binder.expression(level.others, Context(environment, {})), use.key.type)
    value = binder.share(kept)
    again = binder.use(value)
    rest = JoinNode("ANTI", use.relation.node, again.node, _on(use, again, True))
    left = replace(use, relation=replace(use.relation, node=rest))
    node, columns, measure = _aggregate(binder, level, left, [("$key", label)], environment)
    return _result(use, node, columns, measure)


def _rows(binder: Binder, use: _Use, piece: Relation, kept: Relation | None) -> Relation:
    """The rows of the groups of a piece, with the piece's columns."""
    node = use.relation.node
    if kept is not None:
        again = binder.use(binder.share(kept))
        node = JoinNode("ANTI", node, again.node, _on(use, again, True))
    theirs = binder.use(binder.share(piece))
    joined = JoinNode("INNER", node, theirs.node, _on(use, theirs, kept is None))
    hidden = {name for name, _ in use.carried}
    own = [(n, c) for n, c in use.relation.columns if n not in hidden and n != "$key"]
    return Relation(joined, (*own, *theirs.columns))


def _labelled(piece: Relation) -> Relation:
    return piece


# --- top-hitters ---------------------------------------------------------------------------------


@operator(syntax.TopHitters, "top-hitters")
def _top_hitters(
    binder: Binder, node: syntax.TopHitters, relation: Relation, environment: Environment
) -> Relation:
    count = row_count(binder, node.count, environment, "top-hitters")
    if node.by is None:
        name = f"approximate_count_{inferred_name(node.of) or ''}"
        measure: syntax.Expression = syntax.Call("count")
    else:
        name = f"approximate_sum_{inferred_name(node.by) or ''}"
        measure = syntax.Call("sum", (node.by,))
    named = syntax.NamedExpression((syntax.Name(name),), measure)
    grouped = finish(binder, group(binder, relation, [named], [node.of], environment))
    order = (OrderKey(grouped.columns[1][1], True, False),)
    limited = LimitNode(grouped.node, count, order)
    return replace(grouped, node=limited, order=order, serialized=True)


# --- partition -----------------------------------------------------------------------------------


@operator(syntax.Partition, "partition")
def _partition(
    binder: Binder, node: syntax.Partition, relation: Relation, environment: Environment
) -> Relation:
    context = binder.row_context(relation, environment)
    key = binder.expression(node.by, context)
    relation, made = binder.as_columns(relation, [key])
    value = binder.share(replace(relation, columns=(*relation.columns, ("$partition", made[0]))))
    keys = binder.use(value)
    key_column = binder.column_like(made[0])
    distinct = AggregateNode(keys.node, ((key_column, keys.columns[-1][1]),), ())
    rows = binder.use(value)
    shared = binder.session.shared_number
    own = replace(keep(binder, rows, same(rows.columns[-1][1], key_column)), columns=rows.columns[:-1])
    with suppress(RowsNeededError), correlated(binder):
        outcome = _of_key(binder, node, own, key_column, Environment(environment))
        if not must_run_apart(outcome.node, shared):
            joined = JoinNode("LATERAL", distinct, outcome.node, None)
            return Relation(joined, outcome.columns)
    rows = binder.use(value)
    member = rows.columns[-1][1]
    group, own = rows_of_group(rows)
    value_of_key = ScalarQuery(key_column.type, element=key_column.element, node=group, column=member.id)
    own = replace(own, columns=own.columns[:-1])
    outcome = _of_key(binder, node, own, value_of_key, Environment(environment))
    each, _ = for_each(binder, (distinct, key_column), ((group, member),), outcome)
    return Relation(each, outcome.columns)


def _of_key(
    binder: Binder, node: syntax.Partition, rows: Relation, key: Expr, environment: Environment
) -> Relation:
    """The subquery over the rows of one key."""
    if isinstance(node.subquery, syntax.SubPipe):
        return binder.pipe(rows, node.subquery.operators, environment)
    inner = Environment(environment)
    name = inferred_name(node.by)
    if name is not None:
        inner.set(name, ScalarValue(key))
    return binder.relation(node.subquery, inner)
