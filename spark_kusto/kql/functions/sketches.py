"""Rows of percentiles and of mergeable states: HyperLogLog, t-digest; and of buildschema()."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql import syntax
from spark_kusto.kql.algorithms import hll, schemas, tdigest
from spark_kusto.kql.execution import to_json
from spark_kusto.kql.functions.conversions import text_or_null
from spark_kusto.kql.functions.hashing import hash_sql
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
    SUMMABLE,
    TIMESPAN,
    AggregateRow,
    Argument,
    Emission,
    aggregate,
    aggregates,
    arrow_scalar,
    constant,
    optional,
    overload,
    parameter,
    python_row,
    python_scalar,
    repeated,
    scalar,
    special,
)
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.kql.binder.context import Context
    from spark_kusto.kql.binder.core import Binder
    from spark_kusto.kql.plan import Expr


def _chunk(array: Any) -> Any:
    import pyarrow as pa

    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _pieces(lists: Any) -> Any:
    """The items of a list array as one NumPy array (NaN or 0 where null), and each list's bounds."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = _chunk(lists)
    flat = lists.values
    if flat.null_count:
        flat = pc.fill_null(flat, float("nan") if pa.types.is_floating(flat.type) else 0)
    values = flat.to_numpy(zero_copy_only=False)
    missing = lists.values.is_null().to_numpy(zero_copy_only=False)
    offsets = np.asarray(lists.offsets)
    valid = lists.is_valid().to_numpy(zero_copy_only=False)
    return values, missing, offsets, valid


# --- HyperLogLog ---------------------------------------------------------------------------------


def _hll(lists: Any, accuracy: Any) -> pa.Array:
    import pyarrow as pa

    values, missing, offsets, valid = _pieces(lists)
    levels = _chunk(accuracy).to_pylist()
    answers: list[str | None] = []
    for row, level in enumerate(levels):
        part = slice(offsets[row], offsets[row + 1])
        kept = values[part][~missing[part]] if valid[row] else values[:0]
        answers.append(to_json(hll.to_json(hll.build(kept, level))) if kept.size else None)
    return pa.array(answers, pa.string())


def _merge_hll(values: list[Any] | None) -> list[Any] | None:
    known = (hll.from_json(value) for value in values or ())
    return hll.to_json(hll.merge(sketch for sketch in known if sketch is not None))


def _dcount_hll(value: Any) -> int | None:
    sketch = hll.from_json(value)
    return None if sketch is None else hll.estimate(sketch)


arrow_scalar("$hll", [LONG, LONG], DYNAMIC, _hll, lists=1)
python_scalar("$hll_merge", [DYNAMIC], DYNAMIC, _merge_hll, lists=1, calls_on_null=True)


def _hll_of(call: Emission, where: str, accuracy: int) -> str:
    level = call.arguments[accuracy].sql if accuracy < len(call.arguments) else str(hll.DEFAULT_ACCURACY)
    hashes = f"list(DISTINCT {hash_sql(call, call.arguments[0])}){where}"
    return call.udf("$hll", hashes, level)


_ACCURACY = optional(constant(INTEGER, "accuracy"))
_REGISTERS = "Beyond 1,024 distinct values the state's inner form is this package's own."

aggregate(
    "hll",
    [parameter(ANY, "expr"), _ACCURACY],
    DYNAMIC,
    lambda call: _hll_of(call, "", 1),
    difference=_REGISTERS,
)
aggregate(
    "hll_if",
    [parameter(ANY, "expr"), parameter(BOOL, "predicate"), _ACCURACY],
    DYNAMIC,
    lambda call: _hll_of(call, f" FILTER (WHERE {call.sql[1]})", 2),
    difference=_REGISTERS,
)
aggregate(
    "hll_merge",
    [parameter(DYNAMIC, "hll")],
    DYNAMIC,
    lambda call: call.udf("$hll_merge", f"list({call.sql[0]})"),
)
python_scalar(
    "hll_merge",
    [parameter(DYNAMIC, "hll"), parameter(DYNAMIC, "hll"), repeated(DYNAMIC, "hll")],
    DYNAMIC,
    lambda *values: _merge_hll(list(values)),
    calls_on_null=True,
    column="hll_merged_result",
)
python_scalar("dcount_hll", [parameter(DYNAMIC, "hll")], LONG, _dcount_hll, column="dcount_hll_{0}")


# --- t-digest ------------------------------------------------------------------------------------

_KINDS = {
    INT: tdigest.LONG,
    LONG: tdigest.LONG,
    REAL: tdigest.REAL,
    DECIMAL: tdigest.REAL,
    DATETIME: tdigest.DATETIME,
    TIMESPAN: tdigest.TIMESPAN,
}


