"""Function calls: built-in, user-defined, stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_kusto.errors import UnsupportedError
from spark_kusto.kql import registry, syntax
from spark_kusto.kql.binder.context import (
    Context,
    Environment,
    FunctionValue,
    Relation,
    ScalarValue,
)
from spark_kusto.kql.binder.conversion import apply, choose, convert, fitted
from spark_kusto.kql.binder.regexes import check_call
from spark_kusto.kql.plan import AggregateCall, Column, Expr, Literal
from spark_kusto.kql.registry import (
    NOT_CONSTANT,
    AggregateRow,
    RefusedRow,
    ScalarRow,
    SpecialRow,
)
from spark_kusto.kql.sql.expressions import constant_value
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_MOST_NESTED = 64
_MOST_CALLS = 10_000


@dataclass(frozen=True)
class Several:
    """A call with several values, each with the name of its column."""

    values: tuple[tuple[str, Expr], ...]


Outcome = Expr | Several


def bind_call(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    """A call as a single value: the first one where there are several."""
    outcome = bind_outcome(binder, node, context)
    if isinstance(outcome, Several):
        return outcome.values[0][1]
    return outcome


def bind_outcome(binder: Binder, node: syntax.Call, context: Context) -> Outcome:
    """A call, with all its values."""
    name = node.name
    value = context.environment.get(name)
    if isinstance(value, FunctionValue):
        return bind_user_scalar(binder, value, node, context)
    if context.aggregates is not None:
        aggregate = registry.aggregates().get(name)
        if aggregate is not None:
            return _aggregate(binder, aggregate, node, context)
    row = registry.scalars().get(name)
    if row is not None:
        check_call(binder, node, context)
        if isinstance(row, ScalarRow):
            return _scalar(binder, row, node, context)
        if isinstance(row, SpecialRow):
            outcome: Outcome = row.bind(binder, node, context)
            return outcome
        raise refusal(row)
    stored = stored_function(binder, name)
    if stored is not None:
        return bind_user_scalar(binder, stored, node, context)
    if name in registry.aggregates():
        raise binder.error(
            f"Function '{name}' cannot be invoked in the current context.",
            node,
            code="SEM0079",
            remedy="Aggregate functions belong into summarize, make-series and the like.",
        )
    raise unknown_function(binder, node, context.environment)


def unknown_function(binder: Binder, node: syntax.Call, environment: Environment) -> Exception:
    """The error for a name that no function has."""
    candidates = [
        *registry.scalars(),
        *registry.aggregates(),
        *binder.session.catalog.function_names(binder.database),
        *(n for n in environment.names() if isinstance(environment.get(n), FunctionValue)),
    ]
    lowered = {name.lower(): name for name in candidates}
    if node.name.lower() in lowered:
        right = lowered[node.name.lower()]
        return binder.error(
            f"Unknown function: '{node.name}'.",
            node,
            code="SEM0260",
            remedy=f"Names are case-sensitive: did you mean '{right}'?",
        )
    return binder.error(
        f"Unknown function: '{node.name}'.",
        node,
        code="SEM0260",
        name=node.name,
        candidates=candidates,
    )


def refusal(row: RefusedRow) -> UnsupportedError:
    """The error for a name that is known and refused."""
    return UnsupportedError(f"{row.name}() is not supported: {row.reason}", feature=row.name)


def bind_arguments(binder: Binder, node: syntax.Call, context: Context) -> list[Expr]:
    """The arguments of a call, each a single value."""
    return [binder.expression(argument, context) for argument in node.arguments]


def _scalar(binder: Binder, row: ScalarRow, node: syntax.Call, context: Context) -> Outcome:
    arguments = bind_arguments(binder, node, context)
    return call_row(binder, row, arguments, node)


def call_row(binder: Binder, row: ScalarRow, arguments: Sequence[Expr], node: syntax.Node | None) -> Outcome:
    """A call of a registry's row."""
    shape = choose(row.overloads, arguments)
    if shape is None:
        raise wrong_arguments(binder, row, arguments, node)
    taken = fitted(shape, arguments)
    for place, argument in enumerate(taken):
        wanted = shape.parameters[min(place, len(shape.parameters) - 1)]
        if wanted.constant and not isinstance(argument, Literal):
            value = constant_value(argument)
            if value is NOT_CONSTANT:
                from spark_kusto.kql.binder.constants import evaluate
                from spark_kusto.kql.execution import to_json

                what = f"Argument {place + 1} of {row.name}()"
                value = evaluate(binder, argument, node, what)
                if argument.type is KustoType.DYNAMIC:
                    value = to_json(value)
                literal = Literal(argument.type, nullable=value is None, value=value)
                taken = (*taken[:place], literal, *taken[place + 1 :])
    result = apply(row, shape, taken)
    if row.fields:
        return several_of(binder, row, result)
    return result


