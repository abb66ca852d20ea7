"""Grids of cells: geohash (written here), S2 and H3.

The order in which Kusto lists neighbours is that of a hash table and not documented; here it is one
fixed order.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from spark_kusto.kql.algorithms.extras import require
from spark_kusto.kql.algorithms.geo_measures import cell_covering
from spark_kusto.kql.algorithms.geo_operations import grown_lines, grown_polygons
from spark_kusto.kql.algorithms.geo_shapes import (
    Json,
    is_number,
    is_position,
    point_json,
    polygon_rings,
    position,
    read_lines,
    read_polygons,
    s2,
)

MOST_S2_CELLS = 65536
MOST_H3_CELLS = 61680

_ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"
_DIGITS = {character: number for number, character in enumerate(_ALPHABET)}
_AROUND = ((-1, 0), (-1, -1), (0, -1), (1, -1), (1, 1), (1, 0), (0, 1), (-1, 1))


@lru_cache(maxsize=1)
def _h3() -> Any:
    return require("h3", "geo", "H3 functions")


# -- geohash --------------------------------------------------------------------------------------


def _geohash_bits(length: int) -> tuple[int, int]:
    bits = 5 * length
    return (bits + 1) // 2, bits // 2


def _geohash_text(column: int, row: int, length: int) -> str:
    wide, high = _geohash_bits(length)
    interleaved = 0
    for bit in range(wide + high):
        if bit % 2 == 0:
            wide -= 1
            interleaved = interleaved << 1 | (column >> wide & 1)
        else:
            high -= 1
            interleaved = interleaved << 1 | (row >> high & 1)
    return "".join(_ALPHABET[interleaved >> 5 * (length - 1 - i) & 31] for i in range(length))


def _geohash_cell(text: str) -> tuple[int, int, int] | None:
    """(column, row, length), or ``None`` if it is no geohash of 1 .. 18 characters."""
    text = text.lower()
    if not 1 <= len(text) <= 18 or any(c not in _DIGITS for c in text):
        return None
    column = row = 0
    even = True
    for character in text:
        for bit in (16, 8, 4, 2, 1):
            one = 1 if _DIGITS[character] & bit else 0
            if even:
                column = column << 1 | one
            else:
                row = row << 1 | one
            even = not even
    return column, row, len(text)


def point_to_geohash(longitude: float, latitude: float, accuracy: int | None = 5) -> str:
    """The geohash of ``accuracy`` (1 .. 18) characters around a place."""
    if not is_position(longitude, latitude) or accuracy is None or not 1 <= accuracy <= 18:
        return ""
    wide, high = _geohash_bits(accuracy)
    column = min(int((longitude + 180.0) / 360.0 * (1 << wide)), (1 << wide) - 1)
    row = min(int((latitude + 90.0) / 180.0 * (1 << high)), (1 << high) - 1)
    return _geohash_text(column, row, accuracy)


def _geohash_box(text: str) -> tuple[float, float, float, float] | None:
    cell = _geohash_cell(text)
    if cell is None:
        return None
    column, row, length = cell
    wide, high = _geohash_bits(length)
    return (
        math.ldexp(360.0 * column, -wide) - 180.0,
        math.ldexp(180.0 * row, -high) - 90.0,
        math.ldexp(360.0 * (column + 1), -wide) - 180.0,
        math.ldexp(180.0 * (row + 1), -high) - 90.0,
    )


def geohash_to_central_point(text: str) -> Json | None:
    """The middle of a geohash's cell."""
    box = _geohash_box(text)
    if box is None:
        return None
    west, south, east, north = box
    return {"type": "Point", "coordinates": [(west + east) / 2, (south + north) / 2]}


def geohash_to_polygon(text: str) -> Json | None:
    """The rectangle of a geohash's cell."""
    box = _geohash_box(text)
    if box is None:
        return None
    west, south, east, north = box
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}


