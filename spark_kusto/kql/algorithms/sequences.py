"""Sequences of events: funnel_sequence, funnel_sequence_completion, sequence_detect.

One id's (or slice's) events at a time, ordered by time; times are numbers of one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def funnel(
    events: Sequence[tuple[Any, Any]], sequence: Sequence[Any], step: float
) -> list[tuple[Any, Any, Any]]:
    """(start, state before, state after) of each occurrence of the sequence of states.

    Args:
        events: (time, state), in order of time.
        sequence: states that must follow each other directly.
        step: most time between two neighbouring steps, also to the states before and after;
            beyond it, and at the ends, these are ``None``.
    """
    length = len(sequence)
    found = []
    for start in range(len(events) - length + 1):
        if any(events[start + k][1] != sequence[k] for k in range(length)):
            continue
        if any(events[start + k + 1][0] - events[start + k][0] > step for k in range(length - 1)):
            continue
        before = after = None
        if start and events[start][0] - events[start - 1][0] <= step:
            before = events[start - 1][1]
        end = start + length
        if end < len(events) and events[end][0] - events[end - 1][0] <= step:
            after = events[end][1]
        found.append((events[start][0], before, after))
    return found


def completion(
    events: Sequence[tuple[Any, Any]], sequence: Sequence[Any], periods: Sequence[float]
) -> list[dict[Any, int]]:
    """For each period: how many steps of the sequence each starting time got through in it.

    Steps need not follow each other directly. The period bounds the time from the first to the last.

    Returns:
        for each period, {time of the first step: number of steps completed}.
    """
    answers: list[dict[Any, int]] = []
    for period in periods:
        reached: dict[Any, int] = {}
        for start, (begin, state) in enumerate(events):
            if state != sequence[0]:
                continue
            step = 1
            for time, following in events[start + 1 :]:
                if step == len(sequence) or time - begin > period:
                    break
                if following == sequence[step]:
                    step += 1
            reached[begin] = max(step, reached.get(begin, 0))
        answers.append(reached)
    return answers


def detect(
    times: Sequence[Any], matches: Sequence[Sequence[bool]], step: float, span: float
) -> list[tuple[Any, ...]]:
    """Times of the steps of each sequence found: every choice of events that keeps the limits.

    Args:
        times: of the slice's events, ascending.
        matches: for each step, whether each event fulfils its predicate.
        step: most time between neighbouring steps.
        span: most time from the first step to the last.
    """
    steps = len(matches)
    chains: list[tuple[Any, ...]] = []
    pending: list[tuple[Any, ...]] = []
    for position, time in enumerate(times):
        pending = [c for c in pending if time - c[-1] <= step and time - c[0] <= span]
        grown: list[tuple[Any, ...]] = []
        for chain in pending:
            if len(chain) < steps and matches[len(chain)][position] and chain[-1] < time:
                longer = (*chain, time)
                (chains if len(longer) == steps else grown).append(longer)
        if matches[0][position]:
            if steps == 1:
                chains.append((time,))
            else:
                grown.append((time,))
        pending = list(dict.fromkeys(pending + grown))
    return list(dict.fromkeys(chains))
