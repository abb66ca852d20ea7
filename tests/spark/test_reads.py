"""What a read promises beyond its rows: plans, logs, request ids, snapshots, retries, and answers kept."""

from __future__ import annotations

import logging
import os
import pickle
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyspark.sql import types as T

from spark_kusto import read_kusto
from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.errors import KustoError, SnapshotExpiredError, StorageBusyError
from spark_kusto.spark.catalyst.planner import Planner
from spark_kusto.spark.datasource import KustoDataSource
from spark_kusto.spark.export_cache import ExportCache, cache_key
from spark_kusto.spark.options import source_options
from tests.spark.conftest import DATABASE
from tests.staging.azurite import wait_for

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_kusto.client import Cluster

Read = Callable[..., "DataFrame"]
Conf = Callable[[dict[str, str]], AbstractContextManager[None]]
OFF = {"spark.kusto.pushDown.enabled": "false"}
ENABLED = "spark.sql.python.filterPushdown.enabled"


def _store(cluster: Cluster, first: int, count: int, table: str = "T") -> None:
    ids = pa.array(range(first, first + count), pa.int64())
    cluster.ingest(
        DATABASE, table, pa.table({"id": ids, "g": pa.array([i % 3 for i in ids.to_pylist()])}), create=True
    )


def _queries(cluster: Cluster, prefix: str = "") -> list[tuple[Any, ...]]:
    """The queries that any process ran on the cluster."""
    shown = f".show queries | where ClientActivityId startswith '{prefix}'"
    return cluster.execute(DATABASE, f"{shown} | project ClientActivityId, Text, State").rows


def _staged(root: str) -> list[Path]:
    return [path for path in Path(root).rglob("staging/*/*") if path.is_file()]


def _source(root: str, query: str, **options: str) -> KustoDataSource:
    given = {"kustocluster": root, "kustodatabase": DATABASE, "kustoquery": query}
    return KustoDataSource({**given, **{name.lower(): value for name, value in options.items()}})


def _rows(root: str, query: str, schema: str | None = None, **options: str) -> list[dict[str, Any]]:
    source = _source(root, query, **options)
    wanted = source.schema() if schema is None else T._parse_datatype_string(schema)
    assert isinstance(wanted, T.StructType)
    reader: Any = source.reader(wanted)
    return [row for part in reader.partitions() for batch in reader.read(part) for row in batch.to_pylist()]


# -- plans ----------------------------------------------------------------------------------------


def test_requests_are_listed_under_their_id(
    pushing: SparkSession, cluster: Cluster, root: str, read: Read
) -> None:
    _store(cluster, 0, 10)
    df = read("T", requestId="nightly-7").filter("id > 3")
    df.explain()
    assert _queries(cluster, "nightly-7") == []
    assert df.count() == 6
    sorted_answer = read("T | sort by id asc", requestId="nightly-8", readMode="ForceDistributedMode")
    assert sorted_answer.select("id").limit(3).count() == 3
    wait_for(lambda: _queries(cluster, "nightly-7"))
    (name, text, state), *more = _queries(cluster, "nightly-7")
    assert more == []
    assert name.startswith("nightly-7;read;")
    assert state == "Completed"
    assert "['id'] > long(3)" in text
    assert "summarize" in text
    assert [row[0].partition(";")[0] for row in _queries(cluster, "nightly-8")] == ["nightly-8"]
    assert read("T").count() == 10
    wait_for(lambda: _queries(cluster, "spark-kusto;read;"))


def test_reads_are_a_map_over_tasks_unless_that_is_turned_off(
    pushing: SparkSession, cluster: Cluster, read: Read, conf: Conf
) -> None:
    _store(cluster, 0, 10)

    def plan_and_rows() -> tuple[str, list[Any]]:
        df: Any = read("T").filter("id % 3 = 1").select("id")
        return df._jdf.queryExecution().executedPlan().toString(), sorted(df.collect())

    plan, rows = plan_and_rows()
    assert "MapInArrow" in plan
    assert "BatchScan" not in plan
    # The query, and nothing that seems a part of it.
    assert re.search(
        r"Scan kusto: NetDefaultDB \| T \| where .* \| project \['id'\];\[task#\d+\]$", plan, re.M
    )
    with conf({"spark.kusto.taskReads.enabled": "false"}):
        plan, same = plan_and_rows()
    assert "BatchScan kusto" in plan
    assert "MapInArrow" not in plan
    assert rows == same == [(1,), (4,), (7,)]


