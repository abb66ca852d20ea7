"""Mergeable states: exact while small, within their error when large, and the same merged or built."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_kusto.kql.algorithms import hashing, hll, schemas, tdigest


def _hashes(low: int, high: int) -> np.ndarray:
    return hashing.xxhash64_words(np.arange(low, high, dtype=np.int64))


def _through_json(sketch: hll.Sketch) -> hll.Sketch:
    found = hll.from_json(json.loads(json.dumps(hll.to_json(sketch))))
    assert found is not None
    return found


def test_small_sets_are_counted_exactly() -> None:
    merged = hll.merge([hll.build(_hashes(1, 11)), hll.build(_hashes(6, 21))])
    assert merged is not None
    assert hll.estimate(_through_json(merged)) == 20


@pytest.mark.parametrize(("accuracy", "error"), [(0, 0.05), (1, 0.025), (2, 0.0125), (3, 0.009), (4, 0.006)])
def test_large_sets_are_counted_within_the_error(accuracy: int, error: float) -> None:
    for count in (3_000, 40_000, 300_000):
        sketch = _through_json(hll.build(_hashes(0, count), accuracy))
        assert hll.estimate(sketch) == pytest.approx(count, rel=error)


def test_merging_equals_building_also_across_accuracies() -> None:
    merged = hll.merge([hll.build(_hashes(0, 30_000), 2), hll.build(_hashes(20_000, 50_000), 0)])
    built = hll.build(_hashes(0, 50_000), 0)
    assert merged is not None
    assert merged.registers is not None
    assert built.registers is not None
    assert np.array_equal(merged.registers, built.registers)


def test_intersections() -> None:
    small = [hll.build(_hashes(0, 100)), hll.build(_hashes(50, 150)), hll.build(_hashes(90, 95))]
    assert hll.intersection_counts(small) == [100, 50, 5]
    large = [hll.build(_hashes(0, 20_000), 4), hll.build(_hashes(10_000, 30_000), 4)]
    assert hll.intersection_counts(large) == [
        pytest.approx(20_000, rel=0.02),
        pytest.approx(10_000, rel=0.05),
    ]


@pytest.mark.parametrize("text", [None, 1, [], [[1024, 14], ["x"], []], [[1024, 99], [], []]])
def test_what_is_no_state_is_none(text: object) -> None:
    assert hll.from_json(text) is None
    assert tdigest.from_json(text) is None


def test_weighted_digest() -> None:
    digest = tdigest.build(tdigest.REAL, np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    assert digest is not None
    assert tdigest.percentile(digest, 50) == 2.0
    assert tdigest.weighted_percentiles(
        np.array([10, 20, 30, 40]), np.array([8.0, 6, 3, 1]), [50, 75, 99.9]
    ) == [20, 20, 40]


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=200), st.integers(1, 99))
def test_small_digests_are_exact_and_merge(values: list[int], percent: int) -> None:
    half = len(values) // 2
    parts = [tdigest.build(tdigest.LONG, np.array(p, dtype=float)) for p in (values[:half], values[half:])]
    merged = tdigest.merge(part for part in parts if part is not None)
    assert merged is not None
    merged = tdigest.from_json(json.loads(json.dumps(tdigest.to_json(merged))))
    assert merged is not None
    nearest = sorted(values)[-(-percent * len(values) // 100) - 1]
    assert tdigest.percentile(merged, percent) == nearest
    assert tdigest.rank(merged, nearest) == sum(value <= nearest for value in values)


def test_large_digests_are_close() -> None:
    values = np.random.default_rng(3).normal(size=200_000)
    digest = tdigest.build(tdigest.REAL, values)
    assert digest is not None
    assert digest.values.size <= tdigest.EXACT_LIMIT
    for percent in (0.1, 1, 5, 50, 95, 99, 99.9):
        found = (values <= tdigest.percentile(digest, percent)).mean() * 100
        assert found == pytest.approx(percent, abs=0.3)


def test_digests_of_times_keep_their_digits() -> None:
    moment = dt.datetime(2007, 12, 31, 23, 59, 0, 123456)
    micros = (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
    digest = tdigest.build(tdigest.DATETIME, np.array([micros], dtype=float))
    assert digest is not None
    assert tdigest.percentile(digest, 100) == moment


def test_schema() -> None:
    values = [
        {"x": 1, "y": 3.5},
        {"x": "somevalue", "z": [1, 2, 3]},
        {"y": {"w": "zzz"}, "t": ["aa", "bb"], "z": ["foo"]},
    ]
    assert schemas.build_schema(values) == {
        "x": ["long", "string"],
        "y": [{"w": "string"}, "double"],
        "z": {"`indexer`": ["long", "string"]},
        "t": {"`indexer`": "string"},
    }
    assert schemas.build_schema([None]) is None