def geohash_neighbors(text: str) -> list[str] | None:
    """The geohashes around one; across the antimeridian, and fewer at the poles."""
    cell = _geohash_cell(text)
    if cell is None:
        return None
    column, row, length = cell
    wide, high = _geohash_bits(length)
    found = [
        _geohash_text((column + dx) % (1 << wide), row + dy, length)
        for dx, dy in _AROUND
        if 0 <= row + dy < 1 << high
    ]
    return [item for item in dict.fromkeys(found) if item != text.lower()]


# -- S2 -------------------------------------------------------------------------------------------


def _s2_cell(token: str) -> Any | None:
    if not token or len(token) > 16 or any(c not in "0123456789abcdefABCDEF" for c in token):
        return None
    cell = s2().S2CellId.FromToken(token.lower())
    return cell if cell.is_valid() else None


def point_to_s2cell(longitude: float, latitude: float, level: int | None = 11) -> str:
    """The token of the S2 cell of a level (0 .. 30) around a place."""
    if not is_position(longitude, latitude) or level is None or not 0 <= level <= 30:
        return ""
    place = s2().S2LatLng.FromDegrees(float(latitude), float(longitude))
    return str(s2().S2CellId(place).parent(int(level)).ToToken())


def s2cell_to_central_point(token: str) -> Json | None:
    """The middle of an S2 cell."""
    cell = _s2_cell(token)
    return None if cell is None else point_json(cell.ToPoint())


def s2cell_to_polygon(token: str) -> Json | None:
    """The four corners of an S2 cell."""
    cell = _s2_cell(token)
    if cell is None:
        return None
    square = s2().S2Cell(cell)
    corners = [position(square.GetVertex(i)) for i in range(4)]
    return {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}


_S2_ORDER = (7, 5, 4, 2, 6, 1, 3, 0)


def s2cell_neighbors(token: str) -> list[str] | None:
    """The S2 cells of the same level around one."""
    cell = _s2_cell(token)
    if cell is None:
        return None
    found = [other.ToToken() for other in cell.GetAllNeighbors(cell.level())]
    return [found[i] for i in _S2_ORDER] if len(found) == len(_S2_ORDER) else found


def polygon_to_s2cells(shape: object, level: int | None = 11, radius: float | None = 0.0) -> list[str] | None:
    """Tokens of the S2 cells of one level that cover a polygon, grown by ``radius`` metres."""
    polygons = read_polygons(shape)
    if polygons is None or level is None or radius is None or not is_number(radius) or radius < 0:
        return None
    region = polygons.polygon if radius == 0 else grown_polygons(polygons, radius)
    return None if region is None else cell_covering(region, int(level), MOST_S2_CELLS)


def line_to_s2cells(shape: object, level: int | None = 11, radius: float | None = 0.0) -> list[str] | None:
    """Tokens of the S2 cells of one level that cover a line, grown by ``radius`` metres."""
    lines = read_lines(shape)
    if lines is None or level is None or radius is None or not is_number(radius) or radius < 0:
        return None
    if radius > 0:
        region = grown_lines(lines, radius)
        return None if region is None else cell_covering(region, int(level), MOST_S2_CELLS)
    found: dict[str, None] = {}
    for line in lines.polylines:
        covering = cell_covering(line, int(level), MOST_S2_CELLS)
        if covering is None:
            return None
        found.update(dict.fromkeys(covering))
    return list(found) if len(found) <= MOST_S2_CELLS else None


# -- H3 -------------------------------------------------------------------------------------------


def _h3_cell(token: str) -> str | None:
    return token if _h3().is_valid_cell(token) else None


def point_to_h3cell(longitude: float, latitude: float, resolution: int | None = 6) -> str:
    """The token of the H3 cell of a resolution (0 .. 15) around a place."""
    if not is_position(longitude, latitude) or resolution is None or not 0 <= resolution <= 15:
        return ""
    return str(_h3().latlng_to_cell(float(latitude), float(longitude), int(resolution)))


