"""Plugins whose result's columns come from the data: ``bag_unpack``, ``pivot``, ``narrow``.

Sources: Kusto documentation, "bag_unpack plugin", "pivot plugin", "narrow plugin". Unless the query
declares the schema, part of it runs while binding, to see the keys or values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.aggregation import finish, group
from spark_kusto.kql.binder.context import AggregateCollector, Context, Environment, Relation
from spark_kusto.kql.binder.conversion import apply, convert
from spark_kusto.kql.binder.evaluating import declared_schema
from spark_kusto.kql.binder.expressions import step
from spark_kusto.kql.binder.naming import Names
from spark_kusto.kql.plan import (
    AggregateCall,
    AggregateNode,
    Column,
    Expr,
    ExtendNode,
    Literal,
    OrderKey,
    TemplateNode,
    UnnestNode,
    Window,
    references,
)
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DYNAMIC,
    LONG,
    REAL,
    STRING,
    Overload,
    ScalarRow,
    overload,
    parameter,
    repeated,
    special,
)
from spark_kusto.kql.sql.expressions import key_path
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


# --- bag_unpack ----------------------------------------------------------------------------------

_JSON_TYPES = {
    "BIGINT": LONG,
    "UBIGINT": LONG,
    "HUGEINT": REAL,
    "DOUBLE": REAL,
    "BOOLEAN": BOOL,
    "VARCHAR": STRING,
    "OBJECT": DYNAMIC,
    "ARRAY": DYNAMIC,
}


def _keys(binder: Binder, relation: Relation, bag: Column, at: syntax.Node) -> dict[str, KustoType]:
    """Keys of the bags in a column and the types of their values, by name."""
    key, kind = binder.column(STRING), binder.column(STRING)

    def write(inputs: Sequence[str], _: object, __: Sequence[str]) -> str:
        rows = (
            f"SELECT {bag.id} AS d, unnest(json_keys({bag.id})) AS k FROM {inputs[0]}"
            f" WHERE json_type({bag.id}) = 'OBJECT'"
        )
        value = f"json_type(json_extract(d, {key_path('k')}))"
        return f"SELECT DISTINCT k AS {key.id}, {value} AS {kind.id} FROM ({rows})"

    node = TemplateNode((relation.node,), ((bag.id,),), write, (key, kind))
    table = binder.probe(node, {"key": key, "kind": kind}, "The schema of bag_unpack", at)
    found: dict[str, set[KustoType]] = {}
    for name, shape in zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True):
        kinds = found.setdefault(name, set())
        if shape in _JSON_TYPES:
            kinds.add(_JSON_TYPES[shape])
    return {name: _one_type(found[name]) for name in sorted(found)}


def _one_type(kinds: set[KustoType]) -> KustoType:
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds == {LONG, REAL}:
        return REAL
    return DYNAMIC


def _bag_unpack(
    binder: Binder, node: syntax.Evaluate, relation: Relation, environment: Environment
) -> Relation:
    arguments = [a for a in node.call.arguments if not isinstance(a, syntax.NamedExpression)]
    named = {a.name: a.value for a in node.call.arguments if isinstance(a, syntax.NamedExpression)}
    if not arguments:
        raise binder.error("bag_unpack() takes a column.", node.call, code="SEM0219")
    context = binder.row_context(relation, environment)
    bound = binder.expression(arguments[0], context)
    if bound.type is not DYNAMIC:
        raise binder.error(
            f"bag_unpack() takes a dynamic column, but this is of type {bound.type}.",
            arguments[0],
            code="SEM0225",
        )
    constant = Context(environment, {})

    def option(place: int, name: str, default: object) -> object:
        item = arguments[place] if place < len(arguments) else named.get(name)
        if item is None:
            return default
        return binder.constant(item, constant, f"The argument '{name}' of bag_unpack()")

    prefix = str(option(1, "OutputColumnPrefix", ""))
    conflict = str(option(2, "columnsConflict", "error")).lower()
    ignored = option(3, "ignoredProperties", [])
    ignored_names = set(ignored) if isinstance(ignored, list) else set()
    own = tuple(
        (name, column)
        for name, column in relation.columns
        if not (isinstance(arguments[0], syntax.Name) and name == arguments[0].name)
    )
    relation, made = binder.as_columns(relation, [bound])
    bag = made[0]
    wanted: dict[str, KustoType]
    declared = declared_schema(node.schema, replace(relation, columns=own))
    if declared is not None:
        own_names = {name for name, _ in own}
        wanted = {name.removeprefix(prefix): kind for name, kind in declared if name not in own_names}
        own = tuple((n, c) for n, c in own if n in dict(declared))
    else:
        wanted = _keys(binder, relation, bag, node)
    own_names = {name for name, _ in own}
    visible = list(own)
    items: list[tuple[Column, Expr]] = []
    for key, kind in wanted.items():
        if key in ignored_names:
            continue
        name = prefix + key
        value = convert(step(binder, bag, key, node), kind)
        column = binder.column_like(value)
        if name in own_names:
            if conflict == "keep_source":
                continue
            if conflict != "replace_source":
                raise binder.error(
                    f"bag_unpack(): the property '{key}' has the name of a column.",
                    node.call,
                    remedy="Give a prefix, or columnsConflict='replace_source' or 'keep_source'.",
                )
            visible = [(n, column if n == name else c) for n, c in visible]
        else:
            visible.append((name, column))
        items.append((column, value))
    extended = ExtendNode(relation.node, tuple(items)) if items else relation.node
    return replace(relation, node=extended, columns=tuple(visible))


special("bag_unpack", _bag_unpack, kind="plugin")


# --- pivot ---------------------------------------------------------------------------------------

_ZERO_WHEN_EMPTY = frozenset({"count", "countif", "sum", "sumif", "dcount", "dcountif", "count_distinct"})


def _picked(default: str) -> Overload:
    text = "any_value({0}) FILTER (WHERE {1} IS NOT DISTINCT FROM {2})"
    sql = f"coalesce({text}, {default})" if default else text
    return overload([parameter(ANY), parameter(ANY), parameter(ANY)], DYNAMIC, sql, "maybe")


def _pivot(binder: Binder, node: syntax.Evaluate, relation: Relation, environment: Environment) -> Relation:
    arguments = node.call.arguments
    if not arguments:
        raise binder.error("pivot() takes a column.", node.call, code="SEM0219")
    context = binder.row_context(relation, environment)
    pivot = binder.expression(arguments[0], context)
    aggregate: syntax.Expression = syntax.Call("count", (), span=node.call.span)
    rest = list(arguments[1:])
    if rest and isinstance(rest[0], syntax.Call):
        aggregate = rest.pop(0)
    if rest:
        keys: list[syntax.Expression] = list(rest)
    else:
        probe = AggregateCollector(context)
        binder.expression(aggregate, Context(environment, {}, aggregates=probe))
        used = references((pivot,))
        for _, call in probe.calls:
            used |= references(call.arguments)
        keys = [syntax.Name(name) for name, column in relation.columns if column.id not in used]
    by = [*keys, syntax.NamedExpression((syntax.Name("$pivot"),), arguments[0])]
    grouped = finish(binder, group(binder, relation, [aggregate], by, environment))
    value = binder.share(grouped)
    groups = binder.use(value)
    names = groups.names
    key_columns = groups.columns[: len(keys)]
    pivot_column = groups.columns[names.index("$pivot")][1]
    measure = groups.columns[len(keys) + 1][1]
    declared = declared_schema(node.schema, Relation(groups.node, key_columns))
    labels: list[tuple[str, Literal]]
    if declared is not None:
        known = {name for name, _ in key_columns}
        labels = [
            (name, Literal(STRING, nullable=False, value=name)) for name, _ in declared if name not in known
        ]
        text = convert(pivot_column, STRING)
    else:
        text = convert(pivot_column, STRING)
        labels = [
            (label, Literal(STRING, nullable=False, value=label))
            for label in _labels(binder, binder.use(value), node)
        ]
    default = ""
    if isinstance(aggregate, syntax.Call) and aggregate.name in _ZERO_WHEN_EMPTY:
        default = "0"
    elif measure.type is STRING:
        default = "''"
    shape = _picked(default)
    made_names = Names(name for name, _ in key_columns)
    visible: list[tuple[str, Column]] = []
    group_items: list[tuple[Column, Expr]] = []
    for name, column in key_columns:
        own = binder.column_like(column)
        group_items.append((own, column))
        visible.append((name, own))
    base, text_columns = binder.as_columns(groups, [text])
    calls: list[tuple[Column, AggregateCall]] = []
    for label, literal in labels:
        own = binder.column(measure.type, nullable=not default, element=measure.element)
        call = AggregateCall("pivot", shape, (measure, text_columns[0], literal), measure.type, not default)
        calls.append((own, call))
        visible.append((made_names.unique(label), own))
    result = Relation(AggregateNode(base.node, tuple(group_items), tuple(calls)), tuple(visible))
    return result if declared is None else _as_declared(binder, node, result, declared)


def _as_declared(
    binder: Binder,
    node: syntax.Evaluate,
    relation: Relation,
    declared: Sequence[tuple[str, KustoType]],
) -> Relation:
    """The columns that the declared schema names, in its order and types."""
    kinds = dict(declared)
    for name in relation.names:
        if name not in kinds:
            raise binder.error(
                f"pivot(): the result has a column '{name}', which the declared schema has not.",
                node.call,
                name=name,
                remedy="Name it in the schema, or name the columns to keep as arguments of pivot().",
            )
    columns = dict(relation.columns)
    wanted = [convert(columns[name], kind) for name, kind in declared]
    relation, made = binder.as_columns(relation, wanted)
    return replace(relation, columns=tuple((name, c) for (name, _), c in zip(declared, made, strict=True)))


def _labels(binder: Binder, groups: Relation, node: syntax.Evaluate) -> list[str]:
    """Texts of the pivot column's values, sorted."""
    column = dict(groups.columns)["$pivot"]
    text = convert(column, STRING)
    own = binder.column_like(text)
    distinct = AggregateNode(groups.node, ((own, text),), ())
    table = binder.probe(distinct, {"value": own}, "The schema of pivot", node)
    return sorted(str(value) for value in table.column(0).to_pylist())


special("pivot", _pivot, kind="plugin")


# --- narrow --------------------------------------------------------------------------------------

_LIST = ScalarRow(
    "items",
    (overload([repeated(ANY)], DYNAMIC, lambda call: f"[{', '.join(call.sql)}]", "never"),),
    "never",
)


def _narrow(binder: Binder, node: syntax.Evaluate, relation: Relation, environment: Environment) -> Relation:
    number = binder.column(LONG, nullable=False)
    window = Window(LONG, nullable=False, template="(row_number() OVER ({over}) - 1)", order=relation.order)
    numbered = ExtendNode(relation.node, ((number, window),))
    names = [Literal(STRING, nullable=False, value=name) for name, _ in relation.columns]
    texts = [convert(column, STRING) for _, column in relation.columns]
    name, value = binder.column(STRING), binder.column(STRING)
    shape = _LIST.overloads[0]
    unnested = UnnestNode(numbered, ((name, apply(_LIST, shape, names)), (value, apply(_LIST, shape, texts))))
    columns = (("Row", number), ("Column", name), ("Value", value))
    return Relation(unnested, columns, (OrderKey(number, False, True),))


special("narrow", _narrow, kind="plugin")
