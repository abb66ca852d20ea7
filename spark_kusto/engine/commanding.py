"""Running management commands: parse, check, dispatch, and what follows ``|`` and ``;``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto import kql
from spark_kusto.engine.activity import Activity
from spark_kusto.engine.commands.schemas import OPERATION_ID
from spark_kusto.engine.commands.table import Command, Request, commands, rows_to_table
from spark_kusto.engine.limits import COMMAND_SECONDS, request_limits
from spark_kusto.engine.running import QueryRun, ResultTable
from spark_kusto.errors import OptionError, UnsupportedError
from spark_kusto.kql import syntax

if TYPE_CHECKING:
    from spark_kusto.engine.engine import Engine
    from spark_kusto.storage import Database

RESULTS = "$command_results"
"""The name by which statements after a command read its result."""


class Commanding:
    """Runs management commands for an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def execute(
        self,
        database: Database,
        text: str,
        *,
        properties: Mapping[str, object] | None = None,
        client_id: str | None = None,
        application: str = "",
    ) -> QueryRun:
        """Run a command given as text.

        Raises:
            KqlSyntaxError: it does not parse.
            UnsupportedError: it is a command of the service that an embedded cluster does not offer.
        """
        engine = self._engine
        parsed = kql.parse_command(text)
        activity = engine.activities.begin(
            parsed.name,
            text,
            database.name,
            client_id=client_id,
            principal=engine.principal,
            user=engine.principal,
            application=application,
            properties=properties,
        )
        try:
            results = self.run(database, parsed, activity, properties or {})
        except BaseException as error:
            activity.finish(error)
            raise
        activity.finish()
        return QueryRun(tuple(results), activity)

    def run(
        self,
        database: Database,
        parsed: syntax.ManagementCommand,
        activity: Activity,
        properties: Mapping[str, object],
    ) -> Sequence[ResultTable]:
        """Run a parsed command, with the query that is piped after it."""
        limits = request_limits(properties, seconds=COMMAND_SECONDS)
        activity.limit(limits.seconds)
        row = self.row(parsed)
        if row.writes and limits.read_only:
            raise OptionError(
                f"'.{parsed.name}' changes the database, and the request is read-only.",
                remedy="Send it without the request property 'request_readonly'.",
            )
        request = Request(self._engine, database, parsed, activity, properties)
        if parsed.is_async:
            if not row.can_be_async:
                raise OptionError(f"'.{parsed.name}' has no async form.", remedy="Leave out 'async'.")
            operation = self._engine.operations.start(row, request)
            results: Sequence[ResultTable] = [
                ResultTable.of("Table_0", OPERATION_ID, rows_to_table(OPERATION_ID, [(operation,)]))
            ]
        else:
            results = self.results(row, request)
        if parsed.pipe:
            tree = _piped(parsed.pipe)
            results = self._query(database, tree, results[0], activity, properties)
        if parsed.then:
            results = self._query(
                database, syntax.Query(parsed.then, parsed.text), results[0], activity, properties
            )
        return results

    def row(self, parsed: syntax.ManagementCommand) -> Command:
        """The command's row.

        Raises:
            UnsupportedError: there is none: the command exists, and is not offered here.
        """
        found = commands().get(parsed.name)
        if found is None:
            raise UnsupportedError(
                f"The command '.{parsed.name}' is not offered by an embedded cluster.",
                feature=f".{parsed.name}",
                remedy="docs/commands.md lists those that are.",
            )
        return found

    def results(self, row: Command, request: Request) -> Sequence[ResultTable]:
        """The results of a command alone, without what follows it."""
        answer: Any = row.run(request)
        if row.schema is None:
            return list(answer)
        table = rows_to_table(row.schema, answer)
        return [ResultTable.of("Table_0", row.schema, table)]

    def _query(
        self,
        database: Database,
        tree: syntax.Query,
        source: ResultTable,
        activity: Activity,
        properties: Mapping[str, object],
    ) -> Sequence[ResultTable]:
        catalog = self._engine.querying.catalog()
        catalog.define(RESULTS, source.columns, source.table())
        run = self._engine.querying.run(
            database.name,
            tree,
            parameters=None,
            properties=properties,
            activity=activity,
            catalog=catalog,
        )
        for result in run.results:
            result.table()
        run.close()
        return run.results

    def source_rows(self, request: Request, source: Any, needed: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of the query or ``.show`` command after ``<|``, by column name.

        Raises:
            OptionError: a needed column is missing.
        """
        results = self.source_results(request, source)
        table = results.table()
        missing = [name for name in needed if name not in table.column_names]
        if missing:
            raise OptionError(
                f"The query after '<|' gives no column '{missing[0]}'.",
                remedy=f"It must give {', '.join(needed)}; columns are {', '.join(table.column_names)}.",
            )
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def source_results(self, request: Request, source: Any) -> ResultTable:
        """The first result of the query or ``.show`` command after ``<|``."""
        if isinstance(source, syntax.ManagementCommand):
            row = self.row(source)
            if row.writes:
                raise OptionError(
                    f"'.{source.name}' cannot stand after '<|': it changes the database.",
                    remedy="Use a query or a .show command.",
                )
            return self.run(request.database, source, request.activity, request.properties)[0]
        run = self._engine.querying.run(
            request.database.name,
            source,
            parameters=None,
            properties=request.properties,
            activity=request.activity,
            limits=request_limits({**request.properties, "notruncation": True}, seconds=COMMAND_SECONDS),
        )
        run.primary.table()
        run.close()
        return run.primary


def _piped(operators: tuple[syntax.Operator, ...]) -> syntax.Query:
    pipe = syntax.Pipe(syntax.Name(RESULTS), operators)
    return syntax.Query((syntax.ExpressionStatement(pipe),), "")
