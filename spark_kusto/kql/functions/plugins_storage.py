"""Plugins over files: infer_storage_schema.

Source: Kusto documentation, "infer_storage_schema plugin". The engine reads the files, as it does those
of ``externaldata``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.compiled import INFER_SCHEMA
from spark_kusto.kql.plan import ExternalNode
from spark_kusto.kql.registry import STRING, refused, special

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder

_OPTIONS: dict[str, type] = {
    "storagecontainers": list,
    "dataformat": str,
    "fileextension": str,
    "filenameprefix": str,
    "mode": str,
    "inferenceoptions": dict,
}


def _bind(binder: Binder, node: syntax.Evaluate, relation: Relation, environment: Environment) -> Relation:
    arguments = node.call.arguments
    if len(arguments) != 1:
        raise binder.error("infer_storage_schema() takes one argument, a bag of options.", node.call)
    value = binder.constant(arguments[0], Context(environment, {}), "The options of infer_storage_schema()")
    if not isinstance(value, dict):
        raise binder.error("infer_storage_schema() takes a bag of options.", arguments[0])
    options: dict[str, Any] = {}
    for name, option in value.items():
        kind = _OPTIONS.get(name.lower())
        if kind is None:
            raise binder.error(
                f"infer_storage_schema() has no option '{name}'.",
                arguments[0],
                name=name,
                candidates=(
                    "StorageContainers",
                    "DataFormat",
                    "FileExtension",
                    "FileNamePrefix",
                    "Mode",
                    "InferenceOptions",
                ),
            )
        if not isinstance(option, kind):
            raise binder.error(
                f"The option '{name}' of infer_storage_schema() has a wrong type.", arguments[0]
            )
        options[name.lower()] = option
    mode = options.setdefault("mode", "any").lower()
    if mode not in ("any", "last", "all"):
        raise binder.error(
            f"infer_storage_schema() has no mode '{options['mode']}', only any, last and all.", arguments[0]
        )
    for name in ("StorageContainers", "DataFormat"):
        if not options.get(name.lower()):
            raise binder.error(f"infer_storage_schema() needs the option '{name}'.", arguments[0])
    columns = (("CslSchema", binder.column(STRING)),)
    uris = tuple(str(uri) for uri in options.pop("storagecontainers"))
    form = options.pop("dataformat")
    return Relation(ExternalNode(uris, form, {INFER_SCHEMA: options}, columns), columns)


special(
    "infer_storage_schema",
    _bind,
    kind="plugin",
    difference="Reads folders on local disks: csv and its like, json, parquet.",
)
refused(
    "infer_storage_schema_with_suggestions",
    "it suggests tables of Azure; infer_storage_schema() gives the schema.",
    kind="plugin",
)
