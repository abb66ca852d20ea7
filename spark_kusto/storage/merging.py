"""Merging small extents into larger ones: which, by the merge policy, and the copy.

Rows keep their commit sequence and ingestion time in two hidden columns, so cursors and retention see
them as before. Extents with different ``drop-by:`` tags are never merged (Kusto documentation, "Extent
tags", "Extents merge policy").
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_kusto.storage.checking import Checking, corrupt_extent, open_extent
from spark_kusto.storage.ingestion import INGEST_BY
from spark_kusto.storage.model import (
    INGESTED_COLUMN,
    INGESTED_FIELD_ID,
    SEQUENCE_COLUMN,
    SEQUENCE_FIELD_ID,
    ChangeContext,
    CommitResult,
    Extent,
    StoredColumn,
    TableSnapshot,
)
from spark_kusto.storage.staging import ROW_GROUP_ROWS, TARGET_BYTES, ExtentWriter
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_READ = 65_536
_NEGLIGIBLE_BYTES = 256 * 1024
"""Copying fewer bytes than this costs what opening a file costs."""

HIDDEN_COLUMNS = (
    StoredColumn(SEQUENCE_FIELD_ID, SEQUENCE_COLUMN, KustoType.LONG),
    StoredColumn(INGESTED_FIELD_ID, INGESTED_COLUMN, KustoType.DATETIME),
)
"""What merged files hold besides the table's columns."""


@dataclass(frozen=True)
class MergePolicy:
    """When extents are merged.

    Attributes:
        max_rows: no merge makes an extent with more rows.
        max_bytes: nor one with more bytes before encoding.
        max_extents: no merge takes more extents.
        min_extents: fewer small ones than this are left alone, unless they make a full extent.
        max_range: creation times of what is merged lie within this.
        target_bytes: extents of this size on disk are large enough.
    """

    max_rows: int = 16_000_000
    max_bytes: int = 30_000 * 1024 * 1024
    max_extents: int = 100
    min_extents: int = 8
    max_range: dt.timedelta = dt.timedelta(hours=24)
    target_bytes: int = TARGET_BYTES

    @classmethod
    def parse(cls, text: str | Mapping[str, object]) -> MergePolicy:
        """The policy of a Kusto merge policy object (JSON); what it leaves out is the default."""
        value: dict[str, Any] = json.loads(text) if isinstance(text, str) else dict(text)
        default = cls()
        allowed = value.get("AllowMerge", True)
        return cls(
            max_rows=int(value.get("RowCountUpperBoundForMerge") or default.max_rows),
            max_bytes=int(value.get("OriginalSizeMBUpperBoundForMerge") or default.max_bytes >> 20) << 20,
            max_extents=int(value.get("MaxExtentsToMerge") or default.max_extents) if allowed else 0,
            max_range=dt.timedelta(hours=float(value.get("MaxRangeInHours") or 24)),
        )


def plan_merges(table: TableSnapshot, policy: MergePolicy | None = None) -> list[tuple[Extent, ...]]:
    """Groups of a table's extents that are worth merging, each into one, oldest first."""
    policy = policy or MergePolicy()
    groups: dict[frozenset[str], list[Extent]] = {}
    for extent in table.extents:
        if extent.size < policy.target_bytes // 2 and extent.row_count < policy.max_rows:
            groups.setdefault(_alike(extent), []).append(extent)
    planned: list[tuple[Extent, ...]] = []
    for extents in groups.values():
        extents.sort(key=lambda extent: extent.created_on)
        planned += _cut(extents, policy)
    return planned


def _alike(extent: Extent) -> frozenset[str]:
    """What extents that may be merged have in common.

    Tags are how users drop and replace data, so rows do not get tags of others. Those for idempotence, of
    which every ingestion may have its own, gather in the merged extent.
    """
    return frozenset(INGEST_BY if tag.startswith(INGEST_BY) else tag for tag in extent.tags)


def _cut(extents: Sequence[Extent], policy: MergePolicy) -> Iterator[tuple[Extent, ...]]:
    chosen: list[Extent] = []
    for extent in extents:
        if chosen and not _fits([*chosen, extent], policy):
            yield from _worth_merging(chosen, policy)
            chosen = []
        chosen.append(extent)
    yield from _worth_merging(chosen, policy)


def _fits(together: Sequence[Extent], policy: MergePolicy) -> bool:
    return (
        len(together) <= policy.max_extents
        and sum(e.row_count for e in together) <= policy.max_rows
        and sum(e.original_size for e in together) <= policy.max_bytes
        and sum(e.size for e in together) <= policy.target_bytes
        and max(e.created_on for e in together) - min(e.min_created_on for e in together) <= policy.max_range
    )


