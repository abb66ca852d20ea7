"""Result columns of every command: names, types and order, as the service has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spark_kusto import kql
from spark_kusto.client.embedded import EmbeddedCluster
from spark_kusto.client.result import Result
from spark_kusto.engine.commands.table import commands

DATABASE = "NetDefaultDB"

TABLE_ROW = "TableName:string DatabaseName:string Folder:string DocString:string"
TABLE_SCHEMA = "TableName:string Schema:string DatabaseName:string Folder:string DocString:string"
DROP_TABLE = "TableName:string DatabaseName:string"
TABLE_DETAILS = (
    "TableName:string DatabaseName:string Folder:string DocString:string TotalExtents:long"
    " TotalExtentSize:real TotalOriginalSize:real TotalRowCount:long HotExtents:long HotExtentSize:real"
    " HotOriginalSize:real HotRowCount:long AuthorizedPrincipals:string RetentionPolicy:string"
    " CachingPolicy:string ShardingPolicy:string MergePolicy:string StreamingIngestionPolicy:string"
    " IngestionBatchingPolicy:string MinExtentsCreationTime:datetime MaxExtentsCreationTime:datetime"
    " RowOrderPolicy:string TableId:guid"
)
COLUMN_CHANGE = "EntityName:string DataType:string Policy:string"
POLICY = "PolicyName:string EntityName:string Policy:string ChildEntities:string EntityType:string"
MAPPING = "Name:string Kind:string Mapping:string LastUpdatedOn:datetime Database:string Table:string"
DATABASE_MAPPING = "Name:string Kind:string Mapping:string LastUpdatedOn:datetime Database:string"
PRINCIPAL = (
    "Role:string PrincipalType:string PrincipalDisplayName:string PrincipalObjectId:string"
    " PrincipalFQN:string Notes:string RoleAssignmentIdentifier:string"
)
EXTENT = (
    "ExtentId:guid DatabaseName:string TableName:string MaxCreatedOn:datetime OriginalSize:real"
    " ExtentSize:real CompressedSize:real IndexSize:real Blocks:long Segments:long ExtentContainerId:string"
    " RowCount:long MinCreatedOn:datetime Tags:string Kind:string DeletedRowCount:long"
)
DROPPED = "ExtentId:guid TableName:string CreatedOn:datetime"
MOVED = "OriginalExtentId:string ResultExtentId:string Details:string"
MERGED = "OriginalExtentId:string ResultExtentId:string Duration:timespan"
TAGGED = "OriginalExtentId:string ResultExtentId:string ResultExtentTags:string Details:string"
FROM_QUERY = "ExtentId:guid OriginalSize:long ExtentSize:long ColumnSize:long IndexSize:long RowCount:long"
FUNCTION = "Name:string Parameters:string Body:string Folder:string DocString:string"
DATABASE_ROW = (
    "DatabaseName:string PersistentStorage:string Version:string IsCurrent:bool DatabaseAccessMode:string"
    " PrettyName:string ReservedSlot1:bool DatabaseId:guid InTransitionTo:string"
)
DATABASE_IDENTITY = DATABASE_ROW.replace("ReservedSlot1", "CurrentUserIsUnrestrictedViewer")
DATABASE_DETAILS = (
    "DatabaseName:string PersistentStorage:string Version:string IsCurrent:bool DatabaseAccessMode:string"
    " PrettyName:string AuthorizedPrincipals:string RetentionPolicy:string MergePolicy:string"
    " ReservedSlot1:bool CachingPolicy:string ShardingPolicy:string StreamingIngestionPolicy:string"
    " IngestionBatchingPolicy:string TotalSize:real DatabaseId:guid InTransitionTo:string"
)
DATABASE_POLICIES = (
    "DatabaseName:string PersistentStorage:string Version:string IsCurrent:bool DatabaseAccessMode:string"
    " PrettyName:string DatabaseId:guid AuthorizedPrincipals:string RetentionPolicy:string"
    " MergePolicy:string CachingPolicy:string ShardingPolicy:string StreamingIngestionPolicy:string"
    " IngestionBatchingPolicy:string"
)
DATABASE_SCHEMA = (
    "DatabaseName:string TableName:string ColumnName:string ColumnType:string IsDefaultTable:bool"
    " IsDefaultColumn:bool PrettyName:string Version:string Folder:string DocString:string"
)
ENTITY = (
    "DatabaseName:string EntityType:string EntityName:string DocString:string Folder:string"
    " CslInputSchema:string Content:string CslOutputSchema:string Properties:dynamic"
)
OPERATION = (
    "OperationId:guid Operation:string NodeId:string StartedOn:datetime LastUpdatedOn:datetime"
    " Duration:timespan State:string Status:string RootActivityId:guid ShouldRetry:bool Database:string"
    " Principal:string User:string AdminEpochStartTime:datetime VirtualCluster:string"
)
JOURNAL = (
    "Event:string EventTimestamp:datetime Database:string EntityName:string UpdatedEntityName:string"
    " EntityVersion:string EntityContainerName:string OriginalEntityState:string"
    " UpdatedEntityState:string ChangeCommand:string Principal:string RootActivityId:guid"
    " ClientRequestId:string User:string OriginalEntityVersion:string"
)
QUERY = (
    "ClientActivityId:string Text:string Database:string StartedOn:datetime LastUpdatedOn:datetime"
    " Duration:timespan State:string RootActivityId:guid User:string FailureReason:string"
    " TotalCpu:timespan CacheStatistics:dynamic Application:string MemoryPeak:long"
    " ScannedExtentsStatistics:dynamic Principal:string ClientRequestProperties:dynamic"
    " ResultSetStatistics:dynamic WorkloadGroup:string OverallQueryStats:string VirtualCluster:string"
)
RUNNING_QUERY = (
    QUERY.replace("ScannedExtentsStatistics", "ScannedEventStatistics")
    .replace(" Principal:", " Pricipal:")
    .removesuffix(" OverallQueryStats:string VirtualCluster:string")
)
PURGE = (
    "OperationId:guid DatabaseName:string TableName:string ScheduledTime:datetime Duration:timespan"
    " LastUpdatedOn:datetime EngineOperationId:guid State:string StateDetails:string"
    " EngineStartTime:datetime EngineDuration:timespan Retries:int ClientRequestId:string Principal:string"
)
DATA_STATS = (
    "DatabaseName:string PersistentStorage:string Version:string IsCurrent:bool DatabaseAccessMode:string"
    " PrettyName:string DatabaseId:guid OriginalSize:real ExtentSize:real CompressedSize:real"
    " IndexSize:real RowCount:long HotOriginalSize:real HotExtentSize:real HotCompressedSize:real"
    " HotIndexSize:real HotRowCount:long TotalExtents:long HotExtents:long"
)
DETACHED = "Table:string NumberOfRemovedExtents:string"
CACHE = "NodeId:string Status:string"

DEFINITION = '[{"column":"a","Properties":{"Ordinal":"0"}}]'

CASES: tuple[tuple[str, str], ...] = (
    (".show version", "BuildVersion:string BuildTime:datetime ServiceType:string ProductVersion:string"),
    (
        ".show cluster",
        (
            "NodeId:string Address:string Name:string StartTime:datetime IsAdmin:bool MachineTotalMemory:long"
            " MachineAvailableMemory:long ProcessorCount:int EnvironmentDescription:string"
        ),
    ),
    (
        ".show diagnostics",
        (
            "IsHealthy:bool EnvironmentDescription:string IsScaleOutRequired:bool MachinesTotal:int"
            " MachinesOffline:int NodeLastRestartedOn:datetime AdminLastElectedOn:datetime ExtentsTotal:int"
            " DiskColdAllocationPercentage:int InstancesTargetBasedOnDataCapacity:int"
            " TotalOriginalDataSize:real TotalExtentSize:real IngestionsLoadFactor:real"
            " IngestionsInProgress:long IngestionsSuccessRate:real MergesInProgress:long BuildVersion:string"
            " BuildTime:datetime ProductVersion:string ExportsLoadFactor:real ExportsInProgress:long"
            " PendingContinuousExports:long MaxContinuousExportLatenessMinutes:long"
        ),
    ),
    (".show capacity", "Resource:string Total:long Consumed:long Remaining:long Origin:string"),
    (".show plugins", "PluginName:string IsEnabled:bool"),
    (".show featureflags", "Name:string IsEnabled:bool"),
    (".show workload_groups", "WorkloadGroupName:string WorkloadGroup:string"),
    (".get kusto identity token", "AuthorizationContext:string"),
    (".clear table T cache streamingingestion schema", CACHE),
    (".clear database cache streamingingestion schema", CACHE),
    (".clear database cache query_results", CACHE),
    (".clear database cache query_weak_consistency", CACHE),
    (".clear cluster cache external-artifacts", CACHE),
    (".refresh database 'NetDefaultDB' table 'T' cache ingestionbatchingpolicy", CACHE),
    (".show databases", DATABASE_ROW),
    (".show cluster databases", DATABASE_ROW),
    (".show database", DATABASE_ROW),
    (".show databases identity", DATABASE_IDENTITY),
    (".show database identity", DATABASE_IDENTITY),
    (".show databases details", DATABASE_DETAILS),
    (".show database details", DATABASE_DETAILS),
    (".show databases policies", DATABASE_POLICIES),
    (".show database policies", DATABASE_POLICIES),
    (".show databases datastats", DATA_STATS),
    (".show database datastats", DATA_STATS),
    (
        ".create database Other",
        "DatabaseName:string PersistentPath:string Created:string StoresMetadata:bool StoresData:bool",
    ),
    (".alter database Other prettyname 'x'", "DatabaseName:string PrettyName:string"),
    (".drop database Other prettyname", "DatabaseName:string PrettyName:string"),
    (".drop database Other", DETACHED),
    (".detach database Other ifexists", DETACHED),
    (".set access NetDefaultDB to readwrite", "DatabaseName:string RequestedAccessMode:string Status:string"),
    (".show database schema", DATABASE_SCHEMA),
    (".show databases schema", DATABASE_SCHEMA),
    (".show schema", DATABASE_SCHEMA),
    (".show database schema as json", "DatabaseSchema:string"),
    (".show databases schema as json", "DatabaseSchema:string"),
    (".show database schema as csl script", "DatabaseSchemaScript:string"),
    (".show database cslschema", TABLE_SCHEMA),
    (".show databases entities", ENTITY),
    (".show database NetDefaultDB entity T", ENTITY),
    (
        ".show database schema violations",
        "EntityKind:string DatabaseName:string EntityName:string Property:string Reason:string",
    ),
    (
        ".execute database script <| .show version",
        "OperationId:guid CommandType:string CommandText:string Result:string Reason:string",
    ),
    (
        ".execute cluster script <| .show version",
        "OperationId:guid CommandType:string CommandText:string Result:string Reason:string",
    ),
    (".show tables", TABLE_ROW),
    (".show tables details", TABLE_DETAILS),
    (".show table T details", TABLE_DETAILS),
    (
        ".show table T",
        (
            "AttributeName:string AttributeType:string ExtentSize:long CompressionRatio:real IndexSize:long"
            " IndexSizePercent:real OriginalSize:long AttributeId:guid SharedIndexSize:long"
            " StorageEngineVersion:string"
        ),
    ),
    (".show table T cslschema", TABLE_SCHEMA),
    (".show table T schema as json", TABLE_SCHEMA),
    (
        ".show table T data statistics",
        (
            "ColumnName:string ColumnType:string ColumnId:guid OriginalSize:long ExtentSize:long"
            " CompressionRatio:real DataCompressionSize:long SharedIndexSize:long IndexSize:long"
            " IndexSizePercent:real StorageEngineVersion:string PresentRowCount:long DeletedRowCount:long"
            " SamplePercent:real IncludeColdData:bool"
        ),
    ),
    (".create table New (a:long)", TABLE_SCHEMA),
    (".create-merge table New (n:long)", TABLE_SCHEMA),
    (".create tables A (x:long), B (y:long)", TABLE_ROW),
    (".create-merge tables A (z:long)", TABLE_ROW),
    (".create table Like based-on T", TABLE_SCHEMA),
    (".create-merge table Like based-on New", TABLE_SCHEMA),
    (".alter table New (a:long)", TABLE_SCHEMA),
    (".alter-merge table New (c:string)", TABLE_SCHEMA),
    (".alter table New docstring 'x'", TABLE_SCHEMA),
    (".alter table New folder 'x'", TABLE_SCHEMA),
    (".alter table New column-docstrings (a:'x')", TABLE_SCHEMA),
    (".alter-merge table New column-docstrings (c:'x')", TABLE_SCHEMA),
    (".rename column New.c to d", COLUMN_CHANGE),
    (".rename columns c=New.d", COLUMN_CHANGE),
    (".alter column New.c type=long", COLUMN_CHANGE),
    (".drop column New.c", TABLE_SCHEMA),
    (".drop table Like columns (b)", TABLE_SCHEMA),
    (".rename table New to Newer", TABLE_ROW),
    (".rename tables New=Newer", TABLE_ROW),
    (".drop table New", DROP_TABLE),
    (".drop tables (A, B)", DROP_TABLE),
    (".clear table Like data", "Status:string"),
    (".ingest inline into table T <| 1,a", "ExtentId:guid"),
    (
        ".ingest into table T ('FILE')",
        "ExtentId:guid ItemLoaded:string Duration:timespan HasErrors:bool OperationId:guid",
    ),
    (".set Made <| print a=1", FROM_QUERY),
    (".append Made <| print a=1", FROM_QUERY),
    (".set-or-append Made <| print a=1", FROM_QUERY),
    (".set-or-replace Made <| print a=1", FROM_QUERY),
    (".set-or-append async Made <| print a=1", "OperationId:guid"),
    (
        ".show ingestion failures",
        (
            "OperationId:guid Database:string Table:string FailedOn:datetime IngestionSourcePath:string"
            " Details:string FailureKind:string RootActivityId:guid OperationKind:string"
            " OriginatesFromUpdatePolicy:bool ErrorCode:string Principal:string ShouldRetry:bool User:string"
            " IngestionProperties:string"
        ),
    ),
    (
        ".show streamingingestion failures",
        (
            "Database:string Table:string Principal:string RootActivityId:guid IngestionProperties:dynamic"
            " Count:long FirstFailureOn:datetime LastFailureOn:datetime FailureKind:string ErrorCode:string"
            " Details:string"
        ),
    ),
    (
        ".show streamingingestion statistics",
        (
            "Database:string Table:string StartTime:datetime EndTime:datetime Count:long MinDuration:timespan"
            " MaxDuration:timespan AvgDuration:timespan TotalDataSize:long MinDataSize:long MaxDataSize:long"
            " TotalRowCount:long MinRowCount:long MaxRowCount:long IngestionStatus:string"
            " NumOfRowStoresReferences:int Principal:string NodeId:string IngestionProperties:string"
        ),
    ),
    (
        ".show queued ingestion operations 'OPERATION'",
        (
            "IngestionOperationId:string Started:datetime LastUpdated:datetime State:string Discovered:long"
            " InProgress:long Ingested:long Failed:long Canceled:long SampleFailedReasons:dynamic"
            " Database:string Table:string"
        ),
    ),
    *(
        (
            f".{verb} {owner} ingestion csv mapping 'm' '{DEFINITION}'",
            columns,
        )
        for owner, columns in (("table T", MAPPING), ("database NetDefaultDB", DATABASE_MAPPING))
        for verb in ("create", "create-or-alter", "alter", "alter-merge")
    ),
    (".show table T ingestion mappings", MAPPING),
    (".show table T ingestion csv mapping 'm'", MAPPING),
    (".show database ingestion mappings", DATABASE_MAPPING),
    (".show database ingestion csv mapping 'm'", DATABASE_MAPPING),
    (".show ingestion mappings", MAPPING),
    (".drop table T ingestion csv mapping 'm'", MAPPING),
    (".drop database NetDefaultDB ingestion csv mapping 'm'", DATABASE_MAPPING),
    (".show table T extents", EXTENT),
    (".show cluster extents", EXTENT),
    (
        ".show database extents partitioning statistics",
        "TableName:string PartitioningPolicy:string TotalRowCount:long PartitionedRowCount:long",
    ),
    (
        ".show database extent tags statistics",
        (
            "TableName:string TotalExtentsCount:long TaggedExtentsCount:long TotalTagsCount:long"
            " TotalTagsLength:long DropByTagsCount:long DropByTagsLength:long IngestByTagsCount:long"
            " IngestByTagsLength:long"
        ),
    ),
    (".alter table T extent tags ('x') <| .show table T extents", TAGGED),
    (".alter-merge table T extent tags ('y') <| .show table T extents", TAGGED),
    (".drop table T extent tags ('y')", TAGGED),
    (".drop table T extent tags <| .show table T extents", TAGGED),
    (".merge T (EXTENTS)", MERGED),
    (".move extents all from table Made to table Made2", MOVED),
    (".move extents from table Made2 to table Made (MADE2)", MOVED),
    (".move extents to table Made2 <| .show table Made extents", MOVED),
    (".replace extents in table Made <| {.show table Made extents},{.show table Made2 extents}", MOVED),
    (".drop-pretend extents older 10 days from T", DROPPED),
    (".drop-pretend extents <| .show table T extents", DROPPED),
    (".drop extents older 10 days from T", DROPPED),
    (".drop extents <| .show table Made extents", DROPPED),
    (".show table T policy retention", POLICY),
    (".alter table T policy merge '{}'", POLICY),
    (".alter-merge table T policy merge '{}'", POLICY),
    (".delete table T policy merge", POLICY),
    (".show functions", FUNCTION),
    (".create function F() { T }", FUNCTION),
    (".create-or-alter function F() { T }", FUNCTION),
    (".alter function F() { T | take 1 }", FUNCTION),
    (".alter function F docstring 'x'", FUNCTION),
    (".alter function F folder 'x'", FUNCTION),
    (".show function F", FUNCTION),
    (
        ".show function F schema as json",
        "Name:string Schema:string DatabaseName:string Folder:string DocString:string",
    ),
    (".drop function F", "Name:string"),
    (".drop functions (G) ifexists", FUNCTION),
    (".show database NetDefaultDB principals", PRINCIPAL),
    (".add database NetDefaultDB admins ('aaduser=a@b.c')", PRINCIPAL),
    (".drop database NetDefaultDB admins ('aaduser=a@b.c')", PRINCIPAL),
    (".set table T admins none", PRINCIPAL),
    (".show principal roles", "Scope:string DisplayName:string AADObjectID:string Role:string"),
    (".show principal access", "Scope:string AccessMode:string"),
    (".show operations", OPERATION),
    (".show operation ASYNC details", FROM_QUERY),
    (
        ".cancel operation ASYNC",
        "OperationId:guid Operation:string StartedOn:datetime CancellationState:string ReasonPhrase:string",
    ),
    (".show journal", JOURNAL),
    (".show database NetDefaultDB journal", JOURNAL),
    (".show cluster journal", JOURNAL),
    (".show queries", QUERY),
    (".show running queries", RUNNING_QUERY),
    (
        ".show commands",
        (
            "ClientActivityId:string CommandType:string Text:string Database:string StartedOn:datetime"
            " LastUpdatedOn:datetime Duration:timespan State:string RootActivityId:guid User:string"
            " FailureReason:string Application:string Principal:string TotalCpu:timespan"
            " ResourcesUtilization:dynamic ClientRequestProperties:dynamic WorkloadGroup:string"
            " VirtualCluster:string"
        ),
    ),
    (
        ".show commands-and-queries",
        (
            "ClientActivityId:string CommandType:string Text:string Database:string StartedOn:datetime"
            " LastUpdatedOn:datetime Duration:timespan State:string FailureReason:string RootActivityId:guid"
            " User:string Application:string Principal:string ClientRequestProperties:dynamic"
            " TotalCpu:timespan MemoryPeak:long CacheStatistics:dynamic ScannedExtentsStatistics:dynamic"
            " ResultSetStatistics:dynamic WorkloadGroup:string VirtualCluster:string"
        ),
    ),
    (
        ".show data operations",
        (
            "Timestamp:datetime Database:string Table:string ClientActivityId:string OperationKind:string"
            " OriginalSize:long ExtentSize:long RowCount:long Duration:timespan TotalCpu:timespan"
            " ExtentCount:long Principal:string Properties:string"
        ),
    ),
    (".show queryplan <| T | count", "ResultType:string Format:string Content:string"),
    (
        ".delete table T records <| T | where a == 77",
        "OriginalExtentId:string ResultExtentId:string RecordsMatchPredicate:long Details:string",
    ),
    (
        ".purge table T records <| where a == 77",
        "NumRecordsToPurge:long EstimatedPurgeExecutionTime:timespan VerificationToken:string",
    ),
    (".purge table T records with (noregrets='true') <| where a == 77", PURGE),
    (".purge table Made2 allrecords", "VerificationToken:string"),
    (".purge table Made2 allrecords with (noregrets='true')", TABLE_ROW),
    (".show purges", PURGE),
    (
        ".show materialized-views",
        (
            "Name:string SourceTable:string Query:string MaterializedTo:datetime LastRun:datetime"
            " LastRunResult:string IsHealthy:bool IsEnabled:bool Folder:string DocString:string"
            " AutoUpdateSchema:bool EffectiveDateTime:datetime Lookback:timespan LookbackColumn:string"
        ),
    ),
    (
        ".show external tables",
        (
            "TableName:string TableType:string Folder:string DocString:string Properties:string"
            " ConnectionStrings:dynamic Partitions:dynamic PathFormat:string"
        ),
    ),
    (".show entity_groups", "Name:string Entities:string"),
    (
        ".show stored_query_results",
        (
            "StoredQueryResultId:guid Name:string DatabaseName:string PrincipalIdentity:string"
            " SizeInBytes:long RowCount:long CreatedOn:datetime ExpiresOn:datetime"
        ),
    ),
    (
        ".show follower databases",
        (
            "DatabaseName:string LeaderClusterMetadataPath:string CachingPolicyOverride:string"
            " AuthorizedPrincipalsOverride:string AuthorizedPrincipalsModificationKind:string"
            " IsAutoPrefetchEnabled:bool TableMetadataOverrides:string CachingPoliciesModificationKind:string"
        ),
    ),
)

ELSEWHERE = {
    "cancel query": "test_activity",
    "show follower database": "the same row as its plural",
}
"""Commands that need more than a line to be run."""


def _columns(result: Result) -> str:
    return " ".join(f"{column.name}:{column.type.value}" for column in result.columns)


def test_every_command_answers_with_its_columns(
    cluster: EmbeddedCluster, run: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("data") / "t.csv"
    file.write_text("5,e\n")
    run(".create table T (a:long, b:string)")
    run(".create table Made2 (a:long)")
    run(".ingest inline into table T <| 1,one")
    run(".ingest inline into table T <| 2,two")
    names: dict[str, str] = {"FILE": str(file), "ASYNC": "", "OPERATION": cluster.ingest(
        DATABASE, "T", [str(file)]
    ).operation_id}  # fmt: skip
    seen: set[str] = set()
    for text, expected in CASES:
        names["EXTENTS"] = ", ".join(_extents(run, "T")[:2])
        names["MADE2"] = ", ".join(_extents(run, "Made2"))
        command = text
        for key, value in names.items():
            command = command.replace(key, value) if value else command
        result = run(command)
        assert _columns(result) == expected, text
        seen.add(kql.parse_command(command).name)
        if " async " in text:
            names["ASYNC"] = str(result.rows[0][0])
            cluster.engine.operations.close()
    missing = set(commands()) - seen - set(ELSEWHERE)
    assert not missing, "commands without a case here"


def _extents(run: Callable[..., Result], table: str) -> list[str]:
    result = run(f".show tables | where TableName == '{table}' | count")
    if result.rows[0][0] == 0:
        return []
    return [str(row[0]) for row in run(f".show table {table} extents").rows]


@pytest.mark.parametrize("name", sorted(commands()))
def test_rows_of_the_table_are_complete(name: str) -> None:
    row = commands()[name]
    assert row.name == name
    changes = name.split(" ", 1)[0]
    if changes in ("create", "alter", "drop", "add", "set", "append", "ingest", "move", "rename", "delete"):
        assert row.writes or name in ("set access", "drop-pretend extents"), name
    if changes == "show":
        assert not row.writes
    if row.writes:
        assert row.permission != "viewer"
        assert row.journalled
