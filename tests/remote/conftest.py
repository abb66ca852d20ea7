"""A Kusto service on this machine for every test, and clusters that are connected to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spark_kusto import connect
from spark_kusto.client import Cluster
from spark_kusto.client.remote.transport import Backoff
from tests.remote.server import KustoServer
from tests.staging.azurite import Azurite, Container

DATABASE = "NetDefaultDB"
QUICK = Backoff(4, 0.01, 0.05)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KustoServer]:
    with KustoServer(tmp_path / "behind") as started:
        yield started


@pytest.fixture
def remote(server: KustoServer) -> Iterator[Cluster]:
    with connect(server.address, backoff=QUICK) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as service:
        yield service
        assert [made.name for made in service.service().list_containers()] == []


@pytest.fixture
def container(azurite: Azurite) -> Iterator[Container]:
    made = azurite.new_container()
    yield made
    made.delete()


@pytest.fixture
def table(server: KustoServer) -> Callable[..., None]:
    """``table("T", "a:long", "1\\n2")`` makes a table behind the service, with rows of CSV."""

    def make(name: str, columns: str, rows: str = "") -> None:
        server.cluster.execute(DATABASE, f".create table {name} ({columns})")
        if rows:
            server.cluster.execute(DATABASE, f".ingest inline into table {name} <|\n{rows}")

    return make
