"""Arithmetic of longs and timespans, which wraps around in Kusto and is an error in DuckDB.

A tree of ``+ - *`` is written twice: as it is, for rows whose values are too small to overflow, and
in 128 bits, brought back into 64 at the end, for the rest. Where the operands' sizes show that
nothing can overflow, it is written only as it is. A CASE chooses: DuckDB moves expressions that
occur twice out of ``try()``, but never out of a CASE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from spark_kusto.kql.plan import Apply, Column, Expr, Literal, contains
from spark_kusto.types import KustoType

_SIGNS = frozenset({"+", "-", "*"})
_WHOLE = (KustoType.LONG, KustoType.TIMESPAN)

_MODULUS = 1 << 64
_HALF = 1 << 63
_WIDEST = (1 << 127) - 1
_LONGEST = 3000

_SMALL = {
    "strlen": 31,
    "string_size": 31,
    "array_length": 31,
    "indexof": 31,
    "countof": 31,
    "datetime_part": 31,
    "dayofmonth": 6,
    "dayofyear": 10,
    "hourofday": 6,
    "getmonth": 5,
    "getyear": 15,
    "monthofyear": 5,
    "week_of_year": 7,
}
"""Bits of what functions give."""

_CHEAP = frozenset({"cast", "negate", "abs", "-", "binary_and", "binary_or", "binary_xor"})
"""Calls that may be computed twice for a row."""


def wraps(expression: Expr) -> bool:
    """Whether it is a call of an operator that wraps around."""
    return (
        type(expression) is Apply
        and expression.name in _SIGNS
        and expression.type in _WHOLE
        and len(expression.arguments) == 2
        and all(argument.type in _WHOLE for argument in expression.arguments)
    )


def wrapped(sql: str) -> str:
    """A HUGEINT expression brought into the range of long by wrapping around."""
    lower = f"{_MODULUS - 1}::HUGEINT"
    return f"(((((({sql}) & {lower}) + {_HALF}::HUGEINT) & {lower}) - {_HALF}::HUGEINT)::BIGINT)"


@dataclass(slots=True)
class _Term:
    """A part of a tree.

    Attributes:
        fast: SQL in 64 bits.
        wide: SQL in 128 bits.
        most: a bound of the wide value's size.
        rough: SQL of a bound of the size of the value and all that it is made of, as DOUBLE.
    """

    fast: str
    wide: str
    most: int
    rough: str


@dataclass(slots=True)
class _Tree:
    """A tree while it is walked.

    Attributes:
        steps: it in postfix order: signs, and leaves as their greatest size and whether it depends
            on the row.
        leaves: leaves whose size depends on the row: its bound, and whether they are cheap.
        is_linear: whether no two of them are multiplied.
    """

    write: Callable[[Expr], str]
    steps: list[str | tuple[int, bool]] = field(default_factory=list)
    leaves: dict[str, tuple[int, bool]] = field(default_factory=dict)
    is_linear: bool = True

    def term(self, root: Expr) -> tuple[_Term, bool]:
        """The SQL of a tree, and whether its size depends on the row."""
        spine: list[Apply] = []
        node = root
        while wraps(node):
            assert isinstance(node, Apply)
            spine.append(node)
            node = node.arguments[0]
        left, varies = self._leaf(node)
        for call in reversed(spine):
            right, also = self.term(call.arguments[1])
            sign = call.name
            self.steps.append(sign)
            self.is_linear &= not (sign == "*" and varies and also)
            varies |= also
            left = _Term(
                f"({left.fast} {sign} {right.fast})",
                *_widely(sign, left, right),
                f"({left.rough} {'*' if sign == '*' else '+'} {right.rough})",
            )
        return left, varies

    def _leaf(self, node: Expr) -> tuple[_Term, bool]:
        text = self.write(node)
        most, varies = _size(node), not isinstance(node, Literal)
        rough = f"(abs({text}::DOUBLE) + 1)" if varies else f"{max(most, 1)}e0"
        self.steps.append((most, varies))
        if varies:
            self.leaves[text] = most, _is_cheap(node)
        return _Term(text, f"{text}::HUGEINT", most, rough), varies

    def _greatest(self, bound: int) -> int:
        """The greatest size of any part of the tree if no leaf is larger than the bound."""
        stack: list[int] = []
        greatest = 0
        for step in self.steps:
            if isinstance(step, tuple):
                most, varies = step
                size = min(most, bound) if varies else most
            else:
                right, left = stack.pop(), stack.pop()
                size = left * right if step == "*" else left + right
            stack.append(size)
            greatest = max(greatest, size)
        return greatest

    def bound(self) -> int:
        """How large leaves may be so that nothing overflows; negative if the constants alone do."""
        low, high = -1, _HALF
        while low < high:
            middle = (low + high + 1) // 2
            if self._greatest(middle) < _HALF:
                low = middle
            else:
                high = middle - 1
        return low


def _widely(sign: str, left: _Term, right: _Term) -> tuple[str, int]:
    """SQL of an operation in 128 bits and the result's size; operands that are too large for them wrap
    around first."""
    sides = [(left.wide, left.most), (right.wide, right.most)]
    size = left.most * right.most if sign == "*" else left.most + right.most
    if size > _WIDEST:
        sides = [(f"{wrapped(sql)}::HUGEINT", _HALF) if most > _HALF else (sql, most) for sql, most in sides]
        (_, one), (_, other) = sides
        size = one * other if sign == "*" else one + other
    return f"({sides[0][0]} {sign} {sides[1][0]})", size


def _size(node: Expr) -> int:
    """A bound of a leaf's size."""
    if isinstance(node, Literal):
        return 1 if node.value is None else abs(int(node.value))
    if isinstance(node, Apply):
        if node.name in _SMALL:
            return 1 << _SMALL[node.name]
        if node.name == "cast" and node.arguments[0].type is KustoType.INT:
            return 1 << 31
        if node.name == "%" and isinstance(node.arguments[1], Literal) and node.arguments[1].value:
            return abs(int(node.arguments[1].value))
    return _HALF


def _is_cheap(node: Expr) -> bool:
    def is_dear(part: Expr) -> bool:
        if isinstance(part, Apply):
            return not (part.stable and part.name in _CHEAP)
        return not isinstance(part, Column | Literal)

    return not contains(node, is_dear)


def integer_arithmetic(root: Apply, write: Callable[[Expr], str]) -> str:
    """SQL of a tree of ``+ - *`` for which :func:`wraps` holds."""
    tree = _Tree(write)
    term, _ = tree.term(root)
    bound = tree.bound()
    if bound >= _HALF:
        return term.fast
    wide = wrapped(term.wide)
    tested = {leaf for leaf, (most, _) in tree.leaves.items() if most > bound or not tree.is_linear}
    is_dear = any(leaf in tested and not cheap for leaf, (_, cheap) in tree.leaves.items())
    if bound < 0 or is_dear or len(term.fast) > _LONGEST:
        return wide
    small = [
        f"{leaf} BETWEEN -{bound} AND {bound}" for leaf, (most, _) in tree.leaves.items() if most > bound
    ]
    text = f"CASE WHEN {' AND '.join(small)} THEN {term.fast}"
    if not tree.is_linear:
        # One factor may be large if the other is small.
        text += f" WHEN {term.rough} < 9e18 THEN {term.fast}"
    return f"({text} ELSE {wide} END)"
