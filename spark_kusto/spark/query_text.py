"""Small pieces of KQL text: names, values, and where operators can be appended to a query."""

from __future__ import annotations

import math
import re
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


def appendable(query: str) -> str:
    """The query without a closing ``;``, trailing comments, or a last ``render``.

    What is appended on a new line then continues the last statement. A ``render`` only describes a
    picture of the answer, and no operator may follow it.
    """
    depth = 0
    code_end = 0
    ended = False
    last_pipe: int | None = None
    first_word: str | None = None
    rendered_from: int | None = None
    for match in _TOKEN.finditer(query):
        kind = match.lastgroup
        text = match.group()
        if kind in ("space", "comment"):
            continue
        if kind == "other" and text == ";" and depth == 0:
            ended = True
            continue
        if ended:
            # Another statement begins.
            ended = False
            last_pipe = first_word = rendered_from = None
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
    end = code_end if rendered_from is None else rendered_from
    return query[:end].rstrip()
