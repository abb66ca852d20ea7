"""A process killed at any instant leaves every committed row and no other, and nothing that stays behind."""

from __future__ import annotations

import datetime as dt
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from spark_kusto.storage import Database, Root
from tests.storage import crashing
from tests.storage.rows import ingest, read

POINTS = [
    ("initialize.begun", 1),
    ("initialize.begun", 2),
    ("initialize.written", 1),
    ("initialize.written", 2),
    ("database.folders", 1),
    ("database.initialized", 1),
    ("transaction.begun", 1),
    ("transaction.begun", 4),
    ("transaction.written", 1),
    ("transaction.written", 2),
    ("transaction.written", 5),
    ("transaction.written", 19),
    ("transaction.committed", 2),
    ("transaction.committed", 3),
    ("transaction.committed", 7),
    ("begin.recorded", 1),
    ("begin.recorded", 3),
    ("staging.row_group", 2),
    ("staging.written", 5),
    ("staging.synced", 6),
    ("commit.linked", 1),
    ("commit.linked", 5),
    ("commit.synced", 2),
    ("commit.done", 2),
    ("commit.done", 8),
    ("sweep.recorded", 1),
    ("sweep.unlinked", 1),
    ("sweep.recorded", 2),
    ("sweep.unlinked", 5),
]


def start(path: Path, point: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.storage.crashing", str(path), point, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def announced(output: str) -> tuple[set[str], set[str]]:
    """What was tried and what was done."""
    lines = [line.split(" ", 1) for line in output.splitlines()]
    return (
        {value for word, value in lines if word == "try"},
        {value for word, value in lines if word == "done"},
    )


def rows(database: Database) -> Counter[int]:
    if "T" not in database.snapshot().tables:
        return Counter()
    return Counter(read(database, "T", "a"))


def verify(path: Path, output: str) -> Database:
    """Look at what a killed process left, finish its work, and look again."""
    tried, done = announced(output)
    root = Root.open(path)
    database = root.database("NetDefaultDB")
    assert [finding for finding in root.check() if finding.severity == "error"] == []
    found = rows(database)
    assert set(found.values()) <= {3}, "an ingest is there whole or not at all"
    assert {str(value) for value in found} <= tried - {"replace"}
    assert {str(value) for value in found} >= done - {"replace"}
    if "R" in database.snapshot().tables:
        assert read(database, "R") in ([[2]] if "replace" in done else [[1], [2]])
    before = int(database.cursor())
    for value in range(crashing.VALUES):
        result = ingest(
            database,
            "T",
            {"a": [value] * 3, f"extra{value}": [f"x{value}"] * 3},
            extend=True,
            writer_id="w",
            batch_id=value,
        )
        assert result.replayed == (value in found)
    assert int(database.cursor()) >= before
    assert rows(database) == Counter(dict.fromkeys(range(crashing.VALUES), 3))
    for name in (f"extra{value}" for value in range(crashing.VALUES)):
        assert Counter(read(database, "T", name))[""] == 3 * (crashing.VALUES - 1)
    later = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=1)
    root.sweep(later)
    root.sweep(later)
    assert os.listdir(database.staging_path) == []
    live = {Path(e.path).name for t in database.snapshot().tables.values() for e in t.extents}
    assert set(os.listdir(database.extents_path)) == live
    assert list(root.check()) == []
    assert rows(database) == Counter(dict.fromkeys(range(crashing.VALUES), 3))
    return database


@pytest.mark.parametrize(("point", "count"), POINTS, ids=lambda value: str(value))
def test_killed_between_two_steps(tmp_path: Path, point: str, count: int) -> None:
    process = start(tmp_path / "c", point, count)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == -9, f"{point} was passed fewer than {count} times\n{output}\n{errors}"
    verify(tmp_path / "c", output)


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_any_time(tmp_path: Path, seed: int) -> None:
    process = start(tmp_path / "c", "-", 0)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.0, 0.25))
    process.kill()
    # Not communicate(): it reads the pipe itself, past the lines that readline() has already buffered.
    output = process.stdout.read()
    process.wait(timeout=120)
    verify(tmp_path / "c", first + output)


WRITER = """
import sys
from spark_kusto.errors import IngestConflictError
from spark_kusto.storage import Root
from tests.storage.rows import ingest, read
number, path = int(sys.argv[1]), sys.argv[2]
database = Root.open(path).database("NetDefaultDB")
for step in range(12):
    ingest(database, "T", {"writer": [number] * 2, "step": [step] * 2})
    rows = read(database, "T")
    assert rows.count((number, step)) == 2, rows
    if step % 4 == 3:
        table = database.snapshot().table("T")
        try:
            database.merge_extents(table, table.extents[:4])
        except IngestConflictError:
            print("overtaken")
        database.sweep()
"""


def test_several_processes_write_merge_sweep_and_read_one_root(tmp_path: Path) -> None:
    path = tmp_path / "c"
    Root.open(path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(number), str(path)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    database = Root.open(path).database("NetDefaultDB")
    seen = 0
    while any(process.poll() is None for process in processes):
        snapshot = database.snapshot()
        if "T" in snapshot.tables:
            count = len(read(snapshot, "T"))
            assert count % 2 == 0
            assert count >= seen
            seen = count
        time.sleep(0.02)
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    expected = sorted((number, step) for number in range(3) for step in range(12) for _ in range(2))
    assert read(database, "T") == expected
    sequences = [row[2] for row in read(database, "T", hidden=["sequence"])]
    assert len(set(sequences)) == 36
    assert list(Root.open(path).check()) == []
