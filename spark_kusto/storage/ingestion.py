"""Ingest operations: begin, stage elsewhere, and one commit that makes everything visible at once.

A commit first links every staged file into ``extents/`` and brings the folder to the disk, then one
catalog transaction makes them live. Until it has returned, the files stay in staging as well, so a
crash at any instant leaves either a committed extent or a second link that a sweep removes.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from spark_kusto.errors import CorruptExtentError, IngestConflictError
from spark_kusto.storage import files as fs
from spark_kusto.storage.catalog import Transaction
from spark_kusto.storage.fitting import ColumnFitting
from spark_kusto.storage.folder import encode_fields
from spark_kusto.storage.model import (
    ChangeContext,
    CommitResult,
    EntityChange,
    Extent,
    IngestOperation,
    Snapshot,
    StagedFile,
    TableSnapshot,
    TransactionMark,
)
from spark_kusto.storage.sequence import moment_of, ticks_of
from spark_kusto.storage.statistics import rename_statistics
from spark_kusto.storage.tables import (
    check_columns,
    check_name,
)
from spark_kusto.types import Column

LEASE_SECONDS = 6 * 3600.0
"""How long an operation lives without a sign of life; staging gives one with every row group."""

LEASE_FILE = ".lease"
"""File in an operation's staging folder whose modification time is the last sign of life."""

INGEST_BY = "ingest-by:"
"""Prefix of tags that make ingestion idempotent (Kusto documentation, "Extent tags")."""


