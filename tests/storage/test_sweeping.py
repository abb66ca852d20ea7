"""Sweeps beside writers: with clocks that jump, leases, crashes and lost rows, never a file too many."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from spark_kusto.errors import IngestConflictError
from spark_kusto.storage import Database, Root, StagedFile, renew_lease, stage_batches
from spark_kusto.storage.sequence import moment_of, ticks_now
from spark_kusto.types import Column, KustoType
from tests.storage.rows import ingest, read

LEASE = 3600.0
HOUR = 3600 * 10_000_000


class Sweeps(RuleBasedStateMachine):
    """Operations that begin, stage, renew, commit, abort or die, while sweeps run at any time."""

    operations = Bundle("operations")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = ticks_now()
        self.root = Root.open(self.folder / "c", clock=lambda: self.now)
        self.database: Database = self.root.database("NetDefaultDB")
        self.database.create_table("T", [Column("a", KustoType.LONG)])
        self.committed: list[int] = []
        self.next_value = 0
        self.alive: dict[str, dict[str, Any]] = {}

    def teardown(self) -> None:
        self.now += 30 * 24 * HOUR
        self.root.sweep()
        self.root.sweep()
        assert os.listdir(self.database.staging_path) == []
        live = {Path(e.path).name for e in self.database.snapshot().table("T").extents}
        assert set(os.listdir(self.database.extents_path)) == live
        assert read(self.database, "T") == sorted(self.committed)
        self.root.close()
        shutil.rmtree(self.folder)

    def seconds(self) -> float:
        return moment_of(self.now).timestamp()

    @rule(target=operations)
    def begin(self) -> Any:
        operation = self.database.begin_ingest("T", lease_seconds=LEASE)
        self.alive[operation.id] = {"until": self.now + int(LEASE * 10_000_000), "files": []}
        return operation

    @rule(operation=operations)
    def stage(self, operation: Any) -> None:
        known = self.alive.get(operation.id)
        if known is None:
            return
        value = self.next_value
        self.next_value += 1
        try:
            staged = stage_batches(operation, [pa.record_batch({"a": pa.array([value])})])
        except IngestConflictError:
            assert known["until"] < self.now, "a living operation can stage"
            return
        self.renewed(operation, known)
        known["files"] += [(staged[0], value)]

    @rule(operation=operations)
    def renew(self, operation: Any) -> None:
        known = self.alive.get(operation.id)
        if known is None:
            return
        try:
            self.renewed(operation, known)
        except IngestConflictError:
            assert known["until"] < self.now

    def renewed(self, operation: Any, known: dict[str, Any]) -> None:
        renew_lease(operation, now=self.seconds())
        # A lease that had run out may have been noticed by a sweep; then a renewal changes nothing.
        if known["until"] >= self.now:
            known["until"] = self.now + int(LEASE * 10_000_000)

    @rule(operation=consumes(operations), twice=st.booleans())
    def commit(self, operation: Any, twice: bool) -> None:
        known = self.alive.pop(operation.id, None)
        if known is None:
            return
        files = [file for file, _ in known["files"]]
        try:
            self.database.commit_ingest(operation, files)
            if twice:
                assert self.database.commit_ingest(operation, files).replayed
        except IngestConflictError:
            assert known["until"] < self.now, "a living operation can commit"
            return
        self.committed += [value for _, value in known["files"]]

    @rule(operation=consumes(operations))
    def abort(self, operation: Any) -> None:
        if self.alive.pop(operation.id, None) is not None:
            self.database.abort_ingest(operation)

    @rule(operation=consumes(operations), linked=st.booleans())
    def die(self, operation: Any, linked: bool) -> None:
        """The driver is killed, perhaps in the middle of its commit."""
        known = self.alive.pop(operation.id, None)
        if known is not None and linked:
            self.link(known)

    def link(self, known: dict[str, Any]) -> None:
        for file, _ in known["files"]:
            target = self.database.extent_path(file.extent_id)
            if os.path.exists(file.path) and not target.exists():
                os.link(file.path, target)

    @rule(target=operations, operation=consumes(operations))
    def link_and_go_on(self, operation: Any) -> Any:
        """A commit failed after linking and will be tried again."""
        known = self.alive.get(operation.id)
        if known is not None:
            self.link(known)
        return multiple(operation)

    @rule(operation=consumes(operations))
    def lose_the_row(self, operation: Any) -> None:
        """The power went before the operation's row was on the disk; its driver is gone with it."""
        if self.alive.pop(operation.id, None) is not None:
            with self.database.catalog.connected() as connection:
                connection.execute("DELETE FROM operations WHERE id = ?", (operation.id,))

    @rule(hours=st.sampled_from([0.1, 0.6, 1.1, 5.0]))
    def wait(self, hours: float) -> None:
        self.now += int(hours * HOUR)

    @rule(ahead=st.sampled_from([0.0, 0.5]))
    def sweep(self, ahead: float) -> None:
        before = self.database.snapshot()
        self.database.sweep(moment_of(self.now + int(ahead * HOUR)) if ahead else None)
        if ahead:
            # Leases judged by a clock half an hour ahead: those that end by then may be gone.
            for known in self.alive.values():
                if known["until"] < self.now + int(ahead * HOUR):
                    known["until"] = min(known["until"], self.now - 1)
        assert self.database.snapshot() == before

    @rule()
    def replace_everything(self) -> None:
        value = self.next_value
        self.next_value += 1
        ingest(self.database, "T", {"a": [value]}, replace_extents="all")
        self.committed = [value]

    @rule()
    def merge(self) -> None:
        table = self.database.snapshot().table("T")
        if len(table.extents) > 1:
            self.database.merge_extents(table, table.extents)

    @invariant()
    def committed_rows_are_all_there(self) -> None:
        snapshot = self.database.snapshot()
        extents = snapshot.table("T").extents
        assert sum(extent.row_count for extent in extents) == len(self.committed)
        assert all(os.path.getsize(extent.path) == extent.size for extent in extents)

    @invariant()
    def files_of_living_operations_are_all_there(self) -> None:
        for known in self.alive.values():
            if known["until"] >= self.now:
                files: list[StagedFile] = [file for file, _ in known["files"]]
                assert all(os.path.exists(file.path) for file in files)


