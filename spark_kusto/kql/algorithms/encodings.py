"""Bytes as text: base64, compressed base64, Unicode code points."""

from __future__ import annotations

import base64
import binascii
import math
import struct
import uuid
import zlib
from collections.abc import Iterable

MAX_DECOMPRESSED_BYTES = 1 << 26
"""A compressed text that grows beyond this is treated as invalid instead of filling the memory."""

_BLANKS = {ord(c): None for c in " \t\r\n"}


def _decode(text: str) -> bytes | None:
    compact = text.translate(_BLANKS)
    try:
        return base64.b64decode(compact, validate=True) if len(compact) % 4 == 0 else None
    except (binascii.Error, ValueError):
        return None


def base64_decode_tostring(text: str) -> str:
    """The UTF-8 text behind the base64; empty where the base64 or the UTF-8 is invalid."""
    raw = _decode(text)
    if raw is None:
        return ""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return ""


def base64_decode_toarray(text: str) -> list[int] | None:
    """The bytes behind the base64 as numbers; null where it is invalid."""
    raw = _decode(text)
    return None if raw is None else list(raw)


def base64_decode_toguid(text: str) -> uuid.UUID | None:
    """The GUID whose 16 bytes (in Windows' order) the base64 holds; null where it doesn't."""
    raw = _decode(text)
    return None if raw is None or len(raw) != 16 else uuid.UUID(bytes_le=raw)


def base64_encode_tostring(text: str) -> str:
    """Base64 of the text's UTF-8."""
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")


def base64_encode_fromarray(values: object) -> str:
    """Base64 of an array of bytes; empty where it isn't one."""
    if not isinstance(values, list):
        return ""
    try:
        return base64.b64encode(bytes(values)).decode("ascii")
    except (TypeError, ValueError):
        return ""


def base64_encode_fromguid(value: uuid.UUID | None) -> str:
    """Base64 of the GUID's 16 bytes in Windows' order."""
    return "" if value is None else base64.b64encode(value.bytes_le).decode("ascii")


def _deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(1, zlib.DEFLATED, -15)
    packed = coder.compress(data) + coder.flush()
    if len(packed) < len(data):
        return packed
    coder = zlib.compressobj(0, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


def zlib_compress_to_base64_string(text: str) -> str:
    """Base64 of the text's UTF-8 compressed as a zlib stream (RFC 1950)."""
    data = text.encode("utf-8", "surrogatepass")
    stream = b"\x78\x01" + _deflate(data) + struct.pack(">I", zlib.adler32(data))
    return base64.b64encode(stream).decode("ascii")


def gzip_compress_to_base64_string(text: str) -> str:
    """Base64 of the text's UTF-8 compressed as a gzip member (RFC 1952) without name or time."""
    data = text.encode("utf-8", "surrogatepass")
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    tail = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return base64.b64encode(head + _deflate(data) + tail).decode("ascii")


def _inflate(text: str, window: int) -> str:
    raw = _decode(text)
    if raw is None:
        return ""
    coder = zlib.decompressobj(window)
    try:
        data = coder.decompress(raw, MAX_DECOMPRESSED_BYTES)
        return data.decode("utf-8") if coder.eof else ""
    except (zlib.error, UnicodeDecodeError):
        return ""


def zlib_decompress_from_base64_string(text: str) -> str:
    """The text behind :func:`zlib_compress_to_base64_string`; empty where there is none."""
    return _inflate(text, 15)


def gzip_decompress_from_base64_string(text: str) -> str:
    """The text behind :func:`gzip_compress_to_base64_string`; empty where there is none."""
    return _inflate(text, 31)


def unicode_codepoints_from_string(text: str) -> list[int]:
    """The code points of the text's characters."""
    return [ord(character) for character in text]


def unicode_codepoints_to_string(*values: object) -> str:
    """The text of code points given one by one or as arrays; what is no code point is left out."""
    return "".join(_characters(values))


def _characters(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _characters(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            number = int(value)
            if 0 <= number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF:
                yield chr(number)
