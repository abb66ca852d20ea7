"""Tables and columns: every change one commit, old extents read right, snapshots stay true."""

from __future__ import annotations

import datetime as dt
import pickle

import pytest

from spark_kusto.errors import (
    EntityExistsError,
    EntityNotFoundError,
    OptionError,
    SchemaMismatchError,
    SnapshotExpiredError,
)
from spark_kusto.storage import ChangeContext, Database, EntityChange, Root, StoredColumn
from spark_kusto.types import Column, KustoType
from tests.storage.rows import ingest, read

K = KustoType
A, B, C = Column("a", K.LONG), Column("b", K.STRING), Column("c", K.REAL)


def names(database: Database, table: str = "T") -> list[str]:
    return [column.name for column in database.snapshot().table(table).columns]


def test_create_and_drop(database: Database) -> None:
    table = database.create_table("T", [A, B], folder="f", docstring="d")
    assert (table.name, table.folder, table.docstring) == ("T", "f", "d")
    assert [c.column for c in table.columns] == [A, B]
    with pytest.raises(EntityExistsError, match="Table 'T' already exists"):
        database.create_table("T", [C])
    assert database.create_table("T", [C], if_not_exists=True) == table
    dropped = database.drop_table("T")
    assert dropped is not None
    assert dropped.id == table.id
    assert database.drop_table("T", if_exists=True) is None
    with pytest.raises(EntityNotFoundError):
        database.drop_table("T")
    again = database.create_table("T", [A])
    assert again.id != table.id


def test_a_missing_table_offers_the_nearest(database: Database) -> None:
    database.create_table("StormEvents", [A])
    with pytest.raises(EntityNotFoundError, match="Did you mean 'StormEvents'"):
        database.snapshot().table("StromEvents")
    with pytest.raises(EntityNotFoundError, match="Did you mean 'a'"):
        database.snapshot().table("StormEvents").column("A")


@pytest.mark.parametrize("columns", [[], [A, A]])
def test_impossible_schemas_are_refused(database: Database, columns: list[Column]) -> None:
    with pytest.raises(SchemaMismatchError):
        database.create_table("T", columns)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 1025])
def test_impossible_names_are_refused(database: Database, name: str) -> None:
    with pytest.raises(OptionError):
        database.create_table(name, [A])
    with pytest.raises(OptionError):
        database.create_table("T", [Column(name, K.LONG)])


def test_names_of_all_kinds_work(database: Database) -> None:
    name = 'we\'ird "näme" [x]\\;--'
    database.create_table(name, [Column(name, K.STRING)])
    ingest(database, name, {name: ["v"]})
    assert read(database, name) == ["v"]


def test_alter_keeps_columns_of_the_same_name_and_type(database: Database) -> None:
    ingest(database, "T", {"a": [1], "b": ["x"]})
    database.alter_table("T", [B, C])
    assert names(database) == ["b", "c"]
    assert read(database, "T") == [("x", None)]
    with pytest.raises(SchemaMismatchError, match="Column 'b' of table 'T' is string, not long"):
        database.alter_table("T", [Column("b", K.LONG)])


def test_alter_merge_adds_at_the_end(database: Database) -> None:
    ingest(database, "T", {"a": [1]})
    database.alter_merge_table("T", [C, A], folder="g")
    assert names(database) == ["a", "c"]
    assert database.snapshot().table("T").folder == "g"
    sequence = database.snapshot().sequence
    database.alter_merge_table("T", [A])
    assert database.snapshot().sequence == sequence  # nothing to change is no commit


def test_rename_drop_add_and_re_add_of_columns_over_old_extents(database: Database) -> None:
    ingest(database, "T", {"a": [1, 2], "b": ["x", "y"]})
    database.rename_column("T", "a", "aa")
    database.drop_columns("T", ["b"])
    ingest(database, "T", {"aa": [3]})
    database.alter_merge_table("T", [Column("b", K.STRING), Column("a", K.REAL)])
    ingest(database, "T", {"aa": [4], "b": ["new"], "a": [0.5]})
    assert names(database) == ["aa", "b", "a"]
    assert read(database, "T") == [(1, "", None), (2, "", None), (3, "", None), (4, "new", 0.5)]
    # Names change places: each keeps its values.
    database.rename_columns("T", {"aa": "a", "a": "aa"})
    assert read(database, "T", "a", "aa") == [(1, None), (2, None), (3, None), (4, 0.5)]
    assert read(database, "T", "a", where="c0 > 3") == [4]


