"""Queued ingestion: blobs are handed to the service, which ingests them when the table's batching is due.

The messages are those of the Kusto documentation ("Ingest data without the Kusto client library"). They are
sent from here and not by azure-kusto-ingest, whose messages cannot ask for a row in the service's status
table: by that row ``wait_ingested`` can tell when data is there, and why it is not.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

from spark_kusto.client.remote.service import Service, rows_of
from spark_kusto.client.remote.transport import Backoff, as_it_is
from spark_kusto.engine.properties import IngestProperties
from spark_kusto.errors import IngestError, KustoError, ServiceError, redact
from spark_kusto.staging.azure_extra import require
from spark_kusto.version import __version__

log = logging.getLogger("spark_kusto.client")

__all__ = ["IngestionQueue", "Source", "Tracked", "source_id"]

_REFRESH_SECONDS = 3600.0
_TIMEOUT = (30.0, 60.0)
_LONGEST_POLL = 10.0
_DONE = ("Succeeded", "Skipped")


@dataclass(frozen=True)
class Source:
    """One blob to ingest. Prints without its SAS.

    Attributes:
        url: with the right to read it.
        id: tells it from others, also when it is sent again.
        raw: bytes of rows before compression.
        format: ``parquet`` or ``csv``.
    """

    url: str = field(repr=False)
    id: uuid.UUID
    raw: int
    format: str


@dataclass(frozen=True)
class Tracked:
    """Where the service says what became of a blob."""

    id: uuid.UUID
    table: str = field(repr=False)


class IngestionQueue:
    """The service's ingestion queues and status table.

    Args:
        management: the data management endpoint.
        backoff: how often requests are tried again.
    """

    def __init__(self, management: Service, backoff: Backoff) -> None:
        self._management = management
        self._backoff = backoff
        self._resources: dict[str, list[str]] = {}
        self._context = ""
        self._until = 0.0

    def _refresh(self) -> None:
        if time.monotonic() < self._until:
            return
        found: dict[str, list[str]] = {}
        for row in rows_of(self._management.command("NetDefaultDB", ".get ingestion resources")):
            found.setdefault(str(row.get("ResourceTypeName")), []).append(str(row.get("StorageRoot")))
        if not found.get("SecuredReadyForAggregationQueue"):
            raise ServiceError(
                f"'{self._management.transport.address}' names no ingestion queue.",
                remedy="Give the data management endpoint (kustoIngestionUri), or write Transactional.",
                permanent=True,
            )
        rows = rows_of(self._management.command("NetDefaultDB", ".get kusto identity token"))
        self._context = str(next(iter(rows[0].values()))) if rows else ""
        self._resources = found
        self._until = time.monotonic() + _REFRESH_SECONDS

    def send(
        self,
        database: str,
        table: str,
        sources: Sequence[Source],
        properties: IngestProperties,
        tags: Sequence[str],
        mapping: Sequence[Mapping[str, Any]] | None,
    ) -> list[Tracked]:
        """Hand blobs to the service; each is ingested on its own.

        Raises:
            IngestError: some were handed over and others not; the message says how many.
            ServiceError: none was.
        """
        self._refresh()
        tracked: list[Tracked] = []
        for number, source in enumerate(sources):
            try:
                followed = self._follow(source, database, table)
                self._post(self._message(source, database, table, properties, tags, mapping, followed))
            except KustoError as error:
                if not number:
                    raise
                raise IngestError(
                    f"{number} of {len(sources)} blobs were queued for table '{table}', and the next could"
                    f" not be: {error.message}",
                    remedy="What is queued may be ingested: look at the table before writing again.",
                ) from None
            if followed is not None:
                tracked.append(followed)
        return tracked

    def _message(
        self,
        source: Source,
        database: str,
        table: str,
        properties: IngestProperties,
        tags: Sequence[str],
        mapping: Sequence[Mapping[str, Any]] | None,
        followed: Tracked | None,
    ) -> dict[str, Any]:
        more: dict[str, Any] = {"authorizationContext": self._context, "format": source.format}
        if tags:
            more["tags"] = json.dumps(list(tags))
        if properties.ingest_if_not_exists:
            more["ingestIfNotExists"] = json.dumps(list(properties.ingest_if_not_exists))
        if properties.creation_time is not None:
            moment = properties.creation_time.astimezone(timezone.utc)
            more["creationTime"] = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if mapping is not None:
            more["ingestionMapping"] = json.dumps(mapping)
            more["ingestionMappingType"] = source.format
        message: dict[str, Any] = {
            "Id": str(source.id),
            "BlobPath": source.url,
            "RawDataSize": source.raw,
            "DatabaseName": database,
            "TableName": table,
            "RetainBlobOnSuccess": True,
            "FlushImmediately": properties.flush_immediately,
            "IgnoreSizeLimit": False,
            "ReportLevel": 0,
            "ReportMethod": 0,
            "SourceMessageCreationTime": datetime.now(timezone.utc).isoformat(),
            "ApplicationForTracing": "spark-kusto",
            "ClientVersionForTracing": f"spark-kusto:{__version__}",
            "AdditionalProperties": more,
        }
        if followed is not None:
            message["ReportLevel"], message["ReportMethod"] = 2, 1
            message["IngestionStatusInTable"] = {
                "TableConnectionString": followed.table,
                "PartitionKey": str(source.id),
                "RowKey": str(source.id),
            }
        return message

    def _post(self, message: Mapping[str, Any]) -> None:
        text = base64.b64encode(json.dumps(message).encode()).decode()
        body = f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>".encode()
        queues = list(self._resources["SecuredReadyForAggregationQueue"])
        random.shuffle(queues)
        self._request(
            "POST",
            lambda number: _within(queues[number % len(queues)], "/messages"),
            "queue a blob for ingestion",
            body=body,
            headers={"Content-Type": "application/xml"},
            wanted=(201,),
        )

    # -- what becomes of it

    def _table(self, source: uuid.UUID) -> str | None:
        """The status table of a blob, the same for every process that asks; None where there is none."""
        tables = sorted(self._resources.get("IngestionsStatusTable", ()))
        return tables[source.int % len(tables)] if tables else None

    def _follow(self, source: Source, database: str, table: str) -> Tracked | None:
        """A row in the status table, which the service will keep up to date; None where it has no table."""
        place = self._table(source.id)
        if place is None:
            return None
        followed = Tracked(source.id, place)
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        entity = {
            "PartitionKey": str(source.id),
            "RowKey": str(source.id),
            "Status": "Pending",
            "Database": database,
            "Table": table,
            "IngestionSourceId": str(source.id),
            "IngestionSourcePath": source.url.partition("?")[0],
            "UpdatedOn": now,
            "UpdatedOn@odata.type": "Edm.DateTime",
        }
        try:
            self._request(
                "POST",
                lambda _: followed.table,
                "note a blob in the status table",
                body=json.dumps(entity).encode(),
                headers={"Content-Type": "application/json", **_TABLE_HEADERS},
                wanted=(201, 204, 409),
            )
        except KustoError as error:
            log.warning("What becomes of a queued blob cannot be followed: %s", error)
            return None
        return followed

    def tracked(self, operation_id: str) -> list[Tracked]:
        """The blobs of a write that anybody has queued, as far as the status table knows them."""
        self._refresh()
        found: list[Tracked] = []
        while True:
            source = source_id(operation_id, len(found))
            place = self._table(source)
            if place is None:
                return []
            followed = Tracked(source, place)
            if self._status(followed) is None:
                return found
            found.append(followed)

    def wait(self, tracked: Sequence[Tracked], deadline: float) -> bool:
        """Wait until the service has ingested blobs; True if any of them was, False if all were skipped.

        Raises:
            IngestError: one failed.
            ServiceError: they are not in yet at the deadline (of ``time.monotonic``).
        """
        pause = self._backoff.first_delay
        left = list(tracked)
        ingested = False
        while True:
            still = []
            for followed in left:
                row = self._status(followed) or {}
                state = str(row.get("Status"))
                if state == "Pending":
                    still.append(followed)
                elif state not in _DONE:
                    said = row.get("Details") or row.get("ErrorCode") or "no reason given"
                    raise IngestError(
                        f"A queued blob was not ingested ({state}): {said}",
                        code=str(row["ErrorCode"]) if row.get("ErrorCode") else None,
                        permanent=str(row.get("FailureStatus")) != "Transient",
                        remedy="Look with `.show ingestion failures`.",
                    )
                else:
                    ingested = ingested or state == "Succeeded"
            left = still
            if not left:
                return ingested
            if time.monotonic() + pause > deadline:
                raise ServiceError(
                    f"{len(left)} of {len(tracked)} queued blobs are not ingested yet.",
                    remedy="The table's batching policy says when they are due (5 minutes by default); wait"
                    " longer, or write with flushImmediately.",
                )
            time.sleep(pause)
            pause = min(pause * 1.6, _LONGEST_POLL)

    def _status(self, followed: Tracked) -> Mapping[str, Any] | None:
        key = quote(str(followed.id))
        answer = self._request(
            "GET",
            lambda _: _within(followed.table, f"(PartitionKey='{key}',RowKey='{key}')"),
            "ask what became of a queued blob",
            headers=_TABLE_HEADERS,
            wanted=(200, 404),
        )
        if answer.status_code == 404:
            return None
        found: Mapping[str, Any] = answer.json()
        return found

    def _request(
        self,
        verb: str,
        url: Any,
        step: str,
        *,
        headers: Mapping[str, str],
        wanted: tuple[int, ...],
        body: bytes | None = None,
    ) -> Any:
        """One request to the service's storage, where its SAS is all that signs in."""
        requests = require("requests", step)
        for number in range(self._backoff.attempts):
            place = urlsplit(url(number))
            shown = f"{place.scheme}://{place.netloc}{place.path}"
            try:
                answer = requests.request(
                    verb,
                    url(number),
                    data=body,
                    headers=headers,
                    auth=as_it_is,
                    timeout=_TIMEOUT,
                    allow_redirects=False,
                )
            except requests.RequestException as problem:
                reason = redact(type(problem).__name__)
                permanent = False
            else:
                if answer.status_code in wanted:
                    return answer
                reason = f"status {answer.status_code} {answer.headers.get('x-ms-error-code', '')}".strip()
                permanent = 400 <= answer.status_code < 500 and answer.status_code not in (408, 429)
            if permanent or number == self._backoff.attempts - 1:
                break
            time.sleep(self._backoff.pause(number + 1))
        raise ServiceError(
            f"Could not {step} at '{shown}': {reason}.",
            remedy="Check that this machine's network reaches the service's storage.",
            permanent=permanent,
        )


_TABLE_HEADERS = {"Accept": "application/json;odata=nometadata", "x-ms-version": "2019-02-02"}


def source_id(operation_id: str, number: int) -> uuid.UUID:
    """The id of a blob of a write; the same wherever it is made."""
    return uuid.uuid5(uuid.UUID(operation_id), str(number))


def _within(url: str, tail: str) -> str:
    """A URL with something added to its path, before its SAS."""
    path, mark, sas = url.partition("?")
    return f"{path.rstrip('/')}{tail}{mark}{sas}"
