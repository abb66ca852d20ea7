"""What scalar expressions mean: nulls, numbers, time, texts, dynamic values."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from tests.kql.executor import Database

DATABASE = Database()


def value(expression: str) -> Any:
    return DATABASE.value(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 == long(null)", False),
        ("1 != long(null)", True),
        ("long(null) == long(null)", None),
        ("long(null) != long(null)", None),
        ("1 < long(null)", None),
        ("not(1 == long(null))", True),
        ("long(null) in (1, 2)", False),
        ("long(null) !in (1, 2)", True),
        ("1 + long(null)", None),
        ("isnull(long(null)) and true", True),
        ("bool(null) and false", False),
        ("bool(null) or true", True),
        ("strlen(tostring(long(null)))", 0),
        ("'' == tostring(dynamic(null))", True),
    ],
)
def test_nulls(expression: str, expected: Any) -> None:
    assert value(expression) is expected or value(expression) == expected


def test_nulls_of_columns_in_filters_and_outside() -> None:
    table = Database({"T": ([("a", "long"), ("b", "long")], [(1, 1), (1, None), (None, None), (2, 1)])})
    assert table.rows("T | where a == b") == [(1, 1)]
    assert table.rows("T | where a != b") == [(1, None), (2, 1)]
    assert table.rows("T | where not(a == b)") == [(1, None), (2, 1)]
    assert table.rows("T | project e = a == b, n = a != b, l = a < b") == [
        (True, False, False),
        (False, True, None),
        (None, None, None),
        (False, True, False),
    ]
    assert table.rows("T | where a != 1 | count") == [(2,)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("-7 / 2", -3),
        ("7 / -2", -3),
        ("1 / 0", None),
        ("-14 % 12", 10),
        ("14 % -12", 2),
        ("-14 % -12", 10),
        ("5 % 0", None),
        ("9223372036854775807 + 1", -(2**63)),
        ("9223372036854775807 * 9223372036854775807", 1),
        ("-9223372036854775807 - 2", 2**63 - 1),
        ("2147483647 + 1", 2147483648),
        ("toint(2147483647) + toint(1)", 2147483648),
        ("1 + 2 * 3", 7),
        ("10 / 4.0", 2.5),
        ("bin(-7, 3)", -9),
        ("bin(7.5, 2.0)", 6.0),
        ("bin(4.5, 1)", 4.0),
    ],
)
def test_numbers(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_numbers_of_columns_wrap_around_too() -> None:
    most = 2**63 - 1
    table = Database({"T": ([("x", "long"), ("i", "int")], [(most, 2**31 - 1), (3, -7), (None, None)])})
    assert table.rows("T | project x + 1, x * x, -x, i + 1, i % 3, x - i") == [
        (-(2**63), 1, -most, 2**31, 1, most - 2**31 + 1),
        (4, 9, -3, -6, 2, 10),
        (None, None, None, None, None, None),
    ]


def test_division_of_reals_by_zero() -> None:
    assert value("1.0 / 0") == math.inf
    assert value("-1.0 / 0.0") == -math.inf
    assert math.isnan(value("0.0 / 0.0"))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("datetime(2024-01-31) + 1d", dt.datetime(2024, 2, 1)),
        ("1d + datetime(2024-01-31)", dt.datetime(2024, 2, 1)),
        ("datetime(2024-03-01) - datetime(2024-02-28)", dt.timedelta(days=2)),
        ("datetime(2024-03-01) - 1h", dt.datetime(2024, 2, 29, 23)),
        ("2 * 90m", dt.timedelta(hours=3)),
        ("1d / 2", dt.timedelta(hours=12)),
        ("1d / 6h", 4.0),
        ("1.5 * 1h", dt.timedelta(minutes=90)),
        ("25h % 1d", dt.timedelta(hours=1)),
        ("bin(datetime(2024-01-01 10:37), 15m)", dt.datetime(2024, 1, 1, 10, 30)),
        ("bin(-90m, 1h)", dt.timedelta(hours=-2)),
        ("bin(datetime(1969-12-31 23:59), 1h)", dt.datetime(1969, 12, 31, 23)),
        ("datetime(2024-01-01) between (datetime(2023-12-31) .. 1d)", True),
        ("datetime(2024-01-02 00:00:01) between (datetime(2024-01-01) .. 1d)", False),
        ("now() - ago(2h)", dt.timedelta(hours=2)),
        ("tostring(1d + 2h + 3m + 4s)", "1.02:03:04"),
        ("tostring(-1.5 * 1s)", "-00:00:01.5000000"),
    ],
)
def test_time(expression: str, expected: Any) -> None:
    assert value(expression) == expected


TEXT = "Hello World foo_bar x.y"


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('has "world"', True),
        ('has "wor"', False),
        ('has_cs "world"', False),
        ('has "foo"', True),
        ('has "foo_bar"', True),
        ('has "oo_ba"', False),
        ('has "x.y"', True),
        ('has ""', True),
        ('!has "earth"', True),
        ('hasprefix "wor"', True),
        ('hasprefix "orl"', False),
        ('hassuffix "bar"', True),
        ('hassuffix_cs "BAR"', False),
        ('contains "LO W"', True),
        ('contains_cs "LO W"', False),
        ('contains "%"', False),
        ('contains "o_b"', True),
        ('contains "o-b"', False),
        ('startswith "hello"', True),
        ('!startswith_cs "hello"', True),
        ('endswith "X.Y"', True),
        ('=~ "HELLO world FOO_BAR x.y"', True),
        ('!~ "hello"', True),
        ('in ("a", "Hello World foo_bar x.y")', True),
        ('in~ ("HELLO WORLD FOO_BAR X.Y")', True),
        ('matches regex "W[a-z]+d"', True),
        ('has_any ("earth", "WORLD")', True),
        ('has_any (dynamic(["earth", "mars"]))', False),
        ('has_all ("foo", "hello")', True),
        ('has_all ("foo", "earth")', False),
    ],
)
def test_texts(test: str, expected: bool) -> None:
    assert value(f'"{TEXT}" {test}') is expected
    table = Database({"T": ([("s", "string")], [(TEXT,)])})
    assert table.rows(f"T | project s {test}") == [(expected,)]
    assert table.rows(f"T | where s {test} | count") == [(int(expected),)]


def test_texts_against_columns() -> None:
    table = Database(
        {"T": ([("s", "string"), ("n", "string")], [("a-Foo b", "foo"), ("afoo", "foo"), ("x", "")])}
    )
    assert table.rows("T | project s has n, s contains n, s startswith n, s =~ n") == [
        (True, True, False, False),
        (False, True, False, False),
        (True, True, True, False),
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("dynamic({'a': {'b': [1, 2]}}).a.b[1]", 2),
        ("dynamic({'a': {'b': [1, 2]}})['a']['b'][-1]", 2),
        ("dynamic({'a': null}).a", None),
        ("isnull(dynamic({'a': null}).a)", True),
        ("dynamic({'a': 1}).b", None),
        ("tostring(dynamic({'a': 'x'}).a)", "x"),
        ("tostring(dynamic([1, 'a', null]))", '[1,"a",null]'),
        ("tolong(dynamic({'a': '5'}).a)", 5),
        ("tolong(dynamic({'a': 5.7}).a)", 5),
        ("dynamic({'a': 5}).a == 5", True),
        ("dynamic({'a': 5}).a > 4.5", True),
        ("dynamic({'a': 'x'}).a == 'x'", True),
        ("dynamic({'a': 2}).a + 1", 3),
        ('dynamic({"a\'b": 1})["a\'b"]', 1),
        ("dynamic({'a.b': 1})['a.b']", 1),
        ("dynamic({'a\"b': 7})['a\"b']", 7),
        ("'b' in (dynamic(['a', 'b']))", True),
        ('parse_json(\'{"a": {"b": 3}}\').a.b', 3),
        ("parse_json('no json')", "no json"),
        ("gettype(dynamic([1])[0])", "long"),
    ],
)
def test_dynamic(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_dynamic_index_by_column() -> None:
    table = Database(
        {
            "T": (
                [("d", "dynamic"), ("k", "string"), ("i", "long")],
                [({"a": [1, 2]}, "a", 1), ([5, 6], "a", -1)],
            )
        }
    )
    assert table.rows("T | project d[k], d[k][i], d[i]") == [([1, 2], 2, None), (None, None, 6)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("iff(1 > 0, 'a', 'b')", "a"),
        ("iff(bool(null), 1, 2)", 2),
        ("case(false, 1, true, 2, 3)", 2),
        ("iff(true, 1, 2.5)", 1.0),
        ("coalesce(long(null), 5)", 5),
        ("coalesce('', 'x')", "x"),
        ("max_of(1, 5, 3)", 5),
        ("min_of(1.5, 2)", 1.5),
        ("toscalar(range x from 1 to 3 step 1 | summarize sum(x))", 6),
        ("toscalar(print 1 | where false)", None),
        ("array_sort_asc(dynamic([3, 1, 2]))", [1, 2, 3]),
        ("array_sort_desc(dynamic([1, 2]), dynamic(['a', 'b']))[1]", ["b", "a"]),
        ("extract('a(b+)', 1, 'xabbb')", "bbb"),
        ("extract('(\\\\d+)', 1, 'n 42', typeof(long))", 42),
    ],
)
def test_choices(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_types_of_expressions() -> None:
    _, types, _ = DATABASE.query(
        "print toint(1) + toint(1), 1 + 1.5, 1 + decimal(1), 1d * 2, now() - now(), 1 == 2,"
        " dynamic(1) + 1, 'a'"
    )
    assert types == ["long", "real", "decimal", "timespan", "timespan", "bool", "long", "string"]
