"""Errors of binding, the shape of SQL and stages, and that nothing users write gets into SQL."""

from __future__ import annotations

import datetime as dt
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spark_kusto
from spark_kusto.errors import KqlError, KqlSemanticError, KustoError, UnsupportedError
from spark_kusto.kql.catalog import StaticCatalog
from spark_kusto.kql.compiled import PythonStage, ScanPredicate, SqlStage
from tests.kql.executor import NOW, Database

DATABASE = Database(
    {
        "T": (
            [("x", "long"), ("s", "string"), ("t", "datetime"), ("d", "dynamic"), ("User", "string")],
            [(1, "a", dt.datetime(2024, 1, 1), {"k": 1}, "Ann"), (2, "b", None, None, "ann")],
        )
    }
)


def sql_stage(query: str) -> SqlStage:
    compiled = DATABASE.compile(query)
    assert len(compiled.stages) == 1
    (stage,) = compiled.stages
    assert isinstance(stage, SqlStage)
    return stage


@pytest.mark.parametrize(
    ("query", "code", "part"),
    [
        ("T | where y > 1", "SEM0100", "'y'"),
        ("T | project usr = User | where Usr == 'a'", "SEM0100", "Did you mean 'usr'"),
        ("Tt | count", "SEM0100", "Did you mean 'T'"),
        ("T | where strln(s) > 1", "SEM0260", "Did you mean 'strlen'"),
        ("T | where StrLen(s) > 1", "SEM0260", "strlen"),
        ("T | where strlen(s, s) > 1", "SEM0219", "strlen("),
        ("T | extend y = ago(x)", "SEM0225", "ago(timespan)"),
        ("T | where x == 'a'", "SEM0064", "long and string"),
        ("T | where s > 1", "SEM0064", "string and long"),
        ("T | extend y = s * 2", "SEM0064", "'*'"),
        ("T | where s", "SEM0079", "bool"),
        ("T | extend y = sum(x)", "SEM0079", "summarize"),
        ("T | summarize x", "SEM0100", "'x'"),
        ("T | summarize count() by d", "SEM0040", "dynamic"),
        ("T | extend y = row_number()", "SEM0083", "serialize"),
        ("T | where x has 'a'", "SEM0025", "tostring"),
        ("T | project x, x = 1", "SEM0020", "twice"),
        ("T | mv-expand s", "SEM0100", "todynamic"),
        ("T | join kind=inner (T) on nope", "SEM0100", "nope"),
        ("T | join kind=fuzzy (T) on x", "SEM0001", "fuzzy"),
        ("T | extend y = s.k", "SEM0104", "parse_json"),
        ("T | project-away nope", "SEM0100", "nope"),
        ("datatable(a:long)[1, 2] | project b", "SEM0100", "'b'"),
        ("let f = (n: long) { n }; print f('a')", "SEM0225", "'n'"),
        ("let f = (n: long) { n }; print f()", "SEM0219", "'n'"),
        ("database('nope').T | count", "SEM0100", "nope"),
        ("declare query_parameters(n: long); print n", "SEM0013", "'n'"),
        ("print datetime(2024-13-45)", "SEM0011", "2024-13-45"),
        ("let x = 1;", "SEM0001", "no tabular"),
    ],
)
def test_errors_say_what_is_wrong_and_where(query: str, code: str, part: str) -> None:
    with pytest.raises(KqlSemanticError) as caught:
        DATABASE.compile(query)
    assert caught.value.code == code
    assert part in str(caught.value)


def test_errors_point_into_the_text() -> None:
    with pytest.raises(KqlSemanticError) as caught:
        DATABASE.compile("T\n| where x > 1\n| where nope == 2")
    assert (caught.value.line, caught.value.column) == (3, 9)
    assert "^^^^" in str(caught.value)


def test_what_is_refused_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="python"):
        DATABASE.compile("T | evaluate python(typeof(*), 'x')")


