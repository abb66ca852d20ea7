"""Ingestion mappings: which part of a record fills which column.

JSON as the Kusto documentation ("Data mappings") has it, the older keys included:
``[{"column": "a", "datatype": "long", "Properties": {"Ordinal": 0}}]``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spark_kusto.engine.formats.names import MAPPING_KINDS
from spark_kusto.errors import OptionError, UnsupportedError, nearest
from spark_kusto.kql.algorithms import jsonpath
from spark_kusto.types import Column, KustoType

_TRANSFORMS = (
    "SourceLocation",
    "SourceLineNumber",
    "PropertyBagArrayToDictionary",
    "DateTimeFromUnixSeconds",
    "DateTimeFromUnixMilliseconds",
    "DateTimeFromUnixMicroseconds",
    "DateTimeFromUnixNanoseconds",
    "DropMappedFields",
    "BytesAsBase64",
)


@dataclass(frozen=True)
class MappingItem:
    """One entry of a mapping.

    Attributes:
        column: the table's column.
        type: its type where the mapping says so.
        ordinal: place in a csv record, from 0.
        path: JSON path as steps, or None.
        field: name of a field (avro, w3clogfile, parquet), or None.
        constant: a value for every record, as text, or None.
        transform: name of a transformation, or an empty string.
    """

    column: str
    type: KustoType | None = None
    ordinal: int | None = None
    path: tuple[str | int, ...] | None = None
    field: str | None = None
    constant: str | None = None
    transform: str = ""


def parse_mapping(text: str, kind: str) -> tuple[MappingItem, ...]:
    """A mapping from its JSON.

    Args:
        text: a JSON array.
        kind: one of :data:`MAPPING_KINDS`.

    Raises:
        OptionError: it is not JSON, or an entry says too little or something unknown.
    """
    kind = mapping_kind(kind)
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise OptionError(
            f"The {kind} mapping is not JSON: {error.msg} at character {error.pos}.",
            remedy='Write an array such as \'[{"column":"a","Properties":{"Ordinal":"0"}}]\'.',
        ) from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise OptionError(f"The {kind} mapping is not a JSON array of objects.", remedy="Write [{...}, ...].")
    if not entries:
        raise OptionError(f"The {kind} mapping has no entries.", remedy="Map at least one column.")
    items = tuple(_item(entry, kind, place) for place, entry in enumerate(entries))
    seen: set[str] = set()
    for item in items:
        if item.column in seen:
            raise OptionError(
                f"The {kind} mapping names column '{item.column}' twice.", remedy="Map each column once."
            )
        seen.add(item.column)
    return items


def mapping_kind(name: str) -> str:
    """The kind of that name, in any case.

    Raises:
        OptionError: there is none; the nearest is offered.
    """
    found = name.strip().lower()
    if found not in MAPPING_KINDS:
        close = nearest(found, MAPPING_KINDS)
        raise OptionError(
            f"'{name}' is not a kind of ingestion mapping.",
            remedy=f"Did you mean '{close}'?" if close else f"The kinds are {', '.join(MAPPING_KINDS)}.",
        )
    return found


def _item(entry: Mapping[str, Any], kind: str, place: int) -> MappingItem:
    given = {key.lower(): value for key, value in entry.items()}
    properties = given.get("properties") or {}
    if not isinstance(properties, Mapping):
        raise OptionError(f"'Properties' of entry {place} of the {kind} mapping is not an object.")
    values = {**given, **{key.lower(): value for key, value in properties.items()}}
    column = values.get("column") or values.get("columnname") or values.get("name")
    if not column:
        raise OptionError(f"Entry {place} of the {kind} mapping names no column.", remedy='Give "column".')
    type_name = values.get("datatype") or values.get("cslDataType".lower()) or ""
    constant = values.get("constvalue", values.get("constantvalue"))
    transform = str(values.get("transform") or values.get("transformation") or "")
    transform = "" if transform.lower() == "none" else _transform(transform)
    path, field, ordinal = None, values.get("field"), values.get("ordinal")
    if values.get("path") and constant is None:
        path = _path(str(values["path"]), str(column))
    if kind == "csv" and constant is None and ordinal is None and not transform:
        raise OptionError(
            f"The csv mapping says not where column '{column}' comes from.",
            remedy="Give 'Ordinal' or 'ConstValue'.",
        )
    return MappingItem(
        column=str(column),
        type=KustoType.parse(str(type_name)) if type_name else None,
        ordinal=None if ordinal is None or constant is not None else _ordinal(ordinal, str(column)),
        path=path,
        field=None if field is None else str(field),
        constant=None
        if constant is None
        else constant
        if isinstance(constant, str)
        else json.dumps(constant),
        transform=transform,
    )


def _transform(name: str) -> str:
    for known in _TRANSFORMS:
        if known.lower() == name.lower():
            return known
    if not name:
        return ""
    raise UnsupportedError(f"The mapping transformation '{name}' is not known.", feature=name)


def _ordinal(value: Any, column: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise OptionError(f"The ordinal of column '{column}' is {value!r}.", remedy="Ordinals count from 0.")
    return number


def _path(text: str, column: str) -> tuple[str | int, ...]:
    steps = jsonpath.parse(text if text.startswith("$") else f"$.{text}")
    if steps is None:
        raise OptionError(
            f"'{text}', the path of column '{column}', is not a JSON path that Kusto reads.",
            remedy="Write $.name, $['a name'] or $.list[0].",
        )
    return steps


def default_mapping(columns: Sequence[Column], kind: str) -> tuple[MappingItem, ...]:
    """What is done without a mapping: csv by place, all else by name."""
    if kind == "csv":
        return tuple(MappingItem(c.name, c.type, ordinal=place) for place, c in enumerate(columns))
    return tuple(MappingItem(c.name, c.type, path=(c.name,), field=c.name) for c in columns)


def resolve(
    items: Iterable[MappingItem], columns: Sequence[Column]
) -> tuple[tuple[Column, MappingItem], ...]:
    """Entries with the table's columns that they fill; columns it lacks are left out.

    A mapping may name columns that the table does not have (yet); it then fills the others.
    """
    known = {column.name: column for column in columns}
    return tuple((known[item.column], item) for item in items if item.column in known)


def new_columns(items: Iterable[MappingItem], columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns that a mapping names and the table lacks, for ``extend_schema``."""
    known = {column.name for column in columns}
    return tuple(
        Column(item.column, item.type or KustoType.STRING) for item in items if item.column not in known
    )


def canonical(items: Sequence[MappingItem]) -> str:
    """The JSON that ``.show ingestion mappings`` prints."""
    entries = []
    for item in items:
        properties: dict[str, Any] = {}
        if item.ordinal is not None:
            properties["Ordinal"] = str(item.ordinal)
        if item.path is not None:
            properties["Path"] = path_text(item.path)
        if item.field is not None:
            properties["Field"] = item.field
        if item.constant is not None:
            properties["ConstValue"] = item.constant
        if item.transform:
            properties["Transform"] = item.transform
        entries.append(
            {
                "column": item.column,
                "datatype": item.type.value if item.type else "",
                "Properties": properties,
            }
        )
    return json.dumps(entries, ensure_ascii=False, separators=(",", ":"))


def path_text(steps: Sequence[str | int]) -> str:
    """A JSON path as text."""
    text = "$"
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("_", "a").isalnum() and not step[0].isdigit():
            text += f".{step}"
        else:
            quoted = step.replace("\\", "\\\\").replace("'", "\\'")
            text += f"['{quoted}']"
    return text
