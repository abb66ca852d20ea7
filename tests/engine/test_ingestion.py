"""Ingestion: inline, from files, from queries and from values; mappings, errors, tags, replays."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

from spark_kusto.client import IngestProperties, Replace, stage
from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.client.result import Result
from spark_kusto.errors import (
    EntityExistsError,
    EntityNotFoundError,
    IngestConflictError,
    IngestError,
    OptionError,
    SchemaMismatchError,
    TypeConversionError,
    UnsupportedError,
)
from spark_kusto.types import Column, KustoType
from tests.engine.conftest import DATABASE

Run = Callable[..., Result]
Rows = Callable[..., list[tuple[Any, ...]]]


# -- formats --------------------------------------------------------------------------------------------


def test_inline_csv_of_every_type(run: Run, rows: Rows) -> None:
    run(
        ".create table T (a:bool, b:int, c:long, d:real, e:decimal, f:string, g:datetime, h:timespan,"
        " i:guid, j:dynamic)"
    )
    guid = "123e4567-e89b-12d3-a456-426614174000"
    record = f'true,1,2,1.5,2.25,"x, ""y""",2024-02-29T12:00:00Z,1.02:03:04,{guid},"{{""a"":[1]}}"'
    run(f".ingest inline into table T <| {record}\n,,,,,,,,,\n")
    first, second = rows("T | order by b asc nulls last")
    assert first[:6] == (True, 1, 2, 1.5, Decimal("2.25"), 'x, "y"')
    assert first[6] == dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)
    assert first[7] == dt.timedelta(days=1, hours=2, minutes=3, seconds=4)
    assert str(first[8]) == guid
    assert first[9] == {"a": [1]}
    assert second == (None, None, None, None, None, "", None, None, None, None)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("csv", "1,x\n2,y\n"),
        ("csv", "1,x\r\n2,y"),
        ("tsv", "1\tx\n2\ty\n"),
        ("psv", "1|x\n2|y\n"),
        ("scsv", "1;x\n2;y\n"),
        ("sohsv", "1\x01x\n2\x01y\n"),
        ("tsve", "1\tx\n2\ty\n"),
        ("json", '{"a":1,"b":"x"}\n{"b":"y","a":2,"c":3}\n'),
        ("multijson", '[{"a":1,\n"b":"x"},{"a":2,"b":"y"}]'),
        ("multijson", '{"a":1,\n"b":"x"}\n{"a":2,"b":"y"}'),
    ],
)
def test_text_formats(run: Run, rows: Rows, kind: str, data: str) -> None:
    run(".create table T (a:long, b:string)")
    run(f".ingest inline into table T with (format='{kind}') <| {data}")
    assert rows("T | order by a asc") == [(1, "x"), (2, "y")]


def test_lines_and_raw_text(run: Run, rows: Rows) -> None:
    run(".create table T (line:string)")
    run(".ingest inline into table T with (format='txt') <| a,b\nc d")
    assert rows("T") == [("a,b",), ("c d",)]
    run(".clear table T data")
    run(".ingest inline into table T with (format='raw') <| a\nb")
    assert rows("T | project countof(line, '\\n')") == [(1,)]


def test_records_of_other_lengths(run: Run, rows: Rows) -> None:
    run(".create table T (a:long, b:string)")
    run(".ingest inline into table T <| 1,x\n2\n3,y,z\n")
    assert rows("T | order by a asc") == [(1, "x"), (2, ""), (3, "y")]


def test_w3c_logs_and_avro(run: Run, rows: Rows, cluster: EmbeddedCluster, tmp_path: Path) -> None:
    run(".create table W (['c-ip']:string, ['sc-status']:int)")
    log = "#Version: 1.0\n#Fields: date c-ip sc-status\n2024-01-01 10.0.0.1 200\n2024-01-01 - 404\n"
    run(f".ingest inline into table W with (format='w3clogfile') <| {log}")
    assert rows("W | order by ['sc-status'] asc") == [("10.0.0.1", 200), ("", 404)]
    run(".create table A (n:long, s:string, l:dynamic)")
    path = tmp_path / "t.avro"
    path.write_bytes(_avro())
    run(f".ingest into table A ('{path}')")
    assert rows("A") == [(7, "x", [1, 2])]


