"""From a query's columns to the columns Spark asked for: names, types, and Arrow as Spark wants it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import EntityNotFoundError, KustoError, SchemaMismatchError
from spark_kusto.spark.aggregates import Total
from spark_kusto.spark.query_text import appendable, quoted_name
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType

    from spark_kusto.spark.options import SourceOptions


def base_query(options: SourceOptions) -> str:
    """The user's query with the filter option, ready for operators on a new line."""
    query = appendable(options.query)
    if options.filter is not None:
        # Whatever the filter ends with, operators can follow.
        query = appendable(f"{query}\n| where {options.filter}")
    return query


def spark_schema(columns: Sequence[Column], case_sensitive: bool = False) -> StructType:
    """The Spark schema of a query's columns, all nullable.

    Raises:
        SchemaMismatchError: names are the same, or differ only by case.
    """
    from pyspark.sql.types import (
        BooleanType,
        DataType,
        DecimalType,
        DoubleType,
        IntegerType,
        LongType,
        StringType,
        StructField,
        StructType,
        TimestampType,
    )

    natural: dict[KustoType, DataType] = {
        KustoType.BOOL: BooleanType(),
        KustoType.INT: IntegerType(),
        KustoType.LONG: LongType(),
        KustoType.REAL: DoubleType(),
        KustoType.DECIMAL: DecimalType(38, 18),
        KustoType.DATETIME: TimestampType(),
    }
    seen: dict[str, str] = {}
    for column in columns:
        folded = column.name if case_sensitive else column.name.lower()
        if folded in seen:
            raise SchemaMismatchError(
                f"The query has columns '{seen[folded]}' and '{column.name}', which Spark cannot tell apart.",
                columns=(seen[folded], column.name),
                remedy="Rename one with project-rename in kustoQuery.",
            )
        seen[folded] = column.name
    return StructType([StructField(c.name, natural.get(c.type, StringType()), True) for c in columns])


# Conversions beyond the natural type: (Kusto, Spark) -> KQL that prepares the value, or "" for none.
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double")


def _prepared(column: Column, spark: str) -> str | None:
    """KQL of the column for a Spark type that is not its natural one; None where there is none."""
    name, kusto = quoted_name(column.name), column.type
    if spark == "string":
        return f"tostring({name})"
    if kusto in (KustoType.INT, KustoType.LONG) and (spark in _NUMBERS or spark.startswith("decimal")):
        return name
    if kusto is KustoType.REAL and spark in ("float", "double"):
        return name
    if kusto is KustoType.DECIMAL and (spark.startswith("decimal") or spark == "double"):
        return name
    if kusto is KustoType.DATETIME and spark in ("timestamp_ntz", "date"):
        return name
    if kusto is KustoType.TIMESPAN and spark == "interval day to second":
        return f"tolong({name})"
    if kusto is KustoType.TIMESPAN and spark == "bigint":
        return f"tolong({name})"
    if kusto is KustoType.DYNAMIC and spark == "variant":
        return name
    return None


@dataclass(frozen=True)
class Field:
    """One column as Spark asked for it.

    Attributes:
        name: its name in Spark.
        spark: its Spark type, as its catalog string.
        nullable: as Spark has it; Arrow schemas are compared with it.
        source: name of the column of the task's batches it is made of.
        kusto: Kusto type of the query's column, before any preparation.
        never_null: whether the catalog knows of no null in it; what reads a stream's batches is told so.
    """

    name: str
    spark: str
    nullable: bool
    source: str
    kusto: KustoType
    never_null: bool = False


@dataclass(frozen=True)
class Projection:
    """What to read: KQL to append (with its newline, or empty), and the fields made of its columns."""

    kql: str
    fields: tuple[Field, ...]


def fields_of(schema: StructType) -> list[tuple[str, str, bool]]:
    """Name, type and nullability of a Spark schema's fields."""
    return [(f.name, f.dataType.simpleString(), f.nullable) for f in schema.fields]


def natural(kusto: KustoType) -> str:
    """The Spark type a Kusto type has by itself."""
    return kusto.spark


def project(
    columns: Sequence[Column], wanted: Sequence[tuple[str, str, bool]], projected: bool
) -> Projection:
    """How to read the wanted fields from a query with these columns.

    Args:
        projected: the query has exactly the wanted columns in their order already.

    Raises:
        EntityNotFoundError: a field is not among the columns; the nearest is offered.
        SchemaMismatchError: types of fields that the columns cannot be read as, all of them.
    """
    exact = {column.name: column for column in columns}
    folded: dict[str, Column] = {}
    for column in columns:
        folded.setdefault(column.name.lower(), column)
    fields: list[Field] = []
    parts: list[str] = []
    problems: list[str] = []
    plain = True
    for name, spark, nullable in wanted:
        found = exact.get(name) or folded.get(name.lower())
        if found is None:
            raise EntityNotFoundError(
                kind="Column", name=name, container="the query's answer", candidates=exact
            )
        text = quoted_name(found.name)
        if spark != natural(found.type):
            prepared = _prepared(found, spark)
            if prepared is None:
                problems.append(f"'{name}' is {found.type.value} and cannot be read as {spark}")
                continue
            if prepared != text:
                plain = False
                text = f"{text} = {prepared}"
        parts.append(text)
        fields.append(Field(name, spark, nullable, found.name, found.type))
    if problems:
        raise SchemaMismatchError(
            f"The given schema does not fit the query: {'; '.join(problems)}.",
            remedy="Leave .schema() out to have the query's own types, or convert in kustoQuery.",
        )
    same = [field.source for field in fields] == [column.name for column in columns]
    if plain and (projected or same):
        return Projection("", tuple(fields))
    return Projection("\n| project " + ", ".join(parts), tuple(fields))


