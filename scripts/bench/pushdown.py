"""What push-down and streaming reads cost and save, against Spark over its own Parquet in the same session.

    python -m scripts.bench.pushdown [--rows 10000000] [--rounds 5] [--no-daemon]

10 million rows of 20 columns. `--no-daemon` leaves out the worker daemon, which has libraries loaded
before it forks: short queries with a limit show the difference.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import spark_kusto
from scripts.bench.measure import Table, alternating, median

DATABASE = "NetDefaultDB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-daemon", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pushdown-"))
    spark = session(daemon=not options.no_daemon)
    table = Table()
    try:
        print(f"{options.rows:,} rows x 20 columns, PySpark {spark.version}, {os.cpu_count()} cores")
        made(spark, options.rows).write.parquet(str(folder / "parquet"))
        source = spark.read.parquet(str(folder / "parquet"))
        to_create = {"tableCreateOptions": "CreateIfNotExist"}
        quarter = options.rows // 4
        for n in range(4):  # in commits of their own, since a stream's batch takes in whole commits
            part = source.filter(
                f"Number >= {n * quarter}" + (f" AND Number < {(n + 1) * quarter}" if n < 3 else "")
            )
            spark_kusto.write_kusto(part, str(folder / "cluster"), DATABASE, "Events", to_create)
        planning(spark, table)
        queries(spark, folder, options.rows, options.rounds, table, daemon=not options.no_daemon)
        streams(spark, folder, options.rows, table)
    finally:
        spark.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return table.end()


def session(daemon: bool) -> SparkSession:
    builder = (
        SparkSession.builder.appName("pushdown")
        .master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.driver.memory", "3g")
    )
    if daemon:
        builder = builder.config("spark.python.daemon.module", "spark_kusto.spark.daemon")
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def made(spark: SparkSession, rows: int) -> DataFrame:
    return spark.range(0, rows, 1, 8).selectExpr(
        "timestamp_micros(1704067200000000 + id * 3000000) AS Timestamp",
        "id AS Number",
        "concat('State ', pmod(hash(id), 50)) AS State",
        "rand(7) * 1000 AS Measure",
        *(f"cast(pmod(hash(id, {n}), 1000) AS int) AS I{n}" for n in range(6)),
        *(f"rand({n}) AS R{n}" for n in range(5)),
        *(f"concat('value ', pmod(hash(id, {n}), 10000)) AS S{n}" for n in range(5)),
    )


def planning(spark: SparkSession, table: Table) -> None:
    """The rule looks at every plan: what it costs one of 200 nodes that reads something else."""
    experimental: Any = spark._jsparkSession.experimental()
    without = experimental.extraOptimizations()
    spark_kusto.register(spark)
    with_rule = experimental.extraOptimizations()

    def unrelated() -> DataFrame:
        df = spark.range(10).toDF("a")
        for n in range(100):
            df = df.filter(F.col("a") > -n - 1).select((F.rand(n) + F.col("a")).alias("a"))
        return df

    def optimize(rules: Any) -> float:
        getattr(experimental, "extraOptimizations_$eq")(rules)
        execution = unrelated()._jdf.queryExecution()
        execution.analyzed()
        started = time.perf_counter()
        execution.optimizedPlan()
        return time.perf_counter() - started

    # In turns, since the compiler of the JVM makes every one faster than the one before.
    times: dict[bool, list[float]] = {True: [], False: []}
    for n in range(60):
        for present in (n % 2 == 0, n % 2 == 1):
            taken = optimize(with_rule if present else without)
            if n >= 20:
                times[present].append(taken)
    getattr(experimental, "extraOptimizations_$eq")(with_rule)
    added = statistics.median(times[True]) - statistics.median(times[False])
    table.heading("Planning")
    table.value("the rule on a plan of 200 other nodes", max(0.0, added) * 1000, "ms", most=5)


def queries(spark: SparkSession, folder: Path, rows: int, rounds: int, table: Table, daemon: bool) -> None:
    def parquet() -> DataFrame:
        return spark.read.parquet(str(folder / "parquet"))

    def kusto() -> DataFrame:
        return spark_kusto.read_kusto(spark, str(folder / "cluster"), DATABASE, "Events")

    def two(df: DataFrame) -> None:
        df.select("Number", "Measure").write.format("noop").mode("overwrite").save()

    def grouped(df: DataFrame) -> None:
        df.groupBy("State").agg(F.count("*"), F.sum("Measure"), F.avg("I1")).collect()

    def few(df: DataFrame, condition: str) -> None:
        df.filter(condition).limit(100).collect()

    taken = alternating(
        {
            "parquet two": lambda: two(parquet()),
            "kusto two": lambda: two(kusto()),
            "parquet grouped": lambda: grouped(parquet()),
            "kusto grouped": lambda: grouped(kusto()),
            "kusto one": lambda: few(kusto(), f"Number = {rows * 3 // 4}"),
            "kusto few": lambda: few(kusto(), "State = 'State 7' AND I0 < 20"),
            "kusto rare": lambda: few(kusto(), "Number % 100000 = 7 AND I0 < 500"),
        },
        rounds,
        warm_up=2,
    )
    times = {name: median(values) for name, values in taken.items()}
    table.heading("Push-down")
    baseline = "spark.read.parquet"
    table.ratio("2 of 20 columns", times["kusto two"], baseline, times["parquet two"], 1.5)
    table.ratio(
        "groupBy(State): count, sum, avg", times["kusto grouped"], baseline, times["parquet grouped"], 0.333
    )
    name = f"limit 100, {'with' if daemon else 'without'} the daemon: "
    most = 0.4 if daemon else 1.5
    table.value(name + "one row of all", times["kusto one"], "s", most=most)
    table.value(name + "one row in 2,500", times["kusto few"], "s", most=most)
    # Fewer rows than the limit, and some in every part of the files: 20 columns are decompressed whole.
    table.value(name + "one row in 200,000", times["kusto rare"], "s")


def streams(spark: SparkSession, folder: Path, rows: int, table: Table) -> None:
    address = str(folder / "cluster")

    def stream(name: str, **options: str) -> DataFrame:
        return (
            spark.readStream.format("kusto")
            .options(kustoCluster=address, kustoDatabase=DATABASE, kustoQuery=name, **options)
            .load()
        )

    table.heading("Streaming reads")
    arrived: dict[int, float] = {}
    changed = threading.Event()

    def batch(df: DataFrame, _: int) -> None:
        now_there = [row.n for row in df.collect()]
        for n in now_there:
            arrived[n] = time.perf_counter()
        changed.set()

    with spark_kusto.connect(address) as cluster:
        import pyarrow as pa

        cluster.execute(DATABASE, ".create table Ticks (n:long)")
        query = (
            stream("Ticks", startingCursor="latest")
            .writeStream.foreachBatch(batch)
            .option("checkpointLocation", str(folder / "ticks"))
            .trigger(processingTime="100 milliseconds")
            .start()
        )
        latencies = []
        for n in range(25):
            changed.clear()
            time.sleep(0.3)
            cluster.ingest(DATABASE, "Ticks", pa.table({"n": [n]}))
            committed = time.perf_counter()
            deadline = committed + 30
            while n not in arrived and time.perf_counter() < deadline:
                changed.wait(0.05)
                changed.clear()
            if n in arrived and n >= 5:
                latencies.append(arrived[n] - committed)
        query.stop()
    table.value("from commit to rows in foreachBatch", statistics.median(latencies), "s", most=1.0)

    # The first run starts workers and is compiled.
    for run in range(2):
        query = (
            stream("Events", startingCursor="earliest", maxRowsPerTrigger=str(rows // 4))
            .writeStream.format("noop")
            .option("checkpointLocation", str(folder / f"noop-{run}"))
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
    batches: list[Any] = [progress for progress in query.recentProgress if progress.numInputRows]
    read = sum(progress.numInputRows for progress in batches)
    seconds = sum(progress.durationMs["triggerExecution"] for progress in batches) / 1000
    table.value(f"rows a second through noop, {len(batches)} batches", read / seconds, "rows/s", least=1e6)


if __name__ == "__main__":
    sys.exit(main())
