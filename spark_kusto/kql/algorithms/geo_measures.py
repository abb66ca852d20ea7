"""Distances, lengths, areas, centroids and places along lines, on the sphere."""

from __future__ import annotations

import math
from typing import Any

from spark_kusto.kql.algorithms.geo_shapes import (
    EARTH_RADIUS,
    Json,
    Lines,
    Polygons,
    is_number,
    is_position,
    meters,
    point,
    point_json,
    read_lines,
    read_polygons,
    s2,
)

Vector = tuple[float, float, float]


def _vector(longitude: float, latitude: float) -> Vector:
    lng, lat = math.radians(longitude), math.radians(latitude)
    return (math.cos(lat) * math.cos(lng), math.cos(lat) * math.sin(lng), math.sin(lat))


def cross(a: Vector, b: Vector) -> Vector:
    """The cross product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def dot(a: Vector, b: Vector) -> float:
    """The dot product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def norm(a: Vector) -> float:
    """The length."""
    return math.sqrt(dot(a, a))


def _between(a: Vector, b: Vector) -> float:
    return math.atan2(norm(cross(a, b)), dot(a, b))


def angle_2points(lng1: float, lat1: float, lng2: float, lat2: float) -> float:
    """The angle between two places, in radians (the haversine formula, as S2 has it)."""
    phi1, phi2 = math.radians(lat1), math.radians(lat2)
    dlat = math.sin(0.5 * (phi2 - phi1))
    dlng = math.sin(0.5 * (math.radians(lng2) - math.radians(lng1)))
    x = dlat * dlat + dlng * dlng * math.cos(phi1) * math.cos(phi2)
    return 2 * math.asin(math.sqrt(min(1.0, x)))


def distance_2points(
    lng1: float, lat1: float, lng2: float, lat2: float, use_spheroid: bool = False
) -> float | None:
    """Metres between two places, on a sphere or on the spheroid of WGS 84; null for places that are none."""
    if not is_position(lng1, lat1) or not is_position(lng2, lat2):
        return None
    if use_spheroid:
        return _spheroid_distance(lng1, lat1, lng2, lat2)
    return meters(angle_2points(lng1, lat1, lng2, lat2))


_EQUATOR = 6_378_137.0
_FLATTENING = 1 / 298.257223563


def _spheroid_distance(lng1: float, lat1: float, lng2: float, lat2: float) -> float | None:
    """The inverse formula of T. Vincenty (Survey Review 23, 1975), good to half a millimetre.

    It does not converge for places nearly opposite to each other.
    """
    pole = _EQUATOR * (1 - _FLATTENING)
    u1, u2 = (math.atan((1 - _FLATTENING) * math.tan(math.radians(lat))) for lat in (lat1, lat2))
    sin1, cos1, sin2, cos2 = math.sin(u1), math.cos(u1), math.sin(u2), math.cos(u2)
    apart = math.radians(lng2 - lng1)
    turn = apart = math.remainder(apart, 2 * math.pi)
    for _ in range(200):
        x = cos2 * math.sin(turn)
        y = cos1 * sin2 - sin1 * cos2 * math.cos(turn)
        sin_sigma = math.hypot(x, y)
        if sin_sigma == 0:
            return 0.0
        cos_sigma = sin1 * sin2 + cos1 * cos2 * math.cos(turn)
        sigma = math.atan2(sin_sigma, cos_sigma)
        sin_alpha = cos1 * cos2 * math.sin(turn) / sin_sigma
        cos2_alpha = 1 - sin_alpha**2
        middle = cos_sigma - 2 * sin1 * sin2 / cos2_alpha if cos2_alpha > 1e-15 else 0.0
        c = _FLATTENING / 16 * cos2_alpha * (4 + _FLATTENING * (4 - 3 * cos2_alpha))
        before = turn
        bend = middle + c * cos_sigma * (2 * middle**2 - 1)
        turn = apart + (1 - c) * _FLATTENING * sin_alpha * (sigma + c * sin_sigma * bend)
        if abs(turn) > math.pi:
            return None
        if abs(turn - before) < 1e-12:
            break
    else:
        return None
    square = cos2_alpha * (_EQUATOR**2 - pole**2) / pole**2
    a = 1 + square / 16384 * (4096 + square * (-768 + square * (320 - 175 * square)))
    b = square / 1024 * (256 + square * (-128 + square * (74 - 47 * square)))
    inner = cos_sigma * (2 * middle**2 - 1)
    inner -= b / 6 * middle * (4 * sin_sigma**2 - 3) * (4 * middle**2 - 3)
    return pole * a * (sigma - b * sin_sigma * (middle + b / 4 * inner))


