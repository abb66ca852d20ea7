"""Options of sources."""

from __future__ import annotations

from spark_kusto.spark.names import ReadMode
from spark_kusto.spark.option_tables.spec import OptionSpec, values

SOURCE = (
    OptionSpec(
        "kustoQuery",
        "text",
        "source",
        "A table's name or a KQL query; `let` and several statements are fine. Required, unless `kustoTable`"
        " names a table.",
    ),
    OptionSpec(
        "customSchema",
        "text",
        "source",
        "Spark DDL of the columns to read, a subset of the query's; the same as `.schema(...)`.",
    ),
    OptionSpec(
        "kustoColumns",
        "list",
        "source",
        "Names of the columns to read, for sessions where columns are not pushed down by themselves.",
        ours=True,
    ),
    OptionSpec(
        "kustoFilter",
        "text",
        "source",
        "A KQL predicate put after the query (`State == 'WA'`), for sessions where filters are not"
        " pushed down by themselves.",
        ours=True,
    ),
    OptionSpec(
        "queryParametersJson",
        "json",
        "source",
        "Values of the query's `declare query_parameters` as a JSON object; bound, never spliced.",
        ours=True,
    ),
    OptionSpec(
        "snapshot",
        "text",
        "source",
        "A database cursor: the data is read as it was at that commit.",
        ours=True,
    ),
    OptionSpec(
        "readMode",
        "enum",
        "source",
        "`ForceSingleMode` runs the query once and reads its answer in one task;"
        " `ForceDistributedMode` exports it, through transientStorage where that is given, and reads the"
        " files in parallel. By default, what the size asks for.",
        choices=values(ReadMode),
        aliases=("dbgForceReadMode",),
        value_aliases={
            "ForceLeanMode": "ForceSingleMode",
            "ForceScaleMode": "ForceDistributedMode",
        },
    ),
    OptionSpec(
        "queryFilterPushDown",
        "bool",
        "source",
        "Whether columns, filters, limits and aggregates may be pushed into the query.",
        default="true",
    ),
    OptionSpec(
        "distributedReadModeTransientCache",
        "bool",
        "source",
        "Read an exported answer again instead of exporting it for each action; see docs/spark.md.",
        default="false",
        aliases=("distributedModeExportQueryOnlyOnce",),
    ),
    OptionSpec(
        "kustoExportOptionsJson",
        "json",
        "source",
        "Further properties of the `.export` command of distributed reads: sizeLimit (MB of a file, 128),"
        " compressionType, compressed.",
    ),
    OptionSpec(
        "numPartitions",
        "int",
        "source",
        "How many tasks a read is cut into at least, where it can be; by default the session's parallelism.",
        minimum=1,
    ),
    OptionSpec(
        "partitionColumn",
        "text",
        "source",
        "With numPartitions: cut any query by `hash(column, numPartitions)` into that many queries.",
    ),
    OptionSpec(
        "partitionMode",
        "enum",
        "source",
        "How partitionColumn cuts.",
        default="hash",
        choices=("hash",),
    ),
    OptionSpec(
        "partitionBytes",
        "int",
        "source",
        "Bytes of stored data a task aims at.",
        default="67108864",
        minimum=1,
        ours=True,
    ),
    OptionSpec(
        "readExpiry",
        "int",
        "source",
        "Seconds that exported files and blobs of a read are kept for further actions on the same DataFrame.",
        default="14400",
        minimum=1,
        ours=True,
    ),
    OptionSpec(
        "startingCursor",
        "text",
        "source",
        "Where a stream without a checkpoint begins: `earliest`, `latest`, or a database cursor.",
        default="earliest",
        ours=True,
    ),
    OptionSpec(
        "maxRowsPerTrigger",
        "int",
        "source",
        "Rows a micro-batch aims at; it always holds whole commits, at least one.",
        minimum=1,
        ours=True,
    ),
    OptionSpec(
        "maxBytesPerTrigger",
        "int",
        "source",
        "Bytes of stored data a micro-batch aims at; it always holds whole commits, at least one.",
        minimum=1,
        ours=True,
    ),
    OptionSpec(
        "storageProtocol",
        "enum",
        "source",
        "`wasbs`, `abfs` or `abfss`.",
        choices=("wasbs", "abfs", "abfss"),
        notice="files are read through the storage service's own client, not through Hadoop",
    ),
    OptionSpec(
        "dbgBlobCompressOnExport",
        "bool",
        "source",
        "Declared and never read by the official connector.",
        aliases=("blobCompressOnExport",),
        notice='set {"compressed": "none"} in kustoExportOptionsJson',
    ),
    OptionSpec(
        "dbgBlobFileSizeLimitMb",
        "int",
        "source",
        "Of releases before 2.0.",
        notice="set sizeLimit in kustoExportOptionsJson",
    ),
    OptionSpec(
        "blobSetFsConfig",
        "bool",
        "source",
        "Of releases before 2.0.",
        notice="no Hadoop configuration is needed",
    ),
    *(
        OptionSpec(
            name,
            "text",
            "source",
            "Of the first releases; it never did anything.",
            notice="it never did anything",
        )
        for name in ("lowerBound", "upperBound", "sessionInitStatement")
    ),
)
