"""Functions over arrays, and over arrays as sets."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from spark_kusto.kql.functions.conversions import text
from spark_kusto.kql.functions.dynamics import json_item, json_of
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DATETIME,
    DYNAMIC,
    INTEGER,
    LONG,
    REAL,
    STRING,
    TIMESPAN,
    Emission,
    optional,
    overload,
    parameter,
    python_scalar,
    repeated,
    scalar,
)
from spark_kusto.types import KustoType

_ARRAY = parameter(DYNAMIC, "array")


# --- arrays --------------------------------------------------------------------------------------

scalar(
    "array_length",
    [_ARRAY],
    LONG,
    lambda call: call.once(
        "CASE WHEN json_type({x}) = 'ARRAY' THEN CAST(json_array_length({x}) AS BIGINT) END", x=call.sql[0]
    ),
    nulls="maybe",
    aliases=["arraylength"],
)


def _array_sum(array: Any) -> float | None:
    if not isinstance(array, list):
        return None
    if any(isinstance(item, str | list | dict) for item in array):
        return None
    return float(sum(item for item in array if item is not None))


python_scalar("array_sum", [_ARRAY], REAL, _array_sum)


def _keep(position: int = 0) -> Any:
    return lambda arguments: arguments[position].element if arguments else None


def _array_function(
    name: str,
    parameters: Sequence[Any],
    function: Any,
    *,
    calls_on_null: bool = False,
    aliases: Sequence[str] = (),
) -> None:
    """A function of arrays in Python whose result has items of the first array's type."""
    internal = f"${name}"
    python_scalar(internal, parameters, DYNAMIC, function, calls_on_null=calls_on_null)

    def emit(call: Emission) -> str:
        arguments = [
            json_of(call, argument) if DYNAMIC in wanted.types else f"CAST({argument.sql} AS BIGINT)"
            for argument, wanted in zip(call.arguments, _spread(shapes, len(call.arguments)), strict=True)
        ]
        types = [DYNAMIC if DYNAMIC in wanted.types else LONG for wanted in _spread(shapes, len(arguments))]
        return call.udf(internal, *arguments, types=types)

    shapes = [parameter(kind) for kind in parameters]
    scalar(name, list(parameters), DYNAMIC, emit, nulls="maybe", aliases=aliases, element=_keep())


def _spread(shapes: Sequence[Any], count: int) -> list[Any]:
    return [shapes[min(position, len(shapes) - 1)] for position in range(count)]


def _concat(*arrays: Any) -> list[Any] | None:
    if all(array is None for array in arrays):
        return None
    joined: list[Any] = []
    for array in arrays:
        joined += array if isinstance(array, list) else [] if array is None else [array]
    return joined


def _slice(array: Any, start: int, end: int) -> list[Any] | None:
    if not isinstance(array, list):
        return None
    size = len(array)
    start = max(0, start + size) if start < 0 else start
    end = end + size if end < 0 else end
    return array[start : end + 1] if end >= start else []


def _reverse(array: Any) -> list[Any] | None:
    return array[::-1] if isinstance(array, list) else None


def _rotate_left(array: Any, count: int) -> list[Any] | None:
    if not isinstance(array, list):
        return None
    count = count % len(array) if array else 0
    return array[count:] + array[:count]


def _rotate_right(array: Any, count: int) -> list[Any] | None:
    return _rotate_left(array, -count)


def _shift_left(array: Any, count: int, filler: Any = None) -> list[Any] | None:
    if not isinstance(array, list):
        return None
    if filler is None and array and all(isinstance(item, str) for item in array):
        filler = ""
    size = len(array)
    if count >= 0:
        return (array[count:] + [filler] * count)[:size] if count < size else [filler] * size
    count = min(-count, size)
    return [filler] * count + array[: size - count]


def _shift_right(array: Any, count: int, filler: Any = None) -> list[Any] | None:
    return _shift_left(array, -count, filler)


