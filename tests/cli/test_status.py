"""`fleet-health status`: what a running service shows of the fleet."""

from __future__ import annotations

import grp
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.api.connection import HEAD_LIMIT
from fleet_health.api.levels import level_of
from fleet_health.cli.commands.status import exit_status
from fleet_health.cli.render import nagios
from fleet_health.cli.render.host_table import table
from fleet_health.cli.render.interval_bars import interval_bars
from fleet_health.cli.render.overview_screen import screen
from fleet_health.cli.render.terminal import UNLIMITED, Paint, columns_of, cut, wrapped
from fleet_health.model.strip import BINS
from fleet_health.model.words import short_duration
from tests.rig.api_client import ApiClient
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Finished, RunCommand, Site, StartService

ESCAPE = "\x1b"
_COMMAND = ("-m", "fleet_health", "status")


@pytest.fixture
def status(site: Site, run_command: RunCommand) -> Callable[..., Finished]:
    """Run the command for the site."""

    def run(*arguments: str) -> Finished:
        return run_command("status", "--config", site.config, *arguments)

    return run


def on_terminal(site: Site, *arguments: str, columns: int = 80, lines: int = 200, **environment: str) -> str:
    """Run the command on a terminal of this size, and return its output."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        # A test that runs in the background of a shell ignores SIGINT, and so would all that it starts.
        ["env", "--default-signal=INT", sys.executable, *_COMMAND, "--config", str(site.config), *arguments],
        stdout=theirs,
        env={
            **os.environ,
            "TERM": "xterm",
            "COLUMNS": str(columns),
            "LINES": str(lines),
            "NO_COLOR": "",
            **environment,
        },
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 65_536)
        except OSError:
            break
        if "--watch" in arguments and written.count(b"\x1b[H") >= 2:
            process.send_signal(signal.SIGINT)
    os.close(ours)
    process.wait()
    return written.decode()


def host_lines(text: str) -> dict[str, str]:
    """Return the table's lines by host."""
    return {match[1]: match[0] for match in re.finditer(r"^[!?z~.x -] (\S+) .*[▇▄x· ]{24}$", text, re.MULTILINE)}


def test_a_fleet_at_a_glance(site: Site, status: Callable[..., Finished], start_service: StartService) -> None:
    """Firing hosts come first, with their symptoms and last uploads. The exit status is 1."""
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until_evaluated_anew()
        done = status()
        document = status("--json").documents[0]

    lines = host_lines(done.stdout)
    assert done.status == 1
    assert done.stdout.startswith("4 hosts: 3 firing, 1 well\nindex following, ")
    assert [host for host in lines if host != "HOST"] == ["quiet", "refused", "unstamped", "well"]
    assert re.match(r"! quiet +silent +45m +0 +0 +0 ", lines["quiet"])
    assert re.match(r"! refused +fatal-only +- +0 +12 +0 .*x$", lines["refused"])
    assert re.match(r"  well +\d+s +12 +0 +0 .*▇$", lines["well"])
    assert re.search(r"^last tick \S+ \S+\+00:00, next tick \S+ \S+\+00:00$", done.stdout, re.MULTILINE)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert ESCAPE not in done.stdout
    assert document["version"] == 1
    assert document["hosts_by_state"] == {"firing": 3, "well": 1}
    (quiet,) = [host for host in document["hosts"] if host["host"] == "quiet"]
    assert (quiet["state"], [one["symptom"] for one in quiet["incidents"]]) == ("firing", ["silent"])
    assert quiet["last_upload_age_s"] == pytest.approx(2_700, abs=120)
    assert len(quiet["strip"]) == BINS


