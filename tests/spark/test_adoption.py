"""What Spark itself writes into staging keeps the rules of extents, if it is told how."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from spark_kusto.storage import Root, adopt
from spark_kusto.types import Column, KustoType
from tests.storage.rows import read

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

K = KustoType
COLUMNS = [
    Column("id", K.LONG),
    Column("b", K.INT),
    Column("r", K.REAL),
    Column("f", K.REAL),
    Column("dec", K.DECIMAL),
    Column("s", K.STRING),
    Column("t", K.DATETIME),
    Column("day", K.DATETIME),
    Column("ok", K.BOOL),
    Column("span", K.TIMESPAN),
    Column("dyn", K.DYNAMIC),
]


def test_files_that_spark_writes_are_taken_as_they_are(spark: SparkSession, tmp_path: Path) -> None:
    from pyspark.sql import functions as sf

    data = spark.range(0, 1000, 1, 2).selectExpr(
        "id",
        "cast(id % 100 as byte) b",
        "if(id % 7 = 0, double('NaN'), id * 1.5) r",
        "cast(id as float) f",
        "cast(id as decimal(10,2)) dec",
        "coalesce(if(id % 3 = 0, null, concat('s', id % 10)), '') s",
        "timestamp_ntz'2020-01-01 00:00:00' + make_dt_interval(id) t",
        "date_add(date'0001-01-01', cast(id as int)) day",
        "id % 2 = 0 ok",
        "id * 10 span",
        "to_json(named_struct('a', id)) dyn",
    )
    database = Root.open(tmp_path / "c").database("NetDefaultDB")
    operation = database.begin_ingest("T", COLUMNS, create=True)
    written = data.select(
        [sf.col(c.name).alias(c.name, metadata={"parquet.field.id": c.id}) for c in operation.columns]
    )
    written.write.parquet(f"file://{operation.staging}/spark")
    staged = []
    for part in Path(operation.staging, "spark").glob("*.parquet"):
        path = os.path.join(operation.staging, part.name)
        part.rename(path)
        inode = os.stat(path).st_ino
        found = adopt(operation, path)
        assert [os.stat(file.path).st_ino for file in found] == [inode]
        staged += found
    database.commit_ingest(operation, staged)
    rows = read(database, "T")
    assert len(rows) == 1000
    for got, expected in zip(rows, sorted(data.collect()), strict=True):
        assert len(got) == len(expected)
        for left, right in zip(got, expected, strict=True):
            if isinstance(right, float) and math.isnan(right):
                assert math.isnan(left)
            elif hasattr(left, "date") and not hasattr(right, "date"):
                assert left.date() == right
            else:
                assert left == right
    # NaN is greater than every number for DuckDB; Spark's bounds let no row of it be lost.
    assert len(read(database, "T", "r", where="c0 > 1e9")) == 143
    real = database.snapshot().table("T").extents[0].statistics[3]
    assert real.has_nan
    assert not math.isnan(real.maximum)


def test_bounds_of_reals_can_be_left_out(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    spark.range(10).selectExpr("id * 1.5D r").coalesce(1).write.option(
        "parquet.column.statistics.enabled#r", "false"
    ).parquet(path)
    (part,) = Path(path).glob("*.parquet")
    statistics = pq.read_metadata(part).row_group(0).column(0).statistics
    assert statistics is None or not statistics.has_min_max
