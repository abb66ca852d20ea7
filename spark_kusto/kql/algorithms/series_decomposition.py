"""Periods, seasons, trends and outliers of a series.

After the pages "series_periods_detect()", "series_decompose()", "series_outliers()". Kusto doesn't
publish how it scores a period; here it is the square root of the autocorrelation at the period (not
corrected for the shrinking overlap, so long periods count less). Thresholds on it then do what
the documentation's examples show; its value is within about 0.02 of Kusto's.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from spark_kusto.kql.algorithms.series import Floats, floats
from spark_kusto.kql.algorithms.series_fitting import _line

MIN_PERIOD = 4
"""Shortest period that can be found or validated, in bins."""

DECOMPOSITION = ("baseline", "seasonal", "trend", "residual")
"""Names of what :func:`decompose` gives, in order."""

ANOMALIES = ("ad_flag", "ad_score", "baseline")
"""Names of what :func:`decompose_anomalies` gives, in order."""

_LEAST_SCORE = 0.45
_MOST_PERIODS = 1000
_AROUND = 0.2


def _filled(series: object) -> Floats | None:
    if not isinstance(series, list) or not series:
        return None
    values, missing = floats(series)
    missing = missing | ~np.isfinite(values)
    if missing.all():
        return None
    if missing.any():
        at = np.arange(values.size)
        values = np.interp(at, at[~missing], values[~missing])
    return values


def _scores(values: Floats) -> Floats:
    """Score of each lag up to half of the series: 0 where it is no peak of the autocorrelation."""
    n = values.size
    # Scores don't depend on the scale, and squares of huge values would overflow.
    values = values / (float(np.abs(values).max()) or 1.0)
    spread = values - values.mean()
    power = float(np.dot(spread, spread))
    scores = np.zeros(n // 2 + 1)
    if n < 2 * MIN_PERIOD or power <= 1e-12 * float(np.dot(values, values)):
        return scores
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(spread, size)
    raw = np.fft.irfft(spectrum * np.conj(spectrum), size)[: n // 2 + 2]
    lags = np.arange(raw.size)
    support = 1.0 - lags / n
    correlation = raw / power / support
    middle = correlation[1:-1]
    peak = (middle >= correlation[:-2]) & (middle > correlation[2:])
    inner = lags[1:-1]
    good = peak & (inner >= MIN_PERIOD) & (inner < n / 2)
    weighted = np.sqrt(np.clip(middle * support[1:-1], 0.0, 1.0))
    scores[1 : raw.size - 1] = np.where(good & (weighted >= _LEAST_SCORE), weighted, 0.0)
    return scores


def _detect(values: Floats, low: float, high: float, count: int) -> list[tuple[int, float]]:
    scores = _scores(values)
    found: list[tuple[int, float]] = []
    order = np.argsort(-scores, kind="stable")
    for lag in order.tolist():
        score = float(scores[lag])
        if score <= 0 or len(found) == count:
            break
        if not low <= lag <= high:
            continue
        # A multiple, a part or a side lobe of a stronger period tells nothing new.
        if all(abs(lag / near - max(1, round(lag / near))) > _AROUND for near, _ in found):
            found.append((lag, score))
    return found


def periods_detect(series: object, low: float | None, high: float | None, count: int | None) -> list[Any]:
    """The most significant periods between ``low`` and ``high`` and their scores, padded with 0."""
    values = _filled(series)
    if values is None or low is None or high is None or count is None or count < 1:
        return [None, None]
    found = _detect(values, low, high, min(count, _MOST_PERIODS))
    padding = [0.0] * (min(count, _MOST_PERIODS) - len(found))
    return [[float(lag) for lag, _ in found] + padding, [score for _, score in found] + padding]


def periods_validate(series: object, *periods: float | None) -> list[Any]:
    """The given periods and the score of each; 0 for one outside 4 .. half of the series."""
    values = _filled(series)
    if values is None:
        return [None, None]
    scores = _scores(values)
    answers = []
    for period in periods:
        lag = round(period) if period is not None and math.isfinite(period) else 0
        answers.append(float(scores[lag]) if MIN_PERIOD <= lag < scores.size else 0.0)
    return [list(periods), answers]


def _season(values: Floats, period: int, length: int) -> Floats:
    cycle = np.array([np.median(values[phase::period]) for phase in range(period)])
    return np.tile(cycle, length // period + 1)[:length]


def seasonal(series: object, period: int | None = -1, test_points: int | None = 0) -> list[float] | None:
    """The median of the items in the same phase; zeros where no period is given or found (0.7).

    The last ``test_points`` items are not learned from.
    """
    if not isinstance(series, list):
        return None
    values = _filled(series)
    if values is None:
        return [0.0] * len(series)
    learned = _learned(values, test_points)
    if period is None or period < 0:
        found = _detect(learned, MIN_PERIOD, learned.size / 2, 1)
        period = found[0][0] if found and found[0][1] >= 0.7 else 0
    if period <= 0 or period > learned.size:
        return [0.0] * values.size
    season: list[float] = _season(learned, period, values.size).tolist()
    return season


def _learned(values: Floats, test_points: int | None) -> Floats:
    return values[: max(1, values.size - max(0, test_points or 0))]


def _decompose(
    series: object, period: int | None, trend: str | None, test_points: int | None, threshold: float | None
) -> tuple[Floats, Floats, Floats, Floats] | None:
    values = _filled(series)
    if values is None:
        return None
    n = values.size
    learned = _learned(values, test_points)
    if period is None or period < 0:
        found = _detect(learned, MIN_PERIOD, learned.size / 2, 1)
        least = 0.6 if threshold is None else threshold
        period = found[0][0] if found and found[0][1] >= least else 0
    season = _season(learned, period, n) if 0 < period <= learned.size else np.zeros(n, dtype=np.float64)
    rest = learned - season[: learned.size]
    kind = (trend or "avg").lower()
    if kind == "linefit":
        line = _line(rest)
        slope = line.slope * np.arange(1.0, n + 1.0) + line.interception
    elif kind == "none":
        slope = np.zeros(n)
    else:
        slope = np.full(n, rest.mean())
    baseline = season + slope
    return baseline, season, slope, values - baseline


def decompose(
    series: object,
    period: int | None = -1,
    trend: str | None = "avg",
    test_points: int | None = 0,
    threshold: float | None = 0.6,
) -> list[Any]:
    """Baseline, seasonal, trend and residual series; see "series_decompose()" for the arguments."""
    found = _decompose(series, period, trend, test_points, threshold)
    if found is None:
        return [None] * len(DECOMPOSITION)
    return [part.tolist() for part in found]


def decompose_forecast(
    series: object,
    points: int | None,
    period: int | None = -1,
    trend: str | None = "avg",
    threshold: float | None = 0.6,
) -> list[float] | None:
    """The baseline, learned from all but the last ``points`` items and drawn through them."""
    found = _decompose(series, period, trend, points, threshold)
    return None if found is None else found[0].tolist()


def _outlier_scores(values: Floats, low: float, high: float, learned: Floats | None = None) -> Floats:
    # Scaled so that, whatever the percentiles, 1.5 is where Tukey's fence lies for normal values: that
    # makes the examples of "series_decompose_anomalies()" come out as it tells.
    normal = NormalDist()
    z_low, z_high = normal.inv_cdf(low / 100.0), normal.inv_cdf(high / 100.0)
    quartile = normal.inv_cdf(0.75)
    fence = quartile + 1.5 * 2.0 * quartile
    above, below = 1.5 * (z_high - z_low) / (fence - z_high), 1.5 * (z_high - z_low) / (fence + z_low)
    floor, ceiling = np.percentile(values if learned is None else learned, [low, high])
    width = ceiling - floor
    excess = np.where(values > ceiling, (values - ceiling) * above, np.minimum(values - floor, 0.0) * below)
    with np.errstate(all="ignore"):
        if width > 0:
            return np.asarray(excess / width, dtype=np.float64)
        return np.where(excess == 0, 0.0, np.copysign(np.inf, excess))


def _fences(kind: str, low: float | None, high: float | None) -> tuple[float, float] | None:
    if kind == "tukey":
        return 25.0, 75.0
    if kind != "ctukey":
        return None
    low = 10.0 if low is None else low
    high = 90.0 if high is None else high
    return (low, high) if 2 <= low < high <= 98 else None


def outliers(
    series: object,
    kind: str | None = "ctukey",
    ignore: float | None = None,
    low: float | None = 10.0,
    high: float | None = 90.0,
    test_points: int | None = 0,
) -> list[Any] | None:
    """How far each item lies outside the percentile range, in widths of it (Tukey's fences).

    The percentiles are those of all but the last ``test_points`` items.
    """
    fences = _fences((kind or "ctukey").lower(), low, high)
    if not isinstance(series, list) or fences is None:
        return None
    values, missing = floats(series)
    skip = missing | ~np.isfinite(values)
    if ignore is not None:
        skip |= values == ignore
    scores = np.zeros(values.size)
    learned = ~skip
    learned[_learned(values, test_points).size :] = False
    if learned.any():
        scores[~skip] = _outlier_scores(values[~skip], *fences, values[learned])
    listed: list[float] = scores.tolist()
    return listed


def decompose_anomalies(
    series: object,
    threshold: float | None = 1.5,
    period: int | None = -1,
    trend: str | None = "avg",
    test_points: int | None = 0,
    method: str | None = "ctukey",
    seasonality_threshold: float | None = 0.6,
) -> list[Any]:
    """Flags (1, -1, 0), scores and baseline: outliers of the residual of the decomposition."""
    found = _decompose(series, period, trend, test_points, seasonality_threshold)
    fences = _fences((method or "ctukey").lower(), None, None)
    if found is None or fences is None:
        return [None] * len(ANOMALIES)
    baseline, residual = found[0], found[3]
    scores = _outlier_scores(residual, *fences)
    limit = 1.5 if threshold is None else threshold
    flags = np.where(scores >= limit, 1, np.where(scores <= -limit, -1, 0))
    return [flags.tolist(), scores.tolist(), baseline.tolist()]
