"""The management commands: a name for each, what the engine dispatches on, and their patterns.

`TAILS` says what follows `<|`; a command that is not in it takes none.

Sources: the reference's management pages and the grammar that the public language service
declares for the engine's commands.
"""

from __future__ import annotations

# An entity whose policy or principals a command is about. `entity` is missing where the command
# is about the current database or the cluster, and "*" for all entities.
_POLICY_ENTITY = (
    "( <entity_type=table> ( <entity=*> | <entity:table> )"
    " | <entity_type=tables> <entity:names>"
    " | <entity_type=database> [ <entity=*> | <entity> ]"
    " | <entity_type=cluster>"
    " | <entity_type=column> ( <entity=*> | <entity:path> )"
    " | <entity_type=materialized-view> ( <entity=*> | <entity:table> )"
    " | <entity_type=materialized-views> <entity:names>"
    " | <entity_type=external~table> ( <entity=*> | <entity> )"
    " | <entity_type=graph_model> ( <entity=*> | <entity> ) )"
)
_POLICY_VALUE = (
    "( <value:boolean>"
    " | <state=enable|disable> @with [ <value:string> ]"
    " | <value:order>"
    " | <value:string> @with"
    " | <settings:settings> @with"
    " | @with )"
)
_PRINCIPAL_ENTITY = (
    "( <entity_type=table> <entity:table>"
    " | <entity_type=database> [ <entity> ]"
    " | <entity_type=cluster>"
    " | <entity_type=function> <entity:table>"
    " | <entity_type=materialized-view> <entity:table>"
    " | <entity_type=external~table> <entity>"
    " | <entity_type=graph_model> <entity> )"
)
_ROLES = (
    "<role=admins|ingestors|monitors|unrestrictedviewers|users|viewers|alldatabasesadmins"
    "|alldatabasesviewers|alldatabasesmonitors>"
)
_MAPPING_KIND = (
    "<kind=csv|json|avro|apacheavro|parquet|orc|w3clogfile|azmonstream|sstream|multijson|tsv|psv"
    "|txt|raw|scsv|sohsv|tsve>"
)
_EXTENT_FILTERS = "[ <extents:guids> ] {hot} {metadata} [ where <tags:tag_filters> ] @with"
_EXTENT_SOURCE = (
    "( <scope=cluster> | <scope=database> [ <database> ] | <scope=databases> <databases:names>"
    " | <scope=tables> <tables:names> | <scope=table> <table:table> )"
)
_DROP_EXTENTS = (
    "( [ older <older:integer> <older_unit=days|hours> ] from ( <all=all~tables> | <table:table> )"
    " [ trim by <trim_by=extentsize|datasize> <trim_size:integer> <trim_unit=MB|GB|bytes> ]"
    " [ limit <limit:integer> ]"
    " | <extents:guids> [ from <table:table> ] )"
)
_FOLLOWER = "follower database <database> [ from <leader_path:string> ]"
_FOLLOWER_ENTITY = (
    "( <entity_type=table> <entity> | <entity_type=tables> <entity:names>"
    " | <entity_type=materialized-view> <entity> | <entity_type=materialized-views> <entity:names> )"
)
_FOLLOWER_ROLES = "<role=admins|users|viewers|unrestrictedviewers|monitors>"
_KIND_OF_CHANGE = "<kind=none|union|replace>"
_DATA_SOURCE = "on ( <source_type=table> | <source_type=materialized-view> ) <source:table>"

