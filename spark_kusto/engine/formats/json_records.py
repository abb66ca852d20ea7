"""JSON: one record a line, or records that span lines, alone or in arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import IO, Any

from spark_kusto.errors import IngestError

_SPACE = " \t\r\n,"


def read_json(
    stream: IO[bytes],
    *,
    multi: bool,
    exact: bool = False,
    rejected: Callable[[str], None] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Records with the line (from 1) each began on.

    Args:
        multi: records may span lines and may stand in arrays (``multijson``).
        exact: give fractions as Decimal rather than float.
        rejected: gets what is wrong with a line that is not JSON, which is then left out. Of records that
            span lines nobody can tell where the next one begins.

    Raises:
        IngestError: the data is not JSON; the line is named.
    """
    parse = json.JSONDecoder(parse_float=Decimal) if exact else json.JSONDecoder()
    if multi:
        yield from _spanning(stream.read().decode("utf-8-sig", errors="replace"), parse)
        return
    for number, raw in enumerate(stream, 1):
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace").strip()
        if not line:
            continue
        try:
            value = parse.decode(line)
        except (ValueError, RecursionError) as error:
            if rejected is not None:
                rejected(f"line {number} is not JSON: {_problem(error)}")
                continue
            raise _not_json(number, error, "'json' has one record a line; use format='multijson'.") from error
        yield from _records(number, value)


def _spanning(text: str, parse: json.JSONDecoder) -> Iterator[tuple[int, Any]]:
    position, line, seen = 0, 1, 0
    while True:
        while position < len(text) and text[position] in _SPACE:
            position += 1
        if position >= len(text):
            return
        line += text.count("\n", seen, position)
        seen = position
        try:
            value, position = parse.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            at = error.lineno if isinstance(error, json.JSONDecodeError) else line
            raise _not_json(at, error, "Check the data and the 'format' property.") from error
        yield from _records(line, value)


def _records(line: int, value: Any) -> Iterator[tuple[int, Any]]:
    if isinstance(value, list):
        for item in value:
            yield line, item
    else:
        yield line, value


def _not_json(line: int, error: ValueError | RecursionError, remedy: str) -> IngestError:
    return IngestError(f"The data is not JSON: {_problem(error)} on line {line}.", remedy=remedy)


def _problem(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    # Python reads no integers of more than some thousand digits, and no values nested as deep.
    return "nested too deep" if isinstance(error, RecursionError) else "a number with too many digits"


def text_of(value: Any) -> str | None:
    """A JSON value as the text that a column of any type is converted from."""
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return str(value)
    return json_text(value)


def json_text(value: Any) -> str | None:
    """A JSON value as JSON text, for dynamic columns; null stays null."""
    if value is None:
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)
