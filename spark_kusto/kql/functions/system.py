"""Functions about the query itself: the clock, the database, the caller, ingestion."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context
from spark_kusto.kql.binder.conversion import convert
from spark_kusto.kql.binder.operators import arithmetic, comparison
from spark_kusto.kql.compiled import CURSOR, EXTENT_ID, EXTENT_TAGS, INGESTION_TIME
from spark_kusto.kql.plan import (
    Column,
    Expr,
    ExtendNode,
    FilterNode,
    LimitNode,
    Literal,
    Node,
    SampleNode,
    ScanNode,
)
from spark_kusto.kql.registry import (
    BOOL,
    DATETIME,
    DYNAMIC,
    GUID,
    LONG,
    STRING,
    TIMESPAN,
    refused,
    special,
)
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


def _literal(kind: KustoType, value: Any) -> Literal:
    nullable = value is None and kind is not STRING
    return Literal(kind, nullable=nullable, value=value)


def _now(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    now: Expr = _literal(DATETIME, binder.session.now)
    if not node.arguments:
        return now
    offset = convert(binder.expression(node.arguments[0], context), TIMESPAN)
    result = arithmetic("+", now, offset)
    assert result is not None
    return result


def _ago(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    if len(node.arguments) != 1:
        raise binder.error("ago() takes one timespan.", node, code="SEM0219")
    offset = binder.expression(node.arguments[0], context)
    if offset.type not in (TIMESPAN, DYNAMIC):
        raise binder.error(
            f"ago() cannot take an argument of type {offset.type}.",
            node,
            code="SEM0225",
            remedy="Its signature is ago(timespan): datetime.",
        )
    result = arithmetic("-", _literal(DATETIME, binder.session.now), convert(offset, TIMESPAN))
    assert result is not None
    return result


special("now", _now)
special("ago", _ago)


def _scan_of(context: Context) -> ScanNode | None:
    """The table whose rows these are, if they come from one without a detour."""
    node: Node | None = None if context.relation is None else context.relation.node
    while True:
        match node:
            case ScanNode():
                return node
            case FilterNode() | ExtendNode() | LimitNode() | SampleNode():
                node = node.input
            case _:
                return None


def virtual(binder: Binder, context: Context, name: str, kind: KustoType) -> Expr:
    """A virtual column of the scanned table; null where rows come from elsewhere."""
    scan = _scan_of(context)
    if scan is None:
        return _literal(kind, None)
    column: Column | None = scan.columns.get(name)
    if column is None:
        column = scan.columns[name] = binder.column(kind)
    return column


special("ingestion_time", lambda b, n, c: virtual(b, c, INGESTION_TIME, DATETIME), column="$IngestionTime")
special("extent_id", lambda b, n, c: virtual(b, c, EXTENT_ID, GUID), aliases=["extentid"])
special("extent_tags", lambda b, n, c: virtual(b, c, EXTENT_TAGS, DYNAMIC))


def _cursor_test(sign: str) -> Any:
    def bind(binder: Binder, node: syntax.Call, context: Context) -> Expr:
        value = binder.constant(node.arguments[0], context, f"The argument of {node.name}()")
        text = "" if value is None else str(value).strip()
        if text == "":
            # An empty cursor is before everything.
            return _literal(BOOL, sign == ">")
        if not text.isdigit():
            from spark_kusto.types.text import parse_datetime

            when = parse_datetime(text)
            if when is None:
                raise binder.error(
                    f"'{text}' is no database cursor.",
                    node,
                    remedy="Cursors come from cursor_current() and are strings of digits.",
                )
            text = str((when - dt.datetime(1, 1, 1)) // dt.timedelta(microseconds=1) * 10)
        cursor = virtual(binder, context, CURSOR, LONG)
        result = comparison(sign, cursor, _literal(LONG, int(text)))
        assert result is not None
        return result

    return bind


special("cursor_after", _cursor_test(">"))
special("cursor_before_or_at", _cursor_test("<="))
special(
    "cursor_current",
    lambda b, n, c: _literal(STRING, b.session.compile_options.cursor),
    aliases=["current_cursor"],
)
special("current_database", lambda b, n, c: _literal(STRING, b.session.database))
special("current_principal", lambda b, n, c: _literal(STRING, b.session.compile_options.principal))
special("current_cluster_endpoint", lambda b, n, c: _literal(STRING, b.session.compile_options.cluster))
special("current_node_id", lambda b, n, c: _literal(STRING, ""))


def _current_principal_details(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    import json

    name = binder.session.compile_options.principal
    kind, _, rest = name.partition("=")
    identity, _, authority = rest.partition(";")
    details = {
        "UserPrincipalName": identity,
        "IdentityProvider": "https://sts.windows.net" if authority else "",
        "Authority": authority,
        "Mfa": "",
        "Type": kind,
        "DisplayName": identity,
        "ObjectId": identity,
        "FQN": name,
        "Notes": None,
    }
    return Literal(DYNAMIC, nullable=False, value=json.dumps(details))


special("current_principal_details", _current_principal_details)


def _is_member(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    own = binder.session.compile_options.principal.lower()
    for argument in node.arguments:
        value = binder.constant(argument, context, "A principal")
        wanted = value if isinstance(value, list) else [value]
        if own and any(str(name).lower() == own for name in wanted):
            return _literal(BOOL, True)
    return _literal(BOOL, False)


special(
    "current_principal_is_member_of",
    _is_member,
    difference="knows the caller's own name, no groups",
)


def _column_ifexists(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    if len(node.arguments) != 2:
        raise binder.error("column_ifexists() takes a name and a default.", node, code="SEM0219")
    wanted = binder.constant(node.arguments[0], context, "The name of a column")
    column = context.columns.get(str(wanted))
    if column is not None:
        return column
    return binder.expression(node.arguments[1], context)


special("column_ifexists", _column_ifexists, aliases=["columnifexists"])


def _iscolumnexists(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    wanted = binder.constant(node.arguments[0], context, "The name of a column")
    return _literal(BOOL, str(wanted) in context.columns)


special("iscolumnexists", _iscolumnexists)


def _column_names_of(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    import json

    relation = binder.relation(node.arguments[0], context.environment)
    return Literal(DYNAMIC, nullable=False, value=json.dumps(relation.names))


special("column_names_of", _column_names_of)


def _table_here(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    raise binder.error(
        f"{node.name}() is a table or names a database, but a scalar is expected here.",
        node,
        code="SEM0006",
        remedy="Use toscalar() to take a single value from a table.",
    )


for _name in (
    "cluster",
    "database",
    "external_table",
    "materialize",
    "materialized_view",
    "table",
    "view",
):
    special(_name, _table_here)

refused("stored_query_result", "stored query results are not kept here")
refused("graph", "graph models are not kept here: use make-graph")
refused("entity_group", "stored entity groups are not kept here: write entity_group [...]")
refused("rowstore_ordinal_range", "there is no row store here")
