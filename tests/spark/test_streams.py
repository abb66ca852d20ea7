"""Streams out of and into tables: exactly once, over restarts, merges, kills and schema changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.spark.conftest import ADMISSION, DATABASE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

    from spark_kusto.client import Cluster


def _append(cluster: Cluster, table: str, first: int, count: int, **columns: Any) -> None:
    data = pa.table({"id": pa.array(range(first, first + count), pa.int64()), **columns})
    cluster.ingest(DATABASE, table, data, create=True)


def _stream(spark: SparkSession, root: str, query: str, **options: object) -> DataFrame:
    reader = spark.readStream.format("kusto").options(kustoCluster=root, kustoDatabase=DATABASE)
    for name, value in options.items():
        reader = reader.option(name, str(value))
    return reader.option("kustoQuery", query).load()


def _drain(df: DataFrame, root: str, table: str, checkpoint: Path, **trigger: Any) -> StreamingQuery:
    query = (
        df.writeStream.format("kusto")
        .options(kustoCluster=root, kustoDatabase=DATABASE, kustoTable=table)
        .option("tableCreateOptions", "CreateIfNotExist")
        .option("checkpointLocation", str(checkpoint))
        .trigger(**(trigger or {"availableNow": True}))
        .start()
    )
    if not trigger:
        query.awaitTermination(120)
    return query


def _ids(cluster: Cluster, table: str) -> list[int]:
    return [row[0] for row in cluster.query(DATABASE, f"{table} | project id | order by id asc").rows]


def test_a_table_streams_into_another_once(
    spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path
) -> None:
    for first in range(0, 50, 10):
        _append(cluster, "S", first, 10)
    df = _stream(spark, root, "S | where id % 2 == 0", maxRowsPerTrigger=20)
    query = _drain(df, root, "D", tmp_path / "c")
    assert _ids(cluster, "D") == list(range(0, 50, 2))
    progress = [p for p in query.recentProgress if p["numInputRows"]]
    assert [p["numInputRows"] for p in progress] == ([10, 10, 5] if ADMISSION else [25])
    assert "committed" in str(progress[0]["sources"][0]["endOffset"])
    # Restarted from its checkpoint, over a merge and a new column: only what is new.
    extents = cluster.execute(DATABASE, ".show table S extents | project ExtentId").rows
    listed = ", ".join(f"'{row[0]}'" for row in extents)
    cluster.execute(DATABASE, f".merge table S ({listed}) with (rebuild=true)")
    cluster.execute(DATABASE, ".alter-merge table S (id:long, extra:string)")
    _append(cluster, "S", 50, 10)
    _drain(_stream(spark, root, "S | where id % 2 == 0 | project id"), root, "D", tmp_path / "c")
    assert _ids(cluster, "D") == list(range(0, 60, 2))
    assert cluster.query(DATABASE, "D | summarize count() by id | where count_ > 1 | count").rows == [(0,)]
    # A replayed batch: the last commit of the checkpoint is lost, the rows are there already.
    commits = tmp_path / "c" / "commits"
    last = max(int(name) for name in os.listdir(commits) if name.isdigit())
    for name in (f"{last}", f".{last}.crc"):
        (commits / name).unlink()
    _drain(_stream(spark, root, "S | where id % 2 == 0 | project id"), root, "D", tmp_path / "c")
    assert _ids(cluster, "D") == list(range(0, 60, 2))
    cluster.execute(DATABASE, ".drop table S")
    _append(cluster, "S", 0, 10)
    with pytest.raises(Exception, match="dropped and created again"):
        _drain(_stream(spark, root, "S | where id % 2 == 0 | project id"), root, "D", tmp_path / "c")
    with pytest.raises(Exception, match="one table"):
        _drain(_stream(spark, root, "S | summarize count()"), root, "E", tmp_path / "e")
    assert not [path for path in Path(root).rglob("staging/*/*") if path.is_file()]


def test_starting_at_the_newest_row_and_batches_by_function(
    spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path
) -> None:
    from spark_kusto import write_kusto

    _append(cluster, "S", 0, 10)
    seen: list[str | None] = []
    errors: list[str] = []

    def load(batch: DataFrame, batch_id: int) -> None:
        conf = {"tableCreateOptions": "CreateIfNotExist"}
        for _ in range(2):
            try:
                done = write_kusto(batch, root, DATABASE, "D", conf, batch_id=batch_id)
                seen.append(None if done is None else done.status)
            except Exception as error:  # noqa: BLE001 - it is what is looked at
                errors.append(str(error))

    df = _stream(spark, root, "S", startingCursor="latest")
    query = (
        df.writeStream.foreachBatch(load)
        .option("checkpointLocation", str(tmp_path / "c"))
        .trigger(processingTime="100 milliseconds")
        .start()
    )
    deadline = time.monotonic() + 90
    while not query.lastProgress and time.monotonic() < deadline:
        time.sleep(0.1)
    _append(cluster, "S", 10, 5)
    query.processAllAvailable()
    query.stop()
    assert _ids(cluster, "D") == [10, 11, 12, 13, 14]
    # The first micro-batch may have come before the rows.
    assert set(seen) == {"committed"}
    assert len(errors) == len(seen)
    assert "writer_id" in errors[0]


JOB = """
import sys
from pyspark.sql import SparkSession
root, checkpoint = sys.argv[1:]
spark = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
         .config("spark.driver.host", "127.0.0.1").getOrCreate())
rates = spark.readStream.format("rate").option("rowsPerSecond", 500).load().select("value")
query = (rates.writeStream.format("kusto")
         .options(kustoCluster=root, kustoDatabase="NetDefaultDB", kustoTable="D",
                  tableCreateOptions="CreateIfNotExist", checkpointLocation=checkpoint)
         .trigger(processingTime="50 milliseconds").start())
query.awaitTermination()
"""


@pytest.mark.timeout(900)
def test_a_killed_driver_loses_and_doubles_nothing(root: str, cluster: Cluster, tmp_path: Path) -> None:
    """kill -9 under load, twice: the final table is the source's prefix, each row once."""
    job = tmp_path / "job.py"
    job.write_text(JOB)
    reached = 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, str(job), root, str(tmp_path / "c")],
            env={**os.environ, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": os.getcwd()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 300  # a JVM starts slowly on a busy machine
            while _count(cluster) < reached + 200 and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert _count(cluster) >= reached + 200
        reached = _count(cluster)
    row = cluster.query(
        DATABASE, "D | summarize count(), count_distinct(value), min(value), max(value)"
    ).rows[0]
    assert row[0] == row[1]
    assert (row[2], row[3]) == (0, row[0] - 1)


def _count(cluster: Cluster) -> int:
    try:
        return int(cluster.query(DATABASE, "D | count").rows[0][0])
    except Exception:  # noqa: BLE001 - the table is not there yet
        return 0
