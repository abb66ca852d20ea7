"""An embedded cluster read and written through blobs, without Spark: the same rows, nothing left."""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest

from spark_kusto import connect
from spark_kusto.client import Cluster, IngestPlan, ScanPlan, StagedFiles, read_scan, stage
from spark_kusto.errors import (
    CorruptExtentError,
    IngestConflictError,
    OptionError,
    SnapshotExpiredError,
    StagingError,
)
from spark_kusto.staging import TransientStorage, parse_container
from tests.staging.azurite import KEY, Azurite, Container
from tests.staging.conftest import SETTINGS
from tests.staging.faults import FaultyProxy

DB = "NetDefaultDB"

# Every type, with nulls, the ends of ranges, and what formats like to lose.
EVERY_TYPE = """
datatable(n: int, flag: bool, big: long, real: real, money: decimal, text: string, at: datetime,
          span: timespan, id: guid, bag: dynamic) [
    1, true, 9223372036854775807, 1.5, decimal(12345678901234567890.123456789012345678), "ünï 'q' \\n",
    datetime(1900-01-01), timespan(1.02:03:04.1234567), guid(74be27de-1e4e-49d9-b579-fe0b331d3642),
    dynamic({"a": [1, null, "x"]}),
    2, false, -9223372036854775808, real(nan), decimal(-0.000000000000000001), "",
    datetime(9999-12-31 23:59:59.999999), timespan(-00:00:00.0000001),
    guid(00000000-0000-0000-0000-000000000000), dynamic("text"),
    3, bool(null), long(null), real(null), decimal(null), "", datetime(null), timespan(null), guid(null),
    dynamic(null),
    4, true, 0, real(+inf), decimal(0), "\\t", datetime(2024-02-29 12:34:56.789012), 0s,
    guid(ffffffff-ffff-ffff-ffff-ffffffffffff), dynamic([]),
    5, true, 1, real(-inf), decimal(1), "{}", datetime(1970-01-01), timespan(10675199.02:48:05.4775807),
    guid(74be27de-1e4e-49d9-b579-fe0b331d3643), dynamic({})
]
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with connect(tmp_path / "cluster") as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_temporary_files() -> Iterator[None]:
    def ours() -> set[str]:
        return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("spark-kusto-")}

    before = ours()
    yield
    assert ours() <= before


def batches(plan: ScanPlan) -> list[pa.RecordBatch]:
    """All batches, each task read as an executor would: from its pickle."""
    return [batch for task in plan.tasks for batch in read_scan(pickle.loads(pickle.dumps(task)))]


def rows(plan: ScanPlan) -> pa.Table:
    return pa.Table.from_batches(batches(plan)).sort_by("n")


def plain(table: pa.Table) -> list[dict[str, object]]:
    # NaN is not equal to itself; its text is.
    return [{name: str(value) for name, value in row.items()} for row in table.to_pylist()]


def staged_elsewhere(plan: IngestPlan, parts: Sequence[pa.RecordBatch]) -> StagedFiles:
    """Staged as an executor would, and the message as it arrives on the driver."""
    made: StagedFiles = pickle.loads(pickle.dumps(stage(pickle.loads(pickle.dumps(plan)), parts)))
    return made


def staging_files(cluster: Cluster) -> list[str]:
    return [path.name for path in Path(cluster.address).glob("*/staging/*/*")]


def fill(cluster: Cluster, table: str, count: int) -> None:
    cluster.execute(
        DB,
        f".set-or-append {table} <| range n from 1 to {count} step 1"
        " | extend text = strcat('row ', n, hash(n)), at = datetime(2024-01-01) + n * 1s",
    )


# -- reads ----------------------------------------------------------------------------------------


@pytest.mark.roundtrip
@pytest.mark.parametrize("shape", ["kusto", "spark"])
def test_every_type_is_read_the_same_with_and_without_blobs(
    cluster: Cluster, storage: TransientStorage, shape: Literal["kusto", "spark"]
) -> None:
    cluster.execute(DB, f".set T <| {EVERY_TYPE}")
    direct = rows(cluster.plan_scan(DB, "T", shape=shape))
    for query in ("T", "T | sort by n asc", "T | join kind=inner (T | project n) on n | project-away n1"):
        through = cluster.plan_scan(DB, query, shape=shape, mode="distributed", staging=storage)
        in_place = cluster.plan_scan(DB, query, shape=shape, mode="distributed")
        for plan in (through, in_place):
            got = rows(plan)
            assert got.schema.equals(direct.schema, check_metadata=True)
            assert plain(got) == plain(direct)
            assert plan.rows == 5
            assert plan.exact or query == "T"
    assert direct.num_rows == 5


def test_files_are_sized_and_each_is_a_task(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    # Text that does not compress, so that few rows make megabytes.
    noise = [os.urandom(300).hex() for _ in range(20_000)]
    data = pa.table({"n": pa.array(range(20_000), pa.int64()), "text": noise})
    for _ in range(3):
        cluster.ingest(DB, "T", data, create=True)
    whole = cluster.plan_scan(DB, "T", mode="distributed", staging=storage)
    cut = cluster.plan_scan(
        DB,
        "T | order by n asc",
        mode="distributed",
        staging=storage,
        export_options={"sizeLimit": "4", "compressionType": "snappy"},
    )
    assert len(whole.tasks) <= 2
    assert len(cut.tasks) >= 2
    assert cut.rows == whole.rows == 60_000
    # One blob per task, and a marker for each of the two reads.
    assert len(container.names()) == len(whole.tasks) + len(cut.tasks) + 2
    # The order of the query is the order of the tasks.
    numbers = pa.Table.from_batches(batches(cut)).column("n").to_pylist()
    assert numbers == sorted(numbers)
    assert sorted(rows(whole).column("n").to_pylist()) == numbers


def kinds(container: Container) -> set[str]:
    """Whether blobs are extents or results."""
    names = [name.rpartition("/")[2] for name in container.names() if name.endswith(".parquet")]
    container.empty()
    return {name.partition("-")[0] for name in names}


def test_most_of_a_table_is_read_from_its_extents_as_they_are(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    cluster.execute(DB, f".set T <| {EVERY_TYPE}")
    cluster.execute(DB, f".append T <| {EVERY_TYPE} | extend n = toint(n + 10)")

    def same(query: str, **options: object) -> set[str]:
        plan = cluster.plan_scan(
            DB, query, mode="distributed", staging=storage, shape="spark", export_options=options
        )
        assert all(task.rows for task in plan.tasks)
        direct = rows(cluster.plan_scan(DB, query, shape="spark"))
        got = rows(plan)
        assert got.schema == direct.schema
        assert plain(got) == plain(direct)
        assert plan.rows == direct.num_rows
        return kinds(container)

    assert same("T") == {"extent"}
    reversed_and_renamed = "bag, id, span, at, words = text, money, real, big, flag, n"
    assert same(f"T | project {reversed_and_renamed}") == {"extent"}
    # Names have moved from one column to another since the extents were written.
    cluster.execute(DB, ".rename column T.big to other")
    cluster.execute(DB, ".rename column T.n to big")
    cluster.execute(DB, ".rename column T.other to n")
    assert same("T") == {"extent"}
    for query in (
        "T | where flag",
        "T | project n",
        "T | extend x = 1",
        "T | project n, x = ingestion_time()",
    ):
        assert same(query) == {"result"}
    assert same("T", sizeLimit=128) == {"result"}
    cluster.execute(DB, ".delete table T records <| T | where big == 1")
    assert same("T") == {"extent"}
    # A column that extents lack has its default, which is in no file.
    cluster.execute(DB, ".alter-merge table T (later: string)")
    assert same("T") == {"result"}
    for _ in range(8):
        fill(cluster, "Small", 10)
    assert same("Small") == {"result"}


def test_an_extent_that_is_gone_says_so(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    fill(cluster, "T", 10)
    for path in Path(cluster.address).glob("*/extents/*.parquet"):
        path.unlink()
    with pytest.raises(SnapshotExpiredError, match="is gone"):
        cluster.plan_scan(DB, "T", mode="distributed", staging=storage)
    assert container.names(uncommitted=True) == []


def test_nothing_is_exported_unless_asked_for(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    fill(cluster, "T", 1000)
    query = "T | summarize n = count()"
    for plan in (
        cluster.plan_scan(DB, query, staging=storage),
        cluster.plan_scan(DB, query, staging=storage, mode="single"),
        cluster.plan_scan(DB, query, staging=storage, mode="distributed", export=False),
    ):
        assert len(plan.tasks) == 1
        assert rows(plan).column("n").to_pylist() == [1000]
    cluster.explain(DB, "T | summarize count()")
    assert container.names() == []
    assert staging_files(cluster) == []


def test_large_answers_are_exported_by_themselves(
    cluster: Cluster, storage: TransientStorage, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cluster, "T", 1000)
    monkeypatch.setattr("spark_kusto.client.staged_reads.AUTOMATIC_BYTES", 1000)
    assert rows(cluster.plan_scan(DB, "T | where n > 10", staging=storage)).num_rows == 990
    assert len(container.names()) == 2
    # Without blobs a query over one table is still read from the table, others from their result.
    assert rows(cluster.plan_scan(DB, "T | where n > 10")).num_rows == 990
    assert staging_files(cluster) == []
    assert rows(cluster.plan_scan(DB, "T | distinct n")).num_rows == 1000
    assert len([name for name in staging_files(cluster) if name.endswith(".parquet")]) == 1


def test_an_empty_answer_has_no_task(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    fill(cluster, "T", 10)
    plan = cluster.plan_scan(DB, "T | where n > 100", mode="distributed", staging=storage)
    assert (plan.tasks, plan.rows) == ((), 0)
    assert [column.name for column in plan.columns] == ["n", "text", "at"]


def test_a_read_sees_one_snapshot_and_can_be_repeated(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    fill(cluster, "T", 100)
    plan = cluster.plan_scan(DB, "T", mode="distributed", staging=storage)
    cluster.execute(DB, ".drop table T")
    cluster.maintain()
    assert rows(plan).num_rows == 100
    assert rows(plan).num_rows == 100


def test_exported_files_in_the_directory_expire(cluster: Cluster) -> None:
    fill(cluster, "T", 100)
    kept = cluster.plan_scan(DB, "T | sort by n asc", mode="distributed")
    short = cluster.plan_scan(DB, "T | sort by n asc", mode="distributed", expiry=timedelta(seconds=1))
    time.sleep(1.2)
    cluster.maintain()
    assert rows(kept).num_rows == 100
    with pytest.raises(SnapshotExpiredError, match="exported result") as caught:
        rows(short)
    assert "readExpiry" in str(caught.value)


def test_an_export_that_fails_leaves_nothing(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    fill(cluster, "T", 1000)
    cluster.execute(DB, ".set Lost <| T")
    for path in Path(cluster.address).glob("*/extents/*.parquet"):
        path.write_bytes(b"no parquet")
    for given in (None, storage):
        with pytest.raises(CorruptExtentError):
            cluster.plan_scan(DB, "T | sort by n asc", mode="distributed", staging=given)
    assert container.names(uncommitted=True) == []
    assert staging_files(cluster) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sizeLimit": "much"}, "sizeLimit"),
        ({"sizeLimit": 0}, "sizeLimit"),
        ({"compressionType": "rar"}, "zstd"),
        ({"sizeLimits": 1}, "sizeLimit"),
    ],
)
def test_export_options_are_checked(cluster: Cluster, options: dict[str, object], words: str) -> None:
    fill(cluster, "T", 10)
    with pytest.raises(OptionError, match=words):
        cluster.plan_scan(DB, "T", mode="distributed", export_options=options)


# -- writes ---------------------------------------------------------------------------------------


@pytest.mark.roundtrip
def test_every_type_is_written_the_same_with_and_without_blobs(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    cluster.execute(DB, f".set T <| {EVERY_TYPE}")
    # As Spark sends it: microseconds in a zone, text for what Spark has no type for.
    data = rows(cluster.plan_scan(DB, "T", shape="kusto")).to_batches()
    columns = cluster.schema(DB, "T")
    for table, given in (("Direct", None), ("Through", storage)):
        plan = cluster.begin_ingest(DB, table, columns, create=True, staging=given)
        done = cluster.commit_ingest(plan, [staged_elsewhere(plan, data)], staging=given)
        assert (done.status, done.rows) == ("committed", 5)
    direct, through = (
        rows(cluster.plan_scan(DB, table)).replace_schema_metadata() for table in ("Direct", "Through")
    )
    assert through.schema == direct.schema
    assert plain(through) == plain(direct)
    # Statistics too: pruning and real columns with NaN answer the same.
    for query in ("where real > 1", "where isnan(real)", "where big < 0", "where at > datetime(2024-01-01)"):
        counted = [cluster.query(DB, f"{table} | {query} | count").rows for table in ("Direct", "Through")]
        assert counted[0] == counted[1]
    assert container.names(uncommitted=True) == []


def test_a_write_is_one_commit_and_only_of_what_it_names(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    fill(cluster, "T", 1000)
    columns = cluster.schema(DB, "T")
    data = pa.Table.from_batches(batches(cluster.plan_scan(DB, "T"))).to_batches()
    plan = cluster.begin_ingest(DB, "U", columns, create=True, staging=storage)
    first = staged_elsewhere(plan, data)
    staged_elsewhere(plan, data)  # a speculative or failed attempt, whose message nobody has
    second = staged_elsewhere(plan, data)
    assert len([name for name in container.names() if name.endswith(".parquet")]) == 3
    before = int(cluster.cursor(DB))
    done = cluster.commit_ingest(plan, [first, None, second], staging=storage)
    assert (done.rows, done.extents) == (2000, 2)
    assert (done.staging or "").startswith("NetDefaultDB/write-")
    assert before < int(cluster.cursor(DB)) == int(done.cursor or 0)
    assert cluster.query(DB, "U | summarize count(), dcount(n)").rows == [(2000, 1000)]
    assert cluster.ingest(DB, "U", pa.Table.from_batches(data)).staging is None
    assert container.names(uncommitted=True) == []
    assert staging_files(cluster) == []


def test_another_process_commits(cluster: Cluster, storage: TransientStorage, container: Container) -> None:
    fill(cluster, "T", 10)
    plan = cluster.begin_ingest(DB, "T", cluster.schema(DB, "T"), staging=storage)
    message = staged_elsewhere(plan, batches(cluster.plan_scan(DB, "T")))
    again = TransientStorage([parse_container(container.key_url)], settings=SETTINGS)
    with connect(cluster.address) as other:
        with pytest.raises(StagingError, match="storage is not known"):
            other.commit_ingest(pickle.loads(pickle.dumps(plan)), [message])
        done = other.commit_ingest(pickle.loads(pickle.dumps(plan)), [message], staging=again)
    assert done.rows == 10
    assert container.names() == []


def test_an_aborted_write_leaves_nothing(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    fill(cluster, "T", 10)
    plan = cluster.begin_ingest(DB, "T", cluster.schema(DB, "T"), staging=storage)
    message = staged_elsewhere(plan, batches(cluster.plan_scan(DB, "T")))
    cluster.abort_ingest(plan, [message, None], staging=storage)
    assert container.names(uncommitted=True) == []
    with pytest.raises((StagingError, IngestConflictError)):
        cluster.commit_ingest(plan, [message], staging=storage)
    assert cluster.query(DB, "T | count").rows == [(10,)]


def test_blobs_that_are_wanted_are_kept(cluster: Cluster, container: Container) -> None:
    storage = TransientStorage([parse_container(container.key_url)], keep=True, settings=SETTINGS)
    fill(cluster, "T", 10)
    plan = cluster.begin_ingest(DB, "T", cluster.schema(DB, "T"), staging=storage)
    cluster.commit_ingest(
        plan, [staged_elsewhere(plan, batches(cluster.plan_scan(DB, "T")))], staging=storage
    )
    assert len([name for name in container.names() if name.endswith(".parquet")]) == 1


def test_rights_are_renewed_while_the_writing_process_lives(cluster: Cluster, container: Container) -> None:
    storage = TransientStorage([parse_container(container.key_url)], settings=SETTINGS)
    fill(cluster, "T", 10)
    plan = cluster.begin_ingest(DB, "T", cluster.schema(DB, "T"), staging=storage, renew=True)
    grant = plan.payload.grant.grants[0]
    assert grant.ticket is not None
    assert grant.signature.expires - datetime.now(timezone.utc) <= storage.sas_lifetime
    message = staged_elsewhere(plan, batches(cluster.plan_scan(DB, "T")))
    cluster.commit_ingest(plan, [message])
    assert container.names() == []


# -- what goes wrong ------------------------------------------------------------------------------


def assert_tells(error: BaseException, container: Container, *words: str) -> None:
    """The error names the step and the container, and no secret."""
    text = str(error) + repr(error)
    assert container.url in text or container.name in text
    for word in words:
        assert word in text
    assert KEY not in text
    assert "sig=" not in text or "sig=***" in text


def test_a_container_deleted_in_mid_read(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    fill(cluster, "T", 1000)
    plan = cluster.plan_scan(DB, "T", mode="distributed", staging=storage)
    container.delete()
    with pytest.raises(StagingError) as caught:
        rows(plan)
    assert_tells(caught.value, container, "download")


def test_a_container_deleted_in_mid_write(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    fill(cluster, "T", 1000)
    plan = cluster.begin_ingest(DB, "T", cluster.schema(DB, "T"), staging=storage)
    data = batches(cluster.plan_scan(DB, "T"))
    message = staged_elsewhere(plan, data)
    container.delete()
    with pytest.raises(StagingError) as caught:
        stage(plan, data)
    assert_tells(caught.value, container, "upload")
    with pytest.raises(StagingError) as caught:
        cluster.commit_ingest(plan, [message], staging=storage)
    assert_tells(caught.value, container, "download")
    cluster.abort_ingest(plan, [message], staging=storage)
    assert cluster.query(DB, "T | count").rows == [(1000,)]
    assert staging_files(cluster) == []


def test_a_missing_container(cluster: Cluster, azurite: Azurite, container: Container) -> None:
    fill(cluster, "T", 10)
    gone = container.key_url.replace(container.name, "nowhere")
    storage = TransientStorage([parse_container(gone)], settings=SETTINGS)
    with pytest.raises(StagingError, match="nowhere"):
        cluster.plan_scan(DB, "T", mode="distributed", staging=storage)
    with pytest.raises(StagingError, match="nowhere"):
        cluster.begin_ingest(DB, "T", cluster.schema(DB, "T"), staging=storage)
    assert staging_files(cluster) == []


def test_a_sas_that_may_only_read_cannot_write(cluster: Cluster, container: Container) -> None:
    fill(cluster, "T", 10)
    storage = TransientStorage([parse_container(container.sas_url("rl"))], settings=SETTINGS)
    for action in (
        lambda: cluster.begin_ingest(DB, "T", cluster.schema(DB, "T"), staging=storage),
        lambda: cluster.plan_scan(DB, "T", mode="distributed", staging=storage),
    ):
        with pytest.raises(StagingError) as caught:
            action()
        assert_tells(caught.value, container, "permission", "write")
    assert container.names() == []
    assert staging_files(cluster) == []


def test_a_wrong_key(cluster: Cluster, container: Container) -> None:
    fill(cluster, "T", 10)
    wrong = "A" * 86 + "=="
    storage = TransientStorage([parse_container(f"{container.url};{wrong}")], settings=SETTINGS)
    with pytest.raises(StagingError) as caught:
        cluster.plan_scan(DB, "T", mode="distributed", staging=storage)
    assert_tells(caught.value, container, "key")
    assert wrong not in str(caught.value)


@pytest.mark.parametrize("change", ["cut short", "altered", "removed"])
def test_a_blob_that_is_not_what_was_staged(
    cluster: Cluster, storage: TransientStorage, container: Container, change: str
) -> None:
    fill(cluster, "T", 1000)
    plan = cluster.begin_ingest(DB, "T", cluster.schema(DB, "T"), staging=storage)
    message = staged_elsewhere(plan, batches(cluster.plan_scan(DB, "T")))
    read = cluster.plan_scan(DB, "T", mode="distributed", staging=storage)
    for name in container.names():
        if name.endswith(".parquet"):
            data = bytearray(container.get(name))
            data[len(data) // 2] ^= 1
            if change == "removed":
                container.client.delete_blob(name)
            else:
                container.put(name, bytes(data[:-7] if change == "cut short" else data))
    with pytest.raises(StagingError) as caught:
        rows(read)
    assert_tells(caught.value, container, "download")
    with pytest.raises(StagingError) as caught:
        cluster.commit_ingest(plan, [message], staging=storage)
    assert_tells(caught.value, container, "download")
    cluster.abort_ingest(plan, [message], staging=storage)
    assert cluster.query(DB, "T | count").rows == [(1000,)]


def test_a_service_with_faults_gives_the_exact_rows(cluster: Cluster, container: Container) -> None:
    fill(cluster, "T", 20_000)
    seen: dict[str, int] = {}

    def rule(method: str, path: str, number: int) -> str | None:
        # Every request of a kind fails in its own way before it succeeds.
        key = f"{method} {path.split('?')[0]} {'block' in path}"
        seen[key] = seen.get(key, 0) + 1
        faults = ("unavailable", "reset", "throttled")
        return faults[number % 3] if seen[key] == 1 and method in ("GET", "PUT") else None

    with FaultyProxy(container.azurite.port, rule) as proxy:
        url = container.key_url.replace(str(container.azurite.port), str(proxy.port), 1)
        storage = TransientStorage([parse_container(url)], settings=SETTINGS)
        read = cluster.plan_scan(DB, "T", mode="distributed", staging=storage)
        assert rows(read).equals(rows(cluster.plan_scan(DB, "T")))
        plan = cluster.begin_ingest(DB, "U", cluster.schema(DB, "T"), create=True, staging=storage)
        message = staged_elsewhere(plan, batches(cluster.plan_scan(DB, "T")))
        cluster.commit_ingest(plan, [message], staging=storage)
        assert len(proxy.injected) > 5
    assert cluster.query(DB, "U | summarize count(), dcount(n, 4)").rows[0][0] == 20_000


# -- secrets --------------------------------------------------------------------------------------


def test_what_travels_holds_a_sas_and_no_more(
    cluster: Cluster, storage: TransientStorage, container: Container
) -> None:
    fill(cluster, "T", 10)
    read = cluster.plan_scan(DB, "T", mode="distributed", staging=storage)
    plan = cluster.begin_ingest(DB, "T", cluster.schema(DB, "T"), staging=storage)
    message = staged_elsewhere(plan, batches(cluster.plan_scan(DB, "T")))
    for value in (read, plan, message):
        assert KEY.encode() not in pickle.dumps(value)
        assert KEY not in repr(value)
        assert "sig=" not in repr(value)
    assert b"sig=" not in pickle.dumps(message)
    # A read's SAS opens its own blob and nothing else.
    grant = read.tasks[0].payload.grant.grant
    assert "sp=r&" in grant.signature.token + "&"
    assert "sr=b" in grant.signature.token
    cluster.abort_ingest(plan, [message], staging=storage)
