"""The registry's rows, by family. Each module registers its rows when it is imported."""

from __future__ import annotations

import importlib

FAMILIES: tuple[str, ...] = (
    "conversions",
    "strings",
    "maths",
    "decimals",
    "datetimes",
    "dynamics",
    "arrays",
    "bags",
    "conditionals",
    "aggregates",
    "selections",
    "windows",
    "parsing",
    "graphs",
    "components",
    "scanning",
    "reducing",
    "plugins_shaping",
    "encodings",
    "formats",
    "hashing",
    "network",
    "statistics",
    "system",
    "series",
    "sketches",
    "plugins_analytics",
    "geo",
    "plugins_lookup",
    "plugins_rows",
    "plugins_storage",
    "plugins_clustering",
)
"""Modules of this package that hold rows."""


def load() -> None:
    """Import every family."""
    for family in FAMILIES:
        importlib.import_module(f"{__name__}.{family}")
