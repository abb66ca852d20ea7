"""Merging: which extents, and that nothing a reader can see changes by it."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest

from spark_kusto.errors import CorruptExtentError, IngestConflictError
from spark_kusto.storage import Database, Extent, MergePolicy, TableSnapshot, plan_merges
from spark_kusto.storage.merging import HIDDEN_COLUMNS
from spark_kusto.types import Column, KustoType
from tests.storage.rows import ingest, read

K = KustoType
START = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)


def merge(database: Database, *which: int) -> Any:
    table = database.snapshot().table("T")
    chosen = [table.extents[index] for index in which] if which else list(table.extents)
    return database.merge_extents(table, chosen)


def test_rows_keep_cursor_and_ingestion_time(database: Database) -> None:
    for value in range(4):
        ingest(database, "T", {"a": [value], "b": [f"v{value}"]}, tags=[f"t{value}"])
    before = read(database, "T", hidden=["sequence", "ingestion_time"])
    old = database.snapshot()
    result = merge(database)
    (extent,) = database.snapshot().table("T").extents
    assert extent.has_row_sequences
    assert (extent.row_count, extent.tags) == (4, ("t0", "t1", "t2", "t3"))
    parts = old.table("T").extents
    assert (extent.min_sequence, extent.sequence) == (parts[0].sequence, parts[3].sequence)
    assert (extent.min_created_on, extent.created_on) == (parts[0].created_on, parts[3].created_on)
    assert extent.added_sequence == result.sequence > extent.sequence
    assert extent.statistics[1].minimum == 0
    assert extent.statistics[1].maximum == 3
    assert read(database, "T", hidden=["sequence", "ingestion_time"]) == before
    assert read(database.snapshot(old.sequence), "T") == read(database, "T")
    # A merge of merged and plain extents.
    ingest(database, "T", {"a": [9], "b": ["w"]})
    before = read(database, "T", hidden=["sequence", "ingestion_time"])
    merge(database)
    assert read(database, "T", hidden=["sequence", "ingestion_time"]) == before


def test_old_schemas_are_merged_right(database: Database) -> None:
    ingest(database, "T", {"a": [1], "b": ["x"]})
    database.rename_column("T", "a", "z")
    database.drop_columns("T", ["b"])
    database.alter_merge_table("T", [Column("b", K.STRING), Column("g", K.GUID)])
    ingest(database, "T", {"z": [2], "b": ["new"]})
    before = read(database, "T")
    merge(database)
    assert read(database, "T") == before == [(1, "", None), (2, "new", None)]
    (extent,) = database.snapshot().table("T").extents
    assert set(extent.fields) == {1, 3}  # what no part holds takes no room
    database.rename_column("T", "b", "bb")
    assert read(database, "T", "bb") == ["", "new"]


def test_extents_moved_between_tables_are_merged_right(database: Database) -> None:
    ingest(database, "A", {"x": [1], "y": [10]})
    database.create_table("T", [Column("y", K.LONG), Column("x", K.LONG)])
    database.move_extents([database.snapshot().table("A").extents[0].id], "A", "T", new_ingestion_time=True)
    ingest(database, "T", {"x": [2], "y": [20]})
    before = read(database, "T", "x", "y", hidden=["sequence"])
    merge(database)
    assert read(database, "T", "x", "y", hidden=["sequence"]) == before
    assert [row[:2] for row in before] == [(1, 10), (2, 20)]


def test_extents_with_none_of_the_columns_left(database: Database) -> None:
    for value in range(2):
        ingest(database, "T", {"a": [value, value]})
    database.alter_table("T", [Column("b", K.STRING)])
    before = read(database, "T", hidden=["sequence"])
    merge(database)
    assert read(database, "T", hidden=["sequence"]) == before
    assert len(before) == 4


def test_a_merge_that_was_overtaken_has_no_effect(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in range(2):
        ingest(database, "T", {"a": [value]})
    real = database.commit_merge

    def overtaken(*arguments: Any, **options: Any) -> Any:
        database.drop_extents([database.snapshot().table("T").extents[0].id])
        return real(*arguments, **options)

    monkeypatch.setattr(database, "commit_merge", overtaken)
    with pytest.raises(IngestConflictError, match="the merge has no effect"):
        merge(database)
    assert read(database, "T") == [1]
    assert os.listdir(database.staging_path) == []
    assert len(os.listdir(database.extents_path)) == 2  # both inputs; nothing of the merge


def test_a_damaged_input_is_named(database: Database) -> None:
    for value in range(2):
        ingest(database, "T", {"a": [value]})
    broken = database.snapshot().table("T").extents[1]
    Path(broken.path).write_bytes(b"PAR1 no PAR1")
    with pytest.raises(CorruptExtentError, match=broken.id):
        merge(database)
    assert len(database.snapshot().table("T").extents) == 2


def test_tags_and_moves_change_a_merged_extent_too(database: Database) -> None:
    for value in range(2):
        ingest(database, "T", {"a": [value]})
    merge(database)
    (extent,) = database.snapshot().table("T").extents
    before = read(database, "T", hidden=["sequence"])
    database.alter_extent_tags([extent.id], ["x"])
    assert read(database, "T", hidden=["sequence"]) == before
    database.create_table("U", [Column("a", K.LONG)])
    database.move_extents([extent.id], "T", "U")
    assert read(database, "U", hidden=["sequence"]) == before


def test_a_merge_streams_row_groups(database: Database) -> None:
    for part in range(3):
        ingest(database, "T", {"a": list(range(part * 1_000, part * 1_000 + 1_000))})
    table = database.snapshot().table("T")
    database.merge_extents(table, table.extents, row_group_rows=700)
    (extent,) = database.snapshot().table("T").extents
    assert extent.row_groups == (700, 700, 700, 700, 200)
    assert read(database, "T") == list(range(3_000))
    assert {column.id for column in HIDDEN_COLUMNS}.isdisjoint(extent.fields)


# -- which ----------------------------------------------------------------------------------------


def table_of(*extents: tuple[int, float, int, tuple[str, ...]]) -> TableSnapshot:
    """A table of extents given as (bytes, hours after the start, rows, tags)."""
    made = tuple(
        Extent(
            id=str(number),
            path="",
            row_count=rows,
            size=size,
            original_size=size * 4,
            created_on=START + dt.timedelta(hours=hours),
            min_created_on=START + dt.timedelta(hours=hours),
            tags=tags,
            sequence=number,
            min_sequence=number,
            added_sequence=number,
            has_row_sequences=False,
            fields={},
        )
        for number, (size, hours, rows, tags) in enumerate(extents)
    )
    return TableSnapshot("id", "T", (), made)


def planned(table: TableSnapshot, **policy: Any) -> list[list[int]]:
    return [[int(extent.id) for extent in group] for group in plan_merges(table, MergePolicy(**policy))]


MB = 1 << 20


def test_small_extents_are_merged_when_there_are_enough(database: Database) -> None:
    assert planned(table_of(*[(1000, 0, 1, ())] * 7)) == []
    assert planned(table_of(*[(1000, 0, 1, ())] * 8)) == [list(range(8))]
    assert planned(table_of(*[(1000, 0, 1, ())] * 3), min_extents=2) == [[0, 1, 2]]
    assert planned(table_of(*[(1000, 0, 1, ())] * 250)) == [
        list(range(100)),
        list(range(100, 200)),
        list(range(200, 250)),
    ]


def test_large_extents_are_left_alone() -> None:
    assert planned(table_of((150 * MB, 0, 1, ()), (150 * MB, 0, 1, ()))) == []
    assert planned(table_of((60 * MB, 0, 1, ()), (60 * MB, 0, 1, ()))) == [[0, 1]]
    assert planned(table_of(*[(90 * MB, 0, 1, ())] * 4)) == [[0, 1], [2, 3]]


def test_limits_of_the_policy_hold() -> None:
    many = table_of(*[(1000, hour, 1_000_000, ()) for hour in range(40)])
    assert planned(many) == [list(range(16)), list(range(16, 32)), list(range(32, 40))]
    assert planned(many, max_rows=2**40) == [list(range(25)), list(range(25, 40))]
    assert planned(many, max_rows=2**40, max_range=dt.timedelta(hours=12))[0] == list(range(13))
    assert planned(many, max_extents=0) == []


def test_many_small_commits_copy_each_row_few_times() -> None:
    """Ten thousand commits of 100 KB: each row is written again a handful of times, in few extents."""
    sizes: list[int] = []
    copied = 0
    for _ in range(10_000):
        sizes.append(25_000)
        for group in planned(table_of(*[(size, 0, 1, ()) for size in sizes])):
            merged = sum(sizes[index] for index in group)
            copied += merged
            sizes = [size for index, size in enumerate(sizes) if index not in group] + [merged]
    assert len(sizes) < 60
    assert copied < 8 * sum(sizes)


def test_different_tags_are_kept_apart_but_those_for_idempotence() -> None:
    extents = [
        (1000, 0, 1, ("drop-by:a", "x", "ingest-by:1")),
        (1000, 0, 1, ("drop-by:b",)),
        (1000, 0, 1, ("x", "ingest-by:2", "drop-by:a")),
        (1000, 0, 1, ("x", "drop-by:a")),
    ] * 4
    groups = planned(table_of(*extents), min_extents=2)
    assert sorted(map(tuple, groups)) == [(0, 2, 4, 6, 8, 10, 12, 14), (1, 5, 9, 13), (3, 7, 11, 15)]


def test_policies_are_read_as_kusto_writes_them() -> None:
    text = (
        '{"RowCountUpperBoundForMerge": 5, "OriginalSizeMBUpperBoundForMerge": 2,'
        ' "MaxExtentsToMerge": 3, "MaxRangeInHours": 6}'
    )
    policy = MergePolicy.parse(text)
    assert (policy.max_rows, policy.max_bytes, policy.max_extents) == (5, 2 * MB, 3)
    assert policy.max_range == dt.timedelta(hours=6)
    assert MergePolicy.parse({"AllowMerge": False}).max_extents == 0
    assert MergePolicy.parse("{}") == MergePolicy()


def test_planned_merges_run(database: Database) -> None:
    for value in range(20):
        ingest(database, "T", {"a": [value]})
    table = database.snapshot().table("T")
    for group in database.plan_merges(table):
        database.merge_extents(table, group)
    assert len(database.snapshot().table("T").extents) == 1
    assert read(database, "T") == list(range(20))
    assert plan_merges(database.snapshot().table("T")) == []
