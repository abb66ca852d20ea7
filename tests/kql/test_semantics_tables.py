"""What tabular operators do."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from spark_kusto.kql.catalog import StoredFunction
from tests.kql.executor import Database

SALES = (
    [("Id", "long"), ("City", "string"), ("Amount", "real"), ("At", "datetime"), ("Tags", "dynamic")],
    [
        (1, "Oslo", 10.0, dt.datetime(2024, 1, 1, 1), ["a", "b"]),
        (2, "Rome", 20.0, dt.datetime(2024, 1, 1, 5), ["b"]),
        (3, "Oslo", None, dt.datetime(2024, 1, 2, 1), None),
        (4, "", 40.0, dt.datetime(2024, 1, 3, 1), []),
    ],
)
CITIES = (
    [("City", "string"), ("Country", "string"), ("Id", "long")],
    [("Oslo", "Norway", 100), ("Paris", "France", 200), ("Oslo", "Norge", 300)],
)
DATABASE = Database(
    {"Sales": SALES, "Cities": CITIES},
    {
        "Big": StoredFunction("Big", "(least:real = 15.0)", "{ Sales | where Amount > least }"),
        "Twice": StoredFunction("Twice", "(x:long)", "{ x * 2 }"),
    },
)


def names(query: str) -> list[str]:
    return DATABASE.query(query)[0]


def rows(query: str) -> list[tuple[Any, ...]]:
    return DATABASE.rows(query)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("print 1, x = 2, 'a'", ["print_0", "x", "print_2"]),
        ("Sales | project Id, Amount * 2, Tags[0], Twice = Id * 2", ["Id", "Column1", "Tags_0", "Twice"]),
        ("Sales | project tostring(Id), bin(Amount, 10), tolower(City)", ["Id", "Amount", "Column1"]),
        (
            "Sales | summarize count(), sum(Amount), avg(Id * 2), dcount(City) by bin(At, 1d)",
            ["At", "count_", "sum_Amount", "avg_", "dcount_City"],
        ),
        ("Sales | summarize count() by City, x = Id % 2, Id / 2", ["City", "x", "Column1", "count_"]),
        ("Sales | summarize arg_max(Amount, City, At) by Id", ["Id", "Amount", "City", "At"]),
        ("Sales | summarize arg_max(Amount, *) by City", ["City", "Amount", "Id", "At", "Tags"]),
        (
            "Sales | summarize make_list(Id), make_set(City), countif(Id > 1), percentiles(Id, 50, 99.9)",
            ["list_Id", "set_City", "countif_", "percentile_Id_50", "percentile_Id_99_9"],
        ),
        (
            "Sales | join kind=inner Cities on City",
            ["Id", "City", "Amount", "At", "Tags", "City1", "Country", "Id1"],
        ),
        ("Sales | join kind=leftsemi Cities on City", ["Id", "City", "Amount", "At", "Tags"]),
        ("Sales | join kind=rightanti Cities on City", ["City", "Country", "Id"]),
        ("Sales | lookup Cities on City", ["Id", "City", "Amount", "At", "Tags", "Country", "Id1"]),
        ("Sales | extend Amount = 1, Id + 1", ["Id", "City", "Amount", "At", "Tags", "Column1"]),
        ("Sales | project-away A*, Tags", ["Id", "City"]),
        ("Sales | project-reorder A* asc, Tags", ["Amount", "At", "Tags", "Id", "City"]),
        ("Sales | project-rename Town = City | project-keep T*", ["Town", "Tags"]),
        ("Sales | count", ["Count"]),
        ("union withsource=T (print x = 1), (print x = 'a')", ["T", "x_long", "x_string"]),
    ],
)
def test_names_of_columns(query: str, expected: list[str]) -> None:
    assert names(query) == expected


def test_order_of_nulls() -> None:
    assert rows("Sales | sort by Amount asc | project Id") == [(3,), (1,), (2,), (4,)]
    assert rows("Sales | sort by Amount | project Id") == [(4,), (2,), (1,), (3,)]
    assert rows("Sales | sort by Amount desc nulls first | project Id") == [(3,), (4,), (2,), (1,)]
    assert rows("Sales | top 2 by Amount | project Id") == [(4,), (2,)]
    assert rows("Sales | sort by City asc, Id desc | project Id") == [(4,), (3,), (1,), (2,)]


def test_order_survives_operators_that_keep_it() -> None:
    assert rows("Sales | sort by Amount asc | where Id != 1 | extend x = 1 | project Id") == [
        (3,),
        (2,),
        (4,),
    ]
    assert rows("Sales | sort by Id desc | mv-expand Tags | project Id, t = tostring(Tags)") == [
        (3, ""),
        (2, "b"),
        (1, "a"),
        (1, "b"),
    ]


def test_aggregates_over_nothing() -> None:
    assert rows("Sales | where false | summarize count(), sum(Id), max(Id), make_list(Id), dcount(City)") == [
        (0, 0, None, [], 0)
    ]
    assert rows("Sales | where false | summarize count() by City") == []


def test_aggregates_skip_nulls() -> None:
    assert rows(
        "Sales | summarize sum(Amount), avg(Amount), count(Amount), min(Amount), make_list(Amount)"
    ) == [(70.0, pytest.approx(70 / 3), 4, 10.0, [10.0, 20.0, 40.0])]


def test_arg_max_gives_values_of_one_row() -> None:
    assert rows("Sales | summarize arg_max(Amount, Id, City)") == [(40.0, 4, "")]
    assert rows("Sales | where Id == 3 | summarize arg_max(Amount, Id)") == [(None, 3)]


def test_lists_follow_the_order_of_rows() -> None:
    assert rows("Sales | sort by Id desc | summarize make_list(Id)") == [([4, 3, 2, 1],)]
    assert rows("Sales | summarize make_list(At, 1)") == [(["2024-01-01T01:00:00.0000000Z"],)]


def test_joins() -> None:
    on = "Cities on City | project Id, Country, Id1 | sort by Id asc, Id1 asc"
    assert rows(f"Sales | join kind=inner {on}") == [
        (1, "Norway", 100),
        (1, "Norge", 300),
        (3, "Norway", 100),
        (3, "Norge", 300),
    ]
    assert rows(f"Sales | join kind=leftouter {on}")[-2:] == [(3, "Norge", 300), (4, "", None)]
    assert rows("Sales | join Cities on City | count") == [(2,)]
    assert rows(
        "Sales | join kind=rightouter Cities on City | where City1 == 'Paris' | project Id, City"
    ) == [(None, "")]
    assert rows("Sales | join kind=fullouter Cities on City | count") == [(7,)]
    assert rows("Sales | join kind=leftanti Cities on City | project Id | sort by Id asc") == [(2,), (4,)]
    assert rows("Sales | join kind=rightsemi Cities on City | count") == [(2,)]
    assert rows(
        "Sales | join kind=inner (Cities | project-rename Town = City) on $left.City == $right.Town | count"
    ) == [(4,)]
    assert rows("Sales | join kind=inner Cities on City, $left.Id == $right.Id | count") == [(0,)]


def test_null_keys_match_null_keys() -> None:
    left = "datatable(k:long, a:string)[1, 'x', long(null), 'y']"
    other = "datatable(k:long)[long(null)]"
    assert rows(f"{left} | join kind=inner ({left}) on k | sort by a asc | project a") == [("x",), ("y",)]
    assert rows(f"{left} | join kind=leftanti ({other}) on k | project a") == [("x",)]
    assert rows(f"{left} | lookup kind=inner ({other}) on k | project a") == [("y",)]


def test_unions() -> None:
    assert rows("union (print x=1), (print x=2) | sort by x asc") == [(1,), (2,)]
    assert rows("union (print x=1), (print y='a') | sort by x asc") == [(None, "a"), (1, "")]
    assert rows("union kind=inner (print x=1, y=2), (print x=3) | sort by x asc") == [(1,), (3,)]
    assert rows("union withsource=T Sal*, Citi* | summarize count() by T | sort by T asc") == [
        ("Cities", 3),
        ("Sales", 4),
    ]
    assert rows("union isfuzzy=true Sales, NoSuchTable | count") == [(4,)]


def test_expansion() -> None:
    assert rows("Sales | mv-expand with_itemindex=i t = Tags to typeof(string) | project Id, t, i") == [
        (1, "a", 0),
        (1, "b", 1),
        (2, "b", 0),
        (3, "", 0),
    ]
    assert rows("print d = dynamic({'a': 1, 'b': 2}) | mv-expand d") == [({"a": 1},), ({"b": 2},)]
    assert rows("print d = dynamic({'a': 1}) | mv-expand kind=array d") == [(["a", 1],)]
    assert rows("print a = dynamic([1, 2]), b = dynamic(['x']) | mv-expand a, b") == [(1, "x"), (2, None)]
    assert rows("print a = dynamic([1, 2, 3]) | mv-expand a limit 2") == [(1,), (2,)]
    assert rows("print a = 5 | mv-expand l = pack_array(a, a + 1) to typeof(long) | summarize sum(l)") == [
        (11,)
    ]


def test_apply() -> None:
    query = "Sales | where Id < 3 | mv-apply t = Tags to typeof(string) on ({}) | sort by Id asc"
    assert rows(query.format("where t == 'b'") + " | project Id, t") == [(1, "b"), (2, "b")]
    assert rows(query.format("summarize n = count()") + " | project Id, n") == [(1, 2), (2, 1)]
    assert rows(query.format("top 1 by t desc | project last = t") + " | project Id, last") == [
        (1, "b"),
        (2, "b"),
    ]
    assert rows(query.format("extend u = strcat(City, t)") + ", t asc | project u") == [
        ("Osloa",),
        ("Oslob",),
        ("Romeb",),
    ]


def test_parsing() -> None:
    text = 'print s = "user: bob, age: 42, rest"'
    assert rows(f'{text} | parse s with "user: " name ", age: " age:long "," * | project name, age') == [
        ("bob", 42)
    ]
    assert rows(f'{text} | parse s with "user: " name:long ", " * | project name') == [(None,)]
    assert rows(f'{text} | parse kind=relaxed s with "user: " n:long ", age: " a:long * | project n, a') == [
        (None, 42)
    ]
    assert rows(f'{text} | parse-where s with * "nobody" x | count') == [(0,)]
    assert rows(f'{text} | parse kind=regex flags=U s with @"us\\w+: " name ", " * | project name') == [
        ("bob",)
    ]
    assert rows(
        'print s = "a=1;b=two words;c" | parse-kv s as (b:string, a:long)'
        ' with (pair_delimiter=";", kv_delimiter="=") | project a, b'
    ) == [(1, "two words")]


def test_windows() -> None:
    source = "datatable(g:string, x:long)['a', 1, 'a', 3, 'b', 5, 'b', 5] | sort by g asc, x asc"
    assert rows(
        f"{source} | extend n = row_number(), p = prev(x), q = next(x, 1, -1), s = row_cumsum(x)"
    ) == [
        ("a", 1, 1, None, 3, 1),
        ("a", 3, 2, 1, 5, 4),
        ("b", 5, 3, 3, 5, 9),
        ("b", 5, 4, 5, -1, 14),
    ]
    assert rows(f"{source} | extend s = row_cumsum(x, g != prev(g)) | project s") == [(1,), (4,), (5,), (10,)]
    assert rows(f"{source} | extend r = row_rank_dense(x) | project r") == [(1,), (2,), (3,), (3,)]
    assert rows(f"{source} | where row_number() > 2 | count") == [(2,)]


def test_sessions() -> None:
    source = "range t from datetime(2024-01-01) to datetime(2024-01-01 03:00) step 1h | sort by t asc"
    assert rows(
        f"{source} | extend s = row_window_session(t, 2h, 90m) | summarize count() by s | sort by s asc"
    ) == [
        (dt.datetime(2024, 1, 1), 2),
        (dt.datetime(2024, 1, 1, 2), 2),
    ]


def test_series() -> None:
    source = (
        "Sales | make-series total = sum(Amount) default = 0.0 on At"
        " from datetime(2024-01-01) to datetime(2024-01-04) step 1d"
    )
    assert rows(source)[0][0] == [30.0, 0.0, 40.0]
    assert names(f"{source} by City") == ["City", "total", "At"]
    assert rows("range x from 1 to 5 step 1 | make-series count() on x from 0 to 8 step 4")[0] == (
        [3, 2],
        [0, 4],
    )
    assert rows("Sales | where false | make-series count() on Id from 0 to 2 step 1 | count") == [(0,)]


def test_nested_tops() -> None:
    source = "datatable(a:string, b:string, n:long)['x', 'p', 5, 'x', 'q', 1, 'y', 'p', 4, 'z', 'p', 1]"
    assert rows(f"{source} | top-nested 2 of a by sum(n) | sort by a asc") == [("x", 6), ("y", 4)]
    assert rows(f"{source} | top-nested 1 of a by sum(n), top-nested 1 of b by max(n)") == [("x", 6, "p", 5)]
    assert rows(f"{source} | top-nested 1 of a with others = 'rest' by sum(n) | sort by a asc") == [
        ("rest", 5),
        ("x", 6),
    ]
    assert rows(f"{source} | top-hitters 1 of a by n") == [("x", 6)]


def test_others_of_top_nested_are_not_divided() -> None:
    source = "datatable(a:string, b:long, n:long)['x', 1, 5, 'x', 2, 1, 'y', 3, 3, 'z', 4, 1]"
    levels = "top-nested 1 of a with others = 'rest' by sum(n), top-nested 1 of b by sum(n)"
    assert sorted(rows(f"{source} | {levels}")) == [("rest", 4, None, 4), ("x", 6, 1, 5)]
    levels = f"{levels}, top-nested 1 of n % 2 with others = -1 by count()"
    assert sorted(rows(f"{source} | {levels}")) == [("rest", 4, None, 4, -1, 2), ("x", 6, 1, 5, 1, 1)]
    levels = "top-nested 1 of a by sum(n), top-nested 1 of b with others = -9 by sum(n)"
    assert sorted(rows(f"{source} | {levels}")) == [("x", 6, -9, 1), ("x", 6, 1, 5)]


def test_partition() -> None:
    assert rows("Sales | partition by City (top 1 by Id desc | project City, Id) | sort by Id asc") == [
        ("Rome", 2),
        ("Oslo", 3),
        ("", 4),
    ]
    assert rows("Sales | partition by City (summarize n = count()) | sort by n asc") == [(1,), (1,), (2,)]


def test_search_and_find() -> None:
    assert rows('search "oslo" | summarize count() by $table | sort by $table asc') == [
        ("Cities", 2),
        ("Sales", 2),
    ]
    assert rows('search in (Sales) City:"Rome" | project Id') == [(2,)]
    assert names("find in (Sales) where City == 'Rome' project Id") == ["source_", "Id"]


def test_shaping_plugins() -> None:
    assert rows("datatable(a:string, b:long)['x', 1, 'y', 2, 'x', 3] | evaluate pivot(a, sum(b))") == [(4, 2)]
    assert names("datatable(a:string, b:long)['x', 1, 'y', 2] | evaluate pivot(a)") == ["b", "x", "y"]
    assert rows("print d = dynamic({'n': 'a', 'v': 1}) | evaluate bag_unpack(d)") == [("a", 1)]
    assert rows("print d = dynamic({'v': 1}) | evaluate bag_unpack(d) : (v: real)") == [(1.0,)]
    assert rows("print a = 1, b = 'x' | evaluate narrow()") == [(0, "a", "1"), (0, "b", "x")]


def test_functions_and_variables() -> None:
    assert rows("let f = (x: long, y: long = 10) { x + y }; print f(1), f(1, 2), f(y = 5, x = 1)") == [
        (11, 3, 6)
    ]
    assert rows("let g = (T: (Id: long)) { T | summarize sum(Id) }; g(Sales)") == [(10,)]
    assert rows("let a = 2; let T = Sales | where Id > a; T | join kind=inner T on Id | count") == [(2,)]
    assert rows("Big() | count") == [(2,)]
    assert rows("Big(25.0) | project Id, Twice(Id)") == [(4, 8)]
    assert rows("let t = materialize(Sales | summarize n = count()); union t, t | summarize sum(n)") == [(8,)]
    assert rows("Sales | as S | where Id == 1 | join kind=inner S on Id | count") == [(1,)]
    assert rows("Sales | where Id in ((Sales | summarize max(Id))) | project Id") == [(4,)]
    assert rows("declare query_parameters(n: long = 2); Sales | where Id == n | project Id") == [(2,)]
    assert DATABASE.rows(
        "declare query_parameters(n: long, s: string); print n, s", parameters={"n": "7", "s": "a'b"}
    ) == [(7, "a'b")]


def test_several_results() -> None:
    compiled = DATABASE.compile("Sales | fork small = (where Id < 3 | count) (summarize max(Id))")
    tables = {result.name: table.to_pylist() for result, table in DATABASE.execute(compiled)}
    assert [list(row.values()) for row in tables["small"]] == [[2]]
    assert len(compiled.results) == 2
    assert len(DATABASE.compile("Sales | facet by City, Id").results) == 2
    assert len(DATABASE.compile("Sales | count; Cities | count").results) == 2


def test_scan() -> None:
    assert rows(
        "range x from 1 to 4 step 1 | scan declare (s: long = 0) with (step a: true => s = x + a.s;)"
    ) == [(1, 1), (2, 3), (3, 6), (4, 10)]
    assert rows(
        "datatable(e:string)['s', 'x', 'e', 'x', 's', 'e'] | serialize n = row_number()"
        " | scan with_match_id=m with (step a: e == 's'; step b: e == 'e';) | project n, m"
    ) == [(1, 0), (3, 0), (5, 1), (6, 1)]


GRAPH = (
    "datatable(a:string, b:string)['x', 'y', 'y', 'z', 'z', 'x', 'y', 'w']"
    " | make-graph a --> b with (datatable(n:string, c:long)['x', 1, 'y', 2, 'z', 3]) on n"
)


def test_graphs() -> None:
    assert rows(f"{GRAPH} | graph-match (p)-[e]->(q) where p.c == 2 project q.n, q.c | sort by q_n asc") == [
        ("w", None),
        ("z", 3),
    ]
    assert rows(
        f"{GRAPH} | graph-match (p)-[e*2..2]->(q) where p.n == 'x' project q.n, via = map(inner_nodes(e), n)"
        " | sort by q_n asc"
    ) == [("w", ["y"]), ("z", ["y"])]
    assert rows(f"{GRAPH} | graph-match (p)-[]->(q)-[]->(r)-[]->(p) project p.n | sort by p_n asc") == [
        ("x",),
        ("y",),
        ("z",),
    ]
    assert rows(
        f"{GRAPH} | graph-shortest-paths (p)-[e*1..5]->(q) where p.n == 'x' and q.n == 'w' project map(e, b)"
    ) == [(["y", "w"],)]
    assert rows(f"{GRAPH} | graph-to-table nodes | count") == [(4,)]
    assert rows(
        f"{GRAPH} | graph-mark-components kind=strong | graph-to-table nodes | summarize dcount(ComponentId)"
    ) == [(2,)]


PARSED: dict[str, list[Any]] = {
    """'aXcYc' | parse s with "a" v "c" | project v""": ["XcY"],
    """'zaXcYc' | parse s with "a" v "c" | project v""": ["XcY"],
    """'abcbd' | parse s with "a" v "b" | project v""": [""],
    """'aXcYc' | parse kind=regex s with "a" v "c" | project v""": ["XcY"],
    """'abcbd' | parse kind=regex s with "a" v "b" | project v""": ["bc"],
    """'y=1,x=2,x=9,' | parse kind=regex s with * "x=" v "," | project v""": ["2,x=9"],
    """'y=1,x=2,x=9,' | parse kind=regex flags=U s with * "x=" v "," | project v""": ["9"],
    """'n=27x' | parse s with "n=" n: long | project n""": [None],
    """'n=27x' | parse kind=regex s with "n=" n: long | project n""": [27],
    """'n= 27x' | parse kind=regex s with "n=" n: long | project n""": [27],
    """'q=12x' | parse s with "q=" b: bool | project b""": [None],
}


@pytest.mark.parametrize("query", PARSED)
def test_what_parse_takes(query: str) -> None:
    """Simple patterns reach the end of the text; regular expressions are greedy and need not."""
    assert rows(f"print s = {query}") == [tuple(PARSED[query])]


ITEMS: dict[str, list[Any]] = {
    "long": [1, 2, -2, None, None, None],
    "int": [1, 2, -2, None, None, None],
    "real": [1.0, 2.5, -2.5, None, None, None],
    "bool": [True, None, None, None, True, None],
    "datetime": [None, None, None, None, None, None],
    "string": ["1", "2.5", "-2.5", "7", "true", ""],
}


@pytest.mark.parametrize("kind", ITEMS)
def test_types_of_expanded_items(kind: str) -> None:
    """Items are taken as what they are in JSON: a text is no number."""
    array = 'dynamic([1, 2.5, -2.5, "7", true, null])'
    assert [row[0] for row in rows(f"print a = {array} | mv-expand a to typeof({kind})")] == ITEMS[kind]
    applied = rows(f"print a = {array} | mv-apply a to typeof({kind}) on (project a)")
    assert sorted(repr(row[0]) for row in applied) == sorted(repr(item) for item in ITEMS[kind])


def test_moments_compare_with_constant_texts() -> None:
    assert rows('print t = datetime(2020-01-01) | project t == "2020-01-01", t != "2020-01-01"') == [
        (True, False)
    ]
