"""xxHash64 as Kusto applies it, vectorised over columns; digests of a value's text.

``hash()`` and ``hash_xxhash64()`` hash the UTF-8 of a string and the eight little-endian bytes of a
datetime's ticks since 0001-01-01 (checked against the documentation's printed answers); other
numbers go the same way as eight bytes. How Kusto combines hashes is not published and differs here; see
:func:`combine`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_U64 = npt.NDArray[np.uint64]

_P1 = np.uint64(11400714785074694791)
_P2 = np.uint64(14029467366897019727)
_P3 = np.uint64(1609587929392839161)
_P4 = np.uint64(9650029242287828579)
_P5 = np.uint64(2870177450012600261)


def _rotl(x: _U64, bits: int) -> _U64:
    turned: _U64 = (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))
    return turned


def _round(accumulator: _U64, lane: _U64) -> _U64:
    mixed: _U64 = _rotl(accumulator + lane * _P2, 31) * _P1
    return mixed


def _avalanche(h: _U64) -> _U64:
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    mixed: _U64 = h ^ (h >> np.uint64(32))
    return mixed


def xxhash64_words(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """xxHash64 (seed 0) of each number's eight little-endian bytes."""
    words = values.astype(np.int64, copy=False).view(np.uint64)
    with np.errstate(over="ignore"):
        h = np.full(words.shape, _P5 + np.uint64(8), dtype=np.uint64)
        h ^= _round(np.zeros_like(words), words)
        h = _rotl(h, 27) * _P1 + _P4
        return _avalanche(h).view(np.int64)


def xxhash64_texts(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """xxHash64 (seed 0) of each byte string.

    Args:
        data: the bytes of all strings.
        offsets: where each string starts in ``data``, and one more: where the last one ends.
    """
    starts, lengths = offsets[:-1].astype(np.int64), np.diff(offsets).astype(np.int64)
    # Unaligned eight-byte loads: every load is a gather from a padded copy.
    padded = np.concatenate([data, np.zeros(8, dtype=np.uint8)])
    words = np.lib.stride_tricks.sliding_window_view(padded, 8)

    def load(at: npt.NDArray[np.int64]) -> _U64:
        return np.ascontiguousarray(words[at]).view("<u8").reshape(-1).astype(np.uint64)

    with np.errstate(over="ignore"):
        h = np.full(starts.shape, _P5, dtype=np.uint64)
        long = np.flatnonzero(lengths >= 32)
        position = starts.copy()
        if long.size:
            h[long], position[long] = _stripes(load, starts[long], lengths[long])
        h += lengths.astype(np.uint64)
        ends = starts + lengths
        while (rows := np.flatnonzero(ends - position >= 8)).size:
            lane = load(position[rows])
            h[rows] = _rotl(h[rows] ^ _round(np.zeros_like(lane), lane), 27) * _P1 + _P4
            position[rows] += 8
        rows = np.flatnonzero(ends - position >= 4)
        if rows.size:
            half = load(position[rows]) & np.uint64(0xFFFFFFFF)
            h[rows] = _rotl(h[rows] ^ (half * _P1), 23) * _P2 + _P3
            position[rows] += 4
        while (rows := np.flatnonzero(ends > position)).size:
            byte = padded[position[rows]].astype(np.uint64)
            h[rows] = _rotl(h[rows] ^ (byte * _P5), 11) * _P1
            position[rows] += 1
        return _avalanche(h).view(np.int64)


def _stripes(
    load: object, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> tuple[_U64, npt.NDArray[np.int64]]:
    assert callable(load)
    seed = np.zeros(starts.shape, dtype=np.uint64)
    lanes = [seed + _P1 + _P2, seed + _P2, seed.copy(), seed - _P1]
    position, stripes = starts.copy(), lengths // 32
    for step in range(int(stripes.max())):
        rows = np.flatnonzero(stripes > step)
        for index in range(4):
            lanes[index][rows] = _round(lanes[index][rows], load(position[rows] + 8 * index))
        position[rows] += 32
    h = _rotl(lanes[0], 1) + _rotl(lanes[1], 7) + _rotl(lanes[2], 12) + _rotl(lanes[3], 18)
    for lane in lanes:
        h = (h ^ _round(np.zeros_like(lane), lane)) * _P1 + _P4
    return h, position


def xxhash64(data: bytes) -> int:
    """xxHash64 (seed 0) of one byte string, as a signed 64-bit number."""
    offsets = np.array([0, len(data)], dtype=np.int64)
    return int(xxhash64_texts(np.frombuffer(data, dtype=np.uint8), offsets)[0])


def combine(hashes: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """One hash of several, depending on their order.

    Kusto does not publish how ``hash_combine()`` and ``hash_many()`` mix, and says that it may
    change; this is xxHash64's own merge step, so values differ from Kusto's and everything built on
    them within one query (grouping, sampling, joining) does not.
    """
    with np.errstate(over="ignore"):
        h = np.full(hashes[0].shape, _P5 + np.uint64(8 * len(hashes)), dtype=np.uint64)
        for values in hashes:
            lane = values.view(np.uint64)
            h = _rotl(h ^ _round(np.zeros_like(lane), lane), 27) * _P1 + _P4
        return _avalanche(h).view(np.int64)
