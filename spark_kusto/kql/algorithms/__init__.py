"""Algorithms behind KQL functions and plugins, in plain Python and NumPy.

Nothing here knows the registry, DuckDB or files: a module takes Python values, NumPy arrays or Arrow
tables and gives the same back. Conventions shared by all modules:

- a Kusto null is ``None``; a Kusto string is never null, so "no answer" is the empty string;
- ``dynamic`` values are parsed JSON (``dict``, ``list``, scalars);
- ``datetime`` is a naive UTC :class:`datetime.datetime`, ``timespan`` a count of 100 ns ticks;
- a missing optional library raises :class:`~spark_kusto.errors.UnsupportedError` naming the extra.
"""
