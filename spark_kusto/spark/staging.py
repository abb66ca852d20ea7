"""Blob staging as options name it, and secrets that stay on the driver.

Options that name storage hold keys; executors get a SAS for what they do and nothing else. Spark, though,
pickles a batch's writer once, for its tasks and for its commit. What only the commit may know is therefore
sealed: the pickle holds it enciphered, and the key is in a file that only the driver's machine has.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spark_kusto.errors import StagingError
from spark_kusto.spark.names import ReadMode

if TYPE_CHECKING:
    from spark_kusto.client import Cluster
    from spark_kusto.spark.options import Connection, SinkOptions, SourceOptions
    from spark_kusto.staging import TransientStorage

log = logging.getLogger("spark_kusto.spark")

STORAGE_OPTIONS = (
    "transientStorage",
    "kustoIngestionStorageContainer",
    "blobStorageSasUrl",
    "blobStorageConnectionString",
    "blobStorageAccountName",
    "blobStorageAccountKey",
    "blobContainer",
    "blobStorageEndpointSuffix",
)
"""Options that say where to stage."""

STAGING_OPTIONS = (
    *STORAGE_OPTIONS,
    "stagingKeep",
    "stagingSasLifetime",
    "readExpiry",
    "stagingResourcesAutoCleanupTimeout",
)
"""Options that ``open_staging`` reads."""

APPLICATION_KEY = "__kusto_application"
"""The key under which reads learn the name that this application's staging directories begin with."""


def open_staging(
    connection: Connection, given: Mapping[str, str], *, ingestion: bool = False
) -> TransientStorage | None:
    """The storage that options name; None when they name none.

    A Key Vault that the options name may hold the storage's address and key under the official names.

    Args:
        connection: whose credential opens containers that come without a key or SAS.
        given: the options of ``STAGING_OPTIONS``.
        ingestion: the storage is for a write.

    Raises:
        OptionError: an option cannot be read, or nothing says how to get into a container.
        AuthenticationError: the Key Vault cannot be read.
    """
    named = any(given.get(name) for name in STORAGE_OPTIONS)
    if not named and "keyVaultUri" in connection.settings:
        from spark_kusto.client.auth import storage_options_from_key_vault

        given = {**given, **storage_options_from_key_vault(connection.settings)}
        named = any(given.get(name) for name in STORAGE_OPTIONS)
    if not named:
        return None
    from spark_kusto.staging import TransientStorage

    credential = None
    if connection.settings:
        from spark_kusto.client.auth import credential_from_options

        credential = credential_from_options(connection.settings)
    storage = TransientStorage.from_options(given, credential=credential, ingestion=ingestion)
    if storage is not None and given.get("stagingSasLifetime"):
        storage.grant_lifetime = storage.sas_lifetime
    return storage


# -- secrets of a writer --------------------------------------------------------------------------


@dataclass(frozen=True)
class Sealed:
    """Texts that only this machine can read, and only until they are discarded; pickles.

    Attributes:
        path: a file of random bytes, readable by its owner alone.
        host: the machine it is on.
        content: the texts, enciphered with those bytes, each of them used once.
    """

    path: str
    host: str
    content: bytes = field(repr=False)

    def open(self) -> dict[str, str]:
        """The texts.

        Raises:
            StagingError: this is another machine, or they were discarded.
        """
        try:
            with open(self.path, "rb") as file:
                pad = file.read()
        except FileNotFoundError:
            raise StagingError(
                f"The write's secrets are on the driver's machine '{self.host}' in a file that is not here "
                f"(on '{socket.gethostname()}').",
                remedy="Run the write again; the driver must keep its temporary folder while a job runs.",
                permanent=True,
            ) from None
        text = bytes(a ^ b for a, b in zip(self.content, pad, strict=True))
        found: dict[str, str] = json.loads(text)
        return found

    def discard(self) -> None:
        """Make the texts unreadable."""
        with suppress(FileNotFoundError):
            os.unlink(self.path)


def _application_folder() -> str | None:
    """The directory that Spark has for an application on the driver's machine, and removes with it."""
    from pyspark import SparkFiles

    folder = SparkFiles._root_directory
    return folder if folder and os.path.isdir(folder) else None


