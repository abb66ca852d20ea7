"""The formats by name, and opening what holds them: plain, gzip or zip."""

from __future__ import annotations

import fnmatch
import gzip
import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from spark_kusto.errors import IngestError, OptionError, nearest


@dataclass(frozen=True)
class Format:
    """A data format.

    Attributes:
        name: in Kusto's spelling, lower case.
        mapping_kind: the kind of ingestion mapping it takes.
        suffixes: endings of file names.
        delimiter: of csv-like formats.
        is_text: whether values are text that is converted leniently.
    """

    name: str
    mapping_kind: str
    suffixes: tuple[str, ...]
    delimiter: str | None = None
    is_text: bool = True


FORMATS = {
    entry.name: entry
    for entry in (
        Format("csv", "csv", (".csv",), ","),
        Format("tsv", "csv", (".tsv",), "\t"),
        Format("tsve", "csv", (".tsve",), "\t"),
        Format("psv", "csv", (".psv",), "|"),
        Format("scsv", "csv", (".scsv",), ";"),
        Format("sohsv", "csv", (".sohsv",), "\x01"),
        Format("txt", "csv", (".txt", ".log")),
        Format("raw", "csv", (".raw",)),
        Format("json", "json", (".json", ".jsonl", ".ndjson")),
        Format("multijson", "json", (".multijson",)),
        Format("parquet", "parquet", (".parquet",), is_text=False),
        Format("orc", "orc", (".orc",), is_text=False),
        Format("avro", "avro", (".avro",), is_text=False),
        Format("apacheavro", "avro", (), is_text=False),
        Format("w3clogfile", "w3clogfile", (".w3clogfile",)),
    )
}
_ALIASES = {"singlejson": "multijson", "jsonlines": "json"}

MAPPING_KINDS = ("csv", "json", "avro", "parquet", "orc", "w3clogfile", "azmonstream", "sstream")
"""Kinds of ingestion mappings."""


def format_named(name: str) -> Format:
    """The format of that name, in any case.

    Raises:
        OptionError: there is none; the nearest is offered.
    """
    key = name.strip().lower()
    found = FORMATS.get(_ALIASES.get(key, key))
    if found is None:
        close = nearest(key, FORMATS)
        raise OptionError(
            f"'{name}' is not a data format.",
            remedy=f"Did you mean '{close}'?" if close else f"The formats are {', '.join(FORMATS)}.",
        )
    return found


def format_of_path(path: str) -> Format:
    """The format that a file's name tells; csv where it tells none, as in Kusto."""
    name = path.lower().split("?", 1)[0]
    for ending in (".gz", ".zip"):
        name = name.removesuffix(ending)
    _, suffix = os.path.splitext(name)
    for entry in FORMATS.values():
        if suffix in entry.suffixes:
            return entry
    return FORMATS["csv"]


@contextmanager
def opened(path: str, *, zip_pattern: str | None = None, gz_as_is: bool = False) -> Iterator[list[IO[bytes]]]:
    """The streams in a file: itself, what gzip holds, or the members of a zip archive.

    Args:
        zip_pattern: a shell pattern that members' names must match.
        gz_as_is: read a ``.gz`` file as if it were not compressed (``TreatGzAsUncompressed``).

    Raises:
        IngestError: there is no such file, or it cannot be read.
    """
    try:
        if path.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                members = [m for m in archive.infolist() if not m.is_dir()]
                if zip_pattern:
                    members = [m for m in members if fnmatch.fnmatch(m.filename, zip_pattern)]
                yield [io.BytesIO(archive.read(member)) for member in members]
        elif path.lower().endswith(".gz") and not gz_as_is:
            with gzip.open(path, "rb") as unpacked:
                yield [unpacked]  # type: ignore[list-item]
        else:
            with open(path, "rb") as plain:
                yield [plain]
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise IngestError(
            f"The file '{path}' cannot be read: {reason}.", remedy="Check the path and that it is readable."
        ) from error
