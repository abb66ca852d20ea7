"""What is asked of a cluster: queries, commands and operations, with their answers as tables."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from spark_kusto.client.remote.frames import (
    AnswerCutError,
    AnswerTable,
    PartialFailure,
    read_frames,
    read_tables,
)
from spark_kusto.client.remote.texts import request_options, request_parameters
from spark_kusto.client.remote.transport import COMMAND_SECONDS, QUERY_SECONDS, Answer, Transport, seconds_of
from spark_kusto.client.remote.values import batches_of_rows
from spark_kusto.client.result import Result
from spark_kusto.errors import KustoError, QueryError, ServiceError
from spark_kusto.types import Column
from spark_kusto.types.results import result_batch

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Operation", "Service", "rows_of"]

log = logging.getLogger("spark_kusto.client")

T = TypeVar("T")

_LONGEST_POLL = 10.0
_BUSY_SECONDS = 1800.0
"""How long a command that is throttled is tried again."""

_GOING_ON = ("InProgress", "Scheduled")


def rows_of(tables: list[AnswerTable]) -> list[dict[str, Any]]:
    """The first table's rows by column name, values as JSON has them."""
    first = tables[0]
    names = [column.name for column in first.columns]
    return [dict(zip(names, row, strict=True)) for row in first.rows]


@dataclass(frozen=True)
class Operation:
    """The end of an operation that ran asynchronously."""

    id: str
    state: str
    status: str
    should_retry: bool


