"""Spark over a cluster reached by HTTP: the same source, the same answers, no secret on executors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chispa import assert_df_equality

from spark_kusto import read_kusto, write_kusto
from spark_kusto.spark.options import source_options
from tests.remote.server import KustoServer
from tests.remote.wire import api_error
from tests.spark.conftest import DATABASE
from tests.spark.test_batch import EVERY_TYPE, _rows
from tests.staging.azurite import Azurite, Container

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TOKEN = "secret-token"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KustoServer]:
    with KustoServer(tmp_path / "behind", token=TOKEN) as started:
        yield started


@pytest.fixture
def container(azurite: Azurite) -> Iterator[Container]:
    made = azurite.new_container()
    yield made
    made.delete()


@pytest.fixture
def place(server: KustoServer) -> dict[str, str]:
    return {"kustoCluster": server.address, "kustoDatabase": DATABASE, "accessToken": TOKEN}


@pytest.fixture
def read(pushing: SparkSession, place: dict[str, str]) -> Callable[..., DataFrame]:
    def run(query: str, **options: object) -> DataFrame:
        given = {**place, "kustoQuery": query, **{name: str(value) for name, value in options.items()}}
        return pushing.read.format("kusto").options(**given).load()

    return run


@pytest.fixture
def write(place: dict[str, str]) -> Callable[..., None]:
    def run(df: DataFrame, table: str, mode: str = "append", **options: object) -> None:
        given = {**place, "kustoTable": table, "tableCreateOptions": "CreateIfNotExist"}
        given |= {name: str(value) for name, value in options.items()}
        df.write.format("kusto").options(**given).mode(mode).save()

    return run


def as_text(df: DataFrame) -> DataFrame:
    # Python's own datetimes stumble over year 1.
    return df.select([df[f"`{name}`"].cast("string") for name in df.columns])


def queries(server: KustoServer) -> list[str]:
    return [text for text in server.texts("query") if not text.endswith("take 0")]


@pytest.mark.roundtrip
def test_every_type_both_ways(
    spark: SparkSession,
    server: KustoServer,
    read: Callable[..., DataFrame],
    write: Callable[..., None],
    container: Container,
    tmp_path: Path,
) -> None:
    df = spark.createDataFrame(_rows(), EVERY_TYPE)
    blobs = {"transientStorage": container.key_url}
    write(df, "Messages")
    write(df, "Blobs", **blobs)
    assert container.names(uncommitted=True) == []
    server.resources = [("TempStorage", container.sas_url())]
    write(df, "Lent")
    server.containers = [container.sas_url()]
    direct = (
        spark.read.format("kusto")
        .options(kustoCluster=str(tmp_path / "behind"), kustoDatabase=DATABASE, kustoQuery="Messages")
        .load()
    )
    for table, options in (
        ("Messages", {}),
        ("Blobs", {"readMode": "ForceDistributedMode", **blobs}),
        ("Lent", {"readMode": "ForceDistributedMode"}),
        ("Lent", {"readMode": "ForceSingleMode"}),
    ):
        got = read(table, **options)
        assert got.schema == direct.schema
        assert_df_equality(as_text(got), as_text(direct), ignore_row_order=True)
    assert [row[0] for row in server.cluster.execute(DATABASE, ".show tables | project TableName").rows] == [
        "Blobs",
        "Lent",
        "Messages",
    ]


def test_what_spark_asks_runs_in_the_cluster(
    spark: SparkSession, server: KustoServer, read: Callable[..., DataFrame], write: Callable[..., None]
) -> None:
    from pyspark.sql import functions as F

    write(spark.range(1000).selectExpr("id", "id % 7 AS k", "concat('row ', id) AS text"), "T")
    df = read("T", requestId="job-1")
    server.seen.clear()
    plan = df.filter("k = 3").groupBy("k").agg(F.sum("id"), F.count("*"))
    plan.explain()
    assert queries(server) == []
    assert plan.collect() == [(3, sum(range(3, 1000, 7)), 143)]
    (asked,) = queries(server)
    assert "summarize" in asked
    assert "['k'] == " in asked
    assert all("cursor_" not in text for text in server.texts())
    assert [seen.headers["x-ms-client-request-id"].startswith("job-1") for seen in server.seen].count(
        False
    ) == 0
    assert df.orderBy("id").limit(3).select("text").collect() == [("row 0",), ("row 1",), ("row 2",)]
    assert read("T", numPartitions=3, partitionColumn="id").rdd.getNumPartitions() == 3
    assert read("T", numPartitions=3, partitionColumn="id").count() == 1000
    assert (
        read(
            "T",
            queryParametersJson=json.dumps({"x": 5}),
            kustoQuery="declare query_parameters(x:long); T | where id < x",
        ).count()
        == 5
    )


def test_replacing_and_appending(
    spark: SparkSession, server: KustoServer, write: Callable[..., None], place: dict[str, str]
) -> None:
    write(spark.range(10).selectExpr("id"), "T")
    write(spark.range(3).selectExpr("id"), "T", mode="overwrite")
    result = write_kusto(spark.range(4), server.address, DATABASE, "T", {"accessToken": TOKEN})
    assert result is not None
    assert (result.status, result.rows) == ("committed", 4)
    assert server.cluster.query(DATABASE, "T | count").rows == [(7,)]
    frame = read_kusto(spark, server.address, DATABASE, "T", {"accessToken": TOKEN})
    assert frame.count() == 7


def test_a_failed_task_adds_nothing(
    spark: SparkSession, server: KustoServer, write: Callable[..., None], container: Container
) -> None:
    from pyspark.sql import functions as F

    # One task: another might still upload when Spark has given up, and what it leaves goes by its expiry.
    df = spark.range(0, 100, 1, 1).select(
        F.when(F.col("id") == 77, F.raise_error(F.lit("boom"))).otherwise(F.col("id")).alias("id")
    )
    with pytest.raises(Exception, match="boom"):
        write(df, "T", transientStorage=container.key_url)
    assert container.names(uncommitted=True) == []
    assert server.cluster.execute(DATABASE, ".show tables with (includeHiddenTables=true)").rows == []


def test_errors_of_the_service_reach_the_user(
    server: KustoServer, read: Callable[..., DataFrame], spark: SparkSession, place: dict[str, str]
) -> None:
    with pytest.raises(Exception, match="NoSuchTable"):
        read("NoSuchTable")
    with pytest.raises(Exception, match="did not accept who is asking"):
        spark.read.format("kusto").options(
            **{**place, "accessToken": "other", "kustoQuery": "print 1"}
        ).load()
    df = read("print a = 1")
    server.fail("query", status=429, times=1)
    assert df.collect() == [(1,)]
    server.fail(
        "query", "end", error=api_error("LimitsExceeded", "E_RUNAWAY_QUERY: too much"), text="print", times=99
    )
    with pytest.raises(Exception, match="too much"):
        read("print a = 1").collect()


def test_only_the_driver_knows_how_to_sign_in(place: dict[str, str]) -> None:
    options = source_options({**place, "kustoQuery": "T"})
    assert TOKEN not in repr(options)
    from pyspark import cloudpickle
    from pyspark.sql.types import LongType, StructField, StructType

    from spark_kusto.spark.reader import KustoReader

    reader = KustoReader(options, StructType([StructField("id", LongType())]))
    assert TOKEN.encode() not in cloudpickle.dumps(reader)


def test_a_stream_reads_and_writes_each_row_once(
    spark: SparkSession, server: KustoServer, place: dict[str, str], tmp_path: Path
) -> None:
    server.cluster.execute(DATABASE, ".create table Source (id:long)")
    server.cluster.execute(DATABASE, ".create table Target (id:long)")

    def ingest(*values: int) -> None:
        rows = "\n".join(map(str, values))
        server.cluster.execute(DATABASE, f".ingest inline into table Source <|\n{rows}")

    def run() -> None:
        source = spark.readStream.format("kusto").options(**place, kustoQuery="Source | where id >= 0").load()
        query = (
            source.writeStream.format("kusto")
            .options(**place, kustoTable="Target")
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()

    ingest(1, 2, -1)
    run()
    ingest(3)
    run()
    assert sorted(row[0] for row in server.cluster.query(DATABASE, "Target").rows) == [1, 2, 3]
    # A batch that was committed and not noted in the checkpoint comes again.
    (commits := tmp_path / "checkpoint" / "commits" / "1").unlink()
    commits.with_name(".1.crc").unlink(missing_ok=True)
    run()
    assert sorted(row[0] for row in server.cluster.query(DATABASE, "Target").rows) == [1, 2, 3]
    assert len(server.texts("mgmt")) > 0
