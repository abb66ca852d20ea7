"""Dropping, moving, tagging and replacing extents; pruning; checking; damaged files."""

from __future__ import annotations

import datetime as dt
import math
import os
import random
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_kusto.errors import CorruptExtentError, EntityNotFoundError, SchemaMismatchError
from spark_kusto.storage import ColumnStatistics, Database, Extent, Root, open_extent, prune
from spark_kusto.storage.statistics import decode_statistics, encode_statistics, text_bounds
from spark_kusto.types import Column, KustoType
from tests.storage.reading import ScanColumn, scan_sql
from tests.storage.rows import ingest, read

K = KustoType


def extents(database: Database, table: str = "T") -> tuple[Extent, ...]:
    return database.snapshot().table(table).extents


def test_dropping_by_id(database: Database) -> None:
    for value in (1, 2, 3):
        ingest(database, "T", {"a": [value]})
    dropped = database.drop_extents([extents(database)[1].id.upper()])
    assert [(table.name, extent.row_count) for table, extent in dropped] == [("T", 1)]
    assert read(database, "T") == [1, 3]
    with pytest.raises(EntityNotFoundError, match="may have been dropped"):
        database.drop_extents([dropped[0][1].id])
    ingest(database, "U", {"a": [1]})
    with pytest.raises(EntityNotFoundError):
        database.drop_extents([extents(database, "U")[0].id], "T")


def test_tags_change(database: Database) -> None:
    ingest(database, "T", {"a": [1]}, tags=["x"])
    (extent,) = extents(database)
    database.alter_extent_tags([extent.id], ["y"], "add")
    assert extents(database)[0].tags == ("x", "y")
    database.alter_extent_tags([extent.id], ["x"], "drop")
    database.alter_extent_tags([extent.id], ["z", "z"], "set")
    (changed,) = extents(database)
    assert changed.tags == ("z",)
    assert (changed.sequence, changed.id, changed.path) == (extent.sequence, extent.id, extent.path)
    assert changed.added_sequence > extent.added_sequence
    assert read(database, "T") == [1]


def test_moving_keeps_or_renews_the_ingestion_time(database: Database) -> None:
    first = ingest(database, "A", {"x": [1], "y": ["p"]}, tags=["t"])
    ingest(database, "A", {"x": [2], "y": ["q"]})
    database.create_table("B", [Column("z", K.REAL), Column("y", K.STRING), Column("x", K.LONG)])
    one, two = extents(database, "A")
    moved = database.move_extents([one.id], "A", "B")
    assert [(m.source_table, m.destination_table) for m in moved] == [("A", "B")]
    assert read(database, "B", "x", "y", "z", hidden=["sequence"]) == [(1, "p", None, first.sequence)]
    database.move_extents([two.id], "A", "B", new_ingestion_time=True)
    now = int(database.cursor())
    assert read(database, "B", "x", hidden=["sequence"]) == [(1, first.sequence), (2, now)]
    assert extents(database, "B")[0].tags == ("t",)
    assert read(database, "A") == []
    assert extents(database, "B")[0].statistics[3].maximum == 1
    # Files stay although the extents left their first table.
    database.sweep(dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=1))
    assert read(database, "B", "x") == [1, 2]


def test_moving_to_a_table_without_the_columns_is_refused(database: Database) -> None:
    ingest(database, "A", {"x": [1]})
    database.create_table("B", [Column("x", K.STRING)])
    with pytest.raises(SchemaMismatchError, match="is string in table 'B'"):
        database.move_extents([extents(database, "A")[0].id], "A", "B")
    assert read(database, "A") == [1]


def test_replacing_extents_is_one_commit(database: Database) -> None:
    ingest(database, "T", {"a": [1]})
    ingest(database, "New", {"a": [2]})
    before = database.snapshot()
    old, new = extents(database)[0].id, extents(database, "New")[0].id
    dropped, moved = database.replace_extents("T", [old], [new])
    assert (dropped, moved[0].result_id) == ((old,), new)
    assert read(database, "T") == [2]
    assert read(database, "New") == []
    assert read(before, "T") == [1]
    with pytest.raises(EntityNotFoundError, match="already"):
        database.replace_extents("T", [], [new])


# -- scanning -------------------------------------------------------------------------------------


def test_hidden_columns_come_with_any_mix_of_extents(database: Database) -> None:
    one = ingest(database, "T", {"a": [1]}, tags=["it's"])
    two = ingest(database, "T", {"a": [2]})
    rows = read(database, "T", hidden=["sequence", "ingestion_time", "extent_id", "extent_tags"])
    for row, result, tags in zip(rows, (one, two), ('["it\'s"]', "[]"), strict=True):
        (extent,) = result.extents
        assert row[1:] == (
            result.sequence,
            extent.ingested_on.replace(tzinfo=None),
            uuid.UUID(extent.id),
            tags,
        )
    only = scan_sql(extents(database), [ScanColumn("s", "sequence")])
    assert duckdb.sql(only).fetchall() == [(one.sequence,), (two.sequence,)]


