"""GeoJSON read into spherical geometry (S2), checked as Kusto checks it, and written back.

Kusto computes on the sphere with Google's S2 library; the extra ``geo`` brings its Python bindings
(``s2geometry``), ``spherely`` (S2's boolean operations over mixed geometry) and ``h3``. A shape that
isn't valid is ``None`` everywhere: the functions answer null for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from spark_kusto.kql.algorithms.extras import require

EARTH_RADIUS = 6371010.0
"""Metres; S2's, and the one that Kusto's answers show."""

Position = Sequence[float]
Json = dict[str, Any]


@lru_cache(maxsize=1)
def s2() -> Any:
    """The S2 bindings."""
    return require("s2geometry", "geo", "This geospatial function")


@lru_cache(maxsize=1)
def spherely() -> Any:
    """S2's operations over mixed geometry."""
    return require("spherely", "geo", "This geospatial function")


@dataclass(frozen=True)
class Lines:
    """A line or several: coordinates, and an S2 polyline for each."""

    parts: tuple[tuple[tuple[float, float], ...], ...]
    polylines: tuple[Any, ...]


@dataclass(frozen=True)
class Polygons:
    """A polygon or several: rings of coordinates, and the S2 polygon of their union."""

    parts: tuple[tuple[tuple[tuple[float, float], ...], ...], ...]
    polygon: Any


# -- coordinates ----------------------------------------------------------------------------------


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_position(longitude: Any, latitude: Any) -> bool:
    """Whether these are coordinates on Earth, in degrees."""
    if not is_number(longitude) or not is_number(latitude):
        return False
    return bool(-180 <= longitude <= 180 and -90 <= latitude <= 90)


def point(longitude: float, latitude: float) -> Any:
    """The S2 point of coordinates in degrees."""
    return s2().S2LatLng.FromDegrees(float(latitude), float(longitude)).ToPoint()


def position(vertex: Any) -> list[float]:
    """``[longitude, latitude]`` in degrees of an S2 point."""
    place = s2().S2LatLng(vertex)
    return [place.lng().degrees(), place.lat().degrees()]


def meters(angle: float) -> float:
    """Length on Earth of an angle in radians."""
    return angle * EARTH_RADIUS


def point_json(vertex: Any) -> Json:
    """GeoJSON of an S2 point."""
    return {"type": "Point", "coordinates": position(vertex)}


def _positions(value: object) -> tuple[tuple[float, float], ...] | None:
    if not isinstance(value, list):
        return None
    found = []
    for item in value:
        if not isinstance(item, list) or len(item) < 2 or not is_position(item[0], item[1]):
            return None
        found.append((float(item[0]), float(item[1])))
    return tuple(found)


# -- reading GeoJSON ------------------------------------------------------------------------------


def _kind(shape: object) -> tuple[str, Any]:
    if isinstance(shape, dict):
        kind, coordinates = shape.get("type"), shape.get("coordinates")
        if isinstance(kind, str):
            return kind.lower(), coordinates
    return "", None


def read_lines(shape: object) -> Lines | None:
    """A ``LineString`` or ``MultiLineString`` whose lines have at least two distinct points each."""
    kind, coordinates = _kind(shape)
    if kind == "linestring":
        coordinates = [coordinates]
    elif kind != "multilinestring" or not isinstance(coordinates, list) or not coordinates:
        return None
    parts = []
    for line in coordinates:
        found = _positions(line)
        if found is None:
            return None
        # A point that repeats the one before it adds nothing, and S2 doesn't take it.
        distinct = tuple(p for i, p in enumerate(found) if i == 0 or p != found[i - 1])
        if len(distinct) < 2:
            return None
        parts.append(distinct)
    polylines = []
    for part in parts:
        polyline = s2().S2Polyline()
        polyline.InitFromS2Points([point(*p) for p in part])
        if not polyline.IsValid():
            return None
        polylines.append(polyline)
    return Lines(tuple(parts), tuple(polylines))


