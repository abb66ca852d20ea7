"""A service's ingestion queue: messages are read, blobs ingested, and the status table says so."""

from __future__ import annotations

import base64
import json
import threading
import time
from types import TracebackType
from typing import Any
from xml.etree import ElementTree

import requests

from spark_kusto.errors import KustoError
from tests.remote.azurite_services import AzuriteService
from tests.remote.server import KustoServer

_JSON = {"Accept": "application/json;odata=nometadata", "x-ms-version": "2019-02-02"}


class Aggregator:
    """Reads the queue in a thread of its own; a context manager. Makes the queue and the table.

    Attributes:
        messages: those that came, as they were sent.
        hold: while set, messages wait.
    """

    def __init__(
        self, server: KustoServer, queues: AzuriteService, tables: AzuriteService, name: str
    ) -> None:
        self._server = server
        self.queue, self.table = queues.url(f"q{name}"), tables.url(f"t{name}")
        self._tables = tables
        self._name = f"t{name}"
        self.messages: list[dict[str, Any]] = []
        self.hold = threading.Event()
        self._end = threading.Event()

    def __enter__(self) -> Aggregator:
        assert requests.put(self.queue, timeout=20).status_code == 201
        created = requests.post(
            self.table.replace(f"/{self._name}?", "/Tables?"),
            json={"TableName": self._name},
            headers=_JSON,
            timeout=20,
        )
        assert created.status_code in (201, 204), created.text
        self._server.resources += [
            ("SecuredReadyForAggregationQueue", self.queue),
            ("IngestionsStatusTable", self.table),
        ]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._end.is_set():
            if self.hold.is_set() or not self._one():
                time.sleep(0.05)

    def _one(self) -> bool:
        place, _, sas = self.queue.partition("?")
        answer = requests.get(f"{place}/messages?{sas}", timeout=20)
        found = ElementTree.fromstring(answer.content.decode("utf-8-sig")).find("QueueMessage")
        if found is None:
            return False
        text, identity, receipt = (found.findtext(n) for n in ("MessageText", "MessageId", "PopReceipt"))
        message = json.loads(base64.b64decode(text or ""))
        self.messages.append(message)
        requests.delete(f"{place}/messages/{identity}?{sas}", params={"popreceipt": receipt}, timeout=20)
        self._ingest(message)
        return True

    def _ingest(self, message: dict[str, Any]) -> None:
        more = message["AdditionalProperties"]
        options = [
            f"{name}={json.dumps(more[name])}"
            for name in (
                "format",
                "tags",
                "ingestIfNotExists",
                "ingestionMapping",
                "ingestionMappingType",
                "creationTime",
            )
            if name in more
        ]
        table = message["TableName"].replace("'", "\\'")
        command = (
            f".ingest into table ['{table}'] (h{json.dumps(message['BlobPath'])}) with ({', '.join(options)})"
        )
        status = {"Status": "Succeeded", "OperationId": "x"}
        try:
            self._server.command({"db": message["DatabaseName"], "csl": command})
        except KustoError as error:
            status = {
                "Status": "Failed",
                "ErrorCode": error.code,
                "Details": error.message,
                "FailureStatus": "Permanent",
            }
        where = message.get("IngestionStatusInTable")
        if where is not None:
            key = where["PartitionKey"]
            place, _, sas = where["TableConnectionString"].partition("?")
            done = requests.request(
                "MERGE",
                f"{place}(PartitionKey='{key}',RowKey='{key}')?{sas}",
                json=status,
                headers={**_JSON, "If-Match": "*"},
                timeout=20,
            )
            assert done.status_code == 204, done.text
