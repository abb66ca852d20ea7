"""Functions over datetimes and timespans."""

from __future__ import annotations

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

_DATE = parameter(DATETIME, "date")
_OFFSET = optional(LONG, name="offset")


def _start(sql: str, unit: str) -> str:
    if unit == "week":
        # Kusto's weeks start on Sundays.
        return f"CAST(date_trunc('day', {sql}) AS TIMESTAMP) - to_days(CAST(dayofweek({sql}) AS INTEGER))"
    return f"CAST(date_trunc('{unit}', {sql}) AS TIMESTAMP)"


_STEPS = {
    "day": "to_days(CAST({0} AS INTEGER))",
    "week": "to_days(CAST({0} AS INTEGER) * 7)",
    "month": "to_months(CAST({0} AS INTEGER))",
    "year": "to_years(CAST({0} AS INTEGER))",
}


def _startof(unit: str) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        start = _start(call.sql[0], unit) if unit != "week" else call.once(_start("{d}", unit), d=call.sql[0])
        if len(call.arguments) < 2:
            return f"({start})"
        return f"({start} + {_STEPS[unit].format(call.sql[1])})"

    return emit


def _endof(unit: str) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        start = _start(call.sql[0], unit) if unit != "week" else call.once(_start("{d}", unit), d=call.sql[0])
        offset = f"{call.sql[1]} + 1" if len(call.arguments) > 1 else "1"
        return f"({start} + {_STEPS[unit].format(f'({offset})')} - to_microseconds(1))"

    return emit


for _unit in ("day", "week", "month", "year"):
    scalar(
        f"startof{_unit}",
        [_DATE, _OFFSET],
        DATETIME,
        _startof(_unit),
        column="{0}" if _unit == "day" else None,
    )
    scalar(
        f"endof{_unit}",
        [_DATE, _OFFSET],
        DATETIME,
        _endof(_unit),
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


def _in_range(sql: str) -> str:
    """A moment, or NULL where it is outside Kusto's years 1 to 9999."""
    low, high = "TIMESTAMP '0001-01-01'", "TIMESTAMP '9999-12-31 23:59:59.999999'"
    return f"CASE WHEN try({sql}) BETWEEN {low} AND {high} THEN {sql} END"


def _datetime_add(call: Emission) -> str:
    part = _part_of(call, ("year", "quarter", "month", "week", "day", *_CLOCK, "nanosecond"))
    amount = call.sql[1]
    if part == "nanosecond":
        step = f"to_microseconds(CAST({amount} AS BIGINT) // 1000)"
    elif part in _CLOCK:
        step = f"to_microseconds(CAST({amount} AS BIGINT) * {_CLOCK[part]})"
    elif part == "quarter":
        step = f"to_months(CAST({amount} AS INTEGER) * 3)"
    else:
        step = _STEPS[part].format(amount)
    return call.once(_in_range(f"({{date}} + {step})"), date=call.sql[2])


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
    def emit(call: Emission) -> str:
        sql = call.sql[0]
        if call.types[0] in (INT, LONG):
            micros = (
                f"CAST({sql} AS HUGEINT) * {1_000_000 // per_second}"
                if per_second <= 1_000_000
                else f"{sql} // {per_second // 1_000_000}"
            )
        else:
            micros = f"floor({sql} * {1_000_000 / per_second!r})"
        return f"TRY(make_timestamp(CAST({micros} AS BIGINT)))"

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
    if call.types[0] is DATETIME:
        value, center = f"epoch_us({value}) * 10", f"epoch_us({center}) * 10"
    return call.once("({v} BETWEEN {c} - {d} AND {c} + {d})", v=value, c=center, d=delta)


scalar(
    "around",
    [
        overload([parameter(DATETIME), parameter(DATETIME), parameter(TIMESPAN)], BOOL, _around),
        overload([parameter(TIMESPAN), parameter(TIMESPAN), parameter(TIMESPAN)], BOOL, _around),
        overload([parameter(INTEGER), parameter(INTEGER), parameter(INTEGER)], BOOL, _around),
        overload([parameter(REAL), parameter(REAL), parameter(REAL)], BOOL, _around),
    ],
)
