"""Wording of semantic errors."""

from __future__ import annotations

from collections.abc import Iterable

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql.syntax import Node


class Faults:
    """Makes errors that point into a query's text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def place(self, node: Node | None) -> tuple[int | None, int | None, int]:
        """Line, column (from 1) and length of a node."""
        if node is None or not self.text or node.span.end > len(self.text) or node.span.end == 0:
            return None, None, 1
        start, end = node.span
        line = self.text.count("\n", 0, start) + 1
        column = start - (self.text.rfind("\n", 0, start) + 1) + 1
        return line, column, max(1, end - start)

    def error(
        self,
        message: str,
        node: Node | None = None,
        *,
        code: str = "SEM0100",
        name: str | None = None,
        candidates: Iterable[str] = (),
        remedy: str | None = None,
    ) -> KqlSemanticError:
        """A semantic error at a node."""
        line, column, length = self.place(node)
        return KqlSemanticError(
            message,
            line,
            column,
            self.text,
            code=code,
            name=name,
            candidates=candidates,
            remedy=remedy,
            length=length,
        )
