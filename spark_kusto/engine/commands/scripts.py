"""``.execute database script``: several commands in one request, one after another."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from spark_kusto import kql
from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.table import Request, Row, command
from spark_kusto.engine.operations import operation_name
from spark_kusto.errors import KustoError, OptionError
from spark_kusto.kql.parser.commands import split_script

_REFUSED = frozenset({"execute database script", "execute cluster script"})


@command(
    "execute database script",
    "execute cluster script",
    schema=schemas.SCRIPT_RESULT,
    permission="user",
    writes=True,
)
def execute_script(request: Request) -> Iterator[Row]:
    """Commands are not one transaction: each takes effect by itself, as in Kusto."""
    go_on = request.flag("continueonerrors")
    throw = request.flag("throwonerrors")
    script = split_script(request.command.input or "")
    if not script:
        raise OptionError(
            "The script has no commands.", remedy="Write them after '<|', each on its own line."
        )
    failed: KustoError | None = None
    rows: list[Row] = []
    for text in script:
        kind = ""
        try:
            if failed is not None and not go_on:
                rows.append((str(uuid.uuid4()), kind, text, "Skipped", "A command before it failed."))
                continue
            parsed = kql.parse_command(text)
            kind = operation_name(parsed.name)
            if parsed.name in _REFUSED:
                raise OptionError("A script cannot run another script.", remedy="Write its commands out.")
            request.engine.commanding.run(request.database, parsed, request.activity, request.properties)
            rows.append((str(uuid.uuid4()), kind, text, "Completed", ""))
        except KustoError as error:
            failed = failed or error
            rows.append((str(uuid.uuid4()), kind, text, "Failed", str(error)))
    if failed is not None and throw:
        raise failed
    yield from rows
