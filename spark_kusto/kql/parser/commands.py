"""Management commands: text to `ManagementCommand`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from spark_kusto.errors import KqlSyntaxError, nearest
from spark_kusto.kql import syntax
from spark_kusto.kql.lexer import Tokens, syntax_error, tokenize
from spark_kusto.kql.parser.command_grammar import COMMANDS, TAILS
from spark_kusto.kql.parser.command_patterns import Element, Matcher, compile_pattern
from spark_kusto.kql.parser.statements import QueryParser, too_deep

COMMAND_NAMES = frozenset(name for name, _ in COMMANDS)
"""Every `ManagementCommand.name` there is."""

_INLINE_INGESTION = re.compile(r"(?:\s|//[^\n]*\n)*\.\s*ingest\s+inline\s+into\s+table\b", re.IGNORECASE)


def is_command(text: str) -> bool:
    """Whether a text is a management command: its first character that counts is a dot."""
    return re.match(r"(?:[\s\u200b\ufeff]|//[^\n]*(?:\n|\Z))*\.", text) is not None


def parse_command(text: str) -> syntax.ManagementCommand:
    """Parse a management command.

    Args:
        text: a command, which starts with a dot. Query operators may be piped after it, and
            statements follow it after a semicolon.

    Returns:
        The command; `name` says which one it is.

    Raises:
        KqlSyntaxError: with line, column and a caret under the place.
    """
    try:
        return _parse(text, 0, len(text))
    except RecursionError:
        raise too_deep() from None


def _parse(text: str, start: int, end: int) -> syntax.ManagementCommand:
    tokens = _head_tokens(text, start, end)
    matcher = Matcher(text, tokens)
    if matcher.texts[0] != ".":
        raise matcher.error("a management command starts with '.'")
    name = _match(matcher)
    arguments, properties = _sort_out(matcher.bindings)
    is_async = bool(arguments.pop("async", False))
    query: syntax.Query | syntax.ManagementCommand | None = arguments.pop("query", None)
    given: str | None = None
    pipe: tuple[syntax.Operator, ...] = ()
    then: tuple[syntax.Statement, ...] = ()
    tail = TAILS.get(name)
    if tail is not None:
        at = matcher.ends[matcher.i]
        if tail == "query":
            query = _query(text, at, end)
        elif tail == "predicate":
            query = _predicate(text, at, end, arguments)
        elif tail == "pair":
            arguments["drop_query"], arguments["move_query"] = _pair(text, at, end)
        given = _given(matcher, at, end)
    else:
        pipe, then = _follow_up(matcher)
    return syntax.ManagementCommand(
        name,
        arguments,
        properties,
        is_async,
        query,
        given,
        pipe,
        then,
        text[start:end].strip(),
        span=syntax.Span(start, end),
    )


def _head_tokens(text: str, start: int, end: int) -> Tokens:
    """Tokens up to `<|`, behind which anything may stand; for inline data also up to `[`."""
    inline = _INLINE_INGESTION.match(text, start) is not None

    def stop(tokens: Tokens) -> bool:
        kind = tokens.kinds[-1]
        return kind == "<|" or (inline and kind == "[" and tokens.texts[-2].lower() != "table")

    return tokenize(text, start, end, stop)


@lru_cache(maxsize=1)
def _patterns() -> dict[str, tuple[tuple[str, Element], ...]]:
    """Patterns by their first word."""
    by_verb: dict[str, list[tuple[str, Element]]] = {}
    for name, pattern in COMMANDS:
        by_verb.setdefault(pattern.split(" ", 1)[0], []).append((name, compile_pattern(pattern)))
    return {verb: tuple(patterns) for verb, patterns in by_verb.items()}


def _verb(matcher: Matcher) -> str:
    """First word, hyphens included."""
    i = 1
    while matcher.texts[i + 1] == "-" and matcher.ends[i] == matcher.starts[i + 1]:
        i += 2
    return matcher.source[matcher.starts[1] : matcher.ends[i]]


def _match(matcher: Matcher) -> str:
    """Name of the command; the matcher is left behind it, with what its slots bound."""
    verb = _verb(matcher)
    matcher.i = 1
    for name, pattern in _patterns().get(verb.lower(), ()):
        tail = TAILS.get(name)

        def at_end(tail: str | None = tail) -> bool:
            following = matcher.texts[matcher.i]
            if tail is None:
                return following in ("", "|", ";") or matcher.missed("the end of the command")
            if following == "<|" or (following == "[" and tail == "input"):
                return True
            return matcher.missed("'<|'")

        if pattern.match(matcher, at_end):
            return name
        matcher.i = 1
        matcher.depth = 0
        matcher.bindings.clear()
    raise _no_match(matcher, verb)


def _no_match(matcher: Matcher, verb: str) -> KqlSyntaxError:
    if not matcher.farthest or matcher.farthest <= 1:
        close = nearest(verb, _patterns())
        return matcher.error(
            f"'.{verb}' is not a command",
            1,
            remedy=f"Did you mean '.{close}'?" if close else None,
        )
    at = matcher.farthest
    if matcher.error_there is not None:
        return matcher.error_there
    expected = sorted(matcher.expected_there)
    found = matcher.found(at)
    words = [word[1:-1] for word in expected if word[0] == "'"]
    close = nearest(matcher.texts[at], words) if matcher.kinds[at] == "word" else None
    remedy = f"Did you mean '{close}'?" if close else None
    if len(expected) > 8:
        before = matcher.source[matcher.starts[0] : matcher.ends[at - 1]]
        return matcher.error(f"'{before}' cannot be followed by {found}", at, remedy=remedy)
    wanted = " or ".join(filter(None, (", ".join(expected[:-1]), expected[-1])))
    return matcher.error(f"expected {wanted}, found {found}", at, remedy=remedy)


def _sort_out(bindings: list[tuple[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    arguments: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, value in bindings:
        if name == "with":
            key, setting = value
            properties[key] = setting
        else:
            arguments[name] = value
    return arguments, properties


def _follow_up(
    matcher: Matcher,
) -> tuple[tuple[syntax.Operator, ...], tuple[syntax.Statement, ...]]:
    """Operators piped after the command, and the statements after a semicolon."""
    operators: list[syntax.Operator] = []
    while matcher.accept("|"):
        operators.append(matcher.operator())
    statements: tuple[syntax.Statement, ...] = ()
    if matcher.accept(";"):
        statements = matcher.statements("")
    if matcher.kinds[matcher.i] != "end":
        raise matcher.expected_after_expression("'|', ';' or the end of the command")
    return tuple(operators), statements


def _given(matcher: Matcher, at: int, end: int) -> str:
    text = matcher.source[at:end]
    if matcher.texts[matcher.i] != "[":
        # Blanks and the line break after `<|` are not part of the data.
        return re.sub(r"\A[ \t]*(?:\r?\n)?", "", text)
    closing = text.rstrip().removesuffix(";").rstrip()
    if not closing.endswith("]"):
        raise matcher.error("the data of .ingest inline is not closed: no ] follows", matcher.i)
    return closing[:-1]


def _query(text: str, start: int, end: int) -> syntax.Query | syntax.ManagementCommand:
    rest = text[start:end]
    if is_command(rest):
        return _parse(text, start, end)
    parser = QueryParser(text, tokenize(text, start, end))
    query = parser.query()
    if not query.statements:
        raise syntax_error(text, start, "expected a query after '<|', found the end of the text")
    return syntax.Query(query.statements, rest.strip(), span=query.span)


def _predicate(text: str, start: int, end: int, arguments: dict[str, Any]) -> syntax.Query:
    """The operators of a purge, as a query over the table it is about."""
    parser = QueryParser(text, tokenize(text, start, end))
    if parser.kinds[0] == "end":
        raise syntax_error(text, start, "expected 'where' and a predicate after '<|'")
    operators = [parser.operator()]
    while parser.accept("|"):
        operators.append(parser.operator())
    parser.accept(";")
    if parser.kinds[parser.i] != "end":
        raise parser.expected_after_expression("'|' or the end of the command")
    table = syntax.Name(str(arguments.get("table") or arguments.get("view")))
    pipe = syntax.Pipe(table, tuple(operators), span=parser.span(0))
    return syntax.Query((syntax.ExpressionStatement(pipe, span=pipe.span),), text[start:end].strip())


def _pair(
    text: str, start: int, end: int
) -> tuple[syntax.Query | syntax.ManagementCommand, syntax.Query | syntax.ManagementCommand]:
    """`{query}, {query}`."""
    tokens = tokenize(text, start, end)
    parser = QueryParser(text, tokens)
    first = _braced(parser, text)
    parser.expect(",", "between the two queries")
    second = _braced(parser, text)
    parser.accept(";")
    if parser.kinds[parser.i] != "end":
        raise parser.expected("the end of the command")
    return first, second


def _braced(parser: QueryParser, text: str) -> syntax.Query | syntax.ManagementCommand:
    opened = parser.i
    parser.expect("{", "before a query")
    depth = 1
    while depth and parser.kinds[parser.i] != "end":
        kind = parser.kinds[parser.i]
        depth += (kind == "{") - (kind == "}")
        parser.i += 1
    if depth:
        parser.close("}", opened, "the query")
    return _query(text, parser.ends[opened], parser.starts[parser.i - 1])


def split_script(text: str) -> tuple[str, ...]:
    """The commands of a script, as `.execute database script` takes it.

    A command begins where a line does, with a dot, outside brackets and strings of several
    lines. What stands between two commands belongs to the first one.
    """
    starts = [match.start() for match in re.finditer(r"^[ \t]*\.(?=\s*[A-Za-z])", text, re.MULTILINE)]
    commands: list[str] = []
    begin = 0
    for start in starts:
        piece = text[begin:start]
        if is_command(piece) and _is_complete(piece):
            commands.append(piece.strip())
            begin = start
    rest = text[begin:].strip()
    if rest and (is_command(rest) or not commands):
        commands.append(rest)
    return tuple(commands)


def _is_complete(piece: str) -> bool:
    """Whether brackets balance and strings are closed; data after `<|` is not looked at."""
    try:
        tokens = _head_tokens(piece, 0, len(piece))
    except KqlSyntaxError:
        return False
    depth = 0
    for kind in tokens.kinds:
        depth += (kind in ("(", "[", "{")) - (kind in (")", "]", "}"))
    return depth <= 0 or tokens.kinds[len(tokens) - 1] == "["