COMMANDS: tuple[tuple[str, str], ...] = (
    # -- service ---------------------------------------------------------------------------------
    ("show version", "show version"),
    ("show cluster", "show cluster @with"),
    ("show diagnostics", "show diagnostics @with"),
    ("show capacity", "show capacity [ <resource:dashed> ] @with"),
    ("show plugins", "show plugins @with"),
    ("enable plugin", "enable plugin <plugin>"),
    ("disable plugin", "disable plugin <plugin>"),
    ("show featureflags", "show featureflags"),
    ("show workload_groups", "show workload_groups"),
    ("show workload_group", "show workload_group <workload_group>"),
    ("create-or-alter workload_group", "create-or-alter workload_group <workload_group> <value:string>"),
    ("alter-merge workload_group", "alter-merge workload_group <workload_group> <value:string>"),
    ("drop workload_group", "drop workload_group <workload_group>"),
    ("show ingestion resources", "show ingestion resources"),
    ("get kusto identity token", "get kusto identity token"),
    ("create tempstorage", "create tempstorage @with"),
    ("show export containers", "show export containers"),
    ("execute database script", "execute [ database ] script @with"),
    ("execute cluster script", "execute cluster script @with"),
    # -- databases -------------------------------------------------------------------------------
    ("show databases", "show [ cluster ] databases [ <databases:wildcards> ] @with"),
    (
        "show databases details",
        "show [ cluster ] databases [ <databases:wildcards> ] <flavor=details|verbose> @with",
    ),
    ("show databases identity", "show [ cluster ] databases [ <databases:wildcards> ] identity @with"),
    ("show databases policies", "show [ cluster ] databases [ <databases:wildcards> ] policies @with"),
    ("show databases datastats", "show [ cluster ] databases [ <databases:wildcards> ] datastats @with"),
    ("show databases entities", "show databases [ <databases:wildcards> ] entities @with"),
    (
        "show databases schema as json",
        "show databases [ <databases:wildcards> ] schema {details} as json @with",
    ),
    ("show databases schema", "show databases [ <databases:wildcards> ] schema {details}"),
    ("show database details", "show database [ <database> ] <flavor=details|verbose> @with"),
    ("show database identity", "show database [ <database> ] identity @with"),
    ("show database policies", "show database [ <database> ] policies @with"),
    ("show database datastats", "show database [ <database> ] datastats @with"),
    ("show database metadata", "show database [ <database> ] metadata @with"),
    ("show database entity", "show database <database> entity <entity> @with"),
    ("show entity schema as json", "show entity <entity:path> schema as json @with"),
    (
        "show database schema as json",
        (
            "show database [ <database> ] schema [ if_later_than <version:string> ] as json"
            " [ if_later_than <version:string> ] @with"
        ),
    ),
    (
        "show database schema as script",
        (
            "show database [ <database> ] schema [ if_later_than <version:string> ] as <language=csl|kql>"
            " {script} [ if_later_than <version:string> ] @with"
        ),
    ),
    (
        "show database cslschema",
        (
            "show database [ <database> ] <language=cslschema|kqlschema> {script}"
            " [ if_later_than <version:string> ]"
        ),
    ),
    ("show database schema violations", "show database [ <database> ] schema violations"),
    (
        "show database schema",
        "show database [ <database> ] schema {details} [ if_later_than <version:string> ] @with",
    ),
    ("show database journal", "show database [ <database> ] journal @with"),
    ("show database", "show database [ <database> ] @with"),
    ("show schema", "show [ cluster ] schema {details} [ as json ]"),
    (
        "create database",
        "create database <database> [ persist <paths:strings> | <volatile=volatile> ] {ifnotexists} @with",
    ),
    ("drop database prettyname", "drop database <database> prettyname"),
    ("drop database", "drop database <database> {ifexists} {skip-seal}"),
    ("detach database", "detach database <database> {ifexists} {skip-seal}"),
    (
        "attach database",
        "attach database [ metadata ] <database> from <path:string> {readonly} @with",
    ),
    ("alter database prettyname", "alter database [ <database> ] prettyname <prettyname:string>"),
    ("alter database prettyname", "set database [ <database> ] prettyname <prettyname:string>"),
    ("set access", "set access <database> to <mode=readonly|readwrite>"),
    # -- tables and columns ----------------------------------------------------------------------
    ("show tables", "show tables [ <tables:names> ] @with"),
    ("show tables details", "show tables [ <tables:names> ] details @with"),
    ("show table details", "show table <table:table> details @with"),
    ("show table cslschema", "show table <table:table> <language=cslschema|kqlschema>"),
    ("show table cslschema", "show table <table:table> schema as <language=csl|kql>"),
    ("show table schema as json", "show table <table:table> schema as json"),
    ("show table data statistics", "show table <table:table> data statistics @with"),
    ("show table column statistics", "show table <table:table> column statistics"),
    ("show table columns classification", "show table <table:table> columns classification"),
    ("show table dimensions", "show table <table:table> dimensions"),
    ("show table", "show table <table:table> @with"),
    ("create table based-on", "create table <table:table> based-on <source:table> {ifnotexists} @with"),
    ("create-merge table based-on", "create-merge table <table:table> based-on <source:table> @with"),
    ("create table", "create table <table:table> <columns:schema> @with"),
    ("create-merge table", "create-merge table <table:table> <columns:schema> @with"),
    ("create table", "define table <table:table> <columns:schema> @with"),
    ("create tables", "create tables <tables:tables> @with"),
    ("create-merge tables", "create-merge tables <tables:tables> @with"),
    ("create tables", "define tables <tables:tables> @with"),
    ("alter table", "alter table <table:table> <columns:schema> @with"),
    ("alter-merge table", "alter-merge table <table:table> <columns:schema> @with"),
    ("alter table docstring", "alter table <table:table> docstring <docstring:string>"),
    ("alter table folder", "alter table <table:table> folder <folder:string>"),
    ("alter table column-docstrings", "alter table <table:table> column-docstrings <docstrings:docstrings>"),
    (
        "alter-merge table column-docstrings",
        "alter-merge table <table:table> column-docstrings <docstrings:docstrings>",
    ),
    ("drop table columns", "drop table <table:table> columns <columns:names>"),
    ("drop table", "drop table <table:table> {ifexists}"),
    ("drop tables", "drop tables <tables:names> {ifexists}"),
    ("rename table", "rename table <table:table> to <new_name>"),
    ("rename tables", "rename tables <renames:renames> {ifexists}"),
    (
        "undo drop table",
        "undo drop table <table:table> [ as <new_name> ] version = <version:version> {internal}",
    ),
    ("clear table data", "clear @async table <table:table> data"),
    ("rename column", "rename column <column:path> to <new_name>"),
    ("rename columns", "rename columns <renames:renames>"),
    ("alter column type", "alter column <column:path> type = <type:type>"),
    ("drop column", "drop column <column:path> {ifexists}"),
    # -- ingestion -------------------------------------------------------------------------------
    ("ingest inline into table", "ingest inline into table <table:table> @with"),
    ("ingest into table", "ingest @async into table <table:table> <sources:connections> @with"),
    (
        "ingest-from-storage-queued into table",
        (
            "ingest-from-storage-queued into table <table:table> [ database <database> ]"
            " <sources:connections> @with"
        ),
    ),
    ("set", "set @async <table:table> @with"),
    ("append", "append @async <table:table> @with"),
    ("set-or-append", "set-or-append @async <table:table> @with"),
    ("set-or-replace", "set-or-replace @async <table:table> @with"),
    ("show ingestion failures", "show ingestion failures @with"),
    ("show streamingingestion failures", "show streamingingestion failures @with"),
    ("show streamingingestion statistics", "show streamingingestion statistics @with"),
    ("show queued ingestion operations", "show queued ingestion operations <operations:strings> {details}"),
    ("cancel queued ingestion operation", "cancel queued ingestion operation <operation:text>"),
    # -- mappings --------------------------------------------------------------------------------
    *(
        (
            f"{verb} {entity} ingestion mapping",
            (
                f"{verb} {entity} <{entity}> ingestion {_MAPPING_KIND} mapping <mapping>"
                " <definition:string> @with"
            ),
        )
        for verb in ("create", "create-or-alter", "alter", "alter-merge")
        for entity in ("table", "database")
    ),
    (
        "show table ingestion mappings",
        f"show table <table:table> ingestion [ {_MAPPING_KIND} ] mappings [ <mapping> ] @with",
    ),
    (
        "show table ingestion mapping",
        f"show table <table:table> ingestion [ {_MAPPING_KIND} ] mapping <mapping> @with",
    ),
    (
        "show database ingestion mappings",
        f"show database [ <database> ] ingestion [ {_MAPPING_KIND} ] mappings [ <mapping> ] @with",
    ),
    (
        "show database ingestion mapping",
        f"show database [ <database> ] ingestion [ {_MAPPING_KIND} ] mapping <mapping> @with",
    ),
    ("show ingestion mappings", f"show [ cluster ] ingestion [ {_MAPPING_KIND} ] mappings @with"),
    ("drop table ingestion mapping", f"drop table <table:table> ingestion {_MAPPING_KIND} mapping <mapping>"),
    (
        "drop database ingestion mapping",
        f"drop database <database> ingestion {_MAPPING_KIND} mapping <mapping>",
    ),
    # -- extents ---------------------------------------------------------------------------------
    ("show extents", f"show {_EXTENT_SOURCE} extents {_EXTENT_FILTERS}"),
    (
        "show database extents partitioning statistics",
        "show database [ <database> ] extents partitioning statistics",
    ),
    ("show database extent tags statistics", "show database [ <database> ] extent tags statistics @with"),
    (
        "move extents all",
        "move @async extents all from table <source:table> to table <table:table> @with",
    ),
    (
        "move extents",
        "move @async extents from table <source:table> to table <table:table> @with <extents:guids> @with",
    ),
    (
        "move extents by query",
        "move @async extents [ from table <source:table> ] to table <table:table> @with",
    ),
    ("replace extents", "replace @async extents in table <table:table> @with"),
    ("drop extents by query", "drop extents {whatif} @with"),
    ("drop extents", f"drop extents {_DROP_EXTENTS} @with"),
    ("drop extents", "drop extent <extents:guids> [ from <table:table> ]"),
    ("drop-pretend extents by query", "drop-pretend extents @with"),
    ("drop-pretend extents", f"drop-pretend extents {_DROP_EXTENTS}"),
    ("merge extents", "merge @async {dryrun} [ table ] <table:table> <extents:guids> @with"),
    ("alter extent tags", "alter @async table <table:table> extent tags <tags:strings> @with"),
    ("alter-merge extent tags", "alter-merge @async table <table:table> extent tags <tags:strings> @with"),
    ("drop extent tags by query", "drop @async [ table <table:table> ] extent tags @with"),
    ("drop extent tags", "drop @async table <table:table> extent tags <tags:strings> @with"),
    # -- policies --------------------------------------------------------------------------------
    ("show policy", f"show {_POLICY_ENTITY} policy <policy> @with"),
    ("alter policy", f"alter {_POLICY_ENTITY} policy <policy> {_POLICY_VALUE}"),
    ("alter-merge policy", f"alter-merge {_POLICY_ENTITY} policy <policy> {_POLICY_VALUE}"),
    ("delete policy", f"delete {_POLICY_ENTITY} policy <policy> @with"),
    # -- deletion --------------------------------------------------------------------------------
    ("delete table records", "delete @async table <table:table> records @with"),
    ("delete materialized-view records", "delete @async materialized-view <view:table> records @with"),
    (
        "update table",
        "update @async table <table:table> ( delete <delete> append <append> | move <move> ) @with",
    ),
    (
        "purge table records",
        "purge @async table <table:table> records [ in database <database> ] @with",
    ),
    (
        "purge materialized-view records",
        "purge @async materialized-view <view:table> records [ in database <database> ] @with",
    ),
    (
        "purge table allrecords",
        "purge @async table <table:table> [ in database <database> ] allrecords @with",
    ),
    ("show purges", "show purges [ <operation:guid> ] [ in database <database> ]"),
    (
        "show purges",
        "show purges from <from:literal> [ to <to:literal> ] [ in database <database> ]",
    ),
    ("cancel purge", "cancel purge <operation:guid>"),
    ("cancel all purges", "cancel all purges in database <database>"),
    # -- functions -------------------------------------------------------------------------------
    ("show functions", "show functions @with"),
    ("show function schema as json", "show function <function:table> schema as json @with"),
    ("show function", "show function <function:table> @with"),
    (
        "create function",
        "create {ifnotexists} function {ifnotexists} @with <function:table> <definition:function>",
    ),
    ("create-or-alter function", "create-or-alter function @with <function:table> <definition:function>"),
    ("alter function", "alter function @with <function:table> <definition:function>"),
    ("alter function docstring", "alter function <function:table> docstring <docstring:string>"),
    ("alter function folder", "alter function <function:table> folder <folder:string>"),
    ("drop function", "drop function <function:table> {ifexists}"),
    ("drop functions", "drop functions <functions:names> {ifexists}"),
    # -- materialized views ----------------------------------------------------------------------
    (
        "create materialized-view",
        f"create @async {{ifnotexists}} materialized-view @with <view> {_DATA_SOURCE} <query:body>",
    ),
    (
        "create-or-alter materialized-view",
        f"create-or-alter materialized-view @with <view> {_DATA_SOURCE} <query:body>",
    ),
    ("alter materialized-view", f"alter materialized-view @with <view> {_DATA_SOURCE} <query:body>"),
    ("rename materialized-view", "rename materialized-view <view> to <new_name>"),
    ("enable materialized-view", "enable materialized-view <view>"),
    ("disable materialized-view", "disable materialized-view <view>"),
    ("drop materialized-view", "drop materialized-view <view> {ifexists}"),
    ("alter materialized-view lookback", "alter materialized-view <view> lookback <lookback:literal>"),
    ("alter materialized-view docstring", "alter materialized-view <view> docstring <docstring:string>"),
    ("alter materialized-view folder", "alter materialized-view <view> folder <folder:string>"),
    (
        "alter materialized-view autoUpdateSchema",
        "alter materialized-view <view> autoUpdateSchema [ = ] <value:literal>",
    ),
    ("show materialized-views details", "show materialized-views [ <views:names> ] details @with"),
    ("show materialized-views", "show materialized-views [ <views:names> ] @with"),
    ("show materialized-view details", "show materialized-view <view> details"),
    ("show materialized-view failures", "show materialized-view <view> failures"),
    ("show materialized-view statistics", "show materialized-view <view> statistics"),
    ("show materialized-view diagnostics", "show materialized-view <view> diagnostics @with"),
    ("show materialized-view extents", f"show materialized-view <view> extents {_EXTENT_FILTERS}"),
    ("show materialized-view schema as json", "show materialized-view <view> schema as json"),
    ("show materialized-view cslschema", "show materialized-view <view> <language=cslschema|kqlschema>"),
    ("show materialized-view", "show materialized-view <view> @with"),
    ("clear materialized-view data", "clear materialized-view <view> data"),
    ("clear materialized-view statistics", "clear materialized-view <view> statistics"),
    ("set materialized-view concurrency", "set materialized-view <view> concurrency [ = <value:integer> ]"),
    # -- stored query results, entity groups -----------------------------------------------------
    ("set stored_query_result", "set @async {ifnotexists} stored_query_result <result> @with"),
    ("set-or-replace stored_query_result", "set-or-replace @async stored_query_result <result> @with"),
    ("show stored_query_result schema", "show stored_query_result <result> schema"),
    ("show stored_query_results", "show stored_query_results [ <result> ] @with"),
    ("show stored_query_results", "show stored_query_result <result> @with"),
    ("drop stored_query_result", "drop stored_query_result <result>"),
    ("drop stored_query_results by user", "drop stored_query_results by user <user:text>"),
    ("create entity_group", "create entity_group <entity_group> {ifnotexists} <entities:entities>"),
    ("create-or-alter entity_group", "create-or-alter entity_group <entity_group> <entities:entities>"),
    ("alter entity_group", "alter entity_group <entity_group> <entities:entities>"),
    ("alter-merge entity_group", "alter-merge entity_group <entity_group> <entities:entities>"),
    ("drop entity_group", "drop entity_group <entity_group>"),
    ("show entity_group", "show entity_group <entity_group>"),
    ("show entity_groups", "show entity_groups"),
    # -- principals ------------------------------------------------------------------------------
    ("show principals", f"show {_PRINCIPAL_ENTITY} principals"),
    (
        "show principal roles",
        f"show [ {_PRINCIPAL_ENTITY} ] principal [ <principal:string> ] roles @with",
    ),
    ("show principal access", "show principal access @with"),
    *(
        (
            f"{verb} principals",
            (
                f"{verb} {_PRINCIPAL_ENTITY} {_ROLES}"
                " ( <principals=none> {skip-results}"
                " | <principals:strings> {skip-results} [ <notes:string> ] {skip-results} )"
            ),
        )
        for verb in ("add", "drop", "set")
    ),
    # -- monitoring ------------------------------------------------------------------------------
    ("show operations", "show operations [ <operations:guids> ] @with"),
    ("show operation details", "show operation <operation:guid> details"),
    ("show operations", "show operation <operations:guids>"),
    ("cancel operation", "cancel operation <operation:guid> @with"),
    ("show journal", "show journal @with"),
    ("show cluster journal", "show cluster journal @with"),
    ("show running queries", "show running queries [ by ( user <user:text> | * ) ] @with"),
    ("show queries", "show queries @with"),
    ("cancel query", "cancel query <client_request_id:text> @with"),
    ("show commands", "show commands @with"),
    ("show commands-and-queries", "show commands-and-queries @with"),
    ("show data operations", "show data operations @with"),
    ("show queryplan", "show queryplan @with"),
    ("show cache", "show cache"),
    ("show memory", "show memory {details}"),
    # -- external tables and export --------------------------------------------------------------
    ("create external table", "create external table <external_table> <definition:external_table> @with"),
    ("alter external table", "alter external table <external_table> <definition:external_table> @with"),
    (
        "create-or-alter external table",
        "create-or-alter external table <external_table> <definition:external_table> @with",
    ),
    *(
        (
            f"{verb} external table mapping",
            (
                f"{verb} external table <external_table> [ {_MAPPING_KIND} ] mapping <mapping>"
                " <definition:string> @with"
            ),
        )
        for verb in ("create", "create-or-alter", "alter")
    ),
    ("show external table mappings", "show external table <external_table> mappings"),
    ("show external table mapping", "show external table <external_table> mapping <mapping>"),
    ("drop external table mapping", "drop external table <external_table> mapping <mapping>"),
    ("alter external table docstring", "alter external table <external_table> docstring <docstring:string>"),
    ("alter external table folder", "alter external table <external_table> folder <folder:string>"),
    ("drop external table", "drop external table <external_table> {ifexists}"),
    ("show external tables details", "show external tables details"),
    (
        "show external tables operations query_acceleration statistics",
        "show external tables operations query_acceleration statistics",
    ),
    (
        "show external table operations query_acceleration statistics",
        "show external table <external_table> operations query_acceleration statistics",
    ),
    ("show external tables", "show external tables @with"),
    ("show external table details", "show external table <external_table> details"),
    ("show external table schema as json", "show external table <external_table> schema as json"),
    ("show external table cslschema", "show external table <external_table> schema as <language=csl|kql>"),
    ("show external table cslschema", "show external table <external_table> <language=cslschema|kqlschema>"),
    (
        "show external table artifacts",
        "show external table <external_table> artifacts [ limit <limit:integer> ]",
    ),
    ("show external table", "show external table <external_table> @with"),
    ("export to table", "export @async to table <external_table> @with"),
    ("export to sql", "export @async to sql <table> <connection:connections> @with"),
    (
        "export to storage",
        "export @async {compressed} to <format=csv|tsv|json|parquet> <connections:connections> @with",
    ),
    *(
        (
            "create-or-alter continuous-export",
            (
                f"{verb} continuous-export <continuous_export> [ over <over:names> ]"
                " to table <external_table> @with"
            ),
        )
        for verb in ("create-or-alter", "create", "alter")
    ),
    ("show continuous-exports", "show continuous-exports"),
    ("show cluster pending continuous-exports", "show cluster pending continuous-exports @with"),
    (
        "show continuous-export exported-artifacts",
        "show continuous-export <continuous_export> exported-artifacts",
    ),
    ("show continuous-export failures", "show continuous-export <continuous_export> failures"),
    ("show continuous-export", "show continuous-export <continuous_export>"),
    ("enable continuous-export", "enable continuous-export <continuous_export>"),
    ("disable continuous-export", "disable continuous-export <continuous_export>"),
    ("drop continuous-export", "drop continuous-export <continuous_export>"),
    (
        "set continuous-export cursor",
        "set continuous-export <continuous_export> cursor to <cursor:string>",
    ),
    # -- followers -------------------------------------------------------------------------------
    ("show follower databases", "show follower databases [ <databases:names> ]"),
    ("show follower database", "show follower database <database>"),
    (
        "alter follower policy caching",
        f"alter {_FOLLOWER} [ {_FOLLOWER_ENTITY} ] policy caching <settings:settings>",
    ),
    ("delete follower policy caching", f"delete {_FOLLOWER} [ {_FOLLOWER_ENTITY} ] policy caching"),
    (
        "alter follower caching-policies-modification-kind",
        f"alter {_FOLLOWER} caching-policies-modification-kind = {_KIND_OF_CHANGE}",
    ),
    (
        "alter follower principals-modification-kind",
        f"alter {_FOLLOWER} principals-modification-kind = {_KIND_OF_CHANGE}",
    ),
    ("alter follower prefetch-extents", f"alter {_FOLLOWER} prefetch-extents = <value:literal>"),
    ("alter follower metadata", f"alter {_FOLLOWER} metadata <metadata:string>"),
    ("alter follower database-name-override", f"alter {_FOLLOWER} database-name-override = <name:text>"),
    (
        "alter follower entities",
        (
            f"alter {_FOLLOWER} <entity_type=tables|external~tables|materialized-views>"
            " <list=include|exclude> <change=add|drop> <patterns:wildcards>"
        ),
    ),
    (
        "alter follower cluster configuration",
        (
            "alter follower cluster configuration from <leader_path:string>"
            " <setting=follow-authorized-principals|default-principals-modification-kind"
            "|default-caching-policies-modification-kind|database-name-prefix> = <value:literal>"
        ),
    ),
    *(
        (
            f"{verb} follower principals",
            (
                f"{verb} follower database <database> [ from <leader_path:string> ] {_FOLLOWER_ROLES}"
                " [ from <leader_path:string> ] <principals:strings> [ <notes:string> ]"
            ),
        )
        for verb in ("add", "drop")
    ),
    (
        "add follower database",
        (
            "add follower database <database> from <leader_path:string>"
            f" [ default-principals-modification-kind = {_KIND_OF_CHANGE} ] @with"
        ),
    ),
    ("add follower databases", "add follower databases <databases:names> from <leader_path:string> @with"),
    ("drop follower database", "drop follower database <database> [ from <leader_path:string> ]"),
    ("drop follower databases", "drop follower databases <databases:names> [ from <leader_path:string> ]"),
    # -- caches ----------------------------------------------------------------------------------
    (
        "clear table cache streamingingestion schema",
        "clear table <table:table> cache streamingingestion schema",
    ),
    ("clear database cache streamingingestion schema", "clear database cache streamingingestion schema"),
    ("clear database cache query_results", "clear database cache query_results"),
    ("show database cache query_results", "show database cache query_results"),
    (
        "clear database cache query_weak_consistency",
        "clear database cache query_weak_consistency",
    ),
    ("clear cluster cache external-artifacts", "clear cluster cache external-artifacts [ <uris:strings> ]"),
    ("clear cache remote-schema", "clear cache remote-schema <entity:path> <cluster:strings> @with"),
    (
        "refresh database table cache ingestionbatchingpolicy",
        "refresh database <database> table <table> cache ingestionbatchingpolicy",
    ),
    # -- graphs ----------------------------------------------------------------------------------
    ("create-or-alter graph_model", "create-or-alter graph_model <graph_model> <definition:string>"),
    ("show graph_models", "show graph_models {details} @with"),
    ("show graph_model", "show graph_model <graph_model> {details} @with"),
    ("drop graph_model", "drop graph_model <graph_model>"),
    ("make graph_snapshot", "make @async graph_snapshot <snapshot> from <graph_model>"),
    (
        "show graph_snapshots",
        "show graph_snapshots <snapshots:path> [ data ] [ <report=statistics|failures|details> ]",
    ),
    ("show graph_snapshot", "show graph_snapshot <snapshot:path> [ data ] [ <report=statistics|details> ]"),
    ("drop graph_snapshots", "drop graph_snapshots <snapshots:path>"),
    ("drop graph_snapshot", "drop graph_snapshot <snapshot:path>"),
)

TAILS: dict[str, str] = {
    "append": "query",
    "alter extent tags": "query",
    "alter-merge extent tags": "query",
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
