"""Writes: all or nothing, once; through blobs, the queue, streaming requests or messages; nothing left."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import pickle
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from spark_kusto import connect
from spark_kusto.client import (
    Cluster,
    IngestPlan,
    IngestProperties,
    IngestResult,
    Replace,
    StagedFiles,
    stage,
)
from spark_kusto.errors import (
    EntityNotFoundError,
    IngestError,
    KustoError,
    OptionError,
    SchemaMismatchError,
    ServiceError,
    TypeConversionError,
    UnsupportedError,
)
from spark_kusto.staging import TransientStorage, parse_container
from spark_kusto.types import Column, columns_from_arrow
from tests.remote.aggregator import Aggregator
from tests.remote.azurite_services import AzuriteService
from tests.remote.conftest import DATABASE, QUICK
from tests.remote.server import KustoServer
from tests.remote.test_asking import EVERY, refusal
from tests.remote.wire import api_error
from tests.staging.azurite import Container

ROWS = pa.table({"a": pa.array([1, 2, 3], pa.int64()), "b": ["x", "", "z"]})


def storage_of(container: Container, **more: Any) -> TransientStorage:
    return TransientStorage([parse_container(container.key_url)], expiry=timedelta(hours=1), **more)


def write(
    cluster: Cluster,
    table: str,
    data: pa.Table = ROWS,
    *,
    writer: str | None = None,
    batch: int | None = None,
    staging: TransientStorage | None = None,
    parts: int = 2,
    **more: Any,
) -> IngestResult:
    """Begin, stage in several tasks, and commit, with everything that travels pickled."""
    more.setdefault("create", True)
    plan = cluster.begin_ingest(DATABASE, table, columns_from_arrow(data.schema), staging=staging, **more)
    try:
        staged = stage_in_parts(plan, data, parts)
        return cluster.commit_ingest(plan, staged, writer_id=writer, batch_id=batch, staging=staging)
    except BaseException:
        cluster.abort_ingest(plan, staging=staging)
        raise


def stage_in_parts(plan: IngestPlan, data: pa.Table, parts: int = 2) -> list[StagedFiles]:
    shipped = pickle.dumps(plan)
    size = max(1, -(-data.num_rows // parts))
    return [
        pickle.loads(pickle.dumps(stage(pickle.loads(shipped), data.slice(start, size).to_batches())))
        for start in range(0, data.num_rows, size)
    ]


def count(server: KustoServer, table: str) -> int:
    found: int = server.cluster.query(DATABASE, f"{table} | count").rows[0][0]
    return found


def tables(server: KustoServer) -> list[str]:
    return [
        row[0]
        for row in server.cluster.execute(DATABASE, ".show tables with (includeHiddenTables=true)").rows
    ]


@pytest.fixture(params=["own storage", "lent storage", "messages"])
def way(
    request: pytest.FixtureRequest, server: KustoServer, container: Container
) -> Iterator[TransientStorage | None]:
    """Every way for rows to travel."""
    if request.param == "own storage":
        yield storage_of(container)
        assert container.names(uncommitted=True) == []
        return
    if request.param == "lent storage":
        server.resources = [("TempStorage", container.sas_url()), ("FailedIngestionsQueue", "https://x/q?s")]
    yield None


# -- transactions


@pytest.mark.roundtrip
def test_every_type_arrives(server: KustoServer, remote: Cluster, way: TransientStorage | None) -> None:
    data = server.cluster.query(DATABASE, EVERY).to_arrow()
    result = write(remote, "T", data, staging=way)
    assert (result.status, result.rows, result.cursor) == ("committed", 4, server.cluster.cursor(DATABASE))
    assert len(result.extent_ids) == result.extents > 0
    assert repr(server.cluster.query(DATABASE, "T | sort by n asc").rows) == repr(
        server.cluster.query(DATABASE, EVERY).rows
    )
    assert tables(server) == ["T"]


def test_columns_go_by_name(server: KustoServer, remote: Cluster, way: TransientStorage | None) -> None:
    server.cluster.execute(DATABASE, ".create table T (b:string, ['c d']:datetime, a:int)")
    write(remote, "T", staging=way, create=False)
    rows = server.cluster.query(DATABASE, "T | sort by a asc").rows
    assert rows == [("x", None, 1), ("", None, 2), ("z", None, 3)]


def test_all_rows_become_visible_at_once(server: KustoServer, remote: Cluster, container: Container) -> None:
    plan = remote.begin_ingest(
        DATABASE, "T", columns_from_arrow(ROWS.schema), create=True, staging=storage_of(container)
    )
    staged = stage_in_parts(plan, ROWS, 3)
    assert tables(server) == []
    assert len(container.names()) == 4
    remote.commit_ingest(plan, staged[:2], staging=storage_of(container))
    # What a lost attempt of a task has staged is not there, and goes with the rest.
    assert count(server, "T") == 2
    assert container.names(uncommitted=True) == []
    remote.abort_ingest(plan, staging=storage_of(container))
    assert count(server, "T") == 2


def test_tags_creation_time_and_new_ingestion_time(
    server: KustoServer, remote: Cluster, way: TransientStorage | None
) -> None:
    before = server.cluster.cursor(DATABASE)
    created = dt.datetime(2020, 1, 2, tzinfo=dt.timezone.utc)
    properties = IngestProperties(tags=("drop-by:d", "plain"), creation_time=created)
    write(remote, "T", staging=way, properties=properties)
    shown = server.cluster.execute(DATABASE, ".show table T extents | project Tags, MinCreatedOn").rows
    assert {tuple(sorted(tags.split())) for tags, _ in shown} == {("drop-by:d", "plain")}
    assert {moment for _, moment in shown} == {created}
    assert remote.query(DATABASE, f"T | where cursor_after('{before}') | count").rows == [(3,)]


@pytest.mark.parametrize(
    "step", [".create table ['spark", ".alter table", ".ingest", ".move", ".show operation"]
)
def test_a_commit_that_fails_leaves_nothing(
    server: KustoServer, remote: Cluster, way: TransientStorage | None, step: str
) -> None:
    server.cluster.execute(DATABASE, ".create table T (a:long, b:string)")
    if step == ".show operation" and way is None and not server.resources:
        step = ".move"
    server.fail("mgmt", status=400, error=api_error("General_BadRequest", "no"), text=step, times=99)
    refusal(lambda: write(remote, "T", staging=way))
    assert count(server, "T") == 0
    server.faults.clear()
    if step == ".ingest" or step == ".show operation":
        # Dropped again, though the first attempt could not tell how far it came.
        assert tables(server) == ["T"]
    assert write(remote, "T", staging=way).rows == 3
    assert count(server, "T") == 3


def test_a_move_that_nobody_hears_of_is_done_once(
    server: KustoServer, remote: Cluster, way: TransientStorage | None
) -> None:
    server.fail("mgmt", "lost", text=".move", times=1)
    assert write(remote, "T", staging=way).status == "committed"
    assert count(server, "T") == 3
    server.fail("mgmt", "lost", text=".replace", times=1)
    assert write(remote, "T", staging=way, replace=Replace(all=True)).status == "committed"
    assert count(server, "T") == 3
    assert tables(server) == ["T"]


def test_a_busy_cluster_is_waited_for(server: KustoServer, remote: Cluster, container: Container) -> None:
    server.fail("mgmt", status=429, text=".ingest", times=QUICK.attempts + 2)
    server.fail("mgmt", status=429, text=".move", times=2)
    assert write(remote, "T", staging=storage_of(container)).status == "committed"
    assert count(server, "T") == 3


def test_rows_that_the_service_lost_are_missed(
    server: KustoServer, remote: Cluster, container: Container
) -> None:
    original = server._ingest

    def half(database: str, text: str, operation: Any) -> None:
        sources = text[text.index("(h") : text.index(") with")]
        original(database, text.replace(sources, "(" + sources[1:].split(", ")[0]), operation)

    server._ingest = half  # type: ignore[method-assign]
    error = refusal(lambda: write(remote, "T", staging=storage_of(container)), IngestError)
    assert "3 rows were staged and the cluster took in 2" in str(error)
    assert count(server, "T") == 0
    assert tables(server) == ["T"]
    assert container.names(uncommitted=True) == []


def test_the_temporary_table_is_hidden_and_mortal(server: KustoServer, remote: Cluster) -> None:
    seen = {}
    original = server.cluster.execute

    def watch(database: str, text: str, *more: Any) -> Any:
        if text.startswith(".move"):
            (name,) = [n for n in tables_of(original) if n.startswith("spark_kusto_write_")]
            seen["shown"] = [row[0] for row in original(DATABASE, ".show tables").rows]
            for policy in ("auto_delete", "merge"):
                seen[policy] = original(DATABASE, f".show table {name} policy {policy}").rows[0][2]
        return original(database, text, *more)

    def tables_of(execute: Any) -> list[str]:
        return [row[0] for row in execute(DATABASE, ".show tables with (includeHiddenTables=true)").rows]

    server.cluster.execute = watch  # type: ignore[method-assign]
    write(remote, "T", lease=timedelta(days=3))
    assert seen["shown"] == ["T"]
    assert '"DeleteIfNotEmpty": true' in seen["auto_delete"].replace('":t', '": t')
    until = dt.datetime.now(dt.timezone.utc) + timedelta(days=3)
    assert f"{until:%Y-%m-%d}" in seen["auto_delete"]
    assert "false" in seen["merge"].lower()


# -- replacing


def test_everything_is_replaced_in_one_transaction(
    server: KustoServer, remote: Cluster, way: TransientStorage | None
) -> None:
    write(remote, "T", staging=way)
    write(remote, "T", ROWS.slice(0, 1), staging=way, replace=Replace(all=True))
    assert server.cluster.query(DATABASE, "T").rows == [(1, "x")]
    # Also by nothing.
    write(remote, "T", ROWS.slice(0, 0), staging=way, replace=Replace(all=True))
    assert count(server, "T") == 0


def test_extents_with_a_tag_are_replaced(server: KustoServer, remote: Cluster) -> None:
    for tag, rows in (("day1", 1), ("day2", 2), ("day22", 3)):
        write(
            remote, "T", ROWS.slice(0, rows), parts=1, properties=IngestProperties(tags=(f"drop-by:{tag}",))
        )
    write(
        remote,
        "T",
        ROWS.slice(2, 1),
        parts=1,
        replace=Replace(tags=("drop-by:day2",)),
        properties=IngestProperties(tags=("drop-by:day2",)),
    )
    assert sorted(row[0] for row in server.cluster.query(DATABASE, "T").rows) == [1, 1, 2, 3, 3]


def test_what_cannot_be_replaced_says_so(remote: Cluster) -> None:
    error = refusal(lambda: write(remote, "T", replace=Replace(predicate="a > 1")), UnsupportedError)
    assert "replaceTags" in str(error)
    refusal(
        lambda: write(
            remote, "T", replace=Replace(all=True), properties=IngestProperties(recreate_schema=True)
        ),
        UnsupportedError,
    )
    refusal(lambda: write(remote, "T", replace=Replace(all=True), mode="queued"), OptionError)


# -- once


def test_a_replayed_batch_adds_nothing(
    server: KustoServer, remote: Cluster, way: TransientStorage | None
) -> None:
    assert write(remote, "T", staging=way, writer="w", batch=0).status == "committed"
    again = write(remote, "T", staging=way, writer="w", batch=0)
    assert (again.status, again.rows) == ("replayed", 0)
    assert write(remote, "T", staging=way, writer="w", batch=2).status == "committed"
    assert write(remote, "T", staging=way, writer="w", batch=1).status == "replayed"
    assert write(remote, "T", staging=way, writer="w2", batch=1).status == "committed"
    assert count(server, "T") == 9


def test_tags_of_old_batches_do_not_gather(server: KustoServer, remote: Cluster) -> None:
    for batch in range(14):
        write(remote, "T", parts=1, writer="w", batch=batch, properties=IngestProperties(tags=("keep",)))
    shown = server.cluster.execute(DATABASE, ".show table T extents | project Tags").rows
    tags = [tag for row in shown for tag in row[0].split()]
    assert sum(tag.startswith("ingest-by:spark-kusto/w/") for tag in tags) < 14
    assert "keep" in tags
    assert write(remote, "T", writer="w", batch=13).status == "replayed"
    assert write(remote, "T", writer="w", batch=2).status == "replayed"
    assert count(server, "T") == 42


def test_a_batch_survives_the_merge_of_its_extents(server: KustoServer, remote: Cluster) -> None:
    for batch in range(3):
        write(remote, "T", writer="w", batch=batch)
    ids = [
        str(row[0])
        for row in server.cluster.execute(DATABASE, ".show table T extents | project ExtentId").rows
    ]
    server.cluster.execute(DATABASE, f".merge table T ({', '.join(ids)})")
    assert write(remote, "T", writer="w", batch=2).status == "replayed"
    assert write(remote, "T", writer="w", batch=3).status == "committed"


def test_a_batch_that_nobody_heard_of_is_known_in_the_next_attempt(
    server: KustoServer, remote: Cluster
) -> None:
    # Whether the first attempt finds out what became of its move is a matter of time.
    server.fail("mgmt", "lost", text=".move", times=1)
    broken = api_error("General_BadRequest", "no")
    server.fail("mgmt", status=400, error=broken, text=".show operation", times=9)
    with contextlib.suppress(KustoError):
        write(remote, "T", writer="w", batch=0)
    server.faults.clear()
    assert write(remote, "T", writer="w", batch=0).status in ("replayed", "committed")
    assert count(server, "T") == 3


def test_ingest_if_not_exists(server: KustoServer, remote: Cluster, way: TransientStorage | None) -> None:
    properties = IngestProperties(tags=("ingest-by:day1",), ingest_if_not_exists=("day1",))
    assert write(remote, "T", staging=way, properties=properties).status == "committed"
    assert write(remote, "T", staging=way, properties=properties).status == "skipped"
    other = IngestProperties(ingest_if_not_exists=("day11",))
    assert write(remote, "T", staging=way, properties=other).status == "committed"
    assert count(server, "T") == 6


# -- schemas


def test_what_does_not_fit_is_told_at_once(server: KustoServer, remote: Cluster) -> None:
    server.cluster.execute(DATABASE, ".create table T (a:datetime, b:string)")
    data = ROWS.append_column("c", pa.array([1, 2, 3]))
    error = refusal(lambda: write(remote, "T", data, create=False), SchemaMismatchError)
    assert error.columns == ("a", "c")
    assert "'c' (long) is not in the table" in str(error)
    refusal(lambda: write(remote, "Missing", create=False), EntityNotFoundError)
    assert ".ingest" not in "".join(server.texts())


def test_a_table_gets_new_columns(server: KustoServer, remote: Cluster, way: TransientStorage | None) -> None:
    write(remote, "T", staging=way)
    data = ROWS.append_column("c", pa.array([1.5, None, 2.5]))
    write(remote, "T", data, staging=way, properties=IngestProperties(extend_schema=True))
    assert count(server, "T | where isnotnull(c)") == 2
    assert remote.schema(DATABASE, "T")[2].type.value == "real"


def test_values_that_do_not_fit(server: KustoServer, remote: Cluster) -> None:
    server.cluster.execute(DATABASE, ".create table T (a:int, b:string)")
    data = pa.table({"a": pa.array([1, 2**40], pa.int64()), "b": ["x", "y"]})
    error = refusal(lambda: write(remote, "T", data), TypeConversionError)
    assert error.column == "a"
    result = write(remote, "T", data, properties=IngestProperties(maximum_errors_allowed=1))
    assert result.errors == 1
    assert server.cluster.query(DATABASE, "T | sort by b asc").rows == [(1, "x"), (None, "y")]


def test_a_mapping_by_ordinals(server: KustoServer, remote: Cluster, way: TransientStorage | None) -> None:
    server.cluster.execute(DATABASE, ".create table T (x:string, y:long, z:string)")
    mapping = (
        '[{"Column":"y","Properties":{"Ordinal":"0"}},{"Column":"x","Properties":{"Ordinal":"1"}},'
        '{"Column":"z","Properties":{"ConstValue":"c"}}]'
    )
    write(remote, "T", staging=way, properties=IngestProperties(mapping=mapping, mapping_kind="csv"))
    server.cluster.execute(DATABASE, f".create table T ingestion csv mapping 'm' '{mapping}'")
    write(remote, "T", staging=way, properties=IngestProperties(mapping_name="m", mapping_kind="csv"))
    assert server.cluster.query(DATABASE, "T | distinct * | sort by y asc").rows == [
        ("x", 1, "c"),
        ("", 2, "c"),
        ("z", 3, "c"),
    ]


def test_data_from_this_process(server: KustoServer, remote: Cluster) -> None:
    assert remote.ingest(DATABASE, "T", ROWS, create=True, tags=["x"]).rows == 3
    assert remote.ingest(DATABASE, "T", ROWS.to_pandas()).rows == 3
    assert count(server, "T") == 6
    refusal(lambda: remote.ingest(DATABASE, "T", "file.csv"), UnsupportedError)


# -- the queue


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[AzuriteService, AzuriteService]]:
    with AzuriteService("queue") as queues, AzuriteService("table") as kept:
        yield queues, kept


@pytest.fixture
def aggregator(
    request: pytest.FixtureRequest,
    server: KustoServer,
    services: tuple[AzuriteService, AzuriteService],
    container: Container,
) -> Iterator[Aggregator]:
    server.resources = [("TempStorage", container.sas_url())]
    with Aggregator(server, *services, container.name) as running:
        yield running


@pytest.mark.parametrize("own", [True, False])
def test_queued_rows_come_later(
    server: KustoServer, remote: Cluster, aggregator: Aggregator, container: Container, own: bool
) -> None:
    aggregator.hold.set()
    data = server.cluster.query(DATABASE, EVERY).to_arrow()
    properties = IngestProperties(tags=("drop-by:d",), flush_immediately=True)
    staging = storage_of(container) if own else None
    result = write(remote, "T", data, mode="queued", staging=staging, properties=properties)
    assert (result.status, result.rows) == ("queued", 4)
    assert count(server, "T") == 0
    refusal(lambda: remote.wait_ingested(result.operation_id, timedelta(0)), ServiceError)
    aggregator.hold.clear()
    assert remote.wait_ingested(result.operation_id, timedelta(seconds=30)).status == "committed"
    assert repr(server.cluster.query(DATABASE, "T | sort by n asc").rows) == repr(
        server.cluster.query(DATABASE, EVERY).rows
    )
    message = aggregator.messages[0]
    assert message["FlushImmediately"] is True
    assert message["RawDataSize"] > 0
    assert message["AdditionalProperties"]["authorizationContext"]
    assert "drop-by:d" in message["AdditionalProperties"]["tags"]
    # The blobs stay until they expire: the service may read them later.
    assert len(container.names()) >= 2


def test_a_queued_failure_is_told(server: KustoServer, remote: Cluster, aggregator: Aggregator) -> None:
    aggregator.hold.set()
    result = write(remote, "T", mode="queued")
    server.cluster.execute(DATABASE, ".drop table T")
    aggregator.hold.clear()
    # Also to another process, which knows the ingestion by its id alone.
    with connect(server.address, backoff=QUICK) as other:
        for cluster in (remote, other):
            error = refusal(
                lambda cluster=cluster: cluster.wait_ingested(result.operation_id, timedelta(seconds=30)),
                IngestError,
            )
            assert "'T'" in str(error)
        refusal(lambda: other.wait_ingested(str(uuid.uuid4())), UnsupportedError)
        refusal(lambda: other.wait_ingested("7"), OptionError)


def test_no_queue(server: KustoServer, remote: Cluster, container: Container) -> None:
    error = refusal(lambda: write(remote, "T", mode="queued", staging=storage_of(container)), ServiceError)
    assert "kustoIngestionUri" in str(error)
    assert container.names(uncommitted=True) == []


# -- streaming requests


def test_streamed_rows_are_there_at_once(server: KustoServer, remote: Cluster) -> None:
    data = server.cluster.query(DATABASE, EVERY).to_arrow()
    assert write(remote, "T", data, mode="streaming").status == "committed"
    assert repr(server.cluster.query(DATABASE, "T | sort by n asc").rows) == repr(
        server.cluster.query(DATABASE, EVERY).rows
    )
    sent = [seen for seen in server.seen if "/v1/rest/ingest/" in seen.path]
    assert [seen.path for seen in sent] == [f"/v1/rest/ingest/{DATABASE}/T?streamFormat=csv"] * 2
    assert sent[0].headers["content-encoding"] == "gzip"


def test_requests_keep_to_their_size(server: KustoServer, remote: Cluster) -> None:
    data = pa.table({"a": [f"{n:0200}" for n in range(100)]})
    write(remote, "T", data, mode="streaming", parts=1, properties=IngestProperties(file_bytes=5_000))
    sent = [seen.body for seen in server.seen if "/v1/rest/ingest/" in seen.path]
    assert len(sent) >= 4
    assert max(len(body) for body in sent) <= 5_000
    assert count(server, "T") == 100


def test_streaming_tries_again_and_then_queues(
    server: KustoServer, remote: Cluster, aggregator: Aggregator
) -> None:
    server.fail("/ingest/", status=429, times=2)
    assert write(remote, "T", mode="streaming").status == "committed"
    server.fail("/ingest/", status=429, times=99)
    assert write(remote, "T", mode="streaming").status == "queued"
    server.faults.clear()
    server.streaming_limit = 5
    assert write(remote, "T", mode="streaming", parts=1).status == "queued"

    def arrived() -> bool:
        return count(server, "T") == 9

    from tests.staging.azurite import wait_for

    wait_for(arrived)


def test_a_write_that_was_queued_in_part_can_be_waited_for(
    server: KustoServer, remote: Cluster, aggregator: Aggregator
) -> None:
    # The first request goes through, the second is too large.
    data = pa.table({"a": ["x", os.urandom(5_000).hex()]})
    server.streaming_limit = 1_000
    done = write(remote, "T", data, mode="streaming", parts=2)
    assert done.status == "queued"
    assert remote.wait_ingested(done.operation_id, timedelta(seconds=60)).status == "committed"
    assert count(server, "T") == 2


def test_a_table_that_takes_no_streams(server: KustoServer, remote: Cluster) -> None:
    server.cluster.execute(DATABASE, ".create table T (a:long, b:string)")
    error = refusal(lambda: write(remote, "T", mode="streaming"), KustoError)
    assert "not enabled" in str(error)


# -- secrets


def test_plans_and_errors_hold_no_key(server: KustoServer, remote: Cluster, container: Container) -> None:
    from tests.staging.azurite import KEY

    columns = [Column("a", columns_from_arrow(ROWS.schema)[0].type)]
    plan = remote.begin_ingest(DATABASE, "T", columns, create=True, staging=storage_of(container))
    assert KEY.encode() not in pickle.dumps(plan)
    assert "sig=" not in repr(plan)
    staged = [stage(plan, ROWS.select(["a"]).to_batches())]
    assert "sig=" not in repr(staged)
    server._ingest = lambda database, text, operation: (_ for _ in ()).throw(ValueError(text))  # type: ignore[method-assign]
    error = refusal(lambda: remote.commit_ingest(plan, staged, staging=storage_of(container)))
    assert "sig=" not in str(error).replace("sig=***", "")
    remote.abort_ingest(plan, staged, staging=storage_of(container))
    assert container.names(uncommitted=True) == []
