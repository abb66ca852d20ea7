"""From a DataFrame's schema and options to an ingestion: columns, properties, and staging on executors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import OptionError, SchemaMismatchError, TypeConversionError
from spark_kusto.spark.names import SchemaAdjustmentMode, WriteMode
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import DataType, StructType

    from spark_kusto.client import Cluster, IngestPlan, IngestProperties, Replace, StagedFiles
    from spark_kusto.spark.options import SinkOptions
    from spark_kusto.staging import TransientStorage

_KUSTO = {
    "boolean": KustoType.BOOL,
    "tinyint": KustoType.INT,
    "smallint": KustoType.INT,
    "int": KustoType.INT,
    "bigint": KustoType.LONG,
    "float": KustoType.REAL,
    "double": KustoType.REAL,
    "string": KustoType.STRING,
    "binary": KustoType.STRING,
    "date": KustoType.DATETIME,
    "timestamp": KustoType.DATETIME,
    "timestamp_ntz": KustoType.DATETIME,
    "variant": KustoType.DYNAMIC,
}
_ANY_NUMBER = 2**62
_NESTED = ("array", "map", "struct", "udt")
_REFUSED = {
    "void": "has no type; cast it, or leave it out",
    "calendarinterval": "is a calendar interval, which has no length; use a day-time interval",
}


def _kusto_type(type_: DataType) -> KustoType | str:
    """The Kusto type of a Spark type by the official mapping, or why there is none."""
    name = type_.typeName()
    simple = type_.simpleString()
    if name in ("varchar", "char"):
        return KustoType.STRING
    if name == "decimal":
        # Values that decimal(38,18) cannot hold are refused one by one, not the type.
        return KustoType.DECIMAL
    if name in _NESTED or simple.startswith(("array<", "map<", "struct<")) or hasattr(type_, "sqlType"):
        return KustoType.DYNAMIC
    if simple.startswith("interval"):
        if "year" in simple or "month" in simple:
            return "is a year-month interval, which has no length; cast it to int (months)"
        return KustoType.TIMESPAN
    if simple.startswith("time(") or simple == "time":
        return KustoType.TIMESPAN
    if simple.startswith("string"):
        return KustoType.STRING
    return _KUSTO.get(simple) or _REFUSED.get(simple, f"has the Spark type {simple}, which cannot be stored")


def columns_of(schema: StructType) -> tuple[Column, ...]:
    """The Kusto columns of a DataFrame's schema.

    Raises:
        SchemaMismatchError: no columns, names that are equal or differ only by case, or Spark types
            that cannot be stored; all of them at once.
    """
    if not schema.fields:
        raise SchemaMismatchError(
            "The DataFrame has no columns.", remedy="A Kusto table needs at least one column."
        )
    problems: list[str] = []
    wrong: list[str] = []
    seen: dict[str, str] = {}
    columns: list[Column] = []
    for field in schema.fields:
        folded = field.name.lower()
        if folded in seen:
            same = seen[folded] == field.name
            problems.append(
                f"column '{field.name}' is there twice"
                if same
                else f"columns '{seen[folded]}' and '{field.name}' differ only by case"
            )
            wrong.append(field.name)
        seen[folded] = field.name
        kusto = _kusto_type(field.dataType)
        if isinstance(kusto, KustoType):
            columns.append(Column(field.name, kusto))
        else:
            problems.append(f"column '{field.name}' {kusto}")
            wrong.append(field.name)
    if problems:
        raise SchemaMismatchError(
            f"The DataFrame cannot be written: {'; '.join(problems)}.",
            columns=wrong,
            remedy="Rename, cast or drop them before the write.",
        )
    return tuple(columns)


def variants_of(schema: StructType) -> tuple[str, ...]:
    """Names of the columns that Spark sends as variants."""
    return tuple(field.name for field in schema.fields if field.dataType.simpleString() == "variant")


def properties_of(options: SinkOptions) -> IngestProperties:
    """The ingestion properties of a write."""
    from spark_kusto.client import IngestProperties

    given = options.ingestion
    mapped = given.csvMapping or given.csvMappingNameReference
    return IngestProperties(
        tags=given.tags,
        ingest_if_not_exists=given.ingestIfNotExists,
        creation_time=given.creationTime,
        mapping=given.csvMapping,
        mapping_name=given.csvMappingNameReference,
        mapping_kind="csv" if mapped else None,
        flush_immediately=given.flushImmediately,
        maximum_errors_allowed=_ANY_NUMBER if options.allow_lossy else given.maximumErrorsAllowed,
        extend_schema=options.merge_schema,
        recreate_schema=options.overwrite_schema,
        file_bytes=options.file_bytes,
        timeout=options.timeout,
        request_id=options.request_id or "",
    )


def replacement(options: SinkOptions, overwrite: bool) -> Replace | None:
    """What an overwriting write removes; None for an appending one."""
    from spark_kusto.client import Replace

    if not overwrite:
        if options.replace_tags or options.replace_where is not None:
            name = "replaceTags" if options.replace_tags else "replaceWhere"
            raise OptionError(
                f"Option '{name}' says what an overwriting write replaces, and this one appends.",
                remedy='Write with .mode("overwrite"), or leave the option out.',
            )
        return None
    if options.replace_tags:
        return Replace(tags=options.replace_tags)
    if options.replace_where is not None:
        return Replace(predicate=options.replace_where)
    return Replace(all=True)


_MODES: dict[WriteMode, Any] = {
    WriteMode.Transactional: "transactional",
    WriteMode.Queued: "queued",
    WriteMode.KustoStreaming: "streaming",
}


def begin(
    cluster: Cluster,
    options: SinkOptions,
    columns: Sequence[Column],
    overwrite: bool,
    *,
    staging: TransientStorage | None = None,
    renew: bool = False,
) -> IngestPlan:
    """Begin the ingestion of a write.

    Args:
        cluster: the cluster.
        options: of the write.
        columns: of the DataFrame.
        overwrite: whether rows are replaced.
        staging: where executors upload; None where they write into the cluster's directory.
        renew: this process stays until the commit.

    Raises:
        StagingError: a container cannot be written to.
        SchemaMismatchError: the table's columns do not fit, with every mismatch at once.
        EntityNotFoundError: the table does not exist, and is not to be created.
    """
    if options.adjust is SchemaAdjustmentMode.FailIfNotMatch:
        _check_same(cluster, options, columns)
    return cluster.begin_ingest(
        options.connection.database,
        options.table,
        columns,
        create=options.create,
        replace=replacement(options, overwrite),
        mode=_MODES[options.mode],
        properties=properties_of(options),
        # Blobs have an expiry of their own.
        lease=options.staging_expiry if staging is None else None,
        staging=staging,
        renew=renew,
    )


def _check_same(cluster: Cluster, options: SinkOptions, columns: Sequence[Column]) -> None:
    from spark_kusto.errors import KqlError
    from spark_kusto.spark.query_text import quoted_name

    try:
        table = cluster.schema(options.connection.database, quoted_name(options.table))
    except KqlError:
        if options.create:
            return
        raise
    there = [column.name for column in table]
    here = [column.name for column in columns]
    if there != here:
        raise SchemaMismatchError(
            f"The DataFrame's columns are not those of table '{options.table}' in their order, as"
            f" adjustSchema FailIfNotMatch asks. The table has {', '.join(there)};"
            f" the DataFrame {', '.join(here)}.",
            columns=sorted(set(here) ^ set(there)),
            remedy="Select them in the table's order, or use GenerateDynamicCsvMapping to go by name.",
        )


# -- on executors ---------------------------------------------------------------------------------


def stage(plan: IngestPlan, batches: Iterable[pa.RecordBatch], variants: Sequence[str]) -> StagedFiles:
    """Stage one task's batches.

    Raises:
        TypeConversionError: a value does not fit, with its partition, row and column.
    """
    from spark_kusto.client import stage as stage_files

    try:
        staged: StagedFiles = stage_files(plan, _readable(batches, variants))
        return staged
    except TypeConversionError as error:
        raise TypeConversionError(
            f"{error.message} This is in partition {_partition()} of the DataFrame.",
            column=error.column,
            row=error.row,
            remedy=error.remedy,
            code=error.code,
        ) from None


def _partition() -> object:
    from pyspark import TaskContext

    context = TaskContext.get()
    return "?" if context is None else context.partitionId()


def _readable(batches: Iterable[pa.RecordBatch], variants: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if not variants:
        yield from batches
        return
    import pyarrow as pa
    from pyspark.sql.types import VariantVal

    for batch in batches:
        arrays = list(batch.columns)
        fields = list(batch.schema)
        for name in variants:
            at = batch.schema.get_field_index(name)
            texts = [
                None if value is None else VariantVal(value["value"], value["metadata"]).toJson()
                for value in arrays[at].to_pylist()
            ]
            arrays[at] = pa.array(texts, pa.string())
            fields[at] = pa.field(name, pa.string(), metadata={b"kusto.type": b"dynamic"})
        yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
