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
few = spark.range(0, 60, 1, 4).mapInArrow(slow, "id bigint")
result = write_kusto(rows, root, DATABASE, "T", tableCreateOptions="CreateIfNotExist")
print("T", result.status, result.rows, result.bytes, result.extents, result.cursor, result.duration)
write(spark.range(0, 70, 1, 2), root, "ByWriter")

print("TURNED OFF", file=sys.stderr, flush=True)
os.environ["SPARK_KUSTO_PROGRESS"] = "0"
write_kusto(few, root, DATABASE, "Quiet", tableCreateOptions="CreateIfNotExist")
write(few, root, "ByWriter")
del os.environ["SPARK_KUSTO_PROGRESS"]

# What is no terminal.
os.dup2(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT), 2)
write_kusto(few, root, DATABASE, "Piped", tableCreateOptions="CreateIfNotExist")
"""
LINE = re.compile(r"\rwriting to (\w+): ([\d,]+) rows, [\d.,]+ MB in (\d+) extents, [\d.,]+ MB/s")


def _run(folder: Path) -> tuple[str, str, str]:
    """What the job prints, what its terminal shows, and what it says in the end, to a file."""
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(script(folder, CODE)), str(folder / "cluster"), str(folder / "errors")],
        env=environment(),
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
    shown = b"".join(parts).decode(errors="replace")
    assert process.returncode == 0, shown[-4000:]
    return printed, shown, (folder / "errors").read_text()


def test_a_write_says_how_far_it_is_where_someone_looks(tmp_path: Path) -> None:
    printed, shown, errors = _run(tmp_path)
    seen: dict[str, list[tuple[int, int]]] = {}
    for table, rows, extents in LINE.findall(shown):
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
    assert f"INFO spark_kusto.spark: {said}" in shown
    assert re.search(r"INFO spark_kusto.spark: write to NetDefaultDB.ByWriter: committed, 70 rows", shown)
    # Turned off, and not for a terminal: nothing but the log.
    # Spark's own log, in which df.write has its figures, stays with the terminal.
    logged = re.compile(r"INFO spark_kusto.spark: write to NetDefaultDB.(\w+): committed, 60 rows")
    off = shown.partition("TURNED OFF")[2]
    assert logged.findall(off) == ["Quiet", "ByWriter"]
    assert logged.findall(errors) == ["Piped"]
    assert "writing to" not in off + errors
