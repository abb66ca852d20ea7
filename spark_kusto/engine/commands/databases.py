"""Databases: show, create, drop, names."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from spark_kusto.engine import policies
from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.schemas import schema
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.details import in_force
from spark_kusto.engine.principals import authorized_json
from spark_kusto.engine.versions import database_version
from spark_kusto.errors import OptionError, UnsupportedError
from spark_kusto.storage import Database, DatabaseDetails


def _chosen(request: Request) -> list[DatabaseDetails]:
    """The databases that a command lists: by name, by pattern, or all."""
    known = request.engine.root.databases()
    patterns = request.get("databases")
    if patterns is None:
        return list(known)
    return [
        details
        for details in known
        if any(fnmatch.fnmatchcase(details.name.lower(), pattern.lower()) for pattern in patterns)
    ]


def _details(request: Request, database: Database) -> DatabaseDetails:
    return next(details for details in request.engine.root.databases() if details.id == database.id)


def database_row(request: Request, details: DatabaseDetails, *, reserved: bool = False) -> Row:
    """A row of ``.show databases``."""
    database = request.engine.database(details.name)
    return (
        details.name,
        str(database.path),
        database_version(database),
        details.name == request.database.name,
        details.kind,
        details.pretty_name,
        reserved,
        details.id,
        "",
    )


@command("show databases", schema=schemas.DATABASE_ROW)
def show_databases(request: Request) -> Iterator[Row]:
    for details in _chosen(request):
        yield database_row(request, details)


@command("show database", schema=schemas.DATABASE_ROW)
def show_database(request: Request) -> Iterator[Row]:
    yield database_row(request, _details(request, request.named_database))


@command("show databases identity", schema=schemas.DATABASE_IDENTITY)
def show_databases_identity(request: Request) -> Iterator[Row]:
    for details in _chosen(request):
        yield database_row(request, details, reserved=True)


@command("show database identity", schema=schemas.DATABASE_IDENTITY)
def show_database_identity(request: Request) -> Iterator[Row]:
    yield database_row(request, _details(request, request.named_database), reserved=True)


def _details_row(request: Request, details: DatabaseDetails) -> Row:
    database = request.engine.database(details.name)
    known = policies.all_stored(database)
    size = sum(table.size for table in database.snapshot().tables.values())
    return (
        details.name,
        str(database.path),
        database_version(database),
        details.name == request.database.name,
        details.kind,
        details.pretty_name,
        authorized_json(request.engine, database, None),
        in_force(known, "retention", ""),
        in_force(known, "merge", ""),
        False,
        in_force(known, "caching", ""),
        in_force(known, "sharding", ""),
        in_force(known, "streamingingestion", ""),
        in_force(known, "ingestionbatching", ""),
        float(size),
        details.id,
        "",
    )


@command("show databases details", schema=schemas.DATABASE_DETAILS)
def show_databases_details(request: Request) -> Iterator[Row]:
    for details in _chosen(request):
        yield _details_row(request, details)


@command("show database details", schema=schemas.DATABASE_DETAILS)
def show_database_details(request: Request) -> Iterator[Row]:
    yield _details_row(request, _details(request, request.named_database))


def _policies_row(request: Request, details: DatabaseDetails) -> Row:
    database = request.engine.database(details.name)
    known = policies.all_stored(database)
    return (
        details.name,
        str(database.path),
        database_version(database),
        details.name == request.database.name,
        details.kind,
        details.pretty_name,
        details.id,
        authorized_json(request.engine, database, None),
        *(
            in_force(known, name, "")
            for name in (
                "retention",
                "merge",
                "caching",
                "sharding",
                "streamingingestion",
                "ingestionbatching",
            )
        ),
    )


@command("show databases policies", schema=schemas.DATABASE_POLICIES)
def show_databases_policies(request: Request) -> Iterator[Row]:
    for details in _chosen(request):
        yield _policies_row(request, details)


@command("show database policies", schema=schemas.DATABASE_POLICIES)
def show_database_policies(request: Request) -> Iterator[Row]:
    yield _policies_row(request, _details(request, request.named_database))


_DATA_STATS = schema(
    "DatabaseName, PersistentStorage, Version:string, IsCurrent:bool, DatabaseAccessMode, PrettyName:string,"
    " DatabaseId:guid, OriginalSize, ExtentSize, CompressedSize, IndexSize:real, RowCount:long,"
    " HotOriginalSize, HotExtentSize, HotCompressedSize, HotIndexSize:real, HotRowCount:long,"
    " TotalExtents, HotExtents:long"
)


def _data_stats_row(request: Request, details: DatabaseDetails) -> Row:
    database = request.engine.database(details.name)
    tables = list(database.snapshot().tables.values())
    original = float(sum(table.original_size for table in tables))
    size = float(sum(table.size for table in tables))
    rows = sum(table.row_count for table in tables)
    extents = sum(len(table.extents) for table in tables)
    return (
        details.name,
        str(database.path),
        database_version(database),
        details.name == request.database.name,
        details.kind,
        details.pretty_name,
        details.id,
        *(original, size, size, 0.0, rows),
        *(original, size, size, 0.0, rows),
        extents,
        extents,
    )


@command("show databases datastats", schema=_DATA_STATS)
def show_databases_datastats(request: Request) -> Iterator[Row]:
    for details in _chosen(request):
        yield _data_stats_row(request, details)


@command("show database datastats", schema=_DATA_STATS)
def show_database_datastats(request: Request) -> Iterator[Row]:
    yield _data_stats_row(request, _details(request, request.named_database))


# -- changes ------------------------------------------------------------------------------------------


@command("create database", schema=schemas.CREATED_DATABASE, permission="cluster admin", writes=True)
def create_database(request: Request) -> Iterator[Row]:
    if request.get("paths"):
        raise UnsupportedError(
            "A database of an embedded cluster lives in the cluster's directory; 'persist' cannot move it.",
            feature="persist",
            remedy="Write .create database NAME ifnotexists.",
        )
    database = request.engine.root.create_database(
        request["database"], if_not_exists=request.has("ifnotexists"), context=request.context
    )
    yield (database.name, str(database.path), "True", True, True)


@command(
    "drop database",
    "detach database",
    schema=schemas.DETACHED_DATABASE,
    permission="cluster admin",
    writes=True,
)
def drop_database(request: Request) -> Iterator[Row]:
    root = request.engine.root
    known = {name.lower() for name in root.database_names()}
    rows: list[Row] = []
    if request["database"].lower() in known:
        snapshot = root.database(request["database"]).snapshot()
        rows = [(table.name, str(len(table.extents))) for table in snapshot.tables.values()]
    root.drop_database(request["database"], if_exists=request.has("ifexists"), context=request.context)
    yield from rows


@command("alter database prettyname", schema=schemas.PRETTY_NAME, permission="admin", writes=True)
def alter_database_prettyname(request: Request) -> Iterator[Row]:
    details = request.engine.root.alter_database(
        request.named_database.name, pretty_name=request["prettyname"], context=request.context
    )
    yield (details.name, details.pretty_name)


@command("drop database prettyname", schema=schemas.PRETTY_NAME, permission="admin", writes=True)
def drop_database_prettyname(request: Request) -> Iterator[Row]:
    details = request.engine.root.alter_database(
        request.named_database.name, pretty_name="", context=request.context
    )
    yield (details.name, details.pretty_name)


@command(
    "set access",
    schema=schema("DatabaseName, RequestedAccessMode, Status:string"),
    permission="cluster admin",
)
def set_access(request: Request) -> Iterator[Row]:
    if request["mode"] != "readwrite":
        raise OptionError(
            "A database of an embedded cluster is always open for reading and writing.",
            remedy="Take away the write permission of its directory, or open it with a read-only request.",
        )
    yield (request.named_database.name, "ReadWrite", "Succeeded")
