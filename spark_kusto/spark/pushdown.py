"""What of a Spark plan goes into the query, and the KQL that says exactly the same.

The optimizer rule (:mod:`spark_kusto.spark.catalyst`) hands over expressions as JSON values:
``{"c": 3}`` is the scan's third column, ``{"v": 5, "t": "bigint"}`` a literal, ``{"f": "Not", "a":
[...]}`` a function. :func:`push` decides what of them can be pushed and answers a :class:`Pushdown`.

The rule for every translation: a filter may be pushed if its KQL is true exactly for the rows for
which Spark's expression is true. Negations are moved to the leaves first, so a leaf that is null
counts like one that is false, as it does in both languages above the leaves. Everything that has no
such KQL stays with Spark; limits and aggregates are pushed only over filters that all went.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from spark_kusto.spark.query_text import (
    datetime_literal,
    decimal_literal,
    quoted_name,
    real_literal,
    text_literal,
)
from spark_kusto.types import KustoType

Json = Mapping[str, Any]

_NATURAL = {
    KustoType.BOOL: "boolean",
    KustoType.INT: "int",
    KustoType.LONG: "bigint",
    KustoType.REAL: "double",
    KustoType.STRING: "string",
    KustoType.DATETIME: "timestamp",
    KustoType.GUID: "string",
    KustoType.TIMESPAN: "string",
    KustoType.DYNAMIC: "string",
    KustoType.DECIMAL: "decimal(38,18)",
}
_CANONICAL_GUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
_FLIPPED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NEGATED = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_COMPARISONS = {
    "EqualTo": "==",
    "LessThan": "<",
    "LessThanOrEqual": "<=",
    "GreaterThan": ">",
    "GreaterThanOrEqual": ">=",
}
_TEXT_TESTS = {
    "StartsWith": "startswith_cs",
    "EndsWith": "endswith_cs",
    "Contains": "contains_cs",
}
_MOST_VALUES = 5_000
_LONG_MIN = -(2**63)
_UTC = frozenset({"UTC", "Etc/UTC", "Z", "GMT", "Etc/GMT", "UCT", "Zulu", "+00:00", "Etc/UCT", "Universal"})
_WIDTH = {
    KustoType.BOOL: 1,
    KustoType.INT: 4,
    KustoType.LONG: 8,
    KustoType.REAL: 8,
    KustoType.DATETIME: 8,
    KustoType.DECIMAL: 16,
    KustoType.TIMESPAN: 20,
    KustoType.STRING: 20,
    KustoType.GUID: 36,
    KustoType.DYNAMIC: 64,
}

# How date_trunc's units and date functions read in KQL, on a UTC session only.
_TRUNCATIONS = {
    "year": "startofyear({0})",
    "yyyy": "startofyear({0})",
    "yy": "startofyear({0})",
    "month": "startofmonth({0})",
    "mon": "startofmonth({0})",
    "mm": "startofmonth({0})",
    "day": "startofday({0})",
    "dd": "startofday({0})",
    "hour": "bin({0}, 1h)",
    "minute": "bin({0}, 1m)",
    "second": "bin({0}, 1s)",
    "millisecond": "bin({0}, 1ms)",
}
_DATE_PARTS = {
    "Year": "toint(getyear({0}))",
    "Month": "toint(monthofyear({0}))",
    "DayOfMonth": "toint(dayofmonth({0}))",
    "Hour": "toint(hourofday({0}))",
}


@dataclass(frozen=True)
class SourceColumn:
    """A column of the scan, as both sides know it.

    Attributes:
        name: its Kusto name.
        kusto: its Kusto type.
        spark: the Spark type it has in the plan, as its catalog string.
    """

    name: str
    kusto: KustoType
    spark: str

    @property
    def plain(self) -> bool:
        """Whether Spark sees it as what it is in Kusto, so that values compare alike."""
        return self.spark == _NATURAL[self.kusto]

    @property
    def kql(self) -> str:
        return quoted_name(self.name)

    @property
    def width(self) -> int:
        """Bytes a value has in Spark's rows, roughly."""
        return _WIDTH[self.kusto] + 8


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


