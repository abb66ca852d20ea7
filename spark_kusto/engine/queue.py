"""Queued ingestion: staged files wait in the catalog until the table's batching policy is due.

An item is an entity of the database; the commit that makes its rows visible removes it, so that no
crash loses an item or commits it twice. Whoever has the database open when an item is due commits
it: a timer of the process that put it there, or the next one that opens or asks the database.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_kusto.engine import policies
from spark_kusto.engine.ingesting import QUEUE_LEASE_SECONDS, IngestOutcome
from spark_kusto.engine.staging import EngineIngest
from spark_kusto.errors import (
    CorruptExtentError,
    EntityNotFoundError,
    IngestConflictError,
    IngestError,
    KustoError,
    QueryTimeoutError,
    StorageBusyError,
    StorageError,
)
from spark_kusto.storage import EntityChange, IngestOperation, StagedFile, StoredColumn
from spark_kusto.storage.sequence import moment_of
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.engine.engine import Engine
    from spark_kusto.storage import ChangeContext, Database, Entity

log = logging.getLogger("spark_kusto.engine")

KIND = "queue"
"""Kind of the entities that wait; their owner is the table's id, their name the operation's."""

_POLL_SECONDS = 0.05
_TIMER_LEEWAY = 0.02
_PATIENCE_SECONDS = 2.0
"""What a query waits for another process's transaction before it leaves the queue to a later one."""

_RETRY_SECONDS = 1.0
"""Until an item is tried again whose commit failed for a passing reason, such as a busy catalog."""


@dataclass(frozen=True)
class QueueState:
    """Where a queued ingestion is: queued, committed, skipped, replayed or failed."""

    status: str
    database: str
    table: str
    enqueued: dt.datetime
    updated: dt.datetime
    failure: str = ""
    sequence: int | None = None


