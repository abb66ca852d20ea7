"""Functions over text."""

from __future__ import annotations

import re
from typing import Any

from spark_kusto.kql.algorithms import regex
from spark_kusto.kql.functions.conversions import text
from spark_kusto.kql.registry import (
    ANY,
    BOOL,
    DYNAMIC,
    INTEGER,
    LONG,
    NOT_CONSTANT,
    STRING,
    Argument,
    Emission,
    constant,
    optional,
    overload,
    parameter,
    python_scalar,
    repeated,
    scalar,
)

TEXT = frozenset({STRING, DYNAMIC})


def quoted(value: str) -> str:
    """SQL literal of a text."""
    return "'" + value.replace("'", "''") + "'"


def _constant_or(argument: Argument, default: Any) -> Any:
    return default if argument.value is NOT_CONSTANT else argument.value


# --- lengths and cases ---------------------------------------------------------------------------


def _length(function: str) -> Any:
    return lambda call: f"{function}({text(call, call.arguments[0])})"


scalar("strlen", [parameter(TEXT, "string")], LONG, _length("length"), column="strlen_{0}")
scalar("string_size", [parameter(TEXT, "string")], LONG, _length("strlen"), column="string_size_{0}")
scalar("toupper", [ANY], STRING, _length("upper"))
scalar("tolower", [ANY], STRING, _length("lower"))
scalar("reverse", [ANY], STRING, _length("reverse"))
scalar(
    "isascii",
    [ANY],
    BOOL,
    lambda call: call.once("strlen({x}) = length({x})", x=text(call, call.arguments[0])),
    nulls="never",
)
scalar("isutf8", [ANY], BOOL, "({0} IS NOT NULL OR true)", nulls="never")


def _strcmp(call: Emission) -> str:
    left, right = (text(call, argument) for argument in call.arguments)
    return call.once(
        "CAST(CASE WHEN {a} = {b} THEN 0 WHEN {a} < {b} THEN -1 ELSE 1 END AS BIGINT)", a=left, b=right
    )


scalar("strcmp", [ANY, ANY], LONG, _strcmp, nulls="never")


# --- putting together ----------------------------------------------------------------------------


def _strcat(call: Emission) -> str:
    return f"concat({', '.join(text(call, argument) for argument in call.arguments)})"


def _strcat_delim(call: Emission) -> str:
    return f"concat_ws({', '.join(text(call, argument) for argument in call.arguments)})"


def _strrep(call: Emission) -> str:
    value = text(call, call.arguments[0])
    count = f"CAST(greatest({call.sql[1]}, 0) AS INTEGER)"
    if len(call.arguments) < 3:
        return f"repeat({value}, {count})"
    delimiter = text(call, call.arguments[2])
    return f"array_to_string(list_resize(CAST([] AS VARCHAR[]), {count}, {value}), {delimiter})"


scalar("strcat", [parameter(ANY), repeated(ANY, "arg")], STRING, _strcat, nulls="never")
scalar(
    "strcat_delim",
    [parameter(ANY, "delimiter"), parameter(ANY), repeated(ANY, "arg")],
    STRING,
    _strcat_delim,
    nulls="never",
)
scalar(
    "strrep",
    [parameter(ANY, "value"), parameter(LONG, "multiplier"), optional(ANY, name="delimiter")],
    STRING,
    _strrep,
    nulls="maybe",
)


# --- taking apart --------------------------------------------------------------------------------


def _substring(call: Emission) -> str:
    source = text(call, call.arguments[0])
    start = call.arguments[1].value
    if isinstance(start, int):
        # DuckDB counts from 1, and from the end where negative, as Kusto does.
        first = str(start + 1) if start >= 0 else str(start)
    else:
        first = call.once("CASE WHEN {s} < 0 THEN {s} ELSE {s} + 1 END", s=call.sql[1])
    length = f", greatest({call.sql[2]}, 0)" if len(call.arguments) > 2 else ""
    if isinstance(start, int) and start >= 0:
        return f"substring({source}, {first}{length})"
    # Before the text's beginning there is nothing, not the beginning.
    known = f"length({{t}}) < {-start}" if isinstance(start, int) else f"-({call.sql[1]}) > length({{t}})"
    return call.once(f"CASE WHEN {known} THEN '' ELSE substring({{t}}, {first}{length}) END", t=source)


scalar(
    "substring",
    [parameter(ANY, "source"), parameter(INTEGER, "start"), optional(INTEGER, name="length")],
    STRING,
    _substring,
    nulls="maybe",
)


def _parts(call: Emission) -> str:
    source, delimiter = text(call, call.arguments[0]), call.sql[1]
    known = call.arguments[1].value
    if known == "":
        return f"[{source}]"
    if isinstance(known, str):
        return f"string_split({source}, {delimiter})"
    # DuckDB takes an empty delimiter for a split into characters.
    return call.once("CASE WHEN {d} = '' THEN [{s}] ELSE string_split({s}, {d}) END", s=source, d=delimiter)


