"""Rewriting expressions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spark_kusto.kql.plan import And, Apply, Expr, InQuery, Or, Path, Window


def rewrite(expression: Expr, visit: Callable[[Expr], Expr], *, top_down: bool = False) -> Expr:
    """The expression with every part replaced by what ``visit`` makes of it.

    Args:
        top_down: visit a part before its own parts; these are then not visited if it changed.
    """
    if top_down:
        changed = visit(expression)
        if changed is not expression:
            return changed
        return _with_parts(expression, visit, True)
    return visit(_with_parts(expression, visit, False))


def _with_parts(expression: Expr, visit: Callable[[Expr], Expr], top_down: bool) -> Expr:
    def go(part: Expr) -> Expr:
        return rewrite(part, visit, top_down=top_down)

    match expression:
        case Apply():
            return replace(expression, arguments=tuple(map(go, expression.arguments)))
        case And() | Or():
            return replace(expression, terms=tuple(map(go, expression.terms)))
        case Path():
            steps = tuple(go(s) if isinstance(s, Expr) else s for s in expression.steps)
            return replace(expression, base=go(expression.base), steps=steps)
        case InQuery():
            return replace(expression, operand=go(expression.operand))
        case Window():
            return replace(
                expression,
                arguments=tuple(map(go, expression.arguments)),
                partition=tuple(map(go, expression.partition)),
            )
    return expression