def angle(lng1: float, lat1: float, lng2: float, lat2: float, lng3: float, lat3: float) -> float | None:
    """The clockwise angle at the second place from the first to the third, in radians, 0 .. 2 pi."""
    places = ((lng1, lat1), (lng2, lat2), (lng3, lat3))
    if not all(is_position(*place) for place in places):
        return None
    a, b, c = (_vector(*place) for place in places)
    first, second = cross(b, a), cross(b, c)
    if norm(cross(a, b)) < 1e-15 or norm(cross(b, c)) < 1e-15:
        return None
    turn = math.atan2(dot(cross(first, second), b), dot(first, second))
    return -turn if turn <= 0 else 2 * math.pi - turn


def azimuth(lng1: float, lat1: float, lng2: float, lat2: float) -> float | None:
    """The clockwise angle from true north to the line from the first place to the second, 0 .. 2 pi."""
    if not is_position(lng1, lat1) or not is_position(lng2, lat2):
        return None
    if _between(_vector(lng1, lat1), _vector(lng2, lat2)) < 1e-15:
        return None
    phi1, phi2 = math.radians(lat1), math.radians(lat2)
    delta = math.radians(lng2) - math.radians(lng1)
    y = math.sin(delta) * math.cos(phi2)
    x = math.cos(phi1) * math.sin(phi2) - math.sin(phi1) * math.cos(phi2) * math.cos(delta)
    return math.atan2(y, x) % (2 * math.pi)


def point_in_circle(
    longitude: float, latitude: float, center_lng: float, center_lat: float, radius: float
) -> bool | None:
    """Whether a place lies within ``radius`` metres of the centre."""
    if not is_number(radius) or radius < 0:
        return None
    distance = distance_2points(longitude, latitude, center_lng, center_lat)
    return None if distance is None else distance <= radius


def polygons_contain(polygons: Polygons, longitude: float, latitude: float) -> bool:
    """Whether the place lies in the polygons."""
    return bool(polygons.polygon.Contains(point(longitude, latitude)))


def point_in_polygon(longitude: float, latitude: float, shape: object) -> bool | None:
    """Whether a place lies in a polygon or multipolygon."""
    if not is_position(longitude, latitude):
        return None
    polygons = read_polygons(shape)
    return None if polygons is None else polygons_contain(polygons, longitude, latitude)


def _nearest(lines: Lines, place: Any) -> tuple[float, Any]:
    best: tuple[float, Any] | None = None
    for polyline in lines.polylines:
        found = polyline.Project(place)[0]
        away = _angle(found, place)
        if best is None or away < best[0]:
            best = (away, found)
    assert best is not None
    return best


def _angle(a: Any, b: Any) -> float:
    return _between((a.x(), a.y(), a.z()), (b.x(), b.y(), b.z()))


def distance_to_lines(lines: Lines, longitude: float, latitude: float) -> float:
    """Metres from a place to the nearest of the lines."""
    return meters(_nearest(lines, point(longitude, latitude))[0])


def distance_point_to_line(longitude: float, latitude: float, shape: object) -> float | None:
    """Metres from a place to a line or multiline."""
    lines = read_lines(shape) if is_position(longitude, latitude) else None
    return None if lines is None else distance_to_lines(lines, longitude, latitude)


def distance_point_to_polygon(longitude: float, latitude: float, shape: object) -> float | None:
    """Metres from a place to a polygon or multipolygon; 0 inside."""
    polygons = read_polygons(shape) if is_position(longitude, latitude) else None
    if polygons is None:
        return None
    return meters(polygons.polygon.GetDistance(point(longitude, latitude)).radians())


