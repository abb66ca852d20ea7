"""Conversions between scalar types: ``tostring``, ``tolong``, ``todatetime`` and their like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DATETIME,
    DECIMAL,
    DYNAMIC,
    GUID,
    INT,
    LONG,
    REAL,
    STRING,
    TIMESPAN,
    Argument,
    Emission,
    parameter,
    python_scalar,
    scalar,
)
from spark_kusto.types import KustoType

UNIX_EPOCH_TICKS = 621_355_968_000_000_000
"""Ticks of 100 ns from year 1 to 1970."""

END_OF_TICKS = 3_155_378_975_999_999_999
"""The last tick of the year 9999."""

TICKS_PER_SECOND = 10_000_000
TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND


def timespan_text(call: Emission, sql: str) -> str:
    """SQL of ``[-][d.]hh:mm:ss[.fffffff]``."""
    # Parts are made positive one by one: the least timespan has no counterpart.
    return call.once(
        "CASE WHEN {t} < 0 THEN '-' ELSE '' END"
        f" || CASE WHEN {{t}} // {TICKS_PER_DAY} <> 0 THEN abs({{t}} // {TICKS_PER_DAY}) || '.' ELSE '' END"
        " || lpad(CAST(abs({t} // 36000000000 % 24) AS VARCHAR), 2, '0')"
        " || ':' || lpad(CAST(abs({t} // 600000000 % 60) AS VARCHAR), 2, '0')"
        " || ':' || lpad(CAST(abs({t} // 10000000 % 60) AS VARCHAR), 2, '0')"
        " || CASE WHEN {t} % 10000000 = 0 THEN ''"
        " ELSE '.' || lpad(CAST(abs({t} % 10000000) AS VARCHAR), 7, '0') END",
        t=sql,
    )


def real_text(call: Emission, sql: str) -> str:
    """SQL of a real's shortest text that reads back as the same value."""
    return call.once(
        "CASE WHEN isfinite({x}) THEN upper(CAST({x} AS VARCHAR))"
        " WHEN isnan({x}) THEN 'NaN' WHEN {x} > 0 THEN 'Infinity' WHEN {x} < 0 THEN '-Infinity' END",
        x=sql,
    )


def text_or_null(call: Emission, argument: Argument) -> str:
    """SQL of what ``tostring`` gives, NULL where the value is null."""
    kind, sql = argument.type, argument.sql
    if kind is STRING:
        return sql
    if kind is DYNAMIC:
        return argument.text
    if kind is DATETIME:
        return f"strftime({sql}, '%Y-%m-%dT%H:%M:%S.%f0Z')"
    if kind is TIMESPAN:
        return timespan_text(call, sql)
    if kind is REAL:
        return real_text(call, sql)
    if kind is DECIMAL:
        return f"rtrim(rtrim(CAST({sql} AS VARCHAR), '0'), '.')"
    if kind is BOOL:
        # As .NET writes it; within dynamic it is JSON's true.
        return f"CASE {sql} WHEN true THEN 'True' WHEN false THEN 'False' END"
    return f"CAST({sql} AS VARCHAR)"


def text(call: Emission, argument: Argument) -> str:
    """SQL of what ``tostring`` gives: null is the empty string."""
    sql = text_or_null(call, argument)
    return sql if argument.type is STRING or not argument.nullable else f"coalesce({sql}, '')"


def _braced(sql: str) -> str:
    return sql.replace("{", "{{").replace("}", "}}")


def number_of_text(sql: str, target: str) -> str:
    """SQL of the number that a text, a column or a name, is; NULL if it is none. DuckDB would take
    ``1_000``, too."""
    return f"CASE WHEN NOT contains({sql}, '_') THEN TRY_CAST({sql} AS {target}) END"


def _within(target: str) -> str:
    """Template of a real without its fraction, kept between the type's ends; NaN and infinities are null."""
    least, most = _ENDS[target]
    return (
        f"CASE WHEN NOT isfinite({{x}}) THEN NULL WHEN {{x}} >= {most}::DOUBLE THEN {most}"
        f" WHEN {{x}} <= {least}::DOUBLE THEN {least} ELSE CAST(trunc({{x}}) AS {target}) END"
    )


_ENDS = {
    "INTEGER": ("(-2147483648)::INTEGER", "2147483647::INTEGER"),
    "BIGINT": ("(-9223372036854775808)::BIGINT", "9223372036854775807::BIGINT"),
}
_INTEGER_TEXT = r"^\s*[+-]?([0-9]+|0[xX][0-9a-fA-F]+)\s*$"


