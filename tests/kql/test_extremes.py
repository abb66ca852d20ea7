"""Values at the ends of their types, alone and in columns: a query answers as it does for others, and a
column's values as constants."""

from __future__ import annotations

import datetime as dt
import math

import pyarrow as pa
import pytest

from spark_kusto.errors import TypeConversionError
from spark_kusto.types import KustoType
from spark_kusto.types.results import python_column
from tests.kql.executor import Database
from tests.kql.semantics import evaluated, one_row, rows_of, same

LEAST, MOST = -(2**63), 2**63 - 1


def wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


# --- longs ---------------------------------------------------------------------------------------

# Pairs of columns a and b; the expressions below share parts, which must not fail where DuckDB
# computes them once.
PAIRS = [
    (1, 2),
    (MOST, 2),
    (LEAST, -1),
    (LEAST, LEAST),
    (MOST, MOST),
    (3037000500, 3037000500),
    (-3037000500, 3037000499),
    (6 * 10**17, 15),
    (6 * 10**17, 16),
    (2**62, -2),
    (-(2**62), -2),
    (None, 5),
    (0, MOST),
]
WRAPPING = [
    ("a * 31", "a * 31 + 7"),
    ("a * a + a * a", "a * a"),
    ("a * b", "a * b - b"),
    ("a + b", "(a + b) * 3"),
    ("a - b - 1", "a - b"),
    ("-a", "-a + 1"),
    ("a * a + b * b + a * b", "a * a * b"),
    ("a * a * a * a - b * b * b * b", "(a * a - b * b) * (a + b) * (a - b)"),
    ("(a + b) * 0", "a + b"),
    ("a * 9223372036854775807 * b", "a * 9223372036854775807"),
]


@pytest.mark.parametrize("expressions", WRAPPING)
def test_longs_wrap_around_in_shared_parts(expressions: tuple[str, str]) -> None:
    rows = [list(pair) for pair in PAIRS] * 3
    database = Database({"T": ([("a", "long"), ("b", "long")], rows)})
    want = [
        tuple(None if None in pair and "a" in text else _computed(text, *pair) for text in expressions)
        for pair in PAIRS
    ]
    query = f"T | extend x = {expressions[0]}, y = {expressions[1]} | project x, y"
    assert database.rows(query) == want * 3


def _computed(text: str, a: int | None, b: int | None) -> int:
    return wrapped(eval(text, {}, {"a": a, "b": b}))


def test_longs_wrap_around_over_computed_operands() -> None:
    (row,) = rows_of(
        "datatable(t: string, a: long)['9223372036854775807', 4]"
        " | extend x = tolong(t) * 31, y = tolong(t) * 31 + 7, z = tolong(t) * a / 3 * a"
        " | project x, y, z"
    )
    third = int(wrapped(MOST * 4) / 3)
    assert row == (wrapped(MOST * 31), wrapped(MOST * 31 + 7), wrapped(third * 4))


@pytest.mark.parametrize("kind", ["int", "long"])
@pytest.mark.parametrize("divisor", [1, 2, 7, 92, -3, 100, 4294967296])
def test_remainders_of_columns_are_never_negative(kind: str, divisor: int) -> None:
    least, most = (LEAST, MOST) if kind == "long" else (-(2**31), 2**31 - 1)
    values: list[int | None] = [7, -93, 107, -7, -100, 0, least, most, None]
    listed = ", ".join(f"{kind}({'null' if value is None else value})" for value in values)
    table = f"datatable(a: {kind})[{listed}]"
    rests = [None if value is None else value % abs(divisor) for value in values]
    assert [row[0] for row in rows_of(f"{table} | project a % {divisor}")] == rests
    for wanted in (0, 1, 7, 64, -93, 107):
        found = [wanted == rest for rest in rests]
        for test in (f"a % {divisor} == {wanted}", f"{wanted} == a % {divisor}"):
            assert [row[0] for row in rows_of(f"{table} | project {test}")] == found, test
            assert len(rows_of(f"{table} | where {test}")) == sum(found), test
            assert len(rows_of(f"{table} | where not({test})")) == len(found) - sum(found), test


@pytest.mark.parametrize(
    "divisor", [1, -1, 3, -3, 4611686018427387904, 9223372036854775807, -9223372036854775807]
)
def test_remainders_of_the_ends(divisor: int) -> None:
    assert one_row("a: long, b: long", f"{LEAST}, {divisor}", f"a % {divisor}, a % b") == (
        LEAST % abs(divisor),
        LEAST % abs(divisor),
    )
    assert one_row("a: long, b: long", f"{MOST}, {divisor}", f"a % {divisor}, a % b") == (
        MOST % abs(divisor),
        MOST % abs(divisor),
    )


