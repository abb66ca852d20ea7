"""What a query or command answers: columns, rows, Arrow, pandas, a stream, or a table to look at."""

from __future__ import annotations

import html
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.types import Column, result_schema
from spark_kusto.types.results import python_rows

if TYPE_CHECKING:
    import pandas
    import pyarrow as pa

SHOWN_ROWS = 20
"""Rows that ``repr`` shows."""

_WIDEST = 60


class Result:
    """One result of a query or command; :attr:`tables` has them all where there are several.

    Results within the service's limits are held in memory. With ``set notruncation`` a result is a
    stream: :meth:`to_reader` gives its batches as they come, once; everything else reads it whole.

    Args:
        columns: in order.
        batches: record batches with the Arrow types of results (``types.result_schema``).
        name: the result's name, such as ``PrimaryResult``.
        visualization: properties of ``render``, or None.
        close: stops what feeds the batches.
        is_stream: whether reading the batches takes time or memory.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        batches: Iterator[pa.RecordBatch],
        *,
        name: str = "PrimaryResult",
        visualization: Mapping[str, Any] | None = None,
        close: Callable[[], None] | None = None,
        is_stream: bool = True,
    ) -> None:
        self.name = name
        self.columns = tuple(columns)
        self.visualization = visualization
        self.tables: tuple[Result, ...] = (self,)
        self._batches = batches
        self._seen: deque[pa.RecordBatch] = deque()
        self._seen_rows = 0
        self._table: pa.Table | None = None
        self._taken = False
        self._ended = False
        self._close = close
        self._is_stream = is_stream
        self._guard = threading.RLock()

    # -- access

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """All rows as tuples of Python values: bool, int, float, Decimal, str, aware UTC datetime,
        timedelta, UUID, and for dynamic plain dicts, lists and scalars. Null is None."""
        return python_rows(self.to_arrow(), self.columns)

    def to_arrow(self) -> pa.Table:
        """The whole result as an Arrow table; fields carry the Kusto type in their metadata."""
        import pyarrow

        with self._guard:
            if self._table is None:
                self._require_untaken()
                while self._pull():
                    pass
                self._table = pyarrow.Table.from_batches(list(self._seen), result_schema(self.columns))
                self._seen.clear()
            return self._table

    def to_pandas(self) -> pandas.DataFrame:
        """The whole result as a pandas DataFrame (needs the extra ``pandas``)."""
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            from spark_kusto.errors import UnsupportedError

            raise UnsupportedError(
                "to_pandas() needs pandas, which is not installed.",
                feature="pandas",
                remedy="pip install 'spark-kusto[pandas]', or use to_arrow().",
            ) from error
        return self.to_arrow().to_pandas()

    def to_reader(self) -> pa.RecordBatchReader:
        """The result as a stream of record batches, to be read once; memory holds one batch."""
        import pyarrow

        with self._guard:
            schema = result_schema(self.columns)
            if self._table is not None:
                return self._table.to_reader()
            self._require_untaken()
            self._taken = True

            def stream() -> Iterator[pa.RecordBatch]:
                while self._seen:
                    yield self._seen.popleft()
                while self._pull():
                    yield self._seen.popleft()

            return pyarrow.RecordBatchReader.from_batches(schema, stream())

    def __len__(self) -> int:
        count: int = self.to_arrow().num_rows
        return count

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for batch in self.to_reader():
            yield from python_rows(batch, self.columns)

    def __bool__(self) -> bool:
        return True

    def close(self) -> None:
        """Stop reading; what has not been read is lost."""
        self._ended = True
        if self._close is not None:
            self._close()

    def __enter__(self) -> Result:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _pull(self) -> bool:
        """Take one batch in; False at the end."""
        if self._ended:
            return False
        batch = next(self._batches, None)
        if batch is None:
            self._ended = True
            return False
        self._seen.append(batch)
        self._seen_rows += batch.num_rows
        return True

    def _require_untaken(self) -> None:
        if self._taken:
            from spark_kusto.errors import OptionError

            raise OptionError(
                "This result was taken as a stream and cannot be read again.",
                remedy="Use to_arrow() first, which keeps it, or run the query again.",
            )

    # -- looking

    def head(self, count: int = SHOWN_ROWS) -> list[tuple[Any, ...]]:
        """The first rows, without reading (or losing) the rest."""
        import pyarrow

        with self._guard:
            if self._table is not None:
                table = self._table.slice(0, count)
            else:
                self._require_untaken()
                while self._seen_rows < count and self._pull():
                    pass
                table = pyarrow.Table.from_batches(list(self._seen), result_schema(self.columns))
                table = table.slice(0, count)
        return python_rows(table, self.columns)

    def _shown(self) -> tuple[list[list[str]], str]:
        """Texts of the first rows, and what is said below them."""
        if not self._is_stream:
            self.to_arrow()
        rows = self.head(SHOWN_ROWS + 1)
        texts = [[_shown_text(value) for value in row] for row in rows[:SHOWN_ROWS]]
        if self._table is not None or self._ended:
            count = self._table.num_rows if self._table is not None else self._seen_rows
            note = f"{count} row{'' if count == 1 else 's'}"
            if count > SHOWN_ROWS:
                note += f", the first {SHOWN_ROWS} shown"
        else:
            note = f"the first {len(texts)} rows; more to come"
        return texts, note

    def __repr__(self) -> str:
        if self._taken:
            return f"<Result {', '.join(map(str, self.columns))}: taken as a stream>"
        texts, note = self._shown()
        names = [column.name for column in self.columns]
        right = [column.type.is_numeric for column in self.columns]
        widths = [max([len(name), *(len(row[place]) for row in texts)]) for place, name in enumerate(names)]

        def line(cells: Sequence[str]) -> str:
            padded = [
                cell.rjust(width) if is_right else cell.ljust(width)
                for cell, width, is_right in zip(cells, widths, right, strict=True)
            ]
            return " | ".join(padded).rstrip()

        lines = [line(names), "-+-".join("-" * width for width in widths), *map(line, texts), f"({note})"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if self._taken:
            return html.escape(repr(self))
        texts, note = self._shown()
        head = "".join(
            f"<th title='{column.type.value}'>{html.escape(column.name)}</th>" for column in self.columns
        )
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in texts
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{html.escape(note)}</p>"


def _shown_text(value: Any) -> str:
    from spark_kusto.types.text import text_of

    text = "" if value is None else text_of(value)
    text = text.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
