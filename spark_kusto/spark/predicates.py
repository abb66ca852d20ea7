"""Spark expressions as KQL predicates, keys and orders that mean exactly the same.

The optimizer rule (:mod:`spark_kusto.spark.catalyst`) hands over expressions as JSON values:
``{"c": 3}`` is the scan's third column, ``{"v": 5, "t": "bigint"}`` a literal, ``{"f": "Not", "a":
[...]}`` a function.

The rule for every translation: a filter may be pushed if its KQL is true exactly for the rows for
which Spark's expression is true. Negations are moved to the leaves first, so a leaf that is null
counts like one that is false, as it does in both languages above the leaves. Everything that has no
such KQL stays with Spark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


def grouped(predicate: str) -> str:
    """The predicate, in parentheses where a neighbour could tear it apart."""
    return f"({predicate})" if " or " in predicate or " and " in predicate else predicate


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
        return (" and " if conjunction else " or ").join(grouped(part) for part in parts)

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
        if left.get("f") == "Remainder":
            return self._remainder(operator, left.get("a", ()), right)
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

    def _remainder(self, operator: str, operands: Sequence[Json], right: Json) -> str | None:
        """``x % n == k`` and ``!=``: Spark's remainder has the sign of x, Kusto's is never negative."""
        found = self.column(operands[0])
        if (
            found is None
            or found.kusto not in (KustoType.INT, KustoType.LONG)
            or operator not in ("==", "!=")
        ):
            return None
        if "v" not in operands[1] or "v" not in right:
            return None
        if operands[1]["v"] is None or right["v"] is None:
            return "false"
        divisor, wanted = _literal(found.kusto, operands[1]), _literal(found.kusto, right)
        if divisor is None or wanted is None or int(operands[1]["v"]) <= 0 or int(right["v"]) < 0:
            return None
        predicate = f"{found.kql} % {divisor} {operator} {wanted}"
        if int(right["v"]) > 0:
            sign = f"{found.kql} > 0 and" if operator == "==" else f"{found.kql} <= 0 or"
            predicate = f"{sign} {predicate}"
        return _present(found, predicate) if operator == "!=" else predicate

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
        outside = f"{found.kql} !in ({listed})"
        if found.kusto is KustoType.REAL:
            outside += f" or isnan({found.kql})"
        return _present(found, outside)

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

    def order(self, e: Json, descending: bool, nulls_first: bool, *, last: bool = True) -> str | None:
        """An ordering key of a top-n, where Kusto orders every value as Spark does.

        last: no further key decides between rows that are equal in this one.
        """
        found = self.column(e)
        # Not real (NaN's place differs), not string (collation differs).
        if found is None or found.kusto not in (
            KustoType.INT,
            KustoType.LONG,
            KustoType.DATETIME,
            KustoType.DECIMAL,
        ):
            return None
        key = found.kql
        if not last and found.kusto is KustoType.DATETIME:
            # Equal to Spark, whose timestamps have microseconds, where a service tells ticks apart.
            key = f"bin({key}, 1microsecond)"
        if not last and found.kusto is KustoType.DECIMAL:
            return None
        direction = "desc" if descending else "asc"
        return f"{key} {direction} nulls {'first' if nulls_first else 'last'}"


def _both_present(left: SourceColumn, right: SourceColumn, operator: str) -> str:
    return f"isnotnull({left.kql}) and isnotnull({right.kql}) and {left.kql} {operator} {right.kql}"


def _present(column: SourceColumn, predicate: str) -> str:
    # In Kusto null != 5 is true; in Spark it is null.
    if column.kusto is KustoType.STRING:
        return predicate
    return f"isnotnull({column.kql}) and {grouped(predicate)}"


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
