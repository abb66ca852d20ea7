"""Asynchronous commands: run in the background, remembered in the cluster's catalog for two weeks."""

from __future__ import annotations

import base64
import datetime as dt
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from spark_kusto.engine.running import ResultTable
from spark_kusto.errors import EntityNotFoundError, KustoError, OptionError, redact
from spark_kusto.storage import EntityChange
from spark_kusto.storage.sequence import moment_of
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    from spark_kusto.engine.commands.table import Command, Request
    from spark_kusto.engine.engine import Engine

KIND = "operation"
KEPT = dt.timedelta(days=14)
_RESULT_BYTES = 1 << 20
"""Up to this size a result can be shown by other processes too."""

_THREADS = 4
_NAMES = {
    "set": "TableSet",
    "append": "TableAppend",
    "set-or-append": "TableSetOrAppend",
    "set-or-replace": "TableSetOrReplace",
    "ingest into table": "DataIngestPull",
    "move extents": "ExtentsMove",
    "move extents all": "ExtentsMove",
    "move extents by query": "ExtentsMove",
    "replace extents": "ExtentsReplace",
    "merge extents": "ExtentsMerge",
    "clear table data": "TableDataClear",
    "drop extent tags": "ExtentTagsDrop",
    "drop extent tags by query": "ExtentTagsDrop",
    "alter extent tags": "ExtentTagsAlter",
    "alter-merge extent tags": "ExtentTagsAlter",
    "delete table records": "TableRecordsDelete",
    "purge table records": "TableRecordsPurge",
}


@dataclass(frozen=True)
class Operation:
    """One asynchronous command, or one ingestion.

    Attributes:
        state: InProgress, Completed, Failed, Canceled, Abandoned, Skipped.
        holder: the process that runs it: ``host|pid``.
    """

    id: str
    operation: str
    database: str
    state: str
    status: str
    started: dt.datetime
    updated: dt.datetime
    root_id: str
    principal: str
    should_retry: bool = False
    holder: str = ""
    result: str = ""

    @property
    def duration(self) -> dt.timedelta:
        """Time it has taken so far, or took."""
        end = dt.datetime.now(dt.timezone.utc) if self.state == "InProgress" else self.updated
        return max(end - self.started, dt.timedelta())


