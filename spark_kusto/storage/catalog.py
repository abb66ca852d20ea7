"""One SQLite file: connections, transactions, commit sequence, journal and stored entities.

Write-ahead log with synchronous=FULL: a commit that has returned survives a loss of power, and
readers never wait for writers. Writers queue on ``BEGIN IMMEDIATE``.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spark_kusto.errors import (
    KustoError,
    NewerFormatError,
    NotAClusterError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    redact,
)
from spark_kusto.storage.files import reached
from spark_kusto.storage.model import ChangeContext, Entity, EntityChange, JournalEntry
from spark_kusto.storage.sequence import moment_of, ticks_now

APPLICATION_ID = 0x6B757374
"""Marks our files for SQLite and ``file(1)``: "kust"."""

FORMAT = 1
"""Version of the on-disk format, in every catalog's ``user_version``."""

BUSY_SECONDS = 60.0
"""How long a writer waits for another process."""

COMMON_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO meta VALUES ('sequence', 0);
CREATE TABLE entities (
    kind TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    sequence INTEGER NOT NULL, PRIMARY KEY (kind, owner, name)
) WITHOUT ROWID;
CREATE TABLE journal (
    ordinal INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, event TEXT NOT NULL, entity_name TEXT NOT NULL,
    updated_entity_name TEXT NOT NULL, entity_version TEXT NOT NULL, container TEXT NOT NULL,
    original_state TEXT NOT NULL, updated_state TEXT NOT NULL, context TEXT NOT NULL
);
CREATE INDEX journal_sequence ON journal (sequence);
CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
"""

_abandoned: list[sqlite3.Connection] = []
"""Connections that a fork copied. Closing one here would harm the parent's, so they are kept."""


class Transaction:
    """An open write transaction.

    The commit sequence is taken when :attr:`sequence` is first read; a transaction that never reads
    it leaves the database's cursor where it was.
    """

    def __init__(
        self, connection: sqlite3.Connection, context: ChangeContext, clock: Callable[[], int] = ticks_now
    ) -> None:
        self.connection = connection
        self._clock = clock
        self._context = context
        self._sequence: int | None = None

    def execute(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self.connection.execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for many rows."""
        self.connection.executemany(sql, rows)

    @property
    def previous_sequence(self) -> int:
        """The last commit before this one."""
        return int(self.execute("SELECT value FROM meta WHERE key = 'sequence'").fetchone()[0])

    @property
    def sequence(self) -> int:
        """This commit's sequence."""
        if self._sequence is None:
            self._sequence = max(self.previous_sequence + 1, self._clock())
            self.execute("UPDATE meta SET value = ? WHERE key = 'sequence'", (self._sequence,))
        return self._sequence

    def journal(
        self,
        event: str,
        entity: str,
        *,
        renamed: str = "",
        container: str = "",
        before: str = "",
        after: str = "",
    ) -> None:
        """Append to the journal; ``before`` and ``after`` describe the entity's states."""
        context = self._context
        self.execute(
            "INSERT INTO journal (sequence, event, entity_name, updated_entity_name, entity_version,"
            " container, original_state, updated_state, context) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.sequence,
                event,
                entity,
                renamed or entity,
                f"v{self.sequence}",
                container,
                redact(before),
                redact(after),
                json.dumps(
                    [
                        redact(context.command),
                        context.principal,
                        context.user,
                        context.client_request_id,
                        context.root_activity_id,
                    ]
                ),
            ),
        )

    def put_entities(self, changes: Iterable[EntityChange]) -> None:
        """Store entities, or remove those whose value is None."""
        for change in changes:
            key = (change.kind, change.owner, change.name)
            if change.value is None:
                self.execute("DELETE FROM entities WHERE kind = ? AND owner = ? AND name = ?", key)
            else:
                text = json.dumps(change.value, separators=(",", ":"))
                self.execute(
                    "INSERT OR REPLACE INTO entities VALUES (?, ?, ?, ?, ?)", (*key, text, self.sequence)
                )


