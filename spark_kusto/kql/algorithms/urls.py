"""URLs and domain names: parse_url(), parse_urlquery(), url_encode() ..., punycode_*()."""

from __future__ import annotations

import re
from collections.abc import Mapping

# HttpUtility.UrlEncode, which Kusto runs on, leaves exactly these alone.
_UNESCAPED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!*()")
_PLUS = {byte: chr(byte) if byte in _UNESCAPED else f"%{byte:02x}" for byte in range(256)}
_PLUS[0x20] = "+"
_PERCENT = {**_PLUS, 0x20: "%20"}

_ESCAPE = re.compile(rb"%u([0-9A-Fa-f]{4})|%([0-9A-Fa-f]{2})|\+")
_PERCENT_ESCAPE = re.compile(rb"%u([0-9A-Fa-f]{4})|%([0-9A-Fa-f]{2})")

_URL = re.compile(
    r"""(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*):(?P<slashes>//)?)?
        (?P<rest>[^?\#]*)
        (?:\?(?P<query>[^\#]*))?
        (?:\#(?P<fragment>.*))?""",
    re.VERBOSE | re.DOTALL,
)
_AUTHORITY = re.compile(
    r"(?:(?P<user>[^:@]*)(?::(?P<password>[^@]*))?@)?(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d*))?",
    re.DOTALL,
)

_IDN_DOTS = re.compile("[.\u3002\uff0e\uff61]")


def parse_urlquery(query: str) -> dict[str, object]:
    """``{"Query Parameters": {name: value, ...}}`` of the part of a URL after its question mark."""
    return {"Query Parameters": _parameters(query)}


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in query.split("&"):
        if piece:
            name, _, value = piece.partition("=")
            found[name] = value
    return found


def parse_url(url: str) -> dict[str, object] | None:
    """The parts of an absolute URL; parts it lacks are empty strings, an empty text gives null."""
    if not url:
        return None
    found = _URL.fullmatch(url)
    parts: Mapping[str, str] = found.groupdict("") if found else {}
    scheme, path = parts.get("scheme", ""), parts.get("rest", "")
    authority: Mapping[str, str] = {}
    if parts.get("slashes"):
        name, slash, tail = path.partition("/")
        matched = _AUTHORITY.fullmatch(name)
        if matched is None:
            return None
        authority, path = matched.groupdict(""), slash + tail
    return {
        "Scheme": scheme,
        "Host": authority.get("host", ""),
        "Port": authority.get("port", ""),
        "Path": path,
        "Username": authority.get("user", ""),
        "Password": authority.get("password", ""),
        "Query Parameters": _parameters(parts.get("query", "")),
        "Fragment": parts.get("fragment", ""),
    }


def url_encode(text: str) -> str:
    """Percent-encoding with lower-case digits and ``+`` for a space."""
    return "".join([_PLUS[byte] for byte in text.encode("utf-8", "surrogatepass")])


def url_encode_component(text: str) -> str:
    """Percent-encoding with lower-case digits and ``%20`` for a space."""
    return "".join([_PERCENT[byte] for byte in text.encode("utf-8", "surrogatepass")])


def _unescape(found: re.Match[bytes]) -> bytes:
    wide, byte = found.group(1), found.group(2)
    if wide is not None:
        return chr(int(wide, 16)).encode("utf-8", "surrogatepass")
    if byte is not None:
        return bytes((int(byte, 16),))
    return b" "


def url_decode(text: str) -> str:
    """The text with ``%XX`` and ``%uXXXX`` resolved and ``+`` as a space; what is no UTF-8 is replaced."""
    raw = text.encode("utf-8", "surrogatepass")
    return _ESCAPE.sub(_unescape, raw).decode("utf-8", "replace")


def punycode_from_string(text: str) -> str:
    """Punycode (RFC 3492) of the text, without the ``xn--`` of domain names."""
    if text.isascii():
        return text
    return text.encode("punycode").decode("ascii")


def punycode_to_string(text: str) -> str:
    """The text of which ``text`` is the Punycode; empty where it is none."""
    try:
        return text.encode("ascii").decode("punycode")
    except (UnicodeError, ValueError):
        return ""


def punycode_domain_to_string(domain: str) -> str:
    """A domain name with its non-ASCII labels in ``xn--`` form; letters keep their case."""
    return ".".join(
        label if label.isascii() else "xn--" + punycode_from_string(label)
        for label in _IDN_DOTS.split(domain)
    )


def punycode_domain_from_string(domain: str) -> str:
    """A domain name with its ``xn--`` labels decoded; empty where one cannot be."""
    labels = []
    for label in domain.split("."):
        if label[:4].lower() == "xn--":
            decoded = punycode_to_string(label[4:])
            if not decoded:
                return ""
            labels.append(decoded)
        else:
            labels.append(label)
    return ".".join(labels)
