"""HyperLogLog states: ``hll()``, ``hll_merge()``, ``dcount_hll()``.

A state is the JSON that Kusto shows: ``[[1024, bits], [hashes], [registers]]``. Up to 1,024 distinct
hashes are kept as they are (as text, since JSON numbers lose the last digits of 64-bit hashes), so
small counts are exact; beyond, 2**bits registers, packed as base64 (Kusto's packing isn't public).
Estimates: O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), which
needs no tables of bias corrections.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SPARSE_LIMIT = 1024
"""Most hashes that a state keeps singly."""

_BITS = {0: 12, 1: 14, 2: 16, 3: 17, 4: 18}
DEFAULT_ACCURACY = 1

_Hashes = npt.NDArray[np.uint64]
_Registers = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sketch:
    """A state in memory: either hashes or registers."""

    bits: int
    hashes: _Hashes
    registers: _Registers | None = None


def bits_of(accuracy: int | None) -> int:
    """Bits of the register index for an accuracy level 0 .. 4 (default 1)."""
    return _BITS.get(DEFAULT_ACCURACY if accuracy is None else accuracy, _BITS[DEFAULT_ACCURACY])


def build(hashes: npt.NDArray[np.int64], accuracy: int | None = DEFAULT_ACCURACY) -> Sketch:
    """The state of a set of 64-bit hashes."""
    unique = np.unique(hashes.astype(np.int64, copy=False).view(np.uint64))
    return _settled(bits_of(accuracy), unique)


def _settled(bits: int, hashes: _Hashes) -> Sketch:
    if hashes.size <= SPARSE_LIMIT:
        return Sketch(bits, hashes)
    return Sketch(bits, np.zeros(0, dtype=np.uint64), _registers(bits, hashes))


def _registers(bits: int, hashes: _Hashes) -> _Registers:
    index = (hashes >> np.uint64(64 - bits)).astype(np.int64)
    # Leading zeros of what follows the index, plus one; a set last bit bounds them.
    rest = (hashes << np.uint64(bits)) | np.uint64(1 << (bits - 1))
    high = (rest >> np.uint64(32)).astype(np.float64)
    low = (rest & np.uint64(0xFFFFFFFF)).astype(np.float64)
    length = np.where(high > 0, np.frexp(high)[1] + 32, np.frexp(low)[1])
    rank = (65 - length).astype(np.uint8)
    registers = np.zeros(1 << bits, dtype=np.uint8)
    np.maximum.at(registers, index, rank)
    return registers


def _narrowed(registers: _Registers, bits: int, target: int) -> _Registers:
    if bits == target:
        return registers
    fold = 1 << (bits - target)
    grouped = registers.reshape(-1, fold)
    # The dropped index bits become leading bits of the rest: their own zeros count first.
    place = np.arange(fold)
    lead = np.array([bits - target + 1 - int(p).bit_length() for p in place], dtype=np.uint8)
    ranks = np.where(place == 0, grouped + np.uint8(bits - target), lead)
    return np.asarray(np.where(grouped == 0, 0, ranks).max(axis=1), dtype=np.uint8)


def merge(sketches: Iterable[Sketch]) -> Sketch | None:
    """The state of the union of sets, at the least accuracy among them."""
    known = list(sketches)
    if not known:
        return None
    bits = min(sketch.bits for sketch in known)
    hashes = np.unique(np.concatenate([sketch.hashes for sketch in known]))
    dense = [s for s in known if s.registers is not None]
    if not dense:
        return _settled(bits, hashes)
    registers = _registers(bits, hashes)
    for sketch in dense:
        assert sketch.registers is not None
        registers = np.maximum(registers, _narrowed(sketch.registers, sketch.bits, bits))
    return Sketch(bits, np.zeros(0, dtype=np.uint64), registers)


def estimate(sketch: Sketch) -> int:
    """How many distinct values the set has; exact while hashes are kept singly."""
    if sketch.registers is None:
        return int(sketch.hashes.size)
    m = sketch.registers.size
    width = 64 - sketch.bits
    counts = np.bincount(sketch.registers, minlength=width + 2).tolist()
    z = m * _tau(1.0 - counts[width + 1] / m)
    for k in range(width, 0, -1):
        z = 0.5 * (z + counts[k])
    z += m * _sigma(counts[0] / m)
    return round(m * m / (2.0 * math.log(2.0)) / z)


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1.0 - x
    while True:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1.0 - x) ** 2 * y
        if z == before:
            return z / 3.0


def to_json(sketch: Sketch | None) -> list[Any] | None:
    """The state as a dynamic value."""
    if sketch is None:
        return None
    packed = (
        []
        if sketch.registers is None
        else [base64.b64encode(zlib.compress(sketch.registers.tobytes(), 6)).decode("ascii")]
    )
    return [
        [SPARSE_LIMIT, sketch.bits],
        [str(value) for value in sketch.hashes.view(np.int64).tolist()],
        packed,
    ]


def from_json(value: object) -> Sketch | None:
    """The state behind a dynamic value; ``None`` if it is none."""
    if not isinstance(value, list) or len(value) != 3:
        return None
    try:
        (_, bits), hashes, packed = value
        bits = int(bits)
        if not 4 <= bits <= 18:
            return None
        registers = None
        if packed:
            registers = np.frombuffer(zlib.decompress(base64.b64decode(packed[0])), dtype=np.uint8)
            if registers.size != 1 << bits:
                return None
        singles = np.array([int(item) for item in hashes], dtype=np.int64).view(np.uint64)
        return Sketch(bits, np.unique(singles), registers)
    except (TypeError, ValueError, OverflowError, zlib.error):
        return None


def intersection_counts(sketches: list[Sketch]) -> list[int]:
    """Estimated sizes of the first set, of the first two together, of the first three ... (at most 5).

    Exact while all sets keep their hashes; otherwise by inclusion and exclusion over unions.
    """
    if all(sketch.registers is None for sketch in sketches):
        common: set[int] | None = None
        counts = []
        for sketch in sketches:
            values = set(sketch.hashes.tolist())
            common = values if common is None else common & values
            counts.append(len(common))
        return counts
    counts = []
    for size in range(1, len(sketches) + 1):
        total = 0
        for chosen in range(1, 1 << size):
            united = merge([sketches[i] for i in range(size) if chosen >> i & 1])
            assert united is not None
            total += (1 if bin(chosen).count("1") % 2 else -1) * estimate(united)
        counts.append(max(0, total))
    return counts
