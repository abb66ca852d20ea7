"""Options of blob staging, for sources and sinks both."""

from __future__ import annotations

from spark_kusto.spark.option_tables.spec import OptionSpec

STAGING = (
    OptionSpec(
        "transientStorage",
        "json",
        "both",
        "Blob containers for distributed reads, and for writes that have none of their own: the official"
        " connector's JSON, a list of SAS URLs, or one URL; see docs/staging.md.",
        secret=True,
    ),
    OptionSpec(
        "blobStorageSasUrl",
        "text",
        "both",
        "One container with its SAS, in place of transientStorage.",
        secret=True,
    ),
    OptionSpec(
        "blobStorageConnectionString",
        "text",
        "both",
        "With blobContainer, in place of transientStorage: a storage connection string.",
        secret=True,
        ours=True,
    ),
    OptionSpec(
        "blobStorageAccountName",
        "text",
        "both",
        "With blobContainer, in place of transientStorage: the storage account.",
    ),
    OptionSpec(
        "blobStorageAccountKey",
        "text",
        "both",
        "Its key, or a SAS; without it the credential that signs in to the cluster is used.",
        aliases=("blobStorageSasKey",),
        secret=True,
    ),
    OptionSpec("blobContainer", "text", "both", "The container of that account."),
    OptionSpec(
        "blobStorageEndpointSuffix",
        "text",
        "both",
        "The account's suffix where it is not `core.windows.net`.",
        aliases=("blobStorageDomainPostfix",),
    ),
    OptionSpec(
        "stagingKeep",
        "bool",
        "both",
        "Leave staged blobs in place, for those who want to look.",
        default="false",
        ours=True,
    ),
    OptionSpec(
        "stagingSasLifetime",
        "int",
        "both",
        "Seconds that executors' SAS last. By default as long as the blobs may be needed, for writes a day"
        " at most; `write_kusto` renews them.",
        minimum=60,
        ours=True,
    ),
)
