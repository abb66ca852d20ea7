"""The binder: resolves names and types, expression by expression, operator by operator."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import (
    Context,
    Environment,
    FunctionValue,
    Relation,
    ScalarValue,
    TableValue,
)
from spark_kusto.kql.binder.errors import Faults
from spark_kusto.kql.binder.naming import inferred_name
from spark_kusto.kql.catalog import Catalog
from spark_kusto.kql.compiled import CompiledQuery, CompileOptions
from spark_kusto.kql.plan import (
    Column,
    Expr,
    ExtendNode,
    Literal,
    Node,
    ReferenceNode,
    SharedNode,
    written_size,
)
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_PARTS = 300_000

Probe = Callable[[CompiledQuery], "pa.Table"]


@dataclass
class Session:
    """What is the same for a whole query.

    Attributes:
        database: the database in scope.
        now: the instant that ``now()`` gives throughout, naive UTC.
        probe: runs a compiled query and gives its first result, columns by Kusto name.
        options: ``set`` statements.
        restricted: names that ``restrict access`` leaves visible, or None.
        granted: functions of ``let`` that ``restrict access`` names: what they read stays theirs to read.
        open_views: tables whose own query is being bound.
        correlated: how many subqueries are being bound that read another query's row.
        calls: how many calls of functions of the query's own were bound.
        sizes: of expressions that have names, see ``written_size``.
    """

    catalog: Catalog
    database: str
    now: dt.datetime
    probe: Probe | None = None
    compile_options: CompileOptions = field(default_factory=CompileOptions)
    options: dict[str, Any] = field(default_factory=dict)
    restricted: Any = None
    granted: list[FunctionValue] = field(default_factory=list)
    column_number: int = 0
    shared_number: int = 0
    depth: int = 0
    row_numbers: set[str] = field(default_factory=set)
    open_views: set[tuple[str, str]] = field(default_factory=set)
    correlated: int = 0
    calls: int = 0
    sizes: dict[int, tuple[Expr, int]] = field(default_factory=dict)


class RowsNeededError(Exception):
    """A part of a subquery that reads another query's row would have to run by itself."""


