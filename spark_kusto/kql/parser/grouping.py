"""Operators that take values apart or groups of rows together.

Each rule starts behind its keyword.
"""

from __future__ import annotations

from spark_kusto.kql import syntax
from spark_kusto.kql.parser.cursor import END_OF_OPERATOR
from spark_kusto.kql.parser.rows import RowParser

_KIND = frozenset(("kind",))
_PARSE_PARAMETERS = frozenset(("kind", "flags"))
_EXPAND_PARAMETERS = frozenset(("kind", "bagexpansion", "with_itemindex", "withitemindex"))


class GroupingParser(RowParser):
    """Rules for `mv-expand`, `parse`, `make-series`, `partition`, `scan` and their like."""

    __slots__ = ()

    def operator(self) -> syntax.Operator:
        """The operator whose keyword is at the token."""
        raise NotImplementedError

    # -- several rows from one ------------------------------------------------------------------

    def _mv_column(self) -> syntax.MvColumn:
        start = self.i
        expression = self.named()
        name = None
        if isinstance(expression, syntax.NamedExpression) and not expression.parenthesized:
            name = expression.names[0]
            expression = expression.value
        to_type = self.type_of().type if self.accept("to") else None
        return syntax.MvColumn(expression, name, to_type, span=self.span(start))

    def _mv_expand(self, start: int) -> syntax.Operator:
        hints = self.parameters(_EXPAND_PARAMETERS)
        kind = self.take_text(hints, "kind", "bagexpansion")
        index = self.take_text(hints, "with_itemindex", "withitemindex")
        columns = self.comma_list(self._mv_column)
        limit = self.expression() if self.accept("limit") else None
        return syntax.MvExpand(columns, kind, index, limit, hints=tuple(hints), span=self.span(start))

    def _mv_apply(self, start: int) -> syntax.Operator:
        hints = self.parameters(_EXPAND_PARAMETERS)
        index = self.take_text(hints, "with_itemindex", "withitemindex")
        columns = self.comma_list(self._mv_column)
        limit = self.expression() if self.accept("limit") else None
        context_id = self.expression() if self.accept("id") else None
        self.expect("on", "before the subquery of mv-apply")
        subquery = self.sub_pipe("mv-apply")
        return syntax.MvApply(
            columns,
            subquery,
            index,
            limit,
            context_id,
            hints=tuple(hints),
            span=self.span(start),
        )

    def _parse(self, start: int) -> syntax.Operator:
        return self._parse_of(start, filtering=False)

    def _parse_where(self, start: int) -> syntax.Operator:
        return self._parse_of(start, filtering=True)

    def _parse_of(self, start: int, filtering: bool) -> syntax.Operator:
        hints = self.parameters(_PARSE_PARAMETERS)
        kind = self.take_text(hints, "kind")
        flags = self.take_text(hints, "flags")
        expression = self.expression()
        self.expect("with", "before the pattern of parse")
        pattern: list[syntax.ParseElement] = []
        while not self._at_end():
            pattern.append(self._parse_element())
        if not pattern:
            raise self.expected("a pattern after 'with'")
        return syntax.Parse(
            expression,
            tuple(pattern),
            kind,
            flags,
            filtering,
            hints=tuple(hints),
            span=self.span(start),
        )

    def _parse_element(self) -> syntax.ParseElement:
        start = self.i
        if self.accept("*"):
            return syntax.Star(span=self.span(start))
        if self.kinds[start] == "string":
            return self.string()
        name = self.name("a column, a string or * in the pattern of parse")
        kind = self.scalar_type() if self.accept(":") else None
        return syntax.ParseColumn(name.name, kind, span=self.span(start))

    def _parse_kv(self, start: int) -> syntax.Operator:
        expression = self.expression()
        self.expect("as", "before the columns of parse-kv")
        columns = self.row_schema("parse-kv")
        properties: tuple[syntax.Property, ...] = ()
        if self.texts[self.i] == "with":
            properties = self.properties("parse-kv")
        return syntax.ParseKv(expression, columns, properties, span=self.span(start))

    # -- grouping beyond summarize --------------------------------------------------------------

    def _make_series(self, start: int) -> syntax.Operator:
        hints = self.parameters(_KIND)
        kind = self.take_text(hints, "kind")
        aggregates = self.comma_list(self._series_aggregate)
        self.expect("on", "and the axis after the aggregates of make-series")
        axis = self.named()
        first = last = None
        in_range = False
        if self.accept("in"):
            in_range = True
            self.expect("range", "after in of make-series")
            opened = self.i
            self.expect("(", "after in range")
            first = self.named()
            self.expect(",", "between the bounds of make-series")
            last = self.named()
            self.expect(",", "before the step of make-series")
            step = self.named()
            self.close(")", opened, "the range of make-series")
        else:
            if self.accept("from"):
                first = self.expression()
            if self.accept("to"):
                last = self.expression()
            self.expect("step", "after the axis of make-series")
            step = self.expression()
        by: tuple[syntax.Expression, ...] = ()
        if self.accept("by"):
            by = self.named_list()
        return syntax.MakeSeries(
            aggregates,
            axis,
            step,
            first,
            last,
            by,
            kind,
            in_range,
            hints=tuple(hints),
            span=self.span(start),
        )

    def _series_aggregate(self) -> syntax.MakeSeriesAggregate:
        start = self.i
        expression = self.named()
        default = None
        if self.accept("default"):
            self.expect("=", "after default")
            default = self.named()
        return syntax.MakeSeriesAggregate(expression, default, span=self.span(start))

    def _partition(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        self.expect("by", "after partition")
        return self._partitioned(start, hints)

    def _partition_by(self, start: int) -> syntax.Operator:
        return self._partitioned(start, self.parameters())

    def _partitioned(self, start: int, hints: list[syntax.Hint]) -> syntax.Operator:
        by = self.simple_path("a column after partition by")
        scope = None
        if self.accept("in"):
            scope = self.primary()
        if self.accept("id"):
            self.primary()
        opened = self.i
        subquery: syntax.Expression
        if self.accept("{"):
            self.nest()
            subquery = self.pipe()
            self.close("}", opened, "the subquery of partition")
            self.depth -= 1
        elif self.texts[opened] == "(":
            subquery = self.sub_pipe("partition")
        else:
            raise self.expected("a subquery in ( ) or { } after partition by")
        return syntax.Partition(by, subquery, scope, hints=tuple(hints), span=self.span(start))

    def _top_nested(self, start: int) -> syntax.Operator:
        levels = [self._top_nested_level(start)]
        while self.texts[self.i] == "," and self.texts[self.i + 1] == "top-nested":
            self.i += 2
            levels.append(self._top_nested_level(self.i - 1))
        return syntax.TopNested(tuple(levels), span=self.span(start))

    def _top_nested_level(self, start: int) -> syntax.TopNestedLevel:
        count = None if self.texts[self.i] == "of" else self.named()
        self.expect("of", "after the number of values of top-nested")
        of = self.named()
        others = None
        if self.accept("with"):
            self.expect("others", "after with of top-nested")
            self.expect("=", "after with others")
            others = self.expression()
        self.expect("by", "before the aggregate of top-nested")
        key = self._sort_key()
        return syntax.TopNestedLevel(of, key.expression, count, others, key.ascending, span=self.span(start))

    def _top_hitters(self, start: int) -> syntax.Operator:
        count = self.named()
        self.expect("of", "after the number of values of top-hitters")
        of = self.named()
        by = self._sort_key().expression if self.accept("by") else None
        return syntax.TopHitters(count, of, by, span=self.span(start))

    def _reduce(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        kind = self.take_text(hints, "kind")
        self.expect("by", "after reduce")
        by = self.named()
        properties: tuple[syntax.Property, ...] = ()
        if self.texts[self.i] == "with" and self.texts[self.i + 1] == "(":
            properties = self.properties("reduce")
        elif self.accept("with"):
            properties = self.comma_list(lambda: self.property("reduce"))
        return syntax.Reduce(by, kind, properties, hints=tuple(hints), span=self.span(start))

    def _facet(self, start: int) -> syntax.Operator:
        self.expect("by", "after facet")
        by = self.comma_list(lambda: self.simple_path("a column after facet by"))
        subquery = None
        if self.accept("with"):
            if self.texts[self.i] == "(":
                subquery = self.sub_pipe("facet")
            else:
                first = self.i
                subquery = syntax.SubPipe((self.operator(),), span=self.span(first))
        return syntax.Facet(by, subquery, span=self.span(start))

    def _fork(self, start: int) -> syntax.Operator:
        branches = [self._fork_branch()]
        while self.texts[self.i] not in END_OF_OPERATOR:
            branches.append(self._fork_branch())
        return syntax.Fork(tuple(branches), span=self.span(start))

    def _fork_branch(self) -> syntax.ForkBranch:
        start = self.i
        name = None
        if self.texts[start] != "(":
            name = self.name("a branch of fork in parentheses")
            self.expect("=", "after a branch's name")
        return syntax.ForkBranch(self.sub_pipe("fork"), name, span=self.span(start))

    # -- scan -----------------------------------------------------------------------------------

    def _scan(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        match_id = self.take_text(hints, "with_match_id")
        order_by: tuple[syntax.SortKey, ...] = ()
        partition_by: tuple[syntax.Expression, ...] = ()
        declarations: tuple[syntax.ColumnDeclaration, ...] = ()
        while True:
            if self.accept("order"):
                self.expect("by", "after order")
                order_by = self.comma_list(self._sort_key)
            elif self.accept("partition"):
                self.expect("by", "after partition")
                partition_by = self.comma_list(self.expression)
            elif self.accept("declare"):
                opened = self.i
                self.expect("(", "after declare")
                declarations = self.comma_list(self._declared_column)
                self.close(")", opened, "the declarations of scan")
            else:
                break
        self.expect("with", "before the steps of scan")
        opened = self.i
        self.expect("(", "before the steps of scan")
        steps = [self._scan_step()]
        while self.texts[self.i] == "step":
            steps.append(self._scan_step())
        self.close(")", opened, "the steps of scan")
        return syntax.Scan(
            tuple(steps),
            declarations,
            match_id,
            order_by,
            partition_by,
            hints=tuple(hints),
            span=self.span(start),
        )

    def _declared_column(self) -> syntax.ColumnDeclaration:
        start = self.i
        declared = self.column_declaration()
        if not self.accept("="):
            return declared
        return syntax.ColumnDeclaration(
            declared.name, declared.type, self.expression(), span=self.span(start)
        )

    def _scan_step(self) -> syntax.ScanStep:
        start = self.i
        self.expect("step", "in scan")
        name = self.name("a step's name").name
        optional = self.accept("optional")
        output = None
        if self.accept("output"):
            self.expect("=", "after output")
            output = self.name("all, last or none").name
        self.expect(":", f"and a condition after step {name}")
        condition = self.expression()
        assignments: tuple[syntax.ScanAssignment, ...] = ()
        if self.accept("=>"):
            assignments = self.comma_list(self._scan_assignment)
        if self.texts[self.i] != ")":
            self.expect(";", f"after step {name}")
        return syntax.ScanStep(name, condition, assignments, optional, output, span=self.span(start))

    def _scan_assignment(self) -> syntax.ScanAssignment:
        start = self.i
        column = self.name("a column to assign")
        self.expect("=", f"after {column.name}")
        return syntax.ScanAssignment(column, self.expression(), span=self.span(start))
