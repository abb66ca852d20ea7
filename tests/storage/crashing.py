"""Run by the crash tests in a process of its own: changes a cluster, and dies where it is told to.

    python -m tests.storage.crashing ROOT POINT COUNT

Dies by SIGKILL when POINT is passed for the COUNT-th time (never, if POINT is ``-``). Every value is
announced on standard output before its commit begins (``try``) and after it has returned (``done``).
"""

from __future__ import annotations

import os
import signal
import sys

from spark_kusto.storage import Root
from spark_kusto.storage import files as fs
from tests.storage.rows import ingest

VALUES = 6


def die_at(point: str, count: int) -> None:
    """Have this process killed when it passes a point for the count-th time."""
    left = count

    def observe(passed: str) -> None:
        nonlocal left
        if passed == point:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    fs.observer = observe


def say(word: str, value: object) -> None:
    """Announce something at once."""
    print(word, value, flush=True)


def main(path: str, point: str, count: int) -> None:
    """Change the cluster at a path, step by step."""
    die_at(point, count)
    database = Root.open(path).database("NetDefaultDB")
    say("opened", path)
    for value in range(VALUES):
        say("try", value)
        ingest(
            database,
            "T",
            {"a": [value] * 3, f"extra{value}": [f"x{value}"] * 3},
            extend=True,
            writer_id="w",
            batch_id=value,
            row_group_rows=1,
            target_bytes=1,
        )
        say("done", value)
    say("try", "replace")
    ingest(database, "R", {"a": [1]}, replace_extents="all")
    ingest(database, "R", {"a": [2]}, replace_extents="all")
    say("done", "replace")
    database.sweep(grace_seconds=0)
    say("swept", "")
    table = database.snapshot().table("T")
    database.merge_extents(table, table.extents)
    say("merged", "")
    database.sweep(grace_seconds=0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
