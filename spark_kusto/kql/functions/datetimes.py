"""Functions over datetimes and timespans."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql.functions.conversions import TICKS_PER_DAY, datetime_sql, timespan_sql
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DATETIME,
    INT,
    INTEGER,
    LONG,
    NUMBER,
    REAL,
    TIMESPAN,
    Emission,
    constant,
    optional,
    overload,
    parameter,
    scalar,
)
from spark_kusto.kql.sql.literals import literal

_DATE = parameter(DATETIME, "date")
_OFFSET = optional(LONG, name="offset")


def _start(sql: str, unit: str) -> str:
    if unit == "week":
        # Kusto's weeks start on Sundays.
        return f"CAST(date_trunc('day', {sql}) AS TIMESTAMP) - to_days(CAST(dayofweek({sql}) AS INTEGER))"
    return f"CAST(date_trunc('{unit}', {sql}) AS TIMESTAMP)"


_FIRST, _LAST = dt.datetime.min, dt.datetime.max
_FIRST_MICROSECOND = (_FIRST - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
_LAST_MICROSECOND = (_LAST - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
_MICROSECONDS = _LAST_MICROSECOND - _FIRST_MICROSECOND
_DAYS = (_LAST - _FIRST).days + 1

_STEPS = {
    "day": ("to_days", 1, _DAYS),
    "week": ("to_days", 7, _DAYS // 7 + 1),
    "month": ("to_months", 1, 9999 * 12),
    "quarter": ("to_months", 3, 9999 * 4),
    "year": ("to_years", 1, 9999),
}
"""Units of the calendar: DuckDB's interval, how many of them, and more units than fit in all years."""


def _within_years(sql: str) -> str:
    return f"{sql} BETWEEN {literal(_FIRST, DATETIME)} AND {literal(_LAST, DATETIME)}"


def _in_range(sql: str) -> str:
    """A moment, or NULL where it is outside Kusto's years 1 to 9999."""
    return f"CASE WHEN {_within_years(f'try({sql})')} THEN {sql} END"


def _of_microseconds(sql: str) -> str:
    """The moment so many microseconds after 1970, or NULL where it is outside Kusto's years."""
    within = f"BETWEEN {_FIRST_MICROSECOND} AND {_LAST_MICROSECOND}"
    return f"CASE WHEN {sql} {within} THEN make_timestamp({sql}) END"


def _stepped(call: Emission, start: str, unit: str, further: int = 0, after: str = "") -> str:
    """SQL of a call's moment moved by its amount of units, and by ``further`` more; NULL where that is
    outside Kusto's years.

    Args:
        start: template of where the units count from, over the moment ``{d}``.
        after: what is added at the end.
    """
    date, amount = call.arguments if call.types[0] is DATETIME else call.arguments[:0:-1]
    interval, size, most = _STEPS[unit]
    if isinstance(amount.value, int) and abs(amount.value) > most:
        return "CAST(NULL AS TIMESTAMP)"
    moved = f"({start} + {interval}((CAST({{n}} AS INTEGER) + {further}) * {size}){after})"
    low, high = (literal(dt.datetime(year, 1, 1), DATETIME) for year in (1500, 8500))
    body = (
        # Most moments are far enough from the ends.
        f"CASE WHEN {{n}} BETWEEN -{most // 10} AND {most // 10} AND {{d}} BETWEEN {low} AND {high}"
        f" THEN {moved}"
        # More units than there are could be too many for DuckDB's intervals.
        f" WHEN {{n}} BETWEEN -{most} AND {most} THEN CASE WHEN {_within_years(moved)} THEN {moved} END END"
    )
    return call.once(body, d=date.sql, n=amount.sql)


_FIRST_SUNDAY = dt.datetime(1, 1, 7)
_LAST_SUNDAY = dt.datetime(9999, 12, 26)
_TO_END = " - to_microseconds(1)"


def _startof(unit: str) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        if len(call.arguments) > 1:
            return _stepped(call, _start("{d}", unit), unit)
        if unit != "week":
            return f"({_start(call.sql[0], unit)})"
        # The only start before the year 1.
        test = f"{{d}} >= {literal(_FIRST_SUNDAY, DATETIME)}"
        return call.once(f"CASE WHEN {test} THEN {_start('{d}', unit)} END", d=call.sql[0])

    return emit


def _endof(unit: str) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        if len(call.arguments) > 1:
            return _stepped(call, _start("{d}", unit), unit, 1, _TO_END)
        end = f"({_start('{d}', unit)} + {_STEPS[unit][0]}({_STEPS[unit][1]}){_TO_END})"
        if unit != "week":
            return end.format(d=call.sql[0])
        # The only end after the year 9999.
        return call.once(f"CASE WHEN {{d}} < {literal(_LAST_SUNDAY, DATETIME)} THEN {end} END", d=call.sql[0])

    return emit


