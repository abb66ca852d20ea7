"""A worker daemon that has what this package's tasks need loaded before it forks.

Set ``spark.python.daemon.module=spark_kusto.spark.daemon`` before the session starts: a new worker
then does not import pandas, pyarrow and duckdb again, which takes a second of each short query
whose worker was thrown away.
"""

from __future__ import annotations

import gc
import sys
import zipfile
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path

_LOADED = (
    "pandas",
    "pyarrow",
    "pyarrow.compute",
    "pyarrow.parquet",
    "duckdb",
    "azure.storage.blob",
    "pyspark.worker",
    "pyspark.sql.pandas.serializers",
    "pyspark.sql.pandas.types",
    "pyspark.sql.worker.plan_data_source_read",
    "spark_kusto.client.tasks",
    "spark_kusto.spark.reader",
    "spark_kusto.spark.writer",
)


_ARCHIVE = "pyspark.zip"
_COMPARED = ("version.py", "daemon.py", "worker.py", "serializers.py")


def _prefer_installed() -> None:
    """Import PySpark from where it is installed, if Spark has put the same one on the path.

    Spark puts its own archive first, of sources that every process compiles again, which takes a second.
    """
    archives = [entry for entry in sys.path if Path(entry).name == _ARCHIVE]
    found = PathFinder.find_spec("pyspark", [entry for entry in sys.path if entry not in archives])
    if found is None or found.origin is None:
        return
    installed = Path(found.origin).parent
    for archive in archives:
        try:
            with zipfile.ZipFile(archive) as packed:
                same = all(
                    packed.read(f"pyspark/{name}") == (installed / name).read_bytes() for name in _COMPARED
                )
        except (OSError, KeyError, zipfile.BadZipFile):
            continue
        if same:
            sys.path.remove(archive)


def _load() -> None:
    for name in _LOADED:
        try:
            import_module(name)
        except ImportError:
            # Not every version of Spark has every module, and pandas and azure are nobody's duty.
            continue
    # Forked workers share these pages as long as no collection touches them.
    gc.freeze()


if __name__ == "__main__":
    _prefer_installed()
    _load()
    from pyspark.daemon import manager

    manager()
