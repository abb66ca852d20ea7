"""Adapter from the conformance runners to the language on DuckDB.

``run(query)`` gives (columns, types, rows); ``run_plain(query)`` gives (columns, rows). With
``KQL_CONFORMANCE_DIR`` set, the reconstructed StormEvents table is there.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import gzip
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.kql.executor import Database, arrow_type


def _value(text: str, kind: str) -> Any:
    if kind == "string":
        return text
    if text == "":
        return None
    if kind in ("int", "long"):
        return int(text)
    if kind == "real":
        return float(text)
    if kind == "datetime":
        return dt.datetime.fromisoformat(text.rstrip("Z")[:26])
    return text


def storm_events(directory: Path) -> tuple[list[tuple[str, str]], pa.Table]:
    schema = (directory / "docs" / "StormEvents.schema.kql").read_text()
    inside = schema[schema.index("(", schema.index(".create")) + 1 : schema.rindex(")")]
    columns = []
    for part in inside.split(","):
        name, _, kind = part.strip().partition(":")
        columns.append((name.strip(), kind.strip()))
    with gzip.open(directory / "docs" / "StormEvents.reconstructed.csv.gz", "rt", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        assert header == [name for name, _ in columns], header
        rows = list(reader)
    arrays = [
        pa.array([_value(row[i], kind) for row in rows], arrow_type(kind))
        for i, (_, kind) in enumerate(columns)
    ]
    return columns, pa.table(arrays, names=[f"f{i}" for i in range(len(columns))])


@functools.cache
def database() -> Database:
    where = os.environ.get("KQL_CONFORMANCE_DIR")
    return Database({"StormEvents": storm_events(Path(where))} if where else {})


def run(query: str) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    names, types, rows = database().query(query)
    texts = [tuple(f"{v.normalize():f}" if isinstance(v, Decimal) else v for v in row) for row in rows]
    return names, types, texts


def run_plain(query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    names, _, rows = database().query(query)
    return names, rows


if __name__ == "__main__":
    import sys

    names, types, rows = run(sys.argv[1])
    print(names, types)
    for row in rows[:50]:
        print(json.dumps(row, default=str))
