"""Removing what nobody needs any more: staging of dead operations, orphans, extents past their grace.

Decisions are made inside a write transaction, so no commit happens between looking and removing.
Two facts keep the files of writers safe: staging is removed only when an operation's lease has run
out (or it is over), and a file in ``extents/`` that no row names is removed only when it has no
second link in staging any more.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from spark_kusto.storage import files as fs
from spark_kusto.storage.catalog import Transaction
from spark_kusto.storage.extents import ExtentChanges
from spark_kusto.storage.ingestion import LEASE_FILE, LEASE_SECONDS
from spark_kusto.storage.model import IngestOperation, SweepResult
from spark_kusto.storage.sequence import ticks_of

GRACE_SECONDS = 4 * 3600.0
"""How long files of removed extents stay for readers of older snapshots."""

KEPT_OPERATION_SECONDS = 14 * 86_400.0
"""How long the catalog remembers finished operations, dropped tables, and ingests in its journal."""

_UNIX_TICKS = 621_355_968_000_000_000


def lease_of(folder: Path, seconds: float) -> int:
    """Ticks until which an operation's staging folder is alive by its last sign of life; 0 if none."""
    try:
        status = os.stat(folder / LEASE_FILE)
    except FileNotFoundError:
        return 0
    return status.st_mtime_ns // 100 + _UNIX_TICKS + int(seconds * 10_000_000)


WRITER_FILE = ".writer"
"""File in an operation's staging folder that names the writer whose batch it stages."""


def name_writer(operation: IngestOperation, writer_id: str) -> None:
    """Say on an executor whose batch an operation stages, for :meth:`Sweeping.end_attempts`."""
    with suppress(FileNotFoundError):
        Path(operation.staging, WRITER_FILE).write_text(writer_id, encoding="utf-8")


