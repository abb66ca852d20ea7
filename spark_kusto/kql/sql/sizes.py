"""How many rows a query may give: a guess, by which a join chooses the side it keeps in memory.

DuckDB builds its hash table of a join's right side. It would choose by its own estimates, but knows
nothing of files that are read by field id, so the writer puts the smaller side there.
"""

from __future__ import annotations

from spark_kusto.kql.plan import (
    AggregateNode,
    ExtendNode,
    ExternalNode,
    FilterNode,
    JoinNode,
    LimitNode,
    Literal,
    Node,
    RangeNode,
    ReferenceNode,
    SampleNode,
    ScanNode,
    SharedNode,
    TemplateNode,
    UnionNode,
    UnnestNode,
    ValuesNode,
)

_SCAN = 1e6
_EXTERNAL = 1e5
_COMPUTED = 1e4
_KEPT = 0.2
"""Share of rows that pass a filter."""
_GROUPS = 0.1
"""Groups for each row."""
_ITEMS = 10.0
"""Items of an array."""


class Sizes:
    """Guesses of numbers of rows, remembered by node."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Node, float]] = {}

    def rows(self, node: Node) -> float:
        """Rows that a query may give."""
        chain: list[Node] = []
        while isinstance(
            node, FilterNode | ExtendNode | AggregateNode | LimitNode | SampleNode | UnnestNode | SharedNode
        ):
            if id(node) in self._known:
                break
            chain.append(node)
            node = node.input
        known = self._known.get(id(node))
        rows = self._source(node) if known is None else known[1]
        # The node is kept beside its guess, lest another take its place in memory.
        self._known[id(node)] = node, rows
        for above in reversed(chain):
            rows = _through(above, rows)
            self._known[id(above)] = above, rows
        return rows

    def _source(self, node: Node) -> float:
        match node:
            case ScanNode():
                return _SCAN if node.rows is None else float(node.rows)
            case ExternalNode():
                return _EXTERNAL
            case ValuesNode():
                return float(len(node.rows))
            case RangeNode():
                return _range(node)
            case JoinNode():
                left, right = self.rows(node.left), self.rows(node.right)
                if node.condition is None or node.kind == "LATERAL":
                    return left * right
                return left if node.kind in ("SEMI", "ANTI") else max(left, right)
            case UnionNode():
                return sum(self.rows(query) for query, _ in node.inputs)
            case TemplateNode():
                return max((self.rows(query) for query in node.inputs), default=_COMPUTED)
            case ReferenceNode():
                return self.rows(node.shared)
        return _COMPUTED


def _through(node: Node, rows: float) -> float:
    match node:
        case FilterNode():
            return rows * _KEPT
        case AggregateNode():
            return max(rows * _GROUPS, 1.0) if node.groups else 1.0
        case LimitNode() | SampleNode():
            count = node.count.value if isinstance(node.count, Literal) else None
            return min(rows, float(count)) if isinstance(count, int) else rows
        case UnnestNode():
            return rows * _ITEMS
    return rows


def _range(node: RangeNode) -> float:
    bounds = [e.value if isinstance(e, Literal) else None for e in (node.start, node.stop, node.step)]
    start, stop, step = bounds
    if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int) and step:
        return float(max((stop - start) // step + 1, 0))
    return _COMPUTED
