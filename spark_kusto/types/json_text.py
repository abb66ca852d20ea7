"""JSON text of nested Arrow values, whole arrays at a time: how struct, list and map become dynamic.

What the official connector writes (its ``RowCSVWriterUtils``), made valid where it is not: null
fields of structs and null values of maps are left out, null elements of arrays are kept; decimals,
dates and timestamps are JSON strings; NaN and infinities are strings too, since JSON has no such
numbers; keys of maps are always strings.
"""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_NEEDS_ESCAPE = '["\\\\\\x00-\\x1f]'
_SIMPLE_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


def json_texts(array: pa.Array) -> pa.Array:
    """JSON text of every value of an Arrow array; null where the value is null.

    Raises:
        TypeError: the array's type, or one inside it, has no JSON form.
    """
    import pyarrow as pa
    import pyarrow.types as at

    from spark_kusto.types.storing import decoded

    array = decoded(array)
    kind = array.type
    if at.is_null(kind):
        return pa.nulls(len(array), pa.string())
    if at.is_boolean(kind) or at.is_integer(kind):
        return array.cast(pa.string())
    if at.is_floating(kind):
        return _reals(array)
    if at.is_decimal(kind):
        return _quoted(_decimals(array))
    if at.is_string(kind) or at.is_large_string(kind) or at.is_string_view(kind):
        return _strings(array.cast(pa.string()))
    if at.is_struct(kind):
        return _structs(array)
    if at.is_map(kind):
        return _maps(array)
    if at.is_nested(kind) and not at.is_union(kind):
        return _lists(array)
    return _quoted(plain_texts(array))


def plain_texts(array: pa.Array) -> pa.Array:
    """Unquoted text of dates, timestamps, durations, times, guids and binary values."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as at

    from spark_kusto.types import storing, text
    from spark_kusto.types.table import KustoType

    kind = array.type
    if at.is_date(kind):
        return pc.strftime(array.cast(pa.timestamp("s")), format="%Y-%m-%d")
    if at.is_timestamp(kind) or at.is_duration(kind) or at.is_time(kind):
        target = KustoType.DATETIME if at.is_timestamp(kind) else KustoType.TIMESPAN
        return text.to_text(storing.to_storage(array, target), target)
    if isinstance(kind, pa.UuidType):
        return text.to_text(array, KustoType.GUID)
    if isinstance(kind, pa.BaseExtensionType):
        return json_texts(array.storage)
    if (
        at.is_binary(kind)
        or at.is_large_binary(kind)
        or at.is_fixed_size_binary(kind)
        or at.is_binary_view(kind)
    ):
        return base64_texts(array)
    raise TypeError(f"{kind} has no JSON form")


def base64_texts(array: pa.Array) -> pa.Array:
    """Base64 text of binary values, as the official connector stores them."""
    import pyarrow as pa

    encode = base64.b64encode
    return pa.array(
        [None if value is None else encode(value).decode("ascii") for value in array.to_pylist()], pa.string()
    )


def _quoted(texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.binary_join_element_wise('"', texts, '"', "")


def _reals(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = array.cast(pa.float64()).cast(pa.string())
    finite = pc.is_finite(array)
    # A real stays a real: "1" would come back as a long.
    whole = pc.and_(finite, pc.invert(pc.match_substring_regex(texts, r"[.eE]")))
    texts = pc.if_else(whole, pc.binary_join_element_wise(texts, ".0", ""), texts)
    if pc.all(finite).as_py() in (True, None):
        return texts
    names = pc.if_else(
        pc.is_nan(array), '"NaN"', pc.if_else(pc.greater(array, 0.0), '"Infinity"', '"-Infinity"')
    )
    return pc.if_else(finite, texts, names)


def _decimals(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = array.cast(pa.string())
    if pc.any(pc.match_substring(texts, "E")).as_py():
        plain = [None if v is None else format(Decimal(v), "f") for v in texts.to_pylist()]
        return pa.array(plain, pa.string())
    return texts


def _strings(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    special = pc.match_substring_regex(array, _NEEDS_ESCAPE)
    if not pc.any(special).as_py():
        return _quoted(array)
    escaped = array
    for raw, text in _SIMPLE_ESCAPES:
        escaped = pc.replace_substring(escaped, pattern=raw, replacement=text)
    if pc.any(pc.match_substring_regex(escaped, r"[\x00-\x1f]")).as_py():
        texts = [None if v is None else json.dumps(v, ensure_ascii=False) for v in array.to_pylist()]
        return pa.array(texts, pa.string())
    return _quoted(escaped)


def _structs(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_variant(array.type):
        return _variants(array)
    parts = []
    # flatten() pushes the struct's own nulls down to its fields.
    for field, values in zip(array.type, array.flatten(), strict=True):
        key = "," + json.dumps(field.name, ensure_ascii=False) + ":"
        # Null fields are left out. (The join's own way to skip nulls loses rows that are all null.)
        parts.append(pc.fill_null(pc.binary_join_element_wise(key, json_texts(values), ""), ""))
    if not parts:
        return _where_valid(array, pa.array(["{}"] * len(array), pa.string()))
    texts = pc.binary_join_element_wise("{", *parts, "}", "")
    texts = pc.replace_substring(texts, pattern="{,", replacement="{", max_replacements=1)
    return _where_valid(array, texts)


def _lists(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as at

    if not (at.is_list(array.type) or at.is_large_list(array.type)):
        array = array.cast(pa.large_list(array.type.value_type))
    texts = pc.fill_null(json_texts(array.flatten()), "null")
    return _where_valid(array, _joined(array, texts, "[", "]"))


def _maps(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as at

    entries = pa.ListArray.from_arrays(
        array.offsets, pa.StructArray.from_arrays([array.keys, array.items], names=["k", "v"])
    )
    entries = _null_where(entries, array)
    keys, values = entries.flatten().flatten()
    names = json_texts(keys)
    if not (at.is_string(keys.type) or at.is_large_string(keys.type)):
        # A number or another scalar as key: its text, in quotes unless it has them.
        bare = pc.invert(pc.starts_with(names, '"'))
        names = pc.if_else(bare, _strings(names), names)
    texts = pc.binary_join_element_wise(names, json_texts(values), ":")
    # Null values are left out, so lists get shorter: count what stays.
    return _where_valid(array, _joined(entries, texts, "{", "}", skip_null=True))


def _joined(lists: pa.Array, texts: pa.Array, left: str, right: str, *, skip_null: bool = False) -> pa.Array:
    """Join the texts of every list; ``texts`` belong to ``lists.flatten()``."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if skip_null and texts.null_count:
        kept = np.asarray(pc.is_valid(texts))
        offsets = np.concatenate([[0], np.cumsum(kept)])[offsets]
        texts = texts.drop_null()
    grouped = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), texts)
    return pc.binary_join_element_wise(left, pc.binary_join(grouped, ","), right, "")


