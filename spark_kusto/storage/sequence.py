"""Commit sequences and ticks.

A commit sequence is a count of 100 ns ticks since year 1, UTC, at least one more than the previous
commit's. As a decimal string it is the database cursor (Kusto documentation, "Database cursors").
"""

from __future__ import annotations

import datetime as dt
import time

UTC = dt.timezone.utc
_EPOCH_TICKS = 621_355_968_000_000_000
"""Ticks from 0001-01-01 to 1970-01-01."""

_YEAR_1 = dt.datetime(1, 1, 1, tzinfo=UTC)
MAXIMUM_TICKS = 3_155_378_975_999_999_999
"""The last tick of year 9999."""


def ticks_now() -> int:
    """Ticks of the system clock, UTC."""
    return time.time_ns() // 100 + _EPOCH_TICKS


def ticks_of(moment: dt.datetime) -> int:
    """Ticks of a moment; a naive datetime is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return ((moment - _YEAR_1) // dt.timedelta(microseconds=1)) * 10


def moment_of(ticks: int) -> dt.datetime:
    """The aware UTC datetime of ticks, to the microsecond below."""
    return _YEAR_1 + dt.timedelta(microseconds=ticks // 10)
