"""Ingest operations: all or nothing, once, and with whatever happens in between."""

from __future__ import annotations

import datetime as dt
import errno
import os
import pickle
import random
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spark_kusto.errors import (
    CorruptExtentError,
    EntityNotFoundError,
    IngestConflictError,
    SchemaMismatchError,
    StorageFullError,
    TypeConversionError,
)
from spark_kusto.storage import Database, EntityChange, Extent, Root, stage_batches
from spark_kusto.storage import files as fs
from spark_kusto.types import Column, KustoType
from tests.storage.rows import ingest, read, stage

K = KustoType


def files(database: Database) -> set[str]:
    return {path.name for path in database.extents_path.iterdir()}


def staging(database: Database) -> list[str]:
    return sorted(os.listdir(database.staging_path))


def test_rows_become_visible_with_the_commit_and_not_before(database: Database) -> None:
    operation, staged = stage(database, "T", pa.table({"a": [1, 2], "b": ["x", None]}))
    assert database.snapshot().tables == {}
    result = database.commit_ingest(pickle.loads(pickle.dumps(operation)), pickle.loads(pickle.dumps(staged)))
    assert not result.replayed
    assert result.row_count == 2
    assert read(database, "T") == [(1, "x"), (2, "")]
    assert str(result.sequence) == database.cursor()
    assert staging(database) == []


def test_an_extent_knows_what_it_holds(database: Database) -> None:
    moment = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
    created = dt.datetime(2019, 5, 6, tzinfo=dt.timezone.utc)
    data = pa.table(
        {
            "i": pa.array([3, None, -1]),
            "r": [1.5, float("nan"), float("inf")],
            "s": ["b" * 100, "a", None],
            "t": pa.array([moment, moment + dt.timedelta(1), None]),
            "d": pa.array([{"x": 1}, None, None]),
            "b": [True, False, None],
        }
    )
    (extent,) = ingest(database, "T", data, tags=["x", "drop-by:1"], created_on=created).extents
    (again,) = Root.open(database.path.parent).database("NetDefaultDB").snapshot().table("T").extents
    assert again == extent
    assert again.tags == ("x", "drop-by:1")
    assert again.created_on == again.min_created_on == created
    assert (again.row_count, again.row_groups) == (3, (3,))
    assert again.size == os.path.getsize(again.path)
    assert again.original_size > 0
    integers, reals, strings, times, dynamic, bools = (again.statistics[i] for i in range(1, 7))
    assert (integers.minimum, integers.maximum, integers.null_count) == (-1, 3, 1)
    assert (reals.minimum, reals.maximum, reals.has_nan) == (1.5, float("inf"), True)
    assert strings.minimum == ""
    assert strings.maximum >= "b" * 64
    assert len(strings.maximum) == 64
    assert not strings.exact
    assert (times.minimum, times.maximum) == (moment, moment + dt.timedelta(1))
    assert (dynamic.minimum, dynamic.null_count) == (None, 2)
    assert (bools.minimum, bools.maximum) == (False, True)


def test_extents_keep_the_rules_of_their_files(database: Database) -> None:
    data = pa.table({"r": [1.0], "t": pa.array([1], pa.timestamp("us", tz="Asia/Tokyo")), "s": ["x"]})
    (extent,) = ingest(database, "T", data).extents
    with pq.ParquetFile(extent.path) as file:
        schema = file.schema_arrow
        assert [field.metadata[b"PARQUET:field_id"] for field in schema] == [b"1", b"2", b"3"]
        assert schema.field("t").type == pa.timestamp("us")
        group = file.metadata.row_group(0)
        assert group.column(0).statistics is None
        assert group.column(2).statistics.has_min_max
        assert group.column(0).compression == "ZSTD"


def test_files_roll_over_by_size_and_row_groups_by_rows(database: Database) -> None:
    data = pa.table({"a": list(range(10_000)), "b": [os.urandom(16).hex() for _ in range(10_000)]})
    result = ingest(database, "T", data, row_group_rows=1_000, target_bytes=50_000)
    assert len(result.extents) > 2
    assert all(set(extent.row_groups[:-1]) <= {1_000} for extent in result.extents)
    assert sum(extent.row_count for extent in result.extents) == 10_000
    assert read(database, "T", "a") == list(range(10_000))


