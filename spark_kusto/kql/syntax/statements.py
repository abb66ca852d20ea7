"""Statements and the query that they make up."""

from __future__ import annotations

from dataclasses import dataclass, field

from spark_kusto.kql.syntax.base import Expression, Node, Statement
from spark_kusto.kql.syntax.expressions import (
    ColumnDeclaration,
    FunctionParameter,
    Literal,
    Name,
)
from spark_kusto.kql.syntax.operators import Property


@dataclass(frozen=True, slots=True)
class Let(Statement):
    """`let name = value`. The value is a `Function` for lambdas and views, `EntityGroup`, or any
    expression: `Pipe` if it is certainly tabular; a lone name or call may be either."""

    name: Name
    value: Expression


@dataclass(frozen=True, slots=True)
class SetOption(Statement):
    """`set name [= value]`; the value a `Literal`, or a `Name` for a bare word."""

    name: str
    value: Expression | None = None


@dataclass(frozen=True, slots=True)
class DeclareQueryParameters(Statement):
    """`declare query_parameters (a:long = 1, b:string)`."""

    parameters: tuple[FunctionParameter, ...]


@dataclass(frozen=True, slots=True)
class PatternMatch(Node):
    """`("a", "b") [.["path"]] = { query }` of a pattern declaration."""

    arguments: tuple[Expression, ...]
    path: Literal | None
    statements: tuple[Statement, ...]
    body: Expression | None


@dataclass(frozen=True, slots=True)
class DeclarePattern(Statement):
    """`declare pattern name [= (a:string)[b:string] { ... }]`.

    Without a definition `parameters` is None: the pattern is only announced, for tools.
    """

    name: Name
    parameters: tuple[ColumnDeclaration, ...] | None = None
    path_parameter: ColumnDeclaration | None = None
    matches: tuple[PatternMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class Alias(Statement):
    """`alias database name = cluster("c").database("d")`; `kind` is `database` or `cluster`."""

    kind: str
    name: Name
    target: Expression


@dataclass(frozen=True, slots=True)
class RestrictAccess(Statement):
    """`restrict access to (T, database("d").*, V*) [with (...)]`."""

    entities: tuple[Expression, ...]
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpressionStatement(Statement):
    """A query proper: always a `Pipe` if anything is piped, otherwise any expression."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class Query(Node):
    """A whole query text.

    Usually the last statement is an `ExpressionStatement`; there may be several, each of which
    gives a result, and there may be none (which binding reports).
    """

    statements: tuple[Statement, ...]
    text: str = field(default="", compare=False, repr=False)

    @property
    def results(self) -> tuple[Expression, ...]:
        """The expressions that give results, in order."""
        return tuple(
            statement.expression
            for statement in self.statements
            if isinstance(statement, ExpressionStatement)
        )
