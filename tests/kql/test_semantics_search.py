"""``search``, ``find`` and ``union`` over many tables."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.kql.executor import Database

DATABASE = Database(
    {
        "Logs": (
            [("Text", "string"), ("User", "string"), ("Code", "long"), ("Bag", "dynamic")],
            [
                ("disk full", "ann", 404, {"host": "srv-01"}),
                ("all well", "Bob", 200, None),
                ("pre", "fix", 1, ["deep"]),
            ],
        ),
        "Users": (
            [("User", "string"), ("Since", "datetime")],
            [("ann", dt.datetime(2024, 2, 3)), ("eve", None)],
        ),
    }
)


def rows(query: str) -> list[tuple[Any, ...]]:
    return sorted(DATABASE.rows(query), key=repr)


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ('"full"', 1),
        ('"FULL"', 1),
        ('"ful"', 0),
        ('"ful*"', 1),
        ('"*ull"', 1),
        ('"*ul*"', 1),
        ('"d*k"', 1),
        ('"404"', 1),
        ('"srv-01"', 1),
        ('"srv"', 1),
        ('"deep"', 1),
        ('"ann"', 2),
        ('"2024"', 1),
        ('"2024-02-03*"', 1),
        # Columns stay apart.
        ('"prefix"', 0),
        ('"pre fix"', 0),
        ('"*"', 5),
        ('"full" and "404"', 1),
        ('"full" and not("404")', 0),
        ('"disk" or User == "eve"', 2),
        ('User:"B*"', 1),
        ('Code:200 or "eve"', 2),
    ],
)
def test_terms_in_any_column(term: str, found: int) -> None:
    assert rows(f"search {term} | count") == [(found,)]
    assert rows(f"search in (Logs, Users) {term} | count") == [(found,)]
    assert rows(f"union Logs, Users | search {term} | count") == [(found,)]


@pytest.mark.parametrize(
    ("predicate", "found"),
    [
        ('* has "full"', 1),
        ('* !has "full"', 2),
        ('* contains "ul"', 1),
        ('* has_cs "BOB"', 0),
        ('* hasprefix "dis"', 1),
        ('* hassuffix "isk"', 1),
        ('* == "ann"', 1),
        ('* startswith "pre"', 1),
        ('* has "pre fix"', 0),
    ],
)
def test_stars_in_predicates(predicate: str, found: int) -> None:
    assert rows(f"Logs | where {predicate} | count") == [(found,)]


def test_case_sensitive_search() -> None:
    assert rows('search kind=case_sensitive "bob" | count') == [(0,)]
    assert rows('search kind=case_sensitive "Bob" | project $table, User') == [("Logs", "Bob")]


def test_a_term_may_hold_the_separator() -> None:
    assert rows('Logs | search "a\\u001fb" | count') == [(0,)]
    assert rows('print x = "a\\u001fb", y = "c" | search "a\\u001fb" | count') == [(1,)]
    assert rows('print x = "a", y = "b" | search "a\\u001fb" | count') == [(0,)]


MANY = Database(
    {
        f"T{number}": (
            [
                ("At", "datetime"),
                (f"s{number}", "string"),
                *((f"c{number}_{place}", "long") for place in range(12)),
                ("mixed", "string" if number % 2 else "long"),
            ],
            [(dt.datetime(2024, 1, 1), f"text {number}", *range(12), "odd" if number % 2 else 7)],
        )
        for number in range(40)
    }
)


def test_unlike_tables_keep_their_columns() -> None:
    names, types, found = MANY.query('search "odd" or "text 4"')
    assert len(names) == len(set(names)) == 1 + 1 + 40 * 13 + 2
    assert dict(zip(names, types, strict=True))["mixed_long"] == "long"
    by_table = {row[0]: dict(zip(names, row, strict=True)) for row in found}
    assert set(by_table) == {f"T{n}" for n in range(40) if n % 2} | {"T4"}
    row = by_table["T4"]
    assert row["s4"] == "text 4"
    assert row["c4_11"] == 11
    # What other tables have is null here, and empty where it is a text.
    assert row["s5"] == ""
    assert row["c5_0"] is None
    assert (row["mixed_long"], row["mixed_string"]) == (7, "")


def test_operators_over_unlike_tables() -> None:
    assert MANY.rows('union * | where s3 == "" | count') == [(39,)]
    assert MANY.rows("union * | where isempty(s3) and c7_2 == 2 | project s7, c7_2") == [("text 7", 2)]
    assert MANY.rows("union * | summarize sum(c1_1), dcount(s1), count() by At") == [
        (dt.datetime(2024, 1, 1), 1, 2, 40)
    ]
    assert MANY.rows("union withsource=Table * | where c9_0 == 0 | project Table, s9") == [("T9", "text 9")]
    assert MANY.rows('find "text 5" | project source_, At') == [("T5", dt.datetime(2024, 1, 1))]
    wide = MANY.rows("union * | top 1 by c3_5 desc nulls last")
    assert wide[0].count(None) == 39 * 12 + 1
