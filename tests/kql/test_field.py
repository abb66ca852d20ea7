"""Queries as people publish them for hunting, detection and monitoring bind and run on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import spark_kusto
from spark_kusto import kql
from spark_kusto.errors import KqlSemanticError
from tests.kql.executor import NOW
from tests.kql.field_tables import FOLDER, SCHEMAS, field_arrow, field_queries
from tests.kql.published import QUERIES

DATABASE = "NetDefaultDB"
FIELD_QUERIES = field_queries()
FORMS = (FOLDER / "forms.txt").read_text(encoding="utf-8").rstrip("\n").split("\n---\n")
"""Forms that a parser must accept, one after another: odd, but written."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[spark_kusto.Cluster]:
    opened = spark_kusto.connect(tmp_path_factory.mktemp("field"))
    for name, columns in SCHEMAS.items():
        declared = ", ".join(f"['{column}']:{kind}" for column, kind in columns)
        opened.execute(DATABASE, f".create table {name} ({declared})")
        opened.ingest(DATABASE, name, field_arrow(name))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("feeds")
    feed, lines = folder / "feed.csv", folder / "lines.txt"
    feed.write_text("Address,Added,Score\n203.0.113.9,2024-05-01,90\n10.1.2.3,2024-05-02,10\n")
    lines.write_text("not a hash\nABCDEF0123456789\n")
    return {"feed": feed, "lines": lines}


def test_enough() -> None:
    assert len(FIELD_QUERIES) + len(QUERIES) >= 185
    assert len(FORMS) >= 200


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_forms_parse(ending: str, mark: str) -> None:
    for form in FORMS:
        if "```" in form and ending != "\n":
            continue
        assert kql.parse(mark + form.replace("\n", ending)).statements, form


@pytest.mark.parametrize("name", FIELD_QUERIES)
def test_runs(name: str, cluster: spark_kusto.Cluster, feeds: dict[str, Path]) -> None:
    query = FIELD_QUERIES[name]
    for word, path in feeds.items():
        query = query.replace("{" + word + "}", str(path))
    result = cluster.query(DATABASE, query, properties={"query_now": NOW})
    for table in result.tables:
        assert isinstance(table.to_arrow(), pa.Table)
        names = [column.name for column in table.columns]
        assert len(set(names)) == len(names)


ANSWERS = {
    "failed logons by account": 0,
    "sign-ins from many countries": 1,
    "syslog ssh": 2,
    "inbox rules": 1,
    "request url parts": 3,
    "watchlist as externaldata": 2,
    "encoded powershell": 1,
    "heartbeat missing": 3,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_rows(name: str, cluster: spark_kusto.Cluster, feeds: dict[str, Path]) -> None:
    query = FIELD_QUERIES[name].replace("{feed}", str(feeds["feed"]))
    assert len(cluster.query(DATABASE, query, properties={"query_now": NOW}).rows) == ANSWERS[name]


def test_decoded(cluster: spark_kusto.Cluster) -> None:
    query = FIELD_QUERIES["encoded powershell"] + "| project Decoded"
    assert cluster.query(DATABASE, query, properties={"query_now": NOW}).rows == [("Hello world",)]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ('DeviceFileEvents | invoke FileProfile("SHA256", 1000)', "FileProfile"),
        ("let allow = _GetWatchlist('allowed') | project SearchKey; SigninLogs | where IPAddress in (allow)",
         "_GetWatchlist"),
        ("ASimDns(starttime=ago(1d)) | take 1", "ASimDns"),
    ],
)  # fmt: skip
def test_functions_of_the_service_are_named(cluster: spark_kusto.Cluster, query: str, name: str) -> None:
    with pytest.raises(KqlSemanticError, match=name):
        cluster.query(DATABASE, query)


def test_functions_of_the_service_can_be_stored(cluster: spark_kusto.Cluster) -> None:
    cluster.execute(
        DATABASE,
        ".create-or-alter function FileProfile(T:(*), column:string = 'SHA1', most:long = 100)"
        " { T | extend GlobalPrevalence = 5 | take most }",
    )
    query = 'DeviceFileEvents | invoke FileProfile("SHA256", 2) | project GlobalPrevalence'
    assert cluster.query(DATABASE, query).rows == [(5,), (5,)]
    cluster.execute(DATABASE, ".drop function FileProfile")
