"""Running queries: limits, timeouts, cancelling, parameters, snapshots, what is explained and refused."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.client.result import Result
from spark_kusto.errors import (
    CorruptExtentError,
    EntityNotFoundError,
    KqlSemanticError,
    OptionError,
    QueryError,
    QueryLimitError,
    QueryTimeoutError,
    UnsupportedError,
)
from tests.engine.conftest import DATABASE

SLOW = "range a from 1 to 100000000 step 1 | extend b = a % 97 | summarize dcount(tostring(a * b))"


def test_results_above_the_record_limit_are_an_error(cluster: EmbeddedCluster) -> None:
    with pytest.raises(QueryLimitError) as caught:
        cluster.query(DATABASE, "range a from 1 to 500001 step 1")
    assert caught.value.code == "E_QUERY_RESULT_SET_TOO_LARGE"
    assert "500000 records" in str(caught.value)
    assert "notruncation" in str(caught.value)
    assert len(cluster.query(DATABASE, "range a from 1 to 500000 step 1")) == 500_000


def test_the_record_limit_can_be_moved_and_lifted(cluster: EmbeddedCluster) -> None:
    with pytest.raises(QueryLimitError, match="limit of 10 records"):
        cluster.query(DATABASE, "set truncationmaxrecords = 10; range a from 1 to 11 step 1")
    with pytest.raises(QueryLimitError, match="limit of 3 records"):
        cluster.query(DATABASE, "range a from 1 to 11 step 1", properties={"truncationMaxRecords": 3})
    assert len(cluster.query(DATABASE, "set notruncation; range a from 1 to 600000 step 1")) == 600_000
    assert len(cluster.query(DATABASE, "set query_take_max_records=5; range a from 1 to 9 step 1")) == 5


def test_results_above_the_byte_limit_are_an_error(cluster: EmbeddedCluster) -> None:
    text = "range a from 1 to 400000 step 1 | extend b = strcat(a, '-', strrep('x', 200))"
    with pytest.raises(QueryLimitError, match="64 MB"):
        cluster.query(DATABASE, text)
    with pytest.raises(QueryLimitError, match="MB"):
        cluster.query(DATABASE, f"set truncationmaxsize = 1000; {text}")


def test_a_stream_is_read_in_batches_and_only_once(cluster: EmbeddedCluster) -> None:
    result = cluster.query(DATABASE, "set notruncation; range a from 1 to 300000 step 1")
    batches = list(result.to_reader())
    assert len(batches) > 1
    assert sum(batch.num_rows for batch in batches) == 300_000
    with pytest.raises(OptionError, match="taken as a stream"):
        result.to_arrow()


def test_looking_at_a_stream_loses_nothing(cluster: EmbeddedCluster) -> None:
    result = cluster.query(DATABASE, "set notruncation; range a from 1 to 300000 step 1")
    assert result.head(2) == [(1,), (2,)]
    assert "more to come" in repr(result)
    assert len(result) == 300_000


def test_a_query_stops_at_its_timeout(cluster: EmbeddedCluster) -> None:
    started = time.monotonic()
    with pytest.raises(QueryTimeoutError) as caught:
        cluster.query(DATABASE, SLOW, properties={"servertimeout": "00:00:01"})
    assert time.monotonic() - started < 10
    assert caught.value.code == "Request_ExecutionTimeout"
    assert "servertimeout" in str(caught.value)
    with pytest.raises(QueryTimeoutError):
        cluster.query(DATABASE, f"set servertimeout = 1s; {SLOW}")


def test_a_running_query_is_shown_and_cancelled(cluster: EmbeddedCluster, run: Callable[..., Result]) -> None:
    caught: list[BaseException] = []

    def query() -> None:
        try:
            cluster.query(DATABASE, SLOW, properties={"ClientRequestId": "mine;1"})
        except QueryError as error:
            caught.append(error)

    thread = threading.Thread(target=query)
    thread.start()
    deadline = time.monotonic() + 10
    while not run(".show running queries | where ClientActivityId == 'mine;1'").rows:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    result = run(".cancel query 'mine;1' with (reason='enough')")
    assert [column.name for column in result.columns] == [
        "ClientRequestId",
        "RunningQueryCanceled",
        "ReasonPhrase",
    ]
    assert result.rows == [("mine;1", True, "enough")]
    thread.join(10)
    assert len(caught) == 1
    assert "cancelled (enough)" in str(caught[0])
    shown = run(".show queries | where ClientActivityId == 'mine;1' | project State, FailureReason").rows
    assert shown[0][0] == "Failed"
    assert "enough" in shown[0][1]
    with pytest.raises(EntityNotFoundError):
        run(".cancel query 'mine;1'")


def test_options_of_the_wrong_kind_are_named(cluster: EmbeddedCluster) -> None:
    with pytest.raises(OptionError, match="servertimeout"):
        cluster.query(DATABASE, "print 1", properties={"servertimeout": "soon"})
    with pytest.raises(OptionError, match="truncationmaxrecords"):
        cluster.query(DATABASE, "print 1", properties={"truncationmaxrecords": "many"})


def test_parameters_are_values_never_text(cluster: EmbeddedCluster, run: Callable[..., Result]) -> None:
    run(".create table T (a:long, b:string)")
    run(".ingest inline into table T <| 1,it's\n2,two")
    text = "declare query_parameters (wanted:string); T | where b == wanted | project a"
    assert cluster.query(DATABASE, text, parameters={"wanted": "it's"}).rows == [(1,)]
    assert cluster.query(DATABASE, text, parameters={"wanted": "' or 1==1 //"}).rows == []


def test_now_can_be_set(value: Callable[..., Any]) -> None:
    moment = dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)
    assert value("print now()", properties={"query_now": "2024-02-29T12:00:00Z"}) == moment


def test_a_query_sees_one_snapshot(cluster: EmbeddedCluster, rows: Callable[..., Any]) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1]}), create=True)
    before = cluster.cursor(DATABASE)
    cluster.ingest(DATABASE, "T", pa.table({"a": [2]}))
    assert rows("T | count") == [(2,)]
    run = cluster.engine.query(DATABASE, "T | project a", snapshot=int(before))
    assert run.primary.table().to_pylist() == [{"a": 1}]
    run = cluster.engine.query(DATABASE, "T | join kind=inner T on a | count", snapshot=int(before))
    assert run.primary.table().to_pylist() == [{"Count": 1}]


def test_several_results(cluster: EmbeddedCluster) -> None:
    result = cluster.query(DATABASE, "print a=1; print b='x'")
    assert [table.rows for table in result.tables] == [[(1,)], [("x",)]]
    assert result.rows == [(1,)]


def test_other_databases_are_read_by_name(cluster: EmbeddedCluster, run: Callable[..., Result]) -> None:
    run(".create database Second")
    cluster.ingest("Second", "T", pa.table({"a": [1, 2]}), create=True)
    assert cluster.query(DATABASE, "database('second').T | count").rows == [(2,)]


def test_unknown_names_offer_the_nearest(cluster: EmbeddedCluster, run: Callable[..., Result]) -> None:
    run(".create table Flights (Origin:string)")
    with pytest.raises(KqlSemanticError, match="Flights"):
        cluster.query(DATABASE, "Flihgts | count")
    with pytest.raises(KqlSemanticError, match="Origin"):
        cluster.query(DATABASE, "Flights | where Orign == ''")
    with pytest.raises(EntityNotFoundError, match="NetDefaultDB"):
        cluster.query("NetDefaultDb2", "print 1")


def test_explain_shows_scans_after_pruning_and_sql(cluster: EmbeddedCluster) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1, 2]}), create=True)
    cluster.ingest(DATABASE, "T", pa.table({"a": [10, 20]}))
    text = cluster.explain(DATABASE, "T | where a > 5 | project a")
    assert "1 of 2 extents" in text
    assert "2 rows" in text
    assert "row by row" in text
    assert "SELECT" in text


def test_extents_are_pruned_by_every_kind_of_predicate(cluster: EmbeddedCluster) -> None:
    first = cluster.ingest(DATABASE, "T", pa.table({"a": [1, 2], "s": ["aa", "ab"]}), create=True)
    cluster.ingest(DATABASE, "T", pa.table({"a": [10, None], "s": ["ba", "bb"]}))

    def scanned(kql: str) -> int:
        prepared = cluster.engine.querying.compile(DATABASE, kql)
        return sum(len(source.files) for source in prepared.sources.values())

    assert scanned("T | where a < 5") == 1
    assert scanned("T | where a in (1, 7)") == 1
    assert scanned("T | where s startswith_cs 'b'") == 1
    assert scanned("T | where isnull(a)") == 1
    assert scanned(f"T | where cursor_after('{first.cursor}')") == 1
    assert scanned("T | where a > 0") == 2


def test_a_damaged_extent_is_named(cluster: EmbeddedCluster, run: Callable[..., Result]) -> None:
    done = cluster.ingest(DATABASE, "T", pa.table({"a": list(range(5000))}), create=True)
    database = cluster.engine.database(DATABASE)
    path = Path(database.snapshot().table("T").extents[0].path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptExtentError) as caught:
        cluster.query(DATABASE, "T | summarize sum(a)")
    assert caught.value.extent_id == done.extent_ids[0]
    assert done.extent_ids[0] in str(caught.value)
    path.unlink()
    with pytest.raises(Exception, match=r"is gone|missing"):
        cluster.query(DATABASE, "T | summarize sum(a)")


def test_memory_can_be_limited(cluster: EmbeddedCluster) -> None:
    text = (
        "range a from 1 to 3000000 step 1 | extend b = tostring(a) | summarize make_set(b, 3000000) by a % 2"
    )
    with pytest.raises(QueryLimitError) as caught:
        cluster.query(DATABASE, text, properties={"maxmemoryconsumptionperiterator": 1 << 26})
    assert caught.value.code == "E_LOW_MEMORY_CONDITION"


def test_row_level_security_stands_in_the_tables_place(
    cluster: EmbeddedCluster, run: Callable[..., Result], value: Callable[..., Any]
) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": [1, 2, 3]}), create=True)
    run('.alter table T policy row_level_security enable "T | where a > 1"')
    assert value("T | count") == 2
    run('.alter table T policy row_level_security disable "T | where a > 1"')
    assert value("T | count") == 3


def test_a_management_command_is_no_query(cluster: EmbeddedCluster) -> None:
    with pytest.raises(Exception, match=r"execute|command"):
        cluster.query(DATABASE, ".show tables")
    with pytest.raises(UnsupportedError, match="export"):
        cluster.execute(DATABASE, ".export to csv ('x') <| print 1")


def test_threads_share_a_cluster(cluster: EmbeddedCluster) -> None:
    cluster.ingest(DATABASE, "T", pa.table({"a": list(range(1000))}), create=True)
    answers: list[Any] = []

    def work() -> None:
        for n in range(5):
            answers.append(cluster.query(DATABASE, f"T | where a < {n} | count").rows[0][0] == n)
            answers.append(cluster.execute(DATABASE, ".show tables | count").rows == [(1,)])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 60
    assert all(answers)


def test_the_first_queries_of_a_process_may_come_together(tmp_path: Path) -> None:
    """What is imported when it is first needed is there for every thread, or waited for."""
    code = f"""
