"""The Python half of the optimizer rule: what of a plan over a scan goes into the query.

The rule (``KustoPushDown.java``) calls :meth:`Planner.apply` from the optimizer with a request as
JSON, and gets JSON back, or None where the scan is better left as it is. The planner binds queries
and reads the catalog; it never runs anything.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import KustoError, redact
from spark_kusto.spark.names import ReadMode
from spark_kusto.spark.options import (
    PARALLELISM_KEY,
    PUSHDOWN_KEY,
    SNAPSHOT_KEY,
    SourceOptions,
    source_options,
)
from spark_kusto.spark.predicates import SourceColumn
from spark_kusto.spark.pushdown import Pushdown, push
from spark_kusto.spark.query_text import appendable, takes_operators
from spark_kusto.spark.reader import ExportWanted, KustoPartition, plan_partitions
from spark_kusto.spark.reading import base_query, fields_of
from spark_kusto.spark.staging import APPLICATION_KEY, ApplicationReads
from spark_kusto.spark.task_reader import TaskReader, packed

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql.datasource import InputPartition
    from pyspark.sql.types import StructType

    from spark_kusto.client import Cluster
    from spark_kusto.types import Column

log = logging.getLogger("spark_kusto.spark")

_REMEMBERED_SECONDS = 30.0
"""How long the columns of a query on a remote cluster are taken for known."""
_PLANS = 64
_NOBODYS_VARIABLES = {"PYTHONHASHSEED"}
"""Environment variables that every context gives its functions."""
_CLUSTERS = 16

END = "end"
"""What the rule's listener says when the application ends."""
RUNS = "runs "
"""What it says, with a read's number, when the tasks of the read are about to run."""


