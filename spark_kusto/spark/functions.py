"""``read_kusto`` and ``write_kusto``: the official library's sugar, in its argument order."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import IngestError, OptionError
from spark_kusto.spark.datasource import CASE_SENSITIVE_KEY, schema_of
from spark_kusto.spark.names import KustoSinkOptions, KustoSourceOptions
from spark_kusto.spark.options import SinkOptions, sink_options
from spark_kusto.spark.progress import progress
from spark_kusto.spark.properties import ClientRequestProperties, SparkIngestionProperties
from spark_kusto.spark.registration import install_push_down
from spark_kusto.spark.staging import open_staging
from spark_kusto.spark.stream_writer import BATCH_ID, QUERY_ID
from spark_kusto.spark.writer import log_result
from spark_kusto.spark.writing import begin, columns_of, stage, variants_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from spark_kusto.client import Cluster, IngestPlan, IngestResult, StagedFiles

_MODES = ("append", "overwrite")

_written: set[tuple[str, ...]] = set()
"""Batches this process has committed: writer, batch, run of the query, cluster, database, table."""


def _texts(given: Mapping[str, Any]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, bool):
            texts[name] = "true" if value else "false"
        elif isinstance(value, (list, tuple, dict)):
            texts[name] = json.dumps(value)
        else:
            texts[name] = str(value)
    return texts


def _address(cluster: str | os.PathLike[str] | Cluster) -> str:
    from spark_kusto.client.address import parse_address

    # Here, where a relative path means what the user sees, not in a process that Spark starts.
    address: Any = getattr(cluster, "address", cluster)
    return parse_address(address).text


def read_kusto(
    spark: SparkSession,
    cluster: str | os.PathLike[str] | Cluster,
    database: str,
    query: str,
    conf: Mapping[str, Any] | None = None,
    client_request_properties: ClientRequestProperties | Mapping[str, Any] | str | None = None,
    **options: Any,
) -> DataFrame:
    """A DataFrame over a table or KQL query; what Spark can push down is pushed.

    Args:
        spark: the session; push-down is installed into it.
        cluster: its address, or a cluster from :func:`spark_kusto.connect`.
        database: the database's name.
        query: a table's name or a KQL query.
        conf: options of the source by name, as in ``docs/options.md``.
        client_request_properties: options and parameters of the request; an object of the official
            Python SDK, a mapping in its JSON form, or that JSON.
        options: more options of the source; they win over ``conf``.

    Raises:
        OptionError: an option is missing, misspelled or malformed.
    """
    pushes = install_push_down(spark)
    given = _texts({**(conf or {}), **options})
    if client_request_properties is not None:
        given[KustoSourceOptions.KUSTO_CLIENT_REQUEST_PROPERTIES_JSON] = _properties_json(
            client_request_properties
        )
    if str(spark.conf.get("spark.sql.caseSensitive", "false")).lower() == "true":
        given[CASE_SENSITIVE_KEY] = "true"
    address = _address(cluster)
    given = {
        **given,
        KustoSourceOptions.KUSTO_CLUSTER: address,
        KustoSourceOptions.KUSTO_DATABASE: database,
        KustoSourceOptions.KUSTO_QUERY: query,
    }
    reader = spark.read.format("kusto").options(**given)
    if pushes and not address.startswith("http"):
        # Known here in milliseconds; Spark would ask a process of its own.
        schema = schema_of(given)
        reader = reader if isinstance(schema, str) else reader.schema(schema)
    return reader.load()


def _properties_json(given: ClientRequestProperties | Mapping[str, Any] | str) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping):
        return json.dumps(given)
    # The SDK's class has the same method.
    return given.to_json()


def write_kusto(
    df: DataFrame,
    cluster: str | os.PathLike[str] | Cluster,
    database: str,
    table: str,
    conf: Mapping[str, Any] | None = None,
    ingestion_properties: SparkIngestionProperties | Mapping[str, Any] | str | None = None,
    batch_id: int | None = None,
    writer_id: str | None = None,
    *,
    mode: str = "append",
    **options: Any,
) -> IngestResult | None:
    """Write a DataFrame to a table in one commit, and say what was written.

    Inside ``foreachBatch`` pass its ``batch_id``: a batch that is replayed after a failure then adds
    nothing. The writer's identity is the streaming query's id; two writes of one batch to the same
    table need two identities.

    Args:
        df: the DataFrame.
        cluster: the cluster's address, or a cluster from :func:`spark_kusto.connect`.
        database: the database's name.
        table: the table's name.
        conf: options of the sink by name, as in ``docs/options.md``.
        ingestion_properties: tags, creation time, mapping and so on.
        batch_id: number of this batch of the writer.
        writer_id: identity of the writer; by default the id of the streaming query that runs this.
        mode: ``append``, or ``overwrite`` (all rows, or those that replaceTags or replaceWhere name).
        options: more options of the sink; they win over ``conf``.

    Returns:
        The figures of the ingestion; None on Spark Connect, where the server does the write.

    Raises:
        OptionError: an option or argument is missing, misspelled or malformed.
        SchemaMismatchError: the DataFrame's columns do not fit the table.
        IngestError: the batch has no writer, or was written by the same writer before in this run.
    """
    if mode.lower() not in _MODES:
        raise OptionError(f"mode is '{mode}'.", remedy=f"It must be one of {', '.join(_MODES)}.")
    given = _texts({**(conf or {}), **options})
    if ingestion_properties is not None:
        given[KustoSinkOptions.KUSTO_SPARK_INGESTION_PROPERTIES_JSON] = _ingestion_json(ingestion_properties)
    given[KustoSinkOptions.KUSTO_CLUSTER] = _address(cluster)
    given[KustoSinkOptions.KUSTO_DATABASE] = database
    given[KustoSinkOptions.KUSTO_TABLE] = table
    classic = getattr(df, "_jdf", None) is not None
    if batch_id is not None:
        given["batchId"] = str(batch_id)
        given["writerId"] = writer_id or _streaming_query(df, classic)
    elif writer_id is not None:
        given["writerId"] = writer_id
    parsed = sink_options(given)
    if not classic:
        df.write.format("kusto").options(**given).mode(mode.lower()).save()
        return None
    return _write(df, parsed, mode.lower() == "overwrite")


def _ingestion_json(given: SparkIngestionProperties | Mapping[str, Any] | str) -> str:
    if isinstance(given, str):
        return given
    return json.dumps(given, default=str) if isinstance(given, Mapping) else given.to_json()


def _streaming_query(df: DataFrame, classic: bool) -> str:
    query = df.sparkSession.sparkContext.getLocalProperty(QUERY_ID) if classic else None
    if not query:
        raise OptionError(
            "batch_id is given, but no streaming query runs this write, so there is no writer_id.",
            remedy="Pass writer_id, a name that stays the same over restarts.",
        )
    return str(query)


def _write(df: DataFrame, options: SinkOptions, overwrite: bool) -> IngestResult:
    from spark_kusto.client.tasks import announce_writer

    columns = columns_of(df.schema)
    once = _once_only(df, options)
    staging = open_staging(options.connection, options.staging, ingestion=True)
    with options.connection.open() as cluster:
        # This process commits, too: it can renew what executors upload with.
        plan = begin(cluster, options, columns, overwrite, staging=staging, renew=True)
        staged: list[StagedFiles] = []
        try:
            if options.writer_id is not None:
                announce_writer(plan, options.writer_id)
            staged = _stage(df, plan)
            result = cluster.commit_ingest(
                plan, staged, writer_id=options.writer_id, batch_id=options.batch_id, staging=staging
            )
        except BaseException:
            cluster.abort_ingest(plan, staged, staging=staging)
            raise
    if once is not None:
        _written.add(once)
    log_result(options, result)
    return result


def _once_only(df: DataFrame, options: SinkOptions) -> tuple[str, ...] | None:
    """The identity of a batch's write within one run of its query, refused the second time."""
    if options.batch_id is None or options.writer_id is None:
        return None
    context = df.sparkSession.sparkContext
    run = context.getLocalProperty("spark.jobGroup.id")
    if not context.getLocalProperty(BATCH_ID) or not run:
        return None
    place = (options.connection.cluster, options.connection.database, options.table)
    key = (options.writer_id, str(options.batch_id), run, *place)
    if key in _written:
        raise IngestError(
            f"Batch {options.batch_id} was written to table '{options.table}' by the same writer already,"
            " so these rows would be taken for a replay and left out.",
            remedy="Give each write of a batch its own writer_id.",
        )
    return key


def _stage(df: DataFrame, plan: IngestPlan) -> list[StagedFiles]:
    from spark_kusto.client.watching import staging_folder

    with progress(plan.table, staging_folder(plan)):
        return _stage_by_tasks(df, plan)


def _stage_by_tasks(df: DataFrame, plan: IngestPlan) -> list[StagedFiles]:
    variants = variants_of(df.schema)
    names = df.columns

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow

        named = (pyarrow.RecordBatch.from_arrays(batch.columns, names=names) for batch in batches)
        message = pickle.dumps(stage(plan, named, variants))
        yield pyarrow.record_batch([pyarrow.array([message], pyarrow.binary())], names=["message"])

    # mapInArrow looks its columns up by name, and takes dots and backticks in one for syntax.
    plain = df.toDF(*(f"c{number}" for number in range(len(names))))
    rows = plain.mapInArrow(run, "message binary").collect()
    return [pickle.loads(bytes(row[0])) for row in rows]
