"""Commands that answer for what an embedded cluster does not have."""

from __future__ import annotations

from collections.abc import Iterator

from spark_kusto.engine.commands import schemas
from spark_kusto.engine.commands.table import Request, Row, command


@command("show materialized-views", schema=schemas.MATERIALIZED_VIEW)
def show_materialized_views(_request: Request) -> Iterator[Row]:
    """Connectors ask which views depend on a table before they move extents into it: none do."""
    return iter(())


@command(
    "show external tables",
    schema=schemas.schema(
        "TableName, TableType, Folder, DocString, Properties:string, ConnectionStrings,"
        " Partitions:dynamic, PathFormat:string"
    ),
)
def show_external_tables(_request: Request) -> Iterator[Row]:
    return iter(())


@command("show entity_groups", schema=schemas.schema("Name, Entities:string"))
def show_entity_groups(_request: Request) -> Iterator[Row]:
    return iter(())


@command("show stored_query_results", schema=schemas.schema(
    "StoredQueryResultId:guid, Name, DatabaseName, PrincipalIdentity:string, SizeInBytes, RowCount:long,"
    " CreatedOn, ExpiresOn:datetime"))  # fmt: skip
def show_stored_query_results(_request: Request) -> Iterator[Row]:
    return iter(())


@command("show follower database", "show follower databases", schema=schemas.schema(
    "DatabaseName, LeaderClusterMetadataPath, CachingPolicyOverride, AuthorizedPrincipalsOverride,"
    " AuthorizedPrincipalsModificationKind:string, IsAutoPrefetchEnabled:bool, TableMetadataOverrides,"
    " CachingPoliciesModificationKind:string"))  # fmt: skip
def show_follower_databases(_request: Request) -> Iterator[Row]:
    return iter(())
