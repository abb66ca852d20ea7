"""Positions of a stream: whole commits, bounded by rows and bytes, also out of merged extents."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pyarrow as pa
import pytest

from spark_kusto import connect
from spark_kusto.client import Cluster, read_scan
from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.errors import UnsupportedError

DATABASE = "NetDefaultDB"


def _append(cluster: Cluster, first: int, count: int) -> str:
    table = pa.table({"id": pa.array(range(first, first + count), pa.int64())})
    cluster.ingest(DATABASE, "T", table, create=True)
    return cluster.cursor(DATABASE)


def _read(cluster: Cluster, after: str, until: str) -> list[int]:
    plan = cluster.plan_scan(DATABASE, "T | where id >= 0", after=after, snapshot=until, parallelism=2)
    return sorted(v for task in plan.tasks for batch in read_scan(task) for v in batch.column(0).to_pylist())


def test_a_batch_takes_in_whole_commits(tmp_path: Path) -> None:
    with connect(tmp_path / "k") as cluster:
        cursors = [_append(cluster, first, 10) for first in range(0, 50, 10)]
        everything = cluster.advance(DATABASE, "T", "0")
        assert (everything.cursor, everything.rows) == (cursors[-1], 50)
        assert everything.committed_at is not None
        assert cluster.advance(DATABASE, "T", "0", max_rows=25).cursor == cursors[1]
        assert cluster.advance(DATABASE, "T", "0", max_rows=3).cursor == cursors[0]
        assert cluster.advance(DATABASE, "T", cursors[0], max_bytes=1).cursor == cursors[1]
        end = cluster.advance(DATABASE, "T", cursors[-1])
        assert (end.cursor, end.rows) == (cursors[-1], 0)
        with pytest.raises(UnsupportedError, match="one table"):
            cluster.advance(DATABASE, "T | summarize count()", "0")
        assert _read(cluster, cursors[1], cursors[3]) == list(range(20, 40))


def test_batches_outlive_merges_and_the_files_of_their_snapshot(tmp_path: Path) -> None:
    with connect(tmp_path / "k") as cluster:
        cursors = [_append(cluster, first, 10) for first in range(0, 50, 10)]
        before = {str(path) for path in tmp_path.rglob("extents/*.parquet")}
        merged = cluster.execute(
            DATABASE, ".merge table T (" + ", ".join(_extents(cluster)) + ") with (rebuild=true)"
        )
        assert merged.rows
        assert cluster.advance(DATABASE, "T", "0", max_rows=25).cursor == cursors[1]
        for path in before:
            # As if the grace period of what was merged away had passed.
            os.unlink(path)
        assert _read(cluster, cursors[1], cursors[3]) == list(range(20, 40))
        _append(cluster, 50, 10)
        assert _read(cluster, cursors[3], cursors[4]) == list(range(40, 50))
        # Nor does it matter that the catalog has forgotten them.
        assert isinstance(cluster, EmbeddedCluster)
        later = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=1)
        assert cluster.engine.database(DATABASE).sweep(later).extents
        assert _read(cluster, cursors[1], cursors[3]) == list(range(20, 40))


def _extents(cluster: Cluster) -> list[str]:
    rows = cluster.execute(DATABASE, ".show table T extents | project ExtentId").rows
    return [f"'{row[0]}'" for row in rows]
