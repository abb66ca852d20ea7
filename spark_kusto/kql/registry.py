"""The functions, aggregates and plugins of the language, one row each.

Rows live by family in ``spark_kusto.kql.functions``; each module calls the registering functions
below when it is imported, and :func:`load` imports them all. A row says what a function takes,
what it gives, and how: a line of SQL, an emitter, or Python over Arrow batches.

SQL templates
    ``"length({0})"``: ``{0}``, ``{1}`` ... are the arguments' SQL, already cast to the parameter's
    type and safe to put anywhere (parenthesised where needed); ``{args}`` is all of them, joined
    by commas; ``{order}`` in aggregates is `` ORDER BY ...`` if the input is serialized, else
    nothing. Literal braces are doubled. Every argument should stand once in a template (its
    text may be long); use an emitter with :meth:`Emission.once` otherwise.
Emitters
    a function from :class:`Emission` to SQL text, for what depends on types or constants.
SQL forms
    values are in the storage form of ``types.table``: datetime TIMESTAMP, timespan BIGINT ticks,
    guid UUID, dynamic VARCHAR with JSON text (JSON null is SQL NULL), decimal DECIMAL(38,18).
    Strings are never NULL: where a row's SQL can give NULL for a string, say ``nulls="maybe"`` and
    the writer wraps it in ``coalesce(..., '')``.
Nulls
    ``"propagate"`` (the default): the result is NULL if and only if an argument is; ``"maybe"``: it
    may be NULL also otherwise (conversions); ``"never"``.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import UnsupportedError
from spark_kusto.kql.signatures import ANY as ANY
from spark_kusto.kql.signatures import BOOL as BOOL
from spark_kusto.kql.signatures import DATETIME as DATETIME
from spark_kusto.kql.signatures import DECIMAL as DECIMAL
from spark_kusto.kql.signatures import DYNAMIC as DYNAMIC
from spark_kusto.kql.signatures import GUID as GUID
from spark_kusto.kql.signatures import INT as INT
from spark_kusto.kql.signatures import INTEGER as INTEGER
from spark_kusto.kql.signatures import LONG as LONG
from spark_kusto.kql.signatures import NOT_CONSTANT as NOT_CONSTANT
from spark_kusto.kql.signatures import NUMBER as NUMBER
from spark_kusto.kql.signatures import ORDERABLE as ORDERABLE
from spark_kusto.kql.signatures import REAL as REAL
from spark_kusto.kql.signatures import SCALAR as SCALAR
from spark_kusto.kql.signatures import STRING as STRING
from spark_kusto.kql.signatures import SUMMABLE as SUMMABLE
from spark_kusto.kql.signatures import TEXT as TEXT
from spark_kusto.kql.signatures import TIMESPAN as TIMESPAN
from spark_kusto.kql.signatures import Argument as Argument
from spark_kusto.kql.signatures import Emission as Emission
from spark_kusto.kql.signatures import Emitter as Emitter
from spark_kusto.kql.signatures import Overload as Overload
from spark_kusto.kql.signatures import Parameter as Parameter
from spark_kusto.kql.signatures import ParameterLike as ParameterLike
from spark_kusto.kql.signatures import ReturnType as ReturnType
from spark_kusto.kql.signatures import Sql as Sql
from spark_kusto.kql.signatures import TypeSet as TypeSet
from spark_kusto.kql.signatures import constant as constant
from spark_kusto.kql.signatures import optional as optional
from spark_kusto.kql.signatures import overload as overload
from spark_kusto.kql.signatures import parameter as parameter
from spark_kusto.kql.signatures import promoted as promoted
from spark_kusto.kql.signatures import repeated as repeated
from spark_kusto.kql.signatures import same as same
from spark_kusto.kql.signatures import widest as widest
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa

    from spark_kusto.kql.compiled import EachStage, PythonFunction, PythonStage
    from spark_kusto.kql.execution import Udf

# --- rows ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What every row has.

    Attributes:
        name: as Kusto's reference spells it.
        aliases: older or undocumented names that people use.
        column: name of the column that an unnamed call becomes: a pattern in which ``{0}`` is the
            inferred name of the first argument (``"sum_{0}"``, ``"{0}"``, ``"count_"``); None for
            ``Column1`` and the like.
        difference: how it differs from Kusto's, for the support table; empty if it does not.
    """

    name: str
    aliases: tuple[str, ...] = field(default=(), kw_only=True)
    column: str | None = field(default=None, kw_only=True)
    difference: str = field(default="", kw_only=True)


