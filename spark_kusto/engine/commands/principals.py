"""Principals and their roles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spark_kusto.engine.catalog import FUNCTION
from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.schemas import schema
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.principals import KIND, assignments, check_fqn, check_role, principal_row
from spark_kusto.errors import EntityNotFoundError, UnsupportedError
from spark_kusto.storage import Database, Entity, EntityChange


class _Holder:
    """The entity whose principals a command is about, and where its roles are stored."""

    def __init__(self, request: Request) -> None:
        self.type = request.get("entity_type", "database")
        self.database: Database | None = None
        name = request.get("entity")
        if self.type == "cluster":
            self.name, self.owner = request.engine.address, ""
        elif self.type == "database":
            self.database = request.engine.database(name) if name else request.database
            self.name, self.owner = self.database.name, ""
        else:
            self.database = request.named_database
            self.name = str(name)
            self.owner = self._owner(self.database)
        self._store: Any = request.engine.root if self.database is None else self.database

    def _owner(self, database: Database) -> str:
        if self.type in ("table", "materialized-view"):
            return database.snapshot().table(self.name).id
        if self.type == "function":
            if database.entity(FUNCTION, self.name) is None:
                raise EntityNotFoundError(
                    kind="Function",
                    name=self.name,
                    container=f"database '{database.name}'",
                    candidates=[entity.name for entity in database.entities(FUNCTION)],
                )
            return f"function/{self.name}"
        raise UnsupportedError(f"Roles on a {self.type} are not offered.", feature=f"{self.type} principals")

    def entities(self) -> tuple[Entity, ...]:
        """Stored assignments."""
        found: tuple[Entity, ...] = self._store.entities(KIND, self.owner)
        return found

    def change(self, request: Request, changes: list[EntityChange]) -> None:
        """Store or remove assignments."""
        if changes:
            verb = request.command.name.split(" ", 1)[0].upper()
            self._store.change_entities(
                changes, event=f"{verb}-PRINCIPALS", entity=self.name, context=request.context
            )

    def rows(self, request: Request) -> Iterator[Row]:
        """All assignments; on databases and the cluster, whoever runs this process is one too."""
        found = list(assignments(self.entities()))
        for role, fqn, notes in found:
            yield principal_row(self.type, self.name, role, fqn, notes)
        local = request.engine.principal
        if self.type in ("database", "cluster") and not any(fqn == local for _, fqn, _ in found):
            role = "admins" if self.type == "database" else "alldatabasesadmins"
            yield principal_row(self.type, self.name, role, local, "opened this cluster in process")


@command("show principals", schema=schemas.PRINCIPAL)
def show_principals(request: Request) -> Iterator[Row]:
    yield from _Holder(request).rows(request)


@command(
    "add principals",
    "drop principals",
    "set principals",
    schema=schemas.PRINCIPAL,
    permission="admin",
    writes=True,
)
def change_principals(request: Request) -> Iterator[Row]:
    holder = _Holder(request)
    role = check_role(holder.type, request["role"])
    given = request["principals"]
    names = [] if given == "none" else [check_fqn(name) for name in given]
    verb = request.command.name.split(" ", 1)[0]
    known = {entity.name for entity in holder.entities() if entity.name.startswith(f"{role}|")}
    notes = {"notes": request.get("notes") or ""}
    wanted = [f"{role}|{name}" for name in names]
    changes = []
    if verb in ("drop", "set"):
        leaving = known if verb == "set" else set(wanted)
        changes += [
            EntityChange(KIND, holder.owner, name, None)
            for name in sorted(leaving - set(wanted if verb == "set" else ()))
        ]
    if verb in ("add", "set"):
        changes += [EntityChange(KIND, holder.owner, name, notes) for name in wanted]
    holder.change(request, changes)
    if not request.has("skip-results"):
        yield from holder.rows(request)


@command("show principal roles", schema=schemas.PRINCIPAL_ROLES)
def show_principal_roles(request: Request) -> Iterator[Row]:
    principal = request.get("principal")
    fqn = check_fqn(principal) if principal else request.engine.principal
    name = fqn.partition("=")[2].partition(";")[0]
    if fqn == request.engine.principal:
        yield ("Cluster", name, name, "AllDatabasesAdmin")
    for entity in request.engine.root.entities(KIND):
        role, _, holder = entity.name.partition("|")
        if holder == fqn:
            yield ("Cluster", name, name, role)
    for known in request.engine.root.database_names():
        database = request.engine.database(known)
        for entity in database.entities(KIND, ""):
            role, _, holder = entity.name.partition("|")
            if holder == fqn:
                yield (f"Database {database.name}", name, name, role)


@command("show principal access", schema=schema("Scope, AccessMode:string"))
def show_principal_access(_request: Request) -> Iterator[Row]:
    yield ("Cluster", "Admin")