def test_columns_are_found_by_name_and_may_be_left_out(database: Database) -> None:
    database.create_table("T", [Column("a", K.LONG), Column("b", K.STRING), Column("c", K.REAL)])
    operation = database.begin_ingest("T")
    staged = stage_batches(operation, pa.table({"c": [1.5], "a": [1]}).to_batches())
    database.commit_ingest(operation, staged)
    assert read(database, "T") == [(1, "", 1.5)]


def test_what_does_not_fit_is_refused_when_it_begins(database: Database) -> None:
    database.create_table("T", [Column("price", K.LONG)])
    with pytest.raises(EntityNotFoundError):
        database.begin_ingest("U")
    with pytest.raises(EntityNotFoundError, match="Did you mean 'price'"):
        database.begin_ingest("T", [Column("prise", K.LONG)])
    with pytest.raises(SchemaMismatchError, match="is long, not string"):
        database.begin_ingest("T", [Column("price", K.STRING)])
    with pytest.raises(SchemaMismatchError):
        database.begin_ingest("U", [Column("a", K.LONG), Column("a", K.LONG)], create=True)
    assert staging(database) == []


def test_a_task_that_fails_leaves_no_file(database: Database) -> None:
    operation = database.begin_ingest("T", [Column("a", K.INT)], create=True)
    good, bad = pa.record_batch({"a": [1]}), pa.record_batch({"a": [2**40]})
    with pytest.raises(TypeConversionError, match="Column 'a', row 1"):
        stage_batches(operation, [good, bad], row_group_rows=1)
    assert os.listdir(operation.staging) == [".lease"]
    database.commit_ingest(operation, stage_batches(operation, [good]))
    assert read(database, "T") == [1]


def test_no_rows_are_no_extent_but_create_the_table(database: Database) -> None:
    data = pa.table({"a": pa.array([], pa.int64())})
    result = ingest(database, "T", data)
    assert result.extents == ()
    assert database.snapshot().table("T").columns[0].name == "a"


def test_abort_removes_everything_and_the_commit_is_then_refused(database: Database) -> None:
    operation, staged = stage(database, "T", pa.table({"a": [1]}))
    assert database.abort_ingest(operation)
    assert database.abort_ingest(operation)
    assert staging(database) == []
    with pytest.raises(IngestConflictError, match="is aborted"):
        database.commit_ingest(operation, staged)
    with pytest.raises(IngestConflictError, match="is over"):
        stage_batches(operation, [pa.record_batch({"a": [1]})])
    assert files(database) == set()


def test_abort_after_the_commit_does_nothing(database: Database) -> None:
    operation, staged = stage(database, "T", pa.table({"a": [1]}))
    database.commit_ingest(operation, staged)
    assert not database.abort_ingest(operation)
    assert read(database, "T") == [1]


def test_a_commit_again_gives_the_first_result(database: Database) -> None:
    operation, staged = stage(database, "T", pa.table({"a": [1]}))
    first = database.commit_ingest(operation, staged)
    again = database.commit_ingest(operation, staged)
    assert again.replayed
    assert (again.sequence, again.extents) == (first.sequence, first.extents)
    assert read(database, "T") == [1]


def test_only_named_files_are_committed(database: Database) -> None:
    operation = database.begin_ingest("T", [Column("a", K.LONG)], create=True)
    attempts = [stage_batches(operation, [pa.record_batch({"a": [1]})]) for _ in range(3)]
    database.commit_ingest(operation, attempts[1])
    assert read(database, "T") == [1]
    assert files(database) == {f"{attempts[1][0].extent_id}.parquet"}


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_damaged_staged_file_stops_the_commit(database: Database, damage: str) -> None:
    operation, staged = stage(database, "T", pa.table({"a": [1]}))
    path = Path(staged[0].path)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptExtentError, match="nothing was committed") as caught:
        database.commit_ingest(operation, staged)
    assert caught.value.extent_id == staged[0].extent_id
    assert database.snapshot().tables == {}
    assert files(database) == set()


def test_a_file_named_twice_is_one_extent(root: Root, database: Database) -> None:
    operation, staged = stage(database, "T", pa.table({"a": [1, 2]}))
    database.commit_ingest(operation, [*staged, *staged])
    other = Root.open(root.path)
    assert read(other.database(database.name), "T") == [1, 2]
    other.close()


def test_files_of_another_operation_are_refused(database: Database) -> None:
    _, staged = stage(database, "T", pa.table({"a": [1]}))
    other = database.begin_ingest("T", [Column("a", K.LONG)], create=True)
    with pytest.raises(IngestConflictError):
        database.commit_ingest(other, staged)


