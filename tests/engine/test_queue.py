"""Queued ingestion, asynchronous operations and maintenance."""

from __future__ import annotations

import datetime as dt
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spark_kusto import connect
from spark_kusto.client import IngestProperties, stage
from spark_kusto.client.cluster import IngestResult
from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.client.result import Result
from spark_kusto.engine import queue
from spark_kusto.errors import (
    EntityNotFoundError,
    IngestConflictError,
    IngestError,
    OptionError,
    QueryTimeoutError,
    StorageBusyError,
)
from spark_kusto.types import Column, KustoType
from tests.engine.conftest import DATABASE

Run = Callable[..., Result]
Value = Callable[..., Any]
COLUMNS = [Column("a", KustoType.LONG)]


def _queued(cluster: EmbeddedCluster, values: list[int], **options: Any) -> IngestResult:
    ids = {key: options.pop(key) for key in ("writer_id", "batch_id") if key in options}
    plan = cluster.begin_ingest(DATABASE, "T", COLUMNS, mode="queued", properties=IngestProperties(**options))
    return cluster.commit_ingest(plan, [stage(plan, [pa.record_batch({"a": values})])], **ids)


@pytest.fixture(autouse=True)
def _table(run: Run) -> None:
    run(".create table T (a:long)")


def test_data_is_invisible_until_the_policy_is_due(cluster: EmbeddedCluster, run: Run, value: Value) -> None:
    done = _queued(cluster, [1, 2])
    assert (done.status, done.rows, done.cursor) == ("queued", 2, None)
    assert value("T | count") == 0
    with pytest.raises(QueryTimeoutError, match="not visible"):
        cluster.wait_ingested(done.operation_id, dt.timedelta(seconds=0.2))
    shown = run(f".show queued ingestion operations '{done.operation_id}' | project State, InProgress, Table")
    assert shown.rows == [("Queued", 1, "T")]
    assert run(".show operations | where State == 'InProgress' | count").rows == [(1,)]


def test_a_dropped_table_ends_the_wait_for_its_data(cluster: EmbeddedCluster, run: Run) -> None:
    done = _queued(cluster, [1, 2])
    run(".drop table T")
    with pytest.raises(IngestError, match="has failed: The operation is aborted"):
        cluster.wait_ingested(done.operation_id, dt.timedelta(seconds=20))
    database = cluster.engine.root.database(DATABASE)
    database.sweep(dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=1))
    assert not any(database.staging_path.iterdir())


def test_short_processes_sweep_when_it_is_due(cluster: EmbeddedCluster, run: Run) -> None:
    database = cluster.engine.root.database(DATABASE)
    run(".set-or-append T <| print a = 1")
    swept = database.seconds_since_sweep()
    assert swept is not None
    assert swept < 600
    with database.catalog.transaction() as transaction:
        transaction.execute("UPDATE meta SET value = value - 36000000000 WHERE key = 'swept_on'")
    # A process of its own, which ends long before it is due for the second time.
    job = (
        "import sys; from spark_kusto import connect\n"
        "with connect(sys.argv[1]) as c: c.execute('NetDefaultDB', '.set-or-append T <| print a = 2')"
    )
    subprocess.run([sys.executable, "-c", job, cluster.address], check=True)
    swept = database.seconds_since_sweep()
    assert swept is not None
    assert swept < 600


def test_what_was_accepted_outlives_the_lease_of_its_staging(cluster: EmbeddedCluster, value: Value) -> None:
    plan = cluster.begin_ingest(DATABASE, "T", COLUMNS, mode="queued", lease=dt.timedelta(hours=1))
    cluster.commit_ingest(plan, [stage(plan, [pa.record_batch({"a": [1]})])])
    database = cluster.engine.root.database(DATABASE)
    for days in (1, 400):
        assert not database.sweep(dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=days)).operations
    cluster.engine.queue.process(database, flush=True)
    assert value("T | count") == 1


