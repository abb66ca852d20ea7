"""``scan``: matching sequences of records against steps.

Source: Kusto documentation, "scan operator", section on its logic. What depends on the state is
computed here, record by record; all else comes as columns that SQL has computed.
"""

from __future__ import annotations

import datetime as dt
import math
import operator as py
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark_kusto.kql.compiled import PythonFunction
from spark_kusto.kql.registry import operator
from spark_kusto.types import KustoType

if TYPE_CHECKING:
    import pyarrow as pa

_MODULUS, _HALF = 1 << 64, 1 << 63
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class Term:
    """A part of an expression over the state.

    Attributes:
        kind: ``column`` (of the record), ``state`` (of a step), ``literal``, ``call``, ``and``,
            ``or``, or ``sql``.
        name: column or function; for ``sql`` the statement, with ``$p0`` ... for the arguments.
        step: for ``state``: which step.
        functions: for ``sql``: Python functions to create.
    """

    kind: str
    type: KustoType
    name: str = ""
    value: Any = None
    step: int = -1
    arguments: tuple[Term, ...] = ()
    functions: tuple[PythonFunction, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step: what it matches, assigns and outputs (``all``, ``last``, ``none``)."""

    condition: Term
    assignments: tuple[tuple[str, Term], ...]
    output: str
    optional: bool


@dataclass(frozen=True)
class ScanPlan:
    """What the binder prepared.

    Attributes:
        columns: the input's visible columns.
        declared: declared columns and their defaults.
        partition: columns by which records are scanned apart.
        match_id: whether a last column numbers the matches.
    """

    columns: tuple[str, ...]
    declared: tuple[tuple[str, KustoType, Term], ...]
    steps: tuple[Step, ...]
    partition: tuple[str, ...]
    match_id: bool


Row = Mapping[str, Any]
States = Sequence[Mapping[str, Any] | None]
Function = Callable[[Row, States], Any]


def _wrap(value: int) -> int:
    return (value + _HALF) % _MODULUS - _HALF


def _moved(moment: dt.datetime, microseconds: int) -> dt.datetime | None:
    try:
        return moment + dt.timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _add(a: Any, b: Any) -> Any:
    if isinstance(a, dt.datetime):
        return _moved(a, b // 10)
    if isinstance(b, dt.datetime):
        return _moved(b, a // 10)
    return _wrap(a + b) if isinstance(a, int) and isinstance(b, int) else a + b


def _subtract(a: Any, b: Any) -> Any:
    if isinstance(a, dt.datetime):
        if isinstance(b, dt.datetime):
            return (a - b) // _MICROSECOND * 10
        return _moved(a, -(b // 10))
    return _wrap(a - b) if isinstance(a, int) and isinstance(b, int) else a - b


def _multiply(a: Any, b: Any) -> Any:
    return _wrap(a * b) if isinstance(a, int) and isinstance(b, int) else a * b


_STRICT: dict[str, Callable[..., Any]] = {
    "<": py.lt,
    "<=": py.le,
    ">": py.gt,
    ">=": py.ge,
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "negate": py.neg,
    "not": py.not_,
    "between": lambda a, b, c: b <= a <= c,
    "abs": abs,
}
"""Functions that are null of null; ``*`` only for what stays in its type."""


def _equal(a: Any, b: Any) -> bool | None:
    if a is None and b is None:
        return None
    return bool(a == b)


def _not_equal(a: Any, b: Any) -> bool | None:
    same = _equal(a, b)
    return None if same is None else not same


def _case(*values: Any) -> Any:
    for place in range(0, len(values) - 1, 2):
        if values[place]:
            return values[place + 1]
    return values[-1]


def _coalesce(*values: Any) -> Any:
    for value in values:
        if value is not None and value != "":
            return value
    return values[-1] if values else None


_LENIENT: dict[str, Callable[..., Any]] = {
    "==": _equal,
    "!=": _not_equal,
    "case": _case,
    "coalesce": _coalesce,
    "isnull": lambda a: a is None,
    "isnotnull": lambda a: a is not None,
    "isempty": lambda a: a is None or a == "",
    "isnotempty": lambda a: a is not None and a != "",
    "in": lambda a, *items: a in items,
    "isnan": lambda a: isinstance(a, float) and math.isnan(a),
}

KNOWN = frozenset(_STRICT) | frozenset(_LENIENT)
"""Functions computed in Python; others go to SQL."""


def _both(terms: list[Function]) -> Function:
    def run(row: Row, states: States) -> Any:
        unknown = False
        for term in terms:
            value = term(row, states)
            if value is None:
                unknown = True
            elif not value:
                return False
        return None if unknown else True

    return run


def _either(terms: list[Function]) -> Function:
    def run(row: Row, states: States) -> Any:
        unknown = False
        for term in terms:
            value = term(row, states)
            if value is None:
                unknown = True
            elif value:
                return True
        return None if unknown else False

    return run


class _Engine:
    """Turns terms into functions; runs those in SQL on a connection of its own."""

    def __init__(self) -> None:
        self._connection: Any = None
        self._created: set[str] = set()

    def _execute(self, term: Term, values: list[Any]) -> Any:
        if self._connection is None:
            import duckdb

            self._connection = duckdb.connect(config={"threads": "1"})
        for function in term.functions:
            if function.sql_name not in self._created:
                from spark_kusto.kql.registry import udf

                made = udf(function)
                self._connection.create_function(
                    made.name,
                    made.run,
                    made.parameters,
                    made.returns,
                    type="arrow",
                    null_handling="special",
                )
                self._created.add(function.sql_name)
        parameters = {f"p{place}": value for place, value in enumerate(values)}
        found = self._connection.execute(term.name, parameters or None).fetchone()
        value = found[0]
        return str(value) if term.type is KustoType.GUID and value is not None else value

    def function(self, term: Term) -> Function:
        """A function from a record and the steps' state to the term's value."""
        if term.kind == "literal":
            value = term.value
            return lambda row, states: value
        if term.kind == "column":
            name = term.name
            return lambda row, states: row[name]
        if term.kind == "state":
            name, step = term.name, term.step
            empty = "" if term.type is KustoType.STRING else None
            default = term.value if term.value is not None else empty

            def read(row: Row, states: States) -> Any:
                state = states[step] if step < len(states) else None
                return default if state is None else state[name]

            return read
        arguments = [self.function(argument) for argument in term.arguments]
        if term.kind == "and":
            return _both(arguments)
        if term.kind == "or":
            return _either(arguments)
        if term.kind == "sql":
            return lambda row, states: self._execute(term, [a(row, states) for a in arguments])
        if term.name in _LENIENT:
            lenient = _LENIENT[term.name]
            return lambda row, states: lenient(*[a(row, states) for a in arguments])
        strict = _STRICT[term.name]

        def run(row: Row, states: States) -> Any:
            values = [a(row, states) for a in arguments]
            return None if None in values else strict(*values)

        return run


@dataclass
class _State:
    """What is known at one step: the records that stand for it and the steps before."""

    match: int
    records: list[Mapping[str, Any] | None]
    pending: tuple[int, Row] | None = None


class _Scanner:
    """Runs the steps over one partition's records."""

    def __init__(self, plan: ScanPlan, engine: _Engine) -> None:
        self.plan = plan
        self.conditions = [engine.function(step.condition) for step in plan.steps]
        self.assignments = [
            [(name, engine.function(term)) for name, term in step.assignments] for step in plan.steps
        ]
        empty: dict[str, Any] = {}
        self.defaults = {name: engine.function(term)(empty, ()) for name, _, term in plan.declared}
        self.states: list[_State | None] = [None] * len(plan.steps)
        self.matches = -1
        self.outputs: list[tuple[int, int, Row, int]] = []

    def _emit(self, place: int, step: int, record: Row, match: int) -> None:
        self.outputs.append((place, -step, record, match))

    def _extended(self, step: int, row: Row, records: States) -> dict[str, Any]:
        record = {**row, **self.defaults}
        own = records[step] if step < len(records) else None
        if own is not None:
            record.update({name: own[name] for name in self.defaults})
        for name, function in self.assignments[step]:
            record[name] = function(row, records)
        return record

    def _enter(self, step: int, place: int, state: _State, record: Row) -> None:
        output = self.plan.steps[step].output
        if output == "all":
            self._emit(place, step, record, state.match)
        elif output == "last":
            state.pending = (place, record)

    def _leave(self, step: int, state: _State | None) -> None:
        if state is not None and state.pending is not None:
            place, record = state.pending
            self._emit(place, step, record, state.match)
            state.pending = None

    def _previous(self, step: int) -> int | None:
        """The step before with an active sequence, past optional ones."""
        before = step - 1
        while before >= 0:
            if self.states[before] is not None:
                return before
            if not self.plan.steps[before].optional:
                return None
            before -= 1
        return None

    def record(self, place: int, row: Row) -> None:
        """Evaluate a record against all steps, the last one first."""
        for step in range(len(self.plan.steps) - 1, -1, -1):
            if not self._promoted(step, place, row):
                self._repeated(step, place, row)

    def _promoted(self, step: int, place: int, row: Row) -> bool:
        before = self._previous(step)
        if before is None:
            return False
        state = self.states[before]
        assert state is not None
        if not self.conditions[step](row, state.records):
            return False
        self._leave(step, self.states[step])
        self._leave(before, state)
        record = self._extended(step, row, state.records)
        records = list(state.records)
        records[step] = record
        self.states[before] = None
        self.states[step] = moved = _State(state.match, records)
        self._enter(step, place, moved, record)
        return True

    def _repeated(self, step: int, place: int, row: Row) -> None:
        state = self.states[step]
        starts = all(s.optional for s in self.plan.steps[:step])
        if state is None and not starts:
            return
        records: list[Mapping[str, Any] | None]
        records = [None] * len(self.plan.steps) if state is None else state.records
        if not self.conditions[step](row, records):
            return
        record = self._extended(step, row, records)
        if state is None:
            self.matches += 1
            state = self.states[step] = _State(self.matches, list(records))
        state.records[step] = record
        self._enter(step, place, state, record)

    def finish(self) -> None:
        """No more records."""
        for step, state in enumerate(self.states):
            self._leave(step, state)


def _scan(tables: list[pa.Table], plan: ScanPlan) -> pa.Table:
    import pyarrow as pa

    table = tables[0]
    names = table.column_names
    columns = [table.column(name).to_pylist() for name in names]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(tuple(row[name] for name in plan.partition), []).append(place)
    engine = _Engine()
    outputs: list[tuple[int, int, Row, int]] = []
    offset = 0
    for places in groups.values():
        scanner = _Scanner(plan, engine)
        for place in places:
            scanner.record(place, rows[place])
        scanner.finish()
        outputs.extend((p, s, record, match + offset) for p, s, record, match in scanner.outputs)
        offset += scanner.matches + 1
    outputs.sort(key=lambda entry: entry[:2])
    kinds = {name: table.schema.field(name).type for name in plan.columns}
    made = [pa.array([record[name] for _, _, record, _ in outputs], kinds[name]) for name in plan.columns]
    for name, kind, _ in plan.declared:
        arrow = pa.string() if kind is KustoType.GUID else kind.arrow_storage()
        made.append(pa.array([record[name] for _, _, record, _ in outputs], arrow))
    made.append(pa.array([match for _, _, _, match in outputs], pa.int64()))
    made.append(pa.array(list(range(len(outputs))), pa.int64()))
    labels = [f"column{place}" for place in range(len(made))]
    return pa.table(made, names=labels)


operator("scan", _scan)