def test_only_what_is_asked_for(site: Site, status: Callable[..., Finished], start_service: StartService) -> None:
    """Globs, states and a limit select the hosts. The exit status is that of the whole fleet."""
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        shown = {
            arguments: [host["host"] for host in status("--json", *arguments).documents[0]["hosts"]]
            for arguments in (("un*", "q*"), ("--state", "well"), ("--limit", "1"), ("nobody",))
        }
        limited = status("--limit", "1")
        none, slip = status("nobody"), status("quite", "x*")
        by_name = status("--json", "quiet", *(f"host-{number:04}" for number in range(1_000)))
        too_many = status(*(f"host-{number:04}" for number in range(5_000)))
        wrong = status("--limit", "-1")

    assert shown == {
        ("un*", "q*"): ["quiet", "unstamped"],
        ("--state", "well"): ["well"],
        ("--limit", "1"): ["quiet"],
        ("nobody",): [],
    }
    assert "  and 3 more\n" in limited.stdout
    assert none.status == 1
    assert "\nno host matches\n" in none.stdout
    assert (none.stderr, slip.stderr) == (
        "no host nobody is known\n",
        "no host quite is known; did you mean quiet?\n",
    )
    assert by_name.documents[0]["hosts_matching"] == 1
    assert (too_many.status, too_many.stderr) == (
        2,
        f"expected a request with a head of at most {HEAD_LIMIT} bytes, found a larger one; request less\n",
    )
    assert (wrong.status, wrong.stderr) == (2, "expected `limit` to be a whole number, found '-1'\n")


def test_the_exit_status_says_how_it_is(
    site: Site, status: Callable[..., Finished], start_service: StartService
) -> None:
    """It is 0 if all is well, 3 if the service is blind, 4 if it does not run."""
    site.configure()
    absent = status()
    site.upload("well")
    site.answer("well", 201)
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        well = status()
        site.index.unlink()
        site.index.mkdir()
        service.until(lambda: not status("--json").documents[0]["sources"][0]["is_seeing"], "the loss")
        blind = status()
        service.process.kill()
        service.process.wait()
        dead = status()

    assert (absent.status, well.status, blind.status, dead.status) == (4, 0, 3, 4)
    assert "the service is not running (No such file or directory)" in absent.stderr
    assert "the service is not running (Connection refused)" in dead.stderr
    assert well.stdout.startswith("1 host: 1 well\n")


def test_a_name_that_is_no_text_is_refused(run_command: RunCommand) -> None:
    """The error names the argument."""
    for command in ("status", "explain"):
        done = run_command(command, "\udcff")

        assert done.status == 2
        assert "expected a host name or a glob in UTF-8, found '\\udcff'" in done.stderr


@pytest.mark.parametrize("answer", [b"220 mail.example.org ESMTP\n", b"[]\n", b"\xff\n"])
def test_somebody_else_at_the_socket_is_recognized(answer: bytes, site: Site, status: Callable[..., Finished]) -> None:
    """A listener that does not speak the protocol is not taken for the service."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.directory / "control.sock"))
        listener.listen()
        listener.settimeout(PATIENCE_S)
        with ThreadPoolExecutor(1) as threads:
            done = threads.submit(status)
            connection, _ = listener.accept()
            with connection:
                connection.recv(4_096)
                connection.sendall(answer)

    assert done.result().status == 4
    assert done.result().stderr.endswith(
        "the process that responds there is not fleet-health; check `[control] path` in its configuration\n"
    )


def test_colours_are_for_terminals(site: Site, start_service: StartService) -> None:
    """NO_COLOR and a dumb terminal have none. The pager is used unless it is missing or turned off."""
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        coloured = on_terminal(site)
        plain = [on_terminal(site, NO_COLOR="1"), on_terminal(site, TERM="dumb")]
        ascii_only = on_terminal(site, NO_COLOR="1", PYTHONIOENCODING="ascii")
        paged = on_terminal(site, lines=5, PAGER="sed s/^/paged:/")
        pagerless = [on_terminal(site, lines=5, PAGER=pager) for pager in ("", "no-such-pager", "less '")]
        unpaged = on_terminal(site, "--no-pager", lines=5, PAGER="sed s/^/paged:/")
        watched = on_terminal(site, "--watch", lines=7)

    assert f"{ESCAPE}[31;1m! quiet" in coloured
    assert [ESCAPE in text for text in plain] == [False, False]
    assert "! quiet" in plain[0]
    assert ascii_only.isascii()
    assert "x refused" in ascii_only
    assert paged.startswith("paged:")
    assert ["! quiet" in text for text in pagerless] == [True] * 3
    assert "paged:" not in unpaged
    assert watched.count(f"{ESCAPE}[H{ESCAPE}[J") >= 2
    assert "next tick" in watched


def test_an_interrupt_is_the_pager_s(tmp_path: Path) -> None:
    """It gets Ctrl-C as well and may go on. If it were killed, it would leave the terminal without echo."""
    code = "from fleet_health.cli.render.terminal import show; show(['line'] * 50, is_paged=True)"
    ours, theirs = pty.openpty()
    done = subprocess.run(
        ["env", "--default-signal=INT", sys.executable, "-c", code],
        stdout=theirs,
        env={**os.environ, "LINES": "10", "PAGER": f"sh -c 'cat >{tmp_path}/shown; kill -INT $PPID'"},
        check=False,
    )
    os.close(ours)
    os.close(theirs)

    assert done.returncode == 0
    assert (tmp_path / "shown").read_text() == "line\n" * 50


def document(*hosts: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Make a status document with these hosts."""
    return {
        "problems": [],
        "hosts_by_state": {"well": len(hosts)},
        "sources": [],
        "is_evaluated": True,
        "fleet_incidents": [],
        "hosts": list(hosts),
        "hosts_matching": len(hosts),
        "silences": [],
        "not_evaluated": [],
        "last_tick_wall": None,
        "next_tick_wall": None,
    } | others


