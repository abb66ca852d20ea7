"""Geospatial functions: numbers that the Kusto documentation prints, invalid shapes, and properties."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_kusto.kql.algorithms import (
    geo_cells,
    geo_measures,
    geo_operations,
    geo_shapes,
    geo_wkt,
)

pytest.importorskip("s2geometry")
pytest.importorskip("spherely")
pytest.importorskip("h3")

PARK = {
    "type": "Polygon",
    "coordinates": [
        [
            [-73.9495, 40.7969],
            [-73.95807266235352, 40.80068603561921],
            [-73.98201942443848, 40.76825672305777],
            [-73.97317886352539, 40.76455136505513],
            [-73.9495, 40.7969],
        ]
    ],
}
LINE = {"type": "LineString", "coordinates": [[-73.95796, 40.80042], [-73.97317, 40.764486]]}
INVALID: list[Any] = [
    None,
    {},
    {"type": "Polygon"},
    {"type": "Polygon", "coordinates": []},
    {"type": "Polygon", "coordinates": [[[0, 0], [10, 10], [10, 10], [0, 0]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [200, 10], [10, 0], [0, 0]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [10, 10], [10, 0]]]},
]


def test_measures() -> None:
    assert geo_measures.polygon_area(PARK) == pytest.approx(3475207.28346606)
    assert geo_measures.polygon_perimeter(PARK) == pytest.approx(9930.30149604938)
    centroid = geo_measures.polygon_centroid(PARK)
    assert centroid is not None
    assert centroid["coordinates"] == pytest.approx([-73.96573568990762, 40.78255053805781])
    away = geo_measures.distance_point_to_polygon(-73.9839, 40.7705, PARK)
    assert away == pytest.approx(259.940756070596)
    assert geo_measures.line_locate_point(LINE, -73.965, 40.792) == pytest.approx(0.25560135100307552)
    middle = geo_measures.line_interpolate_point(LINE, 0.25)
    assert middle is not None
    assert middle["coordinates"] == pytest.approx([-73.961764043218281, 40.791436687257232])
    assert geo_measures.angle(0, 10, 0, 5, 3, -10) == pytest.approx(2.94493843406882)


@pytest.mark.parametrize("shape", INVALID)
def test_invalid_shapes_give_null(shape: Any) -> None:
    assert geo_measures.polygon_area(shape) is None
    assert geo_measures.point_in_polygon(1, 1, shape) is None
    assert geo_operations.polygon_buffer(shape, 10) is None
    assert geo_cells.polygon_to_s2cells(shape) is None
    assert geo_cells.polygon_to_h3cells(shape) is None


def test_invalid_places_give_null() -> None:
    assert geo_measures.distance_2points(300, 1, 1, 1) is None
    assert geo_measures.point_in_circle(1, 1, 1, 1, -1) is None
    assert geo_measures.azimuth(5, 10, 5, 10) is None
    assert geo_cells.point_to_h3cell(300, 1, 8) == ""
    assert geo_cells.point_to_s2cell(1, 1, 35) == ""


def test_touching_polygons_share_a_point() -> None:
    first = {"type": "Polygon", "coordinates": [[[2, 45], [0, 45], [1, 44], [2, 45]]]}
    second = {"type": "Polygon", "coordinates": [[[3, 44], [2, 45], [2, 43], [3, 44]]]}
    common = geo_operations.intersection_2polygons(first, second)
    assert common is not None
    assert common["type"] == "Point"
    assert common["coordinates"] == pytest.approx([2, 45])
    nothing = geo_operations.intersection_2polygons(first, PARK)
    assert nothing == {"type": "GeometryCollection", "geometries": []}


def test_union_starts_where_kusto_starts() -> None:
    shapes = [
        [[-73.9495, 40.7969], [-73.95807, 40.80068], [-73.98201, 40.76825], [-73.97317, 40.76455]],
        [[-73.94622, 40.79249], [-73.96888, 40.79282], [-73.9577, 40.7789]],
    ]
    polygons = [{"type": "Polygon", "coordinates": [[*ring, ring[0]]]} for ring in shapes]
    union = geo_operations.union_polygons_array(polygons)
    assert union is not None
    assert union["coordinates"][0][0] == pytest.approx([-73.9495, 40.7969])
    assert len(union["coordinates"][0]) == 12
    assert geo_operations.union_polygons_array([*polygons, {"type": "Polygon"}]) is None


def test_united_lines_are_joined() -> None:
    first = [[-73.9568, 40.8050], [-73.9563, 40.8057], [-73.9549, 40.8051]]
    second = [[-73.9563, 40.8057], [-73.9549, 40.8051], [-73.9554, 40.8044]]
    lines = [{"type": "LineString", "coordinates": line} for line in (first, second, first[1:])]
    union = geo_operations.union_lines_array(lines)
    assert union is not None
    assert union["type"] == "LineString"
    assert [pytest.approx(p) for p in union["coordinates"]] == [*first, second[2]]


@given(st.floats(-170, 170), st.floats(-80, 80), st.floats(10, 100_000))
def test_buffers_lie_within_their_tolerance(longitude: float, latitude: float, radius: float) -> None:
    tolerance = radius / 100
    buffer = geo_operations.point_buffer(longitude, latitude, radius, tolerance)
    assert buffer is not None
    for place in buffer["coordinates"][0]:
        away = geo_measures.distance_2points(longitude, latitude, *place)
        assert away == pytest.approx(radius, abs=1.01 * tolerance)
    assert geo_measures.point_in_polygon(longitude, latitude, buffer)


def test_line_buffers_hold_what_is_near() -> None:
    line = {"type": "LineString", "coordinates": [[0, 0], [0.01, 0.01], [0.02, 0]]}
    buffer = geo_operations.line_buffer(line, 100, 1)
    assert geo_measures.point_in_polygon(0.01, 0.01, buffer)
    assert geo_measures.point_in_polygon(0.005, 0.0055, buffer)
    assert geo_measures.point_in_polygon(0.01, 0.0, buffer) is False
    assert geo_operations.line_buffer(line, 0) is None


def test_densify_and_simplify() -> None:
    square = {"type": "Polygon", "coordinates": [[[10, 10], [11, 10], [11, 11], [10, 11], [10, 10]]]}
    dense = geo_operations.polygon_densify(square)
    assert dense is not None
    assert [round(p[0], 3) for p in dense["coordinates"][0][:5]] == [10, 10.25, 10.5, 10.75, 11]
    assert geo_operations.polygon_densify(square, 0) is None
    line = {"type": "LineString", "coordinates": [[0, 0], [0.5, 0.00001], [1, 0]]}
    simple = geo_operations.line_simplify(line, 100)
    assert simple is not None
    assert len(simple["coordinates"]) == 2
    assert geo_operations.polygon_simplify(square, 1_000_000) is None


@given(st.floats(-180, 180), st.floats(-90, 90), st.integers(1, 12))
def test_geohashes(longitude: float, latitude: float, accuracy: int) -> None:
    text = geo_cells.point_to_geohash(longitude, latitude, accuracy)
    assert len(text) == accuracy
    center = geo_cells.geohash_to_central_point(text)
    assert center is not None
    x, y = center["coordinates"]
    assert geo_cells.point_to_geohash(x, y, accuracy) == text


def test_cells() -> None:
    assert geo_cells.point_to_geohash(-80.195829, 25.802215, 8) == "dhwfz15h"
    around = "sunnt sunpj sunnx sunpn sunnv sunpp sunnz sunnw"
    assert sorted(geo_cells.geohash_neighbors("sunny") or []) == sorted(around.split())
    assert geo_cells.geohash_neighbors("a") is None
    assert geo_cells.point_to_h3cell(-74.04450446039874, 40.689250859314974, 6) == "862a1072fffffff"
    assert geo_cells.h3cell_parent("862a1072fffffff", 1) == "812a3ffffffffff"
    assert len(geo_cells.h3cell_children("862a1072fffffff", 9) or []) == 343
    assert [len(ring) for ring in geo_cells.h3cell_rings("861f8894fffffff", 2) or []] == [1, 6, 12]
    assert geo_cells.h3cell_level("abc") is None
    place = geo_cells.s2cell_to_central_point("1234567")
    assert place is not None
    assert place["coordinates"] == pytest.approx([9.86830731850408, 27.4683929258276])
    triangle = {"type": "Polygon", "coordinates": [[[0, 0], [0, 50], [100, 50], [0, 0]]]}
    assert len(geo_cells.polygon_to_s2cells(triangle, 5) or []) == 286
    assert geo_cells.polygon_to_s2cells(triangle, 30) is None


def test_wkt() -> None:
    text = "GEOMETRYCOLLECTION (POINT (1 1), LINESTRING (2 2, 3 3), POLYGON ((1 1, 3 1, 3 3, 1 1)))"
    shape = geo_wkt.from_wkt(text)
    assert shape is not None
    assert [part["type"] for part in shape["geometries"]] == ["Point", "LineString", "Polygon"]
    assert geo_wkt.from_wkt("POINT (1 2") is None
    assert geo_wkt.from_wkt("POINT (1 2) x") is None
    assert geo_wkt.from_wkt("GEOMETRYCOLLECTION (" * 5000) is None


def test_circles_of_the_sphere() -> None:
    quarter = geo_measures.distance_2points(0, 0, 90, 0)
    assert quarter == pytest.approx(math.pi / 2 * geo_shapes.EARTH_RADIUS)
    assert geo_measures.point_in_circle(0, 0, 0, 0.001, 112) is True


def test_a_buffer_leaves_its_polygon_whole() -> None:
    polygons = geo_shapes.read_polygons(PARK)
    assert polygons is not None
    area = polygons.polygon.GetArea()
    for _ in range(100):
        assert geo_operations.grown_polygons(polygons, 100.0) is not None
    assert polygons.polygon.GetArea() == area


def test_cells_of_a_polygon_and_of_its_surroundings() -> None:
    inside = geo_cells.polygon_to_h3cells(PARK, 9)
    around = geo_cells.polygon_to_h3cells(PARK, 9, 1000.0)
    assert inside
    assert around
    assert set(inside) < set(around)
    # Cells beyond counting are not begun.
    assert geo_cells.polygon_to_h3cells(PARK, 15, 1_000_000.0) is None


@given(
    st.floats(-180, 180),
    st.floats(-80, 80),
    st.floats(0.1, 15),
    st.sampled_from([0.0, 1000.0, 2_000_000.0]),
    st.floats(-25, 25),
    st.floats(-25, 25),
)
def test_bounds_contain_what_is_near(
    x: float, y: float, size: float, distance: float, dx: float, dy: float
) -> None:
    def turned(longitude: float) -> float:
        return (longitude + 180) % 360 - 180

    corners = [[turned(x), y], [turned(x + size), y], [turned(x + size / 2), min(90.0, y + size)]]
    polygons = geo_shapes.read_polygons({"type": "Polygon", "coordinates": [[*corners, corners[0]]]})
    assert polygons is not None
    place = (turned(x + dx), max(-90.0, min(90.0, y + dy)))
    away = geo_shapes.meters(polygons.polygon.GetDistance(geo_shapes.point(*place)).radians())
    if away > distance:
        return
    west, east, south, north = geo_shapes.bounds(polygons, distance)
    inside = [
        west <= x <= east if west <= east else west <= x or x <= east
        for x in {place[0], -place[0] if abs(place[0]) == 180 else place[0]}
    ]
    assert any(inside)
    assert south <= place[1] <= north
