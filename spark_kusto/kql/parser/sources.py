"""Operators that make rows by themselves, and the parameters that all operators share."""

from __future__ import annotations

from spark_kusto.errors import nearest
from spark_kusto.kql import syntax
from spark_kusto.kql.parser.expressions import ExpressionParser

# Words that open a source in operand position, where the next token decides.
_PRIMARY_SOURCES = frozenset(
    (
        "datatable",
        "contextual_datatable",
        "__contextual_datatable",
        "externaldata",
        "external_data",
        "inline_external_table",
        "entity_group",
    )
)

_PARAMETERS = frozenset(
    (
        "bagexpansion",
        "best_effort",
        "bin_legacy",
        "cycles",
        "datascope",
        "decodeblocks",
        "expandoutput",
        "flags",
        "force_remote",
        "isfuzzy",
        "kind",
        "output",
        "with_component_id",
        "with_itemindex",
        "with_match_id",
        "with_node_id",
        "with_source",
        "with_source_id",
        "with_step_name",
        "with_target_id",
        "withsource",
    )
)

HINTS_ONLY: frozenset[str] = frozenset()
"""For operators whose columns may be named, so that only `hint.x=` and `__x=` are parameters."""


class SourceParser(ExpressionParser):
    """Rules for operator parameters, and for operators in source position."""

    __slots__ = ()

    # -- parameters -----------------------------------------------------------------------------

    def parameters(self, known: frozenset[str] | None = None) -> list[syntax.Hint]:
        """`hint.x=y kind=z ...` after an operator's keyword.

        Args:
            known: the names that are parameters here besides hints, for operators that take
                named columns as well. None where nothing else can be followed by `=`: then a
                name that no operator knows is an error, since a misspelled `kind` must not go
                unnoticed.
        """
        hints: list[syntax.Hint] = []
        while True:
            start = self.i
            text = self.texts[start]
            if text == "hint" and self.texts[start + 1] == "." and self.texts[start + 3] == "=":
                self.i += 4
                name = "hint." + self.texts[start + 2]
            elif (
                self.kinds[start] == "word"
                and self.texts[start + 1] == "="
                and (known is None or text in known or text.startswith("__"))
            ):
                if known is None and text not in _PARAMETERS and not text.startswith("__"):
                    close = nearest(text, _PARAMETERS)
                    raise self.error(
                        f"'{text}' is not a parameter of an operator",
                        remedy=f"Did you mean '{close}'?" if close else None,
                    )
                self.i += 2
                name = text
            elif hints and text == "," and self.texts[start + 1] == "hint":
                self.i += 1
                continue
            else:
                return hints
            value = self._parameter_value(name)
            hints.append(syntax.Hint(name, value, span=self.span(start)))

    def _parameter_value(self, name: str) -> syntax.Expression:
        i = self.i
        if self.at_literal():
            return self.literal()
        if self.texts[i] in ("-", "+") and self.kinds[i + 1] in ("long", "real", "timespan"):
            self.i += 1
            value = self.literal()
            if self.texts[i] == "-":
                return syntax.Unary("-", value, span=self.span(i))
            return value
        if self.texts[i] == "dynamic" and self.texts[i + 1] == "(":
            return self.dynamic()
        if self.at_name():
            return self.simple_path(f"a value for {name}")
        raise self.expected(f"a value for {name}")

    def take_parameter(self, hints: list[syntax.Hint], *names: str) -> syntax.Hint | None:
        """Remove the parameter of one of these names from the list and return it."""
        for k, hint in enumerate(hints):
            if hint.name.lower() in names:
                return hints.pop(k)
        return None

    def take_text(self, hints: list[syntax.Hint], *names: str) -> str | None:
        """Like `take_parameter`, giving the value as text."""
        hint = self.take_parameter(hints, *names)
        return None if hint is None else hint.text

    def properties(self, what: str) -> tuple[syntax.Property, ...]:
        """`with (name = value, ...)`, at the `with`; a comma may trail."""
        self.i += 1
        opened = self.i
        self.expect("(", f"after 'with' of {what}")
        found: list[syntax.Property] = []
        self.accept(",")
        while self.texts[self.i] != ")":
            found.append(self.property(what))
            if not self.accept(","):
                break
        self.close(")", opened, f"the properties of {what}")
        return tuple(found)

    def property(self, what: str) -> syntax.Property:
        """`name = value`."""
        start = self.i
        name = self.name(f"a property of {what}").name
        self.expect("=", f"after the property {name}")
        return syntax.Property(name, self.expression(), span=self.span(start))

    # -- sources --------------------------------------------------------------------------------

    def primary_source(self) -> syntax.Expression | None:
        i = self.i
        text = self.texts[i]
        if text not in _PRIMARY_SOURCES:
            return None
        if text == "entity_group":
            return self.entity_group() if self.texts[i + 1] == "[" else None
        if not self._opens_schema(i + 1):
            return None
        source: syntax.Operator
        if text in ("externaldata", "external_data"):
            source = self._externaldata()
        elif text == "inline_external_table":
            source = self._inline_external_table()
        else:
            source = self._datatable(text != "datatable")
        return syntax.Pipe(source, (), span=source.span)

    def _opens_schema(self, i: int) -> bool:
        if self.texts[i] == "(":
            return True
        return self.kinds[i] == "word" and (
            self.texts[i + 1] == "=" or (self.texts[i] == "hint" and self.texts[i + 1] == ".")
        )

    def _datatable(self, contextual: bool) -> syntax.DataTable:
        start = self.i
        self.i += 1
        hints = self.parameters()
        if contextual and self.kinds[self.i] in ("typed", "guid"):
            self.i += 1
        columns = self.row_schema("datatable")
        values: list[syntax.Expression] = []
        if not contextual or self.texts[self.i] == "[":
            opened = self.i
            self.expect("[", "before the values of datatable")
            self.accept(",")
            while self.texts[self.i] != "]":
                values.append(self.expression())
                if not self.accept(","):
                    break
            self.close("]", opened, "the values of datatable")
        return syntax.DataTable(columns, tuple(values), contextual, hints=tuple(hints), span=self.span(start))

    def _externaldata(self) -> syntax.ExternalData:
        start = self.i
        self.i += 1
        hints = self.parameters()
        columns = self.row_schema("externaldata")
        opened = self.i
        self.expect("[", "before the addresses of externaldata")
        uris = [self.expression()]
        while self.accept(",") and self.texts[self.i] != "]":
            uris.append(self.expression())
        self.close("]", opened, "the addresses of externaldata")
        properties: tuple[syntax.Property, ...] = ()
        if self.texts[self.i] == "with":
            properties = self.properties("externaldata")
        return syntax.ExternalData(
            columns, tuple(uris), properties, hints=tuple(hints), span=self.span(start)
        )

    def _inline_external_table(self) -> syntax.InlineExternalTable:
        start = self.i
        self.i += 1
        columns: tuple[syntax.ColumnDeclaration, ...] = ()
        if self.texts[self.i] == "(":
            columns = self.row_schema("inline_external_table")
        kind = data_format = None
        partitions: tuple[syntax.ColumnDeclaration, ...] = ()
        path_format: tuple[syntax.Expression, ...] = ()
        while True:
            text = self.texts[self.i]
            if text == "kind" and kind is None:
                kind = self._word_after_equals()
            elif text == "dataformat" and data_format is None:
                data_format = self._word_after_equals()
            elif text == "partition" and not partitions:
                partitions = self.partitions()
            elif text == "pathformat" and not path_format:
                path_format = self.path_format()
            else:
                break
        opened = self.i
        self.expect("(", "before the addresses of inline_external_table")
        uris = self.comma_list(self.expression)
        self.close(")", opened, "the addresses of inline_external_table")
        properties: tuple[syntax.Property, ...] = ()
        if self.texts[self.i] == "with":
            properties = self.properties("inline_external_table")
        return syntax.InlineExternalTable(
            columns,
            kind,
            partitions,
            path_format,
            data_format,
            uris,
            properties,
            span=self.span(start),
        )

    def _word_after_equals(self) -> str:
        word = self.texts[self.i]
        self.i += 1
        self.expect("=", f"after {word}")
        return self.name(f"a value for {word}").name

    def partitions(self) -> tuple[syntax.ColumnDeclaration, ...]:
        """`partition by (name:type [= expression], ...)`, at `partition`."""
        self.i += 1
        self.expect("by", "after partition")
        opened = self.i
        self.expect("(", "before the partitions")
        found = self.comma_list(self._partition_column)
        self.close(")", opened, "the partitions")
        return found

    def _partition_column(self) -> syntax.ColumnDeclaration:
        start = self.i
        name = self.name("a partition's name").name
        self.expect(":", "and a type after a partition's name")
        kind = self.scalar_type()
        value = self.expression() if self.accept("=") else None
        return syntax.ColumnDeclaration(name, kind, value, span=self.span(start))

    def path_format(self) -> tuple[syntax.Expression, ...]:
        """`pathformat = ("sep" name "sep" datetime_pattern("fmt", name) ...)`, at the word."""
        self.i += 1
        self.expect("=", "after pathformat")
        opened = self.i
        self.expect("(", "before the elements of pathformat")
        elements: list[syntax.Expression] = []
        while self.texts[self.i] != ")" and self.kinds[self.i] != "end":
            elements.append(self.primary())
        self.close(")", opened, "the elements of pathformat")
        return tuple(elements)

    def entity_group(self) -> syntax.EntityGroup:
        """`entity_group [ ... ]`, at the word."""
        start = self.i
        self.i += 1
        opened = self.i
        self.expect("[", "after entity_group")
        entities = self.comma_list(self.expression)
        self.close("]", opened, "the entity group")
        return syntax.EntityGroup(entities, span=self.span(start))

    def print_source(self) -> syntax.Print:
        start = self.i
        self.i += 1
        columns = self.comma_list(self.named)
        return syntax.Print(columns, span=self.span(start))

    def range_source(self) -> syntax.Range:
        start = self.i
        self.i += 1
        column = self.name("a column name after range")
        self.expect("from", f"after range {column.name}")
        first = self.expression()
        self.expect("to", "between the bounds of range")
        last = self.expression()
        self.expect("step", "after the bounds of range")
        step = self.expression()
        return syntax.Range(column, first, last, step, span=self.span(start))

    # -- union, search, find --------------------------------------------------------------------

    def union(self) -> syntax.Union:
        start = self.i
        self.i += 1
        hints = self.parameters()
        kind = self.take_text(hints, "kind")
        with_source = self.take_text(hints, "withsource", "with_source")
        fuzzy = self.take_text(hints, "isfuzzy", "__isfuzzy")
        tables = self.comma_list(self._union_table)
        return syntax.Union(
            tables,
            kind,
            with_source,
            (fuzzy or "").lower() in ("true", "1"),
            hints=tuple(hints),
            span=self.span(start),
        )

    def _union_table(self) -> syntax.Expression:
        if self.texts[self.i] == "(":
            start = self.i
            return self.path(start, self.parenthesized())
        return self.entity("a table")

    def _tables_in(self, what: str) -> tuple[syntax.Expression, ...]:
        """`in (T, U*, (V | ...), W | as X)`, at `in`."""
        self.i += 1
        opened = self.i
        self.expect("(", f"after 'in' of {what}")
        tables = self.comma_list(self._table_in)
        self.close(")", opened, f"the tables of {what}")
        return tables

    def _table_in(self) -> syntax.Expression:
        start = self.i
        table = self._union_table()
        if self.texts[self.i] == "|":
            return self.piped(start, table)
        return table

    def piped(self, start: int, source: syntax.Expression | syntax.Operator) -> syntax.Expression:
        """Everything from the `|` on, piped to a source."""
        raise NotImplementedError

    def search(self) -> syntax.Search:
        start = self.i
        self.i += 1
        hints = self.parameters()
        kind = self.take_text(hints, "kind")
        tables: tuple[syntax.Expression, ...] = ()
        if self.texts[self.i] == "in" and self.texts[self.i + 1] == "(":
            tables = self._tables_in("search")
        predicate = self.expression()
        return syntax.Search(predicate, kind, tables, hints=tuple(hints), span=self.span(start))

    def find(self) -> syntax.Find:
        start = self.i
        self.i += 1
        hints = self.parameters()
        with_source = self.take_text(hints, "withsource", "with_source")
        scope = self.take_text(hints, "datascope")
        tables: tuple[syntax.Expression, ...] = ()
        if self.texts[self.i] == "in" and self.texts[self.i + 1] == "(":
            tables = self._tables_in("find")
        self.accept("where")
        predicate = self.expression()
        project: tuple[syntax.FindColumn, ...] | None = None
        away: tuple[syntax.Expression, ...] | None = None
        smart = False
        if self.accept("project"):
            project = self.comma_list(self._find_column)
        elif self.accept("project-smart"):
            smart = True
        if self.accept("project-away") or self.accept("__projectAway"):
            away = tuple(column.expression for column in self.comma_list(self._find_column))
        return syntax.Find(
            predicate,
            tables,
            with_source,
            scope,
            project,
            smart,
            away,
            hints=tuple(hints),
            span=self.span(start),
        )

    def _find_column(self) -> syntax.FindColumn:
        start = self.i
        expression: syntax.Expression
        if self.kinds[start] == "word" and self.texts[start + 1] == "(":
            expression = self.call()
        else:
            expression = self.wildcard_or_name("a column")
        kind = self.scalar_type() if self.accept(":") else None
        return syntax.FindColumn(expression, kind, span=self.span(start))
