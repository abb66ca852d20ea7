"""The table of management commands: a row each, and what running one is given.

A row is written by the decorator :func:`command` over the function that runs it; families of commands
live in the modules of this package. ``name`` is the grammar's (``kql.parser.command_grammar``).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spark_kusto.engine.activity import Activity
from spark_kusto.engine.commands.schemas import Schema
from spark_kusto.engine.running import ResultTable, storage_text_schema
from spark_kusto.errors import EntityNotFoundError
from spark_kusto.kql.syntax import ManagementCommand
from spark_kusto.storage import ChangeContext, Database, Snapshot
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.engine.engine import Engine

Permission = Literal["viewer", "user", "ingestor", "monitor", "admin", "cluster admin"]
"""What a principal needs: on the database, or on the cluster."""

Row = Sequence[Any]


@dataclass(frozen=True)
class Request:
    """One execution of a command.

    Attributes:
        engine: where.
        database: the request's database.
        command: the parsed command.
        activity: the request as ``.show commands`` lists it.
        properties: client request properties.
    """

    engine: Engine
    database: Database
    command: ManagementCommand
    activity: Activity
    properties: Mapping[str, object]

    def __getitem__(self, slot: str) -> Any:
        """What stood in a slot of the grammar."""
        return self.command.arguments[slot]

    def get(self, slot: str, default: Any = None) -> Any:
        """What stood in a slot that may be missing."""
        return self.command.arguments.get(slot, default)

    def has(self, flag: str) -> bool:
        """Whether an optional word stood there."""
        return bool(self.command.arguments.get(flag, False))

    def option(self, name: str, default: Any = None) -> Any:
        """A property of ``with (...)``, by its name in lower case."""
        return self.command.properties.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """A property of ``with (...)`` that is true or false."""
        value = self.command.properties.get(name, default)
        return value if isinstance(value, bool) else str(value).strip().lower() in ("true", "1")

    @property
    def named_database(self) -> Database:
        """The database that the command names, or the request's."""
        name = self.command.arguments.get("database")
        return self.engine.database(name) if isinstance(name, str) else self.database

    @property
    def snapshot(self) -> Snapshot:
        """What :attr:`named_database` holds now."""
        return self.named_database.snapshot()

    @property
    def context(self) -> ChangeContext:
        """What the journal says of the change."""
        return self.engine.context(self.command.text, self.activity.client_id)


@dataclass(frozen=True)
class Command:
    """A row of the table.

    Attributes:
        name: the grammar's.
        schema: of the result; None where the result says it.
        run: gives rows of Python values, or whole results.
        permission: what the principal needs.
        writes: whether it changes a database (a follower or a read-only request refuses it then).
        journalled: whether the change stands in the journal.
        can_be_async: whether ``async`` is meant: the answer is an operation's id.
    """

    name: str
    schema: Schema | None
    run: Callable[[Request], Iterable[Row] | Sequence[ResultTable]]
    permission: Permission
    writes: bool
    journalled: bool
    can_be_async: bool


_TABLE: dict[str, Command] = {}
_FAMILIES = (
    "service",
    "databases",
    "schemas_shown",
    "tables",
    "columns",
    "ingestion",
    "mappings",
    "extents",
    "extent_changes",
    "policies",
    "functions",
    "principals",
    "monitoring",
    "scripts",
    "deletion",
    "absent",
)


def command(
    *names: str,
    schema: Schema | None,
    permission: Permission = "viewer",
    writes: bool = False,
    journalled: bool | None = None,
    can_be_async: bool = False,
) -> Callable[[Callable[[Request], Any]], Callable[[Request], Any]]:
    """Register the function under these names of the grammar."""

    def register(run: Callable[[Request], Any]) -> Callable[[Request], Any]:
        for name in names:
            if name in _TABLE:
                raise AssertionError(f"the command '{name}' is registered twice")
            _TABLE[name] = Command(
                name,
                schema,
                run,
                permission,
                writes,
                writes if journalled is None else journalled,
                can_be_async,
            )
        return run

    return register


def commands() -> Mapping[str, Command]:
    """All rows, by name."""
    for family in _FAMILIES:
        importlib.import_module(f"spark_kusto.engine.commands.{family}")
    return _TABLE


def rows_to_table(columns: Sequence[Column], rows: Iterable[Row]) -> pa.Table:
    """Rows of Python values as a result in storage form (guids as text)."""
    import pyarrow

    schema = storage_text_schema(columns)
    collected = list(rows)
    arrays = []
    for place, (column, field) in enumerate(zip(columns, schema, strict=True)):
        convert = _WRITERS.get(column.type)
        values = [row[place] for row in collected]
        if convert is not None:
            values = [convert(value) for value in values]
        arrays.append(pyarrow.array(values, field.type))
    return pyarrow.Table.from_arrays(arrays, schema=schema)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _guid(value: Any) -> str | None:
    return None if value is None else str(value)


def _datetime(value: Any) -> Any:
    import datetime as dt

    if value is not None and value.tzinfo is not None:
        return value.astimezone(dt.timezone.utc).replace(tzinfo=None)
    return value


def _ticks(value: Any) -> int | None:
    from spark_kusto.types.text import ticks_of_timedelta

    return None if value is None else ticks_of_timedelta(value)


def _json(value: Any) -> str | None:
    from spark_kusto.types.json_text import dumps

    return None if value is None else dumps(value)


def _real(value: Any) -> float | None:
    return None if value is None else float(value)


_WRITERS: dict[KustoType, Callable[[Any], Any]] = {
    KustoType.STRING: _text,
    KustoType.GUID: _guid,
    KustoType.DATETIME: _datetime,
    KustoType.TIMESPAN: _ticks,
    KustoType.DYNAMIC: _json,
    KustoType.REAL: _real,
}


def not_found(kind: str, name: str, where: str, candidates: Iterable[str]) -> EntityNotFoundError:
    """The error for an entity that is not there."""
    return EntityNotFoundError(kind=kind, name=name, container=where, candidates=candidates)
