"""S2, S3: no text that a client chooses changes the counts of another host, by any pattern that is uploaded.

The lines are written by the models of `access_formats`, which are compared with real servers beside this; so more texts
are tried here than could be sent.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleet_health.config.loading import load
from fleet_health.config.receiver_patterns import MARKER
from fleet_health.model.observation import Response, Unstamped
from fleet_health.parsing.access_formats import FORMATS, Request
from fleet_health.parsing.forgery import forgeries
from fleet_health.parsing.long_line import LINE_LIMIT
from fleet_health.parsing.receiver_log import LogParser
from fleet_health.sources.journal.lines import log_parser
from tests.rig.properties import tried
from tests.security.servers import FORGED, VICTIM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.conftest import RunCommand, Site, StartService

DEFAULT = log_parser(load(None).receivers[0].journal)
PROPERTY = tried(200)

OLD_RESPONSE = r'PUT /v1/episodes/(?P<host>[^/]+)/[^"]+ HTTP/1\.1" (?P<status>\d{3})'
OLD_UNSTAMPED_HOST = r"host=(?P<host>\S+)"

# The formats into which a client can put a line break are those of no recipe; see another-receiver.md.
TRIED = [form for form in FORMATS if not form.breaks_lines]
READ_BY = {
    "uvicorn": "default",
    "uvicorn, without a level": "default",
    "uvicorn, by the root logger": "default",
    "nginx, combined": "combined",
    "Apache, combined": "combined",
    "gunicorn": "combined",
    "nginx, the path as JSON": "nginx",
    "gunicorn, the request alone": "gunicorn",
    "Caddy": "Caddy",
    "Caddy, without headers": "Caddy",
}

PIECES = (
    *FORGED,
    *(text.replace("e HTTP", "e?a=b HTTP") for text in FORGED[:2]),
    MARKER,
    MARKER.upper(),
    "host=victim",
    ' - "PUT /v1/episodes/victim/e HTTP/1.1" 201',
    '"PUT /v1/episodes/victim/',
    "/v1/episodes/victim/e",
    ' HTTP/1.1" 201',
    "HTTP/1.1",
    '] "PUT /v1/episodes/victim/e HTTP/1.1" 201 0 "',
    '\\" 201',
    "\\",
    '"',
    "'",
    " - ",
    ":0",
    ",",
    "[26/Nov/2026:05:55:43 +0000] ",
    '"status":201',
    "WARNING",
    "INFO:     ",
    "\r",
    "\t",
    "\x85",
    "\xa0",
    "\u2028",
    "\x1c",
    "é",
    "a",
    " ",
    "x" * 600,
    "y " * 900,
)
TEXTS = st.lists(
    st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\0"), max_size=8),
    max_size=6,
).map("".join)
FIELDS = ("query", "forwarded", "user", "referer", "agent")


@pytest.mark.fault("S2", rig="core")
@PROPERTY
@given(
    form=st.sampled_from(TRIED),
    texts=st.fixed_dictionaries(dict.fromkeys(FIELDS, TEXTS)),
    rest=TEXTS,
    answer=st.sampled_from([("PUT", 201), ("PUT", 412), ("GET", 412), ("X'PUT|-", 412)]),
)
def test_S2_no_text_in_any_field_changes_the_counts_of_another_host(
    parsers: Mapping[str, LogParser], form: Any, texts: dict[str, Any], rest: str, answer: tuple[str, int]
) -> None:
    """Of every server's line, every uploaded pattern counts the host of the request, or nobody, and at most once."""
    path = "/v1/episodes/me/" + rest.replace("%", "%25").replace("?", "%3F").replace("..", "%2E.")
    method, status = answer
    line = form.write(replace(Request(path, method, status), **texts)).encode()
    for name, parser in parsers.items():
        observations, _ = parser.parse(line.replace(b"\n", b" "), 0)

        assert observations in ([], [Response("me", 0, status)]), name


