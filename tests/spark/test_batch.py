"""Batch reads and writes: what goes in comes out, in one commit, or not at all."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from chispa import assert_df_equality

from tests.spark.conftest import DATABASE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_kusto.client import Cluster

Read = Callable[..., "DataFrame"]
Write = Callable[..., None]

EVERY_TYPE = """
    flag boolean, small tinyint, short smallint, number int, big bigint, single float, real double,
    money decimal(20,4), text string, raw binary, day date, moment timestamp, wall timestamp_ntz,
    span interval day to second, items array<int>, tags map<string,int>, pair struct<a:int,b:string>
"""


def _rows() -> list[tuple[Any, ...]]:
    utc = dt.timezone.utc
    return [
        (
            True,
            -128,
            32767,
            -(2**31),
            2**63 - 1,
            1.5,
            float("inf"),
            Decimal("1234567890123456.7891"),
            "ünïcode 'q' \\ \n\t",
            b"\x00\xff",
            dt.date(2024, 2, 29),
            dt.datetime(2024, 3, 31, 1, 2, 3, 456789, tzinfo=utc),
            dt.datetime(1, 1, 1),
            dt.timedelta(days=-3, microseconds=5),
            [1, None, 3],
            {"k": 1},
            (7, "x"),
        ),
        (None,) * 17,
        (
            False,
            0,
            0,
            0,
            0,
            0.0,
            float("-inf"),
            Decimal("-0.0001"),
            "",
            b"",
            dt.date(9999, 12, 31),
            dt.datetime(1900, 1, 1, tzinfo=utc),
            dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
            dt.timedelta(0),
            [],
            {},
            (None, None),
        ),
    ]


@pytest.mark.smoke
def test_every_type_comes_back_as_the_mapping_says(
    spark: SparkSession, cluster: Cluster, read: Read, write: Write
) -> None:
    df = spark.createDataFrame(_rows(), EVERY_TYPE)
    write(df, "T")
    # As text: Python's own fromtimestamp() stumbles over year 1.
    df = read("T")
    df = df.withColumns({name: df[name].cast("string") for name in ("day", "moment", "wall")})
    got = {row["number"]: row for row in df.collect()}
    assert read("T").schema.simpleString() == (
        "struct<flag:boolean,small:int,short:int,number:int,big:bigint,single:double,real:double,"
        "money:decimal(38,18),text:string,raw:string,day:timestamp,moment:timestamp,wall:timestamp,"
        "span:string,items:string,tags:string,pair:string>"
    )
    first, nothing, last = got[-(2**31)], got[None], got[0]
    assert first["text"] == "ünïcode 'q' \\ \n\t"
    assert first["raw"] == "AP8="
    assert first["money"] == Decimal("1234567890123456.789100000000000000")
    assert (first["day"], first["wall"]) == ("2024-02-29 00:00:00", "0001-01-01 00:00:00")
    assert first["moment"] == "2024-03-31 01:02:03.456789"
    assert last["wall"] == "9999-12-31 23:59:59.999999"
    assert first["span"] == "-2.23:59:59.9999950"
    assert first["items"] == "[1,null,3]"
    assert first["pair"] == '{"a":7,"b":"x"}'
    assert [name for name, value in nothing.asDict().items() if value is not None] == ["text", "raw"]
    assert last["real"] == float("-inf")
    assert last["tags"] == "{}"
    # The same in the engine.
    assert cluster.query(DATABASE, "T | where wall == datetime(0001-01-01) | project moment").rows == [
        (dt.datetime(2024, 3, 31, 1, 2, 3, 456789, tzinfo=dt.timezone.utc),)
    ]


def test_own_types_can_be_asked_for(spark: SparkSession, root: str, write: Write) -> None:
    df = spark.sql(
        "select 5 n, timestamp'2024-05-01 10:11:12' t, interval '1 02:03:04' day to second s,"
        " named_struct('a', 1) d, 2.5 r"
    )
    write(df, "T")
    schema = "t date, s interval day to second, n bigint, d variant, r double"
    got = (
        spark.read.format("kusto")
        .options(kustoCluster=root, kustoDatabase=DATABASE, kustoQuery="T")
        .schema(schema)
        .load()
    )
    row = got.selectExpr("t", "s", "n", "variant_get(d, '$.a', 'int') a", "r").collect()[0]
    assert tuple(row) == (dt.date(2024, 5, 1), dt.timedelta(days=1, seconds=7384), 5, 1, 2.5)
    with pytest.raises(Exception, match="'t' is datetime and cannot be read as int"):
        spark.read.format("kusto").options(
            kustoCluster=root, kustoDatabase=DATABASE, kustoQuery="T", customSchema="t int"
        ).load().collect()


@pytest.mark.smoke
def test_modes_tables_and_sql(
    spark: SparkSession, root: str, cluster: Cluster, read: Read, write: Write
) -> None:
    numbers = spark.range(10).selectExpr("id", "cast(id % 3 as string) as g")
    with pytest.raises(Exception, match="T"):
        write(numbers, "T", tableCreateOptions="FailIfNotExist")
    write(numbers, "T")
    before = cluster.cursor(DATABASE)
    write(numbers, "T", tableCreateOptions="FailIfNotExist")
    assert read("T").count() == 20
    assert read("T", snapshot=before).count() == 10
    write(numbers.limit(4), "T", mode="overwrite")
    assert_df_equality(read("T"), numbers.limit(4), ignore_row_order=True, ignore_nullable=True)
    write(numbers.filter("g = '1'"), "T", mode="overwrite", replaceWhere="g == '1'")
    with pytest.raises(Exception, match="'replaceWhere' says what an overwriting write replaces"):
        write(numbers, "T", mode="append", replaceWhere="g == '1'")
    assert cluster.query(DATABASE, "T | summarize n=count() by g | order by g asc").rows == [
        ("0", 2),
        ("1", 3),
        ("2", 1),
    ]
    options = f"kustoCluster '{root}', kustoDatabase '{DATABASE}'"
    spark.sql(
        f"create or replace temp view v using kusto options ({options}, kustoQuery 'T | where g == \"0\"')"
    )
    assert spark.sql("select sum(id) from v").collect()[0][0] == 3
    spark.sql(f"create temp view w using kusto options ({options}, kustoTable 'T', kustoQuery 'T')")
    spark.sql("insert into w select 100, 'sql'")
    assert spark.sql("select id from w where g = 'sql'").collect()[0][0] == 100
    write(spark.createDataFrame([], "id bigint, g string"), "Empty")
    assert read("Empty").count() == 0


def test_queries_columns_filters_and_parameters(spark: SparkSession, read: Read, write: Write) -> None:
    write(spark.range(100).selectExpr("id", "id * 2 as `a.b`", "cast(id as string) as `it's`"), "T")
    assert read("let n = 5; T | where id < n; // done").count() == 5
    assert read("T | summarize total = sum(id)").collect()[0]["total"] == 4950
    df = read("T", kustoColumns='["it\'s", "a.b"]', kustoFilter="id == 7")
    assert df.columns == ["it's", "a.b"]
    assert tuple(df.collect()[0]) == ("7", 14)
    query = "declare query_parameters(least: long, name: string = 'x');"
    query += " T | where id >= least or ['it\\'s'] == name"
    assert read(query, queryParametersJson='{"least": 98, "name": "3\'; drop"}').count() == 2
    assert read("T", numPartitions=3, partitionColumn="id").rdd.getNumPartitions() == 3
    assert read("T", numPartitions=3, partitionColumn="id").count() == 100


BAD = [
    ("Tabel", {}, ["Tabel", "Table1"]),
    ("Table1 | where idd > 3", {}, ["idd", "id"]),
    ("Table1 | where", {}, ["line:position=1"]),
    ("Table1", {"kustoQuerry": "x"}, ["kustoquerry", "kustoQuery"]),
    ("Table1", {"kustoDatabase": ""}, ["kustoDatabase"]),
    ("Table1", {"kustoDatabase": "Nowhere"}, ["Nowhere"]),
    ("Table1 | project a=id, A=id", {}, ["'a'", "'A'", "project-rename"]),
    ("Table1", {"snapshot": "1"}, ["1"]),
]


def test_bad_reads_say_what_to_do(spark: SparkSession, read: Read, write: Write) -> None:
    write(spark.range(3), "Table1")
    for query, options, words in BAD:
        with pytest.raises(Exception) as caught:
            read(query, **options).collect()
        for word in words:
            assert word in str(caught.value), (query, str(caught.value))


def test_bad_writes_say_what_to_do(spark: SparkSession, root: str, cluster: Cluster, write: Write) -> None:
    write(spark.range(3).selectExpr("id", "'x' as s"), "T")
    cases = [
        ("select 1 id, 1 extra", {}, ["extra"]),
        ("select 'no' id, date'2024-01-01' s", {}, ["id", "long", "string", "s"]),
        ("select 1 id, 2 ID", {}, ["'id'", "'ID'", "case"]),
        ("select null id", {}, ["id", "no type"]),
        ("select interval 3 months id", {}, ["id", "year-month"]),
        ("select 's' s, 1L id", {"adjustSchema": "FailIfNotMatch"}, ["order"]),
        ("select 1L id", {"writeMod": "x"}, ["writeMode"]),
        ("select 1L id", {"mode": "ignore"}, []),
        ("select cast(1e30 as decimal(38,0)) id", {"table": "New"}, ["id", "row 0", "decimal"]),
    ]
    for statement, options, words in cases:
        given: dict[str, object] = {"table": "T", **options}
        try:
            write(spark.sql(statement), **given)
        except Exception as error:  # noqa: BLE001 - Spark wraps ours in many of its own
            message = str(error)
        else:
            raise AssertionError(f"{statement} was written")
        for word in words:
            assert word in message, (statement, message)
    with pytest.raises(Exception, match="no columns"):
        write(spark.range(3).select(), "T")
    assert cluster.query(DATABASE, "T | count").rows == [(3,)]
    assert not [path for path in Path(root).rglob("staging/*/*") if path.is_file()]


def test_failed_and_repeated_tasks_change_nothing(
    spark: SparkSession, root: str, cluster: Cluster, read: Read, write: Write
) -> None:
    from pyspark import TaskContext

    def flaky(batches: Any) -> Any:
        context = TaskContext.get()
        assert context is not None
        for number, batch in enumerate(batches):
            yield batch
            # Half way through the first attempt of every other task, with rows staged already.
            if number == 0 and context.attemptNumber() == 0 and context.partitionId() % 2:
                raise RuntimeError("lost")

    def broken(batches: Any) -> Any:
        yield from batches
        raise RuntimeError("poisoned")

    source = spark.range(0, 40_000, 1, 4)
    write(source.mapInArrow(flaky, "id bigint"), "T")
    assert_df_equality(read("T").sort("id"), source.toDF("id").sort("id"), ignore_nullable=True)
    with pytest.raises(Exception, match="poisoned"):
        write(source.mapInArrow(broken, "id bigint"), "T")
    assert read("T").count() == 40_000
    assert not [path for path in Path(root).rglob("staging/*/*") if path.is_file()]
    assert cluster.query(DATABASE, "T | count").rows == [(40_000,)]


def test_write_kusto_gives_figures_and_writes_batches_once(
    spark: SparkSession, root: str, cluster: Cluster
) -> None:
    from spark_kusto import SparkIngestionProperties, read_kusto, write_kusto

    df = spark.createDataFrame(_rows(), EVERY_TYPE)
    conf = {"tableCreateOptions": "CreateIfNotExist"}
    tags = SparkIngestionProperties(ingestByTags=("a",), creationTime=dt.datetime(2024, 1, 1))
    result = write_kusto(df, root, DATABASE, "T", conf, tags)
    assert result is not None
    assert (result.rows, result.status) == (3, "committed")
    df.write.format("kusto").options(
        kustoCluster=root, kustoDatabase=DATABASE, kustoTable="U", tableCreateOptions="CreateIfNotExist"
    ).mode("append").save()
    # However it was written, it reads the same.
    query = "{} | order by big asc nulls first"
    assert cluster.query(DATABASE, query.format("T")).rows == cluster.query(DATABASE, query.format("U")).rows
    shown = cluster.execute(DATABASE, ".show table T extents | project Tags, MinCreatedOn").rows
    assert shown[0][0] == "ingest-by:a"
    again = write_kusto(df, cluster, DATABASE, "T", conf, batch_id=4, writer_id="w")
    replay = write_kusto(df, cluster, DATABASE, "T", conf, batch_id=4, writer_id="w")
    assert again is not None
    assert replay is not None
    assert (again.status, replay.status) == ("committed", "replayed")
    assert read_kusto(spark, root, DATABASE, "T").count() == 6
    with pytest.raises(Exception, match="writer_id"):
        write_kusto(df, root, DATABASE, "T", batch_id=5)


def test_worker_without_the_package_says_so(tmp_path: Path) -> None:
    """A reader that reaches a Python without this package names the Python and the remedy."""
    import subprocess
    import sys

    from pyspark.serializers import CPickleSerializer

    from spark_kusto.spark.options import source_options
    from spark_kusto.spark.reader import KustoReader

    reader = KustoReader.__new__(KustoReader)
    assert source_options is not None
    shipped = tmp_path / "reader"
    shipped.write_bytes(CPickleSerializer().dumps(reader))
    code = (
        "import sys, pickle\n"
        "class Gone:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] == 'spark_kusto':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        f"pickle.loads(open({str(shipped)!r}, 'rb').read())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=False)
    assert "no package 'spark-kusto'" in done.stderr
    assert "PYSPARK_PYTHON" in done.stderr
    assert os.path.basename(sys.executable) in done.stderr


def test_both_ways_of_writing_hold_the_same(
    spark: SparkSession, root: str, cluster: Cluster, write: Write, conf: Callable[..., Any]
) -> None:
    """In a zone whose clocks change."""
    from spark_kusto import write_kusto

    with conf({"spark.sql.session.timeZone": "Europe/Berlin"}):
        df = spark.sql(
            """select id, cast(id as tinyint) small, id % 2 = 0 flag, cast(id as float) single,
                  if(id = 1, double('NaN'), id / 3) real, cast(id as decimal(20,4)) money,
                  if(id = 2, null, concat('s', id)) text, cast(X'41FF42' as string) broken,
                  cast('b' as binary) raw, date'1500-01-01' day,
                  timestamp_micros(1711846800000000 + id * 1800000000
                                   - if(id = 3, 60000000000000000, 0)) moment,
                  cast('2024-10-27 02:30:00' as timestamp_ntz) wall
               from range(5)"""
        )
        result = write_kusto(df, root, DATABASE, "ByFunction", {"tableCreateOptions": "CreateIfNotExist"})
        assert result is not None
        assert result.rows == 5
        write(df, "ByWriter")
    query = "{} | project-away real | order by id asc"
    assert cluster.query(DATABASE, query.format("ByFunction")).rows == (
        cluster.query(DATABASE, query.format("ByWriter")).rows
    )
    assert cluster.query(DATABASE, "ByFunction | where real > 0.5 | count").rows == (
        cluster.query(DATABASE, "ByWriter | where real > 0.5 | count").rows
    )
    assert not [path for path in Path(root).rglob("staging/*/*") if path.is_file()]
