"""Streams out of tables: bounded batches, the lag, kills, schema changes, on every version of Spark."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.spark.conftest import ADMISSION, DATABASE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from spark_kusto.client import Cluster


def _append(cluster: Cluster, first: int, count: int, table: str = "S") -> None:
    data = pa.table({"id": pa.array(range(first, first + count), pa.int64())})
    cluster.ingest(DATABASE, table, data, create=True)


class Collected:
    """A query whose batches are lists of ids."""

    def __init__(self, spark: SparkSession, root: str, checkpoint: Path) -> None:
        self._spark, self._root, self._checkpoint = spark, root, checkpoint
        self.batches: dict[int, list[int]] = {}
        self.during: Callable[[int], None] = lambda batch: None
        self.query: StreamingQuery

    def _load(self, batch: DataFrame, number: int) -> None:
        self.during(number)
        self.batches[number] = sorted(row["id"] for row in batch.select("id").collect())

    def start(
        self, query: str = "S", trigger: dict[str, Any] | None = None, **options: object
    ) -> StreamingQuery:
        reader = self._spark.readStream.format("kusto").options(
            kustoCluster=self._root, kustoDatabase=DATABASE
        )
        for name, value in options.items():
            reader = reader.option(name, str(value))
        self.query = (
            reader.option("kustoQuery", query)
            .load()
            .writeStream.foreachBatch(self._load)
            .option("checkpointLocation", str(self._checkpoint))
            .trigger(**(trigger or {"processingTime": "50 milliseconds"}))
            .start()
        )
        return self.query

    def until(self, *ids: int) -> None:
        """Wait until these ids have come."""
        deadline = time.monotonic() + 120
        while not set(ids) <= set(self.ids) and time.monotonic() < deadline:
            if self.query.exception() is not None:
                raise AssertionError(str(self.query.exception()))
            time.sleep(0.05)
        assert set(ids) <= set(self.ids)

    @property
    def ids(self) -> list[int]:
        return [i for _, batch in sorted(self.batches.items()) for i in batch]

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for _, batch in sorted(self.batches.items()) if batch]


@pytest.fixture
def collected(spark: SparkSession, root: str, tmp_path: Path) -> Collected:
    return Collected(spark, root, tmp_path / "checkpoint")


def test_batches_are_bounded_also_after_a_restart(cluster: Cluster, collected: Collected) -> None:
    for first in range(0, 50, 5):
        _append(cluster, first, 5)
    query = collected.start(maxRowsPerTrigger=10)
    collected.until(49)
    assert collected.sizes == ([10] * 5 if ADMISSION else [50])
    for first in range(50, 80, 5):
        _append(cluster, first, 5)
    collected.until(79)
    query.stop()
    assert collected.ids == list(range(80))
    assert max(collected.sizes[5 if ADMISSION else 1 :]) <= 10
    # Another run, by bytes, with a commit that is larger than the bound: it comes whole.
    before = len(collected.sizes)
    _append(cluster, 80, 5)
    query = collected.start(maxBytesPerTrigger=10)
    collected.until(84)
    _append(cluster, 85, 1000)
    _append(cluster, 1085, 5)
    collected.until(1089)
    query.stop()
    assert collected.sizes[before:] == [5, 1000, 5]
    assert collected.ids == list(range(1090))


@pytest.mark.parametrize("trigger", ["once", "availableNow"])
def test_once_and_available_now_read_what_there_is(
    cluster: Cluster, collected: Collected, trigger: str
) -> None:
    for first in range(0, 30, 10):
        _append(cluster, first, 10)

    def more(batch: int) -> None:
        if batch == 0:
            _append(cluster, 1000, 10)

    collected.during = more
    query = collected.start(trigger={trigger: True}, maxRowsPerTrigger=10)
    assert query.awaitTermination(120)
    assert query.exception() is None
    # Rows that came while it ran are for the next run.
    assert collected.ids == list(range(30))
    if trigger == "availableNow" and ADMISSION:
        assert collected.sizes == [10, 10, 10]
    collected.during = lambda batch: None
    _append(cluster, 1010, 10)
    query = collected.start(trigger={trigger: True}, maxRowsPerTrigger=10)
    assert query.awaitTermination(120)
    assert collected.ids == [*range(30), *range(1000, 1020)]
    # Nothing new: nothing comes, nothing fails.
    query = collected.start(trigger={trigger: True})
    assert query.awaitTermination(120)
    assert query.exception() is None
    assert len(collected.ids) == 50


def test_progress_shows_how_far_behind_the_stream_is(cluster: Cluster, collected: Collected) -> None:
    for first in range(0, 30, 10):
        _append(cluster, first, 10)
    newest = cluster.cursor(DATABASE)
    cluster.execute(DATABASE, ".create table Elsewhere (a: long)")
    query = collected.start(maxRowsPerTrigger=10)
    collected.until(29)
    query.processAllAvailable()  # the progress of the last batch comes after its rows
    query.stop()
    sources = [p["sources"][0] for p in query.recentProgress if p["numInputRows"]]

    def offset(source: dict[str, Any], name: str) -> dict[str, Any]:
        # Older versions of Spark give the text of what they read from JSON.
        found: dict[str, Any] = ast.literal_eval(str(source[name]))
        return found

    ends = [offset(source, "endOffset") for source in sources]
    moments = [end["committed"] for end in ends]
    assert moments == sorted(set(moments))
    assert ends[-1]["cursor"] == newest
    if ADMISSION:
        assert len(ends) == 3
        # The newest commit of the table, also where others were written to since.
        assert [offset(source, "latestOffset") for source in sources] == [ends[-1]] * 3


def test_a_cursor_to_start_from_and_parameters(cluster: Cluster, collected: Collected) -> None:
    _append(cluster, 0, 10)
    cursor = cluster.cursor(DATABASE)
    _append(cluster, 10, 10)
    query = "declare query_parameters(least: long); S | where id >= least or id < 5"
    running = collected.start(query, startingCursor=cursor, queryParametersJson='{"least": 15}')
    collected.until(19)
    _append(cluster, 20, 3)
    collected.until(22)
    running.stop()
    assert collected.ids == [15, 16, 17, 18, 19, 20, 21, 22]


def test_columns_come_and_go(cluster: Cluster, collected: Collected) -> None:
    _append(cluster, 0, 10)
    collected.start()
    collected.until(9)
    cluster.execute(DATABASE, ".alter-merge table S (added: string)")
    _append(cluster, 10, 5)
    collected.until(14)
    cluster.execute(DATABASE, ".drop column S.id")
    cluster.ingest(DATABASE, "S", pa.table({"added": ["x"]}))
    with pytest.raises(Exception, match="not removed or renamed"):
        collected.query.awaitTermination(120)
    assert collected.ids == list(range(15))


def test_a_table_that_is_made_anew_ends_its_stream(cluster: Cluster, collected: Collected) -> None:
    _append(cluster, 0, 10)
    collected.start()
    collected.until(9)
    cluster.execute(DATABASE, ".drop table S")
    _append(cluster, 100, 10)
    # Between the drop and the new table there is none.
    with pytest.raises(Exception, match=r"dropped and created again|'S'"):
        collected.query.awaitTermination(120)
    with pytest.raises(Exception, match="Start the query with a new checkpoint"):
        collected.start(trigger={"availableNow": True}).awaitTermination(120)
    assert collected.ids == list(range(10))


JOB = """
import os, signal, sys
from pyspark.sql import SparkSession
from spark_kusto import write_kusto
root, checkpoint, moment = sys.argv[1:]
spark = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
         .config("spark.driver.host", "127.0.0.1").getOrCreate())
