"""Text forms: what Kusto's ``tostring()`` prints, and values parsed from text.

Forms of datetime and timespan follow the Kusto documentation ("The datetime data type", "The
timespan data type"); a datetime without a zone is UTC.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spark_kusto.types.table import TICKS_PER_SECOND, KustoType

if TYPE_CHECKING:
    import pyarrow as pa

UTC = dt.timezone.utc
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = dt.timedelta(microseconds=1)
TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND
LEAST_TICKS, GREATEST_TICKS = -(2**63), 2**63 - 1


# -- values to text -------------------------------------------------------------------------------


def text_of(value: Any) -> str:
    """Text of one Python value, as ``tostring()`` prints it; null is the empty string."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float):
        return real_text(value)
    if isinstance(value, dt.datetime):
        return datetime_text(value)
    if isinstance(value, dt.date):
        return datetime_text(dt.datetime(value.year, value.month, value.day))
    if isinstance(value, dt.timedelta):
        return timespan_text(ticks_of_timedelta(value))
    if isinstance(value, dt.time):
        seconds = value.hour * 3600 + value.minute * 60 + value.second
        return timespan_text(seconds * TICKS_PER_SECOND + value.microsecond * 10)
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, dict | list | tuple):
        from spark_kusto.types.json_text import dumps

        return dumps(value)
    return str(value)


def real_text(value: float) -> str:
    """Shortest text of a real that gives it back, as .NET prints it: ``1.0``, ``1E+20``, ``NaN``."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    text = repr(value)
    if "e" not in text:
        return text
    mantissa, _, exponent = text.partition("e")
    sign = "-" if exponent.startswith("-") else "+"
    return f"{mantissa.removesuffix('.0')}E{sign}{exponent.lstrip('+-').zfill(2)}"


def decimal_text(value: Decimal) -> str:
    """A decimal in plain digits, without trailing zeros after the point."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def datetime_text(value: dt.datetime) -> str:
    """A datetime as ``2024-02-29T13:45:00.1234560Z``."""
    if value.tzinfo is not None:
        value = value.astimezone(UTC)
    # isoformat pads years; strftime does not everywhere.
    return f"{value.replace(tzinfo=None).isoformat(timespec='microseconds')}0Z"


def timespan_text(ticks: int) -> str:
    """A timespan of 100 ns ticks as ``[-][d.]hh:mm:ss[.fffffff]``."""
    sign, ticks = ("-", -ticks) if ticks < 0 else ("", ticks)
    days, rest = divmod(ticks, TICKS_PER_DAY)
    seconds, fraction = divmod(rest, TICKS_PER_SECOND)
    text = f"{sign}{days}." if days else sign
    text += f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{fraction:07}" if fraction else text


