"""Maintenance: the queue, merges, retention, expired tables, and the sweep.

Done by whoever holds a database's maintenance lease: a little at the tail of a commit, all of it when
asked to. Nothing here is needed for answers to be right; it keeps reads fast and the disk small.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any

from spark_kusto.engine import policies
from spark_kusto.errors import EntityNotFoundError, IngestConflictError
from spark_kusto.storage.merging import MergePolicy, plan_merges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spark_kusto.engine.engine import Engine
    from spark_kusto.storage import Database, Extent, TableSnapshot

log = logging.getLogger("spark_kusto.engine")

COMMIT_BUDGET_SECONDS = 0.2
"""What a commit may spend on maintenance after it has returned its rows to readers."""

SWEEP_SECONDS = 600.0
"""Between sweeps at the tail of commits, in one process."""

COMMIT_EXTENT_BYTES = 4 << 20
"""At the tail of a commit only extents up to this size are merged: copying larger ones takes too long."""

COMMIT_MERGE_BYTES = 16 << 20
"""Bytes of one such merge."""

_LEASE = "maintenance"
_LEASE_SECONDS = 60.0
_DOUBLING = 2
_LEAST_EXTENTS = 16
"""A table with fewer extents is not looked at after commits."""


class Maintenance:
    """Maintains an engine's databases."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._holder = f"{socket.gethostname()}|{os.getpid()}|{uuid.uuid4()}"
        self._swept: dict[str, float] = {}
        self._looked: dict[str, int] = {}
        """By table: how many extents it had when its merges were last planned in vain."""

    # -- at the tail of a commit

    def after_commit(self, database: Database, budget: float = COMMIT_BUDGET_SECONDS) -> None:
        """Merge what the last commits left behind, within a time budget; never raises for it."""
        deadline = time.monotonic() + budget
        try:
            crowded = [table for table in database.snapshot().tables.values() if self._is_crowded(table)]
            if database.id not in self._swept:
                # Another process may have swept; jobs shorter than the interval would never do so else.
                age = database.seconds_since_sweep()
                self._swept[database.id] = time.monotonic() - (SWEEP_SECONDS + 1 if age is None else age)
            if not crowded and time.monotonic() - self._swept[database.id] < SWEEP_SECONDS:
                return
            if not database.catalog.acquire_lease(_LEASE, self._holder, _LEASE_SECONDS):
                return
            try:
                for table in crowded:
                    if time.monotonic() > deadline:
                        return
                    self.merge_table(database, table, deadline)
                if time.monotonic() - self._swept[database.id] > SWEEP_SECONDS:
                    self._swept[database.id] = time.monotonic()
                    database.sweep()
            finally:
                database.catalog.release_lease(_LEASE, self._holder)
        except Exception as error:  # noqa: BLE001 - who sees a failure would write the committed rows again
            log.warning("Maintenance of database '%s' after a commit failed: %s", database.name, error)

    def _is_crowded(self, table: TableSnapshot) -> bool:
        count = len(table.extents)
        looked = self._looked.get(table.id, 0)
        return count >= _LEAST_EXTENTS and (count < looked // _DOUBLING or count >= looked + _LEAST_EXTENTS)

    def merge_table(self, database: Database, table: TableSnapshot, deadline: float | None = None) -> int:
        """Merge a table's small extents by its policy; returns how many extents went away."""
        stored = policies.effective(database, "merge", table.id)
        if not stored.get("AllowMerge", True):
            return 0
        merged = 0
        for planned in plan_merges(table, MergePolicy.parse(stored)):
            group = planned if deadline is None else _quick(planned)
            if len(group) < 2:
                continue
            if deadline is not None and time.monotonic() > deadline:
                return merged
            try:
                database.merge_extents(table, group, context=self._context("merge"))
            except IngestConflictError:
                # An input was dropped or merged meanwhile: what is left is planned next time.
                continue
            merged += len(group)
        current = database.snapshot().tables.get(table.name)
        self._looked[table.id] = len(current.extents) if current is not None else 0
        return merged

    def _context(self, what: str) -> Any:
        return self._engine.context(f"maintenance: {what}")

    # -- all of it

    def run(self, now: dt.datetime | None = None) -> Mapping[str, int]:
        """Everything that is due in all databases; counts by name."""
        moment = now or dt.datetime.now(dt.timezone.utc)
        counts = {
            "queued": 0,
            "merged_extents": 0,
            "expired_extents": 0,
            "expired_tables": 0,
            "swept_files": 0,
            "freed_bytes": 0,
            "forgotten_operations": 0,
        }
        for name in self._engine.root.database_names():
            database = self._engine.root.database(name)
            counts["queued"] += self._engine.queue.process(database)
            if not database.catalog.acquire_lease(_LEASE, self._holder, _LEASE_SECONDS * 60):
                continue
            try:
                counts["expired_tables"] += self._expire_tables(database, moment)
                counts["expired_extents"] += self._expire_extents(database, moment)
                for table in database.snapshot().tables.values():
                    counts["merged_extents"] += self.merge_table(database, table)
                swept = database.sweep()
                counts["swept_files"] += swept.staging_files + swept.orphans + len(swept.extents)
                counts["freed_bytes"] += swept.bytes
            finally:
                database.catalog.release_lease(_LEASE, self._holder)
        counts["forgotten_operations"] = self._engine.operations.forget_old(
            moment
        ) + self._engine.failures.forget_old(moment)
        self._engine.root.sweep()
        return counts

    def _expire_extents(self, database: Database, now: dt.datetime) -> int:
        """Drop extents whose soft-delete period is over, in one commit."""
        while True:
            expired: list[str] = []
            for table in database.snapshot().tables.values():
                policy = policies.effective(database, "retention", table.id)
                span = policies.period(policy["SoftDeletePeriod"], dt.timedelta(days=365_000))
                try:
                    before = now - span
                except OverflowError:
                    continue
                expired += [extent.id for extent in table.extents if extent.max_created_on < before]
            try:
                if expired:
                    database.drop_extents(expired, context=self._context("retention"))
                return len(expired)
            except EntityNotFoundError:
                continue  # one was merged or dropped meanwhile: look again

    def _expire_tables(self, database: Database, now: dt.datetime) -> int:
        """Drop tables whose auto_delete policy says so."""
        expired: list[str] = []
        for table in database.snapshot().tables.values():
            policy = policies.stored(database, "auto_delete", table.id)
            if not isinstance(policy, dict) or not policy.get("ExpiryDate"):
                continue
            from spark_kusto.types.text import parse_datetime

            moment = parse_datetime(str(policy["ExpiryDate"]))
            empty = not table.row_count
            if moment is not None and moment < now and (empty or policy.get("DeleteIfNotEmpty", False)):
                expired.append(table.name)
        if expired:
            database.drop_tables(expired, if_exists=True, context=self._context("auto_delete"))
        return len(expired)


def _quick(group: Sequence[Extent]) -> tuple[Extent, ...]:
    """The part of a merge that fits into the time after a commit; empty if it is not worth it."""
    chosen: list[Extent] = []
    size = 0
    for extent in group:
        if extent.size <= COMMIT_EXTENT_BYTES and size + extent.size <= COMMIT_MERGE_BYTES:
            chosen.append(extent)
            size += extent.size
    return tuple(chosen) if len(chosen) >= MergePolicy.min_extents else ()


def merge_exactly(database: Database, table: TableSnapshot, ids: Sequence[str], context: Any) -> list[str]:
    """Merge the named extents into one, whatever the policy says; returns the new extents' ids."""
    wanted = set(ids)
    inputs = [extent for extent in table.extents if extent.id in wanted]
    if len(inputs) < 2:
        return [extent.id for extent in inputs]
    done = database.merge_extents(table, inputs, context=context)
    return [extent.id for extent in done.extents]
