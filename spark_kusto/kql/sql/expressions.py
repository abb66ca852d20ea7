"""Writing bound expressions as SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from spark_kusto.kql import registry
from spark_kusto.kql.compiled import PythonFunction
from spark_kusto.kql.plan import (
    AggregateCall,
    And,
    Apply,
    Column,
    Expr,
    InQuery,
    Literal,
    Node,
    Or,
    OrderKey,
    Path,
    ScalarQuery,
    Window,
)
from spark_kusto.kql.registry import NOT_CONSTANT, Argument, Emission
from spark_kusto.kql.sql.arithmetic import integer_arithmetic, wraps
from spark_kusto.kql.sql.literals import literal, string
from spark_kusto.types import KustoType

ROW = "row_"
"""What the names of values begin with that stand for subqueries in a lambda."""

_CALL = re.compile(r"[A-Za-z_]\w*\(|\(|CAST\(|CASE ")
_closed_templates: dict[str, str] = {}


def _is_closed(text: str) -> bool:
    """Whether the text is one operand wherever it stands: a name, a call, or in parentheses."""
    if not _CALL.match(text):
        return re.fullmatch(r"[\w.{}$]*", text) is not None
    if text.startswith("CASE "):
        return False
    depth = 0
    quote = ""
    for place, char in enumerate(text):
        if quote:
            if char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0 and place != len(text) - 1:
                return False
    return depth == 0


def closed(text: str) -> str:
    """The text, in parentheses unless it needs none."""
    return text if len(text) < 4000 and _is_closed(text) else f"({text})"


def _template(text: str) -> str:
    known = _closed_templates.get(text)
    if known is None:
        known = _closed_templates[text] = text if _is_closed(text) else f"({text})"
    return known


def json_path(steps: Sequence[str | int]) -> str:
    """A JSONPath of object keys and array positions, negative ones from the end."""
    parts = ["$"]
    for step in steps:
        if isinstance(step, str):
            key = json.dumps(step, ensure_ascii=False)
            parts.append(f".{key}")
        else:
            parts.append(f"[{step}]" if step >= 0 else f"[#{step}]")
    return "".join(parts)


_LONE = {"*": "/*", "": "/"}
"""Keys that JSONPath cannot name, and the JSON Pointers that do."""


def key_path(sql: str) -> str:
    """SQL of the path to a key whose text is SQL."""
    text = f"'$.' || to_json({sql})::VARCHAR"
    for key, pointer in _LONE.items():
        text = f"replace({text}, {string(json_path([key]))}, {string(pointer)})"
    return text


def sort_key(text: str, key: OrderKey) -> str:
    """One key of an ORDER BY, given its value's SQL.

    Kusto keeps NaN beside the nulls. To DuckDB it is the greatest number, which comes to the same where
    great ones stand next to nulls; otherwise the numbers are turned around.
    """
    descending = key.descending
    if key.expression.type is KustoType.REAL and descending is not key.nulls_first:
        text, descending = f"-({text})", not descending
    return f"{text} {'DESC' if descending else 'ASC'} NULLS {'FIRST' if key.nulls_first else 'LAST'}"


def constant_value(expression: Expr) -> Any:
    """The value of a literal as emitters see it (dynamic parsed), else NOT_CONSTANT."""
    if type(expression) is not Literal:
        return NOT_CONSTANT
    if expression.type is KustoType.DYNAMIC and expression.value is not None:
        return json.loads(expression.value)
    return expression.value


class ExpressionWriter:
    """Writes expressions; collects the Python functions they call.

    Args:
        query: writes a sub-query's node, given the SQL names of the columns to select.
    """

    def __init__(self, query: Callable[[Node, Sequence[str]], str]) -> None:
        self._query = query
        self._fresh = 0
        self.functions: dict[str, PythonFunction] = {}

    def fresh(self) -> str:
        """A name for a lambda parameter."""
        self._fresh += 1
        return f"x{self._fresh}"

    def python(self, name: str, kinds: tuple[KustoType, ...]) -> str:
        """SQL name of a Python function for these argument types."""
        suffix = "_".join(kind.value for kind in kinds)
        sql_name = f"kusto_{name.lstrip('$')}_{suffix}" if suffix else f"kusto_{name.lstrip('$')}"
        if sql_name not in self.functions:
            returns = registry.python_row(name).returns
            self.functions[sql_name] = PythonFunction(sql_name, name, kinds, returns)
        return sql_name

    def write(self, expression: Expr, in_filter: bool = False) -> str:
        """SQL of an expression, closed.

        Args:
            in_filter: whether false and NULL mean the same here.
        """
        kind = type(expression)
        if kind is Column:
            return expression.id  # type: ignore[attr-defined,no-any-return]
        if kind is Literal:
            return literal(expression.value, expression.type)  # type: ignore[attr-defined]
        if kind is Apply:
            return self._apply(expression, in_filter)  # type: ignore[arg-type]
        match expression:
            case And():
                return f"({' AND '.join([self.write(t, in_filter) for t in expression.terms])})"
            case Or():
                return f"({' OR '.join([self.write(t, in_filter) for t in expression.terms])})"
            case Path():
                item = self._item(expression)
                if item is not None:
                    return f"CAST(to_json({item}) AS VARCHAR)"
                return f"nullif(json_extract({self._path(expression)})::VARCHAR, 'null')"
            case ScalarQuery():
                text = f"({self._query(expression.node, (expression.column,))} LIMIT 1)"
                return f"coalesce({text}, '')" if expression.type is KustoType.STRING else text
            case InQuery():
                rows = self._query(expression.node, (expression.column,))
                operand = self.write(expression.operand)
                column = expression.column
                test = f"({operand} IN (SELECT {column} FROM ({rows}) WHERE {column} IS NOT NULL))"
                if expression.negated:
                    return f"(NOT coalesce({test}, false))"
                return test if in_filter else f"coalesce({test}, false)"
            case Window():
                return self._window(expression)
        raise AssertionError(expression)

    def text(self, expression: Expr) -> str:
        """SQL of a dynamic value as plain text: a string without its quotes; may be NULL."""
        if isinstance(expression, Path):
            item = self._item(expression)
            if item is not None:
                return item
            return f"json_extract_string({self._path(expression)})"
        return f"json_extract_string({self.write(expression)}, '$')"

    def _item(self, path: Path) -> str | None:
        """SQL of one text of a list of texts, such as ``split(s, ",")[1]``, which needs no JSON."""
        base, step = path.base, path.steps[0]
        if not (isinstance(base, Apply) and base.shape.items and isinstance(step, int)):
            return None
        if len(path.steps) > 1:
            return None
        arguments = self._arguments(base.arguments)
        emission = Emission(base.name, arguments, base.type, python=self.python, fresh=self.fresh)
        return f"{base.shape.items(emission)}[{step + 1 if step >= 0 else step}]"

    def _looked_into(self, base: Expr) -> str:
        """SQL of a dynamic value of which only a part is taken: text that is no JSON has no parts."""
        if not (isinstance(base, Apply) and base.name == "parse_json"):
            return self.write(base)
        (source,) = base.arguments
        if source.type is not KustoType.STRING:
            return self.write(base)
        # The text as it stands is looked into; what parse_json() gives would be written and read again.
        emission = Emission(base.name, (), KustoType.DYNAMIC, fresh=self.fresh)
        return emission.once("CASE WHEN json_valid({x}) THEN {x} END", x=self.write(source))

    def _path(self, path: Path) -> str:
        """Arguments of a JSON extraction: text and path."""
        found = self._looked_into(path.base)
        *inner, last = self._paths(path.steps)
        for steps in inner:
            found = f"json_extract({found}, {steps})"
        return f"{found}, {last}"

    def _paths(self, steps: Sequence[str | int | Expr]) -> list[str]:
        """SQL of JSON paths, each into what the one before it finds: keys that JSONPath may not be able to
        name have paths of their own."""
        paths: list[str] = []
        parts: list[str] = []
        fixed: list[str | int] = []

        def settle(is_whole: bool) -> None:
            if fixed or not (parts or is_whole):
                text = json_path(fixed)
                parts.append(string(text[1:] if parts else text))
                fixed.clear()
            if is_whole and parts:
                paths.append(" || ".join(parts))
                parts.clear()

        for step in steps:
            if isinstance(step, Expr) and step.type is not KustoType.STRING:
                settle(False)
                inner = self.write(step)
                parts.append(f"'[' || CASE WHEN {inner} < 0 THEN '#' ELSE '' END || {inner}::VARCHAR || ']'")
            elif isinstance(step, Expr):
                settle(True)
                paths.append(key_path(self.write(step)))
            elif isinstance(step, str) and step in _LONE:
                settle(True)
                paths.append(string(_LONE[step]))
            else:
                fixed.append(step)
        settle(True)
        return paths or ["'$'"]

    def _window(self, window: Window) -> str:
        arguments = [self.write(argument) for argument in window.arguments]
        over = []
        if window.partition:
            over.append(f"PARTITION BY {', '.join(map(self.write, window.partition))}")
        if window.order:
            over.append(f"ORDER BY {self.order(window.order)}")
        text = window.template.format(*arguments, over=" ".join(over))
        if window.type is KustoType.STRING and window.nullable:
            return f"coalesce({text}, '')"
        return closed(text)

    def order(self, keys: Sequence[OrderKey]) -> str:
        """The list after ORDER BY."""
        return ", ".join(sort_key(self.write(key.expression), key) for key in keys)

    def _arguments(self, expressions: Sequence[Expr]) -> tuple[Argument, ...]:
        return tuple(self._argument(self.write(expression), expression) for expression in expressions)

    def _argument(self, sql: str, expression: Expr) -> Argument:
        # Values that were put in for it stand in the SQL alone.
        own = type(expression) is Path and not sql.startswith(ROW)
        plain = partial(self.text, expression) if own else None
        return Argument(
            sql,
            expression.type,
            expression.element,
            expression.nullable,
            constant_value(expression),
            plain,
        )

    def _apply(self, call: Apply, in_filter: bool) -> str:
        if wraps(call):
            return integer_arithmetic(call, self.write)
        # Left-deep chains (a + b + c ...) are walked in a loop, so that depth costs no stack.
        spine = [call]
        while spine[-1].arguments and type(spine[-1].arguments[0]) is Apply:
            spine.append(spine[-1].arguments[0])
            if wraps(spine[-1]):
                break
        innermost = spine.pop()
        if wraps(innermost):
            text = integer_arithmetic(innermost, self.write)
        else:
            text = self._emit(innermost, None, in_filter and not spine)
        while spine:
            text = self._emit(spine.pop(), text, in_filter and not spine)
        return text

    def _emit(self, call: Apply, first: str | None, in_filter: bool) -> str:
        texts = [self.write(argument) for argument in call.arguments[first is not None :]]
        if first is not None:
            texts.insert(0, first)
        text = self._call(call, texts, in_filter)
        if "(SELECT " in text and ("try(" in text or "lambda " in text):
            # DuckDB takes no subquery in try() or in a lambda: the values go in as its parameter.
            row = f"{ROW}{self.fresh()}"
            fields = {f"x{place}": sql for place, sql in enumerate(texts) if "(SELECT " in sql}
            inner = [f"{row}.x{place}" if f"x{place}" in fields else sql for place, sql in enumerate(texts)]
            values = ", ".join(f"{name} := {sql}" for name, sql in fields.items())
            text = self._call(call, inner, in_filter)
            text = f"list_transform([struct_pack({values})], lambda {row}: {text})[1]"
        if call.type is KustoType.STRING and (
            call.nulls == "maybe" or (call.nulls == "propagate" and any(a.nullable for a in call.arguments))
        ):
            return f"coalesce({text}, '')"
        return text

    def _call(self, call: Apply, texts: Sequence[str], in_filter: bool) -> str:
        """A call over the SQL of its arguments."""
        sql = call.shape.sql
        if isinstance(sql, str):
            if "{args}" in sql:
                return _template(sql).format(*texts, args=", ".join(texts))
            return _template(sql).format(*texts)
        emission = Emission(
            call.name,
            tuple(map(self._argument, texts, call.arguments)),
            call.type,
            filter_position=in_filter,
            python=self.python,
            fresh=self.fresh,
        )
        return closed(sql(emission))

    def aggregate(self, call: AggregateCall) -> str:
        """SQL of an aggregate."""
        order = f" ORDER BY {self.order(call.order)}" if call.order else ""
        sql = call.shape.sql
        if isinstance(sql, str):
            texts = [self.write(argument) for argument in call.arguments]
            text = sql.format(*texts, args=", ".join(texts), order=order)
        else:
            emission = Emission(
                call.name,
                self._arguments(call.arguments),
                call.type,
                order,
                python=self.python,
                fresh=self.fresh,
            )
            text = sql(emission)
        if call.type is KustoType.STRING and call.nullable:
            return f"coalesce({text}, '')"
        return text
