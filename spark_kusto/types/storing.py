"""From anything Arrow can hold to the form that extents store, whole arrays at a time.

Nothing is rounded, cut or guessed in silence: a value that does not fit its column is a
:class:`TypeConversionError` that names column, row, value and types. What is dropped on purpose are
digits of datetimes and timespans below a microsecond and 100 ns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from spark_kusto.errors import SchemaMismatchError, TypeConversionError
from spark_kusto.types import json_text, text
from spark_kusto.types.table import KUSTO_TYPE_KEY, Column, KustoType, storage_field

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_DATETIME = -62_135_596_800_000_000
"""0001-01-01 in microseconds since 1970."""

GREATEST_DATETIME = 253_402_300_799_999_999
"""The last microsecond of year 9999."""

OnError = Literal["raise", "null"]

_TICKS_IN = {"s": 10_000_000, "ms": 10_000, "us": 10}
_BATCH_BYTES = 1 << 30


# -- which Kusto type -----------------------------------------------------------------------------


def kusto_type_of(field: pa.Field) -> KustoType:
    """The Kusto type of an Arrow field: from its ``kusto.type`` metadata, else from its Arrow type.

    Raises:
        TypeConversionError: there is none; the column is named.
    """
    declared = (field.metadata or {}).get(KUSTO_TYPE_KEY)
    if declared is not None:
        return KustoType.parse(declared.decode())
    found = kusto_type_of_arrow(field.type)
    if found is None:
        raise _refused_type(field.name, field.type)
    return found


def kusto_type_of_arrow(kind: pa.DataType) -> KustoType | None:
    """The Kusto type that values of an Arrow type are stored as by default; None if there is none."""
    import pyarrow as pa
    import pyarrow.types as at

    if at.is_dictionary(kind) or at.is_run_end_encoded(kind):
        return kusto_type_of_arrow(kind.value_type)
    if isinstance(kind, pa.UuidType):
        return KustoType.GUID
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.json":
            return KustoType.DYNAMIC
        return kusto_type_of_arrow(kind.storage_type)
    for matches, family in _ARROW_FAMILIES:
        if matches(at, kind):
            return family
    return None


_ARROW_FAMILIES: tuple[tuple[Callable[[Any, Any], bool], KustoType], ...] = (
    (lambda at, k: at.is_boolean(k), KustoType.BOOL),
    (lambda at, k: at.is_int8(k) or at.is_int16(k) or at.is_int32(k), KustoType.INT),
    (lambda at, k: at.is_uint8(k) or at.is_uint16(k), KustoType.INT),
    (lambda at, k: at.is_integer(k), KustoType.LONG),
    (lambda at, k: at.is_floating(k), KustoType.REAL),
    (lambda at, k: at.is_decimal(k), KustoType.DECIMAL),
    (lambda at, k: at.is_string(k) or at.is_large_string(k) or at.is_string_view(k), KustoType.STRING),
    (lambda at, k: at.is_timestamp(k) or at.is_date(k), KustoType.DATETIME),
    (lambda at, k: at.is_duration(k) or at.is_time(k), KustoType.TIMESPAN),
    (lambda at, k: _is_binary(at, k), KustoType.STRING),
    (lambda at, k: at.is_nested(k) and not at.is_union(k), KustoType.DYNAMIC),
)


def _is_binary(at: Any, kind: Any) -> bool:
    return bool(
        at.is_binary(kind)
        or at.is_large_binary(kind)
        or at.is_binary_view(kind)
        or at.is_fixed_size_binary(kind)
    )


_WIDENINGS: dict[KustoType, frozenset[KustoType]] = {
    KustoType.BOOL: frozenset(),
    KustoType.INT: frozenset({KustoType.LONG, KustoType.REAL, KustoType.DECIMAL}),
    KustoType.LONG: frozenset({KustoType.INT, KustoType.REAL, KustoType.DECIMAL}),
    KustoType.REAL: frozenset({KustoType.INT, KustoType.LONG}),
    KustoType.DECIMAL: frozenset({KustoType.INT, KustoType.LONG}),
    KustoType.STRING: frozenset({KustoType.DATETIME, KustoType.TIMESPAN, KustoType.GUID}),
    KustoType.DATETIME: frozenset(),
    KustoType.TIMESPAN: frozenset(),
    KustoType.GUID: frozenset({KustoType.STRING}),
    KustoType.DYNAMIC: frozenset({KustoType.STRING}),
}


def can_store(source: KustoType, target: KustoType) -> bool:
    """Whether values of one type may be written to a column of another.

    Integers of other widths, whole reals and decimals are checked value by value; texts of datetimes,
    timespans and guids are parsed (Spark has timespans and guids as strings); a guid or dynamic may
    become its text, and everything may become dynamic.
    """
    return source is target or target is KustoType.DYNAMIC or target in _WIDENINGS[source]


def check_can_store(name: str, source: KustoType, target: KustoType) -> None:
    """Raise unless :func:`can_store`.

    Raises:
        TypeConversionError: naming the column and both types.
    """
    if not can_store(source, target):
        raise TypeConversionError(
            f"Column '{name}' is {target.value} in the table, and the data has {source.value}.",
            column=name,
            remedy=f"Cast the data to {target.spark} ({target.value}), or write to another column.",
        )


def _refused_type(name: str, kind: Any) -> TypeConversionError:
    return TypeConversionError(
        f"Column '{name}' has the type {kind}, which Kusto has no type for.",
        column=name,
        remedy="Cast it to a type that can be stored (for a column of nothing but nulls, to the type "
        "it is meant to have), or leave it out.",
    )


# -- one array ------------------------------------------------------------------------------------


def to_storage(
    array: pa.Array | pa.ChunkedArray,
    type: KustoType,
    *,
    name: str = "",
    row: int = 0,
    declared: KustoType | None = None,
    on_error: OnError = "raise",
) -> pa.Array:
    """Bring an Arrow array into the storage form of a Kusto type.

    Args:
        array: of any Arrow type that :func:`kusto_type_of_arrow` knows.
        type: of the column it is for.
        name: the column's name, for errors.
        row: number of the array's first row, for errors.
        declared: the Kusto type that the source's field metadata states, which makes int64 ticks a
            timespan and a string valid JSON.
        on_error: ``null`` puts null in the place of values that do not fit.

    Raises:
        TypeConversionError: the array's type cannot become this type, or a value does not fit.
    """
    import pyarrow as pa
    import pyarrow.types as at

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    if at.is_null(array.type):
        return _finished(pa.nulls(len(array), type.arrow_storage()), type)
    array = decoded(array)
    source = declared or kusto_type_of_arrow(array.type)
    if source is None:
        raise _refused_type(name, array.type)
    check_can_store(name, source, type)
    job = _Conversion(name, row, type, on_error)
    if type is KustoType.DYNAMIC:
        return _dynamic(array, source, declared is KustoType.DYNAMIC)
    return _finished(_CONVERSIONS[type](job, array, source), type)


def decoded(array: pa.Array) -> pa.Array:
    """The values of an array without dictionary or run-end encoding."""
    import pyarrow.compute as pc
    import pyarrow.types as at

    if at.is_dictionary(array.type):
        return decoded(array.dictionary_decode())
    if at.is_run_end_encoded(array.type):
        return decoded(pc.run_end_decode(array))
    return array


def _finished(array: pa.Array, type: KustoType) -> pa.Array:
    if type is KustoType.STRING and array.null_count:
        return array.fill_null("")
    return array


class _Conversion:
    """Converts arrays and says which value failed."""

    def __init__(self, name: str, row: int, type: KustoType, on_error: OnError) -> None:
        self.name = name
        self.row = row
        self.type = type
        self.on_error = on_error

    def cast(self, array: pa.Array, kind: pa.DataType) -> pa.Array:
        """A cast that loses nothing."""
        return self.attempt(array, lambda part: part.cast(kind))

    def attempt(self, array: pa.Array, convert: Callable[[pa.Array], pa.Array]) -> pa.Array:
        """Run a conversion that raises on values that do not fit."""
        import pyarrow as pa

        try:
            return convert(array)
        except pa.ArrowInvalid as error:
            if self.on_error == "null":
                return self._without_failures(array, convert)
            index = self._first_failure(array, convert)
            raise self.failure(array, index, str(error)) from error

    def _first_failure(self, array: pa.Array, convert: Callable[[pa.Array], pa.Array]) -> int:
        import pyarrow as pa

        low, high = 0, len(array)
        while high - low > 1:
            middle = (low + high) // 2
            try:
                convert(array.slice(low, middle - low))
                low = middle
            except pa.ArrowInvalid:
                high = middle
        return low

    def _without_failures(self, array: pa.Array, convert: Callable[[pa.Array], pa.Array]) -> pa.Array:
        import pyarrow as pa

        if len(array) == 1:
            return pa.nulls(1, self.type.arrow_storage())
        half = len(array) // 2
        parts = [self.attempt(array.slice(0, half), convert), self.attempt(array.slice(half), convert)]
        return pa.concat_arrays(parts)

    def require(self, array: pa.Array, fits: pa.Array, converted: pa.Array, reason: str) -> pa.Array:
        """``converted``, after a look at whether all values fit (``fits``; null counts as fitting)."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if pc.all(fits).as_py() in (True, None):
            return converted
        if self.on_error == "null":
            return pc.if_else(fits, converted, pa.scalar(None, converted.type))
        raise self.failure(array, pc.index(fits, False).as_py(), reason)

    def failure(self, array: pa.Array, index: int, reason: str) -> TypeConversionError:
        """The error for one value."""
        try:
            value = repr(array[index].as_py())
        except (ValueError, OverflowError):  # a moment that Python has no value for
            value = str(array[index].value)
        if len(value) > 60:
            value = f"{value[:60]}..."
        row = self.row + index
        reason = reason.strip().splitlines()[0].rstrip(".") if reason.strip() else "it does not fit"
        return TypeConversionError(
            f"Column '{self.name}', row {row}: the value {value} ({array.type}) cannot be stored as "
            f"{self.type.value}: {reason}.",
            column=self.name,
            row=row,
            remedy="Correct or cast the value before writing it.",
        )


