"""One line that says how far a long write is, where someone is looking at it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_FIRST_AFTER = 2.0
_EVERY = 0.5


def _interactive(stream: TextIO) -> bool:
    if os.environ.get("SPARK_KUSTO_PROGRESS") == "0":
        return False
    return stream.isatty() or "ipykernel" in sys.modules


def _staged(directory: str) -> tuple[int, int]:
    """Files and bytes in a staging directory so far."""
    files = size = 0
    for path, _, names in os.walk(directory):
        for name in names:
            if name.endswith(".parquet"):
                try:
                    size += os.path.getsize(os.path.join(path, name))
                except OSError:
                    continue
                files += 1
    return files, size


@contextmanager
def progress(table: str, directory: str | None, stream: TextIO | None = None) -> Iterator[None]:
    """Show files, MB and rate of what is staged in ``directory`` while the block runs.

    Nothing is printed where the output is not a terminal or a notebook, for writes under two seconds,
    without a directory, or with SPARK_KUSTO_PROGRESS=0.
    """
    out = stream or sys.stderr
    if directory is None or not _interactive(out):
        yield
        return
    done = threading.Event()
    started = time.monotonic()
    shown = threading.Event()

    def run() -> None:
        wait = _FIRST_AFTER
        while not done.wait(wait):
            wait = _EVERY
            files, size = _staged(directory)
            rate = size / 1e6 / (time.monotonic() - started)
            out.write(f"\rwriting to {table}: {files} files, {size / 1e6:,.1f} MB, {rate:,.1f} MB/s ")
            out.flush()
            shown.set()

    thread = threading.Thread(target=run, name="kusto-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=1)
        if shown.is_set():
            out.write("\r" + " " * 79 + "\r")
            out.flush()
