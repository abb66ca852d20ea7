"""Options of sources and sinks both: the cluster, signing in, the request."""

from __future__ import annotations

from spark_kusto.spark.option_tables.spec import OptionSpec

COMMON = (
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
        " again when a token runs out. The official connector's JVM class cannot be called from Python.",
        aliases=("tokenProviderCallbackClasspath",),
        ours=True,
    ),
    OptionSpec("keyVaultUri", "text", "both", "Key Vault that holds the application's credentials."),
    OptionSpec("keyVaultAppId", "text", "both", "Application that may read the Key Vault."),
    OptionSpec("keyVaultAppKey", "text", "both", "Its secret.", secret=True),
    OptionSpec("keyVaultPemFilePath", "text", "both", "Its certificate instead of a secret, a PEM file."),
    OptionSpec("keyVaultPemFileKey", "text", "both", "Password of the PEM file.", secret=True),
    OptionSpec(
        "authMethod",
        "enum",
        "both",
        "Sign in by one of azure-identity's ways.",
        choices=(
            "deviceCode",
            "interactiveBrowser",
            "azureCli",
            "workloadIdentity",
            "managedIdentity",
            "default",
        ),
        ours=True,
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
        "Seconds an export is waited for, or an ingestion; on an embedded cluster, that a commit waits for"
        " others who hold the database (a minute unless it is given).",
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
