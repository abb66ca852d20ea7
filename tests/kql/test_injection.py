"""Any string comes back as itself, and none can change a statement."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spark_kusto
from spark_kusto.errors import KustoError
from spark_kusto.types import KustoType
from spark_kusto.types.literals import literal

DATABASE = "NetDefaultDB"

NASTY = (
    "'; DROP TABLE x; --",
    '"; .drop table Safe',
    "') UNION SELECT 1 --",
    "\\",
    "\\'",
    '\\"',
    "```",
    "~~~",
    "\x00",
    "a\x00b",
    "\n| count",
    "\r\n",
    "//",
    "/* */",
    "{0} {args} {{",
    "%s %(x)s $1 ?",
    "$1",
    "']['",
    "\u2028\u2029",
    "\U0001f600",
    "e\u0301 \xe9 \u0130 \u0131 \xdf",
    "\ufeff",
    "h'x'",
    '@"x"',
    "''",
    '""',
    " ",
    "\t",
    "true",
    "null",
    "scan_0",
    "c1",
    "SELECT",
)

# Lone surrogates are no text in UTF-8, which is what Kusto stores.
texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.sampled_from(NASTY), max_size=4).map("".join),
)
# Kusto's identifiers: letters, digits, _, space, dot and dash, at most 1,024.
names = st.text(st.sampled_from("abcXYZ019_ .-\xe9\u4e2d"), min_size=1, max_size=20).filter(
    lambda name: name.strip() == name
)
SOME = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[spark_kusto.Cluster]:
    opened = spark_kusto.connect(tmp_path_factory.mktemp("injection"))
    opened.execute(DATABASE, ".create table Safe (s:string)")
    opened.ingest(DATABASE, "Safe", pa.table({"s": list(NASTY)}))
    yield opened
    assert [row[0] for row in opened.query(DATABASE, "Safe").rows] == list(NASTY)
    opened.close()


@SOME
@given(texts)
def test_literal(cluster: spark_kusto.Cluster, text: str) -> None:
    written = literal(text, KustoType.STRING)
    rows = cluster.query(
        DATABASE, f"print a = {written}, b = strlen({written}), c = {written} == {written}"
    ).rows
    assert rows == [(text, len(text), True)]


@SOME
@given(texts)
def test_literal_as_filter(cluster: spark_kusto.Cluster, text: str) -> None:
    written = literal(text, KustoType.STRING)
    expected = [(known,) for known in NASTY if known == text]
    assert cluster.query(DATABASE, f"Safe | where s == {written}").rows == expected
    assert cluster.query(DATABASE, f"Safe | where s in ({written})").rows == expected
    contained = [(known,) for known in NASTY if text in known]
    assert cluster.query(DATABASE, f"Safe | where s contains_cs {written}").rows == contained
    starting = [(known,) for known in NASTY if known.startswith(text)]
    assert cluster.query(DATABASE, f"Safe | where s startswith_cs {written}").rows == starting


@SOME
@given(texts)
def test_parameter(cluster: spark_kusto.Cluster, text: str) -> None:
    query = "declare query_parameters(p:string); Safe | where s == p | summarize n = count(), p = take_any(p)"
    rows = cluster.query(DATABASE, query, parameters={"p": text}).rows
    assert rows[0][0] == NASTY.count(text)
    shown = cluster.query(DATABASE, "declare query_parameters(p:string); print p", parameters={"p": text})
    assert shown.rows == [(text,)]


@SOME
@given(texts)
def test_dynamic(cluster: spark_kusto.Cluster, text: str) -> None:
    written = literal(json.dumps({"k": text, "l": [text]}), KustoType.STRING)
    query = f"print d = parse_json({written}) | project d, tostring(d.k), tostring(d.l[0])"
    assert cluster.query(DATABASE, query).rows == [({"k": text, "l": [text]}, text, text)]


@SOME
@given(texts)
def test_result_column(cluster: spark_kusto.Cluster, text: str) -> None:
    """A name of any characters, where the language takes it, is the result's name."""
    quoted = literal(text, KustoType.STRING)
    try:
        result = cluster.query(DATABASE, f"print [{quoted}] = 1 | extend z = [{quoted}] + 1")
    except KustoError:
        return
    assert [column.name for column in result.columns] == [text, "z"]
    assert result.rows == [(1, 2)]