def _signature(name: str, overloads: Sequence[Overload]) -> str:
    shapes = []
    for shape in overloads:
        returns = shape.returns.value if isinstance(shape.returns, KustoType) else "scalar"
        shapes.append(f"{name}({', '.join(map(str, shape.parameters))}): {returns}")
    return " or ".join(shapes)


@dataclass(frozen=True)
class ScalarRow(Row):
    """A scalar function written in SQL.

    ``column_if_single`` uses ``column`` only when there is just one argument. ``stable`` is False for
    functions like ``rand()`` whose calls must not be shared or folded. ``element`` tells the item type
    of a dynamic result from the arguments' (type, element) pairs.
    """

    overloads: tuple[Overload, ...]
    nulls: str = "propagate"
    column_if_single: bool = False
    stable: bool = True
    fold: Callable[..., Any] | None = None
    element: Callable[[Sequence[Argument]], KustoType | None] | None = None
    fields: tuple[tuple[str, KustoType], ...] = ()

    def signature(self) -> str:
        """How to call it, for error messages."""
        return _signature(self.name, self.overloads)


@dataclass(frozen=True)
class PythonRow(ScalarRow):
    """A scalar function written in Python; see :func:`python_scalar` and :func:`arrow_scalar`."""

    function: Callable[..., Any] = field(default=lambda: None, compare=False)
    vectorised: bool = False
    calls_on_null: bool = False
    lists: int = 0

    @property
    def returns(self) -> KustoType:
        """The result's type."""
        kind = self.overloads[0].returns
        assert isinstance(kind, KustoType)
        return kind

    def udf_types(self, count: int) -> tuple[KustoType, ...]:
        """Types of ``count`` arguments in the first overload."""
        parameters = self.overloads[0].parameters
        kinds = []
        for position in range(count):
            allowed = parameters[min(position, len(parameters) - 1)].types
            kinds.append(next(t for t in KustoType if t in allowed))
        return tuple(kinds)


@dataclass(frozen=True)
class AggregateRow(Row):
    """An aggregate function.

    ``by_order`` marks those whose answer depends on the order of rows: they get ``{order}``.
    ``nulls`` says whether it can be NULL over rows: most give NULL over no non-null values, and
    ``summarize`` without groups gives one row over an empty table.
    """

    overloads: tuple[Overload, ...]
    nulls: str = "maybe"
    element: Callable[[Sequence[Argument]], KustoType | None] | None = None
    by_order: bool = False

    def signature(self) -> str:
        """How to call it, for error messages."""
        return _signature(self.name, self.overloads)


@dataclass(frozen=True)
class SpecialRow(Row):
    """A function that the binder itself must treat: its arguments are bound lazily, or its result's
    shape depends on them (``case``, ``column_ifexists``, ``prev``, ``arg_max`` ...).

    ``bind(binder, call, scope)`` returns a bound expression (see ``binder``).
    """

    bind: Callable[..., Any]
    kind: str = "function"


@dataclass(frozen=True)
class RefusedRow(Row):
    """Known, and refused by name."""

    reason: str
    kind: str = "function"


# --- plugins and other tabular operators in Python ----------------------------------------------


@dataclass(frozen=True)
class PluginArgument:
    """One argument of ``evaluate plugin(...)``.

    Attributes:
        kind: ``constant``, ``column``, ``table`` or ``star``. Expressions over columns are computed
            by the binder into a further column of the input, and come as ``column``.
        type: its scalar type; None for tables and stars.
        value: for constants, in Python (timespan as int ticks of 100 ns, datetime as naive UTC
            datetime, dynamic as parsed JSON).
        column: for columns: its name in the input table.
        is_plain: for columns: False if it is a computed expression.
        table: for tables: position in the list of tables that ``run`` gets (from 1; 0 is the input);
            for columns: the table that has the column.
        columns: for tables: its columns.
        name: for ``name=value`` arguments.
    """

    kind: str
    type: KustoType | None = None
    value: Any = None
    column: str = ""
    is_plain: bool = True
    table: int = 0
    columns: tuple[Column, ...] = ()
    name: str | None = None


