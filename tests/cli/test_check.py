"""`fleet-health check` as a command, on real journal and index files."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.alerting.alert import dedup_key
from fleet_health.cli.commands.check import _overrides
from fleet_health.cli.main import build_parser
from tests.rig.service_process import plain_environment

if TYPE_CHECKING:
    from tests.conftest import RunCommand, Site, StartService

# Noon, so that no hour begins near it.
NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
MINUTE_US = 60_000_000


@pytest.fixture
def recorded(site: Site) -> Site:
    """Recorded inputs that show every symptom at NOW, and on both sides of each boundary."""
    site.upload("well", at_us=NOW_US - MINUTE_US)
    site.upload("quiet", at_us=NOW_US - 45 * MINUTE_US)
    site.upload("just-in-time", at_us=NOW_US - 30 * MINUTE_US)
    site.upload("forgotten", at_us=NOW_US - 24 * 60 * MINUTE_US - 1)
    site.upload("back", at_us=NOW_US - 50 * MINUTE_US)
    site.upload("back", at_us=NOW_US + 1)  # has not happened yet
    site.answer("early", 500, times=10, at_us=NOW_US - 30 * MINUTE_US - 1)
    site.answer("edge", 500, times=10, at_us=NOW_US - 30 * MINUTE_US)
    site.answer("refused", 412, times=12, at_us=NOW_US - MINUTE_US)
    site.answer("well", 201, at_us=NOW_US - MINUTE_US)
    site.warn_unstamped("stale", times=10, at_us=NOW_US)
    site.answer("late", 412, times=10, at_us=NOW_US + 1)
    site.sync_journal()
    return site


FINDINGS = [
    ("back", "silent"),
    ("edge", "fatal-only"),
    ("quiet", "silent"),
    ("refused", "fatal-only"),
    ("stale", "unstamped"),
]


def found(stdout: str) -> list[tuple[str, str]]:
    """Return the host and symptom of each finding that was printed."""
    return re.findall(r"^(\S+): (silent|fatal-only|unstamped)", stdout, re.MULTILINE)


def test_it_evaluates_recorded_inputs_as_of_then(recorded: Site, check: RunCommand) -> None:
    """Both ends of the window belong to it; what is later has not happened; alerts are written and it is a success."""
    done = check("--now", NOW.isoformat())

    assert done.status == 0
    assert found(done.stdout) == FINDINGS
    # Both of each boundary but early (left the window), late (not yet) and forgotten (left the lookback).
    assert done.last_line == "7 hosts checked, 5 new alerts"
    assert recorded.alerted() == FINDINGS
    assert {row["detected_at_wall"] for row in recorded.alert_rows()} == {"2026-03-04T12:30:00+00:00"}
    assert {row["dedup_key"] for row in recorded.alert_rows()} == {dedup_key(*one, NOW_US) for one in FINDINGS}


@pytest.mark.parametrize(
    "now",
    [
        pytest.param("2026-03-04T12:30:00Z", id="ISO 8601 with Z"),
        pytest.param("2026-03-04T13:30:00+01:00", id="ISO 8601 with another offset"),
        pytest.param(str(NOW_US // 1_000_000), id="epoch seconds"),
        pytest.param(f"{NOW_US // 1_000_000}.000000", id="epoch seconds with fractions"),
    ],
)
@pytest.mark.usefixtures("recorded")
def test_an_instant_may_be_written_in_several_ways(now: str, check: RunCommand) -> None:
    """All accepted forms give the same instant, to the microsecond."""
    done = check("--dry-run", "--now", now)

    assert (done.status, found(done.stdout)) == (0, FINDINGS)


@pytest.mark.parametrize(
    ("offset_us", "expected"),
    [
        pytest.param(-1, [("edge", "fatal-only"), ("early", "fatal-only")], id="a microsecond earlier"),
        pytest.param(0, [("edge", "fatal-only")], id="on the boundary"),
        pytest.param(1, [("late", "fatal-only")], id="a microsecond later"),
    ],
)
@pytest.mark.usefixtures("recorded")
def test_fractions_of_a_second_count(offset_us: int, expected: list[tuple[str, str]], check: RunCommand) -> None:
    """The ends of the window are exact to the microsecond, in whichever form the instant is written."""
    at = (NOW + timedelta(microseconds=offset_us)).isoformat(timespec="microseconds")
    epoch = f"{(NOW_US + offset_us) // 1_000_000}.{(NOW_US + offset_us) % 1_000_000:06}"
    watched = {"edge", "early", "late"}
    for now in (at, epoch):
        printed = [one for one in found(check("--dry-run", "--now", now).stdout) if one[0] in watched]

        assert sorted(printed) == sorted(expected)


@pytest.mark.parametrize(
    "now",
    ["2026-03-04T25:30:00", "2026-02-30", "someday", "20260304", "nan", "inf", "", "1e30", "-1e20", "9" * 14],
)
def test_an_instant_that_is_none_is_refused(now: str, check: RunCommand) -> None:
    """Other forms and impossible times are refused, with an error of one line."""
    done = check(f"--now={now}")

    assert done.status == 2
    assert "argument --now: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("recorded")
def test_the_second_time_there_is_nothing_new(site: Site, check: RunCommand) -> None:
    """Within the hour, the same findings are printed but not alerted again. In the next hour they are."""
    check("--now", NOW.isoformat())
    again = check("--now", (NOW + timedelta(minutes=1)).isoformat())
    rows = len(site.alert_rows())
    next_hour = check("--now", (NOW + timedelta(minutes=30)).isoformat())

    # late has happened by now, just-in-time is so no more, and what edge did has left the window.
    assert again.last_line == "7 hosts checked, 2 new alerts"
    assert "quiet: silent (notified this hour)" in again.stdout
    assert rows == 7
    assert ("quiet", "silent") in found(next_hour.stdout)
    assert "quiet: silent (" not in next_hour.stdout


def row_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return a finding's row without the keys that `check` adds."""
    return {key: value for key, value in document.items() if key not in {"is_new", "decision"}}