def test_a_column_with_another_type_starts_empty(database: Database) -> None:
    ingest(database, "T", {"a": [1]})
    database.alter_column_type("T", "a", K.STRING)
    ingest(database, "T", {"a": ["x"]})
    assert read(database, "T") == ["", "x"]
    before = database.snapshot().sequence
    database.alter_column_type("T", "a", K.STRING)
    assert database.snapshot().sequence == before


def test_columns_may_be_described(database: Database) -> None:
    database.create_table("T", [A, B])
    database.set_column_docstrings("T", {"a": "first"})
    database.set_column_docstrings("T", {"b": "second"})
    assert [c.docstring for c in database.snapshot().table("T").columns] == ["first", "second"]
    database.set_column_docstrings("T", {"b": "only"}, merge=False)
    assert [c.docstring for c in database.snapshot().table("T").columns] == ["", "only"]
    with pytest.raises(EntityNotFoundError):
        database.set_column_docstrings("T", {"x": "?"})


def test_renaming_tables_all_at_once(database: Database) -> None:
    for name in ("One", "Two", "Three"):
        database.create_table(name, [A])
    one, two = database.snapshot().table("One").id, database.snapshot().table("Two").id
    database.rename_tables({"One": "Two", "Two": "One"})
    assert (database.snapshot().table("One").id, database.snapshot().table("Two").id) == (two, one)
    with pytest.raises(EntityExistsError):
        database.rename_tables({"One": "Three"})
    with pytest.raises(EntityNotFoundError):
        database.rename_tables({"None": "Four"})
    with pytest.raises(OptionError):
        database.rename_tables({"One": "X", "Two": "X"})
    assert sorted(database.snapshot().tables) == ["One", "Three", "Two"]


def test_details_and_settings(database: Database) -> None:
    database.create_table("T", [A])
    table = database.alter_table_details("T", folder="x/y", hidden=True, properties={"k": [1]}, kind="view")
    assert (table.folder, table.hidden, table.properties, table.kind) == ("x/y", True, {"k": [1]}, "view")


# -- snapshots ------------------------------------------------------------------------------------


def test_a_snapshot_stays_true_and_travels(database: Database) -> None:
    ingest(database, "T", {"a": [1]})
    before = pickle.loads(pickle.dumps(database.snapshot()))
    ingest(database, "T", {"a": [2]}, replace_extents="all")
    database.rename_column("T", "a", "b")
    database.drop_table("T")
    assert read(before, "T", "a") == [1]
    assert before == database.snapshot(before.sequence)
    assert read(database.snapshot(before.sequence), "T", "a") == [1]


def test_every_moment_can_be_read_again(database: Database) -> None:
    moments = []
    for value in range(5):
        ingest(database, "T", {"a": [value]})
        moments.append(database.snapshot())
    database.drop_extents([moments[2].table("T").extents[0].id])
    moments.append(database.snapshot())
    fresh = Root.open(database.path.parent).database(database.name)
    for moment in moments:
        assert fresh.snapshot(moment.sequence) == moment
        # A number of ticks between two commits stands for the commit before it.
        assert fresh.snapshot(moment.sequence + 1).tables == moment.tables
    assert fresh.snapshot() == moments[-1]
    assert fresh.snapshot(moments[0].sequence - 1).tables == {}
    assert fresh.snapshot(2**62) == moments[-1]


def test_a_snapshot_costs_nothing_when_nothing_changed(database: Database) -> None:
    database.create_table("T", [A])
    assert database.snapshot() is database.snapshot()


def test_what_others_commit_is_seen(database: Database) -> None:
    other = Root.open(database.path.parent).database(database.name)
    database.create_table("T", [A])
    other.snapshot()
    ingest(database, "T", {"a": [1]})
    database.rename_column("T", "a", "b")
    ingest(other, "T", {"b": [2]})
    ingest(database, "U", {"x": [1]})
    database.drop_extents([database.snapshot().table("T").extents[0].id])
    assert other.snapshot() == database.snapshot()
    assert other.snapshot().table("U") == database.snapshot().table("U")
    assert read(other, "T") == [2]


