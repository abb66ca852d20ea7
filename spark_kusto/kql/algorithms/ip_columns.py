"""IPv4 functions over whole columns; what each means stands in ``ip``.

Addresses in their plain form are read by NumPy, digit by digit across the column. The others
(networks, padded texts, what is no address) go through ``ip.split_ipv4``, each different text once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_kusto.kql.algorithms import ip

_Longs = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]

_WIDEST = len("255.255.255.255")
_ALL = 0xFFFFFFFF


@dataclass(frozen=True)
class Addresses:
    """A column of addresses: numbers, their prefixes, and which texts are addresses at all."""

    numbers: _Longs
    prefixes: _Longs
    valid: _Bools


def masks(prefixes: _Longs) -> _Longs:
    """The mask of each prefix from 0 to 32."""
    found: _Longs = (_ALL << (32 - prefixes)) & _ALL
    return found


def addresses(texts: Any) -> Addresses:
    """Read a column of texts."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    texts = texts.cast(pa.string())
    numbers, valid = _plain(texts)
    prefixes = np.full(len(texts), 32, dtype=np.int64)
    others = np.flatnonzero(~valid)
    if others.size:
        encoded = texts.take(pa.array(others)).dictionary_encode("encode")
        split = [None if text is None else ip.split_ipv4(text) for text in encoded.dictionary.to_pylist()]
        places = encoded.indices.to_numpy(zero_copy_only=False)
        numbers[others] = np.array([0 if one is None else one[0] for one in split], np.int64)[places]
        prefixes[others] = np.array([32 if one is None else one[1] for one in split], np.int64)[places]
        valid[others] = np.array([one is not None for one in split], np.bool_)[places]
    return Addresses(numbers, prefixes, valid)


def _plain(texts: pa.StringArray) -> tuple[_Longs, _Bools]:
    """The numbers of ``a.b.c.d``, and which texts are of this form."""
    count = len(texts)
    _, offsets_buffer, data_buffer = texts.buffers()
    numbers = np.zeros(count, dtype=np.int64)
    if not count or data_buffer is None or not data_buffer.size:
        return numbers, np.zeros(count, dtype=np.bool_)
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[texts.offset : texts.offset + count + 1]
    starts = offsets[:-1].astype(np.int64)
    lengths = np.diff(offsets)
    data = np.concatenate([np.frombuffer(data_buffer, np.uint8), np.zeros(_WIDEST, np.uint8)])
    octet = np.zeros(count, dtype=np.int64)
    digits = np.zeros(count, dtype=np.int64)
    dots = np.zeros(count, dtype=np.int64)
    good = lengths <= _WIDEST
    if texts.null_count:
        good &= texts.is_valid().to_numpy(zero_copy_only=False)
    for place in range(min(int(lengths.max()), _WIDEST)):
        char = data[starts + place].astype(np.int64)
        inside = place < lengths
        is_digit = inside & (char >= 48) & (char <= 57)
        is_dot = inside & (char == 46)
        good &= ~inside | is_digit | is_dot
        # No digit comes after a leading 0.
        good &= ~is_digit | (digits == 0) | (octet > 0)
        octet = np.where(is_digit, octet * 10 + char - 48, octet)
        digits += is_digit
        good &= ~is_dot | ((digits >= 1) & (digits <= 3) & (octet <= 255))
        numbers = np.where(is_dot, numbers * 256 + octet, numbers)
        dots += is_dot
        octet = np.where(is_dot, 0, octet)
        digits = np.where(is_dot, 0, digits)
    good &= (dots == 3) & (digits >= 1) & (digits <= 3) & (octet <= 255)
    return np.where(good, numbers * 256 + octet, 0), good


def _answer(values: Any, valid: _Bools) -> pa.Array:
    return pa.array(values, mask=~valid)


def _limits(prefix: Any) -> tuple[_Longs, _Bools]:
    if isinstance(prefix, pa.ChunkedArray):
        prefix = prefix.combine_chunks()
    given = prefix.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    valid = (given >= 0) & (given <= 32)
    return np.where(valid, given, 32), valid


def _masked(left: Any, right: Any, prefix: Any) -> tuple[_Longs, _Longs, _Bools]:
    a, b = addresses(left), addresses(right)
    least, valid = np.minimum(a.prefixes, b.prefixes), a.valid & b.valid
    if prefix is not None:
        limit, limit_valid = _limits(prefix)
        least, valid = np.minimum(least, limit), valid & limit_valid
    mask = masks(least)
    return a.numbers & mask, b.numbers & mask, valid


def compare(left: Any, right: Any, prefix: Any) -> pa.Array:
    """``ipv4_compare()``."""
    a, b, valid = _masked(left, right, prefix)
    return _answer(np.sign(a - b), valid)


def is_match(left: Any, right: Any, prefix: Any) -> pa.Array:
    """``ipv4_is_match()``."""
    a, b, valid = _masked(left, right, prefix)
    return _answer(a == b, valid)


def is_in_range(address: Any, network: Any) -> pa.Array:
    """``ipv4_is_in_range()``."""
    a, b, valid = _masked(address, network, None)
    return _answer(a == b, valid)


def is_private(address: Any) -> pa.Array:
    """``ipv4_is_private()``."""
    a = addresses(address)
    base = a.numbers & masks(a.prefixes)
    inside = np.zeros(base.size, dtype=np.bool_)
    for network, bits in ip.PRIVATE:
        inside |= (base & masks(np.int64(bits))) == network
    return _answer(inside, a.valid)


def parse(address: Any) -> pa.Array:
    """``parse_ipv4()``."""
    a = addresses(address)
    return _answer(a.numbers & masks(a.prefixes), a.valid)


def is_in_any_range(address: Any, *networks: Any) -> pa.Array:
    """``ipv4_is_in_any_range()``; networks come as texts or as JSON arrays of them."""
    known: dict[str, tuple[int, int]] = {}
    for column in networks:
        distinct = column.unique()
        if len(distinct) > 1:
            return _row_by_row(ip.ipv4_is_in_any_range, address, networks)
        for text in _texts(distinct[0].as_py()):
            split = ip.split_ipv4(text)
            if split is not None:
                known[text] = split
    a = addresses(address)
    inside = np.zeros(a.numbers.size, dtype=np.bool_)
    for number, bits in known.values():
        mask = masks(np.minimum(a.prefixes, bits))
        inside |= (a.numbers & mask) == (number & mask)
    return _answer(inside, a.valid if known else np.zeros_like(a.valid))


def _texts(value: str | None) -> list[str]:
    if not value or value[0] not in '["':
        return [value] if value else []
    parsed = json.loads(value)
    return [item for item in (parsed if isinstance(parsed, list) else [parsed]) if isinstance(item, str)]


def _row_by_row(function: Callable[..., bool | None], address: Any, networks: tuple[Any, ...]) -> pa.Array:
    rows = zip(address.to_pylist(), *(column.to_pylist() for column in networks), strict=True)
    return pa.array([function(text, *map(_texts, given)) for text, *given in rows], pa.bool_())
