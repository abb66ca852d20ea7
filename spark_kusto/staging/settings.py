"""Reading containers from options: the official connector's JSON, older releases' options, connection
strings.

Every reader returns ``StorageContainer`` values; names in JSON are matched without regard to case.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import OptionError, nearest
from spark_kusto.staging.azure_extra import require
from spark_kusto.staging.containers import (
    DEFAULT_ENDPOINT_SUFFIX,
    Access,
    ContainerAddress,
    EntraAccess,
    StorageContainer,
    access_from,
    parse_address,
    parse_container,
)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

__all__ = [
    "INGESTION_STORAGE",
    "SINGLE_OPTIONS",
    "TRANSIENT_STORAGE",
    "containers_from_connection_string",
    "containers_from_options",
    "parse_ingestion_storage",
    "parse_transient_storage",
]

TRANSIENT_STORAGE = "transientStorage"
INGESTION_STORAGE = "kustoIngestionStorageContainer"
SINGLE_OPTIONS = (
    "blobStorageAccountName",
    "blobStorageAccountKey",
    "blobContainer",
    "blobStorageSasUrl",
    "blobStorageConnectionString",
    "blobStorageEndpointSuffix",
)

# The key may be a SAS, whichever of the two names it comes by.
_OLDER_NAMES = {
    "blobstoragesaskey": "blobstorageaccountkey",
    "blobstoragedomainpostfix": "blobstorageendpointsuffix",
}

_DEVELOPMENT_ACCOUNT = "devstoreaccount1"
# The emulators' one account; its key is printed in their documentation and is no secret.
_DEVELOPMENT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def containers_from_options(
    options: Mapping[str, str], *, credential: TokenCredential | None = None, ingestion: bool = False
) -> tuple[StorageContainer, ...]:
    """The containers that options name; none when they name none.

    Args:
        options: matched without regard to case. ``transientStorage``; for writes first
            ``kustoIngestionStorageContainer``; or one container by ``blobStorageSasUrl``,
            ``blobStorageConnectionString`` + ``blobContainer``, or ``blobStorageAccountName`` +
            ``blobContainer`` [+ ``blobStorageAccountKey``] [+ ``blobStorageEndpointSuffix``].
        credential: an Entra credential for containers that come without a key or SAS.
        ingestion: the containers are for a write.

    Raises:
        OptionError: an option cannot be read, or two of them name the storage.
    """
    given: dict[str, str] = {}
    for name, value in options.items():
        if value is not None and value.strip():
            given[_OLDER_NAMES.get(name.casefold(), name.casefold())] = value
    single = [name for name in SINGLE_OPTIONS[:-1] if name.casefold() in given]
    transient = given.get(TRANSIENT_STORAGE.casefold())
    own = given.get(INGESTION_STORAGE.casefold()) if ingestion else None
    if own is not None:
        # A job that reads and writes may carry both; the write's own storage is the more specific one.
        return parse_ingestion_storage(own, credential=credential)
    if transient is not None and single:
        raise OptionError(
            f"Both option '{TRANSIENT_STORAGE}' and option '{single[0]}' say where to stage.",
            remedy="Give one of them.",
        )
    suffix = given.get("blobstorageendpointsuffix")
    if transient is not None:
        return parse_transient_storage(transient, credential=credential, endpoint_suffix=suffix)
    if single:
        return (_from_single_options(given, credential, suffix),)
    return ()


def _from_single_options(
    given: Mapping[str, str], credential: TokenCredential | None, suffix: str | None
) -> StorageContainer:
    account, key = given.get("blobstorageaccountname"), given.get("blobstorageaccountkey")
    container, url = given.get("blobcontainer"), given.get("blobstoragesasurl")
    connection = given.get("blobstorageconnectionstring")
    ways = [
        name
        for name, value in (
            ("blobStorageSasUrl", url),
            ("blobStorageConnectionString", connection),
            ("blobStorageAccountName", account),
        )
        if value is not None
    ]
    if len(ways) > 1:
        raise OptionError(
            f"Both option '{ways[0]}' and option '{ways[1]}' name a storage account.", remedy="Give one."
        )
    if url is not None:
        return parse_container(url, container=container, credential=key or credential)
    if connection is not None:
        return containers_from_connection_string(connection, container)
    if account is None or container is None:
        lacking = "blobStorageAccountName" if account is None else "blobContainer"
        raise OptionError(
            f"The storage options lack '{lacking}'.",
            remedy="Give blobStorageSasUrl, or account name, key and container by their options.",
        )
    return _named(account, container, key or credential, suffix)


def _named(
    account: str, container: str, credential: str | TokenCredential | None, suffix: str | None, path: str = ""
) -> StorageContainer:
    """A container from the parts that options name; the account may be given as its endpoint's URL."""
    if "://" in account:
        endpoint = account.rstrip("/")
    else:
        suffix = (suffix or DEFAULT_ENDPOINT_SUFFIX).strip().strip(".").removeprefix("blob.")
        endpoint = f"https://{account}.blob.{suffix}"
    address = parse_address(endpoint, container=container)
    if path:
        address = replace(address, directory=path.strip("/"))
    return StorageContainer(address, access_from(credential, address))


