"""``write_kusto`` on one machine: Spark writes the Parquet files, the cluster takes them in.

Only columns that Spark writes exactly as extents hold them go this way; the types that need a
conversion by this package (nested ones, intervals, variants, texts into guid, datetime and the like)
send the whole write through Python.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from spark_kusto.client import IngestPlan, StagedFiles

_AS_THEY_ARE = {
    KustoType.BOOL: ("boolean",),
    KustoType.INT: ("tinyint", "smallint", "int"),
    KustoType.LONG: ("tinyint", "smallint", "int", "bigint"),
    KustoType.REAL: ("float", "double"),
    KustoType.DATETIME: ("date", "timestamp_ntz", "timestamp"),
    KustoType.STRING: ("string", "binary"),
}


def write_directly(df: DataFrame, plan: IngestPlan) -> StagedFiles | None:
    """Have Spark write the DataFrame into the plan's staging folder.

    Returns:
        The message for the commit; None where the rows must go through Python.
    """
    from spark_kusto.client.spark_files import adopt_files, renew, spark_target

    spark = df.sparkSession
    if not str(spark.sparkContext.master).startswith("local"):
        # Executors on other machines do not see the folder.
        return None
    target = spark_target(plan)
    if target is None:
        return None
    columns = _columns(df, target.field_ids, target.types)
    if columns is None:
        return None
    folder = os.path.join(target.directory, f"spark-{uuid.uuid4()}")
    writer = (
        df.select(*columns)
        .write.mode("append")
        .option("compression", "zstd")
        .option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
        .option("parquet.block.size", str(32 * 1024 * 1024))
        .option("maxRecordsPerFile", "0")
    )
    try:
        with _alive(plan, target.lease_seconds, renew):
            writer.parquet(f"file://{folder}")
            return adopt_files(plan, _parts(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parts(folder: str) -> list[str]:
    return sorted(
        os.path.join(folder, name)
        for name in os.listdir(folder)
        if name.startswith("part-") and name.endswith(".parquet")
    )


def _columns(df: DataFrame, ids: dict[str, int], types: dict[str, KustoType]) -> list[Column] | None:
    from pyspark.sql import functions as F

    utc = df.sparkSession.conf.get("spark.sql.session.timeZone") in ("UTC", "Etc/UTC", "GMT", "Z", "+00:00")
    columns: list[Column] = []
    for field in df.schema.fields:
        name, spark = field.name, field.dataType.simpleString()
        kusto = types.get(name)
        if kusto is None or not _fits(kusto, spark):
            return None
        column = F.col(f"`{name.replace('`', '``')}`")
        if spark == "binary":
            column = F.base64(column)
            column = F.regexp_replace(column, "\r\n", "")
        if kusto is KustoType.STRING:
            # Spark's strings may hold bytes that are no UTF-8, which no reader of Parquet takes.
            column = F.coalesce(column if spark == "binary" else F.make_valid_utf8(column), F.lit(""))
        if spark == "timestamp":
            column = column.cast("timestamp_ntz") if utc else _zoneless(column)
        columns.append(column.alias(name, metadata={"parquet.field.id": ids[name]}))
    return columns


def _fits(kusto: KustoType, spark: str) -> bool:
    if kusto is KustoType.DECIMAL and spark.startswith("decimal("):
        precision, scale = (int(part) for part in spark[8:-1].split(","))
        return scale <= 18 and precision - scale <= 20
    return spark in _AS_THEY_ARE.get(kusto, ())


def _zoneless(column: Column) -> Column:
    # Not a cast, which would give the session's wall clock, and miss an hour where clocks change.
    from pyspark.sql import functions as F

    epoch = F.lit("1970-01-01 00:00:00").cast("timestamp_ntz")
    return F.timestamp_add("MICROSECOND", F.unix_micros(column), epoch)


@contextmanager
def _alive(plan: IngestPlan, lease: float, renew: Callable[[IngestPlan], None]) -> Iterator[None]:
    """Keep the ingestion's folder from being swept while Spark writes."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(max(lease / 4, 1.0)):
            renew(plan)

    thread = threading.Thread(target=run, name="kusto-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)
