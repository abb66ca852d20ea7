"""Binding of ``scan``; ``functions.scanning`` runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_kusto.errors import UnsupportedError
from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.binder.conversion import convert
from spark_kusto.kql.binder.joining import unique_names
from spark_kusto.kql.binder.making import declared_columns
from spark_kusto.kql.binder.rows import order_keys
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.functions.scanning import KNOWN, ScanPlan, Step, Term
from spark_kusto.kql.plan import (
    And,
    Apply,
    Column,
    Expr,
    Literal,
    Node,
    Or,
    OrderKey,
    PythonNode,
    children,
    contains,
)
from spark_kusto.kql.registry import LONG
from spark_kusto.kql.sql.expressions import ExpressionWriter
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


class _Lowering:
    """Turns bound expressions into terms; what reads no state becomes a column of the input."""

    def __init__(self, states: Mapping[str, tuple[int, str, Term | None]]) -> None:
        self.states = states
        self.columns: list[Expr] = []

    def term(self, expression: Expr) -> Term:
        """The term of an expression."""
        if isinstance(expression, Literal):
            return Term("literal", expression.type, value=expression.value)
        if not self._reads_state(expression):
            return self._column(expression)
        if isinstance(expression, Column):
            step, name, default = self.states[expression.id]
            value = default.value if default is not None else None
            return Term("state", expression.type, name, value, step)
        arguments = tuple(self.term(part) for part in children(expression))
        if isinstance(expression, And | Or):
            kind = "and" if isinstance(expression, And) else "or"
            return Term(kind, expression.type, arguments=arguments)
        if isinstance(expression, Apply) and expression.name in KNOWN and self._plain(expression):
            return Term("call", expression.type, expression.name, arguments=arguments)
        if isinstance(expression, Apply):
            return self._sql(expression, arguments)
        raise UnsupportedError(
            "scan: this expression over the state of a step is not supported.", feature="scan"
        )

    @staticmethod
    def _plain(call: Apply) -> bool:
        """Whether Python's operator means the same."""
        kinds = {argument.type for argument in call.arguments}
        if KustoType.DECIMAL in kinds or KustoType.DYNAMIC in kinds:
            return call.name in ("isnull", "isnotnull", "case", "coalesce")
        return not (call.name == "*" and call.type is KustoType.TIMESPAN and KustoType.REAL in kinds)

    def _reads_state(self, expression: Expr) -> bool:
        return contains(expression, lambda e: isinstance(e, Column) and e.id in self.states)

    def _column(self, expression: Expr) -> Term:
        if expression not in self.columns:
            self.columns.append(expression)
        return Term("column", expression.type, f"$scan{self.columns.index(expression)}")

    @staticmethod
    def _sql(call: Apply, arguments: tuple[Term, ...]) -> Term:
        def no_query(node: Node, columns: object) -> str:
            raise UnsupportedError("scan: queries within steps are not supported.", feature="scan")

        writer = ExpressionWriter(no_query)
        names = [f"a{place}" for place in range(len(arguments))]
        inputs = tuple(
            argument
            if isinstance(argument, Literal)
            else Column(argument.type, nullable=argument.nullable, element=argument.element, id=name)
            for name, argument in zip(names, call.arguments, strict=True)
        )
        text = writer.write(replace(call, arguments=inputs))
        chosen = [
            (name, argument)
            for name, argument, given in zip(names, call.arguments, inputs, strict=True)
            if isinstance(given, Column)
        ]
        listed = ", ".join(
            f"$p{place}::{argument.type.duckdb} AS {name}" for place, (name, argument) in enumerate(chosen)
        )
        source = f" FROM (SELECT {listed})" if listed else ""
        taken = tuple(
            term for term, given in zip(arguments, inputs, strict=True) if isinstance(given, Column)
        )
        functions = tuple(writer.functions.values())
        return Term("sql", call.type, f"SELECT {text}{source}", arguments=taken, functions=functions)


@operator(syntax.Scan, "scan")
def _scan(binder: Binder, node: syntax.Scan, relation: Relation, environment: Environment) -> Relation:
    if node.order_by:
        relation, order = order_keys(binder, node.order_by, relation, environment)
        relation = replace(relation, order=order, serialized=True)
    if not relation.serialized:
        raise binder.error(
            "scan needs rows whose order is defined.",
            node,
            code="SEM0083",
            remedy="Sort the rows, or add '| serialize', before.",
        )
    declared = declared_columns(binder, node.declarations)
    constant = Context(environment, {})
    defaults: dict[str, Term] = {}
    for declaration, (name, column) in zip(node.declarations, declared, strict=True):
        value: Expr
        if declaration.default is None:
            empty = "" if column.type is KustoType.STRING else None
            value = Literal(column.type, nullable=empty is None, value=empty)
        else:
            value = convert(binder.expression(declaration.default, constant), column.type)
            if not isinstance(value, Literal):
                found = binder.constant(declaration.default, constant, f"The default of '{name}'")
                value = convert(Literal(column.type, nullable=found is None, value=found), column.type)
        assert isinstance(value, Literal)
        defaults[name] = Term("literal", column.type, value=value.value)
    visible = [*relation.columns, *declared]
    states: dict[str, tuple[int, str, Term | None]] = {}
    steps: dict[str, dict[str, Column]] = {}
    for place, item in enumerate(node.steps):
        own: dict[str, Column] = {}
        for name, column in visible:
            state = replace(column, nullable=True, id=f"s{place}.{column.id}")
            states[state.id] = (place, name, defaults.get(name))
            own[name] = state
        steps[item.name] = own
    context = Context(environment, dict(relation.columns), steps=steps)
    lowering = _Lowering(states)
    types = {name: column.type for name, column in declared}
    bound: list[Step] = []
    for item in node.steps:
        condition = lowering.term(binder.predicate(item.condition, context))
        assignments = []
        for assignment in item.assignments:
            target = assignment.column.name
            if target not in types:
                raise binder.error(
                    f"scan: '{target}' is not among the declared columns.",
                    assignment,
                    name=target,
                    candidates=types,
                )
            value = convert(binder.expression(assignment.value, context), types[target])
            assignments.append((target, lowering.term(value)))
        output = (item.output or "all").lower()
        bound.append(Step(condition, tuple(assignments), output, item.optional))
    partition = [binder.expression(by, context) for by in node.partition_by]
    relation, made = binder.as_columns(relation, [*lowering.columns, *partition])
    handed = list(relation.columns)
    extra = [(f"$scan{place}", column) for place, column in enumerate(made)]
    keys = tuple(f"$scan{len(lowering.columns) + place}" for place in range(len(partition)))
    plan = ScanPlan(
        tuple(relation.names),
        tuple((name, column.type, defaults[name]) for name, column in declared),
        tuple(bound),
        keys,
        node.with_match_id is not None,
    )
    outputs = [(name, binder.column_like(column)) for name, column in relation.columns]
    outputs.extend((name, binder.column(column.type)) for name, column in declared)
    match, number = binder.column(LONG, nullable=False), binder.column(LONG, nullable=False)
    python = PythonNode(
        "scan",
        ((relation.node, (*handed, *extra), relation.order),),
        plan,
        (*outputs, ("$match", match), ("$row", number)),
    )
    columns = list(outputs)
    if node.with_match_id is not None:
        columns.append((node.with_match_id, match))
    order = (OrderKey(number, False, True),)
    return Relation(python, unique_names(columns), order, serialized=True)
