"""``join`` and ``lookup``."""

from __future__ import annotations
