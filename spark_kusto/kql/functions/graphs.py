"""Functions over elements of graph patterns: ``all``, ``any``, ``map``, ``inner_nodes`` ...

Source: Kusto documentation, "Graph functions". A variable-length edge is a list of structs, one for
each hop; these functions go over that list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context
from spark_kusto.kql.binder.conversion import apply, convert
from spark_kusto.kql.functions.conditionals import bag_of
from spark_kusto.kql.functions.dynamics import json_item
from spark_kusto.kql.plan import Column, Expr, Literal
from spark_kusto.kql.registry import ANY, BOOL, DYNAMIC, LONG, Emission, ScalarRow, overload, special
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


@dataclass(frozen=True)
class PathVariable:
    """A variable-length edge.

    Attributes:
        edges: column with the list of structs of its edges.
        inner: column with the list of structs of the nodes between its edges.
        edge_columns, node_columns: the structs' fields by Kusto name.
    """

    edges: Column
    inner: Column
    edge_columns: Mapping[str, Column]
    node_columns: Mapping[str, Column]


def _elements(
    binder: Binder, node: syntax.Expression, context: Context
) -> tuple[Column, Mapping[str, Column]]:
    """The list that a path variable, or ``inner_nodes(path)``, stands for, and its fields."""
    paths = context.paths or {}
    if isinstance(node, syntax.Call) and node.name == "inner_nodes" and node.arguments:
        inside = node.arguments[0]
        if isinstance(inside, syntax.Name) and inside.name in paths:
            variable: PathVariable = paths[inside.name]
            return variable.inner, variable.node_columns
    if isinstance(node, syntax.Name) and node.name in paths:
        variable = paths[node.name]
        return variable.edges, variable.edge_columns
    raise binder.error("A variable-length edge of the pattern is expected here.", node)


def _over(binder: Binder, context: Context, fields: Mapping[str, Column]) -> tuple[str, Context]:
    """A name for the element at hand, and the context in which its fields are columns."""
    binder.session.column_number += 1
    name = f"e{binder.session.column_number}"
    columns = {label: replace(column, id=f"{name}.{column.id}") for label, column in fields.items()}
    return name, replace(context, columns={**context.columns, **columns})


def _transform(template: str, element: str) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        items, body = call.sql
        return template.format(items=items, element=element, body=body)

    return emit


def _quantifier(function: str, empty: str) -> Callable[[Binder, syntax.Call, Context], Expr]:
    def bind(binder: Binder, node: syntax.Call, context: Context) -> Expr:
        if len(node.arguments) != 2:
            raise binder.error(f"{node.name}() takes an edge and a condition.", node)
        single = node.arguments[0]
        if isinstance(single, syntax.Name) and context.steps and single.name in context.steps:
            inside = replace(context, columns={**context.columns, **context.steps[single.name]})
            return binder.predicate(node.arguments[1], inside)
        items, fields = _elements(binder, node.arguments[0], context)
        element, inside = _over(binder, context, fields)
        body = binder.predicate(node.arguments[1], inside)
        template = (
            f"coalesce({function}(list_transform({{items}},"
            f" lambda {{element}}: coalesce({{body}}, false))), {empty})"
        )
        row = ScalarRow(node.name, (overload([ANY, BOOL], BOOL, _transform(template, element), "never"),))
        return apply(row, row.overloads[0], (items, body))

    return bind


special("all", _quantifier("list_bool_and", "true"))
special("any", _quantifier("list_bool_or", "false"))


def _map_sql(element: str) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        items = call.sql[0]
        body = json_item(call, call.arguments[1])
        listed = f"list_transform({items}, lambda {element}: {body})"
        return f"concat('[', array_to_string({listed}, ','), ']')"

    return emit


def _map(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    if len(node.arguments) != 2:
        raise binder.error("map() takes an edge and an expression.", node)
    single = node.arguments[0]
    if isinstance(single, syntax.Name) and context.steps and single.name in context.steps:
        from spark_kusto.kql.registry import scalars

        inside = replace(context, columns={**context.columns, **context.steps[single.name]})
        value = binder.expression(node.arguments[1], inside)
        row = scalars()["pack_array"]
        assert isinstance(row, ScalarRow)
        return apply(row, row.overloads[0], (value,))
    items, fields = _elements(binder, node.arguments[0], context)
    element, inside = _over(binder, context, fields)
    return _mapped(items, element, binder.expression(node.arguments[1], inside))


def _mapped(items: Expr, element: str, body: Expr) -> Expr:
    row = ScalarRow("map", (overload([ANY, ANY], DYNAMIC, _map_sql(element), "never"),))
    result = apply(row, row.overloads[0], (items, body))
    kind = body.type
    known = (KustoType.DATETIME, KustoType.TIMESPAN, KustoType.GUID, KustoType.DECIMAL)
    return replace(result, element=kind if kind in known else None)


special("map", _map)


def path_as_array(variable: PathVariable, inner: bool = False) -> Expr:
    """A path as an array of property bags."""
    items = variable.inner if inner else variable.edges
    fields = variable.node_columns if inner else variable.edge_columns
    element = f"p_{items.id}"
    columns = [(name, replace(column, id=f"{element}.{column.id}")) for name, column in fields.items()]
    return _mapped(items, element, bag_of(columns))


def _inner_nodes(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    argument = node.arguments[0] if node.arguments else None
    paths = context.paths or {}
    if not isinstance(argument, syntax.Name) or argument.name not in paths:
        raise binder.error("inner_nodes() takes a variable-length edge.", node)
    return path_as_array(paths[argument.name], inner=True)


special("inner_nodes", _inner_nodes)


def _property(name: str, kind: KustoType) -> Callable[[Binder, syntax.Call, Context], Expr]:
    """A hidden column of a node of the pattern."""

    def bind(binder: Binder, node: syntax.Call, context: Context) -> Expr:
        argument = node.arguments[0] if node.arguments else None
        steps = context.steps or {}
        if isinstance(argument, syntax.Name) and argument.name in steps:
            column = steps[argument.name].get(name)
            if column is not None:
                return convert(column, kind)
        raise binder.error(f"{node.name}() takes a node of the pattern.", node)

    return bind


special("node_degree_in", _property("$degree_in", LONG))
special("node_degree_out", _property("$degree_out", LONG))
special("node_id", _property("$id", KustoType.STRING))


def _labels(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    """Graphs made by ``make-graph`` have no labels."""
    return Literal(DYNAMIC, value=None)


special("labels", _labels, difference="null: only graph models have labels, and these are not there")
