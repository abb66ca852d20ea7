"""What the benchmarks share: fair timing, the memory of Spark's Python workers, and a table of ratios."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil


def seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def alternating(
    actions: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of each action, all of them once in every round, so that a slow minute hits all alike."""
    for _ in range(warm_up):
        for action in actions.values():
            action()
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            taken[name].append(seconds(action))
    return taken


@dataclass
class Table:
    """Figures as they come in, each with its baseline, its ratio and the bound it must keep."""

    missed: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        print(f"\n{text}", flush=True)

    def ratio(self, name: str, taken: float, baseline_name: str, baseline: float, most: float | None) -> None:
        ratio = taken / baseline
        verdict = "" if most is None else f"   at most {most}: {'ok' if ratio <= most else 'MISSED'}"
        if most is not None and ratio > most:
            self.missed.append(name)
        print(
            f"  {name:<44} {taken:8.3f} s   {baseline_name} {baseline:7.3f} s   ratio {ratio:5.2f}{verdict}",
            flush=True,
        )

    def value(
        self, name: str, value: float, unit: str, *, most: float | None = None, least: float | None = None
    ) -> None:
        good = (most is None or value <= most) and (least is None or value >= least)
        bound = (
            f"at most {most:g}" if most is not None else f"at least {least:g}" if least is not None else ""
        )
        if not good:
            self.missed.append(name)
        verdict = f"   {bound}: {'ok' if good else 'MISSED'}" if bound else ""
        shown = f"{value:8.1f}" if value >= 10 or not value else f"{value:8.3f}"
        print(f"  {name:<44} {shown} {unit}{verdict}", flush=True)

    def end(self) -> int:
        print(f"\nMissed: {', '.join(self.missed)}" if self.missed else "\nEvery bound is kept.")
        return 1 if self.missed else 0


def median(taken: list[float]) -> float:
    return statistics.median(taken)


@dataclass
class Peak:
    """The most memory one Python worker held, in bytes."""

    bytes: int = 0


@contextmanager
def python_workers() -> Iterator[Peak]:
    """Watches the resident memory of Spark's Python workers below this process, each on its own."""
    peak = Peak()
    ended = threading.Event()
    me = psutil.Process()

    def watch() -> None:
        while not ended.wait(0.05):
            for process in me.children(recursive=True):
                try:
                    if "python" in process.name() and process.pid != me.pid:
                        peak.bytes = max(peak.bytes, process.memory_info().rss)
                except psutil.Error:
                    continue  # it has ended in between

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
