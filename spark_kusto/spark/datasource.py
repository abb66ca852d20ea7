"""The Python data source ``kusto``: schema, reader, writer, and the same for streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spark_kusto.errors import UnsupportedError

try:
    from pyspark.sql.datasource import DataSource
except ImportError:
    import pyspark

    raise UnsupportedError(
        f"PySpark {pyspark.__version__} has no Python data source API, which begins with PySpark 4.0.",
        feature="PySpark older than 4.0",
        remedy="Upgrade PySpark, or use the official JVM connector with Spark 3.",
    ) from None

from spark_kusto.spark.options import TASKS_KEY, sink_options, source_options
from spark_kusto.spark.reading import base_query, spark_schema

if TYPE_CHECKING:
    from pyspark.sql.datasource import (
        DataSourceReader,
        DataSourceStreamReader,
        DataSourceStreamWriter,
        DataSourceWriter,
    )
    from pyspark.sql.types import StructType


CASE_SENSITIVE_KEY = "__kusto_case_sensitive"
"""Internal option: the session tells columns apart by case."""


def schema_of(given: Mapping[str, str]) -> StructType | str:
    """The columns of a read with these options, without running it; the option customSchema as it is."""
    from spark_kusto.spark.reader import columns_wanted

    options = source_options(given)
    if options.custom_schema is not None:
        return options.custom_schema
    with options.connection.open(create=False) as cluster:
        columns = cluster.schema(options.connection.database, base_query(options), options.parameters)
    if options.columns is not None:
        columns = tuple(columns_wanted(columns, options.columns))
    return spark_schema(columns, case_sensitive=given.get(CASE_SENSITIVE_KEY) == "true")


class KustoDataSource(DataSource):
    """Tables and queries of a Kusto cluster; see ``docs/spark.md`` and ``docs/options.md``."""

    @classmethod
    def name(cls) -> str:
        """What ``format()`` takes."""
        return "kusto"

    def schema(self) -> StructType | str:
        """The columns of the query, without running it."""
        return schema_of(self.options)

    def reader(self, schema: StructType) -> DataSourceReader:
        """The reader of a batch, or of its tasks."""
        from spark_kusto.spark.reader import KustoReader, TaskLister

        wanted = self.options.get(TASKS_KEY)
        if wanted is None:
            return KustoReader(source_options(self.options), schema)
        return TaskLister(source_options(self.options), wanted)

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceWriter:
        """The writer of a batch."""
        from spark_kusto.spark.writer import KustoWriter

        return KustoWriter(sink_options(self.options), schema, overwrite)

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:
        """The reader of a stream."""
        from spark_kusto.spark.stream_reader import KustoStreamReader

        return KustoStreamReader(source_options(self.options), schema)

    def streamWriter(self, schema: StructType, overwrite: bool) -> DataSourceStreamWriter:
        """The writer of a stream."""
        from spark_kusto.spark.stream_writer import KustoStreamWriter

        return KustoStreamWriter(sink_options(self.options, stream=True), schema, overwrite)


class OfficialSourceName(KustoDataSource):
    """The same source under the official connector's name."""

    @classmethod
    def name(cls) -> str:
        return "com.microsoft.kusto.spark.datasource"


class OfficialSinkName(KustoDataSource):
    """The same source under the official connector's name for streams."""

    @classmethod
    def name(cls) -> str:
        return "com.microsoft.kusto.spark.datasink.KustoSinkProvider"
