"""What docs/clusters.md says: an environment that travels with the job."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from tests.spark.conftest import DATABASE
from tests.spark.jobs import spark_home

if TYPE_CHECKING:
    from spark_kusto.client import Cluster

JOB = """
import sys
from pyspark.sql import SparkSession
from spark_kusto import read_kusto

root, seen = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()


def where(batches):
    import os, sys
    import spark_kusto
    for batch in batches:
        yield batch
    with open(f"{seen}-{os.getpid()}", "w") as file:
        file.write("\\n".join((sys.executable, spark_kusto.__file__, os.getcwd())))


rows = spark.range(0, 1000, 1, 2).mapInArrow(where, "id bigint")
rows.write.format("kusto").options(kustoCluster=root, kustoDatabase="NetDefaultDB", kustoTable="T",
                                   tableCreateOptions="CreateIfNotExist").mode("append").save()
print("read", read_kusto(spark, root, "NetDefaultDB", "T").where("id >= 500").count())
"""


def _environment(folder: Path) -> Path:
    """An archive of an environment with the package in it; what it depends on is where it is here."""
    made = folder / "made"
    venv.EnvBuilder(symlinks=True).create(made)
    packages = made / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    here = Path(__file__).parents[2]
    for name in ("spark_kusto", "pyspark_kusto"):
        shutil.copytree(here / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    (packages / "others.pth").write_text(str(Path(numpy.__file__).parents[1]))
    archive = folder / "environment.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(made, arcname=".")
    return archive


def test_an_archived_environment_is_what_executors_run(root: str, cluster: Cluster, tmp_path: Path) -> None:
    archive = _environment(tmp_path)
    job = tmp_path / "job.py"
    job.write_text(JOB)
    command = [
        str(Path(sys.executable).with_name("spark-submit")),
        *("--master", "local-cluster[1,2,1024]"),
        *("--archives", f"{archive}#environment"),
        *("--conf", "spark.ui.enabled=false"),
        *(str(job), root, str(tmp_path / "seen")),
    ]
    # The driver plans, with the same command for a Python, in its own working directory.
    shutil.copytree(tmp_path / "made", tmp_path / "environment", symlinks=True)
    mine = {key: text for key, text in os.environ.items() if key not in ("PYSPARK_PYTHON", "PYTHONPATH")}
    done = subprocess.run(
        command,
        env={
            **mine,
            "PYSPARK_PYTHON": "./environment/bin/python",
            "SPARK_HOME": str(spark_home(tmp_path)),
            "SPARK_LOCAL_IP": "127.0.0.1",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    assert "read 500" in done.stdout
    assert cluster.query(DATABASE, "T | count").rows == [(1000,)]
    seen = [path.read_text().splitlines() for path in tmp_path.glob("seen-*")]
    assert seen
    for python, package, directory in seen:
        assert directory != str(tmp_path)
        assert Path(python).parent.parent.name == "environment"
        assert package.startswith(f"{directory}/environment/")
