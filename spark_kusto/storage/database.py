"""One database of an embedded cluster: everything that reads and changes it, in one object."""

from __future__ import annotations

from spark_kusto.storage.merging import Merging


class Database(Merging):
    """A database. Several processes may hold one at once; threads may share one.

    What it offers is grouped by room: snapshots, journal and stored entities
    (:class:`~spark_kusto.storage.folder.DatabaseFolder`), tables
    (:class:`~spark_kusto.storage.tables.TableChanges`), ingestion
    (:class:`~spark_kusto.storage.ingestion.Ingestion`), extents
    (:class:`~spark_kusto.storage.extents.ExtentChanges`), clean-up
    (:class:`~spark_kusto.storage.sweeping.Sweeping`), merging
    (:class:`~spark_kusto.storage.merging.Merging`) and verification
    (:class:`~spark_kusto.storage.checking.Checking`).
    """
