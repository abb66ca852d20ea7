"""Policies: show, alter, delete, on clusters, databases, tables and columns."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

from spark_kusto.engine import policies
from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.columns import split_path
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.policies import KIND, Policy, policy_named, stored_text, timespan_json
from spark_kusto.errors import OptionError, UnsupportedError
from spark_kusto.storage import Database, EntityChange, TableSnapshot


class _Target:
    """An entity that has policies: its name in results, and where they are stored."""

    def __init__(self, request: Request, entity_type: str, name: Any) -> None:
        self.type = entity_type
        self.database: Database | None = None
        self.table: TableSnapshot | None = None
        self.owner = ""
        self.column = ""
        if entity_type == "cluster":
            self.title, self.label = "", "Cluster"
            self.store: Any = request.engine.root
            return
        if entity_type == "database":
            self.database = request.engine.database(name) if name else request.database
            self.title, self.label = f"[{self.database.name}]", "Database"
        elif entity_type == "column":
            self.database, table, self.column = split_path(request, name)
            self.table = self.database.snapshot().table(table)
            self.table.column(self.column)
            self.owner = self.table.id
            self.title, self.label = f"[{self.database.name}].[{table}].[{self.column}]", "Column"
        elif entity_type in ("table", "materialized-view"):
            self.database = request.named_database
            self.table = self.database.snapshot().table(str(name))
            self.owner = self.table.id
            self.title = f"[{self.database.name}].[{self.table.name}]"
            self.label = "Table" if entity_type == "table" else "MaterializedView"
        else:
            raise UnsupportedError(
                f"Policies of a {entity_type} are not offered.", feature=f"{entity_type} policies"
            )
        self.store = self.database

    def stored(self, policy: Policy) -> Any:
        """The entity's own policy, or None."""
        found = self.store.entities(KIND + policy.name, self.owner, self.column)
        return found[0].value if found else None

    def in_force(self, policy: Policy) -> Any:
        """What applies: its own, or what a table inherits from its database."""
        own = self.stored(policy)
        if own is None and self.table is not None and not self.column:
            assert self.database is not None
            return policies.effective(self.database, policy.name, self.table.id)
        if own is None:
            return policy.default
        if isinstance(own, dict) and isinstance(policy.default, dict):
            return {**policy.default, **own}
        return own

    def children(self) -> list[str]:
        """Names of the entities below."""
        if self.type == "database" and self.database is not None:
            return sorted(t.name for t in self.database.snapshot().tables.values() if not t.hidden)
        return []

    def row(self, policy: Policy, value: Any) -> Row:
        """A row of the result."""
        children = json.dumps(self.children(), ensure_ascii=False, separators=(",", ":"))
        return (policy.title, self.title, stored_text(value), children, self.label)


def _targets(request: Request) -> list[_Target]:
    entity_type = request["entity_type"]
    given = request.get("entity")
    if given == "*" and entity_type in ("table", "materialized-view"):
        tables = request.named_database.snapshot().tables.values()
        return [_Target(request, "table", table.name) for table in tables if not table.hidden]
    if given == "*" and entity_type == "database":
        return [_Target(request, "database", name) for name in request.engine.root.database_names()]
    if given == "*" and entity_type == "column":
        return [
            _Target(request, "column", (table.name, column.name))
            for table in request.named_database.snapshot().tables.values()
            for column in table.columns
        ]
    if entity_type in ("tables", "materialized-views"):
        return [_Target(request, "table", name) for name in given]
    return [_Target(request, entity_type, given)]


def _policy(request: Request) -> Policy:
    policy = policy_named(request["policy"])
    entity_type = {"tables": "table", "materialized-views": "materialized-view"}.get(
        request["entity_type"], request["entity_type"]
    )
    if entity_type not in policy.entities and not (entity_type == "database" and policy.name == "update"):
        raise OptionError(
            f"A {entity_type} has no {policy.name} policy.",
            remedy=f"It belongs to: {', '.join(policy.entities)}.",
        )
    return policy


@command("show policy", schema=schemas.POLICY)
def show_policy(request: Request) -> Iterator[Row]:
    policy = _policy(request)
    for target in _targets(request):
        yield target.row(policy, target.in_force(policy))


