"""Operators that make rows by themselves, so that they stand in source position.

`Union`, `Search` and `Find` also stand after a pipe.
"""

from __future__ import annotations

from dataclasses import dataclass

from spark_kusto.kql.syntax.base import Expression, Node, Operator, Statement
from spark_kusto.kql.syntax.expressions import ColumnDeclaration, Name
from spark_kusto.kql.syntax.operators import Property


@dataclass(frozen=True, slots=True)
class Print(Operator):
    """`print a = 1, 2`."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Range(Operator):
    """`range x from a to b step c`. The tabular one; `range(a, b, c)` is a `Call`."""

    column: Name
    start: Expression
    stop: Expression
    step: Expression


@dataclass(frozen=True, slots=True)
class DataTable(Operator):
    """`datatable (a:long, b:string) [1, "x", 2, "y"]`; `values` row by row, flat.

    `contextual` marks `contextual_datatable`.
    """

    columns: tuple[ColumnDeclaration, ...]
    values: tuple[Expression, ...]
    contextual: bool = False


@dataclass(frozen=True, slots=True)
class ExternalData(Operator):
    """`externaldata (a:long) [h@"url"] with (format="csv")`."""

    columns: tuple[ColumnDeclaration, ...]
    uris: tuple[Expression, ...]
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class InlineExternalTable(Operator):
    """`inline_external_table (a:long) kind=storage dataformat=csv (uris) with (...)`.

    `partitions` are the declarations of `partition by (...)`, each with its expression as
    `default`; `path_format` are the elements of `pathformat = (...)`. Without `columns` they are
    inferred (`kind=delta`).
    """

    columns: tuple[ColumnDeclaration, ...]
    kind: str | None
    partitions: tuple[ColumnDeclaration, ...]
    path_format: tuple[Expression, ...]
    data_format: str | None
    uris: tuple[Expression, ...]
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class Union(Operator):
    """`union [kind=inner|outer] [withsource=X] [isfuzzy=true] A, B*, (C | ...)`.

    Tables: `Name`, `WildcardName`, `Star`, `Member` (also wild), `Call`, `Pipe`.
    """

    tables: tuple[Expression, ...]
    kind: str | None = None
    with_source: str | None = None
    is_fuzzy: bool = False


@dataclass(frozen=True, slots=True)
class Search(Operator):
    """`search [kind=case_sensitive] [in (T, U*)] predicate`.

    In the predicate a lone string literal means "any column has it", `col:"x"` is
    `Binary(":", ...)`, and `*` alone is `Star`.
    """

    predicate: Expression
    kind: str | None = None
    tables: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class FindColumn(Node):
    """One item of find's `project`: `name[:type]`, `pack(*)` / `pack_all()`, or `*`."""

    expression: Expression
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Find(Operator):
    """`find [withsource=X] [datascope=all] [in (T, U*)] [where] predicate [project ...]`.

    `project` is None where not written; `project_smart` is for `project-smart` (the default);
    `project_away` lists columns to leave out, with `Star` in it for `project-away *`.
    """

    predicate: Expression
    tables: tuple[Expression, ...] = ()
    with_source: str | None = None
    data_scope: str | None = None
    project: tuple[FindColumn, ...] | None = None
    project_smart: bool = False
    project_away: tuple[Expression, ...] | None = None


@dataclass(frozen=True, slots=True)
class MacroExpand(Operator):
    """`macro-expand [kind=...] entity_group as name (statements; query)`.

    `statements` includes the query itself as its last `ExpressionStatement`.
    """

    entity_group: Expression
    alias: Name | None
    statements: tuple[Statement, ...]
    kind: str | None = None
