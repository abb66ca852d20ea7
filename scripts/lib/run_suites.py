"""Runs pytest over the suites of ``tests/``, each in a process of its own, and sums up like one pytest run.

A suite is a folder of ``tests/``, and is spread over two processes. A suite that fails, in which nothing was
collected, or that leaves a process or a temporary file of the package behind, fails the whole.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from scripts.lib.linked_spark import linked_spark
from scripts.lib.shared_classes import archive_options

# Suites whose tests share something big, a JVM or a server; they run last.
SHARING = frozenset(("spark", "staging", "remote", "examples"))
# How pytest-xdist spreads a suite: test by test to whoever is free, but for files whose tests share much.
SPREAD, SPREAD_BY_FILE = "worksteal", {"examples": "loadfile"}
# For the JVMs: most live for seconds, in which the second compiler takes more time than it saves.
JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
OTHER_ZONE = "Asia/Tokyo"
MINUTES = 60  # what a suite may take before it is taken to hang
NOTHING_COLLECTED = 5  # pytest's exit status
MARK = "SPARK_KUSTO_TEST_RUN"  # in the environment of all that a suite starts
OURS = ("spark-kusto-", "azurite-")  # how temporary files of the package and of its services begin
SECONDS_TO_END = 20  # what processes have to end after the suite


@dataclass(frozen=True)
class Suite:
    """One pytest process: what it runs and under which environment."""

    name: str
    paths: tuple[Path, ...]
    spread: str = SPREAD
    marker: str = ""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a suite; ``problem`` is empty when all went well."""

    suite: Suite
    seconds: float
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    problem: str = ""


def discover(tests: Path) -> list[Suite]:
    """Every suite there is, quick ones first, and the round trips once more under another time zone."""
    folders = [folder for folder in sorted(tests.iterdir()) if any(folder.rglob("test_*.py"))]
    suites = [Suite(folder.name, (folder,), SPREAD_BY_FILE.get(folder.name, SPREAD)) for folder in folders]
    suites.sort(key=lambda suite: (suite.name in SHARING, suite.name.startswith("spark"), suite.name))
    zone = {"TZ": OTHER_ZONE}
    groups = [("tokyo", [suite for suite in suites if suite.name not in SHARING])]
    # The others keep to themselves here too: what one starts is a leak to another.
    groups += [(f"tokyo-{suite.name}", [suite]) for suite in suites if suite.name in SHARING]
    for name, members in groups:
        # Only the files that mark round trips are handed over, so that the rest isn't imported for nothing.
        files = tuple(
            file
            for suite in members
            for file in sorted(suite.paths[0].rglob("test_*.py"))
            if "mark.roundtrip" in file.read_text(encoding="utf-8")
        )
        if files:
            suites.append(Suite(name, files, members[0].spread, marker="roundtrip", environment=zone))
    return suites


def run(suite: Suite, reports: Path, extra: Sequence[str]) -> Outcome:
    """Runs one suite, its output going straight to the terminal."""
    report = reports / f"{suite.name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
    command += ["-n", "2", "--dist", suite.spread] if "-x" not in extra else []
    command += ["--durations=12", "--durations-min=5"]
    command += ["-m", suite.marker] if suite.marker else []
    command += [*extra, *(os.path.relpath(path) for path in suite.paths)]
    under = "".join(f"{name}={value} " for name, value in suite.environment.items())
    print(f"\n==> {suite.name}: {under}pytest {' '.join(command[3:])}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="suite-", ignore_cleanup_errors=True) as temporary:
        mark = uuid.uuid4().hex
        environment = {**os.environ, **suite.environment, "TMPDIR": temporary, MARK: mark}
        try:
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, timeout=MINUTES * 60)
        except subprocess.TimeoutExpired:
            return Outcome(suite, time.monotonic() - started, problem=f"not done after {MINUTES} minutes")
        seconds = time.monotonic() - started
        left = list(left_behind(mark, Path(temporary)))
    for line_ in left:
        print(f"left behind by {suite.name}: {line_}", flush=True)
    if not report.exists():
        return Outcome(suite, seconds, problem=f"pytest ended with {done.returncode} and no report")
    counts = [tests.attrib for tests in ElementTree.parse(report).getroot().iter("testsuite")]
    total, failed, errors, skipped = (
        sum(int(count.get(kind, 0)) for count in counts)
        for kind in ("tests", "failures", "errors", "skipped")
    )
    problem = ""
    if done.returncode == NOTHING_COLLECTED:
        problem = "nothing was collected"
    elif done.returncode != 0:
        problem = f"pytest ended with {done.returncode}"
    elif left:
        problem = f"left {len(left)} processes or files behind"
    return Outcome(suite, seconds, total - failed - errors - skipped, failed, errors, skipped, problem)


