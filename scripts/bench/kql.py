"""The engine's queries against hand-written DuckDB SQL over the same files; the compiler; commits.

    python scripts/bench/kql.py [--rows 10000000] [--rounds 7]

Each query's answer is compared with the SQL's before anything is timed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from scripts.bench.measure import Table, alternating, median
from spark_kusto import Cluster, connect
from spark_kusto.storage import Root

DATABASE = "NetDefaultDB"


@dataclass(frozen=True)
class Case:
    """A question in KQL, and in the SQL that somebody who knows DuckDB and the data would write.

    Attributes:
        most: the bound of the ratio.
        baseline: what is timed, where it is not the SQL that has the same answer.
    """

    name: str
    kql: str
    sql: str
    most: float = 1.15
    baseline: str = ""


CASES = (
    Case("count", "Events | count", "SELECT count(*) FROM events"),
    Case(
        "a day's rows of one state",
        """Events
        | where Timestamp between (datetime(2024-03-01) .. datetime(2024-03-02)) and State == "State 7"
        | count""",
        """SELECT count(*) FROM events
        WHERE Timestamp BETWEEN TIMESTAMP '2024-03-01' AND TIMESTAMP '2024-03-02' AND State = 'State 7'""",
    ),
    Case(
        "count by a column, ordered",
        "Events | summarize count() by State | order by State asc",
        "SELECT State, count(*) FROM events GROUP BY State ORDER BY State",
    ),
    Case(
        "figures by the hour",
        """Events | summarize events = count(), mean = avg(Measure), most = max(Small) by bin(Timestamp, 1h)
        | order by Timestamp asc""",
        """SELECT date_trunc('hour', Timestamp) AS hour, count(*), avg(Measure), max(Small) FROM events
        GROUP BY hour ORDER BY hour""",
        most=1.1,
    ),
    Case(
        "top 10",
        "Events | top 10 by Measure desc | project Number, Measure",
        "SELECT Number, Measure FROM events ORDER BY Measure DESC LIMIT 10",
    ),
    Case(
        "strings that begin with",
        'Events | where Session startswith_cs "AB" | summarize count() by Flag | order by Flag asc',
        "SELECT Flag, count(*) FROM events WHERE starts_with(Session, 'AB') GROUP BY Flag ORDER BY Flag",
    ),
    Case(
        "strings that contain, any case",
        'Events | where Session contains "dead" | count',
        "SELECT count(*) FROM events WHERE contains(lower(Session), 'dead')",
    ),
    Case(
        "distinct values of two columns",
        "Events | distinct State, Flag | order by State asc, Flag asc",
        "SELECT DISTINCT State, Flag FROM events ORDER BY State, Flag",
    ),
    Case(
        "join with a small table",
        """Events
        | join kind=inner (datatable(State: string, Region: string)
            ["State 1", "east", "State 2", "west", "State 3", "east"]) on State
        | summarize sum(Number) by Region | order by Region asc""",
        """SELECT Region, sum(Number) FROM events JOIN
        (VALUES ('State 1', 'east'), ('State 2', 'west'), ('State 3', 'east')) t(State, Region) USING (State)
        GROUP BY Region ORDER BY Region""",
    ),
    Case(
        "computed columns over gaps",
        """Events | where isnotnull(Gap) | extend weight = Measure * Gap, even = Small % 2 == 0
        | summarize weight = sum(weight), evens = countif(even) by State | order by State asc""",
        """SELECT State, sum(Measure * Gap) AS weight, count(*) FILTER (Small % 2 = 0)
        FROM events WHERE Gap IS NOT NULL GROUP BY State ORDER BY State""",
    ),
)


# Texts of some 80 characters: eleven words, some of which hold others.
_CONTAINS = "SELECT count(*) FROM texts WHERE contains(lower(Text), '{}')"
_HAS = r"SELECT count(*) FROM texts WHERE regexp_matches(lower(Text), '(^|[^\pL\pN]){}($|[^\pL\pN])')"
TEXT_CASES = (
    Case(
        "contains, a word of many rows",
        'Texts | where Text contains "ERROR" | count',
        _CONTAINS.format("error"),
        1.2,
    ),
    Case(
        "contains, a word of few rows",
        'Texts | where Text contains "kernel99" | count',
        _CONTAINS.format("kernel99"),
        1.2,
    ),
    Case(
        "has, a word of many rows",
        'Texts | where Text has "ERROR" | count',
        _HAS.format("error"),
        1.6,
        _CONTAINS.format("error"),
    ),
    Case(
        "has, a word of few rows",
        'Texts | where Text has "kernel99" | count',
        _HAS.format("kernel99"),
        1.6,
        _CONTAINS.format("kernel99"),
    ),
    Case(
        "has, mostly a part of other words",
        'Texts | where Text has "rror" | count',
        _HAS.format("rror"),
        1.6,
        _CONTAINS.format("rror"),
    ),
    Case(
        "has_any of three",
        'Texts | where Text has_any ("error", "kernel99", "absent") | count',
        """SELECT count(*) FROM texts
        WHERE regexp_matches(lower(Text), '(^|[^\\pL\\pN])(error|kernel99|absent)($|[^\\pL\\pN])')""",
        1.6,
        """SELECT count(*) FROM texts WHERE contains(lower(Text), 'error')
        OR contains(lower(Text), 'kernel99') OR contains(lower(Text), 'absent')""",
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kql-bench-"))
    table = Table()
    try:
        with connect(folder / "cluster") as cluster:
            files = filled(cluster, folder, options.rows)
            print(
                f"{options.rows:,} rows x 8 columns in {len(files)} extents, {os.cpu_count()} cores, {folder}"
            )
            table.heading("Queries, the answer as Arrow")
            queries(cluster, {"events": files}, CASES, options.rounds, table)
            texts = with_texts(cluster, folder, options.rows)
            table.heading("Texts of 80 characters")
            queries(cluster, {"texts": texts}, TEXT_CASES, options.rounds, table)
            compiling(cluster, table)
            commits(cluster, table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return table.end()


def filled(cluster: Cluster, folder: Path, rows: int) -> list[str]:
    """The table Events in the cluster; the files it is stored in."""
    source = folder / "source.parquet"
    duckdb.execute(
        f"""COPY (SELECT
            TIMESTAMP '2024-01-01' + to_microseconds(i * 3000000 + (hash(i) % 1000000)::BIGINT) AS Timestamp,
            i AS Number,
            (hash(i, 1) % 1000000000) / 1000000.0::DOUBLE AS Measure,
            'State ' || hash(i, 2) % 50 AS State,
            upper(printf('%016x%016x', hash(i, 3), hash(i, 4))) AS Session,
            i % 3 = 0 AS Flag,
            (hash(i, 5) % 1000)::INTEGER AS Small,
            CASE WHEN hash(i, 6) % 4 > 0 THEN (hash(i, 7) % 1000) / 1000.0::DOUBLE END AS Gap
        FROM range({rows}) t(i)) TO '{source}' (FORMAT parquet, COMPRESSION zstd)"""
    )
    part = max(rows // 8, 1)
    pending: list[pa.RecordBatch] = []
    for batch in pq.ParquetFile(source).iter_batches(batch_size=122_880):
        pending.append(batch)
        if sum(held.num_rows for held in pending) >= part:
            cluster.ingest(DATABASE, "Events", pa.Table.from_batches(pending), create=True)
            pending = []
    if pending:
        cluster.ingest(DATABASE, "Events", pa.Table.from_batches(pending), create=True)
    source.unlink()
    return paths(folder, "Events")


def paths(folder: Path, table: str) -> list[str]:
    """The files that a table is stored in."""
    root = Root.open(folder / "cluster", create=False)
    try:
        return [str(extent.path) for extent in root.database(DATABASE).snapshot().table(table).extents]
    finally:
        root.close()


def with_texts(cluster: Cluster, folder: Path, rows: int) -> list[str]:
    """The table Texts in the cluster; the files it is stored in."""
    words = ", ".join(
        f"'{word}'"
        for word in ("Error", "terrors", "kernel", "service", "timeout", "user_id", "login", "GET", "denied")
    )
    connection = duckdb.connect()
    part = max(rows // 8, 1)
    for start in range(0, rows, part):
        picks = " || ' ' || ".join(f"words[(hash(i, {n}) % 9 + 1)::INTEGER]" for n in range(9))
        texts = connection.sql(
            f"""SELECT {picks} || ' kernel' || hash(i, 9) % 5000
                || ' id=' || printf('%012x', hash(i, 10) % 281474976710656) AS Text
            FROM range({start}, {min(start + part, rows)}) r(i), (SELECT [{words}] AS words)"""
        ).to_arrow_table()
        cluster.ingest(DATABASE, "Texts", texts, create=True)
    return paths(folder, "Texts")


def queries(
    cluster: Cluster, views: dict[str, list[str]], cases: Sequence[Case], rounds: int, table: Table
) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name, files in views.items():
        # A view, so that both sides open the files anew for each query.
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({files})")
    for case in cases:

        def by_engine(case: Case = case) -> pa.Table:
            return cluster.query(DATABASE, case.kql).to_arrow()

        def by_hand(case: Case = case) -> pa.Table:
            return connection.sql(case.baseline or case.sql).to_arrow_table()

        same(case.name, by_engine(), connection.sql(case.sql).to_arrow_table())
        taken = alternating({"engine": by_engine, "sql": by_hand}, rounds)
        engine, sql = median(taken["engine"]), median(taken["sql"])
        # The bound, or 5 ms more, whichever is larger.
        table.ratio(case.name, engine, "DuckDB SQL", sql, round(max(case.most, (sql + 0.005) / sql), 2))


def same(name: str, one: pa.Table, other: pa.Table) -> None:
    def rows(given: pa.Table) -> list[tuple[Any, ...]]:
        columns = [
            column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column
            for column in given.columns
        ]
        return [
            tuple(f"{float(v):.9g}" if type(v).__name__ in ("float", "Decimal", "int") else v for v in row)
            for row in zip(*(column.to_pylist() for column in columns), strict=True)
        ]

    if rows(one) != rows(other):
        raise SystemExit(f"{name}: the engine and the SQL differ:\n{one.slice(0, 5)}\n{other.slice(0, 5)}")


def compiling(cluster: Cluster, table: Table) -> None:
    table.heading("Compiling, text to SQL")
    taken = []
    for number in range(20):
        for case in CASES:
            text = f"// {number}\n{case.kql}"  # a text never seen before
            started = time.perf_counter()
            cluster.schema(DATABASE, text)
            taken.append(time.perf_counter() - started)
    table.value("median of the ten queries", statistics.median(taken) * 1000, "ms", most=3)


def commits(cluster: Cluster, table: Table) -> None:
    table.heading("Commits")
    one = pa.table({"x": pa.array([1], pa.int64())})
    cluster.ingest(DATABASE, "Ones", one, create=True)
    count = 300
    started = time.perf_counter()
    for number in range(count):
        cluster.execute(DATABASE, f'.alter table Ones docstring "{number}"')
    table.value("changes of the catalog", count / (time.perf_counter() - started), "a second", least=100)
    started = time.perf_counter()
    for _ in range(count):
        cluster.ingest(DATABASE, "Ones", one)
    table.value("ingestions of one row, Parquet and all", count / (time.perf_counter() - started), "a second")


if __name__ == "__main__":
    sys.exit(main())