@dataclass(frozen=True)
class Pushdown:
    """What is done in the query before rows come to Spark, in this order.

    Attributes:
        filters: KQL predicates, all of which hold.
        order: KQL ordering keys of a top-n (``['a'] desc nulls last``).
        limit: at most so many rows.
        aggregation: a ``summarize``; then ``columns`` is None.
        columns: Kusto names of the columns to read, in order; None for all of them.
    """

    filters: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    limit: int | None = None
    aggregation: Aggregation | None = None
    columns: tuple[str, ...] | None = None

    def operators(self) -> str:
        """The operators to append to the query, one a line, but for the projection of ``columns``."""
        lines: list[str] = []
        if self.filters:
            lines.append("| where " + " and ".join(_grouped(f) for f in self.filters))
        if self.aggregation is not None:
            lines += _summarize(self.aggregation)
        if self.limit is not None:
            by = f" by {', '.join(self.order)}" if self.order else ""
            lines.append(f"| top {self.limit}{by}" if by else f"| take {self.limit}")
        return "\n".join(lines)

    def kql(self) -> str:
        """Everything that is appended to the query; empty if there is nothing to do."""
        lines = [self.operators()] if self.operators() else []
        if self.columns is not None:
            lines.append("| project " + ", ".join(quoted_name(name) for name in self.columns))
        return "\n".join(lines)

    def to_json(self) -> str:
        """The text that travels to the reader in the scan's options."""
        totals: dict[str, Any] = {}
        results: tuple[str, ...] | None = None
        if self.aggregation is not None:
            results = self.aggregation.results
            totals = {n: [t.high, t.low, t.ansi] for n, t in self.aggregation.totals.items()}
        return json.dumps({"kql": self.operators(), "totals": totals, "results": results})


@dataclass(frozen=True)
class PushedQuery:
    """What the reader knows of a push-down: the operators, and how to make its columns.

    Attributes:
        results: names of an aggregate's result columns; None where the reader projects by itself.
    """

    kql: str = ""
    totals: Mapping[str, Total] = field(default_factory=dict)
    results: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, text: str) -> PushedQuery:
        """Read what :meth:`Pushdown.to_json` wrote."""
        given = json.loads(text)
        totals = {name: Total(*parts) for name, parts in given["totals"].items()}
        results = given["results"]
        return cls(given["kql"], totals, None if results is None else tuple(results))


def _grouped(predicate: str) -> str:
    return f"({predicate})" if " or " in predicate or " and " in predicate else predicate


def _summarize(aggregation: Aggregation) -> list[str]:
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


# -- expressions ----------------------------------------------------------------------------------