class Service:
    """One endpoint's queries and commands.

    Args:
        transport: how it is reached.
        timeout: how long operations are waited for.
    """

    def __init__(self, transport: Transport, timeout: timedelta = timedelta(days=2)) -> None:
        self.transport = transport
        self.timeout = timeout

    # -- queries

    def tables(
        self,
        database: str,
        text: str,
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
        *,
        whole: bool = True,
    ) -> Generator[AnswerTable, None, None]:
        """The tables of a query's answer, as they come.

        whole: the answer is received before the first table is given out, and asked for again if it is cut
            short; otherwise it is read as it arrives.
        """
        request: dict[str, Any] = {"db": database, "csl": text}
        sent: dict[str, Any] = {}
        options = request_options(properties)
        values = request_parameters(text, parameters)
        if options:
            sent["Options"] = options
        if values:
            sent["Parameters"] = values
        if sent:
            request["properties"] = json.dumps(sent, default=str)
        step = "run the query"
        answer = self.transport.send(
            "v2/rest/query",
            step=step,
            activity="query",
            body=request,
            properties=properties,
            seconds=seconds_of(properties, QUERY_SECONDS),
            repeatable=True,
            whole=whole,
        )
        try:
            for table in _translated(read_frames(answer.pieces()), answer):
                table.rows = _translated(table.rows, answer)
                yield table
        finally:
            answer.close()

    def query(
        self,
        database: str,
        text: str,
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> Result:
        """The results of a query; with ``notruncation`` the first is a stream."""
        given = {key.lower(): value for key, value in (properties or {}).items()}
        if str(given.get("notruncation", "")).lower() == "true":
            return self._stream(database, text, parameters, {**given, "results_progressive_enabled": False})
        found: dict[tuple[int, str], tuple[AnswerTable, list[list[Any]]]] = {}
        for table in self.tables(database, text, parameters, properties):
            key = (table.id, table.kind)
            rows = list(table.rows)
            if key in found and not table.replaces:
                found[key][1].extend(rows)
            else:
                found[key] = (table, rows)
        looks = [_visualization(rows) for table, rows in found.values() if table.kind == "QueryProperties"]
        results = [
            _result(table, rows, looks[0] if looks and not number else None)
            for number, (table, rows) in enumerate(
                pair for pair in found.values() if pair[0].kind in ("PrimaryResult", "")
            )
        ]
        return _joined(results, self.transport.address)

    def _stream(
        self,
        database: str,
        text: str,
        parameters: Mapping[str, object] | None,
        properties: Mapping[str, object],
    ) -> Result:
        tables = self.tables(database, text, parameters, properties, whole=False)
        looks = None
        for table in tables:
            if table.kind == "QueryProperties":
                looks = _visualization(list(table.rows))
            elif table.kind == "PrimaryResult":
                first = table
                break
        else:
            raise _nothing(self.transport.address)

        def batches() -> Iterator[pa.RecordBatch]:
            table: AnswerTable | None = first
            while table is not None:
                if table.kind == "PrimaryResult" and table.id == first.id:
                    for batch in batches_of_rows(table.rows, first.columns):
                        yield result_batch(batch, first.columns)
                table = next(tables, None)

        return Result(
            first.columns,
            batches(),
            name=first.name,
            visualization=looks,
            close=tables.close,
            is_stream=True,
        )

    def columns(
        self, database: str, text: str, parameters: Mapping[str, object] | None = None
    ) -> tuple[Column, ...]:
        """The columns of a query's answer; the query should ask for no rows."""
        for table in self.tables(database, text, parameters):
            if table.kind == "PrimaryResult":
                columns = table.columns
                for _ in table.rows:
                    pass
                return columns
        raise _nothing(self.transport.address)

    def rows(
        self,
        database: str,
        text: str,
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> list[tuple[Any, ...]]:
        """The rows of a small query as Python values."""
        return self.query(database, text, parameters, properties).rows

    # -- commands

    def command(
        self,
        database: str,
        text: str,
        properties: Mapping[str, object] | None = None,
        *,
        step: str = "run the command",
        repeatable: bool | None = None,
    ) -> list[AnswerTable]:
        """The tables of a command's answer.

        repeatable: doing it twice is the same as doing it once; by default so for ``.show`` and ``.get``.
        """
        if repeatable is None:
            repeatable = text.lstrip().lower().startswith((".show", ".get"))
        request: dict[str, Any] = {"db": database, "csl": text}
        options = request_options(properties)
        if options:
            request["properties"] = json.dumps({"Options": options}, default=str)
        answer = self.transport.send(
            "v1/rest/mgmt",
            step=step,
            activity="command",
            body=request,
            properties=properties,
            seconds=seconds_of(properties, COMMAND_SECONDS),
            repeatable=repeatable,
        )
        try:
            return read_tables(answer.text)
        except (PartialFailure, AnswerCutError) as problem:
            failure = answer.translate(problem)
        finally:
            answer.close()
        raise failure

    def execute(self, database: str, text: str, properties: Mapping[str, object] | None = None) -> Result:
        """The results of a command."""
        tables = self.command(database, text, properties)
        return _joined([_result(table, list(table.rows), None) for table in tables], self.transport.address)

    # -- operations

    def run_async(self, database: str, text: str, *, step: str, repeatable: bool = False) -> Operation:
        """Start an ``async`` command and wait for its end; one that is throttled is started again.

        Raises:
            QueryError, ServiceError: it failed, or did not end in time.
        """
        begun = time.monotonic()
        deadline = begun + self.timeout.total_seconds()
        patient = min(deadline, begun + _BUSY_SECONDS)
        number = 0
        while True:
            number += 1
            busy: KustoError
            try:
                rows = rows_of(self.command(database, text, step=step, repeatable=repeatable))
            except ServiceError as error:
                # The service has so much capacity for ingestions and exports, and others use it too.
                if error.code != "TooManyRequests":
                    raise
                busy = error
            else:
                if not rows:
                    raise ServiceError(f"Cluster '{self.transport.address}' gave no operation to {step}.")
                operation = self.wait(str(next(iter(rows[0].values()))), database, step, deadline)
                if operation.state == "Completed":
                    return operation
                busy = QueryError(
                    f"Cluster '{self.transport.address}' could not {step}: operation {operation.id} is"
                    f" {operation.state}. {operation.status}".rstrip(". ")
                    + ".",
                    remedy="Look with `.show operations` and, for ingestions, `.show ingestion failures`.",
                    permanent=not operation.should_retry,
                )
                if operation.state != "Throttled":
                    raise busy
            pause = self.transport.backoff.pause(number)
            if time.monotonic() + pause > patient:
                raise busy
            log.info("Waiting for the cluster's capacity to %s.", step)
            time.sleep(pause)

    def wait(self, operation_id: str, database: str, step: str, deadline: float) -> Operation:
        """Wait until an operation has ended, well or badly.

        Raises:
            ServiceError: it has not ended in time, or nobody knows it.
        """
        pause = min(self.transport.backoff.first_delay / 2, 0.5)
        while True:
            # Its id comes from the service, and goes back as what it is.
            rows = rows_of(self.command(database, f".show operations {_guid(operation_id)}"))
            if not rows:
                raise ServiceError(
                    f"Cluster '{self.transport.address}' no longer knows operation {operation_id}, which was"
                    f" to {step}.",
                    permanent=True,
                )
            last = rows[-1]
            state = str(last.get("State"))
            if state not in _GOING_ON:
                return Operation(
                    operation_id, state, str(last.get("Status") or ""), bool(last.get("ShouldRetry"))
                )
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"Operation {operation_id}, which is to {step}, has not ended after"
                    f" {self.timeout.total_seconds():.0f} s.",
                    remedy="Give it more time with timeoutLimit; the operation itself goes on.",
                    permanent=True,
                )
            time.sleep(pause)
            pause = min(pause * 1.6, _LONGEST_POLL)

    def details(self, operation: Operation, database: str) -> list[dict[str, Any]]:
        """What an operation gave, as the command would have answered without ``async``."""
        return rows_of(self.command(database, f".show operation {_guid(operation.id)} details"))


def _translated(values: Iterable[T], answer: Answer) -> Iterator[T]:
    """The same, with errors in this package's words."""
    try:
        yield from values
        return
    except (PartialFailure, AnswerCutError) as problem:
        failure = answer.translate(problem)
    raise failure


def _guid(text: str) -> str:
    import uuid

    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ServiceError(f"'{text[:60]}' is not the id of an operation.", permanent=True) from None


def _nothing(address: str) -> KustoError:
    return ServiceError(f"The answer of cluster '{address}' has no result.", permanent=True)


def _result(table: AnswerTable, rows: list[list[Any]], looks: Mapping[str, Any] | None) -> Result:
    batches = (result_batch(batch, table.columns) for batch in batches_of_rows(rows, table.columns))
    result = Result(table.columns, batches, name=table.name, visualization=looks, is_stream=False)
    # Values that are none of their column's type are an error here and not later.
    result.to_arrow()
    return result


def _joined(results: list[Result], address: str) -> Result:
    if not results:
        raise _nothing(address)
    results[0].tables = tuple(results)
    return results[0]


def _visualization(rows: list[list[Any]]) -> Mapping[str, Any] | None:
    for row in rows:
        if len(row) >= 3 and row[1] == "Visualization":
            try:
                found = json.loads(row[2]) if isinstance(row[2], str) else row[2]
            except ValueError:
                return None
            return found if isinstance(found, Mapping) and found.get("Visualization") else None
    return None
