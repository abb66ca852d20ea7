"""From an address to a cluster."""

from __future__ import annotations

import os
from typing import Any

from spark_kusto.client.address import Address, parse_address
from spark_kusto.client.cluster import Cluster


def connect(address: str | os.PathLike[str] | Address, credential: Any = None, **options: Any) -> Cluster:
    """Connect to a cluster.

    Args:
        address: a directory: an embedded cluster, created if absent. An alias, ``https://`` or
            ``http://localhost:PORT``: a remote one (see :mod:`spark_kusto.client.address`).
        credential: for remote clusters, anything with ``get_token`` (azure-identity's classes, or
            :func:`spark_kusto.client.auth.credential_from_options`). Without one nobody signs in to a
            server on this machine or to ``http://``, and to all others by the Azure CLI, then by a device
            code. An embedded cluster takes none.
        options: of an embedded cluster ``create`` (False refuses a directory without a cluster), ``memory``
            (bytes), ``threads``, ``principal``; of a remote one ``ingestion_uri`` (the data management
            endpoint), ``timeout`` (a timedelta; how long exports and ingestions are waited for),
            ``request_id`` (prefix of the client request ids) and ``backoff``.

    Raises:
        OptionError: the address or an option makes no sense.
        StorageError: the directory cannot be used (NotAClusterError, NewerFormatError …).
        UnsupportedError: a remote cluster is given, and the extra ``azure`` is not installed.
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
    from spark_kusto.client.remote.cluster import RemoteCluster

    known = _known(options, ("ingestion_uri", "timeout", "request_id", "backoff"))
    if credential is None and parsed.text.startswith("https:") and not parsed.is_loopback:
        from spark_kusto.client.auth import fallback_credential

        credential = fallback_credential()
    return RemoteCluster(parsed.text, credential, **known)


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
