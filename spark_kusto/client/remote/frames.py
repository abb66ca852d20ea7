"""Answers of the REST API as they come: tables with rows, read piece by piece.

A query's answer (version 2) is an array of frames. Rows of a large answer come in one ``DataTable`` or in
many ``TableFragment`` frames; either way no more of it is in memory than a batch. Errors may stand in the
place of a row, at a table's end and at the answer's end, after a status of 200.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from spark_kusto.client.remote.failures import ApiError, api_errors
from spark_kusto.types import Column, KustoType

__all__ = ["AnswerCutError", "AnswerTable", "PartialFailure", "read_frames", "read_tables"]

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*").match


class AnswerCutError(Exception):
    """The answer ended before its end, or is no answer of a Kusto service."""


class PartialFailure(Exception):
    """An answer that began with 200 says that the query failed."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.text)
        self.error = error


@dataclass
class AnswerTable:
    """One table of an answer.

    Attributes:
        name: such as ``PrimaryResult``.
        kind: ``PrimaryResult``, ``QueryProperties`` or ``QueryCompletionInformation``.
        columns: in order.
        rows: to be read before the next table; the rows so far where they come in fragments.
        replaces: these rows come in the place of those before them.
        id: tells tables apart.
    """

    name: str
    kind: str
    columns: tuple[Column, ...]
    rows: Iterable[list[Any]] = field(default_factory=list)
    replaces: bool = False
    id: int = 0


def column_of(entry: Mapping[str, Any]) -> Column:
    """A column as an answer describes it."""
    return Column(
        str(entry["ColumnName"]), KustoType.parse(str(entry.get("ColumnType") or entry["DataType"]))
    )


# -- text as it comes -------------------------------------------------------------------------------


class _Text:
    """JSON text that is still arriving."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._ended = False

    def _more(self) -> bool:
        """Take in at least as much again as waits, so that long values are not parsed over and over."""
        if self._ended:
            return False
        rest = self._text[self._at :]
        parts, size = [rest], 0
        while size <= len(rest):
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                parts.append(self._decode.decode(b"", final=True))
                break
            parts.append(self._decode.decode(piece))
            size += len(parts[-1])
        self._text, self._at = "".join(parts), 0
        return True

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            self._at = _SPACE(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> None:
        """Pass over one character that must be there."""
        found = self.peek()
        if found != wanted:
            raise AnswerCutError(
                "the answer ended too early" if not found else f"'{wanted}' expected, and there is '{found}'"
            )
        self._at += 1

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._more():
                    continue
                raise AnswerCutError("the answer ended too early, or is not JSON") from error
            # A number may go on in the next piece.
            if end == len(self._text) and not self._ended and not isinstance(value, dict | list | str):
                self._more()
                continue
            self._at = end
            return value

    def items(self) -> Iterator[Any]:
        """The values of an array, one by one."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        decode = _DECODER.raw_decode
        while True:
            # Most values are here whole, with a comma after them: no more than that is done for them.
            self.peek()
            try:
                value, end = decode(self._text, self._at)
            except json.JSONDecodeError:
                value = self.value()
            else:
                if self._text[end : end + 1] == ",":
                    self._at = end + 1
                    yield value
                    continue
                value = self.value()
            yield value
            if self.peek() == ",":
                self.take(",")
                continue
            self.take("]")
            return


def _rows(text: _Text) -> Iterator[list[Any]]:
    for row in text.items():
        if not isinstance(row, list):
            found = next(api_errors(row), None)
            raise PartialFailure(found or ApiError("", json.dumps(row)[:300]))
        yield row


# -- version 2 --------------------------------------------------------------------------------------


def read_frames(pieces: Iterator[bytes]) -> Iterator[AnswerTable]:
    """The tables of a query's answer, as they come; a table in fragments comes once for each.

    Raises:
        PartialFailure: the answer says that the query failed.
        AnswerCutError: it ended too early.
    """
    text = _Text(pieces)
    if text.peek() == "{":
        # An error in the form of those that come with other statuses; or version 1.
        value = text.value()
        found = next(api_errors(value), None)
        if found is not None:
            raise PartialFailure(found)
        yield from _tables_of(value)
        return
    text.take("[")
    headers: dict[Any, AnswerTable] = {}
    complete = False
    while text.peek() != "]":
        frame = _Frame(text)
        yield from frame.tables(headers)
        if frame.kind == "DataSetCompletion":
            complete = True
        if text.peek() == ",":
            text.take(",")
    text.take("]")
    if not complete:
        raise AnswerCutError("the answer has no end frame")


