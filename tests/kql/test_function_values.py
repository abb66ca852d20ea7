"""Functions with the values that their pages in the documentation print, family by family."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from spark_kusto.errors import KqlSemanticError
from tests.kql.semantics import evaluated, rows_of, same, schema_of

ARRAYS: dict[str, Any] = {
    "arraylength(dynamic([1, 2]))": 2,
    "set_equals(dynamic([1, 2, 2]), dynamic([2, 1]))": True,
    "set_equals(dynamic([1]), dynamic([1, 2]))": False,
    "set_equals(dynamic({}), dynamic([1]))": None,
    'treepath(parse_json(\'{"a":"b", "c":123}\'))': ["['a']", "['c']"],
    'treepath(dynamic({"prop1":[1,2,3,4], "prop2":"value2"}))': ["['prop1']", "['prop1'][0]", "['prop2']"],
    'treepath(dynamic({"list":[100,"abcde",{"x":"y"},{"x":1,"z":2}]}))': [
        "['list']",
        "['list'][0]",
        "['list'][0]['x']",
        "['list'][0]['z']",
    ],
    "series_dot_product(dynamic([1, 2]), 3)": 9.0,
    "series_dot_product(2, dynamic([1, 2]))": 6.0,
    "series_seasonal(dynamic([1, 2, 1, 2, 9, 9]), 2, 2)": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0],
    "series_outliers(dynamic([1, 2, 1, 2, 1, 2, 100]), 'ctukey', -1.0, 10.0, 90.0, 1)[0]": 0.0,
}

MOMENTS: dict[str, Any] = {
    # What a second has beyond microseconds is dropped, not rounded.
    "make_datetime(2017, 10, 01, 12, 11, 0.1234567)": dt.datetime(2017, 10, 1, 12, 11, 0, 123456),
    "make_datetime(2017, 10, 01, 12, 11, 59.9999999)": dt.datetime(2017, 10, 1, 12, 11, 59, 999999),
    "make_datetime(2017, 10, 01, 12, 11, 0.345)": dt.datetime(2017, 10, 1, 12, 11, 0, 345000),
    "make_datetime('2020-01-01')": dt.datetime(2020, 1, 1),
    "make_timespan('1.02:03')": dt.timedelta(days=1, hours=2, minutes=3),
    "dynamic('2020-01-02') - datetime(2020-01-01)": dt.timedelta(days=1),
    "datetime(2020-01-03) - dynamic('2020-01-02')": dt.timedelta(days=1),
}

OTHERS: dict[str, Any] = {
    "gettype(123.45)": "real",
    "parse_url('https://user@h.io/p').Host": "user@h.io",
    "parse_url('https://u:p@h.io:80/p').Username": "u",
    "parse_url('https://h.io/?x=1&y=2&x=3&k=&=v&flag')['Query Parameters']": {"x": ["1", "3"], "y": "2"},
    "parse_url('https://h.io/').Path": "",
    "parse_url('https://h.io/?x=1').Path": "/",
    "parse_url('https://h.io/#').Path": "/",
    "parse_url('https://h.io/a%20b').Path": "/a%20b",
    "parse_url('no url')": {
        "Scheme": "",
        "Host": "",
        "Port": "",
        "Path": "",
        "Username": "",
        "Password": "",
        "Query Parameters": {},
        "Fragment": "",
    },
    "gettype(111)": "long",
    "gettype(1 == 1)": "bool",
    "gettype(1s)": "timespan",
    "gettype(parse_json(' \"abc\" '))": "string",
    "gettype(parse_json(''))": "null",
    "unicode_codepoints_from_string(12)": [49, 50],
    "parse_command_line(12)": ["12"],
    "geo_distance_2points(0, 0, 1, 0, true)": 111_319.49079322325,
    "geo_distance_2points(0, 0, 1, 0, false) == geo_distance_2points(0, 0, 1, 0)": True,
    "geo_distance_2points(5, 5, 5, 5, true)": 0.0,
    "parse_user_agent('Mozilla/5.0 (rv:47.0) Gecko/20100101 Firefox/47.0').Browser.Family": "Firefox",
}

ALL = {**ARRAYS, **MOMENTS, **OTHERS}


@pytest.mark.parametrize("expression", ALL)
def test_value(expression: str) -> None:
    have, want = evaluated(expression), ALL[expression]
    if isinstance(want, float):
        assert have == pytest.approx(want, rel=1e-9)
    else:
        assert same(have, want), have


def test_names_of_columns_made_from_one_value() -> None:
    query = "print a = '2020-01-01' | project make_datetime(a), make_datetime(2020, 1, 1), make_timespan(a)"
    assert [name for name, _ in schema_of(query)] == ["a", "Column1", "a1"]


def test_percentiles_must_be_constants() -> None:
    with pytest.raises(KqlSemanticError, match="constant"):
        rows_of("print x = 1 | summarize percentiles_array(x, x)")
