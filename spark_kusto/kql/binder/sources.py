"""Tabular expressions: names, calls, and operators that make rows by themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_kusto.kql import registry, syntax
from spark_kusto.kql.binder import calls
from spark_kusto.kql.binder.context import (
    Environment,
    FunctionValue,
    PatternValue,
    Relation,
    ScalarValue,
    ScopeValue,
    TableValue,
)
from spark_kusto.kql.catalog import TableSchema
from spark_kusto.kql.plan import Column, Literal, ScanNode
from spark_kusto.kql.registry import SpecialRow
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

SOURCE_CALLS = frozenset(
    {
        "database",
        "cluster",
        "table",
        "materialize",
        "materialized_view",
        "external_table",
        "view",
    }
)
"""Functions that give tables or name databases."""


def is_tabular(
    binder: Binder,
    node: syntax.Node,
    environment: Environment,
    columns: Collection[str] | Mapping[str, object],
) -> bool:
    """Whether an expression is a table, given the columns that names may mean instead."""
    match node:
        case syntax.Pipe():
            if node.operators or isinstance(node.source, syntax.Operator):
                return True
            return is_tabular(binder, node.source, environment, columns)
        case syntax.Name():
            if node.name in columns:
                return False
            value = environment.get(node.name)
            if value is None:
                return find_table(binder, node.name) is not None or _returns_table(
                    binder, calls.stored_function(binder, node.name)
                )
            if isinstance(value, FunctionValue):
                return _returns_table(binder, value)
            return isinstance(value, TableValue | ScopeValue)
        case syntax.Call():
            value = environment.get(node.name)
            if isinstance(value, FunctionValue):
                return _returns_table(binder, value)
            if node.name in SOURCE_CALLS or isinstance(value, PatternValue):
                return True
            if node.name in registry.scalars():
                return False
            return _returns_table(binder, calls.stored_function(binder, node.name))
        case syntax.Member():
            member = node.member
            if isinstance(node.base, syntax.Call) and node.base.name in ("database", "cluster"):
                if isinstance(member, syntax.Call) and member.name not in SOURCE_CALLS:
                    database = database_of(binder, node.base, environment)
                    return _returns_table(binder, calls.stored_function(binder, member.name, database))
                return True
            if isinstance(node.base, syntax.Member):
                return is_tabular(binder, node.base, environment, columns)
            if isinstance(node.base, syntax.Name):
                return isinstance(environment.get(node.base.name), ScopeValue)
            return isinstance(node.base, syntax.Call) and isinstance(
                environment.get(node.base.name), PatternValue
            )
        case syntax.DataScope() | syntax.Operator():
            return True
        case syntax.Index():
            quoted = quoted_member(node)
            return quoted is not None and is_tabular(binder, quoted, environment, columns)
    return False


def quoted_member(node: syntax.Index) -> syntax.Member | None:
    """``database("d").["a table"]`` as a member; None if the index is no text or stands on a column."""
    index = node.index
    if not isinstance(index, syntax.Literal) or not isinstance(index.value, str):
        return None
    if not isinstance(node.base, syntax.Call | syntax.Member | syntax.Name):
        return None
    return syntax.Member(node.base, syntax.Name(index.value, span=index.span), span=node.span)


def _returns_table(binder: Binder, value: FunctionValue | None) -> bool:
    """Whether a function's body is a table."""
    if value is None:
        return False
    function = value.function
    if function.view:
        return True
    inner = Environment(value.environment)
    for parameter in function.parameters:
        if parameter.type.is_tabular:
            inner.set(parameter.name, _SOME_TABLE)
        else:
            inner.set(parameter.name, _SOME_SCALAR)
    for statement in function.statements:
        if isinstance(statement, syntax.Let):
            if isinstance(statement.value, syntax.Function):
                inner.set(
                    statement.name.name,
                    FunctionValue(statement.name.name, statement.value, inner, value.database, value.text),
                )
            else:
                tabular = is_tabular(binder, statement.value, inner, ())
                inner.set(statement.name.name, _SOME_TABLE if tabular else _SOME_SCALAR)
    return function.body is not None and is_tabular(binder, function.body, inner, ())


_SOME_SCALAR = ScalarValue(Literal(KustoType.LONG, value=None))
_SOME_TABLE = ScopeValue("")


def bind_relation(
    binder: Binder, node: syntax.Expression | syntax.Operator, environment: Environment
) -> Relation:
    """A tabular expression."""
    match node:
        case syntax.Pipe():
            return binder.pipe(bind_relation(binder, node.source, environment), node.operators, environment)
        case syntax.Operator():
            from spark_kusto.kql.binder.tabular import make_source

            return make_source(binder, node, environment)
        case syntax.Name():
            return _named(binder, node, environment)
        case syntax.Call():
            return _called(binder, node, environment)
        case syntax.Member():
            return _dotted(binder, node, environment)
        case syntax.Index():
            member = quoted_member(node)
            if member is not None:
                return _dotted(binder, member, environment)
        case syntax.DataScope():
            return bind_relation(binder, node.source, environment)
        case syntax.NamedExpression():
            return bind_relation(binder, node.value, environment)
    raise binder.error("A tabular expression is expected here.", node, code="SEM0001")


