"""Writes to a remote cluster: begun on the driver, staged on executors, committed on the driver."""

from __future__ import annotations

import io
import logging
import time
import uuid
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace as with_fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from spark_kusto.client.cluster import (
    Cluster,
    IngestPlan,
    IngestResult,
    StagedFiles,
    WriteMode,
    check_batch,
    check_replace,
)
from spark_kusto.client.remote import tables
from spark_kusto.client.remote.committing import (
    TemporaryTable,
    batch_tag,
    drop_tags_command,
    ingest_options,
    parquet_mapping,
    table_name,
    writer_tag,
)
from spark_kusto.client.remote.queue import IngestionQueue, Source, source_id
from spark_kusto.client.remote.reads import directory_in
from spark_kusto.client.remote.service import Service
from spark_kusto.client.remote.staging import BlobPart, MessagePart, RemoteIngest, stage_remote
from spark_kusto.client.remote.texts import name_literal
from spark_kusto.client.remote.transport import Backoff
from spark_kusto.engine.loading import arrow_data, given_paths
from spark_kusto.engine.properties import IngestProperties, Replace, properties_from
from spark_kusto.errors import (
    EntityNotFoundError,
    IngestConflictError,
    IngestError,
    KustoError,
    OptionError,
    StagingError,
    UnsupportedError,
)
from spark_kusto.types import Column

if TYPE_CHECKING:
    from spark_kusto.staging import StagingDirectory, TransientStorage

log = logging.getLogger("spark_kusto.client")

__all__ = ["RemoteIngesting"]

_BLOB_BYTES = 300 * 1024 * 1024
"""Bytes of rows in a blob, as the official connector has it."""

_STREAMING_BYTES = 4 * 1024 * 1024
"""What the service takes in one streaming request."""

_INLINE_BYTES = 1024 * 1024

_OLD_TAGS = 10
"""Tags of a writer's earlier batches that are left to gather on a table's extents before they are dropped."""

_LIFETIME = timedelta(days=7)
"""How long what a write that died left behind may stay."""

_STREAMING_SECONDS = 600.0


