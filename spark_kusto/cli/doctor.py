"""``spark-kusto doctor``: what is installed and within reach, on the driver and on every executor."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import KustoError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NEEDED = ("spark-kusto", "duckdb", "pyarrow", "numpy")
SPARK = ("pyspark", "pandas")
OPTIONAL = {
    "azure": ("azure-kusto-data", "azure-identity", "azure-storage-blob", "requests"),
    "keyvault": ("azure-keyvault-secrets",),
    "geo": ("h3", "s2geometry", "spherely"),
    "useragent": ("ua-parser",),
}
OLDEST_PYSPARK = (4, 0)
OLDEST_JAVA = 17
TASKS = 4  # for each core: enough that every executor gets one
ROUNDS = 3  # of asking, while executors that are there have not answered
_SIGNS = {"ok": "ok", "note": "--", "problem": "!!"}


@dataclass
class Report:
    """What was found, printed as it comes in; ``problems`` decide the exit status."""

    say: Callable[[str], None] = print
    problems: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        self.say(f"\n{text}")

    def line(self, verdict: str, name: str, text: str, remedy: str = "") -> None:
        self.say(f"  {_SIGNS[verdict]}  {name:<24} {text}".rstrip())
        if verdict == "problem":
            self.problems.append(f"{name}: {text}")
        if remedy:
            self.say(f"      {remedy}")


def examine(
    cluster: str | None = None,
    *,
    master: str | None = None,
    spark: bool = True,
    session: SparkSession | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Look at everything and print what was found.

    Args:
        cluster: an address whose reachability is looked at, from here and from every executor.
        master: the Spark to start; the session's or spark-submit's own when None, else ``local[2]``.
        spark: False looks at this machine only.
        session: a running session to ask, for notebooks.
        say: where lines go.

    Returns:
        0 when nothing is in the way, 1 otherwise.
    """
    report = Report(say)
    _machine(report)
    _packages(report)
    has_spark = find_spec("pyspark") is not None
    remote = session is not None and _is_connect(session)
    java = remote or not (has_spark and spark) or _java(report)
    if cluster is not None:
        _reach(report, cluster)
    if has_spark and spark and java and _pyspark_is_supported():
        _executors(report, cluster, master, session)
    report.heading(
        "Nothing is in the way."
        if not report.problems
        else "In the way:\n" + "\n".join(f"  {problem}" for problem in report.problems)
    )
    return 1 if report.problems else 0


# -- this machine ---------------------------------------------------------------------------------


def _machine(report: Report) -> None:
    report.heading(f"This machine ({platform.node()})")
    system = platform.system()
    verdict = "problem" if system == "Windows" else "ok"
    remedy = (
        "Windows is not supported yet; the Windows Subsystem for Linux is." if system == "Windows" else ""
    )
    report.line(verdict, "system", f"{system} {platform.release()} {platform.machine()}", remedy)
    report.line("ok", "Python", f"{platform.python_version()} ({sys.executable})")
    told = os.environ.get("PYSPARK_PYTHON")
    workers = shutil.which(told or "python3")
    if workers is None:
        report.line(
            "problem", "Python of workers", f"{told or 'python3'} does not exist", "Set PYSPARK_PYTHON."
        )
    elif os.path.abspath(workers) != os.path.abspath(sys.executable) and not _same_python(workers):
        report.line(
            "note",
            "Python of workers",
            f"{workers}, another one than this",
            f"Unless a cluster sets its own: export PYSPARK_PYTHON={sys.executable}",
        )


def _same_python(command: str) -> bool:
    """Whether a command is this environment's Python by another name (python3 beside python)."""
    return os.path.dirname(os.path.abspath(command)) == os.path.dirname(os.path.abspath(sys.executable))


def _packages(report: Report) -> None:
    report.heading("Packages")
    for name in NEEDED:
        version = _version(name)
        if version is None:
            report.line("problem", name, "is not installed", "pip install spark-kusto")
        else:
            report.line("ok", name, version)
    pyspark = _version("pyspark")
    if pyspark is None:
        report.line("note", "pyspark", "is not installed", "For Spark: pip install 'spark-kusto[spark]'")
    elif not _pyspark_is_supported():
        report.line(
            "problem",
            "pyspark",
            f"{pyspark} is too old: Python data sources begin with 4.0",
            "Upgrade Spark to 4.0 or later.",
        )
    else:
        report.line("ok", "pyspark", pyspark)
        _pandas(report)
    for extra, names in OPTIONAL.items():
        found = {name: _version(name) for name in names}
        missing = [name for name, version in found.items() if version is None]
        if missing:
            what = f"{', '.join(missing)} not installed"
            report.line("note", f"extra {extra}", what, f"If you need it: pip install 'spark-kusto[{extra}]'")
        else:
            report.line(
                "ok", f"extra {extra}", ", ".join(f"{name} {version}" for name, version in found.items())
            )


