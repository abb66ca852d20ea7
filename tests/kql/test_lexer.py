"""Tokens: what the lexer cuts a text into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_kusto.errors import KqlSyntaxError
from spark_kusto.kql.lexer import MAX_TEXT_LENGTH, line_and_column, tokenize


def tokens(text: str) -> list[tuple[str, str]]:
    found = tokenize(text)
    return list(zip(found.kinds, found.texts, strict=True))[: len(found)]


def kinds(text: str) -> list[str]:
    return [kind for kind, _ in tokens(text)]


def texts(text: str) -> list[str]:
    return [token for _, token in tokens(text)]


class TestWords:
    def test_operator_keywords_with_hyphens_are_one_word(self) -> None:
        assert texts("T | mv-expand a | project-away b") == [
            "T",
            "|",
            "mv-expand",
            "a",
            "|",
            "project-away",
            "b",
        ]

    def test_a_hyphen_between_other_words_is_a_minus(self) -> None:
        assert texts("a-b") == ["a", "-", "b"]
        assert texts("project-awayx") == ["project", "-", "awayx"]

    def test_negated_and_case_insensitive_operators(self) -> None:
        assert texts("a !has b in~ c !in~ d !contains_cs e") == [
            "a",
            "!has",
            "b",
            "in~",
            "c",
            "!in~",
            "d",
            "!contains_cs",
            "e",
        ]

    def test_matches_regex_is_one_word_whatever_the_blanks(self) -> None:
        assert texts("a matches   regex b") == ["a", "matches regex", "b"]

    def test_operators_that_are_never_names(self) -> None:
        assert kinds("a !has in~ matches regex !x") == ["word"] + ["operator"] * 4

    def test_dollar_names_and_names_that_begin_with_digits(self) -> None:
        assert tokens("$left.a 3com _x") == [
            ("word", "$left"),
            (".", "."),
            ("word", "a"),
            ("word", "3com"),
            ("word", "_x"),
        ]

    def test_letters_of_any_alphabet(self) -> None:
        assert kinds("Größe 名前 имя") == ["word"] * 3


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("0", "long"),
            ("42", "long"),
            ("0x1F", "long"),
            ("1.5", "real"),
            ("1.", "real"),
            ("1e5", "real"),
            ("1.5E-3", "real"),
            ("1d", "timespan"),
            ("2.5h", "timespan"),
            ("100ms", "timespan"),
            ("5microsecond", "timespan"),
            ("1tick", "timespan"),
            ("1hr", "timespan"),
            ("1dx", "word"),
            ("0x", "word"),
            ("12345678-1234-1234-1234-123456789abc", "guid"),
        ],
    )
    def test_kind(self, text: str, kind: str) -> None:
        assert tokens(text) == [(kind, text)]

    def test_two_points_are_a_range(self) -> None:
        assert kinds("1..2") == ["long", "..", "long"]
        assert kinds("1.5..2.5") == ["real", "..", "real"]
        assert kinds("1d..2d") == ["timespan", "..", "timespan"]

    def test_typed_literals_are_taken_raw(self) -> None:
        assert tokens("datetime(2020-01-01 10:00) int( -5 )") == [
            ("typed", "datetime(2020-01-01 10:00)"),
            ("typed", "int( -5 )"),
        ]

    def test_words_that_only_end_like_a_type_are_calls(self) -> None:
        assert kinds("todatetime(x)") == ["word", "(", "word", ")"]

    def test_a_typed_literal_without_end(self) -> None:
        with pytest.raises(KqlSyntaxError, match=r"no \) follows datetime\("):
            tokenize("print datetime(2020-01-01")


class TestStrings:
    @pytest.mark.parametrize(
        "text",
        [
            '"a"',
            "'a'",
            '"a\\"b"',
            "'a\\\\'",
            '@"a\\"',
            '@"a""b"',
            "@'a''b'",
            'h"secret"',
            "H@'secret'",
            "```a\n'b'\n```",
            "~~~a\nb~~~",
            '""',
            '"// no comment"',
        ],
    )
    def test_each_form_is_one_token(self, text: str) -> None:
        assert tokens(f"{text} x") == [("string", text), ("word", "x")]

    def test_a_name_h_before_a_string_needs_no_blank(self) -> None:
        assert kinds('h "a"') == ["word", "string"]

    @pytest.mark.parametrize("text", ['"a', "'a\n'", '"a\\"', "```a``", 'h"'])
    def test_without_end(self, text: str) -> None:
        with pytest.raises(KqlSyntaxError, match="not closed"):
            tokenize(f"print {text}")


class TestSpaceAndComments:
    def test_comments_run_to_the_end_of_the_line(self) -> None:
        assert texts("a // b | c\nd//e\r\nf //") == ["a", "d", "f"]

    def test_unicode_blanks_and_a_byte_order_mark(self) -> None:
        assert texts("\ufeffa\u00a0b\u200bc\u3000d") == ["a", "b", "c", "d"]

    def test_directives_at_the_top_are_left_out(self) -> None:
        assert texts("#connect cluster('x')\n// why\n#other\nT") == ["T"]

    def test_offsets_point_into_the_text(self) -> None:
        text = "T // c\n| where x == 'a b'"
        found = tokenize(text)
        for k in range(len(found)):
            assert text[found.starts[k] : found.ends[k]] == found.texts[k]

    def test_an_end_can_be_looked_past(self) -> None:
        found = tokenize("a")
        assert found.kinds[1:] == ["end"] * 4
        assert len(found) == 1


class TestBadCharacters:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("print \u201ca\u201d", "typographic quote"),
            ("T | where a && b", "is not an operator"),
            ("a ! b", "must be followed by an operator"),
            ("a \x00 b", r"U\+0000"),
            ("a ; # b", "'#' is not part of the language"),
        ],
    )
    def test_message(self, text: str, message: str) -> None:
        with pytest.raises(KqlSyntaxError, match=message):
            tokenize(text)

    def test_a_text_that_is_too_long(self) -> None:
        with pytest.raises(KqlSyntaxError, match="characters"):
            tokenize(" " * (MAX_TEXT_LENGTH + 1))


def test_line_and_column() -> None:
    assert line_and_column("ab\ncd", 0) == (1, 1)
    assert line_and_column("ab\ncd", 3) == (2, 1)
    assert line_and_column("ab\r\ncd", 5) == (2, 2)
    assert line_and_column("ab\n", 3) == (2, 1)


@given(st.text(max_size=200))
def test_any_text_gives_tokens_or_a_syntax_error(text: str) -> None:
    try:
        found = tokenize(text)
    except KqlSyntaxError as error:
        if error.line < 1 or error.column < 1:
            raise AssertionError("a syntax error without a place") from error
    else:
        assert all(kind != "end" for kind in found.kinds[: len(found)])
        assert found.starts == sorted(found.starts)
