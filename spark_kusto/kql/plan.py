"""The bound plan: typed expressions and relational nodes, all decided; SQL only writes them down.

Columns are identified by their SQL name (``c1``, ``c2`` ...), unique within a query. A node that
passes its input's columns on does not list them: the writer knows from above which are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from spark_kusto.kql.registry import Argument, Overload
from spark_kusto.types import KustoType

# --- expressions --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expr:
    """A scalar expression.

    Attributes:
        type: its Kusto type.
        nullable: whether it can be NULL; strings never are.
        element: for dynamic: the type of its array's items, where it is known to be one that JSON
            cannot tell (datetime, timespan, guid, decimal ...).
    """

    type: KustoType
    nullable: bool = field(default=True, kw_only=True)
    element: KustoType | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Literal(Expr):
    """A value: bool, int, float, Decimal, str, naive UTC datetime, int ticks (timespan), UUID,
    JSON text (dynamic), or None for a null of this type."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class Column(Expr):
    """A reference to a column by its SQL name."""

    id: str = ""


@dataclass(frozen=True, slots=True)
class Apply(Expr):
    """A function call, settled on one overload.

    ``nulls`` is ``propagate``, ``maybe`` or ``never``, as in the registry.
    """

    name: str = ""
    shape: Overload = field(kw_only=True)
    arguments: tuple[Expr, ...] = ()
    nulls: str = "propagate"
    stable: bool = True


@dataclass(frozen=True, slots=True)
class And(Expr):
    """``a and b and ...``"""

    terms: tuple[Expr, ...] = ()


@dataclass(frozen=True, slots=True)
class Or(Expr):
    """``a or b or ...``"""

    terms: tuple[Expr, ...] = ()


@dataclass(frozen=True, slots=True)
class Path(Expr):
    """Access into a dynamic value: ``base.a["b"][0]``. Steps are str, int, or expressions."""

    base: Expr = field(kw_only=True)
    steps: tuple[str | int | Expr, ...] = ()


@dataclass(frozen=True, slots=True)
class ScalarQuery(Expr):
    """The single value of a one-column query (``toscalar``); NULL if it has no rows."""

    node: Node = field(kw_only=True)
    column: str = ""


@dataclass(frozen=True, slots=True)
class InQuery(Expr):
    """``operand in (query)``; operand and column are already comparable."""

    operand: Expr = field(kw_only=True)
    node: Node = field(kw_only=True)
    column: str = ""
    negated: bool = False


PYTHON_WINDOW = "$python:"
"""What the template of a window function in Python begins with; the operator's name follows."""


