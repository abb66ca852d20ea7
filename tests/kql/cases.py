"""Queries with the answers that Kusto documents: columns, types and rows in order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple


class OwnCase(NamedTuple):
    """A query and its whole answer."""

    name: str
    query: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[tuple[Any, ...]]


_SALES = """
let Sales = datatable(Shop:string, Item:string, Amount:long, Price:real, At:datetime)
[
    "north", "tea",    3, 2.5, datetime(2024-01-01 08:10:00),
    "north", "coffee", 1, 4.0, datetime(2024-01-01 09:20:00),
    "south", "tea",    7, 2.5, datetime(2024-01-01 09:50:00),
    "south", "milk",   2, 1.0, datetime(2024-01-02 08:00:00),
    "north", "tea",    5, 2.75, datetime(2024-01-02 10:30:00),
];
"""


def _at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


CASES: tuple[OwnCase, ...] = (
    OwnCase(
        "summarize default names",
        _SALES
        + "Sales | summarize count(), sum(Amount), avg(Price), dcount(Item) by Shop | sort by Shop asc",
        [
            ("Shop", "string"),
            ("count_", "long"),
            ("sum_Amount", "long"),
            ("avg_Price", "real"),
            ("dcount_Item", "long"),
        ],
        [("north", 3, 9, 9.25 / 3, 2), ("south", 2, 9, 1.75, 2)],
    ),
    OwnCase(
        "summarize by bin",
        _SALES + "Sales | summarize Total = sum(Amount * Price) by bin(At, 1d) | order by At asc",
        [("At", "datetime"), ("Total", "real")],
        [(_at("2024-01-01"), 29.0), (_at("2024-01-02"), 15.75)],
    ),
    OwnCase(
        "lists keep the order of sort",
        _SALES
        + """Sales | sort by Amount desc | summarize make_list(Item), make_set(Shop) by 1
        | project list_Item, shops = array_sort_asc(set_Shop)""",
        [("list_Item", "dynamic"), ("shops", "dynamic")],
        [(["tea", "tea", "tea", "milk", "coffee"], ["north", "south"])],
    ),
    OwnCase(
        "arg_max with all columns",
        _SALES + "Sales | summarize arg_max(At, *) by Shop | sort by Shop asc",
        [("Shop", "string"), ("At", "datetime"), ("Item", "string"), ("Amount", "long"), ("Price", "real")],
        [
            ("north", _at("2024-01-02 10:30"), "tea", 5, 2.75),
            ("south", _at("2024-01-02 08:00"), "milk", 2, 1.0),
        ],
    ),
    OwnCase(
        "join renames the right side's columns",
        _SALES
        + """
        Sales | where Item == "tea" | join kind=inner (Sales | where Item != "tea") on Shop
        | project Shop, Item, Item1, Amount, Amount1 | sort by Shop asc, Amount asc
        """,
        [
            ("Shop", "string"),
            ("Item", "string"),
            ("Item1", "string"),
            ("Amount", "long"),
            ("Amount1", "long"),
        ],
        [
            ("north", "tea", "coffee", 3, 1),
            ("north", "tea", "coffee", 5, 1),
            ("south", "tea", "milk", 7, 2),
        ],
    ),
    OwnCase(
        "make-series fills",
        _SALES
        + """
        Sales | make-series Sold = sum(Amount) default = -1
            on At from datetime(2024-01-01) to datetime(2024-01-04) step 1d by Shop
        | sort by Shop asc
        """,
        [("Shop", "string"), ("Sold", "dynamic"), ("At", "dynamic")],
        [
            (
                "north",
                [4, 5, -1],
                [
                    "2024-01-01T00:00:00.0000000Z",
                    "2024-01-02T00:00:00.0000000Z",
                    "2024-01-03T00:00:00.0000000Z",
                ],
            ),
            (
                "south",
                [7, 2, -1],
                [
                    "2024-01-01T00:00:00.0000000Z",
                    "2024-01-02T00:00:00.0000000Z",
                    "2024-01-03T00:00:00.0000000Z",
                ],
            ),
        ],
    ),
    OwnCase(
        "mv-expand with index and type",
        """
        print a = dynamic(["x", "y"]), n = dynamic([1, 2, 3])
        | mv-expand with_itemindex = i a to typeof(string), n to typeof(long)
        """,
        [("a", "string"), ("n", "long"), ("i", "long")],
        [("x", 1, 0), ("y", 2, 1), ("", 3, 2)],
    ),
    OwnCase(
        "mv-apply ranks inside a row",
        """
        datatable(id:long, v:dynamic) [1, dynamic([5, 9, 2]), 2, dynamic([4])]
        | mv-apply x = v to typeof(long) on (top 2 by x desc | summarize best = make_list(x))
        | project id, best | sort by id asc
        """,
        [("id", "long"), ("best", "dynamic")],
        [(1, [9, 5]), (2, [4])],
    ),
    OwnCase(
        "parse simple",
        """
        datatable(line:string) ["user=ann took 12 ms", "user=bob took many ms", "nothing"]
        | parse line with "user=" user:string " took " took:long " ms"
        """,
        [("line", "string"), ("user", "string"), ("took", "long")],
        [("user=ann took 12 ms", "ann", 12), ("user=bob took many ms", "", None), ("nothing", "", None)],
    ),
    OwnCase(
        "serialize and window functions",
        _SALES
        + """
        Sales | sort by At asc | extend n = row_number(), before = prev(Amount), total = row_cumsum(Amount)
        | project n, Amount, before, total, after = next(Amount, 1, -1)
        """,
        [("n", "long"), ("Amount", "long"), ("before", "long"), ("total", "long"), ("after", "long")],
        [(1, 3, None, 3, 1), (2, 1, 3, 4, 7), (3, 7, 1, 11, 2), (4, 2, 7, 13, 5), (5, 5, 2, 18, -1)],
    ),
    OwnCase(
        "functions with defaults and tables",
        _SALES
        + """
        let dear = (T:(Price:real), least:real = 2.6) { T | where Price >= least };
        let shops = view () { Sales | distinct Shop };
        dear(Sales) | where Shop in (shops()) | project Item, Price | sort by Price asc
        """,
        [("Item", "string"), ("Price", "real")],
        [("tea", 2.75), ("coffee", 4.0)],
    ),
    OwnCase(
        "pivot",
        _SALES + "Sales | project Shop, Item, Amount | evaluate pivot(Item, sum(Amount)) | sort by Shop asc",
        [("Shop", "string"), ("coffee", "long"), ("milk", "long"), ("tea", "long")],
        [("north", 1, 0, 8), ("south", 0, 2, 7)],
    ),
    OwnCase(
        "bag_unpack",
        """
        datatable(d:dynamic) [dynamic({"name": "ann", "age": 20}), dynamic({"name": "bob", "age": 31})]
        | evaluate bag_unpack(d) | sort by age asc | project name, age
        """,
        [("name", "string"), ("age", "long")],
        [("ann", 20), ("bob", 31)],
    ),
    OwnCase(
        "text forms",
        """
        print a = tostring(1.5), b = tostring(datetime(2024-05-06 07:08:09.123)), c = tostring(36h),
            d = tostring(true), e = tostring(dynamic({"k": [1, null]})), f = tostring(long(null)),
            g = strcat("x", 1, 2.0, false)
        """,
        [(name, "string") for name in "abcdefg"],
        [("1.5", "2024-05-06T07:08:09.1230000Z", "1.12:00:00", "True", '{"k":[1,null]}', "", "x12.0False")],
    ),
    OwnCase(
        "union with source",
        """
        let a = datatable(x:long, y:string) [1, "p"];
        let b = datatable(x:long, z:bool) [2, true];
        union withsource = from_table a, b | sort by x asc | project x, y, z
        """,
        [("x", "long"), ("y", "string"), ("z", "bool")],
        [(1, "p", None), (2, "", True)],
    ),
    OwnCase(
        "scan keeps state along the rows",
        """
        datatable(i:long) [1, 2, 3, 4, 5]
        | sort by i asc
        | scan declare (total:long = 0) with (step s: true => total = iff(i == 3, i, i + s.total);)
        """,
        [("i", "long"), ("total", "long")],
        [(1, 1), (2, 3), (3, 3), (4, 7), (5, 12)],
    ),
    OwnCase(
        "graph-match finds paths",
        """
        datatable(a:string, b:string) ["x", "y", "y", "z", "z", "w"]
        | make-graph a --> b with_node_id = id
        | graph-match (p)-[e1]->(q)-[e2]->(r) project p.id, r.id
        | sort by p_id asc
        """,
        [("p_id", "string"), ("r_id", "string")],
        [("x", "z"), ("y", "w")],
    ),
    OwnCase(
        "top-nested",
        _SALES + "Sales | top-nested 1 of Shop by sum(Amount * Price), top-nested 1 of Item by sum(Amount)",
        [
            ("Shop", "string"),
            ("aggregated_Shop", "real"),
            ("Item", "string"),
            ("aggregated_Item", "long"),
        ],
        [("north", 25.25, "tea", 8)],
    ),
)
"""In the manner of the reference's examples, written for this project."""
