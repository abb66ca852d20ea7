"""Joins keep their smaller side in memory, whichever side of the query it stands on."""

from __future__ import annotations

import pytest

from spark_kusto.kql.compiled import SqlStage
from tests.kql.executor import Database

BIG = [(i, f"k{i % 7}") for i in range(100)]
SMALL = 'datatable(k:string, v:long) ["k1", 10, "k2", 20, "none", 30]'

ROWS = {
    ("inner", "big"): 29,
    ("inner", "small"): 29,
    ("leftouter", "big"): 100,
    ("leftouter", "small"): 30,
    ("rightouter", "big"): 30,
    ("rightouter", "small"): 100,
    ("fullouter", "big"): 101,
    ("fullouter", "small"): 101,
    ("leftsemi", "big"): 29,
    ("leftsemi", "small"): 2,
    ("rightanti", "big"): 1,
    ("rightanti", "small"): 71,
}


@pytest.fixture(scope="module")
def tables() -> Database:
    return Database({"Big": ([("id", "long"), ("k", "string")], BIG)})


def _query(kind: str, first: str) -> str:
    left, right = ("Big", SMALL) if first == "big" else (SMALL, "Big")
    return f"{left} | join kind={kind} ({right}) on k"


@pytest.mark.parametrize(("kind", "first"), ROWS)
def test_rows(tables: Database, kind: str, first: str) -> None:
    assert len(tables.rows(_query(kind, first))) == ROWS[kind, first]


@pytest.mark.parametrize(
    ("kind", "first"), [key for key in ROWS if key[0] in ("inner", "leftouter", "fullouter")]
)
def test_side_in_memory(tables: Database, kind: str, first: str) -> None:
    """DuckDB keeps what stands right of JOIN; it is told not to choose for itself."""
    (stage,) = tables.compile(_query(kind, first)).stages
    assert isinstance(stage, SqlStage)
    left, _, right = stage.sql.partition(" JOIN ")
    assert "scan_0" in left
    assert "VALUES" in right


def test_absent_texts_are_empty_after_an_exchange(tables: Database) -> None:
    rows = tables.rows(f"{SMALL} | join kind=leftouter Big on k | where v == 30 | project id, k1")
    assert rows == [(None, "")]
