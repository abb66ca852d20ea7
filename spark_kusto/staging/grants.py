"""What executors hold: picklable rights to upload into one staging directory, or to read one staged blob.

A grant carries SAS and nothing else that is secret; its ``repr`` shows none of it. For long jobs the driver
renews what grants point at (see ``renewal``): a grant whose SAS is about to end fetches a fresh one by
itself.
"""

from __future__ import annotations

import json
import os
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import IO, Any

from spark_kusto.errors import StagingError
from spark_kusto.staging.azure_extra import require
from spark_kusto.staging.containers import ContainerAddress
from spark_kusto.staging.failures import guard_transport_logs
from spark_kusto.staging.signatures import Signature, open_container_by_sas
from spark_kusto.staging.streams import BlobStream
from spark_kusto.staging.transfer import BlobReader, Channel, StagedBlob, TransferSettings

__all__ = ["DownloadGrant", "Grant", "Ticket", "UploadGrant", "blob_name"]

# An operation starts with at least this much of its SAS left, where a fresh one can be had.
_MARGIN = timedelta(minutes=10)


def blob_name(directory: str, name: str | None) -> str:
    """A new blob's name in a directory: no two calls give the same one, so nobody overwrites anybody.

    Args:
        directory: the staging directory's path, without the container's own directory.
        name: what the file is called; a random part goes between its stem and its suffix.
    """
    wanted = PurePosixPath(name or "part.parquet")
    if (
        wanted.is_absolute()
        or ".." in wanted.parts
        or wanted.name != str(wanted)
        or wanted.name.startswith("_")
    ):
        raise StagingError(
            f"'{name}' cannot be the name of a staged blob.",
            remedy="Give a plain file name, like 'part-0001.parquet'.",
        )
    stem, dot, suffix = wanted.name.partition(".")
    return f"{directory}/{stem}-{uuid.uuid4().hex}{dot}{suffix}"


@dataclass(frozen=True, repr=False)
class Ticket:
    """Where a fresh SAS can be fetched: a blob that the driver keeps up to date, encrypted for the grant's
    holder.

    Args:
        name: the blob's full name.
        signature: the right to read that one blob.
        key: decrypts it (Fernet).
    """

    name: str
    signature: Signature
    key: bytes

    def __repr__(self) -> str:
        return "Ticket(***)"


@dataclass(frozen=True, repr=False)
class Grant:
    """A right to one container, or a part of it.

    Args:
        address: the container.
        signature: the SAS.
        ticket: where a fresh one is to be had, or None.
        entry: which SAS of the ticket is this grant's: a blob's name, or ``"*"`` for uploads.
    """

    address: ContainerAddress
    signature: Signature
    ticket: Ticket | None = None
    entry: str = "*"

    def __repr__(self) -> str:
        return f"Grant({self.address}, expires={self.signature.expires})"

    def channel(self, settings: TransferSettings) -> Channel:
        """Open a connection with a SAS that has some time left."""
        signature = self.fresh(settings).signature
        return Channel(
            _client(self.address, signature, settings),
            self.address,
            settings,
            signature.token,
            is_made=signature.lifetime is not None,
        )

    def fresh(self, settings: TransferSettings) -> Grant:
        """This grant, or one with a renewed SAS when its own is near its end."""
        expires, lifetime = self.signature.expires, self.signature.lifetime
        if self.ticket is None or expires is None or lifetime is None:
            return self
        if expires - datetime.now(timezone.utc) > min(_MARGIN, lifetime / 2):
            return self
        fernet = require("cryptography.fernet", "renew a SAS")
        ticket = self.ticket
        with Channel(
            _client(self.address, ticket.signature, settings), self.address, settings, ticket.signature.token
        ) as channel:
            sealed = channel.run(
                "renew the SAS",
                "r",
                lambda: channel.client.get_blob_client(ticket.name).download_blob().readall(),
            )
        entries: dict[str, Any] = json.loads(fernet.Fernet(ticket.key).decrypt(sealed))
        token, until = entries[self.entry]
        renewed = Signature(token, datetime.fromisoformat(until), lifetime)
        if renewed.expires is None or renewed.expires <= expires:
            return self  # nobody renews any more; use what is left
        return replace(self, signature=renewed)


