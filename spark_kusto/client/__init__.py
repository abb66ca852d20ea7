"""Clusters, one interface: ``connect(address)`` gives an embedded or a remote one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_kusto.client.cluster import Cluster as Cluster
    from spark_kusto.client.cluster import IngestPlan as IngestPlan
    from spark_kusto.client.cluster import IngestProperties as IngestProperties
    from spark_kusto.client.cluster import IngestResult as IngestResult
    from spark_kusto.client.cluster import Replace as Replace
    from spark_kusto.client.cluster import ScanPlan as ScanPlan
    from spark_kusto.client.cluster import ScanStatistics as ScanStatistics
    from spark_kusto.client.cluster import ScanTask as ScanTask
    from spark_kusto.client.cluster import StagedFiles as StagedFiles
    from spark_kusto.client.connecting import connect as connect
    from spark_kusto.client.result import Result as Result
    from spark_kusto.client.tasks import read_scan as read_scan
    from spark_kusto.client.tasks import stage as stage

_HOME = {
    "Cluster": "cluster",
    "IngestPlan": "cluster",
    "IngestProperties": "cluster",
    "IngestResult": "cluster",
    "Replace": "cluster",
    "ScanPlan": "cluster",
    "ScanStatistics": "cluster",
    "ScanTask": "cluster",
    "StagedFiles": "cluster",
    "connect": "connecting",
    "Result": "result",
    "read_scan": "tasks",
    "stage": "tasks",
}

__all__ = [
    "Cluster",
    "IngestPlan",
    "IngestProperties",
    "IngestResult",
    "Replace",
    "Result",
    "ScanPlan",
    "ScanStatistics",
    "ScanTask",
    "StagedFiles",
    "connect",
    "read_scan",
    "stage",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
