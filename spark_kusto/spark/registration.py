"""``register(spark)``: what needs a session, above all transparent push-down."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
import warnings
import weakref
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import UnsupportedError
from spark_kusto.spark.option_tables import OPTIONS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("spark_kusto.spark")

SOURCE_NAMES = (
    "kusto",
    "com.microsoft.kusto.spark.datasource",
    "com.microsoft.kusto.spark.datasink.kustosinkprovider",
)
"""Names of the source in lower case: its own, and those of the official connector's snippets."""

_RULE = "KustoPushDown"
_STRATEGY = "KustoTaskReads"
_STREAMS = "KustoStreamReads"

_REDACTION = "spark.sql.redaction.options.regex"
# Queries and what goes with them may have h"..." strings.
_ASKED = ("kustoQuery", "kustoFilter", "queryParametersJson", "clientRequestPropertiesJson")
_SECRETS = "|".join(
    (*_ASKED, *(name for spec in OPTIONS if spec.secret for name in (spec.name, *spec.aliases)))
)
_warned = False
# The rule in the JVM calls these; they live as long as the process.
_proxies: list[Any] = []
# By application: the rule and the strategy.
_made: dict[str, tuple[Any, Any]] = {}
# Sessions that have the rule: to ask the JVM for its rules takes as long as to plan a read.
_installed: weakref.WeakSet[SparkSession] = weakref.WeakSet()
_lock = threading.Lock()


def register(spark: SparkSession) -> None:
    """Make a session ready: the source under the official names too, and push-down by itself.

    After it, columns, filters, limits and aggregates of DataFrames and SQL over ``kusto`` are computed
    in the cluster where that gives Spark's answer. Calling it again does nothing. Where the optimizer
    cannot be reached (Spark Connect), one warning says so, and everything else works.

    Args:
        spark: a classic or Connect session of PySpark 4.0 or newer.

    Raises:
        UnsupportedError: PySpark is older than 4.0, or the workers' Python lacks this package.
    """
    from spark_kusto.spark.datasource import OfficialSinkName, OfficialSourceName

    _check_workers(spark)
    for source in (OfficialSourceName, OfficialSinkName):
        spark.dataSource.register(source)
    install_push_down(spark)


def hide_secrets(spark: SparkSession) -> None:
    """Have Spark redact options that hold secrets where it prints the options of a read.

    By itself it does so for names like "secret" and "token" only, and shows others to whoever sees its UI:
    the plan of a temporary view has all options of the reads below it.
    """
    try:
        present = spark.conf.get(_REDACTION, None) or ""
        if _SECRETS not in present:
            ours = f"(?i:{_SECRETS})"
            spark.conf.set(_REDACTION, f"{present}|{ours}" if present else ours)
    except Exception as error:  # noqa: BLE001 - a platform may forbid it; reads work all the same
        log.info("Spark's redaction of options could not be extended: %s", type(error).__name__)


def install_push_down(spark: SparkSession) -> bool:
    """Append the optimizer rule to a session once; False, and one warning, where that is impossible."""
    hide_secrets(spark)
    jsession = getattr(spark, "_jsparkSession", None)
    if jsession is None:
        _warn(
            "Push-down by itself needs a classic session; on Spark Connect give columns with .schema(...),"
            " and filters and aggregates in kustoQuery or the option kustoFilter."
        )
        return False
    try:
        if spark not in _installed:
            _install(spark, jsession)
            _installed.add(spark)
    except Exception as error:  # noqa: BLE001 - whatever a platform forbids, reads work without the rule
        reason = (str(error).strip() or type(error).__name__).splitlines()
        _warn(f"Push-down by itself could not be installed, reads work without it: {' '.join(reason[:2])}")
        return False
    if spark.conf.get("spark.sql.python.filterPushdown.enabled", "false") == "true":
        log.warning(
            "spark.sql.python.filterPushdown.enabled is true: Spark 4.1 to 4.3 then share pushed filters of"
            " other Python sources between uses of one DataFrame. 'kusto' does not use it."
        )
    return True


