"""User analytics and sequences: the documentation's tables, and definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_kusto.kql.algorithms import sequences, user_analytics


def _coded(rows: list[tuple[str, int]]) -> tuple[np.ndarray, np.ndarray]:
    names = sorted({name for name, _ in rows})
    return (
        np.array([names.index(name) for name, _ in rows], dtype=np.int64),
        np.array([time for _, time in rows], dtype=np.int64),
    )


def test_activity_counts() -> None:
    days = ["ADJB", "CTJ", "HTTJBS", "S"]
    ids, times = _coded([(user, day) for day, users in enumerate(days) for user in users])
    bins = user_analytics.regular_bins(0, 3, 1)
    assert user_analytics.activity_counts(ids, times, bins) == [
        (0, 4, 4, 4, 4),
        (1, 3, 3, 2, 6),
        (2, 6, 5, 2, 8),
        (3, 1, 1, 0, 8),
    ]


def test_active_users() -> None:
    events = [("B", -2), ("B", -1), ("A", 1), ("B", 3), ("B", 7), ("A", 9), ("A", 13), ("A", 16)]
    ids, times = _coded([*events, ("A", 19), ("B", 23)])
    bins = user_analytics.regular_bins(0, 30, 7)
    assert user_analytics.active_users(ids, times, bins, 0, 8, 1, 3) == [(0, 1), (14, 1)]


def test_new_activity_follows_each_cohort() -> None:
    days = [[0, 2, 3, 4], [0, 1, 3, 4, 5], [0, 2, 4, 5], [0, 1, 2, 3], [0, 1, 2, 3, 4], []]
    rows = [(user, day) for day, users in enumerate(days) for user in users]
    ids = np.array([user for user, _ in rows], dtype=np.int64)
    times = np.array([day for _, day in rows], dtype=np.int64)
    bins = user_analytics.regular_bins(0, 5, 1)
    nobody = np.zeros(0, dtype=np.int64)
    found = user_analytics.new_activity_metrics(ids, times, bins, None, nobody)
    assert [row[2:5] for row in found] == [
        *[(4, 4, 0), (2, 3, 1), (1, 3, 1), (1, 3, 1), (1, 4, 0), (0, 0, 4)],
        *[(2, 2, 0), (0, 1, 1), (0, 1, 1), (0, 1, 1), (0, 0, 2)],
    ]
    assert [row[5] for row in found[:2]] == [1.0, 0.75]


def test_activity_metrics() -> None:
    ids, times = _coded([("a", 0), ("b", 0), ("b", 1), ("c", 1), ("d", 1)])
    rows = user_analytics.activity_metrics(ids, times, user_analytics.regular_bins(0, 1, 1))
    assert np.isnan(rows[0][3])
    assert rows[1] == (1, 3, 2, 0.5, 0.5)


def test_sliding_windows() -> None:
    days = ["BDDJB", "nAJ", "nAAJB", "b", "B"]
    ids, times = _coded([(user, day) for day, users in enumerate(days) for user in users])
    bins = user_analytics.regular_bins(0, 6, 1)
    found = user_analytics.sliding_window_counts(ids, times, bins, 3)
    assert found == [(0, 5, 3), (1, 8, 5), (2, 13, 5), (3, 9, 5), (4, 7, 5), (5, 2, 2), (6, 1, 1)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=60), st.integers(1, 9))
def test_sliding_windows_by_definition(rows: list[tuple[int, int]], window: int) -> None:
    ids = np.array([user for user, _ in rows], dtype=np.int64)
    times = np.array([time for _, time in rows], dtype=np.int64)
    bins = user_analytics.regular_bins(0, 30, 2)
    for label, count, distinct in user_analytics.sliding_window_counts(ids, times, bins, window):
        inside = [user for user, time in rows if label + 2 - window <= time < label + 2 and time <= 30]
        assert (count, distinct) == (len(inside), len(set(inside)))


def test_sessions_start_after_a_pause() -> None:
    ids, times = _coded([("a", 1), ("a", 5), ("a", 50), ("b", 50)])
    found = user_analytics.session_counts(ids, times, user_analytics.regular_bins(0, 99, 10), 10)
    assert [row for row in found if row[1]] == [(0, 1), (50, 2)]


def test_engagement() -> None:
    ids, times = _coded([("a", 0), ("b", 0), ("a", 1), ("c", 2)])
    rows = user_analytics.activity_engagement(ids, times, user_analytics.regular_bins(0, 2, 1), 2)
    assert rows == [(0, 2, 2, 1.0), (1, 1, 2, 0.5), (2, 1, 2, 0.5)]


def test_rolling_percentile() -> None:
    values = np.arange(1, 241)
    rows = user_analytics.rolling_percentile(values, (values - 1) // 24, 50, 3)
    assert [value for _, value in rows][:5] == [12, 24, 36, 60, 84]


@pytest.mark.parametrize(("start", "end", "step"), [(0, 10, 0), (0, -1, 1), (0, 10**9, 1)])
def test_impossible_bins(start: int, end: int, step: int) -> None:
    with pytest.raises(ValueError, match=r"step|end|periods"):
        user_analytics.regular_bins(start, end, step)


def test_funnels() -> None:
    events = [(0, "hail"), (1, "tornado"), (2, "wind"), (9, "tornado")]
    assert sequences.funnel(events, ["tornado"], 5) == [(1, "hail", "wind"), (9, None, None)]
    assert sequences.funnel(events, ["hail", "tornado"], 5) == [(0, None, "wind")]
    assert sequences.completion(events, ["hail", "wind", "tornado"], [1, 5, 20]) == [
        {0: 1},
        {0: 2},
        {0: 3},
    ]


def test_sequences_detected_within_their_limits() -> None:
    times = [0, 1, 2, 8]
    heat, fire = [True, False, True, False], [False, True, False, True]
    assert sequences.detect(times, [heat, fire], 6, 6) == [(0, 1), (2, 8)]
    assert sequences.detect(times, [heat, fire], 9, 9) == [(0, 1), (0, 8), (2, 8)]
