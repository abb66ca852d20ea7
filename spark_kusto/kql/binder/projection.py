"""Lists of named expressions, as ``project``, ``extend``, ``print`` and others have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.calls import Several, bind_outcome
from spark_kusto.kql.binder.context import Context, Relation
from spark_kusto.kql.binder.naming import inferred_name
from spark_kusto.kql.binder.rewriting import rewrite
from spark_kusto.kql.plan import (
    PYTHON_WINDOW,
    Column,
    Expr,
    ExtendNode,
    OrderKey,
    PythonNode,
    Window,
    contains,
    has_window,
)
from spark_kusto.kql.registry import LONG
from spark_kusto.kql.sql.substitution import substitute

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


@dataclass(frozen=True)
class Item:
    """One column to be.

    Attributes:
        name: as declared or inferred; None if it has to be made up.
        declared: whether the query names it.
        further: whether it is a further value of a call that has several.
    """

    name: str | None
    expression: Expr
    declared: bool
    node: syntax.Node
    further: bool = False


def bind_items(binder: Binder, nodes: Sequence[syntax.Expression], context: Context) -> list[Item]:
    """The columns that a list of expressions makes."""
    items: list[Item] = []
    for node in nodes:
        items.extend(bind_item(binder, node, context))
    return items


def _meant_as_name(binder: Binder, node: syntax.Binary, context: Context) -> None:
    """``extend x == 1``: a comparison with a name that there isn't."""
    left = node.left
    if not isinstance(left, syntax.Name) or left.name in context.columns:
        return
    if context.environment.get(left.name) is None and context.aggregates is None:
        raise binder.error(
            f"Failed to resolve column or scalar expression named '{left.name}'.",
            left,
            name=left.name,
            candidates=context.columns,
            remedy=f"A column is named with one =, as in {left.name} = ...; == compares.",
        )


def bind_item(binder: Binder, node: syntax.Expression, context: Context) -> list[Item]:
    """The columns that one expression makes: several for calls with several values."""
    names: tuple[syntax.Name, ...] = ()
    value = node
    if isinstance(node, syntax.NamedExpression):
        names, value = node.names, node.value
    if isinstance(value, syntax.Binary) and value.operator == "==" and not names:
        _meant_as_name(binder, value, context)
    outcome = _outcome(binder, value, context)
    if isinstance(outcome, Several):
        arguments = value.arguments if isinstance(value, syntax.Call) else ()
        first = inferred_name(arguments[0]) if arguments else None
        items = []
        for place, (name, expression) in enumerate(outcome.values):
            if place < len(names):
                items.append(Item(names[place].name, expression, True, node))
            else:
                text = name.replace("{0}", first or "")
                items.append(Item(text, expression, False, node, place > 0))
        if len(names) > len(outcome.values):
            raise binder.error(
                f"The name '{names[-1].name}' has no corresponding value.", node, code="SEM0100"
            )
        return items
    if len(names) > 1:
        raise binder.error("The expression does not have several values.", node)
    if names:
        return [Item(names[0].name, outcome, True, node)]
    if isinstance(value, syntax.Call) and value.name in ("column_ifexists", "columnifexists"):
        existing = _existing_name(binder, value, context)
        return [Item(existing, outcome, False, node)]
    return [Item(inferred_name(value), outcome, isinstance(value, syntax.Name), node)]


def _existing_name(binder: Binder, node: syntax.Call, context: Context) -> str | None:
    if not node.arguments:
        return None
    wanted = binder.constant(node.arguments[0], context, "The name of a column")
    return str(wanted) if wanted in context.columns else None


def _outcome(binder: Binder, node: syntax.Expression, context: Context) -> Expr | Several:
    if isinstance(node, syntax.Call):
        return bind_outcome(binder, node, context)
    return binder.expression(node, context)