# -- transientStorage -----------------------------------------------------------------------------

_CREDENTIAL_FIELDS = (
    "storageAccountName",
    "blobContainer",
    "storageAccountKey",
    "sasKey",
    "sasUrl",
    "domainSuffix",
    "oneLakeUrl",
)


def parse_transient_storage(
    text: str, *, credential: TokenCredential | None = None, endpoint_suffix: str | None = None
) -> tuple[StorageContainer, ...]:
    """Read the value of the option ``transientStorage``.

    The official form is accepted as it is::

        {"storageCredentials": [{"storageAccountName": ..., "blobContainer": ..., "storageAccountKey": ...,
                                 "sasKey": ..., "sasUrl": ..., "domainSuffix": ..., "oneLakeUrl": ...}],
         "endpointSuffix": "core.windows.net"}

    A credential may be its ``sasUrl`` alone (a container's, an account's with ``blobContainer``, or a
    directory's, with a SAS or ``;impersonate``). The whole value may also be a list of such credentials or of
    SAS URLs, or one SAS URL as plain text.

    Raises:
        OptionError: it is none of these.
    """
    text = text.strip()
    if "://" in text and text[:1] not in ("{", "[", '"'):
        return (parse_container(text, credential=credential),)
    value = _json(text, TRANSIENT_STORAGE)
    entries: Any = value
    if isinstance(value, dict):
        fields = _fields(value, ("storageCredentials", "endpointSuffix"), TRANSIENT_STORAGE)
        entries = fields.get("storageCredentials")
        endpoint_suffix = fields.get("endpointSuffix") or endpoint_suffix
    elif isinstance(value, str):
        entries = [value]
    if not isinstance(entries, list) or not entries:
        raise OptionError(
            f"Option '{TRANSIENT_STORAGE}' names no storage: 'storageCredentials' is missing or empty."
        )
    return tuple(_transient_entry(entry, credential, endpoint_suffix) for entry in entries)


def _transient_entry(entry: Any, credential: TokenCredential | None, suffix: str | None) -> StorageContainer:
    if isinstance(entry, str):
        return parse_container(entry, credential=credential)
    fields = _fields(entry, _CREDENTIAL_FIELDS, TRANSIENT_STORAGE)
    container, key = fields.get("blobContainer"), fields.get("storageAccountKey")
    sas, url, onelake = fields.get("sasKey"), fields.get("sasUrl"), fields.get("oneLakeUrl")
    if sas is not None and sas.lstrip("?").lower() == ";impersonate":
        sas, impersonate = None, True
    else:
        impersonate = False
    if sas is not None and key is not None:
        raise OptionError(
            f"One credential of option '{TRANSIENT_STORAGE}' has both 'sasKey' and 'storageAccountKey'."
        )
    if onelake is not None:
        if url is not None or sas is not None or key is not None:
            raise OptionError(
                f"One credential of option '{TRANSIENT_STORAGE}' mixes 'oneLakeUrl' with another way in.",
                remedy="OneLake takes Entra credentials only; leave the keys out.",
            )
        return replace(parse_container(onelake, credential=credential), impersonate=True, hierarchical=True)
    if url is not None:
        # The official form carries the same SAS in sasUrl and in sasKey; the URL's own goes first.
        own = "?" in url or ";" in url
        found = parse_container(
            url, container=container, credential=credential if own else (sas or key or credential)
        )
        return replace(found, impersonate=found.impersonate or impersonate)
    account = fields.get("storageAccountName")
    if account is None or container is None:
        lacking = "storageAccountName" if account is None else "blobContainer"
        raise OptionError(
            f"A credential of option '{TRANSIENT_STORAGE}' lacks '{lacking}'.",
            remedy="Give storageAccountName, blobContainer and storageAccountKey or sasKey; or sasUrl alone.",
        )
    found = _named(account, container, sas or key or credential, fields.get("domainSuffix") or suffix)
    return replace(found, impersonate=impersonate)


# -- kustoIngestionStorageContainer ---------------------------------------------------------------


