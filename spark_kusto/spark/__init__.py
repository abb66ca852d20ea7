"""The Spark data source ``kusto``: batch and streaming, reads and writes.

    spark.read.format("kusto").option("kustoCluster", "./kusto-data") ...

Spark finds the source by itself (see ``pyspark_kusto``); :func:`register` adds transparent
push-down to a session. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_kusto.spark.datasource import KustoDataSource as KustoDataSource
    from spark_kusto.spark.functions import read_kusto as read_kusto
    from spark_kusto.spark.functions import write_kusto as write_kusto
    from spark_kusto.spark.names import KustoDebugOptions as KustoDebugOptions
    from spark_kusto.spark.names import KustoSinkOptions as KustoSinkOptions
    from spark_kusto.spark.names import KustoSourceOptions as KustoSourceOptions
    from spark_kusto.spark.names import ReadMode as ReadMode
    from spark_kusto.spark.names import SchemaAdjustmentMode as SchemaAdjustmentMode
    from spark_kusto.spark.names import SinkTableCreationMode as SinkTableCreationMode
    from spark_kusto.spark.names import WriteMode as WriteMode
    from spark_kusto.spark.properties import ClientRequestProperties as ClientRequestProperties
    from spark_kusto.spark.properties import SparkIngestionProperties as SparkIngestionProperties
    from spark_kusto.spark.registration import register as register

_HOME = {
    "KustoDataSource": "datasource",
    "read_kusto": "functions",
    "write_kusto": "functions",
    "KustoDebugOptions": "names",
    "KustoSinkOptions": "names",
    "KustoSourceOptions": "names",
    "ReadMode": "names",
    "SchemaAdjustmentMode": "names",
    "SinkTableCreationMode": "names",
    "WriteMode": "names",
    "ClientRequestProperties": "properties",
    "SparkIngestionProperties": "properties",
    "register": "registration",
}

__all__ = [
    "ClientRequestProperties",
    "KustoDataSource",
    "KustoDebugOptions",
    "KustoSinkOptions",
    "KustoSourceOptions",
    "ReadMode",
    "SchemaAdjustmentMode",
    "SinkTableCreationMode",
    "SparkIngestionProperties",
    "WriteMode",
    "read_kusto",
    "register",
    "write_kusto",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
