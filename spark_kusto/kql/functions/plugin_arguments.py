"""Reading the arguments of plugins: columns, constants, slices by dimensions; building answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from spark_kusto.errors import KqlSemanticError
from spark_kusto.kql.registry import (
    DATETIME,
    INT,
    LONG,
    REAL,
    TIMESPAN,
    PluginArgument,
    PluginCall,
)
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

_EPOCH = dt.datetime(1970, 1, 1)


class Arguments:
    """The arguments of one call, taken in order; each taker says what it expects.

    Raises (all takers):
        KqlSemanticError: the argument is missing or of another kind.
    """

    def __init__(self, call: PluginCall) -> None:
        self.call = call
        self.types = {column.name: column.type for column in call.columns}
        self._given = [a for a in call.arguments if a.name is None]
        self._named = {a.name: a for a in call.arguments if a.name is not None}
        self._next = 0

    def fail(self, message: str) -> KqlSemanticError:
        """An error about this call."""
        return KqlSemanticError(f"{self.call.name}(): {message}")

    def rest(self) -> list[PluginArgument]:
        """Positional arguments not taken yet; taken now."""
        left = self._given[self._next :]
        self._next = len(self._given)
        return left

    def peek(self) -> PluginArgument | None:
        """The next positional argument, not taken."""
        return self._given[self._next] if self._next < len(self._given) else None

    def _take(self, what: str) -> PluginArgument:
        found = self._named.pop(what, None)
        if found is not None:
            return found
        if self._next >= len(self._given):
            raise self.fail(f"the argument '{what}' is missing.")
        self._next += 1
        return self._given[self._next - 1]

    def column(self, what: str) -> str:
        """A column's name."""
        argument = self._take(what)
        if argument.kind != "column":
            raise self.fail(f"the argument '{what}' must be a column.")
        return argument.column

    def constant(self, what: str, default: Any = ...) -> PluginArgument:
        """A constant; the default (as a value) if it is left out or ``"~"``."""
        if default is not ... and what not in self._named:
            following = self.peek()
            if following is None:
                return PluginArgument("constant", value=default)
            if following.kind == "constant" and following.value == "~":
                self._next += 1
                return PluginArgument("constant", value=default)
        argument = self._take(what)
        if argument.kind != "constant":
            raise self.fail(f"the argument '{what}' must be a constant.")
        return argument

    def table(self, what: str) -> PluginArgument:
        """A tabular argument."""
        argument = self._take(what)
        if argument.kind != "table":
            raise self.fail(f"the argument '{what}' must be a table.")
        return argument

    def dimensions(self) -> list[str]:
        """All remaining arguments, which must be columns."""
        names = []
        for argument in self.rest():
            if argument.kind != "column":
                raise self.fail("dimensions must be columns.")
            names.append(argument.column)
        return names

    def done(self) -> None:
        """Check that nothing is left."""
        if self._next < len(self._given):
            raise self.fail(f"{len(self._given) - self._next} argument(s) too many.")
        if self._named:
            raise self.fail(f"there is no parameter '{next(iter(self._named))}'.")

    def type_of(self, column: str) -> KustoType:
        """Type of an input column."""
        return self.types[column]

    def shown(self, column: str) -> Column:
        """An input column as a column of the answer."""
        return Column(column, self.types[column])


_TIMELINES = frozenset({DATETIME, TIMESPAN, INT, LONG, REAL})


