"""``make-series``.

Source: Kusto documentation, "make-series operator". Rows are put into bins of the axis from the
start (which belongs to it) to the stop (which does not); every series has every bin, those without
rows with the default. Without a start or stop, each series begins and ends with its own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.aggregation import group
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.binder.conversion import apply, convert
from spark_kusto.kql.binder.expressions import conjunction
from spark_kusto.kql.binder.naming import inferred_name
from spark_kusto.kql.binder.operators import comparison
from spark_kusto.kql.binder.rows import keep
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.plan import (
    AggregateNode,
    Column,
    Expr,
    ExtendNode,
    Literal,
    Node,
    TemplateNode,
)
from spark_kusto.kql.registry import (
    ANY,
    DATETIME,
    DYNAMIC,
    INT,
    LONG,
    REAL,
    TIMESPAN,
    Emission,
    ScalarRow,
    overload,
    repeated,
)
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_EPOCH_US = 62_135_596_800_000_000
"""Microseconds from year 1 to 1970: bins of datetimes are counted from year 1."""


def _json_item(call: Emission) -> str:
    from spark_kusto.kql.functions.dynamics import json_item

    return json_item(call, call.arguments[0])


_JSON = ScalarRow("json item", (overload([ANY], DYNAMIC, _json_item, "never"),), "never")


def _count(kind: KustoType, value: str) -> str:
    """SQL of a value on the axis as a number that bins divide."""
    if kind is DATETIME:
        return f"epoch_us({value})"
    return value


def _step(kind: KustoType, step: str) -> str:
    return f"({step} // 10)" if kind is DATETIME else step


def _floor_divide(kind: KustoType, value: str, step: str) -> str:
    if kind is REAL:
        return f"CAST(floor({value} / {step}) AS BIGINT)"
    return f"({value} // {step} - CASE WHEN ({value}) % {step} < 0 THEN 1 ELSE 0 END)"


def _place(call: Emission) -> str:
    """SQL of the number of a value's bin: arguments are value, step, and the start if there is one."""
    kind = call.types[0]
    value, step = _count(kind, call.sql[0]), _step(kind, call.sql[1])
    if len(call.arguments) > 2:
        value = f"({value} - {_count(kind, call.sql[2])})"
    elif kind is DATETIME:
        value = f"({value} + {_EPOCH_US})"
    return call.once(_floor_divide(kind, "{v}", "{s}"), v=value, s=step)


def _last(inclusive: bool) -> Callable[[Emission], str]:
    """SQL of the number of the last bin: arguments are stop, step, start."""

    def emit(call: Emission) -> str:
        kind = call.types[0]
        value, step = _count(kind, call.sql[0]), _step(kind, call.sql[1])
        if len(call.arguments) > 2:
            value = f"({value} - {_count(kind, call.sql[2])})"
        elif kind is DATETIME:
            value = f"({value} + {_EPOCH_US})"
        if inclusive:
            return call.once(_floor_divide(kind, "{v}", "{s}"), v=value, s=step)
        if kind is REAL:
            return f"(CAST(ceil({value} / {step}) AS BIGINT) - 1)"
        return call.once(_floor_divide(kind, "({v} - 1)", "{s}"), v=value, s=step)

    return emit


def _value_at(call: Emission) -> str:
    """SQL of the axis value of a bin: arguments are the bin's number, step, and start."""
    kind = call.returns
    step = _step(kind, call.sql[1])
    offset = f"{call.sql[0]} * {step}"
    if len(call.arguments) > 2:
        if kind is DATETIME:
            return f"make_timestamp(epoch_us({call.sql[2]}) + {offset})"
        return f"({call.sql[2]} + {offset})"
    return f"make_timestamp({offset} - {_EPOCH_US})" if kind is DATETIME else f"({offset})"