@pytest.mark.fault("S2", rig="core")
@PROPERTY
@given(
    form=st.sampled_from([one for one in FORMATS if one.name in READ_BY]),
    texts=st.fixed_dictionaries(dict.fromkeys(FIELDS, TEXTS)),
)
@example(form=FORMATS[0], texts=dict.fromkeys(FIELDS, '"PUT /v1/episodes/victim/e HTTP/1.1" 201'))
def test_S2_no_text_in_a_header_hides_a_response(
    parsers: Mapping[str, LogParser], form: Any, texts: dict[str, Any]
) -> None:
    """What the server says of a request is counted, whatever is in its headers, or it is at least a rejection."""
    texts["user"] = texts["user"].replace("\r", "")
    if form.name == "uvicorn, without a level":
        # Without a level the line begins with the header, so it can look like one of the application.
        texts["forwarded"] = re.sub(r"^[\sA-Z\d[]+", "", texts["forwarded"].rpartition(",")[2])
    request = replace(Request("/v1/episodes/me/e"), **texts)
    observations, rejections = parsers[READ_BY[form.name]].parse(form.write(request).encode(), 0)

    assert observations == [Response("me", 0, 412)] or (observations == [] and rejections)


UVICORN = ["INFO:     {}", "{}", "INFO:uvicorn.access:{}"]
ACCESS = '{} - "PUT /v1/episodes/{}/{} HTTP/{}" {}'


@pytest.mark.fault("S2", rig="core")
@pytest.mark.parametrize("frame", UVICORN, ids=["uvicorn", "no level", "root logger"])
@pytest.mark.parametrize(
    ("client", "rest", "version", "ending", "status"),
    [
        pytest.param("10.0.0.7:51234", "e0", "1.1", "412", 412, id="as tests write it"),
        pytest.param("10.0.0.7:51234", "e0", "1.1", "201 Created", 201, id="with a phrase"),
        pytest.param("10.0.0.7:51234", "e0", "1.1", "418 I'm a Teapot", 418, id="with an apostrophe"),
        pytest.param("10.0.0.7:51234", "e0", "1.1", "203 Non-Authoritative Information", 203, id="with a hyphen"),
        pytest.param("10.0.0.7:51234", "e0", "1.1", "599 ", 599, id="without a phrase"),
        pytest.param("10.0.0.7:51234", "e0", "1.0", "412", 412, id="HTTP/1.0"),
        pytest.param("10.0.0.7:51234", "e0", "2", "412", 412, id="HTTP/2"),
        pytest.param("::1:5000", "e0", "1.1", "412", 412, id="IPv6"),
        pytest.param("", "e0", "1.1", "412", 412, id="a Unix socket"),
        pytest.param("10.0.0.7:1", 'e0?a="b"', "1.1", "412", 412, id="quotes in the query"),
        pytest.param("10.0.0.7:1", 'e0?"PUT', "1.1", "412", 412, id="half a request in the query"),
        pytest.param('x "PUT /v1/episodes/victim/e HTTP/1.1" 201:0', "e0", "1.1", "412", 412, id="a request"),
        pytest.param(f"x {MARKER} host=victim, refused:0", "e0", "1.1", "412", 412, id="the marker"),
        pytest.param("x" * 5_000, "e0", "1.1", "412", 412, id="a long address"),
        pytest.param("x y " * 5_000, "e0", "1.1", "412", 412, id="an address of many words"),
        pytest.param("10.0.0.7:1", "e" * 5_000, "1.1", "412", 412, id="a long path"),
        pytest.param("10.0.0.7:1", "e?" + "q" * 60_000, "1.1", "412", 412, id="a very long query"),
        pytest.param("x - " * 999 + ":0", "e?" + "q" * 9_000, "1.1", "412", 412, id="a long address and query"),
        pytest.param(
            "x y " * 999 + '- "PUT /v1/episodes/victim/:0', "e?" + "q" * 9_000, "1.1", "412", 412, id="and a request"
        ),
    ],
)
def test_S2_the_last_request_of_a_line_counts(  # noqa: PLR0917 - a row of a table
    frame: str, client: str, rest: str, version: str, ending: str, status: int
) -> None:
    """In each form of uvicorn's line, whatever the client's address is said to be, and however long it is."""
    line = frame.format(ACCESS.format(client, "me", rest, version, ending))

    assert DEFAULT.parse(line.encode(), 0) == ([Response("me", 0, status)], [])


