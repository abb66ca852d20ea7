"""Cluster addresses: what the word a user gives for a cluster means.

========================================== =====================================================
``Sparktest.eastus2``, ``help``            alias: ``https://Sparktest.eastus2.kusto.windows.net``
``help.kusto.windows.net``                 a host name of a Kusto service: ``https://`` is put before it
``https://…``                              a cluster: Azure Data Explorer, Fabric, national clouds, and
                                           the longer paths of Azure Monitor
``http://localhost:8080``                  the server of an embedded cluster, or the Kusto emulator
``./data``, ``/data``, ``~/data``, ``a/b`` a directory: embedded cluster in this process
``file:///data``                           the same
========================================== =====================================================
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from spark_kusto.errors import OptionError

AddressKind = Literal["embedded", "remote"]

_OBJECT_STORES = {
    "dbfs": "a Databricks path",
    "s3": "an S3 bucket",
    "s3a": "an S3 bucket",
    "s3n": "an S3 bucket",
    "gs": "a Google Cloud Storage bucket",
    "abfs": "Azure storage",
    "abfss": "Azure storage",
    "wasb": "Azure storage",
    "wasbs": "Azure storage",
    "adl": "Azure storage",
    "hdfs": "a Hadoop file system",
    "viewfs": "a Hadoop file system",
}
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")
_ALIAS = re.compile(
    r"^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$"
)
_SERVICE_HOST = re.compile(
    r"\.(?:kusto|kustodev|kustomfa|playfab|azuresynapse|data\.microsoft|fabric)\.", re.IGNORECASE
)
_CONNECTION_STRING = re.compile(r"^[A-Za-z ]+=|^https?:[^;]*;", re.IGNORECASE)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Address:
    """A parsed cluster address.

    Attributes:
        kind: ``embedded`` (a directory, opened in this process) or ``remote`` (HTTP).
        text: the normalized address: an absolute path, or a URL without a trailing slash.
            Parsing it again gives an equal value.
    """

    kind: AddressKind
    text: str

    @property
    def path(self) -> Path:
        """The directory of an embedded cluster."""
        return Path(self.text)

    @property
    def is_loopback(self) -> bool:
        """True of a server on this machine, which plain HTTP without credentials may reach."""
        return self.kind == "remote" and urlsplit(self.text).hostname in _LOOPBACK

    def __str__(self) -> str:
        return self.text


def parse_address(address: str | os.PathLike[str] | Address) -> Address:
    """What an address means; paths become absolute, so that the value can travel.

    Raises:
        OptionError: the address is empty, malformed, or of a kind that cannot hold a cluster.
    """
    if isinstance(address, Address):
        return address
    if not isinstance(address, str):
        if not isinstance(address, os.PathLike):
            raise OptionError(
                f"A cluster address is a text or a path, not {type(address).__name__}.",
                remedy="Give a directory, an alias, or an https:// address.",
            )
        return _directory(os.fspath(address))
    text = address.strip()
    if not text:
        raise OptionError(
            "The cluster address is empty.",
            remedy="Give a directory such as './kusto-data', an alias such as 'help', or an https:// URL.",
        )
    scheme = _SCHEME.match(text)
    if scheme is not None:
        return _with_scheme(text, scheme.group(1).lower())
    if _CONNECTION_STRING.match(text):
        raise OptionError(
            "The cluster address looks like a connection string.",
            remedy="Give the address alone (its 'Data Source'), and credentials by their own options.",
        )
    head = text.partition("/")[0]
    if head != text and _SERVICE_HOST.search(head):
        raise OptionError(
            f"'{text}' lacks a scheme.", remedy=f"Write 'https://{text}', or './{text}' for a directory."
        )
    if text[0] in ".~" or "/" in text or os.sep in text:
        return _directory(text)
    if "\\" in text:
        raise OptionError(
            f"'{text}' looks like a Windows path, and embedded clusters are not supported on Windows yet.",
            remedy="Run under Linux, macOS, or WSL.",
        )
    if not _ALIAS.match(text):
        raise OptionError(
            f"'{text}' is not a cluster address.",
            remedy="An alias has letters, digits, dashes and dots ('help', 'mycluster.westeurope'); "
            f"for a directory write './{text}'.",
        )
    if _SERVICE_HOST.search(text):
        return Address("remote", f"https://{text}")
    if os.path.exists(os.path.join(text, "cluster.sqlite")):
        raise OptionError(
            f"'{text}' may be the embedded cluster in the directory of that name here, or the alias of a"
            " cluster in Azure.",
            remedy=f"Write './{text}', or 'https://{text}.kusto.windows.net'.",
        )
    return Address("remote", f"https://{text}.kusto.windows.net")


def _with_scheme(text: str, scheme: str) -> Address:
    if scheme in ("http", "https"):
        return _url(text)
    if scheme == "file":
        return _file(text)
    if scheme in _OBJECT_STORES:
        raise OptionError(
            f"'{text}' is {_OBJECT_STORES[scheme]}; an embedded cluster needs a directory on a local disk, "
            "because its catalog relies on file locks that object stores do not have.",
            remedy="Give a directory on a local disk; for executors elsewhere, read and write through blobs.",
        )
    if re.match(r"^[^/:]+:\d+(?:/|$)", text):
        raise OptionError(f"'{text}' lacks a scheme.", remedy=f"Write 'http://{text}' or 'https://{text}'.")
    raise OptionError(
        f"'{text}' has the scheme '{scheme}:', which is no cluster's.",
        remedy="Give a directory, file:, an alias, https:// or http://localhost:PORT.",
    )


def _url(text: str) -> Address:
    parts = urlsplit(text)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise OptionError(
            f"'{text}' is not a valid address: {error}.", remedy="Check host and port."
        ) from error
    if not host:
        raise OptionError(
            f"'{text}' names no host.", remedy="Write https://CLUSTER.REGION.kusto.windows.net."
        )
    if parts.username is not None or parts.password is not None:
        raise OptionError(
            f"The address of '{host}' carries a user name or password.",
            remedy="Give credentials by their own options, never in the address.",
        )
    if parts.query or parts.fragment:
        raise OptionError(
            f"The address of '{host}' has a query or fragment part.",
            remedy="Give scheme, host, port and path only.",
        )
    shown = f"[{host}]" if ":" in host else host
    # The host's case is kept: urlsplit().hostname folds it, and aliases print as users wrote them.
    start = parts.netloc.lower().find(shown)
    authority = parts.netloc[start : start + len(shown)] + (f":{port}" if port is not None else "")
    return Address("remote", urlunsplit((parts.scheme.lower(), authority, parts.path.rstrip("/"), "", "")))


def _file(text: str) -> Address:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise OptionError(
            f"'{text}' names the host '{parts.netloc}'; an embedded cluster is a directory of this machine.",
            remedy="Write file:///absolute/path.",
        )
    path = unquote(text[len("file:") :].removeprefix("//localhost"))
    return _directory(path.removeprefix("//"))


def _directory(text: str) -> Address:
    if "\x00" in text or not text.strip():
        raise OptionError("The path of the cluster is empty or has a zero byte.", remedy="Give a directory.")
    if os.name == "nt":
        raise OptionError(
            "Embedded clusters are not supported on Windows yet.",
            remedy="Run under Linux, macOS, or WSL.",
        )
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise OptionError(
            f"'{text}' names a home directory that does not exist.", remedy="Give the path in full."
        )
    # Symbolic links stay: the same path must work on executors, where they may lead elsewhere.
    return Address("embedded", os.path.abspath(expanded))
