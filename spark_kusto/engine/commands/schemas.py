"""Result schemas of management commands: names, types and order as the service has them."""

from __future__ import annotations

from spark_kusto.types import Column, KustoType

Schema = tuple[Column, ...]


def schema(text: str) -> Schema:
    """Columns from ``"A:string, B:long"``; a name without a type has that of the next one that has one."""
    parsed: list[Column] = []
    waiting: list[str] = []
    for part in text.split(","):
        name, _, kind = part.strip().partition(":")
        waiting.append(name.strip())
        if kind:
            parsed += [Column(known, KustoType(kind.strip())) for known in waiting]
            waiting = []
    if waiting:
        raise ValueError(f"no type for {', '.join(waiting)}")
    return tuple(parsed)


TABLE_ROW = schema("TableName, DatabaseName, Folder, DocString:string")
TABLE_SCHEMA = schema("TableName, Schema, DatabaseName, Folder, DocString:string")
DROP_TABLE = schema("TableName, DatabaseName:string")
TABLE_DETAILS = schema(
    "TableName, DatabaseName, Folder, DocString:string, TotalExtents:long, TotalExtentSize:real,"
    " TotalOriginalSize:real, TotalRowCount:long, HotExtents:long, HotExtentSize:real, HotOriginalSize:real,"
    " HotRowCount:long, AuthorizedPrincipals, RetentionPolicy, CachingPolicy, ShardingPolicy, MergePolicy,"
    " StreamingIngestionPolicy, IngestionBatchingPolicy:string, MinExtentsCreationTime:datetime,"
    " MaxExtentsCreationTime:datetime, RowOrderPolicy:string, TableId:guid"
)
TABLE_ATTRIBUTES = schema(
    "AttributeName, AttributeType:string, ExtentSize:long, CompressionRatio:real, IndexSize:long,"
    " IndexSizePercent:real, OriginalSize:long, AttributeId:guid, SharedIndexSize:long,"
    " StorageEngineVersion:string"
)
TABLE_STATISTICS = schema(
    "ColumnName, ColumnType:string, ColumnId:guid, OriginalSize, ExtentSize:long, CompressionRatio:real,"
    " DataCompressionSize, SharedIndexSize, IndexSize:long, IndexSizePercent:real,"
    " StorageEngineVersion:string, PresentRowCount, DeletedRowCount:long, SamplePercent:real,"
    " IncludeColdData:bool"
)
COLUMN_CHANGE = schema("EntityName, DataType, Policy:string")
STATUS = schema("Status:string")
UNDO_DROP = schema("ExtentId:guid, NumberOfRecords:long, Status, FailureReason:string")

POLICY = schema("PolicyName, EntityName, Policy, ChildEntities, EntityType:string")
DATABASE_POLICIES = schema(
    "DatabaseName, PersistentStorage, Version:string, IsCurrent:bool, DatabaseAccessMode, PrettyName:string,"
    " DatabaseId:guid, AuthorizedPrincipals, RetentionPolicy, MergePolicy, CachingPolicy, ShardingPolicy,"
    " StreamingIngestionPolicy, IngestionBatchingPolicy:string"
)
MAPPING = schema("Name, Kind, Mapping:string, LastUpdatedOn:datetime, Database, Table:string")
DATABASE_MAPPING = MAPPING[:-1]
PRINCIPAL = schema(
    "Role, PrincipalType, PrincipalDisplayName, PrincipalObjectId, PrincipalFQN, Notes,"
    " RoleAssignmentIdentifier:string"
)
PRINCIPAL_ROLES = schema("Scope, DisplayName, AADObjectID, Role:string")

EXTENT = schema(
    "ExtentId:guid, DatabaseName, TableName:string, MaxCreatedOn:datetime, OriginalSize, ExtentSize,"
    " CompressedSize, IndexSize:real, Blocks, Segments:long, ExtentContainerId:string, RowCount:long,"
    " MinCreatedOn:datetime, Tags:string, Kind:string, DeletedRowCount:long"
)
DROPPED_EXTENT = schema("ExtentId:guid, TableName:string, CreatedOn:datetime")
MOVED_EXTENT = schema("OriginalExtentId, ResultExtentId, Details:string")
TAGGED_EXTENT = schema("OriginalExtentId, ResultExtentId, ResultExtentTags, Details:string")
MERGED_EXTENT = schema("OriginalExtentId, ResultExtentId:string, Duration:timespan")

INGEST_INLINE = schema("ExtentId:guid")
INGEST_INTO = schema("ExtentId:guid, ItemLoaded:string, Duration:timespan, HasErrors:bool, OperationId:guid")
INGEST_FROM_QUERY = schema("ExtentId:guid, OriginalSize, ExtentSize, ColumnSize, IndexSize, RowCount:long")
INGESTION_FAILURE = schema(
    "OperationId:guid, Database, Table:string, FailedOn:datetime, IngestionSourcePath, Details,"
    " FailureKind:string, RootActivityId:guid, OperationKind:string, OriginatesFromUpdatePolicy:bool,"
    " ErrorCode, Principal:string, ShouldRetry:bool, User, IngestionProperties:string"
)
DELETED_RECORDS = schema(
    "OriginalExtentId, ResultExtentId:string, RecordsMatchPredicate:long, Details:string"
)
UPDATED_TABLE = schema("Table, Action:string, ExtentId:guid, RowCount:long")

FUNCTION = schema("Name, Parameters, Body, Folder, DocString:string")
FUNCTION_NAME = schema("Name:string")

