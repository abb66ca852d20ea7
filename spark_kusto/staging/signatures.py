"""Making shared access signatures: as narrow and as short-lived as the job allows.

A read gets one blob's SAS, to read. A write gets one directory's SAS, to create and write, where the account
has a hierarchical namespace, and the container's elsewhere (flat accounts know no narrower scope for names
not known yet). A SAS that the user gave cannot be narrowed; it is handed on as it is.

Source: the Azure Storage documentation, "Create a service SAS", "Create a user delegation SAS".
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import StagingError
from spark_kusto.staging.azure_extra import require
from spark_kusto.staging.containers import (
    AccountKeyAccess,
    ContainerAddress,
    EntraAccess,
    SasAccess,
    StorageContainer,
)
from spark_kusto.staging.failures import Attempt, sas_expiry
from spark_kusto.staging.transfer import TransferSettings

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient, ContainerClient, UserDelegationKey

__all__ = ["Signature", "Signer", "open_container", "open_container_by_sas"]

log = logging.getLogger("spark_kusto.staging")

# The service gives out user delegation keys for at most seven days.
_LONGEST_DELEGATION = timedelta(days=7) - timedelta(minutes=10)
# ... and OneLake for an hour.
_LONGEST_IN_ONELAKE = timedelta(minutes=59)
# Clocks differ; keys begin a little in the past.
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, repr=False)
class Signature:
    """A SAS token, when it ends, and how long it was made for (None for a SAS that the user gave)."""

    token: str
    expires: datetime | None
    lifetime: timedelta | None = None

    def __repr__(self) -> str:
        return f"Signature(expires={self.expires})"


def _client_settings(settings: TransferSettings) -> dict[str, Any]:
    """Settings of Azure's clients: one request per block, retries left to us, large reads from the socket."""
    return {
        "retry_total": 0,
        "max_single_put_size": settings.block_size,
        "max_block_size": settings.block_size,
        "max_single_get_size": settings.block_size,
        "max_chunk_get_size": settings.block_size,
        "transport": require("spark_kusto.staging.transport", "stage data in blobs").LeanTransport(
            connection_data_block_size=256 * 1024,
            connection_timeout=settings.connect_seconds,
            read_timeout=settings.answer_seconds,
        ),
        "user_agent": "spark-kusto",
    }


def open_container_by_sas(address: ContainerAddress, sas: str, settings: TransferSettings) -> ContainerClient:
    """A client of one container that can do what the SAS allows, and no more."""
    blob = require("azure.storage.blob", "stage data in blobs")
    client: ContainerClient = blob.ContainerClient(
        address.endpoint, address.container, credential=_sas_credential(sas), **_client_settings(settings)
    )
    return client


def _sas_credential(token: str) -> Any:
    # As a credential object, and not as part of the URL: then it is in no attribute that gets printed.
    return require("azure.core.credentials", "stage data in blobs").AzureSasCredential(token)


def _credential(container: StorageContainer) -> Any:
    access = container.access
    if isinstance(access, AccountKeyAccess):
        return {"account_name": container.address.account, "account_key": access.key}
    if isinstance(access, SasAccess):
        return _sas_credential(access.token)
    return access.credential


def open_container(container: StorageContainer, settings: TransferSettings) -> ContainerClient:
    """A client of one container with all the rights that were given for it (on the driver)."""
    blob = require("azure.storage.blob", "stage data in blobs")
    client: ContainerClient = blob.ContainerClient(
        container.address.endpoint,
        container.address.container,
        credential=_credential(container),
        **_client_settings(settings),
    )
    return client


