"""Subqueries that run once for each group of rows: where one SQL statement cannot.

``mv-apply``, ``partition`` and ``make-graph partitioned-by`` are joins with a subquery that reads the
row (or the key) at hand. What SQL has no such join for, operators in Python among them, becomes
stages that run for one group after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_kusto.kql.binder.context import Relation
from spark_kusto.kql.plan import Column, EachNode, ExtendNode, GroupNode, JoinNode, Node, Window
from spark_kusto.kql.registry import LONG

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


@contextmanager
def correlated(binder: Binder) -> Iterator[None]:
    """While a subquery is bound that reads another query's row: no part of it can be run by itself."""
    binder.session.correlated += 1
    try:
        yield
    finally:
        binder.session.correlated -= 1


def rows_of_group(relation: Relation) -> tuple[GroupNode, Relation]:
    """The rows of one group of a relation, as a relation with the same columns and order."""
    columns = {column.id: column for _, column in relation.columns}
    for key in relation.order:
        assert isinstance(key.expression, Column)
        columns.setdefault(key.expression.id, key.expression)
    group = GroupNode(tuple(columns.values()), relation.node)
    return group, replace(relation, node=group)


def for_each(
    binder: Binder,
    groups: tuple[Node, Column],
    rows: Sequence[tuple[GroupNode, Column]],
    outcome: Relation,
) -> tuple[EachNode, Column]:
    """What a subquery gives for all groups, and the column with the group's key."""
    key = binder.column_like(groups[1])
    columns = {column.id: column for _, column in outcome.columns}
    for part in outcome.order:
        assert isinstance(part.expression, Column)
        columns.setdefault(part.expression.id, part.expression)
    return EachNode(groups, tuple(rows), outcome.node, key, tuple(columns.values())), key


def for_each_row(
    binder: Binder, relation: Relation, subquery: Callable[[Relation], tuple[GroupNode, Relation]]
) -> tuple[Node, Relation, Relation]:
    """Each row of a relation with the rows of a subquery, joined by the row's number.

    Args:
        subquery: given the rows, with their number as the last column, gives the rows of one group
            that it reads, and its outcome.

    Returns:
        The joined node; the rows; the outcome.
    """
    from spark_kusto.kql.binder.operators import comparison

    number = binder.column(LONG, nullable=False)
    window = Window(LONG, nullable=False, template="row_number() OVER ({over})")
    numbered = replace(
        relation,
        node=ExtendNode(relation.node, ((number, window),)),
        columns=(*relation.columns, ("$row", number)),
    )
    value = binder.share(numbered, materialize=True)
    inside, keys, outside = binder.use(value), binder.use(value), binder.use(value)
    group, outcome = subquery(inside)
    groups = (keys.node, keys.columns[-1][1])
    each, key = for_each(binder, groups, ((group, inside.columns[-1][1]),), outcome)
    matches = comparison("==", outside.columns[-1][1], key)
    node = JoinNode("INNER", outside.node, each, matches)
    return node, replace(outside, columns=outside.columns[:-1]), outcome