DIVISIONS = [
    *("a % n", "a / n", "t % d", "bin(a, n)", "bin(t, d)", "bin(d, d)"),
    *("bin_at(a, n, 0)", "bin_at(t, d, t)", "bin_at(d, d, d)"),
]


def test_what_is_divided_by_zero_is_null() -> None:
    columns, values = "a: long, n: long, t: datetime, d: timespan", "5, 0, datetime(2020-01-01), timespan(0)"
    assert one_row(columns, values, ", ".join(DIVISIONS)) == (None,) * len(DIVISIONS)


@pytest.mark.parametrize("size", [1, 7, 10, 64, 4611686018427387905])
@pytest.mark.parametrize("value", [LEAST, LEAST + 3, LEAST + 8, -1, 0, MOST - 1, MOST])
def test_bins_of_the_ends(value: int, size: int) -> None:
    floor = value // size * size
    want = floor if floor >= LEAST else None
    assert one_row("a: long, n: long", f"{value}, {size}", f"bin(a, {size}), bin(a, n)") == (want, want)
    assert one_row("a: long, n: long", f"{value}, {size}", "bin_at(a, n, 0)") == (want,)


def test_bins_of_the_least_int() -> None:
    assert one_row("a: int", "-2147483648", "bin(a, 10), bin(a, 2000000000)") == (-2147483650, -4000000000)


# --- timespans -----------------------------------------------------------------------------------

TIMESPANS = [
    ("x + x", MOST * 2),
    ("x + 1tick", MOST + 1),
    ("-x - 2tick", -MOST - 2),
    ("x * 3", MOST * 3),
    ("3 * x", MOST * 3),
    ("x * n", MOST * 5),
    ("(x + 1tick) - x", 1),
    ("-(x + 1tick)", -(MOST + 1)),
]


@pytest.mark.parametrize(("expression", "ticks"), TIMESPANS)
def test_timespans_wrap_around(expression: str, ticks: int) -> None:
    query = f"x: timespan, n: long)[timespan({MOST}tick), 5] | project tolong({expression})"
    assert rows_of(f"datatable({query}") == [(wrapped(ticks),)]
    folded = expression.replace("n", "5") if expression.endswith("n") else expression
    folded = folded.replace("x", f"timespan({MOST}tick)")
    assert evaluated(f"tolong({folded})") == wrapped(ticks)


def test_the_least_timespan() -> None:
    assert one_row(
        "x: long", str(LEAST), "tostring(totimespan(x)), abs(totimespan(x)), bin(totimespan(x), 1d)"
    ) == (
        "-10675199.02:48:05.4775808",
        None,
        None,
    )


# --- datetimes -----------------------------------------------------------------------------------

FIRST, LAST = "datetime(0001-01-01)", "datetime(9999-12-31 23:59:59.999999)"
FIRST_DAY, LAST_DAY = dt.datetime.min, dt.datetime.max
MOMENTS = [
    # over t, the expression, and what it gives
    (LAST, "t + 1d", None),
    (LAST, "1d + t", None),
    (LAST, "t + 1d - 1d", None),
    (LAST, "t - 1d", LAST_DAY - dt.timedelta(days=1)),
    (FIRST, "t - 1microsecond", None),
    (FIRST, "t + 1d", FIRST_DAY + dt.timedelta(days=1)),
    (FIRST, "t + 3652058d", dt.datetime(9999, 12, 31)),
    (FIRST, "t + 3652059d", None),
    (FIRST, "t - totimespan(-9223372036854775807)", None),
    (FIRST, "startofweek(t)", None),
    ("datetime(0001-01-07 12:00)", "startofweek(t)", dt.datetime(1, 1, 7)),
    (FIRST, "startofyear(t)", FIRST_DAY),
    (FIRST, "startofday(t, -1)", None),
    (FIRST, "startofmonth(t, 5000000000)", None),
    (LAST, "endofweek(t)", None),
    ("datetime(9999-12-25)", "endofweek(t)", dt.datetime(9999, 12, 25, 23, 59, 59, 999999)),
    (LAST, "endofday(t)", LAST_DAY),
    (LAST, "endofmonth(t)", LAST_DAY),
    (LAST, "endofyear(t)", LAST_DAY),
    (LAST, "endofyear(t, 1)", None),
    (LAST, "endofyear(t, -9998)", dt.datetime(1, 12, 31, 23, 59, 59, 999999)),
    (FIRST, "bin(t, 7d)", FIRST_DAY),
    (FIRST, "bin_at(t, 7d, datetime(2000-01-01))", None),
    (LAST, "bin_at(t, 10000000d, datetime(2000-01-01))", dt.datetime(2000, 1, 1)),
    ("datetime(2020-01-01)", 'datetime_add("year", 300000, t)', None),
    ("datetime(2020-01-01)", 'datetime_add("day", 3000000000, t)', None),
    ("datetime(2020-01-01)", 'datetime_add("month", -24240, t)', None),
    ("datetime(2020-01-01)", 'datetime_add("quarter", 9223372036854775807, t)', None),
    ("datetime(2020-01-01)", 'datetime_add("second", 9223372036854775807, t)', None),
    (
        "datetime(2020-01-01)",
        'datetime_add("nanosecond", 9223372036854775807, t)',
        dt.datetime(2312, 4, 11, 23, 47, 16, 854775),
    ),
    ("datetime(2020-01-01)", 'datetime_add("week", -105346, t)', dt.datetime(1, 1, 3)),
    ("datetime(2020-01-01)", "around(t, datetime(9999-12-31), totimespan(9223372036854775807))", True),
]


