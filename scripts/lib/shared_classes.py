"""An archive of the classes that Spark loads, shared by the tests' JVMs: they start in three quarters of the
time.

See "Class Data Sharing" in the documentation of Java. A JVM whose class path is another ignores the archive.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from importlib import metadata, util
from pathlib import Path

# What most jobs of the tests do, so that its classes are in the archive.
_JOB = """
import sys
from pyspark.sql import SparkSession
from spark_kusto import read_kusto

root = sys.argv[1]
conf = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.driver.host": "127.0.0.1"}
spark = SparkSession.builder.master("local[2]").config(map=conf).getOrCreate()
place = {"kustoCluster": root + "/cluster", "kustoDatabase": "NetDefaultDB", "kustoTable": "T"}
frame = spark.range(100).selectExpr("id", "id % 3 AS g", "string(id) AS s", "current_timestamp() AS t")
frame.write.format("kusto").options(**place, tableCreateOptions="CreateIfNotExist").mode("append").save()
read = read_kusto(spark, root + "/cluster", "NetDefaultDB", "T")
read.filter("id > 5").groupBy("g").count().orderBy("g").collect()
frame.write.parquet(root + "/parquet")
read.join(spark.read.parquet(root + "/parquet"), "id").count()
stream = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 10).load().writeStream
stream = stream.format("noop").option("checkpointLocation", root + "/checkpoint").trigger(once=True)
stream.start().awaitTermination()
spark.stop()
"""
_SECONDS = 300
_QUIET = "-Xlog:cds=off -Xlog:cds+dynamic=off -Xlog:class+path=off"


def archive_options(folder: Path, options: str) -> str:
    """Options of a JVM that uses the archive for these options, which is made if ``folder`` does not have it.

    Empty where it cannot be made: everything works without.
    """
    archive = folder / f"spark-classes-{_identity(options)}.jsa"
    if not archive.exists():
        print(
            "==> archiving the classes of Spark, once, so that every JVM of the tests starts faster",
            flush=True,
        )
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.jsa*"):  # of another Java or Spark, or of a run that was ended
            old.unlink(missing_ok=True)
        if not _made(archive, options):
            print("the archive could not be made; the tests run without it", flush=True)
            return ""
    return f"-XX:SharedArchiveFile={archive} {_QUIET}"


def _made(archive: Path, options: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="classes-", ignore_cleanup_errors=True) as scratch:
        made = archive.with_name(f"{archive.name}.{os.getpid()}")
        environment = {
            **os.environ,
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_SUBMIT_OPTS": f"{options} -XX:ArchiveClassesAtExit={made} {_QUIET}",
            "TMPDIR": scratch,
        }
        try:
            done = subprocess.run(
                [sys.executable, "-c", _JOB, scratch],
                env=environment,
                stdin=subprocess.DEVNULL,
                # Read to its end, which is the JVM's: it writes the archive when Python has ended.
                capture_output=True,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            made.unlink(missing_ok=True)
            return False
        if done.returncode != 0 or not made.exists():
            made.unlink(missing_ok=True)
            return False
        made.replace(archive)
        return True


def _identity(options: str) -> str:
    """Whatever makes another archive necessary."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    version = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    spec = util.find_spec("pyspark")
    where = "" if spec is None else str(spec.origin)
    home_of_spark = os.environ.get("SPARK_HOME", "")
    text = "\n".join((version, where, home_of_spark, metadata.version("pyspark"), options))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