def _one_part(call: Emission) -> str:
    parts = _parts(call).replace("{", "{{").replace("}", "}}")
    return call.once(f"CAST(to_json(list_slice({parts}, {{i}} + 1, {{i}} + 1)) AS VARCHAR)", i=call.sql[2])


_SPLIT = [parameter(ANY, "source"), parameter(STRING, "delimiter")]
scalar(
    "split",
    [
        overload(_SPLIT, DYNAMIC, lambda call: f"CAST(to_json({_parts(call)}) AS VARCHAR)", items=_parts),
        overload([*_SPLIT, parameter(INTEGER, "index")], DYNAMIC, _one_part),
    ],
    column="{0}",
)


def _trim(left: bool, right: bool) -> Any:
    def emit(call: Emission) -> str:
        pattern, source = call.sql
        known = call.arguments[0].value
        sql = source
        if left:
            anchored = (
                quoted(f"^(?:{regex.for_re2(known)})")
                if isinstance(known, str)
                else f"('^(?:' || {pattern} || ')')"
            )
            sql = f"regexp_replace({sql}, {anchored}, '')"
        if right:
            anchored = (
                quoted(f"(?:{regex.for_re2(known)})$")
                if isinstance(known, str)
                else f"('(?:' || {pattern} || ')$')"
            )
            sql = f"regexp_replace({sql}, {anchored}, '')"
        return sql

    return emit


scalar("trim", [parameter(STRING, "regex"), parameter(STRING, "source")], STRING, _trim(True, True))
scalar("trim_start", [parameter(STRING, "regex"), parameter(STRING, "source")], STRING, _trim(True, False))
scalar("trim_end", [parameter(STRING, "regex"), parameter(STRING, "source")], STRING, _trim(False, True))


# --- replacing -----------------------------------------------------------------------------------

scalar(
    "replace_string",
    [parameter(STRING, "text"), parameter(STRING, "lookup"), parameter(STRING, "rewrite")],
    STRING,
    "replace({0}, {1}, {2})",
)
scalar(
    "replace_regex",
    [parameter(STRING, "source"), parameter(STRING, "lookup_regex"), parameter(STRING, "rewrite_pattern")],
    STRING,
    lambda call: f"regexp_replace({call.sql[0]}, {regex_sql(call.arguments[1])}, {call.sql[2]}, 'g')",
)
scalar(
    "replace",
    [parameter(STRING, "regex"), parameter(STRING, "rewrite"), parameter(STRING, "source")],
    STRING,
    lambda call: f"regexp_replace({call.sql[2]}, {regex_sql(call.arguments[0])}, {call.sql[1]}, 'g')",
)


def _replace_strings(source: str, lookups: Any, rewrites: Any) -> str:
    if not isinstance(lookups, list):
        return source
    pairs: dict[str, str] = {}
    for position, lookup in enumerate(lookups):
        if isinstance(rewrites, list):
            rewrite = rewrites[position] if position < len(rewrites) else ""
        else:
            rewrite = rewrites
        if isinstance(lookup, str) and lookup:
            # What is to become a number, say, is found and stays.
            pairs.setdefault(lookup, rewrite if isinstance(rewrite, str) else lookup)
    if not pairs:
        return source
    # All at once: what one pair puts in, another does not replace.
    pattern = "|".join(map(re.escape, pairs))
    return re.sub(pattern, lambda match: pairs[match.group()], source)


python_scalar(
    "replace_strings",
    [parameter(STRING, "text"), parameter(DYNAMIC, "lookups"), parameter(DYNAMIC, "rewrites")],
    STRING,
    _replace_strings,
)


# --- finding -------------------------------------------------------------------------------------


def _find(source: str, match: str, start: int, length: int, occurrence: int) -> int | None:
    if length < -1 or occurrence <= 0:
        return None
    position = (start if start >= 0 else max(0, len(source) + start)) - 1
    for _ in range(occurrence):
        # The length counts anew from each occurrence.
        end = len(source) if length == -1 else position + 1 + length
        position = source.find(match, position + 1, end)
        if position < 0:
            return -1
    return position


def _find_regex(source: str, match: str, start: int, length: int, occurrence: int) -> int | None:
    if start < 0 or length < -1 or occurrence <= 0:
        return None
    end = len(source) if length == -1 else min(len(source), start + length)
    for found in regex.compiled(match).finditer(source, start, end):
        occurrence -= 1
        if occurrence == 0:
            return found.start()
    return -1


python_scalar("$indexof", [STRING, STRING, LONG, LONG, LONG], LONG, _find)
python_scalar("$indexof_regex", [STRING, STRING, LONG, LONG, LONG], LONG, _find_regex)


