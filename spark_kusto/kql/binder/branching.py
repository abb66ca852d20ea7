"""Operators with several results: ``fork`` and ``facet``; ``macro-expand``.

Sources: Kusto documentation, "fork operator", "facet operator", "macro-expand operator".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.aggregation import summarize
from spark_kusto.kql.binder.context import (
    EntityGroupValue,
    Environment,
    Relation,
    ScopeValue,
)
from spark_kusto.kql.binder.naming import inferred_name
from spark_kusto.kql.binder.sources import database_of
from spark_kusto.kql.binder.tabular import operator, source
from spark_kusto.kql.binder.unions import union

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


@operator(syntax.Fork, "fork")
def _fork(binder: Binder, node: syntax.Fork, relation: Relation, environment: Environment) -> Relation:
    value = binder.share(relation)
    outputs: list[tuple[str, Relation]] = []
    for place, branch in enumerate(node.branches):
        rows = binder.use(value)
        outcome = binder.pipe(rows, branch.subquery.operators, environment)
        name = branch.name.name if branch.name is not None else f"Table_{place}"
        outputs.append((name, outcome))
    return replace(outputs[0][1], outputs=tuple(outputs))


@operator(syntax.Facet, "facet")
def _facet(binder: Binder, node: syntax.Facet, relation: Relation, environment: Environment) -> Relation:
    value = binder.share(relation)
    outputs: list[tuple[str, Relation]] = []
    for place, column in enumerate(node.by):
        rows = binder.use(value)
        label = f"count_{inferred_name(column) or ''}"
        count = syntax.NamedExpression((syntax.Name(label),), syntax.Call("count"))
        counted = summarize(binder, rows, (count,), (column,), environment)
        outputs.append((f"Table_{place}", counted))
    if node.subquery is not None:
        rows = binder.use(value)
        outcome = binder.pipe(rows, node.subquery.operators, environment)
        outputs.append((f"Table_{len(node.by)}", outcome))
    return replace(outputs[0][1], outputs=tuple(outputs))


@source(syntax.MacroExpand, "macro-expand")
def _macro_expand(binder: Binder, node: syntax.MacroExpand, environment: Environment) -> Relation:
    from spark_kusto.kql.binder.statements import bind_statement

    group = node.entity_group
    if node.alias is None:
        raise binder.error("macro-expand needs a name after 'as'.", node)
    if isinstance(group, syntax.Name):
        value = environment.get(group.name)
        if not isinstance(value, EntityGroupValue):
            raise binder.error(f"'{group.name}' is no entity group.", group)
        entities = value.entities
    elif isinstance(group, syntax.EntityGroup):
        entities = group.entities
    else:
        raise binder.error("macro-expand takes an entity group.", group)
    parts: list[Relation] = []
    for entity in entities:
        inner = Environment(environment)
        inner.set(node.alias.name, ScopeValue(database_of(binder, entity, environment)))
        for statement in node.statements[:-1]:
            bind_statement(binder, statement, inner)
        last = node.statements[-1]
        assert isinstance(last, syntax.ExpressionStatement)
        parts.append(binder.relation(last.expression, inner))
    if not parts:
        raise binder.error("macro-expand: the entity group is empty.", node)
    return union(binder, parts, inner=(node.kind or "").lower() == "inner")