class Sweeping(ExtentChanges):
    """The clean-up of a database's directory."""

    def sweep(self, now: dt.datetime | None = None, *, grace_seconds: float = GRACE_SECONDS) -> SweepResult:
        """Remove staging of expired operations, orphaned files, and extents removed long ago.

        Args:
            now: the time to judge leases and grace by; None means the clock's.
            grace_seconds: how long files of removed extents stay.

        Safe to run at any time, in any number of processes, and to be killed.
        """
        moment = self.clock() if now is None else ticks_of(now)
        expired: list[str] = []
        with self.catalog.transaction() as transaction:
            expired = self._expire(transaction, moment)
            purged = self._purge(transaction, moment - int(grace_seconds * 10_000_000))
            self._forget(transaction, moment - int(KEPT_OPERATION_SECONDS * 10_000_000))
            transaction.execute("INSERT OR REPLACE INTO meta VALUES ('swept_on', ?)", (moment,))
        fs.reached("sweep.recorded")
        freed = 0
        for extent_id in purged:
            freed += fs.remove_file(self.extent_path(extent_id))
            fs.reached("sweep.unlinked")
        staging_files = self._sweep_staging(moment)
        orphans, more = self._sweep_orphans()
        return SweepResult(tuple(expired), staging_files, orphans, tuple(purged), freed + more)

    def seconds_since_sweep(self) -> float | None:
        """How long ago any process has swept; None if none ever has."""
        with self.catalog.connected() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'swept_on'").fetchone()
        return None if row is None else max(0.0, (self.clock() - int(row[0])) / 10_000_000)

    def end_attempts(self, table: str, writer_id: str, but: str = "") -> int:
        """Abort what a writer has begun for a table.

        A writer commits one batch at a time. What it has begun besides are attempts whose driver died, or
        whose tasks all failed, so that no message named them to an abort.

        Args:
            table: the table's name.
            writer_id: who has named himself by :func:`name_writer`.
            but: id of an operation that is left alone.

        Returns:
            How many there were.
        """
        ended = 0
        for name in _listed(self.staging_path):
            if name == but:
                continue
            try:
                found = (self.staging_path / name / WRITER_FILE).read_text(encoding="utf-8")
            except OSError:
                continue
            if found != writer_id:
                continue
            with self.catalog.transaction(durable=False) as transaction:
                changed = transaction.execute(
                    "UPDATE operations SET state = 'aborted' WHERE id = ? AND state = 'active'"
                    " AND table_name = ?"
                    " AND NOT EXISTS (SELECT 1 FROM entities WHERE kind = 'queue' AND name = operations.id)",
                    (name, table),
                ).rowcount
                row = transaction.execute(
                    "SELECT state FROM operations WHERE id = ? AND table_name = ?", (name, table)
                ).fetchone()
            if changed or (row is not None and row[0] == "committed"):
                # A commit whose process died before it cleaned up: its files are extents by now.
                self._remove_staging(name)
            ended += changed
        return ended

    def _expire(self, transaction: Transaction, moment: int) -> list[str]:
        expired: list[str] = []
        for operation_id, created, until in transaction.execute(
            "SELECT id, created_on, lease_until FROM operations WHERE state = 'active'"
            # What was accepted into the queue stays until it is committed, or its table is dropped.
            " AND NOT EXISTS (SELECT 1 FROM entities WHERE kind = 'queue' AND name = operations.id)"
        ).fetchall():
            seconds = (until - created) / 10_000_000
            if max(until, lease_of(self.staging_path / operation_id, seconds)) < moment:
                expired.append(operation_id)
        transaction.executemany(
            "UPDATE operations SET state = 'expired' WHERE id = ?", [(o,) for o in expired]
        )
        return expired

    def _purge(self, transaction: Transaction, before: int) -> list[str]:
        """Forget extents removed before a moment; returns ids of those whose file nothing needs."""
        rows = transaction.execute(
            "SELECT row, id, removed_sequence FROM extents WHERE removed_on < ?", (before,)
        ).fetchall()
        if not rows:
            return []
        transaction.executemany("DELETE FROM extents WHERE row = ?", [(row[0],) for row in rows])
        self._raise_horizon(transaction, max(row[2] for row in rows))
        return [
            extent_id
            for extent_id in {row[1] for row in rows}
            if transaction.execute("SELECT 1 FROM extents WHERE id = ? LIMIT 1", (extent_id,)).fetchone()
            is None
        ]

    @staticmethod
    def _raise_horizon(transaction: Transaction, sequence: int) -> None:
        transaction.execute("UPDATE meta SET value = max(value, ?) WHERE key = 'horizon'", (sequence,))

    def _forget(self, transaction: Transaction, before: int) -> None:
        """Forget operations and tables that ended long ago, and the journal of ingests and merges."""
        transaction.execute(
            "DELETE FROM operations WHERE state <> 'active' AND max(created_on, coalesce(sequence, 0)) < ?",
            (before,),
        )
        transaction.execute(
            "DELETE FROM journal WHERE sequence < ? AND event IN ('INGEST', 'MERGE-EXTENTS')", (before,)
        )
        dropped = transaction.execute(
            "SELECT id, dropped_sequence FROM tables WHERE dropped_sequence < ?"
            " AND NOT EXISTS (SELECT 1 FROM extents WHERE table_id = tables.id)",
            (before,),
        ).fetchall()
        for table_id, sequence in dropped:
            transaction.execute("DELETE FROM table_versions WHERE table_id = ?", (table_id,))
            transaction.execute("DELETE FROM tables WHERE id = ?", (table_id,))
            self._raise_horizon(transaction, sequence)

    def _sweep_staging(self, moment: int) -> int:
        removed = 0
        for name in _listed(self.staging_path):
            with self.catalog.connected() as connection:
                row = connection.execute("SELECT state FROM operations WHERE id = ?", (name,)).fetchone()
            if row is not None and row[0] == "active":
                continue
            # Without a row: the row was lost with the power, or forgotten, or begins this instant.
            folder = self.staging_path / name
            if row is None and max(lease_of(folder, LEASE_SECONDS), _made(folder)) >= moment:
                continue
            removed += self._remove_staging(name)
            fs.reached("sweep.staging")
        return removed

    def _sweep_orphans(self) -> tuple[int, int]:
        names = [name for name in _listed(self.extents_path) if name.endswith(".parquet")]
        with self.catalog.connected() as connection:
            suspects = [
                name
                for name in names
                if connection.execute(
                    "SELECT 1 FROM extents WHERE id = ? LIMIT 1", (name.removesuffix(".parquet"),)
                ).fetchone()
                is None
            ]
        count = freed = 0
        if not suspects:
            return 0, 0
        with self.catalog.transaction(durable=False) as transaction:
            for name in suspects:
                path = self.extents_path / name
                row = transaction.execute(
                    "SELECT 1 FROM extents WHERE id = ? LIMIT 1", (name.removesuffix(".parquet"),)
                ).fetchone()
                if row is None and _links(path) == 1:
                    freed += fs.remove_file(path)
                    count += 1
        return count, freed


def _listed(folder: Path) -> Iterable[str]:
    with fs.storage_errors("list", folder):
        return os.listdir(folder)


def _links(path: Path) -> int:
    try:
        return os.stat(path).st_nlink
    except FileNotFoundError:
        return 0


def _made(folder: Path) -> int:
    try:
        return os.stat(folder).st_mtime_ns // 100 + _UNIX_TICKS + int(LEASE_SECONDS * 10_000_000)
    except FileNotFoundError:
        return 0
