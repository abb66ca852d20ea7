"""Functions over columns give what they give for single values, whichever repeat or are null."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest

from spark_kusto.kql.algorithms import ip, ip_columns
from tests.kql.executor import Database
from tests.kql.semantics import same

RANDOM = random.Random(7)
ADDRESSES = [
    *(
        "",
        " ",
        "10.0.0.1",
        "10.0.0.0/8",
        " 192.168.1.1 ",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "1..2.3",
        ".1.2.3",
    ),
    *(
        "172.16.0.1/33",
        "0.0.0.0/0",
        "001.02.3.4",
        "0001.2.3.4",
        "1.2.3.4\n",
        "255.255.255.255",
        "::1",
        "1.2.3.é",
    ),
    *(
        "00.1.2.3",
        "1.2.3.0",
        "10.020.1.1",
        "a.b.c.d",
        "10.1.2.3/24",
        "1.2.3.4/",
        "11.22.33.444",
        "99999999999999999999",
        "192.168.255.255/16",
    ),
    *(".".join(str(RANDOM.randrange(256)) for _ in range(4)) for _ in range(200)),
]


@pytest.mark.parametrize(
    ("column", "single"),
    [
        (ip_columns.is_private, ip.ipv4_is_private),
        (ip_columns.parse, ip.parse_ipv4),
    ],
)
def test_addresses(column: Any, single: Any) -> None:
    assert column(pa.array(ADDRESSES)).to_pylist() == [single(text) for text in ADDRESSES]


@pytest.mark.parametrize("other", ["10.0.0.0/8", "192.168.0.0/16", "1.2.3.4", "x", "0.0.0.0/0"])
def test_pairs_of_addresses(other: str) -> None:
    left, right = pa.array(ADDRESSES), pa.array([other] * len(ADDRESSES))
    for prefix in (None, -1, 0, 8, 24, 32, 33):
        limits = pa.array([prefix] * len(ADDRESSES), pa.int64())
        want = [ip.ipv4_compare(text, other, prefix) for text in ADDRESSES]
        assert ip_columns.compare(left, right, limits).to_pylist() == want
    assert ip_columns.is_in_range(left, right).to_pylist() == [
        ip.ipv4_is_in_range(text, other) for text in ADDRESSES
    ]
    networks = '["10.0.0.0/8","x"]'
    assert ip_columns.is_in_any_range(left, right, pa.array([networks] * len(ADDRESSES))).to_pylist() == [
        ip.ipv4_is_in_any_range(text, other, ["10.0.0.0/8", "x"]) for text in ADDRESSES
    ]


def test_networks_that_differ_by_row() -> None:
    given = [("10.1.1.1", "10.0.0.0/8"), ("10.1.1.1", "11.0.0.0/8"), ("x", "10.0.0.0/8"), ("1.1.1.1", "")]
    table = Database({"T": ([("a", "string"), ("n", "string")], given)})
    assert table.rows("T | project ipv4_is_in_any_range(a, n), ipv4_is_in_range(a, n)") == [
        (True, True),
        (False, False),
        (None, None),
        (None, None),
    ]


BAG = {"a": 1, "b": {"c": None, "d": [1, "x"]}, "e f": "g"}
ROWS = [
    (BAG, ["a", "b", "a"], "a", '{"p":{"q":"v","r":[1,"x"]},"n":7}', "a b,c"),
    (BAG, ["a", "b", "a"], "a", '{"p":{"q":"v","r":[1,"x"]},"n":7}', "a b,c"),
    ({"z": 0}, [1, "1", None], "1", "no json", ""),
    (None, None, "", "", " "),
    ([1], {"a": 1}, "x", '"text"', "{a}"),
    ({}, [], "e f", "[1,2]", "\u00e9 x"),
]
EXPRESSIONS: dict[str, list[Any]] = {
    "bag_keys(d)": [["a", "b", "e f"], ["a", "b", "e f"], ["z"], None, None, []],
    "bag_has_key(d, 'a')": [True, True, False, None, None, False],
    "bag_has_key(d, '$.b.c')": [True, True, False, None, None, False],
    "bag_has_key(d, k)": [True, True, False, None, None, False],
    "bag_set_key(d, 'a', 2).a": [2, 2, 2, 2, None, 2],
    "bag_remove_keys(d, dynamic(['$.b.d', \"$['e f']\"]))": [
        {"a": 1, "b": {"c": None}},
        {"a": 1, "b": {"c": None}},
        {"z": 0},
        None,
        None,
        {},
    ],
    "bag_merge(dynamic({'a': 0}), d).a": [0, 0, 0, 0, 0, 0],
    "set_has_element(l, 'a')": [True, True, False, None, None, False],
    "set_has_element(l, k)": [True, True, True, None, None, False],
    "set_has_element(l, 1)": [False, False, True, None, None, False],
    "array_index_of(l, 'b')": [1, 1, -1, None, None, -1],
    "array_index_of(l, k)": [0, 0, 1, None, None, -1],
    "array_concat(dynamic([0]), l)[0]": [0, 0, 0, 0, 0, 0],
    "parse_json(j).p.q": ["v", "v", None, None, None, None],
    "tostring(parse_json(j).p.r)": ['[1,"x"]', '[1,"x"]', "", "", "", ""],
    "toint(parse_json(j).n) + 1": [8, 8, None, None, None, None],
    "parse_json(j)[1]": [None, None, None, None, None, 2],
    "tostring(parse_json(strcat(j, '')).p.q)": ["v", "v", "", "", "", ""],
    "tostring(parse_json(j))": [
        '{"p":{"q":"v","r":[1,"x"]},"n":7}',
        '{"p":{"q":"v","r":[1,"x"]},"n":7}',
        "no json",
        "",
        "text",
        "[1,2]",
    ],
    "split(t, ' ')[1]": ["b,c", "b,c", None, "", None, "x"],
    "tostring(split(t, ' ')[1])": ["b,c", "b,c", "", "", "", "x"],
    "split(t, ' ')[-1]": ["b,c", "b,c", "", "", "{a}", "x"],
    "split(t, ' ')[9]": [None] * 6,
    "gettype(split(t, '{')[0])": ["string"] * 6,
    "has_any_index(t, dynamic(['x', 'b', '{a}']))": [1, 1, -1, -1, 2, 0],
    "countof(t, ' ')": [1, 1, 0, 1, 0, 1],
}


@pytest.fixture(scope="module")
def table() -> Database:
    names = [("d", "dynamic"), ("l", "dynamic"), ("k", "string"), ("j", "string"), ("t", "string")]
    return Database({"T": (names, ROWS)})


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression(table: Database, expression: str) -> None:
    have = [row[0] for row in table.rows(f"T | project x = {expression}")]
    assert same(have, EXPRESSIONS[expression]), have


TIMES = {
    "1/2/2024": "2024-01-02 00:00:00",
    "01/02/2024 03:04:05": "2024-01-02 03:04:05",
    "1/2/2024 3:04:05 PM": "2024-01-02 15:04:05",
    "1/2/2024 12:00 AM": "2024-01-02 00:00:00",
    "1/2/2024 13:04:05 PM": "",
    "13/2/2024": "",
    "1/2/24": "",
    "2024-01-02T03:04:05+02:00": "2024-01-02 01:04:05",
    "Sat, 12 Dec 2015 10:00:00 GMT": "2015-12-12 10:00:00",
}


def test_times_in_texts() -> None:
    table = Database({"T": ([("t", "string")], [(text,) for text in TIMES])})
    rows = table.rows("T | project format_datetime(todatetime(t), 'yyyy-MM-dd HH:mm:ss')")
    assert [row[0] for row in rows] == list(TIMES.values())
