"""Parquet files that others wrote: taken as they are where they keep the rules, written anew otherwise."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spark_kusto.errors import IngestError, SchemaMismatchError, TypeConversionError
from spark_kusto.storage import Database, IngestOperation, adopt
from spark_kusto.types import Column, KustoType
from tests.storage.rows import read

K = KustoType
UTC = dt.timezone.utc
NEW_YEAR = dt.datetime(2020, 1, 1)


def begin(database: Database, **columns: KustoType) -> IngestOperation:
    return database.begin_ingest("T", [Column(n, t) for n, t in columns.items()], create=True)


def write(operation: IngestOperation, ids: bool = True, **columns: pa.Array) -> str:
    """Write a file into staging the way another writer would."""
    by_name = {column.name: column.id for column in operation.columns}
    fields = [
        pa.field(
            name, array.type, metadata={b"PARQUET:field_id": str(by_name[name]).encode()} if ids else None
        )
        for name, array in columns.items()
    ]
    path = os.path.join(operation.staging, "part-0.parquet")
    pq.write_table(pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields)), path)
    return path


def commit(database: Database, operation: IngestOperation, path: str) -> tuple[list[Any], bool]:
    """Rows after adopting and committing a file, and whether it was taken as it was."""
    inode = os.stat(path).st_ino
    staged = adopt(operation, path)
    assert not os.path.exists(path)
    database.commit_ingest(operation, staged)
    (extent,) = database.snapshot().table("T").extents
    return read(database, "T"), os.stat(extent.path).st_ino == inode


@pytest.mark.parametrize(
    ("type", "array", "expected", "as_it_is"),
    [
        (K.LONG, pa.array([1, None]), [None, 1], True),
        (K.LONG, pa.array([1], pa.int8()), [1], True),
        (K.LONG, pa.array([1], pa.uint64()), [1], False),
        (K.INT, pa.array([1], pa.int16()), [1], True),
        (K.REAL, pa.array([1.5], pa.float32()), [1.5], True),
        (K.DECIMAL, pa.array([Decimal("1.5")], pa.decimal128(10, 2)), [Decimal("1.5")], True),
        (K.DECIMAL, pa.array([Decimal("1.5")], pa.decimal128(38, 2)), [Decimal("1.5")], False),
        (K.STRING, pa.array(["x"]), ["x"], True),
        (K.STRING, pa.array(["x", None]), ["", "x"], False),
        (K.STRING, pa.array([b"abc"]), ["YWJj"], False),
        (K.DATETIME, pa.array([NEW_YEAR], pa.timestamp("us")), [NEW_YEAR], True),
        (K.DATETIME, pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
         [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)], True),
        (K.DATETIME, pa.array([NEW_YEAR.replace(tzinfo=UTC)], pa.timestamp("us", tz="Asia/Tokyo")),
         [NEW_YEAR], False),
        (K.DATETIME, pa.array([NEW_YEAR], pa.timestamp("ns")), [NEW_YEAR], False),
        (K.TIMESPAN, pa.array([5]), [5], True),
        (K.TIMESPAN, pa.array(["00:00:01"]), [10_000_000], False),
        (K.GUID, pa.array([str(uuid.UUID(int=1))]), [uuid.UUID(int=1)], False),
        (K.DYNAMIC, pa.array(['{"a":1}', None]), [None, '{"a":1}'], True),
        (K.DYNAMIC, pa.array([[1, 2]]), ["[1,2]"], False),
        (K.BOOL, pa.array([True]), [True], True),
    ],
)  # fmt: skip
def test_types(
    database: Database, type: KustoType, array: pa.Array, expected: list[Any], as_it_is: bool
) -> None:
    operation = begin(database, c=type)
    path = write(operation, c=array)
    assert commit(database, operation, path) == (expected, as_it_is)


def test_bounds_that_leave_nan_out_are_not_kept(database: Database) -> None:
    operation = begin(database, r=K.REAL)
    path = write(operation, r=pa.array([1.0, float("nan")]))
    rows, as_it_was = commit(database, operation, path)
    assert not as_it_was
    assert len(rows) == 2
    assert len(read(database, "T", where="c0 > 100")) == 1  # DuckDB holds NaN greater than all numbers
    statistics = database.snapshot().table("T").extents[0].statistics[1]
    assert (statistics.minimum, statistics.maximum, statistics.has_nan) == (1.0, 1.0, True)


def test_statistics_come_from_the_footer(database: Database) -> None:
    operation = begin(database, a=K.LONG, s=K.STRING, r=K.REAL, d=K.DYNAMIC)
    path = write(
        operation,
        a=pa.array([3, None, 1]),
        s=pa.array(["b", "a", "c"]),
        r=pa.array([0.5, None, 2.0]),
        d=pa.array(["1", None, None]),
    )
    assert commit(database, operation, path)[1]
    (extent,) = database.snapshot().table("T").extents
    assert [(s.minimum, s.maximum, s.null_count) for s in extent.statistics.values()] == [
        (1, 3, 1),
        ("a", "c", 0),
        (0.5, 2.0, 1),
        (None, None, 2),
    ]
    assert (extent.row_count, extent.row_groups) == (3, (3,))


def test_files_without_field_ids_go_by_name(database: Database) -> None:
    operation = begin(database, a=K.LONG, b=K.STRING)
    path = write(operation, ids=False, b=pa.array(["x"]), a=pa.array([1]))
    assert commit(database, operation, path) == ([(1, "x")], False)


def test_field_ids_stand_above_names(database: Database) -> None:
    operation = begin(database, a=K.LONG, b=K.LONG)
    path = write(operation, b=pa.array([2]), a=pa.array([1]))
    table = pq.read_table(path).rename_columns(["x", "y"])
    fields = [
        field.with_metadata({b"PARQUET:field_id": i})
        for field, i in zip(table.schema, (b"2", b"1"), strict=True)
    ]
    pq.write_table(table.cast(pa.schema(fields)), path)
    assert commit(database, operation, path) == ([(1, 2)], True)


def test_an_empty_file_is_no_extent(database: Database) -> None:
    operation = begin(database, a=K.LONG)
    path = write(operation, a=pa.array([], pa.int64()))
    assert adopt(operation, path) == []
    assert not os.path.exists(path)


def test_what_cannot_be_taken_is_named(database: Database, tmp_path: Path) -> None:
    operation = begin(database, a=K.LONG)
    with pytest.raises(TypeConversionError, match="Column 'a' is long in the table, and the data has string"):
        adopt(operation, write(operation, a=pa.array(["x"])))
    with pytest.raises(TypeConversionError, match="Column 'a', row 1"):
        adopt(operation, write(operation, a=pa.array([1, 2**63], pa.uint64())))
    path = write(operation, a=pa.array([1]))
    table = pq.read_table(path).append_column("extra", pa.array([1]))
    pq.write_table(table, path)
    with pytest.raises(SchemaMismatchError, match="'extra' that the table lacks"):
        adopt(operation, path)
    Path(path).write_bytes(b"no parquet")
    with pytest.raises(IngestError, match="cannot be read as Parquet"):
        adopt(operation, path)
    elsewhere = tmp_path / "x.parquet"
    elsewhere.touch()
    with pytest.raises(IngestError, match="is not in the staging folder"):
        adopt(operation, str(elsewhere))


def test_datetimes_out_of_range_are_named(database: Database) -> None:
    operation = begin(database, t=K.DATETIME)
    path = write(operation, t=pa.array([0, 2**60], pa.timestamp("us")))
    with pytest.raises(TypeConversionError, match="years 1 to 9999"):
        adopt(operation, path)
