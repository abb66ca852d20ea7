"""The part of JSONPath that Kusto reads: ``$.name``, ``['name']`` and ``[index]``.

Page "JSONPath expressions": wildcards, recursion, unions, slices and filters don't exist there.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]]+)
      | \[\s*(?P<index>-?\d+)\s*\]
      | \[\s*'(?P<single>(?:[^'\\]|\\.)*)'\s*\]
      | \[\s*"(?P<double>(?:[^"\\]|\\.)*)"\s*\]""",
    re.VERBOSE,
)
_BACKSLASH = re.compile(r"\\(.)")


@lru_cache(maxsize=1024)
def parse(path: str) -> tuple[str | int, ...] | None:
    """The steps of a path (names and indexes), or ``None`` if it is no path Kusto reads."""
    path = path.strip()
    if not path.startswith("$"):
        return None
    steps: list[str | int] = []
    position = 1
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None:
            return None
        name, index = found.group("name"), found.group("index")
        if name is not None:
            steps.append(name)
        elif index is not None:
            steps.append(int(index))
        else:
            quoted = found.group("single")
            if quoted is None:
                quoted = found.group("double")
            steps.append(_BACKSLASH.sub(r"\1", quoted))
        position = found.end()
    return tuple(steps)


def find(value: object, steps: tuple[str | int, ...]) -> object:
    """The value at the end of the steps, or ``None``."""
    for step in steps:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return None
            value = value[step]
        else:
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return None
            value = value[step]
    return value


def without(value: object, steps: tuple[str | int, ...]) -> object:
    """A copy of the value with what stands at the end of the steps removed."""
    if not steps:
        return value
    head, rest = steps[0], steps[1:]
    if isinstance(head, str) and isinstance(value, dict) and head in value:
        if not rest:
            return {k: v for k, v in value.items() if k != head}
        return {k: without(v, rest) if k == head else v for k, v in value.items()}
    if isinstance(head, int) and isinstance(value, list) and -len(value) <= head < len(value):
        at = head % len(value)
        if not rest:
            return value[:at] + value[at + 1 :]
        return [without(v, rest) if i == at else v for i, v in enumerate(value)]
    return value


def tree_paths(value: object) -> list[str]:
    """Every path to a place in the value, as ``treepath()`` lists them: arrays count once, as ``[0]``."""
    paths: list[str] = []
    _collect(value, "", paths)
    return list(dict.fromkeys(paths))


def _collect(value: object, prefix: str, paths: list[str]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            path = f"{prefix}['{name}']"
            paths.append(path)
            _collect(inner, path, paths)
    elif isinstance(value, list):
        path = f"{prefix}[0]"
        if value:
            paths.append(path)
        for inner in value:
            _collect(inner, path, paths)


def extract(path: str, text: str) -> str | None:
    """The value at the path in a JSON text: strings as they are, all else as JSON; ``None`` if absent."""
    steps = parse(path)
    if steps is None:
        return None
    try:
        value = find(json.loads(text), steps)
    except (ValueError, RecursionError):
        return None
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
