"""Ingestion: begin on the driver, stage anywhere, commit on the driver; and all at once here.

Columns of typed data go by name, or through a csv mapping by ordinal; every mismatch with the table
is reported before any data moves.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_kusto.engine import mappings
from spark_kusto.engine.deleting import Rewrites, past_conflicts
from spark_kusto.engine.properties import IngestProperties, Replace
from spark_kusto.engine.records import Reading, too_many_errors
from spark_kusto.engine.staging import EngineIngest, Projection, stage
from spark_kusto.errors import (
    EntityNotFoundError,
    IngestConflictError,
    OptionError,
    SchemaMismatchError,
    StorageBusyError,
)
from spark_kusto.storage import (
    ChangeContext,
    CommitResult,
    Database,
    Extent,
    IngestOperation,
    StagedFile,
    TableSnapshot,
)
from spark_kusto.storage.ingestion import INGEST_BY
from spark_kusto.types import Column, KustoType
from spark_kusto.types.storing import can_store

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.engine.engine import Engine

log = logging.getLogger("spark_kusto.engine")

STREAMING_BYTES = 4 << 20
"""Size of one streaming request before compression, as of Kusto's streaming ingestion."""

LARGE_STREAMING_BYTES = 100 << 20
"""From here on a write in the mode ``streaming`` is told that queued ingestion suits it better."""

QUEUE_LEASE_SECONDS = 14 * 86_400.0
"""Life of an operation whose data waits in the queue."""


@dataclass(frozen=True)
class IngestOutcome:
    """What an ingestion did; ``status`` is committed, queued, skipped or replayed."""

    operation_id: str
    status: str
    rows: int
    bytes: int
    extents: tuple[Extent, ...]
    sequence: int | None
    seconds: float
    errors: int = 0
    removed: tuple[str, ...] = ()


