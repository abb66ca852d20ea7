"""The values storage speaks in: small frozen dataclasses that pickle.

A :class:`Snapshot` is what a database holds as of one commit sequence; it stays true for ever, and
readable until the files of extents removed since have outlived their grace period. An
:class:`IngestOperation` and the :class:`StagedFile` values that tasks make under it travel between
driver and executors; nothing in them opens the catalog.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from spark_kusto.errors import EntityNotFoundError
from spark_kusto.storage.sequence import moment_of
from spark_kusto.types import Column, KustoType

SEQUENCE_FIELD_ID = 2_147_483_001
"""Parquet field id of the hidden column with each row's commit sequence, in merged extents."""

INGESTED_FIELD_ID = 2_147_483_002
"""Parquet field id of the hidden column with each row's ingestion time, in merged extents."""

SEQUENCE_COLUMN = "$sequence"
INGESTED_COLUMN = "$ingestion_time"


@dataclass(frozen=True)
class StoredColumn:
    """A column of a table. Its id is never used again in that table, and survives renaming.

    Attributes:
        id: what Parquet files and statistics refer to.
        name: the name at the time of the snapshot.
        type: its Kusto type; a column's type never changes, a changed one is another column.
        docstring: its description.
    """

    id: int
    name: str
    type: KustoType
    docstring: str = ""

    @property
    def column(self) -> Column:
        """The same without its id."""
        return Column(self.name, self.type, self.docstring)


@dataclass(frozen=True)
class ColumnStatistics:
    """What is known of one column's values in one extent, in Python values.

    Attributes:
        minimum: lower bound of the values that are neither null nor NaN; None if unknown or none.
        maximum: upper bound, likewise.
        null_count: number of nulls; None if unknown.
        has_nan: whether a real column holds NaN; True also when that is unknown.
        exact: whether the bounds are values that occur (long strings are cut).
        size: bytes of the column in the file; None if unknown.
    """

    minimum: Any = None
    maximum: Any = None
    null_count: int | None = None
    has_nan: bool = False
    exact: bool = True
    size: int | None = None


@dataclass(frozen=True)
class Extent:
    """An immutable Parquet file and what the catalog knows of it.

    Attributes:
        id: a GUID in text form.
        path: absolute path of the file.
        row_count: number of rows.
        size: bytes on disk.
        original_size: bytes of the values before encoding and compression.
        created_on: creation time, which retention looks at; of a merged extent the latest.
        min_created_on: of a merged extent the earliest creation time of its parts.
        tags: in the order given.
        sequence: commit that its rows count as ingested in (cursor and ingestion time); of a merged
            extent, whose rows carry their own, the largest.
        min_sequence: the smallest sequence of its rows.
        added_sequence: commit from which on this extent, with these tags and in this table, is live.
        has_row_sequences: whether its rows carry sequence and ingestion time in hidden columns
            (:data:`SEQUENCE_FIELD_ID`, :data:`INGESTED_FIELD_ID`).
        fields: for every column id that the file holds, its Parquet field id. A column of the table
            that is not here has its default value in every row.
        row_groups: rows of each row group, by which a scan may split the file.
    """

    id: str
    path: str
    row_count: int
    size: int
    original_size: int
    created_on: dt.datetime
    min_created_on: dt.datetime
    tags: tuple[str, ...]
    sequence: int
    min_sequence: int
    added_sequence: int
    has_row_sequences: bool
    fields: Mapping[int, int]
    row_groups: tuple[int, ...] = ()
    encoded_statistics: str = field(default="{}", repr=False, compare=False)

    @cached_property
    def statistics(self) -> Mapping[int, ColumnStatistics]:
        """By column id; a column without an entry is unknown."""
        from spark_kusto.storage.statistics import decode_statistics

        return decode_statistics(self.encoded_statistics)

    @property
    def max_created_on(self) -> dt.datetime:
        """The name ``.show extents`` has for :attr:`created_on`."""
        return self.created_on

    @property
    def ingested_on(self) -> dt.datetime:
        """Ingestion time of its rows, where they do not carry their own."""
        return moment_of(self.sequence)


