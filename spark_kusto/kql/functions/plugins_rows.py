"""Plugins over rows: rolling_percentile, rows_near, preview, dcount_intersect, schema_merge ..."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import EntityNotFoundError
from spark_kusto.kql.algorithms import hll, user_analytics
from spark_kusto.kql.functions.plugin_arguments import (
    Arguments,
    Timeline,
    answer,
    repeated_rows,
    slices,
    without_nulls,
)
from spark_kusto.kql.plan import LimitNode
from spark_kusto.kql.registry import (
    BOOL,
    LONG,
    STRING,
    PluginCall,
    plugin,
    refused,
    special,
)
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.kql import syntax
    from spark_kusto.kql.binder.context import Environment, Relation
    from spark_kusto.kql.binder.core import Binder

# --- rolling_percentile --------------------------------------------------------------------------


def _rolling(
    call: PluginCall,
) -> tuple[Timeline, Timeline, float, int | float, int, list[str], list[Column]]:
    arguments = Arguments(call)
    value = Timeline(arguments, arguments.column("ValueColumn"))
    percent = arguments.constant("Percentile").value
    index = Timeline(arguments, arguments.column("IndexColumn"))
    size = index.point(arguments.constant("BinSize"))
    width = arguments.constant("BinsPerWindow").value
    dimensions = arguments.dimensions()
    if size <= 0 or not isinstance(width, int) or width < 1:
        raise arguments.fail("the bin size and the number of bins must be positive.")
    if isinstance(percent, float) and percent == int(percent):
        percent = int(percent)
    columns = [
        index.column,
        *(arguments.shown(name) for name in dimensions),
        Column(f"rolling_{width}_percentile_{value.name}_{percent}", value.type),
    ]
    return value, index, float(percent), size, width, dimensions, columns


def _run_rolling(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    import numpy as np

    value, index, percent, size, width, dimensions, columns = _rolling(call)
    table = without_nulls(tables[0], [value.name, index.name])
    values = value.numbers(table)
    at = np.floor_divide(index.numbers(table), size).astype(np.int64)
    bins: list[Any] = []
    found: list[Any] = []
    shown: list[int] = []
    for part, row in slices(table, dimensions):
        for number, percentile in user_analytics.rolling_percentile(values[part], at[part], percent, width):
            bins.append(number * size)
            found.append(percentile)
            shown.append(row)
    return answer([index.array(bins), *repeated_rows(table, dimensions, shown), value.array(found)], columns)


plugin("rolling_percentile", lambda call: _rolling(call)[6], _run_rolling)


# --- rows_near -----------------------------------------------------------------------------------


def _rows_near(call: PluginCall) -> tuple[str, int, int, list[Column]]:
    arguments = Arguments(call)
    condition = arguments.column("Condition")
    before = arguments.constant("NumRows").value
    after = arguments.constant("RowsAfter", before).value
    arguments.done()
    if arguments.type_of(condition) is not BOOL:
        raise arguments.fail("the condition must be a predicate.")
    return condition, int(before), int(after), list(call.own_columns)


def _run_rows_near(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    condition, before, after, columns = _rows_near(call)
    table = tables[0]
    flags = table.column(condition).combine_chunks().fill_null(False).to_numpy(zero_copy_only=False)
    # A change of +1 where a match's neighbourhood starts and -1 behind its end.
    change = np.zeros(table.num_rows + 1, dtype=np.int64)
    places = np.flatnonzero(flags)
    np.add.at(change, np.maximum(places - before, 0), 1)
    np.add.at(change, np.minimum(places + after + 1, table.num_rows), -1)
    near = np.cumsum(change[:-1]) > 0
    return table.filter(pa.array(near)).select([column.name for column in columns])


plugin("rows_near", lambda call: _rows_near(call)[3], _run_rows_near)


# --- preview, identity, estimate_rows_count ------------------------------------------------------


def _preview(binder: Binder, node: syntax.Evaluate, relation: Relation, environment: Environment) -> Relation:
    """The first rows, and in a second table how many there are."""
    from spark_kusto.kql.binder.rows import counted, row_count

    if len(node.call.arguments) != 1:
        raise binder.error("preview() takes one argument, the number of rows.", node.call, code="SEM0219")
    number = row_count(binder, node.call.arguments[0], environment, "preview()")
    value = binder.share(relation)
    first, every = binder.use(value), binder.use(value)
    rows = replace(first, node=LimitNode(first.node, number, first.order))
    return replace(
        rows, outputs=(("PrimaryResult", rows), ("PrimaryResult", counted(binder, every, "Count")))
    )


special("preview", _preview, kind="plugin")
_ESTIMATE = [Column("Estimation", STRING), Column("EstimatedRowsCount", LONG)]

plugin("identity", lambda call: list(call.own_columns), lambda tables, _call: tables[0])
plugin(
    "estimate_rows_count",
    lambda _call: _ESTIMATE,
    lambda tables, _call: answer([["exact"], [tables[0].num_rows]], _ESTIMATE),
    # The Spark connector reads the second column.
    difference="Counts exactly, and says so in a first column.",
)


# --- dcount_intersect ----------------------------------------------------------------------------


def _intersect(call: PluginCall) -> tuple[list[str], list[Column]]:
    arguments = Arguments(call)
    states = arguments.dimensions()
    if len(states) < 2 or any(arguments.type_of(name) is not KustoType.DYNAMIC for name in states):
        raise arguments.fail("it takes two or more columns of hll() states.")
    counts = [Column(f"s{number}", LONG) for number in range(len(states))]
    return states, [*call.own_columns, *counts]


def _run_intersect(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    from spark_kusto.kql.execution import python_values

    states, columns = _intersect(call)
    table = tables[0]
    values = [python_values(table.column(name), KustoType.DYNAMIC) for name in states]
    counts: list[list[int | None]] = [[] for _ in states]
    for row in zip(*values, strict=True):
        sketches = [hll.from_json(value) for value in row]
        known = [sketch for sketch in sketches if sketch is not None]
        found: list[int] | list[None] = [None] * len(states)
        if len(known) == len(states):
            found = hll.intersection_counts(known)
        for place, count in enumerate(found):
            counts[place].append(count)
    own = [table.column(column.name) for column in call.own_columns]
    return answer([*own, *counts], columns)


plugin("dcount_intersect", lambda call: _intersect(call)[1], _run_intersect)


# --- schema_merge --------------------------------------------------------------------------------

_SCHEMA = [
    Column("ColumnName", STRING),
    Column("ColumnOrdinal", LONG),
    Column("DataType", STRING),
    Column("ColumnType", STRING),
]


def _merged_columns(call: PluginCall) -> list[Column]:
    arguments = Arguments(call)
    arguments.constant("PreserveOrder", True)
    arguments.done()
    kinds = arguments.types
    for name in ("ColumnName", "ColumnOrdinal", "ColumnType"):
        if name not in kinds:
            raise arguments.fail(f"the input must be schemas from getschema: '{name}' is missing.")
    return _SCHEMA


def _error_type(reason: str) -> tuple[str, str]:
    return f"ERROR(unknown CSL type:ERROR({reason}))", f"ERROR({reason})"


def _clr_name(kind: str) -> str:
    try:
        return KustoType.parse(kind).clr
    except EntityNotFoundError:
        return kind


def _run_schema_merge(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    arguments = Arguments(call)
    preserve = bool(arguments.constant("PreserveOrder", True).value)
    table = tables[0]
    rows = list(
        zip(
            table.column("ColumnName").to_pylist(),
            table.column("ColumnOrdinal").to_pylist(),
            table.column("ColumnType").to_pylist(),
            strict=True,
        )
    )
    ordinals: dict[str, set[int]] = {}
    kinds: dict[str, dict[str, None]] = {}
    for name, ordinal, kind in rows:
        ordinals.setdefault(name, set()).add(int(ordinal))
        kinds.setdefault(name, {})[kind] = None
    merged: list[tuple[str, int, str, str]] = []
    if preserve:
        names = sorted(ordinals, key=lambda name: (len(ordinals[name]) > 1, min(ordinals[name])))
    else:
        names = sorted(ordinals, key=lambda name: max(ordinals[name]))
    position = 0
    for name in names:
        if preserve and len(ordinals[name]) > 1:
            merged.append((name, -1, *_error_type("columns are out of order")))
            continue
        found = list(kinds[name])
        if len(found) > 1:
            merged.append((name, -1, *_error_type("columns have different types")))
            continue
        ordinal = min(ordinals[name]) if preserve else position
        position += 1
        merged.append((name, ordinal, _clr_name(found[0]), found[0]))
    columns = _merged_columns(call)
    return answer([[row[i] for row in merged] for i in range(4)], columns)


plugin("schema_merge", _merged_columns, _run_schema_merge)


# --- refused -------------------------------------------------------------------------------------

for _name in ("python", "r", "csharp"):
    refused(_name, "it runs code in a sandbox, which this package doesn't have.", kind="plugin")

for _name in (
    "sql_request",
    "mysql_request",
    "postgresql_request",
    "cosmosdb_sql_request",
    "dax_request",
    "azure_digital_twins_query_request",
    "execute_query",
    "execute_show_command",
    "ai_embed_text",
    "ai_embeddings",
    "ai_chat_completion",
    "ai_chat_completion_prompt",
    "external_datatable",
    "http_request",
    "http_request_post",
):
    refused(_name, "it reaches outside of the cluster, which queries here don't do.", kind="plugin")