@settings(SOME, max_examples=20)
@given(names, names)
def test_table_and_column(cluster: spark_kusto.Cluster, table: str, column: str) -> None:
    quoted, inner = literal(table, KustoType.STRING), literal(column, KustoType.STRING)
    try:
        cluster.execute(DATABASE, f".create table [{quoted}] ([{inner}]:long)")
    except KustoError:
        return
    try:
        cluster.ingest(DATABASE, table, pa.table({column: [1, 2]}))
        result = cluster.query(DATABASE, f"[{quoted}] | where [{inner}] > 1 | extend t = {quoted}")
        assert [c.name for c in result.columns] == [column, "t" if column != "t" else "t1"][:2]
        assert result.rows[0][0] == 2
    finally:
        cluster.execute(DATABASE, f".drop table [{quoted}]")


@SOME
@given(texts)
def test_names_that_do_not_exist(cluster: spark_kusto.Cluster, text: str) -> None:
    """Whatever a text is spliced as, the worst is an error of this project."""
    for query in (f"Safe | project {text}", f"{text} | take 1", f"Safe | where s == '{text}'"):
        try:
            cluster.query(DATABASE, query).rows  # noqa: B018 - the rows are what is run
        except KustoError as error:
            assert str(error)  # noqa: PT017 - any of the project's errors will do, with its text


@SOME
@given(texts)
def test_pivoted_value_is_a_column(cluster: spark_kusto.Cluster, text: str) -> None:
    written = literal(text, KustoType.STRING)
    result = cluster.query(DATABASE, f"print k = 'r', s = {written}, v = 1 | evaluate pivot(s, sum(v))")
    assert result.rows[-1][-1] == 1
    if text not in ("", "k"):
        assert result.columns[-1].name == text


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("datetime", "2024-03-02", dt.datetime(2024, 3, 2, tzinfo=dt.timezone.utc)),
        ("datetime", "2024-01-01T10:00:00Z", dt.datetime(2024, 1, 1, 10, tzinfo=dt.timezone.utc)),
        ("datetime", "datetime(2024-01-01)", dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)),
        ("datetime", dt.date(2024, 3, 2), dt.datetime(2024, 3, 2, tzinfo=dt.timezone.utc)),
        ("timespan", "01:00:00", dt.timedelta(hours=1)),
        ("timespan", "-2h", dt.timedelta(hours=-2)),
        ("long", "-7", -7),
        ("long", "long(8)", 8),
        ("real", "1.5", 1.5),
        ("real", "2", 2.0),
        ("decimal", "1.1", Decimal("1.1")),
        ("bool", "true", True),
        ("dynamic", "[1, 2]", [1, 2]),
        ("datetime", "2024-13-01", None),
        ("datetime", "2024-01-01 + 1d", None),
        ("timespan", "x", None),
        ("long", "10-3", None),
        ("long", "1.5", None),
        ("long", 1.5, None),
        ("long", "x", None),
        ("real", "1/2", None),
        ("string", 5, None),
        ("guid", "abc", None),
        ("dynamic", "[1]); print x = (2", None),
    ],
)
def test_parameter_texts_are_values(cluster: spark_kusto.Cluster, kind: str, text: Any, value: Any) -> None:
    query = f"declare query_parameters(p:{kind}); print p"
    if value is not None:
        assert cluster.query(DATABASE, query, parameters={"p": text}).rows == [(value,)]
        return
    with pytest.raises(KustoError):
        cluster.query(DATABASE, query, parameters={"p": text})


@pytest.mark.parametrize("kind", ["datetime", "timespan", "guid", "long", "real", "bool", "decimal"])
def test_parameter_texts_ask_nothing(cluster: spark_kusto.Cluster, kind: str) -> None:
    """The text of a value of another type is a literal, never a query."""
    query = f"declare query_parameters(p:{kind}); print p"
    with pytest.raises(KustoError):
        cluster.query(DATABASE, query, parameters={"p": f"to{kind}(toscalar(Safe | project s | take 1))"})
