"""Version of a database's schema, as ``v1.N``: N counts the changes in its journal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spark_kusto.errors import OptionError

if TYPE_CHECKING:
    from spark_kusto.storage import Database

_DATA_EVENTS = ("INGEST", "MERGE-EXTENTS", "DROP-EXTENTS", "MOVE-EXTENTS", "REPLACE-EXTENTS")


def schema_changes(database: Database) -> int:
    """Entries of the journal that are not about data."""
    marks = ", ".join("?" for _ in _DATA_EVENTS)
    with database.catalog.connected() as connection:
        row = connection.execute(
            f"SELECT count(*) FROM journal WHERE event NOT IN ({marks})", _DATA_EVENTS
        ).fetchone()
    return int(row[0])


def database_version(database: Database) -> str:
    """``v1.N``."""
    return f"v1.{schema_changes(database)}"


def is_later(database: Database, version: str | None) -> bool:
    """Whether the schema has changed since a version (or none is given).

    Raises:
        OptionError: it is no version.
    """
    if version is None:
        return True
    match = re.fullmatch(r"v(\d+)\.(\d+)", version.strip())
    if match is None:
        raise OptionError(f"'{version}' is no schema version.", remedy='Write "v1.2".')
    return (1, schema_changes(database)) > (int(match[1]), int(match[2]))
