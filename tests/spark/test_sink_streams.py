"""Streams into tables: exactly once whatever is killed when, in every output and write mode."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.spark.conftest import DATABASE
from tests.spark.jobs import job, kill_all, run_job, wait_until

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

    from spark_kusto.client import Cluster

CREATE = {"tableCreateOptions": "CreateIfNotExist"}


def _files(folder: Path, first: int, count: int, rows: int = 10) -> None:
    """JSON files of ``rows`` numbers each, in the order of their names."""
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        lines = (json.dumps({"id": number * rows + row, "g": row % 2}) for row in range(rows))
        (folder / f"{number:05}.json").write_text("\n".join(lines))
        os.utime(folder / f"{number:05}.json", (1_700_000_000 + number,) * 2)


def _source(spark: SparkSession, folder: Path, **options: object) -> DataFrame:
    reader = spark.readStream.schema("id long, g long").option("maxFilesPerTrigger", 1)
    for name, value in options.items():
        reader = reader.option(name, str(value))
    return reader.json(str(folder))


def _sink(
    df: DataFrame, root: str, table: str, checkpoint: Path, mode: str = "append", **options: object
) -> StreamingQuery:
    writer = df.writeStream.format("kusto").outputMode(mode)
    given = {"kustoCluster": root, "kustoDatabase": DATABASE, "kustoTable": table, **CREATE, **options}
    for name, value in given.items():
        writer = writer.option(name, str(value))
    query = writer.option("checkpointLocation", str(checkpoint)).trigger(availableNow=True).start()
    query.awaitTermination(120)
    return query


def _forget_commit(checkpoint: Path) -> None:
    """As if the driver had died between the last batch's commit in the cluster and in the checkpoint."""
    commits = checkpoint / "commits"
    last = max(int(name) for name in os.listdir(commits) if name.isdigit())
    for name in (f"{last}", f".{last}.crc"):
        (commits / name).unlink()


def _ids(cluster: Cluster, table: str) -> list[int]:
    return [row[0] for row in cluster.query(DATABASE, f"{table} | project id | order by id asc").rows]


def _left_over(root: str) -> list[Path]:
    return list(Path(root).rglob("staging/*"))


# -- output modes -----------------------------------------------------------------------------------


def test_complete_mode_puts_each_answer_in_the_place_of_the_last(
    spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path
) -> None:
    _files(tmp_path / "in", 0, 3)
    counts = _source(spark, tmp_path / "in").groupBy("g").count()
    for files in (3, 5):
        _files(tmp_path / "in", 0, files)
        query = _sink(counts, root, "T", tmp_path / "c", mode="complete")
        assert query.exception() is None
        assert cluster.query(DATABASE, "T | order by g asc").rows == [(0, files * 5), (1, files * 5)]
    _forget_commit(tmp_path / "c")
    before = cluster.cursor(DATABASE)
    _sink(counts, root, "T", tmp_path / "c", mode="complete")
    # The last answer was there already.
    assert cluster.cursor(DATABASE) == before
    assert cluster.query(DATABASE, "T | order by g asc").rows == [(0, 25), (1, 25)]
    assert not _left_over(root)


def test_update_mode_is_refused_before_anything_runs(spark: SparkSession, root: str, tmp_path: Path) -> None:
    _files(tmp_path / "in", 0, 1)
    counts = _source(spark, tmp_path / "in").groupBy("g").count()
    with pytest.raises(Exception, match=r"[Uu]pdate"):
        _sink(counts, root, "T", tmp_path / "c", mode="update")


def test_empty_batches_leave_no_trace(
    spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path
) -> None:
    _files(tmp_path / "in", 0, 3)
    source = _source(spark, tmp_path / "in")
    _sink(source.filter("id < 10"), root, "T", tmp_path / "c")
    assert _ids(cluster, "T") == list(range(10))
    assert cluster.execute(DATABASE, ".show journal | where Event == 'INGEST' | count").rows == [(1,)]
    assert cluster.execute(DATABASE, ".show operations | project State").rows == [("Completed",)]
    assert not _left_over(root)


# -- write modes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["Queued", "KustoStreaming"])
def test_every_write_mode_is_exactly_once(
    spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path, mode: str
) -> None:
    _files(tmp_path / "in", 0, 2)
    _sink(_source(spark, tmp_path / "in"), root, "T", tmp_path / "c", writeMode=mode)
    _forget_commit(tmp_path / "c")
    _files(tmp_path / "in", 2, 2)
    _sink(_source(spark, tmp_path / "in"), root, "T", tmp_path / "c", writeMode=mode)
    if mode == "Queued":
        assert cluster.execute(DATABASE, ".show tables | where TableName == 'T'").rows == []
        database = cluster.engine.root.database(DATABASE)  # type: ignore[attr-defined]
        cluster.engine.queue.process(database, flush=True)  # type: ignore[attr-defined]
    assert _ids(cluster, "T") == list(range(40))
    assert not _left_over(root)


