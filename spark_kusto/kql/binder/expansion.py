"""``mv-expand`` and ``mv-apply``.

Source: Kusto documentation, "mv-expand operator", "mv-apply operator". A null gives one row, an
empty array or bag none; several columns go in step, the shorter ones filled with null.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.apart import correlated, for_each_row, rows_of_group
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.binder.conversion import apply, convert
from spark_kusto.kql.binder.core import RowsNeededError
from spark_kusto.kql.binder.naming import Names, inferred_name
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.plan import (
    Column,
    Expr,
    ExtendNode,
    GroupNode,
    JoinNode,
    Node,
    OrderKey,
    UnnestNode,
    ValuesNode,
)
from spark_kusto.kql.registry import (
    ANY,
    DYNAMIC,
    LONG,
    Emission,
    ScalarRow,
    overload,
    parameter,
    repeated,
)
from spark_kusto.kql.sql.expressions import key_path
from spark_kusto.kql.sql.traversal import must_run_apart
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_ARRAY = "json_extract({d}, '$[*]')::VARCHAR[]"
_KEY = f"json_extract({{d}}, {key_path('k')})::VARCHAR"
_BAG = f"list_transform(json_keys({{d}}), lambda k: '{{{{' || to_json(k)::VARCHAR || ':' || {_KEY} || '}}}}')"
_PAIRS = f"list_transform(json_keys({{d}}), lambda k: '[' || to_json(k)::VARCHAR || ',' || {_KEY} || ']')"


def _items_sql(entries: str) -> str:
    return (
        "CASE WHEN {d} IS NULL THEN [NULL::VARCHAR]"
        f" WHEN json_type({{d}}) = 'ARRAY' THEN {_ARRAY}"
        f" WHEN json_type({{d}}) = 'OBJECT' THEN {entries}"
        " ELSE [{d}::VARCHAR] END"
    )


def _list(entries: str) -> ScalarRow:
    text = _items_sql(entries)
    shape = overload([parameter(DYNAMIC)], DYNAMIC, lambda call: call.once(text, d=call.sql[0]), "never")
    return ScalarRow("items", (shape,), "never")


_AS_BAGS = _list(_BAG)
_AS_PAIRS = _list(_PAIRS)


def _cut(call: Emission) -> str:
    return f"list_slice({call.sql[0]}, 1, {call.sql[1]})"


_CUT = ScalarRow("items", (overload([ANY, LONG], DYNAMIC, _cut, "never"),), "never")


def _positions(call: Emission) -> str:
    lengths = [f"len({sql})" for sql in call.sql]
    longest = lengths[0] if len(lengths) == 1 else f"greatest({', '.join(lengths)})"
    return f"range({longest})"


_POSITIONS = ScalarRow("items", (overload([repeated(ANY)], LONG, _positions, "never"),), "never")
_NOT_NULL = ScalarRow("item", (overload([ANY], DYNAMIC, "nullif({0}, 'null')", "maybe"),), "maybe")


def _call(row: ScalarRow, *arguments: Expr) -> Expr:
    return apply(row, row.overloads[0], arguments)


@dataclass(frozen=True)
class _Part:
    """One expanded column: its name, whether it takes an existing column's place, its value."""

    name: str
    column: Column


@dataclass(frozen=True)
class _Expansion:
    node: Node
    parts: tuple[_Part, ...]
    index: Column | None


def _expand(
    binder: Binder,
    base: Node,
    nodes: Sequence[syntax.MvColumn],
    context: Context,
    *,
    pairs: bool = False,
    limit: Expr | None = None,
    with_index: bool = False,
    what: str = "mv-expand",
) -> _Expansion:
    """The base's rows once for each item of the arrays."""
    lists: list[Expr] = []
    raw: list[tuple[Column, Expr]] = []
    made: list[tuple[str, Column, KustoType | None]] = []
    names = Names()
    for node in nodes:
        value = binder.expression(node.expression, context)
        if value.type is not DYNAMIC:
            raise binder.error(
                f"{what}: the expression must be of type dynamic, but is {value.type}.",
                node,
                code="SEM0100",
                remedy="Use todynamic() first.",
            )
        items = _call(_AS_PAIRS if pairs else _AS_BAGS, value)
        if limit is not None:
            items = _call(_CUT, items, limit)
        lists.append(items)
        element = value.element
        column = binder.column(DYNAMIC, element=element)
        raw.append((column, items))
        name = node.name.name if node.name is not None else inferred_name(node.expression)
        wanted = None
        if node.to_type is not None and node.to_type.scalar is not None:
            wanted = KustoType.parse(node.to_type.scalar)
        made.append((name if name is not None else names.default(), column, wanted))
    index = None
    if with_index:
        index = binder.column(LONG, nullable=False)
        raw.append((index, _call(_POSITIONS, *lists)))
    unnested: Node = UnnestNode(base, tuple(raw))
    computed: list[tuple[Column, Expr]] = []
    parts: list[_Part] = []
    for name, column, wanted in made:
        item = replace(_call(_NOT_NULL, column), element=column.element)
        result = item if wanted is None else _of_type(item, wanted)
        own = binder.column_like(result)
        computed.append((own, result))
        parts.append(_Part(name, own))
    return _Expansion(ExtendNode(unnested, tuple(computed)), tuple(parts), index)


