"""Values of literals: strings with escapes, numbers, datetimes, timespans, guids.

Each `parse_...` function takes the text of a value without the type around it, and returns the
value or None where the text is not one. The forms are those of the language reference (pages
"The datetime data type", "The timespan data type", "The string data type" ...), and the looser
ones that .NET's parsers, which Kusto uses, accept besides.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from uuid import UUID

from spark_kusto.kql.lexer import TIMESPAN_UNITS

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
TICKS_PER_DAY = 864_000_000_000


# -- strings ------------------------------------------------------------------------------------

_SIMPLE_ESCAPES = {
    "\\": "\\",
    "'": "'",
    '"': '"',
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_ESCAPE = re.compile(
    r"\\(?:([\\'\"abfnrtv])|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})"
    r"|([0-3][0-7]{2}|[0-7]{1,2})|(.))",
    re.DOTALL,
)


class BadEscape(ValueError):
    """An escape sequence that is none; `offset` counts from the literal's beginning."""

    def __init__(self, offset: int, sequence: str) -> None:
        super().__init__(sequence)
        self.offset = offset
        self.sequence = sequence


def decode_string(text: str) -> str:
    """Value of one string literal as written, with prefix and quotes.

    Raises:
        BadEscape: `"\\d"` and the like, which Kusto refuses too.
    """
    start = 1 if text[0] in "hH" else 0
    if text[start] == "@":
        quote = text[start + 1]
        return text[start + 2 : -1].replace(quote + quote, quote)
    if text.startswith(("```", "~~~"), start):
        return text[start + 3 : -3]
    body = text[start + 1 : -1]
    if "\\" not in body:
        return body
    parts: list[str] = []
    position = 0
    for match in _ESCAPE.finditer(body):
        simple, four, eight, two, octal, bad = match.groups()
        parts.append(body[position : match.start()])
        position = match.end()
        if simple:
            parts.append(_SIMPLE_ESCAPES[simple])
        elif four or two:
            parts.append(chr(int(four or two, 16)))
        elif eight and int(eight, 16) <= 0x10FFFF:
            parts.append(chr(int(eight, 16)))
        elif octal:
            parts.append(chr(int(octal, 8)))
        else:
            raise BadEscape(start + 1 + match.start(), "\\" + (bad or f"U{eight}"))
    parts.append(body[position:])
    value = "".join(parts)
    if any("\ud800" <= character <= "\udfff" for character in value):
        # Escaped surrogate pairs make one character; half a pair is not text.
        value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def is_obfuscated(text: str) -> bool:
    """Whether a string literal is written with the `h` prefix that hides it from logs."""
    return text[0] in "hH"


def unquote(text: str) -> str:
    """The content of a quoted text, or the text itself, stripped; for `datetime("2020-01-01")`."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text


# -- numbers ------------------------------------------------------------------------------------

_INTEGER = re.compile(r"([+-]?)\s*(?:0[xX]([0-9a-fA-F]+)|([0-9]+))\Z")
_REAL = re.compile(r"[+-]?\s*(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_SPECIAL_REALS = {
    "nan": math.nan,
    "inf": math.inf,
    "+inf": math.inf,
    "-inf": -math.inf,
    "infinity": math.inf,
    "-infinity": -math.inf,
}


def parse_integer(text: str, bits: int = 64) -> int | None:
    """Integer of 32 or 64 bits; hexadecimal digits give the bit pattern, as in C#."""
    match = _INTEGER.match(text.strip())
    if match is None:
        return None
    sign, hexadecimal, digits = match.groups()
    if len(digits or hexadecimal) > 40:
        return None
    if hexadecimal:
        value = int(hexadecimal, 16)
        if value >= 1 << bits:
            return None
        if value >= 1 << (bits - 1):
            value -= 1 << bits
    else:
        value = int(digits)
    if sign == "-":
        value = -value
    return value if -(1 << (bits - 1)) <= value < 1 << (bits - 1) else None


