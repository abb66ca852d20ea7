"""From any Arrow form to storage form: what is kept, what is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from spark_kusto.errors import SchemaMismatchError, TypeConversionError
from spark_kusto.types import Column, KustoType, columns_from_arrow
from spark_kusto.types.storing import BatchStorer, to_storage

K = KustoType
UTC = dt.timezone.utc


def stored(array: pa.Array, type: KustoType, **options: Any) -> list[Any]:
    result = to_storage(array, type, name="c", **options)
    result.validate(full=True)
    assert result.type == type.arrow_storage()
    return result.to_pylist()


@pytest.mark.parametrize(
    ("array", "type", "expected"),
    [
        (pa.array([1, None], pa.int8()), K.INT, [1, None]),
        (pa.array([65535], pa.uint16()), K.INT, [65535]),
        (pa.array([2**32 - 1], pa.uint32()), K.LONG, [2**32 - 1]),
        (pa.array([1.5], pa.float32()), K.REAL, [1.5]),
        (pa.array([1.5], pa.float32()).cast(pa.float16()), K.REAL, [1.5]),
        (pa.array([2.0, None]), K.LONG, [2, None]),
        (pa.array([7], pa.int32()), K.DECIMAL, [Decimal(7)]),
        (pa.array([2**64 - 1], pa.uint64()), K.DECIMAL, [Decimal(2**64 - 1)]),
        (pa.array([Decimal("1.50")], pa.decimal128(5, 2)), K.DECIMAL, [Decimal("1.5")]),
        (pa.array([Decimal("1.5")], pa.decimal256(60, 2)), K.DECIMAL, [Decimal("1.5")]),
        (pa.array(["a", None], pa.large_string()), K.STRING, ["a", ""]),
        (pa.array(["a", None], pa.string_view()), K.STRING, ["a", ""]),
        (pa.array(["a", None, "a"]).dictionary_encode(), K.STRING, ["a", "", "a"]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], pa.array([5, 6])), K.LONG, [5, 5, 6]),
        (pa.array([b"a\xff", None]), K.STRING, ["Yf8=", ""]),
        (pa.array([b"a\xff"]).view(pa.string()), K.STRING, ["a�"]),
        (pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]), K.DATETIME,
         [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)]),
        (pa.array([86_400_000], pa.date64()), K.DATETIME, [dt.datetime(1970, 1, 2)]),
        (pa.array([-1, 1999], pa.timestamp("ns")), K.DATETIME,
         [dt.datetime(1969, 12, 31, 23, 59, 59, 999999), dt.datetime(1970, 1, 1, 0, 0, 0, 1)]),
        (pa.array([-1], pa.timestamp("s", tz="Asia/Tokyo")), K.DATETIME,
         [dt.datetime(1969, 12, 31, 23, 59, 59)]),
        (pa.array([5], pa.timestamp("us", tz="America/New_York")), K.DATETIME,
         [dt.datetime(1970, 1, 1, 0, 0, 0, 5)]),
        (pa.array([1, None], pa.duration("s")), K.TIMESPAN, [10_000_000, None]),
        (pa.array([-1], pa.duration("us")), K.TIMESPAN, [-10]),
        (pa.array([-1, 250], pa.duration("ns")), K.TIMESPAN, [-1, 2]),
        (pa.array([dt.time(0, 0, 1)]), K.TIMESPAN, [10_000_000]),
        (pa.array([1], pa.time32("ms")), K.TIMESPAN, [10_000]),
        (pa.array(["1.00:00:00", "", None]), K.TIMESPAN, [864_000_000_000, None, None]),
        (pa.array(["2020-02-29T01:02:03.1234567Z", "2020-02-29 01:02:03+09:00"]), K.DATETIME,
         [dt.datetime(2020, 2, 29, 1, 2, 3, 123456), dt.datetime(2020, 2, 28, 16, 2, 3)]),
        (pa.array(["{00000000-0000-0000-0000-00000000000A}", None, ""]), K.GUID,
         [uuid.UUID(int=10), None, None]),
        (pa.nulls(2), K.STRING, ["", ""]),
        (pa.nulls(2), K.LONG, [None, None]),
    ],
)  # fmt: skip
def test_values_keep_their_meaning(array: pa.Array, type: KustoType, expected: list[Any]) -> None:
    assert stored(array, type) == expected
    if len(array) > 1 and not pa.types.is_run_end_encoded(array.type):
        assert stored(array.slice(1), type) == expected[1:]
    assert stored(array.slice(0, 0), type) == []


@pytest.mark.parametrize(
    ("array", "type", "row"),
    [
        (pa.array([1, 2**31]), K.INT, 1),
        (pa.array([1, 2, 2**63], pa.uint64()), K.LONG, 2),
        (pa.array([2**53 + 1]), K.REAL, 0),
        (pa.array([1.0, 2.5, 3.5]), K.LONG, 1),
        (pa.array([1.0, float("nan")]), K.LONG, 1),
        (pa.array([Decimal("1"), Decimal("1e21")], pa.decimal256(50, 20)), K.DECIMAL, 1),
        (pa.array([Decimal("1e-19")], pa.decimal256(50, 20)), K.DECIMAL, 0),
        (pa.array([Decimal("1"), Decimal("1e30")], pa.decimal128(38, 0)), K.DECIMAL, 1),
        (pa.array([Decimal("1.5")]), K.LONG, 0),
        (pa.array([0, 2**62], pa.timestamp("s")), K.DATETIME, 1),
        (pa.array([0, 10**12], pa.timestamp("s")), K.DATETIME, 1),
        (pa.array([0, -(10**12)], pa.timestamp("s")), K.DATETIME, 1),
        (pa.array([0, 2**60], pa.duration("us")), K.TIMESPAN, 1),
        (pa.array(["1:00:00", "tomorrow"]), K.TIMESPAN, 1),
        (pa.array(["", "2020-13-01"]), K.DATETIME, 1),
        (pa.array([str(uuid.UUID(int=1)), "xyz"]), K.GUID, 1),
    ],
)
def test_a_value_that_does_not_fit_is_named(array: pa.Array, type: KustoType, row: int) -> None:
    with pytest.raises(TypeConversionError) as caught:
        to_storage(array, type, name="price", row=100)
    assert caught.value.column == "price"
    assert caught.value.row == 100 + row
    assert f"Column 'price', row {100 + row}" in str(caught.value)
    nulled = to_storage(array, type, on_error="null")
    assert nulled.type == type.arrow_storage()
    assert nulled[row].as_py() is None
    kept = [i for i in range(row) if array[i].is_valid and str(array[i]) != ""]
    assert all(nulled[i].is_valid for i in kept)


@pytest.mark.parametrize(
    ("array", "type"),
    [
        (pa.array(["1"]), K.LONG),
        (pa.array([True]), K.LONG),
        (pa.array([1]), K.BOOL),
        (pa.array([1]), K.STRING),
        (pa.array([1.5]), K.DECIMAL),
        (pa.array([1]), K.DATETIME),
        (pa.array([1], pa.timestamp("us")), K.TIMESPAN),
        (pa.array([{"a": 1}]), K.LONG),
    ],
)
def test_types_that_do_not_go_together_are_refused(array: pa.Array, type: KustoType) -> None:
    with pytest.raises(TypeConversionError, match="Column 'c' is"):
        to_storage(array, type, name="c")


@pytest.mark.parametrize("kind", [pa.null(), pa.month_day_nano_interval()])
def test_arrow_types_without_a_kusto_type_are_refused_by_name(kind: pa.DataType) -> None:
    with pytest.raises(TypeConversionError, match="Column 'odd' has the type"):
        columns_from_arrow(pa.schema([pa.field("odd", kind)]))


# -- dynamic --------------------------------------------------------------------------------------

NESTED = pa.struct(
    [
        ("i", pa.int64()),
        ("s", pa.string()),
        ("r", pa.list_(pa.float64())),
        ("m", pa.map_(pa.string(), pa.int64())),
        ("d", pa.decimal128(38, 18)),
        ("t", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("span", pa.duration("us")),
        ("bin", pa.binary()),
        ("deep", pa.list_(pa.struct([("x", pa.list_(pa.int8()))]))),
    ]
)


def test_nested_values_become_canonical_json() -> None:
    row = {
        "i": 1,
        "s": 'q"\\\n\x01é',
        "r": [1.0, None, float("nan"), float("-inf"), 1e300],
        "m": [("a", 1), ("gone", None)],
        "d": Decimal("1E-18"),
        "t": dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "day": dt.date(2020, 1, 2),
        "span": dt.timedelta(days=-1),
        "bin": b"abc",
        "deep": [{"x": [1, None]}, None, {"x": None}],
    }
    texts = stored(pa.array([row, None, dict.fromkeys(row)], NESTED), K.DYNAMIC)
    assert json.loads(texts[0]) == {
        "i": 1,
        "s": 'q"\\\n\x01é',
        "r": [1.0, None, "NaN", "-Infinity", 1e300],
        "m": {"a": 1},
        "d": "0.000000000000000001",
        "t": "2020-01-02T03:04:05.0000060Z",
        "day": "2020-01-02",
        "span": "-1.00:00:00",
        "bin": "YWJj",
        "deep": [{"x": [1, None]}, None, {}],
    }
    assert texts[1:] == [None, "{}"]
    assert "1.0" in texts[0]  # a real stays one


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([[1, 2], None, [], [None]]), ["[1,2]", None, "[]", "[null]"]),
        (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), ["[1,2]", None]),
        (pa.array([[1], None], pa.large_list(pa.int8())), ["[1]", None]),
        (pa.array([[(1, "a"), (2, None)], None, []], pa.map_(pa.int32(), pa.string())),
         ['{"1":"a"}', None, "{}"]),
        (pa.array([[[("k", 1)]], [None]], pa.list_(pa.map_(pa.string(), pa.int8()))),
         ['[{"k":1}]', "[null]"]),
        (pa.array([[], [None]], pa.list_(pa.null())), ["[]", "[null]"]),
        (pa.array([{}, None], pa.struct([])), ["{}", None]),
        (pa.array(['{"a": 1}', "abc", "", None, "null", '"x"', "NaN"]),
         ['{"a":1}', '"abc"', None, None, None, '"x"', '"NaN"']),
        (pa.array([True, None]), ["true", None]),
        (pa.array([1.0, 1e20, float("inf")]), ["1.0", "1e+20", '"Infinity"']),
        (pa.array([dt.timedelta(1)]), ['"1.00:00:00"']),
    ],
)  # fmt: skip
def test_everything_can_become_dynamic(array: pa.Array, expected: list[str | None]) -> None:
    texts = stored(array, K.DYNAMIC)
    assert texts == expected
    assert stored(array.slice(1), K.DYNAMIC) == expected[1:]
    for text in texts:
        assert text is None or json.loads(text) is not Ellipsis


def test_what_is_declared_dynamic_is_taken_as_json() -> None:
    array = pa.array(['{"a":1}', "", "null", None])
    assert stored(array, K.DYNAMIC, declared=K.DYNAMIC) == ['{"a":1}', None, None, None]


# -- batches --------------------------------------------------------------------------------------


def test_batches_go_by_name_in_the_tables_order() -> None:
    storer = BatchStorer([Column("a", K.LONG), Column("b", K.STRING), Column("c", K.REAL)])
    batch = pa.record_batch({"c": pa.array([1.5]), "a": pa.array([1], pa.int8())})
    (converted,) = storer.convert(batch)
    assert converted.schema.names == ["a", "c"]
    assert converted.to_pylist() == [{"a": 1, "c": 1.5}]


def test_rows_are_counted_over_batches() -> None:
    storer = BatchStorer([Column("a", K.INT)])
    list(storer.convert(pa.record_batch({"a": pa.array([1, 2, 3])})))
    with pytest.raises(TypeConversionError, match="row 4"):
        list(storer.convert(pa.record_batch({"a": pa.array([1, 2**40])})))


def test_columns_that_do_not_belong_are_named() -> None:
    storer = BatchStorer([Column("a", K.INT)])
    with pytest.raises(SchemaMismatchError, match="'b' that the table lacks"):
        list(storer.convert(pa.record_batch({"a": pa.array([1]), "b": pa.array([1])})))
    twice = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(SchemaMismatchError, match="'a' occurs twice"):
        list(storer.convert(twice))


def test_the_decimal_context_of_the_thread_does_not_matter() -> None:
    from spark_kusto.types.results import storage_array

    largest = Decimal("99999999999999999999.999999999999999999")
    with decimal.localcontext() as context:
        context.prec = 5
        assert storage_array([largest], K.DECIMAL).to_pylist() == [largest]