def host(name: str, **others: Any) -> dict[str, Any]:
    """Make a host of a status document."""
    return {
        "host": name,
        "state": "well",
        "incidents": [],
        "last_upload_age_s": 3.0,
        "window_s": 1800.0,
        "responses": {"2xx": 1, "4xx": 0, "5xx": 0, "unstamped": 0},
        "strip": "s" * BINS,
    } | others


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_name_breaks_the_table(width: int) -> None:
    """Neither long names nor names with escape sequences shift a column."""
    names = ["a", "b" * 300, "\x1b[2J\x07evil", "line\nbreak", "\u202ethgir"]
    evil = "\x1b[31m\n"
    silence = {"ends_at_wall": "2026-11-23T12:00:00+00:00", "hosts": evil, "symptom": None, "id": "1"}
    lines = screen(
        document(
            *map(host, names),
            problems=[evil * 100],
            silences=[silence | {"author": evil, "reason": evil * 50}],
        ),
        width,
        Paint(is_on=False),
    )
    start = next(index for index, line in enumerate(lines) if line.startswith("  HOST"))
    rows = lines[start + 1 : start + 1 + len(names)]

    assert [row[2] for row in rows] == ["a", "b", "\\", "l", "\\"]
    assert len({len(row) for row in rows}) == 1
    assert not any(character in line for line in lines for character in "\x1b\n\x07\u202e")
    assert max(map(len, lines)) <= width


NAMES = ("sensor-gateway-12-in-the-basement", "pi-08")


@pytest.mark.parametrize(
    ("width", "strip", "symptoms", "has_counts"),
    [
        (UNLIMITED, 24, "unstamped, fatal-only", True),
        (104, 24, "unstamped, fatal-only", True),
        (103, 20, "unstamped, fatal-only", True),
        (90, 8, "unstamped, fatal-only", True),
        (80, 0, "unstamped, fatal-only", True),
        (75, 0, "unstamped +1", True),
        (60, 0, "unstamped +1", False),
        (49, 0, "unstamped +1", False),
    ],
)
def test_the_strip_gives_way_first_and_a_name_last(width: int, strip: int, symptoms: str, *, has_counts: bool) -> None:
    """A narrow terminal drops the strip first. Without a terminal, nothing is cut, so names can be searched."""
    incidents = [{"symptom": symptom} for symptom in ("unstamped", "fatal-only")]
    hosts = [host(NAMES[0]), host(NAMES[1], state="firing", incidents=incidents)]
    lines = screen(document(*hosts), width, Paint(is_on=False))
    (first,) = [line for line in lines if NAMES[0] in line]
    (second,) = [line for line in lines if line.startswith(f"! {NAMES[1]} ")]

    assert second[2 + len(NAMES[0]) :].startswith(f" {symptoms} ") or second.endswith(f" {symptoms}")
    assert first.count("▇") == strip
    assert any("2xx" in line for line in lines) == has_counts
    assert max(map(len, lines)) <= width


