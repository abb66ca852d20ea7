"""Tabular operators that stand after a pipe, except graphs."""

from __future__ import annotations

from dataclasses import dataclass

from spark_kusto.kql.syntax.base import Expression, Node, Operator
from spark_kusto.kql.syntax.expressions import (
    Call,
    ColumnDeclaration,
    Member,
    Name,
    SortKey,
    Star,
    SubPipe,
    TypeReference,
)


@dataclass(frozen=True, slots=True)
class Property(Node):
    """`name = value` in a `with (...)` list; the value is a `Literal`, or a `Name` (bare word)."""

    name: str
    value: Expression


# --- rows and columns -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Where(Operator):
    """`where` / `filter`. In the predicate, `* has "x"` has a `Star` on the left."""

    predicate: Expression


@dataclass(frozen=True, slots=True)
class Project(Operator):
    """`project a, b = x + 1, (c, d) = f(x)`."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ProjectAway(Operator):
    """`project-away a, b*`: `Name`, `WildcardName` or `Star`."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ProjectKeep(Operator):
    """`project-keep a, b*`."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ProjectRename(Operator):
    """`project-rename new = old, ...`: each a `NamedExpression` over a `Name`."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ReorderKey(Node):
    """One item of `project-reorder`; `order` is asc, desc, granny-asc, granny-desc or None."""

    column: Expression
    order: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectReorder(Operator):
    """`project-reorder a, b* asc`."""

    columns: tuple[ReorderKey, ...]


@dataclass(frozen=True, slots=True)
class ProjectByNames(Operator):
    """`project-by-names a, dynamic(["b"]), column_names_of(T)`."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Extend(Operator):
    """`extend a = x, (b, c) = f(x), x + 1`."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Summarize(Operator):
    """`summarize [aggregates] [by groups]`."""

    aggregates: tuple[Expression, ...]
    by: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Sort(Operator):
    """`sort by` / `order by`."""

    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Top(Operator):
    """`top n by keys`."""

    count: Expression
    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Take(Operator):
    """`take` / `limit`."""

    count: Expression


@dataclass(frozen=True, slots=True)
class Sample(Operator):
    """`sample n`."""

    count: Expression


@dataclass(frozen=True, slots=True)
class SampleDistinct(Operator):
    """`sample-distinct n of column`."""

    count: Expression
    of: Expression


@dataclass(frozen=True, slots=True)
class Distinct(Operator):
    """`distinct a, b` or `distinct *` (a `Star`)."""

    columns: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Count(Operator):
    """`count`, `count as N`."""

    name: Name | None = None


@dataclass(frozen=True, slots=True)
class Serialize(Operator):
    """`serialize [a = row_number()]`."""

    columns: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class As(Operator):
    """`as name`."""

    name: Name


@dataclass(frozen=True, slots=True)
class GetSchema(Operator):
    """`getschema [kind=csl]`."""

    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Consume(Operator):
    """`consume [decodeblocks=true]`: reads everything, returns nothing."""


@dataclass(frozen=True, slots=True)
class AssertSchema(Operator):
    """`assert-schema (a:long, *)`: fails unless the input has these columns."""

    type: TypeReference


@dataclass(frozen=True, slots=True)
class ExecuteAndCache(Operator):
    """`execute-and-cache`."""


@dataclass(frozen=True, slots=True)
class Invoke(Operator):
    """`invoke f(args)`: the input is the first argument."""

    call: Call | Member


@dataclass(frozen=True, slots=True)
class Evaluate(Operator):
    """`evaluate [hints] plugin(args) [: (schema)]`; arguments may be tabular."""

    call: Call
    schema: TypeReference | None = None


@dataclass(frozen=True, slots=True)
class RenderProperty(Node):
    """`name = value` of `render`; several values only for lists of columns (`ycolumns = a, b`).

    A value is a `Literal` or a `Name` (a column, or a bare word such as `kind = stacked`).
    """

    name: str
    values: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Render(Operator):
    """`render timechart with (title="x")`; also the older `render timechart title="x"`."""

    visualization: str
    properties: tuple[RenderProperty, ...] = ()


# --- two inputs -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join(Operator):
    """`join [kind=...] [hint.x=y] (right) on conditions`.

    `kind` is as written (`inner`, `leftanti`, also old spellings such as `leftantisemi`,
    `anti`), None where not written (innerunique). Each condition is a `Name` (same column on
    both sides) or any predicate, usually `$left.a == $right.b`, whose sides are
    `Member(Name("$left"), Name("a"))`.
    """

    right: Expression
    kind: str | None = None
    on: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Lookup(Operator):
    """`lookup [kind=leftouter|inner] (right) on conditions`."""

    right: Expression
    kind: str | None = None
    on: tuple[Expression, ...] = ()


# --- several rows from one --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MvColumn(Node):
    """`[name =] expression [to typeof(type)]`, in `mv-expand` and `mv-apply`."""

    expression: Expression
    name: Name | None = None
    to_type: TypeReference | None = None