# -- replay and idempotence -----------------------------------------------------------------------


def test_a_batch_is_stored_once(database: Database) -> None:
    first = ingest(database, "T", {"a": [1]}, writer_id="q1", batch_id=7)
    for batch in (7, 3):
        again = ingest(database, "T", {"a": [9]}, writer_id="q1", batch_id=batch)
        assert again.replayed
        assert (again.skipped, again.sequence) == ("batch", first.sequence)
    ingest(database, "T", {"a": [2]}, writer_id="q1", batch_id=8)
    ingest(database, "T", {"a": [3]}, writer_id="q2", batch_id=7)
    assert read(database, "T") == [1, 2, 3]
    assert [(m.writer_id, m.batch_id) for m in database.transaction_marks("T")] == [("q1", 8), ("q2", 7)]
    assert len(files(database)) == 3
    # An empty batch counts as well.
    ingest(database, "T", {"a": pa.array([], pa.int64())}, writer_id="q1", batch_id=9)
    assert ingest(database, "T", {"a": [5]}, writer_id="q1", batch_id=9).replayed


def test_ingest_by_tags(database: Database) -> None:
    ingest(database, "T", {"a": [1]}, tags=["ingest-by:x"], ingest_if_not_exists=["x"])
    again = ingest(database, "T", {"a": [2]}, tags=["ingest-by:x"], ingest_if_not_exists=["x"])
    assert again.skipped == "tag"
    ingest(database, "T", {"a": [3]}, ingest_if_not_exists=["y"])
    assert read(database, "T") == [1, 3]
    database.drop_extents([e.id for e in database.snapshot().table("T").extents if e.tags])
    assert not ingest(database, "T", {"a": [4]}, tags=["ingest-by:x"], ingest_if_not_exists=["x"]).replayed


# -- replace --------------------------------------------------------------------------------------


def test_replace_is_one_commit(database: Database) -> None:
    ingest(database, "T", {"a": [1]}, tags=["keep"])
    ingest(database, "T", {"a": [2]})

    def untagged(extent: Extent) -> bool:
        return not extent.tags

    result = ingest(database, "T", {"a": [3]}, replace_extents=untagged)
    assert len(result.removed) == 1
    assert read(database, "T") == [1, 3]
    ingest(database, "T", {"a": pa.array([], pa.int64())}, replace_extents="all")
    assert read(database, "T") == []


def test_replacing_rows_and_schema_together(database: Database) -> None:
    ingest(database, "T", {"a": [1], "b": ["x"]})
    ids = {c.name: c.id for c in database.snapshot().table("T").columns}
    ingest(database, "T", {"b": ["y"], "a": [0.5]}, recreate=True, replace_extents="all")
    assert [(c.name, c.type) for c in database.snapshot().table("T").columns] == [
        ("b", K.STRING),
        ("a", K.REAL),
    ]
    assert database.snapshot().table("T").column("b").id == ids["b"]
    assert database.snapshot().table("T").column("a").id not in ids.values()
    assert read(database, "T") == [("y", 0.5)]


# -- the table changes meanwhile ------------------------------------------------------------------


def test_columns_renamed_meanwhile_keep_their_values(database: Database) -> None:
    ingest(database, "T", {"a": [1], "b": ["x"]})
    operation, staged = stage(database, "T", pa.table({"a": [2], "b": ["y"]}))
    database.rename_column("T", "a", "z")
    database.drop_columns("T", ["b"])
    database.alter_merge_table("T", [Column("a", K.STRING)])
    database.commit_ingest(operation, staged)
    assert read(database, "T", "z", "a") == [(1, ""), (2, "")]


def test_a_table_dropped_meanwhile(database: Database) -> None:
    database.create_table("T", [Column("a", K.LONG)])
    operation = database.begin_ingest("T")
    staged = stage_batches(operation, [pa.record_batch({"a": [1]})])
    database.drop_table("T")
    with pytest.raises(IngestConflictError, match="was dropped"):
        database.commit_ingest(operation, staged)
    database.create_table("T", [Column("a", K.LONG)])
    with pytest.raises(IngestConflictError, match="replaced by another"):
        database.commit_ingest(operation, staged)
    assert files(database) == set()