def _as_real(argument: Argument) -> str:
    if argument.type is DATETIME:
        return f"CAST(epoch_us({argument.sql}) AS DOUBLE)"
    return f"CAST({argument.sql} AS DOUBLE)"


def _tdigest(lists: Any, kinds: Any) -> pa.Array:
    import pyarrow as pa

    values, _, offsets, valid = _pieces(lists)
    answers: list[str | None] = []
    for row, kind in enumerate(_chunk(kinds).to_pylist()):
        part = values[offsets[row] : offsets[row + 1]] if valid[row] else values[:0]
        answers.append(to_json(tdigest.to_json(tdigest.build(kind, part))))
    return pa.array(answers, pa.string())


def _weighted_tdigest(lists: Any, weights: Any, kinds: Any) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    values, _, offsets, valid = _pieces(lists)
    heavy, absent, weight_offsets, _ = _pieces(weights)
    answers: list[str | None] = []
    for row, kind in enumerate(_chunk(kinds).to_pylist()):
        if not valid[row]:
            answers.append(None)
            continue
        part = values[offsets[row] : offsets[row + 1]]
        place = slice(weight_offsets[row], weight_offsets[row + 1])
        weight = np.where(absent[place], 0.0, heavy[place].astype(np.float64))
        answers.append(to_json(tdigest.to_json(tdigest.build(kind, part, weight))))
    return pa.array(answers, pa.string())


def _merge_tdigest(values: list[Any] | None) -> list[Any] | None:
    known = (tdigest.from_json(value) for value in values or ())
    return tdigest.to_json(tdigest.merge(digest for digest in known if digest is not None))


def _percentile_of(value: Any, percent: float) -> Any:
    digest = tdigest.from_json(value)
    return None if digest is None else tdigest.percentile(digest, percent)


def _percentiles_of(value: Any, *percents: Any) -> list[Any] | None:
    digest = tdigest.from_json(value)
    if digest is None:
        return None
    flat = percents[0] if len(percents) == 1 and isinstance(percents[0], list) else percents
    return [
        tdigest.percentile(digest, float(percent)) if isinstance(percent, (int, float)) else None
        for percent in flat
    ]


def _rank(measure: Callable[[tdigest.Digest, float], float]) -> Callable[[Any, float], float | None]:
    def of(value: Any, item: float) -> float | None:
        digest = tdigest.from_json(value)
        return None if digest is None else measure(digest, item)

    return of


arrow_scalar("$tdigest", [REAL, LONG], DYNAMIC, _tdigest, lists=1)
arrow_scalar("$tdigest_weighted", [REAL, LONG, LONG], DYNAMIC, _weighted_tdigest, lists=2)
python_scalar("$merge_tdigest", [DYNAMIC], DYNAMIC, _merge_tdigest, lists=1, calls_on_null=True)
python_scalar("$rank_tdigest", [DYNAMIC, REAL], REAL, _rank(tdigest.rank))
python_scalar("$percentrank_tdigest", [DYNAMIC, REAL], REAL, _rank(tdigest.percent_rank))


def _tdigest_of(call: Emission) -> str:
    values, kind = f"list({_as_real(call.arguments[0])})", str(_KINDS[call.types[0]])
    if len(call.arguments) == 1:
        return call.udf("$tdigest", values, kind)
    return call.udf("$tdigest_weighted", values, f"list(CAST({call.sql[1]} AS BIGINT))", kind)


_DIGESTS = "Beyond 1,000 distinct values the digest's centroids are this package's own."

aggregate(
    "tdigest",
    [
        overload([parameter(SUMMABLE, "expr")], DYNAMIC, _tdigest_of),
        overload([parameter(SUMMABLE, "expr"), parameter(INTEGER, "weight")], DYNAMIC, _tdigest_of),
    ],
    difference=_DIGESTS,
)
aggregate(
    "tdigest_merge",
    [parameter(DYNAMIC, "tdigest")],
    DYNAMIC,
    lambda call: call.udf("$merge_tdigest", f"list({call.sql[0]})"),
    aliases=("merge_tdigest", "merge_tdigests"),
    column="merge_tdigests_{0}",
)
python_scalar(
    "merge_tdigest",
    [parameter(DYNAMIC, "tdigest"), parameter(DYNAMIC, "tdigest"), repeated(DYNAMIC, "tdigest")],
    DYNAMIC,
    lambda *values: _merge_tdigest(list(values)),
    calls_on_null=True,
    aliases=("tdigest_merge", "merge_tdigests"),
    column="tdigests_merge_result",
)
python_scalar("$percentile_tdigest", [DYNAMIC, REAL], DYNAMIC, _percentile_of)


