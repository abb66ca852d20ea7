"""The door to Azure's libraries, which come with the extra ``azure``: imported when first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from spark_kusto.errors import UnsupportedError

__all__ = ["require"]


def require(module: str, purpose: str) -> Any:
    """Import one of Azure's libraries.

    Args:
        module: such as ``azure.storage.blob``.
        purpose: what it is needed for, to be read after "to".

    Raises:
        UnsupportedError: it is not installed; the message names the extra that brings it.
    """
    try:
        return import_module(module)
    except ImportError as problem:
        absent = problem.name or module
    distribution = ".".join(module.split(".")[:3]).replace(".", "-")
    raise UnsupportedError(
        f"The package '{distribution}' is needed to {purpose}, and '{absent}' cannot be imported.",
        feature=distribution,
        remedy="Install the extra: pip install 'spark-kusto[azure]', on the driver and on every executor.",
    )
