"""The end of a write: a table of its own takes the blobs in, and its extents are moved in one transaction.

That is how the official connector writes, with three differences. The table that takes the blobs in is made
when all tasks have succeeded, hidden, without merges, and always with a policy that deletes it if this
process dies. Blobs are named to the cluster (``.ingest into table``), which tells when they are in, instead
of being queued, where nobody does. And extents get a new ingestion time, so that streams and materialized
views see them.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spark_kusto.client.remote.service import Service, rows_of
from spark_kusto.client.remote.staging import Filling, MessagePart
from spark_kusto.client.remote.texts import columns_text, name_literal, string_literal
from spark_kusto.engine.properties import IngestProperties, Replace
from spark_kusto.errors import IngestConflictError, IngestError, KustoError
from spark_kusto.types import Column

log = logging.getLogger("spark_kusto.client")

__all__ = [
    "Moved",
    "TemporaryTable",
    "batch_tag",
    "drop_tags_command",
    "ingest_options",
    "parquet_mapping",
    "table_name",
    "writer_tag",
]

_UNSURE_SECONDS = 30.0
"""How long to look for what a command has done whose answer was lost."""

_BLOBS_AT_ONCE = 500
"""Blobs of one command; the service splits them among its nodes."""


def batch_tag(writer_id: str, batch_id: int) -> str:
    """The tag of the extents of a writer's batch."""
    return f"{writer_tag(writer_id)}{batch_id}"


def writer_tag(writer_id: str) -> str:
    """What the tags of all batches of a writer begin with."""
    return f"ingest-by:spark-kusto/{writer_id}/"


def drop_tags_command(table: str, tags: Sequence[str]) -> str:
    """The command that takes tags off a table's extents: of each writer the last one is enough."""
    return f".drop table {name_literal(table)} extent tags ({', '.join(map(string_literal, tags))})"


def parquet_mapping(fillings: Sequence[Filling]) -> list[dict[str, Any]]:
    """The mapping of files that executors wrote: every column by its name."""
    return [
        {
            "Column": filling.column.name,
            "DataType": filling.column.type.value,
            "Properties": {"Field": filling.column.name},
        }
        for filling in fillings
    ]


def ingest_options(properties: IngestProperties, tags: Sequence[str], **more: str) -> str:
    """``with (...)`` of an ingestion command."""
    made: dict[str, str] = {name: string_literal(value) for name, value in more.items()}
    if tags:
        made["tags"] = string_literal(json.dumps(list(tags)))
    if properties.creation_time is not None:
        made["creationTime"] = string_literal(_instant(properties.creation_time))
    return f"with ({', '.join(f'{name}={value}' for name, value in made.items())})"


def _instant(moment: dt.datetime) -> str:
    return moment.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Moved:
    """What a commit has added."""

    extents: tuple[str, ...]


