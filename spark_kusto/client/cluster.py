"""The one interface to a cluster, embedded or remote, and the values that travel with it.

Everything a task needs to read or write a part of the data is a small frozen value
(:class:`ScanTask`, :class:`IngestPlan`, :class:`StagedFiles`) that pickles, so that a driver
plans, executors work without opening a catalog, and the driver commits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from spark_kusto.engine.properties import IngestProperties as IngestProperties
from spark_kusto.engine.properties import Replace as Replace
from spark_kusto.errors import OptionError

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from types import TracebackType

    from spark_kusto.client.result import Result
    from spark_kusto.staging import TransientStorage
    from spark_kusto.types import Column

DEFAULT_TARGET_BYTES = 64 * 1024 * 1024
"""Bytes of compressed data one scan task aims at."""

ArrowShape = Literal["kusto", "spark"]
ClusterT = TypeVar("ClusterT", bound="Cluster")
WriteMode = Literal["transactional", "queued", "streaming"]
ScanMode = Literal["auto", "single", "distributed"]


@dataclass(frozen=True)
class ScanTask:
    """One part of a planned read: small, picklable, readable on any executor.

    ``payload`` belongs to the cluster that planned the task (files and SQL for an embedded
    cluster, a query or a staged blob for a remote one); :func:`spark_kusto.client.read_scan`
    reads it. ``rows`` and ``bytes`` are estimates from the catalog, None where unknown.
    """

    address: str
    database: str
    columns: tuple[Column, ...]
    payload: Any
    shape: ArrowShape = "kusto"
    rows: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class ScanPlan:
    """A read cut into tasks, all of one snapshot.

    ``cursor`` is the commit sequence read (a decimal string, what ``cursor(database)`` gave at
    that moment); pass it as ``snapshot`` to read the same data again.
    ``exact`` says that ``rows`` counts the query's answer rather than estimating it.
    ``expires`` is when the files of an exported answer may be gone; None where nothing was exported.
    ``deferred`` says that the answer would have been exported, had that been allowed.
    ``never_null`` names columns in which a micro-batch (``after``) has no null by the catalog.
    ``announce`` lists the read in ``.show queries``, where ``plan_scan`` was told not to; to be called each
    time its tasks are about to run.
    """

    tasks: tuple[ScanTask, ...]
    columns: tuple[Column, ...]
    cursor: str
    rows: int | None = None
    bytes: int | None = None
    exact: bool = False
    expires: datetime | None = None
    deferred: bool = False
    never_null: frozenset[str] = frozenset()
    announce: Callable[[], None] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class ScanStatistics:
    """Size of a query's answer as the catalog estimates it (an upper bound, never run)."""

    rows: int | None
    bytes: int | None


@dataclass(frozen=True)
class StreamPosition:
    """Where a stream's batch ends.

    ``cursor`` is that of the last commit in it, or where it began if there is nothing new; ``rows``
    and ``bytes`` are the table's in between, before the query's filters. ``table_id`` changes when the
    table is dropped and created again.
    """

    cursor: str
    rows: int
    bytes: int
    committed_at: datetime | None
    table_id: str


@dataclass(frozen=True)
class IngestPlan:
    """A begun ingestion: what executors need to stage data. Picklable.

    ``columns`` are the table's columns in order; ``source`` the columns the data will bring
    (matched by name, missing ones become null). ``payload`` belongs to the cluster.
    """

    address: str
    database: str
    table: str
    operation_id: str
    columns: tuple[Column, ...]
    source: tuple[Column, ...]
    properties: IngestProperties = field(default_factory=IngestProperties)
    mode: WriteMode = "transactional"
    replace: Replace | None = None
    payload: Any = None


@dataclass(frozen=True)
class StagedFiles:
    """What one task staged: the message a task returns to the driver. Picklable.

    ``operation_id`` names the ingestion it was staged for: a streaming commit runs in a process
    with a plan of its own, and commits what the messages name (``operation`` is the cluster's).
    """

    operation_id: str
    rows: int
    bytes: int
    files: tuple[Any, ...] = ()
    errors: int = 0
    operation: Any = None


@dataclass(frozen=True)
class IngestResult:
    """What an ingestion did.

    status: ``committed``; ``queued`` (accepted, visible at the latest when the batching policy
    is due); ``skipped`` (``ingest_if_not_exists`` matched); ``replayed`` (this writer's batch
    had been committed before, nothing was added).
    cursor: the commit sequence, a decimal string, or None where nothing was committed.
    staging: the directory in blob containers that the data went through, or None.
    """

    operation_id: str
    status: Literal["committed", "queued", "skipped", "replayed"]
    rows: int
    bytes: int
    extents: int
    cursor: str | None
    duration: timedelta
    extent_ids: tuple[str, ...] = ()
    errors: int = 0
    staging: str | None = None


