"""Replacing columns within expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from spark_kusto.kql.plan import And, Apply, Column, Expr, InQuery, Or, Path, Window


def substitute(expression: Expr, names: Mapping[str, str]) -> Expr:
    """The expression with columns renamed where the mapping says so."""
    match expression:
        case Column():
            found = names.get(expression.id)
            return expression if found is None else replace(expression, id=found)
        case Apply():
            return replace(expression, arguments=_all(expression.arguments, names))
        case And() | Or():
            return replace(expression, terms=_all(expression.terms, names))
        case Path():
            steps = tuple(substitute(s, names) if isinstance(s, Expr) else s for s in expression.steps)
            return replace(expression, base=substitute(expression.base, names), steps=steps)
        case InQuery():
            return replace(expression, operand=substitute(expression.operand, names))
        case Window():
            order = tuple(
                replace(key, expression=substitute(key.expression, names)) for key in expression.order
            )
            return replace(
                expression,
                arguments=_all(expression.arguments, names),
                partition=_all(expression.partition, names),
                order=order,
            )
    return expression


def _all(expressions: tuple[Expr, ...], names: Mapping[str, str]) -> tuple[Expr, ...]:
    return tuple(substitute(expression, names) for expression in expressions)
