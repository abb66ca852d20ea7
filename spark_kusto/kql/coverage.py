"""What of the language is supported, told by the registry and the binder themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spark_kusto.kql import registry
from spark_kusto.kql.registry import RefusedRow, Row

_SOURCES = {
    "cluster": "names the cluster itself only",
    "view": "marks a view in let",
}

KINDS = ("operators", "functions", "aggregates", "plugins")
"""Kinds of names, in the order in which they are shown."""


@dataclass(frozen=True)
class Entry:
    """A name of the language.

    Attributes:
        kind: one of KINDS.
        aliases: other names for the same, older ones among them.
        signature: how it is called, where the registry knows; empty otherwise.
        difference: how it differs from Kusto's; empty if it does not.
        reason: why it is refused; None if it is supported.
    """

    kind: str
    name: str
    aliases: tuple[str, ...] = ()
    signature: str = ""
    difference: str = ""
    reason: str | None = None


def entries() -> Iterator[Entry]:
    """All names, by kind and alphabetically."""
    from spark_kusto.kql.binder.sources import SOURCE_CALLS
    from spark_kusto.kql.binder.tabular import operator_names

    for name in operator_names():
        yield Entry("operators", name)
    for name in sorted(SOURCE_CALLS - registry.scalars().keys()):
        yield Entry("functions", name, difference=_SOURCES.get(name, ""))
    tables: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("functions", registry.scalars()),
        ("aggregates", registry.aggregates()),
        ("plugins", registry.plugins()),
    )
    for kind, table in tables:
        for name in sorted(table):
            row: Row = table[name]
            if name == row.name and not name.startswith("$"):
                yield _entry(kind, row)


def _entry(kind: str, row: Row) -> Entry:
    signature = getattr(row, "signature", None)
    return Entry(
        kind,
        row.name,
        tuple(sorted(row.aliases)),
        signature() if callable(signature) else "",
        row.difference,
        row.reason if isinstance(row, RefusedRow) else None,
    )


def support() -> dict[str, tuple[str, ...]]:
    """Supported names by kind (``operators``, ``functions``, ``aggregates``, ``plugins``), aliases
    included, sorted. What is not among them is refused when a query is bound, by name."""
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for entry in entries():
        if entry.reason is None:
            found[entry.kind].update((entry.name, *entry.aliases))
    return {kind: tuple(sorted(names)) for kind, names in found.items()}


def table() -> str:
    """The support table as Markdown, for the documentation."""
    lines: list[str] = []
    titles = {
        "operators": "Tabular operators",
        "functions": "Scalar functions",
        "aggregates": "Aggregate functions",
        "plugins": "Plugins of `evaluate`",
    }
    every = list(entries())
    for kind in KINDS:
        of_kind = [entry for entry in every if entry.kind == kind]
        supported = sum(entry.reason is None for entry in of_kind)
        refused = len(of_kind) - supported
        lines += [f"### {titles[kind]}", "", f"{supported} supported, {refused} refused by name.", ""]
        lines += ["| name | also | supported | notes |", "|---|---|---|---|"]
        for entry in of_kind:
            also = ", ".join(f"`{alias}`" for alias in entry.aliases)
            notes = entry.reason if entry.reason is not None else entry.difference
            state = "yes" if entry.reason is None else "refused"
            lines.append(f"| `{entry.name}` | {also} | {state} | {notes.replace('|', chr(92) + '|')} |")
        lines.append("")
    return "\n".join(lines)
