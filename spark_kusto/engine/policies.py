"""Policies: what is stored for an entity, what is in force for a table, and the defaults.

JSON forms and defaults are those of the Kusto documentation's policy pages.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_kusto.engine.limits import timespan_seconds
from spark_kusto.errors import OptionError, UnsupportedError, nearest

if TYPE_CHECKING:
    from spark_kusto.storage import Database, Entity, TableSnapshot

KIND = "policy/"
"""Prefix of the kinds of entities that are policies."""


@dataclass(frozen=True)
class Policy:
    """A kind of policy.

    Attributes:
        name: the keyword, lower case.
        title: the ``PolicyName`` of results.
        entities: entity types that may have one.
        default: value of an entity that has none anywhere, or None.
        inherited: whether a table without one takes the database's, and that the cluster's.
        check: raises OptionError for a value that makes no sense; returns the value to store.
    """

    name: str
    title: str
    entities: tuple[str, ...]
    default: Any = None
    inherited: bool = True
    check: Callable[[Any], Any] = field(default=lambda value: value)


def timespan_json(seconds: float) -> str:
    """Seconds as the timespan text of policies, ``[d.]hh:mm:ss``."""
    from spark_kusto.types.text import timespan_text

    return timespan_text(round(seconds * 10_000_000))


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OptionError(f"The {name} policy is a JSON object.", remedy="Write '{\"...\": ...}'.")
    return value


def _timespan(name: str, key: str, value: Any) -> str:
    seconds = timespan_seconds(value)
    if seconds is None:
        raise OptionError(
            f"'{key}' of the {name} policy is {value!r}, which is no timespan.",
            remedy="Write days.hh:mm:ss, such as 7.00:00:00.",
        )
    return timespan_json(seconds)


def _retention(value: Any) -> Any:
    given = _keys("retention", _object("retention", value), ("SoftDeletePeriod", "Recoverability"))
    if "SoftDeletePeriod" in given:
        given["SoftDeletePeriod"] = _timespan("retention", "SoftDeletePeriod", given["SoftDeletePeriod"])
    recoverability = given.get("Recoverability", "Enabled")
    if str(recoverability).lower() not in ("enabled", "disabled"):
        raise OptionError(f"'Recoverability' is {recoverability!r}.", remedy="It is 'Enabled' or 'Disabled'.")
    return {**given, "Recoverability": str(recoverability).capitalize()}


_BATCHING = {
    "MaximumBatchingTimeSpan": (10.0, 1800.0),
    "MaximumNumberOfItems": (1, 25_000),
    "MaximumRawDataSizeMB": (100, 4096),
}


def _batching(value: Any) -> Any:
    given = _keys("ingestionbatching", _object("ingestionbatching", value), tuple(_BATCHING))
    for key, (low, high) in _BATCHING.items():
        if key not in given:
            continue
        number = timespan_seconds(given[key]) if key.endswith("TimeSpan") else _number(given[key])
        if number is None or not low <= number <= high:
            bounds = (
                f"{timespan_json(low)} to {timespan_json(high)}"
                if key.endswith("TimeSpan")
                else f"{low} to {high}"
            )
            raise OptionError(
                f"'{key}' of the ingestionbatching policy is {given[key]!r}.", remedy=f"It may be {bounds}."
            )
        given[key] = timespan_json(number) if key.endswith("TimeSpan") else int(number)
    return given


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _keys(name: str, given: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """The object with its keys in the policy's own spelling; unknown ones are refused."""
    folded = {key.lower(): key for key in known}
    result: dict[str, Any] = {}
    for key, value in given.items():
        own = folded.get(key.lower())
        if own is None:
            close = nearest(key, known)
            raise OptionError(
                f"The {name} policy has no '{key}'.",
                remedy=f"Did you mean '{close}'?" if close else f"It has {', '.join(known)}.",
            )
        result[own] = value
    return result


_MERGE_KEYS = (
    "RowCountUpperBoundForMerge",
    "OriginalSizeMBUpperBoundForMerge",
    "MaxExtentsToMerge",
    "LoopPeriod",
    "MaxRangeInHours",
    "AllowRebuild",
    "AllowMerge",
    "Lookback",
    "Origin",
)


def _merge(value: Any) -> Any:
    given = _keys("merge", _object("merge", value), _MERGE_KEYS)
    for key in (
        "RowCountUpperBoundForMerge",
        "OriginalSizeMBUpperBoundForMerge",
        "MaxExtentsToMerge",
        "MaxRangeInHours",
    ):
        if key in given and ((number := _number(given[key])) is None or number < 0):
            raise OptionError(f"'{key}' of the merge policy is {given[key]!r}.", remedy="Give a number.")
    return given


def _switch(name: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, bool):
            return {"IsEnabled": value}
        given = _object(name, value)
        return {
            "IsEnabled": bool(given.get("IsEnabled", given.get("isenabled", True))),
            **{key: item for key, item in given.items() if key.lower() != "isenabled"},
        }

    return check


def _streaming(value: Any) -> Any:
    checked = _switch("streamingingestion")(value)
    return {"HintAllocatedRate": None, **checked}


def _update(value: Any) -> Any:
    entries = value if isinstance(value, list) else [value]
    checked = []
    for entry in entries:
        given = _object("update", entry)
        if not given.get("Query") or not given.get("Source"):
            raise OptionError("An update policy needs 'Source' and 'Query'.", remedy="Give both.")
        checked.append(
            {
                "IsEnabled": True,
                "Source": "",
                "SourceIsWildCard": False,
                "Query": "",
                "IsTransactional": False,
                "PropagateIngestionProperties": False,
                "ManagedIdentity": None,
                **given,
            }
        )
    return checked


