"""The embedded cluster: one directory, queried and managed from this process."""

from __future__ import annotations

import getpass
import operator
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spark_kusto.engine.activity import Activities
from spark_kusto.engine.commanding import Commanding
from spark_kusto.engine.connections import SPILL_FOLDER, Instance, Resources, shared_instance
from spark_kusto.engine.deleting import Deleting
from spark_kusto.engine.explaining import explain
from spark_kusto.engine.failures import Failures
from spark_kusto.engine.ingesting import Ingesting, IngestOutcome
from spark_kusto.engine.limits import request_limits
from spark_kusto.engine.loading import ingest_data
from spark_kusto.engine.maintenance import Maintenance
from spark_kusto.engine.operations import Operations
from spark_kusto.engine.policies import ingestion_time_on
from spark_kusto.engine.policies import stored as stored_policy
from spark_kusto.engine.positions import Position, advance
from spark_kusto.engine.properties import IngestProperties, Replace
from spark_kusto.engine.query_log import QueryLog
from spark_kusto.engine.querying import Prepared, Querying, TaskPlan
from spark_kusto.engine.queue import IngestionQueue
from spark_kusto.engine.running import QueryRun
from spark_kusto.errors import OptionError, SnapshotExpiredError, UnsupportedError
from spark_kusto.storage import ChangeContext, Database, Root, TableSnapshot
from spark_kusto.types import Column

if TYPE_CHECKING:
    from spark_kusto import kql


