"""One database's directory: its catalog, its paths, and what it held at any commit.

::

    <root>/<database id>/catalog.sqlite
    <root>/<database id>/extents/<extent id>.parquet
    <root>/<database id>/staging/<operation id>/
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spark_kusto.errors import SnapshotExpiredError
from spark_kusto.storage.catalog import Catalog, Transaction
from spark_kusto.storage.model import (
    ChangeContext,
    Entity,
    EntityChange,
    Extent,
    JournalEntry,
    Snapshot,
    StoredColumn,
    TableSnapshot,
)
from spark_kusto.storage.sequence import moment_of, ticks_now
from spark_kusto.types import KustoType

DATABASE_TABLES = """
CREATE TABLE tables (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, created_sequence INTEGER NOT NULL, dropped_sequence INTEGER,
    next_column_id INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX live_tables ON tables (name) WHERE dropped_sequence IS NULL;
CREATE TABLE table_versions (
    table_id TEXT NOT NULL, sequence INTEGER NOT NULL, definition TEXT NOT NULL,
    PRIMARY KEY (table_id, sequence)
) WITHOUT ROWID;
CREATE INDEX table_versions_sequence ON table_versions (sequence);
CREATE TABLE extents (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL, table_id TEXT NOT NULL, added_sequence INTEGER NOT NULL,
    removed_sequence INTEGER, removed_on INTEGER, sequence INTEGER NOT NULL, min_sequence INTEGER NOT NULL,
    has_row_sequences INTEGER NOT NULL, created_on INTEGER NOT NULL, min_created_on INTEGER NOT NULL,
    row_count INTEGER NOT NULL, size INTEGER NOT NULL, original_size INTEGER NOT NULL,
    fields TEXT NOT NULL, row_groups TEXT NOT NULL, tags TEXT NOT NULL, statistics TEXT NOT NULL
);
CREATE INDEX extents_added ON extents (added_sequence);
CREATE INDEX extents_removed ON extents (removed_sequence) WHERE removed_sequence IS NOT NULL;
CREATE INDEX extents_id ON extents (id);
CREATE INDEX extents_live ON extents (table_id) WHERE removed_sequence IS NULL;
CREATE TABLE operations (
    id TEXT PRIMARY KEY, table_id TEXT NOT NULL, table_name TEXT NOT NULL, state TEXT NOT NULL,
    created_on INTEGER NOT NULL, lease_until INTEGER NOT NULL, sequence INTEGER, result TEXT
) WITHOUT ROWID;
CREATE INDEX operations_state ON operations (state);
CREATE TABLE ingest_transactions (
    table_id TEXT NOT NULL, writer_id TEXT NOT NULL, batch_id INTEGER NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (table_id, writer_id)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('horizon', 0);
"""
"""An extent that is moved or gets other tags is removed and added again, in one commit, with the same
id and file: a row says what was true from ``added_sequence`` until before ``removed_sequence``.
``horizon`` is the latest ``removed_sequence`` among extents whose files are gone."""

_EXTENT_FIELDS = (
    "row, id, table_id, added_sequence, sequence, min_sequence, has_row_sequences, created_on,"
    " min_created_on, row_count, size, original_size, fields, row_groups, tags, statistics"
)
_KEPT_OLD_SNAPSHOTS = 8


def encode_definition(table: TableSnapshot) -> str:
    """A table's definition (all but its extents) as the catalog keeps it."""
    return json.dumps(
        {
            "name": table.name,
            "columns": [[c.id, c.name, c.type.value, c.docstring] for c in table.columns],
            "folder": table.folder,
            "docstring": table.docstring,
            "hidden": table.hidden,
            "kind": table.kind,
            "properties": dict(table.properties),
        },
        separators=(",", ":"),
    )


def _decode_definition(
    table_id: str, created: int, sequence: int, text: str, extents: tuple[Extent, ...]
) -> TableSnapshot:
    value = json.loads(text)
    return TableSnapshot(
        id=table_id,
        name=value["name"],
        columns=tuple(StoredColumn(i, n, KustoType(t), d) for i, n, t, d in value["columns"]),
        extents=extents,
        folder=value["folder"],
        docstring=value["docstring"],
        hidden=value["hidden"],
        kind=value["kind"],
        created_sequence=created,
        schema_sequence=sequence,
        properties=value["properties"],
    )


class DatabaseFolder:
    """Paths, catalog and snapshots of one database. :class:`Database` adds what changes it."""

    def __init__(
        self, path: Path, name: str, database_id: str, *, clock: Callable[[], int] = ticks_now
    ) -> None:
        self.path = path
        self.name = name
        self.id = database_id
        self.clock = clock
        self.catalog = Catalog(path / "catalog.sqlite", DATABASE_TABLES, clock)
        self._refreshing = threading.Lock()
        self._pid = os.getpid()
        self._current: Snapshot | None = None
        self._rows: dict[int, str] = {}
        """Catalog row of every extent in the current snapshot -> its table's id."""
        self._old: OrderedDict[int, Snapshot] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Database {self.name!r} at {str(self.path)!r}>"

    @property
    def extents_path(self) -> Path:
        """Folder of committed extents."""
        return self.path / "extents"

    @property
    def staging_path(self) -> Path:
        """Folder of files not committed yet, one folder an operation."""
        return self.path / "staging"

    def extent_path(self, extent_id: str) -> Path:
        """File of an extent."""
        return self.extents_path / f"{extent_id}.parquet"

    def close(self) -> None:
        """Close connections to the catalog."""
        self.catalog.close()

    # -- snapshots

    def cursor(self) -> str:
        """The database cursor: the last commit's sequence as a decimal string."""
        return str(self.catalog.last_sequence())

    def snapshot(self, sequence: int | None = None) -> Snapshot:
        """What the database holds now, or held as of a commit sequence.

        Asking again costs one look at the catalog; after commits, only what they changed is read.

        Args:
            sequence: a commit sequence (or any number of ticks between two); None means now.

        Raises:
            SnapshotExpiredError: files that it needs have been removed after their grace period.
        """
        with self._refresh_lock():
            current = self._refresh()
            if sequence is None or sequence >= current.sequence:
                return current
            found = self._old.get(sequence)
            if found is None:
                with self.catalog.reading() as connection:
                    found = self._load(connection, sequence)
                self._old[sequence] = found
                if len(self._old) > _KEPT_OLD_SNAPSHOTS:
                    self._old.popitem(last=False)
            else:
                with self.catalog.connected() as connection:
                    self._check_horizon(connection, sequence)
            return found

    def _refresh_lock(self) -> threading.Lock:
        if self._pid != os.getpid():
            self._pid, self._refreshing = os.getpid(), threading.Lock()
        return self._refreshing

    def _refresh(self, connection: sqlite3.Connection | None = None) -> Snapshot:
        if connection is None:
            current = self._current
            if current is not None and current.sequence == self.catalog.last_sequence():
                return current
            with self.catalog.reading() as opened:
                return self._refresh(opened)
        if self._current is None or self._current.sequence < self._horizon(connection):
            # What was removed since may have left the catalog altogether.
            self._current = self._load(connection, None)
            return self._current
        # What fails half-way has changed _rows already: the next look then begins anew.
        old, self._current = self._current, None
        self._current = self._advance(connection, old)
        return self._current

    def live(self, transaction: Transaction) -> Snapshot:
        """What the database holds inside a write transaction that has not changed it yet."""
        with self._refresh_lock():
            last = transaction.previous_sequence
            if self._current is not None and self._current.sequence == last:
                return self._current
            return self._refresh(transaction.connection)

    def _check_horizon(self, connection: sqlite3.Connection, sequence: int) -> None:
        horizon = self._horizon(connection)
        if sequence < horizon:
            moment = f"{moment_of(sequence):%Y-%m-%d %H:%M:%S} UTC"
            raise SnapshotExpiredError(
                f"Database '{self.name}' can no longer be read as of cursor {sequence} ({moment}): files of "
                "extents dropped or merged since have been removed.",
                remedy=f"The oldest readable cursor is {horizon}; or read current data.",
            )

    @staticmethod
    def _horizon(connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT value FROM meta WHERE key = 'horizon'").fetchone()[0])

    def _load(self, connection: sqlite3.Connection, sequence: int | None) -> Snapshot:
        last = int(connection.execute("SELECT value FROM meta WHERE key = 'sequence'").fetchone()[0])
        moment = last if sequence is None else sequence
        if sequence is not None:
            self._check_horizon(connection, sequence)
        extents: dict[str, list[Extent]] = {}
        rows: dict[int, str] = {}
        for row in connection.execute(
            f"SELECT {_EXTENT_FIELDS} FROM extents WHERE added_sequence <= ?1"
            " AND (removed_sequence IS NULL OR removed_sequence > ?1) ORDER BY min_sequence, row",
            (moment,),
        ):
            rows[row[0]] = row[2]
            extents.setdefault(row[2], []).append(self._extent(row))
        tables: dict[str, TableSnapshot] = {}
        for table_id, created, version, definition in connection.execute(
            "SELECT t.id, t.created_sequence, v.sequence, v.definition FROM tables t JOIN table_versions v"
            " ON v.table_id = t.id AND v.sequence = (SELECT max(sequence) FROM table_versions"
            "   WHERE table_id = t.id AND sequence <= ?1)"
            " WHERE t.created_sequence <= ?1 AND (t.dropped_sequence IS NULL OR t.dropped_sequence > ?1)",
            (moment,),
        ):
            table = _decode_definition(
                table_id, created, version, definition, tuple(extents.get(table_id, ()))
            )
            tables[table.name] = table
        if sequence is None:
            self._rows = rows
        return Snapshot(self.name, self.id, moment, dict(sorted(tables.items())))

    def _advance(self, connection: sqlite3.Connection, old: Snapshot) -> Snapshot:
        """The snapshot after the commits since ``old``, sharing what they left alone."""
        last = int(connection.execute("SELECT value FROM meta WHERE key = 'sequence'").fetchone()[0])
        by_id = {table.id: table for table in old.tables.values()}
        lists: dict[str, dict[str, Extent]] = {}

        def extents_of(table_id: str) -> dict[str, Extent]:
            if table_id not in lists:
                known = by_id.get(table_id)
                lists[table_id] = {extent.id: extent for extent in known.extents} if known else {}
            return lists[table_id]

        for row, extent_id in connection.execute(
            "SELECT row, id FROM extents WHERE removed_sequence > ?", (old.sequence,)
        ).fetchall():
            table_id = self._rows.pop(row, None)
            if table_id is not None:
                extents_of(table_id).pop(extent_id, None)
        for values in connection.execute(
            f"SELECT {_EXTENT_FIELDS} FROM extents WHERE added_sequence > ? AND removed_sequence IS NULL"
            " ORDER BY row",
            (old.sequence,),
        ):
            self._rows[values[0]] = values[2]
            extents_of(values[2])[values[1]] = self._extent(values)
        for table_id, created, version, definition in connection.execute(
            "SELECT t.id, t.created_sequence, v.sequence, v.definition FROM table_versions v JOIN tables t"
            " ON t.id = v.table_id WHERE v.sequence > ? ORDER BY v.sequence",
            (old.sequence,),
        ):
            known = by_id.get(table_id)
            by_id[table_id] = _decode_definition(
                table_id, created, version, definition, known.extents if known else ()
            )
        for (table_id,) in connection.execute(
            "SELECT id FROM tables WHERE dropped_sequence > ?", (old.sequence,)
        ):
            by_id.pop(table_id, None)
        for table_id, extents in lists.items():
            if table_id in by_id:
                ordered = sorted(extents.values(), key=lambda e: (e.min_sequence, e.added_sequence))
                by_id[table_id] = replace(by_id[table_id], extents=tuple(ordered))
        tables = {table.name: table for table in sorted(by_id.values(), key=lambda t: t.name)}
        return Snapshot(self.name, self.id, last, tables)

    def _extent(self, row: tuple[Any, ...]) -> Extent:
        return Extent(
            id=row[1],
            path=str(self.extent_path(row[1])),
            row_count=row[9],
            size=row[10],
            original_size=row[11],
            created_on=moment_of(row[7]),
            min_created_on=moment_of(row[8]),
            tags=tuple(json.loads(row[14])),
            sequence=row[4],
            min_sequence=row[5],
            added_sequence=row[3],
            has_row_sequences=bool(row[6]),
            fields={int(key): value for key, value in json.loads(row[12]).items()},
            row_groups=tuple(json.loads(row[13])),
            encoded_statistics=row[15],
        )

    # -- journal and stored entities

    def journal(self, after: int = 0, limit: int | None = None) -> tuple[JournalEntry, ...]:
        """Journal entries after a sequence, oldest first; ``limit`` keeps the newest ones."""
        return self.catalog.journal(self.name, after, limit)

    def entities(
        self, kind: str | None = None, owner: str | None = None, name: str | None = None
    ) -> tuple[Entity, ...]:
        """Stored functions, mappings, policies, principals ... (see :meth:`Catalog.entities`)."""
        return self.catalog.entities(kind, owner, name)

    def entity(self, kind: str, name: str, owner: str = "") -> Entity | None:
        """One stored entity, or None."""
        found = self.catalog.entities(kind, owner, name)
        return found[0] if found else None

    def change_entities(
        self,
        changes: Iterable[EntityChange],
        *,
        event: str,
        entity: str,
        before: str = "",
        after: str = "",
        context: ChangeContext | None = None,
    ) -> int:
        """Store or remove entities in one commit with one journal entry; returns its sequence."""
        return self.catalog.change_entities(
            changes, event=event, entity=entity, before=before, after=after, context=context
        )


def encode_fields(fields: Mapping[int, int]) -> str:
    """Column ids and Parquet field ids as the catalog keeps them."""
    return json.dumps({str(key): value for key, value in fields.items()}, separators=(",", ":"))
