"""Tables of a remote cluster as a write needs them: columns, what fills them, and how they are made."""

from __future__ import annotations

from collections.abc import Sequence

from spark_kusto.client.remote.service import Service, rows_of
from spark_kusto.client.remote.staging import Filling
from spark_kusto.client.remote.texts import columns_text, name_literal, string_literal
from spark_kusto.engine import mappings
from spark_kusto.engine.properties import IngestProperties
from spark_kusto.errors import EntityNotFoundError, KustoError, SchemaMismatchError, UnsupportedError
from spark_kusto.types import Column
from spark_kusto.types.storing import can_store

__all__ = ["adjust_table", "fillings_of", "table_columns", "tags_of_extents"]


def table_columns(service: Service, database: str, table: str) -> tuple[Column, ...] | None:
    """A table's columns in order; None where there is no such table."""
    try:
        return service.columns(database, f"{name_literal(table)}\n| take 0")
    except KustoError as error:
        command = f".show tables | where TableName == {string_literal(table)} | project TableName"
        if rows_of(service.command(database, command)):
            raise
        reason = error
    # The name may be a function's or a view's, which the query found fault with for its own reason.
    if isinstance(reason, EntityNotFoundError) or reason.code.startswith(
        ("SEM", "General_BadRequest", "BadRequest")
    ):
        return None
    raise reason


def fillings_of(
    service: Service,
    database: str,
    table: str,
    known: Sequence[Column] | None,
    source: Sequence[Column],
    properties: IngestProperties,
) -> tuple[tuple[Filling, ...], tuple[Column, ...]]:
    """What fills which column, and the columns that the table is to get.

    Args:
        known: the table's columns; None where it is to be created.
        source: the data's.

    Raises:
        SchemaMismatchError: columns do not fit; all of them are named.
    """
    names = [column.name for column in source]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SchemaMismatchError(
            f"The data for table '{table}' has several columns named '{twice}'.",
            columns=[twice],
            remedy="Rename one of them.",
        )
    if not source:
        raise SchemaMismatchError(
            f"The data for table '{table}' has no columns.", remedy="Select at least one column."
        )
    present = {column.name: column for column in known or ()}
    wanted = _mapped(service, database, table, source, present, properties)
    if wanted is None:
        wanted = [Filling(present.get(c.name, c), c.name) for c in source]
    given = {column.name: column for column in source}
    problems: list[str] = []
    wrong: list[str] = []
    added: list[Column] = []
    for filling in wanted:
        column = filling.column
        if known is not None and column.name not in present:
            if properties.extend_schema:
                added.append(column)
            else:
                problems.append(f"column '{column.name}' ({column.type.value}) is not in the table")
                wrong.append(column.name)
        elif filling.source is not None and not can_store(given[filling.source].type, column.type):
            problems.append(
                f"column '{filling.source}' is {given[filling.source].type.value} in the data and"
                f" {column.type.value} in the table"
            )
            wrong.append(filling.source)
    if problems:
        raise SchemaMismatchError(
            f"The data does not fit table '{table}': {'; '.join(problems)}.",
            columns=wrong,
            remedy="Cast, rename or drop these columns, or add new ones to the table "
            "(.alter-merge table, or let the ingestion extend the schema).",
        )
    order = {column.name: place for place, column in enumerate((*(known or ()), *added))}
    return tuple(sorted(wanted, key=lambda f: order.get(f.column.name, len(order)))), tuple(added)


def _mapped(
    service: Service,
    database: str,
    table: str,
    source: Sequence[Column],
    present: dict[str, Column],
    properties: IngestProperties,
) -> list[Filling] | None:
    """What a CSV mapping says, by ordinals of the data's columns."""
    text = properties.mapping
    if text is None and properties.mapping_name is not None:
        text = _stored_mapping(service, database, table, properties.mapping_name)
    if text is None:
        return None
    found = []
    for item in mappings.parse_mapping(text, properties.mapping_kind or "csv"):
        if item.transform:
            raise UnsupportedError(
                f"The mapping's transformation '{item.transform}' of column '{item.column}' means nothing for"
                " typed data.",
                feature=item.transform,
                remedy="Compute the column in Spark.",
            )
        if item.constant is None and (item.ordinal is None or item.ordinal >= len(source)):
            raise SchemaMismatchError(
                f"The mapping takes column '{item.column}' from ordinal {item.ordinal}, and the data has "
                f"{len(source)} columns.",
                columns=[item.column],
                remedy="Ordinals count from 0.",
            )
        origin = None if item.constant is not None or item.ordinal is None else source[item.ordinal]
        kind = item.type or (origin.type if origin is not None else None)
        target = present.get(item.column)
        if target is None:
            target = Column(item.column, kind) if kind is not None else Column(item.column, source[0].type)
        found.append(Filling(target, None if origin is None else origin.name, item.constant))
    return found


def _stored_mapping(service: Service, database: str, table: str, name: str) -> str:
    rows = rows_of(service.command(database, f".show table {name_literal(table)} ingestion csv mappings"))
    for row in rows:
        if row.get("Name") == name:
            return str(row.get("Mapping"))
    raise EntityNotFoundError(
        kind="Ingestion mapping (csv)",
        name=name,
        container=f"table '{table}'",
        candidates=[str(row.get("Name")) for row in rows],
    )


def adjust_table(
    service: Service,
    database: str,
    table: str,
    columns: Sequence[Column],
    *,
    missing: bool,
    added: Sequence[Column],
    properties: IngestProperties,
) -> None:
    """Create a table that is missing, or add columns to it; both do nothing the second time."""
    if missing:
        options = [
            f"{name}={string_literal(value)}"
            for name, value in (("folder", properties.folder), ("docstring", properties.docstring))
            if value
        ]
        tail = f" with ({', '.join(options)})" if options else ""
        service.command(
            database,
            f".create table {name_literal(table)} ({columns_text(columns)}){tail}",
            step=f"create table '{table}'",
            repeatable=True,
        )
    elif added:
        service.command(
            database,
            f".alter-merge table {name_literal(table)} ({columns_text(added)})",
            step=f"add columns to table '{table}'",
            repeatable=True,
        )


def tags_of_extents(service: Service, database: str, table: str, prefix: str) -> set[str]:
    """The tags of a table's extents that begin with a text."""
    command = (
        f".show table {name_literal(table)} extents"
        f" | where Tags contains {string_literal(prefix)} | project Tags"
    )
    found: set[str] = set()
    for row in rows_of(service.command(database, command)):
        found.update(tag for tag in str(row.get("Tags") or "").split("\r\n") if tag.startswith(prefix))
    return found
