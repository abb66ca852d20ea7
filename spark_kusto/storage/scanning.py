"""How DuckDB is told to read extents: by Parquet field id, whatever the columns were called when written.

``read_parquet(..., schema=MAP{field id: {name, type, default_value}})`` gives columns that a file lacks
their default, converts what others wrote in narrower types, and lets filters and projections reach the
scan.
"""

from __future__ import annotations

from collections.abc import Iterable

from spark_kusto.types import KustoType


def schema_entry(field_id: int, name: str, type: KustoType) -> str:
    """The entry of one column in a scan's schema; ``name`` must need no quoting."""
    default = "''" if type is KustoType.STRING else "NULL"
    return f"{field_id}: {{name: '{name}', type: '{type.duckdb}', default_value: {default}}}"


def read_parquet(paths: Iterable[str], entries: Iterable[str], *options: str) -> str:
    """The SQL relation over files with the schema of these entries.

    Args:
        paths: of extents that have the same field ids for these columns.
        entries: from :func:`schema_entry`; at least one.
        options: further arguments, such as ``filename = true``.
    """
    files = ", ".join(_literal(path) for path in paths)
    arguments = [
        f"[{files}]",
        f"schema = MAP{{{', '.join(entries)}}}",
        # A root below a folder such as "year=2024" would otherwise gain a column.
        "hive_partitioning = false",
        *options,
    ]
    return f"read_parquet({', '.join(arguments)})"


def _literal(path: str) -> str:
    # Brackets and stars need no escape: the reader takes the path of an existing file as it stands,
    # and would check an escaped one against the directories that it may read.
    return "'" + path.replace("'", "''") + "'"