def _bind_percentile_tdigest(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    from spark_kusto.kql.binder.calls import call_row
    from spark_kusto.kql.binder.conversion import convert

    arguments = [binder.expression(argument, context) for argument in node.arguments[:2]]
    found = call_row(binder, python_row("$percentile_tdigest"), arguments, node)
    if len(node.arguments) > 2:
        given = node.arguments[2]
        if not isinstance(given, syntax.TypeOf) or given.type.scalar is None:
            raise binder.error("percentile_tdigest() takes a type last: typeof(long).", given)
        return convert(found, KustoType.parse(given.type.scalar))  # type: ignore[arg-type]
    return found  # type: ignore[return-value]


special("percentile_tdigest", _bind_percentile_tdigest, column="percentile_tdigest_{0}")
python_scalar(
    "percentiles_array_tdigest",
    [parameter(DYNAMIC, "tdigest"), repeated(frozenset({REAL, DYNAMIC}), "percentile")],
    DYNAMIC,
    _percentiles_of,
    aliases=("percentile_array_tdigest",),
    column="percentile_tdigest_{0}",
)
python_scalar("tdigest_isvalid", [DYNAMIC], BOOL, lambda value: tdigest.from_json(value) is not None)
python_scalar("hll_isvalid", [DYNAMIC], BOOL, lambda value: hll.from_json(value) is not None)


def _ranking(name: str) -> Callable[[Emission], str]:
    return lambda call: call.udf(f"${name}", call.sql[0], _as_real(call.arguments[1]))


for _name in ("rank_tdigest", "percentrank_tdigest"):
    scalar(
        _name,
        [parameter(DYNAMIC, "tdigest"), parameter(SUMMABLE, "value")],
        REAL,
        _ranking(_name),
        nulls="maybe",
    )


# --- percentiles ---------------------------------------------------------------------------------


def _as_percentile(types: tuple[KustoType, ...]) -> KustoType:
    if types[0] is INT:
        return LONG
    return REAL if types[0] is DECIMAL else types[0]


def _widened(argument: Argument) -> str:
    if argument.type is INT:
        return f"CAST({argument.sql} AS BIGINT)"
    return f"CAST({argument.sql} AS DOUBLE)" if argument.type is DECIMAL else argument.sql


def _share(percent: Any) -> str:
    return repr(min(max(float(percent), 0.0), 100.0) / 100.0)


def _percentile(call: Emission) -> str:
    return f"quantile_disc({_widened(call.arguments[0])}, {_share(call.arguments[1].value)})"


def _weighted(call: Emission, percents: str) -> str:
    """SQL of the weighted percentiles as a JSON array of numbers."""
    expression, weight = call.arguments[0], f"list(CAST({call.sql[1]} AS BIGINT))"
    if expression.type in (REAL, DECIMAL):
        return call.udf("$percentilesw_real", f"list({_as_real(expression)})", weight, percents)
    number = (
        f"epoch_us({expression.sql})" if expression.type is DATETIME else f"CAST({expression.sql} AS BIGINT)"
    )
    return call.udf("$percentilesw_long", f"list({number})", weight, percents)


def _percentilew(call: Emission) -> str:
    item = f"json_extract_string({_weighted(call, _shares([call.arguments[2].value]))}, '$[0]')"
    kind = call.types[0]
    if kind in (REAL, DECIMAL):
        return f"CAST({item} AS DOUBLE)"
    if kind is DATETIME:
        return f"make_timestamp(CAST({item} AS BIGINT))"
    return f"CAST({item} AS BIGINT)"


def _shares(percents: list[Any]) -> str:
    return "'" + (to_json([float(percent) for percent in percents]) or "[]") + "'"


def _weighted_lists(values: Any, weights: Any, percents: Any) -> pa.Array:
    import json

    import numpy as np
    import pyarrow as pa

    numbers, missing, offsets, valid = _pieces(values)
    heavy, absent, weight_offsets, _ = _pieces(weights)
    answers: list[str | None] = []
    for row, wanted in enumerate(_chunk(percents).to_pylist()):
        if not valid[row]:
            answers.append(None)
            continue
        place = slice(offsets[row], offsets[row + 1])
        weight_place = slice(weight_offsets[row], weight_offsets[row + 1])
        weight = np.where(absent[weight_place] | missing[place], 0.0, heavy[weight_place].astype(np.float64))
        found = tdigest.weighted_percentiles(numbers[place], weight, json.loads(wanted))
        answers.append(None if None in found else to_json(found))
    return pa.array(answers, pa.string())


arrow_scalar("$percentilesw_real", [REAL, LONG, DYNAMIC], DYNAMIC, _weighted_lists, lists=2)
arrow_scalar("$percentilesw_long", [LONG, LONG, DYNAMIC], DYNAMIC, _weighted_lists, lists=2)


def _all_percents(arguments: tuple[Argument, ...]) -> list[Any]:
    values: list[Any] = []
    for argument in arguments:
        values.extend(argument.value if isinstance(argument.value, list) else [argument.value])
    if not all(isinstance(value, int | float | Decimal) for value in values):
        raise KqlSemanticError("A percentile must be a constant number.", code="SEM0040")
    return values


def _listed(call: Emission, items: str, kind: KustoType) -> str:
    """SQL of a JSON array of a SQL list's items, of the given type."""
    if kind in (DATETIME, TIMESPAN):
        alias = call.fresh()
        text = text_or_null(call, Argument(alias, kind))
        items = f"list_transform({items}, lambda {alias}: {text})"
    return f"CAST(to_json({items}) AS VARCHAR)"


def _percentiles_array(call: Emission) -> str:
    shares = ", ".join(_share(percent) for percent in _all_percents(call.arguments[1:]))
    found = f"quantile_disc({_widened(call.arguments[0])}, [{shares}])"
    return _listed(call, found, call.types[0])


def _percentilesw_array(call: Emission) -> str:
    found = _weighted(call, _shares(_all_percents(call.arguments[2:])))
    kind = call.types[0]
    if kind not in (DATETIME, TIMESPAN):
        return found
    alias = call.fresh()
    item = f"make_timestamp({alias})" if kind is DATETIME else alias
    numbers = f"CAST(json_extract({found}, '$[*]') AS BIGINT[])"
    text = text_or_null(call, Argument(item, kind))
    return f"CAST(to_json(list_transform({numbers}, lambda {alias}: {text})) AS VARCHAR)"


_PERCENTS = repeated(constant(NUMBER | {DYNAMIC}, "percentile"))

aggregate(
    "$percentile",
    [parameter(ORDERABLE, "expr"), constant(NUMBER, "percentile")],
    _as_percentile,
    _percentile,
)
aggregate(
    "$percentilew",
    [parameter(SUMMABLE, "expr"), parameter(INTEGER, "weight"), constant(NUMBER, "percentile")],
    _as_percentile,
    _percentilew,
)
aggregate(
    "percentiles_array",
    [parameter(SUMMABLE, "expr"), _PERCENTS],
    DYNAMIC,
    _percentiles_array,
    column="percentiles_{0}",
)
aggregate(
    "percentilesw_array",
    [parameter(SUMMABLE, "expr"), parameter(INTEGER, "weight"), _PERCENTS],
    DYNAMIC,
    _percentilesw_array,
    column="percentile_{0}",
)


def _bind_percentiles(leading: int) -> Callable[[Binder, syntax.Call, Context], Any]:
    """One column for each percentile, named ``percentile_<expression>_<percentile>``."""
    row_name = "$percentile" if leading == 1 else "$percentilew"

    def bind(binder: Binder, node: syntax.Call, context: Context) -> Any:
        from spark_kusto.kql.binder.calls import Several, aggregate_call, bind_arguments

        row = aggregates()[row_name]
        assert isinstance(row, AggregateRow)
        assert context.aggregates is not None
        inner = context.aggregates.inner
        arguments = bind_arguments(binder, node, inner)
        if len(arguments) <= leading:
            raise binder.error(
                f"{node.name}(): {len(arguments)} argument(s) given, at least {leading + 1} expected.",
                node,
                code="SEM0219",
            )
        source = binder.name_of(node.arguments[0]) or ""
        values: list[tuple[str, Expr]] = []
        for given, percent in zip(node.arguments[leading:], arguments[leading:], strict=True):
            column = aggregate_call(binder, row, [*arguments[:leading], percent], node, context)
            values.append((f"percentile_{source}_{_fragment(binder, given, inner)}", column))
        return Several(tuple(values))

    return bind


def _fragment(binder: Binder, node: syntax.Expression, context: Context) -> str:
    value = binder.constant(node, context, "A percentile")
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return "".join(c if c.isalnum() else "_" for c in str(value))


special("percentile", _bind_percentiles(1), kind="aggregate")
special("percentiles", _bind_percentiles(1), kind="aggregate")
special("percentilew", _bind_percentiles(2), kind="aggregate")
special("percentilesw", _bind_percentiles(2), kind="aggregate")


# --- schemas -------------------------------------------------------------------------------------

python_scalar("$build_schema", [DYNAMIC], DYNAMIC, schemas.build_schema, lists=1, calls_on_null=True)
aggregate(
    "buildschema",
    [parameter(DYNAMIC, "expr")],
    DYNAMIC,
    lambda call: call.udf("$build_schema", f"list(DISTINCT {call.sql[0]} ORDER BY {call.sql[0]})"),
    aliases=("build_schema",),
    column="schema_{0}",
)
