"""Addresses, URLs, encodings, parsed texts, units: values are those the Kusto documentation prints."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_kusto.errors import UnsupportedError
from spark_kusto.kql.algorithms import (
    distributions,
    encodings,
    extras,
    formats,
    hashing,
    ip,
    jsonpath,
    parsing,
    timezones,
    units,
    urls,
    user_agent,
)


@pytest.mark.parametrize(
    ("left", "right", "prefix", "order"),
    [
        ("192.168.1.0", "192.168.1.0", 32, 0),
        ("192.168.1.1/24", "192.168.1.255", 32, 0),
        ("192.168.1.1", "192.168.1.0", 31, 0),
        ("192.168.1.1", "192.168.1.0", 32, 1),
        ("10.0.0.1", "11.0.0.1", 32, -1),
        ("192.168.1", "192.168.1.0", 32, None),
        ("192.168.1.1/33", "192.168.1.0", 32, None),
    ],
)
def test_ipv4_compare(left: str, right: str, prefix: int, order: int | None) -> None:
    assert ip.ipv4_compare(left, right, prefix) == order


@pytest.mark.parametrize(
    ("left", "right", "prefix", "order"),
    [
        ("fe80::85d:e82c:9446:7994/127", "fe80::85d:e82c:9446:7998", 120, 0),
        ("192.168.1.1/24", "::ffff:c0a8:01ff", 127, 0),
        ("::192.168.1.1/30", "192.168.1.255/24", 127, 0),
        ("192.168.1.1", "fe80::1", 128, -1),
        ("fe80::x", "fe80::1", 128, None),
    ],
)
def test_ipv6_compare(left: str, right: str, prefix: int, order: int | None) -> None:
    assert ip.ipv6_compare(left, right, prefix) == order


def test_dotted_notation_within_ipv6_is_the_ipv4_address() -> None:
    assert ip.parse_ipv6_mask("::192.168.255.255/24", 128) == "0000:0000:0000:0000:0000:ffff:c0a8:ff00"


def test_ranges() -> None:
    assert ip.ipv4_is_in_any_range("192.168.1.6", "192.168.1.1/24", ["10.0.0.1/8"]) is True
    assert ip.ipv4_is_in_any_range("1.1.1.1", ["10.0.0.1/8", "127.0.0.1/8"]) is False
    assert ip.ipv4_is_private("192.168.1.1/24") is True
    assert ip.ipv4_is_private("127.0.0.1") is False
    assert ip.ipv4_range_to_cidr_list("1.1.128.0", "1.1.140.255") == [
        "1.1.128.0/21",
        "1.1.136.0/22",
        "1.1.140.0/24",
    ]
    assert ip.ipv4_range_to_cidr_list("0.0.0.0", "255.255.255.255") == ["0.0.0.0/0"]


def test_addresses_in_text_are_delimited() -> None:
    assert ip.has_any_ipv4("05:04:54 127.0.0.1 GET", "127.0.0.1", "1.1.1.1")
    assert not ip.has_any_ipv4("05:04:54127.0.0.1 GET", ["127.0.0.1"])
    assert not ip.has_ipv4("05:04:54 127.0.0.256 GET", "127.0.0.256")
    assert ip.has_ipv4_prefix("05:04:54 127.0.0.1 GET", "127.0.")
    assert not ip.has_ipv4_prefix("05:04:54 127.0.0.1 GET", "127.0")


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_cidr_lists_cover_exactly(low: int, high: int) -> None:
    low, high = sorted((low, high))
    networks = ip.ipv4_range_to_cidr_list(ip.format_ipv4(low), ip.format_ipv4(high)) or []
    at = low
    for network in networks:
        base = ip.parse_ipv4(network)
        assert base == at
        at += 1 << (32 - (ip.ipv4_netmask_suffix(network) or 0))
    assert at == high + 1


def test_urls() -> None:
    parts = urls.parse_url("scheme://username:password@host:1234/this/is/a/path?k1=v1&k2=v2#fragment")
    assert parts == {
        "Scheme": "scheme",
        "Host": "host",
        "Port": "1234",
        "Path": "/this/is/a/path",
        "Username": "username",
        "Password": "password",
        "Query Parameters": {"k1": "v1", "k2": "v2"},
        "Fragment": "fragment",
    }
    assert urls.url_encode("https://www.bing.com/hello world") == "https%3a%2f%2fwww.bing.com%2fhello+world"
    assert urls.url_encode_component("a b/") == "a%20b%2f"
    assert urls.url_decode("a%20b+c%c3%a9%u00e9") == "a b céé"


@given(st.text())
def test_url_encoding_comes_back(text: str) -> None:
    assert urls.url_decode(urls.url_encode(text)) == text


def test_punycode() -> None:
    assert urls.punycode_domain_to_string("Lê Lợi。Thuận Thiên。com") == (
        "xn--L Li-gpa4517b.xn--Thun Thin-s4a7194f.com"
    )
    assert urls.punycode_domain_from_string("xn--Ge-mia.Bulg.edu") == "Gáe.Bulg.edu"
    assert urls.punycode_from_string("艺术") == "cqv902d"


def test_user_agents() -> None:
    text = "Mozilla/5.0 (Windows; U; en-US) AppleWebKit/531.9 (KHTML, like Gecko) AdobeAIR/2.5.1"
    assert user_agent.parse_user_agent(text, "browser") == {
        "Browser": {"Family": "AdobeAIR", "MajorVersion": "2", "MinorVersion": "5", "Patch": "1"}
    }


def test_a_missing_library_names_its_extra() -> None:
    with pytest.raises(UnsupportedError, match=r"spark-kusto\[geo\]"):
        extras.require("no_such_library_at_all", "geo", "geo_x()")


def test_parsed_texts() -> None:
    assert parsing.parse_csv('aa,"b,b",c,"say ""x""","l1\nl2"') == ["aa", "b,b", "c", 'say "x"', "l1\nl2"]
    assert parsing.parse_csv("record1,a\nrecord2,x") == ["record1", "a"]
    assert parsing.parse_command_line('echo "hello world!"') == ["echo", "hello world!"]
    assert parsing.parse_command_line(r'"C:\a b\x.exe" \"q\" "a\\" b\\c') == [
        r"C:\a b\x.exe",
        '"q"',
        "a\\",
        r"b\\c",
    ]
    path = parsing.parse_path("file://C:/temp/file.txt:some.exe")
    assert path is not None
    assert (path["Scheme"], path["RootPath"], path["DirectoryPath"]) == ("file", "C:/", "C:/temp")
    assert (path["Filename"], path["Extension"]) == ("file.txt", "txt")
    assert path["AlternateDataStreamName"] == "some.exe"
    assert parsing.parse_version("1.2.3.4") == Decimal("1000000020000000300000004")
    assert parsing.parse_version("1.2.3.4.5") is None


