"""What writing costs: a batch against a bare Python source, a stream of small batches, writers side by side.

python -m scripts.bench.sink [--rows 10000000] [--batches 2000] [--rounds 3] [--only writers|batch|stream]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

import spark_kusto
from scripts.bench.measure import Table, alternating, median, python_workers
from scripts.bench.spark_io import DATABASE, BareParquet, made, writes

CREATE = {"tableCreateOptions": "CreateIfNotExist"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--batches", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("writers", "batch", "stream"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sink-"))
    table = Table()
    if options.only in (None, "writers"):
        concurrent(folder, table)
    if options.only == "writers":
        shutil.rmtree(folder, ignore_errors=True)
        return table.end()
    spark = (
        SparkSession.builder.appName("sink")
        .master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.python.daemon.module", "spark_kusto.spark.daemon")
        .config("spark.driver.memory", "3g")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    spark.dataSource.register(BareParquet)
    try:
        print(f"{options.rows:,} rows x 8 columns, PySpark {spark.version}, {os.cpu_count()} cores")
        if options.only != "stream":
            made(spark, options.rows).write.parquet(str(folder / "source"))
            writes(spark, folder, options.rounds, table)
            memory(spark, folder, options.rows // 2, table)
        if options.only != "batch":
            streaming(spark, folder, options.batches, table)
    finally:
        spark.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return table.end()


def memory(spark: SparkSession, folder: Path, rows: int, table: Table) -> None:
    one = made(spark, rows).coalesce(1)
    with python_workers() as peak:
        spark_kusto.write_kusto(one, str(folder / "cluster"), DATABASE, "One", CREATE)
        write(one, folder, "OneByTasks")
    table.value(f"peak of a Python worker, a partition of {rows:,} rows", peak.bytes / 1e6, "MB", most=400)


def write(df: DataFrame, folder: Path, name: str) -> None:
    (
        df.write.format("kusto")
        .options(kustoCluster=str(folder / "cluster"), kustoDatabase=DATABASE, kustoTable=name, **CREATE)
        .mode("append")
        .save()
    )


def streaming(spark: SparkSession, folder: Path, batches: int, table: Table) -> None:
    """Batches of 1,000 rows, a trigger of 100 ms: how old a row is when it is seen, and what they cost
    readers. A row is born when its batch is taken from the source (``rate`` makes rows once a second)."""
    address = str(folder / "cluster")
    source = (
        spark.readStream.format("rate-micro-batch")
        .option("rowsPerBatch", 1_000)
        .option("numPartitions", 1)
        .load()
        .selectExpr("current_timestamp() AS Born", "value AS Number", "concat('State ', value % 50) AS State")
    )
    query = (
        source.writeStream.format("kusto")
        .options(kustoCluster=address, kustoDatabase=DATABASE, kustoTable="Streamed", **CREATE)
        .option("checkpointLocation", str(folder / "checkpoint"))
        .trigger(processingTime="100 milliseconds")
        .start()
    )
    table.heading("Streaming writes")
    ages: list[float] = []
    with spark_kusto.connect(address) as cluster:
        started = time.perf_counter()
        done = 0
        while done < batches and time.perf_counter() - started < 1_800:
            time.sleep(1)
            progress = query.lastProgress
            done = int(progress["batchId"]) if progress else 0
            if done > 10:
                newest = cluster.query(
                    DATABASE, "Streamed | top 1 by Number desc | project ingestion_time() - Born"
                ).rows
                ages += [row[0].total_seconds() for row in newest if row[0] is not None]
        query.stop()
        table.value("batches written", done, "", least=batches)
        seconds = time.perf_counter() - started
        table.value("batches a second", done / seconds, "/s")
        # The newest row of each batch: from its birth to the commit that made it visible.
        table.value("from source to visible row", statistics.median(ages), "s", most=1.0)
        cluster.execute(DATABASE, ".set-or-replace Whole <| Streamed")
        ask = "| summarize count(), sum(Number) by State"
        taken = alternating(
            {
                "streamed": lambda: cluster.query(DATABASE, f"Streamed {ask}"),
                "whole": lambda: cluster.query(DATABASE, f"Whole {ask}"),
            },
            9,
        )
    table.ratio(
        "an aggregate after them",
        median(taken["streamed"]),
        "the same rows written at once",
        median(taken["whole"]),
        1.5,
    )


def _commits(address: str, writer: int, count: int) -> None:
    with spark_kusto.connect(address) as cluster:
        for batch in range(count):
            cluster.ingest(
                DATABASE,
                "Shared",
                pa.table({"w": [writer] * 10, "b": [batch] * 10}),
                writer_id=str(writer),
                batch_id=batch,
            )


def concurrent(folder: Path, table: Table, writers: int = 8, count: int = 100) -> None:
    address = str(folder / "shared")
    with spark_kusto.connect(address) as cluster:
        cluster.execute(DATABASE, ".create table Shared (w:long, b:long)")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_commits, args=(address, n, count)) for n in range(writers)]
    started = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    taken = time.perf_counter() - started
    with spark_kusto.connect(address) as cluster:
        rows = cluster.query(DATABASE, "Shared | summarize count(), dcount(strcat(w, ' ', b))").rows[0]
    table.heading("Writers side by side")
    table.value("rows of all of them", rows[0], "", least=writers * count * 10)
    table.value("commits a second, starting included", writers * count / taken, "/s", least=50)


if __name__ == "__main__":
    sys.exit(main())
