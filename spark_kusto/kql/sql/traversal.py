"""Questions asked of whole plans: which columns they give and read, what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spark_kusto.kql.plan import (
    AggregateNode,
    And,
    Column,
    EachNode,
    Expr,
    ExtendNode,
    ExternalNode,
    FilterNode,
    GroupNode,
    InQuery,
    JoinNode,
    LimitNode,
    Node,
    PythonNode,
    RangeNode,
    ReferenceNode,
    SampleNode,
    ScalarQuery,
    ScanNode,
    SharedNode,
    TemplateNode,
    UnionNode,
    UnnestNode,
    ValuesNode,
    children,
    has_window,
    references,
)
from spark_kusto.kql.sql.substitution import substitute

_LARGE_VALUES = 64
"""Rows of a literal table from which on it is kept rather than written out again."""


def through(filters: Sequence[Expr], node: ExtendNode) -> list[Expr]:
    """Those conjuncts of filters above a node that hold below it too, over its input's columns."""
    if any(has_window(expr) for _, expr in node.items):
        return []
    renamed = {column.id: expr.id for column, expr in node.items if isinstance(expr, Column)}
    computed = {column.id for column, expr in node.items if not isinstance(expr, Column)}
    found: list[Expr] = []
    stack = list(filters)
    while stack:
        term = stack.pop()
        if isinstance(term, And):
            stack.extend(term.terms)
        elif references((term,)).isdisjoint(computed):
            found.append(substitute(term, renamed) if renamed else term)
    return found


def outputs(node: Node, asked: set[str]) -> set[str]:
    """Which of the asked columns the node gives."""
    found: set[str] = set()
    stack = [node]
    while stack:
        current = stack.pop()
        match current:
            case ScanNode():
                found.update(column.id for column in current.columns.values())
            case ExternalNode():
                found.update(column.id for _, column in current.columns)
            case ValuesNode() | UnionNode() | TemplateNode() | GroupNode():
                found.update(column.id for column in current.columns)
                if isinstance(current, TemplateNode) and current.passes:
                    stack.append(current.inputs[0])
            case RangeNode():
                found.add(current.column.id)
            case ExtendNode() | UnnestNode():
                found.update(column.id for column, _ in current.items)
                stack.append(current.input)
            case FilterNode() | LimitNode() | SampleNode():
                stack.append(current.input)
            case AggregateNode():
                found.update(column.id for column, _ in current.groups)
                found.update(column.id for column, _ in current.aggregates)
            case JoinNode():
                found.update(after.id for _, after in current.filled)
                stack.append(current.left)
                if current.kind not in ("SEMI", "ANTI"):
                    stack.append(current.right)
            case PythonNode():
                found.update(column.id for _, column in current.columns)
            case EachNode():
                found.add(current.key.id)
                found.update(column.id for column in current.columns)
            case ReferenceNode():
                found.update(column.id for column, _ in current.columns)
    return found & asked


def all_references(node: Node) -> set[str]:
    """SQL names of all columns that expressions anywhere in a plan read."""
    found: set[str] = set()
    stack = [node]
    while stack:
        current = stack.pop()
        match current:
            case FilterNode():
                found |= references((current.predicate,))
            case ExtendNode() | UnnestNode():
                found |= references(expr for _, expr in current.items)
            case AggregateNode():
                found |= references(expr for _, expr in current.groups)
                for _, call in current.aggregates:
                    found |= references(call.arguments)
                    found |= references(key.expression for key in call.order)
            case LimitNode():
                found |= references((current.count,))
                found |= references(key.expression for key in current.order)
            case JoinNode():
                if current.condition is not None:
                    found |= references((current.condition,))
                stack.extend((current.left, current.right))
                continue
            case UnionNode():
                for query, expressions in current.inputs:
                    found |= references(expressions)
                    stack.append(query)
                continue
            case TemplateNode():
                for query, wanted in zip(current.inputs, current.needs, strict=True):
                    found |= set(wanted)
                    stack.append(query)
                continue
            case ReferenceNode():
                found |= {inner for _, inner in current.columns}
                stack.append(current.shared.input)
                continue
            case _:
                continue
        stack.append(current.input)
    return found


def is_cheap(node: Node) -> bool:
    """Whether a query is better written out at each use than kept: filters and columns over a
    scan or a few literal rows."""
    while True:
        match node:
            case FilterNode():
                node = node.input
            case ExtendNode():
                if any(has_window(expr) for _, expr in node.items):
                    return False
                node = node.input
            case ScanNode():
                return True
            case ValuesNode():
                return len(node.rows) <= _LARGE_VALUES
            case _:
                return False


def nodes_within(node: Node) -> Iterator[Node]:
    """All nodes of a plan, those of subqueries in expressions included."""
    stack = [node]
    seen: set[int] = set()
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        for expression in _expressions(current):
            stack.extend(_queries(expression))
        match current:
            case FilterNode() | ExtendNode() | AggregateNode() | LimitNode() | SampleNode():
                stack.append(current.input)
            case UnnestNode():
                stack.append(current.input)
            case JoinNode():
                stack.extend((current.left, current.right))
            case UnionNode():
                stack.extend(query for query, _ in current.inputs)
            case TemplateNode():
                stack.extend(current.inputs)
            case ReferenceNode():
                stack.append(current.shared.input)
            case SharedNode():
                stack.append(current.input)
            case PythonNode():
                stack.extend(query for query, _, _ in current.inputs)
            case EachNode():
                stack.extend((current.groups[0], current.query))
                stack.extend(group.every for group, _ in current.rows)


def _expressions(node: Node) -> Iterator[Expr]:
    match node:
        case FilterNode():
            yield node.predicate
        case ExtendNode() | UnnestNode():
            yield from (expression for _, expression in node.items)
        case AggregateNode():
            yield from (expression for _, expression in node.groups)
            for _, call in node.aggregates:
                yield from call.arguments
        case LimitNode() | SampleNode():
            yield node.count
        case RangeNode():
            yield from (node.start, node.stop, node.step)
        case ValuesNode():
            for row in node.rows:
                yield from row
        case JoinNode():
            if node.condition is not None:
                yield node.condition
        case UnionNode():
            for _, expressions in node.inputs:
                yield from expressions


def _queries(expression: Expr) -> Iterator[Node]:
    """Plans of the subqueries in an expression."""
    stack = [expression]
    while stack:
        current = stack.pop()
        if isinstance(current, ScalarQuery | InQuery):
            yield current.node
        stack.extend(children(current))


def must_run_apart(node: Node, shared_from: int) -> bool:
    """Whether a subquery can't be written as SQL that reads another query's row: it has operators in
    Python, samples, or a shared query of its own (numbered from ``shared_from`` on) that is kept."""
    for current in nodes_within(node):
        if isinstance(current, PythonNode | EachNode | SampleNode):
            return True
        if isinstance(current, ReferenceNode) and current.shared.number > shared_from:
            shared = current.shared
            if shared.materialize or (shared.uses[0] > 1 and not is_cheap(shared.input)):
                return True
    return False
