"""Tables for a terminal."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from spark_kusto.cli.output import display, plural, size, table_lines
from spark_kusto.types import KustoType


def lines(rows: list[tuple[Any, ...]], *types: str, **options: Any) -> list[str]:
    names = [chr(ord("a") + at) for at in range(len(types))]
    return list(table_lines(names, [KustoType(kind) for kind in types], rows, **options))


def test_numbers_stand_to_the_right_and_texts_to_the_left() -> None:
    assert lines([("x", 1), ("yyy", 20_000)], "string", "long") == [
        "a        b",
        "───  ─────",
        "x        1",
        "yyy  20000",
    ]


def test_wide_characters_keep_columns_straight() -> None:
    assert lines([("日本", 1), ("é", 2)], "string", "long")[2:] == ["日本  1", "é     2"]


def test_a_table_fits_its_terminal_by_cutting_the_widest_columns() -> None:
    found = lines([("x" * 100, "y" * 30, 5)], "string", "string", "long", width=50)
    assert all(len(line) <= 50 for line in found)
    assert "…" in found[2]
    assert found[2].endswith("5")


def test_many_columns_in_a_narrow_terminal_stay_readable() -> None:
    found = lines([tuple("x" * 50 for _ in range(5))], *["string"] * 5, width=20)
    assert found[2].split("  ") == ["xxxxx…"] * 5


def test_no_columns_and_no_rows() -> None:
    assert lines([]) == ["", ""]
    assert lines([], "long") == ["a", "─"]


def test_ascii_where_the_terminal_has_no_more() -> None:
    found = lines([("x" * 100,)], "string", width=20, ascii_only=True)
    assert found[1:] == ["-" * 20, "x" * 17 + "..."]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "long", "null"),
        (True, "bool", "true"),
        (0.1 + 0.2, "real", "0.3"),
        (1e300, "real", "1e+300"),
        (float("nan"), "real", "NaN"),
        (float("-inf"), "real", "-Infinity"),
        (Decimal("1.500000000000000000"), "decimal", "1.5"),
        (datetime(2013, 1, 1, 5, 15, tzinfo=timezone.utc), "datetime", "2013-01-01 05:15:00Z"),
        (datetime(2013, 1, 1, 5, 15, 0, 120_000, tzinfo=timezone.utc), "datetime", "2013-01-01 05:15:00.12Z"),
        (timedelta(days=1, minutes=5), "timespan", "1.00:05:00"),
        ("two\nlines\x1b[31m", "string", "two\\nlines\\u001b[31m"),
        ('{"a":1}', "dynamic", '{"a":1}'),
    ],
)
def test_values_as_readers_like_them(value: Any, kind: str, text: str) -> None:
    assert display(value, KustoType(kind)) == text


def test_counts_and_sizes() -> None:
    assert [plural(1, "row"), plural(2000, "row"), plural(0, "box", "boxes")] == [
        "1 row",
        "2,000 rows",
        "0 boxes",
    ]
    assert [size(999), size(1_000), size(3_250_000), size(7_200_000_000_000)] == [
        "999 bytes",
        "1.0 KB",
        "3.2 MB",
        "7.2 TB",
    ]
