"""Patterns: what is planted in made-up rows is found."""

from __future__ import annotations

import numpy as np

from spark_kusto.kql.algorithms import clustering


def _rows(columns: list[list[int]], weights: list[float] | None = None) -> clustering.Rows:
    size = len(columns[0])
    arrays = [np.array(column, dtype=np.int64) for column in columns]
    (rows,) = clustering.distinct_rows(arrays, np.array(weights or [1.0] * size))
    return rows


def test_basket_gives_closed_patterns_with_their_counts() -> None:
    # Column 1 is 0 wherever column 0 is: the pattern of column 0 alone is not closed.
    rows = _rows([[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1], [0, 1, 0, 1, 0, 1]])
    found = dict(clustering.basket(rows, 0.5, 5))
    assert found[((0, 0), (1, 0))] == 4
    assert found[((1, 0),)] == 5
    assert ((0, 0),) not in found
    assert all(count >= 3 for count in found.values())


def test_missing_values_are_in_no_pattern() -> None:
    rows = _rows([[-1, -1, -1, 0]])
    assert clustering.basket(rows, 0.2, 5) == [(((0, 0),), 1.0)]


def test_weights_count() -> None:
    rows = _rows([[0, 1]], [9.0, 1.0])
    assert clustering.basket(rows, 0.5, 5) == [(((0, 0),), 9.0)]


def test_autocluster_finds_planted_clusters() -> None:
    generator = np.random.default_rng(1)
    noise = [generator.integers(0, 50, 200).tolist() for _ in range(2)]
    first = [0] * 100 + generator.integers(1, 40, 100).tolist()
    second = [0] * 100 + generator.integers(1, 40, 100).tolist()
    found = clustering.autocluster(_rows([first, second, *noise]), 0.5, 25)
    assert found[0] == (((0, 0), (1, 0)), 100.0)


def test_diff_patterns_tell_two_sets_apart() -> None:
    columns = [np.array([0] * 50 + [1] * 50), np.array([0, 1] * 50)]
    side = np.array([1.0] * 50 + [0.0] * 50)
    first, second = clustering.distinct_rows(columns, side, 1 - side)
    found = clustering.diff_patterns(first, second, 0.05, 5)
    assert {pattern for pattern, _, _ in found} == {((0, 0),), ((0, 1),)}
    assert clustering.diff_patterns(first, first, 0.05, 5) == []


def test_text_patterns() -> None:
    texts = ["the wind blew hard", "a wind blew softly", "rain fell", "snow fell"]
    found = clustering.text_patterns(texts, [True, True, False, False], 2, 0.6, 20)
    assert found == [(2, 0, "wind blew")]
