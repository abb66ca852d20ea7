"""What queries may name, as of one moment: the binder's catalog over storage snapshots."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from spark_kusto.engine.scans import ROW_NUMBER
from spark_kusto.errors import EntityNotFoundError
from spark_kusto.kql.catalog import StoredFunction, TableSchema
from spark_kusto.storage.model import Entity, Snapshot, TableSnapshot
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.storage import Database

FUNCTION = "function"
"""Kind of the entities that are stored functions."""


class PinnedCatalog:
    """Databases as of the moment each was first asked for, so that one query sees one state.

    Args:
        find: a database by its name in any case; raises EntityNotFoundError.
        names: names of all databases.
        sequences: commit sequences to read at, by database id; others are read as of now.
        row_filter: the query to read a table by where row level security demands it.
    """

    def __init__(
        self,
        find: Callable[[str], Database],
        names: Callable[[], Collection[str]],
        sequences: Mapping[str, int] | None = None,
        row_filter: Callable[[Database, TableSnapshot], str | None] | None = None,
    ) -> None:
        self._find = find
        self._names = names
        self._sequences = dict(sequences or {})
        self._row_filter = row_filter
        self._snapshots: dict[str, tuple[Database, Snapshot]] = {}
        self._functions: dict[str, dict[str, StoredFunction]] = {}
        self._numbered: set[str] = set()
        self._defined: dict[str, tuple[tuple[Column, ...], pa.Table]] = {}

    def number_rows_of(self, table: str) -> None:
        """Give a table one more column, the row's number in its file."""
        self._numbered.add(table)

    def define(self, name: str, columns: Sequence[Column], table: pa.Table) -> None:
        """Let a result in storage form be read as a table of any database."""
        self._defined[name] = (tuple(columns), table)

    def defined(self, name: str) -> pa.Table | None:
        """What :meth:`define` gave a name to."""
        found = self._defined.get(name)
        return None if found is None else found[1]

    def pinned(self, database: str) -> tuple[Database, Snapshot]:
        """A database and what it holds, for the rest of this query."""
        key = database.lower()
        found = self._snapshots.get(key)
        if found is None:
            known = self._find(database)
            found = (known, known.snapshot(self._sequences.get(known.id)))
            self._snapshots[key] = found
        return found

    def _known(self, database: str) -> tuple[Database, Snapshot] | None:
        try:
            return self.pinned(database)
        except EntityNotFoundError:
            return None

    def table(self, database: str, name: str) -> TableSchema | None:
        """A table or materialized view by its exact name."""
        known = self._known(database)
        if known is not None and name in self._defined:
            return TableSchema(known[1].database, name, self._defined[name][0])
        table = known[1].tables.get(name) if known else None
        if known is None or table is None:
            return None
        columns = tuple(column.column for column in table.columns)
        if name in self._numbered:
            # Whoever may delete rows sees them all.
            return TableSchema(known[1].database, name, (*columns, Column(ROW_NUMBER, KustoType.LONG)))
        query = self._row_filter(known[0], table) if self._row_filter is not None else None
        return TableSchema(
            database=known[1].database,
            name=table.name,
            columns=columns,
            query=query,
            kind="table" if table.kind == "table" else table.kind.replace("-", "_"),
            rows=table.row_count,
        )

    def table_names(self, database: str) -> Collection[str]:
        """Names of the tables that wildcards see: hidden ones are left out."""
        known = self._known(database)
        return () if known is None else [t.name for t in known[1].tables.values() if not t.hidden]

    def external_table(self, database: str, name: str) -> TableSchema | None:
        """External tables are defined by entities; there are none without them."""
        return None

    def function(self, database: str, name: str) -> StoredFunction | None:
        """A stored function by its exact name."""
        return self._stored_functions(database).get(name)

    def function_names(self, database: str) -> Collection[str]:
        """Names of stored functions."""
        return self._stored_functions(database).keys()

    def database_names(self) -> Collection[str]:
        """Names of databases."""
        return self._names()

    def _stored_functions(self, database: str) -> dict[str, StoredFunction]:
        key = database.lower()
        found = self._functions.get(key)
        if found is None:
            known = self._known(database)
            found = {} if known is None else stored_functions(known[0].entities(FUNCTION))
            self._functions[key] = found
        return found

    def sequences(self) -> Mapping[str, int]:
        """The commit sequence read of each database asked for so far, by database id."""
        return {database.id: snapshot.sequence for database, snapshot in self._snapshots.values()}


def stored_functions(entities: Iterable[Entity]) -> dict[str, StoredFunction]:
    """Functions by name from the entities that hold them."""
    return {
        entity.name: StoredFunction(
            entity.name,
            entity.value.get("parameters", "()"),
            entity.value.get("body", "{}"),
            view=bool(entity.value.get("view", False)),
        )
        for entity in entities
    }