def _avro() -> bytes:
    schema = json.dumps(
        {
            "type": "record",
            "name": "R",
            "fields": [
                {"name": "n", "type": "long"},
                {"name": "s", "type": ["null", "string"]},
                {"name": "l", "type": {"type": "array", "items": "int"}},
            ],
        }
    ).encode()

    def number(value: int) -> bytes:
        value = (value << 1) ^ (value >> 63)
        out = b""
        while value & ~0x7F:
            out += bytes([(value & 0x7F) | 0x80])
            value >>= 7
        return out + bytes([value])

    def text(value: bytes) -> bytes:
        return number(len(value)) + value

    record = number(7) + number(1) + text(b"x") + number(2) + number(1) + number(2) + number(0)
    meta = number(2) + text(b"avro.schema") + text(schema) + text(b"avro.codec") + text(b"null") + number(0)
    marker = b"m" * 16
    return b"Obj\x01" + meta + marker + number(1) + number(len(record)) + record + marker


def test_files_by_path_pattern_and_archive(
    cluster: EmbeddedCluster, run: Run, rows: Rows, tmp_path: Path
) -> None:
    run(".create table T (a:long, b:string)")
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    with gzip.open(tmp_path / "2.csv.gz", "wt") as file:
        file.write("a,b\n2,y\n")
    with zipfile.ZipFile(tmp_path / "3.zip", "w") as archive:
        archive.writestr("in/3.csv", "a,b\n3,z\n")
        archive.writestr("readme.md", "no data")
    pq.write_table(pa.table({"b": ["p"], "a": [4]}), tmp_path / "4.parquet")
    pyarrow.orc.write_table(pa.table({"a": [5], "b": ["o"]}), tmp_path / "5.orc")
    run(f".ingest into table T ('{tmp_path}/1.csv', '{tmp_path}/2.csv.gz') with (ignoreFirstRecord=true)")
    run(
        f".ingest into table T ('{tmp_path}/3.zip') with (ignoreFirstRecord=true, format='csv',"
        " zipPattern='*.csv')"
    )
    cluster.ingest(DATABASE, "T", [str(tmp_path / "4.parquet"), tmp_path / "5.orc"])
    assert rows("T | order by a asc") == [(1, "x"), (2, "y"), (3, "z"), (4, "p"), (5, "o")]
    answer = run(f".ingest into table T ('{tmp_path}/1*.csv') with (ignoreFirstRecord=true)").rows
    assert [row[1] for row in answer] == [f"{tmp_path}/1*.csv"]
    with pytest.raises(IngestError, match=r"no file.*nope"):
        run(f".ingest into table T ('{tmp_path}/nope.csv')")
    with pytest.raises(UnsupportedError, match="local files"):
        run(".ingest into table T (h'https://a.blob.core.windows.net/c/x.csv?sig=secret')")


