"""A Kusto service on this machine: its REST API in front of an embedded cluster, and faults on demand.

The engine answers queries and commands. What a service does with its storage is done here as its
documentation says: ``.export`` to Parquet in blobs, ``.ingest into table`` from blobs, containers that are
lent, streaming ingestion, operations that take their time.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
import socket
import struct
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from azure.storage.blob import BlobClient

from spark_kusto import connect, kql
from spark_kusto.client import Cluster, Result
from spark_kusto.errors import KustoError, ServiceError
from spark_kusto.kql import syntax
from tests.remote.wire import answer_v1, answer_v2, api_error, error_of

_SECRET_TEXT = re.compile(r'h"((?:[^"\\]|\\.)*)"')
TOKEN_HEADER = "authorization"


@dataclass
class Fault:
    """What goes wrong with requests to a path, how often."""

    path: str
    kind: str
    times: int = 1
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    seconds: float = 0.0
    text: str = ""

    def matches(self, path: str, body: str) -> bool:
        return self.times > 0 and self.path in path and self.text in body


@dataclass
class Seen:
    """One request that came."""

    path: str
    body: Any
    headers: dict[str, str]

    @property
    def text(self) -> str:
        return self.body["csl"] if isinstance(self.body, dict) and "csl" in self.body else ""

    @property
    def properties(self) -> dict[str, Any]:
        return json.loads(self.body.get("properties") or "{}")


@dataclass
class Operation:
    id: str
    state: str
    status: str
    columns: str
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    polls: int = 0


class KustoServer:
    """The service; a context manager.

    Args:
        root: directory of the embedded cluster behind it.
        containers: URLs with SAS of containers that it lends.
        token: what requests must sign in with; None takes everybody.
        slow_polls: how often an operation says that it is going on before it says that it has ended.
    """

    def __init__(
        self,
        root: Path,
        *,
        containers: list[str] | None = None,
        token: str | None = None,
        slow_polls: int = 1,
    ) -> None:
        self.cluster: Cluster = connect(str(root))
        self.containers = containers or []
        self.resources: list[tuple[str, str]] = [("TempStorage", url) for url in self.containers]
        self.token = token
        self.slow_polls = slow_polls
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.operations: dict[str, Operation] = {}
        self.streaming_limit = 4 * 1024 * 1024
        self._guard = threading.RLock()

    def __enter__(self) -> KustoServer:
        outer = self

        class Handler(_Handler):
            server_owner = outer

        self._http = _Http(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        self.address = f"http://localhost:{self._http.server_port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)
        self.cluster.close()

    # -- faults

    def fail(self, path: str = "", kind: str = "status", **more: Any) -> Fault:
        """Let requests to a path fail: status, reset, cut, slow, lost (done, and not told), row, end."""
        fault = Fault(path, kind, **more)
        with self._guard:
            self.faults.append(fault)
        return fault

    def take_fault(self, path: str, body: str) -> Fault | None:
        with self._guard:
            for fault in self.faults:
                if fault.matches(path, body):
                    fault.times -= 1
                    return fault
        return None

    def texts(self, path: str = "") -> list[str]:
        """The queries and commands that came."""
        return [seen.text for seen in self.seen if path in seen.path]

    # -- queries

    def query(self, request: dict[str, Any], fault: Fault | None) -> list[Any]:
        given = json.loads(request.get("properties") or "{}")
        options = given.get("Options", {})
        parameters = self._values(request["csl"], given.get("Parameters", {}))
        options = {
            name: value for name, value in options.items() if name != "results_progressive_enabled"
        } | {"query_results_cache_max_age": None}
        options.pop("query_results_cache_max_age")
        progressive = bool(given.get("Options", {}).get("results_progressive_enabled"))
        result = self.cluster.query(request["db"], request["csl"], parameters, options)
        broken = None
        if fault is not None and fault.kind in ("row", "end"):
            broken = {fault.kind: fault.error}
        return answer_v2(list(result.tables), progressive=progressive, fault=broken)

    def _values(self, text: str, given: dict[str, str]) -> dict[str, Any]:
        """Parameters come as texts: a string's own, a literal's otherwise."""
        if not given:
            return {}
        types = {}
        for statement in kql.parse(text).statements:
            if isinstance(statement, syntax.DeclareQueryParameters):
                types = {p.name: p.type.scalar for p in statement.parameters if p.type is not None}
        made = {}
        for name, value in given.items():
            if types.get(name) == "string":
                made[name] = value
            else:
                made[name] = self.cluster.query("NetDefaultDB", f"print v = {value}").rows[0][0]
        return made

    # -- commands

    def command(self, request: dict[str, Any]) -> dict[str, Any]:
        text: str = request["csl"].strip()
        folded = " ".join(text.lower().split())
        if folded == ".show export containers":
            return _table("StorageRoot:string", [(url,) for url in self.containers])
        if folded == ".get ingestion resources":
            return _table("ResourceTypeName:string, StorageRoot:string", self.resources)
        if folded.startswith((".export ", ".ingest async into ", ".ingest into ")):
            work = self._export if folded.startswith(".export") else self._ingest
            return self._start(request["db"], text, work)
        found = re.match(r"\.show operations? ([0-9a-f-]{36})( details)?$", folded)
        if found and found[1] in self.operations:
            return self._operation(self.operations[found[1]], bool(found[2]))
        result = self.cluster.execute(request["db"], text)
        return answer_v1(list(result.tables))

    def _start(self, database: str, text: str, work: Callable[[str, str, Operation], None]) -> dict[str, Any]:
        operation = Operation(str(uuid.uuid4()), "InProgress", "", "Value:string")

        def run() -> None:
            try:
                work(database, text, operation)
                operation.state = "Completed"
            except Exception as error:  # noqa: BLE001 - as an operation ends that fails
                operation.state, operation.status = "Failed", str(error)

        self.operations[operation.id] = operation
        if " async " in f" {text[:40]} ":
            threading.Thread(target=run, daemon=True).start()
            return _table("OperationId:guid", [(operation.id,)])
        run()
        if operation.state == "Failed":
            raise ServiceError(operation.status, permanent=True)
        return _table(operation.columns, operation.rows)

    def _operation(self, operation: Operation, details: bool) -> dict[str, Any]:
        if details:
            return _table(operation.columns, operation.rows)
        operation.polls += 1
        state = "InProgress" if operation.polls <= self.slow_polls else operation.state
        now = dt.datetime.now(dt.timezone.utc).isoformat()
        columns = (
            "OperationId:guid, Operation:string, NodeId:string, StartedOn:datetime, LastUpdatedOn:datetime,"
            " Duration:timespan, State:string, Status:string, RootActivityId:guid, ShouldRetry:bool"
        )
        row = (operation.id, "X", "", now, now, "00:00:01", state, operation.status, operation.id, 0)
        return _table(columns, [row])

    def _export(self, database: str, text: str, operation: Operation) -> None:
        """``.export``: Parquet with the documented types, one file for every ``sizeLimit`` of rows' bytes."""
        command = kql.parse_command(text)
        body = text.partition("<|")[2]
        targets = [_unescaped(t) for t in _SECRET_TEXT.findall(text.partition("<|")[0])]
        properties = command.properties
        result = self.cluster.query(database, body, None, {"notruncation": True})
        table = _exported(result, str(properties.get("parquetdatetimeprecision", "millisecond")))
        per_file = max(1, int(properties.get("sizelimit", 100 << 20)) // 1024)
        operation.columns = "Path:string, NumRecords:long, SizeInBytes:long"
        for number, start in enumerate(range(0, table.num_rows, per_file)):
            part = table.slice(start, per_file)
            url, _, sas = targets[number % len(targets)].partition("?")
            prefix = properties.get("nameprefix", "export")
            path = f"{url.rstrip('/')}/{prefix}_{number + 1}_{uuid.uuid4().hex}.snappy.parquet"
            sink = pa.BufferOutputStream()
            pq.write_table(part, sink, compression="snappy")
            data = sink.getvalue().to_pybytes()
            with BlobClient.from_blob_url(f"{path}?{sas}") as blob:
                blob.upload_blob(data)
            operation.rows.append((path, part.num_rows, len(data)))

    def _ingest(self, database: str, text: str, operation: Operation) -> None:
        """``.ingest into table``: blobs come down, and the engine takes the files in."""
        operation.columns = (
            "ExtentId:guid, ItemLoaded:string, Duration:timespan, HasErrors:bool, OperationId:guid"
        )
        with tempfile.TemporaryDirectory() as folder:

            def local(match: re.Match[str]) -> str:
                url = _unescaped(match[1])
                suffix = "".join(Path(urlsplit(url).path).suffixes[-2:])
                path = Path(folder, f"{uuid.uuid4().hex}{suffix}")
                with BlobClient.from_blob_url(url) as blob:
                    path.write_bytes(blob.download_blob().readall())
                return f'"{path}"'

            rewritten = _SECRET_TEXT.sub(local, text).replace(".ingest async into", ".ingest into", 1)
            result = self.cluster.execute(database, rewritten)
        operation.rows = [(str(row[0]), "blob", "00:00:00.1", 0, operation.id) for row in result.rows]

    # -- streaming

    def stream(self, database: str, table: str, query: dict[str, list[str]], body: bytes) -> None:
        if len(body) > self.streaming_limit:
            raise ServiceError("The payload is too large", status=413, code="PayloadTooLarge", permanent=True)
        quoted = "['" + table.replace("'", "\\'") + "']"
        policy = self.cluster.execute(database, f".show table {quoted} policy streamingingestion").rows
        enabled = (policy and json.loads(policy[0][2] or "null")) or {}
        if not enabled.get("IsEnabled"):
            raise ServiceError(
                f"Streaming ingestion is not enabled for table '{table}'",
                code="BadRequest_StreamingIngestionPolicyNotEnabled",
                status=400,
                permanent=True,
            )
        kind = query["streamFormat"][0].lower()
        text = body.decode()
        self.cluster.execute(
            database, f".ingest inline into table {quoted} with (format='{kind}') <|\n{text}"
        )


def _unescaped(text: str) -> str:
    return json.loads(f'"{text}"')


def _exported(result: Result, precision: str) -> pa.Table:
    """Columns as the export documentation has them: spans as ticks, guids and dynamics as text."""
    arrays, names = [], []
    table = result.to_arrow()
    for column, array in zip(result.columns, table.columns, strict=True):
        kind = column.type.value
        if kind == "timespan":
            array = pa.chunked_array(
                [
                    pa.array(
                        [None if v is None else v * 10 for v in array.cast(pa.int64()).to_pylist()],
                        pa.int64(),
                    )
                ]
            )
        elif kind == "datetime":
            unit = "us" if precision == "microsecond" else "ms"
            array = array.cast(pa.timestamp(unit, tz="UTC"), safe=False)
        arrays.append(array)
        names.append(column.name)
    return pa.table(arrays, names=names)


def _table(columns: str, rows: list[Any]) -> dict[str, Any]:
    described = [part.strip().split(":") for part in columns.split(",")]
    return {
        "Tables": [
            {
                "TableName": "Table_0",
                "Columns": [
                    {"ColumnName": name, "ColumnType": kind, "DataType": kind} for name, kind in described
                ],
                "Rows": [list(row) for row in rows],
            }
        ]
    }


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server_owner: KustoServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v1/rest/auth/metadata":
            self._send(200, {"AzureAD": {"KustoServiceResourceId": "https://kusto.kusto.windows.net"}})
            return
        self._send(404, {"error": api_error("NotFound", "no such path")})

    def do_POST(self) -> None:
        owner = self.server_owner
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            decoded = gzip.decompress(raw)
        else:
            decoded = raw
        is_json = "json" in (self.headers.get("Content-Type") or "")
        body = json.loads(decoded) if is_json else decoded
        text = body.get("csl", "") if isinstance(body, dict) else ""
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner.seen.append(Seen(self.path, body, headers))
        fault = owner.take_fault(self.path, text)
        if owner.token is not None and headers.get(TOKEN_HEADER) != f"Bearer {owner.token}":
            self._send(401, {"error": api_error("Unauthorized", "The token is not valid")})
            return
        if fault is not None and fault.kind == "slow":
            time.sleep(fault.seconds)
        if fault is not None and fault.kind == "reset":
            self._reset()
            return
        if fault is not None and fault.kind == "status":
            error = fault.error or api_error("Fault", "something went wrong", permanent=False)
            self._send(fault.status, {"error": error}, fault.headers)
            return
        try:
            answer = self._answer(body, raw, decoded, fault)
        except ServiceError as error:
            self._send(
                error.status or 500,
                {"error": api_error(error.code, error.message, permanent=error.permanent)},
            )
            return
        except KustoError as error:
            self._send(*error_of(error))
            return
        if fault is not None and fault.kind == "lost":
            # It was done, and nobody hears of it.
            self._reset()
            return
        self._send(200, answer, cut=fault is not None and fault.kind == "cut")

    def _answer(self, body: Any, raw: bytes, decoded: bytes, fault: Fault | None) -> Any:
        owner = self.server_owner
        place = urlsplit(self.path)
        if place.path == "/v2/rest/query":
            return owner.query(body, fault)
        if place.path == "/v1/rest/mgmt":
            return owner.command(body)
        if place.path.startswith("/v1/rest/ingest/"):
            database, table = (unquote(part) for part in place.path.split("/")[4:6])
            if len(raw) > owner.streaming_limit:
                raise ServiceError("too large", status=413, code="PayloadTooLarge", permanent=True)
            owner.stream(database, table, parse_qs(place.query), decoded)
            return {"Tables": []}
        raise ServiceError("no such path", status=404, permanent=True)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _send(
        self, status: int, value: Any, headers: dict[str, str] | None = None, *, cut: bool = False
    ) -> None:
        data = json.dumps(value).encode()
        zipped = "gzip" in (self.headers.get("Accept-Encoding") or "") and len(data) > 1000 and not cut
        if zipped:
            data = gzip.compress(data)
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("x-ms-activity-id", "9dcc4522-7b51-41db-a7ae-7c1bfe0696b2")
        if zipped:
            self.send_header("Content-Encoding", "gzip")
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.wfile.flush()
            self._reset()