def test_xml() -> None:
    assert parsing.parse_xml('<e a="v"> text <a>1.5</a><a/><b>t</b></e>') == {
        "e": {"@a": "v", "a": [1.5, None], "b": "t", "#text": "text"}
    }
    assert parsing.parse_xml("<e>") is None
    assert parsing.parse_xml('<!DOCTYPE e [<!ENTITY x "y">]><e>&x;</e>') is None
    assert parsing.parse_xml("<a>" * 5000 + "</a>" * 5000) is None


def test_encodings() -> None:
    assert encodings.base64_decode_tostring("S3VzdG8=") == "Kusto"
    assert encodings.base64_decode_tostring("abc") == ""
    assert encodings.base64_decode_toguid("abcd1231") is None
    guid = uuid.UUID("ae3133f2-6e22-49ae-b06a-16e6a9b212eb")
    assert encodings.base64_encode_fromguid(guid) == "8jMxriJurkmwahbmqbIS6w=="
    assert encodings.gzip_compress_to_base64_string("1234567890qwertyuiop") == (
        "H4sIAAAAAAAA/wEUAOv/MTIzNDU2Nzg5MHF3ZXJ0eXVpb3A6m7f2FAAAAA=="
    )
    assert (
        encodings.zlib_decompress_from_base64_string("eJwLSS0uUSguKcrMS1cwNDIGACxqBQ4=") == "Test string 123"
    )
    assert encodings.unicode_codepoints_to_string([75, 117, 115], 116, 111) == "Kusto"


@given(st.text())
def test_compression_comes_back(text: str) -> None:
    assert (
        encodings.gzip_decompress_from_base64_string(encodings.gzip_compress_to_base64_string(text)) == text
    )
    assert (
        encodings.zlib_decompress_from_base64_string(encodings.zlib_compress_to_base64_string(text)) == text
    )


def test_hashes() -> None:
    assert hashing.xxhash64(b"World") == 1846988464401551951
    assert hashing.xxhash64(b"Hello") == 753694413698530628
    ticks = (dt.datetime(2015, 1, 1) - dt.datetime(1, 1, 1)).days * 864_000_000_000
    assert hashing.xxhash64_words(np.array([ticks]))[0] == 1380966698541616202
    # Published test vectors of the algorithm: empty input, and one longer than a stripe.
    assert hashing.xxhash64(b"") & (2**64 - 1) == 0xEF46DB3751D8E999
    text = b"Call me Ishmael. Some years ago--never mind how long precisely-"
    assert hashing.xxhash64(text) & (2**64 - 1) == 0x02A2E85470D6FD96


