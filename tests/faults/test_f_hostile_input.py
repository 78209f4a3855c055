"""F: whoever can upload can write into our inputs. None of it reaches a terminal, a shell, or another host's record."""

from __future__ import annotations

import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tracemalloc
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

import pytest

from fleet_health.alerting.alert import Alert
from fleet_health.config.loading import load
from fleet_health.detectors.spec import Finding
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.errors import ConfigError
from fleet_health.model.fleet import Traffic, Uploads
from fleet_health.model.host_name import host_name
from fleet_health.parsing.index_row import IndexParser
from fleet_health.parsing.receiver_log import LogParser
from fleet_health.parsing.rejection import RejectionCount
from fleet_health.records.alert_log import AlertLog
from fleet_health.sources.journal.lines import log_parser

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RunCommand, Service, Site, StartService

NOW = 1_795_460_100_000_000

PLAIN_NAMES = ("pi-01", "A.b_c:9-", "z" * 128)
NASTY_NAMES = (
    "pi-01\n",
    "pi-01\x1b[31m",
    "pi%2F01",
    "pi/01",
    "a" * 10_000,
    "a" * 10_001,
    "z" * 129,
    "\u202epi-01",
    "\u2066pi-01",
    "pi-01\x7f",
    "\x9b31m",
    "pi 01; reboot",
    "\\x1b",
    "pi-01`id`",
)
# Two that are one host: who keeps names encoded writes it so, and who does not writes it otherwise.
ONE_HOST = {"pi%2F01", "pi/01"}
# A host's name is a part of the path in an access line, and of a line that may be cut off.
NASTY_IN_A_PATH = tuple(name for name in NASTY_NAMES if not re.search(r"[/\s]", name) and len(name) < 2000)
NASTY_IN_A_WARNING = tuple(name for name in NASTY_NAMES if not re.search(r"\s", name) and len(name) < 2000)

UNPRINTABLE = re.compile(r"[^\x20-\x7e\n…]")


@pytest.mark.fault("F1", rig="files")
@pytest.mark.parametrize("source", ["index", "access", "warning"])
def test_F1_nasty_host_names_are_safe_and_never_another_host(source: str, site: Site, run_command: RunCommand) -> None:
    """Each nasty name is a host of its own under a name of plain characters, and a plain one stays what it is."""
    nasty = {"index": NASTY_NAMES, "access": NASTY_IN_A_PATH, "warning": NASTY_IN_A_WARNING}[source]
    site.upload("well")
    for name in (*PLAIN_NAMES, *nasty):
        match source:
            case "index":
                site.upload(name, minutes_ago=40)
            case "access":
                site.answer(name, 422, times=10)
            case _:
                site.warn_unstamped(name, times=10)
    site.sync_journal()

    # Hosts that never uploaded are also reported as a group, which is not what this is about.
    config = site.configure("detectors.unknown-hosts.enabled = false")
    finished = run_command("check", "--config", config, "--json")

    hosts = {document["host"] for document in finished.documents if "host" in document}
    assert len(hosts) == len(PLAIN_NAMES) + len(nasty) - (set(nasty) >= ONE_HOST)
    assert hosts > set(PLAIN_NAMES)
    assert [host for host in hosts if not re.fullmatch(r"[A-Za-z0-9._:%~-]{1,128}", host)] == []


@pytest.mark.fault("F2", rig="service")
@pytest.mark.parametrize(("source", "symptom"), [("index", "silent"), ("journal", "fatal-only")])
def test_F2_invented_hosts_crowd_nobody_out(source: str, symptom: str, site: Site, start_service: StartService) -> None:
    """Beyond the limit new names are left out, with one alert that says so; who was known is watched as before."""
    invented = [f"invented-{number}" for number in range(1000)]
    is_index = source == "index"
    site.upload("known", minutes_ago=40) if is_index else site.answer("known", 422, times=10)
    site.configure("hosts.limit = 10")
    with start_service(site) as service:
        service.until(lambda: _firing(service) == {symptom}, "the known host to be in trouble")
        if is_index:
            site.upload(*invented)
        else:
            for host in invented:
                site.answer(host, 422)
        service.until(lambda: ("*", "too-many-hosts") in site.alerted(), "the alert of too many hosts")
        site.upload("known") if is_index else site.answer("known", 201)
        service.until(lambda: _firing(service) == {"too-many-hosts"}, "the known host to be heard")

        # Hosts that never uploaded share a tenth of the limit.
        watched = re.search(r"Watching (\d+) host", service.notify.status)
        assert watched is not None
        assert int(watched[1]) in ([10] if is_index else [1, 2])
        assert set(site.alerted()) == {("*", "too-many-hosts"), ("known", symptom)}