def left_behind(mark: str, temporary: Path) -> Iterator[str]:
    """Processes and temporary files that a suite has left, in words."""
    until = time.monotonic() + SECONDS_TO_END
    while (processes := list(marked_processes(mark))) and time.monotonic() < until:
        time.sleep(0.5)
    for number, command in processes:
        yield f"process {number}: {command[:200]}"
    for path in sorted(temporary.iterdir()):
        if path.name.startswith(OURS):
            yield f"file {path.name}"


def marked_processes(mark: str) -> Iterator[tuple[int, str]]:
    """Processes with a mark in their environment, on Linux: whoever started them, whoever owns them now."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in entry.read_bytes().split(b"\0"):
                command = entry.with_name("cmdline").read_bytes().replace(b"\0", b" ")
                yield int(entry.parent.name), command.decode(errors="replace").strip()
        except OSError:
            continue  # it has ended, or is another user's


def line(outcome: Outcome) -> str:
    counts = [
        f"{count} {kind}"
        for kind in ("failed", "errors", "passed", "skipped")
        if (count := getattr(outcome, kind)) or kind == "passed"
    ]
    what = ", ".join(counts) + (f" ({outcome.problem})" if outcome.problem else "")
    verdict = "FAIL" if outcome.problem else "ok"
    return f"  {verdict:<4} {outcome.suite.name:<14} {outcome.seconds:7.1f} s   {what}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/test", description="Run the test suites.")
    parser.add_argument("suites", nargs="*", help="folders of tests/, or tokyo; all of them by default")
    parser.add_argument("--list", action="store_true", help="name the suites and end")
    own, extra = _split(arguments)
    options = parser.parse_args(own)

    root = Path.cwd()
    available = {suite.name: suite for suite in discover(root / "tests")}
    if options.list:
        print("\n".join(available))
        return 0
    if unknown := [name for name in options.suites if name not in available]:
        parser.error(f"no suite {', '.join(unknown)}; there are {', '.join(available)}")
    chosen = [available[name] for name in options.suites] if options.suites else list(available.values())
    if not chosen:
        print("error: there is no suite with tests in it", file=sys.stderr)
        return 1

    reports = root / ".pytest_cache" / "suites"
    reports.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    has_jvms = any(_has_jvms(suite) for suite in chosen)
    if has_jvms and "SPARK_HOME" not in os.environ:
        os.environ["SPARK_HOME"] = str(linked_spark())
    if has_jvms and "SPARK_SUBMIT_OPTS" not in os.environ:
        os.environ["SPARK_SUBMIT_OPTS"] = f"{JVM} {archive_options(root / '.pytest_cache', JVM)}".strip()
    outcomes = [run(suite, reports, extra) for suite in chosen]
    seconds = time.monotonic() - started

    print("\nSuites")
    for outcome in outcomes:
        print(line(outcome))
    totals = {
        kind: sum(getattr(o, kind) for o in outcomes) for kind in ("failed", "passed", "skipped", "errors")
    }
    parts = [f"{count} {kind}" for kind, count in totals.items() if count]
    summary = f" {', '.join(parts) or 'nothing ran'} in {seconds:.2f}s "
    print(f"\n{summary:=^100}")
    return 1 if any(outcome.problem for outcome in outcomes) else 0


def _has_jvms(suite: Suite) -> bool:
    return any(name in ("spark", "staging", "examples") for name in suite.name.split("-"))


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before and after ``--``."""
    given = list(arguments)
    if "--" not in given:
        return given, []
    at = given.index("--")
    return given[:at], given[at + 1 :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
