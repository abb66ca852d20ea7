"""Kusto for PySpark: a data source, a client, and an embedded cluster.

    from spark_kusto import connect, register, read_kusto, write_kusto

    cluster = connect("./kusto-data")
    result = cluster.query("NetDefaultDB", "Flights | count")

Names are loaded when they are first used, so importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spark_kusto.version import __version__

if TYPE_CHECKING:
    from spark_kusto import errors as errors
    from spark_kusto import kql as kql
    from spark_kusto import staging as staging
    from spark_kusto import types as types
    from spark_kusto.client import Cluster as Cluster
    from spark_kusto.client import IngestProperties as IngestProperties
    from spark_kusto.client import IngestResult as IngestResult
    from spark_kusto.client import Replace as Replace
    from spark_kusto.client import Result as Result
    from spark_kusto.client import connect as connect
    from spark_kusto.errors import KustoError as KustoError
    from spark_kusto.spark import KustoSinkOptions as KustoSinkOptions
    from spark_kusto.spark import KustoSourceOptions as KustoSourceOptions
    from spark_kusto.spark import SparkIngestionProperties as SparkIngestionProperties
    from spark_kusto.spark import read_kusto as read_kusto
    from spark_kusto.spark import register as register
    from spark_kusto.spark import write_kusto as write_kusto
    from spark_kusto.types import Column as Column
    from spark_kusto.types import KustoType as KustoType

_HOME = {
    "Cluster": "client",
    "IngestProperties": "client",
    "IngestResult": "client",
    "Replace": "client",
    "Result": "client",
    "connect": "client",
    "KustoError": "errors",
    "KustoSinkOptions": "spark",
    "KustoSourceOptions": "spark",
    "SparkIngestionProperties": "spark",
    "read_kusto": "spark",
    "register": "spark",
    "write_kusto": "spark",
    "Column": "types",
    "KustoType": "types",
}
_MODULES = frozenset({"client", "errors", "kql", "sharing", "spark", "staging", "types"})

__all__ = [
    "Cluster",
    "Column",
    "IngestProperties",
    "IngestResult",
    "KustoError",
    "KustoSinkOptions",
    "KustoSourceOptions",
    "KustoType",
    "Replace",
    "Result",
    "SparkIngestionProperties",
    "__version__",
    "connect",
    "errors",
    "kql",
    "read_kusto",
    "register",
    "staging",
    "types",
    "write_kusto",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
