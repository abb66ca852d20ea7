"""Functions in Python answer whatever they are given: odd values give odd answers, not crashes."""

from __future__ import annotations

import datetime as dt
import random
import zlib
from decimal import Decimal
from typing import Any

import pytest

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql import registry
from spark_kusto.kql.registry import Parameter, PythonRow
from spark_kusto.types import KustoType
from tests.kql.executor import Database

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]}
LINE = {"type": "LineString", "coordinates": [[0, 0], [10, 0], [10, 10]]}
WAVE = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5]

TEXTS = """a|10.0.0.1|10.0.0.0/8|fe80::1/64|::ffff:1.2.3.4|http://u:p@h:8080/p/a?q=1&r=%20#f|C:\\a\\b.txt
/x/y/z.tar.gz|{"a":1}|[1,2]|Meter|Foot|$.a|$..b|é漢😀|1.2.3|2024-01-01|UTC|Europe/Berlin|no/zone|dGVzdA==|%zz
a,b|<a b='1'>x</a>|u33d8|89283082e6bffff|yyyy-MM-dd [HH:mm]|xn--bcher-kva|-f x --g='1 2'|NaN|linear|\x00"""

VALUES: dict[KustoType, list[Any]] = {
    KustoType.STRING: ["", *TEXTS.replace("\n", "|").split("|")],
    KustoType.REAL: [
        *(None, 0.0, -0.0, 0.5, 1.5, -1.0, 90.0, 91.0, 100.0, 180.0, 1e308, -1e308, 5e-324),
        *(float("nan"), float("inf"), float("-inf")),
    ],
    KustoType.LONG: [None, 0, 1, -1, 2, 5, 10, 64, 255, 1024, 2**31],
    KustoType.INT: [None, 0, 1, -1, 2, 5, 24, 32, 128],
    KustoType.BOOL: [None, True, False],
    KustoType.DATETIME: [None, dt.datetime(1, 1, 1), dt.datetime.max, dt.datetime(2024, 3, 31, 1, 30)],
    KustoType.TIMESPAN: [None, 0, 1, -1, 36_000_000_000],
    KustoType.GUID: [None, "74be27de-1e4e-49d9-b579-fe0b331d3642"],
    KustoType.DECIMAL: [None, Decimal("0"), Decimal("1.5"), Decimal("-99999999999999999999")],
    KustoType.DYNAMIC: [
        *(
            None,
            [],
            {},
            1,
            -1.5,
            "text",
            True,
            [1, 2, 3],
            WAVE,
            [1.5, None, 2],
            ["a", "b"],
            [None],
            [[1], [2]],
        ),
        *({"a": 1, "b": [1, {"c": None}]}, SQUARE, LINE, [LINE], [SQUARE, None], [1e308, -1e308, 1e308]),
        *([0, 0, 0, 0], [True, False], [1, 1, 1, 1, 1, 2], [[7], [1, 2], [1, 1]], [[1024, 14], ["5"], []]),
        *({"type": "Point", "coordinates": [1, 2]}, {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}),
        *({"type": "LineString", "coordinates": []}, {"type": "LineString", "coordinates": 5}),
        {"type": "MultiPolygon", "coordinates": [*[SQUARE["coordinates"]], [[[20, 0], [30, 0], [20, 9]]]]},
        *(list(range(60)), [-1, 0.5, "x", None, []]),
    ],
}
ROWS = 40
COPIES = 4
FUNCTIONS = sorted(
    row.name
    for name, row in registry.scalars().items()
    if isinstance(row, PythonRow) and name == row.name and not name.startswith("$")
)


@pytest.fixture(scope="module")
def database() -> Database:
    choices = random.Random(1)
    columns = [(f"{kind.value}{copy}", kind.value) for kind in VALUES for copy in range(COPIES)]
    rows = [[choices.choice(VALUES[KustoType(kind)]) for _, kind in columns] for _ in range(ROWS)]
    return Database({"T": (columns, rows)})


def _arguments(choices: random.Random, parameters: tuple[Parameter, ...]) -> list[str]:
    arguments: list[str] = []
    for parameter in parameters:
        if parameter.optional and choices.random() < 0.4:
            break
        for _ in range(choices.choice((1, 2)) if parameter.repeated else 1):
            kind = choices.choice(sorted(parameter.types, key=str))
            arguments.append(f"{kind.value}{choices.randrange(COPIES)}")
    return arguments


@pytest.mark.parametrize("function", FUNCTIONS)
def test_odd_values(database: Database, function: str) -> None:
    row = registry.scalars()[function]
    assert isinstance(row, PythonRow)
    choices = random.Random(zlib.crc32(function.encode()))
    for _ in range(4):
        arguments = _arguments(choices, row.overloads[0].parameters)
        try:
            rows = database.rows(f"T | project {function}({', '.join(arguments)})")
        except KqlSemanticError:
            continue
        assert len(rows) == ROWS
