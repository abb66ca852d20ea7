"""Unions, intersections, buffers, densified and simplified shapes, on the sphere.

Buffers are S2's ``S2BufferOperation``; its Python bindings take points and polygons, so the buffer of
a line is drawn here the way S2 draws it. Densifying is S2's edge tessellator.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from spark_kusto.kql.algorithms.geo_measures import Vector, cross, dot, norm
from spark_kusto.kql.algorithms.geo_shapes import (
    EARTH_RADIUS,
    Json,
    Lines,
    Polygons,
    Position,
    is_number,
    is_position,
    lines_json,
    make_polygon,
    point,
    polygon_json,
    position,
    read_lines,
    read_polygons,
    s2,
    spherely,
    union,
)

DEFAULT_TOLERANCE = 10.0
"""Metres."""

# -- boolean operations ---------------------------------------------------------------------------

_Ring = Sequence[Position]


def _wkb_ring(ring: _Ring) -> bytes:
    flat = [float(number) for place in ring for number in place[:2]]
    return struct.pack(f"<I{len(flat)}d", len(ring), *flat)


def _line_geography(lines: Lines) -> Any:
    bodies = [b"\x01\x02\x00\x00\x00" + _wkb_ring(line) for line in lines.parts]
    body = bodies[0]
    if len(bodies) > 1:
        body = b"\x01\x05\x00\x00\x00" + struct.pack("<I", len(bodies)) + b"".join(bodies)
    return spherely().from_wkb(body)


def _polygon_geography(polygons: Polygons) -> Any:
    shape = polygon_json(polygons.polygon)
    assert shape is not None
    coordinates = shape["coordinates"]
    # A single valid polygon goes as it was written, so that the answer starts where Kusto's does.
    parts: Any = polygons.parts if len(polygons.parts) == 1 else coordinates
    if len(polygons.parts) > 1 and shape["type"] == "Polygon":
        parts = [coordinates]
    bodies = [
        b"\x01\x03\x00\x00\x00" + struct.pack("<I", len(rings)) + b"".join(map(_wkb_ring, rings))
        for rings in parts
    ]
    body = bodies[0]
    if len(bodies) > 1:
        body = b"\x01\x06\x00\x00\x00" + struct.pack("<I", len(bodies)) + b"".join(bodies)
    return spherely().from_wkb(body)


class _Wkb:
    """Reads well-known binary into lists of points, lines and polygons."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.points: list[list[float]] = []
        self.lines: list[list[list[float]]] = []
        self.polygons: list[list[list[list[float]]]] = []
        self._geometry()

    def _count(self, order: str) -> int:
        (value,) = struct.unpack_from(order + "I", self.data, self.at)
        self.at += 4
        return int(value)

    def _places(self, order: str, count: int) -> list[list[float]]:
        flat = struct.unpack_from(f"{order}{2 * count}d", self.data, self.at)
        self.at += 16 * count
        return [[flat[i], flat[i + 1]] for i in range(0, len(flat), 2)]

    def _geometry(self) -> None:
        order = "<" if self.data[self.at] else ">"
        self.at += 1
        kind = self._count(order)
        if kind == 1:
            place = self._places(order, 1)[0]
            if not math.isnan(place[0]):
                self.points.append(place)
        elif kind == 2:
            line = self._places(order, self._count(order))
            if line:
                self.lines.append(line)
        elif kind == 3:
            rings = [self._places(order, self._count(order)) for _ in range(self._count(order))]
            if rings:
                self.polygons.append(rings)
        else:
            for _ in range(self._count(order)):
                self._geometry()


