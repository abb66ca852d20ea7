"""Every option of the data source: name, kind, default, and what it does. One row each.

Names are the official connector's where it has the option; ``docs/options.md`` is printed from
this table. Rows with a ``notice`` are accepted so that existing jobs run, and say once why they
have no effect here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from spark_kusto.spark.names import (
    ReadMode,
    SchemaAdjustmentMode,
    SinkTableCreationMode,
    WriteMode,
)

Scope = Literal["both", "source", "sink"]
Kind = Literal["text", "bool", "int", "json", "list", "enum"]


@dataclass(frozen=True)
class OptionSpec:
    """One option.

    Attributes:
        name: as documented; matched in any case.
        kind: how its text is read. ``list`` is comma-separated, or a JSON list.
        scope: whether sources, sinks or both know it.
        doc: what it does, one or two sentences.
        default: the text of its default, None where leaving it out has a meaning of its own.
        choices: the values of an ``enum``.
        aliases: older, misspelled and alternative names, accepted with a warning.
        value_aliases: older values of an ``enum``.
        minimum: least value of an ``int``.
        secret: never printed.
        notice: why the option changes nothing here; logged once when it is given.
        ours: not an option of the official connector.
    """

    name: str
    kind: Kind
    scope: Scope
    doc: str
    default: str | None = None
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    value_aliases: Mapping[str, str] | None = None
    minimum: int | None = None
    secret: bool = False
    notice: str | None = None
    ours: bool = False


def _values(enumeration: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(value) for value in enumeration)


_CONNECTION = (
    OptionSpec(
        "kustoCluster",
        "text",
        "both",
        "The cluster: an alias (`help`, `name.region`), an `https://` URL, `http://localhost:PORT`, or"
        " the path of an embedded cluster (has a separator, or starts with `.`, `~` or `file:`)."
        " Required.",
    ),
    OptionSpec("kustoDatabase", "text", "both", "The database. Required."),
    OptionSpec(
        "kustoAadAppId",
        "text",
        "both",
        "Client id of an Entra application.",
        aliases=("kustoAADClientID",),
    ),
    OptionSpec(
        "kustoAadAppSecret",
        "text",
        "both",
        "The application's secret.",
        aliases=("kustoClientAADClientPassword",),
        secret=True,
    ),
    OptionSpec("kustoAadAuthorityID", "text", "both", "Tenant id or domain of the application."),
    OptionSpec(
        "kustoAadAppCertPath",
        "text",
        "both",
        "Path of the application's PFX certificate.",
        aliases=("kutoAadAppCertPath",),
    ),
    OptionSpec(
        "kustoAadAppCertPassword",
        "text",
        "both",
        "Password of the PFX certificate.",
        aliases=("kutoAadAppCertPassword",),
        secret=True,
    ),
    OptionSpec(
        "accessToken",
        "text",
        "both",
        "A bearer token; it is never refreshed.",
        aliases=("userToken",),
        secret=True,
    ),
    OptionSpec("userPrompt", "bool", "both", "Sign in through a browser, on the driver.", default="false"),
    OptionSpec("managedIdentityAuth", "bool", "both", "Use the machine's managed identity.", default="false"),
    OptionSpec(
        "managedIdentityClientId",
        "text",
        "both",
        "Client id of a user-assigned identity; without it the system-assigned one.",
        aliases=("managedClientId",),
    ),
    OptionSpec(
        "tokenProvider",
        "text",
        "both",
        "Dotted path (`module:function`) of a Python callable that returns a bearer token; called"
        " again when a token runs out.",
        ours=True,
    ),
    OptionSpec(
        "tokenProviderCallbackClasspath",
        "text",
        "both",
        "The official connector's JVM callback. Refused, since Python cannot call it: use `tokenProvider`.",
    ),
    OptionSpec("keyVaultUri", "text", "both", "Key Vault that holds the application's credentials."),
    OptionSpec("keyVaultAppId", "text", "both", "Application that may read the Key Vault."),
    OptionSpec("keyVaultAppKey", "text", "both", "Its secret.", secret=True),
    OptionSpec(
        "keyVaultPemFilePath",
        "text",
        "both",
        "Declared and never supported by the official connector.",
        notice="certificates for Key Vault are not supported; use keyVaultAppId and keyVaultAppKey",
    ),
    OptionSpec(
        "keyVaultPemFileKey",
        "text",
        "both",
        "Declared and never supported by the official connector.",
        secret=True,
        notice="certificates for Key Vault are not supported; use keyVaultAppId and keyVaultAppKey",
    ),
    OptionSpec(
        "kustoIngestionUri",
        "text",
        "both",
        "URL of the data management endpoint, where it is not `ingest-` before the cluster's host.",
    ),
    OptionSpec(
        "timeoutLimit",
        "int",
        "both",
        "Seconds an export or a queued ingestion is waited for.",
        default="172800",
        minimum=1,
    ),
    OptionSpec(
        "clientRequestPropertiesJson",
        "json",
        "both",
        'Client request properties, `{"Options": {...}, "Parameters": {...}}`, of every query of the read.',
    ),
    OptionSpec(
        "requestId",
        "text",
        "both",
        "Prefix of the client request ids that `.show queries` lists; random by default.",
        aliases=("operationId", "sourceId"),
    ),
    OptionSpec(
        "kustoConnectionTimeout",
        "int",
        "both",
        "Of releases before 2.0.",
        notice="timeouts are set by timeoutLimit and the property servertimeout",
    ),
    OptionSpec(
        "kustoQueryRetryTimes",
        "int",
        "both",
        "Of releases before 2.0.",
        notice="transient failures are always retried",
    ),
)

_SOURCE = (
    OptionSpec(
        "kustoQuery",
        "text",
        "source",
        "A table's name or a KQL query; `let` and several statements are fine. Required.",
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
        " `ForceDistributedMode` exports it and reads the files in parallel. By default, what the"
        " size asks for.",
        choices=_values(ReadMode),
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
        "transientStorage",
        "json",
        "source",
        "Blob containers for distributed reads, the official connector's JSON.",
        secret=True,
    ),
    OptionSpec(
        "kustoExportOptionsJson",
        "json",
        "source",
        "Further properties of the `.export` command of distributed reads.",
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
        "Seconds that exported files of a read are kept for further actions on the same DataFrame.",
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
        "blobStorageEndpointSuffix",
        "text",
        "source",
        "Declared and never read by the official connector.",
        aliases=("blobStorageDomainPostfix",),
        notice="give endpointSuffix inside transientStorage",
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
    OptionSpec(
        "blobContainer",
        "text",
        "source",
        "Of releases before 2.0: container of the transient storage.",
        notice="give the container in transientStorage",
    ),
    OptionSpec(
        "blobStorageAccountName",
        "text",
        "source",
        "Of releases before 2.0: account of the transient storage.",
        notice="give the account in transientStorage",
    ),
    OptionSpec(
        "blobStorageAccountKey",
        "text",
        "source",
        "Of releases before 2.0: key of the transient storage.",
        aliases=("blobStorageSasKey",),
        secret=True,
        notice="give the key in transientStorage",
    ),
    OptionSpec(
        "blobStorageSasUrl",
        "text",
        "source",
        "Of releases before 2.0: the transient storage's container with its SAS.",
        secret=True,
        notice="give sasUrl in transientStorage",
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

_SINK = (
    OptionSpec("kustoTable", "text", "sink", "The table to write to. Required."),
    OptionSpec(
        "tableCreateOptions",
        "enum",
        "sink",
        "Whether a missing table is created with the DataFrame's columns.",
        default="FailIfNotExist",
        choices=_values(SinkTableCreationMode),
    ),
    OptionSpec(
        "writeMode",
        "enum",
        "sink",
        "`Transactional`: all rows become visible in one commit. `Queued`: staged files are handed to"
        " the ingestion queue, visible when the batching policy is due. `KustoStreaming`: small"
        " batches, visible at once.",
        default="Transactional",
        choices=_values(WriteMode),
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
        choices=_values(SchemaAdjustmentMode),
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
        "Convert values even where the table's type cannot hold all of them exactly (long to int,"
        " double to long ...); those that do not fit become null.",
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
        "Rows that may fail to convert; they are left out.",
        default="0",
        minimum=0,
        ours=True,
    ),
    OptionSpec(
        "clientBatchingLimit",
        "int",
        "sink",
        "MB of rows, before compression, after which a task starts another file.",
        default="1024",
        minimum=1,
    ),
    OptionSpec(
        "streamingIngestSizeInMB",
        "int",
        "sink",
        "With KustoStreaming: MB of each request.",
        default="4",
        minimum=1,
        aliases=("kustoStreamingIngestSizeInMB", "kustoStreamingIngestSize"),
    ),
    OptionSpec(
        "writerId",
        "text",
        "sink",
        "Identity of the writer for exactly-once batches; a stream's is its query id.",
        ours=True,
    ),
    OptionSpec(
        "batchId",
        "int",
        "sink",
        "Number of this batch of writerId; a batch at or below the last committed one adds nothing.",
        minimum=0,
        ours=True,
    ),
    OptionSpec(
        "stagingResourcesAutoCleanupTimeout",
        "int",
        "sink",
        "Seconds after which staging of a write that died is swept.",
        default="604800",
        minimum=1,
        aliases=("stagingResourcesCleanup",),
    ),
    OptionSpec(
        "kustoIngestionStorageContainer",
        "json",
        "sink",
        "Blob containers to stage in, the official connector's JSON.",
        secret=True,
    ),
    OptionSpec(
        "tempTableName",
        "text",
        "sink",
        "The official connector's staging table.",
        notice="staged files become visible in one commit, there is no temporary table",
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
        notice="no extents are moved",
    ),
    OptionSpec(
        "maxRetriesOnMoveExtents",
        "int",
        "sink",
        "How the official connector moves extents.",
        notice="no extents are moved",
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

OPTIONS: tuple[OptionSpec, ...] = (*_CONNECTION, *_SOURCE, *_SINK)
"""Every option, in the order the documentation lists them."""

SPARK_KEYS = frozenset(
    {
        "path",
        "checkpointlocation",
        "queryname",
        "serialization.format",
        "provider",
        "outputmode",
    }
)
"""Keys that Spark itself may put among the options (lower case)."""


def specs(scope: Scope) -> Iterator[OptionSpec]:
    """The options that a source, a sink, or either knows."""
    return (spec for spec in OPTIONS if scope == "both" or spec.scope in (scope, "both"))


_TITLES: tuple[tuple[Scope, str], ...] = (
    ("both", "Sources and sinks"),
    ("source", "Sources (`spark.read`, `spark.readStream`)"),
    ("sink", "Sinks (`df.write`, `df.writeStream`)"),
)


def markdown() -> str:
    """The tables of ``docs/options.md``."""
    lines: list[str] = []
    for scope, title in _TITLES:
        lines += [f"## {title}", "", "| option | values | default | |", "|---|---|---|---|"]
        for spec in OPTIONS:
            if spec.scope != scope or spec.notice is not None:
                continue
            values = ", ".join(f"`{choice}`" for choice in spec.choices) or spec.kind
            default = "" if spec.default is None else f"`{spec.default}`"
            mark = " *(not in the official connector)*" if spec.ours else ""
            also = f" Also `{'`, `'.join(spec.aliases)}`." if spec.aliases else ""
            lines.append(f"| `{spec.name}` | {values} | {default} | {spec.doc}{also}{mark} |")
        lines.append("")
    lines += ["## Accepted, without effect", "", "| option | why |", "|---|---|"]
    for spec in OPTIONS:
        if spec.notice is not None:
            names = "`, `".join((spec.name, *spec.aliases))
            lines.append(f"| `{names}` | {spec.notice} |")
    return "\n".join(lines) + "\n"
