"""Reads and writes of Spark through blobs, on a real blob service: the same rows, and nothing left behind."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from chispa import assert_df_equality

from spark_kusto import write_kusto
from spark_kusto.errors import StagingError
from spark_kusto.spark.datasource import KustoDataSource
from spark_kusto.spark.options import SourceOptions, sink_options, source_options
from spark_kusto.spark.staging import ApplicationReads, open_staging, seal
from tests.spark.conftest import DATABASE
from tests.spark.test_batch import EVERY_TYPE, _rows
from tests.staging.azurite import ACCOUNT, KEY, Container

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_kusto.client import Cluster

Read = Callable[..., "DataFrame"]
Write = Callable[..., None]

pytestmark = pytest.mark.usefixtures("no_temporary_files")

DISTRIBUTED = {"readMode": "ForceDistributedMode"}


def as_text(df: DataFrame) -> DataFrame:
    # Python's own datetimes stumble over year 1.
    return df.select([df[f"`{name}`"].cast("string") for name in df.columns])


# -- the same rows --------------------------------------------------------------------------------


@pytest.mark.roundtrip
def test_every_type_both_ways_with_and_without_blobs(
    spark: SparkSession, read: Read, write: Write, container: Container
) -> None:
    df = spark.createDataFrame(_rows(), EVERY_TYPE)
    blobs = {"transientStorage": container.key_url}
    write(df, "Direct")
    write(df, "Through", **blobs)
    assert container.names(uncommitted=True) == []
    direct = read("Direct")
    for table, options in (
        ("Through", {}),
        ("Direct", {**DISTRIBUTED, **blobs}),
        ("Through | sort by number asc", {**DISTRIBUTED, **blobs}),
        ("Through | sort by number asc", DISTRIBUTED),
    ):
        got = read(table, **options)
        assert got.schema == direct.schema
        assert_df_equality(as_text(got), as_text(direct), ignore_row_order=True)


@pytest.mark.parametrize("pushed", [False, True])
def test_a_distributed_read_is_many_tasks_and_can_be_repeated(
    request: pytest.FixtureRequest,
    spark: SparkSession,
    cluster: Cluster,
    read: Read,
    write: Write,
    container: Container,
    pushed: bool,
) -> None:
    if pushed:
        request.getfixturevalue("pushing")
    hashes = ", ".join(f"sha2(string(id + {k} * 1000000), 512)" for k in range(8))
    write(spark.range(0, 20_000, 1, 4).selectExpr("id", f"concat({hashes}) AS text"), "T")
    options = {**DISTRIBUTED, "transientStorage": container.key_url}
    df = read("T | sort by id asc", kustoExportOptionsJson='{"sizeLimit": 1}', **options)
    df.explain(True)
    assert container.names() == []
    assert df.rdd.getNumPartitions() > 2
    assert df.count() == 20_000
    assert df.agg({"id": "sum"}).collect()[0][0] == 19_999 * 10_000
    assert df.filter("id >= 100 and id < 105").select("id").collect() == [(n,) for n in range(100, 105)]
    # What has been exported is a snapshot, whatever happens to the table.
    kept = read("T | summarize count() by bin(id, 100)", **options)
    assert len(kept.collect()) == 200
    cluster.execute(DATABASE, ".drop table T")
    assert len(kept.collect()) == 200


@pytest.mark.parametrize(
    "storage",
    [
        lambda c: {"transientStorage": c.sas_url()},
        lambda c: {"transientStorage": json.dumps([c.sas_url(), c.sas_url()])},
        lambda c: {
            "transientStorage": json.dumps({"storageCredentials": [{"sasUrl": c.sas_url()}]}),
        },
        lambda c: {
            "kustoIngestionStorageContainer": json.dumps(
                [{"storageUrl": c.azurite.endpoint, "containerName": c.name, "sas": c.sas()}]
            ),
            "transientStorage": c.key_url,
        },
        lambda c: {"blobStorageSasUrl": c.sas_url()},
        lambda c: {
            "blobStorageAccountName": c.azurite.endpoint,
            "blobStorageSasKey": KEY,
            "blobContainer": c.name,
        },
        lambda c: {
            "blobStorageConnectionString": f"BlobEndpoint={c.azurite.endpoint};AccountName={ACCOUNT};"
            f"AccountKey={KEY}",
            "blobContainer": c.name,
        },
    ],
    ids=["sas url", "list", "json", "ingestion storage", "blobStorageSasUrl", "account", "connection string"],
)
def test_every_way_to_name_the_storage(
    spark: SparkSession,
    root: str,
    container: Container,
    storage: Callable[[Container], dict[str, str]],
) -> None:
    options = storage(container)
    result = write_kusto(
        spark.range(10), root, DATABASE, "T", options, tableCreateOptions="CreateIfNotExist", stagingKeep=True
    )
    assert result is not None
    assert result.rows == 10
    # It went through the container: what is wanted is kept.
    assert any(name.endswith(".parquet") for name in container.names())
    container.empty()
    options.pop("kustoIngestionStorageContainer", None)
    reader = spark.read.format("kusto").options(kustoCluster=root, kustoDatabase=DATABASE, kustoQuery="T")
    assert reader.options(**DISTRIBUTED, **options).load().count() == 10
    assert any(name.endswith(".parquet") for name in container.names())


# -- streams --------------------------------------------------------------------------------------


def test_a_stream_through_blobs(
    spark: SparkSession, root: str, read: Read, write: Write, container: Container, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    spark.range(0, 100, 1, 4).write.parquet(str(source))
    query = (
        spark.readStream.schema("id long")
        .option("maxFilesPerTrigger", 2)
        .parquet(str(source))
        .writeStream.format("kusto")
        .options(kustoCluster=root, kustoDatabase=DATABASE, kustoTable="T")
        .option("tableCreateOptions", "CreateIfNotExist")
        .option("kustoIngestionStorageContainer", container.key_url)
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination(120)
    assert query.exception() is None
    assert read("T").selectExpr("count(*)", "count(distinct id)").collect() == [(100, 100)]
    assert container.names(uncommitted=True) == []


# -- secrets --------------------------------------------------------------------------------------


def test_plans_and_logs_hold_no_secret(
    pushing: SparkSession, read: Read, write: Write, container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    for logger in ("spark_kusto", "azure"):
        caplog.set_level(logging.DEBUG, logger)
    write(pushing.range(10), "T", transientStorage=container.key_url)
    df = read("T", transientStorage=container.key_url, **DISTRIBUTED)
    assert df.filter("id > 3").count() == 6
    plan: Any = df.filter("id > 3")._jdf.queryExecution()  # type: ignore[operator]
    assert KEY not in plan.toString()
    # py4j's own log of the calls that the user makes is not ours to keep clean.
    logged = "\n".join(
        record.getMessage() for record in caplog.records if record.name.split(".")[0] != "py4j"
    )
    assert KEY not in logged
    assert re.search(r"sig=(?!\*\*\*)\w", logged) is None


def test_what_sparks_ui_shows_holds_no_secret(
    pushing: SparkSession, read: Read, write: Write, container: Container
) -> None:
    secrets = (KEY, "hidden-in-a-query", "hidden-in-a-filter", "very-secret")
    storage = {"TRANSIENTStorage": container.key_url, "kustoAadAppId": "app", "kustoAadAppSecret": secrets[3]}
    write(pushing.range(10), "T", **storage)
    df = read(
        f"T | extend text = h'{secrets[1]}'", kustoFilter=f"text != h'{secrets[2]}'", **storage, **DISTRIBUTED
    )
    df.filter("id > 3").createOrReplaceTempView("secrets_seen")
    try:
        assert pushing.sql("SELECT count(*) FROM secrets_seen").collect() == [(6,)]
        pushing.sql("CACHE TABLE secrets_cached AS SELECT * FROM secrets_seen")
        pushing.sql("UNCACHE TABLE secrets_cached")
        pushing.catalog.dropTempView("secrets_cached")
    finally:
        pushing.catalog.dropTempView("secrets_seen")
    jvm: Any = pushing
    executions = jvm._jsparkSession.sharedState().statusStore().executionsList()
    assert executions.size() > 3
    shown = []
    for number in range(executions.size()):
        execution = executions.apply(number)
        shown += [execution.physicalPlanDescription(), execution.description(), execution.details()]
    plan: Any = df._jdf.queryExecution()  # type: ignore[operator]
    shown += [plan.toString(), plan.optimizedPlan().toJSON()]
    for mode in ("SIMPLE", "EXTENDED", "CODEGEN", "COST", "FORMATTED"):
        explain = jvm._jvm.org.apache.spark.sql.execution.ExplainMode.fromString(mode)
        shown.append(plan.explainString(explain))
    assert any("TRANSIENTStorage" in text for text in shown)
    for secret in secrets:
        assert not any(secret in text for text in shown)


def test_executors_get_no_secret_of_a_write(
    spark: SparkSession, root: str, cluster: Cluster, container: Container
) -> None:
    from pyspark import cloudpickle

    cluster.execute(DATABASE, ".create table T (id: long)")
    options = {
        "kustoCluster": root,
        "kustoDatabase": DATABASE,
        "kustoTable": "T",
        "kustoAadAppId": "app",
        "kustoAadAppSecret": "very-secret",
        "transientStorage": container.key_url,
    }
    given = {name.lower(): value for name, value in options.items()}
    schema = spark.range(1).schema
    source = KustoDataSource(given)
    batch = source.writer(schema, False)
    travelling = cloudpickle.dumps(batch)
    stream = cloudpickle.dumps(source.streamWriter(schema, False))
    for pickled in (travelling, stream):
        assert KEY.encode() not in pickled
        assert b"very-secret" not in pickled
    reader = source_options({**given, "kustoquery": "T", "kustotable": ""})
    assert KEY not in repr(reader)
    assert KEY not in repr(sink_options(given))
    # The commit still knows them, on this machine, and nobody afterwards.
    there = pickle.loads(travelling)
    assert KEY in there._whole_options().staging["transientStorage"]
    there.abort([])
    with pytest.raises(StagingError, match="driver's machine"):
        there._whole_options()
    for other in [name for name in container.names() if "write" in name]:
        container.client.delete_blob(other)  # of the stream's writer, which has no commit here


def test_a_seal_holds_until_it_is_discarded() -> None:
    assert seal({}) is None
    sealed = seal({"a": "secret ü"})
    assert sealed is not None
    copy = pickle.loads(pickle.dumps(sealed))
    assert copy.open() == {"a": "secret ü"}
    assert b"secret" not in pickle.dumps(sealed)
    assert Path(sealed.path).stat().st_mode & 0o777 == 0o600
    assert b"secret" not in Path(sealed.path).read_bytes()
    copy.discard()
    sealed.discard()
    with pytest.raises(StagingError):
        sealed.open()


def test_sas_last_as_long_as_the_option_says(container: Container, root: str) -> None:
    given = {"kustoCluster": root, "kustoDatabase": DATABASE, "kustoQuery": "T"}
    options = source_options({**given, "transientStorage": container.key_url, "stagingSasLifetime": "600"})
    storage = open_staging(options.connection, options.staging)
    assert storage is not None
    with storage.begin(DATABASE, "read") as directory:
        signature = directory.upload_grant().grants[0].signature
        assert signature.lifetime is not None
        assert signature.lifetime.total_seconds() == 600
    assert open_staging(options.connection, {}) is None


# -- the end of an application --------------------------------------------------------------------

APPLICATION = """
import os, sys
os.environ["PYSPARK_PYTHON"] = sys.executable
from pathlib import Path
from pyspark.sql import SparkSession
from spark_kusto import read_kusto, write_kusto
from spark_kusto.staging import list_directory
root, storage, stop = sys.argv[1:]
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
write_kusto(spark.range(1000), root, "NetDefaultDB", "T", transientStorage=storage,
            tableCreateOptions="CreateIfNotExist")
