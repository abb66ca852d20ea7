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
    r"""(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://
        (?:(?P<user>[^:/?\#@]*):(?P<password>[^/?\#@]*)@)?
        (?P<host>\[[^\]]*\]|[^:/?\#]*)
        (?::(?P<port>\d*))?
        (?P<path>/[^?\#]*)?
        (?:\?(?P<query>[^\#]*))?
        (?:\#(?P<fragment>.*))?""",
    re.VERBOSE | re.DOTALL,
)

_IDN_DOTS = re.compile("[.\u3002\uff0e\uff61]")


def parse_urlquery(query: str) -> dict[str, object]:
    """``{"Query Parameters": {name: value, ...}}`` of the part of a URL after its question mark."""
    return {"Query Parameters": _parameters(query)}


def _parameters(query: str) -> dict[str, object]:
    """The values by name, names in order: several of one name are an array, an empty one is none."""
    found: dict[str, list[str]] = {}
    for piece in query.split("&"):
        name, _, value = piece.partition("=")
        if name and value:
            found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in sorted(found.items())}


def parse_url(url: str) -> dict[str, object]:
    """The parts of an absolute URL; parts it lacks, and all those of what is no URL, are empty."""
    found = _URL.fullmatch(url)
    parts: Mapping[str, str] = found.groupdict("") if found else {}
    path = parts.get("path", "")
    return {
        "Scheme": parts.get("scheme", ""),
        "Host": parts.get("host", ""),
        "Port": parts.get("port", ""),
        # A slash that ends the URL is no path.
        "Path": "" if path == "/" and url.endswith("/") and "?" not in url and "#" not in url else path,
        "Username": parts.get("user", ""),
        "Password": parts.get("password", ""),
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