def add_columns(
    binder: Binder, relation: Relation, expressions: Sequence[Expr]
) -> tuple[Relation, list[Column]]:
    """The relation's node with these expressions as columns, window functions taken care of.

    Rows get their number in the order that window functions see, so that one after another
    see the same order, whatever ties the sort keys leave.
    """
    if not any(has_window(expression) for expression in expressions):
        return binder.as_columns(relation, expressions)
    if any(contains(expression, _is_python) for expression in expressions):
        relation, expressions = _run_python(binder, relation, expressions)
        if not any(has_window(expression) for expression in expressions):
            return binder.as_columns(relation, expressions)
    nested = [e for e in expressions if contains(e, _window_over_window)]
    if nested:
        relation, expressions = _unnest_windows(binder, relation, expressions)
    if len(relation.order) == 1 and _is_row_number(binder, relation.order[0]):
        return binder.as_columns(relation, expressions)
    number = binder.column(LONG, nullable=False)
    window = Window(LONG, nullable=False, template="row_number() OVER ({over})", order=relation.order)
    relation, columns = binder.as_columns(relation, expressions)
    # One SELECT computes them all, so that they see the same order.
    node = (
        replace(relation.node, items=(*relation.node.items, (number, window)))
        if isinstance(relation.node, ExtendNode)
        else ExtendNode(relation.node, ((number, window),))
    )
    binder.session.row_numbers.add(number.id)
    order = (OrderKey(number, False, True),)
    return replace(relation, node=node, order=order, serialized=True), columns


def _is_python(expression: Expr) -> bool:
    return isinstance(expression, Window) and expression.template.startswith(PYTHON_WINDOW)


def _run_python(
    binder: Binder, relation: Relation, expressions: Sequence[Expr]
) -> tuple[Relation, Sequence[Expr]]:
    """Window functions in Python become columns, each by a Python operator over the whole table."""
    found: dict[Expr, Column] = {}

    def lift(expression: Expr) -> Expr:
        if isinstance(expression, Window) and _is_python(expression):
            if expression not in found:
                found[expression] = binder.column_like(expression)
            return found[expression]
        return expression

    taken = [rewrite(expression, lift, top_down=True) for expression in expressions]
    for window, column in found.items():
        assert isinstance(window, Window)
        kept = {c.id: c for _, c in relation.columns}
        kept.update(
            {k.expression.id: k.expression for k in relation.order if isinstance(k.expression, Column)}
        )
        for expression in (*taken, *found):
            kept.update({c.id: c for c in _columns_in(expression) if c not in found.values()})
        for done in found.values():
            if done is column:
                break
            kept[done.id] = done
        relation, arguments = add_columns(binder, relation, window.arguments)
        for key in relation.order:
            if isinstance(key.expression, Column):
                kept[key.expression.id] = key.expression
        handed = list(kept.items())
        extra = [(f"$a{place}", argument) for place, argument in enumerate(arguments)]
        name = window.template.removeprefix(PYTHON_WINDOW)
        values = tuple((f"$a{place}", binder.column_like(a)) for place, a in enumerate(arguments))
        node = PythonNode(
            name,
            ((relation.node, (*handed, *extra), relation.order),),
            None,
            (*handed, *values, ("$value", column)),
        )
        relation = replace(relation, node=node)
    return relation, taken


def _columns_in(expression: Expr) -> list[Column]:
    columns: list[Column] = []

    def test(part: Expr) -> bool:
        if isinstance(part, Column):
            columns.append(part)
        return False

    contains(expression, test)
    return columns


def _is_row_number(binder: Binder, key: OrderKey) -> bool:
    return isinstance(key.expression, Column) and key.expression.id in binder.session.row_numbers


def _window_over_window(expression: Expr) -> bool:
    return isinstance(expression, Window) and any(
        map(has_window, (*expression.arguments, *expression.partition))
    )


def _unnest_windows(
    binder: Binder, relation: Relation, expressions: Sequence[Expr]
) -> tuple[Relation, Sequence[Expr]]:
    """SQL allows no window function within another: inner ones become columns first."""
    inner: dict[Expr, Column] = {}

    def lift(expression: Expr) -> Expr:
        if not isinstance(expression, Window):
            return expression
        if expression not in inner:
            inner[expression] = binder.column_like(expression)
        return inner[expression]

    def visit(expression: Expr) -> Expr:
        if not isinstance(expression, Window):
            return expression
        return replace(
            expression,
            arguments=tuple(rewrite(a, lift, top_down=True) for a in expression.arguments),
            partition=tuple(rewrite(p, lift, top_down=True) for p in expression.partition),
        )

    taken = [rewrite(expression, visit, top_down=True) for expression in expressions]
    relation, made = add_columns(binder, relation, list(inner))
    names = {column.id: own.id for column, own in zip(inner.values(), made, strict=True)}
    order = relation.order

    def reorder(expression: Expr) -> Expr:
        if isinstance(expression, Window) and "{over}" in expression.template:
            return replace(expression, order=order)
        return expression

    return relation, [rewrite(substitute(e, names), reorder) for e in taken]
