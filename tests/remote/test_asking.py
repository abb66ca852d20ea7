"""Queries and commands over the REST API: values as of an embedded cluster, errors by their kind."""

from __future__ import annotations

import datetime as dt
import pickle
import sys
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spark_kusto import connect
from spark_kusto.client import Cluster, read_scan
from spark_kusto.client.remote.texts import with_literals
from spark_kusto.errors import (
    AuthenticationError,
    EntityExistsError,
    KqlSemanticError,
    KqlSyntaxError,
    KustoError,
    OptionError,
    QueryError,
    QueryLimitError,
    QueryTimeoutError,
    ServiceError,
    TypeConversionError,
    UnsupportedError,
)
from spark_kusto.types import Column, KustoType
from spark_kusto.types.literals import string_literal
from tests.remote.conftest import DATABASE, QUICK
from tests.remote.server import KustoServer
from tests.remote.wire import api_error

EVERY = (
    "datatable(n:long, b:bool, i:int, l:long, r:real, d:decimal, s:string, t:datetime, p:timespan, g:guid,"
    " y:dynamic)["
    "1, true, 7, 9007199254740993, 1.5, decimal(12345678901234567890.123456789012345678), 'a\"b\\n',"
    " datetime(2024-02-29T12:34:56.1234567Z), 1d+2h+3ms, guid(12345678-1234-1234-1234-123456789abc),"
    " dynamic({'a': [1, 2.5, 'x', null, true]}),"
    "2, false, -1, -1, real(nan), decimal(-0.5), '', datetime(0001-01-01), -1s, guid(null), dynamic('text'),"
    "3, bool(null), int(null), long(null), real(-inf), decimal(null), '',"
    " datetime(9999-12-31 23:59:59.999999), timespan(null), guid(null), dynamic(null),"
    "4, bool(null), 2147483647, 9223372036854775807, real(null), decimal(0), '日本 🎈', datetime(null), 0s,"
    " guid(00000000-0000-0000-0000-000000000000), dynamic([{'k': 'v'}])]"
)


