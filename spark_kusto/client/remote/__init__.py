"""A cluster in Azure Data Explorer or Fabric, or another that speaks the Kusto REST API, as a ``Cluster``."""

from __future__ import annotations
