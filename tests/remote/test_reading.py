"""Reads in parts: exports into blobs of the user's or the service's, and the batches of streams."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from spark_kusto import connect
from spark_kusto.client import Cluster, ScanPlan, read_scan
from spark_kusto.client.remote.reads import ExportTask, QueryTask
from spark_kusto.errors import KustoError, OptionError, QueryError, StagingError, UnsupportedError
from spark_kusto.staging import TransientStorage, parse_container
from tests.remote.conftest import DATABASE, QUICK
from tests.remote.server import KustoServer
from tests.remote.test_asking import EVERY, refusal
from tests.remote.wire import api_error
from tests.staging.azurite import Container


def storage_of(container: Container) -> TransientStorage:
    return TransientStorage([parse_container(container.key_url)], expiry=timedelta(hours=1))


def read(plan: ScanPlan) -> list[dict[str, Any]]:
    tasks = pickle.loads(pickle.dumps(plan.tasks))
    return [row for task in tasks for batch in read_scan(task) for row in batch.to_pylist()]


# -- exports


@pytest.mark.parametrize("shape", ["kusto", "spark"])
def test_an_exported_answer_is_the_answer(
    server: KustoServer, remote: Cluster, container: Container, shape: Any
) -> None:
    query = f"{EVERY} | sort by n asc"
    plan = remote.plan_scan(DATABASE, query, mode="distributed", staging=storage_of(container), shape=shape)
    single = remote.plan_scan(DATABASE, query, mode="single", shape=shape)
    assert all(isinstance(task.payload, ExportTask) for task in plan.tasks)
    assert (plan.rows, plan.exact) == (4, True)
    assert plan.expires is not None
    assert single.expires is None
    assert sorted(map(repr, read(plan))) == sorted(map(repr, read(single)))
    (command,) = [text for text in server.texts() if text.startswith(".export")]
    assert 'parquetDatetimePrecision="microsecond"' in command
    assert "AccountKey" not in command
    assert container.azurite.endpoint in command


def test_each_file_is_a_task_that_may_read_it_and_nothing_else(
    server: KustoServer, remote: Cluster, container: Container
) -> None:
    plan = remote.plan_scan(
        DATABASE,
        "range n from 1 to 5000 step 1",
        mode="distributed",
        staging=storage_of(container),
        export_options={"sizeLimit": 1, "distribution": "per_node", "distributed": False},
        purpose="job",
    )
    assert len(plan.tasks) == 5
    assert sorted(row["n"] for row in read(plan)) == list(range(1, 5001))
    assert sum(task.rows or 0 for task in plan.tasks) == 5000
    command = next(text for text in server.texts() if text.startswith(".export"))
    assert "sizeLimit=1048576" in command
    assert 'distribution="per_node"' in command
    assert "distributed=false" in command
    assert all(name.startswith(f"{DATABASE}/job-") for name in container.names())
    assert "sig=" not in repr(plan)


def test_parameters_are_literals_in_an_export(
    server: KustoServer, remote: Cluster, container: Container
) -> None:
    text = "declare query_parameters(s:string, n:long = 5); print s = s, n = n"
    nasty = '" | where false; //'
    plan = remote.plan_scan(
        DATABASE, text, parameters={"s": nasty}, mode="distributed", staging=storage_of(container)
    )
    assert read(plan) == [{"s": nasty, "n": 5}]


def test_the_service_lends_its_storage(container: Container, server: KustoServer, remote: Cluster) -> None:
    server.containers = [container.sas_url()]
    plan = remote.plan_scan(DATABASE, "print a = 1", mode="distributed")
    assert read(plan) == [{"a": 1}]
    # In the service's containers nothing is put but by the service, which cleans up there.
    assert len(container.names()) == 1
    assert ".show export containers" in server.texts("mgmt")


def test_storage_that_nobody_lends(server: KustoServer, remote: Cluster) -> None:
    error = refusal(lambda: remote.plan_scan(DATABASE, "print a = 1", mode="distributed"), StagingError)
    assert "transientStorage" in str(error)


def test_an_empty_answer_has_no_tasks(remote: Cluster, container: Container) -> None:
    plan = remote.plan_scan(
        DATABASE, "print a = 1 | where a > 1", mode="distributed", staging=storage_of(container)
    )
    assert plan.tasks == ()
    assert [column.name for column in plan.columns] == ["a"]


@pytest.mark.parametrize("rows", [100, 600_000])
def test_the_size_decides(server: KustoServer, remote: Cluster, container: Container, rows: int) -> None:
    query = f"range n from 1 to {rows} step 1"
    plan = remote.plan_scan(
        DATABASE, query, staging=storage_of(container), export_options={"sizeLimit": 1000}
    )
    assert isinstance(plan.tasks[0].payload, ExportTask if rows > 500_000 else QueryTask)
    assert len(read(plan)) == rows
    # explain() plans without running anything.
    before = len(server.seen)
    quiet = remote.plan_scan(DATABASE, query, mode="distributed", export=False)
    assert isinstance(quiet.tasks[0].payload, QueryTask)
    assert [seen.text.endswith("take 0") for seen in server.seen[before:]] == [True]


def test_an_export_that_fails_leaves_nothing(
    server: KustoServer, remote: Cluster, container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    server._export = lambda *_: 1 / 0  # type: ignore[method-assign]
    query = "range n from 1 to 600000 step 1"
    error = refusal(
        lambda: remote.plan_scan(DATABASE, query, mode="distributed", staging=storage_of(container)),
        QueryError,
    )
    assert "Failed" in str(error)
    assert "division by zero" in str(error)
    assert container.names(uncommitted=True) == []
    # Where it was not asked for, the answer is read without it.
    plan = remote.plan_scan(DATABASE, query, staging=storage_of(container))
    assert len(read(plan)) == 600_000
    assert "could not be exported" in caplog.text


def test_polling_survives_trouble(server: KustoServer, remote: Cluster, container: Container) -> None:
    server.slow_polls = 3
    server.fail("mgmt", "reset", text=".show operation", times=2)
    server.fail("mgmt", status=503, text=".show operation", times=1)
    plan = remote.plan_scan(DATABASE, "print a = 1", mode="distributed", staging=storage_of(container))
    assert read(plan) == [{"a": 1}]


def test_an_operation_that_never_ends(server: KustoServer, container: Container) -> None:
    server.slow_polls = 10_000
    with connect(server.address, timeout=timedelta(seconds=0.3), backoff=QUICK) as cluster:
        error = refusal(
            lambda: cluster.plan_scan(DATABASE, "print 1", mode="distributed", staging=storage_of(container))
        )
    assert "has not ended" in str(error)
    assert "timeoutLimit" in str(error)


def test_a_file_that_is_gone(server: KustoServer, remote: Cluster, container: Container) -> None:
    plan = remote.plan_scan(DATABASE, "print a = 1", mode="distributed", staging=storage_of(container))
    container.empty()
    assert "deleted meanwhile" in str(refusal(lambda: read(plan), StagingError))


def test_a_wrong_export_option(remote: Cluster, container: Container) -> None:
    refusal(
        lambda: remote.plan_scan(
            DATABASE,
            "print 1",
            mode="distributed",
            staging=storage_of(container),
            export_options={"sizeLimit": "big"},
        ),
        OptionError,
    )


def test_columns_that_changed_since_the_plan(remote: Cluster, table: Callable[..., None]) -> None:
    table("T", "a:long", "1")
    plan = remote.plan_scan(DATABASE, "T")
    remote.execute(DATABASE, ".alter-merge table T (b:string)")
    assert "when it was planned" in str(refusal(lambda: read(plan)))


# -- streams


def test_batches_of_a_stream_follow_each_other(remote: Cluster, table: Callable[..., None]) -> None:
    table("T", "a:long")
    kql = "T | where a > 0 | project a"
    start = remote.advance(DATABASE, kql, "0")
    assert (start.cursor, start.rows) == ("0", 0)
    seen: list[int] = []
    cursor = "0"
    for number in range(3):
        for value in (2 * number + 1, 2 * number + 2):
            remote.execute(DATABASE, f".ingest inline into table T <|\n{value}\n-1")
        end = remote.advance(DATABASE, kql, cursor)
        assert end.rows == 4
        assert end.bytes > 0
        assert end.committed_at is not None
        assert end.table_id == start.table_id
        plan = remote.plan_scan(DATABASE, kql, after=cursor, snapshot=end.cursor)
        seen += [row["a"] for row in read(plan)]
        cursor = end.cursor
    assert sorted(seen) == [1, 2, 3, 4, 5, 6]
    assert remote.advance(DATABASE, kql, cursor).rows == 0


def test_a_batch_can_be_bounded(remote: Cluster, table: Callable[..., None]) -> None:
    table("T", "a:long")
    for value in range(8):
        remote.execute(DATABASE, f".ingest inline into table T <|\n{value}\n{value}")
    cursor, sizes, values = "0", [], []
    for _ in range(12):
        end = remote.advance(DATABASE, "T", cursor, max_rows=5)
        if not end.rows:
            break
        sizes.append(end.rows)
        plan = remote.plan_scan(DATABASE, "T", after=cursor, snapshot=end.cursor)
        values += [row["a"] for row in read(plan)]
        cursor = end.cursor
    assert sorted(values) == sorted([*range(8), *range(8)])
    assert max(sizes) <= 4
    # Whole commits, one at least, however close they are.
    assert remote.advance(DATABASE, "T", "0", max_rows=1).rows == 2
    assert remote.advance(DATABASE, "T", "0", max_bytes=1).rows == 2


def test_a_snapshot_bounds_one_table(remote: Cluster, table: Callable[..., None]) -> None:
    table("T", "a:long", "1\n2")
    cursor = remote.cursor(DATABASE)
    remote.execute(DATABASE, ".ingest inline into table T <|\n3")
    assert read(remote.plan_scan(DATABASE, "T | count", snapshot=cursor)) == [{"Count": 2}]
    refusal(lambda: remote.plan_scan(DATABASE, "T | join T on a", snapshot=cursor), UnsupportedError)


def test_streams_that_cannot_be(remote: Cluster, table: Callable[..., None]) -> None:
    table("T", "a:long", "1")
    refusal(lambda: remote.advance(DATABASE, "T | summarize count()", "0"), UnsupportedError)
    refusal(lambda: remote.advance(DATABASE, "T", "yesterday"), OptionError)
    remote.execute(DATABASE, ".alter table T policy ingestiontime false")
    error = refusal(lambda: remote.advance(DATABASE, "T", "0"), UnsupportedError)
    assert "policy ingestiontime true" in str(error)


def test_reads_need_no_right_to_see_details(
    server: KustoServer, remote: Cluster, table: Callable[..., None]
) -> None:
    table("T", "a:long", "1")
    server.fail("mgmt", status=403, error=api_error("Forbidden", "not for you"), text="details")
    assert remote.statistics(DATABASE, "T").rows is None
    server.fail(
        "mgmt", status=403, error=api_error("Forbidden", "not for you"), text=".show export containers"
    )
    assert "not for you" in str(
        refusal(lambda: remote.plan_scan(DATABASE, "T", mode="distributed"), KustoError)
    )
