"""Options of a read or a write: from Spark's text map to typed, checked values.

:func:`source_options` and :func:`sink_options` are the only readers of the map. A key close to a
known one is an error that names it, other unknown keys are logged once, and so are older names and
options that change nothing here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from spark_kusto.client.auth import AUTH_OPTIONS
from spark_kusto.errors import OptionError, edit_distance
from spark_kusto.spark.names import (
    ReadMode,
    SchemaAdjustmentMode,
    SinkTableCreationMode,
    WriteMode,
)
from spark_kusto.spark.option_tables import OPTIONS, SPARK_KEYS
from spark_kusto.spark.option_tables.spec import OptionSpec, Scope
from spark_kusto.spark.properties import (
    ClientRequestProperties,
    SparkIngestionProperties,
    json_object,
    text_list,
)
from spark_kusto.spark.query_text import quoted_name
from spark_kusto.spark.staging import APPLICATION_KEY, STAGING_OPTIONS

if TYPE_CHECKING:
    from spark_kusto.client import Cluster

log = logging.getLogger("spark_kusto.spark")

PUSHDOWN_KEY = "__kusto_pushdown"
"""The key under which the optimizer rule hands a scan what it pushed (JSON)."""
PARALLELISM_KEY = "__kusto_parallelism"
"""The key under which the session's default parallelism reaches the planning process."""

SNAPSHOT_KEY = "__kusto_snapshot"
"""The key under which the rule hands all scans of a plan the same commit to read."""
TASKS_KEY = "__kusto_tasks"
"""Internal option: the scan gives the tasks of a read, not its rows; the columns (a Spark schema as JSON)."""

_CONNECTION = (*AUTH_OPTIONS, "kustoIngestionUri", "timeoutLimit", "requestId")
"""Options by which a remote cluster is opened."""

_logged: set[str] = set()


def _log_once(message: str) -> None:
    if message not in _logged:
        _logged.add(message)
        log.warning(message)


_BY_KEY: dict[str, OptionSpec] = {}
for _spec in OPTIONS:
    for _name in (_spec.name, *_spec.aliases):
        _BY_KEY[_name.lower()] = _spec


@dataclass(frozen=True)
class Connection:
    """Which cluster and database, and how to sign in.

    Attributes:
        cluster: the normalized address.
        settings: options of signing in and of the connection, by their documented names; not printed.
    """

    cluster: str
    database: str
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    def open(self, *, create: bool = True) -> Cluster:
        """The cluster; close it, or use it as a context manager.

        create: False refuses a directory that holds no cluster: reads make none.
        """
        from spark_kusto.client import connect

        if not self.cluster.startswith(("http:", "https:")):
            return connect(self.cluster, create=create)
        from spark_kusto.client.auth import credential_from_options, fallback_credential

        known: dict[str, Any] = {
            "ingestion_uri": self.settings.get("kustoIngestionUri"),
            "request_id": self.settings.get("requestId"),
        }
        if "timeoutLimit" in self.settings:
            known["timeout"] = timedelta(seconds=int(self.settings["timeoutLimit"]))
        credential = credential_from_options(self.settings)
        tenant = self.settings.get("kustoAadAuthorityID")
        if credential is None and tenant is not None and self.cluster.startswith("https:"):
            credential = fallback_credential(tenant.rstrip("/").rpartition("/")[2])
        return connect(self.cluster, credential, **known)


