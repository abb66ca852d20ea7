"""The official connector's constants, so that its documented snippets port line by line.

``KustoSourceOptions.KUSTO_QUERY`` and its like hold the option strings of the official library
(azure-kusto-spark 7.1, and the constants of its older releases); the enumerations hold the values
some of them take. :mod:`spark_kusto.spark.option_table` says what each option does here.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = [
    "KustoDebugOptions",
    "KustoOptions",
    "KustoSinkOptions",
    "KustoSourceOptions",
    "ReadMode",
    "SchemaAdjustmentMode",
    "SinkTableCreationMode",
    "WriteMode",
]


class _OptionValue(str, Enum):
    """A value an option takes; it is a ``str``, so it can be passed to ``.option()`` as it is."""

    def __str__(self) -> str:
        return str(self.value)

    def toString(self) -> str:
        """The text of the value, as in the official library's snippets."""
        return str(self.value)


class ReadMode(_OptionValue):
    """Values of ``readMode``."""

    ForceSingleMode = "ForceSingleMode"
    ForceDistributedMode = "ForceDistributedMode"


class WriteMode(_OptionValue):
    """Values of ``writeMode``."""

    Transactional = "Transactional"
    Queued = "Queued"
    KustoStreaming = "KustoStreaming"


class SinkTableCreationMode(_OptionValue):
    """Values of ``tableCreateOptions``."""

    CreateIfNotExist = "CreateIfNotExist"
    FailIfNotExist = "FailIfNotExist"


class SchemaAdjustmentMode(_OptionValue):
    """Values of ``adjustSchema``."""

    NoAdjustment = "NoAdjustment"
    FailIfNotMatch = "FailIfNotMatch"
    GenerateDynamicCsvMapping = "GenerateDynamicCsvMapping"


class KustoOptions:
    """Options of sources and sinks both."""

    KUSTO_CLUSTER: Final = "kustoCluster"
    KUSTO_DATABASE: Final = "kustoDatabase"

    KUSTO_AAD_APP_ID: Final = "kustoAadAppId"
    KUSTO_AAD_AUTHORITY_ID: Final = "kustoAadAuthorityID"
    KUSTO_AAD_APP_SECRET: Final = "kustoAadAppSecret"
    KUSTO_AAD_APP_CERTIFICATE_PATH: Final = "kutoAadAppCertPath"
    KUSTO_AAD_APP_CERTIFICATE_PASSWORD: Final = "kutoAadAppCertPassword"
    KUSTO_ACCESS_TOKEN: Final = "accessToken"
    KUSTO_USER_PROMPT: Final = "userPrompt"
    KUSTO_TOKEN_PROVIDER_CALLBACK_CLASSPATH: Final = "tokenProviderCallbackClasspath"
    KUSTO_MANAGED_IDENTITY_AUTH: Final = "managedIdentityAuth"
    KUSTO_MANAGED_IDENTITY_CLIENT_ID: Final = "managedIdentityClientId"
    KEY_VAULT_URI: Final = "keyVaultUri"
    KEY_VAULT_APP_ID: Final = "keyVaultAppId"
    KEY_VAULT_APP_KEY: Final = "keyVaultAppKey"

    KUSTO_INGESTION_URI: Final = "kustoIngestionUri"
    KUSTO_TIMEOUT_LIMIT: Final = "timeoutLimit"
    KUSTO_CLIENT_REQUEST_PROPERTIES_JSON: Final = "clientRequestPropertiesJson"
    KUSTO_REQUEST_ID: Final = "requestId"

    # Releases before 2.0, and some between: still accepted, with a warning that names today's.
    KUSTO_AAD_CLIENT_ID: Final = "kustoAADClientID"
    KUSTO_AAD_CLIENT_PASSWORD: Final = "kustoClientAADClientPassword"
    KUSTO_USER_TOKEN: Final = "userToken"
    KUSTO_TOKEN_PROVIDER: Final = "tokenProvider"
    KUSTO_MANAGED_CLIENT_ID: Final = "managedClientId"
    KUSTO_OPERATION_ID: Final = "operationId"
    KUSTO_SOURCE_ID: Final = "sourceId"
    KUSTO_CONNECTION_TIMEOUT: Final = "kustoConnectionTimeout"
    KUSTO_QUERY_RETRY_TIMES: Final = "kustoQueryRetryTimes"


class KustoSourceOptions(KustoOptions):
    """Options of ``spark.read`` and ``spark.readStream``."""

    KUSTO_QUERY: Final = "kustoQuery"
    KUSTO_CUSTOM_DATAFRAME_COLUMN_TYPES: Final = "customSchema"
    KUSTO_TRANSIENT_STORAGE: Final = "transientStorage"
    KUSTO_BLOB_STORAGE_ENDPOINT_SUFFIX: Final = "blobStorageEndpointSuffix"
    KUSTO_READ_MODE: Final = "readMode"
    KUSTO_DISTRIBUTED_READ_MODE_TRANSIENT_CACHE: Final = "distributedReadModeTransientCache"
    KUSTO_QUERY_FILTER_PUSH_DOWN: Final = "queryFilterPushDown"
    KUSTO_EXPORT_OPTIONS_JSON: Final = "kustoExportOptionsJson"
    STORAGE_PROTOCOL: Final = "storageProtocol"

    KUSTO_DBG_FORCE_READ_MODE: Final = "dbgForceReadMode"
    KUSTO_DISTRIBUTED_MODE_EXPORT_QUERY_ONLY_ONCE: Final = "distributedModeExportQueryOnlyOnce"
    KUSTO_BLOB_CONTAINER: Final = "blobContainer"
    KUSTO_BLOB_STORAGE_ACCOUNT_NAME: Final = "blobStorageAccountName"
    KUSTO_BLOB_STORAGE_ACCOUNT_KEY: Final = "blobStorageAccountKey"
    KUSTO_BLOB_STORAGE_SAS_URL: Final = "blobStorageSasUrl"
    KUSTO_BLOB_STORAGE_SAS_KEY: Final = "blobStorageSasKey"
    KUSTO_BLOB_STORAGE_DOMAIN_POSTFIX: Final = "blobStorageDomainPostfix"
    KUSTO_BLOB_COMPRESS_ON_EXPORT: Final = "blobCompressOnExport"
    KUSTO_BLOB_SET_FS_CONFIG: Final = "blobSetFsConfig"
    KUSTO_LOWER_BOUND: Final = "lowerBound"
    KUSTO_UPPER_BOUND: Final = "upperBound"
    KUSTO_SESSION_INIT_STATEMENT: Final = "sessionInitStatement"


