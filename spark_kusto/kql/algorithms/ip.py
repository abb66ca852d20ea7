"""IPv4 and IPv6 addresses in Kusto's notation: an address, optionally with ``/prefix``.

Pages "ipv4_compare()", "parse_ipv4()", "ipv6_compare()", "has_ipv4()" ... of the Kusto
documentation. Addresses are plain integers here; parsing is cached, because columns of addresses
repeat themselves.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from functools import lru_cache

_ALL_V4 = 0xFFFFFFFF
_ALL_V6 = (1 << 128) - 1
_V4_IN_V6 = 0xFFFF << 32

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_V4 = re.compile(rf"\s*({_OCTET})\.({_OCTET})\.({_OCTET})\.({_OCTET})(?:/(\d{{1,3}}))?\s*", re.ASCII)
_V4_IN_TEXT = re.compile(rf"(?<![0-9A-Za-z]){_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}(?![0-9A-Za-z])", re.ASCII)
_V4_PREFIX = re.compile(rf"(?:{_OCTET}\.){{1,3}}", re.ASCII)
_V4_EXACT = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
_V4_SUFFIX = re.compile(r"::(?:[fF]{4}:)?(\d+\.\d+\.\d+\.\d+)", re.ASCII)

PRIVATE = ((0x0A000000, 8), (0xAC100000, 12), (0xC0A80000, 16))
"""The private networks: address and prefix."""


@lru_cache(maxsize=1 << 16)
def split_ipv4(text: str) -> tuple[int, int] | None:
    """The address as an integer and its prefix (32 when none is written); ``None`` if it is neither."""
    found = _V4.fullmatch(text)
    if found is None:
        return None
    a, b, c, d, suffix = found.groups()
    prefix = 32 if suffix is None else int(suffix)
    if prefix > 32:
        return None
    return (int(a) << 24) | (int(b) << 16) | (int(c) << 8) | int(d), prefix


@lru_cache(maxsize=1 << 16)
def split_ipv6(text: str) -> tuple[int, int] | None:
    """The address as a 128-bit integer and its prefix; IPv4 comes as ``::ffff:a.b.c.d``, prefix + 96."""
    four = split_ipv4(text)
    if four is not None:
        return _V4_IN_V6 | four[0], four[1] + 96
    base, slash, suffix = text.strip().partition("/")
    # The name of an interface, as in fe80::1%eth0, is left out.
    base = base.partition("%")[0]
    prefix = 128
    embedded = _V4_SUFFIX.fullmatch(base)
    if embedded is not None and split_ipv4(embedded.group(1)) is not None:
        # Dotted notation means the IPv4 address, and its prefix counts IPv4 bits ("parse_ipv6_mask()").
        return split_ipv6(f"{embedded.group(1)}{slash}{suffix}")
    if slash:
        if not suffix.isascii() or not suffix.isdigit() or int(suffix) > 128:
            return None
        prefix = int(suffix)
    if ":" not in base:
        return None
    try:
        packed = socket.inet_pton(socket.AF_INET6, base)
    except (OSError, ValueError):
        return None
    return int.from_bytes(packed, "big"), prefix


def _mask_v4(prefix: int) -> int:
    return _ALL_V4 & ~(_ALL_V4 >> prefix) if prefix < 32 else _ALL_V4


def _mask_v6(prefix: int) -> int:
    return _ALL_V6 & ~(_ALL_V6 >> prefix) if prefix < 128 else _ALL_V6


def _dotted(address: int) -> str:
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def _sign(left: int, right: int) -> int:
    return (left > right) - (left < right)


def ipv4_compare(left: str, right: str, prefix: int | None = 32) -> int | None:
    """0, 1 or -1 under the shortest of the three prefixes; ``None`` where one is no address."""
    a, b = split_ipv4(left), split_ipv4(right)
    if a is None or b is None or prefix is None or not 0 <= prefix <= 32:
        return None
    mask = _mask_v4(min(a[1], b[1], prefix))
    return _sign(a[0] & mask, b[0] & mask)


def ipv4_is_match(left: str, right: str, prefix: int | None = 32) -> bool | None:
    """Whether :func:`ipv4_compare` gives 0."""
    order = ipv4_compare(left, right, prefix)
    return None if order is None else order == 0


def ipv4_is_in_range(address: str, network: str) -> bool | None:
    """Whether the address lies in the network (a bare address is a network of one)."""
    a, b = split_ipv4(address), split_ipv4(network)
    if a is None or b is None:
        return None
    mask = _mask_v4(min(a[1], b[1]))
    return a[0] & mask == b[0] & mask


def _texts(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _texts(value)
        elif isinstance(value, str):
            yield value


def ipv4_is_in_any_range(address: str, *networks: object) -> bool | None:
    """Whether the address lies in one of the networks, given one by one or as arrays."""
    if split_ipv4(address) is None:
        return None
    answer: bool | None = None
    for network in _texts(networks):
        inside = ipv4_is_in_range(address, network)
        if inside:
            return True
        if inside is False:
            answer = False
    return answer


def ipv4_is_private(address: str) -> bool | None:
    """Whether the address, or its network, belongs to 10/8, 172.16/12 or 192.168/16."""
    found = split_ipv4(address)
    if found is None:
        return None
    base = found[0] & _mask_v4(found[1])
    return any(base & _mask_v4(bits) == network for network, bits in PRIVATE)


def ipv4_netmask_suffix(address: str) -> int | None:
    """The prefix length written after the address; 32 when there is none."""
    found = split_ipv4(address)
    return None if found is None else found[1]


def parse_ipv4(address: str) -> int | None:
    """The address as a long, its own prefix applied."""
    found = split_ipv4(address)
    return None if found is None else found[0] & _mask_v4(found[1])


def parse_ipv4_mask(address: str, prefix: int | None) -> int | None:
    """The address as a long under the shorter of its own prefix and ``prefix``."""
    found = split_ipv4(address)
    if found is None or prefix is None or not 0 <= prefix <= 32:
        return None
    return found[0] & _mask_v4(min(found[1], prefix))


def _network(address: object, prefix: int | None) -> tuple[int, int] | None:
    if prefix is None or not 0 <= prefix <= 32:
        return None
    if isinstance(address, str):
        found = split_ipv4(address)
        if found is None:
            return None
        base, bits = found[0], min(found[1], prefix)
    elif isinstance(address, int) and not isinstance(address, bool) and 0 <= address <= _ALL_V4:
        base, bits = address, prefix
    else:
        return None
    return base & _mask_v4(bits), bits


def format_ipv4(address: object, prefix: int | None = 32) -> str:
    """Dotted text of an address (text or long) under ``prefix``; empty where it cannot be had."""
    found = _network(address, prefix)
    return "" if found is None else _dotted(found[0])


def format_ipv4_mask(address: object, prefix: int | None = 32) -> str:
    """As :func:`format_ipv4`, followed by ``/`` and the prefix that was applied."""
    found = _network(address, prefix)
    return "" if found is None else f"{_dotted(found[0])}/{found[1]}"


def ipv4_range_to_cidr_list(start: str, end: str) -> list[str] | None:
    """The fewest networks that together cover the addresses from ``start`` to ``end``."""
    a, b = split_ipv4(start), split_ipv4(end)
    if a is None or b is None:
        return None
    low, high = a[0], b[0]
    networks: list[str] = []
    while low <= high:
        # The largest block that starts here: bounded by the alignment of `low` and by what is left.
        bits = min((low & -low).bit_length() - 1 if low else 32, (high - low + 1).bit_length() - 1)
        networks.append(f"{_dotted(low)}/{32 - bits}")
        low += 1 << bits
    return networks


def has_ipv4(text: str, address: str) -> bool:
    """Whether the address stands in the text, delimited by characters that are not alphanumeric."""
    return has_any_ipv4(text, address)


def has_any_ipv4(text: str, *addresses: object) -> bool:
    """Whether one of the addresses stands in the text."""
    wanted = {found[0] for item in _texts(addresses) if (found := _plain_v4(item)) is not None}
    if not wanted:
        return False
    return any(_address_of(m.group()) in wanted for m in _V4_IN_TEXT.finditer(text))


def has_ipv4_prefix(text: str, prefix: str) -> bool:
    """Whether an address in the text starts with ``prefix``: whole octets and a dot, or an address."""
    return has_any_ipv4_prefix(text, prefix)


def has_any_ipv4_prefix(text: str, *prefixes: object) -> bool:
    """Whether an address in the text starts with one of the prefixes."""
    wanted = tuple(p for p in _texts(prefixes) if _V4_PREFIX.fullmatch(p) or _V4_EXACT.fullmatch(p))
    if not wanted:
        return False
    dotted = tuple(p for p in wanted if p.endswith("."))
    whole = {p for p in wanted if not p.endswith(".")}
    return any(m.group().startswith(dotted) or m.group() in whole for m in _V4_IN_TEXT.finditer(text))


def _plain_v4(text: str) -> tuple[int, int] | None:
    return split_ipv4(text) if _V4_EXACT.fullmatch(text) else None


def _address_of(text: str) -> int:
    found = split_ipv4(text)
    return -1 if found is None else found[0]


def ipv6_compare(left: str, right: str, prefix: int | None = 128) -> int | None:
    """As :func:`ipv4_compare`, for IPv6 and IPv4 mixed; prefixes count IPv6 bits."""
    a, b = split_ipv6(left), split_ipv6(right)
    if a is None or b is None or prefix is None or not 0 <= prefix <= 128:
        return None
    mask = _mask_v6(min(a[1], b[1], prefix))
    return _sign(a[0] & mask, b[0] & mask)


def ipv6_is_match(left: str, right: str, prefix: int | None = 128) -> bool | None:
    """Whether :func:`ipv6_compare` gives 0."""
    order = ipv6_compare(left, right, prefix)
    return None if order is None else order == 0


def ipv6_is_in_range(address: str, network: str) -> bool | None:
    """Whether the address lies in the network."""
    a, b = split_ipv6(address), split_ipv6(network)
    if a is None or b is None:
        return None
    mask = _mask_v6(min(a[1], b[1]))
    return a[0] & mask == b[0] & mask


def ipv6_is_in_any_range(address: str, *networks: object) -> bool | None:
    """Whether the address lies in one of the networks, given one by one or as arrays."""
    if split_ipv6(address) is None:
        return None
    answer: bool | None = None
    for network in _texts(networks):
        inside = ipv6_is_in_range(address, network)
        if inside:
            return True
        if inside is False:
            answer = False
    return answer


def parse_ipv6(address: str) -> str:
    """The canonical eight groups of four hexadecimal digits, own prefix applied; empty if no address."""
    return parse_ipv6_mask(address, 128)


def parse_ipv6_mask(address: str, prefix: int | None) -> str:
    """As :func:`parse_ipv6`, under the shorter of the address's own prefix and ``prefix``."""
    found = split_ipv6(address)
    if found is None or prefix is None or not 0 <= prefix <= 128:
        return ""
    digits = f"{found[0] & _mask_v6(min(found[1], prefix)):032x}"
    return ":".join(digits[i : i + 4] for i in range(0, 32, 4))
