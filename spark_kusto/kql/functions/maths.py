"""Arithmetic functions: rounding, powers, trigonometry, bits, binning."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from spark_kusto.kql.functions.conversions import END_OF_TICKS, UNIX_EPOCH_TICKS
from spark_kusto.kql.registry import (
    BOOL,
    DATETIME,
    DECIMAL,
    INT,
    INTEGER,
    LONG,
    NOT_CONSTANT,
    NUMBER,
    REAL,
    STRING,
    TIMESPAN,
    Argument,
    Emission,
    constant,
    optional,
    overload,
    parameter,
    python_scalar,
    same,
    scalar,
    widest,
)

_NUMBER = parameter(NUMBER, "number")


def _real(name: str, sql: str, *aliases: str, column: str | None = "{0}") -> None:
    """A function from a number to a real; outside its domain NaN."""
    scalar(name, [parameter(REAL, "number")], REAL, sql, aliases=aliases, column=column)


_real("exp", "exp({0})")
_real("exp2", "pow(2.0::DOUBLE, {0})")
_real("exp10", "pow(10.0::DOUBLE, {0})", column=None)
_real("log", "ln({0})")
_real("log10", "log10({0})")
_real("log2", "log2({0})")
_real("sqrt", "sqrt({0})")
_real("sin", "sin({0})")
_real("cos", "cos({0})")
_real("tan", "tan({0})")
for _name in ("asin", "acos"):
    scalar(
        _name,
        [parameter(REAL, "number")],
        REAL,
        # Null outside of their domain, NaN for NaN.
        f"CASE WHEN abs({{0}}) <= 1 OR isnan({{0}}) THEN {_name}({{0}}) END",
        nulls="maybe",
        column="{0}",
    )
_real("atan", "atan({0})")
_real("cot", "cot({0})", column=None)
_real("degrees", "degrees({0})", column=None)
_real("radians", "radians({0})", column=None)
scalar("atan2", [parameter(REAL, "y"), parameter(REAL, "x")], REAL, "atan2({0}, {1})", column="{0}")
scalar("pow", [parameter(REAL, "base"), parameter(REAL, "exponent")], REAL, "pow({0}, {1})")
scalar("pi", [], REAL, "pi()", nulls="never")
scalar("sign", [_NUMBER], REAL, "CAST(coalesce(sign({0}), 0) AS DOUBLE)", nulls="never")
scalar("isnan", [parameter(REAL, "number")], BOOL, "coalesce(isnan({0}), false)", nulls="never")
scalar("isinf", [parameter(REAL, "number")], BOOL, "coalesce(isinf({0}), false)", nulls="never")
scalar("isfinite", [parameter(REAL, "number")], BOOL, "coalesce(isfinite({0}), false)", nulls="never")

scalar(
    "abs",
    [
        overload([parameter(INTEGER, "number")], LONG, "try(abs(CAST({0} AS BIGINT)))", "maybe"),
        overload([_NUMBER], same(0), "abs({0})"),
        overload([parameter(TIMESPAN, "number")], TIMESPAN, "try(abs({0}))", "maybe"),
    ],
    column="{0}",
)
scalar(
    "ceiling",
    [
        overload([parameter(INTEGER, "number")], same(0), "{0}"),
        overload([_NUMBER], same(0), lambda call: _typed("ceil({0})", call)),
    ],
    column="{0}",
)


def _typed(template: str, call: Emission) -> str:
    """The template's value in the result's own type: DuckDB changes a decimal's scale."""
    sql = template.format(*call.sql)
    return f"CAST({sql} AS DECIMAL(38, 18))" if call.returns is DECIMAL else sql


def _round(call: Emission) -> str:
    number = call.arguments[0]
    digits = call.arguments[1].value if len(call.arguments) > 1 else 0
    if number.type is DECIMAL:
        return call.udf("$round_decimal", call.sql[0], str(digits))
    sql = number.sql if number.type is REAL else f"CAST({number.sql} AS DOUBLE)"
    return f"round({sql}, {digits})" if digits else f"round({sql})"


def _round_decimal(number: Decimal, digits: int) -> Decimal:
    return (
        number.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
        if digits >= 0
        else (number.scaleb(digits).quantize(Decimal(1), rounding=ROUND_HALF_UP).scaleb(-digits))
    )