TestSweeps = Sweeps.TestCase
TestSweeps.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_readers_of_an_old_snapshot_keep_their_files_for_the_grace_period(database: Database) -> None:
    ingest(database, "T", {"a": [1]})
    snapshot = database.snapshot()
    database.drop_table("T")
    now = dt.datetime.now(dt.timezone.utc)
    database.sweep(now + dt.timedelta(hours=3, minutes=59))
    assert read(snapshot, "T") == [1]
    result = database.sweep(now + dt.timedelta(hours=4, minutes=1))
    assert result.extents == (snapshot.table("T").extents[0].id,)
    assert result.bytes == snapshot.table("T").size
    assert os.listdir(database.extents_path) == []


def test_a_sweep_beside_a_commit_that_has_linked_removes_nothing(database: Database) -> None:
    operation = database.begin_ingest("T", [Column("a", KustoType.LONG)], create=True)
    staged = stage_batches(operation, [pa.record_batch({"a": [1]})])
    os.link(staged[0].path, database.extent_path(staged[0].extent_id))
    assert database.sweep().orphans == 0
    database.commit_ingest(operation, staged)
    assert database.sweep().orphans == 0
    assert read(database, "T") == [1]


def test_what_ended_long_ago_is_forgotten(database: Database) -> None:
    ingest(database, "T", {"a": [1]})
    ingest(database, "Gone", {"a": [1]})
    database.drop_table("Gone")
    database.sweep(dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=15))
    assert [entry.event for entry in database.journal()] == ["CREATE-TABLE", "CREATE-TABLE", "DROP-TABLE"]
    with database.catalog.connected() as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("operations", "tables", "table_versions", "extents")
        ]
    assert counts == [0, 1, 1, 1]
    assert read(database, "T") == [1]


def test_leases_of_work_are_held_by_one(database: Database) -> None:
    catalog = database.catalog
    assert catalog.acquire_lease("maintenance", "one", 60)
    assert not catalog.acquire_lease("maintenance", "two", 60)
    assert catalog.acquire_lease("maintenance", "one", 60)
    catalog.release_lease("maintenance", "two")
    assert not catalog.acquire_lease("maintenance", "two", 60)
    assert catalog.acquire_lease("maintenance", "two", 60, now=ticks_now() + 2 * 60 * 10_000_000)
