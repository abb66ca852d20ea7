"""Reads and writes through blobs, on a storage service of this machine.

A notebook in the form of a script: run it cell by cell (``# %%``), or whole:

    npm install --prefix .azurite azurite
    python examples/staging_azurite.py

An embedded cluster lives in a folder of the driver's machine. Spark's executors never look into it: what they
write and read goes through a container in Azurite, as it would go through Azure Storage for a Spark cluster
of many machines.
"""

# %% Azurite, Azure's storage emulator, with a container to stage in

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from azure.storage.blob import BlobServiceClient

ACCOUNT = "devstoreaccount1"
# The emulators' well-known key, the same everywhere: no secret. Real keys come from a vault.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

azurite = Path(os.environ.get("SPARK_KUSTO_AZURITE", ".azurite/node_modules/.bin/azurite-blob")).absolute()
folder = tempfile.TemporaryDirectory(prefix="staging-example-")
service = subprocess.Popen(
    [azurite, "--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--blobPort", "0"],
    cwd=folder.name,
    stdout=subprocess.PIPE,
    text=True,
)
assert service.stdout is not None
address = next(found[1] for line in service.stdout if (found := re.search(r"listens on (\S+)", line)))
endpoint = f"{address}/{ACCOUNT}"
blobs = BlobServiceClient(endpoint, credential={"account_name": ACCOUNT, "account_key": KEY})
container = blobs.create_container("staging")
print(f"Azurite at {endpoint}")

# %% Spark, and where to stage. Only the driver knows the key: executors get a SAS for what they do.

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

from pyspark.sql import SparkSession  # noqa: E402 - workers need the variable above

from spark_kusto import connect, read_kusto, write_kusto  # noqa: E402

spark = (
    SparkSession.builder.appName("staging")
    .master("local[2]")
    .config("spark.ui.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
cluster = str(Path(folder.name) / "kusto-data")
staging = {"transientStorage": f"{endpoint}/staging;{KEY}"}

# %% A write: tasks upload finished extents, the commit takes them all in at once, and the blobs are gone

trips = spark.range(0, 200_000, 1, 4).selectExpr(
    "id",
    "timestamp_seconds(1704067200 + id * 30) AS pickup",
    "concat('zone ', pmod(hash(id), 40)) AS zone",
    "round(rand(1) * 60, 2) AS fare",
)
written = write_kusto(trips, cluster, "NetDefaultDB", "Trips", staging, tableCreateOptions="CreateIfNotExist")
assert written is not None
print(f"written: {written.rows} rows in {written.extents} extents")
print(f"blobs left by the write: {len(list(container.list_blobs()))}")

# %% A distributed read: the cluster exports the answer as Parquet, one task reads each file

best = read_kusto(
    spark,
    cluster,
    "NetDefaultDB",
    "Trips | summarize trips = count(), earned = sum(fare) by zone, day = startofday(pickup)",
    {**staging, "readMode": "ForceDistributedMode"},
)
best.explain()  # shows the query, and exports nothing
best.orderBy("earned", ascending=False).show(5)
for blob in container.list_blobs():
    print(f"staged: {blob.name} ({blob.size} bytes)")

# %% The blobs of reads stay until the application ends, since an action may be repeated. Or until now:

from spark_kusto.staging import delete_directory  # noqa: E402

print(delete_directory(endpoint, "staging", "NetDefaultDB", KEY))
with connect(cluster) as opened:
    print(opened.query("NetDefaultDB", "Trips | count").rows)

# %% The end

spark.stop()
service.terminate()
service.wait()
folder.cleanup()
