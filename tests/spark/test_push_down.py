"""Push-down: what is pushed, and that it never changes the answer."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.spark.conftest import DATABASE

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pyspark.sql import DataFrame, SparkSession

    from spark_kusto.client import Cluster

Conf = Callable[[dict[str, str]], "AbstractContextManager[None]"]
MORE = int(os.environ.get("SPARK_KUSTO_MORE_EXAMPLES", "1"))
# Shrinking would take hundreds of Spark plans.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
OFF = {"spark.kusto.pushDown.enabled": "false"}

# Nulls, NaN, infinities, both zeros, empty and odd strings, extreme numbers, moments around a DST change.
LEFT = """
datatable(id:long, k:long, i:int, r:real, s:string, t:datetime, b:bool, ['x.y']:long,
          g:guid, p:timespan, m:decimal)
[
  1, 1, 1, 1.5, 'a',
     datetime(2024-03-31T00:30:00Z), true, 10,
     guid(6f9619ff-8b86-d011-b42d-00c04fc964ff), 1h, decimal(1.5),
  2, 2, -1, real(nan), '',
     datetime(2024-03-31T01:30:00.123456Z), false, long(null),
     guid(null), 2h, decimal(-2.25),
  3, long(null), int(null), real(null), "it's",
     datetime(null), bool(null), 30,
     guid(6f9619ff-8b86-d011-b42d-00c04fc964fe), timespan(null), decimal(null),
  4, 9223372036854775807, 2147483647, real(+inf), 'A',
     datetime(1969-12-31T23:59:59.999999Z), true, 10,
     guid(null), -1d, decimal(1.5),
  5, -9223372036854775807, -2147483647, real(-inf), 'a\\\\b',
     datetime(0001-01-01), true, -5,
     guid(null), 0s, decimal(0.000000000000000001),
  6, 9223372036854775807, 7, -0.0, 'ä',
     datetime(9999-12-31T23:59:59.999999Z), bool(null), 0,
     guid(null), 1h, decimal(10),
  7, 2, 7, 0.0, 'a%_',
     datetime(2024-03-31T01:30:00.123456Z), false, 30,
     guid(6f9619ff-8b86-d011-b42d-00c04fc964ff), 1h, decimal(10),
  8, 1, 1, 2.5, 'ab', datetime(2024-10-27T01:00:00Z), true, 30, guid(null), 1h, decimal(null)
]
"""
RIGHT = """
datatable(k:long, v:string, w:int)
[
  1, 'one', 1, 1, 'uno', int(null), 2, '', 2, long(null), 'none', 5, 7, 'seven', 5
]
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Cluster]]:
    from spark_kusto import connect

    root = str(tmp_path_factory.mktemp("push") / "cluster")
    with connect(root) as cluster:
        _store(cluster, "L", LEFT)
        _store(cluster, "R", RIGHT)
        yield root, cluster


@pytest.fixture(scope="module")
def loaded(pushing: SparkSession, tables: tuple[str, Cluster]) -> tuple[DataFrame, DataFrame]:
    root, _ = tables
    return _load(pushing, root, "L"), _load(pushing, root, "R")


def _store(cluster: Cluster, table: str, query: str) -> None:
    cluster.ingest(DATABASE, table, cluster.query(DATABASE, query).to_arrow(), create=True)


def _load(spark: SparkSession, root: str, query: str, **options: str) -> DataFrame:
    reader = spark.read.format("kusto").options(kustoCluster=root, kustoDatabase=DATABASE, **options)
    return reader.option("kustoQuery", query).load()


def _pushed(df: DataFrame) -> list[str]:
    """The KQL of each scan in the optimized plan, without running anything."""
    leaves = df._jdf.queryExecution().optimizedPlan().collectLeaves()
    texts = []
    for i in range(leaves.size()):
        leaf = leaves.apply(i)
        if leaf.getClass().getSimpleName() == "DataSourceV2ScanRelation":
            text = str(leaf.scan().description())
            texts.append(text.partition(f"{DATABASE} | ")[2] if text.startswith("kusto: ") else text)
    return texts


def _optimized(df: DataFrame) -> str:
    return str(df._jdf.queryExecution().optimizedPlan().toString())


def _canonical(rows: list[Any]) -> list[tuple[Any, ...]]:
    def value(v: Any) -> Any:
        if isinstance(v, float):
            return "nan" if math.isnan(v) else v + 0.0
        return v

    return sorted((tuple(value(v) for v in row) for row in rows), key=repr)


