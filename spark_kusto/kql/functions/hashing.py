"""Rows of hashes and digests."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from spark_kusto.kql.algorithms import hashing
from spark_kusto.kql.functions.conversions import text
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DATETIME,
    DECIMAL,
    DYNAMIC,
    GUID,
    INT,
    LONG,
    REAL,
    STRING,
    TIMESPAN,
    Argument,
    Emission,
    arrow_scalar,
    overload,
    parameter,
    python_scalar,
    repeated,
    scalar,
)

if TYPE_CHECKING:
    import pyarrow as pa

_TICKS_AT_EPOCH = 621_355_968_000_000_000

_COMBINING = (
    "Values differ from Kusto's, which doesn't publish how it mixes hashes; equal inputs give equal hashes."
)


def _numbers(array: Any) -> tuple[Any, Any]:
    """The array's values (0 where null) and its mask of nulls, as NumPy arrays."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    missing = array.is_null().to_numpy(zero_copy_only=False)
    return pc.fill_null(array, 0).to_numpy(zero_copy_only=False), missing


def _hash_words(array: Any) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    values, missing = _numbers(array)
    if values.dtype == np.float64:
        values = values.view(np.int64)
    return pa.array(hashing.xxhash64_words(values), mask=missing)


def _hash_texts(array: Any) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    texts = array.cast(pa.large_binary())
    if not len(texts):
        return pa.array([], pa.int64())
    _, offsets_buffer, data_buffer = texts.buffers()
    start = texts.offset
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[start : start + len(texts) + 1]
    data = (
        np.frombuffer(data_buffer, dtype=np.uint8)
        if data_buffer is not None and data_buffer.size
        else np.zeros(0, dtype=np.uint8)
    )
    missing = texts.is_null().to_numpy(zero_copy_only=False)
    return pa.array(hashing.xxhash64_texts(data, offsets), mask=missing)


def _combine(*arrays: Any) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    columns = [_numbers(array) for array in arrays]
    # A null takes part as 0, so that hash_many() of a row with one null isn't itself null.
    return pa.array(hashing.combine([values.astype(np.int64) for values, _ in columns]))


def _modulo(array: Any, modulus: Any) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    hashes, missing = _numbers(array)
    by, by_missing = _numbers(modulus)
    invalid = missing | by_missing | (by <= 0)
    safe = np.where(invalid, 1, by).astype(np.uint64)
    answer = hashes.astype(np.int64).view(np.uint64) % safe
    return pa.array(answer.astype(np.int64), mask=invalid)


arrow_scalar("$xxhash64_word", [LONG], LONG, _hash_words)
arrow_scalar("$xxhash64_real", [REAL], LONG, _hash_words)
arrow_scalar("$xxhash64_text", [STRING], LONG, _hash_texts)
python_scalar("$xxhash64_guid", [GUID], LONG, lambda value: hashing.xxhash64(value.bytes_le))
arrow_scalar("$hash_combine", [repeated(LONG)], LONG, _combine)
arrow_scalar("$hash_modulo", [LONG, LONG], LONG, _modulo)


def hash_sql(call: Emission, argument: Argument) -> str:
    """SQL of what ``hash()`` gives for an argument."""
    kind, sql = argument.type, argument.sql
    if kind is STRING or kind is DYNAMIC:
        return call.udf("$xxhash64_text", sql)
    if kind is DECIMAL:
        return call.udf("$xxhash64_text", f"CAST({sql} AS VARCHAR)")
    if kind is REAL:
        return call.udf("$xxhash64_real", sql)
    if kind is GUID:
        return call.udf("$xxhash64_guid", sql)
    if kind is DATETIME:
        return call.udf("$xxhash64_word", f"(epoch_us({sql}) * 10 + {_TICKS_AT_EPOCH})")
    assert kind in (BOOL, INT, LONG, TIMESPAN)
    return call.udf("$xxhash64_word", f"CAST({sql} AS BIGINT)")


def _hash(call: Emission) -> str:
    hashed = hash_sql(call, call.arguments[0])
    if len(call.arguments) == 1:
        return hashed
    return call.udf("$hash_modulo", hashed, call.arguments[1].sql)


def _hash_many(call: Emission) -> str:
    hashes = [hash_sql(call, argument) for argument in call.arguments]
    return call.udf("$hash_combine", *hashes)


for _name in ("hash", "hash_xxhash64"):
    scalar(
        _name,
        [overload([ANY], LONG, _hash), overload([ANY, LONG], LONG, _hash)],
        nulls="maybe",
        difference="How reals, decimals, bools and guids are laid out for hashing is assumed.",
    )

scalar(
    "hash_combine",
    [parameter(LONG), parameter(LONG), repeated(LONG)],
    LONG,
    lambda call: call.udf("$hash_combine", *call.sql),
    nulls="never",
    difference=_COMBINING,
)
scalar(
    "hash_many",
    [parameter(ANY), parameter(ANY), repeated(ANY)],
    LONG,
    _hash_many,
    nulls="never",
    difference=_COMBINING,
)


def _digest(algorithm: str, call: Emission) -> str:
    # Of no text there is no digest.
    return f"coalesce({algorithm}(nullif({text(call, call.arguments[0])}, '')), '')"


for _algorithm in ("md5", "sha1", "sha256"):
    scalar(f"hash_{_algorithm}", [ANY], STRING, partial(_digest, _algorithm), nulls="never")
