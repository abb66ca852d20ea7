"""Database cursors of a remote cluster: where a stream stands, and where its next batch ends.

By the Kusto documentation ("Database cursors"): a cursor is opaque, ``cursor_current()`` gives the newest,
``cursor_after()`` and ``cursor_before_or_at()`` divide a table's rows, for tables whose ingestion time policy
is on. The cursors that services give are numbers of ticks, and grow; a batch that is to be bounded is bounded
by numbers in between.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import Any

from spark_kusto.client.cluster import StreamPosition
from spark_kusto.client.remote.service import Service, rows_of
from spark_kusto.client.remote.texts import name_literal, string_literal
from spark_kusto.errors import KustoError, OptionError, ServiceError, UnsupportedError

log = logging.getLogger("spark_kusto.client")

EARLIEST = "0"
# Halvings that tell any two cursors apart: they are numbers below 2^63.
_STEPS = 64
# Rows are given their time of ingestion shortly before the cursor of the commit that they are in.
_BEFORE_FIRST = dt.timedelta(minutes=10)


def text_of(cursor: str | None) -> str | None:
    """A cursor as the service's functions take it: the one before the first row is empty there."""
    return "" if cursor == EARLIEST else cursor or None


def current(service: Service, database: str) -> str:
    """The newest cursor."""
    (row,) = service.rows(database, "print cursor_current()")
    return str(row[0] or EARLIEST)


def require_ingestion_time(service: Service, database: str, table: str) -> None:
    """Check that a table's rows have cursors.

    Raises:
        UnsupportedError: its ingestion time policy is off.
    """
    rows = rows_of(service.command(database, f".show table {name_literal(table)} policy ingestiontime"))
    policy = rows[0].get("Policy") if rows else None
    if isinstance(policy, str):
        try:
            policy = json.loads(policy)
        except ValueError:
            policy = None
    if rows and not (isinstance(policy, dict) and policy.get("IsEnabled")):
        # A table without a policy of its own follows its database's, which is on by default.
        if policy is None and _database_policy(service, database):
            return
        raise UnsupportedError(
            f"Table '{table}' does not keep when its rows were ingested, so that they have no cursors.",
            feature="cursors",
            remedy=f"Turn it on for new rows: `.alter table {table} policy ingestiontime true`.",
        )


def _database_policy(service: Service, database: str) -> bool:
    try:
        command = f".show database {name_literal(database)} policy ingestiontime"
        rows = rows_of(service.command(database, command))
        policy: Any = rows[0].get("Policy") if rows else None
        if isinstance(policy, str):
            policy = json.loads(policy)
    except (KustoError, ValueError) as error:
        log.debug("the ingestion time policy of '%s' is not known: %s", database, error)
        return True
    return not isinstance(policy, dict) or bool(policy.get("IsEnabled", True))


def advance(
    service: Service,
    database: str,
    table: str,
    after: str,
    *,
    max_rows: int | None,
    max_bytes: int | None,
) -> StreamPosition:
    """The end of the batch that begins after a cursor; see :meth:`Cluster.advance`.

    Raises:
        UnsupportedError: the table's rows have no cursors.
        OptionError: ``after`` is no cursor of this service.
    """
    require_ingestion_time(service, database, table)
    details = rows_of(service.command(database, f".show table {name_literal(table)} details"))
    known = details[0] if details else {}
    table_id = str(known.get("TableId") or table)
    if not after.isdigit():
        raise OptionError(
            f"'{after}' is no cursor.",
            remedy="Give a number in text form, as cluster.cursor(database) gives it.",
        )
    end = current(service, database)
    if not end.isdigit():
        raise ServiceError(
            f"The cursor of database '{database}' is '{end}' and not a number.",
            remedy="Read batches bounded by ingestion_time() in the query.",
            permanent=True,
        )
    row_bytes = _row_bytes(known)

    def count(until: str) -> tuple[int, Any, Any]:
        bounds = [f"cursor_before_or_at({string_literal(until)})"]
        if after != EARLIEST:
            bounds.insert(0, f"cursor_after({string_literal(after)})")
        text = (
            f"{name_literal(table)}\n| where {' and '.join(bounds)}"
            "\n| summarize rows = count(), first = min(ingestion_time()), last = max(ingestion_time())"
        )
        (row,) = service.rows(database, text)
        return int(row[0] or 0), row[1], row[2]

    rows, first, last = count(end)
    if not rows:
        return StreamPosition(after, 0, 0, None, table_id)
    most = max_rows
    if max_bytes is not None and row_bytes:
        most = min(most or 2**63, max(1, int(max_bytes / row_bytes)))
    if most is not None and rows > most:
        low = _lowest(count, int(after), int(end), first)
        end, rows, last = _bounded(count, low, int(end), rows, last, most)
    return StreamPosition(end, rows, int(rows * row_bytes), last, table_id)


def _lowest(count: Any, after: int, end: int, first: Any) -> int:
    """A cursor near the first row that has no rows before it: halving from it takes half the queries."""
    if not isinstance(first, dt.datetime):
        return after
    since = first.replace(tzinfo=None) - _BEFORE_FIRST - dt.datetime.min
    ticks = since // dt.timedelta(microseconds=1) * 10
    return ticks if after < ticks < end and not count(str(ticks))[0] else after


def _bounded(count: Any, after: int, end: int, rows: int, last: Any, most: int) -> tuple[str, int, Any]:
    """The furthest cursor, nearly, with no more than ``most`` rows before it; one commit at least."""
    low, high = after, end
    best: tuple[str, int, Any] | None = None
    least = (str(end), rows, last)
    for _ in range(_STEPS):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        found, _, moment = count(str(middle))
        if found > most:
            high, least = middle, (str(middle), found, moment)
            continue
        low = middle
        if found:
            best = (str(middle), found, moment)
            if found * 2 >= most:
                break
    return best or least


def _row_bytes(details: dict[str, Any]) -> float:
    try:
        return float(details["TotalExtentSize"]) / max(1, int(details["TotalRowCount"]))
    except (KeyError, TypeError, ValueError):
        return 0.0
