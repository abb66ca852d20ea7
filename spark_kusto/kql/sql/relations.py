"""Writing relational nodes as SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from spark_kusto.kql.compiled import ExternalSource, Scan, ScanColumn, ScanPredicate
from spark_kusto.kql.plan import (
    AggregateNode,
    Column,
    EachNode,
    Expr,
    ExtendNode,
    ExternalNode,
    FilterNode,
    GroupNode,
    JoinNode,
    LimitNode,
    Literal,
    Node,
    OrderKey,
    PythonNode,
    RangeNode,
    ReferenceNode,
    SampleNode,
    ScanNode,
    SharedNode,
    TemplateNode,
    UnionNode,
    UnnestNode,
    ValuesNode,
    has_window,
    references,
)
from spark_kusto.kql.sql.expressions import ExpressionWriter, sort_key
from spark_kusto.kql.sql.pruning import predicates_of
from spark_kusto.kql.sql.sizes import Sizes
from spark_kusto.kql.sql.substitution import substitute
from spark_kusto.kql.sql.traversal import all_references, is_cheap, outputs, through
from spark_kusto.types import KustoType

_CONSTANT = re.compile(r"'(?:[^']|'')*'|-?[0-9.]+|NULL|true|false", re.IGNORECASE)


_TURNED = {"INNER": "INNER", "LEFT": "RIGHT", "RIGHT": "LEFT", "FULL": "FULL"}
"""Kinds of joins, and what they are with their sides exchanged."""


@dataclass(slots=True)
class Select:
    """One SELECT being put together; clauses are added as long as SQL's order of them allows."""

    source: str
    items: dict[str, str] = field(default_factory=dict)
    where: list[str] = field(default_factory=list)
    groups: list[str] | None = None
    order: str = ""
    limit: str = ""
    tail: str = ""
    sealed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether rows can still be filtered and columns computed."""
        return not (self.sealed or self.limit or self.tail or self.groups is not None)

    def render(self, columns: Sequence[str]) -> str:
        """The statement, with these columns."""
        chosen = [
            f"{self.items[column]} AS {column}" if column in self.items else column for column in columns
        ]
        parts = [f"SELECT {', '.join(chosen) or 'NULL AS nothing'}"]
        if self.source:
            parts.append(f"FROM {self.source}")
        if self.where:
            parts.append(f"WHERE {' AND '.join(self.where)}")
        if self.groups:
            parts.append(f"GROUP BY {', '.join(self.groups)}")
        if self.order:
            parts.append(f"ORDER BY {self.order}")
        if self.limit:
            parts.append(f"LIMIT {self.limit}")
        if self.tail:
            parts.append(self.tail)
        return " ".join(parts)


_MANY_GAPS = 500


class Numbering:
    """Names that are unique in a compiled query."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def __call__(self, kind: str) -> str:
        number = self._next.get(kind, 0)
        self._next[kind] = number + 1
        return f"{kind}_{number}"


