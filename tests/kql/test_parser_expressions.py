"""Scalar expressions: precedence, literals, names, calls."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_kusto.errors import KqlSyntaxError
from spark_kusto.kql import parse
from spark_kusto.kql import syntax as s


def expression(text: str) -> s.Expression:
    """The expression of `print <text>`."""
    (pipe,) = parse(f"print {text}").results
    assert isinstance(pipe, s.Pipe)
    assert isinstance(pipe.source, s.Print)
    (column,) = pipe.source.columns
    return column


def long(value: int) -> s.Literal:
    return s.Literal("long", value)


def string(value: str) -> s.Literal:
    return s.Literal("string", value)


A, B, C, D = (s.Name(name) for name in "abcd")


class TestPrecedence:
    def test_and_binds_tighter_than_or(self) -> None:
        assert expression("a or b and c") == s.Binary("or", A, s.Binary("and", B, C))

    def test_comparison_binds_tighter_than_equality(self) -> None:
        assert expression("a == b < c") == s.Binary("==", A, s.Binary("<", B, C))

    def test_sums_are_taken_from_the_left(self) -> None:
        assert expression("a - b - c") == s.Binary("-", s.Binary("-", A, B), C)

    def test_products_bind_tighter_than_sums(self) -> None:
        assert expression("a + b * c") == s.Binary("+", A, s.Binary("*", B, C))

    def test_string_operators_bind_tighter_than_sums(self) -> None:
        assert expression("a + b has c") == s.Binary("+", A, s.Binary("has", B, C))

    def test_parentheses(self) -> None:
        assert expression("(a + b) * c") == s.Binary("*", s.Binary("+", A, B), C)

    def test_sign_binds_tightest(self) -> None:
        assert expression("-a * b") == s.Binary("*", s.Unary("-", A), B)
        assert expression("-a.b") == s.Unary("-", s.Member(A, B))

    def test_long_chains_of_or_make_shallow_trees(self) -> None:
        tree = expression(" or ".join(f"a == {k}" for k in range(5000)))

        def depth(node: s.Expression) -> int:
            if isinstance(node, s.Binary) and node.operator == "or":
                return 1 + max(depth(node.left), depth(node.right))
            return 0

        assert depth(tree) == 13

    def test_chains_keep_their_order(self) -> None:
        tree = expression("a and b and c and d")
        assert tree == s.Binary("and", s.Binary("and", A, B), s.Binary("and", C, D))

    @pytest.mark.parametrize("text", ["1 < a < 5", "a == b == c", 'a has "x" has "y"'])
    def test_comparisons_do_not_chain(self, text: str) -> None:
        with pytest.raises(KqlSyntaxError, match="cannot follow another comparison"):
            expression(text)


class TestOperators:
    @pytest.mark.parametrize(
        "operator",
        [
            "==", "!=", "<", "<=", ">", ">=", "=~", "!~", "+", "-", "*", "/", "%", "and", "or",
            "has", "!has", "has_cs", "!has_cs", "contains", "!contains", "contains_cs",
            "!contains_cs", "startswith", "!startswith", "startswith_cs", "!startswith_cs",
            "endswith", "!endswith", "endswith_cs", "!endswith_cs", "hasprefix", "!hasprefix",
            "hasprefix_cs", "!hasprefix_cs", "hassuffix", "!hassuffix", "hassuffix_cs",
            "!hassuffix_cs", "matches regex",
        ],
    )  # fmt: skip
    def test_each_binary_operator(self, operator: str) -> None:
        assert expression(f"a {operator} b") == s.Binary(operator, A, B)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("<>", "!="),
            ("notcontains", "!contains"),
            ("containscs", "contains_cs"),
            ("notcontainscs", "!contains_cs"),
        ],
    )
    def test_old_spellings(self, old: str, new: str) -> None:
        assert expression(f"a {old} b") == s.Binary(new, A, B)

    @pytest.mark.parametrize(
        "operator", ["in", "!in", "in~", "!in~", "has_any", "has_all", "!has_any", "!has_all"]
    )
    def test_membership(self, operator: str) -> None:
        assert expression(f"a {operator} (1, b)") == s.Membership(operator, A, (long(1), B))

    def test_membership_in_a_subquery(self) -> None:
        found = expression("a in (T | project x)")
        project = s.Pipe(s.Name("T"), (s.Project((s.Name("x"),)),))
        assert found == s.Membership("in", A, (project,))

    def test_membership_in_rows_made_on_the_spot(self) -> None:
        found = expression('a in (datatable(x:string)["p"])')
        assert isinstance(found, s.Membership)
        assert isinstance(found.items[0], s.Pipe)
        assert isinstance(found.items[0].source, s.DataTable)

    def test_between(self) -> None:
        assert expression("a between (1 .. b)") == s.Between(A, long(1), B)
        assert expression("a !between (1d..2d)") == s.Between(
            A,
            s.Literal("timespan", 864_000_000_000),
            s.Literal("timespan", 1_728_000_000_000),
            negated=True,
        )

    def test_star_on_the_left(self) -> None:
        assert expression('* has "x"') == s.Binary("has", s.Star(), string("x"))

    def test_a_column_may_be_multiplied_by_a_neighbour(self) -> None:
        assert expression("a.b*c") == s.Binary("*", s.Member(A, B), C)


class TestLiterals:
    @pytest.mark.parametrize(
        ("text", "kind", "value"),
        [
            ("1", "long", 1),
            ("0x1F", "long", 31),
            ("0xFFFFFFFFFFFFFFFF", "long", -1),
            ("-9223372036854775808", "long", -(2**63)),
            ("1.5", "real", 1.5),
            ("1e3", "real", 1000.0),
            ("true", "bool", True),
            ("False", "bool", False),
            ("bool(true)", "bool", True),
            ("bool(0)", "bool", False),
            ("int(5)", "int", 5),
            ("int(-5)", "int", -5),
            ("long(0x10)", "long", 16),
            ("long(null)", "long", None),
            ("real(1)", "real", 1.0),
            ("real(+inf)", "real", math.inf),
            ("double(-inf)", "real", -math.inf),
            ("decimal(1.10)", "decimal", Decimal("1.10")),
            ("decimal(1e3)", "decimal", Decimal(1000)),
            ("1d", "timespan", 864_000_000_000),
            ("1.5h", "timespan", 54_000_000_000),
            ("5m", "timespan", 3_000_000_000),
            ("3s", "timespan", 30_000_000),
            ("10ms", "timespan", 100_000),
            ("5microseconds", "timespan", 50),
            ("1tick", "timespan", 1),
            ("100nanos", "timespan", 1),
            ("timespan(2)", "timespan", 1_728_000_000_000),
            ("time(1.02:03:04.5)", "timespan", 937_845_000_000),
            ("time(-1d)", "timespan", -864_000_000_000),
            ("timespan(15 seconds)", "timespan", 150_000_000),
            ("time('0.12:34:56.7890000')", "timespan", 452_967_890_000),
            ("timespan(null)", "timespan", None),
            ("datetime(2020-01-02)", "datetime", datetime(2020, 1, 2, tzinfo=timezone.utc)),
            ("datetime(2020)", "datetime", datetime(2020, 1, 1, tzinfo=timezone.utc)),
            ("datetime(2020-1-2 3:04)", "datetime", datetime(2020, 1, 2, 3, 4, tzinfo=timezone.utc)),
            (
                "datetime(2020-01-02T03:04:05.1234567Z)",
                "datetime",
                datetime(2020, 1, 2, 3, 4, 5, 123456, tzinfo=timezone.utc),
            ),
            (
                "datetime(2020-01-02 03:04:05 +02:00)",
                "datetime",
                datetime(2020, 1, 2, 1, 4, 5, tzinfo=timezone.utc),
            ),
            (
                "datetime('Sat, 8 Nov 14 15:05:02 GMT')",
                "datetime",
                datetime(2014, 11, 8, 15, 5, 2, tzinfo=timezone.utc),
            ),
            ("datetime(null)", "datetime", None),
            (
                "guid(12345678-1234-1234-1234-123456789ABC)",
                "guid",
                UUID("12345678-1234-1234-1234-123456789abc"),
            ),
        ],
    )
    def test_scalar(self, text: str, kind: str, value: object) -> None:
        assert expression(text) == s.Literal(kind, value)  # type: ignore[arg-type]

    def test_nan(self) -> None:
        found = expression("real(nan)")
        assert isinstance(found, s.Literal)
        assert isinstance(found.value, float)
        assert math.isnan(found.value)

    def test_negative_numbers_keep_their_sign_apart(self) -> None:
        assert expression("-5") == s.Unary("-", long(5))

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("datetime(2020-13-45)", "datetime"),
            ("datetime()", "datetime"),
            ("int(5000000000)", "int"),
            ("long(abc)", "long"),
            ("9223372036854775808", "long"),
            ("guid(1)", "guid"),
            ("99999999999d", "timespan"),
        ],
    )
    def test_content_that_is_no_value_is_left_to_binding(self, text: str, kind: str) -> None:
        found = expression(text)
        assert isinstance(found, s.InvalidLiteral)
        assert (found.type, found.text) == (kind, text)
        assert found.reason

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ('"a"', "a"),
            ("'a\"b'", 'a"b'),
            (r'"a\tb\\c\"d"', 'a\tb\\c"d'),
            (r"'\u0041\x42\103\U0001F600'", "ABC😀"),
            (r'"\ud83d\ude00"', "😀"),
            ('@"a\\b""c"', 'a\\b"c'),
            ("@'a''b'", "a'b"),
            ("```a\n\\n```", "a\n\\n"),
            ('"a" \'b\' @"c"', "abc"),
            ('"👋 ñ"', "👋 ñ"),
        ],
    )
    def test_string(self, text: str, value: str) -> None:
        assert expression(text) == string(value)

    def test_obfuscated_strings_do_not_show_their_value(self) -> None:
        found = expression('h"https://x?sig=secret"')
        assert isinstance(found, s.Literal)
        assert found.obfuscated
        assert found.value == "https://x?sig=secret"
        assert "secret" not in repr(found)

    def test_one_obfuscated_part_hides_the_whole(self) -> None:
        assert "a" not in repr(expression('"a" h"b"')).replace("Literal", "")

    def test_bad_escapes_say_what_to_write_instead(self) -> None:
        with pytest.raises(KqlSyntaxError, match=r"'\\d' is not an escape sequence") as caught:
            expression(r'"a\d"')
        assert caught.value.column == 9
        assert "verbatim" in str(caught.value)

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_any_text_survives_as_a_verbatim_string(self, text: str) -> None:
        text = text.replace("\r", "").replace("\n", "")
        quoted = text.replace('"', '""')
        assert expression(f'@"{quoted}"') == string(text)


class TestDynamic:
    def test_null(self) -> None:
        assert expression("dynamic(null)") == s.DynamicLiteral(s.Literal("dynamic", None))

    def test_json(self) -> None:
        found = expression('dynamic({"a": [1, -2.5, true, null, "x"], "b": {}})')
        items = (
            long(1),
            s.Literal("real", -2.5),
            s.Literal("bool", True),
            s.Literal("dynamic", None),
            string("x"),
        )
        entries = (("a", s.DynamicArray(items)), ("b", s.DynamicObject(())))
        assert found == s.DynamicLiteral(s.DynamicObject(entries))

    def test_kql_literals_inside(self) -> None:
        found = expression("dynamic([datetime(2020-01-01), 1d, -1h, int(1), dynamic([2])])")
        assert isinstance(found, s.DynamicLiteral)
        assert isinstance(found.value, s.DynamicArray)
        kinds = [item.type for item in found.value.items if isinstance(item, s.Literal)]
        assert kinds == ["datetime", "timespan", "timespan", "int"]
        assert found.value.items[4] == s.DynamicArray((long(2),))

    def test_a_scalar(self) -> None:
        assert expression("dynamic('x')") == s.DynamicLiteral(string("x"))
        assert expression("dynamic (-5)") == s.DynamicLiteral(long(-5))

    def test_integers_beyond_64_bits_are_real(self) -> None:
        assert expression("dynamic(18446744073709551615)") == s.DynamicLiteral(
            s.Literal("real", 18446744073709551615.0)
        )

    def test_expressions_are_refused_with_the_remedy(self) -> None:
        with pytest.raises(KqlSyntaxError, match="only literals"):
            expression("dynamic([a, b])")


class TestNames:
    def test_quoted(self) -> None:
        assert expression("['a b']") == s.Name("a b")
        assert expression('["a b"]') == s.Name("a b")

    def test_quoting_is_remembered(self) -> None:
        found = expression("['a']")
        assert isinstance(found, s.Name)
        assert found.quoted

    @pytest.mark.parametrize(
        "name",
        [
            "count", "type", "kind", "on", "with", "id", "range", "title", "step", "to", "as",
            "from", "table", "database", "cluster", "search", "print", "let", "set", "null",
            "datetime", "string", "top", "take", "first", "last", "view", "pattern", "hint",
        ],
    )  # fmt: skip
    def test_keywords_are_names_where_nothing_else_can_stand(self, name: str) -> None:
        query = parse(f"T | where {name} == 1 | project {name}, {name} = {name} | sort by {name}")
        (pipe,) = query.results
        assert isinstance(pipe, s.Pipe)
        where, project, _sort = pipe.operators
        assert where == s.Where(s.Binary("==", s.Name(name), long(1)))
        assert project == s.Project((s.Name(name), s.NamedExpression((s.Name(name),), s.Name(name))))

    def test_paths(self) -> None:
        assert expression("a.b.c") == s.Member(s.Member(A, B), C)
        assert expression("a['b']") == s.Index(A, string("b"))
        assert expression('a.["b c"]') == s.Index(A, string("b c"))
        assert expression("a[0].b[-1]") == s.Index(s.Member(s.Index(A, long(0)), B), s.Unary("-", long(1)))

    def test_keywords_are_members_too(self) -> None:
        assert expression("a.count.by") == s.Member(s.Member(A, s.Name("count")), s.Name("by"))

    def test_client_parameters(self) -> None:
        assert expression("{TimeRange}") == s.Name("{TimeRange}")


class TestCalls:
    def test_arguments(self) -> None:
        assert expression("f(a, 1, *)") == s.Call("f", (A, long(1), s.Star()))
        assert expression("f()") == s.Call("f")
        assert expression("f (a)") == s.Call("f", (A,))

    def test_named_arguments(self) -> None:
        assert expression("f(x = 1)") == s.Call("f", (s.NamedExpression((s.Name("x"),), long(1)),))

    def test_tabular_arguments(self) -> None:
        found = expression("toscalar(T | count)")
        assert found == s.Call("toscalar", (s.Pipe(s.Name("T"), (s.Count(),)),))

    def test_advice_to_the_optimizer_is_dropped(self) -> None:
        assert expression("toscalar kind=nooptimization (T | count)") == expression("toscalar(T | count)")

    def test_sources_as_arguments(self) -> None:
        found = expression("toscalar(range x from 1 to 3 step 1)")
        assert isinstance(found, s.Call)
        assert isinstance(found.arguments[0], s.Pipe)
        assert isinstance(found.arguments[0].source, s.Range)

    def test_dotted_calls(self) -> None:
        cluster = s.Call("cluster", (string("c"),))
        database = s.Member(cluster, s.Call("database", (string("d"),)))
        assert expression("cluster('c').database('d').T") == s.Member(database, s.Name("T"))

    def test_typeof(self) -> None:
        assert expression("typeof(double)") == s.TypeOf(s.TypeReference("real"))
        columns = (s.ColumnDeclaration("a", "long"),)
        assert expression("typeof(a:long, *)") == s.TypeOf(s.TypeReference(columns=columns, open=True))

    def test_names_of_several_results(self) -> None:
        assert expression("(x, ['y z']) = f(a)") == s.NamedExpression(
            (s.Name("x"), s.Name("y z")), s.Call("f", (A,)), parenthesized=True
        )


def test_spans_point_at_the_source() -> None:
    text = "print a + f(b, 'c')"
    (pipe,) = parse(text).results
    assert isinstance(pipe, s.Pipe)
    assert isinstance(pipe.source, s.Print)
    (total,) = pipe.source.columns
    assert isinstance(total, s.Binary)
    assert text[total.span.start : total.span.end] == "a + f(b, 'c')"
    assert text[total.right.span.start : total.right.span.end] == "f(b, 'c')"


def test_spans_take_no_part_in_equality() -> None:
    assert expression("a+b") == expression("  a   +   b  ")
