"""Two values that travel as JSON in options: ingestion properties and client request properties.

Both take the official library's names, in its argument order, and print themselves with
``toString()`` as its snippets expect.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from typing import Any

from spark_kusto.errors import OptionError, nearest

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def parse_instant(value: object, what: str) -> datetime:
    """An aware UTC datetime from a datetime, ISO text, or seconds since 1970.

    A zone-less value is UTC, as Kusto's are. Seconds are what Jackson prints for a Java Instant.

    Raises:
        OptionError: the value is none of these; ``what`` names where it came from.
    """
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return _EPOCH + timedelta(seconds=value)
    else:
        text = str(value).strip()
        if text.endswith(("Z", "z")):
            text = text[:-1] + "+00:00"
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise OptionError(
                f"{what} is '{value}', which is not a point in time.",
                remedy="Write it as ISO 8601, such as 2024-05-01T12:00:00Z.",
            ) from None
    if found.tzinfo is None:
        return found.replace(tzinfo=timezone.utc)
    return found.astimezone(timezone.utc)


def _texts(value: object, what: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise OptionError(f"{what} is {value!r}; it must be a list of texts.")


@dataclass(frozen=True)
class SparkIngestionProperties:
    """Ingestion properties of a write; arguments in the official library's order.

    Args:
        flushImmediately: queued data is not held back by the batching policy.
        dropByTags: extent tags, stored as ``drop-by:<tag>``.
        ingestByTags: extent tags, stored as ``ingest-by:<tag>``.
        additionalTags: extent tags, stored as they are.
        ingestIfNotExists: skip the write if the table has an extent tagged ``ingest-by:`` with
            one of these.
        creationTime: creation time of the extents: a datetime, ISO text, or seconds since 1970.
        csvMapping: a CSV ingestion mapping (JSON text); ordinals count the DataFrame's columns.
        csvMappingNameReference: name of a CSV mapping stored with the table.
        maximumErrorsAllowed: rows that may fail to convert (not in the official library).

    Raises:
        OptionError: an argument has the wrong form, or both mappings are given.
    """

    flushImmediately: bool = False
    dropByTags: tuple[str, ...] = ()
    ingestByTags: tuple[str, ...] = ()
    additionalTags: tuple[str, ...] = ()
    ingestIfNotExists: tuple[str, ...] = ()
    creationTime: datetime | None = None
    csvMapping: str | None = None
    csvMappingNameReference: str | None = None
    maximumErrorsAllowed: int = 0

    def __post_init__(self) -> None:
        for name in ("dropByTags", "ingestByTags", "additionalTags", "ingestIfNotExists"):
            object.__setattr__(self, name, _texts(getattr(self, name), name))
        if self.creationTime is not None:
            instant = parse_instant(self.creationTime, "creationTime")
            object.__setattr__(self, "creationTime", instant)
        if not isinstance(self.flushImmediately, bool):
            raise OptionError(f"flushImmediately is {self.flushImmediately!r}; it must be a bool.")
        errors = self.maximumErrorsAllowed
        if not isinstance(errors, int) or isinstance(errors, bool) or errors < 0:
            raise OptionError(f"maximumErrorsAllowed is {errors!r}; it must be 0 or more.")
        if self.csvMapping and self.csvMappingNameReference:
            raise OptionError(
                "csvMapping and csvMappingNameReference are both given.", remedy="Use one of them."
            )

    @property
    def tags(self) -> tuple[str, ...]:
        """All extent tags as full text."""
        return (
            *(f"drop-by:{tag}" for tag in self.dropByTags),
            *(f"ingest-by:{tag}" for tag in self.ingestByTags),
            *self.additionalTags,
        )

    @classmethod
    def from_json(cls, text: str) -> SparkIngestionProperties:
        """The properties that a JSON object gives; names are matched in any case.

        Raises:
            OptionError: not a JSON object, or an unknown name in it.
        """
        given = json_object(text, "sparkIngestionPropertiesJson")
        known = {f.name.lower(): f.name for f in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in given.items():
            name = known.get(key.lower())
            if name is None:
                close = nearest(key, known.values())
                raise OptionError(
                    f"sparkIngestionPropertiesJson has '{key}', which is not an ingestion property.",
                    remedy=f"Did you mean '{close}'?" if close else f"Known: {', '.join(known.values())}.",
                )
            if value is not None:
                values[name] = value
        if isinstance(values.get("csvMapping"), list):
            values["csvMapping"] = json.dumps(values["csvMapping"])
        return cls(**values)

    def to_json(self) -> str:
        """The JSON for the option ``sparkIngestionPropertiesJson``."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, datetime):
                out[f.name] = value.isoformat().replace("+00:00", "Z")
            elif isinstance(value, tuple):
                out[f.name] = list(value) or None
            else:
                out[f.name] = value
        return json.dumps(out)

    def toString(self) -> str:
        """The same as :meth:`to_json`."""
        return self.to_json()


@dataclass
class ClientRequestProperties:
    """Client request properties: options of the request and values of query parameters.

    The Kusto documentation lists them ("Request properties"): ``servertimeout``,
    ``notruncation``, ``truncationmaxrecords``, ``query_language`` ...
    """

    options: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def set_option(self, name: str, value: object) -> None:
        """Set a request option."""
        self.options[name] = value

    def set_parameter(self, name: str, value: object) -> None:
        """Set the value of a query parameter."""
        self.parameters[name] = value

    def setOption(self, name: str, value: object) -> None:
        """The same as :meth:`set_option`."""
        self.set_option(name, value)

    def setParameter(self, name: str, value: object) -> None:
        """The same as :meth:`set_parameter`."""
        self.set_parameter(name, value)

    @classmethod
    def from_json(cls, text: str) -> ClientRequestProperties:
        """From the JSON of the official SDKs, ``{"Options": {...}, "Parameters": {...}}``.

        Raises:
            OptionError: not a JSON object, or something else than these two in it.
        """
        given = json_object(text, "clientRequestPropertiesJson")
        out = cls()
        for key, value in given.items():
            if key.lower() not in ("options", "parameters", "clientrequestid", "application", "user"):
                raise OptionError(
                    f"clientRequestPropertiesJson has '{key}'.",
                    remedy='It holds "Options" and "Parameters".',
                )
            if key.lower() in ("options", "parameters"):
                if not isinstance(value, Mapping):
                    raise OptionError(f"clientRequestPropertiesJson: '{key}' is not a JSON object.")
                getattr(out, key.lower()).update(value)
        return out

    def to_json(self) -> str:
        """The JSON for the option ``clientRequestPropertiesJson``."""
        return json.dumps({"Options": self.options, "Parameters": self.parameters}, default=str)

    def toString(self) -> str:
        """The same as :meth:`to_json`."""
        return self.to_json()


def json_object(text: str, what: str) -> dict[str, Any]:
    """A JSON object from text.

    Raises:
        OptionError: it is not JSON, or not an object; ``what`` names the option.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise OptionError(f"{what} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise OptionError(f"{what} must be a JSON object, not {type(value).__name__}.")
    return value


def text_list(text: str, what: str) -> tuple[str, ...]:
    """A list option's items: a JSON list of texts, or text separated by commas."""
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            items = json.loads(stripped)
        except ValueError:
            # Not JSON: a bracketed column name, say ['a b'], is an item like any other.
            items = None
        if isinstance(items, list):
            return _texts(items, what)
    return tuple(_split(stripped))


def _split(text: str) -> Iterable[str]:
    return (item.strip() for item in text.split(",") if item.strip())