import threading
from spark_kusto import connect
cluster = connect({str(tmp_path / "cluster")!r})
together, answers = threading.Barrier(6), []
def ask():
    together.wait()
    query = "range a from 1 to 9 step 1 | where strlen(tostring(a)) == 1 | summarize sum(a)"
    answers.append(cluster.query("NetDefaultDB", query).rows)
threads = [threading.Thread(target=ask) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(answers == [[(45,)]] * 6)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr[-2000:]


def test_command_results_can_be_piped_and_named(run: Callable[..., Result]) -> None:
    run(".create tables A (x:long), B (y:long)")
    assert run(".show tables | where TableName == 'B' | count").rows == [(1,)]
    assert run(".show tables; $command_results | summarize max(TableName)").rows == [("B",)]


def test_set_options_reach_the_request_properties_of_commands(cluster: EmbeddedCluster) -> None:
    with pytest.raises(OptionError, match="read-only"):
        cluster.execute(DATABASE, ".create table T (a:long)", {"request_readonly": True})


def test_queries_of_other_processes_are_listed(cluster: EmbeddedCluster, run: Callable[..., Result]) -> None:
    code = (
        "import sys\n"
        "from spark_kusto import connect\n"
        "with connect(sys.argv[1]) as cluster:\n"
        "    cluster.query('NetDefaultDB', 'print a = h\"hidden\"',"
        " properties={'ClientRequestId': 'theirs;1'})\n"
        "    cluster.plan_scan('NetDefaultDB', 'range a from 1 to 3 step 1',"
        " properties={'ClientRequestId': 'theirs;2'})\n"
    )
    subprocess.run([sys.executable, "-c", code, cluster.address], check=True, timeout=60)
    cluster.query(DATABASE, "print mine = 1", properties={"ClientRequestId": "mine;2"})
    query = ".show queries | where ClientActivityId in ('theirs;1', 'theirs;2', 'mine;2')"
    shown = run(f"{query} | project ClientActivityId, State, Text").rows
    assert [row[:2] for row in shown] == [(name, "Completed") for name in ("theirs;1", "theirs;2", "mine;2")]
    log = Path(cluster.address, "queries.jsonl")
    assert "hidden" not in shown[0][2]
    assert "hidden" not in log.read_text()
    # A log that is cut short, not writable or gone fails nothing.
    log.write_text(log.read_text()[:-20])
    assert len(run(query).rows) == 3
    log.unlink()
    log.mkdir()
    assert cluster.query(DATABASE, "print 1").rows == [(1,)]
    assert [row[0] for row in run(query).rows] == ["mine;2"]


def test_the_log_of_queries_stays_small(cluster: EmbeddedCluster, run: Callable[..., Result]) -> None:
    text = f"print '{'x' * 15_000}'"
    for n in range(300):
        cluster.query(DATABASE, text, properties={"ClientRequestId": f"long;{n}"})
    files = list(Path(cluster.address).glob("queries*.jsonl"))
    assert len(files) == 2
    assert sum(path.stat().st_size for path in files) < 5_000_000
    newest = run(".show queries | where ClientActivityId == 'long;299' | count").rows
    assert newest == [(1,)]