def test_names_keep_their_case_and_never_reach_sql() -> None:
    assert DATABASE.rows("T | extend user = tolower(User) | where user == 'ann' | project User, user") == [
        ("Ann", "ann"),
        ("ann", "ann"),
    ]
    stage = sql_stage("T | extend ['very odd; name'] = x | where ['very odd; name'] > 0")
    assert "odd" not in stage.sql
    assert "User" not in stage.sql


def test_a_query_without_breakers_is_one_statement() -> None:
    compiled = DATABASE.compile(
        "let A = T | where x > 0; A | join kind=leftouter (A | summarize count() by s) on s"
        " | extend n = strlen(s) | summarize arg_max(n, *) by User | sort by n desc | take 5"
    )
    assert len(compiled.stages) == 1
    assert not compiled.row_wise
    assert compiled.is_ordered


def test_python_operators_cut_stages() -> None:
    compiled = DATABASE.compile("T | serialize | scan with (step a: true;) | where x > 1")
    kinds = [type(stage) for stage in compiled.stages]
    assert kinds == [SqlStage, PythonStage, SqlStage]
    assert pickle.loads(pickle.dumps(compiled)) == compiled


def test_scans_ask_for_the_columns_that_are_read() -> None:
    (scan,) = sql_stage("T | where x > 1 | extend y = strlen(s), z = d.k | project y").scans
    assert {column.name for column in scan.columns} == {"x", "s"}
    (scan,) = sql_stage("T | count").scans
    assert scan.columns == ()


def test_predicates_for_pruning() -> None:
    (scan,) = sql_stage(
        "T | where t > ago(1h) and x == 5 | extend x2 = x"
        " | where x2 < 9 and s startswith_cs 'ab' and x2 + 1 > 2"
    ).scans
    assert set(scan.predicates) == {
        ScanPredicate("t", ">", NOW - dt.timedelta(hours=1)),
        ScanPredicate("x", "==", 5),
        ScanPredicate("x", "<", 9),
        ScanPredicate("s", "startswith", "ab"),
    }
    (scan,) = sql_stage("T | where x in (1, 2) and t between (datetime(2024-01-01) .. 1d)").scans
    assert set(scan.predicates) == {
        ScanPredicate("x", "in", (1, 2)),
        ScanPredicate("t", ">=", dt.datetime(2024, 1, 1)),
        ScanPredicate("t", "<=", dt.datetime(2024, 1, 2)),
    }


def test_predicates_above_limits_and_aggregates_do_not_prune() -> None:
    for query in ("T | take 1 | where x == 1", "T | summarize x = max(x) | where x == 1"):
        (scan,) = sql_stage(query).scans
        assert scan.predicates == ()
    (scan,) = sql_stage("T | where x == 1 or s == 'a'").scans
    assert scan.predicates == ()


def test_constants_are_folded() -> None:
    sql = sql_stage("T | where t > ago(1d) - 2 * 1h and x > 2 + 3").sql
    assert "TIMESTAMP '2024-05-05 05:08:09.123456'" in sql
    assert "5::BIGINT" in sql


def test_filters_are_bare_where_nulls_do_not_matter() -> None:
    assert "WHERE (c1 = 5::BIGINT)" in sql_stage("T | where x == 5").sql
    assert "WHERE (c2 = 'a')" in sql_stage("T | where s == 'a'").sql


@pytest.mark.parametrize(
    ("query", "row_wise"),
    [
        ("T | where x > 1 | extend y = x * 2 | project-away s", True),
        ("T", True),
        ("T | take 5", False),
        ("T | sort by x", False),
        ("T | mv-expand d", False),
        ("T | union T", False),
        ("T | where x in ((T | project x))", False),
        ("print 1", False),
    ],
)
def test_row_wise(query: str, row_wise: bool) -> None:
    assert DATABASE.compile(query).row_wise is row_wise


def test_virtual_columns() -> None:
    (scan,) = sql_stage("T | where cursor_after('638000000000000000') | project ingestion_time()").scans
    assert {column.name for column in scan.columns} == {"$cursor", "$ingestion_time"}
    assert scan.predicates == (ScanPredicate("$cursor", ">", 638000000000000000),)