def test_two_writers_may_create_one_table(database: Database) -> None:
    one, staged_one = stage(database, "T", pa.table({"a": [1], "b": ["x"]}))
    two, staged_two = stage(database, "T", pa.table({"b": ["y"], "a": [2]}))
    database.commit_ingest(one, staged_one)
    database.commit_ingest(two, staged_two)
    assert read(database, "T", "a", "b") == [(1, "x"), (2, "y")]
    three, staged_three = stage(database, "U", pa.table({"a": [1]}))
    ingest(database, "U", {"a": ["text"]})
    with pytest.raises(SchemaMismatchError, match="is string, not long"):
        database.commit_ingest(three, staged_three)


def test_two_writers_may_add_columns(database: Database) -> None:
    ingest(database, "T", {"a": [1]})
    one, staged_one = stage(database, "T", pa.table({"a": [2], "x": ["one"], "y": [1.5]}), extend=True)
    two, staged_two = stage(database, "T", pa.table({"y": [2.5], "z": ["two"], "a": [3]}), extend=True)
    database.commit_ingest(one, staged_one)
    database.commit_ingest(two, staged_two)
    assert read(database, "T", "a", "x", "y", "z") == [
        (1, "", None, ""),
        (2, "one", 1.5, ""),
        (3, "", 2.5, "two"),
    ]


def test_progress_is_stored_in_the_same_commit(database: Database) -> None:
    change = EntityChange("view", "", "v", {"through": "1"})
    ingest(database, "T", {"a": [1]}, entities=[change], writer_id="v", batch_id=1)
    ingest(database, "T", {"a": [1]}, entities=[EntityChange("view", "", "v", {})], writer_id="v", batch_id=1)
    stored = database.entity("view", "v")
    assert stored is not None
    assert stored.value == {"through": "1"}
    assert stored.sequence == database.snapshot().sequence


def test_threads_share_a_database(database: Database) -> None:
    database.create_table("T", [Column("a", K.LONG)])
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                ingest(database, "T", {"a": [number * 100 + step]})
                assert number * 100 + step in read(database, "T")
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(read(database, "T")) == 40


# -- full disks -----------------------------------------------------------------------------------


class Full:
    """Lets the n-th call fail as a full disk does."""

    def __init__(self, real: Any, after: int) -> None:
        self.real, self.left = real, after

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(*arguments, **options)


@pytest.mark.parametrize(("place", "after"), [("sync_file", 0), ("sync_folder", 0)])
def test_a_full_disk_commits_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, place: str, after: int
) -> None:
    ingest(database, "T", {"a": [1]})
    with monkeypatch.context() as patch:
        patch.setattr(fs, place, Full(getattr(fs, place), after))
        with pytest.raises(StorageFullError, match="No space left"):
            ingest(database, "T", {"a": [2]})
    assert read(database, "T") == [1]
    assert len(files(database)) == 1
    ingest(database, "T", {"a": [3]})
    assert read(database, "T") == [1, 3]


def test_a_disk_that_fills_while_parquet_is_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = database.begin_ingest("T", [Column("a", K.LONG)], create=True)
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", Full(None, 0))
        with pytest.raises(StorageFullError, match="free space"):
            stage_batches(operation, [pa.record_batch({"a": [1]})])
    assert os.listdir(operation.staging) == [".lease"]


def test_a_catalog_on_a_full_disk(database: Database) -> None:
    ingest(database, "T", {"a": [1]})
    with database.catalog.connected() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(200):
            database.create_table(f"T{number}", [Column("a" * 500, K.LONG)])

    with pytest.raises(StorageFullError, match="disk is full"):
        fill()
    with database.catalog.connected() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    assert read(database, "T") == [1]
    ingest(database, "T", {"a": [2]})
    assert read(database, "T") == [1, 2]


def test_reals_are_compressed_where_that_makes_them_smaller(database: Database) -> None:
    generator = random.Random(7)
    rows = 20_000
    data = {
        "noise": [generator.random() for _ in range(rows)],
        "steps": [number / 8 for number in range(rows)],
        "gaps": [None if number % 3 else generator.gauss(0, 1e6) for number in range(rows)],
        "absent": pa.nulls(rows, pa.float64()),
        "text": [f"row {number}" for number in range(rows)],
    }
    _, staged = stage(database, "T", pa.table(data))
    group = pq.ParquetFile(staged[0].path).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    kinds = {column.path_in_schema: column.compression for column in columns}
    assert kinds == {
        "noise": "UNCOMPRESSED",
        "steps": "ZSTD",
        "gaps": "UNCOMPRESSED",
        "absent": "ZSTD",
        "text": "ZSTD",
    }
