"""Random DataFrames of every type come back as docs/types.md says, however they were written."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.spark.conftest import DATABASE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_kusto.client import Cluster

pytestmark = pytest.mark.roundtrip

FIRST = dt.datetime(1, 1, 1)
LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999999)
# Text without lone surrogates, which no UTF-8 holds; NUL and all other control characters included.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", " ", "null", "NULL", "\\N", "''", '"', "a\tb\r\nc", "\x00", "𝄞", "é", "e\u0301", "true", "1e5", "{}"]
)
EDGES = st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308])
WHOLE = st.integers(-(2**63), 2**63 - 1)


def whole(bits: int) -> st.SearchStrategy[int]:
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return st.sampled_from([least, -1, 0, 1, most]) | st.integers(least, most)


def fits(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    return st.integers(-most, most).map(lambda n: Decimal(f"{n}e-{places}"))


def micros(value: dt.datetime) -> int:
    return (value - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)


DATETIMES = st.datetimes(FIRST, LAST) | st.sampled_from([FIRST, LAST, dt.datetime(1582, 10, 10)])
SPANS = st.timedeltas(dt.timedelta(days=-10_000_000), dt.timedelta(days=10_000_000))
PAIR = pa.struct([("a", pa.int64()), ("b", pa.string()), ("c", pa.float64())])
PAIRS = st.fixed_dictionaries(
    {"a": WHOLE | st.none(), "b": TEXT | st.none(), "c": st.floats(allow_nan=False, allow_infinity=False)}
)

# A column's Arrow type, which Spark turns into its own, the values it can have, and what they come back as.
Kind = tuple[pa.DataType, st.SearchStrategy[Any], Callable[[Any], Any]]


def same(value: Any) -> Any:
    return value


def single(value: float) -> float:
    return float(pa.scalar(value, pa.float32()).as_py())


def start_of(day: dt.date) -> int:
    return micros(dt.datetime.combine(day, dt.time()))


KINDS: dict[str, Kind] = {
    "bool": (pa.bool_(), st.booleans(), same),
    "tinyint": (pa.int8(), whole(8), same),
    "smallint": (pa.int16(), whole(16), same),
    "int": (pa.int32(), whole(32), same),
    "bigint": (pa.int64(), whole(64), same),
    "float": (pa.float32(), st.floats(width=32) | st.sampled_from([math.nan, math.inf, -0.0]), single),
    "double": (pa.float64(), st.floats() | EDGES, same),
    "decimal_small": (pa.decimal128(9, 2), fits(9, 2), same),
    "decimal_whole": (pa.decimal128(20, 0), fits(20, 0), same),
    "decimal_fine": (pa.decimal128(38, 18), fits(38, 18), same),
    "string": (pa.string(), TEXT, same),
    "binary": (pa.binary(), st.binary(max_size=12), lambda v: base64.b64encode(v).decode()),
    "date": (pa.date32(), st.dates(), start_of),
    "timestamp": (pa.timestamp("us", tz="UTC"), DATETIMES, micros),
    "timestamp_ntz": (pa.timestamp("us"), DATETIMES, micros),
    "interval": (pa.duration("us"), SPANS, same),
    "array": (pa.list_(pa.int64()), st.lists(WHOLE | st.none(), max_size=4), same),
    "map": (pa.map_(pa.string(), pa.string()), st.dictionaries(TEXT, TEXT | st.none(), max_size=3), same),
    "struct": (PAIR, PAIRS, same),
    "nested": (pa.list_(PAIR), st.lists(PAIRS, max_size=2), same),
}
EMPTY_FOR_NULL = ("string", "binary")
AS_JSON = ("array", "map", "struct", "nested")


@st.composite
def frames(draw: st.DrawFn) -> dict[str, tuple[str, list[Any]]]:
    """Columns by name, each with its kind and its values; names are what people call columns, and worse."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=len(KINDS)))
    names = draw(
        st.lists(
            st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=8).filter(
                lambda name: name.strip() == name
            )
            | st.sampled_from(["select", "a.b", "it's", 'say "x"', "`", "]", "Größe", "_", "1"]),
            min_size=len(kinds),
            max_size=len(kinds),
            unique_by=str.casefold,
        )
    )
    rows = draw(st.integers(0, 6))
    columns = {}
    for name, kind in zip(names, kinds, strict=True):
        values = st.lists(st.none() | KINDS[kind][1], min_size=rows, max_size=rows)
        columns[name] = (kind, draw(values))
    return columns


