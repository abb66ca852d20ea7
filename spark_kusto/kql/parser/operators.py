"""Pipes, the operators of two inputs, and which keyword has which rule."""

from __future__ import annotations

from collections.abc import Callable

from spark_kusto.errors import KqlSyntaxError, nearest
from spark_kusto.kql import syntax
from spark_kusto.kql.parser.cursor import END_OF_OPERATOR
from spark_kusto.kql.parser.grouping import GroupingParser

# Tokens after which a word that could be a source operator is a plain name instead.
_AFTER_A_NAME = frozenset(("|", ")", ",", ";", "", ".", "=", "==", "!=", "}", "]", ":"))


class OperatorParser(GroupingParser):
    """Rules for tabular operators."""

    __slots__ = ()

    # -- pipes ----------------------------------------------------------------------------------

    def pipe(self) -> syntax.Expression:
        start = self.i
        text = self.texts[start]
        rule = _SOURCES.get(text)
        source: syntax.Expression | syntax.Operator
        if rule is not None and self._is_source(text):
            source = rule(self)
            if self.texts[self.i] not in END_OF_OPERATOR:
                raise self._after_operator(text)
        else:
            source = self.expression()
        if self.texts[self.i] != "|" and isinstance(source, syntax.Expression):
            return source
        return self.piped(start, source)

    def _is_source(self, text: str) -> bool:
        following = self.texts[self.i + 1]
        if text == "range":
            return self.kinds[self.i + 1] in ("word", "[") and following != "("
        if text == "evaluate":
            return self.kinds[self.i + 1] == "word"
        return following not in _AFTER_A_NAME

    def piped(self, start: int, source: syntax.Expression | syntax.Operator) -> syntax.Expression:
        operators: list[syntax.Operator] = []
        while self.accept("|"):
            operators.append(self.operator())
        if (
            isinstance(source, syntax.Pipe)
            and isinstance(source.source, syntax.Operator)
            and not source.operators
        ):
            source = source.source
        return syntax.Pipe(source, tuple(operators), span=self.span(start))

    def operator(self) -> syntax.Operator:
        """The operator whose keyword is at the token."""
        start = self.i
        word = self.texts[start]
        rule = _OPERATORS.get(word)
        if rule is None:
            raise self._unknown_operator(word)
        self.i = start + 1
        operator = rule(self, start)
        if self.texts[self.i] not in END_OF_OPERATOR:
            raise self._after_operator(word)
        return operator

    def _unknown_operator(self, word: str) -> KqlSyntaxError:
        if self.kinds[self.i] != "word":
            remedy = None
            if word == "|" and self.ends[self.i - 1] == self.starts[self.i]:
                remedy = "Write `or`: || is no operator in KQL."
            return self.error(f"expected an operator after '|', found {self.found()}", remedy=remedy)
        # A name may be written in parts: `project-awai` is three tokens.
        end = self.i
        while (
            self.texts[end + 1] in ("-", "_")
            and self.kinds[end + 2] == "word"
            and self.ends[end] == self.starts[end + 1]
            and self.ends[end + 1] == self.starts[end + 2]
        ):
            end += 2
        whole = self.source[self.starts[self.i] : self.ends[end]]
        written = whole.lower().replace("_", "-")
        close = _FOREIGN_OPERATORS.get(written) or nearest(whole, _OPERATORS)
        remedy = f"Did you mean '{close}'?" if close else None
        return self.error(f"'{whole}' is not an operator", remedy=remedy)

    def _after_operator(self, word: str) -> KqlSyntaxError:
        return self.expected_after_expression(f"'|' or the end after the {word} operator")

    def sub_pipe(self, what: str) -> syntax.SubPipe:
        opened = self.i
        self.expect("(", f"before the subquery of {what}")
        self.nest()
        start = self.i
        operators = self._sub_operators()
        subquery = syntax.SubPipe(tuple(operators), span=self.span(start))
        self.close(")", opened, f"the subquery of {what}")
        self.depth -= 1
        return subquery

    def _sub_operators(self) -> list[syntax.Operator]:
        operators = [self.operator()]
        while self.accept("|"):
            operators.append(self.operator())
        return operators

    # -- two inputs -----------------------------------------------------------------------------

    def _join(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        kind = self.take_text(hints, "kind")
        right = self._right_side("join")
        on: tuple[syntax.Expression, ...] = ()
        if self.accept("on"):
            on = self.comma_list(self.expression)
        elif self.accept("where"):
            on = (self.expression(),)
        return syntax.Join(right, kind, on, hints=tuple(hints), span=self.span(start))

    def _lookup(self, start: int) -> syntax.Operator:
        hints = self.parameters()
        kind = self.take_text(hints, "kind")
        right = self._right_side("lookup")
        on: tuple[syntax.Expression, ...] = ()
        if self.accept("on"):
            on = self.comma_list(self.expression)
        return syntax.Lookup(right, kind, on, hints=tuple(hints), span=self.span(start))

    def _right_side(self, what: str) -> syntax.Expression:
        if self._at_end() or self.texts[self.i] in ("on", "where"):
            raise self.expected(f"the right side of {what}, a table or a query in parentheses")
        return self.expression()

    def _piped_union(self, start: int) -> syntax.Operator:
        self.i = start
        return self.union()

    def _piped_search(self, start: int) -> syntax.Operator:
        self.i = start
        return self.search()

    def _piped_find(self, start: int) -> syntax.Operator:
        self.i = start
        return self.find()

    # -- macro-expand ---------------------------------------------------------------------------

    def macro_expand(self) -> syntax.MacroExpand:
        start = self.i
        self.i += 1
        hints = self.parameters()
        kind = self.take_text(hints, "kind")
        if self.texts[self.i] == "entity_group":
            group: syntax.Expression = self.entity_group()
        elif self.texts[self.i + 1] == "(" and self.texts[self.i] in ("database", "cluster"):
            group = self.operand()
        else:
            group = self.name("an entity group")
        alias = self.name("a name after as") if self.accept("as") else None
        opened = self.i
        self.expect("(", "before the query of macro-expand")
        self.nest()
        statements = self.statements(")")
        self.close(")", opened, "the query of macro-expand")
        self.depth -= 1
        return syntax.MacroExpand(group, alias, statements, kind, hints=tuple(hints), span=self.span(start))

    def statements(self, closing: str) -> tuple[syntax.Statement, ...]:
        """Statements separated by semicolons, up to the closing bracket."""
        raise NotImplementedError


_SOURCES: dict[str, Callable[[OperatorParser], syntax.Operator]] = {
    "evaluate": lambda parser: parser.operator(),
    "find": OperatorParser.find,
    "macro-expand": OperatorParser.macro_expand,
    "print": OperatorParser.print_source,
    "range": OperatorParser.range_source,
    "search": OperatorParser.search,
    "union": OperatorParser.union,
}

_OPERATORS: dict[str, Callable[[OperatorParser, int], syntax.Operator]] = {
    "__executeAndCache": OperatorParser._execute_and_cache,
    "__partitionby": OperatorParser._partition_by,
    "as": OperatorParser._as,
    "assert-schema": OperatorParser._assert_schema,
    "consume": OperatorParser._consume,
    "count": OperatorParser._count,
    "distinct": OperatorParser._distinct,
    "evaluate": OperatorParser._evaluate,
    "extend": OperatorParser._extend,
    "facet": OperatorParser._facet,
    "filter": OperatorParser._where,
    "find": OperatorParser._piped_find,
    "fork": OperatorParser._fork,
    "getschema": OperatorParser._getschema,
    "graph-mark-components": OperatorParser._graph_mark_components,
    "graph-match": OperatorParser._graph_match,
    "graph-shortest-paths": OperatorParser._graph_shortest_paths,
    "graph-to-table": OperatorParser._graph_to_table,
    "graph-where-edges": OperatorParser._graph_where_edges,
    "graph-where-nodes": OperatorParser._graph_where_nodes,
    "invoke": OperatorParser._invoke,
    "join": OperatorParser._join,
    "limit": OperatorParser._take,
    "lookup": OperatorParser._lookup,
    "make-graph": OperatorParser._make_graph,
    "make-series": OperatorParser._make_series,
    "makeseries": OperatorParser._make_series,
    "mv-apply": OperatorParser._mv_apply,
    "mv-expand": OperatorParser._mv_expand,
    "mvapply": OperatorParser._mv_apply,
    "mvexpand": OperatorParser._mv_expand,
    "order": OperatorParser._sort,
    "parse": OperatorParser._parse,
    "parse-kv": OperatorParser._parse_kv,
    "parse-where": OperatorParser._parse_where,
    "partition": OperatorParser._partition,
    "project": OperatorParser._project,
    "project-away": OperatorParser._project_away,
    "project-by-names": OperatorParser._project_by_names,
    "project-keep": OperatorParser._project_keep,
    "project-rename": OperatorParser._project_rename,
    "project-reorder": OperatorParser._project_reorder,
    "reduce": OperatorParser._reduce,
    "render": OperatorParser._render,
    "sample": OperatorParser._sample,
    "sample-distinct": OperatorParser._sample_distinct,
    "scan": OperatorParser._scan,
    "search": OperatorParser._piped_search,
    "serialize": OperatorParser._serialize,
    "sort": OperatorParser._sort,
    "summarize": OperatorParser._summarize,
    "take": OperatorParser._take,
    "top": OperatorParser._top,
    "top-hitters": OperatorParser._top_hitters,
    "top-nested": OperatorParser._top_nested,
    "union": OperatorParser._piped_union,
    "where": OperatorParser._where,
}

OPERATOR_NAMES = frozenset(name for name in _OPERATORS if not name.startswith("_"))
"""Keywords that may follow a pipe."""

# What people write who think of SQL, pandas, Splunk or PromQL.
_FOREIGN_OPERATORS = {
    "select": "project",
    "group": "summarize",
    "groupby": "summarize",
    "group-by": "summarize",
    "aggregate": "summarize",
    "agg": "summarize",
    "stats": "summarize",
    "head": "take",
    "first": "take",
    "eval": "extend",
    "with-column": "extend",
    "add": "extend",
    "having": "where",
    "drop": "project-away",
    "rename": "project-rename",
    "explode": "mv-expand",
    "unnest": "mv-expand",
    "dedup": "distinct",
    "unique": "distinct",
    "sortby": "sort",
    "orderby": "order",
    "unionall": "union",
    "chart": "render",
    "plot": "render",
    "pivot": "evaluate",
    "bag-unpack": "evaluate",
    "leftjoin": "join",
    "timechart": "render",
}