def test_what_a_busy_catalog_held_up_is_tried_again(
    cluster: EmbeddedCluster, value: Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = cluster.engine.root.database(DATABASE)
    commit, failures = database.commit_ingest, [StorageBusyError("The catalog is busy.")]

    def busy(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return commit(*arguments, **options)

    monkeypatch.setattr(database, "commit_ingest", busy)
    done = _queued(cluster, [1], flush_immediately=True)
    assert cluster.wait_ingested(done.operation_id, dt.timedelta(seconds=20)).status == "committed"
    assert value("T | count") == 1


def test_it_flushes_at_once_by_number_and_by_request(
    cluster: EmbeddedCluster, run: Run, value: Value
) -> None:
    run(""".alter table T policy ingestionbatching '{"MaximumNumberOfItems":3}'""")
    first = _queued(cluster, [1])
    _queued(cluster, [2])
    assert value("T | count") == 0
    _queued(cluster, [3])
    assert value("T | count") == 3
    done = cluster.wait_ingested(first.operation_id, dt.timedelta(seconds=5))
    assert (done.status, done.rows) == ("committed", 1)
    _queued(cluster, [4], flush_immediately=True, tags=("drop-by:x",))
    assert value("T | count") == 4
    assert run(".show table T extents where tags has 'drop-by:x' | count").rows == [(1,)]


def test_it_becomes_visible_by_itself_when_the_time_has_come(
    cluster: EmbeddedCluster, run: Run, value: Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(""".alter table T policy ingestionbatching '{"MaximumBatchingTimeSpan":"00:00:10"}'""")
    now = time.time()
    done = _queued(cluster, [1])
    assert value("T | count") == 0
    monkeypatch.setattr("spark_kusto.engine.queue.time.time", lambda: now + 11)
    assert value("T | count") == 1
    assert cluster.wait_ingested(done.operation_id).rows == 1


def test_the_next_process_that_opens_the_database_commits_what_is_due(
    cluster: EmbeddedCluster, run: Run
) -> None:
    run(""".alter table T policy ingestionbatching '{"MaximumBatchingTimeSpan":"00:00:10"}'""")
    _queued(cluster, [1, 2, 3])
    path = cluster.address
    cluster.close()
    script = (
        "import time; real = time.time; time.time = lambda: real() + 60\n"
        "from spark_kusto import connect\n"
        f"print(connect({path!r}).query('NetDefaultDB', 'T | count').rows[0][0])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert answer.stdout.strip() == "3", answer.stderr


def test_a_replayed_batch_in_the_queue_adds_nothing(cluster: EmbeddedCluster, value: Value) -> None:
    options = {"flush_immediately": True, "writer_id": "w", "batch_id": 1}
    _queued(cluster, [1], **options)
    _queued(cluster, [1], **options)
    assert value("T | count") == 1
    assert cluster.engine.database(DATABASE).entities("queue") == ()


def test_batches_of_a_writer_stay_in_order_in_the_queue(
    cluster: EmbeddedCluster, rows: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that could not be committed must not be overtaken: it would look like a replay."""
    for batch in range(3):
        _queued(cluster, [batch], writer_id="w", batch_id=batch)
    database = cluster.engine.root.database(DATABASE)
    commit = database.commit_ingest
    tried: list[int] = []

    def busy_once(*arguments: Any, **options: Any) -> Any:
        tried.append(options["batch_id"])
        if len(tried) == 1:
            raise StorageBusyError("held")
        return commit(*arguments, **options)

    monkeypatch.setattr(database, "commit_ingest", busy_once)
    assert cluster.engine.queue.process(database, flush=True) == 0
    assert tried == [0]
    assert cluster.engine.queue.process(database, flush=True) == 3
    assert rows("T | order by a asc") == [(0,), (1,), (2,)]


def test_a_queued_batch_is_settled_before_the_writers_next_one(
    cluster: EmbeddedCluster, rows: Callable[..., Any]
) -> None:
    """Also where the queued batches are to create the table, each under an id of its own."""
    data = pa.table({"a": pa.array([7], pa.int64())})
    for batch in range(2):
        plan = cluster.begin_ingest(DATABASE, "New", COLUMNS, create=True, mode="queued")
        message = stage(plan, [pa.record_batch({"a": [batch]})])
        cluster.commit_ingest(plan, [message], writer_id="w", batch_id=batch)
    done = cluster.ingest(DATABASE, "New", data, create=True, writer_id="w", batch_id=2)
    assert done.status == "committed"
    assert rows("New | order by a asc") == [(0,), (1,), (7,)]


def test_a_query_does_not_fail_because_the_queue_cannot_move(
    cluster: EmbeddedCluster, run: Run, value: Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> int:
        raise StorageBusyError("held")

    monkeypatch.setattr(queue, "_PATIENCE_SECONDS", 0.1)
    with monkeypatch.context() as inner:
        inner.setattr(cluster.engine.queue, "process", busy)
        _queued(cluster, [1], flush_immediately=True)
    with cluster.engine.root.database(DATABASE).catalog.transaction():
        assert value("T | count") == 0
    deadline = time.monotonic() + 20
    while value("T | count") == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert value("T | count") == 1


def test_a_passing_fault_of_the_disk_loses_nothing(
    cluster: EmbeddedCluster, value: Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    _queued(cluster, [1, 2])
    database = cluster.engine.database(DATABASE)

    def no_handles(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", no_handles)
        cluster.engine.queue.process(database, flush=True)
    assert value("T | count") == 0
    cluster.engine.queue.process(database, flush=True)
    assert value("T | count") == 2


def test_files_of_an_ingestion_that_is_over_are_not_accepted(cluster: EmbeddedCluster, value: Value) -> None:
    plan = cluster.begin_ingest(DATABASE, "T", COLUMNS, mode="queued")
    staged = stage(plan, [pa.record_batch({"a": [1]})])
    cluster.abort_ingest(plan, [staged])
    with pytest.raises(IngestConflictError, match="is over; nothing was queued"):
        cluster.commit_ingest(plan, [staged])
    assert cluster.engine.queue.process(cluster.engine.database(DATABASE), flush=True) == 0


def test_half_of_a_batchs_identity_is_refused(cluster: EmbeddedCluster, value: Value) -> None:
    with pytest.raises(OptionError, match="writer_id is given without batch_id"):
        cluster.ingest(DATABASE, "T", pa.table({"a": [1]}), writer_id="w")
    with pytest.raises(OptionError, match="batch_id is given without writer_id"):
        cluster.ingest(DATABASE, "T", pa.table({"a": [1]}), batch_id=0)
    assert value("T | count") == 0


def test_what_cannot_be_committed_is_reported(cluster: EmbeddedCluster, run: Run) -> None:
    done = _queued(cluster, [1])
    run(".drop table T")
    run(".create table T (b:long)")
    cluster.engine.queue.process(cluster.engine.database(DATABASE), flush=True)
    # The queue went with the table it belonged to; the operation itself can only expire.
    state = cluster.engine.queue.state(done.operation_id)
    assert state.status in ("queued", "failed")
    with pytest.raises(EntityNotFoundError):
        cluster.engine.queue.state("123e4567-e89b-12d3-a456-426614174000")


def test_a_dropped_column_fails_the_item_and_says_so(
    cluster: EmbeddedCluster, run: Run, value: Value
) -> None:
    done = _queued(cluster, [1])
    database = cluster.engine.database(DATABASE)
    staged = next(database.staging_path.iterdir())
    for file in staged.glob("*.parquet"):
        file.unlink()
    cluster.engine.queue.process(database, flush=True)
    with pytest.raises(IngestError, match="has failed"):
        cluster.wait_ingested(done.operation_id, dt.timedelta(seconds=1))
    failure = run(f".show ingestion failures with (OperationId='{done.operation_id}')").rows
    assert len(failure) == 1
    assert database.entities("queue") == ()
    assert value("T | count") == 0


def test_data_cannot_be_replaced_through_the_queue(cluster: EmbeddedCluster) -> None:
    from spark_kusto.client import Replace

    with pytest.raises(OptionError, match="queued"):
        cluster.begin_ingest(DATABASE, "T", COLUMNS, mode="queued", replace=Replace(all=True))


# -- operations -----------------------------------------------------------------------------------------


def test_asynchronous_commands_are_followed_to_their_end(
    cluster: EmbeddedCluster, run: Run, value: Value
) -> None:
    operation = run(".set-or-append async T <| range a from 1 to 3 step 1").rows[0][0]
    failing = run(".append async T <| print a='x'").rows[0][0]
    cluster.engine.operations.close()
    shown = run(f".show operations ({operation}, {failing}) | project OperationId, Operation, State, Status")
    states = {row[0]: row[1:] for row in shown.rows}
    assert states[operation] == ("TableSetOrAppend", "Completed", "")
    assert states[failing][1] == "Failed"
    assert "string" in states[failing][2]
    assert run(f".show operation {operation} details | project RowCount").rows == [(3,)]
    with pytest.raises(OptionError, match="Failed"):
        run(f".show operation {failing} details")
    with pytest.raises(EntityNotFoundError):
        run(".show operations 123e4567-e89b-12d3-a456-426614174000")
    assert value("T | count") == 3
    other = connect(cluster.address)
    assert other.execute(DATABASE, f".show operation {operation} details | project RowCount").rows == [(3,)]
    other.close()


def test_an_operation_can_be_cancelled(cluster: EmbeddedCluster, run: Run) -> None:
    slow = "range a from 1 to 100000000 step 1 | summarize a = dcount(tostring(a * 7919))"
    operation = run(f".set-or-append async T <| {slow}").rows[0][0]
    deadline = time.monotonic() + 10
    while not run(".show commands | where State == 'InProgress' and CommandType == 'TableSetOrAppend'").rows:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    answer = run(f".cancel operation {operation} with (reason='enough')").rows
    assert answer[0][3] == "CancelRequested"
    cluster.engine.operations.close()
    state = run(f".show operations {operation} | project State, Status").rows[0]
    assert state[0] == "Canceled"
    assert "enough" in state[1]


def test_an_operation_whose_process_ended_is_abandoned(cluster: EmbeddedCluster, run: Run) -> None:
    script = (
        "import os, threading\n"
        "from spark_kusto import connect\n"
        f"c = connect({cluster.address!r})\n"
        "slow = 'range a from 1 to 1000000000 step 1 | summarize a = dcount(tostring(a))'\n"
        "print(c.execute('NetDefaultDB', f'.set-or-append async T <| {slow}').rows[0][0], flush=True)\n"
        "os._exit(9)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    operation = answer.stdout.strip()
    assert run(f".show operations {operation} | project State, ShouldRetry").rows == [("Abandoned", True)]


# -- maintenance ----------------------------------------------------------------------------------------


def test_many_small_commits_are_merged_and_keep_their_times(
    cluster: EmbeddedCluster, run: Run, value: Value
) -> None:
    for n in range(40):
        cluster.ingest(DATABASE, "T", pa.table({"a": [n]}))
    assert value("T | count") == 40
    assert value("T | summarize dcount(ingestion_time())") == 40
    cluster.maintain()
    assert run(".show table T extents | count").rows[0][0] < 10
    assert value("T | summarize dcount(ingestion_time())") == 40
    assert value("T | summarize sum(a)") == sum(range(40))


def test_merging_can_be_forbidden(cluster: EmbeddedCluster, run: Run) -> None:
    run(""".alter-merge table T policy merge '{"AllowMerge":false}'""")
    for n in range(20):
        cluster.ingest(DATABASE, "T", pa.table({"a": [n]}))
    cluster.maintain()
    assert run(".show table T extents | count").rows == [(20,)]


def test_several_processes_write_one_table(cluster: EmbeddedCluster, value: Value, tmp_path: Path) -> None:
    script = (
        "import sys, pyarrow as pa\n"
        "from spark_kusto import connect\n"
        f"c = connect({cluster.address!r})\n"
        "for n in range(10):\n"
        "    c.ingest('NetDefaultDB', 'T', pa.table({'a': [n]}), writer_id=sys.argv[1], batch_id=n)\n"
        "c.close()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(n)]) for n in range(3)]
    for process in processes:
        assert process.wait(120) == 0
    assert value("T | count") == 30
    assert value("T | summarize sum(a)") == 3 * 45


def test_trouble_after_a_commit_does_not_fail_it(
    cluster: EmbeddedCluster, value: Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("a defect of maintenance")

    def busy(*arguments: Any, **options: Any) -> Any:
        raise StorageBusyError("The catalog is busy.")

    with monkeypatch.context() as patched:
        patched.setattr(cluster.engine.maintenance, "_is_crowded", failing)
        cluster.ingest(DATABASE, "T", pa.table({"a": [1]}))
    with monkeypatch.context() as patched:
        patched.setattr(cluster.engine.queue, "poll", lambda database: None)
        patched.setattr(cluster.engine.queue, "process", busy)
        done = _queued(cluster, [2], flush_immediately=True)
    assert cluster.wait_ingested(done.operation_id, dt.timedelta(seconds=20)).status == "committed"
    assert value("T | count") == 2