def test_what_is_pushed(pushing: SparkSession, tables: tuple[str, Cluster]) -> None:
    from pyspark.sql import functions as F

    root, _ = tables
    df = _load(pushing, root, "L")
    nested = df.filter("(k > 3 or r > 2.5) and not (s like 'a%' and i in (1, 2))").select("id")
    for frame, words, left in [
        (df.select("id", "`x.y`"), ["project ['id'], ['x.y']"], []),
        (nested, ["['k'] > long(3)", "startswith_cs 'a'", "!in", "isnan", "project ['id']"], ["Filter"]),
        (df.filter("length(s) > 1").filter("k = 1"), ["['k'] == long(1)"], []),
        (df.limit(3), ["take 3"], ["Limit"]),
        (
            df.orderBy("t", F.desc("k")).limit(2),
            ["top 2 by bin(['t'], 1microsecond) asc nulls first, ['k'] desc nulls last"],
            [],
        ),
        (df.orderBy("id").offset(2).limit(3), ["top 5 by ['id']"], []),
        (df.groupBy("s").agg(F.sum("r"), F.count("*")), ["summarize", "by k0=['s']"], ["Aggregate"]),
        (df.groupBy(F.date_trunc("day", "t")).count(), ["startofday"], ["Aggregate"]),
        (df.agg(F.countDistinct("k")), ["count_distinct"], ["Aggregate"]),
        (df.filter("g = '6f9619ff-8b86-d011-b42d-00c04fc964ff'"), ["guid("], ["Filter"]),
    ]:
        texts = _pushed(frame)
        for word in words:
            assert word in texts[0], (word, texts)
        for word in left:
            assert word not in _optimized(frame), _optimized(frame)
    for frame in [
        df.filter("g > '6f9619ff'"),
        df.filter("p = '01:00:00'"),
        df.filter("s < 'b'"),
        df.orderBy("r").limit(2),
        df.filter("length(s) > 1").limit(2),
        df.groupBy("r").count(),
        df.agg(F.sum("m")),
        df.groupBy("s").agg(F.expr("try_sum(k)")),
    ]:
        # Only that they are not null may be said of these columns.
        for text in _pushed(frame):
            assert not any(word in text for word in ("top", "take", "summ", "6f96", "01:00", "'b'")), text
    joined = df.join(_load(pushing, root, "R"), "k").select("id", "v")
    assert sorted(t.partition("|")[2].strip() for t in _pushed(joined)) == [
        "where isnotnull(['k']) | project ['id'], ['k']",
        "where isnotnull(['k']) | project ['k'], ['v']",
    ]
    assert "BroadcastHashJoin" in joined._jdf.queryExecution().sparkPlan().toString()
    df.createOrReplaceTempView("left_view")
    sql = pushing.sql("with x as (select * from left_view) select count(*) from x where b")
    assert "summarize" in _pushed(sql)[0]
    off = _load(pushing, root, "L", queryFilterPushDown="false")
    assert _pushed(off.filter("k = 1").select("id")) == ["L"]


_NUMBERS = ["0", "1", "2", "-1", "7", "9223372036854775807", "cast(null as bigint)"]
_REALS = ["0.0D", "-0.0D", "1.5D", "double('NaN')", "double('Infinity')", "cast(null as double)"]
_TEXTS = ["''", "'a'", "'A'", "'ä'", "'it\\'s'", "'a\\\\\\\\b'", "cast(null as string)"]
_MOMENTS = [
    "timestamp'2024-03-31 01:30:00.123456'",
    "timestamp'2024-03-31 01:30:00.123457'",
    "timestamp'1969-12-31 23:59:59.999999'",
    "timestamp'0001-01-01 00:00:00'",
    "cast(null as timestamp)",
]
_COMPARE = ["=", "!=", "<", "<=", ">", ">=", "<=>"]


