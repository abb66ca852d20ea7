"""DuckDB: one instance a process and root, a cursor a query, locked down.

An instance can read the directories it was opened for and nothing else, loads no extensions, spills
into a directory of the root, and computes in UTC. Nothing is opened before it is used, and what a
fork copied is never touched.
"""

from __future__ import annotations

import atexit
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import (
    CorruptExtentError,
    KustoError,
    QueryError,
    QueryLimitError,
    SnapshotExpiredError,
    StorageError,
    StorageFullError,
    UnsupportedError,
)
from spark_kusto.kql import registry

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from spark_kusto.kql.compiled import PythonFunction

SPILL_FOLDER = ".spill"
"""Directory of the root that DuckDB spills into."""

READER_ROWS = 65_536
"""Rows of a batch in a stream."""

EXECUTOR_MEMORY = 1 << 30
"""Bytes that DuckDB may take in an executor's Python worker."""


@dataclass(frozen=True)
class Resources:
    """What one DuckDB instance may use.

    Attributes:
        memory: bytes; None for half of the machine's.
        threads: None for as many as there are cores.
    """

    memory: int | None = None
    threads: int | None = None

    @property
    def memory_bytes(self) -> int:
        """The limit in bytes."""
        return self.memory if self.memory is not None else machine_memory() // 2

    @property
    def thread_count(self) -> int:
        """The number of threads."""
        if self.threads is not None:
            return self.threads
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def machine_memory() -> int:
    """Bytes of memory that this process may count on: the machine's, or its container's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = int(Path(path).read_text())
        except (OSError, ValueError):
            continue
        total = min(total, limit)
    return total


class Instance:
    """A DuckDB database in memory that queries share; each takes a cursor of its own."""

    def __init__(self, directories: Iterable[str], spill: str | None, resources: Resources) -> None:
        import duckdb

        self.directories = frozenset(directories)
        self.pid = os.getpid()
        self._guard = threading.Lock()
        self._functions: dict[str, PythonFunction] = {}
        settings: dict[str, Any] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": f"{max(resources.memory_bytes >> 20, 64)}MiB",
            "threads": resources.thread_count,
            "preserve_insertion_order": "true",
            # It cannot tell how many rows files have that are read by field id; the writer of SQL can.
            "disabled_optimizers": "join_order,build_side_probe_side",
        }
        if spill is not None:
            settings["temp_directory"] = spill
        self._connection = duckdb.connect(config=settings)
        self._connection.execute("SET TimeZone = 'UTC'")
        # allowed_directories cannot be given on opening, and nothing can be set after the lock.
        allowed = ", ".join(quote(directory.rstrip("/") + "/") for directory in sorted(self.directories))
        self._connection.execute(f"SET allowed_directories = [{allowed}]")
        if spill is None:
            self._connection.execute("SET temp_directory = ''")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own, with its own temporary tables, to be closed by the caller."""
        with self._guard:
            return self._connection.cursor()

    def create_functions(self, functions: Iterable[PythonFunction]) -> None:
        """Make Python functions callable from SQL; those that exist are left alone."""
        for function in functions:
            with self._guard:
                known = self._functions.get(function.sql_name)
                if known == function:
                    continue
                if known is not None:
                    raise AssertionError(f"the SQL name {function.sql_name} stands for two functions")
                row = registry.udf(function)
                # DuckDB's stubs know the enumerations for these, not the texts it takes as well.
                create: Any = self._connection.create_function
                create(
                    row.name,
                    row.run,
                    row.parameters,
                    row.returns,
                    type="arrow",
                    null_handling="special",
                    exception_handling="default",
                )
                self._functions[function.sql_name] = function

    def close(self) -> None:
        """Close it, unless it is another process's."""
        if self.pid == os.getpid():
            self._connection.close()


_instances: dict[tuple[frozenset[str], str | None, Resources], Instance] = {}
_instances_guard = threading.Lock()


def shared_instance(directories: Iterable[str], spill: str | None, resources: Resources) -> Instance:
    """The instance of this process for these directories; opened when first asked for."""
    key = (frozenset(directories), spill, resources)
    with _instances_guard:
        found = _instances.get(key)
        if found is None or found.pid != os.getpid():
            found = Instance(key[0], spill, resources)
            _instances[key] = found
        return found


def _forget_instances() -> None:
    # A forked child shares the parent's memory of them, not their threads: they must never be closed there.
    global _instances_guard
    _instances_guard = threading.Lock()
    _forgotten.append(dict(_instances))
    _instances.clear()


def _close_instances() -> None:
    for instance in _instances.values():
        instance.close()
    _instances.clear()


_forgotten: list[dict[tuple[frozenset[str], str | None, Resources], Instance]] = []
os.register_at_fork(after_in_child=_forget_instances)
atexit.register(_close_instances)