_PLACE = ScalarRow("bin place", (overload([repeated(ANY)], LONG, _place, "never"),), "never")
_LAST = ScalarRow("last bin", (overload([repeated(ANY)], LONG, _last(False), "never"),), "never")
_LAST_IN = ScalarRow("last bin", (overload([repeated(ANY)], LONG, _last(True), "never"),), "never")
_VALUE = {
    kind: ScalarRow("bin value", (overload([repeated(ANY)], kind, _value_at, "never"),), "never")
    for kind in (DATETIME, TIMESPAN, LONG, REAL)
}


def _call(row: ScalarRow, *arguments: Expr) -> Expr:
    return apply(row, row.overloads[0], arguments)


def _axis_kind(binder: Binder, axis: Expr, step: Expr, node: syntax.Node) -> KustoType:
    kind = axis.type
    if kind is INT:
        kind = LONG
    if kind is LONG and step.type in (REAL, KustoType.DECIMAL):
        kind = REAL
    if kind is KustoType.DECIMAL:
        kind = REAL
    if kind not in _VALUE:
        raise binder.error(f"make-series: the axis cannot be of type {axis.type}.", node, code="SEM0225")
    return kind


def _axis_bound(binder: Binder, node: syntax.Expression | None, axis: Expr, constant: Context) -> Expr | None:
    if node is None:
        return None
    bound = binder.expression(node, constant)
    moments = (DATETIME, TIMESPAN)
    if (bound.type in moments or axis.type in moments) and bound.type not in (axis.type, DYNAMIC):
        raise binder.error(
            f"make-series: the axis is of type {axis.type}, but this bound is of type {bound.type}.",
            node,
            code="SEM0225",
        )
    return convert(bound, axis.type)


@operator(syntax.MakeSeries, "make-series")
def _make_series(
    binder: Binder, node: syntax.MakeSeries, relation: Relation, environment: Environment
) -> Relation:
    context = binder.row_context(relation, environment)
    constant = Context(environment, {})
    on = node.on.value if isinstance(node.on, syntax.NamedExpression) else node.on
    axis_name = inferred_name(node.on) or "Column1"
    axis = binder.expression(on, context)
    step = binder.expression(node.step, constant)
    kind = _axis_kind(binder, axis, step, node.on)
    axis = convert(axis, kind)
    step = convert(step, TIMESPAN if kind is DATETIME else kind)
    start = _axis_bound(binder, node.start, axis, constant)
    stop = _axis_bound(binder, node.stop, axis, constant)
    limits: list[Expr] = []
    relation, made = binder.as_columns(relation, [axis])
    axis = made[0]
    if start is not None:
        limits.append(_required(comparison(">=", axis, start)))
    if stop is not None:
        limits.append(_required(comparison("<=" if node.in_range else "<", axis, stop)))
    if not limits:
        from spark_kusto.kql.binder.parsing import _PRESENT

        limits.append(_call(_PRESENT, axis))
    relation = keep(binder, relation, conjunction(limits))
    origin = () if start is None else (start,)
    place = _call(_PLACE, axis, step, *origin)
    bound = group(binder, relation, [item.expression for item in node.aggregates], node.by, environment)
    place_column = binder.column(LONG, nullable=False)
    groups = [(column, expression) for _, column, expression in bound.groups]
    aggregated: Node = AggregateNode(
        relation.node,
        (*groups, (place_column, place)),
        tuple(bound.collector.calls),
    )
    values: list[tuple[Column, Expr]] = []
    defaults: list[Expr] = []
    for item, series in zip(bound.items, node.aggregates, strict=False):
        default: Expr = Literal(LONG, nullable=False, value=0)
        if series.default is not None:
            default = binder.expression(series.default, constant)
        if item.expression.type in (INT, LONG, REAL, KustoType.DECIMAL):
            default = convert(default, item.expression.type)
        values.append((binder.column(DYNAMIC, nullable=False), _call(_JSON, item.expression)))
        defaults.append(_call(_JSON, default))
    aggregated = ExtendNode(aggregated, tuple(values))
    lowest: Expr | None = Literal(LONG, nullable=False, value=0) if start is not None else None
    highest: Expr | None = None
    if stop is not None:
        highest = _call(_LAST_IN if node.in_range else _LAST, stop, step, *origin)
    keys = [(name, binder.column_like(column)) for name, column, _ in bound.groups]
    outputs = [
        (
            item.name,
            binder.column(DYNAMIC, nullable=False, element=_element(item.expression.type)),
        )
        for item in bound.items
    ]
    axis_column = binder.column(DYNAMIC, nullable=False, element=_element(kind))
    number = Column(LONG, nullable=False, id="bin_number")
    axis_value = _call(_JSON, _call(_VALUE[kind], number, step, *origin))
    node_of = _grid(
        aggregated,
        groups=[column.id for column, _ in groups],
        place=place_column.id,
        values=[column.id for column, _ in values],
        defaults=defaults,
        lowest=lowest,
        highest=highest,
        axis=axis_value,
        keys=[column for _, column in keys],
        outputs=[column for _, column in outputs],
        axis_column=axis_column,
        nonempty=(node.kind or "").lower() == "nonempty",
    )
    names = bound.names
    visible: list[tuple[str, Column]] = list(keys)
    declared = [item.name for item in bound.items if item.declared]
    for name in declared:
        names.add(str(name))
    for item, (_, column) in zip(bound.items, outputs, strict=True):
        if item.declared and item.name is not None:
            visible.append((item.name, column))
        else:
            visible.append((names.unique(item.name) if item.name else names.default(), column))
    visible.append((names.unique(axis_name), axis_column))
    return Relation(node_of, tuple(visible))


