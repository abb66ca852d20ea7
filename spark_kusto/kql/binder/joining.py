"""``join`` and ``lookup``.

Sources: Kusto documentation, "join operator", "lookup operator". Null keys match null keys.
Columns of the right side whose name the left side has get a number: ``x1``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.binder.conversion import apply
from spark_kusto.kql.binder.expressions import conjunction
from spark_kusto.kql.binder.operators import comparable, comparison
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.plan import (
    Column,
    Expr,
    JoinNode,
    Node,
    TemplateNode,
    contains,
    references,
)
from spark_kusto.kql.registry import ANY, BOOL, DYNAMIC, STRING, ScalarRow, overload
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_KINDS = {
    "": "innerunique",
    "innerunique": "innerunique",
    "inner": "inner",
    "leftouter": "leftouter",
    "rightouter": "rightouter",
    "fullouter": "fullouter",
    "outer": "fullouter",
    "leftsemi": "leftsemi",
    "rightsemi": "rightsemi",
    "anti": "leftanti",
    "leftanti": "leftanti",
    "leftantisemi": "leftanti",
    "rightanti": "rightanti",
    "rightantisemi": "rightanti",
}


@dataclass(frozen=True)
class _Keys:
    """A bound ``on`` clause: equal pairs of left and right expressions, and other conditions."""

    pairs: tuple[tuple[Expr, Expr], ...]
    rest: tuple[Expr, ...]


@operator(syntax.Join, "join")
def _join(binder: Binder, node: syntax.Join, relation: Relation, environment: Environment) -> Relation:
    kind = _KINDS.get((node.kind or "").lower())
    if kind is None:
        raise binder.error(
            f"join: there is no kind '{node.kind}'.",
            node,
            code="SEM0001",
            name=node.kind,
            remedy=f"The kinds are {', '.join(kind for kind in _KINDS if kind)}.",
        )
    right = binder.relation(node.right, environment)
    keys = _bind_keys(binder, node.on, relation, right, environment, node)
    return join(binder, kind, relation, right, keys.pairs, keys.rest)


def join(
    binder: Binder,
    kind: str,
    left: Relation,
    right: Relation,
    pairs: Sequence[tuple[Expr, Expr]],
    rest: Sequence[Expr] = (),
) -> Relation:
    """A join of two relations over pairs of keys."""
    left, left_keys = binder.as_columns(left, [pair[0] for pair in pairs])
    right, right_keys = binder.as_columns(right, [pair[1] for pair in pairs])
    terms = [_equal(one, other) for one, other in zip(left_keys, right_keys, strict=True)] + list(rest)
    condition = conjunction(terms) if terms else None
    left_node = left.node
    if kind == "innerunique":
        left_node = _unique(left_node, left_keys)
        kind = "inner"
    if kind in ("leftsemi", "leftanti"):
        node = JoinNode("SEMI" if kind == "leftsemi" else "ANTI", left_node, right.node, condition)
        return Relation(node, left.columns)
    if kind in ("rightsemi", "rightanti"):
        node = JoinNode("SEMI" if kind == "rightsemi" else "ANTI", right.node, left_node, condition)
        return Relation(node, right.columns)
    sql = {"inner": "INNER", "leftouter": "LEFT", "rightouter": "RIGHT", "fullouter": "FULL"}[kind]
    filled: list[tuple[Column, Column]] = []
    columns = [
        *_outer(binder, left.columns, kind in ("rightouter", "fullouter"), filled),
        *_outer(binder, right.columns, kind in ("leftouter", "fullouter"), filled),
    ]
    joined = JoinNode(sql, left_node, right.node, condition, tuple(filled))
    return Relation(joined, unique_names(columns))


_SAME_KEY = ScalarRow(
    "same_key", (overload([ANY, ANY], BOOL, "({0} IS NOT DISTINCT FROM {1})", "never"),), "never"
)


def _equal(left: Expr, right: Expr) -> Expr:
    sides = comparable(left, right)
    assert sides is not None
    one, other = sides
    if one.type is other.type and one.nullable and other.nullable and one.type not in (STRING, DYNAMIC):
        # Unlike elsewhere, a null key meets a null key.
        return apply(_SAME_KEY, _SAME_KEY.overloads[0], sides)
    result = comparison("==", *sides)
    assert result is not None
    return result


def _outer(
    binder: Binder,
    columns: Sequence[tuple[str, Column]],
    is_missing: bool,
    filled: list[tuple[Column, Column]],
) -> list[tuple[str, Column]]:
    """Columns of a side; where rows may be missing there, nullable, and strings filled."""
    if not is_missing:
        return list(columns)
    made = []
    for name, column in columns:
        if column.type is KustoType.STRING:
            after = binder.column(KustoType.STRING)
            filled.append((column, after))
            made.append((name, after))
        else:
            made.append((name, replace(column, nullable=True)))
    return made


def unique_names(columns: Sequence[tuple[str, Column]]) -> tuple[tuple[str, Column], ...]:
    """Columns whose repeated names have got numbers that no other column has."""
    all_names = {name for name, _ in columns}
    used: set[str] = set()
    last: dict[str, int] = {}
    made = []
    for name, column in columns:
        if name in used:
            number = last.get(name, 0) + 1
            while f"{name}{number}" in used or f"{name}{number}" in all_names:
                number += 1
            last[name] = number
            name = f"{name}{number}"
        used.add(name)
        made.append((name, column))
    return tuple(made)


def _unique(node: Node, keys: Sequence[Column]) -> Node:
    """One row for each combination of keys."""
    ids = tuple(dict.fromkeys(key.id for key in keys))

    def write(inputs: Sequence[str], _: object, rest: Sequence[str]) -> str:
        others = [name for name in rest if name not in ids]
        if not others:
            return f"SELECT DISTINCT {', '.join(ids)} FROM {inputs[0]}"
        return f"SELECT DISTINCT ON ({', '.join(ids)}) {', '.join((*ids, *others))} FROM {inputs[0]}"

    if not ids:
        return node
    return TemplateNode((node,), (ids,), write, (), passes=True)


def _bind_keys(
    binder: Binder,
    on: Sequence[syntax.Expression],
    left: Relation,
    right: Relation,
    environment: Environment,
    node: syntax.Node,
) -> _Keys:
    if not on:
        raise binder.error("The 'on' clause is missing.", node, code="SEM0001")
    left_columns, right_columns = dict(left.columns), dict(right.columns)
    pairs: list[tuple[Expr, Expr]] = []
    rest: list[Expr] = []
    stack = list(reversed(on))
    while stack:
        item = stack.pop()
        if isinstance(item, syntax.Binary) and item.operator == "and":
            stack.extend((item.right, item.left))
            continue
        if isinstance(item, syntax.Name) and not item.name.startswith("$"):
            pairs.append(_same_name(binder, item, left, right))
            continue
        if isinstance(item, syntax.Binary) and item.operator == "==":
            pairs.append(_pair(binder, item, left_columns, right_columns, environment))
            continue
        context = Context(environment, {}, left=left_columns, right=right_columns)
        rest.append(binder.predicate(item, context))
    return _Keys(tuple(pairs), tuple(rest))


def _same_name(binder: Binder, node: syntax.Name, left: Relation, right: Relation) -> tuple[Expr, Expr]:
    first, second = left.column(node.name), right.column(node.name)
    for side, column, relation in (("left", first, left), ("right", second, right)):
        if column is None:
            raise binder.error(
                f"The {side} side of the join has no column '{node.name}'.",
                node,
                code="SEM0100",
                name=node.name,
                candidates=relation.names,
            )
    assert first is not None
    assert second is not None
    return _matching(binder, first, second, node)


def _pair(
    binder: Binder,
    node: syntax.Binary,
    left: dict[str, Column],
    right: dict[str, Column],
    environment: Environment,
) -> tuple[Expr, Expr]:
    sides: list[Expr] = []
    for part in (node.left, node.right):
        context = Context(environment, {}, left=left, right=right)
        if isinstance(part, syntax.Name):
            # A bare name is a column of the one side that has it.
            columns = {**right, **left} if not sides else {**left, **right}
            context = Context(environment, columns, left=left, right=right)
        sides.append(binder.expression(part, context))
    left_ids = {column.id for column in left.values()}
    first, second = sides
    first_left = _is_of(first, left_ids)
    second_left = _is_of(second, left_ids)
    if first_left == second_left:
        raise binder.error(
            "join: only conditions of the form $left.A == $right.B are allowed.",
            node,
            code="SEM0001",
        )
    if not first_left:
        first, second = second, first
    return _matching(binder, first, second, node)


def _is_of(expression: Expr, ids: set[str]) -> bool:
    found = references((expression,))
    return bool(found) and found <= ids


def _matching(binder: Binder, left: Expr, right: Expr, node: syntax.Node) -> tuple[Expr, Expr]:
    sides = comparable(left, right)
    if sides is None or (KustoType.DYNAMIC in (left.type, right.type) and left.type is right.type):
        raise binder.error(
            f"join: keys of types {left.type} and {right.type} cannot be compared.",
            node,
            code="SEM0064",
            remedy="Convert them to one type, for example with tostring().",
        )
    return sides


@operator(syntax.Lookup, "lookup")
def _lookup(binder: Binder, node: syntax.Lookup, relation: Relation, environment: Environment) -> Relation:
    kind = (node.kind or "leftouter").lower()
    if kind not in ("leftouter", "inner"):
        raise binder.error(f"lookup: there is no kind '{node.kind}', only leftouter and inner.", node)
    right = binder.relation(node.right, environment)
    keys = _bind_keys(binder, node.on, relation, right, environment, node)
    key_ids = {column.id for _, key in keys.pairs if isinstance(column := key, Column)}
    originals = {part.id for _, key in keys.pairs for part in _columns_in(key)}
    visible = tuple((name, column) for name, column in right.columns if column.id not in key_ids | originals)
    return join(binder, kind, relation, replace(right, columns=visible), keys.pairs, keys.rest)


def _columns_in(expression: Expr) -> list[Column]:
    found: list[Column] = []

    def test(part: Expr) -> bool:
        if isinstance(part, Column):
            found.append(part)
        return False

    contains(expression, test)
    return found
