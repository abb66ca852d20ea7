"""Blobs as files: one that is written while it goes up, and one that is read while it comes down.

Both move whole blocks, several at a time, with bounded memory. What is read is checked block by block, so
that no byte is handed out that is not what was staged.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import threading
import uuid
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import StagingError

if TYPE_CHECKING:
    from spark_kusto.staging.transfer import Channel, StagedBlob

__all__ = ["BlobReader", "BlobStream", "BlobWriter", "whole_size"]


def whole_size(properties: Any) -> int:
    """A blob's length from the answer to a request for a range of it (whose own size is the range's)."""
    _, _, total = str(properties.content_range or "").rpartition("/")
    return int(total) if total.isdigit() else int(properties.size)


class BlobWriter(io.RawIOBase):
    """A new blob as a file to write. It becomes visible, whole, with ``finish``; closed before, never.

    Args:
        channel: to the container.
        name: the blob's full name; there must be no such blob yet.
        metadata: put on the blob beside the hash and the mark.
        owned: the channel is closed with the file.
        hash_blocks: note the hash of each block, for ``BlobStream``.
    """

    def __init__(
        self,
        channel: Channel,
        name: str,
        metadata: dict[str, str],
        *,
        owned: bool = False,
        hash_blocks: bool = True,
    ) -> None:
        super().__init__()
        self._channel = channel
        self._owned = owned
        self._hash_blocks = hash_blocks
        self._name = name
        self._metadata = metadata
        self._step = f"upload blob '{name}'"
        self._size = channel.settings.block_size
        # Block ids of one blob have one length; a random part keeps attempts of different writers apart.
        self._run = uuid.uuid4().hex[:8]
        self._ids: list[str] = []
        self._hashes: list[str] = []
        self._digest = hashlib.sha256()
        self._length = 0
        self._parts: list[bytes] = []
        self._gathered = 0
        self._pool: ThreadPoolExecutor | None = None
        self._pending: deque[Future[Any]] = deque()

    @property
    def name(self) -> str:
        """The blob's name."""
        return self._name

    def writable(self) -> bool:
        """Always True."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._length + self._gathered

    def write(self, data: Any) -> int:
        """Take all of the data; waits while too many blocks are under way.

        Raises:
            StagingError: an earlier block could not be uploaded.
        """
        view = memoryview(data).cast("B")
        taken = 0
        while taken < len(view):
            piece = view[taken : taken + self._size - self._gathered]
            whole = isinstance(data, bytes) and len(piece) == len(data)
            self._parts.append(data if whole else bytes(piece))
            self._gathered += len(piece)
            taken += len(piece)
            if self._gathered == self._size:
                self._send()
        return taken

    def _send(self) -> None:
        block = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._gathered = [], 0
        self._note(block)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self._channel.settings.concurrency, thread_name_prefix="staging-upload"
            )
        self._ids.append(base64.b64encode(f"{self._run}-{len(self._ids):08d}".encode()).decode())
        self._pending.append(self._pool.submit(self._channel.put_block, self._name, self._ids[-1], block))
        while len(self._pending) > self._channel.settings.concurrency:
            self._pending.popleft().result()

    def _note(self, block: bytes) -> None:
        self._digest.update(block)
        if self._hash_blocks:
            self._hashes.append(hashlib.sha256(block).hexdigest())
        self._length += len(block)

    def finish(self) -> StagedBlob:
        """Make the blob visible.

        Raises:
            StagingError: it could not be uploaded; there is no such blob then.
        """
        try:
            if not self._ids:
                block = b"".join(self._parts)
                self._note(block)
                made = self._channel.put_whole(self._name, block, self._digest.hexdigest(), self._metadata)
            else:
                if self._gathered:
                    self._send()
                while self._pending:
                    self._pending.popleft().result()
                made = self._channel.commit_blocks(
                    self._name, self._ids, self._length, self._digest.hexdigest(), self._metadata
                )
        finally:
            self.close()
        return made.with_blocks(self._size, self._hashes) if self._hash_blocks else made

    def close(self) -> None:
        """Give up what is not finished: blocks that are up are dropped by the service or a clean-up."""
        if not self.closed:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
            if self._owned:
                self._channel.close()
        self._parts = []
        self._pending.clear()
        super().close()


class _SeekableBlob(io.RawIOBase):
    """What readers of one version of a blob share: where they stand, and how they end.

    Args:
        channel: to the container; closed with the file.
        blob: what to read.
    """

    def __init__(self, channel: Channel, blob: StagedBlob) -> None:
        super().__init__()
        self._channel = channel
        self._blob = blob
        self._etag = blob.etag
        self._position = 0

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

    def readall(self) -> bytes:
        """All that is left."""
        return self.read(-1)

    def close(self) -> None:
        """Close the connection too."""
        if not self.closed:
            self._channel.close()
        super().close()

    def _left(self, size: int | None) -> int:
        """Bytes that a read of this size can have; None and negative sizes ask for all that is left."""
        left = max(0, self._blob.length - self._position)
        return left if size is None or size < 0 else min(size, left)

    def _check(self, properties: Any, data: bytes) -> None:
        """Refuse a blob of another length, and an answer without bytes, which would be asked for for ever."""
        if (length := whole_size(properties)) != self._blob.length or not data:
            raise StagingError(
                f"Could not download blob '{self._blob.name}' in container '{self._channel.address.url}': "
                f"it has {length} bytes and {self._blob.length} were staged."
            )


class BlobStream(_SeekableBlob):
    """A blob as a seekable file for readers that go through it from its beginning to its end, more or less.

    Blocks ahead of the position are fetched while earlier ones are used. Each is checked against its hash
    before a byte of it is handed out, where the blob has hashes of its blocks; all are of one version.

    Args:
        channel: to the container; closed with the stream.
        blob: what to read.
        kept: blocks behind the newest that are kept, for readers that go back a little.
    """

    def __init__(self, channel: Channel, blob: StagedBlob, *, kept: int = 2) -> None:
        super().__init__(channel, blob)
        self._size = blob.block_size or channel.settings.block_size
        self._count = -(-blob.length // self._size)
        self._kept = kept
        self._ahead = channel.settings.concurrency
        self._blocks: dict[int, Future[bytes]] = {}
        self._pool = ThreadPoolExecutor(self._ahead, thread_name_prefix="staging-download")

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the blob goes."""
        view = memoryview(buffer).cast("B")
        done = 0
        for piece in self._pieces(len(view)):
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def read(self, size: int | None = -1) -> bytes:
        """Up to ``size`` bytes, all that is left by default; fewer only at the end.

        Raises:
            StagingError: the blob cannot be read, is gone, or is not what was staged.
        """
        pieces = self._pieces(self._left(size))
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def _pieces(self, wanted: int) -> list[memoryview]:
        end = min(self._position + wanted, self._blob.length)
        pieces = []
        while self._position < end:
            number, inside = divmod(self._position, self._size)
            block = self._block(number)
            piece = memoryview(block)[inside : inside + end - self._position]
            pieces.append(piece)
            self._position += len(piece)
        return pieces

    def _block(self, number: int) -> bytes:
        # The last block holds a Parquet file's footer: it is read first, and tells nothing of what follows.
        last = self._count - 1
        alone = number == last or self._etag is None
        ahead = range(number, number + 1 if alone else number + self._ahead + 1)
        for wanted in ahead:
            if wanted <= last and wanted not in self._blocks:
                self._blocks[wanted] = self._pool.submit(self._fetch, wanted)
        for held in list(self._blocks):
            if held < number - self._kept and held != last:
                del self._blocks[held]
        try:
            return self._blocks[number].result()
        except BaseException:
            self._blocks.pop(number, None)  # the next attempt asks again
            raise

    def _fetch(self, number: int) -> bytes:
        hashes = self._blob.block_hashes
        data, properties = self._channel.fetch(
            self._blob.name,
            number * self._size,
            self._size,
            self._etag,
            sha256=hashes[number] if hashes else None,
        )
        if self._etag is None:
            self._etag = properties.etag
        self._check(properties, data)
        return data

    def close(self) -> None:
        """Close the connection too."""
        if not self.closed:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._blocks.clear()
        super().close()


