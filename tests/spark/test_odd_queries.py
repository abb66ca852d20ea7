"""Queries that a data engineer may write, over columns and values that go wrong easily, pushed and not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.spark.conftest import DATABASE

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pyspark.sql import DataFrame, SparkSession


Conf = Callable[[dict[str, str]], "AbstractContextManager[None]"]

ODD = r"""
datatable(id:long, l:long, i:int, r:real, s:string, t:datetime, b:bool, g:guid, p:timespan, m:decimal,
          d:dynamic, ['a.b']:long, ['with space']:string, ["it's"]:long, ['back\\slash']:long,
          ['back`tick']:string, ['where']:long, ['by']:string, ['ünï']:string, k0:long,
          m0:long, a0:string, count_:long)
[
  1, 1, 1, 1.5, 'a', datetime(2024-03-31T00:30:00Z), true, guid(6f9619ff-8b86-d011-b42d-00c04fc964ff), 1h,
    decimal(1.5), dynamic({"x": 1, "y": [1, 2]}), 10, 'x', 1, 1, 'q', 5, 'b1', 'ä', 1, 1, 'z', 1,
  2, 2, -1, real(nan), '', datetime(2024-03-31T01:30:00.123456Z), false, guid(null), 2h,
    decimal(-2.25), dynamic([1, "two", null]), long(null), '', 2, 2, '', 6, 'b2', 'ö', 2, 2, 'y', 2,
  3, long(null), int(null), real(null), "it's", datetime(null), bool(null), guid(null), timespan(null),
    decimal(null), dynamic(null), 30, "x'y", long(null), 3, 'q`', long(null), '', '',
    long(null), 3, '', long(null),
  4, 9223372036854775807, 2147483647, real(+inf), 'A', datetime(1969-12-31T23:59:59.999999Z), true,
    guid(6f9619ff-8b86-d011-b42d-00c04fc964fe), -1d, decimal(1.5), dynamic("text"), 10, 'X', 4, 4, 'q', 7,
    'b1', 'Ä', 4, 4, 'z', 4,
  5, -9223372036854775807, int(-2147483648), real(-inf), 'a\\b', datetime(0001-01-01), true, guid(null), 0s,
    decimal(0.000000000000000001), dynamic({}), -5, 'tab\there', 5, 5, 'q', 5, 'b3', '名', 5, 5, 'z', 5,
  6, 9223372036854775807, 7, -0.0, '日本 🎉', datetime(9999-12-31T23:59:59.999999Z), bool(null), guid(null),
    timespan(1.02:03:04.5678901), decimal(10), dynamic(true), 0, '%', 6, 6, '', 5, 'b1', 'ä', 6, 6, 'z', 6,
  7, 2, 7, 0.0, 'a%_', datetime(1582-10-04T12:00:00Z), false, guid(6f9619ff-8b86-d011-b42d-00c04fc964ff), 1h,
    decimal(-10), dynamic(1.5), 30, '_', 7, 7, 'q', 6, 'b2', 'ö', 7, 7, 'y', 7,
  8, 1, 1, 2.5, 'ab', datetime(2024-10-27T01:00:00Z), true, guid(null), 1h, decimal(null), dynamic(null), 30,
    'ends ', 8, 8, 'q', 5, 'b1', '', 8, 8, '', 8,
  9, 0, 0, 1e-320, 'null', datetime(1900-02-28T23:59:59Z), false, guid(00000000-0000-0000-0000-000000000000),
    365d, decimal(99999999999999999999), dynamic("null"), 9, 'null', 9, 9, 'null', 8, 'null', 'ﬁ',
    9, 9, 'null', 9,
  10, -1, -7, -1.5, '\n\'"\\', datetime(2000-02-29), true, guid(ffffffff-ffff-ffff-ffff-ffffffffffff), -1tick,
    decimal(-99999999999999999999), dynamic({"k": null}), -9, ' lead', 10, 10, '`', 9, 'b9',
    'a\u0308', 10, 10, 'y', 10
]
"""

# One answer each, in an order of its own; what depends on chance is only counted.
STATEMENTS = [
    # columns, aliases, odd names
    "select `a.b`, `with space`, `it's` from odd where `a.b` > 5 and `it's` is not null",
    "select `back\\slash` x, `back``tick` y, `where`, `by`, `ünï` from odd where `back\\slash` in (1, 5, 9)",
    "select `by`, `where`, count(*) c, max(`a.b`) from odd group by `by`, `where`",
    "select k0, m0, a0, sum(m0), count(k0) from odd where count_ > 1 group by k0, m0, a0",
    "select a0, max(k0) k0, min(m0) m0, count(*) count_ from odd group by a0 having count(*) > 1",
    "select id, id + 1 as id2, id as l, l as id from odd where l > 0",
    "select count(*) from odd",
    "select count(1), count(null), count(id, l), count(distinct l, i) from odd",
    "select 1 from odd where id > 5",
    "select distinct b, `by` from odd",
    "select * from odd where id = 3",
    "select d, p, g from odd where p is not null and d is not null and g is not null",
    # null logic
    "select id from odd where l != 2 or l is null",
    "select id from odd where not (l = 2 and s = 'a')",
    "select id from odd where not (l = 2 or r > 1)",
    "select id from odd where l <=> null or b <=> false",
    "select id from odd where not (l <=> 2)",
    "select id from odd where l in (1, null)",
    "select id from odd where l not in (1, 2)",
    "select id from odd where l not in (1, null)",
    "select id from odd where b",
    "select id from odd where not b",
    "select id from odd where b in (true) or b is null",
    "select id from odd where b = (l > 1)",
    "select id from odd where coalesce(l, -1) = -1",
    "select id from odd where s is null or s = ''",
    "select id from odd where nullif(s, '') is null",
    "select id from odd where case when l > 1 then true when l = 1 then null else false end",
    "select id from odd where if(b, l, i) > 0",
    "select id from odd where cast(null as boolean)",
    "select id from odd where l = null",
    # numbers
    "select id, r from odd where r > 1e308",
    "select id, r from odd where r <= double('inf')",
    "select id, r from odd where r = 0",
    "select id, r from odd where r != 0",
    "select id, r from odd where r not in (0D, 1.5D)",
    "select id, r from odd where r in (double('nan'), -0.0D)",
    "select id, r from odd where isnan(r) or r < -1e300",
    "select id, r from odd where r between -0.0D and 2.5D",
    "select id from odd where r > i",
    "select id from odd where l > i",
    "select id from odd where l = id or i = id",
    "select id from odd where i = -2147483648 or i > 2147483646",
    "select id from odd where l > -9223372036854775808 and l <= 9223372036854775806",
    "select id from odd where i > 1.5",
    "select id from odd where i = 1L and l = 1",
    "select id from odd where l = '1'",
    "select id from odd where m = 1.5 or m > 99999999999999999998",
    "select id from odd where m in (1.5, 10, null) and m != 10",
    "select id from odd where m between -10 and 0.000000000000000001",
    "select id from odd where m > 1.4999999999999999999",
    "select max(m), min(m), count(m), count(distinct m), sum(m), avg(m) from odd where abs(m) < 1000",
    # strings
    "select id, s from odd where s like 'a%'",
    "select id, s from odd where s like '%\\%%'",
    "select id, s from odd where s like '_'",
    "select id, s from odd where s like '%b' or s like '%\\\\\\\\%'",
    "select id, s from odd where s like 'a#%%' escape '#'",
    "select id, s from odd where s ilike 'A%'",
    "select id, s from odd where s rlike '^a'",
    "select id, s from odd where not s like '%a%'",
    "select id, s from odd where startswith(s, '') and not endswith(s, '')",
    "select id, s from odd where contains(s, '🎉') or contains(s, '日')",
    "select id, s from odd where s in ('', 'A', 'it\\'s', null)",
    "select id, s from odd where s not in ('', 'A', 'a\\\\b')",
    "select id, s from odd where s > 'a' and s <= 'b'",
    "select id, `with space` from odd where `with space` = 'ends ' or `with space` = ' lead'",
    "select id from odd where `ünï` = 'ä' or `ünï` = 'a\u0308' or `ünï` = 'fi'",
    "select id from odd where s = `with space` or s != a0 and s = `back``tick`",
    "select id from odd where upper(s) = 'A'",
    "select id from odd where trim(`with space`) = 'lead'",
    "select id from odd where s = 'it''s' or s = '\\n\\'\"\\\\'",
    "select max(s), min(s), count(s), count(distinct s), count(distinct `ünï`) from odd",
    "select s, count(*) from odd group by s",
    "select collect_set(s), array_sort(collect_list(id)) from odd where id in (1, 2)",
    # moments
    "select id from odd where t < timestamp'1970-01-01'",
    "select id from odd where t = timestamp'0001-01-01' or t = timestamp'9999-12-31 23:59:59.999999'",
    "select id from odd where t > timestamp'9999-12-31 23:59:59.999998'",
    "select id from odd where t between timestamp'1582-01-01' and timestamp'1969-12-31 23:59:59.999999'",
    "select id from odd where t >= date'2024-03-31' and t < date'2024-04-01'",
    "select id from odd where to_date(t) = date'2024-03-31'",
    "select id from odd where year(t) = 2024 and month(t) in (3, 10)",
    "select id from odd where t in (timestamp'2000-02-29', timestamp'1900-02-28 23:59:59', null)",
    "select id from odd where t not in (timestamp'2000-02-29')",
    "select id from odd where t + interval 1 day > timestamp'2024-04-01'",
    "select id from odd where date_trunc('month', t) = timestamp'2024-03-01'",
    "select year(t), count(*) from odd group by year(t)",
    "select date_trunc('year', t) y, count(*), max(t) from odd group by 1",
    "select date_trunc('MONTH', t) y, min(id) from odd group by 1",
    "select date_trunc('week', t) y, min(id) from odd group by 1",
    "select date_trunc('quarter', t) y, min(id) from odd group by 1",
    "select date_trunc('HOUR', t) y, date_trunc('minute', t) z, min(id) from odd group by 1, 2",
    "select date_trunc('second', t) y, date_trunc('millisecond', t) z, count(*) from odd group by 1, 2",
    "select trunc(t, 'month') y, count(*) from odd group by 1",
    "select to_date(t) y, hour(t) h, day(t) dd, month(t) mm, count(*) from odd group by 1, 2, 3, 4",
    "select minute(t) y, dayofweek(t), count(*) from odd group by 1, 2",
    "select cast(t as date) d, sum(l % 10) from odd group by cast(t as date)",
    "select max(t), min(t), count(t), count(distinct t) from odd",
    # guids, timespans, dynamic
    "select id from odd where g = '6f9619ff-8b86-d011-b42d-00c04fc964ff'",
    "select id from odd where g != '6f9619ff-8b86-d011-b42d-00c04fc964ff'",
    "select id from odd where g = '6F9619FF-8B86-D011-B42D-00C04FC964FF' or g = 'x'",
    "select id from odd where g in ('00000000-0000-0000-0000-000000000000', 'no guid')",
    "select id from odd where g in ('00000000-0000-0000-0000-000000000000', null)",
    "select id from odd where g like '6f%' or g > 'f'",
    "select id from odd where g is null and p is not null",
    "select g, count(*), max(g) from odd group by g",
    "select id from odd where p = '01:00:00' or p like '-%'",
    "select p, count(*) from odd group by p",
    "select id from odd where d = '{}' or d is null",
    "select id, get_json_object(d, '$.x') from odd where get_json_object(d, '$.x') = 1",
    "select d, count(*) from odd group by d",
    # aggregates
    "select b, count(*), count(l), sum(i), avg(i), min(r), max(r), avg(r), sum(l % 100) from odd group by b",
    "select sum(i), avg(l), sum(`a.b`), avg(`a.b`) from odd where id < 4",
    "select sum(l) from odd where id in (4, 5)",
    "select try_sum(l) from odd",
    "select sum(distinct i), avg(distinct i), count(distinct i) from odd",
    "select count(*) filter (where r > 1), sum(i) filter (where b), max(t) filter (where s = 'a') from odd",
    "select count(*) filter (where l not in (1, null)), count(l) filter (where false) from odd",
    "select count(distinct l) filter (where i > 0), min(l) filter (where length(s) = 1) from odd",
    "select sum(r), avg(r), stddev(l), corr(i, l) from odd where id in (1, 8)",
    "select max(b), min(b), bool_or(b), every(b), any_value(b) is null from odd",
    "select count_if(b), count_if(r > 0) from odd",
    "select `by`, sum(i) + count(*) x, max(l) - min(l) y from odd where i < 100 and id != 5 group by `by`",
    "select count(*), sum(l), avg(i), max(r), min(t), max(s) from odd where id > 100",
    "select b, count(*), sum(l) from odd where id > 100 group by b",
    "select l, b, count(*) from odd group by cube(l, b)",
    "select l, b, grouping(l), count(*) from odd group by grouping sets ((l), (b), ())",
    "select b, l, count(*) from odd group by rollup(b, l)",
    "select i % 2, count(*) from odd group by i % 2",
    "select l > 1, count(*) from odd group by l > 1",
    "select m, count(*) from odd group by m",
    "select r, count(*) from odd group by r",
    "select t, count(*) from odd group by t",
    "select * from (select b, count(*) n from odd group by b) where n > 1",
    "select max(n), sum(n) from (select `by`, count(*) n from odd where id > 1 group by `by`)",
    "select b, count(*) n from odd group by b order by n desc, b limit 2",
    "select percentile(i, 0.5), median(i), mode(`by`) from odd where id in (1, 2, 9)",
    # order, limit, offset
    "select id from odd order by id limit 3",
    "select id, t from odd order by t desc, id limit 3",
    "select id from odd order by l nulls last, id desc limit 4",
    "select id from odd order by l desc nulls first, id limit 4",
    "select id from odd order by m desc, i limit 3",
    "select id from odd order by r, id limit 4",
    "select id from odd order by s, id limit 4",
    "select id from odd order by -id limit 2",
    "select id from odd order by id limit 3 offset 2",
    "select id from odd order by id offset 7",
    "select id from odd where s != '' order by i desc, id limit 2",
    "select id from (select * from odd order by id limit 5) where id > 3",
    "select count(*) from (select id from odd limit 4)",
    "select count(*) from (select id from odd limit 4 offset 8)",
    "select count(*) from (select id from odd where length(s) > 0 limit 3)",
    "select count(*) from (select id from odd limit 0)",
    "select count(*) from (select l from odd where l = 1 limit 100)",
    "select sum(id) from (select id from odd order by id desc limit 3)",
    "(select id from odd order by id limit 2) union all (select id from odd order by id desc limit 2)",
    # joins, unions, subqueries, views
    "select a.id, b.id from odd a join odd b on a.l = b.id where a.id < b.id",
    "select a.id, b.id from odd a left join odd b on a.l = b.l and b.id > 5",
    "select a.id, b.s from odd a full join (select * from odd where b) b on a.id = b.l",
    "select a.id from odd a left semi join odd b on a.l = b.i",
    "select a.id from odd a left anti join odd b on a.l = b.i",
    "select count(*) from odd a cross join odd b where a.r < b.r",
    "select /*+ broadcast(b) */ a.id, b.id from odd a join odd b on a.l <=> b.l",
    "select /*+ merge(b) */ a.id, b.id from odd a join odd b on a.s = b.a0",
    "select /*+ shuffle_hash(b) */ a.id, b.id from odd a join odd b on a.r = b.r",
    "select a.`a.b`, b.`a.b` from odd a join odd b using (id) where a.`a.b` > 0",
    "select id from odd where l = 1 union select i from odd union all select id from odd where b",
    "select id, s from odd where b except select id, s from odd where l = 1",
    "select l from odd intersect select i from odd",
    "select id from odd where l = (select max(i) from odd where i < 5)",
    "select id from odd where l in (select i from odd where b)",
    "select id from odd where l not in (select i from odd where i is not null)",
    "select id from odd o where exists (select 1 from odd x where x.l = o.i and x.id != o.id)",
    "select id, (select count(*) from odd x where x.l = o.l) c from odd o",
    "with x as (select count(*) n from odd group by b), y as (select n from x) select n from y where n > 1",
    "with x as (select * from odd where b) select a.id from x a join x b on a.l = b.l and a.id != b.id",
    "select id from nested where l > 0 and u = 'A'",
    "select count(*), max(id) from nested",
    "select x.id, n from nested x join (select b, count(*) n from odd group by b) y on x.b <=> y.b",
    "select * from (select id, l from odd) pivot (count(l) for id in (1, 2, 3))",
    "select * from (select id, l, `it's` z from odd) unpivot (v for c in (l, z)) where v > 3",
    # windows, generators, others
    "select id, row_number() over (partition by b order by id) n from odd where id > 2",
    "select * from (select id, rank() over (partition by b order by l, id) k from odd) where k <= 1",
    "select id, lag(l) over (order by id) p, sum(i) over (partition by `by`) from odd where id != 4",
    "select id, x from odd lateral view explode(array(l, i)) y as x where x > 1",
    "select id, x from odd, lateral (select odd.l + 1 as x) where odd.l < 100",
    "select id, posexplode(split(s, '')) from odd where id = 8",
    "select named_struct('a', l, 'b', s) z from odd where l = 1",
    "select map(s, l) from odd where s = 'a'",
    "select hash(l, s), xxhash64(t) from odd",
    "select count(*) from odd tablesample (100 percent)",
    "select id from odd distribute by b sort by id",
    "select approx_count_distinct(l) > 0 from odd",
    "select first_value(s) over (order by id) from odd where b",
    "select count(*) from odd where rand() >= 0 and id > 3",
    "select count(distinct u) from (select uuid() u from odd)",
    "select id, monotonically_increasing_id() >= 0 from odd where l = 1",
    "select id, current_date() > t from odd where t is not null",
]


def _frames() -> list[Callable[[DataFrame], Any]]:
    from pyspark.sql import functions as F

    return [
        lambda df: df.filter("l = 1").isEmpty(),
        lambda df: df.filter("id > 100").isEmpty(),
        lambda df: df.orderBy("id").tail(2),
        lambda df: df.orderBy("id").first(),
        lambda df: df.orderBy(F.desc("id")).take(3),
        lambda df: df.drop("t").filter("b").head(100),
        lambda df: sorted(row["id"] for row in df.select("id").toLocalIterator()),
        lambda df: df.select("id", "l", "s").filter("id < 5").orderBy("id").toPandas().to_csv(),
        lambda df: df.filter("l = 1").dropDuplicates(["l"]).count(),
        lambda df: df.select("b", "by").dropDuplicates(),
        lambda df: df.select("l", "i").exceptAll(df.select("i", "i")),
        lambda df: df.select("l").intersectAll(df.select("i")),
        lambda df: df.filter("id < 4").unionByName(
            df.filter("id > 8").select(*(df[_quoted(c)] for c in reversed(df.columns)))
        ),
        lambda df: df.select("id", "l").fillna(0).filter("l = 0"),
        lambda df: df.select("id", "l", "r").dropna().count(),
        lambda df: df.select("id", "s").replace({"a": "b"}, subset=["s"]).filter("s = 'b'"),
        lambda df: df.sample(1.0, seed=1).count(),
        lambda df: df.repartition(3, "b").filter("l = 1").select("id"),
        lambda df: df.coalesce(1).groupBy("b").count(),
        lambda df: (
            df.join(F.broadcast(df.select("id", F.col("l").alias("z"))), "id").filter("z = 1").select("id")
        ),
        lambda df: df.withColumn("id", F.col("id") * 2).filter("id > 10").select("id"),
        lambda df: df.withColumnRenamed("l", "renamed").groupBy("renamed").agg(F.sum("i")),
        lambda df: df.selectExpr("id as x", "l as id").filter("id = 1").agg(F.sum("x")),
        lambda df: df.drop("d", "p").filter(F.col("`a.b`").isNull()),
        lambda df: df.select(F.col("`it's`").alias("a b.c")).agg(F.max("`a b.c`")),
        lambda df: df.groupBy(F.window("t", "1 day")).count().filter("window.start > '2000-01-01'").count(),
        lambda df: df.groupBy("b").pivot("by", ["b1", "b2"]).agg(F.count("id")),
        lambda df: df.crosstab("b", "by"),
        lambda df: df.select("i", "l").filter("id < 4").describe("i"),
        lambda df: df.drop("t").rdd.map(lambda row: row["id"]).sum(),
        lambda df: df.filter("l > 0").limit(2).count(),
        lambda df: df.limit(5).limit(3).count(),
        lambda df: df.orderBy("id").limit(5).orderBy(F.desc("id")).limit(2).select("id"),
        lambda df: df.orderBy("id").limit(5).filter("id > 2").groupBy("b").count(),
        lambda df: df.orderBy("id").offset(3).limit(2).select("id"),
        lambda df: df.limit(5).offset(3).count(),
        lambda df: df.filter("l = 1").cache().filter("b").select("id"),
        lambda df: df.filter("l = 1").localCheckpoint().select("id", "s"),
        lambda df: df.filter(F.col("id").isin([1, 2, 3] * 10)).select("id"),
        lambda df: df.filter(F.col("id").isin(list(range(-500, 4)))).select("id"),
        lambda df: df.filter(F.udf(lambda v: v == 1, "boolean")("l")).filter("b").select("id"),
        lambda df: (
            df.select("id", "l").mapInArrow(lambda batches: batches, "id bigint, l bigint").filter("l = 1")
        ),
        lambda df: df.select("id", F.explode(F.array("l", "i")).alias("e")).filter("e = 1 and id > 1"),
        lambda df: df.alias("x").join(df.alias("y"), F.expr("x.id = y.l")).select("x.id", "y.s"),
        lambda df: df.filter("i = 1").join(df.filter("i = 7"), "by").count(),
        lambda df: df.filter("i = 1").union(df.filter("i = 7")).union(df).count(),
        lambda df: df.observe(_observation(), F.count("*").alias("n")).filter("id > 2").count(),
        lambda df: df.hint("broadcast").filter("l = 1").select("id"),
        lambda df: df.select(F.struct("l", "s").alias("z")).filter("z.l = 1").select("z.s"),
        lambda df: df.agg({"`a.b`": "max", "*": "count"}),
        lambda df: df.withWatermark("t", "1 hour").groupBy("b").count(),
    ]


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _observation() -> Any:
    from pyspark.sql import Observation

    return Observation()


Frames = tuple["DataFrame", "DataFrame"]

# Each statement takes a second or two on a busy machine, and a test may take five minutes.
PARTS = 6


@pytest.fixture(scope="module")
def odd(pushing: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frames]:
    """The table, and what Spark has of it in its own memory."""
    from spark_kusto import connect

    root = str(tmp_path_factory.mktemp("odd") / "cluster")
    with connect(root) as cluster:
        cluster.ingest(DATABASE, "Odd", cluster.query(DATABASE, ODD).to_arrow(), create=True)
    reader = pushing.read.format("kusto").options(kustoCluster=root, kustoDatabase=DATABASE)
    read = reader.option("kustoQuery", "Odd").load()
    kept = read.localCheckpoint()
    kept.createOrReplaceTempView("odd")
    # A view's text is looked up when it is used: it reads whichever `odd` there is then.
    pushing.sql(
        "create or replace temp view nested as"
        " select id, l, b, upper(s) u from (select * from odd where id < 9) where b is not null"
    )
    yield read, kept
    for view in ("odd", "nested"):
        pushing.catalog.dropTempView(view)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "nan" if math.isnan(value) else round(value + 0.0, 9)
    if isinstance(value, (list, tuple)):
        return tuple(_plain(v) for v in value)
    if isinstance(value, dict):
        return tuple(sorted((k, _plain(v)) for k, v in value.items()))
    return value


def _answer(run: Callable[[], Any]) -> Any:
    from pyspark.sql import DataFrame

    try:
        made = run()
        if not isinstance(made, DataFrame):
            return _plain(made)
        # As text: Python stumbles over years 1 and 9999.
        moments = {f"`{n.replace('`', '``')}`": n for n, kind in made.dtypes if kind in ("timestamp", "date")}
        made = made.withColumns({n: made[quoted].cast("string") for quoted, n in moments.items()})
        rows = sorted((_plain(tuple(row)) for row in made.collect()), key=repr)
        return made.dtypes, rows
    except Exception as error:  # noqa: BLE001 - what goes wrong is an answer, too
        found = str(error)
        condition = found[found.find("[") + 1 : found.find("]")] if "[" in found else found
        return f"error {condition}"


@pytest.mark.parametrize(
    ("zone", "ansi"), [("UTC", "true"), ("America/New_York", "false")], ids=["utc-ansi", "new-york"]
)
@pytest.mark.parametrize("part", range(PARTS))
def test_statements_give_the_same_answer(
    odd: Frames, pushing: SparkSession, conf: Conf, zone: str, ansi: str, part: int
) -> None:
    statements = STATEMENTS
    if zone != "UTC":
        # What a zone, or the arithmetic of old, can change.
        statements = [s for s in STATEMENTS if re.search(r"\bt\b|sum\(|try_|avg|cast|= '", s)]
    statements = statements[part::PARTS]
    answers: list[list[Any]] = []
    with conf({"spark.sql.session.timeZone": zone, "spark.sql.ansi.enabled": ansi}):
        for frame in odd:
            frame.createOrReplaceTempView("odd")
            answers.append([_answer(partial(pushing.sql, statement)) for statement in statements])
    assert [d for d in zip(statements, *answers, strict=True) if d[1] != d[2]] == []
    # Only overflow, and text that is no number, are errors.
    failed = {found for found in answers[0] if isinstance(found, str) and found.startswith("error")}
    assert failed <= {"error ARITHMETIC_OVERFLOW", "error CAST_INVALID_INPUT"}


def test_frames_give_the_same_answer(odd: Frames) -> None:
    frames = _frames()
    answers = [[_answer(partial(f, frame)) for f in frames] for frame in odd]
    odd[0].sparkSession.catalog.clearCache()
    assert [d for d in zip(range(len(frames)), *answers, strict=True) if d[1] != d[2]] == []
    assert [n for n, found in enumerate(answers[0]) if isinstance(found, str) and "error" in found] == []