def test_json_paths() -> None:
    steps = jsonpath.parse("$.a['b c'][1]")
    assert steps == ("a", "b c", 1)
    assert jsonpath.find({"a": {"b c": [1, 2]}}, steps) == 2
    assert jsonpath.parse("$.a[*]") is None
    assert jsonpath.without({"a": {"b": 1, "c": 2}}, ("a", "b")) == {"a": {"c": 2}}
    assert jsonpath.tree_paths({"p": [1, 2], "q": "v"}) == ["['p']", "['p'][0]", "['q']"]


def test_local_time_around_a_change() -> None:
    local = [dt.datetime(2022, 3, 27, hour) for hour in (1, 2, 3, 4)]
    utc = [timezones.local_to_utc(moment, "Europe/Brussels") for moment in local]
    assert [moment and moment.hour for moment in utc] == [0, 0, 1, 2]
    back = [timezones.utc_to_local(moment, "Europe/Brussels") for moment in utc]
    assert [moment and moment.hour for moment in back] == [1, 1, 3, 4]
    assert timezones.utc_to_local(local[0], "No/Where") is None


def test_formats() -> None:
    sizes = [
        formats.format_bytes(564),
        formats.format_bytes(10332, 1),
        formats.format_bytes(20010332, 0, "KB"),
    ]
    assert sizes == ["564 Bytes", "10.1 KB", "19541 KB"]
    moment = dt.datetime(2017, 1, 29, 9, 0, 5)
    for pattern, text in [
        ("yy-MM-dd [HH:mm:ss]", "17-01-29 [09:00:05]"),
        ("yyyy-M-dd [H:mm:ss]", "2017-1-29 [9:00:05]"),
        ("yy-MM-dd [hh:mm:ss tt]", "17-01-29 [09:00:05 AM]"),
    ]:
        assert formats.format_datetime(moment, pattern) == text
    span = ((29 * 24 + 9) * 3600 + 5) * 10_000_000 + 1_234_500
    assert formats.format_timespan(span, "dd.hh:mm:ss:FF") == "29.09:00:05:12"
    assert formats.format_timespan(span, "ddd.h:mm:ss [fffffff]") == "029.9:00:05 [1234500]"


def test_units() -> None:
    for quantity, source, target, answer in [
        ("angle", "Degree", "Arcminute", 72),
        ("energy", "Joule", "BritishThermalUnit", 0.00113738054437598),
        ("force", "Newton", "Decanewton", 0.12),
        ("length", "Meter", "Foot", 3.93700787401575),
        ("mass", "Kilogram", "Pound", 2.64554714621853),
        ("speed", "MeterPerSecond", "CentimeterPerHour", 432000),
        ("temperature", "Kelvin", "DegreeCelsius", -271.95),
        ("volume", "CubicMeter", "AcreFoot", 0.0009728568),
    ]:
        assert units.convert(quantity, 1.2, source, target) == pytest.approx(answer, rel=1e-12)
        assert units.convert(quantity, 1.2, source, "NoUnit") is None


@pytest.mark.parametrize("quantity", units.QUANTITIES)
def test_every_unit_converts_back(quantity: str) -> None:
    names = sorted(units.unit_names(quantity))
    for name in names:
        there = units.convert(quantity, 0.5, names[0], name)
        assert there is not None
        assert units.convert(quantity, there, name, names[0]) == pytest.approx(0.5, rel=1e-9)


def test_distributions() -> None:
    assert distributions.beta_cdf(0.9, 10, 20) == pytest.approx(0.999999999999959)
    assert distributions.beta_inv(0.1, 10, 20) == pytest.approx(0.226415022388749)
    assert distributions.beta_pdf(0.5, 10, 20) == pytest.approx(0.746176019310951)
    assert distributions.beta_inv(1.5, 10, 20) is None
    assert distributions.beta_cdf(0.1, -1, 20) == 1
    for odd in (math.inf, -math.inf, math.nan, 1e308, -1e308, 5e-324, 0.0):
        for function in (distributions.beta_cdf, distributions.beta_pdf, distributions.beta_inv):
            function(0.5, odd, 2.0)
            function(0.5, 2.0, odd)
        distributions.welch_test(odd, odd, 3.0, 1.0, 1.0, 3.0)
    assert distributions.gamma(-math.inf) is None
    assert distributions.loggamma(math.inf) == math.inf
    assert math.isnan(distributions.beta_pdf(0.1, -1, 20) or 0)
    assert distributions.gamma(5) == 24
    assert distributions.loggamma(5) == pytest.approx(3.1780538303479458)
    p = distributions.welch_test(20.82, 7.8674285714, 15, 22.9866666667, 3.8126666667, 15)
    assert p == pytest.approx(0.0213780014)


@given(st.floats(0.001, 0.999), st.floats(0.2, 50), st.floats(0.2, 50))
def test_beta_inverse(p: float, a: float, b: float) -> None:
    x = distributions.beta_inv(p, a, b)
    assert x is not None
    assert distributions.beta_cdf(x, a, b) == pytest.approx(p, abs=1e-6)
