"""Changes of which extents a table has: drop, move, tag, replace, and the commit of a merge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from spark_kusto.errors import EntityNotFoundError, IngestConflictError, SchemaMismatchError
from spark_kusto.storage.catalog import Transaction
from spark_kusto.storage.ingestion import Ingestion
from spark_kusto.storage.model import (
    ChangeContext,
    CommitResult,
    Extent,
    IngestOperation,
    MovedExtent,
    Snapshot,
    StagedFile,
    TableSnapshot,
)
from spark_kusto.storage.statistics import rename_statistics


class ExtentChanges(Ingestion):
    """Commands on extents. Each is one commit, all or nothing."""

    def _find(
        self, snapshot: Snapshot, ids: Iterable[str], table: str | None
    ) -> list[tuple[TableSnapshot, Extent]]:
        """Live extents by id.

        Raises:
            EntityNotFoundError: one is not live (in that table).
        """
        among = snapshot.tables.values() if table is None else [snapshot.table(table)]
        known = {extent.id: (owner, extent) for owner in among for extent in owner.extents}
        found: list[tuple[TableSnapshot, Extent]] = []
        for extent_id in dict.fromkeys(i.lower() for i in ids):
            if extent_id not in known:
                where = f"database '{self.name}'" if table is None else f"table '{table}'"
                raise EntityNotFoundError(
                    kind="Extent",
                    name=extent_id,
                    container=where,
                    remedy="It may have been dropped or merged meanwhile; look with .show extents.",
                )
            found.append(known[extent_id])
        return found

    def drop_extents(
        self, ids: Iterable[str], table: str | None = None, *, context: ChangeContext | None = None
    ) -> tuple[tuple[TableSnapshot, Extent], ...]:
        """Drop extents, from one table or wherever they are; returns what they were."""
        with self.catalog.transaction(context) as transaction:
            found = self._find(self.live(transaction), ids, table)
            for owner, extents in _by_table(found):
                self._remove_extents(transaction, owner.id, [extent.id for extent in extents])
                transaction.journal("DROP-EXTENTS", owner.name, before=_list(extents))
        return tuple(found)

    def alter_extent_tags(
        self,
        ids: Iterable[str],
        tags: Sequence[str],
        mode: Literal["set", "add", "drop"] = "set",
        table: str | None = None,
        *,
        context: ChangeContext | None = None,
    ) -> tuple[tuple[TableSnapshot, Extent], ...]:
        """Change tags of extents: make them exactly these, add these, or take these away."""
        with self.catalog.transaction(context) as transaction:
            found = self._find(self.live(transaction), ids, table)
            result: list[tuple[TableSnapshot, Extent]] = []
            for owner, extent in found:
                changed = replace(
                    extent,
                    tags=_changed_tags(extent.tags, tuple(tags), mode),
                    added_sequence=transaction.sequence,
                )
                self._remove_extents(transaction, owner.id, [extent.id])
                self._insert_extent(transaction, owner.id, changed)
                result.append((owner, changed))
            for owner, extents in _by_table(result):
                transaction.journal("ALTER-EXTENT-TAGS", owner.name, after=_list(extents))
        return tuple(result)

    def move_extents(
        self,
        ids: Iterable[str],
        source: str,
        destination: str,
        *,
        new_ingestion_time: bool = False,
        context: ChangeContext | None = None,
    ) -> tuple[MovedExtent, ...]:
        """Move extents to another table, keeping tags, creation times and ids.

        Args:
            new_ingestion_time: rows count as ingested by this commit, so that who reads the
                destination by cursor sees them; otherwise they keep cursor and ingestion time.

        Raises:
            SchemaMismatchError: a column of the source is missing in the destination, or has
                another type there.
        """
        with self.catalog.transaction(context) as transaction:
            snapshot = self.live(transaction)
            target = snapshot.table(destination)
            found = self._find(snapshot, ids, source)
            moved = self._move(transaction, found, target, new_ingestion_time=new_ingestion_time)
            transaction.journal(
                "MOVE-EXTENTS", source, renamed=destination, before=_list([extent for _, extent in found])
            )
        return moved

    def replace_extents(
        self,
        table: str,
        drop: Iterable[str],
        move: Iterable[str],
        *,
        new_ingestion_time: bool = False,
        context: ChangeContext | None = None,
    ) -> tuple[tuple[str, ...], tuple[MovedExtent, ...]]:
        """Drop extents of a table and move others into it from any tables, in one commit."""
        with self.catalog.transaction(context) as transaction:
            snapshot = self.live(transaction)
            target = snapshot.table(table)
            dropped = [extent.id for _, extent in self._find(snapshot, drop, table)]
            found = self._find(snapshot, move, None)
            if any(owner.id == target.id for owner, _ in found):
                raise EntityNotFoundError(
                    f"An extent to be moved is in table '{table}' already.",
                    kind="Extent",
                    remedy="Name extents of other tables to be moved.",
                )
            self._remove_extents(transaction, target.id, dropped)
            moved = self._move(transaction, found, target, new_ingestion_time=new_ingestion_time)
            transaction.journal(
                "REPLACE-EXTENTS",
                table,
                before=", ".join(dropped),
                after=_list([extent for _, extent in found]),
            )
        return tuple(dropped), moved

    def _move(
        self,
        transaction: Transaction,
        found: Sequence[tuple[TableSnapshot, Extent]],
        target: TableSnapshot,
        *,
        new_ingestion_time: bool,
    ) -> tuple[MovedExtent, ...]:
        moved: list[MovedExtent] = []
        ids: dict[str, Mapping[int, int]] = {}
        for owner, extent in found:
            if owner.id not in ids:
                ids[owner.id] = _matching_columns(owner, target)
            kept = {old: new for old, new in ids[owner.id].items() if old in extent.fields}
            changed = replace(
                extent,
                added_sequence=transaction.sequence,
                fields={new: extent.fields[old] for old, new in kept.items()},
                encoded_statistics=rename_statistics(extent.encoded_statistics, kept),
            )
            if new_ingestion_time:
                changed = replace(
                    changed,
                    sequence=transaction.sequence,
                    min_sequence=transaction.sequence,
                    has_row_sequences=False,
                )
            self._remove_extents(transaction, owner.id, [extent.id])
            self._insert_extent(transaction, target.id, changed)
            moved.append(MovedExtent(extent.id, changed.id, owner.name, target.name))
        return tuple(moved)

    # -- merge

    def commit_merge(
        self,
        operation: IngestOperation,
        files: Iterable[StagedFile],
        inputs: Sequence[str],
        *,
        context: ChangeContext | None = None,
    ) -> CommitResult:
        """Put merged files in the place of their inputs, which must all still be live and unchanged.

        Args:
            operation: that the files were staged under.
            files: together they hold the rows of the inputs, with the hidden columns of merged extents.
            inputs: ids of the extents that go away.

        Raises:
            IngestConflictError: an input was dropped, moved or merged meanwhile; nothing has changed.
        """
        staged = list(files)
        self._check_staged(operation, staged)
        try:
            self._link(staged)
            with self.catalog.transaction(context) as transaction:
                done = self._commit_merge(transaction, operation, staged, inputs)
        except BaseException:
            self._unlink_uncommitted(staged)
            raise
        self._remove_staging(operation.id)
        return done

    def _commit_merge(
        self,
        transaction: Transaction,
        operation: IngestOperation,
        staged: Sequence[StagedFile],
        inputs: Sequence[str],
    ) -> CommitResult:
        snapshot = self.live(transaction)
        before = self._operation_result(transaction, operation, snapshot)
        if before is not None:
            return before
        table = snapshot.tables.get(operation.table)
        live = {extent.id: extent for extent in table.extents} if table is not None else {}
        gone = [extent_id for extent_id in inputs if extent_id not in live]
        if table is None or table.id != operation.table_id or gone:
            what = f"Extent '{gone[0]}'" if gone else f"Table '{operation.table}'"
            raise IngestConflictError(
                f"{what} was dropped, moved or merged while a merge was reading it; the merge has no effect.",
                remedy="Nothing needs to be done: the next maintenance plans anew.",
            )
        rows_in = sum(live[extent_id].row_count for extent_id in inputs)
        rows_out = sum(file.row_count for file in staged)
        if rows_in != rows_out:
            raise IngestConflictError(
                f"A merge of {rows_in} rows of table '{table.name}' wrote {rows_out}; it has no effect.",
                remedy="Check the extents' files with spark-kusto check.",
            )
        table, ids = self._settle_table(transaction, operation, table)
        sources = [live[extent_id] for extent_id in inputs]
        tags = tuple(dict.fromkeys(tag for source in sources for tag in source.tags))
        self._remove_extents(transaction, table.id, inputs)
        merged: list[Extent] = []
        for file in staged:
            if self._present(file):
                extent = replace(
                    self._new_extent(transaction, file, ids, tags, None),
                    sequence=max(source.sequence for source in sources),
                    min_sequence=min(source.min_sequence for source in sources),
                    created_on=max(source.created_on for source in sources),
                    min_created_on=min(source.min_created_on for source in sources),
                )
                self._insert_extent(transaction, table.id, extent)
                merged.append(extent)
        transaction.journal("MERGE-EXTENTS", table.name, before=_list(sources), after=_list(merged))
        done = CommitResult(transaction.sequence, tuple(merged), tuple(inputs))
        self._close_operation(transaction, operation.id, "committed", done)
        return done


def _by_table(
    found: Iterable[tuple[TableSnapshot, Extent]],
) -> list[tuple[TableSnapshot, list[Extent]]]:
    groups: dict[str, tuple[TableSnapshot, list[Extent]]] = {}
    for owner, extent in found:
        groups.setdefault(owner.id, (owner, []))[1].append(extent)
    return list(groups.values())


def _list(extents: Sequence[Extent]) -> str:
    shown = ", ".join(extent.id for extent in extents[:20])
    return shown if len(extents) <= 20 else f"{shown} and {len(extents) - 20} more"


def _changed_tags(old: tuple[str, ...], tags: tuple[str, ...], mode: str) -> tuple[str, ...]:
    if mode == "set":
        return tuple(dict.fromkeys(tags))
    if mode == "add":
        return tuple(dict.fromkeys((*old, *tags)))
    if mode == "drop":
        return tuple(tag for tag in old if tag not in tags)
    raise ValueError(f"mode is set, add or drop, not {mode!r}")


def _matching_columns(source: TableSnapshot, target: TableSnapshot) -> Mapping[int, int]:
    """Column ids of the source -> those of the target, by name."""
    known = {column.name: column for column in target.columns}
    ids: dict[int, int] = {}
    for column in source.columns:
        other = known.get(column.name)
        if other is None or other.type is not column.type:
            found = "is missing" if other is None else f"is {other.type.value}"
            raise SchemaMismatchError(
                f"Column '{column.name}' ({column.type.value}) of table '{source.name}' {found} in table "
                f"'{target.name}', so extents cannot be moved.",
                columns=[column.name],
                remedy="Give both tables the same columns, with .alter-merge table.",
            )
        ids[column.id] = other.id
    return ids
