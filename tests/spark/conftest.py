"""One Spark for the whole run: two cores, three attempts a task, no UI, workers on this very Python."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spark_kusto.staging.leaks import take_inventory
from tests.staging.azurite import Azurite, Container, own_temporary_folder, wait_for

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_kusto.client import Cluster

DATABASE = "NetDefaultDB"

try:
    import pyspark.sql.streaming.datasource as _admission  # noqa: F401

    ADMISSION = True
except ImportError:
    # PySpark 4.0 and 4.1: the source bounds its batches, and Once and AvailableNow read all in one.
    ADMISSION = False

# Spark starts its workers with the python3 of PATH unless told otherwise.
os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")


def _processes() -> set[str]:
    """This process's descendants, without the JVM: it ends with the process that started it."""
    return {command for _, command in take_inventory().processes if "org.apache.spark.deploy" not in command}


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExitStack]:
    """What outlives Spark: services that its end still needs. At their own end nothing is left of the run."""
    processes = _processes()
    with own_temporary_folder(tmp_path_factory.mktemp("temporary")) as folder:
        with ExitStack() as stack:
            yield stack
        left = [path.name for path in folder.iterdir()]
        assert [name for name in left if name.startswith(("spark-kusto-", "azurite-"))] == []
    wait_for(lambda: _processes() <= processes)


@pytest.fixture(scope="session")
def azurite(services: ExitStack) -> Azurite:
    """A blob service; at its end it has no container, since every test removes its own."""
    service = services.enter_context(Azurite())

    def is_empty() -> None:
        assert [made.name for made in service.service().list_containers()] == []

    services.callback(is_empty)
    return service


@pytest.fixture
def container(azurite: Azurite) -> Iterator[Container]:
    made = azurite.new_container()
    yield made
    if made.client.exists():
        made.delete()


@pytest.fixture
def no_temporary_files(services: ExitStack) -> Iterator[None]:
    """A test leaves no temporary file of this package."""

    def ours() -> set[str]:
        return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("spark-kusto-")}

    before = ours()
    yield
    assert ours() <= before


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, services: ExitStack) -> Iterator[SparkSession]:
    from pyspark.sql import SparkSession

    scratch = tmp_path_factory.mktemp("spark")
    session = (
        SparkSession.builder.master("local[2, 3]")
        .appName("spark-kusto tests")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.default.parallelism", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "2g")
        # Workers that fork with libraries loaded: loading is most of what a short query waits for. The
        # examples that tests submit start theirs as Spark does by itself.
        .config("spark.python.daemon.module", "spark_kusto.spark.daemon")
        .config("spark.driver.extraJavaOptions", f"-Dderby.system.home={scratch}")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def pushing(spark: SparkSession) -> SparkSession:
    """The session with push-down installed."""
    from spark_kusto import register

    register(spark)
    return spark


@pytest.fixture
def root(tmp_path: Path) -> str:
    """The address of an embedded cluster of this test's own."""
    return str(tmp_path / "cluster")


@pytest.fixture
def cluster(root: str) -> Iterator[Cluster]:
    """That cluster, open in this process."""
    from spark_kusto import connect

    with connect(root) as opened:
        yield opened


@pytest.fixture
def read(spark: SparkSession, root: str) -> Callable[..., DataFrame]:
    """``read(query, option=value ...)`` from the test's cluster."""

    def run(query: str, **options: object) -> DataFrame:
        reader = spark.read.format("kusto").option("kustoCluster", root).option("kustoDatabase", DATABASE)
        for name, value in options.items():
            reader = reader.option(name, str(value))
        return reader.option("kustoQuery", query).load()

    return run


@pytest.fixture
def write(root: str) -> Callable[..., None]:
    """``write(df, table, mode=..., option=value ...)`` to the test's cluster; the table is created."""

    def run(df: DataFrame, table: str, mode: str = "append", **options: object) -> None:
        writer = df.write.format("kusto").option("kustoCluster", root).option("kustoDatabase", DATABASE)
        given = {"tableCreateOptions": "CreateIfNotExist", **options}
        for name, value in given.items():
            writer = writer.option(name, str(value))
        writer.option("kustoTable", table).mode(mode).save()

    return run


@pytest.fixture
def conf(spark: SparkSession) -> Callable[..., AbstractContextManager[None]]:
    """``with conf({"spark.sql.ansi.enabled": "false"}):`` sets and puts back."""

    @contextmanager
    def run(settings: dict[str, str]) -> Iterator[None]:
        before = {name: spark.conf.get(name, None) for name in settings}
        for name, value in settings.items():
            spark.conf.set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    spark.conf.unset(name)
                else:
                    spark.conf.set(name, value)

    return run