def several_of(binder: Binder, row: ScalarRow, result: Expr) -> Several:
    """The fields of a function that gives several values as one array."""
    from spark_kusto.kql.binder.expressions import step

    values = []
    for place, (suffix, kind) in enumerate(row.fields):
        item = step(binder, result, place, syntax.Star())
        values.append((suffix, convert(item, kind)))
    return Several(tuple(values))


def wrong_arguments(
    binder: Binder,
    row: ScalarRow | AggregateRow,
    arguments: Sequence[Expr],
    node: syntax.Node | None,
) -> Exception:
    """The error for arguments that fit no overload, with the signature."""
    # Internal rows are named as the function that they are part of, with a $ before.
    name, signature = row.name.lstrip("$"), row.signature().lstrip("$")
    least = min(shape.least for shape in row.overloads)
    mosts = [shape.most for shape in row.overloads]
    most = None if None in mosts else max(m for m in mosts if m is not None)
    count = len(arguments)
    if count < least or (most is not None and count > most):
        wanted = str(least) if least == most else f"{least} to {most if most is not None else 'many'}"
        return binder.error(
            f"{name}(): {count} argument(s) given, {wanted} expected.",
            node,
            code="SEM0219",
            remedy=f"Its signature is {signature}.",
        )
    given = ", ".join(argument.type.value for argument in arguments)
    return binder.error(
        f"{name}() cannot take arguments of types ({given}).",
        node,
        code="SEM0225",
        remedy=f"Its signature is {signature}.",
    )


def _aggregate(
    binder: Binder,
    row: AggregateRow | SpecialRow | RefusedRow,
    node: syntax.Call,
    context: Context,
) -> Outcome:
    if isinstance(row, RefusedRow):
        raise refusal(row)
    if isinstance(row, SpecialRow):
        outcome: Outcome = row.bind(binder, node, context)
        return outcome
    assert context.aggregates is not None
    arguments = bind_arguments(binder, node, context.aggregates.inner)
    return aggregate_call(binder, row, arguments, node, context)


def aggregate_call(
    binder: Binder,
    row: AggregateRow,
    arguments: Sequence[Expr],
    node: syntax.Node | None,
    context: Context,
) -> Column:
    """An aggregate, collected; the column that stands for its result."""
    shape = choose(row.overloads, arguments)
    if shape is None:
        raise wrong_arguments(binder, row, arguments, node)
    taken = fitted(shape, arguments)
    returns = shape.returns
    kind = returns if isinstance(returns, KustoType) else returns(tuple(a.type for a in taken))
    element = None
    if row.element is not None:
        element = row.element(
            [registry.Argument("", a.type, a.element, a.nullable, constant_value(a)) for a in taken]
        )
    nulls = shape.nulls or row.nulls
    assert context.aggregates is not None
    relation = context.aggregates.inner.relation
    order = relation.order if relation is not None and row.by_order else ()
    call = AggregateCall(row.name, shape, taken, kind, nulls != "never", element, order)
    return collect(binder, call, context)


def collect(binder: Binder, call: AggregateCall, context: Context) -> Column:
    """Put an aggregate among those to compute, once for equal ones."""
    assert context.aggregates is not None
    for column, known in context.aggregates.calls:
        if known == call:
            return column
    column = binder.column(call.type, nullable=call.nullable, element=call.element)
    context.aggregates.calls.append((column, call))
    return column


# --- user-defined functions ---------------------------------------------------------------------


def stored_function(binder: Binder, name: str, database: str | None = None) -> FunctionValue | None:
    """A stored function as a value."""
    from spark_kusto.kql.binder.stored import load_function

    return load_function(binder, name, database or binder.database)


def bind_user_scalar(binder: Binder, value: FunctionValue, node: syntax.Call, context: Context) -> Expr:
    """A call of a user-defined function that gives a scalar."""
    inner, environment = enter(binder, value, node, context.environment, context)
    body = value.function.body
    assert body is not None
    from spark_kusto.kql.binder.sources import is_tabular

    binder.session.depth += 1
    try:
        if is_tabular(inner, body, environment, {}):
            raise binder.error(
                f"Function '{value.name}' returns a table, but a scalar is expected here.",
                node,
                code="SEM0006",
                remedy="Use toscalar() to take a single value from it.",
            )
        return inner.named_value(inner.expression(body, Context(environment, {})), body)
    finally:
        binder.session.depth -= 1


