"""Every type through every form and back, whatever the zone of the machine."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import subprocess
import sys
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_kusto.types import Column, KustoType
from spark_kusto.types import text as texts
from spark_kusto.types.literals import literal, name_literal, string_literal
from spark_kusto.types.results import (
    python_column,
    python_rows,
    result_batch,
    spark_batch,
    storage_array,
    to_result,
)
from spark_kusto.types.storing import to_storage

pytestmark = pytest.mark.roundtrip

K = KustoType
UTC = dt.timezone.utc
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
VALUES: dict[KustoType, st.SearchStrategy[Any]] = {
    K.BOOL: st.booleans(),
    K.INT: st.integers(-(2**31), 2**31 - 1),
    K.LONG: st.integers(-(2**63), 2**63 - 1),
    K.REAL: st.floats(),
    K.DECIMAL: st.decimals(
        min_value=-(10**20) + 1, max_value=10**20 - 1, places=18, allow_nan=False, allow_infinity=False
    ),
    K.STRING: st.text(),
    K.DATETIME: st.datetimes(timezones=st.just(UTC)),
    K.TIMESPAN: st.timedeltas(
        dt.timedelta(microseconds=-(2**63) // 10 + 1), dt.timedelta(microseconds=(2**63 - 1) // 10)
    ),
    K.GUID: st.uuids(),
    K.DYNAMIC: JSON.filter(lambda value: value is not None),
}


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and left == right


@pytest.mark.parametrize("type", list(K), ids=str)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_python_values_survive_storage_results_and_re_ingestion(type: KustoType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | VALUES[type], max_size=8))
    expected = ["" if v is None and type is K.STRING else v for v in values]
    array = storage_array(values, type)
    assert array.type == type.arrow_storage()
    result = to_result(array, type)
    assert result.type == type.arrow_result()
    for got in (python_column(array, type), python_column(result, type)):
        assert len(got) == len(expected)
        assert all(same(a, b) for a, b in zip(got, expected, strict=True))
    # What to_arrow() gives can be ingested again and is the same.
    again = to_storage(result, type, declared=type)
    assert again.type == array.type
    assert all(same(a, b) for a, b in zip(python_column(again, type), expected, strict=True))
    assert not (type is K.STRING and array.null_count)


@given(st.lists(st.tuples(*[st.none() | VALUES[t] for t in K]), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_batches_of_all_types(rows: list[tuple[Any, ...]]) -> None:
    columns = [Column(t.value, t) for t in K]
    lists = list(zip(*rows, strict=True))
    arrays = [storage_array(v, c.type) for v, c in zip(lists, columns, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])
    got = python_rows(result_batch(batch, columns), columns)
    for row, back in zip(rows, got, strict=True):
        for kind, a, b in zip(K, row, back, strict=True):
            assert same("" if a is None and kind is K.STRING else a, b)
    spark = spark_batch(batch, columns)
    assert spark.schema.field("timespan").type == pa.string()
    assert spark.schema.field("datetime").type == pa.timestamp("us", tz="UTC")
    for row, back in zip(rows, spark.to_pylist(), strict=True):
        ticks = None if row[7] is None else texts.ticks_of_timedelta(row[7])
        assert back["timespan"] == (None if ticks is None else texts.timespan_text(ticks))
        assert back["guid"] == (None if row[8] is None else str(row[8]))
        assert (None if back["dynamic"] is None else json.loads(back["dynamic"])) == row[9]


# -- text -----------------------------------------------------------------------------------------


@given(st.datetimes(timezones=st.just(UTC)))
def test_datetime_text_parses_back(value: dt.datetime) -> None:
    text = texts.datetime_text(value)
    assert len(text) == 28
    assert texts.parse_datetime(text) == value
    array = storage_array([value], K.DATETIME)
    assert texts.to_text(array, K.DATETIME).to_pylist() == [text]


@given(st.integers(-(2**63), 2**63 - 1))
def test_timespan_text_parses_back(ticks: int) -> None:
    text = texts.timespan_text(ticks)
    assert texts.parse_timespan(text) == ticks
    assert texts.to_text(pa.array([ticks]), K.TIMESPAN).to_pylist() == [text]


@given(st.lists(st.none() | st.uuids()))
def test_guid_text_parses_back(values: list[uuid.UUID | None]) -> None:
    array = storage_array(values, K.GUID)
    got = texts.to_text(array, K.GUID)
    assert got.to_pylist() == [None if v is None else str(v) for v in values]
    if values:
        assert texts.to_text(array.slice(1), K.GUID).to_pylist() == got.to_pylist()[1:]
    assert to_storage(got, K.GUID).to_pylist() == values


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (0, "00:00:00"),
        (1, "00:00:00.0000001"),
        (864_000_000_000, "1.00:00:00"),
        (937_840_000_000, "1.02:03:04"),
        (-937_840_000_001, "-1.02:03:04.0000001"),
    ],
)
def test_timespans_print_as_kusto_prints_them(ticks: int, text: str) -> None:
    assert texts.timespan_text(ticks) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 259200), ("1.5h", 5400), ("12:30", 45000), ("100ms", 0.1), ("-2d", -172800), ("90 seconds", 90)],
)
def test_other_timespan_texts(text: str, seconds: float) -> None:
    assert texts.parse_timespan(text) == round(seconds * 10_000_000)


@pytest.mark.parametrize("text", ["25:00:00", "1:60:00", "x", "", "1.2.3", "99999999999d"])
def test_texts_that_are_no_timespan(text: str) -> None:
    assert texts.parse_timespan(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2014-05-25T08:20:03.123456Z", dt.datetime(2014, 5, 25, 8, 20, 3, 123456)),
        ("2014-05-25", dt.datetime(2014, 5, 25)),
        ("2014-05-25 08:20", dt.datetime(2014, 5, 25, 8, 20)),
        ("2014-05-25T08:20:03+02:00", dt.datetime(2014, 5, 25, 6, 20, 3)),
        ("12/31/2014 11:59:59 PM", dt.datetime(2014, 12, 31, 23, 59, 59)),
        ("Sat, 8 Nov 2014 15:05:02 GMT", dt.datetime(2014, 11, 8, 15, 5, 2)),
        ("8 Nov 2014", dt.datetime(2014, 11, 8)),
    ],
)
def test_datetimes_in_kustos_forms(text: str, expected: dt.datetime) -> None:
    assert texts.parse_datetime(text) == expected.replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2014-02-30", "0000-01-01", "0001-01-01T00:00:00+10:00"])
def test_texts_that_are_no_datetime(text: str) -> None:
    assert texts.parse_datetime(text) is None


@pytest.mark.parametrize(
    ("text", "type", "value"),
    [
        ("true", K.BOOL, True),
        ("1", K.BOOL, True),
        ("x", K.BOOL, None),
        ("0x10", K.LONG, 16),
        ("3000000000", K.INT, None),
        ("12.7", K.LONG, 12),
        ("1e3", K.REAL, 1000.0),
        ("NaN", K.DECIMAL, None),
        ("1.10", K.DECIMAL, Decimal("1.10")),
        ("", K.STRING, ""),
        ("", K.LONG, None),
        ('{"a":[1]}', K.DYNAMIC, {"a": [1]}),
        ("not json", K.DYNAMIC, "not json"),
    ],
)
def test_text_formats_are_parsed_by_type(text: str, type: KustoType, value: Any) -> None:
    assert same(texts.parse_value(text, type), value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.0"), (1e20, "1E+20"), (1.5e-10, "1.5E-10"), (float("nan"), "NaN"), (float("-inf"), "-Infinity"),
     (Decimal("1.500"), "1.5"), (Decimal("1E+3"), "1000"), (None, ""), ([1, "a"], '[1,"a"]')],
)  # fmt: skip
def test_scalars_print_as_tostring_prints_them(value: Any, text: str) -> None:
    assert texts.text_of(value) == text


# -- KQL literals ---------------------------------------------------------------------------------


@given(st.text())
def test_no_text_leaves_its_literal(value: str) -> None:
    written = string_literal(value)
    body = written[1:-1]
    index = 0
    while index < len(body):
        assert body[index] not in '"\n\r'
        index += 2 if body[index] == "\\" else 1
    assert index == len(body)
    assert name_literal(value).startswith("['")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (5, "long(5)"),
        (float("nan"), "real(nan)"),
        (Decimal("1.10"), "decimal(1.10)"),
        ('a"; drop', '"a\\"; drop"'),
        (dt.datetime(2020, 1, 1), "datetime(2020-01-01T00:00:00.0000000Z)"),
        (dt.timedelta(hours=1), "timespan(01:00:00)"),
        (uuid.UUID(int=1), "guid(00000000-0000-0000-0000-000000000001)"),
        ({"a": '"'}, 'parse_json("{\\"a\\":\\"\\\\\\"\\"}")'),
        (None, "dynamic(null)"),
    ],
)
def test_python_values_as_kql_literals(value: Any, text: str) -> None:
    assert literal(value) == text


def test_nulls_are_typed() -> None:
    assert literal(None, K.LONG) == "long(null)"
    assert literal(None, K.STRING) == '""'


# -- the machine's zone ---------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/St_Johns"])
def test_the_machines_zone_changes_nothing(zone: str) -> None:
    code = """
import datetime as dt, pyarrow as pa
from spark_kusto.types import KustoType as K
from spark_kusto.types.results import python_column, storage_array, to_result
from spark_kusto.types.storing import to_storage
from spark_kusto.types.text import datetime_text, to_text
U = dt.timezone.utc
last = dt.datetime(9999, 12, 31, 23, 59, 59, 999999)
for moment in (dt.datetime(1, 1, 1), dt.datetime(2024, 3, 10, 2, 30), last):
    aware = moment.replace(tzinfo=U)
    array = storage_array([moment, aware], K.DATETIME)
    assert python_column(array, K.DATETIME) == [aware, aware]
    assert python_column(to_result(array, K.DATETIME), K.DATETIME) == [aware, aware]
    text = moment.isoformat(timespec='microseconds') + '0Z'
    assert to_text(array, K.DATETIME).to_pylist() == [datetime_text(aware)] * 2 == [text] * 2
    assert to_storage(to_result(array, K.DATETIME), K.DATETIME).equals(array)
print("same")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "same", done.stderr
