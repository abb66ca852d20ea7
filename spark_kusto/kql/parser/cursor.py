"""Moving over tokens: what every rule of the grammar uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from spark_kusto.errors import KqlSyntaxError
from spark_kusto.kql import syntax
from spark_kusto.kql.lexer import Tokens, syntax_error, tokenize

Item = TypeVar("Item")

MAX_NESTING = 120
"""Deepest nesting of parentheses, calls, brackets and subqueries that is accepted.

Binding and SQL generation walk the tree recursively, so it has to fit Python's stack with some
hundred frames to spare. Chains of `and` and `or` do not count: they become balanced trees.
"""

END_OF_OPERATOR = frozenset(("|", ")", ";", "}", ",", "]", ""))
"""Tokens that may follow a complete tabular operator."""


class Cursor:
    """A position in a list of tokens, and the rules that are about tokens alone."""

    __slots__ = ("depth", "ends", "i", "kinds", "source", "starts", "texts")

    def __init__(self, source: str, tokens: Tokens | None = None) -> None:
        if tokens is None:
            tokens = tokenize(source)
        self.source = source
        self.kinds = tokens.kinds
        self.texts = tokens.texts
        self.starts = tokens.starts
        self.ends = tokens.ends
        self.i = 0
        self.depth = 0

    # -- places ---------------------------------------------------------------------------------

    def span(self, first: int) -> syntax.Span:
        """Place from the token of that index to the last one consumed."""
        last = self.i - 1
        return syntax.Span(self.starts[first], self.ends[last if last > first else first])

    def error(self, message: str, index: int | None = None, *, remedy: str | None = None) -> KqlSyntaxError:
        """The error at a token, by default the current one."""
        if index is None:
            index = self.i
        if self.kinds[index] == "end" and index:
            # The end has no text of its own: point behind the last token, on its line.
            while index and self.kinds[index] == "end":
                index -= 1
            return syntax_error(self.source, self.ends[index], message, remedy=remedy)
        start = self.starts[index]
        length = max(1, self.ends[index] - start)
        return syntax_error(self.source, start, message, length=length, remedy=remedy)

    def found(self, index: int | None = None) -> str:
        """The token, for "expected ..., found ..."."""
        index = self.i if index is None else index
        kind = self.kinds[index]
        if kind == "end":
            return "the end of the text"
        if kind == "string":
            return "a string" if self.ends[index] - self.starts[index] > 40 else self.texts[index]
        text = self.texts[index]
        return f"'{text if len(text) <= 60 else text[:57] + '...'}'"

    def expected(self, what: str, *, remedy: str | None = None) -> KqlSyntaxError:
        """The error "expected ..., found ..." at the current token."""
        return self.error(f"expected {what}, found {self.found()}", remedy=remedy or self._habit(self.i))

    def _habit(self, index: int) -> str | None:
        """What people who come from other languages meant by the token."""
        text = self.texts[index]
        following = self.texts[index + 1]
        if text == "=":
            return "Compare with ==; a single = gives a name to an expression."
        if text.startswith("!") and len(text) > 1:
            return f"Negate with not(...): not({text[1:]}{'(...)' if following == '(' else ''})."
        if self.kinds[index] != "word":
            return None
        lowered = text.lower()
        if lowered in ("and", "or", "asc", "desc", "by", "on", "in", "has", "contains", "between"):
            return f"Keywords are lower case: {lowered}." if lowered != text else None
        if lowered == "not" and following.lower() in ("in", "has", "contains", "between", "like"):
            return f"Write !{following.lower()}."
        if lowered == "is":
            return "Write isnull(x), isnotnull(x), isempty(x) or isnotempty(x)."
        if lowered == "like":
            return "Use contains, startswith, endswith or matches regex."
        return None

    # -- tokens ---------------------------------------------------------------------------------

    def accept(self, text: str) -> bool:
        """Consume the token if it is this one."""
        if self.texts[self.i] == text:
            self.i += 1
            return True
        return False

    def expect(self, text: str, where: str) -> None:
        """Consume this token or fail; `where` completes "expected 'x' ..."."""
        if self.texts[self.i] == text:
            self.i += 1
        else:
            raise self.expected(f"'{text}' {where}")

    def close(self, text: str, opened: int, what: str) -> None:
        """Consume a closing bracket or say which opening one it would belong to."""
        if self.texts[self.i] == text:
            self.i += 1
            return
        opening = self.texts[opened]
        line = self.source.count("\n", 0, self.starts[opened]) + 1
        remedy = self._habit(self.i)
        if remedy is None and self.kinds[self.i] == "end":
            remedy = f"The '{opening}' on line {line} is never closed."
        raise self.expected(f"'{text}' to close {what}", remedy=remedy)

    def nest(self) -> None:
        """Go one level deeper; whoever calls this subtracts it again."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.error(
                f"the text is nested more than {MAX_NESTING} levels deep here",
                remedy="Name inner parts with let.",
            )

    # -- names ----------------------------------------------------------------------------------

    def at_name(self, index: int | None = None) -> int:
        """Index behind the name that starts at the token, or 0 if none does."""
        i = self.i if index is None else index
        kind = self.kinds[i]
        if kind == "word":
            return i + 1
        if kind == "[":
            return i + 3 if self.kinds[i + 1] == "string" and self.kinds[i + 2] == "]" else 0
        if kind == "{":
            return i + 3 if self._is_client_parameter(i) else 0
        return 0

    def _is_client_parameter(self, i: int) -> bool:
        """Whether `{Name}` stands here, which workbooks and dashboards replace before sending."""
        return (
            self.kinds[i + 1] == "word"
            and self.kinds[i + 2] == "}"
            and self.ends[i] == self.starts[i + 1]
            and self.ends[i + 1] == self.starts[i + 2]
        )

    def name(self, what: str) -> syntax.Name:
        """A declared or referenced name: `x`, `['x']`, `["x"]`."""
        i = self.i
        kind = self.kinds[i]
        if kind == "word":
            self.i = i + 1
            return syntax.Name(self.texts[i], span=syntax.Span(self.starts[i], self.ends[i]))
        if kind == "[" and self.kinds[i + 1] == "string" and self.kinds[i + 2] == "]":
            self.i = i + 3
            return syntax.Name(self.string_value(i + 1), True, span=self.span(i))
        if kind == "{" and self._is_client_parameter(i):
            self.i = i + 3
            return syntax.Name("{" + self.texts[i + 1] + "}", span=self.span(i))
        remedy = None
        if kind in ("long", "real", "timespan", "string"):
            remedy = "Names that are not plain identifiers go in brackets and quotes: ['my name']."
        raise self.expected(what, remedy=remedy)

    def string_value(self, index: int) -> str:
        """Value of the string token of that index."""
        raise NotImplementedError

    def wildcard_end(self, index: int) -> int:
        """Index behind the wildcard name that starts at a token, or 0 if none does.

        A wildcard name is a run of words, numbers and `*` with nothing between them, at least
        one of them a `*`.
        """
        kinds, starts, ends = self.kinds, self.starts, self.ends
        i = index
        stars = 0
        while True:
            kind = kinds[i]
            if kind == "*":
                stars += 1
            elif kind not in ("word", "long", "timespan"):
                break
            i += 1
            if starts[i] != ends[i - 1]:
                break
        return i if stars else 0

    def wildcard_or_name(self, what: str) -> syntax.Expression:
        """`a`, `['a']`, `a*`, `*a*`, or `*` alone."""
        wildcard = self.accept_wildcard()
        return wildcard if wildcard is not None else self.name(what)

    def accept_wildcard(self) -> syntax.WildcardName | syntax.Star | None:
        """The wildcard name at the current token, if there is one."""
        start = self.i
        end = self.wildcard_end(start)
        if not end:
            return None
        self.i = end
        pattern = "".join(self.texts[start:end])
        if pattern == "*":
            return syntax.Star(span=self.span(start))
        return syntax.WildcardName(pattern, span=self.span(start))

    # -- lists ----------------------------------------------------------------------------------

    def comma_list(self, item: Callable[[], Item]) -> tuple[Item, ...]:
        """One or more items separated by commas."""
        items = [item()]
        while self.texts[self.i] == ",":
            self.i += 1
            items.append(item())
        return tuple(items)
