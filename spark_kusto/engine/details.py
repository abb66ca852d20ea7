"""What ``details`` commands say of tables and databases."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.engine import policies
from spark_kusto.engine.policies import stored_text

if TYPE_CHECKING:
    from spark_kusto.engine.engine import Engine
    from spark_kusto.storage import Database, Extent, TableSnapshot


def in_force(known: Mapping[tuple[str, str], Any], policy: str, owner: str) -> str:
    """A policy's JSON as details print it: the entity's own, else the database's, else the default."""
    value = known.get((policy, owner))
    if value is None and policies.POLICIES[policy].inherited:
        value = known.get((policy, ""))
    default = policies.POLICIES[policy].default
    if value is None:
        value = default
    elif isinstance(value, dict) and isinstance(default, dict):
        value = {**default, **value}
    return stored_text(value)


def hot_extents(known: Mapping[tuple[str, str], Any], table: TableSnapshot) -> list[Extent]:
    """Extents within the caching policy's hot period; all without one."""
    value = known.get(("caching", table.id)) or known.get(("caching", ""))
    span = value.get("DataHotSpan") if isinstance(value, dict) else None
    text = span.get("Value") if isinstance(span, dict) else span
    if text is None:
        return list(table.extents)
    since = dt.datetime.now(dt.timezone.utc) - policies.period(text, dt.timedelta(days=36_500))
    return [extent for extent in table.extents if extent.created_on >= since]


def table_details(engine: Engine, database: Database, table: TableSnapshot) -> Sequence[Any]:
    """A row of ``.show tables details``."""
    from spark_kusto.engine.principals import authorized_json

    known = policies.all_stored(database)
    hot = hot_extents(known, table)
    created = [extent.created_on for extent in table.extents]
    return (
        table.name,
        database.name,
        table.folder,
        table.docstring,
        len(table.extents),
        float(table.size),
        float(table.original_size),
        table.row_count,
        len(hot),
        float(sum(extent.size for extent in hot)),
        float(sum(extent.original_size for extent in hot)),
        sum(extent.row_count for extent in hot),
        authorized_json(engine, database, table),
        in_force(known, "retention", table.id),
        in_force(known, "caching", table.id),
        in_force(known, "sharding", table.id),
        in_force(known, "merge", table.id),
        in_force(known, "streamingingestion", table.id),
        in_force(known, "ingestionbatching", table.id),
        min((extent.min_created_on for extent in table.extents), default=None),
        max(created, default=None),
        in_force(known, "roworder", table.id),
        table.id,
    )