def _split(array: Any, places: Any) -> list[Any] | None:
    if not isinstance(array, list):
        return None
    size = len(array)
    cuts = places if isinstance(places, list) else [places]
    if not all(isinstance(cut, int) for cut in cuts):
        return None
    cuts = [max(0, cut + size) if cut < 0 else min(cut, size) for cut in cuts]
    pieces, last = [], 0
    for cut in cuts:
        pieces.append(array[last:cut])
        last = max(last, cut)
    return [*pieces, array[last:]]


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return value != 0
    return None


def _iff(conditions: Any, when_true: Any, when_false: Any) -> list[Any] | None:
    if not isinstance(conditions, list):
        return None

    def at(values: Any, position: int) -> Any:
        if isinstance(values, list):
            return values[position] if position < len(values) else None
        return values

    answer = []
    for position, condition in enumerate(conditions):
        truth = _truth(condition)
        answer.append(None if truth is None else at(when_true if truth else when_false, position))
    return answer


_array_function("array_concat", [_ARRAY, repeated(DYNAMIC, "array")], _concat, calls_on_null=True)
_array_function("array_slice", [_ARRAY, parameter(LONG, "start"), parameter(LONG, "end")], _slice)
_array_function("array_reverse", [_ARRAY], _reverse)
_array_function("array_rotate_left", [_ARRAY, parameter(LONG, "count")], _rotate_left)
_array_function("array_rotate_right", [_ARRAY, parameter(LONG, "count")], _rotate_right)
_array_function(
    "array_shift_left",
    [_ARRAY, parameter(LONG, "count"), optional(ANY, name="default")],
    _shift_left,
)
_array_function(
    "array_shift_right",
    [_ARRAY, parameter(LONG, "count"), optional(ANY, name="default")],
    _shift_right,
)
_array_function("array_split", [_ARRAY, parameter(ANY, "index")], _split)
_array_function(
    "array_iff",
    [parameter(DYNAMIC, "condition"), parameter(ANY, "when_true"), parameter(ANY, "when_false")],
    _iff,
    calls_on_null=True,
    aliases=["array_iif"],
)


def _same_item(left: Any, right: Any) -> bool:
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def _index_of(array: Any, value: Any, start: int, length: int, occurrence: int) -> int | None:
    if not isinstance(array, list) or length < -1 or occurrence <= 0:
        return None
    size = len(array)
    start = max(0, start + size) if start < 0 else start
    end = size if length == -1 else min(size, start + length)
    for position in range(start, end):
        if _same_item(array[position], value):
            occurrence -= 1
            if occurrence == 0:
                return position
    return -1


python_scalar("$array_index_of", [DYNAMIC, DYNAMIC, LONG, LONG, LONG], LONG, _index_of)


def _array_index_of(call: Emission) -> str:
    if len(call.arguments) == 2 and call.types[1] is STRING:
        return call.once(
            "CASE WHEN json_type({a}) = 'ARRAY' THEN CAST(coalesce(list_position("
            "CAST(json_extract({a}, '$[*]') AS VARCHAR[]), {v}), 0) - 1 AS BIGINT) END",
            a=call.sql[0],
            v=json_of(call, call.arguments[1]),
        )
    defaults = ["0", "-1", "1"]
    given = [f"CAST({sql} AS BIGINT)" for sql in call.sql[2:]]
    return call.udf(
        "$array_index_of",
        call.sql[0],
        json_of(call, call.arguments[1]),
        *given,
        *defaults[len(given) :],
    )


scalar(
    "array_index_of",
    [
        _ARRAY,
        parameter(ANY, "value"),
        optional(INTEGER, name="start"),
        optional(INTEGER, name="length"),
        optional(INTEGER, name="occurrence"),
    ],
    LONG,
    _array_index_of,
    nulls="maybe",
)


