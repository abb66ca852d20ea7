"""One Azurite for all tests of this room, and a container for each test; both are seen to be left empty."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from spark_kusto.staging import Retries, TransferSettings, TransientStorage, parse_container
from tests.staging.azurite import Azurite, Container

# Small blocks, so that a megabyte takes many requests; quick retries.
SETTINGS = TransferSettings(block_size=64 * 1024, concurrency=4, retries=Retries(6, 0.02, 0.2))


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as service:
        yield service
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
