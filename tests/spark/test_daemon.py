"""The daemon's PySpark: the installed one, where Spark has put the same on the path."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pyspark
import pytest

from spark_kusto.spark import daemon

INSTALLED = Path(pyspark.__file__).parent


def _archive(folder: Path, **changed: str) -> str:
    folder.mkdir()
    path = folder / "pyspark.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("version", "daemon", "worker", "serializers"):
            text = changed.get(name) or (INSTALLED / f"{name}.py").read_text()
            archive.writestr(f"pyspark/{name}.py", text)
    return str(path)


def test_only_an_archive_of_the_same_pyspark_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same, patched = _archive(tmp_path / "same"), _archive(tmp_path / "patched", worker="# another")
    absent, broken = str(tmp_path / "none" / "pyspark.zip"), tmp_path / "broken" / "pyspark.zip"
    broken.parent.mkdir()
    broken.write_text("no archive")
    others = [str(INSTALLED.parent), "py4j-src.zip"]
    monkeypatch.setattr(sys, "path", [absent, str(broken), same, patched, *others])
    daemon._prefer_installed()
    assert sys.path == [absent, str(broken), patched, *others]


def test_the_archive_stays_where_nothing_else_has_pyspark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = _archive(tmp_path / "same")
    monkeypatch.setattr(sys, "path", [same, str(tmp_path)])
    daemon._prefer_installed()
    assert sys.path == [same, str(tmp_path)]
