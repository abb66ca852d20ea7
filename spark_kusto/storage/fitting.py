"""Fitting the columns of an ingest operation to those of its table: when it begins, and when it commits.

In between the table may be created, dropped, renamed and altered by others. Columns that it had when the
operation began are known by id; those that it lacked are found by name, or added if the operation may.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from spark_kusto.errors import IngestConflictError
from spark_kusto.storage.catalog import Transaction
from spark_kusto.storage.model import IngestOperation, StoredColumn, TableSnapshot
from spark_kusto.storage.tables import TableChanges, find_missing, require_same_type, schema_text
from spark_kusto.types import Column


class ColumnFitting(TableChanges):
    """What an operation's columns are in its table."""

    def _planned_columns(
        self, table: TableSnapshot | None, columns: Sequence[Column], *, extend: bool, recreate: bool
    ) -> tuple[tuple[StoredColumn, ...], tuple[int, ...]]:
        """The operation's columns, and which of them the table lacks.

        Ids of added columns are a guess that the commit corrects if another one took them first.
        """
        known: dict[str, StoredColumn] = {}
        next_id = 1
        if table is not None:
            known = {c.name: c for c in table.columns}
            with self.catalog.connected() as connection:
                row = connection.execute(
                    "SELECT next_column_id FROM tables WHERE id = ?", (table.id,)
                ).fetchone()
            next_id = row[0]
        wanted: list[StoredColumn] = []
        added: list[int] = []
        for column in columns:
            old = known.get(column.name)
            if old is not None and (not recreate or old.type is column.type):
                require_same_type(table.name if table else "", old, column)
                wanted.append(old)
            elif table is None or extend or recreate:
                wanted.append(StoredColumn(next_id, column.name, column.type, column.docstring))
                added.append(next_id)
                next_id += 1
            else:
                raise find_missing(table, column.name)
        return tuple(wanted), tuple(added)

    def _settle_table(
        self, transaction: Transaction, operation: IngestOperation, table: TableSnapshot | None
    ) -> tuple[TableSnapshot, dict[int, int]]:
        """The table as the commit leaves it, and the id in it of every column of the operation."""
        if table is None:
            if not operation.create:
                raise IngestConflictError(
                    f"Table '{operation.table}' was dropped while data was being staged for it.",
                    remedy="Create it and write again.",
                )
            created = TableSnapshot(
                id=str(uuid.uuid4()),
                name=operation.table,
                columns=tuple(replace(c, id=i) for i, c in enumerate(operation.columns, 1)),
                extents=(),
                folder=operation.folder,
                docstring=operation.docstring,
                hidden=operation.hidden,
            )
            self._create(transaction, created)
            return created, {c.id: i for i, c in enumerate(operation.columns, 1)}
        same = table.id == operation.table_id
        if not same and not operation.create:
            raise IngestConflictError(
                f"Table '{operation.table}' was replaced by another one while data was being staged for it.",
                remedy="Write again.",
            )
        if operation.recreate:
            return self._recreate(transaction, operation, table)
        return self._fit(transaction, operation, table, by_id=same)

    def _recreate(
        self, transaction: Transaction, operation: IngestOperation, table: TableSnapshot
    ) -> tuple[TableSnapshot, dict[int, int]]:
        known = {(c.name, c.type): c for c in table.columns}
        wanted = [known.get((c.name, c.type)) or c.column for c in operation.columns]
        changed = table
        if tuple(wanted) != table.columns:
            changed = self._change_columns(transaction, table, wanted)
            transaction.journal(
                "ALTER-TABLE",
                table.name,
                before=schema_text(table.columns),
                after=schema_text(changed.columns),
            )
        return changed, {c.id: new.id for c, new in zip(operation.columns, changed.columns, strict=True)}

    def _fit(
        self, transaction: Transaction, operation: IngestOperation, table: TableSnapshot, *, by_id: bool
    ) -> tuple[TableSnapshot, dict[int, int]]:
        """Find every column of the operation in the table as it is now; add those allowed to be added."""
        now = {c.id: c for c in table.columns}
        names = {c.name: c for c in table.columns}
        ids: dict[int, int] = {}
        missing: list[StoredColumn] = []
        for column in operation.columns:
            if by_id and column.id not in operation.added:
                if column.id in now:
                    ids[column.id] = column.id
                # Otherwise it was dropped after the data had been staged: its values go with it.
                continue
            old = names.get(column.name)
            if old is not None:
                require_same_type(table.name, old, column)
                ids[column.id] = old.id
            elif operation.extend:
                missing.append(column)
            else:
                raise find_missing(table, column.name)
        if not missing:
            return table, ids
        changed = self._change_columns(
            transaction, table, [*table.columns, *(column.column for column in missing)]
        )
        for column, added in zip(missing, changed.columns[len(table.columns) :], strict=True):
            ids[column.id] = added.id
        transaction.journal(
            "ALTER-MERGE-TABLE",
            table.name,
            before=schema_text(table.columns),
            after=schema_text(changed.columns),
        )
        return changed, ids
