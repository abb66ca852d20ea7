"""Commands on tables, columns, functions, databases and scripts: what they do and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.client.result import Result
from spark_kusto.errors import (
    EntityExistsError,
    EntityNotFoundError,
    KqlSemanticError,
    KqlSyntaxError,
    OptionError,
    SchemaMismatchError,
    UnsupportedError,
)
from tests.engine.conftest import DATABASE

Run = Callable[..., Result]
Rows = Callable[..., list[tuple[Any, ...]]]


def test_creating_an_existing_table_changes_nothing(run: Run) -> None:
    run(".create table T (a:long, b:string) with (folder='f', docstring='d')")
    answer = run(".create table T (x:int)").rows
    assert answer == [("T", "a:long,b:string", DATABASE, "f", "d")]


def test_names_that_need_quotes_come_back_quoted(run: Run, rows: Rows) -> None:
    run(".create table ['my table'] (['a b']:long, ['it''s']:string)".replace("''", "\\'"))
    schema = run(".show table ['my table'] cslschema").rows[0][1]
    assert schema == "['a b']:long,['it\\'s']:string"
    run(".ingest inline into table ['my table'] <| 1,x")
    assert rows("['my table'] | project ['a b']") == [(1,)]


def test_hidden_tables_are_shown_on_request_only(run: Run) -> None:
    run(".create table Hidden (a:long) with (hidden=true)")
    assert run(".show tables").rows == []
    assert [row[0] for row in run(".show tables with (IncludeHiddenTables=true)").rows] == ["Hidden"]


def test_the_schema_of_a_missing_table_has_no_rows(run: Run) -> None:
    command = (
        ".show table T schema as json | project ColumnsJson=todynamic(Schema).OrderedColumns"
        " | mv-expand ColumnsJson"
    )
    assert run(command).rows == []
    run(".create table T (a:long, b:datetime)")
    names = [row[0]["Name"] for row in run(command).rows]
    assert names == ["a", "b"]
    schema = json.loads(run(".show table T schema as json").rows[0][1])
    assert schema["OrderedColumns"][1] == {"Name": "b", "Type": "System.DateTime", "CslType": "datetime"}


def test_alter_drops_columns_with_their_data_and_merge_adds(run: Run, rows: Rows) -> None:
    run(".create table T (a:long, b:string)")
    run(".ingest inline into table T <| 1,x")
    run(".alter table T (a:long, c:real)")
    run(".alter-merge table T (b:string)")
    assert run(".show table T cslschema").rows[0][1] == "a:long,c:real,b:string"
    assert rows("T") == [(1, None, "")]
    with pytest.raises(SchemaMismatchError, match=r"'a'.*long"):
        run(".alter table T (a:string)")


def test_columns_are_renamed_swapped_retyped_and_dropped(run: Run, rows: Rows) -> None:
    run(".create table T (a:long, b:long)")
    run(".ingest inline into table T <| 1,2")
    run(".rename columns a=T.b, b=T.a")
    assert rows("T | project a, b") == [(2, 1)]
    run(".rename column T.a to z")
    assert rows("T | project z") == [(2,)]
    run(".alter column T.z type=string")
    assert rows("T | project z") == [("",)]
    run(".drop column T.z")
    run(".alter-merge table T (z:long)")
    assert rows("T | project z") == [(None,)]


def test_tables_are_renamed_and_swapped(run: Run, rows: Rows) -> None:
    run(".set A <| print x=1")
    run(".set B <| print x=2")
    run(".rename tables A=B, B=A")
    assert rows("A") == [(2,)]
    run(".rename table A to C")
    assert rows("C") == [(2,)]
    with pytest.raises(EntityExistsError):
        run(".rename table B to C")


def test_dropping_says_what_remains(run: Run) -> None:
    run(".create tables A (x:long), B (x:long), C (x:long)")
    assert run(".drop table A").rows == [("B", DATABASE), ("C", DATABASE)]
    with pytest.raises(EntityNotFoundError, match="Did you mean 'B'"):
        run(".drop table b")
    run(".drop table A ifexists")
    assert run(".drop tables (B, Z) ifexists").rows == [("C", DATABASE)]


def test_clearing_keeps_the_table(run: Run, rows: Rows) -> None:
    run(".set T <| print x=1")
    run(".clear table T data")
    assert rows("T | count") == [(0,)]


def test_tables_made_after_others(run: Run) -> None:
    run(".create table T (a:long, b:string) with (folder='f')")
    run(".create table U based-on T with (folder='g')")
    assert run(".show table U cslschema").rows == [("U", "a:long,b:string", DATABASE, "g", "")]
    with pytest.raises(EntityExistsError):
        run(".create table U based-on T")
    run(".create table U based-on T ifnotexists")


def test_docstrings_and_folders(run: Run) -> None:
    run(".create table T (a:long, b:long)")
    run(".alter table T docstring 'about'")
    run(".alter table T folder 'x/y'")
    run(".alter table T column-docstrings (a:'first', b:'second')")
    run(".alter-merge table T column-docstrings (b:'other')")
    schema = json.loads(run(".show table T schema as json").rows[0][1])
    assert (schema["DocString"], schema["Folder"]) == ("about", "x/y")
    assert [c.get("DocString") for c in schema["OrderedColumns"]] == ["first", "other"]


def test_another_databases_table_is_named_with_its_database(cluster: EmbeddedCluster, run: Run) -> None:
    run(".create database Other")
    run(".create table Other.T (a:long)")
    assert cluster.execute("Other", ".show tables").rows == [("T", "Other", "", "")]
    assert run(".show tables").rows == []


def test_databases(cluster: EmbeddedCluster, run: Run) -> None:
    assert [row[0] for row in run(".show databases").rows] == [DATABASE]
    run(".create database Other")
    with pytest.raises(EntityExistsError):
        run(".create database other")
    run(".create database other ifnotexists")
    run(".alter database Other prettyname 'Pretty'")
    assert run(".show databases | where DatabaseName == 'Other' | project PrettyName").rows == [("Pretty",)]
    assert run(".show databases (Oth*) | count").rows == [(1,)]
    cluster.ingest("Other", "T", pa.table({"a": [1]}), create=True)
    assert run(".drop database Other").rows == [("T", "1")]
    with pytest.raises(EntityNotFoundError):
        cluster.query("Other", "print 1")
    run(".drop database Other ifexists")
    with pytest.raises(UnsupportedError, match="persist"):
        run(".create database P persist (@'/a', @'/b')")


def test_the_database_schema_has_versions(run: Run) -> None:
    run(".create table T (a:long)")
    version = run(".show databases | project Version").rows[0][0]
    assert run(f".show database schema if_later_than '{version}'").rows == []
    run(".create table U (a:long)")
    assert run(f".show database schema if_later_than '{version}'").rows
    with pytest.raises(OptionError, match="version"):
        run(".show database schema if_later_than 'soon'")
    schema = json.loads(run(".show database schema as json").rows[0][0])
    assert list(schema["Databases"][DATABASE]["Tables"]) == ["T", "U"]


def test_a_schema_script_makes_the_same_database(cluster: EmbeddedCluster, run: Run) -> None:
    run(".create table T (a:long, ['b c']:string) with (docstring='it\\'s')")
    run(".create function with (docstring='d') F(x:long) { T | where a > x }")
    run(""".create table T ingestion csv mapping "m" '[{"column":"a","Properties":{"Ordinal":"0"}}]'""")
    run(".alter-merge table T policy retention softdelete = 7d")
    script = "\n".join(row[0] for row in run(".show database schema as csl script").rows)
    run(".create database Copy")
    done = cluster.execute("Copy", f".execute database script <|\n{script}").rows
    assert {row[3] for row in done} == {"Completed"}
    for command in (".show table T cslschema | project Schema, DocString", ".show functions",
                    ".show table T ingestion mappings | project Name, Mapping",
                    ".show table T policy retention | project Policy"):  # fmt: skip
        assert cluster.execute("Copy", command).rows == run(command).rows


# -- functions ------------------------------------------------------------------------------------------


def test_functions_are_created_used_and_dropped(run: Run, rows: Rows) -> None:
    run(".set T <| range a from 1 to 5 step 1")
    run(".create function with (folder='f', docstring='d') Above(x:long=3) { T | where a > x }")
    assert rows("Above(2) | count") == [(3,)]
    assert rows("Above() | count") == [(2,)]
    with pytest.raises(EntityExistsError):
        run(".create function Above() { T }")
    run(".create ifnotexists function Above() { T }")
    run(".create-or-alter function Above(x:long) { T | where a >= x }")
    answer = run(".show function Above").rows
    assert answer == [("Above", "(x:long)", "{ T | where a >= x }", "f", "d")]
    run(".alter function Above docstring 'new'")
    assert run(".show functions | project DocString").rows == [("new",)]
    assert run(".drop function Above").rows == [("Above",)]
    with pytest.raises(EntityNotFoundError):
        run(".drop function Above")
    assert run(".drop function Above ifexists").rows == []


def test_the_body_of_a_function_is_validated(run: Run) -> None:
    with pytest.raises(KqlSemanticError, match="Missing"):
        run(".create function F() { Missing | count }")
    run(".create function with (skipvalidation=true) F() { Missing | count }")
    with pytest.raises(EntityNotFoundError, match="Did you mean 'F'"):
        run(".show function f")


# -- scripts and syntax ---------------------------------------------------------------------------------


def test_a_script_stops_at_its_first_failure(run: Run) -> None:
    script = (
        ".execute database script {} <|\n.create table A (x:long)\n.drop table Nope\n.create table B (x:long)"
    )
    result = run(script.format("")).rows
    assert [row[3] for row in result] == ["Completed", "Failed", "Skipped"]
    assert "Nope" in result[1][4]
    result = run(script.format("with (ContinueOnErrors=true)")).rows
    assert [row[3] for row in result] == ["Completed", "Failed", "Completed"]
    with pytest.raises(EntityNotFoundError):
        run(script.format("with (ThrowOnErrors=true)"))


def test_commands_that_do_not_parse_say_where(run: Run) -> None:
    with pytest.raises(KqlSyntaxError) as caught:
        run(".create tabel T (a:long)")
    assert "Did you mean 'table'?" in str(caught.value)
    with pytest.raises(KqlSyntaxError):
        run("T | count")


def test_commands_that_are_not_offered_say_so(run: Run) -> None:
    with pytest.raises(UnsupportedError, match="create materialized-view"):
        run(".create materialized-view V on table T { T | summarize count() by a }")