def test_a_table_is_made_from_a_file(cluster: EmbeddedCluster, rows: Rows, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n,when,what\n1,2024-01-01,x\n2,2024-01-02,y\n")
    cluster.ingest(DATABASE, "T", tmp_path / "t.csv", create=True, ignore_first_record=True)
    assert [(c.name, c.type.value) for c in cluster.schema(DATABASE, "T")] == [
        ("n", "long"),
        ("when", "datetime"),
        ("what", "string"),
    ]
    assert rows("T | count") == [(2,)]
    with pytest.raises(UnsupportedError, match="Create the table first"):
        cluster.ingest(DATABASE, "U", tmp_path / "t.csv", create=True)


def test_a_table_is_made_from_a_file_with_records_of_other_lengths(
    cluster: EmbeddedCluster, rows: Rows, tmp_path: Path
) -> None:
    file = tmp_path / "ragged.csv"
    file.write_text("a,b,c\n1,x,2.5\n2\n3,y,4.5,more\n")
    cluster.ingest(DATABASE, "Ragged", file, create=True, ignore_first_record=True)
    assert rows("Ragged | order by a asc") == [(1, "x", 2.5), (2, "", None), (3, "y", 4.5)]
    file.write_text("a,b\n1,2.5,x\n2,3.5,y\n")
    with pytest.raises(IngestError, match=r"ragged\.csv.*as many fields as the header, 2"):
        cluster.ingest(DATABASE, "Ragged2", file, create=True, ignore_first_record=True)
    file.write_bytes("a,b\n1,2\n".encode("utf-16"))
    with pytest.raises(IngestError, match=r"ragged\.csv.*UTF-8"):
        cluster.ingest(DATABASE, "Ragged2", file, create=True, ignore_first_record=True)


def test_bad_data_says_what_is_wrong(run: Run) -> None:
    run(".create table T (a:long, b:string)")
    with pytest.raises(IngestError, match="line 2"):
        run('.ingest inline into table T with (format="json") <| {"a":1}\n{"a":')
    with pytest.raises(IngestError, match=r"not csv|quote"):
        run('.ingest inline into table T <| 1,"x\n2,y')
    with pytest.raises(OptionError, match="Did you mean 'json'"):
        run('.ingest inline into table T with (format="jsno") <| 1')
    with pytest.raises(OptionError, match="Did you mean 'format'"):
        run('.ingest inline into table T with (formt="json") <| 1')
    failures = run(".show ingestion failures | project Table, OperationKind, FailureKind, Details").rows
    assert {row[0] for row in failures} == {"T"}
    assert any("line 2" in row[3] for row in failures)


# -- mappings and errors --------------------------------------------------------------------------------


def test_a_csv_mapping_goes_by_ordinal(run: Run, rows: Rows) -> None:
    run(".create table T (a:long, b:string, c:string)")
    mapping = json.dumps(
        [
            {"column": "b", "Properties": {"Ordinal": "0"}},
            {"column": "a", "Properties": {"Ordinal": "2"}},
            {"column": "c", "Properties": {"ConstValue": "k"}},
        ]
    )
    run(f".ingest inline into table T with (ingestionMapping='{mapping}') <| x,?,7")
    assert rows("T") == [(7, "x", "k")]


def test_a_json_mapping_goes_by_path_with_transformations(run: Run, rows: Rows) -> None:
    run(".create table T (a:long, b:string, t:datetime, d:dynamic, src:string, line:long, tags:dynamic)")
    mapping = json.dumps(
        [
            {"column": "a", "path": "$.x.y"},
            {"column": "b", "Properties": {"Path": "$['odd name'][1]"}},
            {"column": "t", "Properties": {"Path": "$.t", "Transform": "DateTimeFromUnixMilliseconds"}},
            {"column": "d", "Properties": {"Path": "$.x"}},
            {"column": "src", "Properties": {"Transform": "SourceLocation"}},
            {"column": "line", "Properties": {"Transform": "SourceLineNumber"}},
            {"column": "tags", "Properties": {"Path": "$.tags", "Transform": "PropertyBagArrayToDictionary"}},
        ]
    )
    quoted = mapping.replace("'", "''")
    run(f".create table T ingestion json mapping 'm' @'{quoted}'")
    record = json.dumps(
        {"x": {"y": 5}, "odd name": ["p", "q"], "t": 1500, "tags": [{"k": 1}, {"Key": "z", "Value": 2}]}
    )
    run(f".ingest inline into table T with (format='json', ingestionMappingReference='m') <| {record}")
    answer = rows("T")[0]
    assert answer[:2] == (5, "q")
    assert answer[2] == dt.datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=dt.timezone.utc)
    assert answer[3:] == ({"y": 5}, "inline data", 1, {"k": 1, "z": 2})