@dataclass
class Signer:
    """Makes SAS for one container. Lives on the driver; keeps the account's user delegation key while it
    lasts.

    Args:
        container: the container and the right it came with.
        settings: of the requests that signing may need.
    """

    container: StorageContainer
    settings: TransferSettings = field(default_factory=TransferSettings)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _delegation: UserDelegationKey | None = field(default=None, repr=False)
    _delegation_ends: datetime | None = field(default=None, repr=False)
    _hierarchical: bool | None = None

    @property
    def renewable(self) -> bool:
        """Whether SAS are made here (from a key or credential) rather than given by the user."""
        return not isinstance(self.container.access, SasAccess)

    @property
    def hierarchical(self) -> bool:
        """Whether the account has directories that can be granted one by one (asked once, when not said)."""
        if self._hierarchical is None:
            known = self.container.hierarchical
            self._hierarchical = self._ask_hierarchical() if known is None else known
        return self._hierarchical

    def _ask_hierarchical(self) -> bool:
        if not self.renewable:
            return False
        address = self.container.address
        attempt = Attempt("ask for the account's kind", address, access=self.container.access.kind)
        try:
            with open_container(self.container, self.settings) as client:
                information = self.settings.retries.run(attempt, client.get_account_information)
        except StagingError as problem:
            # Not everyone may ask; the wider scope is right for every account.
            log.debug("%s Taken as an account without directories.", problem)
            return False
        return bool(information.get("is_hns_enabled", False))

    def blob(self, name: str, permissions: str, lifetime: timedelta) -> Signature:
        """A SAS for one blob, by its full name in the container."""
        return self._sign(permissions, lifetime, blob_name=name)

    def directory(self, path: str, permissions: str, lifetime: timedelta) -> Signature:
        """A SAS for a directory; for the whole container where directories cannot be granted."""
        if self.renewable and self.hierarchical:
            return self._sign(permissions, lifetime, blob_name=path, depth=path.count("/") + 1)
        return self._sign(permissions, lifetime)

    def _sign(
        self, permissions: str, lifetime: timedelta, *, blob_name: str | None = None, depth: int | None = None
    ) -> Signature:
        access = self.container.access
        address = self.container.address
        if isinstance(access, SasAccess):
            return Signature(access.token, sas_expiry(access.token))
        blob = require("azure.storage.blob", "make a SAS")
        now = datetime.now(timezone.utc).replace(microsecond=0)
        expires = now + lifetime
        arguments: dict[str, Any] = {
            "account_name": address.account,
            "container_name": address.container,
            "permission": permissions,
            "expiry": expires,
            "protocol": "https" if address.secure else None,
        }
        if isinstance(access, EntraAccess):
            key, ends = self._delegation_key(expires)
            expires = min(expires, ends)
            arguments |= {"user_delegation_key": key, "expiry": expires, "start": now - _SKEW}
        else:
            arguments["account_key"] = access.key
        if blob_name is None:
            return Signature(str(blob.generate_container_sas(**arguments)), expires, lifetime)
        if depth is not None:
            # Azure's Data Lake library makes directory SAS through this function with these two arguments.
            arguments |= {"is_directory": True, "sdd": depth}
        token = str(blob.generate_blob_sas(blob_name=blob_name, **arguments))
        if depth is not None and "sr=d" not in token:
            raise StagingError(
                f"Could not sign directory '{blob_name}' of container '{address.url}': this version of "
                "azure-storage-blob does not make directory SAS.",
                remedy="Install the version that the extra 'azure' names.",
            )
        return Signature(token, expires, lifetime)

    def _delegation_key(self, until: datetime) -> tuple[UserDelegationKey, datetime]:
        with self._lock:
            now = datetime.now(timezone.utc).replace(microsecond=0)
            longest = _LONGEST_IN_ONELAKE if self.container.address.onelake else _LONGEST_DELEGATION
            wanted = min(until, now + longest)
            if (
                self._delegation is not None
                and self._delegation_ends is not None
                and self._delegation_ends >= wanted
            ):
                return self._delegation, self._delegation_ends
            # A little longer than asked for, so that a job's many signatures take one request.
            ends = min(wanted + timedelta(hours=1), now + longest)
            attempt = Attempt("get a user delegation key", self.container.address, access="Entra credential")
            self._delegation = self.settings.retries.run(
                attempt, lambda: self._ask_delegation_key(now - _SKEW, ends)
            )
            self._delegation_ends = ends
            return self._delegation, ends

    def _ask_delegation_key(self, start: datetime, ends: datetime) -> UserDelegationKey:
        blob = require("azure.storage.blob", "make a SAS")
        service: BlobServiceClient = blob.BlobServiceClient(
            self.container.address.endpoint, credential=_credential(self.container), retry_total=0
        )
        with service:
            return service.get_user_delegation_key(start, ends)