@dataclass(frozen=True)
class TableSnapshot:
    """A table as of a commit sequence.

    Attributes:
        id: a GUID in text form; survives renaming.
        name: its name.
        columns: in order.
        extents: live ones, oldest first.
        folder: where tools show it.
        docstring: its description.
        hidden: left out of ``.show tables`` (temporary tables of writers, parts of views).
        kind: ``table``, or what the engine stores under a table of its own (``materialized-view`` ...).
        created_sequence: the commit that created it.
        schema_sequence: the commit that last changed anything here but extents.
        properties: the engine's own settings of the table, JSON values.
    """

    id: str
    name: str
    columns: tuple[StoredColumn, ...]
    extents: tuple[Extent, ...]
    folder: str = ""
    docstring: str = ""
    hidden: bool = False
    kind: str = "table"
    created_sequence: int = 0
    schema_sequence: int = 0
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row_count(self) -> int:
        """Rows in all extents."""
        return sum(extent.row_count for extent in self.extents)

    @property
    def size(self) -> int:
        """Bytes on disk of all extents."""
        return sum(extent.size for extent in self.extents)

    @property
    def original_size(self) -> int:
        """Bytes of all extents before encoding and compression."""
        return sum(extent.original_size for extent in self.extents)

    def column(self, name: str) -> StoredColumn:
        """The column of that name.

        Raises:
            EntityNotFoundError: there is none; the nearest is offered.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise EntityNotFoundError(
            kind="Column",
            name=name,
            container=f"table '{self.name}'",
            candidates=[column.name for column in self.columns],
        )


@dataclass(frozen=True)
class Snapshot:
    """A database as of a commit sequence."""

    database: str
    database_id: str
    sequence: int
    tables: Mapping[str, TableSnapshot]

    @property
    def cursor(self) -> str:
        """The sequence as a database cursor."""
        return str(self.sequence)

    def table(self, name: str) -> TableSnapshot:
        """The table of that name.

        Raises:
            EntityNotFoundError: there is none; the nearest is offered.
        """
        found = self.tables.get(name)
        if found is None:
            raise EntityNotFoundError(
                kind="Table", name=name, container=f"database '{self.database}'", candidates=self.tables
            )
        return found


@dataclass(frozen=True)
class ChangeContext:
    """Who asked for a change, and by which command; kept in the journal.

    ``command`` is stored with secrets taken out.
    """

    command: str = ""
    principal: str = ""
    user: str = ""
    client_request_id: str = ""
    root_activity_id: str = ""


@dataclass(frozen=True)
class JournalEntry:
    """One change of a database or cluster. Entity states are short descriptions, such as a schema."""

    sequence: int
    event: str
    timestamp: dt.datetime
    database: str
    entity_name: str
    updated_entity_name: str
    entity_version: str
    container: str
    original_state: str
    updated_state: str
    context: ChangeContext


@dataclass(frozen=True)
class Entity:
    """A stored function, mapping, policy, principal ... : JSON under a kind, an owner and a name.

    Attributes:
        kind: ``function``, ``mapping/csv``, ``policy/retention``, ``principal`` ...
        owner: id of the table it belongs to; empty for the database's or cluster's own.
        name: unique among its kind and owner.
        value: JSON value.
        sequence: commit that wrote it.
    """

    kind: str
    owner: str
    name: str
    value: Any
    sequence: int = 0


@dataclass(frozen=True)
class EntityChange:
    """An entity to be stored, or removed (``value`` None), in the same commit as something else."""

    kind: str
    owner: str
    name: str
    value: Any


@dataclass(frozen=True)
class IngestOperation:
    """Permission to stage files for one commit. Travels to executors.

    Attributes:
        id: a GUID in text form.
        database: the database's name, for messages.
        table: the table's name.
        table_id: its id; of a table that the commit is to create, the id it will get.
        columns: what files are to hold, with the field ids they are to use.
        staging: absolute path of the folder that files are written into.
        lease_seconds: how long the operation lives without a renewal; staging renews it.
        create: create the table on commit if it is absent.
        extend: add columns that the table lacks on commit.
        recreate: on commit, the table's schema becomes ``columns``.
        added: ids of columns that the table did not have; the commit settles them.
        folder: of the table, if the commit creates it; ``docstring`` and ``hidden`` likewise.
    """

    id: str
    database: str
    table: str
    table_id: str
    columns: tuple[StoredColumn, ...]
    staging: str
    lease_seconds: float
    create: bool = False
    extend: bool = False
    recreate: bool = False
    added: tuple[int, ...] = ()
    folder: str = ""
    docstring: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file in an operation's staging folder, complete and on disk.

    Attributes:
        operation_id: the operation it was written under.
        extent_id: the id its extent will have.
        path: where it is now.
        row_count: its rows.
        size: its bytes.
        original_size: bytes of the values before encoding and compression.
        fields: for every column id that it holds, its Parquet field id.
        row_groups: rows of each row group.
        has_row_sequences: whether it holds the hidden columns of merged extents.
    """

    operation_id: str
    extent_id: str
    path: str
    row_count: int
    size: int
    original_size: int
    fields: Mapping[int, int]
    row_groups: tuple[int, ...] = ()
    encoded_statistics: str = field(default="{}", repr=False)
    has_row_sequences: bool = False


@dataclass(frozen=True)
class CommitResult:
    """What a commit of an ingest operation did.

    Attributes:
        sequence: the commit's sequence; of a skipped one, that of the commit that had stored the data.
        extents: the new extents.
        removed: ids of extents that were replaced.
        skipped: None, or why nothing was stored: ``batch`` (the writer's batch had been committed),
            ``tag`` (a tag of ``ingest_if_not_exists`` was found), ``committed`` (this operation had been).
    """

    sequence: int
    extents: tuple[Extent, ...]
    removed: tuple[str, ...] = ()
    skipped: str | None = None

    @property
    def replayed(self) -> bool:
        """True when nothing was stored, because it had been before."""
        return self.skipped is not None

    @property
    def row_count(self) -> int:
        """Rows stored."""
        return sum(extent.row_count for extent in self.extents)


@dataclass(frozen=True)
class TransactionMark:
    """The last batch of one writer that one table holds."""

    table_id: str
    writer_id: str
    batch_id: int
    sequence: int


@dataclass(frozen=True)
class MovedExtent:
    """An extent before and after a move."""

    original_id: str
    result_id: str
    source_table: str
    destination_table: str


@dataclass(frozen=True)
class SweepResult:
    """What a sweep removed.

    Attributes:
        operations: ids of operations whose lease had run out and that are now expired.
        staging_files: files removed from staging.
        orphans: files removed from ``extents/`` that no commit names.
        extents: ids of removed extents whose files went after their grace period.
        bytes: freed.
    """

    operations: tuple[str, ...] = ()
    staging_files: int = 0
    orphans: int = 0
    extents: tuple[str, ...] = ()
    bytes: int = 0


@dataclass(frozen=True)
class Finding:
    """Something wrong that a check found.

    Attributes:
        severity: ``error`` (rows cannot be read) or ``warning`` (something left over).
        database: the database's name.
        table: the table's name, or empty.
        extent_id: the extent, or empty.
        message: what is wrong.
    """

    severity: str
    database: str
    table: str
    extent_id: str
    message: str
