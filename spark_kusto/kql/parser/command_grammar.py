"""The management commands: a name for each, what the engine dispatches on, and their patterns.

`COMMANDS` are rows of name and pattern (the notation is explained in `command_patterns`), tried
in order; several patterns may have one name. `TAILS` says what follows `<|`; a command that is
not in it takes none.

Sources: the reference's management pages, and the grammar that the public language service
declares for the engine's commands. Commands of that grammar which are about the service's own
machinery, and are in no page, have no rows.
"""

from __future__ import annotations

from spark_kusto.kql.parser.command_rows_admin import ADMIN_COMMANDS
from spark_kusto.kql.parser.command_rows_data import DATA_COMMANDS
from spark_kusto.kql.parser.command_rows_schema import SCHEMA_COMMANDS

COMMANDS: tuple[tuple[str, str], ...] = (
    *SCHEMA_COMMANDS,
    *DATA_COMMANDS,
    *ADMIN_COMMANDS,
    # Behind every command of one word more: `extents` may be a database's name, and seldom is.
    ("show database", "show database [ <database> ] @with"),
)

TAILS: dict[str, str] = {
    "append": "query",
    "alter extent tags": "query",
    "alter-merge extent tags": "query",
    "alter cluster policy request_classification": "query",
    "alter-merge cluster policy request_classification": "query",
    "create-or-alter continuous-export": "query",
    "delete materialized-view records": "query",
    "delete table records": "query",
    "drop extent tags by query": "query",
    "drop extents by query": "query",
    "drop-pretend extents by query": "query",
    "execute cluster script": "input",
    "execute database script": "input",
    "export to sql": "query",
    "export to storage": "query",
    "export to table": "query",
    "ingest inline into table": "input",
    "ingest-from-storage-queued into table": "query",
    "move extents by query": "query",
    "purge materialized-view records": "predicate",
    "purge table records": "predicate",
    "replace extents": "pair",
    "set": "query",
    "set stored_query_result": "query",
    "set-or-append": "query",
    "set-or-replace": "query",
    "set-or-replace stored_query_result": "query",
    "show queryplan": "query",
    "update table": "query",
}
"""What stands after `<|`: a `query` (or command), raw `input`, the `predicate` of a purge, or a
`pair` of queries in braces."""