DATABASE_ROW = schema(
    "DatabaseName, PersistentStorage, Version:string, IsCurrent:bool, DatabaseAccessMode, PrettyName:string,"
    " ReservedSlot1:bool, DatabaseId:guid, InTransitionTo:string"
)
DATABASE_IDENTITY = tuple(
    Column("CurrentUserIsUnrestrictedViewer", column.type) if column.name == "ReservedSlot1" else column
    for column in DATABASE_ROW
)
DATABASE_DETAILS = schema(
    "DatabaseName, PersistentStorage, Version:string, IsCurrent:bool, DatabaseAccessMode, PrettyName,"
    " AuthorizedPrincipals, RetentionPolicy, MergePolicy:string, ReservedSlot1:bool, CachingPolicy,"
    " ShardingPolicy, StreamingIngestionPolicy, IngestionBatchingPolicy:string, TotalSize:real,"
    " DatabaseId:guid, InTransitionTo:string"
)
CREATED_DATABASE = schema("DatabaseName, PersistentPath, Created:string, StoresMetadata, StoresData:bool")
DETACHED_DATABASE = schema("Table, NumberOfRemovedExtents:string")
PRETTY_NAME = schema("DatabaseName, PrettyName:string")
DATABASE_SCHEMA = schema(
    "DatabaseName, TableName, ColumnName, ColumnType:string, IsDefaultTable, IsDefaultColumn:bool,"
    " PrettyName, Version, Folder, DocString:string"
)
DATABASE_SCHEMA_JSON = schema("DatabaseSchema:string")
DATABASE_SCHEMA_SCRIPT = schema("DatabaseSchemaScript:string")
DATABASE_ENTITY = schema(
    "DatabaseName, EntityType, EntityName, DocString, Folder, CslInputSchema, Content,"
    " CslOutputSchema:string, Properties:dynamic"
)
SCRIPT_RESULT = schema("OperationId:guid, CommandType, CommandText, Result, Reason:string")

VERSION = schema("BuildVersion:string, BuildTime:datetime, ServiceType, ProductVersion:string")
CLUSTER = schema(
    "NodeId, Address, Name:string, StartTime:datetime, IsAdmin:bool, MachineTotalMemory,"
    " MachineAvailableMemory:long, ProcessorCount:int, EnvironmentDescription:string"
)
CAPACITY = schema("Resource:string, Total, Consumed, Remaining:long, Origin:string")

OPERATION = schema(
    "OperationId:guid, Operation, NodeId:string, StartedOn, LastUpdatedOn:datetime, Duration:timespan,"
    " State, Status:string, RootActivityId:guid, ShouldRetry:bool, Database, Principal, User:string,"
    " AdminEpochStartTime:datetime, VirtualCluster:string"
)
CANCELLED_OPERATION = schema(
    "OperationId:guid, Operation:string, StartedOn:datetime, CancellationState, ReasonPhrase:string"
)
OPERATION_ID = schema("OperationId:guid")
JOURNAL = schema(
    "Event:string, EventTimestamp:datetime, Database, EntityName, UpdatedEntityName, EntityVersion,"
    " EntityContainerName, OriginalEntityState, UpdatedEntityState, ChangeCommand, Principal:string,"
    " RootActivityId:guid, ClientRequestId, User, OriginalEntityVersion:string"
)
QUERY = schema(
    "ClientActivityId, Text, Database:string, StartedOn, LastUpdatedOn:datetime, Duration:timespan,"
    " State:string, RootActivityId:guid, User, FailureReason:string, TotalCpu:timespan,"
    " CacheStatistics:dynamic, Application:string, MemoryPeak:long, ScannedExtentsStatistics:dynamic,"
    " Principal:string, ClientRequestProperties, ResultSetStatistics:dynamic, WorkloadGroup,"
    " OverallQueryStats, VirtualCluster:string"
)
RUNNING_QUERY = tuple(
    Column(
        {"ScannedExtentsStatistics": "ScannedEventStatistics", "Principal": "Pricipal"}.get(c.name, c.name),
        c.type,
    )
    for c in QUERY[:19]
)
COMMAND = schema(
    "ClientActivityId, CommandType, Text, Database:string, StartedOn, LastUpdatedOn:datetime,"
    " Duration:timespan, State:string, RootActivityId:guid, User, FailureReason, Application,"
    " Principal:string, TotalCpu:timespan, ResourcesUtilization, ClientRequestProperties:dynamic,"
    " WorkloadGroup, VirtualCluster:string"
)
COMMAND_AND_QUERY = schema(
    "ClientActivityId, CommandType, Text, Database:string, StartedOn, LastUpdatedOn:datetime,"
    " Duration:timespan, State, FailureReason:string, RootActivityId:guid, User, Application,"
    " Principal:string, ClientRequestProperties:dynamic, TotalCpu:timespan, MemoryPeak:long,"
    " CacheStatistics, ScannedExtentsStatistics, ResultSetStatistics:dynamic, WorkloadGroup,"
    " VirtualCluster:string"
)
MATERIALIZED_VIEW = schema(
    "Name, SourceTable, Query:string, MaterializedTo, LastRun:datetime, LastRunResult:string, IsHealthy,"
    " IsEnabled:bool, Folder, DocString:string, AutoUpdateSchema:bool, EffectiveDateTime:datetime,"
    " Lookback:timespan, LookbackColumn:string"
)
NODE_STATUS = schema("NodeId, Status:string")
AUTHORIZATION = schema("AuthorizationContext:string")