class _Frame:
    """One frame: its properties, and its rows while they are read."""

    def __init__(self, text: _Text) -> None:
        self._text = text
        self.properties: dict[str, Any] = {}

    @property
    def kind(self) -> str:
        return str(self.properties.get("FrameType", ""))

    def tables(self, headers: dict[Any, AnswerTable]) -> Iterator[AnswerTable]:
        text = self._text
        text.take("{")
        while text.peek() != "}":
            key = text.value()
            text.take(":")
            if key == "Rows":
                yield from self._table(headers)
            else:
                self.properties[str(key)] = text.value()
            if text.peek() == ",":
                text.take(",")
        text.take("}")
        if self.kind == "TableHeader":
            headers[self.properties.get("TableId")] = self._header()
        self._check()

    def _header(self) -> AnswerTable:
        given = self.properties
        try:
            columns = tuple(column_of(entry) for entry in given["Columns"])
        except KeyError as error:
            raise AnswerCutError(f"a frame lacks {error}") from None
        return AnswerTable(
            str(given.get("TableName", "")),
            str(given.get("TableKind", "")),
            columns,
            id=given.get("TableId", 0),
        )

    def _table(self, headers: dict[Any, AnswerTable]) -> Iterator[AnswerTable]:
        if self.kind == "TableFragment":
            header = headers.get(self.properties.get("TableId"))
            if header is None:
                raise AnswerCutError("rows came before their table's header")
            replaces = self.properties.get("TableFragmentType") == "DataReplace"
            table = AnswerTable(header.name, header.kind, header.columns, replaces=replaces, id=header.id)
        else:
            table = self._header()
        table.rows = _rows(self._text)
        yield table
        for _ in table.rows:  # what the reader left
            pass

    def _check(self) -> None:
        errors = self.properties.get("OneApiErrors")
        if errors or self.properties.get("HasErrors"):
            found = next(api_errors(errors or []), None)
            raise PartialFailure(found or ApiError("", "the service reports an error and does not say which"))
        if self.properties.get("Cancelled"):
            raise PartialFailure(ApiError("General_Aborted", "The query was cancelled"))


# -- version 1 --------------------------------------------------------------------------------------

_KINDS = {
    "QueryResult": "PrimaryResult",
    "QueryProperties": "QueryProperties",
    "QueryStatus": "QueryCompletionInformation",
}


def read_tables(body: str) -> list[AnswerTable]:
    """The result tables of a command's answer (version 1).

    Raises:
        PartialFailure: the answer says that the command failed.
        AnswerCutError: it is no such answer.
    """
    try:
        value = json.loads(body)
    except ValueError:
        raise AnswerCutError("the answer ended too early, or is not JSON") from None
    return list(_tables_of(value))


def _tables_of(value: Any) -> Iterator[AnswerTable]:
    if not isinstance(value, Mapping) or not isinstance(value.get("Tables"), list):
        found = next(api_errors(value), None)
        if found is not None:
            raise PartialFailure(found)
        raise AnswerCutError("the answer has no tables")
    tables = []
    for number, entry in enumerate(value["Tables"]):
        for row in entry.get("Rows", ()):
            if not isinstance(row, list):
                found = next(api_errors(row), None)
                raise PartialFailure(found or ApiError("", json.dumps(row)[:300]))
        columns = tuple(column_of(column) for column in entry["Columns"])
        name = str(entry.get("TableName", ""))
        tables.append(AnswerTable(name, "PrimaryResult", columns, entry.get("Rows", []), id=number))
    errors = next(api_errors({"Exceptions": value.get("Exceptions")}), None)
    if errors is not None:
        raise PartialFailure(errors)
    if len(tables) <= 2:
        yield from tables[:1]
        return
    # With three tables and more the last one says what the others are.
    contents = tables[-1]
    places = {column.name: place for place, column in enumerate(contents.columns)}
    if "Kind" not in places:
        yield from tables
        return
    for table, row in zip(tables, contents.rows, strict=False):
        table.kind = _KINDS.get(str(row[places["Kind"]]), str(row[places["Kind"]]))
        if "Name" in places:
            table.name = str(row[places["Name"]])
    for table in tables[:-1]:
        if table.kind == "QueryCompletionInformation":
            _check_status(table)
    yield from (table for table in tables[:-1] if table.kind == "PrimaryResult")


def _check_status(table: AnswerTable) -> None:
    places = {column.name: place for place, column in enumerate(table.columns)}
    if "Severity" not in places:
        return
    for row in table.rows:
        severity = row[places["Severity"]]
        if isinstance(severity, int) and severity <= 2:
            said = str(row[places["StatusDescription"]]) if "StatusDescription" in places else "it failed"
            raise PartialFailure(ApiError("", said))
