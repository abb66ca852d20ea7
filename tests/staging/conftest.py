"""One Azurite for all tests of this room, a container for each test, and a look at what is left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from spark_kusto.staging import Retries, TransferSettings, TransientStorage, parse_container
from spark_kusto.staging.leaks import take_inventory
from tests.staging.azurite import Azurite, Container, own_temporary_folder, wait_for

# Small blocks, so that a megabyte takes many requests; quick retries.
SETTINGS = TransferSettings(block_size=64 * 1024, concurrency=4, retries=Retries(6, 0.02, 0.2))


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After the last test no process of this run is alive, and none of its temporary files is there."""
    before = take_inventory()
    with own_temporary_folder(tmp_path_factory.mktemp("temporary")) as folder:
        yield
        assert [path.name for path in folder.iterdir()] == []
    wait_for(lambda: take_inventory().left_since(before) == [])


@pytest.fixture(scope="session")
def azurite(nothing_left: None) -> Iterator[Azurite]:
    with Azurite() as service:
        yield service
        assert [made.name for made in service.service().list_containers()] == []
    assert service.process.poll() is not None


@pytest.fixture
def container(azurite: Azurite) -> Iterator[Container]:
    made = azurite.new_container()
    yield made
    if made.client.exists():
        made.delete()


@pytest.fixture
def storage(container: Container) -> TransientStorage:
    return TransientStorage(
        [parse_container(container.key_url)], expiry=timedelta(hours=1), settings=SETTINGS
    )
