"""Looking on while an ingestion is staged."""

from __future__ import annotations

from spark_kusto.client.cluster import IngestPlan
from spark_kusto.engine.staging import EngineIngest
from spark_kusto.storage.staging import ROWS_SUFFIX


def staging_folder(plan: IngestPlan) -> str | None:
    """Where an ingestion's files gather, if that is a directory this process sees."""
    begun = plan.payload
    return begun.operation.staging if isinstance(begun, EngineIngest) else None


def rows_of(path: str) -> tuple[int, bool]:
    """Rows of a file in a staging folder as far as they are known, and whether it is finished."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open(path + ROWS_SUFFIX, encoding="ascii") as file:
            return int(file.read() or 0), False
    except (OSError, ValueError):
        pass
    try:
        return int(pq.read_metadata(path).num_rows), True
    except (OSError, pa.ArrowException):
        return 0, False