def _required(expression: Expr | None) -> Expr:
    assert expression is not None
    return expression


def _element(kind: KustoType) -> KustoType | None:
    known = (DATETIME, TIMESPAN, KustoType.GUID, KustoType.DECIMAL)
    return kind if kind in known else None


def _grid(
    aggregated: Node,
    *,
    groups: Sequence[str],
    place: str,
    values: Sequence[str],
    defaults: Sequence[Expr],
    lowest: Expr | None,
    highest: Expr | None,
    axis: Expr,
    keys: Sequence[Column],
    outputs: Sequence[Column],
    axis_column: Column,
    nonempty: bool,
) -> TemplateNode:
    def write(inputs: Sequence[str], sql: Callable[[Expr], str], _: Sequence[str]) -> str:
        low = f"min({place})" if lowest is None else sql(lowest)
        high = f"max({place})" if highest is None else sql(highest)
        listed = "".join(f"{name}, " for name in groups)
        by = f" GROUP BY {', '.join(groups)}" if groups else ""
        if not groups and not nonempty:
            by = " HAVING count(*) > 0"
        qualified = "".join(f"g.{name}, " for name in groups)
        match = "".join(f" AND b.{name} IS NOT DISTINCT FROM g.{name}" for name in groups)
        made = [f"g.{name} AS {key.id}" for name, key in zip(groups, keys, strict=True)]
        for value, default, output in zip(values, defaults, outputs, strict=True):
            item = f"coalesce(b.{value}, {sql(default)})"
            made.append(f"'[' || string_agg({item}, ',' ORDER BY g.bin_number) || ']' AS {output.id}")
        made.append(f"'[' || string_agg({sql(axis)}, ',' ORDER BY g.bin_number) || ']' AS {axis_column.id}")
        last = f" GROUP BY {qualified.rstrip(', ')}" if groups else " HAVING count(*) > 0"
        return (
            f"WITH bins AS MATERIALIZED ({inputs[0][1:-1]}),"
            f" grid AS (SELECT {listed}unnest(generate_series(low, high)) AS bin_number FROM"
            f" (SELECT {listed}{low} AS low, {high} AS high, count(*) FROM bins{by}))"
            f" SELECT {', '.join(made)} FROM grid AS g LEFT JOIN bins AS b"
            f" ON b.{place} = g.bin_number{match}{last}"
        )

    needs = (*groups, place, *values)
    columns = (*keys, *outputs, axis_column)
    return TemplateNode((aggregated,), (needs,), write, columns)
