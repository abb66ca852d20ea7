"""Queries within expressions: ``toscalar``, ``materialize``, and arrays of a column's values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Relation
from spark_kusto.kql.binder.conversion import convert
from spark_kusto.kql.plan import (
    AggregateCall,
    AggregateNode,
    Expr,
    LimitNode,
    Literal,
    ScalarQuery,
)
from spark_kusto.kql.registry import DYNAMIC, STRING, overload, parameter
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


def bind_toscalar(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    """``toscalar(query)``: first column of the first row; a scalar argument is itself."""
    from spark_kusto.kql.binder.sources import is_tabular

    if len(node.arguments) != 1:
        raise binder.error("toscalar() takes one argument.", node, code="SEM0219")
    argument = node.arguments[0]
    if not is_tabular(binder, argument, context.environment, context.columns):
        return binder.expression(argument, context)
    relation = binder.relation(argument, context.environment)
    if not relation.columns:
        raise binder.error("toscalar(): the query has no columns.", node)
    column = relation.columns[0][1]
    query = relation.node
    if relation.order:
        one = Literal(KustoType.LONG, nullable=False, value=1)
        query = LimitNode(query, one, relation.order)
    # The variable may be used many times; the query should run once.
    value = binder.share(Relation(query, (("value", column),)), materialize=False)
    return ScalarQuery(column.type, element=column.element, node=value.shared, column=column.id)


_LIST_TEXTS = overload([parameter(STRING)], DYNAMIC, "coalesce(to_json(list({0}))::VARCHAR, '[]')", "never")


def as_array(binder: Binder, relation: Relation) -> Expr:
    """The first column's values as a dynamic array of texts."""
    column = convert(relation.columns[0][1], STRING)
    relation, columns = binder.as_columns(relation, [column])
    result = binder.column(DYNAMIC, nullable=False)
    call = AggregateCall("make_list", _LIST_TEXTS, (columns[0],), DYNAMIC, False)
    node = AggregateNode(relation.node, (), ((result, call),))
    return ScalarQuery(DYNAMIC, node=node, column=result.id)
