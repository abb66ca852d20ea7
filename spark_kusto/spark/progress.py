"""One line that says how far a long write is, where someone is looking at it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

_FIRST_AFTER = 2.0
_EVERY = 0.5


def _interactive(stream: TextIO) -> bool:
    if os.environ.get("SPARK_KUSTO_PROGRESS") == "0":
        return False
    return stream.isatty() or "ipykernel" in sys.modules


@dataclass
class Staged:
    """What is in a staging directory so far.

    Attributes:
        rows: in finished files, and in the finished row groups of others.
        bytes: of all files.
        extents: files that are finished.
    """

    rows: int = 0
    bytes: int = 0
    extents: int = 0


@dataclass
class Watch:
    """Looks at a staging directory again and again; reads each finished file's footer once."""

    directory: str
    _rows: dict[str, int] = field(default_factory=dict)

    def look(self) -> Staged:
        """What is there now."""
        from spark_kusto.client.watching import rows_of

        staged = Staged()
        for path, _, names in os.walk(self.directory):
            for name in names:
                if not name.endswith(".parquet"):
                    continue
                file = os.path.join(path, name)
                try:
                    staged.bytes += os.path.getsize(file)
                except OSError:
                    continue
                if name not in self._rows:
                    rows, finished = rows_of(file)
                    if not finished:
                        staged.rows += rows
                        continue
                    self._rows[name] = rows
                staged.rows += self._rows[name]
                staged.extents += 1
        return staged


def line(table: str, staged: Staged, seconds: float) -> str:
    """The line, for so many seconds of writing."""
    megabytes = staged.bytes / 1e6
    return (
        f"writing to {table}: {staged.rows:,} rows, {megabytes:,.1f} MB in {staged.extents} extents,"
        f" {megabytes / max(seconds, 1e-9):,.1f} MB/s"
    )


@contextmanager
def progress(table: str, directory: str | None, stream: TextIO | None = None) -> Iterator[None]:
    """Show rows, MB, extents and rate of what is staged in ``directory`` while the block runs.

    Nothing is printed where the output is not a terminal or a notebook, for writes under two seconds,
    without a directory, or with SPARK_KUSTO_PROGRESS=0.
    """
    out = stream or sys.stderr
    if directory is None or not _interactive(out):
        yield
        return
    done = threading.Event()
    started = time.monotonic()
    width = 0

    def run() -> None:
        nonlocal width
        watch = Watch(directory)
        wait = _FIRST_AFTER
        while not done.wait(wait):
            wait = _EVERY
            text = line(table, watch.look(), time.monotonic() - started)
            width = max(width, len(text))
            out.write(f"\r{text:<{width}}")
            out.flush()

    thread = threading.Thread(target=run, name="kusto-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=1)
        if width:
            out.write("\r" + " " * width + "\r")
            out.flush()
