"""Tasks that fail, and storage that refuses, goes or stumbles, as users of Spark meet them: exact rows, or an
error that names the step and the container."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from chispa import assert_df_equality

from tests.spark.conftest import DATABASE
from tests.spark.test_staging import DISTRIBUTED
from tests.staging.azurite import ACCOUNT, KEY, Container
from tests.staging.faults import FaultyProxy

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_kusto.client import Cluster

Read = Callable[..., "DataFrame"]
Write = Callable[..., None]

pytestmark = pytest.mark.usefixtures("no_temporary_files")


# -- tasks that fail ------------------------------------------------------------------------------


def test_a_retried_task_adds_nothing(
    spark: SparkSession, read: Read, write: Write, container: Container
) -> None:
    def stumble(batches: Iterator[Any]) -> Iterator[Any]:
        from pyspark import TaskContext

        context = TaskContext.get()
        yield from batches
        if context is not None and context.attemptNumber() == 0 and context.partitionId() == 1:
            raise RuntimeError("the first attempt fails at its end")

    df = spark.range(0, 4000, 1, 4).mapInArrow(stumble, "id long")
    write(df, "T", transientStorage=container.key_url)
    assert read("T").selectExpr("count(*)", "count(distinct id)").collect() == [(4000, 4000)]
    assert container.names(uncommitted=True) == []


def test_a_write_that_fails_leaves_nothing(
    spark: SparkSession, cluster: Cluster, write: Write, container: Container
) -> None:
    cluster.execute(DATABASE, ".create table T (id: long)")
    # One task: others may still be uploading when the write is aborted, which the expiry sweeps.
    df = spark.range(0, 4000, 1, 1).selectExpr("if(id = 3999, raise_error('no'), id) AS id")
    with pytest.raises(Exception, match="no"):
        write(df, "T", transientStorage=container.key_url)
    assert container.names(uncommitted=True) == []
    assert cluster.query(DATABASE, "T | count").rows == [(0,)]
    assert list(Path(cluster.address).glob("*/staging/*")) == []


# -- storage that refuses, goes or stumbles --------------------------------------------------------


def assert_tells(error: BaseException, container: str, *words: str) -> None:
    """The error as a user sees it names the step, the container and the reason, and no secret."""
    text = str(error)
    for word in (container, "Could not ", *words):
        assert word in text
    assert KEY not in text
    assert WRONG_KEY not in text
    assert re.search(r"sig=(?!\*\*\*)", text) is None


WRONG_KEY = KEY[:4] + KEY[4:].swapcase()

REFUSALS: dict[str, tuple[Callable[[Container], str], str]] = {
    "wrong key": (lambda c: f"{c.url};{WRONG_KEY}", "the service refused the account key"),
    "expired SAS": (lambda c: c.sas_url(lifetime=timedelta(hours=-1)), "the SAS expired at "),
    "SAS to read": (lambda c: c.sas_url("rl"), "the SAS lacks the permission to write ('w')"),
    "forged SAS": (lambda c: f"{c.sas_url()[:-12]}AAAAAAAA%3D", "the service refused the SAS"),
    "no container": (
        lambda c: c.key_url.replace(c.name, c.name + "-x"),
        "-x' does not exist",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_storage_that_refuses_says_why_and_stays_clean(
    cluster: Cluster, read: Read, write: Write, spark: SparkSession, container: Container, refusal: str
) -> None:
    cluster.execute(DATABASE, ".set T <| range id from 1 to 10 step 1")
    storage, words = REFUSALS[refusal]
    url = storage(container)
    with pytest.raises(Exception) as caught:
        write(spark.range(10), "T", transientStorage=url)
    assert_tells(caught.value, container.name, words)
    with pytest.raises(Exception) as caught:
        read("T", transientStorage=url, **DISTRIBUTED).collect()
    assert_tells(caught.value, container.name, words)
    assert container.names(uncommitted=True) == []
    assert cluster.query(DATABASE, "T | count").rows == [(10,)]
    assert list(Path(cluster.address).glob("*/staging/*")) == []


@pytest.mark.parametrize("change", ["container deleted", "blob deleted", "blob changed"])
def test_blobs_that_go_in_mid_read(
    spark: SparkSession, read: Read, write: Write, container: Container, change: str
) -> None:
    write(spark.range(0, 20_000, 1, 4).selectExpr("id", "sha2(string(id), 512) AS text"), "T")
    df = read("T", transientStorage=container.key_url, **DISTRIBUTED)
    # The same action again has the same plan, and so the same blobs.
    assert len(df.collect()) == 20_000
    words = ["download blob", "'NetDefaultDB/read-"]
    if change == "container deleted":
        container.delete()
        words.append(f"container '{container.name}' does not exist")
    for name in container.names() if change != "container deleted" else []:
        if not name.endswith(".parquet"):
            continue
        if change == "blob deleted":
            # Services differ: one looks for the blob first, another for its version.
            container.client.delete_blob(name)
            words.append("the blob ")
        else:
            container.put(name, b"x" + container.get(name)[1:])
            words.append("the blob was replaced or deleted meanwhile")
    with pytest.raises(Exception) as caught:
        df.collect()
    assert_tells(caught.value, container.name, *words)


def test_a_container_deleted_in_mid_write(
    spark: SparkSession, cluster: Cluster, write: Write, container: Container
) -> None:
    cluster.execute(DATABASE, ".create table T (id: long)")
    name, endpoint = container.name, container.azurite.endpoint

    def then_delete(batches: Iterator[Any]) -> Iterator[Any]:
        from azure.core.exceptions import ResourceNotFoundError
        from azure.storage.blob import BlobServiceClient

        yield from batches
        with contextlib.suppress(ResourceNotFoundError):
            credential = {"account_name": ACCOUNT, "account_key": KEY}
            BlobServiceClient(endpoint, credential=credential).delete_container(name)

    with pytest.raises(Exception) as caught:
        write(
            spark.range(0, 1000, 1, 1).mapInArrow(then_delete, "id long"),
            "T",
            transientStorage=container.key_url,
        )
    assert_tells(caught.value, name, "upload blob", f"container '{name}' does not exist")
    assert cluster.query(DATABASE, "T | count").rows == [(0,)]
    assert list(Path(cluster.address).glob("*/staging/*")) == []


def test_a_service_that_stumbles_gives_the_exact_rows(
    spark: SparkSession, cluster: Cluster, read: Read, write: Write, container: Container
) -> None:
    seen: set[str] = set()

    def rule(method: str, path: str, number: int) -> str | None:
        # The first request of every kind for every blob fails, each in its own way.
        kind = f"{method} {path.split('?')[0]} {'block' in path}"
        if kind in seen:
            return None
        seen.add(kind)
        return ("unavailable", "reset", "throttled", "lost answer")[len(seen) % 4]

    with FaultyProxy(container.azurite.port, rule) as proxy:
        url = container.key_url.replace(str(container.azurite.port), str(proxy.port), 1)
        df = spark.range(0, 5_000, 1, 4).selectExpr("id", "sha2(string(id), 512) AS text")
        write(df, "T", transientStorage=url)
        assert container.names(uncommitted=True) == []
        for query in ("T", "T | sort by id asc"):
            got = read(query, transientStorage=url, **DISTRIBUTED)
            assert_df_equality(got, df, ignore_row_order=True, ignore_nullable=True)
        # Requests of the driver's processes, of uploading and of downloading tasks.
        assert len(proxy.injected) > 15
        assert set(proxy.injected) == {"unavailable", "reset", "throttled", "lost answer"}
    assert read("T").selectExpr("count(*)", "count(distinct id)").collect() == [(5_000, 5_000)]


def test_a_service_that_never_answers_is_named(
    spark: SparkSession, cluster: Cluster, write: Write, container: Container
) -> None:
    cluster.execute(DATABASE, ".create table T (id: long)")
    with FaultyProxy(container.azurite.port, lambda method, path, number: "unavailable") as proxy:
        url = container.key_url.replace(str(container.azurite.port), str(proxy.port), 1)
        with pytest.raises(Exception) as caught:
            write(spark.range(10), "T", transientStorage=url)
        assert 0 < len(proxy.injected) < 30
    assert_tells(caught.value, container.name, "write blob", "503 ServerBusy", "Tried 7 times")
    assert container.names() == []


@pytest.mark.parametrize("query", ["T | where id > 100", "T | sort by id asc"])
def test_an_empty_answer_keeps_its_columns(
    cluster: Cluster, read: Read, container: Container, query: str
) -> None:
    cluster.execute(DATABASE, ".set T <| range id from 1 to 10 step 1 | extend text = strcat('row ', id)")
    df = read(f"{query} | where id < 0", transientStorage=container.key_url, **DISTRIBUTED)
    assert df.columns == ["id", "text"]
    assert df.collect() == []
    assert df.filter("text like 'r%'").count() == 0


def test_names_of_all_the_worlds_databases(
    spark: SparkSession, cluster: Cluster, container: Container
) -> None:
    for name in ("Dáta Bäse", "数据库", "a-b.c_d e"):
        cluster.execute(DATABASE, f".create database ['{name}']")
        options = {"transientStorage": container.key_url, "stagingKeep": "true"}
        writer = spark.range(10).write.format("kusto").option("tableCreateOptions", "CreateIfNotExist")
        place = {"kustoCluster": cluster.address, "kustoDatabase": name}
        writer.options(kustoTable="T", **place, **options).mode("append").save()
        reader = spark.read.format("kusto").options(kustoQuery="T", **place, **options, **DISTRIBUTED)
        assert reader.load().count() == 10
        # Names of blobs keep to letters that every tool can show.
        assert all(re.fullmatch(r"[\w./-]+", blob, re.ASCII) for blob in container.names())
        assert len([blob for blob in container.names() if blob.endswith(".parquet")]) >= 2
        container.empty()