def _parts_json(
    points: Sequence[list[float]],
    lines: Sequence[list[list[float]]],
    polygons: Sequence[list[list[list[float]]]],
) -> Json:
    shapes: list[Json] = []
    if len(points) == 1:
        shapes.append({"type": "Point", "coordinates": points[0]})
    elif points:
        shapes.append({"type": "MultiPoint", "coordinates": list(points)})
    line_shape = lines_json(lines)
    if line_shape is not None:
        shapes.append(line_shape)
    if len(polygons) == 1:
        shapes.append({"type": "Polygon", "coordinates": polygons[0]})
    elif polygons:
        shapes.append({"type": "MultiPolygon", "coordinates": list(polygons)})
    if len(shapes) == 1:
        return shapes[0]
    return {"type": "GeometryCollection", "geometries": shapes}


def _key(place: Sequence[float]) -> tuple[float, float]:
    return (round(place[0], 10), round(place[1], 10))


def _distinct_lines(lines: Sequence[list[list[float]]]) -> list[list[list[float]]]:
    seen: dict[tuple[tuple[float, float], ...], list[list[float]]] = {}
    for line in lines:
        forward = tuple(map(_key, line))
        seen.setdefault(min(forward, forward[::-1]), line)
    return list(seen.values())


def _distinct_points(points: Sequence[list[float]]) -> list[list[float]]:
    return list({_key(place): place for place in reversed(points)}.values())[::-1]


def intersects_2lines(first: object, second: object) -> bool | None:
    """Whether two lines or multilines meet."""
    a, b = read_lines(first), read_lines(second)
    if a is None or b is None:
        return None
    return bool(spherely().intersects(_line_geography(a), _line_geography(b)))


def intersects_line_with_polygon(first: object, second: object) -> bool | None:
    """Whether a line meets a polygon."""
    a, b = read_lines(first), read_polygons(second)
    if a is None or b is None:
        return None
    return bool(spherely().intersects(_line_geography(a), _polygon_geography(b)))


def intersects_2polygons(first: object, second: object) -> bool | None:
    """Whether two polygons meet."""
    a, b = read_polygons(first), read_polygons(second)
    if a is None or b is None:
        return None
    return bool(spherely().intersects(_polygon_geography(a), _polygon_geography(b)))


def intersection_2lines(first: object, second: object) -> Json | None:
    """What two lines have in common."""
    a, b = read_lines(first), read_lines(second)
    if a is None or b is None:
        return None
    found = _Wkb(spherely().to_wkb(spherely().intersection(_line_geography(a), _line_geography(b))))
    return _parts_json(_distinct_points(found.points), _distinct_lines(found.lines), [])


def intersection_line_with_polygon(first: object, second: object) -> Json | None:
    """The stretches of a line within a polygon."""
    a, b = read_lines(first), read_polygons(second)
    if a is None or b is None:
        return None
    common = spherely().intersection(_line_geography(a), _polygon_geography(b))
    found = _Wkb(spherely().to_wkb(common))
    return _parts_json(_distinct_points(found.points), found.lines, [])


def intersection_2polygons(first: object, second: object) -> Json | None:
    """What two polygons have in common: also points and lines where they only touch."""
    a, b = read_polygons(first), read_polygons(second)
    if a is None or b is None:
        return None
    left, right = _polygon_geography(a), _polygon_geography(b)
    found = _Wkb(spherely().to_wkb(spherely().intersection(left, right)))
    edges = spherely().intersection(spherely().boundary(left), spherely().boundary(right))
    touching = _Wkb(spherely().to_wkb(edges))
    # What the boundaries share and no common area borders is a touch.
    rims = [rim for rings in found.polygons if (rim := make_polygon(rings)) is not None]

    def apart(place: Sequence[float]) -> bool:
        vertex = point(place[0], place[1])
        return all(rim.GetDistance(vertex).radians() > 1e-12 for rim in rims)

    lines = [line for line in _distinct_lines(touching.lines) if any(map(apart, (line[0], line[-1])))]
    ends = {_key(place) for line in lines for place in line}
    points = [
        place for place in _distinct_points(touching.points) if apart(place) and _key(place) not in ends
    ]
    return _parts_json(points, lines, found.polygons)


