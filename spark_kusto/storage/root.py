"""The directory of an embedded cluster, and its databases."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spark_kusto.errors import EntityExistsError, EntityNotFoundError, NotAClusterError, StorageError, nearest
from spark_kusto.storage import files as fs
from spark_kusto.storage.catalog import Catalog, Transaction
from spark_kusto.storage.database import Database
from spark_kusto.storage.model import ChangeContext, Entity, EntityChange, Finding, JournalEntry
from spark_kusto.storage.sequence import moment_of, ticks_now, ticks_of
from spark_kusto.storage.sweeping import GRACE_SECONDS
from spark_kusto.storage.tables import check_name

CLUSTER_FILE = "cluster.sqlite"
DEFAULT_DATABASE = "NetDefaultDB"
"""What a new cluster has, like the Kusto emulator."""

CLUSTER_TABLES = """
CREATE TABLE databases (
    id TEXT PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE, pretty_name TEXT NOT NULL, kind TEXT NOT NULL,
    created_on INTEGER NOT NULL, dropped_on INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX live_databases ON databases (name) WHERE dropped_on IS NULL;
"""

_ABANDONED_SECONDS = 3600.0
"""Age from which a database folder that no row names is a creation that did not finish."""


@dataclass(frozen=True)
class DatabaseDetails:
    """What the cluster knows of a database.

    Attributes:
        kind: ``ReadWrite``, or ``ReadOnlyFollowing``.
    """

    id: str
    name: str
    pretty_name: str
    kind: str
    created_on: dt.datetime


class Root:
    """An embedded cluster's directory. Open it with :meth:`open`."""

    def __init__(self, path: Path, clock: Callable[[], int] = ticks_now) -> None:
        self.path = path
        self.clock = clock
        self.catalog = Catalog(path / CLUSTER_FILE, CLUSTER_TABLES, clock)
        self._databases: dict[str, Database] = {}
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return f"<Root {str(self.path)!r}>"

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], create: bool = True, *, clock: Callable[[], int] = ticks_now
    ) -> Root:
        """Open a cluster's directory.

        Args:
            path: the directory.
            create: make a new cluster, with :data:`DEFAULT_DATABASE`, if the directory is absent or
                empty. Several processes may do so at once.
            clock: gives the time in ticks; for tests.

        Raises:
            NetworkFileSystemError: the directory is on a network file system.
            NotAClusterError: it holds something else, or nothing and ``create`` is False.
            NewerFormatError: a newer version of this package wrote it.
            StorageError: it cannot be written.
        """
        root = Path(os.path.abspath(os.path.expanduser(path)))
        fs.require_local(root)
        with fs.storage_errors("open", root):
            is_file = root.exists() and not root.is_dir()
        if is_file:
            raise NotAClusterError(
                f"'{root}' is a file.", remedy="Give the directory of a cluster, or one to be created."
            )
        opened = cls(root, clock)
        if (root / CLUSTER_FILE).exists():
            _require_writable(root)
            if not create:
                opened.catalog.check_format()
                return opened
        else:
            _require_room_for_cluster(root, create)
        opened._create()
        return opened

    def _create(self) -> None:
        with fs.storage_errors("create", self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        _require_writable(self.path)
        if not (self.path / CLUSTER_FILE).exists():
            fs.require_links(self.path)
        with fs.storage_errors("create", self.catalog.path):
            self.catalog.initialize([("INSERT INTO meta VALUES ('id', ?)", (str(uuid.uuid4()),))])
        if not self.database_names():
            self._create_first_database()

    def _create_first_database(self) -> None:
        with self.catalog.connected() as connection:
            if connection.execute("SELECT count(*) FROM databases").fetchone()[0]:
                return  # there were some, and they were dropped
        self.create_database(DEFAULT_DATABASE, if_not_exists=True)

    @property
    def id(self) -> str:
        """The cluster's own id, a GUID."""
        return str(self.catalog.meta("id"))

    def close(self) -> None:
        """Close all connections."""
        with self._guard:
            databases = list(self._databases.values())
        for database in databases:
            database.close()
        self.catalog.close()

    # -- databases

    def databases(self) -> tuple[DatabaseDetails, ...]:
        """All databases, by name."""
        with self.catalog.connected() as connection:
            rows = connection.execute(
                "SELECT id, name, pretty_name, kind, created_on FROM databases WHERE dropped_on IS NULL"
                " ORDER BY name"
            ).fetchall()
        return tuple(DatabaseDetails(i, n, p, k, moment_of(c)) for i, n, p, k, c in rows)

    def database_names(self) -> tuple[str, ...]:
        """Names of all databases."""
        return tuple(details.name for details in self.databases())

    def database(self, name: str) -> Database:
        """A database by name, in any case.

        Raises:
            EntityNotFoundError: there is none; the nearest is offered.
        """
        with self.catalog.connected() as connection:
            row = connection.execute(
                "SELECT id, name FROM databases WHERE name = ? AND dropped_on IS NULL", (name,)
            ).fetchone()
        if row is None:
            names = self.database_names()
            raise EntityNotFoundError(
                kind="Database",
                name=name,
                container=f"cluster '{self.path}'",
                candidates=names,
                remedy=None if nearest(name, names) else _known_databases(names, name),
            )
        with self._guard:
            found = self._databases.get(row[0])
            if found is None or found.name != row[1]:
                found = Database(self.path / row[0], row[1], row[0], clock=self.clock)
                self._databases[row[0]] = found
        return found

    def create_database(
        self,
        name: str,
        if_not_exists: bool = False,
        *,
        pretty_name: str = "",
        kind: str = "ReadWrite",
        context: ChangeContext | None = None,
    ) -> Database:
        """Create a database.

        Raises:
            EntityExistsError: the name is taken (in any case), and ``if_not_exists`` is False.
        """
        check_name("Database", name)
        if any(known.lower() == name.lower() for known in self.database_names()):
            if if_not_exists:
                return self.database(name)
            raise EntityExistsError(kind="Database", name=name, remedy="Choose another name.")
        database_id = str(uuid.uuid4())
        created = Database(self.path / database_id, name, database_id, clock=self.clock)
        with fs.storage_errors("create", created.path):
            for folder in (created.path, created.extents_path, created.staging_path):
                folder.mkdir()
            fs.reached("database.folders")
            created.catalog.initialize()
            fs.sync_folder(created.path)
            fs.sync_folder(self.path)
        fs.reached("database.initialized")
        with self.catalog.transaction(context) as transaction:
            taken = transaction.execute(
                "SELECT 1 FROM databases WHERE name = ? AND dropped_on IS NULL", (name,)
            ).fetchone()
            if taken is None:
                self._insert_database(transaction, database_id, name, pretty_name, kind)
        if taken is not None:
            # Another process was faster; what we made was never visible.
            created.close()
            shutil.rmtree(created.path, ignore_errors=True)
            if not if_not_exists:
                raise EntityExistsError(kind="Database", name=name, remedy="Choose another name.")
        return self.database(name)

    def _insert_database(
        self, transaction: Transaction, database_id: str, name: str, pretty_name: str, kind: str
    ) -> None:
        transaction.execute(
            "INSERT INTO databases VALUES (?, ?, ?, ?, ?, NULL)",
            (database_id, name, pretty_name, kind, self.clock()),
        )
        transaction.journal("CREATE-DATABASE", name)

    def alter_database(
        self, name: str, *, pretty_name: str, context: ChangeContext | None = None
    ) -> DatabaseDetails:
        """Set a database's pretty name."""
        database = self.database(name)
        with self.catalog.transaction(context) as transaction:
            transaction.execute(
                "UPDATE databases SET pretty_name = ? WHERE id = ?", (pretty_name, database.id)
            )
            transaction.journal("ALTER-DATABASE", database.name, after=pretty_name)
        return next(details for details in self.databases() if details.id == database.id)

    def drop_database(
        self, name: str, if_exists: bool = False, *, context: ChangeContext | None = None
    ) -> bool:
        """Drop a database; its directory goes with a sweep after the grace period.

        Returns:
            Whether there was one.

        Raises:
            EntityNotFoundError: there is none, and ``if_exists`` is False.
        """
        try:
            database = self.database(name)
        except EntityNotFoundError:
            if if_exists:
                return False
            raise
        with self.catalog.transaction(context) as transaction:
            transaction.execute(
                "UPDATE databases SET dropped_on = ? WHERE id = ?", (self.clock(), database.id)
            )
            transaction.execute("DELETE FROM entities WHERE owner = ?", (database.id,))
            transaction.journal("DROP-DATABASE", database.name)
        with self._guard:
            self._databases.pop(database.id, None)
        return True

    # -- what belongs to the cluster

    def journal(self, after: int = 0, limit: int | None = None) -> tuple[JournalEntry, ...]:
        """The cluster's own journal: databases, principals, followers."""
        return self.catalog.journal("", after, limit)

    def entities(
        self, kind: str | None = None, owner: str | None = None, name: str | None = None
    ) -> tuple[Entity, ...]:
        """Stored principals, followers, operations ... (see :meth:`Catalog.entities`)."""
        return self.catalog.entities(kind, owner, name)

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
        """Store or remove entities of the cluster in one commit; returns its sequence."""
        return self.catalog.change_entities(
            changes, event=event, entity=entity, before=before, after=after, context=context
        )

    def sweep(self, now: dt.datetime | None = None, *, grace_seconds: float = GRACE_SECONDS) -> int:
        """Sweep all databases and remove directories of dropped ones; returns how many files and directories
        went."""
        removed = 0
        for name in self.database_names():
            swept = self.database(name).sweep(now, grace_seconds=grace_seconds)
            removed += swept.staging_files + swept.orphans + len(swept.extents)
        moment = self.clock() if now is None else ticks_of(now)
        with self.catalog.connected() as connection:
            rows = dict(connection.execute("SELECT id, dropped_on FROM databases").fetchall())
        for entry in os.scandir(self.path):
            if not entry.is_dir() or not _is_guid(entry.name):
                continue
            if entry.name not in rows and _holds_data(Path(entry.path)):
                # Not a creation that was cut short: a database that a restored list of databases lacks.
                continue
            dropped_on = rows.get(entry.name, _creation(entry) if entry.name not in rows else None)
            wait = grace_seconds if entry.name in rows else _ABANDONED_SECONDS
            if dropped_on is not None and dropped_on + int(wait * 10_000_000) < moment:
                shutil.rmtree(entry.path, ignore_errors=True)
                removed += 1
        return removed

    def check(self, *, read: bool = True) -> Iterator[Finding]:
        """Yield everything that is wrong with the cluster's files (see :meth:`Checking.check`)."""
        for details in self.databases():
            folder = self.path / details.id
            if not (folder / "catalog.sqlite").exists():
                yield Finding("error", details.name, "", "", f"'{folder}' is missing or has no catalog")
                continue
            yield from self.database(details.name).check(read=read)


def _creation(entry: os.DirEntry[str]) -> int:
    return ticks_of(dt.datetime.fromtimestamp(entry.stat().st_mtime, dt.timezone.utc))


def _holds_data(folder: Path) -> bool:
    try:
        return any(os.scandir(folder / "extents"))
    except OSError:
        return False


def _is_guid(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _known_databases(names: Sequence[str], wanted: str) -> str:
    if not names:
        return "The cluster has no database."
    return (
        f"There is {', '.join(repr(name) for name in names)}; `.create database {wanted}`, executed in one of"
        " these, makes another."
    )


def _require_writable(root: Path) -> None:
    effective = os.access in os.supports_effective_ids
    if not os.access(root, os.W_OK | os.X_OK, effective_ids=effective):
        raise StorageError(
            f"The cluster directory '{root}' is not writable by this user.",
            remedy="Give this user write permission (readers too need it, for the catalog's shared memory), "
            "or choose another directory.",
        )


def _require_room_for_cluster(root: Path, create: bool) -> None:
    """Refuse directories that hold something that is not ours."""
    if not create:
        state = "has no cluster in it" if root.exists() else "does not exist"
        raise NotAClusterError(
            f"'{root}' {state}.",
            remedy="Give the directory of a cluster; connect(path) and a write by Spark make one.",
        )
    if not root.exists():
        return
    with fs.storage_errors("list", root):
        foreign = [name for name in sorted(os.listdir(root)) if not _is_ours(name)]
        databases = [name for name in sorted(os.listdir(root)) if _is_guid(name) and _holds_data(root / name)]
    if databases:
        raise NotAClusterError(
            f"'{root}' holds databases ('{databases[0]}'), but its '{CLUSTER_FILE}', which lists them, is"
            " missing.",
            remedy=f"Restore '{CLUSTER_FILE}' from a backup, or give an empty or new directory.",
        )
    if foreign:
        raise NotAClusterError(
            f"'{root}' is not a cluster: it holds '{foreign[0]}'"
            + (f" and {len(foreign) - 1} more." if len(foreign) > 1 else "."),
            remedy="Give an empty or new directory.",
        )


def _is_ours(name: str) -> bool:
    # What a creation that was killed, or runs in another process this moment, leaves.
    return name.startswith((CLUSTER_FILE, ".probe-")) or _is_guid(name)
