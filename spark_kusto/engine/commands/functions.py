"""Stored functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spark_kusto.engine.catalog import FUNCTION
from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.errors import EntityExistsError, EntityNotFoundError, KqlError, UnsupportedError
from spark_kusto.kql import syntax
from spark_kusto.storage import Database, Entity, EntityChange


def _row(entity: Entity) -> Row:
    value = entity.value
    return (entity.name, value["parameters"], value["body"], value["folder"], value["docstring"])


def _find(request: Request) -> Entity:
    database = request.named_database
    found = database.entity(FUNCTION, request["function"])
    if found is None:
        raise EntityNotFoundError(
            kind="Function",
            name=request["function"],
            container=f"database '{database.name}'",
            candidates=[entity.name for entity in database.entities(FUNCTION)],
        )
    return found


@command("show functions", schema=schemas.FUNCTION)
def show_functions(request: Request) -> Iterator[Row]:
    for entity in request.named_database.entities(FUNCTION):
        yield _row(entity)


@command("show function", schema=schemas.FUNCTION)
def show_function(request: Request) -> Iterator[Row]:
    yield _row(_find(request))


def _store(
    request: Request, database: Database, name: str, value: dict[str, Any], before: str = ""
) -> Entity:
    verb = request.command.name.split(" ", 1)[0].upper()
    database.change_entities(
        [EntityChange(FUNCTION, "", name, value)],
        event=f"{verb}-FUNCTION",
        entity=name,
        before=before,
        after=f"{value['parameters']}{value['body']}",
        context=request.context,
    )
    stored = database.entity(FUNCTION, name)
    assert stored is not None
    return stored


def _validate(request: Request, database: Database, definition: syntax.Function) -> None:
    """Bind a function without parameters as the query it is, so that what it names must exist."""
    if definition.parameters or request.flag("skipvalidation"):
        return
    statements = (*definition.statements,)
    if definition.body is not None:
        statements = (*statements, syntax.ExpressionStatement(definition.body))
    try:
        request.engine.querying.compile(database.name, syntax.Query(statements, request.command.text))
    except UnsupportedError:
        # It may be written for another cluster; using it here says what is not offered.
        return
    except KqlError as error:
        raise type(error)(
            f"The body of function '{request['function']}' is not valid: {error}",
            remedy="Correct it, or write with (skipvalidation=true).",
        ) from error


@command(
    "create function",
    "create-or-alter function",
    "alter function",
    schema=schemas.FUNCTION,
    permission="user",
    writes=True,
)
def create_function(request: Request) -> Iterator[Row]:
    database = request.named_database
    name = request["function"]
    verb = request.command.name.split(" ", 1)[0]
    known = database.entity(FUNCTION, name)
    if verb == "create" and known is not None:
        if request.has("ifnotexists"):
            yield _row(known)
            return
        raise EntityExistsError(
            kind="Function",
            name=name,
            container=f"database '{database.name}'",
            remedy="Use .create-or-alter function, or .create ifnotexists function.",
        )
    if verb == "alter" and known is None:
        _find(request)
    _validate(request, database, request["definition"])
    old = known.value if known is not None else {}
    value = {
        "parameters": request["parameters"],
        "body": request["body"],
        "folder": str(request.option("folder", old.get("folder", ""))),
        "docstring": str(request.option("docstring", old.get("docstring", ""))),
        "view": request.flag("view"),
    }
    yield _row(_store(request, database, name, value, old.get("body", "")))


@command(
    "alter function docstring",
    "alter function folder",
    schema=schemas.FUNCTION,
    permission="user",
    writes=True,
)
def alter_function_details(request: Request) -> Iterator[Row]:
    known = _find(request)
    changes = {key: request[key] for key in ("docstring", "folder") if request.get(key) is not None}
    yield _row(
        _store(request, request.named_database, known.name, {**known.value, **changes}, known.value["body"])
    )


@command("drop function", schema=schemas.FUNCTION_NAME, permission="user", writes=True)
def drop_function(request: Request) -> Iterator[Row]:
    database = request.named_database
    if database.entity(FUNCTION, request["function"]) is None:
        if request.has("ifexists"):
            return
        _find(request)
    _drop(request, database, [request["function"]])
    yield (request["function"],)


@command("drop functions", schema=schemas.FUNCTION, permission="user", writes=True)
def drop_functions(request: Request) -> Iterator[Row]:
    database = request.named_database
    known = {entity.name for entity in database.entities(FUNCTION)}
    names = list(dict.fromkeys(request["functions"]))
    missing = [name for name in names if name not in known]
    if missing and not request.has("ifexists"):
        raise EntityNotFoundError(
            kind="Function", name=missing[0], container=f"database '{database.name}'", candidates=known
        )
    present = [name for name in names if name in known]
    if present:
        _drop(request, database, present)
    for entity in database.entities(FUNCTION):
        yield _row(entity)


def _drop(request: Request, database: Database, names: list[str]) -> None:
    database.change_entities(
        [EntityChange(FUNCTION, "", name, None) for name in names],
        event="DROP-FUNCTION",
        entity=", ".join(names),
        context=request.context,
    )


@command(
    "show function schema as json",
    schema=schemas.schema("Name, Schema, DatabaseName, Folder, DocString:string"),
)
def show_function_schema_as_json(request: Request) -> Iterator[Row]:
    import json

    known = _find(request)
    database = request.named_database
    columns = request.engine.schema(database.name, f"{_call(known.name)}")
    text = json.dumps(
        {
            "Name": known.name,
            "OutputColumns": [{"Name": c.name, "Type": c.type.clr, "CslType": c.type.value} for c in columns],
        },
        separators=(",", ":"),
    )
    yield (known.name, text, database.name, known.value["folder"], known.value["docstring"])


def _call(name: str) -> str:
    from spark_kusto.engine.commands.tables import entity_name

    return f"{entity_name(name)}()"
