"""Well-known text (WKT) of geometry, as GeoJSON: geo_from_wkt()."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from spark_kusto.kql.algorithms.geo_shapes import Json, is_position

_TOKEN = re.compile(r"\s*([A-Za-z]+|[(),]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_NAMES = {
    "POINT": "Point",
    "LINESTRING": "LineString",
    "POLYGON": "Polygon",
    "MULTIPOINT": "MultiPoint",
    "MULTILINESTRING": "MultiLineString",
    "MULTIPOLYGON": "MultiPolygon",
    "GEOMETRYCOLLECTION": "GeometryCollection",
}
_MOST_NESTED = 32


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        self.at = 0
        place = 0
        text = text.rstrip()
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                raise ValueError("no token")
            self.tokens.append(found.group(1))
            place = found.end()

    def take(self) -> str:
        if self.at >= len(self.tokens):
            raise ValueError("end of the text")
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise ValueError(token)

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def listed(self, item: Callable[[], Any]) -> list[Any]:
        self.expect("(")
        items = [item()]
        while self.peek() == ",":
            self.take()
            items.append(item())
        self.expect(")")
        return items

    def pair(self) -> list[float]:
        numbers = [float(self.take()), float(self.take())]
        # Heights and measures are read over.
        while self.peek() not in (",", ")", ""):
            float(self.take())
        if not is_position(*numbers):
            raise ValueError("no coordinates")
        return numbers

    def pairs(self) -> list[Any]:
        return self.listed(self.pair)

    def rings(self) -> list[Any]:
        return self.listed(self.pairs)

    def single(self) -> Any:
        return self.pairs()[0] if self.peek() == "(" else self.pair()

    def geometry(self, depth: int = 0) -> Json:
        name = _NAMES.get(self.take().upper())
        if name is None or depth > _MOST_NESTED:
            raise ValueError("no geometry")
        if self.peek().upper() in ("Z", "M", "ZM"):
            self.take()
        if name == "GeometryCollection":
            return {"type": name, "geometries": self.listed(lambda: self.geometry(depth + 1))}
        readers: dict[str, Callable[[], Any]] = {
            "Point": self.single,
            "LineString": self.pairs,
            "MultiPoint": lambda: self.listed(self.single),
            "Polygon": self.rings,
            "MultiLineString": self.rings,
            "MultiPolygon": lambda: self.listed(self.rings),
        }
        return {"type": name, "coordinates": readers[name]()}


def from_wkt(text: str) -> Json | None:
    """GeoJSON of a geometry in well-known text; ``None`` if it isn't one."""
    try:
        reader = _Reader(text)
        shape = reader.geometry()
    except ValueError:
        return None
    return shape if reader.at == len(reader.tokens) else None
