"""Functions over property bags."""

from __future__ import annotations

from typing import Any

from spark_kusto.kql.algorithms import jsonpath
from spark_kusto.kql.functions.dynamics import json_of
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DYNAMIC,
    STRING,
    Emission,
    parameter,
    python_scalar,
    repeated,
    scalar,
)

_BAG = parameter(DYNAMIC, "bag")


def _bag_merge(*bags: Any) -> dict[str, Any] | None:
    if all(not isinstance(bag, dict) for bag in bags):
        return None
    merged: dict[str, Any] = {}
    for bag in bags:
        if isinstance(bag, dict):
            for key, value in bag.items():
                merged.setdefault(key, value)
    return merged


def _path_steps(key: str) -> tuple[str | int, ...]:
    """The steps of a JSON path such as ``$.a.b`` or ``$['a b']``; a plain key is one step."""
    steps = jsonpath.parse(key) if key.startswith(("$.", "$[")) else None
    return steps or (key,)


def _bag_remove_keys(bag: Any, keys: Any) -> Any:
    if not isinstance(bag, dict):
        return None
    for key in keys if isinstance(keys, list) else [keys]:
        bag = jsonpath.without(bag, _path_steps(str(key)))
    return bag


def _bag_has_key(bag: Any, key: str) -> bool | None:
    if not isinstance(bag, dict):
        return None
    holder: Any = bag
    for step in _path_steps(key):
        if not isinstance(holder, dict) or step not in holder:
            return False
        holder = holder[step]
    return True


def _bag_set_key(bag: Any, key: str, value: Any) -> Any:
    if bag is not None and not isinstance(bag, dict):
        return None
    return _with(bag or {}, _path_steps(key), value)


def _with(bag: Any, steps: tuple[str | int, ...], value: Any) -> Any:
    """A copy of the bag with the value at the end of the steps; bags on the way are made."""
    if not steps:
        return value
    held = bag if isinstance(bag, dict) else {}
    name = str(steps[0])
    return {**held, name: _with(held.get(name), steps[1:], value)}


def _bag_zip(keys: Any, values: Any) -> dict[str, Any] | None:
    if not isinstance(keys, list):
        return None
    values = values if isinstance(values, list) else []
    bag: dict[str, Any] = {}
    for position, key in enumerate(keys):
        if isinstance(key, str):
            bag.setdefault(key, values[position] if position < len(values) else None)
    return bag


python_scalar("bag_merge", [_BAG, repeated(DYNAMIC, "bag")], DYNAMIC, _bag_merge, calls_on_null=True)
scalar(
    "bag_keys",
    [_BAG],
    DYNAMIC,
    lambda call: call.once(
        "CASE WHEN json_type({b}) = 'OBJECT' THEN CAST(to_json(json_keys({b})) AS VARCHAR) END", b=call.sql[0]
    ),
    nulls="maybe",
)
python_scalar("bag_remove_keys", [_BAG, parameter(DYNAMIC, "keys")], DYNAMIC, _bag_remove_keys)
python_scalar("$bag_has_key", [DYNAMIC, STRING], BOOL, _bag_has_key)


def _bag_has_key_sql(call: Emission) -> str:
    key = call.arguments[1].value
    if not isinstance(key, str) or len(_path_steps(key)) > 1 or _path_steps(key) != (key,):
        return call.udf("$bag_has_key", *call.sql)
    return call.once(
        "CASE WHEN json_type({b}) = 'OBJECT' THEN list_contains(json_keys({b}), {k}) END",
        b=call.sql[0],
        k=call.sql[1],
    )


scalar("bag_has_key", [_BAG, parameter(STRING, "key")], BOOL, _bag_has_key_sql, nulls="maybe")
python_scalar("$bag_set_key", [DYNAMIC, STRING, DYNAMIC], DYNAMIC, _bag_set_key, calls_on_null=True)
scalar(
    "bag_set_key",
    [_BAG, parameter(STRING, "key"), parameter(ANY, "value")],
    DYNAMIC,
    lambda call: call.udf("$bag_set_key", call.sql[0], call.sql[1], json_of(call, call.arguments[2])),
    nulls="maybe",
)
python_scalar("bag_zip", [parameter(DYNAMIC, "keys"), parameter(DYNAMIC, "values")], DYNAMIC, _bag_zip)


def _treepath(value: Any) -> list[str] | None:
    return jsonpath.tree_paths(value) if isinstance(value, dict | list) else None


python_scalar("treepath", [parameter(DYNAMIC, "object")], DYNAMIC, _treepath, column="tree_{0}")
