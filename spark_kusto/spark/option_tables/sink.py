"""Options of sinks."""

from __future__ import annotations

from spark_kusto.spark.names import SchemaAdjustmentMode, SinkTableCreationMode, WriteMode
from spark_kusto.spark.option_tables.spec import OptionSpec, values

SINK = (
    OptionSpec("kustoTable", "text", "sink", "The table to write to. Required."),
    OptionSpec(
        "tableCreateOptions",
        "enum",
        "sink",
        "Whether a missing table is created with the DataFrame's columns.",
        default="FailIfNotExist",
        choices=values(SinkTableCreationMode),
    ),
    OptionSpec(
        "writeMode",
        "enum",
        "sink",
        "`Transactional`: all rows become visible in one commit. `Queued`: staged files are handed to"
        " the ingestion queue, visible when the batching policy is due. `KustoStreaming`: requests of at"
        " most streamingIngestSizeInMB, visible at once, all of a write together.",
        default="Transactional",
        choices=values(WriteMode),
        value_aliases={"Stream": "KustoStreaming"},
    ),
    OptionSpec(
        "queuingMode",
        "bool",
        "sink",
        "Of one old release: `true` is writeMode Queued.",
        notice="set writeMode to Queued",
    ),
    OptionSpec(
        "adjustSchema",
        "enum",
        "sink",
        "`FailIfNotMatch`: names and order must be the table's. `GenerateDynamicCsvMapping`, and"
        " `NoAdjustment` unless a mapping is given: columns go by name, missing ones become null,"
        " extra ones are refused.",
        default="NoAdjustment",
        choices=values(SchemaAdjustmentMode),
    ),
    OptionSpec(
        "mergeSchema",
        "bool",
        "sink",
        "Add the DataFrame's further columns to the table.",
        default="false",
        ours=True,
    ),
    OptionSpec(
        "overwriteSchema",
        "bool",
        "sink",
        "With mode overwrite: the table takes the DataFrame's columns.",
        default="false",
        ours=True,
    ),
    OptionSpec(
        "allowLossyConversion",
        "bool",
        "sink",
        "Values that the table's type cannot hold exactly (a long too large for int, 1.5 for long, text that"
        " is no datetime ...) become null instead of failing the write.",
        default="false",
        ours=True,
    ),
    OptionSpec(
        "replaceTags",
        "list",
        "sink",
        "With mode overwrite: only extents that carry one of these tags are replaced.",
        ours=True,
    ),
    OptionSpec(
        "replaceWhere",
        "text",
        "sink",
        "With mode overwrite: only rows this KQL predicate holds for are replaced.",
        ours=True,
    ),
    OptionSpec(
        "sparkIngestionPropertiesJson",
        "json",
        "sink",
        "Ingestion properties: flushImmediately, dropByTags, ingestByTags, additionalTags,"
        " ingestIfNotExists, creationTime, csvMapping, csvMappingNameReference,"
        " maximumErrorsAllowed. Each is an option of its own, too.",
    ),
    OptionSpec(
        "flushImmediately",
        "bool",
        "sink",
        "Queued data is not held back by the batching policy.",
        ours=True,
    ),
    OptionSpec("dropByTags", "list", "sink", "Extent tags, written as `drop-by:<tag>`.", ours=True),
    OptionSpec("ingestByTags", "list", "sink", "Extent tags, written as `ingest-by:<tag>`.", ours=True),
    OptionSpec("additionalTags", "list", "sink", "Extent tags, written as they are.", ours=True),
    OptionSpec(
        "ingestIfNotExists",
        "list",
        "sink",
        "Skip the write if the table has an extent tagged `ingest-by:` with one of these.",
        ours=True,
    ),
    OptionSpec(
        "creationTime",
        "text",
        "sink",
        "Creation time of the extents, ISO 8601; retention goes by it.",
        ours=True,
    ),
    OptionSpec(
        "csvMapping",
        "json",
        "sink",
        "A CSV ingestion mapping; ordinals count the DataFrame's columns.",
    ),
    OptionSpec(
        "csvMappingNameReference",
        "text",
        "sink",
        "Name of a CSV ingestion mapping stored with the table.",
        aliases=("csvMappingReference",),
        ours=True,
    ),
    OptionSpec(
        "maximumErrorsAllowed",
        "int",
        "sink",
        "Values that may fail to convert; they become null.",
        default="0",
        minimum=0,
        ours=True,
    ),
    OptionSpec(
        "clientBatchingLimit",
        "int",
        "sink",
        "MB before compression after which a task starts another file; without it, files are of up to"
        " 192 MB after compression.",
        minimum=1,
    ),
    OptionSpec(
        "streamingIngestSizeInMB",
        "int",
        "sink",
        "With KustoStreaming: MB before compression that one request holds at most. A write with a larger"
        " row goes through the queue.",
        default="4",
        aliases=("kustoStreamingIngestSizeInMB", "kustoStreamingIngestSize"),
        minimum=1,
    ),
    OptionSpec(
        "writerId",
        "text",
        "sink",
        "Identity of the writer for exactly-once batches; a stream's is its query id. A stream that starts"
        " over with a deleted checkpoint needs a new one: its batches would be taken for replays.",
        ours=True,
    ),
    OptionSpec(
        "batchId",
        "int",
        "sink",
        "Number of this batch of writerId; a batch at or below the last committed one adds nothing,"
        " so a writer that starts over (a deleted checkpoint) needs a new writerId.",
        minimum=0,
        ours=True,
    ),
    OptionSpec(
        "stagingResourcesAutoCleanupTimeout",
        "int",
        "sink",
        "Seconds after which staging of a write that died is swept: 7 days for blobs, and 6 hours without a"
        " sign of life in the directory of an embedded cluster.",
        minimum=1,
        aliases=("stagingResourcesCleanup",),
    ),
    OptionSpec(
        "kustoIngestionStorageContainer",
        "json",
        "sink",
        "Blob containers to stage in, the official connector's JSON, or any form of transientStorage.",
        secret=True,
    ),
    OptionSpec(
        "tempTableName",
        "text",
        "sink",
        "The official connector's staging table.",
        notice="a write needs none; on a remote cluster it makes its own and drops it",
    ),
    OptionSpec(
        "writeEnableAsync",
        "bool",
        "sink",
        "Return before the write is done.",
        default="false",
        notice="a write returns when it is committed; run it in a thread, or use writeMode Queued",
    ),
    OptionSpec(
        "pollingOnDriver",
        "bool",
        "sink",
        "Where the official connector waits.",
        default="false",
        aliases=("pollingInDriver",),
        notice="the commit always runs on the driver",
    ),
    OptionSpec(
        "writeResultLimit",
        "text",
        "sink",
        "Rows the official connector reads back after a write.",
        notice="nothing is read back",
    ),
    OptionSpec(
        "timeZone",
        "text",
        "sink",
        "The zone the official connector prints timestamps in.",
        notice="timestamps are written as the instants they are",
    ),
    OptionSpec(
        "maximalExtentsCountForSplitMergePerNode",
        "int",
        "sink",
        "How the official connector moves extents.",
        notice="all extents of a write become visible in one transaction",
    ),
    OptionSpec(
        "maxRetriesOnMoveExtents",
        "int",
        "sink",
        "How the official connector moves extents.",
        notice="all extents of a write become visible in one transaction",
    ),
    OptionSpec(
        "disableFlushImmediately",
        "bool",
        "sink",
        "How the official connector queues blobs.",
        default="false",
        notice="queued files follow the batching policy unless flushImmediately is set",
    ),
    OptionSpec(
        "ensureNoDuplicatedBlobs",
        "bool",
        "sink",
        "How the official connector guards against duplicates.",
        default="false",
        notice="every staged file is committed once, always",
    ),
    OptionSpec(
        "addSourceLocationTransform",
        "bool",
        "sink",
        "The official connector's column of blob addresses.",
        default="false",
        notice="rows do not come from blobs with addresses of their own",
    ),
    *(
        OptionSpec(
            name,
            "text",
            "sink",
            "Of the first or unreleased versions.",
            notice="it belongs to versions that were not released, or never did anything",
        )
        for name in (
            "createTableColumnTypes",
            "truncate",
            "isolationLevel",
            "omitNulls",
            "disableQueueRequestOptionsOverride",
            "legacyIngest",
            "useIngestV2",
            "ingestionFormat",
        )
    ),
)
