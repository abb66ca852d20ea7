"""Scalar expressions, by precedence climbing.

Kusto's levels, loosest first: `or`; `and`; equality, `in` and `between`; comparison; `+ -`;
`* / %`; the string operators; sign; path. String operators bind tighter than arithmetic, and the
levels of equality, comparison and string operators do not chain.
"""

from __future__ import annotations

from spark_kusto.errors import KqlSyntaxError, nearest
from spark_kusto.kql import syntax
from spark_kusto.kql.literals import LONG_MIN
from spark_kusto.kql.parser.literals import LiteralParser

_OR, _AND, _EQUALITY, _COMPARISON, _SUM, _PRODUCT, _STRING = range(1, 8)
_CHAINLESS = (_EQUALITY, _COMPARISON, _STRING)

_BINARY: dict[str, tuple[int, str]] = {
    "or": (_OR, "or"),
    "and": (_AND, "and"),
    "==": (_EQUALITY, "=="),
    "!=": (_EQUALITY, "!="),
    "<>": (_EQUALITY, "!="),
    "in": (_EQUALITY, "in"),
    "!in": (_EQUALITY, "!in"),
    "in~": (_EQUALITY, "in~"),
    "!in~": (_EQUALITY, "!in~"),
    "has_any": (_EQUALITY, "has_any"),
    "!has_any": (_EQUALITY, "!has_any"),
    "has_all": (_EQUALITY, "has_all"),
    "!has_all": (_EQUALITY, "!has_all"),
    "between": (_EQUALITY, "between"),
    "!between": (_EQUALITY, "!between"),
    "<": (_COMPARISON, "<"),
    "<=": (_COMPARISON, "<="),
    ">": (_COMPARISON, ">"),
    ">=": (_COMPARISON, ">="),
    "+": (_SUM, "+"),
    "-": (_SUM, "-"),
    "*": (_PRODUCT, "*"),
    "/": (_PRODUCT, "/"),
    "%": (_PRODUCT, "%"),
    "=~": (_STRING, "=~"),
    "!~": (_STRING, "!~"),
    ":": (_STRING, ":"),
    "matches regex": (_STRING, "matches regex"),
    "notcontains": (_STRING, "!contains"),
    "containscs": (_STRING, "contains_cs"),
    "notcontainscs": (_STRING, "!contains_cs"),
    "notlike": (_STRING, "!like"),
    "likecs": (_STRING, "like_cs"),
    "notlikecs": (_STRING, "!like_cs"),
}
for _word in ("has", "contains", "startswith", "endswith", "hasprefix", "hassuffix", "like"):
    for _spelled in (_word, f"!{_word}", f"{_word}_cs", f"!{_word}_cs"):
        _BINARY[_spelled] = (_STRING, _spelled)

MAX_LINKS = 200
"""Longest left-to-right chain of operators such as `a + b + c`, and of steps in a path."""

_MEMBERSHIP = frozenset(("in", "!in", "in~", "!in~", "has_any", "!has_any", "has_all", "!has_all"))

# Words that cannot begin an expression, so that a missing operand is found where it is missing.
_NEVER_NAMES = frozenset(word for word in _BINARY if word[0].isalpha()) | {"by", "of", "asc", "desc"}

_WORD_OPERATORS = tuple(word for word in _BINARY if word[-1].isalnum())


