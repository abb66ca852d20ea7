"""What failed to be ingested, for ``.show ingestion failures``; kept for two weeks."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import KustoError, redact
from spark_kusto.storage import EntityChange

if TYPE_CHECKING:
    from spark_kusto.engine.engine import Engine
    from spark_kusto.storage import Database

KIND = "ingestion-failure"
KEPT = dt.timedelta(days=14)


class Failures:
    """Ingestions of an engine's cluster that failed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self,
        database: Database,
        table: str,
        source: str,
        error: KustoError,
        *,
        kind: str,
        root_id: uuid.UUID | None = None,
        operation_id: str | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Remember a failure."""
        value = {
            "operation": operation_id or str(uuid.uuid4()),
            "database": database.name,
            "table": table,
            "on": dt.datetime.now(dt.timezone.utc).isoformat(),
            "source": redact(source.split("?", 1)[0]),
            "details": str(error),
            "permanent": error.permanent,
            "root": str(root_id or uuid.uuid4()),
            "kind": kind,
            "code": error.code,
            "principal": self._engine.principal,
            "properties": redact(json.dumps(dict(properties or {}), default=str)),
        }
        change = EntityChange(KIND, database.id, str(uuid.uuid4()), value)
        with self._engine.root.catalog.transaction(durable=False) as transaction:
            transaction.put_entities([change])

    def rows(self, operation_id: str | None = None) -> Iterator[Sequence[Any]]:
        """Rows of ``.show ingestion failures``, oldest first."""
        found = [entity.value for entity in self._engine.root.entities(KIND)]
        for value in sorted(found, key=lambda value: str(value["on"])):
            if operation_id is not None and value["operation"] != operation_id:
                continue
            yield (
                value["operation"],
                value["database"],
                value["table"],
                dt.datetime.fromisoformat(value["on"]),
                value["source"],
                value["details"],
                "Permanent" if value["permanent"] else "Transient",
                value["root"],
                value["kind"],
                False,
                value["code"],
                value["principal"],
                not value["permanent"],
                value["principal"],
                value["properties"],
            )

    def by_operation(self) -> dict[str, Mapping[str, Any]]:
        """Every failure, by the operation that failed."""
        return {entity.value["operation"]: entity.value for entity in self._engine.root.entities(KIND)}

    def of(self, operation_id: str) -> Mapping[str, Any] | None:
        """The failure of one operation, if it has failed."""
        for entity in self._engine.root.entities(KIND):
            if entity.value["operation"] == operation_id:
                found: Mapping[str, Any] = entity.value
                return found
        return None

    def forget_old(self, now: dt.datetime) -> int:
        """Remove failures from before the two weeks that they are kept."""
        old = [
            entity
            for entity in self._engine.root.entities(KIND)
            if dt.datetime.fromisoformat(entity.value["on"]) < now - KEPT
        ]
        if old:
            with self._engine.root.catalog.transaction(durable=False) as transaction:
                transaction.put_entities([EntityChange(KIND, e.owner, e.name, None) for e in old])
        return len(old)
