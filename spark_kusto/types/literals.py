"""Python values as KQL literals. Text is escaped, so no value can end its literal and begin another."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from spark_kusto.types import text
from spark_kusto.types.json_text import dumps
from spark_kusto.types.table import KustoType

_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
    "\x85": "\\u0085",
}


def string_literal(value: str) -> str:
    """A text as a KQL string literal, in double quotes."""
    parts = []
    for ch in value:
        escaped = _ESCAPES.get(ch)
        if escaped is None and ord(ch) < 32:
            escaped = f"\\u{ord(ch):04x}"
        parts.append(ch if escaped is None else escaped)
    return f'"{"".join(parts)}"'


def name_literal(name: str) -> str:
    """An entity's or column's name as KQL takes it anywhere: ``['name']``."""
    body = name.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"['{body}']"


def kusto_type_of_value(value: Any) -> KustoType:
    """The Kusto type of a Python value.

    Raises:
        TypeError: its class has none.
    """
    if isinstance(value, bool):
        return KustoType.BOOL
    if isinstance(value, int):
        return KustoType.LONG
    if isinstance(value, float):
        return KustoType.REAL
    if isinstance(value, Decimal):
        return KustoType.DECIMAL
    if isinstance(value, str):
        return KustoType.STRING
    if isinstance(value, dt.datetime | dt.date):
        return KustoType.DATETIME
    if isinstance(value, dt.timedelta):
        return KustoType.TIMESPAN
    if isinstance(value, uuid.UUID):
        return KustoType.GUID
    if isinstance(value, dict | list | tuple):
        return KustoType.DYNAMIC
    raise TypeError(f"{value.__class__.__name__} has no Kusto type")


def literal(value: Any, type: KustoType | None = None) -> str:
    """A Python value as a KQL literal of a type; by default of the value's own.

    Timespans may be timedeltas or ticks. ``None`` is the type's null (an empty string for string).

    Raises:
        TypeError: the value is of no class that has a Kusto type, and no type was given.
        ValueError: the value is not one of the type.
    """
    if type is None and value is None:
        return "dynamic(null)"
    kind = kusto_type_of_value(value) if type is None else type
    if value is None:
        return '""' if kind is KustoType.STRING else f"{kind.value}(null)"
    return _WRITERS[kind](value)


def _bool(value: Any) -> str:
    return "true" if value else "false"


def _real(value: Any) -> str:
    number = float(value)
    if math.isnan(number):
        return "real(nan)"
    if math.isinf(number):
        return "real(+inf)" if number > 0 else "real(-inf)"
    return f"real({number!r})"


def _decimal(value: Any) -> str:
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if not number.is_finite():
        raise ValueError(f"{value!r} is no decimal")
    return f"decimal({number:f})"


def _datetime(value: Any) -> str:
    if isinstance(value, str):
        parsed = text.parse_datetime(value)
        if parsed is None:
            raise ValueError(f"{value!r} is no datetime")
        value = parsed
    elif not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    return f"datetime({text.datetime_text(value)})"


def _timespan(value: Any) -> str:
    if isinstance(value, str):
        parsed = text.parse_timespan(value)
        if parsed is None:
            raise ValueError(f"{value!r} is no timespan")
        value = parsed
    ticks = text.ticks_of_timedelta(value) if isinstance(value, dt.timedelta) else int(value)
    return f"timespan({text.timespan_text(ticks)})"


def _guid(value: Any) -> str:
    parsed = value if isinstance(value, uuid.UUID) else text.parse_guid(str(value))
    if parsed is None:
        raise ValueError(f"{value!r} is no guid")
    return f"guid({parsed})"


_WRITERS: dict[KustoType, Callable[[Any], str]] = {
    KustoType.BOOL: _bool,
    KustoType.INT: lambda value: f"int({int(value)})",
    KustoType.LONG: lambda value: f"long({int(value)})",
    KustoType.REAL: _real,
    KustoType.DECIMAL: _decimal,
    KustoType.STRING: lambda value: string_literal(str(value)),
    KustoType.DATETIME: _datetime,
    KustoType.TIMESPAN: _timespan,
    KustoType.GUID: _guid,
    # JSON text in a string, parsed by the engine: no character of it can leave the literal.
    KustoType.DYNAMIC: lambda value: f"parse_json({string_literal(dumps(value))})",
}
