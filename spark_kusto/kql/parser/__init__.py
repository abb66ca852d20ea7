"""Tokens to syntax tree: a hand-written recursive-descent parser.

`cursor` moves over tokens and makes errors, `literals` reads literals and types, `expressions`
everything scalar, `sources`, `graphs`, `rows`, `grouping` and `operators` the tabular operators,
`statements` whole queries, and `commands` management commands. Each is a class that extends the
one before, so that any rule can call any other. The trees they build are described in
`spark_kusto.kql.syntax`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spark_kusto.kql.parser.statements import parse

if TYPE_CHECKING:
    from spark_kusto.kql.parser.commands import parse_command as parse_command

__all__ = ["parse", "parse_command"]


def __getattr__(name: str) -> Any:
    # The grammar of commands is a long table that a query does not need.
    if name == "parse_command":
        return import_module(f"{__name__}.commands").parse_command
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
