"""Binding of ``reduce``; ``functions.reducing`` runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.context import Context, Environment, Relation
from spark_kusto.kql.binder.conversion import convert
from spark_kusto.kql.binder.joining import unique_names
from spark_kusto.kql.binder.tabular import operator
from spark_kusto.kql.functions.reducing import Reduction
from spark_kusto.kql.plan import PythonNode
from spark_kusto.kql.registry import LONG, STRING

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


@operator(syntax.Reduce, "reduce")
def _reduce(binder: Binder, node: syntax.Reduce, relation: Relation, environment: Environment) -> Relation:
    text = convert(binder.expression(node.by, binder.row_context(relation, environment)), STRING)
    options: dict[str, Any] = {"threshold": 0.1, "characters": ""}
    for entry in node.properties:
        name = entry.name.lower()
        if name not in options:
            raise binder.error(
                f"reduce has no property '{entry.name}'.", entry, name=name, candidates=options
            )
        options[name] = binder.constant(
            entry.value, Context(environment, {}), f"The property '{entry.name}' of reduce"
        )
    threshold = float(options["threshold"])
    if not 0 <= threshold <= 1:
        raise binder.error("reduce: the threshold must be between 0 and 1.", node)
    source = (node.kind or "").lower() == "source"
    relation, made = binder.as_columns(relation, [text])
    handed = [*(relation.columns if source else ()), ("$text", made[0])]
    columns = [(n, binder.column_like(c)) for n, c in relation.columns] if source else []
    columns.append(("Pattern", binder.column(STRING)))
    columns.append(("Count", binder.column(LONG, nullable=False)))
    columns.append(("Representative", binder.column(STRING)))
    reduction = Reduction(threshold, str(options["characters"]), source)
    python = PythonNode(
        "reduce", ((relation.node, tuple(handed), relation.order),), reduction, tuple(columns)
    )
    return Relation(python, unique_names(columns))
