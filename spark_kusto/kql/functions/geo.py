"""Rows of the geospatial functions (extra ``geo``)."""

from __future__ import annotations

from spark_kusto.kql.algorithms import geo_cells, geo_measures, geo_operations, geo_wkt
from spark_kusto.kql.registry import (
    BOOL,
    DYNAMIC,
    INT,
    REAL,
    STRING,
    optional,
    parameter,
    python_scalar,
)

_PLACE = (parameter(REAL, "longitude"), parameter(REAL, "latitude"))
_SHAPE = parameter(DYNAMIC, "shape")
_TOLERANCE = optional(REAL, geo_operations.DEFAULT_TOLERANCE, "tolerance")
_ORDER = "The order of the neighbours is not Kusto's, which is that of a hash table."

python_scalar("geo_from_wkt", [STRING], DYNAMIC, geo_wkt.from_wkt)

# --- measures ------------------------------------------------------------------------------------

python_scalar(
    "geo_distance_2points",
    [*_PLACE, *_PLACE, optional(BOOL, False, "use_spheroid")],
    REAL,
    geo_measures.distance_2points,
    difference="With `use_spheroid`, null for places that face each other on the globe within half a degree.",
)
python_scalar("geo_angle", [*_PLACE, *_PLACE, *_PLACE], REAL, geo_measures.angle)
python_scalar("geo_azimuth", [*_PLACE, *_PLACE], REAL, geo_measures.azimuth)
python_scalar(
    "geo_point_in_circle",
    [*_PLACE, *_PLACE, parameter(REAL, "radius")],
    BOOL,
    geo_measures.point_in_circle,
)
python_scalar("geo_point_in_polygon", [*_PLACE, _SHAPE], BOOL, geo_measures.point_in_polygon)
python_scalar("geo_distance_point_to_line", [*_PLACE, _SHAPE], REAL, geo_measures.distance_point_to_line)
python_scalar(
    "geo_distance_point_to_polygon", [*_PLACE, _SHAPE], REAL, geo_measures.distance_point_to_polygon
)
python_scalar("geo_closest_point_on_line", [*_PLACE, _SHAPE], DYNAMIC, geo_measures.closest_point_on_line)
python_scalar(
    "geo_closest_point_on_polygon",
    [*_PLACE, _SHAPE],
    DYNAMIC,
    geo_measures.closest_point_on_polygon,
)
python_scalar("geo_line_length", [_SHAPE], REAL, geo_measures.line_length)
python_scalar("geo_line_centroid", [_SHAPE], DYNAMIC, geo_measures.line_centroid)
python_scalar(
    "geo_line_interpolate_point",
    [_SHAPE, parameter(REAL, "fraction")],
    DYNAMIC,
    geo_measures.line_interpolate_point,
)
python_scalar("geo_line_locate_point", [_SHAPE, *_PLACE], REAL, geo_measures.line_locate_point)
python_scalar("geo_polygon_area", [_SHAPE], REAL, geo_measures.polygon_area)
python_scalar("geo_polygon_perimeter", [_SHAPE], REAL, geo_measures.polygon_perimeter)
python_scalar("geo_polygon_centroid", [_SHAPE], DYNAMIC, geo_measures.polygon_centroid)

# --- operations ----------------------------------------------------------------------------------

for _name, _boolean, _common in (
    ("2lines", geo_operations.intersects_2lines, geo_operations.intersection_2lines),
    (
        "line_with_polygon",
        geo_operations.intersects_line_with_polygon,
        geo_operations.intersection_line_with_polygon,
    ),
    ("2polygons", geo_operations.intersects_2polygons, geo_operations.intersection_2polygons),
):
    python_scalar(f"geo_intersects_{_name}", [_SHAPE, _SHAPE], BOOL, _boolean)
    python_scalar(f"geo_intersection_{_name}", [_SHAPE, _SHAPE], DYNAMIC, _common)

python_scalar("geo_union_polygons_array", [_SHAPE], DYNAMIC, geo_operations.union_polygons_array)
python_scalar("geo_union_lines_array", [_SHAPE], DYNAMIC, geo_operations.union_lines_array)

