"""Random queries that make sense: pipelines grown operator by operator over the columns there are.

Text is all that comes out. What may follow is chosen by asking the binder for the columns so far, so
that most queries get as far as running.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from spark_kusto.errors import KustoError

Item = TypeVar("Item")
Columns = Sequence[tuple[str, str]]

TABLES: dict[str, tuple[list[tuple[str, str]], list[tuple[Any, ...]]]] = {
    "A": (
        [
            ("k", "long"),
            ("s", "string"),
            ("r", "real"),
            ("t", "datetime"),
            ("d", "dynamic"),
            ("b", "bool"),
        ],
        [
            (1, "apple pie", 1.5, "2024-01-01 00:00", {"x": 1, "l": [1, 2]}, True),
            (2, "", None, "2024-01-01 06:30", [3, "q", None], False),
            (None, "Banana", float("nan"), None, None, None),
            (4, "a,b;c", float("-inf"), "1970-01-01", "text", True),
            (1, "apple pie", -2.25, "2024-01-03 23:59", {"x": {"y": "z"}}, None),
        ],
    ),
    "B": (
        [
            ("k", "long"),
            ("n", "int"),
            ("s", "string"),
            ("w", "timespan"),
            ("g", "guid"),
            ("m", "decimal"),
        ],
        [
            (1, 10, "Banana", 36_000_000_000, "74be27de-1e4e-49d9-b579-fe0b331d3642", "1.25"),
            (2, None, "apple pie", -10, None, None),
            (None, -3, "", None, "00000000-0000-0000-0000-000000000000", "-7"),
        ],
    ),
    "E": ([("k", "long"), ("s", "string"), ("t", "datetime")], []),
}
"""Tables the queries read: columns and rows (datetimes as text)."""


class Choices(Protocol):
    """Where the choices come from: a random generator, or hypothesis."""

    def pick(self, items: Sequence[Item]) -> Item: ...

    def number(self, low: int, high: int) -> int: ...


class Grower:
    """Grows one query.

    Args:
        choices: decide.
        columns_of: names and types of a query's columns, from the binder.
    """

    def __init__(self, choices: Choices, columns_of: Callable[[str], Columns]) -> None:
        self._choices = choices
        self._columns_of = columns_of
        self._lets: list[str] = []
        self._shared: list[str] = []
        self._fresh = 0
        self._depth = 0

    def query(self) -> str:
        """The text of a whole query."""
        for _ in range(self._choices.number(0, 2)):
            name = f"L{len(self._shared)}"
            text = self._pipeline(self._choices.number(0, 3))
            if self._choices.number(0, 2) == 0:
                text = f"materialize({text})"
            self._lets.append(f"let {name} = {text};")
            self._shared.append(name)
        return self._whole(self._pipeline(self._choices.number(1, 6)))

    # -- building blocks

    def _whole(self, text: str) -> str:
        return "\n".join([*self._lets, text])

    def _columns(self, text: str) -> Columns:
        found = self._columns_of(self._whole(text))
        return [
            (name if name.isidentifier() else f"[{json.dumps(name)}]", kind) for name, kind in found if name
        ]

    def _pick(self, items: Sequence[Item]) -> Item:
        return self._choices.pick(items)

    def _number(self, low: int, high: int) -> int:
        return self._choices.number(low, high)

    def _name(self) -> str:
        self._fresh += 1
        return f"v{self._fresh}"

    def _pipeline(self, length: int) -> str:
        text = self._source()
        for _ in range(length):
            columns = self._columns(text)
            if not columns:
                break
            step = self._pick(_OPERATORS)(self, columns)
            if step is None:
                continue
            longer = f"{text}\n| {step}"
            try:
                self._columns(longer)
            except KustoError:
                continue
            text = longer
        return text

    def _nested(self) -> str:
        """A pipeline inside another; short where it is deep."""
        self._depth += 1
        try:
            return self._pipeline(self._number(0, max(0, 3 - self._depth)))
        finally:
            self._depth -= 1

    def _source(self) -> str:
        kinds = ["table"] * 5 + ["shared"] * 3 + ["print", "range", "datatable", "union"]
        kind = self._pick(kinds)
        if kind == "shared" and self._shared:
            return self._pick(self._shared)
        if kind == "print":
            return 'print p = 1, q = "x", l = dynamic([1, 2])'
        if kind == "range":
            return f"range i from {self._number(-2, 2)} to {self._number(0, 6)} step {self._number(1, 3)}"
        if kind == "datatable":
            return (
                'datatable(k:long, s:string, l:dynamic) [1, "Banana", dynamic([1, [2]]), 7, "", dynamic({})]'
            )
        if kind == "union" and self._depth < 3:
            return f"union {self._union_options()} ({self._nested()}), ({self._nested()})"
        return self._pick(list(TABLES))

    def _union_options(self) -> str:
        return self._pick(["", "kind=inner", "kind=outer", f"withsource={self._name()}", "isfuzzy=true"])

    def _of(self, columns: Columns, *kinds: str) -> list[str]:
        return [name for name, kind in columns if kind in kinds]

    def _any(self, columns: Columns) -> str:
        return self._pick([name for name, _ in columns])

    # -- expressions

    def predicate(self, columns: Columns) -> str:
        """A boolean expression."""
        name, kind = self._pick(list(columns))
        choice = self._number(0, 9)
        if choice == 0:
            return f"({self.predicate(columns)}) {self._pick(['and', 'or'])} ({self.predicate(columns)})"
        if choice == 1:
            return f"not({self.predicate(columns)})"
        if choice == 2 and self._depth < 2 and kind not in ("dynamic", "decimal"):
            inner = self._nested()
            found = self._of(self._columns(inner), kind)
            if found:
                return f"{name} {self._pick(['in', '!in'])} (({inner} | project {self._pick(found)}))"
        if choice == 3:
            return f"isnull({name})" if kind != "string" else f"isempty({name})"
        other = self._of(columns, kind)
        if kind == "string":
            operator = self._pick(
                ["==", "has", "contains", "startswith", "=~", "hasprefix", "!has", "matches regex"]
            )
            return f'{name} {operator} "{self._pick(["a", "apple", "banana", ""])}"'
        if kind == "dynamic":
            return f"tostring({name}) != '' or {name}.x == 1"
        if kind == "bool":
            return name
        if choice < 7:
            return f"{name} {self._pick(['==', '!=', '<', '<=', '>', '>='])} {self._pick(other)}"
        return f"{name} {self._pick(['==', '<', '>='])} {_CONSTANTS[kind]}"

    def scalar(self, columns: Columns) -> str:
        """An expression of any type."""
        name, kind = self._pick(list(columns))
        if self._number(0, 7) == 0 and self._depth < 2:
            inner = self._nested()
            found = self._columns(inner)
            if found:
                column = self._any(found)
                call = self._pick([f"max({column})", f"take_any({column})", "count()"])
                return f"toscalar({inner} | summarize {call})"
        if self._number(0, 5) == 0:
            return f"iff({self.predicate(columns)}, {name}, {self._pick(self._of(columns, kind))})"
        forms = _FORMS.get(kind, ("{0}",))
        return self._pick(forms).format(name)

    def aggregate(self, columns: Columns) -> str:
        """An aggregate call."""
        name, kind = self._pick(list(columns))
        forms = [
            "count()",
            "dcount({0})",
            "make_list({0})",
            "take_any({0})",
            "arg_max({0}, *)",
            "make_set({0}, 3)",
        ]
        forms += [f"countif({self.predicate(columns)})", "take_any(*)"]
        if kind in ("long", "int", "real", "decimal", "timespan"):
            forms += ["sum({0})", "avg({0})", "percentile({0}, 50)", "min({0})", "percentiles({0}, 5, 95)"]
        if kind in ("long", "int", "real"):
            forms += ["stdev({0})", "variance({0})", "tdigest({0})"]
        if kind in ("datetime", "string", "bool"):
            forms += ["max({0})", "hll({0})", "arg_min({0}, {0})"]
        if kind in ("dynamic",):
            forms += ["make_bag({0})", "buildschema({0})", "make_list_with_nulls({0})"]
        call = self._pick(forms).format(name)
        return (
            f"{self._name()} = {call}"
            if self._number(0, 2) and "*" not in call and "s(" not in call
            else call
        )

    # -- operators: each gives its text, or None where the columns do not allow it

    def where(self, columns: Columns) -> str:
        return f"where {self.predicate(columns)}"

    def extend(self, columns: Columns) -> str:
        items = [f"{self._name()} = {self.scalar(columns)}" for _ in range(self._number(1, 2))]
        if self._number(0, 3) == 0:
            items.append(f"{self._any(columns)} = {self.scalar(columns)}")
        return f"extend {', '.join(items)}"

    def project(self, columns: Columns) -> str:
        items = [self._any(columns) for _ in range(self._number(1, 3))]
        items = list(dict.fromkeys(items))
        if self._number(0, 1):
            items.append(f"{self._name()} = {self.scalar(columns)}")
        return f"project {', '.join(items)}"

    def project_away(self, columns: Columns) -> str | None:
        return f"project-away {self._any(columns)}" if len(columns) > 1 else None

    def project_keep(self, columns: Columns) -> str:
        return f"project-keep {self._any(columns)}, {self._any(columns)[0]}*".replace(", [*", "")

    def project_rename(self, columns: Columns) -> str:
        return f"project-rename {self._name()} = {self._any(columns)}"

    def project_reorder(self, columns: Columns) -> str:
        return f"project-reorder {self._any(columns)} {self._pick(['', 'asc', 'desc'])}, *"

    def summarize(self, columns: Columns) -> str:
        aggregates = [self.aggregate(columns) for _ in range(self._number(0, 2))]
        keys = [self._any(columns) for _ in range(self._number(0 if aggregates else 1, 2))]
        keys = [k for k in dict.fromkeys(keys) if dict(columns)[k] != "dynamic"]
        times = self._of(columns, "datetime")
        if times and self._number(0, 2) == 0:
            keys.append(f"{self._name()} = bin({self._pick(times)}, 1d)")
        if not keys and not aggregates:
            return "summarize count()"
        return f"summarize {', '.join(aggregates)}" + (f" by {', '.join(keys)}" if keys else "")

    def _sort_keys(self, columns: Columns) -> str:
        usable = [name for name, kind in columns if kind != "dynamic"]
        if not usable:
            return "rand()"
        keys = dict.fromkeys(self._pick(usable) for _ in range(self._number(1, 2)))
        directions = ["", " asc", " desc", " asc nulls last", " desc nulls first"]
        return ", ".join(f"{key}{self._pick(directions)}" for key in keys)

    def sort(self, columns: Columns) -> str:
        return f"sort by {self._sort_keys(columns)}"

    def top(self, columns: Columns) -> str:
        return f"top {self._number(0, 3)} by {self._sort_keys(columns)}"

    def take(self, columns: Columns) -> str:
        return self._pick([f"take {self._number(0, 4)}", f"sample {self._number(1, 3)}"])

    def distinct(self, columns: Columns) -> str:
        return f"distinct {self._pick(['*', self._any(columns)])}"

    def count(self, columns: Columns) -> str:
        return "count"

    def window(self, columns: Columns) -> str:
        name = self._any(columns)
        numbers = self._of(columns, "long", "int", "real")
        forms = [
            "row_number()",
            f"prev({name})",
            f"next({name}, 1)",
            f"row_number(2, {self.predicate(columns)})",
        ]
        if numbers:
            forms += [f"row_cumsum({self._pick(numbers)})", f"prev({self._pick(numbers)}, 1, 0)"]
        if dict(columns)[name] in ("long", "string", "datetime"):
            forms += [f"row_rank_dense({name})", f"row_rank_min({name})"]
        start = self._pick(["serialize", f"sort by {self._sort_keys(columns)} | extend"])
        return f"{start} {self._name()} = {self._pick(forms)}"

    def mv_expand(self, columns: Columns) -> str | None:
        lists = self._of(columns, "dynamic")
        if not lists:
            return f"mv-expand {self._name()} = range(1, {self._number(0, 3)}, 1)"
        index = self._pick(["", f"with_itemindex={self._name()} ", "kind=array ", "bagexpansion=array "])
        kind = self._pick(["", " to typeof(string)", " to typeof(long)"])
        second = f", {self._pick(lists)}" if len(lists) > 1 and self._number(0, 1) else ""
        first = self._pick([self._pick(lists), f"{self._name()} = {self._pick(lists)}"])
        text = f"mv-expand {index}{first}{kind}{second}"
        return text + self._pick(["", "", " limit 2"])

    def mv_apply(self, columns: Columns) -> str | None:
        lists = self._of(columns, "dynamic")
        item = self._name()
        source = self._pick(lists) if lists else "range(1, 3, 1)"
        other = self._any(columns)
        body = self._pick(
            [
                f"where {item} > 1",
                f"summarize {self._name()} = sum({item})",
                f"top 1 by {item} desc",
                f"extend {self._name()} = {item} + 1 | project {item}, {self._name()} = {other}",
                f"summarize {self._name()} = make_list({item}), {self._name()} = take_any({other})",
                f"summarize count() by {self._name()} = {item} % 2",
            ]
        )
        return f"mv-apply {item} = {source} to typeof(long) on ({body})"

    def join(self, columns: Columns) -> str | None:
        right = self._nested()
        theirs = self._columns(right)
        kind = self._pick(
            [
                "",
                "kind=inner ",
                "kind=leftouter ",
                "kind=rightouter ",
                "kind=fullouter ",
                "kind=leftanti ",
                "kind=rightanti ",
                "kind=leftsemi ",
                "kind=rightsemi ",
                "kind=innerunique ",
            ]
        )
        common = [name for name, type_ in columns if (name, type_) in theirs and type_ != "dynamic"]
        pairs = [(a, b) for a, x in columns for b, y in theirs if x == y and x != "dynamic"]
        if common and self._number(0, 2):
            condition = ", ".join(dict.fromkeys(self._pick(common) for _ in range(self._number(1, 2))))
        elif pairs:
            left_name, right_name = self._pick(pairs)
            condition = f"$left.{left_name} == $right.{right_name}"
        else:
            return None
        word = f"join {kind}"
        if self._number(0, 4) == 0:
            word = f"lookup {self._pick(['', 'kind=inner ', 'kind=leftouter '])}"
        return f"{word}({right}) on {condition}"

    def union(self, columns: Columns) -> str:
        return f"union {self._union_options()} ({self._nested()})"

    def make_series(self, columns: Columns) -> str | None:
        axis = self._of(columns, "long", "datetime")
        numbers = self._of(columns, "long", "int", "real")
        if not axis or not numbers:
            return None
        on = self._pick(axis)
        step, start, end = ("1d", "datetime(2024-01-01)", "datetime(2024-01-05)")
        if dict(columns)[on] == "long":
            step, start, end = "1", "0", "5"
        span = self._pick([f" from {start} to {end}", f" from {start}", ""])
        by = self._pick(["", f" by {self._any(columns)}"])
        if by and dict(columns)[by[4:]] == "dynamic":
            by = ""
        aggregate = self._pick(
            [
                f"sum({self._pick(numbers)})",
                "count()",
                f"{self._name()} = avg({self._pick(numbers)}) default=0",
            ]
        )
        return f"make-series {aggregate} on {on}{span} step {step}{by}"

    def top_nested(self, columns: Columns) -> str:
        others = self._pick(["", ' with others="rest"'])
        keys = [name for name, kind in columns if kind == "string"]
        if not keys:
            others = ""
        first = self._pick(keys or [name for name, _ in columns])
        text = f"top-nested {self._number(1, 3)} of {first}{others} by count()"
        if self._number(0, 1):
            text += f", top-nested of {self._any(columns)} by {self._name()} = dcount({self._any(columns)})"
        return text

    def partition(self, columns: Columns) -> str:
        key = self._any(columns)
        hint = self._pick(["", "hint.strategy=native ", "hint.strategy=legacy "])
        body = self._pick(
            [
                f"top 1 by {self._any(columns)}",
                "take 1",
                "summarize count()",
                f"where {self.predicate(columns)}",
            ]
        )
        return f"partition {hint}by {key} ({body})"

    def parse(self, columns: Columns) -> str | None:
        texts = self._of(columns, "string")
        if not texts:
            return None
        word = self._pick(["parse", "parse-where"])
        return f'{word} {self._pick(texts)} with {self._name()} " " {self._name()}:long'

    def scan(self, columns: Columns) -> str:
        name = self._name()
        return (
            f"sort by {self._sort_keys(columns)} | scan declare ({name}:long = 0) with "
            f"(step a: true => {name} = a.{name} + 1;"
            f" step z: {self.predicate(columns)} => {name} = a.{name};)"
        )

    def evaluate(self, columns: Columns) -> str | None:
        texts = self._of(columns, "string")
        forms = ["evaluate narrow()"]
        if texts:
            forms += [f"evaluate pivot({self._pick(texts)})", f"evaluate pivot({self._pick(texts)}, count())"]
        bags = self._of(columns, "dynamic")
        if bags:
            forms.append(f"evaluate bag_unpack({self._pick(bags)}, '{self._name()}_')")
        return self._pick(forms)

    def other(self, columns: Columns) -> str:
        return self._pick(
            [
                "getschema",
                "serialize",
                f"as {self._name()}",
                f"sample-distinct 2 of {self._any(columns)}",
                f"top-hitters 2 of {self._any(columns)}",
                "render table",
                "search 'apple'",
                "where * has 'apple'",
                f"extend {self._name()} = pack_all()",
                "extend xx = 1 | project-away xx",
            ]
        )


_CONSTANTS = {
    "long": "1",
    "int": "10",
    "real": "0.5",
    "decimal": "decimal(1.25)",
    "datetime": "datetime(2024-01-01)",
    "timespan": "1h",
    "guid": "guid(74be27de-1e4e-49d9-b579-fe0b331d3642)",
}

_FORMS: dict[str, tuple[str, ...]] = {
    "long": (
        "{0} + 1",
        "{0} * {0}",
        "{0} / 2",
        "{0} % 3",
        "bin({0}, 2)",
        "tostring({0})",
        "-{0}",
        "range(1, {0}, 1)",
    ),
    "int": ("{0} + 1", "toreal({0})", "{0}", "bin({0}, 5)", "pack_array({0}, 'x')"),
    "real": (
        "{0} * 2",
        "round({0}, 1)",
        "tostring({0})",
        "tolong({0})",
        "abs({0})",
        "bin({0}, 0.5)",
        "isnan({0})",
    ),
    "decimal": ("{0} + 1", "{0} * {0}", "toreal({0})", "tostring({0})"),
    "string": (
        "strlen({0})",
        "toupper({0})",
        "split({0}, ' ')",
        "strcat({0}, '!')",
        "substring({0}, 1, 2)",
        "extract('([a-z]+)', 1, {0})",
        "tolong({0})",
        "{0}",
        "parse_json({0})",
        "hash({0})",
        "base64_encode_tostring({0})",
    ),
    "datetime": (
        "bin({0}, 1h)",
        "{0} + 1d",
        "{0} - datetime(2024-01-01)",
        "startofday({0})",
        "format_datetime({0}, 'yyyy')",
    ),
    "timespan": ("{0} * 2", "{0} / 1h", "tostring({0})", "{0} + 1d"),
    "guid": ("tostring({0})", "{0}"),
    "bool": ("not({0})", "tolong({0})", "iff({0}, 'y', 'n')"),
    "dynamic": (
        "{0}.x",
        "{0}[0]",
        "tostring({0}.x)",
        "array_length({0})",
        "bag_keys({0})",
        "tolong({0}[0])",
        "gettype({0})",
        "set_union({0}, dynamic([1]))",
        "array_sort_asc({0})",
        "strcat_array({0}, '-')",
    ),
}

_OPERATORS: tuple[Callable[[Grower, Columns], str | None], ...] = (
    Grower.where,
    Grower.where,
    Grower.extend,
    Grower.extend,
    Grower.project,
    Grower.project_away,
    Grower.project_keep,
    Grower.project_rename,
    Grower.project_reorder,
    Grower.summarize,
    Grower.summarize,
    Grower.sort,
    Grower.top,
    Grower.take,
    Grower.distinct,
    Grower.count,
    Grower.window,
    Grower.mv_expand,
    Grower.mv_apply,
    Grower.join,
    Grower.join,
    Grower.join,
    Grower.union,
    Grower.make_series,
    Grower.top_nested,
    Grower.partition,
    Grower.parse,
    Grower.scan,
    Grower.evaluate,
    Grower.other,
)
