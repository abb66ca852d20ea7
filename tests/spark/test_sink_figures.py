"""What a write says of itself: a line while it runs, where someone looks, and figures in the log."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

from tests.spark.jobs import environment, script

CODE = """
import logging
logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
logging.getLogger("spark_kusto").setLevel(logging.INFO)
root = sys.argv[1]
spark = session()
spark.sparkContext.setLogLevel("ERROR")


def slow(batches):
    for batch in batches:
        time.sleep(1.5)
        yield batch


rows = spark.range(0, 20_000, 1, 8).mapInArrow(slow, "id bigint")
result = write_kusto(rows, root, DATABASE, "T", tableCreateOptions="CreateIfNotExist")
print("T", result.status, result.rows, result.bytes, result.extents, result.cursor, result.duration)
write(spark.range(0, 70, 1, 2), root, "ByWriter")
"""
LINE = re.compile(r"\rwriting to (\w+): ([\d,]+) rows, [\d.,]+ MB in (\d+) extents, [\d.,]+ MB/s")


def _run(folder: Path, terminal: bool, **more: str) -> tuple[str, str]:
    """The job's output and its errors, which go to a terminal or into a pipe."""
    here, there = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [sys.executable, str(script(folder, CODE)), str(folder / "cluster")],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=there,
        text=True,
    )
    os.close(there)
    parts: list[bytes] = []

    def read() -> None:
        while True:
            try:
                part = os.read(here, 4096)
            except OSError:
                return
            if not part:
                return
            parts.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    printed, _ = process.communicate(timeout=600)
    reader.join(30)
    os.close(here)
    errors = b"".join(parts).decode(errors="replace")
    assert process.returncode == 0, errors[-4000:]
    return printed, errors


def test_a_terminal_shows_how_far_a_write_is(tmp_path: Path) -> None:
    printed, errors = _run(tmp_path, terminal=True)
    seen: dict[str, list[tuple[int, int]]] = {}
    for table, rows, extents in LINE.findall(errors):
        seen.setdefault(table, []).append((int(rows.replace(",", "")), int(extents)))
    # Rows are counted as their tasks end.
    assert seen["T"] == sorted(seen["T"])
    assert 0 < seen["T"][-1][0] <= 20_000
    assert 0 < seen["T"][-1][1] <= 8
    # The figures are what the function returns and the log has.
    figures = re.search(r"^T committed 20000 (\d+) 8 (\d+) \d", printed, re.MULTILINE)
    assert figures is not None, printed
    size, cursor = figures.groups()
    said = f"write to NetDefaultDB.T: committed, 20000 rows, {size} bytes, 8 extents, cursor {cursor}"
    assert f"INFO spark_kusto.spark: {said}" in errors
    assert re.search(r"INFO spark_kusto.spark: write to NetDefaultDB.ByWriter: committed, 70 rows", errors)


def test_a_pipe_shows_nothing_but_the_log(tmp_path: Path) -> None:
    _, errors = _run(tmp_path, terminal=False)
    assert "writing to" not in errors
    assert errors.count("INFO spark_kusto.spark: write to") == 2


def test_the_line_can_be_turned_off(tmp_path: Path) -> None:
    _, errors = _run(tmp_path, terminal=True, SPARK_KUSTO_PROGRESS="0")
    assert "writing to" not in errors
