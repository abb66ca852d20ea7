"""Plugins that look rows up in another table: by network, by nearness to lines, by polygon."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.kql.algorithms import geo_measures, geo_shapes, ip
from spark_kusto.kql.functions.plugin_arguments import Arguments
from spark_kusto.kql.registry import PluginCall, plugin
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa


_TEXTS = frozenset({KustoType.STRING, KustoType.DYNAMIC})
_NUMBERS = frozenset({KustoType.REAL, KustoType.LONG, KustoType.INT, KustoType.DYNAMIC})


class _Lookup:
    """The layout of a lookup: which columns of both tables the answer has, under which names."""

    def __init__(self, arguments: Arguments, table: Any) -> None:
        self.arguments = arguments
        self.table = table
        self.own = [c.name for c in arguments.call.own_columns]
        self.kinds: dict[str, KustoType] = {c.name: c.type for c in table.columns}
        self.skipped: set[str] = set()
        self.unmatched = False
        self.lookup_first = False

    def key(self, what: str) -> str:
        """A column of the lookup table."""
        name = self.arguments.column(what)
        if name not in self.kinds:
            raise self.arguments.fail(f"the lookup table has no column '{name}'.")
        return name

    def require(self, column: str, kinds: frozenset[KustoType], *, own: bool = False) -> None:
        """Check the type of a column of the lookup table, or of the input (``own``)."""
        kind = (self.arguments.types if own else self.kinds)[column]
        if kind not in kinds:
            expected = ", ".join(sorted(k.value for k in kinds))
            raise self.arguments.fail(f"the column '{column}' is of type {kind}; it must be {expected}.")

    @property
    def found(self) -> list[str]:
        """The lookup table's columns in the answer."""
        return [name for name in self.kinds if name not in self.skipped]

    def columns(self) -> list[Column]:
        """The answer's columns; a name that stands twice gets a number."""
        left = [(name, self.arguments.types[name]) for name in self.own]
        right = [(name, self.kinds[name]) for name in self.found]
        taken: set[str] = set()
        columns = []
        for name, kind in right + left if self.lookup_first else left + right:
            unique, number = name, 0
            while unique in taken:
                number += 1
                unique = f"{name}{number}"
            taken.add(unique)
            columns.append(Column(unique, kind))
        return columns

    def answer(
        self, tables: Sequence[pa.Table], rows: Sequence[int], matches: Sequence[int | None]
    ) -> pa.Table:
        """Rows of the input beside rows of the lookup table (``None``: no match)."""
        import pyarrow as pa

        left = tables[0].select(self.own).take(pa.array(rows, pa.int64()))
        right = tables[self.table.table].select(self.found)
        picked = right.take(pa.array(matches, pa.int64()))
        sides = [list(picked.columns), list(left.columns)]
        arrays = [*sides[0], *sides[1]] if self.lookup_first else [*sides[1], *sides[0]]
        return pa.table(arrays, names=[str(number) for number in range(len(arrays))])


# --- networks ------------------------------------------------------------------------------------


def _ip_lookup(call: PluginCall, extra: bool) -> tuple[_Lookup, str, str, list[str]]:
    arguments = Arguments(call)
    lookup = _Lookup(arguments, arguments.table("LookupTable"))
    source, key = arguments.column("SourceIPKey"), lookup.key("IPLookupKey")
    lookup.require(source, _TEXTS, own=True)
    lookup.require(key, _TEXTS)
    keys: list[str] = []
    while extra and (following := arguments.peek()) is not None and following.kind == "column":
        keys.append(arguments.column("ExtraKey"))
    lookup.unmatched = bool(arguments.constant("return_unmatched", False).value)
    arguments.done()
    for name in keys:
        if name not in lookup.kinds or name not in arguments.types:
            raise arguments.fail(f"the extra key '{name}' must be a column of both tables.")
    lookup.skipped = set(keys)
    return lookup, source, key, keys


def _run_ip_lookup(
    tables: list[pa.Table],
    found: tuple[_Lookup, str, str, list[str]],
    split: Callable[[str], tuple[int, int] | None],
    width: int,
) -> pa.Table:
    from spark_kusto.kql.execution import python_values

    lookup, source, key, keys = found
    other = tables[lookup.table.table]

    def addresses(column: pa.ChunkedArray, kind: KustoType) -> list[str]:
        return [value if isinstance(value, str) else "" for value in python_values(column, kind)]

    others = [other.column(name).to_pylist() for name in keys]
    # Networks by prefix length: an address is masked once for each length that occurs.
    networks: dict[int, dict[tuple[Any, ...], list[int]]] = {}
    for row, text in enumerate(addresses(other.column(key), lookup.kinds[key])):
        network = split(text)
        if network is not None:
            base, bits = network
            masked = base >> (width - bits)
            place = (masked, *(values[row] for values in others))
            networks.setdefault(bits, {}).setdefault(place, []).append(row)
    own = [tables[0].column(name).to_pylist() for name in keys]
    rows: list[int] = []
    matches: list[int | None] = []
    sources = addresses(tables[0].column(source), lookup.arguments.types[source])
    for row, text in enumerate(sources):
        address = split(text)
        hits: list[int] = []
        if address is not None:
            base, bits = address
            for length, places in networks.items():
                if length <= bits:
                    place = (base >> (width - length), *(values[row] for values in own))
                    hits.extend(places.get(place, ()))
        if hits or lookup.unmatched:
            rows.extend([row] * max(1, len(hits)))
            matches.extend(sorted(hits) or [None])
    return lookup.answer(tables, rows, matches)