class ExpressionParser(LiteralParser):
    """Rules for scalar expressions."""

    __slots__ = ()

    def pipe(self) -> syntax.Expression:
        """A tabular or scalar expression, with everything piped after it."""
        raise NotImplementedError

    def primary_source(self) -> syntax.Expression | None:
        """`datatable (...) [...]` and its kin, where an operand is expected; None if none is."""
        raise NotImplementedError

    # -- operators ------------------------------------------------------------------------------

    def expression(self, level: int = _OR) -> syntax.Expression:
        """An expression without pipes, of operators of at least that level."""
        start = self.i
        left = self.operand()
        last_chainless = links = 0
        while True:
            entry = _BINARY.get(self.texts[self.i])
            if entry is None or entry[0] < level:
                return left
            own_level, operator = entry
            if own_level == last_chainless:
                raise self._chained(operator)
            if own_level in _CHAINLESS:
                if operator == "in" and self.texts[self.i + 1] == "range":
                    return left
                last_chainless = own_level
            else:
                last_chainless = 0
            links += 1
            if links > MAX_LINKS:
                raise self.error(
                    f"more than {MAX_LINKS} operators follow one another here",
                    remedy="Group the terms with parentheses.",
                )
            self.i += 1
            if operator in _MEMBERSHIP:
                items = self._membership_items(operator)
                left = syntax.Membership(operator, left, items, span=self.span(start))
            elif operator == "between" or operator == "!between":
                low, high = self._bounds(operator)
                left = syntax.Between(left, low, high, operator[0] == "!", span=self.span(start))
            elif own_level <= _AND:
                operands = [left, self.expression(own_level + 1)]
                while self.accept(operator):
                    operands.append(self.expression(own_level + 1))
                left = _balanced(operator, operands)
            else:
                right = self.expression(own_level + 1)
                left = syntax.Binary(operator, left, right, span=self.span(start))

    def _chained(self, operator: str) -> KqlSyntaxError:
        remedy = "Put one of the comparisons in parentheses, or join them with `and`."
        if operator in ("<", "<=", ">", ">="):
            remedy = "Write `x between (low .. high)`, or two comparisons joined with `and`."
        return self.error(f"'{operator}' cannot follow another comparison directly", remedy=remedy)

    def _membership_items(self, operator: str) -> tuple[syntax.Expression, ...]:
        opened = self.i
        if self.texts[opened] != "(":
            raise self.expected(f"'(' after {operator}", remedy=f'Write {operator} ("a", "b").')
        self.nest()
        self.i += 1
        if self.accept(")"):
            self.depth -= 1
            return ()
        items = [self.pipe()]
        while self.accept(","):
            if self.texts[self.i] == ")":
                break
            items.append(self.pipe())
        self.close(")", opened, f"the list of {operator}")
        self.depth -= 1
        return tuple(items)

    def _bounds(self, operator: str) -> tuple[syntax.Expression, syntax.Expression]:
        opened = self.i
        remedy = f"Write {operator} (low .. high)."
        if self.texts[opened] != "(":
            raise self.expected(f"'(' after {operator}", remedy=remedy)
        self.nest()
        self.i += 1
        low = self.expression()
        if not self.accept(".."):
            raise self.expected(f"'..' between the bounds of {operator}", remedy=remedy)
        high = self.expression()
        self.close(")", opened, f"the bounds of {operator}")
        self.depth -= 1
        return low, high

    # -- operands -------------------------------------------------------------------------------

    def operand(self) -> syntax.Expression:
        """Sign, primary expression, and the path after it."""
        start = self.i
        sign = self.texts[start]
        if sign == "-" or sign == "+":
            self.nest()
            self.i += 1
            value = self.operand()
            self.depth -= 1
            is_smallest = isinstance(value, syntax.InvalidLiteral) and value.text == str(-LONG_MIN)
            if is_smallest and sign == "-":
                return syntax.Literal("long", LONG_MIN, span=self.span(start))
            return syntax.Unary(sign, value, span=self.span(start))
        return self.path(start, self.primary())

    def path(self, start: int, base: syntax.Expression) -> syntax.Expression:
        """What follows a primary expression: `.name`, `.call()`, `["key"]`, `.["key"]`, `[0]`."""
        links = 0
        while True:
            text = self.texts[self.i]
            if text != "." and text != "[":
                return base
            links += 1
            if links > MAX_LINKS:
                raise self.error(f"this path has more than {MAX_LINKS} steps")
            if text == ".":
                if self.texts[self.i + 1] == "[":
                    self.i += 1
                    base = self._index(start, base)
                    continue
                self.i += 1
                base = syntax.Member(base, self._member(), span=self.span(start))
            else:
                base = self._index(start, base)

    def _member(self) -> syntax.Name | syntax.Call:
        i = self.i
        if self.kinds[i] == "word" and self.texts[i + 1] == "(":
            return self.call()
        if self.texts[i] == "@":
            self.i += 1
            return syntax.Name("@", span=self.span(i))
        return self.name("a name after '.'")

    def _index(self, start: int, base: syntax.Expression) -> syntax.Index:
        opened = self.i
        self.nest()
        self.i += 1
        index = self.expression()
        self.close("]", opened, "the index")
        self.depth -= 1
        return syntax.Index(base, index, span=self.span(start))

    def primary(self) -> syntax.Expression:
        """A literal, a name, a call, something in parentheses, or `*`."""
        i = self.i
        kind = self.kinds[i]
        if kind == "word":
            return self._word()
        if kind in ("string", "long", "real", "timespan", "typed", "guid"):
            return self.literal()
        if kind == "(":
            return self.parenthesized()
        if kind == "*":
            self.i += 1
            return syntax.Star(span=self.span(i))
        if kind == "[" or kind == "{":
            name = self.name("an expression")
            if self.texts[self.i] == "(":
                self.i -= 1
                return self._call_of(i, name.name)
            return self._with_scope(name)
        if kind == "@":
            self.i += 1
            return syntax.Name("@", span=self.span(i))
        raise self.expected("an expression")

    def _word(self) -> syntax.Expression:
        i = self.i
        text = self.texts[i]
        if self.texts[i + 1] == "(":
            if text == "dynamic":
                return self.dynamic()
            if text == "typeof":
                return self.type_of()
            source = self.primary_source()
            if source is not None:
                return source
            if text in ("and", "or"):
                raise self.expected("an expression")
            return self._call_of(i, text)
        source = self.primary_source()
        if source is not None:
            return source
        if self.at_literal():
            return self.literal()
        if text in _NEVER_NAMES:
            after_comma = i > 0 and self.texts[i - 1] == ","
            raise self.expected(
                "an expression", remedy="Remove the comma before it." if after_comma else None
            )
        if text == "not" and self.kinds[i + 1] not in ("end", ",", ")", "|"):
            raise self.expected("an expression", remedy="not is a function: write not(...).")
        if (
            text in ("toscalar", "totable", "materialize")
            and self.texts[i + 1] == "kind"
            and self.texts[i + 2] == "="
            and self.texts[i + 4] == "("
        ):
            # toscalar kind=nooptimization (...): advice to the optimizer, without meaning here.
            self.i += 3
            return self._call_of(i, text)
        self.i = i + 1
        return self._with_scope(syntax.Name(text, span=syntax.Span(self.starts[i], self.ends[i])))

    def _with_scope(self, name: syntax.Name) -> syntax.Expression:
        if self.texts[self.i].lower() != "datascope" or self.texts[self.i + 1] != "=":
            return name
        self.i += 2
        scope = self.name("all or hotcache after datascope=").name
        return syntax.DataScope(name, scope, span=syntax.Span(name.span.start, self.ends[self.i - 1]))

    def parenthesized(self) -> syntax.Expression:
        """`( ... )`, tabular or scalar."""
        opened = self.i
        self.nest()
        self.i += 1
        inner = self.pipe()
        self.close(")", opened, "the parenthesis")
        self.depth -= 1
        return inner

    def call(self) -> syntax.Call:
        """`name(arguments)`, at the name."""
        return self._call_of(self.i, self.texts[self.i])

    def _call_of(self, start: int, name: str) -> syntax.Call:
        """The call whose parenthesis follows the current token."""
        self.i += 1
        opened = self.i
        self.nest()
        self.i += 1
        arguments: list[syntax.Expression] = []
        if self.texts[self.i] != ")":
            while True:
                # Not a method of its own, so that deep nesting needs fewer frames.
                names = self._names_before_equals()
                value = self.pipe()
                if names is not None:
                    first, parts, parenthesized = names
                    value = syntax.NamedExpression(parts, value, parenthesized, span=self.span(first))
                arguments.append(value)
                if self.texts[self.i] != ",":
                    break
                self.i += 1
            if self._lacks_comma():
                raise self.expected(f"',' or ')' in the arguments of {name}")
        self.close(")", opened, f"{name}(")
        self.depth -= 1
        return syntax.Call(name, tuple(arguments), span=self.span(start))

    def _lacks_comma(self) -> bool:
        """Whether one more argument seems to start at the token."""
        if self.kinds[self.i] == "word":
            return self._misspelled_operator() is None
        return self.at_literal()

    def _misspelled_operator(self) -> str | None:
        text = self.texts[self.i]
        if self.kinds[self.i] != "word" or len(text) < 2:
            return None
        return nearest(text, _WORD_OPERATORS)

    def expected_after_expression(self, what: str) -> KqlSyntaxError:
        """The error at a token that no expression continues with.

        It names the operator that the token resembles, where something follows it.
        """
        remedy = self._habit(self.i)
        close = self._misspelled_operator()
        ends = self.kinds[self.i + 1] in ("end", "|", ",", ")")
        if remedy is None and close and close != self.texts[self.i] and not ends:
            remedy = f"Did you mean '{close}'?"
        return self.expected(what, remedy=remedy)

    # -- named expressions ----------------------------------------------------------------------

    def named(self) -> syntax.Expression:
        """`[name =] expression`, `(a, b) = expression`."""
        names = self._names_before_equals()
        if names is None:
            return self.expression()
        start, parts, parenthesized = names
        value = self.expression()
        return syntax.NamedExpression(parts, value, parenthesized, span=self.span(start))

    def _names_before_equals(self) -> tuple[int, tuple[syntax.Name, ...], bool] | None:
        """Consume `name =` or `(a, b) =` if that stands here."""
        start = self.i
        kind = self.kinds[start]
        if kind == "word":
            if self.texts[start + 1] == "=":
                name = self.name("a name")
                self.i += 1
                return start, (name,), False
            if self.texts[start + 1] == "-":
                self._refuse_hyphenated_name(start)
            return None
        if kind == "[" or kind == "{":
            end = self.at_name()
            if end and self.texts[end] == "=":
                name = self.name("a name")
                self.i += 1
                return start, (name,), False
            return None
        if kind != "(":
            return None
        i = start + 1
        while True:
            end = self.at_name(i)
            if not end:
                return None
            i = end
            if self.texts[i] == ",":
                i += 1
            elif self.texts[i] == ")":
                break
            else:
                return None
        if self.texts[i + 1] != "=":
            return None
        self.i = start + 1
        parts = self.comma_list(lambda: self.name("a name"))
        self.i += 2
        return start, parts, True

    def _refuse_hyphenated_name(self, start: int) -> None:
        """Fail on `a-b = x`, where the name needs brackets."""
        i = start
        while (
            self.kinds[i] == "word"
            and self.texts[i + 1] == "-"
            and self.kinds[i + 2] == "word"
            and self.ends[i] == self.starts[i + 1]
            and self.ends[i + 1] == self.starts[i + 2]
        ):
            i += 2
        if i > start and self.texts[i + 1] == "=":
            name = self.source[self.starts[start] : self.ends[i]]
            raise self.error(f"the name {name} has a hyphen in it", start, remedy=f"Write ['{name}'].")

    # -- entities -------------------------------------------------------------------------------

    def entity(self, what: str) -> syntax.Expression:
        """A table, function or view, wildcards allowed: `T*`, `database("d").T*`, `f(1)`."""
        start = self.i
        wildcard = self.accept_wildcard()
        if wildcard is not None:
            return wildcard
        base = self.primary() if self.kinds[self.i] == "word" else self.name(what)
        base = self._entity_path(start, base)
        if isinstance(base, syntax.Name):
            return self._with_scope(base)
        return base

    def _entity_path(self, start: int, base: syntax.Expression) -> syntax.Expression:
        for _ in range(MAX_LINKS):
            text = self.texts[self.i]
            if text != "." and text != "[":
                break
            if text == "[" or self.texts[self.i + 1] == "[":
                if text == ".":
                    self.i += 1
                base = self._index(start, base)
                continue
            self.i += 1
            wildcard = self.accept_wildcard()
            if wildcard is not None:
                return syntax.Member(base, wildcard, span=self.span(start))
            base = syntax.Member(base, self._member(), span=self.span(start))
        return base

    def simple_path(self, what: str) -> syntax.Expression:
        """`a`, `a.b`, `a["b"]`: a path without calls, for where a parenthesis follows."""
        start = self.i
        base: syntax.Expression = self.name(what)
        for _ in range(MAX_LINKS):
            text = self.texts[self.i]
            if text != "." and text != "[":
                break
            if text == ".":
                self.i += 1
                if self.texts[self.i] != "[":
                    name = self.name("a name after '.'")
                    base = syntax.Member(base, name, span=self.span(start))
                    continue
            base = self._index(start, base)
        return base


def _balanced(operator: str, operands: list[syntax.Expression]) -> syntax.Expression:
    """A tree of the least depth: people write thousands of terms, and trees are walked recursively.

    `and` and `or` are associative in three-valued logic, so any shape means the same.
    """
    while len(operands) > 1:
        paired: list[syntax.Expression] = [
            syntax.Binary(
                operator,
                operands[k],
                operands[k + 1],
                span=syntax.Span(operands[k].span.start, operands[k + 1].span.end),
            )
            for k in range(0, len(operands) - 1, 2)
        ]
        if len(operands) % 2:
            paired.append(operands[-1])
        operands = paired
    return operands[0]
