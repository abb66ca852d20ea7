"""Where staged blobs live: a container, optionally a directory in it, and the right to use it.

Addresses are understood in every form users have at hand:

* ``https://account.blob.core.windows.net/container`` and the same with a zone
  (``account.z12.blob.storage.azure.net``), a sovereign or a private suffix, or a port;
* path-style, as emulators and Azure Stack speak it: ``http://127.0.0.1:10000/devstoreaccount1/container``;
* the Data Lake spellings of the same thing, ``https://account.dfs.core.windows.net/filesystem/path`` and
  ``abfss://filesystem@account.dfs.core.windows.net/path``, and OneLake's;
* each followed by a directory, by ``?<SAS>``, or, as in Kusto's storage connection strings, by ``;<account
  key>``, ``;impersonate`` or ``;managed_identity=<id>``.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qs, quote, unquote, urlsplit

from spark_kusto.errors import OptionError, StagingError, redact

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

__all__ = [
    "Access",
    "AccountKeyAccess",
    "ContainerAddress",
    "EntraAccess",
    "SasAccess",
    "StorageContainer",
    "looks_like_sas",
    "parse_container",
]

DEFAULT_ENDPOINT_SUFFIX = "core.windows.net"

# Ports on which the emulators listen; any of them means path-style (the rule of Azure's own libraries).
_EMULATOR_PORTS = frozenset(
    {*range(10000, 10005), *range(10100, 10105), *range(11000, 11005), *range(11100, 11105)}
)

_OTHER_SERVICE = re.compile(r"\A[a-z0-9-]+\.(table|queue|file)\.(?:core|storage)\.")

_CONTAINER_NAME = re.compile(r"\A(?:\$root|\$web|\$logs|[a-z0-9](?:-?[a-z0-9])+)\Z")


# -- rights ---------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class AccountKeyAccess:
    """The account's key: every right there is. Never leaves the driver (pickling it is refused)."""

    account: str
    key: str

    kind = "account key"

    def __repr__(self) -> str:
        return f"AccountKeyAccess(account={self.account!r}, key='***')"

    def __reduce__(self) -> NoReturn:
        raise StagingError(
            f"The key of storage account '{self.account}' stays on the driver and is not pickled.",
            remedy="Hand executors a grant: StagingDirectory.upload_grant() or download_grant().",
        )


@dataclass(frozen=True, repr=False)
class SasAccess:
    """A shared access signature as it was given: the token after the question mark."""

    token: str

    kind = "SAS"

    def __post_init__(self) -> None:
        object.__setattr__(self, "token", self.token.strip().lstrip("?&"))

    def __repr__(self) -> str:
        return f"SasAccess({redact('?' + self.token)[1:]!r})"


@dataclass(frozen=True, repr=False)
class EntraAccess:
    """A Microsoft Entra credential; SAS for executors are then signed with a user delegation key."""

    credential: TokenCredential

    kind = "Entra credential"

    def __repr__(self) -> str:
        return f"EntraAccess({type(self.credential).__name__})"

    def __reduce__(self) -> NoReturn:
        raise StagingError(
            "An Entra credential for storage stays on the driver and is not pickled.",
            remedy="Hand executors a grant: StagingDirectory.upload_grant() or download_grant().",
        )


Access = AccountKeyAccess | SasAccess | EntraAccess


def looks_like_sas(secret: str) -> bool:
    """Whether a secret is a SAS token rather than an account key (which is base64 and has no ``sig=``)."""
    fields = parse_qs(secret.strip().lstrip("?&"))
    return "sig" in fields and ("sv" in fields or "se" in fields or "si" in fields)


# -- addresses ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ContainerAddress:
    """A container without its secret.

    Args:
        endpoint: the account's blob endpoint, ``https://account.blob.core.windows.net`` or, path-style,
            ``http://127.0.0.1:10000/devstoreaccount1``; no slash at the end.
        account: the account's name, which signatures are made over.
        container: the container's name.
        directory: a directory in it below which everything is staged; no slashes around it, may be empty.
    """

    endpoint: str
    account: str
    container: str
    directory: str = ""

    @property
    def url(self) -> str:
        """The container's URL, without the directory."""
        return f"{self.endpoint}/{quote(self.container, safe='$')}"

    @property
    def onelake(self) -> bool:
        """Whether this is OneLake, which has rules of its own for names and SAS."""
        return is_onelake(urlsplit(self.endpoint).hostname or "")

    @property
    def secure(self) -> bool:
        """Whether the endpoint is https; SAS for it are then restricted to https."""
        return self.endpoint.startswith("https:")

    def blob_url(self, name: str) -> str:
        """The URL of one blob, by its full name in the container."""
        return f"{self.url}/{quote(name, safe='/~')}"

    def within(self, path: str) -> str:
        """The full name in the container of a path below this address's directory."""
        return f"{self.directory}/{path}" if self.directory else path

    def __str__(self) -> str:
        return f"{self.url}/{self.directory}" if self.directory else self.url