def _named(binder: Binder, node: syntax.Name, environment: Environment) -> Relation:
    name = node.name
    value = environment.get(name)
    match value:
        case TableValue():
            return replace(binder.use(value), name=name)
        case FunctionValue():
            return replace(call_function(binder, value, syntax.Call(name), environment), name=name)
        case ScalarValue():
            raise binder.error(
                f"'{name}' is a scalar, but a tabular expression is expected here.",
                node,
                code="SEM0007",
            )
    table = find_table(binder, name)
    if table is not None:
        return scan(binder, table)
    stored = calls.stored_function(binder, name)
    if stored is not None:
        return replace(call_function(binder, stored, syntax.Call(name), environment), name=name)
    raise unknown_table(binder, node, name, binder.database, environment)


def unknown_table(
    binder: Binder, node: syntax.Node, name: str, database: str, environment: Environment | None
) -> Exception:
    """The error for a name that no table has."""
    catalog = binder.session.catalog
    # A table that 'restrict access' hides is as unknown as one that isn't there.
    candidates = [known for known in catalog.table_names(database) if binder.may_see(database, known)]
    candidates.extend(catalog.function_names(database))
    if environment is not None:
        candidates.extend(environment.names())
    return binder.error(
        f"Failed to resolve table or tabular function named '{name}' in database '{database}'.",
        node,
        code="SEM0100",
        name=name,
        candidates=[known for known in candidates if known != name],
    )


def find_table(binder: Binder, name: str, database: str | None = None) -> TableSchema | None:
    """A table of the catalog, unless ``restrict access`` hides it."""
    where = database or binder.database
    if not binder.may_see(where, name):
        return None
    return binder.session.catalog.table(where, name)


def scan(binder: Binder, table: TableSchema) -> Relation:
    """All rows of a table."""
    # Within its own query a table is itself: that is how row level security filters it.
    if table.query is not None and (table.database, table.name) not in binder.session.open_views:
        return _view(binder, table)
    columns = {column.name: binder.column(column.type) for column in table.columns}
    node = ScanNode(table.database, table.name, table.kind, columns, table.rows)
    return Relation(node, tuple(columns.items()), name=table.name)


def _view(binder: Binder, table: TableSchema) -> Relation:
    from spark_kusto.kql.binder.core import Binder as BinderClass
    from spark_kusto.kql.parser import parse

    assert table.query is not None
    query = parse(table.query)
    # Who may see the table need not see what its own query reads.
    inner = BinderClass(binder.session, table.query, table.database, unrestricted=True)
    from spark_kusto.kql.binder.statements import bind_statement

    environment = Environment()
    binder.session.depth += 1
    binder.session.open_views.add((table.database, table.name))
    try:
        for statement in query.statements[:-1]:
            bind_statement(inner, statement, environment)
        last = query.statements[-1]
        assert isinstance(last, syntax.ExpressionStatement)
        return replace(inner.relation(last.expression, environment), name=table.name)
    finally:
        binder.session.open_views.discard((table.database, table.name))
        binder.session.depth -= 1


def database_of(binder: Binder, node: syntax.Expression, environment: Environment) -> str:
    """The database that ``database("d")`` (or ``cluster("c").database("d")``) names."""
    from spark_kusto.kql.binder.context import Context

    if isinstance(node, syntax.Member) and isinstance(node.member, syntax.Call):
        # One cluster is all there is: its name is not looked at.
        return database_of(binder, node.member, environment)
    if isinstance(node, syntax.Name):
        value = environment.get(node.name)
        if isinstance(value, ScopeValue):
            return value.database
    if isinstance(node, syntax.Call) and node.name == "cluster":
        return binder.database
    if not isinstance(node, syntax.Call) or node.name != "database":
        raise binder.error("A database is expected here.", node)
    if not node.arguments:
        return binder.database
    argument = node.arguments[0]
    if isinstance(argument, syntax.Name) and not isinstance(environment.get(argument.name), ScalarValue):
        wanted = argument.name
    else:
        wanted = str(binder.constant(argument, Context(environment, {}), "The name of a database"))
    alias = environment.get(alias_key(wanted))
    if isinstance(alias, ScopeValue):
        return alias.database
    return _known_database(binder, wanted, node)


def alias_key(name: str) -> str:
    """Where ``alias database`` keeps its name: apart from those of tables and variables."""
    return f"$alias:{name.lower()}"


