"""The schema of databases, as rows, JSON and scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from spark_kusto.engine.catalog import FUNCTION
from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.schemas import schema
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.commands.tables import csl_schema, entity_name, schema_row
from spark_kusto.engine.versions import database_version, is_later, schema_changes
from spark_kusto.storage import Database, TableSnapshot


def _tables(database: Database) -> list[TableSnapshot]:
    return [t for t in database.snapshot().tables.values() if not t.hidden and t.kind == "table"]


def _rows(request: Request, database: Database) -> Iterator[Row]:
    version = database_version(database)
    details = next(d for d in request.engine.root.databases() if d.id == database.id)
    yield (database.name, "", "", "", False, False, details.pretty_name, version, "", "")
    for table in _tables(database):
        yield (database.name, table.name, "", "", False, False, "", "", table.folder, table.docstring)
        for column in table.columns:
            yield (
                database.name,
                table.name,
                column.name,
                column.type.clr,
                False,
                False,
                "",
                "",
                "",
                column.docstring,
            )


@command("show database schema", schema=schemas.DATABASE_SCHEMA)
def show_database_schema(request: Request) -> Iterator[Row]:
    if is_later(request.named_database, request.get("version")):
        yield from _rows(request, request.named_database)


@command("show databases schema", "show schema", schema=schemas.DATABASE_SCHEMA)
def show_databases_schema(request: Request) -> Iterator[Row]:
    wanted = request.get("databases")
    for name in request.engine.root.database_names():
        if wanted is None or name in wanted:
            yield from _rows(request, request.engine.database(name))


def database_json(request: Request, database: Database) -> dict[str, Any]:
    """A database's schema as its JSON form has it."""
    tables = {
        table.name: {
            "Name": table.name,
            "Folder": table.folder,
            "DocString": table.docstring,
            "OrderedColumns": [
                {
                    "Name": column.name,
                    "Type": column.type.clr,
                    "CslType": column.type.value,
                    **({"DocString": column.docstring} if column.docstring else {}),
                }
                for column in table.columns
            ],
        }
        for table in _tables(database)
    }
    functions = {
        entity.name: {
            "Name": entity.name,
            "InputParameters": entity.value.get("inputs", []),
            "Body": entity.value.get("body", ""),
            "Folder": entity.value.get("folder", ""),
            "DocString": entity.value.get("docstring", ""),
            "FunctionKind": "Unknown",
            "OutputColumns": [],
        }
        for entity in database.entities(FUNCTION)
    }
    details = next(d for d in request.engine.root.databases() if d.id == database.id)
    return {
        "Name": database.name,
        "Tables": tables,
        "ExternalTables": {},
        "MaterializedViews": {},
        "EntityGroups": {},
        "Graphs": {},
        "StoredQueryResults": {},
        "MajorVersion": 1,
        "MinorVersion": schema_changes(database),
        "Functions": functions,
        "DatabaseAccessMode": details.kind,
    }


def _as_json(databases: dict[str, Any]) -> Row:
    return (json.dumps({"Plugins": [], "Databases": databases}, ensure_ascii=False, separators=(",", ":")),)


@command("show database schema as json", schema=schemas.DATABASE_SCHEMA_JSON)
def show_database_schema_as_json(request: Request) -> Iterator[Row]:
    database = request.named_database
    if is_later(database, request.get("version")):
        yield _as_json({database.name: database_json(request, database)})


@command("show databases schema as json", schema=schemas.DATABASE_SCHEMA_JSON)
def show_databases_schema_as_json(request: Request) -> Iterator[Row]:
    wanted = request.get("databases")
    yield _as_json(
        {
            name: database_json(request, request.engine.database(name))
            for name in request.engine.root.database_names()
            if wanted is None or name in wanted
        }
    )


def script_of(database: Database) -> Iterator[str]:
    """Commands that create the database's tables, functions, mappings and policies again."""
    for table in _tables(database):
        options = [
            f"{key}={_quoted(value)}"
            for key, value in (("docstring", table.docstring), ("folder", table.folder))
            if value
        ]
        properties = f" with ({', '.join(options)})" if options else ""
        yield f".create-merge table {entity_name(table.name)} ({csl_schema(table.columns)}){properties}"
        for entity in database.entities("mapping/", table.id):
            yield (
                f".create-or-alter table {entity_name(table.name)} ingestion {entity.kind[len('mapping/') :]}"
                f" mapping {_quoted(entity.name)} {_quoted(entity.value['mapping'])}"
            )
        for entity in database.entities("policy/", table.id):
            yield (
                f".alter table {entity_name(table.name)} policy {entity.kind[len('policy/') :]} "
                f"{_quoted(json.dumps(entity.value, separators=(',', ':')))}"
            )
    for entity in database.entities(FUNCTION):
        options = [
            f"{key}={_quoted(entity.value[key])}" for key in ("docstring", "folder") if entity.value.get(key)
        ]
        yield (
            f".create-or-alter function with ({', '.join([*options, 'skipvalidation=true'])}) "
            f"{entity_name(entity.name)}{entity.value['parameters']} {entity.value['body']}"
        )


def _quoted(text: str) -> str:
    return "@'" + text.replace("'", "''") + "'"


@command("show database schema as script", schema=schemas.DATABASE_SCHEMA_SCRIPT)
def show_database_schema_as_script(request: Request) -> Iterator[Row]:
    if is_later(request.named_database, request.get("version")):
        for line in script_of(request.named_database):
            yield (line,)


@command("show database cslschema", schema=schemas.TABLE_SCHEMA)
def show_database_cslschema(request: Request) -> Iterator[Row]:
    database = request.named_database
    if is_later(database, request.get("version")):
        for table in _tables(database):
            yield schema_row(database, table)


def _entities(database: Database) -> Iterator[Row]:
    for table in _tables(database):
        yield (
            database.name,
            "Table",
            table.name,
            table.docstring,
            table.folder,
            "",
            "",
            csl_schema(table.columns),
            {},
        )
    for entity in database.entities(FUNCTION):
        yield (
            database.name,
            "Function",
            entity.name,
            entity.value.get("docstring", ""),
            entity.value.get("folder", ""),
            entity.value.get("parameters", ""),
            entity.value.get("body", ""),
            "",
            {},
        )


@command("show databases entities", schema=schemas.DATABASE_ENTITY)
def show_databases_entities(request: Request) -> Iterator[Row]:
    wanted = request.get("databases")
    for name in request.engine.root.database_names():
        if wanted is None or name in wanted:
            yield from _entities(request.engine.database(name))


@command("show database entity", schema=schemas.DATABASE_ENTITY)
def show_database_entity(request: Request) -> Iterator[Row]:
    for row in _entities(request.named_database):
        if row[2] == request["entity"]:
            yield row


@command(
    "show database schema violations",
    schema=schema("EntityKind, DatabaseName, EntityName, Property, Reason:string"),
)
def show_database_schema_violations(_request: Request) -> Iterator[Row]:
    return iter(())
