"""Deletion of rows: ``.delete``, ``.update`` and ``.purge``."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import time
import uuid
from collections.abc import Iterator

from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.schemas import schema
from spark_kusto.engine.commands.table import Request, Row, command, rows_to_table
from spark_kusto.engine.commands.tables import table_row
from spark_kusto.engine.operations import Operation
from spark_kusto.engine.running import ResultTable
from spark_kusto.errors import OptionError
from spark_kusto.kql import syntax


def _query(request: Request) -> syntax.Query:
    query = request.command.query
    if not isinstance(query, syntax.Query):
        raise OptionError(
            f"'.{request.command.name}' needs a query after '<|'.", remedy="Write <| T | where <condition>."
        )
    return query


@command(
    "delete table records",
    schema=schemas.DELETED_RECORDS,
    permission="admin",
    writes=True,
    can_be_async=True,
)
def delete_records(request: Request) -> Iterator[Row]:
    pretend = request.flag("whatif")
    done = request.engine.deleting.delete(
        request.named_database,
        request["table"],
        _query(request),
        pretend=pretend,
        context=request.context,
    )
    for item in done:
        details = f"{item.rows} of {item.extent.row_count} rows {'would be ' if pretend else ''}deleted"
        yield (item.extent.id, item.result_id, item.rows, details)


# -- purge ----------------------------------------------------------------------------------------------

_PURGE_STEP_1 = schema(
    "NumRecordsToPurge:long, EstimatedPurgeExecutionTime:timespan, VerificationToken:string"
)
_PURGE_STEP_2 = schema(
    "OperationId:guid, DatabaseName, TableName:string, ScheduledTime:datetime, Duration:timespan,"
    " LastUpdatedOn:datetime, EngineOperationId:guid, State, StateDetails:string, EngineStartTime:datetime,"
    " EngineDuration:timespan, Retries:int, ClientRequestId, Principal:string"
)
_PURGE_ALL_STEP_1 = schema("VerificationToken:string")


def _token(request: Request, what: str) -> str:
    """What step 1 of a purge gives and step 2 must bring back: it stands for this purge only."""
    key = request.engine.root.id.encode()
    return hmac.new(key, f"{request.named_database.id}|{what}".encode(), hashlib.sha256).hexdigest()


def _is_second_step(request: Request, what: str) -> bool:
    if str(request.option("noregrets", "false")).lower() == "true":
        return True
    given = request.option("verificationtoken")
    if given is None:
        return False
    if not hmac.compare_digest(str(given), _token(request, what)):
        raise OptionError(
            "The verification token is not the one that this purge was given.",
            remedy="Run it without a token first, and bring back what it answers.",
        )
    return True


@command("purge table records", schema=None, permission="admin", writes=True)
def purge_records(request: Request) -> list[ResultTable]:
    """Rows are removed, and their files at once rather than after the grace period."""
    database = request.named_database
    query = _query(request)
    what = f"{request['table']}|{query.text}"
    if not _is_second_step(request, what):
        found = request.engine.deleting.delete(
            database, request["table"], query, pretend=True, context=request.context
        )
        row = (sum(item.rows for item in found), dt.timedelta(seconds=1), _token(request, what))
        return [ResultTable.of("Table_0", _PURGE_STEP_1, rows_to_table(_PURGE_STEP_1, [row]))]
    started = dt.datetime.now(dt.timezone.utc)
    clock = time.monotonic()
    done = request.engine.deleting.delete(
        database,
        request["table"],
        query,
        pretend=False,
        context=request.context,
        event="PURGE-TABLE-RECORDS",
    )
    database.sweep(grace_seconds=0.0)
    span = dt.timedelta(seconds=time.monotonic() - clock)
    operation = Operation(
        id=str(uuid.uuid4()),
        operation="TableRecordsPurge",
        database=database.name,
        state="Completed",
        status=f"table {request['table']}: {sum(item.rows for item in done)} rows purged",
        started=started,
        updated=started + span,
        root_id=str(request.activity.root_id),
        principal=request.engine.principal,
    )
    request.engine.operations.record(operation)
    return [
        ResultTable.of(
            "Table_0",
            _PURGE_STEP_2,
            rows_to_table(
                _PURGE_STEP_2, [_purge_row(operation, request["table"], request.activity.client_id)]
            ),
        )
    ]


def _purge_row(operation: Operation, table: str, client_id: str) -> Row:
    return (
        operation.id,
        operation.database,
        table,
        operation.started,
        operation.duration,
        operation.updated,
        operation.id,
        operation.state,
        operation.status,
        operation.started,
        operation.duration,
        0,
        client_id,
        operation.principal,
    )


@command("purge table allrecords", schema=None, permission="admin", writes=True)
def purge_all_records(request: Request) -> list[ResultTable]:
    database = request.named_database
    database.snapshot().table(request["table"])
    what = f"{request['table']}|allrecords"
    if not _is_second_step(request, what):
        table = rows_to_table(_PURGE_ALL_STEP_1, [(_token(request, what),)])
        return [ResultTable.of("Table_0", _PURGE_ALL_STEP_1, table)]
    database.drop_table(request["table"], context=request.context)
    database.sweep(grace_seconds=0.0)
    rows = [
        table_row(database, known)
        for known in database.snapshot().tables.values()
        if not known.hidden and known.kind == "table"
    ]
    return [ResultTable.of("Table_0", schemas.TABLE_ROW, rows_to_table(schemas.TABLE_ROW, rows))]


@command("show purges", schema=_PURGE_STEP_2, permission="admin")
def show_purges(request: Request) -> Iterator[Row]:
    wanted = request.get("operation")
    for operation in request.engine.operations.all():
        if operation.operation != "TableRecordsPurge" or wanted not in (None, operation.id):
            continue
        table = operation.status.removeprefix("table ").partition(":")[0]
        yield _purge_row(operation, table, "")
