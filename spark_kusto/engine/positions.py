"""Positions of a stream over a table: which commits its next batch takes in."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_kusto.errors import UnsupportedError
from spark_kusto.kql.compiled import sql_stages
from spark_kusto.storage import SEQUENCE_FIELD_ID, Extent
from spark_kusto.storage.sequence import moment_of

if TYPE_CHECKING:
    from spark_kusto.engine.engine import Engine


@dataclass(frozen=True)
class Position:
    """The end of a stream's batch.

    Attributes:
        sequence: the last commit that the batch takes in; where it began if there is nothing new.
        rows: of the table in between, before the query's filters.
        bytes: stored bytes in between.
        committed_at: when that commit was made; None without one.
        table_id: of the query's table; another one if it was dropped and created again.
    """

    sequence: int
    rows: int
    bytes: int
    committed_at: dt.datetime | None
    table_id: str


def advance(
    engine: Engine,
    database: str,
    text: str,
    after: int,
    *,
    parameters: Mapping[str, object] | None,
    max_rows: int | None,
    max_bytes: int | None,
) -> Position:
    """The end of the batch that begins after a sequence: whole commits, at least one if there is any.

    Raises:
        UnsupportedError: the query is more than filters and projections over one table.
    """
    home = engine.database(database)
    catalog = engine.querying.catalog()
    prepared = engine.querying.compile(home.name, text, parameters=parameters, catalog=catalog)
    scans = [scan for stage in sql_stages(prepared.query.stages) for scan in stage.scans]
    if not prepared.query.row_wise or len(scans) != 1:
        raise UnsupportedError(
            "A stream reads filters and projections over one table; this query does more.",
            feature="streams over other queries",
            remedy="Stream the table, and aggregate, join or sort in Spark.",
        )
    _, snapshot = catalog.pinned(scans[0].database)
    table = snapshot.table(scans[0].table)
    new = [extent for extent in table.extents if extent.row_count and extent.sequence > after]
    if not new:
        return Position(after, 0, 0, None, table.id)
    if max_rows is None and max_bytes is None:
        end = max(extent.sequence for extent in new)
        rows, size = sum(e.row_count for e in new), sum(e.size for e in new)
        return Position(end, rows, size, moment_of(end), table.id)
    end, rows, size = after, 0, 0
    for sequence, (more_rows, more_bytes) in sorted(_commits(new, after).items()):
        full = (max_rows is not None and rows + more_rows > max_rows) or (
            max_bytes is not None and size + more_bytes > max_bytes
        )
        if full and end != after:
            break
        end, rows, size = sequence, rows + more_rows, size + more_bytes
    return Position(end, rows, size, moment_of(end), table.id)


def _commits(extents: Iterable[Extent], after: int) -> dict[int, tuple[int, int]]:
    """Rows and stored bytes of each commit after a sequence."""
    rows: Counter[int] = Counter()
    size: Counter[int] = Counter()
    for extent in extents:
        if not extent.has_row_sequences:
            rows[extent.sequence] += extent.row_count
            size[extent.sequence] += extent.size
            continue
        for sequence, count in _row_sequences(extent.path).items():
            if sequence > after:
                rows[sequence] += count
                size[sequence] += extent.size * count // extent.row_count
    return {sequence: (rows[sequence], size[sequence]) for sequence in rows}


def _row_sequences(path: str) -> Counter[int]:
    """How many rows of a merged extent came with each commit."""
    import pyarrow.parquet as pq

    from spark_kusto.types.table import field_id_of

    found: Counter[int] = Counter()
    with pq.ParquetFile(path) as file:
        name = next(field.name for field in file.schema_arrow if field_id_of(field) == SEQUENCE_FIELD_ID)
        for batch in file.iter_batches(columns=[name]):
            for entry in batch.column(0).value_counts().to_pylist():
                found[entry["values"]] += entry["counts"]
    return found