def union_polygons_array(shapes: object) -> Json | None:
    """The union of an array of polygons."""
    if not isinstance(shapes, list) or not shapes:
        return None
    read = [read_polygons(shape) for shape in shapes]
    known = [polygons.polygon for polygons in read if polygons is not None]
    return polygon_json(union(known)) if len(known) == len(read) else None


def union_lines_array(shapes: object) -> Json | None:
    """The union of an array of lines, joined into the longest walks."""
    if not isinstance(shapes, list) or not shapes:
        return None
    lines: list[tuple[tuple[float, float], ...]] = []
    for shape in shapes:
        read = read_lines(shape)
        if read is None:
            return None
        lines.extend(read.parts)
    united: Any = None
    for line in lines:
        geography = _line_geography(Lines((line,), ()))
        united = geography if united is None else spherely().union(united, geography)
    return lines_json(_walks(_Wkb(spherely().to_wkb(united)).lines))


def _walks(lines: Sequence[list[list[float]]]) -> list[list[list[float]]]:
    """Lines cut into edges, repeated ones dropped, and joined where exactly two meet."""
    edges: dict[frozenset[tuple[float, float]], tuple[list[float], list[float]]] = {}
    for line in lines:
        for start, end in pairwise(line):
            ends = frozenset((_key(start), _key(end)))
            if len(ends) == 2:
                edges.setdefault(ends, (start, end))
    at: dict[tuple[float, float], list[frozenset[tuple[float, float]]]] = {}
    for ends in edges:
        for key in ends:
            at.setdefault(key, []).append(ends)
    left = dict(edges)
    walks: list[list[list[float]]] = []
    for ends, (start, end) in edges.items():
        if ends not in left:
            continue
        del left[ends]
        walk = [start, end]
        for forward in (True, False):
            while True:
                key = _key(walk[-1] if forward else walk[0])
                others = [other for other in at[key] if other in left]
                if len(at[key]) != 2 or not others:
                    break
                first, second = left.pop(others[0])
                following = second if _key(first) == key else first
                walk.append(following) if forward else walk.insert(0, following)
        walks.append(walk)
    return walks


# -- buffers --------------------------------------------------------------------------------------


def _error_fraction(radius: float, tolerance: float | None) -> float | None:
    if tolerance is None:
        tolerance = DEFAULT_TOLERANCE
    if not is_number(radius) or radius <= 0 or not is_number(tolerance) or tolerance <= 0:
        return None
    fraction = tolerance / radius
    return None if fraction < 1e-6 else min(fraction, 1.0)


def _buffer(radius: float, fraction: float) -> tuple[Any, Any]:
    polygon = s2().S2Polygon()
    options = s2().S2BufferOperationOptions()
    options.set_buffer_radius(s2().S1Angle.Radians(radius / EARTH_RADIUS))
    options.set_error_fraction(fraction)
    return s2().S2BufferOperation(s2().S2PolygonLayer(polygon), options), polygon


def point_buffer(
    longitude: float, latitude: float, radius: float, tolerance: float | None = DEFAULT_TOLERANCE
) -> Json | None:
    """The circle of ``radius`` metres around a place, as a polygon off by at most ``tolerance``."""
    fraction = _error_fraction(radius, tolerance)
    if fraction is None or not is_position(longitude, latitude):
        return None
    operation, polygon = _buffer(radius, fraction)
    operation.AddPoint(point(longitude, latitude))
    return polygon_json(polygon) if operation.Build() else None


def grown_polygons(
    polygons: Polygons, radius: float, tolerance: float | None = DEFAULT_TOLERANCE
) -> Any | None:
    """The S2 polygon of all places within ``radius`` metres of polygons."""
    fraction = _error_fraction(radius, tolerance)
    if fraction is None:
        return None
    operation, polygon = _buffer(radius, fraction)
    # The operation takes its polygon over and destroys it.
    operation.AddPolygon(polygons.polygon.Clone())
    return polygon if operation.Build() else None


