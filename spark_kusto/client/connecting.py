"""From an address to a cluster."""

from __future__ import annotations

import os
from typing import Any

from spark_kusto.client.address import Address, parse_address
from spark_kusto.client.cluster import Cluster


def connect(address: str | os.PathLike[str] | Address, credential: Any = None, **options: Any) -> Cluster:
    """Connect to a cluster.

    Args:
        address: a directory: an embedded cluster, created if absent. Aliases, ``https://`` and
            ``http://localhost:PORT`` addresses are understood (see
            :mod:`spark_kusto.client.address`) and refused until there are remote clusters.
        credential: for remote clusters; an embedded one takes none.
        options: ``create`` (False refuses a directory without a cluster), ``memory`` (bytes),
            ``threads``, ``principal``.

    Raises:
        OptionError: the address or an option makes no sense.
        StorageError: the directory cannot be used (NotAClusterError, NewerFormatError …).
        UnsupportedError: it is a remote cluster.
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
    from spark_kusto.errors import UnsupportedError

    raise UnsupportedError(
        f"'{parsed.text}' is a remote cluster; this release connects to embedded clusters only.",
        feature="remote clusters",
        remedy="Give a directory: connect('./kusto-data') makes an embedded cluster there.",
    )


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