def test_a_missing_mapping_offers_the_nearest(run: Run) -> None:
    run(".create table T (a:long)")
    run(""".create table T ingestion csv mapping "first" '[{"column":"a","Properties":{"Ordinal":"0"}}]'""")
    with pytest.raises(EntityNotFoundError, match="Did you mean 'first'"):
        run(".ingest inline into table T with (ingestionMappingReference='frist') <| 1")
    with pytest.raises(OptionError, match="not JSON"):
        run(".create table T ingestion csv mapping 'x' '[{'")
    with pytest.raises(OptionError, match="Ordinal"):
        run(""".create table T ingestion csv mapping 'x' '[{"column":"a"}]'""")


def test_text_that_is_no_value_becomes_null_within_the_allowance(run: Run, rows: Rows) -> None:
    run(".create table T (a:long)")
    run(".ingest inline into table T <| 1\nx\ny\n")
    assert rows("T | summarize count(), countif(isnull(a))") == [(3, 2)]
    run(".ingest inline into table T with (maximumErrorsAllowed=2) <| 1\nx\ny\n")
    with pytest.raises(IngestError) as caught:
        run(".ingest inline into table T with (maximumErrorsAllowed=1) <| 1\nx\ny\n")
    assert "column 'a' (long), row 1: 'x'" in str(caught.value)
    assert rows("T | count") == [(6,)]


def test_values_lost_are_counted_without_an_allowance_too(
    cluster: EmbeddedCluster, rows: Rows, tmp_path: Path
) -> None:
    cluster.execute(DATABASE, ".create table Counted (a:long, b:datetime)")
    file = tmp_path / "counted.csv"
    file.write_text("1,2024-01-01\ntwo,yesterday\n3,2024-01-03\n")
    assert cluster.ingest(DATABASE, "Counted", file).errors == 2
    assert rows("Counted | where isnull(a) or isnull(b) | count") == [(1,)]


def test_the_file_at_fault_is_named(cluster: EmbeddedCluster, rows: Rows, tmp_path: Path) -> None:
    cluster.execute(DATABASE, ".create table Several (a:long)")
    for name, text in (("1.json", '{"a": 1}'), ("2.json", '{"a": 2}\n{"a": '), ("3.json", '{"a": 3}')):
        (tmp_path / name).write_text(text)
    with pytest.raises(IngestError, match=r"2\.json'.*line 2"):
        cluster.ingest(DATABASE, "Several", tmp_path)
    assert rows("Several | count") == [(0,)]


def test_lines_that_are_not_json_are_left_out_within_the_allowance(
    cluster: EmbeddedCluster, rows: Rows, tmp_path: Path
) -> None:
    cluster.execute(DATABASE, ".create table Lines (a:long)")
    file = tmp_path / "lines.json"
    file.write_text('{"a": 1}\n{"a": \n{"a": 3}\noops\n')
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000 + "\n" + '{"a": ' + "9" * 5_000 + "}\n" + '{"a": 3}\n')
    with pytest.raises(IngestError, match=r"deep\.json'.*nested too deep on line 1"):
        cluster.ingest(DATABASE, "Lines", deep)
    assert cluster.ingest(DATABASE, "Lines", deep, maximum_errors_allowed=2).errors == 2
    cluster.execute(DATABASE, ".clear table Lines data")
    with pytest.raises(
        IngestError, match=r"2 values or lines .* at most 1 .*line 2 is not JSON.*line 4 is not JSON"
    ):
        cluster.ingest(DATABASE, "Lines", file, maximum_errors_allowed=1)
    assert cluster.ingest(DATABASE, "Lines", file, maximum_errors_allowed=2).errors == 2
    assert rows("Lines | order by a asc") == [(1,), (3,)]


def test_typed_data_is_strict_unless_errors_are_allowed(
    cluster: EmbeddedCluster, run: Run, rows: Rows
) -> None:
    run(".create table T (a:int)")
    data = pa.table({"a": pa.array([1, 2**40, 3], pa.int64())})
    with pytest.raises(TypeConversionError, match="row 1"):
        cluster.ingest(DATABASE, "T", data)
    done = cluster.ingest(DATABASE, "T", data, maximumErrorsAllowed=1)
    assert done.errors == 1
    assert rows("T | order by a asc nulls last") == [(1,), (3,), (None,)]


