"""What runs and ran: for ``.show queries``, cancelling, and timeouts."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from spark_kusto.errors import EntityNotFoundError, QueryError, QueryTimeoutError, redact

KEPT = 1000
"""Finished requests that are remembered."""


@dataclass
class Activity:
    """One query or command.

    Attributes:
        client_id: the caller's id of the request.
        kind: ``query``, or the command's name.
        text: with secrets taken out.
        scanned: statistics of the scans (extents, rows, bytes; total and after pruning).
        result: statistics of the results.
    """

    client_id: str
    kind: str
    text: str
    database: str
    principal: str = ""
    user: str = ""
    application: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    root_id: uuid.UUID = field(default_factory=uuid.uuid4)
    started: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc))
    updated: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc))
    state: str = "InProgress"
    failure: str = ""
    cpu_seconds: float = 0.0
    memory_peak: int = 0
    scanned: dict[str, int] = field(default_factory=dict)
    result: dict[str, int] = field(default_factory=dict)
    limit_seconds: float | None = None
    _started: float = field(default_factory=time.monotonic, repr=False)
    _stop_reason: str | None = None
    _interrupts: list[Callable[[], None]] = field(default_factory=list, repr=False)
    _on_finish: Callable[[Activity], None] | None = field(default=None, repr=False)

    @property
    def duration(self) -> dt.timedelta:
        """Time since the start, or until the end."""
        if self.state == "InProgress":
            return dt.timedelta(seconds=time.monotonic() - self._started)
        return self.updated - self.started

    # -- stopping

    def on_stop(self, interrupt: Callable[[], None]) -> None:
        """Call this if the request is to be stopped."""
        self._interrupts.append(interrupt)
        self.check()

    def limit(self, seconds: float | None) -> None:
        """Stop the request when it has run for so long, counted from its start."""
        self.limit_seconds = seconds
        _watch(self, None if seconds is None else self._started + seconds)

    def stop(self, reason: str) -> None:
        """Interrupt the request: ``timeout``, or why it was cancelled."""
        if self.state != "InProgress":
            return
        self._stop_reason = reason
        for interrupt in list(self._interrupts):
            interrupt()

    def check(self) -> None:
        """Raise if the request is to be stopped; between two steps that cannot be interrupted."""
        if self._stop_reason is not None:
            raise self.stopped()

    def stopped(self) -> QueryError:
        """The error of a request that was interrupted."""
        if self._stop_reason == "timeout":
            return QueryTimeoutError(
                f"Request execution timed out: it ran for more than {self.limit_seconds:g} s "
                f"in database '{self.database}'.",
                remedy="Filter earlier or ask for less; or give it longer with the request property "
                "'servertimeout' (at most 1h).",
            )
        return QueryError(
            f"The request '{self.client_id}' was cancelled ({self._stop_reason or 'interrupted'}).",
            code="General_Aborted",
        )

    # -- the end

    def finish(self, error: BaseException | None = None) -> None:
        """Say that it is over; the first call counts."""
        if self.limit_seconds is not None:
            _watch(self, None)
        self._interrupts.clear()
        if self.state != "InProgress":
            return
        self.updated = self.started + dt.timedelta(seconds=time.monotonic() - self._started)
        self.state = "Completed" if error is None else "Failed"
        if error is not None:
            self.failure = redact(str(error))
        if self._on_finish is not None:
            self._on_finish(self)


class _Watchdog(threading.Thread):
    """Stops requests whose time is over: one thread a process, since starting one a request is slow."""

    def __init__(self) -> None:
        super().__init__(name="kusto-timeouts", daemon=True)
        self.pid = os.getpid()
        self._changed = threading.Condition()
        self._deadlines: dict[int, tuple[float, Activity]] = {}
        self._wakes = float("inf")

    def set(self, activity: Activity, deadline: float | None) -> None:
        """Stop a request at a time of the monotonic clock, or no longer."""
        with self._changed:
            if deadline is None:
                self._deadlines.pop(id(activity), None)
                return
            self._deadlines[id(activity)] = (deadline, activity)
            # A thread that wakes early anyway need not be told.
            if deadline < self._wakes:
                self._changed.notify()

    def run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                over = [a for deadline, a in self._deadlines.values() if deadline <= now]
                for activity in over:
                    self._deadlines.pop(id(activity), None)
                if not over:
                    self._wakes = min((d for d, _ in self._deadlines.values()), default=float("inf"))
                    self._changed.wait(None if self._wakes == float("inf") else self._wakes - now)
                    continue
            for activity in over:
                activity.stop("timeout")


_watchdog: _Watchdog | None = None
_watchdog_guard = threading.Lock()


def _watch(activity: Activity, deadline: float | None) -> None:
    global _watchdog
    watchdog = _watchdog
    if watchdog is None or watchdog.pid != os.getpid():
        if deadline is None:
            return
        with _watchdog_guard:
            if _watchdog is None or _watchdog.pid != os.getpid():
                _watchdog = _Watchdog()
                _watchdog.start()
            watchdog = _watchdog
    watchdog.set(activity, deadline)


def _after_fork() -> None:
    global _watchdog, _watchdog_guard
    _watchdog, _watchdog_guard = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class Log(Protocol):
    """Where queries that ended are remembered for other processes."""

    def append(self, activity: Activity) -> None: ...

    def __iter__(self) -> Iterator[Activity]: ...


class Activities:
    """Requests of this process, running and remembered, and the queries of others that ended.

    Args:
        log: of the cluster's queries.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._guard = threading.Lock()
        self._running: dict[uuid.UUID, Activity] = {}
        self._finished: deque[Activity] = deque(maxlen=KEPT)

    def begin(
        self,
        kind: str,
        text: str,
        database: str,
        *,
        client_id: str | None = None,
        principal: str = "",
        user: str = "",
        application: str = "",
        properties: Mapping[str, Any] | None = None,
    ) -> Activity:
        """Remember a request from its start."""
        activity = Activity(
            client_id=client_id or f"spark-kusto;{uuid.uuid4()}",
            kind=kind,
            text=redact(text),
            database=database,
            principal=principal,
            user=user,
            application=application,
            properties=dict(properties or {}),
            _on_finish=self._end,
        )
        with self._guard:
            self._running[activity.root_id] = activity
        return activity

    def unlisted(self, kind: str, text: str, database: str) -> Activity:
        """A request that is not remembered."""
        client_id = f"spark-kusto;{uuid.uuid4()}"
        return Activity(client_id=client_id, kind=kind, text=redact(text), database=database)

    def _end(self, activity: Activity) -> None:
        with self._guard:
            self._running.pop(activity.root_id, None)
            self._finished.append(activity)
        if activity.kind == "query":
            self._log.append(activity)

    def running(self) -> list[Activity]:
        """What runs now, oldest first."""
        with self._guard:
            return list(self._running.values())

    def __iter__(self) -> Iterator[Activity]:
        with self._guard:
            known = [*self._finished, *self._running.values()]
        ours = {activity.root_id for activity in known}
        known += [activity for activity in self._log if activity.root_id not in ours]
        return iter(sorted(known, key=lambda activity: activity.started))

    def cancel(self, client_id: str, reason: str = "cancelled by a user") -> list[Activity]:
        """Stop the running requests of that client request id.

        Raises:
            EntityNotFoundError: none runs under it in this process.
        """
        found = [activity for activity in self.running() if activity.client_id == client_id]
        if not found:
            raise EntityNotFoundError(
                f"No request '{client_id}' is running in this process.",
                kind="Request",
                name=client_id,
                candidates=[activity.client_id for activity in self.running()],
            )
        for activity in found:
            activity.stop(reason)
        return found