def ticks_of_timedelta(value: dt.timedelta) -> int:
    """Ticks of a timedelta."""
    return (value // MICROSECOND) * 10


def timedelta_of_ticks(ticks: int) -> dt.timedelta:
    """The timedelta of ticks; the last digit (100 ns) is dropped."""
    return dt.timedelta(microseconds=ticks // 10)


# -- text to values -------------------------------------------------------------------------------

_DATETIME = re.compile(
    r"""\s*(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})
        (?:[T\s]+(?P<H>\d{1,2}):(?P<M>\d{1,2})(?::(?P<S>\d{1,2})(?:[.,](?P<f>\d{1,9}))?)?)?
        \s*(?P<z>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_OTHER_DATETIMES = (
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%m-%d-%Y %H:%M:%S",
    "%m-%d-%Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d",
    "%Y-%m",
    "%Y",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%a, %d %b %y %H:%M:%S GMT",
    "%a, %d %b %Y %H:%M:%S",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%A, %d %B %Y %H:%M:%S GMT",
    "%d %b %y %H:%M:%S",
    "%d %b %Y %H:%M:%S",
    "%d %b %Y",
    "%a %b %d %H:%M:%S %Y",
    "%b %d %Y %H:%M:%S",
    "%b %d %Y %H:%M",
    "%b %d %Y",
    "%d-%b-%Y %H:%M:%S",
    "%d-%b-%Y",
    "%d-%b-%y %H:%M:%S",
    "%d-%b-%y",
)


def parse_datetime(text: str) -> dt.datetime | None:
    """An aware UTC datetime from text in ISO 8601 or one of the other forms Kusto takes; None if neither.

    Digits below a microsecond are dropped.
    """
    match = _DATETIME.fullmatch(text)
    if match is None:
        return _other_datetime(text.strip())
    fraction = ((match["f"] or "") + "000000")[:6]
    try:
        value = dt.datetime(
            int(match["y"]),
            int(match["m"]),
            int(match["d"]),
            int(match["H"] or 0),
            int(match["M"] or 0),
            int(match["S"] or 0),
            int(fraction),
            tzinfo=UTC,
        )
        return value - _offset(match["z"])
    except (ValueError, OverflowError):
        return None


def _offset(zone: str | None) -> dt.timedelta:
    if zone is None or zone.upper() in ("Z", "UTC", "GMT"):
        return dt.timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset


def _other_datetime(text: str) -> dt.datetime | None:
    for form in _OTHER_DATETIMES:
        try:
            return dt.datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


_CLOCK = re.compile(
    r"""\s*(?P<s>-)?(?:(?P<d>\d{1,8})\.)?(?P<H>\d{1,2}):(?P<M>\d{1,2})(?::(?P<S>\d{1,2})(?:\.(?P<f>\d{1,7}))?)?\s*""",
    re.VERBOSE,
)
_UNITS: dict[str, int | Decimal] = {
    "d": TICKS_PER_DAY,
    "day": TICKS_PER_DAY,
    "days": TICKS_PER_DAY,
    "h": 3600 * TICKS_PER_SECOND,
    "hr": 3600 * TICKS_PER_SECOND,
    "hrs": 3600 * TICKS_PER_SECOND,
    "hour": 3600 * TICKS_PER_SECOND,
    "hours": 3600 * TICKS_PER_SECOND,
    "m": 60 * TICKS_PER_SECOND,
    "min": 60 * TICKS_PER_SECOND,
    "minute": 60 * TICKS_PER_SECOND,
    "minutes": 60 * TICKS_PER_SECOND,
    "s": TICKS_PER_SECOND,
    "sec": TICKS_PER_SECOND,
    "second": TICKS_PER_SECOND,
    "seconds": TICKS_PER_SECOND,
    "ms": 10_000,
    "milli": 10_000,
    "millis": 10_000,
    "millisec": 10_000,
    "millisecond": 10_000,
    "milliseconds": 10_000,
    "micro": 10,
    "micros": 10,
    "microsec": 10,
    "microsecond": 10,
    "microseconds": 10,
    "nano": Decimal("0.01"),
    "nanos": Decimal("0.01"),
    "nanosec": Decimal("0.01"),
    "nanosecond": Decimal("0.01"),
    "nanoseconds": Decimal("0.01"),
    "tick": 1,
    "ticks": 1,
}
_WITH_UNIT = re.compile(r"\s*(?P<n>-?\d+(?:\.\d+)?)\s*(?P<u>[A-Za-z]+)\s*")
_DAYS = re.compile(r"\s*(?P<n>-?\d{1,8})\s*")
SPARK_INTERVAL = re.compile(
    r"\s*INTERVAL\s+'(?P<s>[+-])?(?P<d>\d+)\s+(?P<c>[\d:.]+)'\s+DAY\s+TO\s+SECOND\s*", re.I
)


def parse_timespan(text: str) -> int | None:
    """Ticks from ``[-][d.]hh:mm[:ss[.fffffff]]``, a number of days, or a number with a unit; else None."""
    match = _CLOCK.fullmatch(text)
    if match is not None:
        hours, minutes, seconds = int(match["H"]), int(match["M"]), int(match["S"] or 0)
        if hours > 23 or minutes > 59 or seconds > 59:
            return None
        ticks = int(match["d"] or 0) * TICKS_PER_DAY
        ticks += (hours * 3600 + minutes * 60 + seconds) * TICKS_PER_SECOND
        ticks += int((match["f"] or "").ljust(7, "0"))
        return _in_range(-ticks if match["s"] else ticks)
    match = _DAYS.fullmatch(text)
    if match is not None:
        return _in_range(int(match["n"]) * TICKS_PER_DAY)
    match = _WITH_UNIT.fullmatch(text)
    if match is not None and match["u"].lower() in _UNITS:
        return _in_range(int(Decimal(match["n"]) * _UNITS[match["u"].lower()]))
    return None


def _in_range(ticks: int) -> int | None:
    return ticks if LEAST_TICKS <= ticks <= GREATEST_TICKS else None


def parse_guid(text: str) -> uuid.UUID | None:
    """A guid from its text, with or without dashes and braces; None if it is none."""
    bare = text.strip().strip("{}()")
    if not re.fullmatch(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", bare):
        return None
    return uuid.UUID(bare)


def parse_bool(text: str) -> bool | None:
    """A bool from ``true``, ``false`` in any case, or a whole number; None otherwise."""
    folded = text.strip().lower()
    if folded in ("true", "false"):
        return folded == "true"
    try:
        return int(folded) != 0
    except ValueError:
        return None


def parse_value(text: str, type: KustoType) -> Any:
    """The Python value of a text, as ingestion of text formats takes it; None where it is not one.

    Timespans come as ticks, dynamics as parsed JSON (a text that is not JSON as itself).
    """
    if type is KustoType.STRING:
        return text
    if not text or text.isspace():
        return None
    return _PARSERS[type](text)


def _parse_int(text: str, low: int, high: int) -> int | None:
    body = text.strip()
    try:
        value = int(body, 16) if re.fullmatch(r"[+-]?0[xX][0-9a-fA-F]+", body) else int(body)
    except ValueError:
        real = _parse_real(body)
        # Kusto takes a real's text for an integer column and cuts it.
        if real is None or real != real or abs(real) >= 2**63:
            return None
        value = int(real)
    return value if low <= value <= high else None


def _parse_real(text: str) -> float | None:
    try:
        return float(text.strip().replace("∞", "inf"))
    except ValueError:
        return None


def _parse_decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text.strip())
    except ArithmeticError:
        return None
    return value if value.is_finite() else None


def _parse_dynamic(text: str) -> Any:
    import json

    from spark_kusto.types.json_text import canonical_json

    canonical = canonical_json(text)
    return None if canonical is None else json.loads(canonical)


_PARSERS: dict[KustoType, Any] = {
    KustoType.BOOL: parse_bool,
    KustoType.INT: lambda text: _parse_int(text, -(2**31), 2**31 - 1),
    KustoType.LONG: lambda text: _parse_int(text, -(2**63), 2**63 - 1),
    KustoType.REAL: _parse_real,
    KustoType.DECIMAL: _parse_decimal,
    KustoType.DATETIME: parse_datetime,
    KustoType.TIMESPAN: parse_timespan,
    KustoType.GUID: parse_guid,
    KustoType.DYNAMIC: _parse_dynamic,
}


# -- whole arrays ---------------------------------------------------------------------------------


def to_text(array: pa.Array, type: KustoType) -> pa.Array:
    """Text of a storage-form array, null where it is null: guids, timespans, datetimes, and the rest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if type in (KustoType.STRING, KustoType.DYNAMIC):
        return array
    if type is KustoType.DATETIME:
        return _datetime_texts(array)
    if type is KustoType.TIMESPAN:
        return _timespan_texts(array)
    if type is KustoType.GUID:
        return _guid_texts(array)
    if type is KustoType.BOOL:
        return pc.if_else(array, "True", "False")
    if type in (KustoType.INT, KustoType.LONG):
        return array.cast(pa.string())
    return pa.array([None if v is None else text_of(v) for v in array.to_pylist()], pa.string())


def _datetime_texts(array: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    # Arrow's strftime writes the fraction of the unit, six digits here, and pads no year below 1000.
    texts = pc.strftime(array, format="%Y-%m-%dT%H:%M:%S")
    return pc.binary_join_element_wise(pc.utf8_lpad(texts, 26, "0"), "0Z", "")


def _timespan_texts(array: pa.Array) -> pa.Array:
    import pyarrow as pa

    return pa.array([None if t is None else timespan_text(t) for t in array.to_pylist()], pa.string())


def _guid_texts(array: pa.Array) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    storage = array.storage if hasattr(array, "storage") else array
    count = len(storage)
    if not count:
        return pa.array([], pa.string())
    raw = pc.fill_null(storage, bytes(16))
    start = raw.offset * 16
    digits = np.frombuffer(
        bytes(raw.buffers()[1])[start : start + 16 * count].hex().encode("ascii"), dtype=np.uint8
    ).reshape(count, 32)
    texts = np.full((count, 36), ord("-"), dtype=np.uint8)
    for source, target in (((0, 8), 0), ((8, 12), 9), ((12, 16), 14), ((16, 20), 19), ((20, 32), 24)):
        texts[:, target : target + source[1] - source[0]] = digits[:, source[0] : source[1]]
    offsets = np.arange(0, 36 * count + 1, 36, dtype=np.int32)
    result = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(texts.tobytes()))
    if not storage.null_count:
        return result
    return pc.if_else(pc.is_valid(storage), result, pa.scalar(None, pa.string()))
