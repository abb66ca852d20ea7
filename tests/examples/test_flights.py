"""The quickstart and the pipeline on its table, run as a reader runs them, on the real data."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from spark_kusto import connect
from tests.examples.programs import DATABASE, EXAMPLES, run


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flights") / "cluster"


@pytest.fixture(scope="module")
def quickstart(cluster: Path) -> str:
    return run(sys.executable, EXAMPLES / "quickstart.py", cluster)


def test_the_quickstart_brings_every_row_there_and_back(quickstart: str) -> None:
    assert "336,776 rows, 19 columns; 8,255 flights never left" in quickstart
    assert "336,776 rows, all equal to those written" in quickstart


def test_the_quickstart_gets_one_answer_to_one_question(quickstart: str) -> None:
    assert "The two tables are the same, cell by cell." in quickstart
    row = next(line for line in quickstart.splitlines() if line.split()[:1] == ["UA"])
    assert row.split() == ["UA", "40,760", "11.92", "427"] * 2


def test_the_quickstart_shows_that_the_aggregate_was_pushed_down(quickstart: str) -> None:
    pushed = quickstart.partition("What was pushed down")[2]
    assert "| where" in pushed
    assert "| summarize" in pushed
    # The query and nothing behind it.
    assert pushed.partition("\n\n")[0].rstrip().endswith("a2=m3")


def test_the_quickstart_can_be_run_again(quickstart: str, cluster: Path) -> None:
    again = run(sys.executable, EXAMPLES / "quickstart.py", cluster)
    assert "table Flights, 336,776 rows" in again


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
