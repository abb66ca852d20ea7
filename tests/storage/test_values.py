"""Random rows of every type through extents and back, whole and after merges, under any zone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_kusto.storage import Database, Root, stage_batches
from spark_kusto.types import Column, KustoType
from spark_kusto.types.results import python_column, storage_array
from spark_kusto.types.table import storage_field
from tests.storage.reading import ScanColumn, scan_sql
from tests.types.test_roundtrip import VALUES, same

pytestmark = pytest.mark.roundtrip

K = KustoType
COLUMNS = [Column("n", K.LONG), *(Column(kind.value, kind) for kind in K)]
ROWS = st.lists(st.tuples(*[st.none() | VALUES[kind] for kind in K]), min_size=1, max_size=6)


def batch_of(rows: list[tuple[Any, ...]], first: int = 0) -> pa.RecordBatch:
    lists = [list(range(first, first + len(rows))), *map(list, zip(*rows, strict=True))]
    schema = pa.schema([storage_field(column) for column in COLUMNS])
    arrays = [storage_array(values, c.type) for values, c in zip(lists, COLUMNS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def values_in(database: Database, table: str) -> list[tuple[Any, ...]]:
    """All rows in the order of their number, as Python values made from what DuckDB's Arrow says."""
    import duckdb

    found = database.snapshot().table(table)
    sql = scan_sql(found.extents, [ScanColumn(f"c{i}", column) for i, column in enumerate(found.columns)])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        arrow = connection.sql(f"SELECT * FROM ({sql}) ORDER BY c0").to_arrow_table()
    lists = [python_column(arrow.column(i), c.type) for i, c in enumerate(found.columns)]
    return [row[1:] for row in zip(*lists, strict=True)]


def assert_same(got: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    assert len(got) == len(expected)
    for left, right in zip(got, expected, strict=True):
        for kind, a, b in zip(K, left, right, strict=True):
            assert same(a, "" if b is None and kind is K.STRING else b), (kind, a, b)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return Root.open(tmp_path_factory.mktemp("values") / "c").database("NetDefaultDB")


def store(database: Database, batches: list[pa.RecordBatch], **options: Any) -> None:
    operation = database.begin_ingest("T", COLUMNS, create=True)
    staged = stage_batches(operation, batches, row_group_rows=2)
    database.commit_ingest(operation, staged, **options)


@given(one=ROWS, two=ROWS)
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_read(shared: Database, one: list[Any], two: list[Any]) -> None:
    store(shared, [batch_of(one)], replace_extents="all")
    store(shared, [batch_of(two, len(one))])
    assert_same(values_in(shared, "T"), one + two)
    check_statistics(shared, [one, two])
    table = shared.snapshot().table("T")
    shared.merge_extents(table, table.extents)
    assert_same(values_in(shared, "T"), one + two)
    check_statistics(shared, [one + two])


def check_statistics(database: Database, parts: list[list[tuple[Any, ...]]]) -> None:
    for extent, rows in zip(database.snapshot().table("T").extents, parts, strict=True):
        for index, kind in enumerate(K):
            known = extent.statistics[index + 2]
            values = [row[index] for row in rows]
            if kind is K.STRING:
                values = ["" if value is None else value for value in values]
            present = [value for value in values if value is not None]
            assert known.null_count == len(values) - len(present)
            if kind is K.DYNAMIC:
                continue
            if kind is K.TIMESPAN:
                present = [value // type(value)(microseconds=1) * 10 for value in present]
            if kind is K.REAL:
                assert known.has_nan == any(math.isnan(value) for value in present)
                present = [value for value in present if not math.isnan(value)]
            if present and known.minimum is not None:
                assert known.minimum <= min(present)
                assert known.maximum is None or known.maximum >= max(present)
                if known.exact:
                    assert (known.minimum, known.maximum) == (min(present), max(present))
            else:
                assert not present


def test_sixty_thousand_rows_in_many_batches(database: Database) -> None:
    data = pa.table(
        {
            "i": pa.array(range(60_000)),
            "s": [f"name {i % 997}" for i in range(60_000)],
            "d": [{"k": i, "l": [i, None]} for i in range(60_000)],
        }
    )
    operation = database.begin_ingest(
        "T", [Column("i", K.LONG), Column("s", K.STRING), Column("d", K.DYNAMIC)], create=True
    )
    batches = data.to_batches(max_chunksize=777)
    database.commit_ingest(operation, stage_batches(operation, batches, row_group_rows=10_000))
    (extent,) = database.snapshot().table("T").extents
    assert extent.row_groups == (10_000,) * 6
    import duckdb

    columns = database.snapshot().table("T").columns
    sql = scan_sql([extent], [ScanColumn(column.name, column) for column in columns])
    assert duckdb.sql(f"SELECT sum(i), count(DISTINCT s) FROM ({sql})").fetchall() == [(1_799_970_000, 997)]
    texts = duckdb.sql(f"SELECT d FROM ({sql}) ORDER BY i LIMIT 2").fetchall()
    assert [json.loads(text) for (text,) in texts] == [{"k": 0, "l": [0, None]}, {"k": 1, "l": [1, None]}]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/St_Johns"])
def test_in_another_zone(tmp_path: Path, zone: str) -> None:
    code = """
import datetime as dt, sys
from spark_kusto.storage import Root, prune
from tests.storage.rows import ingest, read
U = dt.timezone.utc
moments = [dt.datetime(1, 1, 1, tzinfo=U), dt.datetime(2024, 3, 10, 2, 30, tzinfo=U),
           dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=U)]
database = Root.open(sys.argv[1]).database("NetDefaultDB")
created = dt.datetime(2020, 6, 1, 12, tzinfo=U)
before = dt.datetime.now(U)
extents = [ingest(database, "T", {"t": [moment]}, created_on=created).extents[0] for moment in moments]
assert read(database, "T") == [moment.replace(tzinfo=None) for moment in moments]
for moment, extent in zip(moments, extents):
    known = extent.statistics[1]
    assert (known.minimum, known.maximum, extent.created_on) == (moment, moment, created)
    assert prune(extents, [(1, "==", moment)]) == (extent,)
    assert before <= extent.ingested_on <= dt.datetime.now(U)
(entry, *_) = database.journal()
assert before <= entry.timestamp <= dt.datetime.now(U)
print("same")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c")],
        env={**os.environ, "TZ": zone},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "same", done.stderr
