"""Functions that choose among values, and others whose arguments must be of one type.

Source: Kusto documentation, "iff()", "case()", "coalesce()", "max_of()", "min_of()".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.kql import syntax
from spark_kusto.kql.binder.calls import Several
from spark_kusto.kql.binder.context import Context
from spark_kusto.kql.binder.conversion import apply, convert
from spark_kusto.kql.binder.subqueries import bind_toscalar
from spark_kusto.kql.functions.arrays import sorted_arrays
from spark_kusto.kql.functions.dynamics import json_of
from spark_kusto.kql.functions.strings import extract_sql
from spark_kusto.kql.plan import Expr, Literal
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DECIMAL,
    DYNAMIC,
    GUID,
    INT,
    LONG,
    NUMBER,
    REAL,
    STRING,
    Emission,
    ScalarRow,
    overload,
    parameter,
    python_scalar,
    repeated,
    scalar,
    special,
)
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    from spark_kusto.kql.binder.core import Binder


def common_type(expressions: Sequence[Expr]) -> KustoType | None:
    """The type that all can become: that of the non-null ones, numbers widened; dynamic yields to
    anything else. None if there is no such type."""
    kinds: list[KustoType] = []
    for expression in expressions:
        if isinstance(expression, Literal) and expression.value is None and len(expressions) > 1:
            continue
        kinds.append(expression.type)
    if not kinds:
        kinds = [expression.type for expression in expressions]
    plain = [kind for kind in kinds if kind is not DYNAMIC]
    if not plain:
        return DYNAMIC
    first = plain[0]
    if all(kind is first for kind in plain):
        return first
    if all(kind in NUMBER for kind in plain):
        if DECIMAL in plain:
            return DECIMAL
        return REAL if REAL in plain else LONG
    return None


def as_common(binder: Binder, expressions: Sequence[Expr], node: syntax.Call) -> tuple[KustoType, list[Expr]]:
    """All as their common type."""
    kind = common_type(expressions)
    if kind is None:
        given = ", ".join(expression.type.value for expression in expressions)
        raise binder.error(
            f"{node.name}(): the values must be of one type, but they are ({given}).",
            node,
            code="SEM0225",
            remedy="Convert them to one type, for example with tostring().",
        )
    return kind, [convert(expression, kind) for expression in expressions]


def _case_sql(call: Emission) -> str:
    texts = call.sql
    branches = [f"WHEN {texts[place]} THEN {texts[place + 1]}" for place in range(0, len(texts) - 1, 2)]
    return f"CASE {' '.join(branches)} ELSE {texts[-1]} END"


_CASE = ScalarRow("case", (overload([repeated(ANY)], STRING, _case_sql, "never"),), "never")


def choice(name: str, kind: KustoType, arguments: Sequence[Expr]) -> Expr:
    """``case`` over conditions and values, the last value for none."""
    from dataclasses import replace

    values = [*arguments[1:-1:2], arguments[-1]]
    result = apply(_CASE, _CASE.overloads[0], arguments)
    elements = {value.element for value in values}
    return replace(
        result,
        type=kind,
        nullable=kind is not STRING and any(value.nullable for value in values),
        element=elements.pop() if len(elements) == 1 else None,
    )


def _condition(binder: Binder, node: syntax.Expression, context: Context) -> Expr:
    return binder.predicate(node, context)


def _case(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    count = len(node.arguments)
    if count < 3 or count % 2 == 0:
        raise binder.error(
            f"{node.name}() takes pairs of a condition and a value, and a last value.",
            node,
            code="SEM0219",
        )
    conditions = [_condition(binder, item, context) for item in node.arguments[:-1:2]]
    values = [binder.expression(item, context) for item in (*node.arguments[1:-1:2], node.arguments[-1])]
    kind, values = as_common(binder, values, node)
    arguments: list[Expr] = []
    for condition, value in zip(conditions, values, strict=False):
        if isinstance(condition, Literal) and len(arguments) == 0:
            # A condition known at binding decides at once; its value may be the only one.
            if condition.value is True:
                return value
            continue
        arguments.extend((condition, value))
    if not arguments:
        return values[-1]
    return choice("case", kind, [*arguments, values[-1]])


special("case", _case)


def _iff(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    if len(node.arguments) != 3:
        raise binder.error(
            f"{node.name}() takes a condition and two values.",
            node,
            code="SEM0219",
            remedy="Its signature is iff(condition: bool, then: scalar, else: scalar): scalar.",
        )
    return _case(binder, node, context)


special("iff", _iff, aliases=["iif"])


def _coalesce_sql(call: Emission) -> str:
    if call.types[0] is STRING:
        parts = [f"nullif({sql}, '')" for sql in call.sql]
        return f"coalesce({', '.join(parts)}, '')"
    return f"coalesce({', '.join(call.sql)})"


_COALESCE = ScalarRow("coalesce", (overload([repeated(ANY)], STRING, _coalesce_sql, "never"),))


def _coalesce(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    from dataclasses import replace

    if not node.arguments:
        raise binder.error("coalesce() takes at least one argument.", node, code="SEM0219")
    values = [binder.expression(item, context) for item in node.arguments]
    kind, values = as_common(binder, values, node)
    result = apply(_COALESCE, _COALESCE.overloads[0], values)
    nullable = kind is not STRING and all(value.nullable for value in values)
    return replace(result, type=kind, nullable=nullable)


special("coalesce", _coalesce)


def _chosen(function: str) -> Callable[[Emission], str]:
    return lambda call: f"{function}({', '.join(call.sql)})"


_EXTREMES = {
    "max_of": ScalarRow("max_of", (overload([repeated(ANY)], STRING, _chosen("greatest"), "never"),)),
    "min_of": ScalarRow("min_of", (overload([repeated(ANY)], STRING, _chosen("least"), "never"),)),
}


def _extreme(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    from dataclasses import replace

    if not node.arguments:
        raise binder.error(f"{node.name}() takes at least one argument.", node, code="SEM0219")
    values = [binder.expression(item, context) for item in node.arguments]
    kind, values = as_common(binder, values, node)
    row = _EXTREMES[node.name]
    result = apply(row, row.overloads[0], values)
    nullable = kind is not STRING and all(value.nullable for value in values)
    return replace(result, type=kind, nullable=nullable)


special("max_of", _extreme)
special("min_of", _extreme)

scalar(
    "not",
    [parameter(BOOL, "expression")],
    BOOL,
    "(NOT {0})",
    fold=lambda value: None if value is None else not value,
)


def _assert(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    if len(node.arguments) != 2:
        raise binder.error("assert() takes a condition and a message.", node, code="SEM0219")
    condition = binder.constant(node.arguments[0], context, "The condition of assert()")
    if condition is not True:
        message = binder.constant(node.arguments[1], context, "The message of assert()")
        raise binder.error(f"assert() has failed with message: '{message}'.", node, code="SEM0024")
    return Literal(BOOL, nullable=False, value=True)


special("assert", _assert)


# --- several values, or a type as argument -------------------------------------------------------


def _typed(binder: Binder, node: syntax.Expression, what: str) -> KustoType:
    if isinstance(node, syntax.TypeOf) and node.type.scalar is not None:
        return KustoType.parse(node.type.scalar)
    raise binder.error(f"{what} takes a type as its last argument: typeof(long).", node)


_EXTRACT = ScalarRow(
    "extract",
    (
        overload(
            [parameter(STRING, "regex"), parameter(LONG, "group"), parameter(STRING, "source")],
            STRING,
            extract_sql,
            "maybe",
        ),
    ),
    "maybe",
)


def _extract(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    from spark_kusto.kql.binder.calls import call_row

    arguments = [binder.expression(item, context) for item in node.arguments[:3]]
    if len(arguments) == 3 and arguments[2].type is DYNAMIC:
        arguments[2] = convert(arguments[2], STRING)
    result = call_row(binder, _EXTRACT, arguments, node)
    assert isinstance(result, Expr)
    if len(node.arguments) < 4:
        return result
    return convert(result, _typed(binder, node.arguments[3], "extract()"))


special("extract", _extract)


def _sorted(descending: bool) -> Callable[[Binder, syntax.Call, Context], Several]:
    name = "array_sort_desc" if descending else "array_sort_asc"

    def function(*arguments: Any) -> list[Any]:
        *arrays, nulls_last = arguments
        return sorted_arrays(arrays, descending, bool(nulls_last))

    for count in range(1, 5):
        python_scalar(
            f"${name}_{count}",
            [*([parameter(DYNAMIC)] * count), parameter(BOOL)],
            DYNAMIC,
            function,
            calls_on_null=True,
        )

    def bind(binder: Binder, node: syntax.Call, context: Context) -> Several:
        from spark_kusto.kql.binder.calls import call_row
        from spark_kusto.kql.binder.expressions import step
        from spark_kusto.kql.binder.naming import inferred_name
        from spark_kusto.kql.registry import python_row

        bound = [binder.expression(item, context) for item in node.arguments]
        nulls_last: Expr = Literal(BOOL, nullable=False, value=True)
        if len(bound) > 1 and bound[-1].type is BOOL:
            nulls_last = bound.pop()
        if not 1 <= len(bound) <= 4:
            raise binder.error(f"{name}() takes one to four arrays.", node, code="SEM0219")
        arrays = [convert(item, DYNAMIC) for item in bound]
        result = call_row(binder, python_row(f"${name}_{len(arrays)}"), [*arrays, nulls_last], node)
        assert isinstance(result, Expr)
        values = []
        for place, item in enumerate(node.arguments[: len(arrays)]):
            # Only a bare name is kept; whatever else is named by its place.
            label = (inferred_name(item) if isinstance(item, syntax.Name) else None) or f"array{place}"
            value = step(binder, result, place, node)
            values.append((f"{label}_sorted", value))
        return Several(tuple(values))

    return bind


special("array_sort_asc", _sorted(False))
special("array_sort_desc", _sorted(True))


# --- bags of columns -----------------------------------------------------------------------------


def _bag_sql(call: Emission) -> str:
    parts = []
    for place in range(0, len(call.arguments), 2):
        key = json.dumps(str(call.arguments[place].value), ensure_ascii=False)
        value = json_of(call, call.arguments[place + 1])
        quoted = key.replace("'", "''")
        parts.append(f"'{quoted}:' || coalesce({value}, 'null')")
    return f"concat('{{', concat_ws(',', {', '.join(parts)}), '}}')" if parts else "'{}'"


def _bag_without_empty_sql(call: Emission) -> str:
    parts = []
    for place in range(0, len(call.arguments), 2):
        key = json.dumps(str(call.arguments[place].value), ensure_ascii=False)
        argument = call.arguments[place + 1]
        value = json_of(call, argument)
        quoted = key.replace("'", "''")
        if argument.type is STRING:
            value = f"CASE WHEN {argument.sql} <> '' THEN {value} END"
        parts.append(f"'{quoted}:' || {value}")
    return f"concat('{{', concat_ws(',', {', '.join(parts)}), '}}')" if parts else "'{}'"


_BAG = ScalarRow("pack_all", (overload([repeated(ANY)], DYNAMIC, _bag_sql, "never"),))
_BAG_WITHOUT_EMPTY = ScalarRow(
    "pack_all", (overload([repeated(ANY)], DYNAMIC, _bag_without_empty_sql, "never"),)
)


def bag_of(columns: Sequence[tuple[str, Expr]], *, without_empty: bool = False) -> Expr:
    """A property bag of these columns."""
    arguments: list[Expr] = []
    for name, column in columns:
        arguments.extend((Literal(STRING, nullable=False, value=name), column))
    row = _BAG_WITHOUT_EMPTY if without_empty else _BAG
    return apply(row, row.overloads[0], arguments)


def _pack_all(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    without_empty = False
    if node.arguments:
        without_empty = bool(binder.constant(node.arguments[0], context, "The argument of pack_all()"))
    return bag_of(list(context.columns.items()), without_empty=without_empty)


special("pack_all", _pack_all)


def _bag_pack_columns(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    columns: list[tuple[str, Expr]] = []
    for item in node.arguments:
        if isinstance(item, syntax.Star):
            columns.extend(context.columns.items())
        elif isinstance(item, syntax.Name):
            columns.append((item.name, binder.expression(item, context)))
        elif isinstance(item, syntax.WildcardName):
            from fnmatch import fnmatchcase

            columns.extend((n, c) for n, c in context.columns.items() if fnmatchcase(n, item.pattern))
        else:
            raise binder.error("bag_pack_columns() takes names of columns.", item)
    return bag_of(columns)


special("bag_pack_columns", _bag_pack_columns, aliases=["pack_columns"])

scalar("new_guid", [], GUID, "gen_random_uuid()", nulls="never", stable=False)


def _data_size(call: Emission) -> str:
    sizes = []
    for argument in call.arguments:
        if argument.type in (STRING, DYNAMIC):
            sizes.append(f"coalesce(strlen({argument.sql}), 0)")
        else:
            sizes.append("4" if argument.type is INT else "1" if argument.type is BOOL else "8")
    return f"({' + '.join(sizes) or '0'})::BIGINT"


_SIZE = ScalarRow("estimate_data_size", (overload([repeated(ANY)], LONG, _data_size, "never"),))


def _estimate_data_size(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    arguments: list[Expr] = []
    for item in node.arguments:
        if isinstance(item, syntax.Star):
            arguments.extend(context.columns.values())
        else:
            arguments.append(binder.expression(item, context))
    return apply(_SIZE, _SIZE.overloads[0], arguments)


special("estimate_data_size", _estimate_data_size, difference="counts text, not compressed data")


def _bin_auto(binder: Binder, node: syntax.Call, context: Context) -> Expr:
    from spark_kusto.kql import registry
    from spark_kusto.kql.binder.calls import call_row
    from spark_kusto.kql.binder.statements import parameter_value

    value = binder.expression(node.arguments[0], context)
    options = binder.session.options
    size: Expr | None = None
    if "query_bin_auto_size" in options:
        size = parameter_value(
            binder, options["query_bin_auto_size"], _bin_size_type(value.type), node
        ).expression
    if size is None:
        raise binder.error(
            "bin_auto() needs the size of bins.",
            node,
            remedy="Write: set query_bin_auto_size=1h;",
        )
    row = registry.scalars()["bin_at" if "query_bin_auto_at" in options else "bin"]
    assert isinstance(row, ScalarRow)
    arguments = [value, size]
    if "query_bin_auto_at" in options:
        at = parameter_value(binder, options["query_bin_auto_at"], value.type, node)
        arguments.append(at.expression)
    result = call_row(binder, row, arguments, node)
    assert isinstance(result, Expr)
    return result


def _bin_size_type(kind: KustoType) -> KustoType:
    return KustoType.TIMESPAN if kind is KustoType.DATETIME else kind


special("bin_auto", _bin_auto, column="{0}")

special("toscalar", bind_toscalar)
