"""Operators on scalars: arithmetic, comparison, and what they do with nulls.

Sources: Kusto documentation, "Numerical operators", "Datetime / timespan arithmetic",
"Null values", "Logical (binary) operators".
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from spark_kusto.kql.binder.conversion import apply, convert
from spark_kusto.kql.plan import Apply, Column, Expr, Literal
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DATETIME,
    DECIMAL,
    DYNAMIC,
    GUID,
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
    Overload,
    ScalarRow,
    overload,
)
from spark_kusto.kql.sql.literals import literal as written
from spark_kusto.types import KustoType

_EPOCH = dt.datetime(1970, 1, 1)
_MICROSECOND = dt.timedelta(microseconds=1)


def microseconds(value: dt.datetime) -> int:
    """Microseconds since 1970."""
    return (value - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> dt.datetime | None:
    """The datetime, or None outside Kusto's range."""
    try:
        return _EPOCH + dt.timedelta(microseconds=value)
    except OverflowError:
        return None


def wrap(value: int) -> int:
    """An integer brought into the range of long."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


# --- folding ------------------------------------------------------------------------------------

_Fold = Callable[[Any, Any], Any]


def _guarded(function: _Fold) -> _Fold:
    def fold(left: Any, right: Any) -> Any:
        if left is None or right is None:
            return None
        try:
            return function(left, right)
        except (ArithmeticError, ValueError):
            return NOT_CONSTANT

    return fold


def _divide_longs(left: int, right: int) -> int | None:
    if right == 0:
        return None
    quotient = abs(left) // abs(right)
    return wrap(quotient if (left < 0) == (right < 0) else -quotient)


def _divide_reals(left: float, right: float) -> float:
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _ticks(value: float) -> int:
    if not abs(value) < 1 << 63:
        raise OverflowError(value)
    return int(value)


def _shift(sign: int) -> _Fold:
    return lambda when, ticks: from_microseconds(microseconds(when) + sign * (ticks // 10))


# --- arithmetic ---------------------------------------------------------------------------------


def _rounded(sql: str) -> str:
    """A DOUBLE as BIGINT, truncated; NULL outside its range."""
    return f"TRY_CAST(trunc({sql}) AS BIGINT)"


def _dynamic_arithmetic(sign: str) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        left, right = (f"TRY_CAST({argument.text} AS DOUBLE)" for argument in call.arguments)
        result = f"({left} {sign} {right})"
        whole = f"{result} = trunc({result}) AND abs({result}) < 9e15"
        return f"CASE WHEN {whole} THEN {result}::BIGINT::VARCHAR ELSE {result}::VARCHAR END"

    return emit


def _real_operator(sign: str) -> Overload:
    return overload([REAL, REAL], REAL, f"({{0}} {sign} {{1}})")


def _decimal_operator(sign: str) -> Overload:
    if sign in "+-":
        return overload([DECIMAL, DECIMAL], DECIMAL, f"({{0}} {sign} {{1}})::DECIMAL(38,18)")
    names = {"*": "$decimal_multiply", "/": "$decimal_divide", "%": "$decimal_modulo"}
    name = names[sign]
    return overload([DECIMAL, DECIMAL], DECIMAL, lambda call: call.udf(name, *call.sql), "maybe")


def _remainder(call: Emission) -> str:
    """SQL of ``a % b``, which lies between 0 and the size of b whatever the signs."""
    left, right = call.sql
    value = call.arguments[1].value
    if isinstance(value, int) and 0 < abs(value) < 1 << 62:
        size = abs(value)
        if left.isidentifier():
            # In projections DuckDB computes the remainder, which is what costs, once.
            rest = f"({left} % {size})::BIGINT"
            return f"({rest} + ({rest} >> 63 & {size}))"
        return f"((({left} % {size}) + {size}) % {size})::BIGINT"
    return call.once(
        "CASE WHEN {b} = 0 THEN NULL WHEN {b} = -1 THEN {a} & 0 WHEN {a} % {b} >= 0 THEN {a} % {b}"
        " WHEN {b} > 0 THEN {a} % {b} + {b} ELSE {a} % {b} - {b} END",
        a=left,
        b=right,
    )


_LEAST_MICROSECOND = microseconds(dt.datetime.min)
_GREATEST_MICROSECOND = microseconds(dt.datetime.max)
_MARGIN = dt.timedelta(days=365 * 900)


def _shifted(sign: int) -> Callable[[Emission], str]:
    """SQL of a datetime plus or minus a timespan; NULL where it leaves the years 1 to 9999."""

    def emit(call: Emission) -> str:
        first, second = call.arguments
        moment, span = (first, second) if first.type is DATETIME else (second, first)
        if isinstance(span.value, int):
            step = sign * (span.value // 10)
            side, end = (">=", _LEAST_MICROSECOND) if step < 0 else ("<=", _GREATEST_MICROSECOND)
            limit = from_microseconds(end - step)
            if limit is None:
                return "CAST(NULL AS TIMESTAMP)"
            test = f"{{t}} {side} {written(limit, DATETIME)}"
            moved = f"make_timestamp(epoch_us({{t}}) + {step})"
            return call.once(f"CASE WHEN {test} THEN {moved} END", t=moment.sql)
        moved = f"epoch_us({{t}}) {'+' if sign > 0 else '-'} ({{d}} // 10)"
        ticks = _MARGIN // _MICROSECOND * 10
        low, high = (written(end, DATETIME) for end in (dt.datetime.min + _MARGIN, dt.datetime.max - _MARGIN))
        return call.once(
            # Most moments and spans are far enough from the ends.
            f"CASE WHEN {{d}} BETWEEN -{ticks} AND {ticks} AND {{t}} BETWEEN {low} AND {high}"
            f" THEN make_timestamp({moved})"
            f" WHEN {moved} BETWEEN {_LEAST_MICROSECOND} AND {_GREATEST_MICROSECOND}"
            f" THEN make_timestamp({moved}) END",
            t=moment.sql,
            d=span.sql,
        )

    return emit


_REMAINDER_OF_INT = ScalarRow("%", (overload([INT, LONG], LONG, _remainder, "maybe"),), "maybe")

_ARITHMETIC: dict[str, dict[tuple[KustoType, KustoType], tuple[Overload, _Fold | None]]] = {
    "+": {
        (LONG, LONG): (overload([LONG, LONG], LONG, "({0} + {1})"), lambda a, b: wrap(a + b)),
        (REAL, REAL): (_real_operator("+"), lambda a, b: a + b),
        (DECIMAL, DECIMAL): (_decimal_operator("+"), None),
        (TIMESPAN, TIMESPAN): (
            overload([TIMESPAN, TIMESPAN], TIMESPAN, "({0} + {1})"),
            lambda a, b: wrap(a + b),
        ),
        (DATETIME, TIMESPAN): (
            overload([DATETIME, TIMESPAN], DATETIME, _shifted(1), "maybe"),
            _shift(1),
        ),
        (TIMESPAN, DATETIME): (
            overload([TIMESPAN, DATETIME], DATETIME, _shifted(1), "maybe"),
            lambda a, b: _shift(1)(b, a),
        ),
        (DYNAMIC, DYNAMIC): (
            overload([DYNAMIC, DYNAMIC], DYNAMIC, _dynamic_arithmetic("+"), "maybe"),
            None,
        ),
    },
    "-": {
        (LONG, LONG): (overload([LONG, LONG], LONG, "({0} - {1})"), lambda a, b: wrap(a - b)),
        (REAL, REAL): (_real_operator("-"), lambda a, b: a - b),
        (DECIMAL, DECIMAL): (_decimal_operator("-"), None),
        (TIMESPAN, TIMESPAN): (
            overload([TIMESPAN, TIMESPAN], TIMESPAN, "({0} - {1})"),
            lambda a, b: wrap(a - b),
        ),
        (DATETIME, DATETIME): (
            overload([DATETIME, DATETIME], TIMESPAN, "((epoch_us({0}) - epoch_us({1})) * 10)"),
            lambda a, b: (microseconds(a) - microseconds(b)) * 10,
        ),
        (DATETIME, TIMESPAN): (
            overload([DATETIME, TIMESPAN], DATETIME, _shifted(-1), "maybe"),
            _shift(-1),
        ),
        (DYNAMIC, DYNAMIC): (
            overload([DYNAMIC, DYNAMIC], DYNAMIC, _dynamic_arithmetic("-"), "maybe"),
            None,
        ),
    },
    "*": {
        (LONG, LONG): (overload([LONG, LONG], LONG, "({0} * {1})"), lambda a, b: wrap(a * b)),
        (REAL, REAL): (_real_operator("*"), lambda a, b: a * b),
        (DECIMAL, DECIMAL): (_decimal_operator("*"), None),
        (TIMESPAN, LONG): (
            overload([TIMESPAN, LONG], TIMESPAN, "({0} * {1})"),
            lambda a, b: wrap(a * b),
        ),
        (LONG, TIMESPAN): (
            overload([LONG, TIMESPAN], TIMESPAN, "({0} * {1})"),
            lambda a, b: wrap(a * b),
        ),
        (TIMESPAN, REAL): (
            overload([TIMESPAN, REAL], TIMESPAN, _rounded("{0} * {1}"), "maybe"),
            lambda a, b: _ticks(a * b),
        ),
        (REAL, TIMESPAN): (
            overload([REAL, TIMESPAN], TIMESPAN, _rounded("{0} * {1}"), "maybe"),
            lambda a, b: _ticks(a * b),
        ),
        (DYNAMIC, DYNAMIC): (
            overload([DYNAMIC, DYNAMIC], DYNAMIC, _dynamic_arithmetic("*"), "maybe"),
            None,
        ),
    },
    "/": {
        (LONG, LONG): (
            overload([LONG, LONG], LONG, "try({0} // {1})", "maybe"),
            _divide_longs,
        ),
        (REAL, REAL): (_real_operator("/"), _divide_reals),
        (DECIMAL, DECIMAL): (_decimal_operator("/"), None),
        (TIMESPAN, TIMESPAN): (
            overload([TIMESPAN, TIMESPAN], REAL, "({0}::DOUBLE / {1})"),
            lambda a, b: _divide_reals(float(a), float(b)),
        ),
        (TIMESPAN, LONG): (
            overload([TIMESPAN, LONG], TIMESPAN, "try({0} // {1})", "maybe"),
            _divide_longs,
        ),
        (TIMESPAN, REAL): (
            overload([TIMESPAN, REAL], TIMESPAN, _rounded("{0} / {1}"), "maybe"),
            lambda a, b: _ticks(a / b),
        ),
        (DATETIME, TIMESPAN): (
            overload(
                [DATETIME, TIMESPAN],
                REAL,
                "((epoch_us({0}) * 10 + 621355968000000000)::DOUBLE / {1})",
            ),
            None,
        ),
        (DATETIME, DATETIME): (
            overload(
                [DATETIME, DATETIME],
                REAL,
                "((epoch_us({0}) * 10 + 621355968000000000)::DOUBLE"
                " / (epoch_us({1}) * 10 + 621355968000000000))",
            ),
            None,
        ),
        (DYNAMIC, DYNAMIC): (
            overload([DYNAMIC, DYNAMIC], DYNAMIC, _dynamic_arithmetic("/"), "maybe"),
            None,
        ),
    },
    "%": {
        (LONG, LONG): (
            overload(
                [LONG, LONG],
                LONG,
                _remainder,
                "maybe",
            ),
            lambda a, b: None if b == 0 else a % abs(b),
        ),
        (REAL, REAL): (
            overload(
                [REAL, REAL],
                REAL,
                lambda call: call.once("({a} - {b} * trunc({a} / {b}))", a=call.sql[0], b=call.sql[1]),
            ),
            math.fmod,
        ),
        (DECIMAL, DECIMAL): (_decimal_operator("%"), None),
        (TIMESPAN, TIMESPAN): (
            overload([TIMESPAN, TIMESPAN], TIMESPAN, "try({0} % {1})", "maybe"),
            None,
        ),
        (DATETIME, TIMESPAN): (
            overload(
                [DATETIME, TIMESPAN],
                TIMESPAN,
                "try((epoch_us({0}) * 10 + 621355968000000000) % {1})",
                "maybe",
            ),
            None,
        ),
        (DYNAMIC, DYNAMIC): (
            overload([DYNAMIC, DYNAMIC], DYNAMIC, _dynamic_arithmetic("%"), "maybe"),
            None,
        ),
    },
}
_ARITHMETIC["*"][TIMESPAN, TIMESPAN] = (
    overload([TIMESPAN, TIMESPAN], TIMESPAN, "({0} * {1})"),
    lambda a, b: wrap(a * b),
)
_ARITHMETIC["%"][TIMESPAN, LONG] = _ARITHMETIC["%"][TIMESPAN, TIMESPAN]

_ARITHMETIC_ROWS = {
    (sign, kinds): ScalarRow(
        sign, (shape,), shape.nulls or "propagate", fold=None if fold is None else _guarded(fold)
    )
    for sign, table in _ARITHMETIC.items()
    for kinds, (shape, fold) in table.items()
}


def _common_number(left: KustoType, right: KustoType) -> KustoType:
    if DECIMAL in (left, right):
        return DECIMAL
    return REAL if REAL in (left, right) else LONG


def _is_small(expression: Expr) -> bool:
    return (
        isinstance(expression, Literal)
        and isinstance(expression.value, int)
        and 0 < expression.value < 1 << 30
    )


def arithmetic(sign: str, left: Expr, right: Expr) -> Expr | None:
    """``left sign right``, or None if these types don't go together."""
    kinds = left.type, right.type
    if sign == "%" and kinds == (INT, LONG) and _is_small(right):
        # 32-bit division is several times faster than 64-bit.
        return apply(_REMAINDER_OF_INT, _REMAINDER_OF_INT.overloads[0], (left, right))
    if kinds[0] in NUMBER and kinds[1] in NUMBER:
        common = _common_number(*kinds)
        left, right = convert(left, common), convert(right, common)
    elif DYNAMIC in kinds and kinds[0] is not kinds[1]:
        other = kinds[1] if kinds[0] is DYNAMIC else kinds[0]
        if other is INT:
            other = LONG
        if other in NUMBER or other in (TIMESPAN, DATETIME):
            taken = other
            if other is DATETIME:
                # A datetime goes with another for a difference, with a timespan otherwise.
                taken = DATETIME if sign == "-" else TIMESPAN
            elif other is TIMESPAN and sign not in "+-":
                taken = REAL
            left = convert(left, taken if kinds[0] is DYNAMIC else other)
            right = convert(right, taken if kinds[1] is DYNAMIC else other)
    else:
        if TIMESPAN in kinds or DATETIME in kinds:
            widened = {INT: LONG, DECIMAL: REAL}
            left = convert(left, widened.get(left.type, left.type))
            right = convert(right, widened.get(right.type, right.type))
        elif BOOL in kinds and all(kind in NUMBER or kind is BOOL for kind in kinds):
            return None
    row = _ARITHMETIC_ROWS.get((sign, (left.type, right.type)))
    return None if row is None else apply(row, row.overloads[0], (left, right))


