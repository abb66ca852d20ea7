"""Staging on Azurite: throughput against azure-storage-blob alone, and reads and writes of Spark through it.

    python -m scripts.bench.staging [--megabytes 512] [--rows 10000000] [--rounds 5] [--only transfers|spark]

The contestants take turns; ratios are of medians. Transfers carry the same file from and to local disk with
four requests at once; staging also computes and checks a SHA-256 of every byte, which the baseline does not.
Spark, the embedded cluster and Azurite (in memory) share one machine: 8 columns (as in spark_io) are read
from a table by a distributed read and from local Parquet by Spark itself, and written through blobs and to
local Parquet.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

from scripts.bench.measure import Table, alternating, median
from spark_kusto.staging import TransientStorage, parse_container
from tests.staging.azurite import ACCOUNT, KEY, Azurite

# The share of the baseline's throughput that staging must reach.
LEAST = 0.6

# What Spark may take through blobs, in times of its own Parquet on the local disk.
MOST = 3.0


def transfers(table: Table, azurite: Azurite, megabytes: int, rounds: int, folder: Path) -> None:
    """Upload and download of one file, by staging's grants and by azure-storage-blob alone."""
    container = azurite.new_container()
    source = folder / "source.bin"
    with source.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1024 * 1024))
    storage = TransientStorage([parse_container(container.key_url)], expiry=timedelta(hours=1))
    plain = container.azurite.service().get_blob_client(container.name, "plain")
    with storage.begin("bench", "transfers") as directory:
        grant = directory.upload_grant()

        def upload_plain() -> None:
            with source.open("rb") as stream:
                plain.upload_blob(stream, overwrite=True, max_concurrency=4)

        def download_plain() -> None:
            with (folder / "plain.bin").open("wb") as stream:
                plain.download_blob(max_concurrency=4).readinto(stream)

        taken = alternating(
            {"plain": upload_plain, "staging": lambda: grant.upload_file(source)}, rounds, warm_up=1
        )
        up, up_plain = (megabytes / median(taken[name]) for name in ("staging", "plain"))
        blobs = directory.list()
        download = directory.download_grant(blobs[0])
        taken = alternating(
            {"plain": download_plain, "staging": lambda: download.download(folder / "staging.bin")}, rounds
        )
        down, down_plain = (megabytes / median(taken[name]) for name in ("staging", "plain"))
        assert (folder / "staging.bin").read_bytes() == source.read_bytes()
    table.heading(f"One file of {megabytes} MB, four requests at once, account {ACCOUNT}")
    table.value("upload, azure-storage-blob alone", up_plain, "MB/s")
    table.value("upload, staging", up, "MB/s", least=LEAST * up_plain)
    table.value("upload, staging in % of it", 100 * up / up_plain, "%", least=100 * LEAST)
    table.value("download, azure-storage-blob alone", down_plain, "MB/s")
    table.value("download, staging", down, "MB/s", least=LEAST * down_plain)
    table.value("download, staging in % of it", 100 * down / down_plain, "%", least=100 * LEAST)
    assert KEY not in repr(storage)


def through_spark(table: Table, azurite: Azurite, rows: int, rounds: int, folder: Path) -> None:
    """A distributed read and a write through blobs, by Spark, against its own Parquet on the local disk."""
    from pyspark.sql import DataFrame, SparkSession

    from scripts.bench.spark_io import DATABASE, made
    from spark_kusto import connect, read_kusto, write_kusto

    container = azurite.new_container()
    spark = (
        SparkSession.builder.appName("staging")
        .master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.driver.memory", "3g")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    cluster = str(folder / "cluster")
    parquet = str(folder / "parquet")
    options = {"transientStorage": container.key_url, "tableCreateOptions": "CreateIfNotExist"}

    def discard(df: DataFrame) -> None:
        df.write.format("noop").mode("overwrite").save()

    def write_blobs() -> None:
        (
            source.write.format("kusto")
            .options(kustoCluster=cluster, kustoDatabase=DATABASE, kustoTable="Events", **options)
            .mode("overwrite")
            .save()
        )
        # What is replaced is not read any more; the disk is for the contestants.
        with connect(cluster) as opened:
            opened.execute(DATABASE, ".drop table Events")

    def read_blobs(query: str) -> None:
        reads = {"transientStorage": container.key_url, "readMode": "ForceDistributedMode"}
        discard(read_kusto(spark, cluster, DATABASE, query, reads))
        container.empty()

    try:
        made(spark, rows).write.parquet(str(folder / "source"))
        source = spark.read.parquet(str(folder / "source"))
        source.write.parquet(parquet)
        write_kusto(source, cluster, DATABASE, "Held", {"tableCreateOptions": "CreateIfNotExist"})
        table.heading(
            f"{rows:,} rows x 8 columns, Spark {spark.version} on {os.cpu_count()} cores with Azurite"
        )
        taken = alternating(
            {
                "parquet write": lambda: source.write.mode("overwrite").parquet(parquet),
                "blob write": write_blobs,
                "parquet read": lambda: discard(spark.read.parquet(parquet)),
                "blob read": lambda: read_blobs("Held"),
                "sorted read": lambda: read_blobs("Held | sort by Number asc"),
            },
            rounds,
        )
        times = {name: median(values) for name, values in taken.items()}
        plain = times["parquet read"]
        table.ratio("distributed read of the table", times["blob read"], "spark.read.parquet", plain, MOST)
        table.ratio("distributed read of a sort", times["sorted read"], "spark.read.parquet", plain, None)
        table.ratio(
            "write through blobs", times["blob write"], "df.write.parquet", times["parquet write"], MOST
        )
    finally:
        spark.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("transfers", "spark"))
    options = parser.parse_args()
    table = Table()
    # In memory: what Azurite writes would be flushed to the disk while the contestants use it.
    with tempfile.TemporaryDirectory(prefix="staging-bench-") as folder, Azurite() as azurite:
        if options.only != "spark":
            transfers(table, azurite, options.megabytes, options.rounds, Path(folder))
        if options.only != "transfers":
            through_spark(table, azurite, options.rows, options.rounds, Path(folder))
    return table.end()


if __name__ == "__main__":
    raise SystemExit(main())
