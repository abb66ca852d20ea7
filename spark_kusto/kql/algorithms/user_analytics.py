"""User analytics over a timeline: active users, retention, sessions, sliding counts.

Pages "active_users_count plugin", "activity_metrics plugin" and their neighbours. Ids come as codes
(0, 1, 2 ...), times as numbers of one unit (microseconds, ticks, or the column's own numbers). Every
function handles one slice; the caller splits by dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]
Times = npt.NDArray[Any]
Number = int | float


@dataclass(frozen=True)
class Bins:
    """Consecutive periods of an analysis.

    Attributes:
        edges: where each period starts, and one more: where the last one ends.
        last: times later than this don't count.
    """

    edges: Times
    last: Number

    @property
    def labels(self) -> Times:
        """Start of each period."""
        return self.edges[:-1]

    def __len__(self) -> int:
        return int(self.edges.size) - 1

    def index(self, times: Times) -> Codes:
        """Each time's period; -1 outside."""
        found = np.searchsorted(self.edges, times, side="right") - 1
        outside = (times < self.edges[0]) | (times > self.last) | (found >= len(self))
        return np.where(outside, -1, found).astype(np.int64)


MOST_BINS = 1_000_000


def regular_bins(start: Number, end: Number, step: Number) -> Bins:
    """Periods of ``step`` from ``start`` on, the last one holding ``end``.

    Raises:
        ValueError: the step isn't positive, the end lies before the start, or there are too many.
    """
    if not step > 0:
        raise ValueError("the step must be positive")
    if end < start:
        raise ValueError("the end lies before the start")
    count = math.floor((end - start) / step) + 1
    if count > MOST_BINS:
        raise ValueError(f"more than {MOST_BINS} periods")
    whole = all(isinstance(number, int) for number in (start, step))
    numbers: Times = np.arange(count + 1, dtype=np.int64 if whole else np.float64)
    edges: Times = numbers * step + start
    return Bins(edges, end)


