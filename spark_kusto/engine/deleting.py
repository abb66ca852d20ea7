"""Deleting rows by a predicate: which rows of which extents, and the files of what remains.

The query after ``<|`` is the table and operators that keep rows recognisable (``where``, ``extend``,
``project``). It runs over the table with one more column, the row's number in its file; an extent all
of whose rows go is dropped, another one is written again without them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from spark_kusto.engine.limits import COMMAND_SECONDS, request_limits
from spark_kusto.engine.scans import ROW_NUMBER
from spark_kusto.errors import IngestConflictError, KqlSemanticError, OptionError
from spark_kusto.kql import syntax
from spark_kusto.storage.merging import HIDDEN_COLUMNS, read_rows
from spark_kusto.storage.staging import ExtentWriter

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from spark_kusto.engine.engine import Engine
    from spark_kusto.storage import (
        ChangeContext,
        Database,
        Extent,
        IngestOperation,
        StagedFile,
        TableSnapshot,
    )

Result = TypeVar("Result")

_ATTEMPTS = 4
_ATTEMPT_SECONDS = 60.0
"""How often at least, and how long, a change of rows is tried while others write to the same table."""


@dataclass(frozen=True)
class Rewrites:
    """What to put in the place of rows that a predicate holds for.

    Attributes:
        files: by id of the extent: the file of its remaining rows, or None.
        looked_at: ids of all extents that were searched.
        rows: by id of the extent: numbers of the rows that go.
    """

    files: Mapping[str, StagedFile | None]
    looked_at: frozenset[str]
    rows: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class DeletedRows:
    """What a deletion did to one extent."""

    extent: Extent
    result_id: str
    rows: int


class Deleting:
    """Deletes rows for an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def matching(
        self, database: Database, table: str, query: syntax.Query
    ) -> tuple[TableSnapshot, dict[str, np.ndarray]]:
        """The table as it was read, and the numbers of the rows that a query keeps, by extent id.

        Raises:
            KqlSemanticError: the query is not made of operators that keep rows recognisable.
        """
        import numpy as np

        engine = self._engine
        catalog = engine.querying.catalog()
        catalog.number_rows_of(table)
        _, snapshot = catalog.pinned(database.name)
        tree = _row_query(query, table)
        activity = engine.activities.begin("delete", query.text, database.name)
        try:
            run = engine.querying.run(
                database.name,
                tree,
                parameters=None,
                properties={},
                activity=activity,
                catalog=catalog,
                limits=request_limits({"notruncation": True}, seconds=COMMAND_SECONDS),
            )
            found: dict[str, list[np.ndarray]] = {}
            for batch in run.primary.batches():
                _collect(batch, found)
        finally:
            activity.finish()
        rows = {key: np.sort(np.concatenate(parts)) for key, parts in found.items()}
        return snapshot.table(table), rows

    def rewrites(
        self,
        database: Database,
        operation: IngestOperation,
        predicate: str,
        before: Rewrites | None = None,
    ) -> Rewrites:
        """The files to put in place of the extents that hold rows for which a predicate is true.

        before: of an attempt that others overtook; its files are used again where they still serve.
        """
        import numpy as np

        from spark_kusto import kql

        if operation.table not in database.snapshot().tables:
            return Rewrites({}, frozenset(), {})
        query = kql.parse(f"{_name(operation.table)} | where {predicate}")
        if len(query.statements) != 1:
            raise OptionError(
                "What to replace is not one expression.", remedy="Write a condition on the table's columns."
            )
        table, rows = self.matching(database, operation.table, query)
        files: dict[str, StagedFile | None] = {}
        if before is not None:
            files = {
                key: file
                for key, file in before.files.items()
                if key in rows and np.array_equal(before.rows[key], rows[key])
            }
        files |= self._rewritten(table, operation, {k: found for k, found in rows.items() if k not in files})
        return Rewrites(files, frozenset(extent.id for extent in table.extents), rows)

    def delete(
        self,
        database: Database,
        name: str,
        query: syntax.Query,
        *,
        pretend: bool,
        context: ChangeContext,
        event: str = "DELETE-TABLE-RECORDS",
    ) -> list[DeletedRows]:
        """Delete the rows that a query keeps; nothing is changed with ``pretend``."""
        return past_conflicts(
            lambda: self._delete(database, name, query, pretend=pretend, context=context, event=event)
        )

    def _delete(
        self,
        database: Database,
        name: str,
        query: syntax.Query,
        *,
        pretend: bool,
        context: ChangeContext,
        event: str,
    ) -> list[DeletedRows]:
        table, rows = self.matching(database, name, query)
        extents = {extent.id: extent for extent in table.extents}
        if pretend or not rows:
            return [DeletedRows(extents[key], "", len(found)) for key, found in rows.items()]
        operation = database.begin_ingest(table.name)
        try:
            files = self._rewritten(table, operation, rows)
            database.commit_ingest(operation, [], rewrites=files, event=event, context=context)
        except BaseException:
            database.abort_ingest(operation)
            raise
        return [
            DeletedRows(extents[key], file.extent_id if file is not None else "", len(rows[key]))
            for key, file in files.items()
        ]

    def _rewritten(
        self, table: TableSnapshot, operation: IngestOperation, rows: Mapping[str, np.ndarray]
    ) -> dict[str, StagedFile | None]:
        extents = {extent.id: extent for extent in table.extents}
        files: dict[str, StagedFile | None] = {}
        for extent_id, found in rows.items():
            extent = extents[extent_id]
            if len(found) == extent.row_count:
                files[extent_id] = None
                continue
            # All columns of the table: the operation has only those of the data that comes in their place.
            columns = [column for column in table.columns if column.id in extent.fields]
            writer = ExtentWriter(operation, [*columns, *HIDDEN_COLUMNS], target_bytes=2**62)
            try:
                for batch in _without(read_rows([extent], columns), found):
                    writer.write(batch)
                staged = writer.close()
            except BaseException:
                writer.discard()
                raise
            files[extent_id] = staged[0]
        return files


