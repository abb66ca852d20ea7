"""Window functions: over the rows of a serialized table, in their order.

Source: Kusto documentation, "Window functions".
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context
from spark_kusto.kql.binder.conversion import convert
from spark_kusto.kql.plan import PYTHON_WINDOW, Expr, Literal, OrderKey, Window
from spark_kusto.kql.registry import (
    BOOL,
    DATETIME,
    DYNAMIC,
    LONG,
    NUMBER,
    STRING,
    TIMESPAN,
    operator,
    special,
)
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.kql.binder.core import Binder


def _order(binder: Binder, node: syntax.Call, context: Context) -> tuple[OrderKey, ...]:
    relation = context.relation
    if relation is None or not context.windows:
        raise binder.error(
            f"Function '{node.name}' cannot be invoked in the current context.",
            node,
            code="SEM0079",
        )
    if not relation.serialized:
        raise binder.error(
            f"Function '{node.name}' cannot be invoked: the order of the rows is not defined.",
            node,
            code="SEM0083",
            remedy="Sort the rows, or add '| serialize', before.",
        )
    return relation.order


def _arguments(binder: Binder, node: syntax.Call, context: Context, least: int, most: int) -> list[Expr]:
    count = len(node.arguments)
    if not least <= count <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise binder.error(
            f"{node.name}(): {count} argument(s) given, {wanted} expected.", node, code="SEM0219"
        )
    return [binder.expression(argument, context) for argument in node.arguments]


def _restarts(restart: Expr, order: tuple[OrderKey, ...]) -> Expr:
    """Number of restarts up to each row: rows of one run share it."""
    return Window(
        LONG,
        nullable=False,
        template="count(*) FILTER (WHERE {0}) OVER ({over} ROWS UNBOUNDED PRECEDING)",
        arguments=(restart,),
        order=order,
    )


def _runs(binder: Binder, restart: Expr | None, order: tuple[OrderKey, ...]) -> tuple[Expr, ...]:
    """What to partition by so that a function starts anew where ``restart`` is true."""
    return () if restart is None else (_restarts(convert(restart, BOOL), order),)


def _row_number(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    order = _order(binder, node, context)
    arguments = _arguments(binder, node, context, 0, 2)
    start: Expr = arguments[0] if arguments else Literal(LONG, nullable=False, value=1)
    restart = arguments[1] if len(arguments) > 1 else None
    return Window(
        LONG,
        nullable=False,
        template="(row_number() OVER ({over}) - 1 + {0})",
        arguments=(convert(start, LONG),),
        partition=_runs(binder, restart, order),
        order=order,
    )


special("row_number", _row_number)


def _row_cumsum(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    order = _order(binder, node, context)
    arguments = _arguments(binder, node, context, 1, 2)
    term = arguments[0]
    if term.type is DYNAMIC:
        term = convert(term, KustoType.REAL)
    if term.type not in NUMBER and term.type is not TIMESPAN:
        raise binder.error(f"row_cumsum() cannot take an argument of type {term.type}.", node, code="SEM0225")
    kind = LONG if term.type is KustoType.INT else term.type
    restart = arguments[1] if len(arguments) > 1 else None
    return Window(
        kind,
        template=f"coalesce(sum({{0}}) OVER ({{over}} ROWS UNBOUNDED PRECEDING), 0)::{kind.duckdb}",
        arguments=(term,),
        partition=_runs(binder, restart, order),
        order=order,
    )


special("row_cumsum", _row_cumsum)


def _rank(dense: bool) -> object:
    def bind(binder: Binder, node: syntax.Call, context: Context) -> Expr:
        order = _order(binder, node, context)
        arguments = _arguments(binder, node, context, 1, 2)
        term = arguments[0]
        restart = arguments[1] if len(arguments) > 1 else None
        partition = _runs(binder, restart, order)
        previous = Window(
            term.type,
            template="lag({0}) OVER ({over})",
            arguments=(term,),
            partition=partition,
            order=order,
            nullable=True,
        )
        number = Window(
            LONG,
            nullable=False,
            template="row_number() OVER ({over})",
            partition=partition,
            order=order,
        )
        changed = Window(
            BOOL,
            nullable=False,
            template="({0} = 1 OR {1} IS DISTINCT FROM {2})",
            arguments=(number, term, previous),
        )
        if dense:
            return Window(
                LONG,
                nullable=False,
                template="count(*) FILTER (WHERE {0}) OVER ({over} ROWS UNBOUNDED PRECEDING)",
                arguments=(changed,),
                partition=partition,
                order=order,
            )
        return Window(
            LONG,
            nullable=False,
            template=("max(CASE WHEN {0} THEN {1} END) OVER ({over} ROWS UNBOUNDED PRECEDING)"),
            arguments=(changed, number),
            partition=partition,
            order=order,
        )

    return bind


special("row_rank_dense", _rank(True), aliases=["row_rank"])  # type: ignore[arg-type]
special("row_rank_min", _rank(False))  # type: ignore[arg-type]


def _neighbour(function: str) -> object:
    def bind(binder: Binder, node: syntax.Call, context: Context) -> Expr:
        order = _order(binder, node, context)
        arguments = _arguments(binder, node, context, 1, 3)
        value = arguments[0]
        offset: Expr = (
            convert(arguments[1], LONG) if len(arguments) > 1 else Literal(LONG, nullable=False, value=1)
        )
        default: Expr = (
            convert(arguments[2], value.type)
            if len(arguments) > 2
            else Literal(value.type, value=None if value.type is not STRING else "")
        )
        return Window(
            value.type,
            nullable=value.type is not STRING,
            element=value.element,
            template=f"{function}({{0}}, {{1}}, {{2}}) OVER ({{over}})",
            arguments=(value, offset, default),
            order=order,
        )

    return bind


special("prev", _neighbour("lag"))  # type: ignore[arg-type]
special("next", _neighbour("lead"))  # type: ignore[arg-type]


def _row_window_session(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    order = _order(binder, node, context)
    arguments = _arguments(binder, node, context, 3, 4)
    when = convert(arguments[0], DATETIME)
    from_first, between = (convert(argument, TIMESPAN) for argument in arguments[1:3])
    restart: Expr = (
        convert(arguments[3], BOOL) if len(arguments) > 3 else Literal(BOOL, nullable=False, value=False)
    )
    # A session's start depends on the one before, which no window of SQL can tell: Python's turn.
    return Window(
        DATETIME,
        template=PYTHON_WINDOW + "row_window_session",
        arguments=(when, from_first, between, restart),
        order=order,
    )


def _sessions(tables: list[pa.Table], _: Any) -> pa.Table:
    import pyarrow as pa

    table = tables[0]
    starts: list[Any] = []
    start = previous = None
    rows = zip(*(table.column(f"$a{place}").to_pylist() for place in range(4)), strict=True)
    for when, from_first, between, restart in rows:
        if when is None:
            starts.append(None)
            continue
        if (
            start is None
            or restart
            or _ticks(when - start) >= from_first
            or _ticks(when - previous) >= between
        ):
            start = when
        previous = when
        starts.append(start)
    return table.append_column("$value", pa.array(starts, pa.timestamp("us")))


def _ticks(span: dt.timedelta) -> int:
    return span // dt.timedelta(microseconds=1) * 10


operator("row_window_session", _sessions)
special("row_window_session", _row_window_session)
