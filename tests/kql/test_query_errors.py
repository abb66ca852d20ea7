"""Errors and limits of queries on a cluster: codes, places, the nearest name, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import spark_kusto
from spark_kusto.errors import KqlSemanticError, KqlSyntaxError, KustoError, QueryLimitError

DATABASE = "NetDefaultDB"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[spark_kusto.Cluster]:
    opened = spark_kusto.connect(tmp_path_factory.mktemp("errors"))
    opened.execute(
        DATABASE, ".create table Events (State:string, Started:datetime, Damage:long, Extra:dynamic)"
    )
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("query", "code", "named"),
    [
        ("Events | where Stat == 'x'", "SEM0100", "'State'"),
        ("Events | project Damagee", "SEM0100", "'Damage'"),
        ("Event | count", "SEM0100", "'Events'"),
        ("Events | extend x = strlenn(State)", "SEM0260", "'strlen'"),
        ("Events | summarize summ(Damage)", "SEM0260", "'sum'"),
        ("Events | where State == Damage", "SEM0064", "string and long"),
        ("Events | where Started > 5 * State", "SEM0064", "long and string"),
        ("Events | extend x = Started + Started", "SEM0064", "datetime"),
        ("Events | where State", "SEM", "bool"),
        ("Events | summarize count() by Extra", "SEM", "dynamic"),
        ("print datetime(2024-13-45)", "SEM0011", "2024-13-45"),
    ],
)
def test_semantic(cluster: spark_kusto.Cluster, query: str, code: str, named: str) -> None:
    with pytest.raises(KqlSemanticError) as caught:
        cluster.query(DATABASE, query)
    text = str(caught.value)
    assert code in text
    assert named in text
    assert caught.value.line == 1
    assert caught.value.column is not None
    assert "^" in text


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("print strlen()", "strlen("),
        ("print strlen(1, 2)", "strlen("),
        ("print datetime_add('fortnight', 1, now())", "fortnight"),
        ("Events | take 'x'", "take"),
        ("Events | join (Events) on Nothing", "Nothing"),
        ("Events | union Nothing", "Nothing"),
        ("Events | invoke nothing()", "nothing"),
        ("Events | evaluate nothing()", "nothing"),
        ("evaluate http_request('https://example.org')", "http_request"),
        ("Events | evaluate python(typeof(*), 'x')", "python"),
        ("let f = (a:long) { a }; print f('x')", "f"),
        ("declare query_parameters(p:long); print p", "'p'"),
    ],
)
def test_explained(cluster: spark_kusto.Cluster, query: str, part: str) -> None:
    with pytest.raises(KustoError, match=part.replace("(", r"\(")):
        cluster.query(DATABASE, query)


def test_syntax(cluster: spark_kusto.Cluster) -> None:
    with pytest.raises(KqlSyntaxError) as caught:
        cluster.query(DATABASE, "Events\n| where State = 'x'\n| count")
    assert caught.value.line == 2
    assert "^" in str(caught.value)


def test_deep_nesting_is_an_error(cluster: spark_kusto.Cluster) -> None:
    with pytest.raises(KqlSyntaxError):
        cluster.query(DATABASE, f"print {'(' * 10_000}1{')' * 10_000}")


# -- limits: https://learn.microsoft.com/kusto/concepts/query-limits


def test_too_many_rows(cluster: spark_kusto.Cluster) -> None:
    assert len(cluster.query(DATABASE, "range i from 1 to 500000 step 1")) == 500_000
    with pytest.raises(QueryLimitError, match=r"80DA0003.*500000.*E_QUERY_RESULT_SET_TOO_LARGE"):
        cluster.query(DATABASE, "range i from 1 to 500001 step 1").to_arrow()


def test_too_many_bytes(cluster: spark_kusto.Cluster) -> None:
    query = "range i from 1 to 70000 step 1 | extend s = strcat(i, strrep('x', 1000))"
    with pytest.raises(QueryLimitError, match=r"80DA0003.*64 MB.*E_QUERY_RESULT_SET_TOO_LARGE"):
        cluster.query(DATABASE, query).to_arrow()
    assert len(cluster.query(DATABASE, f"set notruncation; {query}")) == 70_000


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        ("set truncationmaxrecords = 10; ", {}),
        ("", {"truncationmaxrecords": 10}),
        ("set truncationmaxsize = 20; ", {}),
    ],
)
def test_own_limits(cluster: spark_kusto.Cluster, text: str, properties: dict[str, object]) -> None:
    with pytest.raises(QueryLimitError, match="E_QUERY_RESULT_SET_TOO_LARGE"):
        cluster.query(DATABASE, f"{text}range i from 1 to 100 step 1", properties=properties).to_arrow()


@pytest.mark.parametrize("lifted", [True, False])
def test_notruncation(cluster: spark_kusto.Cluster, lifted: bool) -> None:
    query = "range i from 1 to 600000 step 1"
    properties = {"notruncation": True} if lifted else None
    text = query if lifted else f"set notruncation; {query}"
    assert len(cluster.query(DATABASE, text, properties=properties)) == 600_000


def test_take_max_records(cluster: spark_kusto.Cluster) -> None:
    assert len(cluster.query(DATABASE, "set query_take_max_records = 7; range i from 1 to 100 step 1")) == 7


def test_timeout(cluster: spark_kusto.Cluster) -> None:
    slow = "range i from 1 to 100000 step 1 | extend j = 1 | join kind=inner (range i from 1 to 100000 step 1"
    slow = f"{slow} | extend j = 1) on j | summarize sum(i * i1 % 7)"
    with pytest.raises(KustoError, match=r"(?i)timeout|timed out|time"):
        cluster.query(DATABASE, slow, properties={"servertimeout": "00:00:01"}).to_arrow()
