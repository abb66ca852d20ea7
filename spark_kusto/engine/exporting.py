"""A query's result as Parquet files, for readers that do not see the cluster's directory or cannot share
a query.

Row by row queries are run in parts, side by side; others as a whole with all threads. A file holds values
in the form in which queries pass them on (storage forms, guids as text), with the Kusto type in each
field's metadata, so that reading one gives the very batches that the query gave.
"""

from __future__ import annotations

import io
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

from spark_kusto.engine.connections import EXECUTOR_MEMORY, Resources
from spark_kusto.engine.running import storage_text_schema
from spark_kusto.engine.tasks import ReadTask, read_task
from spark_kusto.errors import SnapshotExpiredError
from spark_kusto.storage import files as fs
from spark_kusto.storage.staging import parquet_writer
from spark_kusto.types import Column

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from spark_kusto.engine.activity import Activity

DEFAULT_FILE_BYTES = 128 * 1024 * 1024
"""Size of a file that an export aims at."""

COMPRESSIONS = ("zstd", "snappy", "gzip", "lz4", "none")
"""How files may be compressed; the first is the default."""

_ROW_GROUP_ROWS = 122_880 * 2
_ROW_GROUP_BYTES = 64 * 1024 * 1024
_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class ExportSettings:
    """How results are written.

    Attributes:
        file_bytes: size after which another file begins.
        compression: one of ``COMPRESSIONS``.
        is_asked: somebody asked for files of this kind.
    """

    file_bytes: int = DEFAULT_FILE_BYTES
    compression: str = COMPRESSIONS[0]
    is_asked: bool = False


class OutputFile(Protocol):
    """A file of a result while it is written.

    Attributes:
        name: for errors.
        sink: what Parquet is written to.
    """

    name: str
    sink: pa.NativeFile

    def finish(self, rows: int) -> None:
        """It is complete, with so many rows."""

    def discard(self) -> None:
        """It will not be; nothing of it may stay."""


class Output(Protocol):
    """Where a result's files go; used by several threads."""

    def open(self) -> OutputFile:
        """A new file."""


@dataclass(frozen=True)
class ExportedFile:
    """One file of a result, complete."""

    path: str
    rows: int
    bytes: int