class Translator:
    """Translates expressions over the columns of one scan."""

    def __init__(self, columns: Sequence[SourceColumn]) -> None:
        self._columns = columns

    def column(self, expression: Json) -> SourceColumn | None:
        """The plain column that the expression is, if it is one."""
        index = expression.get("c")
        if index is None:
            return None
        found = self._columns[index]
        return found if found.plain else None

    def truth(self, e: Json) -> str | None:
        """KQL that is true exactly where the expression is; None if there is none."""
        return self._predicate(e, wanted=True)

    def _predicate(self, e: Json, wanted: bool) -> str | None:
        if "v" in e:
            value = e["v"]
            return "true" if value is not None and bool(value) is wanted else "false"
        if "c" in e:
            flag = self.column(e)
            if flag is None or flag.kusto is not KustoType.BOOL:
                return None
            return f"{flag.kql} == {'true' if wanted else 'false'}"
        name = e.get("f", "")
        arguments: Sequence[Json] = e.get("a", ())
        if name == "Not":
            return self._predicate(arguments[0], not wanted)
        if name in ("And", "Or"):
            return self._junction(arguments, wanted, conjunction=(name == "And") is wanted)
        if name in ("IsNull", "IsNotNull"):
            return self._null_test(arguments[0], null=(name == "IsNull") is wanted)
        if name in _COMPARISONS:
            operator = _COMPARISONS[name]
            operator = operator if wanted else _NEGATED[operator]
            return self._comparison(operator, arguments[0], arguments[1])
        if name == "EqualNullSafe":
            return self._null_safe(arguments[0], arguments[1], wanted)
        if name == "In":
            return self._membership(arguments[0], arguments[1:], wanted)
        if name in _TEXT_TESTS:
            return self._text_test(_TEXT_TESTS[name], arguments[0], arguments[1], wanted)
        return None

    def _junction(self, arguments: Sequence[Json], wanted: bool, conjunction: bool) -> str | None:
        parts: list[str] = []
        ends, passes = ("false", "true") if conjunction else ("true", "false")
        for argument in arguments:
            part = self._predicate(argument, wanted)
            if part is None:
                return None
            if part == ends:
                return ends
            if part != passes:
                parts.append(part)
        if not parts:
            return passes
        return (" and " if conjunction else " or ").join(_grouped(part) for part in parts)

    def _null_test(self, e: Json, null: bool) -> str | None:
        found = self.column(e)
        if found is None or found.kusto is KustoType.DYNAMIC:
            return None
        if found.kusto is KustoType.STRING:
            # A Kusto string is never null, it is empty.
            return "false" if null else "true"
        return f"{'isnull' if null else 'isnotnull'}({found.kql})"

    def _comparison(self, operator: str, left: Json, right: Json) -> str | None:
        if "v" in left and "v" not in right:
            left, right, operator = right, left, _FLIPPED[operator]
        found = self.column(left)
        if found is None:
            return None
        if "v" in right:
            return "false" if right["v"] is None else _compared(found, operator, right)
        other = self.column(right)
        if other is None or other.kusto is not found.kusto:
            return None
        if found.kusto in (KustoType.INT, KustoType.LONG):
            return _both_present(found, other, operator)
        if found.kusto in (KustoType.STRING, KustoType.BOOL) and operator in ("==", "!="):
            if found.kusto is KustoType.STRING:
                return f"{found.kql} {operator} {other.kql}"
            return _both_present(found, other, operator)
        return None

    def _null_safe(self, left: Json, right: Json, wanted: bool) -> str | None:
        if "v" in left:
            left, right = right, left
        if "v" not in right:
            return None
        if right["v"] is None:
            return self._null_test(left, null=wanted)
        found = self.column(left)
        if found is None:
            return None
        if wanted:
            return _compared(found, "==", right)
        unequal = _compared(found, "!=", right)
        if unequal is None or found.kusto is KustoType.STRING:
            return unequal
        return f"isnull({found.kql}) or ({unequal})"

    def _membership(self, e: Json, values: Sequence[Json], wanted: bool) -> str | None:
        found = self.column(e)
        if found is None or not 0 < len(values) <= _MOST_VALUES:
            return None
        if any("v" not in value for value in values):
            return None
        present = [value for value in values if value["v"] is not None]
        if not wanted and len(present) < len(values):
            # `x not in (1, null)` is never true.
            return "false"
        if not present:
            return "false"
        if found.kusto is KustoType.DATETIME:
            parts = [_compared(found, "==" if wanted else "!=", value) for value in present]
            if None in parts or len(parts) > 50:
                return None
            return (" or " if wanted else " and ").join(f"({part})" for part in parts)
        literals = [_literal(found.kusto, value) for value in present]
        if None in literals:
            return None
        listed = ", ".join(str(literal) for literal in literals)
        if wanted:
            return f"{found.kql} in ({listed})"
        return _present(found, f"{found.kql} !in ({listed})")

    def _text_test(self, operator: str, text: Json, part: Json, wanted: bool) -> str | None:
        found = self.column(text)
        if found is None or found.kusto is not KustoType.STRING or "v" not in part:
            return None
        if part["v"] is None:
            return "false"
        if part["v"] == "":
            return "true" if wanted else "false"
        literal = _literal(KustoType.STRING, part)
        if literal is None:
            return None
        return f"{found.kql} {'' if wanted else '!'}{operator} {literal}"

    # -- values -----------------------------------------------------------------------------------

    def key(self, e: Json) -> str | None:
        """KQL of a grouping expression whose groups are exactly Spark's."""
        found = self.column(e)
        if found is not None:
            if found.kusto in (KustoType.INT, KustoType.LONG, KustoType.BOOL, KustoType.STRING):
                return found.kql
            return found.kql if found.kusto is KustoType.DECIMAL else None
        name = e.get("f", "")
        arguments: Sequence[Json] = e.get("a", ())
        if e.get("zone") is not None and e["zone"] not in _UTC:
            return None
        if name == "TruncTimestamp" and "v" in arguments[0]:
            template = _TRUNCATIONS.get(str(arguments[0]["v"]).lower())
            return None if template is None else self._dated(template, arguments[1])
        if name == "Cast" and e.get("to") == "date":
            return self._dated("startofday({0})", arguments[0])
        if name in _DATE_PARTS:
            inner = arguments[0]
            if inner.get("f") == "Cast" and inner.get("to") == "date":
                if inner.get("zone") not in _UTC:
                    return None
                inner = inner["a"][0]
            elif name != "Hour":
                return None
            return self._dated(_DATE_PARTS[name], inner)
        return None

    def _dated(self, template: str, e: Json) -> str | None:
        found = self.column(e)
        if found is None or found.kusto is not KustoType.DATETIME:
            return None
        return template.format(found.kql)

    def order(self, e: Json, descending: bool, nulls_first: bool) -> str | None:
        """An ordering key of a top-n, where Kusto orders every value as Spark does."""
        found = self.column(e)
        # Not real (NaN's place differs), not string (collation differs).
        if found is None or found.kusto not in (
            KustoType.INT,
            KustoType.LONG,
            KustoType.DATETIME,
            KustoType.DECIMAL,
        ):
            return None
        direction = "desc" if descending else "asc"
        return f"{found.kql} {direction} nulls {'first' if nulls_first else 'last'}"


