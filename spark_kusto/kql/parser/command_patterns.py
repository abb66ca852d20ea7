"""Patterns of the command grammar: their notation, and matching with backtracking.

A pattern is words and slots separated by spaces:

==================== ===========================================================================
`word`, `a-b`, `=`   a keyword (in any case) or punctuation
`<name:kind>`        a slot: a value of that kind (see `command_slots`), bound to the name;
                     `<name>` alone is of kind `name`
`<name=a|b~c>`       one of these keywords, bound to the name; `~` is a space between words
`{word}`             a keyword that may be missing; binds the word to True
`[ ... ]`            may be missing
`( a | b )`          one of these
`@async`             `async`, which may be missing
`@with`              any number of `with (name = value, ...)` clauses
==================== ===========================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spark_kusto.errors import KqlSyntaxError
from spark_kusto.kql.lexer import Tokens, tokenize
from spark_kusto.kql.parser.command_slots import SLOT_FORMS, SLOT_KINDS, SlotParser

Next = Callable[[], bool]


class Matcher(SlotParser):
    """Tries patterns on the tokens of one command, and remembers how far the best one came."""

    __slots__ = ("error_there", "expected_there", "farthest")

    def __init__(self, source: str, tokens: Tokens) -> None:
        super().__init__(source, tokens)
        self.bindings = []
        self.farthest = 0
        self.expected_there: set[str] = set()
        self.error_there: KqlSyntaxError | None = None

    def missed(self, what: str, error: KqlSyntaxError | None = None) -> bool:
        """Note that a pattern failed at the current token, where it wanted this."""
        if self.i > self.farthest:
            self.farthest = self.i
            self.expected_there = set()
            self.error_there = None
        if self.i == self.farthest:
            if error is None:
                self.expected_there.add(what)
            elif self.error_there is None:
                self.error_there = error
        return False

    def words(self, words: tuple[str, ...]) -> bool:
        """Consume keywords, in any case."""
        i = self.i
        for word in words:
            text = self.texts[i]
            if text != word and text.lower() != word:
                return False
            i += 1
        self.i = i
        return True

    def with_clauses(self) -> None:
        """Consume `with (...)` clauses, binding their properties as `with`."""
        while self.texts[self.i].lower() == "with" and self.texts[self.i + 1] == "(":
            opened = self.i + 1
            self.i += 2
            while self.texts[self.i] != ")":
                name = self.slot_dashed() if self.kinds[self.i] == "word" else self.slot_name()
                self.expect("=", f"after the property {name}")
                self.bindings.append(("with", (name.lower(), self.slot_literal())))
                if not self.accept(","):
                    break
            self.close(")", opened, "the properties")


class Element:
    """A part of a pattern."""

    __slots__ = ()

    def match(self, matcher: Matcher, then: Next) -> bool:
        """Match at the current token, then everything behind; restores the position if not."""
        raise NotImplementedError


class Word(Element):
    __slots__ = ("text", "words")

    def __init__(self, text: str) -> None:
        self.text = text.replace("~", " ")
        self.words = tuple(_tokens_of(self.text))

    def match(self, matcher: Matcher, then: Next) -> bool:
        i = matcher.i
        if matcher.words(self.words):
            if then():
                return True
            matcher.i = i
            return False
        return matcher.missed(f"'{self.text}'")


class Choice(Element):
    __slots__ = ("name", "options")

    def __init__(self, name: str, options: str) -> None:
        self.name = name
        self.options = tuple(Word(option) for option in options.split("|"))

    def match(self, matcher: Matcher, then: Next) -> bool:
        i = matcher.i
        for option in self.options:
            if not matcher.words(option.words):
                matcher.missed(f"'{option.text}'")
                continue
            matcher.bindings.append((self.name, option.text))
            if then():
                return True
            matcher.bindings.pop()
            matcher.i = i
        return False


class Flag(Element):
    __slots__ = ("word",)

    def __init__(self, text: str) -> None:
        self.word = Word(text)

    def match(self, matcher: Matcher, then: Next) -> bool:
        i = matcher.i
        if matcher.words(self.word.words):
            matcher.bindings.append((self.word.text, True))
            if then():
                return True
            matcher.bindings.pop()
            matcher.i = i
        else:
            matcher.missed(f"'{self.word.text}'")
        return then()


class Slot(Element):
    __slots__ = ("kind", "name", "rule")

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.rule = SLOT_KINDS[kind]

    def match(self, matcher: Matcher, then: Next) -> bool:
        i, depth, bound = matcher.i, matcher.depth, len(matcher.bindings)
        try:
            value: Any = self.rule(matcher)
        except KqlSyntaxError as error:
            if matcher.i == i:
                matcher.missed(SLOT_FORMS.get(self.kind) or f"<{self.name.replace('_', ' ')}>")
            else:
                matcher.missed("", error)
            matcher.i, matcher.depth = i, depth
            del matcher.bindings[bound:]
            return False
        matcher.bindings.append((self.name, value))
        if then():
            return True
        matcher.i = i
        del matcher.bindings[bound:]
        return False


class With(Element):
    __slots__ = ()

    def match(self, matcher: Matcher, then: Next) -> bool:
        i, bound = matcher.i, len(matcher.bindings)
        try:
            matcher.with_clauses()
        except KqlSyntaxError as error:
            matcher.missed("", error)
            matcher.i = i
            del matcher.bindings[bound:]
            return False
        if matcher.i == i:
            matcher.missed("'with'")
        if then():
            return True
        matcher.i = i
        del matcher.bindings[bound:]
        return False


class Sequence(Element):
    __slots__ = ("elements",)

    def __init__(self, elements: list[Element]) -> None:
        self.elements = tuple(elements)

    def match(self, matcher: Matcher, then: Next) -> bool:
        return self._from(0, matcher, then)

    def _from(self, k: int, matcher: Matcher, then: Next) -> bool:
        if k == len(self.elements):
            return then()
        return self.elements[k].match(matcher, lambda: self._from(k + 1, matcher, then))


class Alternatives(Element):
    __slots__ = ("options", "required")

    def __init__(self, options: list[Element], required: bool) -> None:
        self.options = tuple(options)
        self.required = required

    def match(self, matcher: Matcher, then: Next) -> bool:
        if any(option.match(matcher, then) for option in self.options):
            return True
        return False if self.required else then()


def compile_pattern(pattern: str) -> Element:
    """Read the notation."""
    words = pattern.split()
    sequence, end = _sequence(words, 0, pattern)
    if end != len(words):
        raise ValueError(f"unbalanced pattern: {pattern}")
    return sequence


def _sequence(words: list[str], i: int, pattern: str) -> tuple[Element, int]:
    elements: list[Element] = []
    while i < len(words) and words[i] not in ("]", ")", "|"):
        word = words[i]
        i += 1
        if word in ("[", "("):
            closing = "]" if word == "[" else ")"
            options: list[Element] = []
            while True:
                option, i = _sequence(words, i, pattern)
                options.append(option)
                if i >= len(words):
                    raise ValueError(f"unbalanced pattern: {pattern}")
                i += 1
                if words[i - 1] == closing:
                    break
            elements.append(Alternatives(options, required=word == "("))
        else:
            elements.append(_element(word))
    return Sequence(elements), i


def _element(word: str) -> Element:
    if word == "@async":
        return Flag("async")
    if word == "@with":
        return With()
    if word.startswith("{"):
        return Flag(word[1:-1])
    if word.startswith("<") and word.endswith(">"):
        slot = word[1:-1]
        name, equals, options = slot.partition("=")
        if equals:
            return Choice(name, options)
        name, _, kind = slot.partition(":")
        return Slot(name, kind or "name")
    # Brackets that stand for themselves.
    return Word({"'('": "(", "')'": ")", "','": ","}.get(word, word))


def _tokens_of(text: str) -> list[str]:
    tokens = tokenize(text)
    return [token.lower() for token in tokens.texts[: len(tokens)]]
