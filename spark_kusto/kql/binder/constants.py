"""Values of constant expressions that must be known while binding."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spark_kusto.kql.plan import Column, Expr, ExtendNode, InQuery, ScalarQuery, ValuesNode, contains
from spark_kusto.kql.registry import NOT_CONSTANT
from spark_kusto.kql.sql.expressions import constant_value
from spark_kusto.kql.syntax import Node
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


def evaluate(binder: Binder, expression: Expr, node: Node | None, what: str) -> Any:
    """The value: at once if it is a literal, otherwise by running it.

    Raises:
        KqlSemanticError: it depends on columns.
    """
    value = constant_value(expression)
    if value is not NOT_CONSTANT:
        return value
    if contains(expression, lambda e: isinstance(e, Column)):
        raise binder.error(f"{what} must be a constant.", node, code="SEM0040")
    assert not isinstance(expression, InQuery | ScalarQuery) or expression.node is not None
    column = binder.column_like(expression)
    row = ExtendNode(ValuesNode((), ((),)), ((column, expression),))
    table = binder.probe(row, {"value": column}, what, node)
    return python_value(table.column(0)[0].as_py(), expression.type)


def python_value(value: Any, kind: KustoType) -> Any:
    """A value read back from a probe's Arrow table, as emitters see constants."""
    if value is None:
        return "" if kind is KustoType.STRING else None
    if kind is KustoType.DYNAMIC and isinstance(value, str):
        return json.loads(value)
    if kind is KustoType.GUID:
        import uuid

        return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))
    return value
