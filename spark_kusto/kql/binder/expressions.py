"""Binding scalar expressions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark_kusto.kql import syntax
from spark_kusto.kql.binder import calls, strings
from spark_kusto.kql.binder.context import (
    Context,
    FunctionValue,
    ScalarValue,
    ScopeValue,
    TableValue,
)
from spark_kusto.kql.binder.conversion import convert
from spark_kusto.kql.binder.membership import bind_between, bind_membership
from spark_kusto.kql.binder.operators import arithmetic, comparison, negate
from spark_kusto.kql.execution import timespan_text, to_json
from spark_kusto.kql.plan import And, Column, Expr, Literal, Or, Path
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_ARITHMETIC = frozenset("+-*/%")
_COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">="))


def bind(binder: Binder, node: syntax.Expression, context: Context) -> Expr:
    """A scalar expression, typed."""
    handler = _HANDLERS.get(type(node))
    if handler is None:
        raise binder.error("A scalar expression is expected here.", node, code="SEM0001")
    return handler(binder, node, context)


def literal_value(node: syntax.Literal) -> Any:
    """A syntax literal's value in the plan's form."""
    value = node.value
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(dt.timezone.utc).replace(tzinfo=None)
    return value


def _literal(binder: Binder, node: syntax.Literal, context: Context) -> Expr:
    kind = KustoType(node.type)
    value = literal_value(node)
    if value is None and kind is KustoType.STRING:
        value = ""
    return Literal(kind, nullable=value is None, value=value)


def dynamic_value(node: Any) -> Any:
    """A ``dynamic(...)`` literal as a JSON-like Python value."""
    if isinstance(node, syntax.DynamicArray):
        return [dynamic_value(item) for item in node.items]
    if isinstance(node, syntax.DynamicObject):
        return {key: dynamic_value(item) for key, item in node.entries}
    value = node.value
    if node.type == "timespan" and value is not None:
        return timespan_text(value)
    return value


def _dynamic(binder: Binder, node: syntax.DynamicLiteral, context: Context) -> Expr:
    element = None
    if isinstance(node.value, syntax.DynamicArray):
        kinds = {item.type if isinstance(item, syntax.Literal) else "" for item in node.value.items}
        if len(kinds) == 1 and kinds <= {"datetime", "timespan", "guid", "decimal"}:
            element = KustoType(kinds.pop())
    elif isinstance(node.value, syntax.Literal) and node.value.type in (
        "datetime",
        "timespan",
        "guid",
        "decimal",
    ):
        element = KustoType(node.value.type)
    text = to_json(dynamic_value(node.value))
    return Literal(KustoType.DYNAMIC, nullable=text is None, element=element, value=text)


def _name(binder: Binder, node: syntax.Name, context: Context) -> Expr:
    name = node.name
    column = context.columns.get(name)
    if column is not None:
        return column
    if context.outer is not None and name in context.outer:
        return context.outer[name]
    if context.steps is not None and name in context.steps:
        from spark_kusto.kql.functions.conditionals import bag_of

        return bag_of([(n, c) for n, c in context.steps[name].items() if not n.startswith("$")])
    if context.paths is not None and name in context.paths:
        from spark_kusto.kql.functions.graphs import path_as_array

        return path_as_array(context.paths[name])
    value = context.environment.get(name)
    if isinstance(value, ScalarValue):
        return value.expression
    if isinstance(value, TableValue):
        raise binder.error(
            f"'{name}' is a table, but a scalar expression is expected here.",
            node,
            code="SEM0006",
            remedy="Use toscalar() to take a single value from it.",
        )
    if isinstance(value, FunctionValue):
        # A function without parameters may be called without parentheses.
        return calls.bind_call(binder, syntax.Call(name, (), span=node.span), context)
    raise _unknown_name(binder, node, context)


def _unknown_name(binder: Binder, node: syntax.Name, context: Context) -> Exception:
    """The error for a name that nothing has here."""
    from spark_kusto.kql import registry

    name = node.name
    aggregates = context.aggregates
    if aggregates is not None and name in aggregates.inner.columns:
        return binder.error(
            f"'{name}' is a column of the input, neither aggregated nor a group key.",
            node,
            name=name,
            remedy=f"Aggregate it, as in max({name}) or take_any({name}), or put it after 'by'.",
        )
    remedy = None
    if name.lower() in ("null", "none", "nil"):
        remedy = "Test with isnull(x) or isempty(x); a null has a type, as in long(null)."
    elif name in registry.scalars() or name in registry.aggregates():
        remedy = f"{name} is a function: write {name}()."
    return binder.error(
        f"Failed to resolve column or scalar expression named '{name}'.",
        node,
        name=name,
        candidates=() if remedy else [*context.columns, *context.environment.names()],
        remedy=remedy,
    )


def _side(context: Context, node: syntax.Expression) -> Any:
    """The columns that ``$left`` or ``$right`` (or a scan step's name) stands for, if it does."""
    if isinstance(node, syntax.Name):
        if node.name == "$left":
            return context.left
        if node.name == "$right":
            return context.right
        if context.steps is not None and node.name not in context.columns:
            return context.steps.get(node.name)
    return None


def _member(binder: Binder, node: syntax.Member, context: Context) -> Expr:
    member = node.member
    side = _side(context, node.base)
    if side is not None and isinstance(member, syntax.Name):
        column: Column | None = side.get(member.name)
        if column is None:
            raise binder.error(
                f"Failed to resolve column named '{member.name}'.",
                member,
                name=member.name,
                candidates=side,
            )
        return column
    if isinstance(member, syntax.Call):
        return calls.bind_dotted(binder, node, context)
    if not isinstance(member, syntax.Name):
        raise binder.error("Wildcards are not allowed here.", node)
    scope = _of_scope(binder, node.base, member, context)
    if scope is not None:
        return scope
    base = binder.expression(node.base, context)
    return step(binder, base, member.name, node)


def _of_scope(
    binder: Binder, base: syntax.Expression, member: syntax.Name, context: Context
) -> Literal | None:
    """``X.$current_database`` and ``X.$current_cluster_endpoint`` of a scope of ``macro-expand``."""
    if not isinstance(base, syntax.Name) or base.name in context.columns:
        return None
    scope = context.environment.get(base.name)
    if not isinstance(scope, ScopeValue):
        return None
    if member.name == "$current_database":
        return Literal(KustoType.STRING, nullable=False, value=scope.database)
    if member.name == "$current_cluster_endpoint":
        return Literal(KustoType.STRING, nullable=False, value=binder.session.compile_options.cluster)
    return None


def step(binder: Binder, base: Expr, key: str | int | Expr, node: syntax.Node) -> Expr:
    """``base.key``."""
    if base.type is not KustoType.DYNAMIC:
        if base.type is KustoType.STRING:
            # A string's members are none: Kusto answers null.
            raise binder.error(
                "Path expression source must be of type dynamic, but is string.",
                node,
                code="SEM0104",
                remedy="Use parse_json() first.",
            )
        raise binder.error(
            f"Path expression source must be of type dynamic, but is {base.type}.",
            node,
            code="SEM0104",
        )
    if isinstance(base, Path):
        return replace(base, steps=(*base.steps, key))
    element = base.element if not isinstance(key, str) else None
    return Path(KustoType.DYNAMIC, base=base, steps=(key,), element=element)


def _index(binder: Binder, node: syntax.Index, context: Context) -> Expr:
    if isinstance(node.base, syntax.Call):
        outcome = calls.bind_outcome(binder, node.base, context)
        if isinstance(outcome, calls.Several):
            place = getattr(node.index, "value", None)
            if isinstance(place, int) and 0 <= place < len(outcome.values):
                return outcome.values[place][1]
            base = outcome.values[0][1]
        else:
            base = outcome
    else:
        base = binder.expression(node.base, context)
    key = binder.expression(node.index, context)
    if (
        isinstance(key, Literal)
        and isinstance(key.value, str | int)
        and key.type
        in (
            KustoType.STRING,
            KustoType.INT,
            KustoType.LONG,
        )
    ):
        return step(binder, base, key.value, node)
    if key.type is KustoType.DYNAMIC:
        key = convert(key, KustoType.STRING)
    if key.type not in (KustoType.STRING, KustoType.INT, KustoType.LONG):
        raise binder.error(f"An index must be a string or an integer, but this is {key.type}.", node.index)
    return step(binder, base, key, node)


def _unary(binder: Binder, node: syntax.Unary, context: Context) -> Expr:
    operand = binder.expression(node.operand, context)
    if node.operator == "+":
        return operand
    result = negate(operand)
    if result is None:
        raise binder.error(f"Operator '-' cannot be applied to {operand.type}.", node, code="SEM0064")
    return result


def _binary(binder: Binder, node: syntax.Binary, context: Context) -> Expr:
    if node.operator in ("and", "or"):
        return _logical(binder, node, context)
    # Chains like a + b + c lean to the left and may be long: no recursion on them.
    spine: list[syntax.Binary] = []
    current: syntax.Expression = node
    while isinstance(current, syntax.Binary) and current.operator not in ("and", "or"):
        spine.append(current)
        current = current.left
    if isinstance(current, syntax.Star):
        inner = spine.pop()
        result = strings.bind_star(binder, inner, context)
    else:
        result = binder.expression(current, context)
    while spine:
        part = spine.pop()
        result = _combine(binder, part, result, binder.expression(part.right, context), context)
    return result


def _combine(binder: Binder, node: syntax.Binary, left: Expr, right: Expr, context: Context) -> Expr:
    operator = node.operator
    if operator in _COMPARISONS:
        result = comparison(operator, left, right)
        if result is None:
            raise binder.error(
                f"Cannot compare values of types {left.type} and {right.type}.",
                node,
                code="SEM0064",
                remedy="Try adding explicit casts.",
            )
        return result
    if operator in _ARITHMETIC:
        result = arithmetic(operator, left, right)
        if result is None:
            raise binder.error(
                f"Operator '{operator}' cannot be applied to {left.type} and {right.type}.",
                node,
                code="SEM0064",
                remedy="Try adding explicit casts.",
            )
        return result
    return strings.bind_operator(binder, node, left, right, context)


def _logical(binder: Binder, node: syntax.Binary, context: Context) -> Expr:
    terms: list[Expr] = []
    stack: list[syntax.Expression] = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, syntax.Binary) and current.operator == node.operator:
            stack.append(current.right)
            stack.append(current.left)
        else:
            terms.append(binder.predicate(current, context))
    return conjunction(terms) if node.operator == "and" else disjunction(terms)