class Planner:
    """Answers the optimizer rule of one session; safe to call from several threads.

    Args:
        context: the session's. A read is cut into as many tasks as its default parallelism.
        variables: gives the environment (a Java map) in which Spark runs this source's Python, or None.
    """

    def __init__(self, context: SparkContext, variables: Callable[[], Any]) -> None:
        self._context = context
        self._variables = variables
        self._parallelism = context.defaultParallelism
        self._lock = threading.Lock()
        self._reads = ApplicationReads()
        self._clusters: dict[str, tuple[tuple[int, int] | None, Cluster]] = {}
        self._columns: dict[str, tuple[float, tuple[Column, ...]]] = {}
        self._snapshots: OrderedDict[tuple[str, str, str], str] = OrderedDict()
        self._functions: OrderedDict[str, Any] = OrderedDict()
        # Each look-up of a class is a round trip to the JVM.
        self._list: Any = context._jvm.java.util.ArrayList  # type: ignore[union-attr]
        self._announcements: OrderedDict[str, list[Callable[[], None]]] = OrderedDict()

    def apply(self, text: str) -> Any:
        """One request, one answer; None for a limit or aggregate that cannot be pushed.

        A request for the tasks of a read is answered with a Java list: the function that reads tasks, the
        tasks as JSON (None where they are to be planned when they run), and the read's number; None where
        Spark should plan the read itself. A request for a function, with a task and the schema of what that
        gives, is answered with the function and the places of columns that are never null.
        """
        if text == END:
            self._reads.end()
            return None
        if text.startswith(RUNS):
            self._announce(text.removeprefix(RUNS))
            return None
        request = json.loads(text)
        if "read" in request or "function" in request:
            try:
                return self._tasks(request["read"]) if "read" in request else self._reading(request)
            except Exception as error:  # noqa: BLE001 - Spark plans it then, and fails with the words if it must
                log.info("a read is left to Spark to plan: %s", redact(str(error)))
                return None
        try:
            answer = self._answer(request)
        except KustoError as error:
            # The scan fails with the same words when it runs; the optimizer is no place for them.
            log.info("nothing is pushed down: %s", error)
            return None
        except Exception:
            log.exception("nothing is pushed down, because the planner failed")
            return None
        return None if answer is None else json.dumps(answer)

    def _answer(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        options = source_options(request["options"])
        cluster = self._cluster(options)
        limited = request.get("limit") is not None or request.get("aggregate") is not None
        if not options.push_down or not takes_operators(options.query):
            if limited:
                return None
            request = {**request, "filters": [{**f, "e": {"f": ""}} for f in request["filters"]]}
            request["needed"] = list(range(len(request["columns"])))
        found = push(request, _columns(request, self._schema(cluster, options)))
        if found is None:
            return None
        tail = found.pushdown.kql()
        rows, size = self._size(cluster, options, found.pushdown, tail, request, found.columns)
        self._reads.remember(options, cluster)
        extra = {
            APPLICATION_KEY: self._reads.purpose,
            PARALLELISM_KEY: str(self._parallelism),
            PUSHDOWN_KEY: found.pushdown.to_json(),
        }
        if options.snapshot is None and cluster.has_snapshots:
            extra[SNAPSHOT_KEY] = self._snapshot(cluster, options, request["plan"])
        aggregation = found.pushdown.aggregation
        # A query may hold secrets (h"..." strings), and plans are shown to everyone.
        query = redact(" ".join((base_query(options) + "\n" + tail).splitlines()).strip())
        log.info(
            "plan of %s: at most %s rows, %s bytes in Spark, snapshot %s: %s",
            options.connection.database,
            "?" if rows is None else rows,
            "?" if size is None else size,
            extra.get(SNAPSHOT_KEY, options.snapshot),
            query,
        )
        return {
            "columns": list(found.columns),
            "exact": list(found.exact),
            "options": extra,
            "results": None if aggregation is None else list(aggregation.results),
            "description": f"{options.connection.database} | {query}",
            "rows": rows,
            "bytes": size,
        }

    def _tasks(self, request: Mapping[str, Any]) -> Any:
        from pyspark.sql.types import StructType

        options = source_options(request["options"])
        schema = StructType.fromJson(json.loads(request["schema"]))
        answer = self._list()
        answer.add(self._function(request["schema"]))
        announcements: list[Callable[[], None]] = []
        tasks = self._planned(options, schema, announcements)
        number = uuid.uuid4().hex
        if tasks is None:
            answer.add(None)
        else:
            with self._lock:
                self._announcements[number] = announcements
                while len(self._announcements) > _PLANS:
                    self._announcements.popitem(last=False)
            answer.add(json.dumps([base64.b64encode(task).decode() for task in packed(tasks)]))
        answer.add(number)
        return answer

    def _reading(self, request: Mapping[str, Any]) -> Any:
        task = pickle.loads(base64.b64decode(request["task"]))
        if not isinstance(task, KustoPartition):
            return None
        answer = self._list()
        answer.add(self._function(request["function"]))
        answer.add(self._places([field.never_null for field in task.fields]))
        return answer

    def _places(self, chosen: Sequence[bool]) -> Any:
        places = self._list()
        for place, is_chosen in enumerate(chosen):
            if is_chosen:
                places.add(place)
        return places

    def _planned(
        self, options: SourceOptions, schema: StructType, announcements: list[Callable[[], None]]
    ) -> list[InputPartition] | None:
        """The tasks of a read; None if it is planned when it runs, not when it is explained."""
        # What may be exported, or go through blobs.
        if (
            options.connection.cluster.startswith("http")
            or options.read_mode is ReadMode.ForceDistributedMode
            or options.staging
            or "keyVaultUri" in options.connection.settings
            or options.transient_cache
        ):
            return None
        try:
            return plan_partitions(
                self._cluster(options), options, fields_of(schema), export=False, announcements=announcements
            )
        except ExportWanted:
            return None

    def _function(self, text: str) -> Any:
        """The function that reads tasks of a schema (as JSON), as Spark has Python functions."""
        from pyspark.core.rdd import _prepare_for_python_RDD
        from pyspark.sql.types import StructType

        with self._lock:
            known = self._functions.get(text)
        if known is None:
            context: Any = self._context
            command = (TaskReader(), StructType.fromJson(json.loads(text)))
            pickled, broadcasts, environment, includes = _prepare_for_python_RDD(context, command)
            # Workers are shared by what runs in the same environment: where the user adds nothing to it
            # (spark.executorEnv...), reads and writes of this source are to share theirs.
            if set(context.environment) <= _NOBODYS_VARIABLES:
                environment = self._variables() or environment
            known = context._jvm.SimplePythonFunction(
                bytearray(pickled),
                environment,
                includes,
                context.pythonExec,
                context.pythonVer,
                broadcasts,
                context._javaAccumulator,
            )
            with self._lock:
                self._functions[text] = known
                while len(self._functions) > _PLANS:
                    self._functions.popitem(last=False)
        return known

    def _announce(self, number: str) -> None:
        with self._lock:
            announcements = self._announcements.get(number, ())
        for announce in announcements:
            try:
                announce()
            except Exception as error:  # noqa: BLE001 - the read itself goes on
                log.warning("a read could not be listed: %s", redact(str(error)))

    def _cluster(self, options: SourceOptions) -> Cluster:
        connection = options.connection
        key = json.dumps([connection.cluster, sorted(connection.settings.items())])
        with self._lock:
            directory, found = self._clusters.get(key, (None, None))
            if found is not None and directory == _directory_of(connection.cluster):
                return found
            # One that was removed is not closed: another thread may be reading from it still.
            opened = connection.open(create=False)
            self._clusters.pop(key, None)
            self._clusters[key] = (_directory_of(connection.cluster), opened)
            while len(self._clusters) > _CLUSTERS:
                self._clusters.pop(next(iter(self._clusters)))
            return opened

    def _schema(self, cluster: Cluster, options: SourceOptions) -> tuple[Column, ...]:
        query = base_query(options)
        if not cluster.address.startswith("http"):
            return cluster.schema(options.connection.database, query, options.parameters)
        connection = options.connection
        key = json.dumps(
            [
                cluster.address,
                sorted(connection.settings.items()),
                connection.database,
                query,
                dict(options.parameters),
            ]
        )
        known = self._columns.get(key)
        if known is not None and time.monotonic() - known[0] < _REMEMBERED_SECONDS:
            return known[1]
        columns = cluster.schema(options.connection.database, query, options.parameters)
        self._columns[key] = (time.monotonic(), columns)
        while len(self._columns) > _PLANS:
            # The oldest first; another thread may have been faster.
            self._columns.pop(next(iter(self._columns), ""), None)
        return columns

    def _snapshot(self, cluster: Cluster, options: SourceOptions, plan: str) -> str:
        # All scans of one plan read one commit of a database.
        key = (plan, options.connection.cluster, options.connection.database)
        with self._lock:
            known = self._snapshots.get(key)
        if known is None:
            known = cluster.cursor(options.connection.database)
            with self._lock:
                known = self._snapshots.setdefault(key, known)
                while len(self._snapshots) > _PLANS:
                    self._snapshots.popitem(last=False)
        return known

    def _size(
        self,
        cluster: Cluster,
        options: SourceOptions,
        pushdown: Pushdown,
        tail: str,
        request: Mapping[str, Any],
        kept: tuple[int, ...],
    ) -> tuple[int | None, int | None]:
        """Rows the scan gives at most, and what they weigh as Spark's rows."""
        query = appendable(base_query(options)) + ("\n" + tail if tail else "")
        try:
            rows = cluster.statistics(options.connection.database, query).rows
        except KustoError as error:
            log.debug("no statistics of %s: %s", redact(query), error)
            return None, None
        if rows is None:
            return None, None
        if pushdown.limit is not None:
            rows = min(rows, pushdown.limit)
        types = [request["columns"][i][1] for i in kept]
        return rows, rows * (8 + sum(_WIDTHS.get(spark, 40) for spark in types)) if types else rows * 40


def _directory_of(address: str) -> tuple[int, int] | None:
    """What tells a directory that was removed and made anew from the one of that name before."""
    if address.startswith("http"):
        return None
    try:
        # The file that an open cluster holds keeps its number as long as it does.
        found = os.stat(os.path.join(address, "cluster.sqlite"))
    except OSError:
        return None
    return found.st_dev, found.st_ino


_WIDTHS = {
    "boolean": 1,
    "int": 4,
    "bigint": 8,
    "double": 8,
    "timestamp": 8,
    "string": 20,
    "decimal(38,18)": 16,
}


def _columns(request: Mapping[str, Any], schema: tuple[Column, ...]) -> list[SourceColumn]:
    exact = {column.name: column for column in schema}
    folded = {column.name.lower(): column for column in schema}
    found: list[SourceColumn] = []
    for name, spark in request["columns"]:
        column = exact.get(name) or folded.get(name.lower())
        if column is None:
            raise KustoError(f"The query has no column '{name}'.")
        found.append(SourceColumn(column.name, column.type, spark))
    return found


class PlannerProxy:
    """The planner as the ``java.util.function.Function`` that the rule calls (through py4j)."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    def apply(self, text: str) -> Any:
        return self._planner.apply(text)

    class Java:
        implements = ("java.util.function.Function",)
