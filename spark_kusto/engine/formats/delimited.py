"""csv and its kin: tables of text, one column for each place in a record.

A record with fewer fields than others has nulls at its end, and one with more keeps them: what a
table's columns do not take is ignored, as in Kusto.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

from spark_kusto.engine.formats.names import Format
from spark_kusto.errors import IngestError

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 16 * 1024 * 1024
"""Bytes parsed at a time; no record may be longer than this."""

_MOST_COLUMNS = 4096


@lru_cache(maxsize=1)
def _text_columns() -> dict[str, Any]:
    import pyarrow

    return {f"f{number}": pyarrow.string() for number in range(_MOST_COLUMNS)}


def read_delimited(stream: IO[bytes], kind: Format, *, skip_first: bool = False) -> Iterator[pa.Table]:
    """Tables of text columns ``f0``, ``f1`` ...

    Raises:
        IngestError: the data is not of that format.
    """
    if kind.name in ("txt", "raw"):
        yield from _lines(stream, whole=kind.name == "raw", skip_first=skip_first)
        return
    if kind.name == "tsve":
        yield from _escaped(stream, skip_first=skip_first)
        return
    import pyarrow
    import pyarrow.csv

    ragged: list[str] = []
    source = _Terminated(stream)
    records = 0

    def keep(row: Any) -> str:
        ragged.append(row.text)
        return "skip"

    try:
        reader = pyarrow.csv.open_csv(
            pyarrow.PythonFile(source, mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                autogenerate_column_names=True, block_size=_BLOCK, skip_rows=0, use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=kind.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=True,
                invalid_row_handler=keep,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=_text_columns(), strings_can_be_null=False, quoted_strings_can_be_null=False
            ),
        )
        width = len(reader.schema)
        first = skip_first
        for batch in reader:
            records += batch.num_rows
            if first and batch.num_rows:
                batch, first = batch.slice(1), False
            if batch.num_rows:
                yield pyarrow.Table.from_batches([batch])
    except pyarrow.ArrowInvalid as error:
        if "Empty CSV file" in str(error) and not source.quotes % 2:
            return
        raise IngestError(
            f"The data is not {kind.name}: {error}", remedy="Check the data and the 'format' property."
        ) from error
    if source.quotes % 2 and records + len(ragged) < source.lines:
        # pyarrow drops what follows a quote that is never closed without a word.
        raise IngestError(
            f"The data is not {kind.name}: a quote is opened and never closed.",
            remedy="Double the quotes within values, and close the last one.",
        )
    if ragged:
        yield _ragged_table(ragged, kind, width)


class _Terminated(io.RawIOBase):
    """A stream whose last block ends with a line break: pyarrow loses a last record without one."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._next: bytes | None = None
        self.quotes = 0
        self.lines = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        current = self._stream.read(size) if self._next is None else self._next
        self._next = self._stream.read(size) if current else b""
        self.quotes += current.count(b'"')
        self.lines += current.count(b"\n") - current.count(b"\n\n") - current.count(b"\n\r\n")
        if current and not self._next and not current.endswith(b"\n"):
            return current + b"\n"
        return current


def _escaped(stream: IO[bytes], *, skip_first: bool) -> Iterator[pa.Table]:
    """tsve: no quotes; a backslash stands before what is meant literally, and in \\t, \\n, \\r."""
    lines = stream.read().decode("utf-8-sig", errors="replace").replace("\r\n", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    rows = [[_unescaped(field) for field in line.split("\t")] for line in lines[skip_first:]]
    if rows:
        yield _padded(rows, max(map(len, rows)))


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)


_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "0": "\0"}


def _ragged_table(rows: list[str], kind: Format, width: int) -> pa.Table:
    fields = [next(csv.reader(io.StringIO(row), delimiter=kind.delimiter or ","), []) for row in rows]
    return _padded(fields, max(width, max(map(len, fields))))


def _padded(rows: list[list[str]], width: int) -> pa.Table:
    import pyarrow

    return pyarrow.table(
        {
            f"f{place}": pyarrow.array(
                [row[place] if place < len(row) else None for row in rows], pyarrow.string()
            )
            for place in range(width)
        }
    )


def _lines(stream: IO[bytes], *, whole: bool, skip_first: bool) -> Iterator[pa.Table]:
    import pyarrow

    text = stream.read().decode("utf-8-sig", errors="replace")
    if whole:
        lines = [text]
    else:
        lines = text.replace("\r\n", "\n").split("\n")
        if lines and not lines[-1]:
            lines.pop()
    if skip_first:
        lines = lines[1:]
    if lines:
        yield pyarrow.table({"f0": pyarrow.array(lines, pyarrow.string())})