@dataclass(frozen=True)
class SourceOptions:
    """What a read asks for; see the rows of the same names in the option table.

    Attributes:
        snapshot: the commit to read: ``given_snapshot``, or that of the whole plan.
        given_snapshot: the commit that the user asked for.
    """

    connection: Connection
    # Queries, filters and parameters can hold secrets (h"..." strings).
    query: str = field(repr=False)
    custom_schema: str | None = None
    columns: tuple[str, ...] | None = None
    filter: str | None = field(default=None, repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    properties: Mapping[str, Any] = field(default_factory=dict)
    snapshot: str | None = None
    given_snapshot: str | None = None
    read_mode: ReadMode | None = None
    push_down: bool = True
    transient_cache: bool = False
    staging: Mapping[str, str] = field(default_factory=dict, repr=False)
    application: str | None = None
    export_options: Mapping[str, Any] = field(default_factory=dict)
    partitions: int | None = None
    partition_column: str | None = None
    partition_bytes: int = 64 * 1024 * 1024
    expiry: timedelta = timedelta(hours=4)
    timeout: timedelta = timedelta(days=2)
    request_id: str | None = None
    starting_cursor: str = "earliest"
    max_rows: int | None = None
    max_bytes: int | None = None
    pushed: str | None = None
    parallelism: int | None = None


@dataclass(frozen=True)
class SinkOptions:
    """What a write asks for; see the rows of the same names in the option table."""

    connection: Connection
    table: str
    create: bool = False
    mode: WriteMode = WriteMode.Transactional
    adjust: SchemaAdjustmentMode = SchemaAdjustmentMode.NoAdjustment
    merge_schema: bool = False
    overwrite_schema: bool = False
    allow_lossy: bool = False
    replace_tags: tuple[str, ...] = ()
    replace_where: str | None = None
    ingestion: SparkIngestionProperties = field(default_factory=SparkIngestionProperties)
    writer_id: str | None = None
    batch_id: int | None = None
    staging_expiry: timedelta | None = None
    staging: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: timedelta | None = None
    request_id: str | None = None
    file_bytes: int | None = None
    checkpoint: str | None = None


class _Values:
    """The checked texts of one map of options, by documented name."""

    def __init__(self, given: Mapping[str, str], scope: Scope) -> None:
        self._scope = scope
        self._texts: dict[str, str] = {}
        self.unknown: dict[str, str] = {}
        for key, text in given.items():
            folded = key.lower()
            spec = _BY_KEY.get(folded)
            if spec is None:
                self._unknown(key, text)
                continue
            if folded != spec.name.lower():
                if spec.name in self._texts:
                    continue
                _log_once(f"Option '{key}' is an older name of '{spec.name}'.")
            if spec.scope not in (scope, "both"):
                # A table of Spark's catalog has the options of both.
                if spec.name not in ("kustoTable", "kustoQuery"):
                    where = "writes" if scope == "sink" else "reads"
                    _log_once(f"Option '{spec.name}' has no effect on {where}.")
                continue
            if spec.notice is not None:
                _log_once(f"Option '{spec.name}' has no effect: {spec.notice}.")
            self._texts[spec.name] = str(text)

    def _unknown(self, key: str, text: str) -> None:
        folded = key.lower()
        if folded in SPARK_KEYS or folded.startswith(("__", "spark.")):
            return
        best: tuple[int, str] | None = None
        for known, spec in _BY_KEY.items():
            if spec.scope not in (self._scope, "both"):
                continue
            distance = edit_distance(folded, known, 2)
            if distance <= 2 and (best is None or distance < best[0]):
                best = (distance, spec.name)
        if best is not None:
            raise OptionError(f"'{key}' is not an option.", remedy=f"Did you mean '{best[1]}'?")
        _log_once(f"Option '{key}' is not known and has no effect.")
        self.unknown[key] = text

    def text(self, name: str) -> str | None:
        value = self._texts.get(name)
        return None if value is None or not value.strip() else value

    def required(self, name: str, example: str) -> str:
        value = self.text(name)
        if value is None:
            raise OptionError(f"Option '{name}' is missing.", remedy=f"Add .option('{name}', '{example}').")
        return value.strip()

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.text(name)
        if value is None:
            return default
        folded = value.strip().lower()
        if folded in ("true", "1", "yes"):
            return True
        if folded in ("false", "0", "no"):
            return False
        raise OptionError(f"Option '{name}' is '{value}'; it must be true or false.")

    def number(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        spec = _BY_KEY[name.lower()]
        try:
            found = int(value.strip())
        except ValueError:
            raise OptionError(f"Option '{name}' is '{value}'; it must be a whole number.") from None
        if spec.minimum is not None and found < spec.minimum:
            raise OptionError(f"Option '{name}' is {found}; it must be at least {spec.minimum}.")
        return found

    def seconds(self, name: str, default: timedelta) -> timedelta:
        value = self.number(name)
        return default if value is None else timedelta(seconds=value)

    def duration(self, name: str) -> timedelta | None:
        value = self.number(name)
        return None if value is None else timedelta(seconds=value)

    def choice(self, name: str) -> str | None:
        value = self.text(name)
        if value is None:
            return None
        spec = _BY_KEY[name.lower()]
        folded = value.strip().lower()
        for older, current in (spec.value_aliases or {}).items():
            if older.lower() == folded:
                _log_once(f"'{older}' is an older value of option '{name}': '{current}'.")
                return current
        for choice in spec.choices:
            if choice.lower() == folded:
                return choice
        raise OptionError(
            f"Option '{name}' is '{value}'.", remedy=f"It must be one of {', '.join(spec.choices)}."
        )

    def items(self, name: str) -> tuple[str, ...] | None:
        value = self.text(name)
        return None if value is None else text_list(value, f"option '{name}'")

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.text(name)
        return {} if value is None else json_object(value, f"Option '{name}'")


def _connection(values: _Values) -> Connection:
    from spark_kusto.client.address import parse_address

    database = values.required("kustoDatabase", "NetDefaultDB")
    cluster = parse_address(values.required("kustoCluster", "./kusto-data")).text
    values.choice("authMethod")
    values.number("timeoutLimit")
    settings = {name: text for name in _CONNECTION if (text := values.text(name)) is not None}
    return Connection(cluster, database, settings)


def _staging(values: _Values) -> dict[str, str]:
    values.flag("stagingKeep")
    values.number("stagingSasLifetime")
    return {name: text for name in STAGING_OPTIONS if (text := values.text(name)) is not None}


def _checked_query(text: str) -> str:
    """The query without what would break text appended to it: a last ``;``, a closing comment.

    Raises:
        OptionError: it is a management command, also behind comments.
    """
    query = text.strip()
    start = query
    while start.startswith("//"):
        start = start.partition("\n")[2].lstrip()
    if start.startswith("."):
        raise OptionError(
            f"kustoQuery is a management command ('{start.split()[0]}'), which a read cannot run.",
            remedy="Give a table or a query; run commands with spark_kusto.connect(...).execute(...).",
        )
    if not start:
        raise OptionError("kustoQuery is empty.", remedy="Give a table's name or a KQL query.")
    return query


def _check_present(given: Mapping[str, str]) -> None:
    if not any(key.lower() in _BY_KEY for key in given):
        raise OptionError(
            "No option of the source came along. Spark does not hand over the OPTIONS that a table of its"
            " catalog was created with.",
            remedy="Call spark_kusto.register(spark), which puts them back; or use CREATE TEMPORARY VIEW …"
            " USING kusto OPTIONS (…), or SELECT … FROM t WITH ('kustoCluster' = '…', …) and INSERT INTO t"
            " WITH (…).",
        )


def source_options(given: Mapping[str, str]) -> SourceOptions:
    """The options of a read.

    Raises:
        OptionError: something is missing, misspelled, malformed, or contradicts another option.
    """
    _check_present(given)
    values = _Values(given, "source")
    properties = ClientRequestProperties()
    request = values.text("clientRequestPropertiesJson")
    if request is not None:
        properties = ClientRequestProperties.from_json(request)
    parameters = {**properties.parameters, **values.mapping("queryParametersJson")}
    mode = values.choice("readMode")
    cached = values.flag("distributedReadModeTransientCache")
    folded = {key.lower(): text for key, text in given.items()}
    parallelism = folded.get(PARALLELISM_KEY)
    partitions = values.number("numPartitions")
    column = values.text("partitionColumn")
    if column is not None and partitions is None:
        raise OptionError("partitionColumn is given without numPartitions.", remedy="Add numPartitions.")
    values.choice("partitionMode")
    starting = (values.text("startingCursor") or "earliest").strip()
    if starting.lower() in ("earliest", "latest"):
        starting = starting.lower()
    elif not starting.isdigit():
        raise OptionError(
            f"Option 'startingCursor' is '{starting}'.",
            remedy="It must be earliest, latest, or a database cursor (a number).",
        )
    snapshot = values.text("snapshot")
    if snapshot is not None and not snapshot.strip().isdigit():
        raise OptionError(
            f"Option 'snapshot' is '{snapshot}'.", remedy="It must be a database cursor (a number)."
        )
    connection = _connection(values)
    table = folded.get("kustotable")
    query = values.text("kustoQuery") or (quoted_name(table) if table else None)
    query = query or values.required("kustoQuery", "TableName")
    return SourceOptions(
        connection=connection,
        query=_checked_query(query),
        custom_schema=values.text("customSchema"),
        columns=values.items("kustoColumns"),
        filter=values.text("kustoFilter"),
        parameters=parameters,
        properties=dict(properties.options),
        snapshot=folded.get(SNAPSHOT_KEY) if snapshot is None else snapshot.strip(),
        given_snapshot=None if snapshot is None else snapshot.strip(),
        read_mode=None if mode is None else ReadMode(mode),
        # An export that is read again serves any filter only if none is pushed into it.
        push_down=values.flag("queryFilterPushDown", default=not cached),
        transient_cache=cached,
        staging=_staging(values),
        application=folded.get(APPLICATION_KEY),
        export_options=values.mapping("kustoExportOptionsJson"),
        partitions=partitions,
        partition_column=column,
        partition_bytes=values.number("partitionBytes") or 64 * 1024 * 1024,
        expiry=values.seconds("readExpiry", timedelta(hours=4)),
        timeout=values.seconds("timeoutLimit", timedelta(days=2)),
        request_id=values.text("requestId"),
        starting_cursor=starting,
        max_rows=values.number("maxRowsPerTrigger"),
        max_bytes=values.number("maxBytesPerTrigger"),
        pushed=folded.get(PUSHDOWN_KEY),
        parallelism=None if parallelism is None else int(parallelism),
    )


def _ingestion(values: _Values) -> SparkIngestionProperties:
    text = values.text("sparkIngestionPropertiesJson")
    given = SparkIngestionProperties() if text is None else SparkIngestionProperties.from_json(text)

    def either(name: str, value: Any) -> Any:
        return getattr(given, name) if value is None else value

    creation = values.text("creationTime")
    errors = values.number("maximumErrorsAllowed")
    flush = values.text("flushImmediately")
    mapping = values.text("csvMapping")
    if mapping is not None:
        try:
            json.loads(mapping)
        except ValueError as error:
            raise OptionError(f"Option 'csvMapping' is not JSON: {error}.") from None
    return SparkIngestionProperties(
        flushImmediately=either(
            "flushImmediately", None if flush is None else values.flag("flushImmediately")
        ),
        dropByTags=either("dropByTags", values.items("dropByTags")),
        ingestByTags=either("ingestByTags", values.items("ingestByTags")),
        additionalTags=either("additionalTags", values.items("additionalTags")),
        ingestIfNotExists=either("ingestIfNotExists", values.items("ingestIfNotExists")),
        creationTime=either("creationTime", creation),
        csvMapping=either("csvMapping", mapping),
        csvMappingNameReference=either("csvMappingNameReference", values.text("csvMappingNameReference")),
        maximumErrorsAllowed=either("maximumErrorsAllowed", errors),
    )


def sink_options(given: Mapping[str, str], *, stream: bool = False) -> SinkOptions:
    """The options of a write, or of a stream's writes.

    Raises:
        OptionError: something is missing, misspelled, malformed, or contradicts another option.
    """
    _check_present(given)
    values = _Values(given, "sink")
    connection = _connection(values)
    table = values.required("kustoTable", "TableName")
    mode = WriteMode(values.choice("writeMode") or WriteMode.Transactional)
    adjust = SchemaAdjustmentMode(values.choice("adjustSchema") or SchemaAdjustmentMode.NoAdjustment)
    ingestion = _ingestion(values)
    mapped = ingestion.csvMapping or ingestion.csvMappingNameReference
    if mapped and adjust is SchemaAdjustmentMode.GenerateDynamicCsvMapping:
        raise OptionError(
            "adjustSchema GenerateDynamicCsvMapping and a CSV mapping contradict each other.",
            remedy="Use one of them.",
        )
    if mode is WriteMode.KustoStreaming and (
        ingestion.tags or ingestion.creationTime or ingestion.csvMapping
    ):
        raise OptionError(
            "writeMode KustoStreaming takes no tags, creationTime or csvMapping.",
            remedy="Use Transactional or Queued, or a mapping stored with the table.",
        )
    replace_tags = values.items("replaceTags") or ()
    replace_where = values.text("replaceWhere")
    if replace_tags and replace_where:
        raise OptionError("replaceTags and replaceWhere are both given.", remedy="Use one of them.")
    batch = values.number("batchId")
    writer = values.text("writerId")
    if stream and batch is not None:
        raise OptionError(
            "batchId is given for a stream, whose batches Spark numbers itself.", remedy="Leave it out."
        )
    if not stream and (batch is None) != (writer is None):
        raise OptionError(
            "writerId and batchId make a write exactly-once together; only one is given.",
            remedy="Give both.",
        )
    size = "streamingIngestSizeInMB" if mode is WriteMode.KustoStreaming else "clientBatchingLimit"
    megabytes = values.number(size)
    return SinkOptions(
        connection=connection,
        table=table,
        create=values.choice("tableCreateOptions") == SinkTableCreationMode.CreateIfNotExist,
        mode=mode,
        adjust=adjust,
        merge_schema=values.flag("mergeSchema"),
        overwrite_schema=values.flag("overwriteSchema"),
        allow_lossy=values.flag("allowLossyConversion"),
        replace_tags=replace_tags,
        replace_where=replace_where,
        ingestion=ingestion,
        writer_id=writer,
        batch_id=batch,
        staging_expiry=values.duration("stagingResourcesAutoCleanupTimeout"),
        staging=_staging(values),
        timeout=values.duration("timeoutLimit"),
        request_id=values.text("requestId"),
        file_bytes=None if megabytes is None else megabytes << 20,
        checkpoint=next((text for key, text in given.items() if key.lower() == "checkpointlocation"), None),
    )
