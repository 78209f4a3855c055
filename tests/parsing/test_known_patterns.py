"""The patterns that are suggested: each reads its format, and no client can forge a line of another host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fleet_health.config import receiver_patterns
from fleet_health.model.observation import Response
from fleet_health.parsing.access_formats import FORMATS, AccessFormat, Request
from fleet_health.parsing.forgery import forgeries
from fleet_health.parsing.known_patterns import DEFAULT_WORDS, known_patterns, reason_against, suggested, upload_request
from fleet_health.parsing.pattern_sample import literals_of, upload_words
from fleet_health.parsing.receiver_log import LogParser

RECIPES = Path(__file__).parents[2] / "packaging/doc/another-receiver.md"
DEFAULT = re.compile(receiver_patterns.RESPONSE)
COLOURED = (
    '\x1b[32mINFO\x1b[0m:     {client} - "\x1b[1m{method} {path} HTTP/1.1\x1b[0m" \x1b[3{colour}m{status} OK\x1b[0m'
)
JSON = '{{"at": "10:00", "status_code": {status}, "method": "{method}", "path": "{path}", "agent": "a \\" b"}}'


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("words", [DEFAULT_WORDS, ("POST", "/up/v2.0/")], ids=["as usual", "of another receiver"])
def test_a_pattern_is_suggested_for_each_known_format(form: AccessFormat, words: tuple[str, str]) -> None:
    """For any method and path, it counts the upload, and no request of another kind."""
    method, path = words
    known = suggested(form.write(Request(f"{path}pi-1/e1", method=method, status=412)), words)
    assert known is not None
    parser = LogParser(re.compile(known.pattern), None, None)

    upload = form.write(Request(f"{path}pi-1/e1", method=method, status=201)).encode()
    others = (Request(f"{path}pi-1/e1", method="GET"), Request("/health", method=method))

    assert parser.parse(upload, 7)[0] == [Response("pi-1", 7, 201)]
    assert [parser.parse(form.write(one).encode(), 7)[0] for one in others] == [[], []]


@pytest.mark.parametrize("known", known_patterns(*DEFAULT_WORDS), ids=lambda known: known.format)
def test_what_is_suggested_cannot_be_forged_or_says_so(known: object) -> None:
    """If a client can insert a line break, no pattern helps, and the note says so."""
    assert (forgeries(re.compile(known.pattern), None, None) == []) or "line break" in known.note  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("line", "form"),
    [
        (
            COLOURED.format(client="10.0.0.7:1", method="PUT", path="/v1/episodes/a/e", status=412, colour=1),
            "uvicorn, c",
        ),
        (JSON.format(method="PUT", path="/v1/episodes/a/e", status=412), "JSON"),
        ('{"status":"412","verb":"PUT","url":"/v1/episodes/a/e?x=1"}', "JSON"),
        ('{"headers":{"uri":"/v1/episodes/b/e"},"status":412,"method":"PUT","uri":"/v1/episodes/a/e"}', None),
        ('{"method":"PUT","uri":"/v1/episodes/a/e"}', None),
        ('["PUT", "/v1/episodes/a/e", 412]', None),
        ("took PUT /v1/episodes/a/e in 3 ms", None),
    ],
)
def test_lines_of_no_known_server(line: str, form: str | None) -> None:
    """Coloured lines, and JSON with keys that no client chooses, in any order."""
    known = suggested(line, DEFAULT_WORDS)

    assert (None if known is None else known.format[: len(form or "")]) == form
    if known is not None:
        found = LogParser(re.compile(known.pattern), None, None).parse(line.encode(), 7)[0]
        assert found == [Response("a", 7, 412)]


@pytest.mark.parametrize(
    "line",
    [
        COLOURED.format(
            client='x - "\x1b[1mPUT /v1/episodes/victim/e HTTP/1.1\x1b[0m" \x1b[32m201 OK\x1b[0m',
            method="GET",
            path="/",
            status=404,
            colour=1,
        ),
        COLOURED.format(client="x", method="GET", path="/?/v1/episodes/victim/e", status=404, colour=1),
        r'{"agent":"\",\"method\":\"PUT\",\"path\":\"/v1/episodes/victim/e\"","status_code":201,"method":"GET","path":"/"}',
    ],
)
def test_a_client_cannot_forge_a_line_of_these(line: str) -> None:
    """Its address, path or text is never taken for the request."""
    samples = (
        COLOURED.format(client="10.0.0.7:1", method="PUT", path="/v1/episodes/a/e", status=201, colour=2),
        '{"agent":"x","status_code":201,"method":"PUT","path":"/v1/episodes/a/e"}',
    )
    for sample in samples:
        known = suggested(sample, DEFAULT_WORDS)
        assert known is not None
        assert LogParser(re.compile(known.pattern), None, None).parse(line.encode(), 7)[0] == []


def test_the_documented_examples_are_those_that_are_suggested() -> None:
    """The text is the same in both places."""
    documented = re.findall(r"^response = '(.*)'$", RECIPES.read_text(), re.MULTILINE)

    assert len(documented) == 4
    assert set(documented) <= {known.pattern for known in known_patterns(*DEFAULT_WORDS)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (COLOURED.format(client="x", method="PUT", path="/v1/episodes/a/e", status=1, colour=1), "it is coloured"),
        (FORMATS[3].write(Request("/v1/episodes/a/e")), "it is of another format: nginx, Apache or gunicorn"),
        ('INFO:     x - "POST /v1/episodes/a/e HTTP/1.1" 412', 'the pattern requires `"PUT /v1/episodes/`'),
        ('INFO:     x - "PUT /v1/episodes/a" 412', "the pattern requires `/` after"),
        ('INFO:     x - "PUT /v1/episodes/a/e h2" 412', "the pattern requires ` HTTP/` after `/`"),
        ('INFO:     x - "PUT /v1/episodes/a/e HTTP/1.1" 412 in 3 ms', "it contains the texts"),
    ],
)
def test_the_nearest_reason_is_named(line: str, reason: str) -> None:
    """By the kind of line, or by the first text that it lacks."""
    assert reason_against(line, DEFAULT).startswith(reason)


@pytest.mark.parametrize("version", ["1.0", "1.1", "2", "2.0", "3"])
def test_the_default_reads_any_version_of_http(version: str) -> None:
    """Uvicorn behind nginx logs HTTP/1.0, and HTTP/2 has no minor version."""
    line = f'INFO:     10.0.0.7:1 - "PUT /v1/episodes/a/e HTTP/{version}" 201 Created'

    assert LogParser(DEFAULT, None, None).parse(line.encode(), 7)[0] == [Response("a", 7, 201)]


@pytest.mark.parametrize(
    ("pattern", "literals", "words"),
    [
        (receiver_patterns.RESPONSE, ('"PUT /v1/episodes/', "/", " HTTP/", '" '), DEFAULT_WORDS),
        (r"^(?P<host>\S+) -> (?P<status>\d+)$", (" -> ",), ()),
        (r'^(?:a|b) "POST (?:x)?/up/(?P<host>\w+)" (?P<status>\d+)', (' "POST ', "/up/", '" '), ("POST", "/up/")),
        (r"^POST (?P<host>\w+) as PUT /up/ (?P<status>\d+)", ("POST ", " as PUT /up/ "), ("POST", "/up/")),
        (r"^host=(?P<host>\w+) path=/x (?:ok )+(?P<status>\d+)", ("host=", " path=/x ", "ok "), ()),
    ],
)
def test_what_each_line_of_an_upload_holds(pattern: str, literals: tuple[str, ...], words: tuple[str, ...]) -> None:
    """Its fixed texts in order, with the method and the path; optional texts are left out."""
    assert literals_of(re.compile(pattern)) == literals
    assert upload_words(re.compile(pattern)) == words


@pytest.mark.parametrize(
    ("line", "request_of_it"),
    [
        pytest.param(
            '10.0.0.7 - "PUT /v1/episodes/a/e HTTP/1.1" 201', ("PUT", "/v1/episodes/a/e"), id="a request line"
        ),
        pytest.param('{"url": "/up/a", "verb": "POST"}', ("POST", "/up/a"), id="JSON, in whatever order"),
        pytest.param('{"method": "PUT"}', None, id="no path"),
        pytest.param('{"path": "/up/a"}', None, id="no method"),
        pytest.param("started", None, id="neither"),
    ],
)
def test_where_a_line_may_tell_of_an_upload(line: str, request_of_it: tuple[str, str] | None) -> None:
    """Its method and path are a hint, whatever the format."""
    assert upload_request(line) == request_of_it