class Ingesting:
    """Begins, commits and aborts ingestions for an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # -- begin

    def begin(
        self,
        database: Database,
        table: str,
        source: Sequence[Column],
        *,
        create: bool = False,
        replace: Replace | None = None,
        mode: str = "transactional",
        properties: IngestProperties | None = None,
        lease_seconds: float | None = None,
        hidden: bool = False,
    ) -> EngineIngest:
        """Begin an ingestion of data with these columns.

        Raises:
            EntityNotFoundError: no such table, and it is not to be created.
            SchemaMismatchError: columns do not fit; all of them are named.
        """
        properties = properties or IngestProperties()
        if mode == "streaming" and properties.file_bytes is None:
            properties = dataclasses.replace(properties, file_bytes=STREAMING_BYTES)
        if replace is not None and mode != "transactional":
            raise OptionError(
                f"Data cannot be replaced in the write mode '{mode}'.", remedy="Use 'Transactional'."
            )
        if properties.recreate_schema and (replace is None or not replace.all):
            raise OptionError(
                "'recreate_schema' is for ingestions that replace the whole table.",
                remedy="Leave it out, or replace all.",
            )
        known = database.snapshot().tables.get(table)
        if known is None and not create:
            database.snapshot().table(table)
        projections = self._projections(database, known, table, source, properties)
        wanted = self._wanted(known, table, source, projections, properties)
        if lease_seconds is None and mode == "queued":
            lease_seconds = QUEUE_LEASE_SECONDS
        options: dict[str, Any] = {} if lease_seconds is None else {"lease_seconds": lease_seconds}
        operation = database.begin_ingest(
            table,
            wanted,
            create=create,
            extend=properties.extend_schema and not properties.recreate_schema,
            recreate=properties.recreate_schema,
            folder=properties.folder,
            docstring=properties.docstring,
            hidden=hidden,
            **options,
        )
        return EngineIngest(operation, projections, properties, replace, mode, time.time())

    def _projections(
        self,
        database: Database,
        table: TableSnapshot | None,
        name: str,
        source: Sequence[Column],
        properties: IngestProperties,
    ) -> tuple[Projection, ...] | None:
        items = self.mapping(database, table, name, properties, "csv")
        if items is None:
            return None
        known = {column.name: column.column for column in table.columns} if table is not None else {}
        given = {column.name: column for column in source}
        projections: list[Projection] = []
        for item in items:
            found: Column | None = None
            if item.constant is None:
                found = _source_of(item, source, given)
            kind = item.type or (found.type if found is not None else KustoType.STRING)
            target = known.get(item.column) or Column(item.column, kind)
            projections.append(
                Projection(target, found.name if found else None, item.constant, item.transform)
            )
        return tuple(projections)

    def mapping(
        self,
        database: Database,
        table: TableSnapshot | None,
        name: str,
        properties: IngestProperties,
        kind: str,
    ) -> tuple[mappings.MappingItem, ...] | None:
        """The mapping that properties give or name; None without one."""
        kind = mappings.mapping_kind(properties.mapping_kind) if properties.mapping_kind else kind
        if properties.mapping is not None:
            return mappings.parse_mapping(properties.mapping, kind)
        if properties.mapping_name is None:
            return None
        owners = [table.id] if table is not None else []
        for owner in (*owners, ""):
            entity = database.entity(f"mapping/{kind}", properties.mapping_name, owner)
            if entity is not None:
                return mappings.parse_mapping(entity.value["mapping"], kind)
        names = [e.name for owner in (*owners, "") for e in database.entities(f"mapping/{kind}", owner)]
        raise EntityNotFoundError(
            kind=f"Ingestion mapping ({kind})",
            name=properties.mapping_name,
            container=f"table '{name}'",
            candidates=names,
        )

    def _wanted(
        self,
        table: TableSnapshot | None,
        name: str,
        source: Sequence[Column],
        projections: Sequence[Projection] | None,
        properties: IngestProperties,
    ) -> list[Column]:
        """The columns that files are to hold, of the table's types; raises on what does not fit."""
        if not source and projections is None:
            raise SchemaMismatchError(
                f"The data for table '{name}' has no columns.", remedy="Select at least one column."
            )
        twice = _twice([column.name for column in source])
        if twice:
            raise SchemaMismatchError(
                f"The data for table '{name}' has several columns named '{twice}'.",
                columns=[twice],
                remedy="Rename one of them.",
            )
        fresh = table is None or properties.recreate_schema
        if projections is not None:
            pairs = [(p.column, next((c for c in source if c.name == p.source), None)) for p in projections]
        elif table is None or properties.recreate_schema:
            return list(source)
        else:
            by_name = {column.name: column.column for column in table.columns}
            pairs = [(by_name.get(column.name, column), column) for column in source]
        known = set() if fresh or table is None else {column.name for column in table.columns}
        problems: list[str] = []
        wrong: list[str] = []
        for target, given in pairs:
            if not fresh and target.name not in known and not properties.extend_schema:
                problems.append(f"column '{target.name}' ({target.type.value}) is not in the table")
                wrong.append(target.name)
            elif given is not None and not can_store(given.type, target.type):
                problems.append(
                    f"column '{given.name}' is {given.type.value} in the data and {target.type.value} "
                    "in the table"
                )
                wrong.append(given.name)
        if problems:
            raise SchemaMismatchError(
                f"The data does not fit table '{name}': {'; '.join(problems)}.",
                columns=wrong,
                remedy="Cast, rename or drop these columns, or add new ones to the table "
                "(.alter-merge table, or let the ingestion extend the schema).",
            )
        return [target for target, _ in pairs]

    # -- commit

    def commit(
        self,
        database: Database,
        ingest: EngineIngest,
        files: Iterable[StagedFile],
        *,
        errors: int = 0,
        operation: IngestOperation | None = None,
        writer_id: str | None = None,
        batch_id: int | None = None,
        context: ChangeContext | None = None,
        event: str = "INGEST",
    ) -> IngestOutcome:
        """Make what was staged visible, or hand it to the queue.

        operation: the one that the files were staged under, where it is not the plan's.
        """
        staged = list(files)
        operation = operation or ingest.operation
        properties = ingest.properties
        if errors > ingest.errors_allowed:
            reading = Reading(errors=errors)
            database.abort_ingest(operation)
            raise too_many_errors(reading, ingest.errors_allowed, f"the data for '{operation.table}'")
        if not staged and ingest.replace is None and _nothing_to_do(database, operation):
            database.abort_ingest(operation, forget=True)
            return IngestOutcome(
                operation.id, "committed", 0, 0, (), None, time.time() - ingest.started, errors
            )
        if staged and (ingest.mode == "queued" or _too_large_to_stream(ingest, staged)):
            return self._engine.queue.put(
                database, ingest, operation, staged, writer_id=writer_id, batch_id=batch_id, context=context
            )
        _wait_for_the_catalog(database, properties)
        if writer_id is not None:
            self._engine.queue.settle(database, operation.table, writer_id)
        replaced: str | Callable[[Extent], bool] | None = None
        predicate: str | None = None
        if ingest.replace is not None and ingest.replace.all:
            replaced = "all"
        elif ingest.replace is not None and ingest.replace.tags:
            replaced = _carries(frozenset(ingest.replace.tags))
        elif ingest.replace is not None:
            predicate = ingest.replace.predicate

        rewrites: Rewrites | None = None

        def committed() -> CommitResult:
            nonlocal rewrites
            if predicate is not None:
                rewrites = self._engine.deleting.rewrites(database, operation, predicate, rewrites)
            return database.commit_ingest(
                operation,
                staged,
                tags=properties.tags,
                created_on=properties.creation_time,
                replace_extents=replaced,
                writer_id=writer_id,
                batch_id=batch_id,
                ingest_if_not_exists=properties.ingest_if_not_exists,
                rewrites=None if rewrites is None else rewrites.files,
                looked_at=None if rewrites is None else rewrites.looked_at,
                event=event,
                context=context,
            )

        done = committed() if predicate is None else past_conflicts(committed)
        if writer_id is not None:
            database.end_attempts(operation.table, writer_id, but=operation.id)
        self._engine.after_commit(database)
        return outcome(operation, done, ingest.started, errors)

    def abort(self, database: Database, operation: IngestOperation) -> None:
        """Drop what was staged; nothing after a successful commit."""
        database.abort_ingest(operation)

    # -- all at once

    def ingest_batches(
        self,
        database: Database,
        table: str,
        columns: Sequence[Column],
        batches: Iterable[pa.RecordBatch],
        *,
        create: bool = False,
        replace: Replace | None = None,
        properties: IngestProperties | None = None,
        mode: str = "transactional",
        writer_id: str | None = None,
        batch_id: int | None = None,
        context: ChangeContext | None = None,
        hidden: bool = False,
    ) -> IngestOutcome:
        """Begin, stage and commit record batches in this process."""
        ingest = self.begin(
            database,
            table,
            columns,
            create=create,
            replace=replace,
            properties=properties,
            mode=mode,
            hidden=hidden,
        )
        try:
            files, errors = stage(ingest, batches)
            return self.commit(
                database,
                ingest,
                files,
                errors=errors,
                writer_id=writer_id,
                batch_id=batch_id,
                context=context,
            )
        except BaseException:
            database.abort_ingest(ingest.operation)
            raise


