"""Values of expressions as Kusto documents them: nulls, numbers, bins, moments, texts, dynamic."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from tests.kql.semantics import evaluated, rows_of, same, schema_of

INF, NAN = math.inf, math.nan


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def span(**parts: float) -> dt.timedelta:
    return dt.timedelta(**parts)


# "Null values" of the documentation: == of two nulls is null, of a null and a value false; != true.
NULLS: dict[str, Any] = {
    "1 + int(null)": None,
    "long(null) == long(null)": None,
    "long(null) != 1": True,
    "long(null) == 1": False,
    "long(null) < 1": None,
    "not(bool(null))": None,
    "bool(null) and false": False,
    "bool(null) and true": None,
    "bool(null) or true": True,
    "bool(null) == true": False,
    "2 in (1, long(null))": False,
    "2 !in (1, long(null))": True,
    "long(null) in (1, 2)": False,
    "long(null) !in (1, 2)": True,
    "5 between (1 .. long(null))": None,
    "long(null) between (1 .. 5)": None,
    "isnull('')": False,
    "isempty('')": True,
    "isnull(dynamic(null))": True,
    "isempty(dynamic(null))": True,
    "datetime(null) < now()": None,
    "guid(null) == guid(null)": None,
    "real(null) == 1.0": False,
    "decimal(null) == decimal(1)": False,
    "timespan(null) == 1h": False,
    "iff(bool(null), 1, 2)": 2,
    "case(bool(null), 1, long(null) == 1, 2, 3)": 3,
    "coalesce(long(null), 3)": 3,
    "coalesce('', 'x')": "x",
    "strcat('a', tostring(long(null)), 'b')": "ab",
    "min_of(1, long(null), 3)": 1,
    "max_of(1, long(null), 3)": 3,
}

# "Numerical operators": integers wrap around; the remainder is never negative.
NUMBERS: dict[str, Any] = {
    "9223372036854775807 + 1": -9223372036854775808,
    "-9223372036854775807 - 2": 9223372036854775807,
    "9223372036854775807 * 2": -2,
    "int(2147483647) + 1": 2147483648,
    "7 / 2": 3,
    "-7 / 2": -3,
    "7 / -2": -3,
    "14 % 12": 2,
    "-14 % 12": 10,
    "14 % -12": 2,
    "-14 % -12": 10,
    "5 / 0": None,
    "5 % 0": None,
    "5.0 / 0": INF,
    "-5.0 / 0": -INF,
    "0.0 / 0": NAN,
    "real(nan) == real(nan)": False,
    "real(nan) != real(nan)": True,
    "real(+inf) > 1e308": True,
    "isnan(real(nan))": True,
    "isfinite(real(nan))": False,
    "toint(2147483648)": -2147483648,
    "toint(9999999999)": 1410065407,
    "toint(1e10)": 2147483647,
    "toint('9999999999')": None,
    "tolong(-1e30)": -9223372036854775808,
    "tolong(dynamic('5.7'))": None,
    "tolong(dynamic(5.7))": 5,
    "tolong(dynamic(true))": 1,
    "tolong(dynamic('true'))": None,
    "tolong(real(+inf))": None,
    "tobool('1.5')": None,
    "tobool(' 2 ')": True,
    "tobool('0')": False,
    "acos(2)": None,
    "asin(real(+inf))": None,
    "asin(real(nan))": NAN,
    "sign(real(null))": 0.0,
    "round(12345, -2)": 12300.0,
    "round(7)": 7.0,
    "round(1.005, 2)": 1.0,
    "tolong('9223372036854775808')": None,
    "tolong(12.7)": 12,
    "tolong(-12.7)": -12,
    "tolong('0x1F')": 31,
    "tolong('abc')": None,
    "tolong(1e30)": 9223372036854775807,
    "tolong(real(nan))": None,
    "todouble('1e3')": 1000.0,
    "tobool('TRUE')": True,
    "tobool('yes')": None,
    "tobool(2)": True,
    "1 == 1.0": True,
    "int(1) == 1": True,
    "1 == decimal(1.0)": True,
    "abs(long(-9223372036854775808))": None,
    "long(-9223372036854775808) / -1": -9223372036854775808,
    "round(2.5)": 3.0,
    "round(-2.5)": -3.0,
    "round(2.345, 2)": 2.35,
    "sqrt(-1)": NAN,
    "log(0)": -INF,
    "pow(2, 10)": 1024.0,
    "exp(1000)": INF,
    "binary_shift_right(-1, 1)": -1,
    "tohex(-1)": "ffffffffffffffff",
    "hash('a', 0)": None,
}

BINS: dict[str, Any] = {
    "bin(7, 5)": 5,
    "bin(-7, 5)": -10,
    "bin(7.5, 2)": 6.0,
    "bin(-7.5, 2)": -8.0,
    "bin(-1.5, 0.5)": -1.5,
    "bin(7, 2.5)": 5.0,
    "bin(long(null), 5)": None,
    "bin(5, 0)": None,
    "bin(5.0, 0)": NAN,
    "bin(5, -2)": 6,
    "bin(-5, -2)": -4,
    "bin(datetime(2024-05-06 07:08:09), 1d)": at("2024-05-06"),
    "bin(datetime(1969-12-31 23:00:00), 1d)": at("1969-12-31"),
    "bin(datetime(2024-05-08), 7d)": at("2024-05-06"),
    "bin(25h, 1d)": span(days=1),
    "bin(-1h, 1d)": span(days=-1),
    "bin_at(6.5, 2.5, 7)": 4.5,
    "bin_at(time(1h), 1d, 12h)": span(hours=-12),
    "bin_at(datetime(2017-05-15 10:20:00.0), 1d, datetime(1970-01-01 12:00:00.0))": at("2017-05-14 12:00"),
    "floor(7.5, 2)": 6.0,
}

MOMENTS: dict[str, Any] = {
    "datetime(2024-03-10) - datetime(2024-03-09)": span(days=1),
    "1d + datetime(2024-03-10)": at("2024-03-11"),
    "1d / 1h": 24.0,
    "1d / 2": span(hours=12),
    "2 * 1d": span(days=2),
    "1d * 1.5": span(hours=36),
    "90m % 1h": span(minutes=30),
    "1d - 25h": span(hours=-1),
    "1d / 0h": INF,
    "tostring(1d + 1h + 1m + 1.5s)": "1.01:01:01.5000000",
    "tostring(-1d)": "-1.00:00:00",
    "tostring(1tick)": "00:00:00.0000001",
    "tostring(datetime(2024-05-06))": "2024-05-06T00:00:00.0000000Z",
    "todatetime('2024-05-06T07:08:09+02:00')": at("2024-05-06 05:08:09"),
    "todatetime('garbage')": None,
    "totimespan('1.02:03:04')": span(days=1, hours=2, minutes=3, seconds=4),
    "make_datetime(2024, 2, 30)": None,
    "dayofweek(datetime(2024-05-06))": span(days=1),
    "week_of_year(datetime(2024-12-31))": 1,
    "startofweek(datetime(2024-05-08))": at("2024-05-05"),
    "startofmonth(datetime(2024-05-08), -1)": at("2024-04-01"),
    "datetime_diff('month', datetime(2024-03-31), datetime(2024-01-01))": 2,
    "datetime_diff('day', datetime(2024-05-06 00:01), datetime(2024-05-05 23:59))": 1,
    "datetime_add('month', 1, datetime(2024-01-31))": at("2024-02-29"),
    "format_datetime(datetime(2024-05-06 17:08:09.123), 'h:m:s tt')": "5:8:9 PM",
    "datetime_utc_to_local(datetime(2024-07-01), 'Europe/Berlin')": at("2024-07-01 02:00"),
    "now(-1h) == ago(1h)": True,
    "datetime(2024-05-06) between (datetime(2024-05-05) .. 2d)": True,
    "unixtime_seconds_todatetime(1e18)": None,
    "1d * 1e30": None,
    "datetime_add('year', 100000, datetime(2024-01-01))": None,
    "datetime_add('day', 9223372036854775807, datetime(2024-01-01))": None,
    "todatetime(9223372036854775807)": None,
    "make_datetime(99999, 1, 1)": None,
    "make_timespan(99999999999, 1)": None,
}

# Terms are runs of letters and digits; operators without _cs ignore case.
TEXTS: dict[str, Any] = {
    "'North America' has 'america'": True,
    "'NorthAmerica' has 'america'": False,
    "'a-b_c' has 'b'": True,
    "'a.b' has 'a.b'": True,
    "'xa.bx' has 'a.b'": False,
    "'North America' has_cs 'america'": False,
    "'a_b' has 'b'": True,
    "'(b)' has 'B'": True,
    "'éb' has 'b'": False,
    "'b\u00e9' has 'b'": False,
    "'é b' has 'b'": True,
    "'é-b' has 'b'": True,
    "'éb b-' has 'b'": True,
    "'é_b' hasprefix 'b'": True,
    "'éb' hasprefix 'b'": False,
    "'bé' hassuffix 'b'": False,
    "'é bb' hassuffix 'b'": True,
    "'xb b' has_cs 'b'": True,
    "'b2' has 'b'": False,
    "'@b.c' has '@b'": True,
    "'x@b' has '@b'": True,
    "'@bc' has '@b'": False,
    "'North America' hasprefix 'ame'": True,
    "'North America' hassuffix 'rth'": True,
    "'North America' !hasprefix 'rica'": True,
    "'abc' contains 'B'": True,
    "'abc' contains_cs 'B'": False,
    "'Stra\u00dfe' has 'stra\u00dfe'": True,
    "'\u4e2d\u6587 x' has '\u4e2d\u6587'": True,
    "'ABC' =~ 'abc'": True,
    "'ABC' == 'abc'": False,
    "'b' in~ ('A', 'B')": True,
    "'b' in ('A', 'B')": False,
    "'b' in (dynamic(['a', 'b']))": True,
    "'a b c' has_any ('x', 'C')": True,
    "'a b c' has_all ('a', 'x')": False,
    "'a b c' has_any (dynamic(['x', 'c']))": True,
    "'abc' startswith 'AB'": True,
    "'abc' startswith_cs 'AB'": False,
    "'abc' endswith 'BC'": True,
    "'abc' startswith ''": True,
    "'' == ''": True,
    "'B' < 'a'": True,
    "substring('abc', 1)": "bc",
    "substring('abc', 5)": "",
    "substring('abc', -2)": "bc",
    "substring('abc', -3, 2)": "ab",
    "substring('abc', -10)": "",
    "substring('abc', -10, 9)": "",
    "tostring(true)": "True",
    "tostring(dynamic(true))": "true",
    "strcat('a', 1 == 2, bool(null), dynamic(null), true)": "aFalseTrue",
    "strcat_array(dynamic(['a', null, true, {'b': 1}]), ',')": 'a,,true,{"b":1}',
    "strcat_array(dynamic('abc'), ',')": "abc",
    "hash_md5('')": "",
    "hash_sha256(long(null))": "",
    "gettype(guid(null))": "guid",
    "format_datetime(datetime(2024-05-06 07:08:09.1), 'ss.FFF')": "09.100",
    "format_datetime(datetime(2024-05-06 07:08:09), 'ss.FFF')": "09.",
    "parse_ipv4(' 1.2.3.4 ')": 16909060,
    "parse_ipv4('01.2.3.4')": None,
    "parse_ipv6('fe80::1%eth0')": "fe80:0000:0000:0000:0000:0000:0000:0001",
    "strlen('\U0001f600')": 1,
    "tostring(1.0)": "1.0",
    "tostring(1e20)": "1E+20",
    "tostring(real(-inf))": "-Infinity",
    "strcat('x', 1, 2.5, dynamic([1]))": "x12.5[1]",
    "split('a,b,,c', ',')": ["a", "b", "", "c"],
    "extract('(a)', 7, 'a')": "",
    "countof('aaa', 'a')": 3,
    "indexof('abc', 'c')": 2,
    "replace_regex('a1b22', @'\\d+', '#')": "a#b#",
    "trim('-+', '--a--')": "a",
    "url_decode('a%20b')": "a b",
    "base64_decode_tostring('SGVsbG8=')": "Hello",
}

DYNAMIC: dict[str, Any] = {
    "dynamic({'a': 1}).a + 1": 2,
    "tostring(dynamic({'a': 'x'}).a)": "x",
    "dynamic([1, 2, 3])[-1]": 3,
    "dynamic([1, 2])[9]": None,
    "isnull(dynamic({'a': 1}).b)": True,
    "dynamic({'a': 1}).A": None,
    "dynamic({'a b': 1})['a b']": 1,
    "tolong(dynamic({'a': '7'}).a)": 7,
    "tostring(dynamic({'a': [1, null]}))": '{"a":[1,null]}',
    "dynamic({'a': 1}).a == 1": True,
    "gettype(dynamic([1]))": "array",
    "gettype(parse_json('1.5'))": "double",
    "array_length(dynamic({'a': 1}))": None,
    "parse_json('[1,2')": "[1,2",
    "parse_json('')": None,
    "array_concat(dynamic([1]), dynamic([2, 'x']))": [1, 2, "x"],
    "array_slice(dynamic([1, 2, 3, 4]), 1, 2)": [2, 3],
    "array_sort_desc(dynamic([3, 1, 2]))": [3, 2, 1],
    "bag_merge(dynamic({'a': 1}), dynamic({'a': 2, 'b': 3}))": {"a": 1, "b": 3},
    "bag_keys(dynamic({'a': 1, 'b': {'c': 2}}))": ["a", "b"],
    "set_union(dynamic([1, 2]), dynamic([2, 3]))": [1, 2, 3],
    "range(1, 7, 3)": [1, 4, 7],
    "zip(dynamic([1, 2]), dynamic(['a', 'b']))": [[1, "a"], [2, "b"]],
}

ALL = {**NULLS, **NUMBERS, **BINS, **MOMENTS, **TEXTS, **DYNAMIC}


@pytest.mark.parametrize("expression", ALL)
def test_constant(expression: str) -> None:
    have, want = evaluated(expression), ALL[expression]
    assert same(have, want), f"{have!r}, not {want!r}"


@pytest.mark.parametrize(
    ("values", "expression", "want"),
    [
        ("long: 7, -7, 0, long(null)", "x / 2", [3, -3, 0, None]),
        ("long: 7, -7, 0, long(null)", "x % 3", [1, 2, 0, None]),
        ("long: 9223372036854775807, 1", "x + x", [-2, 2]),
        ("long: 9223372036854775807, 3", "x * x", [1, 9]),
        ("long: 0, 2", "10 / x", [None, 5]),
        ("real: 0.0, 2.0, real(null)", "10 / x", [INF, 5.0, None]),
        ("long: 1, 2, long(null)", "x in (1, 3)", [True, False, False]),
        ("long: 1, 2, long(null)", "x != 1", [False, True, True]),
        ("real: real(nan), 1.0, real(null)", "x == x", [False, True, None]),
        ("real: real(nan), 1.5, real(null)", "x > 1", [False, True, None]),
        ("real: real(nan), 1.5, real(null)", "x <= 2", [False, True, None]),
        ("real: real(nan), 1.5, real(null)", "2.0 < x", [False, False, None]),
        ("real: real(nan), 1.5, real(null)", "x != x", [True, False, None]),
        ("string: 'a', '', 'B'", "x =~ 'b'", [False, False, True]),
        ("bool: true, false, bool(null)", "not(x)", [False, True, None]),
        ("bool: true, false, bool(null)", "iff(x, 'y', 'n')", ["y", "n", "n"]),
        ("timespan: 1h, -1h, timespan(null)", "bin(x, 1d)", [span(), span(days=-1), None]),
        ("datetime: datetime(2024-01-31), datetime(null)", "x + 1d", [at("2024-02-01"), None]),
    ],
)
def test_column(values: str, expression: str, want: list[Any]) -> None:
    """The same over stored values, which no constant folding touches."""
    kind, _, items = values.partition(": ")
    rows = rows_of(f"datatable(x:{kind}) [{items}] | project y = {expression}")
    assert same([row[0] for row in rows], want), rows


ORDERS = {
    "asc": [None, 1, 2],
    "desc": [2, 1, None],
    "asc nulls last": [1, 2, None],
    "desc nulls first": [None, 2, 1],
    "": [2, 1, None],
}


@pytest.mark.parametrize("direction", ORDERS)
def test_order_of_nulls(direction: str) -> None:
    rows = rows_of(f"datatable(x:long) [1, long(null), 2] | sort by x {direction}")
    assert [row[0] for row in rows] == ORDERS[direction]


JOINS: dict[str, list[tuple[Any, ...]]] = {
    "inner": [(1, "a", "A"), (None, "n", "N")],
    "innerunique": [(1, "a", "A"), (None, "n", "N")],
    "leftouter": [(1, "a", "A"), (2, "b", ""), (None, "n", "N")],
    "leftanti": [(2, "b")],
    "leftsemi": [(1, "a"), (None, "n")],
    "rightouter": [(1, "a", "A"), (None, "", "C"), (None, "n", "N")],
    "rightanti": [(3, "C")],
    "rightsemi": [(1, "A"), (None, "N")],
}


@pytest.mark.parametrize("kind", JOINS)
def test_join(kind: str) -> None:
    """A null key meets a null key; absent texts are empty."""
    left = "datatable(k:long, l:string) [1, 'a', 2, 'b', long(null), 'n']"
    right = "datatable(k:long, r:string) [1, 'A', 3, 'C', long(null), 'N']"
    away = "" if kind.endswith(("anti", "semi")) else "| project k, l, r"
    rows = rows_of(f"{left} | join kind={kind} ({right}) on k {away}")
    order = [(str(row), row) for row in rows]
    assert sorted(order) == sorted((str(row), row) for row in JOINS[kind])


NAMES: dict[str, list[str]] = {
    "print 1, 'a', x = 2": ["print_0", "print_1", "x"],
    "print a = 1 | join kind=inner (print a = 1) on a": ["a", "a1"],
    "print a = 1, b = 2 | summarize count(), sum(a), max(b), dcount(a), make_list(b)": [
        "count_",
        "sum_a",
        "max_b",
        "dcount_a",
        "list_b",
    ],
    "print a = 1 | summarize percentiles(a, 5, 50.5)": ["percentile_a_5", "percentile_a_50_5"],
    "print a = 1, b = 2 | summarize arg_max(a, *)": ["a", "b"],
    "print a = 1, b = 2 | summarize arg_max(a, b) by z = 1": ["z", "a", "b"],
    "print a = 1 | extend a + 1, strcat('x', a)": ["a", "Column1", "Column2"],
    "print d = dynamic({'a': {'b': 1}}) | project d.a, d.a.b, d['a']": ["d_a", "d_a_b", "d_a1"],
    "print a = 1 | count": ["Count"],
    "print a = 1 | project pow(a, 2), exp10(a), exp2(a)": ["Column1", "Column2", "a"],
    "print d = dynamic([2]), e = dynamic({}) | project array_sort_asc(d), array_sort_desc(e.a)": [
        "d_sorted",
        "array0_sorted",
    ],
    "print d = dynamic([2]) | project array_sort_asc(d, split('a', ','))": ["d_sorted", "array1_sorted"],
    "print x = dynamic([1]) | mv-expand with_itemindex=i x": ["x", "i"],
    "union withsource=s (print a = 1), (print a = 'x')": ["s", "a_long", "a_string"],
}


@pytest.mark.parametrize("query", NAMES)
def test_names(query: str) -> None:
    assert [name for name, _ in schema_of(query)] == NAMES[query]


STATEMENTS = {
    "let f = (a:long, b:long = 10) { a + b }; print f(1), f(1, 2), f(b=3, a=4)": [(11, 3, 7)],
    "let f = (T:(x:long), least:long) { T | where x >= least }; f(range x from 1 to 3 step 1, 2)": [
        (2,),
        (3,),
    ],
    "let x = 1; let f = () { let x = 2; x }; print x, f()": [(1, 2)],
    "let x = 5; datatable(x:long) [1] | project x": [(1,)],
    "let v = view () { print a = 1 }; v | project a": [(1,)],
    "let f = (T:(*)) { T | count }; print a = 1 | invoke f()": [(1,)],
    "declare query_parameters(p:long = 4); print p": [(4,)],
    "set query_now = datetime(2020-01-01); print now()": [(at("2020-01-01"),)],
    "let g = (s:string) { toupper(s) }; let f = (s:string) { g(s) }; print f('a')": [("A",)],
}


@pytest.mark.parametrize("query", STATEMENTS)
def test_statement(query: str) -> None:
    assert rows_of(query) == STATEMENTS[query]
