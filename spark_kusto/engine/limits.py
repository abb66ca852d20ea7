"""Limits of a request: from client request properties and ``set`` statements.

Names and defaults are those of the Kusto documentation ("Query limits", "Request properties"):
500,000 records and 64 MB of result, 4 minutes for a query and 10 for a command.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

from spark_kusto.errors import OptionError, QueryLimitError

DEFAULT_RECORDS = 500_000
DEFAULT_BYTES = 64 * 1024 * 1024
QUERY_SECONDS = 240.0
COMMAND_SECONDS = 600.0
LONGEST_SECONDS = 3600.0

_TIMESPAN = re.compile(r"^(-)?(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?$")
_SHORT_TIMESPAN = re.compile(
    r"^(\d+(?:\.\d+)?)\s*(d|days?|h|hours?|m|min|minutes?|s|sec|seconds?|ms|milliseconds?)$"
)
_UNIT_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class RequestLimits:
    """What one request may take and give.

    Attributes:
        records: rows of one result; None for no limit.
        bytes: bytes of all results; None for no limit.
        seconds: time to run; None for no limit.
        memory: bytes of memory; None for the cluster's.
        take: rows to answer at most, without an error (``query_take_max_records``).
        now: the moment that ``now()`` gives.
        read_only: refuse commands that change something.
    """

    records: int | None = DEFAULT_RECORDS
    bytes: int | None = DEFAULT_BYTES
    seconds: float | None = QUERY_SECONDS
    memory: int | None = None
    take: int | None = None
    now: dt.datetime | None = None
    read_only: bool = False


def request_limits(
    properties: Mapping[str, object] | None,
    options: Mapping[str, object] | None = None,
    *,
    seconds: float = QUERY_SECONDS,
) -> RequestLimits:
    """Limits from request properties and ``set`` statements; the latter win.

    Args:
        properties: client request properties; ``Options`` of the REST API count as properties too.
        options: of the query's ``set`` statements.
        seconds: the default timeout.

    Raises:
        OptionError: a value is not of its option's type.
    """
    given: dict[str, object] = {}
    for source in (properties or {}, options or {}):
        for key, value in source.items():
            given[key.lower()] = value
    unlimited = _flag(given, "notruncation")
    return RequestLimits(
        records=None if unlimited else _count(given, "truncationmaxrecords", DEFAULT_RECORDS),
        bytes=None if unlimited else _count(given, "truncationmaxsize", DEFAULT_BYTES),
        seconds=None if _flag(given, "norequesttimeout") else _seconds(given, "servertimeout", seconds),
        memory=_count(given, "maxmemoryconsumptionperiterator", None)
        or _count(given, "max_memory_consumption_per_query_per_node", None),
        take=_count(given, "query_take_max_records", None),
        now=_moment(given, "query_now"),
        read_only=_flag(given, "request_readonly"),
    )


def _flag(given: Mapping[str, object], name: str) -> bool:
    value = given.get(name, False)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value != 0
    text = str(value).strip().lower()
    if text in ("true", "1", ""):
        return True
    if text in ("false", "0"):
        return False
    raise _wrong(name, value, "true or false")


def _count(given: Mapping[str, object], name: str, default: int | None) -> int | None:
    value = given.get(name)
    if value is None:
        return default
    try:
        number = int(str(value).strip())
    except ValueError:
        raise _wrong(name, value, "a whole number") from None
    if number < 0:
        raise _wrong(name, value, "a whole number of at least 0")
    return number


def _seconds(given: Mapping[str, object], name: str, default: float) -> float:
    value = given.get(name)
    if value is None:
        return default
    seconds = timespan_seconds(value)
    if seconds is None or seconds <= 0:
        raise _wrong(name, value, "a timespan such as 00:10:00 or 10m")
    return min(seconds, LONGEST_SECONDS)


def timespan_seconds(value: object) -> float | None:
    """Seconds of a timespan given as timedelta, ticks (int), or text; None if it is none."""
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value / 10_000_000
    text = str(value).strip().lower()
    text = re.sub(r"^(?:time|timespan)\((.*)\)$", r"\1", text)
    match = _TIMESPAN.match(text)
    if match:
        sign, days, hours, minutes, seconds, fraction = match.groups()
        total = int(days or 0) * 86_400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)
        total_seconds = total + (int(fraction.ljust(7, "0")) / 10_000_000 if fraction else 0.0)
        return -total_seconds if sign else total_seconds
    match = _SHORT_TIMESPAN.match(text)
    if match:
        unit = match.group(2)
        factor = 0.001 if unit.startswith(("ms", "milli")) else _UNIT_SECONDS[unit[0]]
        return float(match.group(1)) * factor
    if text.isdigit():
        return float(text) * 86_400
    return None


def _moment(given: Mapping[str, object], name: str) -> dt.datetime | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=dt.timezone.utc)
    text = re.sub(r"^datetime\((.*)\)$", r"\1", str(value).strip()).strip("\"'")
    # fromisoformat() before Python 3.11 takes neither Z nor seven digits.
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00").replace("z", "+00:00"))
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(name, value, "a datetime") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.timezone.utc)


def _wrong(name: str, value: object, wanted: str) -> OptionError:
    return OptionError(
        f"The request property '{name}' is {value!r}, which is not {wanted}.", remedy=f"Give {wanted}."
    )


def too_many_records(limit: int) -> QueryLimitError:
    """The error for a result of too many rows (Kusto documentation, "Query limits")."""
    return QueryLimitError(
        "Query execution has exceeded the allowed limits (80DA0003): The results of this query exceed the set"
        f" limit of {limit} records (E_QUERY_RESULT_SET_TOO_LARGE).",
        remedy="Aggregate, filter, or take fewer rows; or lift the limit: 'set notruncation; <query>'.",
    )


def too_many_bytes(limit: int) -> QueryLimitError:
    """The error for a result of too many bytes."""
    return QueryLimitError(
        "Query execution has exceeded the allowed limits (80DA0003): The results of this query exceed the set"
        f" limit of {limit / (1 << 20):g} MB (E_QUERY_RESULT_SET_TOO_LARGE).",
        remedy="Aggregate, filter, or take fewer rows; or lift the limit: 'set notruncation; <query>'.",
    )