class IngestionQueue:
    """The queues of an engine's databases."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._guard = threading.Lock()
        self._closed = False
        self._looked: dict[str, tuple[int, float]] = {}
        """By database: the sequence at the last look, and when the next item is due (seconds since 1970)."""
        self._timers: dict[str, threading.Timer] = {}

    # -- put

    def put(
        self,
        database: Database,
        ingest: EngineIngest,
        operation: IngestOperation,
        files: Sequence[StagedFile],
        *,
        writer_id: str | None,
        batch_id: int | None,
        context: ChangeContext | None,
    ) -> IngestOutcome:
        """Accept staged files; they are safe once this returns."""
        properties = ingest.properties
        value = {
            "operation": _operation_json(operation),
            "files": [_file_json(file) for file in files],
            "tags": list(properties.tags),
            "unless": list(properties.ingest_if_not_exists),
            "created": properties.creation_time.isoformat() if properties.creation_time else None,
            "flush": properties.flush_immediately,
            "writer": writer_id,
            "batch": batch_id,
            "enqueued": time.time(),
            "raw": sum(file.original_size for file in files),
            "rows": sum(file.row_count for file in files),
            "bytes": sum(file.size for file in files),
        }
        with database.catalog.transaction(context) as transaction:
            row = transaction.execute("SELECT state FROM operations WHERE id = ?", (operation.id,)).fetchone()
            # Committed: the queue was faster than a caller that hands the same files over again.
            if row is None or row[0] not in ("active", "committed", "skipped"):
                raise IngestConflictError(
                    f"Ingest operation '{operation.id}' into table '{operation.table}' is over; nothing was"
                    " queued.",
                    remedy="Begin a new operation and stage the data again.",
                )
            transaction.put_entities([EntityChange(KIND, operation.table_id, operation.id, value)])
            # What was accepted stays, however short the lease for staging it was.
            transaction.execute(
                "UPDATE operations SET lease_until = max(lease_until, ?) WHERE id = ?",
                (database.clock() + int(QUEUE_LEASE_SECONDS * 10_000_000), operation.id),
            )
        try:
            self.process(database)
        except KustoError:
            # The data is accepted: a failure now would make the caller send it again.
            self._schedule(database, time.time() + _RETRY_SECONDS)
        return IngestOutcome(
            operation_id=operation.id,
            status="queued",
            rows=value["rows"],  # type: ignore[arg-type]
            bytes=value["bytes"],  # type: ignore[arg-type]
            extents=(),
            sequence=None,
            seconds=time.time() - ingest.started,
        )

    # -- processing

    def poll(self, database: Database) -> None:
        """Commit what is due. Costs one look at the catalog while nothing is.

        Whoever asks the database asks for something else: what cannot be committed now is tried again.
        """
        sequence = database.catalog.last_sequence()
        looked = self._looked.get(database.id)
        if looked is not None and looked[0] == sequence and time.time() < looked[1]:
            return
        try:
            if self._has_due(database) and not database.catalog.is_free(_PATIENCE_SECONDS):
                self._later(database, sequence)
                return
            self.process(database)
        except KustoError as error:
            log.warning("The queue of database '%s' has to wait: %s", database.name, error)
            self._later(database, sequence)

    def _has_due(self, database: Database) -> bool:
        now = time.time()
        tables = self._by_table(database)
        return any(self._due(database, table, items) <= now for table, items in tables.items())

    def _later(self, database: Database, sequence: int) -> None:
        due = time.time() + _RETRY_SECONDS
        self._looked[database.id] = (sequence, due)
        self._schedule(database, due)

    def settle(self, database: Database, table: str, writer_id: str) -> None:
        """Commit what a writer has queued for a table before a later batch of it is committed.

        The later batch would make the queued ones look like replays.

        Raises:
            StorageBusyError: it cannot be committed now.
        """
        for item in self._by_table(database).get(table, ()):
            if item.value["writer"] == writer_id and not self._commit(database, item):
                raise StorageBusyError(
                    f"What writer '{writer_id}' has queued for table '{table}' cannot be committed now,"
                    " and has to be before its next batch.",
                    remedy="Try again.",
                )

    def process(self, database: Database, *, flush: bool = False) -> int:
        """Commit the items that are due (all with ``flush``); returns how many."""
        sequence = database.catalog.last_sequence()
        now = time.time()
        next_due = float("inf")
        done = 0
        for table, items in self._by_table(database).items():
            due = self._due(database, table, items)
            if due <= now or flush:
                for item in items:
                    if not self._commit(database, item):
                        # The next ones wait, too: a writer's later batch makes an earlier one a replay.
                        next_due = min(next_due, time.time() + _RETRY_SECONDS)
                        break
                    done += 1
            else:
                next_due = min(next_due, due)
        self._looked[database.id] = (sequence if not done else database.catalog.last_sequence(), next_due)
        if done:
            self._engine.after_commit(database)
        self._schedule(database, next_due)
        return done

    @staticmethod
    def _by_table(database: Database) -> dict[str, list[Entity]]:
        """What waits, by the table's name, in the order in which it was accepted.

        Not by its id, which is not settled yet where the queued data will create the table.
        """
        tables: dict[str, list[Entity]] = {}
        for entity in sorted(database.entities(KIND), key=lambda item: item.sequence):
            tables.setdefault(entity.value["operation"]["table"], []).append(entity)
        return tables

    @staticmethod
    def _due(database: Database, table: str, items: Sequence[Entity]) -> float:
        """When a table's batch is full by its policy (seconds since 1970)."""
        known = database.snapshot().tables.get(table)
        owner = items[0].owner if known is None else known.id
        policy = policies.effective(database, "ingestionbatching", owner)
        if any(item.value["flush"] for item in items):
            return 0.0
        if len(items) >= int(policy["MaximumNumberOfItems"]):
            return 0.0
        if sum(item.value["raw"] for item in items) >= int(policy["MaximumRawDataSizeMB"]) << 20:
            return 0.0
        span = policies.period(policy["MaximumBatchingTimeSpan"], dt.timedelta(minutes=5))
        return min(float(item.value["enqueued"]) for item in items) + span.total_seconds()

    def _commit(self, database: Database, item: Entity) -> bool:
        """Commit an item; False where it has to be tried again."""
        value = item.value
        operation = _operation_of(value["operation"])
        try:
            database.commit_ingest(
                operation,
                [_file_of(file) for file in value["files"]],
                tags=value["tags"],
                created_on=dt.datetime.fromisoformat(value["created"]) if value["created"] else None,
                writer_id=value["writer"],
                batch_id=value["batch"],
                ingest_if_not_exists=value["unless"],
                entities=[EntityChange(KIND, item.owner, item.name, None)],
                context=self._engine.context(f".ingest into table {operation.table} (queued)"),
            )
        except KustoError as error:
            # Only what is wrong with the data themselves, or with their table, ends what was accepted: a disk
            # that fails, or a process that is out of file handles, may be well later.
            of_storage = isinstance(error, StorageError) and not isinstance(error, CorruptExtentError)
            if of_storage or not error.permanent:
                return False
            self._engine.failures.record(
                database,
                operation.table,
                f"operation {operation.id}",
                error,
                kind="queued ingestion",
                operation_id=operation.id,
            )
            database.abort_ingest(operation)
        # A commit that did nothing (another process was faster, or a replay) leaves the item behind.
        if database.entity(KIND, item.name, item.owner) is not None:
            with database.catalog.transaction() as transaction:
                transaction.put_entities([EntityChange(KIND, item.owner, item.name, None)])
        return True

    def _schedule(self, database: Database, due: float) -> None:
        with self._guard:
            timer = self._timers.pop(database.id, None)
            if timer is not None:
                timer.cancel()
            if self._closed or due == float("inf"):
                return
            timer = threading.Timer(
                max(due - time.time(), 0) + _TIMER_LEEWAY, self._on_timer, args=(database,)
            )
            timer.daemon = True
            self._timers[database.id] = timer
            timer.start()

    def _on_timer(self, database: Database) -> None:
        try:
            self.process(database)
        except KustoError:
            # The catalog is busy, or gone; nobody else may ask this database for long.
            self._schedule(database, time.time() + _RETRY_SECONDS)

    def close(self) -> None:
        """Stop timers; what waits stays in the queue."""
        with self._guard:
            self._closed = True
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    # -- asking

    def state(self, operation_id: str) -> QueueState:
        """Where an ingestion is.

        Raises:
            EntityNotFoundError: no such ingestion is known.
        """
        for name in self._engine.root.database_names():
            database = self._engine.root.database(name)
            with database.catalog.connected() as connection:
                row = connection.execute(
                    "SELECT table_name, state, created_on, sequence FROM operations WHERE id = ?",
                    (operation_id,),
                ).fetchone()
            if row is None:
                continue
            table, state, created, sequence = row
            started = moment_of(created)
            failure = self._engine.failures.of(operation_id)
            if failure is not None:
                failed = dt.datetime.fromisoformat(failure["on"])
                return QueueState("failed", name, table, started, failed, failure["details"])
            if state == "active":
                return QueueState("queued", name, table, started, started)
            ended = moment_of(sequence) if sequence else started
            if state in ("committed", "skipped"):
                return QueueState(state, name, table, started, max(ended, started), sequence=sequence)
            return QueueState("failed", name, table, started, started, f"The operation is {state}.")
        raise EntityNotFoundError(
            kind="Ingestion", name=operation_id, remedy="Give the operation_id of an ingestion's result."
        )

    def wait(self, operation_id: str, seconds: float | None) -> IngestOutcome:
        """Wait until an ingestion is visible.

        Raises:
            IngestError: it has failed.
            QueryTimeoutError: it was not visible in time; it goes on.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            state = self.state(operation_id)
            if state.status == "failed":
                raise IngestError(
                    f"Queued ingestion '{operation_id}' into table '{state.table}' has failed: "
                    f"{state.failure}"
                )
            database = self._engine.root.database(state.database)
            if state.status != "queued":
                return self._visible(database, operation_id, state)
            if deadline is not None and time.monotonic() > deadline:
                raise QueryTimeoutError(
                    f"Queued ingestion '{operation_id}' into table '{state.table}' is not visible after "
                    f"{seconds:g} s.",
                    remedy="It goes on; wait longer, or shorten the table's ingestionbatching policy.",
                )
            self.poll(database)
            time.sleep(_POLL_SECONDS)

    @staticmethod
    def _visible(database: Database, operation_id: str, state: QueueState) -> IngestOutcome:
        seconds = (state.updated - state.enqueued).total_seconds()
        table = database.snapshot().tables.get(state.table)
        extents = tuple(
            extent
            for extent in (table.extents if table is not None else ())
            if extent.added_sequence == state.sequence
        )
        return IngestOutcome(
            operation_id=operation_id,
            status=state.status,
            rows=sum(extent.row_count for extent in extents) if state.status == "committed" else 0,
            bytes=sum(extent.size for extent in extents) if state.status == "committed" else 0,
            extents=extents if state.status == "committed" else (),
            sequence=state.sequence,
            seconds=seconds,
        )


# -- as JSON ------------------------------------------------------------------------------------------


def _column_json(column: StoredColumn) -> list[Any]:
    return [column.id, column.name, column.type.value, column.docstring]


def _column_of(value: list[Any]) -> StoredColumn:
    return StoredColumn(value[0], value[1], KustoType(value[2]), value[3])


def _operation_json(operation: IngestOperation) -> dict[str, Any]:
    value = {name: getattr(operation, name) for name in IngestOperation.__dataclass_fields__}
    value["columns"] = [_column_json(column) for column in operation.columns]
    value["added"] = list(operation.added)
    return value


def _operation_of(value: dict[str, Any]) -> IngestOperation:
    given = dict(value)
    given["columns"] = tuple(_column_of(column) for column in given["columns"])
    given["added"] = tuple(given["added"])
    return IngestOperation(**given)


def _file_json(file: StagedFile) -> dict[str, Any]:
    value = {name: getattr(file, name) for name in StagedFile.__dataclass_fields__}
    value["fields"] = {str(key): item for key, item in file.fields.items()}
    return value


def _file_of(value: dict[str, Any]) -> StagedFile:
    given = dict(value)
    given["fields"] = {int(key): item for key, item in given["fields"].items()}
    given["row_groups"] = tuple(given["row_groups"])
    return StagedFile(**given)