def _both_present(left: SourceColumn, right: SourceColumn, operator: str) -> str:
    return f"isnotnull({left.kql}) and isnotnull({right.kql}) and {left.kql} {operator} {right.kql}"


def _present(column: SourceColumn, predicate: str) -> str:
    # In Kusto null != 5 is true; in Spark it is null.
    if column.kusto is KustoType.STRING:
        return predicate
    return f"isnotnull({column.kql}) and {_grouped(predicate)}"


def _literal(kusto: KustoType, e: Json) -> str | None:
    """The literal as a KQL value of that type, or None where it has none that is the same."""
    value, spark = e["v"], e.get("t", "")
    if kusto is KustoType.DECIMAL:
        return decimal_literal(Decimal(value)) if spark.startswith("decimal") else None
    if spark != _NATURAL[kusto]:
        return None
    if kusto is KustoType.BOOL:
        return "true" if value else "false"
    if kusto in (KustoType.INT, KustoType.LONG):
        return None if int(value) == _LONG_MIN else f"{kusto.value}({int(value)})"
    if kusto is KustoType.REAL:
        number = float(value)
        return None if math.isnan(number) else real_literal(number)
    if kusto is KustoType.STRING:
        text = str(value)
        # Not every service keeps U+0000 in text.
        return None if "\0" in text else text_literal(text)
    if kusto is KustoType.GUID:
        return f"guid({value})" if _CANONICAL_GUID.match(str(value)) else None
    return None


