"""Pieces of KQL text: where operators can follow, and literals that read back as the same value."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_kusto.spark.query_text import (
    appendable,
    datetime_literal,
    decimal_literal,
    quoted_name,
    real_literal,
    takes_operators,
    text_literal,
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("T", "T"),
        ("T;", "T"),
        ("T ; // done\n", "T"),
        ("T | take 3 // note", "T | take 3"),
        ("let x = 1; T | where a == x;", "let x = 1; T | where a == x"),
        ("T | where u == 'http://a;b' // c", "T | where u == 'http://a;b'"),
        ('T | where u == @"c:\\" // c', 'T | where u == @"c:\\"'),
        ("T | where u == ```a // ;\n``` ;", "T | where u == ```a // ;\n```"),
        ("T | summarize count() by a | render timechart", "T | summarize count() by a"),
        ("T | render piechart with (title='a|b') ; ", "T"),
        ("T | where a == 'render' | project render", "T | where a == 'render' | project render"),
        ("let f = () { T | render x }; f()", "let f = () { T | render x }; f()"),
        ("T | take 1; U", "T | take 1"),
        ("set a = 1; let x = 2; T | where a == x; let y = 3; U;", "set a = 1; let x = 2; T | where a == x"),
        ("declare query_parameters(a: long); T; T | count", "declare query_parameters(a: long); T"),
        ("['let'] | take 1; U", "['let'] | take 1"),
        ("T | render piechart; U", "T"),
    ],
)
def test_operators_can_follow(query: str, expected: str) -> None:
    assert appendable(query) == expected


def test_operators_follow_no_several_tables() -> None:
    assert takes_operators("T | where a == 'fork' | project facet; U | fork (count) (take 1)")
    assert takes_operators("let f = () { T | fork (count) (take 1) }; U")
    assert not takes_operators("T | fork (count) (take 1)")
    assert not takes_operators("let x = 1; T | facet by a")


def test_names_and_literals() -> None:
    assert quoted_name("a.b") == "['a.b']"
    assert quoted_name("it's \\") == "['it\\'s \\\\']"
    assert text_literal("a\nb\t\x01\u2028") == "'a\\nb\\t\\u0001\\u2028'"
    assert real_literal(float("-inf")) == "real(-inf)"
    assert real_literal(1e300) == "real(1e300)"
    assert decimal_literal(Decimal("1E-18")) == "decimal(0.000000000000000001)"
    assert datetime_literal(0) == "datetime(1970-01-01T00:00:00.000000Z)"
    assert datetime_literal(-62_135_596_800_000_001) is None
    assert datetime_literal(2**62) is None


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_text_literals_read_back(text: str) -> None:
    from spark_kusto.kql import parse

    assert text in _values(parse(f"print x = {text_literal(text)}"))


@settings(deadline=None)
@given(st.floats(allow_nan=False))
def test_real_literals_read_back(value: float) -> None:
    from spark_kusto.kql import parse

    assert value in _values(parse(f"print x = {real_literal(value)}"))


def _values(tree: object) -> list[object]:
    """All values of a syntax tree's dataclasses."""
    found: list[object] = []
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, (tuple, list)):
            pending.extend(node)
        elif hasattr(node, "__dataclass_fields__"):
            pending.extend(getattr(node, name) for name in node.__dataclass_fields__)
        else:
            found.append(node)
    return found