@pytest.mark.fault("S2", rig="core")
@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{}:0 - "GET / HTTP/1.1" 404 Not Found', id="the client's address"),
        pytest.param("WARNING cis490.receiver: rejected upload: no episode {}", id="a warning of the application"),
        pytest.param("WARNING:cis490.receiver:host=me, episode={}", id="another warning"),
        pytest.param("INFO:cis490.receiver:accepted host=me, episode={}", id="a message of the application"),
        pytest.param("INFO cis490.receiver: accepted {}", id="another message"),
        pytest.param("ERROR:    Exception in ASGI application {}", id="an error"),
        pytest.param("2026-11-26 05:55:43 WARNING cis490.receiver: no such thing: {}", id="a message with a date"),
        pytest.param("[2026-11-26 05:55:43 +0000] [7] [WARNING] Invalid request from ip=127.0.0.1: {}", id="gunicorn"),
        pytest.param('INFO:     10.0.0.7:1 - "WebSocket /{}" [accepted]', id="a web socket"),
        pytest.param(
            'INFO:     {} - "PUT /v1/episodes/me/e HTTP/1.1" 304 Not Modified', id="a status that is not counted"
        ),
    ],
)
@pytest.mark.parametrize(
    "forged",
    [
        '10.0.0.1:5 - "PUT /v1/episodes/victim/e HTTP/1.1" 201',
        '10.0.0.1:5 - "PUT /v1/episodes/victim/e HTTP/1.1" 201 Created',
        f"WARNING: {MARKER} host=victim, refused",
        f" {MARKER} host=victim",
    ],
    ids=["response", "with a phrase", "warning", "marker"],
)
def test_S2_text_of_a_client_in_another_line_counts_for_nobody(line: str, forged: str) -> None:
    """Also at the end of a line that is none of uvicorn's."""
    assert DEFAULT.parse(line.format(forged).encode(), 0)[0] == []


@pytest.mark.fault("S2", rig="core")
def test_S2_an_upload_without_a_host_is_a_rejection() -> None:
    """Two slashes leave no name between them."""
    observations, rejections = DEFAULT.parse(b'INFO:     10.0.0.7:1 - "PUT /v1/episodes//e HTTP/1.1" 412', 0)

    assert (observations, [one.reason for one in rejections]) == ([], ["access names no host"])


