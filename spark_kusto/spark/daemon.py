"""A worker daemon that has what this package's tasks need loaded before it forks.

Set ``spark.python.daemon.module=spark_kusto.spark.daemon`` before the session starts: a new worker
then does not import pandas, pyarrow and duckdb again, which takes a second of each short query
whose worker was thrown away.
"""

from __future__ import annotations

import gc
from importlib import import_module

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
    _load()
    from pyspark.daemon import manager

    manager()