def _known_database(binder: Binder, wanted: str, node: syntax.Node) -> str:
    names = list(binder.session.catalog.database_names())
    for known in names:
        if known.lower() == wanted.lower():
            return known
    raise binder.error(f"There is no database '{wanted}'.", node, name=wanted, candidates=names)


def _dotted(binder: Binder, node: syntax.Member, environment: Environment) -> Relation:
    member = node.member
    if isinstance(node.base, syntax.Call):
        pattern = environment.get(node.base.name)
        if isinstance(pattern, PatternValue):
            from spark_kusto.kql.binder.patterns import bind_pattern

            return bind_pattern(binder, pattern, node.base, member, environment)
    database = database_of(binder, node.base, environment)
    if isinstance(member, syntax.Name):
        table = find_table(binder, member.name, database)
        if table is not None:
            return scan(binder, table)
        stored = calls.stored_function(binder, member.name, database)
        if stored is not None:
            call = syntax.Call(member.name, span=member.span)
            return replace(call_function(binder, stored, call, environment), name=member.name)
        raise unknown_table(binder, member, member.name, database, None)
    if isinstance(member, syntax.Call):
        if member.name in SOURCE_CALLS:
            return _source_call(binder, member, environment, database)
        stored = calls.stored_function(binder, member.name, database)
        if stored is None:
            raise unknown_table(binder, member, member.name, database, None)
        return call_function(binder, stored, member, environment)
    raise binder.error("Wildcards are allowed only in union, search and find.", node)


def _called(binder: Binder, node: syntax.Call, environment: Environment) -> Relation:
    value = environment.get(node.name)
    if isinstance(value, FunctionValue):
        return call_function(binder, value, node, environment)
    if isinstance(value, TableValue):
        return binder.use(value)
    if isinstance(value, PatternValue):
        from spark_kusto.kql.binder.patterns import bind_pattern

        return bind_pattern(binder, value, node, None, environment)
    if node.name in SOURCE_CALLS:
        return _source_call(binder, node, environment, binder.database)
    stored = calls.stored_function(binder, node.name)
    if stored is not None:
        return call_function(binder, stored, node, environment)
    row = registry.scalars().get(node.name)
    if row is not None:
        if isinstance(row, registry.RefusedRow):
            raise calls.refusal(row)
        raise binder.error(
            f"'{node.name}()' is a scalar, but a tabular expression is expected here.",
            node,
            code="SEM0007",
        )
    raise calls.unknown_function(binder, node, environment)


def call_function(
    binder: Binder,
    value: FunctionValue,
    node: syntax.Call,
    environment: Environment,
    first: Relation | None = None,
) -> Relation:
    """A call of a user-defined function that gives a table."""
    inner, inside = calls.enter(binder, value, node, environment, None, first)
    assert value.function.body is not None
    binder.session.depth += 1
    try:
        return inner.relation(value.function.body, inside)
    finally:
        binder.session.depth -= 1


def _source_call(binder: Binder, node: syntax.Call, environment: Environment, database: str) -> Relation:
    from spark_kusto.kql.binder.context import Context

    if not node.arguments:
        raise binder.error(f"{node.name}() needs an argument.", node, code="SEM0219")
    argument = node.arguments[0]
    if node.name == "materialize":
        relation = binder.relation(argument, environment)
        return binder.use(binder.share(relation, materialize=True))
    if node.name == "view":
        return binder.relation(argument, environment)
    if node.name in ("table", "materialized_view", "external_table"):
        if isinstance(argument, syntax.Name) and not isinstance(environment.get(argument.name), ScalarValue):
            name = argument.name
        else:
            context = Context(environment, {})
            name = str(binder.constant(argument, context, f"The argument of {node.name}()"))
        if node.name == "external_table":
            external = binder.session.catalog.external_table(database, name)
            if external is None or not binder.may_see(database, name):
                raise binder.error(f"There is no external table '{name}' in database '{database}'.", node)
            return scan(binder, external)
        local = environment.get(name)
        if isinstance(local, TableValue):
            return binder.use(local)
        found = find_table(binder, name, database)
        if found is not None:
            return scan(binder, found)
        stored = calls.stored_function(binder, name, database)
        if stored is not None:
            return call_function(binder, stored, syntax.Call(name), environment)
        raise unknown_table(binder, node, name, database, environment)
    if node.name in ("cluster", "database"):
        raise binder.error(f"{node.name}() is no table: name one after it.", node)
    row = registry.scalars().get(node.name)
    if isinstance(row, registry.RefusedRow):
        raise calls.refusal(row)
    if isinstance(row, SpecialRow):
        relation_of: Relation = row.bind(binder, node, environment)
        return relation_of
    raise binder.error(f"{node.name}() is not supported here.", node)


def empty_columns(binder: Binder, names: Mapping[str, KustoType]) -> tuple[tuple[str, Column], ...]:
    """New columns of these names and types."""
    return tuple((name, binder.column(kind)) for name, kind in names.items())
