"""What `import spark_kusto` costs and brings along."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("pyspark", "duckdb", "pyarrow", "pandas", "numpy", "azure")


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_importing_brings_none_of_the_heavy_packages() -> None:
    found = run(
        "import sys, spark_kusto\nprint(*sorted({name.partition('.')[0] for name in sys.modules}), sep='\\n')"
    )
    assert not set(HEAVY) & set(found.split())


def test_importing_takes_less_than_a_tenth_of_a_second() -> None:
    # The best of five: what else the machine does is not the package's cost.
    code = "import time; t = time.perf_counter(); import spark_kusto; print(time.perf_counter() - t)"
    assert min(float(run(code)) for _ in range(5)) < 0.1


def test_every_public_name_can_be_had_from_the_package() -> None:
    assert run("import spark_kusto as k; print(len([getattr(k, name) for name in k.__all__]) > 10)") == "True"


def test_the_command_answers_without_importing_the_heavy_packages() -> None:
    found = run(
        "import sys\n"
        "from spark_kusto.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), sep='\\n')"
    )
    assert found.startswith("spark-kusto ")
    assert not set(HEAVY) & set(found.split())
