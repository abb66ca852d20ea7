"""From KQL text to a compiled query."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Environment, Relation
from spark_kusto.kql.binder.core import Binder, Probe, Session
from spark_kusto.kql.binder.sources import is_tabular
from spark_kusto.kql.binder.statements import bind_parameters, bind_statement
from spark_kusto.kql.catalog import Catalog
from spark_kusto.kql.compiled import CompiledQuery, CompileOptions
from spark_kusto.kql.parser import parse
from spark_kusto.kql.sql.stages import BoundResult, PlanWriter


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)


def compile_query(
    query: str | syntax.Query,
    catalog: Catalog,
    *,
    database: str,
    parameters: Mapping[str, Any] | None = None,
    now: dt.datetime | None = None,
    probe: Probe | None = None,
    options: CompileOptions | None = None,
) -> CompiledQuery:
    """Compile a query.

    Args:
        query: text or syntax tree.
        catalog: the names that exist.
        database: where unqualified names are looked up.
        parameters: values for ``declare query_parameters``: Python values or texts of KQL literals.
        now: what ``now()`` gives; the clock's time by default.
        probe: runs a part of the query where the schema depends on the data: takes a compiled
            query, gives its first result with columns by SQL name.
        options: see ``CompileOptions``.

    Raises:
        KqlSyntaxError: the text does not parse.
        KqlSemanticError: names or types in it make no sense.
        UnsupportedError: it uses what cannot be executed.
    """
    tree = parse(query) if isinstance(query, str) else query
    chosen = options or CompileOptions()
    moment = now or _utc_now()
    if moment.tzinfo is not None:
        moment = moment.astimezone(dt.timezone.utc).replace(tzinfo=None)
    session = Session(catalog, database, moment, probe, chosen)
    try:
        results = bind(tree, session, parameters or {})
        return PlanWriter(chosen.optimize).compile(results, session.options)
    except RecursionError:
        raise KqlSemanticError(
            "The query is nested too deeply, or a function in it calls itself.",
            remedy="Functions cannot be recursive; bind parts of a deep expression by let.",
        ) from None


def bind(tree: syntax.Query, session: Session, parameters: Mapping[str, Any]) -> list[BoundResult]:
    """Bind all statements; the results in order."""
    binder = Binder(session, tree.text)
    environment = Environment()
    bind_parameters(binder, tree, environment, parameters)
    results: list[BoundResult] = []
    for statement in tree.statements:
        if not isinstance(statement, syntax.ExpressionStatement):
            bind_statement(binder, statement, environment)
            continue
        relation = _statement(binder, statement.expression, environment)
        for name, part in relation.outputs or (("PrimaryResult", relation),):
            if results and name == "PrimaryResult":
                name = f"Table_{len(results)}"
            results.append(BoundResult(name, part.node, part.columns, part.order, part.visualization))
    if not results:
        raise binder.error("The query has no tabular expression statement.", code="SEM0001")
    return results


def _statement(binder: Binder, expression: syntax.Expression, environment: Environment) -> Relation:
    if is_tabular(binder, expression, environment, ()):
        return binder.relation(expression, environment)
    if isinstance(expression, syntax.Name | syntax.Call | syntax.Member | syntax.Pipe):
        value = None
        if isinstance(expression, syntax.Name):
            value = environment.get(expression.name)
        if value is None:
            return binder.relation(expression, environment)
    # A scalar alone is a table of one row.
    row = syntax.Print((expression,), span=expression.span)
    relation = binder.relation(row, environment)
    return replace(relation, columns=relation.columns)