@dataclass(frozen=True)
class StorageContainer:
    """A container and the right to use it.

    Args:
        address: where it is.
        access: account key, SAS or Entra credential.
        impersonate: the cluster reaches the container with its caller's identity (``;impersonate``), as
            given for OneLake and for containers that take no shared secrets.
        managed_identity: the cluster reaches it with this identity of its own (object id, or ``system``).
        hierarchical: whether the account has a hierarchical namespace, where directories can be granted one
            by one; None asks the service.
    """

    address: ContainerAddress
    access: Access
    impersonate: bool = False
    managed_identity: str | None = None
    hierarchical: bool | None = None

    def __repr__(self) -> str:
        return f"StorageContainer({self.address}, {self.access.kind})"

    def kusto_connection_string(self, directory: str = "") -> str:
        """This container as Kusto's commands take it, secret included: for ``h"..."`` strings only.

        Source: the Kusto documentation's page "Storage connection strings".

        Args:
            directory: a path below this container's own directory to put at the end of the URL.
        """
        path = self.address.within(directory.strip("/")) if directory.strip("/") else self.address.directory
        url = self.address.blob_url(path) if path else self.address.url
        if self.managed_identity is not None:
            return f"{url};managed_identity={self.managed_identity}"
        if isinstance(self.access, AccountKeyAccess):
            return f"{url};{self.access.key}"
        if isinstance(self.access, SasAccess):
            return f"{url}?{self.access.token}"
        return f"{url};impersonate"


def is_onelake(host: str) -> bool:
    """Whether a host is one of OneLake's, global or regional."""
    return host.endswith(".fabric.microsoft.com") and "onelake" in host


def _is_path_style(host: str, port: int | None) -> bool:
    if port in _EMULATOR_PORTS and ".blob." not in f".{host}":
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "." not in host  # localhost, and service names in a container network
    return True


def _wrong_address(text: str, why: str) -> OptionError:
    return OptionError(
        f"The storage address '{redact(text)}' cannot be used: {why}.",
        remedy="Write https://<account>.blob.core.windows.net/<container>[/<directory>][?<SAS>] or, "
        "path-style, http://127.0.0.1:10000/<account>/<container>.",
    )


def check_container_name(name: str) -> str:
    """Return the name if Azure Storage allows it for a container; raise OptionError otherwise."""
    if not (3 <= len(name) <= 63 and _CONTAINER_NAME.match(name)):
        raise OptionError(
            f"'{name}' is not a container name.",
            remedy="Container names have 3 to 63 characters: lower-case letters, digits and single dashes.",
        )
    return name