def check_batch(writer_id: str | None, batch_id: int | None) -> None:
    """Refuse half of a batch's identity, which would make every later batch a replay, or none.

    Raises:
        OptionError: one of the two is given without the other.
    """
    if (writer_id is None) != (batch_id is None):
        given, missing = ("writer_id", "batch_id") if batch_id is None else ("batch_id", "writer_id")
        raise OptionError(
            f"{given} is given without {missing}.",
            remedy="Give both, to have a batch that is sent again add nothing; or neither.",
        )


def check_replace(replace: object) -> None:
    """Refuse what says nothing about what to replace.

    Raises:
        OptionError: it is neither None nor a :class:`Replace`.
    """
    if replace is not None and not isinstance(replace, Replace):
        raise OptionError(
            f"'replace' is {replace!r}, which does not say what to replace.",
            remedy="Give Replace(all=True), Replace(tags=(...)) or Replace(predicate='...').",
        )


def check_text(what: str, value: object) -> None:
    """Refuse a query or command that is no text.

    Raises:
        OptionError: its type is named.
    """
    if not isinstance(value, str):
        raise OptionError(
            f"The {what} is no text but of the type {type(value).__name__}.", remedy="Give a str."
        )


class Cluster(ABC):
    """A Kusto cluster: get one with :func:`spark_kusto.connect`.

    Safe to use from several threads. Close it, or use it as a context manager.
    """

    address: str
    """The normalized address; ``connect(cluster.address)`` gives the same cluster."""

    has_snapshots = True
    """Whether a read can be of the past: the state of all tables at a cursor."""

    # -- asking ---------------------------------------------------------------------------

    @abstractmethod
    def query(
        self,
        database: str,
        kql: str,
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> Result:
        """Run a KQL query.

        parameters: values for ``declare query_parameters``, bound as values, never as text.
        properties: client request properties (``notruncation``, ``servertimeout``,
        ``truncationmaxrecords`` …), as ``set`` statements would give them.
        Raises KqlSyntaxError, KqlSemanticError, and for what goes wrong while running the
        errors of :mod:`spark_kusto.errors`.
        """

    @abstractmethod
    def execute(
        self,
        database: str,
        command: str,
        properties: Mapping[str, object] | None = None,
    ) -> Result:
        """Run a management command (``.show tables``, ``.create table …``)."""

    @abstractmethod
    def explain(self, database: str, kql: str) -> str:
        """The plan of a query as text: what is scanned, what is pruned, and the SQL."""

    @abstractmethod
    def schema(
        self,
        database: str,
        kql: str,
        parameters: Mapping[str, object] | None = None,
    ) -> tuple[Column, ...]:
        """The columns of a query's answer, without running it."""

    @abstractmethod
    def statistics(self, database: str, kql: str) -> ScanStatistics:
        """Rows and bytes a query may give at most, from the catalog."""

    @abstractmethod
    def cursor(self, database: str) -> str:
        """The database cursor: the last commit sequence, a decimal string."""

    # -- reading in parallel --------------------------------------------------------------

    @abstractmethod
    def plan_scan(
        self,
        database: str,
        kql: str,
        *,
        parallelism: int = 1,
        target_bytes: int = DEFAULT_TARGET_BYTES,
        snapshot: str | None = None,
        after: str | None = None,
        shape: ArrowShape = "kusto",
        parameters: Mapping[str, object] | None = None,
        properties: Mapping[str, object] | None = None,
        mode: ScanMode = "auto",
        export: bool = True,
        expiry: timedelta | None = None,
        export_options: Mapping[str, object] | None = None,
        staging: TransientStorage | None = None,
        purpose: str = "read",
        listed: bool = True,
    ) -> ScanPlan:
        """Cut a query into tasks that :func:`spark_kusto.client.read_scan` reads anywhere.

        Queries of filters and projections over one table are packed by bytes into tasks of
        about ``target_bytes`` (smaller, if that gives each of ``parallelism`` workers one);
        all others are one task.
        snapshot: read as of this cursor rather than now.
        after: only rows committed after this cursor (a stream's micro-batch reads
        ``after`` < cursor <= ``snapshot``).
        shape: ``kusto`` gives the Arrow types of :mod:`spark_kusto.types`; ``spark`` exactly
        those that Spark expects for the Spark types of the columns.
        mode: ``single`` is one task; ``distributed`` exports the answer while planning, through
        ``staging`` where that is given, and every task reads a file (without ``staging``, filters and
        projections over one table of an embedded cluster are read from it in parallel instead);
        ``auto`` does what the size asks for.
        export: False never runs anything while planning, whatever the mode.
        expiry: how long exported files stay (4 hours); blobs stay as long as ``staging`` says.
        export_options: ``sizeLimit`` (MB of a file, 128), ``compressionType``, ``compressed``, as of
        Kusto's ``.export``.
        staging: blob containers that cluster and executors reach.
        purpose: part of the names of staging directories; ``release_reads`` takes it.
        listed: whether ``.show queries`` lists the read now. A plan that may never run is listed by its
        ``announce`` (an embedded cluster; a remote one lists what it runs).
        """

    def release_reads(self, database: str, purpose: str) -> int:
        """Remove what ``plan_scan`` has exported into the cluster's own directory for a ``purpose``; nobody
        reads it any more. Returns the number of results removed; blobs are their storage's to remove."""
        return 0

    def advance(
        self,
        database: str,
        kql: str,
        after: str,
        *,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> StreamPosition:
        """Where the batch of a stream ends that begins after a cursor (``"0"``: before the first row).

        A batch takes in whole commits, at least one if there is any; ``max_rows`` and ``max_bytes`` end
        it before the commit that goes beyond. Raises UnsupportedError for a query that is more than
        filters and projections over one table, and where a cluster offers no streams.
        """
        from spark_kusto.errors import UnsupportedError

        raise UnsupportedError(
            f"{self.address} offers no streams to read from.",
            feature="readStream",
            remedy="Read batches with spark.read, bounded by ingestion_time() in the query.",
        )

    # -- ingesting ------------------------------------------------------------------------

    @abstractmethod
    def ingest(
        self,
        database: str,
        table: str,
        data: object,
        *,
        create: bool = False,
        replace: Replace | None = None,
        writer_id: str | None = None,
        batch_id: int | None = None,
        **properties: Any,
    ) -> IngestResult:
        """Ingest an Arrow table, reader or batches, a pandas DataFrame, or file paths.

        Columns are matched by name. create: create the table if it does not exist.
        ``properties`` are the fields of :class:`IngestProperties`.
        """

    @abstractmethod
    def begin_ingest(
        self,
        database: str,
        table: str,
        columns: Sequence[Column],
        *,
        create: bool = False,
        replace: Replace | None = None,
        mode: WriteMode = "transactional",
        properties: IngestProperties | None = None,
        lease: timedelta | None = None,
        staging: TransientStorage | None = None,
        renew: bool = False,
    ) -> IngestPlan:
        """Begin an ingestion of data that has these columns; nothing is visible yet.

        Raises a SchemaMismatch error with every mismatch at once. create: create the table
        with ``columns`` at the commit's start if it does not exist. staging: blob containers that
        executors upload into. renew: this process stays until the commit, and may renew the
        executors' rights meanwhile.
        """

    @abstractmethod
    def commit_ingest(
        self,
        plan: IngestPlan,
        staged: Iterable[StagedFiles | None],
        *,
        writer_id: str | None = None,
        batch_id: int | None = None,
        staging: TransientStorage | None = None,
    ) -> IngestResult:
        """Make everything staged visible in one commit; staged blobs go with it.

        staging: the containers of ``begin_ingest``, where that was called in another process.
        writer_id and batch_id make it exactly-once: a batch at or below the writer's last
        committed one on this table adds nothing and answers ``replayed``.
        """

    @abstractmethod
    def abort_ingest(
        self,
        plan: IngestPlan,
        staged: Iterable[StagedFiles | None] = (),
        *,
        staging: TransientStorage | None = None,
    ) -> None:
        """Drop what was staged; does nothing after a successful commit. Never raises for
        files that are gone already."""

    def end_attempts(self, database: str, table: str, writer_id: str) -> int:
        """Drop what a writer has begun for a table and neither committed nor aborted; how many there were.
        Where a cluster cannot tell whose staging is whose, it is left to its lease."""
        return 0

    @abstractmethod
    def wait_ingested(self, operation_id: str, timeout: timedelta | None = None) -> IngestResult:
        """Wait until a queued ingestion is visible, or raise the error it failed with."""

    # -- the rest -------------------------------------------------------------------------

    @abstractmethod
    def maintain(self) -> Mapping[str, int]:
        """Do all maintenance that is due (queue, merge, retention, sweep); counts of what
        was done by name. A remote cluster maintains itself and answers an empty mapping."""

    @abstractmethod
    def close(self) -> None:
        """Free connections and files. Closing twice is fine."""

    def __enter__(self: ClusterT) -> ClusterT:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"
