"""Tables of text or of Arrow values to the storage form of their columns.

Text is converted leniently, as Kusto ingests text formats: what is no value of the column's type
becomes null and is counted. Arrow values are converted strictly by ``types.storing``, unless some
errors are allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.engine.records import SAMPLES, Reading
from spark_kusto.errors import TypeConversionError
from spark_kusto.types import Column, KustoType, storage_schema
from spark_kusto.types.storing import to_storage
from spark_kusto.types.text import parse_value

if TYPE_CHECKING:
    import pyarrow as pa


def to_stored(
    table: pa.Table, columns: Sequence[Column], reading: Reading, *, is_text: bool, lenient: bool
) -> pa.Table:
    """A table in storage form, with these columns in this order.

    Args:
        table: has a column for each of ``columns``, by name; of text where ``is_text``.
        columns: the target's columns.
        reading: counts rows and errors.
        is_text: whether columns of strings are text to be converted.
        lenient: make null what does not fit; otherwise a columnar value that does not fit raises.

    Raises:
        TypeConversionError: a value does not fit, and ``lenient`` is False.
    """
    import pyarrow
    import pyarrow.compute as pc

    arrays = []
    for column in columns:
        values = table.column(column.name)
        if isinstance(values, pyarrow.ChunkedArray):
            values = values.combine_chunks()
        textual = pyarrow.types.is_string(values.type) or pyarrow.types.is_large_string(values.type)
        if is_text and textual:
            stored = text_to_storage(values, column.type)
        else:
            stored = _columnar(values, column, reading.rows, lenient)
        lost = pc.sum(_lost(values, stored, column.type)).as_py() or 0
        if lost:
            reading.errors += lost
            _sample(reading, values, stored, column)
        arrays.append(stored)
    reading.rows += table.num_rows
    return pyarrow.Table.from_arrays(arrays, schema=storage_schema(columns))


def _columnar(values: pa.Array, column: Column, row: int, lenient: bool) -> pa.Array:
    import pyarrow

    if pyarrow.types.is_string(values.type) and column.type not in (KustoType.STRING, KustoType.DYNAMIC):
        # A constant of a mapping, or text in a columnar file for a column of another type.
        return text_to_storage(values, column.type)
    return to_storage(values, column.type, name=column.name, row=row, on_error="null" if lenient else "raise")


def _lost(values: pa.Array, stored: pa.Array, kind: KustoType) -> Any:
    import pyarrow
    import pyarrow.compute as pc

    if kind in (KustoType.STRING, KustoType.DYNAMIC) or stored.null_count == 0:
        return pyarrow.array([], pyarrow.bool_())
    lost = pc.and_(pc.is_valid(values), pc.is_null(stored))
    if pyarrow.types.is_string(values.type) or pyarrow.types.is_large_string(values.type):
        blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(values), ""), True)
        lost = pc.and_(lost, pc.invert(blank))
    return lost


def _sample(reading: Reading, values: pa.Array, stored: pa.Array, column: Column) -> None:
    import pyarrow.compute as pc

    for place in pc.indices_nonzero(_lost(values, stored, column.type)).to_pylist():
        if len(reading.samples) >= SAMPLES:
            return
        text = repr(values[place].as_py())
        shown = text if len(text) <= 60 else f"{text[:60]}..."
        reading.samples.append(
            f"column '{column.name}' ({column.type.value}), row {reading.rows + place}: {shown}"
        )


def text_to_storage(values: pa.Array, kind: KustoType) -> pa.Array:
    """Text in the storage form of a type; null where it is blank or no value of the type."""
    import pyarrow
    import pyarrow.compute as pc

    if pyarrow.types.is_large_string(values.type):
        values = values.cast(pyarrow.string())
    if kind is KustoType.STRING:
        return values.fill_null("") if values.null_count else values
    if kind in (KustoType.DYNAMIC, KustoType.GUID, KustoType.TIMESPAN):
        return to_storage(values, kind, on_error="null")
    trimmed = pc.utf8_trim_whitespace(values)
    filled = pc.if_else(pc.equal(trimmed, ""), pyarrow.scalar(None, pyarrow.string()), trimmed)
    quick = _quick(filled, kind)
    if quick is not None:
        return quick
    if kind is KustoType.DATETIME:
        return to_storage(filled, kind, on_error="null")
    parsed: dict[str, Any] = {}
    answers = []
    for text in filled.to_pylist():
        if text is not None and text not in parsed:
            parsed[text] = _fitting(parse_value(text, kind), kind)
        answers.append(None if text is None else parsed[text])
    return pyarrow.array(answers, kind.arrow_storage())


def _quick(texts: pa.Array, kind: KustoType) -> pa.Array | None:
    """The whole array at once, where every text has the plainest form."""
    import pyarrow
    import pyarrow.compute as pc

    try:
        if kind in (KustoType.INT, KustoType.LONG, KustoType.REAL):
            return texts.cast(kind.arrow_storage())
        if kind is KustoType.BOOL:
            lowered = pc.utf8_lower(texts)
            if pc.all(pc.is_in(lowered, pyarrow.array(["true", "false", None]))).as_py():
                return pc.equal(lowered, "true")
            return None
        if kind is KustoType.DATETIME:
            plain = pc.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d(\.\d{1,6})?)?$")
            if pc.all(plain).as_py() in (True, None):
                return texts.cast(pyarrow.timestamp("us"))
            zoned = pc.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?Z$")
            if pc.all(zoned).as_py() in (True, None):
                return texts.cast(pyarrow.timestamp("us", tz="UTC")).view(pyarrow.timestamp("us"))
    except pyarrow.ArrowInvalid:
        return None
    return None


def _fitting(value: Any, kind: KustoType) -> Any:
    """A decimal that storage cannot hold is no value of the column."""
    if kind is not KustoType.DECIMAL or value is None:
        return value
    import pyarrow

    try:
        pyarrow.array([value], kind.arrow_storage())
    except pyarrow.ArrowInvalid:
        return None
    return value


def first_error(reading: Reading, source: str) -> TypeConversionError:
    """The error for data in which no value may fail to convert."""
    shown = "; ".join(reading.samples)
    return TypeConversionError(
        f"{reading.errors} values of {source} are not of their column's type: {shown}.",
        remedy="Correct the data, give the columns other types, or allow some with 'maximumErrorsAllowed'.",
    )
