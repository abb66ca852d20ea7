"""Columns: rename, change of type, drop."""

from __future__ import annotations

from collections.abc import Iterator

from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.commands.tables import schema_row
from spark_kusto.errors import OptionError
from spark_kusto.storage import Database
from spark_kusto.types import KustoType


def split_path(request: Request, path: tuple[str, ...]) -> tuple[Database, str, str]:
    """Database, table and column of ``T.c`` or ``db.T.c``."""
    if len(path) == 2:
        return request.named_database, path[0], path[1]
    if len(path) == 3:
        return request.engine.database(path[0]), path[1], path[2]
    raise OptionError(f"'{'.'.join(path)}' does not name a column of a table.", remedy="Write Table.Column.")


def _row(table: str, column: str, kind: KustoType) -> Row:
    return (f"[{table}].[{column}]", kind.clr, "")


@command("rename column", schema=schemas.COLUMN_CHANGE, permission="admin", writes=True)
def rename_column(request: Request) -> Iterator[Row]:
    database, table, column = split_path(request, request["column"])
    changed = database.rename_columns(table, {column: request["new_name"]}, context=request.context)
    yield _row(table, request["new_name"], changed.column(request["new_name"]).type)


@command("rename columns", schema=schemas.COLUMN_CHANGE, permission="admin", writes=True)
def rename_columns(request: Request) -> Iterator[Row]:
    tables: dict[str, dict[str, str]] = {}
    home = request.named_database
    for new, path in request["renames"]:
        home, table, column = split_path(request, path)
        names = tables.setdefault(table, {})
        if column in names:
            raise OptionError(f"Column '{table}.{column}' is renamed twice.", remedy="Give it one new name.")
        names[column] = new
    if len(tables) > 1:
        raise OptionError(
            "Columns of several tables cannot be renamed in one command.", remedy="Write a command a table."
        )
    for table, names in tables.items():
        changed = home.rename_columns(table, names, context=request.context)
        for new in names.values():
            yield _row(table, new, changed.column(new).type)


@command("alter column type", schema=schemas.COLUMN_CHANGE, permission="admin", writes=True)
def alter_column_type(request: Request) -> Iterator[Row]:
    database, table, column = split_path(request, request["column"])
    kind = KustoType.parse(request["type"])
    database.alter_column_type(table, column, kind, context=request.context)
    yield _row(table, column, kind)


@command("drop column", schema=schemas.TABLE_SCHEMA, permission="admin", writes=True)
def drop_column(request: Request) -> Iterator[Row]:
    database, table, column = split_path(request, request["column"])
    known = database.snapshot().table(table)
    if not request.has("ifexists") or any(c.name == column for c in known.columns):
        known = database.drop_columns(table, [column], context=request.context)
    yield schema_row(database, known)


@command("drop table columns", schema=schemas.TABLE_SCHEMA, permission="admin", writes=True)
def drop_table_columns(request: Request) -> Iterator[Row]:
    database = request.named_database
    yield schema_row(
        database, database.drop_columns(request["table"], request["columns"], context=request.context)
    )