def _install(spark: SparkSession, jsession: Any) -> None:
    experimental = jsession.experimental()
    jvm: Any = spark._jvm
    converters = jvm.scala.jdk.javaapi.CollectionConverters
    rules = jvm.java.util.ArrayList(converters.asJava(experimental.extraOptimizations()))
    if any(rule.getClass().getName() == _RULE for rule in rules):
        return
    application = spark.sparkContext.applicationId
    with _lock:
        # Sessions of one application share the rule, its planner and its listener.
        if application not in _made:
            _made[application] = _make(spark, jvm)
    rule, strategy = _made[application]
    if strategy is not None:
        strategies = jvm.java.util.ArrayList(converters.asJava(experimental.extraStrategies()))
        strategies.add(strategy)
        getattr(experimental, "extraStrategies_$eq")(converters.asScala(strategies).toSeq())
    rules.add(rule)
    getattr(experimental, "extraOptimizations_$eq")(converters.asScala(rules).toSeq())


def _make(spark: SparkSession, jvm: Any) -> tuple[Any, Any]:
    """The rule and, where this Spark takes it, the strategy beside it."""
    from pyspark.java_gateway import ensure_callback_server_started

    from spark_kusto.spark.catalyst.planner import Planner, PlannerProxy

    gateway: Any = spark.sparkContext._gateway
    ensure_callback_server_started(gateway)  # type: ignore[no-untyped-call]
    rule_class = _compiled(jvm, _RULE, jvm.Thread.currentThread().getContextClassLoader())
    # The planner outlives the session.
    session = weakref.ref(spark)

    def variables() -> Any:
        known = session()
        if known is None:
            return None
        try:
            sources = known._jsparkSession.sessionState().dataSourceManager()
            found = sources.lookupDataSource(SOURCE_NAMES[0]).dataSourceCls().envVars()
        except Exception as error:  # noqa: BLE001 - another make of Spark, or a source of another session
            reason = (str(error) or type(error).__name__).splitlines()[0]
            log.info("reads share no workers with writes: %s", reason)
            return None
        return jvm.java.util.HashMap(found)

    proxy = PlannerProxy(Planner(spark.sparkContext, variables))
    names = gateway.new_array(jvm.String, len(SOURCE_NAMES))
    for i, name in enumerate(SOURCE_NAMES):
        names[i] = name
    # Lists, since py4j puts no Python object into an array.
    arguments = jvm.java.util.ArrayList()
    arguments.add(proxy)
    arguments.add(names)
    rule = rule_class.getDeclaredConstructors()[0].newInstance(arguments.toArray())
    strategy = None
    try:
        above = _compiled(jvm, _STRATEGY, rule_class.getClassLoader())
        strategy = above.getDeclaredConstructors()[0].newInstance(arguments.toArray())
        streams = _compiled(jvm, _STREAMS, above.getClassLoader())
        strategy.plansStreamsBy(streams.getDeclaredConstructors()[0].newInstance(arguments.toArray()))
    except Exception as error:  # noqa: BLE001 - a Spark of another make; reads are Spark's own then
        log.warning(
            "Reads are left to Spark to plan: %s", (str(error) or type(error).__name__).splitlines()[0]
        )
    spark.sparkContext._jsc.sc().addSparkListener(rule.listener())
    _proxies.append(proxy)
    return rule, strategy


def _compiled(jvm: Any, name: str, parent: Any) -> Any:
    compiler = jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(parent)
    compiler.cook(files("spark_kusto.spark.catalyst").joinpath(f"{name}.java").read_text())
    return compiler.getClassLoader().loadClass(name)


def _warn(message: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(message, UserWarning, stacklevel=4)


def _check_workers(spark: SparkSession) -> None:
    """See that the Python which Spark starts for workers has this package.

    ``python script.py`` from a virtual environment gets the ``python3`` of PATH for its workers unless
    PYSPARK_PYTHON says otherwise.
    """
    context = getattr(spark, "_sc", None)
    if context is None or not str(context.master).startswith("local"):
        return
    wanted = str(context.pythonExec)
    found = shutil.which(wanted)
    if found is None or _same(found, sys.executable):
        return
    problem = _lacking(found)
    if problem is not None:
        raise UnsupportedError(
            f"Spark's workers run {found}, which cannot import spark_kusto: {problem}.",
            feature="PYSPARK_PYTHON",
            remedy=f"Set PYSPARK_PYTHON={sys.executable} before the session starts.",
        )


def _same(one: str, other: str) -> bool:
    # python and python3 beside each other. Not resolved: a virtual environment's python is a link to
    # one without its packages.
    return Path(one).absolute().parent == Path(other).absolute().parent


@lru_cache
def _lacking(python: str) -> str | None:
    done = subprocess.run(
        [python, "-c", "import spark_kusto, pyarrow, duckdb"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it failed"])[-1]