def parse_ingestion_storage(
    text: str, *, credential: TokenCredential | None = None
) -> tuple[StorageContainer, ...]:
    """Read the value of the option ``kustoIngestionStorageContainer``.

    The official form is ``[{"storageUrl": .., "containerName": .., "userMsi": .., "sas": ..}]``: without a
    ``sas`` the managed identity whose client id is ``userMsi`` is used, without both the job's own
    credential, without that azure-identity's default chain. Everything that ``transientStorage`` takes is
    taken too.

    Raises:
        OptionError: it cannot be read, or an entry lacks its URL or container.
    """
    text = text.strip()
    if "://" in text and text[:1] not in ("{", "[", '"'):
        return (parse_container(text, credential=credential),)
    value = _json(text, INGESTION_STORAGE)
    if isinstance(value, dict) and any(name.casefold() == "storagecredentials" for name in value):
        return parse_transient_storage(text, credential=credential)
    entries: Iterable[Any] = value if isinstance(value, list) else [value]
    found = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(parse_container(entry, credential=credential))
            continue
        fields = _fields(entry, ("storageUrl", "containerName", "userMsi", "sas"), INGESTION_STORAGE)
        url, container = fields.get("storageUrl"), fields.get("containerName")
        if url is None or (container is None and "?" not in url):
            lacking = "storageUrl" if url is None else "containerName"
            raise OptionError(f"An entry of option '{INGESTION_STORAGE}' lacks '{lacking}'.")
        sas, identity = fields.get("sas"), fields.get("userMsi")
        if sas is not None and identity is not None:
            raise OptionError(f"An entry of option '{INGESTION_STORAGE}' has both 'sas' and 'userMsi'.")
        if "?" in url:
            found.append(parse_container(url, container=container, credential=credential))
            continue
        address = parse_address(url, container=container)
        access: Access
        if sas is not None:
            access = access_from(sas, address)
        else:
            access = _identity(address, identity, credential)
        found.append(StorageContainer(address, access))
    if not found:
        raise OptionError(f"Option '{INGESTION_STORAGE}' names no storage.")
    return tuple(found)


def _identity(
    address: ContainerAddress, identity: str | None, credential: TokenCredential | None
) -> EntraAccess:
    if identity is not None:
        module = require("azure.identity", f"use managed identity '{identity}' for '{address}'")
        return EntraAccess(module.ManagedIdentityCredential(client_id=identity))
    if credential is not None:
        return EntraAccess(credential)
    module = require("azure.identity", f"find an Entra credential for '{address}'")
    return EntraAccess(module.DefaultAzureCredential())


# -- connection strings ---------------------------------------------------------------------------


def containers_from_connection_string(text: str, container: str | None) -> StorageContainer:
    """Read an Azure Storage connection string.

    Args:
        text: ``DefaultEndpointsProtocol=...;AccountName=...;AccountKey=...;EndpointSuffix=...``, with
            ``BlobEndpoint=`` and ``SharedAccessSignature=`` as they occur, or ``UseDevelopmentStorage=true``.
        container: the container; connection strings name none.

    Raises:
        OptionError: a part is missing or the text is malformed.
    """
    fields: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.strip().partition("=")
        if not name:
            continue
        if not equals:
            raise OptionError(
                "The storage connection string is malformed: one of its parts has no '='.",
                remedy="Copy it whole from the account's access keys: AccountName=...;AccountKey=...;...",
            )
        fields[name.strip().casefold()] = value.strip()
    if container is None:
        raise OptionError(
            "A storage connection string names an account and no container.",
            remedy="Give option 'blobContainer' too.",
        )
    if fields.get("usedevelopmentstorage", "").casefold() == "true":
        fields.setdefault("accountname", _DEVELOPMENT_ACCOUNT)
        fields.setdefault("accountkey", _DEVELOPMENT_KEY)
        fields.setdefault("blobendpoint", f"http://127.0.0.1:10000/{_DEVELOPMENT_ACCOUNT}")
    account, endpoint = fields.get("accountname"), fields.get("blobendpoint")
    if endpoint is None:
        if account is None:
            raise OptionError("The storage connection string has neither 'AccountName' nor 'BlobEndpoint'.")
        protocol = fields.get("defaultendpointsprotocol", "https")
        endpoint = f"{protocol}://{account}.blob.{fields.get('endpointsuffix', DEFAULT_ENDPOINT_SUFFIX)}"
    secret = fields.get("accountkey") or fields.get("sharedaccesssignature")
    if not secret:
        raise OptionError(
            "The storage connection string has neither 'AccountKey' nor 'SharedAccessSignature'."
        )
    address = parse_address(endpoint, container=container)
    if account is not None:
        address = replace(address, account=account)
    return StorageContainer(address, access_from(secret, address))


# -- JSON -----------------------------------------------------------------------------------------


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # The parser's message would quote the text, and with it the secret.
        problem = f"Option '{option}' is not JSON."
    raise OptionError(problem, remedy="Check quotes and braces; in Python, build it with json.dumps(...).")


def _fields(entry: Any, known: Sequence[str], option: str) -> dict[str, str]:
    """The known fields of a JSON object by their right names; blank ones are left out."""
    if not isinstance(entry, dict):
        raise OptionError(f"Option '{option}' holds a {type(entry).__name__} where an object is expected.")
    names = {name.casefold(): name for name in known}
    found: dict[str, Any] = {}
    for name, value in entry.items():
        right = names.get(name.casefold())
        if right is None:
            suggestion = nearest(name, known)
            if suggestion is not None:
                raise OptionError(
                    f"Option '{option}' has no field '{name}'.", remedy=f"Did you mean '{suggestion}'?"
                )
            continue  # the official connector writes derived fields too (authMethod ...)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if right != "storageCredentials" and not isinstance(value, str):
            raise OptionError(f"Field '{right}' of option '{option}' is not text.")
        found[right] = value
    return found
