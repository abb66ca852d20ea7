"""Texts of queries and commands for a remote cluster: appended to, bounded by cursors, with parameters.

Nothing of a user's value ever becomes part of a text except as a literal of its type.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spark_kusto import kql
from spark_kusto.errors import KqlSyntaxError, OptionError, UnsupportedError, nearest
from spark_kusto.kql import syntax
from spark_kusto.types import Column, KustoType
from spark_kusto.types.json_text import dumps
from spark_kusto.types.literals import kusto_type_of_value, literal, name_literal, string_literal
from spark_kusto.types.text import timespan_text

__all__ = [
    "TableQuery",
    "appendable",
    "columns_text",
    "name_literal",
    "request_options",
    "request_parameters",
    "string_literal",
    "table_query",
    "with_literals",
]

_ROW_WISE = (
    syntax.Where,
    syntax.Project,
    syntax.ProjectAway,
    syntax.ProjectKeep,
    syntax.ProjectRename,
    syntax.ProjectReorder,
    syntax.ProjectByNames,
    syntax.Extend,
    syntax.Parse,
    syntax.ParseKv,
)
_NEVER_MORE = (
    *_ROW_WISE,
    syntax.Take,
    syntax.Top,
    syntax.Sort,
    syntax.Summarize,
    syntax.Distinct,
    syntax.Count,
)


def _parsed(text: str) -> syntax.Query | None:
    """The tree of a query; None where this package's grammar does not know it, and the service may."""
    try:
        return kql.parse(text)
    except KqlSyntaxError:
        return None


def appendable(text: str) -> str:
    """A query to which operators can be appended: without what ends it, and without a last ``render``."""
    parsed = _parsed(text)
    if parsed is None or not parsed.statements:
        return text.rstrip().rstrip(";").rstrip()
    last = parsed.statements[-1]
    end = last.span.end
    if isinstance(last, syntax.ExpressionStatement) and isinstance(last.expression, syntax.Pipe):
        operators = last.expression.operators
        if operators and isinstance(operators[-1], syntax.Render):
            before = operators[-2] if len(operators) > 1 else last.expression.source
            end = before.span.end
    return text[:end].rstrip()


# -- one table --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableQuery:
    """A query over one table of its own database.

    Attributes:
        text: the query.
        table: the table's name.
        end: where in the text the table's name ends.
        is_row_wise: each row of the answer comes of one row of the table.
        is_bounded: the answer has no more rows than the table.
    """

    text: str
    table: str
    end: int
    is_row_wise: bool
    is_bounded: bool

    def between(self, after: str | None, until: str | None) -> str:
        """The query over those rows of the table that came after one cursor and not after another."""
        bounds = []
        if after is not None:
            bounds.append(f"cursor_after({string_literal(after)})")
        if until is not None:
            bounds.append(f"cursor_before_or_at({string_literal(until)})")
        if not bounds:
            return self.text
        return f"{self.text[: self.end]}\n| where {' and '.join(bounds)}{self.text[self.end :]}"


def table_query(text: str) -> TableQuery | None:
    """What a query reads, where that is one table by its bare name; None for any other query."""
    parsed = _parsed(text)
    if parsed is None or not parsed.statements:
        return None
    *before, last = parsed.statements
    if not isinstance(last, syntax.ExpressionStatement):
        return None
    named = {s.name.name for s in before if isinstance(s, syntax.Let)}
    if not all(isinstance(s, syntax.Let | syntax.SetOption | syntax.DeclareQueryParameters) for s in before):
        return None
    expression: syntax.Node = last.expression
    operators: Sequence[Any] = ()
    if isinstance(expression, syntax.Pipe):
        operators = expression.operators
        expression = expression.source
    if not isinstance(expression, syntax.Name) or expression.name in named:
        return None
    return TableQuery(
        text,
        expression.name,
        expression.span.end,
        all(isinstance(operator, _ROW_WISE) for operator in operators),
        all(isinstance(operator, _NEVER_MORE) for operator in operators),
    )


def require_table(text: str, what: str, *, row_wise: bool = True) -> TableQuery:
    """The same, or an error.

    Args:
        what: for the error, what reads so.
        row_wise: whether each row of the answer must come of one row of the table.

    Raises:
        UnsupportedError: the query is more than filters and projections over one table.
    """
    found = table_query(text)
    if found is None or not (found.is_row_wise if row_wise else found.is_bounded):
        raise UnsupportedError(
            f"{what} takes filters and projections over one table; this query does more.",
            feature="cursors over other queries",
            remedy="Read the table, and aggregate, join or sort in Spark.",
        )
    return found


# -- parameters and properties ----------------------------------------------------------------------


