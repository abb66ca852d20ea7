"""``parse``, ``parse-where`` and ``parse-kv``.

Source: Kusto documentation, "parse operator", "parse-kv operator". A pattern becomes one regular
expression over the whole text; in the simple and regex modes a value that is not of its column's
type spoils the whole match, in the relaxed mode it is null.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spark_kusto.kql import syntax
from spark_kusto.kql.algorithms.regex import for_re2
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.binder.conversion import apply, convert
from spark_kusto.kql.binder.expressions import conjunction, step
from spark_kusto.kql.binder.projection import Item
from spark_kusto.kql.binder.regexes import check
from spark_kusto.kql.binder.rows import extend, keep
from spark_kusto.kql.binder.strings import regex_quoted
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.plan import Column, Expr, Literal
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DYNAMIC,
    STRING,
    Emission,
    ScalarRow,
    overload,
    parameter,
)
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_NUMBERS = {
    KustoType.INT: r"[-+]?\d+",
    KustoType.LONG: r"[-+]?\d+",
    KustoType.REAL: r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?",
    KustoType.DECIMAL: r"[-+]?\d+(?:\.\d+)?",
    KustoType.BOOL: r"(?i:true|false)",
    KustoType.GUID: r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    KustoType.DATETIME: (
        r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}(?:[T ]\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[-+]\d\d:\d\d)?"
    ),
    KustoType.TIMESPAN: r"-?(?:\d+\.)?\d{1,2}:\d{1,2}(?::\d\d(?:\.\d+)?)?",
}


@dataclass(frozen=True)
class _Capture:
    name: str
    type: KustoType
    group: int


def _groups(pattern: str) -> int:
    """How many capture groups a regular expression has."""
    count, place, in_class = 0, 0, False
    while place < len(pattern):
        char = pattern[place]
        if char == "\\":
            place += 2
            continue
        if in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
            if pattern[place + 1 : place + 2] == "]":
                place += 1
        elif char == "(" and (
            pattern[place + 1 : place + 2] != "?" or pattern[place + 1 : place + 4] == "?P<"
        ):
            count += 1
        place += 1
    return count


def _pattern(binder: Binder, node: syntax.Parse, environment: Environment) -> tuple[str, list[_Capture]]:
    """The regular expression, and which of its groups is which column."""
    is_regex = (node.kind or "simple").lower() == "regex"
    # In regex mode columns are greedy and need not reach the end; the flag U turns greed around.
    any_text = ".*" if is_regex else ".*?"
    parts: list[str] = []
    captures: list[_Capture] = []
    groups = 0
    for place, element in enumerate(node.pattern):
        last = place == len(node.pattern) - 1
        if isinstance(element, syntax.Star):
            parts.append(".*?")
        elif isinstance(element, syntax.ParseColumn):
            kind = KustoType.parse(element.type or "string")
            groups += 1
            captures.append(_Capture(element.name, kind, groups))
            number = _NUMBERS.get(kind)
            if number is not None and is_regex:
                parts.append(f"(\\s*{number})")
            elif number is not None and not last:
                parts.append(f"({number}|.*?)")
            else:
                parts.append("(.*)" if last else f"({any_text})")
        else:
            text = binder.constant(element, Context(environment, {}), "A part of a parse pattern")
            text = str(text)
            if is_regex:
                check(binder, text, element, "parse")
                text = for_re2(text)
                parts.append(f"(?:{text})")
                groups += _groups(text)
            else:
                parts.append(regex_quoted(text))
    if not is_regex:
        parts.append("$")
    flags = "s"
    if node.flags:
        flags += "".join(flag for flag in node.flags if flag in "imsU" and flag != "s")
    return f"(?{flags}){''.join(parts)}", captures


def _extract_sql(call: Emission) -> str:
    names = ", ".join(f"'g{group}'" for group in range(1, int(call.arguments[2].value) + 1))
    return f"regexp_extract({call.sql[0]}, {call.sql[1]}, [{names}])"


_EXTRACT = ScalarRow(
    "parse", (overload([parameter(STRING), parameter(STRING), ANY], DYNAMIC, _extract_sql, "never"),)
)
_MATCHES = ScalarRow(
    "parse matches",
    (overload([STRING, STRING], BOOL, "regexp_matches({0}, {1})", "never"),),
)
_GROUPS: dict[int, ScalarRow] = {}
_KEEP = ScalarRow("parsed", (overload([BOOL, ANY], DYNAMIC, "CASE WHEN {0} THEN {1} END", "maybe"),))
_PRESENT = ScalarRow("present", (overload([ANY], BOOL, "({0} IS NOT NULL)", "never"),))


def _call(row: ScalarRow, *arguments: Expr) -> Expr:
    return apply(row, row.overloads[0], arguments)


def _group(struct: Column, number: int) -> Expr:
    row = _GROUPS.get(number)
    if row is None:
        row = _GROUPS[number] = ScalarRow(
            "group", (overload([ANY], STRING, f"{{0}}.g{number}", "maybe"),), "maybe"
        )
    return _call(row, struct)


@operator(syntax.Parse, "parse", "parse-where")
def _parse(binder: Binder, node: syntax.Parse, relation: Relation, environment: Environment) -> Relation:
    kind = (node.kind or "simple").lower()
    if kind not in ("simple", "regex", "relaxed"):
        raise binder.error(f"parse: there is no kind '{node.kind}'.", node)
    source = convert(binder.expression(node.expression, binder.row_context(relation, environment)), STRING)
    pattern, captures = _pattern(binder, node, environment)
    text = Literal(STRING, nullable=False, value=pattern)
    most = max((capture.group for capture in captures), default=0)
    relation, made = binder.as_columns(relation, [source])
    source = made[0]
    values: list[Expr] = []
    if captures:
        count = Literal(KustoType.LONG, nullable=False, value=most)
        relation, made = binder.as_columns(relation, [_call(_EXTRACT, source, text, count)])
        values = [convert(_group(made[0], c.group), c.type) for c in captures]
    typed = [place for place, capture in enumerate(captures) if capture.type is not STRING]
    strict = kind != "relaxed" and bool(typed)
    if strict or node.filtering:
        relation, columns = binder.as_columns(relation, values)
        tests: list[Expr] = [_call(_PRESENT, columns[place]) for place in typed] if strict else []
        if node.filtering and (not strict):
            tests.append(_call(_MATCHES, source, text))
        values = list(columns)
        if node.filtering:
            relation = keep(binder, relation, conjunction(tests))
        else:
            relation, made = binder.as_columns(relation, [conjunction(tests)])
            values = [_kept(made[0], column) for column in columns]
    items = [Item(capture.name, value, True, node) for capture, value in zip(captures, values, strict=True)]
    return extend(binder, relation, items)


def _kept(test: Expr, column: Column) -> Expr:
    shape = _KEEP.overloads[0]
    result = apply(_KEEP, shape, (test, column))
    return replace(result, type=column.type, nullable=column.type is not STRING, nulls="maybe")  # type: ignore[call-arg]


_PARSE_KV = "$parse_kv"


@operator(syntax.ParseKv, "parse-kv")
def _parse_kv(binder: Binder, node: syntax.ParseKv, relation: Relation, environment: Environment) -> Relation:
    from spark_kusto.kql.binder.calls import call_row
    from spark_kusto.kql.execution import to_json
    from spark_kusto.kql.registry import python_row

    source = convert(binder.expression(node.expression, binder.row_context(relation, environment)), STRING)
    options: dict[str, Any] = {"keys": [column.name for column in node.columns]}
    for entry in node.properties:
        value = entry.value
        if isinstance(value, syntax.Name):
            options[entry.name.lower()] = value.name
        else:
            options[entry.name.lower()] = binder.constant(
                value, Context(environment, {}), f"The property '{entry.name}' of parse-kv"
            )
    known = {
        "keys",
        "pair_delimiter",
        "kv_delimiter",
        "quote",
        "escape",
        "greedy",
        "regex",
    }
    for name in options:
        if name not in known:
            raise binder.error(f"parse-kv has no property '{name}'.", node, name=name, candidates=known)
    if isinstance(options.get("regex"), str):
        check(binder, options["regex"], node, "parse-kv")
    settings = Literal(STRING, nullable=False, value=to_json(options))
    bag = call_row(binder, python_row(_PARSE_KV), [source, settings], node)
    assert isinstance(bag, Expr)
    relation, made = binder.as_columns(relation, [bag])
    items = []
    for column in node.columns:
        value_of = step(binder, made[0], column.name, node)
        kind = KustoType.parse(column.type or "string")
        items.append(Item(column.name, convert(value_of, kind), True, node))
    return extend(binder, relation, items)
