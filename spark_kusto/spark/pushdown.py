"""What of a Spark plan goes into the query: the value, its KQL, and the decision.

:func:`push` answers a request of the optimizer rule. Limits and aggregates are pushed only over
filters that all went, whole and exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spark_kusto.spark.aggregates import Aggregation, Total, aggregation_of, summarize
from spark_kusto.spark.predicates import Json, SourceColumn, Translator, grouped
from spark_kusto.spark.query_text import quoted_name


@dataclass(frozen=True)
class Pushdown:
    """What is done in the query before rows come to Spark, in this order.

    Attributes:
        filters: KQL predicates, all of which hold.
        order: KQL ordering keys of a top-n (``['a'] desc nulls last``).
        limit: at most so many rows.
        aggregation: a ``summarize``; then ``columns`` is None.
        columns: Kusto names of the columns to read, in order; None for all of them.
    """

    filters: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    limit: int | None = None
    aggregation: Aggregation | None = None
    columns: tuple[str, ...] | None = None

    def operators(self) -> str:
        """The operators to append to the query, one a line, but for the projection of ``columns``."""
        lines: list[str] = []
        if self.filters:
            lines.append("| where " + " and ".join(grouped(f) for f in self.filters))
        if self.aggregation is not None:
            lines += summarize(self.aggregation)
        if self.limit is not None:
            by = f" by {', '.join(self.order)}" if self.order else ""
            lines.append(f"| top {self.limit}{by}" if by else f"| take {self.limit}")
        return "\n".join(lines)

    def kql(self) -> str:
        """Everything that is appended to the query; empty if there is nothing to do."""
        lines = [self.operators()] if self.operators() else []
        if self.columns is not None:
            lines.append("| project " + ", ".join(quoted_name(name) for name in self.columns))
        return "\n".join(lines)

    def to_json(self) -> str:
        """The text that travels to the reader in the scan's options."""
        totals: dict[str, Any] = {}
        results: tuple[str, ...] | None = None
        if self.aggregation is not None:
            results = self.aggregation.results
            totals = {n: [t.high, t.low, t.ansi] for n, t in self.aggregation.totals.items()}
        return json.dumps(
            {"kql": self.operators(), "totals": totals, "results": results, "limit": self.limit}
        )


@dataclass(frozen=True)
class PushedQuery:
    """What the reader knows of a push-down: the operators, and how to make its columns.

    Attributes:
        results: names of an aggregate's result columns; None where the reader projects by itself.
        limit: rows the answer has at most; None where that is not known.
    """

    kql: str = ""
    totals: Mapping[str, Total] = field(default_factory=dict)
    results: tuple[str, ...] | None = None
    limit: int | None = None

    @classmethod
    def from_json(cls, text: str) -> PushedQuery:
        """Read what :meth:`Pushdown.to_json` wrote."""
        given = json.loads(text)
        totals = {name: Total(*parts) for name, parts in given["totals"].items()}
        results = given["results"]
        return cls(given["kql"], totals, None if results is None else tuple(results), given.get("limit"))


@dataclass(frozen=True)
class Answer:
    """What of a request is pushed.

    Attributes:
        exact: for each filter of the request whether it was pushed, and Spark need not see it.
        columns: indexes of the columns the scan still has; empty for an aggregate.
    """

    pushdown: Pushdown
    exact: tuple[bool, ...] = ()
    columns: tuple[int, ...] = ()


def push(request: Json, columns: Sequence[SourceColumn]) -> Answer | None:
    """What can be pushed of filters, an aggregate, an order and a limit over a scan.

    Args:
        request: ``filters`` (each ``{"e": expression, "refs": [column indexes]}``), ``needed`` (indexes
            of the columns used above the filters), and optionally ``limit`` (with ``order``) or
            ``aggregate``.
        columns: the scan's columns.

    Returns:
        None where the limit or the aggregate cannot be pushed; the caller asks again without it.
    """
    at = Translator(columns)
    translated = [at.truth(given["e"]) for given in request.get("filters", ())]
    exact = tuple(text is not None for text in translated)
    filters = tuple(dict.fromkeys(text for text in translated if text is not None and text != "true"))
    aggregate = request.get("aggregate")
    limit = request.get("limit")
    if (aggregate is not None or limit is not None) and not all(exact):
        return None
    if aggregate is not None:
        aggregation = aggregation_of(aggregate, at)
        return None if aggregation is None else Answer(Pushdown(filters, aggregation=aggregation), exact)
    order: list[str] = []
    keys = request.get("order") or ()
    for number, given in enumerate(keys, 1):
        key = at.order(given["e"], given["descending"], given["nulls_first"], last=number == len(keys))
        if key is None:
            return None
        order.append(key)
    needed = set(request["needed"])
    for given, pushed in zip(request.get("filters", ()), exact, strict=True):
        if not pushed:
            needed.update(given["refs"])
    if not needed and columns:
        # Spark counts rows of some column: take the one that costs least.
        needed = {min(range(len(columns)), key=lambda i: (columns[i].width, i))}
    kept = tuple(sorted(needed))
    names = None if len(kept) == len(columns) else tuple(columns[i].name for i in kept)
    return Answer(Pushdown(filters, tuple(order), limit, None, names), exact, kept)
