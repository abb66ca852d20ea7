"""Commands about policies, principals, monitoring, followers and caches."""

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
_FOLLOWER = "follower database <database> [ from <leader_path:string> ]"
_FOLLOWER_ENTITY = (
    "( <entity_type=table> <entity> | <entity_type=tables> <entity:names>"
    " | <entity_type=materialized-view> <entity> | <entity_type=materialized-views> <entity:names> )"
)
_FOLLOWER_ROLES = "<role=admins|users|viewers|unrestrictedviewers|monitors>"
_KIND_OF_CHANGE = "<kind=none|union|replace>"


ADMIN_COMMANDS: tuple[tuple[str, str], ...] = (
    # -- policies -------------------------------------------------------------------------------
    ("show policy", f"show {_POLICY_ENTITY} policy <policy> @with"),
    ("alter policy", f"alter {_POLICY_ENTITY} policy <policy> {_POLICY_VALUE}"),
    ("alter-merge policy", f"alter-merge {_POLICY_ENTITY} policy <policy> {_POLICY_VALUE}"),
    ("delete policy", f"delete {_POLICY_ENTITY} policy <policy> @with"),
    *(
        (
            f"{verb} cluster policy request_classification",
            f"{verb} cluster policy request_classification <value:string>",
        )
        for verb in ("alter", "alter-merge")
    ),
    # -- principals -----------------------------------------------------------------------------
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
    # -- monitoring -----------------------------------------------------------------------------
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
    ("show table operations", "show table <table:table> operations <report:dashed>"),
    ("show database operations", "show database [ <database> ] operations <report:dashed>"),
    ("show queryplan", "show queryplan @with"),
    ("show cache", "show cache"),
    ("show memory", "show memory {details}"),
    # -- followers ------------------------------------------------------------------------------
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
    # -- caches ---------------------------------------------------------------------------------
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
    ("clear cache remote-schema", "clear cache remote-schema <entity:expression>"),
    (
        "refresh database table cache ingestionbatchingpolicy",
        "refresh database <database> table <table> cache ingestionbatchingpolicy",
    ),
)