class Ingestion(ColumnFitting):
    """Beginning, committing and aborting ingest operations."""

    def begin_ingest(
        self,
        table: str,
        columns: Sequence[Column] | None = None,
        *,
        create: bool = False,
        extend: bool = False,
        recreate: bool = False,
        folder: str = "",
        docstring: str = "",
        hidden: bool = False,
        lease_seconds: float = LEASE_SECONDS,
    ) -> IngestOperation:
        """Open an operation: a staging folder, and the columns and field ids its files are to have.

        Args:
            table: name of the table.
            columns: what the data has; None means all columns of the table.
            create: create the table with the commit if it is absent.
            extend: add columns that the table lacks with the commit.
            recreate: with the commit, make the table's schema ``columns``, whatever it was.
            folder: of a table that is created; ``docstring`` and ``hidden`` likewise.
            lease_seconds: life of the operation without a sign of life from staging.

        Raises:
            EntityNotFoundError: no such table or column, and it is not to be created.
            SchemaMismatchError: a column has another type in the table, or occurs twice.
        """
        snapshot = self.snapshot()
        known = snapshot.tables.get(table)
        if known is None:
            if not (create or recreate) or columns is None:
                snapshot.table(table)
            check_name("Table", table)
        if columns is not None:
            check_columns(table, columns)
        if known is not None and columns is None:
            columns = [column.column for column in known.columns]
        wanted, added = self._planned_columns(known, columns or (), extend=extend, recreate=recreate)
        operation_id = str(uuid.uuid4())
        operation = IngestOperation(
            id=operation_id,
            database=self.name,
            table=table,
            table_id=str(uuid.uuid4()) if known is None else known.id,
            columns=wanted,
            staging=str(self.staging_path / operation_id),
            lease_seconds=lease_seconds,
            create=create or recreate,
            extend=extend,
            recreate=recreate,
            added=added,
            folder=folder,
            docstring=docstring,
            hidden=hidden,
        )
        self._open_operation(operation)
        return operation

    def begin_export(self, lease_seconds: float, purpose: str = "") -> IngestOperation:
        """Open an operation that never commits: a staging folder for results that are read from there.

        The folder goes with :meth:`abort_ingest` or :meth:`abort_exports`, or with a sweep once the lease has
        run out.

        Args:
            lease_seconds: how long the files may be needed, from the last renewal.
            purpose: whose results these are, for :meth:`abort_exports`.
        """
        operation_id = str(uuid.uuid4())
        operation = IngestOperation(
            id=operation_id,
            database=self.name,
            table=purpose,
            table_id="",
            columns=(),
            staging=str(self.staging_path / operation_id),
            lease_seconds=lease_seconds,
        )
        self._open_operation(operation)
        return operation

    def _open_operation(self, operation: IngestOperation) -> None:
        now = self.clock()
        with self.catalog.transaction(durable=False) as transaction:
            transaction.execute(
                "INSERT INTO operations VALUES (?, ?, ?, 'active', ?, ?, NULL, NULL)",
                (
                    operation.id,
                    operation.table_id,
                    operation.table,
                    now,
                    now + int(operation.lease_seconds * 10_000_000),
                ),
            )
        fs.reached("begin.recorded")
        with fs.storage_errors("create staging in", self.staging_path):
            os.mkdir(operation.staging)
            Path(operation.staging, LEASE_FILE).touch()

    # -- commit

    def commit_ingest(
        self,
        operation: IngestOperation,
        files: Iterable[StagedFile],
        *,
        tags: Sequence[str] = (),
        created_on: dt.datetime | None = None,
        replace_extents: str | Callable[[Extent], bool] | None = None,
        writer_id: str | None = None,
        batch_id: int | None = None,
        ingest_if_not_exists: Sequence[str] = (),
        entities: Sequence[EntityChange] = (),
        rewrites: Mapping[str, StagedFile | None] | None = None,
        looked_at: Collection[str] | None = None,
        event: str = "INGEST",
        context: ChangeContext | None = None,
    ) -> CommitResult:
        """Make the staged files extents of the table, all at once.

        Files of the operation that are not named here are dropped with its staging folder.

        Args:
            operation: from :meth:`begin_ingest`.
            files: what tasks staged under it; of any order, possibly none.
            tags: of the new extents.
            created_on: creation time of the new extents instead of now, for retention.
            replace_extents: ``"all"`` or a predicate: extents that go away in the same commit.
            writer_id: identity of a writer that may try a batch again.
            batch_id: number of the batch, rising; one at or below the writer's last is a no-op.
            ingest_if_not_exists: values; if the table has an extent tagged ``ingest-by:`` any of
                them, the commit is a no-op.
            entities: stored in the same commit (progress of a view or an export).
            rewrites: ids of live extents, each with the staged file of its remaining rows (None where
                none remain): it takes the extent's place, with its tags, times and sequences.
            looked_at: ids of the extents that ``rewrites`` was found in; if the table has others by now,
                nothing is committed.
            event: the journal's name for this.

        Returns:
            What was done; ``replayed`` tells a no-op. Committing an operation again gives the first
            result.

        Raises:
            IngestConflictError: the operation was aborted or expired, or its table was dropped; not
                ``permanent`` where extents have changed since they were looked at.
            SchemaMismatchError: the table's columns have changed so that the data no longer fits.
            CorruptExtentError: a staged file is missing or has another size.
            StorageFullError: no space; nothing was committed.
        """
        # A file that is named twice is one extent.
        staged = list({file.extent_id: file for file in files}.values())
        rewritten = dict(rewrites or {})
        written = [*staged, *(file for file in rewritten.values() if file is not None)]
        self._check_staged(operation, written)
        try:
            self._link(written)
            with self.catalog.transaction(context) as transaction:
                done = self._commit(
                    transaction,
                    operation,
                    staged,
                    rewrites=rewritten,
                    looked_at=None if looked_at is None else frozenset(looked_at),
                    tags=tuple(tags),
                    created_on=created_on,
                    replaced=replace_extents,
                    mark=None if writer_id is None else (writer_id, 0 if batch_id is None else batch_id),
                    unless=tuple(ingest_if_not_exists),
                    entities=entities,
                    event=event,
                )
        except BaseException:
            self._unlink_uncommitted(written)
            raise
        fs.reached("commit.done")
        self._remove_staging(operation.id)
        if done.replayed:
            self._unlink_uncommitted(written)
        return done

    def _check_staged(self, operation: IngestOperation, staged: Sequence[StagedFile]) -> None:
        for file in staged:
            if file.operation_id != operation.id:
                raise IngestConflictError(
                    f"File '{file.path}' was staged under another operation than '{operation.id}'.",
                    remedy="Commit it with the operation that it was staged under.",
                )

    def _link(self, staged: Sequence[StagedFile]) -> None:
        for file in staged:
            # A file that is missing is reported by the check inside the transaction.
            with fs.storage_errors("link", file.path), suppress(FileExistsError, FileNotFoundError):
                os.link(file.path, self.extent_path(file.extent_id))
            fs.reached("commit.linked")
        if staged:
            with fs.storage_errors("write", self.extents_path):
                fs.sync_folder(self.extents_path)
            fs.reached("commit.synced")

    def _commit(
        self,
        transaction: Transaction,
        operation: IngestOperation,
        staged: Sequence[StagedFile],
        *,
        rewrites: Mapping[str, StagedFile | None],
        looked_at: frozenset[str] | None,
        tags: tuple[str, ...],
        created_on: dt.datetime | None,
        replaced: str | Callable[[Extent], bool] | None,
        mark: tuple[str, int] | None,
        unless: tuple[str, ...],
        entities: Sequence[EntityChange],
        event: str,
    ) -> CommitResult:
        live = self.live(transaction)
        before = self._operation_result(transaction, operation, live)
        if before is not None:
            return before
        table = live.tables.get(operation.table)
        skipped = self._already_stored(transaction, table, mark, unless)
        if skipped is not None:
            self._close_operation(transaction, operation.id, "skipped", skipped)
            return skipped
        if table is not None and looked_at is not None:
            self._check_looked_at(table, looked_at)
        table, ids = self._settle_table(transaction, operation, table)
        removed = self._replace(transaction, table, replaced)
        if rewrites:
            removed = (*removed, *self._rewrite(transaction, table, rewrites))
        extents = tuple(
            self._new_extent(transaction, file, ids, tags, created_on)
            for file in staged
            if self._present(file)
        )
        for extent in extents:
            self._insert_extent(transaction, table.id, extent)
        if mark is not None:
            transaction.execute(
                "INSERT OR REPLACE INTO ingest_transactions VALUES (?, ?, ?, ?)",
                (table.id, *mark, transaction.sequence),
            )
        transaction.put_entities(entities)
        rows = sum(extent.row_count for extent in extents)
        transaction.journal(
            event,
            table.name,
            before=f"{len(removed)} extents replaced" if removed else "",
            after=f"{rows} rows in {len(extents)} extents",
        )
        done = CommitResult(transaction.sequence, extents, removed)
        self._close_operation(transaction, operation.id, "committed", done)
        return done

    @staticmethod
    def _check_looked_at(table: TableSnapshot, looked_at: frozenset[str]) -> None:
        if any(extent.id not in looked_at for extent in table.extents):
            raise IngestConflictError(
                f"Rows were written to table '{table.name}' while it was looked for rows to replace; "
                "nothing has changed.",
                remedy="Run it again.",
                permanent=False,
            )

    def _rewrite(
        self,
        transaction: Transaction,
        table: TableSnapshot,
        rewrites: Mapping[str, StagedFile | None],
    ) -> tuple[str, ...]:
        """Put files with the remaining rows of extents in their places.

        Such files have columns of the table that the operation's own data may lack.
        """
        live = {extent.id: extent for extent in table.extents}
        ids = {column.id: column.id for column in table.columns}
        gone = next((extent_id for extent_id in rewrites if extent_id not in live), None)
        if gone is not None:
            raise IngestConflictError(
                f"Extent '{gone}' of table '{table.name}' was dropped, moved or merged while its rows were "
                "being replaced; nothing has changed.",
                remedy="Run the command again.",
                permanent=False,
            )
        self._remove_extents(transaction, table.id, rewrites)
        for extent_id, file in rewrites.items():
            if file is not None and self._present(file):
                source = live[extent_id]
                rewritten = replace(
                    self._new_extent(transaction, file, ids, source.tags, None),
                    created_on=source.created_on,
                    min_created_on=source.min_created_on,
                    sequence=source.sequence,
                    min_sequence=source.min_sequence,
                )
                self._insert_extent(transaction, table.id, rewritten)
        return tuple(rewrites)

    def _operation_result(
        self, transaction: Transaction, operation: IngestOperation, live: Snapshot
    ) -> CommitResult | None:
        row = transaction.execute(
            "SELECT state, sequence, result FROM operations WHERE id = ?", (operation.id,)
        ).fetchone()
        state = row[0] if row is not None else "unknown"
        if state == "active":
            return None
        if state in ("committed", "skipped"):
            result = json.loads(row[2])
            mine = set(result["extents"])
            extents = [e for t in live.tables.values() for e in t.extents if e.id in mine]
            return CommitResult(row[1], tuple(extents), tuple(result["removed"]), skipped="committed")
        remedy = "Begin a new operation and stage the data again."
        if state == "expired":
            remedy = "Its lease ran out before the commit: begin again, with a longer lease if need be."
        raise IngestConflictError(
            f"Ingest operation '{operation.id}' into table '{operation.table}' is {state}; nothing was "
            "stored.",
            remedy=remedy,
        )

    def _close_operation(
        self, transaction: Transaction, operation_id: str, state: str, result: CommitResult
    ) -> None:
        text = json.dumps({"extents": [e.id for e in result.extents], "removed": list(result.removed)})
        transaction.execute(
            "UPDATE operations SET state = ?, sequence = ?, result = ? WHERE id = ?",
            (state, result.sequence, text, operation_id),
        )

    def _already_stored(
        self,
        transaction: Transaction,
        table: TableSnapshot | None,
        mark: tuple[str, int] | None,
        unless: tuple[str, ...],
    ) -> CommitResult | None:
        if table is None:
            return None
        if mark is not None:
            row = transaction.execute(
                "SELECT batch_id, sequence FROM ingest_transactions WHERE table_id = ? AND writer_id = ?",
                (table.id, mark[0]),
            ).fetchone()
            if row is not None and mark[1] <= row[0]:
                return CommitResult(row[1], (), skipped="batch")
        wanted = {INGEST_BY + value for value in unless}
        if wanted:
            for extent in table.extents:
                if not wanted.isdisjoint(extent.tags):
                    return CommitResult(extent.sequence, (), skipped="tag")
        return None

    def _replace(
        self,
        transaction: Transaction,
        table: TableSnapshot,
        replaced: str | Callable[[Extent], bool] | None,
    ) -> tuple[str, ...]:
        if replaced is None:
            return ()
        if replaced == "all":
            return self._remove_all_extents(transaction, table.id)
        if isinstance(replaced, str):
            raise ValueError(f"replace_extents is 'all', a predicate or None, not {replaced!r}")
        ids = [extent.id for extent in table.extents if replaced(extent)]
        self._remove_extents(transaction, table.id, ids)
        return tuple(ids)

    def _remove_extents(self, transaction: Transaction, table_id: str, ids: Iterable[str]) -> None:
        transaction.executemany(
            "UPDATE extents SET removed_sequence = ?, removed_on = ?"
            " WHERE table_id = ? AND id = ? AND removed_sequence IS NULL",
            [(transaction.sequence, self.clock(), table_id, extent_id) for extent_id in ids],
        )

    def _present(self, file: StagedFile) -> bool:
        """Check that a file to be committed is where it will be read, whole."""
        path = self.extent_path(file.extent_id)
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            size = -1
        if size != file.size:
            found = "is missing" if size < 0 else f"has {size} bytes instead of {file.size}"
            raise CorruptExtentError(
                f"Staged file '{file.path}' {found}; nothing was committed.",
                extent_id=file.extent_id,
                path=file.path,
                remedy="Executors must see the cluster's directory under the same path as the driver; "
                "if they cannot, write through blobs (kustoIngestionStorageContainer).",
            )
        return file.row_count > 0

    def _new_extent(
        self,
        transaction: Transaction,
        file: StagedFile,
        ids: Mapping[int, int],
        tags: tuple[str, ...],
        created_on: dt.datetime | None,
    ) -> Extent:
        kept = {old: ids[old] for old in file.fields if old in ids}
        statistics = file.encoded_statistics
        if any(old != new for old, new in kept.items()) or len(kept) != len(file.fields):
            statistics = rename_statistics(statistics, kept)
        created = moment_of(transaction.sequence) if created_on is None else moment_of(ticks_of(created_on))
        return Extent(
            id=file.extent_id,
            path=str(self.extent_path(file.extent_id)),
            row_count=file.row_count,
            size=file.size,
            original_size=file.original_size,
            created_on=created,
            min_created_on=created,
            tags=tags,
            sequence=transaction.sequence,
            min_sequence=transaction.sequence,
            added_sequence=transaction.sequence,
            has_row_sequences=file.has_row_sequences,
            fields={new: file.fields[old] for old, new in kept.items()},
            row_groups=file.row_groups,
            encoded_statistics=statistics,
        )

    def _insert_extent(self, transaction: Transaction, table_id: str, extent: Extent) -> None:
        transaction.execute(
            "INSERT INTO extents (id, table_id, added_sequence, sequence, min_sequence, has_row_sequences,"
            " created_on, min_created_on, row_count, size, original_size, fields, row_groups, tags,"
            " statistics) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                extent.id,
                table_id,
                extent.added_sequence,
                extent.sequence,
                extent.min_sequence,
                int(extent.has_row_sequences),
                ticks_of(extent.created_on),
                ticks_of(extent.min_created_on),
                extent.row_count,
                extent.size,
                extent.original_size,
                encode_fields(extent.fields),
                json.dumps(extent.row_groups),
                json.dumps(list(extent.tags)),
                extent.encoded_statistics,
            ),
        )

    # -- abort and clean-up

    def abort_ingest(self, operation: IngestOperation, *, forget: bool = False) -> bool:
        """Give up an operation and remove its files; after a successful commit, do nothing.

        Args:
            operation: from :meth:`begin_ingest`.
            forget: nothing went wrong, there was nothing to store: the history need not have it.

        Returns:
            Whether the operation is now without effect (False: it had been committed).
        """
        with self.catalog.transaction(durable=False) as transaction:
            row = transaction.execute("SELECT state FROM operations WHERE id = ?", (operation.id,)).fetchone()
            if row is not None and row[0] == "committed":
                return False
            change = "DELETE FROM operations" if forget else "UPDATE operations SET state = 'aborted'"
            transaction.execute(f"{change} WHERE id = ? AND state = 'active'", (operation.id,))
        self._remove_staging(operation.id)
        return True

    def abort_exports(self, purpose: str) -> int:
        """Remove the results of all exports of a purpose; returns how many there were."""
        with self.catalog.connected() as connection:
            found = connection.execute(
                "SELECT id FROM operations WHERE state = 'active' AND table_id = '' AND table_name = ?",
                (purpose,),
            ).fetchall()
        if not found:
            return 0  # without a transaction, which might have to wait for others
        with self.catalog.transaction(durable=False) as transaction:
            transaction.executemany("DELETE FROM operations WHERE id = ?", found)
        for (operation_id,) in found:
            self._remove_staging(operation_id)
        return len(found)

    def _remove_staging(self, operation_id: str) -> int:
        """Remove an operation's staging folder; a task that still writes there fails, as it should."""
        folder = self.staging_path / operation_id
        count = sum(1 for name in _names(folder) if name.endswith(".parquet"))
        shutil.rmtree(folder, ignore_errors=True)
        return count

    def _unlink_uncommitted(self, staged: Sequence[StagedFile]) -> None:
        """Take back links of a commit that did not happen. What cannot be done now, a sweep does."""
        if not staged:
            return
        with suppress(Exception), self.catalog.transaction(durable=False) as transaction:
            for file in staged:
                row = transaction.execute(
                    "SELECT 1 FROM extents WHERE id = ? LIMIT 1", (file.extent_id,)
                ).fetchone()
                if row is None:
                    fs.remove_file(self.extent_path(file.extent_id))

    def transaction_marks(self, table: str | None = None) -> tuple[TransactionMark, ...]:
        """The last batch of every writer, of one table or all."""
        table_id = None if table is None else self.snapshot().table(table).id
        with self.catalog.connected() as connection:
            rows = connection.execute(
                "SELECT table_id, writer_id, batch_id, sequence FROM ingest_transactions"
                " WHERE ?1 IS NULL OR table_id = ?1 ORDER BY sequence",
                (table_id,),
            ).fetchall()
        return tuple(TransactionMark(*row) for row in rows)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
