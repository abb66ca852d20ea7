"""Random queries run on DuckDB without an error of DuckDB's, and random texts bind or are refused."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import random
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from spark_kusto.errors import KustoError
from spark_kusto.kql.catalog import StoredFunction
from tests.kql.executor import Database
from tests.kql.pipelines import TABLES, Grower
from tests.kql.published import QUERIES
from tests.kql.test_parser_fuzz import mutated

Item = TypeVar("Item")


@functools.cache
def database() -> Database:
    tables = {}
    for name, (columns, rows) in TABLES.items():
        typed = [
            tuple(
                dt.datetime.fromisoformat(value) if kind == "datetime" and value is not None else value
                for (_, kind), value in zip(columns, row, strict=True)
            )
            for row in rows
        ]
        tables[name] = (columns, typed)
    functions = {"F": StoredFunction("F", "(T:(*), n:long = 2)", "{ T | take n }")}
    return Database(tables, functions)


def columns_of(text: str) -> list[tuple[str, str]]:
    compiled = database().compile(text)
    return [(column.name, column.type.value) for column in compiled.results[0].columns]


class Seeded:
    """Choices from a seed: a query is too large a thing for hypothesis to shrink by its choices."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, items: Sequence[Item]) -> Item:
        return self._random.choice(items)

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


FAST = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@settings(FAST, max_examples=250)
@given(st.integers(0, 1 << 40))
def test_grown_queries_run(seed: int) -> None:
    """They run, types in Arrow fit the Kusto types, and no string is null."""
    try:
        query = Grower(Seeded(seed), columns_of).query()
    except KustoError:
        return
    compiled = database().compile(query)
    note(query)
    for result, table in database().execute(compiled):
        for column in result.columns:
            array = table.column(column.sql_name)
            if column.type.value == "string":
                assert array.null_count == 0, column.name
            if column.type.value in ("long", "int", "timespan"):
                assert str(array.type).startswith("int"), (column.name, array.type)


OWN = (
    "A | where k > 1 and s has 'apple' | summarize count(), dcount(s) by bin(t, 1d) | sort by count_ desc",
    "A | join kind=leftouter (B | where n > 1) on k, s | project k, s, w, z = tostring(d.x[0])",
    "let x = toscalar(B | summarize max(k)); A | extend y = iff(k == x, 'a', s) | top 3 by y",
    "A | mv-expand d to typeof(string) | make-series sum(r) on t from ago(1d) to now() step 1h by s",
    "union withsource=W A, B | parse s with a ' ' b:long * | summarize make_list(b) by W",
    "F(A, 3) | invoke F(n=1) | evaluate bag_unpack(d) | serialize n_ = row_number()",
    "range i from 1 to 5 step 1 | extend p = prev(i) | scan declare (q:long) with (step z: i > p => q = 1;)",
    "declare query_parameters(a:long = 1); A | where k in (a, 2) or s in~ ((B | project s)) | distinct k, s",
    "A | partition by s (top 1 by k) | mv-apply z = d on (take 1) | lookup B on k | render timechart",
)


@settings(FAST, max_examples=500)
@given(mutated((*OWN, *QUERIES)))
def test_mutated_queries_bind_or_are_refused(query: str) -> None:
    with contextlib.suppress(KustoError):
        database().compile(query)


FOUND = {
    "order by a constant": 'print q = "x" | top 3 by q desc',
    "constant order of bool": "print q = true, z = 1 | sort by q asc, z desc",
    "shared rows in a partition": (
        "let L = B | serialize v = next(w, 1) | extend u = v * 2 | take 2; L | partition by u (top 1 by n)"
    ),
    "subquery in integer division": "let n = toscalar(B | count); A | summarize c = count() | extend c / n",
    "subquery in integer sum": "A | extend z = k + toscalar(B | summarize max(k)) * 2",
    "two subqueries": "let n = toscalar(B | count); print n / (n - 3), array_slice(range(1, 9, 1), n, n)",
    "dynamic partition with Python": (
        "A | extend l = split(s, ' ') | partition by l (evaluate narrow())"
    ),
    "least long": "print abs(long(-9223372036854775808)), long(-9223372036854775808) / -1",
    "text against number": "A | where s == 0 or s != false or 1.5 == s",
    "alias twice into scan": (
        "range i from 1 to 3 step 1 | extend j = i | sort by i asc"
        " | scan declare (t:long = 0) with (step s: true => t = s.t + j;)"
    ),
}  # fmt: skip
"""What fuzzing found, in its shortest form."""


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    rows: list[tuple[Any, ...]] = database().rows(FOUND[name])
    assert isinstance(rows, list)
