"""Statements: ``let``, ``set``, ``declare``, ``restrict``, and the query itself."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import KqlSyntaxError, redact
from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import (
    Context,
    EntityGroupValue,
    Environment,
    FunctionValue,
    PatternValue,
    ScalarValue,
    ScopeValue,
)
from spark_kusto.kql.binder.conversion import convert
from spark_kusto.kql.binder.expressions import literal_value
from spark_kusto.kql.binder.sources import alias_key, database_of, is_tabular
from spark_kusto.kql.execution import to_json
from spark_kusto.kql.plan import Literal
from spark_kusto.kql.registry import NOT_CONSTANT
from spark_kusto.kql.sql.expressions import constant_value
from spark_kusto.types import KustoType
from spark_kusto.types.literals import literal
from spark_kusto.types.text import parse_value

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


_WHOLE = (KustoType.INT, KustoType.LONG)
_WIDER = {
    KustoType.INT: (KustoType.LONG, KustoType.REAL, KustoType.DECIMAL),
    KustoType.LONG: (KustoType.INT, KustoType.REAL, KustoType.DECIMAL),
    KustoType.REAL: (KustoType.DECIMAL,),
}
"""Types of parameters that take a literal of another type."""
_DIGITS = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|\d+)")


def bind_statement(binder: Binder, statement: syntax.Statement, environment: Environment) -> None:
    """A statement other than a query: changes the environment or the session."""
    match statement:
        case syntax.Let():
            _let(binder, statement, environment)
        case syntax.SetOption():
            _set(binder, statement)
        case syntax.DeclareQueryParameters():
            pass
        case syntax.DeclarePattern():
            _pattern(binder, statement, environment)
        case syntax.Alias():
            if statement.kind == "database":
                database = database_of(binder, statement.target, environment)
                environment.set(alias_key(statement.name.name), ScopeValue(database))
        case syntax.RestrictAccess():
            _restrict(binder, statement, environment)
        case syntax.ExpressionStatement():
            raise binder.error("A query is not allowed here.", statement)


def _let(binder: Binder, statement: syntax.Let, environment: Environment) -> None:
    name, value = statement.name.name, statement.value
    if isinstance(value, syntax.Function):
        environment.set(name, FunctionValue(name, value, environment, binder.database, binder.faults.text))
    elif isinstance(value, syntax.EntityGroup):
        environment.set(name, EntityGroupValue(value.entities))
    elif is_tabular(binder, value, environment, ()):
        relation = binder.relation(value, environment)
        environment.set(name, binder.share(relation))
    elif isinstance(value, syntax.Name) and _is_function(binder, value.name, environment):
        known = environment.get(value.name)
        assert known is not None
        environment.set(name, known)
    else:
        bound = binder.expression(value, Context(environment, {}))
        environment.set(name, ScalarValue(binder.named_value(bound, value)))


def _is_function(binder: Binder, name: str, environment: Environment) -> bool:
    return isinstance(environment.get(name), FunctionValue | EntityGroupValue)


def _set(binder: Binder, statement: syntax.SetOption) -> None:
    name = statement.name.lower()
    value: Any = True
    if isinstance(statement.value, syntax.Literal):
        value = literal_value(statement.value)
    elif isinstance(statement.value, syntax.Name):
        value = statement.value.name
    elif statement.value is not None:
        value = binder.constant(statement.value, Context(Environment(), {}), f"set {name}")
    binder.session.options[name] = value
    if name == "query_now" or name == "query_datetimenow":
        if isinstance(value, str):
            from spark_kusto.types.text import parse_datetime

            value = parse_datetime(value)
        if isinstance(value, dt.datetime):
            binder.session.now = value


def _restrict(binder: Binder, statement: syntax.RestrictAccess, environment: Environment) -> None:
    allowed: list[tuple[str, str]] = []
    named: set[str] = set()
    for entity in statement.entities:
        database, pattern = binder.database, ""
        target = entity
        if isinstance(entity, syntax.Member):
            database = database_of(binder, entity.base, environment)
            target = entity.member
        if isinstance(target, syntax.Name):
            pattern = target.name
        elif isinstance(target, syntax.WildcardName):
            pattern = target.pattern
        elif isinstance(target, syntax.Star):
            pattern = "*"
        if target is entity:
            named.add(pattern)
        allowed.append((database.lower(), pattern))
    # What is granted is the function as it is now: a later one of the same name is not.
    for name in environment.names():
        value = environment.get(name)
        if isinstance(value, FunctionValue) and any(fnmatchcase(name, pattern) for pattern in named):
            binder.session.granted.append(value)
    previous: Callable[[str, str], bool] | None = binder.session.restricted

    def visible(database: str, name: str) -> bool:
        if previous is not None and not previous(database, name):
            return False
        return any(database.lower() == where and fnmatchcase(name, pattern) for where, pattern in allowed)

    binder.session.restricted = visible


def _pattern(binder: Binder, statement: syntax.DeclarePattern, environment: Environment) -> None:
    if statement.parameters is None:
        # A pattern without matches: its references are reported, for a client to resolve.
        environment.set(statement.name.name, PatternValue((), None, (), environment))
        return
    matches = []
    for match in statement.matches:
        values = tuple(
            binder.constant(argument, Context(environment, {}), "A pattern's argument")
            for argument in match.arguments
        )
        path = None if match.path is None else str(match.path.value)
        matches.append((values, path, match.statements, match.body))
    environment.set(
        statement.name.name,
        PatternValue(
            tuple(parameter.name for parameter in statement.parameters),
            None if statement.path_parameter is None else statement.path_parameter.name,
            tuple(matches),
            environment,
        ),
    )


def bind_parameters(
    binder: Binder,
    query: syntax.Query,
    environment: Environment,
    given: Mapping[str, Any],
) -> None:
    """``declare query_parameters``: the values given, or the defaults, as variables."""
    declared: set[str] = set()
    for statement in query.statements:
        if not isinstance(statement, syntax.DeclareQueryParameters):
            continue
        for parameter in statement.parameters:
            declared.add(parameter.name)
            kind = KustoType.parse(parameter.type.scalar or "string")
            if parameter.name in given:
                value = parameter_value(binder, given[parameter.name], kind, parameter)
            elif parameter.default is not None:
                bound = binder.expression(parameter.default, Context(environment, {}))
                environment.set(parameter.name, ScalarValue(convert(bound, kind)))
                continue
            else:
                raise binder.error(
                    f"The query parameter '{parameter.name}' has no value and no default.",
                    parameter,
                    code="SEM0013",
                    remedy="Pass it with the query's parameters.",
                )
            environment.set(parameter.name, value)


def _literal_of(text: str) -> syntax.Expression | None:
    """The one literal, signed or not, that a text is; None if it is anything else."""
    from spark_kusto.kql.parser import parse

    try:
        statements = parse(f"print {text}").statements
    except KqlSyntaxError:
        return None
    only = statements[0] if len(statements) == 1 else None
    pipe = only.expression if isinstance(only, syntax.ExpressionStatement) else None
    source = pipe.source if isinstance(pipe, syntax.Pipe) and not pipe.operators else None
    if not isinstance(source, syntax.Print) or len(source.columns) != 1:
        return None
    written = source.columns[0]
    unsigned = written.operand if isinstance(written, syntax.Unary) else written
    return written if isinstance(unsigned, syntax.Literal | syntax.DynamicLiteral) else None


def _fits(value: Any, kind: KustoType) -> bool:
    """Whether a Python value is one of a type, without loss."""
    if value is None:
        return True
    if kind is KustoType.STRING:
        return isinstance(value, str)
    try:
        literal(value, kind)
        return kind not in _WHOLE or int(value) == value
    except (AttributeError, TypeError, ValueError, ArithmeticError):
        return False


def parameter_value(binder: Binder, value: Any, kind: KustoType, node: syntax.Node | None) -> ScalarValue:
    """A value passed from outside: a Python value; for types other than string also its text, as people
    write it or as a KQL literal, never an expression. A string is always itself, quotes and all."""
    from spark_kusto.kql.binder.core import Binder as BinderClass

    if isinstance(value, str) and kind is not KustoType.STRING:
        value = value.strip()
        if kind is KustoType.DYNAMIC and not value.startswith("dynamic("):
            value = f"dynamic({value})"
        text = value
        if not text:
            return binder.scalar(None, kind)
        if kind is not KustoType.DYNAMIC and not (kind in _WHOLE and not _DIGITS.fullmatch(text)):
            # What people write for a value of the type: 2024-03-02 is a day and no subtraction.
            plain = parse_value(text, kind)
            if plain is not None:
                return parameter_value(binder, plain, kind, node)
        refused = binder.error(f"'{redact(text)}' is no literal of type {kind}.", node)
        written = _literal_of(text)
        if written is None:
            raise refused
        bound = BinderClass(binder.session, "").expression(written, Context(Environment(), {}))
        if bound.type is not kind and kind not in _WIDER.get(bound.type, ()):
            raise refused
        converted = convert(bound, kind)
        moments = (KustoType.DATETIME, KustoType.TIMESPAN, KustoType.GUID)
        if constant_value(converted) is NOT_CONSTANT and kind not in moments:
            raise refused
        return ScalarValue(converted)
    if not _fits(value, kind):
        raise binder.error(f"A query parameter's value {redact(repr(value))} is no {kind}.", node)
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if kind is KustoType.DYNAMIC:
        value = to_json(value)
    elif isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(dt.timezone.utc).replace(tzinfo=None)
    elif isinstance(value, dt.timedelta):
        value = (value.days * 86_400 + value.seconds) * 10_000_000 + value.microseconds * 10
    elif kind is KustoType.REAL and isinstance(value, int):
        value = float(value)
    nullable = value is None and kind is not KustoType.STRING
    return ScalarValue(Literal(kind, nullable=nullable, value=value))
