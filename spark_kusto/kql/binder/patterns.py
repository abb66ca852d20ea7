"""Calls of declared patterns: ``app("a").Table``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Environment, PatternValue, Relation
from spark_kusto.kql.binder.sources import is_tabular

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


def bind_pattern(
    binder: Binder,
    pattern: PatternValue,
    call: syntax.Call,
    member: syntax.Expression | None,
    environment: Environment,
) -> Relation:
    """The body that the call's arguments (and path) choose."""
    from spark_kusto.kql.binder.statements import bind_statement

    context = Context(environment, {})
    values = tuple(binder.constant(argument, context, "A pattern's argument") for argument in call.arguments)
    path = member.name if isinstance(member, syntax.Name) else None
    for arguments, wanted_path, statements, body in pattern.matches:
        if arguments == values and (wanted_path == path or (path is None and wanted_path is None)):
            inner = Environment(pattern.environment)
            for statement in statements:
                bind_statement(binder, statement, inner)
            if body is None:
                raise binder.error(f"The pattern '{call.name}' has no body here.", call)
            if is_tabular(binder, body, inner, ()):
                return binder.relation(body, inner)
            return binder.relation(syntax.Print((body,)), inner)
    given = ", ".join(repr(value) for value in values)
    reference = f"{call.name}({given}){f'.[{path!r}]' if path is not None else ''}"
    raise binder.error(
        f'One or more pattern references were not declared. Detected pattern references: ["{reference}"]',
        call,
        code="SEM0036",
    )
