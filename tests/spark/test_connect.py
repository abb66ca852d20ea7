"""Spark Connect: the whole source works there, push-down aside, which says so once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import sys, warnings
from pyspark.sql import SparkSession
from spark_kusto import read_kusto, register, write_kusto
root, checkpoint = sys.argv[1:]
spark = SparkSession.builder.remote("local[2]").config("spark.ui.enabled", "false").getOrCreate()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    register(spark)
    register(spark)
assert [str(w.message)[:12] for w in caught if "Connect" in str(w.message)] == ["Push-down by"], caught
options = dict(kustoCluster=root, kustoDatabase="NetDefaultDB")
numbers = spark.range(100).selectExpr("id", "id % 3 as g")
numbers.write.format("kusto").options(
    **options, kustoTable="T", tableCreateOptions="CreateIfNotExist").mode("append").save()
assert write_kusto(numbers, root, "NetDefaultDB", "T") is None
df = read_kusto(spark, root, "NetDefaultDB", "T | where id < 50", kustoFilter="g == 1")
assert df.count() == 34, df.count()
assert sorted({row.g for row in df.select("g").collect()}) == [1]
assert df.filter("id = 4").union(df.filter("id = 7")).count() == 4
rows = spark.read.format("kusto").options(**options, kustoQuery="T").schema("id bigint").load()
assert rows.columns == ["id"] and rows.agg({"id": "sum"}).collect()[0][0] == 9900
stream = spark.readStream.format("kusto").options(**options, kustoQuery="T | where g == 2").load()
query = (stream.writeStream.format("kusto").options(
    **options, kustoTable="S", tableCreateOptions="CreateIfNotExist", checkpointLocation=checkpoint)
    .trigger(availableNow=True).start())
query.awaitTermination()
assert read_kusto(spark, root, "NetDefaultDB", "S | count").collect()[0][0] == 66
print("all of it")
"""


def test_everything_works_on_connect(tmp_path: Path) -> None:
    # A process of its own: a Connect session and a classic one exclude each other.
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "cluster"), str(tmp_path / "checkpoint")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=280,
        check=False,
    )
    assert "all of it" in done.stdout, done.stderr[-3000:]
