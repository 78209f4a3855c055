"""`fleet-health patterns`: what the patterns make of real lines, also of other receivers."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.cli.render.pattern_report import Report, as_lines
from fleet_health.config.loading import load
from fleet_health.parsing.line_shape import line_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Finished, RunCommand, Site

RECIPES = Path(__file__).parents[2] / "packaging/doc/another-receiver.md"
DATA = Path(__file__).parent / "data"


@pytest.fixture
def patterns(site: Site, run_command: RunCommand) -> Callable[..., Finished]:
    """Run the command for the site."""
    site.configure()
    return lambda *arguments: run_command("patterns", "--config", site.config, *arguments)


@pytest.mark.parametrize("name", ["nginx", "combined", "Caddy"])
def test_the_documented_examples_read_real_lines(name: str, site: Site, run_command: RunCommand) -> None:
    """They match the uploads of real servers, and nothing that a client puts into its own name."""
    (example,) = re.findall(rf"```toml\n# {name}\n(.*?)```", RECIPES.read_text(), re.DOTALL)
    site.config.write_text(example)
    done = run_command("patterns", "--config", site.config, DATA / f"{name.lower()}-access.log", "--json")
    document = done.documents[0]

    assert (done.status, document["lines"]) == (0, 9)
    assert document["response"]["statuses"] == {"201": 3, "412": 3, "503": 1}
    assert document["response"]["hosts"] == {"pi-01": 3, "pi-02": 2, "pi-03": 1, "pi-04": 1}
    # The two requests that are no uploads.
    assert document["unmatched"] == 2
    assert (document["forgeable"], document["unstamped"]["is_on"]) == ([], False)


def test_no_name_is_cut_on_a_narrow_terminal(site: Site) -> None:
    """The list continues on the next line."""
    report = Report(load(site.configure()).receivers[0].journal)
    for number in range(12):
        report.add(f'1.2.3.4:5 - "PUT /v1/episodes/sensor-gateway-{number:02}/e HTTP/1.1" 201'.encode())
    report.finish()

    lines = list(as_lines(report, 40))
    begin = next(place for place, line in enumerate(lines) if "sensor-gateway" in line)
    end = lines.index("", begin)

    assert max(map(len, lines[begin:end])) <= 40
    assert " ".join(map(str.strip, lines[begin:end])).endswith('"sensor-gateway-09" 1 and 2 more')


def test_what_matches_and_what_does_not_is_shown(site: Site, patterns: Callable[..., Finished]) -> None:
    """Hosts, statuses and rejections of the receiver's journal are shown. Similar lines are shown as one."""
    for host, times in (("pi-1", 3), ("pi-2", 1)):
        site.answer(host, 201, times=times)
    site.answer("pi-1", 412)
    site.answer("pi-1", 304)
    site.warn_unstamped("pi-3", times=2)
    site.journal.append("WARNING: missing X-Cis490-Code-Commit somewhere")
    for number in range(7):
        site.journal.append(f"INFO worker {number} took 0.{number} s for 10.0.0.{number}\x1b[31m")
    site.journal.append("of another unit", unit="other.service")
    site.journal.append(
        "Started Receiver.",
        unit="init.scope",
        _PID="1",
        UNIT="cis490-receiver.service",
        MESSAGE_ID="39f53479d3a045ac8e11786248231fbf",
    )
    site.sync_journal()
    done = patterns()
    document = patterns("--json").documents[0]

    assert done.status == 0
    assert done.stdout.startswith("16 lines\n\njournal.response: 5 lines (31.2%), 2 hosts, ")
    assert '    201: 4, 412: 1\n    "pi-1" 4, "pi-2" 1\n' in done.stdout
    assert "journal.unstamped: 2 lines (12.5%), 1 host, " in done.stdout
    assert "status 304 is neither 2xx, 4xx nor 5xx, and is not counted: 1 times\n" in done.stdout
    assert "1 rejected: unstamped rejection names no host, the latest: WARNING: missing" in done.stdout
    assert "       7 x INFO worker <n> took <n>.<n> s for <address>\\x1b[<n>m\n" in done.stdout
    assert "           such as INFO worker 0 took 0.0 s for 10.0.0.0\\x1b[31m\n" in done.stdout
    assert (document["version"], document["unmatched"], document["shapes"][0]["count"]) == (1, 7, 7)
    assert document["response"]["us_per_line"] > 0


def test_hosts_that_only_one_source_knows_are_warned_of(site: Site, run_command: RunCommand) -> None:
    """A pattern that matches too much of a name creates other hosts. The quotes around names make that visible."""
    site.configure("journal.unstamped = { contains = 'missing', host = 'host=(?P<host>.*) missing' }")
    site.upload("pi-1")
    site.answer("pi-1", 201)
    site.answer("pi-2", 201)
    site.answer("pi-3", 412)
    site.journal.append("host=pi-3: missing X-Cis490-Code-Commit")
    site.journal.append("host=pi-1 ) missing X-Cis490-Code-Commit")
    site.sync_journal()
    done = run_command("patterns", "--config", site.config)
    (document,) = run_command("patterns", "--config", site.config, "--json").documents

    assert '    "pi-1%20%29" 1, "pi-3" 1\n' in done.stdout or '    "pi-3" 1, "pi-1%20%29" 1\n' in done.stdout
    assert 'WARNING journal.unstamped: not among the hosts of journal.response: "pi-1%20%29"\n' in done.stdout
    assert f'among the hosts of the index {site.index}: "pi-2"\n' in done.stdout
    assert [one["hosts"] for one in document["strangers"]] == [["pi-1%20%29"], ["pi-2"]]