python_scalar("$round_decimal", [DECIMAL, LONG], DECIMAL, _round_decimal)
scalar(
    "round",
    [_NUMBER, optional(constant(LONG, "precision"), 0, "precision")],
    lambda types: DECIMAL if types[0] is DECIMAL else REAL,
    _round,
    column="{0}",
)


def _rand(call: Emission) -> str:
    limit = call.arguments[0].value if call.arguments else None
    if limit in (None, NOT_CONSTANT, 0, 1):
        return "random()" if not call.arguments or limit in (0, 1) else f"floor(random() * {call.sql[0]})"
    return f"floor(random() * {limit})"


scalar("rand", [optional(LONG, name="limit")], REAL, _rand, nulls="never", stable=False)


# --- bits ----------------------------------------------------------------------------------------

_BITS = [parameter(LONG, "value1"), parameter(LONG, "value2")]
scalar("binary_and", _BITS, LONG, "({0} & {1})", column="{0}")
scalar("binary_or", _BITS, LONG, "({0} | {1})", column="{0}")
scalar("binary_xor", _BITS, LONG, "xor({0}, {1})", column="{0}")
scalar("binary_not", [parameter(LONG, "value")], LONG, "(~{0})", column="{0}")
scalar("bitset_count_ones", [parameter(LONG, "value")], LONG, "CAST(bit_count({0}) AS BIGINT)", column="{0}")


def _shift_left(value: int, shift: int) -> int | None:
    return None if shift < 0 else value << (shift % 64)


def _shift_right(value: int, shift: int) -> int | None:
    # An arithmetic shift by n modulo 64, as .NET shifts a long.
    return None if shift < 0 else value >> (shift % 64)


python_scalar(
    "binary_shift_left", [parameter(LONG, "value"), parameter(LONG, "shift")], LONG, _shift_left, column="{0}"
)
python_scalar(
    "binary_shift_right",
    [parameter(LONG, "value"), parameter(LONG, "shift")],
    LONG,
    _shift_right,
    column="{0}",
)


def _tohex(value: int, width: int, bits: int) -> str:
    return f"{value & ((1 << bits) - 1):x}".rjust(width, "0")


python_scalar("$tohex", [LONG, LONG, LONG], STRING, _tohex)


def _as_hex(call: Emission) -> str:
    # An int is written in its own 32 bits.
    bits = "32" if call.types[0] is INT else "64"
    return call.udf("$tohex", f"CAST({call.sql[0]} AS BIGINT)", f"CAST({call.sql[1]} AS BIGINT)", bits)


scalar(
    "tohex",
    [parameter(INTEGER, "value"), optional(LONG, 0, "minLength")],
    STRING,
    _as_hex,
    nulls="maybe",
    column="{0}",
)


# --- bins ----------------------------------------------------------------------------------------


_LEAST = -(1 << 63)


