"""From an address to a cluster."""

from __future__ import annotations

import os
from typing import Any

from spark_kusto.client.address import Address, parse_address
from spark_kusto.client.cluster import Cluster


def connect(address: str | os.PathLike[str] | Address, credential: Any = None, **options: Any) -> Cluster:
    """Connect to a cluster.

    Args:
        address: a directory (an embedded cluster, created if absent), an alias, an ``https://``
            address, or ``http://localhost:PORT``. See :mod:`spark_kusto.client.address`.
        credential: for a remote cluster: an Azure credential (anything with ``get_token``), or one of
            :mod:`spark_kusto.client.auth`. None tries the environment's.
        options: of an embedded cluster ``create`` (False refuses a directory without a cluster),
            ``memory`` (bytes), ``threads``; of a remote one ``timeout`` (seconds) and
            ``application``.

    Raises:
        OptionError: the address or an option makes no sense.
        StorageError: the directory cannot be used (NotAClusterError, NewerFormatError …).
        AuthenticationError: the credential was refused.
    """
    parsed = parse_address(address)
    if parsed.kind == "embedded":
        if credential is not None:
            from spark_kusto.errors import OptionError

            raise OptionError(
                f"'{parsed.text}' is a directory, which takes no credential.",
                remedy="Leave the credential out, or give the address of a remote cluster.",
            )
        from spark_kusto.client.embedded import EmbeddedCluster

        return EmbeddedCluster.open(
            parsed.text, **_known(options, ("create", "memory", "threads", "principal"))
        )
    from spark_kusto.client.remote import RemoteCluster

    return RemoteCluster.open(parsed, credential, **_known(options, ("timeout", "application")))


def _known(options: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    for name in options:
        if name not in names:
            from spark_kusto.errors import OptionError, nearest

            close = nearest(name, names)
            raise OptionError(
                f"connect() has no option '{name}' for this kind of cluster.",
                remedy=f"Did you mean '{close}'?" if close else f"It has {', '.join(names)}.",
            )
    return options