def read_polygons(shape: object) -> Polygons | None:
    """A ``Polygon`` or ``MultiPolygon`` of valid rings; several polygons are united."""
    kind, coordinates = _kind(shape)
    if kind == "polygon":
        coordinates = [coordinates]
    elif kind != "multipolygon" or not isinstance(coordinates, list) or not coordinates:
        return None
    parts, polygons = [], []
    for rings in coordinates:
        if not isinstance(rings, list) or not rings:
            return None
        read = []
        for ring in rings:
            found = _positions(ring)
            if found is None or len(found) < 4 or found[0] != found[-1]:
                return None
            if len(set(found)) != len(found) - 1:
                return None
            read.append(found)
        polygon = make_polygon(read)
        if polygon is None:
            return None
        parts.append(tuple(read))
        polygons.append(polygon)
    return Polygons(tuple(parts), union(polygons))


def make_polygon(rings: Iterable[Sequence[Position]]) -> Any | None:
    """The S2 polygon of closed rings (the larger ones around the smaller ones), if it is valid."""
    loops = []
    for ring in rings:
        loop = s2().S2Loop()
        loop.Init([point(p[0], p[1]) for p in ring[:-1]])
        if not loop.IsValid():
            return None
        # A ring divides the sphere in two; the smaller side is meant.
        loop.Normalize()
        loops.append(loop)
    polygon = s2().S2Polygon()
    polygon.InitNested(loops)
    return polygon if polygon.IsValid() else None


def union(polygons: Sequence[Any]) -> Any:
    """The union of S2 polygons, smallest first as S2's own ``DestructiveUnion`` takes them.

    The order decides at which vertex the rings of the answer start.
    """
    queue = [(polygon.num_vertices(), number, polygon) for number, polygon in enumerate(polygons)]
    count = len(queue)
    while len(queue) > 1:
        queue.sort(key=lambda entry: (entry[0], entry[1]))
        (first_size, _, first), (second_size, _, second), *queue = queue
        united = s2().S2Polygon()
        united.InitToUnion(first, second)
        queue.append((first_size + second_size, count, united))
        count += 1
    return queue[0][2]


def bounds(shape: Lines | Polygons, distance: float) -> tuple[float, float, float, float]:
    """West, east, south and north, in degrees, of all places within ``distance`` metres of a shape.

    West is greater than east where they are on both sides of the date line.
    """
    drawn = shape.polylines if isinstance(shape, Lines) else (shape.polygon,)
    area = drawn[0].GetRectBound()
    for further in drawn[1:]:
        area = area.Union(further.GetRectBound())
    # Rounding must not leave out what touches the edge.
    area = area.ExpandedByDistance(s2().S1Angle.Radians(distance / EARTH_RADIUS + 1e-12))
    sides = (area.lng_lo(), area.lng_hi(), area.lat_lo(), area.lat_hi())
    west, east, south, north = (side.degrees() for side in sides)
    return west, east, south, north


# -- writing GeoJSON ------------------------------------------------------------------------------


def _ring(loop: Any) -> list[list[float]]:
    vertices = [position(loop.vertex(i)) for i in range(loop.num_vertices())]
    if loop.is_hole():
        vertices.reverse()
    return [*vertices, vertices[0]]


def polygon_rings(polygon: Any) -> list[list[list[list[float]]]]:
    """Rings of coordinates (shell, then holes) of each polygon in an S2 polygon."""
    shells: list[list[list[list[float]]]] = []
    for number in range(polygon.num_loops()):
        loop = polygon.loop(number)
        if loop.is_hole():
            shells[-1].append(_ring(loop))
        else:
            shells.append([_ring(loop)])
    return shells


def polygon_json(polygon: Any) -> Json | None:
    """GeoJSON of an S2 polygon; ``None`` if it is empty."""
    shells = polygon_rings(polygon)
    if not shells:
        return None
    if len(shells) == 1:
        return {"type": "Polygon", "coordinates": shells[0]}
    return {"type": "MultiPolygon", "coordinates": shells}


def lines_json(lines: Sequence[Sequence[Position]]) -> Json | None:
    """GeoJSON of lines of coordinates; ``None`` if there are none."""
    if not lines:
        return None
    listed = [[list(p) for p in line] for line in lines]
    if len(listed) == 1:
        return {"type": "LineString", "coordinates": listed[0]}
    return {"type": "MultiLineString", "coordinates": listed}
