"""Rows of IP addresses, URLs, domain names and what a User-Agent says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spark_kusto.kql.algorithms import ip, urls, user_agent
from spark_kusto.kql.registry import (
    BOOL,
    DYNAMIC,
    LONG,
    STRING,
    arrow_scalar,
    optional,
    parameter,
    python_scalar,
    repeated,
    scalar,
)

_NETWORKS = frozenset({STRING, DYNAMIC})
_ADDRESS = frozenset({STRING, LONG})


def _over_columns(name: str) -> Callable[..., Any]:
    """A function of ``ip_columns``, which needs NumPy and is loaded when first called."""

    def run(*columns: Any) -> Any:
        from spark_kusto.kql.algorithms import ip_columns

        return getattr(ip_columns, name)(*columns)

    return run


_PREFIX = optional(LONG, 32, "prefix")
arrow_scalar("ipv4_compare", [STRING, STRING, _PREFIX], LONG, _over_columns("compare"), nulls="maybe")
arrow_scalar("ipv4_is_match", [STRING, STRING, _PREFIX], BOOL, _over_columns("is_match"), nulls="maybe")
arrow_scalar("ipv4_is_in_range", [STRING, STRING], BOOL, _over_columns("is_in_range"), nulls="maybe")
arrow_scalar(
    "ipv4_is_in_any_range",
    [STRING, repeated(_NETWORKS, "range")],
    BOOL,
    _over_columns("is_in_any_range"),
    nulls="maybe",
)
arrow_scalar("ipv4_is_private", [STRING], BOOL, _over_columns("is_private"), nulls="maybe")
python_scalar("ipv4_netmask_suffix", [STRING], LONG, ip.ipv4_netmask_suffix)
python_scalar("ipv4_range_to_cidr_list", [STRING, STRING], DYNAMIC, ip.ipv4_range_to_cidr_list)
arrow_scalar("parse_ipv4", [STRING], LONG, _over_columns("parse"), nulls="maybe")
python_scalar("parse_ipv4_mask", [STRING, LONG], LONG, ip.parse_ipv4_mask)
python_scalar(
    "format_ipv4", [parameter(_ADDRESS, "ip"), optional(LONG, 32, "prefix")], STRING, ip.format_ipv4
)
python_scalar(
    "format_ipv4_mask",
    [parameter(_ADDRESS, "ip"), optional(LONG, 32, "prefix")],
    STRING,
    ip.format_ipv4_mask,
)
python_scalar("has_ipv4", [STRING, STRING], BOOL, ip.has_ipv4)
python_scalar("has_any_ipv4", [STRING, repeated(_NETWORKS, "ip")], BOOL, ip.has_any_ipv4)
python_scalar("has_ipv4_prefix", [STRING, STRING], BOOL, ip.has_ipv4_prefix)
python_scalar("has_any_ipv4_prefix", [STRING, repeated(_NETWORKS, "prefix")], BOOL, ip.has_any_ipv4_prefix)
python_scalar("ipv6_compare", [STRING, STRING, optional(LONG, 128, "prefix")], LONG, ip.ipv6_compare)
python_scalar("ipv6_is_match", [STRING, STRING, optional(LONG, 128, "prefix")], BOOL, ip.ipv6_is_match)
python_scalar("ipv6_is_in_range", [STRING, STRING], BOOL, ip.ipv6_is_in_range)
python_scalar("ipv6_is_in_any_range", [STRING, repeated(_NETWORKS, "range")], BOOL, ip.ipv6_is_in_any_range)
python_scalar("parse_ipv6", [STRING], STRING, ip.parse_ipv6)
python_scalar("parse_ipv6_mask", [STRING, LONG], STRING, ip.parse_ipv6_mask)

scalar(
    "geo_info_from_ip_address",
    [STRING],
    DYNAMIC,
    # The argument stays in the SQL, so that its own errors aren't lost.
    "CASE WHEN {0} IS NULL THEN NULL ELSE CAST(NULL AS VARCHAR) END",
    nulls="maybe",
    difference="Always null: the location database behind it is Microsoft's and can't be shipped.",
)

python_scalar("parse_url", [STRING], DYNAMIC, urls.parse_url, aliases=("parseurl",))
python_scalar("parse_urlquery", [STRING], DYNAMIC, urls.parse_urlquery, aliases=("parseurlquery",))
python_scalar("url_encode", [STRING], STRING, urls.url_encode)
python_scalar("url_encode_component", [STRING], STRING, urls.url_encode_component)
python_scalar("url_decode", [STRING], STRING, urls.url_decode)
python_scalar("punycode_from_string", [STRING], STRING, urls.punycode_from_string)
python_scalar("punycode_to_string", [STRING], STRING, urls.punycode_to_string)
python_scalar("punycode_domain_from_string", [STRING], STRING, urls.punycode_domain_from_string)
python_scalar("punycode_domain_to_string", [STRING], STRING, urls.punycode_domain_to_string)

python_scalar(
    "parse_user_agent",
    [STRING, optional(frozenset({STRING, DYNAMIC}), name="look_for")],
    DYNAMIC,
    user_agent.parse_user_agent,
    difference="Needs the extra `useragent`; the patterns are those of its version of uap-core.",
)
