"""What the binder may ask about databases, tables and stored functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from spark_kusto.types import Column, KustoType


@dataclass(frozen=True)
class TableSchema:
    """A table, as queries see it.

    Attributes:
        database: name of the database that holds it, as stored (not an alias).
        name: name of the table, as stored.
        columns: its columns, in order.
        query: KQL text to run in place of reading extents (views, row level security), or None.
        kind: ``table``, ``materialized_view`` or ``external_table``.
        rows: how many rows it has, or None; joins keep the smaller side in memory.
    """

    database: str
    name: str
    columns: tuple[Column, ...]
    query: str | None = None
    kind: str = "table"
    rows: int | None = None


@dataclass(frozen=True)
class StoredFunction:
    """A stored function, as ``.create function`` keeps it.

    Attributes:
        name: name of the function, as stored.
        parameters: text of the parameter list, parentheses included: ``(a:long, T:(*))``.
        body: text of the body, braces included: ``{ T | take a }``.
        view: True for functions that wildcards in ``union`` and ``search`` see.
    """

    name: str
    parameters: str
    body: str
    view: bool = False


@runtime_checkable
class Catalog(Protocol):
    """The names that exist. ``None`` means there is no such thing; the binder words the error.

    Databases are matched without regard to case, tables and functions exactly, as in Kusto.
    """

    def table(self, database: str, name: str) -> TableSchema | None:
        """A table (or materialized view, or view table) by its exact name."""
        ...

    def table_names(self, database: str) -> Collection[str]:
        """Names of tables that wildcards see."""
        ...

    def external_table(self, database: str, name: str) -> TableSchema | None:
        """An external table by its exact name."""
        ...

    def function(self, database: str, name: str) -> StoredFunction | None:
        """A stored function by its exact name."""
        ...

    def function_names(self, database: str) -> Collection[str]:
        """Names of stored functions."""
        ...

    def database_names(self) -> Collection[str]:
        """Names of databases that ``database("x")`` may reach."""
        ...


@dataclass(frozen=True)
class StaticCatalog:
    """A catalog from plain values, for tests and for binding without an engine.

    Example:
        >>> StaticCatalog({"db": {"T": [("x", "long")]}}).table("db", "T").columns[0].name
        'x'
    """

    tables: Mapping[str, Mapping[str, Sequence[tuple[str, str]]]] = field(default_factory=dict)
    functions: Mapping[str, Mapping[str, StoredFunction]] = field(default_factory=dict)

    def _database(self, name: str) -> str | None:
        wanted = name.lower()
        return next((known for known in self.tables if known.lower() == wanted), None)

    def table(self, database: str, name: str) -> TableSchema | None:
        known = self._database(database)
        declared = None if known is None else self.tables[known].get(name)
        if known is None or declared is None:
            return None
        columns = tuple(Column(column, KustoType.parse(kind)) for column, kind in declared)
        return TableSchema(known, name, columns)

    def table_names(self, database: str) -> Collection[str]:
        known = self._database(database)
        return () if known is None else tuple(self.tables[known])

    def external_table(self, database: str, name: str) -> TableSchema | None:
        return None

    def function(self, database: str, name: str) -> StoredFunction | None:
        return self.functions.get(database, {}).get(name)

    def function_names(self, database: str) -> Collection[str]:
        return tuple(self.functions.get(database, {}))

    def database_names(self) -> Collection[str]:
        return tuple(self.tables)
