"""A host has one name, however a log writes it."""

from __future__ import annotations

import json
import re
from unicodedata import normalize
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.host_name import host_name
from fleet_health.parsing.index_row import IndexParser
from fleet_health.parsing.logged_name import kept_name, logged_name, pattern_for
from tests.rig.properties import tried

PROPERTY = tried(300)
NAMES = st.text(st.sampled_from("aZ0-.%~_+ \\\"'/:éü€𝄞$`\n"), min_size=1, max_size=12)


def named(line: str) -> str:
    """Return the name that stands between `<` and `>` in a line."""
    begin = line.index("<")
    line = line.replace("<", "", 1)
    end = line.index(">")
    return logged_name(line[:end] + line[end + 1 :], begin, end)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        pytest.param('"PUT /v1/<b%C3%BCro>/e HTTP/1.1" 201', "büro", id="a path"),
        pytest.param('"PUT /v1/<b%c3%bcro>/e HTTP/1.1" 201', "büro", id="small hex digits"),
        pytest.param('"PUT /v1/<büro>/e HTTP/1.1" 201', "büro", id="a path that the server has decoded"),
        pytest.param('"PUT /v1/<aa%3Abb>/e HTTP/1.1" 201', "aa:bb", id="a plain character that the server encodes"),
        pytest.param('"PUT http://r/v1/<a%20b>/e HTTP/1.1" 201', "a b", id="a whole URL"),
        pytest.param('"PUT /v1/<b%25C3%25BCro>/e HTTP/1.1" 201', "b%C3%BCro", id="encoded twice, undone once"),
        pytest.param('"PUT /v1/<%2576ictim>/e HTTP/1.1" 201', "%76ictim", id="an encoded escape of another name"),
        pytest.param('"PUT /v1/<50%>/e HTTP/1.1" 201', "50%", id="a percent sign that escapes nothing"),
        pytest.param('"PUT /v1/<a%2Fvictim>/e HTTP/1.1" 201', "a/victim", id="an encoded slash"),
        pytest.param('"PUT /v1/<a%0Ab%00>/e HTTP/1.1" 201', "a\nb\0", id="control characters"),
        pytest.param('"PUT /v1/<b%FCro>/e HTTP/1.1" 201', "b\ufffdro", id="octets that are not UTF-8"),
        pytest.param('"PUT /v1/<bu%CC%88ro>/e HTTP/1.1" 201', "bu\u0308ro", id="another normal form, another name"),
        pytest.param('"PUT /v1/<a+b>/e HTTP/1.1" 201', "a+b", id="a plus sign in a path"),
        pytest.param('"PUT /v1?host=<a+b%C3%BC>&e=1 HTTP/1.1" 201', "a bü", id="a query"),
        pytest.param('"PUT /v1?e=1&host=<a%2Bb> HTTP/1.1" 201', "a+b", id="a plus sign in a query"),
        pytest.param('"PUT" "/v1" "host=<a+b>&e=1" 201', "a b", id="a query in a field of its own"),
        pytest.param("method=PUT path=/v1/<b%C3%BCro>/e status=201", "büro", id="a path behind its key"),
        pytest.param("WARNING: missing stamp host=<50%25>, refused", "50%25", id="the application's own word"),
        pytest.param("upload of <a+b\\x41%20> refused", "a+b\\x41%20", id="its own word in a sentence"),
        pytest.param('"PUT /v1/<b\\xC3\\xBCro>/e HTTP/1.1" 201', "büro", id="octets that nginx escapes"),
        pytest.param('"PUT /v1/<b\\xfcro>/e HTTP/1.1" 201', "b\ufffdro", id="such octets that are not UTF-8"),
        pytest.param('{"uri":"/v1/<b%C3%BCro>/e"}', "büro", id="a path in JSON"),
        pytest.param('{"uri":"/v1/<b\\u00fcro>/e"}', "büro", id="a path that JSON escapes"),
        pytest.param('{"host":"<b\\u00fcro>"}', "büro", id="a name that JSON escapes"),
        pytest.param('{"host":"<50%25+>"}', "50%25+", id="a name in JSON that is no part of a URL"),
        pytest.param('{"host":"<a\\xC3>"}', "a\\xC3", id="what is no JSON"),
    ],
)
def test_a_name_is_without_the_encodings_of_its_line(line: str, name: str) -> None:
    """Each encoding is undone once, and percent-encoding only in a URL."""
    assert named(line) == name


