"""``evaluate``: plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql import registry, syntax
from spark_kusto.kql.binder.calls import refusal
from spark_kusto.kql.binder.constants import evaluate as value_of
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.binder.sources import is_tabular
from spark_kusto.kql.binder.tabular import operator, source
from spark_kusto.kql.plan import Column, Expr, PythonNode, ValuesNode, references
from spark_kusto.kql.registry import PluginArgument, PluginCall, PluginRow, RefusedRow, SpecialRow
from spark_kusto.types import Column as NamedColumn
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


def declared_schema(
    node: syntax.TypeReference | None, relation: Relation
) -> tuple[tuple[str, KustoType], ...] | None:
    """The schema written after a call; a star stands for the input's columns."""
    if node is None or node.columns is None:
        return None
    declared = [(c.name, KustoType.parse(c.type or "dynamic")) for c in node.columns]
    if not node.open:
        return tuple(declared)
    names = {name for name, _ in declared}
    own = [(name, column.type) for name, column in relation.columns if name not in names]
    return (*own, *declared)


@operator(syntax.Evaluate, "evaluate")
def _evaluate(
    binder: Binder, node: syntax.Evaluate, relation: Relation, environment: Environment
) -> Relation:
    name = node.call.name
    row = registry.plugins().get(name)
    if row is None:
        raise binder.error(
            f"There is no plugin '{name}'.",
            node.call,
            code="SEM0260",
            name=name,
            candidates=registry.plugins(),
        )
    if isinstance(row, RefusedRow):
        raise refusal(row)
    if isinstance(row, SpecialRow):
        special: Relation = row.bind(binder, node, relation, environment)
        return special
    return call_plugin(binder, row, node, relation, environment)


@source(syntax.Evaluate, "evaluate")
def _evaluate_first(binder: Binder, node: syntax.Evaluate, environment: Environment) -> Relation:
    row = registry.plugins().get(node.call.name)
    if isinstance(row, PluginRow) and not row.source:
        raise binder.error(f"The plugin '{node.call.name}' needs an input table.", node)
    return _evaluate(binder, node, Relation(ValuesNode((), ((),)), ()), environment)


def call_plugin(
    binder: Binder,
    row: PluginRow,
    node: syntax.Evaluate,
    relation: Relation,
    environment: Environment,
) -> Relation:
    """A call of a plugin in Python."""
    context = binder.row_context(relation, environment)
    computed: list[Expr] = []
    tables: list[Relation] = []
    arguments = [_argument(binder, item, relation, context, computed, tables) for item in node.call.arguments]
    relation, extra = binder.as_columns(relation, computed)
    visible = list(relation.columns)
    visible.extend((f"$arg{place}", column) for place, column in enumerate(extra))
    schema = declared_schema(node.schema, relation)
    call = PluginCall(
        node.call.name,
        tuple(NamedColumn(name, column.type) for name, column in visible),
        tuple(arguments),
        None if schema is None else tuple(NamedColumn(n, kind) for n, kind in schema),
    )
    try:
        made = row.schema(call)
    except KqlSemanticError as fault:
        if fault.line is not None:
            raise
        raise binder.error(fault.message, node.call, code=fault.code, remedy=fault.remedy) from None
    columns = tuple((column.name, binder.column(column.type)) for column in made)
    inputs: list[tuple[Any, tuple[tuple[str, Column], ...], Any]] = [
        (relation.node, tuple(visible), relation.order)
    ]
    inputs.extend((table.node, table.columns, table.order) for table in tables)
    return Relation(PythonNode(row.name, tuple(inputs), call, columns), columns)


def _argument(
    binder: Binder,
    item: syntax.Expression,
    relation: Relation,
    context: Context,
    computed: list[Expr],
    tables: list[Relation],
) -> PluginArgument:
    name = None
    if isinstance(item, syntax.NamedExpression):
        name, item = item.name, item.value
    if isinstance(item, syntax.Star):
        return PluginArgument("star", name=name)
    if is_tabular(binder, item, context.environment, context.columns):
        table = binder.relation(item, context.environment)
        tables.append(table)
        columns = tuple(NamedColumn(n, c.type) for n, c in table.columns)
        return PluginArgument("table", table=len(tables), columns=columns, name=name)
    if isinstance(item, syntax.Name) and relation.column(item.name) is None:
        # A key of a lookup table that was given before.
        for place, table in enumerate(tables, 1):
            key = table.column(item.name)
            if key is not None:
                return PluginArgument("column", key.type, column=item.name, table=place, name=name)
    bound = binder.expression(item, context)
    if isinstance(item, syntax.Name) and isinstance(bound, Column):
        return PluginArgument("column", bound.type, column=item.name, name=name)
    if not references((bound,)):
        value = value_of(binder, bound, item, f"An argument of {relation.name or 'the plugin'}")
        return PluginArgument("constant", bound.type, value, name=name)
    computed.append(bound)
    return PluginArgument("column", bound.type, column=f"$arg{len(computed) - 1}", is_plain=False, name=name)