def polygon_buffer(shape: object, radius: float, tolerance: float | None = DEFAULT_TOLERANCE) -> Json | None:
    """All places within ``radius`` metres of a polygon."""
    polygons = read_polygons(shape)
    grown = None if polygons is None else grown_polygons(polygons, radius, tolerance)
    return None if grown is None else polygon_json(grown)


def _unit(a: Vector) -> Vector:
    length = norm(a)
    return (a[0] / length, a[1] / length, a[2] / length)


def _ray(origin: Vector, direction: Vector, angle: float) -> Vector:
    c, s = math.cos(angle), math.sin(angle)
    return (
        c * origin[0] + s * direction[0],
        c * origin[1] + s * direction[1],
        c * origin[2] + s * direction[2],
    )


def _step(radius: float, error: float) -> float:
    """The longest edge that stays within the error of a circle (S2's ``GetMaxEdgeSpan``)."""
    step = 2 * math.pi / 3 + 1e-15
    least = radius - error
    if radius < math.pi / 2:
        return min(step, 2 * math.acos(math.tan(least) / math.tan(radius)))
    if least > math.pi / 2:
        return min(step, 2 * math.acos(math.tan(radius) / math.tan(least)))
    return step


def _capsule(a: Vector, b: Vector, radius: float, fraction: float) -> list[list[float]]:
    """The ring around one edge: a half circle, a side, a half circle, a side."""
    error = fraction * radius
    turn = _step(radius, error)
    along = _step(math.pi / 2 - radius, error)
    ring: list[Vector] = []

    def arc(center: Vector, start: Vector, end: Vector) -> None:
        across = _unit(cross(center, start))
        span = math.acos(max(-1.0, min(1.0, dot(start, end))))
        angle = 0.0
        while True:
            ring.append(_ray(center, _ray(start, across, angle), radius))
            angle += turn
            if angle >= span:
                return

    def side(start: Vector, end: Vector) -> None:
        axis = _unit(cross(end, start))
        ahead = _unit(cross(axis, start))
        if dot(ahead, end) < 0:
            ahead = (-ahead[0], -ahead[1], -ahead[2])
        length = math.atan2(norm(cross(start, end)), dot(start, end))
        angle = 0.0
        while angle < length:
            ring.append(_ray(_ray(start, ahead, angle), axis, radius))
            angle += along

    axis = _unit(cross(b, a))
    back = (-axis[0], -axis[1], -axis[2])
    arc(a, back, axis)
    side(a, b)
    arc(b, axis, back)
    side(b, a)
    vertices = [position(s2().S2Point_FromRaw(*vertex)) for vertex in ring]
    return [*vertices, vertices[0]]


def grown_lines(lines: Lines, radius: float, tolerance: float | None = DEFAULT_TOLERANCE) -> Any | None:
    """The S2 polygon of all places within ``radius`` metres of lines."""
    fraction = _error_fraction(radius, tolerance)
    if fraction is None or radius / EARTH_RADIUS >= math.pi / 2:
        return None
    pieces = []
    for line in lines.parts:
        vertices = [point(*place) for place in line]
        vectors = [(v.x(), v.y(), v.z()) for v in vertices]
        for start, end in pairwise(vectors):
            piece = make_polygon([_capsule(start, end, radius / EARTH_RADIUS, fraction)])
            if piece is None:
                return None
            pieces.append(piece)
    return union(pieces)


def line_buffer(shape: object, radius: float, tolerance: float | None = DEFAULT_TOLERANCE) -> Json | None:
    """All places within ``radius`` metres of a line."""
    lines = read_lines(shape)
    grown = None if lines is None else grown_lines(lines, radius, tolerance)
    return None if grown is None else polygon_json(grown)


# -- densifying -----------------------------------------------------------------------------------

