"""Regression on series: one line, two lines, polynomials. Items are at x = 1, 2, 3 ...

That x starts at 1 shows in the answer printed on the page "series_fit_line()".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spark_kusto.kql.algorithms.series import Floats, floats

LINE = ("rsquare", "slope", "variance", "rvariance", "interception", "line_fit")
"""Names of what :func:`fit_line` gives, in order."""

TWO_LINES = (
    "rsquare",
    "split_idx",
    "variance",
    "rvariance",
    "line_fit",
    "right_rsquare",
    "right_slope",
    "right_interception",
    "right_variance",
    "right_rvariance",
    "left_rsquare",
    "left_slope",
    "left_interception",
    "left_variance",
    "left_rvariance",
)
"""Names of what :func:`fit_2lines` gives, in order."""

POLYNOMIAL = ("rsquare", "coefficients", "variance", "rvariance", "poly_fit")
"""Names of what :func:`fit_poly` gives, in order."""

MAX_DEGREE = 20


@dataclass(frozen=True)
class _Line:
    rsquare: float
    slope: float
    variance: float
    rvariance: float
    interception: float
    fit: Floats


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if values.size > 1 else 0.0


def _line(y: Floats) -> _Line:
    x = np.arange(1.0, y.size + 1.0)
    dx, dy = x - x.mean(), y - y.mean()
    spread = float(np.dot(dx, dx))
    slope = float(np.dot(dx, dy)) / spread if spread else 0.0
    interception = float(y.mean()) - slope * float(x.mean())
    fit = slope * x + interception
    sum_of_squares = float(np.dot(dy, dy))
    residual = float(np.dot(y - fit, y - fit))
    rsquare = 1.0 - residual / sum_of_squares if sum_of_squares else 1.0
    return _Line(rsquare, slope, _variance(y), _variance(y - fit), interception, fit)


def _values(series: object) -> Floats | None:
    if not isinstance(series, list) or not series:
        return None
    values, missing = floats(series)
    if missing.all() or not np.isfinite(values).all():
        return None
    if missing.any():
        # Gaps lie on the line between their neighbours, so that they don't bend the fit.
        at = np.arange(values.size)
        values = np.interp(at, at[~missing], values[~missing])
    return values


def fit_line(series: object) -> list[Any]:
    """The best line: R-square, slope, variance, residual variance, interception, fitted values."""
    y = _values(series)
    if y is None:
        return [None] * len(LINE)
    line = _line(y)
    return [
        line.rsquare,
        line.slope,
        line.variance,
        line.rvariance,
        line.interception,
        line.fit.tolist(),
    ]


def fit_line_dynamic(series: object) -> dict[str, Any] | None:
    """:func:`fit_line` as a bag."""
    if not isinstance(series, list):
        return None
    return dict(zip(LINE, fit_line(series), strict=True))


def _best_split(y: Floats) -> int:
    """First index of the right part, for the least sum of squared residuals of two separate lines."""
    n = y.size
    x = np.arange(1.0, n + 1.0)
    shifted = y - y.mean()

    def residuals(values: Floats) -> Floats:
        # Sum of squared residuals of the line through the first k items, for each k.
        count = np.arange(1.0, n + 1.0)
        sx, sy = np.cumsum(x), np.cumsum(values)
        sxx, sxy = np.cumsum(x * x) - sx * sx / count, np.cumsum(x * values) - sx * sy / count
        syy = np.cumsum(values * values) - sy * sy / count
        with np.errstate(all="ignore"):
            return np.maximum(np.where(sxx > 0, syy - sxy * sxy / sxx, 0.0), 0.0)

    left = residuals(shifted)
    right = residuals(shifted[::-1])[::-1]
    totals = left[1 : n - 2] + right[2 : n - 1]
    return int(totals.argmin()) + 2


def fit_2lines(series: object) -> list[Any]:
    """The best pair of lines with a break between: see :data:`TWO_LINES`. Needs four items."""
    y = _values(series)
    if y is None or y.size < 4:
        return [None] * len(TWO_LINES)
    split = _best_split(y)
    left, right = _line(y[:split]), _line(y[split:])
    fit = np.concatenate([left.fit, right.fit])
    spread = y - y.mean()
    sum_of_squares = float(np.dot(spread, spread))
    residual = float(np.dot(y - fit, y - fit))
    return [
        1.0 - residual / sum_of_squares if sum_of_squares else 1.0,
        split,
        _variance(y),
        _variance(y - fit),
        fit.tolist(),
        right.rsquare,
        right.slope,
        right.interception,
        right.variance,
        right.rvariance,
        left.rsquare,
        left.slope,
        left.interception,
        left.variance,
        left.rvariance,
    ]


def fit_2lines_dynamic(series: object) -> dict[str, Any] | None:
    """:func:`fit_2lines` as a bag, the two sides being bags in it."""
    if not isinstance(series, list):
        return None
    found = dict(zip(TWO_LINES, fit_2lines(series), strict=True))
    sides = {
        side: {
            name: found[f"{side}_{name}"]
            for name in ("rsquare", "slope", "interception", "variance", "rvariance")
        }
        for side in ("right", "left")
    }
    plain = {name: found[name] for name in TWO_LINES[:5]}
    return {**plain, **sides}


def fit_poly(series: object, x_series: object = None, degree: int | None = 1) -> list[Any]:
    """The best polynomial: R-square, coefficients from the highest power, variances, fitted values."""
    nothing: list[Any] = [None] * len(POLYNOMIAL)
    y = _values(series)
    if y is None or degree is None or not 1 <= degree <= MAX_DEGREE:
        return nothing
    if isinstance(x_series, list):
        x, missing = floats(x_series)
        if missing.any() or x.size != y.size:
            return nothing
    else:
        x = np.arange(1.0, y.size + 1.0)
    # Fitted on a scaled x, which keeps high degrees well conditioned, then expanded.
    middle, scale = float(x.mean()), float(np.ptp(x)) / 2 or 1.0
    scaled = (x - middle) / scale
    fitted, *_ = np.linalg.lstsq(np.vander(scaled, degree + 1), y, rcond=None)
    inner = np.poly1d([1.0 / scale, -middle / scale])
    expanded = np.poly1d(fitted)(inner)
    coefficients = np.zeros(degree + 1)
    coefficients[degree + 1 - expanded.coeffs.size :] = expanded.coeffs
    fit = np.polyval(fitted, scaled)
    spread = y - y.mean()
    sum_of_squares = float(np.dot(spread, spread))
    residual = float(np.dot(y - fit, y - fit))
    return [
        1.0 - residual / sum_of_squares if sum_of_squares else 1.0,
        coefficients.tolist(),
        _variance(y),
        _variance(y - fit),
        fit.tolist(),
    ]