def _floor_to(argument: Argument, size: Argument, call: Emission) -> str:
    """SQL of the largest multiple of ``size`` not above a value, for integers; NULL where the range of
    long ends before it."""
    width = size.value
    if isinstance(width, int) and 0 < width < 1 << 62:
        # A modulus that is never negative is cheaper than a division that floors.
        rest = f"(({{x}} % {width}) + {width}) % {width}"
        if argument.type is INT:
            narrow = "{x}" if width < 1 << 30 else "{x}::BIGINT"
            return call.once(f"{{x}}::BIGINT - {rest.replace('{x}', narrow)}", x=argument.sql)
        least = -(-_LEAST // width * width)
        positive = f"CASE WHEN {{x}} >= 0 THEN {{x}} - {{x}} % {width}"
        return call.once(f"{positive} WHEN {{x}} >= {least} THEN {{x}} - {rest} END", x=argument.sql)
    return call.once(
        "TRY_CAST(CASE WHEN {n} > 0 THEN {x}::HUGEINT - (({x} % {n})::HUGEINT + {n}) % {n}"
        " WHEN {n} < 0 THEN CASE WHEN {x} > 0 THEN {x}::HUGEINT - 1 - {n} ELSE {x} END // {n} * {n} END"
        " AS BIGINT)",
        x=argument.sql,
        n=size.sql,
    )


def _bin_number(call: Emission) -> str:
    value, size = call.sql
    if call.returns in (INT, LONG):
        return _floor_to(call.arguments[0], call.arguments[1], call)
    if call.returns is DECIMAL:
        return call.udf("$bin_decimal", value, size)
    # Division by zero gives NaN of its own accord, infinity times zero.
    return call.once("floor({x} / {n}) * {n}", x=value, n=size)


def _bin_decimal(value: Decimal, size: Decimal) -> Decimal | None:
    return (value // size - (value % size < 0)) * size if size > 0 else None


python_scalar("$bin_decimal", [DECIMAL, DECIMAL], DECIMAL, _bin_decimal)


def _bin_timespan(call: Emission) -> str:
    return _floor_to(call.arguments[0], call.arguments[1], call)


_UNITS = {
    600_000_000: "minute",
    36_000_000_000: "hour",
    864_000_000_000: "day",
}


def _bin_datetime(call: Emission) -> str:
    value, size = call.sql
    ticks = call.arguments[1].value
    if isinstance(ticks, int) and ticks > 0:
        unit = _UNITS.get(ticks)
        if unit:
            return f"CAST(date_trunc('{unit}', {value}) AS TIMESTAMP)"
        if ticks % 10 == 0:
            # The grid starts at year 1; in microseconds since 1970 it is shifted by this much.
            width = ticks // 10
            shift = (UNIX_EPOCH_TICKS // 10) % width
            return call.once(
                f"make_timestamp({{x}} - (({{x}} + {shift}) % {width} + {width}) % {width})",
                x=f"epoch_us({value})",
            )
    return call.once(
        "CASE WHEN {n} > 0 THEN make_timestamp("
        f"(({{x}} * 10 + {UNIX_EPOCH_TICKS}) // {{n}} * {{n}} - {UNIX_EPOCH_TICKS}) // 10) END",
        x=f"epoch_us({value})",
        n=size,
    )


_BINS = [
    overload([parameter(NUMBER, "value"), parameter(NUMBER, "roundTo")], widest, _bin_number),
    overload([parameter(TIMESPAN, "value"), parameter(TIMESPAN, "roundTo")], TIMESPAN, _bin_timespan),
    overload([parameter(DATETIME, "value"), parameter(TIMESPAN, "roundTo")], DATETIME, _bin_datetime),
]
scalar("bin", _BINS, column="{0}", nulls="maybe")
scalar(
    "floor",
    [
        overload([parameter(INTEGER, "value")], same(0), "{0}"),
        overload([_NUMBER], same(0), lambda call: _typed("floor({0})", call)),
        *_BINS,
    ],
    column="{0}",
    nulls="maybe",
)


def _bin_at_integer(call: Emission) -> str:
    value, size, origin = call.sql
    distance = "({x}::HUGEINT - {o})"
    return call.once(
        f"CASE WHEN {{n}} > 0 THEN TRY_CAST({{x}} - ({distance} % {{n}} + {{n}}) % {{n}} AS BIGINT) END",
        x=value,
        n=size,
        o=origin,
    )


def _bin_at_number(call: Emission) -> str:
    value, size, origin = call.sql
    if call.returns in (INT, LONG):
        return _bin_at_integer(call)
    return call.once(
        "CASE WHEN {n} > 0 THEN floor(({x} - {o}) / {n}) * {n} + {o} END", x=value, n=size, o=origin
    )


def _bin_at_datetime(call: Emission) -> str:
    value, size, origin = call.sql
    # No bin is wider than all years together, in ticks; a bin that starts before the year 1 is null.
    rest = "(({x} - {o}) * 10 % {n})"
    start = f"({{x}} * 10 - {rest} - CASE WHEN {rest} < 0 THEN {{n}} ELSE 0 END)"
    return call.once(
        f"CASE WHEN {{n}} > 0 THEN CASE WHEN {rest} >= 0 OR {{n}} <= {END_OF_TICKS}"
        f" THEN CASE WHEN {start} >= -{UNIX_EPOCH_TICKS} THEN make_timestamp({start} // 10) END END END",
        x=f"epoch_us({value})",
        n=size,
        o=f"epoch_us({origin})",
    )


def _of(*kinds: Any) -> list[Any]:
    return [
        parameter(kind, name) for kind, name in zip(kinds, ("value", "bin_size", "fixed_point"), strict=True)
    ]


scalar(
    "bin_at",
    [
        overload(_of(NUMBER, NUMBER, NUMBER), widest, _bin_at_number),
        overload(_of(TIMESPAN, TIMESPAN, TIMESPAN), TIMESPAN, _bin_at_integer),
        overload(_of(DATETIME, TIMESPAN, DATETIME), DATETIME, _bin_at_datetime),
    ],
    column="{0}",
    nulls="maybe",
)
