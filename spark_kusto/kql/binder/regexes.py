"""Constant regular expressions are read while the query is bound, so that a mistake in one is an error
at its place and not one of some row.

Source: the page "Syntax" of RE2's wiki, and the Kusto documentation, "Regex syntax".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.algorithms import regex
from spark_kusto.kql.binder.context import Context
from spark_kusto.kql.plan import Expr
from spark_kusto.kql.sql.expressions import constant_value

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_PLACES = {
    "extract": 0,
    "extract_all": 0,
    "replace": 0,
    "replace_regex": 1,
    "indexof_regex": 1,
    "trim": 0,
    "trim_start": 0,
    "trim_end": 0,
}
"""Which argument of a function is a regular expression."""

# What Python's reader says of patterns that RE2 refuses too; it refuses others that RE2 reads.
_SHARED = re.compile("unterminated subpattern|unbalanced parenthesis|nothing to repeat|unterminated char")
_WORDS = {
    "missing ), unterminated subpattern": "a ( is not closed",
    "unbalanced parenthesis": "a ) closes nothing",
    "nothing to repeat": "there is nothing before a *, + or ? to repeat",
    "unterminated character set": "a [ is not closed",
    "missing closing ]": "a [ is not closed",
    "unexpected )": "a ) closes nothing",
}


def fault_of(pattern: str) -> str | None:
    """Why a pattern is no regular expression of RE2; None where nothing speaks against it."""
    if r"\p" in pattern or r"\P" in pattern:
        # All letters and the like written out for Python take it a second.
        return None
    try:
        regex.compiled(pattern)
    except ValueError as error:
        reason = str(error).split(": ", 1)[-1]
        python = isinstance(error.__cause__ or error.__context__, re.error)
        if "not supported here" in reason or (python and not _SHARED.search(reason)):
            return None
        reason = re.sub(r" at position \d+.*$", "", reason)
        if re.match(r"invalid perl operator: \(\?[<=!>]", reason):
            return (
                f"it has {reason.split(': ', 1)[1]}, and RE2 has neither lookaround nor atomic groups;"
                " a group with a name is (?P<name>...)"
            )
        if re.match(r"invalid escape sequence: \\[1-9]", reason):
            return f"it has {reason.split(': ', 1)[1]}, and RE2 has no back references"
        return _WORDS.get(reason, reason)
    return None


def check(binder: Binder, pattern: str, node: syntax.Node, what: str) -> None:
    """Refuse a pattern that no row could be matched with."""
    fault = fault_of(pattern)
    if fault is not None:
        raise binder.error(f"{what}: this is no regular expression: {fault}.", node)


def check_operand(binder: Binder, operand: Expr, node: syntax.Node, what: str) -> None:
    """The same for a bound operand, if it is constant."""
    value = constant_value(operand)
    if isinstance(value, str):
        check(binder, value, node, what)


def check_call(binder: Binder, node: syntax.Call, context: Context) -> None:
    """The same for a function's argument that is a literal or a variable."""
    place = _PLACES.get(node.name)
    if place is None or place >= len(node.arguments):
        return
    argument = node.arguments[place]
    if isinstance(argument, syntax.Literal | syntax.Name):
        check_operand(binder, binder.expression(argument, context), argument, f"{node.name}()")
