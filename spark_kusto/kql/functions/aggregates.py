"""Aggregate functions that are DuckDB's own, or a line over them.

Over no values ``sum`` is 0, ``avg`` NaN, ``stdev`` and ``variance`` 0, and minima and maxima are null,
as the engine's own answers show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from typing import Any

from spark_kusto.kql.functions.dynamics import json_of
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DATETIME,
    DECIMAL,
    DYNAMIC,
    INT,
    INTEGER,
    LONG,
    ORDERABLE,
    REAL,
    STRING,
    TIMESPAN,
    Argument,
    Emission,
    aggregate,
    constant,
    optional,
    overload,
    parameter,
    python_scalar,
    same,
)
from spark_kusto.types import KustoType

_PREDICATE = parameter(BOOL, "predicate")
MOST_ITEMS = 1_048_576
"""How many values ``make_list`` and ``make_set`` keep unless told."""


def _pair(
    name: str,
    conditional: str,
    shapes: Sequence[tuple[Sequence[Any], Any, Callable[[Emission, str], str]]],
    *,
    aliases: Sequence[str] = (),
    conditional_aliases: Sequence[str] = (),
    column: str | None = None,
    conditional_column: str | None = None,
    nulls: str = "maybe",
) -> None:
    """An aggregate and its form with a predicate; the SQL takes the FILTER clause as a text."""

    def plain(emit: Callable[[Emission, str], str]) -> Callable[[Emission], str]:
        return lambda call: emit(call, "")

    def filtered(emit: Callable[[Emission, str], str], place: int) -> Callable[[Emission], str]:
        return lambda call: emit(call, f" FILTER (WHERE {call.sql[place]})")

    aggregate(
        name,
        [overload(kinds, returns, plain(emit)) for kinds, returns, emit in shapes],
        aliases=aliases,
        column=column,
        nulls=nulls,
    )
    aggregate(
        conditional,
        [
            overload(
                [*kinds[:1], _PREDICATE, *kinds[1:]]
                if len(kinds) < 2 or kinds[1].optional
                else [*kinds, _PREDICATE],
                returns,
                filtered(emit, 1 if len(kinds) < 2 or kinds[1].optional else len(kinds)),
            )
            for kinds, returns, emit in shapes
        ],
        aliases=conditional_aliases,
        column=conditional_column,
        nulls=nulls,
    )


# --- counts --------------------------------------------------------------------------------------

aggregate(
    "count",
    [
        overload([], LONG, "count(*)"),
        overload([parameter(BOOL, "predicate")], LONG, "count(*) FILTER (WHERE {0})"),
        overload([parameter(ANY)], LONG, "count(*)"),
    ],
    column="count_{0}",
    nulls="never",
    aliases=["cnt"],
)
aggregate("countif", [_PREDICATE], LONG, "count(*) FILTER (WHERE {0})", column="countif_{0}", nulls="never")


def _count_distinct(call: Emission, where: str) -> str:
    return f"count(DISTINCT {call.sql[0]}){where}"


_ACCURACY = optional(ANY, name="accuracy")
_pair(
    "dcount",
    "dcountif",
    [([parameter(ANY, "expr"), _ACCURACY], LONG, _count_distinct)],
    nulls="never",
)
_pair(
    "count_distinct", "count_distinctif", [([parameter(ANY, "expr")], LONG, _count_distinct)], nulls="never"
)


# --- sums and means ------------------------------------------------------------------------------


def _sum(kind: str, zero: str) -> Callable[[Emission, str], str]:
    return lambda call, where: f"coalesce(CAST(sum({call.sql[0]}){where} AS {kind}), {zero})"


_pair(
    "sum",
    "sumif",
    [
        ([parameter(INTEGER, "expr")], LONG, _sum("BIGINT", "0")),
        ([parameter(REAL, "expr")], REAL, _sum("DOUBLE", "0.0::DOUBLE")),
        ([parameter(DECIMAL, "expr")], DECIMAL, _sum("DECIMAL(38, 18)", "0::DECIMAL(38, 18)")),
        ([parameter(TIMESPAN, "expr")], TIMESPAN, _sum("BIGINT", "0")),
    ],
    nulls="never",
)


def _avg_decimal(total: Decimal | None, count: int) -> Decimal | None:
    return None if total is None or not count else Context(prec=34).divide(total, Decimal(count))


python_scalar("$avg_decimal", [DECIMAL, LONG], DECIMAL, _avg_decimal)

_pair(
    "avg",
    "avgif",
    [
        (
            [parameter(frozenset({INT, LONG, REAL}), "expr")],
            REAL,
            lambda call, where: f"coalesce(avg({call.sql[0]}){where}, 'NaN'::DOUBLE)",
        ),
        (
            [parameter(DECIMAL, "expr")],
            DECIMAL,
            lambda call, where: call.udf(
                "$avg_decimal",
                f"CAST(sum({call.sql[0]}){where} AS DECIMAL(38, 18))",
                f"count({call.sql[0]}){where}",
            ),
        ),
        (
            [parameter(TIMESPAN, "expr")],
            TIMESPAN,
            lambda call, where: f"CAST(trunc(avg({call.sql[0]}){where}) AS BIGINT)",
        ),
        (
            [parameter(DATETIME, "expr")],
            DATETIME,
            lambda call, where: f"make_timestamp(CAST(floor(avg(epoch_us({call.sql[0]})){where}) AS BIGINT))",
        ),
    ],
)


def _of(function: str) -> Callable[[Emission, str], str]:
    return lambda call, where: f"{function}({call.sql[0]}){where}"


_pair("min", "minif", [([parameter(ORDERABLE, "expr")], same(0), _of("min"))])
_pair("max", "maxif", [([parameter(ORDERABLE, "expr")], same(0), _of("max"))])


# --- spread --------------------------------------------------------------------------------------


def _number(argument: Argument) -> str:
    """SQL of a value as a number: datetimes in ticks."""
    if argument.type is DATETIME:
        return f"(epoch_us({argument.sql}) * 10)"
    return f"CAST({argument.sql} AS DOUBLE)"


_SUMMABLE = frozenset({INT, LONG, REAL, DECIMAL, TIMESPAN, DATETIME})


def _spread(function: str) -> Callable[[Emission, str], str]:
    return lambda call, where: f"coalesce({function}({_number(call.arguments[0])}){where}, 0.0::DOUBLE)"


def _joint(function: str) -> Callable[[Emission, str], str]:
    def emit(call: Emission, where: str) -> str:
        x, y = map(_number, call.arguments)
        return f"coalesce({function}({x}, {y}){where}, 0.0::DOUBLE)"

    return emit


for _name, _conditional, _function in (
    ("stdev", "stdevif", "stddev_samp"),
    ("stdevp", "stdevpif", "stddev_pop"),
    ("variance", "varianceif", "var_samp"),
    ("variancep", "variancepif", "var_pop"),
):
    _pair(_name, _conditional, [([parameter(_SUMMABLE, "expr")], REAL, _spread(_function))], nulls="never")
for _name, _conditional, _function in (
    ("covariance", "covarianceif", "covar_samp"),
    ("covariancep", "covariancepif", "covar_pop"),
):
    _pair(
        _name,
        _conditional,
        [([parameter(_SUMMABLE, "x"), parameter(_SUMMABLE, "y")], REAL, _joint(_function))],
        nulls="never",
    )

aggregate("binary_all_and", [parameter(LONG, "expr")], LONG, "bit_and({0})", column="{0}")
aggregate("binary_all_or", [parameter(LONG, "expr")], LONG, "bit_or({0})", column="{0}")
aggregate("binary_all_xor", [parameter(LONG, "expr")], LONG, "bit_xor({0})", column="{0}")


# --- lists, sets, bags ---------------------------------------------------------------------------


def _limit(call: Emission, place: int) -> str:
    size = call.arguments[place].value if len(call.arguments) > place else MOST_ITEMS
    return str(size if isinstance(size, int) and size > 0 else MOST_ITEMS)


def _as_array(items: str, limit: str) -> str:
    """SQL of the JSON array of a list of JSON texts; over no rows it is empty."""
    return f"concat('[', array_to_string(list_slice({items}, 1, {limit}), ','), ']')"


def _make_list(predicate: bool, nulls: bool) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        argument = call.arguments[0]
        item = json_of(call, argument)
        conditions = []
        if nulls:
            item = f"coalesce({item}, 'null')"
        elif argument.nullable and argument.type is not STRING:
            conditions.append(f"{argument.sql} IS NOT NULL")
        if predicate:
            conditions.append(call.sql[1])
        where = f" FILTER (WHERE {' AND '.join(conditions)})" if conditions else ""
        return _as_array(f"list({item}{call.order}){where}", _limit(call, 2 if predicate else 1))

    return emit


def _make_set(predicate: bool) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        argument = call.arguments[0]
        limit = _limit(call, 2 if predicate else 1)
        where = f" FILTER (WHERE {call.sql[1]})" if predicate else ""
        if argument.type is DYNAMIC:
            # The items of arrays are united; other values count as they are.
            items = call.once(
                "CASE WHEN json_type({x}) = 'ARRAY' THEN CAST(json_extract({x}, '$[*]') AS VARCHAR[])"
                " ELSE [{x}] END",
                x=argument.sql,
            )
            return _as_array(
                f"list_filter(list_distinct(flatten(list({items}){where})), lambda item: item IS NOT NULL)",
                limit,
            )
        conditions = []
        if argument.nullable and argument.type is not STRING:
            conditions.append(f"{argument.sql} IS NOT NULL")
        if predicate:
            conditions.append(call.sql[1])
        where = f" FILTER (WHERE {' AND '.join(conditions)})" if conditions else ""
        plain = Argument("item", argument.type, argument.element, nullable=False)
        items = f"list(DISTINCT {argument.sql}){where}"
        return _as_array(f"list_transform({items}, lambda item: {json_of(call, plain)})", limit)

    return emit


def _item_type(arguments: Sequence[Argument]) -> KustoType | None:
    kind = arguments[0].type
    return arguments[0].element if kind is DYNAMIC else kind


_EXPR = parameter(ANY, "expr")
_SIZE = optional(constant(INTEGER), name="maxSize")
aggregate(
    "make_list",
    [_EXPR, _SIZE],
    DYNAMIC,
    _make_list(False, False),
    column="list_{0}",
    nulls="never",
    aliases=["makelist"],
    element=_item_type,
)
aggregate(
    "make_list_if",
    [_EXPR, _PREDICATE, _SIZE],
    DYNAMIC,
    _make_list(True, False),
    column="list_{0}",
    nulls="never",
    element=_item_type,
)
aggregate(
    "make_list_with_nulls",
    [_EXPR, _SIZE],
    DYNAMIC,
    _make_list(False, True),
    column="list_{0}",
    nulls="never",
    element=_item_type,
)
aggregate(
    "make_set",
    [_EXPR, _SIZE],
    DYNAMIC,
    _make_set(False),
    column="set_{0}",
    nulls="never",
    aliases=["makeset"],
    element=_item_type,
)
aggregate(
    "make_set_if",
    [_EXPR, _PREDICATE, _SIZE],
    DYNAMIC,
    _make_set(True),
    column="set_{0}",
    nulls="never",
    element=_item_type,
)


def _merge_bags(bags: list[Any] | None, most: int) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for bag in bags or []:
        if isinstance(bag, dict):
            for key, value in bag.items():
                if key in merged:
                    continue
                if len(merged) >= most:
                    return merged
                merged[key] = value
    return merged


python_scalar("$merge_bags", [DYNAMIC, LONG], DYNAMIC, _merge_bags, lists=1, calls_on_null=True)


def _make_bag(predicate: bool) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        where = f" FILTER (WHERE {call.sql[1]})" if predicate else ""
        size = _limit(call, 2 if predicate else 1)
        return call.udf("$merge_bags", f"list({call.sql[0]}{call.order}){where}", size)

    return emit


aggregate(
    "make_bag",
    [parameter(DYNAMIC, "expr"), _SIZE],
    DYNAMIC,
    _make_bag(False),
    column="bag_{0}",
    nulls="never",
    aliases=["make_dictionary"],
)
aggregate(
    "make_bag_if",
    [parameter(DYNAMIC, "expr"), _PREDICATE, _SIZE],
    DYNAMIC,
    _make_bag(True),
    column="bag_{0}",
    nulls="never",
)
