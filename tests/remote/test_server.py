"""The service of these tests, seen by Microsoft's own clients, which understand it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal

import pytest
from azure.kusto.data import ClientRequestProperties, KustoClient
from azure.kusto.data.exceptions import KustoApiError, KustoMultiApiError
from azure.kusto.ingest import IngestionProperties, QueuedIngestClient, StreamDescriptor

from tests.remote.aggregator import Aggregator
from tests.remote.azurite_services import AzuriteService
from tests.remote.conftest import DATABASE
from tests.remote.server import KustoServer
from tests.remote.test_asking import EVERY
from tests.remote.wire import api_error
from tests.staging.azurite import Container, wait_for


@pytest.fixture
def client(server: KustoServer) -> Iterator[KustoClient]:
    with KustoClient(server.address) as opened:
        yield opened


def test_the_official_client_understands_queries(server: KustoServer, client: KustoClient) -> None:
    answer = client.execute(DATABASE, f"{EVERY} | sort by n asc")
    (table,) = answer.primary_results
    assert [column.column_type for column in table.columns] == [
        *(
            "long",
            "bool",
            "int",
            "long",
            "real",
            "decimal",
            "string",
            "datetime",
            "timespan",
            "guid",
            "dynamic",
        )
    ]
    row = table[0]
    assert (row["l"], row["d"]) == (9007199254740993, Decimal("12345678901234567890.123456789012345678"))
    assert row["y"] == {"a": [1, 2.5, "x", None, True]}
    assert row["p"].total_seconds() == 86_400 + 7_200 + 0.003
    assert answer.errors_count == 0
    streamed = client.execute_streaming_query(DATABASE, "range n from 1 to 3 step 1")
    assert [row["n"] for row in next(streamed.iter_primary_results())] == [1, 2, 3]


def test_the_official_client_understands_parameters_commands_and_errors(
    server: KustoServer, client: KustoClient
) -> None:
    properties = ClientRequestProperties()
    properties.set_parameter("s", "it's")
    properties.set_parameter("n", "7")
    text = "declare query_parameters(s:string, n:long); print s = s, n = n"
    assert client.execute(DATABASE, text, properties).primary_results[0][0].to_list() == ["it's", 7]
    shown = client.execute_mgmt(DATABASE, ".create table T (a:long)").primary_results[0]
    assert shown[0]["TableName"] == "T"
    with pytest.raises(KustoApiError) as caught:
        client.execute(DATABASE, "NoSuch")
    assert caught.value.is_semantic_error()
    server.fail("query", "row", error=api_error("LimitsExceeded", "E_RUNAWAY_QUERY"))
    with pytest.raises(KustoMultiApiError, match="E_RUNAWAY_QUERY"):
        client.execute(DATABASE, "range n from 1 to 3 step 1")


def test_the_official_client_finds_the_queue(server: KustoServer, container: Container) -> None:
    server.cluster.execute(DATABASE, ".create table T (a:long, b:string)")
    server.resources = [("TempStorage", container.sas_url())]
    with (
        AzuriteService("queue") as queues,
        AzuriteService("table") as kept,
        Aggregator(server, queues, kept, container.name) as running,
    ):
        server.resources.append(("FailedIngestionsQueue", running.queue))
        server.resources.append(("SuccessfulIngestionsQueue", running.queue))
        with QueuedIngestClient(server.address) as ingest:
            stream = StreamDescriptor(io.BytesIO(b"1,x\n2,y\n"), size=8)
            ingest.ingest_from_stream(stream, IngestionProperties(DATABASE, "T"))
            wait_for(lambda: server.cluster.query(DATABASE, "T | count").rows == [(2,)])
