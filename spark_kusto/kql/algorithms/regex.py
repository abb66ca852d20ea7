"""Regular expressions as RE2 reads them, for what runs in Python.

Most of the language's regular expressions run in DuckDB, whose engine is RE2 as Kusto's is. A few
functions need positions or several groups, and use ``re``: :func:`compiled` writes a pattern of
RE2 as one of ``re`` with the same meaning, and refuses what RE2 refuses (lookaround, back
references). Source: the page "Syntax" of RE2's wiki.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7F",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_SCRIPTS = {
    "Arabic": "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff",
    "Cyrillic": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "Greek": "\u0370-\u03ff\u1f00-\u1fff",
    "Han": "\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "Hangul": "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff",
    "Hebrew": "\u0590-\u05ff\ufb1d-\ufb4f",
    "Hiragana": "\u3041-\u309f",
    "Katakana": "\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "Latin": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02b8\u1e00-\u1eff"
    "\uff21-\uff3a\uff41-\uff5a",
    "Thai": "\u0e01-\u0e3a\u0e40-\u0e5b",
}
_NAMED = re.compile(r"\?P?<([A-Za-z_]\w*)>")
_FLAGS = re.compile(r"\?([imsU]*)(?:-([imsU]+))?([:)])")


def groups(pattern: str) -> list[str | None]:
    """The capture groups of a pattern in order: their names, None where they have none."""
    found: list[str | None] = []
    place = 0
    while place < len(pattern):
        char = pattern[place]
        if pattern.startswith(r"\Q", place):
            end = pattern.find(r"\E", place)
            place = len(pattern) if end < 0 else end + 2
        elif char == "\\":
            place += 2
        elif char == "[":
            place = _class_end(pattern, place)
        else:
            if char == "(":
                name = _NAMED.match(pattern, place + 1)
                if name is not None:
                    found.append(name.group(1))
                elif not pattern.startswith("?", place + 1):
                    found.append(None)
            place += 1
    return found


def for_re2(pattern: str) -> str:
    """The pattern with ``(?<name>`` as ``(?P<name>``, which every version of RE2 reads."""
    if "(?<" not in pattern:
        return pattern
    parts: list[str] = []
    place = 0
    while place < len(pattern):
        char = pattern[place]
        if char == "\\":
            end = place + 2
            if pattern.startswith(r"\Q", place):
                quote = pattern.find(r"\E", place)
                end = len(pattern) if quote < 0 else quote + 2
        elif char == "[":
            end = _class_end(pattern, place)
        elif pattern.startswith("(?<", place) and _NAMED.match(pattern, place + 1):
            parts.append("(?P<")
            place += 3
            continue
        else:
            end = place + 1
        parts.append(pattern[place:end])
        place = end
    return "".join(parts)


def _class_end(pattern: str, start: int) -> int:
    """Where a bracketed class that begins at ``start`` has ended."""
    place = start + 1
    if pattern.startswith("^", place):
        place += 1
    if pattern.startswith("]", place):
        place += 1
    while place < len(pattern) and pattern[place] != "]":
        if pattern[place] == "\\":
            place += 2
        elif pattern.startswith("[:", place) and (end := pattern.find(":]", place)) > 0:
            place = end + 2
        else:
            place += 1
    return place + 1


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern for ``re``.

    Raises:
        ValueError: it is no regular expression of RE2.
    """
    try:
        return re.compile(_Writer(pattern).written(), re.ASCII)
    except re.error as error:
        raise ValueError(f"'{pattern}' is no regular expression: {error}") from None


@functools.cache
def _category(name: str) -> str:
    """The characters of a Unicode category, as the inside of a class."""
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)).startswith(name):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


