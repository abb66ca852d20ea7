"""An embedded cluster as a :class:`Cluster`: thin delegation to the engine in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from spark_kusto.client.cluster import (
    DEFAULT_TARGET_BYTES,
    ArrowShape,
    Cluster,
    IngestPlan,
    IngestResult,
    ScanMode,
    ScanPlan,
    ScanStatistics,
    ScanTask,
    StagedFiles,
    StreamPosition,
    WriteMode,
    check_batch,
    check_replace,
    check_text,
)
from spark_kusto.client.result import Result
from spark_kusto.client.staged_reads import DEFAULT_EXPIRY, export_result, export_settings, wants_export
from spark_kusto.client.staged_writes import (
    BlobIngest,
    BlobIngests,
    engine_ingest,
    engine_operation,
    staging_directories,
)
from spark_kusto.engine.activity import Activity
from spark_kusto.engine.engine import Engine
from spark_kusto.engine.ingesting import IngestOutcome
from spark_kusto.engine.properties import IngestProperties, Replace, properties_from
from spark_kusto.engine.running import QueryRun, ResultTable
from spark_kusto.engine.staging import EngineIngest, failure_note
from spark_kusto.errors import KustoError, OptionError
from spark_kusto.types import Column
from spark_kusto.types.results import result_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.staging import TransientStorage
    from spark_kusto.storage import IngestOperation

log = logging.getLogger("spark_kusto.client")


class EmbeddedCluster(Cluster):
    """A directory on this machine, opened in this process.

    Args:
        engine: the opened engine.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.address = engine.address
        self._blobs = BlobIngests()

    @classmethod
    def open(cls, path: str, **options: Any) -> EmbeddedCluster:
        """Open the directory; options are those of :meth:`Engine.open`."""
        return cls(Engine.open(path, **options))

    def __reduce__(self) -> tuple[Any, ...]:
        return (EmbeddedCluster.open, (self.address,))

    # -- asking

    def query(
        self,
        database: str,
        kql: str,
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> Result:
        """Run a KQL query; see :meth:`Cluster.query`."""
        check_text("query", kql)
        return _result(
            self.engine.query(
                database,
                kql,
                parameters=parameters,
                properties=properties,
                client_id=_client_id(properties),
            )
        )

    def execute(self, database: str, command: str, properties: Mapping[str, object] | None = None) -> Result:
        """Run a management command; see :meth:`Cluster.execute`."""
        check_text("command", command)
        return _result(
            self.engine.execute(database, command, properties=properties, client_id=_client_id(properties))
        )

    def explain(self, database: str, kql: str) -> str:
        """The plan of a query as text."""
        check_text("query", kql)
        return self.engine.explain(database, kql)

    def schema(
        self, database: str, kql: str, parameters: Mapping[str, object] | None = None
    ) -> tuple[Column, ...]:
        """The columns of a query's answer."""
        check_text("query", kql)
        return self.engine.schema(database, kql, parameters)

    def statistics(self, database: str, kql: str) -> ScanStatistics:
        """Rows and bytes of what the query reads."""
        check_text("query", kql)
        prepared = self.engine.querying.compile(database, kql)
        return ScanStatistics(prepared.rows, prepared.bytes)

    def cursor(self, database: str) -> str:
        """The database cursor."""
        return self.engine.cursor(database)

    # -- reading in parallel

    def plan_scan(
        self,
        database: str,
        kql: str,
        *,
        parallelism: int = 1,
        target_bytes: int = DEFAULT_TARGET_BYTES,
        snapshot: str | None = None,
        after: str | None = None,
        shape: ArrowShape = "kusto",
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
        mode: ScanMode = "auto",
        export: bool = True,
        expiry: timedelta | None = None,
        export_options: Mapping[str, object] | None = None,
        staging: TransientStorage | None = None,
        purpose: str = "read",
        listed: bool = True,
    ) -> ScanPlan:
        """Cut a query into tasks; see :meth:`Cluster.plan_scan`."""
        check_text("query", kql)
        engine = self.engine
        home = engine.database(database)

        def begin() -> Activity:
            return engine.activities.begin(
                "query",
                kql,
                home.name,
                client_id=_client_id(properties),
                principal=engine.principal,
                user=engine.principal,
                application=purpose,
                properties=properties,
            )

        def announcement(scanned: dict[str, int]) -> Callable[[], None]:
            def announce() -> None:
                ran = begin()
                ran.scanned = scanned
                ran.finish()

            return announce

        activity = begin() if listed else engine.activities.unlisted("query", kql, home.name)
        settings = export_settings(export_options)

        def task(payload: Any, rows: int, size: int) -> ScanTask:
            return ScanTask(self.address, database, prepared.columns, payload, shape, rows, size)

        try:
            prepared, seconds = engine.prepare_scan(
                database,
                kql,
                snapshot=_sequence("snapshot", snapshot),
                after=_sequence("after", after),
                parameters=parameters,
                properties=properties,
            )
            activity.scanned = prepared.scanned
            # Only what reads a stream's batches is told.
            never_null = frozenset() if after is None else prepared.never_null
            exported = wants_export(prepared, mode, through_blobs=staging is not None)
            if exported and export:
                made = export_result(
                    engine,
                    home,
                    prepared,
                    seconds,
                    settings,
                    activity,
                    expiry=expiry or DEFAULT_EXPIRY,
                    staging=staging,
                    purpose=purpose,
                )
                tasks = tuple(task(part.payload, part.rows, part.bytes) for part in made.parts)
                plan = ScanPlan(
                    tasks,
                    prepared.columns,
                    prepared.cursor,
                    rows=made.rows,
                    bytes=made.bytes,
                    exact=True,
                    expires=made.expires,
                    never_null=never_null,
                )
            else:
                cut = engine.querying.plan(
                    prepared,
                    parallelism=parallelism,
                    target_bytes=target_bytes,
                    seconds=seconds,
                    split=mode != "single",
                )
                tasks = tuple(task(part, part.rows, part.bytes) for part in cut.tasks)
                plan = ScanPlan(
                    tasks,
                    cut.columns,
                    cut.cursor,
                    rows=cut.rows,
                    bytes=cut.bytes,
                    exact=cut.exact,
                    deferred=exported,
                    never_null=never_null,
                    announce=None if listed else announcement(prepared.scanned),
                )
        except BaseException as error:
            activity.finish(error)
            raise
        activity.finish()
        return plan

    def release_reads(self, database: str, purpose: str) -> int:
        """Remove exported results of a purpose; see :meth:`Cluster.release_reads`."""
        return self.engine.database(database).abort_exports(purpose)

    def advance(
        self,
        database: str,
        kql: str,
        after: str,
        *,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> StreamPosition:
        """Where the batch of a stream ends; see :meth:`Cluster.advance`."""
        found = self.engine.advance(
            database,
            kql,
            _sequence("after", after) or 0,
            parameters=parameters,
            max_rows=max_rows,
            max_bytes=max_bytes,
        )
        return StreamPosition(
            str(found.sequence), found.rows, found.bytes, found.committed_at, found.table_id
        )

    # -- ingesting

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
        """Ingest an Arrow table, reader or batches, a pandas DataFrame, or files by path."""
        check_batch(writer_id, batch_id)
        check_replace(replace)
        done = self.engine.ingest(
            database,
            table,
            data,
            create=create,
            replace=replace,
            properties=properties_from(properties),
            writer_id=writer_id,
            batch_id=batch_id,
        )
        return _ingest_result(done)

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
        """Begin an ingestion; see :meth:`Cluster.begin_ingest`."""
        check_replace(replace)
        home = self.engine.database(database)
        if staging is not None and lease is None:
            # Executors that do not see the directory cannot renew the lease.
            lease = staging.expiry
        begun = self.engine.ingesting.begin(
            home,
            table,
            columns,
            create=create,
            replace=replace,
            mode=mode,
            properties=properties,
            lease_seconds=None if lease is None else lease.total_seconds(),
        )
        payload: EngineIngest | BlobIngest = begun
        if staging is not None:
            try:
                payload = self._blobs.begin(begun, staging, home.name, renew=renew)
            except BaseException:
                home.abort_ingest(begun.operation)
                raise
        return IngestPlan(
            address=self.address,
            database=home.name,
            table=table,
            operation_id=begun.operation.id,
            columns=tuple(column.column for column in begun.operation.columns),
            source=tuple(columns),
            properties=begun.properties,
            mode=mode,
            replace=replace,
            payload=payload,
        )

    def commit_ingest(
        self,
        plan: IngestPlan,
        staged: Iterable[StagedFiles | None],
        *,
        writer_id: str | None = None,
        batch_id: int | None = None,
        staging: TransientStorage | None = None,
    ) -> IngestResult:
        """Make everything staged visible in one commit; see :meth:`Cluster.commit_ingest`."""
        check_batch(writer_id, batch_id)
        messages = [message for message in staged if message is not None]
        begun = engine_ingest(plan.payload)
        operations = {message.operation_id for message in messages}
        if len(operations) > 1:
            raise OptionError(
                "Files of several ingestions cannot be committed together.",
                remedy="Commit each with the plan that it was staged under.",
            )
        operation = begun.operation
        if operations and operation.id not in operations:
            operation = next(engine_operation(m.operation) for m in messages if m.operation is not None)
        database = self.engine.database(plan.database)
        directories = staging_directories(plan.payload, messages)
        if directories:
            messages = self._blobs.fetch(operation, messages, staging)
        prefix = plan.properties.request_id
        try:
            done = self.engine.ingesting.commit(
                database,
                begun,
                [file for message in messages for file in message.files],
                errors=sum(message.errors for message in messages),
                operation=operation,
                writer_id=writer_id,
                batch_id=batch_id,
                context=self.engine.context(
                    f".ingest into table {plan.table}", f"{prefix};ingest;{operation.id}" if prefix else ""
                ),
            )
        except KustoError as error:
            self._remember_failure(plan, operation, error)
            raise
        try:
            if operation.id != begun.operation.id:
                # The plan of this process staged nothing; its operation is over with this commit.
                database.abort_ingest(begun.operation)
            self._blobs.end(directories, staging)
        except KustoError as error:
            # The data is committed: whoever saw an error here would write it again.
            log.warning("Cleaning up after the commit to table '%s' failed: %s", plan.table, error)
        return _ingest_result(done, directories)

    def abort_ingest(
        self,
        plan: IngestPlan,
        staged: Iterable[StagedFiles | None] = (),
        *,
        staging: TransientStorage | None = None,
    ) -> None:
        """Drop what was staged; nothing after a successful commit. Never raises."""
        begun = engine_ingest(plan.payload)
        messages = [message for message in staged if message is not None]
        others = {
            message.operation_id: engine_operation(message.operation)
            for message in messages
            if message.operation is not None
        }
        try:
            database = self.engine.root.database(plan.database)
            for operation in {begun.operation.id: begun.operation, **others}.values():
                failure = failure_note(operation)
                if database.abort_ingest(operation) and failure is not None:
                    self._remember_failure(plan, operation, failure)
            self._blobs.end(staging_directories(plan.payload, messages), staging)
        except Exception as error:  # noqa: BLE001 - it never raises
            # Whoever gives up has an error of his own to show. What is left goes with its lease.
            log.warning("Cleaning up after an ingestion into table '%s' failed: %s", plan.table, error)

    def end_attempts(self, database: str, table: str, writer_id: str) -> int:
        """Drop what a writer has begun for a table; see :meth:`Cluster.end_attempts`."""
        return self.engine.root.database(database).end_attempts(table, writer_id)

    def _remember_failure(self, plan: IngestPlan, operation: IngestOperation, error: KustoError) -> None:
        try:
            self.engine.failures.record(
                self.engine.root.database(plan.database),
                plan.table,
                f"operation {operation.id}",
                error,
                kind=f"{plan.mode} ingestion",
                operation_id=operation.id,
            )
        except KustoError as trouble:
            log.warning("A failed ingestion into table '%s' is not in the history: %s", plan.table, trouble)

    def wait_ingested(self, operation_id: str, timeout: timedelta | None = None) -> IngestResult:
        """Wait until a queued ingestion is visible."""
        return _ingest_result(
            self.engine.queue.wait(operation_id, None if timeout is None else timeout.total_seconds())
        )

    # -- the rest

    def maintain(self) -> Mapping[str, int]:
        """Do all maintenance that is due."""
        return self.engine.maintain()

    def close(self) -> None:
        """Close the catalogs."""
        self._blobs.close()
        self.engine.close()


def _client_id(properties: Mapping[str, object] | None) -> str | None:
    for key, value in (properties or {}).items():
        if key.lower().replace("-", "").replace("_", "") in ("clientrequestid", "xmsclientrequestid"):
            return str(value)
    return None


def _sequence(name: str, cursor: str | None) -> int | None:
    if cursor is None or cursor == "":
        return None
    try:
        return int(cursor)
    except ValueError:
        raise OptionError(
            f"'{name}' is {cursor!r}, which is no cursor.",
            remedy="Give a number in text form, as cluster.cursor(database) gives it.",
        ) from None


def _result(run: QueryRun) -> Result:
    tables = [_table(table, run) for table in run.results]
    first = tables[0]
    first.tables = tuple(tables)
    return first


def _table(table: ResultTable, run: QueryRun) -> Result:
    def converted() -> Iterator[pa.RecordBatch]:
        for batch in table.batches():
            yield result_batch(batch, table.columns)

    return Result(
        table.columns,
        converted(),
        name=table.name,
        visualization=table.visualization,
        close=run.close,
        is_stream=table.is_stream,
    )


def _ingest_result(done: IngestOutcome, directories: Iterable[str] = ()) -> IngestResult:
    return IngestResult(
        operation_id=done.operation_id,
        status=done.status,  # type: ignore[arg-type]
        rows=done.rows,
        bytes=done.bytes,
        extents=len(done.extents),
        cursor=None if done.sequence is None else str(done.sequence),
        duration=timedelta(seconds=done.seconds),
        extent_ids=tuple(extent.id for extent in done.extents),
        errors=done.errors,
        staging=", ".join(sorted(directories)) or None,
    )
