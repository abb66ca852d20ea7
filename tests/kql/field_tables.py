"""Tables as monitoring and security products have them: names and types of their usual columns."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from spark_kusto.types import KustoType
from tests.kql.executor import NOW

FOLDER = Path(__file__).parent / "field"


def _schemas() -> dict[str, list[tuple[str, str]]]:
    tables: dict[str, list[tuple[str, str]]] = {}
    for line in (FOLDER / "tables.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            name, _, line = line.partition(":")
            tables[name] = []
        for column in filter(None, (part.strip() for part in line.split(","))):
            column, _, kind = column.partition(":")
            tables[name].append((column, kind or "string"))
    return tables


SCHEMAS = _schemas()
"""Columns (name, type) by table."""

_TEXTS = {
    "Computer": ("srv-01", "srv-02.contoso.com", "wks-7"),
    "DeviceName": ("wks-1", "wks-2", "srv-db"),
    "FileName": ("powershell.exe", "cmd.exe", "rundll32.exe"),
    "InitiatingProcessFileName": ("winword.exe", "explorer.exe", "cmd.exe"),
    "ProcessCommandLine": (
        "powershell.exe -enc SGVsbG8gd29ybGQ= -nop",
        "cmd.exe /c whoami /all",
        'rundll32.exe "C:\\Users\\x\\a.dll",Start',
    ),
    "ResultType": ("0", "50126", "0"),
    "Parameters": ('[{"Name":"ForwardTo","Value":"a@evil.example"}]', "[]", ""),
    "EventData": (
        '<EventData><Data Name="Image">C:\\a.exe</Data><Data Name="User">x</Data></EventData>',
        "",
        "<EventData/>",
    ),
    "SyslogMessage": (
        "Failed password for root from 203.0.113.9 port 22 ssh2",
        "Accepted publickey for ann from 198.51.100.7 port 5022",
        "session opened",
    ),
    "LocationDetails": ('{"city":"Oslo","countryOrRegion":"NO"}', "{}", ""),
    "Properties": ('{"statusCode":"Created","entity":"/a/b"}', "", "not json"),
    "Entities": ('[{"Type":"account","Name":"ann"},{"Type":"ip","Address":"203.0.113.9"}]', "[]", ""),
    "url": ("https://shop.example/a/b?x=1&y=2", "http://shop.example:8080/", "garbage"),
}
_JSON: dict[str, tuple[Any, ...]] = {
    "LocationDetails": (
        {"city": "Oslo", "countryOrRegion": "NO", "geoCoordinates": {"latitude": 59.9, "longitude": 10.7}},
        {"countryOrRegion": "US"},
        None,
    ),
    "TargetResources": (
        [{"id": "1", "displayName": "app", "modifiedProperties": [{"displayName": "K", "newValue": "[]"}]}],
        [],
        None,
    ),
    "InitiatedBy": (
        {"user": {"userPrincipalName": "ann@contoso.com", "ipAddress": "203.0.113.9"}},
        {"app": {"displayName": "sync"}},
        None,
    ),
    "LoggedOnUsers": ([{"UserName": "ann", "Sid": "S-1-5-21"}], [], None),
    "ConditionalAccessPolicies": ([{"id": "p1", "result": "success", "displayName": "mfa"}], [], None),
}


def _sample(name: str, kind: str, place: int) -> Any:
    if kind == "datetime":
        return NOW - dt.timedelta(hours=5 * place + 1)
    if kind in ("int", "long"):
        return (4625, 4688, 443)[place]
    if kind == "real":
        return (12.5, 97.25, 300.0)[place]
    if kind == "bool":
        return (True, False, None)[place]
    if kind == "dynamic":
        return _JSON.get(name, ({"a": 1, "key": "v", "list": [1, 2]}, {}, None))[place]
    if name in _TEXTS:
        return _TEXTS[name][place]
    if name.lower().endswith(("ip", "ipaddress", "clientip", "cip", "sip")):
        return ("203.0.113.9", "10.1.2.3", "2001:db8::1")[place]
    return (f"{name} one", f"{name} two", "")[place]


def field_queries() -> dict[str, str]:
    """Queries by name: in the files, each begins after a line of ``//// name``."""
    found: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*.kql")):
        for part in path.read_text(encoding="utf-8").split("//// ")[1:]:
            name, _, text = part.partition("\n")
            assert name not in found, name
            found[name] = text.strip()
    return found


def field_arrow(table: str) -> pa.Table:
    """Three rows of a table."""
    arrays = {}
    for name, kind in SCHEMAS[table]:
        values = [_sample(name, kind, place) for place in range(3)]
        if kind == "dynamic":
            values = [None if value is None else json.dumps(value) for value in values]
        arrays[name] = pa.array(values, KustoType(kind).arrow_storage())
    return pa.table(arrays)
