"""Dynamic values: text to and from them, packing them, their types.

A dynamic value is JSON text in SQL. What is one expression of DuckDB's JSON functions is written
so; the rest is Python over parsed values.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql.functions.conversions import text, text_or_null
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DATETIME,
    DECIMAL,
    DYNAMIC,
    GUID,
    INT,
    LONG,
    NOT_CONSTANT,
    REAL,
    STRING,
    TIMESPAN,
    Argument,
    Emission,
    python_scalar,
    repeated,
    scalar,
)
from spark_kusto.types import KustoType


def json_of(call: Emission, argument: Argument) -> str:
    """SQL of an argument's value as JSON text, NULL where it is null."""
    kind, sql = argument.type, argument.sql
    if kind is DYNAMIC:
        return sql
    if kind in (INT, LONG, BOOL):
        return f"CAST({sql} AS VARCHAR)"
    if kind is REAL:
        return call.once(
            "CASE WHEN isfinite({x}) THEN CAST({x} AS VARCHAR)"
            " WHEN isnan({x}) THEN '\"NaN\"' WHEN {x} > 0 THEN '\"Infinity\"'"
            " WHEN {x} < 0 THEN '\"-Infinity\"' END",
            x=sql,
        )
    if kind is DECIMAL or kind in (DATETIME, TIMESPAN, GUID):
        # Their text needs no escapes.
        return f"('\"' || {text_or_null(call, argument)} || '\"')"
    return f"CAST(to_json({sql}) AS VARCHAR)"


def json_item(call: Emission, argument: Argument) -> str:
    """SQL of an argument's value as an item of JSON: null is written out."""
    sql = json_of(call, argument)
    return sql if not argument.nullable or argument.type is STRING else f"coalesce({sql}, 'null')"


def array_of(items: Sequence[str]) -> str:
    """SQL of a JSON array of items that are JSON text."""
    if not items:
        return "'[]'"
    return "concat('[', " + ", ',', ".join(items) + ", ']')"


# --- text to dynamic -----------------------------------------------------------------------------


def _parse_json(call: Emission) -> str:
    argument = call.arguments[0]
    if argument.type is DYNAMIC:
        return argument.sql
    if argument.type is not STRING:
        return json_of(call, argument)
    # Text that is no JSON becomes a dynamic string of itself; none at all is null.
    body = (
        "CASE WHEN json_valid({x}) THEN nullif(CAST(json({x}) AS VARCHAR), 'null')"
        " WHEN {x} = '' THEN NULL ELSE CAST(to_json({x}) AS VARCHAR) END"
    )
    if isinstance(argument.value, str):
        # Of a constant DuckDB would compute all branches beforehand.
        item = call.fresh()
        return f"list_transform([{argument.sql}], lambda {item}: {body.format(x=item)})[1]"
    return call.once(body, x=argument.sql)


scalar(
    "parse_json",
    [ANY],
    DYNAMIC,
    _parse_json,
    nulls="maybe",
    aliases=["todynamic", "parsejson", "toobject"],
    column="{0}",
    element=lambda arguments: arguments[0].element,
)


def _dynamic_to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


python_scalar("$dynamic_to_json", [DYNAMIC], STRING, _dynamic_to_json)
scalar(
    "dynamic_to_json",
    [ANY],
    STRING,
    lambda call: call.udf("$dynamic_to_json", json_of(call, call.arguments[0])),
    nulls="maybe",
)


# --- packing -------------------------------------------------------------------------------------


def _pack_array(call: Emission) -> str:
    return array_of([json_item(call, argument) for argument in call.arguments])


def _common_element(arguments: Sequence[Argument]) -> KustoType | None:
    kinds = {argument.type for argument in arguments}
    return next(iter(kinds)) if len(kinds) == 1 and not kinds & {DYNAMIC, STRING, BOOL} else None


scalar("pack_array", [repeated(ANY, "value")], DYNAMIC, _pack_array, nulls="never", element=_common_element)


def bag_of(call: Emission, pairs: Sequence[tuple[Argument, Argument]]) -> str:
    """SQL of a JSON object of key and value arguments; of equal keys the first counts."""
    if not pairs:
        return "'{}'"
    keys = [key.value for key, _ in pairs]
    parts = []
    for key, value in pairs:
        name = (
            "'" + json.dumps(key.value, ensure_ascii=False).replace("'", "''") + ":'"
            if isinstance(key.value, str)
            else f"concat(to_json({text(call, key)}), ':')"
        )
        parts += [name, json_item(call, value)]
    body = ", ',', ".join(f"{parts[i]}, {parts[i + 1]}" for i in range(0, len(parts), 2))
    sql = "concat('{', " + body + ", '}')"
    unique = NOT_CONSTANT not in keys and len(set(keys)) == len(keys)
    return sql if unique else call.udf("$first_keys", sql)


def _first_keys(text: str) -> Any:
    def first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        bag: dict[str, Any] = {}
        for key, value in pairs:
            bag.setdefault(key, value)
        return bag

    return json.loads(text, object_pairs_hook=first)


# It takes text, not a dynamic: parsing would have kept the last of equal keys.
python_scalar("$first_keys", [STRING], DYNAMIC, _first_keys)


def _bag_pack(call: Emission) -> str:
    if len(call.arguments) % 2:
        raise KqlSemanticError(
            f"{call.name}() takes pairs of a key and a value; the last key has no value.", code="SEM0219"
        )
    return bag_of(call, list(zip(call.arguments[::2], call.arguments[1::2], strict=True)))


scalar(
    "bag_pack",
    [repeated(ANY, "key, value")],
    DYNAMIC,
    _bag_pack,
    nulls="never",
    aliases=["pack", "pack_dictionary"],
)


# --- types ---------------------------------------------------------------------------------------

_JSON_KINDS = (
    "CASE json_type({0}) WHEN 'VARCHAR' THEN 'string' WHEN 'ARRAY' THEN 'array'"
    " WHEN 'OBJECT' THEN 'dictionary' WHEN 'BOOLEAN' THEN 'bool' WHEN 'DOUBLE' THEN 'double'"
    " WHEN 'BIGINT' THEN 'long' WHEN 'UBIGINT' THEN 'long' WHEN 'HUGEINT' THEN 'double'"
    " ELSE 'null' END"
)


def _gettype(call: Emission) -> str:
    argument = call.arguments[0]
    if argument.type is DYNAMIC:
        return _JSON_KINDS.format(argument.sql)
    # A null has its type, too.
    return f"'{argument.type.value}'"


scalar("gettype", [ANY], STRING, _gettype, nulls="never", column="type_{0}")
