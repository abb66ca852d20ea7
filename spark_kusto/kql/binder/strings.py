"""String operators: ``has``, ``contains``, ``startswith``, ``=~``, ``matches regex`` and the like.

Source: Kusto documentation, "String operators". A term is a run of letters and digits; ``has``
matches where the needle stands between characters that are neither (the underscore is one of
these), and only its ends that are letters or digits need such a neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.algorithms.regex import for_re2
from spark_kusto.kql.binder.context import Context
from spark_kusto.kql.binder.conversion import apply, convert
from spark_kusto.kql.binder.regexes import check_operand
from spark_kusto.kql.plan import Expr, Literal
from spark_kusto.kql.registry import BOOL, STRING, Emission, ScalarRow, overload, repeated
from spark_kusto.kql.sql.literals import string
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_META = frozenset("\\.+*?()|[]{}^$")
_SHORT = 64
"""Longest SQL of a text that is worth repeating."""
_FRAGMENT = 5
"""Characters up to which a needle is taken for one that many words have in them."""

NOT_TERM = r"[^\pL\pN]"


def regex_quoted(text: str) -> str:
    """A regular expression (RE2) that matches this text."""
    return "".join(f"\\{char}" if char in _META else char for char in text)


def _is_term_char(char: str) -> bool:
    return char.isalnum()


def term_edges(needle: str, *, start: bool = True, end: bool = True) -> tuple[str, str]:
    """Patterns of what must stand before and after the needle, where its ends are of a term."""
    head = f"(?:^|{NOT_TERM})" if start and needle and _is_term_char(needle[0]) else ""
    tail = f"(?:$|{NOT_TERM})" if end and needle and _is_term_char(needle[-1]) else ""
    return head, tail


def term_pattern(needle: str, *, start: bool = True, end: bool = True) -> str:
    """Pattern that finds the needle with term boundaries at its ends."""
    head, tail = term_edges(needle, start=start, end=end)
    return f"{head}{regex_quoted(needle)}{tail}"


def contains_sql(text: str, needle: str, case_sensitive: bool) -> str:
    """SQL of ``contains`` with a known needle."""
    if needle == "":
        return "true"
    if case_sensitive:
        return f"contains({text}, {string(needle)})"
    if needle.isascii() and not (set("%_\\\0") & set(needle)):
        # ILIKE without an escape clause has a fast path, twice as fast as contains(lower(s)).
        return f"({text} ILIKE {string(f'%{needle}%')})"
    return f"contains(lower({text}), {string(needle.lower())})"


def has_sql(text: str, needle: str, case_sensitive: bool, *, start: bool = True, end: bool = True) -> str:
    """SQL of ``has`` and its like with a known needle: a cheap test first, then the boundaries."""
    if needle == "":
        return "true"
    pattern = term_pattern(needle, start=start, end=end)
    cheap = contains_sql(text, needle, case_sensitive)
    if pattern == regex_quoted(needle):
        return cheap
    flags = "s" if case_sensitive else "is"
    exact = f"regexp_matches({text}, {string(pattern)}, '{flags}')"
    if len(text) > _SHORT or not needle.isascii():
        return f"({cheap} AND {exact})"
    # The boundaries of words in ASCII are told faster than those of terms in Unicode; where the
    # text is ASCII they are the same but for the underscore.
    head, tail = term_edges(needle, start=start, end=end)
    edge = r"(?:\b|_)"
    fast = f"{edge if head else ''}{regex_quoted(needle)}{edge if tail else ''}"
    quick = f"regexp_matches({text}, {string(fast)}, '{flags}')"
    is_ascii = f"strlen({text}) = length({text})"
    if len(needle) <= _FRAGMENT:
        # Part of so many words that the cheap test keeps most texts, and costs as much as it saves.
        return f"({quick} AND ({is_ascii} OR ({cheap} AND {exact})))"
    return f"({cheap} AND {quick} AND ({is_ascii} OR {exact}))"


def _contains(call: Emission) -> str:
    value, needle = call.arguments
    sensitive = call.name.endswith("_cs")
    if isinstance(needle.value, str):
        return contains_sql(value.sql, needle.value, sensitive)
    if sensitive:
        return f"contains({value.sql}, {needle.sql})"
    return f"contains(lower({value.sql}), lower({needle.sql}))"


def _starts(call: Emission) -> str:
    value, needle = call.arguments
    if call.name.endswith("_cs"):
        return f"starts_with({value.sql}, {needle.sql})"
    if isinstance(needle.value, str):
        return f"starts_with(lower({value.sql}), {string(needle.value.lower())})"
    return f"starts_with(lower({value.sql}), lower({needle.sql}))"


def _ends(call: Emission) -> str:
    value, needle = call.arguments
    if call.name.endswith("_cs"):
        return f"suffix({value.sql}, {needle.sql})"
    if isinstance(needle.value, str):
        return f"suffix(lower({value.sql}), {string(needle.value.lower())})"
    return f"suffix(lower({value.sql}), lower({needle.sql}))"


def _has(call: Emission) -> str:
    value, needle = call.arguments
    sensitive = call.name.endswith("_cs")
    start = not call.name.startswith("hassuffix")
    end = not call.name.startswith("hasprefix")
    if isinstance(needle.value, str):
        return has_sql(value.sql, needle.value, sensitive, start=start, end=end)
    text, word = value.sql, needle.sql
    if not sensitive:
        text, word = f"lower({text})", f"lower({word})"
    head = (
        f"CASE WHEN regexp_matches({{w}}, '^[\\pL\\pN]') THEN '(?:^|{NOT_TERM})' ELSE '' END || "
        if start
        else ""
    )
    tail = (
        f" || CASE WHEN regexp_matches({{w}}, '[\\pL\\pN]$') THEN '(?:$|{NOT_TERM})' ELSE '' END"
        if end
        else ""
    )
    test = call.once(f"regexp_matches({{s}}, {head}regexp_escape({{w}}){tail}, 's')", s=text, w=word)
    return f"(contains({text}, {word}) AND {test})"


def _equals_ignoring_case(call: Emission) -> str:
    value, other = call.arguments
    if isinstance(other.value, str):
        return f"(lower({value.sql}) = {string(other.value.lower())})"
    return f"(lower({value.sql}) = lower({other.sql}))"


def _matches(call: Emission) -> str:
    pattern = call.arguments[1].value
    regular = string(for_re2(pattern)) if isinstance(pattern, str) else call.sql[1]
    return f"regexp_matches({call.sql[0]}, {regular})"


def _like(call: Emission) -> str:
    word = "LIKE" if call.name.endswith("_cs") else "ILIKE"
    return f"({call.sql[0]} {word} {call.sql[1]})"


_EMITTERS = {
    "contains": _contains,
    "contains_cs": _contains,
    "startswith": _starts,
    "startswith_cs": _starts,
    "endswith": _ends,
    "endswith_cs": _ends,
    "has": _has,
    "has_cs": _has,
    "hasprefix": _has,
    "hasprefix_cs": _has,
    "hassuffix": _has,
    "hassuffix_cs": _has,
    "=~": _equals_ignoring_case,
    "matches regex": _matches,
    "like": _like,
    "like_cs": _like,
}

_ROWS = {
    name: ScalarRow(name, (overload([STRING, STRING], BOOL, emitter, "never"),), "never")
    for name, emitter in _EMITTERS.items()
}
_NOT = ScalarRow("not", (overload([BOOL], BOOL, "(NOT {0})"),))


def negated(expression: Expr) -> Expr:
    """``not(expression)``."""
    if isinstance(expression, Literal) and expression.value is not None:
        return Literal(KustoType.BOOL, nullable=False, value=not expression.value)
    return apply(_NOT, _NOT.overloads[0], (expression,))


def text_operator(name: str, left: Expr, right: Expr) -> Expr:
    """One of the operators, not negated, over texts."""
    row = _ROWS[name]
    return apply(row, row.overloads[0], (convert(left, STRING), convert(right, STRING)))


def bind_operator(binder: Binder, node: syntax.Binary, left: Expr, right: Expr, context: Context) -> Expr:
    """A string operator over bound operands."""
    operator = node.operator
    negative = operator.startswith("!")
    base = operator[1:] if negative else operator
    if base == "~":
        base = "=~"
    if base == ":":
        return search_term(left, right)
    if base not in _ROWS:
        raise binder.error(f"Operator '{operator}' is not supported.", node)
    texts = (KustoType.STRING, KustoType.DYNAMIC)
    if left.type not in texts or right.type not in texts:
        wrong = left if left.type not in texts else right
        raise binder.error(
            f"Operator '{operator}' needs operands of type string, but one is of type {wrong.type}.",
            node,
            code="SEM0025",
            remedy="Convert it with tostring().",
        )
    if base == "matches regex":
        check_operand(binder, right, node.right, base)
    result = text_operator(base, left, right)
    return negated(result) if negative else result


def search_term(column: Expr, needle: Expr) -> Expr:
    """``column:"text"`` of ``search``: ``has``, with ``*`` at its ends as wildcards."""
    if not isinstance(needle, Literal):
        return text_operator("has", column, needle)
    if needle.type is not KustoType.STRING:
        from spark_kusto.kql.binder.operators import comparison

        return comparison("==", column, needle) or text_operator("has", column, needle)
    text = str(needle.value)
    if text in ("*", ""):
        return Literal(KustoType.BOOL, nullable=False, value=True)
    core = text.strip("*")
    word = Literal(STRING, nullable=False, value=core)
    plain = search_operator(text)
    if plain is None:
        start = "" if text.startswith("*") else f"(?:^|{NOT_TERM})"
        end = "" if text.endswith("*") else f"(?:$|{NOT_TERM})"
        middle = r".*?".join(regex_quoted(part) for part in core.split("*"))
        pattern = Literal(STRING, nullable=False, value=f"(?is){start}{middle}{end}")
        return text_operator("matches regex", column, pattern)
    return text_operator(plain, column, word)


def search_operator(text: str) -> str | None:
    """The operator that looks for a text of ``search`` without the wildcards at its ends; None where it
    has others within."""
    if "*" in text.strip("*"):
        return None
    if text.startswith("*"):
        return "contains" if text.endswith("*") else "hassuffix"
    return "hasprefix" if text.endswith("*") else "has"


_SEPARATOR = "\x1f"
_WITHIN = frozenset(
    ("contains", "contains_cs", "has", "has_cs", "hasprefix", "hasprefix_cs", "hassuffix", "hassuffix_cs")
)


def _joined(call: Emission) -> str:
    return f"concat_ws({string(_SEPARATOR)}, {', '.join(call.sql)})"


_JOINED = ScalarRow("texts", (overload([repeated(STRING)], STRING, _joined, "never"),), "never")


def all_texts(columns: Sequence[Expr]) -> Expr:
    """The texts of columns with a separator between them, which belongs to no term."""
    texts = [convert(column, STRING) for column in columns]
    if not texts:
        return Literal(STRING, nullable=False, value="")
    return texts[0] if len(texts) == 1 else apply(_JOINED, _JOINED.overloads[0], texts)


def in_any(name: str, texts: Expr, needle: Expr) -> Expr | None:
    """Whether an operator holds for some of ``all_texts``: asked once for all of them, since each question
    costs; None where that would not be the same."""
    if name not in _WITHIN or not isinstance(needle, Literal) or _SEPARATOR in str(needle.value):
        return None
    return text_operator(name, texts, needle)


def bind_star(binder: Binder, node: syntax.Binary, context: Context) -> Expr:
    """``* has "x"``: any column."""
    from spark_kusto.kql.binder.expressions import disjunction
    from spark_kusto.kql.binder.operators import comparison

    right = binder.expression(node.right, context)
    if right.type is KustoType.STRING:
        texts = context.texts or all_texts(list(context.columns.values()))
        found = in_any(node.operator.lstrip("!"), texts, right)
        if found is not None:
            return negated(found) if node.operator.startswith("!") else found
    terms: list[Expr] = []
    for column in context.columns.values():
        if node.operator in ("==", "=~", "!=", "!~") and column.type is not KustoType.STRING:
            test = comparison("==", column, right) if node.operator == "==" else None
            if test is not None:
                terms.append(test)
            continue
        if node.operator in ("==", "!=", "<", "<=", ">", ">="):
            test = comparison(node.operator, column, right)
            if test is not None:
                terms.append(test)
            continue
        terms.append(bind_operator(binder, node, convert(column, STRING), right, context))
    if not terms:
        return Literal(KustoType.BOOL, nullable=False, value=False)
    if node.operator.startswith("!"):
        from spark_kusto.kql.binder.expressions import conjunction

        return conjunction(terms)
    return disjunction(terms)
