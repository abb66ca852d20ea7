"""Operators that choose, name and order columns and rows; each rule starts behind its keyword."""

from __future__ import annotations

from spark_kusto.kql import syntax
from spark_kusto.kql.parser.cursor import END_OF_OPERATOR
from spark_kusto.kql.parser.graphs import GraphParser
from spark_kusto.kql.parser.sources import HINTS_ONLY


class RowParser(GraphParser):
    """Rules for operators from one table to one, row by row or by `summarize`."""

    __slots__ = ()

    def named_list(self) -> tuple[syntax.Expression, ...]:
        """`[name =] expression, ...`."""
        return self.comma_list(self.named)

    def _at_end(self) -> bool:
        return self.texts[self.i] in END_OF_OPERATOR

    def _where(self, start: int) -> syntax.Operator:
        hints = self.parameters(HINTS_ONLY)
        predicate = self.expression()
        return syntax.Where(predicate, hints=tuple(hints), span=self.span(start))

    def _project(self, start: int) -> syntax.Operator:
        columns = () if self._at_end() else self.named_list()
        return syntax.Project(columns, span=self.span(start))

    def _project_away(self, start: int) -> syntax.Operator:
        columns = () if self._at_end() else self.comma_list(self._column_pattern)
        return syntax.ProjectAway(columns, span=self.span(start))

    def _project_keep(self, start: int) -> syntax.Operator:
        return syntax.ProjectKeep(self.comma_list(self._column_pattern), span=self.span(start))

    def _column_pattern(self) -> syntax.Expression:
        return self.wildcard_or_name("a column name")

    def _project_rename(self, start: int) -> syntax.Operator:
        columns = () if self._at_end() else self.named_list()
        return syntax.ProjectRename(columns, span=self.span(start))

    def _project_reorder(self, start: int) -> syntax.Operator:
        columns = () if self._at_end() else self.comma_list(self._reorder_key)
        return syntax.ProjectReorder(columns, span=self.span(start))

    def _reorder_key(self) -> syntax.ReorderKey:
        start = self.i
        column = self._column_pattern()
        order = None
        if self.texts[self.i] in ("asc", "desc", "granny-asc", "granny-desc"):
            order = self.texts[self.i]
            self.i += 1
        return syntax.ReorderKey(column, order, span=self.span(start))

    def _project_by_names(self, start: int) -> syntax.Operator:
        return syntax.ProjectByNames(self.comma_list(self._names_or_expression), span=self.span(start))

    def _names_or_expression(self) -> syntax.Expression:
        return self.accept_wildcard() or self.expression()

    def _extend(self, start: int) -> syntax.Operator:
        return syntax.Extend(self.named_list(), span=self.span(start))

    def _serialize(self, start: int) -> syntax.Operator:
        hints = self.parameters(HINTS_ONLY)
        columns = () if self._at_end() else self.named_list()
        return syntax.Serialize(columns, hints=tuple(hints), span=self.span(start))

    def _distinct(self, start: int) -> syntax.Operator:
        hints = self.parameters(HINTS_ONLY)
        columns = self.named_list()
        return syntax.Distinct(columns, hints=tuple(hints), span=self.span(start))

    # -- rows -----------------------------------------------------------------------------------

    def _summarize(self, start: int) -> syntax.Operator:
        hints = self.parameters(HINTS_ONLY)
        aggregates: tuple[syntax.Expression, ...] = ()
        by: tuple[syntax.Expression, ...] = ()
        if self.texts[self.i] != "by" and not self._at_end():
            aggregates = self.named_list()
        if self.accept("by"):
            by = self.named_list()
            if self.texts[self.i] == "bin" and self.texts[self.i + 1] == "=":
                by = self._with_bin(by)
        return syntax.Summarize(aggregates, by, hints=tuple(hints), span=self.span(start))

    def _with_bin(self, by: tuple[syntax.Expression, ...]) -> tuple[syntax.Expression, ...]:
        """`summarize ... by x bin=1d`, an old form of `by bin(x, 1d)`."""
        self.i += 2
        size = self.expression()
        last = by[-1]
        if isinstance(last, syntax.NamedExpression):
            binned: syntax.Expression = syntax.NamedExpression(
                last.names,
                syntax.Call("bin", (last.value, size), span=last.span),
                last.parenthesized,
                span=last.span,
            )
        else:
            binned = syntax.Call("bin", (last, size), span=last.span)
        return (*by[:-1], binned)

    def _sort_key(self) -> syntax.SortKey:
        start = self.i
        expression = self.named()
        ascending = nulls_first = None
        if self.texts[self.i] in ("asc", "desc"):
            ascending = self.texts[self.i] == "asc"
            self.i += 1
        if self.accept("nulls"):
            if self.texts[self.i] not in ("first", "last"):
                raise self.expected("'first' or 'last' after nulls")
            nulls_first = self.texts[self.i] == "first"
            self.i += 1
        return syntax.SortKey(expression, ascending, nulls_first, span=self.span(start))

    def _sort(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        self.expect("by", f"after {self.texts[start]}")
        keys = self.comma_list(self._sort_key)
        return syntax.Sort(keys, hints=tuple(hints), span=self.span(start))

    def _top(self, start: int) -> syntax.Operator:
        hints = self.parameters(HINTS_ONLY)
        count = self.named()
        self.expect("by", "after the number of rows of top")
        keys = self.comma_list(self._sort_key)
        return syntax.Top(count, keys, hints=tuple(hints), span=self.span(start))

    def _take(self, start: int) -> syntax.Operator:
        hints = self.parameters(HINTS_ONLY)
        return syntax.Take(self.named(), hints=tuple(hints), span=self.span(start))

    def _sample(self, start: int) -> syntax.Operator:
        hints = self.parameters(HINTS_ONLY)
        return syntax.Sample(self.named(), hints=tuple(hints), span=self.span(start))

    def _sample_distinct(self, start: int) -> syntax.Operator:
        hints = self.parameters(HINTS_ONLY)
        count = self.named()
        self.expect("of", "after the number of values of sample-distinct")
        return syntax.SampleDistinct(count, self.named(), hints=tuple(hints), span=self.span(start))

    def _count(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        name = self.name("a name after as") if self.accept("as") else None
        return syntax.Count(name, hints=tuple(hints), span=self.span(start))

    def _as(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        return syntax.As(self.name("a name after as"), hints=tuple(hints), span=self.span(start))

    def _getschema(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        kind = self.take_text(hints, "kind")
        return syntax.GetSchema(kind, hints=tuple(hints), span=self.span(start))

    def _consume(self, start: int) -> syntax.Operator:
        return syntax.Consume(hints=tuple(self.parameters()), span=self.span(start))

    def _assert_schema(self, start: int) -> syntax.Operator:
        return syntax.AssertSchema(self.table_type("assert-schema"), span=self.span(start))

    def _execute_and_cache(self, start: int) -> syntax.Operator:
        return syntax.ExecuteAndCache(span=self.span(start))

    def _invoke(self, start: int) -> syntax.Operator:
        call = self.operand()
        is_call = isinstance(call, syntax.Call) or (
            isinstance(call, syntax.Member) and isinstance(call.member, syntax.Call)
        )
        if not is_call or not isinstance(call, syntax.Call | syntax.Member):
            raise self.error("expected a function call after invoke, such as invoke f()", start + 1)
        return syntax.Invoke(call, span=self.span(start))

    def _evaluate(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        if self.kinds[self.i] != "word" or self.texts[self.i + 1] != "(":
            raise self.expected("a plugin's name and arguments after evaluate, such as pivot(x)")
        call = self.call()
        schema = None
        if self.accept(":"):
            schema = self.table_type("the plugin's result")
        return syntax.Evaluate(call, schema, hints=tuple(hints), span=self.span(start))

    def _render(self, start: int) -> syntax.Operator:
        if self.kinds[self.i] != "word":
            raise self.expected("a visualization after render, such as timechart")
        visualization = self.texts[self.i]
        self.i += 1
        properties: list[syntax.RenderProperty] = []
        while True:
            first = self.i
            text = self.texts[first]
            if text == "with" and self.texts[first + 1] == "(":
                self.i += 2
                self.accept(",")
                while self.texts[self.i] != ")":
                    properties.append(self._render_property())
                    if not self.accept(","):
                        break
                self.close(")", first + 1, "the properties of render")
                break
            if text in ("by", "with"):
                self.i += 1
                values = self.comma_list(self.operand)
                properties.append(syntax.RenderProperty(text, values, span=self.span(first)))
            elif self.kinds[first] == "word" and self.texts[first + 1] == "=":
                properties.append(self._render_property())
            else:
                break
        return syntax.Render(visualization, tuple(properties), span=self.span(start))

    def _render_property(self) -> syntax.RenderProperty:
        start = self.i
        name = self.name("a property of render").name
        self.expect("=", f"after the property {name}")
        values = [self.expression()]
        while self.texts[self.i] == "," and not self._property_follows(self.i + 1):
            self.i += 1
            values.append(self.expression())
        return syntax.RenderProperty(name, tuple(values), span=self.span(start))

    def _property_follows(self, i: int) -> bool:
        return self.texts[i] == ")" or (self.kinds[i] == "word" and self.texts[i + 1] == "=")
