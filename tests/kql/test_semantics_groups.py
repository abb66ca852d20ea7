"""Subqueries for each row, key or part of a graph, whatever operators they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import spark_kusto
from spark_kusto.client import read_scan
from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql.compiled import EachStage, SqlStage
from tests.kql.executor import Database

PURCHASES = (
    [("Id", "long"), ("Shop", "string"), ("Amounts", "dynamic"), ("Facts", "dynamic")],
    [
        (1, "north", [3, 1, 2], {"size": 1}),
        (2, "south", [10, 20], {"size": 2, "colour": "red"}),
        (3, "north", [], {"colour": "blue"}),
        (4, "", None, None),
    ],
)
DATABASE = Database(
    {"P": PURCHASES, "Shops": ([("Shop", "string"), ("Town", "string")], [("north", "Oslo")])}
)


def rows(query: str) -> list[tuple[Any, ...]]:
    return sorted(DATABASE.rows(query), key=repr)


RUNNING = "scan declare (total:long = 0) with (step s: true => total = amount + s.total;)"

OF_ROWS: dict[str, list[tuple[Any, ...]]] = {
    RUNNING: [(1, 1, 4), (1, 2, 6), (1, 3, 3), (2, 10, 10), (2, 20, 30), (4, None, None)],
    f"sort by amount asc | {RUNNING} | summarize last = max(total)": [(1, 6), (2, 30), (3, None), (4, None)],
    "sample 1 | count": [(1, 1), (2, 1), (3, 0), (4, 1)],
    "partition by amount (summarize n = count())": [(1, 1), (1, 1), (1, 1), (2, 1), (2, 1), (4, 1)],
    "as A | union A | summarize twice = sum(amount)": [(1, 12), (2, 60), (3, 0), (4, 0)],
    """project k = strcat('k', amount), Id | evaluate pivot(k, count(), Id)
    | project n = column_ifexists('k20', 9)""": [(1, 0), (2, 1), (4, 0)],
    """where amount > 1 | mv-apply x = pack_array(amount, Id) to typeof(long)
    on (sample 5 | summarize s = sum(x)) | project s""": [(1, 3), (1, 4), (2, 12), (2, 22)],
}


@pytest.mark.parametrize("subquery", OF_ROWS)
def test_for_each_row(subquery: str) -> None:
    query = f"P | project Id, Amounts | mv-apply amount = Amounts to typeof(long) on ({subquery})"
    assert rows(f"{query} | project-away Amounts") == sorted(OF_ROWS[subquery], key=repr)


def test_columns_of_the_row_stand_beside_the_results() -> None:
    query = """P | where Id == 2
    | mv-apply Amounts to typeof(long) on (sample 9 | summarize n = count(), any(Shop))"""
    columns, types, found = DATABASE.query(query)
    assert columns == ["Id", "Shop", "Facts", "n", "any_Shop"]
    assert types == ["long", "string", "dynamic", "long", "string"]
    assert found == [(2, "south", {"size": 2, "colour": "red"}, 2, "south")]


OF_KEYS: dict[str, list[tuple[Any, ...]]] = {
    "sample 9 | summarize n = count() by Shop": [("", 1), ("north", 2), ("south", 1)],
    "project Shop, Facts | evaluate bag_unpack(Facts)": [
        ("", "", None),
        ("north", "", 1),
        ("north", "blue", None),
        ("south", "red", 2),
    ],
    """sort by Id desc | scan declare (n:long = 0) with (step s: true => n = s.n + 1;)
    | project Id, n""": [(1, 2), (2, 1), (3, 1), (4, 1)],
}


@pytest.mark.parametrize("subquery", OF_KEYS)
def test_for_each_key(subquery: str) -> None:
    assert rows(f"P | partition by Shop ({subquery})") == sorted(OF_KEYS[subquery], key=repr)


def test_the_old_form_of_partition_names_the_key() -> None:
    query = "P | partition by Shop { Shops | where Shop == toscalar(Shop) | sample 3 | project Town }"
    assert rows(query) == [("Oslo",)] * 3
    assert rows("P | where Id > 99 | partition by Shop (sample 2)") == []


def test_hundreds_of_groups() -> None:
    query = "range x from 1 to 200 step 1 | partition by x (sample 1 | summarize n = count())"
    assert rows(f"{query} | summarize sum(n)") == [(200,)]


def test_what_does_not_read_the_group_runs_once() -> None:
    query = """P | partition by Shop (sample 9 | extend Best = toscalar(
        P | project Shop | evaluate autocluster() | summarize max(Count)) | project Best)"""
    compiled = DATABASE.compile(query)
    (each,) = [stage for stage in compiled.stages if isinstance(stage, EachStage)]
    assert all(isinstance(stage, SqlStage) for stage in each.stages)
    assert rows(query) == [(2,)] * 4


EDGES = """
let edges = datatable(src:string, dst:string, tenant:string)
    ["a", "b", "t1", "b", "c", "t1", "a", "b", "t2", "b", "d", "t2", "c", "e", "t2"];
