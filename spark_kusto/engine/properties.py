"""How to ingest, as callers and ``with (...)`` clauses say it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from spark_kusto.errors import OptionError, nearest


@dataclass(frozen=True)
class IngestProperties:
    """How to ingest, with the meaning of Kusto's ingestion properties.

    Attributes:
        tags: extent tags as full text (``drop-by:x``, ``ingest-by:y``, anything else).
        ingest_if_not_exists: skip the ingestion if the table has an extent tagged
            ``ingest-by:<value>`` for any of these values.
        creation_time: creation time of the extents (retention and caching go by it).
        mapping: an ingestion mapping as JSON text.
        mapping_name: the name of a stored one.
        mapping_kind: csv, json, parquet, avro, orc, w3clogfile, azmonstream.
        format: the data's format where it is not told by a file's ending.
        ignore_first_record: skip the header line of csv-like data.
        flush_immediately: queued data is not held back by the batching policy.
        maximum_errors_allowed: values that may fail to convert (and become null) before the ingestion
            fails, and lines that may be no JSON (and are left out); None for the default: none for typed
            data, any number of values for text formats, as in Kusto.
        extend_schema: new columns of the source are added to the table's end.
        recreate_schema: with overwrite, the table takes the source's schema.
        folder: of a table that is created; ``docstring`` likewise.
        zip_pattern: a shell pattern for the members of zip archives.
        gz_as_is: read ``.gz`` files as if they were not compressed.
        distributed: accepted; this engine needs no hint.
        file_bytes: size of a staged file before compression; of one request in the mode ``streaming``.
        timeout: how long the commit may wait for others.
        request_id: what the client request ids of its commands begin with.
    """

    tags: tuple[str, ...] = ()
    ingest_if_not_exists: tuple[str, ...] = ()
    creation_time: dt.datetime | None = None
    mapping: str | None = None
    mapping_name: str | None = None
    mapping_kind: str | None = None
    format: str | None = None
    ignore_first_record: bool = False
    flush_immediately: bool = False
    maximum_errors_allowed: int | None = None
    extend_schema: bool = False
    recreate_schema: bool = False
    folder: str = ""
    docstring: str = ""
    zip_pattern: str | None = None
    gz_as_is: bool = False
    distributed: bool = False
    file_bytes: int | None = None
    timeout: dt.timedelta | None = None
    request_id: str = ""

    def __post_init__(self) -> None:
        if self.maximum_errors_allowed is not None and self.maximum_errors_allowed < 0:
            raise OptionError("'maximumErrorsAllowed' is negative.", remedy="Give 0 or more.")
        if self.mapping is not None and self.mapping_name is not None:
            raise OptionError(
                "Both a mapping and the name of a stored one are given.", remedy="Give one of them."
            )


@dataclass(frozen=True)
class Replace:
    """What an overwriting ingestion removes in the same commit as it adds.

    Attributes:
        all: every row of the table.
        tags: the extents that carry any of these tags.
        predicate: the rows this KQL expression holds for (``Day == datetime(2024-01-01)``).
    """

    all: bool = False
    tags: tuple[str, ...] = ()
    predicate: str | None = None

    def __post_init__(self) -> None:
        if sum((self.all, bool(self.tags), self.predicate is not None)) != 1:
            raise OptionError(
                "What to replace is given in several ways, or not at all.",
                remedy="Give one of: all=True, tags=(...), predicate='...'.",
            )


_NAMES = {
    "tags": "tags",
    "ingestifnotexists": "ingest_if_not_exists",
    "creationtime": "creation_time",
    "ingestionmapping": "mapping",
    "mapping": "mapping",
    "csvmapping": "mapping",
    "jsonmapping": "mapping",
    "ingestionmappingreference": "mapping_name",
    "mappingreference": "mapping_name",
    "csvmappingreference": "mapping_name",
    "jsonmappingreference": "mapping_name",
    "ingestionmappingtype": "mapping_kind",
    "ingestionmappingkind": "mapping_kind",
    "format": "format",
    "ignorefirstrecord": "ignore_first_record",
    "flushimmediately": "flush_immediately",
    "maximumerrorsallowed": "maximum_errors_allowed",
    "extend_schema": "extend_schema",
    "extendschema": "extend_schema",
    "recreate_schema": "recreate_schema",
    "recreateschema": "recreate_schema",
    "folder": "folder",
    "docstring": "docstring",
    "zippattern": "zip_pattern",
    "treatgzasuncompressed": "gz_as_is",
    "distributed": "distributed",
}
_WITHOUT_MEANING = frozenset(
    {
        "persistdetails",
        "policy_ingestiontime",
        "validationpolicy",
        "rawsizebytes",
        "serverretry",
        "kustodatabase",
    }
)
"""Properties of the service that change nothing here."""


def properties_from(given: Mapping[str, Any]) -> IngestProperties:
    """Ingestion properties from names in any spelling: Kusto's, or those of :class:`IngestProperties`.

    Raises:
        OptionError: a name is unknown (the nearest is offered) or a value is of the wrong kind.
    """
    own = {field.name: field.name for field in fields(IngestProperties)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        folded = key.lower()
        if folded in _WITHOUT_MEANING:
            continue
        name = _NAMES.get(folded) or own.get(folded)
        if name is None:
            close = nearest(folded, [*_NAMES, *own])
            raise OptionError(
                f"'{key}' is not an ingestion property.",
                remedy=f"Did you mean '{close}'?" if close else f"Known are {', '.join(sorted(_NAMES))}.",
            )
        values[name] = _converted(key, name, value)
        if folded.startswith(("csvmapping", "jsonmapping")):
            values.setdefault("mapping_kind", folded.partition("mapping")[0])
    return IngestProperties(**values)


def _converted(key: str, name: str, value: Any) -> Any:
    if name in ("tags", "ingest_if_not_exists"):
        return _texts(key, value)
    if name == "creation_time":
        return _moment(key, value)
    if name == "timeout":
        return value if value is None or isinstance(value, dt.timedelta) else _seconds(key, value)
    if name in ("maximum_errors_allowed", "file_bytes"):
        if value is None:
            return None
        try:
            return int(value)
        except (TypeError, ValueError):
            raise OptionError(f"'{key}' is {value!r}.", remedy="Give a whole number.") from None
    if name in (
        "ignore_first_record",
        "flush_immediately",
        "extend_schema",
        "recreate_schema",
        "gz_as_is",
        "distributed",
    ):
        return _flag(key, value)
    if value is None:
        return "" if name in ("folder", "docstring", "request_id") else None
    if name == "mapping" and not isinstance(value, str):
        return json.dumps(value)
    return str(value)


def _seconds(key: str, value: Any) -> dt.timedelta:
    try:
        return dt.timedelta(seconds=float(value))
    except (TypeError, ValueError):
        raise OptionError(f"'{key}' is {value!r}.", remedy="Give a number of seconds.") from None


def _flag(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "1"):
        return True
    if text in ("false", "0", ""):
        return False
    raise OptionError(f"'{key}' is {value!r}.", remedy="Give true or false.")


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return ()
        if not text.startswith("["):
            return (text,)
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise OptionError(
                f"'{key}' is not a JSON array: {error.msg}.", remedy='Write \'["a", "b"]\'.'
            ) from error
    if isinstance(value, Iterable) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise OptionError(f"'{key}' is not a list of texts.", remedy='Write \'["a", "b"]\'.')


def _moment(key: str, value: Any) -> dt.datetime | None:
    if value is None or value == "":
        return None
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=dt.timezone.utc)
    from spark_kusto.types.text import parse_datetime

    moment = parse_datetime(str(value))
    if moment is None:
        raise OptionError(f"'{key}' is {value!r}.", remedy="Give a datetime such as 2024-01-31T00:00:00Z.")
    return moment