class Catalog:
    """A SQLite file shared by processes.

    Connections are made when first needed and never cross a fork.
    """

    def __init__(self, path: Path, tables: str, clock: Callable[[], int] = ticks_now) -> None:
        self.path = path
        self._clock = clock
        self._tables = COMMON_TABLES + tables
        self._pid = os.getpid()
        self._idle: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._writing = threading.Lock()

    # -- connections

    def _after_fork(self) -> None:
        _abandoned.extend(self._idle)
        self._idle = []
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._pid = os.getpid()

    def _open(self) -> sqlite3.Connection:
        # The file is never made here: a root that has been deleted must not come back empty.
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        if os.uname().sysname == "Darwin":
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA checkpoint_fullfsync = ON")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """A connection for the block's time; SQLite's errors become StorageErrors."""
        if self._pid != os.getpid():
            self._after_fork()
        connection: sqlite3.Connection | None = None
        try:
            with self._guard:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._open()
            yield connection
        except sqlite3.Error as error:
            raise self._translate(error) from error
        finally:
            if connection is not None:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                with self._guard:
                    self._idle.append(connection)

    def close(self) -> None:
        """Close idle connections; the catalog opens new ones if it is used again."""
        if self._pid != os.getpid():
            self._after_fork()
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _translate(self, error: sqlite3.Error) -> KustoError:
        text = str(error)
        if "locked" in text or "busy" in text:
            return StorageBusyError(
                f"'{self.path}' was held by another process for more than {BUSY_SECONDS:.0f} s.",
                remedy="Try again; if it stays so, look for a process that hangs with the cluster open.",
            )
        if "full" in text:
            return StorageFullError(
                f"Cannot write '{self.path}': the disk is full.",
                remedy="Nothing was committed; free space on this disk and try again.",
            )
        if "readonly" in text or "read-only" in text:
            return StorageError(
                f"'{self.path}' cannot be written ({text}).",
                remedy="Give this user write permission on the file and its directory.",
            )
        if "unable to open" in text or ("no such" in text and "file" in text):
            return StorageError(
                f"'{self.path}' cannot be opened ({text}).",
                remedy="The cluster or the database may have been removed; open the cluster again.",
            )
        if "not a database" in text or "malformed" in text:
            return NotAClusterError(
                f"'{self.path}' is not a catalog, or is damaged ({text}).",
                remedy="Restore the directory from a backup, or choose another one.",
            )
        return StorageError(f"The catalog '{self.path}' failed: {text}.")

    # -- transactions

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection in a read transaction: everything read in the block is of one moment."""
        with self.connected() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def transaction(
        self, context: ChangeContext | None = None, *, durable: bool = True
    ) -> Iterator[Transaction]:
        """A write transaction; it commits when the block ends, and rolls back when it raises.

        ``durable=False`` leaves out the flush to the disk: after a loss of power the change may be
        gone (as a whole). It is for what is worthless then, such as the row of a new operation.
        """
        if self._pid != os.getpid():
            self._after_fork()
        # Threads queue here rather than in SQLite, whose waiting sleeps.
        with self._writing, self.connected() as connection:
            if not durable:
                connection.execute("PRAGMA synchronous = NORMAL")
            try:
                connection.execute("BEGIN IMMEDIATE")
                reached("transaction.begun")
                yield Transaction(connection, context or ChangeContext(), self._clock)
                reached("transaction.written")
                connection.execute("COMMIT")
                reached("transaction.committed")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if not durable:
                    connection.execute("PRAGMA synchronous = FULL")

    def is_free(self, seconds: float) -> bool:
        """Whether a write transaction can begin within so many seconds."""
        with self.connected() as connection:
            connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                if not isinstance(self._translate(error), StorageBusyError):
                    raise
                return False
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        return True

    # -- creation

    def initialize(self, seed: Iterable[tuple[str, Sequence[Any]]] = ()) -> bool:
        """Make the tables if the file is new; returns whether it was.

        Safe against several processes and crashes: all of it is one transaction.

        Args:
            seed: statements to run in the same transaction when the file is new.

        Raises:
            NotAClusterError: the file belongs to something else.
            NewerFormatError: a newer version of this package wrote it.
        """
        # By SQLite itself, never with open() and close(): closing any descriptor of a file takes away all
        # locks that this process has on it, also those of connections in use. Other processes would then
        # take themselves for the last ones and remove the log under these connections.
        if not self.path.exists():
            try:
                sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rwc", uri=True).close()
            except sqlite3.Error as error:
                raise self._translate(error) from error
        deadline = time.monotonic() + BUSY_SECONDS
        with self.connected() as connection:
            while True:
                try:
                    if self._check_format(connection):
                        return False
                    # Changing the mode does not wait for locks by itself.
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.execute("BEGIN IMMEDIATE")
                    break
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error) or time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)
            if self._check_format(connection):
                connection.execute("ROLLBACK")
                return False
            reached("initialize.begun")
            for statement in self._tables.split(";"):
                if statement.strip():
                    connection.execute(statement)
            for sql, parameters in seed:
                connection.execute(sql, parameters)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            reached("initialize.written")
            connection.execute("COMMIT")
        return True

    def _check_format(self, connection: sqlite3.Connection) -> bool:
        """Whether the file is an initialized catalog of ours; raises if it is someone else's."""
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application == APPLICATION_ID:
            if version > FORMAT:
                raise NewerFormatError(
                    f"'{self.path}' has format {version}; this spark-kusto knows formats up to {FORMAT}.",
                    remedy="Upgrade spark-kusto: pip install --upgrade spark-kusto.",
                )
            return True
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise NotAClusterError(
                f"'{self.path}' is a SQLite file of another application.",
                remedy="Choose an empty or new directory for the cluster.",
            )
        return False

    def check_format(self) -> None:
        """Raise unless the file is an initialized catalog of a format known here."""
        if not self.path.is_file():
            raise NotAClusterError(
                f"'{self.path}' does not exist.",
                remedy="Choose the directory of a cluster, or have one created.",
            )
        with self.connected() as connection:
            if not self._check_format(connection):
                raise NotAClusterError(
                    f"'{self.path}' is an empty catalog, left by a creation that did not finish.",
                    remedy="Open the cluster with creation allowed, which finishes it.",
                )

    # -- reading what every catalog has

    def last_sequence(self) -> int:
        """The last commit's sequence; 0 before the first."""
        with self.connected() as connection:
            return int(connection.execute("SELECT value FROM meta WHERE key = 'sequence'").fetchone()[0])

    def meta(self, key: str) -> Any:
        """A value of the catalog about itself; None if absent."""
        with self.connected() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def entities(
        self, kind: str | None = None, owner: str | None = None, name: str | None = None
    ) -> tuple[Entity, ...]:
        """Stored entities by kind, owner and name; None means any. A kind ending in ``/`` is a prefix."""
        conditions, values = ["1"], []
        if kind is not None and kind.endswith("/"):
            conditions.append("substr(kind, 1, ?) = ?")
            values += [len(kind), kind]
        elif kind is not None:
            conditions.append("kind = ?")
            values.append(kind)
        for column, value in (("owner", owner), ("name", name)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        with self.connected() as connection:
            rows = connection.execute(
                "SELECT kind, owner, name, value, sequence FROM entities"
                f" WHERE {' AND '.join(conditions)} ORDER BY kind, owner, name",
                values,
            ).fetchall()
        return tuple(Entity(k, o, n, json.loads(v), s) for k, o, n, v, s in rows)

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
        with self.transaction(context) as transaction:
            transaction.put_entities(changes)
            transaction.journal(event, entity, before=before, after=after)
            return transaction.sequence

    def journal(self, database: str, after: int = 0, limit: int | None = None) -> tuple[JournalEntry, ...]:
        """Journal entries of commits after a sequence, oldest first; ``limit`` keeps the newest."""
        with self.connected() as connection:
            rows = connection.execute(
                "SELECT sequence, event, entity_name, updated_entity_name, entity_version, container,"
                " original_state, updated_state, context FROM journal WHERE sequence > ?"
                " ORDER BY ordinal DESC LIMIT ?",
                (after, -1 if limit is None else limit),
            ).fetchall()
        return tuple(
            JournalEntry(
                sequence=row[0],
                event=row[1],
                timestamp=moment_of(row[0]),
                database=database,
                entity_name=row[2],
                updated_entity_name=row[3],
                entity_version=row[4],
                container=row[5],
                original_state=row[6],
                updated_state=row[7],
                context=ChangeContext(*json.loads(row[8])),
            )
            for row in reversed(rows)
        )

    # -- leases

    def acquire_lease(self, name: str, holder: str, seconds: float, now: int | None = None) -> bool:
        """Take or renew a named lease (ticks for ``now``); False while another holder's runs."""
        moment = self._clock() if now is None else now
        with self.transaction(durable=False) as transaction:
            row = transaction.execute("SELECT holder, until FROM leases WHERE name = ?", (name,)).fetchone()
            if row is not None and row[0] != holder and row[1] > moment:
                return False
            until = moment + int(seconds * 10_000_000)
            transaction.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (name, holder, until))
            return True

    def release_lease(self, name: str, holder: str) -> None:
        """Give a lease back, if it is still this holder's."""
        with self.transaction(durable=False) as transaction:
            transaction.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (name, holder))
