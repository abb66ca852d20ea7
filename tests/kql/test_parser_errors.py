"""Syntax errors: the place, what was expected, and what to do."""

from __future__ import annotations

import pickle
import sys

import pytest

from spark_kusto.errors import KqlSyntaxError
from spark_kusto.kql import parse
from spark_kusto.kql.parser.cursor import MAX_NESTING


def error(text: str) -> KqlSyntaxError:
    with pytest.raises(KqlSyntaxError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("T | wher x == 1", 1, 5, "'wher' is not an operator"),
        ("T\n| where x ==\n| take 1", 3, 1, "expected an expression, found '|'"),
        ("T | where", 1, 10, "expected an expression, found the end of the text"),
        ("T | where (a == 1", 1, 18, "expected ')' to close the parenthesis"),
        ("T | where f(a b)", 1, 15, "expected ',' or ')' in the arguments of f"),
        ("T | summarize count( by x", 1, 22, "expected an expression, found 'by'"),
        ("T | join kind=inner (U) on", 1, 27, "expected an expression"),
        ("T | where a = 1", 1, 13, "expected '|' or the end after the where operator, found '='"),
        ("T | project a,", 1, 15, "expected an expression, found the end of the text"),
        ("T | take 1)", 1, 11, "')' closes nothing that was opened"),
        ("T | where a in 'x'", 1, 16, "expected '(' after in"),
        ("T | where a between 1 and 2", 1, 21, "expected '(' after between"),
        ("T | sort a", 1, 10, "expected 'by' after sort"),
        ("T |", 1, 4, "expected an operator after '|', found the end of the text"),
        ("T | | take 1", 1, 5, "expected an operator after '|', found '|'"),
        ("datatable(a:lng)[1]", 1, 13, "'lng' is not a type"),
        ("let = 5", 1, 5, "expected a name after let"),
        ("let !x = 5", 1, 5, "expected a name after let"),
        ("T | where a has_any", 1, 20, "expected '(' after has_any"),
        ("T | project !a", 1, 13, "expected an expression, found '!a'"),
        ("let x 5", 1, 7, "expected '=' after let x"),
        ("print x[", 1, 9, "expected an expression"),
        ("T | render", 1, 11, "expected a visualization after render"),
        ("T | evaluate f", 1, 14, "expected a plugin's name and arguments"),
        ("T | extend a-b = 1", 1, 12, "the name a-b has a hyphen in it"),
        (".show tables", 1, 1, "a management command stands where a query is expected"),
        ('print "a\n"', 1, 7, "this string is not closed"),
    ],
)
def test_place_and_message(text: str, line: int, column: int, message: str) -> None:
    found = error(text)
    assert (found.line, found.column) == (line, column)
    assert message in found.message


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("T | wher x", "Did you mean 'where'?"),
        ("T | summarise count()", "Did you mean 'summarize'?"),
        ("T | project_away a", "Did you mean 'project-away'?"),
        ("T | mv-expnad a", "Did you mean 'mv-expand'?"),
        ("T | select a", "Did you mean 'project'?"),
        ("T | group by a", "Did you mean 'summarize'?"),
        ("T | WHERE a", "Did you mean 'where'?"),
        ("T | where a = 1", "Compare with =="),
        ("T | where a == 1 AND b == 2", "Keywords are lower case: and."),
        ("T | where a contians 'x'", "Did you mean 'contains'?"),
        ("T | where a is null", "isnull(x)"),
        ("T | where a not in ('x')", "Write !in."),
        ("T | where not a", "write not(...)"),
        ("T | where a == 1 || b == 2", "Write `or`"),
        ("T | where 1 < a < 5", "between"),
        ("T | sort by a DESC", "Keywords are lower case: desc."),
        ("print f(a, (b + c", "never closed"),
        ("datatable(a:strng)[]", "Did you mean 'string'?"),
        ("T | extend a-b = 1", "Write ['a-b']."),
        ("print dynamic([a])", "pack_array()"),
    ],
)
def test_remedy(text: str, remedy: str) -> None:
    assert remedy in str(error(text))


def test_the_caret_stands_under_the_place() -> None:
    found = error("T\n| where State == 'X'\n| sumarize count()")
    assert str(found) == (
        "Syntax error: 'sumarize' is not an operator [line:position=3:3]\n"
        "| sumarize count()\n"
        "  ^^^^^^^^\n"
        "Did you mean 'summarize'?"
    )


def test_the_caret_keeps_tabs() -> None:
    lines = str(error("T\n\t\t| wher x")).splitlines()
    assert lines[1] == "\t\t| wher x"
    assert lines[2] == "\t\t  ^^^^"


def test_the_code_is_kustos() -> None:
    assert error("T |").code == "SYN0002"


def test_errors_travel_between_processes() -> None:
    found = error("T | wher x")
    copy = pickle.loads(pickle.dumps(found))
    assert str(copy) == str(found)
    assert (copy.line, copy.column) == (found.line, found.column)


def test_secrets_are_not_shown() -> None:
    found = error('externaldata(a:string)[h@"https://x?sig=verysecret"] wit (format="csv")')
    assert "verysecret" not in str(found)


class TestNesting:
    @pytest.mark.parametrize(
        "text",
        [
            "print " + "(" * 10_000 + "1" + ")" * 10_000,
            "print " + "(" * 10_000,
            "print " + "-" * 10_000 + "1",
            "print " + "f(" * 10_000,
            "print dynamic(" + "[" * 10_000,
            "print dynamic(" + '{"a":' * 10_000,
            "print " + "a[" * 10_000,
            "T" + " | mv-apply x on (take 1" * 5_000,
            "let f = () {" * 5_000,
            "T | where x in (" * 5_000,
            "macro-expand X as Y (" * 3_000,
            "T | where a between (1 .. " + "(" * 5_000,
            "union " + "(union " * 5_000,
        ],
    )
    def test_too_deep(self, text: str) -> None:
        assert "nested more than" in str(error(text))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("print a" + ".b" * 10_000, "steps"),
            ("print a" + "['b']" * 10_000, "steps"),
            ("print " + "1 + " * 10_000 + "1", "operators follow one another"),
        ],
    )
    def test_too_long(self, text: str, message: str) -> None:
        assert message in str(error(text))

    def test_the_deepest_accepted(self) -> None:
        depth = MAX_NESTING
        parse("print " + "(" * depth + "1" + ")" * depth)

    def test_a_caller_deep_in_its_own_stack(self) -> None:
        """Where Python's stack runs out first, that too is a syntax error."""

        def descend(levels: int) -> KqlSyntaxError:
            if levels:
                return descend(levels - 1)
            return error("print " + "(" * (MAX_NESTING - 1) + "1")

        used = len(_stack())
        found = descend(sys.getrecursionlimit() - used - 200)
        assert "nested too deeply" in str(found)


def _stack() -> list[object]:
    frames: list[object] = []
    frame: object = sys._getframe()
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back  # type: ignore[attr-defined]
    return frames