class Folder:
    """A folder for files of a result.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.files: list[ExportedFile] = []

    def open(self) -> OutputFile:
        """A new file."""
        return _FolderFile(os.path.join(self._path, f"result-{uuid.uuid4()}.parquet"), self.files.append)


class _FolderFile:
    def __init__(self, path: str, finished: Callable[[ExportedFile], None]) -> None:
        import pyarrow as pa

        self.name = path
        self._finished = finished
        with fs.storage_errors("write", path):
            self.sink = pa.OSFile(path, mode="wb")

    def finish(self, rows: int) -> None:
        with fs.storage_errors("write", self.name):
            self.sink.close()
            size = os.stat(self.name).st_size
        self._finished(ExportedFile(self.name, rows, size))

    def discard(self) -> None:
        with suppress(OSError):
            self.sink.close()
        fs.remove_file(self.name)


def export(
    tasks: Sequence[ReadTask],
    columns: Sequence[Column],
    output: Output,
    settings: ExportSettings,
    *,
    resources: Resources,
    activity: Activity,
) -> None:
    """Run tasks and write what they give, in their order within a file.

    Args:
        tasks: of one query.
        columns: of its result.
        output: where files are written; one that is not finished is discarded on an error.
        settings: how.
        resources: what one task alone may use; several run on one thread each.
        activity: what this is a part of; stopping it stops the export.

    Raises:
        StorageFullError: no space is left in the folder.
        SnapshotExpiredError: data has been removed since the tasks were planned.
    """
    waiting = iter(tasks)
    guard = threading.Lock()
    failed = threading.Event()
    threads = min(len(tasks), resources.thread_count)
    share = resources if threads <= 1 else Resources(min(EXECUTOR_MEMORY, resources.memory_bytes), 1)

    def work() -> None:
        writer = _FileWriter(output, columns, settings)
        try:
            while not failed.is_set():
                with guard:
                    task = next(waiting, None)
                if task is None:
                    break
                for batch in read_task(task, resources=share, activity=activity):
                    if failed.is_set():
                        break
                    writer.write(batch)
            writer.close()
        except BaseException:
            failed.set()
            raise
        finally:
            writer.discard()

    if threads <= 1:
        work()
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="export") as pool:
        for future in [pool.submit(work) for _ in range(threads)]:
            future.result()


class _FileWriter:
    """Batches to files of about a size, one after another."""

    def __init__(
        self,
        output: Output,
        columns: Sequence[Column],
        settings: ExportSettings,
    ) -> None:
        self._output = output
        self._columns = tuple(columns)
        self._schema = storage_text_schema(columns)
        self._settings = settings
        self._row_group_bytes = min(_ROW_GROUP_BYTES, settings.file_bytes)
        self._file: OutputFile | None = None
        self._writer: pq.ParquetWriter | None = None
        self._gathered: list[pa.RecordBatch] = []
        self._gathered_rows = 0
        self._gathered_bytes = 0
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        # Wide rows make large batches, and files end only between row groups.
        parts = -(-batch.nbytes // self._row_group_bytes) or 1
        rows = -(-batch.num_rows // parts) or 1
        for start in range(0, batch.num_rows, rows):
            self._take(batch.slice(start, rows))

    def _take(self, batch: pa.RecordBatch) -> None:
        self._gathered.append(batch)
        self._gathered_rows += batch.num_rows
        self._gathered_bytes += batch.nbytes
        if self._gathered_rows >= _ROW_GROUP_ROWS or self._gathered_bytes >= self._row_group_bytes:
            self._flush()
            if self._file is not None and self._file.sink.tell() >= self._settings.file_bytes:
                self._finish()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._gathered_rows:
            return
        table = pa.Table.from_batches(self._gathered, self._schema)
        if self._file is None:
            self._file = self._output.open()
        with fs.storage_errors("write", self._file.name):
            if self._writer is None:
                self._writer = parquet_writer(
                    self._file.sink, self._columns, table, compression=self._settings.compression
                )
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._rows += table.num_rows
        self._gathered, self._gathered_rows, self._gathered_bytes = [], 0, 0

    def _finish(self) -> None:
        if self._writer is None or self._file is None:
            return
        with fs.storage_errors("write", self._file.name):
            self._writer.close()
        self._file.finish(self._rows)
        self._writer, self._file, self._rows = None, None, 0

    def close(self) -> None:
        """Finish the last file."""
        self._flush()
        self._finish()

    def discard(self) -> None:
        """Remove a file that is not finished."""
        if self._file is None:
            return
        if self._writer is not None:
            with suppress(Exception):
                self._writer.close()
            self._writer.is_open = False  # or it would try again when it is collected
        self._file.discard()
        self._writer, self._file = None, None


# -- reading, on executors ------------------------------------------------------------------------


@dataclass(frozen=True)
class FileTask:
    """One exported file on a disk that executors see."""

    path: str

    def batches(self, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        """See :func:`read_file_task`; the file has the columns."""
        return read_file_task(self)

    def is_present(self) -> bool:
        """Whether the file can still be read."""
        return os.path.exists(self.path)


def read_file_task(task: FileTask) -> Iterator[pa.RecordBatch]:
    """The batches of an exported file, in the form of :func:`read_task`'s.

    Raises:
        SnapshotExpiredError: it has expired.
    """
    try:
        file = open(task.path, "rb")  # noqa: SIM115 - closed below, when the last batch has been read
    except FileNotFoundError:
        raise SnapshotExpiredError(
            f"The exported result '{task.path}' is gone: it had been kept for a time only, or this machine "
            "does not see the cluster's directory.",
            remedy="Read again with a new load(), set readExpiry for longer, or give transientStorage.",
        ) from None
    with file:
        yield from read_parquet(file)


def read_parquet(file: IO[bytes]) -> Iterator[pa.RecordBatch]:
    """The batches of an exported file; memory holds one row group's columns at most."""
    import pyarrow.parquet as pq

    # Buffered: pages are read as they are needed, not whole column chunks.
    with pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as parquet:
        yield from parquet.iter_batches(batch_size=_BATCH_ROWS)


def stream_parquet(
    file: io.RawIOBase, columns: Callable[[pa.Schema], list[str]] | None = None
) -> Iterator[pa.RecordBatch]:
    """The same of a file that is better read from its beginning to its end, a row group at a time.

    Args:
        file: the file.
        columns: picks columns by name, of the file's schema; all by default.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(file, pre_buffer=True) as parquet:
        names = None if columns is None else columns(parquet.schema_arrow)
        for group in range(parquet.num_row_groups):
            yield from parquet.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=names)