def _carries(wanted: frozenset[str]) -> Callable[[Extent], bool]:
    """Whether an extent is one that carries any of these tags.

    Raises:
        IngestConflictError: some of its rows carry none of them: merging has put them together.
    """

    def carries(extent: Extent) -> bool:
        found = wanted.intersection(extent.tags)
        if not found:
            return False
        others = {tag for tag in extent.tags if tag.startswith(INGEST_BY)} - wanted
        if extent.has_row_sequences and others and all(tag.startswith(INGEST_BY) for tag in found):
            raise IngestConflictError(
                f"Rows of '{min(found)}' cannot be replaced by their tag: they have been merged with those of"
                f" '{min(others)}'; nothing has changed.",
                remedy="Use drop-by tags, whose rows are never merged with others, or replaceWhere.",
            )
        return True

    return carries


def _too_large_to_stream(ingest: EngineIngest, staged: Sequence[StagedFile]) -> bool:
    """Whether all of a write in the mode ``streaming`` has to go through the queue: a row is too large."""
    limit = ingest.properties.file_bytes
    if ingest.mode != "streaming" or limit is None:
        return False
    table, whole = ingest.operation.table, sum(file.original_size for file in staged)
    if any(file.original_size > limit for file in staged):
        log.warning(
            "A row for table '%s' is larger than a streaming request may be (%.1f MB), so this write goes"
            " through the queue: it is visible when the table's batching policy is due.",
            table,
            limit / (1 << 20),
        )
        return True
    if whole > LARGE_STREAMING_BYTES:
        log.warning(
            "%d MB went to table '%s' in streaming requests of at most %.1f MB; the write mode Queued or"
            " Transactional suits that much better.",
            whole >> 20,
            table,
            limit / (1 << 20),
        )
    return False


def _wait_for_the_catalog(database: Database, properties: IngestProperties) -> None:
    if properties.timeout is None:
        return
    seconds = properties.timeout.total_seconds()
    if not database.catalog.is_free(seconds):
        raise StorageBusyError(
            f"Another process has held database '{database.name}' for more than the {seconds:g} s that this"
            " write may wait; nothing was committed.",
            remedy="Try again, or raise timeoutLimit.",
        )


def _nothing_to_do(database: Database, operation: IngestOperation) -> bool:
    """Whether an ingestion without rows would leave the database as it is."""
    return operation.table in database.snapshot().tables and not operation.added and not operation.recreate


def outcome(operation: IngestOperation, done: CommitResult, started: float, errors: int = 0) -> IngestOutcome:
    """What a commit did, in the words of callers."""
    if done.skipped == "tag":
        status = "skipped"
    elif done.skipped is not None:
        status = "replayed"
    else:
        status = "committed"
    return IngestOutcome(
        operation_id=operation.id,
        status=status,
        rows=done.row_count,
        bytes=sum(extent.size for extent in done.extents),
        extents=done.extents,
        sequence=done.sequence,
        seconds=time.time() - started,
        errors=errors,
        removed=done.removed,
    )


def _source_of(
    item: mappings.MappingItem, source: Sequence[Column], given: Mapping[str, Column]
) -> Column | None:
    if item.ordinal is not None:
        if item.ordinal >= len(source):
            raise SchemaMismatchError(
                f"The mapping takes column '{item.column}' from ordinal {item.ordinal}, and the data has "
                f"{len(source)} columns.",
                columns=[item.column],
                remedy="Ordinals count from 0.",
            )
        return source[item.ordinal]
    name = str(item.path[0]) if item.path else item.field or item.column
    return given.get(name)


def _twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
