"""Text to tokens.

One compiled regular expression does the work. Tokens are kept as parallel lists, which the
parser indexes directly: at some thousands of tokens a query, objects would cost more than the
scanning itself.

A token's *kind* is one of

=========== ======================================================================
kind        text
=========== ======================================================================
`word`      identifier or keyword; the hyphenated keywords (`mv-expand`) are one word
`operator`  `in~`, `!in`, `!has` and the like, and `matches regex`: words that are never names
`string`    a string literal as written, with prefix and quotes
`long`      decimal or hexadecimal integer
`real`      number with a fraction or an exponent
`timespan`  `1d`, `2.5h`, `100ms` ...
`guid`      a bare guid
`typed`     `datetime(...)`, `int(...)` and their kin, taken raw up to the closing parenthesis
`end`       end of the text; text is empty
otherwise   punctuation; the kind is the text itself
=========== ======================================================================

Since no string or number looks like a word, comparing a token's text with a keyword is enough to
recognise the keyword. Keywords are case-sensitive and none of them is reserved here: whether a
word is a name or a keyword is for the parser to say.

Sources: the language reference's pages on strings, identifiers and scalar data types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from spark_kusto.errors import KqlSyntaxError

MAX_TEXT_LENGTH = 4_000_000
"""Longest query or command text accepted, in characters. Kusto's own limit is 2,000,000."""

HYPHENATED_KEYWORDS = (
    "assert-schema",
    "granny-asc",
    "granny-desc",
    "graph-mark-components",
    "graph-match",
    "graph-shortest-paths",
    "graph-to-table",
    "graph-where-edges",
    "graph-where-nodes",
    "macro-expand",
    "make-graph",
    "make-series",
    "mv-apply",
    "mv-expand",
    "parse-kv",
    "parse-where",
    "partitioned-by",
    "project-away",
    "project-by-names",
    "project-keep",
    "project-rename",
    "project-reorder",
    "project-smart",
    "sample-distinct",
    "top-hitters",
    "top-nested",
)

TYPED_LITERALS = {
    "bool": "bool",
    "boolean": "bool",
    "date": "datetime",
    "datetime": "datetime",
    "decimal": "decimal",
    "double": "real",
    "guid": "guid",
    "int": "int",
    "int32": "int",
    "int64": "long",
    "long": "long",
    "real": "real",
    "time": "timespan",
    "timespan": "timespan",
    "uniqueid": "guid",
    "uuid": "guid",
}
"""Words that open a raw literal when `(` follows at once, and the type of that literal."""

TIMESPAN_UNITS: dict[str, int] = {}
"""Ticks of 100 ns for each unit that may follow a number."""

_TICKS = (
    (864_000_000_000, ("d", "day", "days")),
    (36_000_000_000, ("h", "hr", "hrs", "hour", "hours")),
    (600_000_000, ("m", "min", "minute", "minutes")),
    (10_000_000, ("s", "sec", "second", "seconds")),
    (10_000, ("ms", "milli", "millis", "millisec", "millisecond", "milliseconds")),
    (10, ("micro", "micros", "microsec", "microsecond", "microseconds")),
    (1, ("tick", "ticks")),
    (0, ("nano", "nanos", "nanosec", "nanosecond", "nanoseconds")),
)
for _size, _names in _TICKS:
    for _name in _names:
        TIMESPAN_UNITS[_name] = _size


def _alternatives(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


# White space as Kusto has it: Unicode's, and the zero-width space and byte order mark besides.
_SPACE = r"[\s\u180e\u200b\ufeff]+"
_COMMENT = r"//[^\r\n\u2028\u2029]*"
_END_OF_WORD = r"(?![A-Za-z0-9_])"
_GUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9a-fA-F])"

_STRING = "|".join(
    (
        r'"[^"\\\r\n]*(?:\\[^\r\n][^"\\\r\n]*)*"',
        r"'[^'\\\r\n]*(?:\\[^\r\n][^'\\\r\n]*)*'",
        r'@"[^"\r\n]*(?:""[^"\r\n]*)*"',
        r"@'[^'\r\n]*(?:''[^'\r\n]*)*'",
        r"```[\s\S]*?```",
        r"~~~[\s\S]*?~~~",
    )
)
_WORD = "|".join(
    (
        rf"(?:{_alternatives(HYPHENATED_KEYWORDS)}){_END_OF_WORD}",
        r"[^\W\d]\w*",
        r"\$\w*",
    )
)
_OPERATOR = r"matches[ \t]+regex(?!\w)|!?in~(?!~)|![A-Za-z_]\w*"
# A point that a second one follows is a range, `1..5`, unless a third follows that.
_REAL = r"[0-9]+(?:\.(?!\.(?!\.))[0-9]*(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)"
_TIMESPAN = rf"[0-9]+(?:\.[0-9]+)?(?:{_alternatives(TIMESPAN_UNITS)})"
_LONG = r"(?:0[xX][0-9a-fA-F]+|[0-9]+)"
_PUNCTUATION = r"==|=~|=>|!=|!~|<=|<>|<\||>=|\.\.|[()\[\]{}|.,;:=<>+\-*/%@?]"
_PATTERN = re.compile(
    "|".join(
        (
            rf"(?P<skip>(?:{_SPACE}|{_COMMENT})+)",
            rf"(?P<string>[hH]?(?:{_STRING}))",
            rf"(?P<typed>(?:{_alternatives(TYPED_LITERALS)})\([^)]*\)?)",
            rf"(?P<guid>{_GUID})",
            rf"(?P<operator>{_OPERATOR})",
            rf"(?P<word>{_WORD})",
            rf"(?P<real>{_REAL}{_END_OF_WORD})",
            rf"(?P<timespan>{_TIMESPAN}{_END_OF_WORD})",
            rf"(?P<long>{_LONG}{_END_OF_WORD})",
            r"(?P<digits>[0-9]+[^\W\d]\w*)",
            rf"(?P<punctuation>{_PUNCTUATION})",
        )
    )
)