def conjunction(terms: list[Expr]) -> Expr:
    """``a and b and ...``, constants folded."""
    kept: list[Expr] = []
    for term in terms:
        if isinstance(term, And):
            kept.extend(term.terms)
        elif isinstance(term, Literal) and term.value is True:
            continue
        elif isinstance(term, Literal) and term.value is False:
            return term
        else:
            kept.append(term)
    if not kept:
        return Literal(KustoType.BOOL, nullable=False, value=True)
    if len(kept) == 1:
        return kept[0]
    return And(KustoType.BOOL, nullable=any(t.nullable for t in kept), terms=tuple(kept))


def disjunction(terms: list[Expr]) -> Expr:
    """``a or b or ...``, constants folded."""
    kept: list[Expr] = []
    for term in terms:
        if isinstance(term, Or):
            kept.extend(term.terms)
        elif isinstance(term, Literal) and term.value is False:
            continue
        elif isinstance(term, Literal) and term.value is True:
            return term
        else:
            kept.append(term)
    if not kept:
        return Literal(KustoType.BOOL, nullable=False, value=False)
    if len(kept) == 1:
        return kept[0]
    return Or(KustoType.BOOL, nullable=any(t.nullable for t in kept), terms=tuple(kept))


def _named(binder: Binder, node: syntax.NamedExpression, context: Context) -> Expr:
    return binder.expression(node.value, context)