def test_reads_share_their_workers_with_writes(
    pushing: SparkSession, cluster: Cluster, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark has one pool of workers for each environment of Python functions."""
    _store(cluster, 0, 10)
    sources: Any = pushing._jsparkSession.sessionState().dataSourceManager()
    of_writes = dict(sources.lookupDataSource("kusto").dataSourceCls().envVars())

    def of_read(query: str) -> dict[str, str]:
        frame: Any = read(query)
        node = frame._jdf.queryExecution().executedPlan()
        while not node.getClass().getName().endswith("MapInArrowExec"):
            node = node.children().head()
        return dict(node.func().func().envVars())

    assert of_read("T | project shared = id") == of_writes
    # Whoever gives tasks an environment of their own finds it in reads too.
    monkeypatch.setitem(pushing.sparkContext.environment, "MY_SETTING", "42")
    assert of_read("T | project mine = id")["MY_SETTING"] == "42"


def test_exported_reads_are_a_map_over_tasks_that_a_scan_gives(
    pushing: SparkSession, cluster: Cluster, root: str, read: Read
) -> None:
    _store(cluster, 0, 10)
    df: Any = read("T | sort by id asc", readMode="ForceDistributedMode").filter("id > 3").select("id")
    plan = df._jdf.queryExecution().executedPlan().toString()
    assert plan.index("MapInArrow") < plan.index("BatchScan kusto")
    assert "kusto: NetDefaultDB | T | sort by id asc | where" in plan
    assert _staged(root) == []
    for _ in range(2):
        assert sorted(df.collect()) == [(4,), (5,), (6,), (7,), (8,), (9,)]
    both = df.union(df).join(df, "id")
    assert sorted(row[0] for row in both.collect()) == sorted([*range(4, 10)] * 2)


def test_reads_make_no_cluster(spark: SparkSession, tmp_path: Path) -> None:
    missing = tmp_path / "mistyped"
    options = {"kustoCluster": str(missing), "kustoDatabase": DATABASE, "kustoTable": "T"}
    with pytest.raises(Exception, match=r"'.*mistyped' does not exist"):
        spark.read.format("kusto").options(**options).load()
    with pytest.raises(Exception, match=r"'.*mistyped' does not exist"):
        read_kusto(spark, str(missing), DATABASE, "T").count()
    assert not missing.exists()


@pytest.mark.parametrize("own_push_down", ["true", "false"])
def test_explain_neither_runs_nor_exports(
    pushing: SparkSession, cluster: Cluster, root: str, read: Read, conf: Conf, own_push_down: str
) -> None:
    """Where Spark pushes filters itself, it plans the partitions of a read while it optimizes."""
    _store(cluster, 0, 10)
    before = _queries(cluster)
    with conf({ENABLED: own_push_down}):
        df = read("T | sort by id asc", readMode="ForceDistributedMode")
        for frame in (df, df.filter("id > 3"), df.filter("id > 3").limit(2), df.groupBy("g").count()):
            for mode in ("simple", "extended", "cost", "formatted"):
                frame.explain(mode=mode)
        assert _staged(root) == []
        assert _queries(cluster) == before
        assert df.filter("id > 3").count() == 6
        assert sorted(row["id"] for row in df.filter("id > 7").select("id").collect()) == [8, 9]
        assert _staged(root) != []
        with conf(OFF):
            plain = read("T | sort by id asc", readMode="ForceDistributedMode")
            assert plain.count() == 10
            if own_push_down == "true" and not pushing.version.startswith("4.0"):
                with pytest.raises(Exception, match=r"filterPushdown\.enabled is true"):
                    plain.filter("id > 3").collect()
            else:
                assert plain.filter("id > 3").count() == 6


def test_the_page_of_sql_shows_what_was_pushed(pushing: SparkSession, cluster: Cluster, read: Read) -> None:
    """The Spark UI shows what its status store holds of an execution."""
    _store(cluster, 0, 10)
    assert read("T").filter("id > 7").select("id").collect()
    store: Any = pushing._jsparkSession.sharedState().statusStore()
    executions = store.executionsList()
    shown = str(executions.apply(executions.size() - 1).physicalPlanDescription())
    assert "kusto: NetDefaultDB | T" in shown
    assert "['id'] > long(7) | project ['id']" in " ".join(shown.split())


def test_subqueries_read_the_commit_of_their_query(
    pushing: SparkSession,
    cluster: Cluster,
    read: Read,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Spark optimizes subqueries by themselves; rows are committed whenever someone asks for the cursor."""
    _store(cluster, 0, 10)
    read("T").createOrReplaceTempView("one_commit")
    ask = EmbeddedCluster.cursor
    asked = 0

    def cursor(self: EmbeddedCluster, database: str) -> str:
        nonlocal asked
        asked += 1
        _store(cluster, 10 * asked, 10)
        return ask(self, database)

    monkeypatch.setattr(EmbeddedCluster, "cursor", cursor)
    caplog.set_level(logging.INFO, "spark_kusto")
    query = "select count(*), (select max(id) from one_commit) from one_commit"
    query += " where id in (select id from one_commit)"
    for run in (1, 2):
        caplog.clear()
        assert pushing.sql(query).collect() == [(10 + 10 * run, 10 * run + 9)]
        plans = [m for m in caplog.messages if m.startswith("plan of")]
        assert len(plans) >= 3
        assert asked == run


def test_rows_bytes_and_query_are_logged(
    pushing: SparkSession, cluster: Cluster, root: str, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    _store(cluster, 0, 10)
    caplog.set_level(logging.INFO, "spark_kusto")
    assert read("T | where strcat(g, h'hidden') != ''").filter("id > 3").select("id").collect()
    plans = [m for m in caplog.messages if m.startswith("plan of NetDefaultDB")]
    assert any("at most 10 rows" in m and "bytes" in m and "['id'] > long(3)" in m for m in plans)
    _rows(root, "T | where id > 4")

    def reads(query: str) -> list[str]:
        return [m for m in caplog.messages if m.startswith("read of NetDefaultDB") and query in m]

    # Of a read through Spark when its tasks run.
    wait_for(lambda: len(reads("['id'] > long(3)")) == 1)
    (line,) = reads("T | where id > 4")
    assert "1 tasks, about 10 rows" in line
    assert not any("hidden" in m for m in caplog.messages)


def test_a_session_that_takes_no_rule_warns_once(
    monkeypatch: pytest.MonkeyPatch, spark: SparkSession
) -> None:
    from spark_kusto.spark import registration

    monkeypatch.setattr(registration, "_warned", False)

    class Sealed:
        """A session whose JVM cannot be reached, as on some platforms."""

        class _jsparkSession:
            @staticmethod
            def experimental() -> Any:
                raise RuntimeError("Method experimental([]) is not whitelisted\nat x.y.z")

        _jvm = None
        sparkContext = spark.sparkContext
        conf = spark.conf

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert not registration.install_push_down(Sealed())  # type: ignore[arg-type]
        assert not registration.install_push_down(Sealed())  # type: ignore[arg-type]
    assert [str(w.message).partition(":")[0] for w in caught] == [
        "Push-down by itself could not be installed, reads work without it"
    ]
    assert "not whitelisted" in str(caught[0].message)


def test_register_warns_of_filters_that_leak(
    pushing: SparkSession, conf: Conf, caplog: pytest.LogCaptureFixture
) -> None:
    from spark_kusto import register

    register(pushing)
    assert not [m for m in caplog.messages if ENABLED in m]
    with conf({ENABLED: "true"}):
        register(pushing)
    assert [m for m in caplog.messages if ENABLED in m]


# -- snapshots ------------------------------------------------------------------------------------


def test_extents_that_are_dropped_or_merged_change_no_planned_read(
    spark: SparkSession, cluster: Cluster, root: str
) -> None:
    for first in range(0, 50, 10):
        _store(cluster, first, 10)
    source = _source(root, "T | where g != 1")
    schema = source.schema()
    assert isinstance(schema, T.StructType)
    reader: Any = source.reader(schema)
    parts = reader.partitions()
    cluster.execute(DATABASE, ".drop extents <| .show table T extents | take 2")
    extents = ", ".join(
        f"'{row[0]}'" for row in cluster.execute(DATABASE, ".show table T extents | project ExtentId").rows
    )
    cluster.execute(DATABASE, f".merge table T ({extents}) with (rebuild=true)")
    _store(cluster, 100, 10)
    cluster.execute(DATABASE, ".drop table T")
    ids = [row["id"] for part in parts for batch in reader.read(part) for row in batch.to_pylist()]
    assert sorted(ids) == [n for n in range(50) if n % 3 != 1]


def test_a_read_whose_snapshot_is_gone_says_what_to_do(
    pushing: SparkSession, cluster: Cluster, root: str, read: Read
) -> None:
    _store(cluster, 0, 10)
    df = read("T").filter("id > 3")
    assert len(df.collect()) == 6
    _store(cluster, 100, 1)
    cluster.execute(DATABASE, ".drop extents <| .show table T extents")
    assert len(df.collect()) == 6  # the very same plan: its files are kept for some hours
    for path in Path(root).glob("*/extents/*.parquet"):
        path.unlink()
    with pytest.raises(Exception, match="has outlived the grace period") as caught:
        df.collect()
    assert "Read again" in str(caught.value)
    assert read("T").count() == 0


def test_a_cluster_that_is_made_anew_is_a_new_one(pushing: SparkSession, root: str, read: Read) -> None:
    from spark_kusto import connect

    for count in (10, 7):
        with connect(root) as cluster:
            _store(cluster, 0, count)
        df = read("T")
        assert df.count() == count
        assert df.filter("id >= 5").count() == count - 5
        shutil.rmtree(root)


# -- tasks ----------------------------------------------------------------------------------------


def test_transient_failures_of_a_task_are_tried_again(
    monkeypatch: pytest.MonkeyPatch, cluster: Cluster, root: str
) -> None:
    _store(cluster, 0, 10)
    from spark_kusto.client import tasks

    whole = tasks.read_scan
    waited: list[float] = []
    monkeypatch.setattr("spark_kusto.spark.reader.time", SimpleNamespace(sleep=waited.append))
    trouble: list[Exception] = []

    def failing(task: Any) -> Iterator[pa.RecordBatch]:
        if trouble:
            raise trouble.pop()
        yield from whole(task)

    def broken_off(task: Any) -> Iterator[pa.RecordBatch]:
        yield from whole(task)
        raise StorageBusyError("half way", permanent=False)

    monkeypatch.setattr("spark_kusto.client.read_scan", failing, raising=False)
    trouble += [StorageBusyError("busy", permanent=False) for _ in range(3)]
    assert len(_rows(root, "T")) == 10
    assert len(waited) == 3
    assert waited == sorted(waited)
    assert waited[0] < waited[2]
    trouble += [StorageBusyError("busy", permanent=False) for _ in range(4)]
    with pytest.raises(StorageBusyError):
        _rows(root, "T")
    waited.clear()
    trouble[:] = [SnapshotExpiredError("gone")]
    with pytest.raises(SnapshotExpiredError):
        _rows(root, "T")
    # Rows that Spark has cannot be taken back: the task fails, and Spark runs it anew.
    monkeypatch.setattr("spark_kusto.client.read_scan", broken_off, raising=False)
    with pytest.raises(StorageBusyError):
        _rows(root, "T")
    assert waited == []


def test_columns_can_be_pruned_by_engines_that_ask(cluster: Cluster, root: str) -> None:
    _store(cluster, 0, 4)
    source = _source(root, "T")
    schema = source.schema()
    assert isinstance(schema, T.StructType)
    reader: Any = source.reader(schema)
    wanted = T.StructType([schema["g"]])
    assert reader.pruneColumns(wanted) == wanted
    batches = [batch for part in reader.partitions() for batch in reader.read(part)]
    assert [batch.schema.names for batch in batches] == [["g"]]
    with pytest.raises(KustoError):
        reader.pruneColumns(T.StructType([]))


def test_what_travels_is_small(cluster: Cluster, root: str) -> None:
    from pyspark.serializers import CPickleSerializer

    for first in range(0, 300, 10):
        _store(cluster, first, 10)
    source = _source(root, "T | where id > 3 | extend s = strcat('x', id)", accessToken="very-secret")
    schema = source.schema()
    assert isinstance(schema, T.StructType)
    reader: Any = source.reader(schema)
    parts = reader.partitions()
    dumps: Callable[[object], bytes] = CPickleSerializer().dumps
    assert len(dumps(reader)) < 2000
    for part in parts:
        assert len(dumps(part)) < 16_000
        assert b"very-secret" not in dumps(part)


# -- queries --------------------------------------------------------------------------------------


def test_several_statements_and_tables(
    pushing: SparkSession, cluster: Cluster, read: Read, conf: Conf
) -> None:
    """A read takes the first table that a query gives, whatever is pushed into it."""
    _store(cluster, 0, 10)
    query = "set notruncation; let least = 4; let f = (n: long) { T | where id >= n }; f(least); T | take 1;"
    for settings in ({}, OFF):
        with conf(settings):
            df = read(query)
            assert sorted(row["id"] for row in df.filter("id < 7").collect()) == [4, 5, 6]
            assert df.count() == 6
            assert df.select("g").columns == ["g"]
            forked = read("T | fork (where id > 6 | project id) (count)")
            assert sorted(row["id"] for row in forked.filter("id < 9").collect()) == [7, 8]
            assert forked.count() == 3
            filtered = read("T", kustoFilter="id > 3 // some; T | take 1\n or id == 1 // others; T").filter(
                "id < 7"
            )
            assert sorted(row["id"] for row in filtered.collect()) == [1, 4, 5, 6]


def test_parameters_are_values(pushing: SparkSession, cluster: Cluster, read: Read) -> None:
    _store(cluster, 0, 10)
    query = "declare query_parameters(least: long, name: string = 'x'); T | where id >= least"
    query += " and name == 'it\\'s;|'"
    df = read(query, queryParametersJson='{"least": 4, "name": "it\'s;|"}')
    assert df.count() == 6
    assert sorted(row["id"] for row in df.filter("id > 7").select("id").collect()) == [8, 9]
    properties = '{"Options": {"servertimeout": "00:00:30"}, "Parameters": {"least": 9, "name": "it\'s;|"}}'
    assert read(query, clientRequestPropertiesJson=properties).count() == 1


# -- answers that are kept ------------------------------------------------------------------------


def test_an_exported_answer_is_read_again_until_it_expires(
    pushing: SparkSession, cluster: Cluster, root: str, read: Read
) -> None:
    _store(cluster, 0, 10)
    options = {"readMode": "ForceDistributedMode", "distributedReadModeTransientCache": "true"}
    query = "T | sort by id asc"
    assert len(read(query, requestId="kept", **options).collect()) == 10
    files = _staged(root)
    _store(cluster, 10, 5)
    # Another load, another filter: the same export.
    assert read(query, requestId="kept", **options).filter("id >= 5").count() == 5
    assert len(read(query, requestId="kept", **options).select("id").collect()) == 10
    assert _staged(root) == files
    assert len(_queries(cluster, "kept")) == 1
    # With push-down each filter has an answer of its own.
    pushed = {**options, "queryFilterPushDown": "true"}
    assert len(read(query, **pushed).filter("id >= 5").select("id").collect()) == 10
    assert len(read(query, **pushed).filter("id >= 12").select("id").collect()) == 3
    assert len(read(query, **pushed).filter("id >= 5").select("id").collect()) == 10
    # Without the option, and in another mode, there is nothing to keep.
    assert len(read(query, readMode="ForceDistributedMode").collect()) == 15
    assert len(read(query, distributedReadModeTransientCache="true").collect()) == 15
    # What is gone is exported again.
    for path in _staged(root):
        path.unlink()
    assert len(read(query, **options).collect()) == 15


def test_kept_answers_expire_and_are_found_by_all_that_decides(
    cluster: Cluster, root: str, tmp_path: Path
) -> None:
    _store(cluster, 0, 10)
    cache = ExportCache(tmp_path / "kept")
    now = datetime.now(timezone.utc)
    plan = cluster.plan_scan(DATABASE, "T | sort by id asc", mode="distributed", expiry=timedelta(hours=1))
    assert plan.expires is not None
    assert timedelta(minutes=59) < plan.expires - now < timedelta(minutes=61)
    cache.keep("whole", [plan])
    found = cache.find("whole")
    assert found is not None
    assert found[0].tasks == plan.tasks
    assert (tmp_path / "kept" / "whole").stat().st_mode & 0o777 == 0o600
    short = cluster.plan_scan(DATABASE, "T | sort by id asc", mode="distributed", expiry=timedelta(seconds=1))
    cache.keep("short", [short])
    import time

    deadline = time.monotonic() + 10
    while cache.find("short") is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert datetime.now(timezone.utc) < short.expires  # type: ignore[operator]
    assert cache.find("short") is None
    direct = cluster.plan_scan(DATABASE, "T")
    assert direct.expires is None
    cache.keep("direct", [direct])
    assert cache.find("direct") is None
    (tmp_path / "kept" / "whole").write_bytes(pickle.dumps(1)[:3])
    assert cache.find("whole") is None

    def key(tail: str = "", **options: str) -> str:
        given = {"kustocluster": root, "kustodatabase": DATABASE, "kustoquery": "T"}
        return cache_key(source_options({**given, **options}), "T", tail)

    keys = [
        key(),
        key("| where id > 1"),
        key(accesstoken="a"),
        key(accesstoken="b"),
        key(snapshot="1"),
        key(queryparametersjson='{"a": 1}'),
        key(queryparametersjson='{"a": "1"}'),
        key(transientstorage="https://a.blob.core.windows.net/c?sig=x"),
        key(kustoexportoptionsjson='{"sizeLimit": 1}'),
        key(clientrequestpropertiesjson='{"Options": {"query_now": "2024-01-01"}}'),
    ]
    assert len(set(keys)) == len(keys)
    # The commit that a plan pins is no part of it: the answer is kept although there is newer data.
    assert key(__kusto_snapshot="7") == key()
    assert not any("very" in name for name in os.listdir(tmp_path / "kept"))


def test_nulls_are_where_they_were_and_do_not_show_in_schemas(
    pushing: SparkSession, cluster: Cluster, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reads a stream's batches is told which columns have no null; nobody else is."""
    told: list[list[int]] = []
    asked = Planner._reading

    def reading(planner: Planner, request: Any) -> Any:
        answer = asked(planner, request)
        told.append(list(answer[1]))
        return answer

    monkeypatch.setattr(Planner, "_reading", reading)
    cluster.ingest(DATABASE, "N", pa.table({"a": [1, 2], "s": ["x", None]}), create=True)
    df: Any = read("N")
    assert [column.nullable for column in df.schema] == [True, True]
    output = df._jdf.queryExecution().executedPlan().output()
    assert [output.apply(n).nullable() for n in range(2)] == [True, True]
    stream = pushing.readStream.format("kusto").options(
        kustoCluster=cluster.address, kustoDatabase=DATABASE, kustoTable="N", startingCursor="earliest"
    )
    query = (
        stream.load()
        .writeStream.format("memory")
        .queryName("nulls")
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .start()
    )
    try:
        query.processAllAvailable()
        cluster.ingest(DATABASE, "N", pa.table({"a": pa.array([None], pa.int64()), "s": ["z"]}))
        query.processAllAvailable()
    finally:
        query.stop()
    assert sorted(pushing.table("nulls").collect(), key=str) == [(1, "x"), (2, ""), (None, "z")]
    assert sum(progress.numInputRows for progress in query.recentProgress) == 3
    assert told == [[0, 1], [1]]
    assert sorted(read("N").collect(), key=str) == [(1, "x"), (2, ""), (None, "z")]
