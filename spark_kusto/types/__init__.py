"""Kusto's scalar types in every form this package meets them, both ways.

========== ========================= ============================= ============= ==============
type       Parquet (storage)         Arrow (results)               Spark         Python
========== ========================= ============================= ============= ==============
bool       bool                      bool                          boolean       bool
int        int32                     int32                         int           int
long       int64                     int64                         bigint        int
real       double                    double                        double        float
decimal    decimal128(38, 18)        decimal128(38, 18)            decimal(38,18) Decimal
string     string, never null        string, never null            string        str
datetime   timestamp[us], no zone    timestamp[us, UTC]            timestamp     aware datetime
timespan   int64, 100 ns ticks       duration[us]                  string        timedelta
guid       UUID                      string                        string        uuid.UUID
dynamic    string, JSON text         string, JSON text             string        dict, list ...
========== ========================= ============================= ============= ==============

:mod:`~spark_kusto.types.table` is that table in code; the other modules convert:
``storing`` (anything Arrow or pandas can hold -> storage), ``results`` (storage -> results and
Python values), ``text`` (what ``tostring()`` prints, and parsing it), ``literals`` (KQL literals),
``spark`` (Spark schemas). This module imports none of pyarrow, duckdb, pandas or pyspark.
"""

from __future__ import annotations

from spark_kusto.types.table import (
    KUSTO_TYPE_KEY,
    Column,
    KustoType,
    TypeForms,
    columns_from_arrow,
    result_field,
    result_schema,
    storage_field,
    storage_schema,
)

__all__ = [
    "KUSTO_TYPE_KEY",
    "Column",
    "KustoType",
    "TypeForms",
    "columns_from_arrow",
    "result_field",
    "result_schema",
    "storage_field",
    "storage_schema",
]