def parse_real(text: str) -> float | None:
    """Floating-point number, `nan`, `+inf`, `-inf`; hexadecimal integers too."""
    text = text.strip()
    special = _SPECIAL_REALS.get(text.lower())
    if special is not None:
        return special
    if _REAL.match(text):
        return float(text.replace(" ", ""))
    integer = parse_integer(text)
    return None if integer is None else float(integer)


def parse_decimal(text: str) -> Decimal | None:
    """Exact decimal number."""
    text = text.strip().replace(" ", "")
    if not _REAL.match(text) or len(text) > 200:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value.adjusted()) < 6200 else None


def parse_bool(text: str) -> bool | None:
    """`true`, `false` in any case, and integers: 0 is false."""
    text = unquote(text).lower()
    if text in ("true", "false"):
        return text == "true"
    number = parse_integer(text)
    return None if number is None else number != 0


def parse_guid(text: str) -> UUID | None:
    """Guid with or without hyphens, braces or quotes."""
    text = unquote(text)
    if text[:1] + text[-1:] in ("{}", "()"):
        text = text[1:-1]
    if not re.fullmatch(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}", text):
        return None
    return UUID(text)


# -- timespans ----------------------------------------------------------------------------------

_UNIT_TIMESPAN = re.compile(r"([+-]?)\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\Z")
_CLOCK_TIMESPAN = re.compile(
    r"([+-]?)\s*(?:([0-9]+)[.:](?=[0-9]+:[0-9]+:))?([0-9]+):([0-9]+)(?::([0-9]+)(?:\.([0-9]{1,9}))?)?\Z"
)
_DAYS_CLOCK_TIMESPAN = re.compile(r"([+-]?)\s*([0-9]+)\.([0-9]{1,2}):([0-9]{1,2})\Z")


def parse_timespan(text: str) -> int | None:
    """Ticks of 100 ns: `1.5h`, `15 seconds`, `2` (days), `12:23:45`, `1.02:03:04.5`, `-1d`."""
    text = unquote(text)
    match = _UNIT_TIMESPAN.match(text)
    if match:
        sign, number, unit = match.groups()
        if len(number) > 40:
            return None
        if unit and unit not in TIMESPAN_UNITS:
            return None
        size = TIMESPAN_UNITS[unit] if unit else TICKS_PER_DAY
        value = Decimal(number)
        ticks = int(value * size) if size else int(value / 100)
        return _checked_ticks(-ticks if sign == "-" else ticks)
    match = _DAYS_CLOCK_TIMESPAN.match(text)
    if match:
        sign, days, hours, minutes = match.groups()
        seconds = fraction = None
    else:
        match = _CLOCK_TIMESPAN.match(text)
        if match is None:
            return None
        sign, days, hours, minutes, seconds, fraction = match.groups()
    if max(len(days or ""), len(hours), len(minutes), len(seconds or "")) > 9:
        return None
    # Hours above 23 are days in .NET only where nothing else is written; refuse the rest.
    if int(minutes) > 59 or int(seconds or 0) > 59 or int(hours) > 23:
        return None
    ticks = (
        int(days or 0) * TICKS_PER_DAY
        + int(hours) * 36_000_000_000
        + int(minutes) * 600_000_000
        + int(seconds or 0) * 10_000_000
        + int(((fraction or "") + "0000000")[:7])
    )
    return _checked_ticks(-ticks if sign == "-" else ticks)


def _checked_ticks(ticks: int) -> int | None:
    return ticks if LONG_MIN <= ticks <= LONG_MAX else None


# -- datetimes ----------------------------------------------------------------------------------