def arrow(columns: dict[str, tuple[str, list[Any]]]) -> pa.Table:
    arrays = []
    for kind, values in columns.values():
        given = [list(v.items()) if kind == "map" and v is not None else v for v in values]
        arrays.append(pa.array(given, KINDS[kind][0]))
    count = len(next(iter(columns.values()))[1])
    return pa.table([pa.array(range(count), pa.int64()), *arrays], names=["the row", *columns])


def expected(kind: str, value: Any) -> Any:
    if value is None:
        return "" if kind in EMPTY_FOR_NULL else None
    return without_nulls(value) if kind in AS_JSON else KINDS[kind][2](value)


def without_nulls(value: Any) -> Any:
    """Null fields of structs and null values of maps are left out, as the official connector does."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def comparable(kind: str, value: Any) -> Any:
    """A value that came back, as something that == compares exactly."""
    if value is None:
        return None
    if kind in ("date", "timestamp", "timestamp_ntz"):
        return micros(value.replace(tzinfo=None))
    if kind in AS_JSON:
        return json.loads(value)
    return value


def alike(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float):
        if math.isnan(wanted):
            return math.isnan(found)
        return found == wanted and math.copysign(1, found) == math.copysign(1, wanted)
    return type(found) is type(wanted) and bool(found == wanted)


# Not shrunk: an example takes a second, and says by itself which value of which column differs.
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(columns=frames(), zone=st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"]))
def test_what_goes_in_comes_out(
    spark: SparkSession,
    shared_cluster: Cluster,
    conf: Callable[..., AbstractContextManager[None]],
    columns: dict[str, tuple[str, list[Any]]],
    zone: str,
) -> None:
    from spark_kusto import write_kusto

    spans = {name for name, (kind, _) in columns.items() if kind == "interval"}
    with conf({"spark.sql.session.timeZone": zone}):
        # Or else Spark takes times without a zone for moments, by the session's zone.
        with conf({"spark.sql.timestampType": "TIMESTAMP_NTZ"}):
            df = spark.createDataFrame(arrow(columns))
        place = {"kustoCluster": shared_cluster.address, "kustoDatabase": DATABASE}
        create = {"tableCreateOptions": "CreateIfNotExist"}
        by_tasks, directly = f"T{uuid.uuid4().hex}", f"T{uuid.uuid4().hex}"
        df.write.format("kusto").options(**place, kustoTable=by_tasks, **create).mode("append").save()
        result = write_kusto(df, shared_cluster, DATABASE, directly, create)
        assert result is not None
        assert result.rows == df.count()
        for table in (by_tasks, directly):
            reader = spark.read.format("kusto").options(**place, kustoQuery=table)
            schema = reader.load().schema
            if spans:
                for field in schema:
                    if field.name in spans:
                        from pyspark.sql.types import DayTimeIntervalType

                        field.dataType = DayTimeIntervalType()
                reader = reader.schema(schema)
            found = reader.load().toArrow().sort_by("the row").to_pydict()
            assert list(found) == ["the row", *columns]
            for name, (kind, values) in columns.items():
                for row, value in enumerate(values):
                    got = comparable(kind, found[name][row])
                    wanted = expected(kind, value)
                    assert alike(got, wanted), (table == directly, name, kind, value, found[name][row])


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from spark_kusto import connect

    with connect(tmp_path_factory.mktemp("random") / "cluster") as opened:
        yield opened