class KustoSinkOptions(KustoOptions):
    """Options of ``df.write`` and ``df.writeStream``."""

    KUSTO_TABLE: Final = "kustoTable"
    KUSTO_POLLING_ON_DRIVER: Final = "pollingOnDriver"
    KUSTO_TABLE_CREATE_OPTIONS: Final = "tableCreateOptions"
    KUSTO_WRITE_ENABLE_ASYNC: Final = "writeEnableAsync"
    KUSTO_WRITE_RESULT_LIMIT: Final = "writeResultLimit"
    NONE_RESULT_LIMIT: Final = "none"
    KUSTO_SPARK_INGESTION_PROPERTIES_JSON: Final = "sparkIngestionPropertiesJson"
    KUSTO_CLIENT_BATCHING_LIMIT: Final = "clientBatchingLimit"
    KUSTO_ADJUST_SCHEMA: Final = "adjustSchema"
    KUSTO_STAGING_RESOURCE_AUTO_CLEANUP_TIMEOUT: Final = "stagingResourcesAutoCleanupTimeout"
    KUSTO_WRITE_MODE: Final = "writeMode"
    KUSTO_TEMP_TABLE_NAME: Final = "tempTableName"
    KUSTO_STREAMING_INGEST_SIZE_IN_MB: Final = "streamingIngestSizeInMB"
    KUSTO_INGESTION_STORAGE: Final = "kustoIngestionStorageContainer"
    TIMEZONE: Final = "timeZone"

    KUSTO_POLLING_IN_DRIVER: Final = "pollingInDriver"
    KUSTO_QUEUING_NODE: Final = "queuingMode"
    KUSTO_TRANSACTIONAL_NODE: Final = "writeMode"
    KUSTO_STREAMING_INGEST_SIZE: Final = "kustoStreamingIngestSizeInMB"
    KUSTO_STAGING_RESOURCES_CLEANUP: Final = "stagingResourcesCleanup"
    KUSTO_CSV_MAPPING: Final = "csvMapping"
    KUSTO_CSV_MAPPING_REFERENCE: Final = "csvMappingReference"
    KUSTO_CREATE_TABLE_COLUMN_TYPES: Final = "createTableColumnTypes"
    KUSTO_TRUNCATE: Final = "truncate"
    KUSTO_TXN_ISOLATION_LEVEL: Final = "isolationLevel"
    KUSTO_OMIT_NULLS: Final = "omitNulls"
    KUSTO_DISABLE_QUEUE_REQUEST_OPTIONS_OVERRIDE: Final = "disableQueueRequestOptionsOverride"
    KUSTO_LEGACY_INGEST: Final = "legacyIngest"
    KUSTO_USE_INGEST_V2: Final = "useIngestV2"
    KUSTO_INGESTION_FORMAT: Final = "ingestionFormat"


class KustoDebugOptions:
    """Options the official library keeps for testing."""

    KUSTO_DBG_BLOB_COMPRESS_ON_EXPORT: Final = "dbgBlobCompressOnExport"
    KUSTO_DBG_BLOB_FILE_SIZE_LIMIT_MB: Final = "dbgBlobFileSizeLimitMb"
    KUSTO_DBG_FORCE_READ_MODE: Final = "dbgForceReadMode"
    KUSTO_READ_PARTITION_MODE: Final = "partitionMode"
    KUSTO_NUM_PARTITIONS: Final = "numPartitions"
    KUSTO_PARTITION_COLUMN: Final = "partitionColumn"
    KEY_VAULT_PEM_FILE_PATH: Final = "keyVaultPemFilePath"
    KEY_VAULT_CERTIFICATE_KEY: Final = "keyVaultPemFileKey"
    KUSTO_MAXIMAL_EXTENTS_COUNT_FOR_SPLIT_MERGE_PER_NODE: Final = "maximalExtentsCountForSplitMergePerNode"
    KUSTO_MAX_RETRIES_ON_MOVE_EXTENTS: Final = "maxRetriesOnMoveExtents"
    KUSTO_MAX_RETRIES_ON_MOVR_EXTENTS: Final = "maxRetriesOnMoveExtents"
    KUSTO_DISABLE_FLUSH_IMMEDIATELY: Final = "disableFlushImmediately"
    KUSTO_ENSURE_NO_DUPLICATED_BLOBS: Final = "ensureNoDuplicatedBlobs"
    KUSTO_ADD_SOURCE_LOCATION_TRANSFORM: Final = "addSourceLocationTransform"
    KUSTO_QUERY_RETRY_TIMES: Final = "kustoQueryRetryTimes"
