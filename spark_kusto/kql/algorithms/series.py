"""Series: element by element arithmetic, comparisons, filling, sums and statistics.

A series is a dynamic array of numbers. What is no number (null, text) is missing; what it takes part
in is null ("series_add()" and its family). Datetimes, which JSON carries as text, count as ticks
since 0001-01-01, as they do in Kusto.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_DATETIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?Z?", re.ASCII)
_EPOCH = dt.datetime(1, 1, 1)


def number(item: object) -> float | int | None:
    """The item as a number, or ``None``."""
    if isinstance(item, bool):
        return None
    if isinstance(item, (int, float)):
        return item
    if isinstance(item, str):
        found = _DATETIME.fullmatch(item)
        if found is not None:
            moment = dt.datetime.fromisoformat(f"{found.group(1)}T{found.group(2)}")
            seconds = (moment - _EPOCH) // dt.timedelta(seconds=1)
            return seconds * 10_000_000 + int((found.group(3) or "").ljust(7, "0"))
        if item in ("NaN", "Infinity", "-Infinity"):
            return float(item)
    return None


def floats(series: Sequence[object]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The series as floats (0 where missing) and the mask of missing items."""
    values = [number(item) for item in series]
    missing = np.array([value is None for value in values], dtype=bool)
    return np.array([0.0 if v is None else v for v in values], dtype=np.float64), missing


def with_nulls(values: Floats, missing: npt.NDArray[np.bool_]) -> list[Any]:
    """A list of the values with ``None`` where missing."""
    listed: list[Any] = values.tolist()
    for position in np.flatnonzero(missing):
        listed[position] = None
    return listed


def _series(value: object) -> list[object] | None:
    return value if isinstance(value, list) else None


# -- one series -----------------------------------------------------------------------------------

_UNARY: dict[str, Callable[[Floats], Any]] = {
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "ceiling": np.ceil,
    "cos": np.cos,
    "exp": np.exp,
    "floor": np.floor,
    "log": np.log,
    "sin": np.sin,
    "tan": np.tan,
}

UNARY = (*sorted(_UNARY), "abs", "sign")
"""Names ``x`` of the functions ``series_x(series)`` that work item by item."""


def unary(name: str, series: object) -> list[Any] | None:
    """``series_<name>(series)``: null where an item is no number."""
    items = _series(series)
    if items is None:
        return None
    if name in ("abs", "sign"):
        # These keep integers as they are.
        answers: list[Any] = []
        for item in items:
            value = number(item)
            if value is None or (name == "abs" or value != value):
                answers.append(None if value is None else abs(value))
            else:
                answers.append((value > 0) - (value < 0))
        return answers
    values, missing = floats(items)
    with np.errstate(all="ignore"):
        return with_nulls(np.asarray(_UNARY[name](values), dtype=np.float64), missing)


# -- two series -----------------------------------------------------------------------------------


def _divide(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a)
    return a / b


def _pow(a: float, b: float) -> float:
    try:
        answer = float(a) ** float(b)
    except ZeroDivisionError:
        return math.inf
    except OverflowError:
        return math.inf
    return math.nan if isinstance(answer, complex) else answer


def _wrapped(value: float) -> float:
    if isinstance(value, int):
        return (value + (1 << 63)) % (1 << 64) - (1 << 63)
    return value


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: _wrapped(a + b),
    "subtract": lambda a, b: _wrapped(a - b),
    "multiply": lambda a, b: _wrapped(a * b),
    "divide": _divide,
    "pow": _pow,
    "equals": lambda a, b: a == b,
    "not_equals": lambda a, b: a != b,
    "greater": lambda a, b: a > b,
    "greater_equals": lambda a, b: a >= b,
    "less": lambda a, b: a < b,
    "less_equals": lambda a, b: a <= b,
}

BINARY = tuple(_BINARY)
"""Names ``x`` of the functions ``series_x(series1, series2)`` that work item by item."""


def binary(name: str, left: object, right: object) -> list[Any] | None:
    """``series_<name>(left, right)``: null where an item of either is missing or no number.

    A plain number on one side stands for a series of it.
    """
    a, b = _series(left), _series(right)
    if a is None and b is None:
        return None
    if a is None:
        if number(left) is None:
            return None
        a = [left] * len(b or ())
    if b is None:
        if number(right) is None:
            return None
        b = [right] * len(a)
    call = _BINARY[name]
    answers: list[Any] = []
    for position in range(max(len(a), len(b))):
        x = number(a[position]) if position < len(a) else None
        y = number(b[position]) if position < len(b) else None
        answers.append(None if x is None or y is None else call(x, y))
    return answers


def _pair(left: object, right: object) -> tuple[Floats, Floats] | None:
    a, b = _series(left), _series(right)
    if a is None or b is None or len(a) != len(b) or not a:
        return None
    x, x_missing = floats(a)
    y, y_missing = floats(b)
    return None if x_missing.any() or y_missing.any() else (x, y)


def dot_product(left: object, right: object) -> float | None:
    """The sum of products; null for series of different lengths or with missing items.

    A number stands for a series of itself.
    """
    if isinstance(left, list) and not isinstance(right, list):
        right = [right] * len(left)
    elif isinstance(right, list) and not isinstance(left, list):
        left = [left] * len(right)
    pair = _pair(left, right)
    return None if pair is None else float(np.dot(*pair))


def pearson_correlation(left: object, right: object) -> float | None:
    """Pearson's correlation coefficient; null where it is undefined."""
    pair = _pair(left, right)
    if pair is None:
        return None
    x, y = pair[0] - pair[0].mean(), pair[1] - pair[1].mean()
    norm = math.sqrt(float(np.dot(x, x)) * float(np.dot(y, y)))
    return float(np.dot(x, y)) / norm if norm else math.nan


