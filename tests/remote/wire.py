"""Answers of a Kusto service as its documentation describes them: frames (version 2), tables (version 1)."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from decimal import Decimal
from typing import Any

from spark_kusto.client import Result
from spark_kusto.errors import KqlSemanticError, KqlSyntaxError, KustoError
from spark_kusto.types import KustoType

CLR = {
    "bool": "SByte",
    "int": "Int32",
    "long": "Int64",
    "real": "Double",
    "decimal": "SqlDecimal",
    "string": "String",
    "datetime": "DateTime",
    "timespan": "TimeSpan",
    "guid": "Guid",
    "dynamic": "Object",
}


def json_value(value: Any, type: KustoType, version: int) -> Any:
    """A value as an answer carries it."""
    if value is None:
        return None
    if type is KustoType.BOOL:
        return bool(value) if version == 2 else int(value)
    if type is KustoType.REAL and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.datetime):
        moment = value.astimezone(dt.timezone.utc).replace(tzinfo=None)
        return moment.isoformat(timespec="microseconds") + "0Z"
    if isinstance(value, dt.timedelta):
        ticks = (value.days * 86_400 + value.seconds) * 10_000_000 + value.microseconds * 10
        sign, ticks = ("-", -ticks) if ticks < 0 else ("", ticks)
        seconds, part = divmod(ticks, 10_000_000)
        minutes, second = divmod(seconds, 60)
        hours, minute = divmod(minutes, 60)
        days, hour = divmod(hours, 24)
        text = f"{hour:02}:{minute:02}:{second:02}" + (f".{part:07}" if part else "")
        return f"{sign}{days}.{text}" if days else f"{sign}{text}"
    if isinstance(value, uuid.UUID):
        return str(value)
    if type is KustoType.DYNAMIC and version == 1:
        return value if isinstance(value, str) else json.dumps(value)
    return value


def rows_of(result: Result, version: int) -> list[list[Any]]:
    return [
        [json_value(v, c.type, version) for v, c in zip(row, result.columns, strict=True)]
        for row in result.rows
    ]


def table_v1(result: Result, name: str) -> dict[str, Any]:
    return {
        "TableName": name,
        "Columns": [
            {"ColumnName": c.name, "DataType": CLR[c.type.value], "ColumnType": c.type.value}
            for c in result.columns
        ],
        "Rows": rows_of(result, 1),
    }


def answer_v1(results: list[Result]) -> dict[str, Any]:
    return {"Tables": [table_v1(result, f"Table_{n}") for n, result in enumerate(results)]}


_PROPERTIES = [
    {"ColumnName": "TableId", "ColumnType": "int"},
    {"ColumnName": "Key", "ColumnType": "string"},
    {"ColumnName": "Value", "ColumnType": "dynamic"},
]
_COMPLETION = [
    {"ColumnName": "Timestamp", "ColumnType": "datetime"},
    {"ColumnName": "ClientRequestId", "ColumnType": "string"},
    {"ColumnName": "Level", "ColumnType": "int"},
    {"ColumnName": "Payload", "ColumnType": "string"},
]


def answer_v2(
    results: list[Result], *, progressive: bool = False, fault: dict[str, Any] | None = None
) -> list[Any]:
    """The frames of a query's answer.

    fault: ``{"row": error}`` puts an error in the place of the last rows, ``{"end": error}`` at the end.
    """
    looks = results[0].visualization
    frames: list[Any] = [
        {"FrameType": "DataSetHeader", "IsProgressive": progressive, "Version": "v2.0"},
        {
            "FrameType": "DataTable",
            "TableId": 0,
            "TableKind": "QueryProperties",
            "TableName": "@ExtendedProperties",
            "Columns": _PROPERTIES,
            "Rows": [[1, "Visualization", json.dumps(looks or {"Visualization": None})]],
        },
    ]
    for number, result in enumerate(results, 1):
        columns = [{"ColumnName": c.name, "ColumnType": c.type.value} for c in result.columns]
        rows: list[Any] = rows_of(result, 2)
        head = {"TableId": number, "TableKind": "PrimaryResult", "TableName": result.name, "Columns": columns}
        if fault and "row" in fault:
            rows = [*rows[: len(rows) // 2], {"OneApiErrors": [{"error": fault["row"]}]}]
        if not progressive:
            frames.append({"FrameType": "DataTable", **head, "Rows": rows})
            continue
        frames.append({"FrameType": "TableHeader", **head})
        half = len(rows) // 2
        pieces = [("DataReplace", rows[:1]), ("DataReplace", rows[:half]), ("DataAppend", rows[half:])]
        for kind, part in pieces:
            frames.append(
                {
                    "FrameType": "TableFragment",
                    "TableFragmentType": kind,
                    "TableId": number,
                    "FieldCount": len(columns),
                    "Rows": part,
                }
            )
            frames.append({"FrameType": "TableProgress", "TableId": number, "TableProgress": 50.0})
        frames.append({"FrameType": "TableCompletion", "TableId": number, "RowCount": len(rows)})
    frames.append(
        {
            "FrameType": "DataTable",
            "TableId": len(results) + 1,
            "TableKind": "QueryCompletionInformation",
            "TableName": "QueryCompletionInformation",
            "Columns": _COMPLETION,
            "Rows": [["2024-01-01T00:00:00Z", "id", 4, "{}"]],
        }
    )
    end: dict[str, Any] = {"FrameType": "DataSetCompletion", "HasErrors": False, "Cancelled": False}
    if fault:
        end["HasErrors"] = True
        if "end" in fault:
            end["OneApiErrors"] = [{"error": fault["end"]}]
    return [*frames, end]


def api_error(
    code: str, text: str, *, type: str = "Kusto.Data.Exceptions.KustoServiceException", permanent: bool = True
) -> dict[str, Any]:
    return {
        "code": code,
        "message": "Request is invalid and cannot be executed.",
        "@type": type,
        "@message": text,
        "@context": {
            "timestamp": "2024-01-01T00:00:00Z",
            "activityId": "6e3c8dab-0aaf-4df5-85b5-fc20b0b29a84",
        },
        "@permanent": permanent,
    }


def error_of(error: KustoError) -> tuple[int, dict[str, Any]]:
    """Status and body for what the engine raised."""
    text, kind, status = str(error), "Kusto.Data.Exceptions.KustoServiceException", 400
    if isinstance(error, KqlSyntaxError):
        kind = "Kusto.Data.Exceptions.SyntaxException"
        text = (
            f"Request is invalid and cannot be processed: Syntax error: {error.code}: {error.message}"
            f" [line:position={error.line}:{error.column}]"
        )
    elif isinstance(error, KqlSemanticError):
        kind = "Kusto.Data.Exceptions.SemanticException"
        text = f"Request is invalid and cannot be processed: Semantic error: {error.code}: {error.message}"
    elif error.code == "Request_ExecutionTimeout":
        status = 504
    return status, {"error": api_error(error.code, text, type=kind, permanent=error.permanent)}
