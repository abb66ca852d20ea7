"""``union``, and finding the tables that names with wildcards stand for.

Source: Kusto documentation, "union operator". Columns of one name and different types stay apart:
``x_long``, ``x_string``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import translate
from typing import TYPE_CHECKING

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import (
    EntityGroupValue,
    Environment,
    FunctionValue,
    Relation,
    TableValue,
)
from spark_kusto.kql.binder.sources import call_function, database_of, find_table, scan
from spark_kusto.kql.binder.tabular import operator, source
from spark_kusto.kql.plan import Column, Expr, Literal, UnionNode
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


@operator(syntax.Union, "union")
def _union_after(
    binder: Binder, node: syntax.Union, relation: Relation, environment: Environment
) -> Relation:
    return _union(binder, node, environment, [replace(relation, name=relation.name or "union_arg0")])


@source(syntax.Union, "union")
def _union_first(binder: Binder, node: syntax.Union, environment: Environment) -> Relation:
    return _union(binder, node, environment, [])


def _union(binder: Binder, node: syntax.Union, environment: Environment, inputs: list[Relation]) -> Relation:
    for item in node.tables:
        inputs.extend(
            tables_of(binder, item, environment, fuzzy=node.is_fuzzy, unnamed=f"union_arg{len(inputs)}")
        )
    if not inputs:
        raise binder.error("union: none of the tables exists.", node, code="SEM0100")
    return union(binder, inputs, inner=node.kind == "inner", with_source=node.with_source)


def tables_of(
    binder: Binder,
    item: syntax.Expression,
    environment: Environment,
    *,
    fuzzy: bool = False,
    unnamed: str = "",
) -> list[Relation]:
    """The tables that an item of union, search or find stands for."""
    if isinstance(item, syntax.Star | syntax.WildcardName):
        pattern = "*" if isinstance(item, syntax.Star) else item.pattern
        return matching_tables(binder, pattern, environment, None)
    if isinstance(item, syntax.Member) and isinstance(item.member, syntax.Star | syntax.WildcardName):
        database = database_of(binder, item.base, environment)
        pattern = "*" if isinstance(item.member, syntax.Star) else item.member.pattern
        return matching_tables(binder, pattern, environment, database)
    if isinstance(item, syntax.Member) and isinstance(item.base, syntax.Name):
        group = environment.get(item.base.name)
        if isinstance(group, EntityGroupValue):
            found: list[Relation] = []
            for entity in group.entities:
                expanded = syntax.Member(entity, item.member, span=item.span)
                found.extend(tables_of(binder, expanded, environment, fuzzy=fuzzy))
            return found
    try:
        relation = binder.relation(item, environment)
    except KqlSemanticError as error:
        if fuzzy and error.code in ("SEM0100", "SEM0260"):
            return []
        raise
    if isinstance(item, syntax.Pipe) and item.operators:
        named = isinstance(item.operators[-1], syntax.As)
        return [relation if named else replace(relation, name=unnamed)]
    return [relation if relation.name else replace(relation, name=unnamed)]


def matching_tables(
    binder: Binder, pattern: str, environment: Environment, database: str | None
) -> list[Relation]:
    """Tables and views whose names a wildcard matches, by name."""
    matches = re.compile(translate(pattern)).match
    found: dict[str, Relation] = {}
    if database is None:
        for name in dict.fromkeys(environment.names()):
            value = environment.get(name)
            if not matches(name):
                continue
            if isinstance(value, FunctionValue) and value.function.view:
                call = syntax.Call(name)
                found[name] = replace(call_function(binder, value, call, environment), name=name)
            elif isinstance(value, TableValue) and value.view:
                found[name] = replace(binder.use(value), name=name)
    where = database or binder.database
    for name in sorted(binder.session.catalog.table_names(where)):
        if matches(name) and name not in found:
            table = find_table(binder, name, where)
            if table is not None:
                found[name] = scan(binder, table)
    return list(found.values())


def union(
    binder: Binder,
    inputs: Sequence[Relation],
    *,
    inner: bool = False,
    with_source: str | None = None,
) -> Relation:
    """All rows of all relations; columns matched by name and type."""
    kinds: dict[str, dict[KustoType, int]] = {}
    elements: dict[tuple[str, KustoType], set[KustoType | None]] = {}
    for relation in inputs:
        for name, column in relation.columns:
            counts = kinds.setdefault(name, {})
            counts[column.type] = counts.get(column.type, 0) + 1
            elements.setdefault((name, column.type), set()).add(column.element)
    columns: list[tuple[str, Column]] = []
    sources: list[tuple[str, KustoType]] = []
    taken = {name for name, types in kinds.items() if len(types) == 1}
    for name, types in kinds.items():
        for kind, count in types.items():
            if inner and count < len(inputs):
                continue
            label = name
            if len(types) > 1 and not inner:
                base = label = f"{name}_{kind.value}"
                number = 0
                while label in taken:
                    number += 1
                    label = f"{base}{number}"
                taken.add(label)
            common = elements[name, kind]
            element = next(iter(common)) if len(common) == 1 else None
            columns.append((label, binder.column(kind, element=element)))
            sources.append((name, kind))
    absent = {kind: Literal(kind, value=None) for kind in KustoType}
    absent[KustoType.STRING] = Literal(KustoType.STRING, nullable=False, value="")
    parts: list[tuple[Relation, list[Expr]]] = []
    for relation in inputs:
        known_columns = dict(relation.columns)
        expressions: list[Expr] = []
        for name, kind in sources:
            found = known_columns.get(name)
            if found is not None and found.type is kind:
                expressions.append(found)
            else:
                expressions.append(absent[kind])
        parts.append((relation, expressions))
    if with_source is not None:
        column = binder.column(KustoType.STRING)
        columns.insert(0, (with_source, column))
        for relation, expressions in parts:
            source_name = Literal(KustoType.STRING, nullable=False, value=relation.name)
            expressions.insert(0, source_name)
    node = UnionNode(
        tuple(column for _, column in columns),
        tuple((relation.node, tuple(expressions)) for relation, expressions in parts),
    )
    return Relation(node, tuple(columns))