def h3cell_to_central_point(token: str) -> Json | None:
    """The middle of an H3 cell."""
    cell = _h3_cell(token)
    if cell is None:
        return None
    latitude, longitude = _h3().cell_to_latlng(cell)
    return {"type": "Point", "coordinates": [longitude, latitude]}


def h3cell_to_polygon(token: str) -> Json | None:
    """The corners of an H3 cell."""
    cell = _h3_cell(token)
    if cell is None:
        return None
    corners = [[longitude, latitude] for latitude, longitude in _h3().cell_to_boundary(cell)]
    return {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}


_H3_ORDER = (3, 5, 4, 2, 1, 0)


def h3cell_neighbors(token: str) -> list[str] | None:
    """The H3 cells of the same resolution around one."""
    cell = _h3_cell(token)
    if cell is None:
        return None
    found = list(_h3().grid_disk(cell, 1))[1:]
    return [found[i] for i in _H3_ORDER] if len(found) == len(_H3_ORDER) else found


def h3cell_rings(token: str, distance: int | None = 1) -> list[list[str]] | None:
    """The H3 cells at distance 0, 1, ... from one (at most 142)."""
    cell = _h3_cell(token)
    if cell is None or distance is None or not 0 <= distance <= 142:
        return None
    disk = list(_h3().grid_disk(cell, int(distance)))
    rings: list[list[str]] = [[] for _ in range(int(distance) + 1)]
    for other in disk:
        rings[_h3().grid_distance(cell, other)].append(other)
    return rings


def h3cell_children(token: str, resolution: int | None = None) -> list[str] | None:
    """The H3 cells of a finer resolution (the next, at most five finer) within one."""
    cell = _h3_cell(token)
    if cell is None:
        return None
    own = _h3().get_resolution(cell)
    target = own + 1 if resolution is None else int(resolution)
    if not own < target <= min(15, own + 5):
        return None
    return list(_h3().cell_to_children(cell, target))


def h3cell_parent(token: str, resolution: int | None = None) -> str:
    """The H3 cell of a coarser resolution (the next one by default) around one."""
    cell = _h3_cell(token)
    if cell is None:
        return ""
    own = _h3().get_resolution(cell)
    target = own - 1 if resolution is None else int(resolution)
    return str(_h3().cell_to_parent(cell, target)) if 0 <= target < own else ""


def h3cell_level(token: str) -> int | None:
    """The resolution of an H3 cell."""
    cell = _h3_cell(token)
    return None if cell is None else int(_h3().get_resolution(cell))


def polygon_to_h3cells(
    shape: object, resolution: int | None = 6, radius: float | None = 0.0
) -> list[str] | None:
    """The H3 cells whose middle lies in a polygon (edges straight in degrees), grown by ``radius``."""
    polygons = read_polygons(shape)
    if polygons is None or resolution is None or not 0 <= resolution <= 15:
        return None
    if radius is None or not is_number(radius) or radius < 0:
        return None
    parts: Any = polygons.parts
    polygon = polygons.polygon
    if radius > 0:
        polygon = grown_polygons(polygons, radius)
        if polygon is None:
            return None
        parts = polygon_rings(polygon)
    # Half a cell's area on average belongs to a cell: enough to refuse what would not fit.
    area = polygon.GetArea() * 6371.01**2
    if area / _h3().average_hexagon_area(int(resolution), unit="km^2") > 2 * MOST_H3_CELLS:
        return None
    found: dict[str, None] = {}
    for rings in parts:
        loops = [[(latitude, longitude) for longitude, latitude in ring[:-1]] for ring in rings]
        shape_ = _h3().LatLngPoly(loops[0], *loops[1:])
        found.update(dict.fromkeys(_h3().h3shape_to_cells(shape_, int(resolution))))
    return list(found) if len(found) <= MOST_H3_CELLS else None