_NEGATE = {
    kind: ScalarRow("negate", (overload([kind], kind, "(-{0})"),), fold=lambda a: None if a is None else -a)
    for kind in (REAL, DECIMAL, INT)
}


def negate(operand: Expr) -> Expr | None:
    """``-operand``."""
    kind = operand.type
    if kind is DYNAMIC:
        operand, kind = convert(operand, REAL), REAL
    if kind is INT and not isinstance(operand, Literal):
        operand, kind = convert(operand, LONG), LONG
    if kind in (LONG, TIMESPAN):
        # The least one has no counterpart and wraps around, as a difference does.
        return arithmetic("-", Literal(kind, nullable=False, value=0), operand)
    row = _NEGATE.get(kind)
    return None if row is None else apply(row, row.overloads[0], (operand,))


# --- comparison ---------------------------------------------------------------------------------


def _equal(call: Emission) -> str:
    left, right = call.arguments
    if _may_be_nan(left) and _may_be_nan(right):
        # Two NaN are the same to DuckDB.
        return f"({_matching(call)} AND NOT isnan({left.sql}))"
    return _matching(call)


def _matching(call: Emission) -> str:
    left, right = call.arguments
    bare = f"({left.sql} = {right.sql})"
    if call.filter_position or not (left.nullable or right.nullable):
        return bare
    if not (left.nullable and right.nullable):
        return f"({left.sql} IS NOT DISTINCT FROM {right.sql})"
    return f"CASE WHEN {left.sql} IS NULL AND {right.sql} IS NULL THEN NULL ELSE coalesce({bare}, false) END"