class TemporaryTable:
    """The table that takes one write's blobs in.

    Args:
        service: the cluster.
        database: the database.
        operation_id: of the write; the table is named by it.
        columns: the target's.
        lifetime: after which the service deletes it by itself.
    """

    def __init__(
        self,
        service: Service,
        database: str,
        operation_id: str,
        columns: Sequence[Column],
        lifetime: dt.timedelta,
    ) -> None:
        self._service = service
        self._database = database
        self._columns = columns
        self._lifetime = lifetime
        self.name = table_name(operation_id)
        self._quoted = name_literal(self.name)

    def create(self) -> None:
        """Make it, empty, hidden, and mortal."""
        # What an earlier attempt of this commit has left must not be taken for this one's.
        self.drop()
        until = _instant(dt.datetime.now(dt.timezone.utc) + self._lifetime)
        self._command(
            f".create table {self._quoted} ({columns_text(self._columns)}) with (hidden=true,"
            ' docstring="of a write by spark-kusto that is under way")',
            "create a temporary table",
        )
        policy = string_literal(json.dumps({"ExpiryDate": until, "DeleteIfNotEmpty": True}))
        self._command(f".alter table {self._quoted} policy auto_delete {policy}", "limit a table's life")
        merge = string_literal(json.dumps({"AllowMerge": False, "AllowRebuild": False}))
        self._command(f".alter-merge table {self._quoted} policy merge {merge}", "keep extents as they are")

    def _command(self, text: str, step: str, *, repeatable: bool = True) -> list[dict[str, Any]]:
        return rows_of(self._service.command(self._database, text, step=step, repeatable=repeatable))

    def ingest_blobs(self, sources: Sequence[str], options: str) -> None:
        """Take blobs in, and wait for it.

        Args:
            sources: with the right to read them.
            options: ``with (...)``.
        """
        for start in range(0, len(sources), _BLOBS_AT_ONCE):
            names = ", ".join(f"h{string_literal(url)}" for url in sources[start : start + _BLOBS_AT_ONCE])
            self._service.run_async(
                self._database,
                f".ingest async into table {self._quoted} ({names}) {options}",
                step="ingest staged blobs",
            )

    def ingest_parts(self, parts: Sequence[MessagePart], options: str) -> None:
        """Take parts of messages in."""
        for part in parts:
            text = gzip.decompress(part.data).decode()
            self._command(
                f".ingest inline into table {self._quoted} {options} <|\n{text}",
                "ingest rows",
                repeatable=False,
            )

    def check(self, rows: int) -> None:
        """Check that the rows that were staged are in, no more and no less.

        Raises:
            IngestError: they are not.
        """
        ((found,),) = self._service.rows(self._database, f"{self._quoted}\n| count")
        if found != rows:
            raise IngestError(
                f"{rows} rows were staged and the cluster took in {found}, so that none are kept.",
                remedy="Look with `.show ingestion failures`, and write again.",
            )

    def move(self, table: str, replace: Replace | None, rows: int) -> Moved:
        """Make everything visible in the target, in one transaction.

        Args:
            table: the target.
            replace: what goes from it in the same transaction.
            rows: how many are in here.

        Raises:
            QueryError, ServiceError: nothing was moved.
            IngestConflictError: it is not certain which rows were.
        """
        target = name_literal(table)
        options = "with (setNewIngestionTime=true)"
        if replace is None:
            command = f".move async extents to table {target} {options} <| .show table {self._quoted} extents"
        else:
            leaving = f".show table {target} extents"
            if replace.tags:
                leaving += " | where " + " or ".join(
                    f'set_has_element(split(Tags, "\\r\\n"), {string_literal(tag)})' for tag in replace.tags
                )
            command = (
                f".replace async extents in table {target} {options} <| {{{leaving}}},"
                f" {{.show table {self._quoted} extents}}"
            )
        step = f"make the rows visible in table '{table}'"
        try:
            # Moved again, an empty table moves nothing; replaced again, it would remove what it has added.
            operation = self._service.run_async(
                self._database, command, step=step, repeatable=replace is None
            )
            moved = self._service.details(operation, self._database)
        except KustoError as error:
            if not rows or not self._has_gone(patiently=not error.permanent):
                raise
            log.info("The rows are in table '%s', though the cluster could not say so: %s", table, error)
            return Moved(())
        failed = [str(row.get("Details")) for row in moved if str(row.get("ResultExtentId")) == "Failed"]
        if failed:
            raise IngestError(f"Extents could not be moved to table '{table}': {failed[0]}")
        if not self._has_gone():
            raise IngestConflictError(
                f"The cluster says that it moved extents to table '{table}', and some stayed behind.",
                remedy="Compare the rows before writing again.",
            )
        return Moved(tuple(str(row["ResultExtentId"]) for row in moved if row.get("ResultExtentId")))

    def _has_gone(self, *, patiently: bool = False) -> bool:
        """Whether the rows are no longer here; patiently: a command that nobody heard of may be under way."""
        deadline = time.monotonic() + (_UNSURE_SECONDS if patiently else 0.0)
        while True:
            ((count,),) = self._service.rows(self._database, f"{self._quoted}\n| count")
            if not count or time.monotonic() > deadline:
                return not count
            time.sleep(self._service.transport.backoff.pause(1))

    def drop(self) -> None:
        """Remove it, if it is there."""
        self._command(f".drop table {self._quoted} ifexists", "drop a temporary table")


def table_name(operation_id: str) -> str:
    """The name of the temporary table of a write."""
    return f"spark_kusto_write_{operation_id.replace('-', '')}"
