"""Results as tables for a terminal, CSV, JSON and Parquet.

All but the terminal's tables stream: a result of any size needs the memory of one record batch.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import IO, TYPE_CHECKING, Any

from spark_kusto.errors import OptionError
from spark_kusto.types import KustoType
from spark_kusto.types.text import text_of

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.client import Result

NUMBERS = frozenset({KustoType.INT, KustoType.LONG, KustoType.REAL, KustoType.DECIMAL, KustoType.TIMESPAN})
LEAST = 6  # and what it keeps however narrow the terminal


def write_results(result: Result, form: str, output: str | None, rows: int, started: float) -> None:
    """Write every table of a result.

    Args:
        form: table, csv, json or parquet.
        output: a file's path; standard output when None.
        rows: how many a table shows at most, 0 for all.
        started: ``time.perf_counter()`` of when it was asked, for the line below a table.
    """
    tables = list(result.tables) or [result]
    if form == "parquet":
        if len(tables) > 1:
            raise OptionError(
                f"The query gives {len(tables)} results and a Parquet file holds one.",
                remedy="Leave all statements but one out.",
            )
        _write_parquet(tables[0], output)
        return
    with _opened(output) as file:
        for number, table in enumerate(tables):
            if number:
                file.write("\n")
            if form == "csv":
                _write_csv(table, file)
            elif form == "json":
                _write_json(table, file)
            else:
                _write_table(table, file, rows, started)


@contextmanager
def _opened(output: str | None) -> Iterator[IO[str]]:
    if output is None:
        yield sys.stdout
        return
    try:
        with open(output, "w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise _unwritable(output, error) from error


def _unwritable(output: str, error: OSError) -> OptionError:
    return OptionError(f"'{output}' could not be written: {error.strerror or error}.")


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    """Python values, a record batch at a time; dynamic stays JSON text."""
    for batch in batches:
        columns = [column.to_pylist() for column in batch.columns]
        yield from zip(*columns, strict=True)


def _write_csv(result: Result, file: IO[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(column.name for column in result.columns)
    for row in _rows(result.to_reader()):
        writer.writerow(map(text_of, row))


def _write_json(result: Result, file: IO[str]) -> None:
    """An array of objects, one to a line."""
    names = [column.name for column in result.columns]
    types = [column.type for column in result.columns]
    file.write("[")
    separator = "\n  "
    for row in _rows(result.to_reader()):
        values = map(_json_value, row, types)
        file.write(separator + json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False))
        separator = ",\n  "
    file.write("\n]\n")


def _json_value(value: Any, kind: KustoType) -> Any:
    if value is None:
        return None
    if kind is KustoType.DYNAMIC:
        return json.loads(value)
    if kind is KustoType.REAL:
        # JSON has no NaN and no infinities; Kusto writes them as texts.
        return value if value - value == 0 else text_of(value)
    return value if isinstance(value, bool | int | str) else text_of(value)


def _write_parquet(result: Result, output: str | None) -> None:
    import pyarrow.parquet as pq

    reader = result.to_reader()
    try:
        with (
            open(output, "wb") if output is not None else nullcontext(sys.stdout.buffer) as sink,
            pq.ParquetWriter(sink, reader.schema, compression="zstd") as writer,
        ):
            for batch in reader:
                writer.write_batch(batch)
    except OSError as error:
        raise _unwritable(output or "standard output", error) from error


# -- tables for a terminal ------------------------------------------------------------------------


def _write_table(result: Result, file: IO[str], rows: int, started: float) -> None:
    shown, count = _first(result, rows)
    terminal = file.isatty()
    width = shutil.get_terminal_size((120, 24)).columns if terminal else None
    for line in table_lines(
        [column.name for column in result.columns],
        [column.type for column in result.columns],
        shown,
        width=width,
        dim=terminal,
        ascii_only=not _speaks_unicode(file),
    ):
        file.write(line + "\n")
    told = plural(count, "row")
    if count > len(shown):
        told += f", the first {len(shown):,} shown (--rows 0 shows all)"
    file.write(f"{told}, {time.perf_counter() - started:.2f} s\n")


def _first(result: Result, rows: int) -> tuple[list[tuple[Any, ...]], int]:
    """The first rows (0 for all) as Python values, and how many there are; the others are only counted."""
    shown: list[tuple[Any, ...]] = []
    count = 0
    for batch in result.to_reader():
        count += batch.num_rows
        wanted = batch if rows <= 0 else batch.slice(0, rows - len(shown))
        shown.extend(_rows([wanted]))
    return shown, count


def table_lines(
    names: Sequence[str],
    types: Sequence[KustoType],
    rows: Sequence[Sequence[Any]],
    *,
    width: int | None = None,
    dim: bool = False,
    ascii_only: bool = False,
) -> Iterator[str]:
    """The lines of a table: names, a rule, rows; numbers to the right.

    Args:
        width: columns are cut, the widest first, until they fit into this many characters.
        dim: nulls and the rule are shown faintly, with the terminal's codes.
        ascii_only: nothing but ASCII is used for rules and cuts.
    """
    rule, cut = ("-", "...") if ascii_only else ("─", "…")
    cells = [[display(value, kind) for value, kind in zip(row, types, strict=True)] for row in rows]
    natural = [
        max([_cells_wide(name), *(_cells_wide(row[at]) for row in cells)]) for at, name in enumerate(names)
    ]
    widths = _fitted(natural, width)
    right = [kind in NUMBERS for kind in types]

    def line(texts: Sequence[str], nulls: Sequence[bool]) -> str:
        parts = []
        for text, space, to_right, null in zip(texts, widths, right, nulls, strict=True):
            text = _shortened(text, space, cut)
            pad = " " * (space - _cells_wide(text))
            if null and dim:
                text = f"\033[2m{text}\033[0m"
            parts.append(pad + text if to_right else text + pad)
        return "  ".join(parts).rstrip()

    plain = [False] * len(names)
    yield line(names, plain)
    yield "  ".join(f"\033[2m{rule * space}\033[0m" if dim else rule * space for space in widths)
    for row, texts in zip(rows, cells, strict=True):
        yield line(texts, [value is None for value in row])


def display(value: Any, kind: KustoType) -> str:
    """A value as a reader likes it: no zeros that say nothing, control characters made visible."""
    if value is None:
        return "null"
    if kind is KustoType.REAL:
        return f"{value:.10g}" if value - value == 0 else text_of(value)
    if kind is KustoType.DATETIME:
        day, _, clock = text_of(value).rstrip("Z").partition("T")
        clock = clock.rstrip("0").rstrip(".") if "." in clock else clock
        return f"{day} {clock}Z"
    if kind is KustoType.BOOL:
        return "true" if value else "false"
    text = text_of(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _visible(char) for char in text)


def _visible(char: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char) or f"\\u{ord(char):04x}"


def _fitted(natural: Sequence[int], width: int | None) -> list[int]:
    widths = list(natural)
    if width is None:
        return widths
    room = width - 2 * (len(widths) - 1)
    while widths and sum(widths) > room and max(widths) > LEAST:
        at = max(range(len(widths)), key=widths.__getitem__)
        others = sorted(set(widths))
        # Down to the next widest, or as far as needed.
        lower = others[-2] if len(others) > 1 else LEAST
        widths[at] = max(LEAST, lower - 1, widths[at] - (sum(widths) - room))
    return widths


def _shortened(text: str, space: int, cut: str) -> str:
    if _cells_wide(text) <= space:
        return text
    room = max(space - len(cut), 0)
    kept = ""
    used = 0
    for char in text:
        used += _cells_wide(char)
        if used > room:
            break
        kept += char
    return (kept + cut)[: max(space, 0)] if len(cut) > space else kept + cut


def _cells_wide(text: str) -> int:
    """Columns a text takes in a terminal: East Asian characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _speaks_unicode(file: IO[str]) -> bool:
    try:
        "─…".encode(getattr(file, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(bytes: int) -> str:
    """A number of bytes as people say it: ``3.2 MB`` (decimal units)."""
    value = float(bytes)
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"