def _bool(_job: _Conversion, array: pa.Array, _source: KustoType) -> pa.Array:
    return array


def _whole(job: _Conversion, array: pa.Array, _source: KustoType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as at

    if at.is_decimal(array.type):
        array = job.cast(array, pa.int64())
    elif at.is_float16(array.type):
        array = array.cast(pa.float64())
    return job.cast(array, job.type.arrow_storage())


def _real(job: _Conversion, array: pa.Array, _source: KustoType) -> pa.Array:
    import pyarrow as pa

    # Arrow's cast refuses integers that a double cannot hold.
    return job.cast(array, pa.float64())


def _decimal(job: _Conversion, array: pa.Array, _source: KustoType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as at

    kind = pa.decimal128(38, 18)
    if at.is_integer(array.type) and not at.is_decimal(array.type):
        array = array.cast(pa.decimal128(20, 0) if at.is_uint64(array.type) else pa.decimal128(19, 0))
    if at.is_decimal128(array.type) and array.type.precision - array.type.scale > 20:
        # Arrow multiplies decimal128 without a look at overflow; the way down from decimal256 is checked.
        array = array.cast(pa.decimal256(76, array.type.scale))
    return job.cast(array, kind)


def _string(_job: _Conversion, array: pa.Array, source: KustoType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as at

    if source is KustoType.GUID:
        return text.to_text(_as_guid(array), KustoType.GUID)
    if source is KustoType.DYNAMIC and not at.is_string(array.type):
        return json_text.json_texts(array)
    if _is_binary(at, array.type):
        return json_text.base64_texts(array)
    if not at.is_string(array.type):
        array = array.cast(pa.string())
    return _valid_utf8(array)


def _valid_utf8(array: pa.Array) -> pa.Array:
    """Replace bytes that are no UTF-8: Spark's strings may hold such, and no Parquet reader takes them."""
    import pyarrow as pa

    try:
        array.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        raw = array.cast(pa.binary()).to_pylist()
        return pa.array([None if v is None else v.decode("utf-8", "replace") for v in raw], pa.string())
    return array


def _datetime(job: _Conversion, array: pa.Array, source: KustoType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as at

    kind = array.type
    stored = pa.timestamp("us")
    if source is KustoType.STRING:
        return _parsed(job, array, text.parse_datetime, pa.timestamp("us", tz="UTC")).view(stored)
    if at.is_date(kind):
        converted = job.attempt(array.cast(pa.timestamp("s" if at.is_date32(kind) else "ms")), _to_us)
    elif kind.unit == "ns":
        converted = _floored(array, 1000).view(stored)
    elif kind.unit == "us":
        # Neither this nor the view below touches a value: an instant stays what it is, without zone.
        converted = array.view(stored)
    else:
        converted = job.attempt(array.view(pa.timestamp(kind.unit)), _to_us)
    bounds = pc.min_max(converted.view(pa.int64()))
    if bounds["min"].is_valid and not (
        bounds["min"].as_py() >= LEAST_DATETIME and bounds["max"].as_py() <= GREATEST_DATETIME
    ):
        ticks = converted.view(pa.int64())
        fits = pc.and_(pc.greater_equal(ticks, LEAST_DATETIME), pc.less_equal(ticks, GREATEST_DATETIME))
        return job.require(converted, fits, converted, "Kusto's datetimes are of the years 1 to 9999")
    return converted


def _to_us(array: pa.Array) -> pa.Array:
    import pyarrow as pa

    return array.cast(pa.timestamp("us"))


def _floored(array: pa.Array, divisor: int) -> pa.Array:
    """64-bit values divided and rounded down; Arrow's own division rounds towards zero."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    raw = array.view(pa.int64())
    values = np.floor_divide(np.asarray(pc.fill_null(raw, 0)), divisor)
    mask = np.asarray(pc.is_null(raw)) if raw.null_count else None
    return pa.array(values, pa.int64(), mask=mask)


def _timespan(job: _Conversion, array: pa.Array, source: KustoType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as at

    kind = array.type
    if source is KustoType.STRING:
        return _parsed(job, array, text.parse_timespan, pa.int64())
    if at.is_integer(kind):
        return job.cast(array, pa.int64())
    width = pa.int32() if at.is_time32(kind) else pa.int64()
    if kind.unit == "ns":
        return _floored(array.view(width), 100)
    factor = _TICKS_IN[kind.unit]
    return job.attempt(array, lambda part: pc.multiply_checked(part.view(width).cast(pa.int64()), factor))


def _guid(job: _Conversion, array: pa.Array, source: KustoType) -> pa.Array:
    if source is KustoType.STRING:
        return _parsed_guids(job, array)
    return _as_guid(array)


def _as_guid(array: pa.Array) -> pa.Array:
    """A guid array in storage form, whether it comes as that, as 16 bytes, or as text."""
    import pyarrow as pa
    import pyarrow.types as at

    if isinstance(array.type, pa.UuidType):
        return array
    if at.is_fixed_size_binary(array.type):
        return pa.ExtensionArray.from_storage(pa.uuid(), array)
    return _parsed_guids(_Conversion("", 0, KustoType.GUID, "raise"), array)


_GUID_PATTERN = (
    r"^\s*[{(]?[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}[)}]?\s*$"
)


def _parsed_guids(job: _Conversion, array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = array.cast(pa.string())
    blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    fits = pc.or_(pc.match_substring_regex(texts, _GUID_PATTERN), blank)
    usable = pc.if_else(pc.and_(fits, pc.invert(blank)), texts, pa.scalar(None, pa.string()))
    job.require(texts, fits, usable, "it is no guid")
    digits = pc.replace_substring_regex(pc.fill_null(usable, "0" * 32), r"[^0-9a-fA-F]", "")
    raw = bytes.fromhex("".join(digits.to_pylist()))
    storage = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(texts), [None, pa.py_buffer(raw)])
    if usable.null_count:
        storage = pc.if_else(pc.is_valid(usable), storage, pa.scalar(None, pa.binary(16)))
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def _parsed(job: _Conversion, array: pa.Array, parse: Callable[[str], Any], kind: pa.DataType) -> pa.Array:
    """Values parsed from text; an empty text is null."""
    import pyarrow as pa

    values: list[Any] = []
    known: dict[str, Any] = {}
    for index, value in enumerate(array.cast(pa.string()).to_pylist()):
        if value is None or not value or value.isspace():
            values.append(None)
            continue
        if value not in known:
            known[value] = parse(value)
            if known[value] is None and job.on_error == "raise":
                raise job.failure(array, index, f"it is no {job.type.value}")
        values.append(known[value])
    return pa.array(values, kind)


def _dynamic(array: pa.Array, source: KustoType, trusted: bool) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as at

    kind = array.type
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.json":
        array, kind = array.storage, array.storage.type
    textual = at.is_string(kind) or at.is_large_string(kind) or at.is_string_view(kind)
    if textual and trusted:
        texts = array.cast(pa.string())
        empty = pc.or_(pc.equal(texts, ""), pc.equal(texts, "null"))
        if pc.any(empty).as_py():
            texts = pc.if_else(empty, pa.scalar(None, pa.string()), texts)
        return texts
    if textual:
        known: dict[str, str | None] = {}
        values: list[str | None] = []
        for value in array.to_pylist():
            if value is not None and value not in known:
                known[value] = json_text.canonical_json(value)
            values.append(None if value is None else known[value])
        return pa.array(values, pa.string())
    if source is KustoType.TIMESPAN and at.is_integer(kind):
        texts = text.to_text(array.cast(pa.int64()), KustoType.TIMESPAN)
        return pc.binary_join_element_wise('"', texts, '"', "")
    texts = json_text.json_texts(array)
    if at.is_struct(kind) and json_text.is_variant(kind):
        texts = pc.if_else(pc.equal(texts, "null"), pa.scalar(None, pa.string()), texts)
    return texts


_CONVERSIONS: dict[KustoType, Callable[[_Conversion, Any, KustoType], Any]] = {
    KustoType.BOOL: _bool,
    KustoType.INT: _whole,
    KustoType.LONG: _whole,
    KustoType.REAL: _real,
    KustoType.DECIMAL: _decimal,
    KustoType.STRING: _string,
    KustoType.DATETIME: _datetime,
    KustoType.TIMESPAN: _timespan,
    KustoType.GUID: _guid,
}


# -- batches --------------------------------------------------------------------------------------


class BatchStorer:
    """Brings a stream of record batches into the storage form of a table's columns.

    Args:
        columns: what the table (or operation) has. A batch may lack some of them and have them in
            another order; it may have no others.
        on_error: as of :func:`to_storage`.
    """

    def __init__(self, columns: Sequence[Column], *, on_error: OnError = "raise") -> None:
        self._columns = {column.name: column for column in columns}
        self._on_error = on_error
        self._schema: pa.Schema | None = None
        self._plan: list[tuple[int, Column, KustoType | None]] = []
        self.rows = 0
        """Rows taken so far, for the row numbers of errors."""

    def _prepare(self, schema: pa.Schema) -> None:
        seen: set[str] = set()
        plan: dict[str, tuple[int, Column, KustoType | None]] = {}
        for index, field in enumerate(schema):
            column = self._columns.get(field.name)
            if field.name in seen:
                raise SchemaMismatchError(
                    f"Column '{field.name}' occurs twice in the data.",
                    columns=[field.name],
                    remedy="Rename one of them.",
                )
            if column is None:
                raise SchemaMismatchError(
                    f"The data has a column '{field.name}' that the table lacks.",
                    columns=[field.name],
                    remedy="Drop it from the data, or add it to the table first.",
                )
            seen.add(field.name)
            declared = (field.metadata or {}).get(KUSTO_TYPE_KEY)
            plan[field.name] = (
                index,
                column,
                None if declared is None else KustoType.parse(declared.decode()),
            )
        # In the table's order, whatever the data's is.
        self._plan = [plan[name] for name in self._columns if name in plan]
        self._schema = schema

    def columns_of(self, schema: pa.Schema) -> list[Column]:
        """The columns, in the table's order, that batches of this schema give."""
        self._prepare(schema)
        return [column for _, column, _ in self._plan]

    def convert(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """The batch in storage form; in parts if it is too large for 32-bit offsets."""
        import pyarrow as pa

        if self._schema is None or not batch.schema.equals(self._schema, check_metadata=True):
            self._prepare(batch.schema)
        if batch.nbytes > _BATCH_BYTES and batch.num_rows > 1:
            half = batch.num_rows // 2
            yield from self.convert(batch.slice(0, half))
            yield from self.convert(batch.slice(half))
            return
        arrays = [
            to_storage(
                batch.column(index),
                column.type,
                name=column.name,
                row=self.rows,
                declared=declared,
                on_error=self._on_error,
            )
            for index, column, declared in self._plan
        ]
        self.rows += batch.num_rows
        fields = [storage_field(column) for _, column, _ in self._plan]
        yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