def test_a_mapping_by_ordinal_on_typed_data(cluster: EmbeddedCluster, run: Run, rows: Rows) -> None:
    run(".create table T (a:long, b:string, c:long)")
    mapping = json.dumps(
        [
            {"column": "b", "Properties": {"Ordinal": 0}},
            {"column": "a", "Properties": {"Ordinal": 1}},
            {"column": "c", "Properties": {"ConstValue": "9"}},
        ]
    )
    cluster.ingest(DATABASE, "T", pa.table({"x": ["s"], "y": [4]}), csvMapping=mapping)
    assert rows("T") == [(4, "s", 9)]


# -- from queries ---------------------------------------------------------------------------------------


def test_the_four_commands_from_queries(run: Run, rows: Rows) -> None:
    with pytest.raises(EntityNotFoundError):
        run(".append T <| print a=1")
    run(".set T <| print a=1, b='x'")
    with pytest.raises(EntityExistsError):
        run(".set T <| print a=1")
    run(".append T <| print z=2, y='y'")
    run(".set-or-append U <| T")
    assert rows("T | order by a asc") == [(1, "x"), (2, "y")]
    run(".set-or-replace T <| print a=3, b='z'")
    assert rows("T") == [(3, "z")]
    assert rows("U | count") == [(2,)]


def test_columns_go_by_position_and_type(run: Run, rows: Rows) -> None:
    run(".create table T (a:long, b:string)")
    with pytest.raises(SchemaMismatchError, match="'b' is string where 'a' is long"):
        run(".append T <| print b='x', a=1")
    with pytest.raises(SchemaMismatchError, match="'c' has no place"):
        run(".append T <| print 1, 'x', c=2")
    run(".append T with (extend_schema=true) <| print 1, 'x', c=2")
    run(".append T <| print 5")
    assert rows("T | order by a asc") == [(1, "x", 2), (5, "", None)]
    run(".set-or-replace T with (recreate_schema=true) <| print q='only'")
    assert rows("T") == [("only",)]
    with pytest.raises(SchemaMismatchError, match=r"\$"):
        run(".set V <| print ['a$b']=1")


def test_a_show_command_may_be_the_source(run: Run, rows: Rows) -> None:
    run(".create table T (a:long)")
    run(".set Tables <| .show tables | project TableName")
    assert rows("Tables") == [("T",)]


def test_replacing_by_nothing_empties(run: Run, rows: Rows) -> None:
    run(".set T <| print a=1")
    run(".set-or-replace T <| T | where a > 5")
    assert rows("T | count") == [(0,)]


# -- tags, times, replays -------------------------------------------------------------------------------


def test_tags_creation_time_and_ingest_if_not_exists(cluster: EmbeddedCluster, run: Run) -> None:
    run(".create table T (a:long)")
    run(
        """.ingest inline into table T with (tags='["drop-by:d","ingest-by:i","plain"]',"""
        """ creationTime='2020-02-03T04:05:06Z') <| 1"""
    )
    row = run(".show table T extents | project Tags, MinCreatedOn").rows[0]
    assert row[0] == "drop-by:d\r\ningest-by:i\r\nplain"
    assert row[1] == dt.datetime(2020, 2, 3, 4, 5, 6, tzinfo=dt.timezone.utc)
    answer = run(""".ingest inline into table T with (ingestIfNotExists='["i"]') <| 2""").rows
    assert str(answer[0][0]) == "00000000-0000-0000-0000-000000000000"
    done = cluster.ingest(DATABASE, "T", pa.table({"a": [3]}), ingest_if_not_exists=["i"])
    assert (done.status, done.rows) == ("skipped", 0)