# -- on executors ---------------------------------------------------------------------------------


def _arrow_type(spark: str) -> Any:
    import pyarrow as pa

    simple: dict[str, Any] = {
        "boolean": pa.bool_(),
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "string": pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "timestamp_ntz": pa.timestamp("us"),
        "date": pa.date32(),
        "interval day to second": pa.duration("us"),
    }
    if spark in simple:
        return simple[spark]
    if spark.startswith("decimal("):
        precision, scale = spark[8:-1].split(",")
        return pa.decimal128(int(precision), int(scale))
    if spark == "variant":
        return pa.struct(
            [
                pa.field("value", pa.binary(), nullable=False),
                pa.field("metadata", pa.binary(), nullable=False, metadata={b"variant": b"true"}),
            ]
        )
    raise SchemaMismatchError(f"Columns cannot be read as {spark}.")


class Shaper:
    """Makes a task's batches into the ones Spark expects: its names, its types, nothing else.

    Args:
        fields: the columns Spark asked for.
        totals: sums of longs that come in two parts, by name.
    """

    def __init__(self, fields: Sequence[Field], totals: Mapping[str, Total]) -> None:
        import pyarrow as pa

        self._fields = fields
        self._totals = totals
        self._schema = pa.schema([pa.field(f.name, _arrow_type(f.spark), f.nullable) for f in fields])

    def shape(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One batch; raises SchemaMismatchError for a value that does not fit the type asked for."""
        import pyarrow as pa

        for field in self._fields:
            if field.never_null and batch.column(field.source).null_count:
                # Whoever was told otherwise would take whatever lies there for the value.
                raise KustoError(
                    f"Column '{field.source}' has a null where the catalog knows of none.",
                    remedy="Run `spark-kusto check` on the cluster, and report this.",
                )
        if batch.schema.equals(self._schema):
            return batch
        names = batch.schema.names
        arrays = []
        for field, target in zip(self._fields, self._schema, strict=True):
            total = self._totals.get(field.source)
            if total is not None:
                parts = [batch.column(names.index(part)) for part in (total.high, total.low)]
                arrays.append(_added(parts[0], parts[1], total.ansi))
                continue
            column = batch.column(names.index(field.source))
            arrays.append(column if column.type == target.type else _converted(column, field, target.type))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _added(high: pa.Array, low: pa.Array, ansi: bool) -> pa.Array:
    import pyarrow as pa

    values: list[int | None] = []
    for h, low_part in zip(high.to_pylist(), low.to_pylist(), strict=True):
        if h is None or low_part is None:
            values.append(None)
            continue
        total = h * 4294967296 + low_part
        if not -(2**63) <= total < 2**63:
            if ansi:
                raise ArithmeticError(
                    "[ARITHMETIC_OVERFLOW] long overflow in sum(). Use try_sum, a decimal, or set"
                    ' "spark.sql.ansi.enabled" to "false" to bypass this error.'
                )
            total = (total + 2**63) % 2**64 - 2**63
        values.append(total)
    return pa.array(values, pa.int64())


def _converted(column: pa.Array, field: Field, target: Any) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    special: dict[str, Callable[[pa.Array], pa.Array]] = {"variant": _variants}
    if field.kusto is KustoType.TIMESPAN and pa.types.is_duration(target):
        # Ticks of 100 ns; Spark's intervals have microseconds.
        return pc.divide(column, 10).cast(target)
    if field.spark in special:
        return special[field.spark](column)
    if pa.types.is_timestamp(column.type) and pa.types.is_date32(target):
        return pc.floor_temporal(column, unit="day").cast(pa.timestamp("us")).cast(target)
    if pa.types.is_timestamp(column.type) and pa.types.is_timestamp(target):
        return column.cast(pa.int64()).cast(target)
    if pa.types.is_floating(column.type) and pa.types.is_float32(target):
        return column.cast(target, safe=False)
    try:
        return column.cast(target)
    except pa.ArrowInvalid as error:
        raise SchemaMismatchError(
            f"Column '{field.name}' ({field.kusto.value}) has a value that is no {field.spark}: {error}.",
            columns=(field.name,),
            remedy="Read it as its own type.",
        ) from None


def _variants(column: pa.Array) -> pa.Array:
    import pyarrow as pa
    from pyspark.sql.types import VariantVal

    values: list[dict[str, bytes] | None] = []
    for text in column.to_pylist():
        if text is None:
            values.append(None)
            continue
        variant = VariantVal.parseJson(text)
        values.append({"value": variant.value, "metadata": variant.metadata})
    return pa.array(values, _arrow_type("variant"))
