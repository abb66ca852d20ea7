"""Implicit conversions, and choosing among overloads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from spark_kusto.kql import registry
from spark_kusto.kql.execution import to_json
from spark_kusto.kql.plan import Apply, Expr, Literal
from spark_kusto.kql.registry import (
    BOOL,
    DATETIME,
    DECIMAL,
    DYNAMIC,
    INT,
    LONG,
    NOT_CONSTANT,
    REAL,
    STRING,
    TIMESPAN,
    Overload,
    Parameter,
    ScalarRow,
    overload,
)
from spark_kusto.kql.sql.expressions import constant_value
from spark_kusto.types import KustoType

IMPOSSIBLE = 1000
"""A cost that no conversion has."""

_WIDENING = {
    (INT, LONG): 1,
    (INT, REAL): 2,
    (LONG, REAL): 2,
    (INT, DECIMAL): 3,
    (LONG, DECIMAL): 3,
    (REAL, DECIMAL): 4,
    (DECIMAL, REAL): 5,
    (LONG, INT): 6,
}

_CASTS = {
    (INT, LONG): overload([INT], LONG, "{0}::BIGINT"),
    (INT, REAL): overload([INT], REAL, "{0}::DOUBLE"),
    (LONG, REAL): overload([LONG], REAL, "{0}::DOUBLE"),
    (INT, DECIMAL): overload([INT], DECIMAL, "{0}::DECIMAL(38,18)"),
    (LONG, DECIMAL): overload([LONG], DECIMAL, "{0}::DECIMAL(38,18)"),
    (REAL, DECIMAL): overload([REAL], DECIMAL, "TRY_CAST({0} AS DECIMAL(38,18))", "maybe"),
    (DECIMAL, REAL): overload([DECIMAL], REAL, "{0}::DOUBLE"),
    (LONG, INT): overload([LONG], INT, "TRY_CAST({0} AS INTEGER)", "maybe"),
    (BOOL, LONG): overload([BOOL], LONG, "{0}::BIGINT"),
    (BOOL, INT): overload([BOOL], INT, "{0}::INTEGER"),
    (BOOL, REAL): overload([BOOL], REAL, "{0}::INTEGER::DOUBLE"),
}

TO_FUNCTION = {
    BOOL: "tobool",
    INT: "toint",
    LONG: "tolong",
    REAL: "toreal",
    DECIMAL: "todecimal",
    STRING: "tostring",
    DATETIME: "todatetime",
    TIMESPAN: "totimespan",
    KustoType.GUID: "toguid",
    DYNAMIC: "todynamic",
}
"""The conversion function of each type."""

_PREFERENCE = (STRING, LONG, REAL, DATETIME, TIMESPAN, BOOL, KustoType.GUID, DECIMAL, INT)


def conversion_cost(expression: Expr, wanted: Parameter) -> int:
    """How far an argument is from a parameter: 0 fits, IMPOSSIBLE does not convert."""
    kind, allowed = expression.type, wanted.types
    if kind in allowed:
        return 0
    if isinstance(expression, Literal) and expression.value is None:
        return 4
    best = IMPOSSIBLE
    for target in allowed:
        cost = _WIDENING.get((kind, target))
        if cost is not None and cost < best:
            best = cost
    if best < IMPOSSIBLE:
        return best
    if kind is DYNAMIC:
        return 10
    if wanted.lenient:
        return 20
    return IMPOSSIBLE


def target_type(expression: Expr, wanted: Parameter) -> KustoType:
    """The type that an argument takes to fit a parameter."""
    kind, allowed = expression.type, wanted.types
    if kind in allowed:
        return kind
    best: tuple[int, KustoType] | None = None
    for target in allowed:
        cost = _WIDENING.get((kind, target))
        if cost is not None and (best is None or cost < best[0]):
            best = (cost, target)
    if best is not None:
        return best[1]
    if kind is DYNAMIC and REAL in allowed and STRING not in allowed:
        return REAL
    return next(target for target in _PREFERENCE if target in allowed)


def convert(expression: Expr, wanted: KustoType) -> Expr:
    """The expression as another type, by the rules of implicit conversion."""
    kind = expression.type
    if kind is wanted:
        return expression
    if isinstance(expression, Literal):
        folded = convert_value(expression.value, kind, wanted)
        if folded is not NOT_CONSTANT:
            nullable = folded is None and wanted is not STRING
            return Literal(wanted, nullable=nullable, value=folded)
    shape = _CASTS.get((kind, wanted))
    if shape is not None:
        nulls = shape.nulls or "propagate"
        nullable = nulls == "maybe" or expression.nullable
        return Apply(
            wanted,
            nullable=nullable,
            name="cast",
            shape=shape,
            arguments=(expression,),
            nulls=nulls,
        )
    row = registry.scalars()[TO_FUNCTION[wanted]]
    assert isinstance(row, ScalarRow)
    return apply_row(row, (expression,))


def convert_value(value: Any, kind: KustoType, wanted: KustoType) -> Any:
    """A literal's value as another type, or NOT_CONSTANT where SQL must do it."""
    if value is None:
        return "" if wanted is STRING else None
    if kind in (INT, LONG) and wanted in (INT, LONG):
        bits = 31 if wanted is INT else 63
        return value if -(1 << bits) <= value < 1 << bits else None
    if kind in (INT, LONG) and wanted is REAL:
        return float(value)
    if kind in (INT, LONG) and wanted is DECIMAL:
        return Decimal(value)
    if kind is DECIMAL and wanted is REAL:
        return float(value)
    if kind is BOOL and wanted in (INT, LONG):
        return int(value)
    return NOT_CONSTANT


