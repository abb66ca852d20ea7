"""Options: every official name, misspellings, older names, kinds and contradictions."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from spark_kusto.errors import OptionError
from spark_kusto.spark import names
from spark_kusto.spark import options as options_module
from spark_kusto.spark.names import KustoDebugOptions, KustoSinkOptions, KustoSourceOptions, ReadMode
from spark_kusto.spark.option_tables import OPTIONS, markdown
from spark_kusto.spark.options import sink_options, source_options
from spark_kusto.spark.properties import ClientRequestProperties, SparkIngestionProperties

SOURCE = {"kustoCluster": "/data/k", "kustoDatabase": "D", "kustoQuery": "T"}
SINK = {"kustoCluster": "/data/k", "kustoDatabase": "D", "kustoTable": "T"}


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    options_module._logged.clear()


def test_every_official_constant_is_an_option() -> None:
    known = {name.lower() for spec in OPTIONS for name in (spec.name, *spec.aliases)}
    constants = {
        value.lower()
        for holder in (KustoSourceOptions, KustoSinkOptions, KustoDebugOptions)
        for name in dir(holder)
        if name.isupper() and name != "NONE_RESULT_LIMIT"
        for value in [getattr(holder, name)]
    }
    assert constants - known == set()


def test_names_match_in_any_case_and_values_are_typed() -> None:
    found = source_options(
        {
            "KUSTOCLUSTER": "help",
            "kustodatabase": "D",
            "KustoQuery": "T | take 3",
            "readmode": "forcesinglemode",
            "numPartitions": "7",
            "queryFilterPushDown": "FALSE",
            "timeoutLimit": "60",
            "kustoColumns": "a, b",
            "clientRequestPropertiesJson": '{"Options":{"notruncation":true},"Parameters":{"p":1}}',
            "queryParametersJson": '{"q": 2}',
        }
    )
    assert found.connection.cluster == "https://help.kusto.windows.net"
    assert found.read_mode is ReadMode.ForceSingleMode
    assert found.partitions == 7
    assert found.push_down is False
    assert found.timeout == timedelta(seconds=60)
    assert found.columns == ("a", "b")
    assert found.properties == {"notruncation": True}
    assert found.parameters == {"p": 1, "q": 2}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"kustoQuerry": "T"}, ["kustoQuerry", "kustoQuery"]),
        ({"readMode": "Fast"}, ["readMode", "ForceSingleMode"]),
        ({"numPartitions": "many"}, ["numPartitions", "whole number"]),
        ({"numPartitions": "0"}, ["at least 1"]),
        ({"queryFilterPushDown": "perhaps"}, ["true or false"]),
        ({"kustoQuery": ".drop table T"}, ["management command"]),
        ({"kustoQuery": "// note\n .show tables"}, ["management command"]),
        ({"kustoQuery": "  "}, ["kustoQuery"]),
        ({"kustoDatabase": ""}, ["kustoDatabase", "missing"]),
        ({"snapshot": "yesterday"}, ["snapshot", "cursor"]),
        ({"startingCursor": "now"}, ["earliest, latest"]),
        ({"partitionColumn": "a"}, ["numPartitions"]),
        ({"clientRequestPropertiesJson": "{"}, ["not JSON"]),
        ({"authMethod": "magic"}, ["authMethod", "azureCli"]),
    ],
)
def test_bad_source_options_say_what_to_do(extra: dict[str, str], words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        source_options({**SOURCE, **extra})
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"kustoTable": ""}, ["kustoTable", "missing"]),
        ({"writeMod": "Queued"}, ["writeMode"]),
        ({"tableCreateOptions": "Maybe"}, ["CreateIfNotExist"]),
        ({"writerId": "w"}, ["batchId"]),
        ({"replaceTags": "a", "replaceWhere": "true"}, ["replaceTags"]),
        ({"writeMode": "KustoStreaming", "ingestByTags": "a"}, ["KustoStreaming"]),
        ({"adjustSchema": "GenerateDynamicCsvMapping", "csvMapping": "[]"}, ["mapping"]),
        ({"creationTime": "soon"}, ["point in time"]),
        ({"sparkIngestionPropertiesJson": '{"ingestByTag": ["a"]}'}, ["ingestByTags"]),
    ],
)
def test_bad_sink_options_say_what_to_do(extra: dict[str, str], words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        sink_options({**SINK, **extra})
    for word in words:
        assert word in str(caught.value)


def test_notices_come_once(caplog: pytest.LogCaptureFixture) -> None:
    given = {**SINK, "writeEnableAsync": "true", "fancyThing": "1", "kustoAADClientID": "id"}
    with caplog.at_level(logging.WARNING, logger="spark_kusto.spark"):
        found = sink_options(given)
        sink_options(given)
    assert found.connection.settings == {"kustoAadAppId": "id"}
    assert len(caplog.messages) == 3
    assert any("fancyThing" in message for message in caplog.messages)


def test_secrets_are_not_printed() -> None:
    given = {**SOURCE, "kustoAadAppSecret": "hunter2", "transientStorage": '{"sasKey":"hunter2"}'}
    assert "hunter2" not in repr(source_options(given))


def test_ingestion_properties_travel_as_json() -> None:
    sent = SparkIngestionProperties(
        True,
        ["d"],  # type: ignore[arg-type]
        ["i"],  # type: ignore[arg-type]
        ["x"],  # type: ignore[arg-type]
        ["i"],  # type: ignore[arg-type]
        datetime(2024, 1, 2, tzinfo=timezone.utc),
        '[{"Name":"a","Ordinal":0}]',
        None,
    )
    got = sink_options({**SINK, "sparkIngestionPropertiesJson": sent.toString()}).ingestion
    assert got == sent
    assert got.tags == ("drop-by:d", "ingest-by:i", "x")
    plain = sink_options({**SINK, "ingestByTags": '["a,b"]', "creationTime": "2024-01-02"}).ingestion
    assert plain.ingestByTags == ("a,b",)
    assert plain.creationTime == datetime(2024, 1, 2, tzinfo=timezone.utc)
    # Jackson prints a Java Instant as seconds.
    assert SparkIngestionProperties.from_json('{"creationTime": 1704153600.0}').creationTime == (
        sent.creationTime
    )


def test_client_request_properties_travel_as_json() -> None:
    sent = ClientRequestProperties()
    sent.setOption("servertimeout", "00:01:00")
    sent.setParameter("state", "WA")
    assert ClientRequestProperties.from_json(sent.toString()) == sent


def test_enumerations_print_as_their_value() -> None:
    assert names.WriteMode.Queued.toString() == f"{names.WriteMode.Queued}" == "Queued"


def test_documentation_has_every_option() -> None:
    page = (Path(__file__).parents[2] / "docs" / "options.md").read_text()
    assert markdown().strip() in page