def cosine_similarity(
    left: object, right: object, magnitude1: float | None = None, magnitude2: float | None = None
) -> float | None:
    """The cosine of the angle between the series; magnitudes are taken as given where they are."""
    pair = _pair(left, right)
    if pair is None:
        return None
    first = float(np.linalg.norm(pair[0])) if magnitude1 is None else magnitude1
    second = float(np.linalg.norm(pair[1])) if magnitude2 is None else magnitude2
    return _divide(float(np.dot(*pair)), first * second)


def _complete(series: object) -> Floats | None:
    items = _series(series)
    if items is None:
        return None
    values, missing = floats(items)
    return None if missing.any() else values


def total(series: object) -> float | None:
    """The sum of the series; null where an item is missing."""
    values = _complete(series)
    return None if values is None else float(values.sum())


def product(series: object) -> float | None:
    """The product of the series; null where an item is missing."""
    values = _complete(series)
    return None if values is None else float(values.prod())


def magnitude(series: object) -> float | None:
    """The Euclidean norm of the series; null where an item is missing."""
    values = _complete(series)
    return None if values is None else float(np.linalg.norm(values))


# -- filling --------------------------------------------------------------------------------------


def _is_gap(item: object, placeholder: object) -> bool:
    if item is None:
        return placeholder is None or placeholder != placeholder
    if placeholder is None:
        return False
    if isinstance(item, (int, float)) and isinstance(placeholder, (int, float)):
        return item == placeholder
    return False


def fill_const(series: object, value: object, placeholder: object = None) -> list[Any] | None:
    """Gaps (items equal to the placeholder, nulls by default) replaced by the value."""
    items = _series(series)
    if items is None:
        return None
    return [value if _is_gap(item, placeholder) else item for item in items]


def fill_forward(series: object, placeholder: object = None) -> list[Any] | None:
    """Gaps replaced by the item before them; leading gaps stay."""
    items = _series(series)
    if items is None:
        return None
    filled: list[Any] = []
    last: tuple[object, ...] = ()
    for item in items:
        if _is_gap(item, placeholder):
            filled.append(last[0] if last else item)
        else:
            last = (item,)
            filled.append(item)
    return filled


def fill_backward(series: object, placeholder: object = None) -> list[Any] | None:
    """Gaps replaced by the item after them; trailing gaps stay."""
    items = _series(series)
    if items is None:
        return None
    filled = fill_forward(items[::-1], placeholder)
    return None if filled is None else filled[::-1]


def fill_linear(
    series: object,
    placeholder: object = None,
    fill_edges: bool | None = True,
    constant: object = 0.0,
) -> list[Any] | None:
    """Gaps replaced by the straight line between their neighbours.

    Edges take the nearest item if ``fill_edges``; a series of gaps alone becomes ``constant``. A
    series of integers stays one: values between are cut, as in Kusto's printed example.
    """
    items = _series(series)
    if items is None:
        return None
    values = [None if _is_gap(item, placeholder) else number(item) for item in items]
    known = [i for i, value in enumerate(values) if value is not None]
    if not known:
        return [constant for _ in items]
    whole = all(isinstance(values[i], int) for i in known)
    filled: list[Any] = list(values)
    for start, end in pairwise(known):
        low, high = values[start], values[end]
        assert low is not None
        assert high is not None
        step = (high - low) / (end - start)
        for i in range(start + 1, end):
            between = low + step * (i - start)
            filled[i] = int(between) if whole else between
    if fill_edges:
        filled[: known[0]] = [values[known[0]]] * known[0]
        filled[known[-1] + 1 :] = [values[known[-1]]] * (len(items) - known[-1] - 1)
    else:
        for i in (*range(known[0]), *range(known[-1] + 1, len(items))):
            filled[i] = items[i]
    return filled


# -- statistics -----------------------------------------------------------------------------------

STATS = ("min", "min_idx", "max", "max_idx", "avg", "stdev", "variance")
"""Names of what :func:`stats` gives, in order."""


def stats(series: object, ignore_nonfinite: bool | None = False) -> list[Any]:
    """Minimum, its index, maximum, its index, average, standard deviation and variance (of a sample).

    All null if an item is missing or not finite, unless these are to be ignored.
    """
    nothing: list[Any] = [None] * len(STATS)
    items = _series(series)
    if not items:
        return nothing
    values, missing = floats(items)
    good = np.flatnonzero(~missing & np.isfinite(values))
    if not good.size or (good.size < values.size and not ignore_nonfinite):
        return nothing
    kept = values[good]
    low, high = int(kept.argmin()), int(kept.argmax())
    variance = float(kept.var(ddof=1)) if kept.size > 1 else 0.0
    return [
        float(kept[low]),
        int(good[low]),
        float(kept[high]),
        int(good[high]),
        float(kept.mean()),
        math.sqrt(variance),
        variance,
    ]


def stats_dynamic(series: object, ignore_nonfinite: bool | None = False) -> dict[str, Any] | None:
    """:func:`stats` as a bag, with ``sum`` and ``len`` besides."""
    items = _series(series)
    if items is None:
        return None
    found = dict(zip(STATS, stats(items, ignore_nonfinite), strict=True))
    if found["avg"] is None:
        return {**found, "sum": None, "len": len(items)}
    values, missing = floats(items)
    return {**found, "sum": float(values[~missing & np.isfinite(values)].sum()), "len": len(items)}