class StageWriter:
    """Writes one SQL statement.

    Args:
        numbering: gives names to scans and the like.
        stage: turns a Python operator, or a query for each group, into a stage and gives that
            stage's id; the name of a group's rows.
        optimize: False puts every operator into its own subquery.
    """

    def __init__(
        self,
        numbering: Numbering,
        stage: Callable[[PythonNode | EachNode | GroupNode], str],
        optimize: bool = True,
    ) -> None:
        self._numbering = numbering
        self._stage = stage
        self._optimize = optimize
        self._aliases = 0
        self._sizes = Sizes()
        self._shared: dict[int, tuple[SharedNode, set[str]]] = {}
        self.scans: list[Scan] = []
        self.externals: list[ExternalSource] = []
        self.inputs: list[str] = []
        self.row_wise = True
        self.expressions = ExpressionWriter(self._query)

    def statement(self, node: Node, columns: Sequence[Column], order: Sequence[OrderKey]) -> str:
        """The whole statement: these columns of the node, in this order of rows."""
        needed = {column.id for column in columns}
        wanted = needed | references(key.expression for key in order)
        select = self._select(node, wanted)
        if order:
            text = self._order(order, select)
            if select.order != text:
                if select.order or select.limit or select.tail:
                    select = self._wrapped(select, wanted)
                    text = self._order(order, select)
                select.order = text
            self.row_wise = False
        text = select.render([column.id for column in columns])
        shared = self._write_shared()
        return f"WITH {', '.join(shared)} {text}" if shared else text

    def _write_shared(self) -> list[str]:
        written: dict[int, str] = {}
        # A shared query refers only to earlier ones, so going down all uses are known in time.
        while pending := [number for number in self._shared if number not in written]:
            number = max(pending)
            shared, needed = self._shared[number]
            text = self._select(shared.input, set(needed)).render(sorted(needed))
            written[number] = f"shared_{number} AS MATERIALIZED ({text})"
        return [written[number] for number in sorted(written)]

    def _query(self, node: Node, columns: Sequence[str]) -> str:
        self.row_wise = False
        return self._select(node, set(columns)).render(columns)

    def _order(self, keys: Sequence[OrderKey], select: Select) -> str:
        """What stands after ORDER BY: keys are computed where the SELECT list may not have them."""
        parts = []
        for key in keys:
            assert isinstance(key.expression, Column)
            name = key.expression.id
            text = select.items.get(name, name)
            if _CONSTANT.fullmatch(text):
                # DuckDB takes a number for a position and refuses other bare constants.
                text = f"CAST({text} AS VARCHAR)"
            parts.append(sort_key(text, key))
        return ", ".join(parts)

    def _alias(self) -> str:
        self._aliases += 1
        return f"t{self._aliases}"

    def _wrapped(self, select: Select, needed: set[str]) -> Select:
        return Select(f"({select.render(sorted(needed))}) AS {self._alias()}")

    def _select(self, node: Node, needed: set[str]) -> Select:
        chain: list[tuple[Node, set[str]]] = []
        filters: list[Expr] = []
        while True:
            chain.append((node, needed))
            match node:
                case FilterNode():
                    needed = needed | references((node.predicate,))
                    filters.append(node.predicate)
                case ExtendNode():
                    own = {column.id for column, _ in node.items}
                    used = [expr for column, expr in node.items if column.id in needed]
                    if filters:
                        filters = through(filters, node)
                    needed = (needed - own) | references(used)
                case AggregateNode():
                    filters = []
                    used = [expr for _, expr in node.groups]
                    for column, call in node.aggregates:
                        if column.id in needed:
                            used.extend(call.arguments)
                            used.extend(key.expression for key in call.order)
                    needed = references(used)
                case LimitNode():
                    filters = []
                    needed = needed | references(key.expression for key in node.order)
                case SampleNode():
                    filters = []
                case UnnestNode():
                    own = {column.id for column, _ in node.items}
                    needed = (needed - own) | references(expr for _, expr in node.items)
                case ReferenceNode() if self._in_place(node.shared):
                    node = ExtendNode(
                        node.shared.input,
                        tuple(
                            (own_column, Column(own_column.type, id=inner))
                            for own_column, inner in node.columns
                        ),
                    )
                    chain.pop()
                    continue
                case _:
                    break
            node = node.input
        select = self._source(node, needed, filters)
        chain.pop()
        while chain:
            node, needed = chain.pop()
            below = self._below(node, needed)
            select = self._apply(node, select, needed, below)
            if not self._optimize and chain:
                select = self._wrapped(select, needed)
        return select

    def _in_place(self, shared: SharedNode) -> bool:
        if shared.materialize:
            return False
        return shared.uses[0] <= 1 or is_cheap(shared.input)

    def _below(self, node: Node, needed: set[str]) -> set[str]:
        """Columns that the node's input must give."""
        match node:
            case FilterNode():
                return needed | references((node.predicate,))
            case ExtendNode():
                own = {column.id for column, _ in node.items}
                used = [expr for column, expr in node.items if column.id in needed]
                return (needed - own) | references(used)
            case LimitNode():
                return needed | references(key.expression for key in node.order)
            case UnnestNode():
                own = {column.id for column, _ in node.items}
                return (needed - own) | references(expr for _, expr in node.items)
            case AggregateNode():
                used = [expr for _, expr in node.groups]
                for column, call in node.aggregates:
                    if column.id in needed:
                        used.extend(call.arguments)
                        used.extend(key.expression for key in call.order)
                return references(used)
        return needed

    def _apply(self, node: Node, select: Select, needed: set[str], below: set[str]) -> Select:
        write = self.expressions.write
        match node:
            case FilterNode():
                used = references((node.predicate,))
                computed = {k for k, text in select.items.items() if not text.isidentifier()}
                if not select.is_open or not used.isdisjoint(computed):
                    select = self._wrapped(select, below)
                select.where.append(write(self._renamed(node.predicate, select), True))
            case ExtendNode():
                items = [(column, expr) for column, expr in node.items if column.id in needed]
                windows = any(has_window(expr) for _, expr in items)
                computed = {k for k, text in select.items.items() if not text.isidentifier()}
                used = references(expr for _, expr in items)
                if not select.is_open or not used.isdisjoint(computed):
                    select = self._wrapped(select, below)
                for column, expr in items:
                    if type(expr) is Column and expr.id in select.items:
                        select.items[column.id] = select.items[expr.id]
                    else:
                        text = write(self._renamed(expr, select))
                        select.items[column.id] = text
                if windows:
                    select.sealed = True
                    self.row_wise = False
            case AggregateNode():
                self.row_wise = False
                used = below
                if not select.is_open or not used.isdisjoint(select.items):
                    select = self._wrapped(select, below)
                made = {column.id: write(expr) for column, expr in node.groups}
                groups = list(made.values())
                # A constant or a number as group would be taken for a position.
                if any(not references((expr,)) for _, expr in node.groups):
                    groups = [str(place + 1) for place in range(len(groups))]
                for column, call in node.aggregates:
                    if column.id in needed:
                        made[column.id] = self.expressions.aggregate(call)
                if groups and groups[0] == "1":
                    # Positions count in the SELECT list, where all groups must then stand first.
                    inner = Select(select.source, made, select.where, groups)
                    return Select(f"({inner.render(list(made))}) AS {self._alias()}")
                select = Select(select.source, made, select.where, groups)
                if not node.groups and not any(c.id in needed for c, _ in node.aggregates):
                    # One row stays one row, even if nobody reads its columns.
                    column = Column(KustoType.LONG, id="one_row")
                    inner = Select(select.source, {column.id: "count(*)"}, select.where)
                    return Select(f"({inner.render([column.id])}) AS {self._alias()}")
            case LimitNode():
                self.row_wise = False
                if select.limit or select.order or select.tail:
                    select = self._wrapped(select, below)
                if node.order:
                    select.order = self._order(node.order, select)
                select.limit = write(node.count)
                if not isinstance(node.count, Literal):
                    select.limit = f"({select.limit})"
                elif isinstance(node.count.value, int):
                    select.limit = str(node.count.value)
            case SampleNode():
                self.row_wise = False
                select = self._wrapped(select, below)
                select.tail = f"USING SAMPLE reservoir({write(node.count).split('::')[0]} ROWS)"
                return self._wrapped(select, needed)
            case UnnestNode():
                self.row_wise = False
                used = references(expr for _, expr in node.items)
                if not select.is_open or not used.isdisjoint(select.items):
                    select = self._wrapped(select, below)
                for column, expr in node.items:
                    select.items[column.id] = f"unnest({write(expr)})"
                every = needed | {column.id for column, _ in node.items}
                return self._wrapped(select, every)
            case _:
                raise AssertionError(node)
        return select

    @staticmethod
    def _renamed(expr: Expr, select: Select) -> Expr:
        """The expression over the select's source, where its columns are mere renamings."""
        if not select.items or references((expr,)).isdisjoint(select.items):
            return expr
        return substitute(expr, select.items)

    def _source(self, node: Node, needed: set[str], filters: list[Expr]) -> Select:
        write = self.expressions.write
        match node:
            case ScanNode():
                return Select(self._scan(node, needed, filters))
            case ExternalNode():
                name = self._numbering("external")
                columns = tuple(ScanColumn(n, c.id, c.type) for n, c in node.columns)
                self.externals.append(ExternalSource(name, node.uris, node.format, columns, node.properties))
                self.row_wise = False
                return Select(name)
            case ValuesNode():
                self.row_wise = False
                return self._values(node)
            case RangeNode():
                self.row_wise = False
                bounds = f"{write(node.start)}, {write(node.stop)}, {write(node.step)}"
                column = node.column.id
                if all(isinstance(e, Literal) for e in (node.start, node.stop, node.step)):
                    return Select(f"generate_series({bounds}) AS {self._alias()}({column})")
                series = f"SELECT unnest(generate_series({bounds})) AS {column}"
                return Select(f"({series}) AS {self._alias()}")
            case JoinNode():
                self.row_wise = False
                return self._join(node, needed)
            case UnionNode():
                self.row_wise = False
                return self._union(node, needed)
            case TemplateNode():
                self.row_wise = False
                texts = []
                rest: list[str] = []
                for place, (query, wanted) in enumerate(zip(node.inputs, node.needs, strict=True)):
                    ask = set(wanted)
                    if node.passes and place == 0:
                        own = {column.id for column in node.columns}
                        rest = sorted(needed - own)
                        ask |= set(rest)
                    texts.append(f"({self._select(query, ask).render(sorted(ask))})")
                return Select(f"({node.write(texts, write, rest)}) AS {self._alias()}")
            case GroupNode():
                self.row_wise = False
                name = self._stage(node)
                if not name:
                    return self._select(node.every, needed)
                if name not in self.inputs:
                    self.inputs.append(name)
                return Select(name)
            case PythonNode() | EachNode():
                self.row_wise = False
                stage = self._stage(node)
                if stage not in self.inputs:
                    self.inputs.append(stage)
                return Select(stage)
            case SharedNode():
                self.row_wise = False
                self._shared.setdefault(node.number, (node, set()))[1].update(needed)
                return Select(f"shared_{node.number}")
            case ReferenceNode():
                self.row_wise = False
                number = node.shared.number
                _, wanted_columns = self._shared.setdefault(number, (node.shared, set()))
                items = {own.id: inner for own, inner in node.columns if own.id in needed}
                wanted_columns.update(items.values())
                return Select(f"shared_{number}", items)
        raise AssertionError(node)

    def _scan(self, node: ScanNode, needed: set[str], filters: list[Expr]) -> str:
        name = self._numbering("scan")
        columns = tuple(
            ScanColumn(column_name, column.id, column.type)
            for column_name, column in node.columns.items()
            if column.id in needed
        )
        names = {column.id: column_name for column_name, column in node.columns.items()}
        predicates: tuple[ScanPredicate, ...] = predicates_of(filters, names)
        self.scans.append(Scan(name, node.database, node.table, columns, predicates, node.kind))
        return name

    def _values(self, node: ValuesNode) -> Select:
        if not node.columns:
            if len(node.rows) == 1:
                return Select("")
            return Select("(SELECT NULL WHERE false)")
        names = ", ".join(column.id for column in node.columns)
        if not node.rows:
            nulls = ", ".join(f"NULL::{c.type.duckdb} AS {c.id}" for c in node.columns)
            return Select(f"(SELECT {nulls} WHERE false) AS {self._alias()}")
        write = self.expressions.write
        rows = ", ".join(f"({', '.join(map(write, row))})" for row in node.rows)
        return Select(f"(VALUES {rows}) AS {self._alias()}({names})")

    def _operand(self, node: Node, needed: set[str]) -> str:
        select = self._select(node, needed)
        if not select.items and select.is_open and not select.where and select.source:
            return select.source
        return f"({select.render(sorted(needed))}) AS {self._alias()}"

    def _join(self, node: JoinNode, needed: set[str]) -> Select:
        condition = set() if node.condition is None else references((node.condition,))
        inner = needed | condition
        items = {}
        for before, after in node.filled:
            if after.id in needed:
                items[after.id] = f"coalesce({before.id}, '')"
                inner = (inner - {after.id}) | {before.id}
        if node.kind == "LATERAL":
            return self._lateral(node, needed)
        left = self._operand(node.left, inner & outputs(node.left, inner))
        right = self._operand(node.right, inner & outputs(node.right, inner))
        turned = node.kind
        if node.kind in _TURNED and self._sizes.rows(node.left) * 2 < self._sizes.rows(node.right):
            # The right side is what DuckDB keeps in memory.
            left, right, turned = right, left, _TURNED[node.kind]
        if node.condition is None:
            kind = "CROSS JOIN" if turned in ("INNER", "CROSS") else f"{turned} JOIN"
            on = "" if kind == "CROSS JOIN" else " ON true"
        else:
            kind, on = f"{turned} JOIN", f" ON {self.expressions.write(node.condition, True)}"
        return Select(f"{left} {kind} {right}{on}", items)

    def _lateral(self, node: JoinNode, needed: set[str]) -> Select:
        """The right side for each row of the left, whose columns it may read."""
        of_left = outputs(node.left, needed | all_references(node.right))
        left = self._operand(node.left, of_left)
        wanted = sorted(needed - of_left)
        right = self._select(node.right, set(wanted)).render(wanted)
        return Select(f"{left} CROSS JOIN LATERAL ({right}) AS {self._alias()}")

    def _union(self, node: UnionNode, needed: set[str]) -> Select:
        chosen = [(place, column) for place, column in enumerate(node.columns) if column.id in needed]
        absent = self._absent(node, chosen)
        queries = []
        for place_of_input, (query, expressions) in enumerate(node.inputs):
            items = tuple(
                (column, expressions[place])
                for place, column in chosen
                if (place_of_input, column.id) not in absent
            )
            names = [column.id for column, _ in items]
            select = self._select(ExtendNode(query, items), set(names))
            text = select.render(names)
            queries.append(f"({text})" if select.limit or select.order or select.tail else text)
        if not queries:
            nulls = ", ".join(f"NULL::{c.type.duckdb} AS {c.id}" for _, c in chosen)
            queries = [f"SELECT {nulls or 'NULL AS nothing'} WHERE false"]
        if not absent:
            return Select(f"({' UNION ALL '.join(queries)}) AS {self._alias()}")
        lacking = {name for _, name in absent}
        items_of_texts = {
            column.id: f"coalesce({column.id}, '')"
            for _, column in chosen
            if column.type is KustoType.STRING and column.id in lacking
        }
        return Select(f"({' UNION ALL BY NAME '.join(queries)}) AS {self._alias()}", items_of_texts)

    @staticmethod
    def _absent(node: UnionNode, chosen: Sequence[tuple[int, Column]]) -> set[tuple[int, str]]:
        """Which inputs (by place) lack which columns, where there are so many gaps that DuckDB should fill
        them: a union of many unlike tables has tens of thousands, and each costs time to plan."""
        gaps: set[tuple[int, str]] = set()
        for place, column in chosen:
            empty = [
                (number, column.id)
                for number, (_, expressions) in enumerate(node.inputs)
                if isinstance(literal := expressions[place], Literal) and literal.value in (None, "")
            ]
            if len(empty) < len(node.inputs):
                gaps.update(empty)
        return gaps if len(gaps) > _MANY_GAPS else set()