class BlobReader(_SeekableBlob):
    """A blob as a seekable file for readers that jump about (Parquet: the footer, then some columns).

    Keeps one block of read-ahead. Pinned to one version of the blob: a replaced or deleted one is an error,
    not a mixture. The content hash can only be checked by reading all of it: use ``chunks`` or ``download``
    for that.
    """

    def __init__(self, channel: Channel, blob: StagedBlob) -> None:
        super().__init__(channel, blob)
        self._start = 0
        self._held = b""
        self._lock = threading.Lock()

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

    def read(self, size: int | None = -1) -> bytes:
        """Up to ``size`` bytes, all that is left by default; fewer only at the end."""
        data = bytearray(self._left(size))
        count = self.readinto(data)
        return bytes(data[:count])

    def _parallel(self, view: memoryview, wanted: int) -> int:
        """Read whole blocks of a large request in parallel; the caller reads the rest."""
        settings = self._channel.settings
        starts = range(0, wanted - wanted % settings.block_size, settings.block_size)

        def one(start: int) -> None:
            data, properties = self._channel.fetch(
                self._blob.name, self._position + start, settings.block_size, self._etag
            )
            self._check(properties, data)
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
            self._check(properties, self._held)
            self._start = self._position
            inside = 0
        return memoryview(self._held)[inside : inside + wanted]