def _null_where(entries: pa.Array, model: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not model.null_count:
        return entries
    return pc.if_else(pc.is_valid(model), entries, pa.scalar(None, entries.type))


def _where_valid(array: pa.Array, texts: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not array.null_count:
        return texts
    return pc.if_else(pc.is_valid(array), texts, pa.scalar(None, pa.string()))


# -- Spark's variant ------------------------------------------------------------------------------


def is_variant(kind: Any) -> bool:
    """Whether an Arrow type is how Spark hands over its VariantType."""
    import pyarrow.types as at

    if not at.is_struct(kind) or kind.num_fields != 2:
        return False
    fields = {field.name: field for field in kind}
    metadata = fields.get("metadata")
    return (
        set(fields) == {"value", "metadata"}
        and metadata is not None
        and (metadata.metadata or {}).get(b"variant") == b"true"
    )


def _variants(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    from pyspark.sql.types import VariantVal

    texts: list[str | None] = []
    for row in array.to_pylist():
        if row is None:
            texts.append(None)
        else:
            texts.append(VariantVal(row["value"], row["metadata"]).toJson("UTC"))
    return pa.array(texts, pa.string())


# -- JSON text of other origin --------------------------------------------------------------------


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise OverflowError(text)
    return value


def canonical_json(text: str) -> str | None:
    """A text as dynamic takes it: compact JSON if it is JSON, a JSON string otherwise; None for null.

    An empty text is null (Kusto documentation, "The dynamic data type").
    """
    if not text or text.isspace():
        return None
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except OverflowError:
        return text  # a number beyond a double's range: kept to the letter
    except (ValueError, RecursionError):
        return json.dumps(text, ensure_ascii=False)
    if value is None:
        return None
    return dumps(value)


def dumps(value: Any) -> str:
    """Compact JSON text of a Python value; scalars of Kusto types as in :func:`json_texts`."""
    try:
        return json.dumps(
            value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_scalar_text
        )
    except ValueError:
        return json.dumps(
            _without_nan(value), ensure_ascii=False, separators=(",", ":"), default=_scalar_text
        )


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value


def _scalar_text(value: Any) -> Any:
    from spark_kusto.types.text import text_of

    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, without importing NumPy
        return value.tolist()
    return text_of(value)
