"""The command `spark-kusto`, on embedded clusters."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spark_kusto import connect
from spark_kusto.cli import main
from spark_kusto.storage import Root

DATABASE = "NetDefaultDB"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A cluster with one table of three rows."""
    path = str(tmp_path / "cluster")
    rows = pa.table(
        {
            "Word": ["one", 'two, "quoted"', ""],
            "Number": pa.array([1, None, 3], pa.int64()),
            "Real": [0.5, float("nan"), None],
            "When": pa.array([0, 1_500_000, None], pa.timestamp("us", "UTC")),
            "Bag": pa.array([{"a": ["1", "x"]}, None, {"a": []}]),
        }
    )
    with connect(path) as cluster:
        cluster.ingest(DATABASE, "Words", rows, create=True)
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_a_query_prints_a_table_with_its_count_and_time(root: str, run: Run) -> None:
    status, out, _ = run("query", root, DATABASE, "Words | order by Word asc | project Word, Number")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].split() == ["Word", "Number"]
    assert lines[2].strip() == "3"
    assert lines[3].split() == ["one", "1"]
    assert lines[4] == 'two, "quoted"    null'
    assert lines[5].startswith("3 rows, ")


def test_only_the_first_rows_are_shown_and_all_are_counted(root: str, run: Run) -> None:
    _, out, _ = run("query", root, DATABASE, "range x from 1 to 600000 step 1", "--rows", "2")
    lines = out.splitlines()
    assert [line.strip() for line in lines[2:4]] == ["1", "2"]
    assert lines[4].startswith("600,000 rows, the first 2 shown (--rows 0 shows all), ")


def test_csv(root: str, run: Run) -> None:
    _, out, _ = run("query", root, DATABASE, "Words | order by Number asc nulls last", "--format", "csv")
    assert list(csv.reader(io.StringIO(out))) == [
        ["Word", "Number", "Real", "When", "Bag"],
        ["one", "1", "0.5", "1970-01-01T00:00:00.0000000Z", '{"a":["1","x"]}'],
        ["", "3", "", "", '{"a":[]}'],
        ['two, "quoted"', "", "NaN", "1970-01-01T00:00:01.5000000Z", ""],
    ]


def test_json(root: str, run: Run) -> None:
    _, out, _ = run("query", root, DATABASE, "Words | order by Number asc nulls last", "--format", "json")
    found = json.loads(out)
    assert found[0] == {
        "Word": "one",
        "Number": 1,
        "Real": 0.5,
        "When": "1970-01-01T00:00:00.0000000Z",
        "Bag": {"a": ["1", "x"]},
    }
    assert found[2]["Real"] == "NaN"
    assert found[2]["Bag"] is None


def test_parquet_goes_to_a_file(root: str, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "words.parquet"
    status, out, _ = run(
        "query", root, DATABASE, "Words | count", "--format", "parquet", "--output", str(file)
    )
    assert (status, out) == (0, "")
    assert pq.read_table(file).column("Count").to_pylist() == [3]


def test_several_results_follow_one_another(root: str, run: Run) -> None:
    _, out, _ = run("query", root, DATABASE, "print a = 1; print b = 2", "--format", "csv")
    assert out == "a\n1\n\nb\n2\n"


def test_parameters_are_values(root: str, run: Run) -> None:
    query = "declare query_parameters(wanted: string); Words | where Word == wanted | project Number"
    _, out, _ = run("query", root, DATABASE, query, "--format", "csv", "--parameter", 'wanted=two, "quoted"')
    assert out == 'Number\n""\n'


def test_the_text_comes_from_a_file(root: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "query.kql").write_text("Words | count", encoding="utf-8")
    _, out, _ = run("query", root, DATABASE, f"@{tmp_path}/query.kql", "--format", "csv")
    assert out == "Count\n3\n"


def test_a_leading_dot_makes_it_a_command(root: str, run: Run) -> None:
    _, out, _ = run("query", root, DATABASE, ".show tables | project TableName", "--format", "csv")
    assert out == "TableName\nWords\n"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Word | count", "Did you mean 'Words'?"),
        ("Words | takee 2", "^^^^^"),
        ("@missing.kql", "'missing.kql'"),
    ],
)
def test_errors_are_messages_with_status_2(root: str, run: Run, query: str, expected: str) -> None:
    status, out, err = run("query", root, DATABASE, query)
    assert (status, out) == (2, "")
    assert err.startswith("spark-kusto: ")
    assert expected in err
    assert "Traceback" not in err


def test_asking_creates_no_cluster(tmp_path: Path, run: Run) -> None:
    missing = tmp_path / "missing"
    status, _, err = run("query", str(missing), DATABASE, "print 1")
    assert status == 2
    assert "does not exist" in err
    assert not missing.exists()


def test_a_directory_by_its_bare_name(root: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(root).parent)
    assert run("query", "cluster", DATABASE, "Words | count", "--format", "csv")[1] == "Count\n3\n"


def test_check_says_that_all_is_well(root: str, run: Run) -> None:
    status, out, _ = run("check", root)
    assert status == 0
    assert out.startswith("NetDefaultDB.Words: 1 extent, 3 rows, ")
    assert "nothing is wrong" in out


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_check_finds_damaged_extents(root: str, run: Run, damage: str) -> None:
    opened = Root.open(root, create=False)
    (extent,) = opened.database(DATABASE).snapshot().table("Words").extents
    opened.close()
    path = Path(extent.path)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20])
    status, out, _ = run("check", root)
    assert status == 1
    assert "1 damaged extent" in out
    assert extent.path in out


def test_check_refuses_what_is_no_cluster(tmp_path: Path, run: Run) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    status, _, err = run("check", str(tmp_path))
    assert status == 2
    assert str(tmp_path) in err


def test_maintain(root: str, run: Run) -> None:
    status, out, _ = run("maintain", root)
    assert status == 0
    assert out


def test_cleanup_of_a_root_sweeps_what_nobody_needs(root: str, run: Run) -> None:
    status, out, _ = run("cleanup", root)
    assert status == 0
    assert out == f"0 files or folders removed from {root}\n"
    assert run("query", root, DATABASE, "Words | count", "--format", "csv")[1] == "Count\n3\n"


def test_the_command_is_installed_and_ends_quietly_when_its_reader_does(root: str) -> None:
    command = Path(sys.executable).with_name("spark-kusto")
    done = subprocess.run(
        f"'{command}' query '{root}' {DATABASE} 'range x from 1 to 100000 step 1' --format csv | head -n 2",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert done.stdout == "x\n1\n"
    assert done.stderr == ""
