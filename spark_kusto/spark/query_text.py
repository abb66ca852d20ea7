"""Small pieces of KQL text: names, values, and where operators can be appended to a query."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>//[^\n]*)
  | (?P<string>
        ```.*?(?:```|\Z) | ~~~.*?(?:~~~|\Z)
      | [hH]?@"(?:[^"]|"")*"? | [hH]?@'(?:[^']|'')*'?
      | [hH]?"(?:[^"\\\n]|\\.)*"? | [hH]?'(?:[^'\\\n]|\\.)*'?
    )
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_EPOCH = datetime(1970, 1, 1)
_OPEN, _CLOSE = "([{", ")]}"


def quoted_name(name: str) -> str:
    """A column's name as KQL takes any name: ``['a.b']``."""
    return f"[{text_literal(name)}]"


def text_literal(text: str) -> str:
    """A string literal; quotes, backslashes and control characters are escaped."""
    out: list[str] = []
    for ch in text:
        code = ord(ch)
        if ch in "\\'":
            out.append("\\" + ch)
        elif ch in "\n\r\t":
            out.append({"\n": "\\n", "\r": "\\r", "\t": "\\t"}[ch])
        elif code < 0x20 or code in (0x7F, 0x85, 0x2028, 0x2029):
            out.append(f"\\u{code:04x}")
        else:
            out.append(ch)
    return f"'{''.join(out)}'"


def real_literal(value: float) -> str:
    """A real literal that reads back as the same number; infinities included, NaN not a number."""
    if math.isnan(value):
        return "real(nan)"
    if math.isinf(value):
        return "real(+inf)" if value > 0 else "real(-inf)"
    return f"real({value!r})".replace("e+", "e")


def decimal_literal(value: Decimal) -> str:
    """A decimal literal with all its digits."""
    return f"decimal({value:f})"


def datetime_literal(microseconds: int) -> str | None:
    """A datetime literal from microseconds since 1970, or None outside of Kusto's years 1 to 9999."""
    try:
        moment = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None
    return f"datetime({moment.isoformat(timespec='microseconds')}Z)"


_NO_ANSWER = frozenset({"let", "set", "declare", "alias", "pattern", "restrict"})
"""Words that begin statements which give no table."""
_SEVERAL = frozenset({"fork", "facet"})
"""Operators that give several tables, and take no operator after them."""


@dataclass(frozen=True)
class _Reading:
    end: int
    is_single: bool


def appendable(query: str) -> str:
    """The query up to where operators can follow the statement whose answer is read.

    That is the first statement that gives a table: a cluster answers each of them, and a read takes the first
    answer. What comes after it is left out, and so are a closing ``;``, trailing comments, and a last
    ``render``, which only describes a picture of the answer.
    """
    return query[: _reading(query).end].rstrip()


def takes_operators(query: str) -> bool:
    """Whether operators may follow the query: not after ``fork`` and ``facet``, which give several tables."""
    return _reading(query).is_single


def _reading(query: str) -> _Reading:
    depth = 0
    code_end = 0
    statement: str | None = None
    last_pipe: int | None = None
    first_word: str | None = None
    rendered_from: int | None = None
    is_single = True
    for match in _TOKEN.finditer(query):
        kind = match.lastgroup
        text = match.group()
        if kind in ("space", "comment"):
            continue
        if kind == "other" and text == ";" and depth == 0:
            if statement is not None and statement not in _NO_ANSWER:
                break
            statement = last_pipe = first_word = rendered_from = None
            is_single = True
            continue
        if statement is None:
            statement = text
        code_end = match.end()
        if kind == "other":
            if text in _OPEN:
                depth += 1
            elif text in _CLOSE:
                depth = max(0, depth - 1)
            elif text == "|" and depth == 0:
                last_pipe, first_word, rendered_from = match.start(), None, None
                continue
        if last_pipe is not None and first_word is None:
            first_word = text
            if kind == "word" and text == "render":
                rendered_from = last_pipe
            if kind == "word" and text in _SEVERAL:
                is_single = False
    return _Reading(code_end if rendered_from is None else rendered_from, is_single)
