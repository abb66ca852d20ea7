"""Statements and whole queries."""

from __future__ import annotations

from spark_kusto.errors import KqlSyntaxError
from spark_kusto.kql import syntax
from spark_kusto.kql.parser.cursor import MAX_NESTING
from spark_kusto.kql.parser.operators import OperatorParser


class QueryParser(OperatorParser):
    """Rules for statements."""

    __slots__ = ()

    # -- queries --------------------------------------------------------------------------------

    def query(self) -> syntax.Query:
        """Everything up to the end of the text."""
        start = self.i
        if self.texts[start] == ".":
            raise self.error(
                "a management command stands where a query is expected",
                remedy="Text that starts with '.' is a command: execute it instead of querying.",
            )
        statements = self.statements("")
        if self.kinds[self.i] != "end":
            raise self._after_statement(statements)
        return syntax.Query(statements, self.source, span=self.span(start))

    def _after_statement(self, statements: tuple[syntax.Statement, ...]) -> KqlSyntaxError:
        text = self.texts[self.i]
        if text in (")", "]", "}"):
            return self.error(f"'{text}' closes nothing that was opened")
        last = statements[-1] if statements else None
        if isinstance(last, syntax.Let):
            return self.expected_after_expression(f"';' after let {last.name.name}")
        if last is not None and not isinstance(last, syntax.ExpressionStatement):
            return self.expected("';' after the statement")
        if self.texts[0].lower() == "select":
            return self.error(
                "this looks like SQL, but KQL is expected",
                0,
                remedy="KQL begins with the table: T | where x > 1 | project x, y.",
            )
        return self.expected_after_expression("'|', ';' or the end of the query")

    def statements(self, closing: str) -> tuple[syntax.Statement, ...]:
        found: list[syntax.Statement] = []
        while True:
            while self.accept(";"):
                pass
            if self.texts[self.i] == closing:
                return tuple(found)
            found.append(self.statement())
            if self.texts[self.i] != ";":
                return tuple(found)

    def statement(self) -> syntax.Statement:
        start = self.i
        text = self.texts[start]
        following = self.texts[start + 1]
        if text == "let" and (self.at_name(start + 1) or following != "|"):
            return self._let()
        if text == "set" and self.kinds[start + 1] in ("word", "["):
            return self._set()
        if text == "declare" and following == "query_parameters":
            return self._query_parameters()
        if text == "declare" and following == "pattern":
            return self._pattern()
        if text == "alias" and following in ("database", "cluster"):
            return self._alias()
        if text == "restrict" and following == "access":
            return self._restrict()
        expression = self.pipe()
        return syntax.ExpressionStatement(expression, span=self.span(start))

    # -- let ------------------------------------------------------------------------------------

    def _let(self) -> syntax.Let:
        start = self.i
        self.i += 1
        name = self.name("a name after let")
        self.expect("=", f"after let {name.name}")
        value = self.function() if self._at_function() else self.pipe()
        return syntax.Let(name, value, span=self.span(start))

    def _at_function(self) -> bool:
        """Whether `(a:long, ...) {`, `() {` or `view (...) {` starts here."""
        i = self.i
        if self.texts[i] == "view" and self.texts[i + 1] == "(":
            i += 1
        if self.texts[i] != "(":
            return False
        if self.texts[i + 1] == ")":
            return self.texts[i + 2] == "{"
        end = self.at_name(i + 1)
        return bool(end) and self.texts[end] == ":"

    def function(self) -> syntax.Function:
        """`[view] (parameters) { body }`."""
        start = self.i
        is_view = self.accept("view")
        parameters = self.function_parameters()
        statements, body = self.function_body()
        return syntax.Function(parameters, statements, body, is_view, span=self.span(start))

    def function_parameters(self) -> tuple[syntax.FunctionParameter, ...]:
        """`(a:long = 1, T:(*))`."""
        opened = self.i
        self.expect("(", "before the parameters")
        parameters: tuple[syntax.FunctionParameter, ...] = ()
        if self.texts[self.i] != ")":
            parameters = self.comma_list(self._function_parameter)
        self.close(")", opened, "the parameters")
        return parameters

    def _function_parameter(self) -> syntax.FunctionParameter:
        start = self.i
        name = self.name("a parameter's name")
        self.expect(":", f"and a type after the parameter {name.name}")
        kind = self.type_reference(f"the parameter {name.name}")
        default = self.operand() if self.accept("=") else None
        return syntax.FunctionParameter(name.name, kind, default, span=self.span(start))

    def function_body(
        self,
    ) -> tuple[tuple[syntax.Statement, ...], syntax.Expression | None]:
        """`{ statements; expression }`."""
        opened = self.i
        self.expect("{", "before the body of the function")
        self.nest()
        statements = self.statements("}")
        self.close("}", opened, "the body of the function")
        self.depth -= 1
        if statements and isinstance(statements[-1], syntax.ExpressionStatement):
            return statements[:-1], statements[-1].expression
        return statements, None

    # -- other statements -----------------------------------------------------------------------

    def _set(self) -> syntax.SetOption:
        start = self.i
        self.i += 1
        name = self.name("an option's name after set").name
        value = self.expression() if self.accept("=") else None
        return syntax.SetOption(name, value, span=self.span(start))

    def _query_parameters(self) -> syntax.DeclareQueryParameters:
        start = self.i
        self.i += 2
        parameters = self.function_parameters()
        return syntax.DeclareQueryParameters(parameters, span=self.span(start))

    def _alias(self) -> syntax.Alias:
        start = self.i
        kind = self.texts[start + 1]
        self.i += 2
        name = self.name(f"a name after alias {kind}")
        self.expect("=", f"after alias {kind} {name.name}")
        return syntax.Alias(kind, name, self.expression(), span=self.span(start))

    def _restrict(self) -> syntax.RestrictAccess:
        start = self.i
        self.i += 2
        self.expect("to", "after restrict access")
        opened = self.i
        self.expect("(", "after restrict access to")
        entities = self.comma_list(lambda: self.entity("a table, view or function"))
        self.close(")", opened, "the entities of restrict access")
        properties: tuple[syntax.Property, ...] = ()
        if self.texts[self.i] == "with":
            properties = self.properties("restrict access")
        return syntax.RestrictAccess(entities, properties, span=self.span(start))

    def _pattern(self) -> syntax.DeclarePattern:
        start = self.i
        self.i += 2
        name = self.name("a pattern's name")
        if not self.accept("="):
            return syntax.DeclarePattern(name, span=self.span(start))
        opened = self.i
        self.expect("(", "before the parameters of the pattern")
        parameters: tuple[syntax.ColumnDeclaration, ...] = ()
        if self.texts[self.i] != ")":
            parameters = self.comma_list(self.column_declaration)
        self.close(")", opened, "the parameters of the pattern")
        path = None
        opened = self.i
        if self.accept("["):
            path = self.column_declaration()
            self.close("]", opened, "the path parameter of the pattern")
        opened = self.i
        self.expect("{", "before the matches of the pattern")
        self.nest()
        matches: list[syntax.PatternMatch] = []
        while self.texts[self.i] == "(":
            matches.append(self._pattern_match())
            while self.accept(";"):
                pass
        self.close("}", opened, "the matches of the pattern")
        self.depth -= 1
        return syntax.DeclarePattern(name, parameters, path, tuple(matches), span=self.span(start))

    def _pattern_match(self) -> syntax.PatternMatch:
        start = self.i
        self.i += 1
        arguments = self.comma_list(self.expression)
        self.close(")", start, "the arguments of the match")
        path = None
        if self.accept("."):
            opened = self.i
            self.expect("[", "after '.' of the match")
            path = self.string("the path's value as a string")
            self.close("]", opened, "the path's value")
        self.expect("=", "before the body of the match")
        statements, body = self.function_body()
        return syntax.PatternMatch(arguments, path, statements, body, span=self.span(start))


def parse(text: str) -> syntax.Query:
    """Parse a query.

    Args:
        text: one or more KQL statements, separated by semicolons.

    Returns:
        The syntax tree. A text without any statement, only comments perhaps, gives a query
        without statements.

    Raises:
        KqlSyntaxError: with line, column and a caret under the place.
    """
    try:
        return QueryParser(text).query()
    except RecursionError:
        raise too_deep() from None


def too_deep() -> KqlSyntaxError:
    """The error for a text that Python's stack has no room for, called from deep within one."""
    return KqlSyntaxError(
        f"the text is nested too deeply (at most {MAX_NESTING} levels, fewer where the calling "
        "program's own stack is deep)",
        remedy="Name inner parts with let.",
    )