def _compared(column: SourceColumn, operator: str, e: Json) -> str | None:
    kusto, name = column.kusto, column.kql
    if kusto is KustoType.DATETIME:
        return _compared_moment(column, operator, e)
    literal = _literal(kusto, e)
    if literal is None:
        return None
    if kusto in (KustoType.STRING, KustoType.GUID, KustoType.BOOL) and operator not in ("==", "!="):
        return None
    predicate = f"{name} {operator} {literal}"
    if kusto is KustoType.REAL and operator in (">", ">=", "!="):
        # Spark holds NaN for the greatest number; in Kusto it compares as false.
        predicate = f"{predicate} or isnan({name})"
    return _present(column, predicate) if operator == "!=" else predicate


def _compared_moment(column: SourceColumn, operator: str, e: Json) -> str | None:
    # Spark sees a datetime cut to microseconds, a cluster compares all seven digits: the bounds of
    # the microsecond say the same to both.
    if e.get("t") != "timestamp":
        return None
    micros, name = int(e["v"]), column.kql
    at, after = datetime_literal(micros), datetime_literal(micros + 1)
    if at is None or after is None:
        return None
    if operator in ("<", ">="):
        return f"{name} {operator} {at}"
    if operator == "<=":
        return f"{name} < {after}"
    if operator == ">":
        return f"{name} >= {after}"
    if operator == "==":
        return f"{name} >= {at} and {name} < {after}"
    return f"isnotnull({name}) and ({name} < {at} or {name} >= {after})"


# -- aggregates -----------------------------------------------------------------------------------


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
        tests = [_grouped(test) for test in (condition, only) if test is not None and test != "true"]
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


def _aggregation(given: Json, at: Translator) -> Aggregation | None:
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


# -- the whole ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What of a request is pushed.

    Attributes:
        exact: for each filter of the request whether it was pushed, and Spark need not see it.
        columns: indexes of the columns the scan still has; empty for an aggregate.
    """

    pushdown: Pushdown
    exact: tuple[bool, ...] = ()
    columns: tuple[int, ...] = ()


def push(request: Json, columns: Sequence[SourceColumn]) -> Answer | None:
    """What can be pushed of filters, an aggregate, an order and a limit over a scan.

    Args:
        request: ``filters`` (each ``{"e": expression, "refs": [column indexes]}``), ``needed`` (indexes
            of the columns used above the filters), and optionally ``limit`` (with ``order``) or
            ``aggregate``.
        columns: the scan's columns.

    Returns:
        None where the limit or the aggregate cannot be pushed; the caller asks again without it.
    """
    at = Translator(columns)
    translated = [at.truth(given["e"]) for given in request.get("filters", ())]
    exact = tuple(text is not None for text in translated)
    filters = tuple(dict.fromkeys(text for text in translated if text is not None and text != "true"))
    aggregate = request.get("aggregate")
    limit = request.get("limit")
    if (aggregate is not None or limit is not None) and not all(exact):
        return None
    if aggregate is not None:
        aggregation = _aggregation(aggregate, at)
        return None if aggregation is None else Answer(Pushdown(filters, aggregation=aggregation), exact)
    order: list[str] = []
    for given in request.get("order") or ():
        key = at.order(given["e"], given["descending"], given["nulls_first"])
        if key is None:
            return None
        order.append(key)
    needed = set(request["needed"])
    for given, pushed in zip(request.get("filters", ()), exact, strict=True):
        if not pushed:
            needed.update(given["refs"])
    if not needed and columns:
        # Spark counts rows of some column: take the one that costs least.
        needed = {min(range(len(columns)), key=lambda i: (columns[i].width, i))}
    kept = tuple(sorted(needed))
    names = None if len(kept) == len(columns) else tuple(columns[i].name for i in kept)
    return Answer(Pushdown(filters, tuple(order), limit, None, names), exact, kept)
