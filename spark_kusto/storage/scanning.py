"""SQL that reads extents with DuckDB: by column id, whatever the columns were called when they were written.

``read_parquet(..., schema=MAP{field id: {name, type, default_value}})`` gives columns that a file lacks
their default, and lets filters and projections reach the scan.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from spark_kusto.storage.model import (
    INGESTED_FIELD_ID,
    SEQUENCE_FIELD_ID,
    Extent,
    StoredColumn,
)
from spark_kusto.types import KustoType

_UNUSED_FIELD_ID = 2_000_000_000
"""Field ids from here on are in no file: for columns that a file does not hold."""

Hidden = Literal["sequence", "ingestion_time", "extent_id", "extent_tags"]
"""What a scan can give besides stored columns: the commit sequence (BIGINT) and ingestion time
(TIMESTAMP) of each row, and the id (UUID) and tags (JSON text) of its extent."""

_HIDDEN_TYPES: Mapping[str, str] = {
    "sequence": "BIGINT",
    "ingestion_time": "TIMESTAMP",
    "extent_id": "UUID",
    "extent_tags": "VARCHAR",
}


@dataclass(frozen=True)
class ExtentPart:
    """Some rows of an extent, counted from 0: what one task of a divided scan reads."""

    extent: Extent
    first_row: int
    row_count: int


@dataclass(frozen=True)
class ScanColumn:
    """A column of a scan's result.

    Attributes:
        sql_name: its name in the result; unique without regard to case.
        source: the stored column it comes from, or which hidden one.
    """

    sql_name: str
    source: StoredColumn | Hidden


def quote_name(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def scan_sql(extents: Iterable[Extent | ExtentPart], columns: Sequence[ScanColumn]) -> str:
    """A SELECT over extents that yields the given columns, in the SQL types of ``types``.

    Args:
        extents: whole extents, or parts of them.
        columns: what to read; at least one.

    Returns:
        SQL without a trailing semicolon, to be used as a subquery or CTE.
    """
    selects = [_select(group, columns, first) for group, first in _groups(extents, columns)]
    return "\nUNION ALL\n".join(selects) if selects else _empty(columns)


def sql_type(column: ScanColumn) -> str:
    """The DuckDB type of a scan's column."""
    return (
        column.source.type.duckdb if isinstance(column.source, StoredColumn) else _HIDDEN_TYPES[column.source]
    )


def _empty(columns: Sequence[ScanColumn]) -> str:
    items = [f"CAST(NULL AS {sql_type(c)}) AS {quote_name(c.sql_name)}" for c in columns]
    return f"SELECT {', '.join(items)} WHERE false"


_FieldIds = tuple[tuple[int, int], ...]


def _groups(
    extents: Iterable[Extent | ExtentPart], columns: Sequence[ScanColumn]
) -> list[tuple[list[Extent], ExtentPart | None]]:
    """Extents that one read_parquet can read: those where each column has the same field id."""
    ids = [c.source.id for c in columns if isinstance(c.source, StoredColumn)]
    groups: dict[tuple[_FieldIds, bool], list[Extent]] = {}
    parts: list[tuple[list[Extent], ExtentPart | None]] = []
    for entry in extents:
        if isinstance(entry, ExtentPart):
            parts.append(([entry.extent], entry))
        else:
            key = _field_ids(entry, ids)
            groups.setdefault((key, entry.has_row_sequences), []).append(entry)
    return [*((group, None) for group in groups.values()), *parts]


def _field_ids(extent: Extent, ids: Sequence[int]) -> _FieldIds:
    taken = set(extent.fields.values())
    result: list[tuple[int, int]] = []
    for column_id in ids:
        found = extent.fields.get(column_id)
        if found is None:
            # Not in the file: any id that the file does not have; the column's own where it is free,
            # so that such extents are read together with those that do hold the column.
            found = column_id if column_id not in taken else _UNUSED_FIELD_ID + column_id
        result.append((column_id, found))
    return tuple(result)


def _select(group: Sequence[Extent], columns: Sequence[ScanColumn], part: ExtentPart | None) -> str:
    fields = dict(_field_ids(group[0], [c.source.id for c in columns if isinstance(c.source, StoredColumn)]))
    entries: dict[str, str] = {}
    items: list[str] = []
    for index, column in enumerate(columns):
        if isinstance(column.source, StoredColumn):
            inner = f"v{column.source.id}"
            default = "''" if column.source.type is KustoType.STRING else "NULL"
            entries[inner] = _entry(fields[column.source.id], inner, column.source.type.duckdb, default)
            expression = inner
        else:
            expression = _hidden(column.source, group, entries)
        if index == 0 and not entries:
            # A schema must have a column: rows are counted by one that no file has.
            entries["v"] = _entry(_UNUSED_FIELD_ID, "v", "BIGINT", "NULL")
        items.append(f"{expression} AS {quote_name(column.sql_name)}")
    paths = ", ".join(quote_text(_literal_path(extent.path)) for extent in group)
    sql = (
        f"SELECT {', '.join(items)} FROM read_parquet([{paths}], hive_partitioning=false, "
        f"schema=MAP{{{', '.join(entries.values())}}})"
    )
    if part is not None:
        last = part.first_row + part.row_count
        sql += f" WHERE file_row_number >= {part.first_row} AND file_row_number < {last}"
    return sql


def _entry(field_id: int, name: str, type: str, default: str) -> str:
    return f"{field_id}: {{name: '{name}', type: '{type}', default_value: {default}}}"


def _hidden(which: Hidden, group: Sequence[Extent], entries: dict[str, str]) -> str:
    if which == "extent_id":
        return _by_file([f"{quote_text(extent.id)}::UUID" for extent in group])
    if which == "extent_tags":
        return _by_file([quote_text(json.dumps(list(extent.tags))) for extent in group])
    if which == "sequence":
        if group[0].has_row_sequences:
            entries["vs"] = _entry(SEQUENCE_FIELD_ID, "vs", "BIGINT", "NULL")
            return "vs"
        return _by_file([f"{extent.sequence}::BIGINT" for extent in group])
    if group[0].has_row_sequences:
        entries["vi"] = _entry(INGESTED_FIELD_ID, "vi", "TIMESTAMP", "NULL")
        return "vi"
    return _by_file([f"TIMESTAMP '{extent.ingested_on:%Y-%m-%d %H:%M:%S.%f}'" for extent in group])


def _by_file(values: Sequence[str]) -> str:
    """A value for each file of the scan; a constant where all have the same."""
    if len(set(values)) == 1:
        return values[0]
    return f"[{', '.join(values)}][file_index::BIGINT + 1]"


def _literal_path(path: str) -> str:
    """A path that the reader does not take for a pattern."""
    return "".join(f"[{ch}]" if ch in "*?[" else ch for ch in path)


def split_extent(extent: Extent, target_bytes: int) -> tuple[ExtentPart, ...]:
    """Parts of an extent, cut at row groups, of about ``target_bytes`` on disk each."""
    if extent.size <= target_bytes or len(extent.row_groups) < 2:
        return (ExtentPart(extent, 0, extent.row_count),)
    rows_a_part = max(1, extent.row_count * target_bytes // extent.size)
    parts: list[ExtentPart] = []
    first = rows = 0
    for group in extent.row_groups:
        if rows and rows + group // 2 > rows_a_part:
            parts.append(ExtentPart(extent, first, rows))
            first, rows = first + rows, 0
        rows += group
    return (*parts, ExtentPart(extent, first, rows))