@pytest.mark.timeout(900)
def test_a_trigger_faster_than_the_queue_is_told_once(root: str, cluster: Cluster, tmp_path: Path) -> None:
    """By the table's own policy, in whatever process Spark commits."""
    _files(tmp_path / "in", 0, 6)
    cluster.execute(DATABASE, ".create table Quick (id:long, g:long)")
    cluster.execute(DATABASE, ".create table Slow (id:long, g:long)")
    policy = json.dumps({"MaximumBatchingTimeSpan": "00:17:00"})
    cluster.execute(DATABASE, f".alter table Slow policy ingestionbatching '{policy}'")
    code = """
    import subprocess
    root, folder, checkpoint = sys.argv[1:]
    spark = session()
    source = spark.readStream.schema("id long, g long").option("maxFilesPerTrigger", 1).json(folder)
    for table, mode in (("Slow", "Queued"), ("Quick", "KustoStreaming")):
        query = (source.writeStream.format("kusto").option("checkpointLocation", checkpoint + table)
                 .options(kustoCluster=root, kustoDatabase=DATABASE, kustoTable=table, writeMode=mode)
                 .trigger(availableNow=True).start())
        query.awaitTermination()
    """
    with job(tmp_path, code, root, tmp_path / "in", tmp_path / "c") as process:
        assert process.wait(600) == 0
    said = [line for line in (tmp_path / "job.log").read_text().splitlines() if "batching time" in line]
    assert len(said) == 1
    assert "'Slow'" in said[0]
    assert "1020 s" in said[0]


# -- identity ---------------------------------------------------------------------------------------


def test_a_writers_own_identity(spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path) -> None:
    _files(tmp_path / "in", 0, 2)
    source = _source(spark, tmp_path / "in")
    _sink(source, root, "T", tmp_path / "c", writerId="mine")
    assert _ids(cluster, "T") == list(range(20))
    # Another checkpoint under the same name: its batches count as replays, which the log says.
    _sink(source, root, "T", tmp_path / "new", writerId="mine")
    assert _ids(cluster, "T") == list(range(20))
    _sink(source, root, "T", tmp_path / "newer", writerId="another")
    assert len(_ids(cluster, "T")) == 40
    with pytest.raises(Exception, match="batchId is given for a stream"):
        _sink(source, root, "T", tmp_path / "b", writerId="mine", batchId=3)


def test_batches_by_function_are_exactly_once(
    spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path
) -> None:
    from spark_kusto import write_kusto

    _files(tmp_path / "in", 0, 2)
    seen: list[tuple[int, str, str]] = []

    def load(batch: DataFrame, batch_id: int) -> None:
        even = write_kusto(batch.filter("g = 0"), root, DATABASE, "Even", CREATE, batch_id=batch_id)
        # A second write of the same batch to the same table has an identity of its own.
        odd = write_kusto(
            batch.filter("g = 1"), root, DATABASE, "Even", CREATE, batch_id=batch_id, writer_id="odd ones"
        )
        assert even is not None
        assert odd is not None
        seen.append((batch_id, even.status, odd.status))

    def run() -> None:
        query = (
            _source(spark, tmp_path / "in")
            .writeStream.foreachBatch(load)
            .option("checkpointLocation", str(tmp_path / "c"))
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination(120)
        assert query.exception() is None

    run()
    _forget_commit(tmp_path / "c")
    _files(tmp_path / "in", 2, 1)
    run()
    assert seen == [
        (0, "committed", "committed"),
        (1, "committed", "committed"),
        (1, "replayed", "replayed"),
        (2, "committed", "committed"),
    ]
    assert _ids(cluster, "Even") == list(range(30))
    with pytest.raises(Exception, match="no streaming query runs this write"):
        write_kusto(spark.range(1), root, DATABASE, "Even", batch_id=1)
    assert not _left_over(root)


# -- kills ------------------------------------------------------------------------------------------

POINTS = {
    "begin.recorded": "before staging",
    "staging.row_group": "while a task stages",
    "staging.synced": "when a task has staged",
    "commit.linked": "when everything is staged, and nothing is committed",
    "transaction.written": "in the commit",
    "commit.done": "between the commits in the cluster and in the checkpoint",
}

KILLED = """
root, checkpoint, order, *points = sys.argv[1:]
spark = session()
spark.sparkContext.setLogLevel("OFF")
rates = spark.readStream.format("rate").option("rowsPerSecond", 500).option("numPartitions", 2).load()


def start(**trigger):
    return (rates.select("value").writeStream.format("kusto").option("checkpointLocation", checkpoint)
            .options(kustoCluster=root, kustoDatabase=DATABASE, kustoTable="T",
                     tableCreateOptions="CreateIfNotExist")
            .trigger(**(trigger or {"processingTime": "50 milliseconds"})).start())


def written(query):
    while not any(progress["numInputRows"] for progress in query.recentProgress):
        assert query.isActive, query.exception()
        time.sleep(0.05)


for point in points:
    query = start()
    written(query)
    with open(order + ".new", "w") as file:
        file.write(point)
    os.rename(order + ".new", order)
    while query.isActive:
        time.sleep(0.05)
    assert query.exception() is not None and not os.path.exists(order)
    print("killed", point, flush=True)
# To the end of what is there: stopping it would interrupt a batch.
start(availableNow=True).awaitTermination()
"""


@pytest.mark.timeout(900)
def test_killed_at_every_point_in_turn_each_row_is_there_once(
    root: str, cluster: Cluster, tmp_path: Path
) -> None:
    """At each point, the process that is there is killed under load, and the query started again."""
    order = tmp_path / "order"
    printed = run_job(tmp_path, KILLED, root, tmp_path / "c", order, *POINTS, KUSTO_DIE=str(order))
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("killed")] == list(POINTS)
    asked = "T | summarize count(), count_distinct(value), min(value), max(value)"
    ((count, distinct, low, high),) = cluster.query(DATABASE, asked).rows
    assert (count, low, high) == (distinct, 0, count - 1)
    assert count > 500
    # The writer's commits have ended what its killed attempts had staged.
    assert not list(Path(root).rglob("staging/*/*.parquet"))


