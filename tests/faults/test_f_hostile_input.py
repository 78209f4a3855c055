"""F: whoever can upload can write into our inputs. None of it reaches a terminal, a shell, or another host's record."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.domain.alert import Alert
from fleet_health.domain.detectors.contract import Finding
from fleet_health.domain.fleet import Ships
from fleet_health.domain.observation import Ship
from fleet_health.domain.suggested_fix import SuggestedFix
from fleet_health.errors import ConfigError
from fleet_health.parsing.host_name import host_name
from fleet_health.parsing.index_row import IndexParser
from fleet_health.parsing.receiver_log import LogParser

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RunCommand, Service, Site, StartService

NASTY_NAMES = (
    "pi-01\n",
    "pi-01\x1b[31m",
    "pi%2F01",
    "pi/01",
    "a" * 10_000,
    "a" * 10_001,
    "\u202epi-01",
    "\x9b31m",
    "pi 01; reboot",
    "\\x1b",
)


@pytest.mark.fault("F1", rig="files")
def test_F1_nasty_host_names_are_safe_and_never_another_host(site: Site, run_command: RunCommand) -> None:
    """Each nasty name gives an alert of its own under a name of plain characters, and the plain host keeps its own."""
    names = ("pi-01", *NASTY_NAMES)
    site.ship(*names, minutes_ago=40)

    finished = run_command("check", "--config", site.configure(), "--json")

    hosts = [document["host"] for document in finished.documents if "host" in document]
    assert len(set(hosts)) == len(names)
    assert "pi-01" in hosts
    assert [host for host in hosts if not re.fullmatch(r"[A-Za-z0-9._:%~-]{1,128}", host)] == []


@pytest.mark.fault("F2", rig="service")
def test_F2_invented_hosts_crowd_nobody_out(site: Site, start_service: StartService) -> None:
    """Beyond the limit new names are left out, with one alert that says so; who was known is watched as before."""
    site.ship("known", minutes_ago=40)
    site.configure("hosts.limit = 10")
    with start_service(site) as service:
        service.until_ready()
        site.ship(*(f"invented-{number}" for number in range(1000)))
        service.until(lambda: ("*", "too-many-hosts") in site.alerted(), "the alert of too many hosts")
        site.ship("known")
        service.until(lambda: _firing(service) == {"too-many-hosts"}, "the known host to be heard")

        assert "Watching 10 hosts" in service.notify.status
        assert ("known", "silent") in site.alerted()


def _firing(service: Service) -> set[str]:
    named = re.search(r"firing \((.*?)\)", service.notify.status)
    return set(re.findall(r"\d+ ([a-z-]+)", named[1])) if named else set()


@pytest.mark.fault("F2", rig="core")
def test_F2_memory_is_bounded() -> None:
    """A million invented names leave no more hosts behind than the limit."""
    ships = Ships(limit=100)

    ships.record(Ship(f"invented-{number}", number) for number in range(1_000_000))

    assert (len(list(ships.items())), ships.left_out.count) == (100, 999_900)


@pytest.mark.fault("F3", rig="files")
@pytest.mark.parametrize("pattern", [r"(?P<host>(a+)+)!!(?P<status>1)", r"(?P<host>(?:[^/]*/?)*)$(?P<status>1)"])
def test_F3_a_pattern_that_backtracks_for_ever_is_refused(tmp_path: Path, pattern: str) -> None:
    """It is a configuration error before any line is read, and finding that out takes no more than moments."""
    config = tmp_path / "config.toml"
    config.write_text(f"journal.response = {json.dumps(pattern)}\n")

    with pytest.raises(ConfigError, match=r"journal\.response: expected .* that is fast on any line"):
        load(config)


@pytest.mark.fault("F3", rig="core")
def test_F3_no_pattern_sees_more_than_two_kibibytes() -> None:
    """A line of a megabyte costs a pattern no more than its beginning."""
    seen: list[int] = []

    def spy(line: str) -> None:
        seen.append(len(line))

    parser = LogParser(re.compile(r"(?P<host>x)(?P<status>y)"), "marker", re.compile("(?P<host>x)"))
    parser._response = spy  # type: ignore[assignment]

    parser.parse(b"x" * 1_000_000, 0)

    assert seen == [2048]


@pytest.mark.fault("F4", rig="files")
def test_F4_nothing_unprintable_reaches_the_terminal(site: Site, run_command: RunCommand) -> None:
    """Neither a finding nor a message about the configuration holds C0, C1, DEL or a change of direction."""
    site.ship(*NASTY_NAMES, minutes_ago=40)
    bad = site.directory / "bad.toml"
    bad.write_text('"\\u001b[31m\\u202e" = 1\ntick = "\\u009b31m\\u2066"\n')

    printed = run_command("check", "--config", site.configure(), "--dry-run").stdout
    complained = run_command("check", "--config", bad).stderr

    assert len(complained.splitlines()) == 2
    assert re.findall(r"[^\x20-\x7e\n…]", printed + complained) == []


@pytest.mark.fault(
    "F5", rig="core", says="templates that reach into the program, and shell commands with a host in them"
)
@pytest.mark.parametrize("text", ["${host.__init__}", "$other", "${host!r:>999999999}", "100 $"])
def test_F5_a_template_knows_the_host_and_nothing_else(text: str) -> None:
    """Any other name, attribute or format is refused when the configuration is read."""
    with pytest.raises(ValueError, match=r"\$"):
        SuggestedFix(text)


@pytest.mark.fault(
    "F5", rig="core", says="templates that reach into the program, and shell commands with a host in them"
)
def test_F5_a_host_in_a_command_is_one_word() -> None:
    """Whoever copies the command into a shell passes on the host's name, and runs nothing of it."""
    fix = SuggestedFix("run `printf %s $host`")

    command = fix.render("x; echo owned $(id)").split("`")[1]

    printed = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert printed == "x; echo owned $(id)"
    assert shlex.split(command)[-1] == "x; echo owned $(id)"