def _indexof(call: Emission) -> str:
    source, match = (text(call, argument) for argument in call.arguments[:2])
    rest = [*call.sql[2:], "0", "-1", "1"][: max(0, len(call.sql) - 2)]
    if not rest:
        return f"CAST(strpos({source}, {match}) - 1 AS BIGINT)"
    defaults = ["0", "-1", "1"]
    numbers = [f"CAST({sql} AS BIGINT)" for sql in rest + defaults[len(rest) :]]
    return call.udf("$indexof", source, match, *numbers)


def _indexof_regex(call: Emission) -> str:
    source, match = (text(call, argument) for argument in call.arguments[:2])
    rest = list(call.sql[2:])
    numbers = [f"CAST({sql} AS BIGINT)" for sql in rest + ["0", "-1", "1"][len(rest) :]]
    return call.udf("$indexof_regex", source, match, *numbers)


_WHERE = [
    parameter(ANY, "source"),
    parameter(ANY, "lookup"),
    optional(INTEGER, name="start"),
    optional(INTEGER, name="length"),
    optional(INTEGER, name="occurrence"),
]
scalar("indexof", _WHERE, LONG, _indexof, nulls="maybe")
scalar("indexof_regex", _WHERE, LONG, _indexof_regex, nulls="maybe")


def _countof(source: str, search: str) -> int:
    if search == "":
        return 0
    count, position = 0, source.find(search)
    while position >= 0:
        count += 1
        # Plain matches may overlap, those of a regex may not.
        position = source.find(search, position + 1)
    return count


python_scalar("$countof", [STRING, STRING], LONG, _countof, nulls="never")


def _countof_sql(call: Emission) -> str:
    source, search = call.sql[:2]
    plain = call.udf("$countof", source, search)
    if len(call.arguments) < 3:
        return plain
    matches = f"CASE WHEN {search} = '' THEN 0 ELSE len(regexp_extract_all({source}, {search})) END"
    kind = call.arguments[2].value
    if isinstance(kind, str):
        return matches if kind == "regex" else plain
    return f"CASE WHEN {call.sql[2]} = 'regex' THEN {matches} ELSE {plain} END"


scalar(
    "countof",
    [parameter(STRING, "source"), parameter(STRING, "search"), optional(STRING, name="kind")],
    LONG,
    _countof_sql,
    nulls="never",
)


def _has_any_index(source: Any, values: Any) -> int:
    words = {word.lower() for word in re.findall(r"[^\W_]+", str(source))}
    lowered = str(source).lower()
    for position, value in enumerate(values if isinstance(values, list) else []):
        wanted = str(value).lower()
        if wanted in words or (
            not wanted.isalnum() and re.search(rf"(?<![^\W_]){re.escape(wanted)}(?![^\W_])", lowered)
        ):
            return position
    return -1


python_scalar("$has_any_index", [STRING, DYNAMIC], LONG, _has_any_index)

_MOST_TERMS = 100
"""Most terms that are looked for one by one in SQL."""

_SOURCE = "\0source\0"
"""Where the text that is searched is put in."""


def _has_any_index_sql(call: Emission) -> str:
    from spark_kusto.kql.binder.strings import has_sql

    terms = call.arguments[1].value
    known = isinstance(terms, list) and len(terms) <= _MOST_TERMS
    if not known or not all(isinstance(term, str) and term.isascii() for term in terms):
        return call.udf("$has_any_index", *call.sql)
    if not terms:
        return "-1::BIGINT"
    tests = [f"WHEN {has_sql(_SOURCE, term, False)} THEN {place}" for place, term in enumerate(terms)]
    body = f"CAST(CASE {' '.join(tests)} ELSE -1 END AS BIGINT)"
    return call.once(body.replace("{", "{{").replace("}", "}}").replace(_SOURCE, "{s}"), s=call.sql[0])


scalar(
    "has_any_index",
    [parameter(STRING, "source"), parameter(DYNAMIC, "values")],
    LONG,
    _has_any_index_sql,
)

scalar("regex_quote", [ANY], STRING, lambda call: f"regexp_escape({text(call, call.arguments[0])})")


# --- regular expressions (RE2) -------------------------------------------------------------------


def _names_of_groups(regular: str, wanted: Any) -> list[int]:
    """Numbers of the groups that ``extract_all`` gives: those asked for by name or number, else all."""
    names = regex.groups(regular)
    every = list(range(1, len(names) + 1)) or [0]
    if not isinstance(wanted, list):
        return every
    numbers = [names.index(group) + 1 if group in names else int(group) for group in wanted]
    # Numbers of groups that there are not fall away; where none is left, all groups are given.
    return [number for number in numbers if 0 < number <= len(names)] or every