@dataclass(frozen=True, slots=True)
class MvExpand(Operator):
    """`mv-expand [kind=bag|array] [with_itemindex=i] columns [limit n]`.

    `kind` also comes from the older `bagexpansion=`.
    """

    columns: tuple[MvColumn, ...]
    kind: str | None = None
    with_itemindex: str | None = None
    limit: Expression | None = None


@dataclass(frozen=True, slots=True)
class MvApply(Operator):
    """`mv-apply [with_itemindex=i] columns [limit n] on (subquery)`."""

    columns: tuple[MvColumn, ...]
    subquery: SubPipe
    with_itemindex: str | None = None
    limit: Expression | None = None
    context_id: Expression | None = None


@dataclass(frozen=True, slots=True)
class ParseColumn(Node):
    """`name[:type]` in a parse pattern; a missing type is string."""

    name: str
    type: str | None = None


ParseElement = Star | Expression | ParseColumn
"""Part of a parse pattern: `Star`, a string expression (nearly always a `Literal`), or a column."""


@dataclass(frozen=True, slots=True)
class Parse(Operator):
    """`parse [kind=simple|regex|relaxed] [flags=Ui] expression with pattern`.

    `filtering` marks `parse-where`, which drops rows that do not match.
    """

    expression: Expression
    pattern: tuple[ParseElement, ...]
    kind: str | None = None
    flags: str | None = None
    filtering: bool = False


@dataclass(frozen=True, slots=True)
class ParseKv(Operator):
    """`parse-kv expression as (a:long, ...) with (pair_delimiter=...)`."""

    expression: Expression
    columns: tuple[ColumnDeclaration, ...]
    properties: tuple[Property, ...] = ()


# --- grouping beyond summarize ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MakeSeriesAggregate(Node):
    """`[name =] aggregate [default = value]`."""

    expression: Expression
    default: Expression | None = None


@dataclass(frozen=True, slots=True)
class MakeSeries(Operator):
    """`make-series [kind=nonempty] aggregates on axis [from a] [to b] step c [by groups]`.

    The alternate form `in range(a, b, c)` fills the same fields and sets `in_range`: there
    `stop` is included in the axis.
    """

    aggregates: tuple[MakeSeriesAggregate, ...]
    on: Expression
    step: Expression
    start: Expression | None = None
    stop: Expression | None = None
    by: tuple[Expression, ...] = ()
    kind: str | None = None
    in_range: bool = False


@dataclass(frozen=True, slots=True)
class Partition(Operator):
    """`partition [hint.strategy=...] by column (subquery)`, or `{ query }`.

    `subquery` is a `SubPipe` for `( ... )`; for `{ ... }` a whole query expression that can use
    the column as a value. `scope` is what `in` gives, where written.
    """

    by: Expression
    subquery: Expression
    scope: Expression | None = None


@dataclass(frozen=True, slots=True)
class TopNestedLevel(Node):
    """`top-nested [n] of expression [with others = x] by aggregate [asc|desc]`."""

    of: Expression
    by: Expression
    count: Expression | None = None
    others: Expression | None = None
    ascending: bool | None = None


@dataclass(frozen=True, slots=True)
class TopNested(Operator):
    """`top-nested ... , top-nested ...`, outermost level first."""

    levels: tuple[TopNestedLevel, ...]


@dataclass(frozen=True, slots=True)
class TopHitters(Operator):
    """`top-hitters n of expression [by weight]`."""

    count: Expression
    of: Expression
    by: Expression | None = None


@dataclass(frozen=True, slots=True)
class Reduce(Operator):
    """`reduce [kind=...] by expression [with threshold=0.1, characters="-"]`."""

    by: Expression
    kind: str | None = None
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class Facet(Operator):
    """`facet by a, b [with (subquery)]`: one result table for each column."""

    by: tuple[Expression, ...]
    subquery: SubPipe | None = None


@dataclass(frozen=True, slots=True)
class ForkBranch(Node):
    """`[name =] (subquery)`."""

    subquery: SubPipe
    name: Name | None = None


@dataclass(frozen=True, slots=True)
class Fork(Operator):
    """`fork (a) (b)`: one result table for each branch."""

    branches: tuple[ForkBranch, ...]


@dataclass(frozen=True, slots=True)
class ScanAssignment(Node):
    """`column = value` in a scan step."""

    column: Name
    value: Expression


@dataclass(frozen=True, slots=True)
class ScanStep(Node):
    """`step name [optional] [output=all|last|none]: condition => a = x, b = y;`."""

    name: str
    condition: Expression
    assignments: tuple[ScanAssignment, ...] = ()
    optional: bool = False
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Scan(Operator):
    """`scan [with_match_id=m] [partition by ...] [order by ...] [declare (...)] with (steps)`.

    Within steps, `s1.x` is a `Member` over the step's `Name`.
    """

    steps: tuple[ScanStep, ...]
    declarations: tuple[ColumnDeclaration, ...] = ()
    with_match_id: str | None = None
    order_by: tuple[SortKey, ...] = ()
    partition_by: tuple[Expression, ...] = ()
