"""Parquet files that Spark itself writes into an ingestion's staging folder.

That is faster than handing rows to Python, where Spark's processes share a file system with the
embedded cluster. A file that keeps the rules of extents is taken in as it is, any other one is
written anew (see :mod:`spark_kusto.storage.adoption`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from spark_kusto.client.cluster import IngestPlan, StagedFiles
from spark_kusto.engine.ingesting import EngineIngest
from spark_kusto.storage import StagedFile, adopt, renew_lease
from spark_kusto.types import KustoType


@dataclass(frozen=True)
class SparkTarget:
    """Where Spark may write, and which columns.

    Attributes:
        directory: the staging folder; files go into a folder of their own in it.
        field_ids: Parquet field id of each column, by name.
        types: the table's type of each column, by name.
        lease_seconds: how long the folder lives without :func:`renew`.
    """

    directory: str
    field_ids: dict[str, int]
    types: dict[str, KustoType]
    lease_seconds: float


def spark_target(plan: IngestPlan) -> SparkTarget | None:
    """Where Spark may write for this ingestion; None where its rows must go through :func:`stage`."""
    begun = plan.payload
    if not isinstance(begun, EngineIngest) or begun.projections is not None or begun.errors_allowed:
        return None
    if begun.properties.file_bytes is not None:
        # Spark counts rows of a file, not bytes.
        return None
    operation = begun.operation
    return SparkTarget(
        operation.staging,
        {column.name: column.id for column in operation.columns},
        {column.name: column.type for column in operation.columns},
        operation.lease_seconds,
    )


def renew(plan: IngestPlan) -> None:
    """A sign of life of an ingestion whose files others write."""
    renew_lease(plan.payload.operation)


def adopt_files(plan: IngestPlan, paths: Sequence[str]) -> StagedFiles:
    """Take in the files that Spark wrote; returns the message for the commit.

    Raises:
        TypeConversionError: a value does not fit its column.
        StorageFullError: no space is left.
    """
    operation = plan.payload.operation
    moved = []
    for place, path in enumerate(paths):
        target = os.path.join(operation.staging, f"spark-{place}-{os.path.basename(path)}")
        os.rename(path, target)
        moved.append(target)
    staged: list[StagedFile] = []
    with ThreadPoolExecutor(max_workers=max(1, os.cpu_count() or 1)) as pool:
        for files in pool.map(lambda path: adopt(operation, path), moved):
            staged += files
    return StagedFiles(
        operation_id=operation.id,
        rows=sum(file.row_count for file in staged),
        bytes=sum(file.size for file in staged),
        files=tuple(staged),
        operation=operation,
    )