plugin(
    "ipv4_lookup",
    lambda call: _ip_lookup(call, True)[0].columns(),
    lambda tables, call: _run_ip_lookup(tables, _ip_lookup(call, True), ip.split_ipv4, 32),
)


def _ipv6_lookup(call: PluginCall) -> tuple[_Lookup, str, str, list[str]]:
    found = _ip_lookup(call, False)
    # The documentation's answer has the lookup table's columns first.
    found[0].lookup_first = True
    return found


plugin(
    "ipv6_lookup",
    lambda call: _ipv6_lookup(call)[0].columns(),
    lambda tables, call: _run_ip_lookup(tables, _ipv6_lookup(call), ip.split_ipv6, 128),
)


# --- places --------------------------------------------------------------------------------------


def _geo_lookup(call: PluginCall, with_distance: bool) -> tuple[_Lookup, str, str, str, float]:
    arguments = Arguments(call)
    lookup = _Lookup(arguments, arguments.table("LookupTable"))
    key = lookup.key("LookupShapeKey")
    longitude, latitude = arguments.column("SourceLongitude"), arguments.column("SourceLatitude")
    lookup.require(key, frozenset({KustoType.DYNAMIC}))
    for name in (longitude, latitude):
        lookup.require(name, _NUMBERS, own=True)
    radius = 0.0
    if with_distance:
        given = arguments.constant("radius").value
        if not geo_shapes.is_number(given) or given < 0:
            raise arguments.fail("the distance must be a number of metres.")
        radius = float(given)
    else:
        radius = float(arguments.constant("radius", 0.0).value or 0.0)
    lookup.unmatched = bool(arguments.constant("return_unmatched", False).value)
    if not arguments.constant("return_lookup_key", False).value:
        lookup.skipped = {key}
    arguments.done()
    return lookup, key, longitude, latitude, radius


def _run_geo_lookup(
    tables: list[pa.Table],
    found: tuple[_Lookup, str, str, str, float],
    read: Callable[[object], Any],
    near: Callable[[Any, float, float, float], bool],
) -> pa.Table:
    import numpy as np

    from spark_kusto.kql.execution import python_values

    lookup, key, longitude, latitude, radius = found
    other = tables[lookup.table.table]
    kinds = lookup.arguments.types
    places = list(
        zip(
            python_values(tables[0].column(longitude), kinds[longitude]),
            python_values(tables[0].column(latitude), kinds[latitude]),
            strict=True,
        )
    )
    nowhere = (math.nan, math.nan)
    grid = np.array([p if geo_shapes.is_position(*p) else nowhere for p in places], dtype=np.float64)
    x, y = grid.reshape(-1, 2).T
    hits: dict[int, list[int | None]] = {}
    for number, value in enumerate(python_values(other.column(key), KustoType.DYNAMIC)):
        shape = read(value)
        if shape is None:
            continue
        west, east, south, north = geo_shapes.bounds(shape, radius)
        between = np.zeros(len(places), dtype=bool)
        for meridian in (x, np.where(np.abs(x) == 180, -x, x)):
            after, before = west <= meridian, meridian <= east
            between |= after & before if west <= east else after | before
        for row in np.flatnonzero(between & (south <= y) & (y <= north)).tolist():
            if near(shape, x[row], y[row], radius):
                hits.setdefault(row, []).append(number)
    rows: list[int] = []
    matches: list[int | None] = []
    for row in range(len(places)) if lookup.unmatched else sorted(hits):
        found_here = hits.get(row, [None])
        rows.extend([row] * len(found_here))
        matches.extend(found_here)
    return lookup.answer(tables, rows, matches)


def _near_lines(shape: Any, longitude: float, latitude: float, radius: float) -> bool:
    return geo_measures.distance_to_lines(shape, longitude, latitude) <= radius


def _near_polygons(shape: Any, longitude: float, latitude: float, radius: float) -> bool:
    if geo_measures.polygons_contain(shape, longitude, latitude):
        return True
    if radius <= 0:
        return False
    place = geo_shapes.point(longitude, latitude)
    return geo_shapes.meters(shape.polygon.GetDistance(place).radians()) <= radius


plugin(
    "geo_line_lookup",
    lambda call: _geo_lookup(call, True)[0].columns(),
    lambda tables, call: _run_geo_lookup(tables, _geo_lookup(call, True), geo_shapes.read_lines, _near_lines),
)
plugin(
    "geo_polygon_lookup",
    lambda call: _geo_lookup(call, False)[0].columns(),
    lambda tables, call: _run_geo_lookup(
        tables, _geo_lookup(call, False), geo_shapes.read_polygons, _near_polygons
    ),
)
