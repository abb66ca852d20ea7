"""Results: columns, rows, Arrow, pandas, streams, and how they look."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from spark_kusto import connect
from spark_kusto.client import Cluster
from spark_kusto.errors import NotAClusterError, OptionError
from spark_kusto.types import Column, KustoType

DATABASE = "NetDefaultDB"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with connect(tmp_path / "kusto") as opened:
        yield opened


EVERY_TYPE = (
    "print b=true, i=int(1), l=2, r=1.5, m=decimal(2.5), s='x', t=datetime(2024-02-29 12:00:00.1234567),"
    " p=1d, g=guid(123e4567-e89b-12d3-a456-426614174000), j=dynamic({'a':[1,null]}), n=long(null)"
)


def test_python_values_of_every_type(cluster: Cluster) -> None:
    result = cluster.query(DATABASE, EVERY_TYPE)
    assert [column.type.value for column in result.columns] == [
        *("bool", "int", "long", "real", "decimal", "string", "datetime", "timespan", "guid", "dynamic"),
        "long",
    ]
    assert result.rows == [
        (
            True,
            1,
            2,
            1.5,
            Decimal("2.5"),
            "x",
            dt.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=dt.timezone.utc),
            dt.timedelta(days=1),
            uuid.UUID("123e4567-e89b-12d3-a456-426614174000"),
            {"a": [1, None]},
            None,
        )
    ]
    assert result.columns[2].type is KustoType.LONG


def test_arrow_carries_the_kusto_type(cluster: Cluster) -> None:
    table = cluster.query(DATABASE, EVERY_TYPE).to_arrow()
    assert table.schema.field("p").metadata == {b"kusto.type": b"timespan"}
    assert cluster.query(DATABASE, EVERY_TYPE).to_pandas().loc[0, "s"] == "x"
    assert cluster.query(DATABASE, "print 1 | take 0").to_arrow().num_rows == 0


def test_a_result_prints_as_a_table(cluster: Cluster) -> None:
    text = repr(cluster.query(DATABASE, "datatable(name:string, n:long)['a', 5, 'bb', 100]"))
    assert text.splitlines() == [
        "name |   n",
        "-----+----",
        "a    |   5",
        "bb   | 100",
        "(2 rows)",
    ]
    assert "<td>bb</td>" in cluster.query(DATABASE, "print 'bb'")._repr_html_()
    many = repr(cluster.query(DATABASE, "range a from 1 to 50 step 1"))
    assert many.endswith("(50 rows, the first 20 shown)")
    assert "\\n" in repr(cluster.query(DATABASE, "print 'a\\nb'"))


def test_several_results_and_visualization(cluster: Cluster) -> None:
    result = cluster.query(DATABASE, "range a from 1 to 2 step 1 | render timechart; print b=1")
    assert len(result.tables) == 2
    assert result.visualization is not None
    assert result.visualization["Visualization"] == "timechart"


def test_iterating_streams_rows(cluster: Cluster) -> None:
    result = cluster.query(DATABASE, "set notruncation; range a from 1 to 5 step 1")
    assert list(result) == [(n,) for n in range(1, 6)]


def test_closing_stops_a_stream(cluster: Cluster) -> None:
    with cluster.query(DATABASE, "set notruncation; range a from 1 to 100000000 step 1") as result:
        assert result.head(1) == [(1,)]
    running = cluster.execute(DATABASE, ".show running queries | count").rows
    assert running == [(0,)]


def test_connecting(tmp_path: Path) -> None:
    with pytest.raises(NotAClusterError):
        connect(tmp_path / "none", create=False)
    with pytest.raises(OptionError, match="Did you mean 'create'"):
        connect(tmp_path / "x", creat=True)
    with pytest.raises(OptionError, match="no credential"):
        connect(tmp_path / "x", credential=object())
    cluster = connect(tmp_path / "k", memory=1 << 28, threads=1)
    assert repr(cluster) == f"EmbeddedCluster('{tmp_path}/k')"
    cluster.close()
    cluster.close()


def test_arguments_of_the_wrong_type_are_refused_by_name(tmp_path: Path, cluster: Cluster) -> None:
    with pytest.raises(OptionError, match="query is no text but of the type NoneType"):
        cluster.query(DATABASE, None)  # type: ignore[arg-type]
    asks: list[Callable[..., object]] = [
        cluster.schema,
        cluster.statistics,
        cluster.explain,
        cluster.plan_scan,
    ]
    for ask in asks:
        with pytest.raises(OptionError, match="query is no text but of the type bytes"):
            ask(DATABASE, b"T")
    with pytest.raises(OptionError, match="does not say what to replace"):
        cluster.begin_ingest(DATABASE, "T", (Column("a", KustoType.LONG),), replace=True)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="command is no text but of the type int"):
        cluster.execute(DATABASE, 1)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"'replace' is True.*Replace\(all=True\)"):
        cluster.ingest(DATABASE, "T", {"x": [1]}, replace=True)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"'memory' is '4GB'.*whole number of bytes"):
        connect(tmp_path / "kusto", memory="4GB")
