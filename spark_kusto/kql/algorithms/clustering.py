"""Patterns of discrete attributes: autocluster, basket, diffpatterns, diffpatterns_text.

A pattern fixes some columns to values and leaves the others open. Columns come as arrays of codes
(0, 1, 2 ...; -1 for "no value", which no pattern fixes), rows with weights. Only closed patterns are
reported: none that could fix one more column without losing a row. Sources: the pages of the
plugins; Agrawal and Srikant, "Fast algorithms for mining association rules" (1994) for basket; the
seed-and-expand idea of autocluster is its page's, the scores are this package's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

Pattern = tuple[tuple[int, int], ...]
"""(column, code) pairs, by column."""

MOST_PATTERNS = 100_000


@dataclass(frozen=True)
class Rows:
    """Distinct rows and how much each weighs."""

    columns: tuple[Codes, ...]
    weights: Weights

    @property
    def total(self) -> float:
        """Weight of all rows."""
        return float(self.weights.sum())


def distinct_rows(columns: Sequence[Codes], *weights: Weights) -> tuple[Rows, ...]:
    """The distinct rows, once for each array of weights."""
    if not columns:
        return tuple(Rows((), w) for w in weights)
    stacked = np.stack(columns, axis=1)
    unique, place = np.unique(stacked, axis=0, return_inverse=True)
    place = place.reshape(-1)
    shared = tuple(np.ascontiguousarray(unique[:, i]) for i in range(unique.shape[1]))
    return tuple(
        Rows(shared, np.bincount(place, weights=w, minlength=len(unique)).astype(np.float64)) for w in weights
    )


def _closure(rows: Rows, inside: Mask) -> Pattern:
    """All columns that have one value in these rows."""
    items = []
    for number, column in enumerate(rows.columns):
        values = column[inside]
        if values.size and values[0] >= 0 and bool((values == values[0]).all()):
            items.append((number, int(values[0])))
    return tuple(items)


def _inside(rows: Rows, pattern: Sequence[tuple[int, int]]) -> Mask:
    mask = np.ones(rows.weights.size, dtype=bool)
    for column, code in pattern:
        mask &= rows.columns[column] == code
    return mask


def _frequent(
    rows: Rows, measures: Sequence[Weights], least: Sequence[float], most_dimensions: int
) -> Iterator[tuple[Pattern, list[float]]]:
    """Closed patterns whose weight reaches its least in one of the measures, each once."""
    present = np.zeros(rows.weights.size, dtype=bool)
    for measure in measures:
        present |= measure > 0
    items: list[tuple[int, int, Mask]] = []
    for number, column in enumerate(rows.columns):
        for code in np.unique(column[column >= 0]).tolist():
            mask = (column == code) & present
            if _enough(mask, measures, least):
                items.append((number, int(code), mask))
    seen: set[Pattern] = set()
    stack: list[tuple[int, int, Mask]] = [(0, 0, present)]
    while stack:
        start, depth, mask = stack.pop()
        if depth:
            pattern = _closure(rows, mask)
            if pattern in seen:
                continue
            seen.add(pattern)
            if len(seen) > MOST_PATTERNS:
                return
            yield pattern, [float(measure[mask].sum()) for measure in measures]
        if depth == most_dimensions:
            continue
        fixed = {number for number, _ in _closure(rows, mask)} if depth else set()
        for place in range(start, len(items)):
            number, _, item = items[place]
            if number in fixed:
                continue
            narrowed = mask & item
            if _enough(narrowed, measures, least):
                stack.append((place + 1, depth + 1, narrowed))


def _enough(mask: Mask, measures: Sequence[Weights], least: Sequence[float]) -> bool:
    return any(measure[mask].sum() >= wanted for measure, wanted in zip(measures, least, strict=True))


def basket(rows: Rows, threshold: float, most_dimensions: int) -> list[tuple[Pattern, float]]:
    """Closed patterns of at least a share ``threshold`` of the rows, the most frequent first."""
    if rows.total <= 0:
        return []
    found = [
        (pattern, counts[0])
        for pattern, counts in _frequent(rows, [rows.weights], [threshold * rows.total], most_dimensions)
        if pattern
    ]
    return sorted(found, key=lambda item: (-item[1], -len(item[0]), item[0]))


def autocluster(rows: Rows, size_weight: float, seeds: int) -> list[tuple[Pattern, float]]:
    """A few patterns that together cover much of the rows and say much about them.

    Each of the heaviest rows is a seed: columns are opened one by one, the one first whose opening
    makes the pattern's score best. ``size_weight`` balances coverage against the number of columns
    fixed. Then patterns are taken by how much they cover that no better one does.
    """
    total = rows.total
    if total <= 0 or not rows.columns:
        return []
    width = len(rows.columns)

    def score(count: float, fixed: int) -> float:
        if not fixed or count <= 0:
            return 0.0
        return float((count / total) ** size_weight * (fixed / width) ** (1.0 - size_weight))

    candidates: dict[Pattern, float] = {}
    uncovered = np.ones(rows.weights.size, dtype=bool)
    for _ in range(seeds):
        if not uncovered.any():
            break
        left = np.flatnonzero(uncovered)
        seed = int(left[rows.weights[left].argmax()])
        pattern = tuple((i, int(c[seed])) for i, c in enumerate(rows.columns) if c[seed] >= 0)
        best, best_score = pattern, -1.0
        while pattern:
            mask = _inside(rows, pattern)
            closed = _closure(rows, mask)
            value = score(float(rows.weights[mask].sum()), len(closed))
            if value > best_score:
                best, best_score = closed, value
            opened = [pattern[:i] + pattern[i + 1 :] for i in range(len(pattern))]
            pattern = max(
                opened,
                key=lambda p: score(float(rows.weights[_inside(rows, p)].sum()), len(p)),
            )
        mask = _inside(rows, best)
        uncovered &= ~mask
        uncovered[seed] = False
        if best:
            candidates[best] = float(rows.weights[mask].sum())
    chosen: list[tuple[Pattern, float]] = []
    told: set[tuple[int, int]] = set()
    free = np.ones(rows.weights.size, dtype=bool)
    left_over = dict(candidates)
    while left_over:
        gains = {
            pattern: score(float(rows.weights[_inside(rows, pattern) & free].sum()), len(pattern))
            for pattern in left_over
        }
        pattern = max(gains, key=lambda p: gains[p])
        mask = _inside(rows, pattern)
        count = left_over.pop(pattern)
        # A rarity tells little, and so does a pattern that fixes nothing that better ones don't.
        if count < 0.05 * total or set(pattern) <= told:
            continue
        chosen.append((pattern, count))
        told.update(pattern)
        free &= ~mask
    return chosen


def diff_patterns(
    first: Rows, second: Rows, threshold: float, most_dimensions: int
) -> list[tuple[Pattern, float, float]]:
    """Patterns whose share differs between two sets of rows by at least ``threshold``.

    Of patterns that are parts of one another only the one with the greatest difference stays.
    """
    totals = (first.total, second.total)
    if min(totals) <= 0:
        return []
    found = []
    for pattern, (a, b) in _frequent(
        first,
        [first.weights, second.weights],
        [threshold * total for total in totals],
        most_dimensions,
    ):
        difference = abs(a / totals[0] - b / totals[1])
        if pattern and difference >= threshold:
            found.append((difference, pattern, a, b))
    found.sort(key=lambda item: (-item[0], len(item[1]), item[1]))
    chosen: list[tuple[Pattern, float, float]] = []
    kept: list[set[tuple[int, int]]] = []
    for _, pattern, a, b in found:
        items = set(pattern)
        if not any(items <= other or other <= items for other in kept):
            kept.append(items)
            chosen.append((pattern, a, b))
    return chosen


def text_patterns(
    texts: Sequence[str],
    flags: Sequence[bool],
    least_tokens: int,
    threshold: float,
    most_tokens: int,
) -> list[tuple[int, int, str]]:
    """(texts with the flag, texts without, words) of word sequences that tell the two sets apart.

    The longest sequences are kept whose share of the texts with the flag and of those without
    differ by at least ``threshold``.
    """
    words = [text.split() for text in texts]
    totals = [sum(flags), len(flags) - sum(flags)]
    if not all(totals):
        return []
    least = [threshold * total for total in totals]
    # Sequences grow word by word on the right, from where those one shorter occur.
    places: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for number, line in enumerate(words):
        for start, word in enumerate(line):
            places.setdefault((word,), []).append((number, start))
    frequent: dict[tuple[str, ...], tuple[int, int]] = {}
    for length in range(1, most_tokens + 1):
        grown: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        for sequence, found in places.items():
            with_flag = len({number for number, _ in found if flags[number]})
            without = len({number for number, _ in found if not flags[number]})
            if with_flag < least[0] and without < least[1]:
                continue
            frequent[sequence] = (with_flag, without)
            if len(frequent) > MOST_PATTERNS:
                break
            for number, start in found:
                line = words[number]
                if start + length < len(line):
                    longer = (*sequence, line[start + length])
                    grown.setdefault(longer, []).append((number, start))
        if not grown or len(frequent) > MOST_PATTERNS:
            break
        places = grown
    telling = [
        (sequence, counts)
        for sequence, counts in frequent.items()
        if len(sequence) >= least_tokens and abs(counts[0] / totals[0] - counts[1] / totals[1]) >= threshold
    ]
    telling.sort(key=lambda item: (-len(item[0]), item[0]))
    kept: list[tuple[tuple[str, ...], tuple[int, int]]] = []
    for sequence, counts in telling:
        if not any(_within(sequence, other) for other, _ in kept):
            kept.append((sequence, counts))
    kept.sort(key=lambda item: -abs(item[1][0] / totals[0] - item[1][1] / totals[1]))
    return [(counts[0], counts[1], " ".join(sequence)) for sequence, counts in kept]


def _within(part: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    return any(whole[start : start + len(part)] == part for start in range(len(whole) - len(part) + 1))


def percent(count: float, total: float) -> float:
    """A share in percent, rounded to two digits as the plugins print it."""
    return round(100.0 * count / total, 2) if total > 0 else math.nan
