"""The embedded cluster: queries, management commands, ingestion, policies and maintenance.

Knows neither HTTP nor Spark. :class:`~spark_kusto.engine.engine.Engine` is its face;
:func:`~spark_kusto.engine.tasks.read_task` works on executors without it.
"""
