"""Parquet and ORC, in pieces."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from spark_kusto.engine.formats.names import Format
from spark_kusto.errors import IngestError

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 131_072


def read_columnar(stream: IO[bytes], kind: Format) -> Iterator[pa.Table]:
    """Tables with the file's own columns.

    Raises:
        IngestError: the data is not of that format.
    """
    import pyarrow

    source = stream if stream.seekable() else io.BytesIO(stream.read())
    try:
        if kind.name == "orc":
            import pyarrow.orc

            file = pyarrow.orc.ORCFile(source)
            for stripe in range(file.nstripes):
                yield pyarrow.Table.from_batches([file.read_stripe(stripe)])
            return
        import pyarrow.parquet

        parquet = pyarrow.parquet.ParquetFile(source)
        for batch in parquet.iter_batches(_ROWS):
            yield pyarrow.Table.from_batches([batch])
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise IngestError(
            f"The data is not {kind.name}: {str(error).splitlines()[0]}",
            remedy="Check the data and the 'format' property.",
        ) from error


def columnar_schema(stream: IO[bytes], kind: Format) -> pa.Schema:
    """The Arrow schema of a parquet or orc file."""
    import pyarrow

    try:
        if kind.name == "orc":
            import pyarrow.orc

            return pyarrow.orc.ORCFile(stream).schema
        import pyarrow.parquet

        return pyarrow.parquet.read_schema(stream)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise IngestError(
            f"The data is not {kind.name}: {str(error).splitlines()[0]}",
            remedy="Check the data and the 'format' property.",
        ) from error