def assert_row_groups_read(sql: str, read: int, among: int) -> None:
    """Check how many row groups a query reads; before 2.0 DuckDB tells only that the scan filters."""
    plan = duckdb.sql(f"EXPLAIN ANALYZE {sql}").fetchall()[0][1]
    if "Row Groups Scanned" in plan or int(duckdb.__version__.split(".")[0]) >= 2:
        assert f"Row Groups Scanned: {read} / {among}" in plan
    else:
        assert "Filters:" in plan


def test_filters_reach_the_scan(database: Database) -> None:
    ingest(database, "T", {"a": list(range(100_000)), "b": ["x"] * 100_000}, row_group_rows=10_000)
    database.alter_merge_table("T", [Column("c", K.LONG)])
    table = database.snapshot().table("T")
    sql = scan_sql(table.extents, [ScanColumn(c.name, c) for c in table.columns])
    assert_row_groups_read(f"SELECT b FROM ({sql}) WHERE a = 55555", 1, 10)


def test_an_extent_can_be_read_in_parts(database: Database) -> None:
    ingest(database, "T", {"a": list(range(10_500))}, row_group_rows=1_000)
    (extent,) = extents(database)
    assert extent.row_groups == (1_000,) * 10 + (500,)
    sql = scan_sql([extent], [ScanColumn("a", database.snapshot().table("T").columns[0])])
    some = f"{sql} WHERE file_row_number >= 3000 AND file_row_number < 5000"
    assert duckdb.sql(some).fetchall() == [(number,) for number in range(3_000, 5_000)]
    assert_row_groups_read(some, 2, 11)


def test_paths_of_any_kind_are_read_literally(tmp_path: Path) -> None:
    database = Root.open(tmp_path / "it's [a] *?" / "year=2020").database("NetDefaultDB")
    ingest(database, "T", {"a": [1]})
    ingest(database, "T", {"a": [2]})
    assert read(database, "T", hidden=["extent_tags"]) == [(1, "[]"), (2, "[]")]


def test_nothing_to_scan_still_has_types() -> None:
    from spark_kusto.storage import StoredColumn

    sql = scan_sql([], [ScanColumn("x", StoredColumn(1, "g", K.GUID)), ScanColumn("y", "extent_tags")])
    assert duckdb.sql(sql).types == ["UUID", "VARCHAR"]


# -- pruning --------------------------------------------------------------------------------------

PRUNED: dict[KustoType, st.SearchStrategy[Any]] = {
    K.LONG: st.integers(-5, 5),
    K.REAL: st.sampled_from([-1.0, -0.0, 0.0, 1.0, 2.5, math.nan, math.inf, -math.inf]),
    K.STRING: st.text("ab\U0001f600", max_size=3).map(lambda text: text * 30),
    K.DATETIME: st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 5)).map(
        lambda value: value.replace(tzinfo=dt.timezone.utc, microsecond=0, second=0, minute=0)
    ),
    K.DECIMAL: st.sampled_from([Decimal("-1.5"), Decimal(0), Decimal("1e-18"), Decimal(7)]),
    K.GUID: st.integers(0, 5).map(lambda number: uuid.UUID(int=number << 120)),
    K.BOOL: st.booleans(),
    K.TIMESPAN: st.integers(-3, 3),
}


