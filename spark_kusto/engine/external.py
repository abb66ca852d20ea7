"""Data of ``externaldata``: local files and HTTP addresses, read by format into a table."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from spark_kusto.engine import mappings
from spark_kusto.engine.converting import to_stored
from spark_kusto.engine.formats.names import format_named, format_of_path, opened
from spark_kusto.engine.inferring import infer_schema
from spark_kusto.engine.records import Reading, read_tables
from spark_kusto.engine.running import storage_text_schema
from spark_kusto.errors import QueryError, UnsupportedError, redact
from spark_kusto.kql.compiled import INFER_SCHEMA, ExternalSource
from spark_kusto.types import Column, KustoType

if TYPE_CHECKING:
    import pyarrow as pa

_SECONDS = 60.0


def load_external(source: ExternalSource) -> pa.Table:
    """The data of an ``externaldata`` source under its columns' SQL names, guids as text.

    Raises:
        QueryError: an address cannot be read.
        UnsupportedError: it is of a kind that is not read here.
    """
    import pyarrow

    options = source.properties.get(INFER_SCHEMA)
    if options is not None:
        (asked,) = source.columns
        return pyarrow.table({asked.sql_name: [infer_schema(source.uris, source.format or "", options)]})
    columns = [Column(column.name, column.type) for column in source.columns]
    properties = {key.lower(): value for key, value in source.properties.items()}
    reading = Reading()
    tables = []
    for uri in source.uris:
        kind = format_named(source.format) if source.format else format_of_path(uri)
        given = properties.get("ingestionmapping")
        text = given if isinstance(given, str) or given is None else json.dumps(given)
        items = (
            mappings.parse_mapping(text, kind.mapping_kind)
            if text
            else mappings.default_mapping(columns, kind.mapping_kind)
        )
        fields = mappings.resolve(items, columns)
        skip = str(properties.get("ignorefirstrecord", "false")).lower() == "true"
        for stream in _streams(uri):
            for table in read_tables(stream, kind, fields, source=_shown(uri), skip_first=skip):
                for column in columns:
                    if column.name not in table.column_names:
                        table = table.append_column(column.name, pyarrow.nulls(table.num_rows))
                tables.append(to_stored(table, columns, reading, is_text=kind.is_text, lenient=True))
    schema = storage_text_schema([Column(c.sql_name, c.type) for c in source.columns])
    if not tables:
        return schema.empty_table()
    whole = pyarrow.concat_tables(tables)
    arrays = []
    for index, declared in enumerate(source.columns):
        values = whole.column(index)
        if declared.type is KustoType.GUID:
            from spark_kusto.types.text import to_text

            values = pyarrow.chunked_array([to_text(chunk, KustoType.GUID) for chunk in values.chunks])
        arrays.append(values)
    return pyarrow.Table.from_arrays(arrays, schema=schema)


def _shown(uri: str) -> str:
    """An address without what may be secret in it."""
    return redact(uri.split(";", 1)[0].split("?", 1)[0])


def _streams(uri: str) -> list[IO[bytes]]:
    address = uri.split(";", 1)[0]
    scheme = urlsplit(address).scheme.lower()
    if scheme in ("", "file"):
        path = unquote(urlsplit(address).path) if scheme == "file" else address
        with opened(path) as streams:
            return [io.BytesIO(stream.read()) for stream in streams]
    if scheme not in ("http", "https"):
        raise UnsupportedError(
            f"External data at '{_shown(uri)}' cannot be read: '{scheme}:' addresses are not offered.",
            feature="externaldata",
            remedy="Give a local path, or an http(s) address (for Azure storage, with a SAS).",
        )
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:  # the scheme is checked above
            content = answer.read()
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise QueryError(
            f"External data at '{_shown(uri)}' cannot be read: {reason}.",
            remedy="Check the address and its access token.",
        ) from error
    name = urlsplit(address).path.lower()
    if name.endswith(".gz"):
        import gzip

        content = gzip.decompress(content)
    elif name.endswith(".zip"):
        import zipfile

        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [io.BytesIO(archive.read(member)) for member in archive.infolist() if not member.is_dir()]
    return [io.BytesIO(content)]
