"""The table of what is supported comes from the registry, and the documentation has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spark_kusto.kql import support
from spark_kusto.kql.coverage import entries

HOME = Path(__file__).resolve().parent.parent.parent


def test_documentation_is_what_the_registry_says() -> None:
    done = subprocess.run(
        [sys.executable, str(HOME / "scripts" / "kql-support"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("operators", ["where", "filter", "summarize", "join", "mv-expand", "make-series"]),
        ("functions", ["strcat", "todouble", "parsejson", "notempty", "iff"]),
        ("aggregates", ["count", "makeset", "arg_max", "argmax", "percentiles"]),
        ("plugins", ["pivot", "bag_unpack"]),
    ],
)
def test_names_people_use_are_supported(kind: str, names: list[str]) -> None:
    assert set(names) <= set(support()[kind])


def test_refusals_have_reasons() -> None:
    refused = [entry for entry in entries() if entry.reason is not None]
    assert refused
    assert all(len(entry.reason or "") > 10 for entry in refused)