def _pandas(report: Report) -> None:
    version = _version("pandas")
    if version is None:
        report.line("problem", "pandas", "is not installed, and PySpark needs it", "pip install 'pandas<3'")
    elif int(version.split(".")[0]) >= 3:
        report.line(
            "note", "pandas", f"{version}, which PySpark does not fully support", "pip install 'pandas<3'"
        )
    else:
        report.line("ok", "pandas", version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # Databricks and others put a pyspark on the path that no installer knows.
        if name == "pyspark" and find_spec(name) is not None:
            from pyspark import __version__

            return str(__version__)
        return None


def _pyspark_is_supported() -> bool:
    major, minor = ((_version("pyspark") or "0.0") + ".0").split(".")[:2]
    return (int(major), int(minor)) >= OLDEST_PYSPARK


def _java(report: Report) -> bool:
    home = os.environ.get("JAVA_HOME")
    command = os.path.join(home, "bin", "java") if home else shutil.which("java")
    remedy = f"Install Java {OLDEST_JAVA} or later (https://adoptium.net), or set JAVA_HOME."
    if command is None or not os.path.exists(command):
        where = f"JAVA_HOME={home} holds none" if home else "not found"
        report.line("problem", "Java", where, remedy)
        return False
    answer = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=60)
    first = (answer.stderr or answer.stdout).strip().partition("\n")[0]
    number = first.partition('"')[2].partition('"')[0].partition(".")[0]
    if answer.returncode != 0 or not number.isdigit() or int(number) < OLDEST_JAVA:
        report.line("problem", "Java", f"{first or 'does not run'} ({command})", remedy)
        return False
    report.line("ok", "Java", f"{first} ({command})")
    return True


def _reach(report: Report, cluster: str) -> None:
    from spark_kusto.client import connect
    from spark_kusto.client.address import parse_address

    report.heading("The cluster")
    try:
        # Asking never creates one.
        options = {"create": False} if parse_address(cluster).kind == "embedded" else {}
        with connect(cluster, **options) as opened:
            # The one command that every cluster answers without rights on a database.
            databases = [row[0] for row in opened.execute("NetDefaultDB", ".show databases").rows]
    except (KustoError, OSError) as error:
        report.line("problem", "reachable from here", f"no: {error}")
        return
    report.line("ok", "reachable from here", f"{opened.address}: {len(databases)} databases")


# -- executors ------------------------------------------------------------------------------------


def _is_connect(session: SparkSession) -> bool:
    return "connect" in type(session).__module__


def _session(master: str | None) -> SparkSession:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("spark-kusto doctor")
    if master is not None:
        builder = builder.master(master)
    elif SparkSession.getActiveSession() is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        # Not below spark-submit, which would have said.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = builder.master("local[2]").config("spark.ui.enabled", "false")
    return builder.getOrCreate()


def _executors(report: Report, cluster: str | None, master: str | None, given: SparkSession | None) -> None:
    report.heading("Executors")
    session = given
    try:
        session = session or _session(master)
        found = _ask_executors(session, cluster)
        known = _known_executors(session)
    except Exception as error:  # noqa: BLE001 - whatever Spark says is what the user needs to read
        first = str(error).strip().partition("\n")[0]
        report.line("problem", "Spark", f"{type(error).__name__}: {first}")
        return
    finally:
        if given is None and session is not None:
            session.stop()
    for row in found:
        _executor(report, row, cluster)
    if known > len(found):
        report.line(
            "problem",
            "executors",
            f"{known - len(found)} of {known} did not answer",
            "Look at their logs; a worker whose Python does not start ends with its task.",
        )