@dataclass(frozen=True)
class PluginCall:
    """A call of a plugin: what its ``schema`` and ``run`` see. Picklable.

    Attributes:
        columns: the input's columns; those named ``$arg0`` ... are computed arguments.
        arguments: the arguments.
        schema: what the query declares after the call (``: (a:long, *)``), or None.
    """

    name: str
    columns: tuple[Column, ...]
    arguments: tuple[PluginArgument, ...]
    schema: tuple[Column, ...] | None = None

    @property
    def own_columns(self) -> tuple[Column, ...]:
        """The input's columns without computed arguments."""
        return tuple(c for c in self.columns if not c.name.startswith("$arg"))

    def constants(self) -> list[Any]:
        """Values of the constant arguments, in order."""
        return [a.value for a in self.arguments if a.kind == "constant"]


@dataclass(frozen=True)
class PluginRow(Row):
    """A plugin in Python over Arrow tables.

    ``run(tables, call)`` gets the input table first, then tabular arguments; columns by their Kusto
    names in storage form. It returns a table with the columns that ``schema(call)`` promised.
    """

    schema: Callable[[PluginCall], Sequence[Column]]
    run: Callable[[list[pa.Table], PluginCall], pa.Table] = field(compare=False)
    source: bool = False


@dataclass(frozen=True)
class OperatorRow(Row):
    """A tabular operator in Python that the binder itself puts into plans (``scan``, ``reduce``,
    graph operators): ``run(tables, arguments)``, where ``arguments`` is what its binder prepared."""

    run: Callable[[list[pa.Table], Any], pa.Table] = field(compare=False)


_SCALARS: dict[str, ScalarRow | SpecialRow | RefusedRow] = {}
_AGGREGATES: dict[str, AggregateRow | SpecialRow | RefusedRow] = {}
_PLUGINS: dict[str, PluginRow | SpecialRow | RefusedRow] = {}
_OPERATORS: dict[str, OperatorRow] = {}
_INTERNAL: dict[str, PythonRow] = {}


def _add(table: dict[str, Any], row: Row) -> None:
    for name in (row.name, *row.aliases):
        if name in table:
            raise AssertionError(f"{name} is registered twice")
        table[name] = row


def _overloads(
    shapes: Sequence[ParameterLike] | Sequence[Overload], returns: ReturnType | None, sql: Sql
) -> tuple[Overload, ...]:
    if shapes and all(isinstance(shape, Overload) for shape in shapes):
        return tuple(shapes)  # type: ignore[arg-type]
    assert returns is not None
    return (overload(shapes, returns, sql),)  # type: ignore[arg-type]


def scalar(
    name: str,
    parameters: Sequence[ParameterLike] | Sequence[Overload],
    returns: ReturnType | None = None,
    sql: Sql = "",
    *,
    nulls: str = "propagate",
    aliases: Iterable[str] = (),
    column: str | None = None,
    column_if_single: bool = False,
    stable: bool = True,
    fold: Callable[..., Any] | None = None,
    element: Callable[[Sequence[Argument]], KustoType | None] | None = None,
    fields: Sequence[tuple[str, KustoType]] = (),
    difference: str = "",
) -> None:
    """Register a scalar function.

    Args:
        name: as Kusto's reference spells it.
        parameters: types of the parameters, or a list of :func:`overload`.
        returns: type of the result, or a function of the arguments' types (:func:`same`,
            :func:`promoted`, :func:`widest`).
        sql: template or emitter.
        nulls: see the module's docstring.
        aliases: other names for it.
        column: see :class:`Row`; ``"{0}"`` for functions whose unnamed calls take the name of
            their first argument (``bin``, ``tostring``).
        fold: computes the result in Python from constant arguments' values (as in
            ``Argument.value``); used where all are constants. The result in the same form.
        element: see :class:`ScalarRow`.
        fields: for functions with several values: name of each value's column (whole, such as
            ``series_fit_line_{0}_slope``; ``{0}`` is the inferred name of the first argument) and
            its type. The row itself then returns a dynamic array of these values.

    Example:
        ``scalar("strlen", [STRING], LONG, "length({0})")``
    """
    row = ScalarRow(
        name,
        _overloads(parameters, returns, sql),
        nulls,
        column_if_single,
        stable,
        fold,
        element,
        tuple(fields),
        aliases=tuple(aliases),
        column=column,
        difference=difference,
    )
    _add(_SCALARS, row)