for _unit in ("day", "week", "month", "year"):
    scalar(
        f"startof{_unit}",
        [_DATE, _OFFSET],
        DATETIME,
        _startof(_unit),
        nulls="maybe",
        column="{0}" if _unit == "day" else None,
    )
    scalar(
        f"endof{_unit}",
        [_DATE, _OFFSET],
        DATETIME,
        _endof(_unit),
        nulls="maybe",
        difference="ends one microsecond, not one tick, before the next: datetimes have microseconds",
    )

scalar("dayofweek", [_DATE], TIMESPAN, f"(CAST(dayofweek({{0}}) AS BIGINT) * {TICKS_PER_DAY})")
scalar("dayofmonth", [_DATE], INT, "CAST(day({0}) AS INTEGER)")
scalar("dayofyear", [_DATE], INT, "CAST(dayofyear({0}) AS INTEGER)")
scalar("monthofyear", [_DATE], LONG, "CAST(month({0}) AS BIGINT)", aliases=["getmonth"])
scalar("getyear", [_DATE], LONG, "CAST(year({0}) AS BIGINT)")
scalar("hourofday", [_DATE], INT, "CAST(hour({0}) AS INTEGER)")
scalar("week_of_year", [_DATE], INT, "CAST(weekofyear({0}) AS INTEGER)", aliases=["weekofyear"])


# --- parts ---------------------------------------------------------------------------------------

_PARTS = {
    "year": "year({0})",
    "quarter": "quarter({0})",
    "month": "month({0})",
    "week_of_year": "weekofyear({0})",
    "weekofyear": "weekofyear({0})",
    "week": "weekofyear({0})",
    "day": "day({0})",
    "dayofyear": "dayofyear({0})",
    "hour": "hour({0})",
    "minute": "minute({0})",
    "second": "second({0})",
    "millisecond": "millisecond({0}) % 1000",
    "microsecond": "microsecond({0}) % 1000000",
    "nanosecond": "microsecond({0}) % 1000000 * 1000",
}

_CLOCK = {
    "hour": 3_600_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1_000,
    "microsecond": 1,
}


def _part_of(call: Emission, known: Any) -> str:
    part = str(call.arguments[0].value).lower()
    if part not in known:
        raise KqlSemanticError(
            f"{call.name}() knows no part '{call.arguments[0].value}': it takes {', '.join(known)}.",
            code="SEM0013",
        )
    return part


def _datetime_part(call: Emission) -> str:
    return f"CAST({_PARTS[_part_of(call, _PARTS)].format(call.sql[1])} AS INTEGER)"


def _datetime_diff(call: Emission) -> str:
    part = _part_of(call, ("year", "quarter", "month", "week", *_CLOCK, "day", "nanosecond"))
    later, earlier = call.sql[1:]
    if part == "week":
        return call.once(
            f"CAST(datediff('day', {_start('{b}', 'week')}, {_start('{a}', 'week')}) // 7 AS BIGINT)",
            a=later,
            b=earlier,
        )
    if part == "nanosecond":
        return f"TRY((epoch_us({later}) - epoch_us({earlier})) * 1000)"
    return f"datediff('{part}', {earlier}, {later})"


def _datetime_add(call: Emission) -> str:
    part = _part_of(call, ("year", "quarter", "month", "week", "day", *_CLOCK, "nanosecond"))
    if part in _STEPS:
        return _stepped(call, "{d}", part)
    _, amount, date = call.sql
    if part == "nanosecond":
        most, step = (1 << 63) - 1, "CAST({n} AS BIGINT) // 1000"
    else:
        most, step = _MICROSECONDS // _CLOCK[part], f"CAST({{n}} AS BIGINT) * {_CLOCK[part]}"
    moment = _of_microseconds(f"(epoch_us({{d}}) + {step})")
    return call.once(f"CASE WHEN {{n}} BETWEEN -{most} AND {most} THEN {moment} END", d=date, n=amount)


_PART = constant(parameter(frozenset({*ANY})), "part")
scalar("datetime_part", [_PART, _DATE], INT, _datetime_part, aliases=["datepart"])
scalar(
    "datetime_diff",
    [_PART, parameter(DATETIME, "datetime1"), parameter(DATETIME, "datetime2")],
    LONG,
    _datetime_diff,
    nulls="maybe",
)
scalar("datetime_add", [_PART, parameter(INTEGER, "amount"), _DATE], DATETIME, _datetime_add, nulls="maybe")


# --- making --------------------------------------------------------------------------------------


