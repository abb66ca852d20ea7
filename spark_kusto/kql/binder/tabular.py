"""Which function binds which operator."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import UnsupportedError
from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Environment, Relation

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

OperatorBinder = Callable[["Binder", Any, Relation, Environment], Relation]
SourceBinder = Callable[["Binder", Any, Environment], Relation]

_OPERATORS: dict[type, OperatorBinder] = {}
_SOURCES: dict[type, SourceBinder] = {}
_NAMES: dict[str, str] = {}
_loaded = False
_begun = False
_loading = threading.RLock()

_MODULES = (
    "rows",
    "making",
    "aggregation",
    "unions",
    "joining",
    "expansion",
    "parsing",
    "evaluating",
    "series",
    "nesting",
    "searching",
    "branching",
    "graph_tables",
    "graphs",
    "scanning",
    "reducing",
)


def _load() -> None:
    global _loaded, _begun
    if _loaded:
        return
    # Other threads wait until everything is there.
    with _loading:
        if _begun:
            return
        _begun = True
        import importlib

        for module in _MODULES:
            importlib.import_module(f"spark_kusto.kql.binder.{module}")
        _loaded = True


def operator(kind: type, *names: str) -> Callable[[OperatorBinder], OperatorBinder]:
    """Register what binds an operator, with its names in the language."""

    def add(function: OperatorBinder) -> OperatorBinder:
        _OPERATORS[kind] = function
        _NAMES.update(dict.fromkeys(names, ""))
        return function

    return add


def source(kind: type, *names: str) -> Callable[[SourceBinder], SourceBinder]:
    """Register what binds an operator that makes rows by itself."""

    def add(function: SourceBinder) -> SourceBinder:
        _SOURCES[kind] = function
        _NAMES.update(dict.fromkeys(names, ""))
        return function

    return add


def operator_names() -> list[str]:
    """Names of all operators that can be bound."""
    _load()
    return sorted(_NAMES)


def apply_operator(
    binder: Binder, node: syntax.Operator, relation: Relation, environment: Environment
) -> Relation:
    """One operator over its input."""
    _load()
    function = _OPERATORS.get(type(node))
    if function is None:
        raise unsupported(node)
    if relation.visualization is not None and not isinstance(node, syntax.Render):
        relation = replace(relation, visualization=None)
    if relation.outputs and not isinstance(node, syntax.Render):
        # What follows is over the first of several results.
        relation = replace(relation, outputs=())
    return function(binder, node, relation, environment)


def make_source(binder: Binder, node: syntax.Operator, environment: Environment) -> Relation:
    """An operator that makes rows by itself."""
    _load()
    function = _SOURCES.get(type(node))
    if function is None:
        if type(node) in _OPERATORS:
            raise binder.error("This operator needs an input table.", node, code="SEM0001")
        raise unsupported(node)
    return function(binder, node, environment)


def unsupported(node: syntax.Operator) -> UnsupportedError:
    """The error for an operator that parses and cannot be executed."""
    name = "".join(f"-{c.lower()}" if c.isupper() else c for c in type(node).__name__).strip("-")
    return UnsupportedError(f"The operator '{name}' is not supported.", feature=name)
