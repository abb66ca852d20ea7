"""Transient blob staging: how big reads and writes travel between executors and a cluster, and how nothing
stays.

Storage is anything that speaks the Blob REST API: Azure's, Azurite, or another. Needs the extra ``azure``;
without it the first use says so. Knows nothing of Kusto tables or Spark.

* ``TransientStorage.from_options(options, credential=...)`` or ``TransientStorage([parse_container(url)])``
* ``storage.begin(database, operation)`` gives a ``StagingDirectory``; its grants go to executors
* ``delete_directory``, ``sweep_expired``, ``cleanup_after``: the tools for what was left
* ``assert_nothing_left``: the proof
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_kusto.staging.cleanup import cleanup_after as cleanup_after
    from spark_kusto.staging.cleanup import delete_directory as delete_directory
    from spark_kusto.staging.cleanup import list_directory as list_directory
    from spark_kusto.staging.cleanup import sweep_expired as sweep_expired
    from spark_kusto.staging.containers import ContainerAddress as ContainerAddress
    from spark_kusto.staging.containers import StorageContainer as StorageContainer
    from spark_kusto.staging.containers import parse_container as parse_container
    from spark_kusto.staging.failures import Retries as Retries
    from spark_kusto.staging.grants import DownloadGrant as DownloadGrant
    from spark_kusto.staging.grants import UploadGrant as UploadGrant
    from spark_kusto.staging.leaks import assert_nothing_left as assert_nothing_left
    from spark_kusto.staging.removal import CleanupSummary as CleanupSummary
    from spark_kusto.staging.removal import Refusal as Refusal
    from spark_kusto.staging.transfer import BlobReader as BlobReader
    from spark_kusto.staging.transfer import StagedBlob as StagedBlob
    from spark_kusto.staging.transfer import TransferSettings as TransferSettings
    from spark_kusto.staging.transient import StagingDirectory as StagingDirectory
    from spark_kusto.staging.transient import TransientStorage as TransientStorage

_HOME = {
    "BlobReader": "transfer",
    "CleanupSummary": "removal",
    "ContainerAddress": "containers",
    "DownloadGrant": "grants",
    "Refusal": "removal",
    "Retries": "failures",
    "StagedBlob": "transfer",
    "StagingDirectory": "transient",
    "StorageContainer": "containers",
    "TransferSettings": "transfer",
    "TransientStorage": "transient",
    "UploadGrant": "grants",
    "assert_nothing_left": "leaks",
    "cleanup_after": "cleanup",
    "delete_directory": "cleanup",
    "list_directory": "cleanup",
    "parse_container": "containers",
    "sweep_expired": "cleanup",
}

__all__ = [
    "BlobReader",
    "CleanupSummary",
    "ContainerAddress",
    "DownloadGrant",
    "Refusal",
    "Retries",
    "StagedBlob",
    "StagingDirectory",
    "StorageContainer",
    "TransferSettings",
    "TransientStorage",
    "UploadGrant",
    "assert_nothing_left",
    "cleanup_after",
    "delete_directory",
    "list_directory",
    "parse_container",
    "sweep_expired",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