def _executor(report: Report, row: Mapping[str, Any], cluster: str | None) -> None:
    ours = platform.python_version_tuple()[:2]
    name = f"{row['host']} ({row['process']})" if row["process"] else str(row["host"])
    python = f"Python {row['python']} ({row['executable']})"
    if tuple(str(row["python"]).split(".")[:2]) != ours:
        remedy = "Driver and executors need the same Python: set PYSPARK_PYTHON on both."
        report.line("problem", name, f"{python}, and here it is {'.'.join(ours)}", remedy)
    else:
        report.line("ok", name, python)
    missing = [text for text in str(row["missing"]).split("\n") if text]
    if missing:
        report.line(
            "problem",
            name,
            "; ".join(missing),
            "Install spark-kusto there: cluster library, %pip, or --archives (docs/clusters.md).",
        )
    else:
        report.line("ok", name, str(row["versions"]))
    if row["java"]:
        report.line("ok", name, str(row["java"]))
    if cluster is not None and row["reach"]:
        report.line("ok" if row["reach"] == "yes" else "problem", name, f"sees the cluster: {row['reach']}")


def _known_executors(session: SparkSession) -> int:
    """How many executors Spark has; 0 where it does not say."""
    if _is_connect(session):
        return 0
    try:
        infos = session.sparkContext._jsc.sc().statusTracker().getExecutorInfos()
        everyone = len(infos)
    except Exception:  # noqa: BLE001 - not every Spark lets Python ask
        return 0
    # The driver is among them, and alone where it does the executors' work itself.
    return max(everyone - 1, 1)


def _ask_executors(session: SparkSession, cluster: str | None) -> list[Mapping[str, Any]]:
    """One row for each executor that answered, by its Java process and Python."""
    cores = 2 if _is_connect(session) else session.sparkContext.defaultParallelism
    probe = _probe(NEEDED, _target(cluster))
    schema = (
        "host string, process string, executable string, python string, java string, versions string,"
        " missing string, reach string"
    )
    tasks = max(cores, 1) * TASKS
    frame = session.range(0, tasks, 1, tasks).mapInArrow(probe, schema)
    found: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for _ in range(ROUNDS):
        for row in frame.collect():
            found[row["host"], row["process"], row["executable"]] = row.asDict()
        if len(found) >= _known_executors(session):
            break
    return [found[key] for key in sorted(found)]


def _target(cluster: str | None) -> str:
    """What an executor should see: the directory, or ``host:port``; empty for nothing to look at."""
    from urllib.parse import urlsplit

    from spark_kusto.client.address import parse_address

    if cluster is None:
        return ""
    address = parse_address(cluster)
    if address.kind == "embedded":
        return address.text
    parts = urlsplit(address.text)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _probe(needed: Sequence[str], target: str) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """The function that runs on executors.

    It is made here, so that it travels by value and names nothing of this package: an executor that lacks the
    package must be able to say so.
    """
    names = tuple(needed)

    def probe(batches: Iterator[Any]) -> Iterator[Any]:
        import os
        import platform
        import socket
        import subprocess
        import sys
        import time
        from importlib import import_module, metadata

        import pyarrow

        for _ in batches:
            pass
        versions, missing = [], []
        for name in names:
            try:
                import_module(name.replace("-", "_"))
            except ImportError as error:
                missing.append(f"{name}: {error}")
                continue
            try:
                versions.append(f"{name} {metadata.version(name)}")
            except metadata.PackageNotFoundError:
                versions.append(name)
        process, java, pid = "", "", os.getppid()
        # Above a worker stands Spark's daemon, and above that the executor's Java.
        for _ in range(4):
            try:
                with open(f"/proc/{pid}/stat") as status:
                    command, _, rest = status.read().rpartition(")")
                binary = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                break
            if command.endswith("(java"):
                answer = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False)
                java = (answer.stderr or answer.stdout).strip().partition("\n")[0]
                process = f"process {pid}"
                break
            pid = int(rest.split()[1])
        reach = ""
        if target.startswith("/"):
            seen = os.path.isdir(target) and os.access(target, os.R_OK)
            reach = "yes" if seen else f"no, {target} is not there or not readable"
        elif target:
            host, _, port = target.rpartition(":")
            try:
                socket.create_connection((host, int(port)), timeout=10).close()
                reach = "yes"
            except OSError as error:
                reach = f"no, {target}: {error}"
        # A moment's work, so that one quick executor doesn't take all the tasks.
        time.sleep(0.2)
        row = {
            "host": platform.node(),
            "process": process,
            "java": java,
            "executable": sys.executable,
            "python": platform.python_version(),
            "versions": ", ".join(versions),
            "missing": "\n".join(missing),
            "reach": reach,
        }
        order = ("host", "process", "executable", "python", "java", "versions", "missing", "reach")
        yield pyarrow.RecordBatch.from_pylist([{name: row[name] for name in order}])

    return probe