@pytest.mark.parametrize(("moment", "expression", "want"), MOMENTS)
def test_datetimes_outside_the_years_are_null(moment: str, expression: str, want: dt.datetime | None) -> None:
    assert one_row("t: datetime", moment, expression) == (want,)
    # Operands as columns, too: constants may be folded.
    amounts = {
        "totimespan(-9223372036854775807)": "timespan",
        "3000000000": "long",
        "300000": "long",
        "5000000000": "long",
        "9223372036854775807": "long",
        "3652059d": "timespan",
        "3652058d": "timespan",
        "1microsecond": "timespan",
        "1d": "timespan",
        "-9998": "long",
        "-24240": "long",
        "-105346": "long",
    }
    for amount, kind in amounts.items():
        if amount in expression and "around" not in expression and "bin" not in expression:
            moved = expression.replace(amount, "n")
            assert one_row(f"t: datetime, n: {kind}", f"{moment}, {amount}", moved) == (want,)
            return


UNIX = [
    ("seconds", 1600000000000, None),
    ("seconds", 253402300799, dt.datetime(9999, 12, 31, 23, 59, 59)),
    ("seconds", 253402300800, None),
    ("seconds", -62135596800, FIRST_DAY),
    ("seconds", -62135596801, None),
    ("seconds", MOST, None),
    ("milliseconds", 253402300799999, dt.datetime(9999, 12, 31, 23, 59, 59, 999000)),
    ("milliseconds", 253402300800000, None),
    ("microseconds", 253402300799999999, LAST_DAY),
    ("microseconds", 253402300800000000, None),
    ("microseconds", -62135596800000001, None),
    ("nanoseconds", MOST, dt.datetime(2262, 4, 11, 23, 47, 16, 854775)),
    ("nanoseconds", LEAST + 808, dt.datetime(1677, 9, 21, 0, 12, 43, 145225)),
]


@pytest.mark.parametrize(("unit", "number", "want"), UNIX)
def test_unix_times_outside_the_years_are_null(unit: str, number: int, want: dt.datetime | None) -> None:
    name = f"unixtime_{unit}_todatetime"
    assert evaluated(f"{name}({number})") == want
    assert one_row("n: long", str(number), f"{name}(n)") == (want,)


@pytest.mark.parametrize("number", ["1e30", "-1e30", "real(nan)", "real(+inf)", "253402300800.0"])
def test_unix_times_of_reals_outside_the_years_are_null(number: str) -> None:
    assert one_row("n: real", number, "unixtime_seconds_todatetime(n)") == (None,)


def test_scan_steps_over_the_last_day() -> None:
    rows = rows_of(
        "datatable(t: datetime)[datetime(9999-12-31)] | scan declare (u: datetime) with"
        " (step s: true => u = t + 1d;)"
    )
    assert rows == [(dt.datetime(9999, 12, 31), None)]


def test_numbers_as_datetimes() -> None:
    assert one_row("x: real", "1e308", "todatetime(x)") == (None,)
    assert evaluated("todatetime(1e308)") is None