@command("alter policy", "alter-merge policy", schema=schemas.POLICY, permission="admin", writes=True)
def alter_policy(request: Request) -> Iterator[Row]:
    policy = _policy(request)
    merging = request.command.name.startswith("alter-merge")
    for target in _targets(request):
        known = target.stored(policy)
        value = _value(request, policy)
        if merging and isinstance(known, dict) and isinstance(value, dict):
            value = {**known, **value}
        checked = policy.check(value)
        target.store.change_entities(
            [EntityChange(KIND + policy.name, target.owner, target.column, checked)],
            event="ALTER-POLICY",
            entity=target.title or "cluster",
            before=stored_text(known),
            after=stored_text(checked),
            context=request.context,
        )
        yield target.row(policy, target.in_force(policy))


@command("delete policy", schema=schemas.POLICY, permission="admin", writes=True)
def delete_policy(request: Request) -> Iterator[Row]:
    policy = _policy(request)
    for target in _targets(request):
        known = target.stored(policy)
        if known is not None:
            target.store.change_entities(
                [EntityChange(KIND + policy.name, target.owner, target.column, None)],
                event="DELETE-POLICY",
                entity=target.title or "cluster",
                before=stored_text(known),
                context=request.context,
            )
        yield target.row(policy, target.in_force(policy))


# -- values, in the several forms that policies have ----------------------------------------------------


def _value(request: Request, policy: Policy) -> Any:
    if policy.name == "row_level_security":
        return _row_level_security(request)
    if request.get("state") is not None:
        return {"IsEnabled": request["state"] == "enable"}
    settings = request.get("settings")
    if settings is not None:
        return _settings(policy, settings)
    value = request.get("value")
    if policy.name == "roworder" and isinstance(value, tuple):
        return [{"ColumnName": name, "Order": order} for name, order in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    if isinstance(value, str):
        return _json(policy, value)
    if request.command.properties and policy.name != "row_level_security":
        return {key: _plain(item) for key, item in request.command.properties.items()}
    raise OptionError(
        f"No value is given for the {policy.name} policy.", remedy="Write it as JSON: '{\"...\": ...}'."
    )


def _json(policy: Policy, text: str) -> Any:
    if policy.name == "auto_delete" or text.lstrip()[:1] in '[{n"':
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise OptionError(
                f"The {policy.name} policy is not JSON: {error.msg} at character {error.pos}.",
                remedy="Check quotes and braces.",
            ) from error
    raise OptionError(
        f"{text!r} is no value of the {policy.name} policy.", remedy="Write it as JSON: '{\"...\": ...}'."
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dt.timedelta):
        return timespan_json(value.total_seconds())
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return value


def _settings(policy: Policy, settings: dict[str, Any]) -> Any:
    """``hot = 7d``, ``softdelete = 7d recoverability = disabled``, ``type = 'identifier'``."""
    given = {key.lower(): value for key, value in settings.items()}
    if policy.name == "caching":
        return _caching(given)
    if policy.name == "retention":
        value: dict[str, Any] = {}
        if "softdelete" in given:
            value["SoftDeletePeriod"] = given["softdelete"]
        if "recoverability" in given:
            value["Recoverability"] = str(given["recoverability"])
        return value
    if policy.name == "encoding":
        return {"EncodingPolicyType": given.get("type")}
    return {key: _plain(value) for key, value in settings.items()}


def _caching(given: dict[str, Any]) -> Any:
    data = given.get("hotdata", given.get("hot"))
    index = given.get("hotindex", given.get("hot", data))
    if data is None:
        raise OptionError("The caching policy says no period.", remedy="Write hot = 7d.")
    value: dict[str, Any] = {
        "DataHotSpan": {"Value": _hot(data)},
        "IndexHotSpan": {"Value": _hot(index)},
    }
    windows = given.get("hot_window")
    if windows:
        value["HotWindows"] = [{"MinValue": _plain(start), "MaxValue": _plain(end)} for start, end in windows]
    return value


def _hot(span: Any) -> str:
    if not isinstance(span, dt.timedelta):
        raise OptionError(f"'{span}' is no period of time.", remedy="Write hot = 7d.")
    days = span.days
    text = timespan_json(span.total_seconds())
    return text if days else f"0.{text}"


def _row_level_security(request: Request) -> Any:
    query = request.get("value")
    if not isinstance(query, str):
        raise OptionError(
            "The row level security policy needs a query.", remedy='Write enable "MyFunction()".'
        )
    enabled = request.get("state", "enable") == "enable"
    if enabled:
        # What does not bind would hide the whole table.
        request.engine.querying.compile(request.named_database.name, query)
    return {"IsEnabled": enabled, "Query": query}
