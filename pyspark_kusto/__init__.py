"""Spark registers the ``DefaultSource`` of every module named ``pyspark_*`` by itself."""

from spark_kusto.spark import KustoDataSource as DefaultSource

__all__ = ["DefaultSource"]