def past_conflicts(attempt: Callable[[], Result]) -> Result:
    """Try a change of rows again when others wrote, or maintenance merged, while the table was read."""
    deadline = time.monotonic() + _ATTEMPT_SECONDS
    tried = 0
    while True:
        try:
            return attempt()
        except IngestConflictError as error:
            tried += 1
            if error.permanent or (tried >= _ATTEMPTS and time.monotonic() > deadline):
                raise
            time.sleep(random.uniform(0, min(0.02 * 2**tried, 1.0)))


def _collect(batch: pa.RecordBatch, found: dict[str, list[np.ndarray]]) -> None:
    import pyarrow.compute as pc

    encoded = batch.column(0).dictionary_encode()
    numbers = batch.column(1)
    for code, extent_id in enumerate(encoded.dictionary.to_pylist()):
        mine = numbers.filter(pc.equal(encoded.indices, code))
        found.setdefault(extent_id, []).append(mine.to_numpy(zero_copy_only=False))


def _without(batches: Iterable[pa.RecordBatch], leaving: np.ndarray) -> Iterator[pa.RecordBatch]:
    """The batches of one extent without the rows of these (sorted) numbers."""
    import numpy as np
    import pyarrow

    first = 0
    for batch in batches:
        end = first + batch.num_rows
        low, high = np.searchsorted(leaving, [first, end])
        keep = np.ones(batch.num_rows, dtype=bool)
        keep[leaving[low:high] - first] = False
        first = end
        kept = batch.filter(pyarrow.array(keep))
        if kept.num_rows:
            yield kept


def _row_query(query: syntax.Query, table: str) -> syntax.Query:
    """The query with projections made harmless, giving extent and row number of every row it keeps."""
    last = query.statements[-1] if query.statements else None
    expression = last.expression if isinstance(last, syntax.ExpressionStatement) else None
    source: syntax.Expression | syntax.Operator | None = expression
    operators: Sequence[syntax.Operator] = ()
    if isinstance(expression, syntax.Pipe):
        source, operators = expression.source, expression.operators
    if not isinstance(source, syntax.Name) or source.name != table:
        raise KqlSemanticError(
            f"The query of a deletion must begin with the table itself, '{table}'.",
            remedy=f"Write {table} | where <condition>.",
        )
    if not any(isinstance(operator, syntax.Where) for operator in operators):
        raise KqlSemanticError(
            "The query of a deletion has no 'where'.",
            remedy="Name the rows to delete; .clear table T data deletes them all.",
        )
    kept: list[syntax.Operator] = []
    for operator in operators:
        if isinstance(operator, syntax.Project):
            computed = tuple(item for item in operator.columns if not isinstance(item, syntax.Name))
            if computed:
                kept.append(syntax.Extend(computed))
        elif isinstance(operator, syntax.Where | syntax.Extend):
            kept.append(operator)
        elif not isinstance(operator, syntax.Sort):
            raise KqlSemanticError(
                f"The query of a deletion cannot use '{type(operator).__name__.lower()}'.",
                remedy="Use where, extend and project.",
            )
    extent = syntax.NamedExpression((syntax.Name("extent"),), syntax.Call("extent_id", ()))
    number = syntax.NamedExpression((syntax.Name("number"),), syntax.Name(ROW_NUMBER))
    kept.append(syntax.Project((extent, number)))
    statement = syntax.ExpressionStatement(syntax.Pipe(source, tuple(kept)))
    return replace(query, statements=(*query.statements[:-1], statement))


def _name(table: str) -> str:
    quoted = table.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{quoted}']"
