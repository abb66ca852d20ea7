"""Scalar expressions, and the tabular expressions that may stand wherever an argument may."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from spark_kusto.kql.syntax.base import Expression, Hint, Node, Operator, Statement

LiteralValue = bool | int | float | Decimal | str | datetime | UUID | None
"""Python value of a scalar literal; see `Literal`."""


@dataclass(frozen=True, slots=True, repr=False)
class Literal(Expression):
    """A scalar literal other than `dynamic(...)`.

    `type` is the Kusto type's name: bool, int, long, real, decimal, string, datetime,
    timespan, guid. `value` is None for `long(null)` and the like; otherwise

    ========== =====================================================================
    type       value
    ========== =====================================================================
    bool       bool
    int, long  int, checked to fit 32 or 64 bits
    real       float, also NaN and infinities
    decimal    decimal.Decimal, exact
    string     str (adjacent literals already joined, escapes resolved)
    datetime   datetime.datetime, aware, UTC, microseconds (a seventh digit is dropped)
    timespan   int, ticks of 100 ns
    guid       uuid.UUID
    ========== =====================================================================

    `obfuscated` marks `h"..."` strings, whose value must not be shown; `repr` hides it.
    Within `dynamic(...)`, JSON null is `Literal("dynamic", None)`.
    """

    type: str
    value: LiteralValue
    obfuscated: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        value = "'***'" if self.obfuscated else repr(self.value)
        return f"Literal({self.type!r}, {value})"


@dataclass(frozen=True, slots=True)
class InvalidLiteral(Expression):
    """A literal whose form is right and whose content is not, such as `datetime(2020-13-45)`.

    Kusto's grammar takes anything between the parentheses, so this is a fault for binding to
    report; `reason` says what is wrong with `text`.
    """

    type: str
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class DynamicArray(Node):
    """`[a, b, ...]` inside `dynamic(...)`."""

    items: tuple[DynamicElement, ...]


@dataclass(frozen=True, slots=True)
class DynamicObject(Node):
    """`{"k": v, ...}` inside `dynamic(...)`; entries in the order written, duplicates kept."""

    entries: tuple[tuple[str, DynamicElement], ...]


DynamicElement = Literal | InvalidLiteral | DynamicArray | DynamicObject


@dataclass(frozen=True, slots=True)
class DynamicLiteral(Expression):
    """`dynamic(...)`. `value` is `Literal("dynamic", None)` for `dynamic(null)`.

    Numbers without a fraction are `long`, others `real`; KQL literals such as
    `datetime(2020-01-01)` or `1d` keep their own type.
    """

    value: DynamicElement


@dataclass(frozen=True, slots=True)
class Name(Expression):
    """A name: column, variable, table, `$left`, `$command_results` ...

    `quoted` tells `['x']` from `x`.
    """

    name: str
    quoted: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class WildcardName(Expression):
    """A name with `*` in it, such as `Storm*`, where wildcards are allowed."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Star(Expression):
    """`*` alone: all columns, or all tables."""


@dataclass(frozen=True, slots=True)
class Member(Expression):
    """`base.member`: a dynamic property, a table of `database("d").T`, or a dotted call.

    `member` is a `Name`, a `Call` (`cluster("c").database("d")`, `db.f(1)`), or a
    `WildcardName` / `Star` in unions.
    """

    base: Expression
    member: Name | Call | WildcardName | Star


@dataclass(frozen=True, slots=True)
class Index(Expression):
    """`base[index]`; `a["k"]` and `a.["k"]` alike have a string `Literal` as index."""

    base: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """`name(arguments)`: a function of any kind, `toscalar`, `materialize`, `database` ...

    Arguments may be tabular (`Pipe`), named (`NamedExpression`), or `Star`.
    """

    name: str
    arguments: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Unary(Expression):
    """`-x` or `+x`. A minus before a number literal is kept as `Unary` too."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Expression):
    """`left operator right`, the operator in its present-day spelling:

    `or and == != < <= > >= =~ !~ + - * / %`, `matches regex`, `:` (only in `search`), and
    `has contains startswith endswith hasprefix hassuffix like` each with `!` before and `_cs`
    after. Old spellings (`<>`, `notcontains`, `containscs` ...) are translated.
    """

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Between(Expression):
    """`operand between (low .. high)`, or `!between` where `negated`."""

    operand: Expression
    low: Expression
    high: Expression
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Membership(Expression):
    """`operand operator (items)`: `in !in in~ !in~ has_any has_all` (also `!has_any`, `!has_all`).

    Items may be tabular, or dynamic arrays. A missing item list is an empty tuple.
    """

    operator: str
    operand: Expression
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class NamedExpression(Expression):
    """`name = value`, or `(a, b) = value` with `parenthesized` set.

    `(a) = value` has one name and is `parenthesized`.
    """

    names: tuple[Name, ...]
    value: Expression
    parenthesized: bool = False

    @property
    def name(self) -> str:
        """The (first) name."""
        return self.names[0].name


@dataclass(frozen=True, slots=True)
class SortKey(Node):
    """`expression [asc|desc] [nulls first|last]`; None where not written (desc is the default)."""

    expression: Expression
    ascending: bool | None = None
    nulls_first: bool | None = None


@dataclass(frozen=True, slots=True)
class ColumnDeclaration(Node):
    """`name:type`, in schemas; `default` where `= value` follows (scan, query parameters)."""

    name: str
    type: str | None
    default: Expression | None = None


@dataclass(frozen=True, slots=True)
class TypeReference(Node):
    """A type in a declaration.

    A scalar type has `scalar` (Kusto's present-day name; `double` is given as `real`, `date` as
    `datetime`, `time` as `timespan`, `boolean` as `bool`, `uniqueid` as `guid`). A tabular type
    has `columns`, and `open` where `*` stands among them (`(*)`, `(x:long, *)`).
    """

    scalar: str | None = None
    columns: tuple[ColumnDeclaration, ...] | None = None
    open: bool = False

    @property
    def is_tabular(self) -> bool:
        return self.columns is not None


@dataclass(frozen=True, slots=True)
class TypeOf(Expression):
    """`typeof(long)`, `typeof(a:long, b:string)`, `typeof(*, x:int)`."""

    type: TypeReference


@dataclass(frozen=True, slots=True)
class Pipe(Expression):
    """`source | operator | operator ...`.

    `source` is an `Expression`, or an `Operator` that makes rows by itself.
    """

    source: Expression | Operator
    operators: tuple[Operator, ...] = ()


@dataclass(frozen=True, slots=True)
class SubPipe(Expression):
    """Operators whose input is given by the context: `(top 1 by x | project y)` in `mv-apply`,
    `partition`, `fork`, `facet`."""

    operators: tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class DataScope(Expression):
    """`T datascope=hotcache`."""

    source: Expression
    scope: str


@dataclass(frozen=True, slots=True)
class EntityGroup(Expression):
    """`entity_group [database("a"), cluster("c").database("b")]`."""

    entities: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class FunctionParameter(Node):
    """`name:type [= default]`; the type may be tabular, `T:(x:long)` or `T:(*)`."""

    name: str
    type: TypeReference
    default: Expression | None = None


@dataclass(frozen=True, slots=True)
class Function(Expression):
    """`(a:long, T:(*)) { statements; body }`, or `view () { ... }`.

    Only `let` takes it as a value. `body` is the last expression, scalar or tabular, or None
    where there is none (an error that binding reports).
    """

    parameters: tuple[FunctionParameter, ...]
    statements: tuple[Statement, ...]
    body: Expression | None
    view: bool = False
    hints: tuple[Hint, ...] = ()