def _integer(target: str) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        argument = call.arguments[0]
        kind, sql = argument.type, argument.sql
        if kind is LONG and target == "INTEGER":
            # A long wraps around, where a real stops at the ends.
            return f"CAST(({sql} & 4294967295) - (({sql} & 2147483648) << 1) AS INTEGER)"
        if kind in (INT, LONG):
            return f"CAST({sql} AS {target})"
        if kind is BOOL:
            return f"CAST({sql} AS {target})"
        if kind is REAL:
            return call.once(_within(target), x=sql)
        if kind is DECIMAL:
            return f"TRY_CAST(trunc({sql}) AS {target})"
        if kind is TIMESPAN:
            return f"TRY_CAST({sql} AS {target})"
        if kind is DATETIME:
            return f"TRY_CAST(epoch_us({sql}) * 10 + {UNIX_EPOCH_TICKS} AS {target})"
        if kind is DYNAMIC:
            real = _within(target).replace("{x}", f"({number_of_text('{x}', 'DOUBLE')})")
            return call.once(
                f"CASE WHEN regexp_matches({{x}}, '{_INTEGER_TEXT}') THEN TRY_CAST({{x}} AS {target})"
                f" WHEN starts_with({_braced(sql)}, '\"') THEN NULL"
                f" WHEN {{x}} IN ('true', 'false') THEN CAST({{x}} = 'true' AS {target})"
                f" ELSE {real} END",
                x=argument.text,
            )
        if kind is STRING:
            return call.once(
                f"CASE WHEN regexp_matches({{x}}, '{_INTEGER_TEXT}') THEN TRY_CAST({{x}} AS {target}) END",
                x=sql,
            )
        return f"CAST(NULL AS {target})"

    return emit


def _floating(call: Emission) -> str:
    argument = call.arguments[0]
    kind, sql = argument.type, argument.sql
    if kind is DYNAMIC:
        return call.once(
            "CASE WHEN {x} IN ('true', 'false') THEN CAST({x} = 'true' AS DOUBLE)"
            f" ELSE {number_of_text('{x}', 'DOUBLE')} END",
            x=argument.text,
        )
    if kind is STRING:
        return call.once(number_of_text("{x}", "DOUBLE"), x=sql)
    if kind is DATETIME:
        return f"CAST(epoch_us({sql}) * 10 + {UNIX_EPOCH_TICKS} AS DOUBLE)"
    if kind is GUID:
        return "CAST(NULL AS DOUBLE)"
    return f"CAST({sql} AS DOUBLE)"


def _decimal(call: Emission) -> str:
    argument = call.arguments[0]
    kind, sql = argument.type, argument.sql
    if kind is DYNAMIC:
        return call.once(number_of_text("{x}", "DECIMAL(38, 18)"), x=argument.text)
    if kind is DATETIME:
        return f"CAST(epoch_us({sql}) * 10 + {UNIX_EPOCH_TICKS} AS DECIMAL(38, 18))"
    if kind is GUID:
        return "CAST(NULL AS DECIMAL(38, 18))"
    if kind is REAL:
        # The shortest text keeps 0.1 from becoming 0.1000000000000000055.
        return f"TRY_CAST(CAST({sql} AS VARCHAR) AS DECIMAL(38, 18))"
    if kind is STRING:
        return call.once(number_of_text("{x}", "DECIMAL(38, 18)"), x=sql)
    return f"TRY_CAST({sql} AS DECIMAL(38, 18))"


def _boolean(call: Emission) -> str:
    argument = call.arguments[0]
    kind, sql = argument.type, argument.sql
    if kind is BOOL:
        return sql
    if kind in (INT, LONG, REAL, DECIMAL):
        return f"({sql} <> 0)"
    if kind in (STRING, DYNAMIC):
        return call.once(
            # Of numbers in texts only whole ones have a truth.
            "CASE WHEN {x} = 'true' THEN true WHEN {x} = 'false' THEN false"
            " WHEN regexp_matches({x}, '^[-+]?[0-9]+$') THEN regexp_matches({x}, '[1-9]')"
            + (f" ELSE ({number_of_text('{x}', 'DOUBLE')}) <> 0" if kind is DYNAMIC else "")
            + " END",
            x=f"lower(trim({argument.text if kind is DYNAMIC else sql}, E' \\t\\r\\n'))",
        )
    return "CAST(NULL AS BOOLEAN)"


def _ticks_to_datetime(sql: str) -> str:
    micros = f"({sql} - {UNIX_EPOCH_TICKS}) // 10"
    return f"CASE WHEN {sql} BETWEEN 0 AND {END_OF_TICKS} THEN make_timestamp({micros}) END"


