"""The example stream, submitted as a reader submits it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from spark_kusto import connect
from tests.examples.programs import DATABASE, EXAMPLES, run


def test_a_stream_goes_in_and_out_and_on_after_a_stop(tmp_path: Path) -> None:
    """Twice from one checkpoint: nothing is read again, and nothing that came meanwhile is left out."""
    folder, root = tmp_path / "in", tmp_path / "cluster"
    submit = Path(sys.executable).with_name("spark-submit")
    job = [submit, "--master", "local[2]", EXAMPLES / "streaming_job.py", "--cluster", root]
    given = ["--checkpoint", tmp_path / "checkpoint", "--folder", folder, "--seconds", "5"]
    for first in (0, 300):
        _readings(folder, first, 300)
        run(*job, *given)
    with connect(root) as opened:
        found = opened.query(
            DATABASE, "Readings | summarize count(), count_distinct(number), min(number), max(number)"
        ).rows
        assert found == [(600, 600, 0, 599)]
        alarms = opened.query(DATABASE, "Alarms | project number | order by number asc").rows
    assert [row[0] for row in alarms] == [number for number in range(600) if number % 100 > 90]


def _readings(folder: Path, first: int, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for start in range(first, first + count, 100):
        lines = (
            json.dumps(
                {
                    "number": number,
                    "machine": f"machine {number % 50}",
                    "celsius": float(number % 100),
                    "measured": "2024-05-01T10:00:00Z",
                }
            )
            for number in range(start, start + 100)
        )
        (folder / f"{start}.json").write_text("\n".join(lines))


def test_a_stream_of_made_up_readings(tmp_path: Path) -> None:
    submit = Path(sys.executable).with_name("spark-submit")
    job = [submit, "--master", "local[2]", EXAMPLES / "streaming_job.py", "--cluster", tmp_path / "cluster"]
    printed = run(*job, "--checkpoint", tmp_path / "checkpoint", "--rate", "200", "--seconds", "8")
    row = next(line for line in printed.splitlines() if line.startswith("|") and "Readings" not in line)
    readings, numbers, hot, alarms, rows = (int(part) for part in row.strip("|").split("|"))
    assert readings == numbers >= 200
    assert hot == alarms == rows > 0
