"""``search`` and ``find``: predicates over many tables.

Sources: Kusto documentation, "search operator", "find operator".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.binder.conversion import convert
from spark_kusto.kql.binder.expressions import conjunction, disjunction
from spark_kusto.kql.binder.rows import keep
from spark_kusto.kql.binder.strings import all_texts, in_any, negated, search_operator, search_term
from spark_kusto.kql.binder.tabular import operator, source
from spark_kusto.kql.binder.unions import matching_tables, tables_of, union
from spark_kusto.kql.plan import Expr, Literal
from spark_kusto.kql.registry import DYNAMIC, STRING
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_FALSE = Literal(KustoType.BOOL, nullable=False, value=False)


def _in_any(context: Context, needle: Literal, case_sensitive: bool) -> Expr:
    """The text stands as a term in some column."""
    text = str(needle.value)
    if text in ("", "*"):
        return Literal(KustoType.BOOL, nullable=False, value=True)
    columns = list(context.columns.values())
    operator_name = search_operator(text)
    if case_sensitive and operator_name == "has":
        operator_name = "has_cs"
    if operator_name is not None:
        word = Literal(STRING, nullable=False, value=text.strip("*"))
        found = in_any(operator_name, context.texts or all_texts(columns), word)
        if found is not None:
            return found
    tests = [search_term(convert(column, STRING), needle) for column in columns]
    return disjunction(tests) if tests else _FALSE


def search_predicate(binder: Binder, node: syntax.Expression, context: Context, case_sensitive: bool) -> Expr:
    """A predicate of ``search`` over one table: lone texts are looked for in all columns, and what
    names a column that the table has not is false."""

    def go(part: syntax.Expression) -> Expr:
        return search_predicate(binder, part, context, case_sensitive)

    if isinstance(node, syntax.Binary) and node.operator in ("and", "or"):
        terms = [go(node.left), go(node.right)]
        return conjunction(terms) if node.operator == "and" else disjunction(terms)
    if isinstance(node, syntax.Star):
        return Literal(KustoType.BOOL, nullable=False, value=True)
    if isinstance(node, syntax.Literal):
        text = "" if node.value is None else str(node.value)
        needle = Literal(STRING, nullable=False, value=text)
        return _in_any(context, needle, case_sensitive)
    if isinstance(node, syntax.Call) and node.name == "not" and len(node.arguments) == 1:
        return negated(go(node.arguments[0]))
    if isinstance(node, syntax.Binary) and node.operator == ":":
        if isinstance(node.left, syntax.Name) and node.left.name not in context.columns:
            return _FALSE
        if isinstance(node.left, syntax.Star):
            right = binder.expression(node.right, context)
            if isinstance(right, Literal):
                return _in_any(context, right, case_sensitive)
        left = binder.expression(node.left, context)
        return search_term(
            convert(left, STRING) if left.type is DYNAMIC else left, binder.expression(node.right, context)
        )
    try:
        bound = binder.expression(node, context)
    except KqlSemanticError as fault:
        if fault.code == "SEM0100" and fault.name is not None:
            return _FALSE
        raise
    if bound.type is STRING and isinstance(bound, Literal):
        return _in_any(context, bound, case_sensitive)
    return convert(bound, KustoType.BOOL)


def _with_texts(binder: Binder, table: Relation, environment: Environment) -> tuple[Relation, Context]:
    """A table with all its texts in a column that has no name, for predicates to read if they do."""
    context = binder.row_context(table, environment)
    table, (texts,) = binder.as_columns(table, [all_texts(list(context.columns.values()))])
    return table, replace(context, texts=texts)


def _search(
    binder: Binder, node: syntax.Search, tables: Sequence[Relation], environment: Environment
) -> Relation:
    case_sensitive = (node.kind or "").lower() == "case_sensitive"
    found = []
    for table in tables:
        table, context = _with_texts(binder, table, environment)
        predicate = search_predicate(binder, node.predicate, context, case_sensitive)
        if isinstance(predicate, Literal) and predicate.value is False and len(tables) > 1:
            continue
        found.append(keep(binder, table, predicate))
    if not found:
        found = [keep(binder, table, _FALSE) for table in tables[:1]]
    if not found:
        raise binder.error("search: there is no table to search in.", node)
    return union(binder, found, with_source="$table")


@source(syntax.Search, "search")
def _search_first(binder: Binder, node: syntax.Search, environment: Environment) -> Relation:
    tables: list[Relation] = []
    if node.tables:
        for item in node.tables:
            tables.extend(tables_of(binder, item, environment))
    else:
        tables = matching_tables(binder, "*", environment, None)
    return _search(binder, node, tables, environment)


@operator(syntax.Search, "search")
def _search_after(
    binder: Binder, node: syntax.Search, relation: Relation, environment: Environment
) -> Relation:
    if node.tables:
        raise binder.error("search in (...) must stand first.", node)
    named = relation if relation.name else replace(relation, name="search_arg0")
    return _search(binder, node, [named], environment)


# --- find ----------------------------------------------------------------------------------------


def _names_in(node: object, found: dict[str, None]) -> bool:
    """Collect the names an expression reads; True if it looks at all columns."""
    if isinstance(node, syntax.Star):
        return True
    if isinstance(node, syntax.Name):
        found[node.name] = None
        return False
    if isinstance(node, syntax.Literal):
        return False
    everywhere = False
    if isinstance(node, syntax.Node):
        for field in node.__dataclass_fields__:
            if field in ("span", "names"):
                continue
            value = getattr(node, field)
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, syntax.Node):
                    everywhere = _names_in(part, found) or everywhere
    return everywhere


@source(syntax.Find, "find")
def _find_first(binder: Binder, node: syntax.Find, environment: Environment) -> Relation:
    tables: list[Relation] = []
    if node.tables:
        for item in node.tables:
            tables.extend(tables_of(binder, item, environment))
    else:
        tables = matching_tables(binder, "*", environment, None)
    return _find(binder, node, tables, environment)


@operator(syntax.Find, "find")
def _find_after(binder: Binder, node: syntax.Find, relation: Relation, environment: Environment) -> Relation:
    return _find(binder, node, [relation], environment)


def _find(binder: Binder, node: syntax.Find, tables: list[Relation], environment: Environment) -> Relation:
    names: dict[str, None] = {}
    everywhere = _names_in(node.predicate, names) or isinstance(node.predicate, syntax.Literal)
    read = [n for n in names if any(t.column(n) is not None for t in tables)]
    chosen = tables
    if len(tables) > 1 and not everywhere and read:
        chosen = [t for t in tables if any(t.column(name) is not None for name in read)]
    if not chosen:
        raise binder.error("find: there is no table to search in.", node)
    label = node.with_source or "source_"
    filtered = []
    for table in chosen:
        table, context = _with_texts(binder, table, environment)
        predicate = search_predicate(binder, node.predicate, context, False)
        filtered.append(keep(binder, table, predicate))
    if node.project is not None:
        shown, pack = _projected(binder, node, filtered)
    else:
        shown, pack = _smart(filtered, read), True
    away = _away(node)
    parts = [_shaped(binder, table, shown, pack, filtered, node) for table in filtered]
    result = union(binder, parts, with_source=label)
    if away is None:
        return result
    explicit = node.project is not None and pack
    kept = [
        (n, c)
        for n, c in result.columns
        if n == label or not (("*" in away and not (n == "pack_" and explicit)) or n in away)
    ]
    return replace(result, columns=tuple(kept))


def _away(node: syntax.Find) -> set[str] | None:
    if node.project_away is None:
        return None
    names: set[str] = set()
    for item in node.project_away:
        if isinstance(item, syntax.Star):
            names.add("*")
        elif isinstance(item, syntax.Name):
            names.add(item.name)
    return names


def _smart(tables: Sequence[Relation], read: Sequence[str]) -> dict[str, KustoType | None]:
    """Columns that all tables have, and those that the predicate reads."""
    shown: dict[str, KustoType | None] = {}
    first = tables[0]
    for name, column in first.columns:
        others = [table.column(name) for table in tables[1:]]
        if all(other is not None and other.type is column.type for other in others):
            shown[name] = None
    for name in read:
        shown[name] = None
    return shown


def _projected(
    binder: Binder, node: syntax.Find, tables: Sequence[Relation]
) -> tuple[dict[str, KustoType | None], bool]:
    shown: dict[str, KustoType | None] = {}
    pack = False
    for item in node.project or ():
        expression = item.expression
        if isinstance(expression, syntax.Call) and expression.name in ("pack", "pack_all"):
            pack = True
        elif isinstance(expression, syntax.Star):
            for table in tables:
                shown.update(dict.fromkeys(table.names))
        elif isinstance(expression, syntax.Name):
            shown[expression.name] = None if item.type is None else KustoType.parse(item.type)
        else:
            raise binder.error("find: project takes names of columns.", expression)
    return shown, pack


def _shaped(
    binder: Binder,
    table: Relation,
    shown: dict[str, KustoType | None],
    pack: bool,
    tables: Sequence[Relation],
    node: syntax.Find,
) -> Relation:
    """A table with the columns that find shows, all others in ``pack_``."""
    from spark_kusto.kql.functions.conditionals import bag_of

    expressions: list[Expr] = []
    names: list[str] = []
    for name, wanted in shown.items():
        column = table.column(name)
        if column is None:
            kind = wanted or next((c.type for t in tables for n, c in t.columns if n == name), None)
            if kind is None:
                raise binder.error(f"find: no table has a column '{name}'.", node, name=name)
            value = "" if kind is STRING else None
            expressions.append(Literal(kind, nullable=value is None, value=value))
        else:
            expressions.append(column if wanted is None else convert(column, wanted))
        names.append(name)
    if pack:
        rest = [(n, c) for n, c in table.columns if n not in shown]
        has_rest = any(n not in shown for t in tables for n, _ in t.columns)
        if has_rest or node.project is not None:
            expressions.append(bag_of(rest, without_empty=False))
            names.append("pack_")
    relation, columns = binder.as_columns(table, expressions)
    return replace(relation, columns=tuple(zip(names, columns, strict=True)))
