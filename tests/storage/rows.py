"""Short ways to write rows into a database and read them back with DuckDB, for the tests here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from spark_kusto.storage import CommitResult, Database, Snapshot, StagedFile, stage_batches
from spark_kusto.types import columns_from_arrow
from tests.storage.reading import Hidden, ScanColumn, scan_sql


def stage(database: Database, table: str, data: pa.Table, **options: Any) -> tuple[Any, list[StagedFile]]:
    """Begin an operation (creating the table if need be) and stage the data."""
    writing = {key: options.pop(key) for key in ("row_group_rows", "target_bytes") if key in options}
    operation = database.begin_ingest(table, columns_from_arrow(data.schema), create=True, **options)
    return operation, stage_batches(operation, data.to_batches(), **writing)


def ingest(database: Database, table: str, data: pa.Table | dict[str, Any], **options: Any) -> CommitResult:
    """Write rows into a table, which is created if need be; options are those of the commit."""
    if isinstance(data, dict):
        data = pa.table(data)
    begin = {
        k: options.pop(k) for k in ("extend", "recreate", "row_group_rows", "target_bytes") if k in options
    }
    operation, staged = stage(database, table, data, **begin)
    return database.commit_ingest(operation, staged, **options)


def read(
    source: Database | Snapshot, table: str, *names: str, hidden: Sequence[Hidden] = (), where: str = "true"
) -> list[Any]:
    """Rows of a table (all columns, or those named), sorted; one-column rows as bare values."""
    import duckdb

    snapshot = source if isinstance(source, Snapshot) else source.snapshot()
    found = snapshot.table(table)
    stored = [found.column(name) for name in names] if names else list(found.columns)
    columns = [ScanColumn(f"c{i}", column) for i, column in enumerate(stored)]
    columns += [ScanColumn(f"h{i}", which) for i, which in enumerate(hidden)]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        sql = f"SELECT * FROM ({scan_sql(found.extents, columns)}) WHERE {where}"
        rows = connection.sql(sql).fetchall()
    rows.sort(key=lambda row: [(value is not None, str(type(value)), value) for value in row])
    return [row[0] for row in rows] if len(columns) == 1 else rows