@given(
    st.lists(st.tuples(st.text("abc-", min_size=1, max_size=60), st.integers(0, 3)), min_size=1, max_size=6),
    st.integers(24, 200),
)
def test_no_line_is_wider_than_the_terminal(fleet: list[tuple[str, int]], width: int) -> None:
    """This holds for any names and symptoms. If there is room for the names, none is cut."""
    symptoms = [{"symptom": one} for one in ("unstamped", "fatal-only", "silent")]
    hosts = [host(name, incidents=symptoms[:count]) for name, count in fleet]
    words = screen(document(*hosts, problems=["what is wrong"]), width, Paint(is_on=False))

    assert max(map(len, words)) <= width
    if max(len(name) for name, _ in fleet) + len("! ") + len("unstamped +2") + 1 <= width:
        assert all(any(name in line for line in words) for name, _ in fleet)


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_wide_letters_take_two_columns_and_accents_none(columns: int) -> None:
    """A reason may be in any language. A word is only broken if it is longer than a line."""
    text = "  silenced by anna: " + "なぜならば" * 12 + " cafe\u0301" * 20 + " end"
    lines = list(wrapped(text, columns, "    "))

    assert max(map(columns_of, lines)) <= columns
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(line.startswith("    ") for line in lines[1:])
    assert columns_of("cafe\u0301") == 4
    assert columns_of("日本") == 4
    assert columns_of(cut("日本語日本語", 6)) <= 6


def test_q_leaves_and_the_terminal_is_as_before(site: Site, start_service: StartService) -> None:
    """So do Ctrl-C and SIGTERM. A resized terminal is redrawn at once."""
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until_evaluated_anew()
        ended = [watched_until(site, leave) for leave in (b"q", b"\x03", signal.SIGTERM)]

    assert [(status, is_restored) for status, is_restored, _ in ended] == [(1, True), (1, True), (143, True)]
    assert all("fatal-only" in text for _, _, text in ended)


def watched_until(site: Site, leave: bytes | int) -> tuple[int, bool, str]:
    """Watch on a terminal of 100 columns, shrink it, and leave. Return the exit status and the last output.

    Args:
        site: The site.
        leave: The key to press, or the signal to send.

    """
    pid, ours = pty.fork()
    if not pid:
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, *_COMMAND, "--config", str(site.config), "--watch"])  # noqa: S606
    before = termios.tcgetattr(ours)
    termios.tcsetwinsize(ours, (30, 100))
    written = b""
    while b"\x1b[H" not in written or b"next tick" not in written:
        written += os.read(ours, 65_536)
    termios.tcsetwinsize(ours, (30, 50))
    written = b""
    while b"\x1b[H" not in written or b"next tick" not in written:
        written += os.read(ours, 65_536)
    if isinstance(leave, int):
        os.kill(pid, leave)
    else:
        os.write(ours, leave)
    _, status = os.waitpid(pid, 0)
    after = termios.tcgetattr(ours)
    os.close(ours)
    return os.waitstatus_to_exitcode(status), after == before, written.decode()


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({}, 0, "OK - 1 host: 1 well"),
        ({"incidents_by_state": {"silenced": 1, "pending": 1, "inhibited": 1, "muted": 1}}, 0, "OK - "),
        ({"incidents_by_state": {"flapping": 1}}, 1, "WARNING - "),
        ({"incidents_by_state": {"unconfirmed": 1}}, 1, "WARNING - "),
        ({"hidden_by_symptom": {"silent": 3}}, 1, "WARNING - cannot be ruled out: silent of 3; "),
        ({"problems": ["the alert log | is\nfull"]}, 1, "WARNING - the alert log / is full; "),
        ({"is_blind": True, "is_evaluated": False}, 3, "UNKNOWN - not evaluated yet; "),
        ({"is_blind": True, "incidents_by_state": {"firing": 1}}, 2, "CRITICAL - "),
    ],
)
def test_nagios_gets_one_line(changes: dict[str, Any], status: int, word: str) -> None:
    """It has one of four levels, and each value has its minimum and critical threshold."""
    known = {"is_blind": False, "hidden_by_symptom": {}, "incidents_by_state": {}} | changes
    line = nagios.report(document(host("a"), **known))
    text, _, data = line.partition(" | ")

    assert level_of(document(host("a"), **known)) == status
    assert line.startswith(f"FLEET {word}")
    assert "\n" not in line
    assert "|" not in text
    assert all(re.fullmatch(r"[a-z]+=\d+;\d*;\d*;0", one) for one in data.split())
    assert data.startswith("hosts=1;;;0 firing=0;;0;0 ")