def test_options_and_query_now() -> None:
    compiled = DATABASE.compile("set notruncation; set truncationmaxrecords = 5; T")
    assert compiled.options == {"notruncation": True, "truncationmaxrecords": 5}
    assert DATABASE.rows("set query_now = datetime(2020-01-01); print now()") == [(dt.datetime(2020, 1, 1),)]


def test_restricted_access_hides_tables() -> None:
    database = Database({"A": ([("x", "long")], [(1,)]), "B": ([("x", "long")], [(2,)])})
    assert database.rows("restrict access to (A); A") == [(1,)]
    with pytest.raises(KqlSemanticError, match="'B'"):
        database.compile("restrict access to (A); B")


def test_visualizations() -> None:
    (result,) = DATABASE.compile("T | summarize count() by s | render barchart with (title='a b')").results
    assert result.visualization == {"Visualization": "barchart", "Title": "a b"}


_TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=0, max_size=30
) | st.sampled_from(["'", "''", "\\'", "'; DROP TABLE x; --", "$1", "{0}", "%s", "\0", '"', "*/", "c1"])


def quoted(text: str) -> str:
    out = ['"']
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char in "\u2028\u2029":
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(char)
    return "".join([*out, '"'])


@settings(max_examples=60, deadline=None)
@given(_TEXTS)
def test_any_text_comes_back_as_itself(text: str) -> None:
    literal = quoted(text)
    assert DATABASE.rows(f"print {literal}") == [(text,)]
    assert DATABASE.rows(
        f"print a = {literal} | where a == {literal} and a contains {literal} and a in ({literal})"
    ) == [(text,)]
    assert DATABASE.rows(
        "declare query_parameters(p: string); print tostring(pack_array(p)[0])", parameters={"p": f"h{text}"}
    ) == [(f"h{text}",)]


@settings(max_examples=40, deadline=None)
@given(_TEXTS.filter(lambda text: text.strip() != ""))
def test_any_name_comes_back_as_itself(name: str) -> None:
    columns, _, rows = DATABASE.query(f"print [{quoted(name)}] = 1 | extend [{quoted(name + 'x')}] = 2")
    assert columns == [name, f"{name}x"]
    assert rows == [(1, 2)]


_WORDS = st.sampled_from(
    str.split(
        "T x s t d User 1 2.5 'a' where extend project summarize by count() sum(x) | | ( ) , = == + -"
        " * has in ~ and or not( bin(x,2) join kind=inner on union let f = ; take top mv-expand d.k"
        " [0] dynamic([1]) ago(1d) null"
    )
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_WORDS, min_size=1, max_size=14))
def test_nothing_but_the_projects_own_errors(words: list[str]) -> None:
    try:
        DATABASE.compile(" ".join(words))
    except KustoError:
        pass


def test_long_chains() -> None:
    terms = " or ".join(f"x == {number}" for number in range(5000))
    assert DATABASE.rows(f"T | where {terms} | count") == [(2,)]
    assert DATABASE.rows("T | where x == 1 " + "| extend x = x + 1 " * 200 + "| project x") == [(201,)]


def test_binding_needs_no_engine() -> None:
    catalog = StaticCatalog({"db": {"A": [("n", "long")]}})
    from spark_kusto import kql

    compiled = kql.compile("A | summarize m = max(n)", catalog, database="db")
    assert [(column.name, column.type.value) for column in compiled.results[0].columns] == [("m", "long")]


@pytest.mark.parametrize(
    "query",
    [
        "let f = () { f() }; print f()",
        ".create-or-alter function with (skipvalidation=true) A() { B() }",
    ],
)
def test_recursive_functions_are_refused(query: str, tmp_path: Path) -> None:
    with spark_kusto.connect(tmp_path / "cluster") as cluster:
        if query.startswith("."):
            cluster.execute("NetDefaultDB", query)
            cluster.execute(
                "NetDefaultDB", ".create-or-alter function with (skipvalidation=true) B() { A() }"
            )
            query = "A()"
        with pytest.raises(KqlError):
            cluster.query("NetDefaultDB", query)
