from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spark_kusto.storage import Database, Root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    opened = Root.open(tmp_path / "cluster")
    yield opened
    opened.close()


@pytest.fixture
def database(root: Root) -> Database:
    return root.database("NetDefaultDB")
