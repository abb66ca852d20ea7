"""Queries that ended, of every process that opened the cluster; ``.show queries`` adds them to its own.

Spark plans each read in a process of its own, which is gone when someone asks. So the end of a query is one
line of JSON in a file of the cluster's directory, written in one call, which the operating system appends
whole. The log is for looking at: what goes wrong with it never fails a query.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from spark_kusto.engine.activity import KEPT, Activity
from spark_kusto.errors import redact

log = logging.getLogger("spark_kusto.engine")

LOG_FILE = "queries.jsonl"
_OLDER = "queries.older.jsonl"
_MOST_BYTES = 2 * 1024 * 1024
"""Size of the file after which another one begins; the one before it is kept."""
_LONGEST_TEXT = 16 * 1024


class QueryLog:
    """The log of one cluster.

    Args:
        root: the cluster's directory.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / LOG_FILE
        self._older = root / _OLDER

    def append(self, activity: Activity) -> None:
        """Remember a query that ended."""
        try:
            line = redact(json.dumps(_written(activity), default=str, separators=(",", ":"))) + "\n"
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, line.encode())
                full = os.fstat(handle).st_size > _MOST_BYTES
            finally:
                os.close(handle)
            if full:
                os.replace(self._path, self._older)
        except (OSError, ValueError) as error:
            log.debug("query '%s' is not in the log of queries: %s", activity.client_id, error)

    def __iter__(self) -> Iterator[Activity]:
        """The last queries, oldest first."""
        lines: list[bytes] = []
        for path in (self._older, self._path):
            with suppress(OSError):
                lines += path.read_bytes().splitlines()
        for line in lines[-KEPT:]:
            # A machine that stopped may have left half a line.
            with suppress(ValueError, KeyError, TypeError):
                yield _read(json.loads(line))


def _written(activity: Activity) -> dict[str, Any]:
    return {
        "id": activity.client_id,
        "root": activity.root_id.hex,
        "text": activity.text[:_LONGEST_TEXT],
        "database": activity.database,
        "principal": activity.principal,
        "user": activity.user,
        "application": activity.application,
        "properties": dict(activity.properties),
        "started": activity.started.isoformat(),
        "updated": activity.updated.isoformat(),
        "state": activity.state,
        "failure": activity.failure,
        "cpu": activity.cpu_seconds,
        "memory": activity.memory_peak,
        "scanned": activity.scanned,
        "result": activity.result,
    }


def _read(given: dict[str, Any]) -> Activity:
    return Activity(
        client_id=given["id"],
        kind="query",
        text=given["text"],
        database=given["database"],
        principal=given["principal"],
        user=given["user"],
        application=given["application"],
        properties=given["properties"],
        root_id=uuid.UUID(given["root"]),
        started=dt.datetime.fromisoformat(given["started"]),
        updated=dt.datetime.fromisoformat(given["updated"]),
        state=given["state"],
        failure=given["failure"],
        cpu_seconds=given["cpu"],
        memory_peak=given["memory"],
        scanned=given["scanned"],
        result=given["result"],
    )