_TESSELLATION_SCALE = 0.83829992569888509
_TESSELLATION_FRACTION = 0.31215691082248312
_MOST_DENSE = 10_485_760


def _valid_tolerance(tolerance: float | None) -> float | None:
    if tolerance is None:
        return DEFAULT_TOLERANCE
    return tolerance if is_number(tolerance) and 0.1 <= tolerance <= 10000 else None


def _unprojected(place: Position) -> Vector:
    vertex = point(math.remainder(place[0], 360.0), place[1])
    return (vertex.x(), vertex.y(), vertex.z())


def _interpolated(a: Vector, b: Vector, fraction: float) -> Vector:
    angle = math.atan2(norm(cross(a, b)), dot(a, b))
    if angle == 0:
        return a
    tangent = _unit(cross(cross(a, b), a))
    return _ray(a, tangent, angle * fraction)


def _dense(ring: _Ring, tolerance: float) -> list[list[float]]:
    limit = _TESSELLATION_SCALE * tolerance / EARTH_RADIUS
    vertices = [_unprojected(ring[0])]

    def planar(a: Position, b: Position, fraction: float) -> tuple[float, float]:
        return (a[0] + fraction * (b[0] - a[0]), a[1] + fraction * (b[1] - a[1]))

    def error(pa: Position, a: Vector, pb: Position, b: Vector) -> float:
        if dot(a, b) < -1e-14:
            return math.inf
        worst = 0.0
        for fraction in (_TESSELLATION_FRACTION, 1 - _TESSELLATION_FRACTION):
            on_sphere = _interpolated(a, b, fraction)
            on_map = _unprojected(planar(pa, pb, fraction))
            away = math.atan2(norm(cross(on_sphere, on_map)), dot(on_sphere, on_map))
            worst = max(worst, away)
        return worst

    def add(pa: Position, a: Vector, pb: Position, b: Vector) -> None:
        if len(vertices) > _MOST_DENSE:
            raise OverflowError
        if error(pa, a, pb, b) <= limit:
            vertices.append(b)
            return
        middle = planar(pa, pb, 0.5)
        place = _unprojected(middle)
        add(pa, a, middle, place)
        add(middle, place, pb, b)

    for start, end in pairwise(ring):
        # The shorter way round: an edge across the antimeridian is not one around the world.
        shift = 360.0 if end[0] - start[0] < -180 else -360.0 if end[0] - start[0] > 180 else 0.0
        add(start, _unprojected(start), (end[0] + shift, end[1]), _unprojected(end))
    return [position(s2().S2Point_FromRaw(*vertex)) for vertex in vertices]


def line_densify(
    shape: object, tolerance: float | None = DEFAULT_TOLERANCE, _preserve: bool | None = False
) -> Json | None:
    """A line whose edges, straight in degrees, are followed by short geodesics."""
    lines, valid = read_lines(shape), _valid_tolerance(tolerance)
    if lines is None or valid is None:
        return None
    dense = [_dense(line, valid) for line in lines.parts]
    return lines_json(dense)


def polygon_densify(
    shape: object, tolerance: float | None = DEFAULT_TOLERANCE, _preserve: bool | None = False
) -> Json | None:
    """A polygon whose edges, straight in degrees, are followed by short geodesics."""
    polygons, valid = read_polygons(shape), _valid_tolerance(tolerance)
    if polygons is None or valid is None:
        return None
    parts = [[_dense(ring, valid) for ring in rings] for rings in polygons.parts]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


# -- simplifying ----------------------------------------------------------------------------------


def _distance_to_edge(place: Vector, a: Vector, b: Vector) -> float:
    normal = cross(a, b)
    length = norm(normal)
    ends = min(
        math.atan2(norm(cross(place, a)), dot(place, a)),
        math.atan2(norm(cross(place, b)), dot(place, b)),
    )
    if length < 1e-15:
        return ends
    inside = dot(cross(normal, a), place) > 0 > dot(cross(normal, b), place)
    return abs(math.asin(max(-1.0, min(1.0, dot(place, normal) / length)))) if inside else ends


