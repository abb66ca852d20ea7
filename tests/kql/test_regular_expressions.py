"""Regular expressions mean what RE2 makes of them, also where Python runs them."""

from __future__ import annotations

from typing import Any

import pytest

from spark_kusto.kql.algorithms import regex
from tests.kql.semantics import evaluated, same

FOUND: dict[tuple[str, str], int] = {
    (r"(?i)AB\$$", "xx\nab$"): 3,
    (r"b$", "ab\n"): -1,
    (r"(?m)b$", "ab\nc"): 1,
    (r"a|(?i)b|X", "xBc"): 0,
    (r"a(?i)b", "AB ab aB"): 3,
    (r"(a(?i)b)c", "aBC aBc"): 4,
    (r"(?s)a.b", "xa\nb"): 1,
    (r"a.b", "xa\nb"): -1,
    (r"\pL\d", "1\u00e92"): 1,
    (r"\p{Lu}", "aB"): 1,
    (r"\P{L}", "ab-"): 2,
    (r"[\p{Greek}]", "a\u03b1"): 1,
    (r"\Qa.b\E", "axb a.b"): 4,
    (r"[]]", "ab]"): 2,
    (r"[^]a]", "]ab"): 2,
    (r"[[:punct:]]", "ab-"): 2,
    (r"[[:alpha:]_]+9", "1ab_9"): 1,
    (r"(?U)a.+b", "aabxb"): 0,
    (r"\x{61}", "ba"): 1,
    (r"a\z", "aba"): 2,
    (r"\d", "\u0663"): -1,
    (r"a{,2}", "a{,2}"): 0,
    (r"(?<n>b)", "ab"): 1,
}


@pytest.mark.parametrize("case", FOUND)
def test_position(case: tuple[str, str]) -> None:
    pattern, text = case
    match = regex.compiled(pattern).search(text)
    assert (-1 if match is None else match.start()) == FOUND[case]


@pytest.mark.parametrize("case", [case for case in FOUND if "Greek" not in case[0]])
def test_as_the_operator_has_it(case: tuple[str, str]) -> None:
    """``matches regex`` runs on RE2 itself."""
    pattern, text = (part.replace("'", "''") for part in case)
    escaped = text.replace("\n", "\\n")
    assert evaluated(f"'{escaped}' matches regex @'{pattern}'") is (FOUND[case] >= 0)


@pytest.mark.parametrize(
    "pattern", [r"(?=a)", r"(?<!a)b", r"(a)\1", "a++", "(", "a)", "[a", r"\y", r"\x{zz}"]
)
def test_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        regex.compiled(pattern)


def test_groups() -> None:
    assert regex.groups(r"(a)(?:b)(?P<c>x)\(([()](?<d>y)\Q(\E)") == [None, "c", None, "d"]


VALUES: dict[str, Any] = {
    "extract('(?<n>b)', 1, 'abc')": "b",
    "extract('(a)', -1, 'abc')": "",
    "extract('(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)', 10, 'abcdefghijk')": "j",
    "extract_all('(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)', dynamic([10, 1]), 'abcdefghijk')": [["j", "a"]],
    r"extract_all(@'(\w)(\w+)(\w)', 'abcd xyz')": [["a", "bc", "d"], ["x", "y", "z"]],
    r"extract_all(@'(\w)(\w+)(\w)', dynamic([3]), 'abcd xyz')": ["d", "z"],
    r"extract_all(@'(?P<f>\w)(?P<m>\w+)(?P<l>\w)', dynamic(['l', 2]), 'abcd')": [["d", "bc"]],
    "extract_all('(a)|(b)', 'ab')": [["a", ""], ["", "b"]],
    "extract_all('(a)|b', 'ab')": ["a", ""],
    "extract_all('((?i)B)(c)', 'bcBc')": [["b", "c"], ["B", "c"]],
    "extract_all('x', 'ab')": None,
    r"extract_all(@'(\w)(\d)', 'ab')": None,
    r"extract_all(@'(\w)(\d)', dynamic([1, 5]), 'a1b2')": ["a", "b"],
    r"extract_all(@'(\w)(\d)', dynamic([5]), 'a1b2')": [["a", "1"], ["b", "2"]],
    r"extract_all(@'([\da-f]{2})-?', tolower('82b8-BE'))": ["82", "b8", "be"],
    r"countof('The cat sat on the mat', @'\b.at\b', 'regex')": 3,
    "countof('aaa', 'aa')": 2,
    "countof('aaa', 'aa', 'regex')": 1,
    "countof('abc', '', 'regex')": 0,
    "indexof_regex('abcabc', 'a.c')": 0,
    "indexof_regex('abcabcdefg', 'a.c', 0, 9, 2)": 3,
    "indexof_regex('abcabc', 'a.c', 1, -1, 2)": -1,
    "indexof_regex('ababaa', 'a.a', 0, -1, 2)": -1,
    "indexof_regex('abcabc', 'a|ab', -1)": None,
    "indexof('abcdefgabcdefg', 'cde', 1, 10, 2)": 9,
    "indexof('abcdefgabcdefg', 'cde', 1, -1, 3)": -1,
    "indexof('abcdefg', 'cde', 1, 2)": -1,
    "indexof('abcdefg', 'cde', -5)": 2,
    "indexof(1234567, 5, 1, 4)": 4,
    "replace_regex('abc', '(?<x>b)', @'[\\1]')": "a[b]c",
    "trim('(?<x>a)', 'aba')": "b",
}


@pytest.mark.parametrize("expression", VALUES)
def test_function(expression: str) -> None:
    have = evaluated(expression)
    assert same(have, VALUES[expression]), have
