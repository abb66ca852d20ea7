"""Changes of tables and their columns. Each is one commit with one journal entry."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from spark_kusto.errors import EntityExistsError, EntityNotFoundError, OptionError, SchemaMismatchError
from spark_kusto.storage.catalog import Transaction
from spark_kusto.storage.folder import DatabaseFolder, encode_definition
from spark_kusto.storage.model import ChangeContext, StoredColumn, TableSnapshot
from spark_kusto.types import Column, KustoType

MAXIMUM_NAME_LENGTH = 1024
"""Kusto documentation, "Entity names"."""


def check_name(kind: str, name: str) -> None:
    """Refuse names that Kusto does not allow for any entity."""
    if not name or len(name) > MAXIMUM_NAME_LENGTH or any(ord(ch) < 32 for ch in name):
        raise OptionError(
            f"{kind} name {name!r} is not valid.",
            remedy=f"Names have 1 to {MAXIMUM_NAME_LENGTH} characters, none of them a control character.",
        )


def check_columns(table: str, columns: Sequence[Column | StoredColumn]) -> None:
    """Refuse a schema with no or repeated columns."""
    if not columns:
        raise SchemaMismatchError(f"Table '{table}' would have no columns.", remedy="Give at least one.")
    seen: set[str] = set()
    for column in columns:
        check_name("Column", column.name)
        if column.name in seen:
            raise SchemaMismatchError(
                f"Column '{column.name}' occurs twice in the schema of table '{table}'.",
                columns=[column.name],
                remedy="Rename one of them.",
            )
        seen.add(column.name)


def schema_text(columns: Iterable[Column | StoredColumn]) -> str:
    """A schema as ``name:type, ...``, for the journal."""
    return ", ".join(f"{column.name}:{column.type.value}" for column in columns)


class TableChanges(DatabaseFolder):
    """Creating, altering, renaming and dropping tables and columns."""

    # -- inside a transaction

    def _insert_table(self, transaction: Transaction, table: TableSnapshot) -> None:
        transaction.execute(
            "INSERT INTO tables VALUES (?, ?, ?, NULL, ?)",
            (table.id, table.name, transaction.sequence, 1 + max(c.id for c in table.columns)),
        )
        self._write_definition(transaction, table)

    def _write_definition(self, transaction: Transaction, table: TableSnapshot) -> None:
        transaction.execute(
            "INSERT OR REPLACE INTO table_versions VALUES (?, ?, ?)",
            (table.id, transaction.sequence, encode_definition(table)),
        )

    def _next_column_id(self, transaction: Transaction, table_id: str) -> int:
        row = transaction.execute("SELECT next_column_id FROM tables WHERE id = ?", (table_id,)).fetchone()
        return int(row[0])

    def _change_columns(
        self, transaction: Transaction, table: TableSnapshot, columns: Sequence[Column | StoredColumn]
    ) -> TableSnapshot:
        """Write a version with these columns; those without an id get one never used before."""
        check_columns(table.name, columns)
        next_id = self._next_column_id(transaction, table.id)
        stored: list[StoredColumn] = []
        for column in columns:
            if isinstance(column, StoredColumn):
                stored.append(column)
                next_id = max(next_id, column.id + 1)
            else:
                stored.append(StoredColumn(next_id, column.name, column.type, column.docstring))
                next_id += 1
        transaction.execute("UPDATE tables SET next_column_id = ? WHERE id = ?", (next_id, table.id))
        changed = replace(table, columns=tuple(stored))
        self._write_definition(transaction, changed)
        return changed

    def _remove_all_extents(self, transaction: Transaction, table_id: str) -> tuple[str, ...]:
        removed = transaction.execute(
            "SELECT id FROM extents WHERE table_id = ? AND removed_sequence IS NULL", (table_id,)
        ).fetchall()
        transaction.execute(
            "UPDATE extents SET removed_sequence = ?, removed_on = ?"
            " WHERE table_id = ? AND removed_sequence IS NULL",
            (transaction.sequence, self.clock(), table_id),
        )
        return tuple(row[0] for row in removed)

    # -- tables

    def create_table(
        self,
        name: str,
        columns: Sequence[Column],
        *,
        folder: str = "",
        docstring: str = "",
        hidden: bool = False,
        kind: str = "table",
        properties: Mapping[str, Any] | None = None,
        if_not_exists: bool = False,
        context: ChangeContext | None = None,
    ) -> TableSnapshot:
        """Create a table.

        Args:
            if_not_exists: return the existing table, whatever its schema, instead of raising.

        Raises:
            EntityExistsError: the name is taken.
            SchemaMismatchError: no columns, or one named twice.
        """
        check_name("Table", name)
        check_columns(name, columns)
        with self.catalog.transaction(context) as transaction:
            known = self.live(transaction).tables.get(name)
            if known is not None:
                if if_not_exists:
                    return known
                raise EntityExistsError(
                    kind="Table",
                    name=name,
                    container=f"database '{self.name}'",
                    remedy="Choose another name, or use .create-merge table to add columns to it.",
                )
            self._create(
                transaction,
                TableSnapshot(
                    id=str(uuid.uuid4()),
                    name=name,
                    columns=tuple(
                        StoredColumn(i, c.name, c.type, c.docstring) for i, c in enumerate(columns, 1)
                    ),
                    extents=(),
                    folder=folder,
                    docstring=docstring,
                    hidden=hidden,
                    kind=kind,
                    properties=dict(properties or {}),
                ),
            )
        return self.snapshot().table(name)

    def _create(self, transaction: Transaction, table: TableSnapshot) -> None:
        self._insert_table(transaction, table)
        transaction.journal("CREATE-TABLE", table.name, after=schema_text(table.columns))

    def alter_table(
        self,
        name: str,
        columns: Sequence[Column],
        *,
        folder: str | None = None,
        docstring: str | None = None,
        context: ChangeContext | None = None,
    ) -> TableSnapshot:
        """Make a table's columns exactly these, in this order; what is left out is dropped.

        Raises:
            SchemaMismatchError: a column would change its type (:meth:`alter_column_type` does that).
        """
        return self._alter(name, columns, folder, docstring, context, merge=False)

    def alter_merge_table(
        self,
        name: str,
        columns: Sequence[Column],
        *,
        folder: str | None = None,
        docstring: str | None = None,
        context: ChangeContext | None = None,
    ) -> TableSnapshot:
        """Add the columns that a table lacks, at its end; the others must have the same type.

        Raises:
            SchemaMismatchError: a column exists with another type.
        """
        return self._alter(name, columns, folder, docstring, context, merge=True)

    def _alter(
        self,
        name: str,
        columns: Sequence[Column],
        folder: str | None,
        docstring: str | None,
        context: ChangeContext | None,
        *,
        merge: bool,
    ) -> TableSnapshot:
        check_columns(name, columns)
        with self.catalog.transaction(context) as transaction:
            table = self.live(transaction).table(name)
            wanted = merged_columns(table, columns) if merge else exact_columns(table, columns)
            folder = table.folder if folder is None else folder
            docstring = table.docstring if docstring is None else docstring
            if tuple(wanted) != table.columns or (folder, docstring) != (table.folder, table.docstring):
                altered = replace(table, folder=folder, docstring=docstring)
                changed = self._change_columns(transaction, altered, wanted)
                transaction.journal(
                    "ALTER-MERGE-TABLE" if merge else "ALTER-TABLE",
                    name,
                    before=schema_text(table.columns),
                    after=schema_text(changed.columns),
                )
        return self.snapshot().table(name)

    def alter_table_details(
        self,
        name: str,
        *,
        folder: str | None = None,
        docstring: str | None = None,
        hidden: bool | None = None,
        kind: str | None = None,
        properties: Mapping[str, Any] | None = None,
        context: ChangeContext | None = None,
    ) -> TableSnapshot:
        """Change what is given of a table's folder, description and settings."""
        with self.catalog.transaction(context) as transaction:
            table = self.live(transaction).table(name)
            changed = replace(
                table,
                folder=table.folder if folder is None else folder,
                docstring=table.docstring if docstring is None else docstring,
                hidden=table.hidden if hidden is None else hidden,
                kind=table.kind if kind is None else kind,
                properties=table.properties if properties is None else dict(properties),
            )
            if changed != table:
                self._write_definition(transaction, changed)
                transaction.journal(
                    "ALTER-TABLE-DETAILS",
                    name,
                    before=f"{table.folder}|{table.docstring}",
                    after=f"{changed.folder}|{changed.docstring}",
                )
        return self.snapshot().table(name)

    def rename_tables(
        self, names: Mapping[str, str], *, context: ChangeContext | None = None
    ) -> tuple[TableSnapshot, ...]:
        """Rename tables, old name to new, all at once; two may change places.

        Raises:
            EntityNotFoundError: an old name does not exist.
            EntityExistsError: a new name is taken by a table that is not renamed as well.
        """
        for new in names.values():
            check_name("Table", new)
        if len(set(names.values())) != len(names):
            raise OptionError("Two tables would get the same name.", remedy="Give each a name of its own.")
        with self.catalog.transaction(context) as transaction:
            snapshot = self.live(transaction)
            tables = {old: snapshot.table(old) for old in names}
            for new in names.values():
                if new in snapshot.tables and new not in names:
                    raise EntityExistsError(
                        kind="Table",
                        name=new,
                        container=f"database '{self.name}'",
                        remedy="Drop it first, or rename it in the same command.",
                    )
            # Names are unique at every moment, so all are set aside first.
            for table in tables.values():
                transaction.execute("UPDATE tables SET name = ? WHERE id = ?", (f"\x00{table.id}", table.id))
            for old, new in names.items():
                renamed = replace(tables[old], name=new)
                transaction.execute("UPDATE tables SET name = ? WHERE id = ?", (new, renamed.id))
                self._write_definition(transaction, renamed)
                transaction.journal("RENAME-TABLE", old, renamed=new)
        current = self.snapshot()
        return tuple(current.table(new) for new in names.values())

    def drop_table(
        self, name: str, *, if_exists: bool = False, context: ChangeContext | None = None
    ) -> TableSnapshot | None:
        """Drop a table with its rows, mappings and policies; returns what it was."""
        dropped = self.drop_tables([name], if_exists=if_exists, context=context)
        return dropped[0] if dropped else None

    def drop_tables(
        self, names: Sequence[str], *, if_exists: bool = False, context: ChangeContext | None = None
    ) -> tuple[TableSnapshot, ...]:
        """Drop several tables in one commit."""
        dropped: list[TableSnapshot] = []
        with self.catalog.transaction(context) as transaction:
            snapshot = self.live(transaction)
            for name in dict.fromkeys(names):
                if if_exists and name not in snapshot.tables:
                    continue
                table = snapshot.table(name)
                dropped.append(table)
                self._remove_all_extents(transaction, table.id)
                transaction.execute(
                    "UPDATE tables SET dropped_sequence = ? WHERE id = ?", (transaction.sequence, table.id)
                )
                # Whoever waits for queued data is told; what was staged goes with the next sweep.
                transaction.execute(
                    "UPDATE operations SET state = 'aborted' WHERE state = 'active' AND id IN"
                    " (SELECT name FROM entities WHERE kind = 'queue' AND owner = ?)",
                    (table.id,),
                )
                transaction.execute("DELETE FROM entities WHERE owner = ?", (table.id,))
                transaction.execute("DELETE FROM ingest_transactions WHERE table_id = ?", (table.id,))
                transaction.journal("DROP-TABLE", name, before=schema_text(table.columns))
        return tuple(dropped)

    def clear_table(self, name: str, *, context: ChangeContext | None = None) -> tuple[str, ...]:
        """Drop all rows of a table; returns the ids of its extents."""
        with self.catalog.transaction(context) as transaction:
            table = self.live(transaction).table(name)
            removed = self._remove_all_extents(transaction, table.id)
            transaction.journal("CLEAR-TABLE-DATA", name, before=f"{len(removed)} extents")
        return removed

    # -- columns

    def rename_columns(
        self, table_name: str, names: Mapping[str, str], *, context: ChangeContext | None = None
    ) -> TableSnapshot:
        """Rename columns of a table, old name to new, all at once; two may change places."""
        with self.catalog.transaction(context) as transaction:
            table = self.live(transaction).table(table_name)
            for old in names:
                table.column(old)
            changed = [replace(c, name=names.get(c.name, c.name)) for c in table.columns]
            self._change_columns(transaction, table, changed)
            for old, new in names.items():
                transaction.journal("RENAME-COLUMN", old, renamed=new, container=table_name)
        return self.snapshot().table(table_name)

    def rename_column(
        self, table_name: str, old: str, new: str, *, context: ChangeContext | None = None
    ) -> TableSnapshot:
        """Rename one column."""
        return self.rename_columns(table_name, {old: new}, context=context)

    def drop_columns(
        self, table_name: str, columns: Iterable[str], *, context: ChangeContext | None = None
    ) -> TableSnapshot:
        """Drop columns with their values; a column added later under the same name starts empty."""
        names = list(columns)
        with self.catalog.transaction(context) as transaction:
            table = self.live(transaction).table(table_name)
            for name in names:
                table.column(name)
            kept = [c for c in table.columns if c.name not in names]
            self._change_columns(transaction, table, kept)
            transaction.journal(
                "DROP-COLUMNS",
                table_name,
                before=schema_text(table.columns),
                after=schema_text(kept),
            )
        return self.snapshot().table(table_name)

    def alter_column_type(
        self, table_name: str, column: str, type: KustoType, *, context: ChangeContext | None = None
    ) -> TableSnapshot:
        """Give a column another type. Rows stored before become null there, as in Kusto."""
        with self.catalog.transaction(context) as transaction:
            table = self.live(transaction).table(table_name)
            known = table.column(column)
            if known.type is not type:
                changed = [
                    Column(c.name, type, c.docstring) if c.name == column else c for c in table.columns
                ]
                self._change_columns(transaction, table, changed)
                transaction.journal(
                    "ALTER-COLUMN-TYPE",
                    column,
                    container=table_name,
                    before=known.type.value,
                    after=type.value,
                )
        return self.snapshot().table(table_name)

    def set_column_docstrings(
        self,
        table_name: str,
        docstrings: Mapping[str, str],
        *,
        merge: bool = True,
        context: ChangeContext | None = None,
    ) -> TableSnapshot:
        """Set descriptions of columns; ``merge=False`` empties those not named."""
        with self.catalog.transaction(context) as transaction:
            table = self.live(transaction).table(table_name)
            for name in docstrings:
                table.column(name)
            changed = [
                replace(c, docstring=docstrings.get(c.name, c.docstring if merge else ""))
                for c in table.columns
            ]
            self._change_columns(transaction, table, changed)
            transaction.journal("ALTER-COLUMN-DOCSTRINGS", table_name)
        return self.snapshot().table(table_name)


