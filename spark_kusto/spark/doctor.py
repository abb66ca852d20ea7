"""What a session needs to work with ``kusto``, looked at on the driver and on every executor.

``spark-kusto doctor`` prints it. Nothing is changed anywhere.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

Verdict = Literal["ok", "warning", "error"]

_PACKAGES = ("spark-kusto", "pyspark", "pyarrow", "duckdb", "pandas", "numpy")
_LEAST_JAVA = 17


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        place: ``driver``, or an executor's host.
        what: what was looked at.
        value: what was found.
        verdict: whether it is as it should be.
        remedy: what to do, where it is not.
    """

    place: str
    what: str
    value: str
    verdict: Verdict = "ok"
    remedy: str = ""


def examine_driver(cluster: str | None = None) -> list[Finding]:
    """Python, packages and Java of this process, and whether it reaches the cluster."""
    found = _examine_python("driver")
    found.append(_examine_java())
    wanted = os.environ.get("PYSPARK_PYTHON")
    if wanted is None:
        there = shutil.which("python3") or "none"
        same = os.path.abspath(there) == os.path.abspath(sys.executable)
        found.append(
            Finding(
                "driver",
                "PYSPARK_PYTHON",
                f"not set: workers run {there}",
                "ok" if same else "warning",
                "" if same else f"Set PYSPARK_PYTHON={sys.executable} for sessions on this machine.",
            )
        )
    else:
        found.append(Finding("driver", "PYSPARK_PYTHON", wanted))
    if cluster is not None:
        found.append(_examine_cluster("driver", cluster))
    return found


def examine_executors(spark: SparkSession, cluster: str | None = None) -> list[Finding]:
    """The same of the workers' Python on every executor that answers (classic and Connect sessions)."""
    tasks = 2
    context = getattr(spark, "_sc", None)
    if context is not None:
        tasks = max(2, int(context.defaultParallelism))

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import json as json_module

        import pyarrow

        for _ in batches:
            pass
        # Imported here, so that a worker without the package answers instead of failing to start.
        try:
            from spark_kusto.spark.doctor import examine_here

            text = examine_here(cluster)
        except ImportError as error:
            import socket as socket_module
            import sys as sys_module

            place = f"{socket_module.gethostname()} ({sys_module.executable})"
            text = json_module.dumps(
                [
                    {
                        "place": place,
                        "what": "import spark_kusto",
                        "value": str(error),
                        "verdict": "error",
                        "remedy": "Install spark-kusto there, or set PYSPARK_PYTHON.",
                    }
                ]
            )
        yield pyarrow.record_batch([pyarrow.array([text])], names=["findings"])

    run.__module__ = "__main__"
    rows = spark.range(0, tasks * 4, 1, tasks).mapInArrow(run, "findings string").collect()
    distinct: dict[Finding, None] = {}
    for row in rows:
        for given in json.loads(row[0]):
            distinct[Finding(**given)] = None
    return list(distinct)


def examine_here(cluster: str | None = None) -> str:
    """The findings of this process as JSON."""
    place = f"{socket.gethostname()} ({sys.executable})"
    found = _examine_python(place)
    if cluster is not None:
        found.append(_examine_cluster(place, cluster))
    return json.dumps([asdict(finding) for finding in found])


def _examine_python(place: str) -> list[Finding]:
    version = platform.python_version()
    new_enough = sys.version_info >= (3, 10)
    found = [
        Finding(
            place,
            "Python",
            version,
            "ok" if new_enough else "error",
            "" if new_enough else "Python 3.10 or newer is needed.",
        )
    ]
    for package in _PACKAGES:
        try:
            found.append(_examine_package(place, package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            optional = package == "pandas"
            found.append(
                Finding(
                    place,
                    package,
                    "not installed",
                    "warning" if optional else "error",
                    f"pip install {package}" + (" (only to_pandas() needs it)" if optional else ""),
                )
            )
    return found


def _examine_package(place: str, package: str, version: str) -> Finding:
    major = int(re.match(r"\d+", version).group()) if re.match(r"\d+", version) else 0  # type: ignore[union-attr]
    if package == "pyspark" and major < 4:
        return Finding(
            place, package, version, "error", "Python data sources begin with PySpark 4.0: upgrade it."
        )
    if package == "pandas" and major >= 3:
        return Finding(place, package, version, "warning", "PySpark does not fully support pandas 3 yet.")
    return Finding(place, package, version)


def _examine_java() -> Finding:
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    if java is None or not os.path.exists(java):
        return Finding(
            "driver", "Java", "not found", "error", f"Install Java {_LEAST_JAVA} or newer, or set JAVA_HOME."
        )
    done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
    match = re.search(r'version "(\d+)', done.stderr)
    if match is None:
        return Finding("driver", "Java", done.stderr.strip()[:80], "warning", "Its version is not clear.")
    enough = int(match.group(1)) >= _LEAST_JAVA
    return Finding(
        "driver",
        "Java",
        f"{match.group(1)} ({java})",
        "ok" if enough else "error",
        "" if enough else f"PySpark 4 needs Java {_LEAST_JAVA} or newer.",
    )


def _examine_cluster(place: str, cluster: str) -> Finding:
    from spark_kusto.client.address import parse_address
    from spark_kusto.errors import KustoError

    try:
        address = parse_address(cluster)
        if address.kind == "embedded":
            return _examine_directory(place, str(address.path))
        return _examine_server(place, address.text)
    except KustoError as error:
        return Finding(place, "cluster", cluster, "error", str(error))


def _examine_directory(place: str, path: str) -> Finding:
    if not os.path.isdir(path):
        missing = place != "driver"
        return Finding(
            place,
            "cluster",
            f"{path} does not exist",
            "error" if missing else "warning",
            "Executors must see the directory under the same path; or serve it with 'spark-kusto serve'."
            if missing
            else "It is created by the first connect().",
        )
    if not os.access(path, os.W_OK):
        return Finding(place, "cluster", f"{path} is not writable", "warning", "Writes will fail here.")
    return Finding(place, "cluster", f"{path} is readable and writable")


def _examine_server(place: str, url: str) -> Finding:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=10).close()
    except OSError as error:
        return Finding(
            place, "cluster", f"{url} cannot be reached: {error}", "error", "Look at firewalls and proxies."
        )
    return Finding(place, "cluster", f"{url} can be reached")
