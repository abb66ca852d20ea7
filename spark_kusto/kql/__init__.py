"""The Kusto Query Language: text, syntax tree, bound plan, SQL. No files, no connections."""

from __future__ import annotations
