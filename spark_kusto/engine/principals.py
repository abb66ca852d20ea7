"""Principals: who holds which role where, and their names.

A fully qualified name is ``aaduser=upn;tenant``, ``aadgroup=…``, ``aadapp=appid;tenant``; an embedded
cluster opened in process acts as ``localuser=name@host``, who administers everything.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import OptionError

if TYPE_CHECKING:
    from spark_kusto.engine.engine import Engine
    from spark_kusto.storage import Database, Entity, TableSnapshot

KIND = "principal"
"""Kind of the entities that are role assignments; their name is ``role|fqn``."""

_FQN = re.compile(r"^(aaduser|aadgroup|aadapp|localuser|dstsuser|msauser)=(.+)$", re.IGNORECASE)
_TYPES = {
    "aaduser": "Microsoft Entra user",
    "aadgroup": "Microsoft Entra group",
    "aadapp": "Microsoft Entra app",
    "msauser": "Microsoft account user",
    "localuser": "Local user",
    "dstsuser": "dSTS user",
}
_ROLE_TITLES = {
    "admins": "Admin",
    "ingestors": "Ingestor",
    "monitors": "Monitor",
    "unrestrictedviewers": "Unrestricted Viewer",
    "users": "User",
    "viewers": "Viewer",
    "alldatabasesadmins": "AllDatabasesAdmin",
    "alldatabasesviewers": "AllDatabasesViewer",
    "alldatabasesmonitors": "AllDatabasesMonitor",
}
_ENTITY_ROLES = {
    "database": ("admins", "ingestors", "monitors", "unrestrictedviewers", "users", "viewers"),
    "table": ("admins", "ingestors"),
    "function": ("admins",),
    "materialized-view": ("admins",),
    "external table": ("admins",),
    "cluster": ("alldatabasesadmins", "alldatabasesviewers", "alldatabasesmonitors", "admins", "viewers"),
}


def check_fqn(text: str) -> str:
    """A fully qualified name, its kind in lower case.

    Raises:
        OptionError: it is none.
    """
    match = _FQN.match(text.strip())
    if match is None:
        raise OptionError(
            f"'{text}' is not a principal's fully qualified name.",
            remedy="Write aaduser=name@example.com, aadgroup=id;tenant or aadapp=id;tenant.",
        )
    return f"{match.group(1).lower()}={match.group(2)}"


def check_role(entity_type: str, role: str) -> str:
    """A role that the kind of entity has.

    Raises:
        OptionError: it has no such role.
    """
    allowed = _ENTITY_ROLES.get(entity_type, ())
    if role not in allowed:
        raise OptionError(
            f"A {entity_type} has no role '{role}'.", remedy=f"It has {', '.join(allowed) or 'none'}."
        )
    return role


def role_title(entity_type: str, entity: str, role: str) -> str:
    """The text of a role: ``Database D Admin``."""
    if entity_type == "cluster":
        return _ROLE_TITLES[role]
    kind = {"materialized-view": "MaterializedView", "external table": "ExternalTable"}.get(
        entity_type, entity_type.capitalize()
    )
    return f"{kind} {entity} {_ROLE_TITLES[role]}"


def principal_row(entity_type: str, entity: str, role: str, fqn: str, notes: str) -> Sequence[Any]:
    """A row of ``.show … principals``."""
    kind, _, rest = fqn.partition("=")
    name = rest.partition(";")[0]
    assignment = uuid.uuid5(uuid.NAMESPACE_URL, f"{entity_type}/{entity}/{role}/{fqn}")
    return (
        role_title(entity_type, entity, role),
        _TYPES.get(kind.lower(), kind),
        name,
        name,
        fqn,
        notes,
        str(assignment),
    )


def assignments(entities: Sequence[Entity]) -> Iterator[tuple[str, str, str]]:
    """Role, fully qualified name and notes of stored assignments."""
    for entity in entities:
        role, _, fqn = entity.name.partition("|")
        yield role, fqn, str(entity.value.get("notes", ""))


def authorized_json(engine: Engine, database: Database, table: TableSnapshot | None) -> str:
    """The ``AuthorizedPrincipals`` of details."""
    found = [*assignments(database.entities(KIND, ""))]
    if table is not None:
        found += assignments(database.entities(KIND, table.id))
    shown = [
        {
            "Type": _TYPES.get(fqn.partition("=")[0].lower(), ""),
            "DisplayName": fqn.partition("=")[2].partition(";")[0],
            "FQN": fqn,
            "Role": role,
            "Notes": notes,
        }
        for role, fqn, notes in found
    ]
    if not shown:
        shown = [
            {
                "Type": _TYPES["localuser"],
                "DisplayName": engine.principal.partition("=")[2],
                "FQN": engine.principal,
                "Role": "admins",
                "Notes": "",
            }
        ]
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
