"""Plugins that find patterns: autocluster, basket, diffpatterns, diffpatterns_text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.kql.algorithms import clustering
from spark_kusto.kql.functions.plugin_arguments import Arguments, answer, codes
from spark_kusto.kql.registry import (
    BOOL,
    LONG,
    NUMBER,
    REAL,
    STRING,
    PluginArgument,
    PluginCall,
    plugin,
)
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_OWN = "Finds patterns of the same kind by its own scores; Kusto's choice is not published."


class _Mining:
    """What the plugins share: a weight, wildcards by type, the columns to look at."""

    def __init__(self, call: PluginCall) -> None:
        self.arguments = Arguments(call)
        self.weight = ""
        self.wildcards: dict[KustoType, Any] = {}
        self.columns: list[Column] = []

    def number(self, what: str, default: float, low: float, high: float) -> float:
        """A number between two bounds, or the default for ``"~"``."""
        value = self.arguments.constant(what, default).value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.arguments.fail(f"'{what}' must be a number.")
        return min(max(float(value), low), high)

    def weight_column(self) -> None:
        """The optional column with the weight of each row."""
        following = self.arguments.peek()
        if following is not None and following.kind == "column":
            self.weight = self.arguments.column("WeightColumn")
            if self.arguments.type_of(self.weight) not in NUMBER:
                raise self.arguments.fail("the weight must be a number.")
        elif following is not None:
            self.arguments.constant("WeightColumn", None)

    def finish(self, leaving_out: Sequence[str] = ()) -> None:
        """Wildcards from the remaining arguments, and the columns to look at."""
        for argument in self.arguments.rest():
            if argument.kind != "constant" or argument.type is None:
                raise self.arguments.fail("wildcards must be constants.")
            if argument.value != "~":
                self.wildcards[argument.type] = argument.value
        out = {self.weight, *leaving_out}
        self.columns = [c for c in self.arguments.call.own_columns if c.name not in out]

    def wildcard(self, kind: KustoType) -> Any:
        """What stands where a pattern leaves a column open."""
        return self.wildcards.get(kind, "" if kind is STRING else None)

    def encoded(self, table: pa.Table) -> tuple[list[npt.NDArray[np.int64]], list[list[Any]]]:
        """Codes of each column (-1 where there is no value), and the value of each code."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        columns, values = [], []
        for column in self.columns:
            array = table.column(column.name)
            code = codes(table, [column.name]).astype(np.int64)
            first: dict[int, int] = {}
            for row, number in enumerate(code.tolist()):
                first.setdefault(number, row)
            listed = array.take(pa.array(first.values(), pa.int64())).to_pylist()
            shown = dict(zip(first, listed, strict=True))
            missing = pc.is_null(array).to_numpy().astype(bool)
            if column.type is STRING:
                missing |= pc.equal(array, "").to_numpy().astype(bool)
            columns.append(np.where(missing, -1, code))
            values.append([shown.get(number) for number in range(max(shown, default=-1) + 1)])
        return columns, values

    def weights(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """The weight of each row."""
        import numpy as np

        if not self.weight:
            return np.ones(table.num_rows)
        column = table.column(self.weight).combine_chunks().cast("float64").fill_null(0)
        found: npt.NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
        return np.maximum(found, 0)

    def shown(
        self, patterns: Sequence[clustering.Pattern], values: Sequence[Sequence[Any]]
    ) -> list[list[Any]]:
        """The columns of the answer that show the patterns."""
        listed = []
        for number, column in enumerate(self.columns):
            wildcard = self.wildcard(column.type)
            items = []
            for pattern in patterns:
                code = dict(pattern).get(number)
                items.append(wildcard if code is None else values[number][code])
            listed.append(items)
        return listed


def _answer(columns: Sequence[Column], measures: Sequence[Any], shown: Sequence[Any]) -> pa.Table:
    import pyarrow as pa

    from spark_kusto.kql.execution import arrow_values

    arrays = []
    for column, values in zip(columns, [*measures, *shown], strict=True):
        # Values come back from Arrow in storage form: dynamic stays its text.
        if column.type is KustoType.DYNAMIC:
            arrays.append(pa.array(list(values), pa.string()))
        else:
            arrays.append(arrow_values(list(values), column.type))
    return answer(arrays, columns)


# --- autocluster and basket ----------------------------------------------------------------------

_SEGMENT = (Column("SegmentId", LONG), Column("Count", LONG), Column("Percent", REAL))


def _autocluster(call: PluginCall) -> tuple[_Mining, float, int, list[Column]]:
    mining = _Mining(call)
    size_weight = mining.number("SizeWeight", 0.5, 0.0, 1.0)
    mining.weight_column()
    seeds = int(mining.number("NumSeeds", 25, 1, 1000))
    mining.finish()
    return mining, size_weight, seeds, [*_SEGMENT, *mining.columns]


def _basket(call: PluginCall) -> tuple[_Mining, float, int, list[Column]]:
    mining = _Mining(call)
    threshold = mining.number("Threshold", 0.05, 0.015, 1.0)
    mining.weight_column()
    dimensions = int(mining.number("MaxDimensions", 5, 1, 100))
    mining.finish()
    return mining, threshold, dimensions, [*_SEGMENT, *mining.columns]


def _segments(
    mining: _Mining,
    values: Sequence[Sequence[Any]],
    found: Sequence[tuple[clustering.Pattern, float]],
    total: float,
    columns: Sequence[Column],
) -> pa.Table:
    return _answer(
        columns,
        [
            list(range(len(found))),
            [round(count) for _, count in found],
            [100.0 * count / total for _, count in found],
        ],
        mining.shown([pattern for pattern, _ in found], values),
    )


def _run_autocluster(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    mining, size_weight, seeds, columns = _autocluster(call)
    encoded, values = mining.encoded(tables[0])
    (rows,) = clustering.distinct_rows(encoded, mining.weights(tables[0]))
    found = clustering.autocluster(rows, size_weight, seeds)
    return _segments(mining, values, found, rows.total, columns)


def _run_basket(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    mining, threshold, dimensions, columns = _basket(call)
    encoded, values = mining.encoded(tables[0])
    (rows,) = clustering.distinct_rows(encoded, mining.weights(tables[0]))
    found = clustering.basket(rows, threshold, dimensions)
    return _segments(mining, values, found, rows.total, columns)


plugin("autocluster", lambda call: _autocluster(call)[3], _run_autocluster, difference=_OWN)
plugin(
    "basket",
    lambda call: _basket(call)[3],
    _run_basket,
    difference="Patterns come the most frequent first.",
)


# --- diffpatterns --------------------------------------------------------------------------------

_DIFFERENCES = (
    Column("SegmentId", LONG),
    Column("CountA", LONG),
    Column("CountB", LONG),
    Column("PercentA", REAL),
    Column("PercentB", REAL),
    Column("PercentDiffAB", REAL),
)


def _diff(call: PluginCall) -> tuple[_Mining, str, tuple[str, str], float, int, list[Column]]:
    mining = _Mining(call)
    split = mining.arguments.column("SplitColumn")
    values = tuple(_split_text(mining.arguments.constant(what)) for what in ("SplitValueA", "SplitValueB"))
    mining.weight_column()
    threshold = mining.number("Threshold", 0.05, 0.015, 1.0)
    dimensions = int(mining.number("MaxDimensions", 5, 1, 100))
    mining.finish([split])
    return mining, split, (values[0], values[1]), threshold, dimensions, [*_DIFFERENCES, *mining.columns]


def _split_text(argument: PluginArgument) -> str:
    value = argument.value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _run_diff(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    import numpy as np

    mining, split, sides, threshold, dimensions, columns = _diff(call)
    table = tables[0]
    encoded, values = mining.encoded(table)
    weights = mining.weights(table)
    kind = mining.arguments.type_of(split)
    texts = [str(value).lower() if kind is BOOL else str(value) for value in table.column(split).to_pylist()]
    wanted = [side.lower() for side in sides] if kind is BOOL else list(sides)
    parts = [np.array([text == side for text in texts], dtype=bool) for side in wanted]
    first, second = clustering.distinct_rows(encoded, *(np.where(p, weights, 0.0) for p in parts))
    found = clustering.diff_patterns(first, second, threshold, dimensions)
    shares = [(clustering.percent(a, first.total), clustering.percent(b, second.total)) for _, a, b in found]
    return _answer(
        columns,
        [
            list(range(len(found))),
            [round(a) for _, a, _ in found],
            [round(b) for _, _, b in found],
            [a for a, _ in shares],
            [b for _, b in shares],
            [round(abs(a - b), 2) for a, b in shares],
        ],
        mining.shown([pattern for pattern, _, _ in found], values),
    )


plugin("diffpatterns", lambda call: _diff(call)[5], _run_diff, difference=_OWN)


# --- diffpatterns_text ---------------------------------------------------------------------------

_TEXT = [
    Column("Count_of_True", LONG),
    Column("Count_of_False", LONG),
    Column("Percent_of_True", REAL),
    Column("Percent_of_False", REAL),
    Column("Pattern", STRING),
]


def _texts(call: PluginCall) -> tuple[str, str, int, float, int]:
    arguments = Arguments(call)
    text, condition = arguments.column("TextColumn"), arguments.column("BooleanCondition")
    if arguments.type_of(text) is not STRING or arguments.type_of(condition) is not BOOL:
        raise arguments.fail("it takes a column of text and a predicate.")
    least = int(arguments.constant("MinTokens", 1).value)
    threshold = float(arguments.constant("Threshold", 0.05).value)
    most = int(arguments.constant("MaxTokens", 20).value)
    arguments.done()
    return text, condition, max(1, least), max(0.015, threshold), max(1, most)


def _text_columns(call: PluginCall) -> list[Column]:
    _texts(call)
    return _TEXT


def _run_texts(tables: list[pa.Table], call: PluginCall) -> pa.Table:
    text, condition, least, threshold, most = _texts(call)
    texts = tables[0].column(text).to_pylist()
    flags = [bool(flag) for flag in tables[0].column(condition).to_pylist()]
    found = clustering.text_patterns(texts, flags, least, threshold, most)
    with_flag = sum(flags)
    without = len(flags) - with_flag
    return answer(
        [
            [row[0] for row in found],
            [row[1] for row in found],
            [clustering.percent(row[0], with_flag) for row in found],
            [clustering.percent(row[1], without) for row in found],
            [row[2] for row in found],
        ],
        _TEXT,
    )


plugin(
    "diffpatterns_text",
    _text_columns,
    _run_texts,
    difference="Finds runs of neighbouring words; Kusto's patterns may have wildcards between words.",
)