class Engine:
    """An open embedded cluster. Threads may share it, and several processes may open one root.

    Args:
        root: the cluster's directory, opened.
        resources: what queries may use in this process.
        principal: who acts, as a fully qualified name; by default this process's user.
        local_files: whether commands may read this machine's files.
    """

    def __init__(
        self,
        root: Root,
        resources: Resources | None = None,
        principal: str | None = None,
        *,
        local_files: bool = True,
    ) -> None:
        self.root = root
        self.resources = resources or Resources()
        self.principal = principal or local_principal()
        self.address = str(root.path)
        self.local_files = local_files
        self.activities = Activities(QueryLog(root.path))
        self.querying = Querying(self)
        self.commanding = Commanding(self)
        self.ingesting = Ingesting(self)
        self.deleting = Deleting(self)
        self.queue = IngestionQueue(self)
        self.operations = Operations(self)
        self.failures = Failures(self)
        self.maintenance = Maintenance(self)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        create: bool = True,
        *,
        memory: int | None = None,
        threads: int | None = None,
        principal: str | None = None,
    ) -> Engine:
        """Open a cluster's directory; see :meth:`Root.open` for what it raises.

        Args:
            path: the directory.
            create: make a new cluster if there is none.
            memory: bytes that queries may use in this process; by default half of the machine's.
            threads: of a query; by default as many as there are cores.
            principal: who acts.
        """
        memory, threads = _whole("memory", memory), _whole("threads", threads)
        return cls(Root.open(path, create), Resources(memory, threads), principal)

    def close(self) -> None:
        """Wait for asynchronous commands and close the catalogs. Queries that are being read go on."""
        self.queue.close()
        self.operations.close()
        self.root.close()

    # -- what the rooms of the engine ask

    @property
    def spill(self) -> Path:
        """Where queries spill."""
        return self.root.path / SPILL_FOLDER

    def instance(self, directories: Iterable[str], memory: int | None = None) -> Instance:
        """The DuckDB instance that may read these directories."""
        resources = self.resources
        if memory is not None:
            resources = Resources(min(memory, resources.memory_bytes), resources.threads)
        return shared_instance(directories, str(self.spill), resources)

    def database(self, name: str) -> Database:
        """A database by name, in any case.

        Raises:
            EntityNotFoundError: there is none; the nearest is offered.
        """
        database = self.root.database(name)
        self.queue.poll(database)
        return database

    def row_filter(self, database: Database, table: TableSnapshot) -> str | None:
        """The query that row level security puts in a table's place; None for the whole table."""
        policy = stored_policy(database, "row_level_security", table.id)
        if not isinstance(policy, dict) or not policy.get("IsEnabled"):
            return None
        return str(policy["Query"])

    def keeps_ingestion_time(self, database: Database, table: TableSnapshot) -> bool:
        """Whether ``ingestion_time()`` gives something for the table's rows."""
        return ingestion_time_on(database, table)

    def after_commit(self, database: Database) -> None:
        """Do maintenance that is due, within the time a commit may spend on it."""
        self.maintenance.after_commit(database)

    def maintain(self) -> Mapping[str, int]:
        """Do all maintenance that is due; counts of what was done, by name."""
        return self.maintenance.run()

    def require_local_files(self, what: str) -> None:
        """Refuse to read this machine's files for callers from elsewhere."""
        if not self.local_files:
            raise UnsupportedError(
                f"{what} cannot read files of the server's machine.",
                feature="local files",
                remedy="Send the data itself (.ingest inline, streaming or queued ingestion).",
            )

    def context(self, command: str, client_id: str = "") -> ChangeContext:
        """What the journal says of a change."""
        return ChangeContext(
            command=command,
            principal=self.principal,
            user=self.principal.partition("=")[2] or self.principal,
            client_request_id=client_id,
        )

    # -- queries

    def query(
        self,
        database: str,
        text: str | kql.syntax.Query,
        *,
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
        snapshot: int | None = None,
        client_id: str | None = None,
        application: str = "",
    ) -> QueryRun:
        """Run a query.

        Results within the limits (500,000 rows and 64 MB, unless the properties or ``set`` statements
        say otherwise) are there when this returns; with ``notruncation`` they are streamed.

        Args:
            database: name of the database.
            text: KQL.
            parameters: values for ``declare query_parameters``.
            properties: client request properties.
            snapshot: commit sequence of that database to read at; None for now.
            client_id: the caller's id of the request.
            application: the caller's name of itself.
        """
        home = self.database(database)
        activity = self.activities.begin(
            "query",
            text if isinstance(text, str) else str(text),
            home.name,
            client_id=client_id,
            principal=self.principal,
            user=self.principal,
            application=application,
            properties=properties,
        )
        catalog = self.querying.catalog(None if snapshot is None else {home.id: snapshot})
        try:
            return self.querying.run(
                home.name,
                text,
                parameters=parameters,
                properties=properties,
                activity=activity,
                catalog=catalog,
            )
        except BaseException as error:
            activity.finish(error)
            raise

    def execute(
        self,
        database: str,
        text: str,
        *,
        properties: Mapping[str, object] | None = None,
        client_id: str | None = None,
        application: str = "",
    ) -> QueryRun:
        """Run a management command; arguments as of :meth:`query`."""
        return self.commanding.execute(
            self.database(database),
            text,
            properties=properties,
            client_id=client_id,
            application=application,
        )

    def explain(self, database: str, text: str) -> str:
        """The plan of a query: what it scans, what is left out, and the SQL."""
        return explain(self.querying.compile(database, text))

    def cursor(self, database: str) -> str:
        """The database cursor: the last commit's sequence as a decimal string."""
        return self.database(database).cursor()

    def plan_scan(
        self,
        database: str,
        text: str,
        *,
        parallelism: int = 1,
        target_bytes: int,
        snapshot: int | None = None,
        after: int | None = None,
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> TaskPlan:
        """Cut a query into tasks for :func:`read_task`, all of one snapshot."""
        prepared, seconds = self.prepare_scan(
            database, text, snapshot=snapshot, after=after, parameters=parameters, properties=properties
        )
        return self.querying.plan(
            prepared, parallelism=parallelism, target_bytes=target_bytes, seconds=seconds
        )

    def prepare_scan(
        self,
        database: str,
        text: str,
        *,
        snapshot: int | None = None,
        after: int | None = None,
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> tuple[Prepared, float | None]:
        """Compile a query that is to be read in parts; it, and the seconds that it may take."""
        home = self.database(database)
        limits = request_limits({"norequesttimeout": True, **(properties or {})})

        def compiled(at: int | None, until: int | None) -> Prepared:
            return self.querying.compile(
                home.name,
                text,
                parameters=parameters,
                now=limits.now,
                catalog=self.querying.catalog(None if at is None else {home.id: at}),
                after=after,
                until=until,
            )

        if after is None or snapshot is None:
            return compiled(snapshot, None), limits.seconds
        try:
            prepared = compiled(snapshot, None)
            is_present = prepared.is_present()
        except SnapshotExpiredError:
            is_present = False
        if not is_present:
            # A stream's batch is planned again long after: merged extents still tell their rows' commits.
            prepared = compiled(None, snapshot)
        return prepared, limits.seconds

    def advance(
        self,
        database: str,
        text: str,
        after: int,
        *,
        parameters: Mapping[str, object] | None = None,
        max_rows: int | None = None,
        max_bytes: int | None = None,
    ) -> Position:
        """Where a stream's next batch ends; see :func:`spark_kusto.engine.positions.advance`."""
        return advance(
            self, database, text, after, parameters=parameters, max_rows=max_rows, max_bytes=max_bytes
        )

    def ingest(
        self,
        database: str,
        table: str,
        data: object,
        *,
        create: bool = False,
        replace: Replace | None = None,
        properties: IngestProperties | None = None,
        writer_id: str | None = None,
        batch_id: int | None = None,
    ) -> IngestOutcome:
        """Ingest Arrow data, a pandas DataFrame, or files by path, in this process."""
        return ingest_data(
            self,
            self.database(database),
            table,
            data,
            create=create,
            replace=replace,
            properties=properties or IngestProperties(),
            writer_id=writer_id,
            batch_id=batch_id,
        )

    def schema(
        self, database: str, text: str, parameters: Mapping[str, object] | None = None
    ) -> tuple[Column, ...]:
        """Columns of a query's (first) result, without running it."""
        return self.querying.compile(database, text, parameters=parameters).columns


def local_principal() -> str:
    """This process's user as a fully qualified name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"localuser={user}@{socket.gethostname()}"


def _whole(name: str, given: int | None) -> int | None:
    """An argument that is a whole number above 0, NumPy's included."""
    try:
        value = None if given is None else operator.index(given)
    except TypeError:
        value = 0
    if value is not None and (value < 1 or isinstance(given, bool)):
        unit = " of bytes" if name == "memory" else ""
        raise OptionError(f"'{name}' is {given!r}.", remedy=f"Give a whole number{unit}, at least 1.")
    return value
