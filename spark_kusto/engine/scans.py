"""From a table's extents to the SQL relation that reads them.

Files are read by Parquet field id with an explicit schema, so that renamed, dropped and re-added
columns are right over old files; a column that a file lacks has its default there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from spark_kusto.engine.connections import quote
from spark_kusto.kql.compiled import CURSOR, EXTENT_ID, EXTENT_TAGS, INGESTION_TIME, ScanColumn
from spark_kusto.storage.model import INGESTED_FIELD_ID, SEQUENCE_FIELD_ID, Extent, StoredColumn
from spark_kusto.storage.scanning import read_parquet, schema_entry
from spark_kusto.storage.sequence import moment_of
from spark_kusto.types import KustoType

ROW_NUMBER = "$row_number"
"""Virtual column of a scan, long: the row's number in its file, from 0. Deletions use it."""

_ABSENT_FIELD = 2_147_400_000
"""Field ids from here on stand in no file: a column read under one is all default."""

_COUNTED_ROWS = 50_000_000
"""Up to this many rows, a scan of no columns is counted from the catalog without opening a file."""


@dataclass(frozen=True)
class ScanFile:
    """One file, or a range of its rows, with the field ids of the wanted columns.

    Attributes:
        fields: Parquet field id for each wanted stored column, in the scan's order.
        row_groups: rows of each of the file's row groups.
        first_row: where the range begins.
        end_row: one past its end; None for all rows.
    """

    path: str
    extent_id: str
    rows: int
    size: int
    sequence: int
    min_sequence: int
    has_row_sequences: bool
    tags: tuple[str, ...]
    fields: tuple[int, ...]
    row_groups: tuple[int, ...] = ()
    first_row: int = 0
    end_row: int | None = None

    def part(self, first_row: int, end_row: int) -> ScanFile:
        """The same file cut to a range of rows."""
        share = (end_row - first_row) / max(self.rows, 1)
        return replace(
            self, first_row=first_row, end_row=end_row, rows=end_row - first_row, size=int(self.size * share)
        )


def field_of(extent: Extent, column: StoredColumn) -> int:
    """The Parquet field id to read a column of an extent by; one that is absent if it lacks it."""
    found = extent.fields.get(column.id)
    if found is not None:
        return found
    # Most extents use the column's id, and an extent that lacks it can then share their read_parquet call.
    return _ABSENT_FIELD + column.id % 10_000 if column.id in extent.fields.values() else column.id


def scan_files(extents: Iterable[Extent], columns: Sequence[StoredColumn]) -> tuple[ScanFile, ...]:
    """The files of extents, as a scan of some stored columns needs them."""
    return tuple(
        ScanFile(
            path=extent.path,
            extent_id=extent.id,
            rows=extent.row_count,
            size=extent.size,
            sequence=extent.sequence,
            min_sequence=extent.min_sequence,
            has_row_sequences=extent.has_row_sequences,
            tags=extent.tags,
            fields=tuple(field_of(extent, column) for column in columns),
            row_groups=extent.row_groups,
        )
        for extent in extents
        if extent.row_count
    )


def relation(
    columns: Sequence[ScanColumn],
    files: Sequence[ScanFile],
    *,
    ingestion_time: bool = True,
    after: int | None = None,
    until: int | None = None,
) -> str:
    """SQL that gives the columns, under their SQL names, of all rows of the files.

    Args:
        columns: stored columns (in the order of ``ScanFile.fields``) and virtual ones, mixed.
        files: what to read.
        ingestion_time: False where the table's policy is off: ingestion time is null then.
        after: only rows committed after this sequence.
        until: only rows committed up to this sequence.
    """
    files = between(files, after, until)
    if not files:
        return _empty(columns)
    partial = {
        file.path
        for file in files
        if (after is not None and file.min_sequence <= after) or (until is not None and file.sequence > until)
    }
    if not columns and not partial:
        rows = sum(file.rows for file in files)
        if rows <= _COUNTED_ROWS:
            return f"SELECT 1 AS c0 FROM range({rows})"
    branches = []
    groups: dict[tuple[object, ...], list[ScanFile]] = {}
    for file in files:
        key: tuple[object, ...] = (
            file.fields,
            file.has_row_sequences,
            file.first_row,
            file.end_row,
            file.path in partial,
        )
        if file.end_row is not None:
            key = (*key, file.path)
        groups.setdefault(key, []).append(file)
    for group in groups.values():
        bounds = (after, until) if group[0].path in partial else (None, None)
        branches.append(_branch(columns, group, ingestion_time, bounds))
    if len(branches) == 1:
        return branches[0]
    # Never a plain scan, in whose place a statement would take the first branch only.
    return f"SELECT * FROM ({' UNION ALL '.join(branches)})"