def holds(value: Any, operator: str, operand: Any) -> bool:
    """What a predicate says of one value, in Kusto's meaning."""
    if operator == "isnull":
        return value is None
    if value is None:
        return False
    if operator == "isnotnull":
        return True
    if operator == "in":
        return value in operand
    if operator == "startswith":
        return bool(value.startswith(operand))
    if isinstance(value, float) and math.isnan(value):
        # DuckDB holds NaN greater than all numbers; no extent with NaN may be lost either way.
        return operator in ("!=", ">", ">=", "<", "<=")
    return bool(
        {
            "==": value == operand,
            "!=": value != operand,
            "<": value < operand,
            "<=": value <= operand,
            ">": value > operand,
            ">=": value >= operand,
        }[operator]
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return Root.open(tmp_path_factory.mktemp("pruning") / "c").database("NetDefaultDB")


@pytest.mark.parametrize("type", list(PRUNED), ids=str)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_pruning_never_loses_a_row(type: KustoType, data: st.DataObject, shared: Database) -> None:
    from spark_kusto.types.results import storage_array
    from spark_kusto.types.table import storage_field

    values = data.draw(st.lists(st.none() | PRUNED[type], min_size=1, max_size=5))
    schema = pa.schema([storage_field(Column("a", type))])
    batch = pa.RecordBatch.from_arrays([storage_array(values, type)], schema=schema)
    table = f"T{type.value}"
    (extent,) = ingest(shared, table, pa.Table.from_batches([batch]), replace_extents="all").extents
    column = shared.snapshot().table(table).columns[0].id
    operators = ["==", "!=", "<", "<=", ">", ">=", "in", "isnull", "isnotnull"]
    if type is K.STRING:
        operators.append("startswith")
        values = ["" if value is None else value for value in values]
    operator = data.draw(st.sampled_from(operators))
    operand = data.draw(st.lists(PRUNED[type], max_size=3) if operator == "in" else PRUNED[type])
    kept = bool(prune([extent], [(column, operator, operand)]))  # type: ignore[list-item]
    matches = any(holds(value, operator, operand) for value in values)
    assert kept or not matches


def test_pruning_leaves_out_what_cannot_match(database: Database) -> None:
    for low in (0, 10, 20):
        ingest(database, "T", {"a": list(range(low, low + 10)), "b": [f"s{low}"] * 10})
    assert [e.statistics[1].minimum for e in prune(extents(database), [(1, "==", 15)])] == [10]
    assert len(prune(extents(database), [(1, ">", 19)])) == 1
    assert len(prune(extents(database), [(1, ">=", 19), (2, "startswith", "s1")])) == 1
    assert len(prune(extents(database), [(1, "in", [5, 25])])) == 2
    assert prune(extents(database), [(2, "isnull", None)]) == ()
    assert len(prune(extents(database), [(99, "==", 1)])) == 3
    assert prune(extents(database), []) == extents(database)


@given(st.text(min_size=0, max_size=130), st.text(max_size=130))
def test_text_bounds_hold(left: str, right: str) -> None:
    low, high = min(left, right), max(left, right)
    minimum, maximum, exact = text_bounds(low, high)
    assert minimum is not None
    assert minimum <= low
    assert maximum is None or maximum >= high
    assert exact == (minimum == low and maximum == high)


def test_statistics_survive_the_catalog() -> None:
    moment = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.timezone.utc)
    given = {
        1: (K.REAL, ColumnStatistics(-math.inf, 5e-324, 0, True)),
        2: (K.DECIMAL, ColumnStatistics(Decimal("-99999999999999999999.999999999999999999"), Decimal(0), 1)),
        3: (K.DATETIME, ColumnStatistics(dt.datetime(1, 1, 1, tzinfo=dt.timezone.utc), moment, None)),
        4: (K.GUID, ColumnStatistics(uuid.UUID(int=0), uuid.UUID(int=1), 3)),
        5: (K.LONG, ColumnStatistics(-(2**63), 2**63 - 1, 3)),
        6: (K.STRING, ColumnStatistics("", "é\U0001f600", 0, False, False)),
    }
    text = encode_statistics({i: t for i, (t, _) in given.items()}, {i: s for i, (_, s) in given.items()})
    assert decode_statistics(text) == {i: s for i, (_, s) in given.items()}


# -- damage ---------------------------------------------------------------------------------------


def damage(path: str, how: str) -> None:
    content = bytearray(Path(path).read_bytes())
    if how == "missing":
        os.unlink(path)
        return
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    else:
        for index in range(8, len(content) // 2):
            content[index] ^= 0xFF
    Path(path).write_bytes(content)


@pytest.mark.parametrize("how", ["missing", "cut", "empty", "scrambled"])
def test_check_names_the_damaged_extent(root: Root, database: Database, how: str) -> None:
    ingest(database, "T", {"a": [1]})
    values = [random.Random(1).random() for _ in range(1000)]
    (extent,) = ingest(database, "T", {"a": [2] * 1000, "b": values}, extend=True).extents
    assert list(root.check()) == []
    damage(extent.path, how)
    (finding,) = root.check()
    assert (finding.severity, finding.table, finding.extent_id) == ("error", "T", extent.id)
    assert extent.path in finding.message


def test_an_unreadable_extent_is_named(database: Database) -> None:
    (extent,) = ingest(database, "T", {"a": [1]}).extents
    damage(extent.path, "cut")
    with pytest.raises(CorruptExtentError, match=f"Extent {extent.id} cannot be read") as caught:
        open_extent(extent.path, extent.id)
    assert (caught.value.extent_id, caught.value.path) == (extent.id, extent.path)
    damage(extent.path, "missing")
    with pytest.raises(CorruptExtentError, match="the file is missing"):
        open_extent(extent.path, extent.id)


def test_check_counts_rows_and_names_left_overs(root: Root, database: Database) -> None:
    (extent,) = ingest(database, "T", {"a": [1]}).extents
    (other,) = ingest(database, "T", {"a": [1]}).extents
    with database.catalog.connected() as connection:
        connection.execute("UPDATE extents SET row_count = 5 WHERE id = ?", (extent.id,))
    orphan = database.extents_path / f"{uuid.uuid4()}.parquet"
    orphan.write_bytes(b"x")
    again = Root.open(root.path)
    found = {finding.extent_id: finding for finding in again.check(read=False)}
    assert "has 1 rows; the catalog says 5" in found[extent.id].message
    assert found[orphan.stem].severity == "warning"
    assert other.id not in found
