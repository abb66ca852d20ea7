"""``infer_storage_schema`` over local folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import spark_kusto
from spark_kusto.errors import KustoError

DATABASE = "NetDefaultDB"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[spark_kusto.Cluster]:
    with spark_kusto.connect(tmp_path_factory.mktemp("infer")) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data")
    (place / "part-1.csv").write_text("id,name,at,share,ok\n1,a,2024-01-01T00:00:00Z,1.5,true\n")
    (place / "events.json").write_text(
        '{"a":1,"b":{"c":1},"at":"2024-01-01T00:00:00Z"}\n{"a":2.5,"x y":"q"}\n'
    )
    (place / "deep").mkdir()
    pq.write_table(pa.table({"n": pa.array([1], pa.int32()), "s": ["x"]}), place / "deep" / "p-1.parquet")
    pq.write_table(pa.table({"n": pa.array([1], pa.int64()), "l": [[1]]}), place / "deep" / "p-2.parquet")
    os.utime(place / "deep" / "p-1.parquet", (1, 1))
    return place


@pytest.mark.parametrize(
    ("options", "schema"),
    [
        (
            "'DataFormat':'csv','FileExtension':'.csv','InferenceOptions':{'UseFirstRowAsHeader':true}",
            "id:long, name:string, at:datetime, share:real, ok:bool",
        ),
        (
            "'DataFormat':'csv','FileNamePrefix':'part-'",
            "Column0:string, Column1:string, Column2:string, Column3:string, Column4:string",
        ),
        (
            "'DataFormat':'json','FileExtension':'.json'",
            "a:real, b:dynamic, at:datetime, ['x y']:string",
        ),
        ("'DataFormat':'parquet','FileNamePrefix':'p-','Mode':'any'", "n:int, s:string"),
        ("'DataFormat':'parquet','FileNamePrefix':'p-','Mode':'last'", "n:long, l:dynamic"),
        ("'DataFormat':'parquet','FileNamePrefix':'p-','Mode':'all'", "n:long, s:string, l:dynamic"),
    ],
)
def test_schemas(cluster: spark_kusto.Cluster, folder: Path, options: str, schema: str) -> None:
    query = (
        f"let o = dynamic({{'StorageContainers':['{folder}'],{options}}}); evaluate infer_storage_schema(o)"
    )
    result = cluster.query(DATABASE, query)
    assert [(column.name, column.type.value) for column in result.columns] == [("CslSchema", "string")]
    assert result.rows == [(schema,)]


def test_a_schema_declares_externaldata(cluster: spark_kusto.Cluster, folder: Path) -> None:
    query = f"""evaluate infer_storage_schema(dynamic({{
        'StorageContainers':['file://{folder}'], 'DataFormat':'json', 'FileNamePrefix':'events'}}))"""
    ((schema,),) = cluster.query(DATABASE, query).rows
    read = f"externaldata({schema})['{folder}/events.json'] with (format=json) | summarize sum(a)"
    assert cluster.query(DATABASE, read).rows == [(3.5,)]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("'StorageContainers':['{}'],'DataFormat':'csv','FileNamePrefix':'none'", "there is no file 'none*'"),
        ("'StorageContainers':['{}/none'],'DataFormat':'csv'", "there is no folder"),
        ("'StorageContainers':['https://x.example/c;KEY'],'DataFormat':'csv'", "local folders"),
        (
            "'StorageContainers':['{}'],'DataFormat':'parquet','FileNamePrefix':'part'",
            "cannot be read as parquet",
        ),
        ("'StorageContainers':['{}'],'DataFormat':'orc'", "doesn't read the format 'orc'"),
        ("'StorageContainers':['{}'],'Format':'csv'", "Did you mean 'DataFormat'"),
        ("'StorageContainers':['{}']", "needs the option 'DataFormat'"),
        ("'StorageContainers':['{}'],'DataFormat':'csv','Mode':'some'", "only any, last and all"),
        ("'StorageContainers':'{}','DataFormat':'csv'", "wrong type"),
    ],
)
def test_refusals(cluster: spark_kusto.Cluster, folder: Path, options: str, part: str) -> None:
    query = f"evaluate infer_storage_schema(dynamic({{{options.replace('{}', str(folder))}}}))"
    with pytest.raises(KustoError) as caught:
        cluster.query(DATABASE, query)
    assert part in str(caught.value)
    assert "KEY" not in repr(caught.value)


def test_preview_has_two_results(cluster: spark_kusto.Cluster) -> None:
    result = cluster.query(DATABASE, "range x from 1 to 5 step 1 | evaluate preview(2)")
    assert [table.rows for table in result.tables] == [[(1,), (2,)], [(5,)]]
    assert [column.name for column in result.tables[1].columns] == ["Count"]
    assert cluster.query(DATABASE, "range x from 1 to 5 step 1 | evaluate preview(2) | count").rows == [(2,)]


def test_what_the_connector_asks_for(cluster: spark_kusto.Cluster) -> None:
    rows = cluster.query(DATABASE, "range x from 1 to 5 step 1 | evaluate estimate_rows_count()").rows
    assert rows[0][1] == 5