def seal(texts: Mapping[str, str]) -> Sealed | None:
    """Encipher texts with a one-time pad that stays on this machine; None where there are none."""
    if not texts:
        return None
    plain = json.dumps(dict(texts)).encode()
    pad = secrets.token_bytes(len(plain))
    handle, path = tempfile.mkstemp(prefix="spark-kusto-pad-", dir=_application_folder())
    with os.fdopen(handle, "wb") as file:
        file.write(pad)
    return Sealed(path, socket.gethostname(), bytes(a ^ b for a, b in zip(plain, pad, strict=True)))


def bare(options: SinkOptions) -> SinkOptions:
    """Options of a write without anything that executors need not know."""
    return replace(options, connection=replace(options.connection, settings={}), staging={})


def secrets_of(options: SinkOptions) -> dict[str, str]:
    """What ``bare`` takes away."""
    return {
        **{f"connection.{name}": text for name, text in options.connection.settings.items()},
        **{f"staging.{name}": text for name, text in options.staging.items()},
    }


def with_secrets(options: SinkOptions, texts: Mapping[str, str]) -> SinkOptions:
    """Options of a write with what ``bare`` took away."""

    def part(prefix: str) -> dict[str, str]:
        return {name[len(prefix) :]: text for name, text in texts.items() if name.startswith(prefix)}

    connection = replace(options.connection, settings=part("connection."))
    return replace(options, connection=connection, staging=part("staging."))


# -- the end of an application --------------------------------------------------------------------


class ApplicationReads:
    """What one application's reads have left in blobs and in clusters' directories; goes when it ends.

    Spark plans in processes of its own, and an action may be repeated at any time, so nothing tells when a
    read's files are needed no more, except the end of the application.
    """

    def __init__(self) -> None:
        self.purpose = f"read-{secrets.token_hex(6)}"
        self._guard = threading.Lock()
        self._places: dict[str, SourceOptions] = {}
        self._clusters: dict[tuple[str, str], Cluster] = {}

    def remember(self, options: SourceOptions, cluster: Cluster) -> None:
        """A read with these options, of this cluster, may leave something behind."""
        if options.read_mode is ReadMode.ForceSingleMode:
            return
        with self._guard:
            if not self._places and not self._clusters:
                atexit.register(self.end, leaving=True)
            self._clusters[cluster.address, options.connection.database] = cluster
            staged = any(name in options.staging for name in STORAGE_OPTIONS)
            if staged and options.staging.get("stagingKeep", "").lower() != "true":
                key = json.dumps([options.connection.database, sorted(options.staging.items())])
                self._places[key] = options

    def end(self, *, leaving: bool = False) -> None:
        """Remove what the application's reads have left; never raises.

        Args:
            leaving: the process is ending, and can start no threads.
        """
        with self._guard:
            places, self._places = list(self._places.values()), {}
            clusters, self._clusters = self._clusters, {}
        if places or clusters:
            atexit.unregister(self.end)
        for (address, database), cluster in clusters.items():
            try:
                cluster.release_reads(database, self.purpose)
            except Exception as problem:  # noqa: BLE001 - nothing may disturb the end of an application
                log.debug("Results exported in '%s' are left to their expiry: %s", address, problem)
        silent: set[str] = set()
        for options in places:
            try:
                self._clean(options, silent, 1 if leaving else 8)
            except Exception as problem:  # noqa: BLE001 - as above
                log.warning("Staged blobs of reads may be left until they expire: %s", problem)

    def _clean(self, options: SourceOptions, silent: set[str], concurrency: int) -> None:
        """Remove blobs of reads with these options; ``silent`` has the endpoints that do not answer."""
        from spark_kusto.staging import CleanupSummary, Retries, TransferSettings

        storage = open_staging(options.connection, options.staging)
        if storage is None:
            return
        # Somebody waits for this end: what is out of reach now is left to its expiry.
        quick = TransferSettings(retries=Retries(2, 0.1, 0.2), connect_seconds=3, answer_seconds=20)
        storage = replace(storage, settings=quick)
        for signer in storage.signers:
            address = signer.container.address
            if address.endpoint in silent:
                continue
            summary = CleanupSummary(f"reads of this application in '{address}'")
            prefix = address.within(storage.stem(options.connection.database, self.purpose))
            storage.clear(signer, prefix, summary, concurrency=concurrency)
            summary.log_left(log)
            if any(not refusal.permanent for refusal in summary.unseen):
                silent.add(address.endpoint)