def check_account_key(account: str, key: str) -> AccountKeyAccess:
    """An account key, once it is seen to be base64 (a common slip is to paste a SAS or half a key)."""
    try:
        decoded = base64.b64decode(key.strip(), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise OptionError(
            f"The account key given for storage account '{account}' is not base64 text.",
            remedy="Copy the whole key from the account's access keys; a SAS goes into sasUrl or sasKey.",
        )
    return AccountKeyAccess(account, key.strip())


def parse_address(url: str, *, container: str | None = None, whole: str | None = None) -> ContainerAddress:
    """Read a container's address from a URL without a secret.

    Args:
        url: in any of the forms that the module names.
        container: the container, for a URL that ends at the account.
        whole: the text to show in errors instead of the URL.
    """
    shown = whole if whole is not None else url
    if "://" not in url:
        raise _wrong_address(shown, "it does not begin with https://")
    parts = urlsplit(url.strip())
    scheme = parts.scheme.lower()
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _wrong_address(shown, "its port is not a number") from None
    if not host:
        raise _wrong_address(shown, "it names no host")
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    if any(segment in (".", "..") for segment in segments):
        raise _wrong_address(shown, "its path has '.' or '..' segments")
    if scheme in ("abfss", "abfs", "wasbs", "wasb"):
        if not parts.username:
            raise _wrong_address(
                shown, f"{scheme} addresses are {scheme}://<container>@<account host>/<path>"
            )
        segments.insert(0, unquote(parts.username))
        scheme = "https" if scheme.endswith("s") else "http"
    elif scheme not in ("https", "http"):
        raise _wrong_address(shown, f"'{parts.scheme}' is not a scheme of blob storage")
    elif parts.username or parts.password:
        raise _wrong_address(shown, "it carries a user name")
    other = _OTHER_SERVICE.match(host)
    if other is not None:
        raise _wrong_address(shown, f"it is the account's endpoint for {other[1]} storage, not for blobs")
    # The Data Lake endpoint's twin speaks the Blob REST API over the same data.
    host = re.sub(r"(\A|\.)dfs\.", r"\1blob.", host, count=1)
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc = f"{netloc}:{port}"
    endpoint = f"{scheme}://{netloc}"
    if _is_path_style(host, port):
        if not segments:
            raise _wrong_address(shown, "a path-style address begins with the account's name")
        account = segments.pop(0)
        endpoint = f"{endpoint}/{account}"
    else:
        account = host.split(".", 1)[0].removesuffix("-secondary")
    if container is not None:
        if segments and segments[0] == container:
            segments.pop(0)
        segments.insert(0, container)
    if not segments:
        raise _wrong_address(shown, "it names no container")
    name = segments[0]
    if not is_onelake(host):  # OneLake's containers are workspaces, with their own rules for names
        check_container_name(name)
    return ContainerAddress(endpoint, account, name, "/".join(segments[1:]))


def parse_container(
    text: str,
    *,
    container: str | None = None,
    credential: str | TokenCredential | None = None,
    hierarchical: bool | None = None,
) -> StorageContainer:
    """Read a container and its secret from one text: a SAS URL, or a Kusto storage connection string.

    Args:
        text: the address with ``?<SAS>``, ``;<account key>``, ``;impersonate`` or ``;managed_identity=<id>``,
            or without any, when a credential is given.
        container: the container, for an account SAS URL that ends at the account.
        credential: an account key, a SAS token, or an Entra credential, when the text has no secret.
        hierarchical: whether the account has a hierarchical namespace; None asks the service when it matters.

    Raises:
        OptionError: the text cannot be read, or there is no secret, or there are two.
    """
    text = text.strip()
    url, semicolon, tail = text.partition(";")
    if semicolon and "?" in url:  # a semicolon inside a SAS value
        shown = f"{url.partition('?')[0]}?..."
        if text.rpartition(";")[2].lower().startswith(("impersonate", "managed_identity=")):
            raise _wrong_address(shown, "it carries a SAS and says whom to impersonate; give one of them")
        url, tail = text, ""
    url, question, query = url.partition("?")
    shown = f"{url}?..." if question else url
    address = parse_address(url, container=container, whole=shown)
    impersonate = False
    managed_identity: str | None = None
    access: Access | None = None
    if question and query:
        access = _sas(query, shown)
    if tail:
        lowered = tail.lower()
        if lowered == "impersonate":
            impersonate = True
        elif lowered.startswith("managed_identity="):
            managed_identity = tail.partition("=")[2] or "system"
        elif lowered.startswith(("token=", "sharedkey=")):
            if lowered.startswith("token="):
                raise _wrong_address(
                    shown, "a storage access token cannot be renewed; give a SAS or a credential"
                )
            access = check_account_key(address.account, tail.partition("=")[2])
        else:
            access = check_account_key(address.account, tail)
    if access is None:
        access = access_from(credential, address)
    elif isinstance(credential, str):
        raise _wrong_address(shown, "it carries a secret and another one was given beside it; give one")
    if address.onelake and isinstance(access, AccountKeyAccess):
        raise _wrong_address(shown, "OneLake has no account keys; give an Entra credential or a SAS")
    return StorageContainer(address, access, impersonate, managed_identity, hierarchical)


def _sas(query: str, shown: str) -> SasAccess:
    """A SAS out of a URL, once it is seen that it can be one for staging."""
    # What browsers and portals add to a URL is no part of the SAS.
    query = query.partition("#")[0].lstrip("?&")
    query = "&".join(part for part in query.split("&") if part.partition("=")[0].lower() not in _NOT_OF_SAS)
    if not looks_like_sas(query):
        raise _wrong_address(shown, "what follows its '?' is no SAS (it has no 'sig')")
    check_sas(query, shown)
    return SasAccess(query)


_NOT_OF_SAS = frozenset({"comp", "restype", "prefix", "delimiter", "include", "maxresults", "timeout"})


def check_sas(token: str, shown: str) -> None:
    """Refuse a SAS that cannot be for staging, whatever the service says.

    Raises:
        OptionError: says what it lacks.
    """
    fields = {name: values[0] for name, values in parse_qs(token.strip().lstrip("?&")).items()}
    if "ss" in fields and "b" not in fields["ss"]:
        raise _wrong_address(
            shown, "its SAS is for other services of the account than blobs ('ss' lacks 'b')"
        )
    if "srt" in fields and not {"c", "o"} <= set(fields["srt"]):
        raise _wrong_address(shown, "its SAS is not for both containers and objects ('srt' lacks 'c' or 'o')")
    if fields.get("sr") in ("b", "bs", "bv"):
        raise _wrong_address(shown, "its SAS is for a single blob ('sr=b'); staging needs a container's")
    if "sp" not in fields and "si" not in fields:
        raise _wrong_address(shown, "its SAS says nothing of permissions ('sp'), nor names a policy ('si')")


def access_from(credential: str | TokenCredential | None, address: ContainerAddress) -> Access:
    """Turn a secret or a credential object into an Access for this address.

    Raises:
        OptionError: there is none, or it is of no kind that storage takes.
    """
    if isinstance(credential, str) and credential.strip():
        if looks_like_sas(credential):
            check_sas(credential, address.url)
            return SasAccess(credential)
        return check_account_key(address.account, credential)
    if credential is None or isinstance(credential, str):
        raise OptionError(
            f"Nothing says how to get into container '{address.url}'.",
            remedy="Give an account key, a SAS, or an Entra credential (of azure-identity).",
        )
    if hasattr(credential, "get_token"):
        return EntraAccess(credential)
    raise OptionError(
        f"A {type(credential).__name__} is not a credential for blob storage.",
        remedy="Give an account key or a SAS as text, or an object of azure-identity.",
    )