stream = (spark.readStream.format("kusto")
          .options(kustoCluster=root, kustoDatabase="NetDefaultDB", kustoQuery="S", maxRowsPerTrigger=10)
          .load())

def load(batch, number):
    if moment == "planned":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    write_kusto(batch, root, "NetDefaultDB", "D", tableCreateOptions="CreateIfNotExist", batch_id=number)
    if moment == "written":
        os.killpg(os.getpgrp(), signal.SIGKILL)

query = (stream.writeStream.foreachBatch(load).option("checkpointLocation", checkpoint)
         .trigger(processingTime="50 milliseconds").start())
query.processAllAvailable()
query.stop()
print("read all")
"""


@pytest.mark.timeout(900)
def test_a_driver_killed_between_planning_and_commit(root: str, cluster: Cluster, tmp_path: Path) -> None:
    """kill -9 when a batch is planned, and when it is written but not in the checkpoint; then merges."""
    for first in range(0, 40, 5):
        _append(cluster, first, 5)
    job = tmp_path / "job.py"
    job.write_text(JOB)
    cluster.execute(DATABASE, ".create table D (id: long)")
    first_batch = 10 if ADMISSION else 40
    for moment, there in (("planned", 0), ("written", first_batch), ("never", 60)):
        done = subprocess.run(
            [sys.executable, str(job), root, str(tmp_path / "checkpoint"), moment],
            env={**os.environ, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            timeout=300,
            start_new_session=True,
            check=False,
        )
        if moment == "never":
            assert "read all" in done.stdout, done.stderr[-3000:]
        else:
            assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
        rows = cluster.query(DATABASE, "D | project id | order by id asc").rows
        assert [row[0] for row in rows] == list(range(there))
        extents = cluster.execute(DATABASE, ".show table S extents | project ExtentId").rows
        cluster.execute(DATABASE, f".merge table S ({', '.join(repr(str(row[0])) for row in extents)})")
        if moment == "planned":
            _append(cluster, 40, 20)


def test_a_table_that_was_emptied_between_two_runs(
    spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path
) -> None:
    """Spark before 4.2 does not say where a stream stands, and is told a position behind it."""
    from spark_kusto.spark.datasource import KustoDataSource

    _append(cluster, 0, 5)
    collected = Collected(spark, root, tmp_path / "checkpoint")
    options = {"kustoCluster": root, "kustoDatabase": DATABASE, "kustoQuery": "S"}
    source = KustoDataSource(options)
    reader = source.streamReader(source.schema())
    start = reader.initialOffset()
    position = cluster.advance(DATABASE, "S", "0")
    assert int(position.cursor) > int(start["cursor"])
    reached = {**start, "cursor": position.cursor}
    cluster.execute(DATABASE, ".clear table S data")
    behind = cluster.advance(DATABASE, "S", "0").cursor
    assert int(behind) < int(position.cursor)
    assert list(reader.partitions(reached, {**reached, "cursor": behind})) == []
    # The whole way: nothing is read twice, and what comes later is read.
    _append(cluster, 10, 2)
    collected.start(trigger={"availableNow": True}).awaitTermination(120)
    assert sorted(n for batch in collected.batches.values() for n in batch) == [10, 11]
    cluster.execute(DATABASE, ".clear table S data")
    collected.start(trigger={"availableNow": True}).awaitTermination(120)
    _append(cluster, 20, 2)
    collected.start(trigger={"availableNow": True}).awaitTermination(120)
    assert sorted(n for batch in collected.batches.values() for n in batch) == [10, 11, 20, 21]