def python_scalar(
    name: str,
    parameters: Sequence[ParameterLike],
    returns: KustoType,
    function: Callable[..., Any],
    *,
    calls_on_null: bool = False,
    nulls: str = "maybe",
    aliases: Iterable[str] = (),
    column: str | None = None,
    difference: str = "",
    lists: int = 0,
    fields: Sequence[tuple[str, KustoType]] = (),
) -> None:
    """Register a scalar function written in Python, called per value within Arrow batches.

    The function takes and returns Python values by Kusto type: bool, int, float, Decimal, str,
    naive UTC ``datetime``, **int ticks of 100 ns for timespan**, ``uuid.UUID``, parsed JSON for
    dynamic. It may return None (which is ``''`` for strings); for dynamic it may return anything
    JSON can hold, and datetime, Decimal, UUID and timedelta in it.

    Args:
        calls_on_null: call it with None for null arguments. Otherwise a null argument gives null
            (or ``''``) without a call. Omitted optional arguments are passed as their default, or
            not passed if they have none.
        lists: how many leading parameters are given as Python lists of such values; for
            functions that SQL calls over ``list(...)`` in aggregates.

    Repeated argument values within a batch are computed once: functions must be pure.
    A name starting with ``$`` is internal: only :meth:`Emission.udf` can call it.
    """
    _python(
        name,
        parameters,
        returns,
        function,
        False,
        calls_on_null,
        nulls,
        aliases,
        column,
        difference,
        lists,
        fields,
    )


def arrow_scalar(
    name: str,
    parameters: Sequence[ParameterLike],
    returns: KustoType,
    function: Callable[..., pa.Array],
    *,
    nulls: str = "maybe",
    aliases: Iterable[str] = (),
    column: str | None = None,
    difference: str = "",
    lists: int = 0,
    fields: Sequence[tuple[str, KustoType]] = (),
) -> None:
    """Register a vectorised scalar function: Arrow arrays in, one Arrow array of that length out.

    Arrays are in storage form (``timestamp[us]``, int64 ticks, JSON text as string,
    decimal128(38, 18)), guid as text. All arguments are arrays, constants included; nulls stand
    in them. The first ``lists`` parameters come as list arrays. A ``$`` name is internal.
    """
    _python(
        name, parameters, returns, function, True, True, nulls, aliases, column, difference, lists, fields
    )


def _python(
    name: str,
    parameters: Sequence[ParameterLike],
    returns: KustoType,
    function: Callable[..., Any],
    vectorised: bool,
    calls_on_null: bool,
    nulls: str,
    aliases: Iterable[str],
    column: str | None,
    difference: str,
    lists: int,
    fields: Sequence[tuple[str, KustoType]],
) -> None:
    def emit(call: Emission) -> str:
        return call.udf(name, *call.sql, types=call.types)

    row = PythonRow(
        name,
        (overload(parameters, returns, emit),),
        nulls,
        fields=tuple(fields),
        aliases=tuple(aliases),
        column=column,
        difference=difference,
        function=function,
        vectorised=vectorised,
        calls_on_null=calls_on_null,
        lists=lists,
    )
    if name in _INTERNAL:
        raise AssertionError(f"{name} is registered twice")
    _INTERNAL[name] = row
    if not name.startswith("$"):
        _add(_SCALARS, row)


def aggregate(
    name: str,
    parameters: Sequence[ParameterLike] | Sequence[Overload],
    returns: ReturnType | None = None,
    sql: Sql = "",
    *,
    column: str | None = None,
    nulls: str = "maybe",
    aliases: Iterable[str] = (),
    element: Callable[[Sequence[Argument]], KustoType | None] | None = None,
    by_order: bool = False,
    difference: str = "",
) -> None:
    """Register an aggregate function; arguments as for :func:`scalar`.

    ``column`` defaults to ``"<name>_{0}"``; ``by_order`` says that it uses ``{order}``.
    Python-built aggregates write
    ``lambda call: call.udf("$mine", f"list({call.sql[0]}{call.order})")`` over an internal row
    with ``lists=1``.
    """
    row = AggregateRow(
        name,
        _overloads(parameters, returns, sql),
        nulls,
        element,
        by_order,
        aliases=tuple(aliases),
        column=column if column is not None else f"{name}_{{0}}",
        difference=difference,
    )
    _add(_AGGREGATES, row)


