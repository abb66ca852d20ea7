"""Rows that write sizes and times as text, and those about local time."""

from __future__ import annotations

from spark_kusto.kql.algorithms import formats, timezones
from spark_kusto.kql.execution import to_json
from spark_kusto.kql.registry import (
    DATETIME,
    DYNAMIC,
    LONG,
    REAL,
    STRING,
    TIMESPAN,
    Emission,
    optional,
    python_scalar,
    scalar,
)

python_scalar(
    "format_bytes",
    [REAL, optional(LONG, 0, "precision"), optional(STRING, "", "units")],
    STRING,
    formats.format_bytes,
    column="{0}",
)

python_scalar("$format_datetime", [DATETIME, STRING], STRING, formats.format_datetime)


def _format_datetime(call: Emission) -> str:
    moment, pattern = call.arguments
    if isinstance(pattern.value, str):
        native = formats.strftime_pattern(pattern.value)
        if native is not None:
            return f"strftime({moment.sql}, '{native.replace(chr(39), chr(39) * 2)}')"
    return call.udf("$format_datetime", moment.sql, pattern.sql)


scalar("format_datetime", [DATETIME, STRING], STRING, _format_datetime, nulls="maybe", column="{0}")
python_scalar("format_timespan", [TIMESPAN, STRING], STRING, formats.format_timespan, column="{0}")

python_scalar("datetime_utc_to_local", [DATETIME, STRING], DATETIME, timezones.utc_to_local)
python_scalar("datetime_local_to_utc", [DATETIME, STRING], DATETIME, timezones.local_to_utc)
scalar(
    "datetime_list_timezones",
    [],
    DYNAMIC,
    lambda _call: "'" + (to_json(list(timezones.zone_names())) or "[]").replace("'", "''") + "'",
    nulls="never",
)
