"""Merging small extents: which to merge, by policy, and the copy."""

from __future__ import annotations

from spark_kusto.storage.sweeping import Sweeping


class Merging(Sweeping):
    """Planning and running merges."""