@pytest.mark.parametrize("way", ["the abort", "the next commit"])
def test_an_attempt_whose_tasks_all_fail_is_ended(
    spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path, way: str
) -> None:
    """No task has a message for Spark to hand to the abort, so that nothing names the attempt there.

    The abort knows the query by its checkpoint, where that is an option; otherwise the next commit does.
    """
    _files(tmp_path / "in", 0, 1)
    broken = tmp_path / "broken"
    broken.touch()
    path = str(broken)

    def run(batches: Any) -> Any:
        yield from batches
        if os.path.exists(path):
            raise RuntimeError("poisoned")

    stream = _source(spark, tmp_path / "in").mapInArrow(run, "id bigint, g bigint")
    if way == "the next commit":
        spark.conf.set("spark.sql.streaming.checkpointLocation", str(tmp_path))

    def sink() -> None:
        if way == "the abort":
            _sink(stream, root, "T", tmp_path / "c")
            return
        writer = stream.writeStream.format("kusto").queryName("named").trigger(availableNow=True)
        options = {"kustoCluster": root, "kustoDatabase": DATABASE, "kustoTable": "T", **CREATE}
        writer.options(**options).start().awaitTermination(120)

    try:
        with pytest.raises(Exception, match="poisoned"):
            sink()
        assert bool(_left_over(root)) == (way == "the next commit")
        broken.unlink()
        sink()
    finally:
        spark.conf.unset("spark.sql.streaming.checkpointLocation")
    assert _ids(cluster, "T") == list(range(10))
    assert not _left_over(root)
    states = cluster.execute(DATABASE, ".show operations | summarize count() by State").rows
    assert dict(states) == {"Completed": 1, "Failed": 1}


LOAD = """
root, checkpoint = sys.argv[1:]
spark = session()
rates = spark.readStream.format("rate").option("rowsPerSecond", 2000).load().select("value")


def load(batch, number):
    write_kusto(batch, root, DATABASE, "ByFunction", batch_id=number, tableCreateOptions="CreateIfNotExist")


queries = [
    rates.writeStream.foreachBatch(load).option("checkpointLocation", checkpoint + "/f")
    .trigger(processingTime="50 milliseconds").start(),
    rates.writeStream.format("kusto").option("checkpointLocation", checkpoint + "/s")
    .options(kustoCluster=root, kustoDatabase=DATABASE, kustoTable="BySink",
             tableCreateOptions="CreateIfNotExist")
    .trigger(processingTime="50 milliseconds").start(),
]
spark.streams.awaitAnyTermination()
"""


@pytest.mark.timeout(900)
def test_kill_9_under_load_again_and_again(root: str, cluster: Cluster, tmp_path: Path) -> None:
    """Two streams of one driver, killed three times at no chosen moment: prefixes of the source, once."""
    tables = ("ByFunction", "BySink")

    def reached() -> int:
        return min(_rows(cluster, table) for table in tables)

    for kill in range(3):
        target = reached() + 1500 + 700 * kill
        with job(tmp_path, LOAD, root, tmp_path / "c") as process:
            wait_until(lambda target=target: reached() >= target, 240, process)
            time.sleep(0.13 * kill)
            kill_all(process)
    for table in tables:
        asked = f"{table} | summarize count(), count_distinct(value), min(value), max(value)"
        ((count, distinct, low, high),) = cluster.query(DATABASE, asked).rows
        assert (count, low, high) == (distinct, 0, count - 1)


def _rows(cluster: Cluster, table: str) -> int:
    shown = cluster.execute(
        DATABASE, f".show tables details | where TableName == '{table}' | project TotalRowCount"
    )
    return int(shown.rows[0][0]) if shown.rows else 0
