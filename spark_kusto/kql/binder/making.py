"""Operators that make rows by themselves: ``print``, ``range``, ``datatable``, ``externaldata``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.binder.conversion import IMPOSSIBLE, apply, conversion_cost, convert
from spark_kusto.kql.binder.naming import Names
from spark_kusto.kql.binder.operators import microseconds
from spark_kusto.kql.binder.projection import bind_item
from spark_kusto.kql.binder.tabular import source
from spark_kusto.kql.plan import (
    Column,
    Expr,
    ExtendNode,
    ExternalNode,
    Literal,
    RangeNode,
    ValuesNode,
)
from spark_kusto.kql.registry import (
    DATETIME,
    LONG,
    NUMBER,
    REAL,
    TIMESPAN,
    ScalarRow,
    overload,
    parameter,
)
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


@source(syntax.Print, "print")
def _print(binder: Binder, node: syntax.Print, environment: Environment) -> Relation:
    context = Context(environment, {})
    names = Names()
    items: list[tuple[Column, Expr]] = []
    visible: list[tuple[str, Column]] = []
    for place, expression in enumerate(node.columns):
        made = bind_item(binder, expression, context)
        alone = len(made) == 1
        for item in made:
            if item.declared and isinstance(expression, syntax.NamedExpression):
                name = item.name or ""
            elif isinstance(expression, syntax.NamedExpression):
                # Further values of a named call are dropped.
                continue
            else:
                name = f"print_{place}" if alone else item.name or f"print_{place}"
            column = binder.column_like(item.expression)
            items.append((column, item.expression))
            visible.append((names.unique(name), column))
    row = ExtendNode(ValuesNode((), ((),)), tuple(items))
    return Relation(row, tuple(visible), serialized=True)


def declared_columns(
    binder: Binder, columns: tuple[syntax.ColumnDeclaration, ...]
) -> tuple[tuple[str, Column], ...]:
    """Columns of a schema written in the query."""
    made: list[tuple[str, Column]] = []
    seen: set[str] = set()
    for declaration in columns:
        if declaration.name in seen:
            raise binder.error(
                f"A column named '{declaration.name}' is declared twice.",
                declaration,
                code="SEM0020",
            )
        seen.add(declaration.name)
        kind = KustoType.parse(declaration.type or "string")
        made.append((declaration.name, binder.column(kind)))
    return tuple(made)


@source(syntax.DataTable, "datatable")
def _datatable(binder: Binder, node: syntax.DataTable, environment: Environment) -> Relation:
    columns = declared_columns(binder, node.columns)
    width = len(columns)
    if width == 0 or len(node.values) % width:
        raise binder.error(
            f"datatable: {len(node.values)} values don't make whole rows of {width} columns.",
            node,
            code="SEM0013",
        )
    context = Context(environment, {})
    rows: list[tuple[Expr, ...]] = []
    for start in range(0, len(node.values), width):
        row = []
        for (name, column), value in zip(columns, node.values[start : start + width], strict=True):
            bound = binder.expression(value, context)
            row.append(_as_value(binder, bound, column, name, value))
        rows.append(tuple(row))
    values = ValuesNode(tuple(column for _, column in columns), tuple(rows))
    return Relation(values, columns, serialized=True)


def _as_value(binder: Binder, bound: Expr, column: Column, name: str, node: syntax.Expression) -> Expr:
    if bound.type is column.type:
        return bound
    wanted = column.type
    if isinstance(bound, Literal) and bound.value is None:
        return convert(bound, wanted)
    if wanted is KustoType.DYNAMIC:
        from spark_kusto.kql.execution import to_json

        if isinstance(bound, Literal):
            text = to_json(bound.value)
            return Literal(KustoType.DYNAMIC, nullable=text is None, value=text)
    if conversion_cost(bound, parameter(wanted)) < IMPOSSIBLE and bound.type is not KustoType.DYNAMIC:
        return convert(bound, wanted)
    if (
        bound.type is KustoType.DYNAMIC
        or bound.type is KustoType.STRING
        or wanted
        in (
            KustoType.STRING,
            KustoType.REAL,
            KustoType.LONG,
            KustoType.INT,
            KustoType.BOOL,
            KustoType.DECIMAL,
        )
    ):
        # Values are taken as text where their type is another: "2020-01-01" for a datetime.
        return convert(bound, wanted)
    raise binder.error(
        f"datatable: a value of type {bound.type} is no {wanted}, the type of column '{name}'.",
        node,
        code="SEM0013",
    )


_TO_DATETIME = ScalarRow("cast", (overload([LONG], DATETIME, "make_timestamp({0})"),))
_TO_SPAN = ScalarRow("cast", (overload([LONG], TIMESPAN, "{0}"),))
_EPOCH_US = ScalarRow("cast", (overload([DATETIME], LONG, "epoch_us({0})"),))
_TICKS = ScalarRow("cast", (overload([TIMESPAN], LONG, "{0}"),))
_REAL_AT = ScalarRow("cast", (overload([REAL, REAL, LONG], REAL, "({0} + {1} * {2})"),))
_REAL_STEPS = ScalarRow(
    "cast",
    (overload([REAL, REAL, REAL], LONG, "CAST(floor(({1} - {0}) / {2} + 1e-9) AS BIGINT)", "maybe"),),
)
_TEN = ScalarRow("cast", (overload([TIMESPAN], LONG, "({0} // 10)"),))


def _call(row: ScalarRow, *arguments: Expr) -> Expr:
    return apply(row, row.overloads[0], arguments)


def _long(value: int) -> Literal:
    return Literal(LONG, nullable=False, value=value)


@source(syntax.Range, "range")
def _range(binder: Binder, node: syntax.Range, environment: Environment) -> Relation:
    context = Context(environment, {})
    start = binder.expression(node.start, context)
    stop = binder.expression(node.stop, context)
    step = binder.expression(node.step, context)
    return series(binder, node.column.name, start, stop, step, node)


def series(binder: Binder, name: str, start: Expr, stop: Expr, step: Expr, node: syntax.Node) -> Relation:
    """Rows from start to stop, both included, in steps."""
    if start.type is KustoType.DYNAMIC:
        start = convert(start, stop.type if stop.type is not KustoType.DYNAMIC else LONG)
    if stop.type is KustoType.DYNAMIC:
        stop = convert(stop, start.type)
    kinds = {start.type, stop.type, step.type}
    count = binder.column(LONG, nullable=False)
    if start.type is DATETIME and step.type is TIMESPAN:
        bounds = [_microseconds(start), _microseconds(convert(stop, DATETIME)), _tenth(step)]
        rows = RangeNode(count, *_as_longs(bounds))
        value: Expr = _call(_TO_DATETIME, count)
    elif start.type is TIMESPAN and step.type is TIMESPAN:
        bounds = [_ticks(start), _ticks(convert(stop, TIMESPAN)), _ticks(step)]
        rows = RangeNode(count, *_as_longs(bounds))
        value = _call(_TO_SPAN, count)
    elif kinds <= NUMBER and (REAL in kinds or KustoType.DECIMAL in kinds):
        start, stop, step = (convert(e, REAL) for e in (start, stop, step))
        last = _steps(start, stop, step)
        rows = RangeNode(count, _long(0), last, _long(1))
        value = _call(_REAL_AT, start, step, count)
    elif kinds <= NUMBER:
        start, stop, step = (convert(e, LONG) for e in (start, stop, step))
        rows = RangeNode(count, start, stop, step)
        return Relation(rows, ((name, count),), serialized=True)
    else:
        raise binder.error(
            f"range: cannot go from {start.type} to {stop.type} in steps of {step.type}.",
            node,
            code="SEM0225",
        )
    column = binder.column(value.type, nullable=False)
    return Relation(ExtendNode(rows, ((column, value),)), ((name, column),), serialized=True)


def _microseconds(expression: Expr) -> Expr:
    if isinstance(expression, Literal) and expression.value is not None:
        return _long(microseconds(expression.value))
    return _call(_EPOCH_US, expression)


def _tenth(expression: Expr) -> Expr:
    if isinstance(expression, Literal) and expression.value is not None:
        return _long(expression.value // 10)
    return _call(_TEN, expression)


def _ticks(expression: Expr) -> Expr:
    if isinstance(expression, Literal):
        return Literal(LONG, nullable=expression.nullable, value=expression.value)
    return _call(_TICKS, expression)


def _steps(start: Expr, stop: Expr, step: Expr) -> Expr:
    values: list[Any] = [e.value if isinstance(e, Literal) else None for e in (start, stop, step)]
    if None not in values and values[2]:
        count = (values[1] - values[0]) / values[2] + 1e-9
        return _long(math.floor(count) if math.isfinite(count) else -1)
    return _call(_REAL_STEPS, start, stop, step)


def _as_longs(expressions: list[Expr]) -> tuple[Expr, Expr, Expr]:
    start, stop, step = expressions
    return start, stop, step


@source(syntax.ExternalData, "externaldata")
def _externaldata(binder: Binder, node: syntax.ExternalData, environment: Environment) -> Relation:
    columns = declared_columns(binder, node.columns)
    context = Context(environment, {})
    uris = tuple(str(binder.constant(uri, context, "An address of externaldata")) for uri in node.uris)
    properties = {entry.name.lower(): _plain(entry.value) for entry in node.properties}
    kind = properties.pop("format", None)
    return Relation(ExternalNode(uris, None if kind is None else str(kind), properties, columns), columns)


@source(syntax.InlineExternalTable, "inline_external_table")
def _inline_external(binder: Binder, node: syntax.InlineExternalTable, environment: Environment) -> Relation:
    columns = declared_columns(binder, node.columns)
    context = Context(environment, {})
    uris = tuple(
        str(binder.constant(uri, context, "An address of inline_external_table")) for uri in node.uris
    )
    if node.partitions:
        from spark_kusto.errors import UnsupportedError

        raise UnsupportedError(
            "inline_external_table with partitions is not supported.",
            feature="inline_external_table",
        )
    properties = {entry.name.lower(): _plain(entry.value) for entry in node.properties}
    return Relation(ExternalNode(uris, node.data_format, properties, columns), columns)


def _plain(node: syntax.Expression) -> Any:
    if isinstance(node, syntax.Literal):
        return node.value
    return node.name if isinstance(node, syntax.Name) else None