class Operations:
    """Starts, finds and cancels operations of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._guard = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._results: dict[str, Sequence[ResultTable]] = {}
        self._running: dict[str, Request] = {}

    # -- running

    def start(self, row: Command, request: Request) -> str:
        """Run a command in the background; returns the operation's id."""
        from spark_kusto.engine.commands.table import Request as RequestType

        operation = Operation(
            id=str(uuid.uuid4()),
            operation=operation_name(row.name),
            database=request.database.name,
            state="InProgress",
            status="",
            started=dt.datetime.now(dt.timezone.utc),
            updated=dt.datetime.now(dt.timezone.utc),
            root_id=str(request.activity.root_id),
            principal=self._engine.principal,
            holder=_holder(),
        )
        self._put(operation)
        activity = self._engine.activities.begin(
            row.name,
            request.command.text,
            request.database.name,
            client_id=request.activity.client_id,
            principal=self._engine.principal,
            user=self._engine.principal,
        )
        inner = RequestType(self._engine, request.database, request.command, activity, request.properties)
        with self._guard:
            self._running[operation.id] = inner
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="kusto-operation")
            pool = self._pool
        pool.submit(self._run, operation, row, inner)
        return operation.id

    def _run(self, operation: Operation, row: Command, request: Request) -> None:
        try:
            results = self._engine.commanding.results(row, request)
            request.activity.finish()
            done = replace(operation, state="Completed", result=_encoded(results))
            with self._guard:
                self._results[operation.id] = results
        except BaseException as error:  # noqa: BLE001 - whatever it was, the operation has failed
            request.activity.finish(error)
            cancelled = isinstance(error, KustoError) and error.code == "General_Aborted"
            done = replace(
                operation,
                state="Canceled" if cancelled else "Failed",
                status=redact(str(error)),
                should_retry=isinstance(error, KustoError) and not error.permanent,
            )
        with self._guard:
            self._running.pop(operation.id, None)
        self._put(replace(done, updated=dt.datetime.now(dt.timezone.utc)))

    def close(self) -> None:
        """Wait for what runs."""
        with self._guard:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)

    # -- storage

    def record(self, operation: Operation) -> None:
        """Remember an operation that has run already."""
        self._put(operation)

    def _put(self, operation: Operation) -> None:
        value = asdict(operation)
        value["started"] = operation.started.isoformat()
        value["updated"] = operation.updated.isoformat()
        change = EntityChange(KIND, "", operation.id, value)
        # Progress, not a change of the cluster: it does not belong in the journal.
        with self._engine.root.catalog.transaction(durable=False) as transaction:
            transaction.put_entities([change])

    def forget_old(self, now: dt.datetime) -> int:
        """Remove operations from before the two weeks that they are kept."""
        old = [o for o in self._stored() if o.updated < now - KEPT and o.state != "InProgress"]
        if old:
            with self._engine.root.catalog.transaction(durable=False) as transaction:
                transaction.put_entities([EntityChange(KIND, "", o.id, None) for o in old])
        return len(old)

    def _stored(self, operation_id: str | None = None) -> list[Operation]:
        found = []
        for entity in self._engine.root.entities(KIND, "", operation_id):
            value = dict(entity.value)
            value["started"] = dt.datetime.fromisoformat(value["started"])
            value["updated"] = dt.datetime.fromisoformat(value["updated"])
            operation = Operation(**value)
            if operation.state == "InProgress" and not self._alive(operation):
                operation = replace(
                    operation,
                    state="Abandoned",
                    status="The process that ran it has ended.",
                    should_retry=True,
                )
            found.append(operation)
        return found

    def _alive(self, operation: Operation) -> bool:
        if operation.id in self._running:
            return True
        host, _, pid = operation.holder.partition("|")
        if host != socket.gethostname():
            return True
        if pid == str(os.getpid()):
            return operation.id in self._running
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
        except (PermissionError, ValueError):
            return True
        return True

    def _ingestions(self) -> Iterator[Operation]:
        """Ingest operations, as the databases' catalogs keep them."""
        states = {
            "active": "InProgress",
            "committed": "Completed",
            "skipped": "Skipped",
            "aborted": "Failed",
            "expired": "Abandoned",
        }
        for name in self._engine.root.database_names():
            database = self._engine.root.database(name)
            with database.catalog.connected() as connection:
                rows = connection.execute(
                    "SELECT id, table_id, table_name, state, created_on, lease_until, sequence"
                    " FROM operations"
                ).fetchall()
            for operation_id, table_id, table, state, created, until, sequence in rows:
                started = moment_of(created)
                ended = moment_of(sequence) if sequence else min(moment_of(until), started)
                # Results that are exported for readers have no table, but a reader.
                what = f"table {table}" if table_id else f"results of {table}"
                yield Operation(
                    id=operation_id,
                    operation="DataIngest" if table_id else "DataExport",
                    database=name,
                    state=states.get(state, state),
                    status=what if state == "active" else f"{what}: {state}",
                    started=started,
                    updated=max(ended, started),
                    root_id=operation_id,
                    principal=self._engine.principal,
                )

    def _explained(self) -> Iterator[Operation]:
        """Ingest operations, with the reason where one has failed."""
        failures = self._engine.failures.by_operation()
        for operation in self._ingestions():
            failure = failures.get(operation.id)
            if failure is not None and operation.state not in ("Completed", "Skipped"):
                operation = replace(
                    operation,
                    state="Failed",
                    status=f"table {failure['table']}: {failure['details']}",
                    updated=max(dt.datetime.fromisoformat(failure["on"]), operation.started),
                    should_retry=not failure["permanent"],
                )
            yield operation

    # -- asking

    def all(self) -> list[Operation]:
        """Every operation known, oldest first."""
        return sorted([*self._stored(), *self._explained()], key=lambda operation: operation.started)

    def find(self, operation_id: str) -> Operation:
        """One operation.

        Raises:
            EntityNotFoundError: none has this id, or it is older than two weeks.
        """
        found = self._stored(operation_id) or [o for o in self._explained() if o.id == operation_id]
        if not found:
            raise EntityNotFoundError(
                kind="Operation", name=operation_id, remedy="Operations are kept for 14 days."
            )
        return found[0]

    def details(self, operation_id: str) -> Sequence[ResultTable]:
        """The result of a completed operation.

        Raises:
            OptionError: it has none: it still runs, has failed, or its result was too large to keep.
        """
        operation = self.find(operation_id)
        results = self._results.get(operation_id)
        if results is not None:
            return results
        if operation.result:
            return [_decoded(operation.result)]
        raise OptionError(
            f"Operation '{operation_id}' has no details: it is {operation.state}."
            + (f" {operation.status}" if operation.status else ""),
            remedy="Details are there once it is Completed, in the process that ran it where they are large.",
        )

    def cancel(self, operation_id: str, reason: str) -> tuple[Operation, str]:
        """Ask an operation to stop; returns it and what became of the request."""
        operation = self.find(operation_id)
        request = self._running.get(operation_id)
        if request is None:
            state = "CancelRequestIgnored" if operation.state != "InProgress" else "CancelRequestRejected"
            return operation, state
        request.activity.stop(reason or "cancelled by a user")
        return operation, "CancelRequested"


def operation_name(command: str) -> str:
    """The name that ``.show operations`` prints for a command."""
    known = _NAMES.get(command)
    return known or "".join(part.capitalize() for part in re.split(r"[ _-]+", command))


def _holder() -> str:
    return f"{socket.gethostname()}|{os.getpid()}"


def _encoded(results: Sequence[ResultTable]) -> str:
    """A result as text: Arrow's stream format in base64; empty if it is large."""
    import pyarrow

    table = results[0].table()
    if table.nbytes > _RESULT_BYTES:
        return ""
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return base64.b64encode(sink.getvalue()).decode("ascii")


def _decoded(text: str) -> ResultTable:
    import pyarrow

    table = pyarrow.ipc.open_stream(base64.b64decode(text)).read_all()
    columns = tuple(
        Column(field.name, KustoType((field.metadata or {})[b"kusto.type"].decode()))
        for field in table.schema
    )
    return ResultTable.of("Table_0", columns, table)


def operation_row(engine: Engine, operation: Operation) -> Sequence[Any]:
    """A row of ``.show operations``."""
    return (
        operation.id,
        operation.operation,
        engine.root.id,
        operation.started,
        operation.updated,
        operation.duration,
        operation.state,
        operation.status,
        operation.root_id,
        operation.should_retry,
        operation.database,
        operation.principal,
        operation.principal,
        None,
        "",
    )
