"""Dynamic values, texts of JSON and delimiters from columns answer as constants do."""

from __future__ import annotations

import pytest

from tests.kql.semantics import evaluated, one_row, rows_of

MEMBERS = [
    ("true", "[true]", True),
    ("true", "[1]", True),
    ("true", "[2, false]", False),
    ("true", '["true"]', True),
    ("1e20", "[1e20]", True),
    ("5.0", "[5]", True),
    ("5.5", "[5, 5.50]", True),
    ("5", "[5.0]", True),
    ("5", "[5.5]", False),
    ("5", '["5"]', True),
    ("int(5)", "[7, 5]", True),
    ("1", "[true]", True),
    ("9007199254740993", "[9007199254740992]", False),
    ("9007199254740993", "[9007199254740993]", True),
    ("decimal(0.1)", "[0.1]", True),
    ('"5"', "[5]", True),
    ('"a"', '["b", "a"]', True),
    ('"a"', '"a"', True),
    ("5", "5", True),
    ("5", "6", False),
    ("5", "[]", False),
    ("5", "[[5], null]", False),
    ("datetime(2020-01-01)", '["2020-01-01T00:00:00Z"]', True),
    ("1d", '["1.00:00:00"]', True),
    ("guid(74be27de-1e4e-49d9-b579-fe0b331d3642)", '["74be27de-1e4e-49d9-b579-fe0b331d3642"]', True),
]


@pytest.mark.parametrize(("value", "array", "want"), MEMBERS)
def test_items_of_arrays_are_compared_as_values(value: str, array: str, want: bool) -> None:
    assert one_row("d: dynamic", f"dynamic({array})", f"{value} in (d), {value} !in (d)") == (want, not want)
    row = one_row("d: dynamic", f"dynamic({array})", f"v = {value}, d")
    assert row[1] is not None
    query = f"datatable(d: dynamic)[dynamic({array})] | extend v = {value} | where v in (d) | count"
    assert rows_of(query) == [(int(want),)]


@pytest.mark.parametrize("array", ["[]", '["a"]', '["a", "b"]', '["a", "x"]', '"a"', "null"])
@pytest.mark.parametrize("operator", ["has_all", "has_any", "!has_any"])
def test_words_of_a_column_and_of_a_constant(operator: str, array: str) -> None:
    if operator.startswith("!"):
        test = f"not(s {operator[1:]} ({{0}}))"
    else:
        test = f"s {operator} ({{0}})"
    expression = f"{test.format('d')}, {test.format(f'dynamic({array})')}"
    column, constant = one_row("s: string, d: dynamic", f'"a b c", dynamic({array})', expression)
    assert column is constant


ODD_KEYS = ["*", "", "a.b", "a b", "[0]", "$", "/", "~", "~1", "#", "0", "'", "é"]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_keys_are_taken_to_the_letter(key: str) -> None:
    bag = f'{{"{key}": {{"{key}": [4, 5]}}, "q": 1}}'
    table = f'datatable(d: dynamic, k: string)[dynamic({bag}), "{key}"]'
    access = f'd["{key}"]["{key}"][1], d[k][k][1], d[k]["{key}"][-1], d["{key}"][k], tostring(d[k][k][0])'
    assert rows_of(f"{table} | project {access}") == [(5, 5, 5, [4, 5], "4")]
    assert rows_of(f'print x = dynamic({bag})["{key}"]["{key}"][0]') == [(4,)]
    assert rows_of(f"{table} | mv-expand d | project d") == [({key: {key: [4, 5]}},), ({"q": 1},)]
    assert rows_of(f"{table} | mv-expand kind=array d | project d") == [([key, {key: [4, 5]}],), (["q", 1],)]
    assert sorted(rows_of(f"{table} | project d | evaluate bag_unpack(d)")[0], key=str) == [1, {key: [4, 5]}]


JSON_TEXTS = ["NaN", "Infinity", '{"a":1,"a":2}', "[1, 2", "", "null", " [1 ] ", '"x"', "1e400", "'a'"]


@pytest.mark.parametrize("text", JSON_TEXTS)
def test_json_of_a_column_and_of_a_constant(text: str) -> None:
    written = text.replace("\\", "\\\\").replace('"', '\\"')
    what = "tostring(parse_json({0})), gettype(parse_json({0})), tostring(parse_json({0}).a)"
    column = one_row("s: string", f'"{written}"', what.format("s"))
    constant = one_row("s: string", '""', what.format(f'"{written}"'))
    assert column == constant


def test_deep_json() -> None:
    deep = "[" * 3000 + "]" * 3000
    assert evaluated(f'strlen(tostring(parse_json("{deep}")))') == 6000
    assert one_row("s: string", f'"{deep}"', "strlen(tostring(parse_json(s)))") == (6000,)


@pytest.mark.parametrize("delimiter", ["", " ", "b"])
def test_delimiters_of_a_column_and_of_a_constant(delimiter: str) -> None:
    column, constant = one_row(
        "s: string, d: string", f'"a b", "{delimiter}"', f'split(s, d), split(s, "{delimiter}")'
    )
    assert column == constant
    one, other = one_row(
        "s: string, d: string", f'"a b", "{delimiter}"', f'split(s, d)[0], split(s, "{delimiter}")[0]'
    )
    assert one == other
