"""Jobs in processes of their own, with a Java of their own, that tests look at and kill."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from scripts.lib.linked_spark import linked_spark

FAULTS = Path(__file__).parent / "faults"
HEADER = """
import json, os, sys, time
from pyspark import TaskContext
from pyspark.sql import SparkSession
from spark_kusto import read_kusto, write_kusto

DATABASE = "NetDefaultDB"


def session(master="local[2]", **conf):
    builder = SparkSession.builder.master(master).config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.sql.shuffle.partitions", "2")
    builder = builder.config("spark.python.daemon.module", "spark_kusto.spark.daemon")
    for name, value in conf.items():
        builder = builder.config(name.replace("__", "."), value)
    return builder.getOrCreate()


def write(df, root, table, mode="append", **options):
    given = dict(kustoCluster=root, kustoDatabase=DATABASE, kustoTable=table,
                 tableCreateOptions="CreateIfNotExist")
    df.write.format("kusto").options(**{**given, **options}).mode(mode).save()
"""


def environment(**more: str) -> dict[str, str]:
    """What a job needs to run on this very Python, with this very package."""
    path = os.pathsep.join((str(FAULTS), os.getcwd()))
    return {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYTHONPATH": path,
        **more,
    }


def spark_home(folder: Path) -> Path:
    """A Spark of links, below which stand-alone workers have their working directories."""
    return linked_spark(folder / "spark")


@contextmanager
def standalone(folder: Path, *hosts: str) -> Iterator[str]:
    """The address of a stand-alone cluster with one executor of one core on each host."""
    home = spark_home(folder)
    settings = environment(SPARK_HOME=str(home), SPARK_WORKER_DIR=str(folder / "work"))
    del settings["SPARK_LOCAL_IP"]
    running: list[subprocess.Popen[str]] = []

    def start(name: str, *arguments: str) -> Path:
        log = folder / f"{name}-{len(running)}.log"
        command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name.lower()}.{name}"]
        with open(log, "w") as output:
            running.append(
                subprocess.Popen(
                    [*command, *arguments, "--webui-port", "0"],
                    env=settings,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        return log

    try:
        log = start("Master", "--host", "127.0.0.1", "--port", "0")
        found: list[str] = []
        wait_until(
            lambda: found.extend(re.findall(r"Starting Spark master at (\S+)", log.read_text())) or found
        )
        for host in hosts:
            start("Worker", "--host", host, "--cores", "1", "--memory", "1g", found[0])
        wait_until(lambda: log.read_text().count("Registering worker") == len(hosts))
        yield found[0]
    finally:
        for process in running:
            kill_all(process)


def script(folder: Path, code: str) -> Path:
    """A job's program, after the header."""
    path = folder / "job.py"
    path.write_text(HEADER + textwrap.dedent(code))
    return path


def run_job(folder: Path, code: str, *arguments: object, **more: str) -> str:
    """Run a job to its end; what it printed."""
    done = subprocess.run(
        [sys.executable, str(script(folder, code)), *map(str, arguments)],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout


def kill_all(process: subprocess.Popen[str]) -> None:
    """kill -9 a job with its Java and all its workers."""
    family = [psutil.Process(process.pid)] if process.poll() is None else []
    for member in family:
        family = [member, *member.children(recursive=True)]
        break
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


@contextmanager
def job(folder: Path, code: str, *arguments: object, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A job that runs beside the block, and is killed at its end."""
    with open(folder / "job.log", "w") as output:
        process = subprocess.Popen(
            [sys.executable, str(script(folder, code)), *map(str, arguments)],
            env=environment(**more),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            kill_all(process)


def wait_until(condition: Callable[[], object], seconds: float = 120, process: object = None) -> None:
    """Wait for something to become true.

    Raises:
        AssertionError: it did not in time, or the process ended before.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        if isinstance(process, subprocess.Popen):
            assert process.poll() is None, "the job ended before"
        time.sleep(0.05)