def test_a_writers_batch_is_stored_once(cluster: EmbeddedCluster, rows: Rows) -> None:
    data = pa.table({"a": [1]})
    first = cluster.ingest(DATABASE, "T", data, create=True, writer_id="w", batch_id=7)
    again = cluster.ingest(DATABASE, "T", data, writer_id="w", batch_id=7)
    older = cluster.ingest(DATABASE, "T", data, writer_id="w", batch_id=6)
    other = cluster.ingest(DATABASE, "T", data, writer_id="v", batch_id=7)
    assert [d.status for d in (first, again, older, other)] == [
        "committed",
        "replayed",
        "replayed",
        "committed",
    ]
    assert again.cursor == first.cursor
    assert rows("T | count") == [(2,)]


def test_staging_on_other_processes_and_committing_on_the_driver(
    cluster: EmbeddedCluster, rows: Rows
) -> None:
    columns = [Column("a", KustoType.LONG), Column("b", KustoType.STRING)]
    plan = cluster.begin_ingest(DATABASE, "T", columns, create=True)
    travelled = pickle.loads(pickle.dumps(plan))
    messages = [
        pickle.loads(pickle.dumps(stage(travelled, [pa.record_batch({"a": [n], "b": ["x"]})])))
        for n in range(3)
    ]
    stage(travelled, [pa.record_batch({"a": [99], "b": ["a failed attempt's"]})])
    assert [message.rows for message in messages] == [1, 1, 1]
    done = cluster.commit_ingest(plan, [*messages, None])
    assert (done.status, done.rows, done.extents) == ("committed", 3, 3)
    assert rows("T | summarize sum(a)") == [(3,)]
    assert cluster.commit_ingest(plan, messages).status == "replayed"
    cluster.abort_ingest(plan, messages)
    assert rows("T | count") == [(3,)]


def test_a_commit_by_another_plan_takes_what_the_messages_name(cluster: EmbeddedCluster, rows: Rows) -> None:
    columns = [Column("a", KustoType.LONG)]
    tasks = cluster.begin_ingest(DATABASE, "T", columns, create=True)
    message = stage(tasks, [pa.record_batch({"a": [1]})])
    committing = cluster.begin_ingest(DATABASE, "T", columns, create=True)
    assert cluster.commit_ingest(committing, [message]).rows == 1
    assert rows("T") == [(1,)]


def test_aborting_leaves_nothing(cluster: EmbeddedCluster) -> None:
    plan = cluster.begin_ingest(DATABASE, "T", [Column("a", KustoType.LONG)], create=True)
    message = stage(plan, [pa.record_batch({"a": [1]})])
    cluster.abort_ingest(plan, [message])
    database = cluster.engine.database(DATABASE)
    assert list(database.staging_path.iterdir()) == []
    assert list(database.extents_path.iterdir()) == []
    with pytest.raises(IngestConflictError, match="aborted"):
        cluster.commit_ingest(plan, [message])
    with pytest.raises(IngestConflictError):
        stage(plan, [pa.record_batch({"a": [1]})])


def test_every_mismatch_is_reported_before_data_moves(cluster: EmbeddedCluster, run: Run) -> None:
    run(".create table T (a:long, b:string, c:datetime)")
    columns = [
        Column("a", KustoType.STRING),
        Column("x", KustoType.LONG),
        Column("c", KustoType.BOOL),
    ]
    with pytest.raises(SchemaMismatchError) as caught:
        cluster.begin_ingest(DATABASE, "T", columns)
    text = str(caught.value)
    assert "'a' is string in the data and long in the table" in text
    assert "'x' (long) is not in the table" in text
    assert "'c' is bool in the data and datetime in the table" in text
    assert caught.value.columns == ("a", "x", "c")
    with pytest.raises(SchemaMismatchError, match="no columns"):
        cluster.begin_ingest(DATABASE, "T", [])
    with pytest.raises(SchemaMismatchError, match="several columns named 'a'"):
        cluster.begin_ingest(DATABASE, "T", [Column("a", KustoType.LONG)] * 2)
    with pytest.raises(EntityNotFoundError, match="Did you mean 'T'"):
        cluster.begin_ingest(DATABASE, "t", [Column("a", KustoType.LONG)])


