"""What runs, ran, and changed: operations, queries, commands, the journal."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from typing import Any

from spark_kusto.engine.activity import Activity
from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.schemas import schema
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.operations import operation_name, operation_row
from spark_kusto.engine.running import ResultTable
from spark_kusto.storage import Extent, JournalEntry, TableSnapshot

# -- operations -----------------------------------------------------------------------------------------


@command("show operations", schema=schemas.OPERATION, permission="monitor")
def show_operations(request: Request) -> Iterator[Row]:
    wanted = request.get("operations")
    engine = request.engine
    if wanted is not None and len(wanted) == 1:
        yield operation_row(engine, engine.operations.find(wanted[0]))
        return
    for operation in engine.operations.all():
        if wanted is None or operation.id in wanted:
            yield operation_row(engine, operation)


@command("show operation details", schema=None, permission="monitor")
def show_operation_details(request: Request) -> Sequence[ResultTable]:
    return request.engine.operations.details(request["operation"])


@command("cancel operation", schema=schemas.CANCELLED_OPERATION, permission="admin")
def cancel_operation(request: Request) -> Iterator[Row]:
    reason = str(request.option("reason", ""))
    operation, state = request.engine.operations.cancel(request["operation"], reason)
    yield (operation.id, operation.operation, operation.started, state, reason)


# -- the journal ----------------------------------------------------------------------------------------


def _journal_row(entry: JournalEntry) -> Row:
    context = entry.context
    return (
        entry.event,
        entry.timestamp,
        entry.database,
        entry.entity_name,
        entry.updated_entity_name,
        entry.entity_version,
        entry.container,
        entry.original_state,
        entry.updated_state,
        context.command,
        context.principal,
        context.root_activity_id or None,
        context.client_request_id,
        context.user,
        "",
    )


@command("show journal", schema=schemas.JOURNAL, permission="monitor")
def show_journal(request: Request) -> Iterator[Row]:
    entries = list(request.engine.root.journal())
    for name in request.engine.root.database_names():
        entries += request.engine.database(name).journal()
    for entry in sorted(entries, key=lambda entry: entry.sequence):
        yield _journal_row(entry)


@command("show database journal", schema=schemas.JOURNAL, permission="monitor")
def show_database_journal(request: Request) -> Iterator[Row]:
    for entry in request.named_database.journal():
        yield _journal_row(entry)


@command("show cluster journal", schema=schemas.JOURNAL, permission="monitor")
def show_cluster_journal(request: Request) -> Iterator[Row]:
    for entry in request.engine.root.journal():
        yield _journal_row(entry)


# -- queries and commands -------------------------------------------------------------------------------


def _cache_statistics(activity: Activity) -> dict[str, Any]:
    size = activity.scanned.get("bytes", 0)
    empty = {"HitBytes": 0, "MissBytes": 0, "RetrieveBytes": 0}
    return {
        "Memory": {"Hits": 0, "Misses": 0},
        "Disk": {"Hits": 0, "Misses": 0},
        "Shards": {"Hot": {**empty, "HitBytes": size}, "Cold": empty, "BypassBytes": 0},
    }


def _scanned(activity: Activity) -> dict[str, Any]:
    scanned = activity.scanned
    return {
        "MinDataScannedTime": None,
        "MaxDataScannedTime": None,
        "TotalExtentsCount": scanned.get("extents_total", 0),
        "ScannedExtentsCount": scanned.get("extents_scanned", 0),
        "TotalRowsCount": scanned.get("rows", 0),
        "ScannedRowsCount": scanned.get("rows", 0),
    }


def _result_set(activity: Activity) -> dict[str, Any]:
    return {
        "TableCount": 1,
        "TablesStatistics": [
            {"RowCount": activity.result.get("rows", 0), "TableSize": activity.result.get("bytes", 0)}
        ],
    }


def query_row(activity: Activity) -> Row:
    """A row of ``.show queries``."""
    return (
        activity.client_id,
        activity.text,
        activity.database,
        activity.started,
        activity.updated,
        activity.duration,
        activity.state,
        activity.root_id,
        activity.user,
        activity.failure,
        dt.timedelta(seconds=activity.cpu_seconds),
        _cache_statistics(activity),
        activity.application,
        activity.memory_peak,
        _scanned(activity),
        activity.principal,
        _properties(activity),
        _result_set(activity),
        "default",
        "",
        "",
    )


def _properties(activity: Activity) -> dict[str, Any]:
    properties: dict[str, Any] = json.loads(json.dumps(dict(activity.properties), default=str))
    return properties


def _queries(request: Request) -> Iterator[Activity]:
    for activity in request.engine.activities:
        if activity.kind == "query":
            yield activity


@command("show queries", schema=schemas.QUERY, permission="monitor")
def show_queries(request: Request) -> Iterator[Row]:
    for activity in _queries(request):
        yield query_row(activity)


@command("show running queries", schema=schemas.RUNNING_QUERY, permission="monitor")
def show_running_queries(request: Request) -> Iterator[Row]:
    user = request.get("user")
    for activity in _queries(request):
        if activity.state == "InProgress" and (user is None or user in (activity.user, activity.principal)):
            yield query_row(activity)[: len(schemas.RUNNING_QUERY)]


@command(
    "cancel query",
    schema=schema("ClientRequestId:string, RunningQueryCanceled:bool, ReasonPhrase:string"),
    permission="admin",
)
def cancel_query(request: Request) -> Iterator[Row]:
    reason = str(request.option("reason", "cancelled by a user"))
    request.engine.activities.cancel(request["client_request_id"], reason)
    yield (request["client_request_id"], True, reason)


def _commands(request: Request) -> Iterator[Activity]:
    for activity in request.engine.activities:
        if activity.kind != "query":
            yield activity


@command("show commands", schema=schemas.COMMAND, permission="monitor")
def show_commands(request: Request) -> Iterator[Row]:
    for activity in _commands(request):
        yield (
            activity.client_id,
            operation_name(activity.kind),
            activity.text,
            activity.database,
            activity.started,
            activity.updated,
            activity.duration,
            activity.state,
            activity.root_id,
            activity.user,
            activity.failure,
            activity.application,
            activity.principal,
            dt.timedelta(seconds=activity.cpu_seconds),
            {"CacheStatistics": _cache_statistics(activity), "TotalCpu": str(activity.cpu_seconds)},
            _properties(activity),
            "default",
            "",
        )


@command("show commands-and-queries", schema=schemas.COMMAND_AND_QUERY, permission="monitor")
def show_commands_and_queries(request: Request) -> Iterator[Row]:
    for activity in request.engine.activities:
        kind = "Query" if activity.kind == "query" else operation_name(activity.kind)
        yield (
            activity.client_id,
            kind,
            activity.text,
            activity.database,
            activity.started,
            activity.updated,
            activity.duration,
            activity.state,
            activity.failure,
            activity.root_id,
            activity.user,
            activity.application,
            activity.principal,
            _properties(activity),
            dt.timedelta(seconds=activity.cpu_seconds),
            activity.memory_peak,
            _cache_statistics(activity),
            _scanned(activity),
            _result_set(activity),
            "default",
            "",
        )


@command(
    "show data operations",
    schema=schema(
        "Timestamp:datetime, Database, Table, ClientActivityId, OperationKind:string, OriginalSize,"
        " ExtentSize, RowCount:long, Duration, TotalCpu:timespan, ExtentCount:long, Principal,"
        " Properties:string"
    ),
    permission="monitor",
)
def show_data_operations(request: Request) -> Iterator[Row]:
    added: dict[int, list[tuple[TableSnapshot, Extent]]] = {}
    for table in request.snapshot.tables.values():
        for extent in table.extents:
            added.setdefault(extent.added_sequence, []).append((table, extent))
    kinds = {"INGEST": "BatchIngest", "MERGE-EXTENTS": "Merge"}
    for entry in request.named_database.journal():
        found = added.get(entry.sequence)
        if not found:
            continue
        yield (
            entry.timestamp,
            request.named_database.name,
            found[0][0].name,
            entry.context.client_request_id,
            kinds.get(entry.event, entry.event.capitalize()),
            sum(extent.original_size for _, extent in found),
            sum(extent.size for _, extent in found),
            sum(extent.row_count for _, extent in found),
            dt.timedelta(),
            dt.timedelta(),
            len(found),
            entry.context.principal,
            "{}",
        )


@command("show queryplan", schema=schema("ResultType, Format, Content:string"))
def show_queryplan(request: Request) -> Iterator[Row]:
    from spark_kusto.engine.explaining import explain
    from spark_kusto.errors import OptionError
    from spark_kusto.kql import syntax

    if not isinstance(request.command.query, syntax.Query):
        raise OptionError("'.show queryplan' needs a query after '<|'.", remedy="Write <| T | count.")
    prepared = request.engine.querying.compile(request.database.name, request.command.query)
    yield ("QueryText", "text", request.command.input or "")
    yield ("QueryPlan", "text", explain(prepared))
