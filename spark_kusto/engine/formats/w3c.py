"""W3C extended log files: fields named by a ``#Fields:`` directive, values between blanks."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO


def read_w3c(stream: IO[bytes]) -> Iterator[tuple[int, dict[str, str]]]:
    """Records with their line; a field given as ``-`` is left out."""
    names: list[str] = []
    for number, raw in enumerate(stream, 1):
        line = raw.decode("utf-8-sig", errors="replace").strip()
        if line.startswith("#"):
            directive, _, rest = line.partition(":")
            if directive.lower() == "#fields":
                names = rest.split()
            continue
        if not line:
            continue
        values = next(csv.reader([line], delimiter=" "), [])
        yield number, {name: value for name, value in zip(names, values, strict=False) if value != "-"}
