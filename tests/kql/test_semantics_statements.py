"""Statements around a query: ``restrict access``, ``alias``, ``declare pattern``, entity groups."""

from __future__ import annotations

from typing import Any

import pytest

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql.catalog import StoredFunction
from spark_kusto.kql.compiled import CompileOptions
from tests.kql.executor import Database

DATABASE = Database(
    {
        "Open": ([("x", "long")], [(1,), (2,)]),
        "Hidden": ([("x", "long"), ("secret", "string")], [(3, "s"), (4, "t")]),
        "A table": ([("x", "long")], [(5,)]),
    },
    {
        "Count": StoredFunction("Count", "()", "{ Hidden | count }"),
        "Both": StoredFunction("Both", "(T:(x:long))", "{ union T, (Hidden | project x) | count }"),
    },
)


def rows(query: str) -> list[tuple[Any, ...]]:
    return DATABASE.rows(query)


# --- restrict access -----------------------------------------------------------------------------


def test_what_a_granted_view_reads_is_its_own() -> None:
    view = "let V = view () { Hidden | project x };"
    assert rows(f"{view} restrict access to (V); V | summarize sum(x)") == [(7,)]
    assert rows(f"{view} restrict access to (V); union V, V | count") == [(4,)]
    assert rows("restrict access to (Count); Count") == [(2,)]


@pytest.mark.parametrize(
    "query",
    [
        "let V = view () { Hidden | project x }; restrict access to (V); Hidden",
        "let V = view () { Hidden | project x }; restrict access to (Open); V",
        # One of the same name that comes later is another one.
        "let V = view () { Open }; restrict access to (V); let V = view () { Hidden }; V",
        "let V = view () { Open }; restrict access to (V); let f = () { let V = view () { Hidden }; V }; f",
        # What is handed to a granted function is bound where it is called.
        "restrict access to (Both); Both(Hidden)",
        "restrict access to (Both, Open); Hidden | invoke Both()",
        "restrict access to (Open); Count",
        "restrict access to (Open); table('Hidden')",
        "restrict access to (Open); database('db').Hidden",
        "restrict access to (Open); print toscalar(Hidden | count)",
        "restrict access to (Open); search in (Hidden) 's'",
    ],
)
def test_what_is_not_granted_stays_unknown(query: str) -> None:
    with pytest.raises(KqlSemanticError, match="Failed to resolve table") as caught:
        DATABASE.compile(query)
    assert "Did you mean 'Hidden'" not in str(caught.value)


def test_granted_functions_take_what_may_be_read() -> None:
    assert rows("restrict access to (Both, Open); Both(Open)") == [(4,)]
    assert rows("restrict access to (Open); union * | count") == [(2,)]
    assert rows("restrict access to (database().*); Hidden | count") == [(2,)]


# --- alias, patterns, entity groups --------------------------------------------------------------


def test_alias_names_a_database() -> None:
    alias = 'alias database["wiki"] = cluster("https://other.example").database("db");'
    assert rows(f'{alias} database("wiki").Open | count') == [(2,)]
    assert rows(f"{alias} union database('wiki').Open, database('wiki').['A table'] | count") == [(3,)]
    # It is no table and no variable.
    with pytest.raises(KqlSemanticError, match="'wiki'"):
        DATABASE.compile(f"{alias} wiki")


PATTERN = """
declare pattern country = (name:string)[state:string]
{
    ("USA").["New York"] = { print Capital = "Albany" };
    ("USA").["Texas"] = { print Capital = "Austin" };
    ("Canada").["Alberta"] = { let city = "Edmonton"; print Capital = city };
};
"""


def test_patterns_by_name_and_by_text() -> None:
    assert rows(PATTERN + 'country("Canada").Alberta') == [("Edmonton",)]
    assert rows(PATTERN + 'country("USA").["New York"]') == [("Albany",)]
    union = 'union country("USA").["New York"], (country("USA").Texas), country("USA")["Texas"] | count'
    assert rows(PATTERN + union) == [(3,)]


@pytest.mark.parametrize("declared", [PATTERN, "declare pattern country;"])
def test_pattern_references_without_a_match_are_named(declared: str) -> None:
    with pytest.raises(KqlSemanticError, match="pattern references were not declared") as caught:
        DATABASE.compile(declared + 'country("USA").["New England"] | count')
    assert caught.value.code == "SEM0036"
    assert "country('USA').['New England']" in str(caught.value)


def test_quoted_tables_of_a_database() -> None:
    assert rows("database('db').['A table'] | count") == [(1,)]
    assert rows("print n = toscalar(database('db')[\"A table\"] | count)") == [(1,)]


def test_macro_expand_knows_its_scope() -> None:
    query = """
    macro-expand entity_group [database('db'), cluster('c').database('db')] as X
    (
        X.Open | take 1 | project d = X.$current_database, c = X.$current_cluster_endpoint
    )"""
    answer = DATABASE.rows(query, options=CompileOptions(cluster="here"))
    assert answer == [("db", "here"), ("db", "here")]


def test_facets_are_counted_by_name() -> None:
    results = DATABASE.compile("Hidden | facet by secret, x with (where x > 3)").results
    assert [[column.name for column in result.columns] for result in results] == [
        ["secret", "count_secret"],
        ["x", "count_x"],
        ["x", "secret"],
    ]