_TABLE = ("table", "database", "materialized-view", "external table")
_ALL = (*_TABLE, "cluster")

POLICIES: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy("caching", "CachingPolicy", _ALL),
        Policy(
            "retention",
            "RetentionPolicy",
            _TABLE,
            {"SoftDeletePeriod": "365000.00:00:00", "Recoverability": "Enabled"},
            check=_retention,
        ),
        Policy(
            "ingestiontime",
            "IngestionTimePolicy",
            _TABLE,
            {"IsEnabled": True},
            check=_switch("ingestiontime"),
        ),
        Policy(
            "ingestionbatching",
            "IngestionBatchingPolicy",
            _TABLE,
            {
                "MaximumBatchingTimeSpan": "00:05:00",
                "MaximumNumberOfItems": 500,
                "MaximumRawDataSizeMB": 1024,
            },
            check=_batching,
        ),
        Policy("streamingingestion", "StreamingIngestionPolicy", _ALL, check=_streaming),
        Policy("update", "UpdatePolicy", ("table",), inherited=False, check=_update),
        Policy(
            "merge",
            "MergePolicy",
            _TABLE,
            {
                "RowCountUpperBoundForMerge": 16_000_000,
                "OriginalSizeMBUpperBoundForMerge": 30_000,
                "MaxExtentsToMerge": 100,
                "MaxRangeInHours": 24,
                "AllowRebuild": True,
                "AllowMerge": True,
                "Lookback": {"Kind": "Default", "CustomPeriod": None},
            },
            check=_merge,
        ),
        Policy(
            "sharding",
            "ShardingPolicy",
            _ALL,
            {
                "MaxRowCount": 1_048_576,
                "MaxExtentSizeInMb": 8192,
                "MaxOriginalSizeInMb": 3072,
                "UseShardEngine": True,
                "ShardEngineMaxRowCount": 1_048_576,
            },
        ),
        Policy(
            "restricted_view_access",
            "RestrictedViewAccessPolicy",
            _TABLE,
            check=_switch("restricted_view_access"),
        ),
        Policy("row_level_security", "RowLevelSecurityPolicy", _TABLE, inherited=False),
        Policy("auto_delete", "AutoDeletePolicy", _TABLE, inherited=False),
        Policy("partitioning", "PartitioningPolicy", _TABLE, inherited=False),
        Policy("roworder", "RowOrderPolicy", _TABLE, inherited=False),
        Policy("encoding", "EncodingPolicy", (*_ALL, "column")),
        Policy("extent_tags_retention", "ExtentTagsRetentionPolicy", _TABLE),
        Policy("capacity", "CapacityPolicy", ("cluster",)),
        Policy("callout", "CalloutPolicy", ("cluster",)),
        Policy("managed_identity", "ManagedIdentityPolicy", ("cluster", "database")),
        Policy("request_classification", "RequestClassificationPolicy", ("cluster",)),
        Policy("multidatabaseadmins", "MultiDatabaseAdminsPolicy", ("cluster",)),
        Policy("query_weak_consistency", "QueryWeakConsistencyPolicy", ("cluster",)),
        Policy("sandbox", "SandboxPolicy", ("cluster",)),
    )
}
_REFUSED = frozenset({"mirroring", "row_store", "query_acceleration"})


def policy_named(name: str) -> Policy:
    """The policy of that keyword.

    Raises:
        UnsupportedError: it exists, and is not offered.
        OptionError: there is none; the nearest is offered.
    """
    key = name.lower()
    if key in _REFUSED:
        raise UnsupportedError(f"The policy '{key}' is not offered by an embedded cluster.", feature=key)
    found = POLICIES.get(key)
    if found is None:
        close = nearest(key, POLICIES)
        raise OptionError(
            f"'{name}' is not a policy.",
            remedy=f"Did you mean '{close}'?" if close else f"The policies are {', '.join(POLICIES)}.",
        )
    return found


def stored(database: Database, policy: str, owner: str) -> Any:
    """What is stored for a table (its id) or a database (an empty owner); None if nothing is."""
    entity = database.entity(KIND + policy, "", owner)
    return None if entity is None else entity.value


def effective(database: Database, policy: str, table_id: str | None) -> Any:
    """What is in force: the table's own, else the database's, else the default."""
    known = POLICIES[policy]
    own = stored(database, policy, table_id) if table_id is not None else None
    if own is None and known.inherited:
        own = stored(database, policy, "")
    if own is None:
        return known.default
    if isinstance(own, dict) and isinstance(known.default, dict):
        return {**known.default, **own}
    return own


def stored_text(value: Any) -> str:
    """A policy as results print it; ``null`` without one."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def all_stored(database: Database) -> Mapping[tuple[str, str], Any]:
    """Every stored policy of a database's entities by keyword and owner."""
    entities: tuple[Entity, ...] = database.entities(KIND)
    return {(entity.kind[len(KIND) :], entity.owner): entity.value for entity in entities}


def period(value: Any, default: dt.timedelta) -> dt.timedelta:
    """A timespan of a policy."""
    seconds = timespan_seconds(value) if value is not None else None
    return default if seconds is None else dt.timedelta(seconds=seconds)


def ingestion_time_on(database: Database, table: TableSnapshot) -> bool:
    """Whether rows of the table have an ingestion time."""
    value = effective(database, "ingestiontime", table.id)
    return not (isinstance(value, dict) and value.get("IsEnabled") is False)
