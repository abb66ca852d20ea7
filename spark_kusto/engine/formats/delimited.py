"""csv and its kin: tables of text, one column for each place in a record.

A record with fewer fields than others has nulls at its end, and one with more keeps them: what a
table's columns do not take is ignored, as in Kusto.
"""

from __future__ import annotations

import csv
import io
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
    import pyarrow
    import pyarrow.csv

    ragged: list[str] = []

    def keep(row: Any) -> str:
        ragged.append(row.text)
        return "skip"

    escaped = kind.name == "tsve"
    try:
        reader = pyarrow.csv.open_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(
                autogenerate_column_names=True, block_size=_BLOCK, skip_rows=0, use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=kind.delimiter,
                quote_char=False if escaped else '"',
                double_quote=not escaped,
                escape_char="\\" if escaped else False,
                newlines_in_values=not escaped,
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
            if first and batch.num_rows:
                batch, first = batch.slice(1), False
            if batch.num_rows:
                yield pyarrow.Table.from_batches([batch])
    except pyarrow.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return
        raise IngestError(
            f"The data is not {kind.name}: {error}", remedy="Check the data and the 'format' property."
        ) from error
    if ragged:
        yield _ragged_table(ragged, kind, width)


def _ragged_table(rows: list[str], kind: Format, width: int) -> pa.Table:
    import pyarrow

    if kind.name == "tsve":
        options: dict[str, Any] = {"quoting": csv.QUOTE_NONE, "escapechar": "\\"}
    else:
        options = {"quotechar": '"', "doublequote": True}
    fields = [
        next(csv.reader(io.StringIO(row), delimiter=kind.delimiter or ",", **options), []) for row in rows
    ]
    width = max(width, max(map(len, fields)))
    return pyarrow.table(
        {
            f"f{place}": pyarrow.array(
                [row[place] if place < len(row) else None for row in fields], pyarrow.string()
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