TEXTS = {
    "2020-01-01 (BC)": None,
    "2020-01-01 24:00:00": None,
    "2020-01-01 23:60": None,
    "2020-01-01 10:00 PST": None,
    "2020-01-01 10:00:00 America/New_York": None,
    "0000-01-01": None,
    "0001-01-01T00:00:00+01:00": None,
    "9999-12-31T23:30:00-01:00": None,
    "0001-01-01": dt.datetime(1, 1, 1),
    "9999-12-31T23:59:59.9999999Z": dt.datetime.max,
    "0001-01-01T01:00:00+01:00": dt.datetime(1, 1, 1),
    "9998-12-31T23:30:00-01:00": dt.datetime(9999, 1, 1, 0, 30),
    "9999-12-31": dt.datetime(9999, 12, 31),
    "01/01/0000": None,
    "2020-01-01": dt.datetime(2020, 1, 1),
    "2020-01-01T10:20": dt.datetime(2020, 1, 1, 10, 20),
    "2020-01-01T10:20:30Z": dt.datetime(2020, 1, 1, 10, 20, 30),
    "2020-01-01 10:20:30.1234567": dt.datetime(2020, 1, 1, 10, 20, 30, 123456),
    "2020-01-01T10:20:30+02:30": dt.datetime(2020, 1, 1, 7, 50, 30),
    "2020-01-01T10:20:30 +0230": dt.datetime(2020, 1, 1, 7, 50, 30),
    "2020-01-01T10:20:30-08": dt.datetime(2020, 1, 1, 18, 20, 30),
    "2020-02-30": None,
    "02/29/2020 01:02:03 PM": dt.datetime(2020, 2, 29, 13, 2, 3),
}


def test_texts_that_are_datetimes() -> None:
    database = Database({"T": ([("s", "string")], [[text] for text in TEXTS])})
    found = database.rows("T | project s, todatetime(s)")
    assert found == list(TEXTS.items())
    for text, want in TEXTS.items():
        assert evaluated(f'todatetime("{text}")') == want


def test_results_name_a_datetime_that_python_has_not() -> None:
    stamps = pa.array([0, None, 2**60], pa.timestamp("us"))
    with pytest.raises(TypeConversionError, match=r"Row 2: .*outside the years 1 to 9999") as caught:
        python_column(stamps, KustoType.DATETIME)
    assert caught.value.row == 2


def test_results_say_that_a_dynamic_is_too_deep() -> None:
    with pytest.raises(TypeConversionError, match="nested too deeply"):
        python_column(pa.array(["[" * 200_000 + "]" * 200_000]), KustoType.DYNAMIC)


# --- reals ---------------------------------------------------------------------------------------

NAN, INF = math.nan, math.inf
ORDERS = {
    "v desc": [INF, 1.0, -5.0, -INF, NAN, None],
    "v asc": [None, NAN, -INF, -5.0, 1.0, INF],
    "v desc nulls first": [None, NAN, INF, 1.0, -5.0, -INF],
    "v asc nulls last": [-INF, -5.0, 1.0, INF, NAN, None],
}
REALS = "datatable(v: real)[1.0, real(nan), real(-inf), real(null), real(+inf), -5.0]"


@pytest.mark.parametrize("order", ORDERS)
def test_nan_stands_beside_the_nulls(order: str) -> None:
    want = [(value,) for value in ORDERS[order]]
    assert same(rows_of(f"{REALS} | sort by {order}"), want)
    assert same(rows_of(f"{REALS} | top 2 by {order}"), want[:2])
    assert same(
        rows_of(f"{REALS} | order by {order} | extend p = prev(v) | project p"), [(None,), *want[:-1]]
    )
    (listed,) = rows_of(f"{REALS} | where isnotnull(v) | order by {order} | summarize make_list(tostring(v))")
    names = {INF: "Infinity", -INF: "-Infinity", 1.0: "1.0", -5.0: "-5.0"}
    assert listed[0] == [
        "NaN" if value != value else names[value] for value in ORDERS[order] if value is not None
    ]


@pytest.mark.parametrize("text", ["1_000", "1_0.5", "1e1_0", "_1"])
def test_digits_are_not_separated(text: str) -> None:
    expression = "toreal(s), todecimal(s), tolong(s), toreal(d.s), todecimal(d.s), tolong(d.s), tobool(d.s)"
    assert (
        one_row("s: string, d: dynamic", f'"{text}", dynamic({{"s": "{text}"}})', expression) == (None,) * 7
    )
    assert evaluated(f'toreal("{text}")') is None
    assert evaluated(f'todecimal("{text}")') is None
