"""Filters that DuckDB evaluates inside a scan mean what they mean outside it, whatever the files lack."""

from __future__ import annotations

import pytest

from spark_kusto import Cluster, connect
from spark_kusto.engine.running import with_relations

DATABASE = "NetDefaultDB"

FILTERS = (
    "n % 3 == 1",
    "n % 2 == 0 and added > 15",
    "added % 10 == 5",
    "isnull(added)",
    "isnotnull(added) and added % 2 == 0",
    "added != 15",
    "strlen(text) > 2",
    "isempty(text)",
    "text contains 'w'",
    "text has 'two' or n == 1",
    "text matches regex '^t'",
    "renamed % 2 == 1",
    "renamed + added > 20",
    "coalesce(added, 0) == 0",
    "iff(n > 2, renamed > 1, added > 0)",
    "tostring(when) has '2024'",
    "when > datetime(2024-01-02) and n % 2 == 0",
    "ingestion_time() > datetime(2000-01-01) and n % 2 == 1",
    "bag.a > 1",
    "real_ * 2 > 3",
    "isnan(real_)",
    "not(n % 2 == 0)",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A table whose extents differ: the first is merged, so that it is read in another way than the others,
    the early ones lack columns that came later, and have one that is gone."""
    opened = connect(tmp_path_factory.mktemp("filters") / "cluster")

    def run(command: str) -> None:
        opened.execute(DATABASE, command)

    run(".create table T (n: long, old: int, gone: string, when: datetime)")
    early = "1,1,x,2024-01-01\n2,2,y,2024-01-02\n3,3,z,2024-01-03\n4,,w,\n5,5,,2023-01-01"
    run(f".ingest inline into table T <|\n{early}")
    run(".ingest inline into table T <|\n10,10,v,2024-03-01\n11,,u,")
    extents = opened.execute(DATABASE, ".show table T extents | project ExtentId").rows
    run(f".merge T ({', '.join(str(row[0]) for row in extents)})")
    run(".rename column T.old to renamed")
    run(".drop column T.gone")
    run(".alter-merge table T (added: long, text: string, bag: dynamic, real_: real)")
    run(
        '.ingest inline into table T <|\n6,6,2024-02-01,15,"one two","{""a"":1}",1.5\n'
        '7,7,2024-02-02,25,"three","{""a"":2}",nan\n8,8,,,"",,\n9,9,2024-02-03,16,"tw",,2.5'
    )
    return opened


@pytest.mark.parametrize("condition", FILTERS)
@pytest.mark.parametrize("tail", ["project n", "order by n asc | project n", "take 100 | project n"])
def test_a_filter_keeps_the_same_rows_inside_a_scan_and_outside(
    cluster: Cluster, condition: str, tail: str
) -> None:
    inside = cluster.query(DATABASE, f"T | where {condition} | {tail}").rows
    if "ingestion_time" in condition:
        assert sorted(row[0] for row in inside) == [1, 3, 5, 7, 9, 11]
        return
    outside = cluster.query(DATABASE, f"let M = materialize(T); M | where {condition} | {tail}").rows
    assert sorted(inside) == sorted(outside)


def test_a_scan_stands_in_the_statement_only_where_it_is_read() -> None:
    scan = ("scan_0", "FROM read_parquet(['x'])")
    assert with_relations("SELECT 'FROM scan_0' FROM scan_0 WHERE c1", [scan]) == (
        "SELECT 'FROM scan_0' FROM read_parquet(['x']) AS scan_0 WHERE c1"
    )
    for twice in ("SELECT c1 FROM scan_0 UNION ALL SELECT c1 FROM scan_0", "SELECT 1 FROM scan_0 AS e"):
        assert with_relations(twice, [scan]) == f"WITH scan_0 AS NOT MATERIALIZED ({scan[1]}) {twice}"
    derived = ("scan_0", "SELECT c1 FROM read_parquet(['x']) WHERE c1 > 3")
    assert with_relations("SELECT c1 FROM scan_0", [derived]).startswith("WITH scan_0 AS NOT MATERIALIZED (")