def test_nagios_is_answered_whatever_happens(
    site: Site, status: Callable[..., Finished], run_command: RunCommand, start_service: StartService
) -> None:
    """The answer is on stdout. A service that does not run is CRITICAL, a wrong request is UNKNOWN."""
    site.configure()
    site.show_all_symptoms()
    site.sync_journal()
    away = status("--nagios")
    wrong = [status("--nagios", *more) for more in (("--frobnicate",), ("pi-*",), ("--json",))]
    (bad := site.directory / "bad.toml").write_text("control.path = 1")
    bad_configuration = run_command("status", "--nagios", "--config", bad)
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        service.until_evaluated_anew()
        firing = status("--nagios")

    assert (away.status, away.stdout[:17]) == (2, "FLEET CRITICAL - ")
    assert [done.status for done in (*wrong, bad_configuration)] == [3] * 4
    assert all(done.stdout.startswith("FLEET UNKNOWN - ") for done in (*wrong, bad_configuration))
    assert firing.status == 2
    assert (
        "FLEET CRITICAL - firing: quiet silent, refused fatal-only, unstamped unstamped; 4 hosts: 3 " in firing.stdout
    )
    assert [done.stdout.count("\n") for done in (away, *wrong, bad_configuration, firing)] == [1] * 6


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_may_not_ask_is_told_so() -> None:
    """A denied connection is not a missing service: it has another exit status, and the error says what to do."""
    with TemporaryDirectory() as parent:  # of pytest's own, nobody else may enter the parents
        place = Path(parent)
        place.chmod(0o755)
        (directory := place / "run").mkdir()
        (config := place / "config.toml").write_text(
            f'control.path = "{directory}/control.sock"\nstate.directory = "{directory}"'
        )
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{directory}/control.sock")
            listener.listen()
            os.chown(directory, 0, grp.getgrnam("daemon").gr_gid)
            directory.chmod(0o750)
            imports = "import argparse, encodings.utf_8_sig, gettext, grp, locale, os, pwd, shutil, sys, tomllib"
            code = (
                "import fleet_health.cli.render.nagios;"
                "from fleet_health.cli.commands import explain, reload, silence, status;"
                "import difflib, fleet_health.cli.asking, fleet_health.cli.silence_access;"
                "from fleet_health.__main__ import main; os.setgroups([]); os.setresgid(*[65534] * 3);"
                "os.setresuid(*[65534] * 3); sys.exit(main(sys.argv[1:]))"
            )
            done = [
                subprocess.run(
                    [
                        sys.executable,
                        "-c",
                        f"{imports}; {code}",
                        *arguments,
                    ],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                for arguments in (
                    *(["status", f"--config={config}"], ["explain", "a", f"--config={config}"]),
                    ["status", "--nagios", f"--config={config}"],
                    ["silence", "list", f"--config={config}"],
                    ["silence", "expire", "pi-1", f"--config={config}"],
                    ["silence", "pi-1", "--for=1h", "--reason=x", f"--config={config}"],
                )
            ]

    assert [one.returncode for one in done] == [5, 5, 3, 5, 5, 5], done
    assert "permission denied" in done[0].stderr
    assert "usermod -aG daemon nobody" in done[0].stderr
    assert "not running" not in "".join(one.stderr for one in done)
    assert all("usermod -aG daemon nobody" in one.stderr for one in done[4:])
    assert "Permission denied; run this as root, or in the group of the service" in done[3].stderr
    assert done[2].stdout.startswith("FLEET UNKNOWN - ")


def test_what_is_said_in_words_is_said_to_its_end() -> None:
    """Advice and rejected values are never cut. They are wrapped at 80 columns."""
    words = " ".join(f"word-{number}" for number in range(20))
    source = {"summary": f"index following, {words}", "is_seeing": True}
    incident = {"host": "*", "symptom": "blind", "state": "firing", "lasting_s": 60, "detail": words}
    silence = {"ends_at_wall": "2026-11-23T12:00:00+00:00", "hosts": "a", "symptom": None, "id": "1", "author": "b"}
    lines = screen(
        document(
            problems=[f"the alert log cannot be written: {words}"],
            sources=[source],
            fleet_incidents=[incident],
            silences=[silence | {"reason": words}],
        ),
        80,
        Paint(is_on=False),
    )

    assert " ".join(" ".join(lines).split()).count(words) == 4
    assert max(map(len, lines)) <= 80


def test_the_legend_says_of_how_long_the_answers_are() -> None:
    """It has the windows of the hosts that are shown, because overrides may set others."""
    hosts = [host("a"), host("b", window_s=7_200.0), host("c", window_s=900.0)]
    one, all_of_them = (
        [line for line in screen(document(*shown), 80, Paint(is_on=False)) if line.startswith("  responses of ")]
        for shown in (hosts[:1], hosts)
    )

    assert one[0].startswith("  responses of 30m; 15 min each: ")
    assert all_of_them[0].startswith("  responses of 15m to 2h00m; 15 min each: ")
    assert len(all_of_them[0]) <= 80


def test_many_hosts_are_shown_whole() -> None:
    """The table has ten thousand lines, all with the same columns."""
    lines = screen(document(*(host(f"host-{number:05}") for number in range(10_000))), 80, Paint(is_on=False))

    assert sum(line.startswith("  host-") for line in lines) == 10_000


@pytest.mark.parametrize(
    ("matching", "given", "height", "shown", "left"),
    [(9, 9, 20, 9, 0), (9, 9, 17, 9, 0), (9, 9, 16, 7, 2), (900, 16, 16, 7, 893), (9, 3, 20, 3, 6), (9, 9, 6, 0, 0)],
    ids=["room", "just enough room", "too little room", "more than were given", "a limit", "no room for any"],
)
def test_a_screen_has_its_foot(matching: int, given: int, height: int, shown: int, left: int) -> None:
    """With any number of hosts and silences, as many lines as fit are between the head and the next tick."""
    silence = {"ends_at_wall": "2026-11-23T12:00:00+00:00", "hosts": "a", "symptom": None, "id": "1", "author": "b"}
    silence["reason"] = "none"
    lines = screen(
        document(
            *(host(f"host-{number}") for number in range(given)),
            hosts_matching=matching,
            next_tick_wall="2026-11-23T12:05:00+00:00",
            sources=[{"summary": "index following", "is_seeing": True}],
            silences=[silence] * 9,
        ),
        80,
        Paint(is_on=False),
        height,
    )

    assert len(lines) <= height
    assert sum(line.startswith("  host-") for line in lines) == shown
    assert [line for line in lines if line.endswith("more")] == ([f"  and {left} more"] if left else [])
    assert lines[-2:] == ["silences: 9; `fleet-health silence list` shows them", "next tick 2026-11-23 12:05:00+00:00"]


@pytest.mark.parametrize(
    ("states", "problems", "is_blind", "expected"),
    [
        ({}, [], False, 0),
        ({"silenced": 1, "muted": 1, "inhibited": 1, "pending": 1, "lost": 1}, [], False, 0),
        ({"firing": 1}, [], False, 1),
        ({"unconfirmed": 1}, [], False, 1),
        ({"flapping": 1}, [], False, 1),
        ({}, ["the alert log cannot be written: no space"], False, 1),
        ({"firing": 1}, ["the alert log cannot be written: no space"], True, 3),
    ],
)
def test_what_nobody_need_look_at_is_well(
    states: dict[str, int], problems: list[str], *, is_blind: bool, expected: int
) -> None:
    """Silenced, inhibited, pending and lost incidents do not change the exit status."""
    document = {"incidents_by_state": states, "problems": problems, "is_blind": is_blind}
    assert exit_status(document) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (-1, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (3_599, "59m"),
        (3_600, "1h00m"),
        (86_399, "23h59m"),
        (864_000, "10d"),
    ],
)
def test_a_duration_is_short(seconds: float | None, expected: str) -> None:
    """It has at most six characters and is rounded down."""
    assert short_duration(seconds) == expected


