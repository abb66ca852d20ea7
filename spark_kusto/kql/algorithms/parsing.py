"""Texts with a structure of their own: CSV records, command lines, paths, versions, XML."""

from __future__ import annotations

import csv
import io
import re
import sys
from decimal import Decimal
from xml.parsers import expat

MAX_XML_BYTES = 1 << 20
"""Longest text that parse_xml() takes ("parse_xml()"); a longer one gives null."""

_MAX_XML_DEPTH = 1000

_VERSION = re.compile(r"\d{1,8}(?:\.\d{1,8}){0,3}", re.ASCII)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://", re.ASCII)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


def parse_csv(text: str) -> list[str]:
    """The fields of the first CSV record in the text (RFC 4180 quoting)."""
    csv.field_size_limit(sys.maxsize)
    try:
        return next(csv.reader(io.StringIO(text, newline="")), [""])
    except csv.Error:
        return text.split(",")


def parse_command_line(text: str, kind: str = "windows") -> list[str] | None:
    """The arguments of a command line as Windows' ``CommandLineToArgvW`` splits it.

    ``kind`` must be ``windows``, the only one Kusto has; another gives null.
    """
    if kind.lower() != "windows":
        return None
    text = text.lstrip(" \t")
    if not text:
        return []
    arguments: list[str] = []
    # The program's name knows quotes and no backslash escapes.
    if text[0] == '"':
        end = text.find('"', 1)
        end = len(text) if end < 0 else end
        arguments.append(text[1:end])
        position = end + 1
    else:
        position = 0
        while position < len(text) and text[position] not in " \t":
            position += 1
        arguments.append(text[:position])
    while True:
        while position < len(text) and text[position] in " \t":
            position += 1
        if position >= len(text):
            return arguments
        argument, position = _argument(text, position)
        arguments.append(argument)


def _argument(text: str, position: int) -> tuple[str, int]:
    piece: list[str] = []
    quoted = False
    while position < len(text):
        character = text[position]
        if character == "\\":
            start = position
            while position < len(text) and text[position] == "\\":
                position += 1
            count = position - start
            if position < len(text) and text[position] == '"':
                piece.append("\\" * (count // 2))
                if count % 2:
                    piece.append('"')
                    position += 1
            else:
                piece.append("\\" * count)
        elif character == '"':
            if quoted and text[position + 1 : position + 2] == '"':
                piece.append('"')
                position += 2
            else:
                quoted = not quoted
                position += 1
        elif character in " \t" and not quoted:
            break
        else:
            piece.append(character)
            position += 1
    return "".join(piece), position


def parse_path(path: str) -> dict[str, str] | None:
    """The parts of a file path, Windows or Unix, with or without a scheme."""
    if not path:
        return None
    scheme, rest = "", path
    found = _SCHEME.match(path)
    if found is not None:
        scheme, rest = found.group(1), path[found.end() :]
    root = rest[:3] if _DRIVE.match(rest) else ""
    cut = max(rest.rfind("/"), rest.rfind("\\"))
    directory, name = (rest[:cut], rest[cut + 1 :]) if cut >= 0 else ("", rest)
    name, _, stream = name.partition(":")
    dot = name.rfind(".")
    folder = directory[max(directory.rfind("/"), directory.rfind("\\")) + 1 :]
    return {
        "Scheme": scheme,
        "RootPath": root,
        "DirectoryPath": directory,
        "DirectoryName": folder,
        "Filename": name,
        "Extension": name[dot + 1 :] if dot >= 0 else "",
        "AlternateDataStreamName": stream,
    }


def parse_version(text: str) -> Decimal | None:
    """A version of up to four parts of up to eight digits as one comparable number."""
    if _VERSION.fullmatch(text) is None:
        return None
    parts = [int(part) for part in text.split(".")]
    value = 0
    for part in parts + [0] * (4 - len(parts)):
        value = value * 10**8 + part
    return Decimal(value)


class _XmlToJson:
    """Collects expat events into nested dictionaries ("parse_xml()" has the table of forms)."""

    def __init__(self) -> None:
        self.root: dict[str, object] = {}
        self._stack: list[tuple[str, dict[str, object], list[str]]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._stack) >= _MAX_XML_DEPTH:
            raise ValueError("nested too deeply")
        content: dict[str, object] = {f"@{k}": _scalar(v) for k, v in attributes.items()}
        self._stack.append((name, content, []))

    def text(self, data: str) -> None:
        if self._stack:
            self._stack[-1][2].append(data)

    def end(self, _name: str) -> None:
        name, content, texts = self._stack.pop()
        text = "".join(texts).strip()
        value: object
        if content:
            if text:
                content["#text"] = _scalar(text)
            value = content
        else:
            value = _scalar(text) if text else None
        into = self._stack[-1][1] if self._stack else self.root
        if name not in into:
            into[name] = value
        else:
            present = into[name]
            # A repeated element becomes an array; one element's own value is never a list.
            if isinstance(present, list):
                present.append(value)
            else:
                into[name] = [present, value]


def _scalar(text: str) -> object:
    # The documentation's example shows numbers as JSON numbers; anything else stays text.
    if _NUMBER.fullmatch(text):
        if "." in text or "e" in text or "E" in text:
            return float(text)
        number = int(text)
        return number if -(1 << 63) <= number < 1 << 63 else text
    return text


def parse_xml(text: str) -> dict[str, object] | None:
    """XML as JSON: attributes become ``@name``, mixed text ``#text``; invalid XML gives null.

    Entities declared in the text are not resolved, so it can't grow while it is read.
    """
    raw = text.strip().encode("utf-8", "surrogatepass")
    if not raw or len(raw) > MAX_XML_BYTES:
        return None
    collected = _XmlToJson()
    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler = collected.start
    parser.EndElementHandler = collected.end
    parser.CharacterDataHandler = collected.text
    parser.EntityDeclHandler = _refuse_entities
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, ValueError):
        return None
    return collected.root


def _refuse_entities(*_declaration: object) -> None:
    raise ValueError("entity declarations are not read")