def test_nothing_that_matches_is_said_with_what_to_do(site: Site, patterns: Callable[..., Finished]) -> None:
    """The exit status is 1. Without any line, the output suggests that the unit may be another one."""
    site.journal.append("GET / 200")
    site.sync_journal()
    nothing = patterns()
    file = site.directory / "empty"
    file.touch()
    empty = patterns(file)

    assert (nothing.status, empty.status) == (1, 1)
    assert "Nothing matched. Write a pattern" in nothing.stdout
    assert "       1 x GET / <n>\n" in nothing.stdout
    assert "There are no lines: is cis490-receiver.service the receiver's unit" in empty.stdout


def test_whatever_is_in_a_file_is_read(site: Site, patterns: Callable[..., Finished]) -> None:
    """Long lines, invalid UTF-8 and any number of shapes are no error."""
    file = site.directory / "lines"
    words = (
        f"{'abcdefghij'[number % 10]}{'klmnopqrst'[number // 10 % 10]}" * (number // 100 + 1)
        for number in range(12_000)
    )
    file.write_bytes(
        b"x" * 3_000_000 + b"\n\xff\xfe\n\r\n" + "\n".join(words).encode() + b'\n"PUT /v1/episodes/a/b HTTP/1.1" 201'
    )
    done = patterns(file)

    assert done.status == 0
    assert "journal.response: 1 line (" in done.stdout
    assert re.search(r"and 9990 more shapes, and \d+ lines\n", done.stdout)
    assert done.stdout.isprintable() or all(line.isprintable() for line in done.stdout.splitlines())


def test_lines_may_come_from_stdin_and_their_absence_is_said(site: Site, patterns: Callable[..., Finished]) -> None:
    """A missing file, a missing journal and an invalid time give exit status 2."""
    command = [sys.executable, "-m", "fleet_health", "patterns", "--config", str(site.configure()), "-", "--json"]
    line = b'10.0.0.7:1 - "PUT /v1/episodes/a/b HTTP/1.1" 201\n'
    piped = subprocess.run(command, input=line, capture_output=True, check=False, env=os.environ)
    strange = patterns("/no\x1b[31mwhere")
    absent, no_journal, no_time = patterns("/nowhere"), patterns(), patterns("--since", "soon")

    assert piped.returncode == 0
    assert b'"matches": 1' in piped.stdout
    assert (absent.status, absent.stderr) == (2, "/nowhere: No such file or directory\n")
    assert strange.stderr == "/no\\x1b[31mwhere: No such file or directory\n"
    assert (no_journal.status, "there is no journal in" in no_journal.stderr) == (2, True)
    assert (no_time.status, "expected `now`, `today` or `yesterday`, a date" in no_time.stderr) == (2, True)


def test_a_log_that_was_compressed_is_refused(site: Site, patterns: Callable[..., Finished]) -> None:
    """The error has a command that decompresses the file, and nothing of its content."""
    file = site.directory / "access.log.2.gz"
    file.write_bytes(gzip.compress(b'"PUT /v1/episodes/a/b HTTP/1.1" 201\n'))
    done = patterns(file)

    assert (done.status, done.stdout) == (2, "")
    assert "access.log.2.gz: expected lines of text, found a gzip file (zcat FILE | " in done.stderr


def test_an_interrupt_ends_it_quietly(site: Site) -> None:
    """There is no traceback, and the exit status is the one of shells."""
    command = ["-m", "fleet_health", "patterns", "--config", str(site.configure()), "-"]
    # A test that runs in the background of a shell ignores SIGINT, and so would all that it starts.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    assert process.stdin is not None
    process.stdin.write(b"a line\n" * 100_000)  # more than a pipe holds, so it reads by then
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()

    assert (process.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("took 12.5 ms", "took <n>.<n> ms"),
        ("10.0.0.7:51234 - GET", "<address>:<n> - GET"),
        ("from fe80::1ff:fe23:4567:890a.", "from <address>."),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id <uuid>"),
        ("commit 0a1b2c3d4e5f", "commit <hex>"),
        ("at 2026-11-23T12:00:00.123456+00:00 and 2026-11-23 12:00:00", "at <time> and <time>"),
        ("deadbeef and cafe", "deadbeef and cafe"),
        ("pi-01: v2", "pi-<n>: v<n>"),
        ("x" * 600, "x" * 500),
        ("", ""),
    ],
)
def test_lines_that_differ_in_figures_have_one_shape(line: str, shape: str) -> None:
    """Words stay as they are, even words that could be hexadecimal."""
    assert line_shape(line) == shape


def test_lines_of_another_format_get_a_reason_and_a_pattern(site: Site, patterns: Callable[..., Finished]) -> None:
    """The suggested pattern matches them, and is not suggested for other lines."""
    log = site.directory / "access.log"
    line = '10.0.0.7 - - [26/Nov/2026:05:55:43 +0000] "PUT /v1/episodes/pi-{}/e HTTP/1.0" 201 0 "-" "shipper"\n'
    log.write_text("".join(line.format(number) for number in range(7)) + 'INFO: x - "PUT /v1/episodes/a" 412\n')

    done = patterns(log)
    document = patterns(log, "--json").documents[0]
    (offered,) = document["suggestions"]
    site.configure(f"journal.response = '{offered['pattern']}'")
    again = patterns(log, "--json").documents[0]

    assert done.status == 1
    assert "does not match: it is of another format: nginx, Apache or gunicorn: combined\n" in done.stdout
    assert 'does not match: the pattern requires `/` after `"PUT /v1/episodes/`\n' in done.stdout
    assert "\n7 lines would be matched by the pattern for nginx, Apache or gunicorn: combined:\n" in done.stdout
    assert f"    response = '{offered['pattern']}'\n" in done.stdout
    assert [shape["why"][:5] for shape in document["shapes"]] == ["it is", "the p"]
    assert (again["response"]["matches"], again["forgeable"]) == (7, [])