def _not_equal(call: Emission) -> str:
    left, right = call.arguments
    if _may_be_nan(left) and _may_be_nan(right):
        return f"({_differing(call)} OR isnan({left.sql}))"
    return _differing(call)


def _differing(call: Emission) -> str:
    left, right = call.arguments
    if not (left.nullable or right.nullable):
        return f"({left.sql} <> {right.sql})"
    differs = f"({left.sql} IS DISTINCT FROM {right.sql})"
    if call.filter_position or not (left.nullable and right.nullable):
        return differs
    return f"CASE WHEN {left.sql} IS NULL AND {right.sql} IS NULL THEN NULL ELSE {differs} END"


def _may_be_nan(argument: Argument) -> bool:
    return argument.type is REAL and (argument.value is NOT_CONSTANT or argument.value != argument.value)


def _ordered(sign: str) -> Callable[[Emission], str]:
    """A comparison that is false for NaN, which DuckDB takes for the greatest number."""
    upper = 0 if sign in (">", ">=") else 1

    def emit(call: Emission) -> str:
        left, right = call.arguments
        test = f"{left.sql} {sign} {right.sql}"
        if _may_be_nan(call.arguments[upper]):
            return f"({test} AND NOT isnan({call.arguments[upper].sql}))"
        return f"({test})"

    return emit


