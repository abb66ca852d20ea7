"""Literals, types and schemas."""

from __future__ import annotations

from uuid import UUID

from spark_kusto.errors import KqlSyntaxError, nearest
from spark_kusto.kql import literals, syntax
from spark_kusto.kql.lexer import TYPED_LITERALS, syntax_error
from spark_kusto.kql.parser.cursor import Cursor

SCALAR_TYPES = {
    "bool": "bool",
    "boolean": "bool",
    "date": "datetime",
    "datetime": "datetime",
    "decimal": "decimal",
    "double": "real",
    "dynamic": "dynamic",
    "float": "real",
    "guid": "guid",
    "int": "int",
    "int8": "int",
    "int16": "int",
    "int32": "int",
    "int64": "long",
    "long": "long",
    "object": "dynamic",
    "real": "real",
    "string": "string",
    "time": "timespan",
    "timespan": "timespan",
    "uint": "long",
    "uint8": "int",
    "uint16": "int",
    "uint32": "long",
    "uint64": "long",
    "ulong": "long",
    "uniqueid": "guid",
    "uuid": "guid",
}
"""Type names of declarations, old ones too, and what they are called today."""

_BOOLEANS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


class LiteralParser(Cursor):
    """Rules for literals, types and schemas."""

    __slots__ = ()

    # -- literals -------------------------------------------------------------------------------

    def at_literal(self) -> bool:
        """Whether a literal other than `dynamic` and `typeof` starts at the token."""
        return (
            self.kinds[self.i] in ("string", "long", "real", "timespan", "typed", "guid")
            or self.texts[self.i] in _BOOLEANS
        )

    def literal(self) -> syntax.Literal | syntax.InvalidLiteral:
        """The literal at the token, which `at_literal` has seen there."""
        i = self.i
        kind = self.kinds[i]
        text = self.texts[i]
        if kind == "string":
            return self.string()
        self.i = i + 1
        span = syntax.Span(self.starts[i], self.ends[i])
        if kind == "long":
            number = literals.parse_integer(text)
            if number is None:
                return syntax.InvalidLiteral("long", text, f"{text} does not fit a 64-bit integer", span=span)
            return syntax.Literal("long", number, span=span)
        if kind == "real":
            return syntax.Literal("real", literals.parse_real(text), span=span)
        if kind == "timespan":
            ticks = literals.parse_timespan(text)
            if ticks is None:
                return syntax.InvalidLiteral(
                    "timespan", text, f"{text} is longer than a timespan can be", span=span
                )
            return syntax.Literal("timespan", ticks, span=span)
        if kind == "guid":
            return syntax.Literal("guid", UUID(text), span=span)
        if kind == "typed":
            return self._typed(text, span)
        return syntax.Literal("bool", _BOOLEANS[text], span=span)

    def _typed(self, text: str, span: syntax.Span) -> syntax.Literal | syntax.InvalidLiteral:
        word, _, content = text[:-1].partition("(")
        kind = TYPED_LITERALS[word]
        content = content.strip()
        value: syntax.LiteralValue
        if literals.unquote(content).lower() == "null":
            return syntax.Literal(kind, None, span=span)
        if kind == "datetime":
            value = literals.parse_datetime(content)
        elif kind == "timespan":
            value = literals.parse_timespan(content)
        elif kind == "long":
            value = literals.parse_integer(content)
        elif kind == "int":
            value = literals.parse_integer(content, 32)
        elif kind == "real":
            value = literals.parse_real(content)
        elif kind == "decimal":
            value = literals.parse_decimal(content)
        elif kind == "bool":
            value = literals.parse_bool(content)
        else:
            value = literals.parse_guid(content)
        if value is None:
            reason = f"'{content}' is not a {kind}" if content else f"{word}() has no value"
            return syntax.InvalidLiteral(kind, text, reason, span=span)
        return syntax.Literal(kind, value, span=span)

    def string(self, what: str = "a string") -> syntax.Literal:
        """One string literal, or several side by side, which are one."""
        i = self.i
        if self.kinds[i] != "string":
            raise self.expected(what)
        self.i = i + 1
        value = self.string_value(i)
        hidden = literals.is_obfuscated(self.texts[i])
        while self.kinds[self.i] == "string":
            value += self.string_value(self.i)
            hidden = hidden or literals.is_obfuscated(self.texts[self.i])
            self.i += 1
        return syntax.Literal("string", value, hidden, span=self.span(i))

    def string_value(self, index: int) -> str:
        try:
            return literals.decode_string(self.texts[index])
        except literals.BadEscape as error:
            raise self._bad_escape(index, error) from None

    def _bad_escape(self, index: int, error: literals.BadEscape) -> KqlSyntaxError:
        return syntax_error(
            self.source,
            self.starts[index] + error.offset,
            f"'{error.sequence}' is not an escape sequence",
            length=len(error.sequence),
            remedy='Double the backslash, or write a verbatim string: @"...".',
        )

    # -- dynamic --------------------------------------------------------------------------------

    def dynamic(self) -> syntax.DynamicLiteral:
        """`dynamic(...)`, at the word."""
        start = self.i
        self.i += 2
        value = self.dynamic_value()
        self.close(")", start + 1, "dynamic(")
        return syntax.DynamicLiteral(value, span=self.span(start))

    def dynamic_value(self) -> syntax.DynamicElement:
        """A JSON value, in which KQL literals may stand as well."""
        i = self.i
        kind = self.kinds[i]
        text = self.texts[i]
        if kind == "[":
            return self._dynamic_array()
        if kind == "{":
            return self._dynamic_object()
        if text == "null":
            self.i += 1
            return syntax.Literal("dynamic", None, span=self.span(i))
        if text == "-" or text == "+":
            following = self.kinds[i + 1]
            if following in ("long", "real", "timespan"):
                self.i += 1
                return self._signed(i, text == "-")
        if self.at_literal():
            return self._as_json(self.literal())
        if text == "dynamic" and self.kinds[i + 1] == "(":
            self.nest()
            value = self.dynamic().value
            self.depth -= 1
            return value
        raise self.expected(
            "a value for dynamic(...)",
            remedy="Inside dynamic(...) only literals may stand; build values of expressions "
            "with pack_array() and bag_pack().",
        )

    def _signed(self, start: int, negative: bool) -> syntax.Literal | syntax.InvalidLiteral:
        kind, text = self.kinds[self.i], self.texts[self.i]
        if kind == "long" and negative and literals.parse_integer("-" + text) is not None:
            self.i += 1
            return syntax.Literal("long", literals.parse_integer("-" + text), span=self.span(start))
        value = self._as_json(self.literal())
        if negative and isinstance(value, syntax.Literal) and isinstance(value.value, int | float):
            return syntax.Literal(value.type, -value.value, span=self.span(start))
        return value

    def _as_json(
        self, value: syntax.Literal | syntax.InvalidLiteral
    ) -> syntax.Literal | syntax.InvalidLiteral:
        if isinstance(value, syntax.InvalidLiteral) and value.type == "long":
            # JSON knows no integers: one that is too long is a floating-point number.
            number = literals.parse_real(value.text)
            if number is not None:
                return syntax.Literal("real", number, span=value.span)
        return value

    def _dynamic_array(self) -> syntax.DynamicArray:
        start = self.i
        self.nest()
        self.i += 1
        items: list[syntax.DynamicElement] = []
        if self.texts[self.i] != "]":
            items.append(self.dynamic_value())
            while self.accept(","):
                items.append(self.dynamic_value())
        self.close("]", start, "the array")
        self.depth -= 1
        return syntax.DynamicArray(tuple(items), span=self.span(start))

    def _dynamic_object(self) -> syntax.DynamicObject:
        start = self.i
        self.nest()
        self.i += 1
        entries: list[tuple[str, syntax.DynamicElement]] = []
        if self.texts[self.i] != "}":
            entries.append(self._dynamic_entry())
            while self.accept(","):
                entries.append(self._dynamic_entry())
        self.close("}", start, "the property bag")
        self.depth -= 1
        return syntax.DynamicObject(tuple(entries), span=self.span(start))

    def _dynamic_entry(self) -> tuple[str, syntax.DynamicElement]:
        if self.kinds[self.i] != "string":
            raise self.expected("a quoted property name")
        key = self.string_value(self.i)
        self.i += 1
        self.expect(":", "after a property name")
        return key, self.dynamic_value()

    # -- types ----------------------------------------------------------------------------------

    def scalar_type(self) -> str:
        """A scalar type's name, in its present-day spelling."""
        text = self.texts[self.i]
        known = SCALAR_TYPES.get(text)
        if known is None:
            if self.kinds[self.i] != "word":
                raise self.expected("a type")
            close = nearest(text, SCALAR_TYPES)
            raise self.error(
                f"'{text}' is not a type",
                remedy=f"Did you mean '{close}'?"
                if close
                else "Types: bool, int, long, real, decimal, string, datetime, timespan, guid, dynamic.",
            )
        self.i += 1
        return known

    def column_declaration(self) -> syntax.ColumnDeclaration:
        """`name:type`."""
        start = self.i
        name = self.name("a column name")
        self.expect(":", "and a type after a column name")
        return syntax.ColumnDeclaration(name.name, self.scalar_type(), span=self.span(start))

    def row_schema(self, what: str) -> tuple[syntax.ColumnDeclaration, ...]:
        """`(a:long, b:string)`; a comma may trail."""
        reference = self.table_type(what)
        if reference.open:
            raise self.error(f"{what} cannot have * among its columns")
        return reference.columns or ()

    def table_type(self, what: str) -> syntax.TypeReference:
        """`(a:long, b:string)`, `(*)`, `(a:long, *)`."""
        start = self.i
        self.expect("(", f"to open the columns of {what}")
        columns: list[syntax.ColumnDeclaration] = []
        is_open = False
        self.accept(",")
        while self.texts[self.i] != ")":
            if self.accept("*"):
                is_open = True
            else:
                columns.append(self.column_declaration())
            if not self.accept(","):
                break
        self.close(")", start, f"the columns of {what}")
        return syntax.TypeReference(columns=tuple(columns), open=is_open, span=self.span(start))

    def type_reference(self, what: str) -> syntax.TypeReference:
        """A scalar type, or the columns of a table."""
        start = self.i
        if self.texts[start] == "(":
            return self.table_type(what)
        return syntax.TypeReference(self.scalar_type(), span=self.span(start))

    def type_of(self) -> syntax.TypeOf:
        """`typeof(long)`, `typeof(a:long, *)`, at the word."""
        start = self.i
        if self.texts[start] != "typeof":
            raise self.expected("typeof(...)")
        self.i += 1
        is_scalar = self.texts[self.i] == "(" and self.texts[self.i + 2] == ")"
        if is_scalar and self.texts[self.i + 1] != "*":
            self.i += 1
            inner = self.i
            reference = syntax.TypeReference(self.scalar_type(), span=self.span(inner))
            self.i += 1
            return syntax.TypeOf(reference, span=self.span(start))
        return syntax.TypeOf(self.table_type("typeof"), span=self.span(start))
