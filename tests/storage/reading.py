"""SQL that reads extents of any history, straight from the catalog: what the tests here look through.

The engine has its own, with push-down and tasks; this one shows that files and catalog suffice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from spark_kusto.storage import INGESTED_FIELD_ID, SEQUENCE_FIELD_ID, Extent, StoredColumn
from spark_kusto.storage.scanning import read_parquet, schema_entry
from spark_kusto.types import KustoType

IN_NO_FILE = 2_000_000_000

Hidden = Literal["sequence", "ingestion_time", "extent_id", "extent_tags"]

_HIDDEN_TYPES: Mapping[str, str] = {
    "sequence": "BIGINT",
    "ingestion_time": "TIMESTAMP",
    "extent_id": "UUID",
    "extent_tags": "VARCHAR",
}


@dataclass(frozen=True)
class ScanColumn:
    """A column to read, under a name that needs no quoting."""

    sql_name: str
    source: StoredColumn | Hidden


def scan_sql(extents: Iterable[Extent], columns: Sequence[ScanColumn]) -> str:
    """A SELECT over extents that yields the given columns."""
    groups: dict[tuple[object, ...], list[Extent]] = {}
    for extent in extents:
        groups.setdefault((*_field_ids(extent, columns).items(), extent.has_row_sequences), []).append(extent)
    if not groups:
        types = [c.source.type.duckdb if isinstance(c.source, StoredColumn) else _HIDDEN_TYPES[c.source]
                 for c in columns]  # fmt: skip
        items = [f"CAST(NULL AS {t}) AS {c.sql_name}" for t, c in zip(types, columns, strict=True)]
        return f"SELECT {', '.join(items)} WHERE false"
    return " UNION ALL ".join(_select(group, columns) for group in groups.values())


def _field_ids(extent: Extent, columns: Sequence[ScanColumn]) -> dict[int, int]:
    taken = set(extent.fields.values())
    ids: dict[int, int] = {}
    for column in columns:
        if isinstance(column.source, StoredColumn):
            key = column.source.id
            absent = key if key not in taken else IN_NO_FILE + key
            ids[key] = extent.fields.get(key, absent)
    return ids


def _select(group: Sequence[Extent], columns: Sequence[ScanColumn]) -> str:
    fields = _field_ids(group[0], columns)
    entries = [schema_entry(IN_NO_FILE, "absent", KustoType.BOOL)]
    items = []
    for column in columns:
        if isinstance(column.source, StoredColumn):
            name = f"v{column.source.id}"
            entries.append(schema_entry(fields[column.source.id], name, column.source.type))
            items.append(f"{name} AS {column.sql_name}")
        else:
            items.append(f"{_hidden(column.source, group, entries)} AS {column.sql_name}")
    return f"SELECT {', '.join(items)} FROM {read_parquet([extent.path for extent in group], entries)}"


def _hidden(which: Hidden, group: Sequence[Extent], entries: list[str]) -> str:
    if which == "extent_id":
        return _by_file([f"'{extent.id}'::UUID" for extent in group])
    if which == "extent_tags":
        return _by_file(["'" + json.dumps(extent.tags).replace("'", "''") + "'" for extent in group])
    if which == "sequence":
        if group[0].has_row_sequences:
            entries.append(schema_entry(SEQUENCE_FIELD_ID, "vs", KustoType.LONG))
            return "vs"
        return _by_file([f"{extent.sequence}::BIGINT" for extent in group])
    if group[0].has_row_sequences:
        entries.append(schema_entry(INGESTED_FIELD_ID, "vi", KustoType.DATETIME))
        return "vi"
    return _by_file([f"TIMESTAMP '{extent.ingested_on:%Y-%m-%d %H:%M:%S.%f}'" for extent in group])


def _by_file(values: Sequence[str]) -> str:
    return f"[{', '.join(values)}][file_index::BIGINT + 1]"
