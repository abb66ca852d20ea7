"""A proxy before a blob service that injects faults, as networks and services do."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

# Answers 503 or 429; a reset before the request reaches the service, or after it did (its answer is lost);
# half of the answer's body; one byte of it changed.
FAULTS = ("unavailable", "reset", "lost answer", "truncated", "corrupted", "throttled")

Rule = Callable[[str, str, int], str | None]


class FaultyProxy:
    """Forwards to a service; ``rule(method, path with query, number)`` names a fault, or None."""

    def __init__(self, port: int, rule: Rule) -> None:
        self.rule = rule
        self.requests: list[tuple[str, str]] = []
        self.injected: list[str] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # A socket option below needs the connection to be closed by us alone.
            timeout = 30

            def log_message(self, format: str, *args: object) -> None:
                pass

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = proxy._fault(self.command, self.path)
                if fault in ("unavailable", "throttled"):
                    code = "ServerBusy"
                    text = f"<Error><Code>{code}</Code><Message>busy</Message></Error>".encode()
                    self.send_response(503 if fault == "unavailable" else 429)
                    self.send_header("x-ms-error-code", code)
                    self.send_header("Content-Type", "application/xml")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(text)
                    return
                if fault == "reset":
                    self._reset()
                    return
                upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                try:
                    upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        upstream.putheader(name, value)
                    upstream.endheaders(body)
                    answer = upstream.getresponse()
                    data = answer.read()
                finally:
                    upstream.close()
                if fault == "lost answer":
                    self._reset()
                    return
                self.send_response_only(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in (
                        "transfer-encoding",
                        "content-length",
                        "connection",
                        "keep-alive",
                    ):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                if fault == "truncated":
                    self.wfile.write(data[: len(data) // 2])
                    self.wfile.flush()
                    self._reset()
                    return
                if fault == "corrupted" and data:
                    middle = len(data) // 2
                    data = data[:middle] + bytes([data[middle] ^ 0x20]) + data[middle + 1 :]
                self.wfile.write(data)

            def _reset(self) -> None:
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # resets are what this is for

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def _fault(self, method: str, path: str) -> str | None:
        with self._lock:
            self.requests.append((method, path))
            fault = self.rule(method, path, len(self.requests))
            if fault is not None:
                assert fault in FAULTS
                self.injected.append(fault)
            return fault

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
