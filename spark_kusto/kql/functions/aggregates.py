"""Aggregate functions that are one expression of SQL.

Sources: Kusto documentation, "Aggregation function types at a glance" and the functions' pages.
Aggregates skip nulls. Over no values, extremes are null, sums and counts zero, lists empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql.functions.dynamics import json_item, json_of
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DATETIME,
    DECIMAL,
    DYNAMIC,
    INT,
    INTEGER,
    LONG,
    NUMBER,
    ORDERABLE,
    REAL,
    STRING,
    SUMMABLE,
    TIMESPAN,
    Argument,
    Emission,
    aggregate,
    optional,
    parameter,
    promoted,
    python_scalar,
    same,
)
from spark_kusto.kql.sql.arithmetic import wrapped
from spark_kusto.types import KustoType

MOST_ITEMS = 1_048_576
"""Default and largest size of arrays that aggregates build."""

_JSON_CANNOT_TELL = frozenset({DATETIME, TIMESPAN, DECIMAL, KustoType.GUID})


def _with_if(
    name: str,
    parameters: Sequence[object],
    returns: object,
    sql: Callable[[Emission, str], str],
    *,
    column: str | None = None,
    if_column: str | None = None,
    if_name: str | None = None,
    nulls: str = "maybe",
    by_order: bool = False,
    element: Callable[[Sequence[Argument]], KustoType | None] | None = None,
    aliases: Sequence[str] = (),
    difference: str = "",
) -> None:
    """Register an aggregate and its ``if`` form, whose last required argument is a predicate.

    ``sql`` gets the call and the FILTER clause to append.
    """
    first: list[object] = [p for p in parameters if not getattr(p, "optional", False)]
    rest: list[object] = [p for p in parameters if getattr(p, "optional", False)]
    place = len(first)

    def emit_if(call: Emission) -> str:
        predicate = call.arguments[place]
        arguments = (*call.arguments[:place], *call.arguments[place + 1 :])
        inner = Emission(
            call.name,
            arguments,
            call.returns,
            call.order,
            python=call.python,
            fresh=call.fresh,
        )
        return sql(inner, f" FILTER (WHERE {predicate.sql})")

    aggregate(
        name,
        parameters,  # type: ignore[arg-type]
        returns,  # type: ignore[arg-type]
        lambda call: sql(call, ""),
        column=column,
        nulls=nulls,
        by_order=by_order,
        element=element,
        aliases=aliases,
        difference=difference,
    )
    aggregate(
        if_name or f"{name}if",
        [*first, parameter(BOOL, "predicate"), *rest],  # type: ignore[arg-type]
        returns,  # type: ignore[arg-type]
        emit_if,
        column=if_column,
        nulls=nulls,
        by_order=by_order,
        element=element,
        difference=difference,
    )


# --- counts, sums, extremes ----------------------------------------------------------------------

aggregate(
    "count",
    # An argument changes nothing but the name: count(x) counts rows, nulls included.
    [optional(ANY)],
    LONG,
    lambda call: "count(*)",
    column="count_{0}",
    nulls="never",
    aliases=["cnt"],
)
aggregate("countif", [BOOL], LONG, "count(*) FILTER (WHERE {0})", column="countif_", nulls="never")


def _sum(call: Emission, where: str) -> str:
    argument = call.arguments[0]
    text = f"sum({argument.sql}){where}"
    if argument.type in (LONG, TIMESPAN):
        return f"coalesce({wrapped(text)}, 0)"
    if argument.type is INT:
        return f"coalesce({text}, 0)::BIGINT"
    if argument.type is DECIMAL:
        return f"coalesce({text}, 0)::DECIMAL(38,18)"
    return f"coalesce({text}, 0)"


_with_if("sum", [NUMBER | {TIMESPAN}], promoted(0), _sum, nulls="never")


def _extreme(function: str) -> Callable[[Emission, str], str]:
    return lambda call, where: f"{function}({call.sql[0]}){where}"


_with_if("min", [ORDERABLE], same(0), _extreme("min"))
_with_if("max", [ORDERABLE], same(0), _extreme("max"))


def _average_type(types: tuple[KustoType, ...]) -> KustoType:
    return types[0] if types[0] in (DECIMAL, TIMESPAN, DATETIME) else REAL


def _average(call: Emission, where: str) -> str:
    argument = call.arguments[0]
    if argument.type is TIMESPAN:
        return f"CAST(avg({argument.sql}){where} AS BIGINT)"
    if argument.type is DATETIME:
        return f"make_timestamp(CAST(avg(epoch_us({argument.sql})){where} AS BIGINT))"
    if argument.type is DECIMAL:
        total, count = f"sum({argument.sql}){where}", f"count({argument.sql}){where}"
        return call.udf(
            "$decimal_divide",
            f"CAST({total} AS DECIMAL(38,18))",
            f"CAST({count} AS DECIMAL(38,18))",
            types=(DECIMAL, DECIMAL),
        )
    # Kusto answers NaN, not null, where there is nothing to average.
    return f"coalesce(avg({argument.sql}){where}, 'nan'::DOUBLE)"


_with_if("avg", [SUMMABLE], _average_type, _average)


def _spread(function: str) -> Callable[[Emission, str], str]:
    def emit(call: Emission, where: str) -> str:
        arguments = []
        for argument in call.arguments:
            sql = argument.sql
            if argument.type is DATETIME:
                sql = f"(epoch_us({sql}) * 10)"
            arguments.append(f"{sql}::DOUBLE")
        return f"{function}({', '.join(arguments)}){where}"

    return emit


def _sample_spread(function: str) -> Callable[[Emission, str], str]:
    # Of a single value, and of none, it is 0 in Kusto.
    inner = _spread(function)

    def emit(call: Emission, where: str) -> str:
        count = f"count({call.sql[0]}){where}"
        return f"CASE WHEN {count} < 2 THEN 0e0 ELSE {inner(call, where)} END"

    return emit


_with_if("stdev", [SUMMABLE], REAL, _sample_spread("stddev_samp"))
_with_if("stdevp", [SUMMABLE], REAL, _spread("stddev_pop"))
_with_if("variance", [SUMMABLE], REAL, _sample_spread("var_samp"))
_with_if("variancep", [SUMMABLE], REAL, _spread("var_pop"))
_with_if(
    "covariance",
    [SUMMABLE, SUMMABLE],
    REAL,
    _spread("covar_samp"),
    column="covariance_{0}_{1}",
    if_column="covarianceif_{0}_{1}",
)
_with_if(
    "covariancep",
    [SUMMABLE, SUMMABLE],
    REAL,
    _spread("covar_pop"),
    column="covariancep_{0}_{1}",
    if_column="covariancepif_{0}_{1}",
)


def _bits(function: str) -> Callable[[Emission], str]:
    return lambda call: f"{function}({call.sql[0]}::BIGINT)"


aggregate("binary_all_and", [INTEGER], LONG, _bits("bit_and"), column="{0}")
aggregate("binary_all_or", [INTEGER], LONG, _bits("bit_or"), column="{0}")
aggregate("binary_all_xor", [INTEGER], LONG, _bits("bit_xor"), column="{0}")


# --- distinct counts -----------------------------------------------------------------------------


def _distinct_count(call: Emission, where: str) -> str:
    argument = call.arguments[0]
    sql = argument.sql
    # Null is not counted; an empty string is a value.
    return f"count(DISTINCT {sql}){where}"


_with_if(
    "dcount",
    [ANY, optional(parameter(LONG, "accuracy"))],
    LONG,
    _distinct_count,
    nulls="never",
    difference="exact, whatever the accuracy level; Kusto estimates",
)
_with_if("count_distinct", [ANY], LONG, _distinct_count, nulls="never")


# --- lists and sets ------------------------------------------------------------------------------


def _limit(call: Emission) -> int:
    if len(call.arguments) < 2:
        return MOST_ITEMS
    value = call.arguments[1].value
    if not isinstance(value, int):
        raise KqlSemanticError(f"{call.name}(): the largest size must be a constant.")
    return max(0, min(value, MOST_ITEMS))


def _cut(call: Emission, items: str) -> str:
    limit = _limit(call)
    return items if limit >= MOST_ITEMS else f"list_slice({items}, 1, {limit})"


def as_json_array(items: str) -> str:
    """SQL of a JSON array from a list of JSON texts; an empty or missing list is ``[]``."""
    return f"concat('[', array_to_string({items}, ','), ']')"


def _list(call: Emission, where: str) -> str:
    argument = call.arguments[0]
    item = json_of(call, argument)
    if argument.type is DYNAMIC:
        return as_json_array(_cut(call, _items(call, f"list({item}{call.order}){where}")))
    present = "" if argument.type is STRING else f"{argument.sql} IS NOT NULL"
    if present:
        where = where[:-1] + f" AND {present})" if where else f" FILTER (WHERE {present})"
    return as_json_array(_cut(call, f"list({item}{call.order}){where}"))


def _list_with_nulls(call: Emission) -> str:
    item = json_item(call, call.arguments[0])
    return as_json_array(f"list({item}{call.order})")


def _items(call: Emission, values: str) -> str:
    """SQL of a list of dynamic values with its arrays taken apart, one level, nulls left out."""
    return call.once(
        "list_filter(flatten(list_transform({l}, lambda d:"
        " CASE WHEN json_type(d) = 'ARRAY' THEN json_extract(d, '$[*]')::VARCHAR[]"
        " ELSE [d] END)), lambda d: d IS NOT NULL AND d <> 'null')",
        l=values,
    )


def _set(call: Emission, where: str) -> str:
    argument = call.arguments[0]
    item = json_of(call, argument)
    if argument.type is DYNAMIC:
        return as_json_array(_cut(call, f"list_distinct({_items(call, f'list({item}){where}')})"))
    present = "" if argument.type is STRING else f"{argument.sql} IS NOT NULL"
    if present:
        where = where[:-1] + f" AND {present})" if where else f" FILTER (WHERE {present})"
    return as_json_array(_cut(call, f"list(DISTINCT {item}){where}"))


def _element(arguments: Sequence[Argument]) -> KustoType | None:
    kind = arguments[0].type
    return kind if kind in _JSON_CANNOT_TELL else None


_SIZE = optional(parameter(LONG, "maxSize"))

_with_if(
    "make_list",
    [ANY, _SIZE],
    DYNAMIC,
    _list,
    column="list_{0}",
    if_column="list_{0}",
    if_name="make_list_if",
    nulls="never",
    by_order=True,
    element=_element,
    aliases=["makelist"],
)
aggregate(
    "make_list_with_nulls",
    [ANY],
    DYNAMIC,
    _list_with_nulls,
    column="list_{0}",
    nulls="never",
    by_order=True,
    element=_element,
)
_with_if(
    "make_set",
    [ANY, _SIZE],
    DYNAMIC,
    _set,
    column="set_{0}",
    if_column="set_{0}",
    if_name="make_set_if",
    nulls="never",
    element=_element,
    aliases=["makeset"],
)


def _merge_bags(bags: list[object], limit: int | None = None) -> dict[str, object]:
    merged: dict[str, object] = {}
    for bag in bags:
        if isinstance(bag, dict):
            for key, value in bag.items():
                if limit is not None and len(merged) >= limit and key not in merged:
                    continue
                merged.setdefault(key, value)
    return merged


python_scalar("$make_bag", [DYNAMIC, LONG], DYNAMIC, _merge_bags, lists=1, calls_on_null=True)


def _bag(call: Emission, where: str) -> str:
    bags = f"coalesce(list({call.sql[0]}{call.order}){where}, [])"
    return call.udf("$make_bag", bags, f"{_limit(call)}::BIGINT", types=(DYNAMIC, LONG))


_with_if(
    "make_bag",
    [DYNAMIC, _SIZE],
    DYNAMIC,
    _bag,
    column="bag_{0}",
    if_column="bag_{0}",
    if_name="make_bag_if",
    nulls="never",
    by_order=True,
    aliases=["make_dictionary"],
)

aggregate("passthrough", [ANY], same(0), "any_value({0})", column="{0}")
