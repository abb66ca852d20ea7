"""``in``, ``has_any``, ``has_all``, ``between`` and their negations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context
from spark_kusto.kql.binder.conversion import TO_FUNCTION, apply, convert
from spark_kusto.kql.binder.operators import arithmetic, comparable, comparison
from spark_kusto.kql.binder.strings import has_sql, negated, regex_quoted, term_edges, text_operator
from spark_kusto.kql.plan import Expr, InQuery, Literal
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DECIMAL,
    DYNAMIC,
    INT,
    LONG,
    REAL,
    STRING,
    Argument,
    Emission,
    ScalarRow,
    overload,
    parameter,
    repeated,
    scalars,
)
from spark_kusto.kql.sql.literals import string
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


def _in(call: Emission) -> str:
    test = f"({call.sql[0]} IN ({', '.join(call.sql[1:])}))"
    if call.filter_position or not call.arguments[0].nullable:
        return test
    return f"coalesce({test}, false)"


def _in_ignoring_case(call: Emission) -> str:
    items = [
        string(argument.value.lower()) if isinstance(argument.value, str) else f"lower({argument.sql})"
        for argument in call.arguments[1:]
    ]
    return f"(lower({call.sql[0]}) IN ({', '.join(items)}))"


def _items(call: Emission, array: str, function: str = "json_extract_string") -> str:
    """SQL of the items of a dynamic array; any other value stands for an array of it."""
    items = f"{function}({{a}}, '$[*]')::VARCHAR[]"
    return call.once(
        f"CASE WHEN starts_with({{a}}, '[') THEN {items} ELSE [{function}({{a}}, '$')::VARCHAR] END", a=array
    )


def _of_kind(call: Emission, item: str) -> str:
    """SQL of an item, which is JSON text, as a value of the type of the call's first argument, NULL if
    it cannot be compared with one. What is a bool counts as a long."""
    kind = call.types[0]
    row = scalars()[TO_FUNCTION[kind]]
    assert isinstance(row, ScalarRow)
    convert_text = row.overloads[0].sql
    assert not isinstance(convert_text, str)
    text = Argument(f"json_extract_string({item}, '$')", STRING, None, True)
    of_text = convert_text(Emission(row.name, (text,), kind, python=call.python, fresh=call.fresh))
    number = truth = ""
    if kind is REAL or kind is DECIMAL:
        number = f" ELSE TRY_CAST({item} AS {kind.duckdb})"
    elif kind is LONG or kind is BOOL:
        real = f"TRY_CAST({item} AS DOUBLE)"
        truth = f" WHEN {item} IN ('true', 'false') THEN ({item} = 'true')::BIGINT"
        number = (
            f" WHEN regexp_matches({item}, '^-?[0-9]+$') THEN TRY_CAST({item} AS BIGINT)"
            f" WHEN {real} = trunc({real}) THEN TRY_CAST({real} AS BIGINT)"
        )
        of_text = f"({of_text})::BIGINT"
    return f"CASE WHEN starts_with({item}, '\"') THEN {of_text}{truth}{number} END"


def _in_array(call: Emission) -> str:
    value, array = call.sql
    kind = call.types[0]
    if kind is STRING:
        items = _items(call, array)
        if call.name == "in~ array":
            word = call.fresh()
            items, value = f"list_transform({items}, lambda {word}: lower({word}))", f"lower({value})"
    else:
        item = call.fresh()
        items = (
            f"list_transform({_items(call, array, 'json_extract')}, lambda {item}: {_of_kind(call, item)})"
        )
        value = f"{value}::BIGINT" if kind is BOOL else value
    return f"coalesce(list_contains({items}, {value}), false)"


def _has_any(call: Emission) -> str:
    text, needles = call.sql[0], call.arguments[1:]
    words = [str(needle.value) for needle in needles]
    if "" in words:
        return "true"
    if len(words) <= 6:
        return f"({' OR '.join(has_sql(text, word, False) for word in words)})"
    tests = [f"regexp_matches({text}, {string(pattern)}, 'is')" for pattern in _patterns_of(words)]
    return tests[0] if len(tests) == 1 else f"({' OR '.join(tests)})"


_LONGEST = 5000
"""Characters of words in one pattern: RE2 matches longer ones a hundred times slower."""


def _patterns_of(words: Sequence[str]) -> Iterator[str]:
    """Patterns that together match any of the words as a term. Words share what stands before and
    after them: each class of Unicode letters takes RE2 milliseconds to read."""
    alike: dict[tuple[str, str], list[str]] = {}
    for word in dict.fromkeys(words):
        alike.setdefault(term_edges(word), []).append(word)
    for (head, tail), group in alike.items():
        part: list[str] = []
        length = 0
        for word in group:
            if part and length + len(word) > _LONGEST:
                yield f"{head}(?:{'|'.join(part)}){tail}"
                part, length = [], 0
            part.append(regex_quoted(word))
            length += len(word)
        yield f"{head}(?:{'|'.join(part)}){tail}"


def _has_all(call: Emission) -> str:
    text = call.sql[0]
    words = [str(needle.value) for needle in call.arguments[1:]]
    return f"({' AND '.join(has_sql(text, word, False) for word in words)})"


def _has_in_array(call: Emission) -> str:
    value, array = call.sql
    function = "list_bool_or" if call.name == "has_any array" else "list_bool_and"
    word = call.fresh()
    pattern = (
        f"'(?is)' || CASE WHEN regexp_matches({word}, '^[\\pL\\pN]') THEN '(?:^|[^\\pL\\pN])' ELSE '' END"
        f" || regexp_escape({word})"
        f" || CASE WHEN regexp_matches({word}, '[\\pL\\pN]$') THEN '(?:$|[^\\pL\\pN])' ELSE '' END"
    )
    tests = f"list_transform({_items(call, array)}, lambda {word}: regexp_matches({value}, {pattern}))"
    # Each of no words is there.
    return f"coalesce({function}({tests}), {'true' if call.name == 'has_all array' else 'false'})"


def _row(name: str, emit: Any, *parameters: Any) -> ScalarRow:
    return ScalarRow(name, (overload(list(parameters), BOOL, emit, "never"),), "never")


_IN = _row("in", _in, parameter(ANY), repeated(ANY))
_IN_TILDE = _row("in~", _in_ignoring_case, parameter(STRING), repeated(STRING))
_IN_ARRAY = _row("in array", _in_array, parameter(ANY), parameter(DYNAMIC))
_IN_TILDE_ARRAY = _row("in~ array", _in_array, parameter(STRING), parameter(DYNAMIC))
_HAS_ANY = _row("has_any", _has_any, parameter(STRING), repeated(STRING))
_HAS_ALL = _row("has_all", _has_all, parameter(STRING), repeated(STRING))
_HAS_ANY_ARRAY = _row("has_any array", _has_in_array, parameter(STRING), parameter(DYNAMIC))
_HAS_ALL_ARRAY = _row("has_all array", _has_in_array, parameter(STRING), parameter(DYNAMIC))


def _call(row: ScalarRow, *arguments: Expr) -> Expr:
    return apply(row, row.overloads[0], arguments)


def literal_of(value: Any) -> Literal:
    """A literal of a JSON value: string, long, real or bool, dynamic for the rest."""
    if isinstance(value, bool):
        return Literal(KustoType.BOOL, nullable=False, value=value)
    if isinstance(value, int):
        return Literal(KustoType.LONG, nullable=False, value=value)
    if isinstance(value, float):
        return Literal(KustoType.REAL, nullable=False, value=value)
    if isinstance(value, str):
        return Literal(KustoType.STRING, nullable=False, value=value)
    text = None if value is None else json.dumps(value)
    return Literal(KustoType.DYNAMIC, nullable=value is None, value=text)


def bind_membership(binder: Binder, node: syntax.Membership, context: Context) -> Expr:
    """``operand in (items)`` and its like."""
    from spark_kusto.kql.binder.expressions import disjunction

    operator = node.operator
    negative = operator.startswith("!")
    base = operator.lstrip("!")
    if isinstance(node.operand, syntax.Star):
        terms = [
            _membership(binder, node, base, convert(column, STRING), context)
            for column in context.columns.values()
        ]
        result = disjunction(terms) if terms else literal_of(False)
    else:
        operand = binder.expression(node.operand, context)
        result = _membership(binder, node, base, operand, context)
    return negated(result) if negative else result


def _membership(binder: Binder, node: syntax.Membership, base: str, operand: Expr, context: Context) -> Expr:
    from spark_kusto.kql.binder.expressions import disjunction
    from spark_kusto.kql.binder.sources import is_tabular

    if base in ("has_any", "has_all", "in~"):
        operand = convert(operand, STRING)
    scalars: list[Expr] = []
    parts: list[Expr] = []
    for item in node.items:
        if is_tabular(binder, item, context.environment, context.columns):
            parts.append(_in_query(binder, base, operand, item, context))
            continue
        bound = binder.expression(item, context)
        if bound.type is DYNAMIC and isinstance(bound, Literal):
            value = None if bound.value is None else json.loads(bound.value)
            values = value if isinstance(value, list) else [] if value is None else [value]
            scalars.extend(literal_of(entry) for entry in values)
        elif bound.type is DYNAMIC and (base != "in" or operand.type is not DYNAMIC):
            parts.append(_in_dynamic(base, operand, bound))
        else:
            scalars.append(bound)
    if scalars:
        parts.append(_in_scalars(binder, node, base, operand, scalars))
    if not parts:
        return literal_of(base == "has_all")
    if base == "has_all" and len(parts) > 1:
        from spark_kusto.kql.binder.expressions import conjunction

        return conjunction(parts)
    return disjunction(parts)


def _in_dynamic(base: str, operand: Expr, array: Expr) -> Expr:
    rows = {
        "in": _IN_ARRAY,
        "in~": _IN_TILDE_ARRAY,
        "has_any": _HAS_ANY_ARRAY,
        "has_all": _HAS_ALL_ARRAY,
    }
    if base != "in":
        operand = convert(operand, STRING)
    elif operand.type is INT:
        operand = convert(operand, LONG)
    return _call(rows[base], operand, array)


def _in_scalars(binder: Binder, node: syntax.Membership, base: str, operand: Expr, items: list[Expr]) -> Expr:
    if base == "in~":
        return _call(_IN_TILDE, operand, *(convert(item, STRING) for item in items))
    if base in ("has_any", "has_all"):
        texts = [convert(item, STRING) for item in items]
        if all(isinstance(text, Literal) for text in texts):
            return _call(_HAS_ANY if base == "has_any" else _HAS_ALL, operand, *texts)
        from spark_kusto.kql.binder.expressions import conjunction, disjunction

        tests = [text_operator("has", operand, text) for text in texts]
        return disjunction(tests) if base == "has_any" else conjunction(tests)
    if operand.type is DYNAMIC:
        # Compared as what the items are.
        kind = items[0].type if all(i.type is items[0].type for i in items) else STRING
        if kind is not DYNAMIC:
            operand = convert(operand, kind)
    taken: list[Expr] = []
    for item in items:
        sides = comparable(operand, item)
        if sides is None and isinstance(item, Literal) and item.value is None:
            continue
        if sides is None:
            if item.type is STRING or operand.type is STRING:
                sides = (operand, convert(item, operand.type))
            else:
                raise binder.error(
                    f"Cannot compare values of types {operand.type} and {item.type}.",
                    node,
                    code="SEM0064",
                    remedy="Try adding explicit casts.",
                )
        if sides[0].type is not operand.type:
            operand = sides[0]
            taken = [convert(known, operand.type) for known in taken]
        if isinstance(sides[1], Literal) and sides[1].value is None:
            continue
        taken.append(sides[1])
    if not taken:
        return literal_of(False)
    if len(taken) == 1:
        test = comparison("==", operand, taken[0])
        assert test is not None
        return test
    return _call(_IN, operand, *taken)


def _in_query(binder: Binder, base: str, operand: Expr, item: syntax.Expression, context: Context) -> Expr:
    relation = binder.relation(item, context.environment)
    if not relation.columns:
        return literal_of(False)
    column: Expr = relation.columns[0][1]
    if base in ("has_any", "has_all"):
        from spark_kusto.kql.binder.subqueries import as_array

        rows = {"has_any": _HAS_ANY_ARRAY, "has_all": _HAS_ALL_ARRAY}
        return _call(rows[base], operand, as_array(binder, relation))
    if column.type is DYNAMIC and operand.type is not DYNAMIC:
        column = convert(column, operand.type)
    elif base == "in~":
        column = convert(column, STRING)
    if base == "in~":
        operand, column = _lowered(operand), _lowered(column)
    else:
        sides = comparable(operand, column)
        if sides is None:
            raise binder.error(
                f"Cannot compare values of types {operand.type} and {column.type}.",
                item,
                code="SEM0064",
                remedy="Try adding explicit casts.",
            )
        operand, column = sides
    relation, columns = binder.as_columns(relation, [column])
    return InQuery(BOOL, nullable=False, operand=operand, node=relation.node, column=columns[0].id)


_LOWER = ScalarRow("tolower", (overload([STRING], STRING, "lower({0})"),))


def _lowered(expression: Expr) -> Expr:
    return _call(_LOWER, expression)


def _between(call: Emission) -> str:
    value, low, high = call.sql
    return f"({value} BETWEEN {low} AND {high})"


_BETWEEN = ScalarRow("between", (overload([ANY, ANY, ANY], BOOL, _between),))


def bind_between(binder: Binder, node: syntax.Between, context: Context) -> Expr:
    """``operand between (low .. high)``; a timespan as high counts from low."""
    operand = binder.expression(node.operand, context)
    low = binder.expression(node.low, context)
    high = binder.expression(node.high, context)
    if high.type is KustoType.TIMESPAN and low.type is KustoType.DATETIME:
        shifted = arithmetic("+", low, high)
        assert shifted is not None
        high = shifted
    first = comparable(operand, low)
    second = comparable(operand, high)
    if first is None or second is None:
        other = low if first is None else high
        raise binder.error(
            f"Cannot compare values of types {operand.type} and {other.type}.",
            node,
            code="SEM0064",
            remedy="Try adding explicit casts.",
        )
    if first[0].type is second[0].type:
        result = _call(_BETWEEN, first[0], first[1], second[1])
    else:
        from spark_kusto.kql.binder.expressions import conjunction

        above, below = comparison(">=", operand, low), comparison("<=", operand, high)
        assert above is not None
        assert below is not None
        result = conjunction([above, below])
    return negated(result) if node.negated else result
