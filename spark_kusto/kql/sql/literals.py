"""SQL text of values, safe wherever it is put."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

from spark_kusto.types import KustoType

_TYPES = {kind: kind.duckdb for kind in KustoType}


def string(value: str) -> str:
    """A string literal; NUL characters, which SQL text cannot hold, are spelled out."""
    text = value.replace("'", "''")
    if "\0" in text:
        parts = "' || chr(0) || '".join(text.split("\0"))
        return f"('{parts}')"
    return f"'{text}'"


def null(kind: KustoType) -> str:
    """NULL of a type; the empty string for string."""
    return "''" if kind is KustoType.STRING else f"NULL::{_TYPES[kind]}"


def _real(value: float) -> str:
    if math.isfinite(value):
        text = repr(value)
        return text if "e" in text else f"{text}e0"
    return f"'{value}'::DOUBLE"


def _datetime(value: dt.datetime) -> str:
    if value.tzinfo is not None:
        value = value.astimezone(dt.timezone.utc).replace(tzinfo=None)
    return f"TIMESTAMP '{value.isoformat(sep=' ')}'"


def literal(value: Any, kind: KustoType) -> str:
    """SQL of a value in storage form; safe to put anywhere."""
    if value is None:
        return null(kind)
    match kind:
        case KustoType.STRING | KustoType.DYNAMIC:
            return string(value)
        case KustoType.LONG | KustoType.TIMESPAN:
            # The least long has no positive counterpart to negate.
            return f"{value}::BIGINT" if value >= 0 else f"('{value}'::BIGINT)"
        case KustoType.INT:
            return f"{value}::INTEGER" if value >= 0 else f"('{value}'::INTEGER)"
        case KustoType.BOOL:
            return "true" if value else "false"
        case KustoType.REAL:
            text = _real(float(value))
            return f"({text})" if text.startswith("-") else text
        case KustoType.DATETIME:
            return _datetime(value)
        case KustoType.DECIMAL:
            assert isinstance(value, Decimal | int)
            return f"CAST('{value:f}' AS DECIMAL(38,18))"
        case KustoType.GUID:
            return f"'{value}'::UUID"
    raise AssertionError(kind)
