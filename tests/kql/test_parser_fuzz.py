"""Any text gives a tree or a syntax error, and nothing else, soon."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_kusto.errors import KqlSyntaxError
from spark_kusto.kql import parse, parse_command, syntax
from spark_kusto.kql.lexer import HYPHENATED_KEYWORDS, tokenize
from spark_kusto.kql.parser.command_grammar import COMMANDS
from spark_kusto.kql.parser.commands import split_script
from spark_kusto.kql.parser.operators import OPERATOR_NAMES
from tests.kql.published import QUERIES

COMMAND_TEXTS = (
    ".create-merge table T (a:long, ['b c']:string) with (folder='x', docstring=\"y\")",
    ".show table T extents (12345678-1234-1234-1234-123456789abc) hot where tags has 'a' | count; T",
    ".alter tables (A, B) policy caching hot = 1d, hot_window = datetime(2020) .. datetime(2021)",
    ".create-or-alter function with (folder='f') F(a:long = 1, T:(*)) { let x = a; T | where b > x }",
    ".create async materialized-view with (backfill=true) V on table T { T | summarize count() by a }",
    ".replace async extents in table T <| {.show table A extents}, {print x = 1}",
    ".ingest inline into table T with (format='csv') <| 1,2\n3,4",
    ".export async compressed to csv (h'u', 'v') with (sizeLimit=1) <| T | take 1",
    ".create external table E (a:long) kind=storage partition by (d:string) dataformat=csv ('u', h'v')",
    ".move async extents to table D with(x=1) with(y='a') <| .show table T extents;",
    ".add database D viewers ('x') skip-results 'note'",
    ".alter follower database D from 'p' tables include add (A*, B)",
    ".rename tables A = B, C = D ifexists",
    ".execute database script with (x=true) <|\n.show tables\n\n.show version",
    ".purge table T records in database D with (noregrets='true') <| where a == 1",
)

_SOUP = """
and or not in !in in~ between has !has contains matches regex by on with to of as kind hint
let set declare pattern query_parameters alias database restrict access view
datatable externaldata range print union find search toscalar materialize dynamic typeof
asc desc nulls first step default from partition order declare output others nodes edges
T a b ['c d'] $left $right * x* 1 1.5 1d 'x' "y" @'z' h"s" true long string datetime(2020)
( ) [ ] { } | ; , . : = == != < <= > >= + - * / % .. => =~ !~ <> <| --> -[ ]-> // @ ?
dynamic({"a":[1,null]}) typeof(long) count() 9223372036854775808 int(x) ``` ~~~
"""
PIECES = (*sorted(OPERATOR_NAMES), *HYPHENATED_KEYWORDS, *_SOUP.split())


def survives(read: Callable[[str], object], text: str) -> object:
    try:
        return read(text)
    except KqlSyntaxError as error:
        if error.line < 1 or error.column < 1 or not str(error):
            raise AssertionError("a syntax error without a place") from error
        return None


@st.composite
def mutated(draw: st.DrawFn, texts: tuple[str, ...]) -> str:
    """A text with some of its tokens dropped, doubled, swapped or replaced, or characters cut out."""
    text = draw(st.sampled_from(texts))
    if draw(st.booleans()):
        start = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 12))
        return text[:start] + draw(st.text(max_size=3)) + text[start + length :]
    found = tokenize(text) if "<|" not in text else None
    words = text.split() if found is None else found.texts[: len(found)]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(words)))
        change = draw(st.sampled_from(("drop", "insert", "double", "cut")))
        if change == "drop":
            words = words[:at] + words[at + 1 :]
        elif change == "insert":
            words = [*words[:at], draw(st.sampled_from(PIECES)), *words[at:]]
        elif change == "double":
            words = words[:at] + words[at : at + 5] + words[at:]
        else:
            words = words[:at]
    return " ".join(words)


MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(st.text())
def test_text(text: str) -> None:
    survives(parse, text)
    survives(parse_command, text)
    survives(parse_command, f".{text}")
    survives(split_script, text)


@MANY
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_token_soup(pieces: list[str]) -> None:
    text = " ".join(pieces)
    survives(parse, text)
    survives(parse, f"T | {text}")
    survives(parse_command, f".set T <| {text}")


@MANY
@given(mutated(QUERIES))
def test_mutated_queries(text: str) -> None:
    query = survives(parse, text)
    if isinstance(query, syntax.Query):
        # Whatever parses also prints and compares.
        assert query == parse(text)
        assert repr(query)


@MANY
@given(mutated(COMMAND_TEXTS))
def test_mutated_commands(text: str) -> None:
    survives(parse_command, text)


@MANY
@given(st.sampled_from(COMMANDS), st.lists(st.sampled_from(PIECES), max_size=8))
def test_command_soup(command: tuple[str, str], pieces: list[str]) -> None:
    words = [word for word in command[1].split() if word[0].isalpha()]
    survives(parse_command, f".{' '.join([*words, *pieces])}")


@pytest.mark.parametrize("text", COMMAND_TEXTS)
def test_every_beginning_of_a_command(text: str) -> None:
    for end in range(len(text)):
        survives(parse_command, text[:end])


@pytest.mark.parametrize("query", QUERIES[:12])
def test_every_beginning_of_a_query(query: str) -> None:
    for end in range(len(query)):
        survives(parse, query[:end])


@pytest.mark.parametrize(
    "text",
    [
        "int(" * 50_000,
        '"' * 100_001,
        "print '" + "\\\\" * 50_000,
        "```" * 33_333,
        "//" * 50_000,
        "a*" * 50_000,
        "T | project-away " + "a*" * 50_000,
        "project-" * 20_000,
        "1e" * 50_000,
        "print " + "9" * 100_000,
        "print decimal(" + "9" * 100_000 + ")",
        "print datetime(" + "1" * 100_000 + ")",
        "print timespan(" + "1" * 100_000 + "d)",
        "T | where " + " or ".join(["a == 1"] * 10_000),
        "T | fork " + "(take 1)" * 10_000,
        "T | where a in (" + ",".join(map(str, range(20_000))) + ")",
        "(a," * 5_000,
        "print " + "((a,b)=" * 3_000,
        ".show " * 10_000,
        ".set T <| " * 3_000,
        ".create function f() " + "{" * 10_000,
        ".show tables with (" + "a=1," * 5_000,
        " \n" * 50_000 + ".x",
        "// c\n" * 20_000 + ".x",
    ],
    ids=lambda text: text[:16],
)
def test_nothing_takes_long(text: str) -> None:
    started = time.perf_counter()
    survives(parse, text)
    survives(parse_command, text)
    # Generous: a fraction of a second on an idle machine, and quadratic behaviour would take minutes.
    assert time.perf_counter() - started < 10
