"""A remote cluster behind the same interface as an embedded one."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from spark_kusto.client.cluster import (
    DEFAULT_TARGET_BYTES,
    ArrowShape,
    ScanMode,
    ScanPlan,
    ScanStatistics,
    ScanTask,
    StreamPosition,
    check_text,
)
from spark_kusto.client.remote import positions
from spark_kusto.client.remote.ingesting import RemoteIngesting
from spark_kusto.client.remote.reads import ExportedFile, QueryTask, directory_in, export, service_storage
from spark_kusto.client.remote.service import Service, rows_of
from spark_kusto.client.remote.texts import appendable, name_literal, require_table, table_query
from spark_kusto.client.remote.transport import Backoff, Transport, is_loopback
from spark_kusto.client.result import Result
from spark_kusto.errors import (
    KustoError,
    QueryError,
    QueryTimeoutError,
    StagingError,
    UnsupportedError,
    redact,
)
from spark_kusto.types import Column

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from spark_kusto.staging import TransientStorage

log = logging.getLogger("spark_kusto.client")

AUTOMATIC_ROWS = 500_000
"""Rows up to which a query's answer is read without an export: what the service itself gives at once."""

AUTOMATIC_BYTES = 64 * 1024 * 1024
"""The same in bytes."""

_REMEMBERED_SECONDS = 10.0
"""How long a table's size is taken for known: Spark's optimizer asks again and again."""

_ESTIMATE_SECONDS = 30
_EXPIRY = timedelta(hours=4)


def ingestion_address(address: str) -> str:
    """The data management endpoint: ``ingest-`` before the cluster's host.

    A server on this machine, or one without encryption (the emulator), has one endpoint for all.
    """
    if is_loopback(address) or address.lower().startswith("http:"):
        return address
    parts = urlsplit(address)
    if parts.netloc.lower().startswith("ingest-"):
        return address
    return urlunsplit((parts.scheme, f"ingest-{parts.netloc}", parts.path, "", ""))


def engine_address(address: str) -> str:
    """The cluster's own endpoint, also where its data management's was given."""
    parts = urlsplit(address)
    host = parts.netloc
    if host.lower().startswith("ingest-"):
        host = host[len("ingest-") :]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


