"""Plugins through the whole compiler: their columns and rows, and inputs without rows or values."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from spark_kusto.errors import KqlSemanticError
from tests.kql.executor import Database


def day(number: int) -> dt.datetime:
    return dt.datetime(2024, 1, number)


VISITS: list[tuple[Any, ...]] = [
    ("a", day(1), "open", 1),
    ("b", day(1), "open", 2),
    ("a", day(2), "buy", 3),
    ("c", day(3), "open", 4),
    ("a", day(4), "open", 5),
    ("b", day(4), "buy", 6),
]
NETWORKS = [("10.0.0.0/8", "ten"), ("10.1.0.0/16", "office"), ("fe80::/10", "link")]
ADDRESSES = [("10.1.2.3",), ("10.2.3.4",), ("fe80::1",), ("no address",), ("",)]
SPAN = "datetime(2024-01-01), datetime(2024-01-04)"


@pytest.fixture(scope="module")
def database() -> Database:
    text, number = "string", "long"
    return Database(
        {
            "Visits": ([("user", text), ("day", "datetime"), ("what", text), ("n", number)], VISITS),
            "Networks": ([("network", text), ("name", text)], NETWORKS),
            "Addresses": ([("ip", text)], ADDRESSES),
        }
    )


ANSWERS: dict[str, tuple[list[str], list[tuple[Any, ...]]]] = {
    f"activity_counts_metrics(user, day, {SPAN}, 1d)": (
        ["day", "count", "dcount", "new_dcount", "aggregated_dcount"],
        [(day(1), 2, 2, 2, 2), (day(2), 1, 1, 0, 2), (day(3), 1, 1, 1, 3), (day(4), 2, 2, 0, 3)],
    ),
    f"activity_engagement(user, day, {SPAN}, 1d, 4d)": (
        ["day", "dcount_activities_inner", "dcount_activities_outer", "activity_ratio"],
        [(day(1), 2, 2, 1.0), (day(2), 1, 2, 0.5), (day(3), 1, 3, 1 / 3), (day(4), 2, 3, 2 / 3)],
    ),
    f"sliding_window_counts(user, day, {SPAN}, 2d, 1d)": (
        ["day", "Count", "Dcount"],
        [(day(1), 2, 2), (day(2), 3, 2), (day(3), 2, 2), (day(4), 3, 3)],
    ),
    "session_count(user, n, 1, 6, 1, 2)": (
        ["n", "count_sessions"],
        [(1, 1), (2, 1), (3, 0), (4, 1), (5, 0), (6, 1)],
    ),
    f"funnel_sequence_completion(user, day, {SPAN}, 7d, what, dynamic(['open', 'buy']), dynamic([1d, 4d]))": (
        ["day", "what", "Period", "dcount"],
        [
            (day(1), "open", dt.timedelta(days=1), 3),
            (day(1), "buy", dt.timedelta(days=1), 1),
            (day(1), "open", dt.timedelta(days=4), 3),
            (day(1), "buy", dt.timedelta(days=4), 2),
        ],
    ),
    "sequence_detect(day, 4d, 4d, opened = (what == 'open'), bought = (what == 'buy'), user)": (
        ["user", "opened_day", "bought_day", "Duration"],
        [
            ("a", day(1), day(2), dt.timedelta(days=1)),
            ("b", day(1), day(4), dt.timedelta(days=3)),
        ],
    ),
    "rolling_percentile(n, 50, day, 1d, 2)": (
        ["day", "rolling_2_percentile_n_50"],
        [(day(1), 1), (day(2), 2), (day(3), 3), (day(4), 5)],
    ),
    "estimate_rows_count()": (["Estimation", "EstimatedRowsCount"], [("exact", 6)]),
    "preview(2)": (["user", "day", "what", "n"], VISITS[:2]),
    "identity()": (["user", "day", "what", "n"], VISITS),
    "pivot(what, count(), user)": (["user", "buy", "open"], [("a", 1, 2), ("b", 1, 1), ("c", 0, 1)]),
}


@pytest.mark.parametrize("plugin", ANSWERS)
def test_answers(database: Database, plugin: str) -> None:
    columns, _, rows = database.query(f"Visits | order by n asc | evaluate {plugin}")
    expected_columns, expected = ANSWERS[plugin]
    assert columns == expected_columns
    assert sorted(rows) == sorted(expected)


def test_activity_metrics(database: Database) -> None:
    first, *rows = database.rows(f"Visits | evaluate activity_metrics(user, day, {SPAN}, 1d)")
    assert first[:3] == (day(1), 2, 2)
    assert rows == [
        (day(2), 1, 0, 0.5, 0.5),
        (day(3), 1, 1, 0.0, 1.0),
        (day(4), 2, 0, 0.0, 1.0),
    ]


def test_cohorts(database: Database) -> None:
    plugin = f"new_activity_metrics(user, day, {SPAN}, 1d)"
    rows = database.rows(f"Visits | evaluate {plugin} | project from_day, to_day, retention_rate")
    assert rows == [
        (day(1), day(1), 1.0),
        (day(1), day(2), 0.5),
        (day(1), day(3), 0.0),
        (day(1), day(4), 1.0),
        (day(3), day(3), 1.0),
        (day(3), day(4), 0.0),
    ]


def test_rows_near_a_condition(database: Database) -> None:
    rows = database.rows("Visits | order by n asc | evaluate rows_near(n == 3, 1) | project n")
    assert rows == [(2,), (3,), (4,)]


def test_basket_shows_wildcards_where_a_pattern_is_open(database: Database) -> None:
    rows = database.rows("Visits | project user, what | evaluate basket(0.3, '~', '~', '*')")
    assert {row[1:2] + row[3:] for row in rows} == {
        (4, "*", "open"),
        (2, "*", "buy"),
        (3, "a", "*"),
        (2, "b", "*"),
        (2, "a", "open"),
    }


def test_differences_between_two_sides(database: Database) -> None:
    columns, _, rows = database.query(
        "Visits | project late = iff(n > 3, 'y', 'n'), user | evaluate diffpatterns(late, 'y', 'n')"
    )
    assert columns[1:3] == ["CountA", "CountB"]
    assert columns[-1] == "user"
    assert {row[1:3] + row[-1:] for row in rows} == {(1, 2, "a"), (1, 0, "c")}


def test_networks_looked_up(database: Database) -> None:
    columns, _, rows = database.query(
        "Addresses | evaluate ipv4_lookup(Networks, ip, network, return_unmatched = true)"
    )
    assert columns == ["ip", "network", "name"]
    assert sorted(rows) == [
        ("", "", ""),
        ("10.1.2.3", "10.0.0.0/8", "ten"),
        ("10.1.2.3", "10.1.0.0/16", "office"),
        ("10.2.3.4", "10.0.0.0/8", "ten"),
        ("fe80::1", "", ""),
        ("no address", "", ""),
    ]
    rows = database.rows("Addresses | evaluate ipv6_lookup(Networks, ip, network) | project ip, name")
    assert ("fe80::1", "link") in rows


@pytest.mark.parametrize(
    "plugin",
    [
        "ipv4_lookup(Visits, n, user)",
        "ipv4_lookup(Visits, user, n)",
        "dcount_intersect(n, n)",
        "rolling_percentile(n, 50, user, 1d, 2)",
        "diffpatterns_text(n, true)",
        "preview()",
        "no_such_plugin()",
    ],
)
def test_arguments_that_do_not_fit(database: Database, plugin: str) -> None:
    with pytest.raises(KqlSemanticError):
        database.query(f"Visits | evaluate {plugin}")


def test_places_looked_up_in_polygons_around_the_date_line() -> None:
    pytest.importorskip("s2geometry")

    def square(west: float, east: float) -> dict[str, Any]:
        ring = [[west, -5], [east, -5], [east, 5], [west, 5], [west, -5]]
        return {"type": "Polygon", "coordinates": [ring]}

    database = Database(
        {
            "Areas": (
                [("area", "dynamic"), ("name", "string")],
                [(square(175, -175), "date line"), (square(-5, 5), "zero"), ("no shape", "none")],
            ),
            "Places": (
                [("x", "real"), ("y", "real")],
                [(179.0, 1.0), (-179.0, 1.0), (180.0, 0.0), (0.0, 0.0), (90.0, 0.0), (0.0, None), (5.5, 0.0)],
            ),
        }
    )
    rows = database.rows("Places | evaluate geo_polygon_lookup(Areas, area, x, y)")
    assert rows == [
        (179.0, 1.0, "date line"),
        (-179.0, 1.0, "date line"),
        (180.0, 0.0, "date line"),
        (0.0, 0.0, "zero"),
    ]
    near = database.rows("Places | evaluate geo_polygon_lookup(Areas, area, x, y, radius = 100000)")
    assert near == [*rows, (5.5, 0.0, "zero")]


KINDS = ("user", "day", "n", "r", "b", "d", "g", "t", "m")
COLUMNS = (
    "user:string, day:datetime, what:string, n:long, r:real, b:bool, d:dynamic, g:guid, t:timespan, m:decimal"
)
NOTHING = (
    "'', datetime(null), '', long(null), real(null), bool(null), dynamic(null), guid(null),"
    " timespan(null), decimal(null)"
)
SOMETHING = (
    "'a', datetime(2024-01-01), 'open', 1, real(nan), true, dynamic({'a': [1]}),"
    " guid(74be27de-1e4e-49d9-b579-fe0b331d3642), 1h, decimal(1.5)"
)
INPUTS = {
    "no rows": f"datatable({COLUMNS})[{SOMETHING}] | where n > 5",
    "no values": f"datatable({COLUMNS})[{NOTHING}]",
    "some": f"datatable({COLUMNS})[{SOMETHING}, {NOTHING}]",
}
ANY_KIND = [
    f"activity_counts_metrics({{0}}, day, {SPAN}, 1d, what, b)",
    f"active_users_count({{0}}, day, {SPAN}, 2d, 1d, 1, 1d)",
    f"activity_engagement({{0}}, day, {SPAN}, 1d, 4d)",
    f"activity_metrics({{0}}, day, {SPAN}, 1d, what)",
    f"new_activity_metrics({{0}}, day, {SPAN}, 1d)",
    f"sliding_window_counts({{0}}, day, {SPAN}, 2d, 1d)",
    f"session_count({{0}}, day, {SPAN}, 1d, 2d, what)",
    f"funnel_sequence({{0}}, day, {SPAN}, 7d, 7d, what, dynamic(['open', 'buy']))",
    f"funnel_sequence_completion({{0}}, day, {SPAN}, 7d, what, dynamic(['open']), dynamic([1d]))",
    "sequence_detect(day, 4d, 4d, opened = (what == 'open'), bought = (what == 'buy'), {0})",
    "rolling_percentile(n, 50, day, 1d, 2)",
    "diffpatterns({0}, 'a', 'b')",
    "basket(0.3)",
    "autocluster()",
    "rows_near(isnotempty({0}), 1)",
    "narrow()",
]


@pytest.mark.parametrize(("plugin", "given"), list(itertools.product(ANY_KIND, INPUTS)))
def test_inputs_without_rows_or_values_have_answers(database: Database, plugin: str, given: str) -> None:
    for kind in KINDS if "{0}" in plugin else ("",):
        database.query(f"{INPUTS[given]} | serialize | evaluate {plugin.replace('{0}', kind)}")


def test_pivot_gives_the_declared_columns(database: Database) -> None:
    call = "Visits | evaluate pivot(what, count(), user)"
    names, types, rows = database.query(f"{call} : (open:int, user:string, sell:real) | sort by user asc")
    assert list(zip(names, types, strict=True)) == [("open", "int"), ("user", "string"), ("sell", "real")]
    assert rows == [(2, "a", 0.0), (1, "b", 0.0), (1, "c", 0.0)]
    assert database.query(f"{call} : (*, open:long)")[0] == ["user", "open"]
    with pytest.raises(KqlSemanticError, match="a column 'user'"):
        database.compile(f"{call} : (open:long)")
