"""Ingestion mappings, of tables and of databases."""

from __future__ import annotations

from collections.abc import Iterator

from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.mappings import canonical, mapping_kind, parse_mapping
from spark_kusto.errors import EntityExistsError, EntityNotFoundError
from spark_kusto.storage import Database, Entity, EntityChange
from spark_kusto.storage.sequence import moment_of

KIND = "mapping/"
_KIND_OF_FORMAT = {
    "apacheavro": "avro",
    "multijson": "json",
    "tsv": "csv",
    "psv": "csv",
    "txt": "csv",
    "raw": "csv",
    "scsv": "csv",
    "sohsv": "csv",
    "tsve": "csv",
}


def _kind(request: Request) -> str:
    given = request["kind"].lower()
    return mapping_kind(_KIND_OF_FORMAT.get(given, given))


def _row(database: Database, entity: Entity, table: str | None) -> Row:
    titles = {"csv": "Csv", "json": "Json", "avro": "Avro", "parquet": "Parquet", "orc": "Orc"}
    kind = entity.kind[len(KIND) :]
    row = (
        entity.name,
        titles.get(kind, kind),
        entity.value["mapping"],
        moment_of(entity.sequence),
        database.name,
    )
    return row if table is None else (*row, table)


def _change(request: Request, owner: str, where: str) -> Entity:
    database = request.named_database
    kind = _kind(request)
    verb = request.command.name.split(" ", 1)[0]
    name = request["mapping"]
    known = database.entity(KIND + kind, name, owner)
    if verb == "create" and known is not None and not request.flag("removeoldestifrequired"):
        raise EntityExistsError(
            kind=f"Ingestion mapping ({kind})",
            name=name,
            container=where,
            remedy="Use .create-or-alter.",
        )
    if verb in ("alter", "alter-merge") and known is None:
        raise _missing(database, kind, name, owner, where)
    items = parse_mapping(request["definition"], kind)
    if verb == "alter-merge" and known is not None:
        merged = {item.column: item for item in parse_mapping(known.value["mapping"], kind)}
        merged.update({item.column: item for item in items})
        items = tuple(merged.values())
    text = canonical(items)
    database.change_entities(
        [EntityChange(KIND + kind, owner, name, {"mapping": text})],
        event=f"{verb.upper()}-INGESTION-MAPPING",
        entity=name,
        before="" if known is None else known.value["mapping"],
        after=text,
        context=request.context,
    )
    changed = database.entity(KIND + kind, name, owner)
    assert changed is not None
    return changed


def _missing(database: Database, kind: str, name: str, owner: str, where: str) -> EntityNotFoundError:
    return EntityNotFoundError(
        kind=f"Ingestion mapping ({kind})",
        name=name,
        container=where,
        candidates=[entity.name for entity in database.entities(KIND + kind, owner)],
    )


@command(
    "create table ingestion mapping",
    "create-or-alter table ingestion mapping",
    "alter table ingestion mapping",
    "alter-merge table ingestion mapping",
    schema=schemas.MAPPING,
    permission="ingestor",
    writes=True,
)
def change_table_mapping(request: Request) -> Iterator[Row]:
    table = request.snapshot.table(request["table"])
    entity = _change(request, table.id, f"table '{table.name}'")
    yield _row(request.named_database, entity, table.name)


@command(
    "create database ingestion mapping",
    "create-or-alter database ingestion mapping",
    "alter database ingestion mapping",
    "alter-merge database ingestion mapping",
    schema=schemas.DATABASE_MAPPING,
    permission="ingestor",
    writes=True,
)
def change_database_mapping(request: Request) -> Iterator[Row]:
    database = request.named_database
    yield _row(database, _change(request, "", f"database '{database.name}'"), None)


def _shown(request: Request, owner: str) -> list[Entity]:
    kind = KIND if request.get("kind") is None else KIND + _kind(request)
    return list(request.named_database.entities(kind, owner, request.get("mapping")))


@command("show table ingestion mappings", schema=schemas.MAPPING)
def show_table_mappings(request: Request) -> Iterator[Row]:
    table = request.snapshot.table(request["table"])
    for entity in _shown(request, table.id):
        yield _row(request.named_database, entity, table.name)


@command("show table ingestion mapping", schema=schemas.MAPPING)
def show_table_mapping(request: Request) -> Iterator[Row]:
    table = request.snapshot.table(request["table"])
    found = _shown(request, table.id)
    if not found:
        kind = "" if request.get("kind") is None else _kind(request)
        raise EntityNotFoundError(
            kind="Ingestion mapping",
            name=request["mapping"],
            container=f"table '{table.name}'",
            candidates=[e.name for e in request.named_database.entities(KIND + kind, table.id)],
        )
    for entity in found:
        yield _row(request.named_database, entity, table.name)


@command(
    "show database ingestion mappings", "show database ingestion mapping", schema=schemas.DATABASE_MAPPING
)
def show_database_mappings(request: Request) -> Iterator[Row]:
    for entity in _shown(request, ""):
        yield _row(request.named_database, entity, None)


@command("show ingestion mappings", schema=schemas.MAPPING)
def show_mappings(request: Request) -> Iterator[Row]:
    kind = KIND if request.get("kind") is None else KIND + _kind(request)
    for name in request.engine.root.database_names():
        database = request.engine.database(name)
        tables = {table.id: table.name for table in database.snapshot().tables.values()}
        for entity in database.entities(kind):
            yield _row(database, entity, tables.get(entity.owner, ""))


def _drop(request: Request, owner: str, where: str) -> Entity:
    database = request.named_database
    kind = _kind(request)
    known = database.entity(KIND + kind, request["mapping"], owner)
    if known is None:
        raise _missing(database, kind, request["mapping"], owner, where)
    database.change_entities(
        [EntityChange(KIND + kind, owner, known.name, None)],
        event="DROP-INGESTION-MAPPING",
        entity=known.name,
        before=known.value["mapping"],
        context=request.context,
    )
    return known


@command("drop table ingestion mapping", schema=schemas.MAPPING, permission="ingestor", writes=True)
def drop_table_mapping(request: Request) -> Iterator[Row]:
    table = request.snapshot.table(request["table"])
    yield _row(request.named_database, _drop(request, table.id, f"table '{table.name}'"), table.name)


@command(
    "drop database ingestion mapping", schema=schemas.DATABASE_MAPPING, permission="ingestor", writes=True
)
def drop_database_mapping(request: Request) -> Iterator[Row]:
    database = request.named_database
    yield _row(database, _drop(request, "", f"database '{database.name}'"), None)
