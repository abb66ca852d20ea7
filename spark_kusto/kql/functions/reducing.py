"""``reduce``: texts grouped by patterns.

Source: Kusto documentation, "reduce operator". Texts are split into tokens at white space and the
given characters; those with as many tokens are grouped, and tokens that vary become ``*``. The
groups are this package's own: the documentation does not say how Kusto finds them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_kusto.kql.registry import operator

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Reduction:
    """What the query asks for.

    Attributes:
        threshold: share of the texts (0 to 1) that a token must reach in its place to be kept.
        characters: further characters that part tokens.
        source: whether each row keeps its own columns (``kind=source``).
    """

    threshold: float
    characters: str
    source: bool


def _tokens(text: str, splitter: re.Pattern[str]) -> tuple[str, ...]:
    return tuple(token for token in splitter.split(text) if token)


def patterns(texts: list[str], threshold: float, characters: str) -> list[tuple[str, str]]:
    """Pattern of each text, and the text that stands for its group."""
    splitter = re.compile(rf"(\s+|[{re.escape(characters)}])" if characters else r"(\s+)")
    split = [_tokens(text, splitter) for text in texts]
    found: list[tuple[str, str]] = [("", "")] * len(texts)
    by_shape: dict[int, list[int]] = {}
    for place, tokens in enumerate(split):
        by_shape.setdefault(len(tokens), []).append(place)
    for places in by_shape.values():
        for members in _grouped(places, split, threshold):
            pattern = _pattern(members, split, characters)
            for place in members:
                found[place] = (pattern, texts[members[0]])
    return found


def _grouped(places: list[int], split: list[tuple[str, ...]], threshold: float) -> list[list[int]]:
    """Texts of one length by the first tokens that are frequent enough to tell groups apart."""
    groups = [places]
    width = len(split[places[0]]) if places else 0
    least = max(1, threshold * len(places))
    for column in range(width):
        divided: list[list[int]] = []
        for members in groups:
            kinds: dict[str, list[int]] = {}
            for place in members:
                kinds.setdefault(split[place][column], []).append(place)
            rest: list[int] = []
            for chosen in kinds.values():
                if len(kinds) == 1 or len(chosen) >= max(least, len(members) * 0.3):
                    divided.append(chosen)
                else:
                    rest.extend(chosen)
            if rest:
                divided.append(rest)
        groups = divided
    return groups


def _pattern(members: list[int], split: list[tuple[str, ...]], characters: str) -> str:
    first = split[members[0]]
    parts: list[str] = []
    for column, token in enumerate(first):
        same = all(split[place][column] == token for place in members)
        part = token if same else "*"
        if part == "*" and parts and parts[-1] in characters:
            parts.pop()
        if not (part == "*" and parts and parts[-1] == "*"):
            parts.append(part)
    return "".join(parts)


def _reduce(tables: list[pa.Table], asked: Reduction) -> pa.Table:
    import pyarrow as pa

    table = tables[0]
    texts = [text or "" for text in table.column("$text").to_pylist()]
    found = patterns(texts, asked.threshold, asked.characters)
    counts: dict[str, int] = {}
    representatives: dict[str, str] = {}
    for pattern, representative in found:
        counts[pattern] = counts.get(pattern, 0) + 1
        representatives.setdefault(pattern, representative)
    if asked.source:
        own = table.drop_columns(["$text"])
        arrays = [own.column(place) for place in range(own.num_columns)]
        arrays.append(pa.array([pattern for pattern, _ in found], pa.string()))
        arrays.append(pa.array([counts[pattern] for pattern, _ in found], pa.int64()))
        arrays.append(pa.array([representatives[p] for p, _ in found], pa.string()))
    else:
        ordered = sorted(counts, key=lambda pattern: -counts[pattern])
        arrays = [
            pa.array(ordered, pa.string()),
            pa.array([counts[pattern] for pattern in ordered], pa.int64()),
            pa.array([representatives[pattern] for pattern in ordered], pa.string()),
        ]
    return pa.table(arrays, names=[f"column{place}" for place in range(len(arrays))])


operator("reduce", _reduce, difference="finds patterns in its own way")