def closest_point_on_line(longitude: float, latitude: float, shape: object) -> Json | None:
    """The point of a line or multiline that is nearest to a place."""
    lines = read_lines(shape) if is_position(longitude, latitude) else None
    return None if lines is None else point_json(_nearest(lines, point(longitude, latitude))[1])


def closest_point_on_polygon(longitude: float, latitude: float, shape: object) -> Json | None:
    """The point of a polygon that is nearest to a place; the place itself if it lies inside."""
    polygons = read_polygons(shape) if is_position(longitude, latitude) else None
    if polygons is None:
        return None
    return point_json(polygons.polygon.Project(point(longitude, latitude)))


def line_length(shape: object) -> float | None:
    """Metres of a line or multiline; stretches that stand twice count once."""
    lines = read_lines(shape)
    if lines is None:
        return None
    edges = {tuple(sorted((line[i], line[i + 1]))) for line in lines.parts for i in range(len(line) - 1)}
    return meters(math.fsum(angle_2points(*a, *b) for a, b in edges))


def line_centroid(shape: object) -> Json | None:
    """The centroid of a line or multiline, weighted by length."""
    lines = read_lines(shape)
    return None if lines is None else _direction([line.GetCentroid() for line in lines.polylines])


def _direction(vectors: list[Any]) -> Json | None:
    total = (
        math.fsum(v.x() for v in vectors),
        math.fsum(v.y() for v in vectors),
        math.fsum(v.z() for v in vectors),
    )
    if norm(total) < 1e-20:
        return None
    longitude = math.degrees(math.atan2(total[1], total[0]))
    latitude = math.degrees(math.atan2(total[2], math.hypot(total[0], total[1])))
    return {"type": "Point", "coordinates": [longitude, latitude]}


def line_interpolate_point(shape: object, fraction: float) -> Json | None:
    """The point at a fraction (0 .. 1) of a line's length."""
    lines = read_lines(shape)
    if lines is None or len(lines.parts) != 1 or not 0 <= fraction <= 1:
        return None
    return point_json(lines.polylines[0].Interpolate(fraction))


def line_locate_point(shape: object, longitude: float, latitude: float) -> float | None:
    """At which fraction of a line's length its point nearest to a place lies."""
    lines = read_lines(shape) if is_position(longitude, latitude) else None
    if lines is None or len(lines.parts) != 1:
        return None
    line = lines.polylines[0]
    found, following = line.Project(point(longitude, latitude))
    return float(line.UnInterpolate(found, following))


def polygon_area(shape: object) -> float | None:
    """Square metres of a polygon or of the union of a multipolygon's polygons."""
    polygons = read_polygons(shape)
    return None if polygons is None else float(polygons.polygon.GetArea()) * EARTH_RADIUS**2


def polygon_perimeter(shape: object) -> float | None:
    """Metres of a polygon's boundary, holes included."""
    polygons = read_polygons(shape)
    if polygons is None:
        return None
    total: list[float] = []
    for number in range(polygons.polygon.num_loops()):
        loop = polygons.polygon.loop(number)
        count = loop.num_vertices()
        total.extend(_angle(loop.vertex(i), loop.vertex((i + 1) % count)) for i in range(count))
    return meters(math.fsum(total))


def polygon_centroid(shape: object) -> Json | None:
    """The centroid of a polygon or of the union of a multipolygon's polygons."""
    polygons = read_polygons(shape)
    return None if polygons is None else _direction([polygons.polygon.GetCentroid()])


def cell_covering(region: Any, level: int, most: int) -> list[str] | None:
    """Tokens of the S2 cells of one level that cover a region; ``None`` if there are too many."""
    if not 0 <= level <= 30:
        return None
    area = region.GetCapBound().height() * 2 * math.pi
    # Counted before the coverer runs: at a deep level it would fill the memory.
    if area / (4 * math.pi) * 6 * 4.0**level > most * 64:
        return None
    coverer = s2().S2RegionCoverer()
    coverer.set_fixed_level(level)
    coverer.set_max_cells(most)
    cells = coverer.GetCovering(region)
    return None if len(cells) > most else [cell.ToToken() for cell in cells]
