"""Aggregates that pick rows or values: ``arg_max``, ``take_any`` and their kin.

Sources: Kusto documentation, "arg_max()", "take_any()".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.calls import Several, collect
from spark_kusto.kql.binder.context import Context
from spark_kusto.kql.binder.conversion import apply
from spark_kusto.kql.binder.naming import inferred_name
from spark_kusto.kql.plan import AggregateCall, Column, Expr
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DYNAMIC,
    STRING,
    Emission,
    ScalarRow,
    overload,
    parameter,
    repeated,
    special,
)

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


def _inner(context: Context) -> Context:
    assert context.aggregates is not None
    return context.aggregates.inner


def _by(context: Context) -> list[Expr]:
    """The expressions that ``summarize`` groups by."""
    return [expression for _, _, expression in _inner(context).naming.get("groups", ())]


# --- whole rows ----------------------------------------------------------------------------------


def _struct(texts: Sequence[str]) -> str:
    return f"{{{', '.join(f'{chr(39)}f{i}{chr(39)}: {text}' for i, text in enumerate(texts))}}}"


def _pick_extreme(function: str) -> Callable[[Emission], str]:
    def emit(call: Emission) -> str:
        by, *rest = call.sql
        row = _struct(rest)
        # Where all are null, some row is picked.
        return f"coalesce({function}({row}, {by}), first({row}))"

    return emit


_PICK = {
    "max": overload([repeated(ANY)], DYNAMIC, _pick_extreme("arg_max")),
    "min": overload([repeated(ANY)], DYNAMIC, _pick_extreme("arg_min")),
}
_PICK_ANY = overload([repeated(ANY)], DYNAMIC, lambda call: f"first({_struct(call.sql)})")

_FIELDS: dict[int, ScalarRow] = {}


def _field(struct: Column, place: int, like: Expr) -> Expr:
    row = _FIELDS.get(place)
    if row is None:
        row = _FIELDS[place] = ScalarRow("field", (overload([ANY], DYNAMIC, f"{{0}}.f{place}", "maybe"),))
    result = apply(row, row.overloads[0], (struct,))
    kind = like.type
    return replace(result, type=kind, nullable=kind is not STRING, element=like.element)


def _arg_extreme(which: str, old_names: bool = False) -> Callable[..., Several]:
    """``arg_max`` or ``arg_min``; ``old_names`` as the first version of Kusto had them."""
    extreme = overload([parameter(ANY)], DYNAMIC, f"{which}({{0}})", "maybe")

    def bind(binder: Binder, node: syntax.Call, context: Context) -> Several:
        if not node.arguments:
            raise binder.error(f"{node.name}() takes at least one argument.", node, code="SEM0219")
        inner = _inner(context)
        first, *others = node.arguments
        measure = binder.expression(first, inner)
        if measure.type is DYNAMIC:
            raise binder.error(
                f"{node.name}(): the expression to compare by is of type dynamic.",
                node,
                code="SEM0225",
                remedy="Convert it, for example with tolong() or todatetime().",
            )
        call = AggregateCall(which, extreme, (measure,), measure.type)
        value = collect(binder, call, context)
        first_name = inferred_name(first)
        shown = first_name if first_name is not None else f"{which}_"
        prefix = ""
        if old_names:
            shown = f"{which}_{first_name or ''}"
            prefix = f"{shown}_"
        values: list[tuple[str, Expr]] = [(shown, value)]
        chosen: list[tuple[str, Expr]] = []
        by = _by(context)
        star = any(isinstance(item, syntax.Star) for item in others)
        seen = {measure} if isinstance(measure, Column) else set()
        for place, item in enumerate(others, 1):
            if isinstance(item, syntax.Star):
                for name, column in inner.columns.items():
                    if column not in seen and column not in by:
                        seen.add(column)
                        chosen.append((prefix + name, column))
                continue
            bound = binder.expression(item, inner)
            if isinstance(bound, Column) and star and (bound in seen or bound in by):
                continue
            if isinstance(bound, Column):
                seen.add(bound)
            name_of = inferred_name(item)
            if name_of is None:
                name_of = f"arg{place}" if old_names else f"{which}_{first_name or ''}_arg{place}"
            chosen.append((prefix + name_of, bound))
        if chosen:
            arguments = (measure, *(expression for _, expression in chosen))
            picked = collect(binder, AggregateCall(f"arg_{which}", _PICK[which], arguments, DYNAMIC), context)
            for place, (name, expression) in enumerate(chosen):
                values.append((name, _field(picked, place, expression)))
        return Several(tuple(values))

    return bind


special("arg_max", _arg_extreme("max"), kind="aggregate")
special("arg_min", _arg_extreme("min"), kind="aggregate")
special("argmax", _arg_extreme("max", old_names=True), kind="aggregate")
special("argmin", _arg_extreme("min", old_names=True), kind="aggregate")

_ANY_VALUE = overload([parameter(ANY)], DYNAMIC, "any_value({0})", "maybe")
_ANY_TEXT = overload(
    [parameter(ANY)], DYNAMIC, "coalesce(any_value({0}) FILTER (WHERE {0} <> ''), '')", "maybe"
)
_ANY_VALUE_IF = overload(
    [parameter(ANY), parameter(BOOL)], DYNAMIC, "any_value({0}) FILTER (WHERE {1})", "maybe"
)


def _any(prefix: str, lone_prefix: str) -> Callable[..., Several]:
    def bind(binder: Binder, node: syntax.Call, context: Context) -> Several:
        if not node.arguments:
            raise binder.error(f"{node.name}() takes at least one argument.", node, code="SEM0219")
        inner = _inner(context)
        by = _by(context)
        star = any(isinstance(item, syntax.Star) for item in node.arguments)
        chosen: list[tuple[str, Expr]] = []
        seen: set[Expr] = set()
        for place, item in enumerate(node.arguments):
            if isinstance(item, syntax.Star):
                for name, column in inner.columns.items():
                    if column not in seen and column not in by:
                        seen.add(column)
                        chosen.append((name, column))
                continue
            bound = binder.expression(item, inner)
            if isinstance(bound, Column) and star and (bound in seen or bound in by):
                continue
            seen.add(bound)
            name_of = inferred_name(item)
            chosen.append((name_of if name_of is not None else f"{prefix}arg{place}", bound))
        if len(chosen) == 1:
            name, expression = chosen[0]
            shape = _ANY_TEXT if expression.type is STRING else _ANY_VALUE
            call = AggregateCall("take_any", shape, (expression,), expression.type)
            if node.name == "any" and not star:
                name = f"{lone_prefix}{'' if inferred_name(node.arguments[0]) is None else name}"
            return Several(((name, collect(binder, call, context)),))
        arguments = tuple(expression for _, expression in chosen)
        picked = collect(binder, AggregateCall("take_any", _PICK_ANY, arguments, DYNAMIC), context)
        return Several(tuple((name, _field(picked, i, e)) for i, (name, e) in enumerate(chosen)))

    return bind


special("take_any", _any("any_", ""), kind="aggregate")
special("any", _any("", "any_"), kind="aggregate")


def _any_if(prefix: str) -> Callable[..., Several]:
    def bind(binder: Binder, node: syntax.Call, context: Context) -> Several:
        if len(node.arguments) != 2:
            raise binder.error(f"{node.name}() takes a value and a predicate.", node, code="SEM0219")
        inner = _inner(context)
        value = binder.expression(node.arguments[0], inner)
        test = binder.predicate(node.arguments[1], inner)
        call = AggregateCall("take_anyif", _ANY_VALUE_IF, (value, test), value.type)
        name = f"{prefix}{inferred_name(node.arguments[0]) or ''}"
        return Several(((name, collect(binder, call, context)),))

    return bind


special("take_anyif", _any_if(""), kind="aggregate")
special("anyif", _any_if("anyif_"), kind="aggregate")
