"""``summarize`` and its relatives ``top-hitters``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import AggregateCollector, Context, Environment, Relation
from spark_kusto.kql.binder.naming import Names
from spark_kusto.kql.binder.projection import Item, bind_items
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.plan import AggregateNode, Column, Expr, ExtendNode
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


@dataclass(frozen=True)
class Grouping:
    """Bound groups and aggregates.

    Attributes:
        groups: name, column of the result, expression over the input.
        items: the aggregates' expressions, over ``collector``'s columns.
    """

    relation: Relation
    groups: tuple[tuple[str, Column, Expr], ...]
    items: tuple[Item, ...]
    collector: AggregateCollector
    names: Names


@operator(syntax.Summarize, "summarize")
def _summarize(
    binder: Binder, node: syntax.Summarize, relation: Relation, environment: Environment
) -> Relation:
    return summarize(binder, relation, node.aggregates, node.by, environment)


def summarize(
    binder: Binder,
    relation: Relation,
    aggregates: Sequence[syntax.Expression],
    by: Sequence[syntax.Expression],
    environment: Environment,
) -> Relation:
    """Groups and aggregates; groups first."""
    bound = group(binder, relation, aggregates, by, environment)
    return finish(binder, bound)


def group(
    binder: Binder,
    relation: Relation,
    aggregates: Sequence[syntax.Expression],
    by: Sequence[syntax.Expression],
    environment: Environment,
) -> Grouping:
    """Bind groups and aggregates over a relation."""
    inner = binder.row_context(relation, environment)
    names = Names()
    groups: list[tuple[str, Column, Expr]] = []
    keys = bind_items(binder, _unstarred(by, relation), inner)
    for item in keys:
        if item.name is not None and (item.declared or item.name not in names):
            names.add(item.name)
    for item in keys:
        expression = item.expression
        if expression.type is KustoType.DYNAMIC:
            raise binder.error(
                f"summarize: the group key '{item.name or ''}' is of type dynamic.",
                item.node,
                code="SEM0040",
                remedy="Convert it, for example with tostring().",
            )
        taken = {name for name, _, _ in groups}
        name = item.name
        if name is None:
            name = names.default()
        elif name in taken:
            if item.declared and expression in [known for _, _, known in groups]:
                continue
            name = names.unique(name)
        groups.append((name, binder.column_like(expression), expression))
    collector = AggregateCollector(replace(inner, naming={"groups": groups}))
    outer = Context(environment, {}, aggregates=collector, relation=relation)
    items: list[Item] = []
    for node in aggregates:
        items.extend(_aggregate_items(binder, node, outer))
    return Grouping(relation, tuple(groups), tuple(items), collector, names)


def _unstarred(nodes: Sequence[syntax.Expression], relation: Relation) -> list[syntax.Expression]:
    found: list[syntax.Expression] = []
    for node in nodes:
        if isinstance(node, syntax.Star):
            found.extend(syntax.Name(name) for name in relation.names)
        else:
            found.append(node)
    return found


def _aggregate_items(binder: Binder, node: syntax.Expression, context: Context) -> list[Item]:
    return bind_items(binder, (node,), context)


def finish(binder: Binder, bound: Grouping) -> Relation:
    """The relation of groups and aggregates."""
    names = bound.names
    for item in bound.items:
        if item.declared and item.name is not None:
            if item.name in names:
                raise binder.error(
                    f"A column named '{item.name}' is declared twice.", item.node, code="SEM0020"
                )
            names.add(item.name)
    visible: list[tuple[str, Column]] = [(name, column) for name, column, _ in bound.groups]
    computed: list[tuple[Column, Expr]] = []
    for item in bound.items:
        if item.declared and item.name is not None:
            name = item.name
        elif item.name is not None:
            name = names.unique(item.name)
        else:
            name = names.default()
        if isinstance(item.expression, Column):
            visible.append((name, item.expression))
        else:
            column = binder.column_like(item.expression)
            computed.append((column, item.expression))
            visible.append((name, column))
    node = AggregateNode(
        bound.relation.node,
        tuple((column, expression) for _, column, expression in bound.groups),
        tuple(bound.collector.calls),
    )
    if computed:
        return Relation(ExtendNode(node, tuple(computed)), tuple(visible))
    return Relation(node, tuple(visible))
