"""Stored functions and views: text of the catalog, parsed and bound where it is called."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Environment, FunctionValue

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


@lru_cache(maxsize=256)
def parsed(parameters: str, body: str) -> tuple[syntax.Function, str]:
    """A function's syntax, and the text that its places refer to."""
    from spark_kusto.kql.parser import parse

    text = f"let stored_function = {parameters.strip() or '()'} {_braced(body)};"
    statement = parse(text).statements[0]
    assert isinstance(statement, syntax.Let)
    assert isinstance(statement.value, syntax.Function)
    return statement.value, text


def _braced(body: str) -> str:
    body = body.strip()
    return body if body.startswith("{") else f"{{\n{body}\n}}"


def load_function(binder: Binder, name: str, database: str) -> FunctionValue | None:
    """A stored function of this name, or None."""
    stored = binder.session.catalog.function(database, name)
    if stored is None:
        return None
    function, text = parsed(stored.parameters, stored.body)
    return FunctionValue(stored.name, function, Environment(), database, text, stored=True)
