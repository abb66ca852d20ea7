"""Local time: datetime_utc_to_local(), datetime_local_to_utc(), datetime_list_timezones()."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from functools import lru_cache


@lru_cache(maxsize=1024)
def zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The IANA time zone of that name, or ``None``."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def utc_to_local(moment: dt.datetime | None, name: str) -> dt.datetime | None:
    """What a clock in the zone shows at the UTC moment; null for an unknown zone."""
    found = zone(name)
    if moment is None or found is None:
        return None
    try:
        return moment.replace(tzinfo=dt.timezone.utc).astimezone(found).replace(tzinfo=None, fold=0)
    except OverflowError:
        return None


def local_to_utc(moment: dt.datetime | None, name: str) -> dt.datetime | None:
    """The UTC moment at which a clock in the zone shows ``moment``; null for an unknown zone.

    Where the clock skips or repeats that time, the offset after the change is used, as Kusto's
    example "datetime_local_to_utc()" shows for Brussels.
    """
    found = zone(name)
    if moment is None or found is None:
        return None
    try:
        local = moment.replace(tzinfo=found, fold=1)
        return local.astimezone(dt.timezone.utc).replace(tzinfo=None, fold=0)
    except OverflowError:
        return None


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    """All IANA time zone names this machine knows, sorted."""
    return tuple(sorted(zoneinfo.available_timezones() - {"Factory", "localtime"}))
