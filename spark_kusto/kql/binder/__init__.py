"""Binding: from syntax to a typed plan."""

from __future__ import annotations