def _worth_merging(chosen: Sequence[Extent], policy: MergePolicy) -> Iterator[tuple[Extent, ...]]:
    """The chosen extents, but for those that outweigh the others together.

    So an extent is copied only into one twice its size, and a row a logarithmic number of times, however
    many small commits there are.
    """
    kept = list(chosen)
    while len(kept) > 1:
        largest = max(kept, key=_weight)
        if 2 * _weight(largest) <= sum(_weight(extent) for extent in kept):
            break
        kept.remove(largest)
    size = sum(extent.size for extent in kept)
    if len(kept) > 1 and (len(kept) >= policy.min_extents or size >= policy.target_bytes // 2):
        yield tuple(kept)


def _weight(extent: Extent) -> int:
    return max(extent.original_size, _NEGLIGIBLE_BYTES)


class Merging(Checking):
    """Running merges."""

    def merge_extents(
        self,
        table: TableSnapshot,
        extents: Sequence[Extent],
        *,
        row_group_rows: int = ROW_GROUP_ROWS,
        context: ChangeContext | None = None,
    ) -> CommitResult:
        """Copy extents of a table into one and put it in their place.

        Streams: at most one row group is in memory.

        Raises:
            IngestConflictError: one of them went away meanwhile; nothing has changed.
            CorruptExtentError: one cannot be read; nothing has changed.
        """
        operation = self.begin_ingest(table.name)
        present = {column_id for extent in extents for column_id in extent.fields}
        columns = [column for column in operation.columns if column.id in present]
        writer = ExtentWriter(
            operation, [*columns, *HIDDEN_COLUMNS], row_group_rows=row_group_rows, target_bytes=2**62
        )
        try:
            for batch in read_rows(extents, columns):
                writer.write(batch)
            staged = writer.close()
            return self.commit_merge(operation, staged, [e.id for e in extents], context=context)
        except BaseException:
            writer.discard()
            self.abort_ingest(operation)
            raise

    def plan_merges(
        self, table: TableSnapshot, policy: MergePolicy | None = None
    ) -> list[tuple[Extent, ...]]:
        """Groups of a table's extents worth merging (see :func:`plan_merges`)."""
        return plan_merges(table, policy)


def read_rows(extents: Iterable[Extent], columns: Sequence[StoredColumn]) -> Iterator[pa.RecordBatch]:
    """All rows of extents in storage form, with the hidden columns, in the order of the extents.

    Raises:
        CorruptExtentError: a file cannot be read; the extent is named.
    """
    import pyarrow as pa

    from spark_kusto.types.table import field_id_of

    for extent in extents:
        try:
            with open_extent(extent.path, extent.id) as file:
                wanted = {extent.fields[c.id] for c in columns if c.id in extent.fields}
                if extent.has_row_sequences:
                    wanted |= {column.id for column in HIDDEN_COLUMNS}
                names = [field.name for field in file.schema_arrow if field_id_of(field) in wanted]
                for batch in file.iter_batches(batch_size=_ROWS_READ, columns=names):
                    yield _with_hidden(batch, extent, columns)
        except (OSError, pa.ArrowException) as error:
            raise corrupt_extent(extent.id, extent.path, str(error)) from error


def _with_hidden(batch: pa.RecordBatch, extent: Extent, columns: Sequence[StoredColumn]) -> pa.RecordBatch:
    import pyarrow as pa

    from spark_kusto.types.storing import to_storage
    from spark_kusto.types.table import field_id_of

    found = {field_id_of(field): index for index, field in enumerate(batch.schema)}
    arrays: list[pa.Array] = []
    for column in columns:
        field_id = extent.fields.get(column.id)
        if field_id is None or field_id not in found:
            missing = pa.nulls(batch.num_rows, column.type.arrow_storage())
            arrays.append(missing.fill_null("") if column.type is KustoType.STRING else missing)
        else:
            array = batch.column(found[field_id])
            arrays.append(to_storage(array, column.type, name=column.name, declared=column.type))
    for column in HIDDEN_COLUMNS:
        if extent.has_row_sequences:
            arrays.append(batch.column(found[column.id]))
            continue
        value = extent.sequence if column.id == SEQUENCE_FIELD_ID else extent.ingested_on.replace(tzinfo=None)
        arrays.append(pa.repeat(pa.scalar(value, column.type.arrow_storage()), batch.num_rows))
    return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in (*columns, *HIDDEN_COLUMNS)])
