"""Answers arrive in pieces of any size, and one that is cut short is never taken for a whole one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_kusto.client.remote.frames import AnswerCutError, PartialFailure, read_frames, read_tables

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.dictionaries(st.text(max_size=5), st.lists(st.integers(), max_size=3), max_size=3),
)


def frames(rows: list[Any], *, fragments: int = 0, indent: int | None = None) -> bytes:
    columns = [{"ColumnName": "a", "ColumnType": "dynamic"}]
    head = {"TableId": 1, "TableKind": "PrimaryResult", "TableName": "PrimaryResult", "Columns": columns}
    made: list[Any] = [{"FrameType": "DataSetHeader", "IsProgressive": bool(fragments), "Version": "v2.0"}]
    if fragments:
        made.append({"FrameType": "TableHeader", **head})
        size = max(1, -(-len(rows) // fragments))
        for start in range(0, max(1, len(rows)), size):
            part = rows[start : start + size]
            made.append(
                {"FrameType": "TableFragment", "TableFragmentType": "DataAppend", "TableId": 1, "Rows": part}
            )
        made.append({"FrameType": "TableCompletion", "TableId": 1, "RowCount": len(rows)})
    else:
        made.append({"FrameType": "DataTable", **head, "Rows": rows})
    made.append({"FrameType": "DataSetCompletion", "HasErrors": False, "Cancelled": False})
    return json.dumps(made, indent=indent, ensure_ascii=False).encode()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def rows_of(data: Iterator[bytes]) -> list[Any]:
    return [row for table in read_frames(data) if table.kind == "PrimaryResult" for row in table.rows]


# A machine that is busy with other suites draws slowly.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(st.lists(VALUES, min_size=1, max_size=1), max_size=8),
    size=st.integers(1, 40),
    fragments=st.integers(0, 3),
    indent=st.sampled_from([None, 1]),
)
def test_rows_are_the_same_however_they_arrive(
    rows: list[Any], size: int, fragments: int, indent: int | None
) -> None:
    assert rows_of(pieces(frames(rows, fragments=fragments, indent=indent), size)) == rows


def test_a_cut_answer_is_never_whole() -> None:
    data = frames([[1], ["two"], [{"three": [3.5]}]], fragments=2)
    for end in range(len(data)):
        with pytest.raises(AnswerCutError):
            rows_of(iter([data[:end]]))


def test_a_table_may_be_passed_over() -> None:
    tables = [(table.kind, table.columns[0].name) for table in read_frames(iter([frames([[1]] * 1000)]))]
    assert tables == [("PrimaryResult", "a")]


def test_an_error_object_alone() -> None:
    body = b'{"error": {"code": "General_BadRequest", "@message": "bad", "@permanent": true}}'
    with pytest.raises(PartialFailure, match="bad"):
        rows_of(iter([body]))


def test_tables_of_version_1_with_a_table_of_contents() -> None:
    def table(name: str, columns: list[tuple[str, str]], rows: list[Any]) -> dict[str, Any]:
        described = [{"ColumnName": n, "DataType": t} for n, t in columns]
        return {"TableName": name, "Columns": described, "Rows": rows}

    contents = [
        ("Ordinal", "Int64"),
        ("Kind", "String"),
        ("Name", "String"),
        ("Id", "String"),
        ("PrettyName", "String"),
    ]
    status = [("Severity", "Int32"), ("StatusDescription", "String")]

    def answer(severity: int) -> str:
        return json.dumps(
            {
                "Tables": [
                    table("Table_0", [("n", "Int64")], [[1]]),
                    table("Table_1", [("Value", "String")], [["{}"]]),
                    table("Table_2", status, [[severity, "it went so"]]),
                    table(
                        "Table_3",
                        contents,
                        [
                            [0, "QueryResult", "PrimaryResult", "a", ""],
                            [1, "QueryProperties", "@ExtendedProperties", "b", ""],
                            [2, "QueryStatus", "QueryStatus", "c", ""],
                        ],
                    ),
                ]
            }
        )

    (found,) = read_tables(answer(4))
    assert (found.name, found.columns[0].type.value, list(found.rows)) == ("PrimaryResult", "long", [[1]])
    with pytest.raises(PartialFailure, match="it went so"):
        read_tables(answer(2))
    with pytest.raises(AnswerCutError):
        read_tables(answer(4)[:-3])