def on_a_terminal(columns: int, *arguments: str | Path, **environment: str) -> list[str]:
    """Run `fleet-health` with a terminal as its stdout and stderr, and return the lines it shows."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, columns))
    command = [sys.executable, "-m", "fleet_health", *map(str, arguments)]
    known = {name: value for name, value in plain_environment().items() if name not in {"COLUMNS", "NO_COLOR"}}
    with subprocess.Popen(command, stdout=follower, stderr=follower, env={**known, "TERM": "xterm", **environment}):
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other end has been closed
            while data := os.read(leader, 1 << 16):
                shown += data
    os.close(leader)
    return shown.decode().splitlines()


def test_on_a_terminal_it_is_prose(site: Site) -> None:
    """Findings and log are text, wrapped at words and coloured unless colours are off. The count comes last."""
    fix = "go to the rack beside the window, and press the button on the host's back; " * 3
    site.configure(f'[detectors.silent]\nsuggested_fix = "{fix.strip()}"\n')
    site.upload("quiet", at_us=NOW_US - 45 * MINUTE_US)
    command = ("check", "--dry-run", "--config", site.config, "--now", NOW.isoformat())
    plain, coloured = on_a_terminal(60, *command, NO_COLOR="1"), on_a_terminal(60, *command)
    wide = on_a_terminal(2_000, *command, NO_COLOR="1")

    assert "\x1b" not in "".join(plain)
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured][1:] == plain[1:]
    assert "\x1b[31;1mquiet: silent\x1b[0m" in coloured
    assert plain[0].startswith("warning: The journal cannot be read, so only silent is evaluated: ")
    assert not any(line.startswith("{") for line in plain)
    assert plain[-1] == "1 host checked, 1 new alert (dry run: not written)"
    indented = [line for line in plain if line.startswith("    ")]
    assert max(map(len, indented)) <= 60 < len(fix)
    assert " ".join(line.strip() for line in indented).endswith(fix.strip())
    assert f"    {fix.strip()}" in wide


def test_in_a_pipe_nothing_is_wrapped(site: Site, check: RunCommand) -> None:
    """Each sentence is on a line of its own. With `--json`, the log is JSON as well."""
    fix = "go to the rack beside the window, and press the button on the host's back; " * 9
    site.configure(f'[detectors.silent]\nsuggested_fix = "{fix.strip()}"\n')
    site.upload("quiet", minutes_ago=45)
    done, as_json = check("--dry-run"), check("--dry-run", "--json")

    assert f"    {fix.strip()}\n" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert [json.loads(line)["level"] for line in as_json.stderr.splitlines()] == ["warning"]
    assert [set(one) & {"host", "hosts_checked"} for one in as_json.documents] == [{"host"}, {"hosts_checked"}]


@pytest.mark.usefixtures("recorded")
def test_json_is_an_object_a_line(site: Site, check: RunCommand) -> None:
    """Each finding is its alert row and whether it is new. The last object has the totals."""
    *findings, last = check("--json", "--now", NOW.isoformat()).documents
    rows = site.alert_rows()
    *again, last_again = check("--json", "--now", NOW.isoformat()).documents

    assert [row_of(one) for one in findings] == rows
    assert {one["is_new"] for one in findings} == {True}
    assert {one["is_new"] for one in again} == {False}
    assert (last["hosts_checked"], last["new_alerts"]) == (7, 5)
    assert (last_again["hosts_checked"], last_again["new_alerts"]) == (7, 0)


@pytest.mark.usefixtures("recorded")
def test_a_dry_run_emits_nothing(site: Site, check: RunCommand) -> None:
    """The findings are printed, and no file is created or changed."""
    before = sorted(site.directory.iterdir())
    done = check("--dry-run", "--now", NOW.isoformat())

    assert (done.status, found(done.stdout)) == (0, FINDINGS)
    assert done.last_line.startswith("7 hosts checked, 5 new alerts")
    assert sorted(site.directory.iterdir()) == before


@pytest.mark.usefixtures("recorded")
def test_a_dry_run_knows_what_was_given(site: Site, check: RunCommand) -> None:
    """An alert that the log has for this hour is not new. The alert log does not change."""
    check("--now", NOW.isoformat())
    before = site.alerts.read_bytes()
    done = check("--dry-run", "--now", NOW.isoformat())

    assert done.last_line.startswith("7 hosts checked, 0 new alerts")
    assert site.alerts.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(["--silent-threshold-min", "46"], {("back", "silent")}, id="a later threshold"),
        pytest.param(
            ["--silent-threshold-min", "29.5"],
            {("back", "silent"), ("just-in-time", "silent"), ("quiet", "silent")},
            id="an earlier threshold, with a fraction",
        ),
        pytest.param(
            ["--lookback-hours", "24.5"],
            {("back", "silent"), ("forgotten", "silent"), ("quiet", "silent")},
            id="a longer lookback",
        ),
        pytest.param(["--lookback-hours", "0.8"], {("quiet", "silent")}, id="a shorter lookback"),
    ],
)
@pytest.mark.usefixtures("recorded")
def test_the_silent_detectors_options(options: list[str], expected: set[tuple[str, str]], check: RunCommand) -> None:
    """The options set the threshold and the lookback."""
    done = check("--dry-run", "--now", NOW.isoformat(), *options)

    assert {one for one in found(done.stdout) if one[1] == "silent"} == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(["--recent-window-min", "5"], {"refused", "stale"}, id="a shorter window"),
        pytest.param(["--recent-window-min", "31"], {"early", "edge", "refused", "stale"}, id="a longer window"),
        pytest.param(["--fatal-min-count", "11"], {"refused"}, id="a higher count, also for unstamped"),
        pytest.param(["--fatal-min-count", "13"], set(), id="a count that none reaches"),
        pytest.param(["--fatal-ratio-threshold", "1"], {"edge", "refused", "stale"}, id="a share of all"),
    ],
)
@pytest.mark.usefixtures("recorded")
def test_the_journal_detectors_options(options: list[str], expected: set[str], check: RunCommand) -> None:
    """The options set window and count of both detectors that read the journal."""
    done = check("--dry-run", "--now", NOW.isoformat(), *options)

    assert {host for host, symptom in found(done.stdout) if symptom != "silent"} == expected


def test_options_prevail_over_the_configuration(recorded: Site, run_command: RunCommand) -> None:
    """Options override paths and limits of the file. Without a file, the defaults apply."""
    other = recorded.directory / "other.jsonl"
    recorded.configure(
        "[detectors.silent]\nafter = '1h'\n",
        index=Path("/nowhere/index.jsonl"),
        journal=Path("/nowhere/journal"),
        alerts=Path("/nowhere/alerts.jsonl"),
    )
    options = (
        *("--index-path", recorded.index),
        *("--journal-directory", recorded.journal_directory),
        *("--alerts-path", other),
        *("--now", NOW.isoformat()),
    )
    with_file = run_command("check", *options, "--silent-threshold-min", "30", "--config", recorded.config)
    rows = other.read_bytes().count(b"\n")
    other.unlink()
    without_file = run_command("check", *options)

    assert (with_file.status, found(with_file.stdout), rows) == (0, FINDINGS, 5)
    assert (without_file.status, found(without_file.stdout)) == (0, FINDINGS)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--silent-threshold-min", "0"], id="zero"),
        pytest.param(["--silent-threshold-min", "-5"], id="negative"),
        pytest.param(["--lookback-hours", "nan"], id="not a number"),
        pytest.param(["--lookback-hours", "1d"], id="with a unit"),
        pytest.param(["--lookback-hours", "1e99"], id="too long"),
        pytest.param(["--recent-window-min", ""], id="empty"),
        pytest.param(["--fatal-min-count", "2.5"], id="half a count"),
        pytest.param(["--fatal-min-count", "0"], id="no count"),
        pytest.param(["--fatal-ratio-threshold", "1.5"], id="more than all"),
        pytest.param(["--fatal-ratio-threshold", "nan"], id="no share"),
        pytest.param(["--lookback-hours", "0.5"], id="a lookback that is not longer than the threshold"),
        pytest.param(["--log-level", "loud"], id="an unknown level"),
        pytest.param(["--index-path", ""], id="an empty path"),
        pytest.param(["--no-such-option"], id="an unknown option"),
        pytest.param(["--config", "/nowhere/config.toml"], id="no such configuration"),
    ],
)
@pytest.mark.usefixtures("recorded")
def test_what_cannot_be_used_is_refused(options: list[str], site: Site, check: RunCommand) -> None:
    """The error names the option, the exit status is 2, and nothing is evaluated or written."""
    done = check(*options)

    assert (done.status, done.stdout) == (2, "")
    assert (
        options[0].removeprefix("--") in done.stderr
        or "detectors.silent.lookback" in done.stderr
        or ("/nowhere/config.toml" in done.stderr)
    )
    assert "Traceback" not in done.stderr
    assert not site.alerts.exists()


def test_every_problem_is_said_at_once(site: Site, check: RunCommand) -> None:
    """Problems of the file and of the options are reported together."""
    site.config.write_text("tick = 5\n")
    done = check("--fatal-min-count", "0", "--fatal-ratio-threshold", "7")

    assert done.status == 2
    for key in ("tick", "--fatal-min-count", "--fatal-ratio-threshold"):
        assert f": {key}: expected" in done.stderr


@pytest.mark.parametrize("kind", ["missing", "a directory", "a FIFO"])
def test_without_an_index_there_is_no_verdict(kind: str, site: Site, check: RunCommand) -> None:
    """The reason is one line, the exit status is 2, and no alert is written, not even one from the journal."""
    site.answer("refused", 412, times=12)
    site.sync_journal()
    if kind == "a directory":
        site.index.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(site.index)
    done = check()

    assert (done.status, done.stdout) == (2, "")
    assert str(site.index) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not site.alerts.exists()


@pytest.mark.parametrize("kind", ["missing", "empty", "a file"])
def test_without_a_journal_silent_hosts_are_found(kind: str, site: Site, check: RunCommand) -> None:
    """A missing journal is a warning. The detectors of the index still run, and the exit status is 0."""
    site.upload("quiet", minutes_ago=45)
    if kind == "empty":
        site.journal_directory.mkdir()
    elif kind == "a file":
        site.journal_directory.touch()
    done = check()

    assert (done.status, done.last_line) == (0, "1 host checked, 1 new alert")
    assert site.alerted() == [("quiet", "silent")]
    assert done.stderr.startswith("warning: The journal cannot be read, so only silent is evaluated: ")
    assert str(site.journal_directory) in done.stderr


def test_alerts_that_cannot_be_written_are_a_failure(site: Site, check: RunCommand) -> None:
    """The findings are printed, each alert counts as new, and the exit status is 1."""
    site.configure(alerts=site.directory / "missing" / "alerts.jsonl")
    site.upload("quiet", minutes_ago=45)
    done = check()

    assert (done.status, done.last_line) == (1, "1 host checked, 1 new alert")
    assert "quiet: silent\n" in done.stdout
    assert "No such file or directory" in done.stderr


def test_rows_that_cannot_be_read_are_no_failure(site: Site, check: RunCommand) -> None:
    """Invalid rows of the index are skipped. A last row without a newline counts."""
    site.index.write_bytes(b"\xff\nnot JSON\n{}\n\0\0\0\n")
    site.upload("quiet", minutes_ago=45)
    site.index.write_bytes(site.index.read_bytes().rstrip(b"\n"))
    done = check()

    assert (done.status, done.last_line) == (0, "1 host checked, 1 new alert")


def test_a_live_row_ahead_of_the_clock_counts_as_now(site: Site, check: RunCommand) -> None:
    """Without --now, a row with a future time counts as an upload just now, as in the service."""
    site.upload("ahead", minutes_ago=-600)

    assert check().last_line == "1 host checked, 0 new alerts"


def test_beside_a_running_service_no_alert_is_doubled(
    site: Site, check: RunCommand, start_service: StartService
) -> None:
    """Service and `check` find the same, and the second of them writes nothing."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        beside = check("--json")
        site.upload("newly-quiet", minutes_ago=31)
        first_or_second = check()
        service.until(lambda: "4 firing" in service.notify.status, "the service's own verdict")
        assert service.stop() == 0
    keys = [row["dedup_key"] for row in site.alert_rows()]

    assert [(one["host"], one["symptom"]) for one in beside.documents[:-1]] == site.EVERY_ALERT
    assert first_or_second.status == 0
    assert len(keys) == len(set(keys))
    assert ("newly-quiet", "silent") in site.alerted()


