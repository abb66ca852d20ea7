"""t-digests: ``tdigest()``, ``merge_tdigest()``, ``percentile_tdigest()``, ``rank_tdigest()``.

A digest is the JSON that Kusto shows: ``[[kind], [values], [weights]]``. Up to 1,000 distinct values
are kept with their counts, so small digests are exact; beyond, neighbours are merged by
T. Dunning's k1 scale function ("Computing extremely accurate quantiles using t-digests", 2019).
Percentiles are nearest-rank, as Kusto's aggregate ``percentile()``.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EXACT_LIMIT = 1000
"""Most distinct values that a digest keeps exactly."""

_COMPRESSION = 1000.0

LONG, REAL, DATETIME, TIMESPAN = 7, 8, 9, 10
"""Kinds of values. Kusto's code for integers is 7; its codes for the others aren't public."""

_EPOCH = dt.datetime(1970, 1, 1)


@dataclass(frozen=True)
class Digest:
    """Values in ascending order and how often each stands.

    Datetimes count microseconds since 1970 (ticks since year 1 would lose digits in a float),
    timespans count ticks.
    """

    kind: int
    values: Floats
    weights: Floats


def build(kind: int, values: Floats, weights: Floats | None = None) -> Digest | None:
    """The digest of values, each standing ``weight`` times; ``None`` of no values."""
    keep = np.isfinite(values)
    if weights is not None:
        keep &= weights > 0
        weights = weights[keep]
    values = values[keep]
    if not values.size:
        return None
    unique, place = np.unique(values, return_inverse=True)
    counts = np.bincount(place, weights=weights).astype(np.float64)
    return _compressed(Digest(kind, unique, counts))


def _compressed(digest: Digest) -> Digest:
    if digest.values.size <= EXACT_LIMIT:
        return digest
    total = float(digest.weights.sum())
    # Centroids are the bins of the k1 scale; the ends stay single values.
    middle = (np.cumsum(digest.weights) - digest.weights / 2) / total
    scale = _COMPRESSION / (2 * math.pi) * np.arcsin(2 * middle - 1)
    bins = np.floor(scale - scale[0]).astype(np.int64) + 1
    bins[0], bins[-1] = 0, bins[-1] + 1
    _, place = np.unique(bins, return_inverse=True)
    weights = np.bincount(place, weights=digest.weights).astype(np.float64)
    means = np.bincount(place, weights=digest.weights * digest.values) / weights
    return Digest(digest.kind, means, weights)


def merge(digests: Iterable[Digest]) -> Digest | None:
    """The digest of all values together."""
    known = list(digests)
    if not known:
        return None
    kinds = {digest.kind for digest in known}
    kind = kinds.pop() if len(kinds) == 1 else REAL
    values = np.concatenate([digest.values for digest in known])
    weights = np.concatenate([digest.weights for digest in known])
    return build(kind, values, weights)


def percentile(digest: Digest, percent: float) -> Any:
    """The value at the nearest rank, as a dynamic item."""
    total = float(digest.weights.sum())
    rank = min(max(percent, 0.0), 100.0) / 100.0 * total
    place = int(np.searchsorted(np.cumsum(digest.weights), rank - 1e-9 * total, side="left"))
    return _item(digest.kind, float(digest.values[min(place, digest.values.size - 1)]))


def _item(kind: int, value: float) -> Any:
    if kind == LONG:
        return round(value)
    if kind == DATETIME:
        # At the ends of time, floats may step beyond.
        earliest, latest = dt.datetime.min - _EPOCH, dt.datetime.max - _EPOCH
        return _EPOCH + min(max(dt.timedelta(microseconds=round(value)), earliest), latest)
    if kind == TIMESPAN:
        return dt.timedelta(microseconds=round(value) // 10)
    return value


def rank(digest: Digest, value: float) -> float:
    """How many values are smaller than or equal to ``value``."""
    place = int(np.searchsorted(digest.values, value, side="right"))
    return float(digest.weights[:place].sum())


def percent_rank(digest: Digest, value: float) -> float:
    """:func:`rank` in percent of all values."""
    return 100.0 * rank(digest, value) / float(digest.weights.sum())


def to_json(digest: Digest | None) -> list[Any] | None:
    """The digest as a dynamic value."""
    if digest is None:
        return None
    whole = digest.kind != REAL and bool((digest.values == np.round(digest.values)).all())
    values: Sequence[float] = digest.values.astype(np.int64).tolist() if whole else digest.values.tolist()
    weights: list[Any] = [int(w) if w == int(w) else w for w in digest.weights.tolist()]
    return [[digest.kind], list(values), weights]


def from_json(value: object) -> Digest | None:
    """The digest behind a dynamic value; ``None`` if it is none."""
    if not isinstance(value, list) or len(value) != 3:
        return None
    try:
        (kind,), values, weights = value
        found = Digest(int(kind), np.array(values, dtype=np.float64), np.array(weights, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        return None
    if not found.values.size or found.values.shape != found.weights.shape:
        return None
    if bool((np.diff(found.values) < 0).any()):
        return build(found.kind, found.values, found.weights)
    return found


def weighted_percentiles(values: npt.NDArray[Any], weights: Floats, percents: Sequence[float]) -> list[Any]:
    """Nearest-rank percentiles of values that stand ``weight`` times; nulls if there are none."""
    keep = weights > 0
    if values.dtype.kind == "f":
        keep &= ~np.isnan(values)
    values, weights = values[keep], weights[keep]
    if not values.size:
        return [None] * len(percents)
    order = np.argsort(values, kind="stable")
    values, reached = values[order], np.cumsum(weights[order])
    ranks = np.clip(np.asarray(percents, dtype=np.float64), 0, 100) / 100.0 * reached[-1]
    places = np.searchsorted(reached, ranks - 1e-9 * reached[-1], side="left")
    answer: list[Any] = values[np.minimum(places, values.size - 1)].tolist()
    return answer