_CLOCK = (
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2})"
    r"(?::(?P<second>[0-9]{1,2})(?:[.,](?P<fraction>[0-9]{1,12}))?)?\s*(?P<half>[AaPp][Mm])?"
)
_ZONE = r"\s*(?P<zone>[Zz]|GMT|UTC|[+-][0-9]{1,2}(?::?[0-9]{2})?)?"
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?"
_MONTH = r"(?P<name>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_CLOCK_AND_ZONE = rf"(?:[T\s]\s*{_CLOCK}{_ZONE})?"
# 2014-05-25T08:20:03.1234567Z, 2014-05-25 08:20, 2014-05-25, 2014/5/25, 2014-05, 2014
_ISO = (
    r"(?P<year>[0-9]{4})(?:[-/.](?P<month>[0-9]{1,2})(?:[-/.](?P<day>[0-9]{1,2})"
    rf"(?:[Zz]|{_CLOCK_AND_ZONE}))?)?"
)
# 20140525, 20140525T082003Z
_COMPACT = (
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    rf"(?:T(?P<hour>[0-9]{{2}})(?P<minute>[0-9]{{2}})(?P<second>[0-9]{{2}})?{_ZONE})?"
)
# 5/25/2014 8:20 PM
_AMERICAN = r"(?P<month>[0-9]{1,2})[-/](?P<day>[0-9]{1,2})[-/](?P<year>[0-9]{4})" + _CLOCK_AND_ZONE
# RFC 822 and RFC 850: Sat, 8 Nov 14 15:05:02 GMT; Saturday, 08-Nov-14 15:05:02 UTC
_RFC = (
    rf"{_WEEKDAY}(?P<day>[0-9]{{1,2}})[-\s]{_MONTH},?[-\s](?P<year>[0-9]{{4}}|[0-9]{{2}})"
    rf"{_CLOCK_AND_ZONE}"
)
# Nov 8, 2014 15:05
_LONG = rf"{_WEEKDAY}{_MONTH}\s+(?P<day>[0-9]{{1,2}}),?\s+(?P<year>[0-9]{{4}}){_CLOCK_AND_ZONE}"
_DATETIMES = tuple(
    re.compile(pattern + r"\Z", re.IGNORECASE) for pattern in (_ISO, _COMPACT, _AMERICAN, _RFC, _LONG)
)
# datetime(2025, 6, 14) and datetime(2017 - 08 - 01) are dates for Kusto too.
_LOOSE_DATE = re.compile(
    r"\s*(?P<year>[0-9]{4})\s*[-,/.]\s*(?P<month>[0-9]{1,2})\s*[-,/.]\s*(?P<day>[0-9]{1,2})\s*\Z"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def parse_datetime(text: str) -> datetime | None:
    """Aware UTC datetime, cut to microseconds; a text without a zone is UTC."""
    text = unquote(text)
    if len(text) > 64:
        return None
    for pattern in _DATETIMES:
        match = pattern.match(text)
        if match:
            return _build_datetime(match.groupdict())
    match = _LOOSE_DATE.match(text)
    return _build_datetime(match.groupdict()) if match else None


def _build_datetime(parts: dict[str, str | None]) -> datetime | None:
    year = int(parts["year"] or 0)
    if len(parts["year"] or "") == 2:
        # .NET's two-digit years: 30 to 99 are 1930 to 1999.
        year += 2000 if year < 30 else 1900
    name = parts.get("name")
    month = _MONTHS.index(name[:3].lower()) + 1 if name else int(parts.get("month") or 1)
    hour = int(parts.get("hour") or 0)
    half = (parts.get("half") or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    fraction = ((parts.get("fraction") or "") + "000000")[:6]
    try:
        value = datetime(
            year,
            month,
            int(parts.get("day") or 1),
            hour,
            int(parts.get("minute") or 0),
            int(parts.get("second") or 0),
            int(fraction),
            tzinfo=timezone.utc,
        )
        zone = parts.get("zone")
        if zone and zone[0] in "+-":
            digits = zone[1:].replace(":", "")
            hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
            if int(hours) > 14 or int(minutes) > 59:
                return None
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            value = value - offset if zone[0] == "+" else value + offset
    except (ValueError, OverflowError):
        return None
    return value
