"""The Kusto Query Language: text, syntax tree, bound plan, SQL. No files, no connections.

    query = spark_kusto.kql.parse("T | where x > 1 | count")
    command = spark_kusto.kql.parse_command(".show tables")

Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_kusto.kql.compiled import CompiledQuery as CompiledQuery
    from spark_kusto.kql.compiled import CompileOptions as CompileOptions
    from spark_kusto.kql.compiling import compile_query as compile  # noqa: A004
    from spark_kusto.kql.coverage import support as support
    from spark_kusto.kql.parser import parse as parse
    from spark_kusto.kql.parser import parse_command as parse_command

_HOME = {
    "compile": "compiling",
    "CompiledQuery": "compiled",
    "CompileOptions": "compiled",
    "parse": "parser",
    "parse_command": "parser",
    "support": "coverage",
}

_NAMES = {"compile": "compile_query"}

__all__ = ["CompileOptions", "CompiledQuery", "compile", "parse", "parse_command", "support"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), _NAMES.get(name, name))
