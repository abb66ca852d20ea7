"""Ingestion: inline, from files, from queries; and what failed."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Iterator
from typing import Any

from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.schemas import schema
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.ingesting import IngestOutcome
from spark_kusto.engine.limits import COMMAND_SECONDS, request_limits
from spark_kusto.engine.loading import ingest_files, ingest_text
from spark_kusto.engine.properties import IngestProperties, Replace, properties_from
from spark_kusto.errors import EntityExistsError, KustoError, OptionError, SchemaMismatchError
from spark_kusto.kql import syntax
from spark_kusto.types import Column

_NO_EXTENT = str(uuid.UUID(int=0))


def _properties(request: Request) -> IngestProperties:
    return properties_from(request.command.properties)


def _recorded(request: Request, table: str, source: str, run: Any) -> IngestOutcome:
    """Run an ingestion; a failure is kept for ``.show ingestion failures``."""
    try:
        done: IngestOutcome = run()
    except KustoError as error:
        request.engine.failures.record(
            request.named_database,
            table,
            source,
            error,
            kind=request.command.name,
            root_id=request.activity.root_id,
            properties=request.command.properties,
        )
        raise
    return done


@command("ingest inline into table", schema=schemas.INGEST_INLINE, permission="ingestor", writes=True)
def ingest_inline(request: Request) -> Iterator[Row]:
    database = request.named_database
    table = database.snapshot().table(request["table"])
    done = _recorded(
        request,
        table.name,
        "inline data",
        lambda: ingest_text(
            request.engine,
            database,
            table,
            request.command.input or "",
            _properties(request),
            request.context,
        ),
    )
    for extent in done.extents:
        yield (extent.id,)
    if not done.extents:
        yield (_NO_EXTENT,)


@command(
    "ingest into table", schema=schemas.INGEST_INTO, permission="ingestor", writes=True, can_be_async=True
)
def ingest_into(request: Request) -> Iterator[Row]:
    request.engine.require_local_files("'.ingest into table'")
    database = request.named_database
    operation = str(uuid.uuid4())
    for source in request["sources"]:
        path = str(source.value)
        started = time.monotonic()
        done = _recorded(
            request,
            request["table"],
            path,
            lambda path=path: ingest_files(
                request.engine,
                database,
                request["table"],
                [path],
                properties=_properties(request),
                context=request.context,
            ),
        )
        span = dt.timedelta(seconds=time.monotonic() - started)
        for extent_id in [extent.id for extent in done.extents] or [_NO_EXTENT]:
            yield (extent_id, path, span, False, operation)


# -- from queries ---------------------------------------------------------------------------------------


@command("set", "append", "set-or-append", "set-or-replace", schema=schemas.INGEST_FROM_QUERY,
         permission="user", writes=True, can_be_async=True)  # fmt: skip
def ingest_from_query(request: Request) -> Iterator[Row]:
    done = _recorded(request, request["table"], "query", lambda: _from_query(request))
    for extent in done.extents:
        yield (
            extent.id,
            extent.original_size,
            extent.size,
            extent.size,
            0,
            extent.row_count,
        )


def _from_query(request: Request) -> IngestOutcome:
    engine = request.engine
    database = request.named_database
    name = request["table"]
    verb = request.command.name
    known = database.snapshot().tables.get(name)
    if verb == "set" and known is not None:
        raise EntityExistsError(
            kind="Table",
            name=name,
            container=f"database '{database.name}'",
            remedy="Use .set-or-append, .set-or-replace or .append.",
        )
    if verb == "append" and known is None:
        database.snapshot().table(name)
    properties = _properties(request)
    columns, batches, close = _source(request)
    wrong = next((c.name for c in columns if "$" in c.name), None)
    if wrong is not None:
        raise SchemaMismatchError(
            f"A column of a table cannot be called '{wrong}'.",
            columns=[wrong],
            remedy="Give it a name without '$' in the query.",
        )
    try:
        named = columns
        recreate = properties.recreate_schema and verb == "set-or-replace"
        if known is not None and not recreate:
            named = _by_position([c.column for c in known.columns], columns, name, properties)
        renamed = _renamed(batches, named)
        return engine.ingesting.ingest_batches(
            database,
            name,
            named,
            renamed,
            create=verb != "append",
            replace=Replace(all=True) if verb == "set-or-replace" else None,
            properties=properties if recreate else _without_recreate(properties),
            context=request.context,
        )
    finally:
        close()


def _without_recreate(properties: IngestProperties) -> IngestProperties:
    from dataclasses import replace

    return replace(properties, recreate_schema=False)


def _source(request: Request) -> tuple[tuple[Column, ...], Iterator[Any], Any]:
    engine = request.engine
    query = request.command.query
    if query is None:
        raise OptionError(f"'.{request.command.name}' needs a query after '<|'.")
    if isinstance(query, syntax.ManagementCommand):
        result = engine.commanding.source_results(request, query)
        return result.columns, iter(result.table().to_batches()), lambda: None
    run = engine.querying.run(
        request.database.name,
        query,
        parameters=None,
        properties=request.properties,
        activity=request.activity,
        limits=request_limits({**request.properties, "notruncation": True}, seconds=COMMAND_SECONDS),
    )
    return run.primary.columns, run.primary.batches(), run.close


def _by_position(
    target: list[Column], given: tuple[Column, ...], name: str, properties: IngestProperties
) -> tuple[Column, ...]:
    """The query's columns under the table's names: Kusto matches by type and position, not by name."""
    extra = given[len(target) :]
    if extra and not properties.extend_schema:
        raise SchemaMismatchError(
            f"The query gives {len(given)} columns, and table '{name}' has {len(target)}: "
            f"'{extra[0].name}' has no place.",
            columns=[column.name for column in extra],
            remedy="Project fewer columns, or write with (extend_schema=true).",
        )
    wrong = [
        f"'{column.name}' is {column.type.value} where '{known.name}' is {known.type.value}"
        for column, known in zip(given, target, strict=False)
        if column.type is not known.type
    ]
    if wrong:
        raise SchemaMismatchError(
            f"The query's columns do not fit table '{name}' by position: {'; '.join(wrong)}.",
            columns=[column.name for column in given],
            remedy="Project the table's columns in its order, with its types.",
        )
    taken = {column.name for column in target}
    for column in extra:
        if column.name in taken:
            raise SchemaMismatchError(
                f"The new column '{column.name}' has the name of a column that table '{name}' has.",
                columns=[column.name],
                remedy="Give it another name in the query.",
            )
    return (*target[: len(given)], *extra)


def _renamed(batches: Iterator[Any], columns: tuple[Column, ...]) -> Iterator[Any]:
    import pyarrow

    for batch in batches:
        fields = [field.with_name(column.name) for field, column in zip(batch.schema, columns, strict=True)]
        yield pyarrow.RecordBatch.from_arrays(batch.columns, schema=pyarrow.schema(fields))


# -- what failed, what waits ----------------------------------------------------------------------------


@command("show ingestion failures", schema=schemas.INGESTION_FAILURE)
def show_ingestion_failures(request: Request) -> Iterator[Row]:
    wanted = request.option("operationid")
    yield from request.engine.failures.rows(None if wanted is None else str(wanted))


_QUEUED = schema(
    "IngestionOperationId:string, Started, LastUpdated:datetime, State:string, Discovered, InProgress,"
    " Ingested, Failed, Canceled:long, SampleFailedReasons:dynamic, Database, Table:string"
)


@command("show queued ingestion operations", schema=_QUEUED)
def show_queued(request: Request) -> Iterator[Row]:
    for operation in request["operations"]:
        state = request.engine.queue.state(operation)
        ingested = int(state.status == "committed")
        failed = int(state.status == "failed")
        yield (
            operation,
            state.enqueued,
            state.updated,
            state.status.capitalize(),
            1,
            1 - ingested - failed,
            ingested,
            failed,
            0,
            [state.failure] if state.failure else [],
            state.database,
            state.table,
        )


_STREAMING_FAILURES = schema(
    "Database, Table, Principal:string, RootActivityId:guid, IngestionProperties:dynamic, Count:long,"
    " FirstFailureOn, LastFailureOn:datetime, FailureKind, ErrorCode, Details:string"
)


@command("show streamingingestion failures", schema=_STREAMING_FAILURES)
def show_streaming_failures(_request: Request) -> Iterator[Row]:
    return iter(())


@command(
    "show streamingingestion statistics",
    schema=schema(
        "Database, Table:string, StartTime, EndTime:datetime, Count:long, MinDuration, MaxDuration,"
        " AvgDuration:timespan, TotalDataSize, MinDataSize, MaxDataSize, TotalRowCount, MinRowCount,"
        " MaxRowCount:long, IngestionStatus:string, NumOfRowStoresReferences:int, Principal, NodeId,"
        " IngestionProperties:string"
    ),
)
def show_streaming_statistics(_request: Request) -> Iterator[Row]:
    return iter(())
