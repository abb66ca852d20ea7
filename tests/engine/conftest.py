"""An embedded cluster in a temporary directory, and short ways to ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spark_kusto import connect
from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.client.result import Result

DATABASE = "NetDefaultDB"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    opened = connect(tmp_path / "kusto")
    assert isinstance(opened, EmbeddedCluster)
    yield opened
    opened.close()


@pytest.fixture
def run(cluster: EmbeddedCluster) -> Callable[..., Result]:
    """Run a management command."""

    def execute(command: str, **properties: Any) -> Result:
        return cluster.execute(DATABASE, command, properties)

    return execute


@pytest.fixture
def rows(cluster: EmbeddedCluster) -> Callable[..., list[tuple[Any, ...]]]:
    """Rows of a query."""

    def query(kql: str, **options: Any) -> list[tuple[Any, ...]]:
        return cluster.query(DATABASE, kql, **options).rows

    return query


@pytest.fixture
def value(rows: Callable[..., list[tuple[Any, ...]]]) -> Callable[..., Any]:
    """The only value of a query's answer."""

    def single(kql: str, **options: Any) -> Any:
        answer = rows(kql, **options)
        assert len(answer) == 1
        assert len(answer[0]) == 1
        return answer[0][0]

    return single