class RemoteIngesting(Cluster):
    """The half of a remote cluster that writes."""

    service: Service
    management: Service
    _backoff: Backoff

    def _begin_writes(self) -> None:
        self._queue = IngestionQueue(self.management, self._backoff)
        # Staging directories that this process has begun; another process opens them by their names.
        self._directories: dict[str, StagingDirectory] = {}
        self._queued: dict[str, IngestResult] = {}

    def _end_writes(self) -> None:
        for directory in self._directories.values():
            directory.release()
        self._directories.clear()

    @abstractmethod
    def _lent_storage(self, command: str, expiry: timedelta, *, needed: bool) -> TransientStorage | None:
        """Storage that the service lends, which the whole cluster knows how to ask for."""

    # -- begin

    def begin_ingest(
        self,
        database: str,
        table: str,
        columns: Sequence[Column],
        *,
        create: bool = False,
        replace: Replace | None = None,
        mode: WriteMode = "transactional",
        properties: IngestProperties | None = None,
        lease: timedelta | None = None,
        staging: TransientStorage | None = None,
        renew: bool = False,
    ) -> IngestPlan:
        """Begin an ingestion; see :meth:`Cluster.begin_ingest`.

        Without ``staging`` executors upload into containers that the service lends. Where it lends none, and
        for streaming ingestion, rows travel through the driver.

        Raises:
            UnsupportedError: what is replaced cannot be replaced in one transaction.
        """
        check_replace(replace)
        properties = properties or IngestProperties()
        _check_offered(mode, replace, properties)
        known = tables.table_columns(self.service, database, table)
        if known is None and not create:
            raise EntityNotFoundError(
                kind="Table",
                name=table,
                container=f"database '{database}'",
                remedy="Create it, or let the write do so (tableCreateOptions CreateIfNotExist).",
            )
        fillings, added = tables.fillings_of(self.service, database, table, known, columns, properties)
        all_columns = (*known, *added) if known is not None else tuple(f.column for f in fillings)
        operation_id = str(uuid.uuid4())
        lent = staging is None
        if lent and mode != "streaming":
            staging = self._lent_storage(".get ingestion resources", _LIFETIME, needed=mode == "queued")
        directory = grant = None
        if staging is not None and mode != "streaming":
            directory = directory_in(staging, database, "write", lent=lent)
            if renew and not lent:
                directory.renew_grants()
            self._directories[directory.name] = directory
            grant = directory.upload_grant()
        if grant is not None:
            part_bytes = properties.file_bytes or _BLOB_BYTES
        else:
            part_bytes = properties.file_bytes or _STREAMING_BYTES if mode == "streaming" else _INLINE_BYTES
        payload = RemoteIngest(
            operation_id=operation_id,
            table_columns=all_columns,
            fillings=fillings,
            errors_allowed=properties.maximum_errors_allowed or 0,
            missing=known is None,
            added=added,
            directory="" if directory is None else directory.name,
            grant=grant,
            is_lent=lent,
            part_bytes=part_bytes,
            lifetime=lease or (_LIFETIME if staging is None else staging.expiry),
            started=time.time(),
        )
        return IngestPlan(
            address=self.address,
            database=database,
            table=table,
            operation_id=operation_id,
            columns=all_columns,
            source=tuple(columns),
            properties=properties,
            mode=mode,
            replace=replace,
            payload=payload,
        )

    def ingest(
        self,
        database: str,
        table: str,
        data: object,
        *,
        create: bool = False,
        replace: Replace | None = None,
        writer_id: str | None = None,
        batch_id: int | None = None,
        **properties: Any,
    ) -> IngestResult:
        """Ingest an Arrow table, reader or batches, or a pandas DataFrame, from this process.

        Raises:
            UnsupportedError: it is a file; the engine of an embedded cluster reads those.
        """
        if given_paths(data) is not None:
            raise UnsupportedError(
                f"Files are not sent to {self.address} as they are.",
                feature="ingesting files into a remote cluster",
                remedy="Read them (pyarrow.parquet.read_table, pyarrow.csv.read_csv ...) and ingest that, or"
                " upload them and run `.ingest into table`.",
            )
        check_batch(writer_id, batch_id)
        check_replace(replace)
        columns, batches = arrow_data(data)
        plan = self.begin_ingest(
            database, table, columns, create=create, replace=replace, properties=properties_from(properties)
        )
        staged: list[StagedFiles] = []
        try:
            staged.append(stage_remote(plan.payload, batches))
            return self.commit_ingest(plan, staged, writer_id=writer_id, batch_id=batch_id)
        except BaseException:
            self.abort_ingest(plan, staged)
            raise

    # -- commit

    def commit_ingest(
        self,
        plan: IngestPlan,
        staged: Iterable[StagedFiles | None],
        *,
        writer_id: str | None = None,
        batch_id: int | None = None,
        staging: TransientStorage | None = None,
    ) -> IngestResult:
        """Make everything staged visible, or hand it to the service; see :meth:`Cluster.commit_ingest`."""
        messages = [message for message in staged if message is not None]
        begun: RemoteIngest = plan.payload
        if any(message.operation_id != plan.operation_id for message in messages):
            raise OptionError(
                "Files of several ingestions cannot be committed together.",
                remedy="Commit each with the plan that it was staged under.",
            )
        errors = sum(message.errors for message in messages)
        if errors > begun.errors_allowed:
            raise IngestError(
                f"{errors} values of the data for table '{plan.table}' do not fit their columns, and"
                f" {begun.errors_allowed} may.",
                remedy="Correct them, or allow more with maximumErrorsAllowed.",
            )
        result = IngestResult(
            operation_id=plan.operation_id,
            status="committed",
            rows=sum(message.rows for message in messages),
            bytes=sum(message.bytes for message in messages),
            extents=0,
            cursor=None,
            duration=timedelta(0),
            errors=errors,
        )
        check_batch(writer_id, batch_id)
        done = self._committed(plan, begun, messages, result, writer_id, batch_id, staging)
        if done.status == "queued":
            # The service reads the blobs later; they go when they expire.
            self._release(begun)
        else:
            self._end(begun, staging)
        return with_fields(done, duration=timedelta(seconds=time.time() - begun.started))

    def _committed(
        self,
        plan: IngestPlan,
        begun: RemoteIngest,
        messages: Sequence[StagedFiles],
        result: IngestResult,
        writer_id: str | None,
        batch_id: int | None,
        staging: TransientStorage | None,
    ) -> IngestResult:
        parts = [part for message in messages for part in message.files]
        tags = list(plan.properties.tags)
        nothing = with_fields(result, rows=0, bytes=0)
        older: list[str] = []
        fresh = begun.missing and tables.table_columns(self.service, plan.database, plan.table) is None
        if not fresh:
            if writer_id is not None and batch_id is not None:
                older, is_replay = self._earlier(plan, writer_id, batch_id)
                if is_replay:
                    return with_fields(nothing, status="replayed")
            if self._is_there(plan):
                return with_fields(nothing, status="skipped")
        if writer_id is not None and batch_id is not None:
            tags.append(batch_tag(writer_id, batch_id))
        tables.adjust_table(
            self.service,
            plan.database,
            plan.table,
            begun.table_columns,
            missing=begun.missing,
            added=begun.added,
            properties=plan.properties,
        )
        if plan.mode == "streaming":
            return self._streamed(plan, begun, parts, result, fresh=fresh)
        if plan.mode == "queued":
            return self._enqueued(plan, begun, parts, result, tags, staging)
        if not parts and plan.replace is None:
            return nothing
        done = self._moved(plan, begun, parts, result, tags, staging)
        if len(older) >= _OLD_TAGS and plan.replace is None:
            command = drop_tags_command(plan.table, older)
            self._quietly(
                lambda: self.service.command(plan.database, command, step="drop old tags"), "drop old tags"
            )
        return done

    def _patient(self, plan: IngestPlan) -> Service:
        """The service, waiting for operations as long as the write says."""
        span = plan.properties.timeout
        return self.service if span is None else Service(self.service.transport, span)

    def _earlier(self, plan: IngestPlan, writer_id: str, batch_id: int) -> tuple[list[str], bool]:
        """The tags of the writer's earlier batches, and whether this one, or a later one, is in the table."""
        prefix = writer_tag(writer_id)
        found = tables.tags_of_extents(self.service, plan.database, plan.table, prefix)
        numbers = {tag: int(tag[len(prefix) :]) for tag in found if tag[len(prefix) :].isdigit()}
        older = sorted((tag for tag, number in numbers.items() if number < batch_id), key=numbers.__getitem__)
        return older, len(older) < len(numbers)

    def _is_there(self, plan: IngestPlan) -> bool:
        """Whether a tag of ``ingest_if_not_exists`` is in the table."""
        if not plan.properties.ingest_if_not_exists:
            return False
        wanted = {f"ingest-by:{value}" for value in plan.properties.ingest_if_not_exists}
        found = tables.tags_of_extents(self.service, plan.database, plan.table, "ingest-by:")
        return not wanted.isdisjoint(found)

    def _moved(
        self,
        plan: IngestPlan,
        begun: RemoteIngest,
        parts: Sequence[BlobPart | MessagePart],
        result: IngestResult,
        tags: Sequence[str],
        staging: TransientStorage | None,
    ) -> IngestResult:
        # The columns may have changed since: extents go only into a table that has all of theirs.
        now = tables.table_columns(self.service, plan.database, plan.table) or begun.table_columns
        holds = {column.name: column.type for column in now}
        gone = [f.column for f in begun.fillings if holds.get(f.column.name) is not f.column.type]
        if gone:
            raise IngestConflictError(
                f"Column '{gone[0].name}' of table '{plan.table}' was changed or dropped during the write.",
                remedy="Write again.",
            )
        temporary = TemporaryTable(
            self._patient(plan),
            plan.database,
            begun.operation_id,
            now,
            max(begun.lifetime, timedelta(days=1)),
        )
        try:
            temporary.create()
            blobs = [part for part in parts if isinstance(part, BlobPart)]
            if blobs:
                options = ingest_options(
                    plan.properties,
                    tags,
                    format="parquet",
                    ingestionMapping=_json(parquet_mapping(begun.fillings)),
                    ingestionMappingType="parquet",
                )
                temporary.ingest_blobs([self._url(blob, begun, staging) for blob in blobs], options)
            else:
                temporary.ingest_parts(
                    [part for part in parts if isinstance(part, MessagePart)],
                    ingest_options(plan.properties, tags, format="csv"),
                )
            temporary.check(result.rows)
            moved = temporary.move(plan.table, plan.replace, result.rows)
        except BaseException:
            self._quietly(temporary.drop, "drop the temporary table")
            raise
        self._quietly(temporary.drop, "drop the temporary table")
        cursor = None
        try:
            cursor = self.cursor(plan.database)
        except KustoError as error:
            log.warning("The cursor after the commit is not known: %s", error)
        return with_fields(result, extents=len(moved.extents), extent_ids=moved.extents, cursor=cursor)

    def _enqueued(
        self,
        plan: IngestPlan,
        begun: RemoteIngest,
        parts: Sequence[BlobPart],
        result: IngestResult,
        tags: Sequence[str],
        staging: TransientStorage | None,
    ) -> IngestResult:
        if not parts:
            return result
        sources = [
            Source(
                self._url(part, begun, staging), source_id(begun.operation_id, number), part.raw, "parquet"
            )
            for number, part in enumerate(parts)
        ]
        self._queue.send(
            plan.database,
            plan.table,
            sources,
            plan.properties,
            tags,
            parquet_mapping(begun.fillings),
        )
        queued = with_fields(result, status="queued")
        self._queued[plan.operation_id] = queued
        return queued

    def _streamed(
        self,
        plan: IngestPlan,
        begun: RemoteIngest,
        parts: Sequence[MessagePart],
        result: IngestResult,
        *,
        fresh: bool,
    ) -> IngestResult:
        if fresh:
            table = name_literal(plan.table)
            self.service.command(
                plan.database,
                f".alter table {table} policy streamingingestion enable",
                step="enable streaming ingestion",
                repeatable=True,
            )
            self.service.command(
                plan.database,
                f".clear table {table} cache streamingingestion schema",
                step="make the new table known to streaming ingestion",
                repeatable=True,
            )
        queued = 0
        for number, part in enumerate(parts):
            try:
                self._stream(plan, part)
            except KustoError as error:
                # As the official managed client does: what is too large or comes too fast is queued.
                if error.permanent and getattr(error, "status", None) != 413:
                    raise _sent(error, number, len(parts), plan.table) from None
                log.warning("A part of the rows is queued, because it could not be streamed: %s", error)
                try:
                    # Numbered from 0 without gaps, which is how wait_ingested finds them.
                    self._stream_by_queue(plan, begun, queued, part)
                except KustoError as problem:
                    raise _sent(problem, number, len(parts), plan.table) from None
                queued += 1
        return with_fields(result, status="queued") if queued else result

    def _stream(self, plan: IngestPlan, part: MessagePart) -> None:
        path = f"v1/rest/ingest/{quote(plan.database, safe='')}/{quote(plan.table, safe='')}?streamFormat=csv"
        answer = self.service.transport.send(
            path,
            step=f"stream rows into table '{plan.table}'",
            activity="streaming",
            data=part.data,
            headers={"Content-Encoding": "gzip", "Content-Type": "application/octet-stream"},
            seconds=_STREAMING_SECONDS,
            # Rows that come twice are better than rows that do not come: nothing tells which it was.
            repeatable=True,
        )
        answer.close()

    def _stream_by_queue(self, plan: IngestPlan, begun: RemoteIngest, number: int, part: MessagePart) -> None:
        storage = self._lent_storage(".get ingestion resources", _LIFETIME, needed=True)
        assert storage is not None
        directory = directory_in(storage, plan.database, "write", lent=True)
        blob = directory.upload_stream(io.BytesIO(part.data), "part.csv.gz")
        source = Source(directory.kusto_source(blob), source_id(begun.operation_id, number), part.raw, "csv")
        self._queue.send(plan.database, plan.table, [source], plan.properties, (), None)

    def _url(self, part: BlobPart, begun: RemoteIngest, staging: TransientStorage | None) -> str:
        """A blob with the right to read it, for the cluster."""
        if begun.is_lent:
            # The SAS that came with the container, which is what executors uploaded with.
            assert begun.grant is not None
            for grant in begun.grant.grants:
                if grant.address == part.blob.address:
                    return f"{part.blob.url}?{grant.signature.token}"
        return self._directory(begun, staging).kusto_source(part.blob)

    def _directory(self, begun: RemoteIngest, staging: TransientStorage | None) -> StagingDirectory:
        found = self._directories.get(begun.directory)
        if found is not None:
            return found
        if staging is None:
            raise StagingError(
                f"Staging directory '{begun.directory}' cannot be opened: its storage is not known here.",
                remedy="Pass the storage of begin_ingest() to commit_ingest() and abort_ingest().",
                permanent=True,
            )
        return staging.directory(begun.directory)

    # -- the end

    def abort_ingest(
        self,
        plan: IngestPlan,
        staged: Iterable[StagedFiles | None] = (),
        *,
        staging: TransientStorage | None = None,
    ) -> None:
        """Drop what was staged; see :meth:`Cluster.abort_ingest`."""
        begun: RemoteIngest = plan.payload
        if plan.operation_id in self._queued:
            # The service has been told of the blobs.
            self._release(begun)
            return
        self._end(begun, staging)
        if plan.mode == "transactional":
            table = name_literal(table_name(plan.operation_id))
            self._quietly(
                lambda: self.service.command(
                    plan.database,
                    f".drop table {table} ifexists",
                    step="drop a temporary table",
                    repeatable=True,
                ),
                "drop the temporary table",
            )

    def _end(self, begun: RemoteIngest, staging: TransientStorage | None) -> None:
        if not begun.directory:
            return
        if begun.is_lent:
            self._release(begun)
            return
        self._quietly(lambda: self._directory(begun, staging).delete(), "remove staged blobs")
        self._directories.pop(begun.directory, None)

    def _release(self, begun: RemoteIngest) -> None:
        directory = self._directories.pop(begun.directory, None)
        if directory is not None:
            directory.release()

    def _quietly(self, call: Any, step: str) -> None:
        """Clean up: whoever saw an error here would write again, or miss the one that matters."""
        try:
            call()
        except KustoError as error:
            log.warning("Could not %s: %s", step, error)

    def wait_ingested(self, operation_id: str, timeout: timedelta | None = None) -> IngestResult:
        """Wait until a queued ingestion is visible; see :meth:`Cluster.wait_ingested`.

        Its figures are known to the object that has queued it, and 0 for others.

        Raises:
            OptionError: it is not the id of an ingestion.
            UnsupportedError: the service keeps no status of it.
        """
        try:
            uuid.UUID(operation_id)
        except ValueError:
            raise OptionError(
                f"'{operation_id}' is not the id of an ingestion.", remedy="Give IngestResult.operation_id."
            ) from None
        tracked = self._queue.tracked(operation_id)
        if not tracked:
            raise UnsupportedError(
                f"The service at '{self.management.transport.address}' knows no queued ingestion"
                f" '{operation_id}'.",
                feature="wait_ingested",
                remedy="Count the rows, and look with `.show ingestion failures`.",
            )
        result = self._queued.get(operation_id) or IngestResult(
            operation_id, "queued", 0, 0, 0, None, timedelta(0)
        )
        span = self.service.timeout if timeout is None else timeout
        ingested = self._queue.wait(tracked, time.monotonic() + span.total_seconds())
        return with_fields(result, status="committed" if ingested else "skipped")


def _check_offered(mode: WriteMode, replace: Replace | None, properties: IngestProperties) -> None:
    if replace is not None and mode != "transactional":
        raise OptionError(
            f"Data cannot be replaced in the write mode '{mode}'.", remedy="Use 'Transactional'."
        )
    if replace is not None and replace.predicate is not None:
        raise UnsupportedError(
            "A remote cluster replaces whole extents, not the rows that a predicate names.",
            feature="replaceWhere",
            remedy="Tag what belongs together (dropByTags) and replace it with replaceTags, or replace all.",
        )
    if properties.recreate_schema:
        raise UnsupportedError(
            "A remote cluster cannot give a table other columns and other rows in one transaction.",
            feature="overwriteSchema",
            remedy="Run `.drop table` or `.alter table` first.",
        )


def _sent(error: KustoError, number: int, count: int, table: str) -> KustoError:
    if not number:
        return error
    return IngestError(
        f"{number} of {count} parts were streamed into table '{table}' and are there; the next was refused:"
        f" {error.message}",
        remedy=error.remedy,
        code=error.code,
    )


def _json(value: Any) -> str:
    import json

    return json.dumps(value, separators=(",", ":"))