# What DuckDB reads as Kusto does; it knows more, such as names of zones. Other forms, and offsets in the
# first and last year, which may lead out of them, are left to the slower reading.
_YEAR = r"(?:[1-9]\d{3}|0(?:[1-9]\d\d|0[1-9]\d|00[1-9]))"
_INNER_YEAR = r"(?:[1-8]\d{3}|9(?:[0-8]\d\d|9[0-8]\d|99[0-8])|0(?:[1-9]\d\d|0[1-9]\d|00[2-9]))"
_CLOCK = r"[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
_ISO = rf"^(?:{_YEAR}-\d\d-\d\d(?:{_CLOCK}Z?)?|{_INNER_YEAR}-\d\d-\d\d{_CLOCK}[+-]\d\d(?::[0-5]\d)?)$"

# What American programs write; a year of two digits is left to the slower reading.
_AMERICAN = ", ".join(
    f"'%m/%d/%Y{clock}'" for clock in ("", " %H:%M:%S", " %I:%M:%S %p", " %H:%M", " %I:%M %p")
)


def datetime_sql(call: Emission) -> str:
    """SQL of what ``todatetime`` gives."""
    argument = call.arguments[0]
    kind, sql = argument.type, argument.sql
    if kind is DATETIME:
        return sql
    if kind in (INT, LONG):
        return _ticks_to_datetime(f"CAST({sql} AS BIGINT)")
    if kind in (REAL, DECIMAL):
        return _ticks_to_datetime(f"TRY_CAST(trunc({sql}) AS BIGINT)")
    if kind in (STRING, DYNAMIC):
        return call.once(
            # A zone in the text is an offset to UTC; a text without one is UTC.
            f"coalesce(CASE WHEN regexp_matches({{x}}, '{_braced(_ISO)}')"
            " THEN CAST(TRY_CAST({x} AS TIMESTAMPTZ) AS TIMESTAMP)"
            " WHEN regexp_matches({x}, '^\\d{{1,2}}/\\d{{1,2}}/[1-9]\\d{{3}}($| )')"
            f" THEN try_strptime({{x}}, [{_AMERICAN}]) END, " + call.udf("$todatetime", "{x}") + ")",
            x=argument.text if kind is DYNAMIC else sql,
        )
    return "CAST(NULL AS TIMESTAMP)"


def timespan_sql(call: Emission) -> str:
    """SQL of what ``totimespan`` gives."""
    argument = call.arguments[0]
    kind, sql = argument.type, argument.sql
    if kind is TIMESPAN:
        return sql
    if kind in (INT, LONG):
        return f"CAST({sql} AS BIGINT)"
    if kind in (REAL, DECIMAL):
        return f"TRY_CAST(trunc({sql}) AS BIGINT)"
    if kind is DATETIME:
        return f"(epoch_us({sql}) * 10 + {UNIX_EPOCH_TICKS})"
    if kind is BOOL:
        return f"CAST({sql} AS BIGINT)"
    if kind in (STRING, DYNAMIC):
        return call.udf("$totimespan", argument.text if kind is DYNAMIC else sql)
    return "CAST(NULL AS BIGINT)"


def _guid(call: Emission) -> str:
    argument = call.arguments[0]
    kind, sql = argument.type, argument.sql
    if kind is GUID:
        return sql
    if kind in (STRING, DYNAMIC):
        return f"TRY_CAST({argument.text if kind is DYNAMIC else sql} AS UUID)"
    return "CAST(NULL AS UUID)"


def _tostring(call: Emission) -> str:
    return text(call, call.arguments[0])


def _parse_datetime(value: str) -> Any:
    from spark_kusto.types.text import parse_datetime

    return parse_datetime(value)


def _parse_timespan(value: str) -> int | None:
    from spark_kusto.types.text import parse_timespan

    return parse_timespan(value)


python_scalar("$todatetime", [STRING], DATETIME, _parse_datetime)
python_scalar("$totimespan", [STRING], TIMESPAN, _parse_timespan)


def _conversion(
    name: str, returns: KustoType, emit: Callable[[Emission], str], *aliases: str, nulls: str = "maybe"
) -> None:
    scalar(name, [parameter(ANY, "value")], returns, emit, nulls=nulls, aliases=aliases, column="{0}")


_conversion("tostring", STRING, _tostring, nulls="never")
_conversion("toint", INT, _integer("INTEGER"))
_conversion("tolong", LONG, _integer("BIGINT"))
_conversion("toreal", REAL, _floating, "todouble")
_conversion("todecimal", DECIMAL, _decimal)
_conversion("tobool", BOOL, _boolean, "toboolean")
_conversion("todatetime", DATETIME, datetime_sql)
_conversion("totimespan", TIMESPAN, timespan_sql, "totime")
_conversion("toguid", GUID, _guid)