mode = {"readMode": "ForceDistributedMode"}
df = read_kusto(spark, root, "NetDefaultDB", "T", mode, transientStorage=storage)
local = read_kusto(spark, root, "NetDefaultDB", "T | sort by id asc", mode)
print("rows", df.count(), df.filter("id < 5").count(), len(local.collect()))
def left():
    blobs = [b for b in list_directory(storage) if b.ours]
    return [len(blobs), len(list(Path(root).glob("*/staging/*/*.parquet")))]
print("before", left())
if stop == "stop":
    spark.stop()
    print("after", left())
"""


@pytest.mark.parametrize("how", ["stop", "leave"])
def test_an_application_leaves_nothing(container: Container, tmp_path: Path, how: str) -> None:
    container.put("not-ours.txt")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", APPLICATION, str(tmp_path / "root"), container.key_url, how],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "rows 1000 5 1000" in done.stdout
    before = re.search(r"before \[(\d+), (\d+)\]", done.stdout)
    assert before is not None
    assert int(before[1]) > 1
    assert int(before[2]) == 1
    # In a process that stays (a notebook) it goes with the session.
    assert ("after [0, 0]" in done.stdout) == (how == "stop")
    assert container.names(uncommitted=True) == ["not-ours.txt"]
    assert [path.name for path in scratch.rglob("spark-kusto-*")] == []
    assert list((tmp_path / "root").glob("*/staging/*")) == []
    assert KEY not in done.stdout + done.stderr
    for noise in ("left", "listener", "Py4J", "Traceback"):
        assert noise not in done.stderr


def reads_of(cluster: Cluster, options: SourceOptions) -> ApplicationReads:
    """The reads of an application that has staged something with these options."""
    reads = ApplicationReads()
    reads.remember(options, cluster)
    storage = open_staging(options.connection, options.staging)
    if storage is not None:
        storage.begin(DATABASE, reads.purpose).upload_stream(io.BytesIO(b"data"))
    cluster.plan_scan(DATABASE, "T | sort by id asc", mode="distributed", purpose=reads.purpose)
    return reads


def exported(cluster: Cluster) -> int:
    return len(list(Path(cluster.address).glob("*/staging/*/*.parquet")))


def test_the_end_of_an_application_takes_its_own_reads_only(cluster: Cluster, container: Container) -> None:
    cluster.execute(DATABASE, ".set T <| range id from 1 to 10 step 1")
    given = {"kustoCluster": cluster.address, "kustoDatabase": DATABASE, "kustoQuery": "T"}
    options = source_options({**given, "transientStorage": container.key_url})
    mine, other = reads_of(cluster, options), reads_of(cluster, options)
    assert (len(container.names()), exported(cluster)) == (4, 2)
    mine.end()
    assert (len(container.names()), exported(cluster)) == (2, 1)
    assert all(other.purpose in name for name in container.names())
    other.end(leaving=True)
    mine.end()
    assert (container.names(), exported(cluster)) == ([], 0)
    listed = cluster.execute(DATABASE, ".show operations").rows
    assert not any("read-" in str(row) for row in listed)


def test_staging_that_is_wanted_stays_when_the_application_ends(
    cluster: Cluster, container: Container
) -> None:
    cluster.execute(DATABASE, ".set T <| range id from 1 to 10 step 1")
    given = {"kustoCluster": cluster.address, "kustoDatabase": DATABASE, "kustoQuery": "T"}
    options = source_options({**given, "transientStorage": container.key_url, "stagingKeep": "true"})
    reads_of(cluster, options).end()
    assert len(container.names()) == 2


def test_storage_that_is_gone_does_not_hold_up_the_end(
    cluster: Cluster, container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.execute(DATABASE, ".set T <| range id from 1 to 10 step 1")
    given = {"kustoCluster": cluster.address, "kustoDatabase": DATABASE, "kustoQuery": "T"}
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        reads = ApplicationReads()
        for number in range(20):
            url = f"http://127.0.0.1:{port}/{ACCOUNT}/cont{number};{KEY}"
            reads.remember(source_options({**given, "transientStorage": url}), cluster)
        started = time.monotonic()
        reads.end()
        assert time.monotonic() - started < 5
    (warned,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "Staged blobs may be left behind: reads of this application in" in warned
    assert "Could not list" in warned
    assert "the connection failed" in warned
    assert KEY not in warned
    # Where the container itself is gone, nothing can be left in it.
    caplog.clear()
    reads = reads_of(cluster, source_options({**given, "transientStorage": container.key_url}))
    container.delete()
    reads.end()
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