def _guard(function: Callable[[Any, Any], bool]) -> _Fold:
    return lambda a, b: NOT_CONSTANT if a is None or b is None else function(a, b)


_COMPARISON_ROWS = {
    "==": ScalarRow("==", (overload([ANY, ANY], BOOL, _equal),), fold=_guard(lambda a, b: a == b)),
    "!=": ScalarRow("!=", (overload([ANY, ANY], BOOL, _not_equal),), fold=_guard(lambda a, b: a != b)),
    "<": ScalarRow("<", (overload([ANY, ANY], BOOL, _ordered("<")),), fold=_guard(lambda a, b: a < b)),
    "<=": ScalarRow("<=", (overload([ANY, ANY], BOOL, _ordered("<=")),), fold=_guard(lambda a, b: a <= b)),
    ">": ScalarRow(">", (overload([ANY, ANY], BOOL, _ordered(">")),), fold=_guard(lambda a, b: a > b)),
    ">=": ScalarRow(">=", (overload([ANY, ANY], BOOL, _ordered(">=")),), fold=_guard(lambda a, b: a >= b)),
}


def comparable(left: Expr, right: Expr, sign: str = "==") -> tuple[Expr, Expr] | None:
    """Both sides brought to one type, or None if they cannot be compared."""
    kinds = left.type, right.type
    if kinds[0] is kinds[1]:
        return left, right
    if kinds[0] in NUMBER and kinds[1] in NUMBER:
        if DECIMAL in kinds or (REAL in kinds and not _same_size(left, right)):
            common = _common_number(*kinds)
            return convert(left, common), convert(right, common)
        if isinstance(left, Literal) or isinstance(right, Literal):
            # A literal takes the column's type where it fits, so that statistics can prune.
            kind = kinds[1] if isinstance(left, Literal) else kinds[0]
            literal = left if isinstance(left, Literal) else right
            folded = convert(literal, kind)
            if isinstance(folded, Literal) and folded.value is not None:
                return (folded, right) if literal is left else (left, folded)
        common = _common_number(*kinds)
        return convert(left, common), convert(right, common)
    if DYNAMIC in kinds:
        other = kinds[1] if kinds[0] is DYNAMIC else kinds[0]
        if other is INT:
            other = LONG
        if other is LONG:
            # Numbers in JSON may have fractions.
            other = REAL
        return convert(left, other), convert(right, other)
    if BOOL in kinds and (kinds[0] in INTEGER or kinds[1] in INTEGER):
        return convert(left, LONG), convert(right, LONG)
    if GUID in kinds and STRING in kinds and sign in ("==", "!="):
        return convert(left, STRING), convert(right, STRING)
    return None


