"""Schemas of files, for ``infer_storage_schema``: DuckDB reads the files, its types become Kusto's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from spark_kusto.errors import QueryError, UnsupportedError, redact
from spark_kusto.types import KustoType

_DELIMITERS = {"csv": ",", "tsv": "\t", "psv": "|", "scsv": ";", "sohsv": "\x01", "tsve": "\t"}
_JSON = {"json": "newline_delimited", "multijson": "auto", "singlejson": "auto"}
_KINDS = (
    (re.compile("BOOLEAN$"), KustoType.BOOL),
    (re.compile("(U?TINYINT|U?SMALLINT|INTEGER)$"), KustoType.INT),
    (re.compile("(UINTEGER|U?BIGINT)$"), KustoType.LONG),
    (re.compile("(FLOAT|DOUBLE|U?HUGEINT)$"), KustoType.REAL),
    (re.compile(r"DECIMAL\([0-9,]+\)$"), KustoType.DECIMAL),
    (re.compile("(DATE|TIMESTAMP.*)$"), KustoType.DATETIME),
    (re.compile("(TIME|INTERVAL)$"), KustoType.TIMESPAN),
    (re.compile("UUID$"), KustoType.GUID),
    (re.compile(r"(JSON|STRUCT.*|MAP.*|.*\[[0-9]*\])$"), KustoType.DYNAMIC),
)


def kusto_type(duckdb_type: str) -> KustoType:
    """The Kusto type in which values of a DuckDB type are kept."""
    return next((kind for pattern, kind in _KINDS if pattern.match(duckdb_type)), KustoType.STRING)


def infer_schema(uris: Sequence[str], data_format: str, options: Mapping[str, Any]) -> str:
    """The schema of the files in folders, as ``a:long, b:string``.

    Args:
        uris: folders; files too.
        data_format: Kusto's name of the format.
        options: ``fileextension``, ``filenameprefix``, ``mode`` (any, last, all) and
            ``inferenceoptions``, as bound.

    Raises:
        QueryError: there is no file, or it cannot be read.
        UnsupportedError: the place or the format is of a kind that is not read here.
    """
    extension = str(options.get("fileextension", ""))
    prefix = str(options.get("filenameprefix", ""))
    files = [file for uri in uris for file in _files(uri, prefix, extension)]
    if not files:
        raise QueryError(
            f"infer_storage_schema(): there is no file '{prefix}*{extension}' in"
            f" {', '.join(redact(uri.split(';', 1)[0]) for uri in uris)}.",
            remedy="Check StorageContainers, FileNamePrefix and FileExtension.",
        )
    files.sort()
    mode = str(options.get("mode", "any")).lower()
    if mode == "any":
        files = files[:1]
    elif mode == "last":
        files = [max(files, key=lambda file: (file.stat().st_mtime, file))]
    inference = {str(key).lower(): value for key, value in dict(options.get("inferenceoptions", {})).items()}
    has_header = bool(inference.get("usefirstrowasheader", False))
    found: dict[str, KustoType] = {}
    for file in files:
        for name, kind in _schema_of(file, data_format.lower(), has_header):
            known = found.get(name)
            found[name] = kind if known is None else _common(known, kind)
    return ", ".join(f"{_named(name)}:{kind.value}" for name, kind in found.items())


def _files(uri: str, prefix: str, extension: str) -> list[Path]:
    address = uri.split(";", 1)[0]
    scheme = urlsplit(address).scheme.lower()
    if scheme not in ("", "file"):
        raise UnsupportedError(
            f"infer_storage_schema() reads local folders, not '{scheme}:' addresses.",
            feature="infer_storage_schema",
            remedy="Copy a file to a local folder, or name the columns with externaldata.",
        )
    place = Path(unquote(urlsplit(address).path) if scheme == "file" else address)
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise QueryError(f"infer_storage_schema(): there is no folder '{place}'.", remedy="Check its path.")
    return [
        Path(folder, name)
        for folder, _, names in os.walk(place)
        for name in names
        if name.startswith(prefix) and name.removesuffix(".gz").endswith(extension.removesuffix(".gz"))
    ]


def _schema_of(file: Path, data_format: str, has_header: bool) -> list[tuple[str, KustoType]]:
    import duckdb

    parameters: list[Any] = [str(file)]
    if data_format == "parquet":
        call = "read_parquet(?)"
    elif data_format in _JSON:
        call = f"read_json(?, format = '{_JSON[data_format]}', maximum_depth = 2)"
    elif data_format in _DELIMITERS:
        call = f"read_csv(?, delim = ?, header = {str(has_header).lower()}, sample_size = 20480)"
        parameters.append(_DELIMITERS[data_format])
    else:
        known = ", ".join(("parquet", *_JSON, *_DELIMITERS))
        raise UnsupportedError(
            f"infer_storage_schema() doesn't read the format '{data_format}'.",
            feature="infer_storage_schema",
            remedy=f"The formats are {known}.",
        )
    try:
        with duckdb.connect(config={"autoinstall_known_extensions": "false", "threads": "1"}) as connection:
            described = connection.execute(f"DESCRIBE SELECT * FROM {call}", parameters).fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise QueryError(
            f"infer_storage_schema(): '{file}' cannot be read as {data_format}: {reason}",
            remedy="Check DataFormat.",
        ) from error
    columns = []
    for number, (name, kind, *_) in enumerate(described):
        if data_format in _DELIMITERS and not has_header:
            name = f"Column{number}"
        columns.append((str(name), kusto_type(str(kind))))
    return columns


def _common(one: KustoType, other: KustoType) -> KustoType:
    if one is other:
        return one
    numbers = (KustoType.INT, KustoType.LONG, KustoType.REAL)
    if one in numbers and other in numbers:
        return max(one, other, key=numbers.index)
    return KustoType.STRING


def _named(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"['{name}']"
