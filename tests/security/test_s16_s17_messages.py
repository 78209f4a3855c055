"""S16: a message that would hold up the loop. S17: secrets in a line that is stored."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.parsing.redaction import without_secrets
from fleet_health.parsing.rejection import rejection
from fleet_health.sources.journal.lines import log_parser
from fleet_health.sources.journal.samples import sample_lines
from tests.rig.site import now_us

if TYPE_CHECKING:
    from tests.conftest import Site, StartService

MIB = 1 << 20
ACCESS = b'INFO:     10.3.1.2:50000 - "PUT /v1/episodes/pi-1/ep-1 HTTP/1.1" 201 Created\n'
# The watchdog is fed every few seconds, and a tick may be due every second. A message as large as they get must cost a
# small part of that even on a slow machine; before there was a limit, 1 MiB of line breaks took 7 s on a fast one.
LIMIT_S = 1.0

MESSAGES = {
    "line breaks": b"\n" * MIB,
    "short lines": b"ab\n" * 100_000,
    "responses": ACCESS * (MIB // len(ACCESS)),
    "more than a mebibyte": ACCESS * 100_000,
    "one line": b"x" * MIB,
    "one line of words": b"x " * (MIB // 2),
    "one line of runs": (b"a" * 511 + b" ") * (MIB // 512),
    "one line of requests": b' - "PUT /v1/episodes/a/' * (MIB // 23),
    "one line of quotes": b'"' * MIB,
    "NUL": b"\0" * MIB,
    "lines of NUL": b"\0\n" * (MIB // 2),
    "bytes that are no text": b"\xff" * MIB,
    "long lines of dashes": (b"INFO:     " + b" - " * 679 + b"\n") * 510,
    "long lines of blanks": (ACCESS[:-1] + b" " * 1_950 + b"!\n") * 510,
    "half warnings": b"missing X-Cis490-Code-Commit host=\n" * (MIB // 36),
    "long warnings": (b"WARNING: missing X-Cis490-Code-Commit host=" + b"a" * 2_000 + b"\n") * 510,
    "warnings of words": (b"WARNING: missing X-Cis490-Code-Commit host=" + b"a, " * 666 + b"\n") * 510,
    "question marks": (b'INFO:     1 - "PUT /v1/episodes//' + b"?a" * 950 + b' HTTP/1.1" 412\n') * 510,
}


@pytest.mark.fault("S16", rig="core")
@pytest.mark.parametrize("name", MESSAGES)
def test_S16_no_message_takes_long(name: str) -> None:
    """By the processor's time, so that nothing else that runs here counts; and what is not read is counted."""
    parser, message = log_parser(load(None).receivers[0].journal), MESSAGES[name]
    began_at = time.process_time()
    observations, rejections = parser.parse(message, 0)
    taken = time.process_time() - began_at

    assert taken < LIMIT_S
    assert len(observations) <= MIB // len(ACCESS)
    if message[:MIB].count(b"\n") > 16_384:
        assert [one.reason for one in rejections if "lines" in one.reason] == [
            "message of more than 16,384 lines, rest not read"
        ]


@pytest.mark.fault("S16", rig="service")
def test_S16_the_service_goes_on_after_a_message_of_line_breaks(site: Site, start_service: StartService) -> None:
    """It says how many messages it did not read whole, and reads what comes behind them."""
    site.upload("well")
    for _ in range(20):
        site.journal.append(b"\n" * (700 * 1024))
    site.answer("refused", 412, times=12)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: ("refused", "fatal-only") in site.alerted(), "the alert behind it")

        assert "20 rejected" in service.notify.status


