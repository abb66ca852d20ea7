"""Extents: move, replace, merge, and their tags."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator
from itertools import groupby

from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.extents import Found, by_query, locate
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.maintenance import merge_exactly
from spark_kusto.errors import EntityNotFoundError
from spark_kusto.storage import MovedExtent
from spark_kusto.types.text import parse_datetime


def _within(request: Request, found: Iterable[Found]) -> list[Found]:
    """Extents created within the bounds that ``with (extentCreatedOnFrom=, extentCreatedOnTo=)`` gives."""
    bounds = []
    for key in ("extentcreatedonfrom", "extentcreatedonto"):
        value = request.option(key)
        bounds.append(
            value if value is None or isinstance(value, dt.datetime) else parse_datetime(str(value))
        )
    low, high = (
        value.replace(tzinfo=dt.timezone.utc) if value is not None and value.tzinfo is None else value
        for value in bounds
    )
    return [
        item
        for item in found
        if (low is None or item[2].created_on >= low) and (high is None or item[2].created_on <= high)
    ]


def _move(request: Request, found: list[Found]) -> Iterator[Row]:
    database = request.named_database
    target = request["table"]
    database.snapshot().table(target)
    moved: list[MovedExtent] = []
    ordered = sorted(found, key=lambda item: item[1].name)
    groups = [(name, list(items)) for name, items in groupby(ordered, key=lambda item: item[1].name)]
    new_time = request.flag("setnewingestiontime")
    if len(groups) == 1:
        name, items = groups[0]
        moved += database.move_extents(
            [extent.id for _, _, extent in items],
            name,
            target,
            new_ingestion_time=new_time,
            context=request.context,
        )
    elif groups:
        # Extents of several tables move in one commit: a replacement that drops nothing.
        _, result = database.replace_extents(
            target,
            [],
            [extent.id for _, _, extent in found],
            new_ingestion_time=new_time,
            context=request.context,
        )
        moved += result
    for item in moved:
        yield (item.original_id, item.result_id, "")


@command("move extents", schema=schemas.MOVED_EXTENT, permission="admin", writes=True, can_be_async=True)
def move_extents(request: Request) -> Iterator[Row]:
    found = locate(request.named_database, request["extents"], request["source"])
    missing = set(request["extents"]) - {extent.id for _, _, extent in found}
    if missing:
        raise EntityNotFoundError(
            kind="Extent",
            name=sorted(missing)[0],
            container=f"table '{request['source']}'",
            remedy="Look with .show table extents; it may have been merged.",
        )
    yield from _move(request, found)


@command("move extents all", schema=schemas.MOVED_EXTENT, permission="admin", writes=True, can_be_async=True)
def move_all_extents(request: Request) -> Iterator[Row]:
    database = request.named_database
    table = database.snapshot().table(request["source"])
    yield from _move(request, _within(request, [(database, table, extent) for extent in table.extents]))


@command(
    "move extents by query", schema=schemas.MOVED_EXTENT, permission="admin", writes=True, can_be_async=True
)
def move_extents_by_query(request: Request) -> Iterator[Row]:
    found = [item for item in by_query(request, request.command.query) if item[1].name != request["table"]]
    if request.get("source") is not None:
        found = [item for item in found if item[1].name == request["source"]]
    yield from _move(request, _within(request, found))


@command("replace extents", schema=schemas.MOVED_EXTENT, permission="admin", writes=True, can_be_async=True)
def replace_extents(request: Request) -> Iterator[Row]:
    database = request.named_database
    leaving = [
        extent.id
        for _, table, extent in by_query(request, request["drop_query"])
        if table.name == request["table"]
    ]
    coming = [
        extent.id
        for _, table, extent in by_query(request, request["move_query"])
        if table.name != request["table"]
    ]
    dropped, moved = database.replace_extents(
        request["table"],
        leaving,
        coming,
        new_ingestion_time=request.flag("setnewingestiontime"),
        context=request.context,
    )
    for extent_id in dropped:
        yield (extent_id, "", "")
    for item in moved:
        yield (item.original_id, item.result_id, "")


@command("merge extents", schema=schemas.MERGED_EXTENT, permission="admin", writes=True, can_be_async=True)
def merge_extents(request: Request) -> Iterator[Row]:
    started = time.monotonic()
    table = request.snapshot.table(request["table"])
    wanted = set(request["extents"])
    inputs = [extent for extent in table.extents if extent.id in wanted]
    missing = sorted(wanted - {extent.id for extent in inputs})
    if missing:
        raise EntityNotFoundError(
            kind="Extent",
            name=missing[0],
            container=f"table '{table.name}'",
            remedy="Look with .show table extents.",
        )
    if request.has("dryrun"):
        results = ["" for _ in inputs]
    else:
        done = merge_exactly(request.named_database, table, list(wanted), request.context)
        results = [done[0] if done else "" for _ in inputs]
    span = dt.timedelta(seconds=time.monotonic() - started)
    for extent, result in zip(inputs, results, strict=True):
        yield (extent.id, result, span)


# -- tags ---------------------------------------------------------------------------------------------


def _tag(request: Request, found: Iterable[Found], tags: Iterable[str], mode: str) -> Iterator[Row]:
    ids = [extent.id for _, _, extent in found]
    if not ids:
        return
    changed = request.named_database.alter_extent_tags(
        ids,
        tuple(tags),
        mode,  # type: ignore[arg-type]
        context=request.context,
    )
    for _, extent in changed:
        yield (extent.id, extent.id, "\r\n".join(extent.tags), "")


@command(
    "alter extent tags", schema=schemas.TAGGED_EXTENT, permission="admin", writes=True, can_be_async=True
)
def alter_extent_tags(request: Request) -> Iterator[Row]:
    found = [i for i in by_query(request, request.command.query) if i[1].name == request["table"]]
    yield from _tag(request, found, request["tags"], "set")


@command(
    "alter-merge extent tags",
    schema=schemas.TAGGED_EXTENT,
    permission="admin",
    writes=True,
    can_be_async=True,
)
def alter_merge_extent_tags(request: Request) -> Iterator[Row]:
    found = [i for i in by_query(request, request.command.query) if i[1].name == request["table"]]
    yield from _tag(request, found, request["tags"], "add")


@command("drop extent tags", schema=schemas.TAGGED_EXTENT, permission="admin", writes=True, can_be_async=True)
def drop_extent_tags(request: Request) -> Iterator[Row]:
    database = request.named_database
    table = database.snapshot().table(request["table"])
    leaving = set(request["tags"])
    found = [(database, table, e) for e in table.extents if not leaving.isdisjoint(e.tags)]
    yield from _tag(request, found, request["tags"], "drop")


@command(
    "drop extent tags by query",
    schema=schemas.TAGGED_EXTENT,
    permission="admin",
    writes=True,
    can_be_async=True,
)
def drop_extent_tags_by_query(request: Request) -> Iterator[Row]:
    """The query gives ExtentId and Tags: the tags to take away, as text separated by line breaks."""
    rows = request.engine.commanding.source_rows(request, request.command.query, ["ExtentId"])
    by_tags: dict[tuple[str, ...], list[str]] = {}
    known = {
        extent.id: extent
        for table in request.snapshot.tables.values()
        for extent in table.extents
        if request.get("table") is None or table.name == request["table"]
    }
    for row in rows:
        extent = known.get(str(row["ExtentId"]))
        if extent is None:
            continue
        given = row.get("Tags")
        tags = extent.tags if given is None else _split_tags(given)
        by_tags.setdefault(tuple(tags), []).append(extent.id)
    for tags, ids in by_tags.items():
        yield from _tag(request, locate(request.named_database, ids), tags, "drop")


def _split_tags(text: object) -> tuple[str, ...]:
    import json

    value = str(text)
    if value.startswith("["):
        return tuple(str(item) for item in json.loads(value))
    if value.startswith('"'):
        value = str(json.loads(value))
    return tuple(tag for tag in value.replace("\r\n", "\n").split("\n") if tag)
