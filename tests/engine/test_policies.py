"""Policies: stored, shown, inherited, checked, and what they do."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.client.result import Result
from spark_kusto.errors import EntityNotFoundError, KqlSemanticError, OptionError, UnsupportedError
from tests.engine.conftest import DATABASE

Run = Callable[..., Result]
Rows = Callable[..., list[tuple[Any, ...]]]


def _policy(run: Run, name: str, entity: str = "table T") -> Any:
    return json.loads(run(f".show {entity} policy {name}").rows[0][2])


@pytest.fixture(autouse=True)
def _table(run: Run) -> None:
    run(".create table T (a:long)")


def test_defaults(run: Run) -> None:
    assert _policy(run, "retention") == {
        "SoftDeletePeriod": "365000.00:00:00",
        "Recoverability": "Enabled",
    }
    assert _policy(run, "ingestionbatching") == {
        "MaximumBatchingTimeSpan": "00:05:00",
        "MaximumNumberOfItems": 500,
        "MaximumRawDataSizeMB": 1024,
    }
    assert _policy(run, "caching") is None
    assert _policy(run, "streamingingestion") is None
    assert _policy(run, "merge")["MaxExtentsToMerge"] == 100
    row = run(".show table T policy retention").rows[0]
    assert (row[0], row[1], row[4]) == ("RetentionPolicy", f"[{DATABASE}].[T]", "Table")


@pytest.mark.parametrize(
    ("command", "policy", "expected"),
    [
        (
            "caching hot = 7d",
            "caching",
            {"DataHotSpan": {"Value": "7.00:00:00"}, "IndexHotSpan": {"Value": "7.00:00:00"}},
        ),
        (
            "caching hotdata = 3d hotindex = 30d",
            "caching",
            {"DataHotSpan": {"Value": "3.00:00:00"}, "IndexHotSpan": {"Value": "30.00:00:00"}},
        ),
        ("streamingingestion enable", "streamingingestion", {"HintAllocatedRate": None, "IsEnabled": True}),
        ("streamingingestion disable", "streamingingestion", {"HintAllocatedRate": None, "IsEnabled": False}),
        ("ingestiontime true", "ingestiontime", {"IsEnabled": True}),
        ("restricted_view_access true", "restricted_view_access", {"IsEnabled": True}),
        ("roworder (a asc)", "roworder", [{"ColumnName": "a", "Order": "asc"}]),
        (
            """auto_delete '{"ExpiryDate":"2030-01-01","DeleteIfNotEmpty":true}'""",
            "auto_delete",
            {"ExpiryDate": "2030-01-01", "DeleteIfNotEmpty": True},
        ),
    ],
)
def test_forms_of_values(run: Run, command: str, policy: str, expected: Any) -> None:
    run(f".alter table T policy {command}")
    assert _policy(run, policy) == expected


def test_tables_inherit_from_their_database(run: Run) -> None:
    run(""".alter database NetDefaultDB policy retention '{"SoftDeletePeriod":"30.00:00:00"}'""")
    assert _policy(run, "retention")["SoftDeletePeriod"] == "30.00:00:00"
    run(".alter-merge table T policy retention softdelete = 7d recoverability = disabled")
    assert _policy(run, "retention") == {"SoftDeletePeriod": "7.00:00:00", "Recoverability": "Disabled"}
    run(".delete table T policy retention")
    assert _policy(run, "retention")["SoftDeletePeriod"] == "30.00:00:00"
    assert "30.00:00:00" in run(".show table T details | project RetentionPolicy").rows[0][0]


def test_several_tables_at_once(run: Run) -> None:
    run(".create table U (a:long)")
    assert len(run(".alter tables (T, U) policy caching hot = 1d").rows) == 2
    assert len(run(".show table * policy caching").rows) == 2


def test_wrong_values_are_refused(run: Run) -> None:
    with pytest.raises(OptionError, match=r"MaximumNumberOfItems.*1 to 25000"):
        run(""".alter table T policy ingestionbatching '{"MaximumNumberOfItems":0}'""".replace("\n", ""))
    with pytest.raises(OptionError, match="Did you mean 'SoftDeletePeriod'"):
        run(""".alter table T policy retention '{"SoftDeletPeriod":"1.00:00:00"}'""")
    with pytest.raises(OptionError, match="timespan"):
        run(""".alter table T policy retention '{"SoftDeletePeriod":"soon"}'""")
    with pytest.raises(OptionError, match="Did you mean 'retention'"):
        run(".show table T policy retenton")
    with pytest.raises(UnsupportedError, match="mirroring"):
        run(".show table T policy mirroring")
    with pytest.raises(OptionError, match="no capacity policy"):
        run(".show table T policy capacity")
    with pytest.raises(KqlSemanticError):
        run('.alter table T policy row_level_security enable "Nope | where x"')
    with pytest.raises(EntityNotFoundError):
        run(".show table Nope policy retention")


def test_without_the_ingestiontime_policy_there_is_none(
    cluster: EmbeddedCluster, run: Run, rows: Rows
) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1]}))
    run(".alter table T policy ingestiontime false")
    assert rows("T | project ingestion_time()") == [(None,)]


def test_retention_and_auto_delete_are_done_by_maintenance(
    cluster: EmbeddedCluster, run: Run, rows: Rows
) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1]}), creationTime="2020-01-01")
    cluster.ingest(DATABASE, "T", pa.table({"a": [2]}))
    run(".alter-merge table T policy retention softdelete = 10d")
    run(".create table Old (a:long)")
    run(""".alter table Old policy auto_delete '{"ExpiryDate":"2020-01-01","DeleteIfNotEmpty":false}'""")
    run(".set Full <| print a=1")
    run(""".alter table Full policy auto_delete '{"ExpiryDate":"2020-01-01","DeleteIfNotEmpty":false}'""")
    counts = cluster.maintain()
    assert (counts["expired_extents"], counts["expired_tables"]) == (1, 1)
    assert rows("T") == [(2,)]
    assert [row[0] for row in run(".show tables").rows] == ["Full", "T"]


def test_principals(cluster: EmbeddedCluster, run: Run) -> None:
    local = cluster.engine.principal
    shown = run(".add database NetDefaultDB viewers ('aaduser=a@b.c;tenant', 'aadgroup=g') 'why'").rows
    assert [(row[0], row[4], row[5]) for row in shown] == [
        (f"Database {DATABASE} Viewer", "aadgroup=g", "why"),
        (f"Database {DATABASE} Viewer", "aaduser=a@b.c;tenant", "why"),
        (f"Database {DATABASE} Admin", local, "opened this cluster in process"),
    ]
    run(".set database NetDefaultDB viewers ('aadapp=x') skip-results")
    names = [row[4] for row in run(".show database NetDefaultDB principals").rows]
    assert names == ["aadapp=x", local]
    run(".set database NetDefaultDB viewers none")
    run(".add table T ingestors ('aaduser=a')")
    assert [row[0] for row in run(".show table T principals").rows] == ["Table T Ingestor"]
    with pytest.raises(OptionError, match="has no role 'viewers'"):
        run(".add table T viewers ('aaduser=a')")
    with pytest.raises(OptionError, match="fully qualified name"):
        run(".add database NetDefaultDB viewers ('someone')")
    assert run(".show principal roles").rows[0][0] == "Cluster"


def test_hot_extents_follow_the_caching_policy(cluster: EmbeddedCluster, run: Run) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1]}), creationTime="2020-01-01")
    cluster.ingest(DATABASE, "T", pa.table({"a": [2]}))
    run(".alter table T policy caching hot = 7d")
    assert run(".show table T extents hot | count").rows == [(1,)]
    assert run(".show table T details | project TotalExtents, HotExtents").rows == [(2, 1)]


def test_the_journal_has_every_change(run: Run) -> None:
    run(".alter table T policy caching hot = 7d")
    entry = run(".show journal | where Event == 'ALTER-POLICY'").rows[0]
    assert isinstance(entry[1], dt.datetime)
    assert entry[3] == f"[{DATABASE}].[T]"
    assert "7.00:00:00" in entry[8]
    assert entry[9] == ".alter table T policy caching hot = 7d"