def _client(address: ContainerAddress, signature: Signature, settings: TransferSettings) -> Any:
    guard_transport_logs()
    return open_container_by_sas(address, signature.token, settings)


@dataclass(repr=False)
class UploadGrant:
    """The right to put new blobs into one staging directory. Picklable; made by
    ``StagingDirectory.upload_grant``.

    Args:
        directory: the directory's name.
        grants: one per container; uploads go to them in turn.
        metadata: put on every blob.
        settings: of transfers.
    """

    directory: str
    grants: tuple[Grant, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    settings: TransferSettings = field(default_factory=TransferSettings)
    _turn: int = -1

    def __repr__(self) -> str:
        return f"UploadGrant({self.directory!r}, {', '.join(str(grant.address) for grant in self.grants)})"

    def upload_stream(self, stream: IO[bytes], name: str | None = None) -> StagedBlob:
        """Upload a binary stream, read once to its end, as one new blob.

        Args:
            stream: the content.
            name: a plain file name to go by; a random part is added to it.

        Raises:
            StagingError: it could not be uploaded; no part of it is visible then.
        """
        if self._turn < 0:
            # Every task begins somewhere else, so that few blobs per task spread as well.
            self._turn = random.randrange(len(self.grants))
        grant = self.grants[self._turn % len(self.grants)]
        self._turn += 1
        with grant.channel(self.settings) as channel:
            # The commit fetches it whole, and checks it by the hash of all of it.
            full = grant.address.within(blob_name(self.directory, name))
            return channel.upload(full, stream, self.metadata, hash_blocks=False)

    def upload_file(self, path: str | os.PathLike[str], name: str | None = None) -> StagedBlob:
        """Upload a file as one new blob, named after the file by default.

        Raises:
            StagingError: it could not be uploaded; no part of it is visible then.
        """
        with Path(path).open("rb") as stream:
            return self.upload_stream(stream, name or Path(path).name)


@dataclass(frozen=True, repr=False)
class DownloadGrant:
    """The right to read one staged blob. Picklable; made by ``StagingDirectory.download_grant``."""

    blob: StagedBlob
    grant: Grant
    settings: TransferSettings = field(default_factory=TransferSettings)

    def __repr__(self) -> str:
        return f"DownloadGrant({self.blob.url})"

    @property
    def expires(self) -> datetime | None:
        """When the right ends; None where that is not known."""
        return self.grant.signature.expires

    def is_present(self) -> bool:
        """Whether the blob can be read: asks for its properties.

        Raises:
            StagingError: the storage does not answer.
        """
        with self.grant.channel(self.settings) as channel:
            client = channel.client.get_blob_client(self.blob.name)
            return bool(channel.run(f"look for blob '{self.blob.name}'", "r", client.exists))

    def chunks(self) -> Iterator[bytes]:
        """The content in order, fetched ahead, checked before its last piece.

        Raises:
            StagingError: it cannot be read to its end or is not what was staged.
        """
        with self.grant.channel(self.settings) as channel:
            yield from channel.chunks(self.blob)

    def download(self, path: str | os.PathLike[str]) -> Path:
        """Download into a file, which appears only when complete and checked.

        Raises:
            StagingError: it cannot be read to its end or is not what was staged.
        """
        with self.grant.channel(self.settings) as channel:
            return channel.download(self.blob, path)

    def stream(self) -> BlobStream:
        """Open as a binary file to be read from its beginning to its end: what comes next is on its way
        already. Close it after use.

        Raises:
            StagingError: the blob cannot be read; reading raises it too, also for what was not staged.
        """
        return self.grant.channel(self.settings).stream(self.blob)

    def open(self) -> BlobReader:
        """Open as a seekable binary file, for ``pyarrow.parquet`` and the like; close it after use."""
        return BlobReader(self.grant.channel(self.settings), self.blob)