def _firing(service: Service) -> set[str]:
    named = re.search(r"firing \((.*?)\)", service.notify.status)
    return set(re.findall(r"\d+ ([a-z-]+)", named[1])) if named else set()


@pytest.mark.fault("F2", rig="core")
@pytest.mark.parametrize("source", ["index", "journal"])
def test_F2_memory_is_bounded(source: str) -> None:
    """Of forty thousand invented names those within the limit are kept, and of the others no trace."""
    limit, block, blocks = 100, 1000, 40
    uploads, traffic, log = Uploads(limit), Traffic(limit), log_parser(load(None).receivers[0].journal)
    index = IndexParser(host_field="host_id", time_field="received_at_wall")
    row = '{"host_id": "%s", "received_at_wall": "2026-11-23T00:00:00Z"}\n'
    access = '10.0.0.7:51234 - "PUT /v1/episodes/%s/e1 HTTP/1.1" 422\n'

    def take(line: str, first: int) -> None:
        lines = "".join(line % f"invented-{number}" for number in range(first, first + block)).encode()
        if source == "index":
            uploads.record(index.parse_latest(lines, NOW)[0])
        else:
            traffic.record(log.parse(lines, NOW)[0])

    tracemalloc.start()
    kept = []
    for number in range(blocks):
        take(row if source == "index" else access, number * block)
        kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    if source == "index":
        assert (len(list(uploads.items())), uploads.left_out.count) == (limit, blocks * block - limit)
    else:
        places = traffic.stranger_limit
        assert places == limit // 10
        assert (len(list(traffic.items())), sum(one.count for one in traffic.left_out)) == (
            places,
            blocks * block - places,
        )
    # The median, because Python's own table of short strings is made anew once or twice. A byte for each name is more.
    assert statistics.median(after - before for before, after in pairwise(kept[blocks // 2 :])) < block


@pytest.mark.fault("F3", rig="files")
@pytest.mark.parametrize("key", ["journal.response", "journal.unstamped.host"])
@pytest.mark.parametrize("pattern", [r"(?P<host>(a+)+)!!(?P<status>1)", r"(?P<host>(?:[^/]*/?)*)$(?P<status>1)"])
def test_F3_a_pattern_that_backtracks_for_ever_is_refused(tmp_path: Path, key: str, pattern: str) -> None:
    """It is a configuration error before any line is read, and finding that out takes no more than moments."""
    config = tmp_path / "config.toml"
    config.write_text(f"{key} = {json.dumps(pattern)}\n")

    with pytest.raises(ConfigError, match=rf"{re.escape(key)}: expected .* that is fast on any line"):
        load(config)


class _Recorder:
    """A pattern that finds nothing, and notes how much it is shown."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.groupindex = {"host": 1, "status": 2}

    def search(self, text: str) -> None:
        """Find nothing."""
        self.lengths.append(len(text))


@pytest.mark.fault("F3", rig="core")
@pytest.mark.parametrize("line", [b"x " * 500_000, b"marker" + b"x " * 500_000], ids=["access", "warning"])
def test_F3_no_pattern_sees_more_than_two_kibibytes(line: bytes) -> None:
    """A line of a megabyte costs each pattern no more than 2 KiB of it, once."""
    response, host = _Recorder(), _Recorder()
    parser = LogParser(response, "marker", host)  # type: ignore[arg-type]

    parser.parse(line, 0)

    assert len(response.lengths) == 1
    assert max(response.lengths + host.lengths) <= 2048


@pytest.mark.fault("F4", rig="files")
def test_F4_nothing_unprintable_reaches_the_terminal(site: Site, run_command: RunCommand) -> None:
    """Neither a finding nor a message about the configuration holds C0, C1, DEL or a change of direction."""
    site.upload(*NASTY_NAMES, minutes_ago=40)
    site.upload("well")
    bad = site.directory / "bad.toml"
    bad.write_text('"\\u001b[31m\\u202e\\u007f" = 1\ntick = "\\u009b31m\\u2066"\n')

    printed = run_command("check", "--config", site.configure(), "--dry-run").stdout
    complained = run_command("check", "--config", bad).stderr

    besides = ["index not read", "journal not read", "the sum"]
    assert len(printed.splitlines()) == 3 * (len(NASTY_NAMES) - 1) + len(besides)
    assert len(complained.splitlines()) == 2
    assert UNPRINTABLE.findall(printed + complained) == []


@pytest.mark.fault("F4", rig="terminal")
def test_F4_the_log_on_a_terminal_quotes_what_was_rejected_without_its_escapes(site: Site) -> None:
    """A rejected line is shown in the log; of what a terminal would obey, only the log's own colours are left."""
    site.index.write_bytes("\x1b]0;owned\x07\x9b31m\x7f\u202e\u2066\n".encode())
    terminal, inside = os.openpty()
    config = str(site.configure())
    command = [sys.executable, "-m", "fleet_health", "check", "--config", config, "--log-level", "info"]

    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=inside, check=True)
    os.close(inside)
    shown = b""
    with suppress(OSError):  # that is how a terminal ends
        while piece := os.read(terminal, 4096):
            shown += piece
    os.close(terminal)

    text = shown.decode().replace("\r\n", "\n")
    assert r"\x1b]0\x3bowned\x07" in text
    assert UNPRINTABLE.findall(re.sub(r"\x1b\[\d*m", "", text)) == []


@pytest.mark.fault("F5", rig="files")
@pytest.mark.parametrize(
    "text", ["${host.__init__}", "${host[0]}", "$other", "${host!r:>999999999}", "${host:>999999999}", "100 $"]
)
def test_F5_a_template_knows_the_host_and_nothing_else(tmp_path: Path, text: str) -> None:
    """Any other name, attribute or format is a configuration error."""
    config = tmp_path / "config.toml"
    config.write_text(f"detectors.silent.suggested_fix = {json.dumps(text)}\n")

    with pytest.raises(ConfigError, match=r"detectors\.silent\.suggested_fix: expected .*\$"):
        load(config)


@pytest.mark.fault("F5", rig="core")
@pytest.mark.parametrize("text", ["{host.__init__.__globals__}", "{host:>99999}", "%(host)s %99999d"])
def test_F5_what_other_templates_would_obey_is_plain_text(text: str) -> None:
    """Only `$host` means something."""
    assert SuggestedFix(text).render("pi-01") == text


@pytest.mark.fault("F5", rig="core")
def test_F5_a_host_in_a_command_is_one_word() -> None:
    """Whoever copies the command into a shell passes on the host's name, and runs nothing of it."""
    fix = SuggestedFix("run `printf %s $host`")

    command = fix.render("x; echo owned $(id)").split("`")[1]

    printed = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert printed == "x; echo owned $(id)"
    assert shlex.split(command)[-1] == "x; echo owned $(id)"


def _row(host: bytes = b'"a"', time: bytes = b'"2026-11-23T00:00:00Z"', more: bytes = b"1") -> bytes:
    return b'{"host_id": ' + host + b', "received_at_wall": ' + time + b', "x": ' + more + b"}\n"


NOT_JSON, NOT_UTF_8, NO_STRING = "not JSON", "not UTF-8", "host or time missing, or not a string"

# What it is -> the line, and the reason that it is counted under.
NONSENSE = {
    "nesting": (_row(more=b"[" * 100_000 + b"]" * 100_000), NOT_JSON),
    "NaN": (_row(more=b"NaN"), NOT_JSON),
    "Infinity": (_row(more=b"Infinity"), NOT_JSON),
    "a lone surrogate": (_row(host=b'"\\ud800"'), NOT_JSON),
    "a host that is not UTF-8": (_row(host=b'"\xff"'), NOT_UTF_8),
    "another value that is not UTF-8": (_row(more=b'"\xff"'), NOT_UTF_8),
    "a number of 5,000 digits for a host": (_row(host=b"1" * 5000), NO_STRING),
    "1e999 for a host": (_row(host=b"1e999"), NO_STRING),
    "a naive time": (_row(time=b'"2026-11-23T00:00:00"'), "time without offset"),
    "the year 9999": (_row(time=b'"9999-12-31T00:00:00Z"'), "implausible time"),
    "a time before the year 1": (_row(time=b'"0001-01-01T00:00:00+23:59"'), "implausible time"),
}


@pytest.mark.fault("F7", rig="core")
@pytest.mark.parametrize(("line", "reason"), NONSENSE.values(), ids=NONSENSE)
def test_F7_nonsense_is_one_rejection(line: bytes, reason: str) -> None:
    """It is neither a upload nor an exception."""
    parser = IndexParser(host_field="host_id", time_field="received_at_wall")

    uploads, rejections, _ = parser.parse_latest(line, NOW)

    assert (uploads, [one.reason for one in rejections]) == ([], [reason])


@pytest.mark.fault("F7", rig="core")
def test_F7_nonsense_is_counted_by_reason() -> None:
    """All of it together: each line is one more of its reason, and the good ones between them are uploads."""
    parser, count = IndexParser(host_field="host_id", time_field="received_at_wall"), RejectionCount()

    uploads, rejections, _ = parser.parse_latest(_row().join([b"", *(line for line, _ in NONSENSE.values())]), NOW)
    count.add(rejections)

    assert len(uploads) == len(NONSENSE)
    assert count.by_reason == Counter(reason for _, reason in NONSENSE.values())


@pytest.mark.fault("F7", rig="core")
def test_F7_numbers_that_are_not_looked_at_do_no_harm() -> None:
    """A row counts whatever it says beside its host and time, as long as it is JSON."""
    parser = IndexParser(host_field="host_id", time_field="received_at_wall")

    uploads, rejections, count = parser.parse_latest(_row(more=b"1" * 5000) + _row(more=b"1e999"), NOW)

    assert ([upload.host for upload in uploads], rejections, count) == (["a"], [], 2)


@pytest.mark.fault("F7", rig="files")
def test_F7_the_alert_log_stays_strict_json(tmp_path: Path) -> None:
    """Whatever the hosts are called, each alert is a line that any JSON reader takes, and one line in the journal."""
    names = [*NASTY_NAMES, "\ud800", "\udfff\ud800", "NaN", "\0", '"', "\u2028"]
    alerts = [Alert(Finding(host_name(name), "silent", "quiet", "look"), NOW) for name in names]

    AlertLog(tmp_path / "alerts.jsonl").append(alerts)

    lines = (tmp_path / "alerts.jsonl").read_bytes().decode("utf-8").splitlines()
    assert [json.loads(line, parse_constant=_refuse) for line in lines] == [alert.row() for alert in alerts]
    assert [alert.line() for alert in alerts if UNPRINTABLE.search(alert.line()) or "\n" in alert.line()] == []


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"not strict JSON: {constant}")


@pytest.mark.fault("F8", rig="service")
def test_F8_a_row_from_the_future_counts_as_uploaded_now(site: Site, start_service: StartService) -> None:
    """A host cannot buy itself peace for ever: dated a year ahead, it falls silent like any other, and is counted."""
    site.upload("far-ahead", minutes_ago=-365 * 24 * 60)
    site.upload("just-ahead", minutes_ago=-4)
    site.configure('detectors.silent.after = "2s"')
    with start_service(site) as service:
        service.until(lambda: ("far-ahead", "silent") in site.alerted(), "the host dated ahead to fall silent")

        assert "1 rejected (1 row from the future, taken as now)" in service.notify.status
        assert ("just-ahead", "silent") not in site.alerted()