def test_the_schema_is_extended_on_request(cluster: EmbeddedCluster, rows: Rows) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1]}), create=True)
    properties = IngestProperties(extend_schema=True)
    columns = [Column("b", KustoType.STRING), Column("a", KustoType.LONG)]
    plan = cluster.begin_ingest(DATABASE, "T", columns, properties=properties)
    cluster.commit_ingest(plan, [stage(plan, [pa.record_batch({"b": ["x"], "a": [2]})])])
    assert rows("T | order by a asc") == [(1, ""), (2, "x")]


# -- overwriting ----------------------------------------------------------------------------------------


def test_overwriting_all_by_tags_and_by_predicate(cluster: EmbeddedCluster, rows: Rows) -> None:
    def ingest(values: list[int], **options: Any) -> None:
        cluster.ingest(DATABASE, "T", pa.table({"a": values}), create=True, **options)

    ingest([1, 2], tags=["drop-by:one"])
    ingest([3, 4])
    ingest([5], tags=["drop-by:one"], replace=Replace(tags=("drop-by:one",)))
    assert sorted(rows("T | summarize make_list(a)")[0][0]) == [3, 4, 5]
    ingest([6], replace=Replace(predicate="a > 3"))
    assert sorted(rows("T | summarize make_list(a)")[0][0]) == [3, 6]
    ingest([7], replace=Replace(all=True))
    assert rows("T") == [(7,)]
    with pytest.raises(OptionError, match="several ways"):
        Replace(all=True, tags=("x",))


def test_rows_that_stay_keep_columns_that_the_new_ones_lack(cluster: EmbeddedCluster, rows: Rows) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]}), create=True)
    cluster.ingest(DATABASE, "T", pa.table({"a": [9]}), replace=Replace(predicate="a == 2"))
    assert rows("T | order by a asc") == [(1, "x"), (3, "z"), (9, "")]
    new = pa.table({"c": [1.5], "a": [10]})
    cluster.ingest(DATABASE, "T", new, replace=Replace(predicate="a == 3"), extend_schema=True)
    assert rows("T | order by a asc") == [(1, "x", None), (9, "", None), (10, "", 1.5)]