class _Writer:
    """Writes one pattern; flags that begin within a group end with it, as RE2 has it."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.place = 0
        # Flags that were turned on or off within each open group.
        self.open: list[list[str]] = [[]]
        self.multiline = [False]
        self.ungreedy = [False]

    def fail(self, reason: str) -> ValueError:
        return ValueError(f"'{self.pattern}' is no regular expression of RE2: {reason}")

    def written(self) -> str:
        parts: list[str] = []
        while self.place < len(self.pattern):
            parts.append(self._next())
        parts.append(")" * len(self.open[0]))
        return "".join(parts)

    def _next(self) -> str:
        char = self.pattern[self.place]
        if char == "\\":
            return self._escape()
        if char == "[":
            return self._class()
        self.place += 1
        if char == "(":
            return self._group()
        if char == ")":
            return self._close()
        if char == "|":
            flags = self.open[-1]
            return ")" * len(flags) + "|" + "".join(flags)
        if char == "$":
            return "$" if self.multiline[-1] else r"\Z"
        if char in "*+?{":
            return self._repeat(char)
        return char

    def _repeat(self, char: str) -> str:
        text = char
        if char == "{":
            found = re.compile(r"\d+(,\d*)?\}").match(self.pattern, self.place)
            if found is None:
                return r"\{"
            text += found.group()
            self.place = found.end()
        lazy = self.pattern.startswith("?", self.place)
        if lazy:
            self.place += 1
        if self.pattern.startswith(("+", "*", "?"), self.place):
            raise self.fail(f"bad repetition operator: {text}{self.pattern[self.place]}")
        return text + ("?" if lazy is not self.ungreedy[-1] else "")

    def _group(self) -> str:
        named = _NAMED.match(self.pattern, self.place)
        flags = _FLAGS.match(self.pattern, self.place)
        if named is not None:
            self._enter(named.end())
            return f"(?P<{named.group(1)}>"
        if not self.pattern.startswith("?", self.place):
            self._enter(self.place)
            return "("
        if flags is None:
            raise self.fail(f"invalid perl operator: ({self.pattern[self.place : self.place + 2]}")
        scoped = flags.group(3) == ":"
        if scoped:
            self._enter(flags.end())
        self.place = flags.end()
        on, off = flags.group(1), flags.group(2) or ""
        for name, states in (("m", self.multiline), ("U", self.ungreedy)):
            states[-1] = (states[-1] or name in on) and name not in off
        on, off = on.replace("U", ""), off.replace("U", "")
        opening = f"(?{on}{'-' if off else ''}{off}:"
        if scoped:
            return opening
        self.open[-1].append(opening)
        return opening

    def _enter(self, place: int) -> None:
        self.place = place
        self.open.append([])
        self.multiline.append(self.multiline[-1])
        self.ungreedy.append(self.ungreedy[-1])

    def _close(self) -> str:
        if len(self.open) == 1:
            raise self.fail("unexpected )")
        self.multiline.pop()
        self.ungreedy.pop()
        return ")" * (len(self.open.pop()) + 1)

    def _escape(self) -> str:
        if self.place + 1 >= len(self.pattern):
            raise self.fail("trailing \\")
        kind = self.pattern[self.place + 1]
        if kind == "Q":
            # Within a class, too, it is what stands between that counts.
            end = self.pattern.find(r"\E", self.place)
            text = self.pattern[self.place + 2 : len(self.pattern) if end < 0 else end]
            self.place = len(self.pattern) if end < 0 else end + 2
            return re.escape(text)
        if kind in "pP":
            inside, negative = self._unicode()
            return f"[{'^' if negative else ''}{inside}]"
        self.place += 2
        if kind == "z":
            return r"\Z"
        if kind == "x" and self.pattern.startswith("{", self.place):
            return self._code_point()
        if kind.isdigit() and kind != "0":
            raise self.fail(f"invalid escape sequence: \\{kind}")
        if kind.isalpha() and kind not in "AbBdDsSwWafnrtvx":
            raise self.fail(f"invalid escape sequence: \\{kind}")
        return f"\\{kind}"

    def _code_point(self) -> str:
        end = self.pattern.find("}", self.place)
        code = self.pattern[self.place + 1 : end]
        self.place = end + 1
        if end < 0 or not re.fullmatch("[0-9A-Fa-f]{1,6}", code) or int(code, 16) > sys.maxunicode:
            raise self.fail("invalid escape sequence: \\x")
        return f"\\U{int(code, 16):08x}"

    def _unicode(self) -> tuple[str, bool]:
        negative = self.pattern[self.place + 1] == "P"
        found = re.compile(r"(\w)|\{(\^?)(\w+)\}").match(self.pattern, self.place + 2)
        if found is None:
            raise self.fail("invalid character class range: \\p")
        self.place = found.end()
        name = found.group(1) or found.group(3)
        inside = _SCRIPTS.get(name) or _category(name)
        if not inside:
            raise self.fail(f"invalid character class range: \\p{{{name}}}")
        return inside, negative is not (found.group(2) == "^")

    def _class(self) -> str:
        end = _class_end(self.pattern, self.place)
        if end > len(self.pattern):
            raise self.fail("missing closing ]")
        negative = self.pattern.startswith("^", self.place + 1)
        self.place += 2 if negative else 1
        items: list[str] = []
        # A ] that stands first is an item of the class.
        while self.place < end - 1 or not items:
            items.append(self._class_item())
        self.place = end
        return f"[{'^' if negative else ''}{''.join(items)}]"

    def _class_item(self) -> str:
        posix = re.compile(r"\[:(\^?)(\w+):\]").match(self.pattern, self.place)
        if posix is not None:
            self.place = posix.end()
            inside = _POSIX.get(posix.group(2))
            if inside is None or posix.group(1):
                raise self.fail(f"invalid character class range: {posix.group()}")
            return inside
        char = self.pattern[self.place]
        if char == "\\" and self.pattern[self.place + 1] in "pP":
            inside, negative = self._unicode()
            if negative:
                raise self.fail("a negated \\p within a class is not supported here")
            return inside
        if char == "\\":
            return self._escape()
        self.place += 1
        return f"\\{char}" if char in "[]&~|" else char
