"""Spark schemas and Kusto columns."""

from __future__ import annotations

import pytest
from pyspark.sql import types as st

from spark_kusto.errors import SchemaMismatchError, TypeConversionError
from spark_kusto.types import Column, KustoType
from spark_kusto.types.spark import columns_from_spark, spark_ddl, spark_schema

K = KustoType


def schema(**types: st.DataType) -> st.StructType:
    return st.StructType([st.StructField(name, kind) for name, kind in types.items()])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (st.BooleanType(), K.BOOL),
        (st.ByteType(), K.INT),
        (st.ShortType(), K.INT),
        (st.IntegerType(), K.INT),
        (st.LongType(), K.LONG),
        (st.FloatType(), K.REAL),
        (st.DoubleType(), K.REAL),
        (st.DecimalType(10, 2), K.DECIMAL),
        (st.StringType(), K.STRING),
        (st.CharType(3), K.STRING),
        (st.VarcharType(3), K.STRING),
        (st.BinaryType(), K.STRING),
        (st.DateType(), K.DATETIME),
        (st.TimestampType(), K.DATETIME),
        (st.TimestampNTZType(), K.DATETIME),
        (st.DayTimeIntervalType(), K.TIMESPAN),
        (st.ArrayType(st.StringType()), K.DYNAMIC),
        (st.ArrayType(st.NullType()), K.DYNAMIC),
        (st.MapType(st.StringType(), st.LongType()), K.DYNAMIC),
        (schema(a=st.LongType()), K.DYNAMIC),
        (st.VariantType(), K.DYNAMIC),
    ],
    ids=str,
)
def test_spark_types_have_their_kusto_types(kind: st.DataType, expected: KustoType) -> None:
    assert columns_from_spark(schema(c=kind)) == (Column("c", expected),)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (st.NullType(), "Column 'c' has the Spark type void"),
        (st.YearMonthIntervalType(), "Column 'c' has the Spark type interval"),
        (st.CalendarIntervalType(), "Column 'c' has the Spark type interval"),
        (st.ArrayType(schema(deep=st.YearMonthIntervalType())), r"Column 'c' \(in 'c.element.deep'\)"),
    ],
    ids=str,
)
def test_types_that_cannot_be_stored_are_named(kind: st.DataType, message: str) -> None:
    with pytest.raises(TypeConversionError, match=message):
        columns_from_spark(schema(ok=st.LongType(), c=kind))


def test_schemas_without_or_with_repeated_columns_are_refused() -> None:
    with pytest.raises(SchemaMismatchError, match="no columns"):
        columns_from_spark(st.StructType([]))
    twice = st.StructType([st.StructField("a", st.LongType()), st.StructField("a", st.LongType())])
    with pytest.raises(SchemaMismatchError, match="two columns 'a'"):
        columns_from_spark(twice)


def test_kusto_columns_as_a_spark_schema() -> None:
    columns = [Column(kind.value, kind) for kind in K]
    assert spark_ddl([Column("a`b", K.LONG)]) == "`a``b` bigint"
    made = spark_schema(columns)
    assert [f.dataType.simpleString() for f in made] == [kind.spark for kind in K]
    assert all(field.nullable for field in made)
    assert spark_schema([Column("a", K.GUID, "text")])["a"].metadata == {
        "kusto.type": "guid",
        "comment": "text",
    }
