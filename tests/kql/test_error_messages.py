"""What errors of queries say: the place, the reason and what to write instead."""

from __future__ import annotations

import pytest

from spark_kusto.errors import KqlError, KqlSemanticError, KustoError
from tests.kql.executor import Database

DATABASE = Database(
    {
        "T": (
            [("Name", "string"), ("Size", "long"), ("At", "datetime"), ("Bag", "dynamic")],
            [("user-1", 3, None, {"a": 1})],
        )
    }
)

MESSAGES = {
    # What is forgotten or written as in another language, and what the message must contain.
    "T | summarize count by Name": "count is a function: write count().",
    "T | extend z = isnotempty": "write isnotempty()",
    "T | summarize Size by Name": "'Size' is a column of the input, neither aggregated nor a group key",
    "T | where Size == null": "isnull(x)",
    "T | extend x == 1": "named with one =",
    "T | summarize c = count(), by Name": "Remove the comma before it.",
    "SELECT Name FROM T": "looks like SQL",
    "T | where !isempty(Name)": "not(isempty(...))",
    "T | where !Name": "not(Name)",
    "T | join kind=cross T on Name": "leftouter",
    "T | take 1.5": "whole number",
    "T | take 'x'": "whole number",
    "T | make-series count() on At from 1 to 2 step 1d": "of type datetime, but this bound is of type long",
}


@pytest.mark.parametrize("query", MESSAGES)
def test_messages(query: str) -> None:
    with pytest.raises(KqlError) as caught:
        DATABASE.compile(query)
    text = str(caught.value)
    assert MESSAGES[query] in text
    assert "^" in text


FAULTS = {
    "(": "a ( is not closed",
    "a)": "a ) closes nothing",
    "[a-z": "a [ is not closed",
    "*a": "nothing before a *",
    "a(?=b)": "neither lookaround",
    "(?<!a)b": "neither lookaround",
    r"(\\w)\\1": "no back references",
}


@pytest.mark.parametrize("pattern", FAULTS)
@pytest.mark.parametrize(
    "query",
    [
        "T | where Name matches regex '{}'",
        "T | extend x = extract('{}', 1, Name)",
        "T | extend x = extract_all('{}', Name)",
        "T | extend x = replace_regex(Name, '{}', '')",
        "T | extend x = trim('{}', Name)",
        "T | extend x = indexof_regex(Name, '{}')",
        "T | parse kind=regex Name with '{}' x",
        "T | parse-kv Name as (x:string) with (regex='{}')",
        "let r = '{}'; T | where Name matches regex r",
    ],
)
def test_regular_expressions_are_read_while_binding(query: str, pattern: str) -> None:
    with pytest.raises(KqlSemanticError) as caught:
        DATABASE.compile(query.replace("{}", pattern))
    assert FAULTS[pattern] in str(caught.value)
    assert caught.value.column is not None


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[\w-\.]+@([\w-]+\.)+[\w-]{2,4}$",
        r"(?i)[[:alpha:]]+-\pN",
        r"(?P<a>x)(?:y|z)*?(?s:.)\Q(\E",
        r"[]a]|[^]]|\x{41}|\d{2,}",
        r"\bfoo\B|\Abar\z",
        "",
    ],
)
def test_regular_expressions_of_re2_pass(pattern: str) -> None:
    quoted = pattern.replace('"', '""')
    DATABASE.rows(f'T | where Name matches regex @"{quoted}" or isnotempty(extract(@"{quoted}", 0, Name))')


def test_groups_may_have_names() -> None:
    assert DATABASE.rows(r"T | project extract(@'(?<kind>\w+)-(?<n>\d)', 2, Name)") == [("1",)]
    assert DATABASE.rows(r"T | parse kind=regex Name with @'(?<kind>\w+)-' n:long | project n") == [(1,)]


# --- queries that grow when they are written out -------------------------------------------------


GROWING = {
    "calls": "\n".join(
        f"let f{n} = (a:long) {{ {'a' if n == 0 else f'f{n - 1}(a) + f{n - 1}(a)'} }};" for n in range(30)
    )
    + "print f29(1)",
    "tables": "\n".join(
        f"let f{n} = () {{ {'T' if n == 0 else f'union f{n - 1}(), f{n - 1}()'} }};" for n in range(30)
    )
    + "f29 | count",
    "arguments": f"let f = (a:long) {{ a + a }}; T | extend y = {'f(' * 40}Size{')' * 40}",
    "variables": "let v0 = toscalar(T | count);\n"
    + "\n".join(f"let v{n} = v{n - 1} + v{n - 1};" for n in range(1, 60))
    + "print v59",
}


@pytest.mark.parametrize("name", GROWING)
def test_doubling_upon_doubling_is_an_error(name: str) -> None:
    with pytest.raises(KqlSemanticError, match="Written out"):
        DATABASE.compile(GROWING[name])


def test_long_lists_of_terms() -> None:
    words = ", ".join(f'"evil-{number}.example"' for number in range(3000))
    assert DATABASE.rows(f'T | where Name has_any ({words}) or Name has_any ({words}, "1") | count') == [(1,)]
    hashes = ", ".join(f'"{number:064x}"' for number in range(1000))
    assert DATABASE.rows(f"let l = dynamic([{hashes}]); T | where Name has_any (l) | count") == [(0,)]
    assert DATABASE.rows('T | where Name has_any ("USER", "ser", "r-1", "-1", "-", "x", "y") | count') == [
        (1,)
    ]
    assert DATABASE.rows('T | where Name has_any ("ser", "use", "er-1", "x", "y", "z", "w") | count') == [
        (0,)
    ]


def test_nothing_of_the_engine_shows() -> None:
    for query in MESSAGES:
        with pytest.raises(KustoError) as caught:
            DATABASE.compile(query)
        assert "duckdb" not in str(caught.value).lower()