class StaticCredential:
    """A credential of azure-identity's kind."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> Any:
        from azure.core.credentials import AccessToken

        self.scopes += scopes
        token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        return AccessToken(token, int(time.time()) + 3600)


def refusal(call: Callable[[], object], kind: type[Exception] = KustoError) -> Any:
    with pytest.raises(kind) as caught:
        call()
    return caught.value


# -- values


@pytest.mark.roundtrip
def test_values_are_those_of_an_embedded_cluster(server: KustoServer, remote: Cluster) -> None:
    here, there = server.cluster.query(DATABASE, EVERY), remote.query(DATABASE, EVERY)
    assert there.columns == here.columns
    assert there.to_arrow().schema.equals(here.to_arrow().schema, check_metadata=True)
    assert repr(there.rows) == repr(here.rows)
    assert there.rows[0][3:6] == (9007199254740993, 1.5, Decimal("12345678901234567890.123456789012345678"))
    assert there.rows[0][7] == dt.datetime(2024, 2, 29, 12, 34, 56, 123456, dt.timezone.utc)
    assert there.rows[0][9] == uuid.UUID("12345678-1234-1234-1234-123456789abc")


@pytest.mark.parametrize("shape", ["kusto", "spark"])
def test_scans_give_the_same_batches(server: KustoServer, remote: Cluster, shape: Any) -> None:
    tasks = {}
    for name, cluster in (("here", server.cluster), ("there", remote)):
        plan = cluster.plan_scan(DATABASE, f"{EVERY} | sort by n asc", shape=shape, mode="single")
        (task,) = plan.tasks
        batches = list(read_scan(pickle.loads(pickle.dumps(task))))
        tasks[name] = [(batch.schema, repr(batch.to_pylist())) for batch in batches]
    assert tasks["here"] == tasks["there"]
    assert "datatable" not in repr(plan)
    assert "12345678" not in repr(plan)


def test_commands_answer_with_their_types(remote: Cluster) -> None:
    remote.execute(DATABASE, ".create table T (a:long, ['b c']:dynamic)")
    (row,) = remote.execute(DATABASE, ".show table T cslschema").rows
    assert row[:2] == ("T", "a:long,['b c']:dynamic")
    shown = remote.execute(DATABASE, ".show tables | project TableName, Known = true, Since = now()")
    assert [column.type.value for column in shown.columns] == ["string", "bool", "datetime"]
    assert shown.rows[0][:2] == ("T", True)


def test_several_results_come_together(remote: Cluster) -> None:
    result = remote.query(DATABASE, "print a = 1; print b = 'x' | extend c = 2")
    assert [table.rows for table in result.tables] == [[(1,)], [("x", 2)]]


def test_a_picture_is_described(remote: Cluster) -> None:
    result = remote.query(DATABASE, "print a = 1 | render piechart with (title='t')")
    assert result.visualization is not None
    assert result.visualization["Visualization"] == "piechart"
    assert remote.query(DATABASE, "print a = 1").visualization is None


def test_frames_in_fragments_add_up(server: KustoServer, remote: Cluster) -> None:
    result = remote.query(
        DATABASE, "range n from 1 to 9 step 1", properties={"results_progressive_enabled": True}
    )
    assert [row[0] for row in result.rows] == list(range(1, 10))


def test_an_answer_of_no_rows_has_columns(remote: Cluster) -> None:
    result = remote.query(DATABASE, f"{EVERY} | where n > 9")
    assert len(result) == 0
    assert result.columns[7] == Column("t", KustoType.DATETIME)
    assert remote.schema(DATABASE, f"{EVERY} // comment\n;") == result.columns


def test_large_answers_are_streamed(server: KustoServer, remote: Cluster) -> None:
    query = "range n from 1 to 60000 step 1 | extend text = strcat('row ', n)"
    with remote.query(DATABASE, query, properties={"notruncation": True}) as result:
        reader = result.to_reader()
        sizes = [batch.num_rows for batch in reader]
    assert sum(sizes) == 60_000
    assert len(sizes) > 3


# -- requests


def test_parameters_are_bound_as_values(server: KustoServer, remote: Cluster) -> None:
    text = (
        "declare query_parameters(s:string, n:long = 5, t:datetime, p:timespan, g:guid, y:dynamic,"
        " d:decimal); print s, n, t, p, g, y, d"
    )
    nasty = "'; .drop table T // \" \\ \n"
    moment = dt.datetime(2024, 5, 1, 1, 2, 3, 4, dt.timezone.utc)
    guid = uuid.uuid4()
    values = {
        "s": nasty,
        "t": moment,
        "p": dt.timedelta(days=-1, seconds=5),
        "g": guid,
        "y": {"a": ['"', 1]},
        "d": Decimal("1.25"),
    }
    (row,) = remote.query(DATABASE, text, values).rows
    assert row == (nasty, 5, moment, values["p"], guid, values["y"], Decimal("1.25"))
    sent = server.seen[-1]
    assert sent.text == text
    assert sent.properties["Parameters"]["s"] == nasty
    wrong = refusal(lambda: remote.query(DATABASE, text, {**values, "nn": 1}), OptionError)
    assert "Did you mean 'n'" in str(wrong)
    wrong = refusal(lambda: remote.query(DATABASE, text, {**values, "n": "five"}), OptionError)
    assert "is no long" in str(wrong)


def test_properties_and_request_ids_are_sent(server: KustoServer) -> None:
    with connect(server.address, request_id="job-7", backoff=QUICK) as cluster:
        cluster.query(
            DATABASE,
            "print 1",
            properties={"ServerTimeout": dt.timedelta(minutes=2), "truncationmaxrecords": 5},
        )
        sent = server.seen[-1]
        assert sent.properties["Options"] == {"servertimeout": "00:02:00", "truncationmaxrecords": 5}
        assert sent.headers["x-ms-client-request-id"].startswith("job-7;query;")
        cluster.execute(DATABASE, ".show version", {"clientRequestId": "mine"})
        assert server.seen[-1].headers["x-ms-client-request-id"] == "mine"
        assert server.seen[-1].headers["x-ms-app"] == "spark-kusto"
        assert "authorization" not in server.seen[-1].headers


def test_where_data_management_is() -> None:
    fabric = "x.z0.kusto.fabric.microsoft.com"
    for given, engine, management in (
        (
            "https://c.eu.kusto.windows.net",
            "https://c.eu.kusto.windows.net",
            "https://ingest-c.eu.kusto.windows.net",
        ),
        (f"https://ingest-{fabric}", f"https://{fabric}", f"https://ingest-{fabric}"),
        ("http://kusto:8080", "http://kusto:8080", "http://kusto:8080"),
    ):
        with connect(given, StaticCredential("t") if given.startswith("https") else None) as cluster:
            assert cluster.address == engine
            assert cluster.management.transport.address == management  # type: ignore[attr-defined]
    with connect("c", StaticCredential("t"), ingestion_uri="https://dm.example/") as cluster:
        assert cluster.address == "https://c.kusto.windows.net"
        assert cluster.management.transport.address == "https://dm.example"  # type: ignore[attr-defined]
    error = refusal(lambda: connect("c", StaticCredential("t"), time_out=1), OptionError)
    assert "Did you mean 'timeout'" in str(error)


def test_a_path_in_the_address_is_kept(server: KustoServer) -> None:
    with connect(f"{server.address}/subscriptions/x", backoff=QUICK) as cluster:
        refusal(lambda: cluster.query(DATABASE, "print 1"))
    assert server.seen[-1].path == "/subscriptions/x/v2/rest/query"


# -- signing in


def test_a_token_is_sent_and_renewed_once_when_it_is_refused(server: KustoServer) -> None:
    server.token = "second"
    credential = StaticCredential("first-secret", "second")
    with connect(server.address, credential, backoff=QUICK) as cluster:
        assert cluster.query(DATABASE, "print 1").rows == [(1,)]
        assert credential.scopes == ["https://kusto.kusto.windows.net/.default"] * 2
        server.token = "third"
        error = refusal(lambda: cluster.query(DATABASE, "print 1"), AuthenticationError)
        assert "second" not in str(error)
    server.token = "t"
    assert "did not accept" in str(refusal(lambda: connect(server.address).query(DATABASE, "print 1")))


def test_tasks_carry_a_token_and_nothing_that_makes_one(server: KustoServer) -> None:
    server.token = "secret-token"
    with connect(server.address, StaticCredential("secret-token"), backoff=QUICK) as cluster:
        (task,) = cluster.plan_scan(DATABASE, "print a = 1").tasks
        with pytest.raises(UnsupportedError):
            pickle.dumps(cluster)
    assert "secret-token" not in repr(task)
    sent = pickle.dumps(task)
    assert b"secret-token" in sent
    assert b"StaticCredential" not in sent
    assert [batch.to_pylist() for batch in read_scan(pickle.loads(sent))] == [[{"a": 1}]]
    old = pickle.loads(sent)
    object.__setattr__(old.payload.token, "expires", time.time() - 1)
    assert "has ended" in str(refusal(lambda: list(read_scan(old)), AuthenticationError))


def test_a_netrc_does_not_take_the_place_of_the_token(
    server: KustoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password private\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.token = "secret-token"
    with connect(server.address, StaticCredential("secret-token"), backoff=QUICK) as cluster:
        assert cluster.query(DATABASE, "print 1").rows == [(1,)]
    assert not any(seen.headers.get("authorization", "").startswith("Basic") for seen in server.seen)


def test_parameters_of_an_export_stay_values(server: KustoServer) -> None:
    """Commands take no parameters: they become let statements, whatever their text is."""
    declared = "declare query_parameters(p:dynamic, s:string = 'x');\n"
    for text in ("[]); print 1; print (2", '"', "\\", "{'a': 1}", "[1, 2]", "\n//", ""):
        made = with_literals(f"{declared}print p, s", {"p": text, "s": text})
        asked = f"print parse_json({string_literal(text)}), {string_literal(text)}"
        assert server.cluster.query(DATABASE, made).rows == server.cluster.query(DATABASE, asked).rows
    error = refusal(lambda: with_literals(f"{declared}print p | nonsense [", {"p": "1"}), OptionError)
    assert "cannot read it" in str(error)


def test_a_token_goes_to_no_strange_host() -> None:
    plain = refusal(lambda: connect("http://example.org", StaticCredential("x")), OptionError)
    assert "without encryption" in str(plain)
    with connect("https://kusto.example.org", StaticCredential("x"), backoff=QUICK) as cluster:
        cluster.service.transport._metadata = lambda endpoint, resource: (endpoint, resource)  # type: ignore[attr-defined]
        error = refusal(lambda: cluster.query(DATABASE, "print 1"), AuthenticationError)
        assert "not known as a host of Kusto" in str(error)


@pytest.mark.parametrize(
    ("address", "login"),
    [
        ("help", "https://login.microsoftonline.com"),
        ("https://trd-x.z0.kusto.fabric.microsoft.com", "https://login.microsoftonline.com"),
        ("https://c.chinaeast2.kusto.chinacloudapi.cn", "https://login.partner.microsoftonline.cn"),
        ("https://ade.loganalytics.io/subscriptions/S/workspaces/W", "https://login.microsoftonline.com"),
    ],
)
def test_hosts_that_a_token_goes_to(address: str, login: str) -> None:
    credential = StaticCredential("x")
    with connect(address, credential) as cluster:
        transport = cluster.service.transport  # type: ignore[attr-defined]
        transport._metadata = lambda *_: (login, "https://resource")
        assert transport.bearer().token == "x"
    assert credential.scopes == ["https://resource/.default"]


# -- errors


@pytest.mark.parametrize(
    ("query", "kind", "said"),
    [
        ("T | wher x", KqlSyntaxError, "'wher'"),
        ("print a = 1 | where bcd > 1", KqlSemanticError, "bcd"),
        ("NoSuch | take 1", KqlSemanticError, "NoSuch"),
        ("range n from 1 to 600000 step 1", QueryLimitError, "500"),
    ],
)
def test_errors_of_queries(remote: Cluster, query: str, kind: type[Exception], said: str) -> None:
    assert said in str(refusal(lambda: remote.query(DATABASE, query), kind))


def test_a_syntax_error_has_its_place(remote: Cluster) -> None:
    error = refusal(lambda: remote.query(DATABASE, "print 1 |\n  wher x"), KqlSyntaxError)
    assert (error.line, error.column) == (2, 3)


def test_errors_of_commands(remote: Cluster) -> None:
    remote.execute(DATABASE, ".create database Other volatile")
    error = refusal(lambda: remote.execute(DATABASE, ".create database Other volatile"))
    assert isinstance(error, EntityExistsError)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, api_error("General_BadRequest", "Something is odd"), QueryError),
        (403, api_error("Forbidden", "Principal 'x' is not authorized to read"), AuthenticationError),
        (504, api_error("Gateway_Timeout", "It took too long"), QueryTimeoutError),
        (
            400,
            api_error("LimitsExceeded", "Query result set has exceeded E_QUERY_RESULT_SET_TOO_LARGE"),
            QueryLimitError,
        ),
        (301, api_error("Moved", "elsewhere"), ServiceError),
    ],
)
def test_errors_by_status(
    server: KustoServer, remote: Cluster, status: int, error: dict[str, Any], kind: type[Exception]
) -> None:
    server.fail("query", status=status, error=error, times=9)
    raised = refusal(lambda: remote.query(DATABASE, "print 1"), kind)
    if status != 301:
        assert error["@message"] in str(raised)
        assert "6e3c8dab" in str(raised)
    # Nothing that trying again would mend is tried again.
    assert len(server.texts("query")) == 1


@pytest.mark.parametrize("place", ["row", "end"])
def test_errors_inside_an_answer(server: KustoServer, remote: Cluster, place: str) -> None:
    broken = api_error(
        "LimitsExceeded", "Query execution has exceeded the allowed limits (80DA0003): E_RUNAWAY_QUERY"
    )
    server.fail("query", place, error=broken)
    error = refusal(lambda: remote.query(DATABASE, "range n from 1 to 9 step 1"), QueryLimitError)
    assert error.code == "E_RUNAWAY_QUERY"
    (task,) = remote.plan_scan(DATABASE, "range n from 1 to 9 step 1").tasks
    server.fail("query", place, error=broken)
    refusal(lambda: list(read_scan(task)), QueryLimitError)


def test_secrets_stay_out_of_errors(server: KustoServer, remote: Cluster) -> None:
    said = "Access to https://a.blob.core.windows.net/c?sv=1&sig=c2VjcmV0 was refused"
    server.fail("query", status=400, error=api_error("Bad", said))
    error = refusal(lambda: remote.query(DATABASE, "print 1"))
    assert "a.blob.core.windows.net" in str(error)
    assert "c2VjcmV0" not in str(error)
    assert "c2VjcmV0" not in repr(error)


def test_a_value_that_does_not_fit_is_an_error(server: KustoServer, remote: Cluster) -> None:
    server.cluster.query = lambda *_: server.cluster.execute(DATABASE, ".show version")  # type: ignore[method-assign]
    original = server.query
    server.query = lambda request, fault: [  # type: ignore[method-assign]
        frame
        | {
            "Columns": [{"ColumnName": "d", "ColumnType": "decimal"}],
            "Rows": [["1.0000000000000000000000001"]],
        }
        if frame.get("TableKind") == "PrimaryResult"
        else frame
        for frame in original(request, fault)
    ]
    assert "'d'" in str(refusal(lambda: remote.query(DATABASE, "T"), TypeConversionError))


# -- trying again


@pytest.mark.parametrize(
    ("kind", "more"),
    [("status", {"status": 503}), ("status", {"status": 429}), ("reset", {}), ("cut", {})],
)
def test_queries_are_tried_again(
    server: KustoServer, remote: Cluster, kind: str, more: dict[str, Any]
) -> None:
    server.fail("query", kind, times=2, **more)
    assert remote.query(DATABASE, "print 1").rows == [(1,)]
    assert len(server.texts("query")) == 3
    server.fail("query", kind, times=99, **more)
    error = refusal(lambda: remote.query(DATABASE, "print 1"))
    assert not error.permanent
    assert len(server.texts("query")) == 3 + QUICK.attempts


def test_retry_after_is_waited_for(server: KustoServer, remote: Cluster) -> None:
    server.fail("query", status=429, headers={"Retry-After": "0.4"})
    begun = time.monotonic()
    remote.query(DATABASE, "print 1")
    assert time.monotonic() - begun >= 0.4


def test_commands_that_change_something_are_not_done_twice(
    server: KustoServer, remote: Cluster, table: Callable[..., None]
) -> None:
    table("T", "a:long")
    server.fail("mgmt", "lost")
    refusal(lambda: remote.execute(DATABASE, ".ingest inline into table T <|\n1"), ServiceError)
    assert remote.query(DATABASE, "T | count").rows == [(1,)]
    # One that was throttled was not done; one that only asks can be asked again.
    server.fail("mgmt", status=429)
    remote.execute(DATABASE, ".ingest inline into table T <|\n2")
    server.fail("mgmt", "lost")
    assert len(remote.execute(DATABASE, ".show tables").rows) == 1
    assert remote.query(DATABASE, "T | count").rows == [(2,)]


def test_an_answer_that_does_not_come(
    server: KustoServer, remote: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_kusto.client.remote.transport._SLACK_SECONDS", 0.2)
    server.fail("query", "slow", seconds=1.0, times=1)
    patient = {"servertimeout": dt.timedelta(seconds=30)}
    assert remote.query(DATABASE, "print 1", properties=patient).rows == [(1,)]
    server.fail("query", "slow", seconds=1.0, times=99)
    hurried = {"servertimeout": dt.timedelta(milliseconds=100)}
    error = refusal(lambda: remote.query(DATABASE, "print 1", properties=hurried), ServiceError)
    assert "did not answer in time" in str(error)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    error = refusal(lambda: connect("http://localhost:9"), UnsupportedError)
    assert "spark-kusto[azure]" in str(error)


def test_nobody_there(server: KustoServer) -> None:
    with connect("http://localhost:9", backoff=QUICK) as cluster:
        error = refusal(lambda: cluster.query(DATABASE, "print 1"), ServiceError)
    assert "could not be reached" in str(error)
    assert "refused" in str(error)


def test_an_answer_that_is_none(server: KustoServer, remote: Cluster) -> None:
    server.query = lambda *_: [{"FrameType": "DataSetHeader"}]  # type: ignore[method-assign]
    assert "could not be read" in str(refusal(lambda: remote.query(DATABASE, "print 1"), ServiceError))


# -- the rest


def test_what_a_remote_cluster_says_of_itself(
    server: KustoServer, remote: Cluster, table: Callable[..., None]
) -> None:
    table("T", "a:long", "1\n2\n3")
    assert repr(remote) == f"RemoteCluster({server.address!r})"
    assert remote.maintain() == {}
    assert remote.cursor(DATABASE) == server.cluster.cursor(DATABASE)
    assert remote.statistics(DATABASE, "T | where a > 1").rows == 3
    assert remote.statistics(DATABASE, "T | join T on a").rows is None
    assert remote.statistics(DATABASE, "NoSuch").rows is None
    refusal(lambda: remote.explain(DATABASE, "T"), UnsupportedError)
