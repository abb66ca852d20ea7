"""Commands about data: ingestion, mappings, extents, deletion, external tables, export."""

from __future__ import annotations

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


DATA_COMMANDS: tuple[tuple[str, str], ...] = (
    # -- ingestion ------------------------------------------------------------------------------
    ("ingest inline into table", "ingest inline into table <table:table> @with"),
    ("ingest into table", "ingest @async into table <table:table> <sources:connections> @with"),
    (
        "ingest-from-storage-queued into table",
        "ingest-from-storage-queued into table <table:table> [ <settings:settings> ] @with",
    ),
    ("list blobs", "list blobs <sources:connections> [ <settings:settings> ]"),
    ("dup-next-ingest", "dup-next-ingest into <table:table> to <path:string>"),
    ("dup-next-failed-ingest", "dup-next-failed-ingest into <table:table> to <path:string>"),
    ("set", "set @async <table:table> @with"),
    ("append", "append @async <table:table> @with"),
    ("set-or-append", "set-or-append @async <table:table> @with"),
    ("set-or-replace", "set-or-replace @async <table:table> @with"),
    ("show ingestion failures", "show ingestion failures @with"),
    ("show streamingingestion failures", "show streamingingestion failures @with"),
    ("show streamingingestion statistics", "show streamingingestion statistics @with"),
    ("show queued ingestion operations", "show queued ingestion operations <operations:strings> {details}"),
    ("cancel queued ingestion operation", "cancel queued ingestion operation <operation:text>"),
    # -- mappings -------------------------------------------------------------------------------
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
    # -- extents --------------------------------------------------------------------------------
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
    # -- deletion -------------------------------------------------------------------------------
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
    # -- external tables and export -------------------------------------------------------------
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
)
