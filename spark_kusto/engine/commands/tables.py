"""Tables: show, create, alter, rename, drop."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.details import table_details
from spark_kusto.errors import EntityExistsError, OptionError
from spark_kusto.kql.syntax import ColumnDeclaration
from spark_kusto.storage import Database, TableSnapshot
from spark_kusto.types import Column, KustoType


def declared(columns: Iterable[ColumnDeclaration]) -> list[Column]:
    """Columns as the grammar gives them."""
    return [Column(column.name, KustoType.parse(str(column.type))) for column in columns]


def csl_schema(columns: Iterable[Any]) -> str:
    """``a:long,b:string``, names quoted where they need it."""
    return ",".join(f"{entity_name(column.name)}:{column.type.value}" for column in columns)


def entity_name(name: str) -> str:
    """A name as KQL text: bare, or in brackets and quotes."""
    if name.replace("_", "a").isalnum() and name.isascii():
        return name
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{quoted}']"


def json_schema(table: TableSnapshot) -> str:
    """A table's schema as ``.show table T schema as json`` prints it."""
    columns = []
    for column in table.columns:
        entry = {"Name": column.name, "Type": column.type.clr, "CslType": column.type.value}
        if column.docstring:
            entry["DocString"] = column.docstring
        columns.append(entry)
    return json.dumps(
        {
            "Name": table.name,
            "Folder": table.folder,
            "DocString": table.docstring,
            "OrderedColumns": columns,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def table_row(database: Database, table: TableSnapshot) -> Row:
    """A row of ``.show tables``."""
    return (table.name, database.name, table.folder, table.docstring)


def schema_row(database: Database, table: TableSnapshot) -> Row:
    """The answer of commands that change a table."""
    return (table.name, csl_schema(table.columns), database.name, table.folder, table.docstring)


# -- show ---------------------------------------------------------------------------------------------


def shown_tables(request: Request) -> list[TableSnapshot]:
    """The tables that a command lists: those it names, or all that are not hidden."""
    snapshot = request.snapshot
    names = request.get("tables")
    if names is not None:
        return [snapshot.tables[name] for name in names if name in snapshot.tables]
    hidden = request.flag("includehiddentables")
    return [
        table for table in snapshot.tables.values() if table.kind == "table" and (hidden or not table.hidden)
    ]


@command("show tables", schema=schemas.TABLE_ROW)
def show_tables(request: Request) -> Iterator[Row]:
    for table in shown_tables(request):
        yield table_row(request.named_database, table)


@command("show tables details", schema=schemas.TABLE_DETAILS)
def show_tables_details(request: Request) -> Iterator[Row]:
    for table in shown_tables(request):
        yield table_details(request.engine, request.named_database, table)


@command("show table details", schema=schemas.TABLE_DETAILS)
def show_table_details(request: Request) -> Iterator[Row]:
    yield table_details(request.engine, request.named_database, request.snapshot.table(request["table"]))


@command("show table", schema=schemas.TABLE_ATTRIBUTES)
def show_table(request: Request) -> Iterator[Row]:
    table = request.snapshot.table(request["table"])
    original = table.original_size
    stored = table.size
    ratio = original / stored if stored else 0.0
    for column in table.columns:
        share = stored // max(len(table.columns), 1)
        yield (
            column.name,
            column.type.clr,
            share,
            ratio,
            0,
            0.0,
            original // max(len(table.columns), 1),
            column_guid(table.id, column.id),
            0,
            "Parquet",
        )


def column_guid(table_id: str, column_id: int) -> str:
    """A stable id of a column."""
    import uuid

    return str(uuid.uuid5(uuid.UUID(table_id), str(column_id)))


@command("show table cslschema", schema=schemas.TABLE_SCHEMA)
def show_table_cslschema(request: Request) -> Iterator[Row]:
    yield schema_row(request.named_database, request.snapshot.table(request["table"]))


@command("show table schema as json", schema=schemas.TABLE_SCHEMA)
def show_table_schema_as_json(request: Request) -> Iterator[Row]:
    # A missing table gives no rows and no error: connectors ask so whether it exists.
    table = request.snapshot.tables.get(request["table"])
    if table is not None:
        yield (
            table.name,
            json_schema(table),
            request.named_database.name,
            table.folder,
            table.docstring,
        )


@command("show table data statistics", schema=schemas.TABLE_STATISTICS)
def show_table_data_statistics(request: Request) -> Iterator[Row]:
    table = request.snapshot.table(request["table"])
    for column in table.columns:
        nulls = [extent.statistics.get(column.id) for extent in table.extents]
        missing = sum(
            extent.row_count if known is None else known.null_count or 0
            for extent, known in zip(table.extents, nulls, strict=True)
        )
        yield (
            column.name,
            column.type.value,
            column_guid(table.id, column.id),
            table.original_size // max(len(table.columns), 1),
            table.size // max(len(table.columns), 1),
            table.original_size / table.size if table.size else 0.0,
            table.size // max(len(table.columns), 1),
            0,
            0,
            0.0,
            "Parquet",
            table.row_count - missing,
            0,
            100.0,
            True,
        )


# -- create -------------------------------------------------------------------------------------------


def _details(request: Request) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for name in ("folder", "docstring"):
        if request.option(name) is not None:
            details[name] = str(request.option(name))
    return details


def _require_no_view(database: Database, name: str) -> None:
    # A table would hide the view, so that stored queries would change their meaning unseen.
    if database.entity("view", name) is not None:
        raise EntityExistsError(kind="Materialized view", name=name, container=f"database '{database.name}'")


@command("create table", schema=schemas.TABLE_SCHEMA, permission="user", writes=True)
def create_table(request: Request) -> Iterator[Row]:
    database = request.named_database
    _require_no_view(database, request["table"])
    table = database.create_table(
        request["table"],
        declared(request["columns"]),
        hidden=request.flag("hidden"),
        if_not_exists=True,
        context=request.context,
        **_details(request),
    )
    yield schema_row(database, table)


@command("create-merge table", schema=schemas.TABLE_SCHEMA, permission="user", writes=True)
def create_merge_table(request: Request) -> Iterator[Row]:
    yield schema_row(
        request.named_database,
        merged(request, request["table"], declared(request["columns"])),
    )


def merged(request: Request, name: str, columns: Sequence[Column]) -> TableSnapshot:
    """Create a table, or add the columns that it lacks."""
    database = request.named_database
    details = _details(request)
    if name not in database.snapshot().tables:
        _require_no_view(database, name)
        database.create_table(
            name,
            columns,
            hidden=request.flag("hidden"),
            if_not_exists=True,
            context=request.context,
            **details,
        )
    return database.alter_merge_table(name, columns, context=request.context, **details)


@command("create tables", schema=schemas.TABLE_ROW, permission="user", writes=True)
def create_tables(request: Request) -> Iterator[Row]:
    database = request.named_database
    for name, columns in request["tables"]:
        table = database.create_table(
            name,
            declared(columns),
            hidden=request.flag("hidden"),
            if_not_exists=True,
            context=request.context,
            **_details(request),
        )
        yield table_row(database, table)


@command("create-merge tables", schema=schemas.TABLE_ROW, permission="user", writes=True)
def create_merge_tables(request: Request) -> Iterator[Row]:
    for name, columns in request["tables"]:
        yield table_row(request.named_database, merged(request, name, declared(columns)))


@command("create table based-on", schema=schemas.TABLE_SCHEMA, permission="user", writes=True)
def create_table_based_on(request: Request) -> Iterator[Row]:
    database = request.named_database
    source = database.snapshot().table(request["source"])
    known = database.snapshot().tables.get(request["table"])
    if known is not None and not request.has("ifnotexists"):
        raise EntityExistsError(
            kind="Table",
            name=request["table"],
            container=f"database '{database.name}'",
            remedy="Write 'ifnotexists' to leave it as it is.",
        )
    details = {"folder": source.folder, "docstring": source.docstring, **_details(request)}
    table = known or database.create_table(
        request["table"],
        [column.column for column in source.columns],
        hidden=request.flag("hidden", source.hidden),
        if_not_exists=True,
        context=request.context,
        **details,
    )
    yield schema_row(database, table)


@command("create-merge table based-on", schema=schemas.TABLE_SCHEMA, permission="user", writes=True)
def create_merge_table_based_on(request: Request) -> Iterator[Row]:
    source = request.snapshot.table(request["source"])
    yield schema_row(
        request.named_database,
        merged(request, request["table"], [column.column for column in source.columns]),
    )


# -- alter --------------------------------------------------------------------------------------------


@command("alter table", schema=schemas.TABLE_SCHEMA, permission="admin", writes=True)
def alter_table(request: Request) -> Iterator[Row]:
    database = request.named_database
    table = database.alter_table(
        request["table"], declared(request["columns"]), context=request.context, **_details(request)
    )
    yield schema_row(database, table)


@command("alter-merge table", schema=schemas.TABLE_SCHEMA, permission="admin", writes=True)
def alter_merge_table(request: Request) -> Iterator[Row]:
    database = request.named_database
    table = database.alter_merge_table(
        request["table"], declared(request["columns"]), context=request.context, **_details(request)
    )
    yield schema_row(database, table)


@command(
    "alter table docstring",
    "alter table folder",
    schema=schemas.TABLE_SCHEMA,
    permission="admin",
    writes=True,
)
def alter_table_details(request: Request) -> Iterator[Row]:
    database = request.named_database
    table = database.alter_table_details(
        request["table"],
        folder=request.get("folder"),
        docstring=request.get("docstring"),
        context=request.context,
    )
    yield schema_row(database, table)


@command(
    "alter table column-docstrings",
    "alter-merge table column-docstrings",
    schema=schemas.TABLE_SCHEMA,
    permission="admin",
    writes=True,
)
def alter_table_column_docstrings(request: Request) -> Iterator[Row]:
    database = request.named_database
    table = database.set_column_docstrings(
        request["table"],
        request["docstrings"],
        merge=request.command.name.startswith("alter-merge"),
        context=request.context,
    )
    yield schema_row(database, table)


@command("rename table", schema=schemas.TABLE_ROW, permission="admin", writes=True)
def rename_table(request: Request) -> Iterator[Row]:
    database = request.named_database
    for table in database.rename_tables({request["table"]: request["new_name"]}, context=request.context):
        yield table_row(database, table)


@command("rename tables", schema=schemas.TABLE_ROW, permission="admin", writes=True)
def rename_tables(request: Request) -> Iterator[Row]:
    database = request.named_database
    known = database.snapshot().tables
    names: dict[str, str] = {}
    for new, old in request["renames"]:
        if request.has("ifexists") and old[-1] not in known:
            continue
        if old[-1] in names:
            raise OptionError(f"Table '{old[-1]}' is renamed twice.", remedy="Give it one new name.")
        names[old[-1]] = new
    if names:
        for table in database.rename_tables(names, context=request.context):
            yield table_row(database, table)


# -- drop ---------------------------------------------------------------------------------------------


def _remaining(database: Database) -> Iterator[Row]:
    for table in database.snapshot().tables.values():
        if not table.hidden and table.kind == "table":
            yield (table.name, database.name)


@command("drop table", schema=schemas.DROP_TABLE, permission="admin", writes=True)
def drop_table(request: Request) -> Iterator[Row]:
    database = request.named_database
    database.drop_table(request["table"], if_exists=request.has("ifexists"), context=request.context)
    yield from _remaining(database)


@command("drop tables", schema=schemas.DROP_TABLE, permission="admin", writes=True)
def drop_tables(request: Request) -> Iterator[Row]:
    database = request.named_database
    database.drop_tables(request["tables"], if_exists=request.has("ifexists"), context=request.context)
    yield from _remaining(database)


@command("clear table data", schema=schemas.STATUS, permission="admin", writes=True, can_be_async=True)
def clear_table_data(request: Request) -> Iterator[Row]:
    request.named_database.clear_table(request["table"], context=request.context)
    yield ("Completed",)
