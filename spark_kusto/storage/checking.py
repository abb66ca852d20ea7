"""Looking whether a database's directory holds what its catalog says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from spark_kusto.errors import CorruptExtentError
from spark_kusto.storage.model import Extent, Finding, TableSnapshot
from spark_kusto.storage.sweeping import Sweeping

if TYPE_CHECKING:
    import pyarrow.parquet


def open_extent(path: str, extent_id: str) -> pyarrow.parquet.ParquetFile:
    """Open an extent's file for reading.

    Raises:
        CorruptExtentError: it is missing or is no Parquet file; extent and path are named.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise corrupt_extent(extent_id, path, str(error)) from error


def corrupt_extent(extent_id: str, path: str, reason: str) -> CorruptExtentError:
    """The error for an extent whose file cannot be read."""
    if not os.path.exists(path):
        reason = "the file is missing"
    reason = reason.strip().splitlines()[0].rstrip(".") if reason.strip() else "unreadable"
    return CorruptExtentError(
        f"Extent {extent_id} cannot be read from '{path}': {reason}.",
        extent_id=extent_id,
        path=path,
        remedy="Restore the file from a backup, or give its rows up with .drop extents "
        f"({extent_id}); 'spark-kusto check' lists all such extents.",
    )


class Checking(Sweeping):
    """Verification of a database's files."""

    def check(self, *, read: bool = True) -> Iterator[Finding]:
        """Yield everything that is wrong: missing, cut, unreadable or miscounted extents, left-overs.

        Args:
            read: decode every value; otherwise only sizes and footers are looked at.
        """
        snapshot = self.snapshot()
        with self.catalog.connected() as connection:
            state = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if state != "ok":
            yield Finding("error", self.name, "", "", f"the catalog is damaged: {state}")
        known: set[str] = set()
        for table in snapshot.tables.values():
            for extent in table.extents:
                known.add(f"{extent.id}.parquet")
                problem = self._check_extent(table, extent, read=read)
                if problem is not None:
                    yield Finding("error", self.name, table.name, extent.id, problem)
        with self.catalog.connected() as connection:
            known |= {f"{row[0]}.parquet" for row in connection.execute("SELECT id FROM extents")}
        for name in sorted(os.listdir(self.extents_path)):
            path = self.extents_path / name
            if name not in known and os.stat(path).st_nlink == 1:
                message = f"'{path}' belongs to no commit; maintenance will remove it"
                yield Finding("warning", self.name, "", name.removesuffix(".parquet"), message)

    def _check_extent(self, table: TableSnapshot, extent: Extent, *, read: bool) -> str | None:
        import pyarrow as pa

        from spark_kusto.types.table import field_id_of

        try:
            size = os.stat(extent.path).st_size
        except OSError as error:
            return f"'{extent.path}' cannot be found: {error.strerror}"
        if size != extent.size:
            return f"'{extent.path}' has {size} bytes; the catalog says {extent.size}"
        try:
            with open_extent(extent.path, extent.id) as file:
                rows = file.metadata.num_rows
                present = {field_id_of(field) for field in file.schema_arrow}
                if read:
                    rows = sum(batch.num_rows for batch in file.iter_batches(batch_size=65_536))
        except (CorruptExtentError, OSError, pa.ArrowException) as error:
            return str(error).splitlines()[0]
        if rows != extent.row_count:
            return f"'{extent.path}' has {rows} rows; the catalog says {extent.row_count}"
        for column in table.columns:
            if column.id in extent.fields and extent.fields[column.id] not in present:
                return f"'{extent.path}' lacks column '{column.name}'"
        return None