let nodes = datatable(id:string, tenant:string, label:string)
    ["a", "t1", "A1", "b", "t1", "B1", "c", "t1", "C1",
     "a", "t2", "A2", "b", "t2", "B2", "d", "t2", "D2", "z", "t3", "Z"];
edges | make-graph src --> dst
"""

OF_GRAPHS: dict[str, list[tuple[Any, ...]]] = {
    """with nodes on id partitioned-by tenant (
        graph-match (x)-[e*1..3]->(y) where x.id == 'a' project x.label, y.label
    )""": [("A1", "B1"), ("A1", "C1"), ("A2", "B2"), ("A2", "D2")],
    # Ends of edges without a node of their own have no tenant.
    "with nodes on id partitioned-by tenant (graph-to-table nodes | summarize count() by tenant)": [
        ("", 2),
        ("t1", 3),
        ("t2", 3),
        ("t3", 1),
    ],
    """with_node_id=id partitioned-by tenant (graph-mark-components | graph-to-table nodes
    | summarize n = dcount(ComponentId), nodes = count())""": [(1, 3), (2, 5)],
    """with_node_id=id partitioned-by tenant (
        graph-shortest-paths (x)-[e*1..5]->(y) where x.id == 'a' project y.id, hops = array_length(e)
    )""": [("b", 1), ("b", 1), ("c", 2), ("d", 2)],
}


@pytest.mark.parametrize("query", OF_GRAPHS)
def test_for_each_part_of_a_graph(query: str) -> None:
    assert rows(f"{EDGES} {query}") == sorted(OF_GRAPHS[query], key=repr)


def test_parts_of_a_graph_must_become_tables() -> None:
    with pytest.raises(KqlSemanticError, match="must give a table"):
        DATABASE.compile(f"{EDGES} with_node_id=id partitioned-by tenant (graph-where-nodes true)")


def test_on_a_cluster(tmp_path: Path) -> None:
    with spark_kusto.connect(tmp_path / "cluster") as cluster:
        cluster.execute("NetDefaultDB", ".create table P (Id:long, Shop:string, Amounts:dynamic)")
        data = '1,north,"[3,1,2]"\n2,south,"[10,20]"\n3,north,"[]"'
        cluster.execute("NetDefaultDB", f".ingest inline into table P <| {data}")
        query = f"""P | mv-apply amount = Amounts to typeof(long) on ({RUNNING} | summarize max(total))
        | project Id, max_total"""
        found = cluster.query("NetDefaultDB", query).rows
        assert sorted(found, key=repr) == [(1, 6), (2, 30), (3, None)]
        query = "P | partition by Shop (sample 9 | summarize n = count() by Shop)"
        assert sorted(cluster.query("NetDefaultDB", query).rows) == [("north", 2), ("south", 1)]
        assert "for each" in cluster.explain("NetDefaultDB", query)
        (task,) = cluster.plan_scan("NetDefaultDB", query, parallelism=2).tasks
        read = [row for batch in read_scan(task) for row in batch.to_pylist()]
        assert sorted(read, key=repr) == [{"Shop": "north", "n": 2}, {"Shop": "south", "n": 1}]
