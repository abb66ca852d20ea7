"""``graph-mark-components``: connected components of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_kusto.kql.registry import operator

if TYPE_CHECKING:
    import pyarrow as pa


def weak_components(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Number of the weakly connected component of each node, by first appearance."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for source, target in edges:
        one, other = root(source), root(target)
        if one != other:
            parent[max(one, other)] = min(one, other)
    return _numbered([root(node) for node in range(count)])


def strong_components(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Number of the strongly connected component of each node (Tarjan 1972, without recursion)."""
    following: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        following[source].append(target)
    order: list[int] = [-1] * count
    low = [0] * count
    on_stack = [False] * count
    component = [-1] * count
    stack: list[int] = []
    number = 0
    for begin in range(count):
        if order[begin] >= 0:
            continue
        work = [(begin, 0)]
        while work:
            node, place = work.pop()
            if place == 0:
                order[node] = low[node] = number
                number += 1
                stack.append(node)
                on_stack[node] = True
            descended = False
            for step in range(place, len(following[node])):
                other = following[node][step]
                if order[other] < 0:
                    work.append((node, step + 1))
                    work.append((other, 0))
                    descended = True
                    break
                if on_stack[other]:
                    low[node] = min(low[node], low[other])
            if descended:
                continue
            if low[node] == order[node]:
                while True:
                    member = stack.pop()
                    on_stack[member] = False
                    component[member] = node
                    if member == node:
                        break
            if work:
                above = work[-1][0]
                low[above] = min(low[above], low[node])
    return _numbered(component)


def _numbered(roots: list[int]) -> list[int]:
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root, len(numbers)) for root in roots]


def _mark(tables: list[pa.Table], kind: Any) -> pa.Table:
    import pyarrow as pa

    nodes, edges = tables
    ids = nodes.column("id").to_pylist()
    places = {value: place for place, value in enumerate(ids)}
    pairs = [
        (places[source], places[target])
        for source, target in zip(
            edges.column("source").to_pylist(), edges.column("target").to_pylist(), strict=True
        )
        if source in places and target in places
    ]
    function = strong_components if kind == "strong" else weak_components
    return pa.table(
        [nodes.column("id"), pa.array(function(len(ids), pairs), pa.int64())],
        names=["id", "component"],
    )


operator("graph-mark-components", _mark)
