"""Extents: show and drop."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

from spark_kusto.engine import policies
from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.schemas import schema
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.details import hot_extents
from spark_kusto.errors import OptionError
from spark_kusto.storage import Database, Extent, TableSnapshot

Found = tuple[Database, TableSnapshot, Extent]

TAG_SEPARATOR = "\r\n"
"""Between the tags of an extent in ``.show extents``."""


def extent_row(database: Database, table: TableSnapshot, extent: Extent) -> Row:
    """A row of ``.show extents``."""
    return (
        extent.id,
        database.name,
        table.name,
        extent.max_created_on,
        float(extent.original_size),
        float(extent.size),
        float(extent.size),
        0.0,
        len(extent.row_groups),
        1,
        database.id,
        extent.row_count,
        extent.min_created_on,
        TAG_SEPARATOR.join(extent.tags),
        "Default",
        0,
    )


def _scope(request: Request) -> Iterator[tuple[Database, TableSnapshot]]:
    engine = request.engine
    scope = request.get("scope")
    if scope == "cluster":
        names: Iterable[str] = engine.root.database_names()
    elif scope == "databases":
        names = request["databases"]
    else:
        names = [request.named_database.name]
    for name in names:
        database = engine.database(name)
        snapshot = database.snapshot()
        if scope == "table":
            yield database, snapshot.table(request["table"])
        elif scope == "tables":
            for table in request["tables"]:
                yield database, snapshot.table(table)
        else:
            for known in snapshot.tables.values():
                yield database, known


def _matches(extent: Extent, filters: Iterable[tuple[str, str]]) -> bool:
    for operator, text in filters:
        folded = [tag.lower() for tag in extent.tags]
        wanted = text.lower()
        found = wanted in folded if operator.endswith("has") else any(wanted in tag for tag in folded)
        if found == operator.startswith("!"):
            return False
    return True


@command("show extents", schema=schemas.EXTENT)
def show_extents(request: Request) -> Iterator[Row]:
    ids = request.get("extents")
    wanted = None if ids is None else set(ids)
    filters = request.get("tags", ())
    most = _most(request)
    count = 0
    for database, table in _scope(request):
        extents: Iterable[Extent] = table.extents
        if request.has("hot"):
            extents = hot_extents(policies.all_stored(database), table)
        for extent in extents:
            if (wanted is None or extent.id in wanted) and _matches(extent, filters):
                yield extent_row(database, table, extent)
                count += 1
                if most is not None and count >= most:
                    return


def _most(request: Request) -> int | None:
    import json

    given = request.option("extentsshowfilteringruntimepolicy")
    if given is None:
        return None
    value = json.loads(given) if isinstance(given, str) else given
    most = value.get("MaximumResultsCount") if isinstance(value, dict) else None
    return None if most is None else int(most)


@command(
    "show database extents partitioning statistics",
    schema=schema("TableName, PartitioningPolicy:string, TotalRowCount, PartitionedRowCount:long"),
)
def show_partitioning(_request: Request) -> Iterator[Row]:
    return iter(())


@command(
    "show database extent tags statistics",
    schema=schema("TableName:string, TotalExtentsCount, TaggedExtentsCount, TotalTagsCount, TotalTagsLength,"
                  " DropByTagsCount, DropByTagsLength, IngestByTagsCount, IngestByTagsLength:long"),
)  # fmt: skip
def show_tag_statistics(request: Request) -> Iterator[Row]:
    for table in request.snapshot.tables.values():
        tags = [tag for extent in table.extents for tag in extent.tags]
        drop = [tag for tag in tags if tag.startswith("drop-by:")]
        ingest = [tag for tag in tags if tag.startswith("ingest-by:")]
        yield (
            table.name,
            len(table.extents),
            sum(bool(extent.tags) for extent in table.extents),
            len(tags),
            sum(map(len, tags)),
            len(drop),
            sum(map(len, drop)),
            len(ingest),
            sum(map(len, ingest)),
        )


# -- drop ---------------------------------------------------------------------------------------------


def locate(database: Database, ids: Iterable[str], table: str | None = None) -> list[Found]:
    """Live extents by id; those that are gone meanwhile are left out."""
    snapshot = database.snapshot()
    tables = snapshot.tables.values() if table is None else [snapshot.table(table)]
    known = {extent.id: (database, owner, extent) for owner in tables for extent in owner.extents}
    return [known[extent_id] for extent_id in dict.fromkeys(map(str, ids)) if extent_id in known]


def _chosen(request: Request) -> list[Found]:
    """The extents that ``.drop extents … from`` names."""
    database = request.named_database
    if request.get("extents") is not None:
        snapshot = database.snapshot()
        among = None if request.get("table") is None else snapshot.table(request["table"]).name
        return locate(database, request["extents"], among)
    snapshot = database.snapshot()
    tables = list(snapshot.tables.values()) if request.get("all") else [snapshot.table(request["table"])]
    found = [(database, table, extent) for table in tables for extent in table.extents]
    found.sort(key=lambda item: item[2].created_on)
    if request.get("older") is not None:
        span = dt.timedelta(**{request["older_unit"].lower(): request["older"]})
        before = dt.datetime.now(dt.timezone.utc) - span
        found = [item for item in found if item[2].created_on < before]
    if request.get("trim_by") is not None:
        found = _trimmed(found, request)
    if request.get("limit") is not None:
        found = found[: request["limit"]]
    return found


def _trimmed(found: list[Found], request: Request) -> list[Found]:
    """The oldest extents, whose going brings the rest down to a size."""
    factor = {"mb": 1 << 20, "gb": 1 << 30, "bytes": 1}[request["trim_unit"].lower()]
    keep = request["trim_size"] * factor
    by_extent = request["trim_by"] == "extentsize"
    total = sum(e.size if by_extent else e.original_size for _, _, e in found)
    leaving = []
    for item in found:
        if total <= keep:
            break
        leaving.append(item)
        total -= item[2].size if by_extent else item[2].original_size
    return leaving


def _drop(request: Request, found: list[Found], *, pretend: bool) -> Iterator[Row]:
    if found and not pretend:
        request.named_database.drop_extents([extent.id for _, _, extent in found], context=request.context)
    for _, table, extent in found:
        yield (extent.id, table.name, extent.created_on)


@command("drop extents", schema=schemas.DROPPED_EXTENT, permission="admin", writes=True)
def drop_extents(request: Request) -> Iterator[Row]:
    yield from _drop(request, _chosen(request), pretend=False)


@command("drop-pretend extents", schema=schemas.DROPPED_EXTENT, permission="admin")
def drop_pretend_extents(request: Request) -> Iterator[Row]:
    yield from _drop(request, _chosen(request), pretend=True)


def by_query(request: Request, query: object) -> list[Found]:
    """Extents that a query (or ``.show extents`` command) gives by its column ExtentId."""
    rows = request.engine.commanding.source_rows(request, query, ["ExtentId"])
    ids = [str(row["ExtentId"]) for row in rows if row["ExtentId"] is not None]
    return locate(request.named_database, ids)


@command("drop extents by query", schema=schemas.DROPPED_EXTENT, permission="admin", writes=True)
def drop_extents_by_query(request: Request) -> Iterator[Row]:
    if request.command.query is None:
        raise OptionError(
            "'.drop extents' needs a query after '<|'.", remedy="Write <| .show table T extents."
        )
    yield from _drop(request, by_query(request, request.command.query), pretend=request.has("whatif"))


@command("drop-pretend extents by query", schema=schemas.DROPPED_EXTENT, permission="admin")
def drop_pretend_extents_by_query(request: Request) -> Iterator[Row]:
    yield from _drop(request, by_query(request, request.command.query), pretend=True)
