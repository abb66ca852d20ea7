"""Special functions and distributions: erf, gamma, beta and Welch's t-test.

Numerical Recipes' continued fraction for the incomplete beta function (modified Lentz); accurate to
about 1e-14 relative, so no SciPy is needed for ``beta_cdf()``, ``beta_inv()`` and ``welch_test()``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

_TINY = 1e-300
_EPSILON = 1e-16


def _or_nan(function: Callable[..., float | None]) -> Callable[..., float | None]:
    """NaN where numbers grow beyond what a float holds."""

    @functools.wraps(function)
    def guarded(*values: Any) -> float | None:
        if any(value is not None and math.isinf(value) for value in values):
            return math.nan
        try:
            return function(*values)
        except (OverflowError, ZeroDivisionError):
            return math.nan

    return guarded


def gamma(x: float | None) -> float | None:
    """The gamma function; null at its poles."""
    if x is None:
        return None
    if math.isnan(x) or x == math.inf:
        return x
    if x == -math.inf:
        return None
    if x <= 0 and x == math.floor(x):
        return None
    try:
        return math.gamma(x)
    except OverflowError:
        return math.inf


def loggamma(x: float | None) -> float | None:
    """The logarithm of the absolute value of the gamma function; null at its poles."""
    if x is None:
        return None
    if math.isnan(x) or x == math.inf:
        return x
    if x == -math.inf:
        return None
    if x <= 0 and x == math.floor(x):
        return None
    try:
        return math.lgamma(x)
    except OverflowError:
        return math.inf


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    h = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + numerator * d
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = 1.0 + numerator / c
            c = c if abs(c) > _TINY else _TINY
            h *= d * c
        if abs(d * c - 1.0) < _EPSILON:
            break
    return h


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), 0 <= x <= 1, a and b positive."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    front = math.exp(log_front)
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1.0 - x, b, a) / b


@_or_nan
def beta_cdf(x: float | None, a: float | None, b: float | None) -> float | None:
    """The beta distribution's cumulative probability; NaN outside 0..1.

    For a shape that isn't positive it is 1: the engine's answer, where the documentation says NaN.
    """
    if x is None or a is None or b is None:
        return None
    if not 0.0 <= x <= 1.0 or math.isnan(a) or math.isnan(b):
        return math.nan
    if a <= 0.0 or b <= 0.0:
        return 1.0
    return incomplete_beta(x, a, b)


@_or_nan
def beta_pdf(x: float | None, a: float | None, b: float | None) -> float | None:
    """The beta distribution's density; NaN outside 0..1 or for non-positive shapes."""
    if x is None or a is None or b is None:
        return None
    if not (0.0 <= x <= 1.0 and a > 0.0 and b > 0.0):
        return math.nan
    log_norm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    if x in (0.0, 1.0):
        power = a if x == 0.0 else b
        if power == 1.0:
            return math.exp(log_norm)
        return math.inf if power < 1.0 else 0.0
    return math.exp(log_norm + (a - 1.0) * math.log(x) + (b - 1.0) * math.log1p(-x))


@_or_nan
def beta_inv(p: float | None, a: float | None, b: float | None) -> float | None:
    """The x whose :func:`beta_cdf` is ``p``; null for p outside 0..1, NaN for non-positive shapes."""
    if p is None or a is None or b is None:
        return None
    if not (a > 0.0 and b > 0.0):
        return math.nan
    if not 0.0 <= p <= 1.0:
        return None
    if p in (0.0, 1.0):
        return p
    low, high, x = 0.0, 1.0, a / (a + b)
    for _ in range(200):
        error = incomplete_beta(x, a, b) - p
        if error > 0.0:
            high = x
        else:
            low = x
        slope = beta_pdf(x, a, b) or 0.0
        step = x - error / slope if slope > 0.0 and math.isfinite(slope) else math.nan
        # Newton, kept inside the bracket: it converges in a handful of steps.
        following = step if low < step < high else (low + high) / 2.0
        if abs(following - x) <= 1e-16 * x:
            return following
        x = following
    return x


@_or_nan
def welch_test(
    mean1: float | None,
    variance1: float | None,
    count1: float | None,
    mean2: float | None,
    variance2: float | None,
    count2: float | None,
) -> float | None:
    """Two-sided p-value of Welch's t-test of equal means; null where it is undefined."""
    if (
        mean1 is None
        or variance1 is None
        or count1 is None
        or mean2 is None
        or variance2 is None
        or count2 is None
        or count1 < 2
        or count2 < 2
    ):
        return None
    se1, se2 = variance1 / count1, variance2 / count2
    if not se1 + se2 > 0.0:
        return None
    t_squared = (mean1 - mean2) ** 2 / (se1 + se2)
    freedom = (se1 + se2) ** 2 / (se1**2 / (count1 - 1) + se2**2 / (count2 - 1))
    return incomplete_beta(freedom / (freedom + t_squared), freedom / 2.0, 0.5)