class Timeline:
    """A column of times or numbers, as numbers of one unit."""

    def __init__(self, arguments: Arguments, column: str) -> None:
        self._arguments = arguments
        self.name = column
        self.type = arguments.type_of(column)
        if self.type not in _TIMELINES:
            raise arguments.fail(
                f"the timeline '{column}' is of type {self.type}; it must be datetime, timespan or a number."
            )

    @property
    def column(self) -> Column:
        """The column, for the answer."""
        return Column(self.name, self.type)

    def point(self, argument: PluginArgument) -> int | float:
        """A constant that stands on the timeline, or is a length of it."""
        value, kind = argument.value, argument.type
        if isinstance(value, dt.datetime) and self.type is DATETIME:
            return (value - _EPOCH) // dt.timedelta(microseconds=1)
        if kind is TIMESPAN and isinstance(value, int):
            if self.type is DATETIME:
                return value // 10
            if self.type is TIMESPAN:
                return value
        if self.type is DATETIME and kind is not TIMESPAN:
            pass
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        raise self._arguments.fail(
            f"a constant of type {kind} doesn't fit the timeline '{self.name}' of type {self.type}."
        )

    def numbers(self, table: pa.Table) -> npt.NDArray[Any]:
        """The column's values; rows with nulls must have been dropped."""
        import pyarrow as pa

        array = table.column(self.name).combine_chunks()
        if self.type is DATETIME:
            array = array.cast(pa.timestamp("us")).cast(pa.int64())
        return array.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]

    def array(self, numbers: Sequence[Any]) -> pa.Array:
        """Numbers as values of the timeline's type."""
        import pyarrow as pa

        if self.type is DATETIME:
            return pa.array([None if n is None else int(n) for n in numbers], pa.int64()).cast(
                pa.timestamp("us")
            )
        if self.type is REAL:
            return pa.array(numbers, pa.float64())
        whole = [None if n is None else int(n) for n in numbers]
        return pa.array(whole, pa.int32() if self.type is INT else pa.int64())


def without_nulls(table: pa.Table, columns: Iterable[str]) -> pa.Table:
    """The rows in which none of these columns is null."""
    import pyarrow.compute as pc

    mask = None
    for name in columns:
        valid = pc.is_valid(table.column(name))
        mask = valid if mask is None else pc.and_(mask, valid)
    return table if mask is None else table.filter(mask)


def codes(table: pa.Table, columns: Sequence[str]) -> npt.NDArray[Any]:
    """A number for each row, equal where the rows agree in these columns (nulls included)."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    combined = np.zeros(table.num_rows, dtype=np.int64)
    if not table.num_rows:
        return combined
    for name in columns:
        array = table.column(name)
        if isinstance(array.type, pa.BaseExtensionType):
            array = pa.chunked_array([chunk.storage for chunk in array.chunks], array.type.storage_type)
        encoded = pc.dictionary_encode(array, null_encoding="encode").combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().combine_chunks()
        indices = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        width = len(encoded.dictionary) + 1
        _, combined = np.unique(combined * width + indices, return_inverse=True)
    return combined


def slices(table: pa.Table, dimensions: Sequence[str]) -> list[tuple[npt.NDArray[Any], int]]:
    """Row numbers of each combination of the dimensions, and one row that shows it."""
    import numpy as np

    if not dimensions:
        return [(np.arange(table.num_rows), 0)]
    group = codes(table, dimensions)
    order = np.argsort(group, kind="stable")
    bounds = np.flatnonzero(np.diff(group[order])) + 1
    parts = np.split(order, bounds) if order.size else []
    parts.sort(key=lambda part: int(part[0]))
    return [(part, int(part[0])) for part in parts]


def repeated_rows(table: pa.Table, columns: Sequence[str], rows: Sequence[int]) -> list[pa.Array]:
    """These columns' values at these rows (a row may come several times)."""
    import pyarrow as pa

    taken = table.select(list(columns)).take(pa.array(list(rows), pa.int64()))
    return [column.combine_chunks() for column in taken.columns]


def answer(arrays: Sequence[Any], columns: Sequence[Column]) -> pa.Table:
    """A table of arrays (or Python lists) for these columns."""
    import pyarrow as pa

    from spark_kusto.kql.execution import arrow_values

    ready = [
        array if isinstance(array, (pa.Array, pa.ChunkedArray)) else arrow_values(list(array), column.type)
        for array, column in zip(arrays, columns, strict=True)
    ]
    return pa.table(ready, names=[str(number) for number in range(len(columns))])


def python_rows(table: pa.Table, columns: Sequence[Column]) -> list[list[Any]]:
    """Values of each of these columns, as the registry gives them to Python functions."""
    from spark_kusto.kql.execution import python_values

    found = []
    for column in columns:
        array = table.column(column.name)
        found.append(python_values(array, column.type))
    return found