def _leaf() -> st.SearchStrategy[str]:
    def compared(column: str, values: list[str]) -> st.SearchStrategy[str]:
        one = st.tuples(st.just(column), st.sampled_from(_COMPARE), st.sampled_from(values)).map(" ".join)
        listed = st.lists(st.sampled_from(values), min_size=1, max_size=12)
        several = listed.map(lambda found: f"{column} in ({', '.join(found)})")
        return one | several

    return st.one_of(
        compared("k", _NUMBERS),
        compared("`x.y`", _NUMBERS[:4]),
        compared("i", [f"cast({n} as int)" for n in ("1", "7", "-1", "null")]),
        compared("r", _REALS),
        compared("s", _TEXTS),
        compared("t", _MOMENTS),
        compared(
            "m", ["cast(1.5 as decimal(38,18))", "cast(10 as decimal(38,18))", "cast(null as decimal(38,18))"]
        ),
        compared("g", ["'6f9619ff-8b86-d011-b42d-00c04fc964ff'", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'"]),
        compared("p", ["'01:00:00'"]),
        st.sampled_from(["b", "not b", "b = true", "b <=> null", "b != false"]),
        st.sampled_from([f"{c} is {n}null" for c in "kirstbgpm" for n in ("", "not ")]),
        st.sampled_from(
            ["s like 'a%'", "s like '%b'", "s like '%ä%'", "s like 'a\\\\%%'", "s like ''", "s like '%'"]
        ),
        st.sampled_from(
            ["k % 7 = 3", "i % 5 = 0", "k % 3 != 1", "not (i % 4 = 2)", "i % 4 != 0", "k % 5 = -2"]
        ),
        st.sampled_from(["k = id", "k != `x.y`", "i = i", "length(s) > 1", "k + 1 = 2", "true", "false"]),
    )


def _predicates() -> st.SearchStrategy[str]:
    return st.recursive(
        _leaf(),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
                lambda t: f"({t[0]}) {t[1]} ({t[2]})"
            ),
            inner.map(lambda p: f"not ({p})"),
        ),
        max_leaves=5,
    )