def _star(binder: Binder, node: syntax.Star, context: Context) -> Expr:
    raise binder.error("'*' is not allowed here.", node)


def _pipe(binder: Binder, node: syntax.Pipe, context: Context) -> Expr:
    if not node.operators and isinstance(node.source, syntax.Expression):
        return binder.expression(node.source, context)
    raise binder.error(
        "A scalar expression is expected here, not a table.",
        node,
        code="SEM0006",
        remedy="Use toscalar() to take a single value from it.",
    )


def _invalid(binder: Binder, node: syntax.InvalidLiteral, context: Context) -> Expr:
    raise binder.error(f"{node.text}: {node.reason}.", node, code="SEM0011")


_HANDLERS: dict[type, Callable[[Any, Any, Context], Expr]] = {
    syntax.Literal: _literal,
    syntax.InvalidLiteral: _invalid,
    syntax.DynamicLiteral: _dynamic,
    syntax.Name: _name,
    syntax.Member: _member,
    syntax.Index: _index,
    syntax.Unary: _unary,
    syntax.Binary: _binary,
    syntax.Between: bind_between,
    syntax.Membership: bind_membership,
    syntax.Call: calls.bind_call,
    syntax.NamedExpression: _named,
    syntax.Star: _star,
    syntax.Pipe: _pipe,
}
