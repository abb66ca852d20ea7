"""Moving bytes: uploads in parallel blocks, downloads in parallel ranges, both with bounded memory and a
check.

Whatever is uploaded here carries its SHA-256 and length in the blob's metadata, and is visible only as a
whole: blocks are committed at the end, never over an existing blob. Whatever is downloaded is compared with
    length, version (ETag)
and, where the blob says it, the SHA-256, before the last byte is handed out.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from spark_kusto.errors import StagingError
from spark_kusto.staging.azure_extra import require
from spark_kusto.staging.containers import ContainerAddress
from spark_kusto.staging.failures import Attempt, Retries

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
    """

    block_size: int = 8 * 1024 * 1024
    concurrency: int = 4
    retries: Retries = field(default_factory=Retries)


@dataclass(frozen=True)
class StagedBlob:
    """A blob that was staged, without any secret.

    Args:
        address: its container.
        name: its full name in the container.
        length: bytes.
        sha256: of its content, hexadecimal; None for blobs that a cluster wrote.
        etag: its version, None where not known.
    """

    address: ContainerAddress
    name: str
    length: int
    sha256: str | None = None
    etag: str | None = None

    @property
    def url(self) -> str:
        """Its URL, without a SAS."""
        return self.address.blob_url(self.name)


@dataclass
class Channel:
    """Reads and writes blobs of one container. Threads exist only during a transfer."""

    client: ContainerClient
    address: ContainerAddress
    settings: TransferSettings
    sas: str | None = field(default=None, repr=False)
    access: str = "SAS"

    def close(self) -> None:
        self.client.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attempt(self, step: str, needs: str) -> Attempt:
        """What is being tried, for errors."""
        return Attempt(step, self.address, self.sas, needs, self.access)

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

    def upload(self, name: str, stream: IO[bytes], metadata: dict[str, str]) -> StagedBlob:
        """Upload a stream as a new blob.

        Args:
            name: the blob's full name; there must be no such blob yet.
            stream: read once, to its end, in blocks.
            metadata: put on the blob beside the hash and the mark.

        Raises:
            StagingError: the upload failed; there is no such blob then.
        """
        block_size = self.settings.block_size
        step = f"upload blob '{name}'"
        digest = hashlib.sha256()
        block = _read_full(stream, block_size)
        following = _read_full(stream, block_size) if len(block) == block_size else b""
        if not following:
            digest.update(block)
            return self._put_whole(name, block, digest.hexdigest(), metadata, step)
        # Block ids of one blob have one length; a random part keeps attempts of different writers apart.
        run = uuid.uuid4().hex[:8]
        ids: list[str] = []
        length = 0
        pending: deque[Future[Any]] = deque()
        pool = ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="staging-upload")
        try:
            while block:
                digest.update(block)
                length += len(block)
                ids.append(base64.b64encode(f"{run}-{len(ids):08d}".encode()).decode())
                pending.append(pool.submit(self._put_block, name, ids[-1], block, step))
                while len(pending) > self.settings.concurrency:
                    pending.popleft().result()
                block, following = following, _read_full(stream, block_size) if following else b""
            while pending:
                pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return self._commit(name, ids, length, digest.hexdigest(), metadata, step)

    def _put_block(self, name: str, block_id: str, block: bytes, step: str) -> None:
        blob = self.client.get_blob_client(name)
        self.run(step, "w", lambda: blob.stage_block(block_id, block, length=len(block)))

    def _put_whole(
        self, name: str, data: bytes, sha256: str, metadata: dict[str, str], step: str
    ) -> StagedBlob:
        blob = self.client.get_blob_client(name)

        def put() -> dict[str, Any]:
            return blob.upload_blob(
                data, length=len(data), overwrite=False, metadata=_marked(metadata, sha256), max_concurrency=1
            )

        return self._created(name, len(data), sha256, put, step)

    def _commit(
        self, name: str, ids: list[str], length: int, sha256: str, metadata: dict[str, str], step: str
    ) -> StagedBlob:
        models = require("azure.storage.blob", step)
        core = require("azure.core", step)
        blob = self.client.get_blob_client(name)
        blocks = [models.BlobBlock(block_id=block_id) for block_id in ids]

        def commit() -> dict[str, Any]:
            return blob.commit_block_list(
                blocks,
                metadata=_marked(metadata, sha256),
                match_condition=core.MatchConditions.IfMissing,
            )

        return self._created(name, length, sha256, commit, step)

    def _created(
        self, name: str, length: int, sha256: str, create: Callable[[], dict[str, Any]], step: str
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

        answer = self.run(step, "cw", once)
        return StagedBlob(self.address, name, length, sha256, answer.get("etag"))

    # -- down -------------------------------------------------------------------------------------

    def fetch(self, name: str, offset: int, length: int | None, etag: str | None) -> tuple[bytes, Any]:
        """One range of a blob, whole or not at all, and the blob's properties.

        Args:
            name: the blob's full name.
            offset: of the first byte.
            length: of the range, which may reach beyond the end; None for a blob that should be empty.
            etag: the version that is wanted, or None for any.
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
            total = _whole_size(downloader.properties)
            expected = max(0, min(total - offset if length is None else length, total - offset))
            if len(data) != expected:
                raise StagingError(
                    f"Could not download blob '{name}' in container '{self.address.url}': "
                    f"{len(data)} bytes came where {expected} were asked for.",
                    permanent=False,
                )
            return data, downloader.properties

        found: tuple[bytes, Any] = self.run(f"download blob '{name}'", "r", get)
        return found

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
                    _whole_size(properties) == blob.length,
                    f"it has {_whole_size(properties)} bytes and {blob.length} were staged",
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


def _whole_size(properties: Any) -> int:
    """A blob's length from the answer to a request for a range of it (whose own size is the range's)."""
    _, _, total = str(properties.content_range or "").rpartition("/")
    return int(total) if total.isdigit() else int(properties.size)


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


class BlobReader(io.RawIOBase):
    """A blob as a seekable file for readers that jump about (Parquet: the footer, then some columns).

    Keeps one block of read-ahead. Pinned to one version of the blob: a replaced or deleted one is an error,
    not a mixture. The content hash can only be checked by reading all of it: use ``chunks`` or ``download``
    for that.
    """

    def __init__(self, channel: Channel, blob: StagedBlob) -> None:
        super().__init__()
        self._channel = channel
        self._blob = blob
        self._etag = blob.etag
        self._position = 0
        self._start = 0
        self._held = b""
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The blob's name."""
        return self._blob.name

    def readable(self) -> bool:
        """Always True."""
        return True

    def seekable(self) -> bool:
        """Always True."""
        return True

    def tell(self) -> int:
        """The position, in bytes from the blob's beginning."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; nothing is fetched."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._blob.length}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._position = base + offset
        return self._position

    def size(self) -> int:
        """The blob's length in bytes."""
        return self._blob.length

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the blob goes."""
        view = memoryview(buffer).cast("B")
        with self._lock:
            wanted = min(len(view), self._blob.length - self._position)
            done = self._parallel(view, wanted) if wanted >= 2 * self._channel.settings.block_size else 0
            while done < wanted:
                piece = self._piece(wanted - done)
                view[done : done + len(piece)] = piece
                done += len(piece)
                self._position += len(piece)
            return max(0, done)

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, all that is left by default; fewer only at the end."""
        left = max(0, self._blob.length - self._position)
        length = left if size is None or size < 0 else min(size, left)
        data = bytearray(length)
        count = self.readinto(data)
        return bytes(data[:count])

    def readall(self) -> bytes:
        """All that is left."""
        return self.read(-1)

    def _parallel(self, view: memoryview, wanted: int) -> int:
        """Read whole blocks of a large request in parallel; the caller reads the rest."""
        settings = self._channel.settings
        starts = range(0, wanted - wanted % settings.block_size, settings.block_size)

        def one(start: int) -> None:
            data, properties = self._channel.fetch(
                self._blob.name, self._position + start, settings.block_size, self._etag
            )
            self._same(properties, data)
            view[start : start + len(data)] = data

        if self._etag is None:
            self._piece(1)
        with ThreadPoolExecutor(settings.concurrency, thread_name_prefix="staging-read") as pool:
            for future in [pool.submit(one, start) for start in starts]:
                future.result()
        done = len(starts) * settings.block_size
        self._position += done
        return done

    def _piece(self, wanted: int) -> memoryview:
        inside = self._position - self._start
        if not 0 <= inside < len(self._held):
            length = min(max(wanted, 256 * 1024), self._channel.settings.block_size)
            self._held, properties = self._channel.fetch(self._blob.name, self._position, length, self._etag)
            if self._etag is None:
                self._etag = properties.etag
            self._same(properties, self._held)
            self._start = self._position
            inside = 0
        return memoryview(self._held)[inside : inside + wanted]

    def _same(self, properties: Any, data: bytes) -> None:
        if _whole_size(properties) != self._blob.length or not data:
            raise StagingError(
                f"Could not download blob '{self._blob.name}' in container '{self._channel.address.url}': "
                f"it has {_whole_size(properties)} bytes and {self._blob.length} were staged."
            )

    def close(self) -> None:
        """Close the connection too."""
        if not self.closed:
            self._channel.close()
        super().close()
