"""Schemas of dynamic values and of texts: buildschema(), infer_storage_schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

INDEXER = "`indexer`"
"""Name under which a schema shows what an array holds."""


@dataclass
class _Shape:
    scalars: set[str] = field(default_factory=set)
    members: dict[str, _Shape] = field(default_factory=dict)
    is_bag: bool = False

    def add(self, value: object) -> None:
        if isinstance(value, dict):
            self.is_bag = True
            for name, item in value.items():
                self.members.setdefault(name, _Shape()).add(item)
        elif isinstance(value, list):
            self.is_bag = True
            inner = self.members.setdefault(INDEXER, _Shape())
            for item in value:
                inner.add(item)
        elif isinstance(value, bool):
            self.scalars.add("bool")
        elif isinstance(value, int):
            self.scalars.add("long")
        elif isinstance(value, float):
            self.scalars.add("double")
        elif isinstance(value, str):
            self.scalars.add("string")

    def form(self) -> object:
        forms: list[object] = []
        if self.is_bag:
            forms.append({name: shape.form() for name, shape in self.members.items()})
        forms.extend(sorted(self.scalars))
        if not forms:
            return "null"
        return forms[0] if len(forms) == 1 else forms


def build_schema(values: Iterable[object] | None) -> object:
    """The least schema that admits all values: type names, bags of schemas, lists of alternatives."""
    shape = _Shape()
    seen = False
    for value in values or ():
        if value is not None:
            seen = True
            shape.add(value)
    return shape.form() if seen else None