@PROPERTY
@given(name=NAMES)
def test_what_is_encoded_is_undone_and_found(name: str) -> None:
    """In a path, in JSON or plain, in NFC or NFD; the pattern is printable ASCII."""
    pattern = pattern_for(normalize("NFC", name))
    assert pattern.isascii()
    assert pattern.isprintable()
    for form in (normalize("NFC", name), normalize("NFD", name)):
        for written in (quote(form, safe=""), quote(form), json.dumps(form)[1:-1], form):
            octets = written.encode()
            assert re.search(pattern.encode(), b"<" + octets + b">"), written
    encoded = quote(name, safe="")
    assert logged_name(f"/v1/{encoded}/e", 4, 4 + len(encoded)) == name


@pytest.mark.parametrize("octet", [0x80, 0xA0, 0xFF])
def test_an_octet_that_is_no_text_is_found(octet: int) -> None:
    """Each byte of a name that is not UTF-8, plain or escaped."""
    pattern = pattern_for(bytes([octet]).decode("utf-8", "surrogateescape")).encode()

    for written in (bytes([octet]), b"%%%02X" % octet, b"\\x%02x" % octet):
        assert re.fullmatch(pattern, written), written


@PROPERTY
@given(line=st.text(), begin=st.integers(0, 20), length=st.integers(0, 20))
def test_no_line_makes_it_raise(line: str, begin: int, length: int) -> None:
    """Whatever a client writes."""
    logged_name(line, begin, begin + length)


@pytest.mark.parametrize(
    ("kept", "name"),
    [
        pytest.param("b%C3%BCro", "büro", id="what must be encoded"),
        pytest.param("b%c3%bcro", "büro", id="in either case"),
        pytest.param("aa%3Abb", "aa:bb", id="what some encode and others do not"),
        pytest.param("büro", "büro", id="a name without encoding"),
        pytest.param("%76", "%76", id="no other way to write v"),
        pytest.param("b%C3%BCr%6F", "b%C3%BCr%6F", id="nor where another octet must be"),
        pytest.param("50%25", "50%25", id="a name with a percent sign of its own"),
        pytest.param("50%", "50%", id="which is no encoding"),
        pytest.param("b%C3%BC ro", "b%C3%BC ro", id="what stands in no path"),
        pytest.param("%C3", "%C3", id="octets that are not UTF-8"),
    ],
)
def test_a_name_that_a_receiver_keeps_is_undone_if_it_can_be_nothing_else(kept: str, name: str) -> None:
    """In a row of the index, and in a message outside of a URL."""
    line = f"WARNING host={kept}"
    row = f'{{"host_id": "{kept}", "received_at_wall": "2026-11-23T18:55:00+00:00"}}\n'.encode()
    parser = IndexParser(host_field="host_id", time_field="received_at_wall")
    rows = [parse[0] for parse in (parser.parse_latest(row, 1 << 60), parser.parse_block(row), parser.parse_every(row))]

    assert logged_name(line, len("WARNING host="), len(line)) == name
    assert {upload.host for uploads in rows for upload in uploads} == {host_name(name)}


def test_every_encoding_of_a_name_is_undone() -> None:
    """Whether a server encodes only what it must, or everything."""
    for code in (*range(0x21, 0x7F), 0xFC, 0x20AC, 0x1F600):
        name = f"a{chr(code)}b"
        for safe in ("", "!$&'()*+,;=:@"):
            encoded = quote(name, safe=safe)
            assert kept_name(encoded) == (encoded if "%" in name else name)
