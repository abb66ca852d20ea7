"""Writes that fail, or almost: all rows or none, nothing left behind, and a message that helps."""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.spark.conftest import DATABASE
from tests.spark.jobs import job, kill_all, run_job, standalone, wait_until

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_kusto.client import Cluster

Read = Callable[..., "DataFrame"]
Write = Callable[..., None]
CREATE = {"tableCreateOptions": "CreateIfNotExist"}


def _left_over(root: str) -> list[Path]:
    return list(Path(root).rglob("staging/*"))


def _count(cluster: Cluster, query: str) -> int:
    return int(cluster.query(DATABASE, f"{query} | count").rows[0][0])


def _activate(spark: SparkSession) -> None:
    """Have Spark know its session in this thread, without which ``df.write`` finds no Python source."""
    spark.createDataFrame([(1,)], "x int")


def _both_ways(write: Write, root: str) -> list[Callable[..., Any]]:
    """``df.write`` and ``write_kusto``, called alike."""
    from spark_kusto import write_kusto

    def function(df: DataFrame, table: str, **options: Any) -> Any:
        return write_kusto(df, root, DATABASE, table, {**CREATE, **options})

    return [write, function]


# -- values ---------------------------------------------------------------------------------------


def test_a_poisoned_row_in_a_million_is_found(
    spark: SparkSession, root: str, cluster: Cluster, write: Write
) -> None:
    cluster.execute(DATABASE, ".create table T (id:long, ['when']:datetime)")
    rows = spark.range(0, 1_000_000, 1, 4).selectExpr(
        "id", "if(id = 765432, 'the day after', '2024-01-31 10:00:00') as when"
    )
    for one in _both_ways(write, root):
        with pytest.raises(Exception) as caught:
            one(rows, "T")
        for word in ("'when'", "row 15432", "partition 3", "'the day after' (string)", "datetime", "cast"):
            assert word in str(caught.value), (word, str(caught.value)[-3000:])
        assert _count(cluster, "T") == 0
        assert not _left_over(root)
    # The history has it, by what the task has left for the driver.
    failures = cluster.execute(
        DATABASE, ".show ingestion failures | project Table, Details, FailureKind"
    ).rows
    assert len(failures) == 2
    for table, details, kind in failures:
        assert table == "T"
        assert "row 15432: the value 'the day after' (string)" in details
        assert kind == "Permanent"
    shown = cluster.execute(
        DATABASE, ".show operations | where Operation == 'DataIngest' | project State, Status"
    ).rows
    assert [state for state, _ in shown] == ["Failed", "Failed"]
    assert all("the day after" in status for _, status in shown)


# -- others at work -------------------------------------------------------------------------------


def test_a_table_dropped_meanwhile(spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path) -> None:
    from spark_kusto import write_kusto

    for create, name in ((False, "Kept"), (True, "Made")):
        cluster.execute(DATABASE, f".create table {name} (id:long)")
        go = str(tmp_path / name)
        rows = spark.range(0, 100, 1, 2).mapInArrow(_waiting(go), "id bigint")
        with ThreadPoolExecutor(1) as pool:
            options = CREATE if create else {}
            written = pool.submit(write_kusto, rows, root, DATABASE, name, options)
            wait_until(lambda: _left_over(root))
            cluster.execute(DATABASE, f".drop table {name}")
            Path(go).touch()
            if create:
                result = written.result()
                assert result is not None
                assert result.status == "committed"
                assert _count(cluster, name) == 100
            else:
                with pytest.raises(Exception, match=r"'Kept' was dropped .* Create it and write again"):
                    written.result()
        assert not _left_over(root)


def _waiting(go: str) -> Callable[[Any], Any]:
    def run(batches: Any) -> Any:
        while not os.path.exists(go):
            time.sleep(0.05)
        yield from batches

    return run