class Binder:
    """Binds the syntax of one text.

    A stored function's body is another text, bound by another ``Binder`` in the same session.

    Args:
        session: shared by all texts of a query.
        text: for the places in error messages.
        database: where unqualified names are looked up; the session's by default.
        unrestricted: whether ``restrict access`` does not hold: in bodies of functions that it names.
    """

    def __init__(
        self, session: Session, text: str, database: str | None = None, *, unrestricted: bool = False
    ) -> None:
        self.session = session
        self.database = database or session.database
        self.unrestricted = unrestricted
        self.faults = Faults(text)

    def may_see(self, database: str, name: str) -> bool:
        """Whether ``restrict access`` leaves a table, view or function visible."""
        restricted = self.session.restricted
        return self.unrestricted or restricted is None or bool(restricted(database, name))

    # --- errors -----------------------------------------------------------------------------

    def error(
        self,
        message: str,
        node: syntax.Node | None = None,
        *,
        code: str = "SEM0100",
        name: str | None = None,
        candidates: Iterable[str] = (),
        remedy: str | None = None,
    ) -> KqlSemanticError:
        """A semantic error, to be raised."""
        return self.faults.error(message, node, code=code, name=name, candidates=candidates, remedy=remedy)

    # --- columns ----------------------------------------------------------------------------

    def column(self, kind: KustoType, *, nullable: bool = True, element: KustoType | None = None) -> Column:
        """A new column."""
        self.session.column_number += 1
        if kind is KustoType.STRING:
            nullable = False
        return Column(kind, nullable=nullable, element=element, id=f"c{self.session.column_number}")

    def column_like(self, expression: Expr) -> Column:
        """A new column for an expression's value."""
        return self.column(expression.type, nullable=expression.nullable, element=expression.element)

    def as_columns(self, relation: Relation, expressions: Sequence[Expr]) -> tuple[Relation, list[Column]]:
        """The relation with these expressions as columns of its node; none that is one already."""
        items: list[tuple[Column, Expr]] = []
        columns: list[Column] = []
        for expression in expressions:
            if isinstance(expression, Column):
                columns.append(expression)
            else:
                column = self.column_like(expression)
                items.append((column, expression))
                columns.append(column)
        if items:
            relation = replace(relation, node=ExtendNode(relation.node, tuple(items)))
        return relation, columns

    # --- contexts ---------------------------------------------------------------------------

    def row_context(self, relation: Relation, environment: Environment, **fields: Any) -> Context:
        """The context of an operator's expressions."""
        return Context(environment, dict(relation.columns), relation=relation, **fields)

    # --- expressions ------------------------------------------------------------------------

    def expression(self, node: syntax.Expression, context: Context) -> Expr:
        """A scalar expression."""
        from spark_kusto.kql.binder.expressions import bind

        return bind(self, node, context)

    def predicate(self, node: syntax.Expression, context: Context) -> Expr:
        """A boolean expression."""
        from spark_kusto.kql.binder.conversion import convert

        bound = self.expression(node, context)
        if bound.type is KustoType.BOOL:
            return bound
        if bound.type in (KustoType.DYNAMIC, KustoType.INT, KustoType.LONG):
            return convert(bound, KustoType.BOOL)
        raise self.error(
            f"A predicate must be of type bool, but this expression is of type {bound.type}.",
            node,
            code="SEM0079",
        )

    def constant(self, node: syntax.Expression, context: Context, what: str) -> Any:
        """The value of a constant expression (as ``Argument.value``), computed if need be."""
        from spark_kusto.kql.binder.constants import evaluate

        return evaluate(self, self.expression(node, context), node, what)

    def name_of(self, node: syntax.Expression) -> str | None:
        """The inferred name of an unnamed expression."""
        return inferred_name(node)

    def named_value(self, expression: Expr, node: syntax.Node) -> Expr:
        """An expression that a name or a call stands for, and so may be used many times.

        Raises:
            KqlSemanticError: written out it has become too large, as doubling upon doubling makes it.
        """
        if written_size(expression, self.session.sizes) > _MOST_PARTS:
            raise self.error(
                f"Written out, this expression has more than {_MOST_PARTS:,} parts.",
                node,
                remedy="Compute parts of it with extend before, or with toscalar().",
            )
        return expression

    # --- relations --------------------------------------------------------------------------

    def relation(self, node: syntax.Expression | syntax.Operator, environment: Environment) -> Relation:
        """A tabular expression."""
        from spark_kusto.kql.binder.sources import bind_relation

        return bind_relation(self, node, environment)

    def operator(self, operator: syntax.Operator, relation: Relation, environment: Environment) -> Relation:
        """One operator over its input."""
        from spark_kusto.kql.binder.tabular import apply_operator

        return apply_operator(self, operator, relation, environment)

    def pipe(
        self, relation: Relation, operators: Sequence[syntax.Operator], environment: Environment
    ) -> Relation:
        """Operators one after another."""
        for operator in operators:
            relation = self.operator(operator, relation, environment)
        return relation

    def share(self, relation: Relation, materialize: bool = False) -> TableValue:
        """The relation as a variable that can be used several times."""
        self.session.shared_number += 1
        shared = SharedNode(relation.node, self.session.shared_number, materialize)
        return TableValue(shared, relation)

    def use(self, value: TableValue) -> Relation:
        """One use of a tabular variable, with columns of its own."""
        value.shared.uses[0] += 1
        columns: list[tuple[Column, str]] = []
        known: dict[str, Column] = {}

        def own(column: Column) -> Column:
            found = known.get(column.id)
            if found is None:
                found = known[column.id] = self.column_like(column)
                columns.append((found, column.id))
            return found

        relation = value.relation
        visible = tuple((name, own(column)) for name, column in relation.columns)
        order = tuple(
            replace(key, expression=own(key.expression))
            for key in relation.order
            if isinstance(key.expression, Column)
        )
        return replace(
            relation, node=ReferenceNode(value.shared, tuple(columns)), columns=visible, order=order
        )

    def select(self, relation: Relation, columns: Sequence[tuple[str, Column]]) -> Relation:
        """The relation with these columns visible."""
        return replace(relation, columns=tuple(columns))

    def scalar(self, value: Any, kind: KustoType) -> ScalarValue:
        """A constant as a variable."""
        nullable = value is None and kind is not KustoType.STRING
        return ScalarValue(Literal(kind, nullable=nullable, value=value))

    # --- running parts ----------------------------------------------------------------------

    def probe(
        self, node: Node, columns: Mapping[str, Column], what: str, at: syntax.Node | None = None
    ) -> pa.Table:
        """Run part of the query now, because what follows depends on the data."""
        from spark_kusto.kql.sql.stages import BoundResult, PlanWriter

        if self.session.correlated:
            raise RowsNeededError
        if self.session.probe is None:
            raise self.error(
                f"{what} depends on the data, which cannot be read here.",
                at,
                remedy="Declare the schema, or run the query on a cluster.",
            )
        result = BoundResult("probe", node, tuple(columns.items()))
        compiled = PlanWriter().compile((result,), self.session.options)
        return self.session.probe(compiled)
