"""Moving bytes: uploads in parallel blocks, downloads in parallel ranges, both with bounded memory and a
check.

Whatever is uploaded here carries its SHA-256 and length in the blob's metadata, and is visible only as a
whole: blocks are committed at the end, never over an existing blob. Whatever is downloaded is compared with
length, version (ETag) and, where it is known, the SHA-256: a stream's block by block, a download's before the
last byte is handed out.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from spark_kusto.errors import StagingError
from spark_kusto.staging.azure_extra import require
from spark_kusto.staging.containers import ContainerAddress
from spark_kusto.staging.failures import Attempt, Retries
from spark_kusto.staging.streams import BlobReader, BlobStream, BlobWriter, whole_size

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

__all__ = ["BlobReader", "Channel", "StagedBlob", "TransferSettings"]

# Metadata that marks what this package staged. Names of metadata must be identifiers.
STAGED_BY = "sparkkusto_staged"
SHA256 = "sparkkusto_sha256"


@dataclass(frozen=True)
class TransferSettings:
    """How transfers are cut up.

    Args:
        block_size: bytes of one block or range, one request each.
        concurrency: requests under way at once; memory is about (concurrency + 3) blocks.
        retries: per request.
        connect_seconds: that a connection may take to be made.
        answer_seconds: that the service may be silent.
    """

    block_size: int = 8 * 1024 * 1024
    concurrency: int = 4
    retries: Retries = field(default_factory=Retries)
    connect_seconds: float = 20.0
    answer_seconds: float = 120.0


@dataclass(frozen=True)
class StagedBlob:
    """A blob that was staged, without any secret.

    Args:
        address: its container.
        name: its full name in the container.
        length: bytes.
        sha256: of its content, hexadecimal; None for blobs that a cluster wrote.
        etag: its version, None where not known.
        block_size: bytes of a block, the last one may be shorter; 0 where its blocks are not known.
        block_hashes: SHA-256 of each block, hexadecimal; what the uploader knows, and no listing.
    """

    address: ContainerAddress
    name: str
    length: int
    sha256: str | None = None
    etag: str | None = None
    block_size: int = field(default=0, repr=False, compare=False)
    block_hashes: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def url(self) -> str:
        """Its URL, without a SAS."""
        return self.address.blob_url(self.name)

    def with_blocks(self, size: int, hashes: Sequence[str]) -> StagedBlob:
        """The same, with what is known of its blocks."""
        return replace(self, block_size=size, block_hashes=tuple(hashes))


@dataclass
class Channel:
    """Reads and writes blobs of one container. Threads exist only during a transfer."""

    client: ContainerClient
    address: ContainerAddress
    settings: TransferSettings
    sas: str | None = field(default=None, repr=False)
    access: str = "SAS"
    is_made: bool = False

    def close(self) -> None:
        self.client.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attempt(self, step: str, needs: str) -> Attempt:
        """What is being tried, for errors."""
        return Attempt(step, self.address, self.sas, needs, self.access, self.is_made)

    def run(self, step: str, needs: str, call: Callable[[], Any]) -> Any:
        """Run one request of Azure's library with retries; its errors come out as StagingError."""
        return self.settings.retries.run(self.attempt(step, needs), call)

    def put_small(self, name: str, data: bytes, metadata: dict[str, str], *, overwrite: bool) -> None:
        """Write a small blob of our own (a marker, a ticket) in one request."""
        blob = self.client.get_blob_client(name)
        marked = _marked(metadata, hashlib.sha256(data).hexdigest())
        self.run(
            f"write blob '{name}'",
            "w" if overwrite else "c",
            lambda: blob.upload_blob(data, length=len(data), overwrite=overwrite, metadata=marked),
        )

    # -- up ---------------------------------------------------------------------------------------

    def upload(
        self, name: str, stream: IO[bytes], metadata: dict[str, str], *, hash_blocks: bool = True
    ) -> StagedBlob:
        """Upload a stream as a new blob.

        Args:
            name: the blob's full name; there must be no such blob yet.
            stream: read once, to its end, in blocks.
            metadata: put on the blob beside the hash and the mark.
            hash_blocks: note the hash of each block, for who reads it as a stream.

        Raises:
            StagingError: the upload failed; there is no such blob then.
        """
        with BlobWriter(self, name, metadata, hash_blocks=hash_blocks) as writer:
            while block := _read_full(stream, self.settings.block_size):
                writer.write(block)
            return writer.finish()

    def writer(self, name: str, metadata: dict[str, str], *, owned: bool = False) -> BlobWriter:
        """A new blob as a file to write, which closes the channel with itself if it owns it."""
        return BlobWriter(self, name, metadata, owned=owned)

    def put_block(self, name: str, block_id: str, block: bytes) -> None:
        """Upload one block of a blob that is not there yet."""
        blob = self.client.get_blob_client(name)
        self.run(f"upload blob '{name}'", "w", lambda: blob.stage_block(block_id, block, length=len(block)))

    def put_whole(self, name: str, data: bytes, sha256: str, metadata: dict[str, str]) -> StagedBlob:
        """Upload a new blob in one request."""
        blob = self.client.get_blob_client(name)

        def put() -> dict[str, Any]:
            return blob.upload_blob(
                data, length=len(data), overwrite=False, metadata=_marked(metadata, sha256), max_concurrency=1
            )

        return self._created(name, len(data), sha256, put)

    def commit_blocks(
        self, name: str, ids: Sequence[str], length: int, sha256: str, metadata: dict[str, str]
    ) -> StagedBlob:
        """Make a new blob of blocks that are up."""
        models = require("azure.storage.blob", f"upload blob '{name}'")
        core = require("azure.core", f"upload blob '{name}'")
        blob = self.client.get_blob_client(name)
        blocks = [models.BlobBlock(block_id=block_id) for block_id in ids]

        def commit() -> dict[str, Any]:
            return blob.commit_block_list(
                blocks,
                metadata=_marked(metadata, sha256),
                match_condition=core.MatchConditions.IfMissing,
            )

        return self._created(name, length, sha256, commit)

    def _created(
        self, name: str, length: int, sha256: str, create: Callable[[], dict[str, Any]]
    ) -> StagedBlob:
        """Run the request that makes the blob visible; a retry may find that the first try succeeded."""
        tries = 0

        def once() -> dict[str, Any]:
            nonlocal tries
            tries += 1
            try:
                return create()
            except Exception as problem:
                code = getattr(problem, "error_code", None)
                exists = str(getattr(code, "value", code)) in ("BlobAlreadyExists", "ConditionNotMet")
                if not exists or tries == 1:
                    raise
            # Names are unique to a writer, so a blob that appeared between two tries is our own.
            return {}

        answer = self.run(f"upload blob '{name}'", "cw", once)
        return StagedBlob(self.address, name, length, sha256, answer.get("etag"))

    # -- down -------------------------------------------------------------------------------------

    def fetch(
        self, name: str, offset: int, length: int | None, etag: str | None, *, sha256: str | None = None
    ) -> tuple[bytes, Any]:
        """One range of a blob, whole or not at all, and the blob's properties.

        Args:
            name: the blob's full name.
            offset: of the first byte.
            length: of the range, which may reach beyond the end; None for a blob that should be empty.
            etag: the version that is wanted, or None for any.
            sha256: of the range; what differs is asked for again.
        """
        blob = self.client.get_blob_client(name)
        conditions: dict[str, Any] = {}
        if etag is not None:
            core = require("azure.core", f"download blob '{name}'")
            conditions = {"etag": etag, "match_condition": core.MatchConditions.IfNotModified}

        def get() -> tuple[bytes, Any]:
            # An empty blob has no range that could be asked for.
            span = (None, None) if length is None else (offset, length)
            downloader = blob.download_blob(*span, max_concurrency=1, **conditions)
            data = b"".join(downloader.chunks())  # one piece: not copied
            total = whole_size(downloader.properties)
            expected = max(0, min(total - offset if length is None else length, total - offset))
            if len(data) != expected:
                raise StagingError(
                    f"Could not download blob '{name}' in container '{self.address.url}': "
                    f"{len(data)} bytes came where {expected} were asked for.",
                    permanent=False,
                )
            if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
                raise StagingError(
                    f"Could not download blob '{name}' in container '{self.address.url}': "
                    "its content is not what was staged.",
                    permanent=False,
                )
            return data, downloader.properties

        found: tuple[bytes, Any] = self.run(f"download blob '{name}'", "r", get)
        return found

    def stream(self, blob: StagedBlob) -> BlobStream:
        """A blob as a file to read, which closes the channel with itself; see ``BlobStream``."""
        return BlobStream(self, blob)

    def chunks(self, blob: StagedBlob) -> Iterator[bytes]:
        """A blob's content in order, fetched ahead in parallel ranges.

        Raises:
            StagingError: it cannot be read to its end, or is not what was staged.
        """
        sha256, etag = blob.sha256, blob.etag
        digest = hashlib.sha256()
        received = 0
        held: bytes | None = None
        for block, properties in self._ranges(blob, etag):
            if held is None:
                self._check(
                    blob,
                    whole_size(properties) == blob.length,
                    f"it has {whole_size(properties)} bytes and {blob.length} were staged",
                )
                sha256 = sha256 or (properties.metadata or {}).get(SHA256)
            else:
                yield held
            if sha256:
                digest.update(block)
            received += len(block)
            held = block
        # The last block is handed out only when everything before it is known to be right.
        self._check(blob, received == blob.length, f"{received} of {blob.length} bytes came")
        self._check(blob, not sha256 or digest.hexdigest() == sha256, "its content is not what was staged")
        yield held or b""

    def _ranges(self, blob: StagedBlob, etag: str | None) -> Iterator[tuple[bytes, Any]]:
        """All ranges of a blob in order, several under way at once, all of one version."""
        size = self.settings.block_size
        if blob.length == 0:
            yield self.fetch(blob.name, 0, None, etag)
            return
        offsets = iter(range(0, blob.length, size))
        if etag is None or blob.length <= size:
            first = self.fetch(blob.name, next(offsets), size, etag)
            etag = first[1].etag
            yield first
            if blob.length <= size:
                return
        pending: deque[Future[tuple[bytes, Any]]] = deque()
        pool = ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="staging-download")
        try:
            for offset in islice(offsets, self.settings.concurrency + 1):
                pending.append(pool.submit(self.fetch, blob.name, offset, size, etag))
            while pending:
                found = pending.popleft().result()
                for offset in islice(offsets, 1):
                    pending.append(pool.submit(self.fetch, blob.name, offset, size, etag))
                yield found
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _check(self, blob: StagedBlob, right: bool, why: str) -> None:
        if not right:
            raise StagingError(
                f"Could not download blob '{blob.name}' in container '{self.address.url}': {why}.",
                remedy="Something else changed or damaged it; run the read or write again.",
            )

    def download(self, blob: StagedBlob, path: str | os.PathLike[str]) -> Path:
        """Download into a file, which appears only when it is complete and checked."""
        target = Path(path)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            with partial.open("wb") as file:
                for chunk in self.chunks(blob):
                    file.write(chunk)
            partial.replace(target)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
        return target


def _marked(metadata: dict[str, str], sha256: str) -> dict[str, str]:
    return {STAGED_BY: "1", SHA256: sha256, **metadata}


def _read_full(stream: IO[bytes], size: int) -> bytes:
    """Read exactly ``size`` bytes, fewer only at the end; pipes and sockets may give less at a time."""
    data = stream.read(size)
    if not data or len(data) == size:
        return data or b""
    parts = [data]
    missing = size - len(data)
    while missing > 0:
        data = stream.read(missing)
        if not data:
            break
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)
