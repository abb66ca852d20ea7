"""Spark schemas and Kusto columns, both ways, by the official connector's mapping and what it lacks.

============================== ==========
Spark                          Kusto
============================== ==========
boolean                        bool
byte, short, int               int
long                           long
float, double                  real
decimal                        decimal
string, char, varchar          string
binary                         string (base64)
date, timestamp, timestamp_ntz datetime
time                           timespan
day-time interval              timespan
array, map, struct, variant    dynamic
user-defined                   as what it is made of
============================== ==========

Year-month and calendar intervals, void and object have no Kusto type and are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import SchemaMismatchError, TypeConversionError
from spark_kusto.types.table import Column, KustoType

if TYPE_CHECKING:
    from pyspark.sql.types import DataType, StructType

_BY_NAME: dict[str, KustoType] = {
    "boolean": KustoType.BOOL,
    "tinyint": KustoType.INT,
    "byte": KustoType.INT,
    "smallint": KustoType.INT,
    "short": KustoType.INT,
    "int": KustoType.INT,
    "integer": KustoType.INT,
    "bigint": KustoType.LONG,
    "long": KustoType.LONG,
    "float": KustoType.REAL,
    "double": KustoType.REAL,
    "decimal": KustoType.DECIMAL,
    "string": KustoType.STRING,
    "char": KustoType.STRING,
    "varchar": KustoType.STRING,
    "binary": KustoType.STRING,
    "date": KustoType.DATETIME,
    "timestamp": KustoType.DATETIME,
    "timestamp_ntz": KustoType.DATETIME,
    "time": KustoType.TIMESPAN,
    "daytimeinterval": KustoType.TIMESPAN,
    "array": KustoType.DYNAMIC,
    "map": KustoType.DYNAMIC,
    "struct": KustoType.DYNAMIC,
    "variant": KustoType.DYNAMIC,
}

_REMEDIES = {
    "void": "Cast it to the type it is meant to have, such as cast(null as string), or leave it out.",
    "yearmonthinterval": "Cast it to int (months), or to string.",
    "interval": "Cast it to a day-time interval, or to string.",
}


def kusto_type_of_spark(kind: DataType) -> KustoType | None:
    """The Kusto type of a Spark type; None if there is none."""
    inner = getattr(kind, "sqlType", None)
    if inner is not None:  # a user-defined type, such as a vector of pyspark.ml
        return kusto_type_of_spark(inner())
    return _BY_NAME.get(_type_name(kind))


def _type_name(kind: DataType) -> str:
    name = kind.typeName().lower().replace(" ", "")
    return name.split("(")[0]


def columns_from_spark(schema: StructType) -> tuple[Column, ...]:
    """The Kusto columns of a Spark schema.

    Raises:
        TypeConversionError: a column's type, or one inside it, cannot be stored; the column is named.
        SchemaMismatchError: no columns, or two of the same name.
    """
    columns: list[Column] = []
    seen: set[str] = set()
    for field in schema.fields:
        if field.name in seen:
            raise SchemaMismatchError(
                f"The DataFrame has two columns '{field.name}'.",
                columns=[field.name],
                remedy="Rename one of them with withColumnRenamed or toDF.",
            )
        seen.add(field.name)
        _require_storable(field.name, field.dataType, field.name)
        found = kusto_type_of_spark(field.dataType)
        if found is None:
            raise AssertionError(field.dataType)
        columns.append(Column(field.name, found))
    if not columns:
        raise SchemaMismatchError(
            "The DataFrame has no columns, and a Kusto table needs at least one.", remedy="Select some."
        )
    return tuple(columns)


def _require_storable(column: str, kind: Any, path: str) -> None:
    name = _type_name(kind)
    # array() and named_struct('a', null) have void inside; its one value is null, which JSON has.
    if kusto_type_of_spark(kind) is None and (path == column or name != "void"):
        inside = "" if path == column else f" (in '{path}')"
        raise TypeConversionError(
            f"Column '{column}'{inside} has the Spark type {kind.simpleString()}, for which Kusto has none.",
            column=column,
            remedy=_REMEDIES.get(name, "Cast it to a type that can be stored, such as string."),
        )
    if hasattr(kind, "fields"):
        for field in kind.fields:
            _require_storable(column, field.dataType, f"{path}.{field.name}")
    for part in ("elementType", "keyType", "valueType"):
        inner = getattr(kind, part, None)
        if inner is not None:
            _require_storable(column, inner, f"{path}.{part.removesuffix('Type')}")


def spark_ddl(columns: Iterable[Column]) -> str:
    """The schema of columns as Spark DDL."""
    return ", ".join(f"`{c.name.replace('`', '``')}` {c.type.spark}" for c in columns)


def spark_type(type: KustoType) -> DataType:
    """The Spark type of a Kusto type."""
    from pyspark.sql import types as st

    simple: dict[KustoType, Any] = {
        KustoType.BOOL: st.BooleanType,
        KustoType.INT: st.IntegerType,
        KustoType.LONG: st.LongType,
        KustoType.REAL: st.DoubleType,
        KustoType.DATETIME: st.TimestampType,
    }
    if type is KustoType.DECIMAL:
        return st.DecimalType(38, 18)
    made: DataType = simple.get(type, st.StringType)()
    return made


def spark_schema(columns: Iterable[Column]) -> StructType:
    """The Spark schema of columns; every field is nullable, as the official connector has it.

    A field's metadata carries the Kusto type (``kusto.type``) and the column's description.
    """
    from pyspark.sql.types import StructField, StructType

    fields = []
    for column in columns:
        metadata = {"kusto.type": column.type.value}
        if column.docstring:
            metadata["comment"] = column.docstring
        fields.append(StructField(column.name, spark_type(column.type), True, metadata))
    return StructType(fields)
