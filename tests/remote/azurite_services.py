"""Azurite's queues and tables, beside its blobs: each a process of its own, on a free port."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import urlencode

from tests.staging.azurite import ACCOUNT, KEY, executable

_LISTENING = re.compile(r"successfully (?:listens|started) on ")


def _free_port() -> int:
    # The table service does not say which port it was given.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class AzuriteService:
    """One of Azurite's services; a context manager."""

    def __init__(self, kind: Literal["queue", "table"]) -> None:
        self.kind = kind
        self.endpoint = ""

    def __enter__(self) -> AzuriteService:
        self.folder = Path(tempfile.mkdtemp(prefix="azurite-"))
        port = _free_port()
        program = executable().with_name(f"azurite-{self.kind}")
        self.process = subprocess.Popen(
            [
                str(program),
                *(f"--{self.kind}Host", "127.0.0.1", f"--{self.kind}Port", str(port)),
                *(
                    "--silent",
                    "--disableTelemetry",
                    "--skipApiVersionCheck",
                    "--loose",
                    "--inMemoryPersistence",
                ),
            ],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        found = threading.Event()
        lines: list[str] = []

        def read() -> None:
            assert self.process.stdout is not None
            for line in self.process.stdout:
                lines.append(line)
                if _LISTENING.search(line):
                    self.endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
                    found.set()
            found.set()

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        if not found.wait(60) or not self.endpoint:
            self.__exit__(None, None, None)
            raise AssertionError(f"Azurite's {self.kind} service did not start:\n" + "".join(lines))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(20)
        self._reader.join(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str) -> str:
        """A queue or table with a SAS for it."""
        return f"{self.endpoint}/{name}?{account_sas()}"


def account_sas(lifetime: timedelta = timedelta(hours=1)) -> str:
    """A SAS for all services of the account, signed as the storage documentation says."""
    now = datetime.now(timezone.utc)
    end = f"{now + lifetime:%Y-%m-%dT%H:%M:%SZ}"
    version, services, kinds, rights = "2018-03-28", "bqt", "sco", "rwdlacup"
    signed = "\n".join((ACCOUNT, rights, services, kinds, "", end, "", "", version, ""))
    signature = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    return urlencode(
        {
            "sv": version,
            "ss": services,
            "srt": kinds,
            "sp": rights,
            "se": end,
            "sig": base64.b64encode(signature).decode(),
        }
    )
