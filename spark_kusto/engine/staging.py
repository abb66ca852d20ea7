"""What executors do with a begun ingestion: bring batches into the form of its columns and write files.

Opens no catalog.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_kusto.engine.properties import IngestProperties, Replace
from spark_kusto.engine.records import Reading, too_many_errors
from spark_kusto.errors import IngestError, KustoError
from spark_kusto.storage import IngestOperation, StagedFile, stage_batches
from spark_kusto.types import Column

if TYPE_CHECKING:
    import pyarrow as pa

FAILURE_NOTE = ".failure"
"""File in an operation's staging folder: why the first task that failed has failed."""


@dataclass(frozen=True)
class Projection:
    """How one column of the target is filled from typed data.

    Attributes:
        column: the target column.
        source: name of the data's column, or None.
        constant: text for every row where there is no source.
        transform: the mapping's transformation.
    """

    column: Column
    source: str | None
    constant: str | None = None
    transform: str = ""


@dataclass(frozen=True)
class EngineIngest:
    """A begun ingestion; pickles, and executors stage with it.

    Attributes:
        operation: storage's part.
        projections: how columns are filled; None where they go by name.
        errors_allowed: values that may become null because they do not fit; 0 is strict.
        mode: ``transactional``, ``queued`` or ``streaming``.
    """

    operation: IngestOperation
    projections: tuple[Projection, ...] | None
    properties: IngestProperties
    replace: Replace | None
    mode: str
    started: float

    @property
    def errors_allowed(self) -> int:
        """Values that may become null because they do not fit."""
        return self.properties.maximum_errors_allowed or 0


def stage(
    ingest: EngineIngest,
    batches: Iterable[pa.RecordBatch],
    *,
    finished: Callable[[StagedFile], None] | None = None,
) -> tuple[list[StagedFile], int]:
    """Write batches to staging; needs no catalog. Returns the files and the number of values lost.

    finished: called with every file when it is written, while the next one is.
    """
    if ingest.projections is not None:
        batches = _projected(ingest.projections, batches)
    reading = Reading()
    if ingest.errors_allowed:
        batches = _lenient(ingest, batches, reading)
    size = ingest.properties.file_bytes
    try:
        files = stage_batches(ingest.operation, batches, original_bytes=size, finished=finished)
    except KustoError as error:
        _leave_note(ingest.operation, error)
        raise
    return files, reading.errors


def _leave_note(operation: IngestOperation, error: KustoError) -> None:
    """Tell the driver, which learns of an abort but not of its reason, why a task has failed."""
    text = json.dumps({"message": str(error), "code": error.code, "permanent": error.permanent})
    # The first failure is what matters; where nothing can be written, there is nobody to tell.
    with (
        suppress(OSError),
        open(os.path.join(operation.staging, FAILURE_NOTE), "x", encoding="utf-8") as file,
    ):
        file.write(text)


def failure_note(operation: IngestOperation) -> KustoError | None:
    """Why a task of an operation has failed, as the task has left it in the staging folder."""
    try:
        with open(os.path.join(operation.staging, FAILURE_NOTE), encoding="utf-8") as file:
            note = json.load(file)
        return IngestError(note["message"], code=note["code"], permanent=note["permanent"])
    except (OSError, ValueError, KeyError):
        return None


def _projected(
    projections: Sequence[Projection], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    import pyarrow

    from spark_kusto.engine import mappings
    from spark_kusto.engine.converting import text_to_storage
    from spark_kusto.engine.records import transformed
    from spark_kusto.types import storage_field

    for batch in batches:
        arrays, fields = [], []
        for item in projections:
            if item.source is not None:
                index = batch.schema.get_field_index(item.source)
                values = batch.column(index)
                if item.transform:
                    values = transformed(values, mappings.MappingItem("", transform=item.transform))
                    fields.append(pyarrow.field(item.column.name, values.type))
                else:
                    fields.append(batch.schema.field(index).with_name(item.column.name))
                arrays.append(values)
                continue
            texts = pyarrow.repeat(pyarrow.scalar(item.constant, pyarrow.string()), batch.num_rows)
            arrays.append(text_to_storage(texts, item.column.type))
            fields.append(storage_field(item.column))
        yield pyarrow.RecordBatch.from_arrays(arrays, schema=pyarrow.schema(fields))


def _lenient(
    ingest: EngineIngest, batches: Iterable[pa.RecordBatch], reading: Reading
) -> Iterator[pa.RecordBatch]:
    import pyarrow

    from spark_kusto.engine.converting import to_stored

    known = {column.name: column.column for column in ingest.operation.columns}
    for batch in batches:
        columns = [known[name] for name in batch.schema.names if name in known]
        table = to_stored(pyarrow.Table.from_batches([batch]), columns, reading, is_text=False, lenient=True)
        if reading.errors > ingest.errors_allowed:
            raise too_many_errors(reading, ingest.errors_allowed, f"the data for '{ingest.operation.table}'")
        yield from table.to_batches()
