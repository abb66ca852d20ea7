"""What functions take and give: types, parameters, overloads, and what emitters of SQL see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from spark_kusto.types import KustoType

BOOL = KustoType.BOOL
INT = KustoType.INT
LONG = KustoType.LONG
REAL = KustoType.REAL
DECIMAL = KustoType.DECIMAL
STRING = KustoType.STRING
DATETIME = KustoType.DATETIME
TIMESPAN = KustoType.TIMESPAN
GUID = KustoType.GUID
DYNAMIC = KustoType.DYNAMIC

TypeSet = frozenset[KustoType]
ANY: Final[TypeSet] = frozenset(KustoType)
SCALAR: Final[TypeSet] = ANY - {DYNAMIC}
INTEGER: Final[TypeSet] = frozenset({INT, LONG})
NUMBER: Final[TypeSet] = frozenset({INT, LONG, REAL, DECIMAL})
SUMMABLE: Final[TypeSet] = NUMBER | {TIMESPAN, DATETIME}
ORDERABLE: Final[TypeSet] = SUMMABLE | {STRING, BOOL, GUID}


class _NotConstant:
    def __repr__(self) -> str:
        return "NOT_CONSTANT"


NOT_CONSTANT: Final = _NotConstant()
"""Value of an argument that is not a constant known at binding."""


# --- parameters ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameter:
    """What may stand in one place of a call.

    An argument whose type is in ``types`` is taken as it is. Otherwise the binder converts where
    Kusto does: int -> long -> real, numbers -> decimal, dynamic -> anything, null -> anything;
    ``lenient`` ones take any scalar as its text.
    """

    types: TypeSet
    name: str = ""
    optional: bool = False
    repeated: bool = False
    constant: bool = False
    default: Any = None
    lenient: bool = False

    def __str__(self) -> str:
        if self.types == ANY:
            kind = "scalar"
        elif self.types == NUMBER:
            kind = "number"
        elif self.types == INTEGER:
            kind = "int or long"
        else:
            kind = " or ".join(t.value for t in KustoType if t in self.types)
        text = f"{self.name}: {kind}" if self.name else kind
        text = f"{text}, ..." if self.repeated else text
        return f"[{text}]" if self.optional else text


ParameterLike = KustoType | TypeSet | Parameter

TEXT: Final = Parameter(frozenset({KustoType.STRING}), lenient=True)
"""A string; any other scalar is taken as ``tostring`` gives it."""


def parameter(kind: ParameterLike, name: str = "") -> Parameter:
    """A parameter, named for the signature that error messages print."""
    if isinstance(kind, Parameter):
        return replace(kind, name=name) if name else kind
    return Parameter(frozenset({kind}) if isinstance(kind, KustoType) else kind, name)


def optional(kind: ParameterLike, default: Any = NOT_CONSTANT, name: str = "") -> Parameter:
    """May be left out. With a default, the template always sees the argument; without one, the
    emitter sees fewer arguments."""
    return replace(parameter(kind, name), optional=True, default=default)


def repeated(kind: ParameterLike, name: str = "") -> Parameter:
    """The last parameter: any number of arguments from here on, none included."""
    return replace(parameter(kind, name), repeated=True)


def constant(kind: ParameterLike, name: str = "") -> Parameter:
    """Must be known at binding: the emitter sees its Python value in ``Argument.value``."""
    return replace(parameter(kind, name), constant=True)


# --- what emitters see --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call.

    Attributes:
        sql: its SQL.
        type: its type, after conversion to the parameter's.
        element: for dynamic: type of its array's items where known (datetime, timespan, guid, ...).
        nullable: whether it can be NULL.
        value: its value if it is a literal (datetime as naive UTC datetime, timespan as int ticks,
            dynamic as parsed JSON), else NOT_CONSTANT.
        plain: writes ``text``.
    """

    sql: str
    type: KustoType
    element: KustoType | None = None
    nullable: bool = True
    value: Any = NOT_CONSTANT
    plain: Callable[[], str] | None = None

    @property
    def text(self) -> str:
        """For dynamic: SQL of its plain text (a string without quotes; NULL for null)."""
        return self.plain() if self.plain is not None else f"json_extract_string({self.sql}, '$')"

    @property
    def is_constant(self) -> bool:
        return self.value is not NOT_CONSTANT


