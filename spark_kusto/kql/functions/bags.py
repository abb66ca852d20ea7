"""Functions over property bags."""

from __future__ import annotations

import json
from typing import Any

from spark_kusto.kql.functions.dynamics import json_of
from spark_kusto.kql.registry import ANY, BOOL, DYNAMIC, STRING, parameter, python_scalar, repeated, scalar

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


def _bag_keys(bag: Any) -> list[str] | None:
    return list(bag) if isinstance(bag, dict) else None


def _path_steps(key: str) -> list[str] | None:
    """The names in a JSON path such as ``$.a.b`` or ``$['a b']``, or None for a plain key."""
    if not key.startswith("$."):
        return None
    return key[2:].split(".")


def _bag_remove_keys(bag: Any, keys: Any) -> Any:
    if not isinstance(bag, dict):
        return None
    answer = json.loads(json.dumps(bag))
    for key in keys if isinstance(keys, list) else [keys]:
        steps = _path_steps(str(key))
        if steps is None:
            answer.pop(str(key), None)
            continue
        holder = answer
        for step in steps[:-1]:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(steps[-1], None)
    return answer


def _bag_has_key(bag: Any, key: str) -> bool | None:
    if not isinstance(bag, dict):
        return None
    steps = _path_steps(key)
    if steps is None:
        return key in bag
    holder: Any = bag
    for step in steps:
        if not isinstance(holder, dict) or step not in holder:
            return False
        holder = holder[step]
    return True


def _bag_set_key(bag: Any, key: str, value: Any) -> Any:
    if bag is not None and not isinstance(bag, dict):
        return None
    answer = json.loads(json.dumps(bag or {}))
    steps = _path_steps(key) or [key]
    holder = answer
    for step in steps[:-1]:
        if not isinstance(holder.get(step), dict):
            holder[step] = {}
        holder = holder[step]
    holder[steps[-1]] = value
    return answer


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
python_scalar("bag_keys", [_BAG], DYNAMIC, _bag_keys)
python_scalar("bag_remove_keys", [_BAG, parameter(DYNAMIC, "keys")], DYNAMIC, _bag_remove_keys)
python_scalar("bag_has_key", [_BAG, parameter(STRING, "key")], BOOL, _bag_has_key)
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
    paths: list[str] = []

    def walk(node: Any, path: str) -> None:
        if isinstance(node, dict):
            for key, item in node.items():
                here = f"{path}['{key}']"
                paths.append(here)
                walk(item, here)
        elif isinstance(node, list):
            # Items have no paths of their own: [0] stands for them all.
            here = f"{path}[0]"
            paths.append(here)
            for item in node:
                walk(item, here)

    if not isinstance(value, dict | list):
        return None
    walk(value, "")
    return list(dict.fromkeys(paths))


python_scalar("treepath", [parameter(DYNAMIC, "object")], DYNAMIC, _treepath, column="tree_{0}")