def test_a_strange_request_is_refused_by_the_service(site: Site, start_service: StartService) -> None:
    """Any unknown request on the socket gets an error with what was expected."""
    site.configure()
    site.upload("well")
    site.answer("well", 201)
    site.sync_journal()
    wrong = (
        ("GET", "/v1/hosts/"),
        ("GET", "/v2/status"),
        ("DELETE", "/v1/status"),
        ("GET", "/v1/status?hots=pi"),
        ("GET", "/v1/status?state=x"),
        ("GET", "/v1/status?limit=-1"),
        ("GET", "/v1/hosts/wel"),
        ("GET", "/v1/hosts/%FF"),
        ("POST", "/v1/silences"),
        ("DELETE", "/v1/silences/none"),
        ("POST", "/v1/reload?dry_run=yes"),
    )
    with start_service(site) as service, ApiClient(site.directory / "control.sock") as client:
        service.until_ready()
        answers = [client.ask(*one) for one in wrong]

    assert all(problem["status"] == status for status, problem in answers)
    assert [(status, problem["detail"].partition(",")[0]) for status, problem in answers] == [
        (404, "there is nothing at this path; the paths are /healthz"),
        (404, "there is nothing at this path; the paths are /healthz"),
        (405, "expected GET or HEAD at /v1/status"),
        (400, "expected parameters from host"),
        (400, "expected `state` to be one of firing"),
        (400, "expected `limit` to be a whole number"),
        (404, "no host wel is known; did you mean well?"),
        (400, "expected a path in UTF-8"),
        (400, "expected a body that is a JSON object"),
        (404, "there is no silence none; `silence list` shows all silences"),
        (400, "expected `dry_run` to be true or false"),
    ]