def choose(overloads: Sequence[Overload], arguments: Sequence[Expr]) -> Overload | None:
    """The overload that the arguments fit best, or None."""
    if len(overloads) == 1:
        return overloads[0] if _fit(overloads[0], arguments) < IMPOSSIBLE else None
    best: tuple[int, Overload] | None = None
    for shape in overloads:
        cost = _fit(shape, arguments)
        if cost < IMPOSSIBLE and (best is None or cost < best[0]):
            best = (cost, shape)
            if cost == 0:
                break
    return None if best is None else best[1]


def _fit(shape: Overload, arguments: Sequence[Expr]) -> int:
    count = len(arguments)
    most = shape.most
    if count < shape.least or (most is not None and count > most):
        return IMPOSSIBLE
    total = 0
    parameters = shape.parameters
    last = len(parameters) - 1
    for place, argument in enumerate(arguments):
        cost = conversion_cost(argument, parameters[min(place, last)])
        if cost >= IMPOSSIBLE:
            return IMPOSSIBLE
        total += cost
    return total


def fitted(shape: Overload, arguments: Sequence[Expr]) -> tuple[Expr, ...]:
    """The arguments converted to an overload's parameters, defaults put in."""
    parameters = shape.parameters
    last = len(parameters) - 1
    taken = []
    for place, argument in enumerate(arguments):
        wanted = parameters[min(place, last)]
        if argument.type in wanted.types:
            taken.append(argument)
        else:
            taken.append(convert(argument, target_type(argument, wanted)))
    for wanted in parameters[len(arguments) :]:
        if wanted.optional and wanted.default is not NOT_CONSTANT:
            kind = next(iter(wanted.types))
            if len(wanted.types) > 1:
                kind = _type_of_value(wanted.default, wanted)
            taken.append(Literal(kind, nullable=wanted.default is None, value=wanted.default))
    return tuple(taken)


def _type_of_value(value: Any, wanted: Parameter) -> KustoType:
    kinds: tuple[tuple[type, KustoType], ...] = (
        (bool, BOOL),
        (int, LONG),
        (float, REAL),
        (str, STRING),
        (dt.datetime, DATETIME),
        (Decimal, DECIMAL),
    )
    for python, kind in kinds:
        if isinstance(value, python) and kind in wanted.types:
            return kind
    return next(kind for kind in KustoType if kind in wanted.types)


def apply_row(row: ScalarRow, arguments: Sequence[Expr]) -> Expr:
    """A call whose arguments are known to fit."""
    shape = choose(row.overloads, arguments)
    assert shape is not None, row.name
    return apply(row, shape, arguments)


def apply(row: ScalarRow, shape: Overload, arguments: Sequence[Expr]) -> Expr:
    """A call settled on an overload; folded if all arguments are literals and the row can."""
    taken = fitted(shape, arguments)
    returns = shape.returns
    kind = returns if isinstance(returns, KustoType) else returns(tuple(a.type for a in taken))
    if row.fold is not None and all(type(argument) is Literal for argument in taken):
        values = [constant_value(argument) for argument in taken]
        folded = row.fold(*values)
        if folded is not NOT_CONSTANT:
            nullable = folded is None and kind is not STRING
            if folded is None and kind is STRING:
                folded = ""
            if kind is DYNAMIC:
                folded = to_json(folded)
            return Literal(kind, nullable=nullable, value=folded)
    nulls = shape.nulls or row.nulls
    if kind is STRING or nulls == "never":
        nullable = False
    else:
        nullable = nulls == "maybe" or any(argument.nullable for argument in taken)
    element = None
    if row.element is not None:
        element = row.element(
            [registry.Argument("", a.type, a.element, a.nullable, constant_value(a)) for a in taken]
        )
    return Apply(
        kind,
        nullable=nullable,
        element=element,
        name=row.name,
        shape=shape,
        arguments=taken,
        nulls=nulls,
        stable=row.stable,
    )