_KINDS = {
    **dict.fromkeys(
        (KustoType.INT, KustoType.LONG, KustoType.REAL), "'BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE'"
    ),
    KustoType.BOOL: "'BOOLEAN', 'BIGINT', 'UBIGINT'",
    **dict.fromkeys((KustoType.DATETIME, KustoType.GUID), "'VARCHAR'"),
}
"""JSON's kinds of what ``to typeof(...)`` takes; of the others it makes nulls."""

_FITTING = {
    kind: ScalarRow(
        "item",
        (overload([DYNAMIC], DYNAMIC, f"CASE WHEN json_type({{0}}) IN ({kinds}) THEN {{0}} END", "maybe"),),
    )
    for kind, kinds in _KINDS.items()
}


def _of_type(item: Expr, wanted: KustoType) -> Expr:
    """An item as ``to typeof(...)`` gives it: a text is no number there."""
    row = _FITTING.get(wanted)
    fitting = item if row is None else replace(_call(row, item), element=item.element)
    return convert(fitting, wanted)


def _limit(binder: Binder, node: syntax.Expression | None, environment: Environment) -> Expr | None:
    if node is None:
        return None
    return convert(binder.expression(node, Context(environment, {})), LONG)


def _put(columns: Sequence[tuple[str, Column]], parts: Sequence[_Part]) -> list[tuple[str, Column]]:
    """The columns with the parts in the places of those of the same name, or at the end."""
    visible = list(columns)
    places = {name: place for place, (name, _) in enumerate(visible)}
    for part in parts:
        if part.name in places:
            visible[places[part.name]] = (part.name, part.column)
        else:
            places[part.name] = len(visible)
            visible.append((part.name, part.column))
    return visible


@operator(syntax.MvExpand, "mv-expand", "mvexpand")
def _mv_expand(
    binder: Binder, node: syntax.MvExpand, relation: Relation, environment: Environment
) -> Relation:
    context = binder.row_context(relation, environment)
    expansion = _expand(
        binder,
        relation.node,
        node.columns,
        context,
        pairs=(node.kind or "").lower() == "array",
        limit=_limit(binder, node.limit, environment),
        with_index=node.with_itemindex is not None or bool(relation.order),
    )
    visible = _put(relation.columns, expansion.parts)
    order = relation.order
    if expansion.index is not None:
        if order:
            order = (*order, OrderKey(expansion.index, False, True))
        if node.with_itemindex is not None:
            visible = _put(visible, [_Part(node.with_itemindex, expansion.index)])
    return replace(relation, node=expansion.node, columns=tuple(visible), order=order)


@operator(syntax.MvApply, "mv-apply")
def _mv_apply(binder: Binder, node: syntax.MvApply, relation: Relation, environment: Environment) -> Relation:
    shared = binder.session.shared_number
    rows, expanded = _items_of_row(binder, node, ValuesNode((), ((),)), relation, environment)
    with suppress(RowsNeededError), correlated(binder):
        outcome = binder.pipe(rows, node.subquery.operators, Environment(environment))
        if not must_run_apart(outcome.node, shared):
            joined = JoinNode("LATERAL", relation.node, outcome.node, None)
            return _with_results(relation, joined, outcome, expanded)

    def subquery(numbered: Relation) -> tuple[GroupNode, Relation]:
        source = replace(numbered, columns=numbered.columns[:-1])
        items, _ = _items_of_row(binder, node, numbered.node, source, environment)
        group, own = rows_of_group(items)
        return group, binder.pipe(own, node.subquery.operators, Environment(environment))

    apart, outside, outcome = for_each_row(binder, relation, subquery)
    return _with_results(outside, apart, outcome, expanded)


def _items_of_row(
    binder: Binder, node: syntax.MvApply, base: Node, relation: Relation, environment: Environment
) -> tuple[Relation, set[str]]:
    """What the subquery reads: a row's items in order, beside the row's columns; and the names of
    the columns that hold them."""
    expansion = _expand(
        binder,
        base,
        node.columns,
        binder.row_context(relation, environment),
        limit=_limit(binder, node.limit, environment),
        with_index=True,
        what="mv-apply",
    )
    assert expansion.index is not None
    inside = _put(relation.columns, expansion.parts)
    if node.with_itemindex is not None:
        inside = _put(inside, [_Part(node.with_itemindex, expansion.index)])
    order = (OrderKey(expansion.index, False, True),)
    rows = Relation(expansion.node, tuple(inside), order, serialized=True)
    return rows, {part.name for part in expansion.parts}


def _with_results(relation: Relation, node: Node, outcome: Relation, expanded: Collection[str]) -> Relation:
    """Each row with the results of a subquery over it. Columns that are expanded in place are there
    only if the subquery gives them."""
    results = dict(outcome.columns)
    visible: list[tuple[str, Column]] = []
    names: set[str] = set()
    for name, column in relation.columns:
        names.add(name)
        if name in results or name not in expanded:
            visible.append((name, results.get(name, column)))
    visible.extend((name, column) for name, column in outcome.columns if name not in names)
    return Relation(node, tuple(visible), relation.order, relation.serialized, relation.name)
