"""Every option of the data source: name, kind, default, and what it does. One row each.

Names are the official connector's where it has the option; ``docs/options.md`` is printed from
this table. Rows with a ``notice`` are accepted so that existing jobs run, and say once why they
have no effect here.
"""

from __future__ import annotations

from collections.abc import Iterator

from spark_kusto.spark.option_tables.common import COMMON
from spark_kusto.spark.option_tables.sink import SINK
from spark_kusto.spark.option_tables.source import SOURCE
from spark_kusto.spark.option_tables.spec import OptionSpec, Scope
from spark_kusto.spark.option_tables.staging import STAGING

OPTIONS: tuple[OptionSpec, ...] = (*COMMON, *STAGING, *SOURCE, *SINK)
"""Every option, in the order the documentation lists them."""

SPARK_KEYS = frozenset(
    {
        "path",
        "checkpointlocation",
        "queryname",
        "serialization.format",
        "provider",
        "outputmode",
    }
)
"""Keys that Spark itself may put among the options (lower case)."""


def specs(scope: Scope) -> Iterator[OptionSpec]:
    """The options that a source, a sink, or either knows."""
    return (spec for spec in OPTIONS if scope == "both" or spec.scope in (scope, "both"))


_TITLES: tuple[tuple[Scope, str], ...] = (
    ("both", "Sources and sinks"),
    ("source", "Sources (`spark.read`, `spark.readStream`)"),
    ("sink", "Sinks (`df.write`, `df.writeStream`)"),
)


def markdown() -> str:
    """The tables of ``docs/options.md``."""
    lines: list[str] = []
    for scope, title in _TITLES:
        lines += [f"## {title}", "", "| option | values | default | |", "|---|---|---|---|"]
        for spec in OPTIONS:
            if spec.scope != scope or spec.notice is not None:
                continue
            values = ", ".join(f"`{choice}`" for choice in spec.choices) or spec.kind
            default = "" if spec.default is None else f"`{spec.default}`"
            mark = " *(not in the official connector)*" if spec.ours else ""
            also = f" Also `{'`, `'.join(spec.aliases)}`." if spec.aliases else ""
            lines.append(f"| `{spec.name}` | {values} | {default} | {spec.doc}{also}{mark} |")
        lines.append("")
    lines += ["## Accepted, without effect", "", "| option | why |", "|---|---|"]
    for spec in OPTIONS:
        if spec.notice is not None:
            names = "`, `".join((spec.name, *spec.aliases))
            lines.append(f"| `{names}` | {spec.notice} |")
    return "\n".join(lines) + "\n"