@settings(max_examples=5 * MORE, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(
    predicates=st.lists(_predicates(), min_size=20, max_size=20, unique=True),
    zone=st.sampled_from(["UTC", "Europe/Berlin"]),
)
def test_pushed_filters_are_true_for_the_same_rows(
    pushing: SparkSession, tables: tuple[str, Cluster], conf: Conf, predicates: list[str], zone: str
) -> None:
    root, cluster = tables
    with conf({"spark.sql.session.timeZone": zone, "spark.sql.ansi.enabled": "false"}):
        df = _load(pushing, root, "L")
        with conf(OFF):
            flags = [f"coalesce({p}, false) as p{n}" for n, p in enumerate(predicates)]
            truth = df.selectExpr("id", *flags).collect()
        for n, predicate in enumerate(predicates):
            expected = {row["id"] for row in truth if row[f"p{n}"]}
            frame = df.filter(predicate).select("id")
            texts = _pushed(frame)
            if not texts:
                continue  # The optimizer knows that it is never true.
            got = {row[0] for row in cluster.query(DATABASE, f"{texts[0]} | project id").rows}
            if "Filter" in _optimized(frame):
                assert got >= expected, (predicate, texts)
            else:
                assert got == expected, (predicate, texts)


_AGGREGATES = [
    "count(*)",
    "count(k)",
    "count(s)",
    "count(distinct i)",
    "min(k)",
    "max(i)",
    "max(r)",
    "min(r)",
    "max(t)",
    "min(m)",
    "sum(i)",
    "sum(k % 1000)",
    "sum(`x.y`)",
    "avg(i)",
    "sum(`x.y`) filter (where b)",
    "count(*) filter (where s = 'a')",
    "max(t) filter (where k > 5)",
    "avg(`x.y`) + 1",
]
_KEYS = ["s", "i", "b", "k", "date_trunc('DAY', t)", "year(t)", "to_date(t)", "r", "g", "m"]


Program = Callable[["DataFrame", "DataFrame"], "DataFrame"]
_JOINS = ["inner", "left", "right", "full", "left_semi", "left_anti"]
_ON_NARROW = ["k > 0", "s = 'a' or k is null", "not (k <=> 2)", "id in (1, 2, 3, null)", "s != '' and id < 7"]


@st.composite
def _programs(draw: st.DrawFn) -> Program:
    """One step, or a few, over the wide table."""
    filters = draw(st.lists(_predicates(), max_size=2))
    shape = draw(
        st.sampled_from(["rows", "aggregate", "join", "union", "top", "distinct", "reused", "limit"])
    )
    keys = draw(st.lists(st.sampled_from(_KEYS), max_size=2, unique=True))
    calls = draw(st.lists(st.sampled_from(_AGGREGATES), min_size=1, max_size=4, unique=True))
    other = draw(_predicates())
    kind = draw(st.sampled_from(_JOINS))
    size = draw(st.integers(0, 9))

    def run(left: DataFrame, right: DataFrame) -> DataFrame:
        from pyspark.sql import functions as F

        frame = left
        for predicate in filters:
            frame = frame.filter(predicate)
        if shape == "aggregate":
            named = [F.expr(call).alias(f"a{n}") for n, call in enumerate(calls)]
            return frame.groupBy(*[F.expr(key).alias(f"g{n}") for n, key in enumerate(keys)]).agg(*named)
        if shape == "join":
            names = ["id"] if kind in ("left_semi", "left_anti") else ["id", "v", "w"]
            return frame.join(right, "k", kind).select(*names)
        if shape == "union":
            return frame.select("k", "s").union(right.filter("w > 1").select("k", "v"))
        if shape == "top":
            return frame.orderBy(F.desc("t"), "id").offset(1).limit(size).select("id")
        if shape == "distinct":
            return frame.select("i", "b").distinct()
        if shape == "reused":
            return frame.select("id").union(left.filter(other).select("id")).union(left.select("id"))
        if shape == "limit":
            # Which rows is chance; how many is not.
            return frame.limit(size).groupBy().count().union(right.limit(size).groupBy().count())
        return frame.select("id", "`x.y`", "r", "p", "g")

    return run


@st.composite
def _branching(draw: st.DrawFn, depth: int = 2) -> Program:
    """A tree of joins, unions, aggregates and tops; every leaf is the same DataFrame, with id, k and s."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        predicate = draw(_predicates())
        return lambda left, right: left.filter(predicate).select("id", "k", "s")
    step = draw(st.sampled_from(["union", "join", "right", "aggregate", "top", "filter", "except", "window"]))
    first, second = draw(_branching(depth - 1)), draw(_branching(depth - 1))
    kind = draw(st.sampled_from(_JOINS))
    condition = draw(st.sampled_from(_ON_NARROW))
    size = draw(st.integers(1, 5))

    def run(left: DataFrame, right: DataFrame) -> DataFrame:
        from pyspark.sql import functions as F

        one = first(left, right)
        if step == "union":
            return one.union(second(left, right))
        if step == "join":
            two = second(left, right).selectExpr("id as id2", "k as k2", "s as s2")
            joined = one.join(two, F.expr("k <=> k2 and id != id2"), kind)
            return (
                joined.select("id", "k", "s")
                if "s2" not in joined.columns
                else joined.selectExpr("coalesce(id, id2) id", "k", "s2 s")
            )
        if step == "right":
            return one.join(right.select("k", "v"), "k", "left").selectExpr("id", "k", "coalesce(v, s) s")
        if step == "aggregate":
            return (
                one.filter(condition)
                .groupBy("s")
                .agg(F.count("*").alias("id"), F.max("k").alias("k"))
                .select("id", "k", "s")
            )
        if step == "top":
            return one.orderBy(F.desc("id"), "k", "s").limit(size)
        if step == "filter":
            return one.filter(condition)
        if step == "except":
            return one.exceptAll(second(left, right))
        numbered = one.withColumn("n", F.expr("row_number() over (partition by s order by id, k)"))
        return numbered.filter(f"n <= {size}").selectExpr("id", "k", "s")

    return run


@settings(max_examples=24 * MORE, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(
    program=_programs() | _branching(),
    zone=st.sampled_from(["UTC", "America/New_York"]),
    ansi=st.sampled_from(["true", "false"]),
)
def test_programs_give_the_same_answer(
    loaded: tuple[DataFrame, DataFrame],
    conf: Conf,
    program: Program,
    zone: str,
    ansi: str,
) -> None:
    left, right = loaded

    def answer() -> Any:
        try:
            frame = program(left, right)
            # As text: Python stumbles over year 9999 in another zone.
            names = [name for name, type_ in frame.dtypes if type_ in ("timestamp", "date")]
            return _canonical(frame.withColumns({n: frame[n].cast("string") for n in names}).collect())
        except Exception as error:  # Overflow under ANSI is an answer, too.
            if "ARITHMETIC_OVERFLOW" not in str(error):
                raise
            return "ARITHMETIC_OVERFLOW"

    with conf({"spark.sql.session.timeZone": zone, "spark.sql.ansi.enabled": ansi}):
        pushed = answer()
        with conf(OFF):
            assert pushed == answer()


def test_hazards(pushing: SparkSession, tables: tuple[str, Cluster], conf: Conf) -> None:
    from pyspark.sql import functions as F

    root, _ = tables
    df = _load(pushing, root, "L")
    for setting in ("true", "false"):
        with conf({"spark.sql.python.filterPushdown.enabled": setting}):
            reused = _load(pushing, root, "L")
            assert sorted(
                r[0] for r in reused.filter("i = 1").union(reused.filter("i = 7")).select("id").collect()
            ) == [1, 6, 7, 8]
            assert reused.filter("i = 1").join(reused.filter("i = 7"), "b").count() == 0
            assert reused.count() == 8
            with conf(OFF):
                plain = _load(pushing, root, "L")
                assert sorted(
                    r[0] for r in plain.filter("i = 1").union(plain.filter("i = 7")).select("id").collect()
                ) == [1, 6, 7, 8]
                assert plain.count() == 8
    empty = df.filter("id > 100")
    assert tuple(empty.agg(F.count("*"), F.sum("k"), F.sum("r"), F.avg("i"), F.max("r")).collect()[0]) == (
        0,
        None,
        None,
        None,
        None,
    )
    assert empty.groupBy("s").count().collect() == []
    nothing = df.filter("id = 3").groupBy("s").agg(F.sum("k"), F.sum("r"), F.avg("i"), F.min("r")).collect()
    assert tuple(nothing[0]) == ("it's", None, None, None, None)
    top = df.filter("id in (4, 6)").agg(F.sum("k").alias("total"))
    assert "summarize" in _pushed(top)[0]
    with conf({"spark.sql.ansi.enabled": "true"}), pytest.raises(Exception, match="ARITHMETIC_OVERFLOW"):
        df.filter("id in (4, 6)").agg(F.sum("k")).collect()
    with conf({"spark.sql.ansi.enabled": "false"}):
        assert df.filter("id in (4, 6)").agg(F.sum("k")).collect()[0][0] == -2


def test_parts_by_a_column_are_cut_below_what_is_pushed(
    pushing: SparkSession, tables: tuple[str, Cluster]
) -> None:
    from pyspark.sql import functions as F

    df = _load(pushing, tables[0], "L", partitionColumn="s", numPartitions="3")
    assert df.rdd.getNumPartitions() == 3
    assert sorted(row[0] for row in df.filter("id > 2").select("id").collect()) == [3, 4, 5, 6, 7, 8]
    assert df.count() == 8
    assert len(df.select("id").limit(5).collect()) == 5
    assert [row[0] for row in df.orderBy(F.desc("id")).limit(2).select("id").collect()] == [8, 7]
    assert {row[0]: row[1] for row in df.groupBy("i").count().collect()}[7] == 2


def test_each_action_sees_new_rows_and_explain_runs_nothing(
    pushing: SparkSession, cluster: Cluster, root: str
) -> None:
    _store(cluster, "T", "range id from 1 to 10 step 1")
    df = _load(pushing, root, "T")
    assert df.count() == 10
    assert df.filter("id > 8").collect()[0]["id"] == 9
    _store(cluster, "T", "range id from 11 to 15 step 1")
    assert df.count() == 15
    assert df.select("id").filter("id > 8").count() == 7

    def runs() -> int:
        return int(cluster.execute(DATABASE, ".show queries | count").rows[0][0])

    before = runs()
    df.groupBy("id").count().explain()
    df.filter("id > 3").explain(mode="formatted")
    assert runs() <= before + 1


def test_planning_an_unrelated_plan_costs_nothing(pushing: SparkSession, conf: Conf) -> None:
    """The rule looks at 200 nodes in well under 5 ms."""
    frame = pushing.range(10).toDF("a")
    for n in range(100):
        frame = frame.union(pushing.range(n, n + 1).toDF("a").filter(f"a > {n - 1}"))
    plan = frame._jdf.queryExecution().optimizedPlan()
    rules = pushing._jsparkSession.experimental().extraOptimizations()
    rule = next(
        rules.apply(i) for i in range(rules.size()) if rules.apply(i).getClass().getName() == "KustoPushDown"
    )
    system = pushing._jvm.java.lang.System  # type: ignore[union-attr]
    times = []
    for _ in range(20):
        start = system.nanoTime()
        rule.apply(plan)
        times.append((system.nanoTime() - start) / 1e6)
    assert sorted(times)[10] < 5


def test_tables_of_the_catalog_keep_their_options(
    pushing: SparkSession, cluster: Cluster, root: str, conf: Conf
) -> None:
    """Spark loses a catalog table's OPTIONS on the way to a Python source; the rule puts them back."""
    _store(cluster, "T", "range id from 1 to 3 step 1")
    options = f"kustoCluster '{root}', kustoDatabase '{DATABASE}', kustoTable 'T', kustoQuery 'T'"
    pushing.sql(f"create table stored (id bigint) using kusto options ({options})")
    try:
        assert pushing.sql("select max(id) from stored").collect()[0][0] == 3
        pushing.sql("insert into stored values (10)")
        assert pushing.sql("select sum(id) from stored where id > 1").collect()[0][0] == 15
        pushing.sql("insert overwrite stored values (7), (8)")
        assert sorted(row[0] for row in pushing.table("stored").collect()) == [7, 8]
        with conf(OFF):
            pushing.sql("insert into stored values (10)")
            assert pushing.sql("select max(id) from stored where id > 7").collect()[0][0] == 10
    finally:
        pushing.sql("drop table stored")