def _pairs(bins: Codes, ids: Codes) -> tuple[Codes, Codes]:
    """Distinct (bin, id) pairs, outside ones dropped, ordered by bin and id."""
    inside = bins >= 0
    pairs = np.unique(np.stack([bins[inside], ids[inside]], axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _per_bin(values: Codes, count: int) -> list[int]:
    return np.bincount(values, minlength=count).tolist() if values.size else [0] * count


def _firsts(bins: Codes, ids: Codes) -> tuple[Codes, Codes]:
    """Of distinct pairs: each id's first bin, and the ids in the same order."""
    if not ids.size:
        return bins, ids
    order = np.lexsort((bins, ids))
    ordered = ids[order]
    first = np.r_[True, ordered[1:] != ordered[:-1]]
    return bins[order][first], ordered[first]


def activity_counts(ids: Codes, times: Times, bins: Bins) -> list[tuple[Any, int, int, int, int]]:
    """(period, events, distinct ids, ids never seen before, distinct ids so far) of each period."""
    at = bins.index(times)
    pair_bins, pair_ids = _pairs(at, ids)
    events = _per_bin(at[at >= 0], len(bins))
    distinct = _per_bin(pair_bins, len(bins))
    new = _per_bin(_firsts(pair_bins, pair_ids)[0], len(bins))
    so_far = np.cumsum(new).tolist()
    return list(zip(bins.labels.tolist(), events, distinct, new, so_far, strict=True))


def activity_metrics(ids: Codes, times: Times, bins: Bins) -> list[tuple[Any, int, int, float, float]]:
    """(period, distinct ids, new ids, retention, churn): how many of the period before came again."""
    pair_bins, pair_ids = _pairs(bins.index(times), ids)
    new = _per_bin(_firsts(pair_bins, pair_ids)[0], len(bins))
    rows = []
    before: set[int] | None = None
    for number, label in enumerate(bins.labels.tolist()):
        current = set(pair_ids[pair_bins == number].tolist())
        rate = len(current & before) / len(before) if before else math.nan
        rows.append((label, len(current), new[number], rate, 1.0 - rate))
        before = current
    return rows


def new_activity_metrics(
    ids: Codes, times: Times, bins: Bins, cohort: Number | None, known: Codes
) -> list[tuple[Any, Any, int, int, int, float, float]]:
    """(from, to, new, retained, churned, retention, churn) of each cohort of new ids and later period.

    Args:
        cohort: only the cohort of the period that holds this time.
        known: ids of a lookback period: they are never new.
    """
    pair_bins, pair_ids = _pairs(bins.index(times), ids)
    fresh = ~np.isin(pair_ids, known)
    pair_bins, pair_ids = pair_bins[fresh], pair_ids[fresh]
    first_bins, first_ids = _firsts(pair_bins, pair_ids)
    members = [pair_ids[pair_bins == number] for number in range(len(bins))]
    chosen = range(len(bins))
    if cohort is not None:
        only = int(bins.index(np.array([cohort]))[0])
        chosen = range(only, only + 1) if only >= 0 else range(0)
    labels = bins.labels.tolist()
    rows = []
    for start in chosen:
        group = first_ids[first_bins == start]
        if not group.size:
            continue
        # Ids seen up to and including the cohort's period aren't new in a later one.
        seen = first_ids[first_bins <= start]
        before = first_ids[first_bins < start]
        for number in range(start, len(bins)):
            retained = int(np.isin(group, members[number]).sum())
            against = before if number == start else seen
            new = int((~np.isin(members[number], against)).sum())
            rate = retained / group.size
            rows.append(
                (labels[start], labels[number], new, retained, group.size - retained, rate, 1.0 - rate)
            )
    return rows


def activity_engagement(
    ids: Codes, times: Times, bins: Bins, outer: Number
) -> list[tuple[Any, int, int, float]]:
    """(period, distinct ids in it, distinct ids in the outer window ending with it, their ratio)."""
    pair_bins, _ = _pairs(bins.index(times), ids)
    inner = _per_bin(pair_bins, len(bins))
    rows = []
    windows = _windows(ids, times, bins.edges[1:] - outer, bins.edges[1:], bins.last)
    for label, count, (_, distinct) in zip(bins.labels.tolist(), inner, windows, strict=True):
        rows.append((label, count, distinct, count / distinct if distinct else math.nan))
    return rows


def _windows(ids: Codes, times: Times, lows: Times, highs: Times, last: Number) -> Iterator[tuple[int, int]]:
    """Events and distinct ids with low <= time < high, for windows whose bounds only grow."""
    keep = times <= last
    ids, times = ids[keep], times[keep]
    order = np.argsort(times, kind="stable")
    ids, times = ids[order], times[order]
    starts = np.searchsorted(times, lows, side="left").tolist()
    ends = np.searchsorted(times, highs, side="left").tolist()
    held = np.zeros(int(ids.max()) + 1 if ids.size else 0, dtype=np.int64)
    distinct = left = right = 0
    for start, end in zip(starts, ends, strict=True):
        for position in range(right, end):
            code = ids[position]
            held[code] += 1
            distinct += held[code] == 1
        for position in range(left, min(start, end)):
            code = ids[position]
            held[code] -= 1
            distinct -= held[code] == 0
        left, right = max(left, min(start, end)), max(right, end)
        yield max(0, end - start), int(distinct)


def sliding_window_counts(ids: Codes, times: Times, bins: Bins, window: Number) -> list[tuple[Any, int, int]]:
    """(period, events, distinct ids) in the window that ends with each period."""
    highs = bins.edges[1:]
    counts = _windows(ids, times, highs - window, highs, bins.last)
    return [(label, *found) for label, found in zip(bins.labels.tolist(), counts, strict=True)]


def active_users(
    ids: Codes,
    times: Times,
    bins: Bins,
    start: Number,
    lookback: Number,
    period: Number,
    active_periods: int,
) -> list[tuple[Any, int]]:
    """(period, distinct active ids) of each period with any.

    An id is active when it appears if, in the lookback window up to then, it was seen in at least
    ``active_periods`` distinct periods of length ``period``.
    """
    order = np.lexsort((times, ids))
    ids, times = ids[order], times[order]
    at = bins.index(times)
    slots = np.floor((times - start) / period).astype(np.int64)
    active: set[tuple[int, int]] = set()
    left = 0
    counts: dict[int, int] = {}
    for position in range(ids.size):
        if position and ids[position] != ids[position - 1]:
            left, counts = position, {}
        slot = int(slots[position])
        counts[slot] = counts.get(slot, 0) + 1
        while times[left] <= times[position] - lookback:
            old = int(slots[left])
            counts[old] -= 1
            if not counts[old]:
                del counts[old]
            left += 1
        if at[position] >= 0 and len(counts) >= active_periods:
            active.add((int(at[position]), int(ids[position])))
    totals = _per_bin(np.array([bin_ for bin_, _ in active], dtype=np.int64), len(bins))
    return [(label, n) for label, n in zip(bins.labels.tolist(), totals, strict=True) if n]


def session_counts(ids: Codes, times: Times, bins: Bins, lookback: Number) -> list[tuple[Any, int]]:
    """(period, sessions that start in it): an event starts one if its id wasn't seen in the lookback."""
    order = np.lexsort((times, ids))
    ids, times = ids[order], times[order]
    starts = np.ones(ids.size, dtype=bool)
    if ids.size:
        starts[1:] = (ids[1:] != ids[:-1]) | (times[1:] - times[:-1] > lookback)
    at = bins.index(times[starts])
    totals = _per_bin(at[at >= 0], len(bins))
    return list(zip(bins.labels.tolist(), totals, strict=True))


def rolling_percentile(
    values: npt.NDArray[Any], at: npt.NDArray[np.int64], percent: float, width: int
) -> list[tuple[int, Any]]:
    """(bin, nearest-rank percentile of the values in the last ``width`` bins) of each bin with rows."""
    order = np.argsort(at, kind="stable")
    values, at = values[order], at[order]
    rows = []
    for number in np.unique(at).tolist():
        low = np.searchsorted(at, number - width + 1, side="left")
        high = np.searchsorted(at, number, side="right")
        window = np.sort(values[low:high])
        rank = max(1, math.ceil(percent / 100.0 * window.size - 1e-9))
        rows.append((number, window[min(rank, window.size) - 1].item()))
    return rows