def test_a_limit_of_a_hosts_own_is_marked() -> None:
    """A well host shows it in the column of symptoms. If all limits are fixed, none is shown."""
    limits = [{"limit_s": 7_200.0, "source": source, "words": ""} for source in ("fixed", "learned", "schedule")]
    hosts = [host(f"pi-{number}", silent_limit=limit) for number, limit in enumerate(limits)]
    trouble = {"symptom": "silent", "host": "pi-3", "state": "firing"}
    hosts.append(host("pi-3", state="firing", silent_limit=limits[1], incidents=[trouble]))

    lines, fixed = (list(table(document(*shown), shown, 120, Paint(is_on=False))) for shown in (hosts, hosts[:1]))

    assert ["~2h00m" in line for line in lines[2:6]] == [False, True, True, False]
    assert "~ silent after" in lines[-1]
    assert "~" not in "".join(fixed)


def test_intervals_are_drawn() -> None:
    """A bar is one step higher for each doubling of the count."""
    classes = [{"up_to_s": 900.0, "count": 1000}, {"up_to_s": 1_800.0, "count": 0}, {"up_to_s": 3_600.0, "count": 1}]
    with patch("fleet_health.cli.render.interval_bars.can_show", lambda _: False):
        lines = list(interval_bars(classes))

    assert lines == ["up to 15m    ########## 1000", "up to 30m    0", "up to 1h00m  # 1"]