def _text_with_constant(sign: str, left: Expr, right: Expr) -> tuple[Expr, Expr] | None:
    """A text that is compared with a bare constant of another type, as published queries do:
    ``ResultType == 0``, ``success == false``. The text is taken as that type, and a constant text as
    a moment where it is compared with one."""
    if sign in ("==", "!="):
        for text, constant in ((left, right), (right, left)):
            kind = constant.type
            if text.type is STRING and isinstance(constant, Literal) and (kind in NUMBER or kind is BOOL):
                return convert(left, kind), convert(right, kind)
            if kind is DATETIME and isinstance(text, Literal) and text.type is STRING:
                return convert(left, kind), convert(right, kind)
    return None


def _same_size(left: Expr, right: Expr) -> bool:
    return left.type is right.type


_PLAIN_REMAINDER = {
    kind: ScalarRow("remainder", (overload([kind, kind], kind, "({0} % {1})"),)) for kind in (INT, LONG)
}


def _divisible(expression: Expr) -> Expr:
    """``x % n`` as it is compared with 0: the sign of the remainder does not matter then."""
    if isinstance(expression, Apply) and expression.name == "%" and expression.type is LONG:
        left, right = expression.arguments
        if left.type in _PLAIN_REMAINDER and _is_small(right):
            row = _PLAIN_REMAINDER[left.type]
            return apply(row, row.overloads[0], (left, convert(right, left.type)))
    return expression


