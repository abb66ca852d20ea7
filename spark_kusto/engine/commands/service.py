"""The service: version, nodes, capacity, and what clients ask a data management endpoint."""

from __future__ import annotations

import datetime as dt
import os
import socket
from collections.abc import Iterator
from functools import lru_cache

from spark_kusto import version
from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.schemas import schema
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.connections import machine_memory

_STARTED = dt.datetime.now(dt.timezone.utc)

_DIAGNOSTICS = (
    "IsHealthy:bool, EnvironmentDescription:string, IsScaleOutRequired:bool, MachinesTotal,"
    " MachinesOffline:int, NodeLastRestartedOn, AdminLastElectedOn:datetime, ExtentsTotal,"
    " DiskColdAllocationPercentage, InstancesTargetBasedOnDataCapacity:int, TotalOriginalDataSize,"
    " TotalExtentSize, IngestionsLoadFactor:real, IngestionsInProgress:long, IngestionsSuccessRate:real,"
    " MergesInProgress:long, BuildVersion:string, BuildTime:datetime, ProductVersion:string,"
    " ExportsLoadFactor:real, ExportsInProgress, PendingContinuousExports,"
    " MaxContinuousExportLatenessMinutes:long"
)


@lru_cache(maxsize=1)
def built() -> dt.datetime:
    """When this package was installed."""
    return dt.datetime.fromtimestamp(os.stat(version.__file__).st_mtime, dt.timezone.utc)


@command("show version", schema=schemas.VERSION)
def show_version(_request: Request) -> Iterator[Row]:
    product = version.__version__
    yield (product, built(), "Engine", f"spark-kusto {product}")


@command("show cluster", schema=schemas.CLUSTER)
def show_cluster(request: Request) -> Iterator[Row]:
    host = socket.gethostname()
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    yield (
        request.engine.root.id,
        request.engine.address,
        host,
        _STARTED,
        True,
        machine_memory(),
        available,
        os.cpu_count() or 1,
        "Embedded cluster",
    )


@command("show diagnostics", schema=schema(_DIAGNOSTICS), permission="monitor")
def show_diagnostics(request: Request) -> Iterator[Row]:
    extents = original = stored = 0
    for details in request.engine.root.databases():
        for table in request.engine.database(details.name).snapshot().tables.values():
            extents += len(table.extents)
            original += table.original_size
            stored += table.size
    product = version.__version__
    running = sum(activity.kind != "query" for activity in request.engine.activities.running())
    yield (
        True, "Embedded cluster", False, 1, 0, _STARTED, _STARTED, extents, 0, 1, float(original),
        float(stored), 0.0, max(running - 1, 0), 1.0, 0, product, built(), product, 0.0, 0, 0, 0,
    )  # fmt: skip


@command("show capacity", schema=schemas.CAPACITY)
def show_capacity(request: Request) -> Iterator[Row]:
    cores = os.cpu_count() or 1
    running = request.engine.activities.running()
    queries = sum(activity.kind == "query" for activity in running)
    ingestions = sum(activity.kind.startswith(("ingest", "set", "append")) for activity in running)
    totals = {
        "ingestions": (cores * 4, ingestions),
        "extents-merge": (1, 0),
        "extents-purge-rebuild": (1, 0),
        "data-export": (cores, 0),
        "extents-partition": (1, 0),
        "materialized-view": (1, 0),
        "stored-query-results": (cores * 4, 0),
        "queries": (cores * 10, queries),
        "streaming-ingestion-post-processing": (1, 0),
        "purge-storage-artifacts-cleanup": (1, 0),
        "periodic-storage-artifacts-cleanup": (1, 0),
        "query-acceleration": (0, 0),
        "graph-snapshots": (0, 0),
    }
    wanted = request.get("resource")
    for name, (total, consumed) in totals.items():
        if wanted is None or wanted.lower() == name:
            title = "".join(part.capitalize() for part in name.split("-"))
            yield (title, total, consumed, max(total - consumed, 0), f"CapacityPolicy/{title}")


@command("show plugins", schema=schema("PluginName:string, IsEnabled:bool"))
def show_plugins(_request: Request) -> Iterator[Row]:
    from spark_kusto.kql import registry

    for name in sorted(registry.plugins()):
        yield (name, True)


@command("show featureflags", schema=schema("Name:string, IsEnabled:bool"))
def show_feature_flags(_request: Request) -> Iterator[Row]:
    return iter(())


@command("show workload_groups", schema=schema("WorkloadGroupName, WorkloadGroup:string"))
def show_workload_groups(_request: Request) -> Iterator[Row]:
    yield ("default", "{}")
    yield ("internal", "{}")


@command("get kusto identity token", schema=schemas.AUTHORIZATION)
def get_identity_token(request: Request) -> Iterator[Row]:
    # Staging of an embedded cluster needs no proof of identity; clients only pass this on.
    yield (f"embedded:{request.engine.root.id}",)


@command(
    "clear table cache streamingingestion schema",
    "clear database cache streamingingestion schema",
    "clear database cache query_results",
    "clear database cache query_weak_consistency",
    "clear cluster cache external-artifacts",
    "refresh database table cache ingestionbatchingpolicy",
    schema=schemas.NODE_STATUS,
)
def clear_cache(request: Request) -> Iterator[Row]:
    # There is no such cache here; connectors send these and look for an answer.
    yield (request.engine.root.id, "Succeeded")
