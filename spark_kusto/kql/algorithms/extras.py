"""Importing optional libraries, with an error that names the extra to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from spark_kusto.errors import UnsupportedError


def require(module: str, extra: str, feature: str) -> ModuleType:
    """The module, or an error that says which extra of this package brings it.

    Raises:
        UnsupportedError: the library isn't installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise UnsupportedError(
            f"{feature} needs the library '{library}', which isn't installed.",
            remedy=f"Install the extra: pip install 'spark-kusto[{extra}]'",
        ) from error
