"""Reads of a remote cluster in parts: a query that an executor runs, or the files of an export.

An executor that runs a query gets the driver's token, and nothing that could make another one. One that reads
an exported file gets the right to read that blob, and needs no right on the cluster.
"""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from spark_kusto.client.remote.service import Service, rows_of
from spark_kusto.client.remote.texts import string_literal, with_literals
from spark_kusto.client.remote.transport import Backoff, BearerToken, Transport
from spark_kusto.client.remote.values import batches_of_rows
from spark_kusto.errors import OptionError, SchemaMismatchError, StagingError
from spark_kusto.storage import files as fs
from spark_kusto.types import Column
from spark_kusto.types.storing import to_storage

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.staging import DownloadGrant, StagedBlob, StagingDirectory, TransientStorage

log = logging.getLogger("spark_kusto.client")

__all__ = ["ExportTask", "QueryTask", "export", "service_storage"]

DEFAULT_FILE_MB = 128
"""Size of a file that an export aims at."""


@dataclass(frozen=True)
class QueryTask:
    """A query that an executor runs. Prints without its text and token.

    Attributes:
        address: of the cluster.
        database: the home database.
        text: the query.
        parameters: values for its parameters.
        properties: of the request.
        token: to sign in with, or None.
        request_id: prefix of the request's id.
    """

    address: str
    database: str
    text: str = field(repr=False)
    parameters: Mapping[str, object] = field(repr=False)
    properties: Mapping[str, object]
    token: BearerToken | None = field(repr=False, default=None)
    request_id: str | None = None
    backoff: Backoff = field(default_factory=Backoff)

    def batches(self, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        """The answer, as it arrives.

        Raises:
            AuthenticationError: the token has ended.
            SchemaMismatchError: the query gives other columns than when it was planned.
            KustoError: the query failed.
        """
        transport = Transport(
            self.address, token=self.token, request_id=self.request_id, backoff=self.backoff
        )
        tables = Service(transport).tables(
            self.database, self.text, self.parameters, self.properties, whole=False
        )
        try:
            for table in tables:
                if table.kind != "PrimaryResult":
                    continue
                given = [(column.name, column.type) for column in table.columns]
                if given != [(column.name, column.type) for column in columns]:
                    raise SchemaMismatchError(
                        f"The query gives {', '.join(map(str, table.columns))} now, and gave"
                        f" {', '.join(map(str, columns))} when it was planned.",
                        remedy="Load it again.",
                    )
                yield from batches_of_rows(table.rows, table.columns)
        finally:
            tables.close()
            transport.close()

    def is_present(self) -> bool:
        """Always True: what it asks is there when it is asked."""
        return True


@dataclass(frozen=True)
class ExportTask:
    """One file of an exported answer, and the right to read it; prints without secrets."""

    grant: DownloadGrant

    def is_present(self) -> bool:
        """Whether the file can still be read.

        Raises:
            StagingError: the blob storage does not answer.
        """
        return self.grant.is_present()

    def batches(self, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        """The file's rows.

        Raises:
            StagingError: it cannot be read, or is gone.
            SchemaMismatchError: it lacks a column.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        with tempfile.TemporaryFile(prefix="spark-kusto-") as file:
            try:
                for chunk in self.grant.chunks():
                    file.write(chunk)
            except OSError as error:
                raise fs.translate(error, "write to", tempfile.gettempdir()) from error
            file.seek(0, os.SEEK_SET)
            with pq.ParquetFile(file) as parquet:
                names = parquet.schema_arrow.names
                lacking = [column.name for column in columns if column.name not in names]
                if lacking:
                    raise SchemaMismatchError(
                        f"The exported file lacks column '{lacking[0]}'; it has {', '.join(names)}.",
                        columns=lacking,
                    )
                for batch in parquet.iter_batches(batch_size=65_536):
                    arrays = [
                        to_storage(batch.column(names.index(c.name)), c.type, name=c.name, declared=c.type)
                        for c in columns
                    ]
                    yield pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


# -- exports ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExportedFile:
    """One file of an export."""

    task: ExportTask
    rows: int
    bytes: int


def export(
    service: Service,
    database: str,
    text: str,
    parameters: Mapping[str, object] | None,
    directory: StagingDirectory,
    options: Mapping[str, Any] | None,
) -> list[ExportedFile]:
    """Have the cluster write a query's answer as Parquet, and wait for it.

    Args:
        service: the cluster.
        database: the home database.
        text: the query.
        parameters: values for its parameters.
        directory: where to.
        options: properties of ``.export``.

    Raises:
        QueryError, ServiceError: the export failed.
        StagingError: a file is not where the cluster says it is.
    """
    targets = ", ".join(f"h{string_literal(target)}" for target in directory.kusto_targets())
    compressed, properties = _export_properties(options)
    command = (
        f".export async {'compressed ' if compressed else ''}to parquet ({targets}) with ({properties})"
        f" <| {with_literals(text, parameters)}"
    )
    operation = service.run_async(database, command, step="export the query's answer")
    written = service.details(operation, database)
    if not written:
        return []
    blobs = {_plain(blob.url): blob for blob in directory.list()}
    files = []
    for row in written:
        count = int(row.get("NumRecords") or 0)
        if not count:
            continue
        blob = _found(blobs, str(row.get("Path") or ""))
        files.append(ExportedFile(ExportTask(directory.download_grant(blob)), count, blob.length))
    return files


def _plain(url: str) -> str:
    return unquote(url.partition("?")[0].partition(";")[0])


def _found(blobs: Mapping[str, StagedBlob], path: str) -> StagedBlob:
    wanted = _plain(path)
    found = blobs.get(wanted)
    if found is None:
        # The cluster may know the account by another name (a private endpoint, a Data Lake address).
        name = wanted.rpartition("/")[2]
        named = [blob for url, blob in blobs.items() if url.rpartition("/")[2] == name]
        found = named[0] if len(named) == 1 else None
    if found is None:
        raise StagingError(
            f"The cluster exported to '{wanted}', and no such blob is there.",
            remedy="Check that no lifecycle rule or clean-up removes blobs so early.",
            permanent=True,
        )
    return found


def _export_properties(options: Mapping[str, Any] | None) -> tuple[bool, str]:
    made: dict[str, str] = {
        "sizeLimit": str(DEFAULT_FILE_MB * 1024 * 1024),
        "namePrefix": '"part"',
        "compressionType": '"snappy"',
        # Milliseconds by default, which would make the two read modes differ.
        "parquetDatetimePrecision": '"microsecond"',
    }
    known = {name.lower(): name for name in made}
    compressed = True
    for name, value in (options or {}).items():
        folded = name.lower()
        if not name.replace("_", "").isalnum():
            raise OptionError(f"'{name}' is not the name of an export option.")
        if folded == "nameprefix":
            log.warning(
                "Export option 'namePrefix' has no effect: files are found by the names they are given."
            )
        elif folded == "compressed":
            compressed = str(value).lower() not in ("none", "false")
            if not compressed:
                made.pop("compressionType", None)
        elif folded == "sizelimit":
            try:
                size = int(value)
            except (TypeError, ValueError):
                size = 0
            if size <= 0:
                raise OptionError(
                    f"Export option 'sizeLimit' is '{value}'.", remedy="Give a whole number of MB."
                )
            made["sizeLimit"] = str(size * 1024 * 1024)
        else:
            made[known.get(folded, name)] = _property(value)
    return compressed, ", ".join(f"{name}={value}" for name, value in made.items())


def _property(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if isinstance(value, int | float) or text.lower() in ("true", "false") or text.isdigit():
        return text.lower()
    return string_literal(text)


def service_storage(management: Service, command: str, expiry: timedelta) -> TransientStorage | None:
    """The containers that the service lends; None where it lends none.

    Args:
        management: the data management endpoint.
        command: ``.show export containers``, or ``.get ingestion resources``.
        expiry: how long what is put there may be needed.
    """
    from spark_kusto.staging import TransientStorage, parse_container

    rows = rows_of(management.command("NetDefaultDB", command))
    urls = []
    for row in rows:
        kind = row.get("ResourceTypeName")
        if kind is not None and kind != "TempStorage":
            continue
        urls.append(str(row.get("StorageRoot") or next(iter(row.values()))))
    if not urls:
        return None
    # The service cleans up in its own containers, and its SAS need not allow others to.
    return TransientStorage([parse_container(url) for url in urls], keep=True, expiry=expiry)


def directory_in(storage: TransientStorage, database: str, purpose: str, *, lent: bool) -> StagingDirectory:
    """A new directory; without a marker in containers that the service lends."""
    if not lent:
        return storage.begin(database, purpose)
    now = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    return storage.directory(f"{storage.stem(database, purpose)}{now}-{uuid.uuid4().hex}")
