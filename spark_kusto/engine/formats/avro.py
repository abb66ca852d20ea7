"""Apache Avro object container files (specification 1.11, "Object Container Files").

Compression: none, deflate, snappy and zstandard.
"""

from __future__ import annotations

import datetime as dt
import json
import struct
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any

from spark_kusto.errors import IngestError, UnsupportedError

_MAGIC = b"Obj\x01"
_UNIX = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


class _Data:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, count: int) -> bytes:
        piece = self.content[self.at : self.at + count]
        if len(piece) != count or count < 0:
            raise IngestError("The Avro data ends too early.", remedy="Check that the file is whole.")
        self.at += count
        return piece

    def long(self) -> int:
        shift = value = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7

    def bytes(self) -> bytes:
        return self.take(self.long())


def read_avro(stream: IO[bytes]) -> Iterator[Any]:
    """Records as plain Python values.

    Raises:
        IngestError: the data is no Avro container file.
        UnsupportedError: its compression is not known here.
    """
    data = _Data(stream.read())
    if data.content[:4] != _MAGIC:
        raise IngestError("The data is not Avro.", remedy="Check the data and the 'format' property.")
    data.at = 4
    meta: dict[str, bytes] = {}
    while count := data.long():
        if count < 0:
            count = -count
            data.long()
        for _ in range(count):
            key = data.bytes().decode()
            meta[key] = data.bytes()
    schema = json.loads(meta["avro.schema"])
    codec = meta.get("avro.codec", b"null").decode()
    marker = data.take(16)
    named: dict[str, Any] = {}
    _collect(schema, named, "")
    while data.at < len(data.content):
        count = data.long()
        block = _Data(_unpacked(data.bytes(), codec))
        for _ in range(count):
            yield _read(block, schema, named)
        if data.take(16) != marker:
            raise IngestError("An Avro block is damaged.", remedy="Check that the file is whole.")


def _unpacked(block: bytes, codec: str) -> bytes:
    if codec == "null":
        return block
    if codec == "deflate":
        return zlib.decompress(block, -15)
    if codec in ("snappy", "zstandard"):
        import pyarrow

        if codec == "zstandard":
            with pyarrow.input_stream(pyarrow.py_buffer(block), compression="zstd") as unpacked:
                return bytes(unpacked.read())
        # Four bytes of checksum follow; the unpacked length stands in front as a varint.
        length, shift = 0, 0
        for byte in block:
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        return bytes(pyarrow.Codec("snappy").decompress(block[:-4], decompressed_size=length))
    raise UnsupportedError(f"Avro's compression '{codec}' is not offered.", feature=codec)


def _collect(schema: Any, named: dict[str, Any], space: str) -> None:
    if isinstance(schema, list):
        for branch in schema:
            _collect(branch, named, space)
    elif isinstance(schema, dict):
        if schema.get("type") in ("record", "enum", "fixed", "error"):
            space = schema.get("namespace", space)
            name = schema["name"]
            named[name.rpartition(".")[2]] = schema
            named[name if "." in name else f"{space}.{name}" if space else name] = schema
            for field in schema.get("fields", ()):
                _collect(field["type"], named, space)
        else:
            for key in ("items", "values", "type"):
                if key in schema:
                    _collect(schema[key], named, space)


def _read(data: _Data, schema: Any, named: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return _read(data, schema[data.long()], named)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(kind, dict | list):
        return _read(data, kind, named)
    logical = schema.get("logicalType") if isinstance(schema, dict) else None
    if kind == "record":
        return {field["name"]: _read(data, field["type"], named) for field in schema["fields"]}
    if kind == "enum":
        return schema["symbols"][data.long()]
    if kind in ("array", "map"):
        return _collection(data, schema, kind, named)
    if kind == "fixed":
        return _binary(data.take(schema["size"]), schema, logical)
    if kind in named and kind not in _PRIMITIVES:
        return _read(data, named[kind], named)
    value = _primitive(data, kind)
    if logical is not None:
        return _logical(value, logical, schema)
    return _text(value)


_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


def _primitive(data: _Data, kind: str) -> Any:
    if kind == "null":
        return None
    if kind == "boolean":
        return data.take(1) != b"\x00"
    if kind in ("int", "long"):
        return data.long()
    if kind == "float":
        return struct.unpack("<f", data.take(4))[0]
    if kind == "double":
        return struct.unpack("<d", data.take(8))[0]
    if kind == "bytes":
        return data.bytes()
    if kind == "string":
        return data.bytes().decode("utf-8", errors="replace")
    raise IngestError(f"Avro's type '{kind}' is not known.", remedy="Check that the file is whole.")


def _collection(data: _Data, schema: Any, kind: str, named: dict[str, Any]) -> Any:
    items: list[Any] = []
    entries: dict[str, Any] = {}
    while count := data.long():
        if count < 0:
            count = -count
            data.long()
        for _ in range(count):
            if kind == "array":
                items.append(_read(data, schema["items"], named))
            else:
                key = data.bytes().decode("utf-8", errors="replace")
                entries[key] = _read(data, schema["values"], named)
    return items if kind == "array" else entries


def _logical(value: Any, logical: str, schema: Any) -> Any:
    if isinstance(value, bytes):
        return _binary(value, schema, logical)
    if logical == "date":
        return _moment(value * 86_400_000_000)
    if logical in ("timestamp-millis", "local-timestamp-millis"):
        return _moment(value * 1000)
    if logical in ("timestamp-micros", "local-timestamp-micros"):
        return _moment(value)
    if logical in ("time-millis", "time-micros"):
        micros = value * 1000 if logical == "time-millis" else value
        return str(dt.timedelta(microseconds=micros))
    return _text(value)


def _moment(micros: int) -> str:
    return (_UNIX + dt.timedelta(microseconds=micros)).isoformat()


def _binary(value: bytes, schema: Any, logical: str | None) -> Any:
    if logical == "decimal":
        number = int.from_bytes(value, "big", signed=True)
        return Decimal(number).scaleb(-int(schema.get("scale", 0)))
    return _text(value)


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode("ascii")
    return value
