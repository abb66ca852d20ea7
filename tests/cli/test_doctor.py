"""``spark-kusto doctor``: what it finds here, on every executor, and where something is in the way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from spark_kusto import connect
from spark_kusto.cli.doctor import examine
from tests.spark.jobs import spark_home


def _doctor(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spark_kusto.cli", "doctor", *map(str, arguments)]
    clean = {key: text for key, text in os.environ.items() if key != "PYSPARK_PYTHON"}
    return subprocess.run(
        command,
        env={**clean, "SPARK_LOCAL_IP": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_it_looks_at_every_executor(tmp_path: Path) -> None:
    """Two executors with a Java of their own each, on one machine."""
    root = tmp_path / "cluster"
    connect(root).close()
    home = str(spark_home(tmp_path))
    done = _doctor(
        root, "--master", "local-cluster[2,1,1024]", PYSPARK_PYTHON=sys.executable, SPARK_HOME=home
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing is in the way." in done.stdout
    here, _, there = done.stdout.partition("\nExecutors\n")
    for name in ("Python", "spark-kusto", "duckdb", "pyarrow", "numpy", "pyspark", "pandas", "Java"):
        assert re.search(rf"^  ok  {name} +\S", here, re.MULTILINE), (name, here)
    assert re.search(r"reachable from here +\S+: 1 databases", here)
    executors = set(re.findall(r"\(process (\d+)\)", there))
    assert len(executors) == 2
    for executor in executors:
        said = [line for line in there.splitlines() if f"(process {executor})" in line]
        text = "\n".join(said)
        assert re.search(r"Python \d+\.\d+\.\d+ \(", text)
        assert re.search(r"spark-kusto \S+, duckdb \S+, pyarrow \S+, numpy \S+", text)
        assert 'version "' in text
        assert "sees the cluster: yes" in text


def test_it_says_what_executors_lack(tmp_path: Path) -> None:
    """A Python for the workers that has everything Spark needs, and neither this package nor DuckDB."""
    python = _python_without(tmp_path, "spark_kusto", "pyspark_kusto", "duckdb")
    done = _doctor(tmp_path / "cluster", PYSPARK_PYTHON=str(python))
    assert done.returncode == 1
    _, _, there = done.stdout.partition("\nExecutors\n")
    assert "spark-kusto: No module named 'spark_kusto'; duckdb: No module named 'duckdb'" in there
    assert "docs/clusters.md" in there
    assert not (tmp_path / "cluster").exists()
    assert f"sees the cluster: no, {tmp_path / 'cluster'} is not there" in there


def _python_without(folder: Path, *names: str) -> Path:
    """A command that is this Python, blind to some packages."""
    blind = folder / "blind"
    blind.mkdir()
    (blind / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blind:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name.split('.')[0] in {names!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blind())\n"
    )
    command = folder / "python"
    command.write_text(f'#!/bin/sh\nexport PYTHONPATH="{blind}:$PYTHONPATH"\nexec "{sys.executable}" "$@"\n')
    command.chmod(0o755)
    return command


def test_what_is_in_the_way_here_is_named_with_its_remedy(tmp_path: Path) -> None:
    done = _doctor("--no-spark", tmp_path / "no" / "such" / "folder", JAVA_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "reachable from here" in done.stdout
    done = _doctor(JAVA_HOME=str(tmp_path))
    assert done.returncode == 1
    assert f"JAVA_HOME={tmp_path} holds none" in done.stdout
    assert "Install Java 17" in done.stdout
    # Without Java there is no Spark to ask.
    assert "Executors" not in done.stdout


def test_it_can_be_called_in_a_notebook(tmp_path: Path) -> None:
    root = tmp_path / "cluster"
    connect(root).close()
    lines: list[str] = []
    assert examine(str(root), spark=False, say=lines.append) == 0
    assert any("reachable from here" in line for line in lines)
