"""Which conjuncts of filters over a scan can prune extents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spark_kusto.kql.compiled import ScanPredicate
from spark_kusto.kql.plan import And, Apply, Column, Expr, Literal

_COMPARISONS = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def predicates_of(filters: Iterable[Expr], names: Mapping[str, str]) -> tuple[ScanPredicate, ...]:
    """Conjuncts over the scan's own columns.

    Args:
        filters: predicates that all rows fulfil.
        names: the scan's columns by SQL name.
    """
    found: list[ScanPredicate] = []
    stack = list(filters)
    while stack:
        term = stack.pop()
        if isinstance(term, And):
            stack.extend(term.terms)
        elif isinstance(term, Apply):
            found.extend(_predicates(term, names))
    return tuple(found)


def _predicates(call: Apply, names: Mapping[str, str]) -> Iterable[ScanPredicate]:
    if len(call.arguments) == 2 and call.name in _COMPARISONS:
        left, right = call.arguments
        operator = call.name
        if isinstance(left, Literal):
            left, right, operator = right, left, _COMPARISONS[operator]
        if not isinstance(left, Column) or not isinstance(right, Literal):
            return
        if left.id in names and right.value is not None and left.type is right.type:
            yield ScanPredicate(names[left.id], operator, right.value)
        return
    operand = call.arguments[0] if call.arguments else None
    if not isinstance(operand, Column) or operand.id not in names:
        return
    name, rest = names[operand.id], call.arguments[1:]
    if not all(isinstance(item, Literal) and item.type is operand.type for item in rest):
        return
    values = tuple(item.value for item in rest if isinstance(item, Literal))
    if call.name == "between" and None not in values:
        yield ScanPredicate(name, ">=", values[0])
        yield ScanPredicate(name, "<=", values[1])
    elif call.name == "in" and values and None not in values:
        yield ScanPredicate(name, "in", values)
    elif call.name == "startswith_cs" and values and values[0]:
        yield ScanPredicate(name, "startswith", values[0])
    elif call.name == "isnull":
        yield ScanPredicate(name, "isnull")
    elif call.name == "isnotnull":
        yield ScanPredicate(name, "isnotnull")