def test_the_cursor_rises_with_every_commit_even_if_the_clock_stands(database: Database) -> None:
    stopped = Root.open(database.path.parent, clock=lambda: 1).database(database.name)
    cursors = [int(stopped.cursor())]
    stopped.create_table("T", [A])
    for _ in range(3):
        cursors.append(int(stopped.cursor()))
        ingest(stopped, "T", {"a": [1]})
    cursors.append(int(stopped.cursor()))
    assert cursors == sorted(set(cursors))


def test_an_old_snapshot_expires_with_its_files(database: Database) -> None:
    ingest(database, "T", {"a": [1]})
    old = database.snapshot()
    ingest(database, "T", {"a": [2]}, replace_extents="all")
    new = database.snapshot()
    now = dt.datetime.now(dt.timezone.utc)
    assert database.sweep(now + dt.timedelta(hours=3)).extents == ()
    assert read(database.snapshot(old.sequence), "T") == [1]
    assert database.sweep(now + dt.timedelta(hours=5)).extents == (old.table("T").extents[0].id,)
    with pytest.raises(SnapshotExpiredError, match="can no longer be read"):
        database.snapshot(old.sequence)
    assert database.snapshot(new.sequence) == new
    assert read(database, "T") == [2]


def test_a_process_that_slept_through_a_sweep_catches_up(database: Database) -> None:
    sleeper = Root.open(database.path.parent).database(database.name)
    ingest(database, "T", {"a": [1]})
    ingest(database, "Gone", {"a": [1]})
    assert read(sleeper, "T") == [1]
    ingest(database, "T", {"a": [2]}, replace_extents="all")
    database.drop_table("Gone")
    database.sweep(dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=30))
    assert read(sleeper, "T") == [2]
    assert sleeper.snapshot() == database.snapshot()


# -- journal and stored entities ------------------------------------------------------------------


def test_every_change_is_journalled_with_who_and_how(database: Database) -> None:
    context = ChangeContext(
        command='.create table T (a:long) // h"secret"', principal="aaduser=me", user="me"
    )
    database.create_table("T", [A], context=context)
    database.rename_tables({"T": "U"})
    ingest(database, "U", {"a": [1]})
    database.clear_table("U")
    database.drop_table("U")
    entries = database.journal()
    assert [entry.event for entry in entries] == [
        "CREATE-TABLE",
        "RENAME-TABLE",
        "INGEST",
        "CLEAR-TABLE-DATA",
        "DROP-TABLE",
    ]
    assert entries[0].context.principal == "aaduser=me"
    assert "secret" not in entries[0].context.command
    assert (entries[1].entity_name, entries[1].updated_entity_name) == ("T", "U")
    assert entries[2].updated_state == "1 rows in 1 extents"
    assert [e.sequence for e in database.journal(after=entries[2].sequence)] == [
        e.sequence for e in entries[3:]
    ]
    assert database.journal(limit=1) == entries[-1:]


def test_entities_are_stored_by_kind_owner_and_name(database: Database) -> None:
    table = database.create_table("T", [A])
    database.change_entities(
        [
            EntityChange("function", "", "f", {"body": "{ 1 }"}),
            EntityChange("mapping/csv", table.id, "m", [1, 2]),
            EntityChange("mapping/json", table.id, "m", {}),
        ],
        event="CREATE-FUNCTION",
        entity="f",
    )
    function = database.entity("function", "f")
    assert function is not None
    assert function.value == {"body": "{ 1 }"}
    assert [e.kind for e in database.entities("mapping/", owner=table.id)] == ["mapping/csv", "mapping/json"]
    database.change_entities([EntityChange("function", "", "f", None)], event="DROP-FUNCTION", entity="f")
    assert database.entities("function") == ()
    database.drop_table("T")
    assert database.entities("mapping/") == ()


def test_stored_columns_compare_by_value() -> None:
    assert StoredColumn(1, "a", K.LONG).column == A


def test_an_interrupted_look_at_commits_leaves_nothing_behind(
    root: Root, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.create_table("T", [A])
    ingest(database, "T", {"a": [1]})
    assert database.snapshot().table("T").row_count == 1
    other = Root.open(root.path)
    other.database(database.name).clear_table("T")
    ingest(other.database(database.name), "T", {"a": [2, 3]})
    other.close()

    def interrupted(row: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(database, "_extent", interrupted)
        with pytest.raises(KeyboardInterrupt):
            database.snapshot()
    assert database.snapshot().table("T").row_count == 2
