"""Extents: shown, dropped, moved, replaced, tagged, merged; rows deleted and purged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.client.result import Result
from spark_kusto.errors import EntityNotFoundError, KqlSemanticError, OptionError, SchemaMismatchError
from tests.engine.conftest import DATABASE

Run = Callable[..., Result]
Rows = Callable[..., list[tuple[Any, ...]]]


def _ingest(cluster: EmbeddedCluster, table: str, values: list[int], **options: Any) -> str:
    done = cluster.ingest(DATABASE, table, pa.table({"a": values}), create=True, **options)
    return done.extent_ids[0]


def _ids(run: Run, table: str) -> set[str]:
    return {str(row[0]) for row in run(f".show table {table} extents").rows}


def test_extents_are_shown_by_id_tag_and_number(cluster: EmbeddedCluster, run: Run) -> None:
    first = _ingest(cluster, "T", [1, 2], tags=["drop-by:A", "plain"])
    second = _ingest(cluster, "T", [3], tags=["drop-by:B"])
    shown = run(".show table T extents").rows
    assert [(str(row[0]), row[1], row[2], row[11], row[13]) for row in shown] == [
        (first, DATABASE, "T", 2, "drop-by:A\r\nplain"),
        (second, DATABASE, "T", 1, "drop-by:B"),
    ]

    def ids(rest: str) -> list[str]:
        return [str(row[0]) for row in run(f".show table T extents {rest}").rows]

    assert ids(f"({second})") == [second]
    assert ids("where tags has 'drop-by:a'") == [first]
    assert ids("where tags contains 'drop-by' and tags !has 'plain'") == [second]
    assert ids("""with (extentsShowFilteringRuntimePolicy='{"MaximumResultsCount":1}')""") == [first]
    assert run(".show database extents | count").rows == [(2,)]
    assert run(".show tables (T) extents | count").rows == [(2,)]
    assert run(".show table T extents hot | count").rows == [(2,)]


def test_extents_are_dropped_by_query_id_and_age(cluster: EmbeddedCluster, run: Run, rows: Rows) -> None:
    first = _ingest(cluster, "T", [1], creationTime="2020-01-01")
    second = _ingest(cluster, "T", [2])
    third = _ingest(cluster, "T", [3])
    assert [row[1] for row in run(".drop extents whatif <| .show table T extents").rows] == ["T"] * 3
    assert {str(r[0]) for r in run(".drop-pretend extents older 30 days from T").rows} == {first}
    assert {str(r[0]) for r in run(".drop extents older 30 days from all tables").rows} == {first}
    assert {str(r[0]) for r in run(f".drop extent {second} from T").rows} == {second}
    run(f".drop extents <| .show table T extents | where ExtentId == guid({third})")
    assert rows("T | count") == [(0,)]
    assert run(".drop extents <| .show table T extents").rows == []
    with pytest.raises(OptionError, match="ExtentId"):
        run(".drop extents <| .show tables")


def test_trimming_keeps_the_newest(cluster: EmbeddedCluster, run: Run, rows: Rows) -> None:
    for n in range(4):
        _ingest(cluster, "T", [n])
    size = run(".show table T extents | summarize max(ExtentSize)").rows[0][0]
    run(f".drop extents from T trim by extentsize {int(size * 2)} bytes")
    assert sorted(rows("T")) == [(2,), (3,)]
    run(".drop extents from T limit 1".replace("from T", "older 0 days from T"))
    assert rows("T") == [(3,)]


def test_moving_keeps_ids_tags_and_ingestion_time(cluster: EmbeddedCluster, run: Run, rows: Rows) -> None:
    moved = _ingest(cluster, "A", [1, 2], tags=["t"])
    _ingest(cluster, "B", [3])
    before = rows("A | project ingestion_time()")
    answer = run(".move extents all from table A to table B").rows
    assert [(row[0], row[1]) for row in answer] == [(moved, moved)]
    assert rows("A | count") == [(0,)]
    assert sorted(rows("B")) == [(1,), (2,), (3,)]
    assert rows("B | where a < 3 | project ingestion_time()") == before
    cursor = cluster.cursor(DATABASE)
    run(f".move async extents from table B to table A with (setNewIngestionTime=true) ({moved})")
    cluster.engine.operations.close()
    assert len(rows(f"A | where cursor_after('{cursor}')")) == 2


def test_moving_takes_two_with_clauses_and_a_query(cluster: EmbeddedCluster, run: Run, rows: Rows) -> None:
    _ingest(cluster, "Tmp", [1])
    _ingest(cluster, "T", [2])
    command = (
        ".move async extents to table T with(SetNewIngestionTime=true) "
        "with(extentCreatedOnFrom='2020-01-01', extentCreatedOnTo='2100-01-01') <| .show table Tmp extents "
        """with(extentsShowFilteringRuntimePolicy='{"MaximumResultsCount":10}');"""
    )
    operation = run(command).rows[0][0]
    cluster.engine.operations.close()
    assert run(f".show operations {operation} | project State, Status").rows == [("Completed", "")]
    assert len(run(f".show operation {operation} details").rows) == 1
    assert sorted(rows("T")) == [(1,), (2,)]


def test_a_move_that_does_not_fit_changes_nothing(cluster: EmbeddedCluster, run: Run, rows: Rows) -> None:
    _ingest(cluster, "A", [1])
    run(".create table B (b:long)")
    with pytest.raises(SchemaMismatchError, match="'a'"):
        run(".move extents all from table A to table B")
    with pytest.raises(EntityNotFoundError):
        run(".move extents from table A to table A2 (123e4567-e89b-12d3-a456-426614174000)")
    assert rows("A | count") == [(1,)]


def test_replacing_is_one_commit(cluster: EmbeddedCluster, run: Run, rows: Rows) -> None:
    _ingest(cluster, "T", [1], tags=["drop-by:old"])
    _ingest(cluster, "T", [2])
    _ingest(cluster, "New", [3])
    before = len(run(".show database NetDefaultDB journal").rows)
    run(
        ".replace extents in table T <| {.show table T extents where tags has 'drop-by:old'},"
        "{.show table New extents}"
    )
    assert sorted(rows("T")) == [(2,), (3,)]
    assert rows("New | count") == [(0,)]
    events = [row[0] for row in run(".show database NetDefaultDB journal").rows[before:]]
    assert events == ["REPLACE-EXTENTS"]


def test_tags_are_set_added_and_dropped(cluster: EmbeddedCluster, run: Run) -> None:
    _ingest(cluster, "T", [1], tags=["x"])

    def tags() -> str:
        return str(run(".show table T extents | project Tags").rows[0][0])

    run(".alter-merge table T extent tags ('y') <| .show table T extents")
    assert tags() == "x\r\ny"
    run(".alter table T extent tags ('a', 'b', 'c') <| .show table T extents")
    assert tags() == "a\r\nb\r\nc"
    run(".drop table T extent tags ('b')")
    assert tags() == "a\r\nc"
    run(
        ".drop async table T extent tags <| .show table T extents; $command_results"
        " | extend Tags = split(Tags, '\\r\\n')[0] | project ExtentId, Tags"
    )
    cluster.engine.operations.close()
    assert tags() == "c"


def test_merging_by_id(cluster: EmbeddedCluster, run: Run, rows: Rows) -> None:
    ids = [_ingest(cluster, "T", [n]) for n in range(3)]
    before = rows("T | project a, ingestion_time() | order by a asc")
    run(f".merge dryrun T ({ids[0]}, {ids[1]})")
    assert len(_ids(run, "T")) == 3
    answer = run(f".merge T ({ids[0]}, {ids[1]})").rows
    assert {row[0] for row in answer} == set(ids[:2])
    assert _ids(run, "T") == {answer[0][1], ids[2]}
    assert rows("T | project a, ingestion_time() | order by a asc") == before


# -- deletion -------------------------------------------------------------------------------------------


def test_deleting_rows_keeps_the_others_as_they_were(cluster: EmbeddedCluster, run: Run, rows: Rows) -> None:
    _ingest(cluster, "T", list(range(10)), tags=["drop-by:x"])
    _ingest(cluster, "T", list(range(10, 20)))
    _ingest(cluster, "T", [100, 101])
    before = dict(rows("T | project a, ingestion_time()"))
    preview = run(".delete table T records with (whatif=true) <| T | where a % 3 == 0").rows
    assert sum(row[2] for row in preview) == 7
    assert rows("T | count") == [(22,)]
    done = run(".delete table T records <| T | where a % 3 == 0 or a >= 100").rows
    assert sum(row[2] for row in done) == 9
    assert [row[1] == "" for row in done].count(True) == 1
    after = dict(rows("T | project a, ingestion_time()"))
    assert after == {a: moment for a, moment in before.items() if a % 3 and a < 100}
    assert run(".show table T extents | where Tags has 'drop-by:x' | project RowCount").rows == [(6,)]


def test_deletion_knows_extended_columns_and_refuses_what_loses_rows(
    cluster: EmbeddedCluster, run: Run, rows: Rows
) -> None:
    _ingest(cluster, "T", [1, 2, 3])
    run(".delete async table T records <| T | extend b = a * 2 | project b | where b == 4")
    cluster.engine.operations.close()
    assert sorted(rows("T")) == [(1,), (3,)]
    with pytest.raises(KqlSemanticError, match="no 'where'"):
        run(".delete table T records <| T")
    with pytest.raises(KqlSemanticError, match="summarize"):
        run(".delete table T records <| T | where a > 1 | summarize count()")
    with pytest.raises(KqlSemanticError, match="begin with the table"):
        run(".delete table T records <| U | where a > 1")


def test_purging_takes_two_steps_and_removes_the_files(
    cluster: EmbeddedCluster, run: Run, rows: Rows
) -> None:
    _ingest(cluster, "T", [1, 2, 3])
    folder = cluster.engine.database(DATABASE).extents_path
    old = {path.name for path in folder.iterdir()}
    count, _, token = run(".purge table T records <| where a == 2").rows[0]
    assert count == 1
    with pytest.raises(OptionError, match="token"):
        run(f".purge table T records with (verificationtoken='{token}') <| where a == 3")
    run(f".purge table T records with (verificationtoken='{token}') <| where a == 2")
    assert sorted(rows("T")) == [(1,), (3,)]
    assert not old & {path.name for path in folder.iterdir()}
    assert len(run(".show purges").rows) == 1
    run(".purge table T allrecords with (noregrets='true')")
    assert run(".show tables").rows == []
    assert list(Path(folder).iterdir()) == []