def special(
    name: str,
    bind: Callable[..., Any],
    *,
    kind: str = "function",
    aliases: Iterable[str] = (),
    column: str | None = None,
    difference: str = "",
) -> None:
    """Register a function (``kind`` ``function``, ``aggregate`` or ``plugin``) that the binder treats."""
    row = SpecialRow(name, bind, kind, aliases=tuple(aliases), column=column, difference=difference)
    tables: dict[str, dict[str, Any]] = {
        "function": _SCALARS,
        "aggregate": _AGGREGATES,
        "plugin": _PLUGINS,
    }
    _add(tables[kind], row)


def plugin(
    name: str,
    schema: Callable[[PluginCall], Sequence[Column]],
    run: Callable[[list[pa.Table], PluginCall], pa.Table],
    *,
    aliases: Iterable[str] = (),
    source: bool = False,
    difference: str = "",
) -> None:
    """Register a plugin of ``evaluate``.

    Args:
        schema: checks the call and gives the result's columns; raises KqlSemanticError.
        run: computes; see :class:`PluginRow`. Import heavy libraries inside.
        source: True if it takes no input table.
    """
    row = PluginRow(name, schema, run, source, aliases=tuple(aliases), difference=difference)
    _add(_PLUGINS, row)


def operator(name: str, run: Callable[[list[pa.Table], Any], pa.Table], *, difference: str = "") -> None:
    """Register a tabular Python operator that the binder puts into plans."""
    _add(_OPERATORS, OperatorRow(name, run, difference=difference))


def refused(name: str, reason: str, *, kind: str = "function", aliases: Iterable[str] = ()) -> None:
    """Register a name that is known and refused, with the reason as a sentence."""
    row = RefusedRow(name, reason, kind, aliases=tuple(aliases))
    tables: dict[str, dict[str, Any]] = {
        "function": _SCALARS,
        "aggregate": _AGGREGATES,
        "plugin": _PLUGINS,
    }
    _add(tables[kind], row)


# --- lookups ------------------------------------------------------------------------------------

_loaded = False
_begun = False
_loading = threading.RLock()


def load() -> None:
    """Import every family, so that all rows are there."""
    global _loaded, _begun
    if _loaded:
        return
    # Other threads wait until everything is there; families that ask while they are imported do not.
    with _loading:
        if _begun:
            return
        _begun = True
        functions = importlib.import_module("spark_kusto.kql.functions")
        functions.load()
        _loaded = True


def scalars() -> Mapping[str, ScalarRow | SpecialRow | RefusedRow]:
    """Scalar functions by name, aliases included."""
    load()
    return _SCALARS


def aggregates() -> Mapping[str, AggregateRow | SpecialRow | RefusedRow]:
    """Aggregate functions by name, aliases included."""
    load()
    return _AGGREGATES


def plugins() -> Mapping[str, PluginRow | SpecialRow | RefusedRow]:
    """Plugins by name, aliases included."""
    load()
    return _PLUGINS


def python_row(name: str) -> PythonRow:
    """A Python function's row by its name, internal ones included."""
    load()
    return _INTERNAL[name]


def operator_row(name: str) -> OperatorRow | PluginRow:
    """A tabular Python operator or plugin by its name."""
    load()
    row: Row | None = _OPERATORS.get(name) or _PLUGINS.get(name)
    if not isinstance(row, OperatorRow | PluginRow):
        raise UnsupportedError(f"There is no Python operator '{name}'.", feature=name)
    return row


def udf(function: PythonFunction) -> Udf:
    """What DuckDB needs to create this function; see ``execution.Udf``."""
    from spark_kusto.kql import execution

    return execution.udf(function)


def run_each(
    stage: EachStage, tables: Mapping[str, pa.Table], run: Callable[[Mapping[str, pa.Table]], pa.Table]
) -> pa.Table:
    """Run stages for each group.

    Args:
        tables: results of the stage's inputs, by id.
        run: runs the inner stages, given the group's rows by the relations' names.

    Returns:
        A table with the stage's columns, by SQL name, in storage form.
    """
    from spark_kusto.kql import execution

    return execution.run_each(stage, tables, run)


def run_stage(stage: PythonStage, tables: Sequence[pa.Table]) -> pa.Table:
    """Run a Python stage on its inputs' Arrow results (columns by SQL name, storage form).

    Returns:
        A table with the stage's columns, by SQL name, in storage form.
    """
    from spark_kusto.kql import execution

    return execution.run_stage(stage, tables)