@dataclass(slots=True)
class Emission:
    """A call about to be written as SQL."""

    name: str
    arguments: tuple[Argument, ...]
    returns: KustoType
    order: str = ""
    filter_position: bool = False
    python: Callable[[str, tuple[KustoType, ...]], str] = field(default=lambda name, _: name)
    fresh: Callable[[], str] = field(default=lambda: "x")

    @property
    def sql(self) -> tuple[str, ...]:
        """SQL of the arguments."""
        return tuple(argument.sql for argument in self.arguments)

    @property
    def types(self) -> tuple[KustoType, ...]:
        """Types of the arguments."""
        return tuple(argument.type for argument in self.arguments)

    def udf(self, name: str, *arguments: str, types: Sequence[KustoType] | None = None) -> str:
        """SQL of a call of a Python row (also a ``$``-named internal one) on these SQL arguments.

        Types default to those of the row's first overload.
        """
        from spark_kusto.kql.registry import python_row

        row = python_row(name)
        kinds = tuple(types) if types is not None else row.udf_types(len(arguments))
        texts = [
            f"CAST({sql} AS VARCHAR)" if kind is GUID else sql
            for sql, kind in zip(arguments, kinds, strict=True)
        ]
        call = f"{self.python(name, kinds)}({', '.join(texts)})"
        return f"CAST({call} AS UUID)" if row.returns is GUID else call

    def once(self, body: str, **bindings: str) -> str:
        """SQL in which each binding is computed once: ``call.once("{x} + {x}", x=arg)``.

        Simple texts (columns, literals) are put in directly; longer ones go through a
        single-element list and a lambda.
        """
        direct: dict[str, str] = {}
        names: list[str] = []
        values: list[str] = []
        for name, sql in bindings.items():
            if len(sql) <= 48 and "(" not in sql:
                direct[name] = sql
            else:
                alias = self.fresh()
                names.append(alias)
                values.append(sql)
                direct[name] = alias
        text = body.format(**direct)
        for alias, sql in zip(reversed(names), reversed(values), strict=True):
            text = f"list_transform([{sql}], lambda {alias}: {text})[1]"
        return text


Emitter = Callable[[Emission], str]
Sql = str | Emitter
ReturnType = KustoType | Callable[[tuple[KustoType, ...]], KustoType]


def same(position: int = 0) -> Callable[[tuple[KustoType, ...]], KustoType]:
    """Return type: that of the argument at this position."""
    return lambda types: types[position]


def promoted(position: int = 0) -> Callable[[tuple[KustoType, ...]], KustoType]:
    """Return type: that of the argument at this position, int promoted to long."""

    def of(types: tuple[KustoType, ...]) -> KustoType:
        return LONG if types[position] is INT else types[position]

    return of


def widest(types: tuple[KustoType, ...]) -> KustoType:
    """Return type: the widest number among the arguments, int promoted to long."""
    if DECIMAL in types:
        return DECIMAL
    if REAL in types:
        return REAL
    return LONG if LONG in types or INT in types else types[0]


# --- overloads ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature of a function.

    ``items`` writes the SQL list of texts whose JSON the call gives, for taking one of them.
    """

    parameters: tuple[Parameter, ...]
    returns: ReturnType
    sql: Sql
    nulls: str | None = None
    items: Emitter | None = None

    @property
    def least(self) -> int:
        """Fewest arguments."""
        return sum(not (p.optional or p.repeated) for p in self.parameters)

    @property
    def most(self) -> int | None:
        """Most arguments, or None if there is no limit."""
        if self.parameters and self.parameters[-1].repeated:
            return None
        return len(self.parameters)


def overload(
    parameters: Sequence[ParameterLike],
    returns: ReturnType,
    sql: Sql,
    nulls: str | None = None,
    items: Emitter | None = None,
) -> Overload:
    """An overload, for rows with several."""
    return Overload(tuple(parameter(p) for p in parameters), returns, sql, nulls, items)
