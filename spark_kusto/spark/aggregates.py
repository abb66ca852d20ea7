"""Spark aggregates as ``summarize``, with Spark's answer for empty, null, NaN and overflowing input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spark_kusto.spark.predicates import Json, SourceColumn, Translator, grouped
from spark_kusto.types import KustoType


@dataclass(frozen=True)
class Total:
    """A sum of longs, sent as two columns that cannot overflow and put together by the reader.

    ``value = high * 2**32 + low``; what does not fit in a long is an error under ANSI, and wraps
    otherwise, as Spark's own sum.
    """

    high: str
    low: str
    ansi: bool


@dataclass(frozen=True)
class Aggregation:
    """A pushed aggregate: ``summarize`` and the projection after it.

    Attributes:
        keys: KQL of the grouping expressions, named k0, k1 ...
        measures: name and KQL of each aggregate that ``summarize`` computes.
        outputs: name and KQL of each result column after the keys.
        totals: sums of longs by the name of their result column; its two parts are in ``outputs``.
    """

    keys: tuple[str, ...]
    measures: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    totals: Mapping[str, Total] = field(default_factory=dict)
    results: tuple[str, ...] = ()


def summarize(aggregation: Aggregation) -> list[str]:
    """The operators of an aggregation, one a line."""
    measures = ", ".join(f"{name}={kql}" for name, kql in aggregation.measures)
    keys = ", ".join(f"k{i}={kql}" for i, kql in enumerate(aggregation.keys))
    head = "| summarize"
    if measures:
        head += f" {measures}"
    if keys:
        head += f" by {keys}"
    outputs = [f"k{i}" for i in range(len(aggregation.keys))]
    outputs += [f"{name}={kql}" if name != kql else name for name, kql in aggregation.outputs]
    return [head, "| project " + ", ".join(outputs)]


class _Measures:
    """Collects what one ``summarize`` computes; the same expression is computed once."""

    def __init__(self) -> None:
        self.named: dict[str, str] = {}

    def add(self, kql: str) -> str:
        """The name of the measure."""
        return self.named.setdefault(kql, f"m{len(self.named)}")


def _aggregated(call: Json, at: Translator, measures: _Measures) -> str | tuple[str, str] | None:
    """The result expression of an aggregate call over measures; two of them for a sum of longs."""
    condition = None
    if call.get("filter") is not None:
        condition = at.truth(call["filter"])
        if condition is None:
            return None
        if condition == "true":
            condition = None

    def measure(function: str, argument: str, only: str | None = None) -> str:
        tests = [grouped(test) for test in (condition, only) if test is not None and test != "true"]
        if not tests:
            return measures.add(f"{function}({argument})")
        listed = ([argument] if argument else []) + [" and ".join(tests)]
        return measures.add(f"{function}if({', '.join(listed)})")

    function, arguments = call["function"], call["args"]
    if function == "Count" and not call.get("distinct"):
        present: str | None = "true"
        if len(arguments) != 1:
            return None
        if "v" not in arguments[0]:
            present = at.truth({"f": "IsNotNull", "a": [arguments[0]]})
        elif arguments[0]["v"] is None:
            return None
        return None if present is None else measure("count", "", present)
    if len(arguments) != 1:
        return None
    found = at.column(arguments[0])
    if found is None:
        return None
    name, kusto = found.kql, found.kusto
    if function == "Count":
        if kusto not in (KustoType.INT, KustoType.LONG, KustoType.BOOL, KustoType.STRING):
            return None
        return measure("count_distinct", name, None if kusto is KustoType.STRING else f"isnotnull({name})")
    if function in ("Min", "Max"):
        return _extreme(function.lower(), found, measure)
    if call.get("distinct") or function not in ("Sum", "Average"):
        return None
    if kusto not in (KustoType.INT, KustoType.LONG, KustoType.REAL):
        return None
    # Kusto's sum of nothing is 0, Spark's is null.
    some = f"{measure('count', '', f'isnotnull({name})')} > 0"
    if function == "Average":
        total = measure("sum", name if kusto is KustoType.REAL else f"todouble({name})")
        number = measure("count", "", f"isnotnull({name})")
        return f"iff({some}, {total} / {number}, real(null))"
    if kusto is KustoType.REAL:
        return f"iff({some}, {measure('sum', name)}, real(null))"
    if kusto is KustoType.INT:
        return f"iff({some}, {measure('sum', f'tolong({name})')}, long(null))"
    if call.get("mode") not in ("ANSI", "LEGACY"):
        return None
    high = measure("sum", f"{name} / 4294967296")
    low = measure("sum", f"{name} - ({name} / 4294967296) * 4294967296")
    return (f"iff({some}, {high}, long(null))", f"iff({some}, {low}, long(null))")


def _extreme(function: str, column: SourceColumn, measure: Any) -> str | None:
    name = column.kql
    if column.kusto in (KustoType.INT, KustoType.LONG, KustoType.DATETIME, KustoType.DECIMAL):
        return str(measure(function, name))
    if column.kusto is not KustoType.REAL:
        return None
    # Spark holds NaN for the greatest number: it is the maximum, and the minimum only of nothing else.
    extreme = measure(function, name, f"not(isnan({name}))")
    nans = measure("count", "", f"isnan({name})")
    if function == "max":
        return f"iff({nans} > 0, real(nan), {extreme})"
    numbers = measure("count", "", f"isnotnull({name}) and not(isnan({name}))")
    return f"iff({numbers} > 0, {extreme}, iff({nans} > 0, real(nan), real(null)))"


def aggregation_of(given: Json, at: Translator) -> Aggregation | None:
    """A request's aggregate, or None where any part of it has no exact KQL."""
    keys: list[str] = []
    for expression in given["groups"]:
        key = at.key(expression)
        if key is None:
            return None
        keys.append(key)
    measures = _Measures()
    outputs: list[tuple[str, str]] = []
    totals: dict[str, Total] = {}
    results = [f"k{i}" for i in range(len(keys))]
    for i, call in enumerate(given["calls"]):
        made = _aggregated(call, at, measures)
        if made is None:
            return None
        name = f"a{i}"
        results.append(name)
        if isinstance(made, tuple):
            outputs += [(f"{name}h", made[0]), (f"{name}l", made[1])]
            totals[name] = Total(f"{name}h", f"{name}l", call["mode"] == "ANSI")
        else:
            outputs.append((name, made))
    if not results:
        return None
    named = tuple((name, kql) for kql, name in measures.named.items())
    return Aggregation(tuple(keys), named, tuple(outputs), totals, tuple(results))