class Tokens:
    """The tokens of a text: `kinds`, `texts`, `starts` and `ends`, all of one length.

    The last token is always of kind `end`, followed by three more of them, so that looking
    a few tokens ahead needs no bounds check.
    """

    __slots__ = ("ends", "kinds", "source", "starts", "texts")

    def __init__(self, source: str) -> None:
        self.source = source
        self.kinds: list[str] = []
        self.texts: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []

    def __len__(self) -> int:
        return len(self.kinds) - 4


def tokenize(
    text: str,
    start: int = 0,
    end: int | None = None,
    stop: Callable[[Tokens], bool] | None = None,
) -> Tokens:
    """Split a text into tokens.

    Args:
        text: the query or command.
        start: offset to begin at; offsets of tokens always count from the text's beginning.
        end: offset to end at, by default the text's end.
        stop: asked after each token whether the rest is to be left alone, for commands that
            carry data which is not KQL.

    Raises:
        KqlSyntaxError: at a character that is not part of the language, or a string without end.
    """
    if len(text) > MAX_TEXT_LENGTH:
        raise KqlSyntaxError(
            f"the text has {len(text):,} characters; at most {MAX_TEXT_LENGTH:,} are accepted",
            remedy="Put long lists into a table or a datatable, or split the query.",
        )
    tokens = Tokens(text)
    kinds, texts, starts, ends = tokens.kinds, tokens.texts, tokens.starts, tokens.ends
    position, length = start, len(text) if end is None else end
    scan = _PATTERN.match
    while position < length:
        match = scan(text, position, length)
        if match is None:
            if text[position] == "#" and not kinds:
                # A directive such as #connect, for clients: the line says nothing to the engine.
                position = _end_of_line(text, position)
                continue
            raise _bad_character(text, position)
        begin, position = position, match.end()
        kind = match.lastgroup
        if kind == "skip":
            continue
        value = text[begin:position]
        if kind == "punctuation":
            kinds.append(value)
        elif kind == "word" or kind == "digits":
            kinds.append("word")
        elif kind == "operator":
            kinds.append(kind)
            if value[0] == "m":
                value = "matches regex"
        else:
            if kind == "typed" and value[-1] != ")":
                raise syntax_error(
                    text,
                    begin,
                    f"this literal is not closed: no ) follows {value[: value.index('(') + 1]}",
                    length=value.index("(") + 1,
                )
            kinds.append(kind or "")
        texts.append(value)
        starts.append(begin)
        ends.append(position)
        if stop is not None and stop(tokens):
            length = position
    for _ in range(4):
        kinds.append("end")
        texts.append("")
        starts.append(length)
        ends.append(length)
    return tokens


def line_and_column(text: str, position: int) -> tuple[int, int]:
    """Line and column, both from 1, of an offset, lines counted as `str.splitlines` does."""
    before = text[:position]
    # The sentinel keeps a line break that ends `before` from being taken for no break at all.
    lines = (before + "x").splitlines()
    return len(lines), len(lines[-1])


def syntax_error(
    text: str, position: int, message: str, *, length: int = 1, remedy: str | None = None
) -> KqlSyntaxError:
    """The error for a place in the text."""
    line, column = line_and_column(text, position)
    return KqlSyntaxError(message, line, column, text, length=length, remedy=remedy)


def _end_of_line(text: str, position: int) -> int:
    match = re.compile(r"[\r\n\u2028\u2029]").search(text, position)
    return match.start() if match else len(text)


def _bad_character(text: str, position: int) -> KqlSyntaxError:
    character = text[position]
    if character in "\"'":
        end = _end_of_line(text, position)
        return syntax_error(
            text,
            position,
            f"this string is not closed: no {character} before the end of the line",
            length=end - position,
            remedy="A backslash before the closing quote escapes it: write \\\\ for a backslash, or "
            'use a verbatim string @"...". Strings of several lines go between ``` and ```.',
        )
    if text.startswith(("```", "~~~"), position):
        mark = text[position : position + 3]
        return syntax_error(
            text,
            position,
            f"this multi-line string is not closed: no {mark} follows",
            length=3,
        )
    if character in "\u201c\u201d\u2018\u2019\u00ab\u00bb":
        return syntax_error(
            text,
            position,
            f"{character} is a typographic quote; strings take \" or '",
            remedy="Word processors and web pages change quotes when text is copied from them.",
        )
    if character == "&" or character == "^":
        return syntax_error(
            text,
            position,
            f"'{character}' is not an operator",
            remedy="Use `and` for logic, binary_and() and binary_xor() for bits.",
        )
    if character == "!":
        return syntax_error(
            text, position, "'!' must be followed by an operator", remedy="Negate with not(...)."
        )
    name = character if character.isprintable() else f"U+{ord(character):04X}"
    return syntax_error(text, position, f"the character '{name}' is not part of the language")
