"""The option distributedReadModeTransientCache: an exported answer is read again instead of exported again.

Spark plans each action in a process of its own, so what was exported is written down in a file, in the
directory that Spark has for one application on the driver's machine and removes with it. The file holds the
rights to read the staged blobs, as Spark's own tasks do, and only its owner can read it.

An entry is found by all that decides on the answer: cluster and who signs in, query, what was pushed into it,
parameters, properties, and where it is staged. It is used until its files are about to expire, and not at all
when they are gone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import tempfile
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from spark_kusto.client.tasks import is_present
from spark_kusto.errors import KustoError

if TYPE_CHECKING:
    from spark_kusto.client import ScanPlan
    from spark_kusto.spark.options import SourceOptions

log = logging.getLogger("spark_kusto.spark")

_MARGIN = timedelta(minutes=10)
"""Time that tasks of a cached plan have at least, where its files live long enough."""


class ExportCache:
    """Exported answers of one application.

    Args:
        directory: where they are written down; made when it is needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @classmethod
    def of_application(cls) -> ExportCache | None:
        """The cache of the application that this process plans for; None where Spark names no directory."""
        from pyspark import SparkFiles

        root = SparkFiles._root_directory
        return None if not root or not os.path.isdir(root) else cls(Path(root) / "kusto-exports")

    def find(self, key: str) -> list[ScanPlan] | None:
        """The plans of an answer that was exported and can still be read."""
        path = self._directory / key
        try:
            made, plans = pickle.loads(path.read_bytes())
        except (OSError, ValueError, EOFError, pickle.UnpicklingError):
            return None
        if not _lasts(made, plans):
            with suppress(OSError):
                path.unlink()
            return None
        found: list[ScanPlan] = plans
        return found

    def keep(self, key: str, plans: list[ScanPlan]) -> None:
        """Remember plans, if all of them were exported."""
        if any(plan.expires is None for plan in plans):
            return
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            # mkstemp's files are their owner's alone.
            handle, name = tempfile.mkstemp(dir=self._directory)
            with os.fdopen(handle, "wb") as file:
                pickle.dump((datetime.now(timezone.utc), plans), file)
            os.replace(name, self._directory / key)
        except OSError as error:
            log.info("an exported answer is not kept for the next action: %s", error)


def _lasts(made: datetime, plans: list[ScanPlan]) -> bool:
    for plan in plans:
        if plan.expires is None:
            return False
        margin = min(_MARGIN, (plan.expires - made) / 4)
        if datetime.now(timezone.utc) > plan.expires - margin:
            return False
        try:
            # Files of one export go together.
            if plan.tasks and not is_present(plan.tasks[0]):
                return False
        except KustoError as error:
            log.info("an exported answer cannot be looked for, and is exported again: %s", error)
            return False
    return True


def cache_key(options: SourceOptions, query: str, tail: str) -> str:
    """What finds an entry: a hash of all that decides on the answer, and of who may see it."""
    connection = options.connection
    decides = [
        connection.cluster,
        connection.database,
        sorted(connection.settings.items()),
        query,
        tail,
        sorted((name, repr(value)) for name, value in options.parameters.items()),
        sorted((name, repr(value)) for name, value in options.properties.items()),
        options.given_snapshot,
        options.read_mode,
        sorted(options.staging.items()),
        sorted((name, repr(value)) for name, value in options.export_options.items()),
        options.partitions,
        options.partition_column,
        options.expiry.total_seconds(),
    ]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()
