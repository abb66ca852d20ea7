"""The sink's write modes and ingestion properties: when rows are seen, in which files, with which tags."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.spark.conftest import DATABASE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_kusto.client import Cluster

Read = Callable[..., "DataFrame"]
Write = Callable[..., None]

CREATE = {"tableCreateOptions": "CreateIfNotExist"}


def _left_over(root: str) -> list[Path]:
    return [path for path in Path(root).rglob("staging/*") if path.is_dir()]


def _count(cluster: Cluster, table: str) -> int:
    return int(cluster.query(DATABASE, f"{table} | count").rows[0][0])


def _extents(cluster: Cluster, table: str, columns: str) -> list[tuple[Any, ...]]:
    return cluster.execute(DATABASE, f".show table {table} extents | project {columns}").rows


# -- modes ----------------------------------------------------------------------------------------


def test_queued_rows_are_seen_when_the_policy_is_due(
    spark: SparkSession, root: str, cluster: Cluster, read: Read, write: Write
) -> None:
    from spark_kusto import write_kusto

    cluster.execute(DATABASE, ".create table T (id:long)")
    began = time.monotonic()
    write(spark.range(10), "T", writeMode="Queued")
    result = write_kusto(spark.range(10, 15), root, DATABASE, "T", writeMode="Queued")
    assert result is not None
    assert (result.status, result.rows, result.cursor) == ("queued", 5, None)
    assert read("T").count() == 0
    policy = {"MaximumBatchingTimeSpan": "00:00:10"}
    cluster.execute(DATABASE, f".alter table T policy ingestionbatching '{json.dumps(policy)}'")
    done = cluster.wait_ingested(result.operation_id, dt.timedelta(seconds=60))
    assert (done.status, done.rows) == ("committed", 5)
    assert time.monotonic() - began >= 10
    assert read("T").count() == 15
    assert not _left_over(root)


def test_the_next_process_shows_what_is_due(
    spark: SparkSession, root: str, cluster: Cluster, write: Write
) -> None:
    cluster.execute(DATABASE, ".create table T (id:long)")
    policy = {"MaximumBatchingTimeSpan": "00:00:10"}
    cluster.execute(DATABASE, f".alter table T policy ingestionbatching '{json.dumps(policy)}'")
    write(spark.range(10), "T", writeMode="Queued")
    cluster.close()
    time.sleep(10.5)
    code = f"from spark_kusto import connect; print(connect({root!r}).query({DATABASE!r}, 'T | count').rows)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[(10,)]"


def test_flushed_rows_do_not_wait(spark: SparkSession, cluster: Cluster, read: Read, write: Write) -> None:
    write(spark.range(10), "T", writeMode="Queued")
    assert not _exists(cluster, "T")
    properties = json.dumps({"flushImmediately": True})
    write(spark.range(3), "T", writeMode="Queued", sparkIngestionPropertiesJson=properties)
    # What waits for the same table goes with it.
    assert read("T").count() == 13


def _exists(cluster: Cluster, table: str) -> bool:
    return bool(cluster.execute(DATABASE, f".show tables | where TableName == '{table}'").rows)


def test_streamed_rows_are_seen_at_once_in_small_requests(
    spark: SparkSession, root: str, cluster: Cluster, read: Read, write: Write
) -> None:
    from spark_kusto import write_kusto

    rows = spark.range(0, 60_000, 1, 2).selectExpr("id", "repeat(cast(id as string), 40) as text")
    result = write_kusto(rows, root, DATABASE, "T", CREATE, writeMode="KustoStreaming")
    assert result is not None
    assert (result.status, result.rows) == ("committed", 60_000)
    assert _count(cluster, "T") == 60_000
    sizes = [row[0] for row in _extents(cluster, "T", "OriginalSize")]
    assert max(sizes) <= 4 << 20
    assert len(sizes) >= sum(sizes) / (4 << 20)
    write(rows, "U", writeMode="KustoStreaming", streamingIngestSizeInMB=1)
    sizes = [row[0] for row in _extents(cluster, "U", "OriginalSize")]
    assert max(sizes) <= 1 << 20
    assert read("U").distinct().count() == 60_000


def test_a_row_too_large_to_stream_goes_through_the_queue(
    spark: SparkSession, root: str, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    from spark_kusto import write_kusto

    rows = spark.range(5).selectExpr("id", "if(id = 3, repeat('x', 5000000), 'small') as text")
    with caplog.at_level(logging.WARNING, logger="spark_kusto"):
        result = write_kusto(rows, root, DATABASE, "T", CREATE, writeMode="KustoStreaming")
    assert result is not None
    # All of it, so that no reader sees a part.
    assert (result.status, result.rows) == ("queued", 5)
    assert "larger than a streaming request" in caplog.text
    assert not _exists(cluster, "T")
    cluster.engine.queue.process(cluster.engine.root.database(DATABASE), flush=True)  # type: ignore[attr-defined]
    assert cluster.query(DATABASE, "T | summarize count(), max(strlen(text))").rows == [(5, 5_000_000)]


def test_the_size_of_files_can_be_set(spark: SparkSession, root: str, cluster: Cluster, write: Write) -> None:
    from spark_kusto import write_kusto

    rows = spark.range(0, 40_000, 1, 1).selectExpr("id", "repeat(cast(id as string), 40) as text")
    write(rows, "T")
    assert len(_extents(cluster, "T", "ExtentId")) == 1
    write(rows, "U", clientBatchingLimit=2)
    write_kusto(rows, root, DATABASE, "V", CREATE, clientBatchingLimit=2)
    for table in ("U", "V"):
        sizes = [row[0] for row in _extents(cluster, table, "OriginalSize")]
        assert max(sizes) <= 2 << 20
        assert len(sizes) == -(-sum(sizes) // (2 << 20))
        assert _count(cluster, table) == 40_000


# -- ingestion properties -------------------------------------------------------------------------


def test_every_property_shows_on_the_extents(
    spark: SparkSession, root: str, cluster: Cluster, write: Write
) -> None:
    from spark_kusto import SparkIngestionProperties, write_kusto

    given = {
        "dropByTags": '["d1", "d 2"]',
        "ingestByTags": "i1",
        "additionalTags": "plain, another",
        "creationTime": "2023-05-06T07:08:09Z",
    }
    write(spark.range(3), "Options", **given)
    properties = SparkIngestionProperties(
        dropByTags=("d1", "d 2"),
        ingestByTags=("i1",),
        additionalTags=("plain", "another"),
        creationTime=dt.datetime(2023, 5, 6, 7, 8, 9, tzinfo=dt.timezone.utc),
    )
    write_kusto(spark.range(3), root, DATABASE, "Typed", CREATE, properties)
    write(spark.range(3), "Json", sparkIngestionPropertiesJson=properties.to_json())
    write(spark.range(3), "Queued", writeMode="Queued", flushImmediately=True, **given)
    for table in ("Options", "Typed", "Json", "Queued"):
        for tags, created in _extents(cluster, table, "Tags, MinCreatedOn"):
            assert sorted(tags.split("\r\n")) == [
                "another",
                "drop-by:d 2",
                "drop-by:d1",
                "ingest-by:i1",
                "plain",
            ]
            assert created == properties.creationTime
    # Dropping by tag is what they are for.
    cluster.execute(DATABASE, ".drop extents <| .show table Json extents where tags has 'drop-by:d1'")
    assert _count(cluster, "Json") == 0


def test_a_write_is_skipped_where_its_tag_is_there(
    spark: SparkSession, root: str, cluster: Cluster, write: Write
) -> None:
    from spark_kusto import write_kusto

    for _ in range(2):
        write(spark.range(3), "T", ingestByTags="day-1", ingestIfNotExists="day-1")
    assert _count(cluster, "T") == 3
    conf = {"ingestByTags": "day-1", "ingestIfNotExists": "day-1"}
    skipped = write_kusto(spark.range(3), root, DATABASE, "T", conf)
    assert skipped is not None
    assert (skipped.status, skipped.rows) == ("skipped", 0)
    write(spark.range(3), "T", ingestByTags="day-2", ingestIfNotExists="day-2")
    assert _count(cluster, "T") == 6
    assert not _left_over(root)


def test_a_mapping_counts_the_columns_of_the_data_frame(
    spark: SparkSession, root: str, cluster: Cluster, write: Write
) -> None:
    from spark_kusto import write_kusto

    cluster.execute(DATABASE, ".create table T (a:long, b:string, c:string, d:long)")
    mapping = json.dumps(
        [
            {"column": "b", "Properties": {"Ordinal": "0"}},
            {"column": "a", "Properties": {"Ordinal": "2"}},
            {"column": "c", "Properties": {"ConstValue": "fixed"}},
        ]
    )
    rows = spark.sql("select 'first' as x, 1 as left_out, 7L as y")
    write(rows, "T", csvMapping=mapping)
    write_kusto(rows, root, DATABASE, "T", csvMapping=mapping)
    cluster.execute(DATABASE, f".create table T ingestion csv mapping 'Orders' '{mapping}'")
    write(rows, "T", csvMappingNameReference="Orders")
    write(rows, "T", writeMode="KustoStreaming", csvMappingNameReference="Orders")
    write(rows, "T", sparkIngestionPropertiesJson=json.dumps({"csvMappingNameReference": "Orders"}))
    assert cluster.query(DATABASE, "T | project a, b, c, d").rows == [(7, "first", "fixed", None)] * 5
    beyond = mapping.replace('"2"', '"3"')
    for options, words in (
        ({"csvMapping": beyond}, ["ordinal 3", "3 columns"]),
        ({"csvMappingNameReference": "Order"}, ["'Order'", "'Orders'"]),
        ({"csvMapping": "[{"}, ["csvMapping", "not JSON"]),
        ({"csvMapping": mapping.replace('"a"', '"nowhere"')}, ["'nowhere'", "not in the table"]),
        ({"csvMapping": mapping.replace('"2"', '"0"')}, ["'x'", "string", "long"]),
    ):
        with pytest.raises(Exception) as caught:
            write(rows, "T", **options)
        for word in words:
            assert word in str(caught.value), (options, str(caught.value))
    assert _count(cluster, "T") == 5
    assert not _left_over(root)


def test_values_that_do_not_fit_are_counted_and_bounded(
    spark: SparkSession, root: str, cluster: Cluster, write: Write
) -> None:
    from spark_kusto import write_kusto

    cluster.execute(DATABASE, ".create table T (n:int, g:guid)")
    rows = spark.sql(
        "select if(id = 3, 5000000000, id) as n, if(id = 4, 'no guid', uuid()) as g from range(10)"
    )
    for allowed in (0, 1):
        with pytest.raises(Exception, match=r"5000000000|no guid|2 values"):
            write(rows, "T", maximumErrorsAllowed=allowed)
    assert _count(cluster, "T") == 0
    write(rows, "T", maximumErrorsAllowed=2)
    assert cluster.query(DATABASE, "T | summarize count(), countif(isnull(n)), countif(isnull(g))").rows == [
        (10, 1, 1)
    ]
    result = write_kusto(rows, root, DATABASE, "T", allowLossyConversion=True)
    assert result is not None
    assert (result.rows, result.errors) == (10, 2)


# -- requests and waiting -------------------------------------------------------------------------


def test_a_write_is_known_by_its_request(
    spark: SparkSession, root: str, cluster: Cluster, write: Write
) -> None:
    write(spark.range(3), "T", requestId="nightly-17")
    shown = cluster.execute(
        DATABASE, ".show journal | where Event == 'INGEST' | project ClientRequestId, EntityName"
    ).rows
    assert [(text.split(";")[0], name) for text, name in shown] == [("nightly-17", "T")]


def test_a_commit_waits_for_others_as_long_as_it_may(
    spark: SparkSession, root: str, cluster: Cluster, tmp_path: Path
) -> None:
    from spark_kusto import write_kusto
    from spark_kusto.errors import StorageBusyError

    cluster.execute(DATABASE, ".create table T (id:long)")
    go = str(tmp_path / "go")

    def waiting(batches: Any) -> Any:
        while not os.path.exists(go):
            time.sleep(0.05)
        yield from batches

    rows = spark.range(0, 3, 1, 1).mapInArrow(waiting, "id bigint")
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write_kusto, rows, root, DATABASE, "T", timeoutLimit=1)
        while not _left_over(root):
            time.sleep(0.05)
        catalog = cluster.engine.root.database(DATABASE).catalog  # type: ignore[attr-defined]
        other = sqlite3.connect(catalog.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        Path(go).touch()
        time.sleep(6)
        other.execute("ROLLBACK")
        with pytest.raises(StorageBusyError, match=r"1 s .* timeoutLimit"):
            written.result()
    other.close()
    assert _count(cluster, "T") == 0
    assert not _left_over(root)
