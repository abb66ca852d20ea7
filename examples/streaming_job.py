"""A stream into Kusto, and out of it again: readings of machines, and an alarm for those that run hot.

    spark-submit examples/streaming_job.py --cluster ./kusto-data --checkpoint ./checkpoint --seconds 30

Readings come at a steady rate (or, with --folder, out of JSON files as they appear there). One query writes
them to the table Readings; another one reads Readings as it grows and writes what is too hot to Alarms.

Stop it any way you like, kill -9 included, and start it again with the same checkpoint: every reading is in
the table once, and so is every alarm.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

# Spark starts its workers with the python3 of PATH unless told otherwise.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from spark_kusto import read_kusto

SCHEMA = "number long, machine string, celsius double, measured timestamp"
HOT = 90.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cluster", default="./kusto-data")
    parser.add_argument("--database", default="NetDefaultDB")
    parser.add_argument("--checkpoint", default="./checkpoint")
    parser.add_argument("--folder", help="JSON files with the columns " + SCHEMA)
    parser.add_argument("--rate", type=int, default=1000, help="readings a second, without --folder")
    parser.add_argument("--seconds", type=float, default=30, help="how long to run; 0 for ever")
    options = parser.parse_args(arguments)

    spark = SparkSession.builder.appName("machines").getOrCreate()
    kusto = {"kustoCluster": options.cluster, "kustoDatabase": options.database}
    readings = from_files(spark, options.folder) if options.folder else made_up(spark, options.rate)

    written = into_kusto(readings, "Readings", kusto, f"{options.checkpoint}/readings")
    wait_for_rows(written)
    alarms = into_kusto(too_hot(spark, kusto), "Alarms", kusto, f"{options.checkpoint}/alarms")
    try:
        let_run([written, alarms], options.seconds)
    finally:
        # The first one first, so that the second still sees what it has written.
        if options.folder and written.exception() is None:
            written.processAllAvailable()
        written.stop()
        if alarms.exception() is None:
            alarms.processAllAvailable()
        alarms.stop()
    report(spark, options.cluster, options.database)
    spark.stop()


def made_up(spark: SparkSession, rate: int) -> DataFrame:
    """Readings of fifty machines, from 20 to 99 degrees."""
    ticks = spark.readStream.format("rate").option("rowsPerSecond", rate).load()
    return ticks.select(
        F.col("value").alias("number"),
        F.format_string("machine %02d", F.col("value") % 50).alias("machine"),
        (20 + F.abs(F.hash("value")) % 80).cast("double").alias("celsius"),
        F.col("timestamp").alias("measured"),
    )


def from_files(spark: SparkSession, folder: str) -> DataFrame:
    return spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 10).json(folder)


def into_kusto(rows: DataFrame, table: str, kusto: dict[str, str], checkpoint: str) -> StreamingQuery:
    """Each micro-batch is one commit, and a batch that is tried again after a crash adds nothing."""
    return (
        rows.writeStream.format("kusto")
        .queryName(table)
        .options(**kusto, kustoTable=table, tableCreateOptions="CreateIfNotExist")
        .option("checkpointLocation", checkpoint)
        .trigger(processingTime="500 milliseconds")
        .start()
    )


def too_hot(spark: SparkSession, kusto: dict[str, str]) -> DataFrame:
    """What is read is what was committed since the last batch; the filter is Kusto's work."""
    query = f"Readings | where celsius > {HOT} | project number, machine, celsius, measured"
    return spark.readStream.format("kusto").options(**kusto, kustoQuery=query).load()


def wait_for_rows(query: StreamingQuery, seconds: float = 600) -> None:
    """A table can be read as a stream once it is there, which the first batch sees to."""
    deadline = time.monotonic() + seconds
    while not any(progress["numInputRows"] for progress in query.recentProgress):
        if query.exception() is not None:
            raise SystemExit(f"Writing failed: {query.exception()}")
        if time.monotonic() > deadline:
            raise SystemExit("No readings came.")
        time.sleep(0.2)


def let_run(queries: Sequence[StreamingQuery], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while all(query.isActive for query in queries) and (not seconds or time.monotonic() < deadline):
        time.sleep(0.5)


def report(spark: SparkSession, cluster: str, database: str) -> None:
    """Both tables at one moment; without a crash or with ten of them, Readings = Numbers and Hot = Alarms."""
    query = f"""
        Readings
        | summarize Readings = count(), Numbers = count_distinct(number), Hot = countif(celsius > {HOT})
        | extend Alarms = toscalar(Alarms | summarize count_distinct(number)), Rows = toscalar(Alarms | count)
    """
    read_kusto(spark, cluster, database, query).show(truncate=False)


if __name__ == "__main__":
    main()
