"""What may stand in the slots of the command grammar, and the Python value that each gives.

================= ============================================ ================================
kind              text                                         value
================= ============================================ ================================
name              `T`, `['T x']`, `"T x"`                      str
table             the same, or `db.T`                          str (and `database`)
names             `(A, B)`                                     tuple of str
wildcards         `(A*, B)`                                    tuple of str
pattern           `a.W*`                                       str
expression        `cluster("c").database("d")`                 Expression
path              `T.c`, `db.T.c`, `c`                         tuple of str
string            string literal                               str
strings           `('a', 'b')` or `'a'`                        tuple of str
text              string literal or bare word                  str
literal           any scalar literal                           plain Python value
integer           whole number                                 int
boolean           `true`, `false`                              bool
type              `long`                                       str, present-day name
schema            `(a:long, b:string)`                         tuple of ColumnDeclaration
tables            `A (a:long), B (b:long)`                     tuple of (name, schema)
docstrings        `(a: "text", ...)`                           dict
renames           `New = Old, ...`                             tuple of (new, old path)
guid              guid in any form                             str, lower case
guids             `(guid, guid)` or one                        tuple of str
version           `v1.2`                                       str
dashed            `data-export`                                str
connections       `(h"...", ...)` or `"..."`                   tuple of Literal
function          `(a:long) { ... }`                           Function
body              `{ query }`                                  Query (and `body`: its text)
external_table    what follows an external table's name        InlineExternalTable (and `table`)
tag_filters       `tags has "x" and ...`                       tuple of (operator, value)
order             `(a asc, b desc)`                            tuple of (name, "asc"/"desc")
settings          `hot = 7d, hot_window = a .. b`              dict
entities          `(database("a"), cluster("c").database("d"))` tuple of Expression
================= ============================================ ================================

Plain Python values are bool, int, float, Decimal, str, datetime, timedelta, UUID, and for
`dynamic(...)` lists and dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from spark_kusto.kql import syntax
from spark_kusto.kql.literals import parse_guid
from spark_kusto.kql.parser.statements import QueryParser


class SlotParser(QueryParser):
    """Rules for what stands in slots."""

    __slots__ = ("bindings",)

    bindings: list[tuple[str, Any]]

    # -- names ----------------------------------------------------------------------------------

    def slot_name(self) -> str:
        if self.kinds[self.i] == "string":
            self.i += 1
            return self.string_value(self.i - 1)
        return self.name("a name").name

    def slot_table(self) -> str:
        name = self.slot_name()
        if self.texts[self.i] == "." and self.at_name(self.i + 1):
            self.i += 1
            self.bindings.append(("database", name))
            return self.slot_name()
        return name

    def slot_names(self) -> tuple[str, ...]:
        return self._in_parentheses(self.slot_table, "the list of names")

    def slot_wildcards(self) -> tuple[str, ...]:
        return self._in_parentheses(self._pattern_text, "the list of names")

    def _pattern_text(self) -> str:
        wildcard = self.accept_wildcard()
        if isinstance(wildcard, syntax.WildcardName):
            return wildcard.pattern
        return "*" if wildcard is not None else self.slot_name()

    def slot_pattern(self) -> str:
        parts = [self._pattern_text()]
        while self.accept("."):
            parts.append(self._pattern_text())
        return ".".join(parts)

    def slot_expression(self) -> syntax.Expression:
        return self.operand()

    def slot_path(self) -> tuple[str, ...]:
        names = [self.slot_name()]
        while self.accept("."):
            names.append(self.slot_name())
        return tuple(names)

    def slot_dashed(self) -> str:
        first = self.i
        if self.kinds[first] != "word":
            raise self.expected("a word")
        self.i += 1
        while self.texts[self.i] == "-" and self.kinds[self.i + 1] == "word":
            self.i += 2
        return "".join(self.texts[first : self.i])

    def slot_version(self) -> str:
        if self.kinds[self.i] == "string":
            return self.slot_string()
        first = self.i
        self.i += 1
        while self.kinds[self.i] != "end" and self.starts[self.i] == self.ends[self.i - 1]:
            self.i += 1
        return self.source[self.starts[first] : self.ends[self.i - 1]]

    def slot_renames(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return self.comma_list(self._rename)

    def _rename(self) -> tuple[str, tuple[str, ...]]:
        new = self.slot_name()
        self.expect("=", "between the new name and the old one")
        return new, self.slot_path()

    # -- values ---------------------------------------------------------------------------------

    def slot_string(self) -> str:
        return str(self.string().value)

    def slot_text(self) -> str:
        return self.slot_name()

    def slot_strings(self) -> tuple[str, ...]:
        if self.texts[self.i] != "(":
            return (self.slot_string(),)
        return self._in_parentheses(self.slot_string, "the list of strings")

    def slot_connections(self) -> tuple[syntax.Literal, ...]:
        if self.texts[self.i] != "(":
            return (self.string("a connection string"),)
        return self._in_parentheses(lambda: self.string("a connection string"), "the connection strings")

    def slot_literal(self) -> Any:
        start = self.i
        negative = self.accept("-")
        if self.texts[self.i] == "dynamic" and self.texts[self.i + 1] == "(":
            return plain(self.dynamic().value)
        if self.at_literal():
            literal = self.literal()
            if isinstance(literal, syntax.InvalidLiteral):
                raise self.error(literal.reason, start)
            value = plain(literal)
            if negative:
                if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
                    raise self.error("'-' must be followed by a number", start)
                value = -value
            return value
        if not negative and self.at_name():
            return self.slot_dashed() if self.kinds[self.i] == "word" else self.slot_name()
        raise self.expected("a value")

    def slot_integer(self) -> int:
        if self.kinds[self.i] != "long":
            raise self.expected("a whole number")
        return int(self.slot_literal())

    def slot_boolean(self) -> bool:
        value = self.texts[self.i].lower()
        if value not in ("true", "false"):
            raise self.expected("true or false")
        self.i += 1
        return value == "true"

    def slot_type(self) -> str:
        return self.scalar_type()

    def slot_guid(self) -> str:
        i = self.i
        kind = self.kinds[i]
        if kind == "guid":
            self.i += 1
            return self.texts[i].lower()
        if kind == "typed" or kind == "string":
            value = self.slot_literal()
            parsed = parse_guid(str(value)) if value is not None else None
            if parsed is not None:
                return str(parsed)
            raise self.error("expected a guid", i)
        if kind == "word" or kind == "long":
            # Thirty-two digits without hyphens read as a word or a number.
            parsed = parse_guid(self.texts[i])
            if parsed is not None:
                self.i += 1
                return str(parsed)
        raise self.expected("a guid")

    def slot_guids(self) -> tuple[str, ...]:
        if self.texts[self.i] != "(":
            return (self.slot_guid(),)
        return self._in_parentheses(self.slot_guid, "the list of ids")

    # -- schemas --------------------------------------------------------------------------------

    def slot_schema(self) -> tuple[syntax.ColumnDeclaration, ...]:
        return self.row_schema("the table")

    def slot_tables(self) -> tuple[tuple[str, tuple[syntax.ColumnDeclaration, ...]], ...]:
        return self.comma_list(lambda: (self.slot_name(), self.slot_schema()))

    def slot_docstrings(self) -> dict[str, str]:
        def entry() -> tuple[str, str]:
            name = self.slot_name()
            self.expect(":", "between a column and its text")
            return name, self.slot_string()

        return dict(self._in_parentheses(entry, "the list of texts"))

    def slot_order(self) -> tuple[tuple[str, str], ...]:
        def entry() -> tuple[str, str]:
            name = self.slot_name()
            order = self.texts[self.i]
            if order not in ("asc", "desc"):
                raise self.expected("'asc' or 'desc'")
            self.i += 1
            return name, order

        return self._in_parentheses(entry, "the list of columns")

    def slot_settings(self) -> dict[str, Any]:
        """`hotdata = 7d hotindex = 7d, hot_window = a .. b`: windows come as a list of pairs."""
        settings: dict[str, Any] = {}
        while True:
            name = self.slot_dashed()
            self.expect("=", f"after {name}")
            value = self.slot_literal()
            earlier = settings.get(name)
            if self.accept(".."):
                window = (value, self.slot_literal())
                settings[name] = [*earlier, window] if isinstance(earlier, list) else [window]
            elif earlier is None:
                settings[name] = value
            else:
                raise self.error(f"{name} is given twice", self.i - 1)
            if self.texts[self.i] == ",":
                self.i += 1
            elif self.kinds[self.i] != "word" or self.texts[self.i + 1] != "=":
                return settings

    # -- queries --------------------------------------------------------------------------------

    def slot_function(self) -> syntax.Function:
        start = self.i
        parameters = self.function_parameters()
        self.bindings.append(("parameters", self.source[self.starts[start] : self.ends[self.i - 1]]))
        opened = self.i
        statements, body = self.function_body()
        self.bindings.append(("body", self.source[self.starts[opened] : self.ends[self.i - 1]]))
        return syntax.Function(parameters, statements, body, span=self.span(start))

    def slot_body(self) -> syntax.Query:
        opened = self.i
        self.expect("{", "before the query")
        self.nest()
        statements = self.statements("}")
        self.close("}", opened, "the query")
        self.depth -= 1
        text = self.source[self.ends[opened] : self.starts[self.i - 1]].strip()
        self.bindings.append(("body", text))
        return syntax.Query(statements, text, span=self.span(opened))

    def slot_external_table(self) -> syntax.InlineExternalTable:
        start = self.i
        columns: tuple[syntax.ColumnDeclaration, ...] = ()
        if self.texts[start] == "(":
            columns = self.row_schema("the external table")
        kind = data_format = None
        partitions: tuple[syntax.ColumnDeclaration, ...] = ()
        path_format: tuple[syntax.Expression, ...] = ()
        while True:
            word = self.texts[self.i].lower()
            if word in ("kind", "dataformat", "table") and self.texts[self.i + 1] == "=":
                self.i += 2
                value = self.slot_name()
                if word == "kind":
                    kind = value
                elif word == "dataformat":
                    data_format = value
                else:
                    self.bindings.append(("sql_table", value))
            elif word == "partition" and not partitions:
                partitions = self.partitions()
            elif word == "pathformat" and not path_format:
                path_format = self.path_format()
            else:
                break
        if kind is None:
            raise self.expected("kind = storage, delta or sql")
        uris = self.slot_connections()
        return syntax.InlineExternalTable(
            columns, kind, partitions, path_format, data_format, uris, span=self.span(start)
        )

    def slot_entities(self) -> tuple[syntax.Expression, ...]:
        return self._in_parentheses(self.operand, "the entities")

    def slot_tag_filters(self) -> tuple[tuple[str, str], ...]:
        """`tags has "x" and tags !contains "y"`; the first `tags` is still to come."""
        filters: list[tuple[str, str]] = []
        while True:
            if self.texts[self.i].lower() != "tags":
                raise self.expected("'tags' after where")
            self.i += 1
            operator = self.texts[self.i]
            if operator not in ("has", "!has", "contains", "!contains"):
                raise self.expected("has, !has, contains or !contains")
            self.i += 1
            filters.append((operator, self.slot_string()))
            if not self.accept("and"):
                return tuple(filters)

    def _in_parentheses(self, item: Callable[[], Any], what: str) -> tuple[Any, ...]:
        opened = self.i
        self.expect("(", f"before {what}")
        items: list[Any] = []
        while self.texts[self.i] != ")":
            items.append(item())
            if not self.accept(","):
                break
        self.close(")", opened, what)
        return tuple(items)


def plain(value: syntax.DynamicElement) -> Any:
    """Python value of a literal: timespans as timedelta, dynamic values as lists and dicts."""
    if isinstance(value, syntax.DynamicArray):
        return [plain(item) for item in value.items]
    if isinstance(value, syntax.DynamicObject):
        return {key: plain(item) for key, item in value.entries}
    if isinstance(value, syntax.InvalidLiteral):
        return value.text
    if value.type == "timespan" and isinstance(value.value, int):
        ticks = int(value.value)
        return timedelta(microseconds=ticks // 10 if ticks >= 0 else -(-ticks // 10))
    return value.value


SLOT_FORMS = {
    "body": "{ query }",
    "connections": "a connection string",
    "docstrings": '(<column>: "text", ...)',
    "entities": '(database("name"), ...)',
    "external_table": "(<column>:<type>, ...) kind = ...",
    "function": "(<parameter>:<type>, ...) { ... }",
    "guid": "an id",
    "guids": "an id or (id, ...)",
    "integer": "a whole number",
    "literal": "a value",
    "names": "(<name>, ...)",
    "order": "(<column> asc, ...)",
    "renames": "<new name> = <old name>, ...",
    "schema": "(<column>:<type>, ...)",
    "settings": "<setting> = <value>",
    "string": "a string",
    "strings": '("text", ...)',
    "tables": "<table> (<column>:<type>, ...), ...",
    "type": "a type",
    "wildcards": "(<name>, ...)",
}
"""How the kinds of slots are described where they are missing."""

SLOT_KINDS: dict[str, Callable[[SlotParser], Any]] = {
    name.removeprefix("slot_"): rule for name, rule in vars(SlotParser).items() if name.startswith("slot_")
}