def exact_columns(table: TableSnapshot, columns: Sequence[Column]) -> list[Column | StoredColumn]:
    """These columns, as those of the table where name and type are the same."""
    known = {c.name: c for c in table.columns}
    result: list[Column | StoredColumn] = []
    for column in columns:
        old = known.get(column.name)
        if old is None:
            result.append(column)
        else:
            require_same_type(table.name, old, column)
            result.append(replace(old, docstring=column.docstring or old.docstring))
    return result


def merged_columns(table: TableSnapshot, columns: Sequence[Column]) -> list[Column | StoredColumn]:
    """The table's columns, then those of ``columns`` that it lacks."""
    given = {c.name: c for c in columns}
    result: list[Column | StoredColumn] = []
    for old in table.columns:
        column = given.pop(old.name, None)
        if column is not None:
            require_same_type(table.name, old, column)
            old = replace(old, docstring=column.docstring or old.docstring)
        result.append(old)
    return [*result, *given.values()]


def require_same_type(table: str, old: StoredColumn, new: Column | StoredColumn) -> None:
    """Raise unless a column keeps its type."""
    if old.type is not new.type:
        raise SchemaMismatchError(
            f"Column '{old.name}' of table '{table}' is {old.type.value}, not {new.type.value}.",
            columns=[old.name],
            remedy="Convert the data, use another column name, or change the table's column "
            "(.alter column, which empties it).",
        )


def find_missing(table: TableSnapshot, name: str) -> EntityNotFoundError:
    """The error for a column that a table lacks."""
    return EntityNotFoundError(
        kind="Column",
        name=name,
        container=f"table '{table.name}'",
        candidates=[column.name for column in table.columns],
    )