@dataclass(frozen=True, slots=True)
class Window(Expr):
    """A window function over the input's order. ``template`` is SQL with ``{0}`` ... for the
    arguments and ``{over}`` for what stands within ``OVER ( ... )``, frames being added by it."""

    template: str = ""
    arguments: tuple[Expr, ...] = ()
    partition: tuple[Expr, ...] = ()
    order: tuple[OrderKey, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One key of an order of rows."""

    expression: Expr
    descending: bool = False
    nulls_first: bool = True


def children(expression: Expr) -> Iterable[Expr]:
    """Direct sub-expressions, those in sub-queries not included."""
    match expression:
        case Apply():
            return expression.arguments
        case And() | Or():
            return expression.terms
        case Path():
            return (expression.base, *(s for s in expression.steps if isinstance(s, Expr)))
        case InQuery():
            return (expression.operand,)
        case Window():
            keys = (key.expression for key in expression.order)
            return (*expression.arguments, *expression.partition, *keys)
    return ()


def references(expressions: Iterable[Expr]) -> set[str]:
    """SQL names of all columns that these expressions read."""
    found: set[str] = set()
    stack = list(expressions)
    while stack:
        expression = stack.pop()
        if type(expression) is Column:
            # A dotted name is a field of a lambda's parameter, not a column of a relation.
            if "." not in expression.id:
                found.add(expression.id)
        elif type(expression) is not Literal:
            stack.extend(children(expression))
    return found


def contains(expression: Expr, test: Callable[[Expr], bool]) -> bool:
    """Whether the expression or one within it passes the test."""
    stack = [expression]
    while stack:
        current = stack.pop()
        if test(current):
            return True
        stack.extend(children(current))
    return False


def written_size(expression: Expr, known: dict[int, tuple[Expr, int]]) -> int:
    """How many parts the expression has when it is written out, each as often as it is used.

    ``known`` keeps what was counted, with the expressions, whose identity is the key.
    """
    found = known.get(id(expression))
    if found is None:
        size = 1 + sum(written_size(child, known) for child in children(expression))
        found = known[id(expression)] = (expression, size)
    return found[1]


def has_window(expression: Expr) -> bool:
    """Whether there is a window function in it."""
    return contains(expression, lambda e: isinstance(e, Window))


# --- relational nodes ---------------------------------------------------------------------------


class Node:
    """A relational operator."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class ScanNode(Node):
    """A table. ``columns`` pairs its columns' names with their SQL names and types; virtual ones
    are added as they are asked for. ``rows`` is how many it has, where that is known."""

    database: str
    table: str
    kind: str
    columns: dict[str, Column]
    rows: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ExternalNode(Node):
    """``externaldata``."""

    uris: tuple[str, ...]
    format: str | None
    properties: dict[str, Any]
    columns: tuple[tuple[str, Column], ...]


@dataclass(frozen=True, slots=True, eq=False)
class ValuesNode(Node):
    """Literal rows: ``datatable``, ``print`` (one row of no columns, then extended)."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Expr, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class RangeNode(Node):
    """Longs from start to stop, both included."""

    column: Column
    start: Expr
    stop: Expr
    step: Expr


@dataclass(frozen=True, slots=True, eq=False)
class FilterNode(Node):
    """Rows for which the predicate is true."""

    input: Node
    predicate: Expr


@dataclass(frozen=True, slots=True, eq=False)
class ExtendNode(Node):
    """The input with further columns. No item reads another's column."""

    input: Node
    items: tuple[tuple[Column, Expr], ...]


@dataclass(frozen=True, slots=True, eq=False)
class AggregateNode(Node):
    """Groups and aggregates; without groups, one row. ``order`` is the input's order, for
    aggregates that depend on it (it is part of their expressions)."""

    input: Node
    groups: tuple[tuple[Column, Expr], ...]
    aggregates: tuple[tuple[Column, AggregateCall], ...]


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """An aggregate, settled on one overload."""

    name: str
    shape: Overload
    arguments: tuple[Expr, ...]
    type: KustoType
    nullable: bool = True
    element: KustoType | None = None
    order: tuple[OrderKey, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LimitNode(Node):
    """The first rows, in this order if there is one."""

    input: Node
    count: Expr
    order: tuple[OrderKey, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SampleNode(Node):
    """Random rows, at most ``count``."""

    input: Node
    count: Expr


@dataclass(frozen=True, slots=True, eq=False)
class JoinNode(Node):
    """A join. ``kind`` is SQL's: INNER, LEFT, RIGHT, FULL, SEMI, ANTI, CROSS; semi and anti joins
    keep the left side's columns. ``filled`` are string columns of a null-producing side with the
    columns that stand for them after the join (never NULL)."""

    kind: str
    left: Node
    right: Node
    condition: Expr | None
    filled: tuple[tuple[Column, Column], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class UnionNode(Node):
    """All rows of all inputs. Each input has one expression for each column."""

    columns: tuple[Column, ...]
    inputs: tuple[tuple[Node, tuple[Expr, ...]], ...]


@dataclass(frozen=True, slots=True, eq=False)
class UnnestNode(Node):
    """The input's rows once for each position in the lists, in step; short ones give NULL, rows
    whose lists are all empty vanish. Items are expressions whose SQL is a list."""

    input: Node
    items: tuple[tuple[Column, Expr], ...]


@dataclass(frozen=True, slots=True, eq=False)
class TemplateNode(Node):
    """SQL over inputs, for what the nodes above have no word for.

    ``write`` gets the inputs' SQL (each a parenthesised query) and a function that writes
    expressions, and gives a query. ``needs`` are columns that it reads, for each input; with
    ``passes`` the first input's further needed columns are asked of it too and given to
    ``write`` as a list of names.
    """

    inputs: tuple[Node, ...]
    needs: tuple[tuple[str, ...], ...]
    write: Callable[[Sequence[str], Callable[[Expr], str], Sequence[str]], str]
    columns: tuple[Column, ...]
    passes: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PythonNode(Node):
    """A Python operator: a stage of its own. ``inputs`` pair nodes with the columns handed over
    (Kusto name and column)."""

    operator: str
    inputs: tuple[tuple[Node, tuple[tuple[str, Column], ...], tuple[OrderKey, ...]], ...]
    arguments: Any
    columns: tuple[tuple[str, Column], ...]


@dataclass(frozen=True, slots=True, eq=False)
class GroupNode(Node):
    """The rows of one group, read by the query of an ``EachNode``; ``every`` are those of all groups,
    which stand for them where only a schema is asked for."""

    columns: tuple[Column, ...]
    every: Node


@dataclass(frozen=True, slots=True, eq=False)
class EachNode(Node):
    """A query that runs once for each group of rows.

    ``groups`` gives the keys in its column; ``rows`` pairs what the query reads with the key's column
    in all rows. The result has ``key`` before the query's ``columns``.
    """

    groups: tuple[Node, Column]
    rows: tuple[tuple[GroupNode, Column], ...]
    query: Node
    key: Column
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SharedNode(Node):
    """A query that may be used more than once, as ``uses[0]`` counts: a materialised CTE then, or
    if ``materialize`` says so; otherwise written in place.

    ``number`` grows: a shared query reads only those with lower numbers.
    """

    input: Node
    number: int
    materialize: bool = False
    uses: list[int] = field(default_factory=lambda: [0])


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceNode(Node):
    """One use of a shared query, its columns under names of their own: (own, shared) pairs."""

    shared: SharedNode
    columns: tuple[tuple[Column, str], ...]


def argument_of(expression: Expr, sql: str, value: Any) -> Argument:
    """What emitters see of an argument."""
    return Argument(sql, expression.type, expression.element, expression.nullable, value)