def enter(
    binder: Binder,
    value: FunctionValue,
    node: syntax.Call,
    caller: Environment,
    context: Context | None,
    first: Relation | None = None,
) -> tuple[Binder, Environment]:
    """Bind a call's arguments and the body's statements.

    Args:
        first: the piped-in first argument of ``invoke``.

    Returns:
        The binder and the environment for the body.
    """
    from spark_kusto.kql.binder.core import Binder as BinderClass
    from spark_kusto.kql.binder.statements import bind_statement

    if binder.session.depth > _MOST_NESTED:
        raise binder.error(
            f"Function '{value.name}' is nested too deeply; functions cannot be recursive.", node
        )
    binder.session.calls += 1
    if binder.session.calls > _MOST_CALLS:
        raise binder.error(
            f"Written out, the query's functions call one another more than {_MOST_CALLS:,} times.",
            node,
            remedy="Give what is called twice a name with let, and materialize() it where it is a table.",
        )
    function = value.function
    if function.body is None:
        raise binder.error(f"Function '{value.name}' has no body.", node)
    inner = BinderClass(
        binder.session,
        value.text,
        value.database,
        unrestricted=binder.unrestricted or _granted(binder, value),
    )
    environment = Environment(value.environment)
    given = [a for a in node.arguments if not isinstance(a, syntax.NamedExpression)]
    named = {a.name: a.value for a in node.arguments if isinstance(a, syntax.NamedExpression)}
    parameters = list(function.parameters)
    if first is not None:
        if not parameters or not parameters[0].type.is_tabular:
            raise binder.error(f"invoke: the first parameter of '{value.name}' must be tabular.", node)
        environment.set(parameters[0].name, binder.share(_checked(binder, parameters[0], first, node)))
        parameters = parameters[1:]
    if len(given) > len(parameters):
        raise binder.error(
            f"{value.name}(): {len(given)} argument(s) given, {len(parameters)} expected.",
            node,
            code="SEM0219",
        )
    positional = iter(given)
    for parameter in parameters:
        argument: syntax.Expression | None
        if parameter.name in named:
            argument = named.pop(parameter.name)
        else:
            argument = next(positional, None)
        if argument is None and parameter.default is None:
            raise binder.error(
                f"{value.name}(): the argument for parameter '{parameter.name}' is missing.",
                node,
                code="SEM0219",
            )
        if parameter.type.is_tabular:
            assert argument is not None
            relation = binder.relation(argument, caller)
            relation = _checked(binder, parameter, relation, argument)
            environment.set(parameter.name, binder.share(relation))
            continue
        if argument is None:
            assert parameter.default is not None
            bound = inner.expression(parameter.default, Context(value.environment, {}))
        else:
            bound = binder.expression(argument, context or Context(caller, {}))
        kind = parameter.type.scalar
        if kind is not None:
            bound = _as_parameter(binder, bound, KustoType.parse(kind), value, parameter, node)
        environment.set(parameter.name, ScalarValue(bound))
    if named:
        wrong = next(iter(named))
        raise binder.error(f"{value.name}() has no parameter '{wrong}'.", node, name=wrong)
    for statement in function.statements:
        bind_statement(inner, statement, environment)
    return inner, environment


def _granted(binder: Binder, value: FunctionValue) -> bool:
    """Whether ``restrict access`` names this function, so that its body may read what it reads."""
    if binder.session.restricted is None:
        return False
    if value.stored:
        return binder.may_see(value.database, value.name)
    return any(value is known for known in binder.session.granted)


def _as_parameter(
    binder: Binder,
    bound: Expr,
    kind: KustoType,
    value: FunctionValue,
    parameter: syntax.FunctionParameter,
    node: syntax.Node,
) -> Expr:
    from spark_kusto.kql.binder.conversion import IMPOSSIBLE, conversion_cost

    if bound.type is kind:
        return bound
    if conversion_cost(bound, registry.parameter(kind)) >= IMPOSSIBLE and kind is not KustoType.DYNAMIC:
        raise binder.error(
            f"{value.name}(): parameter '{parameter.name}' is of type {kind},"
            f" but the argument is of type {bound.type}.",
            node,
            code="SEM0225",
        )
    return convert(bound, kind)


def _checked(
    binder: Binder, parameter: syntax.FunctionParameter, relation: Relation, node: syntax.Node
) -> Relation:
    """A tabular argument, which must have the parameter's declared columns; it may have more."""
    declared = parameter.type.columns or ()
    if parameter.type.open and not declared:
        return relation
    for wanted in declared:
        column = relation.column(wanted.name)
        if column is None:
            raise binder.error(
                f"The table given for parameter '{parameter.name}' has no column '{wanted.name}'.",
                node,
                name=wanted.name,
                candidates=relation.names,
            )
        if wanted.type is not None and column.type is not KustoType.parse(wanted.type):
            raise binder.error(
                f"Column '{wanted.name}' of the table given for parameter '{parameter.name}' must be"
                f" of type {wanted.type}, but is {column.type}.",
                node,
                code="SEM0225",
            )
    return relation


def bind_dotted(binder: Binder, node: syntax.Member, context: Context) -> Expr:
    """``database("d").f(1)`` as a scalar."""
    from spark_kusto.kql.binder.sources import database_of

    call = node.member
    assert isinstance(call, syntax.Call)
    database = database_of(binder, node.base, context.environment)
    stored = stored_function(binder, call.name, database)
    if stored is None:
        raise binder.error(
            f"There is no function '{call.name}' in database '{database}'.",
            call,
            code="SEM0260",
            name=call.name,
            candidates=binder.session.catalog.function_names(database),
        )
    return bind_user_scalar(binder, stored, call, context)
