"""Series: values are those the Kusto documentation prints, or follow from definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_kusto.kql.algorithms import (
    series,
    series_decomposition,
    series_filters,
    series_fitting,
)

TRAFFIC = [80, 139, 87, 110, 68, 54, 50, 51, 53, 133, 86, 141, 97, 156, 94, 149, 95, 140, 77, 61, 50, 54, 47]
TRAFFIC += [133, 72, 152, 94, 148, 105, 162, 101, 160, 87, 63, 53, 55, 54, 151, 103, 189, 108, 183, 113, 175]
TRAFFIC += [113, 178, 90, 71, 62, 62, 65, 165, 109, 181, 115, 182, 121, 178, 114, 170]


def test_item_by_item() -> None:
    assert series.unary("abs", [-6.5, 0, 8.2]) == [6.5, 0, 8.2]
    assert series.unary("sign", [-6, 0, 8]) == [-1, 0, 1]
    assert series.unary("cos", [0, None, "x"]) == [1.0, None, None]
    assert series.binary("subtract", [1, 2, 4], [4, 2, 1]) == [-3, 0, 3]
    assert series.binary("pow", [1, 2, 3, 4], [1, 2, 3, 0.5]) == [1, 4, 27, 2]
    assert series.binary("less", [1, 2, 4], [4, 2, 1]) == [True, False, False]
    assert series.binary("multiply", 10, [1, None]) == [10, None]
    assert series.binary("add", [1], [1, 2]) == [2, None]
    assert series.binary("add", ["2017-01-01T00:00:00.0000000Z"], 0) == [636188256000000000]
    quotients = series.binary("divide", [1, -1, 0], [0, 0, 0]) or []
    assert quotients[:2] == [math.inf, -math.inf]
    assert math.isnan(quotients[2])


def test_products_and_correlations() -> None:
    assert series.dot_product([1, 2, 4], [4, 2, 1]) == 12
    assert series.dot_product([1], [1, 2]) is None
    assert series.cosine_similarity([0.1, 0.2, 0.1, 0.2], [1, 2, 3, 4]) == pytest.approx(0.923760430703401)
    assert series.pearson_correlation([1, 2, 3, 4, 5], [2, 4, 6, 8, 10]) == pytest.approx(1)
    assert series.magnitude([1, 2, 3, 4]) == pytest.approx(5.4772255750516612)
    assert (series.total([1, 2, 3, 4]), series.product([1, 2, 3, 4])) == (10, 24)


def test_filling() -> None:
    gaps = [None, 111, None, 36, 41, None, None, 16, 61, 33, None, None]
    assert series.fill_linear(gaps) == [111, 111, 73, 36, 41, 32, 24, 16, 61, 33, 33, 33]
    assert series.fill_linear(gaps, None, False) == [None, 111, 73, 36, 41, 32, 24, 16, 61, 33, None, None]
    assert series.fill_linear([1.0, None, 2.0]) == [1.0, 1.5, 2.0]
    assert series.fill_linear([None, None], None, True, 3.14159) == [3.14159, 3.14159]
    assert series.fill_forward([None, 36, None]) == [None, 36, 36]
    assert series.fill_backward([111, None, 36, None]) == [111, 36, 36, None]
    assert series.fill_const([1, None, 0], -1, 0) == [1, None, -1]


def test_statistics() -> None:
    values = [23, 46, 23, 87, 4, 8, 3, 75, 2, 56, 13, 75, 32, 16, 29]
    assert series.stats(values) == pytest.approx([2, 8, 87, 3, 32.8, 28.5036338535483, 812.457142857143])
    assert series.stats([1, None]) == [None] * 7
    assert series.stats([1, None, 3], True)[:5] == [1, 0, 3, 2, 2]
    bag = series.stats_dynamic(values)
    assert bag is not None
    assert (bag["sum"], bag["len"]) == (492, 15)


def test_filters() -> None:
    assert series_filters.iir(list(range(1, 11)), [1], [1, -1]) == np.cumsum(range(1, 11)).tolist()
    assert series_filters.fir([0, 0, 3, 0, 0], [1, 1, 1]) == pytest.approx([0, 0, 1, 1, 1])
    assert series_filters.fir([0, 0, 3, 0, 0], [1, 1, 1], True, True) == pytest.approx([0, 1, 1, 1, 0])
    assert series_filters.fir([1, 2, 4], [1, -1]) == [1, 1, 2]
    assert series_filters.fir([1, 2, 4], [1, -1], True) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_fourier_comes_back(values: list[float]) -> None:
    real, imaginary = series_filters.fourier(values)
    back, zero = series_filters.fourier(real, imaginary, inverse=True)
    assert back == pytest.approx(values, abs=1e-6)
    assert zero == pytest.approx([0] * len(values), abs=1e-6)


def test_lines() -> None:
    rsquare, slope, variance, rvariance, interception, fit = series_fitting.fit_line(
        [2, 5, 6, 8, 11, 15, 17, 18, 25, 26, 30, 30]
    )
    assert (round(rsquare, 3), round(slope, 2), round(variance, 3)) == (0.983, 2.73, 98.629)
    assert (round(rvariance, 3), round(interception, 3), round(fit[0], 3)) == (1.686, -1.667, 1.064)


def test_two_lines_find_the_break() -> None:
    found = series_fitting.fit_2lines_dynamic([0, 1, 2, 3, 4, 50, 40, 30, 20, 10])
    assert found is not None
    assert found["split_idx"] == 5
    assert found["rsquare"] == pytest.approx(1)
    assert (found["left"]["slope"], found["right"]["slope"]) == (pytest.approx(1), pytest.approx(-10))


def test_polynomials() -> None:
    rsquare, coefficients, _, rvariance, fit = series_fitting.fit_poly([1, 4, 9, 16, 25], None, 2)
    assert rsquare == pytest.approx(1)
    assert coefficients == pytest.approx([1, 0, 0], abs=1e-9)
    assert rvariance == pytest.approx(0, abs=1e-9)
    assert fit == pytest.approx([1, 4, 9, 16, 25])


def test_periods_and_seasons() -> None:
    periods, scores = series_decomposition.periods_detect(TRAFFIC, 0, 50, 2)
    assert periods[0] == 14
    assert scores[0] == pytest.approx(0.84, abs=0.02)
    assert series_decomposition.periods_validate(TRAFFIC, 14.0, 10.0)[1][1] == 0
    noisy = [2, 5, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1]
    assert (series_decomposition.seasonal(noisy) or [])[:6] == [1, 2, 3, 4, 3, 2]
    assert series_decomposition.seasonal([1, 3, 5, 2, 4, 6, 1, 3, 5, 2, 4, 6]) == [0.0] * 12
    forced = series_decomposition.seasonal([1, 3, 5, 2, 4, 6, 1, 3, 5, 2, 4, 6], 3)
    assert forced == [1.5, 3.5, 5.5] * 4


def test_anomalies_are_found_and_forecasts_go_on() -> None:
    hours = np.arange(1, 24 * 7 * 5 + 1)
    noise = np.random.default_rng(7).random(hours.size) * 2
    week = np.where((hours // 24) % 7 >= 5, 5.0, 15.0) - ((hours % 24) / 10) ** 2
    values = noise + week + hours / 72
    for hour, jump in [(150, -8), (200, -8), (780, -8), (300, 8), (400, 8), (600, 8)]:
        values[hour - 1] += jump
    flags, _, baseline = series_decomposition.decompose_anomalies(values.tolist(), 2.5, -1, "linefit")
    assert [i + 1 for i, flag in enumerate(flags) if flag] == [150, 200, 300, 400, 600, 780]
    assert len(baseline) == values.size
    forecast = series_decomposition.decompose_forecast(values.tolist(), 168, -1, "linefit") or []
    assert np.abs(np.array(forecast[-168:]) - values[-168:]).mean() < 2


def test_outliers() -> None:
    scores = series_decomposition.outliers([1, 2, 3, 4, 5, 6, 7, 8, 9, 1000, None], "tukey") or []
    assert scores[9] > 1.5
    assert scores[:9] == [pytest.approx(s, abs=0.6) for s in [0.0] * 9]
    assert scores[10] == 0
    assert series_decomposition.outliers([1, 2], "unknown") is None