class RemoteCluster(RemoteIngesting):
    """A cluster that is reached over HTTP.

    Args:
        address: its URL.
        credential: an azure-identity credential; None signs in to nothing (a server on this machine).
        ingestion_uri: the data management endpoint, where it is not ``ingest-`` before the host.
        timeout: how long exports and ingestions are waited for.
        request_id: prefix of the ids of requests.
        backoff: how often requests are tried again.
    """

    has_snapshots = False

    def __init__(
        self,
        address: str,
        credential: TokenCredential | None = None,
        *,
        ingestion_uri: str | None = None,
        timeout: timedelta = timedelta(days=2),
        request_id: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.address = engine_address(address)
        self._credential = credential
        self._request_id = request_id
        self._backoff = backoff or Backoff()
        management = (ingestion_uri or ingestion_address(self.address)).rstrip("/")

        def service(url: str) -> Service:
            return Service(
                Transport(url, credential=credential, request_id=request_id, backoff=self._backoff), timeout
            )

        self.service = service(self.address)
        self.management = self.service if management == self.address else service(management)
        self._lent: dict[str, TransientStorage | None] = {}
        self._sizes: dict[tuple[str, str], tuple[float, ScanStatistics]] = {}
        self._begin_writes()

    # -- asking

    def query(
        self,
        database: str,
        kql: str,
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> Result:
        """Run a KQL query; see :meth:`Cluster.query`."""
        check_text("query", kql)
        return self.service.query(database, kql, parameters, properties)

    def execute(self, database: str, command: str, properties: Mapping[str, object] | None = None) -> Result:
        """Run a management command; see :meth:`Cluster.execute`."""
        check_text("command", command)
        return self.service.execute(database, command, properties)

    def explain(self, database: str, kql: str) -> str:
        """Refused: the service's plan is another one.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            f"{self.address} is a remote cluster, whose plans are its own.",
            feature="explain",
            remedy="Ask it with execute(database, '.show queryplan <| QUERY').",
        )

    def schema(
        self, database: str, kql: str, parameters: Mapping[str, object] | None = None
    ) -> tuple[Column, ...]:
        """The columns of a query's answer, asked for without rows."""
        check_text("query", kql)
        return self.service.columns(database, f"{appendable(kql)}\n| take 0", parameters)

    def statistics(self, database: str, kql: str) -> ScanStatistics:
        """Rows and bytes of the table that the query reads; None for other queries than over one table."""
        check_text("query", kql)
        found = table_query(kql)
        if found is None or not found.is_bounded:
            return ScanStatistics(None, None)
        key = (database, found.table)
        since, known = self._sizes.get(key, (0.0, None))
        if known is not None and time.monotonic() - since < _REMEMBERED_SECONDS:
            return known
        try:
            rows = rows_of(self.service.command(database, f".show table {name_literal(found.table)} details"))
        except KustoError as error:
            # A function, a view, or no right to see it: nothing that a size is worth failing for.
            log.debug("no details of '%s': %s", found.table, error)
            rows = []
        row = rows[0] if rows else {}
        size = ScanStatistics(_number(row.get("TotalRowCount")), _number(row.get("TotalExtentSize")))
        self._sizes[key] = (time.monotonic(), size)
        return size

    def cursor(self, database: str) -> str:
        """The database cursor."""
        return positions.current(self.service, database)

    # -- reading in parallel

    def plan_scan(
        self,
        database: str,
        kql: str,
        *,
        parallelism: int = 1,
        target_bytes: int = DEFAULT_TARGET_BYTES,
        snapshot: str | None = None,
        after: str | None = None,
        shape: ArrowShape = "kusto",
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
        mode: ScanMode = "auto",
        export: bool = True,
        expiry: timedelta | None = None,
        export_options: Mapping[str, object] | None = None,
        staging: TransientStorage | None = None,
        purpose: str = "read",
        listed: bool = True,
    ) -> ScanPlan:
        """Cut a query into tasks; see :meth:`Cluster.plan_scan`.

        There are no snapshots of the past: ``snapshot`` and ``after`` bound the rows of one table by when
        they were ingested, and without them every task reads what is there when it runs.
        """
        check_text("query", kql)
        text = appendable(kql)
        if after or snapshot:
            bounded = require_table(text, "A read bounded by cursors", row_wise=bool(after))
            positions.require_ingestion_time(self.service, database, bounded.table)
            text = bounded.between(positions.text_of(after), positions.text_of(snapshot))
        columns = self.schema(database, text, parameters)
        if export and mode != "single":
            begun = datetime.now(timezone.utc)
            files = self._exported(
                database,
                text,
                parameters,
                mode=mode,
                expiry=expiry or _EXPIRY,
                options=export_options,
                staging=staging,
                purpose=purpose,
            )
            if files is not None:
                tasks = tuple(
                    ScanTask(self.address, database, columns, file.task, shape, file.rows, file.bytes)
                    for file in files
                )
                rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
                ends = [file.task.grant.expires for file in files if file.task.grant.expires is not None]
                return ScanPlan(
                    tasks,
                    columns,
                    snapshot or "",
                    rows=rows,
                    bytes=size,
                    exact=True,
                    expires=min([begun + (expiry or _EXPIRY), *ends]),
                )
        payload = QueryTask(
            self.address,
            database,
            text,
            dict(parameters or {}),
            _scan_properties(properties),
            self.service.transport.bearer(),
            self._request_id,
            self._backoff,
        )
        task = ScanTask(self.address, database, columns, payload, shape)
        return ScanPlan((task,), columns, snapshot or "")

    def _exported(
        self,
        database: str,
        text: str,
        parameters: Mapping[str, object] | None,
        *,
        mode: ScanMode,
        expiry: timedelta,
        options: Mapping[str, object] | None,
        staging: TransientStorage | None,
        purpose: str,
    ) -> list[ExportedFile] | None:
        """The files of an exported answer; None where it is to be read as a whole."""
        if mode == "auto" and not self._is_large(database, text, parameters):
            return None
        storage = staging
        if storage is None:
            storage = self._lent_storage(".show export containers", expiry, needed=mode == "distributed")
        if storage is None:
            return None
        directory = directory_in(storage, database, purpose, lent=staging is None)
        try:
            return export(self.service, database, text, parameters, directory, options)
        except BaseException as error:
            directory.delete()
            if mode == "auto" and isinstance(error, KustoError):
                log.warning("The answer is read by one task, because it could not be exported: %s", error)
                return None
            raise

    def _is_large(self, database: str, text: str, parameters: Mapping[str, object] | None) -> bool:
        """Whether an answer is more than the service gives at once; also where that takes long to tell."""
        counted = f"{text}\n| summarize rows = count(), size = sum(estimate_data_size(*))"
        try:
            rows = self.service.rows(
                database, counted, parameters, {"servertimeout": timedelta(seconds=_ESTIMATE_SECONDS)}
            )
        except (QueryTimeoutError, QueryError) as error:
            log.info("The size of an answer is not known: %s", error)
            return True
        count, size = rows[0]
        log.debug("about %s rows, %s bytes: %s", count, size, redact(text))
        return (count or 0) > AUTOMATIC_ROWS or (size or 0) > AUTOMATIC_BYTES

    def _lent_storage(self, command: str, expiry: timedelta, *, needed: bool) -> TransientStorage | None:
        reason: KustoError | None = None
        if command not in self._lent:
            try:
                self._lent[command] = service_storage(self.management, command, expiry)
            except KustoError as error:
                if not error.permanent:
                    raise
                self._lent[command], reason = None, error
                if not needed:
                    log.info("The service lends no storage: %s", error)
        found = self._lent[command]
        if found is None and needed:
            raise StagingError(
                f"'{self.management.transport.address}' lends no storage ('{command}')"
                + (f": {reason.message}" if reason is not None else "."),
                remedy="Name your own with transientStorage (docs/staging.md).",
                permanent=True,
            )
        return found

    def advance(
        self,
        database: str,
        kql: str,
        after: str,
        *,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> StreamPosition:
        """Where the batch of a stream ends; see :meth:`Cluster.advance`."""
        table = require_table(kql, "A stream")
        return positions.advance(
            self.service, database, table.table, after, max_rows=max_rows, max_bytes=max_bytes
        )

    # -- the rest

    def maintain(self) -> Mapping[str, int]:
        """Nothing: the service maintains itself."""
        return {}

    def close(self) -> None:
        """Close connections."""
        self._end_writes()
        self.service.transport.close()
        self.management.transport.close()

    def __reduce__(self) -> Any:
        raise UnsupportedError(
            f"{self!r} holds a credential and is not pickled.",
            feature="pickling a remote cluster",
            remedy="Connect in the other process.",
        )


def _scan_properties(properties: Mapping[str, object] | None) -> dict[str, object]:
    """Properties of a query that is read to its end: no limits but those that were asked for."""
    given = {name.lower(): value for name, value in (properties or {}).items()}
    made: dict[str, object] = {"notruncation": True, **given, "results_progressive_enabled": False}
    if "servertimeout" not in given:
        made.setdefault("norequesttimeout", True)
    return made


def _number(value: Any) -> int | None:
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        return None