def _simplified(places: Sequence[Position], tolerance: float) -> list[list[float]]:
    """Douglas and Peucker's choice of places, so that no dropped one is farther than the tolerance."""
    vectors = [_unprojected(place) for place in places]
    limit = tolerance / EARTH_RADIUS
    keep = {0, len(places) - 1}
    spans = [(0, len(places) - 1)]
    while spans:
        start, end = spans.pop()
        best, worst = -1, limit
        for middle in range(start + 1, end):
            away = _distance_to_edge(vectors[middle], vectors[start], vectors[end])
            if away > worst:
                best, worst = middle, away
        if best >= 0:
            keep.add(best)
            spans += [(start, best), (best, end)]
    return [position(point(*places[i])) for i in sorted(keep)]


def _thinned(places: Sequence[Position], tolerance: float) -> list[Position]:
    """Places of which no two neighbours are closer than the tolerance."""
    kept = [places[0]]
    limit = tolerance / EARTH_RADIUS
    for place in places[1:]:
        a, b = _unprojected(kept[-1]), _unprojected(place)
        if math.atan2(norm(cross(a, b)), dot(a, b)) >= limit:
            kept.append(place)
    return kept


def line_simplify(shape: object, tolerance: float | None = DEFAULT_TOLERANCE) -> Json | None:
    """A line without the places that change it by less than the tolerance."""
    lines, valid = read_lines(shape), _valid_tolerance(tolerance)
    if lines is None or valid is None:
        return None
    kept = []
    for line in lines.parts:
        thin = _thinned(line, valid)
        if thin[-1] != line[-1]:
            thin = [*thin[:-1], line[-1]] if len(thin) > 1 else thin
        if len(thin) > 1:
            kept.append(_simplified(thin, valid))
    return lines_json(kept)


def _simplified_polygon(rings: Sequence[_Ring], tolerance: float) -> Any | None:
    kept = []
    for number, ring in enumerate(rings):
        thin = _thinned(ring[:-1], tolerance)
        if len(thin) > 2:
            # Two far points split the ring in halves that can be simplified as lines.
            start = _unprojected(thin[0])
            far = max(
                range(1, len(thin)),
                key=lambda i: -dot(start, _unprojected(thin[i])),
            )
            first = _simplified(thin[: far + 1], tolerance)
            second = _simplified([*thin[far:], thin[0]], tolerance)
            closed = first[:-1] + second
            if len(closed) > 3:
                kept.append(closed)
                continue
        if number == 0:
            return None
    return make_polygon(kept)


def simplify_polygons(shapes: Sequence[Polygons], tolerance: float | None = DEFAULT_TOLERANCE) -> Json | None:
    """The union of polygons, each without what is smaller than the tolerance."""
    valid = _valid_tolerance(tolerance)
    if valid is None:
        return None
    pieces = []
    for polygons in shapes:
        for rings in polygons.parts:
            piece = _simplified_polygon(rings, valid)
            if piece is not None:
                pieces.append(piece)
    return polygon_json(union(pieces)) if pieces else None


def polygon_simplify(shape: object, tolerance: float | None = DEFAULT_TOLERANCE) -> Json | None:
    """A polygon without what is smaller than the tolerance; null if nothing is left."""
    polygons = read_polygons(shape)
    return None if polygons is None else simplify_polygons([polygons], tolerance)


def simplify_polygons_array(shapes: object, tolerance: float | None = DEFAULT_TOLERANCE) -> Json | None:
    """:func:`polygon_simplify` of the union of an array of polygons."""
    if not isinstance(shapes, list) or not shapes:
        return None
    read = [read_polygons(shape) for shape in shapes]
    known = [polygons for polygons in read if polygons is not None]
    return simplify_polygons(known, tolerance) if len(known) == len(read) else None
