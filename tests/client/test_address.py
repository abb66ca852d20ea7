"""What the word a user gives for a cluster means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spark_kusto.client.address import parse_address
from spark_kusto.errors import OptionError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("help", "https://help.kusto.windows.net"),
        ("Sparktest.eastus2", "https://Sparktest.eastus2.kusto.windows.net"),
        ("  help  ", "https://help.kusto.windows.net"),
        ("help.kusto.windows.net", "https://help.kusto.windows.net"),
        ("x.kusto.chinacloudapi.cn", "https://x.kusto.chinacloudapi.cn"),
        ("https://Help.kusto.windows.net/", "https://Help.kusto.windows.net"),
        ("HTTPS://help.kusto.windows.net:443", "https://help.kusto.windows.net:443"),
        ("https://trd-x.z0.kusto.fabric.microsoft.com", "https://trd-x.z0.kusto.fabric.microsoft.com"),
        (
            "https://ade.applicationinsights.io/subscriptions/S/resourcegroups/R/providers/x/components/C",
            "https://ade.applicationinsights.io/subscriptions/S/resourcegroups/R/providers/x/components/C",
        ),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_remote_addresses(given: str, expected: str) -> None:
    address = parse_address(given)
    assert (address.kind, address.text) == ("remote", expected)
    assert parse_address(address.text) == address


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/Data/Kusto", "/Data/Kusto"),
        ("/data/../Kusto/", "/Kusto"),
        ("file:///Data/My%20Kusto", "/Data/My Kusto"),
        ("file://localhost/data", "/data"),
        ("file:/data", "/data"),
    ],
)
def test_paths_keep_their_case(given: str, expected: str) -> None:
    address = parse_address(given)
    assert (address.kind, address.text) == ("embedded", expected)
    assert address.path == Path(expected)


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = os.getcwd()
    assert parse_address("./Data").text == f"{here}/Data"
    assert parse_address("sub/Data").text == f"{here}/sub/Data"
    assert parse_address(".").text == here
    assert parse_address(Path("Data")).text == f"{here}/Data"
    assert parse_address("~/Data").text == str(tmp_path / "home" / "Data")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "empty"),
        ("dbfs:/data", "local disk"),
        ("s3://bucket/data", "local disk"),
        ("abfss://c@a.dfs.core.windows.net/x", "local disk"),
        ("localhost:8080", "http://localhost:8080"),
        ("ftp://x/y", "ftp"),
        ("C:\\data", "Windows"),
        ("bad name", "alias"),
        ("Data Source=https://help.kusto.windows.net;Fed=true", "connection string"),
        ("help.kusto.windows.net/Samples", "https://help.kusto.windows.net/Samples"),
        ("https://", "host"),
        ("https://h:99999999", "valid"),
        ("https://host/?x=1", "query"),
        ("file://host/data", "host"),
        ("~no-such-user-here/x", "home directory"),
    ],
)
def test_refused_addresses_say_what_to_do(given: str, said: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_address(given)
    assert said in str(caught.value)
    assert caught.value.remedy


def test_credentials_in_an_address_are_refused_and_not_shown() -> None:
    with pytest.raises(OptionError) as caught:
        parse_address("https://user:hunter2@help.kusto.windows.net")
    assert "hunter2" not in str(caught.value)


def test_loopback() -> None:
    assert parse_address("http://127.0.0.1:8080").is_loopback
    assert not parse_address("http://10.0.0.1:8080").is_loopback