SECRETS = {
    "uvicorn": 'INFO:     10.0.0.7:1 - "PUT /v1/episodes/pi-1/e?token=SECRET HTTP/1.1" 412 Precondition Failed',
    "quotes in the query": 'INFO:     10.0.0.7:1 - "PUT /v1/episodes/pi-1/e?a="SECRET"b HTTP/1.1" 412',
    "a parameter without a name": 'INFO:     10.0.0.7:1 - "PUT /v1/episodes/pi-1/e?SECRET HTTP/1.1" 412',
    "a quoted question mark": 'INFO:     10.0.0.7:1 - "PUT /v1/episodes/pi-1/e%3Fk=SECRET HTTP/1.1" 412',
    "a parameter of the path": 'INFO:     10.0.0.7:1 - "PUT /v1/episodes/pi-1/e;jsessionid=SECRET HTTP/1.1" 412',
    "a referrer": '10.0.0.7 - - [26/Nov/2026:05:55:43 +0000] "PUT /x HTTP/1.1" 412 0 "https://a/b?c=SECRET" "agent"',
    "a user in a URL": '10.0.0.7 - - [26/Nov/2026:05:55:43 +0000] "PUT /x HTTP/1.1" 412 0 "https://me:SECRET@a/b" "-"',
    "Caddy": '{"request":{"uri":"/v1/episodes/pi-1/e?token=SECRET","headers":{"Referer":["/a?SECRET"]}},"status":412}',
    "Caddy, quotes": '{"request":{"uri":"/v1/episodes/pi-1/e?a=\\"SECRET"},"status":412}',
    "a header": '{"request":{"headers":{"Authorization":["Bearer SECRET"],"Cookie":["SECRET"]}},"status":412}',
    "a warning": "WARNING cis490.receiver: refused token=SECRET host=pi-1",
    "words": "WARNING cis490.receiver: password: SECRET, api_key='SECRET' secret=\"SECRET\"",
    "the index": '{"host_id": 7, "url": "/v1/episodes/pi-1/e?token=SECRET"}',
}


@pytest.mark.fault("S17", rig="core")
@pytest.mark.parametrize("name", SECRETS)
def test_S17_a_secret_is_cut_from_a_line_that_is_kept(name: str) -> None:
    """And nothing but it: the line still says what happened, to whom."""
    line = SECRETS[name]
    shown = without_secrets(line)

    assert "SECRET" not in shown
    assert "SECRET" not in rejection("a reason", line).excerpt
    assert "SECRET" not in rejection("a reason", line.encode()).excerpt
    assert ("412" in shown, "pi-1" in shown) == ("412" in line, "pi-1" in line)


@pytest.mark.parametrize(
    "line",
    [
        'INFO:     10.0.0.7:1 - "PUT /v1/episodes/pi-1/e HTTP/1.1" 412 Precondition Failed',
        "WARNING: missing X-Cis490-Code-Commit host=pi-1, refused",
        "WARNING: what? no such token",
        "http://example.org/a",
    ],
)
def test_a_line_without_secrets_stays_as_it_is(line: str) -> None:
    """Nothing is cut on suspicion."""
    assert without_secrets(line) == line


@pytest.mark.fault("S17", rig="files")
def test_S17_a_secret_that_reaches_beyond_the_excerpt_is_cut_first() -> None:
    """Cutting the line at its length must not keep the beginning of a query."""
    for padding in range(80, 140):
        line = "x" * padding + "?token=SECRETSECRET"
        assert "SECRE" not in rejection("a reason", line).excerpt


@pytest.mark.fault("S17", rig="files")
def test_S17_the_samples_of_an_alert_hold_no_query(site: Site) -> None:
    """As they go into the alert log, and into the journal."""
    site.journal.append(
        'INFO:     10.0.0.7:1 - "PUT /v1/episodes/pi-1/e?token=SECRET HTTP/1.1" 412 Precondition Failed'
    )
    site.sync_journal()

    samples = sample_lines(load(site.configure()).receivers[0].journal, ["pi-1"], 0, now_us())

    assert samples == {"pi-1": ['INFO:     10.0.0.7:1 - "PUT /v1/episodes/pi-1/e?… HTTP/1.1" 412 Precondition Failed']}


@pytest.mark.fault("S17", rig="service")
def test_S17_an_alert_row_holds_no_token(site: Site, start_service: StartService) -> None:
    """Nor does anything else that the service keeps or logs."""
    site.upload("well")
    for number in range(12):
        site.journal.append(
            f'INFO:     1:1 - "PUT /v1/episodes/pi-1/e{number}?token=SECRET HTTP/1.1" 412 Precondition Failed'
        )
        site.journal.append(
            f'INFO:     1:1 - "PUT /v1/episodes//e{number}?token=SECRET HTTP/1.1" 412 Precondition Failed'
        )
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: ("pi-1", "fatal-only") in site.alerted(), "the alert")
        service.until(lambda: "rejected" in service.stderr, "the rejections in the log")

        (row,) = [row for row in site.alert_rows() if row["host"] == "pi-1"]
        assert len(row["samples"]) == 3
        assert all("?…" in line for line in row["samples"])
        kept = json.dumps(site.alert_rows()) + service.stderr + service.notify.status
        kept += "".join(file.read_text() for file in (site.directory / "state").rglob("*") if file.is_file())
        assert "SECRET" not in kept
