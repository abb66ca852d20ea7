"""Staging for one transaction: a directory in one or several containers, from its first blob to its last.

::

    storage = TransientStorage.from_options(options, credential=credential)
    with storage.begin("NetDefaultDB", "write") as directory:       # on the driver
        grant = directory.upload_grant()                            # picklable, goes to executors
        blobs = [grant.upload_file("part-0.parquet")]               # there
        directory.verify(blobs)                                     # on the driver again
        ...                                                         # the cluster reads them
    # left in any way, nothing of it remains
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from spark_kusto.errors import OptionError, StagingError
from spark_kusto.staging.containers import SasAccess, StorageContainer
from spark_kusto.staging.failures import guard_transport_logs, sas_expiry, sas_lacks
from spark_kusto.staging.grants import DownloadGrant, Grant, UploadGrant, blob_name
from spark_kusto.staging.removal import (
    EXPIRES,
    MARKER,
    CleanupSummary,
    Found,
    Refusal,
    expired,
    remove,
    survey,
)
from spark_kusto.staging.renewal import Renewal
from spark_kusto.staging.settings import containers_from_options
from spark_kusto.staging.signatures import Signature, Signer, open_container
from spark_kusto.staging.streams import BlobWriter
from spark_kusto.staging.transfer import BlobReader, Channel, StagedBlob, TransferSettings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

__all__ = ["StagingDirectory", "TransientStorage"]

log = logging.getLogger("spark_kusto.staging")


# Seconds between looks for expired staging in one place, and when the next one is due.
_SWEEP_INTERVAL = 600.0
_next_sweep: dict[str, float] = {}


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)


def _safe(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z_.-]", "_", text).strip(".") or "_"


@dataclass(repr=False)
class TransientStorage:
    """The containers that transactions stage in, used in turn. Lives on the driver; cannot be pickled.

    Args:
        containers: at least one.
        keep: leave staged blobs in place when a transaction ends, for those who want to look.
        expiry: how long a directory may be needed when nobody ends it; a clean-up may take it afterwards.
        grant_lifetime: of the SAS that executors get while no renewal runs; the expiry by default.
        sas_lifetime: of the SAS that executors get while a renewal runs on the driver (at least a minute).
        settings: of transfers.
    """

    containers: Sequence[StorageContainer]
    keep: bool = False
    expiry: timedelta = timedelta(hours=4)
    grant_lifetime: timedelta | None = None
    sas_lifetime: timedelta = timedelta(hours=1)
    settings: TransferSettings = field(default_factory=TransferSettings)

    def __post_init__(self) -> None:
        if not self.containers:
            raise OptionError("Transient storage needs at least one container.")
        if self.expiry <= timedelta(0) or self.sas_lifetime <= timedelta(0):
            raise OptionError("The expiry of staged blobs and the lifetime of SAS must be above zero.")
        self.signers = tuple(Signer(container, self.settings) for container in self.containers)
        guard_transport_logs()

    def __repr__(self) -> str:
        return f"TransientStorage({', '.join(str(container.address) for container in self.containers)})"

    def __reduce__(self) -> NoReturn:
        raise StagingError(
            "Transient storage holds its containers' secrets; it stays on the driver and is not pickled.",
            remedy="Hand executors a grant: StagingDirectory.upload_grant() or download_grant().",
        )

    @classmethod
    def from_options(
        cls,
        options: Mapping[str, str],
        *,
        credential: TokenCredential | None = None,
        ingestion: bool = False,
        settings: TransferSettings | None = None,
    ) -> TransientStorage | None:
        """The storage that options name, or None when they name none.

        Args:
            options: those of ``settings.containers_from_options``; ``stagingKeep`` (true or false);
                ``stagingSasLifetime`` (seconds); and how long staged blobs may be needed, in seconds:
                ``readExpiry`` for reads, ``stagingResourcesAutoCleanupTimeout`` for writes.
            credential: an Entra credential, for containers without a key or SAS.
            ingestion: for a write, where ``kustoIngestionStorageContainer`` goes before ``transientStorage``.
            settings: of transfers.

        Raises:
            OptionError: an option cannot be read.
        """
        containers = containers_from_options(options, credential=credential, ingestion=ingestion)
        if not containers:
            return None
        given = {name.casefold(): value.strip() for name, value in options.items() if value is not None}
        keep = given.get("stagingkeep", "false").lower()
        if keep not in ("true", "false"):
            raise OptionError(f"Option 'stagingKeep' is '{keep}'; it takes true or false.")
        return cls(
            containers,
            keep=keep == "true",
            expiry=_seconds(given, "stagingResourcesAutoCleanupTimeout", timedelta(days=7))
            if ingestion
            else _seconds(given, "readExpiry", cls.expiry),
            # A write that died is swept late, but nobody needs to write for as long.
            grant_lifetime=timedelta(hours=24) if ingestion else None,
            sas_lifetime=_seconds(given, "stagingSasLifetime", cls.sas_lifetime),
            settings=settings or TransferSettings(),
        )

    def begin(self, database: str, operation: str) -> StagingDirectory:
        """Start a transaction: a new directory, ``<database>/<operation>-<id>``, marked as ours in every
        container.

        Args:
            database: goes into the name.
            operation: goes into the name; ``read``, ``write``, ``export`` ...

        Raises:
            StagingError: a container cannot be written to; nothing is left of the directory then.
        """
        self._sweep_now_and_then(_safe(database))
        name = f"{self.stem(database, operation)}{_now():%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex}"
        directory = StagingDirectory(self, name, _now() + self.expiry)
        try:
            directory.mark()
        except StagingError:
            directory.delete(quietly=True)
            raise
        log.info("Staging in directory '%s' of %s.", name, ", ".join(str(c.address) for c in self.containers))
        self._warn_of_given_sas(directory.expires)
        return directory

    def _sweep_now_and_then(self, database: str) -> None:
        """Remove what reads left whose expiry has passed: nothing tells when a read is over."""
        for signer in self.signers:
            place = f"{signer.container.address}/{database}"
            if self.keep or time.monotonic() < _next_sweep.get(place, 0.0):
                continue
            _next_sweep[place] = time.monotonic() + _SWEEP_INTERVAL
            try:
                with self.open_channel(signer) as channel:
                    prefix = signer.container.address.within(f"{database}/")
                    found = expired(survey(channel, prefix), _now())
                    swept = remove(channel, found, place=place)
            except StagingError as problem:
                log.debug("Expired staging in '%s' was not swept: %s", place, problem)
                continue
            if swept.deleted:
                log.info("Swept expired staging: %s", swept)

    @staticmethod
    def stem(database: str, operation: str) -> str:
        """What the names of directories begin with that were begun for a database and operation."""
        return f"{_safe(database)}/{_safe(operation)}-"

    def delete_all(self, database: str, operation: str) -> CleanupSummary:
        """Remove every directory that was begun for a database and operation of these names.

        Does not raise: what could not be removed is in the summary, and in the log as a warning.

        Args:
            database: as it was given to ``begin``.
            operation: the same.
        """
        stem = self.stem(database, operation)
        summary = CleanupSummary(f"staging directories '{stem}*'")
        for signer in self.signers:
            self.clear(signer, signer.container.address.within(stem), summary)
        summary.log_left(log)
        return summary

    def clear(self, signer: Signer, prefix: str, summary: CleanupSummary, *, concurrency: int = 8) -> None:
        """Remove all blobs of a container whose names begin with a prefix, and note what came of it.

        Args:
            signer: of the container.
            prefix: what full names begin with.
            summary: takes the notes.
            concurrency: requests at a time; with one no thread is started.
        """
        found: list[Found] = []
        try:
            with self.open_channel(signer) as channel:
                found = survey(channel, prefix)
                if prefix.endswith("/"):
                    # A hierarchical namespace has an entry that stands for the directory itself.
                    own = survey(channel, prefix[:-1])
                    found += [entry for entry in own if entry.folder and f"{entry.name}/" == prefix]
                summary += remove(channel, found, place=summary.place, concurrency=concurrency)
        except StagingError as problem:
            if found:
                summary.refused += [Refusal(blob.name, problem.message) for blob in found]
            else:
                summary.not_listed(prefix, problem)

    def directory(self, name: str) -> StagingDirectory:
        """A directory begun elsewhere (another process of the driver), by its name."""
        if not name or name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
            raise StagingError(f"'{name}' is not the name of a staging directory.")
        return StagingDirectory(self, name, _now() + self.expiry)

    def open_channel(self, signer: Signer) -> Channel:
        """A connection to one of the containers with all the rights that were given."""
        container = signer.container
        sas = container.access.token if isinstance(container.access, SasAccess) else None
        client = open_container(container, self.settings)
        return Channel(client, container.address, self.settings, sas, container.access.kind)

    def _warn_of_given_sas(self, needed_until: datetime) -> None:
        for signer in self.signers:
            access = signer.container.access
            if not isinstance(access, SasAccess):
                continue
            lacking = sas_lacks(access.token, "dl")
            if lacking and not self.keep:
                log.warning(
                    "The SAS for container '%s' lacks the permission to %s: staged blobs will have to be "
                    "removed by a lifecycle rule or by hand.",
                    signer.container.address.url,
                    lacking,
                )
            expires = sas_expiry(access.token)
            if expires is not None and expires < needed_until:
                log.warning(
                    "The SAS for container '%s' ends at %s: a job that takes longer fails.",
                    signer.container.address.url,
                    f"{expires:%Y-%m-%d %H:%M:%SZ}",
                )


def _seconds(given: Mapping[str, str], option: str, default: timedelta) -> timedelta:
    text = given.get(option.casefold())
    if text is None:
        return default
    try:
        return timedelta(seconds=int(text))
    except (ValueError, OverflowError):
        raise OptionError(f"Option '{option}' is '{text}'; it takes a number of seconds.") from None


class StagingDirectory:
    """One transaction's directory, under the same name in each of the storage's containers. Lives on the
    driver.

    As a context manager it is deleted on leaving, however that happens.

    Attributes:
        name: ``<database>/<operation>-<id>``.
        expires: when a clean-up may take it if nobody ends it.
    """

    def __init__(self, storage: TransientStorage, name: str, expires: datetime) -> None:
        self.storage = storage
        self.name = name
        self.expires = expires
        self._turns = itertools.cycle(storage.signers)
        self._renewal: Renewal | None = None

    def __repr__(self) -> str:
        return f"StagingDirectory({self.name!r}, {self.storage!r})"

    def __reduce__(self) -> NoReturn:
        raise StagingError(
            f"Staging directory '{self.name}' holds the secrets of its containers and is not pickled.",
            remedy="Send its name, and reopen it on the driver with TransientStorage.directory(name).",
        )

    def __enter__(self) -> StagingDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()

    def mark(self) -> None:
        """Write the marker that says whose directory this is and when it expires, in every container."""
        body = json.dumps(
            {"directory": self.name, "expires": self.expires.isoformat(), "by": "spark-kusto"}
        ).encode()
        metadata = self._metadata()
        for signer in self.storage.signers:
            with self.storage.open_channel(signer) as channel:
                channel.put_small(self._within(signer, MARKER), body, metadata, overwrite=True)

    def _metadata(self) -> dict[str, str]:
        # On every blob: a task that outlives the transaction writes into a directory without a marker.
        return {EXPIRES: self.expires.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _within(self, signer: Signer, name: str) -> str:
        return signer.container.address.within(f"{self.name}/{name}")

    def _signer(self, blob: StagedBlob) -> Signer:
        for signer in self.storage.signers:
            if signer.container.address == blob.address:
                break
        else:
            raise StagingError(f"Blob '{blob.url}' is in none of the containers of {self.storage!r}.")
        if not blob.name.startswith(self._within(signer, "")):
            raise StagingError(f"Blob '{blob.url}' is not in staging directory '{self.name}'.")
        return signer

    # -- executors' rights ------------------------------------------------------------------------

    def renew_grants(self) -> None:
        """Renew, from a thread of this process, what grants made from now on hold; until ``delete`` or
        ``release``.

        Without it a grant lasts as long as the directory's expiry; with it SAS are made for ``sas_lifetime``
        only, and a job may take up to six days.
        """
        if self._renewal is None:
            self._renewal = Renewal(
                self.name, self.storage.sas_lifetime, self.storage.open_channel, self._extend
            )

    def _extend(self) -> None:
        self.expires = _now() + self.storage.expiry
        self.mark()

    def release(self) -> None:
        """End the renewal of grants, and leave the blobs to their expiry."""
        if self._renewal is not None:
            self._renewal.stop()
            self._renewal = None

    def _lifetime(self) -> timedelta:
        left = max(self.expires - _now(), timedelta(minutes=1))
        longest = self.storage.grant_lifetime
        return left if longest is None else min(left, longest)

    def _grant(self, signer: Signer, entry: str, sign: Callable[[timedelta], Signature]) -> Grant:
        address = signer.container.address
        renewal = self._renewal if signer.renewable else None
        if renewal is None:
            return Grant(address, sign(self._lifetime()), None, entry)
        lifetime = renewal.lifetime
        ticket = renewal.ticket(signer, {entry: lambda: sign(lifetime)})
        return Grant(address, sign(lifetime), ticket, entry)

    def upload_grant(self) -> UploadGrant:
        """The right to put new blobs into this directory, for executors: picklable, a SAS and no more."""
        grants = []
        for signer in self.storage.signers:
            path = signer.container.address.within(self.name)

            def sign(lifetime: timedelta, signer: Signer = signer, path: str = path) -> Signature:
                return signer.directory(path, "cw", lifetime)

            grants.append(self._grant(signer, "*", sign))
        return UploadGrant(self.name, tuple(grants), self._metadata(), self.storage.settings)

    def download_grant(self, blob: StagedBlob) -> DownloadGrant:
        """The right to read one blob of this directory, for an executor: picklable, its SAS and no more."""
        signer = self._signer(blob)
        grant = self._grant(signer, blob.name, lambda lifetime: signer.blob(blob.name, "r", lifetime))
        return DownloadGrant(blob, grant, self.storage.settings)

    # -- the driver's own work --------------------------------------------------------------------

    def writer(self, name: str | None = None) -> BlobWriter:
        """A new blob as a file to write, with the driver's rights; close it after use, finished or not.

        Raises:
            StagingError: writing and finishing raise it; no part of the blob is visible then.
        """
        signer = next(self._turns)
        full = signer.container.address.within(blob_name(self.name, name))
        return self.storage.open_channel(signer).writer(full, self._metadata(), owned=True)

    def upload_stream(self, stream: IO[bytes], name: str | None = None) -> StagedBlob:
        """Upload a binary stream as one new blob, with the driver's rights.

        Raises:
            StagingError: it could not be uploaded; no part of it is visible then.
        """
        signer = next(self._turns)
        full = signer.container.address.within(blob_name(self.name, name))
        with self.storage.open_channel(signer) as channel:
            return channel.upload(full, stream, self._metadata())

    def upload_file(self, path: str | os.PathLike[str], name: str | None = None) -> StagedBlob:
        """Upload a file as one new blob, with the driver's rights.

        Raises:
            StagingError: it could not be uploaded; no part of it is visible then.
        """
        with Path(path).open("rb") as stream:
            return self.upload_stream(stream, name or Path(path).name)

    def chunks(self, blob: StagedBlob) -> Iterator[bytes]:
        """A blob's content in order, with the driver's rights; see ``DownloadGrant.chunks``."""
        with self.storage.open_channel(self._signer(blob)) as channel:
            yield from channel.chunks(blob)

    def download(self, blob: StagedBlob, path: str | os.PathLike[str]) -> Path:
        """Download a blob into a file, which appears only when complete and checked."""
        with self.storage.open_channel(self._signer(blob)) as channel:
            return channel.download(blob, path)

    def open(self, blob: StagedBlob) -> BlobReader:
        """Open a blob as a seekable binary file; close it after use."""
        return BlobReader(self.storage.open_channel(self._signer(blob)), blob)

    def list(self) -> list[StagedBlob]:
        """The blobs staged so far, also those that a cluster exported; markers are left out.

        Raises:
            StagingError: the listing failed.
        """
        blobs = []
        for signer in self.storage.signers:
            with self.storage.open_channel(signer) as channel:
                blobs += [
                    _staged(signer, found)
                    for found in survey(channel, self._within(signer, ""))
                    if _is_data(found)
                ]
        return blobs

    def verify(self, blobs: Iterable[StagedBlob]) -> None:
        """Check that every blob is there with its length, before a cluster is told to take them.

        Raises:
            StagingError: one is missing or differs.
        """
        present = {(blob.address, blob.name): blob.length for blob in self.list()}
        for blob in blobs:
            length = present.get((blob.address, blob.name))
            if length != blob.length:
                state = (
                    "is not there"
                    if length is None
                    else f"has {length} bytes where {blob.length} were uploaded"
                )
                raise StagingError(
                    f"Staged blob '{blob.url}' {state}.", remedy="Run the write again.", permanent=True
                )

    def kusto_targets(self) -> tuple[str, ...]:
        """The directory as targets of Kusto's ``.export``, secrets included: for ``h"..."`` strings only.

        The account's key is not given away: the cluster gets a SAS to create, write, read and list.
        """
        targets = []
        for signer in self.storage.signers:
            path = signer.container.address.within(self.name)
            sas = lambda life, signer=signer, path=path: signer.directory(path, "rcwl", life)  # noqa: E731
            targets.append(self._for_cluster(signer, path, sas))
        return tuple(targets)

    def kusto_source(self, blob: StagedBlob) -> str:
        """A blob as a source of Kusto's ``.ingest``, secret included: for ``h"..."`` strings only."""
        signer = self._signer(blob)
        return self._for_cluster(signer, blob.name, lambda life: signer.blob(blob.name, "r", life))

    def _for_cluster(self, signer: Signer, path: str, sign: Callable[[timedelta], Signature]) -> str:
        container = signer.container
        if container.impersonate or container.managed_identity is not None:
            exact = replace(container, address=replace(container.address, directory=""))
            return exact.kusto_connection_string(path)
        signature = sign(self._lifetime())
        return f"{container.address.blob_url(path)}?{signature.token}"

    # -- the end ----------------------------------------------------------------------------------

    def delete(self, *, quietly: bool = False) -> CleanupSummary:
        """End the transaction: remove the directory with all that is in it, also what lost tasks left.

        Does not raise: by now the data is committed or the reason for the failure is under way. What could
        not be removed is in the summary, in the log as a warning, and still marked for a later clean-up.

        Args:
            quietly: log nothing (what is there may never have been begun).
        """
        self.release()
        summary = CleanupSummary(f"staging directory '{self.name}'")
        if self.storage.keep:
            log.info("Staging directory '%s' is left in place, as option 'stagingKeep' asks.", self.name)
            return summary
        for signer in self.storage.signers:
            prefix = self._within(signer, "")
            self.storage.clear(signer, prefix, summary)
        if not quietly:
            summary.log_left(log)
        return summary


def _is_data(found: Found) -> bool:
    return found.committed and not found.folder and not found.name.rpartition("/")[2].startswith("_")


def _staged(signer: Signer, found: Found) -> StagedBlob:
    sha256 = found.metadata.get("sparkkusto_sha256")
    return StagedBlob(signer.container.address, found.name, found.size, sha256, found.etag)