def _strcat_array(call: Emission) -> str:
    array = call.sql[0]
    delimiter = text(call, call.arguments[1])
    # A null is an empty text; what is no array is written whole.
    return call.once(
        "CASE WHEN json_type({a}) = 'ARRAY' THEN array_to_string(list_transform("
        f"CAST(json_extract_string({{a}}, '$[*]') AS VARCHAR[]), lambda e: coalesce(e, '')), {delimiter})"
        " ELSE json_extract_string({a}, '$') END",
        a=array,
    )


scalar(
    "strcat_array",
    [_ARRAY, parameter(ANY, "delimiter")],
    STRING,
    _strcat_array,
    nulls="maybe",
    aliases=["array_strcat"],
)


def _zip(*arrays: Any) -> list[Any] | None:
    columns = [array if isinstance(array, list) else [] for array in arrays]
    size = max(map(len, columns))
    return [[column[i] if i < len(column) else None for column in columns] for i in range(size)]


python_scalar("zip", [_ARRAY, _ARRAY, repeated(DYNAMIC, "array")], DYNAMIC, _zip, calls_on_null=True)


# --- sorting -------------------------------------------------------------------------------------


def _rank(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return (0, value)
    if isinstance(value, int | float):
        return (1, value)
    if isinstance(value, str):
        return (2, value)
    return (3, json.dumps(value, sort_keys=True))


def sorted_arrays(arrays: Sequence[Any], descending: bool, nulls_last: bool) -> list[Any]:
    """The first array sorted, the others in its order; arrays of another length become null."""
    keys = arrays[0]
    if not isinstance(keys, list):
        return [None] * len(arrays)
    present = [i for i, key in enumerate(keys) if key is not None]
    missing = [i for i, key in enumerate(keys) if key is None]
    present.sort(key=lambda i: _rank(keys[i]), reverse=descending)
    order = present + missing if nulls_last else missing + present
    return [
        [array[i] for i in order] if isinstance(array, list) and len(array) == len(keys) else None
        for array in arrays
    ]


# --- sets ----------------------------------------------------------------------------------------


def _key(value: Any) -> Any:
    return (type(value) is bool, value) if isinstance(value, int | float | str | bool) else json.dumps(value)


def _distinct(items: Any) -> list[Any]:
    seen: dict[Any, Any] = {}
    for item in items if isinstance(items, list) else []:
        seen.setdefault(_key(item), item)
    return list(seen.values())


def _union(*sets: Any) -> list[Any] | None:
    if all(each is None for each in sets):
        return None
    return _distinct([item for each in sets if isinstance(each, list) for item in each])


def _intersect(*sets: Any) -> list[Any] | None:
    if any(not isinstance(each, list) for each in sets):
        return [] if all(each is None or isinstance(each, list) for each in sets) else None
    others = [{_key(item) for item in each} for each in sets[1:]]
    return [item for item in _distinct(sets[0]) if all(_key(item) in other for other in others)]


def _difference(first: Any, *others: Any) -> list[Any] | None:
    if not isinstance(first, list):
        return None
    taken = {_key(item) for each in others if isinstance(each, list) for item in each}
    return [item for item in _distinct(first) if _key(item) not in taken]


_SET = parameter(DYNAMIC, "set")
_array_function("set_union", [_SET, _SET, repeated(DYNAMIC, "set")], _union, calls_on_null=True)
_array_function("set_intersect", [_SET, _SET, repeated(DYNAMIC, "set")], _intersect, calls_on_null=True)
_array_function("set_difference", [_SET, _SET, repeated(DYNAMIC, "set")], _difference, calls_on_null=True)


def _has_element(array: Any, value: Any) -> bool | None:
    if not isinstance(array, list):
        return None
    return any(_same_item(item, value) for item in array)


python_scalar("$set_has_element", [DYNAMIC, DYNAMIC], BOOL, _has_element)


def _set_has_element(call: Emission) -> str:
    array, value = call.sql[0], json_of(call, call.arguments[1])
    if call.types[1] is not STRING:
        return call.udf("$set_has_element", array, value)
    # Texts are equal where their JSON is; 1 and 1.0, say, are equal too.
    return call.once(
        "CASE WHEN json_type({a}) = 'ARRAY'"
        " THEN list_contains(CAST(json_extract({a}, '$[*]') AS VARCHAR[]), {v}) END",
        a=array,
        v=value,
    )


scalar("set_has_element", [_SET, parameter(ANY, "value")], BOOL, _set_has_element, nulls="maybe")


def _set_equals(left: Any, right: Any) -> bool | None:
    if not isinstance(left, list) or not isinstance(right, list):
        return None
    return {_key(item) for item in left} == {_key(item) for item in right}


python_scalar("set_equals", [_SET, _SET], BOOL, _set_equals)


def _jaccard(left: Any, right: Any) -> float | None:
    if not isinstance(left, list) or not isinstance(right, list):
        return None
    first, second = {_key(item) for item in left}, {_key(item) for item in right}
    union = first | second
    return len(first & second) / len(union) if union else float("nan")


python_scalar("jaccard_index", [_SET, _SET], REAL, _jaccard)


# --- making arrays -------------------------------------------------------------------------------

_MOST_ITEMS = 1_048_576


def _range_numbers(start: Any, stop: Any, step: Any) -> list[Any] | None:
    if None in (start, stop, step) or step == 0:
        return None
    steps = (stop - start) // step
    if not math.isfinite(steps):
        return None
    count = int(steps) + 1
    return [start + step * i for i in range(max(0, min(count, _MOST_ITEMS)))]


def _range_datetimes(start: Any, stop: Any, step: int) -> list[Any] | None:
    import datetime as dt

    values = _range_numbers(0, (stop - start) // dt.timedelta(microseconds=1), step // 10)
    return None if values is None else [start + dt.timedelta(microseconds=value) for value in values]


def _range_timespans(start: int, stop: int, step: int) -> list[str] | None:
    from spark_kusto.kql.execution import timespan_text

    values = _range_numbers(start, stop, step)
    return None if values is None else [timespan_text(value) for value in values]


python_scalar("$range_numbers", [LONG, LONG, LONG], DYNAMIC, _range_numbers)
python_scalar("$range_reals", [REAL, REAL, REAL], DYNAMIC, _range_numbers)
python_scalar("$range_datetimes", [DATETIME, DATETIME, TIMESPAN], DYNAMIC, _range_datetimes)
python_scalar("$range_timespans", [TIMESPAN, TIMESPAN, TIMESPAN], DYNAMIC, _range_timespans)


def _range(name: str, default: str) -> Any:
    def emit(call: Emission) -> str:
        given = list(call.sql)
        return call.udf(name, *given, *([default] if len(given) < 3 else []))

    return emit


_HOUR = "36000000000"


def _range_of(kind: KustoType, step: KustoType, name: str, default: str) -> Any:
    return overload(
        [parameter(kind, "start"), parameter(kind, "stop"), optional(step, name="step")],
        DYNAMIC,
        _range(name, default),
    )


scalar(
    "range",
    [
        _range_of(LONG, LONG, "$range_numbers", "1"),
        _range_of(REAL, REAL, "$range_reals", "1.0::DOUBLE"),
        _range_of(DATETIME, TIMESPAN, "$range_datetimes", _HOUR),
        _range_of(TIMESPAN, TIMESPAN, "$range_timespans", _HOUR),
    ],
    nulls="maybe",
    element=lambda arguments: arguments[0].type,
)


def _repeat(call: Emission) -> str:
    item = json_item(call, call.arguments[0])
    return call.once(
        "CASE WHEN {n} < 0 THEN NULL ELSE"
        " concat('[', array_to_string(list_resize(CAST([] AS VARCHAR[]), {n}, {x}), ','), ']') END",
        n=call.sql[1],
        x=item,
    )


scalar(
    "repeat",
    [parameter(ANY, "value"), parameter(LONG, "count")],
    DYNAMIC,
    _repeat,
    nulls="maybe",
    column="repeat_{0}",
    element=lambda arguments: arguments[0].type,
)