def quote(text: str) -> str:
    """A text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def stream(
    cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any], rows: int = READER_ROWS
) -> pa.RecordBatchReader:
    """Run one statement and stream its result. The first batch may take the whole run to come."""
    relation = cursor.sql(sql, params=dict(parameters)) if parameters else cursor.sql(sql)
    if relation is None:
        raise AssertionError("the statement gives no result")
    if hasattr(relation, "to_arrow_reader"):
        return relation.to_arrow_reader(rows)
    return relation.fetch_record_batch(rows)


# -- errors -----------------------------------------------------------------------------------------

_KIND = re.compile(r"^\s*([A-Za-z ]+?) Error: ", re.MULTILINE)
_PYTHON_ERROR = re.compile(r"(?:while executing the UDF|exception occurred)[^:]*: (\w+): (.*)", re.DOTALL)
_FILE = re.compile(r"""["']?(/[^"'\n]+?\.parquet)["']?""")


class Interrupted(Exception):
    """The statement was stopped from outside; the caller knows why."""


def translate(error: BaseException, extents: Mapping[str, str] | None = None) -> Exception:
    """The error to raise for one that DuckDB, or Arrow on its behalf, raised.

    Args:
        error: what was caught.
        extents: extent ids by path, to name the extent whose file is at fault.
    """
    if isinstance(error, KustoError | Interrupted):
        return error
    text = str(error)
    kind_match = _KIND.search(text)
    kind = kind_match.group(1).strip().lower() if kind_match else type(error).__name__.lower()
    detail = text[kind_match.end() :] if kind_match else text
    detail = detail.split("\n\nLINE ", 1)[0].strip()
    if "interrupt" in kind:
        return Interrupted()
    python = _PYTHON_ERROR.search(text)
    if python is not None:
        message = python.group(2).split("\n\nAt:")[0].strip()
        if python.group(1) == "UnsupportedError":
            return UnsupportedError(message)
        return QueryError(f"A function of the query failed: {message}")
    if "out of memory" in kind or "failed to allocate" in text:
        return QueryLimitError(
            f"The query needs more memory than it may use: {detail.splitlines()[0]}",
            code="E_LOW_MEMORY_CONDITION",
            remedy="Filter earlier, take fewer columns, or give it more: connect(path, memory=BYTES).",
        )
    if "no space left" in text.lower() or "disk full" in text.lower():
        return StorageFullError(
            f"The query's intermediate data does not fit on the disk: {detail}",
            remedy="Free space on the disk of the cluster's directory.",
        )
    if (
        "io" in kind.split()
        or "parquet" in text.lower()
        or "snappy" in text.lower()
        or "zstd" in text.lower()
    ):
        return _file_error(detail, extents or {})
    if kind in ("conversion", "out of range", "outofrange", "invalid input"):
        return QueryError(f"The query failed on a value: {detail}", permanent=True)
    return QueryError(f"The query failed while it ran: {detail}", permanent=True)


def _file_error(detail: str, extents: Mapping[str, str]) -> StorageError | QueryError:
    found = _FILE.search(detail)
    path = found.group(1) if found else None
    if path is None:
        broken = next((known for known in extents if not os.path.exists(known)), None)
        path = broken
    if path is None:
        return QueryError(f"The query failed while it read: {detail}")
    if not os.path.exists(path):
        return missing_file(path)
    extent = extents.get(path)
    return CorruptExtentError(
        f"The file of extent {extent or Path(path).stem} cannot be read: {detail}",
        extent_id=extent or Path(path).stem,
        path=path,
        remedy="Restore the file from a backup, or drop the extent: .drop extent <id>. "
        "'spark-kusto check' lists every damaged extent.",
    )


def missing_file(path: str) -> StorageError:
    """The error for an extent's file that is not there: removed since, or a root not visible here."""
    folder = Path(path).parent
    if not folder.is_dir():
        return StorageError(
            f"The embedded cluster's directory '{folder.parent.parent}' is not visible on this machine "
            f"({os.uname().nodename}).",
            remedy="Executors must see the path under the same name, or read through blobs: "
            "give transientStorage and readMode=ForceDistributedMode.",
        )
    return SnapshotExpiredError(
        f"The file '{path}' is gone: the snapshot that names it has outlived the grace period "
        "of extents that were dropped or merged since.",
        remedy="Read again, so that a new snapshot is planned.",
    )


def describe(cursor: duckdb.DuckDBPyConnection, sql: str) -> Iterator[str]:
    """Lines of DuckDB's own plan of a statement."""
    for row in cursor.sql(f"EXPLAIN {sql}").fetchall():
        yield from str(row[1]).splitlines()