def test_maintenance_does_not_make_changes_of_rows_fail(
    cluster: EmbeddedCluster, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in range(4):
        cluster.ingest(DATABASE, "T", pa.table({"a": [value]}), create=True)
    database = cluster.engine.database(DATABASE)
    commit = database.commit_ingest

    def after_a_merge(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(database, "commit_ingest", commit)
        table = database.snapshot().table("T")
        database.merge_extents(table, table.extents)
        return commit(*arguments, **options)

    monkeypatch.setattr(database, "commit_ingest", after_a_merge)
    cluster.ingest(DATABASE, "T", pa.table({"a": [9]}), replace=Replace(predicate="a == 2"))
    assert rows("T | order by a asc") == [(0,), (1,), (3,), (9,)]
    monkeypatch.setattr(database, "commit_ingest", after_a_merge)
    cluster.execute(DATABASE, ".delete table T records <| T | where a == 3")
    assert rows("T | order by a asc") == [(0,), (1,), (9,)]
    assert os.listdir(database.staging_path) == []


def test_rows_that_merging_has_put_together_are_not_replaced_by_a_tag_of_some(
    cluster: EmbeddedCluster, rows: Rows
) -> None:
    def ingest(value: int, *tags: str, **options: Any) -> None:
        cluster.ingest(DATABASE, "T", pa.table({"a": [value]}), create=True, tags=tags, **options)

    for value in range(40):
        ingest(value, f"ingest-by:{value}", "day-1")
        ingest(100 + value, "day-2")
    cluster.maintain()
    table = cluster.engine.database(DATABASE).snapshot().table("T")
    assert len(table.extents) < 10
    with pytest.raises(IngestConflictError, match="merged with those of"):
        ingest(0, replace=Replace(tags=("ingest-by:7",)))
    assert rows("T | count") == [(80,)]
    # All of a merged extent's tags together, or a tag that all its rows have, say which rows are meant.
    ingest(-1, replace=Replace(tags=("day-2",)))
    assert rows("T | summarize count(), max(a)") == [(41, 39)]
    ingest(-2, replace=Replace(tags=tuple(f"ingest-by:{value}" for value in range(40))))
    assert rows("T | order by a asc") == [(-2,), (-1,)]


def test_rows_that_others_write_meanwhile_are_replaced_too(
    cluster: EmbeddedCluster, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs that replace one day: the later commit replaces what the earlier one has written."""
    cluster.ingest(DATABASE, "T", pa.table({"day": [1, 2], "by": ["x", "x"]}), create=True)
    database = cluster.engine.database(DATABASE)
    commit = database.commit_ingest
    attempts: list[int] = []

    def overtaken(*arguments: Any, **options: Any) -> Any:
        attempts.append(len(options.get("rewrites") or {}))
        if len(attempts) < 3:
            with monkeypatch.context() as inner:
                inner.setattr(database, "commit_ingest", commit)
                data = pa.table({"day": [3, len(attempts) + 3], "by": ["other", "kept"]})
                cluster.ingest(DATABASE, "T", data)
        return commit(*arguments, **options)

    monkeypatch.setattr(database, "commit_ingest", overtaken)
    new = pa.table({"day": [3], "by": ["mine"]})
    cluster.ingest(DATABASE, "T", new, replace=Replace(predicate="day == 3"))
    assert attempts == [0, 1, 2]
    assert rows("T | order by day asc") == [(1, "x"), (2, "x"), (3, "mine"), (4, "kept"), (5, "kept")]
    assert os.listdir(database.staging_path) == []


def test_an_ingestion_without_rows_leaves_no_trace(cluster: EmbeddedCluster, run: Run, rows: Rows) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1]}), create=True)
    before = (cluster.cursor(DATABASE), run(".show operations | count").rows)
    empty = pa.table({"a": pa.array([], pa.int64())})
    done = cluster.ingest(DATABASE, "T", empty, writer_id="w", batch_id=3)
    assert (done.status, done.rows, done.cursor) == ("committed", 0, None)
    assert (cluster.cursor(DATABASE), run(".show operations | count").rows) == before
    assert cluster.ingest(DATABASE, "T", empty, replace=Replace(all=True)).status == "committed"
    assert rows("T | count") == [(0,)]


# -- values of the caller's -----------------------------------------------------------------------------


def test_pandas_arrow_and_readers(cluster: EmbeddedCluster, rows: Rows) -> None:
    frame = pd.DataFrame({"a": [1, 2], "s": ["x", None], "t": pd.to_datetime(["2024-01-01", None])})
    cluster.ingest(DATABASE, "T", frame, create=True)
    table = pa.Table.from_pandas(frame)
    cluster.ingest(DATABASE, "T", table.to_reader())
    cluster.ingest(DATABASE, "T", table.to_batches()[0])
    cluster.ingest(DATABASE, "T", table.to_batches())
    moment = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    counted = rows("T | summarize count() by a, s, t | order by a asc")
    assert counted == [(1, "x", moment, 4), (2, "", None, 4)]
    with pytest.raises(OptionError, match="dict"):
        cluster.ingest(DATABASE, "T", {"a": [1]})
    with pytest.raises(OptionError, match="several columns 'a'"):
        cluster.ingest(DATABASE, "T", pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(IngestError, match="Arrow"):
        cluster.ingest(DATABASE, "T", pd.DataFrame({"a": [1, "x", object()]}))


def test_an_empty_table_creates_and_adds_nothing(cluster: EmbeddedCluster, rows: Rows) -> None:
    done = cluster.ingest(DATABASE, "T", pa.table({"a": pa.array([], pa.int64())}), create=True)
    assert (done.status, done.rows, done.extents) == ("committed", 0, 0)
    assert rows("T | count") == [(0,)]
