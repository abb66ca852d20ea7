"""What names mean while binding: variables, columns in scope, relations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from spark_kusto.kql.plan import AggregateCall, Column, Expr, Node, OrderKey, SharedNode
from spark_kusto.kql.syntax import Expression, Function, Statement


@dataclass(frozen=True)
class Relation:
    """A bound tabular expression.

    Attributes:
        columns: Kusto name and column, in order; names are unique.
        order: the order of rows, most significant key first; keys are columns. Empty if none.
        serialized: whether window functions may be used on it.
        name: what ``withsource`` calls it.
        graph: what ``make-graph`` left, for graph operators; None otherwise.
        visualization: properties of ``render``.
        outputs: further results (``fork``, ``facet``), of which this relation is the first.
    """

    node: Node
    columns: tuple[tuple[str, Column], ...]
    order: tuple[OrderKey, ...] = ()
    serialized: bool = False
    name: str = ""
    graph: Any = None
    visualization: Mapping[str, Any] | None = None
    outputs: tuple[tuple[str, Relation], ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [name for name, _ in self.columns]

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for known, column in self.columns if known == name), None)


@dataclass(frozen=True)
class ScalarValue:
    """A scalar variable, parameter or constant."""

    expression: Expr


@dataclass(frozen=True)
class TableValue:
    """A tabular variable: its columns as the shared query has them."""

    shared: SharedNode
    relation: Relation
    view: bool = False


@dataclass(frozen=True)
class FunctionValue:
    """A user-defined function, ``let`` or stored.

    ``environment`` is where its body's free names are looked up; ``stored`` says that it is of the
    database, not of ``let``.
    """

    name: str
    function: Function
    environment: Environment
    database: str
    text: str
    stored: bool = False


@dataclass(frozen=True)
class EntityGroupValue:
    """An entity group: databases (and clusters) to expand over."""

    entities: tuple[Expression, ...]


@dataclass(frozen=True)
class ScopeValue:
    """A database in which names can be looked up: ``alias database``, ``macro-expand``."""

    database: str


@dataclass(frozen=True)
class PatternValue:
    """A declared pattern: parameter names, and the bodies by argument values."""

    parameters: tuple[str, ...]
    path_parameter: str | None
    matches: tuple[tuple[tuple[Any, ...], str | None, tuple[Statement, ...], Expression | None], ...]
    environment: Environment


Value = ScalarValue | TableValue | FunctionValue | EntityGroupValue | ScopeValue | PatternValue


class Environment:
    """Variables by name, with an enclosing environment."""

    __slots__ = ("_names", "parent")

    def __init__(self, parent: Environment | None = None) -> None:
        self.parent = parent
        self._names: dict[str, Value] = {}

    def get(self, name: str) -> Value | None:
        """The innermost meaning of a name."""
        environment: Environment | None = self
        while environment is not None:
            found = environment._names.get(name)
            if found is not None:
                return found
            environment = environment.parent
        return None

    def set(self, name: str, value: Value) -> None:
        """Give a name its meaning here."""
        self._names[name] = value

    def names(self) -> Iterator[str]:
        """All names that can be seen."""
        environment: Environment | None = self
        while environment is not None:
            yield from environment._names
            environment = environment.parent

    def tables(self) -> Iterator[tuple[str, TableValue]]:
        """Tabular variables that wildcards see: views first."""
        environment: Environment | None = self
        seen: set[str] = set()
        while environment is not None:
            for name, value in environment._names.items():
                if name not in seen:
                    seen.add(name)
                    if isinstance(value, TableValue):
                        yield name, value
            environment = environment.parent


@dataclass
class AggregateCollector:
    """Aggregates met while binding expressions of ``summarize`` and the like.

    ``inner`` is where their arguments stand.
    """

    inner: Context
    calls: list[tuple[Column, AggregateCall]] = field(default_factory=list)


@dataclass(frozen=True)
class Context:
    """Where an expression stands.

    Attributes:
        environment: variables.
        columns: columns in scope, by name.
        aggregates: collects aggregate calls where these are allowed, else None.
        relation: the operator's input, for order-dependent functions; None in print and the like.
        left, right: the sides of a join.
        outer: columns of an enclosing row, seen after ``columns`` (subqueries of ``mv-apply``).
        texts: all columns' texts as one, where it is at hand.
        search: columns that ``*`` stands for in string predicates; None if it may not be used.
        steps: columns of ``scan`` steps by step name.
        windows: whether window functions are allowed here.
        paths: variable-length edges of a graph pattern by name.
    """

    environment: Environment
    columns: Mapping[str, Column]
    aggregates: AggregateCollector | None = None
    relation: Relation | None = None
    left: Mapping[str, Column] | None = None
    right: Mapping[str, Column] | None = None
    outer: Mapping[str, Column] | None = None
    texts: Expr | None = None
    search: bool = False
    steps: Mapping[str, Mapping[str, Column]] | None = None
    windows: bool = False
    paths: Mapping[str, Any] | None = None
    naming: dict[str, Any] = field(default_factory=dict)
