"""Queries with known answers: the project's own always; real Kusto's where they are.

``KQL_CONFORMANCE_DIR`` names a folder with ``emulator/`` (answers of the Kusto emulator) and ``docs/``
(answers printed in its documentation), each with cases and a runner whose comparison is used here.
Every set goes through two ways: the compiled query on a bare DuckDB connection, and a cluster on disk.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import spark_kusto
from tests.kql import conformance
from tests.kql.cases import CASES, OwnCase
from tests.kql.executor import Database

Answer = tuple[list[str], list[str], list[tuple[Any, ...]]]
Asking = Callable[[str], Answer]

FOLDER = os.environ.get("KQL_CONFORMANCE_DIR")
HOME = Path(__file__).resolve().parents[2]
DATABASE = "NetDefaultDB"

# What the project promises, in percent.
PROMISED = {"emulator": 95.0, "emulator about geography": 85.0, "documentation": 93.0}


def _runner(folder: Path, name: str) -> ModuleType:
    """A runner of the conformance folder as a module, by its path."""
    path = folder / name
    spec = importlib.util.spec_from_file_location(f"kql_conformance_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _cases(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def _emulator(folder: Path, ask: Asking, *, geography: bool) -> tuple[int, dict[str, str]]:
    runner = _runner(folder, "emulator/run.py")
    chosen = [
        case
        for case in _cases(folder / "emulator" / "dev.jsonl")
        if case["id"].startswith("geo") is geography
    ]
    return len(chosen), _failures(chosen, lambda case: runner.judge(case, ask(case["query"])))


def _documentation(folder: Path, ask: Asking) -> tuple[int, dict[str, str]]:
    runner = _runner(folder, "docs/run_cases.py")
    chosen = [
        case
        for case in _cases(folder / "docs" / "dev.jsonl")
        if case.get("quality", "exact") == "exact"
        and case.get("deterministic", True)
        and (case.get("fixture") or not case.get("tables"))
    ]

    def judge(case: dict[str, Any]) -> str | None:
        names, _types, rows = ask(case["query"])
        why: str | None = runner.compare(case, names, rows)
        return why

    return len(chosen), _failures(chosen, judge)


def _failures(
    cases: Sequence[dict[str, Any]], judge: Callable[[dict[str, Any]], str | None]
) -> dict[str, str]:
    """Why each case fails that does."""
    failed = {}
    for case in cases:
        try:
            why = judge(case)
        except Exception as error:  # noqa: BLE001 - whatever it raises, the case fails and the rest counts
            why = f"{type(error).__name__}: {error}"
        if why:
            failed[case["id"]] = " ".join(why.split())[:200]
    return failed


def _check(name: str, total: int, failed: dict[str, str]) -> None:
    rate = 100.0 * (total - len(failed)) / total
    text = f"{name}: {total - len(failed)} of {total} = {rate:.1f} %"
    print(text)
    listing = "\n".join(f"  {case}: {why}" for case, why in failed.items())
    assert rate >= PROMISED[name], f"{text}, {PROMISED[name]} % promised. Failing:\n{listing}"
    unnamed = [case for case in failed if not _is_explained(case)]
    assert not unnamed, f"docs/kql.md says nothing of {', '.join(unnamed)}:\n{listing}"


def _is_explained(case: str) -> bool:
    """Whether the documentation lists the function or operator of a case among what differs."""
    page = (HOME / "docs" / "kql.md").read_text(encoding="utf-8")
    _, _, listed = page.partition("## Known answers that differ")
    listed, _, _ = listed.partition("\n## ")
    subject = re.sub(r"(-function|-plugin|-operator)?[-#]\d+$", "", case)
    return f"`{subject}" in listed or f"`{subject.replace('-', '_')}" in listed


# -- the two ways


def _plain(value: Any) -> Any:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[spark_kusto.Cluster]:
    opened = spark_kusto.connect(tmp_path_factory.mktemp("cluster"))
    if FOLDER:
        columns, table = conformance.storm_events(Path(FOLDER))
        declared = ", ".join(f"['{name}']:{kind}" for name, kind in columns)
        opened.execute(DATABASE, f".create table StormEvents ({declared})")
        opened.ingest(DATABASE, "StormEvents", table.rename_columns([name for name, _ in columns]))
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=["compiled", "cluster"])
def ask(request: pytest.FixtureRequest) -> Asking:
    if request.param == "compiled":
        database = conformance.database() if FOLDER else Database()
        return database.query
    cluster: spark_kusto.Cluster = request.getfixturevalue("cluster")

    def through_cluster(query: str) -> Answer:
        result = cluster.query(DATABASE, query)
        columns = result.columns
        return [c.name for c in columns], [c.type.value for c in columns], result.rows

    return through_cluster


# -- the sets


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_own(case: OwnCase, ask: Asking) -> None:
    names, types, rows = ask(case.query)
    assert list(zip(names, types, strict=True)) == list(case.columns)
    assert [tuple(map(comparable, row)) for row in rows] == [tuple(map(comparable, r)) for r in case.rows]


def comparable(value: Any) -> Any:
    """Datetimes without their zone (UTC), decimals without trailing zeros, NaN equal to itself."""
    if hasattr(value, "tzinfo") and value.tzinfo is not None:
        return value.replace(tzinfo=None)
    if isinstance(value, float):
        return "nan" if value != value else float(f"{value:.12g}")
    return _plain(value)


def _as_emulator(ask: Asking) -> Asking:
    def asking(query: str) -> Answer:
        names, types, rows = ask(query)
        return names, types, [tuple(map(_plain, row)) for row in rows]

    return asking


# Without the folder these hold no cases, and the project's own above are what runs.
SETS: dict[str, Callable[[Path, Asking], tuple[int, dict[str, str]]]] = {
    "emulator": lambda folder, ask: _emulator(folder, _as_emulator(ask), geography=False),
    "emulator about geography": lambda folder, ask: _emulator(folder, _as_emulator(ask), geography=True),
    "documentation": _documentation,
}

if FOLDER:

    @pytest.mark.parametrize("name", SETS)
    def test_kusto(name: str, ask: Asking) -> None:
        total, failed = SETS[name](Path(FOLDER or ""), ask)
        _check(name, total, failed)
