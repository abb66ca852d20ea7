"""Texts of numbers and times: format_bytes(), format_datetime(), format_timespan()."""

from __future__ import annotations

import datetime as dt
import re
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

_WIDE = Context(prec=400)
"""Room for all digits of any float."""

_UNITS = ("Bytes", "KB", "MB", "GB", "TB", "PB", "EB")
_TICKS_PER_SECOND = 10_000_000

_DATE_TOKEN = re.compile(r"y{4}|y{1,2}|M{1,2}|d{1,2}|H{1,2}|h{1,2}|m{1,2}|s{1,2}|f{1,7}|F{1,7}|tt?")
_SPAN_TOKEN = re.compile(r"d{1,8}|[Hh]{1,2}|m{1,2}|s{1,2}|f{1,7}|F{1,7}")

_STRFTIME = {
    "yyyy": "%Y",
    "yy": "%y",
    "MM": "%m",
    "M": "%-m",
    "dd": "%d",
    "d": "%-d",
    "HH": "%H",
    "H": "%-H",
    "hh": "%I",
    "h": "%-I",
    "mm": "%M",
    "m": "%-M",
    "ss": "%S",
    "s": "%-S",
    "tt": "%p",
    "fff": "%g",
    "ffffff": "%f",
    "fffffff": "%f0",
}


def format_bytes(size: float | None, precision: int | None = 0, units: str = "") -> str:
    """A size as text with its unit, the largest in which it is at least 1 unless one is given."""
    if size is None or size != size:
        return ""
    digits = max(0, min(precision or 0, 15))
    if units:
        scale = next((i for i, name in enumerate(_UNITS) if name.lower() == units.lower()), None)
        if scale is None:
            return ""
    else:
        scale = 0
        while scale < len(_UNITS) - 1 and abs(size) >= 1024 ** (scale + 1):
            scale += 1
    if size in (float("inf"), float("-inf")):
        return f"{'-' if size < 0 else ''}∞ {_UNITS[scale]}"
    value = Decimal(size) / (1 << (10 * scale))
    rounded = value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP, context=_WIDE)
    text = f"{rounded:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {_UNITS[scale]}"


def strftime_pattern(pattern: str) -> str | None:
    """The ``strftime`` pattern that prints the same, or ``None`` where there is none."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        found = _DATE_TOKEN.match(pattern, position)
        if found is None:
            parts.append("%%" if pattern[position] == "%" else pattern[position])
            position += 1
            continue
        code = _STRFTIME.get(found.group())
        if code is None:
            return None
        parts.append(code)
        position = found.end()
    return "".join(parts)


@lru_cache(maxsize=256)
def _pieces(pattern: str, of_span: bool) -> tuple[tuple[bool, str], ...]:
    token = _SPAN_TOKEN if of_span else _DATE_TOKEN
    pieces: list[tuple[bool, str]] = []
    position = 0
    while position < len(pattern):
        found = token.match(pattern, position)
        if found is None:
            pieces.append((False, pattern[position]))
            position += 1
        else:
            pieces.append((True, found.group()))
            position = found.end()
    return tuple(pieces)


def _fraction(ticks: int, token: str) -> str:
    digits = f"{ticks:07d}"[: len(token)]
    # With F they are left out where all are 0; zeros at the end stay, unlike in .NET.
    return digits if token[0] == "f" or digits.strip("0") else ""


def _padded(number: int, token: str) -> str:
    return f"{number:0{len(token)}d}"


def format_datetime(moment: dt.datetime | None, pattern: str) -> str:
    """The moment written by the pattern; characters that are no specifier stand for themselves."""
    if moment is None:
        return ""
    parts: list[str] = []
    for is_token, text in _pieces(pattern, False):
        if not is_token:
            parts.append(text)
            continue
        kind = text[0]
        if kind in "fF":
            parts.append(_fraction(moment.microsecond * 10, text))
        elif kind == "t":
            parts.append(("AM" if moment.hour < 12 else "PM")[: len(text)])
        else:
            number = {
                "y": moment.year if len(text) == 4 else moment.year % 100,
                "M": moment.month,
                "d": moment.day,
                "H": moment.hour,
                "h": moment.hour % 12 or 12,
                "m": moment.minute,
                "s": moment.second,
            }[kind]
            parts.append(_padded(number, text))
    return "".join(parts)


def format_timespan(ticks: int | None, pattern: str) -> str:
    """The timespan (in ticks of 100 ns) written by the pattern; the sign leads, as in ``tostring()``."""
    if ticks is None:
        return ""
    size = abs(ticks)
    seconds, fraction = divmod(size, _TICKS_PER_SECOND)
    numbers = {
        "d": seconds // 86400,
        "H": seconds // 3600 % 24,
        "h": seconds // 3600 % 24,
        "m": seconds // 60 % 60,
        "s": seconds % 60,
    }
    parts = ["-"] if ticks < 0 else []
    for is_token, text in _pieces(pattern, True):
        if not is_token:
            parts.append(text)
        elif text[0] in "fF":
            parts.append(_fraction(fraction, text))
        else:
            parts.append(_padded(numbers[text[0]], text))
    return "".join(parts)
