"""`fleet-health silence`: as a process, and in the service."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.parsing.local_time import local_wall
from tests.rig.service_process import plain_environment
from tests.rig.site import iso, now_us
from tests.rig.zygote import ForkedProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Finished, RunCommand, Site, StartService

FILE = "state/silences.json"


@pytest.fixture
def silence(site: Site, run_command: RunCommand) -> Callable[..., Finished]:
    """Run the command for the site."""
    site.configure()

    def run(*arguments: str) -> Finished:
        return run_command("silence", *arguments, "--config", site.config)

    return run


def listed(silence: Callable[..., Finished]) -> list[dict[str, Any]]:
    """Return the active silences."""
    silences: list[dict[str, Any]] = silence("list", "--json").documents[0]["silences"]
    return silences


def test_one_is_made_listed_and_ended(silence: Callable[..., Finished]) -> None:
    """Each command prints what it did."""
    none = silence("list")
    made = silence("pi-*", "--symptom", "silent", "--for", "2h", "--reason", "moving house")
    (one,) = listed(silence)
    shown = silence("list").stdout
    ended = silence("end", one["id"])
    again = silence("end", one["id"])

    assert (none.stdout, made.status, ended.status) == ("no silences\n", 0, 0)
    assert made.stdout.startswith(f"{one['id']}: pi-* silent until {local_wall(one['ends_at_wall'])} (2 h more), by ")
    assert shown.endswith(": moving house\n")
    assert (one["hosts"], one["symptom"], one["reason"]) == ("pi-*", "silent", "moving house")
    assert ended.stdout.startswith(f"ended {one['id']}: pi-* silent ")
    assert (again.status, again.stderr) == (2, f"there is no silence {one['id']}; `silence list` shows all silences\n")
    assert listed(silence) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["pi-*"], "--for, --until or --until-resolved and --reason missing"),
        (["pi-*", "--for", "2h"], "--reason missing"),
        (["pi-*", "--for", "2h", "--reason", " "], "expected a text of at most 200 characters"),
        (["pi-*", "--for", "2h", "--reason", "x" * 201], "expected a text of at most 200 characters, found 201"),
        (["pi-*", "--for", "soon", "--reason", "x"], "expected a duration with a unit"),
        (["pi-*", "--for", "59s", "--reason", "x"], 'expected a duration from "1m" to "30d", found \'59s\''),
        (["pi-*", "--for", "31d", "--reason", "x"], 'expected a duration from "1m" to "30d", found \'31d\''),
        (["pi-*", "--for", "2h", "--reason", "x", "--symptom", "silence"], "did you mean silent?"),
        (["pi-*", "other", "--for", "2h", "--reason", "x"], "`list` or `expire`, found pi-* other"),
        (["exprie", "abc"], "expected one host, a glob in quotes, `list` or `expire`, found exprie abc"),
        (["pi-*", "--for", "2h", "--reason", "\udcff"], "expected UTF-8, found '\\udcff'"),
        (["\udcff", "--for", "2h", "--reason", "x"], "a glob in UTF-8, found '\\udcff'"),
        (["", "--for", "2h", "--reason", "x"], "expected a host name or a glob in UTF-8, found ''"),
        (["list", "pi-*", "--for", "1h"], "list: a second word and --for cannot be used with it"),
        (["expire"], "expire needs the ID of a silence, or a host or glob"),
        (["end", "abc", "--reason", "x"], "end: --reason cannot be used with it"),
        (["expire", "abc", "--expired"], "expire: --expired cannot be used with it"),
        (["list", "--until-resolved"], "list: --until-resolved cannot be used with it"),
        (["pi-*", "--expired", "--for", "2h", "--reason", "x"], "pi-*: --expired cannot be used with it"),
        (["pi-*", "--for", "2h", "--until", "2099-01-01T00:00Z", "--reason", "x"], "give one end"),
        (["pi-*", "--until", "2001-01-01T00:00Z", "--reason", "x"], "a silence that ends in the future"),
        (["pi-*", "--from", "2099-01-01T00:00Z", "--for", "2h", "--reason", "x"], "that begins within 90 d, found"),
        (["pi-*", "--from", "soon", "--for", "2h", "--reason", "x"], "argument --from: expected `now`"),
        (
            ["pi-*", "--from", "2099-01-01T00:00Z", "--until-resolved", "--reason", "x"],
            "--until-resolved and --from cannot be used together",
        ),
        (["pi-*", "--all", "--until-resolved", "--reason", "x"], "--until-resolved and --all cannot be used together"),
        (["pi-*", "--until-resolved", "--reason", "x"], "pi-* has no open incident that could be acknowledged"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(
    arguments: list[str], complaint: str, site: Site, silence: Callable[..., Finished]
) -> None:
    """The exit status is 2, and nothing is written."""
    done = silence(*arguments)

    assert done.status == 2
    assert complaint in done.stderr
    assert not (site.directory / FILE).exists()


def test_a_damaged_file_is_left_as_it_is(site: Site, silence: Callable[..., Finished]) -> None:
    """The error names the file and what to do. A new silence does not overwrite the others."""
    silence("pi-*", "--for", "2h", "--reason", "x")
    (site.directory / FILE).write_text('{"silences": [')
    done = silence("pi-*", "--for", "2h", "--reason", "x")

    assert done.status == 1
    assert "silences.json: damaged" in done.stderr
    assert done.stderr.endswith("; repair it, or remove it to end all silences\n")
    assert (site.directory / FILE).read_text() == '{"silences": ['


def test_what_is_in_the_way_is_said(site: Site, silence: Callable[..., Finished]) -> None:
    """The error says what to check."""
    (site.directory / FILE).parent.write_text("no directory")
    done = silence("pi-*", "--for", "2h", "--reason", "x")

    assert done.status == 1
    assert done.stderr.endswith(
        "; check that `[state] directory` is a directory, and that its disk is neither full nor read-only\n"
    )


def test_a_file_of_another_version_is_left_as_it_is(site: Site, silence: Callable[..., Finished]) -> None:
    """Writing it would lose the parts that this version does not know."""
    silence("pi-*", "--for", "2h", "--reason", "x")
    later = (site.directory / FILE).read_text().replace('"version": 1', '"version": 2')
    (site.directory / FILE).write_text(later)
    done = silence("pi-*", "--for", "2h", "--reason", "x")

    assert done.status == 1
    assert "silences.json: expected version 1, found version 2" in done.stderr
    assert (site.directory / FILE).read_text() == later


def test_two_at_once_lose_nothing(site: Site, silence: Callable[..., Finished]) -> None:
    """Each command holds the lock from reading to writing."""
    options = ["--config", str(site.config), "--for", "2h", "--reason", "x"]
    with Path(os.devnull).open("r+b") as null:
        fd = null.fileno()
        processes = [
            ForkedProcess(
                ["silence", *options, f"host-{number}"], env=plain_environment(), stdin=fd, stdout=fd, stderr=fd
            )
            for number in range(8)
        ]
    statuses = [process.wait() for process in processes]

    assert statuses == [0] * 8
    assert sorted(one["hosts"] for one in listed(silence)) == [f"host-{number}" for number in range(8)]


def test_a_silenced_host_is_not_told_of_until_it_ends(
    site: Site, silence: Callable[..., Finished], start_service: StartService
) -> None:
    """The status shows it. When the silence ends, that is notified, and so is each incident that is still open."""
    site.configure("alerts.resolved = true")
    site.show_all_symptoms()
    site.sync_journal()
    for host in ("quiet", "refused"):
        silence(host, "--for", "2h", "--reason", "we know")
    silence("nobody-*", "--for", "2h", "--reason", "a slip")
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("unstamped", "unstamped")], "the alert")
        service.until_evaluated_anew()
        status, alerted = service.notify.status, site.alerted()
        for one in listed(silence):
            if one["hosts"] != "refused":
                silence("end", one["id"])
        service.until(lambda: ("quiet", "silent") in site.alerted(), "the alert")
        site.answer("refused", 201)
        site.sync_journal()
        service.until(lambda: "1 silenced" not in service.notify.status, "the end of a silenced fault")
        standing = service.events("silence expired, incidents still open")
        in_vain = service.events("silence expired, never matched an incident")

    assert alerted == [("unstamped", "unstamped")]
    assert "1 firing (1 unstamped), 2 silenced" in status
    assert "2 silenced" in status
    assert [(line["hosts"], line["standing"]) for line in standing] == [("quiet", ["quiet silent"])]
    assert [line["hosts"] for line in in_vain] == ["nobody-*"]
    assert ("refused", "fatal-only") not in site.alerted()  # neither that it was, nor that it is over


def test_a_silence_is_shown_at_once(
    site: Site, silence: Callable[..., Finished], run_command: RunCommand, start_service: StartService
) -> None:
    """It is shown before the tick at which it takes effect."""
    site.configure(tick="24h")
    site.upload("quiet", minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("quiet", "silent")], "the alert")
        silence("qu*", "--for", "2h", "--reason", "a test")
        status = run_command("status", "--json", "--config", site.config).documents[0]
        explained = run_command("explain", "quiet", "--config", site.config).stdout

    assert [one["hosts"] for one in status["silences"]] == ["qu*"]
    assert f"  silence                  {status['silences'][0]['id']}\n" in explained


def test_check_tells_nothing_of_the_silenced_either(
    site: Site, silence: Callable[..., Finished], run_command: RunCommand
) -> None:
    """`check` prints silenced findings, marks them, and does not alert them."""
    site.show_all_symptoms()
    site.sync_journal()
    silence("quiet", "--for", "2h", "--reason", "we know")
    shown = run_command("check", "--config", site.config).stdout

    assert "quiet: silent (silenced)\n" in shown
    assert site.alerted() == [("refused", "fatal-only"), ("unstamped", "unstamped")]


def test_a_silence_survives_a_restart(
    site: Site, silence: Callable[..., Finished], start_service: StartService
) -> None:
    """Its end is logged once, even if the service cannot read the silences in between."""
    site.show_all_symptoms()
    site.sync_journal()
    silence("quiet", "--for", "2h", "--reason", "we know")
    for _ in range(2):
        with start_service(site) as service:
            service.until(lambda: len(site.alerted()) == 2, "the alerts")
            service.until_evaluated_anew()
            service.process.kill()
            service.process.wait()
    silenced = site.alerted()
    (one,) = listed(silence)
    silence("end", one["id"])
    said = []
    file, aside = site.directory / FILE, site.directory / "aside"
    for is_readable in (True, False, True):
        file.rename(aside)
        aside.rename(file) if is_readable else file.write_text("{")
        with start_service(site) as service:
            service.until(lambda: service.evaluations() >= 2, "some ticks")
            service.stop()
            said.append([line["id"] for line in service.log if line["event"].startswith("silence expired")])
        if not is_readable:
            aside.rename(file)

    assert silenced == [("refused", "fatal-only"), ("unstamped", "unstamped")]
    assert said == [[one["id"]], [], []]


def resolved(site: Site) -> list[str]:
    """Return the host of each resolution in the alert log."""
    return [row["host"] for row in site.alert_rows() if row.get("status") == "resolved"]


def in_hours(hours: float) -> str:
    """Return the instant so many hours from now."""
    return iso(now_us() + round(hours * 3_600_000_000))


def test_a_planned_one_is_listed_with_its_begin_and_those_that_ended_with_who_ended_them(
    silence: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a service, the author is the user of the process. With sudo, both users are named."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    made = silence("pi-1", "--from", in_hours(3), "--for", "2h", "--reason", "the move")
    until = silence("pi-2", "--until", in_hours(5), "--reason", "the move")
    later = silence("list").stdout.splitlines()
    silence("b*", "--for", "2h", "--reason", "others as well")
    wider = silence("expire", "bench-1")
    silence("expire", "b*")
    monkeypatch.setenv("SUDO_USER", "ann")
    ended = silence("expire", "pi-*")
    left, gone = silence("list"), silence("list", "--expired")
    row = silence("list", "--expired", "--json").documents[0]["silences"][0]
    me = pwd.getpwuid(os.geteuid()).pw_name
    by = f"ann as {me}" if os.geteuid() == 0 else me

    assert re.fullmatch(
        rf"\w{{6}}: pi-1 from [^()]+ until [^()]+ \(begins in 2 h 59 min\), by {me}: the move\n", made.stdout
    )
    assert re.fullmatch(rf"\w{{6}}: pi-2 until [^()]+ \(4 h 59 min more\), by {me}: the move\n", until.stdout)
    assert sorted(line[8:12] for line in later) == ["pi-1", "pi-2"]
    assert wider.status == 2
    assert re.fullmatch(
        r"there is no silence of bench-1 alone, and \w{6} \(b\*\) also covers other hosts; end that by its ID\n",
        wider.stderr,
    )
    assert (ended.status, len(ended.stdout.splitlines()), left.stdout) == (0, 2, "no silences\n")
    assert gone.stdout.count(f"(ended by {by}), by {me}: the move\n") == 2
    assert ended.stdout.count(f"(ended by {by})") == 2
    assert (row["ended_by"], row["author"], row["is_resolved"]) == (by, me, False)
    assert silence("expire", "pi-*").stderr == "there is no silence pi-*; `silence list` shows all silences\n"


def test_an_open_incident_is_acknowledged_until_its_host_is_well(
    site: Site, silence: Callable[..., Finished], run_command: RunCommand, start_service: StartService
) -> None:
    """The service does so for the user that the kernel reports. The resolution is notified, and ends the silence."""
    site.configure("alerts.resolved = true")
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        refused = silence("well", "--until-resolved", "--reason", "a slip")
        done = silence("[qr]*", "--until-resolved", "--reason", "known")
        status = run_command("status", "--config", site.config).stdout
        explained = run_command("explain", "quiet", "--config", site.config).stdout
        active = silence("list").stdout
        site.upload("quiet")
        site.answer("refused", 201)
        site.sync_journal()
        service.until(lambda: service.events("silence ended, incidents resolved"), "the end of the silence")
        # It is logged when it is decided, before the resolutions are in the alert log.
        service.until(lambda: resolved(site) == ["quiet", "refused"], "the resolutions")
        ended = silence("list", "--expired").stdout
        made = service.events("silence made")
    me = pwd.getpwuid(os.geteuid()).pw_name

    assert (refused.status, refused.stdout) == (2, "")
    assert refused.stderr.startswith("well has no open incident that could be acknowledged")
    assert done.stdout.splitlines()[1] == "acknowledged: quiet silent, refused fatal-only"
    assert "z quiet" in status
    assert "z refused" in status
    assert "it is acknowledged, and suppressed until it is resolved" in " ".join(explained.split())
    assert re.fullmatch(
        r"\w{6}: \[qr\]\* until resolved, at most until [^()]+ \(29 d 23 h more\), by .*: known\n", active
    )
    assert "(all resolved), by " in ended
    assert [(one["author"], one["origin"]) for one in made] == [(me, "a request over the socket")]


def test_without_a_service_its_saved_state_says_what_is_open(
    site: Site, silence: Callable[..., Finished], start_service: StartService
) -> None:
    """The next service restores it, and does not repeat the alerts of acknowledged incidents."""
    site.configure()
    site.upload("quiet", minutes_ago=45)
    site.answer("well", 201)
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == [("quiet", "silent")], "the alert")
        service.until((site.directory / "state/state.json").exists, "the state")
        service.stop()
    done = silence("quiet", "--until-resolved", "--reason", "known")
    with start_service(site) as service:
        service.until(lambda: "1 silenced" in service.notify.status, "the status")
        made = service.events("silence made")

    assert done.stdout.splitlines()[1] == "acknowledged: quiet silent"
    assert [one["origin"] for one in made] == ["silences.json, where the author is only a claim"]


def test_what_the_service_cannot_write_is_no_wrong_request(
    silence: Callable[..., Finished], site: Site, start_service: StartService
) -> None:
    """A file that cannot be written gives exit status 1, a wrong request 2."""
    (site.directory / FILE).mkdir(parents=True)
    with start_service(site) as service:
        service.until_evaluated_anew()
        failed = silence("pi-1", "--for", "1h", "--reason", "x")
        wrong = silence("pi-1", "--until-resolved", "--reason", "x")

    assert (failed.status, failed.stderr.startswith("the silences cannot be written: ")) == (1, True)
    assert wrong.status == 2


def test_a_refused_end_is_shown_in_the_readers_zone(
    silence: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in local time, like every time in messages for people."""
    monkeypatch.setenv("TZ", "Europe/Berlin")

    done = silence("pi-*", "--until", "2001-01-01 12:00", "--reason", "x")

    assert done.stderr == "expected a silence that ends in the future, found an end at 2001-01-01 12:00:00+01:00\n"
