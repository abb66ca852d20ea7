"""Storage of the embedded cluster: a directory of SQLite catalogs and immutable Parquet extents.

::

    root = Root.open("./kusto-data")
    database = root.database("NetDefaultDB")
    operation = database.begin_ingest("T", columns, create=True)     # driver
    staged = stage_batches(operation, batches)                       # executors, no catalog
    database.commit_ingest(operation, staged)                        # driver: all or nothing
    snapshot = database.snapshot()                                   # picklable, stays true

Knows nothing of KQL. Nothing here imports pyarrow before it touches data.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spark_kusto.storage.model import (
    INGESTED_COLUMN,
    INGESTED_FIELD_ID,
    SEQUENCE_COLUMN,
    SEQUENCE_FIELD_ID,
    ChangeContext,
    ColumnStatistics,
    CommitResult,
    Entity,
    EntityChange,
    Extent,
    Finding,
    IngestOperation,
    JournalEntry,
    MovedExtent,
    Snapshot,
    StagedFile,
    StoredColumn,
    SweepResult,
    TableSnapshot,
    TransactionMark,
)
from spark_kusto.storage.pruning import Predicate, prune

if TYPE_CHECKING:
    from spark_kusto.storage.checking import corrupt_extent as corrupt_extent
    from spark_kusto.storage.checking import open_extent as open_extent
    from spark_kusto.storage.database import Database as Database
    from spark_kusto.storage.merging import MergePolicy as MergePolicy
    from spark_kusto.storage.merging import plan_merges as plan_merges
    from spark_kusto.storage.root import DEFAULT_DATABASE as DEFAULT_DATABASE
    from spark_kusto.storage.root import DatabaseDetails as DatabaseDetails
    from spark_kusto.storage.root import Root as Root
    from spark_kusto.storage.staging import renew_lease as renew_lease
    from spark_kusto.storage.staging import stage_batches as stage_batches

_HOME = {
    "DEFAULT_DATABASE": "root",
    "Database": "database",
    "DatabaseDetails": "root",
    "MergePolicy": "merging",
    "Root": "root",
    "corrupt_extent": "checking",
    "open_extent": "checking",
    "plan_merges": "merging",
    "renew_lease": "staging",
    "stage_batches": "staging",
}

__all__ = [
    "DEFAULT_DATABASE",
    "INGESTED_COLUMN",
    "INGESTED_FIELD_ID",
    "SEQUENCE_COLUMN",
    "SEQUENCE_FIELD_ID",
    "ChangeContext",
    "ColumnStatistics",
    "CommitResult",
    "Database",
    "DatabaseDetails",
    "Entity",
    "EntityChange",
    "Extent",
    "Finding",
    "IngestOperation",
    "JournalEntry",
    "MergePolicy",
    "MovedExtent",
    "Predicate",
    "Root",
    "Snapshot",
    "StagedFile",
    "StoredColumn",
    "SweepResult",
    "TableSnapshot",
    "TransactionMark",
    "corrupt_extent",
    "open_extent",
    "plan_merges",
    "prune",
    "renew_lease",
    "stage_batches",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