def _declared(text: str) -> dict[str, KustoType]:
    parsed = _parsed(text)
    found: dict[str, KustoType] = {}
    for statement in () if parsed is None else parsed.statements:
        if isinstance(statement, syntax.DeclareQueryParameters):
            for parameter in statement.parameters:
                if parameter.type is not None and parameter.type.scalar:
                    found[parameter.name] = KustoType.parse(parameter.type.scalar)
    return found


def _typed(text: str, parameters: Mapping[str, object]) -> dict[str, tuple[Any, KustoType]]:
    declared = _declared(text)
    typed: dict[str, tuple[Any, KustoType]] = {}
    for name, value in parameters.items():
        kind = declared.get(name)
        if kind is None and declared:
            close = nearest(name, declared)
            raise OptionError(
                f"The query declares no parameter '{name}'.",
                remedy=f"Did you mean '{close}'?" if close else f"It declares {', '.join(declared)}.",
            )
        try:
            typed[name] = (value, kind or kusto_type_of_value(value))
        except TypeError as error:
            raise OptionError(f"The query parameter '{name}' has no Kusto type: {error}.") from None
    return typed


def _literal(name: str, value: Any, kind: KustoType) -> str:
    if kind is KustoType.DYNAMIC:
        return f"dynamic({value if isinstance(value, str) else dumps(value)})"
    try:
        return literal(value, kind)
    except (TypeError, ValueError, ArithmeticError):
        raise OptionError(
            f"The query parameter '{name}' is {value!r}, which is no {kind.value}.",
            remedy=f"Give a value of the declared type, {kind.value}.",
        ) from None


def request_parameters(text: str, parameters: Mapping[str, object] | None) -> dict[str, str]:
    """Values for ``declare query_parameters`` as a request carries them: texts of literals.

    Raises:
        OptionError: a parameter is not declared, or its value is not of the declared type.
    """
    made = {}
    for name, (value, kind) in _typed(text, parameters or {}).items():
        # The service takes a string's text as it is, and parses all else as literals of the declared type.
        made[name] = str(value) if kind is KustoType.STRING else _literal(name, value, kind)
    return made


def with_literals(text: str, parameters: Mapping[str, object] | None) -> str:
    """A query whose parameters are let statements, for commands, which take no parameters.

    Raises:
        OptionError: a parameter is not declared or not given, its value is not of the declared type, or the
            query is one that this version cannot read.
    """
    parsed = _parsed(text)
    if parsed is None:
        if parameters:
            raise OptionError(
                "The query has parameters, and is exported; this version cannot read it to put them in.",
                remedy="Read it with readMode ForceSingleMode, or write the values into the query.",
            )
        return text
    typed = _typed(text, parameters or {})
    for statement in reversed(parsed.statements):
        if not isinstance(statement, syntax.DeclareQueryParameters):
            continue
        lets = []
        for parameter in statement.parameters:
            if parameter.name in typed:
                value, kind = typed[parameter.name]
                if kind is KustoType.STRING:
                    shown = string_literal(str(value))
                elif kind is KustoType.DYNAMIC and isinstance(value, str):
                    # Text that is to be JSON: inside a literal no character of it ends the statement.
                    shown = f"parse_json({string_literal(value)})"
                else:
                    shown = _literal(parameter.name, value, kind)
            elif parameter.default is not None:
                shown = text[parameter.default.span.start : parameter.default.span.end]
            else:
                raise OptionError(
                    f"The query parameter '{parameter.name}' has no value.",
                    remedy="Give one in queryParametersJson.",
                )
            lets.append(f"let {parameter.name} = {shown}")
        text = text[: statement.span.start] + ";\n".join(lets) + text[statement.span.end :]
    return text


_NOT_OPTIONS = frozenset(
    {"clientrequestid", "client_request_id", "x-ms-client-request-id", "application", "user"}
)


def request_options(properties: Mapping[str, object] | None) -> dict[str, Any]:
    """Client request properties as the service takes them: names in lower case, spans as text."""
    made: dict[str, Any] = {}
    for name, value in (properties or {}).items():
        folded = name.lower()
        if folded in _NOT_OPTIONS:
            continue
        if isinstance(value, dt.timedelta):
            made[folded] = timespan_text(int(value / dt.timedelta(microseconds=1)) * 10)
        elif isinstance(value, dt.datetime):
            made[folded] = value.isoformat()
        elif folded == "servertimeout" and isinstance(value, int | float) and not isinstance(value, bool):
            made[folded] = timespan_text(int(value * 10_000_000))
        else:
            made[folded] = value
    return made


def columns_text(columns: Sequence[Column]) -> str:
    """Columns as ``.create table`` takes them."""
    return ", ".join(f"{name_literal(column.name)}:{column.type.value}" for column in columns)