def test_writers_of_one_table_do_not_disturb_each_other(
    spark: SparkSession, root: str, cluster: Cluster, write: Write
) -> None:
    """Appends all stay. Of two that replace one day, the later commit stays, whoever that is."""
    from spark_kusto import write_kusto

    write(spark.range(0).selectExpr("id", "'none' as who", "0L as day"), "T")

    def append(writer: int) -> None:
        _activate(spark)
        for batch in range(3):
            rows = spark.range(10).selectExpr("id", f"'w{writer}-{batch}' as who", "1L as day")
            write(rows, "T")

    def replace(writer: int) -> None:
        for _ in range(3):
            rows = spark.range(10).selectExpr("id", f"'r{writer}' as who", "2L as day")
            write_kusto(rows, root, DATABASE, "T", mode="overwrite", replaceWhere="day == 2")

    with ThreadPoolExecutor(4) as pool:
        for future in [
            pool.submit(append, 1),
            pool.submit(append, 2),
            pool.submit(replace, 1),
            pool.submit(replace, 2),
        ]:
            future.result()
    assert _count(cluster, "T | where day == 1") == 60
    assert cluster.query(
        DATABASE, "T | where day == 1 | summarize n = count() by who | summarize by n"
    ).rows == [(10,)]
    # Each commit of day 2 has taken the place of the one before.
    ((count, writers),) = cluster.query(
        DATABASE, "T | where day == 2 | summarize count(), count_distinct(who)"
    ).rows
    assert (count, writers) == (10, 1)
    assert not _left_over(root)


def test_an_overwrite_and_an_append_are_one_after_the_other(
    spark: SparkSession, root: str, cluster: Cluster, write: Write
) -> None:
    from spark_kusto import write_kusto

    def overwrite() -> None:
        rows = spark.range(7).selectExpr("id", "'over' as who")
        write_kusto(rows, root, DATABASE, "T", mode="overwrite")

    def append() -> None:
        write_kusto(spark.range(3).selectExpr("id", "'add' as who"), root, DATABASE, "T")

    write(spark.range(5).selectExpr("id", "'old' as who"), "T")
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            over, add = pool.submit(overwrite), pool.submit(append)
            over.result()
            add.result()
        found = dict(cluster.query(DATABASE, "T | summarize count() by who").rows)
        # Appended before, and so replaced; or after, and so there.
        assert found in ({"over": 7}, {"over": 7, "add": 3})
    assert not _left_over(root)


# -- tasks, jobs and executors ----------------------------------------------------------------------


def test_a_cancelled_job_leaves_nothing(
    spark: SparkSession, root: str, cluster: Cluster, write: Write
) -> None:
    def slow(batches: Any) -> Any:
        for batch in batches:
            for row in range(batch.num_rows):
                yield batch.slice(row, 1)
                time.sleep(0.05)

    rows = spark.range(0, 10_000, 1, 2).mapInArrow(slow, "id bigint")
    for one in _both_ways(write, root):
        errors: list[BaseException] = []

        def run(one: Callable[..., Any] = one, errors: list[BaseException] = errors) -> None:
            _activate(spark)
            spark.sparkContext.setJobGroup("to be cancelled", "a write", interruptOnCancel=True)
            try:
                one(rows, "T")
            except BaseException as error:  # noqa: BLE001 - it is what is looked at
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: _left_over(root))
        time.sleep(2)
        spark.sparkContext.cancelJobGroup("to be cancelled")
        thread.join(60)
        assert errors
        assert "cancel" in str(errors[0]).lower()
        assert cluster.execute(DATABASE, ".show tables | where TableName == 'T'").rows == []
        wait_until(lambda: not _left_over(root), 30)


LOST = """
root, tries, master = sys.argv[1:]
spark = session(master, spark__speculation="true", spark__speculation__interval="100ms",
                spark__speculation__multiplier="1.1", spark__speculation__quantile="0.5",
                spark__speculation__minTaskRuntime="1s")


def dies(batches):
    # The first attempt of one task takes its executor with it, half way, with rows staged already.
    context = TaskContext.get()
    open(f"{tries}/dies-{context.partitionId()}-{context.attemptNumber()}", "w").close()
    for number, batch in enumerate(batches):
        yield batch
        if number == 1 and context.partitionId() == 1 and not os.path.exists(f"{tries}/killed"):
            open(f"{tries}/killed", "w").close()
            pid = os.getppid()
            while "java" not in os.readlink(f"/proc/{pid}/exe"):
                pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
            os.kill(pid, 9)
            time.sleep(60)


def lags(batches):
    context = TaskContext.get()
    open(f"{tries}/lags-{context.partitionId()}-{context.attemptNumber()}", "w").close()
    for number, batch in enumerate(batches):
        yield batch
        # Until its double is there, which then wins.
        while context.partitionId() == 3 and context.attemptNumber() == 0 and number < 1:
            time.sleep(0.2)


rows = spark.range(0, 120_000, 1, 4)
write(rows.mapInArrow(dies, "id bigint"), root, "Lost")
write(rows.mapInArrow(lags, "id bigint"), root, "Doubled")
result = write_kusto(rows.mapInArrow(lags, "id bigint"), root, DATABASE, "ByFunction",
                     tableCreateOptions="CreateIfNotExist")
print(json.dumps([result.status, result.rows]))
spark.stop()
"""