def between(files: Sequence[ScanFile], after: int | None, until: int | None) -> Sequence[ScanFile]:
    """The files that hold rows committed after one sequence and up to another."""
    if after is not None:
        files = [file for file in files if file.sequence > after]
    if until is not None:
        files = [file for file in files if file.min_sequence <= until]
    return files


def _empty(columns: Sequence[ScanColumn]) -> str:
    items = [f"CAST(NULL AS {column.type.duckdb}) AS {column.sql_name}" for column in columns]
    return f"SELECT {', '.join(items) or '1 AS c0'} WHERE false"


def _branch(
    columns: Sequence[ScanColumn],
    files: Sequence[ScanFile],
    ingestion_time: bool,
    bounds: tuple[int | None, int | None],
) -> str:
    first = files[0]
    stored = [column for column in columns if not is_virtual(column.name)]
    entries = [
        schema_entry(field, column.sql_name, column.type)
        for field, column in zip(first.fields, stored, strict=True)
    ]
    items = []
    by_file = False
    numbered = first.end_row is not None
    for column in columns:
        if column.name == CURSOR and first.has_row_sequences:
            entries.append(schema_entry(SEQUENCE_FIELD_ID, column.sql_name, KustoType.LONG))
            items.append(column.sql_name)
        elif column.name == INGESTION_TIME and not ingestion_time:
            items.append(f"CAST(NULL AS TIMESTAMP) AS {column.sql_name}")
        elif column.name == INGESTION_TIME and first.has_row_sequences:
            entries.append(schema_entry(INGESTED_FIELD_ID, column.sql_name, KustoType.DATETIME))
            items.append(column.sql_name)
        elif column.name == ROW_NUMBER:
            numbered = True
            items.append(f"file_row_number::BIGINT AS {column.sql_name}")
        elif column.name in _VIRTUAL:
            by_file = by_file or len(files) > 1
            items.append(f"{_per_file(column.name, files)} AS {column.sql_name}")
        else:
            items.append(column.sql_name)
    conditions = []
    if bounds != (None, None):
        cursor = next((c.sql_name for c in columns if c.name == CURSOR), None)
        if cursor is None:
            cursor = "row_sequence"
            entries.append(schema_entry(SEQUENCE_FIELD_ID, cursor, KustoType.LONG))
        after, until = bounds
        conditions += [] if after is None else [f"{cursor} > {after}"]
        conditions += [] if until is None else [f"{cursor} <= {until}"]
    if not entries:
        entries.append(schema_entry(_ABSENT_FIELD, "absent", KustoType.BOOL))
    options: list[str] = []
    if by_file:
        options.append("filename = true")
    if numbered:
        options.append("file_row_number = true")
    if first.end_row is not None:
        conditions.append(f"file_row_number >= {first.first_row} AND file_row_number < {first.end_row}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    source = read_parquet([file.path for file in files], entries, *options)
    plain = items == [column.sql_name for column in stored] and len(entries) == len(items)
    if items and plain and not where and not options:
        # The scan itself, which takes in more of a query's filters than a selection from it does.
        return f"FROM {source}"
    return f"SELECT {', '.join(items) or '1 AS c0'} FROM {source}{where}"


def _per_file(name: str, files: Sequence[ScanFile]) -> str:
    value = _VIRTUAL[name]
    if len(files) == 1:
        return value(files[0])
    # DuckDB looks a constant map up once a file, not once a row: this costs nothing measurable.
    entries = ", ".join(f"{quote(file.path)}: {value(file)}" for file in files)
    return f"MAP{{{entries}}}[filename]"


def _timestamp(file: ScanFile) -> str:
    moment = moment_of(file.sequence).replace(tzinfo=None)
    return f"TIMESTAMP '{moment.isoformat(sep=' ', timespec='microseconds')}'"


def _cursor(file: ScanFile) -> str:
    return f"{file.sequence}::BIGINT"


def _extent_id(file: ScanFile) -> str:
    return f"{quote(file.extent_id)}::UUID"


def _tags(file: ScanFile) -> str:
    return f"{quote(json.dumps(list(file.tags), ensure_ascii=False))}::VARCHAR"


_VIRTUAL = {INGESTION_TIME: _timestamp, CURSOR: _cursor, EXTENT_ID: _extent_id, EXTENT_TAGS: _tags}


def is_virtual(name: str) -> bool:
    """Whether a scan's column comes from the extent rather than from the table."""
    return name in _VIRTUAL or name == ROW_NUMBER
