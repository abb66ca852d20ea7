"""Management commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_kusto.kql.syntax.base import Node, Operator, Statement
from spark_kusto.kql.syntax.expressions import LiteralValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spark_kusto.kql.syntax.statements import Query

CommandArgument = LiteralValue | tuple[Any, ...] | Node | dict[str, Any]
"""Value of a command's argument: see the grammar's rows for which argument has which form."""


@dataclass(frozen=True, slots=True)
class ManagementCommand(Node):
    """A management command, such as `.create-merge table T (a:long) with (folder="x")`.

    `name` is the row of the command grammar that matched (`create-merge table`), which the
    engine dispatches on; `arguments` are what stood in its slots, by slot name. `properties`
    are those of all `with (...)` clauses, keys in lower case, values plain Python. `is_async`
    is set by `async`.

    `query` is the query after `<|`, parsed, where the command takes one; `input` is the text
    after `<|` or within `[ ]` as written (inline data, a script). `pipe` are the query operators
    that follow a `| ` after the command, and `then` the statements after a `;`, where
    `$command_results` stands for the command's result.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    is_async: bool = False
    query: Query | ManagementCommand | None = None
    input: str | None = field(default=None, repr=False)
    pipe: tuple[Operator, ...] = ()
    then: tuple[Statement, ...] = ()
    text: str = field(default="", compare=False, repr=False)
