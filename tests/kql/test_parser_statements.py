"""Statements, functions, and queries of several statements."""

from __future__ import annotations

import pytest

from spark_kusto.errors import KqlSyntaxError
from spark_kusto.kql import parse
from spark_kusto.kql import syntax as s

T = s.Name("T")
ONE = s.Literal("long", 1)


def statement(text: str) -> s.Statement:
    (found,) = parse(text).statements
    return found


def function(text: str) -> s.Function:
    let = statement(f"let f = {text}")
    assert isinstance(let, s.Let)
    assert isinstance(let.value, s.Function)
    return let.value


class TestQuery:
    def test_several_statements(self) -> None:
        query = parse("let x = 1; T | take x; ; U;")
        assert [type(part) for part in query.statements] == [
            s.Let,
            s.ExpressionStatement,
            s.ExpressionStatement,
        ]
        assert query.results == (s.Pipe(T, (s.Take(s.Name("x")),)), s.Name("U"))

    @pytest.mark.parametrize("text", ["", "  \n ", "// only a comment", ";;"])
    def test_nothing(self, text: str) -> None:
        assert parse(text).statements == ()

    def test_the_text_is_kept(self) -> None:
        assert parse("T // c").text == "T // c"

    def test_the_result_of_a_command(self) -> None:
        assert parse("$command_results | count").results == (
            s.Pipe(s.Name("$command_results"), (s.Count(),)),
        )


class TestLet:
    def test_scalar_and_tabular(self) -> None:
        assert statement("let x = 1") == s.Let(s.Name("x"), ONE)
        assert statement("let ['a b'] = T | take 1") == s.Let(s.Name("a b"), s.Pipe(T, (s.Take(ONE),)))

    def test_materialize(self) -> None:
        assert statement("let x = materialize(T | take 1)") == s.Let(
            s.Name("x"), s.Call("materialize", (s.Pipe(T, (s.Take(ONE),)),))
        )

    def test_entity_group(self) -> None:
        found = statement("let g = entity_group [database('a'), cluster('c').database('b')]")
        assert isinstance(found, s.Let)
        assert isinstance(found.value, s.EntityGroup)

    def test_a_parenthesized_query_is_no_function(self) -> None:
        assert statement("let x = (T | take 1)") == s.Let(s.Name("x"), s.Pipe(T, (s.Take(ONE),)))

    def test_a_variable_named_let(self) -> None:
        assert parse("let | take 1").results == (s.Pipe(s.Name("let"), (s.Take(ONE),)),)


class TestFunctions:
    def test_scalar_parameters(self) -> None:
        found = function("(a:long, b:string = 'x', c:double = -1.5) { a }")
        assert found == s.Function(
            (
                s.FunctionParameter("a", s.TypeReference("long")),
                s.FunctionParameter("b", s.TypeReference("string"), s.Literal("string", "x")),
                s.FunctionParameter("c", s.TypeReference("real"), s.Unary("-", s.Literal("real", 1.5))),
            ),
            (),
            s.Name("a"),
        )

    def test_tabular_parameters(self) -> None:
        found = function("(T:(x:long, ['y z']:string), U:(*)) { T | take 1 }")
        first, second = found.parameters
        assert first.type == s.TypeReference(
            columns=(s.ColumnDeclaration("x", "long"), s.ColumnDeclaration("y z", "string"))
        )
        assert second.type == s.TypeReference(columns=(), open=True)
        assert first.type.is_tabular
        assert second.type.is_tabular

    def test_no_parameters(self) -> None:
        assert function("() { 1 }") == s.Function((), (), ONE)
        assert function("(){\n T\n;}") == s.Function((), (), T)

    def test_body_with_statements(self) -> None:
        found = function("() { let x = 1; let g = (y:long) { y }; T | take x }")
        assert len(found.statements) == 2
        assert found.body == s.Pipe(T, (s.Take(s.Name("x")),))

    def test_view(self) -> None:
        found = function("view () { T }")
        assert found.view
        assert found.body == T

    def test_empty_body(self) -> None:
        assert function("() { }").body is None


class TestOtherStatements:
    def test_set(self) -> None:
        assert statement("set notruncation") == s.SetOption("notruncation")
        assert statement("set a = 5") == s.SetOption("a", s.Literal("long", 5))
        assert statement("set a = b") == s.SetOption("a", s.Name("b"))

    def test_query_parameters(self) -> None:
        assert statement("declare query_parameters (a:long = 1, b:dynamic)") == (
            s.DeclareQueryParameters(
                (
                    s.FunctionParameter("a", s.TypeReference("long"), ONE),
                    s.FunctionParameter("b", s.TypeReference("dynamic")),
                )
            )
        )

    def test_alias(self) -> None:
        found = statement("alias database d = cluster('c').database('x')")
        assert isinstance(found, s.Alias)
        assert (found.kind, found.name) == ("database", s.Name("d"))
        assert isinstance(found.target, s.Member)

    def test_restrict(self) -> None:
        found = statement("restrict access to (T, database('d').*, V*)")
        assert found == s.RestrictAccess(
            (
                T,
                s.Member(s.Call("database", (s.Literal("string", "d"),)), s.Star()),
                s.WildcardName("V*"),
            )
        )

    def test_pattern(self) -> None:
        assert statement("declare pattern p") == s.DeclarePattern(s.Name("p"))
        found = statement(
            "declare pattern p = (a:string)[scope:string] {"
            " ('x').['s'] = { T | take 1 }; ('y') = { let z = 1; U }; }"
        )
        assert isinstance(found, s.DeclarePattern)
        assert found.parameters == (s.ColumnDeclaration("a", "string"),)
        assert found.path_parameter == s.ColumnDeclaration("scope", "string")
        first, second = found.matches
        assert first.arguments == (s.Literal("string", "x"),)
        assert first.path == s.Literal("string", "s")
        assert first.body == s.Pipe(T, (s.Take(ONE),))
        assert len(second.statements) == 1
        assert second.path is None

    @pytest.mark.parametrize("word", ["let", "set", "declare", "alias", "restrict"])
    def test_statement_keywords_are_tables_where_nothing_follows(self, word: str) -> None:
        assert parse(f"{word} | count").results == (s.Pipe(s.Name(word), (s.Count(),)),)


def test_nodes_are_values() -> None:
    query = parse("T | where a == 1 | summarize count() by b")
    assert query == parse("T|where a==1|summarize count() by b // same")
    assert hash(query.results[0]) == hash(parse("T|where a==1|summarize count() by b").results[0])
    with pytest.raises(AttributeError):
        query.text = ""  # type: ignore[misc]


def test_a_missing_semicolon() -> None:
    with pytest.raises(KqlSyntaxError, match="';' after let x") as caught:
        parse("let x = 1\nT | take x")
    assert (caught.value.line, caught.value.column) == (2, 1)