@pytest.mark.timeout(900)
def test_lost_executors_and_speculative_tasks_add_no_row_twice(
    root: str, cluster: Cluster, tmp_path: Path
) -> None:
    tries = tmp_path / "tries"
    tries.mkdir()
    # A task's double never runs on the host of the first: one executor's host goes by another name.
    with standalone(tmp_path, "127.0.0.1", "localhost") as master:
        printed = run_job(tmp_path, LOST, root, tries, master)
    assert json.loads(printed.splitlines()[-1]) == ["committed", 120_000]
    attempts = {path.name for path in tries.iterdir()}
    assert "killed" in attempts
    assert {"dies-1-0", "dies-1-1"} <= attempts
    assert {"lags-3-0", "lags-3-1"} <= attempts
    for table in ("Lost", "Doubled", "ByFunction"):
        asked = f"{table} | summarize count(), count_distinct(id), min(id), max(id)"
        assert cluster.query(DATABASE, asked).rows == [(120_000, 120_000, 0, 119_999)]
    assert not _left_over(root)


SLOW = """
from threading import Thread
root = sys.argv[1]
spark = session("local[4]")


def slow(batches):
    for batch in batches:
        for start in range(0, batch.num_rows, 1000):
            yield batch.slice(start, 1000)
            time.sleep(0.2)


rows = spark.range(0, 1_000_000, 1, 2).mapInArrow(slow, "id bigint")
conf = dict(stagingResourcesAutoCleanupTimeout=120, tableCreateOptions="CreateIfNotExist")
Thread(target=lambda: write_kusto(rows, root, DATABASE, "ByFunction", conf)).start()
write(rows, root, "ByWriter", **conf)
"""


@pytest.mark.timeout(900)
def test_a_lost_driver_leaves_nothing_visible_and_what_it_staged_is_swept(
    root: str, cluster: Cluster, tmp_path: Path
) -> None:
    with job(tmp_path, SLOW, root) as process:
        wait_until(lambda: len(list(Path(root).rglob("staging/*"))) == 2, 600, process)
        wait_until(lambda: list(Path(root).rglob("staging/*/*.parquet")), 600, process)
        kill_all(process)
    assert cluster.execute(DATABASE, ".show tables").rows == []
    database = cluster.engine.root.database(DATABASE)  # type: ignore[attr-defined]
    now = dt.datetime.now(dt.timezone.utc)
    # Not while it may be alive.
    database.sweep(now=now + dt.timedelta(seconds=60))
    assert len(_left_over(root)) == 2
    database.sweep(now=now + dt.timedelta(seconds=240))
    assert not _left_over(root)
    shown = cluster.execute(DATABASE, ".show operations | project Operation, State").rows
    assert shown == [("DataIngest", "Abandoned")] * 2


FULL = """
root = sys.argv[1]
spark = session("local[2, 2]")
rows = spark.range(0, 400_000, 1, 2).selectExpr("id", "uuid() as text")
for one in (write, lambda df, root, table: write_kusto(
        df, root, DATABASE, table, tableCreateOptions="CreateIfNotExist", clientBatchingLimit=100)):
    try:
        one(rows, root, "T")
    except Exception as error:
        print(json.dumps(str(error)))
"""


def test_a_full_disk_says_so_and_leaves_nothing(root: str, cluster: Cluster, tmp_path: Path) -> None:
    printed = run_job(tmp_path, FULL, root, KUSTO_FULL=f"{root}:1000000")
    messages = [json.loads(line) for line in printed.splitlines() if line.startswith('"')]
    assert len(messages) == 2
    for message in messages:
        assert "No space left" in message
        assert "StorageFullError" in message
    assert cluster.execute(DATABASE, ".show tables | where TableName == 'T'").rows == []
    assert not _left_over(root)
    kinds = cluster.execute(DATABASE, ".show ingestion failures | project FailureKind").rows
    assert kinds == [("Transient",), ("Transient",)]