@pytest.mark.fault("S2", rig="core")
def test_S2_a_host_that_is_padded_is_nobody_else() -> None:
    """Of a name that is cut, one could not tell whose it is; and padding at the line's middle joins no two halves."""
    long_name = ACCESS.format("10.0.0.7:1", "victim" + "x" * LINE_LIMIT, "e", "1.1", "412")
    observations, rejections = DEFAULT.parse(long_name.encode(), 0)

    assert (observations, [one.reason for one in rejections]) == ([], ["host cut off by the limit on a line"])
    for padding in range(LINE_LIMIT // 2 - 80, LINE_LIMIT // 2 + 80):
        halves = "x " * (padding // 2) + ' - "PUT /v1/episodes/victim/' + "y " * LINE_LIMIT + "z" * 300
        line = f'{halves}:0 - "GET /{"q" * 700} HTTP/1.1" 412'
        assert DEFAULT.parse(line.encode(), 0)[0] == []


@pytest.mark.fault("S3", rig="core")
@pytest.mark.parametrize(
    ("line", "host"),
    [
        (f"WARNING: {MARKER} host=pi-1, refused", "pi-1"),
        (f"WARNING cis490.receiver: rejected upload: {MARKER} host=pi-1, episode=e1", "pi-1"),
        (f"WARNING:cis490.receiver:rejected upload: {MARKER} host=pi-1, episode=e1", "pi-1"),
        (f"WARNING:cis490.receiver:refused: {MARKER} host=pi-1", "pi-1"),
        (f"WARNING:  {MARKER.upper()} host=pi-1", "pi-1"),
        (f"2026-11-26 05:55:43,123 WARNING cis490.receiver: {MARKER} host=pi-1, refused", "pi-1"),
        (f"WARNING: {MARKER} host=pi-1: refused", "pi-1"),
        (f"WARNING: {MARKER} host=pi-1;", "pi-1"),
        (f"WARNING: {MARKER} host=pi.1:b, refused", "pi.1:b"),
        (f"WARNING: {MARKER} host=pi,1, refused", "pi%2C1"),
        # Names that a client chose so that the line names another host: they count for nobody.
        (f"WARNING: {MARKER} host=victim:, refused", None),
        (f"WARNING: {MARKER} host=victim,, refused", None),
        (f"WARNING: {MARKER} host=victim, refused, refused", None),
        (f"WARNING: {MARKER} host=victim, episode=x, refused", None),
        (f"WARNING: {MARKER} host=victim, x, refused", None),
        (f"WARNING: {MARKER} host= host=victim, refused", None),
        (f"WARNING: {MARKER} host=victim x, refused", None),
        # Lines of others.
        (f"ERROR cis490.receiver: no such thing: {MARKER} host=victim, refused", None),
        (f"WARNING cis490.receiver: no such thing: {MARKER} host=victim, refused", None),
        (f"x WARNING: {MARKER} host=victim, refused", None),
        (f'WARNING: {MARKER} host=victim, refused:0 - "GET / HTTP/1.1" 404', None),
    ],
)
def test_S3_only_the_receivers_own_line_reports_a_missing_stamp(line: str, host: str | None) -> None:
    """A whole line, of the forms that the receiver writes; what has the marker and is none is counted as rejected."""
    observations, rejections = DEFAULT.parse(line.encode(), 0)

    assert observations == ([] if host is None else [Unstamped(host, 0)])
    assert len(rejections) == (host is None)


@pytest.mark.fault("S3", rig="service")
def test_S3_a_user_agent_neither_accuses_a_host_nor_hides_ones_own_refusals(
    site: Site, run_command: RunCommand, recipes: Mapping[str, re.Pattern[str]]
) -> None:
    """The attack itself: twenty requests whose User-Agent is a warning about a healthy host, in nginx's usual log."""
    site.upload("pi-42", "well")
    (form,) = [one for one in FORMATS if one.name == "nginx, combined"]
    for number in range(20):
        request = Request(f"/v1/episodes/mallory/e{number}", agent=f"{MARKER} host=pi-42, refused")
        site.journal.append(form.write(request))
    site.sync_journal()
    site.configure(f"journal.response = {json.dumps(recipes['combined'].pattern)}")

    finished = run_command("check", "--config", site.config, "--json", "--dry-run")

    found = {(one["host"], one["symptom"]) for one in finished.documents if "host" in one}
    assert found == {("mallory", "fatal-only")}


@pytest.mark.fault("S2", rig="service")
def test_S2_a_header_ends_no_alert_of_another_host(site: Site, start_service: StartService) -> None:
    """The attack itself: a refused host stays refused, though another one's header holds a success of it."""
    site.upload("well")
    site.answer("victim", 412, times=12)
    site.configure("detectors.fatal-only.window = '30m'")
    with start_service(site) as service:
        service.until(lambda: ("victim", "fatal-only") in site.alerted(), "the alert")
        for number in range(3):
            request = Request(f"/v1/episodes/mallory/e{number}", forwarded=FORGED[0])
            site.journal.append(FORMATS[0].write(request))
        site.answer("marker", 201)
        service.until(lambda: "Watching 4 hosts" in service.notify.status, "the lines to be read")
        service.until_evaluated_anew()

        assert "1 fatal-only" in service.notify.status


BROKEN_BY_A_CLIENT: Mapping[str, tuple[str, str | None, str | None]] = {
    "the defaults of old": (OLD_RESPONSE, MARKER, OLD_UNSTAMPED_HOST),
    "a search for the request": (r'"PUT /v1/episodes/(?P<host>[^/ "]+)/[^ "]* HTTP/1.1" (?P<status>\d{3})', None, None),
    "anchored to the end alone": (r'"PUT /v1/episodes/(?P<host>[^/]+)/.*" (?P<status>\d{3})$', None, None),
    "a rest that crosses blanks": (r'^\S+ - "PUT /v1/episodes/(?P<host>[^/]+)/.* (?P<status>\d{3})', None, None),
    "a format of its own, not anchored": (r"upload of (?P<host>\S+) ended with (?P<status>\d+)", None, None),
    "granian's line": (
        r'^\[[^]]+\] \S+ - "PUT /v1/episodes/(?P<host>[^/ "]+)/[^ "]* HTTP/1.1" (?P<status>\d{3}) [\d.]+$', None, None,
    ),
}  # fmt: skip


@pytest.mark.fault("S2", rig="core")
@pytest.mark.parametrize("name", BROKEN_BY_A_CLIENT)
def test_S2_a_pattern_that_a_client_can_satisfy_is_found(name: str) -> None:
    """And the line that is given really is counted for another host."""
    response, marker, host = BROKEN_BY_A_CLIENT[name]
    patterns = (re.compile(response), marker, None if host is None else re.compile(host))

    found = forgeries(*patterns)

    assert {one.pattern for one in found} == {"journal.response"} | ({"journal.unstamped"} if marker else set())
    for one in found:
        hosts = {seen.host for seen in LogParser(*patterns).parse(one.line.encode(), 0)[0]}
        assert one.counted in hosts - {"stranger"}


@pytest.mark.fault("S2", rig="core")
def test_S2_no_pattern_that_is_uploaded_can_be_forged(recipes: Mapping[str, re.Pattern[str]]) -> None:
    """Nor one that is anchored and of a format of its own."""
    journal = load(None).receivers[0].journal
    safe = [(journal.response, journal.unstamped_marker, journal.unstamped_host)]
    safe += [(response, None, None) for response in recipes.values()]
    safe.append((re.compile(r"^(?P<host>[\w-]+) -> (?P<status>\d+)$"), None, None))

    assert [forgeries(*patterns) for patterns in safe] == [[] for _ in safe]


@pytest.mark.fault("S2", rig="files")
def test_S2_patterns_config_check_and_the_service_warn_of_it(
    tmp_path: Path, site: Site, run_command: RunCommand, start_service: StartService
) -> None:
    """With the line, and what to do; the configuration is good all the same, and exit statuses are as ever."""
    lines = tmp_path / "lines"
    lines.write_text('10.0.0.7:1 - "PUT /v1/episodes/pi-1/e HTTP/1.1" 412\n')
    config = site.configure(f"journal.response = '{OLD_RESPONSE}'\njournal.unstamped.host = '{OLD_UNSTAMPED_HOST}'")
    tried = run_command("patterns", "--config", config, lines)
    document = run_command("patterns", "--config", config, lines, "--json").documents[0]
    checked = run_command("config", "check", "--config", config)
    site.upload("well")
    site.answer("well", 201)
    with start_service(site) as service:
        service.until(lambda: "pattern can be forged by a client" in service.stderr, "the warning")
    plain = run_command("patterns", "--config", site.configure(), lines)

    assert (tried.status, checked.status, plain.status) == (0, 0, 0)
    assert (
        "WARNING journal.response: a client can have a line counted for another host, by X-Forwarded-For"
        in tried.stdout
    )
    assert "WARNING journal.unstamped: a client can" in tried.stdout
    assert "What to do: Anchor the pattern" in tried.stdout
    assert {one["pattern"] for one in document["forgeable"]} == {"journal.response", "journal.unstamped"}
    assert all(VICTIM in one["line"] for one in document["forgeable"])
    assert f"{config}: warning: journal.response: a client can" in checked.stdout
    assert checked.stdout.endswith(f"{config}: good\n")
    assert "WARNING" not in plain.stdout


@pytest.mark.fault("S3", rig="files")
def test_S3_that_the_rule_is_off_is_said(tmp_path: Path, run_command: RunCommand) -> None:
    """By `config show` and by `patterns`; where it is on, nothing is said."""
    config = tmp_path / "config.toml"
    config.write_text("journal.response = '^(?P<host>[a-z]+) (?P<status>[0-9]+)$'\n")
    (lines := tmp_path / "lines").write_text("a 201\n")
    shown = run_command("config", "show", "--config", config).stdout
    tried = run_command("patterns", "--config", config, lines).stdout
    document = run_command("patterns", "--config", config, lines, "--json").documents[0]

    assert "#journal.unstamped.host  # off: journal.response is configured, and journal.unstamped is not\n" in shown
    assert "journal.unstamped: off: journal.response is configured, and journal.unstamped is not\n" in tried
    assert document["unstamped"]["is_on"] is False


def test_the_models_place_a_field_where_it_says() -> None:
    """Each format has each of its fields in the line; without that nothing would be tried."""
    for form in FORMATS:
        for field in form.fields:
            value = "/v1/episodes/me/MARK" if field == "path" else "MARK"
            changed: dict[str, Any] = {field: value}
            assert "MARK" in form.write(replace(Request("/v1/episodes/me/e"), **changed)), (form.name, field)