def _make_datetime(call: Emission) -> str:
    parts = [
        # What a second has beyond microseconds is dropped, as everywhere.
        f"CAST({sql} AS BIGINT)" if position < 5 else f"(floor(round({sql} * 1e7) / 10) / 1e6)"
        for position, sql in enumerate(call.sql)
    ]
    parts += ["0", "0", "0.0"][len(parts) - 3 :]
    # A date that there is not is null.
    return _in_range(f"TRY(make_timestamp({', '.join(parts)}))")


def _make_timespan(call: Emission) -> str:
    parts = list(call.sql)
    if len(parts) < 4:
        parts.insert(0, "0")
    if len(parts) < 4:
        parts.append("0")
    days, hours, minutes, seconds = parts
    return (
        f"TRY(CAST({days} AS BIGINT) * {TICKS_PER_DAY} + CAST({hours} AS BIGINT) * 36000000000"
        f" + CAST({minutes} AS BIGINT) * 600000000 + CAST(round({seconds} * 10000000) AS BIGINT))"
    )


_OPTIONAL = [optional(NUMBER, name=name) for name in ("hour", "minute", "second")]
scalar(
    "make_datetime",
    [
        overload(
            [parameter(NUMBER, "year"), parameter(NUMBER, "month"), parameter(NUMBER, "day"), *_OPTIONAL],
            DATETIME,
            _make_datetime,
        ),
        overload([parameter(ANY, "value")], DATETIME, datetime_sql),
    ],
    nulls="maybe",
    column="{0}",
    column_if_single=True,
)
_CLOCKS = [
    parameter(INTEGER, "hours"),
    parameter(INTEGER, "minutes"),
    optional(NUMBER, name="seconds"),
]
scalar(
    "make_timespan",
    [
        overload(_CLOCKS, TIMESPAN, _make_timespan),
        overload(
            [parameter(INTEGER, "days"), *_CLOCKS[:2], parameter(NUMBER, "seconds")],
            TIMESPAN,
            _make_timespan,
        ),
        overload([parameter(ANY, "value")], TIMESPAN, timespan_sql),
    ],
    nulls="maybe",
    column="{0}",
    column_if_single=True,
)


def _from_unix(per_second: int) -> Callable[[Emission], str]:
    """From whole or broken units since 1970."""
    low = -(-_FIRST_MICROSECOND * per_second // 1_000_000)
    high = ((_LAST_MICROSECOND + 1) * per_second - 1) // 1_000_000

    def emit(call: Emission) -> str:
        if call.types[0] not in (INT, LONG):
            micros = f"floor(CAST({{x}} AS DOUBLE) * {1_000_000 / per_second!r}::DOUBLE)"
            test = f"{micros} >= {_FIRST_MICROSECOND} AND {micros} < {_LAST_MICROSECOND + 1}"
            return call.once(f"CASE WHEN {test} THEN make_timestamp({micros}::BIGINT) END", x=call.sql[0])
        micros = (
            f"* {1_000_000 // per_second}" if per_second <= 1_000_000 else f"// {per_second // 1_000_000}"
        )
        moment = f"make_timestamp(CAST({{x}} AS BIGINT) {micros})"
        if low >= -(1 << 63):
            moment = f"CASE WHEN {{x}} BETWEEN {low} AND {high} THEN {moment} END"
        return call.once(moment, x=call.sql[0])

    return emit


for _name, _per_second in (
    ("seconds", 1),
    ("milliseconds", 1_000),
    ("microseconds", 1_000_000),
    ("nanoseconds", 1_000_000_000),
):
    scalar(
        f"unixtime_{_name}_todatetime",
        [parameter(NUMBER, "number")],
        DATETIME,
        _from_unix(_per_second),
        nulls="maybe",
    )


# --- near ----------------------------------------------------------------------------------------


def _around(call: Emission) -> str:
    value, center, delta = call.sql
    if call.types[0] is REAL:
        return call.once("({v} BETWEEN {c} - {d} AND {c} + {d})", v=value, c=center, d=delta)
    if call.types[0] is DATETIME:
        return f"(abs(epoch_us({value}) - epoch_us({center})) * 10 <= {delta})"
    return f"(abs({value}::HUGEINT - {center}) <= {delta})"


scalar(
    "around",
    [
        overload([parameter(DATETIME), parameter(DATETIME), parameter(TIMESPAN)], BOOL, _around),
        overload([parameter(TIMESPAN), parameter(TIMESPAN), parameter(TIMESPAN)], BOOL, _around),
        overload([parameter(INTEGER), parameter(INTEGER), parameter(INTEGER)], BOOL, _around),
        overload([parameter(REAL), parameter(REAL), parameter(REAL)], BOOL, _around),
    ],
)
