"""Reads and writes of the Spark source against Spark's own Parquet, in one session on the same data.

    python scripts/bench/spark_io.py [--rows 10000000] [--rounds 3]

10 million rows of 8 columns: datetime, long, double, a string of few and one of many values, bool, int, and a
nullable double. Every ratio is of medians, the contestants taking turns.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage

from scripts.bench.measure import Table, alternating, median, python_workers
from spark_kusto import read_kusto, write_kusto

DATABASE = "NetDefaultDB"
SELECTIVE = "Number % 100 == 7"


class BareParquet(DataSource):
    """The least a Python source can do for a write: zstd Parquet by pyarrow, nothing checked or promised."""

    @classmethod
    def name(cls) -> str:
        return "bare_parquet"

    def writer(self, schema: Any, overwrite: bool) -> DataSourceArrowWriter:
        return BareWriter(self.options["path"])


class BareWriter(DataSourceArrowWriter):
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WriterCommitMessage:
        import uuid

        import pyarrow.parquet as pq

        writer = None
        for batch in iterator:
            if writer is None:
                writer = pq.ParquetWriter(
                    f"{self.folder}/{uuid.uuid4()}.parquet", batch.schema, compression="zstd"
                )
            writer.write_batch(batch)
        if writer is not None:
            writer.close()
        return WriterCommitMessage()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where the data go; a temporary folder unless given")
    options = parser.parse_args()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="spark-io-")).absolute()
    spark = (
        SparkSession.builder.appName("spark_io")
        .master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.driver.memory", "3g")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    spark.dataSource.register(BareParquet)
    table = Table()
    try:
        print(f"{options.rows:,} rows x 8 columns, PySpark {spark.version}, {os.cpu_count()} cores, {folder}")
        made(spark, options.rows).write.parquet(str(folder / "source"))
        writes(spark, folder, options.rounds, table)
        reads(spark, folder, options.rounds, table)
    finally:
        spark.stop()
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return table.end()


def made(spark: SparkSession, rows: int) -> DataFrame:
    return spark.range(0, rows, 1, 8).selectExpr(
        "timestamp_micros(1704067200000000 + id * 3000000 + hash(id) % 1000000) AS Timestamp",
        "id AS Number",
        "rand(7) * 1000 AS Measure",
        "concat('State ', pmod(hash(id), 50)) AS State",
        "concat(hex(xxhash64(id)), hex(xxhash64(id, 1))) AS Session",
        "pmod(id, 3) = 0 AS Flag",
        "cast(pmod(hash(id, 3), 1000) AS int) AS Small",
        "CASE WHEN pmod(hash(id, 5), 4) > 0 THEN rand(11) END AS Gap",
    )


def writes(spark: SparkSession, folder: Path, rounds: int, table: Table) -> None:
    source = spark.read.parquet(str(folder / "source"))
    cluster = str(folder / "cluster")
    bare = folder / "bare"
    to_create = {"tableCreateOptions": "CreateIfNotExist"}

    def write_parquet() -> None:
        source.write.mode("overwrite").parquet(str(folder / "parquet"))

    def write_bare() -> None:
        shutil.rmtree(bare, ignore_errors=True)
        bare.mkdir()
        source.write.format("bare_parquet").option("path", str(bare)).mode("append").save()

    def write_source() -> None:
        (
            source.write.format("kusto")
            .options(kustoCluster=cluster, kustoDatabase=DATABASE, kustoTable="Events", **to_create)
            .mode("overwrite")
            .save()
        )

    def write_function() -> None:
        write_kusto(source, cluster, DATABASE, "Copied", to_create, mode="overwrite")

    table.heading("Writes")
    taken = alternating(
        {
            "parquet": write_parquet,
            "bare": write_bare,
            "df.write": write_source,
            "write_kusto": write_function,
        },
        rounds,
    )
    times = {name: median(values) for name, values in taken.items()}
    table.ratio("df.write.format('kusto')", times["df.write"], "bare source", times["bare"], 1.25)
    table.ratio("df.write.format('kusto')", times["df.write"], "df.write.parquet", times["parquet"], None)
    table.ratio("write_kusto(df, ...)", times["write_kusto"], "df.write.parquet", times["parquet"], 1.3)


def reads(spark: SparkSession, folder: Path, rounds: int, table: Table) -> None:
    cluster = str(folder / "cluster")
    parquet = str(folder / "parquet")

    def discard(df: DataFrame) -> None:
        df.write.format("noop").mode("overwrite").save()

    def kusto(query: str) -> DataFrame:
        return read_kusto(spark, cluster, DATABASE, query)

    table.heading("Reads")
    taken = alternating(
        {
            "parquet": lambda: discard(spark.read.parquet(parquet)),
            "kusto": lambda: discard(kusto("Events")),
            "parquet 1 %": lambda: discard(
                spark.read.parquet(parquet).filter("Number % 100 = 7").select("State", "Measure")
            ),
            "kusto 1 %": lambda: discard(kusto(f"Events | where {SELECTIVE} | project State, Measure")),
        },
        rounds,
    )
    times = {name: median(values) for name, values in taken.items()}
    table.ratio("the whole table", times["kusto"], "spark.read.parquet", times["parquet"], 1.5)
    table.ratio(
        "kustoQuery, 1 % of rows, two columns",
        times["kusto 1 %"],
        "spark.read.parquet",
        times["parquet 1 %"],
        0.5,
    )
    with python_workers() as peak:
        discard(kusto("Events"))
    table.value("peak of a Python worker, the whole table", peak.bytes / 1e6, "MB", most=400)


if __name__ == "__main__":
    sys.exit(main())