def test_its_findings_are_the_services(site: Site, check: RunCommand, start_service: StartService) -> None:
    """The same inputs give the same hosts, symptoms and texts."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        assert service.stop() == 0
    rows = {row["host"]: row for row in site.alert_rows()}
    at = site.alert_rows()[0]["detected_at_wall"]
    *findings, last = check("--json", "--now", at).documents

    assert {one["host"]: row_of(one) for one in findings} == rows
    assert last["new_alerts"] == 0


def test_it_holds_back_what_the_service_holds_back(site: Site, check: RunCommand, start_service: StartService) -> None:
    """With the saved state: a host in its grace, a repeat that is not due, and a lost host are not alerted."""
    site.configure('hosts.expected = ["pi-9"]\nalerts.repeat = ["24h"]\ndetectors.silent.lookback = "1h"')
    site.upload("quiet", minutes_ago=45)
    site.upload("well")
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("quiet", "silent")], "the alert")
        service.until_evaluated_anew()
        *found, last = check("--json").documents
        shown = check().stdout
        assert service.stop() == 0
    decided = {(one["host"], one["symptom"]): one["decision"] for one in found}

    assert {pair: (one["state"], one["action"], one["reason"]) for pair, one in decided.items()} == {
        ("pi-9", "never-seen"): ("pending", "none", "within grace"),
        ("quiet", "silent"): ("firing", "none", "repeat not due"),
    }
    assert last["new_alerts"] == 0
    assert "pi-9: never-seen (pending)\n" in shown
    assert "quiet: silent (repeat not due)\n" in shown
    assert site.alerted() == [("quiet", "silent")]


@pytest.mark.parametrize(("begins_minutes_ago", "is_missed"), [(59, False), (61, True)])
def test_without_a_service_a_host_is_missed_if_the_index_reaches_back(
    begins_minutes_ago: int, *, is_missed: bool, site: Site, check: RunCommand
) -> None:
    """Without a saved state, a host is missed only if the index covers the whole grace."""
    site.configure('hosts.expected = ["pi-9"]')
    site.upload("well", minutes_ago=begins_minutes_ago)
    site.upload("well")

    assert ("pi-9: never-seen\n" in check().stdout) == is_missed
    assert site.alerted() == [("pi-9", "never-seen")] * is_missed


def test_without_a_configuration_it_writes_where_the_timer_script_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a file, even an empty one, it writes where the service does."""
    monkeypatch.setattr("fleet_health.cli.options.DEFAULT_PATH", tmp_path / "config.toml")
    parser = build_parser(["check"])
    plain, with_file, with_option = (
        _overrides(parser.parse_args(["check", *words]))
        for words in ([], ["--config", os.devnull], ["--alerts-path", "/a"])
    )

    assert plain["alerts.path"] == ("--alerts-path", "/var/lib/cis490/alerts.jsonl")
    assert "alerts.path" not in with_file
    assert with_option["alerts.path"] == ("--alerts-path", "/a")