def _congruent(call: Emission) -> str:
    """SQL of ``x % n == rest``, given x, n, the rest, and the rest of a negative x."""
    value, size, rest, below = call.sql
    test = f"({value} % {size} = {rest} OR {value} % {size} = {below})"
    return test if call.filter_position or not call.arguments[0].nullable else f"coalesce({test}, false)"


_CONGRUENT = {kind: ScalarRow("congruent", (overload([kind] * 4, BOOL, _congruent),)) for kind in (INT, LONG)}


def _remainder_is(expression: Expr, rest: Expr) -> Expr | None:
    """``x % n == rest`` for a column and constants; None for anything else.

    Two comparisons of DuckDB's remainder, which has the sign of x, are cheaper than making it positive.
    """
    if not (isinstance(expression, Apply) and expression.name == "%" and expression.type is LONG):
        return None
    left, size = expression.arguments
    if not (isinstance(left, Column) and left.type in _CONGRUENT and _is_small(size)):
        return None
    if not (_is_small(rest) and isinstance(size, Literal) and isinstance(rest, Literal)):
        return None
    if rest.type not in INTEGER or rest.value >= size.value:
        return None
    values = (size.value, rest.value, rest.value - size.value)
    row = _CONGRUENT[left.type]
    constants = (Literal(left.type, nullable=False, value=value) for value in values)
    return replace(apply(row, row.overloads[0], (left, *constants)), nullable=False)


def comparison(sign: str, left: Expr, right: Expr) -> Expr | None:
    """``left sign right``, or None if these types cannot be compared."""
    if sign in ("==", "!=") and isinstance(right, Literal) and right.value == 0:
        left = _divisible(left)
    if sign == "==" and (test := _remainder_is(left, right)) is not None:
        return test
    sides = comparable(left, right, sign) or _text_with_constant(sign, left, right)
    if sides is None:
        return None
    row = _COMPARISON_ROWS[sign]
    result = apply(row, row.overloads[0], sides)
    if sign in ("==", "!=") and not (sides[0].nullable and sides[1].nullable):
        return replace(result, nullable=False)
    return result
