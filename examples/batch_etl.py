"""A nightly job: one day's flights out of a CSV file, cleaned, summed up and put into Kusto.

    spark-submit examples/batch_etl.py --flights flights.csv --day 2013-01-31 --cluster ./kusto-data

Run it again for the same day and that day is replaced, in one commit: readers see the old rows or the new
ones, never both and never none.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import date

# Spark starts its workers with the python3 of PATH unless told otherwise.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_kusto import IngestResult, read_kusto, write_kusto

COLUMNS = """
    year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int,
    sched_arr_time int, arr_delay int, carrier string, flight int, tailnum string, origin string,
    dest string, air_time int, distance int, hour int, minute int, time_hour timestamp
"""
DELAYS = "DailyDelays"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--flights", required=True, help="a CSV file or folder, anywhere that Spark reads from"
    )
    parser.add_argument("--day", required=True, type=date.fromisoformat, help="such as 2013-01-31")
    parser.add_argument("--cluster", default="./kusto-data")
    parser.add_argument("--database", default="NetDefaultDB")
    options = parser.parse_args(arguments)

    spark = SparkSession.builder.appName(f"flights of {options.day}").getOrCreate()
    raw = spark.read.csv(options.flights, schema=COLUMNS, header=True, nullValue="NA")
    delays = summed_up(of_day(raw, options.day))

    result = replace_day(delays, options.cluster, options.database, options.day)
    print(f"{options.day}: {result.rows} rows committed at cursor {result.cursor}")
    report(spark, options.cluster, options.database, options.day)
    spark.stop()


def of_day(raw: DataFrame, day: date) -> DataFrame:
    """The day's flights that took off, with proper names and a date."""
    return raw.filter(
        (F.col("year") == day.year)
        & (F.col("month") == day.month)
        & (F.col("day") == day.day)
        & F.col("dep_delay").isNotNull()
    ).select(
        F.make_date("year", "month", "day").cast("timestamp_ntz").alias("Day"),
        F.col("origin").alias("Origin"),
        F.col("carrier").alias("Carrier"),
        F.col("dep_delay").alias("DelayMinutes"),
    )


def summed_up(flights: DataFrame) -> DataFrame:
    return flights.groupBy("Day", "Origin", "Carrier").agg(
        F.count("*").alias("Flights"),
        F.avg("DelayMinutes").alias("MeanDelay"),
        F.sum(F.when(F.col("DelayMinutes") > 60, 1).otherwise(0)).alias("OverAnHour"),
    )


def replace_day(delays: DataFrame, cluster: str, database: str, day: date) -> IngestResult:
    result = write_kusto(
        delays,
        cluster,
        database,
        DELAYS,
        {"tableCreateOptions": "CreateIfNotExist", "replaceWhere": f"Day == datetime({day})"},
        mode="overwrite",
    )
    if result is None:
        raise SystemExit(
            "On Spark Connect the server writes and gives no figures: run this job with spark-submit."
        )
    return result


def report(spark: SparkSession, cluster: str, database: str, day: date) -> None:
    """What everyone can now ask, here in KQL; the day travels as a value, never as text."""
    query = f"""
        declare query_parameters(asked: datetime);
        {DELAYS}
        | where Day == asked
        | summarize Flights = sum(Flights), OverAnHour = sum(OverAnHour) by Origin
        | order by Origin asc
    """
    read_kusto(spark, cluster, database, query, queryParametersJson={"asked": f"datetime({day})"}).show()


if __name__ == "__main__":
    main()