@pytest.mark.fault(
    "F7", rig="core", says="nesting, numbers without end, NaN, lone surrogates, naive times, the year 9999"
)
@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="nesting"),
        pytest.param(b'{"host_id": ' + b"1" * 5000 + b"}", id="a number of 5,000 digits for a host"),
        pytest.param(b'{"host_id": "a", "received_at_wall": "2026-11-23T00:00:00Z", "x": NaN}', id="NaN"),
        pytest.param(b'{"host_id": 1e999, "received_at_wall": "2026-11-23T00:00:00Z"}', id="1e999 for a host"),
        pytest.param(b'{"host_id": "\\ud800", "received_at_wall": "2026-11-23T00:00:00Z"}', id="a lone surrogate"),
        pytest.param(b'{"host_id": "a", "received_at_wall": "2026-11-23T00:00:00"}', id="a naive time"),
        pytest.param(b'{"host_id": "a", "received_at_wall": "9999-12-31T00:00:00Z"}', id="the year 9999"),
    ],
)
def test_F7_nonsense_is_one_counted_rejection(line: bytes) -> None:
    """It is neither a ship nor an exception."""
    parser = IndexParser(host_field="host_id", time_field="received_at_wall")

    ships, rejections = parser.parse_block(line + b"\n")

    assert (ships, len(rejections)) == ([], 1)
    assert rejections[0].reason


@pytest.mark.fault(
    "F7", rig="core", says="nesting, numbers without end, NaN, lone surrogates, naive times, the year 9999"
)
@pytest.mark.parametrize("name", NASTY_NAMES)
def test_F7_an_alert_row_is_strict_json(name: str) -> None:
    """Whatever a host is called, its alert is one line that any JSON reader takes."""
    alert = Alert(Finding(host_name(name), "silent", "quiet", "look"), 1_795_460_100_000_000)

    line = json.dumps(alert.row(), allow_nan=False)

    assert json.loads(line) == alert.row()
    assert "\n" not in alert.line()


@pytest.mark.fault("F8", rig="service")
def test_F8_a_row_from_the_future_counts_as_shipped_now(site: Site, start_service: StartService) -> None:
    """A host cannot buy itself peace for ever: dated a year ahead, it falls silent like any other, and is counted."""
    site.ship("ahead", minutes_ago=-365 * 24 * 60)
    site.configure('detectors.silent.after = "2s"')
    with start_service(site) as service:
        service.until(lambda: ("ahead", "silent") in site.alerted(), "the host dated ahead to fall silent")

        assert "1 rejected" in service.notify.status