python_scalar(
    "geo_point_buffer",
    [*_PLACE, parameter(REAL, "radius"), _TOLERANCE],
    DYNAMIC,
    geo_operations.point_buffer,
)
python_scalar(
    "geo_line_buffer",
    [_SHAPE, parameter(REAL, "radius"), _TOLERANCE],
    DYNAMIC,
    geo_operations.line_buffer,
    difference="Of lines with several edges, the vertices at the joints may differ within the tolerance.",
)
python_scalar(
    "geo_polygon_buffer",
    [_SHAPE, parameter(REAL, "radius"), _TOLERANCE],
    DYNAMIC,
    geo_operations.polygon_buffer,
)

_PRESERVE = optional(BOOL, False, "preserve_crossing")
python_scalar("geo_line_densify", [_SHAPE, _TOLERANCE, _PRESERVE], DYNAMIC, geo_operations.line_densify)
python_scalar("geo_polygon_densify", [_SHAPE, _TOLERANCE, _PRESERVE], DYNAMIC, geo_operations.polygon_densify)

_SIMPLIFIED = "Keeps the tolerance; which of the vertices stay may differ."
for _name, _function in (
    ("geo_line_simplify", geo_operations.line_simplify),
    ("geo_polygon_simplify", geo_operations.polygon_simplify),
    ("geo_simplify_polygons_array", geo_operations.simplify_polygons_array),
):
    python_scalar(_name, [_SHAPE, _TOLERANCE], DYNAMIC, _function, difference=_SIMPLIFIED)

# --- cells ---------------------------------------------------------------------------------------

python_scalar(
    "geo_point_to_geohash", [*_PLACE, optional(INT, 5, "accuracy")], STRING, geo_cells.point_to_geohash
)
python_scalar("geo_geohash_to_central_point", [STRING], DYNAMIC, geo_cells.geohash_to_central_point)
python_scalar("geo_geohash_to_polygon", [STRING], DYNAMIC, geo_cells.geohash_to_polygon)
python_scalar("geo_geohash_neighbors", [STRING], DYNAMIC, geo_cells.geohash_neighbors, difference=_ORDER)

python_scalar("geo_point_to_s2cell", [*_PLACE, optional(INT, 11, "level")], STRING, geo_cells.point_to_s2cell)
python_scalar("geo_s2cell_to_central_point", [STRING], DYNAMIC, geo_cells.s2cell_to_central_point)
python_scalar("geo_s2cell_to_polygon", [STRING], DYNAMIC, geo_cells.s2cell_to_polygon)
python_scalar("geo_s2cell_neighbors", [STRING], DYNAMIC, geo_cells.s2cell_neighbors, difference=_ORDER)

python_scalar(
    "geo_point_to_h3cell",
    [*_PLACE, optional(INT, 6, "resolution")],
    STRING,
    geo_cells.point_to_h3cell,
)
python_scalar("geo_h3cell_to_central_point", [STRING], DYNAMIC, geo_cells.h3cell_to_central_point)
python_scalar("geo_h3cell_to_polygon", [STRING], DYNAMIC, geo_cells.h3cell_to_polygon)
python_scalar("geo_h3cell_neighbors", [STRING], DYNAMIC, geo_cells.h3cell_neighbors, difference=_ORDER)
python_scalar("geo_h3cell_rings", [STRING, optional(INT, 1, "distance")], DYNAMIC, geo_cells.h3cell_rings)
python_scalar(
    "geo_h3cell_children",
    [STRING, optional(INT, None, "resolution")],
    DYNAMIC,
    geo_cells.h3cell_children,
    calls_on_null=True,
)
python_scalar(
    "geo_h3cell_parent",
    [STRING, optional(INT, None, "resolution")],
    STRING,
    geo_cells.h3cell_parent,
    calls_on_null=True,
)
python_scalar("geo_h3cell_level", [STRING], INT, geo_cells.h3cell_level)

for _name, _covering, _default, _unit in (
    ("geo_polygon_to_s2cells", geo_cells.polygon_to_s2cells, 11, "level"),
    ("geo_line_to_s2cells", geo_cells.line_to_s2cells, 11, "level"),
    ("geo_polygon_to_h3cells", geo_cells.polygon_to_h3cells, 6, "resolution"),
):
    python_scalar(
        _name,
        [_SHAPE, optional(INT, _default, _unit), optional(REAL, 0.0, "radius")],
        DYNAMIC,
        _covering,
    )
