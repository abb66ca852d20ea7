"""Management commands: names, arguments, properties, and what follows."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from spark_kusto.errors import KqlSyntaxError
from spark_kusto.kql import parse_command
from spark_kusto.kql import syntax as s
from spark_kusto.kql.parser.command_grammar import COMMANDS, TAILS
from spark_kusto.kql.parser.commands import COMMAND_NAMES, is_command, split_script

COLUMNS = (s.ColumnDeclaration("a", "long"), s.ColumnDeclaration("b c", "string"))
ID = "12345678-1234-1234-1234-123456789abc"
DAY = timedelta(days=1)


def check(text: str, name: str, **arguments: Any) -> s.ManagementCommand:
    """Parse, and compare name and arguments."""
    found = parse_command(text)
    assert found.name == name
    assert found.arguments == arguments
    return found


class TestTables:
    def test_create(self) -> None:
        found = check(
            ".create table T (a:long, ['b c']:string) with (Folder='x', hidden=true, n=-1)",
            "create table",
            table="T",
            columns=COLUMNS,
        )
        assert found.properties == {"folder": "x", "hidden": True, "n": -1}
        assert not found.is_async

    @pytest.mark.parametrize("verb", ["create-merge", "alter", "alter-merge"])
    def test_other_schemas(self, verb: str) -> None:
        check(
            f".{verb} table ['T x'] (a:long, ['b c']:string)", f"{verb} table", table="T x", columns=COLUMNS
        )

    def test_several_tables(self) -> None:
        check(
            ".create tables A (a:long), B (['b c']:string) with (folder='f')",
            "create tables",
            tables=(("A", COLUMNS[:1]), ("B", COLUMNS[1:])),
        )
        check(".drop tables (A, ['B c']) ifexists", "drop tables", tables=("A", "B c"), ifexists=True)

    def test_a_table_of_another_database(self) -> None:
        check(".drop table db.T", "drop table", database="db", table="T")

    def test_names_may_be_strings_or_keywords(self) -> None:
        check('.show table "T x" cslschema', "show table cslschema", table="T x", language="cslschema")
        check(".drop table table ifexists", "drop table", table="table", ifexists=True)
        check(".show table details details", "show table details", table="details")

    def test_based_on(self) -> None:
        check(
            ".create table X based-on Y ifnotexists with (folder='f')",
            "create table based-on",
            table="X",
            source="Y",
            ifnotexists=True,
        )

    def test_rename(self) -> None:
        check(".rename table A to B", "rename table", table="A", new_name="B")
        check(
            ".rename tables New = Old, ['x y']=Z ifexists",
            "rename tables",
            renames=(("New", ("Old",)), ("x y", ("Z",))),
            ifexists=True,
        )

    def test_columns(self) -> None:
        check(".rename column T.a to b", "rename column", column=("T", "a"), new_name="b")
        check(".alter column T.['a b'] type=double", "alter column type", column=("T", "a b"), type="real")
        check(".drop table T columns (a, b)", "drop table columns", table="T", columns=("a", "b"))
        check(
            ".alter-merge table T column-docstrings (a: 'x', ['b']: 'y')",
            "alter-merge table column-docstrings",
            table="T",
            docstrings={"a": "x", "b": "y"},
        )

    def test_show(self) -> None:
        check(".show tables", "show tables")
        check(".show tables (A, B) details", "show tables details", tables=("A", "B"))
        check(".show table T schema as json", "show table schema as json", table="T")
        check(".show table T", "show table", table="T")

    def test_clear_and_undo(self) -> None:
        assert check(".clear async table T data", "clear table data", table="T").is_async
        check(
            ".undo drop table T as U version=v24.3",
            "undo drop table",
            table="T",
            new_name="U",
            version="v24.3",
        )


class TestDatabases:
    def test_create_and_drop(self) -> None:
        check(".create database D ifnotexists", "create database", database="D", ifnotexists=True)
        check(
            '.create database D persist (@"/x", @"/y")', "create database", database="D", paths=("/x", "/y")
        )
        check(".create database D volatile", "create database", database="D", volatile="volatile")
        check(".drop database D ifexists", "drop database", database="D", ifexists=True)

    def test_show(self) -> None:
        check(".show databases", "show databases")
        check(".show cluster databases (A*, B)", "show databases", databases=("A*", "B"))
        check(".show database", "show database")
        check(".show database D", "show database", database="D")
        check(".show database details", "show database details", flavor="details")
        check(".show database schema", "show database schema")
        check(
            ".show database D schema details if_later_than 'v1.2'",
            "show database schema",
            database="D",
            details=True,
            version="v1.2",
        )
        check(".show database schema as json", "show database schema as json")
        check(".show database D journal", "show database journal", database="D")

    def test_script(self) -> None:
        found = check(
            ".execute database script with (ContinueOnErrors=true) <|"
            "\n.create table T (a:long)\n\n.show tables",
            "execute database script",
        )
        assert found.properties == {"continueonerrors": True}
        assert found.input is not None
        assert split_script(found.input) == (".create table T (a:long)", ".show tables")


class TestIngestion:
    def test_inline(self) -> None:
        found = check(
            ".ingest inline into table T with (format='csv') <|\n1,\"a\n2,'b\n",
            "ingest inline into table",
            table="T",
        )
        assert found.input == "1,\"a\n2,'b\n"
        assert found.properties == {"format": "csv"}
        assert found.query is None

    def test_inline_data_need_not_be_kql(self) -> None:
        found = parse_command(".ingest inline into table ['T x'] <| \x00 “x” ; | [ ( '")
        assert found.arguments == {"table": "T x"}
        assert found.input == "\x00 “x” ; | [ ( '"

    def test_inline_in_brackets(self) -> None:
        found = parse_command(".ingest inline into table T [1,'a\n2,\"b]\n];")
        assert found.input == "1,'a\n2,\"b]\n"

    def test_into(self) -> None:
        found = check(
            ".ingest async into table T (h'/x/secret.csv', '/y') with (format='csv', tags='[\"t\"]')",
            "ingest into table",
            table="T",
            sources=(s.Literal("string", "/x/secret.csv"), s.Literal("string", "/y")),
        )
        assert found.is_async
        assert "secret" not in repr(found)

    @pytest.mark.parametrize("verb", ["set", "append", "set-or-append", "set-or-replace"])
    def test_from_query(self, verb: str) -> None:
        found = check(f".{verb} async T with (a=1) <| U | where x > 1;", verb, table="T")
        assert found.is_async
        assert isinstance(found.query, s.Query)
        assert found.query.text == "U | where x > 1;"
        assert isinstance(found.query.results[0], s.Pipe)

    def test_from_command(self) -> None:
        found = parse_command(".set T <| .show tables | take 1")
        assert isinstance(found.query, s.ManagementCommand)
        assert found.query.name == "show tables"
        assert len(found.query.pipe) == 1

    def test_creation_time(self) -> None:
        found = parse_command(".append T with (creationTime=datetime(2020-01-01)) <| U")
        assert found.properties == {"creationtime": datetime(2020, 1, 1, tzinfo=timezone.utc)}

    def test_mappings(self) -> None:
        check(
            ".create-or-alter table T ingestion json mapping 'm' ```\n[]\n```",
            "create-or-alter table ingestion mapping",
            table="T",
            kind="json",
            mapping="m",
            definition="\n[]\n",
        )
        check(".show table T ingestion mappings", "show table ingestion mappings", table="T")
        check(
            ".drop table T ingestion csv mapping 'm'",
            "drop table ingestion mapping",
            table="T",
            kind="csv",
            mapping="m",
        )


class TestExtents:
    def test_show(self) -> None:
        check(".show table T extents", "show extents", scope="table", table="T")
        check(".show cluster extents", "show extents", scope="cluster")
        check(
            f".show database D extents ({ID}) hot where tags has 'a' and tags !contains \"b\" with (x=1)",
            "show extents",
            scope="database",
            database="D",
            extents=(ID,),
            hot=True,
            tags=(("has", "a"), ("!contains", "b")),
        )

    def test_move(self) -> None:
        check(
            f".move extents from table A to table B ('{ID}', {ID.upper()}, guid({ID}))",
            "move extents",
            source="A",
            table="B",
            extents=(ID, ID, ID),
        )
        check(".move async extents all from table A to table B", "move extents all", source="A", table="B")

    def test_move_as_the_jvm_connector_sends_it(self) -> None:
        found = check(
            ".move async extents to table D with(SetNewIngestionTime=true) "
            "with(extentCreatedOnFrom='2020-01-01',extentCreatedOnTo='2020-01-02') <| "
            ".show table Tmp extents with(extentsShowFilteringRuntimePolicy='{\"MaximumResultsCount\":5}');",
            "move extents by query",
            table="D",
        )
        assert found.properties == {
            "setnewingestiontime": True,
            "extentcreatedonfrom": "2020-01-01",
            "extentcreatedonto": "2020-01-02",
        }
        assert isinstance(found.query, s.ManagementCommand)
        assert found.query.arguments == {"scope": "table", "table": "Tmp"}
        assert found.query.then == ()

    def test_replace(self) -> None:
        found = parse_command(
            ".replace extents in table T <| {.show table T extents | where a == '}'}, {print x = 1};"
        )
        drop, move = found.arguments["drop_query"], found.arguments["move_query"]
        assert isinstance(drop, s.ManagementCommand)
        assert len(drop.pipe) == 1
        assert isinstance(move, s.Query)
        assert move.text == "print x = 1"

    def test_drop(self) -> None:
        check(
            ".drop extents older 10 days from T trim by extentsize 5 GB limit 3",
            "drop extents",
            older=10,
            older_unit="days",
            table="T",
            trim_by="extentsize",
            trim_size=5,
            trim_unit="GB",
            limit=3,
        )
        check(".drop extents from all tables", "drop extents", all="all tables")
        check(f".drop extent {ID} from T", "drop extents", extents=(ID,), table="T")
        check(".drop extents whatif <| .show table T extents", "drop extents by query", whatif=True)

    def test_tags(self) -> None:
        found = check(
            ".alter async table T extent tags ('a', 'b') <| .show table T extents; $command_results | take 1",
            "alter extent tags",
            table="T",
            tags=("a", "b"),
        )
        assert isinstance(found.query, s.ManagementCommand)
        (then,) = found.query.then
        assert isinstance(then, s.ExpressionStatement)
        check(".drop table T extent tags ('a')", "drop extent tags", table="T", tags=("a",))

    def test_merge(self) -> None:
        found = check(f".merge async T ({ID}) with (rebuild=true)", "merge extents", table="T", extents=(ID,))
        assert found.properties == {"rebuild": True}


class TestPolicies:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("table T", {"entity_type": "table", "entity": "T"}),
            ("table *", {"entity_type": "table", "entity": "*"}),
            ("database", {"entity_type": "database"}),
            ("database D", {"entity_type": "database", "entity": "D"}),
            ("cluster", {"entity_type": "cluster"}),
            ("column T.c", {"entity_type": "column", "entity": ("T", "c")}),
            ("materialized-view V", {"entity_type": "materialized-view", "entity": "V"}),
            ("external table E", {"entity_type": "external table", "entity": "E"}),
        ],
    )
    def test_entities(self, text: str, expected: dict[str, Any]) -> None:
        check(f".show {text} policy caching", "show policy", policy="caching", **expected)

    @pytest.mark.parametrize(
        ("policy", "expected"),
        [
            ("ingestionbatching '{\"a\":1}'", {"value": '{"a":1}'}),
            ("ingestiontime true", {"value": True}),
            ("streamingingestion disable", {"state": "disable"}),
            ("row_level_security enable with (x=true) 'F'", {"state": "enable", "value": "F"}),
            ("roworder (a asc, b desc)", {"value": (("a", "asc"), ("b", "desc"))}),
            ("encoding type='BigObject'", {"settings": {"type": "BigObject"}}),
            ("caching hot = 1d", {"settings": {"hot": DAY}}),
            ("caching hotdata=1d hotindex=2d", {"settings": {"hotdata": DAY, "hotindex": 2 * DAY}}),
            (
                "retention softdelete = 1d recoverability = disabled",
                {"settings": {"softdelete": DAY, "recoverability": "disabled"}},
            ),
        ],
    )
    def test_values(self, policy: str, expected: dict[str, Any]) -> None:
        name, _, _ = policy.partition(" ")
        check(
            f".alter table T policy {policy}",
            "alter policy",
            entity_type="table",
            entity="T",
            policy=name,
            **expected,
        )

    def test_hot_windows(self) -> None:
        found = parse_command(
            ".alter tables (A, B) policy caching hot = 1d,"
            " hot_window = datetime(2020) .. datetime(2021), hot_window = datetime(2022) .. datetime(2023)"
        )
        assert found.arguments["entity"] == ("A", "B")
        windows = found.arguments["settings"]["hot_window"]
        assert [(first.year, last.year) for first, last in windows] == [(2020, 2021), (2022, 2023)]

    def test_delete(self) -> None:
        check(
            ".delete database D policy retention",
            "delete policy",
            entity_type="database",
            entity="D",
            policy="retention",
        )


class TestDeletion:
    def test_records(self) -> None:
        found = check(
            ".delete async table T records with (whatif=true) <| T | where a",
            "delete table records",
            table="T",
        )
        assert found.is_async
        assert isinstance(found.query, s.Query)

    def test_update(self) -> None:
        found = check(
            ".update table T delete D append A <| let D = T | where x; let A = T | take 1;",
            "update table",
            table="T",
            delete="D",
            append="A",
        )
        assert isinstance(found.query, s.Query)
        assert len(found.query.statements) == 2

    def test_purge(self) -> None:
        found = check(
            ".purge table T records in database D with (noregrets='true') <| where a == 1",
            "purge table records",
            table="T",
            database="D",
        )
        assert isinstance(found.query, s.Query)
        (pipe,) = found.query.results
        assert isinstance(pipe, s.Pipe)
        assert pipe.source == s.Name("T")
        assert isinstance(pipe.operators[0], s.Where)


class TestFunctionsAndViews:
    def test_function(self) -> None:
        text = "(a:long = 1, T:(*)) { let b = '}'; // }\n T | take a }"
        found = parse_command(f".create-or-alter function with (folder='x', skipvalidation=true) F {text}")
        assert found.name == "create-or-alter function"
        assert found.arguments["function"] == "F"
        assert found.arguments["parameters"] == "(a:long = 1, T:(*))"
        assert found.arguments["body"] == "{ let b = '}'; // }\n T | take a }"
        definition = found.arguments["definition"]
        assert isinstance(definition, s.Function)
        assert len(definition.parameters) == 2

    def test_drop_function(self) -> None:
        check(".drop function F ifexists", "drop function", function="F", ifexists=True)
        check(".alter function F docstring 'x'", "alter function docstring", function="F", docstring="x")

    def test_materialized_view(self) -> None:
        found = parse_command(
            ".create async ifnotexists materialized-view with (backfill=true, lookback=1d,"
            ' dimensionTables=dynamic(["D"])) V on table T { T | summarize count() by a }'
        )
        assert found.name == "create materialized-view"
        assert found.is_async
        assert found.arguments == {
            "ifnotexists": True,
            "view": "V",
            "source_type": "table",
            "source": "T",
            "body": "T | summarize count() by a",
        }
        assert found.properties == {"backfill": True, "lookback": DAY, "dimensiontables": ["D"]}
        assert isinstance(found.query, s.Query)

    def test_stored_query_result(self) -> None:
        found = check(
            ".set ifnotexists stored_query_result R with (expiresAfter=1d) <| T",
            "set stored_query_result",
            result="R",
            ifnotexists=True,
        )
        assert found.properties == {"expiresafter": DAY}


class TestPrincipals:
    def test_add_and_set(self) -> None:
        check(
            ".add database D viewers ('aaduser=x', 'aadapp=y;z') skip-results 'note'",
            "add principals",
            entity_type="database",
            entity="D",
            role="viewers",
            principals=("aaduser=x", "aadapp=y;z"),
            **{"skip-results": True},
            notes="note",
        )
        check(
            ".set table T admins none",
            "set principals",
            entity_type="table",
            entity="T",
            role="admins",
            principals="none",
        )

    def test_the_current_database(self) -> None:
        check(
            ".add database viewers ('x')",
            "add principals",
            entity_type="database",
            role="viewers",
            principals=("x",),
        )

    def test_show(self) -> None:
        check(".show database D principals", "show principals", entity_type="database", entity="D")
        check(".show principal 'x' roles", "show principal roles", principal="x")


class TestMonitoring:
    def test_operations(self) -> None:
        check(".show operations", "show operations")
        check(f".show operations {ID}", "show operations", operations=(ID,))
        check(f".show operation {ID} details", "show operation details", operation=ID)
        found = check(f".cancel operation {ID} with (reason='x')", "cancel operation", operation=ID)
        assert found.properties == {"reason": "x"}

    @pytest.mark.parametrize(
        "name",
        [
            "show queries",
            "show running queries",
            "show commands",
            "show commands-and-queries",
            "show journal",
            "show version",
            "show cluster",
            "show diagnostics",
        ],
    )
    def test_without_arguments(self, name: str) -> None:
        check(f".{name}", name)


class TestExport:
    def test_to_storage(self) -> None:
        found = parse_command(
            '.export async compressed to parquet ("https://a.blob.core.windows.net/c" h@"?sas=secret")'
            ' with (sizeLimit=100, namePrefix="d/p", compressionType="snappy") <| T | take 1'
        )
        assert found.name == "export to storage"
        assert found.is_async
        assert found.arguments["compressed"] is True
        assert found.arguments["format"] == "parquet"
        (connection,) = found.arguments["connections"]
        assert connection.value == "https://a.blob.core.windows.net/c?sas=secret"
        assert "secret" not in repr(found)

    def test_to_table(self) -> None:
        check(".export to table E with (sizeLimit=1) <| T", "export to table", external_table="E")

    def test_external_table(self) -> None:
        found = parse_command(
            ".create external table E (a:long, d:datetime) kind=storage"
            " partition by (day:datetime = bin(d, 1d), s:string)"
            ' pathformat = ("x=" datetime_pattern("yyyy", day) "/" s) dataformat=csv'
            " ('u1', h'u2') with (folder='f')"
        )
        definition = found.arguments["definition"]
        assert isinstance(definition, s.InlineExternalTable)
        assert (definition.kind, definition.data_format) == ("storage", "csv")
        assert [part.name for part in definition.partitions] == ["day", "s"]
        assert len(definition.path_format) == 4
        assert len(definition.uris) == 2
        assert found.properties == {"folder": "f"}

    def test_delta_table(self) -> None:
        found = parse_command(".create-or-alter external table E kind=delta ('u')")
        assert found.arguments["definition"].columns == ()

    def test_continuous_export(self) -> None:
        found = check(
            ".create-or-alter continuous-export C over (T, U) to table E with (intervalBetweenRuns=1h) <| T",
            "create-or-alter continuous-export",
            continuous_export="C",
            over=("T", "U"),
            external_table="E",
        )
        assert found.properties == {"intervalbetweenruns": timedelta(hours=1)}
        check(
            ".show continuous-export C exported-artifacts | take 1",
            "show continuous-export exported-artifacts",
            continuous_export="C",
        )


class TestFollowers:
    def test_commands(self) -> None:
        check(".show follower databases (A, B)", "show follower databases", databases=("A", "B"))
        check(
            ".alter follower database D from 'path' tables (T, U) policy caching hot = 1d",
            "alter follower policy caching",
            database="D",
            leader_path="path",
            entity_type="tables",
            entity=("T", "U"),
            settings={"hot": DAY},
        )
        check(
            ".alter follower database D caching-policies-modification-kind = replace",
            "alter follower caching-policies-modification-kind",
            database="D",
            kind="replace",
        )
        check(
            ".add follower database D viewers ('x') 'note'",
            "add follower principals",
            database="D",
            role="viewers",
            principals=("x",),
            notes="note",
        )
        check(
            ".alter follower database D external tables exclude drop (A*, B)",
            "alter follower entities",
            database="D",
            entity_type="external tables",
            list="exclude",
            change="drop",
            patterns=("A*", "B"),
        )
        check(
            ".alter follower database D prefetch-extents = true",
            "alter follower prefetch-extents",
            database="D",
            value=True,
        )


class TestFollowUps:
    def test_pipe(self) -> None:
        found = parse_command(
            ".show table T schema as json | project X = todynamic(Schema).OrderedColumns | mv-expand X"
        )
        assert [type(part) for part in found.pipe] == [s.Project, s.MvExpand]

    def test_statements(self) -> None:
        found = parse_command(".show tables | take 5; let n = 1; $command_results | take n")
        assert len(found.pipe) == 1
        assert [type(part) for part in found.then] == [s.Let, s.ExpressionStatement]

    def test_comments_before(self) -> None:
        assert parse_command("\n// why\n  .show tables // c").name == "show tables"

    def test_keywords_in_any_case(self) -> None:
        assert parse_command(".SHOW Tables").name == "show tables"

    def test_places_are_those_of_the_whole_text(self) -> None:
        with pytest.raises(KqlSyntaxError, match="'wher'") as caught:
            parse_command(".set T <|\nU\n| wher x")
        assert (caught.value.line, caught.value.column) == (3, 3)


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (".shw tables", "Did you mean '.show'?"),
            (".show tabels", "Did you mean 'tables'?"),
            (".show table T detials", "Did you mean 'details'?"),
            (".alter table T polcy caching hot=1d", "Did you mean 'policy'?"),
            (".create table T (a:lng)", "'lng' is not a type"),
            (".create table", "expected <table>, found the end of the text"),
            (".create table T", "(<column>:<type>, ...)"),
            (".drop tables A", "expected (<name>, ...), found 'A'"),
            (".set T", "'<|'"),
            (".set T <|", "expected a query after '<|'"),
            (".show tables <| T", "found '<|'"),
            (".purge table T records <|", "expected 'where'"),
            (".show operations (x)", "expected a guid"),
            (".ingest inline into table T [1,2", "no ] follows"),
            (".create function F(a) { 1 }", "a type after the parameter a"),
            (".show tables with (x)", "expected '=' after the property x"),
            (".alter table T policy caching hot = 1d, hot = 2d", "hot is given twice"),
            (".replace extents in table T <| {print 1}", "between the two queries"),
            (".append T with (creationTime=datetime(x)) <| U", "'x' is not a datetime"),
            ("T | take 1", "starts with '.'"),
            (".", "is not a command"),
            ("", "starts with '.'"),
        ],
    )
    def test_message(self, text: str, message: str) -> None:
        with pytest.raises(KqlSyntaxError) as caught:
            parse_command(text)
        assert message in str(caught.value)


class TestGrammar:
    def test_every_tail_belongs_to_a_command(self) -> None:
        assert set(TAILS) <= COMMAND_NAMES

    def test_names_are_the_words_of_their_patterns(self) -> None:
        """A name's first word is its pattern's, so that a reader finds one by the other."""
        aliases = {"create table": "define", "create tables": "define", "alter database prettyname": "set",
                   "create-or-alter continuous-export": "create alter"}  # fmt: skip
        for name, pattern in COMMANDS:
            verb = pattern.split()[0]
            assert name.split()[0] == verb or verb in aliases.get(name, ""), name

    def test_is_command(self) -> None:
        assert is_command(" // c\n .show tables")
        assert not is_command("T | where a.b")
        assert not is_command("")


class TestScripts:
    def test_splitting(self) -> None:
        script = """
            // first
            .create table T (
                a:long,
                b:string
            )
            .create function F() {
                let x = ```
            .not a command
            ```;
                T
            }

            // last
            .set-or-append T <|
                print a = 1.
            .ingest inline into table T <|
            1,"unclosed
            .5,x
            .show tables
        """
        commands = split_script(script)
        assert [command.split("(")[0].split("<|")[0].strip() for command in commands] == [
            "// first\n            .create table T",
            ".create function F",
            ".set-or-append T",
            ".ingest inline into table T",
            ".show tables",
        ]
        assert "// last" in commands[1]
        for command in commands:
            parse_command(command)

    def test_nothing(self) -> None:
        assert split_script("  \n") == ()
