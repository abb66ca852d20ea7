"""Queries cut into tasks: packing, reading elsewhere, snapshots, and files that are not there."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spark_kusto import connect
from spark_kusto.client import read_scan
from spark_kusto.client.cluster import ScanPlan
from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.engine.querying import pack
from spark_kusto.engine.scans import ScanFile
from spark_kusto.errors import OptionError, SnapshotExpiredError, StorageError
from spark_kusto.storage import stage_batches

DATABASE = "NetDefaultDB"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    opened = connect(tmp_path / "kusto")
    assert isinstance(opened, EmbeddedCluster)
    yield opened
    opened.close()


def _values(plan: ScanPlan, column: str = "a") -> list[Any]:
    return sorted(
        value
        for task in plan.tasks
        for batch in read_scan(pickle.loads(pickle.dumps(task)))
        for value in batch.column(batch.schema.get_field_index(column)).to_pylist()
    )


def _file(rows: int, size: int, groups: tuple[int, ...] = ()) -> ScanFile:
    return ScanFile("/x", "id", rows, size, 1, 1, False, (), (), groups or (rows,))


def test_small_files_are_packed_together_and_large_ones_cut_between_row_groups() -> None:
    packs = pack([_file(10, 10) for _ in range(10)], target=30)
    assert [len(p) for p in packs] == [3, 3, 3, 1]
    large = _file(1000, 100, (250, 250, 250, 250))
    packs = pack([large], target=25)
    assert [[(f.first_row, f.end_row) for f in p] for p in packs] == [
        [(0, 250)],
        [(250, 500)],
        [(500, 750)],
        [(750, 1000)],
    ]
    assert sum(f.rows for p in packs for f in p) == 1000
    assert [len(p) for p in pack([_file(1000, 100)], target=25)] == [1]


def test_row_wise_queries_are_split_others_are_one_task(cluster: EmbeddedCluster) -> None:
    for n in range(6):
        cluster.ingest(DATABASE, "T", pa.table({"a": list(range(n * 10, n * 10 + 10))}), create=True)
    plan = cluster.plan_scan(DATABASE, "T | where a % 2 == 0", parallelism=4)
    assert plan.rows == 60
    assert plan.cursor == cluster.cursor(DATABASE)
    assert _values(plan) == list(range(0, 60, 2))
    assert len(cluster.plan_scan(DATABASE, "T | summarize count() by a % 3", parallelism=4).tasks) == 1
    assert len(cluster.plan_scan(DATABASE, "T | take 5", parallelism=4).tasks) == 1
    assert len(cluster.plan_scan(DATABASE, "T | where a < 10").tasks) == 1
    assert cluster.plan_scan(DATABASE, "T | where a < 10").rows == 10


def test_row_groups_of_one_file_are_read_by_several_tasks(cluster: EmbeddedCluster) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [0]}), create=True)
    database = cluster.engine.database(DATABASE)
    operation = database.begin_ingest("T")
    rows = 400_000
    batch = pa.record_batch({"a": pa.array(range(rows), pa.int64())})
    staged = stage_batches(operation, [batch], row_group_rows=40_000)
    database.commit_ingest(operation, staged, replace_extents="all")
    plan = cluster.plan_scan(DATABASE, "T | project a", parallelism=8, target_bytes=100_000)
    extent = database.snapshot().table("T").extents[0]
    assert len(extent.row_groups) == 10
    assert _values(plan) == list(range(rows))
    pieces = pack(plan.tasks[0].payload.sources["scan_0"].files, target=extent.size // 4)
    assert len(pieces) > 2


def test_tasks_are_sized_by_the_columns_they_read(cluster: EmbeddedCluster) -> None:
    wide = {"a": pa.array(range(4_000), pa.int64()), "noise": [os.urandom(400).hex() for _ in range(4_000)]}
    for _ in range(4):
        cluster.ingest(DATABASE, "T", pa.table(wide), create=True)

    def tasks(query: str) -> int:
        return len(cluster.plan_scan(DATABASE, query, target_bytes=1_100_000).tasks)

    assert tasks("T") == 4  # 1.6 MB each
    assert tasks("T | project a") == 1
    assert tasks("T | where noise has 'beef' | project a") == 4
    cluster.execute(DATABASE, ".alter-merge table T (late: long)")
    assert tasks("T | project late") == 1
    assert len(cluster.plan_scan(DATABASE, "T | project a", parallelism=2).tasks) == 2


def test_the_snapshot_of_a_plan_outlives_changes(cluster: EmbeddedCluster) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1, 2]}), create=True)
    before = cluster.cursor(DATABASE)
    plan = cluster.plan_scan(DATABASE, "T")
    cluster.ingest(DATABASE, "T", pa.table({"a": [3]}))
    cluster.execute(DATABASE, ".set-or-replace T <| print a=9")
    assert _values(plan) == [1, 2]
    assert _values(cluster.plan_scan(DATABASE, "T", snapshot=before)) == [1, 2]
    assert _values(cluster.plan_scan(DATABASE, "T")) == [9]
    with pytest.raises(OptionError, match="no cursor"):
        cluster.plan_scan(DATABASE, "T", snapshot="yesterday")


def test_only_rows_after_a_cursor_also_out_of_merged_extents(cluster: EmbeddedCluster) -> None:
    cursors = []
    for n in range(20):
        cluster.ingest(DATABASE, "T", pa.table({"a": [n]}), create=True)
        cursors.append(cluster.cursor(DATABASE))
    for merged in (False, True):
        if merged:
            cluster.maintain()
            assert len(cluster.engine.database(DATABASE).snapshot().table("T").extents) < 20
        assert _values(cluster.plan_scan(DATABASE, "T", after=cursors[14])) == [15, 16, 17, 18, 19]
        plan = cluster.plan_scan(DATABASE, "T | where a > 0 | project a", after=cursors[4], parallelism=3)
        assert _values(plan) == list(range(5, 20))
        assert _values(cluster.plan_scan(DATABASE, "T", after=cursors[19])) == []
    window = cluster.plan_scan(DATABASE, "T", after=cursors[4], snapshot=cursors[9])
    assert _values(window) == [5, 6, 7, 8, 9]


def test_columns_go_by_id_over_old_and_moved_extents(cluster: EmbeddedCluster) -> None:
    def run(command: str) -> None:
        cluster.execute(DATABASE, command)

    run(".create table T (a:long, b:string, c:long)")
    run(".ingest inline into table T <| 1,x,10")
    run(".rename column T.a to z")
    run(".drop column T.b")
    run(".alter-merge table T (a:long, b:long)")
    run(".ingest inline into table T <| 2,20,200,2000")
    run(".create table Other (b:long, a:long, z:long, c:long)")
    run(".ingest inline into table Other <| 3000,300,3,30")
    run(".move extents all from table Other to table T")
    expected = [(1, 10, None, None), (2, 20, 200, 2000), (3, 30, 300, 3000)]
    assert sorted(cluster.query(DATABASE, "T | project z, c, a, b").rows) == expected
    cluster.execute(DATABASE, ".merge T (" + ", ".join(
        str(row[0]) for row in cluster.execute(DATABASE, ".show table T extents").rows
    ) + ")")  # fmt: skip
    assert sorted(cluster.query(DATABASE, "T | project z, c, a, b").rows) == expected
    assert cluster.query(DATABASE, "T | where a == 300 | project z").rows == [(3,)]


def test_spark_gets_exactly_its_types(cluster: EmbeddedCluster) -> None:
    table = pa.table(
        {
            "t": pa.array([dt.timedelta(days=1, microseconds=5), None], pa.duration("us")),
            "d": pa.array([dt.datetime(2024, 1, 1), None], pa.timestamp("us")),
            "j": [{"x": 1}, None],
        }
    )
    cluster.ingest(DATABASE, "T", table, create=True)
    (task,) = cluster.plan_scan(DATABASE, "T", shape="spark").tasks
    (batch,) = read_scan(task)
    assert batch.schema == pa.schema(
        [("t", pa.string()), ("d", pa.timestamp("us", tz="UTC")), ("j", pa.string())]
    )
    assert batch.schema.field("t").metadata is None
    assert batch.column(0).to_pylist() == ["1.00:00:00.0000050", None]
    (task,) = cluster.plan_scan(DATABASE, "T").tasks
    (batch,) = read_scan(task)
    assert batch.schema.field("t").type == pa.duration("us")
    assert batch.schema.field("j").metadata == {b"kusto.type": b"dynamic"}


def test_an_executor_opens_no_catalog(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1, 2, 3]}), create=True)
    plan = cluster.plan_scan(DATABASE, "T | where a > 1 | extend b = strcat('x', a)", shape="spark")
    task = tmp_path / "task"
    task.write_bytes(pickle.dumps(plan.tasks[0]))
    os.chmod(cluster.engine.root.catalog.path, 0o000)
    script = (
        "import pickle, sys, sqlite3\n"
        "sqlite3.connect = None\n"
        "from spark_kusto.client import read_scan\n"
        f"task = pickle.load(open({str(task)!r}, 'rb'))\n"
        "print([row for batch in read_scan(task) for row in batch.to_pylist()])\n"
        "assert 'pyspark' not in sys.modules and 'pandas' not in sys.modules\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert answer.stdout.strip() == "[{'a': 2, 'b': 'x2'}, {'a': 3, 'b': 'x3'}]", answer.stderr


def test_files_that_are_gone_and_roots_that_cannot_be_seen(cluster: EmbeddedCluster) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1]}), create=True)
    (task,) = cluster.plan_scan(DATABASE, "T").tasks
    database = cluster.engine.database(DATABASE)
    Path(database.snapshot().table("T").extents[0].path).unlink()
    with pytest.raises(SnapshotExpiredError, match="Read again"):
        list(read_scan(task))
    shutil.rmtree(database.extents_path)
    with pytest.raises(StorageError, match="not visible on this machine") as caught:
        list(read_scan(task))
    assert "same name" in str(caught.value)


def test_an_abandoned_scan_frees_its_connection(cluster: EmbeddedCluster) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": list(range(300_000))}), create=True)
    (task,) = cluster.plan_scan(DATABASE, "T").tasks
    for _ in range(3):
        batches = read_scan(task)
        assert next(iter(batches)).num_rows > 0
        del batches
    assert _values(cluster.plan_scan(DATABASE, "T | where a < 3")) == [0, 1, 2]


def test_statistics_come_from_the_catalog(cluster: EmbeddedCluster) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1, 2, 3]}), create=True)
    found = cluster.statistics(DATABASE, "T | where a > 1")
    assert found.rows == 3
    assert found.bytes is not None
    assert found.bytes > 0
    assert cluster.statistics(DATABASE, "T | where a > 5").rows == 0


def test_query_errors_reach_the_reader(cluster: EmbeddedCluster) -> None:
    from spark_kusto.errors import KqlSemanticError

    cluster.ingest(DATABASE, "T", pa.table({"a": [1]}), create=True)
    with pytest.raises(KqlSemanticError):
        cluster.plan_scan(DATABASE, "T | where nope")


def test_columns_without_a_null_are_named_where_the_catalog_knows_them(cluster: EmbeddedCluster) -> None:
    whole = pa.table({"a": [1, 2], "b": [1.5, None], "s": ["x", None], "t": [True, False]})
    cluster.ingest(DATABASE, "T", whole, create=True)

    def never_null(query: str) -> set[str]:
        return set(cluster.plan_scan(DATABASE, query, shape="spark", after="0").never_null)

    assert never_null("T") == {"a", "s", "t"}
    assert never_null("T | where b > 1 | project t, b, a") == {"a", "t"}
    assert cluster.plan_scan(DATABASE, "T", shape="spark").never_null == frozenset()
    # What is computed may be null, whatever it is called.
    assert never_null("T | extend a = a / 0") == set()
    assert never_null("T | project s, a = toint(s)") == set()
    assert never_null("T | summarize a = max(a)") == set()
    # So may a column be that an extent does not have, and one with nulls in any extent.
    cluster.execute(DATABASE, ".alter-merge table T (c:long)")
    cluster.ingest(DATABASE, "T", pa.table({"a": [3], "t": pa.array([None], pa.bool_()), "c": [1]}))
    assert never_null("T") & {"a", "b", "c", "t"} == {"a"}
    assert never_null("T | where a == 3") >= {"a", "c"}