def _extract_all_groups(regular: str, groups: Any, source: str) -> list[Any] | None:
    wanted = _names_of_groups(regular, groups)
    found: list[Any] = []
    for match in regex.compiled(regular).finditer(source):
        texts = [match.group(group) or "" for group in wanted]
        found.append(texts[0] if len(texts) == 1 else texts)
    return found or None


python_scalar("$extract_all", [STRING, DYNAMIC, STRING], DYNAMIC, _extract_all_groups, calls_on_null=True)

_MOST_GROUPS = 9
"""The highest number of a group that DuckDB extracts."""


def _known_groups(call: Emission) -> list[int] | None:
    regular = call.arguments[0].value
    if not isinstance(regular, str):
        return None
    wanted = call.arguments[1].value if len(call.arguments) == 3 else None
    if wanted is NOT_CONSTANT:
        return None
    try:
        return _names_of_groups(regular, wanted)
    except (TypeError, ValueError):
        return None


def _extract_all(call: Emission) -> str:
    regular, source = regex_sql(call.arguments[0]), call.sql[-1]
    groups = _known_groups(call)
    if groups and all(0 <= group <= _MOST_GROUPS for group in groups):
        literal = regular.replace("{", "{{").replace("}", "}}")
        lists = [f"regexp_extract_all({{s}}, {literal}, {group})" for group in groups]
        if len(lists) == 1:
            texts = lists[0]
            if groups != [0]:
                # A group that takes no part in a match is NULL there.
                texts = f"list_transform({texts}, lambda z: coalesce(z, ''))"
            return call.once(f"nullif(CAST(to_json({texts}) AS VARCHAR), '[]')", s=source)
        rows = f"list_zip({', '.join(lists)})"
        items = ", ".join(f"coalesce(z[{place}], '')" for place in range(1, len(lists) + 1))
        return call.once(
            f"nullif(CAST(to_json(list_transform({rows}, lambda z: [{items}])) AS VARCHAR), '[]')", s=source
        )
    chosen = call.sql[1] if len(call.arguments) == 3 else "CAST(NULL AS VARCHAR)"
    return call.udf("$extract_all", call.sql[0], chosen, source)


def regex_sql(argument: Argument) -> str:
    """SQL of a regular expression as DuckDB reads it."""
    known = argument.value
    return quoted(regex.for_re2(known)) if isinstance(known, str) else argument.sql


_REGEX = constant(STRING, "regex")
scalar(
    "extract_all",
    [
        overload([_REGEX, parameter(STRING, "source")], DYNAMIC, _extract_all),
        overload([_REGEX, parameter(DYNAMIC, "groups"), parameter(STRING, "source")], DYNAMIC, _extract_all),
    ],
    aliases=["extractall"],
    nulls="maybe",
)


def extract_sql(call: Emission) -> str:
    """SQL of ``extract(regex, group, source)``: the text of a capture group, '' where none matches."""
    group, source = call.sql[1:3]
    number = call.arguments[1].value
    if isinstance(number, int) and 0 <= number <= _MOST_GROUPS:
        return f"regexp_extract({source}, {regex_sql(call.arguments[0])}, {number})"
    return call.udf("$extract", call.sql[0], f"CAST({group} AS BIGINT)", source)


def _extract(regular: str, group: int, source: str) -> str:
    pattern = regex.compiled(regular)
    match = pattern.search(source)
    return "" if match is None or not 0 <= group <= pattern.groups else match.group(group) or ""


python_scalar("$extract", [STRING, LONG, STRING], STRING, _extract)


# --- emptiness -----------------------------------------------------------------------------------


def _isempty(call: Emission) -> str:
    argument = call.arguments[0]
    if argument.type is STRING:
        return f"({argument.sql} = '')"
    if argument.type is DYNAMIC:
        return f"(coalesce({argument.text}, '') = '')"
    return f"({argument.sql} IS NULL)"


def _isnotempty(call: Emission) -> str:
    argument = call.arguments[0]
    if argument.type is STRING:
        return f"({argument.sql} <> '')"
    if argument.type is DYNAMIC:
        return f"(coalesce({argument.text}, '') <> '')"
    return f"({argument.sql} IS NOT NULL)"


scalar("isempty", [ANY], BOOL, _isempty, nulls="never")
scalar("isnotempty", [ANY], BOOL, _isnotempty, nulls="never", aliases=["notempty"])
scalar(
    "isnull",
    [ANY],
    BOOL,
    lambda call: "false" if call.types[0] is STRING else f"({call.sql[0]} IS NULL)",
    nulls="never",
)
scalar(
    "isnotnull",
    [ANY],
    BOOL,
    lambda call: "true" if call.types[0] is STRING else f"({call.sql[0]} IS NOT NULL)",
    nulls="never",
    aliases=["notnull"],
)
