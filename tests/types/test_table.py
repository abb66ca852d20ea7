"""The table of types, and the errors and redaction beside it."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pyarrow as pa
import pytest

from spark_kusto import errors
from spark_kusto.errors import EntityNotFoundError, KqlSyntaxError, KustoError, nearest, redact
from spark_kusto.types import (
    Column,
    KustoType,
    columns_from_arrow,
    result_schema,
    storage_schema,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bool", KustoType.BOOL),
        ("Boolean", KustoType.BOOL),
        ("System.SByte", KustoType.BOOL),
        ("int", KustoType.INT),
        ("System.Int32", KustoType.INT),
        ("long", KustoType.LONG),
        ("Int64", KustoType.LONG),
        ("real", KustoType.REAL),
        ("double", KustoType.REAL),
        ("System.Data.SqlTypes.SqlDecimal", KustoType.DECIMAL),
        ("date", KustoType.DATETIME),
        ("time", KustoType.TIMESPAN),
        ("uuid", KustoType.GUID),
        ("uniqueid", KustoType.GUID),
        ("System.Object", KustoType.DYNAMIC),
        (" string ", KustoType.STRING),
    ],
)
def test_types_have_their_documented_names(name: str, expected: KustoType) -> None:
    assert KustoType.parse(name) is expected


def test_an_unknown_type_name_offers_the_nearest() -> None:
    with pytest.raises(EntityNotFoundError, match="Did you mean 'datetime'"):
        KustoType.parse("datetme")
    with pytest.raises(EntityNotFoundError, match="The types are bool, int"):
        KustoType.parse("xyzzy")


def test_arrow_schemas_carry_the_type_there_and_back() -> None:
    columns = [Column(kind.value, kind) for kind in KustoType]
    assert columns_from_arrow(storage_schema(columns)) == tuple(columns)
    assert columns_from_arrow(result_schema(columns)) == tuple(columns)
    bare = pa.schema([field.remove_metadata() for field in result_schema(columns)])
    # Without metadata, text is text.
    assert [c.type for c in columns_from_arrow(bare)][-2:] == [KustoType.STRING, KustoType.STRING]


def test_importing_types_and_errors_loads_nothing_heavy() -> None:
    code = (
        "import sys, spark_kusto.types, spark_kusto.errors, spark_kusto.storage;"
        "print([m for m in ('pyarrow','duckdb','pyspark','pandas','numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- errors ---------------------------------------------------------------------------------------


def _all_errors() -> list[type[KustoError]]:
    found: list[type[KustoError]] = []
    waiting: list[type[KustoError]] = [KustoError]
    while waiting:
        cls = waiting.pop()
        found.append(cls)
        waiting += cls.__subclasses__()
    return [cls for cls in found if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", _all_errors(), ids=lambda cls: cls.__name__)
def test_every_error_pickles_and_keeps_what_it_says(cls: type[KustoError]) -> None:
    error = cls("It went wrong.", remedy="Do this.")  # type: ignore[call-arg]
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__
    assert "Do this." in str(again)


def test_every_error_is_exported_and_drawn_in_the_docstring() -> None:
    for cls in _all_errors():
        assert cls.__name__ in errors.__all__
        assert f" {cls.__name__} " in f"{errors.__doc__} ".replace("\n", " ")


def test_a_syntax_error_shows_the_place() -> None:
    error = KqlSyntaxError("Expected ')'.", 2, 9, "T\n| where (x > 1", length=3)
    assert str(error).splitlines()[1:] == ["| where (x > 1", "        ^^^"]
    assert (error.line, error.column) == (2, 9)


def test_a_syntax_error_in_a_long_line_shows_a_window() -> None:
    error = KqlSyntaxError("Unexpected.", 1, 501, "x" * 500 + "!" + "y" * 500)
    line, caret = error.caret.splitlines()
    assert len(line) <= 120
    assert line[caret.index("^")] == "!"


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("Flihgts", ["Flights", "Airports"], "Flights"),
        ("flights", ["Flights", "flight"], "Flights"),
        ("StormEvent", ["StormEvents"], "StormEvents"),
        ("Events", ["StormEvents"], "StormEvents"),
        ("x", ["y"], None),
        ("completely", ["different"], None),
    ],
)
def test_the_nearest_name_is_offered(name: str, candidates: list[str], expected: str | None) -> None:
    assert nearest(name, candidates) == expected


SECRETS = [
    'externaldata(a:string) [h@"https://a.blob.core.windows.net/c?sig=TOPSECRET"]',
    "externaldata(a:string) [h'https://a.blob.core.windows.net/c;TOPSECRET==']",
    "H```multi\nTOPSECRET```",
    "https://a.blob.core.windows.net/c/b.csv?sv=2020&sig=TOPSECRET%3D&se=2030",
    "https://a.blob.core.windows.net/c/b.csv;TOPSECRET==",
    "AccountName=a;AccountKey=TOPSECRET==;EndpointSuffix=core.windows.net",
    "Authorization: Bearer TOPSECRET.abcdefgh",
    '{"kustoAadAppSecret": "TOPSECRET", "kustoCluster": "help"}',
    "{'accessToken': 'TOPSECRET'}",
    "https://user:TOPSECRET@host/path",
    "eyJhbGciOiJIUzI1NiJ9.eyJUT1BTRUNSRVQiOjF9.TOPSECRET",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_leave_no_trace(text: str) -> None:
    assert "TOPSECRET" not in redact(text)
    assert "***" in redact(text)
    assert "TOPSECRET" not in str(KustoError(text, remedy=text))
    assert "TOPSECRET" not in repr(KustoError(text))


@pytest.mark.parametrize(
    "text",
    [
        'T | where Message has "sign" and x == 1',
        "https://a.blob.core.windows.net/c;impersonate",
        "Column 'signature' is string, not long.",
        "print a = 'has'",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert redact(text) == text
